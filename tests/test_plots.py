"""The plots: what they compute, what is drawn, and what they refuse."""

import builtins
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from test_classifier import make_texts

from bertsent import (
    AuditDisplay,
    BertClassifier,
    BertRegressor,
    HistoryDisplay,
    LengthDisplay,
    ThresholdDisplay,
)
from bertsent.classifier import Predictor
from bertsent.errors import CheckpointError
from bertsent.system import COLOURS, make_axes

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

TEXTS, LABELS = make_texts(80)
# Of different lengths; every second one is longer than what the models read.
TEXTS = [" ".join([text] * (1 + 3 * (number % 2))) for number, text in enumerate(TEXTS)]
SETS = [[["good"], ["good", "long"], ["long"]][number % 3] for number in range(len(TEXTS))]
NUMBERS = np.array([len(text) for text in TEXTS], dtype=float)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted(base):
    return maker(
        base, epochs=3, eval_every=3, validation_fraction=0.2, track_examples=True,
        inference_long_text=None, early_stopping=True, patience=99,
    )().fit(TEXTS, LABELS)


@pytest.fixture(scope="module")
def multi(base):
    return maker(base)().fit(TEXTS, SETS)


@pytest.fixture(scope="module")
def regressor(base):
    return BertRegressor(base, max_length=16, epochs=2, verbose=0, random_state=0).fit(
        TEXTS, NUMBERS
    )


def line(ax, label):
    return next(each for each in ax.lines if each.get_label() == label)


def draw(figure):
    """Draw a figure; matplotlib warns of glyphs and layouts that fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()


# --- history ------------------------------------------------------------------------------


def test_a_log_has_every_step(base, tmp_path):
    log = tmp_path / "run.jsonl"
    how = {"epochs": 2, "validation_fraction": 0.2, "early_stopping": True, "log_file": log}
    maker(base, **how)().fit(TEXTS[:40], LABELS[:40])
    clf = maker(base, **how)().fit(TEXTS, LABELS)  # the last run in the log
    told = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [row["loss"] for row in told if row["event"] == "step"][-16:]
    display = HistoryDisplay.from_log(log, name="a run")
    assert display.metrics_[:2] == ["loss", "accuracy"] and display.ax_.get_xlabel() == "step"
    assert display.history == [
        row | {"step": 8 * row["epoch"]} for row in clf.history_
    ] and display.evaluations == clf.evaluations_
    assert display.best_step == clf.best_step_ and "kept" in {
        each.get_label() for each in display.ax_.lines
    }
    steps = line(display.ax_, "each step")
    assert steps.get_ydata().tolist() == losses and steps.get_xdata().tolist() == [*range(1, 17)]
    assert line(display.ax_, "training").get_xdata().tolist() == [8.0, 16.0]
    draw(display.figure_)
    rates = HistoryDisplay.from_log(log, metrics="learning_rate", x="epoch").ax_
    np.testing.assert_allclose(line(rates, "each step").get_xdata(), np.arange(1, 17) / 8)
    draw(rates.figure)


def test_a_log_of_members_and_of_a_run_under_way(base, tmp_path):
    log = tmp_path / "run.jsonl"
    maker(base, epochs=1, members=2, log_file=log)().fit(TEXTS, LABELS)
    display = HistoryDisplay.from_log(log)
    assert display.best_step == [None, None] and len(display.ax_.lines) == 4
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:5]) + '\n{"event": "st')
    display = HistoryDisplay.from_log(log)
    assert len(display.steps) == 4 and display.history == []
    draw(display.figure_)
    for content, message in (
        (lines[0], "has no steps"), ("[]", "line 1"), ('{"event": "step", "epoch": 1}', "step"),
        ('{"event": "step", "epoch": 1, "step": 1, "loss": "<b>"}', "loss"),
    ):
        log.write_text(content + "\n")
        with pytest.raises(CheckpointError, match=message):
            HistoryDisplay.from_log(log)
    with pytest.raises(FileNotFoundError):
        HistoryDisplay.from_log(tmp_path / "none")


def test_a_log_of_calls_whose_epochs_have_different_lengths(base, tmp_path):
    log = tmp_path / "run.jsonl"
    clf = maker(base, epochs=1, log_file=log)()
    for count in (40, 8, 16):
        clf.partial_fit(TEXTS[:count], LABELS[:count], classes=sorted(set(LABELS)))
    by_step = HistoryDisplay.from_log(log).ax_
    assert line(by_step, "training").get_xdata().tolist() == [5, 6, 8]
    assert line(by_step, "each step").get_xdata().tolist() == [*range(1, 9)]
    by_epoch = HistoryDisplay.from_log(log, x="epoch").ax_
    assert line(by_epoch, "training").get_xdata().tolist() == [1, 2, 3]
    np.testing.assert_allclose(
        line(by_epoch, "each step").get_xdata(), [0.2, 0.4, 0.6, 0.8, 1, 2, 2.5, 3]
    )
    log.write_text("\n".join(log.read_text().splitlines()[:-3]) + "\n")  # after one of two steps
    under_way = line(HistoryDisplay.from_log(log, x="epoch").ax_, "each step")
    np.testing.assert_allclose(under_way.get_xdata(), [0.2, 0.4, 0.6, 0.8, 1, 2, 2.5])


def test_a_log_of_a_run_in_its_first_epoch(base, tmp_path):
    log = tmp_path / "run.jsonl"
    maker(base, epochs=2, log_file=log)().fit(TEXTS[:48], LABELS[:48])
    log.write_text("\n".join(log.read_text().splitlines()[:3]) + "\n")
    steps = line(HistoryDisplay.from_log(log, x="epoch").ax_, "each step")
    np.testing.assert_allclose(steps.get_xdata(), [1 / 6, 1 / 3])


def write_log(path, *events):
    """Write events as `_Log` does; each is (event, member, further items)."""
    path.write_text("".join(
        json.dumps({"event": event, "member": member} | items) + "\n"
        for event, member, items in events
    ))


def test_a_log_of_members_that_begin_again(tmp_path):
    log = tmp_path / "run.jsonl"

    def start(member, step=0):
        return "start", member, {"step": step, "steps": 4, "epochs": 2}

    def step(member, number, loss):
        return "step", member, {"step": number, "epoch": (number + 1) // 2, "loss": loss}

    def end(member, best):
        return "end", member, {"step": 4, "outcome": "finished", "best_step": best}

    write_log(
        log, start(1), step(1, 1, 0.9), end(1, 1), start(2), step(2, 1, 0.8), step(2, 2, 0.7),
        end(2, 2), start(2), step(2, 1, 0.6),
    )
    display = HistoryDisplay.from_log(log)
    assert [(row["member"], row["loss"]) for row in display.steps] == [(1, 0.9), (2, 0.6)]
    assert display.best_step == [1, None]  # what was kept of a member is not known until it ends
    write_log(log, start(1), step(1, 1, 0.9), end(1, 1), start(1, 1), step(1, 2, 0.8))
    assert HistoryDisplay.from_log(log).best_step == [None]


def test_what_was_kept_is_that_of_the_member():
    rows = [{"member": 2, "epoch": 1, "step": step, "loss": 1.0} for step in (1, 2, 3)]
    display = HistoryDisplay([], steps=rows, best_step=[1, 3]).plot(x="step")
    assert line(display.ax_, "kept").get_xdata()[0] == 3


def test_a_plot_of_version_0_1_0_can_be_shown(fitted):
    display = HistoryDisplay(fitted.history_, fitted.evaluations_)
    old = object.__new__(HistoryDisplay)
    new = {"steps", "planned"}
    vars(old).update({name: value for name, value in vars(display).items() if name not in new})
    old.plot()
    assert line(old.ax_, "training").get_xdata().tolist() == [1, 2, 3]


def test_history_by_epoch(fitted):
    display = HistoryDisplay.from_estimator(fitted, name="a run")
    assert display.metrics_ == ["loss", "accuracy"] and len(display.axes_) == 2
    assert display.ax_ is display.axes_[0] and display.figure_ is display.ax_.figure
    training, held_out = (line(display.ax_, name) for name in ("training", "held out"))
    assert training.get_xdata().tolist() == [1, 2, 3]
    assert training.get_ydata().tolist() == [row["loss"] for row in fitted.history_]
    assert held_out.get_ydata().tolist() == [r["validation_loss"] for r in fitted.evaluations_]
    ends = [row["step"] for row in fitted.evaluations_ if row["step"] % 8 == 0]
    assert ends == [8, 16, 24] and held_out.get_xdata()[-1] == 3.0
    np.testing.assert_allclose(
        held_out.get_xdata(), [row["step"] / 8 for row in fitted.evaluations_]
    )
    assert line(display.ax_, "kept").get_xdata()[0] == fitted.best_step_ / 8
    assert display.axes_[1].get_ylabel() == "accuracy"
    assert display.figure_.get_suptitle() == "a run"
    draw(display.figure_)


def test_history_by_step(fitted):
    _, ax = plt.subplots()
    display = HistoryDisplay.from_estimator(fitted, x="step", ax=ax)
    assert display.ax_ is ax and len(display.axes_) == 1
    assert line(ax, "training").get_xdata().tolist() == [8, 16, 24]
    assert line(ax, "held out").get_xdata().tolist() == [r["step"] for r in fitted.evaluations_]
    assert ax.get_xlabel() == "step" and ax.get_ylabel() == "loss"


def test_history_of_members_and_of_an_unfinished_epoch():
    history = [
        {"member": 1, "epoch": 1, "loss": 0.5, "tokens": 9, "seconds": 1.0},
        {"member": 1, "epoch": 2, "loss": 0.4, "part": 0.5, "tokens": 9, "seconds": 1.0},
        {"member": 2, "epoch": 1, "loss": 0.3, "tokens": 9, "seconds": 1.0},
    ]
    display = HistoryDisplay(history, best_step=[4, None]).plot()
    assert display.metrics_ == ["loss"] and len(display.axes_) == 1
    assert [each.get_xdata().tolist() for each in display.ax_.lines] == [[1, 1.5], [1]]
    # One entry of the legend for both members.
    assert [t.get_text() for t in display.ax_.get_legend().get_texts()] == ["training"]


def test_history_of_an_epoch_that_is_the_first_and_unfinished():
    history = [{"epoch": 1, "part": 0.25, "loss": 0.5, "validation_loss": 0.6}]
    evaluations = [{"step": 5, "epoch": 1, "validation_loss": 0.6}]
    display = HistoryDisplay(history, evaluations, best_step=5).plot(x="step")
    assert line(display.ax_, "training").get_xdata().tolist() == [5]
    assert line(display.ax_, "held out").get_xdata().tolist() == [5]
    only_history = HistoryDisplay(history).plot()
    assert line(only_history.ax_, "held out").get_xdata().tolist() == [0.25]


def test_history_of_other_tasks(multi, regressor):
    assert HistoryDisplay.from_estimator(multi).metrics_ == ["loss", "f1"]
    display = HistoryDisplay.from_estimator(regressor, metrics=["mae"])
    assert line(display.ax_, "training").get_ydata().tolist() == [
        row["mae"] for row in regressor.history_
    ]


def test_history_refuses_what_is_not_there(fitted, regressor):
    with pytest.raises(ValueError, match="metrics='f2'.*'loss', 'accuracy'"):
        HistoryDisplay.from_estimator(fitted, metrics="f2")
    with pytest.raises(ValueError, match="metrics=.*names among"):
        HistoryDisplay.from_estimator(fitted, metrics=[])
    with pytest.raises(ValueError, match="x='hour'"):
        HistoryDisplay.from_estimator(fitted, x="hour")
    with pytest.raises(ValueError, match="x='step' needs held-out texts"):
        HistoryDisplay.from_estimator(regressor, x="step")
    with pytest.raises(ValueError, match="history is empty"):
        HistoryDisplay([]).plot()
    with pytest.raises(NotFittedError):
        HistoryDisplay.from_estimator(BertClassifier())
    with pytest.raises(ValueError, match="ax has 3 axes, but this plot needs 2"):
        HistoryDisplay.from_estimator(
            fitted, metrics=["loss", "accuracy"], ax=plt.subplots(1, 3)[1]
        )


# --- lengths ------------------------------------------------------------------------------


def test_lengths(fitted):
    display = LengthDisplay.from_estimator(fitted, pd.Series(TEXTS), pd.Series(LABELS))
    counted = fitted.tokens_read(TEXTS)
    assert np.array_equal(display.tokens, counted["tokens"])
    assert np.array_equal(display.tokens_read, counted["tokens_read"])
    assert (display.tokens_read < display.tokens).any()
    assert np.array_equal(display.values, fitted.predict(TEXTS) == LABELS)
    above, below = display.axes_
    assert sum(bar.get_height() for bar in above.patches) == len(TEXTS)
    whole = (display.tokens_read == display.tokens).mean()
    shown = [text.get_text() for text in above.get_legend().get_texts()]
    assert shown == [f"read as a whole ({whole:.0%})", f"read in part ({1 - whole:.0%})"]
    assert below.get_ylabel() == "accuracy" and len(below.lines[0].get_xdata()) == 4
    assert above.lines[0].get_xdata()[0] == 16
    draw(display.figure_)


def test_lengths_without_labels_have_one_plot(fitted):
    display = LengthDisplay.from_estimator(fitted, ["good", "good film " * 30])
    assert display.values is None and len(display.axes_) == 1
    draw(display.figure_)
    _, ax = plt.subplots()
    assert LengthDisplay.from_estimator(fitted, TEXTS, LABELS, ax=ax).axes_.tolist() == [ax]


def test_lengths_of_texts_that_are_all_alike_and_of_empty_ones(fitted):
    draw(LengthDisplay.from_estimator(fitted, ["good"] * 3, ["positive"] * 3).figure_)
    draw(LengthDisplay.from_estimator(fitted, ["", ""], ["positive"] * 2).figure_)
    with pytest.raises(ValueError, match="X is empty"):
        LengthDisplay.from_estimator(fitted, [])


def test_lengths_of_other_tasks(base, multi, regressor):
    display = LengthDisplay.from_estimator(multi, TEXTS, SETS)
    assert display.metric == "f1" and ((0 <= display.values) & (display.values <= 1)).all()
    display = LengthDisplay.from_estimator(regressor, TEXTS, NUMBERS)
    np.testing.assert_allclose(
        display.values, np.abs(regressor.predict(TEXTS) - NUMBERS), rtol=1e-5
    )
    means, bars = display.axes_[1].containers[0][0], display.axes_[1].containers[0][2]
    low, high = bars[0].get_segments()[0][:, 1]
    assert low < means.get_ydata()[0] < high
    pairs = [(text, "good") for text in TEXTS]
    clf = maker(base, members=[{"max_length": 16}, {"max_length": 24}])().fit(pairs, LABELS)
    display = LengthDisplay.from_estimator(clf, pairs, LABELS)
    assert display.max_length == 16 and len(display.tokens) == len(TEXTS)


# --- thresholds ---------------------------------------------------------------------------


def test_thresholds_are_those_of_the_definitions():
    rng = np.random.default_rng(0)
    truth, proba = rng.integers(0, 2, 60), rng.integers(0, 20, 60) / 20
    costs = np.array([[0.5, 2.0], [7.0, -1.0]])
    display = ThresholdDisplay.from_predictions(truth, proba, cost_matrix=costs)
    assert np.array_equal(display.thresholds[:-1], np.unique(proba))
    assert np.isnan(display.precision[-1]) and display.recall[-1] == 0
    assert display.cost[-1] == pytest.approx(costs[truth, 0].mean())
    for number, threshold in enumerate(display.thresholds[:-1]):
        decided = (proba >= threshold).astype(int)
        assert display.precision[number] == pytest.approx(truth[decided == 1].mean())
        assert display.recall[number] == pytest.approx(decided[truth == 1].mean())
        assert display.cost[number] == pytest.approx(costs[truth, decided].mean())
    assert display.best_threshold == display.thresholds[display.cost.argmin()]
    without = ThresholdDisplay.from_predictions(truth.astype(bool), proba)
    assert without.best_threshold == without.thresholds[without.f1.argmax()]
    assert without.cost is None and without.cost_ax_ is None
    draw(display.figure_)


@pytest.mark.parametrize("largest", [0.3, 0.9, np.float32(0.7), 1.0])
def test_never_to_decide_yes_can_cost_least(largest):
    display = ThresholdDisplay.from_predictions(
        [0, 0, 1], [largest, 0.2, 0.1], cost_matrix=[[0, 10], [1, 0]]
    )
    assert display.cost.min() == display.cost[-1] == pytest.approx(1 / 3)
    # Also in the precision of predictions.
    assert np.float32(display.best_threshold) > np.float32(largest)
    assert display.best_threshold == pytest.approx(largest)
    shown = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert "lowest cost: never" in shown
    draw(display.figure_)


def test_thresholds_are_scored_only_if_all_else_is_right(fitted, multi, monkeypatch):
    def score(self, X, report=None):
        raise AssertionError("the texts were scored")

    monkeypatch.setattr(Predictor, "logits", score)
    for error, y, given in (
        ("cost_matrix: expected two rows", LABELS, {"cost_matrix": [[1, 2, 3]]}),
        ("'neutral'", ["neutral"] * 80, {}),
        ("y", LABELS[:-1], {}),
        ("y has no text of the class", ["negative"] * 80, {}),
        ("label: expected one label", LABELS, {"label": np.array(["positive", "negative"])}),
    ):
        with pytest.raises(ValueError, match=error):
            ThresholdDisplay.from_estimator(fitted, TEXTS, y, **given)
    with pytest.raises(ValueError, match="label: expected one label"):
        ThresholdDisplay.from_estimator(multi, TEXTS, SETS, label=["good", "long"])


def test_thresholds_of_a_classifier(fitted):
    fitted.set_params(decision_threshold=0.7)
    display = ThresholdDisplay.from_estimator(fitted, TEXTS, LABELS)
    assert display.threshold == 0.7 and display.name == "positive"
    decided = fitted.predict(TEXTS) == "positive"
    nearest = np.searchsorted(display.thresholds, 0.7)
    expected = decided[LABELS == "positive"].mean()
    found = display.recall[nearest] if nearest < len(display.recall) else 0.0
    assert found == pytest.approx(expected)
    fitted.set_params(decision_threshold=0.5, cost_matrix=[[0, 1], [3, 0]])
    display = ThresholdDisplay.from_estimator(fitted, TEXTS, LABELS, label="positive")
    assert display.threshold == 0.25 and display.cost is not None
    assert "threshold of the probability of 'positive'" in display.ax_.get_xlabel()
    draw(display.figure_)
    fitted.set_params(cost_matrix=[[0, 0], [0, 0]])
    assert ThresholdDisplay.from_estimator(fitted, TEXTS, LABELS).threshold is None
    fitted.set_params(cost_matrix=None)


def test_thresholds_of_labels(multi):
    display = ThresholdDisplay.from_estimator(multi, TEXTS, SETS, label="long")
    assert display.name == "long" and display.threshold == multi.thresholds_[1]
    assert display.thresholds.tolist() == np.unique(multi.predict_proba(TEXTS)[:, 1]).tolist()
    with pytest.raises(ValueError, match="label=None: expected the label .* good, long"):
        ThresholdDisplay.from_estimator(multi, TEXTS, SETS)


def test_thresholds_refuse_other_decisions(base, fitted, regressor):
    three = maker(base)().fit(TEXTS, np.arange(80) % 3)
    with pytest.raises(ValueError, match="between two classes, but the model has 3: 0, 1, 2"):
        ThresholdDisplay.from_estimator(three, TEXTS, np.arange(80) % 3)
    with pytest.raises(TypeError, match="predicts numbers.*PredictionErrorDisplay"):
        ThresholdDisplay.from_estimator(regressor, TEXTS, NUMBERS)
    with pytest.raises(ValueError, match="label='negative'.*'positive'"):
        ThresholdDisplay.from_estimator(fitted, TEXTS, LABELS, label="negative")


@pytest.mark.parametrize(("truth", "proba", "costs", "message"), [
    ([], [], None, "at least one text"),
    ([0, 1], [0.5], None, "shape"),
    ([[0, 1]], [[0.5, 0.5]], None, "shape"),
    ([0, 2], [0.5, 0.5], None, "y_true: expected only 0 and 1"),
    ([0, 1], [0.5, 1.5], None, "y_proba: expected only"),
    ([0, 1], [0.5, np.nan], None, "y_proba: expected only"),
    ([0, 0], [0.5, 0.5], None, "no text of the class"),
    ([0, 1], [0.5, 0.5], [[1, 2, 3]], "cost_matrix: expected two rows"),
    ([0, 1], [0.5, 0.5], [[1, 2], [3, np.inf]], "cost_matrix: expected two rows"),
])
def test_thresholds_refuse_bad_arrays(truth, proba, costs, message):
    with pytest.raises(ValueError, match=message):
        ThresholdDisplay.from_predictions(truth, proba, cost_matrix=costs)


# --- the audit ----------------------------------------------------------------------------


def test_audit(fitted):
    series = pd.Series(TEXTS, index=[f"row {number}" for number in range(80)])
    display = AuditDisplay.from_estimator(fitted, series)
    found = fitted.audit(TEXTS)
    pd.testing.assert_frame_equal(display.findings, found)
    leaks = int((found["kind"] == "leak").sum())
    assert leaks and display.counts["leaks into held-out texts"] == leaks
    history = fitted.example_history_
    first = history[history["row"] == display.data_map.index[0]]["probability"]
    assert display.data_map["confidence"].iloc[0] == pytest.approx(first.mean())
    assert display.data_map["variability"].iloc[0] == pytest.approx(first.std(ddof=0))
    dots = sum(len(each.get_xdata()) for each in display.axes_[1].lines)
    assert dots == len(fitted.training_rows_)
    draw(display.figure_)
    _, ax = plt.subplots()
    assert AuditDisplay.from_audit(found, ax=ax).ax_ is ax
    with pytest.raises(ValueError, match="findings has rows that are not in example_history"):
        AuditDisplay.from_audit(fitted.audit(series), history)


def test_audit_counts_what_is_doubted():
    rows = [
        ("label", 0, "a", "b", 0.9, False), ("label", 1, "a", "b", 0.8, False),
        ("label", 2, "b", "b", 0.7, True), ("label", 3, "b", "b", 0.2, False),
        ("duplicate", 2, "b", None, 1.0, True), ("duplicate", 3, "b", None, 1.0, False),
    ]
    found = pd.DataFrame(
        rows, columns=["kind", "row", "label", "suggested", "score", "disagree"]
    )
    display = AuditDisplay.from_audit(found)
    assert display.counts.to_dict() == {"a → b": 2, "b ?": 1, "duplicates that disagree": 1}
    assert display.data_map is None and len(display.axes_) == 1
    draw(display.figure_)
    nothing = AuditDisplay.from_audit(found[:0])
    assert not len(nothing.counts) and nothing.ax_.get_xlabel() == "nothing was found"


def test_audit_refuses_what_was_not_tracked(multi, regressor):
    with pytest.raises(ValueError, match="track_examples"):
        AuditDisplay.from_estimator(multi)
    with pytest.raises(TypeError, match="predicts numbers"):
        AuditDisplay.from_estimator(regressor)


# --- what all have in common --------------------------------------------------------------


@pytest.mark.parametrize("name", ["$a_$", "$5 or $10"])
def test_names_with_dollar_signs_are_no_formulas(name):
    display = ThresholdDisplay.from_predictions([0, 1], [0.2, 0.8], name=name)
    draw(display.figure_)
    texts = [display.ax_.xaxis.label]
    rows = [("label", 0, name, "b", 0.9, False)]
    columns = ["kind", "row", "label", "suggested", "score", "disagree"]
    display = AuditDisplay.from_audit(pd.DataFrame(rows, columns=columns))
    draw(display.figure_)
    texts += display.ax_.get_yticklabels()
    display = HistoryDisplay([{"epoch": 1, name: 0.5}], estimator_name=name).plot()
    draw(display.figure_)
    texts += [display.ax_.yaxis.label, display.figure_._suptitle]
    display = LengthDisplay([3, 4], [3, 4], [1, 0], metric=name).plot()
    draw(display.figure_)
    texts.append(display.axes_[1].yaxis.label)
    assert len(texts) == 5
    for text in texts:
        assert name.replace("_", " ") in text.get_text().replace("_", " ")
        assert not text.get_parse_math()


@pytest.mark.parametrize("plot", [
    lambda estimator: HistoryDisplay.from_estimator(estimator),
    lambda estimator: LengthDisplay.from_estimator(estimator, TEXTS),
    lambda estimator: ThresholdDisplay.from_estimator(estimator, TEXTS, LABELS),
    lambda estimator: AuditDisplay.from_estimator(estimator, TEXTS),
])
def test_other_estimators_are_refused(fitted, plot):
    expected = "expected a fitted BertClassifier or BertRegressor, not "
    ready = LogisticRegression().fit([[0], [1]], [0, 1])
    with pytest.raises(TypeError, match=expected + "LogisticRegression$"):
        plot(ready)
    with pytest.raises(TypeError, match=expected + r"Pipeline; pass pipeline\[-1\]"):
        plot(make_pipeline(fitted))
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2)
    search.fit([[0], [1], [0], [1]], [0, 1, 0, 1])
    with pytest.raises(TypeError, match=expected + "GridSearchCV; pass its best_estimator_"):
        plot(search)
    with pytest.raises(NotFittedError):
        plot(BertClassifier())


def luminance(colour):
    values = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_colours_stand_out_in_light_and_dark_styles():
    for colour in COLOURS:
        own = luminance(colour)
        assert (1.05 / (own + 0.05)) > 3 and ((own + 0.05) / 0.05) > 3


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_styles(fitted, style):
    with plt.style.context(style):
        display = HistoryDisplay.from_estimator(fitted)
        draw(display.figure_)
        assert display.figure_.get_facecolor() == matplotlib.colors.to_rgba(
            matplotlib.rcParams["figure.facecolor"]
        )


def test_without_matplotlib_one_line_says_what_to_install(fitted, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for plot in (
        lambda: HistoryDisplay.from_estimator(fitted),
        lambda: LengthDisplay.from_estimator(fitted, TEXTS),
        lambda: ThresholdDisplay.from_predictions([0, 1], [0.1, 0.9]),
        lambda: make_axes(),
    ):
        with pytest.raises(ImportError, match=r"pip install 'bertsent\[plot\]'"):
            plot()


def test_plots_of_scikit_learn_take_texts(fitted, regressor):
    from sklearn.calibration import CalibrationDisplay
    from sklearn.metrics import (
        ConfusionMatrixDisplay,
        PrecisionRecallDisplay,
        PredictionErrorDisplay,
        RocCurveDisplay,
    )

    frame = pd.DataFrame({"text": TEXTS})
    matrix = ConfusionMatrixDisplay.from_estimator(fitted, frame["text"], LABELS)
    assert matrix.confusion_matrix.sum() == len(TEXTS)
    saved = fitted.evaluate(TEXTS, LABELS).confusion_matrix
    assert matrix.confusion_matrix.tolist() == saved["rows_true_columns_predicted"]
    for display in (PrecisionRecallDisplay, RocCurveDisplay, CalibrationDisplay):
        draw(display.from_estimator(fitted, frame["text"], LABELS).figure_)
    errors = PredictionErrorDisplay.from_estimator(regressor, TEXTS, NUMBERS)
    np.testing.assert_allclose(errors.y_pred, regressor.predict(TEXTS))
