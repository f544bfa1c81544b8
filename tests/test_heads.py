"""Heads of every kind, and models without token types: the engine against its twin."""

import re

import numpy as np
import pytest
import reference
from cases import Engine, arrays, assert_gradients_agree, engine_config, random_batch, random_params
from reference import HEADS, Bert
from test_gradients import NO_DROPOUT, RATES

from bertsent import _core

each_head = pytest.mark.parametrize("head", HEADS)
each_pooling = pytest.mark.parametrize("pooling", ["cls", "mean"])
each_mode = pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
LENGTHS = [7, 1, 12, 30]


def _case(dropout=False, seed=0, **changes):
    config = engine_config(**changes, **(RATES if dropout else NO_DROPOUT))
    rng = np.random.default_rng(seed)
    return config, random_params(config, rng), random_batch(config, rng, LENGTHS, weights=True)


def _grads(engine, fill=0.0):
    return np.full(engine.table[0], fill, np.float32)


def _stored(engine, batch, freeze):
    """Return the input of the first trained layer, or the head, and where each sequence begins."""
    layers, hidden = engine.config["num_hidden_layers"], engine.config["hidden_size"]
    lengths = np.diff(batch["cu_seqlens"]) if freeze < layers else np.ones(len(LENGTHS), int)
    rows = np.empty(int(lengths.sum()) * hidden, np.float32)
    engine.model.frozen_rows(*arrays(batch), freeze, rows)
    return rows, np.concatenate([[0], np.cumsum(lengths)])[:-1].astype(np.int64)


def test_the_engine_has_the_heads_of_the_twin():
    with pytest.raises(ValueError, match="head is 'x', expected ") as refused:
        _core.parameter_table(engine_config(head="x"))
    assert re.findall(r"'(\w+)'", str(refused.value))[1:] == [*HEADS, "vectors", "masked_lm"]


@each_head
def test_the_parameter_table_has_what_the_head_needs(head):
    config, params, _ = _case(head=head)
    total, entries = _core.parameter_table(config)
    assert {name: tuple(shape) for name, shape, *_ in entries} == {
        name: value.shape for name, value in params.items()
    }
    own = [name for name, _, _, layer, _ in entries if layer == config["num_hidden_layers"]]
    dense = ["head.dense.weight", "head.dense.bias"] if HEADS[head][1] else []
    assert own == [*dense, "head.output.weight", "head.output.bias"]
    first = next(offset for name, _, offset, *_ in entries if name == own[0])
    assert _core.trained_from(config, config["num_hidden_layers"]) == first < total


@each_mode
@each_pooling
@each_head
def test_loss_logits_and_gradients_equal_the_twins(head, pooling, dropout):
    config, params, batch = _case(dropout, head=head, pooling=pooling)
    settings = {"training": dropout, "seed": 2**40 + 17, "step": 5}
    expected_loss, expected_logits, expected = Bert(config, params).loss_and_gradients(
        batch, **settings
    )
    engine = Engine(config, params)
    loss, logits, grads = engine.loss_and_gradients(batch, **settings)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_gradients_agree(grads, expected, rel=2e-5)
    if not dropout:
        np.testing.assert_allclose(engine.score(batch), expected_logits, rtol=1e-5, atol=1e-5)


@each_head
def test_every_gradient_of_the_twin_agrees_with_finite_differences(head):
    config, params, batch = _case(True, head=head, pad_token_id=-1)
    settings = {"training": True, "seed": 11, "step": 3}
    twin = Bert(config, params)
    _, _, grads = twin.loss_and_gradients(batch, **settings)
    scale = reference.gradient_norm(grads)
    rng = np.random.default_rng(1)
    for name, start in list(twin.params.items()):
        direction = rng.normal(0.0, 1.0, start.shape)
        losses = []
        for sign in (1, -1):
            twin.params[name] = start + sign * 1e-5 * direction
            logits = twin.forward(batch, **settings)
            losses.append(reference.cross_entropy(logits, batch["labels"], batch["weights"])[0])
        twin.params[name] = start
        slope = (losses[0] - losses[1]) / 2e-5
        assert abs(slope - (grads[name] * direction).sum()) <= 1e-6 * scale, name


@each_mode
@each_head
def test_a_head_alone_is_trained_from_stored_rows(head, dropout):
    config, params, batch = _case(dropout, head=head)
    engine = Engine(config, params)
    settings = {"freeze": 2, "training": dropout, "seed": 3, "step": 1, "freeze_dropout": True}
    labelled = (*arrays(batch), batch["keys"], batch["labels"], batch["weights"])
    from_ids, from_rows = _grads(engine), _grads(engine)
    loss, logits = engine.model.forward_backward(*labelled, from_ids, **settings)
    found = engine.model.forward_backward(
        *labelled, from_rows, stored=_stored(engine, batch, 2), **settings
    )
    assert found[0] == loss
    np.testing.assert_array_equal(found[1], logits)
    np.testing.assert_array_equal(from_rows, from_ids)
    first = _core.trained_from(config, 2)
    assert from_ids[first:].any() and not from_ids[:first].any()


@each_head
def test_dropout_of_a_head_draws_the_same_bits_in_any_company(head):
    config, params, batch = _case(True, head=head)
    engine = Engine(config, params)
    settings = {"training": True, "seed": 9, "step": 4}
    whole = engine.loss_and_gradients(batch, **settings)[1]
    parts = engine.loss_and_gradients(batch, micro_batch_tokens=1, **settings)[1]
    np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
    other = engine.loss_and_gradients(batch, **(settings | {"step": 5}))[1]
    assert np.abs(other - whole).max() > 0.01


def test_input_and_output_of_the_dense_layer_are_dropped_apart():
    masks = [
        reference.dropout_words(reference.sequence_key(1, 2, 3), 2, site, 0, 0, np.arange(64))
        for site in (reference.HEAD_OUTPUT, reference.HEAD_DENSE)
    ]
    assert (masks[0] != masks[1]).mean() > 0.9


# --- without token types -----------------------------------------------------------------------


@each_mode
@each_pooling
def test_a_model_without_token_types_equals_its_twin(pooling, dropout):
    config, params, batch = _case(dropout, type_vocab_size=0, pooling=pooling)
    assert "embeddings.token_type.weight" not in params and batch["types"] is None
    settings = {"training": dropout, "seed": 6, "step": 1}
    expected = Bert(config, params).loss_and_gradients(batch, **settings)
    loss, logits, grads = Engine(config, params).loss_and_gradients(batch, **settings)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(expected[0], rel=1e-5)
    assert_gradients_agree(grads, expected[2], rel=2e-5)


def test_it_equals_one_whose_token_types_are_zeros():
    config, params, batch = _case(type_vocab_size=0)
    zeros = {"embeddings.token_type.weight": np.zeros((1, config["hidden_size"]), np.float32)}
    other = Engine(config | {"type_vocab_size": 1}, params | zeros)
    engine = Engine(config, params)
    np.testing.assert_array_equal(engine.score(batch), other.score(batch))
    batch["types"] = np.zeros(len(batch["ids"]), np.int32)
    np.testing.assert_array_equal(engine.score(batch), other.score(batch))
    assert _core.parameter_table(config)[0] < other.table[0]


def test_token_types_are_refused_by_a_model_without():
    config, params, batch = _case(type_vocab_size=0)
    batch["types"] = np.zeros(len(batch["ids"]), np.int32)
    batch["types"][9] = 1
    message = "sequence 2, token 1: token type 1 is out of range, expected 0 to 0"
    with pytest.raises(IndexError, match=message):
        Engine(config, params).score(batch)


def test_masked_tokens_are_predicted_without_token_types():
    config = engine_config(type_vocab_size=0, head="masked_lm", **NO_DROPOUT)
    rng = np.random.default_rng(0)
    engine = Engine(config, random_params(config, rng))
    batch = random_batch(config, rng, LENGTHS)
    tokens = np.arange(0, 50, 3)
    loss, _ = engine.model.mlm_loss(
        *arrays(batch), batch["keys"], tokens, batch["ids"][tokens], _grads(engine)
    )
    assert np.isfinite(loss)


# --- what is trained ---------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"head": "plain"}, {"head": "masked_lm"},
                                     {"type_vocab_size": 0}])
def test_trained_from_is_where_the_first_trained_tensor_begins(changes):
    config = engine_config(num_hidden_layers=3, **changes)
    _, entries = _core.parameter_table(config)
    for freeze in range(4):
        trained = [entry for entry in entries if freeze == 0 or entry[3] >= freeze]
        assert _core.trained_from(config, freeze) == min(offset for _, _, offset, *_ in trained)
    for freeze in (-1, 4):
        with pytest.raises(ValueError, match=f"freeze is {freeze}, expected 0 to 3"):
            _core.trained_from(config, freeze)
