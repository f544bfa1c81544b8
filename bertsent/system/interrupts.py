"""Ctrl-C and requests to end the process: recorded at once, raised where it is safe.

A handler that raises does so inside any Python code, also that which a C library calls. NumPy's
comparison of dtypes and the garbage collector clear such an exception, and it is lost; pandas takes
it for a damaged file. So signals are only recorded while libraries work, and `check_interrupts`
raises between chunks.

SIGTERM asks a process to end, and SIGHUP tells it that its terminal or connection was closed.
"""

import contextlib
import functools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

if TYPE_CHECKING:
    from typing_extensions import Self

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# Items between two checks. Texts of a million characters take some milliseconds each.
_ITEMS = 100


class Terminated(KeyboardInterrupt):
    """SIGTERM was received. Code that handles Ctrl-C handles this as well."""

    number: ClassVar[signal.Signals] = signal.SIGTERM


class HungUp(Terminated):
    """SIGHUP was received."""

    number: ClassVar[signal.Signals] = signal.SIGHUP


_ENDS: dict[int, type[Terminated]] = {kind.number: kind for kind in (Terminated, HungUp)}


# Whether a SIGHUP was received. A terminal that is closed often causes two: one from the shell, and
# one from the system when the shell ends. The second must not stop what follows the first.
_hung_up = False

# All of these belong to the main thread, the only one in which Python handles signals.
_open: list["Interrupts"] = []
_pending: int | None = None  # the signal that was received in them
_held = 0  # calls of `hold_interrupts` under way: `check_interrupts` does nothing
_at_once = 0  # calls of `interrupt_at_once` under way
_changing = False  # handlers are being replaced or restored, and must not raise


class Interrupts:
    """Defer Ctrl-C, SIGTERM and SIGHUP until `check`; a second signal interrupts immediately.

    A second SIGHUP does not, because it says nothing new. Handlers of others are not replaced.
    Outside the main thread, where Python delivers no signals, this does nothing. What is entered
    inside another one shares its signal.

    Parameters
    ----------
    ends : bool, default=True
        Whether to defer SIGTERM and SIGHUP also where they would end the process silently, because
        there is something to clean up or to save.
    """

    def __init__(self, ends: bool = True) -> None:
        self.ends = ends
        self.replaced: dict[signal.Signals, Any] = {}

    @property
    def pending(self) -> int | None:
        """The signal that was received."""
        return _pending

    def __enter__(self) -> "Self":
        global _changing, _hung_up, _pending, _held, _at_once
        if _in_main_thread():
            usual: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler}
            if self.ends:
                usual |= {kind.number: signal.SIG_DFL for kind in _ENDS.values()}
            _changing = True
            try:
                if not _open:
                    # A second signal may have kept the counts from being restored.
                    _pending, _hung_up, _held, _at_once = None, False, 0, 0
                _open.append(self)
                for number, handler in usual.items():
                    if signal.getsignal(number) == handler:
                        self.replaced[number] = handler
                        signal.signal(number, _note)
            except BaseException:
                self._restore()
                raise
            finally:
                _changing = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _changing, _pending
        if self not in _open or not _in_main_thread():
            return
        _changing = True
        try:
            self._restore()
        finally:
            _changing = False
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            _pending = None  # it is on its way
        elif kind is None or not _open:
            # An error does not hide an interrupt, which may be the end of a loop over files.
            _raise_pending()

    def _restore(self) -> None:
        """Restore the handlers, unless they were replaced by others meanwhile."""
        # That of Ctrl-C last: it raises.
        for number, handler in reversed(self.replaced.items()):
            if signal.getsignal(number) is _note:
                if number == signal.SIGINT and self in _open:
                    _open.remove(self)
                signal.signal(number, handler)
        if self in _open:
            _open.remove(self)

    def check(self) -> None:
        """Raise KeyboardInterrupt or `Terminated` if a signal was received."""
        check_interrupts()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _note(number: int, frame: FrameType | None) -> None:
    global _hung_up, _pending
    if number == signal.SIGHUP:
        if _hung_up:
            return
        _hung_up = True
    again, _pending = _pending is not None, number
    # Not within this module, where it would keep handlers from being restored. They raise soon.
    here = frame is not None and frame.f_globals is globals()
    if (again or _at_once) and not _changing and not here:
        # It stays pending, for the case that it is lost.
        raise _ENDS.get(number, KeyboardInterrupt)


def check_interrupts() -> None:
    """Raise KeyboardInterrupt or `Terminated` if a signal was received and deferred.

    For places between two calls of libraries. In other threads than the main thread, and where no
    `Interrupts` is entered, this does nothing.
    """
    if _open:  # otherwise, a second signal was raised by the usual handler, and ended the block
        _raise_pending()


def _raise_pending() -> None:
    global _pending
    if _pending is not None and not _held and _in_main_thread():
        number, _pending = _pending, None
        raise _ENDS.get(number, KeyboardInterrupt)


def checking_interrupts(items: Iterable[T]) -> Iterator[T]:
    """Yield the items of an iterable, with a call of `check_interrupts` now and then."""
    for number, item in enumerate(items):
        if number % _ITEMS == 0:
            check_interrupts()
        yield item


@contextlib.contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let deferred signals wait for the end of a block, whatever it calls."""
    global _held
    if not _in_main_thread():
        yield
        return
    _held += 1
    try:
        yield
    finally:
        _held = max(0, _held - 1)  # a child process starts at 0


@contextlib.contextmanager
def interrupt_at_once() -> Iterator[None]:
    """Raise signals at once, for a block that waits or computes for long and checks nothing.

    An interrupt that a library loses in this block is raised at the next check.
    """
    global _at_once
    if not _in_main_thread():
        yield
        return
    _at_once += 1
    try:
        check_interrupts()
        yield
    finally:
        _at_once = max(0, _at_once - 1)


def interruptible(message: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that may be interrupted at `check_interrupts` and when it returns.

    Parameters
    ----------
    message : str
        What the interrupt says.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                with Interrupts(ends=False):
                    return function(*args, **kwargs)
            except KeyboardInterrupt as stop:
                raise interrupted(stop, message) from None

        return call

    return decorate


def _forget() -> None:
    """Restore the handlers in a child process, which is not the work that was interrupted."""
    global _pending, _held, _at_once, _changing
    _changing = False
    while _open:
        _open[-1]._restore()
    _pending, _held, _at_once = None, 0, 0


os.register_at_fork(after_in_child=_forget)


def interrupted(error: KeyboardInterrupt, message: str) -> KeyboardInterrupt:
    """Return an interrupt with a message, which notebooks show in place of a traceback.

    Parameters
    ----------
    error : KeyboardInterrupt
        The interrupt that was caught; a `Terminated` remains one.
    message : str
        One line.
    """
    kind = type(error) if isinstance(error, Terminated) else KeyboardInterrupt
    told = kind(message)
    # IPython displays what this method of an exception returns.
    vars(told)["_render_traceback_"] = lambda: [f"{kind.__name__}: {message}"]
    return told


def uninterrupted(action: Callable[[], object]) -> bool:
    """Do something after an interrupt; only a second signal stops it.

    Returns
    -------
    bool
        Whether it was done.
    """
    global _pending
    done = False
    with contextlib.suppress(KeyboardInterrupt), Interrupts(), hold_interrupts():
        action()
        done = True
        if _in_main_thread():
            _pending = None
    return done
