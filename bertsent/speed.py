"""How fast a model is trained and scores on this machine, and what that means for a job.

Time is taken on a model with random weights, which is as fast as any other of its shape.
"""

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
    """Measure the speed of training and scoring.

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
    model = BertForSequenceClassification.from_config(config, random_state=0)
    core, size = model._core, model._flat.size
    state = [np.zeros(size, dtype=np.float32) for _ in range(3)]
    rng = np.random.default_rng(0)
    jobs = 2 * len(precisions) - ("int8" in precisions)
    share = seconds / jobs
    rows = []
    for precision in precisions:
        how = {"n_threads": n_threads}
        if precision != "float32":
            how["precision"] = precision

        def score(batch, how=how):
            core.score(*batch, **how)

        def gradient(batch, how=how):
            texts = len(batch[3]) - 1
            core.forward_backward(
                *batch, np.arange(texts, dtype=np.uint64), np.zeros(texts, dtype=np.int32), None,
                state[0], freeze=freeze, training=True, seed=0, step=0, **how,
            )

        row = {"precision": precision, "scoring": None, "training": None, "update": None}
        row["scoring"] = _rate(score, rng, lengths, model, MOST_TOKENS * n_threads, share)
        if precision != "int8":
            rate = _rate(gradient, rng, lengths, model, MOST_TOKENS, share)
            row["update"] = _update(core, gradient, _draw(rng, lengths, model, FIRST_TOKENS), state,
                                    freeze=freeze, n_threads=n_threads)
            tokens = batch_size * float(np.mean(lengths))
            row["training"] = tokens / (tokens / rate + row["update"])
            row["gradients"] = rate
        rows.append(row)
    return rows


def _rate(call, rng, lengths, model, most, seconds):
    """Tokens a second of a call, timed on as many tokens as there is time for."""
    batch = _draw(rng, lengths, model, FIRST_TOKENS)
    call(batch)  # memory is touched and weights are packed for the first time
    started = time.perf_counter()
    call(batch)
    rate = len(batch[0]) / (time.perf_counter() - started)
    batch = _draw(rng, lengths, model, min(most, max(FIRST_TOKENS, int(rate * seconds / 3))))
    tokens, started = 0, time.perf_counter()
    while True:
        call(batch)
        tokens += len(batch[0])
        spent = time.perf_counter() - started
        if spent + spent * len(batch[0]) / tokens > seconds:
            return tokens / spent


def _update(core, gradient, batch, state, **how):
    """Seconds that an update takes, and what the next step does to take the new weights up."""
    started = time.perf_counter()
    core.apply(*state, lr=1e-5, max_grad_norm=1.0, **how)
    applied = time.perf_counter()
    gradient(batch)
    first = time.perf_counter()
    gradient(batch)
    again = time.perf_counter()
    return applied - started + max(0.0, (first - applied) - (again - first))


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
        Of `measure`.
    job : dict
        ``train_texts``, ``train_tokens``, ``test_tokens`` and ``tokens``; perhaps
        ``train_tokens_twice``, which go forward once more.
    epochs, batch_size : int

    Returns
    -------
    dict
        ``train``: training, and testing once at the end; ``predict``: scoring all texts.
    """
    seconds = {"train": None, "predict": job["tokens"] / row["scoring"]}
    if row["training"] is not None:
        steps = math.ceil(job["train_texts"] / batch_size)
        seconds["train"] = (
            epochs * (job["train_tokens"] / row["gradients"] + steps * row["update"])
            + epochs * job.get("train_tokens_twice", 0) / row["scoring"]
            + job["test_tokens"] / row["scoring"]
        )
    return seconds
