"""Writing tables piece by piece, complete or not at all."""

import contextlib
import gzip
import json
import os
import secrets
import sys

from bertsent.data import import_parquet
from bertsent.formats import file_format
from bertsent.texts import is_missing


@contextlib.contextmanager
def open_output(path):
    """Open a table for writing.

    The rows go into a file beside ``path``, which takes its place when the body has ended
    well, and is removed otherwise.

    Parameters
    ----------
    path : str or None
        Its name decides the format. None writes CSV to stdout.

    Yields
    ------
    object
        With a method ``write(frame)``.
    """
    if path is None:
        yield _Delimited(sys.stdout, ",")
        return
    kind = file_format(path)
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder to write {name} into")
    scratch = os.path.join(folder, f".{name}.tmp-{secrets.token_hex(4)}")
    try:
        with contextlib.ExitStack() as stack:
            if kind == "parquet":
                output = stack.enter_context(contextlib.closing(_Parquet(scratch)))
            else:
                opener = gzip.open if name.lower().endswith(".gz") else open
                file = stack.enter_context(
                    opener(scratch, "xt", encoding="utf-8", newline="")
                )
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


class _Delimited:
    def __init__(self, file, delimiter):
        self.file, self.delimiter, self.header = file, delimiter, True

    def write(self, frame):
        frame.to_csv(
            self.file, sep=self.delimiter, index=False, header=self.header, lineterminator="\n"
        )
        self.header = False


class _JsonLines:
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


class _Parquet:
    def __init__(self, path):
        self.parquet = import_parquet()
        self.path, self.writer, self.schema = path, None, None

    def write(self, frame):
        import pyarrow

        table = pyarrow.Table.from_pandas(frame, schema=self.schema, preserve_index=False)
        if self.writer is None:
            # A column that is empty so far says nothing of its type; text holds anything.
            fields = [
                field.with_type(pyarrow.string()) if pyarrow.types.is_null(field.type) else field
                for field in table.schema
            ]
            self.schema = pyarrow.schema(fields)
            self.writer = self.parquet.ParquetWriter(self.path, self.schema)
        self.writer.write_table(table.cast(self.schema))

    def close(self):
        if self.writer is not None:
            self.writer.close()
