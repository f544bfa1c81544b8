"""Passes that begin with stored output of frozen layers: the same bits as whole passes."""

import numpy as np
import pytest
from cases import (
    Engine,
    arrays,
    assert_gradients_agree,
    engine_config,
    random_batch,
    random_params,
    unflatten,
)

from bertsent import _core
from bertsent.training.frozen import to_bfloat16

TRAINING = [name for name in _core.precisions() if name != "int8"]
LENGTHS = [20, 7, 33, 1, 40, 12]
LAYERS, HIDDEN = 3, 48
HOW = {"training": True, "freeze_dropout": True, "seed": 2**40 + 5, "step": 3}
RATES = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.4}


def case(seed=0, **changes):
    config = engine_config(
        num_hidden_layers=LAYERS, hidden_size=HIDDEN, **(RATES | changes)
    )
    rng = np.random.default_rng(seed)
    return config, random_params(config, rng), random_batch(config, rng, LENGTHS, weights=True)


def stored_rows(engine, batch, freeze, tokens=0, n_threads=1):
    """Output of the frozen layers for a batch, and where each sequence begins in it."""
    offsets = batch["cu_seqlens"]
    count = len(batch["ids"]) if freeze < LAYERS else len(LENGTHS)
    rows = np.full(count * HIDDEN, np.nan, np.float32)
    engine.model.frozen_rows(
        *arrays(batch), freeze, rows, n_threads=n_threads, micro_batch_tokens=tokens,
        precision=engine.precision,
    )
    return rows, offsets[:-1].copy() if freeze < LAYERS else np.arange(len(LENGTHS))


def from_rows(engine, batch, stored, **how):
    grads = np.zeros_like(engine.flat)
    loss, logits = engine.model.forward_backward(
        *arrays(batch), batch["keys"], batch["labels"], batch["weights"], grads, stored=stored,
        precision=engine.precision, **(HOW | how),
    )
    return loss, logits, unflatten(engine.table, grads)


def assert_same_bits(found, expected):
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])
    for name, value in expected[2].items():
        np.testing.assert_array_equal(found[2][name], value, err_msg=name)


@pytest.mark.parametrize("precision", TRAINING)
@pytest.mark.parametrize("tokens", [0, 50, 1])
@pytest.mark.parametrize("freeze", [1, 2, LAYERS])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_loss_and_gradients_are_those_of_whole_passes(pooling, freeze, tokens, precision):
    config, params, batch = case(pooling=pooling)
    engine = Engine(config, params, precision=precision)
    whole = engine.loss_and_gradients(batch, freeze=freeze, micro_batch_tokens=tokens, **HOW)
    stored = stored_rows(engine, batch, freeze, tokens)
    for n_threads in (1, 2, 3):
        again = stored_rows(engine, batch, freeze, tokens, n_threads)
        np.testing.assert_array_equal(again[0], stored[0])
        found = from_rows(
            engine, batch, stored, freeze=freeze, micro_batch_tokens=tokens, n_threads=n_threads
        )
        assert_same_bits(found, whole)


@pytest.mark.parametrize("freeze", [1, LAYERS])
def test_rows_of_other_company_agree_to_the_last_bits(freeze):
    config, params, batch = case()
    engine = Engine(config, params)
    whole = engine.loss_and_gradients(batch, freeze=freeze, **HOW)
    stored = stored_rows(engine, batch, freeze, tokens=1)
    loss, logits, grads = from_rows(engine, batch, stored, freeze=freeze)
    assert loss == pytest.approx(whole[0], rel=1e-6)
    np.testing.assert_allclose(logits, whole[1], rtol=0, atol=1e-5)
    assert_gradients_agree(grads, whole[2], rel=1e-5)


@pytest.mark.parametrize("freeze", [1, 2, LAYERS])
def test_rows_may_lie_anywhere(freeze):
    """Rows of a whole data set, of which a batch takes some sequences in any order."""
    config, params, batch = case()
    engine = Engine(config, params)
    rows, first = stored_rows(engine, batch, freeze)
    counts = np.array(LENGTHS) if freeze < LAYERS else np.ones(len(LENGTHS), int)
    order = np.array([3, 5, 0, 2, 1, 4])
    moved = np.full((rows.size // HIDDEN + 9, HIDDEN), np.nan, np.float32)
    at, moved_first = 4, np.zeros(len(LENGTHS), np.int64)
    for s in order:
        moved[at : at + counts[s]] = rows.reshape(-1, HIDDEN)[first[s] : first[s] + counts[s]]
        moved_first[s] = at
        at += counts[s]
    expected = from_rows(engine, batch, (rows, first), freeze=freeze)
    found = from_rows(engine, batch, (moved.ravel(), moved_first), freeze=freeze)
    assert_same_bits(found, expected)


@pytest.mark.parametrize("tokens", [0, 45, 20])
def test_windows_of_a_text_begin_there_too(tokens):
    config, params, batch = case()
    windows = np.array([0, 1, 4, 6]), np.array([1, 0.5, 0.25, 0.25, 0.6, 0.4], np.float32)
    batch["labels"], batch["weights"] = batch["labels"][:3], batch["weights"][:3]
    how = {"freeze": 2, "micro_batch_tokens": tokens, "windows": windows}
    engine = Engine(config, params)
    stored = stored_rows(engine, batch, 2)
    found = from_rows(engine, batch, stored, **how)
    whole = engine.loss_and_gradients(batch, **how, **HOW)
    assert found[0] == pytest.approx(whole[0], rel=1e-6)
    assert_gradients_agree(found[2], whole[2], rel=1e-5)


@pytest.mark.parametrize("freeze", [2, LAYERS])
def test_bfloat16_is_widened(freeze):
    config, params, batch = case()
    engine = Engine(config, params)
    rows, first = stored_rows(engine, batch, freeze)
    half = to_bfloat16(rows)
    rounded = (half.astype(np.uint32) << 16).view(np.float32)
    assert 0 < np.abs(rounded - rows).max() <= np.abs(rows).max() / 256
    expected = from_rows(engine, batch, (rounded, first), freeze=freeze)
    assert_same_bits(from_rows(engine, batch, (half, first), freeze=freeze), expected)


def test_rounding_is_to_the_nearest_and_then_the_even():
    one = 2.0**-7  # of the last bit that is kept, for numbers from 1 to 2
    values = np.array(
        [1, 1 + one, 1 + 0.49 * one, 1 + 0.51 * one, 1 + 0.5 * one, 1 + 1.5 * one, -1 - 0.51 * one,
         0.0, -0.0, np.inf, -np.inf, 2.0**-140],
        np.float32,
    )
    widened = (to_bfloat16(values).astype(np.uint32) << 16).view(np.float32)
    expected = [1, 1 + one, 1, 1 + one, 1, 1 + 2 * one, -1 - one, 0.0, -0.0, np.inf, -np.inf,
                0.0]
    np.testing.assert_allclose(widened, np.array(expected, np.float32), rtol=0, atol=2.0**-140)
    assert np.array_equal(np.signbit(widened), np.signbit(values))
    every_nan = np.array([0x7FFFFFFF, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan((to_bfloat16(every_nan).astype(np.uint32) << 16).view(np.float32)).all()


@pytest.mark.parametrize("freeze", [1, 2, LAYERS])
def test_what_is_frozen_is_not_computed(freeze):
    """Weights that are not finite would show, and the clock must show no time in these layers."""
    config, params, batch = case()
    engine = Engine(config, params)
    stored = stored_rows(engine, batch, freeze)
    expected = from_rows(engine, batch, stored, freeze=freeze)
    for name, value in engine.params.items():
        layer = name.split(".")[3] if ".layer." in name else None
        if "embeddings" in name or (layer and int(layer) < freeze):
            value[...] = np.nan
    engine.model.touch()
    engine.model.time_stages(True)
    assert_same_bits(from_rows(engine, batch, stored, freeze=freeze), expected)
    stages = {name for name, seconds in engine.model.time_stages(False).items() if seconds > 0}
    assert "stored" in stages and "embeddings" not in stages
    if freeze == LAYERS:
        assert stages - {"pack", "other"} <= {
            "stored", "head", "head_backward", "embeddings_backward",
        }


def test_a_step_begins_there_and_leaves_the_frozen_part():
    config, params, batch = case()
    one, other = Engine(config, params), Engine(config, params)
    results = []
    for engine, stored in ((one, None), (other, stored_rows(other, batch, 2))):
        state = [np.zeros_like(engine.flat) for _ in range(3)]
        for step in range(3):
            results.append(engine.model.train_step(
                *arrays(batch), batch["keys"], batch["labels"], batch["weights"], *state,
                freeze=2, freeze_dropout=True, seed=1, step=step, lr=1e-2, stored=stored,
            ))
    for found, expected in zip(results[3:], results[:3], strict=True):
        assert found[0] == expected[0] and found[2] == expected[2]
    assert np.array_equal(one.flat, other.flat) and not np.array_equal(one.flat, Engine(
        config, params
    ).flat)


@pytest.mark.parametrize("freeze", [1, 2, LAYERS])
def test_memory_is_that_of_the_trained_layers(freeze):
    config, params, batch = case()
    engine = Engine(config, params)
    stored = stored_rows(Engine(config, params), batch, freeze)
    from_rows(engine, batch, stored, freeze=freeze)
    size = engine.model.pass_size(batch["cu_seqlens"], freeze=freeze, stored=True)
    assert engine.model.reserved == size
    assert size < engine.model.pass_size(batch["cu_seqlens"], freeze=freeze)
    nothing = Engine(config, params)
    stored_rows(nothing, batch, freeze)
    assert nothing.model.reserved == nothing.model.pass_size(batch["cu_seqlens"], freeze=LAYERS)


@pytest.mark.parametrize(
    ("change", "how", "message"),
    [
        (lambda rows, first: (rows, first), {"freeze": 0}, "need layers that are frozen"),
        (lambda rows, first: (rows, first), {"freeze_dropout": False}, "need freeze_dropout"),
        (lambda rows, first: (rows, first + 1), {}, "sequence 5: its 12 stored rows begin at 102"),
        (lambda rows, first: (rows, first - 1), {}, "sequence 0: its 20 stored rows begin at -1"),
        (lambda rows, first: (rows[:-1], first), {}, "sequence 5: .* but there are 112 in all"),
        (lambda rows, first: (rows[:0], first), {}, "there are 0 in all"),
        (lambda rows, first: (rows, first[:-1]), {}, "first: expected 6 items, got 5"),
        (lambda rows, first: (rows, first.astype(np.int32)), {}, "first: expected .*int64"),
        (lambda rows, first: (rows.astype(float), first), {}, "stored: expected .*float32"),
        (lambda rows, first: (rows.tolist(), first), {}, "stored: expected .*float32"),
        (lambda rows, first: [rows, first], {}, "stored: expected a tuple"),
        (lambda rows, first: (rows,), {}, "stored: expected a tuple"),
    ],
)
def test_rows_that_cannot_be_are_refused(change, how, message):
    config, params, batch = case()
    engine = Engine(config, params)
    stored = change(*stored_rows(engine, batch, 2))
    with pytest.raises((ValueError, IndexError, TypeError), match=message):
        from_rows(engine, batch, stored, **({"freeze": 2} | how))


def test_without_dropout_none_need_be_left_out():
    config, params, batch = case(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    engine = Engine(config, params)
    stored = stored_rows(engine, batch, 2)
    whole = engine.loss_and_gradients(batch, freeze=2, **(HOW | {"freeze_dropout": False}))
    assert_same_bits(from_rows(engine, batch, stored, freeze=2, freeze_dropout=False), whole)


@pytest.mark.parametrize(
    ("layer", "size", "message"),
    [
        (0, 113 * HIDDEN, "a layer from 1"),
        (-1, 113 * HIDDEN, "freeze is -1"),
        (4, 113 * HIDDEN, "freeze is 4, expected 0 to 3"),
        (1, 112 * HIDDEN, "rows: expected 5424 items, got 5376"),
        (3, 113 * HIDDEN, "rows: expected 288 items"),
    ],
)
def test_rows_that_cannot_be_computed_are_refused(layer, size, message):
    config, params, batch = case()
    with pytest.raises(ValueError, match=message):
        Engine(config, params).model.frozen_rows(
            *arrays(batch), layer, np.zeros(size, np.float32)
        )
