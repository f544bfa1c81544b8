"""Evaluation on held-out texts, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bertsent.model import score_in_pieces

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bertsent.model import BertForSequenceClassification
    from bertsent.training.examples import Examples


def evaluate(
    model: BertForSequenceClassification,
    examples: Examples,
    n_threads: int,
    precision: str | None = None,
    chunk_tokens: int = 0,
    report: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """Return loss and metrics on held-out texts, without dropout."""
    logits = held_out_logits(model, examples, n_threads, precision, chunk_tokens, report)
    found = examples.objective.evaluate(logits, examples.targets)
    scorer = examples.scorer
    if scorer is not None:
        found |= {scorer.name: scorer(examples.objective, logits, examples.targets)}
    return {f"validation_{name}": value for name, value in found.items()}


def held_out_logits(
    model: BertForSequenceClassification,
    examples: Examples,
    n_threads: int,
    precision: str | None = None,
    chunk_tokens: int = 0,
    report: Callable[[float], None] | None = None,
) -> npt.NDArray[np.float32]:
    """Return the logits of held-out texts. Parameters are as for `evaluate`."""
    logits = score_in_pieces(
        model, examples.ids, examples.offsets, n_threads, report, types=examples.types,
        precision=precision, chunk_tokens=chunk_tokens,
    )
    return logits if examples.windows is None else examples.windows.mean(logits)


class Best:
    """The best evaluation so far with its weights, and the number of evaluations since.

    Parameters
    ----------
    watched : str or None
        What evaluations are compared by, "loss" or a metric; with None nothing is compared and
        no weights are kept.
    patience : int
        Number of evaluations in a row without improvement after which training stops.
    greater_is_better : bool
        Whether a larger value is better.

    Attributes
    ----------
    value, step : float and int, or None
        Value of the best evaluation, and the number of steps before it.
    since : int
        Number of evaluations after the best one.
    weights : float32 ndarray or None
        The trained part of the parameters at the best evaluation.
    """

    def __init__(
        self,
        watched: str | None = None,
        patience: float = 1,
        greater_is_better: bool = False,
    ) -> None:
        self.watched = watched
        self.patience = patience
        self.greater_is_better = greater_is_better
        self.value: float | None = None
        self.step: int | None = None
        self.weights: npt.NDArray[np.float32] | None = None
        self.since = 0

    def see(self, row: Mapping[str, Any], weights: npt.NDArray[np.float32]) -> bool:
        """Compare an evaluation with the best one; return whether training should stop.

        NaN is never better. If two evaluations tie, the earlier one is kept.
        """
        if self.watched is None:
            return False
        value: float = row[f"validation_{self.watched}"]
        better = self.value is None or (
            value > self.value if self.greater_is_better else value < self.value
        )
        if better and not math.isnan(value):
            self.value, self.step, self.since = value, row["step"], 0
            self.weights = weights.copy()
        else:
            self.since += 1
        return self.is_over()

    def is_over(self) -> bool:
        """Return whether there was no improvement for `patience` evaluations."""
        return self.watched is not None and self.since >= self.patience
