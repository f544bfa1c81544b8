"""Evaluation on data whose labels have other names than the classes of the model."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import write_tiny_model
from test_cli import run

import bertsent

NAMES = {"neg": "LABEL_0", "pos": "LABEL_1"}
TEXTS = ["a great film", "a bad film", "a fine story", "dull", "the worst of it", "so good"]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """Return a classifier as another program saves it, with classes LABEL_0 and LABEL_1."""
    return write_tiny_model(tmp_path_factory.mktemp("foreign") / "model", classifier=2)


@pytest.fixture(scope="module")
def clf(foreign):
    return bertsent.BertClassifier.from_pretrained(foreign).set_params(n_threads=1, verbose=0)


@pytest.fixture(scope="module")
def truth(clf):
    """Return the classes of the texts, of which the model gets four right."""
    classes = clf.predict(TEXTS)
    wrong = np.where(classes == "LABEL_0", "LABEL_1", "LABEL_0")
    return np.where([True, True, True, True, False, False], classes, wrong)


def renamed(truth, names):
    return [names[name] for name in truth]


# --- in Python ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "label_map"),
    [
        ({"LABEL_0": "neg", "LABEL_1": "pos"}, NAMES),
        ({"LABEL_0": 0, "LABEL_1": 1}, {0: "LABEL_0", 1: "LABEL_1"}),
        ({"LABEL_0": 1, "LABEL_1": 5}, {"1": "LABEL_0", "5": "LABEL_1"}),
        ({"LABEL_0": 1.0, "LABEL_1": 5.0}, {1: "LABEL_0", 5: "LABEL_1"}),
        ({"LABEL_0": False, "LABEL_1": True}, {False: "LABEL_0", True: "LABEL_1"}),
        ({"LABEL_0": "LABEL_0", "LABEL_1": "pos"}, {"pos": "LABEL_1"}),
        # What is a class in the data may mean another one.
        ({"LABEL_0": "LABEL_1", "LABEL_1": "LABEL_0"},
         {"LABEL_1": "LABEL_0", "LABEL_0": "LABEL_1"}),
    ],
)
def test_labels_are_what_the_map_says(clf, truth, labels, label_map):
    y = renamed(truth, labels)
    expected = clf.evaluate(TEXTS, truth)
    assert expected.accuracy == 4 / 6
    for column in (y, np.array(y), pd.Series(y, index=range(5, 11)), pl.Series(y),
                   pd.Series(y).astype("category")):
        assert clf.evaluate(TEXTS, column, label_map=label_map) == expected


def test_several_labels_may_mean_one_class(clf, truth):
    stars = {"LABEL_0": 1, "LABEL_1": 4}
    y = renamed(truth, stars)
    y[0] += 1
    label_map = {1: "LABEL_0", 2: "LABEL_0", 4: "LABEL_1", 5: "LABEL_1"}
    assert clf.evaluate(TEXTS, y, label_map=label_map) == clf.evaluate(TEXTS, truth)


@pytest.mark.parametrize(
    ("y", "label_map", "message"),
    [
        (["neg", "pos"], {"neg": "LABEL_0", "pos": "LABEL_2"},
         r"label_map gives 'LABEL_2' for the label 'pos', which is not a class of the model; its "
         r"classes are: LABEL_0, LABEL_1$"),
        (["neg", "pos"], {"LABEL_0": "neg", "LABEL_1": "pos"},
         r"not a class .*\. The label of the data comes first: "
         r"label_map=\{'neg': 'LABEL_0', 'pos': 'LABEL_1'\}$"),
        (["neg", "neutral"], NAMES,
         r"y\[1\] is 'neutral', which is neither in label_map nor a class of the model; its "
         r"classes are 'LABEL_0', 'LABEL_1'$"),
        (["n", "p"], NAMES, r"label_map names 'neg', 'pos', but no label .*; there are, for "
         r"example, 'n', 'p'$"),
        (["neg", None], NAMES, r"y\[1\] is None"),
        ([["neg"], ["pos", "neg"]], NAMES, r"y"),
    ],
)
def test_what_is_unknown_is_an_error(clf, y, label_map, message):
    with pytest.raises((ValueError, TypeError), match=message):
        clf.evaluate(TEXTS[:2], y, label_map=label_map)


# --- on the command line ------------------------------------------------------------------


@pytest.fixture
def evaluate(foreign, tmp_path, capsys):
    """Return a function that evaluates labels of a file by the command."""

    def call(labels, *flags, name="a.csv"):
        table = pd.DataFrame({"review": TEXTS[: len(labels)], "sentiment": labels})
        path = tmp_path / name
        table.to_csv(path, index=False) if name == "a.csv" else table.to_parquet(path)
        code = run("evaluate", foreign, path, *flags)
        out, err = capsys.readouterr()
        return code, out, err.replace(str(tmp_path), "").strip().splitlines()[-1:]

    return call


@pytest.mark.parametrize(
    "flags",
    [["neg=LABEL_0,pos=LABEL_1"], ["neg=LABEL_0", "pos=LABEL_1"], [" pos = LABEL_1, neg=LABEL_0"],
     ['{"neg": "LABEL_0", "pos": "LABEL_1"}'], ["neg=LABEL_0,pos=LABEL_1", "neg=LABEL_0"]],
)
def test_the_flag_in_all_its_forms(evaluate, truth, clf, flags):
    y = renamed(truth, {"LABEL_0": "neg", "LABEL_1": "pos"})
    words = [word for flag in flags for word in ("--label-map", flag)]
    code, out, _ = evaluate(y, *words, "--json")
    assert code == 0 and json.loads(out) == dict(clf.evaluate(TEXTS, truth))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_numbers_of_a_file(evaluate, truth, name):
    pytest.importorskip("pyarrow")
    for values in ((0, 1), (0.0, 1.0), (False, True)):
        y = renamed(truth, dict(zip(("LABEL_0", "LABEL_1"), values, strict=True)))
        code, out, _ = evaluate(y, "--label-map", "0=LABEL_0,1=LABEL_1", "--json", name=name)
        assert code == 0 and json.loads(out)["accuracy"] == 4 / 6


@pytest.mark.parametrize(
    ("labels", "flags", "said"),
    [
        (["pos", "neg"], [],
         "bertsent: error: /a.csv: 'pos' in column 'sentiment' (row 0, 2 rows in all) is not a "
         "class of the model; its classes are: LABEL_0, LABEL_1. --label-map LABEL=CLASS says "
         "which of these a label means"),
        (["pos", "neg", "so-so"], ["neg=LABEL_0,pos=LABEL_1"],
         "bertsent: error: /a.csv: 'so-so' in column 'sentiment' (row 2, 1 rows in all) is not a "
         "class of the model; its classes are: LABEL_0, LABEL_1"),
        (["pos", "neg"], ["LABEL_0=neg,LABEL_1=pos"],
         "bertsent: error: --label-map gives 'neg' for the label 'LABEL_0', which is not a class "
         "of the model; its classes are: LABEL_0, LABEL_1. The label of the data comes first: "
         "--label-map neg=LABEL_0,pos=LABEL_1"),
        (["pos", "neg"], ["neg=negative,pos=positive"],
         "bertsent: error: --label-map gives 'negative' for the label 'neg', which is not a class "
         "of the model; its classes are: LABEL_0, LABEL_1"),
    ],
)
def test_errors_of_the_flag(evaluate, labels, flags, said):
    words = [word for flag in flags for word in ("--label-map", flag)]
    code, out, err = evaluate(labels, *words)
    assert (code, out, err) == (1, "", [said])


@pytest.mark.parametrize(
    "flags", [["neg"], ["neg="], ["=LABEL_0"], ["neg=LABEL_0,"], ["a=LABEL_0,a=LABEL_1"], ["{"],
              ['{"a": 1}'], ["{}"], [""], ["a=LABEL_0", "a=LABEL_1"]],
)
def test_wrong_forms_of_the_flag_are_usage_errors(foreign, capsys, flags):
    words = [word for flag in flags for word in ("--label-map", flag)]
    assert run("evaluate", foreign, "a.csv", *words) == 2
    problem, hint = capsys.readouterr().err.splitlines()
    assert "--label-map" in problem and hint == "try 'bertsent evaluate --help'"


@pytest.mark.parametrize("given", ["neg=LABEL_0", ["LABEL_0"], 1, str.lower])
def test_a_map_that_is_no_dictionary_is_named(clf, truth, given):
    kind = type(given).__name__
    with pytest.raises(TypeError, match=f"^label_map is .*{kind}, but a dict is expected, such as"):
        clf.evaluate(TEXTS, truth, label_map=given)
