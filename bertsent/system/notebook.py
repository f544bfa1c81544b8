"""Progress in notebooks: an output of the cell that is updated in place and saved with it.

It needs no widgets: the output is HTML, with the same content as text for programs that show no
HTML. It takes its colours from the page.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterable, Mapping
from html import escape
from os import PathLike
from typing import Any

from bertsent.system.display import front_end
from bertsent.system.live_curve import LiveCurve
from bertsent.system.progress import (
    STOPPING,
    Row,
    Shown,
    SilentRows,
    Stopped,
    describe_end,
    describe_stop,
    format_means,
)
from bertsent.system.tables import html_table, text_table
from bertsent.system.units import format_seconds

# Seconds between two updates.
UPDATE_EVERY = 0.5
# Scoring that takes less time than this is not displayed.
SHOWN_AFTER = 1.0
# Rows of a table; if there are more, the first ones are left out.
MOST_ROWS = 30


class Output:
    """An output of the current cell that can be replaced."""

    def __init__(self) -> None:
        self.shell = front_end()
        self.id = uuid.uuid4().hex
        self.shown = False
        self.published = 0.0

    def is_due(self) -> bool:
        """Return whether it is time for an update."""
        return time.monotonic() - self.published >= UPDATE_EVERY

    def publish(self, html: Iterable[str], text: Iterable[str]) -> None:
        """Show the output, or replace it.

        Parameters
        ----------
        html, text : iterable of str
            Its parts, in both forms.
        """
        publisher = getattr(self.shell, "display_pub", None)
        if publisher is None:
            return
        self.published = time.monotonic()
        data = {"text/html": f"<div>{''.join(html)}</div>", "text/plain": "\n".join(text)}
        with contextlib.suppress(OSError, ValueError):
            publisher.publish(
                data=data, metadata={}, transient={"display_id": self.id}, update=self.shown
            )
        self.shown = True


class _Run:
    """What is shown of the training of one model."""

    def __init__(self) -> None:
        self.head: list[str] = []
        self.rows: list[dict[str, Any]] = []
        self.left_out = 0
        self.foot: list[str] = []
        self.curve, self.steps = LiveCurve(), 0

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, or replace the last one if it is of the same step."""
        if self.rows and self.rows[-1]["step"] == row["step"]:
            row["means"] = self.rows.pop()["means"] | row["means"]
        self.rows.append(row)
        if len(self.rows) > MOST_ROWS:
            del self.rows[0]
            self.left_out += 1


class Table(Shown):
    """A table with a row for each epoch and evaluation, and a bar below it during training.

    Parameters
    ----------
    curve : bool, default=False
        Whether to draw the loss by step too.
    """

    def __init__(self, curve: bool = False) -> None:
        self.output, self.curve = Output(), curve
        self.runs = [_Run()]
        self.running, self.waiting = False, ""

    def say(self, line: str) -> None:
        self.runs[-1].head.append(line)
        self._publish()

    def announce(self, line: str) -> None:
        if self.runs[-1].foot:  # those of a further model
            self.runs.append(_Run())
        self.say(line)

    def start(
        self, epochs: int, steps: int, tokens: int, steps_done: int = 0, tokens_done: int = 0
    ) -> None:
        super().start(epochs, steps, tokens, steps_done, tokens_done)
        self.started = self.epoch_started = time.monotonic()
        self.steps_before = steps_done
        self.runs[-1].steps = self.steps
        self.running = True
        self._publish()

    def refresh(self) -> None:
        if self.output.is_due():
            self._publish()

    def step(self, epoch: int, tokens: int, means: Mapping[str, float]) -> None:
        if "loss" in means:
            self.runs[-1].curve.add(self.steps_done + 1, means["loss"])
        super().step(epoch, tokens, means)

    def evaluation(self, row: Row) -> None:
        self._evaluated(row)
        self.runs[-1].add(self._row({**self.means, **row}))
        self.refresh()

    def epoch(self, row: Row) -> None:
        self._evaluated(row)
        self.runs[-1].add(self._row(row))
        self.epoch_started, self.means = time.monotonic(), {}
        self.refresh()

    def _evaluated(self, row: Row) -> None:
        if "validation_loss" in row:
            self.runs[-1].curve.evaluate(self.steps_done, row["validation_loss"])

    def stopping(self) -> None:
        self.waiting = STOPPING
        self._publish()

    def stopped(self, best: Stopped) -> None:
        self.runs[-1].foot.append(describe_stop(best))

    def out_of_time(self, step: int, steps: int) -> None:
        self.runs[-1].foot.append(describe_end(step, steps))

    def end(self, outcome: str) -> None:
        if outcome in ("interrupted", "failed"):
            if self.means:
                self.runs[-1].add(self._row(self.means))
            line = f"{outcome} at {self._place()}"
        elif self.steps_done == self.steps_before:
            line = "all steps were done before"
        else:
            seconds = format_seconds(time.monotonic() - self.started)
            steps = self.steps_done - self.steps_before
            line = f"{steps:,} steps in {seconds}, {self.rate:,.0f} tokens/s"
        self.runs[-1].foot.append(line)
        self.running = False
        self._publish()

    def _place(self) -> str:
        return (
            f"epoch {self.number + 1} of {self.epochs}, step {self.steps_done:,} of {self.steps:,}"
        )

    def _row(self, row: Row) -> dict[str, Any]:
        return {
            "epoch": row.get("epoch", self.number + 1),
            "step": self.steps_done,
            "means": format_means(row),
            "seconds": row.get("seconds", time.monotonic() - self.epoch_started),
        }

    def _publish(self) -> None:
        html: list[str] = []
        text: list[str] = []
        for run in self.runs:
            rows, foot = list(run.rows), list(run.foot)
            if self.running and run is self.runs[-1]:
                if self.means:
                    rows.append(self._row(self.means))
                speed = f"{self.rate:,.0f} tokens/s, {self.left} left" if self.means else ""
                foot.append(" · ".join(filter(None, (self._place(), self.state, speed))))
                foot += filter(None, [self.waiting])
            html += map(_paragraph, run.head)
            text += run.head
            if rows:
                columns, cells = _lay_out(rows, run.left_out)
                html.append(html_table(columns, cells))
                text.append(text_table(columns, cells))
            if self.curve:
                html.append(run.curve.draw(run.steps))
            html += map(_paragraph, foot)
            text += foot
        if self.running:
            # Before the first step, frozen layers are computed.
            html.append(_bar(self.tokens_done / max(1, self.tokens) or self.part))
        self.output.publish(html, text)


class RowOutput(SilentRows):
    """A line and a bar that count rows. If there are few texts, nothing is shown."""

    def __init__(self) -> None:
        self.output = Output()
        self.output.published = time.monotonic() + SHOWN_AFTER - UPDATE_EVERY
        self.line, self.rows = "", 0

    def look(self, source: str | PathLike[str]) -> None:
        self.source, self.read = source, 0

    def looked(self, rows: int) -> None:
        self.read += rows
        self._show(f"checking {self.source}: {self.read:,} rows")

    def start(self, total: int) -> None:
        super().start(total)
        self.began = time.monotonic()

    def show(self, rows: int) -> None:
        self.rows = rows
        seconds = max(time.monotonic() - self.began, 1e-9)
        rate = rows / seconds
        if rows == self.total:
            line = f"{rows:,} rows scored in {format_seconds(seconds)}, {rate:,.1f} rows/s"
            self._show(line, force=self.output.shown)
        elif rows:
            left = format_seconds((self.total - rows) / rate)
            line = f"{rows:,} of {self.total:,} rows scored, {rate:,.1f} rows/s, {left} left"
            self._show(line, rows / self.total)

    def _show(self, line: str, part: float | None = None, force: bool = False) -> None:
        self.line = line
        if force or self.output.is_due():
            bar = [] if part is None else [_bar(part)]
            self.output.publish([_paragraph(line), *bar], [line])

    def close(self) -> None:
        if self.output.shown:
            if 0 < self.rows < self.total:
                self.line = f"stopped after {self.rows:,} of {self.total:,} rows"
            self.output.publish([_paragraph(self.line)], [self.line])


def _lay_out(rows: list[dict[str, Any]], left_out: int) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns and the cells of a table."""
    names = list(dict.fromkeys(name for row in rows for name in row["means"]))
    cells = [
        [
            str(row["epoch"]), f"{row['step']:,}",
            *(row["means"].get(name, "") for name in names), format_seconds(row["seconds"]),
        ]
        for row in rows
    ]
    if left_out:
        cells.insert(0, ["…", *[""] * (len(names) + 2)])
    return ["epoch", "step", *names, "time"], cells


def _paragraph(line: str) -> str:
    return f'<p style="margin: 0.2em 0">{escape(line)}</p>'


def _bar(part: float) -> str:
    return (
        '<div style="border: 1px solid currentColor; height: 0.5em; max-width: 30em; '
        f'opacity: 0.7"><div style="background: currentColor; height: 100%; width: {part:.1%}">'
        "</div></div>"
    )
