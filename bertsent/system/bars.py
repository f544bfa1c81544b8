"""Progress bars for terminals. Where the terminal is narrow, less is said beside the bar."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from os import PathLike
from typing import Any, TextIO

from tqdm import tqdm

from bertsent.system.display import text_stream, write_line
from bertsent.system.progress import Shown, SilentRows, format_means
from bertsent.system.units import format_seconds

# Columns of the shortest bar.
SHORTEST = 8

# Texts to the left and to the right of a bar, the longest first.
Layouts = Iterator[tuple[str, str]]


class FittingBar(tqdm):  # type: ignore[misc]  # tqdm has no type hints
    """A bar with the longest texts beside it that fit into the terminal.

    Parameters
    ----------
    layouts : callable
        Returns the texts to choose from.
    stream : file or None
        The terminal.
    **options
        Further parameters of tqdm.
    """

    def __init__(
        self, layouts: Callable[[], Layouts], stream: TextIO | None, **options: Any
    ) -> None:
        self.layouts = layouts
        stream = stream or text_stream()
        super().__init__(file=stream, mininterval=0.2, **_screen(stream), **options)

    def __str__(self) -> str:
        facts = self.format_dict
        columns = (facts["ncols"] or 80) - 1  # some terminals begin a line after the last column
        for left, right in self.layouts():
            if len(left) + len(right) + SHORTEST + 4 <= columns:
                break
        if self.total is None or not left:
            return f"{left} {right}"[:columns].strip()
        left, right = (part.replace("{", "{{").replace("}", "}}") for part in (left, right))
        facts |= {"ncols": columns, "bar_format": f"{left} |{{bar}}| {right}"}
        text: str = self.format_meter(**facts)
        return text[:columns]


class Bar(Shown):
    """A bar that counts tokens. Epochs and evaluations are lines above it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self.bar: FittingBar | None = None

    def say(self, line: str) -> None:
        if self.bar is None:
            write_line(line, self.stream)
        else:
            with tqdm.external_write_mode(file=self.bar.fp):
                write_line(line, self.stream)

    def start(
        self, epochs: int, steps: int, tokens: int, steps_done: int = 0, tokens_done: int = 0
    ) -> None:
        self.close()
        super().start(epochs, steps, tokens, steps_done, tokens_done)
        self.bar = FittingBar(
            self._layouts, self.stream, total=self.tokens, initial=self.tokens_done
        )

    def refresh(self) -> None:
        if self.bar is not None:
            self.bar.update(self.tokens_done - self.bar.n)
            if self.state:
                self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def _layouts(self) -> Layouts:
        epoch = f"epoch {self.number + 1}/{self.epochs}"
        steps = f"{epoch} step {self.steps_done}/{self.steps}"
        if self.state or not self.means:
            yield steps, self.state
            yield epoch, self.state
            yield "", self.state
            return
        means = format_means(self.means)
        named = ", ".join(f"{name} {value}" for name, value in means.items())
        short = ", ".join(
            f"{name if len(name) < 5 else name[:3]} {value}" for name, value in means.items()
        )
        yield steps, f"{named}, {self.rate:,.0f} tokens/s, {self.left} left"
        yield steps, f"{named}, {self.left} left"
        yield epoch, f"{named}, {self.left} left"
        yield epoch, f"{short}, {self.left}"
        yield f"{self.number + 1}/{self.epochs}", f"{short}, {self.left}"
        yield "", f"{short}, {self.left}"


class RowBar(SilentRows):
    """A bar that counts rows."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream
        self.bar: FittingBar | None = None

    def look(self, source: str | PathLike[str]) -> None:
        self.source = os.fspath(source)
        self._open(None, self._checking)

    def looked(self, rows: int) -> None:
        if self.bar is not None:
            self.bar.update(rows)

    def start(self, total: int) -> None:
        super().start(total)
        self._open(total, self._scoring)

    def show(self, rows: int) -> None:
        if self.bar is not None:
            self.bar.update(rows - self.bar.n)

    def _open(self, total: int | None, layouts: Callable[[], Layouts]) -> None:
        self.close()
        self.bar = FittingBar(layouts, self.stream, total=total, leave=False)

    def _checking(self) -> Layouts:
        rows = f"{self._counts()[0]:,} rows"
        yield f"checking {self.source}:", rows
        yield f"checking {os.path.basename(self.source)}:", rows
        yield "checking", rows

    def _scoring(self) -> Layouts:
        rows, seconds = self._counts()
        rate = rows / max(seconds, 1e-9)
        done = f"{rows:,} of {self.total:,} rows"
        if not rows:
            yield "scoring", done
            yield "scoring", ""
            return
        left = f"{format_seconds((self.total - rows) / rate)} left"
        yield "scoring", f"{done}, {rate:,.1f} rows/s, {left}"
        yield "scoring", f"{done}, {left}"
        yield "scoring", left
        yield "", left

    def _counts(self) -> tuple[int, float]:
        """Return the number of rows that are done, and the seconds that they took."""
        if self.bar is None:
            return 0, 0.0
        return self.bar.n, self.bar.format_dict["elapsed"]

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _screen(stream: TextIO | None) -> dict[str, Any]:
    """Return tqdm's options for the screen size. If it is unknown, tqdm would show nothing."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns if stream else 0
    except (OSError, ValueError, AttributeError):
        columns = 0
    return {"dynamic_ncols": True} if columns else {"ncols": 80, "nrows": 24}
