"""Objectives: a new one is a class and an entry in a table, which everything else uses."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import reference
from test_classifier import make_texts

import bertsent
from bertsent import _core
from bertsent.errors import CheckpointError
from bertsent.files import Field
from bertsent.objectives import (
    OBJECTIVES,
    Objective,
    SingleLabelClassification,
    objective_from_json,
)

TEXTS, LABELS = make_texts(48)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
STARS = np.where(LABELS == "positive", 5.0, 1.0)


# --- a new objective ------------------------------------------------------------------------


@dataclass(frozen=True)
class SquaredError(Objective):
    """A number for each text, scaled to mean 0 and variance 1."""

    mean: float
    scale: float

    problem_type = head_type = "regression"
    loss = "mean_squared_error"
    metric = "absolute_error"
    greater_is_better = False

    @classmethod
    def learn(cls, y, n_texts, order=None):
        objective = cls(float(np.mean(y)), float(np.std(y)))
        return objective, objective.encode(y, n_texts, "y")

    def encode(self, y, n_texts, name):
        if len(y) != n_texts:
            raise ValueError(f"there are {n_texts} texts and {len(y)} values of {name}")
        return ((np.asarray(y, np.float32) - self.mean) / self.scale).astype(np.float32)[:, None]

    @property
    def label_names(self):
        return ["LABEL_0"]

    @classmethod
    def from_label_names(cls, names):
        return cls(0.0, 1.0), np.arange(1)

    def to_json(self):
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_json(cls, settings):
        return cls(settings["mean"].number(), settings["scale"].number())

    def pointwise_loss(self, logits, targets):
        return ((logits - targets) ** 2).mean(axis=1)

    def pointwise_metric(self, logits, targets):
        return self.scale * np.abs(logits - targets)[:, 0]

    def predict(self, logits):
        return self.mean + self.scale * logits[:, 0]


class Regressor(bertsent.BertClassifier):
    """The estimator with that objective."""

    _problem_types = ("regression",)


# --- what it does ---------------------------------------------------------------------------


@pytest.fixture
def make(base, monkeypatch):
    monkeypatch.setitem(OBJECTIVES, "regression", SquaredError)

    def factory(**options):
        settings = {
            "model": base, "max_length": 16, "epochs": 15, "batch_size": 8, "learning_rate": 2e-3,
            "random_state": 0, "verbose": 0, "n_threads": 1, "precision": "float32",
            "inference_precision": "float32",
        }
        return Regressor(**(settings | options))

    return factory


def test_it_is_learned(make, capsys):
    clf = make(verbose=1).fit(TEXTS, STARS, X_val=TEXTS, y_val=STARS)
    predicted = clf.predict(TEXTS)
    assert predicted.shape == (48,) and np.corrcoef(predicted, STARS)[0, 1] > 0.9
    assert clf.classes_ is None
    first, last = clf.history_[0], clf.history_[-1]
    assert list(first) == [
        "epoch", "loss", "absolute_error", "tokens", "seconds", "validation_loss",
        "validation_absolute_error",
    ]
    assert last["loss"] < first["loss"] and last["absolute_error"] < first["absolute_error"]
    assert last["validation_absolute_error"] == pytest.approx(np.abs(predicted - STARS).mean())
    assert clf.score(TEXTS, STARS) == pytest.approx(-np.abs(predicted - STARS).mean())
    squared = np.mean((predicted - STARS) ** 2) / np.var(STARS)
    assert last["validation_loss"] == pytest.approx(squared, 1e-4)
    assert "validation absolute error" in capsys.readouterr().err


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2.0, 48)], ids=["", "weights"])
def test_what_is_recorded_of_each_text_is_the_loss(make, weights):
    clf = make(track_examples=True).fit(TEXTS, STARS, weights)
    table = clf.example_history_
    assert list(table.columns) == ["row", "epoch", "loss"]
    for row, (epoch, of_epoch) in zip(clf.history_, table.groupby("epoch"), strict=True):
        assert row["epoch"] == epoch and of_epoch["row"].tolist() == list(range(48))
        assert row["loss"] == pytest.approx(np.average(of_epoch["loss"], weights=weights), 1e-5)
    with pytest.raises(ValueError, match="class labels"):
        clf.audit(TEXTS)


def test_early_stopping_and_held_out_texts(make):
    clf = make(epochs=30, validation_fraction=0.25, early_stopping=True, patience=1, eval_every=2)
    clf.fit(TEXTS, STARS)
    assert len(clf.validation_rows_) == 12
    losses = {row["step"]: row["validation_loss"] for row in clf.evaluations_}
    assert losses[clf.best_step_] == min(losses.values()) and len(losses) < 30 * 5 // 2


def test_early_stopping_by_its_metric(make, tmp_path):
    clf = make(epochs=30, early_stopping="absolute_error", patience=1, eval_every=2)
    clf.fit(TEXTS, STARS, X_val=TEXTS[:12], y_val=STARS[:12])
    errors = {row["step"]: row["validation_absolute_error"] for row in clf.evaluations_}
    assert errors[clf.best_step_] == min(errors.values()) and len(errors) < 30 * 6 // 2
    found = np.abs(clf.predict(TEXTS[:12]) - STARS[:12]).mean()
    assert found == pytest.approx(errors[clf.best_step_])
    clf.save_pretrained(tmp_path / "saved")
    assert Regressor.from_pretrained(tmp_path / "saved").early_stopping == "absolute_error"


def test_it_is_saved_and_opened(make, tmp_path):
    clf = make(members=2, epochs=1, track_examples=True, class_weight=None).fit(TEXTS, STARS)
    clf.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config["problem_type"] == "regression" and config["id2label"] == {"0": "LABEL_0"}
    again = Regressor.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.predict(TEXTS), clf.predict(TEXTS))
    pd.testing.assert_frame_equal(again.example_history_, clf.example_history_)
    with pytest.raises(CheckpointError, match="problem type 'regression', not 'single_label"):
        bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    for name in ("bertsent.json", "training_texts.npy", "example_history.npz",
                 "member-2.safetensors"):
        (tmp_path / "saved" / name).unlink()
    foreign = Regressor.from_pretrained(tmp_path / "saved")
    np.testing.assert_allclose(
        clf.models_[0].parameters["classifier.weight"],
        foreign.model_.parameters["classifier.weight"],
    )


def test_files_and_batches_get_its_columns(make, tmp_path):
    clf = make(epochs=1).fit(TEXTS, STARS)
    expected = clf.predict(TEXTS)
    (labelled,) = clf.predict_batches([pd.DataFrame({"review": TEXTS})], "review")
    assert list(labelled.columns) == ["review", "prediction"]
    np.testing.assert_allclose(labelled["prediction"], expected, rtol=1e-6)
    pd.DataFrame({"review": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    clf.predict_file(tmp_path / "in.csv", tmp_path / "out.csv")
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written.columns) == ["review", "prediction"]
    np.testing.assert_allclose(written["prediction"], expected, rtol=1e-5)
    taken = pd.DataFrame({"review": TEXTS, "prediction": 0})
    with pytest.raises(ValueError, match="'prediction' already"):
        list(clf.predict_batches([taken], "review"))


def test_a_run_is_resumed_to_the_same_bits(make, tmp_path):
    whole = make(epochs=2).fit(TEXTS, STARS)
    one = {"checkpoint_dir": tmp_path / "run", "epochs": 2}

    def stop(event):
        if event["event"] == "epoch":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(callbacks=stop, **one).fit(TEXTS, STARS)
    resumed = make(resume=True, **one).fit(TEXTS, STARS)
    assert np.array_equal(resumed.predict(TEXTS), whole.predict(TEXTS))
    assert resumed.history_[1]["absolute_error"] == whole.history_[1]["absolute_error"]


def test_a_warm_start_and_weights_of_classes(make):
    clf = make(epochs=6, warm_start=True).fit(TEXTS, STARS)
    before = clf.predict(TEXTS)
    clf.fit(TEXTS, STARS)
    assert np.abs(clf.predict(TEXTS) - STARS).mean() < np.abs(before - STARS).mean()
    with pytest.raises(ValueError, match="class_weight='balanced' needs classes"):
        make(class_weight="balanced").fit(TEXTS, STARS)


def test_what_is_not_measured_cannot_be_watched(make):
    with pytest.raises(ValueError, match='.accuracy.*use "loss", "absolute_error" or'):
        make(early_stopping="accuracy").fit(TEXTS, STARS, X_val=TEXTS, y_val=STARS)


# --- the table ------------------------------------------------------------------------------


@pytest.mark.parametrize("problem_type", OBJECTIVES)
def test_every_objective_has_its_place_and_a_loss_of_the_engine(problem_type):
    objective = OBJECTIVES[problem_type]
    assert objective.problem_type == problem_type
    assert objective.loss in _core.loss_names()
    assert "loss" in objective.recorded and objective.metric != "loss"


@pytest.mark.parametrize("problem_type", OBJECTIVES)
def test_the_loss_of_each_text_is_that_of_the_engine(problem_type):
    kind, rng = OBJECTIVES[problem_type], np.random.default_rng(0)
    objective, _ = kind.from_label_names(list("abcdef")[: kind.least_outputs])
    logits = rng.normal(0, 2, (7, kind.least_outputs)).astype(np.float32)
    targets = rng.integers(0, 2, logits.shape).astype(np.float32)
    if not kind.takes_matrix:
        targets = rng.integers(0, kind.least_outputs, 7)
    losses = [reference.LOSSES[kind.loss](logits[i:i + 1], targets[i:i + 1])[0] for i in range(7)]
    np.testing.assert_allclose(objective.pointwise_loss(logits, targets), losses, rtol=1e-5)


def test_a_problem_type_of_another_version_is_refused():
    with pytest.raises(CheckpointError, match="bertsent.json: labels.problem_type .*'ranking'"):
        objective_from_json(Field({"problem_type": "ranking"}, "bertsent.json", "labels"))


def test_outputs_of_another_program_are_sorted_by_name():
    objective, order = SingleLabelClassification.from_label_names(["b", "c", "a"])
    assert objective.label_names == ["a", "b", "c"] and order.tolist() == [2, 0, 1]
