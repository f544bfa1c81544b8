"""Paths as people give them."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["close_names", "expand_path"]


def expand_path(path: str | os.PathLike[str]) -> Path:
    """Return a path that a person gave, with ``~`` replaced by the home directory.

    Every path that a person can give passes through here, in Python and on the command line, so
    that ``~/model`` means the same everywhere. The shell replaces ``~`` at the beginning of a
    word, but not in ``--output=~/model``, in Python or in a configuration file.

    Parameters
    ----------
    path : str or path-like
        A path. ``~NAME`` stays as it is if there is no such user.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    TypeError
        `path` is neither a string nor a path.

    Examples
    --------
    >>> expand_path("reviews.csv")
    PosixPath('reviews.csv')
    """
    return Path(os.path.expanduser(os.fspath(path)))


def close_names(name: str, candidates: Iterable[str], least: float = 0.6) -> list[str]:
    """Return the names that are most similar to a given one, without regard to case.

    Parameters
    ----------
    name : str
    candidates : iterable of str
    least : float, default=0.6
        Least similarity, from 0 to 1.

    Returns
    -------
    list of str
        At most three, the most similar first.
    """
    names: dict[str, str] = {}
    for candidate in candidates:
        names.setdefault(candidate.lower(), candidate)
    found = difflib.get_close_matches(name.strip().lower(), names, 3, least)
    return [names[match] for match in found]
