"""Reports for people: one page of HTML that contains what it should, and runs nothing."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from test_classifier import make_texts

import bertsent
from bertsent.classifier import Predictor
from bertsent.classifier.html_report import MOST_CHARACTERS, MOST_EXAMPLES, bootstrap
from bertsent.classifier.pictures import draw, ticks
from bertsent.cli import main
from bertsent.objectives import OBJECTIVES, ReportChart, Series
from bertsent.system import parse_size

TEXTS, LABELS = make_texts(48)
TEXTS = [f"{text} {'so ' * (number % 9)}{number}" for number, text in enumerate(TEXTS)]
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> & \"q\" 'p' </p></div>\x00\u202e"
NAMES = ["<b>bad</b>", "good\"><script>", "a & b"]
CLASSES = np.array(NAMES)[np.arange(48) % 3]
TAGS = pd.DataFrame({
    "<i>up</i>": (LABELS == "positive").astype(int), "b": (np.arange(48) % 3 == 0).astype(int),
})


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects tags, attributes and text."""

    EMPTY = {"meta", "br"}

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture
def make(base):
    return maker(base, epochs=2)


def written(clf, path, texts, y, **options):
    result = clf.evaluate(texts, y, report=path, **options)
    html = path.read_text("utf-8")
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>") and "prefers-color-scheme: dark" in html
    # Nothing runs, and nothing comes from elsewhere.
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(page.tags)
    names = {name for name, _ in page.attributes}
    assert not any(name.startswith("on") or name in ("src", "href") for name in names)
    assert "url(" not in html and "http://" not in html and "https://" not in html
    assert "default-src 'none'" in dict(page.attributes)["content"] + html
    return result, page, " ".join(page.text)


def test_a_page_for_classes(make, tmp_path):
    clf = make(validation_fraction=0.3).fit(TEXTS, LABELS)
    texts = [HOSTILE, "x" * 1000, *TEXTS[2:]]
    result, page, text = written(clf, tmp_path / "a.html", texts, LABELS, abstain=0.5)
    assert result.headline in text and result.note in text
    for part in ("Metrics", "95 % interval", "confusion matrix", "calibration error", "decided",
                 "Reliability", "calibrated", "Precision and recall", "average precision",
                 "accuracy by length", "Worst examples", "Most uncertain examples", "confidence"):
        assert part in text, part
    assert page.tags.count("svg") == 3 and page.tags.count("dl") == 2 * MOST_EXAMPLES
    # The same test gives the same page.
    clf.evaluate(texts, LABELS, abstain=0.5, report=tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_worst_and_uncertain_texts_come_first(make, tmp_path):
    clf = make(epochs=3).fit(TEXTS, LABELS)
    series = pd.Series(TEXTS, index=[f"id-{number}" for number in range(48)])
    _, _, text = written(clf, tmp_path / "a.html", series, LABELS)
    shown = re.findall(r"row id-(\d+)", re.sub(r"\s+", " ", text))
    assert len(shown) == 2 * MOST_EXAMPLES
    probabilities = clf.predict_proba(TEXTS)
    own = probabilities[np.arange(48), (LABELS == "positive").astype(int)]
    assert [int(n) for n in shown[:3]] == np.argsort(own, kind="stable")[:3].tolist()
    margin = np.abs(probabilities[:, 0] - probabilities[:, 1])
    assert int(shown[MOST_EXAMPLES]) == margin.argmin()


def test_hostile_texts_and_names_are_text(make, tmp_path):
    texts = [f"{HOSTILE} {number}" for number in range(48)]
    for number, (y, name) in enumerate(((CLASSES, NAMES[1]), (TAGS, "<i>up</i>"))):
        directory = tmp_path / f"<script>model {number}"
        make().fit(TEXTS, y).save_pretrained(directory)
        clf = bertsent.BertClassifier.from_pretrained(directory)
        _, _, text = written(clf, tmp_path / f"{number}.html", texts, y)
        assert f"Test of {directory.name}" in text and name in text
        assert HOSTILE.replace("\0", "\ufffd") in text


def test_pairs_are_shown_as_two_texts(make, tmp_path):
    pairs = pd.DataFrame({"a": TEXTS, "b": [f"<b>{text}</b>" for text in reversed(TEXTS)]})
    clf = make().fit(pairs, LABELS)
    _, _, text = written(clf, tmp_path / "a.html", pairs, LABELS)
    assert any(f"{a}\n\u2014\n{b}" in text for a, b in pairs.itertuples(index=False))


def test_long_texts_are_cut(make, tmp_path):
    clf = make().fit(TEXTS, LABELS)
    _, _, text = written(clf, tmp_path / "a.html", ["word " * 500], LABELS[:1])
    assert f"... and {2500 - MOST_CHARACTERS:,} characters more" in text
    assert text.count("word ") <= 2 * MOST_CHARACTERS / 5


def test_words_of_examples_are_marked(make, tmp_path):
    clf = make(epochs=3).fit(TEXTS, LABELS)
    texts = [*TEXTS[:40], *[HOSTILE] * 7, " "]
    _, page, text = written(clf, tmp_path / "a.html", texts, LABELS, explain=3)
    losses = -np.log(clf.predict_proba(texts)[np.arange(48), (LABELS == "positive").astype(int)])
    worst, (kind, _) = np.argsort(-losses, kind="stable")[:3], text.split("Most uncertain")
    assert "Why the model says so" in text and "supports the target" in " ".join(text.split())
    found = clf.explain([texts[row] for row in worst if texts[row].strip()])
    for each in found:
        assert f"{each.headline} ({each.footnote})" in kind
    # Marks of a line below need no colours; the legend has one of each.
    html = (tmp_path / "a.html").read_text("utf-8")
    marks = re.findall(r"border-bottom: [0-9.]+px (solid|dashed)", html)
    assert len(marks) > 2 and "prefers-color-scheme" in html
    assert html.count('class="words"') == text.count("integrated gradients, ") <= 6
    plain, _, text = written(clf, tmp_path / "b.html", texts, LABELS)
    assert "Why the model" not in text


def test_words_of_texts_without_words_and_of_pairs(make, tmp_path):
    clf = make(epochs=1).fit(TEXTS, LABELS)
    _, _, text = written(clf, tmp_path / "a.html", ["", " \t"], LABELS[:2], explain=15)
    assert "Why the model says so" not in text and "Worst examples" in text
    pairs = pd.DataFrame({"a": TEXTS, "b": [f"<b>{text}</b>" for text in reversed(TEXTS)]})
    clf = make(epochs=1).fit(pairs, LABELS)
    written(clf, tmp_path / "b.html", pairs, LABELS, explain=1)
    assert (tmp_path / "b.html").read_text("utf-8").count('class="words"') in (2, 4)
    with pytest.raises(ValueError, match="explain=16 is not allowed; expected a whole number from"):
        clf.evaluate(pairs, LABELS, report=tmp_path / "c.html", explain=16)
    with pytest.raises(ValueError, match="explain=1 is about the examples of a report; also pass"):
        clf.evaluate(pairs, LABELS, explain=1)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_limit_that_is_too_small_to_explain_is_named_first(
    make, tmp_path, monkeypatch, precision
):
    clf = make(epochs=1, inference_precision=precision).fit(TEXTS, LABELS)
    clf.evaluate(TEXTS, LABELS, report=tmp_path / "a.html", explain=1)  # packs all weights
    smallest = {}
    for name, call in (
        ("score", lambda: clf.evaluate(TEXTS, LABELS)), ("explain", lambda: clf.explain(TEXTS)),
    ):
        clf.set_params(memory_limit=1)
        limit = 1
        while True:
            try:
                call()
                break
            except ValueError as error:
                limit = re.search(r"smallest possible is memory_limit='(\S+)'", str(error))[1]
                clf.set_params(memory_limit=limit)
        smallest[name] = parse_size(limit)
    assert smallest["score"] < smallest["explain"]
    clf.set_params(memory_limit=smallest["explain"] - 2000)
    clf.evaluate(TEXTS, LABELS)
    scored, logits = [], Predictor.logits

    def counted(*args, **how):
        scored.append(1)
        return logits(*args, **how)

    monkeypatch.setattr(Predictor, "logits", counted)
    with pytest.raises(ValueError, match="too small to explain with this model"):
        clf.evaluate(TEXTS, LABELS, report=tmp_path / "b.html", explain=1)
    assert not scored and not (tmp_path / "b.html").exists()


def test_a_page_for_labels(make, tmp_path):
    clf = make(validation_fraction=0.4).fit(TEXTS, TAGS)
    _, page, text = written(clf, tmp_path / "a.html", TEXTS, TAGS, explain=1)
    for part in ("log-odds", "subset accuracy", "Reliability", "missed", "Most uncertain",
                 "f1 by length"):
        assert part in text, part
    assert page.tags.count("svg") == 3


@pytest.mark.parametrize("columns", [1, 2])
def test_a_page_for_numbers(base, columns, tmp_path):
    y = np.arange(48.0) if columns == 1 else np.stack([np.arange(48.0), -np.arange(48)], axis=1)
    reg = bertsent.BertRegressor(base, max_length=16, epochs=1, verbose=0, random_state=0)
    reg.fit(TEXTS, y)
    _, page, text = written(reg, tmp_path / "a.html", TEXTS, y, explain=2)
    for part in ("Why the model says so", "prediction +", "rmse", "spearman", "Predicted and true",
                 "mae by length", "error"):
        assert part in text, part
    assert page.tags.count("svg") == 1 + columns and "Most uncertain" not in text


def test_many_classes(make, tmp_path):
    y = np.array([f"class {number % 24:02d}" for number in range(48)])
    clf = make(epochs=1, cost_matrix=1 - np.eye(24)).fit(TEXTS, y)
    _, page, text = written(clf, tmp_path / "a.html", TEXTS, y)
    assert "most frequent confusions" in text and "cost" in text
    assert sum("average precision" in part for part in page.text) == 6


def test_an_existing_file_is_kept(make, tmp_path, monkeypatch):
    clf = make(epochs=1).fit(TEXTS, LABELS)
    path = tmp_path / "a.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="already exists; replace it with overwrite=True"):
        clf.evaluate(TEXTS, LABELS, report=path)
    assert path.read_text() == "mine"
    written(clf, path, TEXTS, LABELS, overwrite=True)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        clf.evaluate(TEXTS, LABELS, report=tmp_path / "none" / "a.html")
    with pytest.raises(IsADirectoryError):
        clf.evaluate(TEXTS, LABELS, report=tmp_path)


def test_on_the_command_line(workshop, tmp_path, capsys):
    command = ["evaluate", str(workshop / "model"), str(workshop / "new.csv"), "--report",
               str(tmp_path / "report.html")]
    assert main(command) == 0
    assert f"report written to {tmp_path / 'report.html'}" in capsys.readouterr().err
    assert "Test of model" in (tmp_path / "report.html").read_text("utf-8")
    assert main(command) == 1
    assert "replace it with --force" in capsys.readouterr().err
    assert main([*command, "--force", "--json", "--explain", "2"]) == 0
    assert "Why the model says so" in (tmp_path / "report.html").read_text("utf-8")
    assert main([*command[:3], "--explain", "2"]) == 2
    assert "also pass --report" in capsys.readouterr().err


# --- parts ------------------------------------------------------------------------------------


def test_intervals_are_those_of_resampled_texts():
    objective, targets = OBJECTIVES["single_label_classification"].learn(["a", "b"] * 200, 400)
    logits = np.zeros((400, 2), np.float32)
    logits[:, 0] = 1.0  # half of it is right
    found = bootstrap(objective, logits, targets)["accuracy"]
    assert len(found) == 1000 and found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.std() == pytest.approx((0.25 / 400) ** 0.5, rel=0.1)
    assert np.array_equal(found, bootstrap(objective, logits, targets)["accuracy"])


def test_classes_that_a_resample_did_not_draw_are_left_out_of_its_macro_f1():
    rng = np.random.default_rng(0)
    classes, targets = OBJECTIVES["single_label_classification"].learn(
        ["a"] * 100 + ["b"] * 100 + ["rare", "never"], 202
    )
    logits = np.eye(4, dtype=np.float32)[targets]
    keep = targets != classes.encode(["never"], 1, "y")[0]
    right, true = logits[keep], targets[keep]
    # All is right; the class that the test does not have counts as 0, in resamples too.
    assert classes.measure(right, true)["macro_f1"] == 0.75
    assert set(bootstrap(classes, right, true)["macro_f1"]) == {0.75}
    wrong = right[rng.permutation(len(right))]
    found = bootstrap(classes, wrong, true)["macro_f1"]
    low, high = np.quantile(found, [0.025, 0.975])
    assert low < classes.measure(wrong, true)["macro_f1"] < high
    labels, has = OBJECTIVES["multi_label_classification"].learn(
        [["a"]] * 30 + [["rare"]] + [[]] * 9, 40
    )
    for picked in ([0, 1], [1]):
        part = replace(labels, sets=type(labels.sets)(labels.classes[picked]))
        some = has[:, picked]
        found = bootstrap(part, 9.0 * (2 * some - 1), some)["macro_f1"]
        assert part.measure(9.0 * (2 * some - 1), some)["macro_f1"] == 1.0
        assert set(found[~np.isnan(found)]) == {1.0}
        assert np.isnan(found).any() == (picked == [1])  # nothing to say without the only label
    none = np.zeros((40, 2), np.float32)
    assert set(bootstrap(labels, none - 9, none)["macro_f1"]) == {0.0}


@pytest.mark.parametrize("y", ["classes", "labels"])
def test_the_page_has_the_loss_of_the_evaluation(base, y, tmp_path):
    y = CLASSES if y == "classes" else TAGS
    clf = maker(base, validation_fraction=0.4, epochs=2)().fit(TEXTS, y)
    losses = []
    for calibrated in (False, True):
        clf.set_params(calibrated=calibrated)
        result = clf.evaluate(TEXTS, y, report=tmp_path / f"{calibrated}.html")
        page = Page((tmp_path / f"{calibrated}.html").read_text("utf-8"))
        assert page.text[page.text.index("loss") + 1] == f"{result.loss:.4f}"
        probabilities, true = clf.predict_proba(TEXTS), np.asarray(TAGS, bool)
        if y is CLASSES:
            true = CLASSES[:, None] == clf.classes_
        else:
            probabilities = np.stack([probabilities, 1 - probabilities], axis=2)
            true = np.stack([true, ~true], axis=2)
        assert result.loss == pytest.approx(-np.log(probabilities[true]).mean(), rel=1e-6)
        losses.append(result.loss)
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (-3.1, 7.2, [-2.5, 0, 2.5, 5]),
     (1200, 6000, [2000, 3000, 4000, 5000, 6000]), (0.0, 0.003, [0, 0.001, 0.002, 0.003])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == expected
    assert "-0" not in [f"{tick:g}" for tick in ticks(low, high)]


def test_legends_have_whole_names():
    names = ["customer support, second level: " + end for end in ("hardware", "software")]
    series = [Series(name, "points", [0, 1], [0, 1]) for name in names]
    html = draw(ReportChart("t", "x", "y", series, (0, 1), (0, 1)))
    assert all(name in html for name in names)


def test_a_chart_puts_points_where_they_belong():
    series = [Series("<one>", "points", [0, 1], [0, 1]), Series("", "bars", [0.5], [0.5], "", 0.1)]
    html = draw(ReportChart("<t>", "x", "y", series, (0, 1), (0, 1)))
    page = Page(html)
    assert ("cx", "58.0") in page.attributes and ("cy", "12.0") in page.attributes
    assert ("height", "130.0") in page.attributes and ("width", "39.0") in page.attributes
    assert "&lt;one&gt;" in html and "&lt;t&gt;" in html
