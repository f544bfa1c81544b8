"""Read the files of a directory as they were at one moment.

While a directory is held, its files are open. `open_file` and `has_file` then answer from these
open files, also if the directory is replaced in the meantime. So a model is read from one version
of its directory, whatever other programs do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextvars import ContextVar
from io import BufferedReader
from os import PathLike

from bertsent.errors import CheckpointError

# The files that belong to a model; those of data may be in the same directory, in any number.
_PARTS = re.compile(r"[^.].*\.(json|safetensors|npy|npz)|(vocab|words)\.txt")
_MOST_FILES = 100
_ATTEMPTS = 100
# A directory inside another one from which files are being moved (`bertsent.files.atomic`).
MOVING = re.compile(r"\..+\.move-[0-9a-f]{8}")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe must not wait for a writer


class _Held:
    """A directory whose files are open.

    Parameters
    ----------
    directory : str
    """

    def __init__(self, directory: str) -> None:
        self.directory, self.files = directory, dict[str, int]()
        self.descriptor = os.open(directory, _READ | os.O_DIRECTORY)
        try:
            self.names = frozenset(os.listdir(self.descriptor))
            for name in sorted(filter(_PARTS.fullmatch, self.names))[:_MOST_FILES]:
                with contextlib.suppress(OSError):  # reported if the file is needed
                    self._hold(name)
        except BaseException:
            self.close()
            raise

    def _hold(self, name: str) -> None:
        if leads_out(os.path.join(self.directory, name)):
            return
        if stat.S_ISREG(os.stat(name, dir_fd=self.descriptor).st_mode):
            self.files[name] = os.open(name, _READ, dir_fd=self.descriptor)

    def has_changed(self) -> bool:
        """Return whether the directory no longer has the files that are open, or lost its place."""
        try:
            at_path = os.stat(self.directory)
        except OSError:
            return True
        # A directory that was replaced may be half removed, and stay so for a while.
        if not os.path.samestat(at_path, os.fstat(self.descriptor)):
            return True
        names = frozenset(os.listdir(self.descriptor))
        if any(map(_PARTS.fullmatch, names ^ self.names)) or self.is_moving(names):
            return True
        for name, descriptor in self.files.items():
            try:
                now = os.stat(name, dir_fd=self.descriptor)
            except OSError:
                return True
            if _identity(now) != _identity(os.fstat(descriptor)):
                return True
        return False

    def is_moving(self, names: frozenset[str]) -> bool:
        """Return whether files are being moved into the directory one by one.

        Raises
        ------
        CheckpointError
            The program that moved them was killed.
        """
        for name in filter(MOVING.fullmatch, names):
            try:
                inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=self.descriptor)
            except OSError:
                return True
            try:
                if not os.listdir(inner):
                    continue
                fcntl.flock(inner, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:  # its writer is at work, or the file system has no locks
                return True
            finally:
                os.close(inner)
            path = os.path.join(self.directory, name)
            raise CheckpointError(
                f"{self.directory} is incomplete, because a program was killed that saved a model "
                f"into it; save the model again, or move the files that are left in {path} into "
                f"{self.directory}, and remove {path}"
            )
        return False

    def open(self, name: str) -> int:
        """Return a new descriptor of a file."""
        if name not in self.names:
            raise FileNotFoundError(2, os.strerror(2), os.path.join(self.directory, name))
        if name not in self.files:
            _refuse_link(os.path.join(self.directory, name))
            return os.open(name, _READ, dir_fd=self.descriptor)
        try:
            return os.open(f"/dev/fd/{self.files[name]}", _READ)
        except OSError:  # /proc is not mounted; the two share one position in the file
            copy = os.dup(self.files[name])
            os.lseek(copy, 0, os.SEEK_SET)
            return copy

    def has_file(self, name: str) -> bool:
        """Return whether there is a regular file."""
        if name in self.files or name not in self.names:
            return name in self.files
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=self.descriptor).st_mode)
        except OSError:
            return False

    def close(self) -> None:
        for descriptor in (self.descriptor, *self.files.values()):
            os.close(descriptor)


_HELD: ContextVar[_Held | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def hold_directory(directory: str | PathLike[str]) -> Iterator[None]:
    """Keep the files of a directory open, so that all that is read is from one version of it.

    Applies to `open_regular` and the functions that use it, `has_file` and `has_entry` in the body
    of the ``with`` statement. Further files are opened in the same directory when they are needed.

    Parameters
    ----------
    directory : str or path-like
        If it cannot be opened, nothing is held.

    Raises
    ------
    CheckpointError
        The directory was replaced again and again while its files were opened; or a program that
        saved into it was killed.
    """
    name = os.fspath(directory)
    known = _HELD.get()
    if known is not None and known.directory == name:
        yield
        return
    held = _hold(name)
    token = _HELD.set(held)
    try:
        yield
    finally:
        _HELD.reset(token)
        if held is not None:
            held.close()


def _hold(directory: str) -> _Held | None:
    for attempt in range(_ATTEMPTS):
        try:
            held = _Held(directory)
        except (OSError, ValueError):
            return None
        try:
            changed = held.has_changed()
        except BaseException:
            held.close()
            raise
        if not changed:
            return held
        held.close()
        time.sleep(0.001 * attempt)
    raise CheckpointError(
        f"{directory} was replaced while it was read, {_ATTEMPTS} times; open it again when no "
        "other program writes to it"
    )


def open_file(path: str | PathLike[str]) -> int:
    """Open a file for reading, in the held directory if it is in that; return its descriptor."""
    held, name = _find(path)
    if held is not None:
        return held.open(name)
    _refuse_link(path)
    return os.open(path, _READ)


def leads_out(path: str | PathLike[str]) -> bool:
    """Return whether a file is a link to one outside of its directory.

    Links in the cache of the Hugging Face hub do not count, which lead to its store of files.
    """
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    home = os.path.realpath(os.path.dirname(os.fspath(path)) or os.curdir)
    above, place = os.path.split(os.path.dirname(home))
    blobs = os.path.join(above, "blobs")
    return not target.startswith(home + os.sep) and not (
        place == "snapshots" and os.path.dirname(target) == blobs
    )


def _refuse_link(path: str | PathLike[str]) -> None:
    """Raise if a file is a link that leads out: its author could pass on files of the user."""
    if os.path.isfile(path) and leads_out(path):
        raise CheckpointError(
            f"{os.fspath(path)} is a link that leads out of its directory, to "
            f"{os.path.realpath(path):.200}; copy that file here if it belongs to the model"
        )


def path_of(file: BufferedReader) -> str:
    """Return a path that leads to an open file, for libraries that only take a path."""
    path = f"/dev/fd/{file.fileno()}"
    return path if os.path.exists(path) else str(file.name)


def has_file(path: str | PathLike[str]) -> bool:
    """Return whether there is a regular file, in the held directory if the path leads there."""
    held, name = _find(path)
    return os.path.isfile(path) if held is None else held.has_file(name)


def has_entry(path: str | PathLike[str]) -> bool:
    """Return whether there is anything with a name, in the held directory if it leads there."""
    held, name = _find(path)
    return os.path.lexists(path) if held is None else name in held.names


def _find(path: str | PathLike[str]) -> tuple[_Held | None, str]:
    held, (folder, name) = _HELD.get(), os.path.split(os.fspath(path))
    return (held if held and (folder or os.curdir) == held.directory else None), name


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
