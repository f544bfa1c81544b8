"""Reading collections of reviews: CSV, TSV, JSON Lines, Parquet, gz, and the aclImdb folder.

Everything is read in chunks, so that a file of any size can be scored. Only an empty
cell is missing: "None", "NA" and "nan" are texts.
"""

import contextlib
import gzip
import hashlib
import json
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from bertsent.formats import DELIMITERS, file_format, require_source
from bertsent.texts import describe_no_text

CHUNK_ROWS = 2048
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


def read_chunks(path, rows=CHUNK_ROWS, *, columns=None, as_stored=False):
    """Read a collection piece by piece.

    Parameters
    ----------
    path : str or path-like
        A file, or a folder laid out like aclImdb.
    rows : int
        Rows in a chunk, at most.
    columns : list of str, optional
        The columns that are wanted, for formats that can leave the others unread.
    as_stored : bool
        Leave columns of a Parquet file in its own types, so that they can be written again as
        they were; otherwise they take NumPy's, and 1 beside an empty cell becomes 1.0.

    Yields
    ------
    DataFrame
        Its index counts the rows from 0 over the whole file. Cells of CSV and TSV are strings as
        they stand in the file, or missing where the cell is empty.
    """
    path = require_source(path)
    if path.is_dir():
        chunks = _read_folder(path, rows)
    else:
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is empty")
        kind = file_format(path)
        if kind == "parquet":
            chunks = _read_parquet(path, rows, columns, as_stored)
        else:
            chunks = (_read_json_lines if kind == "jsonl" else _read_csv)(path, rows)
    first = 0
    with _clear_errors(path):
        for chunk in chunks:
            if len(chunk) == 0:
                continue
            chunk.index = pd.RangeIndex(first, first + len(chunk))
            first += len(chunk)
            yield chunk
    if first == 0:
        raise ValueError(f"{path} has no rows")


def read_table(path):
    """Read a whole collection into one DataFrame."""
    chunks = list(read_chunks(path, rows=65536))
    return chunks[0] if len(chunks) == 1 else pd.concat(chunks)


@contextlib.contextmanager
def _clear_errors(path):
    """Say in one line which file could not be read, and why."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path} is empty") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it, for "
            f"instance with: iconv -f latin1 -t utf-8 {path} > converted.csv"
        ) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        message = " ".join(str(error).split()).removeprefix("Error tokenizing data. ")
        raise ValueError(f"{path} cannot be read: {message}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is damaged or cut short: {error}") from error


def _read_csv(path, rows):
    options = {
        "sep": DELIMITERS["." + file_format(path)],
        "dtype": str,
        "keep_default_na": False,
        "na_values": [""],
        "encoding": "utf-8-sig",
        "index_col": False,
        "chunksize": rows,
    }
    with warnings.catch_warnings():
        # Rows longer than the header would otherwise lose their last cells with a warning.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        with pd.read_csv(path, **options) as reader:
            yield from reader


def _read_json_lines(path, rows):
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        items = []
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                item = json.loads(line)
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number}: not JSON ({error}); one object a line is expected"
                ) from error
            if not isinstance(item, dict):
                raise ValueError(
                    f"{path}, line {number}: expected one JSON object a line, "
                    f"got {type(item).__name__}"
                )
            items.append(item)
            if len(items) == rows:
                yield pd.DataFrame(items, dtype=object)
                items = []
        if items:
            yield pd.DataFrame(items, dtype=object)


def _read_parquet(path, rows, columns, as_stored):
    how = {"ignore_metadata": True, "types_mapper": pd.ArrowDtype} if as_stored else {}
    with _open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield batch.to_pandas(**how)


@contextlib.contextmanager
def _open_parquet(path):
    try:
        # Buffered, a row group is read page by page, and not held as a whole.
        with import_parquet().ParquetFile(path, buffer_size=1 << 20) as file:
            yield file
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error


def parquet_schema(path):
    """Columns and their types, as pyarrow has them; None if this is no Parquet file."""
    if path is None or Path(path).is_dir() or file_format(path) != "parquet":
        return None
    with _open_parquet(path) as file:
        return file.schema_arrow


def import_parquet():
    """pyarrow's Parquet module, or an error that says how to get it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            "Parquet files need pyarrow: pip install 'bertsent[parquet]'"
        ) from error
    return pyarrow.parquet


def is_split_folder(path):
    """Whether this is an aclImdb folder that brings its own train and test part."""
    return (Path(path) / "train").is_dir() and (Path(path) / "test").is_dir()


def _read_folder(path, rows):
    """Texts of an aclImdb folder, or of its train or test folder; unlabelled ones are left out."""
    parts = ["train", "test"] if is_split_folder(path) else [""]
    items = []
    found = False
    for part in parts:
        for folder, label in (("pos", "positive"), ("neg", "negative")):
            if not (path / part / folder).is_dir():
                raise ValueError(
                    f"{path} is not an aclImdb folder: {path / part / folder} is missing"
                )
            for file in sorted((path / part / folder).glob("*.txt")):
                found = True
                try:
                    text = file.read_text(encoding="utf-8")
                except UnicodeDecodeError as error:
                    raise ValueError(f"{file} is not UTF-8: {error}") from error
                items.append((text, label, part, f"{folder}/{file.name}"))
                if len(items) == rows:
                    yield _folder_frame(items)
                    items = []
    if not found:
        raise ValueError(f"{path} holds no reviews (pos/*.txt, neg/*.txt)")
    if items:
        yield _folder_frame(items)


def _folder_frame(items):
    return pd.DataFrame(items, columns=["review", "sentiment", "part", "file"], dtype=object)


def require_columns(there, columns, path):
    """Raise if a column is missing, and name those that are there."""
    for option, column in columns.items():
        if column not in there:
            there = ", ".join(map(str, there))
            raise ValueError(
                f"{path} has no column {column!r}; its columns are: {there}. "
                f"Choose one with {option}"
            )


def drop_missing(frame, columns, policy, path):
    """Deal with rows in which one of the columns is empty.

    Parameters
    ----------
    frame : DataFrame
    columns : list of str
    policy : "error" or "skip"
    path : str
        For the error.

    Returns
    -------
    frame : DataFrame
        Without those rows; the index still tells the number of each row.
    n_missing : int
    """
    missing = frame[columns].isna()
    rows = missing.any(axis=1).to_numpy()
    n_missing = int(rows.sum())
    if n_missing and policy == "error":
        first = int(np.flatnonzero(rows)[0])
        column = next(name for name in columns if missing[name].iloc[first])
        raise missing_cells(path, frame.index[first], column, n_missing)
    return (frame[~rows] if n_missing else frame), n_missing


def missing_cells(path, row, column, count):
    """The error for empty cells: the first of them, and how many rows have one."""
    more = f", and {count - 1:,} more rows like it" if count > 1 else ""
    return ValueError(
        f"{path}: row {row} (counted from 0) has an empty cell in column {column!r}{more}; fill "
        "them, or leave such rows out with missing='skip' (--missing skip on the command line)"
    )


def column_texts(frame, column, path):
    """Texts of a column of a file as a list of str, or an error that names the file's row."""
    texts = frame[column].tolist()
    for row, text in zip(frame.index, texts, strict=True):
        if not isinstance(text, str):
            raise TypeError(
                f"{path}: row {row} (counted from 0) of column {column!r} {describe_no_text(text)}"
            )
    return texts


def column_labels(column):
    """Labels of a column as an array: whole numbers if all are written as such, else as read."""
    values = column.to_numpy(dtype=object)
    if all(isinstance(value, str) for value in values):
        if all(_WHOLE_NUMBER.fullmatch(value) for value in values):
            return np.array([int(value) for value in values])
        return values
    return np.array([_plain_label(value) for value in values], dtype=object)


def _plain_label(value):
    """A label as JSON or Parquet give it, without NumPy's types and without 1.0 for 1."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def match_labels(column, classes, path):
    """Labels of a column as members of ``classes``, whatever type the file gives them.

    A class 1 is met by 1, 1.0 and "1", so that a model trained from a CSV can be tested on a
    Parquet file.
    """
    known = {str(label): code for code, label in enumerate(np.asarray(classes).tolist())}
    spelled = pd.Series([str(_plain_label(v)) for v in column.to_numpy(dtype=object)],
                        index=column.index)
    unknown = spelled[~spelled.isin(known)]
    if len(unknown):
        raise ValueError(
            f"{path}: {unknown.iloc[0]!r} in column {column.name!r} (row {unknown.index[0]}, "
            f"{len(unknown)} rows in all) is not a class of the model; "
            f"its classes are: {', '.join(known)}"
        )
    return np.asarray(classes)[spelled.map(known).to_numpy(dtype=np.int64)]


def hash_data(path):
    """SHA-256 of a file, or of the names and contents of a folder's reviews."""
    path = Path(path)
    digest = hashlib.sha256()
    if not path.is_dir():
        _hash_file(path, digest)
        return digest.hexdigest()
    for file in sorted(path.glob("**/*.txt")):
        if file.parent.name in ("pos", "neg"):
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
            _hash_file(file, digest)
    return digest.hexdigest()


def _hash_file(path, digest):
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
