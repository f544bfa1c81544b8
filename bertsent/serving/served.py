"""The models that are served: classifiers, regressors, and encoders that only compute vectors."""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier import Predictor, open_predictor
from bertsent.files import has_file, hold_directory
from bertsent.hub import length_limit, read_json, resolve_directory
from bertsent.model import (
    BertForSequenceClassification,
    open_encoder,
    pool_pieces,
    resolve_precision,
    score_pieces,
)
from bertsent.objectives import Objective
from bertsent.serving.jobs import Job, Part
from bertsent.system import resolve_n_threads
from bertsent.texts import Reader, are_pairs, name_texts, resolve_max_length, strip_texts
from bertsent.tokenizer import Tokenizer
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text

__all__ = ["Served", "ServedClassifier", "ServedEncoder", "open_served"]

# Parameters that change the vectors of an encoder.
_OF_ENCODER = ("max_length", "inference_long_text", "inference_precision", "n_threads")


class Served:
    """A model, and how it reads and computes the texts of requests.

    Parameters
    ----------
    models : list of BertForSequenceClassification
    tokenizer : Tokenizer
    name : str
        Its name for clients: that of the directory, without the path.
    precision : str
        Precision to compute in.
    n_threads : int
    memory_limit : int, str or None
        As in `BertClassifier`.

    Attributes
    ----------
    objective : Objective or None
        What a classifier predicts; None for an encoder.
    pairs : bool or None
        Whether the texts are pairs; None if both are taken.
    """

    objective: Objective | None = None
    pairs: bool | None = None

    def __init__(
        self,
        models: list[BertForSequenceClassification],
        tokenizer: Tokenizer,
        *,
        name: str,
        precision: str,
        n_threads: int,
        memory_limit: int | str | None,
    ) -> None:
        self.models, self.tokenizer, self.name = models, tokenizer, name
        self.precision, self.n_threads = precision, n_threads
        self._memory_limit = memory_limit

    def reader(self, number: int, pairs: bool) -> Reader:
        """Return how a model reads texts."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return what is served, in a few words."""
        raise NotImplementedError

    def predictions(self, job: Job, raw_scores: bool) -> list[list[tuple[str, float]]]:
        """Return name and score of each output, the largest first, for each text of a job.

        Only a model with an `objective` has them.
        """
        raise NotImplementedError

    @property
    def pooling(self) -> str:
        """What vectors are: "cls" or "mean"."""
        return str(self.models[0]._engine["pooling"])

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.models[0]._engine["hidden_size"])

    @property
    def max_length(self) -> int:
        """Number of tokens that the first model reads at once."""
        return self.reader(0, bool(self.pairs)).max_length

    def read(self, texts: list[Text], vectors: bool) -> Job:
        """Return the job of computing logits or vectors.

        Raises
        ------
        ValueError
            A text cannot be read. The message begins with its name in the request.
        """
        used = self.models[:1] if vectors else self.models
        parts: list[Part] = []
        last = None
        for number, model in enumerate(used):
            reader = self.reader(number, are_pairs(texts))
            if reader != last:
                with name_texts("`inputs`[{}]".format):
                    tokens = reader.encode(self.tokenizer, texts, 1)
                last = reader
            width = self.dimensions if vectors else model.num_labels
            rows = len(tokens.offsets) - 1
            parts.append(Part(number, tokens, np.empty((rows, width), np.float32)))
        return Job(texts, parts, vectors)

    def score(
        self,
        number: int,
        vectors: bool,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        types: npt.NDArray[np.int32] | None,
    ) -> npt.NDArray[np.float32]:
        """Return the logits or vectors of sequences, as `Batcher` wants them."""
        model = self.models[number]
        how: dict[str, Any] = {
            "types": types, "precision": self.precision, "memory_limit": self._memory_limit,
        }
        if vectors:
            return pool_pieces(model, ids, offsets, self.n_threads, **how)[1]
        return score_pieces(model, ids, offsets, self.n_threads, **how)


class ServedClassifier(Served):
    """A classifier or regressor.

    Parameters
    ----------
    ready : Predictor
    name : str
    """

    def __init__(self, ready: Predictor, name: str) -> None:
        precision = ready.check()
        super().__init__(
            ready.fitted.models, ready.fitted.tokenizer, name=name, precision=precision,
            n_threads=resolve_n_threads(ready.parameters["n_threads"]),
            memory_limit=ready.parameters["memory_limit"],
        )
        self._ready = ready
        self.objective: Objective = ready.objective
        self.pairs = ready.fitted.pairs
        self._readers = {
            (number, pairs): ready.reader(number, pairs=pairs)
            for number in range(len(self.models))
            for pairs in ((False, True) if self.pairs is None else (self.pairs,))
        }

    def reader(self, number: int, pairs: bool) -> Reader:
        return self._readers[number, pairs]

    def read(self, texts: list[Text], vectors: bool) -> Job:
        stripped = self._ready.parameters["strip_html"]
        return super().read(strip_texts(texts) if stripped else texts, vectors)

    def describe(self) -> str:
        return f"{self.objective.problem_type.replace('_', ' ')}, " \
            f"{self.objective.describe_outputs()}"

    def predictions(self, job: Job, raw_scores: bool) -> list[list[tuple[str, float]]]:
        logits = self._ready.vote([part.of_texts() for part in job.parts], job.texts)
        scores: npt.NDArray[Any] = logits
        if self.objective.link != "identity" and not raw_scores:
            scores = self.objective.predict_proba(logits)
        names = self.objective.label_names
        return [
            sorted(zip(names, row, strict=True), key=itemgetter(1), reverse=True)
            for row in scores.tolist()
        ]


class ServedEncoder(Served):
    """A pretrained model that computes vectors, as `BertEncoder` does.

    Parameters
    ----------
    name_or_dir : str or path-like
    name : str
    parameters : dict
        ``max_length``, ``inference_long_text``, ``inference_precision`` and ``n_threads``, as far
        as they are given.
    """

    pairs = False

    def __init__(
        self, name_or_dir: str | PathLike[str], name: str, parameters: Mapping[str, Any]
    ) -> None:
        for parameter, value in parameters.items():
            if parameter not in _OF_ENCODER:
                raise ValueError(
                    f"{spell(parameter, value)} is for classifiers, but {name_or_dir} only "
                    "computes vectors; leave it out"
                )
        n_threads = resolve_n_threads(parameters.get("n_threads"))
        precision = resolve_precision(
            parameters.get("inference_precision", "auto"), "inference_precision"
        )
        model, tokenizer = open_encoder(name_or_dir, "auto")
        super().__init__(
            [model], tokenizer, name=name, precision=precision, n_threads=n_threads,
            memory_limit=None,
        )
        wanted = parameters.get("max_length", "auto")
        limit = model._engine["max_position_embeddings"]
        if wanted == "auto":
            limit = length_limit(model._config, model._engine)
        length = resolve_max_length(wanted, limit)
        self._reader = Reader(length, parameters.get("inference_long_text") or "windows")

    def reader(self, number: int, pairs: bool) -> Reader:
        return self._reader

    def describe(self) -> str:
        return f"vectors of {self.dimensions} numbers"


def open_served(name_or_dir: str | PathLike[str], parameters: Mapping[str, Any]) -> Served:
    """Open what a directory contains, a classifier or an encoder.

    Parameters
    ----------
    name_or_dir : str or path-like
        A saved classifier, or any model that `BertEncoder` takes.
    parameters : dict
        Parameters of prediction that are changed.

    Returns
    -------
    Served

    Raises
    ------
    CheckpointError, ModelNotFoundError
        The model cannot be used.
    """
    directory = resolve_directory(name_or_dir)
    local = Path(name_or_dir).expanduser().is_dir()
    name = Path(name_or_dir).expanduser().resolve().name if local else str(name_or_dir)
    if _is_classifier(directory):
        return ServedClassifier(open_predictor(name_or_dir, parameters), name)
    return ServedEncoder(name_or_dir, name, parameters)


def _is_classifier(directory: Path) -> bool:
    """Return whether a model has a trained head, as its files say."""
    with hold_directory(directory):
        if has_file(directory / "bertsent.json"):
            return True
        try:
            kinds = read_json(directory / "config.json").get("architectures")
        except FileNotFoundError:  # the error of opening it says more
            return False
    return isinstance(kinds, list) and any(
        str(kind).endswith("ForSequenceClassification") for kind in kinds
    )
