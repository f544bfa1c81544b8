"""Read CSV and TSV: as many rows as the file has, or an error that names the line.

Python's csv module parses the rows, in its strict mode. Unlike pandas, it then rejects a cell that
goes on after its closing quote and a carriage return outside of quotes, and it knows the number of
the line.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

import pandas as pd

from bertsent.files.encodings import find_encoding, find_newline, opened_text
from bertsent.files.limits import (
    MOST_CHARACTERS,
    MOST_COLUMNS,
    Chunk,
    bounded_lines,
    too_long,
    too_many_columns,
)
from bertsent.files.names import number_names, unique_names
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.dialect import Dialect
    from bertsent.files.sources import DataFile

TAB = "\t"
DELIMITERS = {"csv": ",", "tsv": TAB}
# Characters that separate cells in files that are called .csv all the same.
_INSTEAD_OF_COMMA = (";", TAB, "|")
# A cell with more lines than this is an opening quote without a closing one.
MOST_LINES = 10_000
# The csv module's own limit, 128 KB a cell, is for the whole process.
_LARGEST_CELL = MOST_CHARACTERS
# Labels and the like have at most as many values as this, and are not longer.
_MOST_VALUES = 1000
_LONGEST_VALUE = 100
_QUOTED = re.compile(r'"[^"]*"')
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
# What programs write before the first character of a file.
_MARK = "\ufeff"
# Stands for a missing cell while a line is parsed; Unicode keeps it for the use within programs.
_NULL = "\uffff"


@dataclass(frozen=True)
class Layout:
    """How a file is written, with everything decided that its `Dialect` leaves open.

    Attributes
    ----------
    encoding : str
    newline : str
        The end of a line; "\\n" also stands for "\\r\\n".
    skipped : int
        Lines before the header.
    delimiter, escapechar, quoting, header
        As in `Dialect`.
    evident : bool
        Whether the dialect says how cells are quoted, or it is beyond doubt. Otherwise, a quote
        that belongs to a text may look like the beginning of a cell of many lines.
    """

    encoding: str
    newline: str
    skipped: int
    delimiter: str
    escapechar: str | None
    quoting: str
    header: bool
    evident: bool


def read_delimited(file: DataFile, dialect: Dialect, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a CSV or TSV file in chunks; empty cells are None."""
    layout = file.layout
    if layout is None:
        layout = file.layout = find_layout(file, dialect)
    with opened_text(file, layout.encoding, dialect.errors, layout.newline) as text:
        table = _Table(file, layout, text)
        size = Chunk(rows)
        while True:
            chunk: list[list[str]] = []
            with _large_cells:
                for row in table.rows:
                    chunk.append(row)
                    if size.add(table.lines.length, len(row)):
                        break
            if not chunk:
                break
            columns = zip(*chunk, strict=True)
            yield pd.DataFrame(
                {
                    name: [cell or None for cell in cells]
                    for name, cells in zip(table.names, columns, strict=True)
                },
                dtype=object,
            )


def find_line(file: DataFile, dialect: Dialect, row: int) -> int:
    """Return the line in which a row begins, from 1, of a file that was read before."""
    with opened_text(file, file.layout.encoding, dialect.errors, file.layout.newline) as text:
        table = _Table(file, file.layout, text)
        with _large_cells:
            next(itertools.islice(table.rows, row, None))
        return table.line


def find_layout(file: DataFile, dialect: Dialect) -> Layout:
    """Decide what the dialect leaves open; a guess is made only where it is safe, with a warning.

    Raises
    ------
    ValueError
        The file is empty or cannot be decoded.
    """
    encoding = find_encoding(file, dialect)
    newline = find_newline(file, encoding, dialect.errors)
    skipped, first = 0, ""
    with opened_text(file, encoding, dialect.errors, newline) as text:
        for line in bounded_lines(file, text):
            skipped, first = skipped + 1, line.strip("\r\n")
            if first:
                break
        else:
            raise ValueError(f"{file} is empty")
    delimiter = dialect.delimiter
    if len(first) == 5 and first.startswith("sep="):  # how Excel writes its delimiter
        delimiter = delimiter or first[-1]
    else:
        skipped = 0
    if delimiter is None:
        delimiter = DELIMITERS[file.format.kind]
        between = _QUOTED.sub("", first)  # what stands between names in quotes
        others = [other for other in _INSTEAD_OF_COMMA if other in between]
        whole = '"' not in between  # otherwise, a name has a line break
        if delimiter == "," and dialect.header and "," not in between and others and whole:
            delimiter = max(others, key=between.count)
            file.tell(f"is read with {spell('delimiter', delimiter)}, because its header has no "
                       f"commas: {_shortened(first)!r}")
    layout = Layout(
        encoding, newline, skipped, delimiter, dialect.escapechar, dialect.quoting or "minimal",
        dialect.header, evident=dialect.quoting is not None,
    )
    if dialect.quoting is None and delimiter == TAB:
        quoted = _is_quoted(file, layout, dialect.errors)
        layout = replace(layout, quoting="minimal" if quoted else "none", evident=True)
    return layout


# --- rows ---------------------------------------------------------------------------------


class _Lines:
    """The lines of a file; remembers those of the current row, and their length.

    Parameters
    ----------
    text : text file
    limit : int or None
        The most lines of a row.
    null : pattern or None, default=None
        What stands for a missing cell, and is replaced by ``_NULL``.
    """

    def __init__(
        self, text: TextIO, limit: int | None, null: re.Pattern[str] | None = None
    ) -> None:
        self.text, self.limit, self.null = text, limit, null
        self.count = 0
        self.begin()

    def begin(self) -> None:
        """Begin a row."""
        self.row: list[str] = []
        self.length, self.has_null = 0, False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.text.readline(MOST_CHARACTERS + 1)
        if not line:
            raise StopIteration
        self.count += 1
        self.row.append(line)
        self.length += len(line)
        if self.length > MOST_CHARACTERS:
            raise _TooLong
        if self.limit is not None and len(self.row) > self.limit:
            raise _TooManyLines
        if self.null is not None and "\\N" in line:
            line, count = self.null.subn(_NULL, line)
            self.has_null = self.has_null or count > 0
        return line


class _TooManyLines(Exception):
    pass


class _TooLong(Exception):
    pass


class _Table:
    """The rows of an open file.

    Attributes
    ----------
    names : list of str
        Names of the columns. They are known from the beginning.
    rows : iterator of list of str
        The rows, each with as many cells as there are names. Empty lines are rows in a file of
        one column, unless nothing follows.
    line : int
        The line in which the last row begins, from 1.
    """

    def __init__(self, file: DataFile, layout: Layout, text: TextIO) -> None:
        self.file, self.layout = file, layout
        for _ in range(layout.skipped):
            next(text)
        null = None
        if layout.escapechar == "\\":
            # MySQL and PostgreSQL write a missing cell as \N, which is no escaped N.
            between = re.escape(layout.delimiter)
            null = re.compile(rf"(?:^|(?<={between}))\\N(?={between}|[\r\n]|$)")
        self.lines = _Lines(text, None if layout.evident else MOST_LINES, null)
        self.reader = csv.reader(
            self.lines, delimiter=layout.delimiter, escapechar=layout.escapechar, strict=True,
            quoting=csv.QUOTE_NONE if layout.quoting == "none" else csv.QUOTE_MINIMAL,
        )
        self.line = 0
        first, empty = self._first()
        if len(first) > MOST_COLUMNS:
            raise too_many_columns(file, f"line {self._begin:,}", len(first))
        self.first = first
        self.names = (unique_names(file, first) if layout.header else number_names(len(first)))
        certain = layout.evident or (
            layout.header and _is_quoted_header(self.lines.row, first, layout)
        )
        if certain:
            self.lines.limit = None
        self.doubt = _Doubt(layout, len(first), certain)
        given: Iterator[tuple[int, list[str]]] = iter(())
        if not layout.header:
            before = ((line, [""]) for line in empty if len(first) == 1)
            given = itertools.chain(before, [(self._begin, first)])
            self.doubt.look(first, self.lines.row, self._begin)
        self.rows = self._rows(given)

    def _first(self) -> tuple[list[str], range]:
        """Return the first row, and the numbers of the empty lines before it."""
        with _large_cells:
            while (row := self._parse()) == []:
                pass
        if row is None:
            raise ValueError(f"{self.file} is empty")
        return row, range(self.layout.skipped + 1, self._begin)

    def _rows(self, given: Iterator[tuple[int, list[str]]]) -> Iterator[list[str]]:
        for self.line, row in given:
            yield row
        width = len(self.names)
        empty = 0  # number of empty lines before the next row; there may be any number
        while True:
            parsed = self._parse()
            if parsed is None:
                break
            if not parsed:
                empty += width == 1
                continue
            if len(parsed) != width:
                raise self._ragged(len(parsed))
            if self.layout.header and width > 1 and self._is_header(parsed):
                raise self._error(
                    "the header again; if files were put together, leave out their headers"
                )
            begin = self._begin
            if not self.doubt.over:
                self.doubt.look(parsed, self.lines.row, begin)
            for self.line in range(begin - empty, begin):
                yield [""]
            empty, self.line = 0, begin
            yield parsed
        joined = self.doubt.suspicious()
        if joined is not None:
            raise self._joined(*joined)

    @property
    def _begin(self) -> int:
        """The line in which the last row that was parsed begins."""
        return self.layout.skipped + self.lines.count - len(self.lines.row) + 1

    def _parse(self) -> list[str] | None:
        """Return the next row, an empty list for an empty line, or None at the end."""
        self.lines.begin()
        try:
            row = next(self.reader)
        except StopIteration:
            return None
        except csv.Error as error:
            raise self._unreadable(str(error)) from None
        except _TooManyLines:
            raise self._unclosed(
                f"is not closed within {MOST_LINES:,} lines",
                f"; if the cell is that long, pass {spell('quoting', 'minimal')}",
            ) from None
        except _TooLong:
            raise too_long(self.file, self._begin, "a row") from None
        if self.lines.has_null:
            row = ["" if cell == _NULL else cell.replace(_NULL, "N") for cell in row]
        return row

    def _is_header(self, row: list[str]) -> bool:
        """Return whether a row is the header of a second file, which may begin with its mark."""
        first = row[0]
        if first.startswith(_MARK):
            first = first.removeprefix(_MARK).strip('"')
        return [first, *row[1:]] == self.first

    # The csv module has one class for all errors, so their messages are compared.
    def _unreadable(self, message: str) -> ValueError:
        if "unexpected end of data" in message and self.layout.quoting != "none":
            return self._unclosed("is never closed")
        if "expected after" in message:
            last = self._begin + len(self.lines.row) - 1
            end = "" if last == self._begin else f", which ends in line {last:,},"
            return self._error(
                f"a cell{end} goes on after its closing quote. "
                "A quote in a quoted cell must be written twice. If it is written "
                rf"as \", pass {spell('escapechar', chr(92))}; if quotes are part of the texts, "
                f"pass {spell('quoting', 'none')}"
            )
        if "new-line character" in message:
            return self._error(
                "a carriage return within the line; put the cell in quotes, or end all lines alike"
            )
        if "NUL" in message:
            return self._error("a NUL character, which Python 3.10 cannot read in such files")
        return self._error(message)

    def _unclosed(self, how: str, otherwise: str = "") -> ValueError:
        return self._error(
            f"a cell begins with a quote that {how}. If quotes are part of the texts, pass "
            f"{spell('quoting', 'none')}{otherwise}"
        )

    def _ragged(self, width: int) -> ValueError:
        expected = len(self.names)
        what = "the header" if self.layout.header else "the first row"
        return self._error(
            f"{_count(width, 'cell')}, but {what} has {expected} "
            f"({_shortened(', '.join(self.first))}); {self._remedy(width)}"
        )

    def _remedy(self, width: int) -> str:
        """Return what to do about a row that has `width` cells, and should have another number."""
        delimiter = _named(self.layout.delimiter)
        written = "".join(self.lines.row).rstrip("\r\n")
        if not written.strip():
            return "the line is blank; remove it"
        escaped = written.endswith("\\") or f"\\{self.layout.delimiter}" in written
        escaped = escaped or any(cell.endswith("\\") for cell in self.first)
        if self.layout.escapechar is None and escaped and len(self.names) > 1:
            return ("if a backslash makes the next character literal, pass "
                    f"{spell('escapechar', chr(92))}")
        if len(self.names) == 1 and self.layout.delimiter != TAB:
            return f"if each line is one text, pass {spell('delimiter', TAB)}"
        if self.layout.header and not self.line and width == len(self.names) + 1:
            if written.endswith(self.layout.delimiter):
                return f"if every row ends with a {delimiter}, let the header end with one too"
            return ("if rows begin with a number or name that the header leaves out, as in files "
                    "of R, write a name for it before the others; otherwise, "
                    + self._cell_remedy(width, written))
        return self._cell_remedy(width, written)

    def _cell_remedy(self, width: int, written: str) -> str:
        """Return what to do about the cell that gives a row, of these lines, another width."""
        delimiter = _named(self.layout.delimiter)
        if self.layout.quoting == "none":
            if '"' in written:
                return (f"if cells with a {delimiter} are in quotes, pass "
                        f"{spell('quoting', 'minimal')}")
            if width > len(self.names):
                return f"take the {delimiter} out of the cell that contains one"
        if f'{self.layout.delimiter} "' in written:
            return "a cell is only in quotes if no space stands before the first one"
        holds = delimiter if width > len(self.names) else "line break"
        return f"a cell that contains a {holds} must be in quotes"

    def _joined(self, first: int, last: int) -> ValueError:
        return ValueError(
            f"{self.file}, line {first:,}: a cell in quotes extends to line {last:,}, but each of "
            "these lines looks like a row of its own. If quotes are part of the texts, pass "
            f"{spell('quoting', 'none')}; if this cell does contain line breaks, pass "
            f"{spell('quoting', 'minimal')}"
        )

    def _error(self, message: str) -> ValueError:
        return ValueError(f"{self.file}, line {self._begin:,}: {message}")


class _Doubt:
    """Watches for cells in quotes that extend over what look like rows of their own.

    If quotes are part of the texts, one that begins a cell joins all lines up to the next one, and
    the result can be a proper row. But then its first and last lines have as many delimiters as a
    row, and lines end as other rows end (such as with a label) or begin as they begin (such as with
    a number). A text can look like this by chance, so most cells of several lines have to.

    Parameters
    ----------
    layout : Layout
    width : int
        Number of columns.
    over : bool
        Whether there is no doubt.
    """

    def __init__(self, layout: Layout, width: int, over: bool) -> None:
        self.delimiter, self.width = layout.delimiter, width
        # The lines of a file of one column say nothing.
        self.over = over or width == 1
        self.first, self.last = _Values(), _Values()
        self.joined: list[tuple[int, list[list[str]]]] = []
        self.extended = 0

    def look(self, row: list[str], lines: list[str], number: int) -> None:
        """Look at a row and at its lines, of which the first is line `number` of the file."""
        self.first.add(row[0])
        self.last.add(row[-1])
        if len(lines) == 1:
            return
        self.extended += 1
        rows = [line.rstrip("\r\n").split(self.delimiter) for line in lines]
        if len(rows[0]) == len(rows[-1]) == self.width and len(self.joined) < _MOST_VALUES:
            self.joined.append((number, rows))

    def suspicious(self) -> tuple[int, int] | None:
        """Return the first and last line of a row that probably is several; None if none is."""
        found = []
        for number, rows in self.joined:
            ends = [cells[-1] for cells in rows[:-1] if len(cells) == self.width]
            beginnings = [cells[0] for cells in rows[1:] if len(cells) == self.width]
            if self.last.explain(ends) or self.first.explain(beginnings):
                found.append((number, number + len(rows) - 1))
        return found[0] if 2 * len(found) > self.extended else None


class _Values:
    """The values of a column, as far as they are few and short, or numbers."""

    def __init__(self) -> None:
        self.known: set[str] | None = set()
        self.numbers = True

    def add(self, value: str) -> None:
        self.numbers = self.numbers and _NUMBER.fullmatch(value) is not None
        if self.known is not None:
            self.known.add(value)
            if len(self.known) > _MOST_VALUES or len(value) > _LONGEST_VALUE:
                self.known = None

    def explain(self, others: list[str]) -> bool:
        """Return whether other texts look like values of this column."""
        if self.numbers:
            return all(map(_NUMBER.fullmatch, others))
        return self.known is not None and self.known.issuperset(others)


def _is_quoted_header(lines: list[str], header: list[str], layout: Layout) -> bool:
    """Return whether each name is in quotes, as no program writes it where quotes are text."""
    quoted = ('"' + name.replace('"', '""') + '"' for name in header)
    return "".join(lines).rstrip("\r\n") == layout.delimiter.join(quoted)


# --- quotes in TSV ------------------------------------------------------------------------


def _is_quoted(file: DataFile, layout: Layout, errors: str) -> bool:
    """Return whether the quotes of a file with tabs enclose cells, and are not part of texts.

    In TSV, quotes usually are text. They enclose cells if all names in the header are in quotes,
    if only then every row has as many cells as the header, or if the file is exactly what a program
    writes that puts a cell in quotes where it must. But if cells would extend over lines that look
    like rows, quotes are text.
    """
    with opened_text(file, layout.encoding, errors, layout.newline) as text:
        for _ in range(layout.skipped):
            next(text)
        lines = _Lines(text, MOST_LINES)
        reader = csv.reader(
            lines, delimiter=TAB, escapechar=layout.escapechar, strict=True
        )
        header: list[str] | None = None
        # Whether there is a row in each line if quotes are text; whether some cells have doubled
        # quotes, and all cells in quotes need them; whether a row extends over several lines, of
        # which the first and the last look like rows.
        regular, doubled, needed, joined = True, False, True, False
        in_rows = False
        while True:
            lines.begin()
            try:
                with _large_cells:
                    row = next(reader)
            except StopIteration:
                break
            except (csv.Error, _TooManyLines, _TooLong):
                return False
            if not row:
                continue
            if header is None:
                header = row
                if layout.header and _is_quoted_header(lines.row, row, layout):
                    return True
            if len(row) != len(header):
                return False
            written = "".join(lines.row)
            if '"' not in written:
                continue
            like_rows = [line.count(TAB) == len(header) - 1 for line in lines.row]
            regular = regular and all(like_rows)
            if len(lines.row) > 1:
                joined = True
                in_rows = in_rows or (len(header) > 1 and like_rows[0] and like_rows[-1])
            doubled = doubled or '""' in written
            needed = needed and written.rstrip("\r\n") == _write(row).rstrip("\r\n")
    if not regular and not in_rows:
        file.tell(f"is read with {spell('quoting', 'minimal')}, because its rows only have equal "
                   "numbers of cells if quotes enclose cells")
        return True
    if doubled and needed and not in_rows:
        file.tell(f"is read with {spell('quoting', 'minimal')}, because its cells are in quotes "
                   "where they must be")
        return True
    if regular and joined:
        file.tell(f"is read with {spell('quoting', 'none')}, a row in each line; if quotes enclose "
                   f"cells, pass {spell('quoting', 'minimal')}")
    return False


def _write(row: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=TAB).writerow(row)
    return written.getvalue()


# --- small things -------------------------------------------------------------------------


class _LargeCells:
    """Raises the limit of the csv module, for as long as at least one thread reads."""

    def __init__(self) -> None:
        self.lock, self.users, self.before = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.users:
                self.before = csv.field_size_limit(_LARGEST_CELL)
            self.users += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                csv.field_size_limit(self.before)


    def renew(self) -> None:
        """Forget who holds the lock, in a child process, where that thread does not go on."""
        self.lock = threading.Lock()


_large_cells = _LargeCells()
os.register_at_fork(after_in_child=_large_cells.renew)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _named(delimiter: str) -> str:
    return {",": "comma", TAB: "tab", ";": "semicolon"}.get(delimiter, repr(delimiter))


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
