"""What the files of sentence-transformers beside a model say about it."""

from __future__ import annotations

import re
from pathlib import Path

from bertsent.errors import CheckpointError
from bertsent.files import parse_json, read_bytes, read_json

__all__ = ["inner_model", "length_of", "modules_of", "pooling_of"]


def modules_of(directory: Path) -> list[tuple[str, str]]:
    """Return kind and folder of each module in ``modules.json``; no folder is the directory itself.

    The list is empty if there is no such file, or if it is damaged.
    """
    path = directory / "modules.json"
    try:
        # The file is a list; only objects are read.
        modules = parse_json(b'{"modules": ' + read_bytes(path) + b"}", path)["modules"]
        return [
            (module["type"].text().rpartition(".")[2], module["path"].text())
            for module in modules.items()
        ]
    except (OSError, CheckpointError):
        return []


def inner_model(directory: Path) -> str | None:
    """Return the folder of the encoder in a directory of sentence-transformers, if not itself."""
    for kind, folder in modules_of(directory):
        if kind in ("Transformer", "BERT"):
            inside = directory / folder
            known = re.fullmatch(r"[\w-]+", folder) and inside.is_dir() and not inside.is_symlink()
            return folder if known else None
    return None


def length_of(directory: Path) -> int | None:
    """Return the number of tokens that a sentence encoder reads, or None if it is not known.

    Less than 3 would leave no room for a word, and is not taken.
    """
    try:
        return read_json(directory / "sentence_bert_config.json")["max_seq_length"].whole(3)
    except (OSError, CheckpointError):
        return None


def pooling_of(directory: Path) -> str | None:
    """Return the pooling with which a sentence encoder was trained, or None if it is not known.

    The directory may also be the folder of the encoder, as `inner_model` finds it.
    """
    if inner_model(directory.parent) == directory.name:
        directory = directory.parent
    for kind, folder in modules_of(directory):
        if kind == "Pooling" and re.fullmatch(r"[\w-]+", folder):
            try:
                config = read_json(directory / folder / "config.json").value
            except (OSError, CheckpointError):
                return None
            mean, cls = (config.get(f"pooling_mode_{key}") for key in ("mean_tokens", "cls_token"))
            if config.get("pooling_mode") in ("mean", "cls"):
                return str(config["pooling_mode"])
            return "mean" if mean is True and not cls else "cls" if cls is True else None
    return None
