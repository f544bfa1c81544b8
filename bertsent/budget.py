"""A time to end in: how it is written, how much of it is used, and whether a step still fits."""

import contextlib
import math
import re
import time

_TIME = re.compile(
    r"(?:(\d+(?:\.\d+)?)\s*h)?\s*(?:(\d+(?:\.\d+)?)\s*min)?\s*(?:(\d+(?:\.\d+)?)\s*s)?",
    re.IGNORECASE,
)
_SECONDS = (3600, 60, 1)

# What steps, evaluations and checkpoints may take in the end, against what they took or are thought
# to take; and the part of the budget that is kept for all else.
MARGIN = 1.25
SLACK = 0.01
# Part of the newest step in the mean by which it is told how much slower than planned all is.
NEWEST = 0.2

# The time source, in seconds.
now = time.monotonic


def parse_time(value):
    """Seconds of a number of them, or of a text such as ``"90s"``, ``"30min"`` or ``"1h30min"``."""
    if not isinstance(value, str):
        return float(value)
    found = _TIME.fullmatch(value.strip())
    numbers = found.groups(0) if found else (0, 0, 0)
    seconds = sum(float(n) * unit for n, unit in zip(numbers, _SECONDS, strict=True))
    if not seconds:
        raise ValueError(f"{value!r} is no time")
    return seconds


def format_time(seconds):
    """A time that `parse_time` reads as at least so long."""
    if seconds <= 600:
        return f"{math.ceil(seconds)}s"
    return f"{math.ceil(seconds / 60)}min"


class Budget:
    """The time of one call of `fit`, from its beginning.

    Parameters
    ----------
    seconds : float
        How long it may take; infinity for a run without a budget, whose methods then cost and
        change nothing.

    Attributes
    ----------
    before : float
        Seconds that a run had used up to the checkpoint that it goes on from.
    """

    def __init__(self, seconds=math.inf):
        self.seconds = seconds
        self.started = now()
        self.before = self.begun = self.planned_step = 0.0
        self.slowness = 1.0
        self.longest = {"step": 0.0, "evaluation": 0.0, "checkpoint": 0.0}

    @classmethod
    def of(cls, time_budget):
        """That of the parameter; None has no end."""
        return cls() if time_budget is None else cls(parse_time(time_budget))

    @property
    def is_limited(self):
        """Whether there is an end."""
        return not math.isinf(self.seconds)

    @property
    def used(self):
        """Seconds used so far."""
        return self.before + now() - self.started

    @property
    def reserve(self):
        """Seconds that a step, an evaluation and a checkpoint may take together."""
        return MARGIN * self.slowness * sum(self.longest.values()) + SLACK * self.seconds

    def begin(self, begun, *, step, evaluation, checkpoint):
        """Training begins.

        Parameters
        ----------
        begun : float
            Seconds used when it was begun for the first time: a run that goes on from a
            checkpoint is not at its beginning.
        step, evaluation, checkpoint : float
            Seconds that each is planned to take.
        """
        self.begun, self.planned_step = begun, step
        self.longest = {"step": step, "evaluation": evaluation, "checkpoint": checkpoint}

    @property
    def progress(self):
        """Part of the time for training that is over, from 0 to 1; without a budget 0."""
        if not self.is_limited:
            return 0.0
        length = self.seconds - self.reserve - self.begun
        return min(1.0, max(0.0, self.used - self.begun) / length) if length > 0 else 1.0

    def has_room(self):
        """Whether there is time for one more step, and to end after it."""
        return not self.is_limited or self.used + self.reserve <= self.seconds

    @contextlib.contextmanager
    def timed(self, what):
        """Note how long a "step", an "evaluation" or a "checkpoint" takes, inside ``with``.

        Others may take the processor in the middle of a run, and what has not been done since
        then would be thought too short: so what takes long is noted as what it would have taken
        as planned, and all is multiplied by how much slower the last steps were.
        """
        started = now()
        yield
        seconds = now() - started
        if what == "step" and self.planned_step:
            newest = seconds / self.planned_step
            self.slowness = max(1.0, self.slowness + NEWEST * (newest - self.slowness))
        self.longest[what] = max(self.longest[what], seconds / self.slowness)
