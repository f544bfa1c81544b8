"""Read files of one text a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from bertsent.files.encodings import find_encoding, find_newline, opened_text
from bertsent.files.limits import Chunk, bounded_lines

if TYPE_CHECKING:
    from bertsent.files.dialect import Dialect
    from bertsent.files.sources import DataFile

# Name of the only column.
TEXT_COLUMN = "text"


def read_lines(file: DataFile, dialect: Dialect, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the lines of a file in chunks.

    Empty lines are rows with an empty cell, unless nothing follows.
    """
    if file.layout is None:
        file.layout = find_encoding(file, dialect)
    newline = find_newline(file, file.layout, dialect.errors)
    texts: list[str | None] = []
    size, empty_lines = Chunk(rows), 0
    with opened_text(file, file.layout, dialect.errors, newline) as text:
        for line in bounded_lines(file, text):
            cell = line.removesuffix(newline).removesuffix("\r")
            if not cell:
                empty_lines += 1
                continue
            while empty_lines:
                empty_lines -= 1
                texts.append(None)
                if size.add(0, 1):
                    yield _frame(texts)
                    texts = []
            texts.append(cell)
            if size.add(len(line), 1):
                yield _frame(texts)
                texts = []
    if texts:
        yield _frame(texts)


def find_text(file: DataFile, dialect: Dialect, row: int) -> int:
    """Return the line of a row, from 1."""
    del file, dialect
    return row + 1


def _frame(texts: list[str | None]) -> pd.DataFrame:
    return pd.DataFrame({TEXT_COLUMN: texts}, dtype=object)
