"""Writing files and directories so that what was there survives a failure.

A directory is written beside its target and moved into place once all of it has
reached the disk. Whoever looks sees the old content or the new, never a mixture.
"""

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import sys
from pathlib import Path

__all__ = [
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
]

# Models that one classifier may have.
MOST_MEMBERS = 16

MODEL_FILES = frozenset({"config.json", "model.safetensors", "model.int8.safetensors"})
TOKENIZER_FILES = frozenset(
    {"vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
)
CLASSIFIER_FILES = MODEL_FILES | TOKENIZER_FILES | {
    "bertsent.json", "training_texts.npy", "example_history.npz",
} | {
    f"member-{number}{kind}.safetensors"
    for number in range(2, MOST_MEMBERS + 1) for kind in ("", ".int8")
}
RUN_FILES = frozenset({
    "metrics.json", "history.csv", "history.json", "run.json", "split.csv", "examples.csv",
    "audit.csv",
})
OWN_FILES = CLASSIFIER_FILES | RUN_FILES

# Any program may have a config.json or a run.json; these say that a directory is a model's.
_EVIDENCE = frozenset({
    "model.safetensors", "model.int8.safetensors", "tokenizer_config.json", "bertsent.json",
    "vocab.txt",
})
# A directory with nothing but these passes for empty; they are left where they are.
_UNNOTICED = frozenset({"lost+found", ".DS_Store", ".ipynb_checkpoints"})


def check_target(target, overwrite=False, ours=OWN_FILES):
    """Refuse a directory that could not be written, before any work is done.

    Parameters
    ----------
    target : str or path-like
        Directory that is going to be written. It need not exist.
    overwrite : bool
        Whether files of ours that it holds may be replaced.
    ours : collection of str
        Names of the files that are going to be written. Other files of bertsent
        may stand beside them: a tokenizer goes into its model's directory.

    Returns
    -------
    pathlib.Path
        The target with links resolved.

    Raises
    ------
    FileExistsError
        The directory holds a file of ours and `overwrite` is false, or it holds other
        files, and `overwrite` is false or nothing there looks like a model.
    NotADirectoryError, PermissionError
        The path, or a parent of it, is a file, or nothing can be created there.
    """
    if not os.fspath(target):
        raise ValueError("the name of the output directory is empty")
    path = Path(os.path.realpath(os.path.expanduser(os.fspath(target))))
    if not os.path.lexists(path):
        parent = path.parent
        while not os.path.lexists(parent):
            parent = parent.parent
        if not parent.is_dir():
            raise NotADirectoryError(f"cannot create {path}: {parent} is not a directory")
        _check_writable(parent)
        return path
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file; a directory is needed")
    _check_writable(path)
    names = sorted(set(os.listdir(path)) - _UNNOTICED)
    mine = [name for name in names if name in ours and not (path / name).is_dir()]
    foreign = [name for name in names if name not in OWN_FILES and name not in mine]
    if foreign and not (overwrite and _EVIDENCE.intersection(names)):
        raise FileExistsError(
            f"{path} holds {_some(foreign)}, which bertsent did not write; "
            "choose a directory that is new or empty"
        )
    if mine and not overwrite:
        raise FileExistsError(
            f"{path} already holds {_some(mine)}; choose another directory, or replace "
            "these files with overwrite=True (--force on the command line)"
        )
    blocked = [name for name in names if name in ours and (path / name).is_dir()]
    if blocked:
        raise FileExistsError(f"{path / blocked[0]} is a directory where a file must be written")
    return path


@contextlib.contextmanager
def atomic_directory(target, overwrite=False, ours=OWN_FILES):
    """Write a directory all at once.

    The body writes plain files into the temporary directory that it is given. If it
    ends well they are flushed to the disk and moved into place; otherwise they are
    removed and the target stays as it was.

    Parameters
    ----------
    target, overwrite, ours
        As in `check_target`. Files that are not `ours` stay where they are.

    Yields
    ------
    pathlib.Path
        The temporary directory.

    Raises
    ------
    OSError
        The target is refused (see `check_target`) or could not be written, for
        example because the disk is full.
    """
    ours = frozenset(ours)
    path = check_target(target, overwrite, ours)
    new_parents = [parent for parent in path.parents if not parent.exists()]
    exists = path.is_dir()
    in_place = exists and not _can_be_moved(path)
    # A mount point or the working directory keeps its inode; its files are moved one by one.
    home = path if in_place else path.parent
    scratch = home / f".{path.name}.tmp-{secrets.token_hex(4)}"
    try:
        scratch.mkdir(parents=True)
        if exists:
            shutil.copymode(path, scratch)
        yield scratch
        for name in os.listdir(scratch):
            if name not in ours and os.path.lexists(path / name):
                raise FileExistsError(f"{path / name} is in the way and not ours to replace")
        _sync_tree(scratch)
        if in_place:
            _move_files(scratch, path, ours)
        elif exists:
            _swap(scratch, path, ours)
        else:
            os.rename(scratch, path)
        _sync(home)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise OSError(
                error.errno,
                f"cannot save to {path}: {os.strerror(error.errno)}; "
                "nothing that was there has been changed",
            ) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if not path.exists():
            with contextlib.suppress(OSError):
                for parent in new_parents:
                    parent.rmdir()


@contextlib.contextmanager
def atomic_file(path):
    """Write one file all at once: beside its place, flushed to the disk, then renamed.

    Parameters
    ----------
    path : str or path-like
        The file, replaced if it exists. Its directory must exist.

    Yields
    ------
    file object
        Open for writing bytes.
    """
    path = Path(os.path.realpath(os.path.expanduser(os.fspath(path))))
    scratch = path.with_name(f".{path.name}.tmp-{secrets.token_hex(4)}")
    try:
        with open(scratch, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    _sync(path.parent)


def atomic_write(path, data):
    """Replace one file, or create it, all at once.

    Parameters
    ----------
    path : str or path-like
        The file. Its directory must exist.
    data : bytes or str
        The whole content; a string is written as UTF-8.
    """
    with atomic_file(path) as file:
        file.write(data.encode("utf-8") if isinstance(data, str) else data)


def _check_writable(directory):
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "no permission to write into", str(directory))


def _some(names, limit=3):
    listed = ", ".join(names[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"


def _can_be_moved(path):
    cwd = Path(os.path.realpath(os.curdir))
    return (
        path != cwd
        and path not in cwd.parents
        and not os.path.ismount(path)
        and os.access(path.parent, os.W_OK | os.X_OK)
    )


def _swap(new, old, ours):
    """Put `new` in the place of `old`, then bring back what is not ours."""
    if not os.listdir(old):
        os.rename(new, old)
        return
    left_behind = new
    if not _exchange(new, old):
        left_behind = old.with_name(new.name + ".old")
        os.rename(old, left_behind)
        try:
            os.rename(new, old)
        except OSError:
            os.rename(left_behind, old)
            raise
    # Listed only now, so that a file put there in the meantime is kept too.
    for name in os.listdir(left_behind):
        if name in ours:
            os.unlink(left_behind / name)
        else:
            os.rename(left_behind / name, old / name)
    os.rmdir(left_behind)


def _exchange(first, second):
    """Exchange two directories in one step where the system can; say whether it did."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        a, b = os.fsencode(first), os.fsencode(second)
        if sys.platform == "darwin":
            return libc.renamex_np(a, b, ctypes.c_uint(2)) == 0
        at_cwd = -100
        return libc.renameat2(at_cwd, a, at_cwd, b, ctypes.c_uint(2)) == 0
    except (AttributeError, OSError, TypeError):
        return False


def _move_files(source, target, ours):
    # config.json leaves first and comes back last: without it nothing is taken for a model,
    # so that a crash in between cannot pair old weights with a new configuration.
    names = sorted(os.listdir(source), key=lambda name: (name == "config.json", name))
    if "config.json" in names:
        (target / "config.json").unlink(missing_ok=True)
    for name in names:
        os.replace(source / name, target / name)
    for name in ours.difference(names):
        (target / name).unlink(missing_ok=True)


def _sync_tree(directory):
    for root, _, names in os.walk(directory):
        for name in names:
            _sync(os.path.join(root, name))
        _sync(root)


def _sync(path):
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot flush a directory; a failed write must not pass unseen.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
