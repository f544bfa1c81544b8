"""BertClassifier with the tools of scikit-learn."""

import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from test_classifier import make_texts

import bertsent
from bertsent.classifier.parameters import CLASSIFICATION


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
    assert list(parameters) == [parameter.name for parameter in CLASSIFICATION]
    for parameter in CLASSIFICATION:
        parameter.check(parameters[parameter.name].default)


def test_nothing_happens_before_fit():
    nonsense = {parameter.name: object() for parameter in CLASSIFICATION}
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


# --- columns in tables and arrays, as scikit-learn's tools pass them -----------------------


@pytest.fixture(params=["pandas", "polars", "array"])
def column(request):
    """A function that puts texts into a column of two dimensions."""
    def frame(texts):
        if request.param == "polars":
            return pytest.importorskip("polars").DataFrame({"review": list(texts)})
        if request.param == "array":
            return np.array(texts, dtype=object)[:, None]
        return pd.DataFrame({"review": texts})

    return frame


def test_bagging_and_stacking_of_columns(clf, column):
    texts, labels = make_texts(24)
    bag = BaggingClassifier(clf, n_estimators=2, random_state=0).fit(column(texts), labels)
    assert bag.predict_proba(column(texts)).shape == (24, 2)
    assert 0 <= bag.score(column(texts), labels) <= 1
    stack = StackingClassifier([("one", clf), ("two", clone(clf).set_params(random_state=1))], cv=2)
    assert 0 <= stack.fit(column(texts), labels).score(column(texts), labels) <= 1
    calibrated = CalibratedClassifierCV(clf, cv=2).fit(column(texts), labels)
    assert calibrated.predict_proba(column(texts)).shape == (24, 2)


def test_permutation_importance_of_a_column(clf, column):
    texts, labels = make_texts(64)
    clf.set_params(epochs=8).fit(column(texts), labels)
    found = permutation_importance(clf, column(texts), labels, n_repeats=2, random_state=0)
    assert found.importances.shape == (1, 2) and found.importances_mean[0] > 0.2


def test_searches_over_columns(clf, column):
    texts, labels = make_texts(24)
    search = GridSearchCV(clf, {"epochs": [1, 2]}, cv=2).fit(column(texts), labels)
    plain = GridSearchCV(clf, {"epochs": [1, 2]}, cv=2).fit(texts, labels)
    assert np.array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_pipelines_whose_steps_return_tables(clf, output):
    if output == "polars":
        pytest.importorskip("polars")
    texts, labels = make_texts(24)
    frame = pd.DataFrame({"stars": range(24), "review": [text.upper() for text in texts]})
    lower = FunctionTransformer(lambda part: part.apply(lambda column: column.str.lower()))
    steps = ColumnTransformer(
        [("lower", lower, ["review"])], verbose_feature_names_out=False
    ).set_output(transform=output)
    pipeline = make_pipeline(steps, clf).fit(frame, labels)
    expected = clone(clf).fit(texts, labels)
    assert np.array_equal(pipeline.predict_proba(frame), expected.predict_proba(texts))
    assert pipeline.score(frame, labels) == expected.score(texts, labels)
    passed_on = FunctionTransformer(feature_names_out="one-to-one").set_output(transform=output)
    pipeline = make_pipeline(passed_on, clone(clf)).fit(frame[["review"]], labels)
    assert pipeline.score(frame[["review"]], labels) == expected.score(texts, labels)


def test_a_vectorizer_before_the_classifier_is_explained(clf):
    texts, labels = make_texts(16)
    with pytest.raises(TypeError, match="sparse matrix.*not the output of a vectorizer"):
        make_pipeline(TfidfVectorizer(), clf).fit(texts, labels)


def test_score_is_the_accuracy_of_scikit_learn(clf):
    texts, labels = make_texts(64)
    clf.fit(texts, labels)
    for weights in (None, np.linspace(0, 2, 64)):
        expected = accuracy_score(labels, clf.predict(texts), sample_weight=weights)
        assert clf.score(texts, labels, weights) == pytest.approx(expected)
        assert type(clf.score(texts, labels, weights)) is float
    unknown = np.where(np.arange(64) < 8, "mixed", labels)
    assert clf.score(texts, unknown) == accuracy_score(unknown, clf.predict(texts))


# --- subclasses ---------------------------------------------------------------------------


class Fewer(bertsent.BertClassifier):
    """A subclass with fewer parameters, which sets the others."""

    def __init__(self, model="minilm", *, epochs=1, random_state=0):
        super().__init__(
            model, epochs=epochs, random_state=random_state, max_length=16, batch_size=8,
            learning_rate=2e-3, verbose=0, long_text="head", strip_html=True,
        )


class Bare(bertsent.BertClassifier):
    """A subclass that does not call the constructor of its base class."""

    def __init__(self, model="minilm", random_state=0):
        self.model = model
        self.random_state = random_state


class PassesOn(bertsent.BertClassifier):
    """A subclass that passes on whatever it is given."""

    def __init__(self, note="", **parameters):
        super().__init__(**parameters)
        self.note = note


@pytest.fixture(params=[Fewer, Bare, PassesOn])
def small(request, tmp_path):
    options = {"max_length": 16, "verbose": 0, "epochs": 1} if request.param is PassesOn else {}
    return request.param(model=write_tiny_model(tmp_path / "tiny"), random_state=3, **options)


def test_a_subclass_with_other_parameters_does_everything(small, tmp_path):
    texts, labels = make_texts(24)
    small.fit(texts, labels)
    assert small.predict_proba(texts).shape == (24, 2)
    assert clone(small).get_params() == small.get_params()
    again = clone(small).fit(texts, labels)
    assert np.array_equal(again.predict_proba(texts), small.predict_proba(texts))
    assert cross_val_score(small, texts, labels, cv=2).shape == (2,)
    small.partial_fit(texts, labels)
    small.save_pretrained(tmp_path / "saved")
    for kind in (type(small), bertsent.BertClassifier):
        opened = kind.from_pretrained(tmp_path / "saved")
        assert np.array_equal(opened.predict_proba(texts), small.predict_proba(texts))
        assert opened.random_state == 3
        assert getattr(opened, "max_length", "auto") == getattr(small, "max_length", "auto")
    copy = pickle.loads(pickle.dumps(small))
    assert np.array_equal(copy.predict_proba(texts), small.predict_proba(texts))
    assert type(small).__name__ in repr(small) and small._repr_html_()


def test_a_subclass_that_passes_on_parameters_has_them(tmp_path):
    small = PassesOn("a note", epochs=7, max_length=33)
    assert small.get_params()["epochs"] == 7 and small.get_params()["note"] == "a note"
    assert set(small.get_params()) == {"note", *(p.name for p in CLASSIFICATION)}
    assert clone(small.set_params(epochs=8)).get_params() == small.get_params()
    with pytest.raises(ValueError, match="epochz"):
        small.set_params(epochz=1)


def test_a_subclass_reads_what_another_class_saved(clf, tmp_path):
    texts, labels = make_texts(24)
    clf.set_params(long_text="head+tail", strip_html=False).fit(texts, labels)
    clf.save_pretrained(tmp_path / "saved")
    opened = Fewer.from_pretrained(tmp_path / "saved")
    assert (opened.long_text, opened.strip_html) == ("head+tail", False)
    assert np.array_equal(opened.predict_proba(texts), clf.predict_proba(texts))


def test_a_parameter_of_a_subclass_is_checked(tmp_path):
    small = PassesOn(epochs=0)
    with pytest.raises(ValueError, match="epochs=0"):
        small.fit(["a", "b"], [0, 1])


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
    with pytest.raises(AttributeError, match="BertRanker"):
        bertsent.BertRanker  # noqa: B018
    assert bertsent.__version__
