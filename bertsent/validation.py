"""Texts that are held out of training: scored now and then, and when to stop by them."""

import math

import numpy as np


def log_softmax(logits):
    """Logarithms of the probabilities, in float64, so that these add up to 1 exactly enough."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def vote(opinions):
    """Logits whose softmax is the mean of the probabilities of several arrays of logits."""
    together = np.logaddexp.reduce([log_softmax(logits) for logits in opinions])
    return (together - math.log(len(opinions))).astype(np.float32)


def evaluate(model, examples, n_threads, precision=None, chunk_tokens=0):
    """Loss and accuracy on texts that are not trained on, without dropout."""
    logits = model.score_packed(
        examples.ids, examples.offsets, n_threads, precision, chunk_tokens=chunk_tokens
    )
    if examples.windows is not None:
        logits = examples.windows.mean(logits)
    losses = -log_softmax(logits)[np.arange(len(examples)), examples.labels]
    hits = logits.argmax(axis=1) == examples.labels
    return {
        "validation_loss": float(losses.mean()),
        "validation_accuracy": float(hits.mean()),
    }


class Best:
    """The best evaluation so far with its weights, and how many have passed since.

    Parameters
    ----------
    watched : {"loss", "accuracy"} or None
        What makes an evaluation better; None watches nothing and keeps nothing.
    patience : int
        Evaluations in a row without a better one after which to stop.

    Attributes
    ----------
    value, step : float and int, or None
        The best one and the number of steps done before it.
    since : int
        Evaluations after it.
    weights : float32 ndarray or None
        The trained part of the parameters at that time.
    """

    def __init__(self, watched=None, patience=1):
        self.watched = watched
        self.patience = patience
        self.value = self.step = self.weights = None
        self.since = 0

    def see(self, row, weights):
        """Take note of an evaluation; returns whether patience is at its end.

        A loss that is not a number is never the better one. Of equals the first counts.
        """
        if self.watched is None:
            return False
        value = row[f"validation_{self.watched}"]
        better = self.value is None or (
            value < self.value if self.watched == "loss" else value > self.value
        )
        if better and not math.isnan(value):
            self.value, self.step, self.since = value, row["step"], 0
            self.weights = weights.copy()
        else:
            self.since += 1
        return self.is_over()

    def is_over(self):
        """Whether patience is at its end."""
        return self.watched is not None and self.since >= self.patience
