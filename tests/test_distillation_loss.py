"""The losses of distillation: against PyTorch, finite differences and their float64 twins."""

from pathlib import Path

import numpy as np
import pytest
import reference
from cases import (
    Engine,
    assert_gradients_agree,
    assert_like_twin,
    engine_config,
    random_batch,
    random_params,
)

GOLDEN = Path(__file__).parent / "golden" / "distillation.npz"
each_loss = pytest.mark.parametrize("loss", reference.DISTILLATION)


def _case(*, seed=0, num_labels=3, share=0.6):
    config = engine_config(num_labels=num_labels, hidden_dropout_prob=0.2, classifier_dropout=0.3)
    rng = np.random.default_rng(seed)
    params = random_params(config, rng)
    batch = random_batch(config, rng, [5, 9, 1, 12], weights=True)
    batch["labels"][2] = -1
    wanted = rng.normal(0, 2, (4, num_labels)).astype(np.float32)
    batch["teacher"] = wanted, 2.5, share
    return config, params, batch


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@each_loss
def test_twin_agrees_with_pytorch(loss, golden):
    teacher = golden["teacher"], float(golden["temperature"]), float(golden["weight"])
    value, slope = reference.LOSSES[loss](
        golden["logits"], golden["labels"], None, float(golden["smoothing"]), teacher=teacher
    )
    name = loss.removeprefix("distillation_")
    assert value == pytest.approx(float(golden[f"{name}/loss"]), rel=1e-12)
    np.testing.assert_allclose(slope, golden[f"{name}/slope"], rtol=0, atol=1e-14)


@each_loss
def test_gradient_of_the_twin_agrees_with_finite_differences(loss):
    rng = np.random.default_rng(1)
    logits, wanted = rng.normal(0, 2, (2, 5, 3))
    labels, weights = np.array([0, 2, -1, 1, -1]), rng.uniform(0.2, 3.0, 5)

    def value(at):
        return reference.LOSSES[loss](at, labels, weights, 0.1, teacher=(wanted, 3.0, 0.4))

    _, grad = value(logits)
    h = 1e-6
    for at in np.ndindex(logits.shape):
        step = np.zeros_like(logits)
        step[at] = h
        slope = (value(logits + step)[0] - value(logits - step)[0]) / (2 * h)
        assert grad[at] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("training", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
@each_loss
def test_loss_and_gradients_agree_with_the_twin(loss, share, training, smoothing):
    config, params, batch = _case(share=share)
    settings = {"training": training, "seed": 4, "step": 2, "loss": loss,
                "label_smoothing": smoothing}
    assert_like_twin(config, params, batch, **settings)


@each_loss
def test_with_no_weight_of_the_teacher_it_is_cross_entropy(loss):
    config, params, batch = _case(share=0.0)
    batch["labels"][2] = 1
    engine = Engine(config, params)
    value, _, grads = engine.loss_and_gradients(batch, loss=loss)
    del batch["teacher"]
    wanted, _, theirs = engine.loss_and_gradients(batch)
    assert value == wanted
    for name, grad in grads.items():
        np.testing.assert_array_equal(grad, theirs[name])


@each_loss
def test_a_student_that_agrees_with_its_teacher_learns_nothing_more(loss):
    config, params, batch = _case(share=1.0)
    engine = Engine(config, params)
    logits = engine.score(batch)
    batch["teacher"] = logits, 2.0, 1.0
    value, _, grads = engine.loss_and_gradients(batch, loss=loss)
    assert value == pytest.approx(0.0, abs=1e-12)
    assert max(np.abs(grad).max() for grad in grads.values()) < 1e-5


@each_loss
def test_micro_batches_and_windows_add_up_to_the_whole(loss):
    config, params, batch = _case()
    engine = Engine(config, params)
    whole = engine.loss_and_gradients(batch, loss=loss)
    parts = engine.loss_and_gradients(batch, loss=loss, micro_batch_tokens=1)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    assert_gradients_agree(parts[2], whole[2], rel=1e-5)
    # The first two sequences are one text: its logits are their mean.
    windows = np.array([0, 2, 3, 4]), np.array([0.5, 0.5, 1.0, 1.0], np.float32)
    batch["labels"], batch["weights"] = batch["labels"][1:], batch["weights"][1:]
    wanted, *others = batch["teacher"]
    batch["teacher"] = np.ascontiguousarray(wanted[1:]), *others
    value, logits, _ = engine.loss_and_gradients(batch, loss=loss, windows=windows)
    twin = reference.LOSSES[loss](
        logits, batch["labels"], batch["weights"], teacher=batch["teacher"]
    )
    assert value == pytest.approx(twin[0], rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"teacher": None}, TypeError, "distillation_kl needs a teacher"),
        ({"teacher": [1, 2, 3]}, TypeError, "teacher: expected a tuple of an array and two num"),
        ({"teacher": (np.zeros((4, 2), np.float32), 1.0, 1.0)}, ValueError,
         r"teacher: expected shape \(4, 3\), got \(4, 2\)"),
        ({"teacher": (np.zeros((4, 3)), 1.0, 1.0)}, TypeError, "teacher: expected a contiguous"),
        ({"teacher": (np.full((4, 3), np.inf, np.float32), 1.0, 1.0)}, ValueError,
         "row 0: logit of the teacher inf is not finite"),
        ({"teacher": (np.zeros((4, 3), np.float32), 0.0, 1.0)}, ValueError,
         "temperature is 0, expected a number above 0"),
        ({"teacher": (np.zeros((4, 3), np.float32), 1.0, 1.5)}, ValueError,
         "teacher_weight is 1.5, expected a number from 0 to 1"),
        ({"labels": np.array([0, -2, 1, 1], np.int32)}, IndexError,
         "row 1: label -2 is out of range, expected -1 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message):
    config, params, batch = _case()
    with pytest.raises(error, match=message):
        Engine(config, params).loss_and_gradients(batch | changes, loss="distillation_kl")


def test_other_losses_take_no_teacher():
    config, params, batch = _case()
    batch["labels"][2] = 0
    with pytest.raises(TypeError, match="cross_entropy takes no teacher"):
        Engine(config, params).loss_and_gradients(batch)
