"""Where progress and notices are shown: in a notebook, in a terminal, or as lines of text."""

from __future__ import annotations

import contextlib
import os
import sys
import textwrap
from typing import Any, Literal, TextIO, TypeAlias, cast, get_args

Kind: TypeAlias = Literal["bar", "notebook", "curve", "lines", "none"]


def display_kind(stream: TextIO | None = None) -> Kind:
    """Return how progress is displayed.

    Parameters
    ----------
    stream : file or None, default=None
        Where text is written. None means `text_stream`.

    Returns
    -------
    {"bar", "notebook", "curve", "lines", "none"}
        ``BERTSENT_PROGRESS``, if it is set. Otherwise "notebook" if the front end of a kernel
        shows the output, "bar" if a terminal does, and "lines" elsewhere. Where there is no
        front end, "notebook" and "curve", which adds the loss by step, become "lines".

    Raises
    ------
    ValueError
        ``BERTSENT_PROGRESS`` has another value.
    """
    kind = os.environ.get("BERTSENT_PROGRESS", "").strip().lower()
    if kind and kind not in get_args(Kind):
        raise ValueError(
            f"BERTSENT_PROGRESS={kind!r} in the environment: expected "
            '"bar", "notebook", "curve", "lines" or "none"'
        )
    if stream is None and kind in ("", "notebook", "curve") and front_end() is not None:
        return "curve" if kind == "curve" else "notebook"
    if kind in ("", "notebook", "curve"):
        return "bar" if not kind and _is_terminal(stream or text_stream()) else "lines"
    return cast(Kind, kind)


def front_end() -> Any:
    """Return the IPython shell whose front end can show HTML and update it, or None.

    Such a shell belongs to a kernel or publishes its output in a way of its own. That is true of
    the shells of Jupyter, Colab, Databricks and others, whatever their classes are called.
    """
    if _is_worker():  # a fork of the kernel has its shell, but not its connection
        return None
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if callable(get_shell) else None
    if getattr(shell, "kernel", None) is not None:
        return shell
    publish = getattr(type(getattr(shell, "display_pub", None)), "publish", None)
    module = getattr(publish, "__module__", "IPython.core.displaypub")
    return None if module == "IPython.core.displaypub" else shell


def text_stream() -> TextIO | None:
    """Return where text is written: stderr, or stdout in a notebook, which shows stderr in red.

    Like ``sys.stderr``, it is None in a process without standard streams.
    """
    # Workers write to the notebook as well, through the streams of the kernel.
    in_notebook = front_end() is not None or (_is_worker() and "JPY_PARENT_PID" in os.environ)
    return sys.stdout if in_notebook else sys.stderr


def write_line(line: str, stream: TextIO | None = None) -> None:
    """Write a line to a stream, by default `text_stream`; a terminal gets it wrapped at words.

    Errors are ignored: if a terminal is closed, training must go on to save its model.
    """
    stream = stream or text_stream()
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        # In one piece: processes that write to the same file must not mix their lines.
        stream.write(_wrapped(line, stream) + "\n")
        stream.flush()


def _wrapped(line: str, stream: TextIO) -> str:
    """Return a line as several if it is longer than those of a terminal, which would cut words."""
    if not _is_terminal(stream):
        return line
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        return line
    # Some terminals begin a line after the last column.
    return "\n".join(
        "\n".join(textwrap.wrap(
            part, columns - 1, replace_whitespace=False, break_long_words=False,
            break_on_hyphens=False,
        )) if len(part) >= columns > 1 else part
        for part in line.split("\n")
    )


def _is_worker() -> bool:
    """Return whether this process was started by multiprocessing or joblib."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


def _is_terminal(stream: TextIO | None) -> bool:
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream is not None and bool(stream.isatty())
    except (AttributeError, ValueError):  # not a file, or closed
        return False
