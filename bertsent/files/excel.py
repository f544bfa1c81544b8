"""Read Excel workbooks."""

from __future__ import annotations

import contextlib
import re
import warnings
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import pandas as pd

from bertsent.files.limits import MOST_COLUMNS, Chunk, too_many_columns
from bertsent.files.names import number_names, unique_names

if TYPE_CHECKING:
    from bertsent.files.dialect import Dialect
    from bertsent.files.sources import DataFile


# How a workbook writes control characters: a carriage return is _x000D_.
_CODE = re.compile("_x00([0-9A-Fa-f]{2})_")
# How encrypted workbooks and those of Excel before 2007 begin.
_OLD = b"\xd0\xcf\x11\xe0"
# The last row of a sheet in Excel.
_LAST_ROW = 1 << 20
# Most parts of a workbook are held in memory. Usual ones are compressed to a tenth.
_SMALL = 16 << 20
_MOST_RATIO = 200


def read_excel(file: DataFile, dialect: Dialect, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of the first sheet of a workbook in chunks; empty cells are None.

    Cells are what openpyxl makes of them: str, int, float, bool or datetime. Of formulas, it reads
    the values that were stored with them.
    """
    with file.open_stored() as stored, _opened(file, stored) as book:
        sheet = book.worksheets[0]
        others = [other.title for other in book.worksheets[1:]]
        if others:
            file.tell(f"is read from its sheet {sheet.title!r}; it also has {', '.join(others)}")
        table = _rows(file, sheet)
        number, first = next(table, (0, []))
        if not first:
            raise ValueError(f"{file} is empty")
        names = number_names(len(first))
        if len(first) > MOST_COLUMNS:
            raise too_many_columns(file, f"row {number:,} of the sheet", len(first))
        chunk = [] if dialect.header else [first]
        size = Chunk(rows)
        if chunk and size.add(_length(first), len(first)):
            yield pd.DataFrame(chunk, columns=names, dtype=object)
            chunk = []
        if dialect.header:
            names = unique_names(file, ["" if name is None else str(name) for name in first])
        for number, row in table:
            if len(row) > len(names):
                raise ValueError(
                    f"{file}: row {number:,} of the sheet has {len(row)} cells, but the first row "
                    f"has {len(names)}"
                )
            chunk.append(row + [None] * (len(names) - len(row)))
            if size.add(_length(row), len(names)):
                yield pd.DataFrame(chunk, columns=names, dtype=object)
                chunk = []
        if chunk:
            yield pd.DataFrame(chunk, columns=names, dtype=object)


def _rows(file: DataFile, sheet: Any) -> Iterator[tuple[int, list[Any]]]:
    """Yield the number of each row in the sheet, from 1, and its cells up to the last full one.

    Empty rows before the first row and after the last one are left out.
    """
    # What a sheet says about its size is often wrong.
    sheet.reset_dimensions()
    table = sheet.iter_rows(values_only=True)
    number = 0
    expected: int | None = None  # the row after the last full one
    while True:
        # Rows that the sheet leaves out are many in a damaged file.
        try:
            cells = next(table, None)
        except Exception as error:
            raise _unreadable(file, error) from None
        if cells is None:
            return
        number += 1
        if number > _LAST_ROW:
            raise ValueError(
                f"{file}: row {number:,} of the sheet is beyond the last one of Excel; the file is "
                "damaged"
            )
        row = [_plain(cell) for cell in cells]
        while row and row[-1] is None:
            row.pop()
        if not row:
            continue
        for empty in range(number if expected is None else expected, number):
            yield empty, []
        yield number, row
        expected = number + 1


def _length(row: list[Any]) -> int:
    return sum(len(cell) for cell in row if isinstance(cell, str))


def _plain(cell: Any) -> Any:
    """Return a cell with the characters that XML cannot hold; openpyxl leaves their codes."""
    if not isinstance(cell, str):
        return cell
    if "_x00" in cell:
        cell = _CODE.sub(lambda code: chr(int(code[1], 16)), cell)
    return cell or None


@contextlib.contextmanager
def _opened(file: DataFile, stored: IO[bytes]) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError:
        raise ImportError(
            "Excel files need openpyxl: pip install 'bertsent[excel]'"
        ) from None
    if stored.read(len(_OLD)) == _OLD:
        raise ValueError(
            f"{file} is protected by a password, or is an old Excel file; save it as .xlsx without "
            "a password, or as .csv"
        )
    stored.seek(0)
    with _clear(file), zipfile.ZipFile(stored) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > max(_SMALL, _MOST_RATIO * file.size):
        raise ValueError(
            f"{file} is damaged or hostile: its {file.size:,} bytes stand for {unpacked:,}; save "
            "the table as .csv"
        )
    stored.seek(0)
    with _clear(file), warnings.catch_warnings():
        # It warns about parts of workbooks that it does not read, such as styles.
        warnings.simplefilter("ignore", UserWarning)
        book = openpyxl.load_workbook(stored, read_only=True, data_only=True, keep_links=False)
    with contextlib.closing(book):
        if not book.worksheets:
            raise ValueError(f"{file} has no sheet with cells")
        yield book


@contextlib.contextmanager
def _clear(file: DataFile) -> Iterator[None]:
    """Name the file in the errors of damaged workbooks, which are of many classes."""
    try:
        yield
    except Exception as error:
        raise _unreadable(file, error) from None


def _unreadable(file: DataFile, error: Exception) -> Exception:
    """Return the error to raise in place of one of openpyxl."""
    if isinstance(error, MemoryError):
        return MemoryError(f"there is not enough memory to read {file}")
    return ValueError(f"{file} cannot be read as an Excel workbook: {error}")
