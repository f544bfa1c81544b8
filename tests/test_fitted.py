"""`Fitted`: the fitted state of a classifier, which it shows as attributes."""

import copy
import json
import pickle
import re
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from test_classifier import flat, make_texts

import bertsent
from bertsent.classifier.estimator import predictor
from bertsent.classifier.fitted import Fitted
from bertsent.classifier.parameters import MACHINE
from bertsent.errors import CheckpointError

CLASSES = ("single_label_classification",)
TEXTS, LABELS = make_texts(24)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
DOCUMENTED = re.findall(
    r"^    (\w+_) : ", bertsent.BertClassifier.__doc__.partition("Attributes\n")[2], re.M
)


@pytest.fixture
def make(base):
    return maker(base, epochs=2)


@pytest.fixture
def clf(make):
    """A classifier with different members, held-out texts, and the history of each text."""
    members = [{"max_length": 8}, {"learning_rate": 1e-3}]
    return make(
        members=members, validation_fraction=0.25, track_examples=True, early_stopping=True
    ).fit(TEXTS, LABELS)


def assert_same(found, expected):
    """Compare two `Fitted`, except for what is not saved."""
    for field in fields(Fitted):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "models":
            assert len(one) == len(other)
            for first, second in zip(one, other, strict=True):
                assert np.array_equal(first._flat, second._flat) and first.config == second.config
        elif field.name == "tokenizer":
            assert one.encode_batch(TEXTS).ids.tolist() == other.encode_batch(TEXTS).ids.tolist()
        elif field.name == "objective":
            assert type(one) is type(other) and one.to_json() == other.to_json()
        elif field.name == "examples":
            assert (one is None) == (other is None)
            for name in ("hashes", "targets", "trained") if one else ():
                assert np.array_equal(getattr(one, name), getattr(other, name))
            for name, values in one.values.items() if one else ():
                assert np.array_equal(values, other.values[name], equal_nan=name != "other")
        elif field.name in ("training_rows", "validation_rows", "moments"):
            assert one is None
        else:
            assert np.array_equal(one, other), field.name


def test_it_is_frozen(clf):
    for field in fields(Fitted):
        with pytest.raises(FrozenInstanceError):
            setattr(clf._fitted, field.name, None)


def test_what_is_saved_is_opened_again(clf, tmp_path):
    fitted, parameters = clf._fitted, clf.get_params(deep=False)
    fitted.save_files(tmp_path, parameters)
    again, found = Fitted.open(tmp_path, "a name", CLASSES)
    assert again.name == "a name"
    assert_same(replace(again, name=None), fitted)
    own = {name: value for name, value in parameters.items() if name not in MACHINE}
    assert own.keys() < parameters.keys() and "n_threads" not in own
    assert found == own | {"model": str(parameters["model"])}
    expected = fitted.under(parameters).logits(TEXTS)
    assert np.array_equal(again.under(parameters | found).logits(TEXTS), expected)


def test_the_settings_file_has_the_keys_that_it_always_had(clf, tmp_path):
    clf.save_pretrained(tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "bertsent.json").read_text())
    assert list(settings) == [
        "format", "bertsent", "parameters", "labels", "learning_rate", "precision", "history",
        "evaluations", "best_step", "max_length", "frozen_layers", "plan", "feature_name", "pairs",
        "held_out_texts", "members", "parts",
    ]
    # Earlier versions had only these, and one model.
    (tmp_path / "model" / "member-2.safetensors").unlink()
    for name in (
        "precision", "evaluations", "best_step", "frozen_layers", "plan", "feature_name", "pairs",
        "held_out_texts", "members", "parts",
    ):
        del settings[name]
    (tmp_path / "model" / "bertsent.json").write_text(json.dumps(settings))
    again, _ = Fitted.open(tmp_path / "model", "a name", CLASSES)
    assert (again.precision, again.evaluations) == (None, [])
    assert (again.best_step, again.plan) == (None, None)
    assert len(again.models) == 1
    for name in ("labels", "learning_rate", "history"):
        (tmp_path / "model" / "bertsent.json").write_text(
            json.dumps({key: value for key, value in settings.items() if key != name})
        )
        with pytest.raises(CheckpointError, match=f"incomplete: it has no {name}"):
            Fitted.open(tmp_path / "model", "a name", CLASSES)


def test_a_model_of_another_program_is_opened(make, tmp_path):
    clf = make().fit(TEXTS, LABELS)
    clf.model_.save_pretrained(tmp_path / "model", tokenizer=clf.tokenizer_)
    fitted, parameters = Fitted.open(tmp_path / "model", "a name", CLASSES)
    assert parameters == {
        "model": "a name", "max_length": fitted.max_length, "long_text": "head",
        "inference_long_text": None,
    }
    assert fitted.classes.tolist() == clf.classes_.tolist()
    assert (fitted.history, fitted.precision, fitted.learning_rate) == ([], None, None)
    assert not len(fitted.text_hashes)
    found = fitted.under(clf.get_params()).logits(TEXTS)
    assert np.array_equal(found, predictor(clf).logits(TEXTS))


def test_the_attributes_are_those_of_the_object(clf):
    assert len(DOCUMENTED) == 20
    inherited = vars(bertsent.BertClassifier) | vars(bertsent.classifier.BertEstimator)
    descriptors = [name for name in inherited if name[0] != "_" == name[-1]]
    assert sorted(descriptors) == sorted(DOCUMENTED)
    clf._fitted = replace(clf._fitted, feature_names=["review"])
    for name in DOCUMENTED:
        assert getattr(clf, name) is getattr(clf._fitted, name[:-1])
    own = {f"{field.name}_" for field in fields(Fitted)}
    assert own - set(DOCUMENTED) == {
        "objective_", "text_hashes_", "examples_", "moments_", "feature_names_", "name_",
        "pairs_", "words_", "n_held_out_", "frozen_layers_",
    }
    assert set(DOCUMENTED) - own == {
        "classes_", "thresholds_", "calibration_", "model_", "example_history_", "n_features_in_",
        "feature_names_in_", "word_weight_",
    }
    assert isinstance(clf.example_history_, pd.DataFrame)


def test_there_are_none_before_fit(make):
    clf = make()
    assert not any(hasattr(clf, name) for name in DOCUMENTED)
    assert "_fitted" not in vars(clf)
    with pytest.raises(NotFittedError):
        check_is_fitted(clf)
    with pytest.raises(AttributeError, match="'BertClassifier' object has no attribute 'models_'"):
        clf.models_  # noqa: B018
    with pytest.raises(AttributeError):
        clf.models_ = []
    for method in (clf.predict, clf.predict_proba, clf.tokens_read, clf.seen_in_training):
        with pytest.raises(NotFittedError):
            method(TEXTS)
    for method in (clf.save_pretrained, clf.save_files, clf.predict_batches):
        with pytest.raises(NotFittedError):
            method("nowhere")
    with pytest.raises(NotFittedError):
        clf.audit()


def test_a_field_can_be_set(clf):
    both, first = clf.models_, clf.models_[0]
    shared = copy.copy(clf)
    clf.models_ = [first]
    assert clf.model_ is first and clf.models_ == [first] and shared.models_ is both
    assert not np.allclose(clf.predict_proba(TEXTS), shared.predict_proba(TEXTS), atol=1e-5)
    clf.models_ = both
    assert np.array_equal(clf.predict_proba(TEXTS), shared.predict_proba(TEXTS))
    for name in ("classes_", "model_", "n_features_in_"):
        with pytest.raises(AttributeError, match=f"{name}.*cannot be set"):
            setattr(clf, name, getattr(clf, name))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))])
def test_copies_have_all_of_it(make, again):
    clf = make(callbacks=lambda event: None).partial_fit(TEXTS, LABELS, classes=np.unique(LABELS))
    # Parameters that cannot be pickled are not kept.
    other = again(clf.set_params(callbacks=None))
    assert other.model_ is not clf.model_
    assert other._fitted.moments.step == clf._fitted.moments.step == 3
    assert_same(replace(other._fitted, moments=None), clf._fitted)
    for one in (clf, other):
        one.partial_fit(TEXTS[:5], LABELS[:5])
    assert np.array_equal(flat(clf), flat(other))


def test_prediction_follows_the_parameters_as_they_are(clf):
    before = predictor(clf)
    assert [before.reader(number).max_length for number in range(2)] == [8, 16]
    clf.set_params(members=2, max_length=6, long_text="head", inference_long_text=None)
    now = predictor(clf)
    assert now.fitted is before.fitted
    assert [now.reader(number).max_length for number in range(2)] == [6, 6]
    assert not np.array_equal(before.logits(TEXTS), now.logits(TEXTS))
    assert np.array_equal(now.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    labels, confidence = now.table(TEXTS).values()
    assert labels.tolist() == clf.predict(TEXTS).tolist() == now.predict(TEXTS).tolist()
    assert np.array_equal(confidence, clf.predict_proba(TEXTS).max(axis=1))
    clf.set_params(inference_precision="float64")
    with pytest.raises(ValueError, match="inference_precision='float64'"):
        predictor(clf).check()


def test_an_error_leaves_it_as_it_was(clf):
    before = clf._fitted
    with pytest.raises(ValueError, match="X is empty"):
        clf.fit([], [])
    with pytest.raises(FloatingPointError):
        clf.set_params(learning_rate=1e30, max_grad_norm=0.0, members=1).fit(TEXTS, LABELS)
    assert clf._fitted is before
