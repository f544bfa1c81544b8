"""`BertRegressor`, a scikit-learn regressor that fine-tunes a BERT model."""

from __future__ import annotations

from inspect import Parameter, Signature
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy.typing as npt
from sklearn.base import RegressorMixin

from bertsent.classifier.base import BertEstimator, predictor
from bertsent.classifier.evaluation import Evaluation, evaluate
from bertsent.classifier.parameters import DEFAULTS, REGRESSION
from bertsent.objectives import Regression
from bertsent.texts import in_memory_all

if TYPE_CHECKING:
    from typing_extensions import Self

    from bertsent.texts import Texts


class BertRegressor(RegressorMixin, BertEstimator):  # type: ignore[misc]
    """A scikit-learn regressor that fine-tunes a BERT model on texts and numbers.

    `fit` takes a list or column of texts and one number for each, or several. The numbers are
    standardised for training, with their mean and standard deviation over all texts given to
    `fit`; predictions are in their unit. Everything else is as in `BertClassifier`.

    Parameters
    ----------
    model : str or path-like, default="minilm"
        Model to start from, as in `BertClassifier`.
    loss : {"squared_error", "huber"}, default="squared_error"
        Loss of the standardised numbers: the squared error, or Huber's (1964), which grows
        linearly beyond one standard deviation, so that outliers count less. It is the mean over
        the numbers of a text.
    early_stopping : bool, str, callable or None, default=False
        Whether to stop when the loss ("loss" or True) or a metric on the held-out texts no longer
        improves, and to restore the best weights: "mae", "rmse", "r2" or "spearman", or a scorer
        of scikit-learn, as in `BertClassifier`.
    **parameters
        The other parameters of `BertClassifier`, with the same defaults. Those about classes,
        `class_weight`, `label_smoothing` and `label_threshold`, do not exist.

    Attributes
    ----------
    history_ : list of dict
        As in `BertClassifier`, with ``mae`` (mean absolute error, in the unit of y) instead of the
        accuracy. On held-out texts, also ``validation_rmse`` (root of the mean squared error),
        ``validation_r2`` and ``validation_spearman`` (rank correlation, 0 if it is not defined).
    **attributes
        The other attributes of `BertClassifier`, except those about classes. The output of
        ``model_`` is in the unit of y.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertRegressor
    >>> data = pd.read_csv("tickets.csv")
    >>> lengths = data["text"].str.len()
    >>> reg = BertRegressor("bert-base-uncased", max_length=32, random_state=0, verbose=0)
    >>> reg = reg.fit(data["text"], lengths)
    >>> reg.predict(["The invoice is wrong."]).shape
    (1,)
    """

    _problem_types = ("regression",)
    _own_parameters = tuple(p.name for p in REGRESSION)

    def __init__(
        self,
        model: str | PathLike[str] = "minilm",
        *,
        loss: Literal["squared_error", "huber"] = "squared_error",
        **parameters: Any,
    ) -> None:
        chosen = {"model": model, "loss": loss, **parameters}
        unknown = next((name for name in chosen if name not in self._own_parameters), None)
        if unknown is not None:
            raise TypeError(f"BertRegressor has no parameter {unknown!r}")
        for name in self._own_parameters:
            setattr(self, name, chosen.get(name, DEFAULTS[name]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self,
        X: Texts,
        y: Any,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: Texts | None = None,
        y_val: Any = None,
    ) -> Self:
        """Fine-tune the model on texts and numbers.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        y : list, Series or array of shape (n_texts,), or array or table of shape (n_texts, n)
            One number for each text, or n. Predictions have the same shape, and are a DataFrame if
            `y` was a table of several columns.
        sample_weight : array of float, shape (n_texts,), or None, default=None
            Weight of each text in the loss. None means equal weights.
        X_val, y_val : as X and y, or None, default=None
            Held-out texts and numbers, as in `BertClassifier.fit`.

        Returns
        -------
        self : BertRegressor

        Raises
        ------
        ValueError
            An item of `y` is missing, infinite or no number; the message names it.
        CheckpointError, FileExistsError, FloatingPointError, KeyboardInterrupt, \
        ModelNotFoundError, TypeError
            As in `BertClassifier.fit`.

        Notes
        -----
        If `model` is a regression model with as many numbers of the same names, its output layer
        is trained further. Otherwise a new one is added.
        """
        X, y, X_val, y_val = in_memory_all(X=X, y=y, X_val=X_val, y_val=y_val)
        return self._fit(lambda: Regression, X, y, sample_weight, X_val, y_val)

    def predict(self, X: Texts) -> Any:
        """Predict the number, or the numbers, of each text.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.

        Returns
        -------
        numbers : float64 ndarray of shape (n_texts,) or (n_texts, n), or DataFrame
            In the unit and form of the `y` of `fit`. A DataFrame has the index of `X`.
        """
        return predictor(self).predict(X)

    def score(self, X: Texts, y: Any, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return R² on texts and their numbers; with several numbers, the mean over them.

        Parameters
        ----------
        X : as in `predict`
            The texts.
        y : as in `fit`
            Their numbers.
        sample_weight : array of float, shape (n_texts,), or None, default=None
            Weight of each text. None means equal weights.

        Returns
        -------
        float
            1 for perfect predictions, and 0 for predicting the mean of `y`.
        """
        return predictor(self).score(X, y, sample_weight)

    def evaluate(
        self, X: Texts, y: Any, *, report: str | PathLike[str] | None = None,
        explain: int = 0, overwrite: bool = False,
    ) -> Evaluation:
        """Test the regressor: R², MAE, RMSE and rank correlation.

        Parameters
        ----------
        X : as in `predict`
            The texts.
        y : as in `fit`
            Their numbers.
        report : str, path-like or None, default=None
            File of HTML to write, as in `BertClassifier.evaluate`.
        explain : int, default=0
            Number of the worst texts, up to 15, whose words are marked in `report`.
        overwrite : bool, default=False
            Whether to replace `report` if it exists.

        Returns
        -------
        result : Evaluation
            A dictionary with ``mae``, ``rmse``, ``r2``, ``spearman`` and ``loss``, the means over
            the numbers, and with ``outputs``, those of each number if there are several.
        """
        return evaluate(
            predictor(self), X, y, self.verbose, report=report, explain=explain,
            overwrite=overwrite,
        )


def _make_signature() -> Signature:
    """Return the signature with all parameters, which scikit-learn reads."""
    named = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)]
    for parameter in REGRESSION:
        kind = (
            Parameter.POSITIONAL_OR_KEYWORD if parameter.name == "model"
            else Parameter.KEYWORD_ONLY
        )
        named.append(Parameter(parameter.name, kind, default=parameter.default))
    return Signature(named)


BertRegressor.__init__.__signature__ = _make_signature()  # type: ignore[attr-defined]
