"""Read Parquet."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from bertsent.files.limits import CHUNK_CHARACTERS
from bertsent.files.names import other_columns
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.sources import DataFile, Source

# Rows that are read at a time. In a dictionary, a large text can stand in any number of them.
_FEW_ROWS = 64
# An allocation of more bytes than this and a hundred times the size of the file is one that a
# damaged file claims to need.
_SMALL = 16 << 20


def import_parquet() -> Any:
    """Return pyarrow's Parquet module, or raise an error that says how to install it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"Parquet files need pyarrow ({error}): pip install 'bertsent[parquet]'"
        ) from None
    return pyarrow.parquet


def read_parquet(
    file: DataFile,
    errors: str,
    rows: int,
    columns: list[str] | None,
    as_stored: bool,
    schema: Any,
) -> Iterator[pd.DataFrame]:
    """Yield the rows of a Parquet file in chunks.

    Parameters
    ----------
    file : DataFile
    errors : str
        As in `Dialect`.
    rows, columns, as_stored
        As in `bertsent.files.read_chunks`.
    schema : pyarrow.Schema
        That of `source_schema`: types that hold the values of all files of a source.
    """
    import pyarrow

    how: dict[str, Any] = {}
    if as_stored:
        how = {"ignore_metadata": True, "types_mapper": pd.ArrowDtype}
    first = 0
    with opened_parquet(file) as parquet:
        chosen = schema.names if columns is None else columns
        types = pyarrow.schema(
            [_plain_field(schema.field(name)) for name in chosen], schema.metadata
        )
        few = min(rows, _FEW_ROWS)
        batches = parquet.iter_batches(batch_size=few, columns=chosen)
        while True:
            parts: list[Any] = []
            count = size = 0
            while count + few <= rows and size < CHUNK_CHARACTERS:
                with _clear(file):
                    batch = next(batches, None)
                if batch is None:
                    break
                batch = _valid(file, batch, first, errors)
                first += batch.num_rows
                count, size = count + batch.num_rows, size + batch.nbytes
                parts.append(batch)
            if not parts:
                break
            with _clear(file):
                table = pyarrow.Table.from_batches(parts).select(chosen)
                # Some types cannot even be cast to themselves.
                if table.schema.types != types.types:
                    table = table.cast(types)
                frame = table.to_pandas(**how)
            yield frame
        if first != parquet.metadata.num_rows:  # the columns have different lengths
            raise ValueError(
                f"{file} cannot be read as Parquet: it should have {parquet.metadata.num_rows:,} "
                f"rows, but {first:,} can be read"
            )


def _plain_field(field: Any) -> Any:
    """Return a field of a type with which pandas can compute."""
    import pyarrow

    plain = {"string_view": pyarrow.large_string(), "binary_view": pyarrow.large_binary()}
    return field.with_type(plain.get(str(field.type), field.type))


def source_schema(source: Source) -> Any:
    """Return the pyarrow schema of Parquet files, with types that hold the values of all of them.

    Raises
    ------
    ValueError
        A file has two columns of one name, or other columns than the first file, or columns of a
        type that does not go with theirs.
    """
    import_parquet()
    import pyarrow

    schemas = []
    for file in source.files:
        with opened_parquet(file) as parquet, _clear(file):
            schema = parquet.schema_arrow
            names = schema.names
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{file} has two columns called {twice!r}; rename one of them")
        schemas.append(schema)
        if set(names) != set(schemas[0].names):
            raise other_columns(source.files[0], schemas[0].names, file, names)
    if len(schemas) == 1:
        return schemas[0]
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise ValueError(f"{source} has files with columns of different types: {error}") from None


@contextlib.contextmanager
def opened_parquet(file: DataFile) -> Iterator[Any]:
    """Open a file with pyarrow."""
    library = import_parquet()
    import pyarrow

    if file.size == 0:
        raise ValueError(f"{file} is empty")
    with contextlib.ExitStack() as stack:
        with _clear(file):
            opened = file.open_stored() if file.path is None else pyarrow.OSFile(str(file.path))
            stored = stack.enter_context(opened)
            # With a buffer, a row group is read page by page instead of as a whole.
            parquet = library.ParquetFile(stored, buffer_size=1 << 20)
        yield stack.enter_context(parquet)


@contextlib.contextmanager
def _clear(file: DataFile) -> Iterator[None]:
    """Name the file in errors of pyarrow, whose classes and messages are of many kinds."""
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) and _asked_for(error) <= max(_SMALL, 100 * file.size):
            raise MemoryError(f"there is not enough memory to read {file}: {error}") from None
        if getattr(error, "errno", None) is not None:
            raise
        raise ValueError(f"{file} cannot be read as Parquet: {error}") from None


def _asked_for(error: MemoryError) -> int:
    """Return how many bytes could not be allocated, or 0 if the error does not say so."""
    size = re.search(r"size (\d+)", str(error))
    return int(size[1]) if size else 0


def _valid(file: DataFile, batch: Any, first: int, errors: str) -> Any:
    """Return a batch whose texts are UTF-8, or raise an error that names the row."""
    from pyarrow import ArrowInvalid, RecordBatch

    try:
        batch.validate(full=True)
        return batch
    except ArrowInvalid:
        pass
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            column.validate(full=True)
        except ArrowInvalid as error:
            row = _first_undecodable(column)
            if row is None:
                raise ValueError(f"{file} cannot be read as Parquet: {error}") from None
            mended = _mended(column) if errors == "replace" else None
            if mended is None:
                raise ValueError(
                    f"{file}: row {first + row} (counted from 0) has bytes in column {name!r} that "
                    "are not UTF-8; put U+FFFD in the place of such bytes with "
                    f"{spell('errors', 'replace')}"
                ) from None
            column = mended
        columns.append(column)
    return RecordBatch.from_arrays(columns, schema=batch.schema)


def _first_undecodable(column: Any) -> int | None:
    """Return the first row with bytes that are not UTF-8; None if something else is wrong."""
    from pyarrow import ArrowException

    for row, value in enumerate(column):
        try:
            value.as_py()
        except UnicodeDecodeError:
            return row
        except ArrowException:  # such as an item that a dictionary lacks
            return None
    return None


def _mended(column: Any) -> Any:
    """Return a column of strings with U+FFFD in the place of invalid bytes; None for other types"""
    import pyarrow

    try:
        stored = column.cast(pyarrow.large_binary())
    except pyarrow.ArrowException:
        return None
    texts = [
        None if item is None else item.decode("utf-8", "replace") for item in stored.to_pylist()
    ]
    return pyarrow.array(texts, pyarrow.string()).cast(column.type)
