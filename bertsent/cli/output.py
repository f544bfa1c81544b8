"""stdout and stderr, which may be closed, full or a pipe that nobody reads any more."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TextIO, cast

from bertsent.system import is_utf_8


class _Stream:
    """Text output whose errors are remembered.

    Parameters
    ----------
    stream : TextIO

    Attributes
    ----------
    error : OSError or None
        The first error.
    has_escapes : bool
        Whether the encoding lacked a character, which was written as an escape.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None
        self.has_escapes = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write text; characters that the encoding does not have are written as escapes."""
        try:
            try:
                self.stream.write(text)
            except UnicodeEncodeError as error:
                known = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
                self.stream.write(known)
                self.has_escapes = True
        except OSError as error:
            self.failed(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Flush, and see whether everything could be written."""
        try:
            self.stream.flush()
        except OSError as error:
            self.failed(error)

    def failed(self, error: OSError) -> None:
        """Remember an error, and drop what was not written, now and when the program ends."""
        self.error = self.error or error
        with contextlib.suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


class Stdout(_Stream):
    """stdout of a command.

    Parameters
    ----------
    stream : TextIO
    was_closed : bool
        Whether it was closed when the program began.

    Attributes
    ----------
    is_result : bool, default=True
        Whether the command is useless if nothing can be printed. Then an error ends it.
    """

    def __init__(self, stream: TextIO, was_closed: bool) -> None:
        super().__init__(stream)
        self.was_closed, self.is_result = was_closed, True

    def failed(self, error: OSError) -> None:
        super().failed(error)
        if self.is_result:
            raise error

    def require_open(self) -> None:
        """Fail if stdout is closed, before any work is done."""
        if self.is_result and self.was_closed:
            self.failed(OSError(errno.EBADF, os.strerror(errno.EBADF)))

    def finish(self) -> None:
        """Flush, without raising an error."""
        with contextlib.suppress(OSError):
            self.flush()


def print_json(value: object, indent: int | None = 2) -> None:
    """Print a value as JSON, which is valid in any encoding of stdout."""
    print(json.dumps(value, indent=indent, ensure_ascii=not is_utf_8(sys.stdout)))


@contextlib.contextmanager
def guarded_output() -> Iterator[Stdout]:
    """Replace stdout and stderr while a command runs, so that it survives their errors.

    A command that writes files goes on if its report cannot be printed. Nothing that goes to
    stderr is a reason to stop.
    """
    was_closed = sys.stdout is None
    _open_closed()
    before = sys.stdout, sys.stderr
    out = Stdout(sys.stdout, was_closed)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, _Stream(sys.stderr))
    try:
        yield out
    finally:
        out.finish()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _open_closed() -> None:
    """Give closed streams a device, so that no file which is opened later takes their place.

    What is written to a closed stdout is an error, as it is for other programs.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)
