"""Callbacks, and a log with one line of JSON per event.

A callback is a function that is called with every event, or an object with any of the methods
``on_start``, ``on_step``, ``on_evaluation``, ``on_epoch`` and ``on_end``. Each is called with one
dictionary, which it may modify. If it returns True for any but the first and last of these
events, training ends after the current step.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import FileIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from bertsent.files import atomic_write
from bertsent.system import expand_path, warn

Callback: TypeAlias = Callable[[dict[str, Any]], object]

EVENTS = ("start", "step", "evaluation", "epoch", "end")


def is_callback(value: object) -> bool:
    """Return whether a value is a callback: a function, or an object with such methods."""
    return not isinstance(value, type) and (callable(value) or _has_methods(value))


def callback_name(callback: Any) -> str:
    """Return the name of a callback as ``MODULE:NAME``; an object has the name of its class."""
    function = getattr(callback, "func", callback)  # of functools.partial
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}:{named.__qualname__}"


def _has_methods(value: object) -> bool:
    return any(callable(getattr(value, f"on_{event}", None)) for event in EVENTS)


def import_callbacks(names: str) -> list[Any]:
    """Import callbacks given as ``MODULE:NAME``, separated by commas. Classes are instantiated."""
    found, here = [], os.getcwd()
    for name in names.split(","):
        module, _, attribute = name.strip().partition(":")
        if not module or not attribute:
            raise ValueError(name)
        # As with ``python -m``, modules in the working directory can be imported.
        sys.path.insert(0, here)
        try:
            imported = importlib.import_module(module)
        finally:
            sys.path.remove(here)
        if not hasattr(imported, attribute):
            raise ImportError(f"callback {name}: module {module!r} has no attribute {attribute!r}")
        value = getattr(imported, attribute)
        found.append(value() if isinstance(value, type) else value)
    return found


class Listeners:
    """Calls a list of callbacks in order, adding the items of `about` to every event."""

    def __init__(
        self, callbacks: Iterable[Any] = (), about: Mapping[str, Any] | None = None
    ) -> None:
        self.about = about or {}
        self.calls: dict[str, list[Callback]] = {event: [] for event in EVENTS}
        for callback in callbacks:
            for event in EVENTS:
                call = callback
                if _has_methods(callback):
                    call = getattr(callback, f"on_{event}", None)
                if call is not None:
                    self.calls[event].append(call)

    def tell(self, event: str, facts: Mapping[str, Any]) -> bool:
        """Call the callbacks with an event; return whether one of them asks to end training."""
        answers = [call({"event": event, **self.about, **facts}) for call in self.calls[event]]
        return any(answer is True for answer in answers)


@contextlib.contextmanager
def open_log(path: str | PathLike[str] | None, step: int) -> Iterator[_Log | None]:
    """Open a log for appending.

    Parameters
    ----------
    path : str, path-like or None
        Existing lines are kept, except those of steps that a resumed run did after its last
        checkpoint.
    step : int
        Steps done at the checkpoint from which a run is resumed; 0 for a new run.

    Yields
    ------
    callable or None
        A callback that writes to the log; None if `path` is None.
    """
    if path is None:
        yield None
        return
    path = expand_path(path)
    # A pipe or a terminal has no earlier lines.
    is_file = os.path.isfile(path)
    if step and is_file:
        _forget_after(path, step)
    # Unbuffered, so that the line of each step is written at once and closing cannot fail.
    with open(path, "ab", buffering=0) as file:
        if is_file and file.tell() and not _ends_with_newline(path):
            file.write(b"\n")
        yield _Log(path, file)


class _Log:
    """Writes each event as a line. A full disk is a warning and ends the log."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self.file: FileIO | None = file

    def __call__(self, event: Mapping[str, Any]) -> None:
        if self.file is None:
            return
        plain = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in event.items()
        }
        try:
            self.file.write(json.dumps(plain).encode() + b"\n")
        except OSError as error:
            warn(
                f"cannot write to {self.path}, training continues without it: {error}", once=False
            )
            self.file = None


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _forget_after(path: Path, step: int) -> None:
    """Remove the lines of the last run in a log after a step, and incomplete lines."""
    with open(path, "rb") as file:
        lines = file.readlines()
    events = [_event(line) for line in lines]
    begun = max(
        (n for n, e in enumerate(events) if e.get("event") == "start" and e.get("step") == 0),
        default=len(lines),
    )
    kept = [
        line for n, (line, e) in enumerate(zip(lines, events, strict=True))
        if n <= begun or (e.get("event") in ("run", *EVENTS[:-1]) and 0 <= e["step"] <= step)
    ]
    if kept != lines:
        atomic_write(path, b"".join(kept))


def _event(line: bytes) -> dict[str, Any]:
    """Return the event of a line; its step is -1 if the line is damaged."""
    with contextlib.suppress(ValueError, RecursionError):
        event = json.loads(line)
        if isinstance(event, dict) and type(event.get("step")) is int:
            return event
    return {"step": -1}
