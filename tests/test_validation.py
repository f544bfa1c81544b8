"""Held-out texts: which they are, when they are scored, and early stopping."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from test_classifier import flat, make_texts
from test_cli import SMALL
from test_training import FakeModel, make_examples

import bertsent
from bertsent.cli import main
from bertsent.training.evaluation import Best
from bertsent.training.loop import train
from bertsent.training.options import TrainingOptions
from bertsent.training.state import State


@pytest.fixture
def make(base):
    return maker(base, epochs=3)


def test_no_held_out_texts_are_an_error(make):
    with pytest.raises(ValueError, match="X_val is empty; leave it out or pass some texts"):
        make().fit(*make_texts(8), X_val=[], y_val=[])


class Scripted(FakeModel):
    """A model whose weights count its steps, and whose validation losses are given."""

    def __init__(self, margins):
        super().__init__()
        self.margins = list(margins)
        self.scored_at = []
        engine = self._core
        plain = engine.train_step

        def train_step(*args, **options):
            self._flat += 1
            return plain(*args, **options)

        engine.train_step = train_step
        engine.touch = lambda: None

    def score_packed(self, ids, offsets, n_threads, precision, token_type_ids, chunk_tokens):
        self.scored_at.append(int(self._flat[0]))
        logits = np.zeros((len(offsets) - 1, 2), dtype=np.float32)
        # All labels are 1: the wider the margin, the lower the loss.
        logits[:, 1] = self.margins.pop(0)
        return logits


def run(model, *, best=None, n=12, **settings):
    """Train on 12 texts, 3 steps an epoch, with held-out texts of class 1."""
    held_out = make_examples(4)
    held_out.targets[:] = 1
    state = State.fresh(model, best)
    recipe = TrainingOptions(**({"epochs": 4, "batch_size": 4, "learning_rate": 1e-3} | settings))
    train(model, make_examples(n), recipe, n_threads=1, validation=held_out, state=state)
    return state


def test_evaluation_every_n_steps_and_after_every_epoch():
    model = Scripted(range(20))
    state = run(model, epochs=2, eval_every=2)
    # Steps 2, 4 and 6 by eval_every; 3 and 6 end an epoch. Step 6 is scored once.
    assert model.scored_at == [2, 3, 4, 6]
    assert [row["step"] for row in state.evaluations] == [2, 3, 4, 6]
    assert [row["epoch"] for row in state.evaluations] == [1, 1, 2, 2]
    assert state.history[0]["validation_loss"] == state.evaluations[1]["validation_loss"]
    assert state.history[1]["validation_loss"] == state.evaluations[3]["validation_loss"]


def test_stops_when_patience_ends_and_takes_the_best_weights():
    model = Scripted([0.0, 2.0, 1.0, 1.5, 3.0])
    state = run(model, best=Best("loss", 2), epochs=5)
    assert [row["epoch"] for row in state.history] == [1, 2, 3, 4]
    assert state.best.step == 6
    assert (model._flat == 6).all()
    assert state.stopped and state.finished


def test_stops_within_an_epoch():
    model = Scripted([5.0, 1.0, 1.0, 1.0])
    state = run(model, best=Best("loss", 2), eval_every=1, n=40)
    assert [row["step"] for row in state.evaluations] == [1, 2, 3]
    assert len(state.history) == 1 and state.history[0]["epoch"] == 1
    assert (model._flat == 1).all()


def test_takes_the_best_weights_even_if_all_epochs_are_run():
    model = Scripted([0.0, 2.0, 1.0])
    state = run(model, best=Best("loss", 9), epochs=3)
    assert not state.stopped and state.finished and len(state.history) == 3
    assert (model._flat == 6).all()


def test_without_early_stopping_the_last_weights_stay():
    model = Scripted([2.0, 1.0, 0.0])
    run(model, epochs=3)
    assert (model._flat == 9).all()


def test_best_by_accuracy_and_the_first_of_equals():
    best = Best("accuracy", 2, greater_is_better=True)
    weights = np.zeros(3, dtype=np.float32)
    rows = [
        {"step": step, "validation_accuracy": accuracy, "validation_loss": step}
        for step, accuracy in enumerate([0.5, 0.75, 0.75, 0.7])
    ]
    assert [best.see(row, weights + row["step"]) for row in rows] == [False, False, False, True]
    assert best.step == 1 and best.value == 0.75
    assert (best.weights == 1).all()


def test_a_loss_that_is_no_number_is_never_best():
    best = Best("loss", 1)
    assert best.see({"step": 1, "validation_loss": float("nan")}, np.zeros(1))
    assert best.weights is None


def test_validation_fraction_holds_out_some_texts_of_every_class(make):
    texts, labels = make_texts(60)
    texts = [f"{text} {i % 50}" for i, text in enumerate(texts)]  # none twice in 50
    clf = make(validation_fraction=0.2).fit(texts, labels)
    rows = clf.validation_rows_
    assert len(rows) == 12 and len(set(rows)) == 12
    share = np.mean(labels == "positive")
    assert abs(np.mean(labels[rows] == "positive") - share) < 0.1
    # Held-out texts are not trained on, and are the ones that are scored.
    kept = np.setdiff1d(np.arange(60), rows)
    assert not clf.seen_in_training([texts[row] for row in rows]).any()
    assert clf.seen_in_training([texts[row] for row in kept]).all()
    held_out = [texts[row] for row in rows]
    assert clf.history_[-1]["validation_accuracy"] == pytest.approx(
        clf.score(held_out, labels[rows])
    )
    # Passing the same rows as X_val gives the same result.
    by_hand = make().fit(
        [texts[row] for row in kept], labels[kept], X_val=held_out, y_val=labels[rows]
    )
    assert np.array_equal(flat(by_hand), flat(clf))
    weights = np.arange(1.0, 61.0)
    weighed = make(validation_fraction=0.2).fit(texts, labels, weights)
    by_hand = make().fit([texts[row] for row in kept], labels[kept], weights[kept])
    assert np.array_equal(flat(by_hand), flat(weighed))
    other = make(validation_fraction=0.2, random_state=1).fit(texts, labels)
    assert other.validation_rows_.tolist() != rows.tolist()


def test_early_stopping_in_fit(make):
    texts, labels = make_texts(48)
    wrong = np.where(labels == "positive", "negative", "positive")
    # The better it learns, the worse it gets on flipped labels.
    clf = make(epochs=50, early_stopping=True, patience=2, eval_every=4)
    clf.fit(texts, labels, X_val=texts, y_val=wrong)
    assert len(clf.history_) < 50
    losses = [row["validation_loss"] for row in clf.evaluations_]
    best = int(np.argmin(losses))
    assert clf.best_step_ == clf.evaluations_[best]["step"]
    assert best == len(losses) - 1 - 2
    own = clf.predict_proba(texts)[np.arange(48), (wrong == "positive").astype(int)]
    assert -np.log(own).mean() == pytest.approx(losses[best], rel=1e-5)


def test_evaluations_survive_saving(make, tmp_path):
    texts, labels = make_texts(40)
    clf = make(validation_fraction=0.2, early_stopping="accuracy", eval_every=2).fit(texts, labels)
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.evaluations_ == clf.evaluations_ and len(clf.evaluations_) > 3
    assert again.best_step_ == clf.best_step_ is not None
    assert again.early_stopping == "accuracy"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_fraction": 1.0}, "validation_fraction=1.0.*above 0 and below 1"),
        ({"early_stopping": "f2"}, 'early_stopping=.f2.*"loss", "accuracy", "f1"'),
        ({"early_stopping": "macro_f1"}, 'macro_f1.*use "loss", "accuracy" or the name of'),
        ({"label_threshold": 1.0}, 'label_threshold=1.0.*"f1" or a number above 0 and below 1'),
        ({"label_threshold": 0.3}, "label_threshold=0.3 decides which labels.*one class"),
        ({"early_stopping": True}, "early_stopping=True needs.*X_val.*validation_fraction"),
        ({"patience": 0}, "patience=0.*at least 1"),
        ({"eval_every": 0}, "eval_every=0.*at least 1"),
        ({"validation_fraction": 0.01}, "validation_fraction=0.01 of 2 texts holds out none"),
    ],
)
def test_what_is_not_allowed(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).fit(["good", "bad"], [1, 0])


def test_held_out_twice_is_refused(make):
    texts, labels = make_texts(20)
    with pytest.raises(ValueError, match="use one of them"):
        make(validation_fraction=0.5).fit(texts, labels, X_val=texts, y_val=labels)


def test_on_the_command_line(base, tmp_path, capsys):
    texts, labels = make_texts(80)
    frame = pd.DataFrame({"review": [f"{t} {i}" for i, t in enumerate(texts)], "sentiment": labels})
    frame.to_csv(tmp_path / "a.csv", index=False)
    command = ["train", str(tmp_path / "a.csv"), "--model", str(base), "--epochs", "2", *SMALL,
               "--output", str(tmp_path / "out"), "--early-stopping", "loss"]
    assert main(command) == 2
    assert "--early-stopping needs --validation-fraction" in capsys.readouterr().err
    assert main([*command, "--validation-fraction", "0.25", "--eval-every", "3"]) == 0
    err = capsys.readouterr().err
    assert "step 3: validation loss" in err and "validation accuracy" in err
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    assert split["part"].value_counts().to_dict() == {"train": 48, "test": 16, "validation": 16}
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    assert {"validation_loss", "validation_accuracy"} <= set(history.columns)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [row["step"] for row in record["evaluations"]][:3] == [3, 6, 9]
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "out")
    held_out = frame["review"].iloc[split.loc[split["part"] == "validation", "row"]]
    assert not clf.seen_in_training(held_out).any()
