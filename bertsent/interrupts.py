"""Ctrl-C and SIGTERM while a model is trained: noted at once, acted upon between two steps."""

import contextlib
import signal
import threading


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; whoever deals with Ctrl-C deals with this."""


class Interrupts:
    """Holds Ctrl-C and SIGTERM back until `check`; a second one interrupts on the spot.

    Handlers of others are left alone, and so is everything outside the main thread, where
    Python delivers no signals.
    """

    def __init__(self):
        self.pending = None
        self.replaced = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            usual = {
                signal.SIGINT: (signal.default_int_handler, _raise_interrupt),
                signal.SIGTERM: (signal.SIG_DFL, _raise_terminated),
            }
            for number, handlers in usual.items():
                if signal.getsignal(number) in handlers:
                    self.replaced[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind, error, traceback):
        for number, handler in self.replaced.items():
            signal.signal(number, handler)
        if kind is None:
            self.check()

    def _note(self, number, frame):
        again = self.pending is not None
        self.pending = number
        if again:
            self.check()

    def check(self):
        """Raise KeyboardInterrupt or `Terminated` if a signal has come."""
        if self.pending is not None:
            raise Terminated if self.pending == signal.SIGTERM else KeyboardInterrupt


def sigterm_interrupts():
    """Let SIGTERM raise `Terminated` where it would end the process without a word."""
    return _handled(signal.SIGTERM, signal.SIG_DFL, _raise_terminated)


def sigint_interrupts():
    """Let Ctrl-C raise an instance of KeyboardInterrupt.

    Before CPython 3.12 the usual handler leaves the bare class, which pandas, when it is just
    reading a CSV, takes for damage of the file.
    """
    return _handled(signal.SIGINT, signal.default_int_handler, _raise_interrupt)


@contextlib.contextmanager
def _handled(number, usual, handler):
    """Put a handler in the place of the usual one; others are left alone."""
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) == usual
    )
    if ours:
        signal.signal(number, handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(number, usual)


def _raise_terminated(number, frame):
    raise Terminated


def _raise_interrupt(number, frame):
    raise KeyboardInterrupt
