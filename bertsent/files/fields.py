"""Read the files of a model or of a run, which may come from strangers.

Everything that such a file says is checked before it is used. A file is opened here only if it is a
regular one, so that a pipe or a device cannot block the reader or go on for ever, and read only up
to a size. `read_json` returns a `Field`: a value that knows its file and key, and whose methods
return it as a text, a number and so on, or raise a `CheckpointError` that names both.

Where a file claims a number of things, compare it with what is really there before anything is
allocated for them: with the number of names, or with the size of the file (`read_array`).
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import stat
from collections.abc import Sequence
from io import BufferedReader
from itertools import chain
from os import PathLike
from typing import Any

from bertsent.errors import CheckpointError
from bertsent.files.held import open_file
from bertsent.files.impostors import BEGINNING, describe_impostor
from bertsent.system import pause_collector

# The largest tokenizer.json of a BERT model has 10 MB, with 500,000 tokens. In Python, texts and
# numbers take up to 16 times the space of their JSON, and empty lists 32 times: so these limits are
# also those of memory, about half a GB.
MOST_BYTES = 32 << 20
MOST_CONTAINERS = 1_000_000
# What models need is below 10. The limit keeps whoever walks through the content later, such as
# copy.deepcopy, far from Python's limit of nested calls.
MOST_DEPTH = 64
# Whole numbers up to here are exact in float64, which other readers of JSON use.
MOST_WHOLE = 2**53

_MOST_DIGITS = 1000
_DIGITS = re.compile("[0-9]+")
# The longest path that Linux knows.
_MOST_SHOWN = 4096
_FEW = 1000
_CONTAINERS = frozenset({dict, list})
_NAME = re.compile(r"[\w-]{1,60}")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Field:
    """A value in a JSON file, which knows where it is.

    Parameters
    ----------
    value : object
        What `json.loads` made of it.
    file : str or path-like
        Name of the file in errors.
    place : str, default=""
        Keys that lead to the value, such as ``labels.classes``; empty for the whole content.

    Examples
    --------
    >>> from bertsent.files import Field
    >>> settings = Field({"epochs": 3, "rates": [0.1, 0.2], "name": None}, "settings.json")
    >>> settings["epochs"].whole(1)
    3
    >>> [rate.number(0, 1) for rate in settings["rates"].items()]
    [0.1, 0.2]
    >>> settings.get("members", 1).whole(1, 16)
    1
    >>> settings["name"].text()
    Traceback (most recent call last):
    bertsent.errors.CheckpointError: settings.json: name must be a text, got None
    """

    __slots__ = ("file", "place", "value")

    def __init__(self, value: Any, file: str | PathLike[str], place: str = "") -> None:
        self.value, self.file, self.place = value, file, place

    def __contains__(self, key: str) -> bool:
        return key in self._mapping()

    def __getitem__(self, key: str) -> Field:
        """Return an entry of an object; raise if it is missing."""
        inner = self._inner(key)
        if key not in self._mapping():
            raise CheckpointError(f"{self.file} is incomplete: it has no {inner}")
        return Field(self.value[key], self.file, inner)

    def get(self, key: str, default: Any = None) -> Field:
        """Return an entry of an object, or a field with a default if it is missing."""
        return Field(self._mapping().get(key, default), self.file, self._inner(key))

    def error(self, expected: str) -> CheckpointError:
        """Return an error that says what was expected, and what the value is."""
        where = f"{self.file}: {self.place}" if self.place else f"{self.file}: the content"
        return CheckpointError(f"{where} must be {expected}, got {_SHORT.repr(self.value):.200}")

    def text(self, *choices: str) -> str:
        """Return a str, which must be one of `choices` if there are any."""
        if not isinstance(self.value, str) or choices and self.value not in choices:
            raise self.error(" or ".join(map(repr, choices)) or "a text")
        return self.value

    def shown(self) -> str:
        """Return a str that can be shown: it is short enough and cannot control a terminal."""
        text = self.value
        if not isinstance(text, str) or len(text) > _MOST_SHOWN or not text.isprintable():
            raise self.error(f"a text of up to {_MOST_SHOWN:,} printable characters")
        return text

    def whole(self, low: int = 0, high: int = MOST_WHOLE) -> int:
        """Return an int between `low` and `high`."""
        if type(self.value) is not int or not low <= self.value <= high:
            above = f"of at least {low}" if high >= MOST_WHOLE else f"from {low} to {high}"
            raise self.error(f"a whole number {above}")
        return self.value

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite float between `low` and `high`; the file may have an int."""
        try:
            number = float(self.value) if type(self.value) in (int, float) else math.nan
        except OverflowError:
            number = math.nan
        if not math.isfinite(number) or not low <= number <= high:
            limits = [f"at least {low:g}"] * (low > -math.inf) + [f"at most {high:g}"] * (
                high < math.inf
            )
            raise self.error(f"a number{' of ' * bool(limits)}{' and '.join(limits)}")
        return number

    def flag(self) -> bool:
        """Return a bool."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def items(self, least: int = 0, most: int | None = None) -> list[Field]:
        """Return the items of a list, which has at least `least` and at most `most`."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        if len(self.value) < least or most is not None and len(self.value) > most:
            count = f"{least}" if least == most else f"{least} to {most}" if most else f"{least}+"
            raise self.error(f"a list of {count} items")
        return [
            Field(item, self.file, f"{self.place}[{i}]") for i, item in enumerate(self.value)
        ]

    def entries(self) -> dict[str, Field]:
        """Return the entries of an object by key."""
        return {
            key: Field(item, self.file, self._inner(key)) for key, item in self._mapping().items()
        }

    def _mapping(self) -> dict[str, Any]:
        if isinstance(self.value, dict):
            return self.value
        if not self.place:
            raise CheckpointError(f"{self.file} does not contain a JSON object")
        raise self.error("a JSON object")

    def _inner(self, key: str) -> str:
        if not _NAME.fullmatch(key):
            return f"{self.place}[{_SHORT.repr(key)}]"
        return f"{self.place}.{key}" if self.place else key


def largest_id(tokens: int) -> int:
    """Return the largest id that a file with so many tokens may give to one of them.

    Tables by id have a slot for every id up to the largest. So an id far above the number of tokens
    takes memory that the size of the file does not justify.
    """
    return 10 * tokens + 100_000


def open_regular(path: str | PathLike[str]) -> BufferedReader:
    """Open a file for reading in binary, unless it is a directory, a pipe or a device.

    While its directory is held (`hold_directory`), it is the file that was in it at that time.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        It is no regular file, or cannot be opened.
    """
    try:
        descriptor = open_file(path)
    except (FileNotFoundError, PermissionError, CheckpointError):
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{os.fspath(path)} cannot be opened: {reason}") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        what = "a directory" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise CheckpointError(f"{os.fspath(path)} is {what}, not a file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | PathLike[str], most: int = MOST_BYTES) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path : str or path-like
    most : int, default=33554432
        Largest size that is read.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        It is no regular file, cannot be read, or is larger than `most`.
    """
    with open_regular(path) as file:
        try:
            # Files in /proc have a size of 0, so the size alone is no limit.
            large = os.fstat(file.fileno()).st_size > most
            content = b"" if large else file.read(most + 1)
        except OSError as error:
            raise CheckpointError(f"{os.fspath(path)} cannot be read: {error.strerror}") from None
    if large or len(content) > most:
        raise CheckpointError(f"{os.fspath(path)} is larger than {most >> 20} MiB")
    return content


def read_text(path: str | PathLike[str], most: int = MOST_BYTES) -> str:
    """Return the content of a regular file in UTF-8, as `read_bytes` does."""
    return _decode(read_bytes(path, most), path)


def read_json(path: str | PathLike[str]) -> Field:
    """Return the object in a JSON file.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Field
        Its value is a dict. As in Python's `json`, NaN and Infinity are numbers; `Field.number`
        refuses them.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        As for `read_bytes`; or the content is not an object in UTF-8 but, for example, a Git LFS
        pointer or a web page, is nested too deeply, has a key twice, or contains a half of a
        surrogate pair, which no UTF-8 can represent.
    """
    return parse_json(read_bytes(path), path)


def parse_json(content: str | bytes, where: str | PathLike[str]) -> Field:
    """Return the object that a text or its UTF-8 represents; errors are as for `read_json`.

    Parameters
    ----------
    content : str or bytes
    where : str or path-like
        Name of the file in errors.

    Returns
    -------
    Field
    """
    text = content if isinstance(content, str) else _decode(content, where)
    containers = text.count("[") + text.count("{")
    if containers > MOST_CONTAINERS:
        raise CheckpointError(f"{where} contains more than {MOST_CONTAINERS:,} lists and objects")
    parse_int = _int if _may_have_long_numbers(text) else None  # None is faster
    try:
        with pause_collector():
            value = json.loads(text, object_pairs_hook=_each_key_once, parse_int=parse_int)
            field = Field(value, where)
            field._mapping()
            surrogates = bool(_ESCAPED_SURROGATE.search(text))
            if surrogates or containers > MOST_DEPTH:  # otherwise, there is nothing to find
                _walk(field, surrogates)
    except RecursionError:
        raise _too_deep(where) from None
    except MemoryError:
        raise MemoryError(f"there is not enough memory to read {where}") from None
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{where} is not valid JSON: {error}") from None
    return field


class _Short(reprlib.Repr):
    """Shows values from a file in one line of an error."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 60
        self.maxlevel = 2


_SHORT = _Short()


def _decode(content: bytes, where: str | PathLike[str]) -> str:
    impostor = describe_impostor(where, content[:BEGINNING])
    if impostor is not None:
        raise CheckpointError(f"{os.fspath(where)} {impostor}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(
            f"{os.fspath(where)} is not UTF-8: {error.reason} at byte {error.start}"
        ) from None


def _may_have_long_numbers(text: str) -> bool:
    """Return whether any number can have more than `_MOST_DIGITS` digits.

    Such a number fills the text between two multiples of half as many characters.
    """
    step = _MOST_DIGITS // 2
    places = (step * i for i, character in enumerate(text[::step]) if "0" <= character <= "9")
    return any(_DIGITS.fullmatch(text, place, place + step) for place in places)


def _int(digits: str) -> int:
    """Return a whole number. Python before 3.10.7 takes minutes for millions of digits."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"an object has the key {_SHORT.repr(key)} twice")
            seen.add(key)
    return entries


def _walk(field: Field, texts: bool) -> None:
    """Check the depth of a content, and if `texts` is true, that UTF-8 can represent its texts."""
    level: list[Any] = [field.value]
    for _ in range(MOST_DEPTH):
        inner = level
        if not set(map(type, level)) <= {list}:
            inner = [value.values() if type(value) is dict else value for value in level]
        if texts:
            for text in chain(chain.from_iterable(level), chain.from_iterable(inner)):
                if isinstance(text, str) and not text.isascii():
                    _check_text(text, field.file)
        # A large list or object often has items of one type. Many small ones are taken together.
        groups = inner if len(inner) < _FEW else [list(chain.from_iterable(inner))]
        level = []
        for group in groups:
            types = set(map(type, group))
            if types <= _CONTAINERS:
                level += group
            elif not types.isdisjoint(_CONTAINERS):
                level += [item for item in group if type(item) in _CONTAINERS]
        if not level:
            return
    raise _too_deep(field.file)


def _check_text(text: str, where: str | PathLike[str]) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise CheckpointError(
            f"{os.fspath(where)}: {_SHORT.repr(text)} contains a half of a surrogate pair, which "
            "is not a character"
        ) from None


def _too_deep(where: str | PathLike[str]) -> CheckpointError:
    return CheckpointError(f"{os.fspath(where)} is not valid JSON: it is nested too deeply")
