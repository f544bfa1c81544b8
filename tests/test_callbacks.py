"""Callbacks, the log of a run, and continued training: `partial_fit` and `warm_start`."""

import json
import os
import pickle
import signal

import numpy as np
import pytest
from conftest import maker
from sklearn.base import clone
from test_classifier import flat, make_texts
from test_cli import SMALL, write_csv
from test_runs import at_step
from test_training import FakeModel, make_examples

import bertsent
from bertsent.cli import main
from bertsent.training.callbacks import Listeners, open_log
from bertsent.training.loop import train
from bertsent.training.options import TrainingOptions

TEXTS, LABELS = make_texts(32)


@pytest.fixture
def make(base):
    return maker(base, epochs=2, precision="float32")


class Witness:
    """Records the calls of its methods; asks to stop when a condition holds."""

    def __init__(self, until=lambda event: False):
        self.events, self.until = [], until

    def on_step(self, event):
        return self.note(event)

    on_evaluation = on_epoch = on_step

    def note(self, event):
        self.events.append(event)
        return self.until(event)

    def names(self):
        return [event["event"] for event in self.events]


# --- callbacks ----------------------------------------------------------------------------


def test_a_function_is_told_of_everything():
    told = []
    model = FakeModel()
    train(
        model, make_examples(10), TrainingOptions(epochs=2, batch_size=4, learning_rate=1e-3),
        n_threads=1, validation=make_examples(4), listeners=Listeners([told.append]),
    )
    names = [event.pop("event") for event in told]
    assert names == ["start", *["step"] * 3, "evaluation", "epoch", *["step"] * 3, "evaluation",
                     "epoch", "end"]
    start, first, end = told[0], told[1], told[-1]
    assert start == {"step": 0, "steps": 6, "epochs": 2, "texts": 10, "learning_rate": 1e-3}
    assert first.pop("seconds") >= 0
    tokens = len(model._core.calls[0]["ids"])
    assert first == {"step": 1, "epoch": 1, "loss": 1.0, "learning_rate": 0.0, "grad_norm": 1.0,
                     "tokens": tokens}
    assert [event["learning_rate"] for event in told if "grad_norm" in event] == [
        call["lr"] for call in model._core.calls
    ]
    assert end == {"step": 6, "outcome": "finished", "best_step": None}
    assert {"epoch", "step", "loss", "accuracy", "validation_loss"} <= set(told[5])


def test_methods_are_told_of_their_event_only(make):
    witness = Witness()
    clf = make(callbacks=witness, validation_fraction=0.25, eval_every=2).fit(TEXTS, LABELS)
    assert witness.names() == ["step", "step", "evaluation", "step", "evaluation", "epoch",
                               "step", "evaluation", "step", "step", "evaluation", "epoch"]
    rows = [{k: v for k, v in event.items() if k != "event"} for event in witness.events
            if event["event"] == "evaluation"]
    assert rows == clf.evaluations_


def test_callbacks_change_nothing_and_cannot(make):
    def spoil(event):
        event.clear()

    clf = make(callbacks=[spoil, Witness()], validation_fraction=0.25).fit(TEXTS, LABELS)
    plain = make(validation_fraction=0.25).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), flat(plain))
    assert clf.history_[0].keys() == plain.history_[0].keys()


@pytest.mark.parametrize(
    ("until", "steps", "epochs"),
    [
        (lambda e: e["event"] == "step" and e["step"] == 6, 6, 2),
        (lambda e: e["event"] == "evaluation", 3, 1),
        (lambda e: e["event"] == "epoch", 4, 1),
    ],
)
def test_true_ends_training(make, until, steps, epochs):
    told = []
    every = {"eval_every": 3} if steps == 3 else {}
    clf = make(callbacks=[Witness(until), told.append], epochs=9, **every)
    clf.fit(TEXTS, LABELS, X_val=TEXTS[:4], y_val=LABELS[:4])
    assert told[-1] == {"event": "end", "step": steps, "outcome": "stopped", "best_step": None}
    assert len(clf.history_) == epochs


def test_what_is_true_only_in_a_way_does_not_end_training(make):
    assert len(make(callbacks=lambda event: 1).fit(TEXTS, LABELS).history_) == 2


def test_errors_of_a_callback_are_those_of_fit(make):
    told = []

    def fail(event):
        told.append(event)
        if event["event"] == "epoch":
            raise RuntimeError("no more")

    clf = make(callbacks=fail)
    with pytest.raises(RuntimeError, match="no more"):
        clf.fit(TEXTS, LABELS)
    assert not hasattr(clf, "classes_")
    assert told[-1]["outcome"] == "failed"


def test_ctrl_c_in_a_callback_is_ctrl_c(make, tmp_path):
    def press(event):
        if event.get("step") == 3 and event["event"] == "step":
            raise KeyboardInterrupt

    told = []
    clf = make(callbacks=[told.append, press], checkpoint_dir=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        clf.fit(TEXTS, LABELS)
    assert told[-1]["outcome"] == "interrupted"
    resumed = make(checkpoint_dir=tmp_path / "run", resume=True, callbacks=told.append)
    assert np.array_equal(flat(resumed.fit(TEXTS, LABELS)), flat(make().fit(TEXTS, LABELS)))
    again = [e for e in told if e["event"] == "start"][1]
    assert again["step"] == 3 and again["steps"] == 8


@pytest.mark.parametrize("wrong", [3, "module:name", object(), Witness, [3], [print, object()]])
def test_what_is_no_callback(make, wrong):
    with pytest.raises((ValueError, TypeError), match="callbacks=.*on_step"):
        make(callbacks=wrong).fit(TEXTS, LABELS)


def test_clones_and_saved_classifiers(make, tmp_path):
    clf = make(callbacks=[print, Witness()])
    assert len(clone(clf).callbacks) == 2
    clf.set_params(callbacks=[Witness()]).fit(TEXTS, LABELS).save_pretrained(tmp_path / "model")
    assert bertsent.BertClassifier.from_pretrained(tmp_path / "model").callbacks is None


# --- the log ------------------------------------------------------------------------------


def read_log(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def without_seconds(events):
    return [{k: v for k, v in event.items() if k != "seconds"} for event in events]


def test_log_is_what_callbacks_are_told(make, tmp_path):
    told = []
    path = tmp_path / "log.jsonl"
    make(callbacks=told.append, log_file=path, validation_fraction=0.25).fit(TEXTS, LABELS)
    assert read_log(path) == told
    make(log_file=path, epochs=1).fit(TEXTS, LABELS)
    # The previous lines stay.
    assert read_log(path)[: len(told)] == told
    assert [e["event"] for e in read_log(path)[len(told) :]] == ["start", *["step"] * 4, "epoch",
                                                                "end"]


def test_log_has_null_for_what_is_no_number(tmp_path):
    with open_log(tmp_path / "log", 0) as log:
        log({"event": "evaluation", "validation_loss": float("nan"), "step": 3})
    assert (tmp_path / "log").read_text() == (
        '{"event": "evaluation", "validation_loss": null, "step": 3}\n'
    )


def test_log_of_weightless_texts_is_json(make, tmp_path):
    weights = np.zeros(32)
    weights[np.unique(LABELS, return_index=True)[1]] = 1  # the first text of each class
    make(log_file=tmp_path / "log", epochs=1).fit(TEXTS, LABELS, weights)
    lost = [json.loads(line, parse_constant=lambda name: pytest.fail(name))
            for line in (tmp_path / "log").read_text().splitlines()]
    without = [event["loss"] is None for event in lost if event["event"] == "step"].count(True)
    assert without in (2, 3)  # of four steps: two texts with a weight are in one or two of them


def fit_and_kill(clf):
    """Train until step 5, and end as a killed process does: without cleaning up."""

    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    with at_step(5, kill), pytest.raises(Killed):
        clf.fit(TEXTS, LABELS)


def test_log_of_a_resumed_run_has_every_step_once(make, tmp_path):
    path = tmp_path / "log"
    path.write_text(
        '{"of": "another"}\n{"event": "start", "step": 0}\n{"event": "step", "step": 7}'
    )
    options = {"log_file": path, "checkpoint_dir": tmp_path / "run", "checkpoint_every": 3}
    fit_and_kill(make(**options))
    with open(path, "a") as file:
        file.write('{"event": "step", "st')
    make(resume=True, **options).fit(TEXTS, LABELS)
    events = read_log(path)
    assert events[:3] == [{"of": "another"}, {"event": "start", "step": 0},
                          {"event": "step", "step": 7}]
    assert [e["step"] for e in events[3:] if e["event"] == "step"] == list(range(1, 9))
    assert [(e["event"], e["step"]) for e in events[3:] if e["event"] in ("start", "end")] == [
        ("start", 0), ("start", 3), ("end", 8),
    ]
    make(log_file=tmp_path / "whole").fit(TEXTS, LABELS)
    whole = without_seconds(e for e in read_log(tmp_path / "whole") if e["event"] == "step")
    assert without_seconds(e for e in events[3:] if e["event"] == "step") == whole


@pytest.mark.parametrize("damage", [
    b"\xff\xfe\n", b"\0" * 100 + b"\n", b"[" * 100_000 + b"\n", b'{"event": "step", "step": "2"}\n',
    b'{"event": ["step"], "step": 1}\n', b'{"event": "step", "step": 1e999}\n', b"9" * 5000 + b"\n",
    b'{"event": "step", "step": null}\n', b'"\\ud83d"\n', b"\n\n",
])
def test_a_damaged_log_does_not_stop_a_resumed_run(make, tmp_path, damage):
    path = tmp_path / "log"
    path.write_bytes(damage)
    options = {"log_file": path, "checkpoint_dir": tmp_path / "run", "checkpoint_every": 3}
    fit_and_kill(make(**options))
    with open(path, "ab") as file:
        file.write(damage)
    make(resume=True, **options).fit(TEXTS, LABELS)
    whole = path.read_bytes()
    assert whole.startswith(damage) and damage not in whole[len(damage):]
    events = [json.loads(line) for line in whole[len(damage):].splitlines()]
    assert [e["step"] for e in events if e["event"] == "step"] == list(range(1, 9))


def test_a_log_may_be_a_pipe(make, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        make(log_file=path, epochs=1).fit(TEXTS, LABELS)
        events = [json.loads(line) for line in os.read(reader, 1 << 20).splitlines()]
    finally:
        os.close(reader)
    assert [events[0]["event"], events[-1]["event"]] == ["start", "end"]


def test_log_that_cannot_be_written(make, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        make(log_file=tmp_path / "nowhere" / "log").fit(TEXTS, LABELS)


@pytest.mark.skipif("not __import__('os').path.exists('/dev/full')", reason="no /dev/full")
def test_a_full_disk_ends_the_log_and_not_the_training(make):
    with pytest.warns(UserWarning, match="cannot write to /dev/full, training continues.*No space"):
        clf = make(log_file="/dev/full").fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), flat(make().fit(TEXTS, LABELS)))


def test_on_the_command_line(base, tmp_path, capsys, monkeypatch):
    data = write_csv(tmp_path / "a.csv", 40)
    (tmp_path / "mine_for_tests.py").write_text(
        "class Stop:\n"
        "    def on_step(self, event):\n"
        "        return event['step'] == 3\n"
        "def tell(event):\n"
        "    print('told of', event['event'])\n"
    )
    monkeypatch.chdir(tmp_path)
    command = ["train", str(data), "--model", str(base), "--epochs", "5", *SMALL]
    callbacks = ["--callbacks", "mine_for_tests:Stop,mine_for_tests:tell"]
    log = ["--log-file", str(tmp_path / "log")]
    assert main([*command, *callbacks, *log, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert out.count("told of step") == 3 and out.count("told of end") == 1
    assert [e["event"] for e in read_log(tmp_path / "log")].count("step") == 3
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["parameters"]["callbacks"] is None
    for wrong, code, message in [
        ("mine_for_tests", 2, "expected MODULE:NAME"), ("no_such_module:f", 1, "no_such_mod"),
        ("mine_for_tests:f", 1, "callback mine_for_tests:f: module"),
    ]:
        assert main([*command, "--callbacks", wrong]) == code
        assert message in capsys.readouterr().err


# --- going on -----------------------------------------------------------------------------


def test_partial_fit_learns_bit_by_bit(make):
    clf = make()
    for part in np.array_split(np.arange(32), 4) * 10:
        texts = [TEXTS[i] for i in part]
        assert clf.partial_fit(texts, LABELS[part], classes=["negative", "positive"]) is clf
    assert [row["epoch"] for row in clf.history_] == list(range(1, 41))
    assert clf.score(TEXTS, LABELS) > 0.8
    assert clf.seen_in_training(TEXTS).all() and not clf.seen_in_training(["another"]).any()
    assert clf.classes_.tolist() == ["negative", "positive"]


def test_partial_fit_goes_on_with_moments_steps_and_order(make):
    told = []
    clf = make(callbacks=told.append)
    for _ in range(2):
        clf.partial_fit(TEXTS, LABELS, classes=np.unique(LABELS))
    steps = [event for event in told if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, 9))
    assert {event["learning_rate"] for event in steps} == {2e-3}
    # Two epochs of fit at a constant learning rate are the same two passes.
    once = make(schedule="constant", warmup_ratio=0.0).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), flat(once))


def test_partial_fit_survives_pickling_bit_by_bit(make):
    clf = make().partial_fit(TEXTS, LABELS, classes=np.unique(LABELS))
    other = pickle.loads(pickle.dumps(clf))
    for one in (clf, other):
        one.partial_fit(TEXTS[:9], LABELS[:9])
    assert np.array_equal(flat(clf), flat(other))


def test_partial_fit_after_fit_and_fit_after_partial_fit(make, tmp_path):
    clf = make().fit(TEXTS, LABELS)
    before = flat(clf).copy()
    clf.save_pretrained(tmp_path / "model")
    opened = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    for one in (clf, opened):
        # A batch that lacks one of the classes.
        part = np.flatnonzero(LABELS == "negative")
        one.partial_fit([TEXTS[i] for i in part], LABELS[part])
    assert not np.array_equal(flat(clf), before) and np.array_equal(flat(clf), flat(opened))
    assert [row["epoch"] for row in clf.history_] == [1, 2, 3]
    assert np.array_equal(flat(clf.fit(TEXTS, LABELS)), before)
    assert len(clf.history_) == 2 and clf._fitted.moments is None


def test_partial_fit_weighs_texts(make):
    classes = ["negative", "positive"]
    weights = np.where(LABELS == "positive", 3.0, 1.0)
    by_text = make().partial_fit(TEXTS, LABELS, classes, weights)
    by_class = make(class_weight={"positive": 3}).partial_fit(TEXTS, LABELS, classes)
    plain = make().partial_fit(TEXTS, LABELS, classes)
    assert np.array_equal(flat(by_text), flat(by_class))
    assert not np.array_equal(flat(by_text), flat(plain))


def test_partial_fit_refuses(make):
    with pytest.raises(ValueError, match="first call of partial_fit needs classes"):
        make().partial_fit(TEXTS, LABELS)
    clf = make().partial_fit(TEXTS, LABELS, classes=["negative", "positive"])
    with pytest.raises(ValueError, match="classes=.'a', 'b'. are not those"):
        clf.partial_fit(TEXTS, LABELS, classes=["a", "b"])
    with pytest.raises(ValueError, match=r"y\[0\] is 'mixed', a class that was not in"):
        clf.partial_fit(["a film"], ["mixed"])
    with pytest.raises(ValueError, match="X is empty"):
        clf.partial_fit([], [])
    with pytest.raises(ValueError, match="balanced.*pass a dictionary"):
        make(class_weight="balanced").partial_fit(TEXTS, LABELS, classes=["negative", "positive"])


def test_partial_fit_that_diverges_keeps_what_was_learned(make):
    first = make(learning_rate=1e30, max_grad_norm=0.0)
    with pytest.raises(FloatingPointError):
        first.partial_fit(TEXTS, LABELS, classes=["negative", "positive"])
    assert not hasattr(first, "classes_")


def test_ctrl_c_in_partial_fit(make):
    clf = make().partial_fit(TEXTS, LABELS, classes=["negative", "positive"])
    clf.set_params(callbacks=lambda event: event["event"] == "step"
                   and signal.raise_signal(signal.SIGINT))
    message = "interrupted after step 5 of 8, in epoch 2 of 2; the classifier keeps the model"
    with pytest.raises(KeyboardInterrupt, match=message):
        clf.partial_fit(TEXTS, LABELS)
    assert clf._fitted.moments.step == 5
    clf.set_params(callbacks=None).partial_fit(TEXTS, LABELS)
    assert [(row["epoch"], row.get("part")) for row in clf.history_] == [
        (1, None), (2, 8 / len(TEXTS)), (3, None),
    ]


def test_warm_start_goes_on_from_the_model_that_is_there(make):
    clf = make(warm_start=True)
    cold = flat(make().fit(TEXTS, LABELS))
    assert np.array_equal(flat(clf.fit(TEXTS, LABELS)), cold)
    old = clf.model_
    loss = clf.history_[-1]["loss"]
    clf.fit(TEXTS, LABELS)
    assert clf.history_[0]["loss"] < loss + 0.1 and len(clf.history_) == 2
    assert not np.array_equal(flat(clf), cold)
    assert clf.model_ is not old and np.array_equal(np.asarray(old._flat), cold)
    still = clf.set_params(learning_rate=1e-30, weight_decay=0.0).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(flat(still), flat(clf))


def test_warm_start_needs_the_same_classes_and_survives_errors(make):
    clf = make(warm_start=True).fit(TEXTS, LABELS)
    before = flat(clf).copy()
    with pytest.raises(ValueError, match=r"warm_start=True.*'negative', 'positive'.*\[0, 1, 2\]"):
        clf.fit(TEXTS, np.arange(32) % 3)
    with pytest.raises(FloatingPointError):
        clf.set_params(learning_rate=1e30, max_grad_norm=0.0).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), before)


def test_the_summary_of_a_run_names_callbacks_as_the_flag_does(tmp_path, monkeypatch):
    from functools import partial

    from bertsent.cli.train import describe_run
    from bertsent.training.callbacks import import_callbacks

    (tmp_path / "my-callbacks.py").write_text(
        "class Watch:\n    def on_step(self, event): pass\n\n"
        "def look(event): pass\n\nwatch = Watch()\n"
    )
    monkeypatch.chdir(tmp_path)
    found = import_callbacks("my-callbacks:Watch,my-callbacks:look,my-callbacks:watch")
    parameters = bertsent.BertClassifier(random_state=0).get_params()
    for callbacks, shown in (
        (found, "--callbacks my-callbacks:Watch,my-callbacks:look,my-callbacks:Watch"),
        ([partial(found[1]), print], "--callbacks my-callbacks:look,builtins:print"),
        (None, None),
    ):
        text = describe_run(parameters | {"callbacks": callbacks}, {})
        assert " object at 0x" not in text and "<function" not in text
        assert (shown or "model:") in "".join(text.split("\n       "))
        assert shown is not None or "callbacks" not in text
