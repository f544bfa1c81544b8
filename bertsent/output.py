"""Writing tables piece by piece, complete or not at all."""

import contextlib
import gzip
import json
import os
import secrets
import sys

from bertsent.data import import_parquet, parquet_schema
from bertsent.formats import file_format
from bertsent.texts import is_missing


def check_output(path, overwrite):
    """Refuse a file that could not or must not be written, before any work is done."""
    file_format(path)
    folder, name = os.path.split(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder to write {name} into")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    if os.path.lexists(path) and not overwrite:
        raise FileExistsError(
            f"{path} exists already; choose another name, or replace it with overwrite=True "
            "(--force on the command line)"
        )


@contextlib.contextmanager
def open_output(path, source=None):
    """Open a table for writing.

    The rows go into a file beside ``path``, which takes its place when the body has ended
    well, and is removed otherwise.

    Parameters
    ----------
    path : str, path-like or None
        Its name decides the format. None writes CSV to stdout.
    source : str or path-like, optional
        The collection that the rows come from. Columns that go from Parquet to Parquet keep
        their types, and the file keeps what pandas has noted in it of its index.

    Yields
    ------
    object
        With a method ``write(frame)``, and a method ``learn(frame)`` that may be told of all
        rows beforehand, so that a type is chosen that suits them all.
    """
    if path is None:
        yield _Delimited(sys.stdout, ",")
        return
    path = os.path.realpath(path)
    kind = file_format(path)
    folder, name = os.path.split(path)
    scratch = os.path.join(folder, f".{name}.tmp-{secrets.token_hex(4)}")
    try:
        with contextlib.ExitStack() as stack:
            if kind == "parquet":
                output = stack.enter_context(contextlib.closing(_Parquet(scratch, source)))
            else:
                opener = gzip.open if name.lower().endswith(".gz") else open
                file = stack.enter_context(opener(scratch, "xt", encoding="utf-8", newline=""))
                output = (
                    _JsonLines(file)
                    if kind == "jsonl"
                    else _Delimited(file, "," if kind == "csv" else "\t")
                )
            yield output
        _sync(scratch)
        os.replace(scratch, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch)


def _sync(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


class _Table:
    def learn(self, frame):
        """Rows that are going to be written; text takes any."""


class _Delimited(_Table):
    def __init__(self, file, delimiter):
        self.file, self.delimiter, self.header = file, delimiter, True

    def write(self, frame):
        frame.to_csv(
            self.file, sep=self.delimiter, index=False, header=self.header, lineterminator="\n"
        )
        self.header = False


class _JsonLines(_Table):
    def __init__(self, file):
        self.file = file

    def write(self, frame):
        names = [str(name) for name in frame.columns]
        for row in zip(*(frame[name].tolist() for name in frame.columns), strict=True):
            item = {
                name: None if is_missing(value) else value
                for name, value in zip(names, row, strict=True)
            }
            self.file.write(json.dumps(item, ensure_ascii=False, default=str) + "\n")


class _Parquet(_Table):
    def __init__(self, path, source):
        self.parquet = import_parquet()
        open(path, "xb").close()  # so that a folder that cannot be written is noticed now
        self.path, self.writer, self.schema = path, None, None
        self.given = parquet_schema(source)

    def learn(self, frame):
        if self.given is None:
            self.schema = self._widened(self.schema, frame)

    def write(self, frame):
        import pyarrow

        if self.writer is None:
            known = self.given if self.given is not None else self.schema
            self.schema = self._complete(known, frame)
            self.writer = self.parquet.ParquetWriter(self.path, self.schema)
        with _clear_types():
            table = pyarrow.Table.from_pandas(frame, schema=self.schema, preserve_index=False)
        self.writer.write_table(table)

    def _widened(self, schema, frame):
        """A schema that holds these rows as well as those seen before."""
        import pyarrow

        with _clear_types():
            found = pyarrow.Schema.from_pandas(frame, preserve_index=False).remove_metadata()
            if schema is None:
                return found
            return pyarrow.unify_schemas([schema, found], promote_options="permissive")

    def _complete(self, known, frame):
        """The schema of the file: what is known of its columns, and the others as they look."""
        import pyarrow

        looks = self._widened(None, frame)
        fields = [
            known.field(field.name) if known is not None and field.name in known.names else field
            for field in looks
        ]
        # A column without a value says nothing of its type; text holds anything.
        fields = [
            field.with_type(pyarrow.string()) if pyarrow.types.is_null(field.type) else field
            for field in fields
        ]
        return pyarrow.schema(fields, metadata=None if known is None else known.metadata)

    def close(self):
        if self.writer is not None:
            self.writer.close()


@contextlib.contextmanager
def _clear_types():
    """A column whose values are of several kinds has no Parquet type; say so."""
    from pyarrow import ArrowInvalid, ArrowNotImplementedError, ArrowTypeError

    try:
        yield
    except (ArrowInvalid, ArrowTypeError, ArrowNotImplementedError) as error:
        raise ValueError(
            f"a column cannot be written as Parquet ({' '.join(map(str, error.args))}); "
            "write CSV or JSON Lines instead"
        ) from error
