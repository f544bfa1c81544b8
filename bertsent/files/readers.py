"""Read labelled and unlabelled texts, in every format and in chunks.

Chunks make it possible to score a file of any size. Only empty cells are missing values: "None",
"NA" and "nan" are texts.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertsent.files.compression import clear_damage
from bertsent.files.delimited import find_line, read_delimited
from bertsent.files.excel import read_excel
from bertsent.files.folders import folder_texts, is_split, read_folder
from bertsent.files.json_rows import find_object, read_json_rows
from bertsent.files.lines import TEXT_COLUMN, find_text, read_lines
from bertsent.files.names import FIRST, USUAL, other_columns
from bertsent.files.parquet import read_parquet, source_schema
from bertsent.files.sources import DataFile, Source, find_source
from bertsent.system import check_interrupts
from bertsent.texts import describe_no_text
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    from bertsent.texts import Text

CHUNK_ROWS = 2048


def read_chunks(
    path: str | PathLike[str] | Source,
    rows: int = CHUNK_ROWS,
    *,
    columns: list[str] | None = None,
    as_stored: bool = False,
) -> Iterator[pd.DataFrame]:
    """Read data in chunks.

    Parameters
    ----------
    path : str, path-like or Source
        As `find_source` takes it.
    rows : int, default=CHUNK_ROWS
        Largest number of rows in a chunk.
    columns : list of str, optional
        The columns to read, in formats that can skip others. Other formats read all columns.
    as_stored : bool, default=False
        Keep the column types of a Parquet file, so that the columns can be written unchanged.
        Otherwise NumPy types are used, in which a column of integers with an empty cell becomes
        float.

    Yields
    ------
    DataFrame
        Its index counts the rows from 0 over all files. In CSV and TSV, cells are the strings of
        the file, and empty cells are missing values.
    """
    source = find_source(path)
    first, source.starts = 0, []
    chunks = (
        read_folder(source, rows) if source.kind == "imdb"
        else _read_files(source, rows, columns, as_stored)
    )
    for chunk in chunks:
        check_interrupts()
        chunk.index = pd.RangeIndex(first, first + len(chunk))
        first += len(chunk)
        yield chunk
    if first == 0:
        raise ValueError(f"{source} has no rows")


def _read_files(
    source: Source, rows: int, columns: list[str] | None, as_stored: bool
) -> Iterator[pd.DataFrame]:
    """Yield the rows of the files of a source; all chunks have the columns of the first one."""
    schema = source_schema(source) if source.kind == "parquet" else None
    expected: list[str] | None = None
    count = 0
    for file in source.files:
        source.starts.append(count)
        if file.size == 0:
            raise ValueError(f"{file} is empty")
        with _clear_errors(file):
            for chunk in _read_file(file, source, rows, columns, as_stored, schema):
                if not len(chunk):
                    continue
                names = list(chunk.columns)
                # Each object in JSON may have other columns.
                if source.kind != "json" and names != expected:
                    if expected is None:
                        expected = names
                    elif set(names) != set(expected):
                        raise other_columns(source.files[0], expected, file, names)
                    chunk = chunk[expected]
                count += len(chunk)
                yield chunk


@contextlib.contextmanager
def _clear_errors(file: DataFile) -> Iterator[None]:
    """Name the file in errors of damaged data, also where they show as something else."""
    try:
        with clear_damage(file.name):
            yield
    except ValueError:
        if file.format.compression:
            # What damage has changed may decompress, and is only noticed by a checksum at the end.
            with clear_damage(file.name), file.opened() as content:
                while content.read(1 << 20):
                    pass
        raise


def _read_file(
    file: DataFile, source: Source, rows: int, columns: list[str] | None, as_stored: bool,
    schema: Any,
) -> Iterator[pd.DataFrame]:
    dialect = source.dialect
    if source.kind == "parquet":
        return read_parquet(file, dialect.errors, rows, columns, as_stored, schema)
    if source.kind == "excel":
        return read_excel(file, dialect, rows)
    if source.kind == "json":
        return read_json_rows(file, dialect, rows)
    if source.kind == "text":
        return read_lines(file, dialect, rows)
    return read_delimited(file, dialect, rows)


def read_table(path: str | PathLike[str] | Source) -> pd.DataFrame:
    """Read all data into one DataFrame; `path` is as in `find_source`."""
    return _read_all(find_source(path), None)


def _read_all(source: Source, columns: list[str] | None) -> pd.DataFrame:
    chunks = list(read_chunks(source, 65536, columns=columns))
    return chunks[0] if len(chunks) == 1 else pd.concat(chunks)


def parquet_schema(path: str | PathLike[str] | Source | None) -> Any:
    """Return the pyarrow schema of Parquet files; None for other formats.

    Of several files, it is the one with types that hold the values of all of them.
    """
    source = None if path is None else find_source(path)
    return source_schema(source) if source is not None and source.kind == "parquet" else None


def is_split_folder(path: str | PathLike[str] | Source) -> bool:
    """Return whether this is an aclImdb folder with separate train and test parts."""
    source = find_source(path)
    return source.folder is not None and is_split(source.folder)


# --- columns ------------------------------------------------------------------------------


def text_columns_of(
    source: Source, text_column: str | int, text_pair_column: str | int | None = None
) -> dict[str, str]:
    """Return the columns of texts by the parameter that chooses each: one, or two of pairs.

    A .txt file has one column, whatever was chosen.
    """
    if text_pair_column is None:
        return {"text_column": TEXT_COLUMN if source.kind == "text" else str(text_column)}
    if source.kind == "text":
        raise ValueError(
            f"{source} has one text a line, so it has no column for "
            f"{spell('text_pair_column', text_pair_column)}; pairs need a file with columns"
        )
    if str(text_column) == str(text_pair_column):
        raise ValueError(
            f"{spell('text_column')} and {spell('text_pair_column')} are both {text_column!r}; "
            "name two columns"
        )
    return {"text_column": str(text_column), "text_pair_column": str(text_pair_column)}


def flat_columns(columns: Mapping[str, str | Sequence[str]]) -> list[tuple[str, str]]:
    """Return each column with the parameter that chooses it, which may choose several."""
    return [
        (parameter, column)
        for parameter, chosen in columns.items()
        for column in ([chosen] if isinstance(chosen, str) else chosen)
    ]


def require_columns(
    there: Iterable[Any], columns: Mapping[str, str | Sequence[str]],
    source: str | PathLike[str] | Source,
) -> None:
    """Raise if a column is missing; the message lists the existing columns.

    Parameters
    ----------
    there : iterable
        The columns that exist.
    columns : dict
        The columns that must exist, by the parameter that chooses each, or several of them.
    source : str, path-like or Source
        Named in the error, with a hint if it is known how the file is written.
    """
    there, chosen = list(there), flat_columns(columns)
    for parameter, column in chosen:
        if column not in there:
            if not there:
                raise ValueError(f"{source} has no columns, and so no column {column!r}")
            message = (
                f"{source} has no column {column!r}; its columns are: {_listed(there)}. Choose one "
                f"with {spell(parameter)}"
            )
            found = [other for _, other in chosen if other in there]
            raise ValueError(message + describe_absence(column, parameter, there, source, found))


def _listed(names: list[Any], most: int = 30, longest: int = 60) -> str:
    """Return names in a list. Without a header, they can be texts, and many."""
    shown = []
    for name in map(str, names[:most]):
        short = name if len(name) <= longest else name[: longest - 3] + "..."
        # Spaces around a name would not show otherwise.
        shown.append(short if name == name.strip() else repr(short))
    more = f", and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown) + more


def describe_absence(
    column: str, parameter: str, there: list[Any], source: object, found: list[str]
) -> str:
    """Return what probably is the reason that a column is missing, as the end of a message.

    Parameters
    ----------
    column, parameter : str
        The column, and the parameter that chose it.
    there : list
        All columns.
    source : str, path-like or Source
    found : list of str
        Columns that other parameters chose and that exist.
    """
    is_text_table = isinstance(source, Source) and source.kind in ("csv", "tsv")
    delimiter = _unseen_delimiter(column, there) if is_text_table else None
    if delimiter is not None:
        return (f". The header looks as if {delimiter!r} separated the cells; if it does, pass "
                f"{spell('delimiter', delimiter)}")
    if isinstance(source, Source) and source.kind == "json" and column.partition(".")[0] in there:
        return ". Keys within objects are no columns; pandas.json_normalize makes columns of them"
    plain = {
        " ".join(str(name).split()).casefold(): str(name) for name in there if name not in found
    }
    near = difflib.get_close_matches(str(column).casefold(), plain, 1)
    if near:
        name = plain[near[0]]
        spaces = " (with a space)" if name != name.strip() else ""
        return f"; is it {name!r}{spaces}?"
    often = FIRST.get(parameter, ()) + USUAL.get(parameter, ())
    usual = [name for name in often if name in plain]
    if usual:
        return f"; is it {plain[usual[0]]!r}?"
    if not isinstance(source, Source):
        return ""
    if source.kind == "text":
        return f". A .txt file has one text a line, in a column that is called {TEXT_COLUMN!r}"
    if source.kind in ("csv", "tsv", "excel"):
        if not source.dialect.header:
            return ". Without a header, columns are called by their numbers, from 0"
        no_header = phrase(python="header=False", command="--no-header")
        if column.isdecimal():
            return f". Numbers choose columns with {no_header} only"
        if not found:
            return (f". If the first row already is data, pass {no_header} and "
                    f"{spell(parameter, '0')} (the number of the column, from 0)")
    if source.kind == "json":
        if set(map(str, there)) & {"data", "rows", "examples"}:
            return ". One object a line is expected, or one array of objects"
    return ""


def _unseen_delimiter(column: str, there: list[Any]) -> str | None:
    """Return what seems to separate the names of a header that was split at something else."""
    for delimiter in "\t;|,":
        names = [name for name in there if delimiter in name]
        pieces = [piece.strip(' "') for name in names for piece in name.split(delimiter)]
        if column in pieces or (names and len(there) == 1):
            return delimiter
    if len(there) == 1:
        (name,) = there
        for delimiter in dict.fromkeys(re.sub(r"[\w\"'\\]", "", name)):
            if column in [piece.strip('"') for piece in name.split(delimiter)]:
                return str(delimiter)
    return None


def drop_missing(
    frame: pd.DataFrame,
    columns: list[str],
    policy: str,
    source: str | PathLike[str] | Source,
) -> tuple[pd.DataFrame, int]:
    """Drop, or refuse, rows in which one of the columns is empty.

    Parameters
    ----------
    frame : DataFrame
    columns : list of str
    policy : {"error", "skip"}
    source : str, path-like or Source
        Named in the error.

    Returns
    -------
    frame : DataFrame
        The remaining rows, with unchanged index, which is the number of each row.
    n_missing : int
        Number of dropped rows.
    """
    missing = frame[columns].isna()
    rows = missing.any(axis=1).to_numpy()
    n_missing = int(rows.sum())
    if n_missing and policy == "error":
        first = int(np.flatnonzero(rows)[0])
        column = next(name for name in columns if missing[name].iloc[first])
        raise missing_cells(source, frame.index[first], column, n_missing)
    return (frame[~rows] if n_missing else frame), n_missing


def read_rows(
    path: str | PathLike[str] | Source, columns: Mapping[str, str | Sequence[str]], missing: str,
    *, may_be_empty: Collection[str] = (),
) -> tuple[pd.DataFrame, int]:
    """Read the rows of a collection in which none of some columns is empty.

    Parameters
    ----------
    path : str, path-like or Source
        As `find_source` takes it.
    columns : dict
        The columns, by the parameter that chooses each, or several of them.
    missing : {"error", "skip"}
        As `drop_missing` takes it.
    may_be_empty : collection of str, default=()
        Columns in which an empty cell is a value.

    Returns
    -------
    frame : DataFrame
    n_missing : int
        Rows left out.
    """
    source, names = find_source(path), [column for _, column in flat_columns(columns)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        flags = [spell(parameter) for parameter, name in flat_columns(columns) if name == twice]
        if len(set(flags)) < len(flags):
            raise ValueError(f"{flags[-1]} names the column {twice!r} twice")
        raise ValueError(f"{' and '.join(flags)} are both {twice!r}; name two columns")
    schema = parquet_schema(source)
    if schema is not None:
        require_columns(schema.names, columns, source)
    frame = _read_all(source, None if schema is None else list(dict.fromkeys(names)))
    if source.kind == "text" and "text_column" in columns:
        frame = frame.rename(columns={TEXT_COLUMN: names[0]})
    require_columns(frame.columns, columns, source)
    required = [name for name in names if name not in may_be_empty]
    frame, n_missing = drop_missing(frame, required, missing, source)
    if len(frame) == 0:
        raise ValueError(f"{source}: every row has an empty cell")
    for column in names:
        if any(isinstance(value, bytes) for value in frame[column]):
            frame[column] = _decoded(frame, column, source)
    return frame, n_missing


def missing_cells(
    source: str | PathLike[str] | Source, row: Any, column: str, count: int
) -> ValueError:
    """Return the error for empty cells, which names the first and counts the others."""
    more = f", and {count - 1:,} more rows like it" if count > 1 else ""
    return ValueError(
        f"{name_row(source, row)} has an empty cell in column {column!r}{more}; fill the cells, "
        f"or skip such rows with {spell('missing', 'skip')}"
    )


def frame_texts(
    frame: pd.DataFrame, columns: Mapping[str, str], source: str | PathLike[str] | Source
) -> list[Text]:
    """Return the texts of a column, or the pairs of two, as `column_texts` does.

    Parameters
    ----------
    frame : DataFrame
    columns : dict
        From `text_columns_of`.
    source : str, path-like or Source
    """
    each = [column_texts(frame, column, source) for column in columns.values()]
    return list(each[0]) if len(each) == 1 else list(zip(*each, strict=True))


def column_texts(
    frame: pd.DataFrame, column: str, source: str | PathLike[str] | Source
) -> list[str]:
    """Return the texts of a column as a list of str, or raise an error that names the row.

    Bytes, which a Parquet file may store instead of text, are decoded as UTF-8.
    """
    texts: list[str] = _decoded(frame, column, source)
    for row, text in zip(frame.index, texts, strict=True):
        if not isinstance(text, str):
            raise TypeError(
                f"{name_row(source, row)} of column {column!r} {describe_no_text(text)}"
            )
    return texts


def _decoded(
    frame: pd.DataFrame, column: str, source: str | PathLike[str] | Source
) -> list[Any]:
    """Return the values of a column, with bytes as text."""
    errors = source.dialect.errors if isinstance(source, Source) else "strict"
    values: list[Any] = frame[column].tolist()
    for place, value in enumerate(values):
        if isinstance(value, bytes):
            try:
                values[place] = value.decode("utf-8", errors)
            except UnicodeDecodeError as error:
                row = name_row(source, frame.index[place])
                raise ValueError(
                    f"{row} of column {column!r} has bytes that are "
                    f"not UTF-8 ({error.reason}); put U+FFFD in the place of such bytes with "
                    f"{spell('errors', 'replace')}"
                ) from None
    return values


def name_row(source: str | PathLike[str] | Source, row: Any) -> str:
    """Return a row in words, with its file, and with its line if the file has lines."""
    if not isinstance(source, Source) or not source.starts:
        return f"{source}: row {row} (counted from 0)"
    file, row = source.locate(row)
    line = None
    if source.kind in _LINES:
        line = _LINES[source.kind](file, source.dialect, row)
    place = "" if line is None else f", line {line:,}"
    return f"{file}{place}: row {row} (counted from 0)"


def row_namer(
    source: str | PathLike[str] | Source, rows: pd.Index
) -> Callable[[int], str]:
    """Return a function that names the row of a text in words, by its number in `rows`."""
    return lambda number: name_row(source, rows[number])


# What finds the line of a row, in formats whose rows begin in lines.
_LINES = {"csv": find_line, "tsv": find_line, "json": find_object, "text": find_text}


# --- hashes -------------------------------------------------------------------------------


def hash_data(path: str | PathLike[str] | Source) -> str:
    """Return the SHA-256 of a file, or of the names and contents of several files or texts."""
    source = find_source(path)
    digest = hashlib.sha256()
    if source.folder is not None:
        for name, text in folder_texts(source.folder):
            digest.update(name.encode() + b"\0")
            with open(text, "rb") as stored:
                _update(digest, stored)
        return digest.hexdigest()
    for file in source.files:
        if len(source.files) > 1:
            digest.update(os.fsencode(os.path.basename(file.name)) + b"\0")
        with file.open_stored() as stored:
            _update(digest, stored)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, file: IO[bytes]) -> None:
    while block := file.read(1 << 20):
        check_interrupts()
        digest.update(block)
