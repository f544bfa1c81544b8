"""How fast a model is trained and scores on this machine, and what that means for a job."""

import math
import time

import numpy as np

from bertsent.model import BertForSequenceClassification

# The shape of all-MiniLM-L6-v2.
MINILM = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "hidden_act": "gelu",
}
# Tokens of a measurement: no fewer than the engine takes at once in training.
MOST_TOKENS = 2048
FIRST_TOKENS = 256


def measure(config, lengths, *, precisions, n_threads, freeze=0, batch_size=16, seconds=10.0):
    """Measure the speed of training and scoring in several precisions.

    Time is taken on a model with random weights, which is as fast as any other of its shape.

    Parameters
    ----------
    config : dict
        Keys of a ``config.json``.
    lengths : ndarray of int
        Tokens of each text of a job; some are drawn from these.
    precisions : list of str
        What to measure in; int8 is for scoring only.
    n_threads : int
    freeze : int
        Frozen layers, as the engine counts them.
    batch_size : int
        Texts of a training step, each of which updates the weights once.
    seconds : float
        For all measurements together, about. One takes at least a few calls.

    Returns
    -------
    list of dict
        ``precision``; ``scoring``, tokens a second; ``training``, the same with the update of
        the weights, or None; ``update``, seconds that one update takes, or None.
    """
    bench = _Bench(BertForSequenceClassification.from_config(config, random_state=0), n_threads)
    share = seconds / (2 * len(precisions) - ("int8" in precisions))
    rows = []
    for precision in precisions:
        row = {"precision": precision, "training": None, "update": None}
        row["scoring"] = bench.scoring(lengths, precision, share)
        if precision != "int8":
            row |= bench.training(lengths, precision, freeze, share)
            tokens = batch_size * float(np.mean(lengths))
            row["training"] = tokens / (tokens / row["gradients"] + row["update"])
        rows.append(row)
    return rows


def measure_rates(
    model, jobs, *, precision, inference_precision, n_threads, plan=(0, 0), seconds=5.0
):
    """Measure a model that is going to be trained, at several lengths and numbers of frozen layers.

    Parameters
    ----------
    model : BertForSequenceClassification
        Its parameters stay as they are: updates are made at a learning rate of 0.
    jobs : list of (ndarray of int, int)
        Tokens of each sequence, and frozen layers. The first is the one with the longest
        sequences; scoring is measured on it alone.
    precision, inference_precision : str
        What training and scoring compute in.
    n_threads : int
    plan : Plan
        Tokens that go through the model at once.
    seconds : float
        For all measurements together, about.

    Returns
    -------
    Rates
    """
    bench = _Bench(model, n_threads, *plan)
    share = seconds / (len(jobs) + 1)
    scoring = bench.scoring(jobs[0][0], inference_precision, share)
    rows = [
        {"length": attended(lengths), "freeze": freeze, "scoring": scoring}
        | bench.training(lengths, precision, freeze, share)
        for lengths, freeze in jobs
    ]
    return Rates(rows)


def attended(lengths):
    """How long the sequence is that a token lies in, on the mean over all tokens."""
    lengths = lengths.astype(np.float64)
    return float((lengths**2).sum() / lengths.sum())


class Rates:
    """Speed at any length and number of frozen layers, from measurements at a few.

    A token costs a constant for the matrices, and in attention in proportion to the length of its
    sequence; so what lies between two lengths is found on a line. What freezing saves at one
    length it saves at another, in proportion.

    Parameters
    ----------
    rows : list of dict
        ``length``, as `attended` gives it, ``freeze``, ``gradients`` and ``scoring``, tokens a
        second, and ``update``, seconds. The first is the one that others are compared with.
    """

    def __init__(self, rows):
        self.rows = rows

    def at(self, length, freeze):
        """The row for one length, as `estimate` takes it."""
        first = self.rows[0]
        alike = sorted(
            (row["length"], 1 / row["gradients"])
            for row in self.rows if row["freeze"] == first["freeze"]
        )
        # Relative to the first row.
        by_length = np.interp(length, *zip(*alike, strict=True)) * first["gradients"]
        frozen = next((row for row in self.rows if row["freeze"] == freeze), first)
        return {
            "gradients": float(frozen["gradients"] / by_length),
            "update": frozen["update"],
            "scoring": float(first["scoring"] / by_length),
        }


class _Bench:
    """A model that is measured, with the buffers of its training."""

    def __init__(self, model, n_threads, micro_batch_tokens=0, chunk_tokens=0):
        self.model, self.core, self.n_threads = model, model._core, n_threads
        self.micro_batch_tokens, self.chunk_tokens = micro_batch_tokens, chunk_tokens
        self.buffers = [np.zeros(model._flat.size, dtype=np.float32) for _ in range(3)]
        self.rng = np.random.default_rng(0)

    def scoring(self, lengths, precision, seconds):
        """Tokens a second of scoring."""

        def score(batch):
            self.core.score(
                *batch, n_threads=self.n_threads, chunk_tokens=self.chunk_tokens,
                precision=precision,
            )

        return self._rate(score, lengths, MOST_TOKENS * self.n_threads, seconds)

    def training(self, lengths, precision, freeze, seconds):
        """``gradients``, tokens a second without the update, and ``update``, its seconds."""

        def gradient(batch):
            texts = len(batch[3]) - 1
            self.core.forward_backward(
                *batch, np.arange(texts, dtype=np.uint64), np.zeros(texts, dtype=np.int32), None,
                self.buffers[0], freeze=freeze, training=True, seed=0, step=0,
                n_threads=self.n_threads, micro_batch_tokens=self.micro_batch_tokens,
                precision=precision,
            )

        return {
            "gradients": self._rate(gradient, lengths, MOST_TOKENS, seconds),
            "update": self._update(gradient, self._draw(lengths, 1), freeze),
        }

    def _rate(self, call, lengths, most, seconds):
        """Tokens a second of a call, timed on as many tokens as there is time for."""
        call(self._draw(lengths, 1))  # weights are packed for the first time
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
            call(batch)
            tokens += len(batch[0])
            spent = time.perf_counter() - started
            if spent + spent * len(batch[0]) / tokens > seconds:
                return tokens / spent

    def _update(self, gradient, batch, freeze):
        """Seconds that an update takes, and what the next step does to take the weights up."""
        started = time.perf_counter()
        # At a rate of 0 all is done as in training, and the weights stay as they are.
        self.core.apply(
            *self.buffers, lr=0.0, max_grad_norm=1.0, freeze=freeze, n_threads=self.n_threads
        )
        applied = time.perf_counter()
        gradient(batch)
        first = time.perf_counter()
        gradient(batch)
        again = time.perf_counter()
        return applied - started + max(0.0, (first - applied) - (again - first))

    def _draw(self, lengths, tokens):
        return _draw(self.rng, lengths, self.model, tokens)


def _draw(rng, lengths, model, tokens):
    """Texts of about so many tokens in all, at least one: what the engine calls a batch."""
    drawn = [int(rng.choice(lengths))]
    while sum(drawn) < tokens:
        drawn.append(int(rng.choice(lengths)))
    ids = rng.integers(0, model._engine["vocab_size"], sum(drawn)).astype(np.int32)
    return ids, None, None, np.cumsum([0, *drawn], dtype=np.int64)


def estimate(row, job, epochs, batch_size):
    """Seconds that a job takes.

    Parameters
    ----------
    row : dict
        Of `measure`, or of `Rates`.
    job : dict
        ``train_texts``, ``train_tokens``, ``test_tokens`` and ``predicted_tokens``; perhaps
        ``train_tokens_twice``, which go forward once more, ``validation_tokens``, and
        ``evaluations``, how often these are scored.
    epochs, batch_size : int

    Returns
    -------
    dict
        ``steps``, ``evaluation`` and ``test``: the training steps, scoring what is held out, and
        testing once at the end; ``train``: all three; ``predict``: scoring all texts.
    """
    seconds = {"train": None, "predict": job["predicted_tokens"] / row["scoring"]}
    if row.get("gradients") is not None:
        steps = math.ceil(job["train_texts"] / batch_size)
        seconds["steps"] = epochs * (
            job["train_tokens"] / row["gradients"] + steps * row["update"]
            + job.get("train_tokens_twice", 0) / row["scoring"]
        )
        scored = job.get("evaluations", 0) * job.get("validation_tokens", 0)
        seconds["evaluation"] = scored / row["scoring"]
        seconds["test"] = job["test_tokens"] / row["scoring"]
        seconds["train"] = seconds["steps"] + seconds["evaluation"] + seconds["test"]
    return seconds
