"""Run a program in a terminal of a given width."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time


class Terminal:
    """A program in a terminal.

    Parameters
    ----------
    arguments : list of str
        The program and its arguments.
    columns : int
    environment : dict or None

    Attributes
    ----------
    shown : str
        Everything that was written so far.
    code : int or None
        Exit code; negative for the number of a signal.
    """

    def __init__(self, arguments, columns, environment=None):
        self.shown, self.code = "", None
        self.pid, self.screen = pty.fork()
        if self.pid == 0:  # pragma: no cover
            size = struct.pack("HHHH", 24, columns, 0, 0)
            fcntl.ioctl(0, termios.TIOCSWINSZ, size)
            os.environ.pop("COLUMNS", None)
            os.execvpe(arguments[0], [str(part) for part in arguments],
                       {**os.environ, "TERM": "xterm", **(environment or {})})

    def read(self, until=None, seconds=120):
        """Read until a text is shown, or until the program ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until is not None and until in self.shown:
                return True
            if select.select([self.screen], [], [], 0.2)[0]:
                try:
                    part = os.read(self.screen, 65536)
                except OSError:  # how Linux says that all is read
                    part = b""
                if not part:
                    self.wait(seconds)
                    return until is None
                self.shown += part.decode(errors="replace")
        raise TimeoutError(self.shown[-2000:])

    def type(self, keys):
        """Type keys, such as ``"\\x03"`` for Ctrl-C."""
        os.write(self.screen, keys.encode())

    def hang_up(self):
        """Close the terminal."""
        os.close(self.screen)
        self.screen = None

    def wait(self, seconds=120):
        """Wait for the end of the program."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                return
            time.sleep(0.05)
        raise TimeoutError(self.shown[-2000:])

    def close(self):
        """End the program, if it still runs, and close the terminal."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        if self.screen is not None:
            os.close(self.screen)

    @property
    def frames(self):
        """All that was shown in a line, one after the other, without empty frames."""
        found = []
        for line in self.shown.replace("\r\n", "\n").split("\n"):
            found += [frame.rstrip() for frame in line.split("\r") if frame.strip()]
        return found
