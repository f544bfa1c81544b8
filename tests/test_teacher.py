"""Distillation: a classifier learns from the labels and from fitted classifiers."""

import json
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from test_classifier import flat, make_texts

import bertsent
from bertsent.classifier import PARAMETERS, teacher as teacher_module
from bertsent.cli import main
from bertsent.errors import CheckpointError

TEXTS, LABELS = make_texts(48)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
TEXTS, LABELS, MORE = TEXTS[:32], LABELS[:32], TEXTS[32:]
FILE = teacher_module.FILE


@pytest.fixture(scope="module")
def build(base):
    def factory(**options):
        settings = {
            "model": base, "max_length": 16, "epochs": 2, "batch_size": 8, "learning_rate": 2e-3,
            "random_state": 0, "verbose": 0, "n_threads": 1, "precision": "float32",
            "inference_precision": "float32",
        }
        return bertsent.BertClassifier(**(settings | options))

    return factory


@pytest.fixture(scope="module")
def big(build):
    return build(epochs=8, random_state=5).fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def saved(big, tmp_path_factory):
    directory = tmp_path_factory.mktemp("teacher") / "big"
    big.save_pretrained(directory)
    return directory


def test_a_directory_of_any_name_is_a_teacher(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (kind,) = [parameter.kind for parameter in PARAMETERS if parameter.name == "teacher"]
    assert kind.parse('["a", "b"]') == ["a", "b"] and kind.parse("a, b") == ["a", "b"]
    for name in ("[2024] big", "a,b"):
        (tmp_path / name).mkdir()
        assert kind.parse(name) == name


@pytest.fixture
def scored(monkeypatch):
    """Count the texts that teachers score."""
    counts = []
    score = teacher_module.Lesson._score

    def counting(self, *args):
        counts.append(len(self.rows))
        return score(self, *args)

    monkeypatch.setattr(teacher_module.Lesson, "_score", counting)
    return counts


# --- what the student learns ----------------------------------------------------------------


@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_a_student_without_labels_of_its_own_learns_what_its_teacher_says(build, big, loss):
    # All labels are wrong, but they have no weight.
    wrong = np.where(LABELS == "positive", "negative", "positive")
    clf = build(epochs=12, teacher=big, teacher_weight=1.0, distillation_loss=loss)
    clf.fit(TEXTS, wrong, unlabelled=MORE)
    every = [*TEXTS, *MORE]
    assert np.mean(clf.predict(every) == big.predict(every)) > 0.9
    found, wanted = (c.decision_function(every) for c in (clf, big))
    assert np.corrcoef(found, wanted)[0, 1] > 0.7


def test_a_teacher_without_weight_changes_nothing(build, big):
    plain = build().fit(TEXTS, LABELS)
    taught = build(teacher=big, teacher_weight=0.0).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(flat(taught), flat(plain))


def test_temperature_and_weight_matter_where_they_should(build, big):
    def weights(**options):
        return flat(build(epochs=1, teacher=big, **options).fit(TEXTS, LABELS))

    for first, second, same in (
        ({"temperature": 1.0}, {"temperature": 4.0}, False),
        ({"teacher_weight": 0.2}, {"teacher_weight": 0.8}, False),
        ({}, {"distillation_loss": "mse"}, False),
        ({"distillation_loss": "mse"}, {"distillation_loss": "mse", "temperature": 4.0}, True),
    ):
        assert np.array_equal(weights(**first), weights(**second)) == same


def test_training_minimises_the_loss_that_is_documented(build, big):
    """With a learning rate of almost 0, the recorded loss is that of the initial model."""
    from reference import LOSSES

    start = build(epochs=1, learning_rate=1e-20, batch_size=48, teacher=big)
    start.fit(TEXTS, LABELS)
    student = start.set_params(inference_long_text=None)
    logits = bertsent.classifier.estimator.predictor(student).logits(TEXTS)
    theirs = bertsent.classifier.estimator.predictor(big).logits(TEXTS)
    codes = (LABELS == "positive").astype(np.int32)
    value, _ = LOSSES["distillation_kl"](logits, codes, teacher=(theirs, 2.0, 0.5))
    # Dropout is the only difference.
    assert start.history_[0]["loss"] == pytest.approx(value, rel=0.2)


def test_of_several_teachers_the_probabilities_are_averaged(build, big, saved):
    other = build(epochs=4, random_state=6).fit(TEXTS, LABELS)
    lesson = _lesson([str(saved), other], build)
    mean = (big.predict_proba(TEXTS) + other.predict_proba(TEXTS)) / 2
    found = np.exp(lesson.logits)
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), mean, atol=1e-6)
    assert [one["name"] for one in lesson.record] == ["big", "tiny"]
    np.testing.assert_allclose(lesson.logits.sum(axis=1), 0, atol=1e-5)


def _lesson(teachers, build, **options):
    from bertsent.objectives import SingleLabelClassification
    from bertsent.texts import Labelled

    parameters = bertsent.classifier.base.all_parameters(build(teacher=teachers, **options))
    objective, targets = SingleLabelClassification.learn(LABELS, len(TEXTS))
    lesson = teacher_module.Lesson.of(parameters, objective, TEXTS, LABELS, TEXTS, None, 1)
    labelled = Labelled(TEXTS, targets, targets, None, np.arange(len(TEXTS)))
    lesson.teach(lesson.join(labelled, [], print), parameters, None, resume=False, verbose=0,
                 tell=print)
    return lesson


def test_classes_may_have_another_order_in_the_teacher(build, tmp_path):
    big = build(epochs=6).fit(TEXTS, LABELS)
    # Another program may have saved the classes in any order.
    big.model_.save_pretrained(tmp_path / "other", tokenizer=big.tokenizer_)
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "negative"}
    config["label2id"] = {"positive": 0, "negative": 1}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    lesson = _lesson(tmp_path / "other", build)
    turned = bertsent.BertClassifier.from_pretrained(tmp_path / "other")
    assert np.mean(turned.predict(TEXTS) == big.predict(TEXTS)) < 0.2
    own = np.array(["negative", "positive"])[lesson.logits.argmax(axis=1)]
    np.testing.assert_array_equal(own, turned.predict(TEXTS))


def test_the_teacher_reads_as_it_was_saved_to_read(build, big, monkeypatch):
    read = []
    logits = bertsent.classifier.fitted.Predictor.logits

    def recording(self, X, report=None):
        read.append((list(X), self.parameters["max_length"], self.parameters["strip_html"]))
        return logits(self, X, report)

    monkeypatch.setattr(bertsent.classifier.fitted.Predictor, "logits", recording)
    texts = [f"<b>{text}</b>" for text in TEXTS]
    build(epochs=1, teacher=big, strip_html=True, max_length=8, long_text="windows").fit(
        texts, LABELS, unlabelled=["<i>a good film</i>"]
    )
    assert read == [([*texts, "<i>a good film</i>"], 16, False)]


# --- texts without labels -------------------------------------------------------------------


def test_unlabelled_texts_are_scored_once_and_trained_on(build, big, scored):
    clf = build(teacher=big, members=2).fit(TEXTS, LABELS, unlabelled=pd.Series(MORE))
    assert scored == [48]
    plain = build(epochs=2).fit(TEXTS, LABELS)
    assert clf.history_[0]["tokens"] > plain.history_[0]["tokens"]
    assert clf.training_rows_.tolist() == list(range(32))
    assert clf.seen_in_training(MORE).all()
    assert not plain.seen_in_training(MORE).any()


def test_texts_that_are_held_out_are_never_taught(build, big, scored, capfd):
    clf = build(teacher=big, validation_fraction=0.25, early_stopping=True, verbose=1)
    clf.fit(TEXTS, LABELS, unlabelled=[*MORE, *TEXTS])
    assert scored == [24 + 16]
    held_out = [TEXTS[row] for row in clf.validation_rows_]
    assert not clf.seen_in_training(held_out).any()
    assert "validation_accuracy" in clf.history_[-1]
    assert "32 of 48 unlabelled texts are not used" in capfd.readouterr().err
    other = build(teacher=big).fit(TEXTS, LABELS, X_val=MORE[:4], y_val=LABELS[:4], unlabelled=MORE)
    assert not other.seen_in_training(MORE[:4]).any() and other.seen_in_training(MORE[4:]).all()


def test_a_scale_of_the_sample_weights_does_not_matter(build, big):
    weights = np.linspace(0.5, 2.0, 32)

    def trained(factor):
        return flat(build(epochs=1, teacher=big).fit(TEXTS, LABELS, factor * weights,
                                                     unlabelled=MORE))

    np.testing.assert_array_equal(trained(1.0), trained(4.0))
    assert not np.array_equal(trained(1.0), flat(
        build(epochs=1, teacher=big).fit(TEXTS, LABELS, unlabelled=MORE)))


def test_it_works_with_other_ways_of_training(build, big):
    clf = build(
        teacher=big, class_weight="balanced", label_smoothing=0.1, long_text="windows",
        max_length=8, freeze_layers=1, freeze_dropout=True, track_examples=True,
        members=[{}, {"temperature": 1.0, "distillation_loss": "mse"}],
    ).fit(TEXTS, LABELS, unlabelled=MORE)
    table = clf.example_history_
    assert sorted(table["row"].unique()) == list(range(32)) and len(table) == 64
    assert len(clf.models_) == 2
    assert clf.audit(TEXTS) is not None


def test_words_vote_with_a_student_and_are_part_of_a_teacher(build, big):
    plain = _lesson(big, build)
    wordy = build(epochs=8, random_state=5, words=True).fit(TEXTS, LABELS)
    voting = _lesson(wordy, build)
    assert voting.record[0]["hash"] != plain.record[0]["hash"]
    assert not np.allclose(voting.logits, plain.logits)
    clf = build(teacher=wordy, words=True, validation_fraction=0.25)
    clf.fit(TEXTS, LABELS, unlabelled=MORE)
    assert clf.word_weight_ == 0.5 and clf.teachers_ == voting.record


def test_threads_do_not_change_the_result(build, big):
    one, two = (
        flat(build(teacher=big, n_threads=n).fit(TEXTS, LABELS, unlabelled=MORE)) for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


# --- checkpoints and repetition -------------------------------------------------------------


class _Stop:
    def __init__(self, step):
        self.at = step

    def on_step(self, event):
        if event["step"] == self.at:
            raise RuntimeError("stopped")


def _stopped(build, directory, step=5, **options):
    clf = build(checkpoint_dir=directory, checkpoint_every=2, callbacks=_Stop(step), **options)
    with pytest.raises(RuntimeError, match="stopped"):
        clf.fit(TEXTS, LABELS, unlabelled=MORE)


def test_a_resumed_run_does_not_score_again_and_gives_the_same_model(
    build, big, saved, scored, tmp_path
):
    whole = build(teacher=big).fit(TEXTS, LABELS, unlabelled=MORE)
    _stopped(build, tmp_path / "run", teacher=big)
    assert scored == [48, 48] and (tmp_path / "run" / FILE).is_file()
    # The same teacher, named in another way.
    again = build(teacher=saved, checkpoint_dir=tmp_path / "run", resume=True)
    again.fit(TEXTS, LABELS, unlabelled=MORE)
    assert scored == [48, 48]
    np.testing.assert_array_equal(flat(again), flat(whole))


@pytest.mark.parametrize("damage", ["flip", "cut", "lost", "empty"])
def test_a_damaged_file_of_logits_is_replaced(build, big, scored, tmp_path, damage):
    whole = build(teacher=big).fit(TEXTS, LABELS, unlabelled=MORE)
    _stopped(build, tmp_path, teacher=big)
    original = (tmp_path / FILE).read_bytes()
    content = bytearray(original)
    if damage == "flip":
        content[-9] ^= 1
    (tmp_path / FILE).write_bytes(
        {"flip": content, "cut": content[:-5], "lost": b"", "empty": b""}[damage]
    )
    if damage == "lost":
        (tmp_path / FILE).unlink()
    again = build(teacher=big, checkpoint_dir=tmp_path, resume=True)
    if damage == "lost":
        again.fit(TEXTS, LABELS, unlabelled=MORE)
    else:
        with pytest.warns(UserWarning, match="damaged.*the teacher scores the texts again"):
            again.fit(TEXTS, LABELS, unlabelled=MORE)
    assert scored == [48, 48, 48]
    np.testing.assert_array_equal(flat(again), flat(whole))
    assert (tmp_path / FILE).read_bytes() == original


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({"teacher": "other"}, MORE, "what differs: the teacher"),
        ({"teacher": None}, None, "what differs: .*the teacher"),
        ({}, MORE[1:], r"what differs: the texts without labels \(unlabelled\)"),
        ({"temperature": 3.0}, MORE, r"temperature \(saved: 2.0, now: 3.0\)"),
        ({"teacher_weight": 0.1}, MORE, r"teacher_weight \(saved: 0.5, now: 0.1\)"),
    ],
)
def test_another_lesson_is_refused(build, big, scored, tmp_path, changes, given, message):
    _stopped(build, tmp_path, teacher=big)
    if changes.get("teacher") == "other":
        changes = {"teacher": build(epochs=1, random_state=9).fit(TEXTS, LABELS)}
    again = build(checkpoint_dir=tmp_path, resume=True, **({"teacher": big} | changes))
    with pytest.raises(CheckpointError, match=message):
        again.fit(TEXTS, LABELS, unlabelled=given)
    assert scored == [48]


def test_a_run_without_a_teacher_is_not_resumed_with_one(build, big, tmp_path):
    clf = build(checkpoint_dir=tmp_path, callbacks=_Stop(5))
    with pytest.raises(RuntimeError):
        clf.fit(TEXTS, LABELS)
    again = build(checkpoint_dir=tmp_path, resume=True, teacher=big)
    with pytest.raises(CheckpointError, match="what differs: the teacher"):
        again.fit(TEXTS, LABELS)


def test_a_run_is_repeated_with_its_teacher(build, big, saved, tmp_path):
    log = tmp_path / "run.jsonl"
    build(teacher=big, log_file=log, hash_every=2).fit(TEXTS, LABELS, unlabelled=MORE)
    assert str(saved) not in log.read_text()
    result = bertsent.verify(log, TEXTS, LABELS, unlabelled=MORE, teacher=saved, verbose=0)
    assert result.agrees and result.compared > 2
    with pytest.raises(CheckpointError, match="learned from a teacher, which the log does not"):
        bertsent.verify(log, TEXTS, LABELS, unlabelled=MORE, verbose=0)
    other = build(epochs=1, random_state=9).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="what differs: the teacher"):
        bertsent.verify(log, TEXTS, LABELS, unlabelled=MORE, teacher=other, verbose=0)


# --- the student afterwards -----------------------------------------------------------------


def test_the_student_is_saved_with_a_record_of_its_teacher_only(build, saved, big, tmp_path):
    clf = build(teacher=saved, temperature=3.0).fit(TEXTS, LABELS)
    clf.save_pretrained(tmp_path / "student")
    settings = json.loads((tmp_path / "student" / "bertsent.json").read_text())
    assert settings["teachers"] == clf.teachers_ and settings["parameters"]["temperature"] == 3.0
    assert clf.teachers_[0]["name"] == "big" and len(clf.teachers_[0]["hash"]) == 32
    assert "teacher" not in settings["parameters"]
    assert str(saved.parent) not in (tmp_path / "student" / "bertsent.json").read_text()
    names = {path.name for path in (tmp_path / "student").iterdir()}
    big.save_pretrained(tmp_path / "plain")
    assert names == {path.name for path in (tmp_path / "plain").iterdir()}
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "student")
    assert again.teacher is None and again.teachers_ == clf.teachers_
    np.testing.assert_array_equal(again.predict(MORE), clf.predict(MORE))
    # A copy of the same teacher has the same hash, wherever it is.
    shutil.copytree(saved, tmp_path / "copy")
    copied = build(epochs=1, teacher=tmp_path / "copy").fit(TEXTS, LABELS)
    assert copied.teachers_ == [{"name": "copy", "hash": clf.teachers_[0]["hash"]}]


def test_clones_keep_the_fitted_teacher(build, big, saved):
    for teacher in (big, [big, str(saved)], saved, FrozenEstimator(big)):
        clf = build(teacher=teacher, epochs=1)
        copied = clone(clf)
        assert copied.teacher is teacher and copied is not clf
        assert {**copied.get_params(deep=False)} == {**clf.get_params(deep=False)}
    again = pickle.loads(pickle.dumps(copied.fit(TEXTS, LABELS)))
    np.testing.assert_array_equal(again.predict(MORE), copied.predict(MORE))


def test_a_clone_keeps_requests_of_metadata(build, big):
    clf = build(teacher=big)
    clf._metadata_request = {"fit": "kept"}
    assert clone(clf)._metadata_request == {"fit": "kept"}


def test_a_grid_search_chooses_the_temperature(build, big):
    search = GridSearchCV(build(teacher=big, epochs=1), {"temperature": [1.0, 4.0]}, cv=2)
    search.fit(TEXTS, LABELS, unlabelled=MORE[:5])
    assert search.best_params_["temperature"] in (1.0, 4.0)
    assert search.best_estimator_.teachers_ is not None


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": bertsent.BertClassifier()}, "the teacher is not fitted; call its fit first"),
        ({"teacher": 3}, "teacher=3 is not allowed; expected None, a fitted BertClassifier"),
        ({"teacher": bertsent.BertClassifier}, "is not allowed"),
        ({"temperature": 0.0}, "temperature=0.0 is not allowed"),
        ({"teacher_weight": 1.5}, "teacher_weight=1.5 is not allowed"),
        ({"distillation_loss": "l1"}, "distillation_loss='l1' is not allowed"),
    ],
)
def test_invalid_parameters_are_refused(build, options, message):
    with pytest.raises(ValueError, match=message):
        build(**options).fit(TEXTS, LABELS)


def test_an_empty_list_of_teachers_is_refused(build):
    with pytest.raises(TypeError, match=r"teacher=\[\] is not allowed"):
        build(teacher=[]).fit(TEXTS, LABELS)


def test_other_classes_are_refused_by_name(build, big):
    labels = np.where(LABELS == "positive", "good", LABELS)
    with pytest.raises(ValueError, match=(
        "teacher: 'tiny' must have the classes of y, but the teacher lacks 'good' and only it has "
        "'positive'"
    )):
        build(teacher=big).fit(TEXTS, labels)


def test_unlabelled_texts_need_a_teacher(build):
    with pytest.raises(ValueError, match="unlabelled needs teacher"):
        build().fit(TEXTS, LABELS, unlabelled=MORE)


def test_an_unlabelled_item_that_is_no_text_is_named(build, big):
    with pytest.raises(TypeError, match=r"unlabelled\[1\] is None"):
        build(teacher=big).fit(TEXTS, LABELS, unlabelled=["a", None])


def test_a_directory_without_a_fitted_classifier_is_refused(build, base):
    with pytest.raises(CheckpointError, match="is not a fitted classifier"):
        build(teacher=base).fit(TEXTS, LABELS)


def test_partial_fit_refuses_a_teacher_and_keeps_the_record(build, big):
    with pytest.raises(ValueError, match="partial_fit learns from labels only"):
        build(teacher=big).partial_fit(TEXTS, LABELS, classes=["negative", "positive"])
    clf = build(teacher=big).fit(TEXTS, LABELS)
    record = clf.teachers_
    assert clf.set_params(teacher=None).partial_fit(TEXTS, LABELS).teachers_ == record


# --- the command line -----------------------------------------------------------------------


@pytest.fixture
def desk(base, tmp_path, monkeypatch):
    """A directory with labelled texts, a teacher that was trained on some of them, and more texts.

    Returns a function that runs a command there.
    """
    monkeypatch.chdir(tmp_path)
    texts, labels = make_texts(60)
    texts = [f"{text} {i}" for i, text in enumerate(texts)]
    data = pd.DataFrame({"review": texts, "sentiment": labels})
    data[:40].to_csv("data.csv", index=False)
    pd.DataFrame({"review": [*texts[40:], *texts[:40]]}).to_csv("more.csv", index=False)
    data[40:44].to_csv("test.csv", index=False)

    def run(*args):
        return main([str(arg) for arg in args])

    run.small = ["--model", base, "--max-length", 16, "--epochs", 1, "--batch-size", 8,
                 "--threads", 1]
    assert run("train", "data.csv", *run.small, "--output", "big") == 0
    return run


def test_the_command_learns_from_a_saved_model(desk, tmp_path, capsys):
    flags = ["--teacher", "big", "--unlabelled", "more.csv", "--log-file", "run.jsonl",
             "--hash-every", 2, "--output", "small", "--temperature", 3]
    assert desk("train", "data.csv", *desk.small, *flags, "--dry-run") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "scoring by the teacher" in out and "52 to train on" in out
    assert desk("train", "data.csv", *desk.small, *flags) == 0
    out = capsys.readouterr().out
    assert "52 texts without labels: more.csv" in out and "--teacher big" in out
    settings = json.loads((tmp_path / "small" / "bertsent.json").read_text())
    record = json.loads((tmp_path / "small" / "run.json").read_text())
    assert settings["teachers"] == record["teachers"] and record["teachers"][0]["name"] == "big"
    # 32 texts to train on, and 20 of 60 without labels that are not among these or the test.
    texts = pd.read_csv("more.csv")["review"]
    student = bertsent.BertClassifier.from_pretrained("small")
    assert student.seen_in_training(texts).sum() == 52
    assert desk("verify", "run.jsonl", "--teacher", "big") == 0
    assert "all bits agree" in capsys.readouterr().out
    assert desk("verify", "run.jsonl") == 1
    assert "pass it as --teacher" in capsys.readouterr().err
    with open("more.csv", "a") as file:
        file.write("another text\n")
    assert desk("verify", "run.jsonl", "--teacher", "big") == 1
    assert "more.csv has changed since the run" in capsys.readouterr().err
    assert desk("verify", "run.jsonl", "--teacher", "big", "--unlabelled", "more.csv") == 1
    assert "the texts without labels (--unlabelled)" in capsys.readouterr().err


def test_texts_of_a_file_for_testing_are_not_taught(desk, capsys):
    flags = ["--test-data", "test.csv", "--teacher", "big,big", "--unlabelled", "more.csv",
             "--log-file", "run.jsonl", "--hash-every", 2, "--output", "small"]
    assert desk("train", "data.csv", *desk.small, *flags) == 0
    student = bertsent.BertClassifier.from_pretrained("small")
    assert not student.seen_in_training(pd.read_csv("test.csv")["review"]).any()
    assert len(student.teachers_) == 2
    assert desk("verify", "run.jsonl", "--teacher", "big,big") == 0


def test_the_name_of_a_teacher_may_have_a_comma(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big, old").mkdir()
    kind = next(each.kind for each in PARAMETERS if each.name == "teacher")
    assert kind.parse("big, old") == "big, old"
    assert kind.parse("big, new") == ["big", "new"]
    assert kind.parse('["big, old", "new"]') == ["big, old", "new"]
    for text in ("[]", '["big, old"', "[1]", '[["big"]]'):
        with pytest.raises(ValueError, match="separated by commas, or a JSON list of them"):
            kind.parse(text)


def test_unlabelled_texts_need_a_teacher_on_the_command_line(desk, capsys):
    assert desk("train", "data.csv", "--unlabelled", "more.csv") == 2
    assert "--unlabelled needs --teacher" in capsys.readouterr().err


def test_scoring_has_a_bar_and_counts_towards_the_budget(build, big, capfd):
    clf = build(teacher=big, time_budget="10min", verbose=1, epochs=1)
    clf.fit(TEXTS, LABELS, unlabelled=MORE)
    shown = capfd.readouterr().err
    assert "scoring by the teacher)" in shown and "tiny scores 48 texts as the teacher" in shown
    assert 0 <= clf.plan_["teacher"] <= clf.plan_["used"]
    assert clf.plan_["all_texts"] == 48
    with pytest.raises(ValueError, match="time_budget of 0.001 seconds is too short"):
        build(teacher=big, time_budget=0.001).fit(TEXTS, LABELS)


def test_texts_with_several_labels_have_no_teacher(build, big):
    several = [["good"], ["good", "short"], []] * 10
    with pytest.raises(ValueError, match="teacher needs one label for each text, but y has sever"):
        build(teacher=big).fit(TEXTS[:30], several)
