"""Random models and batches for the tests of the numerics."""

import re

import numpy as np
import pytest
from reference import HEADS, Bert, is_frozen


def engine_config(**changes):
    """Return an engine configuration of a tiny BERT; keywords replace single entries."""
    config = {
        "vocab_size": 60,
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "intermediate_size": 40,
        "max_position_embeddings": 40,
        "type_vocab_size": 2,
        "num_labels": 3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "classifier_dropout": 0.1,
        "pad_token_id": 0,
    }
    config.update(changes)
    return config


# Names of tensors in BERT of transformers, and in the engine.
_ROLES = {
    "bert.embeddings.word_embeddings": "embeddings.word",
    "bert.embeddings.position_embeddings": "embeddings.position",
    "bert.embeddings.token_type_embeddings": "embeddings.token_type",
    "bert.embeddings.LayerNorm": "embeddings.norm",
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention.norm",
    "intermediate.dense": "feed_forward.up",
    "output.dense": "feed_forward.down",
    "output.LayerNorm": "feed_forward.norm",
    "bert.pooler.dense": "head.dense",
    "classifier": "head.output",
    "cls.predictions.transform.dense": "masked_lm.dense",
    "cls.predictions.transform.LayerNorm": "masked_lm.norm",
    "cls.predictions": "masked_lm.output",
}


def role_of(name):
    """Return the engine's name of a tensor in BERT of transformers."""
    stem, kind = name.rsplit(".", 1)
    layer = re.match(r"bert\.encoder\.(layer\.\d+\.)", stem)
    if layer:
        return f"{layer[1]}{_ROLES[stem[layer.end():]]}.{kind}"
    return f"{_ROLES[stem]}.{kind}"


def bert_name_of(role):
    """Return the name in BERT of transformers of a tensor of the engine."""
    names = {ours: theirs for theirs, ours in _ROLES.items()}
    stem, kind = role.rsplit(".", 1)
    layer = re.match(r"layer\.\d+\.", stem)
    if layer:
        return f"bert.encoder.{layer[0]}{names[stem[layer.end():]]}.{kind}"
    return f"{names[stem]}.{kind}"


def parameter_shapes(config):
    """Return name -> shape of every parameter."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    narrow = config.get("embedding_size", hidden)
    shapes = {
        "embeddings.word.weight": (config["vocab_size"], narrow),
        "embeddings.position.weight": (
            config.get("position_offset", 0) + config["max_position_embeddings"], narrow
        ),
    }
    if config.get("relative_bias"):
        shapes["embeddings.relative_bias.weight"] = (32, config["num_attention_heads"])
    if config["type_vocab_size"]:
        shapes["embeddings.token_type.weight"] = (config["type_vocab_size"], narrow)
    parts = {"embeddings.norm": (narrow,)}
    if narrow != hidden:
        parts["embeddings.projection"] = (hidden, narrow)
    for layer in range(config["num_hidden_layers"]):
        stem = f"layer.{layer}."
        parts |= {
            stem + "attention.query": (hidden, hidden),
            stem + "attention.key": (hidden, hidden),
            stem + "attention.value": (hidden, hidden),
            stem + "attention.output": (hidden, hidden),
            stem + "attention.norm": (hidden,),
            stem + "feed_forward.up": (inner, hidden),
            stem + "feed_forward.down": (hidden, inner),
            stem + "feed_forward.norm": (hidden,),
        }
    head = config.get("head", "pooled")
    if head == "masked_lm":
        parts |= {"masked_lm.dense": (hidden, hidden), "masked_lm.norm": (hidden,)}
    elif head != "vectors":
        if HEADS[head][1] is not None:
            parts["head.dense"] = (hidden, hidden)
        parts["head.output"] = (config["num_labels"], hidden)
    for stem, shape in parts.items():
        shapes[stem + ".weight"] = shape
        shapes[stem + ".bias"] = shape[:1]
    if head == "masked_lm":
        shapes["masked_lm.output.bias"] = (config["vocab_size"],)
    return shapes


def random_params(config, rng, scale=0.25):
    """Draw float32 parameters large enough that every part of the model matters."""
    params = {}
    for name, shape in parameter_shapes(config).items():
        values = rng.normal(0.0, scale, shape)
        if name.endswith(".norm.weight"):
            values += 1.0
        params[name] = values.astype(np.float32)
    return params


def random_batch(config, rng, lengths, *, types=True, holes=False, weights=False):
    """Draw a packed batch with labels; ``holes`` leaves gaps between the positions."""
    lengths = np.asarray(lengths)
    n_tokens = int(lengths.sum())
    limit = config["max_position_embeddings"]
    batch = {
        "ids": rng.integers(0, config["vocab_size"], n_tokens).astype(np.int32),
        "types": None,
        "positions": None,
        "cu_seqlens": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "keys": rng.integers(0, 2**63, len(lengths)).astype(np.uint64),
        "labels": rng.integers(0, config["num_labels"], len(lengths)).astype(np.int32),
        "weights": None,
    }
    if types and config["type_vocab_size"]:
        batch["types"] = rng.integers(0, config["type_vocab_size"], n_tokens).astype(np.int32)
    if holes:
        picked = [np.sort(rng.choice(limit, n, replace=False)) for n in lengths]
        batch["positions"] = np.concatenate(picked).astype(np.int32)
    if weights:
        batch["weights"] = rng.uniform(0.2, 3.0, len(lengths)).astype(np.float32)
    return batch


def sequence_of(batch, which):
    """Return the packed batch made of the sequences ``which`` of another one, in that order."""
    cu = batch["cu_seqlens"]
    rows = np.concatenate([np.arange(cu[b], cu[b + 1]) for b in which])
    lengths = [cu[b + 1] - cu[b] for b in which]
    taken = {"cu_seqlens": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)}
    for name in ("ids", "types", "positions"):
        taken[name] = None if batch[name] is None else batch[name][rows]
    for name in ("keys", "labels", "weights"):
        taken[name] = None if batch[name] is None else batch[name][list(which)]
    return taken


def flatten(table, params):
    """Lay named arrays into one flat float32 buffer by the engine's parameter table."""
    total, entries = table
    flat = np.zeros(total, np.float32)
    for name, shape, offset, _, _ in entries:
        size = int(np.prod(shape))
        flat[offset : offset + size] = np.asarray(params[name], np.float32).reshape(-1)
    return flat


def unflatten(table, flat):
    """Return name -> view into a flat buffer."""
    _, entries = table
    return {
        name: flat[offset : offset + int(np.prod(shape))].reshape(shape)
        for name, shape, offset, _, _ in entries
    }


class Engine:
    """The C engine with the interface of the float64 twin."""

    def __init__(self, config, params, n_threads=1, precision="float32"):
        from bertsent import _core

        self.core, self.config, self.n_threads = _core, config, n_threads
        self.precision = precision
        self.table = _core.parameter_table(config)
        self.flat = flatten(self.table, params)
        self.model = _core.Model(config, self.flat)

    @property
    def params(self):
        """Name -> view of the current parameters."""
        return unflatten(self.table, self.flat)

    def score(self, batch, n_threads=None):
        """Return inference logits."""
        return self.model.score(
            *arrays(batch), n_threads=n_threads or self.n_threads, precision=self.precision
        )

    def loss_and_gradients(
        self, batch, *, freeze=0, training=False, seed=0, step=0, n_threads=None,
        micro_batch_tokens=0, label_smoothing=0.0, freeze_dropout=False, windows=None,
        loss="cross_entropy", positive_weights=None, temperature=0.0,
    ):
        """Return loss, logits and gradients, as `reference.Bert.loss_and_gradients` does.

        Gradients of frozen parameters must stay untouched, here 0; all others are overwritten.
        """
        grads = np.full(self.table[0], np.nan, np.float32)
        for name, view in unflatten(self.table, grads).items():
            if is_frozen(name, freeze):
                view[...] = 0.0
        value, logits = self.model.forward_backward(
            *arrays(batch), batch["keys"], batch["labels"], batch["weights"], grads,
            freeze=freeze, training=training, seed=seed, step=step,
            n_threads=n_threads or self.n_threads, micro_batch_tokens=micro_batch_tokens,
            precision=self.precision,
            label_smoothing=label_smoothing, freeze_dropout=freeze_dropout, windows=windows,
            loss=loss, positive_weights=positive_weights, teacher=batch.get("teacher"),
            temperature=temperature,
        )
        return value, logits, unflatten(self.table, grads)


def arrays(batch):
    """Return ids, types, positions and cu_seqlens, the order of every engine call."""
    return tuple(batch[name] for name in ("ids", "types", "positions", "cu_seqlens"))


def assert_gradients_agree(found, expected, *, rel=1e-4, of_all=1e-6):
    """Check that each error is within ``rel`` of its norm and ``of_all`` of the total norm."""
    assert set(found) == set(expected)
    whole = np.sqrt(sum(float((np.asarray(g, np.float64) ** 2).sum()) for g in expected.values()))
    for name, wanted in expected.items():
        wanted = np.asarray(wanted, np.float64)
        error = np.linalg.norm(np.asarray(found[name], np.float64) - wanted)
        limit = rel * np.linalg.norm(wanted) + of_all * whole
        assert error <= limit, f"{name}: error {error:.3g} above {limit:.3g}"


def assert_like_twin(config, params, batch, **settings):
    """Compare loss, logits and gradients of the engine with those of the float64 twin."""
    engine, twin = Engine(config, params), Bert(config, params)
    found, wanted = (m.loss_and_gradients(batch, **settings) for m in (engine, twin))
    assert found[0] == pytest.approx(wanted[0], rel=1e-5)
    np.testing.assert_allclose(found[1], wanted[1], atol=2e-5)
    assert_gradients_agree(found[2], wanted[2])
