"""`BertClassifier.evaluate`, its result, and recipes."""

import copy
import json
import pickle
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import classification_report, f1_score
from test_classifier import make_texts

import bertsent
from bertsent.cli import main


@pytest.fixture(scope="module")
def fitted(base):
    texts, labels = make_texts(96)
    clf = bertsent.BertClassifier(
        base, max_length=16, epochs=6, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0
    )
    return clf.fit(texts, labels)


@pytest.fixture(scope="module")
def unseen():
    """Texts of which the first ten were used in training."""
    texts, labels = make_texts(96)
    return texts[:10] + [f"{text} {i}" for i, text in enumerate(texts[10:40])], labels[:40]


def test_metrics_are_those_of_scikit_learn(fitted, unseen):
    texts, labels = unseen
    result = fitted.evaluate(texts, labels)
    predicted = fitted.predict(texts)
    expected = classification_report(labels, predicted, output_dict=True, zero_division=0)
    assert result.accuracy == result["accuracy"] == fitted.score(texts, labels)
    assert result.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    for name, row in result.classes.items():
        for ours, theirs in (("precision",) * 2, ("recall",) * 2, ("f1", "f1-score"),
                             ("rows", "support")):
            assert row[ours] == pytest.approx(expected[name][theirs])
    assert np.sum(result.confusion_matrix["rows_true_columns_predicted"]) == result.rows == 40
    assert result.rows_seen_in_training == 10
    assert result.accuracy_unseen == fitted.score(texts[10:], labels[10:])


def test_it_prints_as_the_command_does_and_dumps_as_its_json(fitted, unseen, tmp_path, capsys):
    texts, labels = unseen
    fitted.save_pretrained(tmp_path / "model")
    pd.DataFrame({"review": texts, "sentiment": labels}).to_csv(tmp_path / "new.csv", index=False)
    result = fitted.evaluate(texts, labels)
    command = ["evaluate", str(tmp_path / "model"), str(tmp_path / "new.csv")]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{result}\n" == f"{result!r}\n"
    assert main([*command, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == json.loads(json.dumps(result)) == result
    assert f"warning: {result.note}" in err and "10 of the 40 test texts" in result.note


def test_the_report_names_what_people_look_for(fitted, unseen):
    texts, labels = unseen
    text = str(fitted.evaluate(texts, labels))
    assert text.startswith(f"accuracy {fitted.score(texts, labels):.2%} on 40 texts, computed in ")
    for part in ("precision  recall      F1  texts", "confusion matrix", "used in training"):
        assert part in text
    assert "1 text," in str(fitted.evaluate(texts[:1], labels[:1]))
    assert "says nothing about new texts" in str(fitted.evaluate(texts[:1], labels[:1]))


class Checker(HTMLParser):
    """Checks that tags are closed in order, and collects the cells of all tables."""

    def __init__(self):
        super().__init__()
        self.open, self.cells, self.attributes = [], [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def check(html):
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def test_html_has_the_same_content_and_no_colours_of_its_own(fitted, unseen):
    result = fitted.evaluate(*unseen)
    html = result._repr_html_()
    cells = check(html).cells
    assert result.headline in html and result.note in html
    for row in result.classes.values():
        assert f"{row['recall']:.4f}" in cells
    matrix = np.ravel(result.confusion_matrix["rows_true_columns_predicted"])
    assert [c for c in cells if c.isdecimal()][-4:] == [str(n) for n in matrix]
    for name, value in check(html).attributes:
        assert not re.search(r"#|rgb\(|hsl|white\b(?!-)|black|gr[ae]y", value), (name, value)


def test_odd_labels_stay_in_their_cells(base):
    labels = ["<script>alert(1)</script>", "日本語", "two\nlines", "é" * 30, "a & b"]
    texts = ["good", "bad", "fine", "dull", "slow"]
    clf = bertsent.BertClassifier(base, max_length=16, epochs=1, random_state=0, verbose=0)
    result = clf.fit(texts * 2, labels * 2).evaluate(texts, labels)
    html = result._repr_html_()
    assert "<script>" not in html
    assert [label in check(html).cells for label in labels] == [True] * 5
    lines = str(result).splitlines()
    assert any(r"two\nlines" in line for line in lines)
    rows = lines[2:8]  # the table of classes: all cells of a column end together
    wide = [len(row) + 3 * ("日本語" in row) for row in rows]
    assert len(set(wide)) == 1, rows


def test_many_classes_are_listed_by_their_confusions(base):
    names = [f"team {i:02d}" for i in range(30)]
    texts = [f"{word} {i}" for i, word in enumerate(["good", "bad", "slow"] * 10)]
    clf = bertsent.BertClassifier(base, max_length=16, epochs=1, random_state=0, verbose=0)
    result = clf.fit(texts * 3, names * 3).evaluate(texts, names)
    text = str(result)
    assert "most frequent confusions" in text and "confusion matrix" not in text
    assert max(map(len, text.splitlines()[:-1])) < 80
    assert len(result.confusion_matrix["labels"]) == 30
    check(result._repr_html_())


def test_a_result_is_a_plain_dict_that_can_be_kept(fitted, unseen):
    result = fitted.evaluate(*unseen)
    for kept in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        assert kept == result and str(kept) == str(result)
    assert {"accuracy", "loss", "note"} <= set(dir(result))
    with pytest.raises(AttributeError, match="no item 'acuracy'"):
        _ = result.acuracy
    assert pd.Series(result)["rows"] == 40


def test_wrong_input_is_refused_before_scoring(fitted, monkeypatch):
    monkeypatch.setattr("bertsent.classifier.fitted.Predictor.logits", None)
    for X, y, message in (
        ([], [], "X is empty"),
        (["a", "b"], ["positive"], "y"),
        (["a"], ["neutral"], "neutral"),
        (["a", None], ["positive"] * 2, "X"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fitted.evaluate(X, y)
    with pytest.raises(ValueError, match="not fitted"):
        bertsent.BertClassifier().evaluate(["a"], ["b"])


@pytest.mark.parametrize("kind", [pd.Series, np.array, tuple])
def test_it_takes_what_score_takes(fitted, unseen, kind):
    texts, labels = unseen
    assert fitted.evaluate(kind(texts), kind(labels)) == fitted.evaluate(texts, labels)


# --- recipes ------------------------------------------------------------------------------


def test_parameters_override_those_of_a_recipe():
    clf = bertsent.BertClassifier.from_recipe("quick", max_length=64, model="somewhere")
    expected = {**bertsent.RECIPES["quick"], "max_length": 64, "model": "somewhere"}
    assert {name: clf.get_params()[name] for name in expected} == expected
    assert clone(clf).get_params() == clf.get_params()


@pytest.mark.parametrize("name", bertsent.RECIPES)
def test_a_recipe_as_it_is(name):
    clf, plain = bertsent.BertClassifier.from_recipe(name), bertsent.BertClassifier()
    changed = {n: v for n, v in clf.get_params().items() if v != plain.get_params()[n]}
    recipe = bertsent.RECIPES[name]
    assert changed.items() <= recipe.items() and set(recipe) <= set(clf.get_params())
    clf._checked_parameters()


def test_a_recipe_of_a_subclass_is_of_that_class():
    class Ours(bertsent.BertClassifier):
        pass

    assert type(Ours.from_recipe("quick")) is Ours


@pytest.mark.parametrize(
    ("arguments", "parameters", "error", "message"),
    [
        (("quik",), {}, ValueError, "no recipe 'quik', only 'best' and 'quick'; did you mean 'qui"),
        ((None,), {}, ValueError, "no recipe None, only"),
        ((), {}, TypeError, "recipe"),
        (("quick",), {"max_lenght": 64}, TypeError, "max_lenght"),
    ],
)
def test_recipes_that_are_not_there(arguments, parameters, error, message):
    with pytest.raises(error, match=message):
        bertsent.BertClassifier.from_recipe(*arguments, **parameters)
