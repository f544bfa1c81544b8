"""What a directory of a model or of a run contains, without loading the weights."""

from __future__ import annotations

import hashlib
import os
import re
import reprlib
import stat
from os import PathLike
from pathlib import Path
from typing import Any

from bertsent.classifier.parameters import MACHINE
from bertsent.classifier.settings import SETTINGS_FILE
from bertsent.classifier.words import outline_words
from bertsent.errors import CheckpointError
from bertsent.files import (
    MOST_MEMBERS,
    OWN_FILES,
    hold_directory,
    leads_out,
    open_regular,
    read_json,
)
from bertsent.hub import outline_model_directory, read_config
from bertsent.tokenizer import Tokenizer
from bertsent.training import list_checkpoints

# Limits of what a stranger's directory can make this program do.
_MOST_FILES = 1000
_MOST_HASHED = 16 << 30
_PIECE = 1 << 20
# Files of Hugging Face that are read or that are known to do nothing.
_KNOWN = OWN_FILES | {
    "added_tokens.json", "model.safetensors.index.json", "README.md", ".gitattributes",
    "generation_config.json",
}
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_CHECKPOINT = re.compile(r"step-\d+\.safetensors")
_UNFINISHED = re.compile(r"\..+\.(tmp|move)-[0-9a-f]{8}")
_PICKLES = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|pickle|joblib|dill)", re.IGNORECASE)
_CODE = re.compile(r".*\.(py|pyc|so|sh)", re.IGNORECASE)


def inspect_directory(directory: str | PathLike[str]) -> dict[str, Any]:
    """Describe a directory of a model or of a run.

    No weights are loaded, no pickle is opened and no code is run. Files are read to compute their
    hashes.

    Parameters
    ----------
    directory : str or path-like

    Returns
    -------
    dict
        Can be written as JSON. ``files`` are all files with size and hash, ``notes`` what a reader
        should know, ``problems`` why the model cannot be opened.

    Raises
    ------
    NotADirectoryError
        There is no such directory.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise NotADirectoryError(f"{directory} is not a directory")
    found: dict[str, Any] = {"directory": str(directory), "notes": [], "problems": []}
    with _Problems(found), hold_directory(directory):
        _describe(directory, found)
    if "files" not in found:  # somebody was killed while saving into it
        found["files"] = _list_files(directory, found["notes"])
    return found


class _Problems:
    """Remember an error that would keep the directory from being opened."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.problems = found["problems"]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, (CheckpointError, OSError)):
            return False
        if str(error) not in self.problems:
            self.problems.append(str(error))
        return True


def _describe(directory: Path, found: dict[str, Any]) -> None:
    found["files"] = _list_files(directory, found["notes"])
    found["run"] = list_checkpoints(directory)
    if found["run"] and not (directory / "config.json").exists():
        return
    with _Problems(found):
        _describe_classifier(directory, found)
    with _Problems(found):
        _describe_model(directory, found)
    with _Problems(found):
        tokenizer = Tokenizer.from_files(directory)
        found["tokenizer"] = {
            "kind": tokenizer.kind, "tokens": tokenizer.vocab_size,
            "lowercase": tokenizer._settings.get("lowercase", False),
        }


def _describe_model(directory: Path, found: dict[str, Any]) -> None:
    raw = read_config(directory)
    if "auto_map" in raw:
        found["notes"].append("config.json names program code (auto_map), which is never run")
    writer = raw.get("transformers_version")
    if isinstance(writer, str):
        found.setdefault("written_by", f"transformers {writer:.20}")
    members = found.get("classifier", {}).get("members", 1)
    found["model"] = outline_model_directory(directory, members)


def _describe_classifier(directory: Path, found: dict[str, Any]) -> None:
    try:
        settings = read_json(directory / SETTINGS_FILE)
    except FileNotFoundError:
        return
    found["written_by"] = f"bertsent {settings['bertsent'].text():.40}"
    parameters = settings["parameters"]
    found["classifier"] = {
        "members": settings.get("members", 1).whole(1, MOST_MEMBERS),
        "max_length": settings.get("max_length", parameters.get("max_length").value).value,
        "long_text": parameters.get("long_text").value,
        "model": parameters.get("model").value,
    }
    if "words" in settings:
        found["classifier"]["words"] = outline_words(settings["words"])
    for name in sorted(MACHINE & parameters.entries().keys()):
        if parameters[name].value not in (None, False, "auto"):
            found["notes"].append(
                f"{SETTINGS_FILE} sets {name} to {reprlib.repr(parameters[name].value)}, "
                "which is ignored"
            )


def _list_files(directory: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Return name, size and hash of each file, and note what is unusual."""
    names = sorted(os.listdir(directory))
    if len(names) > _MOST_FILES:
        notes.append(f"{len(names):,} files, of which the first {_MOST_FILES:,} are listed")
    left, files, folders = _MOST_HASHED, [], []
    for name in names[:_MOST_FILES]:
        path = directory / name
        note = _describe_entry(path)
        if note is not None:
            notes.append(f"{name} {note}")
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            folders.append(name)
            continue
        entry: dict[str, Any] = {"name": name, "size": status.st_size, "sha256": None}
        if leads_out(path):
            pass  # what is elsewhere is none of the author's business
        elif stat.S_ISREG(status.st_mode) and status.st_size <= left:
            left -= status.st_size
            try:
                entry["sha256"] = _hash(path, status.st_size)
            except (OSError, CheckpointError) as error:
                notes.append(f"{name} cannot be read: {error}")
        elif stat.S_ISREG(status.st_mode):
            notes.append(f"{name} is too large to be hashed here")
        files.append(entry)
    if folders:
        notes.append(f"folders, which are not read: {', '.join(folders[:5])}" + (
            f" and {len(folders) - 5} more" if len(folders) > 5 else ""
        ))
    return files


def _describe_entry(path: Path) -> str | None:
    """Return what is unusual about a file, or None."""
    name, mode = path.name, os.lstat(path).st_mode
    if stat.S_ISLNK(mode):
        target = os.path.realpath(path)
        if not os.path.exists(target):
            return f"is a link to {os.readlink(path):.200}, which is missing"
        if leads_out(path):
            return f"is a link that leads out of the directory, to {target:.200}"
    elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "is a pipe or a device, and is never opened"
    if _UNFINISHED.fullmatch(name):
        return "was left by a program that was killed, or is being written"
    if stat.S_ISDIR(mode):
        return "is a directory where a file should be" if name in OWN_FILES else None
    if _PICKLES.fullmatch(name):
        return "may contain a pickle, which can run code; it is never opened"
    if _CODE.fullmatch(name):
        return "is program code, which is never run"
    if name in _KNOWN or _SHARD.fullmatch(name) or _CHECKPOINT.fullmatch(name):
        return None
    return "is no file of bertsent; it is not read"


def _hash(path: Path, size: int) -> str:
    state = hashlib.sha256()
    with open_regular(path) as file:
        while size > 0 and (piece := file.read(min(_PIECE, size))):
            state.update(piece)
            size -= len(piece)
    return state.hexdigest()
