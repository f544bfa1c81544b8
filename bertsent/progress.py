"""What training and scoring say while they run: a bar, or plain lines in a log."""

import os
import sys
import time

# Seconds between two plain lines where there is no terminal.
LINE_EVERY = 30.0

# Short enough for 80 columns; what does not fit is cut off at its end.
_BAR = "{desc} |{bar}| {rate_noinv_fmt}, {remaining} left{postfix}"


class Silent:
    """Says nothing; also the list of what a progress display is told."""

    def announce(self, line):
        """What is to be known before training begins."""

    def start(self, epochs, steps, tokens, steps_done=0, tokens_done=0):
        """Training begins, or goes on: epochs, steps and tokens in each, and what was done."""

    def prepared(self, part):
        """This part of what comes before the first step is done."""

    def step(self, epoch, tokens, loss, accuracy):
        """A step is done: its epoch (from 0) and tokens, and the epoch's loss and accuracy."""

    def evaluation(self, row):
        """Validation texts were scored within an epoch: a row of the evaluations."""

    def epoch(self, row):
        """An epoch is done: its row of the history."""

    def stopped(self, best):
        """Training has stopped early; the weights are those of `best`."""

    def out_of_time(self, step, steps):
        """The time budget has no room for more than this of the planned steps."""

    def close(self):
        """Training has ended, well or not."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Bar(Silent):
    """A tqdm bar on a terminal or in a notebook, which counts tokens."""

    def __init__(self, stream=None):
        self.stream = stream
        self.bar = None

    def announce(self, line):
        print(line, file=self.stream or sys.stderr, flush=True)

    def start(self, epochs, steps, tokens, steps_done=0, tokens_done=0):
        self.epochs, self.steps, self.done = epochs, steps, steps_done
        self.bar = _tqdm()(
            total=epochs * tokens, initial=tokens_done,
            desc=self._title(min(steps_done // steps, epochs - 1)), unit=" tokens", unit_scale=True,
            bar_format=_BAR, file=self.stream, mininterval=0.2, **_screen(self.stream),
        )

    def prepared(self, part):
        self.bar.set_postfix_str(f"frozen layers {part:.0%}")

    def _title(self, epoch):
        return f"epoch {epoch + 1}/{self.epochs} step {self.done}/{self.epochs * self.steps}"

    def step(self, epoch, tokens, loss, accuracy):
        self.done += 1
        self.bar.set_description_str(self._title(epoch), refresh=False)
        self.bar.set_postfix_str(f"loss {loss:.4f}, accuracy {accuracy:.3f}", refresh=False)
        self.bar.update(tokens)

    def evaluation(self, row):
        self._say(describe_evaluation(row))

    def epoch(self, row):
        self._say(describe_epoch(row, self.epochs))

    def stopped(self, best):
        self._say(describe_stop(best))

    def out_of_time(self, step, steps):
        self._say(describe_end(step, steps))

    def _say(self, line):
        self.bar.write(line, file=self.stream or sys.stderr)

    def close(self):
        if self.bar is not None:
            self.bar.close()


class Lines(Silent):
    """Plain lines for a file or a pipe: one an epoch, and one now and then in between."""

    def __init__(self, stream=None, every=LINE_EVERY):
        self.stream = stream
        self.every = every

    def announce(self, line):
        self._say(line)

    def start(self, epochs, steps, tokens, steps_done=0, tokens_done=0):
        self.epochs, self.steps, self.total = epochs, steps, epochs * tokens - tokens_done
        self.done, self.tokens = steps_done, 0
        self.began = self.said = time.monotonic()

    def prepared(self, part):
        now = time.monotonic()
        if now - self.said >= self.every:
            self.said = now
            self._say(f"frozen layers: {part:.0%} computed")
        self.began = now

    def step(self, epoch, tokens, loss, accuracy):
        self.done += 1
        self.tokens += tokens
        now = time.monotonic()
        if now - self.said < self.every:
            return
        self.said = now
        rate = self.tokens / max(now - self.began, 1e-9)
        left = format_seconds((self.total - self.tokens) / rate)
        self._say(
            f"epoch {epoch + 1}/{self.epochs} step {self.done}/{self.epochs * self.steps}: "
            f"loss {loss:.4f}, accuracy {accuracy:.3f}, {rate:,.0f} tokens/s, {left} left"
        )

    def evaluation(self, row):
        self._say(describe_evaluation(row))

    def epoch(self, row):
        self.said = time.monotonic()
        self._say(describe_epoch(row, self.epochs))

    def stopped(self, best):
        self._say(describe_stop(best))

    def out_of_time(self, step, steps):
        self._say(describe_end(step, steps))

    def _say(self, line):
        print(line, file=self.stream or sys.stderr, flush=True)


def describe_epoch(row, epochs):
    """One row of the history as a line."""
    rate = row["tokens"] / max(row["seconds"], 1e-9)
    line = (
        f"epoch {row['epoch']}/{epochs} done: "
        f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.3f}"
    )
    if "validation_loss" in row:
        line += ", " + _validation(row)
    return f"{line}, {rate:,.0f} tokens/s, {format_seconds(row['seconds'])}"


def describe_evaluation(row):
    """One row of the evaluations as a line."""
    return f"step {row['step']}: {_validation(row)}"


def describe_stop(best):
    """What early stopping has done as a line."""
    return (
        f"stopped early: validation {best.watched} has not improved in {best.since} "
        f"evaluations; the weights are those after step {best.step}"
    )


def describe_end(step, steps):
    """That a time budget is used up as a line."""
    return f"the time budget ends training after {step:,} of {steps:,} steps"


def _validation(row):
    return (
        f"validation loss {row['validation_loss']:.4f}, "
        f"validation accuracy {row['validation_accuracy']:.3f}"
    )


def format_seconds(seconds):
    """Seconds as ``1.4 s``, ``12 s``, ``3:05 min`` or ``2:10 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"


def make_progress(verbose, stream=None):
    """The display for the place where the program runs."""
    if not verbose:
        return Silent()
    return Bar(stream) if _shows_bars(stream) else Lines(stream)


class SilentRows:
    """Says nothing of scoring; counts the rows for those that do."""

    def look(self, source):
        """A file is being looked through first."""

    def looked(self, rows):
        """So many more of its rows have been."""

    def start(self, total):
        """Scoring begins; so many rows are to be scored."""
        self.total, self.done, self.size = total, 0, 0

    def begin(self, rows):
        """The last rows are done, and now it is so many further ones."""
        self.done += self.size
        self.size = rows

    def part(self, part):
        """This part of them is done."""
        self.show(self.done + int(part * self.size))

    def show(self, rows):
        """So many rows are done in all."""

    def close(self):
        """Scoring has ended, well or not."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class RowBar(SilentRows):
    """A tqdm bar on a terminal or in a notebook, which counts rows."""

    def __init__(self, stream=None):
        self.stream = stream
        self.bar = None

    def look(self, source):
        self._open(None, f"looking through {source}")

    def looked(self, rows):
        self.bar.update(rows)

    def start(self, total):
        super().start(total)
        self._open(total, "scoring")

    def show(self, rows):
        self.bar.update(rows - self.bar.n)

    def _open(self, total, title):
        self.close()
        # Rows a second since the beginning: within a chunk the long texts come first.
        self.bar = _tqdm()(
            total=total, desc=title, unit=" rows", smoothing=0, file=self.stream, leave=False,
            **_screen(self.stream),
        )

    def close(self):
        if self.bar is not None:
            self.bar.close()


class RowLines(SilentRows):
    """Plain lines for a file or a pipe, now and then."""

    def __init__(self, stream=None, every=LINE_EVERY):
        self.stream = stream
        self.every = every

    def start(self, total):
        super().start(total)
        self.began = self.said = time.monotonic()

    def show(self, rows):
        now = time.monotonic()
        if now - self.said < self.every or not rows:
            return
        self.said = now
        rate = rows / (now - self.began)
        left = format_seconds((self.total - rows) / rate)
        print(
            f"{rows:,} of {self.total:,} rows scored, {rate:,.1f} rows/s, {left} left",
            file=self.stream or sys.stderr, flush=True,
        )


def row_progress(verbose, stream=None):
    """The display of scoring for the place where the program runs."""
    if not verbose:
        return SilentRows()
    return RowBar(stream) if _shows_bars(stream) else RowLines(stream)


def _screen(stream):
    """How large the screen is; some terminals do not know, and tqdm would then show nothing."""
    try:
        columns = os.get_terminal_size((stream or sys.stderr).fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    return {"dynamic_ncols": True} if columns or in_notebook() else {"ncols": 80, "nrows": 24}


def _shows_bars(stream):
    stream = sys.stderr if stream is None else stream
    isatty = getattr(stream, "isatty", None)
    return in_notebook() or bool(isatty and isatty())


def in_notebook():
    """Whether this runs in a Jupyter kernel, which draws bars of its own."""
    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _tqdm():
    if in_notebook():
        from tqdm.auto import tqdm
    else:
        from tqdm import tqdm
    return tqdm
