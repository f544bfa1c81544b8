"""The engine below float32: against twins with the same rounding, and against itself."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import reference
import reference_reduced
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
from reference_reduced import BFloat16Bert, Int8Bert
from test_golden import NAMES as GOLDEN_NAMES, Golden
from test_gradients import NO_DROPOUT, RATES

from bertsent import _core
from bertsent.model.bert import BertForSequenceClassification

REDUCED = [p for p in _core.precisions() if p != "float32"]
HAS_BF16 = "bfloat16" in REDUCED
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="these kernels have no bfloat16")
each_reduced = pytest.mark.parametrize("precision", REDUCED)

# name: (changes of the configuration, sequence lengths)
CASES = {
    "one token": ({}, [1]),
    "heads of 8": ({"hidden_size": 24, "intermediate_size": 40}, [7, 1, 12, 30]),
    "heads of 20, relu": (
        {"hidden_size": 40, "num_attention_heads": 2, "intermediate_size": 65,
         "hidden_act": "relu"},
        [33, 1, 31, 2],
    ),
    "one head, odd sizes": (
        {"hidden_size": 33, "num_attention_heads": 1, "intermediate_size": 51}, [11, 4, 26],
    ),
    "heads of one": ({"hidden_size": 6, "num_attention_heads": 6, "intermediate_size": 7}, [8, 5]),
    "one layer": ({"num_hidden_layers": 1}, [9, 2, 17]),
    "narrow embeddings": ({"embedding_size": 10}, [7, 1, 12, 30]),
    "biases by distance": ({"relative_bias": True, "pooling": "mean"}, [21, 1, 12, 40]),
    "biases by distance, [CLS]": ({"relative_bias": True}, [21, 1, 40]),
    "means": ({"pooling": "mean"}, [7, 1, 12, 30]),
    "three layers, gelu_new": ({"num_hidden_layers": 3, "hidden_act": "gelu_new"}, [9, 14]),
    "heads of 24, hidden size of 312": (
        {"hidden_size": 312, "num_attention_heads": 13, "intermediate_size": 777}, [33, 1, 31, 64],
    ),
    # More scores than one block of attention holds.
    "600 tokens": ({"num_attention_heads": 2, "intermediate_size": 33}, [600, 33]),
}
# Large enough that in every run some elements round differently from the twin's.
LARGE = {"heads of 24, hidden size of 312", "600 tokens"}
SEEDS = range(5)


def _case(name, dropout, seed=0):
    changes, lengths = CASES[name]
    rates = RATES if dropout else NO_DROPOUT
    config = engine_config(max_position_embeddings=600, **changes, **rates)
    rng = np.random.default_rng(seed)
    params = random_params(config, rng, scale=0.25 if config["hidden_size"] < 100 else 0.08)
    return config, params, random_batch(config, rng, lengths, weights=True)


def _twin(precision, config, params):
    if precision == "bfloat16":
        return BFloat16Bert(config, params, scoring=True)
    return Int8Bert(config, params, bf16_attention=HAS_BF16)


# A twin that rounds the factors of products as the engine does agrees with it to float32, unless
# an element is so close to a tie that it is rounded the other way. Then they differ by a fraction
# of the rounding error. Small models agree in at least three of four cases. So of five runs one
# must agree to float32, and all must agree to the rounding error. This error is 2^-9 of each factor
# in bfloat16, which adds up to some hundredths in gradients, more where relu's derivative jumps,
# and 1/510 of a row's range in int8. Bounds are twice the errors that were measured.


@each_reduced
@pytest.mark.parametrize("name", CASES)
def test_scores_equal_the_twins(name, precision):
    apart = []
    for seed in SEEDS if name not in LARGE else [0]:
        config, params, batch = _case(name, dropout=True, seed=seed)
        found = Engine(config, params, precision=precision).score(batch)
        rounding = _twin(precision, config, params).forward(batch)
        plain = reference.Bert(config, params).forward(batch)
        np.testing.assert_allclose(found, plain, rtol=0, atol=0.2)
        np.testing.assert_allclose(found, rounding, rtol=0, atol=0.1)
        apart.append(np.abs(found - rounding).max())
    if name not in LARGE:
        assert min(apart) <= 2e-6, apart


@needs_bf16
@pytest.mark.parametrize("name", ["heads of 8", "one head, odd sizes", "means"])
def test_scores_whose_exponentials_overflow_or_vanish_equal_the_twins(name, monkeypatch):
    # A bias of the keys adds the same to all scores of a query, which does not change softmax.
    monkeypatch.setattr(reference_reduced, "AS_THEY_ARE", False)
    apart = []
    for seed in SEEDS:
        config, params, batch = _case(name, dropout=False, seed=seed)
        bias = params["layer.0.attention.key.bias"]
        bias[...] = np.where(np.arange(len(bias)) % 2, 500, -800)
        found = Engine(config, params, precision="bfloat16").score(batch)
        apart.append(np.abs(found - _twin("bfloat16", config, params).forward(batch)).max())
    # Scores of hundreds are exact to 1e-5, so more elements are close to a tie.
    assert max(apart) <= 0.02, apart


@pytest.mark.parametrize("name", CASES)
def test_scoring_does_without_the_last_keys_and_values_that_training_has(name):
    config, params, batch = _case(name, dropout=False)
    last = f"layer.{config['num_hidden_layers'] - 1}.attention"
    for part in ("key", "value"):
        params[f"{last}.{part}.bias"] += np.float32(0.5)
    engine = Engine(config, params)
    _, logits, _ = engine.loss_and_gradients(batch)
    np.testing.assert_allclose(engine.score(batch), logits, rtol=0, atol=3e-6)


@needs_bf16
@pytest.mark.parametrize("dropout", [False, True], ids=["plain", "dropout"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_in_bf16_equal_the_twins(name, dropout):
    options = {"training": dropout, "seed": 2**40 + 17, "step": 5}
    close = 0
    seeds = SEEDS if name not in LARGE else [0]
    for seed in seeds:
        config, params, batch = _case(name, dropout, seed)
        engine = Engine(config, params, precision="bfloat16")
        loss, logits, grads = engine.loss_and_gradients(batch, **options)
        exact_loss, exact_logits, exact = reference.Bert(config, params).loss_and_gradients(
            batch, **options
        )
        assert loss == pytest.approx(exact_loss, rel=0.05)
        np.testing.assert_allclose(logits, exact_logits, rtol=0, atol=0.1)
        jumps = config["hidden_act"] == "relu"
        assert_gradients_agree(grads, exact, rel=0.4 if jumps else 0.1, of_all=5e-3)
        _, _, rounding = BFloat16Bert(config, params).loss_and_gradients(batch, **options)
        assert_gradients_agree(grads, rounding, rel=0.03, of_all=2e-3)
        close += _agree(grads, rounding, rel=1e-3, of_all=1e-5)
    if name not in LARGE:
        assert close


def _agree(found, expected, **limits):
    try:
        assert_gradients_agree(found, expected, **limits)
    except AssertionError:
        return False
    return True


@needs_bf16
@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_training_in_bf16_keeps_to_the_golden_loss_curve(name):
    golden = Golden(name)
    engine, setting = Engine(golden.config, golden.group("weight")), golden.optimizer
    grads, mean, square = (np.zeros_like(engine.flat) for _ in range(3))
    total = len(golden["losses"])
    losses = []
    for step in range(total):
        batch = golden.batches[step % 3]
        losses.append(
            engine.model.train_step(
                *arrays(batch), batch["keys"], batch["labels"], None, grads, mean, square,
                step=step, weight_decay=setting["weight_decay"],
                lr=reference.learning_rate(step, total, setting["lr"], setting["warmup_ratio"]),
                max_grad_norm=setting["max_grad_norm"], precision="bfloat16",
            )[0]
        )
    np.testing.assert_allclose(losses, golden["losses"], rtol=0, atol=0.015)
    assert np.abs(losses - golden["losses"]).max() > 1e-5, "that was float32"


@needs_bf16
@pytest.mark.parametrize("tokens", [1, 40])
def test_micro_batches_in_bf16_give_the_same_gradients(tokens):
    # Other dropout bits would change the results by some tenths.
    config, params, batch = _case("heads of 20, relu", dropout=True)
    engine = Engine(config, params, precision="bfloat16")
    options = {"training": True, "seed": 3, "step": 5}
    expected = engine.loss_and_gradients(batch, **options)
    found = engine.loss_and_gradients(batch, micro_batch_tokens=tokens, **options)
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-5)
    assert_gradients_agree(found[2], expected[2], rel=5e-3)


@needs_bf16
@pytest.mark.parametrize("freeze", [1, 2, 3])
def test_freezing_leaves_the_other_gradients_of_bf16_as_they_are(freeze):
    config, params, batch = _case("three layers, gelu_new", dropout=True)
    engine = Engine(config, params, precision="bfloat16")
    options = {"training": True, "seed": 4, "step": 9}
    full = engine.loss_and_gradients(batch, **options)
    part = engine.loss_and_gradients(batch, freeze=freeze, **options)
    assert part[0] == full[0]
    for name, value in part[2].items():
        if reference.is_frozen(name, freeze):
            assert not value.any(), name
        else:
            np.testing.assert_array_equal(value, full[2][name], err_msg=name)


@needs_bf16
def test_session_in_bf16_gives_the_bits_of_the_step():
    config, params, batch = _case("heads of 20, relu", dropout=True)
    engine = Engine(config, params, precision="bfloat16")
    batch["weights"] = None
    options = {"training": True, "seed": 4, "step": 9}
    _, logits, expected = engine.loss_and_gradients(batch, **options)
    session = _core.Session(engine.model)
    again = session.forward(*arrays(batch), batch["keys"], precision="bfloat16", **options)
    np.testing.assert_array_equal(again, logits)
    _, pull = reference.cross_entropy(logits, batch["labels"])
    grads = np.zeros_like(engine.flat)
    session.backward(pull.astype(np.float32), grads)
    found = unflatten(engine.table, grads)
    assert_gradients_agree(found, expected, rel=1e-2, of_all=1e-4)


# ---- packed weights ----


def _step(engine, batch, precision, step=0, freeze=0, state=None):
    grads, mean, square = state or (np.zeros_like(engine.flat) for _ in range(3))
    return engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], None, grads, mean, square, freeze=freeze,
        step=step, seed=1, lr=0.01, precision=precision,
    )


def _apply(engine, freeze=0):
    rng = np.random.default_rng(6)
    grads = rng.normal(size=engine.flat.size).astype(np.float32)
    mean, square = np.zeros_like(engine.flat), np.zeros_like(engine.flat)
    engine.model.apply(grads, mean, square, freeze=freeze, lr=0.01)


def _touch(engine):
    for name, value in engine.params.items():
        if "layer.1.feed_forward.down.weight" in name:
            value *= -1.5
    engine.model.touch()


CHANGES = {
    "a step": lambda e, b: _step(e, b, "float32"),
    "a step of the last layer": lambda e, b: _step(e, b, "float32", freeze=1),
    "a step in bfloat16": lambda e, b: _step(e, b, "bfloat16"),
    "apply": lambda e, b: _apply(e),
    "apply of the last layer": lambda e, b: _apply(e, freeze=1),
    "touch": lambda e, b: _touch(e),
}


@each_reduced
@pytest.mark.parametrize("change", [c for c in CHANGES if HAS_BF16 or "bfloat16" not in c])
def test_scores_see_changed_weights(change, precision):
    config, params, batch = _case("heads of 20, relu", dropout=True)
    engine = Engine(config, params, precision=precision)
    before = engine.score(batch)
    for _ in range(2):
        CHANGES[change](engine, batch)
        found = engine.score(batch)
        fresh = Engine(config, engine.params, precision=precision).score(batch)
        np.testing.assert_array_equal(found, fresh)
        # Not only the classifier, which is never packed.
        head = {n: v for n, v in engine.params.items() if not n.startswith("layer.")}
        assert np.abs(found - before).max() > 1e-4
        stale = Engine(config, {**params, **head}, precision=precision).score(batch)
        assert np.abs(found - stale).max() > 1e-4
        before = found


@needs_bf16
def test_training_does_not_depend_on_scoring_in_between():
    config, params, batch = _case("three layers, gelu_new", dropout=True)
    ends = []
    for scoring in (False, True):
        engine = Engine(config, params, precision="bfloat16")
        state = [np.zeros_like(engine.flat) for _ in range(3)]
        for step, freeze in enumerate((0, 2, 0, 1, 3, 0)):
            if scoring:
                engine.score(batch)
                engine.model.score(*arrays(batch), precision="int8")
            _step(engine, batch, "bfloat16", step, freeze, state)
        ends.append(engine.flat)
    np.testing.assert_array_equal(*ends)


@each_reduced
def test_edited_and_loaded_parameters_are_seen(tiny_model_dir, precision):
    model = BertForSequenceClassification.from_pretrained(tiny_model_dir(classifier=2, seed=1))
    other = BertForSequenceClassification.from_pretrained(tiny_model_dir(classifier=2, seed=2))
    batch = np.arange(5, 25, dtype=np.int32), None, None, np.array([0, 12, 20], np.int64)
    first = model._core.score(*batch, precision=precision)
    wanted = other._core.score(*batch, precision=precision)
    assert np.abs(first - wanted).max() > 1e-3
    with model.edit_parameters() as parameters:
        for name, value in other.parameters.items():
            parameters[name][...] = value
    np.testing.assert_array_equal(model._core.score(*batch, precision=precision), wanted)


@each_reduced
def test_threads_that_score_just_after_a_change_see_it(precision):
    # Large enough that packing takes longer than the threads take to arrive.
    config = engine_config(hidden_size=192, intermediate_size=768)
    rng = np.random.default_rng(0)
    params = random_params(config, rng, scale=0.08)
    batch = random_batch(config, rng, [3, 5])
    engine = Engine(config, params, precision=precision)
    flats = [engine.flat.copy(), engine.flat[::-1] * np.float32(0.5)]
    wanted = []
    for flat in flats:
        engine.flat[...] = flat
        wanted.append(Engine(config, engine.params, precision=precision).score(batch))
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3
    wrong = []
    for turn in range(120):
        if turn % 5 == 0:  # nothing is packed yet
            engine = Engine(config, params, precision=precision)
        engine.flat[...] = flats[turn % 2]
        engine.model.touch()
        start = threading.Barrier(3)

        def work(turn=turn, start=start, engine=engine):
            start.wait(30)
            if not np.array_equal(engine.score(batch), wanted[turn % 2]):
                wrong.append(turn)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


# ---- the same bits ----


@each_reduced
def test_chunks_score_the_same_together_and_apart(precision):
    config, params, batch = _case("heads of 20, relu", dropout=True)
    engine = Engine(config, params)
    many = sequence_of(batch, list(range(4)) * 6)
    options = {"precision": precision, "chunk_tokens": 134}
    one = engine.model.score(*arrays(many), n_threads=1, **options)  # a thread for each chunk
    for n_threads in (2, 3, 5, 16):  # with more threads, all of them for each chunk
        found = engine.model.score(*arrays(many), n_threads=n_threads, **options)
        np.testing.assert_array_equal(found, one)
    whole = engine.model.score(*arrays(many), precision=precision)
    np.testing.assert_allclose(one, whole, rtol=0, atol=1e-5)


# ---- what is broken, and what is refused ----


@each_reduced
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_weight_stops_scoring_and_training(precision, value):
    config, params, batch = _case("heads of 8", dropout=False)
    for name in params:
        if not name.startswith("layer.") or ".norm." in name:
            continue
        broken = {n: v.copy() for n, v in params.items()}
        at = 0 if name.endswith("bias") else -1
        broken[name].reshape(-1)[at] = value
        engine = Engine(config, broken, precision=precision)
        with pytest.raises(FloatingPointError):
            engine.score(batch)
        if precision == "bfloat16":
            with pytest.raises(FloatingPointError):
                engine.loss_and_gradients(batch)


def test_unknown_precisions_and_training_in_int8_are_refused():
    config, params, batch = _case("one token", dropout=False)
    engine = Engine(config, params, precision="float16")
    with pytest.raises(ValueError, match="'float16', expected 'float32', 'bfloat16' or 'int8'"):
        engine.score(batch)
    with pytest.raises(ValueError, match="'float16', expected"):
        engine.loss_and_gradients(batch)
    engine.precision = "int8"
    with pytest.raises(ValueError, match="'int8' is for scoring; train in 'float32'"):
        engine.loss_and_gradients(batch)
    with pytest.raises(ValueError, match="'int8' is for scoring"):
        _step(engine, batch, "int8")
    with pytest.raises(ValueError, match="'int8' is for scoring"):
        _core.Session(engine.model).forward(*arrays(batch), batch["keys"], precision="int8")


@pytest.mark.skipif(HAS_BF16, reason="these kernels have bfloat16")
def test_bf16_without_the_hardware_is_refused_naming_the_kernels():
    config, params, batch = _case("one token", dropout=False)
    engine = Engine(config, params, precision="bfloat16")
    wanted = rf"needs AVX512-BF16 or AMX, .* \({_core.isa()}\); use 'float32'"
    with pytest.raises(ValueError, match=wanted):
        engine.score(batch)
    with pytest.raises(ValueError, match=wanted):
        engine.loss_and_gradients(batch)
    with pytest.raises(ValueError, match=wanted):
        _step(engine, batch, "bfloat16")
    assert _core.preferred_precision() == "float32"


# ---- memory ----


@pytest.mark.parametrize("precision", [p for p in _core.precisions() if p != "int8"])
def test_steps_allocate_once(precision):
    config, params, batch = _case("heads of 20, relu", dropout=True)
    engine = Engine(config, params, precision=precision)
    large, small = sequence_of(batch, [0, 1, 2, 3] * 3), sequence_of(batch, [0, 3])
    assert engine.model.allocations == 0
    _step(engine, large, precision)
    engine.score(small)
    first = engine.model.allocations
    assert 1 <= first <= 2  # the pass, and packed weights if there are any
    for step in range(1, 6):
        _step(engine, small if step % 2 else large, precision, step, freeze=step % 3)
        engine.score(small)
    assert engine.model.allocations == first
    _step(engine, sequence_of(batch, [0] * 30), precision)
    assert engine.model.allocations == first + 1


# ---- the other instruction sets ----


@pytest.mark.skipif("BERTSENT_TEST_ISA" in os.environ, reason="this is such a process")
@pytest.mark.parametrize("isa", [isa for isa in _core.isa_list() if isa != _core.isa()])
def test_all_of_this_with_another_instruction_set(isa, tmp_path):
    package = Path(_core.__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__).resolve()],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "BERTSENT_ISA": isa, "BERTSENT_TEST_ISA": isa,
             "PYTHONPATH": str(package)},
    )
    assert done.returncode == 0, done.stdout[-4000:]
