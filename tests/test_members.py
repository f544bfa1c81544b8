"""Several models in one classifier: training, voting, saving and resuming."""

import json
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from sklearn.base import clone
from test_classifier import flat, make_texts
from test_cli import SMALL, run as run_command, write_csv
from test_runs import at_step, names

import bertsent
from bertsent.classifier import fitting
from bertsent.classifier.estimator import predictor
from bertsent.errors import CheckpointError
from bertsent.objectives.classification import SingleLabelClassification
from bertsent.texts import LabelType
from bertsent.training.schedule import draw_seeds, member_seeds

TEXTS, LABELS = make_texts(50)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
STEPS = 16  # of one member


@pytest.fixture
def make(base):
    """A factory of classifiers with three members, for two epochs of 8 steps."""
    return maker(base, epochs=2, batch_size=5, validation_fraction=0.2, members=3)


@pytest.fixture
def three(make):
    return make().fit(TEXTS, LABELS)


def weights(clf):
    return [np.asarray(model._flat) for model in clf.models_]


def assert_same_models(one, other):
    for mine, twin in zip(weights(one), weights(other), strict=True):
        assert np.array_equal(mine.view(np.uint32), twin.view(np.uint32))


def without_seconds(rows):
    return [row | {"seconds": 0} for row in rows]


# --- training -----------------------------------------------------------------------------


def test_the_first_is_the_model_alone_and_the_others_are_of_their_own(make, three):
    alone = make(members=1).fit(TEXTS, LABELS)
    first, second, third = weights(three)
    assert three.model_ is three.models_[0]
    assert np.array_equal(first, flat(alone))
    assert not np.array_equal(first, second) and not np.array_equal(second, third)
    assert "member" not in alone.history_[0] and alone.best_step_ is None


def test_seeds_of_members_share_nothing_but_the_split():
    seeds = draw_seeds(0)
    others = [member_seeds(seeds, number) for number in range(16)]
    assert others[0] == seeds
    assert {other.split for other in others} == {seeds.split}
    for name in ("new_weights", "order", "dropout"):
        assert len({getattr(other, name) for other in others}) == 16


def test_all_train_on_the_same_texts_and_tell_of_it(make):
    clf = make(early_stopping="loss", patience=9).fit(TEXTS, LABELS)
    assert len(clf.training_rows_) == 40 and len(clf.validation_rows_) == 10
    assert [(row["member"], row["epoch"]) for row in clf.history_] == [
        (1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2),
    ]
    assert [row["member"] for row in clf.evaluations_] == [1, 1, 2, 2, 3, 3]
    for number, best in enumerate(clf.best_step_, 1):
        own = [row for row in clf.evaluations_ if row["member"] == number]
        assert best == min(own, key=lambda row: row["validation_loss"])["step"]


def test_what_was_seen_of_each_text_is_of_the_first(make):
    alone = make(members=1, track_examples=True).fit(TEXTS, LABELS).example_history_
    together = make(track_examples=True).fit(TEXTS, LABELS).example_history_
    pd.testing.assert_frame_equal(alone, together)


def test_callbacks_and_log_know_the_member(make, tmp_path):
    heard = []
    log = tmp_path / "log.jsonl"
    make(members=2, callbacks=heard.append, log_file=log).fit(TEXTS, LABELS)
    assert [e["member"] for e in heard if e["event"] == "start"] == [1, 2]
    assert [e["member"] for e in heard if e["event"] == "step"] == [1] * STEPS + [2] * STEPS
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(e["event"], e["member"]) for e in lines] == [(e["event"], e["member"]) for e in heard]


# --- the vote -----------------------------------------------------------------------------


def test_the_mean_of_the_probabilities_counts(three):
    opinions = []
    for model in three.models_:
        single = bertsent.BertClassifier(**(three.get_params(deep=False) | {"members": 1}))
        single._fitted = replace(three._fitted, models=[model])
        opinions.append(single.predict_proba(TEXTS))
    mean = np.mean(opinions, axis=0)
    assert np.ptp(opinions, axis=0).max() > 1e-3  # they do not agree
    found = three.predict_proba(TEXTS)
    assert np.allclose(found, mean, rtol=0, atol=1e-6)
    assert np.array_equal(three.predict(TEXTS), three.classes_[mean.argmax(axis=1)])
    margin = three.decision_function(TEXTS)
    assert np.allclose(1 / (1 + np.exp(-margin)), mean[:, 1], rtol=0, atol=1e-6)


def test_a_vote_of_logits_that_exponentials_cannot_hold():
    sure, unsure = np.array([[1000.0, -1000.0]]), np.array([[0.0, 0.0]])
    objective = SingleLabelClassification(LabelType(np.array([0, 1])))
    logits = objective.combine([sure, unsure])
    assert np.allclose(objective.predict_proba(logits), [[0.75, 0.25]])
    assert np.isfinite(objective.combine([sure, sure])).all()


# --- saving -------------------------------------------------------------------------------


@pytest.mark.parametrize("int8", [False, True])
def test_a_saved_one_has_all_members(three, tmp_path, int8):
    three.set_params(inference_precision="int8" if int8 else "float32")
    three.save_pretrained(tmp_path / "model", int8=int8)
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert len(again.models_) == again.members == 3
    assert again.history_ == three.history_ and again.best_step_ == three.best_step_
    assert np.array_equal(again.predict_proba(TEXTS), three.predict_proba(TEXTS))


def test_members_go_when_a_single_model_takes_their_place(make, three, tmp_path):
    three.save_pretrained(tmp_path / "model")
    assert "member-3.safetensors" in names(tmp_path / "model")
    make(members=1).fit(TEXTS, LABELS).save_pretrained(tmp_path / "model", overwrite=True)
    assert not [name for name in names(tmp_path / "model") if name.startswith("member")]
    assert len(bertsent.BertClassifier.from_pretrained(tmp_path / "model").models_) == 1


def test_a_missing_member_is_named(three, tmp_path):
    three.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "member-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"member-2\.safetensors is missing"):
        bertsent.BertClassifier.from_pretrained(tmp_path / "model")


# --- runs that are broken off -------------------------------------------------------------


def stop_at(clf, step):
    """Fit, and press Ctrl-C after a number of steps, counted over all members."""
    done = []

    def count():
        done.append(None)
        if len(done) == step:
            signal.raise_signal(signal.SIGINT)

    with at_step(None, count), pytest.raises(KeyboardInterrupt):
        clf.fit(TEXTS, LABELS)
    return clf


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("step", [5, STEPS + 7, 3 * STEPS - 1])
def test_a_run_goes_on_to_the_same_bits(make, tmp_path, step, seed):
    options = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 3, "random_state": seed}
    stop_at(make(**options), step)
    whole = None
    if seed is None:  # only the checkpoint has the seeds
        whole = make(**options | {"resume": True}).fit(TEXTS, LABELS)
    heard = []
    again = make(**options | {"resume": True}, callbacks=heard.append).fit(TEXTS, LABELS)
    assert_same_models(again, whole or make().fit(TEXTS, LABELS))
    begun = [e["member"] for e in heard if e["event"] == "start"]
    if seed is not None:  # members that were complete are not trained again
        assert begun == list(range((step - 1) // STEPS + 1, 4))
        whole = make().fit(TEXTS, LABELS)
        assert without_seconds(again.history_) == without_seconds(whole.history_)
        assert again.evaluations_ == whole.evaluations_
    assert names(tmp_path / "run")[:2] == ["member-2", "member-3"]


def test_a_log_that_is_gone_on_with_has_each_step_once(make, tmp_path):
    options = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 3, "members": 2}
    log = tmp_path / "log.jsonl"
    stop_at(make(**options, log_file=log), STEPS + 7)
    make(**options, resume=True, log_file=log).fit(TEXTS, LABELS)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [(e["member"], e["step"]) for e in events if e["event"] == "step"]
    assert steps == [(member, step) for member in (1, 2) for step in range(1, STEPS + 1)]


def test_an_interrupt_leaves_those_that_are_complete(make, three):
    clf = stop_at(make(), STEPS + 7)
    assert len(clf.models_) == 1
    assert np.array_equal(flat(clf), weights(three)[0])
    assert clf.predict(TEXTS).shape == (50,)
    clf = stop_at(make(), 5)  # a single model keeps what it has learned so far
    assert len(clf.models_) == 1 and not np.array_equal(flat(clf), weights(three)[0])


def test_an_interrupt_between_two_members_leaves_the_first(make, three, monkeypatch):
    share_out, calls = fitting._Fit.share_out, []

    def interrupted(run, *given):
        calls.append(run)
        if len(calls) == 2:
            raise KeyboardInterrupt
        share_out(run, *given)

    monkeypatch.setattr(fitting._Fit, "share_out", interrupted)
    clf = make()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(TEXTS, LABELS)
    assert len(clf.models_) == 1 and np.array_equal(flat(clf), weights(three)[0])


def test_a_run_of_another_number_is_another_run(make, tmp_path):
    make(members=2, checkpoint_dir=tmp_path / "run").fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match=r"members \(saved: 2, now: 3\)"):
        make(checkpoint_dir=tmp_path / "run", resume=True).fit(TEXTS, LABELS)


# --- what does not go together ------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 17, 1.5, True, "all"])
def test_numbers_that_are_not_allowed(make, value):
    with pytest.raises(ValueError, match="members=.*from 1 to 16"):
        make(members=value).fit(TEXTS, LABELS)


def test_a_time_budget_is_for_one(make):
    with pytest.raises(ValueError, match="time_budget='1min' can .* one model, not members=3"):
        make(time_budget="1min", epochs="auto").fit(TEXTS, LABELS)


def test_partial_fit_is_for_one(make, three):
    for clf in (make(validation_fraction=None), three, three.set_params(members=1)):
        with pytest.raises(ValueError, match="partial_fit can only train one model"):
            clf.partial_fit(TEXTS, LABELS, classes=sorted(set(LABELS)))


def test_warm_start_goes_on_with_each(make, three):
    before = weights(three)
    three.set_params(warm_start=True, learning_rate=1e-30, weight_decay=0.0)
    three.fit(TEXTS, LABELS)
    for old, new in zip(before, weights(three), strict=True):
        assert np.array_equal(old, new)
    with pytest.raises(ValueError, match="3 fitted models, not with members=2"):
        three.set_params(members=2).fit(TEXTS, LABELS)
    assert len(three.models_) == 3


# --- members that are not alike -----------------------------------------------------------

UNLIKE = [{"freeze_layers": 1, "max_length": 8}, {"long_text": "head", "learning_rate": 1e-3}]


@pytest.fixture
def unlike(make):
    return make(members=UNLIKE).fit(TEXTS, LABELS)


def test_each_trains_with_its_own_parameters(make, unlike):
    alone = make(members=1, **UNLIKE[0]).fit(TEXTS, LABELS)
    assert np.array_equal(weights(unlike)[0], flat(alone))
    assert unlike.learning_rate_ == [2e-3, 1e-3] and unlike.max_length_ == [8, 16]
    first, second = (model.parameters["bert.embeddings.word_embeddings.weight"]
                     for model in unlike.models_)
    started = make(members=1, learning_rate=1e-30, weight_decay=0.0).fit(TEXTS, LABELS)
    before = started.model_.parameters["bert.embeddings.word_embeddings.weight"]
    assert np.array_equal(first, before) and not np.array_equal(second, before)
    # The second one has the same seeds in any run.
    like = make(members=[{}, UNLIKE[1]]).fit(TEXTS, LABELS)
    assert np.array_equal(weights(unlike)[1], weights(like)[1])


def test_each_reads_what_it_was_trained_on(unlike, tmp_path):
    opinions = []
    for model, own in zip(unlike.models_, UNLIKE, strict=True):
        single = bertsent.BertClassifier(**(unlike.get_params(deep=False) | own | {"members": 1}))
        single._fitted = replace(unlike._fitted, models=[model])
        opinions.append(single.predict_proba(TEXTS))
    found = unlike.predict_proba(TEXTS)
    assert np.allclose(found, np.mean(opinions, axis=0), rtol=0, atol=1e-6)
    unlike.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.members == UNLIKE and again.max_length_ == [8, 16]
    assert np.array_equal(again.predict_proba(TEXTS), found)
    assert clone(unlike).members == UNLIKE


def test_a_length_of_auto_is_that_of_each(make):
    members = [{"max_length": 8}, {}]
    clf = make(members=members, max_length="auto").fit(TEXTS, LABELS)
    assert clf.max_length_[0] == 8 < clf.max_length_[1]
    lengths = [predictor(clf).reader(number).max_length for number in range(2)]
    assert lengths == clf.max_length_


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ([], "members=.*a list of 1 to 16 dictionaries"),
        ([2, 3], "members=.*a list of 1 to 16 dictionaries"),
        ([{}, {"pooling": "mean"}], r"members\[1\] has pooling, .* can differ in max_length, l"),
        ([{"model": "x", 3: 4}], r"members\[0\] has model, 3, in which members cannot"),
        ([{}, {"freeze_layers": -1}], r"members\[1\]: freeze_layers=-1"),
        ([{"stride": 5, "max_length": 6}], r"members\[0\]: stride=5 leaves no room .* windows"),
    ],
)
def test_what_members_cannot_have_is_named(make, members, match):
    with pytest.raises((TypeError, ValueError), match=match):
        make(members=members).fit(TEXTS, LABELS)


def test_one_that_is_gone_on_with_otherwise_is_another_run(make, tmp_path):
    make(members=UNLIKE, checkpoint_dir=tmp_path / "run").fit(TEXTS, LABELS)
    other = [UNLIKE[0], UNLIKE[1] | {"learning_rate": 2e-3}]
    with pytest.raises(CheckpointError, match=r"learning_rate \(saved: 0.001, now: 0.002\)"):
        make(members=other, checkpoint_dir=tmp_path / "run", resume=True).fit(TEXTS, LABELS)


def test_the_commands_take_json(base, tmp_path, capsys):
    data = write_csv(tmp_path / "data.csv")
    train = ["train", data, "--model", base, *SMALL, "--members",
             '[{"epochs": 1}, {"epochs": 2, "max_length": 8}]']
    assert run_command(*train, "--output", tmp_path / "model", "--dry-run") == 0
    output = capsys.readouterr().out
    assert "member 1: " in output and "(--epochs 2)" in output and "--max-length 8" in output
    assert run_command(*train, "--output", tmp_path / "model") == 0
    assert "at a peak learning rate of 0.002, 0.002;" in capsys.readouterr().out
    run = json.loads((tmp_path / "model" / "run.json").read_text())
    assert len(run["parameters"]["members"]) == 2
    for wrong in ("[1", "x", '{"epochs": 1}'):
        code = run_command("train", data, "--members", wrong, "--output", tmp_path / "other")
        assert code != 0 and "--members" in capsys.readouterr().err


# --- the command line ---------------------------------------------------------------------


def test_the_commands(base, tmp_path, capsys):
    data = write_csv(tmp_path / "data.csv")
    train = ["train", data, "--model", base, "--epochs", 2, *SMALL, "--members", 2]
    assert run_command(*train, "--output", tmp_path / "model", "--dry-run") == 0
    assert "for each of 2 members" in capsys.readouterr().out
    assert run_command(*train, "--output", tmp_path / "model") == 0
    output = capsys.readouterr()
    assert "--members 2" in output.out
    assert "member 1 of 2" in output.err and "member 2 of 2" in output.err
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert history["member"].tolist() == [1, 1, 2, 2]
    assert run_command("evaluate", tmp_path / "model", data) == 0
    capsys.readouterr()
    assert run_command(*train, "--time-budget", "1min", "--output", tmp_path / "other") == 1
    assert "can only plan one model, not --members 2" in capsys.readouterr().err
