"""The forms of requests and responses, and errors: those of text-embeddings-inference [1]_.

.. [1] https://huggingface.github.io/text-embeddings-inference
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bertsent.texts import Text

__all__ = [
    "EmbedRequest", "PredictRequest", "Refusal", "encode_vectors", "label_scores",
    "openai_response", "parse_embed", "parse_openai", "parse_predict",
]

_DIRECTIONS = ("left", "Left", "right", "Right")


class Refusal(Exception):
    """A request that is not answered.

    Parameters
    ----------
    status : int
        HTTP status.
    kind : str
        "Validation", "Empty", "Tokenizer", "Overloaded", "Backend" or "Unhealthy".
    message : str
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message

    def body(self, *, openai: bool = False) -> dict[str, Any]:
        """Return the body of the response, also as clients of OpenAI's interface expect it."""
        if openai:
            return {"message": self.message, "code": self.status, "type": self.kind}
        return {"error": self.message, "error_type": self.kind}


class PredictRequest(NamedTuple):
    """A request of ``/predict``; `single` says that the response is for one text."""

    texts: list[Text]
    single: bool
    raw_scores: bool
    truncate: bool
    left: bool


class EmbedRequest(NamedTuple):
    """A request of ``/embed`` or ``/v1/embeddings``."""

    texts: list[Text]
    truncate: bool
    left: bool
    normalize: bool
    dimensions: int | None
    base64: bool = False


def parse_predict(body: bytes) -> PredictRequest:
    """Return a request of ``/predict``; raise a `Refusal` if it is none."""
    fields = _Fields(body)
    given = fields.need("inputs")
    texts: list[Text]
    if isinstance(given, str):
        texts, single = [given], True
    elif isinstance(given, list) and given and isinstance(given[0], str):
        texts, single = [_sequence(given, "`inputs`")], True
    elif isinstance(given, list):
        texts = [_sequence(each, f"`inputs`[{number}]") for number, each in enumerate(given)]
        single = False
    else:
        raise _invalid(
            "`inputs` must be a text, a pair of texts, or a list of them, such as "
            f'[["text"], ["text", "second text"]], not {_shown(given)}'
        )
    return PredictRequest(
        _no_mixture(_not_empty(texts)), single, fields.flag("raw_scores", False),
        fields.flag("truncate", True, null=True), fields.left(),
    )


def parse_embed(body: bytes) -> EmbedRequest:
    """Return a request of ``/embed``; raise a `Refusal` if it is none."""
    fields = _Fields(body)
    texts = _texts(fields.need("inputs"), "inputs")
    if fields.get("prompt_name") is not None:
        raise _invalid("`prompt_name` is not supported; put the prompt before each text")
    return EmbedRequest(
        texts, fields.flag("truncate", True, null=True), fields.left(),
        fields.flag("normalize", True), fields.dimensions(),
    )


def parse_openai(body: bytes) -> EmbedRequest:
    """Return a request of ``/v1/embeddings``; raise a `Refusal` if it is none."""
    fields = _Fields(body)
    texts = _texts(fields.need("input"), "input")
    form = fields.get("encoding_format")
    if form not in (None, "float", "base64"):
        raise _invalid(f'`encoding_format` must be "float" or "base64", not {_shown(form)}')
    return EmbedRequest(texts, True, False, True, fields.dimensions(), form == "base64")


def openai_response(
    vectors: npt.NDArray[np.float32], model: str, tokens: int, as_base64: bool
) -> dict[str, Any]:
    """Return the response of ``/v1/embeddings``."""
    encoded = encode_vectors(vectors, as_base64)
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": vector, "index": number}
            for number, vector in enumerate(encoded)
        ],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def encode_vectors(vectors: npt.NDArray[np.float32], as_base64: bool = False) -> list[Any]:
    """Return vectors as lists of numbers, or as base64 of little-endian float32."""
    if not as_base64:
        found: list[Any] = vectors.tolist()
        return found
    return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]


class _Fields:
    """The fields of a body. Unknown ones are ignored, as in text-embeddings-inference."""

    def __init__(self, body: bytes) -> None:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise Refusal(
                400, "Validation", f"the body of the request is not JSON: {reason}"
            ) from None
        if not isinstance(content, dict):
            raise _invalid(
                f'the body of the request must be an object, such as {{"inputs": "text"}}, not '
                f"{_shown(content)}"
            )
        self._content: Mapping[str, Any] = content

    def get(self, name: str) -> Any:
        return self._content.get(name)

    def need(self, name: str) -> Any:
        if name not in self._content:
            raise _invalid(f"`{name}` is missing")
        return self._content[name]

    def flag(self, name: str, default: bool, *, null: bool = False) -> bool:
        value = self._content.get(name, default)
        if null and value is None:
            return default
        if not isinstance(value, bool):
            raise _invalid(f"`{name}` must be true or false, not {_shown(value)}")
        return value

    def left(self) -> bool:
        """Return whether the end of a long text is to be read, not its beginning."""
        value = self._content.get("truncation_direction", "right")
        if value not in _DIRECTIONS:
            raise _invalid(
                f'`truncation_direction` must be "left" or "right", not {_shown(value)}'
            )
        return str(value).lower() == "left"

    def dimensions(self) -> int | None:
        value = self._content.get("dimensions")
        if value is not None and (type(value) is not int or value < 1):
            raise _invalid(f"`dimensions` must be a whole number from 1, not {_shown(value)}")
        return value


def _texts(given: Any, name: str) -> list[Text]:
    """Return one text, or several texts or pairs, as a list."""
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise _invalid(f"`{name}` must be a text or a list of texts, not {_shown(given)}")
    texts: list[Text] = []
    for number, text in enumerate(given):
        if isinstance(text, str):
            texts.append(text)
            continue
        items = text if isinstance(text, list) else [text]
        if len(items) != 2 or not all(isinstance(item, str) for item in items):
            ids = all(isinstance(item, int) and not isinstance(item, bool) for item in items)
            advice = "; ids of tokens are not supported" if ids else ""
            raise _invalid(
                f"`{name}`[{number}] must be a text, or a list of two for a pair, not "
                f"{_shown(text)}{advice}"
            )
        texts.append((items[0], items[1]))
    return _no_mixture(_not_empty(texts))


def _sequence(given: Any, name: str) -> Text:
    """Return a text or a pair from a list of one or two texts."""
    right = isinstance(given, list) and all(isinstance(text, str) for text in given)
    if not right or len(given) not in (1, 2):
        count = f"a list of {len(given)} texts" if right else _shown(given)
        raise _invalid(
            f"{name} must be a list of one text, or of two for a pair, not {count}; several texts "
            'are [["first text"], ["second text"]]'
        )
    first, *second = given
    return (first, second[0]) if second else first


def _not_empty(texts: list[Text]) -> list[Text]:
    if not texts:
        raise Refusal(400, "Empty", "`inputs` cannot be empty")
    return texts


def _no_mixture(texts: list[Text]) -> list[Text]:
    kinds = {isinstance(text, str) for text in texts}
    if len(kinds) > 1:
        raise _invalid("`inputs` has single texts and pairs; send them in two requests")
    return texts


def _invalid(message: str) -> Refusal:
    return Refusal(422, "Validation", message)


def _shown(value: Any) -> str:
    """Return what a value is, without its content if that may be long."""
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return "an object"
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."


def label_scores(outputs: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    """Return the response for one text of ``/predict``."""
    return [{"score": score, "label": label} for label, score in outputs]
