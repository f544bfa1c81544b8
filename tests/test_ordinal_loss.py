"""The loss of ordered classes: against PyTorch, finite differences and its float64 twin."""

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

GOLDEN = Path(__file__).parent / "golden" / "ordinal.npz"
LOSS = "cumulative_cross_entropy"
twin = reference.cumulative_cross_entropy


def _case(*, num_labels=4, seed=0, weights=True):
    config = engine_config(num_labels=num_labels, hidden_dropout_prob=0.2, classifier_dropout=0.3)
    rng = np.random.default_rng(seed)
    params = random_params(config, rng)
    batch = random_batch(config, rng, [5, 9, 1, 12, 7], weights=weights)
    batch["labels"] = rng.integers(0, num_labels, 5).astype(np.int32)
    return config, params, batch


def of_biases(logits, label, **options):
    """Return the engine's loss of given logits, and its gradient."""
    config, params, batch = _case(num_labels=len(logits))
    params["head.output.weight"][...] = 0.0
    params["head.output.bias"][...] = logits
    batch["labels"] = np.full(5, label, np.int32)
    value, _, grads = Engine(config, params).loss_and_gradients(batch, loss=LOSS, **options)
    return value, grads["head.output.bias"]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("kind", ["plain", "smooth"])
def test_the_twin_agrees_with_pytorch(kind, golden):
    smoothing = float(golden["smoothing"]) if kind == "smooth" else 0.0
    value, slope = twin(golden["logits"], golden["labels"], golden["weights"], smoothing)
    assert value == pytest.approx(float(golden[f"{kind}/loss"]), rel=1e-12)
    np.testing.assert_allclose(slope, golden[f"{kind}/slope"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["plain", "smooth"])
def test_the_engine_agrees_with_pytorch(kind, golden):
    smoothing = float(golden["smoothing"]) if kind == "smooth" else 0.0
    for row, (logits, label) in enumerate(zip(golden["logits"], golden["labels"], strict=True)):
        value, slope = of_biases(logits, int(label), label_smoothing=smoothing)
        assert value == pytest.approx(golden[f"{kind}/losses"][row], rel=1e-6)
        np.testing.assert_allclose(slope, golden[f"{kind}/slopes"][row], rtol=1e-5, atol=1e-7)


def test_the_twin_is_the_mean_over_the_thresholds():
    # Probabilities 1/2, 1/4, 1/4 and the middle class: the events are above 0 and not above 1.
    logits = np.log([[2.0, 1.0, 1.0]])
    assert twin(logits, [1])[0] == pytest.approx((-np.log(0.5) - np.log(0.75)) / 2)
    # Class 2 misses both; each has the probability of the other side.
    assert twin(logits, [2])[0] == pytest.approx((-np.log(0.5) - np.log(0.25)) / 2)


def test_a_prediction_further_away_costs_more():
    near, far = ([[9.0 * (j == chosen) for j in range(5)]] for chosen in (1, 4))
    assert twin(near, [0])[0] < 0.5 * twin(far, [0])[0]
    same = [reference.cross_entropy(np.array(logits), [0])[0] for logits in (near, far)]
    assert same[0] == pytest.approx(same[1])  # cross-entropy knows no distance


def test_it_is_least_for_the_true_probabilities():
    """A proper score: no other distribution has a lower expected loss."""
    rng = np.random.default_rng(0)
    truth = np.array([0.1, 0.35, 0.05, 0.3, 0.2])

    def expected(logits):
        return twin(np.tile(logits, (5, 1)), np.arange(5), truth)

    best, slope = expected(np.log(truth))
    np.testing.assert_allclose(slope.sum(axis=0), 0.0, atol=1e-15)
    for _ in range(20):
        assert expected(np.log(truth) + rng.normal(0, 0.5, 5))[0] > best


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_gradient_of_the_twin_agrees_with_finite_differences(count, smoothing):
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(0, 2, (5, count)), rng.integers(0, count, 5)
    weights, h = rng.uniform(0.2, 3.0, 5), 1e-6
    _, grad = twin(logits, labels, weights, smoothing)
    for at in np.ndindex(logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][at] += h
        moved[1][at] -= h
        up, down = (twin(m, labels, weights, smoothing)[0] for m in moved)
        assert grad[at] == pytest.approx((up - down) / (2 * h), abs=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("training", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("num_labels", [2, 3, 7])
def test_the_engine_agrees_with_the_twin(num_labels, training, smoothing):
    config, params, batch = _case(num_labels=num_labels)
    assert_like_twin(
        config, params, batch, training=training, seed=4, step=2, loss=LOSS,
        label_smoothing=smoothing,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_of_two_classes_it_is_the_cross_entropy(smoothing):
    config, params, batch = _case(num_labels=2)
    one, other = (
        Engine(config, params).loss_and_gradients(batch, loss=loss, label_smoothing=smoothing)
        for loss in (LOSS, "cross_entropy")
    )
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    assert_gradients_agree(one[2], other[2], rel=1e-6)


def test_micro_batches_windows_and_threads():
    config, params, batch = _case()
    engine = Engine(config, params)
    whole = engine.loss_and_gradients(batch, loss=LOSS)
    parts = engine.loss_and_gradients(batch, loss=LOSS, micro_batch_tokens=1)
    assert parts[0] == pytest.approx(whole[0], rel=1e-6)
    assert_gradients_agree(parts[2], whole[2], rel=1e-5)
    threaded = engine.loss_and_gradients(batch, loss=LOSS, n_threads=3)
    assert threaded[0] == whole[0]
    for name, grad in whole[2].items():
        np.testing.assert_array_equal(threaded[2][name], grad)
    # The first two sequences are one text: its logits are their mean.
    windows = np.array([0, 2, 3, 4, 5]), np.array([0.5, 0.5, 1, 1, 1], np.float32)
    batch["labels"], batch["weights"] = batch["labels"][1:], batch["weights"][1:]
    value, logits, _ = engine.loss_and_gradients(batch, loss=LOSS, windows=windows)
    assert value == pytest.approx(twin(logits, batch["labels"], batch["weights"])[0], rel=1e-6)


@pytest.mark.parametrize("label", range(4))
def test_extreme_logits_have_finite_losses_and_slopes(label):
    # float64 probabilities underflow here.
    logits = np.array([-3000.0, 2000.0, -1000.0, 500.0])
    value, grad = of_biases(logits, label)
    sums = [np.logaddexp.reduce(logits[: k + 1]) for k in range(3)]
    rest = [np.logaddexp.reduce(logits[k + 1:]) for k in range(3)]
    whole = np.logaddexp.reduce(logits)
    expected = np.mean([whole - (rest[k] if label > k else sums[k]) for k in range(3)])
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert np.isfinite(grad).all() and abs(grad.sum()) < 1e-6


@pytest.mark.parametrize(
    ("labels", "options", "error", "message"),
    [
        ([0, 1, 4, 0, 1], {}, IndexError, "row 2: label 4 is out of range, expected 0 to 3"),
        ([0, 1, -1, 0, 1], {}, IndexError, "row 2: label -1 is out of range"),
        ([0] * 5, {"label_smoothing": 1.0}, ValueError, "label_smoothing is 1, expected a"),
        ([0] * 5, {"positive_weights": np.ones(4, np.float32)}, ValueError,
         "positive_weights: cumulative_cross_entropy has none"),
    ],
)
def test_what_does_not_fit_is_refused(labels, options, error, message):
    config, params, batch = _case()
    batch["labels"] = np.array(labels, np.int32)
    with pytest.raises(error, match=message):
        Engine(config, params).loss_and_gradients(batch, loss=LOSS, **options)


def test_it_needs_two_classes():
    config, params, batch = _case(num_labels=1)
    batch["labels"][:] = 0
    with pytest.raises(ValueError, match="cumulative_cross_entropy needs at least 2 classes"):
        Engine(config, params).loss_and_gradients(batch, loss=LOSS)


def test_a_step_of_it_lowers_the_loss_and_without_weight_changes_nothing():
    config, params, batch = _case()
    engine = Engine(config, params)
    state = [np.zeros(engine.table[0], np.float32) for _ in range(3)]
    arrays = [batch[name] for name in ("ids", "types", "positions", "cu_seqlens", "keys", "labels")]
    before = engine.flat.copy()
    value, _, norm = engine.model.train_step(
        *arrays, np.zeros(5, np.float32), *state, lr=0.1, loss=LOSS
    )
    assert value == norm == 0.0
    np.testing.assert_array_equal(engine.flat, before)
    losses = [
        engine.model.train_step(
            *arrays, batch["weights"], *state, step=step, training=False, lr=0.01, loss=LOSS
        )[0]
        for step in range(60)
    ]
    assert losses[-1] < 0.2 * losses[0]
