"""Load models from Hugging Face directories into the engine's flat buffer, and save them."""

from __future__ import annotations

import hashlib
import json
import math
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from bertsent.errors import CheckpointError, FreshWeightsWarning
from bertsent.hub import tensors
from bertsent.hub.config import (
    SINGLE_LABEL,
    default_names,
    engine_config,
    family_of,
    label_names,
    ordered_names,
    read_config,
    with_labels,
    with_pooling,
)
from bertsent.hub.diagnosis import cached_id
from bertsent.hub.families import Family, Head
from bertsent.hub.names import canonical_names, describe_names
from bertsent.hub.parameters import (
    Float32,
    Parameter,
    RandomState,
    aligned_zeros,
    initialise,
    output_names,
    parameter_table,
    random_generator,
)
from bertsent.hub.tensors import Stored
from bertsent.objectives import OBJECTIVES
from bertsent.system import warn
from bertsent.wording import spell

__all__ = [
    "MaskedLMDirectory",
    "ModelDirectory",
    "describe_unused",
    "identify_parameters",
    "load_masked_lm_directory",
    "load_member_parameters",
    "load_model_directory",
    "outline_model_directory",
    "read_model_shape",
    "save_member",
    "save_model_directory",
    "saved_identity",
]

# Architectures whose classifier does not have one output row for each text.
_OTHER_CLASSIFIERS = ("ForTokenClassification", "ForMultipleChoice")

_Config: TypeAlias = dict[str, Any]


_REGRESSION = "regression"


class ModelDirectory(NamedTuple):
    """A classifier that was read from a directory.

    Attributes
    ----------
    config : dict
        Content of ``config.json`` as it would be saved.
    engine : dict
        The engine's configuration.
    flat : ndarray of float32
        All parameters.
    fresh : tuple of str
        Parts of the head with random initial weights.
    discarded : tuple of str
        Tensors of a trained classifier that were not read, because a new one was wanted.
    unused : tuple of str
        Other tensors that the model does not use.
    known : tuple of str
        Names of the classes of a trained classifier that was not read, if it has names.
    """

    config: _Config
    engine: _Config
    flat: Float32
    fresh: tuple[str, ...]
    discarded: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def has_new_outputs(self) -> bool:
        """Whether the output layer has random initial weights."""
        weight = output_names(self.config)[0]
        return any(weight.startswith(f"{part}.") for part in self.fresh)


class MaskedLMDirectory(NamedTuple):
    """A model for masked language modelling that was read from a directory.

    Attributes
    ----------
    config, engine, flat, fresh
        As in `ModelDirectory`, except that `config` is the unchanged ``config.json``.
    kept : dict of str to ndarray of float32
        Tensors that pretraining does not use, but a classifier does.
    """

    config: _Config
    engine: _Config
    flat: Float32
    fresh: tuple[str, ...]
    kept: dict[str, Float32]


def load_model_directory(
    directory: str | PathLike[str], *, num_labels: int | None = None,
    id2label: Mapping[int, str] | Sequence[str] | None = None, random_state: RandomState = None,
    new_classifier: bool | None = False, source: str | None = None, pooling: str | None = None,
    problem_type: str | tuple[str, ...] = SINGLE_LABEL, tell: bool = True,
    instead: str | None = None,
) -> ModelDirectory:
    """Read a model directory in the Hugging Face layout.

    Parameters
    ----------
    directory : path-like
        Contains ``config.json``, and ``model.safetensors``, shards and their index, or
        ``model.int8.safetensors``.
    num_labels : int or None, default=None
        Number of classes. None means that of the saved model, or 2 if it has none.
    id2label : dict of int to str, list of str or None, default=None
        Names of the classes; sets their number as well. None means those of the saved model.
    random_state : int, Generator, RandomState or None, default=None
        Seed or generator for the parts of the head that the saved model lacks.
    new_classifier : bool or None, default=False
        Whether to start with a new classifier even if the saved model has one. None means that the
        saved one is used if it is for exactly the classes in `id2label`, whatever else is wrong
        with it.
    source : str or None, default=None
        Name of the model in warnings.
    pooling : {"cls", "mean"} or None, default=None
        What the head reads from the last layer. None means as saved with the model.
    problem_type : str or tuple of str, default="single_label_classification"
        Task of the classifier, a key of `OBJECTIVES`, or all that are possible, of which the saved
        model says the one. A saved classifier for another task is an error.
    tell : bool, default=True
        Whether to warn about `fresh` and `unused`.
    instead : str or None, default=None
        What errors recommend if the saved classifier cannot be used, in the words of the caller.
        None means a new classifier.

    Returns
    -------
    ModelDirectory

    Raises
    ------
    CheckpointError
        The files are damaged, contradict each other, or contain a model that is not supported.

    Warns
    -----
    FreshWeightsWarning
        Parts of the head are missing and get random initial weights, or tensors are not used.
        Issued once per process for each model.
    """
    directory = Path(directory)
    raw = with_pooling(read_config(directory), pooling)
    family = family_of(raw)
    where = directory / "config.json"
    stored = canonical_names(tensors.find(directory, raw), family)
    output = output_names(raw)
    architectures = raw.get("architectures") or []
    if instead is None:
        instead = (
            f"pass {spell('new_classifier', True)} and {spell('num_labels')} for a new classifier"
        )
    saved = stored.get(output[0])
    tasks = (problem_type,) if isinstance(problem_type, str) else problem_type
    task = tasks[0]
    if new_classifier is None:
        new_classifier = saved is None or not _is_for(raw, saved, id2label, tasks)
    discarded: tuple[str, ...] = ()
    known = _names_of(raw, saved) or ()
    if new_classifier or any(name.endswith(_OTHER_CLASSIFIERS) for name in architectures):
        discarded = tuple(name for name in output if stored.pop(name, None) is not None)
    elif saved is not None:
        task = _check_task(raw, saved, tasks, where, instead)
    least = OBJECTIVES[task].least_outputs
    names = _choose_names(
        raw, stored.get(output[0]), num_labels, id2label, least, where, instead
    )
    engine = engine_config(raw, len(names), where)
    flat, fresh, unused = _fill(stored, raw, engine, directory, family.classifier, random_state)
    if tell:
        _tell(source or str(directory), fresh, unused, raw)
    return ModelDirectory(
        with_labels(raw, names, task), engine, flat, tuple(fresh), discarded,
        tuple(unused), tuple(known if discarded else ()),
    )


def read_model_shape(
    directory: str | PathLike[str], num_labels: int = 2, pooling: str | None = None
) -> tuple[_Config, _Config]:
    """Read what a model with a new classifier would look like, without reading weights.

    Parameters
    ----------
    directory : path-like
        As in `load_model_directory`. A directory in the cache of the hub may lack weights.
    num_labels : int, default=2
        Number of classes.
    pooling : {"cls", "mean"} or None, default=None
        As in `load_model_directory`.

    Returns
    -------
    config : dict
        Content of ``config.json`` for such a model.
    engine : dict
        The engine's configuration.

    Raises
    ------
    CheckpointError
        As in `load_model_directory`. Names and shapes of the weights are compared with
        ``config.json``, so nobody makes a large model of what a small file claims.
    """
    directory = Path(directory)
    raw = with_pooling(read_config(directory), pooling)
    family, where = family_of(raw), directory / "config.json"
    config = with_labels(raw, default_names(num_labels))
    engine = engine_config(config, num_labels, where)
    if tensors.are_in(directory) or cached_id(directory) is None:
        stored = canonical_names(tensors.find(directory, raw), family)
        for name in output_names(raw):
            stored.pop(name, None)
        _compare(stored, config, engine, directory, family.classifier)
    return config, engine


def outline_model_directory(
    directory: str | PathLike[str], members: int = 1
) -> dict[str, Any]:
    """Return what `load_model_directory` would find, from the headers of the files.

    Parameters
    ----------
    directory : path-like
        As in `load_model_directory`.
    members : int, default=1
        Number of models; those of further members are compared with the first one.

    Returns
    -------
    dict
        ``family``, ``task``, ``classes`` (names, or None without a classifier), ``engine`` (the
        engine's configuration), ``parameters`` (their number), ``dtypes`` (number of stored values
        by type), ``int8``, ``fresh`` and ``unused`` (as in `ModelDirectory`).

    Raises
    ------
    CheckpointError
        As `load_model_directory`.
    """
    directory = Path(directory)
    raw = read_config(directory)
    family, where = family_of(raw), directory / "config.json"
    stored = canonical_names(tensors.find(directory, raw), family)
    classifier = stored.get(output_names(raw)[0])
    outputs = _count_outputs(classifier)
    engine = engine_config(raw, outputs or 2, where)
    _, table, fresh, unused = _compare(stored, raw, engine, directory, family.classifier)
    parts = _parts(family.classifier, table)
    missing = {name for part in fresh for name in parts[part]}
    size = sum(math.prod(p.shape) for p in table if p.name not in missing)
    for number in range(2, members + 1):
        _compare(tensors.find_member(directory, number), raw, engine, directory, None)
    dtypes: Counter[str] = Counter()
    for tensor in stored.values():
        dtypes[tensor.dtype] += math.prod(tensor.shape)
    return {
        "family": family.name, "task": _task_of(raw, classifier),
        "classes": _names_of(raw, classifier),
        "engine": engine, "parameters": size, "dtypes": dict(dtypes),
        "int8": "I8" in dtypes, "fresh": fresh, "unused": unused,
    }


def load_masked_lm_directory(
    directory: str | PathLike[str], *, random_state: RandomState = None
) -> MaskedLMDirectory:
    """Read a model directory for masked language modelling.

    Parameters
    ----------
    directory, random_state
        As in `load_model_directory`.

    Returns
    -------
    MaskedLMDirectory

    Raises
    ------
    CheckpointError
        The files are damaged, or the decoder does not share the word embeddings.
    """
    directory = Path(directory)
    raw = read_config(directory)
    family = family_of(raw)
    engine = engine_config(raw, 1, directory / "config.json", masked_lm=True)
    head = family.masked_lm
    assert head is not None  # engine_config refuses such a family
    stored = canonical_names(tensors.find(directory, raw), family)
    if head.tied in stored and raw.get("tie_word_embeddings") is False:
        raise CheckpointError(
            f"{directory}: the decoder of masked tokens has its own weights (tie_word_embeddings "
            "is false); bertsent only supports decoders that share the word embeddings"
        )
    for alias, name in head.aliases.items():
        if alias in stored:
            stored.setdefault(name, stored[alias])
    flat, fresh, _ = _fill(stored, raw, engine, directory, head, random_state)
    kept = _read_encoder_parts(stored, family)
    return MaskedLMDirectory(raw, engine, flat, tuple(fresh), kept)


def _read_encoder_parts(stored: dict[str, Stored], family: Family) -> dict[str, Float32]:
    """Read the tensors of the classifier's head that files count to the encoder (BERT's pooler)."""
    names = [
        f"{stem}.{kind}"
        for part in family.classifier.parts.values()
        for stem in part.values() if stem.startswith(family.prefix)
        for kind in ("weight", "bias")
    ]
    kept = {}
    for name in names if all(name in stored for name in names) else ():
        tensors.check_type(stored[name])
        kept[name] = np.empty(stored[name].shape, dtype=np.float32)
        tensors.read([(stored[name], kept[name].reshape(-1))])
    return kept


def load_member_parameters(
    directory: str | PathLike[str], number: int, config: _Config, engine: _Config
) -> Float32:
    """Read the parameters of a further member, whose configuration is that of the first.

    Returns
    -------
    flat : ndarray of float32
    """
    stored = tensors.find_member(Path(directory), number)
    return _fill(stored, config, engine, directory, None, None)[0]


def save_model_directory(
    directory: str | PathLike[str], config: _Config, engine: _Config, flat: Float32, *,
    tokenizer: Any = None, extra_files: Mapping[str, str | bytes] | None = None,
    int8: bool = False, extra_tensors: Mapping[str, Float32] | None = None,
) -> None:
    """Write the files of a model into an existing directory.

    Parameters
    ----------
    directory : path-like
        Existing directory, for example from `bertsent.files.atomic_directory`.
    config : dict
        Content of ``config.json``.
    engine : dict
        The engine's configuration.
    flat : ndarray of float32
        All parameters.
    tokenizer : Tokenizer or None, default=None
        Tokenizer to save with the model.
    extra_files : dict of str to str or bytes, or None, default=None
        Further files by name.
    int8 : bool, default=False
        Whether to store the linear layers of the encoder as int8, in
        ``model.int8.safetensors``.
    extra_tensors : dict of str to ndarray, or None, default=None
        Further tensors by name.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    directory = Path(directory)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
    if tokenizer is not None:
        tokenizer.save_files(directory)
    for name, data in (extra_files or {}).items():
        (directory / name).write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    _write(directory, config, engine, flat, int8, extra_tensors or {})


def save_member(
    directory: str | PathLike[str], number: int, config: _Config, engine: _Config, flat: Float32, *,
    int8: bool = False,
) -> None:
    """Write a further member of a classifier beside the files of `save_model_directory`."""
    _write(Path(directory), config, engine, flat, int8, {}, number)


def _write(
    directory: Path, config: _Config, engine: _Config, flat: Float32, int8: bool,
    extra: Mapping[str, Float32], member: int = 1,
) -> None:
    _, table = parameter_table(config, engine)
    values = {parameter.name: parameter.view(flat) for parameter in table} | dict(extra)
    layers = [p.name for p in table if p.role.startswith("layer.") and len(p.shape) == 2]
    tensors.write(directory, values, layers if int8 else (), member, identify_parameters(flat))


def identify_parameters(flat: Float32) -> str:
    """Return a hash of all parameters of a model."""
    return hashlib.blake2b(flat.data, digest_size=16).hexdigest()


def saved_identity(directory: str | PathLike[str], member: int = 1) -> str | None:
    """Return the hash of the parameters that a file of weights was saved with.

    None if another program wrote it. The file must be one that was loaded before.
    """
    return tensors.find_identity(Path(directory), member)


def _parts(head: Head | None, table: list[Parameter]) -> dict[str, list[str]]:
    """Return the names of the tensors of each part of a head."""
    return {
        part: [p.name for p in table if p.role.rpartition(".")[0] in stems]
        for part, stems in (head.parts if head is not None else {}).items()
    }


def _fill(
    stored: dict[str, Stored], config: _Config, engine: _Config, directory: str | PathLike[str],
    head: Head | None, random_state: RandomState,
) -> tuple[Float32, list[str], list[str]]:
    """Read the stored tensors, and initialize missing parts of the head at random.

    If `head` is None, nothing may be missing.

    Returns
    -------
    flat : ndarray of float32
        All parameters.
    fresh : list of str
        Parts that were initialized at random.
    unused : list of str
        Tensors that the model does not use.
    """
    total, table, fresh, unused = _compare(stored, config, engine, directory, head)
    drawn = {name for part in fresh for name in _parts(head, table)[part]}
    try:
        flat = aligned_zeros(total)
    except MemoryError:
        raise MemoryError(
            f"{directory}: the model has {total:,} parameters, which do not fit into memory"
        ) from None
    tensors.read(
        [(stored[p.name], p.view(flat).reshape(-1)) for p in table if p.name in stored]
    )
    rng = random_generator(random_state)
    for parameter in table:
        if parameter.name in drawn:
            initialise(parameter, flat, config, rng)
    return flat, fresh, unused


def _compare(
    stored: dict[str, Stored], config: _Config, engine: _Config, directory: str | PathLike[str],
    head: Head | None,
) -> tuple[int, list[Parameter], list[str], list[str]]:
    """Compare names and shapes of the stored tensors with those that a model has.

    Returns
    -------
    total : int
        Number of all parameters.
    table : list of Parameter
    fresh, unused : list of str
        As returned by `_fill`.
    """
    family = family_of(config)
    try:
        total, table = parameter_table(config, engine)
    except ValueError as error:  # beyond a limit of the engine
        what = str(error).removeprefix("config: ")
        raise CheckpointError(f"{Path(directory) / 'config.json'}: {what}") from None
    fresh = _find_fresh(stored, table, _parts(head, table), directory, family)
    return total, table, fresh, _find_unused(stored, table, family)


def _find_fresh(
    stored: dict[str, Stored], table: list[Parameter], parts: dict[str, list[str]],
    directory: str | PathLike[str], family: Family,
) -> list[str]:
    """Return the parts of the head that are missing; other missing tensors are an error."""
    missing = [parameter.name for parameter in table if parameter.name not in stored]
    fresh = []
    for part, names in parts.items():
        if all(name in missing for name in names):
            fresh.append(part)
            missing = [name for name in missing if name not in names]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(
            f"{directory}: the weights lack the tensor {missing[0]}{more}"
            f"{describe_names(stored, family)}"
        )
    return fresh


def _find_unused(
    stored: dict[str, Stored], table: list[Parameter], family: Family
) -> list[str]:
    """Return the tensors that the model does not use, and check the shapes of the others."""
    expected = {parameter.name: parameter.shape for parameter in table}
    unused = []
    for name, tensor in stored.items():
        if name in expected:
            if tensor.shape != expected[name]:
                raise CheckpointError(
                    f"{tensor.path}: {name} has shape {tensor.shape}, "
                    f"but config.json asks for {expected[name]}"
                )
            tensors.check_type(tensor)
        elif not family.is_encoder(name):
            if not name.startswith(family.ignored):
                unused.append(name)
        elif not name.endswith(family.buffers):
            raise CheckpointError(
                f"{tensor.path}: the model that config.json describes has no tensor {name}"
            )
    return unused


def _choose_names(
    raw: _Config, classifier: Stored | None, num_labels: int | None,
    id2label: Mapping[int, str] | Sequence[str] | None, least: int, where: Path, instead: str,
) -> list[str]:
    """Return the names of the classes.

    Parameters
    ----------
    raw : dict
        Content of ``config.json``.
    classifier : Stored or None
        The saved classifier, if it is used.
    num_labels, id2label, instead
        As in `load_model_directory`.
    least : int
        The least number of classes.
    where : pathlib.Path
        Path of ``config.json``.
    """
    outputs = _count_outputs(classifier)
    if isinstance(num_labels, bool) or not isinstance(num_labels, (int, np.integer, type(None))):
        raise TypeError(f"{spell('num_labels')} must be an integer, got {num_labels!r}")
    names = None if id2label is None else ordered_names(id2label, spell("id2label"))
    if names is not None and num_labels not in (None, len(names)):
        raise ValueError(
            f"{spell('num_labels')} is {num_labels}, but {spell('id2label')} names {len(names)} "
            "classes"
        )
    wanted = num_labels if names is None else len(names)
    if wanted is not None and wanted < least:
        raise ValueError(f"a classifier needs at least {least} classes, got {wanted}")
    if wanted is not None and outputs not in (None, wanted):
        assert classifier is not None
        raise CheckpointError(
            f"{classifier.path} has a classifier of {outputs} classes, but {spell('num_labels')} "
            f"is {wanted}; leave out {spell('num_labels')} to use that classifier, or pass "
            f"{spell('new_classifier', True)} for a new one"
        )
    if names is not None:
        return names
    try:
        names = label_names(raw, where, outputs)
        count = len(names or ()) or 2
        if wanted is None and count < least:
            raise CheckpointError(f"{where}: a classifier needs at least {least} classes, got 1")
    except CheckpointError as error:
        if wanted is None or outputs is not None:
            raise CheckpointError(f"{error}; correct the file, or {instead}") from None
    if names is None or wanted not in (None, len(names)):
        return default_names(int(wanted or 2))
    return names


def _count_outputs(classifier: Stored | None) -> int | None:
    """Return the number of outputs of a saved classifier, or None if there is none."""
    if classifier is None or len(classifier.shape) != 2:
        return None
    return classifier.shape[0]


def _task_of(raw: _Config, classifier: Stored | None) -> Any:
    """Return the problem type of a classifier; without an entry, one output is regression."""
    given = raw.get("problem_type")
    if given is None and classifier is not None and _count_outputs(classifier) == 1:
        return _REGRESSION
    return given or SINGLE_LABEL


def _is_for(
    raw: _Config, classifier: Stored, id2label: Mapping[int, str] | Sequence[str] | None,
    problem_types: tuple[str, ...],
) -> bool:
    """Return whether a saved classifier is one for the given classes and problem types."""
    known = _names_of(raw, classifier)
    same = id2label is None or known == ordered_names(id2label, spell("id2label"))
    return known is not None and same and _task_of(raw, classifier) in problem_types


def _names_of(raw: _Config, classifier: Stored | None) -> list[str] | None:
    """Return the names of a saved classifier's classes, or None if it has no valid ones."""
    if classifier is None:
        return None
    try:
        return label_names(raw, outputs=_count_outputs(classifier))
    except CheckpointError:
        return None


def _check_task(
    raw: _Config, classifier: Stored, problem_types: tuple[str, ...], where: Path, instead: str
) -> str:
    """Check that a saved classifier is one for some problem types, and return its own."""
    task: str = _task_of(raw, classifier)
    if task == _REGRESSION and raw.get("problem_type") is None and task not in problem_types:
        raise CheckpointError(
            f"{where}: a classifier needs at least 2 classes, got 1 (one output is regression, "
            f"which BertRegressor opens); {instead}"
        )
    if task not in problem_types:
        does = " or ".join(OBJECTIVES[each].purpose for each in problem_types)
        opens = " (BertRegressor opens it)" if task == _REGRESSION else ""
        raise CheckpointError(
            f"{where}: problem_type {reprlib.repr(task)} is not supported here{opens}, "
            f"bertsent's classifier {does}; {instead}"
        )
    outputs, least = _count_outputs(classifier), OBJECTIVES[task].least_outputs
    if outputs is not None and outputs < least:
        raise CheckpointError(
            f"{where}: a classifier needs at least {least} classes, got {outputs}; {instead}"
        )
    return task


def _tell(source: str, fresh: list[str], unused: list[str], raw: _Config) -> None:
    """Warn about parts with random initial weights, and about tensors that are not used."""
    family = family_of(raw)
    if fresh:
        warn(
            f"{source} has no {' and no '.join(fresh)}: starting from random weights (standard "
            f"deviation {family.value(raw, 'initializer_range'):g}), which mean nothing before "
            "training",
            FreshWeightsWarning,
        )
    if unused:
        warn(describe_unused(source, unused, raw), FreshWeightsWarning)


def describe_unused(source: str, unused: Sequence[str], config: _Config) -> str:
    """Return a sentence about tensors that a classifier does not use."""
    more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
    return (
        f"{source} also contains {', '.join(unused[:3])}{more}, which a {family_of(config).name} "
        "classifier does not use"
    )
