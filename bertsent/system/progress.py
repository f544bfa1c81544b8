"""Display the progress of training and scoring.

A display is an object that is called on every event. Those in this module show nothing; `bars`,
`lines` and `notebook` have the others, and `make_progress` and `row_progress` choose.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from bertsent.system.display import display_kind
from bertsent.system.notices import is_news
from bertsent.system.units import format_seconds

if TYPE_CHECKING:
    from typing_extensions import Self

Row = Mapping[str, Any]

# Said if an interrupt has to wait.
STOPPING = "training stops after this evaluation; a second interrupt stops it at once"


class Stopped(Protocol):
    """What `Silent.stopped` reads of an early stop."""

    @property
    def watched(self) -> str | None: ...
    @property
    def step(self) -> int | None: ...
    @property
    def since(self) -> int: ...


class _Display:
    """The base class of both kinds of display, which are used in a ``with`` statement."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the display."""


class Silent(_Display):
    """Displays nothing, and is the base class of displays for training."""

    def announce(self, line: str) -> None:
        """Called with a line of information before training begins."""

    def notice(self, line: str) -> None:
        """Called with a line that is shown once a process."""

    def start(
        self, epochs: int, steps: int, tokens: int, steps_done: int = 0, tokens_done: int = 0
    ) -> None:
        """Called when training begins or is resumed.

        Parameters
        ----------
        epochs : int
            Number of epochs.
        steps, tokens : int
            Number of steps and tokens per epoch.
        steps_done, tokens_done : int, default=0
            Number of steps and tokens that were completed before the run was resumed.
        """

    def prepared(self, part: float) -> None:
        """Called while the output of frozen layers is computed; `part` goes from 0 to 1."""

    def step(self, epoch: int, tokens: int, means: Mapping[str, float]) -> None:
        """Called after each step.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        tokens : int
            Number of tokens in the step.
        means : dict of str to float
            Loss and metrics by name, each the mean since the epoch began.
        """

    def evaluating(self, part: float) -> None:
        """Called while held-out texts are scored; `part` goes from 0 to 1."""

    def evaluation(self, row: Row) -> None:
        """Called after an evaluation within an epoch, with its row of the evaluations."""

    def epoch(self, row: Row) -> None:
        """Called after each epoch, with its row of the history."""

    def stopping(self) -> None:
        """Called if an interrupt has to wait until held-out texts are scored."""

    def stopped(self, best: Stopped) -> None:
        """Called when early stopping ends training; the weights are those of `best`."""

    def out_of_time(self, step: int, steps: int) -> None:
        """Called when the time budget ends training after `step` of the planned `steps`."""

    def end(self, outcome: str) -> None:
        """Called when training ends: "finished", "stopped", "interrupted" or "failed"."""


class Shown(Silent, ABC):
    """The base class of displays that show something. It counts what is done.

    Attributes
    ----------
    epochs, steps, tokens : int
        Numbers of all epochs, steps and tokens.
    number : int
        Number of the current epoch, from 0.
    steps_done, tokens_done : int
        Numbers of steps and tokens that are done.
    means : dict of str to float
        Loss and metrics by name, the means of the current epoch.
    state, part : str and float
        What is done between the steps, and how much of it is done; `state` is empty during the
        steps.
    """

    state, part = "", 0.0
    epochs = steps = tokens = number = steps_done = tokens_done = 0

    @abstractmethod
    def say(self, line: str) -> None:
        """Show a line."""

    @abstractmethod
    def refresh(self) -> None:
        """Show the counts, unless they were shown just before."""

    def announce(self, line: str) -> None:
        self.say(line)

    def notice(self, line: str) -> None:
        if is_news(line):
            self.say(line)

    def start(
        self, epochs: int, steps: int, tokens: int, steps_done: int = 0, tokens_done: int = 0
    ) -> None:
        self.epochs, self.steps, self.tokens = epochs, epochs * steps, epochs * tokens
        self.number = min(steps_done // steps, epochs - 1)
        self.steps_done, self.tokens_done = steps_done, tokens_done
        self._before, self._began = tokens_done, time.monotonic()
        self.means, self.state, self.part = dict[str, float](), "", 0.0

    def prepared(self, part: float) -> None:
        self._began = time.monotonic()  # they are no part of the speed of steps
        self._do("frozen layers", part)

    def step(self, epoch: int, tokens: int, means: Mapping[str, float]) -> None:
        self.steps_done += 1
        self.tokens_done += tokens
        self.number, self.means, self.state = epoch, dict(means), ""
        self.refresh()

    def evaluating(self, part: float) -> None:
        self._do("evaluation", part)

    def _do(self, what: str, part: float) -> None:
        """Show how much of some work between the steps is done."""
        self.part = part
        self.state = f"{what} {part:.0%}" if part < 1 else ""
        if self.state:
            self.refresh()

    def evaluation(self, row: Row) -> None:
        self.say(describe_evaluation(row))

    def epoch(self, row: Row) -> None:
        self.say(describe_epoch(row, self.epochs))

    def stopping(self) -> None:
        self.say(STOPPING)

    def stopped(self, best: Stopped) -> None:
        self.say(describe_stop(best))

    def out_of_time(self, step: int, steps: int) -> None:
        self.say(describe_end(step, steps))

    @property
    def rate(self) -> float:
        """Tokens per second, with evaluations; 0 before the first step."""
        seconds = time.monotonic() - self._began
        return (self.tokens_done - self._before) / max(seconds, 1e-9)

    @property
    def left(self) -> str:
        """The time that is left, as text; "?" before the first step."""
        rate = self.rate
        return format_seconds((self.tokens - self.tokens_done) / rate) if rate else "?"


def describe_epoch(row: Row, epochs: int) -> str:
    """Return a row of the history as a line."""
    rate = row["tokens"] / max(row["seconds"], 1e-9)
    done = f", {row['part']:.0%} done" if "part" in row else " done"
    return (
        f"epoch {row['epoch']}/{epochs}{done}: {describe_means(row)}, {rate:,.0f} tokens/s, "
        f"{format_seconds(row['seconds'])}"
    )


def describe_evaluation(row: Row) -> str:
    """Return a row of the evaluations as a line."""
    return f"step {row['step']}: {describe_means(row)}"


def describe_stop(best: Stopped) -> str:
    """Return a line that tells the user about early stopping."""
    return (
        f"stopped early: validation {best.watched} has not improved for {best.since} "
        f"evaluations; the weights of step {best.step} are restored"
    )


def describe_end(step: int, steps: int) -> str:
    """Return a line that tells the user that the time budget has ended training."""
    return f"the time budget ends training after {step:,} of {steps:,} steps"


def describe_means(row: Row) -> str:
    """Return the losses and metrics of a row as text, without its counts and times."""
    return ", ".join(f"{name} {value}" for name, value in format_means(row).items())


def format_means(row: Row) -> dict[str, str]:
    """Return the losses and metrics of a row, as text by their names for people."""
    return {
        name.replace("_", " "): f"{value:.{4 if name.endswith('loss') else 3}f}"
        for name, value in row.items()
        if name not in ("step", "epoch", "part", "tokens", "seconds")
    }


def make_progress(
    verbose: bool | int, stream: TextIO | None = None, *, brief: bool = False
) -> Silent:
    """Return a display of training.

    Parameters
    ----------
    verbose : bool or int
        If false, nothing is displayed.
    stream : file or None, default=None
        Where text is written. None means `bertsent.system.display.text_stream`.
    brief : bool, default=False
        Whether to display one line when all is done.

    Returns
    -------
    Silent
        A bar on terminals, a table in notebooks, with a curve if that was chosen, lines
        elsewhere; see `display_kind`.
    """
    kind = display_kind(stream) if verbose else "none"
    if kind == "none":
        return Silent()
    if brief or kind == "lines":
        from bertsent.system.lines import Brief, Lines

        return Brief(stream) if brief else Lines(stream)
    if kind in ("notebook", "curve"):
        from bertsent.system.notebook import Table

        return Table(curve=kind == "curve")
    from bertsent.system.bars import Bar

    return Bar(stream)


class SilentRows(_Display):
    """Displays nothing; counts rows, and is the base class of displays for scoring."""

    def look(self, source: str | PathLike[str]) -> None:
        """Called before the first pass over a file, which checks it and counts its rows."""

    def looked(self, rows: int) -> None:
        """Called during that pass, with the number of further rows that were read."""

    def start(self, total: int) -> None:
        """Called before scoring, with the total number of rows."""
        self.total, self.done, self.size = total, 0, 0

    def begin(self, rows: int) -> None:
        """Called before each chunk, with its number of rows."""
        self.done += self.size
        self.size = rows

    def part(self, part: float) -> None:
        """Called within a chunk; `part` goes from 0 to 1."""
        self.show(self.done + int(part * self.size))

    def show(self, rows: int) -> None:
        """Display the number of rows that were scored so far."""


def row_progress(verbose: bool | int, stream: TextIO | None = None) -> SilentRows:
    """Return a display of scoring; parameters are those of `make_progress`."""
    kind = display_kind(stream) if verbose else "none"
    if kind == "none":
        return SilentRows()
    if kind == "lines":
        from bertsent.system.lines import RowLines

        return RowLines(stream)
    if kind in ("notebook", "curve"):
        from bertsent.system.notebook import RowOutput

        return RowOutput()
    from bertsent.system.bars import RowBar

    return RowBar(stream)
