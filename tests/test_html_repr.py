"""What notebooks show of an estimator."""

import json
import re
import socket
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import maker
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr
from test_classifier import make_texts

from bertsent import BertClassifier, BertRegressor
from bertsent.classifier.parameters import CLASSIFICATION

TEXTS, LABELS = make_texts(40)
VOID = {"rect", "path", "circle"}


class Checker(HTMLParser):
    """Collects text, and raises if tags are not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.tags = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def show(estimator):
    html = estimator._repr_html_()
    assert not re.search(r"<script|<style|http|url\(|<img|javascript", html)
    return " | ".join(Checker(html).text)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_unfitted(no_network, base):
    text = show(BertClassifier())
    assert "BertClassifier | not fitted" in text.replace(" |   | ", " | ")
    assert "BERT, 6 layers, hidden size 384" in text and "22.7 million, all trained" in text
    assert "6 layers trained" in text and "frozen" not in text
    text = show(BertClassifier(base, freeze_layers=1, epochs=7))
    assert "BERT, 2 layers, hidden size 32" in text
    assert "1 layer frozen" in text and "1 layer trained" in text
    assert "epochs=7, freeze_layers=1" in text and "max_length" not in text
    assert str(base.parent) not in text and base.name in text


def test_unfitted_with_a_model_that_would_be_downloaded(no_network):
    text = show(BertClassifier("some/model"))
    assert "some/model" in text and "layers" not in text


def test_unfitted_with_nonsense(no_network):
    text = show(BertClassifier(**{each.name: object() for each in CLASSIFICATION}))
    assert "epochs=<object object" in text
    text = show(BertClassifier("minilm", freeze_layers=99))
    assert "freeze_layers=99" in text and "trained" not in text
    show(BertClassifier(None))

    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert "callbacks=<Broken instance at" in show(BertClassifier(callbacks=Broken()))


def test_a_damaged_directory(tmp_path):
    (tmp_path / "config.json").write_text("{")
    assert "not fitted" in show(BertClassifier(tmp_path))


def test_what_it_shows_is_escaped(base):
    evil = "<script>alert(1)</script>"
    html = BertClassifier(evil, log_file=evil)._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html
    clf = maker(base)().fit(TEXTS, np.where(LABELS == "positive", evil, "b"))
    assert "<script" not in clf._repr_html_()


def test_long_values_are_cut(base):
    text = show(BertClassifier(base, members=[{"epochs": number} for number in range(200)]))
    assert len(text) < 600 and "…" in text
    teacher = BertClassifier("minilm")
    assert "teacher=BertClassifier(…)" in show(BertClassifier(base, teacher=teacher))


def test_fitted(base):
    clf = maker(base, epochs=3, validation_fraction=0.2)().fit(TEXTS, LABELS)
    text = show(clf)
    assert " | fitted" in text and "2: negative, positive" in text
    assert "32 texts, 8 held out" in text and "held out" in text and "epoch 3" in text
    assert f"{clf.history_[-1]['validation_loss']:.4f}" in text
    total = sum(each.size for each in clf.model_.parameters.values())
    assert f"{total:,}, all trained" in text
    assert clf._repr_html_().count("<circle") == 6


def test_frozen_parameters_are_those_that_training_leaves(base):
    clf = maker(base, freeze_layers=1)().fit(TEXTS, LABELS)
    before = {name: value.copy() for name, value in clf.model_.parameters.items()}
    clf.set_params(warm_start=True).fit(TEXTS, LABELS)
    frozen = sum(
        value.size for name, value in clf.model_.parameters.items()
        if np.array_equal(value, before[name])
    )
    assert f"{frozen:,} frozen" in show(clf)
    assert "2 layers frozen" in show(maker(base, freeze_layers="all")().fit(TEXTS, LABELS))


def test_layers_are_those_that_were_frozen_in_fit(base, tmp_path):
    clf = maker(base, freeze_layers=1)().fit(TEXTS, LABELS)
    clf.set_params(freeze_layers=0)
    assert "1 layer frozen" in show(clf) and "1 layer trained" in show(clf)
    clf.save_pretrained(tmp_path / "model")
    opened = BertClassifier.from_pretrained(tmp_path / "model")
    assert "1 layer frozen" in show(opened)
    assert "1 layer frozen" not in show(clf.fit(TEXTS, LABELS))
    clf = maker(base, members=[{"freeze_layers": "all"}, {"freeze_layers": 0}])()
    clf.fit(TEXTS, LABELS).save_pretrained(tmp_path / "two")
    assert "2 layers frozen" in show(BertClassifier.from_pretrained(tmp_path / "two"))
    # Files of earlier versions do not say it.
    settings = json.loads((tmp_path / "model" / "bertsent.json").read_text())
    del settings["frozen_layers"]
    (tmp_path / "model" / "bertsent.json").write_text(json.dumps(settings))
    opened = BertClassifier.from_pretrained(tmp_path / "model")
    assert "frozen" not in show(opened) and "2 layers trained" in show(opened)


def test_members_words_other_tasks_and_one_epoch(base):
    text = show(maker(base, members=2, words=True)().fit(TEXTS, LABELS))
    assert "2 members and a linear model of words (weight 0.50)" in text
    reg = BertRegressor(base, max_length=16, epochs=1, verbose=0).fit(TEXTS, np.arange(40.0))
    assert "BertRegressor" in show(reg) and "mae" in show(reg) and "LABEL" not in show(reg)
    sets = [[["a"], ["b"], ["a", "b"]][number % 3] for number in range(40)]
    assert "labels | 2: a, b" in show(maker(base)().fit(TEXTS, sets))


def test_a_model_without_a_history(base, tmp_path):
    from conftest import write_tiny_model

    clf = BertClassifier.from_pretrained(write_tiny_model(tmp_path / "own", classifier=2))
    text = show(clf)
    assert "2: LABEL_0, LABEL_1" in text and "epoch" not in text


@pytest.mark.parametrize("losses, drawn", [
    ([0.5, float("nan"), 0.25], 2), ([float("inf"), 0.5, float("-inf")], 1),
    ([float("nan")] * 3, 0),
])
def test_a_loss_that_is_not_finite_is_not_drawn(base, losses, drawn):
    clf = maker(base)().fit(TEXTS, LABELS)
    clf.history_ = [
        {"epoch": epoch, "loss": 0.5, "validation_loss": loss}
        for epoch, loss in enumerate(losses, 1)
    ]
    html = clf._repr_html_()
    assert html.count("<circle") == 3 + drawn and ("held out</text>" in html) == (drawn > 0)
    assert "Mnan" not in html and '"nan"' not in html and "inf," not in html
    clf.history_ = [{"epoch": 1, "loss": loss} for loss in losses]
    assert clf._repr_html_().count("<circle") == drawn


def test_the_display_of_scikit_learn_decides(base):
    clf = BertClassifier(base)
    assert set(clf._repr_mimebundle_()) == {"text/plain", "text/html"}
    assert clf._repr_mimebundle_()["text/plain"] == repr(clf)
    with config_context(display="text"):
        assert set(clf._repr_mimebundle_()) == {"text/plain"}
        assert not hasattr(clf, "_repr_html_")


def test_diagrams_of_scikit_learn_stay_theirs(base):
    pipeline = make_pipeline(FunctionTransformer(), BertClassifier(base))
    assert "BertClassifier" in pipeline._repr_html_() and "<svg" not in pipeline._repr_html_()
    assert "sk-" in estimator_html_repr(BertClassifier(base))
