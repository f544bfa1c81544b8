"""Signals are recorded at once and raised between chunks, so that no library can clear them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pandas as pd
import pytest
from test_classifier import make_texts

import bertsent
from bertsent.cli import main
from bertsent.system import (
    HungUp,
    Interrupts,
    Terminated,
    check_interrupts,
    hold_interrupts,
    interrupt_at_once,
    interruptible,
    uninterrupted,
)

TEXTS, LABELS = make_texts(40)
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def press(number=signal.SIGINT):
    signal.raise_signal(number)


class Pressing:
    """An object whose comparison with a dtype is a place where NumPy clears every exception."""

    def __repr__(self):
        press()
        return "pressing"


@pytest.fixture(autouse=True)
def handlers_are_restored():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.fixture(scope="module")
def fitted(base):
    return bertsent.BertClassifier(
        base, max_length=16, epochs=1, batch_size=8, random_state=0, verbose=0, n_threads=1,
        precision="float32", inference_precision="float32", track_examples=True,
    ).fit(TEXTS, LABELS)


# --- the mechanism ------------------------------------------------------------------------


def test_what_numpy_clears_is_raised_later():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        assert not np.dtype(object) == Pressing()
        reached.append(1)
        check_interrupts()
        reached.append(2)
    assert reached == [1]


def test_the_end_of_the_block_is_a_safe_place():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        reached.append(1)
    assert reached == [1]


def test_a_second_one_is_raised_at_once_and_kept_if_it_is_lost():
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        press()
        pytest.fail("the second one was deferred")
    lost = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        lost.append(np.dtype(object) == Pressing())
        check_interrupts()
        lost.append(1)
    assert lost == [False]
    check_interrupts()


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("number", "kind"), [
    (signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGHUP, HungUp),
])
def test_each_signal_has_its_exception(number, kind, nested):
    with pytest.raises(KeyboardInterrupt) as caught, Interrupts():
        if nested:
            with Interrupts():
                press(number)
                check_interrupts()
        press(number)
    assert type(caught.value) is kind


def test_inside_another_one_the_handlers_stay_until_the_outer_one_ends():
    with Interrupts():
        mine = signal.getsignal(signal.SIGINT)
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is mine
        assert signal.getsignal(signal.SIGINT) is mine
        with Interrupts(ends=False):
            pass
        assert signal.getsignal(signal.SIGTERM) is mine


def test_signals_that_end_the_process_are_left_alone_if_nothing_has_to_be_cleaned_up():
    with Interrupts(ends=False):
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with Interrupts():
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_handlers_of_others_are_not_replaced():
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with Interrupts():
            press()
            check_interrupts()
        assert seen == [signal.SIGINT]
        with Interrupts():
            signal.signal(signal.SIGTERM, mine := lambda number, frame: None)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_an_error_does_not_hide_an_interrupt():
    finished = []
    with pytest.raises(KeyboardInterrupt):
        for number in range(3):
            try:
                with Interrupts():
                    press()
                    raise ValueError("a damaged file")
            except ValueError:
                finished.append(number)
    assert not finished


def test_an_error_within_stays_an_error():
    with pytest.raises(ValueError, match="damaged"), Interrupts():
        raise ValueError("damaged")


def test_held_interrupts_wait():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        with hold_interrupts():
            press()
            with Interrupts():
                check_interrupts()
            reached.append(1)
        check_interrupts()
        reached.append(2)
    assert reached == [1]


def test_while_waiting_for_the_network_they_are_raised_at_once():
    reached = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        with interrupt_at_once():
            press()
            reached.append(1)
    assert not reached
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        with interrupt_at_once():
            reached.append(1)
    assert not reached


def test_what_follows_an_interrupt_is_stopped_by_a_second_one_only():
    done = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        try:
            press()
            check_interrupts()
        finally:
            assert uninterrupted(lambda: (press(), check_interrupts(), done.append(1)))
            assert not uninterrupted(lambda: (press(), press(), done.append(2)))
    assert done == [1]
    check_interrupts()


def test_a_second_signal_may_come_at_any_line_of_the_mechanism(monkeypatch):
    """Handlers are restored, and later signals are raised, wherever the second one arrives."""
    from bertsent.system import interrupts

    plain, at = interrupts._note, [0, 0]

    def trace(frame, event, argument):
        if frame.f_globals is not vars(interrupts) or frame.f_code.co_name == "_note":
            return None
        at[0] += 1
        if at[0] == at[1]:
            press()
        return trace

    # A tracer is a frame of its own; the signal arrived in the line that is traced.
    monkeypatch.setattr(interrupts, "_note", lambda number, frame: plain(number, frame.f_back))
    caught, tracer = 0, sys.gettrace()  # that of coverage, or None
    for at[1] in range(1, 1000):
        at[0], done = 0, []
        try:
            sys.settrace(trace)
            with Interrupts():
                with interrupt_at_once(), hold_interrupts():
                    done.append(1)
                press()
                check_interrupts()
        except KeyboardInterrupt:
            caught += 1
        finally:
            sys.settrace(tracer)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert not interrupts._open
        check_interrupts()
        with pytest.raises(KeyboardInterrupt), Interrupts():
            press()
        if at[0] < at[1]:
            break
    assert caught == at[1] > 40


def test_a_decorated_function_says_what_was_interrupted():
    @interruptible("counting was interrupted")
    def count(action):
        action()
        check_interrupts()
        return 3

    assert count(lambda: None) == 3
    with pytest.raises(KeyboardInterrupt, match="^counting was interrupted$") as caught:
        count(press)
    assert caught.value.__suppress_context__


def test_another_thread_neither_defers_nor_raises():
    found = []

    def work():
        with Interrupts() as interrupts:
            found.append(interrupts.replaced)
            check_interrupts()
            with hold_interrupts(), interrupt_at_once():
                found.append(uninterrupted(lambda: None))

    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == [{}, True]


# A handler that was inherited would note SIGTERM, and the child would not end.
@pytest.mark.parametrize("of_thread", [False, True])
def test_a_forked_child_has_the_usual_handlers(of_thread):
    codes, context = [], multiprocessing.get_context("fork")

    def fork():
        ready = context.Event()
        child = context.Process(target=wait, args=(ready,))
        child.start()
        ready.wait(60)
        child.terminate()
        child.join(60)
        codes.append(child.exitcode)
        child.kill()

    def wait(ready):
        ready.set()
        threading.Event().wait(300)

    with Interrupts():
        if of_thread:
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        else:
            fork()
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    assert codes == [-signal.SIGTERM]


# --- where it is used ---------------------------------------------------------------------


@pytest.fixture
def cleared(monkeypatch):
    """Press Ctrl-C in a comparison of dtypes wherever a method of pandas or NumPy is called."""

    def at(owner, name):
        plain, count = getattr(owner, name), [0]

        def call(*args, **kwargs):
            count[0] += 1
            if count[0] == 1:
                assert not np.dtype(object) == Pressing()
            return plain(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    return at


def write(path, rows=40):
    pd.DataFrame({"review": [TEXTS[i % 40] for i in range(rows)]}).to_csv(path, index=False)
    return path


def test_no_method_of_a_classifier_loses_one(fitted, cleared, monkeypatch):
    from bertsent.tokenizer import WordPieceTokenizer

    calls = {
        "predict": lambda: fitted.predict(TEXTS), "proba": lambda: fitted.predict_proba(TEXTS),
        "decision": lambda: fitted.decision_function(TEXTS),
        "score": lambda: fitted.score(TEXTS, LABELS),
        "evaluate": lambda: fitted.evaluate(TEXTS, LABELS),
        "tokens": lambda: fitted.tokens_read(TEXTS),
        "batches": lambda: list(fitted.predict_batches([TEXTS, TEXTS])),
        "fit": lambda: bertsent.BertClassifier(**fitted.get_params()).fit(TEXTS, LABELS),
        "partial_fit": lambda: bertsent.BertClassifier(**fitted.get_params()).partial_fit(
            TEXTS, LABELS, classes=["negative", "positive"]
        ),
    }
    for name, call in calls.items():
        with monkeypatch.context():
            cleared(WordPieceTokenizer, "encode_batch")
            with pytest.raises(KeyboardInterrupt) as caught:
                call()
            assert "interrupted" in str(caught.value), name


def test_the_audit_does_not_lose_one(fitted, cleared):
    cleared(pd, "factorize")
    with pytest.raises(KeyboardInterrupt, match="^the audit was interrupted$"):
        fitted.audit(TEXTS)


@pytest.mark.parametrize("method", ["assign", "isna", "__len__"])
@pytest.mark.parametrize("number", SIGNALS)
def test_predict_file_leaves_nothing(fitted, tmp_path, monkeypatch, method, number):
    source, plain = write(tmp_path / "a.csv", 200), getattr(pd.DataFrame, method)
    done = []

    def call(self, *args, **kwargs):
        done.append(1)
        if len(done) == 3:
            press(number)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(pd.DataFrame, method, call)
    with pytest.raises(KeyboardInterrupt):
        fitted.predict_file(source, tmp_path / "out.csv", chunk_rows=20)
    monkeypatch.undo()
    assert len(done) < 60
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_fit_after_its_last_step_keeps_the_model(fitted, monkeypatch):
    from bertsent.classifier import fitting

    plain = fitting.fit
    monkeypatch.setattr(fitting, "fit", lambda *a, **o: (plain(*a, **o), press())[0])
    clf = bertsent.BertClassifier(**fitted.get_params())
    with pytest.raises(KeyboardInterrupt, match="after the last step of training"):
        clf.fit(TEXTS, LABELS)
    assert clf.predict(TEXTS[:1]).shape == (1,)


def test_a_callback_that_predicts_does_not_stop_between_two_steps(fitted):
    """An interrupt within a callback waits for its end, so that the state can be kept."""
    clf, seen = bertsent.BertClassifier(**fitted.get_params()), []

    def callback(event):
        if event["event"] == "epoch":
            press()
            seen.append(fitted.predict(TEXTS[:2]))

    clf.set_params(callbacks=callback, epochs=3)
    with pytest.raises(KeyboardInterrupt, match="after step 5 of 15"):
        clf.fit(TEXTS, LABELS)
    assert len(seen) == 1 and len(clf.history_) == 1


@pytest.mark.parametrize(("number", "code"), [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129),
])
def test_the_command_line_ends_with_the_code_of_the_signal(
    fitted, tmp_path, monkeypatch, capsys, number, code
):
    fitted.save_pretrained(tmp_path / "model")
    source, plain = write(tmp_path / "a.csv"), pd.DataFrame.assign
    monkeypatch.setattr(
        pd.DataFrame, "assign", lambda *a, **o: (press(number), plain(*a, **o))[1]
    )
    out = tmp_path / "out.csv"
    assert main(["predict", str(tmp_path / "model"), str(source), "--output", str(out)]) == code
    assert capsys.readouterr().err.endswith("bertsent: interrupted\n")
    assert {path.name for path in tmp_path.iterdir()} == {"model", "a.csv"}


def test_many_signals_at_random_moments(fitted, tmp_path):
    """Each of them arrives, and nothing is left of the file that was written."""
    fitted.save_pretrained(tmp_path / "model")
    write(tmp_path / "a.csv", 1000)
    script = textwrap.dedent("""
        import os, random, signal, sys, threading, time
        import bertsent
        folder = sys.argv[1]
        clf = bertsent.BertClassifier.from_pretrained(folder + "/model").set_params(verbose=0)
        def call():
            clf.predict_file(folder + "/a.csv", folder + "/out.csv", chunk_rows=100)
        began = time.perf_counter(); call(); whole = time.perf_counter() - began
        os.remove(folder + "/out.csv")
        draw, caught = random.Random(1), 0
        usual = signal.getsignal(signal.SIGINT)
        for _ in range(40):
            main, fired = threading.get_ident(), threading.Event()
            def fire(wait=draw.uniform(0, whole)):
                time.sleep(wait)
                signal.pthread_kill(main, signal.SIGINT)
                fired.set()
            thread = threading.Thread(target=fire)
            try:
                thread.start()
                call()
                fired.wait()  # it was late
                os.remove(folder + "/out.csv")
            except KeyboardInterrupt:
                caught += 1
            thread.join()
            left = set(os.listdir(folder)) - {"model", "a.csv", "out.csv"}
            assert not left, left
            if "out.csv" in os.listdir(folder):
                os.remove(folder + "/out.csv")  # it was interrupted after the end
            assert signal.getsignal(signal.SIGINT) is usual
        print(caught)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True,
        timeout=300, env=os.environ | {"BERTSENT_PROGRESS": "none"}, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 40
