"""Early stopping by any scorer of scikit-learn."""

import math
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import maker, whole_and_resumed
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    fbeta_score,
    log_loss,
    make_scorer,
    roc_auc_score,
)
from test_classifier import make_texts
from test_cli import SMALL

import bertsent
from bertsent.cli import main
from bertsent.errors import CheckpointError

TEXTS, LABELS = make_texts(64)
TEXTS = [f"{text} {number}" for number, text in enumerate(TEXTS)]
THREE = np.array(["bad", "fine", "good"])[np.arange(64) % 3]
STARS = np.array([len(text) for text in TEXTS]) / 7.0
TAGS = np.stack([LABELS == "positive", THREE == "fine"], axis=1).astype(int)


@pytest.fixture
def make(base):
    return maker(base, epochs=3, validation_fraction=0.5)


def held_out(clf, y):
    rows = clf.validation_rows_
    return [TEXTS[row] for row in rows], np.asarray(y)[rows]


def positives(clf, texts):
    return clf.predict_proba(texts)[:, 1]


WATCHED = {
    "f1": (LABELS, lambda clf, X, y: f1_score(y, clf.predict(X), pos_label="positive")),
    "f1_macro": (THREE, lambda clf, X, y: f1_score(y, clf.predict(X), average="macro")),
    "roc_auc": (LABELS, lambda clf, X, y: roc_auc_score(y, positives(clf, X))),
    "average_precision": (
        LABELS, lambda clf, X, y: average_precision_score(y == "positive", positives(clf, X))
    ),
    "neg_log_loss": (THREE, lambda clf, X, y: -log_loss(y, clf.predict_proba(X))),
    "roc_auc_ovr": (
        THREE, lambda clf, X, y: roc_auc_score(y, clf.predict_proba(X), multi_class="ovr")
    ),
    "f1_samples": (
        TAGS, lambda clf, X, y: f1_score(y, clf.predict(X), average="samples", zero_division=0)
    ),
    "top_k_accuracy": (LABELS, lambda clf, X, y: 1.0),
}


@pytest.mark.parametrize("name", WATCHED)
def test_a_named_scorer_is_watched(make, name):
    y, expected = WATCHED[name]
    clf = make(early_stopping=name, patience=9, epochs=4).fit(TEXTS, y)
    scores = [row[f"validation_{name}"] for row in clf.evaluations_]
    best = int(np.argmax(scores))
    assert clf.best_step_ == clf.evaluations_[best]["step"] == 4 * (best + 1)
    assert scores[best] == pytest.approx(expected(clf, *held_out(clf, y)))
    assert clf.history_[best][f"validation_{name}"] == scores[best]
    assert "validation_loss" in clf.history_[0] and "validation_score" not in clf.history_[0]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("response", ["predict_proba", "decision_function", "predict"])
def test_a_scorer_of_probabilities_of_several_labels(make, count, response):
    tags = np.column_stack([TAGS, THREE == "bad"])[:, :count].astype(int)
    scorer = make_scorer(
        lambda y, found: float(found.shape == y.shape and average_precision_score(y, found)),
        response_method=response,
    )
    clf = make(early_stopping=scorer, patience=9).fit(TEXTS, tags)
    texts, labels = held_out(clf, tags)
    best = max(row["validation_score"] for row in clf.evaluations_)
    expected = average_precision_score(labels, getattr(clf, response)(texts))
    assert best == pytest.approx(expected)


@pytest.mark.parametrize("name", ["neg_mean_absolute_error", "neg_root_mean_squared_error"])
@pytest.mark.parametrize("columns", [1, 2])
def test_a_regressor_is_watched(base, name, columns):
    y = STARS if columns == 1 else np.stack([STARS, -STARS], axis=1)
    reg = bertsent.BertRegressor(
        base, max_length=16, epochs=3, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0,
        validation_fraction=0.5, early_stopping=name, patience=9,
    ).fit(TEXTS, y)
    best = max(reg.evaluations_, key=lambda row: row[f"validation_{name}"])
    assert reg.best_step_ == best["step"]
    if name == "neg_mean_absolute_error":
        assert best[f"validation_{name}"] == pytest.approx(-best["validation_mae"], rel=1e-5)
    with pytest.raises(ValueError, match="'accuracy'.*cannot score.*continuous"):
        reg.set_params(early_stopping="accuracy").fit(TEXTS, y)


def test_a_scorer_knows_the_labels(make, tmp_path):
    scorer = make_scorer(fbeta_score, beta=2, pos_label="negative")
    clf = make(early_stopping=scorer, patience=9).fit(TEXTS, LABELS)
    texts, labels = held_out(clf, LABELS)
    best = max(row["validation_score"] for row in clf.evaluations_)
    assert best == pytest.approx(fbeta_score(labels, clf.predict(texts), beta=2,
                                             pos_label="negative"))
    # What was learned is saved; the function is not.
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.early_stopping is None and again.evaluations_ == clf.evaluations_
    again.fit(TEXTS[:8], LABELS[:8])


def test_a_function_gets_an_estimator_and_numbers_of_texts(make):
    seen = []

    def scorer(estimator, X, y):
        half = X[::2]
        seen.append((estimator.classes_.tolist(), len(X), estimator.predict(half).tolist()))
        assert estimator.predict_proba(half).shape == (len(half), 3)
        assert np.array_equal(estimator.decision_function(X)[::2],
                              estimator.decision_function(half))
        assert estimator.__sklearn_is_fitted__() and set(y) <= set(estimator.classes_)
        return estimator.score(X, y)

    clf = make(early_stopping=scorer, patience=9).fit(TEXTS, THREE)
    assert len(seen) == 4 and seen[0][0] == ["bad", "fine", "good"]
    assert set(seen[1][2]) <= {"bad", "fine", "good"} and seen[0][1] == len(clf.validation_rows_)
    for row in clf.evaluations_:
        assert row["validation_score"] == pytest.approx(row["validation_accuracy"])


def test_a_scorer_that_fails_does_not_end_training(make):
    calls = []

    def scorer(estimator, X, y):
        calls.append(len(X))
        if len(calls) == 3:
            raise ZeroDivisionError("nothing to divide by")
        return float(len(calls))

    with pytest.warns(UserWarning, match="score failed, training goes on: nothing to divide by"):
        clf = make(early_stopping=scorer).fit(TEXTS, LABELS)
    assert [row["validation_score"] for row in clf.evaluations_][::2] == [2.0, 4.0]
    assert math.isnan(clf.evaluations_[1]["validation_score"])
    assert clf.best_step_ == clf.evaluations_[2]["step"]


@pytest.mark.parametrize(
    ("y", "watched", "message"),
    [
        (LABELS, "f2", 'early_stopping=.f2.*is not allowed.*scorer of scikit-learn'),
        (LABELS, "macro_f1",
         'macro_f1.*is unknown; use "loss", "accuracy" or the name of a scorer'),
        (THREE, "f1", 'early_stopping=.f1. cannot score.*use "f1_macro"'),
        (THREE, "roc_auc", 'roc_auc. cannot score.*use "roc_auc_ovo"'),
        (THREE, "r2x", "not allowed"),
        (LABELS, lambda estimator, X, y: math.nan, "not defined for the held-out texts.*nan"),
        (LABELS, lambda estimator, X, y: 1 / 0, "cannot score the held-out texts: division"),
        (LABELS, "neg_mean_squared_log_error", None),
    ],
)
def test_what_cannot_be_watched_is_an_error_before_training(make, y, watched, message):
    steps = []
    clf = make(early_stopping=watched, callbacks=steps.append)
    if message is None:  # class numbers are numbers, too
        clf.fit(TEXTS, y)
        return
    with pytest.raises(ValueError, match=message):
        clf.fit(TEXTS, y)
    assert not steps


def test_held_out_texts_of_one_class_have_no_roc_auc(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="roc_auc.*the held-out texts"):
            make(early_stopping="roc_auc", validation_fraction=None).fit(
                TEXTS, LABELS, X_val=["good", "great"], y_val=["positive"] * 2
            )


@pytest.mark.parametrize("options", [{}, {"members": 2}, {"words": True}], ids=str)
def test_a_resumed_run_stops_at_the_same_step(make, options, tmp_path):
    options = {"early_stopping": "average_precision", "eval_every": 3} | options
    whole, resumed = whole_and_resumed(make, TEXTS, LABELS, tmp_path / "run", **options)
    assert whole.best_step_ == resumed.best_step_


def beta(value):
    return make_scorer(fbeta_score, beta=value, pos_label="positive")


def mean_confidence(estimator, X, y):
    return estimator.predict_proba(X).max(axis=1).mean()


def least_confidence(estimator, X, y):
    return estimator.predict_proba(X).max(axis=1).min()


@pytest.mark.parametrize(
    ("begun", "other", "message"),
    [(mean_confidence, least_confidence, "mean_confidence', now: '.*least_confidence'"),
     (beta(2), beta(3), "beta=2, .*now: .*beta=3,"),
     (mean_confidence, "accuracy", "mean_confidence")],
    ids=["functions", "scorers", "name"],
)
def test_a_run_with_another_function_is_not_resumed(make, begun, other, message, tmp_path):
    options = {"checkpoint_dir": tmp_path / "run", "epochs": 2}
    make(early_stopping=begun, **options).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match=f"another run.*function.*{message}"):
        make(early_stopping=other, resume=True, **options).fit(TEXTS, LABELS)
    make(early_stopping=begun, resume=True, **options).fit(TEXTS, LABELS)


def test_a_run_that_watched_a_function_is_verified_with_it(make, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    make(early_stopping=mean_confidence, log_file=log, hash_every=2).fit(TEXTS, LABELS)
    message = r"watched the function \S*mean_confidence, which the log does not have; "
    with pytest.raises(CheckpointError, match=message + "pass it as early_stopping$"):
        bertsent.verify(log, TEXTS, LABELS, n_threads=1, verbose=0)
    given = {"early_stopping": mean_confidence, "n_threads": 1, "verbose": 0}
    assert bertsent.verify(log, TEXTS, LABELS, **given)
    with pytest.raises(CheckpointError, match="differs.*scorer"):
        bertsent.verify(log, TEXTS, LABELS, **given | {"early_stopping": lambda *args: 0.0})
    pd.DataFrame({"review": TEXTS, "sentiment": LABELS}).to_csv(tmp_path / "a.csv", index=False)
    assert main(["verify", str(log), str(tmp_path / "a.csv")]) == 1
    assert re.search(message + "verify the run in Python, with", capsys.readouterr().err)
    with pytest.raises(TypeError, match="early_stopping='f1_macro' is not a function"):
        bertsent.verify(log, TEXTS, LABELS, **given | {"early_stopping": "f1_macro"})
    make(early_stopping="f1_macro", log_file=log, hash_every=2).fit(TEXTS, LABELS)
    assert bertsent.verify(log, TEXTS, LABELS, n_threads=1, verbose=0)
    with pytest.raises(ValueError, match="early stopping watched no function.*leave out early_"):
        bertsent.verify(log, TEXTS, LABELS, **given)


def test_on_the_command_line(base, tmp_path, capsys):
    pd.DataFrame({"review": TEXTS, "sentiment": THREE}).to_csv(tmp_path / "a.csv", index=False)
    command = ["train", str(tmp_path / "a.csv"), "--model", str(base), "--epochs", "2", *SMALL,
               "--output", str(tmp_path / "out"), "--validation-fraction", "0.4",
               "--early-stopping"]
    assert main([*command, "f1_nothing"]) == 2
    assert "the name of a scorer of scikit-learn" in capsys.readouterr().err
    assert main([*command, "roc_auc"]) == 1
    assert '--early-stopping roc_auc cannot score' in capsys.readouterr().err
    assert main([*command, "f1_macro"]) == 0
    assert "validation f1_macro" in capsys.readouterr().err.replace("f1 macro", "f1_macro")
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    assert history["validation_f1_macro"].notna().all()
    assert list(history)[-2:] == ["validation_accuracy", "validation_f1_macro"]
