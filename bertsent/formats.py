"""Kinds of files that hold reviews, told by their names. Imports nothing, for ``--help``."""

from pathlib import Path

FORMATS = ".csv, .tsv, .jsonl (each also .gz), .parquet, or an aclImdb folder"

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")


def file_format(path):
    """Kind of a file by its name: "csv", "tsv", "jsonl" or "parquet"."""
    name = Path(path).name.lower()
    suffix = Path(name.removesuffix(".gz")).suffix
    if suffix in DELIMITERS:
        return "csv" if suffix == ".csv" else "tsv"
    if suffix in _JSON_LINES:
        return "jsonl"
    if suffix in _PARQUET and not name.endswith(".gz"):
        return "parquet"
    raise ValueError(f"{path}: unknown kind of file; known are {FORMATS}")


def require_source(path):
    """The path, if there is a file of a known kind or a folder; an error otherwise."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if not path.is_dir():
        file_format(path)
    return path
