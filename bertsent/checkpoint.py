"""Models between Hugging Face directories and the engine's one flat buffer."""

import json
import math
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import tensors
from .config import engine_config, label_names, read_config, with_labels
from .errors import CheckpointError, FreshWeightsWarning

__all__ = ["Checkpoint", "aligned_zeros", "load_checkpoint", "random_parameters", "save_checkpoint"]

_HEADS = {
    "pooler": ("bert.pooler.dense.weight", "bert.pooler.dense.bias"),
    "classifier": ("classifier.weight", "classifier.bias"),
}
# Heads of other tasks, whose classifier does not read the pooled first token of one text.
_OTHER_CLASSIFIERS = {"BertForTokenClassification", "BertForMultipleChoice"}

_said = set()


class Checkpoint(NamedTuple):
    """A model in memory: configuration as saved, the engine's, parameters, what is fresh."""

    config: dict
    engine: dict
    flat: np.ndarray
    fresh: tuple


def load_checkpoint(
    directory, *, num_labels=None, id2label=None, random_state=None, new_classifier=False,
    source=None, pooling=None,
):
    """Read a model directory in the Hugging Face layout.

    Parameters
    ----------
    directory : path-like
        Holds ``config.json`` and ``model.safetensors``, its shards and their index, or
        ``model.int8.safetensors``.
    num_labels : int, optional
        Number of classes; by default that of the checkpoint, or 2.
    id2label : dict or list of str, optional
        Names of the classes, which also says how many; by default those of the checkpoint.
    random_state : int, Generator, RandomState or None
        Draws what the checkpoint lacks.
    new_classifier : bool
        Draw a new classifier even if the checkpoint has one.
    source : str, optional
        What to call the model in warnings.
    pooling : {"cls", "mean"}, optional
        What the classifier reads, whatever the checkpoint says.

    Returns
    -------
    Checkpoint

    Raises
    ------
    CheckpointError
        The files are damaged, disagree with each other, or hold another kind of model.

    Warns
    -----
    FreshWeightsWarning
        Pooler or classifier are missing and start from random values, or tensors are
        left unused; once in a process for each model.
    """
    directory = Path(directory)
    raw = read_config(directory)
    if pooling is not None:
        raw["classifier_pooling"] = pooling
    where = directory / "config.json"
    stored = canonical(tensors.find(directory, raw))
    architectures = raw.get("architectures") or []
    if new_classifier or _OTHER_CLASSIFIERS.intersection(architectures):
        for name in _HEADS["classifier"]:
            stored.pop(name, None)
    count, names = _classes(raw, stored, num_labels, id2label, where)
    if all(name in stored for name in _HEADS["classifier"]):
        _check_task(raw, count, where)
    engine = engine_config(raw, count, where)
    flat, fresh, unused = fill(stored, engine, raw, directory, _HEADS, random_state)
    tell(source or str(directory), fresh, unused, raw)
    return Checkpoint(with_labels(raw, names), engine, flat, tuple(fresh))


def load_member(directory, number, raw, engine):
    """Read the parameters of a further model of a classifier, of the same configuration.

    Returns
    -------
    flat : ndarray of float32
    """
    stored = tensors.find_member(Path(directory), number)
    return fill(stored, engine, raw, directory, {}, None)[0]


def save_member(directory, number, engine, flat, *, int8=False):
    """Write it beside the files of `save_checkpoint`."""
    tensors.write(Path(directory), _by_name(engine, flat), int8, number)


def fill(stored, engine, raw, directory, heads, random_state):
    """Read what is stored and draw the heads that are not.

    Parameters
    ----------
    stored : dict of str to Stored
        From `canonical`.
    engine, raw : dict
        The engine's configuration and the ``config.json`` that it was made from.
    directory : path-like
        For messages.
    heads : dict of str to tuple of str
        Parts that may be missing, each by what it is called and the names of its tensors.
    random_state : int, Generator, RandomState or None
        Draws them.

    Returns
    -------
    flat : ndarray of float32
    fresh, unused : list of str
        Heads that were drawn, and tensors that have no place in the model.
    """
    total, table = _table(engine)
    fresh, unused = _compare(stored, table, directory, heads)
    drawn = {name for head in fresh for name in heads[head]}
    flat = aligned_zeros(total)
    tensors.read(
        [
            (stored[name], flat[offset : offset + math.prod(shape)])
            for name, shape, offset, *_ in table
            if name in stored
        ]
    )
    rng = _generator(random_state)
    for name, shape, offset, *_ in table:
        if name in drawn:
            _initialise(name, flat[offset : offset + math.prod(shape)], raw, rng)
    return flat, fresh, unused


def random_parameters(engine, raw, random_state=None):
    """Return parameters drawn by BERT's rule.

    Weights are normal with standard deviation ``initializer_range``, biases and the
    padding token's row are 0, LayerNorm starts as the identity.

    Parameters
    ----------
    engine : dict
        From `bertsent.config.engine_config`.
    raw : dict
        The ``config.json`` that it was made from.
    random_state : int, Generator, RandomState or None
        Seed or source of the numbers.

    Returns
    -------
    ndarray of float32, shape (total,)
        Laid out by the engine's parameter table.
    """
    total, table = _table(engine)
    flat = aligned_zeros(total)
    rng = _generator(random_state)
    for name, shape, offset, *_ in table:
        values = flat[offset : offset + math.prod(shape)]
        _initialise(name, values, raw, rng)
        if name == "bert.embeddings.word_embeddings.weight" and engine["pad_token_id"] >= 0:
            values.reshape(shape)[engine["pad_token_id"]] = 0.0
    return flat


def save_checkpoint(
    directory, config, engine, flat, *, tokenizer=None, extra_files=None, int8=False,
    extra_tensors=None,
):
    """Write a model's files into a directory that exists.

    Parameters
    ----------
    directory : path-like
        Where to; see `bertsent.files.atomic_directory` for doing so safely.
    config : dict
        Becomes ``config.json``.
    engine : dict
        The engine's configuration.
    flat : ndarray of float32
        The parameters.
    tokenizer : WordPieceTokenizer, optional
        Writes its own files too.
    extra_files : dict of str to str or bytes, optional
        Further files by name.
    int8 : bool
        Write the encoder's linear layers as int8, into ``model.int8.safetensors``.
    extra_tensors : dict of str to ndarray, optional
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
    tensors.write(directory, _by_name(engine, flat) | (extra_tensors or {}), int8)


def _by_name(engine, flat):
    return {
        name: flat[offset : offset + math.prod(shape)].reshape(shape)
        for name, shape, offset, *_ in _table(engine)[1]
    }


def aligned_zeros(count):
    """Return `count` float32 zeros that begin at a multiple of 64 bytes."""
    memory = np.zeros(4 * count + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * count].view(np.float32)


def _table(engine):
    from . import _core

    return _core.parameter_table(engine)


def canonical(stored):
    """Rename tensors as transformers of today names them."""
    renamed = {}
    for name, tensor in stored.items():
        new = name
        if name.split(".", 1)[0] in ("embeddings", "encoder", "pooler"):
            new = "bert." + name
        new = re.sub(r"(LayerNorm)\.gamma$", r"\1.weight", new)
        new = re.sub(r"(LayerNorm)\.beta$", r"\1.bias", new)
        if new in renamed:
            raise CheckpointError(
                f"{tensor.path} holds {new} twice, as {renamed[new].name} and as {name}"
            )
        renamed[new] = tensor
    return renamed


def _classes(raw, stored, num_labels, id2label, where):
    """Decide how many classes there are and what they are called."""
    classifier = stored.get("classifier.weight")
    found = classifier.shape[0] if classifier is not None and len(classifier.shape) == 2 else None
    if id2label is None:
        names = label_names(raw, where)
    else:
        names = label_names({"id2label": id2label}, "id2label")
        if num_labels is not None and num_labels != len(names):
            raise ValueError(f"num_labels is {num_labels} but id2label names {len(names)} classes")
        num_labels = len(names)
    if num_labels is None:
        if found is not None and names is not None and len(names) != found:
            raise CheckpointError(
                f"{where} names {len(names)} classes, but the classifier in {classifier.path} "
                f"has {found}; pass new_classifier=True to start a new one"
            )
        num_labels = found or (len(names) if names else 2)
    elif isinstance(num_labels, bool) or not isinstance(num_labels, (int, np.integer)):
        raise TypeError(f"num_labels must be an integer, got {num_labels!r}")
    elif found is not None and num_labels != found:
        raise CheckpointError(
            f"{classifier.path} has a classifier of {found} classes, but {num_labels} were asked "
            f"for; leave out num_labels to use it, or pass new_classifier=True to start a new one"
        )
    if num_labels < 2:
        raise CheckpointError(
            f"{where}: a classifier needs at least 2 classes, got {num_labels} (one output is "
            "regression, which bertsent does not do); pass num_labels and new_classifier=True"
        )
    if names is None or len(names) != num_labels:
        names = [f"LABEL_{i}" for i in range(num_labels)]
    return int(num_labels), names


def _check_task(raw, count, where):
    task = raw.get("problem_type") or "single_label_classification"
    if task != "single_label_classification":
        raise CheckpointError(
            f"{where}: problem_type {task!r} is not supported, bertsent's classifier chooses one "
            f"of {count} classes; pass new_classifier=True to train one on this encoder"
        )


def _compare(stored, table, directory, heads):
    """Check names and shapes; return the heads to draw anew and the tensors left unused."""
    expected = {name: tuple(shape) for name, shape, *_ in table}
    missing = [name for name in expected if name not in stored]
    fresh = []
    for head, names in heads.items():
        if all(name in missing for name in names):
            fresh.append(head)
            missing = [name for name in missing if name not in names]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CheckpointError(f"{directory}: the weights lack the tensor {missing[0]}{more}")
    unused = []
    for name, tensor in stored.items():
        if name not in expected:
            if name.startswith(("bert.encoder.", "bert.embeddings.")):
                if name.endswith((".position_ids", ".token_type_ids")):
                    continue
                raise CheckpointError(
                    f"{tensor.path}: the tensor {name} has no place in the model that "
                    "config.json describes"
                )
            if not name.startswith("cls."):
                unused.append(name)
            continue
        if tensor.shape != expected[name]:
            raise CheckpointError(
                f"{tensor.path}: {name} has shape {tensor.shape}, "
                f"but config.json asks for {expected[name]}"
            )
        tensors.check_type(tensor)
    return fresh, unused


def tell(source, fresh, unused, raw):
    """Warn of heads that were drawn and tensors that are not used."""
    if (source, tuple(fresh)) in _said:
        return
    _said.add((source, tuple(fresh)))
    if fresh:
        warnings.warn(
            f"{source} brings no {' and no '.join(fresh)}: starting from random values "
            f"(normal, standard deviation {raw.get('initializer_range', 0.02):g}), "
            "which mean nothing before training",
            FreshWeightsWarning,
            stacklevel=4,
        )
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        warnings.warn(
            f"{source} also holds {', '.join(unused[:3])}{more}, which a BERT classifier "
            "does not use",
            FreshWeightsWarning,
            stacklevel=4,
        )


def _generator(random_state):
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)


def _initialise(name, values, raw, rng):
    if name.endswith("LayerNorm.weight"):
        values[:] = 1.0
    elif name.endswith(".bias"):
        values[:] = 0.0
    else:
        rng.standard_normal(values.size, dtype=np.float32, out=values)
        values *= np.float32(raw.get("initializer_range", 0.02))
