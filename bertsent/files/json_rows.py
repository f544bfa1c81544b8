"""Read JSON: an object a line (JSON Lines), or an array of objects."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import pandas as pd

from bertsent.files.encodings import find_encoding, opened_text
from bertsent.files.limits import (
    MOST_CHARACTERS,
    MOST_COLUMNS,
    Chunk,
    begin_line,
    bounded_lines,
    too_long,
)
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.dialect import Dialect
    from bertsent.files.sources import DataFile

# Objects within objects, at most. Python itself cannot handle more than about 1,000.
_DEPTH = 100
# Different keys in a file, which are columns. Each row has a cell for each of them.
_MOST_KEYS = 1 << 10
# Characters of an array that are read at a time.
_BLOCK = 1 << 16
_SPACE = re.compile(r"[ \t\n\r]*")
# JSON can write "\ud83d" without its other half, which is no character and cannot be stored.
_HALF_PAIR = re.compile("[\ud800-\udfff]")


def read_json_rows(file: DataFile, dialect: Dialect, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the objects of a JSON file as rows, in chunks.

    Columns are in the order in which they appear; a row that lacks one has NaN there.
    """
    if file.layout is None:
        file.layout = find_encoding(file, dialect)
    with opened_text(file, file.layout, dialect.errors, newline=None) as text:
        items: list[dict[str, Any]] = []
        size, keys = Chunk(rows), dict[str, None]()
        row, by_column = -1, None
        values = _items(file, text)
        for row, (line, item, length) in enumerate(values):
            where = f": item {row:,} (counted from 0)" if line is None else f", line {line:,}"
            if not isinstance(item, dict):
                # If these are lines of arrays, the first line ends soon, and the second one is an
                # error that says more.
                for _ in itertools.islice(values, MOST_COLUMNS if line is None else 0):
                    pass
                raise ValueError(
                    f"{file}{where}: expected an object with a value for each column, got "
                    f"{_kind(item)}"
                )
            if _is_broken(item):
                if dialect.errors == "strict":
                    raise _half_pair(file, row, line, item)
                item = _mended(item)
            keys |= dict.fromkeys(item)
            if len(keys) > _MOST_KEYS:
                raise ValueError(
                    f"{file}{where}: there are more than {_MOST_KEYS:,} different keys by now; "
                    "each is a column, so write those that differ from row to row as values"
                )
            if by_column is not None:  # there is a second row
                by_column = None
                yield pd.DataFrame(items, dtype=object)
                items = []
            items.append(item)
            if size.add(length, len(keys)):
                by_column = _by_column(file, item) if row == 0 else None
                if by_column is None:
                    yield pd.DataFrame(items, dtype=object)
                    items = []
        if row == 0 and items:
            by_column = _by_column(file, items[0])
            if by_column is not None:
                raise by_column
        if items:
            yield pd.DataFrame(items, dtype=object)


def _by_column(file: DataFile, item: dict[str, Any]) -> ValueError | None:
    """Return the error for a file whose only object is this one, if it has no row."""
    kinds = set(map(type, item.values()))
    if kinds not in ({dict}, {list}):
        return None
    what = "an object" if kinds == {dict} else "an array"
    return ValueError(
        f"{file} has {what} for each column; write an object for each row, such as with pandas' "
        "to_json and orient='records', lines=True"
    )


def find_object(file: DataFile, dialect: Dialect, row: int) -> int | None:
    """Return the line of a row, from 1; None in an array."""
    with opened_text(file, file.layout, dialect.errors, newline=None) as text:
        line, _, _ = next(itertools.islice(_items(file, text), row, None))
    return line


def _items(file: DataFile, text: TextIO) -> Iterator[tuple[int | None, Any, int]]:
    """Yield each value of the file, with its line, which is unknown in an array, and its length."""
    line, number = begin_line(text), 1
    while line and not line.strip():
        line, number = begin_line(text), number + 1
    if line.lstrip().startswith("["):
        array = _Array(file, text, line, number)
        yield from ((None, item, length) for item, length in array.items())
        return
    for place, row in enumerate(bounded_lines(file, text, line, number), number):
        if row.strip():
            yield place, _parse(file, row.rstrip(), place), len(row)


class _Array:
    """An array, of which no more is held in memory than an item.

    Parameters
    ----------
    file : DataFile
    text : text file
    begun : str
        What was read from `text` already, and begins with the bracket.
    line : int
        The line in which that is.
    """

    def __init__(self, file: DataFile, text: TextIO, begun: str, line: int) -> None:
        self.file, self.text, self.buffer, self.line = file, text, begun, line
        self.column = self.place = 0  # `column`: of the beginning of the buffer in its line
        self.decode = json.JSONDecoder(object_pairs_hook=_unique).raw_decode

    def items(self) -> Iterator[tuple[Any, int]]:
        """Yield each item, and its length in characters."""
        self.place = self.buffer.index("[") + 1
        if self._next() == "]":
            self.place += 1
        else:
            while True:
                yield self._item()
                sign = self._next()
                if sign not in ("]", ","):
                    raise self._error("Expecting ',' delimiter", self.place)
                self.place += 1
                if sign == "]":
                    break
                self._next()
        if self._next():
            raise self._error("Extra data", self.place)

    def _next(self) -> str:
        """Skip white space; return the next character, which is empty at the end of the file."""
        while True:
            space = _SPACE.match(self.buffer, self.place)
            assert space is not None
            self.place = space.end()
            if self.place < len(self.buffer) or not self._more():
                return self.buffer[self.place : self.place + 1]

    def _more(self) -> bool:
        """Read on, and forget what was used; return whether there was anything."""
        used, rest = self.buffer[: self.place], self.buffer[self.place :]
        lines = used.count("\n")
        self.line += lines
        self.column = len(used) - used.rfind("\n") - 1 if lines else self.column + len(used)
        read = self.text.read(max(_BLOCK, len(rest)))
        self.buffer, self.place = rest + read, 0
        return bool(read)

    def _item(self) -> tuple[Any, int]:
        """Return the next item, and its length."""
        while True:
            try:
                item, end = self.decode(self.buffer, self.place)
            except json.JSONDecodeError as error:
                if self._more():
                    self._check_length()
                    continue
                # The position is that before the rest was moved to the beginning.
                place = len(self.buffer) - len(error.doc) + error.pos
                raise self._error(error.msg, place) from None
            except RecursionError:
                raise self._refusal(_TOO_DEEP, self.place) from None
            except ValueError as error:  # as in `_parse`
                raise self._refusal(str(error), self.place) from None
            # A number may go on in what was not read yet.
            if end == len(self.buffer) and self._more():
                self._check_length()
                continue
            if _is_deep(item):
                raise self._refusal(_TOO_DEEP, self.place)
            length, self.place = end - self.place, end
            return item, length

    def _check_length(self) -> None:
        if len(self.buffer) > 2 * MOST_CHARACTERS:
            raise too_long(self.file, self.line, "an object")

    def _error(self, message: str, place: int) -> ValueError:
        """Return the error for what is not JSON, at a place of the buffer."""
        before = self.buffer.rfind("\n", 0, place) + 1
        column = place - before + 1 + (0 if before else self.column)
        return self._refusal(_syntax(message, column, whole=True), place)

    def _refusal(self, reason: str, place: int) -> ValueError:
        line = self.line + self.buffer.count("\n", 0, place)
        return ValueError(f"{self.file}, line {line:,}: not JSON ({reason})")


_TOO_DEEP = "its values are nested too deeply"


def _syntax(message: str, column: int, whole: bool) -> str:
    """Return what is wrong with a text; `whole` is true if it is an array."""
    message = message.removesuffix(" at")
    reason = f"{message} at column {column}"
    if not whole or message == "Extra data":
        reason += "; an object a line is expected, or one array of objects"
    return reason


def _parse(file: DataFile, text: str, line: int) -> Any:
    """Return the value in a line of the file."""
    try:
        value = json.loads(text, object_pairs_hook=_unique)
        if not _is_deep(value):
            return value
        reason = _TOO_DEEP
    except json.JSONDecodeError as error:
        reason = _syntax(error.msg, error.colno, whole=text.lstrip().startswith("["))
    except ValueError as error:  # a number with too many digits, or a key that is there twice
        reason = str(error)
    except RecursionError:
        reason = _TOO_DEEP
    raise ValueError(f"{file}, line {line:,}: not JSON ({reason})")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    item = dict(pairs)
    if len(item) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r:.100} appears twice in an object")
    return item


def _is_deep(value: Any) -> bool:
    """Return whether values are nested deeper than `_DEPTH`."""
    level = [value]
    for _ in range(_DEPTH):
        level = [
            inner
            for outer in level if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _kind(value: object) -> str:
    return "an array" if isinstance(value, list) else json.dumps(value)[:40]


# --- halves of surrogate pairs ------------------------------------------------------------


def _is_broken(value: Any) -> bool:
    if isinstance(value, str):
        return not value.isascii() and _HALF_PAIR.search(value) is not None
    if isinstance(value, dict):
        return any(_is_broken(key) or _is_broken(inner) for key, inner in value.items())
    return isinstance(value, list) and any(map(_is_broken, value))


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_mended(key): _mended(inner) for key, inner in value.items()}
    return [_mended(inner) for inner in value] if isinstance(value, list) else value


def _half_pair(file: DataFile, row: int, line: int | None, item: dict[str, Any]) -> ValueError:
    column = next(key for key, value in item.items() if _is_broken(key) or _is_broken(value))
    place = "" if line is None else f", line {line:,}"
    return ValueError(
        f"{file}{place}: row {row} (counted from 0) has half of a surrogate pair in column "
        f"{ascii(column)}, which is no character; correct it, or put U+FFFD in the place of such "
        f"halves with {spell('errors', 'replace')}"
    )
