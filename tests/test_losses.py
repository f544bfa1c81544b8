"""The losses of a step, by name: against their twins in `reference`, and invalid input."""

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

# Losses whose targets are a matrix. Targets of 0 and 1 suit all of them. Those of distillation, of
# vectors and of ordered classes have test_distillation_loss.py, test_contrastive_loss.py and
# test_ordinal_loss.py.
MATRIX = [
    name for name in reference.LOSSES
    if name not in (
        "cross_entropy", "cumulative_cross_entropy", "contrastive", *reference.DISTILLATION
    )
]
*OTHERS, LAST = map(repr, reference.LOSSES)
each_matrix_loss = pytest.mark.parametrize("loss", MATRIX)


def _case(loss, *, num_labels=3, seed=0, weights=True):
    config = engine_config(num_labels=num_labels, hidden_dropout_prob=0.2, classifier_dropout=0.3)
    rng = np.random.default_rng(seed)
    params = random_params(config, rng)
    batch = random_batch(config, rng, [5, 9, 1, 12], weights=weights)
    if loss in MATRIX:
        batch["labels"] = rng.integers(0, 2, (4, num_labels)).astype(np.float32)
    return config, params, batch


def test_every_loss_has_a_twin():
    assert _core.loss_names() == list(reference.LOSSES)


@each_matrix_loss
def test_gradient_of_the_twin_agrees_with_finite_differences(loss):
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(0, 2, (5, 3)), rng.uniform(0, 1, (5, 3))
    weights = rng.uniform(0.2, 3.0, 5)
    _, grad = reference.LOSSES[loss](logits, targets, weights)
    h = 1e-6
    for at in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][at] += h
        moved[1][at] -= h
        up, down = (reference.LOSSES[loss](m, targets, weights)[0] for m in moved)
        assert grad[at] == pytest.approx((up - down) / (2 * h), abs=1e-7)


def test_mean_squared_error_is_what_its_name_says():
    logits, targets = [[1.0, 2.0], [0.0, -1.0]], [[0.0, 4.0], [0.0, 0.0]]
    loss, grad = reference.mean_squared_error(logits, targets)
    assert loss == pytest.approx(np.mean([1.0, 4.0, 0.0, 1.0]))
    np.testing.assert_allclose(grad, [[0.5, -1.0], [0.0, -0.5]])
    weighted, _ = reference.mean_squared_error(logits, targets, [3.0, 1.0])
    assert weighted == pytest.approx((3 * 2.5 + 0.5) / 4)


# (loss, options, logits, gradients) that PyTorch 2 returns for BCEWithLogitsLoss and HuberLoss.
_YES_NO = [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
TORCH = [
    ("binary_cross_entropy", {}, [[0.5, -1.25, 3.0], [-40.0, 2.0, 0.0]], 6.932444768117023, [
        [-0.0629234447996909, 0.03711668980421814, -0.007904312196261106],
        [-0.16666666666666666, -0.01986715367035295, 0.08333333333333333],
    ]),
    ("binary_cross_entropy", {"positive_weights": np.array([2.0, 0.5, 3.0], np.float32)},
     [[0.5, -1.25, 3.0], [-40.0, 2.0, 0.0]], 13.683742715084707, [
        [-0.1258468895993818, 0.03711668980421814, -0.0237129365887833],
        [-0.3333333333333333, -0.009933576835176474, 0.08333333333333333],
    ]),
    ("huber", {}, [[0.5, -1.25, 3.0], [-4.0, 2.0, 0.0]], 1.2291666666666667, [
        [-0.08333333333333333, -0.16666666666666666, 0.16666666666666666],
        [-0.16666666666666666, 0.16666666666666666, 0.0],
    ]),
]


@pytest.mark.parametrize(("loss", "options", "logits", "value", "grad"), TORCH)
def test_the_twins_agree_with_pytorch(loss, options, logits, value, grad):
    found = reference.LOSSES[loss](logits, _YES_NO, **options)
    assert found[0] == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(found[1], grad, rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize(("loss", "options", "logits", "value", "grad"), TORCH)
def test_the_engine_agrees_with_pytorch(loss, options, logits, value, grad):
    # A head without weights gives its biases, and their gradient is the sum over the texts.
    for row, (wanted, truth) in enumerate(zip(logits, _YES_NO, strict=True)):
        config, params, batch = _case(loss)
        params["head.output.weight"][...] = 0.0
        params["head.output.bias"][...] = wanted
        batch["labels"] = np.array([truth] * 4, np.float32)
        found = Engine(config, params).loss_and_gradients(batch, loss=loss, **options)
        twin = reference.LOSSES[loss]([wanted], [truth], **options)[0]
        assert found[0] == pytest.approx(twin, rel=1e-6)
        np.testing.assert_allclose(
            found[2]["head.output.bias"], 2 * np.array(grad[row]), rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_positive_weights_and_smoothing_of_binary_cross_entropy(smoothing):
    config, params, batch = _case("binary_cross_entropy")
    options = {"loss": "binary_cross_entropy", "label_smoothing": smoothing,
               "positive_weights": np.array([0.5, 4.0, 0.0], np.float32)}
    found = Engine(config, params).loss_and_gradients(batch, **options)
    twin = reference.Bert(config, params).loss_and_gradients(batch, **options)
    assert found[0] == pytest.approx(twin[0], rel=1e-5)
    assert_gradients_agree(found[2], twin[2])
    parts = Engine(config, params).loss_and_gradients(batch, micro_batch_tokens=1, **options)
    assert parts[0] == pytest.approx(found[0], rel=1e-6)
    # The twin itself, by finite differences.
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(0, 2, (4, 3)), rng.integers(0, 2, (4, 3))

    def value(moved):
        return reference.binary_cross_entropy(
            moved, targets, None, smoothing, options["positive_weights"])

    for at in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[at] = 1e-6
        slope = (value(logits + step)[0] - value(logits - step)[0]) / 2e-6
        assert value(logits)[1][at] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("training", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("weights", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("num_labels", [1, 3])
@each_matrix_loss
def test_loss_and_gradients_agree_with_the_twin(loss, num_labels, weights, training):
    config, params, batch = _case(loss, num_labels=num_labels, weights=weights)
    settings = {"training": training, "seed": 4, "step": 2, "loss": loss}
    assert_like_twin(config, params, batch, **settings)


@each_matrix_loss
def test_micro_batches_and_windows_add_up_to_the_whole(loss):
    config, params, batch = _case(loss)
    engine = Engine(config, params)
    whole = engine.loss_and_gradients(batch, loss=loss)
    parts = engine.loss_and_gradients(batch, loss=loss, micro_batch_tokens=1)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    assert_gradients_agree(parts[2], whole[2], rel=1e-5)
    # The first two sequences are one text: its logits are their mean.
    windows = np.array([0, 2, 3, 4]), np.array([0.5, 0.5, 1.0, 1.0], np.float32)
    batch["labels"], batch["weights"] = batch["labels"][1:], batch["weights"][1:]
    value, logits, _ = engine.loss_and_gradients(batch, loss=loss, windows=windows)
    np.testing.assert_allclose(logits[0], whole[1][:2].mean(axis=0), atol=1e-6)
    assert value == pytest.approx(
        reference.LOSSES[loss](logits, batch["labels"], batch["weights"])[0], rel=1e-6)


@each_matrix_loss
def test_a_step_of_it_lowers_the_loss(loss):
    config, params, batch = _case(loss, num_labels=1)
    engine = Engine(config, params)
    state = [np.zeros(engine.table[0], np.float32) for _ in range(3)]
    losses = [
        engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], batch["weights"], *state, step=step,
            training=False, lr=0.01, loss=loss,
        )[0]
        for step in range(60)
    ]
    assert losses[-1] < 0.2 * losses[0]


@each_matrix_loss
def test_a_step_without_weight_changes_nothing(loss):
    config, params, batch = _case(loss)
    engine = Engine(config, params)
    before = engine.flat.copy()
    state = [np.zeros(engine.table[0], np.float32) for _ in range(3)]
    value, _, norm = engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], np.zeros(4, np.float32), *state, lr=0.1,
        loss=loss,
    )
    assert value == norm == 0.0
    np.testing.assert_array_equal(engine.flat, before)


@pytest.mark.parametrize(
    ("loss", "changes", "error", "message"),
    [
        ("hinge", {}, ValueError, f"loss is 'hinge', expected {', '.join(OTHERS)} or {LAST}"),
        ("cross_entropy", {"labels": np.array([0, 1, 3, 0], np.int32)}, IndexError,
         "row 2: label 3 is out of range, expected 0 to 2"),
        ("cross_entropy", {"labels": np.zeros((4, 3), np.float32)}, TypeError,
         "targets: expected a contiguous 1-D array of int32"),
        ("cross_entropy", {"label_smoothing": 1.0}, ValueError, "label_smoothing is 1, expected a"),
        ("mean_squared_error", {"labels": np.zeros(4, np.int32)}, TypeError,
         "targets: expected a contiguous 2-D array of float32"),
        ("mean_squared_error", {"labels": np.zeros((4, 3))}, TypeError, "2-D array of float32"),
        ("mean_squared_error", {"labels": np.zeros((3, 4), np.float32).T}, TypeError, "contiguous"),
        ("mean_squared_error", {"labels": np.zeros((4, 2), np.float32)}, ValueError,
         r"targets: expected shape \(4, 3\), got \(4, 2\)"),
        ("mean_squared_error", {"labels": np.array([[0, 1, 2]] * 3 + [[0, np.nan, 0]], np.float32)},
         ValueError, "row 3: target nan is not finite"),
        ("mean_squared_error", {"label_smoothing": 0.1}, ValueError, "has no classes"),
        ("mean_squared_error", {"weights": np.array([1, 1, -1, 1], np.float32)}, ValueError,
         "row 2: weight -1, expected a finite number >= 0"),
        ("huber", {"labels": np.array([[0, 1, np.inf]] * 4, np.float32)}, ValueError,
         "row 0: target inf is not finite"),
        ("huber", {"label_smoothing": 0.1}, ValueError, "huber has no classes"),
        ("binary_cross_entropy", {"labels": np.array([[0, 1, 0]] * 3 + [[0, 2, 0]], np.float32)},
         ValueError, "row 3: target 2 is not from 0 to 1"),
        ("binary_cross_entropy", {"labels": np.full((4, 3), np.nan, np.float32)}, ValueError,
         "row 0: target nan is not from 0 to 1"),
        ("binary_cross_entropy", {"label_smoothing": 1.0}, ValueError, "label_smoothing is 1"),
        ("binary_cross_entropy", {"positive_weights": np.array([1, -1, 1], np.float32)},
         ValueError, "label 1: positive weight -1, expected a finite number >= 0"),
        ("binary_cross_entropy", {"positive_weights": np.ones(2, np.float32)}, ValueError,
         "positive_weights"),
        ("huber", {"positive_weights": np.ones(3, np.float32)}, ValueError,
         "positive_weights: huber has none"),
    ],
)
def test_what_does_not_fit_is_refused(loss, changes, error, message):
    config, params, batch = _case(loss)
    options = {name: changes[name] for name in changes if name not in batch}
    batch |= {name: value for name, value in changes.items() if name in batch}
    with pytest.raises(error, match=message):
        Engine(config, params).loss_and_gradients(batch, loss=loss, **options)


def test_cross_entropy_needs_two_classes():
    config, params, batch = _case("cross_entropy", num_labels=1)
    with pytest.raises(ValueError, match="cross_entropy needs at least 2 classes, the model has 1"):
        Engine(config, params).loss_and_gradients(batch)
