"""Formats of data files, recognised by file name. Imports nothing, so that --help is fast."""

from os import PathLike
from pathlib import PurePath
from typing import NamedTuple

from bertsent.wording import spell

FORMATS = (
    ".csv, .tsv, .jsonl, .json or .txt (each also compressed: .gz, .bz2, .xz, .zst, .zip), "
    ".parquet, .xlsx, a folder or a quoted pattern of such files, or an aclImdb folder"
)
OUTPUT_FORMATS = (
    ".csv, .tsv or .jsonl (each also compressed: .gz, .bz2, .xz, .zst, .zip), or .parquet"
)

KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
COMPRESSIONS = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst", ".zip": "zip"}
# Files that are not read, by the ends of their names, and what to do with them.
_CONVERT = "read it with pandas.{} and write it with to_parquet"
_UNPACK = "is an archive; unpack it, and name the file to read"
_OTHERS = {
    (".xls", ".ods", ".xlsb", ".numbers"): "save this table as .xlsx or .csv to read it",
    (".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar"):
        _UNPACK,
    (".lz4", ".br", ".z", ".lzma", ".sz", ".snappy"):
        "is compressed in a way that is not read; unpack it",
    (".arrow",): (
        "save it as Parquet to read it: with the datasets library, load it and call to_parquet"
    ),
    (".feather",): f"save it as Parquet to read it: {_CONVERT.format('read_feather')}",
    (".orc",): f"save it as Parquet to read it: {_CONVERT.format('read_orc')}",
    (".pkl", ".pickle"): (
        "is a pickle file, which can run any code; if you trust it, save it as Parquet: "
        + _CONVERT.format("read_pickle")
    ),
    (".dta", ".sav", ".sas7bdat", ".xpt", ".h5", ".hdf5"): (
        "save it as Parquet to read it: with pandas, read it by read_stata, read_spss, read_sas or "
        "read_hdf, and write it with to_parquet"
    ),
    (".rds", ".rda", ".rdata"): "save it from R with write.csv(x, FILE, row.names = FALSE)",
    (".db", ".sqlite", ".sqlite3", ".duckdb"): (
        "is a database; with pandas, read a table by read_sql and write it with to_parquet"
    ),
    (".doc", ".docx", ".pdf", ".rtf", ".odt"): "save its text as .txt, one text a line, or as .csv",
}

# These formats are compressed inside, and can only be read from a file, not from a stream.
NOT_STREAMED = ("parquet", "excel")


class Format(NamedTuple):
    """The format of a file.

    Attributes
    ----------
    kind : str
        "csv", "tsv", "json" (JSON Lines or an array), "text" (one text a line), "parquet" or
        "excel". It is empty for a .zip file whose name does not tell: the file inside does.
    compression : str
        "gz", "bz2", "xz", "zst", "zip", or an empty string.
    """

    kind: str
    compression: str


def recognise(path: str | PathLike[str]) -> Format | None:
    """Return the format that the name of a file tells, or None if it tells none."""
    name = PurePath(path).name.lower()
    packed = PurePath(name).suffix
    compression = COMPRESSIONS.get(packed, "")
    if compression:
        name = name.removesuffix(packed)
    kind = KINDS.get(PurePath(name).suffix, "")
    if (not kind and compression != "zip") or (compression and kind in NOT_STREAMED):
        return None
    return Format(kind, compression)


def file_format(path: str | PathLike[str]) -> Format:
    """Return the format that the name of a file tells, or raise an error that lists all."""
    found = recognise(path)
    if found is not None:
        return found
    advice = describe_other(path)
    if advice is not None:
        raise ValueError(f"{path}{' ' if advice.startswith('is ') else ': '}{advice}")
    name = PurePath(path).name.lower()
    if recognise(PurePath(name).stem) is not None:
        raise ValueError(f"{path}: unpack this file; {PurePath(name).stem} can be read")
    raise ValueError(
        f"{path}: its name does not tell a known format. These are read: {FORMATS}. If it is one "
        f"of them, say so, for instance with {spell('format', 'csv')}"
    )


def describe_other(path: str | PathLike[str]) -> str | None:
    """Return what to do with a file of a format that is known, but not read; None for others."""
    name = PurePath(path).name.lower()
    return next((advice for ends, advice in _OTHERS.items() if name.endswith(ends)), None)


def output_format(path: str | PathLike[str]) -> Format:
    """Return the format of a file to be written, or raise an error that lists what can be."""
    found = recognise(path)
    if found is not None and found.kind in ("csv", "tsv", "json", "parquet"):
        return found
    raise ValueError(f"{path}: unknown format of output; it can be {OUTPUT_FORMATS}")
