"""Threads, forks and signals; the long forms are three programs in tests/crash.

Of each program, a short run must find nothing, and a fault that is put in must be found.
"""

import copy
import os
import pickle
import signal
import sys
import threading
import time
from collections import Counter
from random import Random

import numpy as np
import pytest
from conftest import ROOT
from test_shared_model import make_batch, make_engine, make_state, run_threads, train_step

sys.path.insert(0, str(ROOT / "tests" / "crash"))

import forks
import kills
import signals
import threads

import bertsent


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return threads.Case(tmp_path_factory.mktemp("case"), steps=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return the base model of `signals`, in a folder with what all its kinds need."""
    return signals.prepare(tmp_path_factory.mktemp("signals"))


# --- short runs of the programs -----------------------------------------------------------


def test_threads(case, base, tmp_path):
    counts, findings = Counter(), []
    alone = {number: threads.fit(base, number) for number in range(2)}
    threads.share(case, Random(0), counts, findings, threads.SCORING + threads.COPYING)
    threads.fit_at_once(base, tmp_path, alone, counts, findings)
    assert findings == []
    assert counts["training of the shared model"] == 1 and counts["fits at once"] == 2


def test_forks(case, base):
    counts, findings = Counter(), []
    alone = threads.fit(base, 0)
    forks.fork_beside_threads(case, base, alone, 2, Random(0), counts, findings)
    forks.use_workers(case, base, alone, 1, counts, findings, ["multiprocessing, fork"])
    assert findings == []
    assert counts == {"os.fork beside threads": 2, "multiprocessing, fork": 1}


@pytest.mark.parametrize(("kind", "number"), [
    ("fit", signal.SIGINT), ("predict_file", signal.SIGTERM), ("pretrain", signal.SIGINT),
])
def test_signals(place, kind, number):
    for _, problem in signals.methods(kind, number, 2, Random(0), place):
        assert problem is None


@pytest.mark.parametrize(("kind", "number"), [
    ("bertsent predict", signal.SIGHUP), ("bertsent train", signal.SIGTERM),
])
def test_signals_to_commands(place, kind, number):
    for outcome, problem in signals.commands(kind, number, 2, Random(0), place):
        assert problem is None and outcome != "failed"


# --- faults that they find ----------------------------------------------------------------


def share(case, actions):
    findings = []
    threads.share(case, Random(0), Counter(), findings, actions, n_threads=4)
    return findings


def test_scores_without_the_lock_are_found(case, monkeypatch):
    from bertsent import _core

    plain = case.make

    def make():
        clf = plain()
        model = clf.model_
        locked = model._core

        class Unlocked:
            """Trains the same parameters through another object, which has another lock."""

            def __getattr__(self, name):
                other = _core.Model(model._engine, model._flat)
                return getattr(other if name == "train_step" else locked, name)

        model._core = Unlocked()
        return clf

    monkeypatch.setattr(case, "make", make)
    assert share(case, (threads.predict_proba,))


def test_copies_without_the_lock_are_found(case, monkeypatch):
    def copied(model, sources=(), targets=()):
        for source, target in zip(sources, targets, strict=True):
            target[:] = source
            time.sleep(0.002)
        return plain(model)

    plain = bertsent.BertForSequenceClassification._copy
    monkeypatch.setattr(bertsent.BertForSequenceClassification, "_copy", copied)
    assert share(case, (threads.deep, threads.pickled))


def test_other_bits_in_a_child_are_found(case, base):
    findings = []
    forks.fork_beside_threads(case, base, "another hash", 1, Random(0), Counter(), findings)
    assert findings == ["a forked child ended with 2"]


@pytest.mark.parametrize("fault", ["handlers", "vanished", "rubbish"])
def test_what_a_signal_spoils_is_found(place, monkeypatch, fault):
    from bertsent.system import interrupts

    plain = signals.PredictFile.call
    monkeypatch.setattr(signals, "LOST", 1)

    def untidy(work):
        try:
            plain(work)
        finally:
            (work.folder / ".rubbish").touch()

    if fault == "handlers":
        forget = interrupts._open.clear
        monkeypatch.setattr(interrupts.Interrupts, "_restore", lambda self: forget())
    elif fault == "vanished":
        monkeypatch.setattr(interrupts, "_note", lambda number, frame: None)
    else:
        monkeypatch.setattr(signals.PredictFile, "call", untidy)
    outcomes = signals.methods("predict_file", signal.SIGINT, 50, Random(0), place)
    assert any(problem is not None for _, problem in outcomes)


# --- what they found ----------------------------------------------------------------------


def test_a_copy_is_made_between_two_steps():
    """A snapshot waits for a training step that is under way."""
    engine = make_engine(hidden_size=96, num_attention_heads=4, num_hidden_layers=4)
    batch = make_batch([40] * 20, config=engine.config)
    state = make_state(engine)
    train_step(engine, batch, state)
    known, ended = {threads.digest(engine.flat, *state[1:]): 1}, threading.Event()
    twin = make_engine(hidden_size=96, num_attention_heads=4, num_hidden_layers=4)
    twin_state = make_state(twin)
    train_step(twin, batch, twin_state)
    for step in range(2, 6):
        train_step(twin, batch, twin_state)
        known[threads.digest(twin.flat, *twin_state[1:])] = step
    seen = []

    def train():
        for _ in range(2, 6):
            train_step(engine, batch, state)
        ended.set()

    def copy_always():
        targets = tuple(np.empty_like(engine.flat) for _ in range(3))
        while not ended.is_set():
            steps = engine.model.copy_settled((engine.flat, *state[1:]), targets)
            seen.append((threads.digest(*targets), steps))

    assert run_threads([train, copy_always]) == []
    assert seen and all(known.get(found) == steps for found, steps in seen)


@pytest.mark.parametrize(("sources", "targets"), [(1, 2), (2, 1)])
def test_copies_need_as_many_targets(sources, targets):
    engine = make_engine()
    with pytest.raises(ValueError, match="as many targets"):
        engine.model.copy_settled((engine.flat,) * sources, (engine.flat,) * targets)


def test_copies_need_the_size_of_the_parameters():
    engine = make_engine()
    with pytest.raises((TypeError, ValueError), match="targets"):
        engine.model.copy_settled((engine.flat,), (engine.flat[:-1],))


class Keep:
    """A callback that pickles a classifier after each step."""

    def __init__(self, clf, copies):
        self.clf, self.copies = clf, copies

    def on_step(self, event):
        self.clf.callbacks = None
        self.copies.append(pickle.loads(pickle.dumps(self.clf)))
        self.clf.callbacks = self


def test_a_pickle_within_a_call_continues_from_its_step(case):
    """Moments, their number of steps and the parameters belong together."""
    clf, copies = case.make(), []
    clf.callbacks = Keep(clf, copies)
    begun = clf._fitted.moments.step
    clf.partial_fit(threads.TEXTS[:8], threads.LABELS[:8])
    assert [each._fitted.moments.step for each in copies] == [begun + 1, begun + 2]
    clf.callbacks = None
    for each in (clf, copies[1]):
        each._fitted.history.clear()  # the order of the texts depends on the epoch
        each.partial_fit(threads.TEXTS[:4], threads.LABELS[:4])
    assert np.array_equal(copies[1].model_._flat, clf.model_._flat)


@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
def test_a_copy_while_the_first_fit_ends(make, way):
    """The attribute that `fit` adds does not change the dictionary that is read."""
    clf = make()

    class Slow:
        def __reduce__(self):
            clf.__dict__["_fitted"] = None  # as another thread does
            return str, ()

        def __deepcopy__(self, memo):
            clf.__dict__["_fitted"] = None
            return self

    clf.log_file = Slow()
    way(clf)


def test_a_mark_of_changed_parameters_is_not_lost_to_an_interrupt():
    """The engine packs weights anew although Ctrl-C came while their mark waited for its turn."""
    engine = make_engine(hidden_size=192, num_attention_heads=4, num_hidden_layers=12)
    long = make_batch([40] * 150, config=engine.config)
    short = make_batch(config=engine.config)

    class Stopped(Exception):
        pass

    def stop(number, frame):
        raise Stopped

    engine.score(short)
    scorer = threading.Thread(target=engine.score, args=(long,))
    old = signal.signal(signal.SIGALRM, stop)
    try:
        scorer.start()
        time.sleep(0.1)
        engine.flat *= 0.5
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Stopped):
            engine.model.touch()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
        scorer.join()
    other = make_engine(hidden_size=192, num_attention_heads=4, num_hidden_layers=12)
    other.flat[:] = engine.flat
    other.model.touch()
    assert np.array_equal(engine.score(short), other.score(short))


def test_a_child_may_read_what_another_thread_was_reading(case, tmp_path):
    """The locks of parameters and of large cells are new in a child process."""
    from bertsent.files import delimited
    from bertsent.model import bert

    held, over = threading.Event(), threading.Event()

    def hold():
        with bert._edit_lock, delimited._large_cells.lock:
            held.set()
            over.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(60)
    clf = case.make()
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        with delimited._large_cells:
            clf.model_.parameters["classifier.bias"].sum()
        os._exit(0)
    over.set()
    holder.join()
    assert kills.finish(pid) == 0


def test_a_fork_waits_for_the_update_of_a_step():
    """A child never has parameters of which some were updated and others not."""

    def make():  # the update of the table of words takes longer than all the rest
        engine = make_engine(vocab_size=100_000)
        return engine, make_state(engine)

    def ends(engine, state):
        return tuple(array[at] for array in (engine.flat, *state[1:]) for at in changing)

    twin, twin_state = make()
    batch = make_batch([2, 2], config=twin.config)
    batch["ids"][:] = 4
    train_step(twin, batch, twin_state)
    changing = np.flatnonzero(twin_state[1])[[0, -1]]
    known = {ends(twin, twin_state)}
    for _ in range(8):
        train_step(twin, batch, twin_state)
        known.add(ends(twin, twin_state))
    engine, state = make()
    train_step(engine, batch, state)
    trainer = threading.Thread(
        target=lambda: [train_step(engine, batch, state) for _ in range(8)]
    )
    trainer.start()
    codes = []
    while trainer.is_alive():
        pid = os.fork()
        if not pid:
            os._exit(ends(engine, state) not in known)
        codes.append(kills.finish(pid))
    trainer.join()
    assert codes and not any(codes)
