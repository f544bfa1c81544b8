"""`Model.attribute` equals the float64 twin, whose gradients finite differences confirm."""

import numpy as np
import pytest
from cases import Engine, arrays, engine_config, random_batch, random_params
from reference import Bert
from reference_reduced import BFloat16Bert

from bertsent import _core

# name: changes of the configuration. The families differ in these.
CASES = {
    "bert": {},
    "distilbert": {"type_vocab_size": 0, "head": "dense_relu"},
    "electra": {"embedding_size": 10, "head": "dropout_dense_gelu"},
    "mpnet": {"type_vocab_size": 0, "relative_bias": True, "head": "dropout_dense_tanh"},
    "roberta": {"type_vocab_size": 1, "position_offset": 2, "positions_skip_padding": True,
                "pad_token_id": 1, "head": "dropout_dense_tanh"},
    "wide embeddings, plain head, one layer": {
        "embedding_size": 40, "head": "plain", "num_hidden_layers": 1, "num_labels": 1,
    },
}
each_case = pytest.mark.parametrize("name", CASES)
each_pooling = pytest.mark.parametrize("pooling", ["cls", "mean"])
LENGTHS = [7, 1, 12, 30, 2]


def case(name="bert", pooling="cls", seed=0):
    """Return configuration, parameters, and a batch with a baseline."""
    config = engine_config(pooling=pooling, **CASES[name])
    rng = np.random.default_rng(seed)
    params, batch = random_params(config, rng), random_batch(config, rng, LENGTHS)
    ids = batch["ids"]
    other = rng.integers(0, config["vocab_size"], len(ids)).astype(np.int32)
    batch["baseline"] = np.where(rng.random(len(ids)) < 0.7, other, ids).astype(np.int32)
    batch["along"] = np.array([0.3, 1.0, 0.0, 0.7, 0.5], np.float32)
    batch["weights"] = rng.normal(size=(len(LENGTHS), config["num_labels"])).astype(np.float32)
    return config, params, batch


def attribute(engine, batch, **how):
    """Return logits, scores and gradients."""
    gradients = np.full(len(batch["ids"]) * engine.params["embeddings.word.weight"].shape[1],
                        np.nan, np.float32)
    how = {"precision": engine.precision, **how}
    found = engine.model.attribute(
        *arrays(batch), batch["baseline"], batch["along"], batch["weights"],
        gradients=gradients, **how,
    )
    return *found, gradients.reshape(len(batch["ids"]), -1)


def of_twin(twin, batch):
    """Return the same of the twin."""
    logits = twin.forward(batch)
    twin.backward(batch["weights"])
    d, words = twin.kept["d_words"], twin.params["embeddings.word.weight"]
    return logits, (d * (words[batch["ids"]] - words[batch["baseline"]])).sum(axis=1), d


@each_case
@each_pooling
def test_logits_scores_and_gradients_equal_the_twins(name, pooling):
    config, params, batch = case(name, pooling)
    found, wanted = attribute(Engine(config, params), batch), of_twin(Bert(config, params), batch)
    assert np.abs(wanted[1]).max() > 1e-3
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5 * np.abs(theirs).max())


@each_case
@each_pooling
def test_finite_differences_confirm_the_twin(name, pooling):
    config, params, batch = case(name, pooling)
    twin = Bert(config, params)
    _, scores, _ = of_twin(twin, batch)
    sequence = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    places = batch["along"].astype(np.float64)[sequence]
    for token in [0, 5, 7, 9, 20, 49, 51]:
        outputs = []
        for step in (1e-5, -1e-5):
            moved = places.copy()
            moved[token] += step
            logits = twin.forward(batch | {"along": moved})
            outputs.append((logits * batch["weights"]).sum())
        assert (outputs[0] - outputs[1]) / 2e-5 == pytest.approx(scores[token], rel=1e-5, abs=1e-7)


@each_case
def test_the_ends_of_the_line_are_the_text_and_the_baseline(name):
    config, params, batch = case(name)
    engine = Engine(config, params)
    at = {}
    for end in (0.0, 1.0):
        batch["along"] = np.full(len(LENGTHS), end, np.float32)
        at[end] = attribute(engine, batch)[0]
    np.testing.assert_allclose(at[1.0], engine.score(batch), rtol=1e-5, atol=1e-5)
    if "positions_skip_padding" not in config:  # positions stay those of the text
        other = batch | {"ids": batch["baseline"]}
        np.testing.assert_allclose(at[0.0], engine.score(other), rtol=1e-5, atol=1e-5)


@each_case
@each_pooling
@pytest.mark.parametrize("precision", [p for p in _core.precisions() if p != "int8"])
def test_bits_depend_neither_on_threads_nor_on_chunks(name, pooling, precision):
    config, params, batch = case(name, pooling)
    engine = Engine(config, params, precision=precision)
    wanted = attribute(engine, batch)
    for how in (
        {"n_threads": 2}, {"n_threads": 2, "chunk_tokens": 1}, {"n_threads": 3, "chunk_tokens": 20}
    ):
        for ours, theirs in zip(attribute(engine, batch, **how), wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_batch_of_many_chunks_equals_its_parts():
    config, params, _ = case()
    engine, rng = Engine(config, params), np.random.default_rng(1)
    batch = random_batch(config, rng, [40] * 60)
    batch["baseline"] = np.full(len(batch["ids"]), 4, np.int32)
    batch["along"] = rng.random(60).astype(np.float32)
    batch["weights"] = np.ones((60, 3), np.float32)
    logits, scores, _ = attribute(engine, batch, n_threads=2)
    cu = batch["cu_seqlens"]
    for row in (0, 11, 12, 13, 59):
        part = {
            name: None if batch[name] is None else batch[name][cu[row]: cu[row + 1]]
            for name in ("ids", "types", "positions", "baseline")
        }
        part |= {name: batch[name][row: row + 1] for name in ("along", "weights")}
        part["cu_seqlens"] = np.array([0, 40], np.int64)
        own = attribute(engine, part)
        np.testing.assert_array_equal(own[0][0], logits[row])
        np.testing.assert_array_equal(own[1], scores[cu[row]: cu[row + 1]])


@pytest.mark.skipif("bfloat16" not in _core.precisions(), reason="these kernels have no bfloat16")
@each_pooling
def test_bfloat16_is_as_near_as_its_rounding(pooling):
    config, params, batch = case(pooling=pooling)
    rounding = of_twin(BFloat16Bert(config, params), batch)
    plain = of_twin(Bert(config, params), batch)
    found = attribute(Engine(config, params, precision="bfloat16"), batch)
    for ours, rounded, exact in zip(found, rounding, plain, strict=True):
        size = np.abs(exact).max()
        assert np.abs(ours - rounded).max() < 0.1 * size
        assert np.abs(ours - exact).max() < 0.1 * size


def test_parameters_and_their_gradients_are_left_alone():
    config, params, batch = case("mpnet")
    engine = Engine(config, params)
    before = engine.flat.copy()
    attribute(engine, batch)
    np.testing.assert_array_equal(engine.flat, before)
    labels = batch | {"weights": None}
    wanted = Engine(config, params).loss_and_gradients(labels)
    found = engine.loss_and_gradients(labels)
    np.testing.assert_array_equal(
        found[2]["embeddings.relative_bias.weight"], wanted[2]["embeddings.relative_bias.weight"]
    )


@pytest.mark.parametrize(("change", "error", "message"), [
    ({"baseline": np.full(52, 60, np.int32)}, IndexError,
     "sequence 0, token 0: baseline 60 is out of range, expected 0 to 59"),
    ({"baseline": np.full(52, -1, np.int32)}, IndexError, "baseline -1 is out of range"),
    ({"baseline": np.zeros(51, np.int32)}, ValueError, "baseline: expected 52 items, got 51"),
    ({"baseline": np.zeros(52, np.int64)}, TypeError, "baseline: expected a contiguous 1-D array"),
    ({"along": np.full(5, 1.5, np.float32)}, ValueError,
     "sequence 0: expected a place on the line from 0 to 1, got 1.5"),
    ({"along": np.full(5, np.nan, np.float32)}, ValueError, "from 0 to 1, got "),
    ({"along": np.full(4, 0.5, np.float32)}, ValueError, "along: expected 5 items, got 4"),
    ({"weights": np.zeros((5, 2), np.float32)}, ValueError, "weights: expected shape"),
])
def test_wrong_arguments_are_refused(change, error, message):
    config, params, batch = case()
    with pytest.raises(error, match=message):
        attribute(Engine(config, params), batch | change)


def test_wrong_models_precisions_and_buffers_are_refused():
    config, params, batch = case()
    engine = Engine(config, params)
    with pytest.raises(ValueError, match="precision 'int8' is for scoring"):
        attribute(engine, batch, precision="int8")
    with pytest.raises(ValueError, match="gradients: expected 1248 items, got 3"):
        engine.model.attribute(
            *arrays(batch), batch["baseline"], batch["along"], batch["weights"],
            gradients=np.zeros(3, np.float32),
        )
    masked = engine_config(head="masked_lm", num_labels=3)
    other = Engine(masked, random_params(masked, np.random.default_rng(0)))
    with pytest.raises(ValueError, match="it has no classifier"):
        attribute(other, batch)


@pytest.mark.parametrize(("name", "message"), [
    ("head.output.bias", "the logits are not finite"),
    ("embeddings.word.weight", "the .* are not finite"),
])
def test_values_that_are_not_finite_are_an_error(name, message):
    config, params, batch = case()
    params = {**params, name: np.full_like(params[name], np.inf)}
    with pytest.raises(FloatingPointError, match=message):
        attribute(Engine(config, params), batch)


def test_scores_that_are_not_finite_are_an_error():
    config, params, batch = case()
    batch["weights"] = np.full_like(batch["weights"], 3e38)
    with pytest.raises(FloatingPointError, match="the scores are not finite"):
        attribute(Engine(config, params), batch)
