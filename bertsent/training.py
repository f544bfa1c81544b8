"""The training loop: batches cut from the token stream, learning rates, one row an epoch."""

import math
import time
from dataclasses import dataclass

import numpy as np

from bertsent.progress import Silent


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, besides the texts and the initial weights.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the texts; texts a step.
    learning_rate, weight_decay, max_grad_norm : float
        Peak rate and decay of AdamW; norm that gradients are clipped to (0: not at all).
    warmup_ratio : float
        Part of the steps in which the rate rises.
    freeze : int
        0 trains everything; k leaves the embeddings and the first k layers as they are.
    order_seed, dropout_seed : int
        Seeds of the order of the texts and of dropout.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    max_grad_norm: float = 1.0
    freeze: int = 0
    order_seed: int = 0
    dropout_seed: int = 0


@dataclass(frozen=True)
class Examples:
    """Tokenized texts with what is to be learned from them.

    Parameters
    ----------
    ids : int32 ndarray
        The tokens of all texts, end to end.
    offsets : int64 ndarray
        Where each text begins, and where the last one ends.
    labels : int32 ndarray
        Class numbers.
    weights : float32 ndarray or None
        What each text counts; None if all count alike.
    """

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self):
        return len(self.labels)

    def gather(self, rows):
        """Tokens of some texts, laid end to end in the order of ``rows``.

        Returns
        -------
        ids : int32 ndarray
        cu_seqlens : int64 ndarray
        """
        begins = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begins
        cu_seqlens = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=cu_seqlens[1:])
        shifts = np.repeat(begins - cu_seqlens[:-1], lengths)
        return self.ids[shifts + np.arange(cu_seqlens[-1])], cu_seqlens


def linear_schedule(step, total, warmup_ratio):
    """Factor of the learning rate at a 0-based step: up from zero, then down to zero."""
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return step / warmup
    return (total - step) / max(1, total - warmup)


def epoch_order(n_texts, seed, epoch):
    """Order of the texts in an epoch, which depends on nothing but its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(n_texts)


def train(model, examples, recipe, *, n_threads, validation=None, progress=None, history=None):
    """Train a model in place.

    Parameters
    ----------
    model : BertForSequenceClassification
        Its parameters are overwritten.
    examples : Examples
        What to learn from.
    recipe : Recipe
        How.
    n_threads : int
        Threads of the engine; they do not change the result.
    validation : Examples or None
        Scored after every epoch, without dropout.
    progress : Silent or a class with its methods, or None
        Is told of every step and epoch.
    history : list or None
        Rows are appended to this list, so that a caller still has those of the finished
        epochs when training is interrupted. One is made if None.

    Returns
    -------
    list of dict
        One row an epoch: epoch, loss, accuracy, validation_loss and validation_accuracy if there
        is a validation set, tokens, seconds.

    Raises
    ------
    FloatingPointError
        Loss or gradient is not finite. The step at which that was seen has changed nothing.
    """
    progress = Silent() if progress is None else progress
    history = [] if history is None else history
    engine = model._core
    size = model._flat.size
    grads, exp_avg, exp_avg_sq = (np.zeros(size, dtype=np.float32) for _ in range(3))
    steps_an_epoch = math.ceil(len(examples) / recipe.batch_size)
    total = recipe.epochs * steps_an_epoch
    progress.start(recipe.epochs, steps_an_epoch, int(examples.offsets[-1]))
    step = 0
    for epoch in range(recipe.epochs):
        order = epoch_order(len(examples), recipe.order_seed, epoch)
        sums = _Sums()
        started = time.perf_counter()
        for first in range(0, len(order), recipe.batch_size):
            rows = order[first : first + recipe.batch_size]
            ids, cu_seqlens = examples.gather(rows)
            labels = examples.labels[rows]
            weights = None if examples.weights is None else examples.weights[rows]
            # A batch whose texts all count nothing has no loss; its step passes without update.
            if weights is None or weights.any():
                try:
                    loss, logits, _ = engine.train_step(
                        ids, None, None, cu_seqlens, rows.astype(np.uint64), labels, weights,
                        grads, exp_avg, exp_avg_sq,
                        freeze=recipe.freeze,
                        seed=recipe.dropout_seed,
                        step=step,
                        lr=recipe.learning_rate * linear_schedule(step, total, recipe.warmup_ratio),
                        weight_decay=recipe.weight_decay,
                        max_grad_norm=recipe.max_grad_norm,
                        n_threads=n_threads,
                    )
                except FloatingPointError as error:
                    raise _diverged(error, step, total, epoch, recipe) from error
                sums.add(loss, logits, labels, weights)
            sums.tokens += len(ids)
            step += 1
            progress.step(epoch, len(ids), sums.loss, sums.accuracy)
        row = {"epoch": epoch + 1, "loss": sums.loss, "accuracy": sums.accuracy}
        row["tokens"] = sums.tokens
        row["seconds"] = time.perf_counter() - started
        if validation is not None:
            row |= evaluate(model, validation, n_threads)
        history.append(row)
        progress.epoch(row)
    return history


def evaluate(model, examples, n_threads):
    """Loss and accuracy on texts that are not trained on."""
    logits = model.score_packed(examples.ids, examples.offsets, n_threads)
    losses = -log_softmax(logits)[np.arange(len(examples)), examples.labels]
    hits = logits.argmax(axis=1) == examples.labels
    return {
        "validation_loss": float(losses.mean()),
        "validation_accuracy": float(hits.mean()),
    }


def log_softmax(logits):
    """Logarithms of the probabilities, in float64, so that these add up to 1 exactly enough."""
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class _Sums:
    """Running loss and accuracy of an epoch, each text counting by its weight."""

    def __init__(self):
        self.weight = self.loss_sum = self.hits = 0.0
        self.tokens = 0

    def add(self, loss, logits, labels, weights):
        hits = logits.argmax(axis=1) == labels
        weight = float(len(labels) if weights is None else weights.sum(dtype=np.float64))
        self.weight += weight
        self.loss_sum += loss * weight
        self.hits += float(hits.sum() if weights is None else weights[hits].sum(dtype=np.float64))

    @property
    def loss(self):
        return self.loss_sum / self.weight if self.weight else math.nan

    @property
    def accuracy(self):
        return self.hits / self.weight if self.weight else math.nan


def _diverged(error, step, total, epoch, recipe):
    return FloatingPointError(
        f"training stopped at step {step + 1} of {total} (epoch {epoch + 1}): {error}. "
        f"Try a lower learning_rate (it was {recipe.learning_rate:g}), a smaller max_grad_norm "
        f"(it was {recipe.max_grad_norm:g}) or a larger warmup_ratio "
        f"(it was {recipe.warmup_ratio:g})"
    )
