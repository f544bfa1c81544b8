"""Ordered classes: `BertClassifier(ordinal=True)`."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import reference
from conftest import fails, whole_and_resumed
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.metrics import (
    cohen_kappa_score,
    make_scorer,
    mean_absolute_error,
)
from sklearn.model_selection import cross_val_predict, cross_val_score

import bertsent
from bertsent.classifier.few_shot import _fit_ordered
from bertsent.classifier.parameters import DEFAULTS
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.files import Field
from bertsent.objectives import (
    OrdinalClassification,
    SingleLabelClassification,
    choose_objective,
    objective_to_json,
)
from bertsent.objectives.ordinal import cumulative_slopes, quadratic_kappa
from bertsent.texts import LabelType, class_factors

NAMES = ["worst", "bad", "fine", "good", "best"]
STARS = np.random.default_rng(0).permutation(np.arange(60) % 5 + 1)
WORDS = [NAMES[stars - 1] for stars in STARS]
TEXTS = [f"{word} film {number}" for number, word in enumerate(WORDS)]
LOGITS = np.random.default_rng(1).normal(0, 2, (60, 5)).astype(np.float32)


def categorical(categories=NAMES, ordered=True):
    return pd.Series(pd.Categorical(WORDS, categories=categories, ordered=ordered))


@pytest.fixture(scope="module")
def trained(base):
    """A classifier that has learned the words; tests must not change it."""
    clf = bertsent.BertClassifier(
        base, max_length=16, epochs=25, batch_size=8, learning_rate=3e-3, random_state=0, verbose=0,
        n_threads=1, precision="float32", inference_precision="float32", ordinal=True,
    )
    return clf.fit(TEXTS[:48], STARS[:48], X_val=TEXTS[48:], y_val=STARS[48:])


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "model"
    trained.save_pretrained(directory)
    return directory


@pytest.fixture
def make_ordinal(make):
    return lambda **options: make(**{"ordinal": True} | options)


# --- the order ----------------------------------------------------------------------------

# y, class_order, and the classes.
ORDERS = {
    "numbers": (STARS, None, [1, 2, 3, 4, 5]),
    "small numbers": (STARS.astype(np.uint8), None, [1, 2, 3, 4, 5]),
    "floats": (-STARS.astype(float), None, [-5, -4, -3, -2, -1]),
    "ten after nine": (STARS + 6, None, [7, 8, 9, 10, 11]),
    "gaps": (np.where(STARS == 3, 2, STARS), None, [1, 2, 4, 5]),
    "missing in the middle": (np.where(STARS == 3, 2, STARS), [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
    "numbers in reverse": (STARS, [5, 4, 3, 2, 1], [5, 4, 3, 2, 1]),
    "wider than the labels": (STARS.astype(np.int8), [*range(1, 6), 300], [1, 2, 3, 4, 5, 300]),
    "truth values": (STARS > 2, None, [False, True]),
    "truth values in reverse": (STARS > 2, ["true", "False"], [True, False]),
    "ordered categorical": (categorical(), None, NAMES),
    "a category that no text has": (categorical(["?", *NAMES]), None, ["?", *NAMES]),
    "a part of the categories": (categorical(["?", *NAMES]), NAMES, NAMES),
    "categories without one in the middle": (
        categorical([*NAMES[:2], "?", *NAMES[2:]]), NAMES, NAMES),
    "unordered categorical": (categorical(sorted(NAMES), ordered=False), NAMES, NAMES),
    "strings": (WORDS, NAMES, NAMES),
    "longer strings": (WORDS, [*NAMES, "worthy of awe"], [*NAMES, "worthy of awe"]),
    "an array": (np.array(WORDS), np.array(NAMES), NAMES),
    "numbers for strings": (list(map(str, STARS)), [1, 2, 3, 4, 5], list("12345")),
    "strings for numbers": (STARS, list("12345"), [1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("kind", ORDERS)
def test_classes_have_their_order_and_predictions_the_type_of_y(kind):
    y, order, classes = ORDERS[kind]
    objective, ranks = OrdinalClassification.learn(y, 60, order=order)
    assert objective.classes.tolist() == classes
    assert [classes[rank] for rank in ranks] == list(y)
    predicted = objective.predict(np.eye(len(classes), dtype=np.float32)[ranks] * 30)
    assert list(predicted) == list(y)
    if isinstance(y, pd.Series):
        assert predicted.dtype == y.dtype
    elif isinstance(y, np.ndarray) and kind != "wider than the labels":
        assert predicted.dtype.kind == y.dtype.kind
    assert np.array_equal(objective.encode(y, 60, "y_val"), ranks)
    content = json.loads(json.dumps(objective.to_json()))
    again = OrdinalClassification.from_json(Field(content, "bertsent.json", "labels"))
    assert again.classes.tolist() == classes and again.classes.dtype == objective.classes.dtype


REFUSED = {
    "strings": (WORDS, None, r"ordinal=True needs the order of the classes, but the labels of y "
                r"are strings .*; pass it as class_order=\['bad', 'best', 'fine', '...'\], or an"),
    "two strings": (["a", "b"] * 30, None, r"pass it as class_order=\['a', 'b'\], or an ordered"),
    "numbers as strings": (list(map(str, STARS)), None, "labels of y are strings"),
    "unordered categorical": (categorical(ordered=False), None, "are strings"),
    "one that is not there": (WORDS, NAMES[1:],
                              r"y\[\d+\] is 'worst', which is not in class_order"),
    "another type": (STARS, NAMES, "class_order has 'worst', but the labels are of type int"),
    "no truth value": (STARS > 2, [0, 1], "class_order has 0, but the labels are of type bool"),
    "the same class": (STARS, [1, "1", 2, 3, 4, 5], "class_order has the class 1 twice"),
    "two orders": (categorical(), NAMES[::-1],
                   "class_order is 'best', .* the categories of y are ordered otherwise: 'worst'"),
    "more than the categories": (
        categorical(), [*NAMES, "superb"], r"class_order has 'superb', which is not a category of "
        r"y \('worst', .*'best'\); add it there \(add_categories\), or leave it out"),
    "more than unordered categories": (categorical(ordered=False), [*NAMES, "superb"],
                                       "has 'superb', which is not a category of y"),
    "one class": ([3] * 60, None, r"y contains one class only \(3\); a classifier needs at least"),
    "one class of many": ([3] * 60, [1, 2, 3], "y contains one class only"),
    "fractions": (STARS / 4, None, "Unknown label type: continuous"),
    "another length": (STARS[:5], None, "there are 60 texts and 5 values of y"),
    "several labels": ([["a"], ["b"]] * 30, None,
                       "ordinal=True needs one class for each text, but these texts can have sev"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_labels_without_an_order_are_refused(kind, make_ordinal):
    y, order, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        make_ordinal(class_order=order).fit(TEXTS, y)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"class_order": NAMES, "ordinal": False}, ValueError, "class_order needs ordinal=True"),
        ({"class_order": "bad,good"}, ValueError, "expected None or a list of two or more"),
        ({"class_order": ["bad"]}, TypeError, "class_order=.* is not allowed"),
        ({"class_order": [1, 1]}, TypeError, "is not allowed"),
        ({"class_order": [1, 1.5]}, TypeError, "is not allowed"),
        ({"class_order": np.eye(2)}, ValueError, "is not allowed"),
        ({"ordinal": "yes"}, ValueError, "ordinal='yes' is not allowed; expected True or False"),
        ({"teacher": "somewhere"}, ValueError, "cannot be combined with teacher='somewhere'"),
        ({"label_threshold": 0.3}, ValueError, "this model predicts one class for each text"),
        ({"decision_threshold": 0.3}, ValueError, "decides between two classes, but there are 5"),
        ({"cost_matrix": [[0, 1], [1, 0]]}, ValueError, "has 2 rows, but there are 5 classes"),
        ({"class_weight": {6: 2.0}}, ValueError, "class_weight names 6, which is not a class of y"),
        ({"early_stopping": "rmse", "validation_fraction": 0.2}, ValueError,
         "early_stopping='rmse' is unknown; use .*\"mae\", \"quadratic_kappa\""),
        ({"early_stopping": "mae"}, ValueError, "early_stopping='mae' needs held-out texts"),
        ({"early_stopping": "mae", "ordinal": False, "validation_fraction": 0.2}, ValueError,
         "early_stopping='mae' is unknown"),
    ],
)
def test_invalid_parameters(make_ordinal, options, error, message):
    with pytest.raises(error, match=message):
        make_ordinal(**options).fit(TEXTS, STARS)


def test_a_class_that_no_text_has(make_ordinal):
    y = np.where(STARS == 3, 2, STARS)
    options = {"class_order": [1, 2, 3, 4, 5], "epochs": 6, "class_weight": "balanced",
               "words": True}
    with pytest.warns(UserWarning, match="no text has the class '3', so that the model learns"):
        clf = make_ordinal(**options).fit(TEXTS, y, X_val=TEXTS, y_val=STARS)
    assert clf.classes_.tolist() == [1, 2, 3, 4, 5]
    assert clf.predict_proba(TEXTS).shape == (60, 5)
    found = clf.evaluate(TEXTS, STARS)  # has texts of 3
    assert found.classes["3"]["rows"] == 12
    many, _ = OrdinalClassification.learn([0, 9], 2, order=list(range(10)))
    assert "'5' or 3 more, so" in many.describe_doubts(np.array([0, 9]))[-1]


def test_balanced_weights_do_not_count_classes_without_texts():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        factors = class_factors("balanced", LabelType(np.arange(3)), np.array([0, 0, 0, 2]))
    assert factors[[0, 2]].tolist() == [4 / (2 * 3), 4 / 2] and np.isfinite(factors).all()


def test_other_classifiers_are_as_before():
    kinds = bertsent.BertClassifier._problem_types
    assert choose_objective(kinds, STARS) is SingleLabelClassification
    assert choose_objective(kinds, STARS, ordinal=True) is OrdinalClassification
    objective, _ = SingleLabelClassification.learn(STARS, 60, order=[5, 4, 3, 2, 1])
    assert objective.classes.tolist() == [1, 2, 3, 4, 5]
    assert "problem_type" not in objective_to_json(objective)


# --- loss, predictions and metrics --------------------------------------------------------


def test_losses_are_those_of_the_twin():
    objective, ranks = OrdinalClassification.learn(STARS, 60)
    weights = np.linspace(0.2, 2.0, 60)
    expected = reference.cumulative_cross_entropy(LOGITS, ranks, weights)[0]
    each = objective.pointwise_loss(LOGITS, ranks)
    assert np.average(each, weights=weights) == pytest.approx(expected, rel=1e-12)
    smoothed = objective.record(LOGITS, ranks, 0.2)
    assert np.average(smoothed["loss"], weights=weights) == pytest.approx(
        reference.cumulative_cross_entropy(LOGITS, ranks, weights, 0.2)[0], rel=1e-12
    )
    assert set(smoothed) == set(OrdinalClassification.recorded)


def test_probabilities_follow_from_the_cumulative_ones():
    objective, _ = OrdinalClassification.learn(STARS, 60)
    above, probabilities = objective.above(LOGITS), objective.predict_proba(LOGITS)
    assert above.shape == (60, 4) and (np.diff(above, axis=1) < 0).all()
    cumulative = np.hstack([np.ones((60, 1)), above, np.zeros((60, 1))])
    np.testing.assert_allclose(-np.diff(cumulative, axis=1), probabilities, atol=1e-15)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-15)
    assert np.array_equal(objective.decision_function(LOGITS), LOGITS)


def test_a_text_is_uncertain_if_its_median_nearly_changes():
    objective, _ = OrdinalClassification.learn(STARS, 60)
    logits = np.log(np.float32([
        [0.30, 0.21, 0.49, 1e-30, 1e-30],  # the likeliest class is clear, the median is not
        [0.49, 0.02, 0.49, 1e-30, 1e-30],  # a small change makes it another one
        [1e-30, 1e-30, 1, 1e-30, 1e-30],
        [0.1, 0.1, 0.6, 0.1, 0.1],
    ]))
    found = objective.uncertainty(logits)
    np.testing.assert_allclose(found, [0.98, 0.98, 0.0, 0.4], atol=1e-6)
    costs = 1 - np.eye(5)
    by_cost = objective.under(DEFAULTS | {"ordinal": True, "cost_matrix": costs})
    assert by_cost.uncertainty(logits)[0] == pytest.approx(0.81)


def test_the_median_is_predicted_which_has_the_least_expected_error_in_ranks():
    objective, ranks = OrdinalClassification.learn(STARS, 60)
    distances = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    by_cost = objective.under(DEFAULTS | {"ordinal": True, "cost_matrix": distances})
    assert np.array_equal(objective.answer(LOGITS), by_cost.answer(LOGITS))
    assert not np.array_equal(objective.answer(LOGITS), LOGITS.argmax(axis=1))
    assert objective.decision == {"cost_matrix": distances.tolist()}  # as an export says it
    # Half of the probability is on each of two neighbours: the lower one.
    even = np.log(np.array([[0.5, 0.5, 1e-30, 1e-30, 1e-30]], np.float32))
    assert objective.answer(even).tolist() == [0]
    far = objective.under(DEFAULTS | {"cost_matrix": 1 - np.eye(5)})
    assert far.decision == {"cost_matrix": (1 - np.eye(5)).tolist()}
    assert np.array_equal(far.answer(LOGITS), LOGITS.argmax(axis=1))
    two, _ = OrdinalClassification.learn([0, 1], 2)
    shifted = two.under(DEFAULTS | {"decision_threshold": 0.9})
    logits = np.array([[0, 1], [0, 4]], np.float32)
    assert two.predict(logits).tolist() == [1, 1] and shifted.predict(logits).tolist() == [0, 1]
    assert objective.evaluate(LOGITS, ranks)["mae"] == pytest.approx(
        mean_absolute_error(ranks, objective.answer(LOGITS)))


def test_quadratic_kappa_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, predicted = rng.integers(0, 5, (2, 30))
        expected = cohen_kappa_score(truth, predicted, weights="quadratic")
        assert quadratic_kappa(truth, predicted) == pytest.approx(expected, abs=1e-12)
    assert quadratic_kappa(np.ones(4, int), np.ones(4, int)) == 0.0
    assert quadratic_kappa(np.arange(3), np.arange(3)) == 1.0


def test_it_learns(trained):
    assert trained.classes_.tolist() == [1, 2, 3, 4, 5] and trained.calibration_ is not None
    predicted = trained.predict(TEXTS)
    assert predicted.dtype == STARS.dtype and trained.score(TEXTS, STARS) > 0.9
    row = trained.history_[-1]
    assert list(row) == [
        "epoch", "loss", "accuracy", "tokens", "seconds", "validation_loss", "validation_accuracy",
        "validation_mae", "validation_quadratic_kappa",
    ]
    assert row["validation_mae"] == mean_absolute_error(STARS[48:], predicted[48:])
    logits = trained.decision_function(TEXTS[48:])
    expected = reference.cumulative_cross_entropy(logits, STARS[48:] - 1)[0]
    assert row["validation_loss"] == pytest.approx(expected, rel=1e-5)


def test_the_report(trained, tmp_path):
    found = trained.evaluate(TEXTS, STARS, report=tmp_path / "report.html")
    predicted = trained.predict(TEXTS)
    assert found.mae == mean_absolute_error(STARS, predicted)
    assert found.quadratic_kappa == pytest.approx(
        cohen_kappa_score(STARS, predicted, weights="quadratic"))
    assert found.accuracy == trained.score(TEXTS, STARS)
    shown = str(found)
    assert "mean absolute error in ranks" in shown and "quadratic weighted kappa" in shown
    page = (tmp_path / "report.html").read_text()
    assert "quadratic weighted kappa" in page and "error in ranks" in page
    objective, ranks = OrdinalClassification.learn([1, 2, 3], 3)
    cases = objective.describe_cases(np.float32([[9, 0, 0], [9, 0, 0], [0, 9, 0]]), ranks)
    assert [case["error in ranks"] for case in cases] == ["0", "-1", "-1"]


def test_confidence_abstention_and_calibration(trained):
    clf = bertsent.BertClassifier(**trained.get_params(deep=False))
    clf._fitted = trained._fitted
    decided = clf.predict(TEXTS, abstain=0.9)
    confident = clf.predict_proba(TEXTS)[np.arange(60), clf.predict(TEXTS) - 1] >= 0.9
    assert [label is not None for label in decided] == confident.tolist()
    plain = clf.predict_proba(TEXTS)
    clf.calibrated = True
    logits = clf.decision_function(TEXTS).astype(float) / trained.calibration_
    np.testing.assert_allclose(clf.predict_proba(TEXTS), reference.softmax(logits), rtol=1e-9)
    assert clf.calibration_ == 1.0 or not np.allclose(plain, clf.predict_proba(TEXTS))
    found = clf.suggest_labels([f"fine plot {n}" for n in range(9)], 2)
    assert "uncertainty" in found


# --- training -----------------------------------------------------------------------------

RUNS = {
    "plain": {"label_smoothing": 0.1},
    "windows": {"max_length": 5, "long_text": "windows", "stride": 1},
    "frozen": {"freeze_layers": 1, "freeze_dropout": True, "frozen_cache": "float32"},
    "members": {"members": [{}, {"freeze_layers": 1}]},
    "early stopping": {"validation_fraction": 0.2, "early_stopping": "mae", "eval_every": 3,
                       "words": True},
    "memory": {"memory_limit": "3MB", "accumulate_steps": 2, "class_weight": "balanced"},
    "recorded": {"track_examples": True, "strip_html": True, "pooling": "mean"},
    "few labels": {"few_shot": True, "validation_fraction": 0.2, "early_stopping": "mae",
                   "epochs": 6},
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_is_resumed_to_the_same_bits_on_two_threads(make_ordinal, tmp_path, kind):
    whole, resumed = whole_and_resumed(
        make_ordinal, TEXTS, WORDS, tmp_path / "run", class_order=NAMES, **RUNS[kind]
    )
    if kind != "memory":
        assert np.array_equal(whole.predict_proba(TEXTS), resumed.predict_proba(TEXTS))


def test_a_run_is_not_resumed_in_another_order(make_ordinal, make, tmp_path):
    folder = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 2}
    make_ordinal(class_order=NAMES, **folder).fit(TEXTS, WORDS)
    other = [*NAMES[1:], NAMES[0]]
    folder["resume"] = True
    for clf in (make_ordinal(class_order=other, **folder), make(**folder)):
        with pytest.raises(CheckpointError, match="labels"):
            clf.fit(TEXTS, WORDS)


def test_a_run_is_verified(make_ordinal, tmp_path):
    log = tmp_path / "log.jsonl"
    make_ordinal(log_file=log, hash_every=3, class_order=NAMES).fit(TEXTS, WORDS)
    assert bertsent.verify(log, TEXTS, WORDS, verbose=0)
    with pytest.raises(CheckpointError, match="labels"):
        bertsent.verify(log, TEXTS, WORDS[::-1], verbose=0)


@pytest.mark.parametrize("watched", ["quadratic_kappa", "neg_mean_absolute_error", "function"])
def test_early_stopping_watches_metrics_and_scorers(make_ordinal, watched):
    seen = []

    def score(truth, predicted):
        seen.append(truth[0])
        return -mean_absolute_error(truth, predicted)

    scorer = make_scorer(score) if watched == "function" else watched
    clf = make_ordinal(early_stopping=scorer, epochs=2).fit(
        TEXTS, STARS, X_val=TEXTS[:20], y_val=STARS[:20]
    )
    rows = {row["step"]: row for row in clf.evaluations_}
    assert clf.best_step_ in rows
    if watched == "function":
        assert set(seen) == {STARS[0]}  # labels, not ranks
    elif watched != "quadratic_kappa":
        for row in rows.values():
            assert row["validation_neg_mean_absolute_error"] == -row["validation_mae"]


def test_few_labels_fit_a_head_by_the_loss_of_ordered_classes(make_ordinal, make):
    rows = np.flatnonzero(STARS != 3)  # no text has the class in the middle
    texts, y = [TEXTS[row] for row in rows], STARS[rows]
    options = {"few_shot": True, "epochs": 4, "precision": "float32",
               "inference_precision": "float32"}
    with pytest.warns(UserWarning, match="no text has the class '3'"):
        clf = make_ordinal(**options, class_order=[1, 2, 3, 4, 5]).fit(texts, y)
    plain = make(**options).fit(texts, y)  # has the same encoder
    assert clf.classes_.tolist() == [1, 2, 3, 4, 5]
    found, usual = clf.predict_proba(texts), plain.predict_proba(texts)
    assert found[:, 2].max() < 1e-6
    assert np.abs(found[:, [0, 1, 3, 4]] - usual).max() > 1e-3
    assert clf.score(texts, y) > 0.9


@pytest.mark.parametrize("weighted", [False, True])
def test_the_head_for_few_labels_has_the_least_loss(weighted):
    rng = np.random.default_rng(4)
    features, ranks = rng.normal(size=(60, 3)), STARS - 1
    features[:, 0] += 0.5 * ranks
    weights = rng.uniform(0.1, 3, 60).astype(np.float32) if weighted else None

    def objective(coef, intercept):
        logits, each = features @ coef.T + intercept, np.ones(60) if weights is None else weights
        loss = reference.cumulative_cross_entropy(logits, ranks, each)[0] * each.sum()
        return 10.0 * 4 * loss + 0.5 * (coef**2).sum()

    start = rng.normal(size=(5, 3)), rng.normal(size=5)
    coef, intercept = _fit_ordered(*start, features, ranks, weights)
    least = objective(coef, intercept)
    assert least < objective(*start)
    for _ in range(50):
        change = rng.normal(0, 0.05, (5, 4))
        assert objective(coef + change[:, :3], intercept + change[:, 3]) > least


def test_slopes_are_those_of_the_twin():
    logits, ranks = LOGITS.astype(np.float64), STARS - 1
    expected = reference.cumulative_cross_entropy(logits, ranks, np.ones(60))[1] * 60
    np.testing.assert_allclose(cumulative_slopes(log_softmax(logits, 1), ranks), expected,
                               atol=1e-13)
    far = log_softmax(1e4 * logits, axis=1)
    assert np.isfinite(cumulative_slopes(far, ranks)).all()


def test_a_time_budget_callbacks_and_the_audit(make_ordinal):
    events = []
    clf = make_ordinal(
        time_budget="4s", max_length="auto", epochs=2, validation_fraction=0.2,
        track_examples=True, callbacks=lambda event: events.append(event),
    ).fit(TEXTS, STARS)
    assert clf.plan_ is not None and clf.best_step_ is not None
    assert any("validation_mae" in event for event in events)
    table = clf.audit(TEXTS)
    assert set(table["suggested"].dropna()) <= {1, 2, 3, 4, 5}
    assert len(clf.example_history_) == len(clf.training_rows_) * len(clf.history_)


def test_partial_fit(make_ordinal):
    clf = make_ordinal(learning_rate=3e-3, class_order=NAMES)
    with pytest.raises(ValueError, match="needs classes"):
        clf.partial_fit(TEXTS, WORDS)
    for _ in range(12):
        clf.partial_fit(TEXTS, WORDS, classes=NAMES[::-1])
    assert clf.classes_.tolist() == NAMES and clf.score(TEXTS, WORDS) > 0.4
    with pytest.raises(ValueError, match="one that chooses one of several ordered classes, and"):
        clf.set_params(ordinal=False, class_order=None).partial_fit(TEXTS, WORDS)
    numbers = make_ordinal().partial_fit(TEXTS, STARS, classes=[5, 4, 3, 2, 1, 0])
    assert numbers.classes_.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_warm_start(make_ordinal):
    clf = make_ordinal(warm_start=True).fit(TEXTS, STARS)
    clf.fit(TEXTS, STARS)
    with pytest.raises(ValueError, match="continues with the classes .1, 2, 3, 4, 5., but"):
        clf.set_params(class_order=[5, 4, 3, 2, 1]).fit(TEXTS, STARS)
    with pytest.raises(ValueError, match="that chooses one of several ordered classes, but y is"):
        clf.set_params(ordinal=False, class_order=None).fit(TEXTS, STARS)


def test_tools_of_scikit_learn(make_ordinal):
    clf = make_ordinal(class_order=NAMES)
    assert clone(clf).get_params() == clf.get_params()
    assert np.isfinite(cross_val_score(clf, TEXTS, WORDS, cv=2)).all()
    numbers = make_ordinal()
    scores = cross_val_score(numbers, TEXTS, STARS, cv=2, scoring="neg_mean_absolute_error")
    assert (scores <= 0).all()
    assert cross_val_predict(numbers, TEXTS, STARS, cv=2, method="predict_proba").shape == (60, 5)


# --- saved models -------------------------------------------------------------------------


def test_it_is_saved_and_opened(trained, saved, tmp_path):
    config = json.loads((saved / "config.json").read_text())
    # What transformers knows; the probabilities are the same there.
    assert config["problem_type"] == "single_label_classification"
    assert list(config["id2label"].values()) == ["1", "2", "3", "4", "5"]
    content = json.loads((saved / "bertsent.json").read_text())["labels"]
    # A version that does not know it refuses it, and does not take it for another.
    assert content["problem_type"] == "ordinal_classification"
    again = bertsent.BertClassifier.from_pretrained(saved)
    assert again.ordinal
    assert np.array_equal(again.predict_proba(TEXTS), trained.predict_proba(TEXTS))
    assert np.array_equal(again.predict(TEXTS), trained.predict(TEXTS))
    again.inference_precision = "int8"
    rough = again.predict_proba(TEXTS)
    again.save_pretrained(tmp_path / "int8", int8=True)
    packed = bertsent.BertClassifier.from_pretrained(tmp_path / "int8")
    assert np.array_equal(packed.predict_proba(TEXTS), rough)
    with pytest.raises(CheckpointError, match="'ordinal_classification', not 'regression'"):
        bertsent.BertRegressor.from_pretrained(saved)


def test_the_order_of_strings_is_saved(make_ordinal, tmp_path):
    clf = make_ordinal(class_order=np.array(NAMES)).fit(TEXTS, WORDS)
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.classes_.tolist() == NAMES and list(again.class_order) == NAMES
    assert again.predict(TEXTS).tolist() == clf.predict(TEXTS).tolist()
    # Without bertsent.json, it is a model of one class for each text, with the same probabilities.
    for name in ("bertsent.json", "training_texts.npy"):
        (tmp_path / "model" / name).unlink()
    foreign = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert foreign.classes_.tolist() == sorted(NAMES)
    foreign.set_params(inference_precision="float32", inference_long_text="windows")
    clf.set_params(inference_precision="float32")
    order = [NAMES.index(name) for name in sorted(NAMES)]
    np.testing.assert_allclose(
        foreign.predict_proba(TEXTS), clf.predict_proba(TEXTS)[:, order], atol=1e-6
    )


def test_a_saved_model_is_trained_further_and_teaches_others(saved, make, make_ordinal):
    clf = make_ordinal(model=saved, learning_rate=1e-9).fit(TEXTS, STARS)
    assert clf.score(TEXTS, STARS) > 0.9
    student = make(teacher=str(saved), teacher_weight=1.0, epochs=2).fit(TEXTS, STARS)
    assert student.teachers_[0]["name"] == "model"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": {"dtype": "<i8", "values": [1, 3, 1]}}, "two or more labels, different"),
        ({"classes": {"dtype": "<i8", "values": [1]}}, "two or more labels, different"),
        ({"categories": {"dtype": "<i8", "values": [1, 2]}}, "all classes among them"),
        ({"calibration": -1}, "labels.calibration"),
    ],
)
def test_a_damaged_entry_is_refused(changes, message):
    objective, _ = OrdinalClassification.learn(STARS, 60)
    with pytest.raises(CheckpointError, match=message):
        OrdinalClassification.from_json(
            Field(objective.to_json() | changes, "bertsent.json", "labels")
        )
    unordered = objective.to_json() | {"classes": {"dtype": "<i8", "values": [3, 1]}}
    with pytest.raises(CheckpointError, match="sorted and different"):
        SingleLabelClassification.from_json(Field(unordered, "bertsent.json", "labels"))


def test_it_agrees_with_transformers(trained, saved):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(saved).eval()
    encoded = transformers.AutoTokenizer.from_pretrained(saved)(
        TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = theirs(**encoded).logits.softmax(dim=1).numpy()
    np.testing.assert_allclose(found, trained.predict_proba(TEXTS), atol=2e-5)


# --- files and the command line -------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    table = pd.DataFrame({"text": TEXTS, "stars": STARS, "word": WORDS, "one": 1})
    table.to_csv(folder / "data.csv", index=False)
    return folder / "data.csv"


@pytest.fixture
def flags(base):
    return [
        "--model", str(base), "--max-length", "16", "--epochs", "2", "--batch-size", "8",
        "--text-column", "text", "--verbose", "0",
    ]


def test_files_and_batches(trained, data, tmp_path):
    (batch,) = trained.predict_batches([pd.DataFrame({"text": TEXTS})], "text")
    assert batch["predicted_label"].tolist() == trained.predict(TEXTS).tolist()
    trained.predict_file(data, tmp_path / "out.parquet", text_column="text", chunk_rows=17)
    written = pd.read_parquet(tmp_path / "out.parquet")
    assert written["predicted_label"].tolist() == batch["predicted_label"].tolist()
    np.testing.assert_allclose(written["confidence"], batch["confidence"], atol=1e-6)


WAYS = {
    "numbers": (["--label-column", "stars"], [1, 2, 3, 4, 5], STARS),
    "names": (["--label-column", "word", "--class-order", ", ".join(NAMES)], NAMES, WORDS),
    "JSON": (["--label-column", "word", "--class-order", json.dumps(NAMES)], NAMES, WORDS),
}


@pytest.mark.parametrize("kind", WAYS)
def test_the_command_line(kind, data, flags, tmp_path, capsys):
    labels, classes, y = WAYS[kind]
    model, log = str(tmp_path / "model"), str(tmp_path / "log")
    main(["train", str(data), *flags, *labels, "--ordinal", "--output", model, "--log-file", log,
          "--hash-every", "5", "--validation-fraction", "0.2", "--early-stopping", "mae"])
    out = capsys.readouterr().out
    assert "stratified by class" in out and "mean absolute error in ranks" in out
    assert "--ordinal" in out and (kind == "numbers" or f"--class-order {','.join(NAMES)}" in out)
    history = pd.read_csv(tmp_path / "model" / "history.csv")
    assert {"validation_mae", "validation_quadratic_kappa"} <= set(history.columns)
    assert "mae" in json.loads((tmp_path / "model" / "metrics.json").read_text())
    clf = bertsent.BertClassifier.from_pretrained(model)
    assert clf.ordinal and clf.classes_.tolist() == classes
    main(["evaluate", model, str(data), "--text-column", "text", *labels[:2], "--json"])
    assert json.loads(capsys.readouterr().out)["mae"] == clf.evaluate(TEXTS, y).mae
    main(["predict", model, "--text", "good film"])
    assert capsys.readouterr().out.split("\t")[0] in map(str, classes)
    main(["verify", log])
    assert "all bits agree" in capsys.readouterr().out


def test_a_dry_run_and_a_file_of_test_texts(data, flags, tmp_path, capsys):
    train = ["train", str(data), *flags, "--label-column", "stars", "--ordinal", "--output",
             str(tmp_path / "model")]
    main([*train, "--dry-run", "--class-order", "1,2,3,4,5,6"])
    assert "12 1, 12 2" in capsys.readouterr().out
    main([*train, "--test-data", str(data)])
    assert "quadratic weighted kappa" in capsys.readouterr().out


COMMANDS = {
    "strings": (["--label-column", "word"],
                "--ordinal needs the order of the classes.*pass it as --class-order bad,best,fine"),
    "order alone": (["--label-column", "word", "--class-order", "a,b"], "--class-order needs --or"),
    "incomplete": (["--label-column", "word", "--class-order", "worst,bad,fine,good"],
                   "is 'best', which is not in --class-order"),
    "one class": (["--label-column", "one"], "one class only"),
    "an order of one": (["--label-column", "word", "--class-order", "worst"],
                        "expected two or more different classes from the lowest to the highest"),
    "no JSON": (["--label-column", "word", "--class-order", "[worst"], "expected two or more"),
    "several labels": (["--label-column", "word", "--label-separator", ";"],
                       "--ordinal needs one class for each text"),
    "columns": (["--label-columns", "one,stars"], "--ordinal needs one class for each text"),
    "numbers": (["--label-column", "stars", "--task", "regression"],
                "--ordinal is for --task classification"),
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_what_the_command_refuses(kind, data, flags, tmp_path, capsys):
    labels, message = COMMANDS[kind]
    ordinal = [] if kind == "order alone" else ["--ordinal"]
    fails(["train", str(data), *flags, *labels, *ordinal, "--output", str(tmp_path / "m")])
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
