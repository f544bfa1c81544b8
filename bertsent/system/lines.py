"""Progress as lines of text, for files, pipes and logs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TextIO

from bertsent.system.display import write_line
from bertsent.system.progress import Row, Shown, Silent, SilentRows, describe_means
from bertsent.system.units import format_seconds

# Seconds between two lines.
LINE_EVERY = 30.0


class Lines(Shown):
    """One line per epoch, and others at intervals in between."""

    def __init__(self, stream: TextIO | None = None, every: float = LINE_EVERY) -> None:
        self.stream, self.every = stream, every

    def say(self, line: str) -> None:
        self._said = time.monotonic()
        write_line(line, self.stream)

    def start(
        self, epochs: int, steps: int, tokens: int, steps_done: int = 0, tokens_done: int = 0
    ) -> None:
        super().start(epochs, steps, tokens, steps_done, tokens_done)
        self._said = time.monotonic()

    def refresh(self) -> None:
        if time.monotonic() - self._said < self.every:
            return
        if self.state:
            self.say(self.state)
        else:
            self.say(
                f"epoch {self.number + 1}/{self.epochs} step {self.steps_done}/{self.steps}: "
                f"{describe_means(self.means)}, {self.rate:,.0f} tokens/s, {self.left} left"
            )


class Brief(Silent):
    """A single line when all is done, for one of many runs."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream, self.began = stream, time.monotonic()
        self.last: list[Row] = []  # the last epoch of each model
        self.all_epochs = self.all_steps = 0

    def start(
        self, epochs: int, steps: int, tokens: int, steps_done: int = 0, tokens_done: int = 0
    ) -> None:
        self.row: Row = {}

    def step(self, epoch: int, tokens: int, means: Mapping[str, float]) -> None:
        self.all_steps += 1

    def epoch(self, row: Row) -> None:
        self.row = row
        self.all_epochs += 1

    def end(self, outcome: str) -> None:
        if self.row:  # not if the run had finished before
            self.last.append(self.row)

    def __exit__(self, *error: object) -> None:
        if error[0] is not None or not self.last:
            return
        names = [name for name in self.last[0] if all(name in row for row in self.last)]
        means = {name: sum(row[name] for row in self.last) / len(self.last) for name in names}
        models = f"{len(self.last)} models, " if len(self.last) > 1 else ""
        write_line(
            f"trained {models}{_count(self.all_epochs, 'epoch')}, "
            f"{_count(self.all_steps, 'step')} in "
            f"{format_seconds(time.monotonic() - self.began)}: {describe_means(means)}",
            self.stream,
        )


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


class RowLines(SilentRows):
    """Lines at intervals, while texts are scored."""

    def __init__(self, stream: TextIO | None = None, every: float = LINE_EVERY) -> None:
        self.stream, self.every = stream, every

    def start(self, total: int) -> None:
        super().start(total)
        self.began = self.said = time.monotonic()

    def show(self, rows: int) -> None:
        now = time.monotonic()
        if now - self.said < self.every or not rows:
            return
        self.said = now
        rate = rows / (now - self.began)
        left = format_seconds((self.total - rows) / rate)
        write_line(
            f"{rows:,} of {self.total:,} rows scored, {rate:,.1f} rows/s, {left} left", self.stream
        )
