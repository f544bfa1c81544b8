"""Models and checkpoints saved by bertsent 0.1.0 still load, predict and train as then."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bertsent import BertClassifier
from bertsent.training import checkpoints

SAVED = Path(__file__).resolve().parent / "data" / "saved_0_1"

pytestmark = [
    # Bits depend on the instruction set, so the values below are compared with a tolerance.
    pytest.mark.filterwarnings("ignore:.*written with other instructions"),
    pytest.mark.filterwarnings("ignore:.*are longer than max_length"),
]


@pytest.fixture(scope="module")
def make():
    """Return the module that wrote the directories: its texts, labels and parameters."""
    import runpy

    return runpy.run_path(str(SAVED / "make.py"), run_name="make")


@pytest.fixture(scope="module")
def expected():
    with np.load(SAVED / "expected.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """Return a copy, as the working directory: a run is continued in place."""
    shutil.copytree(SAVED, tmp_path / "saved")
    monkeypatch.chdir(tmp_path / "saved")
    return tmp_path / "saved"


def test_members_predict_as_before(workshop, make, expected):
    texts, labels = make["texts_and_labels"]()
    clf = BertClassifier.from_pretrained("members")
    np.testing.assert_allclose(clf.decision_function(texts), expected["members"], atol=2e-5)
    np.testing.assert_allclose(clf.predict_proba(texts), expected["members_proba"], atol=1e-5)
    assert [len(clf.models_), clf.classes_.tolist()] == [2, ["bad", "good"]]
    assert clf.class_weight == {"good": 2.0}
    assert clf.members == [{"freeze_layers": 1}, {"max_length": 8}]
    assert clf.max_length_ == [12, 8]
    assert [row["member"] for row in clf.history_] == [1, 1, 2, 2]
    assert clf.seen_in_training(texts).sum() == 36
    table = clf.audit(texts)
    assert (table["kind"] == "label").sum() == 36


def test_int8_predicts_as_before(workshop, make, expected):
    texts, _ = make["texts_and_labels"]()
    clf = BertClassifier.from_pretrained("int8").set_params(inference_precision="int8")
    # Rows are rounded to 8 bits, which may differ by the last bit of another instruction set.
    np.testing.assert_allclose(clf.decision_function(texts), expected["int8"], atol=2e-2)


def test_a_run_goes_on_as_before(workshop, make, expected):
    texts, labels = make["texts_and_labels"]()
    clf = make["classifier"](
        early_stopping="loss", resume=True, checkpoint_dir="run", checkpoint_every=2,
        checkpoint_keep=1,
    ).fit(texts, labels)
    losses = [row["loss"] for row in clf.history_]
    np.testing.assert_allclose(losses, expected["resumed_losses"], atol=2e-4)
    np.testing.assert_allclose(clf.decision_function(texts), expected["resumed"], atol=5e-3)


def test_the_run_is_known_again(workshop):
    with checkpoints.RunStore("run", 1, True) as store:
        saved = store.newest()
    assert (saved.state["step"], saved.state["epoch"], saved.state["position"]) == (7, 1, 16)
    assert saved.run["epochs"] == 2 and saved.run["learning_rate"] == 1e-3


def test_a_pretrained_directory_is_trained_as_before(workshop, make, expected):
    texts, labels = make["texts_and_labels"]()
    clf = make["classifier"](model="pretrained", epochs=1).fit(texts, labels)
    np.testing.assert_allclose(clf.decision_function(texts), expected["pretrained"], atol=5e-3)
