"""Reading and checking a BERT's ``config.json``, and what the engine needs from it."""

import copy
import json
import math
from pathlib import Path

from .errors import CheckpointError

__all__ = ["bert_config", "engine_config", "label_names", "read_config", "read_json", "with_labels"]

# Names under which transformers knows one and the same formula.
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_python_tanh": "gelu_new",
    "gelu_accurate": "gelu_new",
    "gelu_fast": "gelu_new",
    "relu": "relu",
}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
_LARGEST = 2**31 - 1


def read_json(path):
    """Return the object in a JSON file, or say in a `CheckpointError` why there is none."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content


def read_config(directory):
    """Return a model directory's ``config.json`` as it stands, checked to be a BERT's.

    Parameters
    ----------
    directory : path-like
        Model directory in the Hugging Face layout.

    Returns
    -------
    dict
        All keys of the file, also those that bertsent does not use.

    Raises
    ------
    CheckpointError
        There is no such file, it is damaged, or it describes another kind of model.
    """
    path = Path(directory) / "config.json"
    try:
        raw = read_json(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{directory} is no model directory: it has no config.json"
        ) from None
    _check_kind(raw, path)
    return raw


def bert_config(raw):
    """Return a copy of a configuration given as a dict, checked to be a BERT's."""
    if not isinstance(raw, dict):
        raise TypeError(f"config must be a dict of config.json's keys, got {type(raw).__name__}")
    raw = copy.deepcopy(raw)
    _check_kind(raw, "config")
    return raw


def engine_config(raw, num_labels, where="config.json"):
    """Translate a checked configuration into the one that the engine takes.

    Parameters
    ----------
    raw : dict
        From `read_config` or `bert_config`.
    num_labels : int
        Number of classes.
    where : str or path-like
        What to call the configuration in messages.

    Returns
    -------
    dict
        Every entry present and within the engine's limits; defaults are those of
        transformers' ``BertConfig``.
    """
    engine = {name: _integer(raw, name, where, 1) for name in _SIZES}
    engine["type_vocab_size"] = _integer({"type_vocab_size": 2, **raw}, "type_vocab_size", where, 1)
    engine["num_labels"] = num_labels
    heads, hidden = engine["num_attention_heads"], engine["hidden_size"]
    if hidden % heads:
        raise CheckpointError(
            f"{where}: hidden_size {hidden} is not a multiple of num_attention_heads {heads}"
        )
    activation = raw.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise CheckpointError(
            f"{where}: hidden_act {activation!r} is not supported; "
            f"supported are {', '.join(sorted(_ACTIVATIONS))}"
        )
    engine["hidden_act"] = _ACTIVATIONS[activation]
    engine["layer_norm_eps"] = _number(raw, "layer_norm_eps", where, 1e-12, 1.0)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        engine[name] = _number(raw, name, where, 0.1, 1.0)
    if raw.get("classifier_dropout") is None:
        engine["classifier_dropout"] = engine["hidden_dropout_prob"]
    else:
        engine["classifier_dropout"] = _number(raw, "classifier_dropout", where, 0.0, 1.0)
    pooling = raw.get("classifier_pooling") or "cls"
    if pooling not in ("cls", "mean"):
        raise CheckpointError(
            f"{where}: classifier_pooling {pooling!r} is not supported; supported are cls and mean"
        )
    engine["pooling"] = pooling
    _number(raw, "initializer_range", where, 0.02, math.inf)
    padding = raw.get("pad_token_id", 0)
    if padding is None or padding == -1:
        engine["pad_token_id"] = -1
    else:
        engine["pad_token_id"] = _integer({"pad_token_id": padding}, "pad_token_id", where, 0)
        if padding >= engine["vocab_size"]:
            raise CheckpointError(
                f"{where}: pad_token_id {padding} is outside the vocabulary of "
                f"{engine['vocab_size']} entries"
            )
    return engine


def label_names(raw, where="config.json"):
    """Return the names of the classes in order, or None where a configuration has none.

    ``num_labels`` without ``id2label`` gives ``LABEL_0``, ``LABEL_1`` and so on, as in
    transformers.
    """
    names = raw.get("id2label")
    count = raw.get("num_labels", raw.get("_num_labels"))
    if names is None:
        if count is None:
            return None
        count = _integer({"num_labels": count}, "num_labels", where, 1)
        return [f"LABEL_{i}" for i in range(count)]
    names = _ordered(names, where)
    if count is not None and count != len(names):
        raise CheckpointError(
            f"{where} disagrees with itself: num_labels is {count} "
            f"but id2label names {len(names)} classes"
        )
    return names


def with_labels(raw, names):
    """Return a copy of a configuration for a single-label classifier of these classes."""
    changed = copy.deepcopy(raw)
    for key in ("num_labels", "_num_labels", "_name_or_path"):
        changed.pop(key, None)
    changed["model_type"] = "bert"
    changed["architectures"] = ["BertForSequenceClassification"]
    changed["problem_type"] = "single_label_classification"
    changed["id2label"] = {str(i): name for i, name in enumerate(names)}
    changed["label2id"] = {name: i for i, name in enumerate(names)}
    changed["dtype"] = "float32"
    if "torch_dtype" in changed:
        changed["torch_dtype"] = "float32"
    return changed


def _check_kind(raw, where):
    kind = raw.get("model_type")
    architectures = raw.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(a, str) for a in architectures):
        raise CheckpointError(f"{where}: architectures must be a list of names")
    if kind is None:
        # The first BERT checkpoints were published before there was a model_type.
        others = [name for name in architectures if not name.startswith("Bert")]
        if others or "hidden_size" not in raw:
            kind = others[0] if others else "unknown"
        else:
            kind = "bert"
    if kind != "bert":
        raise CheckpointError(
            f"{where}: this is a model of type {kind!r}; bertsent runs BERT models "
            "(model_type 'bert') only, for example bert-base-uncased or all-MiniLM-L6-v2"
        )
    positions = raw.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise CheckpointError(
            f"{where}: position_embedding_type {positions!r} is not supported; "
            "bertsent knows absolute positions only"
        )
    for key, meaning in (
        ("is_decoder", "a decoder"),
        ("add_cross_attention", "cross-attention"),
        ("is_encoder_decoder", "an encoder-decoder"),
    ):
        if raw.get(key):
            raise CheckpointError(f"{where}: {meaning} ({key}) is not supported")
    if raw.get("quantization_config"):
        raise CheckpointError(
            f"{where}: the weights are quantized; use the checkpoint in float32 or bfloat16"
        )


def _integer(raw, name, where, least):
    value = raw.get(name)
    if value is None:
        raise CheckpointError(f"{where} has no {name}")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise CheckpointError(
            f"{where}: {name} must be an integer of at least {least}, got {value!r}"
        )
    return value


def _number(raw, name, where, default, limit):
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < limit:
        top = "" if limit == math.inf else f" and below {limit:g}"
        raise CheckpointError(f"{where}: {name} must be a number of at least 0{top}, got {value!r}")
    return float(value)


def _ordered(names, where):
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    try:
        by_index = {int(key): str(name) for key, name in names.items()}
    except (AttributeError, TypeError, ValueError):
        by_index = None
    if not by_index or sorted(by_index) != list(range(len(names))):
        raise CheckpointError(f"{where}: id2label must name the classes 0, 1, 2 and so on")
    return [by_index[i] for i in range(len(by_index))]
