"""What the files of sentence-transformers beside a model say about it."""

from __future__ import annotations

import re
from pathlib import Path

from bertsent.errors import CheckpointError
from bertsent.files import parse_json, read_bytes, read_json
from bertsent.wording import spell

__all__ = ["inner_model", "length_of", "modules_of", "pooling_of", "sentence_pooling"]


_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


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
    directory = _whole(directory)
    for kind, folder in modules_of(directory):
        if kind == "Pooling" and re.fullmatch(r"[\w-]+", folder):
            try:
                config = read_json(directory / folder / "config.json").value
            except (OSError, CheckpointError):
                return None
            if "pooling_mode" in config:  # counts more than the other keys
                chosen = [config["pooling_mode"]]
            else:  # several poolings are concatenated
                chosen = [
                    _POOLINGS.get(key) for key, value in config.items()
                    if key.startswith("pooling_mode_") and value
                ]
            return chosen[0] if chosen in (["mean"], ["cls"]) else None
    return None


def sentence_pooling(directory: Path, name: str) -> str | None:
    """Return the pooling of a sentence encoder; None if the directory is that of another model.

    Parameters
    ----------
    directory : Path
        It may also be the folder of the encoder.
    name : str
        Name of the model in the error.

    Raises
    ------
    CheckpointError
        The encoder pools in another way than by mean or [CLS], has further layers, or puts a prompt
        before each text.
    """
    directory = _whole(directory)
    kinds = [kind for kind, _ in modules_of(directory)]
    if "Pooling" not in kinds:
        return None
    pooling = pooling_of(directory)
    known = ("Transformer", "BERT", "Pooling", "Normalize")
    further = [kind for kind in kinds if kind not in known]
    prompt = _default_prompt(directory)
    if further:
        what = f"has a layer after its pooling ({further[0]})"
    elif pooling is None:
        what = "pools in another way than by mean or [CLS]"
    elif prompt:
        what = f"puts the prompt {prompt!r} before each text"
    else:
        return pooling
    raise CheckpointError(
        f"{name}: this sentence encoder {what}, which bertsent does not compute; for the vectors "
        f"of its last layer, choose {spell('pooling', 'mean')} or {spell('pooling', 'cls')}"
    )


def _default_prompt(directory: Path) -> str:
    """Return the prompt that sentence-transformers puts before each text by default."""
    try:
        config = read_json(directory / "config_sentence_transformers.json").value
    except (OSError, CheckpointError):
        return ""
    prompts, name = config.get("prompts"), config.get("default_prompt_name")
    known = isinstance(prompts, dict) and isinstance(name, str)
    return str(prompts.get(name) or "") if known else ""


def _whole(directory: Path) -> Path:
    """Return the directory of a sentence encoder, given that or the folder of its model."""
    return directory.parent if inner_model(directory.parent) == directory.name else directory
