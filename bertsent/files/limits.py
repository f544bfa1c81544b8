"""How much of a data file is held in memory, whatever its content is.

A file is read in chunks, so it may be larger than memory. But a compressed file of some kilobytes
can stand for a line of gigabytes. So a row has a largest size, and a chunk ends early if its rows
are large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from bertsent.files.sources import DataFile

# The largest row in characters. All books of the Bible have half of it.
MOST_CHARACTERS = 1 << 23
# Excel has 16,384 columns.
MOST_COLUMNS = 1 << 14
# After so many characters a chunk ends. 4,096 reviews have 6 million.
CHUNK_CHARACTERS = 1 << 24
# What an empty cell, list or object takes in memory, in characters.
_EMPTY = 64


class Chunk:
    """Counts the rows of a chunk, and what they take.

    Parameters
    ----------
    rows : int
        Largest number of rows.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.count = self.size = 0

    def add(self, characters: int, parts: int) -> bool:
        """Add a row of so many characters in so many parts; return whether the chunk is full."""
        self.count += 1
        self.size += characters + _EMPTY * parts
        if self.count < self.rows and self.size < CHUNK_CHARACTERS:
            return False
        self.count = self.size = 0
        return True


def bounded_lines(
    file: DataFile, text: TextIO, line: str | None = None, number: int = 1
) -> Iterator[str]:
    """Yield the lines of a text, or raise an error that names the one that is too long.

    Parameters
    ----------
    file : DataFile
    text : text file
    line : str or None, default=None
        The line that was read before, by `begin_line`.
    number : int, default=1
        Number of the first line.
    """
    if line is None:
        line = begin_line(text)
    while line:
        if len(line) > MOST_CHARACTERS:
            raise too_long(file, number)
        yield line
        line, number = begin_line(text), number + 1


def begin_line(text: TextIO) -> str:
    """Return the next line of a text; of one that is too long, somewhat more than may be."""
    return text.readline(MOST_CHARACTERS + 1)


def too_long(file: DataFile, line: int, what: str = "a line") -> ValueError:
    """Return the error for a row that is too large and begins in a line."""
    return ValueError(
        f"{file}, line {line:,}: {what} of more than {MOST_CHARACTERS:,} characters; a row can "
        "have at most as many"
    )


def too_many_columns(file: DataFile, place: str, count: int) -> ValueError:
    """Return the error for a table that is too wide."""
    return ValueError(
        f"{file}, {place}: {count:,} columns are too many; at most {MOST_COLUMNS:,} are read"
    )
