"""The contrastive loss of vectors: its float64 twin, and the engine against it."""

import numpy as np
import pytest
import reference
from cases import (
    Engine,
    arrays,
    assert_gradients_agree,
    assert_like_twin,
    engine_config,
    random_batch,
    random_params,
)

from bertsent import _core

LENGTHS = [5, 9, 1, 12, 7, 3]
OPTIONS = {"loss": "contrastive", "temperature": 0.2}


def _case(*, seed=0, **changes):
    changes = {"num_labels": 24, "head": "vectors", "hidden_dropout_prob": 0.2} | changes
    config = engine_config(**changes)
    rng = np.random.default_rng(seed)
    params = random_params(config, rng)
    batch = random_batch(config, rng, LENGTHS, weights=True)
    batch["labels"] = np.array([0, 3, 0, 1, 3, 3], np.int32)
    return config, params, batch


# --- the twin ----------------------------------------------------------------------------------


def test_twin_is_the_formula_of_its_paper():
    # Two equal vectors of one class, and one at a right angle to them.
    vectors, temperature = [[2.0, 0.0], [0.5, 0.0], [0.0, 7.0]], 0.5
    loss, grad = reference.contrastive(vectors, [0, 0, 1], temperature=temperature)
    expected = -np.log(np.exp(2.0) / (np.exp(2.0) + np.exp(0.0)))
    assert loss == pytest.approx(2 * expected / 3)  # the third has no other of its class
    # Lengths do not matter, so no gradient points along a vector.
    np.testing.assert_allclose((grad * vectors).sum(axis=1), 0.0, atol=1e-12)


def test_a_text_without_weight_counts_as_if_it_were_not_there():
    rng = np.random.default_rng(2)
    vectors, labels = rng.normal(0, 1, (5, 3)), np.array([0, 1, 0, 1, 0])
    found = reference.contrastive(vectors, labels, [1.0, 1.0, 1.0, 1.0, 0.0])
    expected = reference.contrastive(vectors[:4], labels[:4])
    assert found[0] == pytest.approx(expected[0])
    np.testing.assert_allclose(found[1][:4], expected[1], atol=1e-15)
    assert not found[1][4].any()


@pytest.mark.parametrize("weights", [False, True], ids=["", "weights"])
def test_gradient_of_the_twin_agrees_with_finite_differences(weights):
    rng = np.random.default_rng(1)
    vectors, labels = rng.normal(0, 2, (6, 4)), np.array([0, 1, 1, 0, 2, 1])
    given = rng.uniform(0.2, 3.0, 6) if weights else None

    def value(at):
        return reference.contrastive(at, labels, given, temperature=0.3)

    grad = value(vectors)[1]
    for at in np.ndindex(vectors.shape):
        step = np.zeros_like(vectors)
        step[at] = 1e-6
        slope = (value(vectors + step)[0] - value(vectors - step)[0]) / 2e-6
        assert grad[at] == pytest.approx(slope, abs=1e-7)


# --- the engine --------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("weights", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_loss_and_gradients_agree_with_the_twin(pooling, weights, training):
    config, params, batch = _case(pooling=pooling)
    if not weights:
        batch["weights"] = None
    assert_like_twin(config, params, batch, training=training, seed=4, step=2, **OPTIONS)


@pytest.mark.parametrize("freeze", [1, 2])
def test_frozen_layers_have_no_gradient(freeze):
    config, params, batch = _case(pooling="mean")
    assert_like_twin(config, params, batch, freeze=freeze, **OPTIONS)


def test_vectors_are_what_the_head_of_a_classifier_reads():
    config, params, batch = _case(pooling="mean")
    rows = np.empty((6, 24), np.float32)
    classifier = config | {"head": "pooled", "num_labels": 3}
    other = Engine(classifier, random_params(classifier, np.random.default_rng(0)) | params)
    other.model.score(*arrays(batch), pooled=rows.reshape(-1))
    engine = Engine(config, params)
    np.testing.assert_array_equal(engine.score(batch), rows)
    # Its buffer is the beginning of that of the classifier.
    np.testing.assert_array_equal(engine.flat, other.flat[: engine.flat.size])
    assert engine.flat.size == _core.trained_from(classifier, 2)


@pytest.mark.parametrize("training", [False, True], ids=["plain", "dropout"])
def test_micro_batches_change_nothing_but_the_last_bits(training):
    config, params, batch = _case()
    engine = Engine(config, params)
    settings = {"training": training, "seed": 4, "step": 2, **OPTIONS}
    whole = engine.loss_and_gradients(batch, **settings)
    for tokens in (1, 15):
        parts = engine.loss_and_gradients(batch, micro_batch_tokens=tokens, **settings)
        assert parts[0] == pytest.approx(whole[0], rel=1e-6)
        np.testing.assert_allclose(parts[1], whole[1], atol=1e-5)
        assert_gradients_agree(parts[2], whole[2], rel=1e-5)


@pytest.mark.parametrize("tokens", [0, 1])
def test_threads_change_no_bit(tokens):
    config, params, batch = _case(pooling="mean")
    engine = Engine(config, params)
    settings = {"training": True, "seed": 1, "micro_batch_tokens": tokens, **OPTIONS}
    first, *others = (
        engine.loss_and_gradients(batch, n_threads=n, **settings) for n in (1, 2, 5)
    )
    for found in others:
        assert found[0] == first[0]
        for name, grad in first[2].items():
            np.testing.assert_array_equal(found[2][name], grad)


@pytest.mark.parametrize("tokens", [0, 1])
def test_the_vector_of_a_text_in_windows_is_their_mean(tokens):
    config, params, batch = _case(pooling="mean")
    engine = Engine(config, params)
    single = engine.loss_and_gradients(batch, **OPTIONS)[1]
    windows = np.array([0, 2, 3, 4, 5, 6]), np.array([0.25, 0.75, 1, 1, 1, 1], np.float32)
    batch["labels"], batch["weights"] = batch["labels"][1:], batch["weights"][1:]
    value, vectors, _ = engine.loss_and_gradients(
        batch, windows=windows, micro_batch_tokens=tokens, **OPTIONS
    )
    np.testing.assert_allclose(vectors[0], 0.25 * single[0] + 0.75 * single[1], atol=1e-5)
    twin = reference.contrastive(vectors, batch["labels"], batch["weights"], temperature=0.2)
    assert value == pytest.approx(twin[0], rel=1e-6)


def test_steps_bring_texts_of_a_class_together():
    config, params, batch = _case(pooling="mean")
    engine = Engine(config, params)
    state = [np.zeros(engine.table[0], np.float32) for _ in range(3)]
    for step in range(40):
        engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], None, *state, step=step,
            training=False, lr=0.01, **OPTIONS,
        )
    vectors = engine.score(batch)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    same = batch["labels"] == batch["labels"][:, None]
    cosines = vectors @ vectors.T
    assert cosines[same].min() > 0.9 > 0.5 > cosines[~same].max()


def test_a_step_without_weight_changes_nothing():
    config, params, batch = _case()
    engine = Engine(config, params)
    before = engine.flat.copy()
    state = [np.zeros(engine.table[0], np.float32) for _ in range(3)]
    value, _, norm = engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], np.zeros(6, np.float32), *state, lr=0.1,
        **OPTIONS,
    )
    assert value == norm == 0.0
    np.testing.assert_array_equal(engine.flat, before)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"temperature": 0.0}, ValueError, "temperature is 0, expected a finite number of at leas"),
        ({"temperature": np.inf}, ValueError, "temperature is inf, expected a finite number"),
        ({"label_smoothing": 0.1}, ValueError, "label_smoothing is 0.1, expected 0: contrastive"),
        ({"labels": np.array([0, 1, -1, 0, 1, 1], np.int32)}, IndexError,
         "row 2: label -1 is out of range, expected 0 or more"),
        ({"loss": "cross_entropy"}, ValueError, "cross_entropy needs a model that returns logits"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, message):
    config, params, batch = _case()
    batch |= {name: value for name, value in options.items() if name in batch}
    options = {name: value for name, value in options.items() if name not in batch}
    with pytest.raises(error, match=message):
        Engine(config, params).loss_and_gradients(batch, **(OPTIONS | options))


def test_a_classifier_has_no_contrastive_loss():
    config, params, batch = _case(head="pooled", num_labels=4)
    with pytest.raises(ValueError, match="contrastive needs a model that returns vectors"):
        Engine(config, params).loss_and_gradients(batch, **OPTIONS)


def test_vectors_have_the_hidden_size():
    with pytest.raises(ValueError, match="num_labels is 3, but vectors have hidden_size, 24"):
        _core.parameter_table(engine_config(head="vectors"))
