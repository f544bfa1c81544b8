"""The engine's forward and backward against the float64 twin on random models."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
from cases import (
    Engine,
    arrays,
    assert_gradients_agree,
    engine_config,
    random_batch,
    random_params,
    sequence_of,
    unflatten,
)

from bertsent import _core

NO_DROPOUT = dict.fromkeys(
    ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"), 0.0
)

# name: (changes of the configuration, sequence lengths, options of the batch)
CASES = {
    "gelu": ({}, [7, 1, 12, 30], {}),
    "gelu_new": ({"hidden_act": "gelu_new", "layer_norm_eps": 1e-5}, [5, 40], {"holes": True}),
    "relu": ({"hidden_act": "relu"}, [3, 3, 3], {"types": False}),
    "one layer": ({"num_hidden_layers": 1}, [9, 2, 17], {"weights": True}),
    "three layers, one sequence": ({"num_hidden_layers": 3}, [21], {"holes": True}),
    "one token": ({}, [1], {}),
    "no dropout after attention": ({"attention_output_dropout_prob": 0.0}, [7, 1, 12], {}),
    "biases by distance": (
        {"relative_bias": True, "max_position_embeddings": 150}, [150, 1, 47, 2],
        {"weights": True},
    ),
    "biases by distance, means, many blocks": (
        {"relative_bias": True, "max_position_embeddings": 400, "pooling": "mean",
         "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}, [390, 33], {},
    ),
    "narrow embeddings": ({"embedding_size": 10}, [7, 1, 12, 30], {"weights": True}),
    "wide embeddings": ({"embedding_size": 130, "pooling": "mean"}, [30, 40, 2], {}),
    "positions without padding": (
        {"position_offset": 2, "positions_skip_padding": True, "pad_token_id": 1,
         "vocab_size": 9}, [7, 1, 12], {},
    ),
    "one head, odd sizes": (
        {"hidden_size": 33, "num_attention_heads": 1, "intermediate_size": 51, "num_labels": 2},
        [11, 4, 26], {"weights": True, "holes": True},
    ),
    "heads of one": ({"hidden_size": 6, "num_attention_heads": 6, "intermediate_size": 7}, [8, 5],
                     {}),
    "three types, large eps, no padding row": (
        {"type_vocab_size": 3, "layer_norm_eps": 0.1, "pad_token_id": -1, "num_labels": 7},
        [14, 6], {"weights": True},
    ),
    "wide, many rows": (
        {"hidden_size": 144, "num_attention_heads": 2, "intermediate_size": 272,
         "max_position_embeddings": 140},
        [139, 64, 65, 17, 128, 1], {},
    ),
    "means": ({"pooling": "mean"}, [7, 1, 12, 30], {"weights": True, "holes": True}),
    "means, one layer, wide": (
        {"pooling": "mean", "num_hidden_layers": 1, "hidden_size": 144, "num_attention_heads": 2,
         "intermediate_size": 272, "max_position_embeddings": 140},
        [139, 64, 65, 17, 1], {},
    ),
    # More scores than one block of attention holds, and more tokens than one micro-batch.
    "long": (
        {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12,
         "max_position_embeddings": 600},
        [520, 300], {},
    ),
    "many": (
        {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12,
         "num_hidden_layers": 1, "max_position_embeddings": 100},
        [100, 99, 30] * 12, {"weights": True},
    ),
}
CASES |= {
    name: ({"hidden_act": name}, [7, 1, 12, 30], {})
    for name in reference.ACTIVATIONS if name not in CASES
}
RATES = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.4}


def _case(name, dropout, seed=0):
    changes, lengths, options = CASES[name]
    config = engine_config(**changes, **(RATES if dropout else NO_DROPOUT))
    rng = np.random.default_rng(seed)
    params = random_params(config, rng, scale=0.25 if config["hidden_size"] < 100 else 0.08)
    return config, params, random_batch(config, rng, lengths, **options)


@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("name", CASES)
def test_loss_logits_and_gradients_equal_the_twins(name, dropout):
    config, params, batch = _case(name, dropout)
    n_threads = 2 if name == "long" else 1
    settings = {"training": dropout, "seed": 2**40 + 17, "step": 5}
    twin = reference.Bert(config, params)
    engine = Engine(config, params)
    expected_loss, expected_logits, expected = twin.loss_and_gradients(batch, **settings)
    loss, logits, grads = engine.loss_and_gradients(batch, n_threads=n_threads, **settings)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_gradients_agree(grads, expected, rel=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_scores_equal_the_twins(name):
    config, params, batch = _case(name, dropout=True)
    expected = reference.Bert(config, params).forward(batch)
    np.testing.assert_allclose(
        Engine(config, params).score(batch), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("freeze", [1, 2, 3])
def test_freezing_leaves_the_other_gradients_as_they_are(freeze):
    config, params, batch = _case("three layers, one sequence", dropout=True)
    engine = Engine(config, params)
    settings = {"training": True, "seed": 4, "step": 9}
    full = engine.loss_and_gradients(batch, **settings)
    part = engine.loss_and_gradients(batch, freeze=freeze, **settings)
    assert part[0] == full[0]
    np.testing.assert_array_equal(part[1], full[1])
    for name, value in part[2].items():
        if reference.is_frozen(name, freeze):
            assert not value.any(), name
        else:
            np.testing.assert_array_equal(value, full[2][name], err_msg=name)


def test_parameter_table_lists_every_tensor_once_with_layer_and_decay():
    config = engine_config(num_hidden_layers=3)
    params = random_params(config, np.random.default_rng(0))
    total, entries = Engine(config, params).table
    assert {name: tuple(shape) for name, shape, *_ in entries} == {
        name: value.shape for name, value in params.items()
    }
    assert len(entries) == len(params)
    ends = sorted((offset, offset + int(np.prod(shape))) for _, shape, offset, _, _ in entries)
    assert all(end <= begin for (_, end), (begin, _) in zip(ends, ends[1:], strict=False))
    assert ends[-1][1] <= total
    for name, _, _, layer, decay in entries:
        expected = reference.layer_of(name)
        assert layer == (config["num_hidden_layers"] if expected is None else expected), name
        assert decay == reference.takes_decay(name), name


def test_directional_derivative_of_the_whole_model():
    # One directional derivative of everything, from the engine's own losses, without a twin.
    config, params, batch = _case("gelu", dropout=True)
    engine = Engine(config, params)
    settings = {"training": True, "seed": 1, "step": 2}
    _, _, grads = engine.loss_and_gradients(batch, **settings)
    rng = np.random.default_rng(3)
    # Each tensor is perturbed along its gradient, so that the slope is far above rounding.
    direction = {
        name: (g * rng.uniform(0.5, 1.5, g.shape)).astype(np.float32) for name, g in grads.items()
    }
    slope = sum(float((grads[n].astype(np.float64) * direction[n]).sum()) for n in grads)
    length = np.sqrt(sum(float((d.astype(np.float64) ** 2).sum()) for d in direction.values()))
    h = 0.01 / length
    start = {name: value.copy() for name, value in engine.params.items()}
    losses = []
    for sign in (1, -1):
        for name, value in engine.params.items():
            value[...] = start[name] + sign * h * direction[name]
        engine.model.touch()
        losses.append(engine.loss_and_gradients(batch, **settings)[0])
    assert (losses[0] - losses[1]) / (2 * h) == pytest.approx(slope, rel=2e-3)


def test_session_parts_compose_to_forward_backward():
    config, params, batch = _case("one layer", dropout=True)
    engine = Engine(config, params)
    settings = {"training": True, "seed": 6, "step": 3}
    _, expected_logits, expected = engine.loss_and_gradients(batch, **settings)
    session = engine.core.Session(engine.model, 1)
    logits = session.forward(*arrays(batch), batch["keys"], freeze=0, **settings)
    np.testing.assert_array_equal(logits, expected_logits)
    _, d_logits = reference.cross_entropy(logits, batch["labels"], batch["weights"])
    grads = np.zeros(engine.table[0], np.float32)
    session.backward(d_logits.astype(np.float32), grads)
    assert_gradients_agree(unflatten(engine.table, grads), expected, rel=1e-6, of_all=1e-7)


def test_session_takes_any_gradient_at_the_logits_and_adds():
    config, params, batch = _case("gelu_new", dropout=True)
    engine, twin = Engine(config, params), reference.Bert(config, params)
    pull = np.random.default_rng(8).normal(size=(2, 3)).astype(np.float32)
    settings = {"training": True, "seed": 6, "step": 3}
    twin.forward(batch, **settings)
    expected = twin.backward(pull)
    session = engine.core.Session(engine.model, 1)
    grads = np.zeros(engine.table[0], np.float32)
    for _ in range(2):
        session.forward(*arrays(batch), batch["keys"], freeze=0, **settings)
        session.backward(pull, grads)
    doubled = {name: 2 * value for name, value in expected.items()}
    assert_gradients_agree(unflatten(engine.table, grads), doubled, rel=2e-5)


def _optimizer_state(engine):
    return tuple(np.zeros_like(engine.flat) for _ in range(3))


@pytest.mark.parametrize(
    ("name", "freeze"), [("gelu", 0), ("gelu", 1), ("gelu", 2), ("wide, many rows", 1)]
)
def test_train_step_is_gradient_clip_and_adamw(name, freeze):
    config, params, batch = _case(name, dropout=True)
    engine, twin = Engine(config, params), reference.Bert(config, params)
    adam = reference.AdamW(twin.params, weight_decay=0.1)
    grads, mean, square = _optimizer_state(engine)
    max_norm, lr = 0.3, 0.01 if name == "gelu" else 0.001
    history = []
    for step in range(3):
        loss, logits, norm = engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], None, grads, mean, square,
            freeze=freeze, seed=5, step=step, lr=lr, weight_decay=0.1, max_grad_norm=max_norm,
            n_threads=1,
        )
        expected_loss, expected_logits, expected = twin.loss_and_gradients(
            batch, freeze=freeze, training=True, seed=5, step=step
        )
        assert loss == pytest.approx(expected_loss, abs=2e-4)
        np.testing.assert_allclose(logits, expected_logits, atol=2e-3)
        history.append(expected)
        expected_norm = adam.apply(expected, lr, max_norm=max_norm, freeze=freeze)
        assert norm == pytest.approx(expected_norm, rel=1e-3)
        assert norm > max_norm
    for name, value in engine.params.items():
        if reference.is_frozen(name, freeze):
            np.testing.assert_array_equal(value, params[name], err_msg=name)
        elif not name.endswith("attention.key.bias"):
            change = np.linalg.norm(twin.params[name] - params[name])
            error = np.abs(value - twin.params[name])
            assert np.linalg.norm(error) <= 0.01 * change, name
            # Element by element where the gradient is not near zero, since AdamW divides by it.
            least = min(np.abs(g[name]).max() for g in history) * 1e-3
            solid = np.all([np.abs(g[name]) > least for g in history], axis=0)
            assert (error[solid] <= 0.05 * lr).all(), name


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("freeze", [0, 1, 2, 3])
def test_no_dropout_in_what_is_frozen(freeze, pooling):
    config, params, batch = _case("three layers, one sequence", dropout=True)
    config["pooling"] = pooling
    settings = {"training": True, "seed": 3, "step": 5, "freeze": freeze}
    engine = Engine(config, params)
    loss, logits, grads = engine.loss_and_gradients(batch, freeze_dropout=True, **settings)
    expected_loss, expected_logits, expected = reference.Bert(config, params).loss_and_gradients(
        batch, freeze_dropout=True, **settings
    )
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-5, atol=1e-5)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_gradients_agree(grads, expected, rel=2e-5)
    usual = engine.loss_and_gradients(batch, **settings)[1]
    # If nothing is frozen, freeze_dropout has no effect.
    assert np.array_equal(usual, logits) == (freeze == 0)


def test_pooling_of_another_name_is_refused():
    config, params, _ = _case("gelu", dropout=False)
    with pytest.raises(ValueError, match="pooling is 'max', expected 'cls' or 'mean'"):
        Engine(config | {"pooling": "max"}, params)


def test_mean_of_one_token_is_that_token():
    config, params, batch = _case("one token", dropout=True)
    settings = {"training": True, "seed": 3, "step": 5}
    one, other = (
        Engine(config | {"pooling": pooling}, params).loss_and_gradients(batch, **settings)
        for pooling in ("cls", "mean")
    )
    np.testing.assert_allclose(one[1], other[1], rtol=1e-6)
    assert_gradients_agree(other[2], one[2], rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.9])
@pytest.mark.parametrize("name", ["gelu", "one layer", "one token", "many"])
def test_label_smoothing_equals_the_twins(name, smoothing):
    config, params, batch = _case(name, dropout=True)
    settings = {"training": True, "seed": 3, "step": 5, "label_smoothing": smoothing}
    expected_loss, _, expected = reference.Bert(config, params).loss_and_gradients(
        batch, **settings
    )
    engine = Engine(config, params)
    loss, _, grads = engine.loss_and_gradients(batch, **settings)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert_gradients_agree(grads, expected, rel=2e-5)
    assert abs(loss - engine.loss_and_gradients(batch, **settings | {"label_smoothing": 0})[0]) > (
        0.01 * loss
    )


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, np.nan])
def test_label_smoothing_out_of_range_is_refused(smoothing):
    config, params, batch = _case("gelu", dropout=False)
    with pytest.raises(ValueError, match="label_smoothing"):
        Engine(config, params).loss_and_gradients(batch, label_smoothing=smoothing)


@pytest.mark.parametrize(
    ("name", "freeze"),
    [("three layers, one sequence", 0), ("three layers, one sequence", 2), ("wide, many rows", 0)],
)
def test_every_group_has_its_own_learning_rate(name, freeze):
    config, params, batch = _case(name, dropout=True)
    engine, twin = Engine(config, params), reference.Bert(config, params)
    adam = reference.AdamW(twin.params, weight_decay=0.1)
    rates = np.linspace(0.25, 3.0, config["num_hidden_layers"] + 2).astype(np.float32)
    state = _optimizer_state(engine)
    for step in range(2):
        engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], None, *state, freeze=freeze, seed=5,
            step=step, lr=1e-3, weight_decay=0.1, max_grad_norm=0.3, rates=rates,
            label_smoothing=0.2,
        )
        _, _, expected = twin.loss_and_gradients(
            batch, freeze=freeze, training=True, seed=5, step=step, label_smoothing=0.2
        )
        adam.apply(expected, 1e-3, max_norm=0.3, freeze=freeze, rates=rates)
    for name, value in engine.params.items():
        if reference.is_frozen(name, freeze):
            np.testing.assert_array_equal(value, params[name], err_msg=name)
        elif not name.endswith("attention.key.bias"):
            change = np.linalg.norm(twin.params[name] - params[name])
            assert np.linalg.norm(value - twin.params[name]) <= 0.01 * change, name


def test_rates_of_one_change_no_bit_and_rates_of_zero_nothing():
    config, params, batch = _case("gelu", dropout=True)
    flats = []
    for rates in (None, np.ones(4, np.float32), np.zeros(4, np.float32)):
        engine = Engine(config, params)
        engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], None, *_optimizer_state(engine),
            seed=5, step=0, lr=1e-3, weight_decay=0.1, rates=rates,
        )
        flats.append(engine.flat.copy())
    np.testing.assert_array_equal(flats[0], flats[1])
    np.testing.assert_array_equal(flats[2], Engine(config, params).flat)
    for wrong in (np.ones(3, np.float32), np.array([1, 1, -1, 1], np.float32), np.ones(4)):
        with pytest.raises((ValueError, TypeError), match="rates"):
            engine.model.apply(*_optimizer_state(engine), lr=1e-3, rates=wrong)


@pytest.mark.parametrize("freeze", [0, 1])
def test_forward_backward_then_apply_is_train_step(freeze):
    config, params, batch = _case("one layer", dropout=True)
    together, apart = Engine(config, params), Engine(config, params)
    state, other = _optimizer_state(together), _optimizer_state(apart)
    rates = np.array([0.5, 1.0, 2.0], np.float32)
    options = {
        "lr": 0.01, "weight_decay": 0.1, "max_grad_norm": 0.5, "n_threads": 1, "rates": rates,
    }
    for step in range(3):
        labelled = (*arrays(batch), batch["keys"], batch["labels"], batch["weights"])
        settings = {"freeze": freeze, "seed": 5, "step": step}
        loss, logits, norm = together.model.train_step(*labelled, *state, **settings, **options)
        found = apart.model.forward_backward(*labelled, other[0], training=True, **settings)
        assert found[0] == loss
        np.testing.assert_array_equal(found[1], logits)
        assert apart.model.apply(*other, freeze=freeze, step=step, **options) == norm
    np.testing.assert_array_equal(apart.flat, together.flat)


def test_weight_zero_takes_a_sequence_out():
    config, params, batch = _case("gelu", dropout=True)
    engine = Engine(config, params)
    settings = {"training": True, "seed": 5, "step": 2}
    batch["weights"] = np.array([1, 0, 0.5, 2], np.float32)
    with_it = engine.loss_and_gradients(batch, **settings)
    without = engine.loss_and_gradients(sequence_of(batch, [0, 2, 3]), **settings)
    assert with_it[0] == pytest.approx(without[0], rel=1e-6)
    assert_gradients_agree(with_it[2], without[2], rel=1e-6, of_all=1e-7)


def test_batch_without_any_weight_changes_nothing():
    config, params, batch = _case("gelu", dropout=True)
    engine = Engine(config, params)
    state = _optimizer_state(engine)
    loss, _, _ = engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], np.zeros(4, np.float32), *state, step=0,
        lr=0.1, weight_decay=0.1,
    )
    assert loss == 0
    np.testing.assert_array_equal(engine.flat, Engine(config, params).flat)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_weights_are_refused(weight):
    config, params, batch = _case("gelu", dropout=False)
    batch["weights"] = np.array([1, 1, weight, 1], np.float32)
    with pytest.raises(ValueError, match=r"\b2\b"):
        Engine(config, params).loss_and_gradients(batch)


def test_session_refuses_calls_out_of_order():
    config, params, batch = _case("gelu", dropout=True)
    engine = Engine(config, params)
    session = engine.core.Session(engine.model, 1)
    pull, grads = np.zeros((4, 3), np.float32), np.zeros_like(engine.flat)
    with pytest.raises(RuntimeError):
        session.backward(pull, grads)
    session.forward(*arrays(batch), batch["keys"])
    with pytest.raises(ValueError):
        session.backward(pull[:3], grads)
    with pytest.raises(ValueError):
        session.backward(pull, grads[:-1])
    session.backward(pull, grads)
    with pytest.raises(RuntimeError):
        session.backward(pull, grads)
    session.forward(*arrays(batch), batch["keys"])
    engine.model.touch()
    with pytest.raises(RuntimeError):
        session.backward(pull, grads)


def test_step_that_is_not_finite_changes_nothing():
    config, params, batch = _case("gelu", dropout=False)
    params["head.output.bias"][0] = np.nan
    engine = Engine(config, params)
    before = engine.flat.copy()
    grads, mean, square = (np.zeros_like(engine.flat) for _ in range(3))
    with pytest.raises(FloatingPointError):
        engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], None, grads, mean, square, freeze=0,
            seed=0, step=0, lr=0.01, weight_decay=0.1, max_grad_norm=1.0, n_threads=1,
        )
    np.testing.assert_array_equal(engine.flat, before)
    assert not mean.any()
    assert not square.any()


@pytest.mark.parametrize(
    ("part", "at", "value"),
    [
        ("ids", 4, 60), ("ids", 4, -1), ("types", 4, 2), ("positions", 4, 40),
        ("labels", 1, 3), ("labels", 1, -1),
    ],
)
def test_numbers_out_of_range_are_refused(part, at, value):
    config, params, _ = _case("gelu", dropout=False)
    batch = random_batch(config, np.random.default_rng(1), [3, 4], holes=True)
    engine = Engine(config, params)
    batch[part][at] = value
    with pytest.raises((IndexError, ValueError), match=r"\b1\b"):
        engine.loss_and_gradients(batch)


@pytest.mark.parametrize("cu", [[0, 3, 3, 7], [0, 5, 3, 7], [0, 3, 6], [0, 3, 9], [1, 3, 7], [0]])
def test_offsets_that_do_not_fit_are_refused(cu):
    config, params, _ = _case("gelu", dropout=False)
    batch = random_batch(config, np.random.default_rng(1), [3, 2, 2])
    engine = Engine(config, params)
    batch["cu_seqlens"] = np.array(cu, np.int64)
    with pytest.raises((IndexError, ValueError)):
        engine.score(batch)


def test_sequence_longer_than_the_positions_is_refused():
    config, params, _ = _case("gelu", dropout=False)
    batch = random_batch(config, np.random.default_rng(1), [3, 41])
    with pytest.raises(ValueError, match="40"):
        Engine(config, params).score(batch)


def _in_new_process(directory, *arguments, isa):
    """Run Python in a new process, because the instruction set is chosen once per process."""
    package = Path(_core.__file__).resolve().parent.parent
    return subprocess.run(
        [sys.executable, *arguments], cwd=directory, capture_output=True, text=True, check=False,
        env={**os.environ, "BERTSENT_ISA": isa, "PYTHONPATH": str(package)},
    )


@pytest.mark.parametrize("isa", [isa for isa in _core.isa_list() if isa != _core.isa()])
def test_every_instruction_set_gives_the_golden_gradients(isa, tmp_path):
    golden = Path(__file__).resolve().with_name("test_golden.py")
    options = "-q", "-p", "no:cacheprovider", "-k", "engine"
    done = _in_new_process(tmp_path, "-m", "pytest", *options, golden, isa=isa)
    assert done.returncode == 0, done.stdout[-4000:]


def test_instruction_set_that_is_not_there_is_an_error_that_names_it(tmp_path):
    done = _in_new_process(tmp_path, "-c", "from bertsent._core import isa; isa()", isa="sse9")
    assert done.returncode != 0
    assert "BERTSENT_ISA=sse9" in done.stderr


@pytest.mark.parametrize("freeze", [0, 1])
@pytest.mark.parametrize("tokens", [1, 150, 10_000])
def test_size_of_micro_batches_changes_memory_and_last_bits_only(tokens, freeze):
    config, params, batch = _case("many", dropout=True)
    options = {"freeze": freeze, "training": True, "seed": 3, "step": 5}
    expected = Engine(config, params).loss_and_gradients(batch, **options)
    engine = Engine(config, params)
    found = engine.loss_and_gradients(batch, micro_batch_tokens=tokens, **options)
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)
    assert_gradients_agree(found[2], expected[2], rel=1e-5)
    # No more memory is reserved than the largest of them takes.
    lengths = np.diff(batch["cu_seqlens"])
    most = max(
        engine.model.pass_size(np.cumsum([0, *part]), freeze=freeze)
        for part in _cut(lengths.tolist(), tokens)
    )
    assert engine.model.reserved == most


def _cut(lengths, tokens):
    parts = [[]]
    for length in lengths:
        if parts[-1] and sum(parts[-1]) + length > tokens:
            parts.append([])
        parts[-1].append(length)
    return parts


@pytest.mark.parametrize("n_threads", [1, 2])
def test_size_of_chunks_does_not_change_scores(n_threads):
    config, params, batch = _case("many", dropout=False)
    engine = Engine(config, params)
    expected = engine.score(batch)
    for tokens in (1, 150, 10_000):
        found = engine.model.score(*arrays(batch), n_threads=n_threads, chunk_tokens=tokens)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
