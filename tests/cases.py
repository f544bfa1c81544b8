"""Random models and batches for the tests of the numerics."""

import numpy as np
from reference import is_frozen


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


def parameter_shapes(config, num_labels):
    """Return name -> shape of every parameter, in the order of transformers' state dict."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "bert.embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "bert.embeddings.position_embeddings.weight": (config["max_position_embeddings"], hidden),
        "bert.embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "bert.embeddings.LayerNorm.weight": (hidden,),
        "bert.embeddings.LayerNorm.bias": (hidden,),
    }
    dense = {
        "attention.self.query": (hidden, hidden),
        "attention.self.key": (hidden, hidden),
        "attention.self.value": (hidden, hidden),
        "attention.output.dense": (hidden, hidden),
        "attention.output.LayerNorm": (hidden,),
        "intermediate.dense": (inner, hidden),
        "output.dense": (hidden, inner),
        "output.LayerNorm": (hidden,),
    }
    for layer in range(config["num_hidden_layers"]):
        for part, shape in dense.items():
            stem = f"bert.encoder.layer.{layer}.{part}"
            shapes[stem + ".weight"] = shape
            shapes[stem + ".bias"] = shape[:1]
    shapes["bert.pooler.dense.weight"] = (hidden, hidden)
    shapes["bert.pooler.dense.bias"] = (hidden,)
    shapes["classifier.weight"] = (num_labels, hidden)
    shapes["classifier.bias"] = (num_labels,)
    return shapes


def random_params(config, rng, scale=0.25):
    """Draw float32 parameters large enough that every part of the model matters."""
    params = {}
    for name, shape in parameter_shapes(config, config["num_labels"]).items():
        values = rng.normal(0.0, scale, shape)
        if name.endswith("LayerNorm.weight"):
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
    if types:
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
    """The C engine behind the same calls as the float64 twin."""

    def __init__(self, config, params, n_threads=1, precision="float32"):
        from bertsent import _core

        self.core, self.config, self.n_threads = _core, config, n_threads
        self.precision = precision
        self.table = _core.parameter_table(config)
        self.flat = flatten(self.table, params)
        self.model = _core.Model(config, self.flat)

    @property
    def params(self):
        """Name -> view of the parameters as they are now."""
        return unflatten(self.table, self.flat)

    def score(self, batch, n_threads=None):
        """Return inference logits."""
        return self.model.score(
            *arrays(batch), n_threads=n_threads or self.n_threads, precision=self.precision
        )

    def loss_and_gradients(
        self, batch, *, freeze=0, training=False, seed=0, step=0, n_threads=None,
        micro_batch_tokens=0, label_smoothing=0.0, freeze_dropout=False, windows=None,
    ):
        """Return loss, logits and gradients, as `reference.Bert.loss_and_gradients`.

        What is frozen is to be left as it is, here 0; all else to be overwritten.
        """
        grads = np.full(self.table[0], np.nan, np.float32)
        for name, view in unflatten(self.table, grads).items():
            if is_frozen(name, freeze):
                view[...] = 0.0
        loss, logits = self.model.forward_backward(
            *arrays(batch), batch["keys"], batch["labels"], batch["weights"], grads,
            freeze=freeze, training=training, seed=seed, step=step,
            n_threads=n_threads or self.n_threads, micro_batch_tokens=micro_batch_tokens,
            precision=self.precision,
            label_smoothing=label_smoothing, freeze_dropout=freeze_dropout, windows=windows,
        )
        return loss, logits, unflatten(self.table, grads)


def arrays(batch):
    """Return ids, types, positions and cu_seqlens, the order of every engine call."""
    return tuple(batch[name] for name in ("ids", "types", "positions", "cu_seqlens"))


def assert_gradients_agree(found, expected, *, rel=1e-4, of_all=1e-6):
    """Check each tensor: its error within ``rel`` of its norm and ``of_all`` of the whole norm."""
    assert set(found) == set(expected)
    whole = np.sqrt(sum(float((np.asarray(g, np.float64) ** 2).sum()) for g in expected.values()))
    for name, wanted in expected.items():
        wanted = np.asarray(wanted, np.float64)
        error = np.linalg.norm(np.asarray(found[name], np.float64) - wanted)
        limit = rel * np.linalg.norm(wanted) + of_all * whole
        assert error <= limit, f"{name}: error {error:.3g} above {limit:.3g}"
