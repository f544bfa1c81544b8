"""Read and check ``config.json``, and translate it into the engine's configuration."""

import copy
import itertools
import re
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from bertsent import files
from bertsent.errors import CheckpointError
from bertsent.hub.diagnosis import no_config
from bertsent.hub.families import FAMILIES, Family
from bertsent.hub.sentence import inner_model, length_of, pooling_of

__all__ = [
    "check_config",
    "default_names",
    "engine_config",
    "family_in",
    "family_of",
    "label_names",
    "length_limit",
    "masked_lm_config",
    "ordered_names",
    "read_config",
    "read_json",
    "with_labels",
    "with_pooling",
]

# Activations in transformers, and what the engine calls the same formula.
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
    "type_vocab_size",
)
# The supported model that comes nearest to models of other types, in languages, size and accuracy.
_NEAREST = {
    "albert": "minilm",
    "camembert": "bert-base-multilingual-cased",
    "deberta": "mpnet",
    "deberta-v2": "mpnet",
    "mobilebert": "minilm",
    "modernbert": "mpnet",
    "squeezebert": "minilm",
    "xlm-roberta": "bert-base-multilingual-cased",
    "xlnet": "mpnet",
}
_LARGEST = 2**31 - 1
# The length of a sentence encoder, in the files of sentence-transformers and in config.json.
_LENGTH = "max_seq_length"
# Largest number of classes that a configuration can claim without naming them or having weights.
_MOST_UNNAMED = 2**16
# The problem type of a configuration that names none.
SINGLE_LABEL = "single_label_classification"


def read_json(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the object in a JSON file, as `bertsent.files.read_json` does, but as a dict."""
    content: dict[str, Any] = files.read_json(path).value
    return content


def read_config(directory: str | PathLike[str]) -> dict[str, Any]:
    """Return the unchanged content of ``config.json``, if the model is supported.

    Parameters
    ----------
    directory : path-like
        Model directory in the Hugging Face layout.

    Returns
    -------
    dict
        All entries of the file, including those that bertsent does not use, and the pooling and
        the length (`length_limit`) of a sentence encoder if the file has no entries for them.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or describes a model that is not supported.
    """
    path = Path(directory) / "config.json"
    try:
        raw = read_json(path)
    except FileNotFoundError:
        raise CheckpointError(no_config(Path(directory))) from None
    part = inner_model(Path(directory)) if "model_type" not in raw else None
    if part is not None:
        # Old versions of sentence-transformers wrote a config.json of their own beside the model's.
        raise CheckpointError(no_config(Path(directory)))
    _check_kind(raw, path)
    return _with_own_length(_with_own_pooling(raw, Path(directory)), Path(directory))


def _with_own_pooling(raw: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return a configuration with the pooling of a sentence encoder, if it does not name one.

    BERT models keep "cls", which they always had here.
    """
    family = family_of(raw)
    if family.model_type == "bert" or family.keys["pooling"] in raw:
        return raw
    return with_pooling(raw, pooling_of(directory))


def _with_own_length(raw: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return a configuration with the length of a sentence encoder, if it does not name one.

    It has the name that sentence-transformers gives it. A saved model has it in ``config.json``.
    """
    length = length_of(directory)
    return raw if length is None or _LENGTH in raw else raw | {_LENGTH: length}


def length_limit(raw: Mapping[str, Any], engine: Mapping[str, Any]) -> int:
    """Return the number of tokens that ``max_length="auto"`` does not exceed.

    This is the number of positions or, if smaller, the ``max_seq_length`` of a sentence encoder:
    it was trained with texts of up to this length.

    Parameters
    ----------
    raw : dict
        From `read_config` or `check_config`.
    engine : dict
        The engine's configuration.
    """
    positions: int = engine["max_position_embeddings"]
    length = raw.get(_LENGTH)
    return min(length, positions) if type(length) is int and length >= 3 else positions


def check_config(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a configuration that is given as a dict, if the model is supported."""
    if not isinstance(raw, dict):
        raise TypeError(f"config must be a dict with config.json's keys, got {type(raw).__name__}")
    raw = copy.deepcopy(raw)
    _check_kind(raw, "config")
    return raw


def family_of(raw: dict[str, Any], where: str | PathLike[str] = "config.json") -> Family:
    """Return the family of the model that a configuration describes.

    Parameters
    ----------
    raw : dict
        Content of ``config.json``.
    where : str or path-like, default="config.json"
        Name of the configuration in error messages.

    Returns
    -------
    Family

    Raises
    ------
    CheckpointError
        The model belongs to none of the supported families.
    """
    kind = raw.get("model_type")
    architectures = raw.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(a, str) for a in architectures):
        raise CheckpointError(f"{where}: architectures must be a list of names")
    if kind is None:
        # The first BERT models were published before model_type existed.
        for family in FAMILIES.values():
            known = all(name.startswith(family.class_stem) for name in architectures)
            named = architectures or family.model_type == "bert"
            if known and named and family.keys["hidden_size"] in raw:
                return family
        stems = tuple(family.class_stem for family in FAMILIES.values())
        kind = next((name for name in architectures if not name.startswith(stems)), "unknown")
    if not isinstance(kind, str) or kind not in FAMILIES:
        near = _NEAREST.get(kind) if isinstance(kind, str) else None
        examples = " or ".join(name for family in FAMILIES.values() for name in family.examples)
        raise CheckpointError(
            f"{where}: this is a model of type {reprlib.repr(kind)}; bertsent runs "
            f"{_listed(family.name for family in FAMILIES.values())} models "
            f"(model_type {_listed(map(repr, FAMILIES))}) only, "
            f"{f'of which {near} is the nearest' if near else f'for example {examples}'}"
        )
    return FAMILIES[kind]


def family_in(directory: str | PathLike[str]) -> Family:
    """Return the family of the model in a directory, or BERT if there is no model in it."""
    try:
        return family_of(read_json(Path(directory) / "config.json"))
    except (OSError, CheckpointError):
        return FAMILIES["bert"]


def engine_config(
    raw: dict[str, Any], num_labels: int, where: str | PathLike[str] = "config.json", *,
    masked_lm: bool = False,
) -> dict[str, Any]:
    """Translate a checked ``config.json`` into the engine's configuration.

    Parameters
    ----------
    raw : dict
        From `read_config` or `check_config`.
    num_labels : int
        Number of classes.
    where : str or path-like, default="config.json"
        Name of the configuration in error messages.
    masked_lm : bool, default=False
        Whether the head predicts masked tokens instead of classes.

    Returns
    -------
    dict
        All entries that the engine needs, within its limits. Entries that `raw` lacks have the
        defaults of the family.

    Raises
    ------
    CheckpointError
        An entry is missing, invalid or not supported.
    """
    family = family_of(raw, where)
    values = _Values(raw, family, where)
    engine: dict[str, Any] = {key: values.integer(key, 1) for key in _SIZES}
    # The engine's count excludes the rows before the position of the first token.
    engine["position_offset"] = offset = family.position_offset
    positions = values.integer("max_position_embeddings", 1 + offset)
    engine["max_position_embeddings"] = positions - offset
    if offset:
        engine["positions_skip_padding"] = True
    if family.relative_bias:
        engine["relative_bias"] = True
    engine["num_labels"] = num_labels
    if "embedding_size" in family.keys:
        engine["embedding_size"] = values.integer("embedding_size", 1)
    head = family.masked_lm if masked_lm else family.classifier
    if head is None:
        raise CheckpointError(
            f"{where}: {family.name} models cannot be pretrained, because they have no head for "
            "masked tokens like that of BERT; pretrain a BERT, DistilBERT, MPNet or RoBERTa model"
        )
    engine["head"] = head.kind
    heads, hidden = engine["num_attention_heads"], engine["hidden_size"]
    if hidden % heads:
        raise CheckpointError(
            f"{where}: {values.name('hidden_size')} {hidden} is not a multiple of "
            f"{values.name('num_attention_heads')} {heads}"
        )
    activation = values.choice("hidden_act", values["hidden_act"], sorted(_ACTIVATIONS))
    engine["hidden_act"] = _ACTIVATIONS[activation]
    if head.activation not in (None, engine["hidden_act"]):
        raise CheckpointError(
            f"{where}: {values.name('hidden_act')} {activation!r} is not supported in pretraining, "
            f"because the head for masked tokens of {family.name} models has {head.activation!r}"
        )
    engine["layer_norm_eps"] = values.number("layer_norm_eps", 1.0)
    for key in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        engine[key] = values.number(key, 1.0)
    if "attention_output_dropout_prob" in family.defaults:  # otherwise hidden_dropout_prob
        key = "attention_output_dropout_prob"
        engine[key] = values.number(key, 1.0)
    if values["classifier_dropout"] is None:
        engine["classifier_dropout"] = engine["hidden_dropout_prob"]
    else:
        engine["classifier_dropout"] = values.number("classifier_dropout", 1.0)
    pooling = values["pooling"] or family.defaults["pooling"]
    engine["pooling"] = values.choice("pooling", pooling, ("cls", "mean"))
    # Larger values would overflow in float32.
    values.number("initializer_range", 1e6)
    padding = values["pad_token_id"]
    if padding is None or padding == -1:
        engine["pad_token_id"] = -1
    else:
        engine["pad_token_id"] = values.integer("pad_token_id", 0)
        if padding >= engine["vocab_size"]:
            raise CheckpointError(
                f"{where}: {values.name('pad_token_id')} {padding} is outside the vocabulary of "
                f"{engine['vocab_size']} entries"
            )
    return engine


class _Values:
    """Checked values of a configuration by the engine's keys. Messages name the file's keys."""

    def __init__(self, raw: dict[str, Any], family: Family, where: str | PathLike[str]) -> None:
        self.raw, self.family, self.where = raw, family, where

    def __getitem__(self, key: str) -> Any:
        return self.family.value(self.raw, key)

    def name(self, key: str) -> str:
        return self.family.keys.get(key, key)

    def integer(self, key: str, least: int) -> int:
        if key not in self.family.keys:
            return int(self.family.defaults[key])
        return _integer(self[key], self.name(key), self.where, least)

    def number(self, key: str, limit: float) -> float:
        value = self[key]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < limit:
            top = f" and below {limit:g}"
            raise CheckpointError(
                f"{self.where}: {self.name(key)} must be a number of at least 0{top}, "
                f"got {reprlib.repr(value)}"
            )
        return float(value)

    def choice(self, key: str, value: Any, supported: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in supported:
            raise CheckpointError(
                f"{self.where}: {self.name(key)} {reprlib.repr(value)} is not supported; "
                "supported are "
                f"{_listed(supported)}"
            )
        return value


def _integer(value: Any, name: str, where: str | PathLike[str], least: int) -> int:
    if value is None:
        raise CheckpointError(f"{where} has no {name}")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise CheckpointError(
            f"{where}: {name} must be an integer of at least {least}, got {reprlib.repr(value)}"
        )
    return value


def label_names(
    raw: dict[str, Any], where: str | PathLike[str] = "config.json", outputs: int | None = None
) -> list[str] | None:
    """Return the names of the classes in order, or None if a configuration defines none.

    If it has no ``id2label``, the names are ``LABEL_0``, ``LABEL_1`` and so on, as in
    transformers.

    Parameters
    ----------
    raw : dict
        Content of ``config.json``.
    where : str or path-like, default="config.json"
        Name of the configuration in error messages.
    outputs : int or None, default=None
        Number of outputs of the saved classifier, which has the last word; None if there is none.

    Returns
    -------
    list of str or None

    Raises
    ------
    CheckpointError
        The names are not valid, or not as many as the classes.
    """
    given = raw.get("id2label")
    count = raw.get("num_labels", raw.get("_num_labels"))
    if given is None:
        if outputs is not None and count in (None, outputs):
            return default_names(outputs)
        if count is None:
            return None
        count = _integer(count, "num_labels", where, 1)
        if outputs is not None:
            raise CheckpointError(
                f"{where}: num_labels is {count}, but the classifier in the weights has {outputs} "
                "classes"
            )
        if count > _MOST_UNNAMED:
            raise CheckpointError(
                f"{where}: num_labels is {count}, but neither weights nor id2label show so many"
            )
        return default_names(count)
    names = ordered_names(given, where)
    if outputs == len(names) or outputs is None and count in (None, len(names)):
        return names
    if outputs is None:
        raise CheckpointError(
            f"{where} is inconsistent: num_labels is {reprlib.repr(count)}, "
            f"but id2label names {len(names)} classes"
        )
    if outputs == count and names == default_names(len(names)):
        # transformers 2 wrote the two default names, whatever the number of classes.
        return default_names(outputs)
    raise CheckpointError(
        f"{where}: id2label names {len(names)} classes, but the classifier in the weights has "
        f"{outputs}"
    )


def default_names(count: int) -> list[str]:
    """Return the names that transformers gives classes without names."""
    return [f"LABEL_{i}" for i in range(count)]


def with_labels(
    raw: dict[str, Any], names: Sequence[str], problem_type: str = SINGLE_LABEL
) -> dict[str, Any]:
    """Return a copy of a configuration with outputs of these names, for a problem type."""
    changed = _for_task(raw, "ForSequenceClassification")
    changed["problem_type"] = problem_type
    changed["id2label"] = {str(i): name for i, name in enumerate(names)}
    changed["label2id"] = {name: i for i, name in enumerate(names)}
    return changed


def masked_lm_config(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a configuration for a model that predicts masked tokens."""
    changed = _for_task(raw, "ForMaskedLM")
    for key in ("id2label", "label2id", "problem_type"):
        changed.pop(key, None)
    changed["tie_word_embeddings"] = True
    return changed


def with_pooling(raw: dict[str, Any], pooling: str | None) -> dict[str, Any]:
    """Return a configuration with another pooling, or `raw` itself if `pooling` is None."""
    return raw if pooling is None else raw | {family_of(raw).keys["pooling"]: pooling}


def _for_task(raw: dict[str, Any], task: str) -> dict[str, Any]:
    family = family_of(raw)
    changed = copy.deepcopy(raw)
    for key in ("num_labels", "_num_labels", "_name_or_path"):
        changed.pop(key, None)
    changed["model_type"] = family.model_type
    changed["architectures"] = [family.class_stem + task]
    changed["dtype"] = "float32"
    if "torch_dtype" in changed:
        changed["torch_dtype"] = "float32"
    return changed


def _check_kind(raw: dict[str, Any], where: str | PathLike[str]) -> None:
    for key, value in family_of(raw, where).required.items():
        if raw.get(key, value) != value:
            raise CheckpointError(
                f"{where}: {key} {reprlib.repr(raw[key])} is not supported; only {value!r} is"
            )
    positions = raw.get("position_embedding_type") or "absolute"
    if positions != "absolute":
        raise CheckpointError(
            f"{where}: position_embedding_type {reprlib.repr(positions)} is not supported; "
            "only 'absolute' is"
        )
    if raw.get("pruned_heads"):
        raise CheckpointError(
            f"{where}: a model without some of its attention heads (pruned_heads) is not supported"
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
            f"{where}: quantized weights (quantization_config) are not supported; "
            "use a version of the model with float32 or bfloat16 weights"
        )


def ordered_names(names: Any, where: str | PathLike[str]) -> list[str]:
    """Return the names in ``id2label``, a mapping or list, in the order of the classes."""
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        raise CheckpointError(
            f"{where}: id2label must name the classes 0, 1, 2 and so on, got {reprlib.repr(names)}"
        )
    by_number = {
        int(key): name for key, name in names.items()
        if re.fullmatch(r"-?\d{1,9}", str(key), re.ASCII)
    }
    if sorted(by_number) != list(range(len(names))):
        keys = ", ".join(str(key)[:20] for key in itertools.islice(names, 5))
        raise CheckpointError(
            f"{where}: id2label must name the classes 0, 1, 2 and so on, but it has the keys "
            f"{keys}{', ...' * (len(names) > 5)}"
        )
    for number, name in by_number.items():
        if not isinstance(name, (str, int, float)):
            raise CheckpointError(
                f"{where}: id2label must have a name for class {number}, got {reprlib.repr(name)}"
            )
    return [str(by_number[number]) for number in range(len(by_number))]


def _listed(names: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
