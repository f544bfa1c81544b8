"""Notices and warnings that are shown once per process.

A notice is information, and is shown like progress. A warning is one of Python's.
"""

from __future__ import annotations

import sys
import warnings

from bertsent.system.display import display_kind, write_line

# Packages whose code stands between that of bertsent and that of the user.
_BETWEEN = ("bertsent", "contextlib", "joblib", "sklearn")

_told: set[str] = set()


def is_news(line: str) -> bool:
    """Return whether a line was not passed to this function before."""
    if line in _told:
        return False
    _told.add(line)
    return True


def notice(line: str, *, verbose: bool | int = True) -> None:
    """Tell the user something, once a process.

    Parameters
    ----------
    line : str
    verbose : bool or int, default=True
        If false, nothing is shown.
    """
    if verbose and display_kind() != "none" and is_news(line):
        write_line(line)


def warn(
    message: str,
    category: type[Warning] = UserWarning,
    *,
    verbose: bool | int = True,
    once: bool = True,
) -> None:
    """Issue a warning for the line of the user's code that called bertsent.

    Parameters
    ----------
    message : str
    category : type, default=UserWarning
    verbose : bool or int, default=True
        If false, nothing is issued.
    once : bool, default=True
        Whether to issue it once a process. If false, Python's filters decide.
    """
    if not verbose or (once and message in _told):
        return
    warnings.warn(message, category, stacklevel=_level_of_user())
    _told.add(message)  # not before: if warnings are errors, each of them is raised


def _level_of_user() -> int:
    """Return the `stacklevel` for the caller: the first frame outside of `_BETWEEN`."""
    frame, level = sys._getframe(2), 2
    while frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        if frame.f_back is None:
            break
        frame, level = frame.f_back, level + 1
    return level
