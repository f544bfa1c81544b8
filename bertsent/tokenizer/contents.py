"""The contents of the files that describe a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from bertsent.errors import CheckpointError
from bertsent.files import Field
from bertsent.tokenizer.added import AddedToken

__all__ = ["Contents", "added_token", "kind_of", "optional_flag", "refuse", "short"]

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


class Contents(NamedTuple):
    """The contents of the files in a directory; None if there is no such file.

    Attributes
    ----------
    directory : str
        Its name in messages.
    config : Field
        ``tokenizer_config.json``; an empty object if there is no such file.
    tokenizer, special, added, model : Field or None
        ``tokenizer.json``, ``special_tokens_map.json``, ``added_tokens.json``, ``config.json``.
    vocab : mapping or None
        What `Kind.vocabulary_in` returns, from ``vocab.txt``, or from ``vocab.json`` and
        ``merges.txt``; only if there is no ``tokenizer.json``.
    """

    directory: str
    config: Field
    tokenizer: Field | None = None
    special: Field | None = None
    added: Field | None = None
    model: Field | None = None
    vocab: Mapping[str, Any] | None = None


def refuse(field: Field, what: str) -> NoReturn:
    """Raise the error for the files of another kind of tokenizer."""
    raise CheckpointError(f"{field.file} is not a tokenizer like that of BERT or RoBERTa: {what}")


def short(text: object) -> str:
    """Return the beginning of a text from a file, for messages."""
    return f"{text!s:.80}"


def kind_of(part: Field) -> str | None:
    """Return the type of a part of ``tokenizer.json``; None if there is no such part."""
    kind = part.value.get("type") if isinstance(part.value, dict) else None
    return None if kind is None else short(kind)


def optional_flag(field: Field) -> bool | None:
    """Return a bool or None."""
    return None if field.value is None else field.flag()


def added_token(field: Field, **changes: Any) -> AddedToken:
    """Return the token that a text or an object describes.

    Parameters
    ----------
    field : Field
    **changes : object
        Attributes of the token that the file does not decide.
    """
    value = field.value
    if isinstance(value, str):
        return AddedToken(value, special=True)
    if not isinstance(value, dict):
        raise field.error("a text or a JSON object")
    # A file can have many of them, so fields are only made for those that are wrong.
    if not isinstance(value.get("content"), str):
        field["content"].text()
    flags: dict[str, bool] = {}
    for name in _FLAGS:
        flag = value.get(name)
        if isinstance(flag, bool):
            flags[name] = flag
        elif name in value and not (flag is None and name == "normalized"):
            field[name].flag()
    return AddedToken(value["content"], **flags | changes)
