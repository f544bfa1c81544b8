"""The float64 twin against finite differences and known answers, without the engine."""

import numpy as np
import pytest
import reference
from cases import engine_config, random_batch, random_params, sequence_of
from reference import Bert

# Known answers published with Random123.
PHILOX_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), PHILOX_ANSWERS)
def test_philox_gives_the_published_answers(counter, key, answer):
    assert tuple(int(word) for word in reference.philox(counter, key)) == answer


def test_no_two_elements_share_their_sixteen_bits():
    # 256 columns are 32 counters of 8 halves: if one were used twice, two columns would agree in
    # every row.
    drawn = reference.dropout_words((1, 2), 0, 1, 0, np.arange(64)[:, None], np.arange(300))
    assert len({tuple(column) for column in drawn.T}) == 300
    assert len({tuple(row) for row in drawn}) == 64


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    factors = reference.dropout_scale((7, 9), rate, 3, 2, 0, 400, 384)
    spread = np.sqrt(rate * (1 - rate) / factors.size)
    assert abs((factors == 0).mean() - rate) < 5 * spread
    assert abs(factors.mean() - 1) < 5 * spread / (1 - rate)


def test_layers_sites_heads_steps_seeds_and_sequences_draw_different_bits():
    def draw(seed=1, step=2, key=3, layer=0, site=1, head=0):
        words = reference.sequence_key(seed, step, key)
        side = np.arange(8)
        return reference.dropout_words(words, layer, site, head, side[:, None], side)

    same = draw()
    assert np.array_equal(draw(), same)
    for change in ("seed", "step", "key", "layer", "site", "head"):
        assert (draw(**{change: 4}) != same).mean() > 0.9, change
    assert (draw(seed=1 + 2**32) != same).mean() > 0.9
    assert (draw(key=3 + 2**32) != same).mean() > 0.9


CASES = {
    "gelu": {},
    "gelu_new": {"hidden_act": "gelu_new", "layer_norm_eps": 1e-3},
    "means": {"pooling": "mean"},
    "relu": {"hidden_act": "relu", "num_attention_heads": 1, "type_vocab_size": 1},
}


def _case(name, seed=0):
    config = engine_config(
        vocab_size=12, hidden_size=12, intermediate_size=10, max_position_embeddings=8,
        hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3, classifier_dropout=0.4,
        **CASES[name],
    )
    rng = np.random.default_rng(seed)
    model = Bert(config, random_params(config, rng, scale=0.4))
    batch = random_batch(config, rng, [5, 1, 8, 3], holes=True, weights=True)
    return rng, config, model, batch


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_loss_is_a_mixture_and_its_gradient_agrees_with_finite_differences(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (5, 4)), rng.integers(0, 4, 5)
    weights = rng.uniform(0.2, 3.0, 5)
    loss, grad = reference.cross_entropy(logits, labels, weights, smoothing)
    # As PyTorch documents it: the loss of the label, and the mean loss over all classes.
    own = reference.cross_entropy(logits, labels, weights)[0]
    all_classes = [
        reference.cross_entropy(logits, np.full(5, c), weights)[0] for c in range(4)
    ]
    assert loss == pytest.approx((1 - smoothing) * own + smoothing * np.mean(all_classes))
    h = 1e-6
    for at in np.ndindex(5, 4):
        moved = [logits.copy(), logits.copy()]
        moved[0][at] += h
        moved[1][at] -= h
        up, down = (reference.cross_entropy(m, labels, weights, smoothing)[0] for m in moved)
        assert grad[at] == pytest.approx((up - down) / (2 * h), abs=1e-8)


def _slope(model, batch, name, direction, settings, h=1e-5):
    start = model.params[name].copy()
    losses = []
    for sign in (1, -1):
        model.params[name] = start + sign * h * direction
        logits = model.forward(batch, **settings)
        losses.append(reference.cross_entropy(logits, batch["labels"], batch["weights"])[0])
    model.params[name] = start
    return (losses[0] - losses[1]) / (2 * h)


@pytest.mark.parametrize("training", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("name", CASES)
def test_every_gradient_of_the_twin_agrees_with_finite_differences(name, training):
    rng, _, model, batch = _case(name)
    # The padding row has no gradient from look-ups by design, so it is not looked up here.
    batch["ids"] = np.maximum(batch["ids"], 1)
    settings = {"training": training, "seed": 11, "step": 3}
    _, _, grads = model.loss_and_gradients(batch, **settings)
    scale = reference.gradient_norm(grads)
    assert set(grads) == set(model.params)
    for tensor, grad in grads.items():
        for _ in range(2):
            direction = rng.normal(size=grad.shape)
            expected = _slope(model, batch, tensor, direction, settings)
            found = float((grad * direction).sum())
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-7 * scale), tensor
        spot = np.unravel_index(np.abs(grad).argmax(), grad.shape)
        direction = np.zeros_like(grad)
        direction[spot] = 1.0
        expected = _slope(model, batch, tensor, direction, settings)
        assert grad[spot] == pytest.approx(expected, rel=1e-5, abs=1e-7 * scale), tensor


def test_backward_takes_any_gradient_at_the_logits():
    rng, _, model, batch = _case("gelu")
    batch["ids"] = np.maximum(batch["ids"], 1)
    pull = rng.normal(size=(4, 3))
    model.forward(batch)
    grads = model.backward(pull)
    direction = {name: rng.normal(size=value.shape) for name, value in model.params.items()}
    start, h = model.params, 1e-6
    values = []
    for sign in (1, -1):
        model.params = {name: value + sign * h * direction[name] for name, value in start.items()}
        values.append(float((model.forward(batch) * pull).sum()))
    expected = (values[0] - values[1]) / (2 * h)
    assert sum(float((grads[n] * direction[n]).sum()) for n in grads) == pytest.approx(
        expected, rel=1e-6
    )


def test_padding_row_takes_no_gradient_and_other_rows_keep_theirs():
    _, config, model, batch = _case("gelu")
    word = "embeddings.word.weight"
    batch["ids"][:] = 1
    batch["ids"][2] = 0
    with_padding = model.loss_and_gradients(batch)[2][word]
    model.config = {**config, "pad_token_id": -1}
    without = model.loss_and_gradients(batch)[2][word]
    assert not with_padding[0].any()
    assert without[0].any()
    assert np.array_equal(with_padding[1:], without[1:])


def test_freezing_blanks_what_is_below_and_leaves_the_rest():
    _, _, model, batch = _case("gelu_new")
    full = model.loss_and_gradients(batch)[2]
    for freeze in (1, 2):
        grads = model.loss_and_gradients(batch, freeze=freeze)[2]
        for name, value in grads.items():
            if reference.is_frozen(name, freeze):
                assert not value.any(), name
            else:
                assert np.array_equal(value, full[name]), name
    assert not reference.is_frozen("head.dense.bias", 2)
    assert reference.is_frozen("embeddings.norm.bias", 1)


def test_a_sequence_gives_the_same_logits_in_any_company():
    _, _, model, batch = _case("gelu")
    together = model.forward(batch, training=True, seed=5, step=1)
    order = [2, 0, 3]
    apart = model.forward(sequence_of(batch, order), training=True, seed=5, step=1)
    np.testing.assert_allclose(apart, together[order], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "points"), [(n, np.linspace(-6, 6, 49) + 1e-3) for n in reference.ACTIVATIONS]
)
def test_activation_derivatives(name, points):
    value, derivative = reference.ACTIVATIONS[name]
    h = 1e-6
    slope = (value(points + h) - value(points - h)) / (2 * h)
    np.testing.assert_allclose(derivative(points), slope, atol=1e-9)


def test_schedule_warms_up_and_falls_to_zero():
    rates = [reference.learning_rate(s, 20, 1.0) for s in range(21)]
    assert rates[:3] == [0.0, 0.5, 1.0]
    assert rates[11] == pytest.approx(0.5)
    assert rates[20] == 0.0


def test_first_adamw_step_moves_each_weight_by_the_rate():
    # After one step both corrected moments are those of the gradient alone.
    params = {"a.weight": np.array([1.0, -2.0]), "a.bias": np.array([1.0])}
    grads = {"a.weight": np.array([3.0, -4.0]), "a.bias": np.array([12.0])}
    norm = reference.AdamW(params, weight_decay=0.1).apply(grads, 0.01, max_norm=1.0)
    assert norm == 13.0
    np.testing.assert_allclose(params["a.weight"], [0.999 - 0.01, -1.998 + 0.01], atol=1e-8)
    np.testing.assert_allclose(params["a.bias"], [0.99], atol=1e-8)
