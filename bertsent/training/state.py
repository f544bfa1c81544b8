"""The state of a training run: everything that changes between steps, except the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.training.evaluation import Best
from bertsent.training.example_history import ExampleHistory

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.training.examples import Learned
    from bertsent.training.types import Trainable


class Sums:
    """Weighted sums of loss and metric over the steps of an epoch."""

    def __init__(self) -> None:
        self.weight = self.loss_sum = self.metric_sum = self.seconds = 0.0
        self.tokens = 0

    def add(self, done: Learned) -> None:
        """Add the result of a step, a `Learned`."""
        self.tokens += done.tokens
        if done.loss is not None:
            self.weight += done.weight
            self.loss_sum += done.loss * done.weight
            self.metric_sum += done.metric_sum

    @property
    def loss(self) -> float:
        """Mean loss so far, NaN before the first step."""
        return self.loss_sum / self.weight if self.weight else math.nan

    @property
    def metric(self) -> float:
        """Mean of the metric so far, NaN before the first step."""
        return self.metric_sum / self.weight if self.weight else math.nan

    def to_json(self) -> dict[str, float]:
        """Return the sums under their names in a checkpoint."""
        return {_IN_CHECKPOINTS.get(name, name): value for name, value in vars(self).items()}

    def restore(self, saved: Mapping[str, float]) -> None:
        """Undo `to_json`."""
        for name in vars(self):
            setattr(self, name, saved[_IN_CHECKPOINTS.get(name, name)])


# Checkpoints call the sum of the metric by this name because the metric used to be accuracy only.
_IN_CHECKPOINTS = {"metric_sum": "hits"}


@dataclass
class State:
    """The state of a training run, except the weights.

    Parameters
    ----------
    exp_avg, exp_avg_sq : float32 ndarray
        Both moments of AdamW, in the layout of the parameters.
    best : Best
        State of early stopping.
    step, epoch : int
        Number of completed steps and epochs.
    order : int64 ndarray or None
        Order of the texts in the current epoch; None between two epochs.
    position : int
        Number of texts of the current epoch that were trained on.
    sums : Sums
        Of the current epoch.
    history, evaluations : list of dict
        One row for each epoch, and one for each evaluation.
    stopped, finished : bool
        Whether no further step is wanted, and whether nothing is left to do.
    examples : ExampleHistory or None
        What was recorded of each text.
    settled : bool
        Whether the run is between two steps, so that it can be resumed from this state.
    used : float
        Seconds of the time budget that were used when the state was saved.
    """

    exp_avg: npt.NDArray[np.float32]
    exp_avg_sq: npt.NDArray[np.float32]
    best: Best = field(default_factory=Best)
    step: int = 0
    epoch: int = 0
    order: npt.NDArray[np.int64] | None = None
    position: int = 0
    sums: Sums = field(default_factory=Sums)
    history: list[dict[str, Any]] = field(default_factory=list)
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False
    finished: bool = False
    examples: ExampleHistory | None = None
    settled: bool = True
    used: float = 0.0

    @classmethod
    def fresh(cls, model: Trainable, best: Best | None = None) -> State:
        """Return the state before the first step."""
        size = model._flat.size
        return cls(
            np.zeros(size, dtype=np.float32),
            np.zeros(size, dtype=np.float32),
            Best() if best is None else best,
        )

    def begin_epoch(self, order: npt.NDArray[np.int64]) -> None:
        """Begin an epoch."""
        self.order, self.position, self.sums = order, 0, Sums()

    def means(self, metric: str) -> dict[str, float]:
        """Return the mean loss and metric of the current epoch by name."""
        return {"loss": self.sums.loss, metric: self.sums.metric}

    def row(self, metric: str) -> dict[str, Any]:
        """Return the row of the current epoch in the history, without evaluation.

        It has a ``part`` if not all texts were trained on.
        """
        row: dict[str, Any] = {"epoch": self.epoch + 1} | self.means(metric)
        row |= {"tokens": self.sums.tokens, "seconds": self.sums.seconds}
        assert self.order is not None
        if self.position < len(self.order):
            row["part"] = self.position / len(self.order)
        return row

    def rows(self, metric: str) -> list[dict[str, Any]]:
        """Return the history, with the current epoch if a step of it was done."""
        under_way = self.order is not None and self.position > 0
        return [*self.history, self.row(metric)] if under_way else self.history

    @property
    def tokens(self) -> int:
        """Number of tokens trained on so far."""
        under_way = 0 if self.order is None else self.sums.tokens
        done: int = sum(row["tokens"] for row in self.history)
        return done + under_way
