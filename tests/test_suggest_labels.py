"""Which texts to label next: uncertain, different, and none that is known already."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from test_classifier import make_texts

import bertsent
from bertsent.active_learning import choice, choose, distinct_rows
from bertsent.cli import main
from bertsent.objectives import margin_uncertainty


def directions(groups, each, seed=0):
    """Return vectors in tight groups, and the group of each."""
    rng = np.random.default_rng(seed)
    centres = np.eye(groups, 16)
    group = np.repeat(np.arange(groups), each)
    return centres[group] + rng.normal(0, 0.01, (len(group), 16)), group


def numbered(n):
    """Return texts of which no two are near-duplicates."""
    return [f"word{i} other{i} third{i} last{i}" for i in range(n)]


# --- the choice -----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_one_of_each_group_is_chosen(scale):
    vectors, group = directions(6, 20)
    vectors[::2] *= 7.0  # lengths do not count
    found = choose(numbered(120), scale * vectors, 6)
    assert sorted(group[found.rows]) == list(range(6))
    assert found.represents.tolist() == [20] * 6


def test_only_the_most_uncertain_are_candidates():
    vectors, group = directions(6, 20)
    uncertainty = np.where(group < 3, 0.9, 0.1)
    found = choose(numbered(120), vectors, 6, uncertainty, candidates=10)
    assert (group[found.rows] < 3).all()
    assert choose(numbered(120), vectors, 6, uncertainty, candidates=20).rows.size == 6
    assert set(group[choose(numbered(120), vectors, 6, uncertainty, candidates=20).rows]) == {
        *range(6)
    }


def test_one_candidate_for_each_is_uncertainty_alone():
    vectors, _ = directions(6, 20)
    uncertainty = np.random.default_rng(0).permutation(120) / 120
    found = choose(numbered(120), vectors, 10, uncertainty, candidates=1)
    assert found.rows.tolist() == np.argsort(-uncertainty)[:10].tolist()
    assert found.represents.tolist() == [1] * 10


def test_uncertain_texts_pull_the_centre():
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    certain_end = choose(numbered(4), vectors, 1, np.array([1.0, 0.5, 0.01, 0.01]))
    other_end = choose(numbered(4), vectors, 1, np.array([0.01, 0.01, 0.5, 1.0]))
    assert certain_end.rows[0] < 2 <= other_end.rows[0]


def test_near_duplicates_are_chosen_once():
    texts = numbered(10)
    copies = [f"{texts[0]} and once more {i}" for i in range(5)]
    rng = np.random.default_rng(0)
    uncertainty = np.concatenate([[0.98], np.full(9, 0.5), np.full(5, 0.99)])
    found = choose(texts + copies, rng.normal(0, 1, (15, 8)), 6, uncertainty, threshold=0.2)
    assert sum(row == 0 or row >= 10 for row in found.rows) == 1
    assert found.rows[0] == 10
    # If the candidates repeat each other, less uncertain texts take their place.
    found = choose(texts + copies, rng.normal(0, 1, (15, 8)), 8, uncertainty, candidates=1,
                   threshold=0.2)
    assert len(found.rows) == 8
    assert len(choose(texts + copies, np.ones((15, 8)), 15, uncertainty, threshold=0.2).rows) == 10


def test_equal_vectors_and_no_uncertainty_still_fill_the_places():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = choose(numbered(30), np.ones((30, 4)), 5)
        certain = choose(numbered(30), directions(3, 10)[0], 5, np.zeros(30))
    assert len(set(found.rows)) == len(set(certain.rows)) == 5


def test_the_choice_is_the_same_again_and_depends_on_the_seed():
    vectors = np.random.default_rng(0).normal(0, 1, (200, 8))
    rows = [choose(numbered(200), vectors, 9, seed=seed).rows.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_of_many_texts_a_sample_is_used(monkeypatch):
    monkeypatch.setattr(choice, "MOST_TEXTS", 20)
    vectors = np.random.default_rng(0).normal(0, 1, (200, 8))
    found = choose(numbered(200), vectors, 9)
    assert found.represents.sum() == 20 and found.rows.max() > 20
    assert len(choose(numbered(200), vectors, 30).rows) == 30


def test_distinct_rows():
    texts = ["a b", "A  b", "c", "<b>c</b>", "d", "a b"]
    assert distinct_rows(texts).tolist() == [0, 2, 4]
    assert distinct_rows(texts, np.array([0, 0, 0, 1, 0, 0], bool)).tolist() == [0, 4]


def test_margin_uncertainty():
    found = margin_uncertainty(np.array([[0.5, 0.5, 0.0], [0.2, 0.7, 0.1], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(found, [1.0, 0.5, 0.0])


# --- classifiers ----------------------------------------------------------------------------

TEXTS, LABELS = make_texts(60)
POOL = [f"{text} {number}" for number, text in enumerate(make_texts(80, seed=1)[0])]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    base = write_tiny_model(tmp_path_factory.mktemp("suggest") / "tiny")
    return bertsent.BertClassifier(
        base, max_length=16, epochs=4, batch_size=8, learning_rate=2e-3, random_state=0,
        verbose=0, n_threads=1,
    ).fit(TEXTS, LABELS)


def test_a_suggestion_is_what_prediction_says(fitted):
    data = pd.Series(POOL, index=[f"id{i}" for i in range(80)])
    found = fitted.suggest_labels(data, 5, threshold=1.0)
    assert list(found.columns) == [
        "row", "text", "predicted_label", "confidence", "uncertainty", "represents"
    ]
    assert found["text"].tolist() == data[found["row"]].tolist()
    assert found["predicted_label"].tolist() == fitted.predict(found["text"]).tolist()
    probabilities = fitted.predict_proba(found["text"])
    np.testing.assert_allclose(found["confidence"], probabilities.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(
        found["uncertainty"], 1 - np.abs(probabilities[:, 0] - probabilities[:, 1]), atol=1e-6
    )
    assert found["uncertainty"].is_monotonic_decreasing
    others = margin_uncertainty(fitted.predict_proba(POOL))
    assert found["uncertainty"].min() >= np.sort(others)[-50] - 1e-6  # n times candidates
    assert others.min() < 0.9 * others.max()
    pd.testing.assert_frame_equal(found, fitted.suggest_labels(data, 5, threshold=1.0))
    by_number = fitted.suggest_labels(POOL, 5, threshold=1.0)
    assert [f"id{row}" for row in by_number["row"]] == found["row"].tolist()


def test_threads_and_several_members_and_windows(fitted, make):
    one = fitted.suggest_labels(POOL, 5)
    try:
        fitted.set_params(n_threads=2)
        pd.testing.assert_frame_equal(one, fitted.suggest_labels(POOL, 5))
    finally:
        fitted.set_params(n_threads=1)
    several = make(members=2).fit(TEXTS, LABELS)
    long = [f"{text} " * 12 for text in POOL]
    found = several.suggest_labels(long, 5)
    np.testing.assert_allclose(
        found["confidence"], several.predict_proba(found["text"]).max(axis=1), atol=1e-6
    )


def test_texts_with_several_labels(make):
    labels = [[label, "long"] if len(text) % 2 else [label] for text, label in zip(
        TEXTS, LABELS, strict=True)]
    clf = make(epochs=4).fit(TEXTS, labels)
    found = clf.suggest_labels(POOL, 5, threshold=1.0)
    assert list(found.columns[2:-2]) == [
        "predicted_labels", "probability_long", "probability_negative", "probability_positive"
    ]
    nearest = np.abs(2 * clf.predict_proba(found["text"]) - 1).min(axis=1)
    np.testing.assert_allclose(found["uncertainty"], 1 - nearest, atol=1e-6)


def test_texts_used_in_training_are_not_suggested(fitted):
    pool = TEXTS[:20] + POOL[:12]
    found = fitted.suggest_labels(pool, 12, threshold=1.0)
    assert found["row"].min() >= 20
    said = "only 12 of the n=14 texts are suggested: of 33 texts, 20 were used in training, and 1 "
    try:
        fitted.set_params(verbose=1)
        with pytest.warns(UserWarning, match=said):
            fitted.suggest_labels([*pool, POOL[0].upper()], 14, threshold=1.0)
    finally:
        fitted.set_params(verbose=0)
    with pytest.raises(ValueError, match="trained on all 60 texts; there is nothing to choose"):
        fitted.suggest_labels(TEXTS, 3)


@pytest.mark.parametrize(("X", "options", "error", "message"), [
    (POOL[:4], {"n": 5}, ValueError, "n=5 is more than the 4 texts of X"),
    ([], {"n": 1}, ValueError, "X has no texts"),
    (POOL, {"n": 0}, ValueError, "n=0: expected a whole number of at least 1"),
    (POOL, {"n": 2.0}, ValueError, "n=2.0: expected a whole number"),
    (POOL, {"n": True}, ValueError, "n=True: expected a whole number"),
    (POOL, {"candidates": 0}, ValueError, "candidates=0: expected a whole number"),
    (POOL, {"threshold": 0.0}, ValueError, "threshold=0.0: expected a number above 0"),
    (POOL, {"threshold": "x"}, ValueError, "threshold='x': expected a number above 0"),
    (pd.Series([*POOL[:2], np.nan], name="text"), {"n": 1}, TypeError,
     "row 2 of column 'text' is NaN"),
    ([*POOL[:2], None], {"n": 1}, TypeError, r"X\[2\] is None"),
], ids=["too many", "empty", "zero", "float", "bool", "candidates", "threshold", "word", "NaN",
        "None"])
def test_bad_input(fitted, X, options, error, message):
    with pytest.raises(error, match=message):
        fitted.suggest_labels(X, **options)
    if "candidates" not in options:
        with pytest.raises(error, match=message):
            bertsent.suggest_labels(X, **options)


def test_before_fit_there_is_no_uncertainty(make):
    with pytest.raises(Exception, match="not fitted"):
        make().suggest_labels(POOL)


# --- the first labels -----------------------------------------------------------------------


def test_the_first_texts_differ(base):
    subjects = ["plot", "actor", "scene", "end"]
    data = pd.Series(
        [f"the {subject} {' '.join([subject] * 6)} word{i}" for subject in subjects
         for i in range(10)],
        index=range(100, 140), name="text",
    )
    how = {"model": base, "max_length": 16, "verbose": 0, "n_threads": 1, "threshold": 1.0}
    found = bertsent.suggest_labels(data, 4, **how)
    assert list(found.columns) == ["row", "text", "represents"]
    assert {text.split()[1] for text in found["text"]} == set(subjects)
    assert found["text"].tolist() == data[found["row"]].tolist()
    assert found["represents"].sum() == 40
    pd.testing.assert_frame_equal(
        found, bertsent.suggest_labels(data, 4, **how | {"n_threads": 2})
    )
    with pytest.warns(UserWarning, match="only 2 of the n=3 texts are suggested: of 3 texts, 1 "):
        bertsent.suggest_labels(["a b", "A b", "c"], 3, **how | {"verbose": 1})


def test_long_texts_are_read_in_windows(base):
    texts = ["the film " * 20 + "good " * n for n in range(0, 40, 5)]
    found = bertsent.suggest_labels(
        texts, 2, model=base, max_length=16, verbose=0, n_threads=1, threshold=1.0
    )
    assert len(found) == 2


# --- the command ----------------------------------------------------------------------------


def run(workshop, *flags):
    return main(["suggest-labels", str(workshop / "model"), str(workshop / "new.csv"), *flags])


def test_the_command_keeps_the_columns(workshop, tmp_path, capsys):
    out = tmp_path / "next.csv"
    assert run(workshop, "--n", "4", "--threshold", "1", "--output", str(out)) == 0
    data = pd.read_csv(workshop / "new.csv", dtype=str)
    found = pd.read_csv(out, dtype={"id": str})
    assert list(found.columns) == [
        *data.columns, "row", "predicted_label", "confidence", "uncertainty", "represents"
    ]
    assert len(found) == 4
    assert found["review"].tolist() == data["review"][found["row"]].tolist()
    assert found["id"].tolist() == data["id"][found["row"]].tolist()
    assert "4 texts to label written to" in capsys.readouterr().err
    assert run(workshop, "--n", "4", "--threshold", "1") == 0
    assert capsys.readouterr().out == out.read_text(encoding="utf-8")
    assert run(workshop, "--n", "2", "--threshold", "1", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 2 and {"row", "review", "uncertainty"} <= set(rows[0])


def test_the_command_chooses_the_first_texts(workshop, capsys):
    given = ["suggest-labels", str(workshop / "tiny"), str(workshop / "new.csv"), "--first"]
    assert main([*given, "--n", "3", "--max-length", "16", "--threshold", "1"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "id,review,sentiment,row,represents" and len(rows) == 3
    assert main([*given, "--inference-long-text", "head"]) == 2
    assert "--inference-long-text cannot be used with --first" in capsys.readouterr().err


def test_errors_of_the_command(workshop, tmp_path, capsys):
    assert run(workshop, "--n", "500") == 1
    assert "--n 500 is more than the 40 texts of the file" in capsys.readouterr().err
    assert run(workshop, "--n", "0") == 2
    assert "a whole number of at least 1" in capsys.readouterr().err
    assert run(workshop, "--text-column", "txt") == 1
    assert "no column 'txt'" in capsys.readouterr().err
    assert main(["suggest-labels", str(workshop / "tiny"), str(workshop / "new.csv")]) == 1
    assert "not a fitted classifier" in capsys.readouterr().err
    taken = tmp_path / "taken.csv"
    pd.DataFrame({"review": POOL[:5], "row": 1}).to_csv(taken, index=False)
    assert main(["suggest-labels", str(workshop / "model"), str(taken), "--n", "1"]) == 1
    assert "has a column 'row' already" in capsys.readouterr().err
    holes = tmp_path / "holes.csv"
    pd.DataFrame({"id": range(3), "review": [POOL[0], None, POOL[3]]}).to_csv(holes, index=False)
    given = ["suggest-labels", str(workshop / "model"), str(holes), "--n", "1"]
    assert main(given) == 1
    assert "row 1 (counted from 0) has an empty cell" in capsys.readouterr().err
    assert main([*given, "--missing", "skip"]) == 0
    assert "1 rows with an empty cell left out" in capsys.readouterr().err
