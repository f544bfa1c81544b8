"""Space for much data during a call: in memory, or in a file in the user's cache folder.

The file has no name. The system removes it when it is closed or the process is killed, so nothing
is left behind, and no other process can open it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bertsent.system.paths import expand_path
from bertsent.system.units import format_size, parse_size

if TYPE_CHECKING:
    import numpy.typing as npt

# The default for BERTSENT_CACHE_LIMIT. The frozen layers of MiniLM give 16 GB of float32 for
# 40,000 texts of 256 tokens.
DEFAULT_LIMIT = "20GB"

# Largest share of the free disk space that is used; other programs write too.
_PART_OF_DISK = 0.5

_BLOCK = 1 << 20


class ScratchMemory:
    """An array in memory, allocated when it is first written to.

    Parameters
    ----------
    size : int
        Items.
    dtype : dtype
    """

    where = "in memory"

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.size, self.dtype = size, dtype
        self.array: npt.NDArray[Any] | None = None
        self.in_memory = size * dtype.itemsize

    def write(self, at: int, values: npt.NDArray[Any]) -> None:
        """Store values, starting at item `at`."""
        if self.array is None:
            self.array = np.empty(self.size, self.dtype)
        self.array[at : at + values.size] = values

    def read(self) -> npt.NDArray[Any]:
        """Return the whole array, which must have been written."""
        assert self.array is not None
        return self.array

    def close(self) -> None:
        """Free the memory."""
        self.array = None


class ScratchFile:
    """An array in a file that is mapped into memory for reading.

    Parameters
    ----------
    size : int
        Items.
    dtype : dtype

    Raises
    ------
    OSError
        There is not enough disk space, or no permission to write there.
    ValueError
        The array is larger than ``BERTSENT_CACHE_LIMIT``.
    """

    def __init__(self, size: int, dtype: np.dtype[Any]) -> None:
        self.dtype, self.folder = dtype, cache_folder()
        self.in_memory = 0
        self.where = f"on the disk in {self.folder}"
        nbytes, limit = size * dtype.itemsize, cache_limit()
        if nbytes > limit:
            raise ValueError(
                f"a file of {format_size(nbytes)} is larger than the limit of "
                f"{format_size(max(limit, 1))}; raise BERTSENT_CACHE_LIMIT"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if nbytes > _PART_OF_DISK * free:
                raise OSError(errno.ENOSPC, f"half of {format_size(max(free, 1))} is not enough")
            self.file = tempfile.TemporaryFile(dir=self.folder)
        except OSError as error:
            raise self._named(error, nbytes) from None
        try:
            _take_room(self.file, nbytes)
        except OSError as error:
            self.close()
            raise self._named(error, nbytes) from None

    def write(self, at: int, values: npt.NDArray[Any]) -> None:
        """Store values, starting at item `at`."""
        try:
            self.file.seek(at * self.dtype.itemsize)
            self.file.write(values.data)
            self.file.flush()
        except OSError as error:
            raise self._named(error, values.nbytes) from None

    def read(self) -> npt.NDArray[Any]:
        """Return the whole array, which must have been written."""
        return np.memmap(self.file, self.dtype, "r")

    def close(self) -> None:
        """Close the file, which removes it."""
        self.file.close()

    def _named(self, error: OSError, nbytes: int) -> OSError:
        return _cannot_write(error, format_size(nbytes), self.folder)


def spool(stream: IO[bytes]) -> IO[bytes]:
    """Copy a stream, which can be read only once, into a file that can be read again.

    Parameters
    ----------
    stream : binary file
        It is read to its end.

    Returns
    -------
    binary file
        The copy, at its beginning.

    Raises
    ------
    OSError
        There is not enough disk space, or no permission to write there.
    ValueError
        The stream is longer than ``BERTSENT_CACHE_LIMIT``.
    """
    folder, limit, copied = cache_folder(), cache_limit(), 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise _cannot_write(error, "a copy of the input", folder) from None
    try:
        while block := stream.read(_BLOCK):
            copied += len(block)
            if copied > limit:
                raise ValueError(
                    f"the input is longer than the limit of {format_size(max(limit, 1))} for a "
                    "copy of it; raise BERTSENT_CACHE_LIMIT"
                )
            try:
                file.write(block)
            except OSError as error:
                raise _cannot_write(error, "a copy of the input", folder) from None
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _cannot_write(error: OSError, what: str, folder: Path) -> OSError:
    return OSError(
        error.errno,
        f"cannot write {what} to {folder} ({error.strerror}); free some space, or set "
        "BERTSENT_CACHE to another folder",
    )


def _take_room(file: IO[bytes], nbytes: int) -> None:
    """Reserve disk space, so that a full disk is an error now, where the file system can tell."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, nbytes)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def cache_limit() -> int:
    """Return the largest size of a file in the cache folder, from ``BERTSENT_CACHE_LIMIT``."""
    text = os.environ.get("BERTSENT_CACHE_LIMIT", "").strip() or DEFAULT_LIMIT
    try:
        return int(text) if text.isdecimal() else parse_size(text)
    except ValueError:
        raise ValueError(
            f"BERTSENT_CACHE_LIMIT={text!r} in the environment: expected a number of bytes or a "
            'size such as "20GB"'
        ) from None


def cache_folder() -> Path:
    """Return ``BERTSENT_CACHE``, or ``bertsent`` in ``XDG_CACHE_HOME`` or ``~/.cache``.

    Falls back to the temporary directory if there is no home directory.
    """
    own = os.environ.get("BERTSENT_CACHE", "").strip()
    if own:
        return expand_path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG Base Directory Specification requires relative paths to be ignored.
    if base.is_absolute():
        return base / "bertsent"
    try:
        return Path.home() / ".cache" / "bertsent"
    except RuntimeError:
        return Path(tempfile.gettempdir())
