"""Find the data that a person names: a file, a folder, a pattern of file names, or a stream."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any

from bertsent.errors import ReadingWarning
from bertsent.files.compression import member_name, unpacked
from bertsent.files.dialect import Dialect
from bertsent.files.encodings import find_encoding, opened_text
from bertsent.files.formats import (
    COMPRESSIONS,
    FORMATS,
    NOT_STREAMED,
    Format,
    describe_other,
    file_format,
    recognise,
)
from bertsent.files.impostors import BEGINNING, describe_impostor
from bertsent.files.names import FIRST
from bertsent.system import close_names, expand_path, spool, warn
from bertsent.wording import spell

STDIN = "-"
_KINDS_IN_WORDS = {
    "csv": "CSV",
    "tsv": "TSV",
    "json": "JSON",
    "text": "one text a line",
}
# What a folder may contain besides its data: marks of other programs, and descriptions of it.
_UNNOTICED = (".", "_")
_DESCRIPTIONS = ("dataset_info.json", "state.json", "dataset_dict.json")
# Files by which the directory of a model is known; its other files look like data.
_MODEL_FILES = ("bertsent.json", "model.safetensors", "model.safetensors.index.json")


class DataFile:
    """One file, which may be compressed, or a copy of a stream.

    Parameters
    ----------
    name : str
        What messages call it.
    format : Format
    path : pathlib.Path or None
    copy : binary file or None
        The copy of a stream, if there is no path.
    """

    def __init__(
        self, name: str, format: Format, path: Path | None, copy: IO[bytes] | None = None
    ) -> None:
        self.name, self.format, self.path, self.copy = name, format, path, copy
        # What a reader has found out about the file.
        self.layout: Any = None
        if format.compression == "zip":
            self.format = self._look_inside()

    def __str__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """Number of bytes, as stored."""
        if self.path is not None:
            return self.path.stat().st_size
        assert self.copy is not None
        return os.fstat(self.copy.fileno()).st_size

    def open_stored(self) -> IO[bytes]:
        """Open the file as it is stored."""
        if self.path is not None:
            return open(self.path, "rb")
        assert self.copy is not None
        self.copy.seek(0)
        return os.fdopen(os.dup(self.copy.fileno()), "rb")

    @contextlib.contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Open the content, without its compression."""
        compression = self.format.compression
        with self.open_stored() as file, unpacked(file, compression, self.name) as content:
            yield content

    def tell(self, message: str) -> None:
        """Warn once about the way in which the file is read."""
        warn(f"{self} {message}", ReadingWarning)

    def _look_inside(self) -> Format:
        if self.size == 0:
            raise ValueError(f"{self} is empty")
        with self.open_stored() as file:
            inner = member_name(file, self.name)
        found = recognise(inner)
        kind = self.format.kind if found is None else found.kind
        if kind in ("", *NOT_STREAMED) or (found and found.compression):
            raise ValueError(f"{self.name} contains {inner}; unpack it first")
        return Format(kind, self.format.compression)


class Source:
    """Data that is read as one table: a file, several files of one kind, or an aclImdb folder.

    Parameters
    ----------
    name : str
        What a person called it.
    kind : str
        As in `Format`, or "imdb".
    files : list of DataFile
        Empty for an aclImdb folder.
    folder : pathlib.Path or None
        The aclImdb folder.
    dialect : Dialect
    """

    def __init__(
        self,
        name: str,
        kind: str,
        files: list[DataFile],
        dialect: Dialect,
        folder: Path | None = None,
    ) -> None:
        self.name, self.kind, self.files, self.folder = name, kind, files, folder
        self.dialect = dialect
        # Row at which each file begins, noted by the reader.
        self.starts: list[int] = []

    def __str__(self) -> str:
        return self.name

    def locate(self, row: int) -> tuple[DataFile, int]:
        """Return the file that has a row, and the number of the row in it."""
        number = max(n for n, first in enumerate(self.starts) if first <= row)
        return self.files[number], row - self.starts[number]

    def close(self) -> None:
        """Close the copy of a stream, which removes it."""
        for file in self.files:
            if file.copy is not None:
                file.copy.close()


def find_source(
    path: str | PathLike[str] | Source, dialect: Dialect | None = None
) -> Source:
    """Find a file, a folder, or files by a pattern, and check that their format is known.

    Parameters
    ----------
    path : str, path-like or Source
        A file; a folder of files of one format, or in the layout of aclImdb; or a pattern such as
        ``parts/*.csv``, in which ``**`` stands for any number of folders. A `Source` is returned
        as it is. A named pipe is copied to a file first, because it can be read only once.
    dialect : Dialect or None, default=None
        How the files are written.

    Returns
    -------
    Source

    Raises
    ------
    FileNotFoundError
        There is nothing of this name, or nothing matches the pattern.
    ValueError
        The format is unknown, or the files are in several formats.
    """
    if isinstance(path, Source):
        return path
    if not isinstance(path, (str, PathLike)):
        kind = type(path).__name__
        article = "an" if kind[0] in "AEIOU" else "a"
        raise TypeError(
            f"the data is {article} {kind}, but the name of a file, folder or pattern is expected; "
            "predict and predict_batches take texts and tables in memory"
        )
    dialect = dialect or Dialect()
    name, where = _printable(path), expand_path(path)
    if not name:
        raise ValueError("the name of the data is empty")
    if where.is_dir():
        return _find_in_folder(name, where, dialect)
    if not where.exists() and glob.has_magic(name):
        found = (Path(match) for match in glob.glob(str(where), recursive=True))
        paths = sorted(match for match in found if not match.is_dir())
        if not paths:
            raise FileNotFoundError(f"{name}: no file matches this pattern")
        return _gather(name, paths, dialect)
    if not where.exists():
        raise FileNotFoundError(f"{name}: no such file or folder{_nearby(name, where)}")
    file = _open_file(name, where, dialect)
    return Source(name, file.format.kind, [file], dialect)


def find_stdin(dialect: Dialect, text_column: str | None) -> Source:
    """Copy standard input to a file, and find out what it is unless the dialect tells.

    Parameters
    ----------
    dialect : Dialect
    text_column : str or None
        The column that was chosen, so that it must be a table; None if none was. A first line that
        has this column, or one that is usual for texts, is the header of a table.
    """
    copy = spool(sys.stdin.buffer)
    try:
        file = DataFile("standard input", dialect.told_format or Format("text", ""), None, copy)
        if dialect.format is None:
            kind = _guess_kind(file, dialect, text_column)
            file.tell(f"is read as {_KINDS_IN_WORDS[kind]}; {spell('format')} can tell otherwise")
            file = DataFile(file.name, Format(kind, ""), None, copy)
        return Source(file.name, file.format.kind, [file], dialect)
    except BaseException:
        copy.close()
        raise


def _guess_kind(file: DataFile, dialect: Dialect, text_column: str | None) -> str:
    """Return the kind of a stream, from its first line."""
    with opened_text(file, find_encoding(file, dialect), dialect.errors) as text:
        line = next((line for line in text if line.strip()), "").strip()
    if re.match(r'\{\s*"|\[\s*(\{|$)', line):
        return "json"
    if dialect.is_table:
        return "csv"
    usual = FIRST["text_column"] if text_column is None else (text_column,)
    for kind, delimiters in (("tsv", "\t"), ("csv", ",;|")):
        for delimiter in delimiters:
            if {name.strip('"') for name in line.split(delimiter)}.intersection(usual):
                return kind
    return "text" if text_column is None else "csv"


def _open_file(name: str, path: Path, dialect: Dialect) -> DataFile:
    kind = path.stat().st_mode
    found = dialect.told_format or file_format(name)
    if stat.S_ISFIFO(kind):
        with open(path, "rb") as pipe:
            return DataFile(name, found, None, spool(pipe))
    if not stat.S_ISREG(kind):
        raise ValueError(f"{name} is not a regular file")
    if found.kind == "text" and dialect.format is None and dialect.is_table:
        found = Format("csv", found.compression)
    if found.kind in NOT_STREAMED:
        with open(path, "rb") as binary:
            head = binary.read(BEGINNING)
        impostor = None if head.startswith((b"PAR1", b"PK")) else describe_impostor(name, head)
        if impostor is not None:
            raise ValueError(f"{name} {impostor}")
    return DataFile(name, found, path)


def _printable(path: str | PathLike[str]) -> str:
    """Return a path in characters that can be printed, also if its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _find_in_folder(name: str, folder: Path, dialect: Dialect) -> Source:
    if any((folder / part).is_dir() for part in ("pos", "neg", "train/pos", "test/pos")):
        return Source(name, "imdb", [], dialect, folder)
    paths, others = _data_files(folder, dialect)
    if any((folder / part).exists() for part in _MODEL_FILES):
        raise ValueError(f"{name} contains a model, not data")
    if not paths:
        inner = next(filter(recognise, sorted(folder.glob("*/*"))), None)
        hint = f"These are read: {FORMATS}"
        other = next(filter(describe_other, sorted(folder.iterdir())), None)
        if other is not None:
            hint = f"As for {other.name}: {describe_other(other)}"
        if inner is not None:
            hint = f"For those in {inner.parent}, pass {_pattern_of(inner)!r}"
        raise ValueError(
            f"{name} is not an aclImdb folder (it has no folders pos and neg), and contains no "
            f"data files. {hint}"
        )
    found = _gather(name, paths, dialect)
    if others:
        warn(
            f"{name} is read from {len(paths)} files; {_some(others)} left out", ReadingWarning
        )
    return found


def _nearby(name: str, where: Path) -> str:
    """Return what was probably meant by a name that does not exist, as the end of a message."""
    if "://" in name:
        return "; files are not downloaded, save it first"
    # The first part of the path that is missing is the one that is probably misspelled.
    while not where.parent.exists() and where.parent != where.parent.parent:
        where = where.parent
    try:
        names = os.listdir(where.parent)
    except OSError:
        return ""
    similar = [str(where.parent / found) for found in close_names(where.name, names, 0.75)]
    return f"; nearby: {', '.join(similar)}" if similar else ""


def _data_files(folder: Path, dialect: Dialect) -> tuple[list[Path], list[str]]:
    """Return the data files in a folder, sorted, and the names of other files."""
    files = sorted(
        path for path in folder.iterdir()
        if not path.name.startswith(_UNNOTICED) and path.is_file()
    )
    known = [path for path in files if dialect.told_format or recognise(path)]
    # The datasets library describes its .arrow files in .json.
    if any(path.suffix == ".arrow" for path in files):
        known = [path for path in known if path.name not in _DESCRIPTIONS]
    return known, [path.name for path in files if path not in known]


def _pattern_of(path: Path) -> str:
    """Return a pattern for the files of the same format in the same folder."""
    packed = path.suffix if path.suffix.lower() in COMPRESSIONS else ""
    return str(path.parent / f"*{Path(path.name.removesuffix(packed)).suffix}{packed}")


def _some(names: list[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} is"
    return f"{names[0]} and {len(names) - 1} other files are"


def _gather(name: str, paths: list[Path], dialect: Dialect) -> Source:
    files = [_open_file(_printable(path), path, dialect) for path in paths]
    kinds = Counter(file.format.kind for file in files)
    if len(kinds) > 1:
        first, other = (
            next(file.name for file in files if file.format.kind == kind)
            for kind in list(kinds)[:2]
        )
        raise ValueError(
            f"{name} has files of several formats, such as {first} and {other}; choose some of "
            f"them with a pattern, such as {_pattern_of(Path(first))!r}"
        )
    (kind,) = kinds
    if kind == "text" and len(files) > 1:
        raise ValueError(
            f"{name} has {len(files)} .txt files. A .txt file is read as one text a line, and only "
            "one at a time; for one text a file, make a table of them first"
        )
    return Source(name, kind, files, dialect)
