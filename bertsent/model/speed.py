"""Measure how fast this machine trains and scores, and estimate the time of a job."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.model.bert import BertForSequenceClassification
from bertsent.system import check_interrupts

if TYPE_CHECKING:
    import numpy.typing as npt

Ints: TypeAlias = "npt.NDArray[np.int64]"
Batch: TypeAlias = "tuple[npt.NDArray[np.int32], None, None, npt.NDArray[np.int64]]"

# The shape of all-MiniLM-L6-v2.
MINILM: dict[str, Any] = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "hidden_act": "gelu",
}
# Tokens of a measurement: at least as many as the engine processes at once in training.
MOST_TOKENS = 2048
FIRST_TOKENS = 256
# The layers that are trained take at least this part of the time of all of them, whatever was
# measured.
LEAST_PART = 0.1


def measure(
    config: dict[str, Any],
    lengths: Ints,
    *,
    precisions: Sequence[str],
    n_threads: int,
    freeze: int = 0,
    batch_size: float = 16,
    seconds: float = 10.0,
) -> list[dict[str, Any]]:
    """Measure the speed of training and scoring in several precisions.

    The model has random weights (speed is unaffected).

    Parameters
    ----------
    config : dict
        Keys of a ``config.json``.
    lengths : ndarray of int
        Tokens of each text of a job. Measurements use a random sample.
    precisions : list of str
        Precisions to measure in. int8 is measured for scoring only.
    n_threads : int
    freeze : int, default=0
        Number of frozen layers, as the engine counts them.
    batch_size : int, default=16
        Texts per training step; each step updates the weights once.
    seconds : float, default=10.0
        Approximate time for all measurements. Each takes at least a few calls.

    Returns
    -------
    list of dict
        ``precision``; ``scoring``, in tokens per second; ``training``, in tokens per second
        including the update of the weights, or None; ``gradients``, the same without the update
        (missing for int8); ``update``, the seconds of one update, or None.
    """
    bench = _Bench(BertForSequenceClassification.from_config(config, random_state=0), n_threads)
    share = seconds / (2 * len(precisions) - ("int8" in precisions))
    rows = []
    for precision in precisions:
        row: dict[str, Any] = {"precision": precision, "training": None, "update": None}
        row["scoring"] = bench.scoring(lengths, precision, share)
        if precision != "int8":
            row |= bench.training(lengths, precision, freeze, share)
            tokens = batch_size * float(np.mean(lengths))
            row["training"] = tokens / (tokens / row["gradients"] + row["update"])
        rows.append(row)
    return rows


def measure_rates(
    model: BertForSequenceClassification,
    jobs: Sequence[tuple[Ints, int]],
    *,
    precision: str,
    inference_precision: str,
    n_threads: int,
    passes: tuple[int, int] = (0, 0),
    seconds: float = 5.0,
) -> Rates:
    """Measure a model before it is trained, at several lengths and numbers of frozen layers.

    Parameters
    ----------
    model : BertForSequenceClassification
        Its parameters do not change: updates have a learning rate of 0.
    jobs : list of (ndarray of int, int)
        Tokens of each sequence, and number of frozen layers. The first job must have the longest
        sequences; scoring is measured on it only.
    precision, inference_precision : str
        Precision of training and of scoring.
    n_threads : int
    passes : PassTokens, default=(0, 0)
        Tokens that are processed at once.
    seconds : float, default=5.0
        Approximate time for all measurements.

    Returns
    -------
    Rates
    """
    bench = _Bench(model, n_threads, *passes)
    share = seconds / (len(jobs) + 1)
    scoring = bench.scoring(jobs[0][0], inference_precision, share)
    rows = [
        {"length": attended(lengths), "freeze": freeze, "scoring": scoring}
        | bench.training(lengths, precision, freeze, share)
        for lengths, freeze in jobs
    ]
    return Rates(rows)


def measure_scoring(
    model: BertForSequenceClassification,
    lengths: Ints,
    *,
    precision: str,
    n_threads: int,
    seconds: float,
) -> float:
    """Return the tokens per second of scoring sequences of such lengths, measured on `model`."""
    return _Bench(model, n_threads).scoring(lengths, precision, seconds)


def attended(lengths: Ints) -> float:
    """Return the mean length of the sequence of a token, over all tokens."""
    tokens = lengths.astype(np.float64)
    return float((tokens**2).sum() / tokens.sum())


class Rates:
    """Speed at any length and number of frozen layers, interpolated from a few measurements.

    The time of a token is a constant for the linear layers plus, in attention, a part that is
    proportional to the length of its sequence. Times between two lengths are therefore
    interpolated linearly. The relative gain from freezing is assumed not to depend on the length.

    Parameters
    ----------
    rows : list of dict
        ``length`` (from `attended`), ``freeze``, ``gradients`` and ``scoring`` in tokens per
        second, ``update`` in seconds, and if layers are frozen, the tokens per second that these
        compute (``frozen``). The first row is the reference.
    """

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def at(self, length: float, freeze: int) -> dict[str, float]:
        """Return the rates for a length and a number of frozen layers, for `estimate`."""
        first = self.rows[0]
        alike = sorted(
            (row["length"], 1 / row["gradients"])
            for row in self.rows if row["freeze"] == first["freeze"]
        )
        # Relative to the first row.
        known, times = zip(*alike, strict=True)
        by_length = np.interp(length, known, times) * first["gradients"]
        row = next((row for row in self.rows if row["freeze"] == freeze), first)
        found = {
            "gradients": float(row["gradients"] / by_length),
            "update": row["update"],
            "scoring": float(first["scoring"] / by_length),
        }
        if row.get("frozen"):
            found["frozen"] = float(row["frozen"] / by_length)
        return found


class _Bench:
    """A model to measure, with the buffers for training it."""

    def __init__(
        self,
        model: BertForSequenceClassification,
        n_threads: int,
        micro_batch_tokens: int = 0,
        chunk_tokens: int = 0,
    ) -> None:
        self.model, self.core, self.n_threads = model, model._core, n_threads
        self.micro_batch_tokens, self.chunk_tokens = micro_batch_tokens, chunk_tokens
        self.buffers = [np.zeros(model._flat.size, dtype=np.float32) for _ in range(3)]
        self.rng = np.random.default_rng(0)

    def scoring(self, lengths: Ints, precision: str, seconds: float) -> float:
        """Return the tokens per second of scoring."""

        def score(batch: Batch) -> None:
            self.core.score(
                *batch, n_threads=self.n_threads, chunk_tokens=self.chunk_tokens,
                precision=precision,
            )

        return self._rate(score, lengths, MOST_TOKENS * self.n_threads, seconds)

    def training(
        self, lengths: Ints, precision: str, freeze: int, seconds: float
    ) -> dict[str, float]:
        """Return ``gradients`` (tokens per second without the update) and ``update`` (seconds).

        If layers are frozen, also ``frozen``, the tokens per second that these compute.
        """

        def gradient(batch: Batch) -> None:
            texts = len(batch[3]) - 1
            self.core.forward_backward(
                *batch, np.arange(texts, dtype=np.uint64), np.zeros(texts, dtype=np.int32), None,
                self.buffers[0], freeze=freeze, training=True, seed=0, step=0,
                n_threads=self.n_threads, micro_batch_tokens=self.micro_batch_tokens,
                precision=precision,
            )

        def frozen(batch: Batch) -> None:
            engine, tokens = self.model._engine, len(batch[0])
            count = len(batch[3]) - 1 if freeze == engine["num_hidden_layers"] else tokens
            self.core.frozen_rows(
                *batch, freeze, np.empty(count * engine["hidden_size"], np.float32),
                n_threads=self.n_threads, micro_batch_tokens=self.micro_batch_tokens,
                precision=precision,
            )

        share = seconds / 4 if freeze else 0.0
        found = {
            "gradients": self._rate(gradient, lengths, MOST_TOKENS, seconds - share),
            "update": self._update(gradient, self._draw(lengths, 1), freeze),
        }
        if freeze:
            found["frozen"] = self._rate(frozen, lengths, MOST_TOKENS, share)
        return found

    def _rate(
        self, call: Callable[[Batch], None], lengths: Ints, most: int, seconds: float
    ) -> float:
        """Return the tokens per second of a call, measured on as many tokens as time allows."""
        check_interrupts()
        call(self._draw(lengths, 1))  # weights are packed for the first time
        check_interrupts()
        batch = self._draw(lengths, FIRST_TOKENS)
        started = time.perf_counter()
        call(batch)
        spent = time.perf_counter() - started
        rate = len(batch[0]) / spent
        if spent > seconds:
            return rate
        batch = self._draw(lengths, min(most, max(FIRST_TOKENS, int(rate * seconds / 3))))
        tokens, started = 0, time.perf_counter()
        while True:
            check_interrupts()
            call(batch)
            tokens += len(batch[0])
            spent = time.perf_counter() - started
            if spent + spent * len(batch[0]) / tokens > seconds:
                return tokens / spent

    def _update(self, gradient: Callable[[Batch], None], batch: Batch, freeze: int) -> float:
        """Return the seconds of an update, and of packing the new weights in the next step."""
        started = time.perf_counter()
        # With a learning rate of 0, the update does all its work, but the weights stay the same.
        self.core.apply(
            *self.buffers, lr=0.0, max_grad_norm=1.0, freeze=freeze, n_threads=self.n_threads
        )
        applied = time.perf_counter()
        gradient(batch)
        first = time.perf_counter()
        gradient(batch)
        again = time.perf_counter()
        return applied - started + max(0.0, (first - applied) - (again - first))

    def _draw(self, lengths: Ints, tokens: int) -> Batch:
        return _draw(self.rng, lengths, self.model, tokens)


def _draw(
    rng: np.random.Generator, lengths: Ints, model: BertForSequenceClassification, tokens: int
) -> Batch:
    """Return a random batch of about that many tokens, with at least one text."""
    drawn = [int(rng.choice(lengths))]
    while sum(drawn) < tokens:
        drawn.append(int(rng.choice(lengths)))
    ids = rng.integers(0, model._engine["vocab_size"], sum(drawn)).astype(np.int32)
    return ids, None, None, np.cumsum([0, *drawn], dtype=np.int64)


def estimate(
    row: Mapping[str, Any], job: Mapping[str, Any], epochs: int, batch_size: float,
    *, cached: bool = False, words: float = 0.0,
) -> dict[str, Any]:
    """Estimate the seconds of a job.

    Parameters
    ----------
    row : dict
        From `measure` or `Rates.at`.
    job : dict
        ``train_texts``, ``train_tokens``, ``test_tokens`` and ``predicted_tokens``. Optionally
        ``train_tokens_twice``, which go through a second forward pass, ``validation_tokens``, and
        ``evaluations``, the number of times that these are scored.
    epochs, batch_size : int
    cached : bool, default=False
        Whether frozen layers are computed only once.
    words : float, default=0.0
        Seconds of what is trained before, a part of ``train``.

    Returns
    -------
    dict
        Seconds of ``frozen`` (computing cached layers), ``steps`` (training), ``evaluation``
        (scoring held-out texts) and ``test`` (once at the end), of ``train`` (the sum of these),
        and of ``predict`` (scoring all texts).
    """
    seconds: dict[str, Any] = {"train": None, "predict": job["predicted_tokens"] / row["scoring"]}
    if row.get("gradients") is not None:
        steps = math.ceil(job["train_texts"] / batch_size)
        seconds["frozen"] = job["train_tokens"] / row["frozen"] if cached else 0.0
        gradients = job["train_tokens"] / row["gradients"]
        seconds["steps"] = epochs * (
            max(gradients - seconds["frozen"], LEAST_PART * gradients) + steps * row["update"]
            + job.get("train_tokens_twice", 0) / row["scoring"]
        )
        scored = job.get("evaluations", 0) * job.get("validation_tokens", 0)
        seconds["evaluation"] = scored / row["scoring"]
        seconds["test"] = job["test_tokens"] / row["scoring"]
        seconds["train"] = sum(
            seconds[part] for part in ("frozen", "steps", "evaluation", "test")
        ) + words
    return seconds
