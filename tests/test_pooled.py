"""Pooled vectors: the input of the head, in every precision and on any number of threads."""

import numpy as np
import pytest
import reference
from cases import Engine, arrays, engine_config, random_batch, random_params, role_of
from conftest import write_tiny_model
from test_precision import _twin

from bertsent import BertForSequenceClassification, _core
from bertsent.model import encode_texts, normalize, open_encoder, pool_pieces, score_pieces
from bertsent.texts import Reader

LENGTHS = [3, 40, 17, 2, 9, 33, 1, 25]


def case(pooling="cls", **changes):
    config = engine_config(hidden_size=48, num_attention_heads=4, pooling=pooling, **changes)
    rng = np.random.default_rng(0)
    return config, random_params(config, rng), random_batch(config, rng, LENGTHS)


def pooled(engine, batch, **how):
    """Return logits and vectors."""
    vectors = np.full((len(LENGTHS), engine.config["hidden_size"]), np.nan, np.float32)
    how = {"precision": engine.precision, **how}
    return engine.model.score(*arrays(batch), pooled=vectors.reshape(-1), **how), vectors


def of_twin(twin, batch):
    twin.forward(batch)
    return twin.kept["head"]["x"]


@pytest.mark.parametrize("head", ["pooled", "plain", "dropout_dense_tanh"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_they_are_those_of_the_twin(pooling, head):
    config, params, batch = case(pooling, head=head)
    wanted = of_twin(reference.Bert(config, params), batch)
    assert np.abs(wanted).max() > 0.5
    _, found = pooled(Engine(config, params), batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("precision", [p for p in _core.precisions() if p != "float32"])
def test_reduced_precision_rounds_what_the_twin_rounds(pooling, precision):
    config, params, batch = case(pooling)
    wanted = of_twin(_twin(precision, config, params), batch)
    _, found = pooled(Engine(config, params, precision=precision), batch)
    exact = of_twin(reference.Bert(config, params), batch)
    # Where no element of a sequence is close to a tie, only the rounding of float32 remains.
    apart, rounding = (np.abs(x - wanted).max(axis=1) for x in (found, exact))
    assert np.median(apart) < 1e-5 < 1e-3 < np.median(rounding)
    assert apart.max() < rounding.max()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("precision", _core.precisions())
def test_bits_depend_neither_on_threads_nor_on_the_logits_alone(pooling, precision):
    config, params, batch = case(pooling)
    engine = Engine(config, params, precision=precision)
    logits, vectors = pooled(engine, batch)
    np.testing.assert_array_equal(engine.score(batch), logits)
    for how in ({"n_threads": 2}, {"n_threads": 3}, {"n_threads": 2, "chunk_tokens": 20}):
        for found, wanted in zip(pooled(engine, batch, **how), (logits, vectors), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_values_that_are_not_finite_are_an_error():
    config, params, batch = case()
    params = {**params, "layer.1.feed_forward.norm.bias": np.full(48, np.inf, np.float32)}
    # The tanh of an infinite sum is finite, and so are the logits.
    params["head.dense.weight"] = np.eye(48, dtype=np.float32)
    params["head.dense.weight"][params["head.dense.weight"] == 0] = 1e-30
    engine = Engine(config, params)
    assert np.isfinite(engine.score(batch)).all()
    with pytest.raises(FloatingPointError, match="pooled values of sequence 0 are not finite"):
        pooled(engine, batch)


@pytest.mark.parametrize(("array", "error", "message"), [
    (np.empty(8 * 48 - 1, np.float32), ValueError, "pooled: expected 384"),
    (np.empty(8 * 48, np.float64), TypeError, "pooled: expected"),
    ([0.0] * 8 * 48, TypeError, "pooled: expected"),
], ids=["size", "type", "list"])
def test_arrays_that_are_refused(array, error, message):
    config, params, batch = case()
    with pytest.raises(error, match=message):
        Engine(config, params).model.score(*arrays(batch), pooled=array)


# --- the model ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = write_tiny_model(tmp_path_factory.mktemp("pooled") / "tiny", classifier=3)
    return BertForSequenceClassification.from_pretrained(directory, n_threads=1)


def packed(seed=0, n=12):
    rng = np.random.default_rng(seed)
    offsets = np.cumsum([0, *rng.integers(2, 30, n)])
    return rng.integers(5, 90, offsets[-1]).astype(np.int32), offsets


def test_another_pooling_is_a_copy_with_the_same_weights(model):
    ids, offsets = packed()
    assert model.with_pooling("cls") is model
    mean = model.with_pooling("mean")
    assert mean.with_pooling("mean") is mean and mean is not model
    twin = reference.Bert(mean._engine, {role_of(n): v for n, v in mean.parameters.items()})
    wanted = of_twin(twin, {"ids": ids, "cu_seqlens": offsets})
    logits, vectors = mean.pool_packed(ids, offsets)
    np.testing.assert_allclose(vectors, wanted, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(logits, mean.score_packed(ids, offsets))
    assert np.abs(vectors - model.pool_packed(ids, offsets)[1]).max() > 0.1
    with model.edit_parameters() as parameters:
        before = parameters["classifier.bias"].copy()
        parameters["classifier.bias"][:] += 1.0
    np.testing.assert_array_equal(mean.pool_packed(ids, offsets)[0], logits)
    with model.edit_parameters() as parameters:
        parameters["classifier.bias"][:] = before


def test_unknown_pooling_is_refused(model):
    with pytest.raises(ValueError, match="pooling must be 'cls' or 'mean', got 'max'"):
        model.with_pooling("max")


@pytest.mark.parametrize(("ids", "offsets"), [([], [0]), ([], []), ([5, 6], [0])])
def test_no_texts_and_wrong_offsets(model, ids, offsets):
    ids, offsets = np.array(ids, np.int32), np.array(offsets, np.int64)
    if len(ids) or not len(offsets):
        with pytest.raises(ValueError, match="the batch is empty|cu_seqlens"):
            model.pool_packed(ids, offsets)
    else:
        logits, vectors = model.pool_packed(ids, offsets)
        assert logits.shape == (0, 3) and vectors.shape == (0, 32)


@pytest.mark.parametrize("limit", [None, "760KB"])
def test_pieces_are_scored_as_without_vectors(model, limit, monkeypatch):
    monkeypatch.setattr("bertsent.model.scoring.PIECE_TOKENS", 40)
    ids, offsets = packed()
    parts = []
    how = {"precision": "float32", "memory_limit": limit}
    logits, vectors = pool_pieces(model, ids, offsets, 1, parts.append, **how)
    assert len(parts) > 3 and parts[-1] == 1.0
    np.testing.assert_array_equal(logits, score_pieces(model, ids, offsets, 1, **how))
    np.testing.assert_allclose(vectors, model.pool_packed(ids, offsets)[1], rtol=1e-5, atol=1e-6)


def test_normalize():
    vectors = np.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]], np.float32)
    found = normalize(vectors)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.6, 0.8], [0, 0], [1, 0]], np.float32))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_vectors_of_texts(tmp_path, pooling):
    model, tokenizer = open_encoder(write_tiny_model(tmp_path / "tiny"), pooling)
    texts = ["good film", "the actor and the end of the film", "good"]
    found = encode_texts(model, tokenizer, texts, Reader(6, "windows"), 1)
    tokens = tokenizer.encode_batch(texts[:1])
    np.testing.assert_array_equal(found[:1], model.pool_packed(tokens.ids, tokens.offsets)[1])
    # 8 tokens in two windows of 4 each.
    halves = tokenizer.encode_batch(["the actor and the", "end of the film"])
    vectors = model.pool_packed(halves.ids, halves.offsets)[1]
    np.testing.assert_allclose(found[1], vectors.mean(axis=0), rtol=1e-5, atol=1e-6)
    again = open_encoder(tmp_path / "tiny", pooling)[0]
    np.testing.assert_array_equal(again._flat, model._flat)
