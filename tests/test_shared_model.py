"""One engine model used from several threads, and arrays that change while they are used."""

import signal
import threading
import time

import numpy as np
import pytest
from cases import Engine, arrays, engine_config, random_batch, random_params

CONFIG = engine_config()


def make_engine(**changes):
    config = engine_config(**changes)
    return Engine(config, random_params(config, np.random.default_rng(3)))


def make_batch(lengths=(5, 9, 1), seed=4, config=CONFIG):
    return random_batch(config, np.random.default_rng(seed), list(lengths))


def train_step(engine, batch, state):
    return engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], None, *state, lr=1e-3, step=0
    )


def make_state(engine):
    return [np.zeros_like(engine.flat) for _ in range(3)]


# ---- arrays that change ----


@pytest.mark.parametrize("name", ["ids", "types", "cu_seqlens", "keys"])
def test_backward_uses_the_batch_that_forward_got(name):
    engine = make_engine()
    batch = make_batch()
    expected, found = np.zeros_like(engine.flat), np.zeros_like(engine.flat)
    gradient = np.ones((3, CONFIG["num_labels"]), np.float32)
    session = engine.core.Session(engine.model)
    session.forward(*arrays(batch), batch["keys"], training=True)
    session.backward(gradient, expected)
    session.forward(*arrays(batch), batch["keys"], training=True)
    batch[name][:] = 2**30
    session.backward(gradient, found)
    np.testing.assert_array_equal(found, expected)


def test_scores_are_those_of_the_arrays_at_one_moment():
    engine = make_engine()
    batch = make_batch([30, 20, 10])
    good = batch["ids"].copy()
    expected = engine.score(batch)
    done = threading.Event()

    def disturb():
        while not done.is_set():
            batch["ids"][:] = 2**30
            batch["ids"][:] = good

    other = threading.Thread(target=disturb)
    other.start()
    outcomes = set()
    try:
        for _ in range(300):
            try:
                np.testing.assert_array_equal(engine.score(batch), expected)
                outcomes.add("right")
            except IndexError as error:
                assert "token id" in str(error)
                outcomes.add("refused")
    finally:
        done.set()
        other.join()
    assert outcomes


@pytest.mark.parametrize(
    "offsets", [[], [0], [1, 5], [0, 5, 3], [0, -4], [0, 2**62], [5, 5], [0, 2**41]]
)
def test_the_size_of_a_pass_needs_sensible_offsets(offsets):
    with pytest.raises(ValueError, match=r"cu_seqlens|the batch is empty"):
        make_engine().model.pass_size(np.array(offsets, np.int64))


def test_the_size_of_a_pass_grows_with_it():
    model = make_engine().model
    sizes = [model.pass_size(np.array([0, *cuts], np.int64)) for cuts in ([5], [10], [10, 20])]
    assert 0 < sizes[0] < sizes[1] < sizes[2]


def read_only(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("x", "bias"),
    [
        (np.zeros((5, 0, 7), np.float32), np.zeros(7, np.float32)),
        (np.zeros((2, 3, 7), np.float32), np.zeros(7, np.float32)),
        (read_only(np.zeros((5, 7), np.float32)), np.zeros(7, np.float32)),
        (np.zeros((7, 5), np.float32).T, np.zeros(7, np.float32)),
    ],
)
def test_single_kernels_take_writable_arrays_of_two_dimensions(x, bias):
    with pytest.raises(TypeError, match="writable C-contiguous"):
        make_engine().core.kernel_call("bias_add", "portable", x, bias)


# ---- threads ----


def run_threads(functions):
    """Run functions until all have ended; return their exceptions."""
    errors = []

    def run(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,), daemon=True) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "a thread waits for ever"
    return errors


def test_training_gets_its_turn_beside_many_scorers():
    engine = make_engine(hidden_size=96, num_attention_heads=4, num_hidden_layers=4)
    batch = make_batch([40] * 40, config=engine.config)
    trained = threading.Event()
    scores = []

    def train():
        try:
            state = make_state(engine)
            for _ in range(20):
                train_step(engine, batch, state)
        finally:
            trained.set()

    def score():
        while not trained.is_set():
            scores.append(engine.score(batch))

    assert run_threads([train] + [score] * 6) == []
    assert scores and all(np.isfinite(logits).all() for logits in scores)


def test_scores_beside_training_are_those_of_one_step():
    """No score mixes the parameters before a step with those after it."""
    batch = make_batch([20, 12, 7])
    engine = make_engine()
    state = make_state(engine)
    known = [engine.score(batch)]
    for _ in range(8):
        train_step(engine, batch, state)
        known.append(engine.score(batch))
    engine = make_engine()
    trained = threading.Event()
    seen = []

    def train():
        try:
            state = make_state(engine)
            for _ in range(8):
                train_step(engine, batch, state)
        finally:
            trained.set()

    def score():
        while not trained.is_set():
            seen.append(engine.score(batch))

    assert run_threads([train, score, score, score]) == []
    assert all(any(np.array_equal(s, k) for k in known) for s in seen)


def test_a_call_that_waits_for_the_model_can_be_interrupted():
    """Ctrl-C ends a training step that waits for a scoring call, before that call is over."""
    engine = make_engine(hidden_size=192, num_attention_heads=4, num_hidden_layers=12)
    long = make_batch([40] * 1200, config=engine.config)
    short = make_batch()
    scorer = threading.Thread(target=engine.score, args=(long,))

    class Interrupted(Exception):
        pass

    def interrupt(signum, frame):
        raise Interrupted

    before = engine.flat.copy()
    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        scorer.start()
        time.sleep(0.5)  # it has the lock by now
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            train_step(engine, short, make_state(engine))
        assert scorer.is_alive(), "the scoring call must be longer than the wait"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        scorer.join()
    np.testing.assert_array_equal(engine.flat, before)
    train_step(engine, short, make_state(engine))
    assert not np.array_equal(engine.flat, before)


def test_a_session_refuses_parameters_that_changed_after_forward():
    engine = make_engine()
    batch = make_batch()
    session = engine.core.Session(engine.model)
    session.forward(*arrays(batch), batch["keys"])
    train_step(engine, batch, make_state(engine))
    with pytest.raises(RuntimeError, match="have changed since forward"):
        session.backward(
            np.ones((3, CONFIG["num_labels"]), np.float32), np.zeros_like(engine.flat)
        )
