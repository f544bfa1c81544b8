"""Thresholds, costs and abstention: which label is decided for, and when none is."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from conftest import maker
from sklearn.base import clone
from test_classifier import make_texts
from test_cli import SMALL

import bertsent
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.objectives import SingleLabelClassification

TEXTS, LABELS = make_texts(64)
TEXTS = [f"{text} {number}" for number, text in enumerate(TEXTS)]
THREE = np.array(["bad", "fine", "good"])[np.arange(64) % 3]
TAGS = np.stack([LABELS == "positive", THREE == "fine"], axis=1).astype(int)
FORMS = {
    "str": LABELS,
    "object": LABELS.astype(object),
    "bool": LABELS == "positive",
    "int": np.where(LABELS == "positive", 7, -7),
    "uint": np.where(LABELS == "positive", 7, 2).astype(np.uint8),
    "categorical": pd.Series(pd.Categorical(LABELS)),
}


@pytest.fixture
def make(base):
    return maker(base, epochs=2)


@pytest.fixture(scope="module")
def two(base):
    return maker(base, epochs=1)().fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def three(base):
    return maker(base, epochs=1)().fit(TEXTS, THREE)


def changed(clf, **parameters):
    """The classifier with other parameters for prediction."""
    other = clone(clf).set_params(**parameters)
    other._fitted = clf._fitted
    return other


# --- thresholds and costs -----------------------------------------------------------------------


def test_a_threshold_decides_for_the_second_class(two, tmp_path):
    probabilities = two.predict_proba(TEXTS)
    least = float(np.median(probabilities[:, 1]))
    clf = changed(two, decision_threshold=least)
    expected = np.where(probabilities[:, 1] >= least, "positive", "negative")
    assert 0 < (expected == "positive").sum() < 64
    assert (expected != two.predict(TEXTS)).any()
    assert np.array_equal(clf.predict(TEXTS), expected)
    assert np.array_equal(clf.predict_proba(TEXTS), probabilities)
    assert clf.score(TEXTS, LABELS) == np.mean(expected == LABELS)
    assert clf.evaluate(TEXTS, LABELS).accuracy == np.mean(expected == LABELS)
    table = next(clf.predict_batches([TEXTS]))
    assert np.array_equal(table["predicted_label"], expected)
    chosen = probabilities[np.arange(64), (expected == "positive").astype(int)]
    assert np.array_equal(table["confidence"], chosen) and chosen.min() < 0.5
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert np.array_equal(again.predict(TEXTS), expected)
    for threshold, only in ((0, "positive"), (1, "negative")):
        assert set(changed(two, decision_threshold=threshold).predict(TEXTS)) == {only}


def test_costs_decide_for_the_cheapest_class(three, two, tmp_path):
    costs = np.array([[0, 1, 4], [1, 0, 1], [9, 1, 0]])
    probabilities = three.predict_proba(TEXTS)
    expected = three.classes_[(probabilities @ costs).argmin(axis=1)]
    clf = changed(three, cost_matrix=costs)
    assert np.array_equal(clf.predict(TEXTS), expected)
    assert (expected != three.predict(TEXTS)).any()
    result = clf.evaluate(TEXTS, THREE)
    true, predicted = (np.searchsorted(three.classes_, y) for y in (THREE, expected))
    assert result.cost == pytest.approx(costs[true, predicted].mean())
    assert "cost of a text" in str(result) and "cost" not in three.evaluate(TEXTS, THREE)
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.cost_matrix == costs.tolist()
    assert np.array_equal(again.predict(TEXTS), expected)
    # With two classes, costs are a threshold: 1 / (1 + 3).
    dear = changed(two, cost_matrix=[[0, 1], [3, 0]])
    same = changed(two, decision_threshold=0.25)
    assert np.array_equal(dear.predict(TEXTS), same.predict(TEXTS))


@pytest.mark.parametrize(("parameters", "format_"), [
    ({"decision_threshold": 0.4}, 4), ({"cost_matrix": np.array([[0, 1], [2, 0]])}, 4),
    ({"calibrated": True}, 4), ({}, 1), ({"decision_threshold": 0.5, "cost_matrix": None}, 1),
])
def test_an_earlier_version_refuses_what_it_would_ignore(
    make, tmp_path, monkeypatch, parameters, format_
):
    clf = make(epochs=1, validation_fraction=0.25, **parameters).fit(TEXTS, LABELS)
    clf.save_pretrained(tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "bertsent.json").read_text())
    assert settings["format"] == format_
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert np.array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert np.array_equal(again.predict(TEXTS), clf.predict(TEXTS))
    again.set_params(decision_threshold=0.5, cost_matrix=None, calibrated=False)
    again.save_pretrained(tmp_path / "plain")
    assert json.loads((tmp_path / "plain" / "bertsent.json").read_text())["format"] == 1
    monkeypatch.setattr(bertsent.classifier.settings, "FORMAT", 1)
    if format_ == 1:
        bertsent.BertClassifier.from_pretrained(tmp_path / "model")
        return
    with pytest.raises(CheckpointError, match="has format 4, written by bertsent .* newer version"):
        bertsent.BertClassifier.from_pretrained(tmp_path / "model")


def test_uncertain_is_what_is_near_another_decision(two, three):
    """Texts to label are those at the border that threshold or costs draw, not at 0.5."""
    logits = np.log(np.array([[0.5, 0.5], [0.9, 0.1], [0.8, 0.2], [0.0001, 0.9999]], np.float32))
    plain = two._fitted.objective.under(two.get_params())
    strict = two._fitted.objective.under(two.get_params() | {"decision_threshold": 0.1})
    assert plain.uncertainty(logits) == pytest.approx([1.0, 0.2, 0.4, 0.0002], abs=1e-6)
    assert strict.uncertainty(logits) == pytest.approx([5 / 9, 1.0, 8 / 9, 1e-4], abs=1e-3)
    # To miss the second class costs nine times as much as the first, so the border is 0.1, too.
    costly = two._fitted.objective.under(two.get_params() | {"cost_matrix": [[0, 1], [9, 0]]})
    assert costly.uncertainty(logits).argsort().tolist() == [3, 0, 2, 1]
    assert costly.uncertainty(logits)[1] == pytest.approx(1.0)
    # A cost of 1 for each mistake is the default.
    given = three.get_params()
    equal = three._fitted.objective.under(given | {"cost_matrix": 1 - np.eye(3)})
    some = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    expected = three._fitted.objective.under(given).uncertainty(some)
    assert equal.uncertainty(some) == pytest.approx(expected)
    free = three._fitted.objective.under(given | {"cost_matrix": np.zeros((3, 3))})
    assert free.uncertainty(some).tolist() == [1.0] * 9


def test_equal_costs_decide_for_the_likeliest_class():
    objective, _ = SingleLabelClassification.learn(["a", "b", "c"], 3)
    parameters = {
        "label_threshold": 0.5, "calibrated": False, "decision_threshold": 0.5,
        "cost_matrix": 1 - np.eye(3),
    }
    logits = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    assert np.array_equal(objective.under(parameters).answer(logits), logits.argmax(axis=1))


@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (LABELS, {"decision_threshold": 1.1}, "decision_threshold=1.1.*a number from 0 to 1"),
        (LABELS, {"decision_threshold": -0.1}, "decision_threshold=-0.1.*a number from 0 to 1"),
        (LABELS, {"decision_threshold": True}, "decision_threshold=True"),
        (LABELS, {"decision_threshold": 0.4, "cost_matrix": [[0, 1], [2, 0]]}, "are both given"),
        (LABELS, {"cost_matrix": [[0, 1], [2]]}, "cost_matrix=.*a square matrix"),
        (LABELS, {"cost_matrix": [[0, np.inf], [2, 0]]}, "cost_matrix=.*a square matrix"),
        (LABELS, {"cost_matrix": np.zeros(3)}, "cost_matrix=.*a square matrix"),
        (LABELS, {"cost_matrix": "dear"}, "cost_matrix=.*a square matrix"),
        (LABELS, {"cost_matrix": np.zeros((3, 3))}, "cost_matrix has 3 rows.*2 classes: neg"),
        (THREE, {"decision_threshold": 0.4}, "between two classes, but there are 3; use cost_m"),
        (TAGS, {"decision_threshold": 0.4},
         "decision_threshold=0.4 needs one class for each text.*any number of labels"),
        (TAGS, {"cost_matrix": [[0, 1], [2, 0]]},
         "cost_matrix.*needs one class for each text"),
    ],
)
def test_what_is_not_allowed_is_an_error_before_training(make, y, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make(callbacks=lambda event: pytest.fail(), **options).fit(TEXTS, y)


# --- abstention ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_it_abstains_below_a_confidence(make, form, tmp_path):
    clf = make().fit(TEXTS, FORMS[form])
    confidence = clf.predict_proba(TEXTS).max(axis=1)
    least = float(np.median(confidence))
    found, sure = clf.predict(TEXTS, abstain=least), confidence >= least
    every = clf.predict(TEXTS)
    assert np.array_equal(np.asarray(found)[sure], np.asarray(every)[sure])
    if form == "categorical":
        assert found.dtype == every.dtype and np.array_equal(found.codes == -1, ~sure)
    else:
        assert found.dtype == object and set(found[~sure]) == {None}
    # A file keeps the type of its column, also if a chunk has no label at all.
    order = np.argsort(confidence)
    texts = [TEXTS[row] for row in order]
    pd.DataFrame({"review": texts}).to_parquet(tmp_path / "in.parquet")
    for suffix in ("parquet", "csv", "jsonl"):
        path = tmp_path / f"out.{suffix}"
        clf.predict_file(tmp_path / "in.parquet", path, chunk_rows=8, abstain=least)
    types = pyarrow.parquet.read_schema(tmp_path / "out.parquet")
    expected = {"bool": "bool", "int": "int64", "uint": "uint64"}.get(form)
    if expected and form != "uint":
        assert str(types.field("predicted_label").type) == expected
    written = pd.read_parquet(tmp_path / "out.parquet")
    assert np.array_equal(written["predicted_label"].isna(), ~sure[order])
    cells = pd.read_csv(tmp_path / "out.csv", dtype=str)["predicted_label"]
    assert cells[sure[order]].tolist() == [str(label) for label in every[order][sure[order]]]
    assert cells[~sure[order]].isna().all()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["predicted_label"] is None for line in lines] == (~sure[order]).tolist()
    assert all(line["confidence"] > 0 for line in lines)


def test_frames_of_other_libraries_have_empty_labels(make):
    polars = pytest.importorskip("polars")
    for form in ("str", "int", "bool"):
        clf = make().fit(TEXTS, FORMS[form])
        confidence = clf.predict_proba(TEXTS).max(axis=1)
        least = float(np.median(confidence))
        for frame in (polars.DataFrame({"t": TEXTS}), pyarrow.table({"t": TEXTS})):
            found = next(clf.predict_batches([frame], abstain=least))["predicted_label"]
            assert found.to_pandas().isna().tolist() == (confidence < least).tolist()


def test_the_report_says_what_it_costs(two):
    probabilities = two.predict_proba(TEXTS)
    least = float(np.quantile(probabilities.max(axis=1), 0.75))
    sure, right = probabilities.max(axis=1) >= least, two.predict(TEXTS) == LABELS
    result = two.evaluate(TEXTS, LABELS, abstain=least)
    assert result.abstention == {
        "confidence": least, "coverage": sure.mean(), "rows": sure.sum(),
        "accuracy": right[sure].mean(), "accuracy_left_out": right[~sure].mean(),
    }
    assert result.accuracy == right.mean()
    cells = next(line for line in str(result).splitlines() if line.startswith("decided")).split()
    assert cells == ["decided", str(sure.sum()), f"{sure.mean():.2%}", f"{right[sure].mean():.2%}"]
    assert "left out" in str(result) and "left out" in result._repr_html_()
    nothing, everything = (two.evaluate(TEXTS, LABELS, abstain=a) for a in (1, 0))
    assert nothing.abstention["accuracy"] is None and nothing.abstention["coverage"] == 0
    assert everything.abstention["accuracy_left_out"] is None
    assert "left out" in str(nothing) and "left out" in str(everything)


@pytest.mark.parametrize("abstain", [-0.1, 1.1, "0.9", True, float("nan")])
def test_a_confidence_is_from_0_to_1(two, abstain):
    for call in (two.predict, lambda X, abstain: two.evaluate(X, LABELS, abstain=abstain)):
        with pytest.raises(ValueError, match=f"abstain={abstain!r} is not allowed.*from 0 to 1"):
            call(TEXTS, abstain=abstain)


def test_only_one_class_for_each_text_can_be_left_out(make, base, tmp_path):
    several = make().fit(TEXTS, TAGS)
    with pytest.raises(ValueError, match="abstain=0.9 needs one class.*any number of labels"):
        several.predict(TEXTS, abstain=0.9)
    numbers = bertsent.BertRegressor(base, max_length=16, epochs=1, verbose=0)
    numbers.fit(TEXTS, np.arange(64.0))
    with pytest.raises(ValueError, match="abstain=0.9 needs one class.*predicts numbers"):
        next(numbers.predict_batches([TEXTS], abstain=0.9))


# --- the command line ---------------------------------------------------------------------------


def test_on_the_command_line(base, tmp_path, capsys):
    frame = pd.DataFrame({"review": TEXTS, "sentiment": LABELS})
    frame.to_csv(tmp_path / "a.csv", index=False)
    data, model = str(tmp_path / "a.csv"), str(tmp_path / "out")
    train = ["train", data, "--model", str(base), "--epochs", "1", *SMALL, "--output", model]
    assert main([*train, "--cost-matrix", "[[0,1]]"]) == 2
    assert "a JSON list with a row for each true class" in capsys.readouterr().err
    assert main([*train, "--decision-threshold", "2"]) == 2
    assert "a number from 0 to 1" in capsys.readouterr().err
    assert main([*train, "--cost-matrix", "[[0,1],[8,0]]"]) == 0
    assert "--cost-matrix [[0, 1], [8, 0]]" in capsys.readouterr().out
    clf = bertsent.BertClassifier.from_pretrained(model)
    assert clf.cost_matrix == [[0, 1], [8, 0]]
    assert main(["evaluate", model, data, "--json", "--abstain", "0.6"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["abstention"] == clf.evaluate(TEXTS, LABELS, abstain=0.6).abstention
    assert "cost" in found
    assert main(["predict", model, "--text", "good", "--abstain", "1"]) == 0
    assert capsys.readouterr().out.startswith("\t")
    assert main(["predict", model, "--text", "good", "--json", "--abstain", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["predicted_label"] is None
    assert main(["predict", model, data, "--abstain", "1"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0] == "review,sentiment,predicted_label,confidence" and ",," in rows[1]
    assert main(["predict", model, data, "--abstain", "7"]) == 2
    assert "--abstain: expected a number from 0 to 1" in capsys.readouterr().err
    # A flag replaces what is saved with the model, and both flags are one too many.
    costs = ["--cost-matrix", "[[0,1],[8,0]]"]
    assert main(["evaluate", model, data, "--decision-threshold", "0.4", *costs]) == 1
    assert "--decision-threshold 0.4 and --cost-matrix are both given" in capsys.readouterr().err
    probabilities = clf.predict_proba(TEXTS)[:, 1]
    between = float(f"{np.median(probabilities):.6f}")

    def chosen(*flags):
        assert main(["predict", model, data, *flags]) == 0
        lines = capsys.readouterr().out.splitlines()[1:]
        return np.array([line.split(",")[2] == "positive" for line in lines])

    likelier, dear = probabilities >= 0.5, probabilities >= 1 / 9
    assert np.array_equal(chosen(), dear) and not np.array_equal(likelier, dear)
    assert np.array_equal(chosen("--decision-threshold", str(between)), probabilities >= between)
    assert np.array_equal(chosen("--cost-matrix", "none"), likelier)
    assert np.array_equal(chosen("--decision-threshold", "0.5"), likelier)
    assert main([*train[:-2], "--output", model, "--force", "--decision-threshold", "1"]) == 0
    capsys.readouterr()
    assert not chosen().any() and not chosen("--cost-matrix", "none").any()
    assert np.array_equal(chosen(*costs), dear)
    assert main(["predict", model, data, "--cost-matrix", "nothing"]) == 2
    assert "or none" in capsys.readouterr().err


def test_texts_of_categories_that_are_not_decided(make, tmp_path, capsys):
    make().fit(TEXTS, FORMS["categorical"]).save_pretrained(tmp_path / "model")
    command = ["predict", str(tmp_path / "model"), "--text", "good film", "--abstain", "1"]
    assert main(command) == 0
    label, confidence = capsys.readouterr().out.rstrip("\n").split("\t")
    assert label == "" and float(confidence) > 0.3
    assert main([*command, "--json"]) == 0
    line = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert line["predicted_label"] is None and line["confidence"] > 0.3
