"""Open compressed files for reading and writing."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import errno
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import IO, Any, cast

from bertsent.files.impostors import describe_impostor
from bertsent.wording import spell

_BLOCK = 1 << 18
# Of .zst, a byte can stand for 32 KB, and all that a piece stands for is unpacked at once.
_PIECE = 1 << 10
# What other characters of texts than these are rare; compressed data has all of them.
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Archives made on macOS have a folder of this name, with a hidden file for each file.
_NOT_DATA = "__MACOSX"


@contextlib.contextmanager
def unpacked(file: IO[bytes], compression: str, name: str) -> Iterator[IO[bytes]]:
    """Open the content of a compressed file for reading.

    Parameters
    ----------
    file : binary file
    compression : str
        As in `bertsent.files.formats.Format`.
    name : str
        Name of the file in errors.
    """
    if not compression:
        yield file
        return
    _refuse_text(file, compression, name)
    with contextlib.ExitStack() as stack:
        if compression == "zip":
            archive = stack.enter_context(_open_archive(file, name))
            member = zip_member(archive, name)
            if member.flag_bits & 1:
                raise ValueError(f"{name} is encrypted; unpack it first")
            with _clear_names(name):
                content: Any = archive.open(member)
        else:
            content = _OPENERS[compression](file)
        yield cast("IO[bytes]", stack.enter_context(contextlib.closing(content)))


@contextlib.contextmanager
def packed(file: IO[bytes], compression: str, member: str) -> Iterator[IO[bytes]]:
    """Open a file for content that is to be compressed.

    Parameters
    ----------
    file : binary file
    compression : str
        As in `bertsent.files.formats.Format`.
    member : str
        Name of the file inside of a .zip file.
    """
    with contextlib.ExitStack() as stack:
        if not compression:
            content: Any = file
        elif compression == "zip":
            archive = stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED))
            content = stack.enter_context(archive.open(member, "w", force_zip64=True))
        elif compression == "zst":
            compressor = _import_zstandard().ZstdCompressor()
            content = stack.enter_context(compressor.stream_writer(file, closefd=False))
        else:
            content = stack.enter_context(_WRITERS[compression](file))
        yield cast("IO[bytes]", content)


def zip_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the only data file of an archive, or raise an error that lists what is there."""
    members = []
    for member in archive.infolist():
        parts = PurePosixPath(member.filename).parts
        hidden = any(part == _NOT_DATA or part.startswith(".") for part in parts)
        if not member.is_dir() and not hidden:
            members.append(member)
    if len(members) == 1:
        return members[0]
    if not members:
        raise ValueError(f"{name} contains no file")
    names = ", ".join(member.filename for member in members[:4]) + ", …" * (len(members) > 4)
    raise ValueError(
        f"{name} contains {len(members)} files ({names}); unpack it, and name the one to read"
    )


def member_name(file: IO[bytes], name: str) -> str:
    """Return the name of the only data file of a .zip file."""
    _refuse_text(file, "zip", name)
    with _open_archive(file, name) as archive:
        return zip_member(archive, name).filename


@contextlib.contextmanager
def clear_damage(name: str) -> Iterator[None]:
    """Name the file in errors of damaged compressed data."""
    damage: tuple[type[Exception], ...] = (
        EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile,
        NotImplementedError,  # a compression method that zipfile does not know
    )
    try:
        yield
    except damage as error:
        raise ValueError(f"{name} is damaged or cut short: {error}") from None
    except OSError as error:
        # The others are faults of the disk. This is an offset beyond the beginning of the file.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(f"{name} is damaged or cut short: {error}") from None


def _refuse_text(file: IO[bytes], compression: str, name: str) -> None:
    """Raise if a file is not compressed at all, as after a download that has unpacked it."""
    head = file.read(512)
    file.seek(0)
    # All compressed files begin with bytes that no text has, apart from those of bzip2 and zip.
    if not head or head.startswith((b"BZh", b"PK")) or _CONTROL.search(head):
        return
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return
    what = describe_impostor(name, head)
    if what is not None:
        raise ValueError(f"{name} {what}")
    stem = PurePosixPath(name).stem
    advice = (
        f"; rename it to {stem}" if name.lower().endswith(f".{compression}")
        else f"; leave {compression} out of {spell('format')}"
    )
    raise ValueError(f"{name} is not compressed by .{compression}, but text{advice}")


def _open_archive(file: IO[bytes], name: str) -> zipfile.ZipFile:
    with clear_damage(name), _clear_names(name):
        return zipfile.ZipFile(file)


@contextlib.contextmanager
def _clear_names(name: str) -> Iterator[None]:
    """Name the file in errors of names within an archive that are not in their encoding."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is damaged or cut short: {error}") from None


def _import_zstandard() -> Any:
    try:
        import zstandard
    except ImportError:
        raise ImportError(
            "files compressed as .zst need zstandard: pip install 'bertsent[zstd]'"
        ) from None
    return zstandard


def _open_zst(file: IO[bytes]) -> IO[bytes]:
    return io.BufferedReader(_ZstdReader(file), _BLOCK)


class _ZstdReader(io.RawIOBase):
    """Decompresses Zstandard; the reader of zstandard itself does not notice a missing end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._library = file, _import_zstandard()
        self._frame: Any = None
        self._packed = self._content = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._content:
            packed = self._packed or self._file.read(_PIECE)
            self._packed = b""
            if not packed:
                if self._frame is not None:
                    raise EOFError("its last part is missing")
                return 0
            if self._frame is None:
                self._frame = self._library.ZstdDecompressor().decompressobj()
            try:
                self._content = self._frame.decompress(packed)
            except self._library.ZstdError as error:
                raise EOFError(str(error)) from None
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._content))
        buffer[:size], self._content = self._content[:size], self._content[size:]
        return size


_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
    "zst": _open_zst,
}
_WRITERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": lambda file: gzip.GzipFile(filename="", fileobj=file, mode="wb"),
    "bz2": lambda file: bz2.BZ2File(file, "wb"),
    "xz": lambda file: lzma.LZMAFile(file, "wb"),
}
