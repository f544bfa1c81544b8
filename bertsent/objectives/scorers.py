"""scikit-learn's scorers of held-out texts, whose logits are already known."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names

from bertsent.system import warn
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.objectives.base import Array, Objective


@dataclass(frozen=True)
class Scorer:
    """A scorer of scikit-learn that early stopping watches. Larger scores are better.

    Parameters
    ----------
    scorer : str or callable
        A name that scikit-learn knows, or a function of an estimator, texts and y.
    name : str, default="score"
        Name in evaluations.
    """

    scorer: str | Callable[..., float]
    name: str = "score"

    @classmethod
    def of(cls, watched: Any, objective: Objective) -> Scorer | None:
        """Return the scorer that is watched; None for what the objective computes itself.

        Raises
        ------
        ValueError
            There is no such metric and no such scorer.
        """
        if watched is None or isinstance(watched, str) and watched in objective.watchable():
            return None
        if callable(watched):
            return cls(watched)
        if watched not in get_scorer_names():
            raise ValueError(
                f"{spell('early_stopping', watched)} is unknown; use "
                f"{_listed(objective.watchable())} or the name of a scorer of scikit-learn"
            )
        return cls(watched, watched)

    def __call__(self, objective: Objective, logits: Array, targets: Array) -> float:
        """Return the score of predictions; NaN, with a warning, if the scorer fails."""
        try:
            return self._score(objective, logits, targets)
        # A function of a user may raise anything, and hours of training are not lost for it.
        except Exception as error:
            warn(f"{spell('early_stopping')}: {self.name} failed, training goes on: {error}")
            return math.nan

    def check(self, objective: Objective, targets: Array) -> None:
        """Raise a ValueError if the score of held-out texts is not defined, before training."""
        try:
            score = self._score(objective, objective.imagine(targets), targets)
        except Exception as error:
            raise ValueError(  # keeps the cause, which may be in the user's own function
                f"{spell('early_stopping', self.scorer)} cannot score the held-out texts: "
                f"{error}; use {self._alternatives(objective)}"
            ) from error
        if not math.isfinite(score):
            raise ValueError(
                f"{spell('early_stopping', self.scorer)} is not defined for the held-out texts, "
                f"where it is {score:g}; hold out more texts, of all classes"
            )

    def _score(self, objective: Objective, logits: Array, targets: Array) -> float:
        scorer, named = self.scorer, isinstance(self.scorer, str)
        truth, classes = objective.truth(targets), objective.classes
        names = None
        # A function knows the labels themselves. A name such as "f1" means the second class.
        if not named and truth.ndim == 1 and classes is not None:
            names, truth = classes, classes[truth]
        kind = _Answers if classes is None else _ClassAnswers
        score: Any = get_scorer(scorer) if named else scorer
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            return float(score(kind(objective, logits, names), np.arange(len(truth)), truth))

    def _alternatives(self, objective: Objective) -> str:
        near = [name for name in get_scorer_names() if name.startswith(f"{self.scorer}_")]
        return f"{_listed(near or objective.watchable())} or another scorer"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


# scikit-learn has no type hints.
class _Answers(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted estimator for scorers, which has seen the texts already.

    Its X are the numbers of the texts.
    """

    def __init__(self, objective: Objective, logits: Array, names: Array | None) -> None:
        self.objective, self.logits, self.names = objective, logits, names

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, X: npt.NDArray[np.int64]) -> Array:
        return self.objective.answer(self.logits[X])


class _ClassAnswers(ClassifierMixin, _Answers):  # type: ignore[misc]
    """The same for a classifier; its classes are numbers unless `names` has them."""

    @property
    def classes_(self) -> Array | list[Array]:
        count = self.logits.shape[1]
        if self.objective.takes_matrix:  # the two of each label, as scikit-learn has them
            return [np.arange(2)] * count
        return np.arange(count) if self.names is None else self.names

    def predict(self, X: npt.NDArray[np.int64]) -> Array:
        predicted = super().predict(X)
        return predicted if self.names is None else self.names[predicted]

    def predict_proba(self, X: npt.NDArray[np.int64]) -> Array:
        return self.objective.predict_proba(self.logits[X])

    def decision_function(self, X: npt.NDArray[np.int64]) -> Array:
        return self.objective.decision_function(self.logits[X])
