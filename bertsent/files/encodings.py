"""Decode text files, and say where and why they cannot be decoded."""

from __future__ import annotations

import codecs
import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TextIO

from bertsent.files.formats import COMPRESSIONS
from bertsent.files.impostors import BEGINNING, describe_impostor
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.dialect import Dialect
    from bertsent.files.sources import DataFile

_BLOCK = 1 << 16
# Byte order marks; the mark of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NAMES = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "utf-32": "UTF-32", "utf-8": "UTF-8"}
# How files begin that are no text, whatever their name says.
_NO_TEXT = {
    b"\x1f\x8b": ("is compressed by gzip", ".gz"),
    b"BZh91AY&SY": ("is compressed by bzip2", ".bz2"),
    b"\xfd7zXZ": ("is compressed by xz", ".xz"),
    b"\x28\xb5\x2f\xfd": ("is compressed by Zstandard", ".zst"),
    b"PK\x03\x04": ("is a .zip or .xlsx file", ""),
    b"PAR1\x15": ("is a Parquet file", ".parquet"),
    b"\xd0\xcf\x11\xe0": ("is an old Excel file; save it as .xlsx or .csv", ""),
    b"%PDF-": ("is a PDF file", ""),
    b"SQLite format 3\0": ("is a database", ""),
}
# Encodings by which bytes of four are mostly zero in text of western languages.
_WITHOUT_MARK = {
    (1, 3): "utf-16-le", (0, 2): "utf-16-be", (1, 2, 3): "utf-32-le", (0, 1, 2): "utf-32-be",
}
_UNDEFINED_IN_CP1252 = (b"\x81", b"\x8d", b"\x8f", b"\x90", b"\x9d")


def find_encoding(file: DataFile, dialect: Dialect) -> str:
    """Return the encoding of a file: that of the dialect, or of its byte order mark.

    Raises
    ------
    ValueError
        The dialect contradicts the mark, or the file is UTF-16 without a mark.
    """
    with file.opened() as binary:
        head = binary.read(4096)
    for mark, (what, extension) in _NO_TEXT.items():
        if head.startswith(mark):
            told = f"csv{extension}" if extension in COMPRESSIONS else extension.lstrip(".")
            hint = f"; pass {spell('format', told)}"
            if file.path and dialect.format is None:
                hint = f"; end its name in {extension}"
            raise ValueError(f"{file} {what}{hint if extension else ''}")
    impostor = describe_impostor(file.name, head[:BEGINNING])
    # Where there is no header, the first text may well be a page of the web.
    may_be_page = file.format.kind == "text" or not dialect.header
    if impostor is not None and not (may_be_page and head.lstrip().startswith(b"<")):
        raise ValueError(f"{file} {impostor}")
    marked = next((name for mark, name in _MARKS.items() if head.startswith(mark)), None)
    if dialect.encoding is not None:
        told = codecs.lookup(dialect.encoding).name
        if marked is None:
            return told
        if told.startswith(marked.removesuffix("-sig")):
            return marked
        raise ValueError(
            f"{file} begins with the byte order mark of {_NAMES[marked]}, so it is not in "
            f"{dialect.encoding}; leave out {spell('encoding')}"
        )
    if marked is not None:
        if marked != "utf-8-sig":
            file.tell(f"is read as {_NAMES[marked]}, because it begins with its byte order mark")
        return marked
    # Which bytes of four are mostly zero.
    zeros = tuple(n for n in range(4) if head[n::4].count(0) > len(head[n::4]) / 2)
    if zeros in _WITHOUT_MARK:
        guess = _WITHOUT_MARK[zeros]
        raise ValueError(
            f"{file} looks like {guess[:6].upper()} without a byte order mark; if it is, pass "
            f"{spell('encoding', guess)}"
        )
    if zeros:
        raise ValueError(f"{file} is not text, but binary data")
    return "utf-8"


@contextlib.contextmanager
def opened_text(
    file: DataFile, encoding: str, errors: str, newline: str | None = "\n"
) -> Iterator[TextIO]:
    """Open a file as text; bytes that cannot be decoded raise an error that says where they are.

    Parameters
    ----------
    file : DataFile
    encoding : str
        As `find_encoding` returns it.
    errors : str
        As in `Dialect`.
    newline : str or None
        As in `open`.
    """
    with file.opened() as binary:
        try:
            with io.TextIOWrapper(binary, encoding, errors, newline) as text:
                yield text
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
            raise _undecodable(file, encoding, reason) from None


def find_newline(file: DataFile, encoding: str, errors: str) -> str:
    """Return what ends a line: "\\n", or "\\r" as in files of old Macintosh programs."""
    with opened_text(file, encoding, errors, newline="") as text:
        head = text.read(_BLOCK)
    return "\r" if "\r" in head and "\n" not in head else "\n"


class _Place(NamedTuple):
    """Where a file cannot be decoded.

    Attributes
    ----------
    line, offset : int
        Number of the line, from 1, and of the byte, from 0.
    before, after : bytes
        What the line has before the byte, and what follows with it.
    is_other : bool
        Whether the text before has other characters than those of ASCII.
    """

    line: int
    offset: int
    before: bytes
    after: bytes
    is_other: bool


def _undecodable(file: DataFile, encoding: str, reason: str) -> ValueError:
    """Return the error for a file that is not in its encoding."""
    place, single = _locate(file, encoding)
    name = _NAMES.get(encoding, encoding)
    replace = f"{spell('errors', 'replace')} puts U+FFFD in the place of such bytes"
    if place is None:
        return ValueError(f"{file} is not {name} ({reason}); {replace}")
    packed = " of the uncompressed data" if file.format.compression else ""
    where = f"{file}, line {place.line:,}: "
    if not place.after:
        return ValueError(f"{where}the file ends within a character ({name}); {replace}")
    where += (
        f"byte 0x{place.after[0]:02x} at offset {place.offset:,}{packed} is not {name} ({reason})"
    )
    if encoding not in ("utf-8", "utf-8-sig"):
        return ValueError(f"{where}. Name another encoding, or keep it: {replace}")
    if encoding == "utf-8-sig" or place.is_other:
        return ValueError(
            f"{where}, but what comes before is. The file is damaged, or was put together from "
            f"files of several encodings; convert them to UTF-8 one by one. {replace}"
        )
    shown = (place.before[-16:] + place.after[:16]).splitlines()
    example = " ".join(part.decode(single, "replace") for part in shown)
    return ValueError(
        f"{where}. Name the encoding of the file: with {spell('encoding', single)}, this place "
        f"reads {example!r}. If the file is UTF-8 and damaged, {replace}"
    )


def _locate(file: DataFile, encoding: str) -> tuple[_Place | None, str]:
    """Find the first byte that cannot be decoded, and an encoding of one byte that decodes all."""
    # These decoders leave out the mark, and count without it.
    encoding = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    place, single = None, "cp1252"
    done, line, last, is_other = 0, 1, b"", False
    with file.opened() as binary:
        while True:
            block = binary.read(_BLOCK)
            if any(byte in block for byte in _UNDEFINED_IN_CP1252):
                single = "latin-1"
            if place is None:
                try:
                    text = decoder.decode(block, final=not block)
                except UnicodeDecodeError as error:
                    # The decoder may have kept the beginning of a character of the last block.
                    kept = len(error.object) - len(block)
                    good = error.object[: error.start]
                    before = last[: len(last) - kept] + good
                    place = _Place(
                        line + good.count(b"\n"),
                        done - kept + error.start,
                        before.rpartition(b"\n")[2],
                        error.object[error.start :] if block else b"",
                        is_other or not good.isascii(),
                    )
                except UnicodeError:
                    return None, single
                else:
                    line += text.count("\n")
                    is_other = is_other or not text.isascii()
                    last = block[-64:]
                    done += len(block)
            if not block:
                return place, single
