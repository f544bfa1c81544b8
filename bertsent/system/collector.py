"""Pause Python's garbage collector where many objects are made at once."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["pause_collector"]


@contextlib.contextmanager
def pause_collector() -> Iterator[None]:
    """Leave out garbage collection for a moment.

    The collector runs after a number of new lists and dicts, and looks at all that there are. While
    a large JSON file is read, this takes several times as long as reading. If two threads overlap,
    the first one to finish ends the pause.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
