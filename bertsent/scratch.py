"""Room for a large array while a call lasts: in memory, or in a file of the user's cache folder.

The file has no name: the system removes it when it is closed, and when the process is killed.
Nobody else finds it, and nothing is left behind.
"""

import errno
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from bertsent.memory import format_size, parse_size

# A file may take so much unless BERTSENT_CACHE_LIMIT says otherwise: the frozen layers of MiniLM
# give 16 GB of float32 for 40,000 texts of 256 tokens.
DEFAULT_LIMIT = "20GB"

# Part of the free disk that is taken at most; other programs write, too.
_PART_OF_DISK = 0.5


class ScratchMemory:
    """An array in memory, taken when it is first written to.

    Parameters
    ----------
    size : int
        Items.
    dtype : dtype
    """

    where = "in memory"

    def __init__(self, size, dtype):
        self.size, self.dtype, self.array = size, dtype, None
        self.in_memory = size * dtype.itemsize

    def write(self, at, values):
        """Put values from the item `at` on."""
        if self.array is None:
            self.array = np.empty(self.size, self.dtype)
        self.array[at : at + values.size] = values

    def read(self):
        """The whole array, which must have been written."""
        return self.array

    def close(self):
        """Give it back."""
        self.array = None


class ScratchFile:
    """An array in a file, mapped into memory where it is read.

    Parameters
    ----------
    size : int
        Items.
    dtype : dtype

    Raises
    ------
    OSError
        There is not enough room on the disk, or no right to write there.
    ValueError
        It is more than ``BERTSENT_CACHE_LIMIT``.
    """

    def __init__(self, size, dtype):
        self.dtype, self.folder = dtype, cache_folder()
        self.in_memory = 0
        self.where = f"on the disk in {self.folder}"
        nbytes, limit = size * dtype.itemsize, cache_limit()
        if nbytes > limit:
            raise ValueError(
                f"{format_size(nbytes)} are more than a file may take, {format_size(max(limit, 1))}"
                "; raise BERTSENT_CACHE_LIMIT"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if nbytes > _PART_OF_DISK * free:
                raise OSError(errno.ENOSPC, f"half of {format_size(max(free, 1))} is not enough")
            self.file = tempfile.TemporaryFile(dir=self.folder)
        except OSError as error:
            raise self._named(error, nbytes) from error
        try:
            _take_room(self.file, nbytes)
        except OSError as error:
            self.close()
            raise self._named(error, nbytes) from error

    def write(self, at, values):
        """Put values from the item `at` on."""
        try:
            self.file.seek(at * self.dtype.itemsize)
            self.file.write(values)
            self.file.flush()
        except OSError as error:
            raise self._named(error, values.nbytes) from error

    def read(self):
        """The whole array, which must have been written."""
        return np.memmap(self.file, self.dtype, "r")

    def close(self):
        """Give it back."""
        self.file.close()

    def _named(self, error, nbytes):
        return OSError(
            error.errno,
            f"cannot write {format_size(nbytes)} to {self.folder} ({error.strerror}); make room, "
            "or name another folder by BERTSENT_CACHE",
        )


def _take_room(file, nbytes):
    """Let a disk that is full say so now; some file systems only can when it is written to."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, nbytes)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def cache_limit():
    """Bytes that a file in the cache folder may take, by ``BERTSENT_CACHE_LIMIT``."""
    text = os.environ.get("BERTSENT_CACHE_LIMIT", "").strip() or DEFAULT_LIMIT
    try:
        return int(text) if text.isdecimal() else parse_size(text)
    except ValueError:
        raise ValueError(
            f"BERTSENT_CACHE_LIMIT={text!r} in the environment: expected a number of bytes or a "
            'size such as "20GB"'
        ) from None


def cache_folder():
    """``BERTSENT_CACHE``, else ``bertsent`` in ``XDG_CACHE_HOME`` or ``~/.cache``.

    Who has no home directory gets that for temporary files.
    """
    own = os.environ.get("BERTSENT_CACHE", "").strip()
    if own:
        return Path(os.path.expanduser(own))
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG Base Directory Specification has relative paths passed over.
    if base.is_absolute():
        return base / "bertsent"
    try:
        return Path.home() / ".cache" / "bertsent"
    except RuntimeError:
        return Path(tempfile.gettempdir())
