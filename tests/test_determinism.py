"""The same bits on any number of threads, in any batch, and after a fork."""

import contextlib
import os
import signal
import threading
import time

import numpy as np
import pytest
from cases import Engine, arrays, engine_config, random_batch, random_params, sequence_of

from bertsent import _core

LENGTHS = [64, 3, 70, 1, 25, 90, 17, 33, 100, 8, 66]


@pytest.fixture(scope="module")
def setting():
    config = engine_config(
        hidden_size=96, num_attention_heads=4, intermediate_size=272, max_position_embeddings=100
    )
    rng = np.random.default_rng(0)
    params = random_params(config, rng, scale=0.1)
    batch = random_batch(config, rng, LENGTHS, weights=True)
    return config, params, batch


PRECISIONS = _core.precisions()
TRAINING = [p for p in PRECISIONS if p != "int8"]


def _train(config, params, batch, n_threads, steps=3, precision="float32"):
    engine = Engine(config, params)
    grads, mean, square = (np.zeros_like(engine.flat) for _ in range(3))
    losses = []
    for step in range(steps):
        loss, _, norm = engine.model.train_step(
            *arrays(batch), batch["keys"], batch["labels"], batch["weights"], grads, mean, square,
            freeze=0, seed=3, step=step, lr=1e-3, weight_decay=0.01, max_grad_norm=1.0,
            n_threads=n_threads, precision=precision,
        )
        losses.append((loss, norm))
    return losses, engine.flat.copy(), mean, square


@pytest.mark.parametrize("precision", TRAINING)
@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_training_gives_the_same_bits_on_any_number_of_threads(setting, n_threads, precision):
    expected = _train(*setting, 1, precision=precision)
    found = _train(*setting, n_threads, precision=precision)
    assert found[0] == expected[0]
    for one, other in zip(found[1:], expected[1:], strict=True):
        np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_scoring_gives_the_same_bits_on_any_number_of_threads(setting, n_threads, precision):
    config, params, batch = setting
    engine = Engine(config, params, precision=precision)
    many = sequence_of(batch, list(range(len(LENGTHS))) * 12)
    expected = engine.score(many, n_threads=1)
    np.testing.assert_array_equal(engine.score(many, n_threads=n_threads), expected)


def test_another_seed_or_step_draws_other_bits(setting):
    config, params, batch = setting
    engine = Engine(config, params)
    first = engine.loss_and_gradients(batch, training=True, seed=1, step=1)[0]
    assert engine.loss_and_gradients(batch, training=True, seed=1, step=1)[0] == first
    assert engine.loss_and_gradients(batch, training=True, seed=2, step=1)[0] != first
    assert engine.loss_and_gradients(batch, training=True, seed=1 + 2**32, step=1)[0] != first
    assert engine.loss_and_gradients(batch, training=True, seed=1, step=2)[0] != first


def test_a_sequence_draws_the_same_bits_wherever_it_lies(setting):
    # Other dropout bits would change logits by some tenths; products may sum in another order.
    config, params, batch = setting
    engine = Engine(config, params)
    whole = engine.loss_and_gradients(batch, training=True, seed=9, step=4)[1]
    plain = engine.score(batch)
    assert np.abs(whole - plain).max() > 0.05
    rng = np.random.default_rng(1)
    for which in (rng.permutation(len(LENGTHS)), [8], [5, 0], list(range(len(LENGTHS)))[::-1]):
        part = sequence_of(batch, list(which))
        logits = engine.loss_and_gradients(part, training=True, seed=9, step=4)[1]
        np.testing.assert_allclose(logits, whole[which], rtol=0, atol=2e-6)


def test_scores_come_in_the_order_given(setting):
    config, params, batch = setting
    engine = Engine(config, params)
    many = sequence_of(batch, list(range(len(LENGTHS))) * 30)
    once = engine.score(batch)
    scores = engine.score(many, n_threads=2)
    np.testing.assert_allclose(scores, np.tile(once, (30, 1)), rtol=0, atol=2e-6)
    order = np.random.default_rng(2).permutation(len(scores))
    shuffled = engine.score(sequence_of(many, order), n_threads=2)
    np.testing.assert_allclose(shuffled, scores[order], rtol=0, atol=2e-6)


def test_inputs_stay_as_they_are(setting):
    config, params, batch = setting
    engine = Engine(config, params)
    before = {k: None if v is None else v.copy() for k, v in batch.items()}
    flat = engine.flat.copy()
    engine.score(batch)
    engine.loss_and_gradients(batch, training=True)
    np.testing.assert_array_equal(engine.flat, flat)
    for name, value in before.items():
        if value is not None:
            np.testing.assert_array_equal(batch[name], value, err_msg=name)


def test_two_python_threads_score_one_model_at_once(setting):
    config, params, batch = setting
    engine = Engine(config, params)
    expected = engine.score(batch, n_threads=2)
    wrong = []

    def work(n_threads):
        for _ in range(20):
            if not np.array_equal(engine.score(batch, n_threads=n_threads), expected):
                wrong.append(n_threads)

    threads = [threading.Thread(target=work, args=(n,)) for n in (2, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_training_and_scoring_of_two_models_at_once(setting):
    config, params, batch = setting
    expected = _train(config, params, batch, 2)[1]
    scorer = Engine(config, params)
    scores = scorer.score(batch)
    stop, wrong = threading.Event(), []

    def work():
        while not stop.is_set():
            if not np.array_equal(scorer.score(batch, n_threads=2), scores):
                wrong.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    found = [_train(config, params, batch, 2)[1] for _ in range(3)]
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert wrong == []
    for one in found:
        np.testing.assert_array_equal(one, expected)


def _in_child(work, seconds=30):
    """Fork, run ``work`` in the child, and return whether it succeeded in time."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 2
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@contextlib.contextmanager
def _meanwhile(work):
    """Repeat ``work`` in another thread; the block begins after the first time."""
    stop, done_once = threading.Event(), threading.Event()

    def occupy():
        while not stop.is_set():
            work()
            done_once.set()

    thread = threading.Thread(target=occupy)
    thread.start()
    try:
        assert done_once.wait(60)
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
quiet = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@needs_fork
@quiet
def test_child_scores_and_trains_with_threads_of_its_own(setting):
    config, params, batch = setting
    engine = Engine(config, params)
    expected = engine.score(batch, n_threads=2)
    trained = _train(config, params, batch, 2)[1]

    def work():
        same = np.array_equal(engine.score(batch, n_threads=2), expected)
        return same and np.array_equal(_train(config, params, batch, 2)[1], trained)

    assert _in_child(work)
    np.testing.assert_array_equal(engine.score(batch, n_threads=2), expected)


@needs_fork
@quiet
@pytest.mark.parametrize("busy", ["score", "train"])
def test_fork_while_another_thread_is_inside_a_call(setting, busy):
    config, params, batch = setting
    engine = Engine(config, params)
    expected = engine.score(batch, n_threads=2)
    grads = np.zeros_like(engine.flat)

    def occupy():
        if busy == "score":
            engine.score(batch, n_threads=2)
        else:
            engine.model.forward_backward(
                *arrays(batch), batch["keys"], batch["labels"], None, grads, freeze=0,
                training=True, seed=0, step=0, n_threads=2,
            )

    def work():
        # The model that the other thread was using when the process was forked.
        same = np.array_equal(engine.score(batch, n_threads=2), expected)
        loss = engine.loss_and_gradients(batch, n_threads=2)[0]
        return same and np.isfinite(loss)

    with _meanwhile(occupy):
        came_back = [_in_child(work) for _ in range(5)]
    assert all(came_back)


@needs_fork
@quiet
def test_fork_while_another_thread_packs_weights():
    # So many layers that it takes a while to lay out the packed weights.
    config = engine_config(
        vocab_size=40, hidden_size=4, num_hidden_layers=1000, num_attention_heads=1,
        intermediate_size=4, max_position_embeddings=8,
    )
    rng = np.random.default_rng(0)
    params, batch = random_params(config, rng), random_batch(config, rng, [2])
    expected = Engine(config, params).score(batch, n_threads=1)
    current = []

    def occupy():
        engine = Engine(config, params)
        current[:] = [engine]
        engine.score(batch, n_threads=1)

    with _meanwhile(occupy):
        came_back = [
            _in_child(lambda: np.array_equal(current[0].score(batch, n_threads=1), expected))
            for _ in range(100)
        ]
    assert all(came_back)
