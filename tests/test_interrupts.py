"""What an interrupt of `fit` says and leaves: message, model, history and display."""

import signal

import numpy as np
import pytest
from conftest import maker, write_tiny_model
from test_classifier import flat, make_texts
from test_runs import at_step
from test_validation import Scripted, make_examples

import bertsent
from bertsent.cli import main
from bertsent.system import Silent
from bertsent.training import State, TrainingOptions, train

TEXTS, LABELS = make_texts(40)  # 5 steps of 8


@pytest.fixture
def make(base):
    return maker(base, epochs=3, precision="float32")


def press():
    signal.raise_signal(signal.SIGINT)


def interrupted(clf, step, **data):
    with at_step(step, press), pytest.raises(KeyboardInterrupt) as caught:
        clf.fit(TEXTS, LABELS, **data)
    return caught.value


def test_one_line_says_where_it_stopped_and_what_is_kept(make):
    stop = interrupted(make(), 7)
    assert type(stop) is KeyboardInterrupt
    assert str(stop) == (
        "training was interrupted after step 7 of 15, in epoch 2 of 3; the classifier keeps the "
        "model trained so far"
    )
    # A notebook shows this in place of the traceback.
    assert stop._render_traceback_() == [f"KeyboardInterrupt: {stop}"]
    assert stop.__cause__ is None and stop.__context__ is None


def test_history_has_the_epoch_that_was_under_way(make):
    whole, clf = make().fit(TEXTS, LABELS), make()
    interrupted(clf, 7)
    first, second = clf.history_
    assert first | {"seconds": 0} == whole.history_[0] | {"seconds": 0}
    assert (second["epoch"], second["part"]) == (2, 16 / 40)
    assert {"loss", "accuracy", "tokens", "seconds"} <= set(second)
    assert 0 < second["tokens"] < whole.history_[1]["tokens"]
    assert "part" not in first


def test_the_model_is_that_of_the_step(make):
    clf, trained = make(), []
    with pytest.raises(KeyboardInterrupt):
        with at_step(3, lambda: (trained.append(3), press())):
            clf.fit(TEXTS, LABELS)
    twin = make(callbacks=lambda event: event["event"] == "step" and event["step"] == 3)
    assert np.array_equal(flat(clf), flat(twin.fit(TEXTS, LABELS)))
    assert clf.predict(TEXTS[:2]).shape == (2,) and trained == [3]


def test_before_the_first_step_nothing_changes(make, monkeypatch):
    def stop(*args, **options):
        raise KeyboardInterrupt

    for name in ("check_training_texts", "starting_point", "train"):
        clf, fitted = make(), make().fit(TEXTS, LABELS)
        before = flat(fitted).copy()
        with monkeypatch.context() as patch:
            patch.setattr(f"bertsent.classifier.fitting.{name}", stop)
            for each in (clf, fitted):
                with pytest.raises(KeyboardInterrupt, match="^training was .* before the first st"):
                    each.fit(TEXTS, LABELS)
        assert not hasattr(clf, "classes_")
        assert np.array_equal(flat(fitted), before) and len(fitted.history_) == 3


def test_during_the_computation_of_frozen_layers(make, monkeypatch):
    from bertsent.training import frozen

    plain = frozen._compute
    monkeypatch.setattr(frozen, "_compute", lambda *args: (press(), plain(*args))[1])
    clf = make(freeze_layers=1, freeze_dropout=True)
    with pytest.raises(KeyboardInterrupt, match="before the first step"):
        clf.fit(TEXTS, LABELS)
    assert not hasattr(clf, "classes_")


def test_the_best_weights_are_named(make):
    wrong = np.where(LABELS == "positive", "negative", "positive")
    clf = make(epochs=40, early_stopping=True, patience=99)
    stop = interrupted(clf, 12, X_val=TEXTS, y_val=wrong)
    assert f"the classifier keeps the best model so far, of step {clf.best_step_}" in str(stop)
    assert clf.best_step_ < 12


@pytest.mark.parametrize(("member", "kept"), [
    (1, "keeps the model trained so far"), (2, "keeps the model that was finished"),
    (3, "keeps the 2 models that were finished"),
])
def test_members(make, member, kept):
    clf, begun = make(members=3), []

    def act():
        begun.append(1)
        if len(begun) == 15 * (member - 1) + 7:
            press()

    with at_step(None, act), pytest.raises(KeyboardInterrupt, match=kept):
        clf.fit(TEXTS, LABELS)
    assert len(clf.models_) == max(1, member - 1)
    rows = [(row["member"], row["epoch"], row.get("part")) for row in clf.history_]
    whole = [(m, e, None) for m in range(1, member) for e in (1, 2, 3)]
    assert rows == (whole or [(1, 1, None), (1, 2, 16 / 40)])


def test_an_epoch_that_ended_early_for_another_reason_is_marked_too(make):
    clf = make(callbacks=lambda event: event.get("step") == 7).fit(TEXTS, LABELS)
    assert [row.get("part") for row in clf.history_] == [None, 16 / 40]


def test_the_interrupted_history_is_saved_with_the_classifier(make, tmp_path):
    clf = make()
    interrupted(clf, 2)
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.history_ == clf.history_ and again.history_[-1]["part"] == 16 / 40


def test_prediction_can_be_interrupted_and_repeated(make, monkeypatch):
    clf = make(epochs=1).fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    model = type(clf.model_)
    plain = model.score_packed
    for call in (clf.predict, lambda X: clf.evaluate(X, LABELS), lambda X: clf.score(X, LABELS)):
        with monkeypatch.context() as patch:
            patch.setattr(model, "score_packed", lambda *a, **o: (press(), plain(*a, **o))[1])
            message = "^(prediction|the evaluation) was interrupted$"
            with pytest.raises(KeyboardInterrupt, match=message) as caught:
                call(TEXTS)
        assert len(caught.value._render_traceback_()) == 1
        assert np.array_equal(clf.predict_proba(TEXTS), expected)


# --- several signals ----------------------------------------------------------------------


def at_save(monkeypatch, action):
    """Do something while the command saves a model."""
    from bertsent.cli import train as command

    plain = command.save
    monkeypatch.setattr(command, "save", lambda *a, **o: (action(), plain(*a, **o)))


@pytest.fixture
def command(base, tmp_path):
    rows = [f"{TEXTS[i]} {i},{LABELS[i]}" for i in range(len(TEXTS))]
    (tmp_path / "a.csv").write_text("\n".join(["review,sentiment", *rows]))
    return ["train", str(tmp_path / "a.csv"), "--model", str(base), "--max-length", "16",
            "--epochs", "100", "--output", str(tmp_path / "out")]


def hang_up():
    signal.raise_signal(signal.SIGHUP)


def test_a_terminal_that_is_closed_causes_two_signals(command, tmp_path, monkeypatch, capsys):
    at_save(monkeypatch, hang_up)
    with at_step(3, lambda: (hang_up(), hang_up())):
        assert main(command) == 129
    assert "training was interrupted after step 3 of 200, in epoch 2 of 100; the model trained " \
        "so far is saved in" in capsys.readouterr().err
    assert len(bertsent.BertClassifier.from_pretrained(tmp_path / "out").history_) == 2
    with at_step(3, hang_up):  # another command is interrupted again
        assert main([*command, "--force"]) == 129


def test_two_hang_ups_leave_a_checkpoint(command, tmp_path, monkeypatch):
    from bertsent.training.checkpoints import RunStore

    plain = RunStore.save

    def save(store, state, weights):
        if state.step == 3:
            hang_up()
        plain(store, state, weights)

    monkeypatch.setattr(RunStore, "save", save)
    with at_step(3, lambda: (hang_up(), hang_up())):
        assert main([*command, "--checkpoint-dir", str(tmp_path / "run")]) == 129
    assert (tmp_path / "run" / "step-00000003.safetensors").exists()


def test_ctrl_c_while_the_model_is_saved_waits_but_a_second_does_not(
    command, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        at_save(patch, press)
        with at_step(3, press):
            assert main(command) == 130
    assert "is saved in" in capsys.readouterr().err
    at_save(monkeypatch, lambda: (press(), press()))
    with at_step(3, press):
        assert main([*command[:-1], str(tmp_path / "other")]) == 130
    assert "nothing was saved" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


# --- during an evaluation -----------------------------------------------------------------


class Told(Silent):
    def __init__(self):
        self.calls = []

    def stopping(self):
        self.calls.append("stopping")

    def evaluation(self, row):
        self.calls.append("evaluation")

    def end(self, outcome):
        self.calls.append(outcome)


class Pressed(Scripted):
    """A model with pieces to score, in one of which Ctrl-C is pressed some times."""

    def __init__(self, times):
        super().__init__([0.0] * 99)
        self.times = times

    def score_packed(self, *args, **options):
        for _ in range(self.times):
            press()
        self.times = 0
        return super().score_packed(*args, **options)


def run_pressed(times, monkeypatch):
    monkeypatch.setattr("bertsent.model.scoring.PIECE_TOKENS", 4)
    told, state, model = Told(), None, Pressed(times)
    state = State.fresh(model)
    options = TrainingOptions(epochs=2, batch_size=4, learning_rate=1e-3, eval_every=2)
    with pytest.raises(KeyboardInterrupt, match="after step 2 of 6, in epoch 1 of 2"):
        train(
            model, make_examples(10), options, n_threads=1, validation=make_examples(6),
            progress=told, state=state,
        )
    return told.calls, state


def test_an_evaluation_is_finished_first_and_says_so(monkeypatch):
    calls, state = run_pressed(1, monkeypatch)
    assert calls == ["stopping", "evaluation", "interrupted"]
    assert state.settled and [row["step"] for row in state.evaluations] == [2]


def test_a_second_interrupt_does_not_wait_for_it(monkeypatch):
    calls, state = run_pressed(2, monkeypatch)
    assert calls == ["interrupted"]
    assert not state.settled and state.evaluations == []


def test_an_interrupt_at_the_end_of_an_epoch_takes_no_further_step(make, monkeypatch):
    from bertsent.training import loop

    plain = loop._Loop.end_epoch
    monkeypatch.setattr(loop._Loop, "end_epoch", lambda self: (plain(self), press())[0])
    clf = make()
    with pytest.raises(KeyboardInterrupt, match="after step 5 of 15, in epoch 2 of 3"):
        clf.fit(TEXTS, LABELS)
    assert [row.get("part") for row in clf.history_] == [None]


def test_pretraining_that_has_not_begun_saves_nothing(tmp_path, monkeypatch):
    model = write_tiny_model(tmp_path / "tiny")

    def stop(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bertsent.pretraining.run.train", stop)
    with pytest.raises(KeyboardInterrupt, match="interrupted; nothing was saved"):
        bertsent.pretrain(TEXTS, tmp_path / "out", model=model, max_length=16, verbose=0)
    assert not (tmp_path / "out").exists()
