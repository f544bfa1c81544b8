"""The files of a classifier besides its model and tokenizer.

``bertsent.json`` contains the parameters, the labels and their type, and the history, but no texts.
The hashes of the training texts, eight bytes each, are in a second file. They only tell whether a
given text was among them. A third file contains what `track_examples` recorded, again with hashes
of the texts. A linear model of words has files of its own (`words.py`).

The fields of a dataclass that are saved in ``bertsent.json`` are marked with `saved` where they are
declared.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import bertsent
from bertsent.classifier.parameters import DEFAULTS, check_parameters, without_machine
from bertsent.classifier.words import ARRAYS_FILE, TERMS_FILE
from bertsent.errors import CheckpointError
from bertsent.files import (
    MOST_MEMBERS,
    Field,
    from_plain,
    has_entry,
    open_regular,
    read_array,
    read_json,
    to_plain,
)
from bertsent.hub import saved_identity
from bertsent.training import ExampleHistory

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Fitted
    from bertsent.tokenizer import Tokenizer

SETTINGS_FILE = "bertsent.json"
HASHES_FILE = "training_texts.npy"
EXAMPLES_FILE = "example_history.npz"
# What earlier versions do not know and must not ignore has a format of its own: 2 if words vote, 3
# if the texts are pairs, 4 if a parameter decides otherwise.
FORMAT = 4
_DECIDING = ("calibrated", "decision_threshold", "cost_matrix")
# Entries that may be lists with an item for each member.
_OF_MEMBERS = ("learning_rate", "best_step", "max_length", "frozen_layers")


def _unchanged(value: Any) -> Any:
    return value


class Entry(NamedTuple):
    """The entry of a field in ``bertsent.json``.

    Attributes
    ----------
    read : callable
        Returns the value, given the `Field` of the file, or raises a CheckpointError.
    key : str or None, default=None
        Key of the entry. None means the name of the field.
    write : callable
        Converts the value to one that JSON can represent.
    if_set : bool, default=False
        Whether None is not written.
    """

    read: Callable[[Field], Any]
    key: str | None = None
    write: Callable[[Any], Any] = _unchanged
    if_set: bool = False


def saved(read: Callable[[Field], Any], *entry: Any, **options: Any) -> dict[str, Entry]:
    """Return the metadata of a dataclass field that is saved. Parameters are as for `Entry`."""
    return {"saved": Entry(read, *entry, **options)}


def optional(read: Callable[[Field], Any]) -> Callable[[Field], Any]:
    """Return a function that reads null as None, and everything else with `read`."""
    return lambda field: None if field.value is None else read(field)


def of_members(read: Callable[[Field], Any]) -> Callable[[Field], Any]:
    """Return a function that reads one value, or a list with one for each member."""
    return lambda field: (
        [read(item) for item in field.items(1, MOST_MEMBERS)] if isinstance(field.value, list)
        else read(field)
    )


def row(field: Field) -> dict[str, Any]:
    """Return an object that contains no further objects or lists, such as a row of a table."""
    for value in field.entries().values():
        if isinstance(value.value, (dict, list)):
            raise value.error("a number or a text")
    content: dict[str, Any] = field.value
    return content


def read_names(field: Field) -> list[str]:
    """Return one name, or a list of two."""
    if isinstance(field.value, list):
        return [item.text() for item in field.items(2, 2)]
    return [field.text()]


def write_names(value: list[str] | None) -> str | list[str] | None:
    """Return names as `read_names` reads them."""
    return value[0] if value is not None and len(value) == 1 else value


def flag(field: Field) -> bool:
    """Return true or false."""
    if not isinstance(field.value, bool):
        raise field.error("true or false")
    return field.value


def table(field: Field) -> list[dict[str, Any]]:
    """Return a list of rows."""
    return [row(item) for item in field.items()]


def read_history(*required: str) -> Callable[[Field], list[dict[str, Any]]]:
    """Return a function that reads a table of losses and metrics, whose rows have an epoch.

    Parameters
    ----------
    *required : str
        Further columns that each row has.
    """
    def read(field: Field) -> list[dict[str, Any]]:
        for item in field.items():
            for name in ("epoch", *required):
                item[name].whole(1)
            for name, value in item.entries().items():
                if name == "member":
                    value.whole(1, MOST_MEMBERS)
                elif name == "part":
                    value.number(1e-9, 1)
                elif type(value.value) is not float or math.isfinite(value.value):
                    # A loss can be too large for float32; it is written as NaN or Infinity.
                    value.number()
        rows: list[dict[str, Any]] = field.value
        return rows

    return read


def _entries(kind: Fitted | type[Fitted]) -> list[tuple[dataclasses.Field[Any], str, Entry]]:
    """Return each field that is saved, with its key and its `Entry`."""
    entries = [
        (field, field.metadata["saved"])
        for field in dataclasses.fields(kind) if "saved" in field.metadata
    ]
    return [(field, entry.key or field.name, entry) for field, entry in entries]


def _format_of(fitted: Fitted, parameters: Mapping[str, Any]) -> int:
    """Return the earliest format that has all that a reader must know."""
    if any(
        to_plain(parameters.get(name, DEFAULTS[name])) != DEFAULTS[name] for name in _DECIDING
    ):
        return 4
    return 3 if fitted.pairs else 2 if fitted.words is not None else 1


def write_settings(
    directory: str | PathLike[str], fitted: Fitted, parameters: Mapping[str, Any],
    identities: Sequence[str],
) -> None:
    """Write the files into an existing directory.

    Parameters
    ----------
    directory : path-like
    fitted : Fitted
    parameters : dict
        Parameters of the classifier. Those of the machine are not written.
    identities : list of str
        The hashes of the models' parameters that were saved.
    """
    directory = Path(directory)
    settings = {
        "format": _format_of(fitted, parameters),
        "bertsent": bertsent.__version__,
        "parameters": {
            name: to_plain(value) for name, value in without_machine(parameters).items()
        },
    }
    for field, key, entry in _entries(fitted):
        value = getattr(fitted, field.name)
        if value is not None or not entry.if_set:
            settings[key] = entry.write(value)
    settings["members"] = len(fitted.models)
    settings["parts"] = {
        "weights": list(identities),
        "vocabulary": identify_vocabulary(fitted.tokenizer),
    }
    if fitted.words is not None:
        settings["words"] = fitted.words.save(directory)
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    (directory / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
    np.save(directory / HASHES_FILE, fitted.text_hashes, allow_pickle=False)
    if fitted.examples is not None:
        fitted.examples.save(directory / EXAMPLES_FILE)


class Settings(NamedTuple):
    """The content of the files.

    Attributes
    ----------
    parameters : dict
        Parameters of the classifier, without those of the machine, and perhaps not all others.
    fields : dict
        Fields of `Fitted`, except models and tokenizer.
    members : int, default=1
        Number of models.
    parts : Field or None, default=None
        What `check_parts` compares; None in files of early versions.
    words : Field or None, default=None
        The entry of the linear model of words, if there is one.
    """

    parameters: dict[str, Any]
    fields: dict[str, Any]
    members: int = 1
    parts: Field | None = None
    words: Field | None = None


def read_settings(directory: str | PathLike[str], kind: type[Fitted]) -> Settings | None:
    """Read the files.

    Parameters
    ----------
    directory : path-like
    kind : type
        The dataclass whose fields were written: `Fitted`.

    Returns
    -------
    Settings or None
        None if there is no ``bertsent.json``, as in a model of another program.

    Raises
    ------
    CheckpointError
        A file is damaged, incomplete, or written by a newer version of bertsent.
    """
    directory = Path(directory)
    try:
        settings = read_json(directory / SETTINGS_FILE)
    except FileNotFoundError:
        lost = _first_of(directory, HASHES_FILE, EXAMPLES_FILE, *_member_files(2))
        if lost is None:
            return None
        raise CheckpointError(
            f"{directory} has {lost} but no {SETTINGS_FILE}, which says how texts are read and "
            "what the classes are; copy the directory again"
        ) from None
    if settings["format"].whole(1) > FORMAT:
        raise CheckpointError(
            f"{settings.file} has format {settings['format'].value}, written by bertsent "
            f"{settings.get('bertsent', 'of a later version').text()}; this is version "
            f"{bertsent.__version__}, which reads up to format {FORMAT}; install a newer version"
        )
    parameters = read_parameters(settings["parameters"])
    members = settings.get("members", 1).whole(1, MOST_MEMBERS)
    more = _first_of(directory, *_member_files(members + 1))
    if more is not None:
        raise CheckpointError(
            f"{settings.file}: the number of members is {members}, but {directory} has {more}"
        )
    # Version 0.1 did not always write the length beside the parameter.
    if "max_length" not in settings:
        settings = Field(settings.value | {"max_length": parameters["max_length"]}, settings.file)
    found: dict[str, Any] = {}
    for field, key, entry in _entries(kind):
        if key in settings or _is_required(field):
            found[field.name] = entry.read(settings[key])
    for name in _OF_MEMBERS:
        if "members" in settings and isinstance(found.get(name), list):
            settings[name].items(members, members)
    found["text_hashes"] = _read_hashes(directory / HASHES_FILE)
    found["examples"] = ExampleHistory.load(directory / EXAMPLES_FILE, found["objective"])
    further = [settings[key] if key in settings else None for key in ("parts", "words")]
    lost = _first_of(directory, TERMS_FILE, ARRAYS_FILE)
    if further[1] is None and lost is not None:
        raise CheckpointError(f"{settings.file} has no words, but {directory} has {lost}")
    return Settings(parameters, found, members, *further)


def identify_vocabulary(tokenizer: Tokenizer) -> str:
    """Return a hash of the tokens and their ids, in whichever files they are."""
    tokens = sorted((id_, token) for token, id_ in tokenizer.get_vocab().items())
    text = json.dumps(tokens)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def check_parts(
    directory: str | PathLike[str], settings: Settings, tokenizer: Tokenizer
) -> None:
    """Raise a CheckpointError if weights or tokenizer are from another model than the settings.

    Weights that another program saved in the meantime have no hash, and are accepted.
    """
    parts = settings.parts
    if parts is None:
        return
    saved = [item.text() for item in parts["weights"].items(settings.members, settings.members)]
    for number, identity in enumerate(saved, 1):
        if saved_identity(directory, number) not in (None, identity):
            which = "the weights" if number == 1 else f"the weights of member {number}"
            raise _not_together(directory, which)
    if parts["vocabulary"].text() != identify_vocabulary(tokenizer):
        raise _not_together(directory, "the tokenizer")


def _not_together(directory: str | PathLike[str], what: str) -> CheckpointError:
    return CheckpointError(
        f"{directory}: {what} and {SETTINGS_FILE} are from different models, they do not belong "
        "together; copy all files of one model"
    )


def _member_files(number: int) -> tuple[str, str]:
    return f"member-{number}.safetensors", f"member-{number}.int8.safetensors"


def _first_of(directory: Path, *names: str) -> str | None:
    """Return the first of some files that is there."""
    return next((name for name in names if has_entry(directory / name)), None)


def _check_with_defaults(parameters: dict[str, Any]) -> None:
    check_parameters(DEFAULTS | parameters)


def read_parameters(
    saved: Field, check: Callable[[dict[str, Any]], None] = _check_with_defaults
) -> dict[str, Any]:
    """Return the parameters without those of the machine, which a file must not choose.

    Parameters
    ----------
    saved : Field
    check : callable
        Raises a TypeError or ValueError unless the values are allowed.
    """
    parameters = without_machine({
        name: from_plain(value) for name, value in saved.entries().items()
    })
    try:
        check(parameters)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{saved.file}: {saved.place}: {str(error):.400}") from None
    return parameters


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _read_hashes(path: Path) -> npt.NDArray[np.uint64]:
    """Return the hashes, or none if the file does not exist."""
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return np.empty(0, dtype=np.uint64)
    with file:
        return read_array(file, os.fstat(file.fileno()).st_size, path, ("<u8",), 1)
