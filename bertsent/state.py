"""Where a training run stands: all that changes from step to step besides the weights."""

import math
from dataclasses import dataclass, field

import numpy as np

from bertsent.example_history import ExampleHistory
from bertsent.validation import Best


class Sums:
    """Running loss and accuracy of an epoch, by the weights of what was learned from."""

    def __init__(self):
        self.weight = self.loss_sum = self.hits = self.seconds = 0.0
        self.tokens = 0

    def add(self, done):
        """Take up a step, as `bertsent.training.Learned` tells of it."""
        self.tokens += done.tokens
        if done.loss is not None:
            self.weight += done.weight
            self.loss_sum += done.loss * done.weight
            self.hits += done.hits

    @property
    def loss(self):
        """Mean loss of the texts so far, NaN before the first."""
        return self.loss_sum / self.weight if self.weight else math.nan

    @property
    def accuracy(self):
        """Part of the texts so far that were labelled rightly, NaN before the first."""
        return self.hits / self.weight if self.weight else math.nan


@dataclass
class State:
    """Where a run stands.

    Parameters
    ----------
    exp_avg, exp_avg_sq : float32 ndarray
        Both moments of AdamW, laid out as the parameters.
    best : Best
        What early stopping remembers.
    step, epoch : int
        Steps and epochs done.
    order : int64 ndarray or None
        Order of the texts in the epoch under way; None between two epochs.
    position : int
        Texts of that order already trained on.
    sums : Sums
        Of the epoch under way.
    history, evaluations : list of dict
        One row an epoch; one row an evaluation.
    stopped, finished : bool
        No further step is wanted; nothing is left to do.
    examples : ExampleHistory or None
        What was seen of each text, if that is kept.
    settled : bool
        Whether the run stands between two steps, so that it could go on from here.
    used : float
        Seconds of a time budget that were over when this was saved.
    """

    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    best: Best = field(default_factory=Best)
    step: int = 0
    epoch: int = 0
    order: np.ndarray | None = None
    position: int = 0
    sums: Sums = field(default_factory=Sums)
    history: list = field(default_factory=list)
    evaluations: list = field(default_factory=list)
    stopped: bool = False
    finished: bool = False
    examples: ExampleHistory | None = None
    settled: bool = True
    used: float = 0.0

    @classmethod
    def fresh(cls, model, best=None):
        """The state before the first step."""
        size = model._flat.size
        return cls(
            np.zeros(size, dtype=np.float32),
            np.zeros(size, dtype=np.float32),
            Best() if best is None else best,
        )

    def begin_epoch(self, order):
        """Set out on an epoch."""
        self.order, self.position, self.sums = order, 0, Sums()

    @property
    def tokens(self):
        """Tokens trained on so far."""
        under_way = 0 if self.order is None else self.sums.tokens
        return sum(row["tokens"] for row in self.history) + under_way

    def record(self):
        """What a classifier tells of a run."""
        return {
            "history": self.history,
            "evaluations": self.evaluations,
            "best_step": self.best.step,
            "examples": self.examples,
        }
