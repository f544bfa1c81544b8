"""Write tables in chunks, atomically."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

from bertsent.files.atomic import free_name, staging_file, sync
from bertsent.files.compression import packed
from bertsent.files.formats import output_format
from bertsent.files.parquet import import_parquet
from bertsent.files.readers import name_row, parquet_schema
from bertsent.system import check_interrupts, expand_path, is_utf_8
from bertsent.texts import is_missing
from bertsent.wording import spell

if TYPE_CHECKING:
    import pandas as pd

    from bertsent.files.sources import Source


def check_output(path: str | PathLike[str], overwrite: bool, *, is_table: bool = True) -> None:
    """Check that a file can and may be written, before any work is done."""
    path = expand_path(path)
    # Before its format, which the name of a folder does not tell.
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; pass the name of a file")
    if is_table:
        output_format(path)
    folder, name = os.path.split(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder, so {name} cannot be written")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{path} already exists; replace it with {spell('overwrite', True)}, or choose "
            f"another name, such as {free_name(path)}"
        )


@contextlib.contextmanager
def open_output(
    path: str | PathLike[str] | None,
    source: str | PathLike[str] | Source | None = None,
    printed: str = "csv",
) -> Iterator[Table]:
    """Open a table for writing.

    The rows are written to a temporary file beside ``path``. It replaces ``path`` if the body of
    the ``with`` statement succeeds, and is removed otherwise.

    Parameters
    ----------
    path : str, path-like or None
        Its name determines the format. None prints to stdout.
    source : str, path-like or Source, optional
        The file that the rows come from. From Parquet to Parquet, columns keep their types, and
        the file keeps pandas' metadata about the index.
    printed : {"csv", "json"}, default="csv"
        What is printed to stdout: CSV, or lines of JSON.

    Yields
    ------
    Table
        Its method ``write`` writes rows. Its method ``learn`` can be called with all rows
        beforehand, so that the types of the columns fit them all.
    """
    if path is None:
        output: Table = (
            _JsonLines(sys.stdout) if printed == "json" else _Printed(sys.stdout, ",")
        )
        output.source = source
        yield output
        return
    path = os.path.realpath(expand_path(path))
    kind, compression = output_format(path)
    with staging_file(path) as staging:
        with contextlib.ExitStack() as stack:
            if kind == "parquet":
                parquet = contextlib.closing(_Parquet(str(staging), source, path))
                output = stack.enter_context(parquet)
            else:
                file = stack.enter_context(_open_text(staging, compression, os.path.basename(path)))
                output = (
                    _JsonLines(file)
                    if kind == "json"
                    else _Delimited(file, "," if kind == "csv" else "\t")
                )
            output.source = source
            yield output
        sync(staging)
        check_interrupts()
        os.replace(staging, path)
        sync(os.path.dirname(path))


@contextlib.contextmanager
def _open_text(path: str | PathLike[str], compression: str, name: str) -> Iterator[TextIO]:
    """Open a new file for text that is compressed."""
    with (
        open(path, "wb") as file,
        packed(file, compression, PurePath(name).stem) as content,
        io.TextIOWrapper(content, encoding="utf-8", newline="") as text,
    ):
        yield text


class Table(ABC):
    """A table that is written in chunks.

    Attributes
    ----------
    source : str, path-like, Source or None
        The file that the rows come from, for errors.
    """

    source: str | PathLike[str] | Source | None = None

    @abstractmethod
    def learn(self, frame: pd.DataFrame) -> None:
        """Learn the types of rows that will be written; raise if they cannot be."""

    @abstractmethod
    def write(self, frame: pd.DataFrame) -> None:
        """Write some rows."""

    def name_row(self, row: Any) -> str:
        """Return a row in words, with its file if that is known."""
        if self.source is None:
            return f"row {row} (counted from 0)"
        return name_row(self.source, row)


class _Text(Table):
    """A table in a text format."""

    def learn(self, frame: pd.DataFrame) -> None:
        """Raise if a value is none of Python; only Parquet has such values."""
        for place, dtype in enumerate(frame.dtypes):
            if hasattr(dtype, "pyarrow_dtype"):
                self.values(frame, place)

    def values(self, frame: pd.DataFrame, place: int) -> list[Any]:
        """Return the values of a column as objects of Python."""
        column = frame.iloc[:, place]
        try:
            return column.tolist()
        except OverflowError as error:
            row = next(row for row in frame.index if not _is_of_python(column.loc[[row]]))
            raise ValueError(
                f"{self.name_row(row)} has a value in column {column.name!r} that no text format "
                f"can store ({error}); write Parquet instead"
            ) from None


def _is_of_python(column: pd.Series[Any]) -> bool:
    try:
        column.tolist()
    except OverflowError:
        return False
    return True


class _Delimited(_Text):
    """CSV or TSV that pandas, Python's csv and bertsent read back as the same texts.

    Cells are quoted here, because csv before CPython 3.12.3 (3.11.9) does not quote a lone
    carriage return, which is a line break for readers. A header that is quoted as a whole tells
    bertsent that quotes are not part of the texts (docs/files.md).
    """

    def __init__(self, file: TextIO, delimiter: str) -> None:
        self.file, self.delimiter = file, delimiter
        self.begun = self.quotes_header = False
        self.quoted = re.compile(f'["\r\n{delimiter}]|^\ufeff')
        # Where tabs delimit, bertsent takes other quotes for text.
        self.telling = self.quoted if delimiter == "\t" else re.compile("[\r\n]")

    def learn(self, frame: pd.DataFrame) -> None:
        super().learn(frame)
        if not self.quotes_header:
            self.quotes_header = any(
                any(map(self.telling.search, cells)) for cells in self._columns(frame)
            )

    def write(self, frame: pd.DataFrame) -> None:
        if not self.begun:
            self.learn(frame)
            names = [str(name) for name in frame.columns]
            if self.quotes_header or any(map(self.telling.search, names)):
                header = map(_in_quotes, names)
            else:
                header = map(self._cell, names)
            self.file.write(self.delimiter.join(header) + "\n")
            self.begun = True
        columns = [list(map(self._cell, cells)) for cells in self._columns(frame)]
        if len(columns) == 1:  # an empty line would be no row
            columns = [[cell or '""' for cell in columns[0]]]
        rows = zip(*columns, strict=True)
        self.file.write("".join(self.delimiter.join(row) + "\n" for row in rows))

    def _columns(self, frame: pd.DataFrame) -> Iterator[list[str]]:
        for place in range(frame.shape[1]):
            yield list(map(_as_text, self.values(frame, place)))

    def _cell(self, text: str) -> str:
        return _in_quotes(text) if self.quoted.search(text) else text


def _in_quotes(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _as_text(value: object) -> str:
    """Return a value as the text of a cell; missing values are empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if is_missing(value):
        return ""
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode("utf-8")
    return str(value)


class _Printed(_Delimited):
    def learn(self, frame: pd.DataFrame) -> None:
        super().learn(frame)
        if is_utf_8(self.file):  # the usual case, in which there is nothing to list
            return
        require_printable(list(map(str, frame.columns)), lambda number: "the header")
        for name, cells in zip(frame.columns, self._columns(frame), strict=True):
            rows = [f"row {row} of column {name!r}" for row in frame.index]
            require_printable(cells, rows.__getitem__)


def require_printable(texts: Sequence[str], describe: Callable[[int], str]) -> None:
    """Raise a ValueError if the encoding of stdout lacks a character of a text.

    Parameters
    ----------
    texts : sequence of str
    describe : callable
        Returns in words which text has a number.
    """
    if is_utf_8(sys.stdout):
        return
    encoding = sys.stdout.encoding
    try:
        "".join(texts).encode(encoding)
    except UnicodeEncodeError:
        pass
    else:
        return
    for number, text in enumerate(texts):
        try:
            text.encode(encoding)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"stdout is in {encoding}, which lacks {text[error.start]!a} in "
                f"{describe(number)}; set PYTHONIOENCODING=utf-8 in the environment, or write to "
                f"a file with {spell('output')}"
            ) from None


class _JsonLines(_Text):
    def __init__(self, file: TextIO) -> None:
        self.file = file
        # JSON is the same in ASCII.
        self.in_ascii = file is sys.stdout and not is_utf_8(file)

    def write(self, frame: pd.DataFrame) -> None:
        names = [str(name) for name in frame.columns]
        columns = (self.values(frame, place) for place in range(frame.shape[1]))
        for row in zip(*columns, strict=True):
            item = {
                name: None if is_missing(value) else value
                for name, value in zip(names, row, strict=True)
            }
            self.file.write(json.dumps(item, ensure_ascii=self.in_ascii, default=str) + "\n")


class _Parquet(Table):
    """A Parquet file.

    Parameters
    ----------
    path : str
        The file to write.
    source
        As in `open_output`.
    name : str
        Name of the file in errors.
    """

    def __init__(
        self, path: str, source: str | PathLike[str] | Source | None, name: str
    ) -> None:
        self.parquet = import_parquet()
        self.path, self.name = path, name
        self.writer: Any = None
        self.schema: Any = None
        self.given = parquet_schema(source)

    def learn(self, frame: pd.DataFrame) -> None:
        if self.given is None:
            self.schema = self._widened(self.schema, frame)

    def write(self, frame: pd.DataFrame) -> None:
        import pyarrow

        if self.writer is None:
            known = self.given if self.given is not None else self.schema
            self.schema = self._complete(known, frame)
            self.writer = self.parquet.ParquetWriter(self.path, self.schema)

        def convert(part: pd.DataFrame) -> Any:
            fields = [self.schema.field(name) for name in part.columns]
            schema = pyarrow.schema(fields, self.schema.metadata)
            return pyarrow.Table.from_pandas(part, schema=schema, preserve_index=False)

        self.writer.write_table(self._attempt(convert, frame))

    def _widened(self, schema: Any, frame: pd.DataFrame) -> Any:
        """Return a schema that fits these rows and those of `schema`."""
        import pyarrow

        def widen(part: pd.DataFrame) -> Any:
            widened = pyarrow.Schema.from_pandas(part, preserve_index=False).remove_metadata()
            if schema is not None:
                widened = pyarrow.unify_schemas([schema, widened], promote_options="permissive")
            if widened != schema:  # some types, such as objects without keys, have no place there
                self.parquet.ParquetWriter(pyarrow.BufferOutputStream(), widened).close()
            return widened

        return self._attempt(widen, frame)

    def _complete(self, known: Any, frame: pd.DataFrame) -> Any:
        """Return the schema of the file: known types, and inferred ones for other columns."""
        import pyarrow

        looks = self._widened(None, frame)
        fields = [
            known.field(field.name) if known is not None and field.name in known.names else field
            for field in looks
        ]
        # The type of a column without values is unknown; text can hold anything.
        fields = [
            field.with_type(pyarrow.string()) if pyarrow.types.is_null(field.type) else field
            for field in fields
        ]
        return pyarrow.schema(fields, metadata=None if known is None else known.metadata)

    def _attempt(self, work: Callable[[pd.DataFrame], Any], frame: pd.DataFrame) -> Any:
        """Do some work with rows; if their values do not fit, the error names the first such row.

        Parameters
        ----------
        work : callable
            Takes rows, or only some of them and of their columns.
        frame : DataFrame
        """
        try:
            return work(frame)
        except _unfit() as error:
            what, where = "a column", ""
            place = _first_unfit(work, frame)
            if place is not None:
                row, column = place
                what = f"column {column!r}"
                where = f" because of the value in {self.name_row(row)}"
            raise ValueError(
                f"{self.name}: {what} cannot be written as Parquet{where} "
                f"({' '.join(map(str, error.args)):.300}); write CSV or JSON Lines instead"
            ) from None

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _unfit() -> tuple[type[Exception], ...]:
    """Return the classes of errors for values that Parquet cannot store, such as two types."""
    from pyarrow import ArrowInvalid, ArrowNotImplementedError, ArrowTypeError

    return ArrowInvalid, ArrowTypeError, ArrowNotImplementedError, OverflowError


def _first_unfit(
    work: Callable[[pd.DataFrame], Any], frame: pd.DataFrame
) -> tuple[Any, Any] | None:
    """Return the label of the first row whose value does not fit, and its column."""

    def fits(part: pd.DataFrame) -> bool:
        try:
            work(part)
        except _unfit():
            return False
        return True

    for column in frame.columns:
        part = frame[[column]]
        if fits(part):
            continue
        fitting, unfit = 0, len(part)  # numbers of rows
        while unfit - fitting > 1:
            middle = (fitting + unfit) // 2
            if fits(part.iloc[:middle]):
                fitting = middle
            else:
                unfit = middle
        return part.index[fitting], column
    return None
