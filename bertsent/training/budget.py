"""A time budget: how much of it is used, and whether another step fits."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator

from bertsent.system import parse_time

# Safety factor for the time of the last step, evaluation and checkpoint, and the share of the
# budget that is reserved for everything else.
MARGIN = 1.25
SLACK = 0.01
# Weight of the newest step in the moving average of the slowdown.
NEWEST = 0.2

# The time source, in seconds.
now = time.monotonic


class Budget:
    """The time budget of one call of `fit`, from its start.

    Parameters
    ----------
    seconds : float, default=inf
        How long the call may take. With infinity there is no budget, and the methods have no
        effect.

    Attributes
    ----------
    before : float
        Seconds that a resumed run had used before its checkpoint.
    evaluations : int
        Number of evaluations that may follow a step before training ends.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self.seconds = seconds
        self.started = now()
        self.before = self.begun = self.planned_step = 0.0
        self.slowness, self.evaluations = 1.0, 1
        self.longest = {"step": 0.0, "evaluation": 0.0, "checkpoint": 0.0}

    @classmethod
    def of(cls, time_budget: float | str | None) -> Budget:
        """Return the budget for a value of the parameter; None means no limit."""
        return cls() if time_budget is None else cls(parse_time(time_budget))

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit."""
        return not math.isinf(self.seconds)

    @property
    def used(self) -> float:
        """Seconds used so far."""
        return self.before + now() - self.started

    @property
    def reserve(self) -> float:
        """Seconds to reserve for one step, one evaluation (or more) and one checkpoint."""
        further = (self.evaluations - 1) * self.longest["evaluation"]
        together = sum(self.longest.values()) + further
        return MARGIN * self.slowness * together + SLACK * self.seconds

    def begin(
        self, begun: float, *, step: float, evaluation: float, checkpoint: float
    ) -> None:
        """Record that training begins.

        Parameters
        ----------
        begun : float
            Seconds used when training first began, before any checkpoint of a resumed run.
        step, evaluation, checkpoint : float
            Planned seconds of each.
        """
        self.begun, self.planned_step = begun, step
        self.longest = {"step": step, "evaluation": evaluation, "checkpoint": checkpoint}

    @property
    def progress(self) -> float:
        """Share of the time for training that is used, from 0 to 1; 0 without a budget."""
        if not self.is_limited:
            return 0.0
        length = self.seconds - self.reserve - self.begun
        return min(1.0, max(0.0, self.used - self.begun) / length) if length > 0 else 1.0

    def has_room(self) -> bool:
        """Return whether there is time for one more step, and to finish after it."""
        return not self.is_limited or self.used + self.reserve <= self.seconds

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Measure a "step", an "evaluation" or a "checkpoint", in a ``with`` statement.

        If the machine becomes slower during a run, times measured before are too short. Times are
        therefore recorded relative to the slowdown of the latest steps, and `reserve` multiplies
        all of them by the current slowdown.
        """
        started = now()
        yield
        seconds = now() - started
        if what == "step" and self.planned_step:
            newest = seconds / self.planned_step
            self.slowness = max(1.0, self.slowness + NEWEST * (newest - self.slowness))
        self.longest[what] = max(self.longest[what], seconds / self.slowness)
