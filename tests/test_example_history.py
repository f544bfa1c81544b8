"""The history of each text: the values of training itself, also in resumed runs."""

import numpy as np
import pandas as pd
import pytest
from conftest import maker, write_tiny_model
from test_classifier import flat, make_texts
from test_long_text import make_long
from test_runs import at_step

import bertsent
from bertsent.errors import CheckpointError

TEXTS, LABELS = make_texts(50)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
WEIGHTS = np.linspace(0.1, 2.0, 50)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """A model without dropout."""
    return write_tiny_model(
        tmp_path_factory.mktemp("base") / "still", hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


@pytest.fixture
def make(base):
    return maker(
        base, epochs=3, precision="float32", inference_precision="float32", track_examples=True
    )


@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.2, "class_weight": {"negative": 3.0}},
                {"accumulate_steps": 3}, {"long_text": "windows"}],
)
def test_the_means_are_those_of_the_history(make, options):
    texts, labels = make_long(50) if "long_text" in options else (TEXTS, LABELS)
    clf = make(**options).fit(texts, labels, WEIGHTS)
    weights = WEIGHTS
    if "class_weight" in options:
        weights = weights * np.where(labels == "negative", 3, 1)
    for row, (epoch, table) in zip(
        clf.history_, clf.example_history_.groupby("epoch"), strict=True
    ):
        assert row["epoch"] == epoch and table["row"].tolist() == list(range(50))
        assert row["loss"] == pytest.approx(np.average(table["loss"], weights=weights), abs=1e-5)
        right = table["margin"] > 0
        assert row["accuracy"] == pytest.approx(np.average(right, weights=weights), abs=1e-6)
        assert ((table["probability"] > 0.5) == right).all()


@pytest.mark.parametrize("options", [{}, {"long_text": "windows", "stride": 3}])
def test_without_dropout_they_are_the_probabilities_of_the_model(make, still, options):
    texts, _ = make_long(30)
    labels = np.arange(30) % 3
    options = {"learning_rate": 1e-9, "epochs": 2, "inference_long_text": None} | options
    clf = make(model=still, **options).fit(texts, labels)
    expected = clf.predict_proba(texts)
    for _, table in clf.example_history_.groupby("epoch"):
        own = expected[np.arange(30), labels]
        np.testing.assert_allclose(table["probability"], own, atol=1e-5)
        np.testing.assert_allclose(table["loss"], -np.log(own), atol=1e-5)
        others = expected.copy()
        others[np.arange(30), labels] = 0
        np.testing.assert_array_equal(table["other"], others.argmax(axis=1))
        np.testing.assert_allclose(
            table["margin"], np.log(own / others.max(axis=1)), atol=1e-5
        )


def test_keeping_them_changes_nothing_else(make):
    clf, plain = make().fit(TEXTS, LABELS), make(track_examples=False).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), flat(plain))
    assert plain.example_history_ is None
    assert list(clf.example_history_.columns) == [
        "row", "epoch", "loss", "probability", "margin", "other",
    ]
    assert set(clf.example_history_["other"]) == {"negative", "positive"}


def test_rows_that_are_held_out_have_none(make):
    clf = make(validation_fraction=0.2).fit(TEXTS, LABELS)
    rows = clf.example_history_["row"].unique()
    assert sorted([*rows, *clf.validation_rows_]) == list(range(50))
    # Rows are numbered as in X: a model that has learned a label finds it more likely.
    last = clf.example_history_.query("epoch == 3").set_index("row")
    assert (last["other"] != LABELS[last.index]).all()


def test_texts_of_a_step_without_weight_have_none(make):
    first = np.unique(LABELS, return_index=True)[1]  # the first text of each class
    weights = np.zeros(50)
    weights[first] = 1.0
    clf = make(epochs=1).fit(TEXTS, LABELS, weights)
    read = len(clf.example_history_)
    assert read in (8, 16) and set(first) <= set(clf.example_history_["row"])
    table = clf.audit()
    assert len(table) == 50 and table["score"].isna().sum() == 50 - read
    assert table["score"].isna()[read - 50:].all()
    assert table["why"].iloc[-1] == "was not trained on: its weight is 0"


def test_only_epochs_that_were_run(make):
    clf = make(epochs=9, callbacks=lambda event: event["event"] == "epoch" and event["epoch"] == 2)
    clf.fit(TEXTS, LABELS)
    assert clf.example_history_["epoch"].value_counts().to_dict() == {1: 50, 2: 50}


@pytest.mark.parametrize("step", [3, 7, 9, 20])
def test_a_resumed_run_has_the_same(make, tmp_path, step):
    options = {"validation_fraction": 0.1, "checkpoint_every": 2}
    whole = make(validation_fraction=0.1).fit(TEXTS, LABELS)
    options["checkpoint_dir"] = tmp_path / "run"

    def stop():
        raise OSError("killed")

    if step < 18:
        with at_step(step, stop), pytest.raises(OSError, match="killed"):
            make(**options).fit(TEXTS, LABELS)
    else:
        make(**options).fit(TEXTS, LABELS)
    clf = make(resume=True, **(options | {"n_threads": 2})).fit(TEXTS, LABELS)
    pd.testing.assert_frame_equal(clf.example_history_, whole.example_history_, check_exact=True)


def test_an_interrupted_run_has_what_was_seen(make):
    def stop():
        raise KeyboardInterrupt

    clf = make()
    with at_step(9, stop), pytest.raises(KeyboardInterrupt):
        clf.fit(TEXTS, LABELS)
    assert clf.example_history_["epoch"].value_counts().to_dict() == {1: 50, 2: 16}
    assert clf.audit()["score"].notna().all()


def test_it_belongs_to_a_run(make, tmp_path):
    make(track_examples=False, epochs=1, checkpoint_dir=tmp_path / "run").fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="track_examples .saved: False, now: True"):
        make(epochs=1, checkpoint_dir=tmp_path / "run", resume=True).fit(TEXTS, LABELS)


def test_saved_and_opened(make, tmp_path):
    clf = make().fit(TEXTS, LABELS)
    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.example_history_, clf.example_history_)
    pd.testing.assert_frame_equal(again.audit(TEXTS), clf.audit(TEXTS))
    again.save_pretrained(tmp_path / "saved", overwrite=True)

    damaged = tmp_path / "saved" / "example_history.npz"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="example_history.npz cannot be read"):
        bertsent.BertClassifier.from_pretrained(tmp_path / "saved")

    # The model that replaces it has no history, so no file may be left.
    make(track_examples=False).fit(TEXTS, LABELS).save_pretrained(
        tmp_path / "saved", overwrite=True
    )
    assert not damaged.exists()
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert again.example_history_ is None


def test_partial_fit_keeps_none(make):
    clf = make().fit(TEXTS, LABELS).partial_fit(TEXTS, LABELS)
    assert clf.example_history_ is None
    with pytest.raises(ValueError, match="track_examples=True"):
        clf.audit()


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_what_is_not_allowed(make, value):
    with pytest.raises(ValueError, match="track_examples=.*expected True or False"):
        make(track_examples=value).fit(TEXTS, LABELS)
