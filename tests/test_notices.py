"""Notices and warnings: each is shown once per process, and none with verbose=0."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_val_score
from test_classifier import make_texts
from test_cli import surroundings

import bertsent
from bertsent.errors import FreshWeightsWarning
from bertsent.system import notice, warn


@pytest.fixture
def make(base):
    """A factory of small classifiers."""

    def factory(**options):
        settings = {"model": base, "max_length": 16, "random_state": 0, "n_threads": 1}
        return bertsent.BertClassifier(**(settings | options))

    return factory


def saved_for(labels, base, directory):
    texts, _ = make_texts(6)
    clf = bertsent.BertClassifier(base, max_length=16, epochs=1, random_state=0, verbose=0)
    clf.fit(texts, labels).save_pretrained(directory)
    return directory


def test_a_new_classification_layer_is_no_warning_but_a_calm_line(make, base, capsys):
    texts, labels = make_texts(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(epochs=1, verbose=1).fit(texts, labels)
    line = f"{base} gets a new classification layer for 2 classes (negative, positive)"
    assert line in capsys.readouterr().err.splitlines()


def test_a_new_pooler_is_named_and_many_classes_are_not(tiny_model_dir, capsys):
    clf = bertsent.BertClassifier(tiny_model_dir(pooler=False), max_length=16, epochs=1)
    clf.fit(["good", "bad", "fine", "dull", "slow", "poor"], list("abcdef"))
    shown = capsys.readouterr().err
    assert "gets a new pooler and a new classification layer for 6 classes (a, b, c, d, e, ...)\n" \
        in shown


def test_it_is_said_once_a_process(make, capsys):
    texts, labels = make_texts(16)
    for _ in range(3):
        make(epochs=1, verbose=1).fit(texts, labels)
    assert capsys.readouterr().err.count("gets a new") == 1
    make(epochs=1, verbose=1).fit(texts, np.array(list("ab"))[(labels == "positive").astype(int)])
    assert capsys.readouterr().err.count("gets a new") == 1  # for other classes


@pytest.mark.parametrize("further", ["fit", "partial_fit", "cross_val_score"])
def test_verbose_0_says_nothing_and_is_not_counted(make, base, tmp_path, capfd, further):
    texts, labels = make_texts(24)
    model = saved_for(list("abcabc"), base, tmp_path / "trained")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for start in (base, model):
            clf = make(model=start, epochs=1, max_length=4, verbose=0)
            if further == "fit":
                clf.fit(texts, labels)
            elif further == "partial_fit":
                clf.partial_fit(texts, labels, np.unique(labels))
            else:
                cross_val_score(clf, texts, labels, cv=2)
    assert capfd.readouterr() == ("", "")
    make(epochs=1, max_length=4, verbose=1).fit(texts, labels)
    told = capfd.readouterr().err
    assert "gets a new classification layer" in told and "longer than max_length=4" in told


def test_a_trained_head_that_is_thrown_away_is_a_warning(make, base, tmp_path):
    model = saved_for(list("abcabc"), base, tmp_path / "trained")
    texts, labels = make_texts(16)
    message = (
        r"trained has a classification layer for 3 classes \(a, b, c\), which is thrown away: "
        r"a new one for 2 classes \(negative, positive\) takes its place"
    )
    with pytest.warns(FreshWeightsWarning, match=message) as caught:
        make(model=model, epochs=1, verbose=1).fit(texts, labels)
        make(model=model, epochs=1, verbose=1).fit(texts, labels)
    assert [w.filename for w in caught] == [__file__]


def test_a_head_that_is_trained_further_is_not_mentioned(make, base, tmp_path, capsys):
    model = saved_for(["negative", "positive"] * 3, base, tmp_path / "trained")
    texts, labels = make_texts(16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(model=model, epochs=1, verbose=1).fit(texts, labels)
    assert "classification layer" not in capsys.readouterr().err


def test_a_head_of_another_task_is_a_warning(make, tiny_model_dir):
    from safetensors.numpy import load_file, save_file

    directory = tiny_model_dir()
    file = directory / "model.safetensors"
    extra = {"qa_outputs.weight": np.zeros((2, 32), np.float32)}
    save_file(load_file(file) | extra, file, metadata={"format": "pt"})
    texts, labels = make_texts(16)
    with pytest.warns(FreshWeightsWarning, match=r"also contains qa_outputs\.weight, which") as got:
        make(model=directory, epochs=1, verbose=1).fit(texts, labels)
    assert [w.filename for w in got] == [__file__]


def test_warnings_point_beyond_scikit_learn_and_come_once_in_a_search(make, base, tmp_path):
    model = saved_for(list("abcabc"), base, tmp_path / "trained")
    texts, labels = make_texts(24)
    search = GridSearchCV(make(model=model, verbose=1), {"epochs": [1, 2]}, cv=2)
    with pytest.warns(FreshWeightsWarning, match="thrown away") as caught:
        search.fit(texts, labels)
    assert [w.filename for w in caught] == [__file__]


def test_warnings_that_are_errors_are_raised_every_time():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(UserWarning, match="lost"):
                warn("lost")
    with pytest.warns(UserWarning, match="lost"):
        warn("lost")


def test_notices_without_a_display(capsys, monkeypatch):
    notice("a fact", verbose=0)
    monkeypatch.setenv("BERTSENT_PROGRESS", "none")
    notice("a fact")
    assert capsys.readouterr() == ("", "")
    monkeypatch.delenv("BERTSENT_PROGRESS")
    notice("a fact")
    notice("a fact")
    assert capsys.readouterr() == ("", "a fact\n")


def test_the_bare_model_still_warns_of_weights_that_mean_nothing(tiny_model_dir):
    directory = tiny_model_dir()
    with pytest.warns(FreshWeightsWarning, match="mean nothing before training") as caught:
        bertsent.BertForSequenceClassification.from_pretrained(directory)
        bertsent.BertForSequenceClassification.from_pretrained(directory)
    assert [w.filename for w in caught] == [__file__]


def test_the_command_line_says_it_in_one_line_too(base, tmp_path):
    texts, labels = make_texts(40)
    data = tmp_path / "a.csv"
    rows = [f"{texts[i]} {i},{labels[i]}" for i in range(40)]
    data.write_text("\n".join(["review,sentiment", *rows]))
    done = subprocess.run(
        [sys.executable, "-m", "bertsent", "train", data, "--model", base, "--epochs", "1",
         "--max-length", "16", "--output", tmp_path / "out"],
        **surroundings(), capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        f"{base} gets a new classification layer for 2 classes (negative, positive)"
    )
    assert "warning" not in done.stderr and "random" not in done.stderr
