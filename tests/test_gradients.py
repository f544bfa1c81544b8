"""The engine's forward and backward against the float64 twin on random models."""

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
    unflatten,
)

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
    settings = {"training": dropout, "seed": 2**40 + 17, "step": 5}
    twin = reference.Bert(config, params)
    engine = Engine(config, params)
    expected_loss, expected_logits, expected = twin.loss_and_gradients(batch, **settings)
    loss, logits, grads = engine.loss_and_gradients(batch, **settings)
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
    # One number through everything, from the engine's own losses: needs no twin.
    config, params, batch = _case("gelu", dropout=True)
    engine = Engine(config, params)
    settings = {"training": True, "seed": 1, "step": 2}
    _, _, grads = engine.loss_and_gradients(batch, **settings)
    rng = np.random.default_rng(3)
    # Along the gradient, tensor by tensor perturbed, so that the slope is far above rounding.
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


@pytest.mark.parametrize("freeze", [0, 1, 2])
def test_train_step_is_gradient_clip_and_adamw(freeze):
    config, params, batch = _case("gelu", dropout=True)
    engine, twin = Engine(config, params), reference.Bert(config, params)
    adam = reference.AdamW(twin.params, weight_decay=0.1)
    grads, mean, square = (np.zeros_like(engine.flat) for _ in range(3))
    max_norm = 0.3
    for step in range(3):
        loss, logits, norm = engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], None, grads, mean, square,
            freeze=freeze, seed=5, step=step, lr=0.01, weight_decay=0.1, max_grad_norm=max_norm,
            n_threads=1,
        )
        expected_loss, expected_logits, expected = twin.loss_and_gradients(
            batch, freeze=freeze, training=True, seed=5, step=step
        )
        assert loss == pytest.approx(expected_loss, abs=2e-4)
        np.testing.assert_allclose(logits, expected_logits, atol=2e-3)
        expected_norm = adam.apply(expected, 0.01, max_norm=max_norm, freeze=freeze)
        assert norm == pytest.approx(expected_norm, rel=1e-3)
        assert norm > max_norm
    for name, value in engine.params.items():
        if reference.is_frozen(name, freeze):
            np.testing.assert_array_equal(value, params[name], err_msg=name)
        elif not name.endswith("attention.self.key.bias"):
            change = np.linalg.norm(twin.params[name] - params[name])
            error = np.linalg.norm(value - twin.params[name])
            assert error <= 0.01 * change, name


def test_step_that_is_not_finite_changes_nothing():
    config, params, batch = _case("gelu", dropout=False)
    params["classifier.bias"][0] = np.nan
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
