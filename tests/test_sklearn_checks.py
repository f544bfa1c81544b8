"""scikit-learn's own checks of estimators, and each exception with its reason.

scikit-learn passes matrices of numbers. The estimators here make a text of each row, so that
everything else is what the estimator of the package does. A matrix is not checked on the way, so
what is wrong with it arrives as it is, or as texts that anybody could write.
"""

import inspect

import numpy as np
import pytest
from conftest import write_tiny_model
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import bertsent

WORDS = "good bad great poor love hate film story plot end".split()


@pytest.fixture(autouse=True)
def _model(tmp_path_factory, monkeypatch):
    """A model in the working directory, whose name is known before tests are collected."""
    folder = tmp_path_factory.getbasetemp() / "checks"
    if not folder.exists():
        write_tiny_model(folder / "tiny")
    monkeypatch.chdir(folder)


def as_texts(X, columns=None):
    """Return a column of texts in place of a matrix of numbers, and anything else as it is.

    With `columns`, a matrix of another width is refused, as a vectorizer would.
    """
    matrix = np.asarray(X)
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        return X
    if columns not in (None, matrix.shape[1]):
        raise ValueError(f"there were {columns} columns in fit, and now {matrix.shape[1]}")
    counts = np.clip(matrix, 0, 3).astype(int)
    return np.array(
        [" ".join(w for w, n in zip(WORDS, row, strict=False) for _ in range(n)) for row in counts],
        dtype=object,
    )[:, None]


class OfNumbers:
    """What the estimators of matrices have in common."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        tags.input_tags.string = False
        return tags

    def learn(self, X):
        """Return the texts to learn from, and keep the width of the matrix."""
        texts = as_texts(X)
        if texts is not X:
            self._width = np.asarray(X).shape[1]
        return texts

    def texts(self, X):
        return as_texts(X, getattr(self, "_width", None))


class Predicts(OfNumbers):
    """What classifier and regressor have in common."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(self.learn(X), y, sample_weight)

    def predict(self, X):
        return super().predict(self.texts(X))

    def score(self, X, y, sample_weight=None):
        return super().score(self.texts(X), y, sample_weight)


class ClassifierOfNumbers(Predicts, bertsent.BertClassifier):
    def __init__(self, model, epochs=1, random_state=0, ordinal=False):
        super().__init__(
            model, epochs=epochs, random_state=random_state, ordinal=ordinal, max_length=16,
            verbose=0, n_threads=1,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # of one epoch
        return tags

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        texts = self.texts(X) if hasattr(self, "classes_") else self.learn(X)
        return super().partial_fit(texts, y, classes, sample_weight)

    def predict_proba(self, X):
        return super().predict_proba(self.texts(X))

    def decision_function(self, X):
        return super().decision_function(self.texts(X))


class RegressorOfNumbers(Predicts, bertsent.BertRegressor):
    def __init__(self, model, epochs=1, random_state=0):
        super().__init__(
            model, epochs=epochs, random_state=random_state, max_length=16, verbose=0, n_threads=1,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # of one epoch
        return tags


class EncoderOfNumbers(OfNumbers, bertsent.BertEncoder):
    def __init__(self, model):
        super().__init__(model, max_length=16, n_threads=1)

    def fit(self, X, y=None):
        return super().fit(self.learn(X), y)

    def fit_transform(self, X, y=None):
        return super().fit_transform(self.learn(X), y)

    def transform(self, X):
        return super().transform(self.texts(X))


# The names of checks that cannot pass, and why. What they are about is tested elsewhere.
OF_ALL = {
    "check_complex_data": "complex numbers are not texts, and the error says so in its own words",
    "check_dtype_object": "a matrix of objects is several columns of what may be texts",
    "check_estimators_empty_data_messages": "without columns, each row is an empty text",
    "check_estimators_nan_inf": "a text is never NaN; missing texts are in test_validation.py",
    "check_fit1d": "a list of numbers has no texts: a TypeError, where a ValueError is expected",
    "check_fit2d_predict1d": "a list of numbers has no texts: a TypeError, as above",
    "check_n_features_in": "a column of texts is one feature, however long the texts are",
    "check_n_features_in_after_fitting": "n_features_in_ is 1, as above",
}
OF_TRAINING = OF_ALL | {
    "check_sample_weight_equivalence_on_dense_data":
        "a text with weight 0 still has a place in a batch, and a text that is there twice has two",
}
OF_ORDER = OF_TRAINING | {
    "check_classifiers_classes": "strings have no order without class_order",
    "check_classifiers_train": "the median is predicted, and not the likeliest class",
}


def exceptions(estimator):
    if isinstance(estimator, EncoderOfNumbers):
        return OF_ALL
    return OF_ORDER if getattr(estimator, "ordinal", False) else OF_TRAINING


STRICT = {"xfail_strict": True} if "xfail_strict" in inspect.signature(
    parametrize_with_checks).parameters else {}


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        ClassifierOfNumbers("tiny"), ClassifierOfNumbers("tiny", ordinal=True),
        RegressorOfNumbers("tiny"), EncoderOfNumbers("tiny"),
    ],
    expected_failed_checks=exceptions, **STRICT,
)
def test_the_checks_of_scikit_learn_pass(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("estimator", "expected"), [
    (ClassifierOfNumbers("tiny"), [
        "check_classifiers_multilabel_representation_invariance", "check_supervised_y_2d",
        "check_classifiers_multilabel_output_format_predict_proba", "check_classifiers_train",
    ]),
    (RegressorOfNumbers("tiny"), ["check_regressor_multioutput", "check_regressors_train"]),
    (EncoderOfNumbers("tiny"), ["check_transformer_general", "check_readonly_memmap_input"]),
], ids=["classifier", "regressor", "encoder"])
def test_the_checks_are_those_of_the_task(estimator, expected):
    names = {check.func.__name__ for _, check in estimator_checks_generator(estimator)}
    assert set(expected) <= names and len(names) > 40
