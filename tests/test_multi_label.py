"""Multi-label classification: each text has any number of labels."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import reference
import scipy.sparse
from conftest import fails, whole_and_resumed
from sklearn.metrics import f1_score, log_loss, precision_recall_fscore_support
from sklearn.model_selection import cross_val_predict, cross_val_score

import bertsent
from bertsent.classifier.parameters import DEFAULTS
from bertsent.cli import main
from bertsent.errors import CheckpointError, FreshWeightsWarning
from bertsent.files import Field
from bertsent.objectives import (
    MultiLabelClassification,
    SingleLabelClassification,
    choose_objective,
)
from bertsent.objectives.multi_label import best_threshold
from bertsent.texts import split_rows

LABELS = ["bad", "good", "slow"]
HAS = np.random.default_rng(0).random((60, 3)) < 0.4
TEXTS = [
    " ".join(word for word, has in zip(LABELS, row, strict=True) if has) + f" scene {number}"
    for number, row in enumerate(HAS)
]
LISTS = [[word for word, has in zip(LABELS, row, strict=True) if has] for row in HAS]
PROBLEM_TYPES = ("single_label_classification", "multi_label_classification")


def as_objects(rows):
    found = np.empty(len(rows), dtype=object)
    found[:] = rows
    return found


# Every form of y, and whether two predictions are equal.
FORMS = {
    "int": HAS.astype(np.int64),
    "bool": HAS,
    "float32": HAS.astype(np.float32),
    "nested": HAS.astype(int).tolist(),
    "sparse matrix": scipy.sparse.csr_matrix(HAS.astype(int)),
    "sparse array": scipy.sparse.csc_array(HAS.astype(float)),
    "frame": pd.DataFrame(HAS.astype(int), columns=LABELS),
    "frame of bools": pd.DataFrame(HAS, columns=LABELS),
    "lists": LISTS,
    "tuples": [tuple(row) for row in LISTS],
    "sets": [set(row) for row in LISTS],
    "series": pd.Series(LISTS, index=range(100, 160)),
    "objects": as_objects([np.array(row, dtype=object) for row in LISTS]),
    "polars": pl.Series(LISTS),
}
OF_NUMBERS = ("int", "bool", "float32", "nested", "sparse matrix", "sparse array")


@pytest.fixture(scope="module")
def trained(base):
    """A classifier that has learned the words; tests must not change it."""
    clf = bertsent.BertClassifier(
        base, max_length=16, epochs=25, batch_size=8, learning_rate=3e-3, random_state=0, verbose=0,
        n_threads=1, precision="float32", inference_precision="float32", label_threshold="f1",
    )
    return clf.fit(TEXTS[:48], LISTS[:48], X_val=TEXTS[48:], y_val=LISTS[48:])


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "model"
    trained.save_pretrained(directory)
    return directory


# --- y ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_predictions_have_the_form_of_y(form):
    y = FORMS[form]
    assert choose_objective(PROBLEM_TYPES, y) is MultiLabelClassification
    objective, targets = MultiLabelClassification.learn(y, 60)
    assert targets.dtype == np.float32 and np.array_equal(targets, HAS)
    assert objective.classes.tolist() == ([0, 1, 2] if form in OF_NUMBERS else LABELS)
    assert np.array_equal(objective.encode(y, 60, "y"), HAS)
    again = MultiLabelClassification.from_json(
        Field(json.loads(json.dumps(objective.to_json())), "bertsent.json", "labels")
    )
    predicted = again.predict(np.where(HAS, 2.0, -2.0).astype(np.float32))
    if form.startswith("sparse"):
        assert type(predicted).__name__ == ("csr_" + form.split()[1])
        assert predicted.dtype == y.dtype and np.array_equal(predicted.toarray(), HAS)
    elif form.startswith("frame"):
        pd.testing.assert_frame_equal(predicted, y)
    elif form in OF_NUMBERS:
        assert isinstance(predicted, np.ndarray) and np.array_equal(predicted, HAS)
        assert predicted.dtype == np.asarray(y).dtype
    elif form in ("tuples", "sets"):
        assert predicted == y
    else:
        assert predicted == LISTS


@pytest.mark.parametrize(
    ("y", "labels"),
    [([[2, 1], [7], []], [1, 2, 7]), ([[True], [False, True], []], [False, True]),
     ([[1.0, 2], [2], [1]], [1, 2])],
)
def test_labels_of_other_types(y, labels):
    objective, _ = MultiLabelClassification.learn(y, 3)
    assert objective.classes.tolist() == labels
    assert list(map(type, objective.classes.tolist())) == list(map(type, labels))


def test_one_label_per_text_stays_single_label():
    for y in (["a", "b"], np.array([[1], [0]]), pd.DataFrame({"y": ["a", "b"]}), [1, 2],
              pd.DataFrame({"x": ["t", "u"], "y": [0, 1]}), None, 3):
        assert choose_objective(PROBLEM_TYPES, y) is SingleLabelClassification


BAD = {
    "other value": (np.array([[0, 1], [2, 0], [1, 1]]), r"y\[1\] is 2 in column 0.*each column"),
    "fraction": (np.array([[0, 1], [0, 0.5], [1, 1]]), r"y\[1\] is 0.5 in column 1"),
    "NaN": (np.array([[0, 1], [0, 1], [1, np.nan]]), r"y\[2\] is nan in column 1"),
    "frame": (pd.DataFrame({"a": [0, 1, 3], "b": [1, 1, 1]}), r"y\[2\] is 3 in column 'a'"),
    "sparse": (scipy.sparse.csr_array([[0, 1], [0, 5], [1, 1]]), r"y\[1\] is 5 in column 1"),
    "masked": (np.ma.array([[0, 1]] * 3, mask=[[0, 0]] * 2 + [[0, 1]]), r"y\[2\] is nan"),
    "no label at all": (np.zeros((3, 2)), "no text has any label in y"),
    "empty lists": ([[], [], []], "no text has any label in y"),
    "too few": (np.eye(2), "there are 3 texts and 2 values of y"),
    "too few lists": ([["a"], ["b"]], "there are 3 texts and 2 values of y"),
    "missing": ([["a"], None, ["b"]], r"y\[1\] is None; pass an empty list \[\]"),
    "missing in a list": ([["a"], ["b", None], ["b"]], r"a label of y\[1\] is None"),
    "a string": ([["a"], ["b"], "ab"], r"y\[2\] is 'ab', but here each text has a list.*\['ab'\]"),
    "lists in lists": ([["a"], [["b"]], []], r"y\[1\] contains \['b'\], but labels are strings"),
    "types": ([["a"], [1], []], r"y contains labels of the types int, str: .*y\[0\] is 'a'"),
    "fractions": ([["a"], [0.5], []], "types float, str"),
    "surrogate": ([["a"], ["b\ud83d"], []], r"a label of y\[1\] is .*lone surrogate"),
    "series": (pd.Series([["a"], [pd.NaT], []], index=[7, 8, 9]),
               r"a label of y.iloc\[1\] \(index 8\) is NaN"),
    "column names": (pd.DataFrame({("a", 1): [0, 1, 1], ("b", 2): [1, 1, 1]}), "names of its col"),
    "two kinds of names": (pd.DataFrame({"a": [0, 1, 1], 1: [1, 1, 1]}), "strings and by numbers"),
    "two equal names": (pd.DataFrame([[0, 1]] * 3, columns=["a", "a"]), "two columns 'a'"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_label_is_named_with_its_row(kind, make):
    y, message = BAD[kind]
    with pytest.raises((ValueError, TypeError), match=message):
        make().fit(["good one", "bad two", "slow three"], y)


def test_a_label_that_is_given_twice_counts_once():
    objective, targets = MultiLabelClassification.learn([["a", "a"], ["b"], []], 3)
    assert targets.tolist() == [[1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([[0, 1], [0, 1], [0, 0]]), "no text has the label '0'"),
        (np.array([[1, 1], [0, 1], [0, 1]]), "every text has the label '1'"),
        (np.eye(3, dtype=int), "every text has exactly one label"),
        ([["a"], ["A ", "b"], []], "'A ' and 'a' differ only in white space or case"),
    ],
)
def test_what_is_probably_a_mistake_is_told(make, y, message):
    with pytest.warns(UserWarning, match=message):
        make().fit(["good one", "bad two", "slow three"], y)


def test_labels_of_further_texts():
    objective, _ = MultiLabelClassification.learn(FORMS["frame"], 60)
    assert np.array_equal(objective.encode(FORMS["frame"][["slow", "bad", "good"]], 60, "y"), HAS)
    assert np.array_equal(objective.encode(HAS.astype(int), 60, "y"), HAS)
    assert np.array_equal(objective.encode(LISTS, 60, "y"), HAS)
    for y, message in [
        (FORMS["frame"].rename(columns={"slow": "dull"}), "unknown label 'dull' and no column for"),
        (FORMS["frame"][["slow", "bad"]], "no column for 'good'; the labels of the model are"),
        (np.ones((60, 4)), "4 columns, but the model has 3 labels: 'bad', 'good', 'slow'"),
        ([["bad"]] * 59 + [["Slow "]], r"y\[59\] has the label 'Slow ', .*these were 'bad'.*white"),
        ([[1]] * 60, r"y\[0\] has the label 1, which was not in the training labels"),
        (["bad"] * 60, r"y\[0\] is 'bad', but here each text has a list of labels"),
    ]:
        with pytest.raises(ValueError, match=message):
            objective.encode(y, 60, "y")


# --- training -----------------------------------------------------------------------------


def test_it_learns(trained):
    assert trained.classes_.tolist() == LABELS
    assert trained.score(TEXTS, LISTS) > 0.9
    assert trained.predict(TEXTS[:48])[:4] == LISTS[:4]
    probabilities = trained.predict_proba(TEXTS)
    assert probabilities.shape == (60, 3) and probabilities.dtype == np.float64
    logits = trained.decision_function(TEXTS)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-logits.astype(float))), rtol=1e-12)
    row = trained.history_[-1]
    assert list(row) == [
        "epoch", "loss", "f1", "tokens", "seconds", "validation_loss", "validation_f1",
        "validation_micro_f1", "validation_macro_f1",
    ]
    held_out = probabilities[48:]
    losses = [log_loss(HAS[48:, code], held_out[:, code], labels=[0, 1]) for code in range(3)]
    assert row["validation_loss"] == pytest.approx(np.mean(losses), 1e-5)
    for average in ("micro", "macro"):
        expected = f1_score(HAS[48:], held_out >= 0.5, average=average)
        assert row[f"validation_{average}_f1"] == pytest.approx(expected)
    expected = f1_score(HAS[48:], held_out >= 0.5, average="samples", zero_division=1)
    assert row["validation_f1"] == pytest.approx(expected)


def test_the_loss_of_a_step_is_that_of_the_twin(make):
    clf = make(epochs=1, batch_size=60, track_examples=True, class_weight={"bad": 3, "slow": 0.5})
    weights = np.linspace(0.2, 2.0, 60)
    clf.set_params(label_smoothing=0.1, precision="float32").fit(TEXTS, LISTS, weights)
    table = clf.example_history_
    assert list(table.columns) == ["row", "epoch", "loss"] and len(table) == 60
    objective, targets = MultiLabelClassification.learn(LISTS, 60)
    options = DEFAULTS | {"class_weight": {"bad": 3, "slow": 0.5}}
    configured = objective.configure(options, targets)
    assert configured.positive_weights.tolist() == [3, 1, 0.5]
    assert configured.weigh(targets, weights, options["class_weight"]) is weights
    # The record has no weights, the loss of the step has both kinds.
    unweighted = np.average(table["loss"], weights=weights)
    assert clf.history_[0]["loss"] != pytest.approx(unweighted, rel=1e-3)
    logits = np.random.default_rng(1).normal(0, 2, (60, 3)).astype(np.float32)
    assert np.average(
        objective.record(logits, targets, 0.1)["loss"], weights=weights
    ) == pytest.approx(reference.binary_cross_entropy(logits, targets, weights, 0.1)[0])


def test_balanced_weights_of_labels(make):
    objective, targets = MultiLabelClassification.learn(np.array([[1, 0, 0]] + [[0, 1, 0]] * 3), 4)
    balanced = objective.configure(DEFAULTS | {"class_weight": "balanced"}, targets)
    assert balanced.positive_weights.tolist() == [3, pytest.approx(1 / 3), 1]
    with pytest.raises(ValueError, match="class_weight names 'dull', which is not a class"):
        make(class_weight={"dull": 2}).fit(TEXTS, LISTS)


RUNS = {
    "plain": {},
    "windows": {"max_length": 5, "long_text": "windows", "stride": 1},
    "frozen": {"freeze_layers": 1, "freeze_dropout": True, "frozen_cache": "float32"},
    "members": {"members": [{}, {"freeze_layers": 1}]},
    "early stopping": {"validation_fraction": 0.2, "early_stopping": "macro_f1", "eval_every": 3,
                       "label_threshold": "f1"},
    "memory": {"memory_limit": "3MB", "accumulate_steps": 2, "class_weight": "balanced"},
    "recorded": {"track_examples": True, "strip_html": True, "pooling": "mean"},
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_is_resumed_to_the_same_bits_on_two_threads(make, tmp_path, kind):
    whole, resumed = whole_and_resumed(make, TEXTS, LISTS, tmp_path / "run", **RUNS[kind])
    if kind != "memory":
        assert np.array_equal(whole.predict_proba(TEXTS), resumed.predict_proba(TEXTS))
    assert np.array_equal(whole.thresholds_, resumed.thresholds_)


def test_a_run_is_verified(make, tmp_path):
    log = tmp_path / "log.jsonl"
    make(log_file=log, hash_every=3).fit(TEXTS, LISTS)
    assert bertsent.verify(log, TEXTS, LISTS, verbose=0)
    with pytest.raises(CheckpointError, match="labels"):
        bertsent.verify(log, TEXTS, [row[:1] for row in LISTS], verbose=0)


def test_a_time_budget_leaves_time_for_thresholds(make):
    clf = make(time_budget="4s", max_length="auto", epochs=2, label_threshold="f1",
               validation_fraction=0.2).fit(TEXTS, LISTS)
    assert clf.plan_["evaluations"] == 3 and len(clf.evaluations_) == 2
    assert clf.best_step_ is not None


def test_partial_fit(make):
    clf = make(learning_rate=3e-3)
    with pytest.raises(ValueError, match="needs classes"):
        clf.partial_fit(TEXTS, LISTS)
    for _ in range(20):
        clf.partial_fit(TEXTS, LISTS, classes=LABELS)
    assert clf.score(TEXTS, LISTS) > 0.5 and clf.predict(TEXTS[:1]) == LISTS[:1]
    with pytest.raises(ValueError, match="holds out none; pass a number"):
        clf.set_params(label_threshold="f1").partial_fit(TEXTS, LISTS)
    frame = make().partial_fit(TEXTS, FORMS["frame"], classes=LABELS).predict(TEXTS)
    assert list(frame.columns) == LABELS


def test_a_warm_start(trained, make):
    clf = make(warm_start=True).fit(TEXTS, LISTS)
    clf.fit(TEXTS, LISTS)
    with pytest.raises(ValueError, match="continues with the labels .'bad', 'good', 'slow'."):
        clf.fit(TEXTS, [["other"], []] * 30)
    with pytest.raises(ValueError, match="a model that chooses any number of labels, but y is for"):
        clf.fit(TEXTS, ["bad", "good", "slow"] * 20)


def test_tools_of_scikit_learn(make):
    clf = make(epochs=2)
    y = FORMS["int"]
    assert clf.__sklearn_tags__().classifier_tags.multi_label
    for scoring in (None, "f1_micro", "roc_auc"):
        assert np.isfinite(cross_val_score(clf, TEXTS, y, cv=2, scoring=scoring)).all()
    assert cross_val_predict(clf, TEXTS, y, cv=2, method="predict_proba").shape == (60, 3)


# --- thresholds ---------------------------------------------------------------------------


def test_thresholds_have_the_highest_f1():
    rng = np.random.default_rng(5)
    for _ in range(40):
        probabilities = rng.integers(0, 8, 12) / 8 + 0.01
        has = rng.random(12) < 0.4
        chosen = best_threshold(probabilities, has)
        f1 = {t: 2 * (has & (probabilities >= t)).sum() / ((probabilities >= t).sum() + has.sum())
              for t in [*probabilities, chosen]}
        assert not has.any() and chosen == 0.5 or f1[chosen] == max(f1.values())
    # 0.5 itself if nothing is better.
    assert best_threshold(np.array([0.9, 0.7, 0.2]), np.array([True, True, False])) == 0.5


def test_thresholds_are_chosen_saved_and_overridden(trained, saved):
    held_out = trained.predict_proba(TEXTS[48:])
    chosen = trained.thresholds_
    assert chosen.tolist() == [
        best_threshold(held_out[:, code], HAS[48:, code]) for code in range(3)
    ]
    again = bertsent.BertClassifier.from_pretrained(saved)
    assert again.label_threshold == "f1" and np.array_equal(again.thresholds_, chosen)
    probabilities = again.predict_proba(TEXTS)
    assert again.predict(TEXTS) == trained.predict(TEXTS)
    again.set_params(label_threshold=0.9)
    strict = [[LABELS[c] for c in np.flatnonzero(row >= 0.9)] for row in probabilities]
    assert again.predict(TEXTS) == strict
    assert again.evaluate(TEXTS, LISTS).labels["bad"]["threshold"] == 0.9


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, np.nan, True, "0.5"])
def test_thresholds_are_between_0_and_1(make, saved, value):
    message = 'label_threshold=.* is not allowed; expected "f1" or a number above 0 and below 1'
    with pytest.raises((TypeError, ValueError), match=message):
        make(label_threshold=value, validation_fraction=0.2).fit(TEXTS, LISTS)
    clf = bertsent.BertClassifier.from_pretrained(saved).set_params(label_threshold=value)
    for method in (clf.predict, lambda X: clf.evaluate(X, LISTS)):
        with pytest.raises((TypeError, ValueError), match=message):
            method(TEXTS)


def test_thresholds_need_held_out_texts(make):
    with pytest.raises(ValueError, match="label_threshold='f1' needs held-out texts; pass X_val"):
        make(label_threshold="f1").fit(TEXTS, LISTS)
    with pytest.raises(ValueError, match='early_stopping=.rmse.*use "loss", "f1", "micro_f1"'):
        make(early_stopping="rmse", validation_fraction=0.2).fit(TEXTS, LISTS)


def test_members_vote_with_the_mean_of_their_probabilities():
    rng = np.random.default_rng(2)
    objective, _ = MultiLabelClassification.learn(LISTS, 60)
    opinions = [rng.normal(0, 6, (9, 3)).astype(np.float32) for _ in range(3)]
    mean = np.mean([objective.predict_proba(logits) for logits in opinions], axis=0)
    together = objective.predict_proba(objective.combine(opinions))
    np.testing.assert_allclose(together, mean, rtol=1e-5)


# --- the split ----------------------------------------------------------------------------


def test_the_split_keeps_the_share_of_each_label():
    rng = np.random.default_rng(3)
    has = rng.random((400, 6)) < [0.5, 0.3, 0.1, 0.05, 0.02, 0.01]
    has[0, 5] = has[1, 5] = has[2, 5] = has[3, 5] = True
    texts = [f"text {number % 380}" for number in range(400)]
    is_test, repeats = split_rows(texts, has, 0.25, 0)
    assert repeats == 20 and 95 <= is_test.sum() <= 105
    for label in has.T:
        assert abs(label[is_test].sum() - 0.25 * label.sum()) <= 2
    assert all(is_test[number] == is_test[number + 380] for number in range(20))
    assert np.array_equal(is_test, split_rows(texts, has, 0.25, 0)[0])
    assert not np.array_equal(is_test, split_rows(texts, has, 0.25, 1)[0])


@pytest.mark.parametrize("size", [0.01, 0.5, 0.99])
def test_small_splits_leave_a_text_on_each_side(size):
    has = np.array([[True, False], [True, True], [False, False]])
    is_test, _ = split_rows(["a", "b", "c"], has, size, 0)
    assert 1 <= is_test.sum() <= 2
    assert split_rows(["a", "a"], has[:2], size, 0)[0].sum() == 0


# --- the report ---------------------------------------------------------------------------


def test_the_report_is_that_of_scikit_learn(trained):
    result = trained.evaluate(TEXTS, LISTS)
    chosen = trained.predict_proba(TEXTS) >= trained.thresholds_
    for average in ("micro", "macro", "samples"):
        expected = precision_recall_fscore_support(
            HAS, chosen, average=average, zero_division=1.0 if average == "samples" else 0
        )
        assert list(result.averages[average].values()) == pytest.approx(expected[:3])
    each = precision_recall_fscore_support(HAS, chosen, zero_division=0)
    for code, name in enumerate(LABELS):
        of_label = result.labels[name]
        assert [of_label[key] for key in ("precision", "recall", "f1", "rows")] == (
            pytest.approx([values[code] for values in each])
        )
        assert of_label["predicted"] == chosen[:, code].sum()
    assert result.f1 == result.averages["samples"]["f1"]
    assert result.micro_f1 == result.averages["micro"]["f1"]
    assert result.subset_accuracy == trained.score(TEXTS, LISTS)
    assert result.rows_seen_in_training == 48 and "f1_unseen" in result
    json.dumps(result)
    shown = str(result)
    assert "F1" in shown and "threshold" in shown and "mean of texts" in shown
    assert "<table" in result._repr_html_()


def test_a_report_of_one_label():
    objective, targets = MultiLabelClassification.learn(scipy.sparse.csr_array(HAS[:, :1] * 1), 60)
    report = objective.report(np.where(HAS[:, :1], 1.0, -1.0).astype(np.float32), targets)
    assert report["averages"]["macro"]["f1"] == report["subset_accuracy"] == 1.0


def test_label_map_and_unknown_labels(trained):
    renamed = [[{"bad": "schlecht"}.get(label, label) for label in row] for row in LISTS]
    with pytest.raises(ValueError, match="'schlecht', which was not in the training labels"):
        trained.evaluate(TEXTS, renamed)
    result = trained.evaluate(TEXTS, renamed, label_map={"schlecht": "bad"})
    assert result == trained.evaluate(TEXTS, LISTS)
    with pytest.raises(ValueError, match="y has a column for each label; rename the columns"):
        trained.evaluate(TEXTS, FORMS["frame"], label_map={"schlecht": "bad"})


def test_what_is_for_one_class_per_text_refuses_it(make):
    clf = make(track_examples=True).fit(TEXTS, LISTS)
    with pytest.raises(ValueError, match="audit judges class labels"):
        clf.audit(TEXTS)


# --- saved models -------------------------------------------------------------------------


def test_it_is_saved_and_opened(trained, saved, tmp_path):
    config = json.loads((saved / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "bad", "1": "good", "2": "slow"}
    again = bertsent.BertClassifier.from_pretrained(saved)
    assert np.array_equal(again.predict_proba(TEXTS), trained.predict_proba(TEXTS))
    again.inference_precision = "int8"
    rough = again.predict_proba(TEXTS)
    assert not np.array_equal(rough, trained.predict_proba(TEXTS))
    again.save_pretrained(tmp_path / "int8", int8=True)
    packed = bertsent.BertClassifier.from_pretrained(tmp_path / "int8")
    assert np.array_equal(packed.predict_proba(TEXTS), rough)


def test_a_directory_of_another_program(trained, saved, tmp_path):
    clf = bertsent.BertClassifier.from_pretrained(saved)
    clf.save_pretrained(tmp_path / "foreign")
    for name in ("bertsent.json", "training_texts.npy"):
        (tmp_path / "foreign" / name).unlink()
    config = json.loads((tmp_path / "foreign" / "config.json").read_text())
    config["id2label"] = {"0": "z", "1": "good", "2": "a"}
    config["label2id"] = {"z": 0, "good": 1, "a": 2}
    (tmp_path / "foreign" / "config.json").write_text(json.dumps(config))
    foreign = bertsent.BertClassifier.from_pretrained(tmp_path / "foreign")
    foreign.set_params(inference_precision="float32", inference_long_text="windows")
    assert foreign.classes_.tolist() == ["a", "good", "z"]
    np.testing.assert_allclose(
        foreign.predict_proba(TEXTS)[:, ::-1], trained.predict_proba(TEXTS), atol=1e-6
    )
    assert foreign.thresholds_.tolist() == [0.5] * 3
    assert isinstance(foreign.predict(TEXTS)[0], list)


def test_it_is_not_taken_for_a_model_of_one_label(saved, make):
    with pytest.raises(CheckpointError, match="'multi_label_classification' is not supported"):
        bertsent.BertForSequenceClassification.from_pretrained(saved)
    with pytest.raises(CheckpointError, match="'multi_label_classification', not 'regression'"):
        bertsent.BertRegressor.from_pretrained(saved)
    clf = bertsent.BertClassifier.from_pretrained(saved)
    with pytest.raises(ValueError, match=r"y\[0\] is 'good', but here each text has a list"):
        clf.evaluate(["good film"], ["good"])
    with pytest.warns(FreshWeightsWarning, match="layer for 3 classes .*thrown away"):
        make(model=saved, verbose=1).fit(TEXTS, LABELS * 20)
    content = json.loads((saved / "bertsent.json").read_text())["labels"]
    assert content["problem_type"] == "multi_label_classification"
    # Trained further, because the labels are the same.
    clf = make(model=saved, learning_rate=1e-9).fit(TEXTS, LISTS)
    assert clf.score(TEXTS, LISTS) > 0.7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"form": "heap"}, "labels.form"), ({"dtype": "<i8"}, "labels.dtype .*null"),
        ({"form": "array", "dtype": "object"}, "labels.dtype"),
        ({"form": "array", "dtype": "<i99"}, "labels.dtype"),
        ({"thresholds": [0.5]}, "labels.thresholds"), ({"thresholds": [0.5, 0.5, 2]}, "thresholds"),
        ({"classes": {"dtype": "object", "values": ["a", "a", "b"]}}, "all of them different"),
    ],
)
def test_a_damaged_entry_is_refused(changes, message):
    objective, _ = MultiLabelClassification.learn(LISTS, 60)
    with pytest.raises(CheckpointError, match=message):
        MultiLabelClassification.from_json(
            Field(objective.to_json() | changes, "bertsent.json", "labels")
        )


def test_it_agrees_with_transformers_both_ways(trained, saved, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(saved).eval()
    assert theirs.config.problem_type == "multi_label_classification"
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = theirs(**encoded, labels=torch.tensor(HAS.astype(np.float32)))
    logits = trained.decision_function(TEXTS)
    np.testing.assert_allclose(found.logits.numpy(), logits, atol=2e-5)
    loss = reference.binary_cross_entropy(logits, HAS)[0]
    assert found.loss.item() == pytest.approx(loss, rel=1e-4)
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer.save_pretrained(tmp_path / "theirs")
    back = bertsent.BertClassifier.from_pretrained(tmp_path / "theirs")
    back.set_params(inference_precision="float32")
    np.testing.assert_allclose(back.decision_function(TEXTS), logits, atol=2e-5)


# --- files and the command line -------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    table = pd.DataFrame(HAS.astype(int), columns=LABELS)
    table["text"], table["tags"] = TEXTS, ["; ".join(row) for row in LISTS]
    table.to_csv(folder / "data.csv", index=False)
    table.assign(tags=LISTS).to_parquet(folder / "data.parquet")
    return folder


@pytest.fixture
def flags(base):
    return [
        "--model", str(base), "--max-length", "16", "--epochs", "2", "--batch-size", "8",
        "--text-column", "text", "--verbose", "0",
    ]


def test_files_and_batches_get_its_columns(trained, data, tmp_path):
    columns = ["predicted_labels", *(f"probability_{name}" for name in LABELS)]
    (batch,) = trained.predict_batches([pd.DataFrame({"text": TEXTS})], "text")
    assert list(batch.columns) == ["text", *columns]
    assert batch["predicted_labels"].tolist() == [";".join(r) for r in trained.predict(TEXTS)]
    trained.predict_file(data / "data.csv", tmp_path / "out.parquet", text_column="text",
                         chunk_rows=17)
    written = pd.read_parquet(tmp_path / "out.parquet")
    assert list(written.columns)[-4:] == columns
    np.testing.assert_allclose(written[columns[1:]], trained.predict_proba(TEXTS), atol=1e-6)
    assert written["predicted_labels"].tolist() == batch["predicted_labels"].tolist()


def test_labels_with_semicolons_are_joined_by_something_else():
    objective, _ = MultiLabelClassification.learn([["a;b"], ["c"]], 2)
    table = objective.prediction_table(np.array([[3, 3]], np.float32))
    assert table["predicted_labels"].tolist() == ["a;b|c"]
    objective, _ = MultiLabelClassification.learn([["a;b|c,d/e\tf"], ["c"]], 2)
    with pytest.raises(ValueError, match="cannot be joined in one cell; rename"):
        objective.prediction_table(np.array([[3, 3]], np.float32))


WAYS = {
    "separator": ("data.csv", ["--label-column", "tags", "--label-separator", ";"]),
    "columns": ("data.csv", ["--label-columns", "bad,good,slow"]),
    "lists": ("data.parquet", ["--label-column", "tags"]),
}


@pytest.mark.parametrize("kind", WAYS)
def test_the_command_line(kind, data, flags, tmp_path, capsys):
    name, labels = WAYS[kind]
    model = str(tmp_path / "model")
    main(["train", str(data / name), *flags, *labels, "--output", model, "--track-examples",
          "--validation-fraction", "0.2", "--label-threshold", "f1", "--early-stopping",
          "micro_f1"])
    out = capsys.readouterr().out
    counts = ", ".join(f"{n} {label}" for n, label in zip(HAS.sum(axis=0), LABELS, strict=True))
    assert counts in out and "without a label" in out and "stratified by label" in out
    assert "mean of labels" in out and "no audit.csv" in out
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert {"f1", "validation_micro_f1", "validation_macro_f1"} <= set(history.columns)
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert set(metrics["labels"]) == set(LABELS)
    read = ["--text-column", "text", *labels]
    main(["evaluate", model, str(data / name), *read, "--json"])
    found = json.loads(capsys.readouterr().out)
    clf = bertsent.BertClassifier.from_pretrained(model)
    assert found["micro_f1"] == clf.evaluate(TEXTS, LISTS).micro_f1
    main(["predict", model, "--text", "good film", "--label-threshold", "0.001"])
    first, *probabilities = capsys.readouterr().out.rstrip("\n").split("\t")
    assert first == "bad;good;slow" and len(probabilities) == 3


def test_a_run_of_the_command_is_verified(data, flags, tmp_path, capsys):
    main(["train", str(data / "data.csv"), *flags, *WAYS["columns"][1], "--output",
          str(tmp_path / "model"), "--log-file", str(tmp_path / "log"), "--hash-every", "3"])
    main(["verify", str(tmp_path / "log")])
    assert "all bits agree" in capsys.readouterr().out


REFUSED = {
    "columns that are not there": (["--label-columns", "bad,worse"],
                                   "no column 'worse'.*with --label-columns"),
    "no indicators": (["--label-columns", "bad,tags", "--missing", "skip"],
                      r"label columns, row \d+ is '.*' in column 'tags', but with several columns"),
    "one column twice": (["--label-columns", "bad,bad"], "--label-columns names .*'bad' twice"),
    "one column": (["--label-columns", "bad"], "names one column; use --label-column"),
    "no names": (["--label-columns", "bad,,good"], "expected names, such as billing,urgent"),
    "both": (["--label-columns", "bad,good", "--label-separator", ";"], "leave it out with"),
    "no separator": (["--label-column", "tags"], "empty cell in column 'tags'"),
    "thresholds": (["--label-columns", "bad,good", "--label-threshold", "f1"],
                   "--label-threshold f1 needs held-out texts; pass --validation-fraction"),
    "a threshold": (["--label-column", "bad", "--label-threshold", "0.3"],
                    "--label-threshold 0.3 decides which labels are predicted"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_command_refuses(kind, data, flags, tmp_path, capsys):
    labels, message = REFUSED[kind]
    fails(["train", str(data / "data.csv"), *flags, *labels, "--output", str(tmp_path / "m")])
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_evaluate_says_what_does_not_fit(saved, data, tmp_path, capsys):
    table = pd.read_csv(data / "data.csv")
    table["tags"] = table["tags"].fillna("").str.replace("slow", "dull")
    table.to_csv(tmp_path / "other.csv", index=False)
    read = ["--text-column", "text", "--label-column", "tags"]
    fails(["evaluate", str(saved), str(tmp_path / "other.csv"), *read])
    error = capsys.readouterr().err
    assert "has the label 'dull', which is not a label of the model" in error
    main(["evaluate", str(saved), str(tmp_path / "other.csv"), *read, "--label-map", "dull=slow"])
    assert "mean of texts" in capsys.readouterr().out


def test_a_model_of_one_label_has_no_separator(workshop, data, capsys):
    fails(["evaluate", str(workshop / "model"), str(data / "data.csv"), "--text-column", "text",
           "--label-column", "tags", "--label-separator", ";"])
    assert "for models of which a text can have several labels" in capsys.readouterr().err


def test_importing_the_package_loads_no_scikit_learn_metrics():
    code = "import sys, bertsent.objectives as o; o.MultiLabelClassification; " \
           "print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
