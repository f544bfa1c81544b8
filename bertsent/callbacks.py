"""Who else is told of a training run: callbacks, and a log with a line of JSON for each step.

A callback is a function, which is called with every event, or an object with any of the
methods ``on_start``, ``on_step``, ``on_evaluation``, ``on_epoch`` and ``on_end``. Each takes one
dictionary, with which it may do as it likes. Returning True from any but the first and the last
ends training after the step.
"""

import contextlib
import importlib
import json
import math
import os
import sys
import warnings

from bertsent.files import atomic_write

EVENTS = ("start", "step", "evaluation", "epoch", "end")


def is_callback(value):
    """Whether this can be told of anything."""
    return not isinstance(value, type) and (callable(value) or _has_methods(value))


def _has_methods(value):
    return any(callable(getattr(value, f"on_{event}", None)) for event in EVENTS)


def import_callbacks(names):
    """Callbacks of a command line: ``MODULE:NAME`` with commas between; a class is called."""
    found, here = [], os.getcwd()
    for name in names.split(","):
        module, _, attribute = name.strip().partition(":")
        if not module or not attribute:
            raise ValueError(name)
        # As with ``python -m``, modules of the working directory can be had.
        sys.path.insert(0, here)
        try:
            value = getattr(importlib.import_module(module), attribute)
        except AttributeError as error:
            raise ImportError(f"callback {name}: {error}") from error
        finally:
            sys.path.remove(here)
        found.append(value() if isinstance(value, type) else value)
    return found


class Listeners:
    """Tells a list of callbacks of events, in their order, and with each some facts more."""

    def __init__(self, callbacks=(), about=None):
        self.about = about or {}
        self.calls = {event: [] for event in EVENTS}
        for callback in callbacks:
            for event in EVENTS:
                call = callback
                if _has_methods(callback):
                    call = getattr(callback, f"on_{event}", None)
                if call is not None:
                    self.calls[event].append(call)

    def tell(self, event, facts):
        """Tell of an event; returns whether somebody wants training to end."""
        answers = [call({"event": event, **self.about, **facts}) for call in self.calls[event]]
        return any(answer is True for answer in answers)


@contextlib.contextmanager
def open_log(path, step):
    """Open a log to append to.

    Parameters
    ----------
    path : str, path-like or None
        Lines that are there stay, but for those of steps that the run which is gone on with
        had done after its last checkpoint.
    step : int
        Steps done so far, by the checkpoint that the run goes on from.

    Yields
    ------
    callable or None
        A callback.
    """
    if path is None:
        yield None
        return
    path = os.path.expanduser(os.fspath(path))
    if step and os.path.exists(path):
        _forget_after(path, step)
    # Without a buffer: a line is there when its step is done, and closing cannot fail.
    with open(path, "ab", buffering=0) as file:
        if file.tell() and not _ends_with_newline(path):
            file.write(b"\n")
        yield _Log(path, file)


class _Log:
    """Writes each event as a line; a disk that is full is a warning and the end of the log."""

    def __init__(self, path, file):
        self.path, self.file = path, file

    def __call__(self, event):
        if self.file is None:
            return
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in event.items()
        }
        try:
            self.file.write(json.dumps(plain).encode() + b"\n")
        except OSError as error:
            warnings.warn(
                f"no more lines in {self.path}, training goes on: {error}", UserWarning,
                stacklevel=2,
            )
            self.file = None


def _ends_with_newline(path):
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _forget_after(path, step):
    """Take out what the last run in a log did after a step, and what was half written."""
    with open(path, encoding="utf-8") as file:
        lines = file.readlines()
    events = [_event(line) for line in lines]
    begun = max(
        (n for n, e in enumerate(events) if e.get("event") == "start" and e.get("step") == 0),
        default=len(lines),
    )
    kept = [
        line for n, (line, e) in enumerate(zip(lines, events, strict=True))
        if n <= begun or (e.get("event") in EVENTS[:-1] and e.get("step", step + 1) <= step)
    ]
    if kept != lines:
        atomic_write(path, "".join(kept))


def _event(line):
    with contextlib.suppress(ValueError):
        event = json.loads(line)
        if isinstance(event, dict):
            return event
    return {}
