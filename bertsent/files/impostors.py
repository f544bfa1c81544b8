"""Tell what a file of a model really is, if something else was saved in its place."""

import re
from os import PathLike
from pathlib import Path

__all__ = ["describe_impostor"]

_LFS = (
    "is a Git LFS pointer, not the file itself; run 'git lfs pull' in {parent}, or download it "
    "again"
)
_HTML = (
    "is a web page, not the file itself; download it again, with the link named 'download' or "
    "with the 'hf download' command"
)
_ARCHIVE = "is {}, not the file itself; unpack it, and put the file from it in its place"
_PICKLE = (
    "is a pickle file under the wrong name; bertsent does not open it, because pickle files can "
    "run any code"
)
_BEGINNINGS = (
    (re.compile(rb"version https://git-lfs"), _LFS),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html)\b", re.IGNORECASE), _HTML),
    # PyTorch writes a zip file whose first entry is the pickle.
    (re.compile(rb"PK\x03\x04.{26}[^/]*/(data\.pkl|\.format_version)", re.DOTALL), _PICKLE),
    (re.compile(rb"PK\x03\x04"), _ARCHIVE.format("a zip archive")),
    (re.compile(rb"\x1f\x8b\x08"), _ARCHIVE.format("compressed with gzip")),
    (re.compile(rb"\x28\xb5\x2f\xfd"), _ARCHIVE.format("compressed with zstd")),
    (re.compile(rb"\xfd7zXZ\x00"), _ARCHIVE.format("compressed with xz")),
    (re.compile(rb"BZh[1-9]"), _ARCHIVE.format("compressed with bzip2")),
    (re.compile(rb".{257}ustar", re.DOTALL), _ARCHIVE.format("a tar archive")),
    (re.compile(rb"\x80[\x02-\x05][^\x00]"), _PICKLE),
    (re.compile(rb"\x89HDF\r\n"), "is a TensorFlow file (HDF5) under the wrong name"),
)
# How much of a file `describe_impostor` looks at.
BEGINNING = 512


def describe_impostor(path: str | PathLike[str], beginning: bytes) -> str | None:
    """Return what a file is and what to do, if it is none of a model's files.

    Parameters
    ----------
    path : str or path-like
        The file. Nothing is read here.
    beginning : bytes
        The first 512 bytes of the file, or all.

    Returns
    -------
    str or None
        A sentence that continues the file's name, such as "is a web page, ..."; None if the
        content is nothing that is known.
    """
    for pattern, text in _BEGINNINGS:
        if pattern.match(beginning):
            return text.format(parent=Path(path).parent)
    return None
