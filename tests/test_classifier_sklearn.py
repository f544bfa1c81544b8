"""BertClassifier among scikit-learn's tools."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from sklearn.base import clone, is_classifier
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_classifier import make_texts

import bertsent
from bertsent.parameters import PARAMETERS

pytestmark = pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning")


@pytest.fixture
def clf(tmp_path):
    return bertsent.BertClassifier(
        write_tiny_model(tmp_path / "tiny"), max_length=16, epochs=1, batch_size=8,
        learning_rate=2e-3, random_state=0, verbose=0, n_threads=1,
    )


def kinds_of_input():
    texts, labels = make_texts(24)
    return {
        "lists": (texts, labels.tolist()),
        "arrays": (np.array(texts, dtype=object), labels),
        "series": (
            pd.Series(texts, index=range(100, 124)), pd.Series(labels, index=range(100, 124))
        ),
    }


def test_signature_is_that_of_the_parameter_table():
    parameters = inspect.signature(bertsent.BertClassifier).parameters
    assert list(parameters) == [parameter.name for parameter in PARAMETERS]
    for parameter in PARAMETERS:
        parameter.check(parameters[parameter.name].default)


def test_nothing_happens_before_fit():
    nonsense = {parameter.name: object() for parameter in PARAMETERS}
    clf = bertsent.BertClassifier(**nonsense)
    assert clf.get_params() == nonsense
    assert all(getattr(clf, name) is value for name, value in nonsense.items())
    assert not [name for name in vars(clf) if name.endswith("_")]


def test_clone_and_set_params(clf):
    texts, labels = make_texts(16)
    clf.fit(texts, labels)
    copy = clone(clf.set_params(epochs=2))
    assert copy.get_params() == clf.get_params() and copy.epochs == 2
    assert not hasattr(copy, "classes_")
    with pytest.raises(ValueError, match="epoch"):
        clf.set_params(epochz=1)


def test_it_is_a_classifier_of_texts(clf):
    assert is_classifier(clf)
    texts, labels = make_texts(16)
    assert clf.fit(texts, labels) is clf
    assert clf.n_features_in_ == 1
    tags = clf.__sklearn_tags__()
    assert tags.input_tags.string and not tags.input_tags.two_d_array


@pytest.mark.parametrize("kind", ["lists", "arrays", "series"])
def test_cross_validation(clf, kind):
    X, y = kinds_of_input()[kind]
    for scoring in (None, "roc_auc", "neg_log_loss", "f1_macro"):
        assert np.isfinite(cross_val_score(clf, X, y, cv=2, scoring=scoring)).all()
    assert cross_val_predict(clf, X, y, cv=2).shape == (24,)
    assert cross_val_predict(clf, X, y, cv=2, method="predict_proba").shape == (24, 2)


@pytest.mark.parametrize("kind", ["lists", "arrays", "series"])
def test_grid_search(clf, kind):
    X, y = kinds_of_input()[kind]
    search = GridSearchCV(clf, {"learning_rate": [1e-3, 2e-3], "freeze_layers": [0, "all"]}, cv=2)
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == (24,)
    assert search.classes_.tolist() == ["negative", "positive"]


def test_grid_search_in_worker_processes(clf):
    texts, labels = make_texts(24)
    search = GridSearchCV(clf, {"epochs": [1, 2]}, cv=2, n_jobs=2).fit(texts, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    alone = GridSearchCV(clf, {"epochs": [1, 2]}, cv=2).fit(texts, labels)
    assert np.array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_pipeline(clf):
    texts, labels = make_texts(16)
    lower = FunctionTransformer(lambda X: [text.lower() for text in X])
    pipeline = make_pipeline(lower, clf).fit([text.upper() for text in texts], labels)
    assert np.array_equal(
        pipeline.predict_proba(texts), clone(clf).fit(texts, labels).predict_proba(texts)
    )


def test_voting_with_another_classifier_of_texts(clf):
    texts, labels = make_texts(24)
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    vote = VotingClassifier([("bert", clf), ("words", words)], voting="soft").fit(texts, labels)
    apart = [one.fit(texts, labels).predict_proba(texts) for one in (clone(clf), clone(words))]
    np.testing.assert_allclose(vote.predict_proba(texts), np.mean(apart, axis=0), rtol=1e-6)
    assert not np.allclose(*apart, rtol=1e-2)


def test_categorical_labels_in_cross_validation(clf):
    texts, labels = make_texts(24)
    y = pd.Series(labels, dtype="category")
    assert np.isfinite(cross_val_score(clf, texts, y, cv=2)).all()


def test_html_repr(clf):
    assert "BertClassifier" in clf._repr_html_()
    texts, labels = make_texts(16)
    assert "BertClassifier" in clf.fit(texts, labels)._repr_html_()
    assert "BertClassifier" in repr(clf)


def test_import_loads_nothing_heavy():
    code = (
        "import sys, bertsent; "
        "heavy = {'pandas', 'sklearn', 'huggingface_hub', 'safetensors', 'tqdm', 'scipy'}; "
        "print(sorted(heavy & set(sys.modules))); "
        "assert 'BertClassifier' in dir(bertsent); "
        "bertsent.BertClassifier"
    )
    folder = Path(bertsent.__file__).resolve().parent.parent
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    ).stdout
    assert shown.strip() == "[]"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="BertRegressor"):
        bertsent.BertRegressor  # noqa: B018
    assert bertsent.__version__
