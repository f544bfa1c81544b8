"""Runs that are killed or interrupted and resumed: the same bits as without interruption."""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import launch, maker, write_tiny_model
from test_classifier import flat, make_texts
from test_cli import SMALL, start

import bertsent
import bertsent.cli
from bertsent.errors import CheckpointError
from bertsent.files import atomic
from bertsent.system.interrupts import Terminated
from bertsent.training import checkpoints, loop as training_loop


@pytest.fixture
def make(base, tmp_path):
    """A factory of classifiers with a checkpoint every 3 steps; 8 steps per epoch."""
    return maker(
        base, epochs=3, batch_size=5, validation_fraction=0.2, eval_every=5, early_stopping="loss",
        patience=9, checkpoint_dir=tmp_path / "run", checkpoint_every=3
    )


TEXTS, LABELS = make_texts(50)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
WEIGHTS = np.linspace(0.1, 2.0, 50)


def names(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def assert_same_run(one, other):
    assert np.array_equal(flat(one).view(np.uint32), flat(other).view(np.uint32))
    assert one.evaluations_ == other.evaluations_ and one.best_step_ == other.best_step_
    for row, twin in zip(one.history_, other.history_, strict=True):
        assert row | {"seconds": 0} == twin | {"seconds": 0}


@contextlib.contextmanager
def at_step(number, act):
    """Do something after the training step with this number (from 1), or after each step."""
    plain = training_loop._Loop.step

    def step(loop):
        done = plain(loop)
        if number is None or loop.state.step == number:
            act()
        return done

    training_loop._Loop.step = step
    try:
        yield
    finally:
        training_loop._Loop.step = plain


def interrupt(clf, step, number=signal.SIGINT, weights=WEIGHTS):
    with at_step(step, lambda: signal.raise_signal(number)), pytest.raises(KeyboardInterrupt) as e:
        clf.fit(TEXTS, LABELS, weights)
    return e


@pytest.fixture
def unbroken(make):
    return make(checkpoint_dir=None, checkpoint_every=None).fit(TEXTS, LABELS, WEIGHTS)


# --- the same bits ------------------------------------------------------------------------


def test_saving_changes_nothing_and_keeps_the_newest(make, unbroken, tmp_path):
    assert_same_run(make().fit(TEXTS, LABELS, WEIGHTS), unbroken)
    assert names(tmp_path / "run") == ["step-00000021.safetensors", "step-00000024.safetensors"]
    make(checkpoint_dir=tmp_path / "many", checkpoint_keep=99).fit(TEXTS, LABELS, WEIGHTS)
    assert len(names(tmp_path / "many")) == 8
    make(checkpoint_dir=tmp_path / "epochs", checkpoint_every=None).fit(TEXTS, LABELS, WEIGHTS)
    assert names(tmp_path / "epochs") == [
        "step-00000016.safetensors", "step-00000024.safetensors",
    ]


@pytest.mark.parametrize("step", [1, 5, 8, 9, 23, 24])
def test_interrupted_anywhere_and_resumed(make, unbroken, step):
    clf = make()
    interrupt(clf, step)
    assert f"step-{step:08d}.safetensors" in names(clf.checkpoint_dir)
    assert clf.predict(TEXTS[:2]).shape == (2,)
    *whole, last = clf.history_
    assert whole == clf.history_[: (step - 1) // 8]
    assert last["epoch"] == len(clf.history_) and last.get("part", 1) == ((step - 1) % 8 + 1) / 8
    assert_same_run(make(resume=True, n_threads=2).fit(TEXTS, LABELS, WEIGHTS), unbroken)


def test_interrupted_again_and_again(make, unbroken):
    for step in (2, 3, 7, 11, 16, 20):
        interrupt(make(resume=True), step)
    assert_same_run(make(resume=True).fit(TEXTS, LABELS, WEIGHTS), unbroken)


def test_resumed_with_all_frozen(make, tmp_path):
    options = {"freeze_layers": "all", "validation_fraction": None, "early_stopping": False}
    whole = make(checkpoint_dir=None, checkpoint_every=None, **options).fit(TEXTS, LABELS)
    interrupt(make(**options), 13, weights=None)
    newest = tmp_path / "run" / names(tmp_path / "run")[-1]
    # Only what is trained is saved.
    assert newest.stat().st_size < flat(whole).nbytes / 4
    assert_same_run(make(resume=True, **options).fit(TEXTS, LABELS), whole)


def test_early_stopping_goes_on_counting(make):
    wrong = np.where(LABELS == "positive", "negative", "positive")
    options = {"validation_fraction": None, "epochs": 40, "patience": 4}
    held_out = {"X_val": TEXTS, "y_val": wrong}
    whole = make(checkpoint_dir=None, checkpoint_every=None, **options)
    whole.fit(TEXTS, LABELS, **held_out)
    assert len(whole.history_) < 40
    last = whole.evaluations_[-1]["step"]
    for step in (last - 7, last - 1, last):
        with at_step(step, lambda: signal.raise_signal(signal.SIGINT)), pytest.raises(
            KeyboardInterrupt
        ):
            make(resume=True, **options).fit(TEXTS, LABELS, **held_out)
    assert_same_run(make(resume=True, **options).fit(TEXTS, LABELS, **held_out), whole)


def test_a_finished_run_is_not_trained_again(make, unbroken):
    make().fit(TEXTS, LABELS, WEIGHTS)
    plain = training_loop._Loop.step
    training_loop._Loop.step = None
    try:
        assert_same_run(make(resume=True).fit(TEXTS, LABELS, WEIGHTS), unbroken)
    finally:
        training_loop._Loop.step = plain


def test_without_a_seed_the_run_goes_on_with_its_own(make):
    clf = make(random_state=None)
    interrupt(clf, 10)
    resumed = make(random_state=None, resume=True).fit(TEXTS, LABELS, WEIGHTS)
    assert resumed.evaluations_[:2] == clf.evaluations_[:2]
    assert np.array_equal(resumed.validation_rows_, clf.validation_rows_)


PROGRAM = """
import sys, numpy as np, bertsent, warnings
warnings.simplefilter("ignore")
base, run, out, data, length = sys.argv[1:]
data = np.load(data)
clf = bertsent.BertClassifier(
    base, max_length=16, epochs=15, batch_size=2, learning_rate=2e-3, random_state=0, verbose=0,
    n_threads=1, checkpoint_dir=run, checkpoint_every=int(length), resume=True, eval_every=11,
    validation_fraction=0.2, early_stopping="loss", patience=1000,
)
print("ready", flush=True)
clf.fit(data["texts"].tolist(), data["labels"])
clf.save_pretrained(out, overwrite=True)
"""


def test_killed_at_random_points(base, tmp_path):
    np.savez(tmp_path / "data.npz", texts=np.array(TEXTS * 2), labels=np.tile(LABELS, 2))
    environment = {
        **os.environ, "PYTHONPATH": str(Path(bertsent.__file__).resolve().parent.parent)
    }

    def begin(run, out, every):
        command = [sys.executable, "-c", PROGRAM, base, tmp_path / run, tmp_path / out,
                   tmp_path / "data.npz", every]
        process = launch(
            [str(part) for part in command], stdout=subprocess.PIPE, env=environment, cwd=os.sep
        )
        assert process.stdout.readline() == b"ready\n"
        return process

    process = begin("unbroken-run", "unbroken", 7)
    began = time.monotonic()
    assert process.wait(300) == 0
    length = time.monotonic() - began
    process.stdout.close()
    rng = random.Random(0)
    kills, reached = 0, []
    while True:
        process = begin("killed-run", "killed", 7)
        with process.stdout:
            # The first ones are killed during the run, the last one may finish.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, length / 4) if kills < 5 else 300)
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            kills += 1
            reached.append(sorted(path.name for path in (tmp_path / "killed-run").glob("[!.]*")))
    assert process.returncode == 0
    assert kills >= 2, (length, reached)
    one, other = (
        bertsent.BertClassifier.from_pretrained(tmp_path / name) for name in ("unbroken", "killed")
    )
    assert_same_run(one, other)
    assert not list((tmp_path / "killed-run").glob(".*"))


def test_killed_between_any_two_calls_that_write(make, unbroken, tmp_path):
    """Kill the process at every fsync, rename and removal of one checkpoint in turn."""
    for last in range(1, 12):
        child = os.fork()
        if child == 0:  # pragma: no cover
            try:
                calls = []

                def deadly(plain, calls=calls, last=last):
                    def call(*args, **options):
                        calls.append(plain)
                        if len(calls) == last:
                            os.kill(os.getpid(), signal.SIGKILL)
                        return plain(*args, **options)

                    return call

                os.fsync, os.replace = deadly(os.fsync), deadly(os.replace)
                Path.unlink = deadly(Path.unlink)
                make(checkpoint_dir=tmp_path / f"run-{last}").fit(TEXTS, LABELS, WEIGHTS)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        clf = make(checkpoint_dir=tmp_path / f"run-{last}", resume=True)
        assert_same_run(clf.fit(TEXTS, LABELS, WEIGHTS), unbroken)
        assert len(names(tmp_path / f"run-{last}")) == 2


# --- what a checkpoint goes with ----------------------------------------------------------


def other_model(tmp_path):
    return {"model": write_tiny_model(tmp_path / "other", seed=1)}


def other_tokenizer(tmp_path):
    return {"model": write_tiny_model(tmp_path / "other", lowercase=False)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: {"epochs": 4}, r"differs: epochs \(saved: 3, now: 4\)\. Use"),
        (lambda p: {"batch_size": 4, "max_length": 12},
         "batch_size .*: 5, now: 4., max_length .*: 16,"),
        (lambda p: {"learning_rate": 1e-3}, r"learning_rate \(saved: 0.002, now: 0.001\)"),
        (lambda p: {"random_state": 1}, "differs: random_state"),
        (lambda p: {"texts": [*TEXTS[:-1], "another"]}, r"differs: the texts \(X\)\. "),
        (lambda p: {"labels": LABELS[::-1]}, r"differs: the labels \(y\)\. "),
        (lambda p: {"labels": np.char.upper(LABELS)}, r"the labels \(y\)"),
        (lambda p: {"weights": None}, "differs: sample_weight. "),
        (other_model, "differs: the weights of the model that training starts from. "),
        (other_tokenizer, "differs: the tokenizer. "),
    ],
)
def test_of_another_run(make, tmp_path, change, message):
    interrupt(make(), 4)
    before = names(tmp_path / "run")
    changes = change(tmp_path)
    data = [changes.pop(name, usual) for name, usual in
            [("texts", TEXTS), ("labels", LABELS), ("weights", WEIGHTS)]]
    with pytest.raises(CheckpointError, match=message):
        make(resume=True, **changes).fit(*data)
    assert names(tmp_path / "run") == before


def test_validation_texts_belong_to_a_run(make):
    options = {"validation_fraction": None, "resume": True, "epochs": 1}
    make(**options).fit(TEXTS, LABELS, X_val=TEXTS[:4], y_val=LABELS[:4])
    with pytest.raises(CheckpointError, match="differs: the validation texts"):
        make(**options).fit(TEXTS, LABELS, X_val=TEXTS[:5], y_val=LABELS[:5])


def test_other_instructions_are_a_warning(make, monkeypatch):
    interrupt(make(), 4)
    monkeypatch.setattr(checkpoints, "_machine", lambda: "quantum")
    with pytest.warns(UserWarning, match="quantum.*will differ slightly"):
        make(resume=True).fit(TEXTS, LABELS, WEIGHTS)


def test_a_run_is_not_overwritten_unasked(make, tmp_path):
    interrupt(make(), 4)
    content = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(FileExistsError, match="resume=True, or"):
        make().fit(TEXTS, LABELS, WEIGHTS)
    assert content == {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}


def test_files_of_others_are_left_alone(make, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    (tmp_path / "run" / ".step-00000009.safetensors.tmp-0a1b2c3d").write_text("half")
    make().fit(TEXTS, LABELS, WEIGHTS)
    assert names(tmp_path / "run")[0] == "notes.txt" and len(names(tmp_path / "run")) == 3


def test_one_process_at_a_time(make, tmp_path):
    with checkpoints.RunStore(tmp_path / "run", 2, False), pytest.raises(
        BlockingIOError, match="another process"
    ):
        make().fit(TEXTS, LABELS)
    make().fit(TEXTS, LABELS)


def test_a_process_that_was_forked_meanwhile_does_not_keep_the_directory(tmp_path):
    end, waits = os.pipe()
    with checkpoints.RunStore(tmp_path / "run", 2, False):
        child = os.fork()
        if child == 0:  # pragma: no cover
            os.close(waits)
            os.read(end, 1)
            os._exit(0)
    try:
        with checkpoints.RunStore(tmp_path / "run", 2, False):
            pass
    finally:
        os.close(waits)
        os.close(end)
        os.waitpid(child, 0)


@pytest.mark.parametrize("damage", ["cut", "header", "bit", "empty"])
def test_a_damaged_checkpoint_is_passed_over(make, unbroken, tmp_path, damage):
    interrupt(make(), 8)
    older, newest = ((tmp_path / "run" / name) for name in names(tmp_path / "run"))

    def spoil(path):
        content = bytearray(path.read_bytes())
        if damage == "bit":
            content[-1000] ^= 1
        elif damage == "header":
            content[8] ^= 1
        path.write_bytes(content[: {"cut": len(content) // 2, "empty": 0}.get(damage)])

    spoil(newest)
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged.*the one before"):
        assert_same_run(make(resume=True).fit(TEXTS, LABELS, WEIGHTS), unbroken)
    for name in names(tmp_path / "run"):
        spoil(tmp_path / "run" / name)
    with warnings.catch_warnings(), pytest.raises(CheckpointError, match="remove them to start"):
        warnings.simplefilter("ignore")
        make(resume=True).fit(TEXTS, LABELS, WEIGHTS)


@pytest.mark.filterwarnings("ignore:no checkpoint of step")
def test_a_full_disk_does_not_end_training(make, unbroken, tmp_path, monkeypatch):
    plain, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    with pytest.warns(UserWarning, match="no checkpoint of step 9.*No space left"):
        clf = make().fit(TEXTS, LABELS, WEIGHTS)
    assert_same_run(clf, unbroken)
    assert names(tmp_path / "run") == ["step-00000003.safetensors", "step-00000006.safetensors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"checkpoint_dir": None, "checkpoint_every": None, "resume": True}, "resume=True needs"),
        ({"checkpoint_dir": None}, "checkpoint_every=3 needs checkpoint_dir"),
        ({"checkpoint_every": 0}, "checkpoint_every=0.*at least 1"),
        ({"checkpoint_keep": 0}, "checkpoint_keep=0.*at least 1"),
        ({"checkpoint_dir": ""}, "checkpoint_dir=''.*name of a directory"),
        ({"resume": "yes"}, "resume='yes'.*True or False"),
    ],
)
def test_what_is_not_allowed(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).fit(TEXTS, LABELS)


# --- signals ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_requests_to_end_are_as_ctrl_c(make, unbroken, number):
    clf = make()
    caught = interrupt(clf, 6, number)
    assert isinstance(caught.value, Terminated) and caught.value.number == number
    assert "interrupted after step 6 of 24, in epoch 1 of 3; the class" in str(caught.value)
    assert hasattr(clf, "model_")
    assert signal.getsignal(number) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert_same_run(make(resume=True).fit(TEXTS, LABELS, WEIGHTS), unbroken)


def test_a_second_ctrl_c_does_not_wait(make, tmp_path):
    def press_twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with at_step(4, press_twice), pytest.raises(KeyboardInterrupt):
        make().fit(TEXTS, LABELS, WEIGHTS)
    # The step is interrupted, so no further checkpoint is written.
    assert names(tmp_path / "run") == ["step-00000003.safetensors"]


def test_handlers_of_others_are_left_alone(make):
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *about: seen.append(about))
    try:
        with at_step(4, lambda: signal.raise_signal(signal.SIGTERM)):
            make().fit(TEXTS, LABELS)
        assert len(seen) == 1
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nohup_is_respected(make):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with at_step(4, lambda: signal.raise_signal(signal.SIGHUP)):
            make().fit(TEXTS, LABELS)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_training_in_another_thread(make):
    found = []
    thread = threading.Thread(target=lambda: found.append(make().fit(TEXTS, LABELS)))
    thread.start()
    thread.join(60)
    assert len(found) == 1


@pytest.fixture
def command(base, tmp_path):
    frame = pd.DataFrame({"review": TEXTS * 4, "sentiment": np.tile(LABELS, 4)})
    frame["review"] += [f" {i}" for i in range(200)]
    frame.to_csv(tmp_path / "a.csv", index=False)
    return ["train", str(tmp_path / "a.csv"), "--model", str(base), *SMALL]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_with_checkpoints(command, tmp_path, number):
    command = [*command, "--epochs", "12"]
    for part in ("one", "other"):
        (tmp_path / part).mkdir()
    saving = ["--checkpoint-dir", tmp_path / "run", "--checkpoint-every", "5"]
    process = start(*command, *saving, "--output", tmp_path / "one" / "out")
    for line in process.stderr:
        if "epoch 2/12 done" in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    assert "--resume continues" in err and "Traceback" not in err
    assert not (tmp_path / "one" / "out").exists()
    process = start(*command, *saving, "--output", tmp_path / "one" / "out")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "--resume" in err
    process = start(*command, *saving, "--resume", "--output", tmp_path / "one" / "out")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "epoch 1/12" not in err and "epoch 12/12 done" in err
    process = start(*command, "--output", tmp_path / "other" / "out")
    process.communicate(timeout=120)
    weights = {(tmp_path / part / "out" / "model.safetensors").read_bytes()
               for part in ("one", "other")}
    assert len(weights) == 1
    record = json.loads((tmp_path / "one" / "out" / "run.json").read_text())
    assert record["interrupted"] is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_command_without_checkpoints_saves_the_model(command, tmp_path, number):
    process = start(*command, "--epochs", "100000", "--output", tmp_path / "out")
    for line in process.stderr:
        if "done: loss" in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "trained so far is saved" in err and "Traceback" not in err
    assert len(bertsent.BertClassifier.from_pretrained(tmp_path / "out").history_) >= 1


@pytest.mark.parametrize("flag", [["--resume"], ["--checkpoint-every", "5"]])
def test_flags_that_need_a_directory(command, flag, capsys):
    assert bertsent.cli.main([*command, *flag]) == 2
    assert f"{flag[0]} needs --checkpoint-dir" in capsys.readouterr().err
