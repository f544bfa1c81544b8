"""How messages name parameters: as Python does, or as the command line does.

The same check fails in Python, where somebody passed ``max_length=100``, and on the command line,
where it was ``--max-length 100``. Its message is written once: `spell` names a parameter as it is
called where the message shows, and `phrase` chooses between two pieces of advice.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar


def _as_in_python(name: str, *value: object) -> str:
    return f"{name}={value[0]!r}" if value else name


# How the command line spells parameters, or None in Python.
_COMMAND: ContextVar[Callable[..., str] | None] = ContextVar("command", default=None)


def spell(name: str, *value: object) -> str:
    """Return the name of a parameter, with its value if one is given.

    Parameters
    ----------
    name : str
        The name in Python.
    *value : object
        At most one value. Text that is not a value, such as a size in words, can follow the name
        alone: ``f"{spell('memory_limit')} of 2 GB"``.

    Returns
    -------
    str
        The name as a person types it here, so that an error can quote or recommend it.

    Examples
    --------
    >>> spell("max_length", 100)
    'max_length=100'
    >>> spell("overwrite")
    'overwrite'
    """
    return (_COMMAND.get() or _as_in_python)(name, *value)


def phrase(*, python: str, command: str) -> str:
    """Return the text for the place where a message shows: Python or the command line.

    Use it where `spell` is not enough, such as advice about a method that commands do not have.

    Examples
    --------
    >>> phrase(python="call fit first", command="train it with: bertsent train")
    'call fit first'
    """
    return python if _COMMAND.get() is None else command


@contextlib.contextmanager
def on_command_line(spelling: Callable[..., str]) -> Iterator[None]:
    """Spell parameters by a function while a command runs; it takes what `spell` takes."""
    token = _COMMAND.set(spelling)
    try:
        yield
    finally:
        _COMMAND.reset(token)
