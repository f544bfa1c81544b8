"""Write files and directories atomically.

A directory is written beside its target and moved into place when all of it is on disk. Other
programs see the old content or the new one, never a mixture, and a failure leaves the old one.
Where a directory cannot be exchanged as a whole, its files are moved into it one by one;
`bertsent.files.held` waits until that is done.

Temporary files and directories are locked while their writer lives. What a killed process left is
therefore known, and removed by the next one that writes to the same place.
"""

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import re
import secrets
import shlex
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from io import BufferedWriter
from os import PathLike
from pathlib import Path

from bertsent.system import expand_path
from bertsent.wording import phrase, spell

__all__ = [
    "CARD_FILE",
    "CARD_MARKER",
    "CLASSIFIER_FILES",
    "MODEL_FILES",
    "MOST_MEMBERS",
    "OWN_FILES",
    "RUN_FILES",
    "TOKENIZER_FILES",
    "atomic_directory",
    "atomic_file",
    "atomic_write",
    "check_target",
    "free_name",
    "name_full_disk",
    "staging_file",
    "sync",
]

# Largest number of models in one classifier.
MOST_MEMBERS = 16

MODEL_FILES = frozenset({"config.json", "model.safetensors", "model.int8.safetensors"})
TOKENIZER_FILES = frozenset(
    {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
        "vocab.txt", "vocab.json", "merges.txt",
    }
)
CLASSIFIER_FILES = MODEL_FILES | TOKENIZER_FILES | {
    "bertsent.json", "training_texts.npy", "example_history.npz", "words.txt",
    "words.safetensors",
} | {
    f"member-{number}{kind}.safetensors"
    for number in range(2, MOST_MEMBERS + 1) for kind in ("", ".int8")
}
RUN_FILES = frozenset({
    "metrics.json", "history.csv", "history.json", "run.json", "split.csv", "examples.csv",
    "audit.csv",
})
# The model card, and its line that says that it may be replaced. A card without it was written or
# changed by a person.
CARD_FILE = "README.md"
CARD_MARKER = "<!-- Written by bertsent. If you change this card, delete this line to keep it. -->"
OWN_FILES = CLASSIFIER_FILES | RUN_FILES | {CARD_FILE}

# Any program may write a config.json or a run.json; these files identify a model directory.
_EVIDENCE = frozenset({
    "model.safetensors", "model.int8.safetensors", "tokenizer_config.json", "bertsent.json",
    "vocab.txt",
})
# A directory that contains only these counts as empty; they are kept.
_UNNOTICED = frozenset({"lost+found", ".DS_Store", ".ipynb_checkpoints"})
# Ends of the names of temporary files and directories. Such as are being written belong to bertsent
# as a whole; in those that are being moved, there may be files of others.
_STAGING = r"(tmp|move)-[0-9a-f]{8}"
# The marker is behind the metadata of a card.
_MOST_OF_CARD = 1 << 20
# What os.link raises where files cannot have two names.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL)


def check_target(
    target: str | PathLike[str], overwrite: bool = False, ours: Collection[str] = OWN_FILES
) -> Path:
    """Check that a directory can be written, before any work is done.

    Parameters
    ----------
    target : str or path-like
        Directory to be written. It need not exist.
    overwrite : bool, default=False
        Whether existing files whose names are in `ours` may be replaced.
    ours : collection of str, default=OWN_FILES
        Names of the files to be written. Other files of bertsent may be in the same
        directory: a tokenizer is saved into the directory of its model.

    Returns
    -------
    pathlib.Path
        The target with links resolved.

    Raises
    ------
    FileExistsError
        The directory contains a file in `ours`, and `overwrite` is false. Or it contains
        other files, and `overwrite` is false or the directory does not look like a model's.
    NotADirectoryError, PermissionError
        The path or one of its parents is a file, or nothing can be created there.
    """
    if not os.fspath(target):
        raise ValueError("the name of the output directory is empty")
    path = Path(os.path.realpath(expand_path(target)))
    if not os.path.lexists(path):
        parent = path.parent
        while not os.path.lexists(parent):
            parent = parent.parent
        if not parent.is_dir():
            raise NotADirectoryError(f"cannot create {path}: {parent} is not a directory")
        _check_writable(parent)
        return path
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file, not a directory")
    _check_writable(path)
    left_behind = re.compile(re.escape(f".{path.name}.") + _STAGING)
    names = sorted(
        name for name in set(os.listdir(path)) - _UNNOTICED if not left_behind.fullmatch(name)
    )
    ours = _without_foreign_card(path, ours)
    own = OWN_FILES if _is_replaceable(path / CARD_FILE) else OWN_FILES - {CARD_FILE}
    mine = [name for name in names if name in ours and not (path / name).is_dir()]
    foreign = [name for name in names if name not in own and name not in mine]
    if foreign and not (overwrite and _EVIDENCE.intersection(names)):
        raise FileExistsError(
            f"{path} contains {_some(foreign)}, which bertsent did not write; "
            f"choose a new or empty directory, such as {_suggest(target)}"
        )
    if mine and not overwrite:
        raise FileExistsError(
            f"{path} already contains {_some(mine)}; replace these files with "
            f"{spell('overwrite', True)}, or choose another directory, such as "
            + _suggest(target)
        )
    blocked = [name for name in names if name in ours and (path / name).is_dir()]
    if blocked:
        raise FileExistsError(f"{path / blocked[0]} is a directory where a file must be written")
    return path


def _without_foreign_card(path: Path, ours: Collection[str]) -> frozenset[str]:
    """Return the files that may be replaced in a directory: not the card of a person.

    Who writes other files than a classifier, and a README.md among them, means to replace it.
    """
    ours = frozenset(ours)
    if ours >= OWN_FILES and not _is_replaceable(path / CARD_FILE):
        return ours - {CARD_FILE}
    return ours


def _is_replaceable(card: Path) -> bool:
    """Return whether bertsent wrote a model card, or there is none."""
    try:
        # A pipe would wait for its writer.
        descriptor = os.open(card, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        return CARD_MARKER.encode() in os.read(descriptor, _MOST_OF_CARD)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_directory(
    target: str | PathLike[str], overwrite: bool = False, ours: Iterable[str] = OWN_FILES
) -> Iterator[Path]:
    """Write a directory atomically.

    The body of the ``with`` statement writes plain files into a temporary directory. If it
    succeeds, they are flushed to disk and moved into place. If it raises, they are removed,
    and the target stays as it was.

    Parameters
    ----------
    target, overwrite, ours
        As in `check_target`. Existing files that are not in `ours` are kept, and so is a model card
        (``README.md``) that a person wrote or changed; a new one is then left out.

    Yields
    ------
    pathlib.Path
        The temporary directory.

    Raises
    ------
    OSError
        `check_target` refuses the target, or it could not be written, for example because
        the disk is full.
    """
    ours = frozenset(ours)
    path = check_target(target, overwrite, ours)
    new_parents = [parent for parent in path.parents if not parent.exists()]
    exists = path.is_dir()
    # A mount point and the working directory must keep their inode; files are moved singly.
    home = path if exists and not _can_be_moved(path) else path.parent
    _sweep(path.parent, path)
    _sweep(path, path)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _locked(lambda: _make_directory(home, path.name)) as staging:
            try:
                if exists:
                    shutil.copymode(path, staging)
                yield staging
                replaced = _without_foreign_card(path, ours)
                if replaced != ours:
                    (staging / CARD_FILE).unlink(missing_ok=True)
                    ours = replaced
                for name in os.listdir(staging):
                    if name not in ours and os.path.lexists(path / name):
                        raise FileExistsError(
                            f"{path / name} exists and was not written by bertsent"
                        )
                _sync_tree(staging)
                _put_in_place(staging, path, ours, overwrite)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise name_full_disk(error, path) from None
    finally:
        if not path.exists():
            with contextlib.suppress(OSError):
                for parent in new_parents:
                    parent.rmdir()


@contextlib.contextmanager
def atomic_file(
    path: str | PathLike[str], *, follow_link: bool = True
) -> Iterator[BufferedWriter]:
    """Write a file atomically: into a temporary file, flushed to disk and then renamed.

    Parameters
    ----------
    path : str or path-like
        The file. It is replaced if it exists. Its directory must exist.
    follow_link : bool, default=True
        Whether to write to the target of a symbolic link. If false, the file takes the place of
        the link: where the user chose the directory only, a link in it must not choose the file.

    Yields
    ------
    file object
        Open for writing bytes.
    """
    path = expand_path(path)
    if follow_link:
        path = Path(os.path.realpath(path))
    with staging_file(path) as staging:
        with open(staging, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging, path)
        sync(path.parent)


@contextlib.contextmanager
def staging_file(path: str | PathLike[str]) -> Iterator[Path]:
    """Create an empty temporary file beside a file, which the body may rename to its name.

    Those that killed programs left beside the same file are removed first.

    Parameters
    ----------
    path : str or path-like
        The file, with links resolved.

    Yields
    ------
    pathlib.Path
        The temporary file. It is removed in the end, if it still has this name.

    Raises
    ------
    OSError
        If the disk is full, the error names `path`.
    """
    path = Path(path)
    _sweep(path.parent, path)
    try:
        with _locked(lambda: _make_file(path)) as staging:
            try:
                yield staging
            finally:
                staging.unlink(missing_ok=True)
    except OSError as error:
        raise name_full_disk(error, path) from None


def atomic_write(path: str | PathLike[str], data: bytes | str) -> None:
    """Create or replace a file atomically.

    Parameters
    ----------
    path : str or path-like
        The file. Its directory must exist.
    data : bytes or str
        The whole content; a string is written as UTF-8.
    """
    with atomic_file(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def name_full_disk(error: OSError, path: str | PathLike[str]) -> OSError:
    """Return an error that names what could not be written if the disk is full, or the same one.

    Neither the system nor a library that compresses knows the name of what it writes.
    """
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    problem = os.strerror(error.errno)
    return OSError(error.errno, f"cannot write {path}: {problem}; nothing there was changed")


def free_name(path: str | PathLike[str]) -> str:
    """Return a name like that of a file or directory, with a number, which nothing has yet.

    Examples
    --------
    >>> free_name("no-such-folder/labelled.csv.gz")
    'no-such-folder/labelled-2.csv.gz'
    """
    given = expand_path(path)
    if given.name in ("", ".."):
        given = Path(os.path.abspath(given))
    if not given.name:  # the root
        given /= "model"
    found = re.fullmatch(r"(.[^.]*?)(?:-\d+)?(\..*)?", given.name)
    stem, suffixes = found.groups(default="") if found else (given.name, "")
    names = (given.with_name(f"{stem}-{number}{suffixes}") for number in itertools.count(2))
    return str(next(name for name in names if not os.path.lexists(name)))


def _suggest(target: str | PathLike[str]) -> str:
    """Return a directory that could be written instead of another, as it is typed."""
    name = free_name(target)
    return phrase(python=repr(name), command=f"--output {shlex.quote(name)}")


def _check_writable(directory: Path) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no permission to write into", str(directory))


def _some(names: list[str], limit: int = 3) -> str:
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"


def _can_be_moved(path: Path) -> bool:
    cwd = Path(os.path.realpath(os.curdir))
    return (
        path != cwd
        and path not in cwd.parents
        and not os.path.ismount(path)
        and os.access(path.parent, os.W_OK | os.X_OK)
    )


def _make_directory(home: Path, name: str) -> Path:
    staging = home / f".{name}.tmp-{secrets.token_hex(4)}"
    staging.mkdir()
    return staging


def _make_file(path: Path) -> Path:
    staging = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    staging.touch(exist_ok=False)
    return staging


@contextlib.contextmanager
def _locked(create: Callable[[], Path]) -> Iterator[Path]:
    """Create a file or directory that is locked in the body of the ``with`` statement.

    The system releases the lock when the process ends, however that happens. So what is not locked
    was left by a process that was killed.
    """
    while True:
        path = create()
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Between creating and locking, another process may have taken it for rubbish.
            if _is_same(path, descriptor):
                yield path
                return
        finally:
            os.close(descriptor)


def _is_same(path: Path, descriptor: int) -> bool:
    """Return whether a path leads to an open file or directory."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _sweep(folder: Path, path: Path) -> None:
    """Remove what processes that were killed left in a folder while they wrote to a path."""
    pattern = re.compile(re.escape(f".{path.name}.") + _STAGING)
    with contextlib.suppress(OSError):  # nothing must be swept
        for name in filter(pattern.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError), _abandoned(folder / name):
                if ".move-" in name:
                    _dissolve(folder / name, path)
                elif (folder / name).is_dir():
                    shutil.rmtree(folder / name)
                else:
                    os.unlink(folder / name)


@contextlib.contextmanager
def _abandoned(path: Path) -> Iterator[None]:
    """Lock a file or directory; raise an OSError if its writer is alive or cannot be known."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _put_in_place(staging: Path, path: Path, ours: frozenset[str], overwrite: bool) -> None:
    """Move a complete new directory to its place."""
    if not path.exists():
        try:
            os.rename(staging, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if not overwrite:
                raise FileExistsError(f"{path} was created in the meantime") from None
        else:
            sync(path.parent)
            return
    if staging.parent == path or not _swap(staging, path, ours):
        _move_files(staging, path, ours)


def _swap(new: Path, old: Path, ours: frozenset[str]) -> bool:
    """Replace `old` by `new`, with the files that are not in `ours`, if that is possible.

    These files are links to the same files in both directories. So the exchange is one step for
    readers, and nothing is lost if the process is killed before or after it.

    Returns
    -------
    bool
        Whether it was replaced.
    """
    linked = []
    try:
        for name in os.listdir(old):
            if name not in ours and stat.S_ISREG(os.lstat(old / name).st_mode):
                with contextlib.suppress(FileExistsError):
                    os.link(old / name, new / name, follow_symlinks=False)
                    linked.append(name)
        sync(new)
        # From here on, the name says that there may be files of others inside.
        moving = new.with_name(new.name.replace(".tmp-", ".move-"))
        os.rename(new, moving)
        if _exchange(moving, old):
            sync(old.parent)
            _dissolve(moving, old, ours)
            return True
        os.rename(moving, new)
    except FileNotFoundError:  # somebody else replaces files at the same time
        pass
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    for name in linked:
        (new / name).unlink(missing_ok=True)
    return False


def _dissolve(left_behind: Path, path: Path, ours: frozenset[str] = frozenset()) -> None:
    """Remove a directory whose files are obsolete, after moving files of others out of it.

    Another process may do the same at the same time.
    """
    # Listed only now, so that a file added in the meantime is kept too.
    try:
        names = os.listdir(left_behind)
    except FileNotFoundError:
        return
    for name in names:
        source, target = left_behind / name, path / name
        with contextlib.suppress(FileNotFoundError):
            there, is_directory = os.lstat(source), source.is_dir() and not source.is_symlink()
            own = name in OWN_FILES and (name != CARD_FILE or _is_replaceable(source))
            if not is_directory and (name in ours or own):
                os.unlink(source)
            elif not os.path.lexists(target):
                os.rename(source, target)
            elif is_directory:
                continue
            elif os.path.samestat(there, os.lstat(target)):
                os.unlink(source)
            elif there.st_mtime_ns > os.lstat(target).st_mtime_ns:
                os.replace(source, target)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(left_behind)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two directories in one step if the system can; return whether it did."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        a, b = os.fsencode(first), os.fsencode(second)
        if sys.platform == "darwin":
            return bool(libc.renamex_np(a, b, ctypes.c_uint(2)) == 0)
        at_cwd = -100
        return bool(libc.renameat2(at_cwd, a, at_cwd, b, ctypes.c_uint(2)) == 0)
    except (AttributeError, OSError, TypeError):
        return False


def _move_files(source: Path, target: Path, ours: frozenset[str]) -> None:
    """Move files one by one, while the name of `source` tells readers to wait.

    Without config.json, the directory is not a model. So it is removed first and moved last, and a
    crash in between cannot pair old weights with a new configuration.
    """
    moving = target / source.name.replace(".tmp-", ".move-")
    os.rename(source, moving)
    sync(target)
    names = sorted(
        ours.intersection(os.listdir(moving)), key=lambda name: (name == "config.json", name)
    )
    if "config.json" in names:
        (target / "config.json").unlink(missing_ok=True)
        sync(target)
    for name in ours.difference(names):
        (target / name).unlink(missing_ok=True)
    for name in names:
        if name == "config.json":
            sync(target)
        os.replace(moving / name, target / name)
    sync(target)
    os.rmdir(moving)


def _sync_tree(directory: Path) -> None:
    for root, _, names in os.walk(directory):
        for name in names:
            sync(os.path.join(root, name))
        sync(root)


def sync(path: str | PathLike[str]) -> None:
    """Flush a file or the names in a directory to disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot flush a directory. Any other error is a failed write.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
