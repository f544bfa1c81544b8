"""`ThresholdDisplay`: precision, recall and cost of a decision by its threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier import predictor
from bertsent.system import BLUE, GREEN, QUIET, VERMILION, make_axes
from bertsent.texts import in_memory

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from bertsent.classifier import BertClassifier
    from bertsent.objectives import Objective
    from bertsent.texts import Labels, Texts


class ThresholdDisplay:
    """Precision, recall and cost of a yes-or-no decision, by the threshold of its probability.

    Create it with `from_estimator` or `from_predictions`, which also plot it. It shows what another
    `decision_threshold` or `label_threshold` would do. Choose thresholds on held-out texts, not on
    those of the final test.

    Parameters
    ----------
    thresholds : array of float, shape (n_thresholds,)
        Probabilities, ascending, from which the decision is yes. With costs, the last one is above
        all probabilities of the texts, so the decision is never yes.
    precision, recall : array of float, shape (n_thresholds,)
        Precision is NaN where the decision is never yes.
    cost : array of float, shape (n_thresholds,), or None, default=None
        Mean cost of a text.
    threshold : float or None, default=None
        The threshold in use, which is marked.
    name : str or None, default=None
        The class or label that is decided.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The plot of precision and recall, from 0 to 1.
    cost_ax_ : matplotlib Axes or None
        The plot of the cost, which shares the horizontal axis with `ax_`; None without costs.
    figure_ : matplotlib Figure
        The figure with the plot.

    Examples
    --------
    >>> from bertsent import ThresholdDisplay
    >>> display = ThresholdDisplay.from_predictions(
    ...     [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9], cost_matrix=[[0, 1], [5, 0]])
    >>> display.thresholds.round(2).tolist()
    [0.1, 0.4, 0.6, 0.9, 0.9]
    >>> display.precision.round(2).tolist()
    [0.5, 0.67, 0.5, 1.0, nan]
    >>> display.best_threshold
    0.4
    """

    ax_: Axes
    cost_ax_: Axes | None
    figure_: Figure

    def __init__(
        self,
        thresholds: npt.ArrayLike,
        precision: npt.ArrayLike,
        recall: npt.ArrayLike,
        *,
        cost: npt.ArrayLike | None = None,
        threshold: float | None = None,
        name: str | None = None,
    ) -> None:
        self.thresholds = np.asarray(thresholds, dtype=np.float64)
        self.precision = np.asarray(precision, dtype=np.float64)
        self.recall = np.asarray(recall, dtype=np.float64)
        self.cost = None if cost is None else np.asarray(cost, dtype=np.float64)
        self.threshold = threshold
        self.name = name

    @property
    def best_threshold(self) -> float:
        """The threshold with the lowest cost, or with the highest F1 if there are no costs.

        If it costs least never to decide yes, the threshold is just above the largest probability,
        and above 1 if that is 1.
        """
        return float(self.thresholds[self._best])

    @property
    def _best(self) -> int:
        if self.cost is not None:
            return int(self.cost.argmin())
        return int(np.nan_to_num(self.f1).argmax())

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """F1 at each threshold, shape (n_thresholds,)."""
        total = self.precision + self.recall
        found: npt.NDArray[np.float64] = np.divide(
            2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0
        )
        return found

    @classmethod
    def from_estimator(
        cls,
        estimator: BertClassifier,
        X: Texts,
        y: Labels,
        *,
        label: Any = None,
        cost_matrix: npt.ArrayLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Score texts, and plot precision, recall and cost.

        Parameters
        ----------
        estimator : BertClassifier
            Fitted, with two classes, of which the second of ``classes_`` is decided; or for texts
            with several labels.
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        y : as in `fit`
            Their labels.
        label : label or None, default=None
            The label that is decided, if a text can have several.
        cost_matrix : array of shape (2, 2) or None, default=None
            What each decision costs; a row for each truth (no, yes) and a column for each decision.
            None is the `cost_matrix` of the estimator, if it has one.
        ax : matplotlib Axes or None, default=None
            As in `plot`.

        Returns
        -------
        display : ThresholdDisplay

        Raises
        ------
        TypeError, ValueError
            The estimator decides between more than two classes or predicts numbers, `label` is
            missing or unknown, or `X` or `y` is not valid.
        """
        ready = predictor(estimator)
        objective = ready.objective
        column, threshold = _decision(objective, label)
        costs = getattr(objective, "costs", None)
        if costs is not None:
            threshold = _threshold_of(costs)
        used = costs if cost_matrix is None else _check_costs(cost_matrix)
        # Scoring takes long, so everything else is checked before.
        X = in_memory(X)
        targets = objective.encode(y, len(ready.texts(X)), "y")
        truth = (targets if targets.ndim == 1 else targets[:, column]) > 0
        _check_any(truth, "y")
        probability = objective.predict_proba(ready.logits(X))[:, column]
        return cls.from_predictions(
            truth, probability, cost_matrix=used, threshold=threshold,
            name=objective.label_names[column], ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: npt.ArrayLike,
        y_proba: npt.ArrayLike,
        *,
        cost_matrix: npt.ArrayLike | None = None,
        threshold: float | None = None,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Plot precision, recall and cost of given probabilities.

        Parameters
        ----------
        y_true : array of bool or of 0 and 1, shape (n_texts,)
            What is true.
        y_proba : array of float, shape (n_texts,)
            Probability that it is.
        cost_matrix : array of shape (2, 2) or None, default=None
            As in `from_estimator`.
        threshold, name
            As in the class.
        ax : matplotlib Axes or None, default=None
            As in `plot`.

        Returns
        -------
        display : ThresholdDisplay

        Raises
        ------
        ValueError
            The arrays are empty, of different lengths, or contain something else, or no text is of
            the class.
        """
        truth, probability = np.asarray(y_true), np.asarray(y_proba, dtype=np.float64)
        if truth.ndim != 1 or truth.shape != probability.shape or not len(truth):
            raise ValueError(
                f"y_true has the shape {truth.shape} and y_proba {probability.shape}; expected one "
                "truth and one probability for each of at least one text"
            )
        if not np.isin(truth, (0, 1)).all():
            raise ValueError("y_true: expected only 0 and 1, or False and True")
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ValueError("y_proba: expected only numbers from 0 to 1")
        yes = truth.astype(bool)
        _check_any(yes, "y_true")
        each = None if cost_matrix is None else _check_costs(cost_matrix)
        thresholds = np.unique(probability)
        if each is not None:
            # Never to decide yes can cost least. Classifiers compare probabilities in float32.
            never = np.nextafter(np.float32(thresholds[-1]), np.float32(2))
            thresholds = np.append(thresholds, float(never))
        # Of the texts in ascending order, those from `first` on are decided with yes.
        order = np.argsort(probability, kind="stable")
        first = np.searchsorted(probability[order], thresholds)
        positives = yes.sum()
        missed = np.concatenate([[0], np.cumsum(yes[order])])[first]
        decided = len(yes) - first
        hit = positives - missed
        precision = np.divide(hit, decided, out=np.full(len(hit), np.nan), where=decided > 0)
        cost = None
        if each is not None:
            refused = first - missed
            cost = (
                each[1, 1] * hit + each[0, 1] * (decided - hit) + each[1, 0] * missed
                + each[0, 0] * refused
            ) / len(yes)
        display = cls(
            thresholds, precision, hit / positives, cost=cost, threshold=threshold, name=name
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Plot precision and recall, and the cost on an axis of its own if there are costs.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to plot. None makes a new figure.

        Returns
        -------
        self : ThresholdDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        (axes,) = make_axes(ax)
        self.ax_, self.cost_ax_, self.figure_ = axes, None, axes.figure
        lines = axes.plot(self.thresholds, self.precision, "-", color=BLUE, label="precision")
        lines += axes.plot(self.thresholds, self.recall, "--", color=VERMILION, label="recall")
        if self.cost is not None:
            self.cost_ax_ = axes.twinx()
            lines += self.cost_ax_.plot(
                self.thresholds, self.cost, "-.", color=GREEN, label="mean cost (right)"
            )
            self.cost_ax_.set_ylabel("mean cost of a text")
        best = "lowest cost" if self.cost is not None else "highest F1"
        never = np.isnan(self.precision[self._best])
        lines.append(axes.axvline(
            self.best_threshold, color=QUIET, linestyle=(0, (1, 3)), linewidth=1.5,
            label=f"{best}: {'never' if never else format(self.best_threshold, '.3f')}",
        ))
        if self.threshold is not None:
            lines.append(axes.axvline(
                self.threshold, color=QUIET, linewidth=1, label=f"in use: {self.threshold:.3f}"
            ))
        decided = "" if self.name is None else f" of {self.name!r}"
        # A name is no formula, even if it has dollar signs.
        axes.set_xlabel(f"threshold of the probability{decided}", parse_math=False)
        axes.set(ylabel="precision and recall", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        # Above the plot, where no line is.
        axes.legend(
            handles=lines, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False
        )
        return self


def _decision(objective: Objective, label: Any) -> tuple[int, float | None]:
    """Return the column of the probabilities that is decided, and its threshold."""
    if objective.classes is None:
        raise TypeError(
            "this model predicts numbers, which no threshold decides; plot them with "
            "scikit-learn's PredictionErrorDisplay"
        )
    if np.ndim(label) > 0:
        raise ValueError("label: expected one label that is decided, got several")
    names = ", ".join(map(str, objective.classes.tolist()[:20]))
    thresholds = getattr(objective, "used_thresholds", None)
    if thresholds is None:
        if len(objective.classes) != 2:
            raise ValueError(
                f"a threshold decides between two classes, but the model has "
                f"{len(objective.classes)}: {names}; plot one class against all others with "
                "from_predictions"
            )
        if label is not None and label != objective.classes[1]:
            raise ValueError(
                f"label={label!r}: the probability of the second class, {objective.classes[1]!r}, "
                "is compared with the threshold; leave out label"
            )
        threshold = getattr(objective, "threshold", None)
        return 1, 0.5 if threshold is None else float(threshold)
    found = np.flatnonzero([each == label for each in objective.classes.tolist()])
    if len(found) != 1:
        raise ValueError(
            f"label={label!r}: expected the label that is decided, one of {names}"
        )
    return int(found[0]), float(thresholds[found[0]])


def _check_any(yes: npt.NDArray[np.bool_], name: str) -> None:
    if len(yes) and not yes.any():
        raise ValueError(f"{name} has no text of the class, so the recall is not defined")


def _check_costs(costs: npt.ArrayLike) -> npt.NDArray[np.float64]:
    each = np.asarray(costs, dtype=np.float64)
    if each.shape != (2, 2) or not np.isfinite(each).all():
        raise ValueError(
            "cost_matrix: expected two rows (truth) of two finite numbers (decision), such as "
            "[[0, 1], [5, 0]]"
        )
    return each


def _threshold_of(costs: npt.NDArray[np.float64]) -> float | None:
    """Return the probability from which the second class costs less; None if it never changes."""
    false_alarm, miss = costs[0, 1] - costs[0, 0], costs[1, 0] - costs[1, 1]
    if false_alarm < 0 or miss < 0 or false_alarm + miss == 0:
        return None
    return float(false_alarm / (false_alarm + miss))
