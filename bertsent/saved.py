"""What a fitted classifier keeps beside its model: ``bertsent.json`` and text hashes.

``bertsent.json`` holds the parameters, the labels and how they looked, the history, and
nothing of the texts. The hashes of the training texts, eight bytes each, are in a file of
their own; they tell, and nothing more, whether a text was among them. What `track_examples` has
kept is in a third file, and of the texts again their hashes.
"""

import json
import os
from pathlib import Path

import numpy as np

import bertsent
from bertsent.errors import CheckpointError
from bertsent.example_history import ExampleHistory
from bertsent.labels import LabelType

SETTINGS_FILE = "bertsent.json"
HASHES_FILE = "training_texts.npy"
EXAMPLES_FILE = "example_history.npz"
FORMAT = 1


def write_settings(
    directory, *, parameters, label_type, learning_rate, precision, history, evaluations,
    best_step, max_length, plan, members, text_hashes, examples,
):
    """Write the files into an existing directory."""
    directory = Path(directory)
    settings = {
        "format": FORMAT,
        "bertsent": bertsent.__version__,
        "parameters": {name: plain(value) for name, value in parameters.items()},
        "labels": label_type.to_json(),
        "learning_rate": learning_rate,
        "precision": precision,
        "history": history,
        "evaluations": evaluations,
        "best_step": best_step,
        "max_length": max_length,
        "plan": plan,
        "members": members,
    }
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (directory / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
    np.save(directory / HASHES_FILE, text_hashes, allow_pickle=False)
    if examples is not None:
        examples.save(directory / EXAMPLES_FILE)


def read_settings(directory):
    """Read the files.

    Returns
    -------
    dict or None
        The arguments of `write_settings`; None where there is no ``bertsent.json``, as in
        a checkpoint of another program.
    """
    path = Path(directory) / SETTINGS_FILE
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    try:
        if settings["format"] > FORMAT:
            raise CheckpointError(
                f"{path} has format {settings['format']}, written by bertsent "
                f"{settings['bertsent']}; this is version {bertsent.__version__}, which reads "
                f"up to format {FORMAT}: install a newer one"
            )
        return {
            "parameters": {
                name: from_plain(value) for name, value in settings["parameters"].items()
            },
            "label_type": LabelType.from_json(settings["labels"]),
            "learning_rate": settings["learning_rate"],
            "precision": settings.get("precision"),
            "history": list(settings["history"]),
            "evaluations": list(settings.get("evaluations", [])),
            "best_step": settings.get("best_step"),
            "max_length": settings.get("max_length", settings["parameters"]["max_length"]),
            "plan": settings.get("plan"),
            "members": int(settings.get("members", 1)),
            "text_hashes": _read_hashes(Path(directory) / HASHES_FILE),
            "examples": ExampleHistory.load(Path(directory) / EXAMPLES_FILE),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is incomplete: {type(error).__name__} {error}") from error


def _read_hashes(path):
    """The hashes; none where somebody has left the file out."""
    try:
        hashes = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    except (ValueError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if hashes.dtype != np.uint64 or hashes.ndim != 1:
        raise CheckpointError(f"{path} holds {hashes.dtype} {hashes.shape}, not a row of uint64")
    return hashes


def plain(value):
    """A parameter as JSON has it; a generator or a function cannot be kept and becomes null."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        items = [plain(item) for item in value]
        return None if None in items else items
    if isinstance(value, dict):
        # Keys are labels, which need not be strings.
        return {"items": [[plain(key), plain(item)] for key, item in value.items()]}
    return None


def from_plain(value):
    """Undo `plain`, as far as that goes."""
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    return dict(value["items"]) if isinstance(value, dict) else value
