"""Ordered classes, such as one to five stars: one for each text, near misses cost less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.objectives.base import ReportTable
from bertsent.objectives.classification import SingleLabelClassification, log_probabilities
from bertsent.texts import LabelType, abbreviate, learn_ordered_labels

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.files import Field
    from bertsent.objectives.base import Columns
    from bertsent.texts import Labels

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Targets: TypeAlias = "npt.NDArray[np.int32]"

# Classes without texts that are named.
_MOST_NAMED = 5


@dataclass(frozen=True, eq=False)
class OrdinalClassification(SingleLabelClassification):
    """Classification into ordered classes, by the cumulative cross-entropy.

    Targets are ranks, the numbers of the classes from the lowest to the highest. The probability
    that the class is above one of them is the sum of the softmax over all higher classes, so these
    probabilities never contradict each other. The loss is the mean of their binary cross-entropies,
    a proper score (Tödter & Ahrens 2012, *Generalization of the Ignorance Score*). Logits and
    probabilities are those of a model of one class per text, which other programs open.

    Of the probabilities, the median is predicted: the lowest class that at least half of them do
    not exceed. It has the least expected error in ranks.
    """

    problem_type = "ordinal_classification"
    purpose = "chooses one of several ordered classes"
    loss = "cumulative_cross_entropy"
    further_metrics = {"mae": False, "quadratic_kappa": True}

    @classmethod
    def learn(
        cls, y: Labels, n_texts: int, name: str = "y", order: Sequence[Any] | None = None
    ) -> tuple[OrdinalClassification, Targets]:
        labels, codes = learn_ordered_labels(y, n_texts, name, order)
        return cls(labels), codes

    @classmethod
    def from_json(cls, content: Field) -> OrdinalClassification:
        labels = LabelType.from_json(content, is_sorted=False)
        return cls(labels, calibration=cls._read_calibration(content))

    def describe_doubts(self, targets: Targets) -> list[str]:
        counts = np.bincount(targets, minlength=len(self.classes))
        missing = [
            abbreviate(name)
            for name, count in zip(self.label_names, counts.tolist(), strict=True) if not count
        ]
        lines = super().describe_doubts(targets)
        if missing:
            more = len(missing) - _MOST_NAMED
            lines.append(
                f"no text has the class {', '.join(missing[:_MOST_NAMED])}"
                + (f" or {more} more" if more > 0 else "")
                + ", so that the model learns never to predict it"
            )
        return lines

    @property
    def identity(self) -> list[str]:
        return [self.loss, *self.label_names]

    # --- logits against targets -------------------------------------------------------------

    def pointwise_loss(self, logits: Float32, targets: Targets) -> Float64:
        """Return the cumulative cross-entropy in nats, the mean over the thresholds."""
        return cumulative_losses(log_probabilities(logits, self.used_temperature), targets, 0.0)

    def evaluate(self, logits: Float32, targets: Targets) -> dict[str, float]:
        """Return loss, accuracy, mean absolute error in ranks and quadratic weighted kappa."""
        predicted = self.answer(logits)
        errors = np.abs(predicted - targets)
        return super().evaluate(logits, targets) | {
            "mae": float(errors.mean()), "quadratic_kappa": quadratic_kappa(targets, predicted),
        }

    def answer(self, logits: Float32) -> npt.NDArray[np.int64]:
        """Return the ranks of the medians, unless costs or a threshold decide."""
        if self.costs is not None or self.threshold is not None:
            return super().answer(logits)
        found: npt.NDArray[np.int64] = (self.above(logits) > 0.5).sum(axis=1)
        return found

    def uncertainty(self, logits: Float32) -> Float64:
        """Return how near the median is to another one, from 0 to 1.

        It changes where the probability of a class above one of them passes 0.5. Costs and a
        threshold decide as for classes without an order.
        """
        if self.costs is not None or self.threshold is not None:
            return super().uncertainty(logits)
        nearest: Float64 = np.abs(self.above(logits) - 0.5).min(axis=1)
        return 1.0 - 2.0 * nearest

    @property
    def decision(self) -> dict[str, Any]:
        # The median has the least expected distance.
        ranks = np.arange(len(self.classes))
        return super().decision or {"cost_matrix": np.abs(np.subtract.outer(ranks, ranks)).tolist()}

    def above(self, logits: Float32) -> Float64:
        """Return the probability that the class is above each one but the highest."""
        probabilities = self.predict_proba(logits)
        sums: Float64 = np.cumsum(probabilities[:, :0:-1], axis=1)[:, ::-1]
        return sums

    def record(self, logits: Float32, targets: Targets, label_smoothing: float) -> Columns:
        """Return the values of a model of one class per text, with the loss of this one."""
        losses = cumulative_losses(log_probabilities(logits), targets, label_smoothing)
        return super().record(logits, targets, label_smoothing) | {"loss": losses}

    def report(self, logits: Float32, targets: Targets) -> dict[str, Any]:
        """Return the report of a model of one class per text, and how far errors are."""
        return self.evaluate(logits, targets) | super().report(logits, targets)

    def report_tables(self, report: Mapping[str, Any]) -> list[ReportTable]:
        each, *others = super().report_tables(report)
        distances = ReportTable("", ["distance from the true class", ""], [
            ["mean absolute error in ranks", f"{report['mae']:.4f}"],
            ["quadratic weighted kappa", f"{report['quadratic_kappa']:.4f}"],
        ])
        return [each, distances, *others]

    def describe_cases(self, logits: Float32, targets: Targets) -> list[dict[str, Any]]:
        cases = super().describe_cases(logits, targets)
        errors = self.answer(logits) - targets
        return [
            case | {"error in ranks": f"{error:+d}" if error else "0"}
            for case, error in zip(cases, errors.tolist(), strict=True)
        ]


def cumulative_losses(logs: Float64, targets: Targets, smoothing: float) -> Float64:
    """Return the cumulative cross-entropy of each text, the mean over the thresholds.

    Parameters
    ----------
    logs : ndarray of float64, shape (n_texts, n_classes)
        Logarithms of the probabilities.
    targets : ndarray of int, shape (n_texts,)
    smoothing : float
        Share of each target that is spread evenly over all classes.
    """
    count = logs.shape[1]
    up_to = np.logaddexp.accumulate(logs, axis=1)[:, :-1]
    above = np.logaddexp.accumulate(logs[:, ::-1], axis=1)[:, -2::-1]
    threshold = np.arange(count - 1)
    is_above = (1.0 - smoothing) * (targets[:, None] > threshold) + (
        smoothing * (count - 1 - threshold) / count
    )
    losses: Float64 = -(is_above * above + (1.0 - is_above) * up_to).mean(axis=1)
    return losses


def cumulative_slopes(logs: Float64, targets: Targets) -> Float64:
    """Return the gradient of each of `cumulative_losses` without smoothing, at the logits.

    Parameters
    ----------
    logs : ndarray of float64, shape (n_texts, n_classes)
        Logarithms of the probabilities.
    targets : ndarray of int, shape (n_texts,)

    Returns
    -------
    ndarray of float64, shape (n_texts, n_classes)
    """
    count = logs.shape[1]
    up_to = np.logaddexp.accumulate(logs, axis=1)[:, :-1]
    above = np.logaddexp.accumulate(logs[:, ::-1], axis=1)[:, -2::-1]
    is_above = targets[:, None] > np.arange(count - 1)
    # The probability of each class where the truth is above a threshold, given that it is; the sum
    # over the thresholds. Logarithms, because one over a probability can overflow.
    never = np.full((len(logs), 1), -np.inf)
    of_above = np.logaddexp.accumulate(np.where(is_above, -above, -np.inf), axis=1)
    of_up_to = np.logaddexp.accumulate(np.where(is_above, -np.inf, -up_to)[:, ::-1], axis=1)
    given = np.exp(logs + np.hstack([never, of_above])) + np.exp(
        logs + np.hstack([of_up_to[:, ::-1], never])
    )
    slopes: Float64 = np.exp(logs) - given / (count - 1)
    return slopes


def quadratic_kappa(truth: npt.NDArray[np.integer], predicted: npt.NDArray[np.integer]) -> float:
    """Return Cohen's kappa with squared distances of ranks as weights.

    It is 1 minus the mean squared error, divided by that of the same predictions in random order.
    If all ranks are the same, chance explains everything, and it is 0.
    """
    a, b = truth.astype(np.float64), predicted.astype(np.float64)
    by_chance = a.var() + b.var() + (a.mean() - b.mean()) ** 2
    return float(1.0 - ((a - b) ** 2).mean() / by_chance) if by_chance > 0.0 else 0.0
