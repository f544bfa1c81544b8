"""The gradient of texts in windows is that of the whole text, however it is divided."""

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
)

from bertsent import WordPieceTokenizer, _core
from bertsent.texts.long_text import Reader, Windows, count_tokens, most_sequences

TRAINING = [name for name in _core.precisions() if name != "int8"]
RATES = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.4}
# Windows of six texts: one text has a single window, the longest has nine.
LENGTHS = [[20, 20, 7], [3], [20] * 8 + [1], [20, 2], [11], [20, 20]]
HOW = {"training": True, "seed": 2**40 + 17, "step": 5}


def case(seed=0, **changes):
    """A model, a batch of windows, and which windows form each text."""
    config = engine_config(**(RATES | changes))
    rng = np.random.default_rng(seed)
    params = random_params(config, rng)
    batch = random_batch(config, rng, np.concatenate(LENGTHS))
    batch["labels"] = rng.integers(0, config["num_labels"], len(LENGTHS)).astype(np.int32)
    batch["weights"] = rng.uniform(0.2, 3.0, len(LENGTHS)).astype(np.float32)
    first = np.cumsum([0, *map(len, LENGTHS)])
    # Not the weights that bertsent uses: the engine accepts any.
    shares = rng.uniform(0.1, 1.0, first[-1])
    shares /= np.repeat(np.add.reduceat(shares, first[:-1]), np.diff(first))
    return config, params, batch, (first, shares.astype(np.float32))


def twin_of(config, params, batch, windows, *, freeze=0, smoothing=0.0, calm=0):
    """Loss, logits and gradients in float64, all windows in one pass."""
    twin = reference.Bert(config, params)
    first, shares = windows[0], windows[1].astype(np.float64)[:, None]
    logits = np.add.reduceat(twin.forward(batch, calm=calm, **HOW) * shares, first[:-1])
    loss, d = reference.cross_entropy(logits, batch["labels"], batch["weights"], smoothing)
    spread = np.repeat(d, np.diff(first), axis=0) * shares
    return loss, logits, twin.backward(spread, freeze=freeze)


@pytest.mark.parametrize("tokens", [0, 60, 45, 20, 1])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_it_is_that_of_the_twin(tokens, pooling):
    """0: all at once; 60: the longest text in 3 parts; 45: in 5; 20 and 1: one by one."""
    config, params, batch, windows = case(pooling=pooling)
    loss, logits, grads = twin_of(config, params, batch, windows, smoothing=0.1)
    engine = Engine(config, params)
    found = engine.loss_and_gradients(
        batch, windows=windows, micro_batch_tokens=tokens, label_smoothing=0.1, **HOW
    )
    assert found[1].shape == (6, 3)
    np.testing.assert_allclose(found[1], logits, rtol=1e-5, atol=1e-5)
    assert found[0] == pytest.approx(loss, rel=1e-5)
    assert_gradients_agree(found[2], grads, rel=2e-5)


@pytest.mark.parametrize("freeze", [1, 2])
def test_what_is_frozen_stays(freeze):
    config, params, batch, windows = case()
    loss, _, grads = twin_of(config, params, batch, windows, freeze=freeze, calm=freeze)
    found = Engine(config, params).loss_and_gradients(
        batch, windows=windows, micro_batch_tokens=45, freeze=freeze, freeze_dropout=True, **HOW
    )
    assert found[0] == pytest.approx(loss, rel=1e-5)
    assert_gradients_agree(found[2], grads, rel=2e-5)


def test_it_is_the_slope_of_the_loss():
    config, params, batch, windows = case()
    grads = Engine(config, params).loss_and_gradients(
        batch, windows=windows, micro_batch_tokens=45, **HOW
    )[2]
    rng = np.random.default_rng(1)
    direction = {name: rng.normal(0.0, 1.0, value.shape) for name, value in params.items()}
    # The padding token's row is not trained.
    direction["embeddings.word.weight"][config["pad_token_id"]] = 0.0
    slope = sum((grads[name] * direction[name]).sum() for name in grads)
    h = 1e-5
    up, down = (
        twin_of(config, {n: v + s * h * direction[n] for n, v in params.items()}, batch, windows)[0]
        for s in (1, -1)
    )
    assert (up - down) / (2 * h) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("precision", TRAINING)
def test_parts_make_no_difference(precision):
    config, params, batch, windows = case(hidden_size=48)
    engine = Engine(config, params, precision=precision)
    stored = engine.loss_and_gradients(batch, windows=windows, micro_batch_tokens=10**6, **HOW)
    for tokens in (60, 20, 1):
        found = engine.loss_and_gradients(
            batch, windows=windows, micro_batch_tokens=tokens, **HOW
        )
        np.testing.assert_allclose(found[1], stored[1], rtol=1e-5, atol=1e-5)
        # In bfloat16, values close to a tie may be rounded the other way, a step of 2^-8.
        # So do those of the keys' biases, which are sums of rounding errors only.
        allowed = ({"rel": 1e-5} if precision == "float32" else {"rel": 2.0**-7, "of_all": 1e-4})
        assert_gradients_agree(found[2], stored[2], **allowed)


@pytest.mark.parametrize("precision", TRAINING)
@pytest.mark.parametrize("tokens", [45, 0])
def test_threads_give_the_same_bits(tokens, precision):
    config, params, batch, windows = case(hidden_size=48)
    engine = Engine(config, params, precision=precision)
    one, *others = (
        engine.loss_and_gradients(
            batch, windows=windows, micro_batch_tokens=tokens, n_threads=n, **HOW
        )
        for n in (1, 2, 3)
    )
    for loss, logits, grads in others:
        assert loss == one[0] and np.array_equal(logits, one[1])
        for name, value in grads.items():
            assert np.array_equal(value, one[2][name]), name


def test_texts_of_one_window_are_texts():
    config, params, _, _ = case()
    batch = random_batch(config, np.random.default_rng(2), [5, 30, 9, 2, 31], weights=True)
    engine = Engine(config, params)
    windows = np.arange(6), np.ones(5, np.float32)
    for tokens in (0, 35):
        plain = engine.loss_and_gradients(batch, micro_batch_tokens=tokens, **HOW)
        found = engine.loss_and_gradients(
            batch, micro_batch_tokens=tokens, windows=windows, **HOW
        )
        assert found[0] == plain[0] and np.array_equal(found[1], plain[1])
        for name, value in found[2].items():
            assert np.array_equal(value, plain[2][name]), name


def test_memory_is_that_of_a_part():
    config, params, _, _ = case()
    engine = Engine(config, params)
    rng = np.random.default_rng(3)
    sizes = []
    for count in (2, 400):
        batch = random_batch(config, rng, [40] * count)
        batch["labels"] = batch["labels"][:1]
        windows = np.array([0, count]), np.full(count, 1 / count, np.float32)
        loss, logits, grads = engine.loss_and_gradients(
            batch, windows=windows, micro_batch_tokens=80, **HOW
        )
        assert logits.shape == (1, 3) and np.isfinite(loss)
        assert np.abs(grads["head.output.weight"]).max() > 1e-3
        sizes.append((engine.model.reserved, engine.model.allocations))
    assert sizes[0] == sizes[1]
    offsets = np.array([0, 40, 80])
    assert engine.model.reserved == engine.model.pass_size(offsets)


def test_a_step_is_gradient_and_update():
    config, params, batch, windows = case()
    engine, other = Engine(config, params), Engine(config, params)
    state = [np.zeros_like(engine.flat) for _ in range(3)]
    how = {"lr": 1e-3, "max_grad_norm": 1.0}
    loss, logits, norm = engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], batch["weights"], *state, windows=windows,
        micro_batch_tokens=45, **how, **HOW,
    )
    expected = other.loss_and_gradients(batch, windows=windows, micro_batch_tokens=45, **HOW)
    assert loss == expected[0] and np.array_equal(logits, expected[1])
    grads = np.zeros_like(other.flat)
    for view, value in zip(
        np.split(grads, [o for _, _, o, *_ in other.table[1]][1:]), expected[2].values(),
        strict=True,
    ):
        view[: value.size] = value.ravel()
    state = [np.zeros_like(engine.flat) for _ in range(2)]
    assert other.model.apply(grads, *state, step=5, **how) == norm > 0
    assert np.array_equal(engine.flat, other.flat)


def test_a_loss_that_is_not_finite_is_an_error():
    config, params, batch, windows = case()
    params["head.output.bias"][0] = np.inf
    with pytest.raises(FloatingPointError, match="loss"):
        Engine(config, params).loss_and_gradients(
            batch, windows=windows, micro_batch_tokens=45, **HOW
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda first, shares: (first[:-1], shares), "begin with 0 and end with .* 18"),
        (lambda first, shares: (first + 1, shares), "begin with 0"),
        (lambda first, shares: (first[:0], shares), "begin with 0"),
        (lambda first, shares: (first[[0, 2, 1, 3, 4, 5, 6]], shares), "text 1 has no window"),
        (lambda first, shares: (first[[0, 1, 1, 3, 4, 5, 6]], shares), "text 1 has no window"),
        (lambda first, shares: (first, -shares), "window 0 has share -"),
        (lambda first, shares: (first, shares * np.float32(np.nan)), "window 0 has share"),
        (lambda first, shares: (first, shares[:-1]), "shares: expected 18 items, got 17"),
        (lambda first, shares: (first[[0, 2, 3, 4, 5, 6]], shares), "targets: expected 5 items"),
        (lambda first, shares: (first.astype(np.int32), shares), "windows: expected .*int64"),
        (lambda first, shares: [first, shares], "windows: expected a tuple"),
        (lambda first, shares: (first,), "windows: expected a tuple"),
    ],
)
def test_windows_that_cannot_be_are_refused(change, message):
    config, params, batch, windows = case()
    with pytest.raises((ValueError, TypeError), match=message):
        Engine(config, params).loss_and_gradients(batch, windows=change(*windows), **HOW)


def test_each_window_draws_dropout_of_its_own():
    """Keyed by text and position in it, so that a text has the same dropout in any batch."""
    windows = Windows(np.array([0, 1, 4, 6]), np.ones(6, np.float32))
    rows, taken = windows.take(np.array([2, 0, 1]))
    assert rows.tolist() == [4, 5, 0, 1, 2, 3]
    assert taken.first.tolist() == [0, 2, 3, 6]
    keys = windows.keys(np.array([2, 0, 1]))
    assert keys.tolist() == [2, 2 + 2**32, 0, 1, 1 + 2**32, 1 + 2**33] and keys.dtype == np.uint64


def test_lengths_are_those_of_the_tokenizer():
    """The count that `bertsent doctor` uses, without making the windows."""
    tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
    totals = np.array([0, 1, 9, 10, 11, 20, 21, 500])
    texts = ["a " * n for n in totals]
    assert count_tokens(tokenizer, texts).tolist() == totals.tolist()
    for how in [("head",), ("tail",), ("head+tail",), ("windows", 0), ("windows", 7)]:
        reader = Reader(12, *how)
        lengths, first = reader.sequence_lengths(totals)
        encoding = reader.encode(tokenizer, texts, 1)
        assert lengths.tolist() == np.diff(encoding.offsets).tolist()
        if how[0] == "windows":
            assert first.tolist() == encoding.windows.tolist()
            counts = np.sort(np.diff(first))
            assert [most_sequences(encoding, n) for n in (1, 3, 99)] == [
                counts[-1], counts[-3:].sum(), counts.sum()
            ]
        else:
            assert most_sequences(encoding, 3) == 3 and Windows.of(encoding) is None
