"""Temperatures that make probabilities mean what they say, and how well they do.

A temperature divides all logits. It changes how sure a model is, and not which class is
the likeliest (Guo, Pleiss, Sun & Weinberger 2017, *On Calibration of Modern Neural Networks*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bertsent.objectives.base import ReportTable
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.objectives.base import Array

Float64: TypeAlias = "npt.NDArray[np.float64]"

# Temperatures beyond these are as good as infinite, or none.
LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 0.01, 100.0
# The number of bins of Guo et al.
N_BINS = 15


class Bin(NamedTuple):
    """Predictions of similar confidence.

    Attributes
    ----------
    size : int
        Number of predictions.
    confidence, accuracy : float
        Mean probability, and the share of the predictions that came true.
    """

    size: int
    confidence: float
    accuracy: float


def best_temperature(logits: Array, targets: npt.NDArray[np.integer]) -> float:
    """Return the temperature with the highest likelihood.

    If each text has its largest logit at its class, the likelihood grows for ever as the
    temperature falls. Such texts say nothing about how sure to be, and it is 1. Otherwise it is at
    least `LEAST_TEMPERATURE` and at most `LARGEST_TEMPERATURE`.

    Parameters
    ----------
    logits : ndarray of shape (n_texts, n_classes)
    targets : ndarray of int, shape (n_texts,)
        Class numbers.
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    each = np.arange(len(targets))
    margins = logits.astype(np.float64)
    margins = margins - margins[each, targets][:, None]

    def slope(sharpness: float) -> float:
        """The slope of the mean loss by 1 / temperature, which rises."""
        return float((softmax(sharpness * margins, axis=1) * margins).sum(axis=1).mean())

    least, largest = 1.0 / LARGEST_TEMPERATURE, 1.0 / LEAST_TEMPERATURE
    if not len(targets) or margins.max() <= 0.0:
        return 1.0
    if slope(largest) <= 0.0:
        return LEAST_TEMPERATURE
    if slope(least) >= 0.0:
        return LARGEST_TEMPERATURE
    return 1.0 / float(brentq(slope, least, largest))


def bin_predictions(probabilities: Float64, came_true: Array) -> list[Bin]:
    """Return the predictions in bins of equal width of their probability; empty ones are left out.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (n,)
    came_true : ndarray of bool, shape (n,)
    """
    numbers = np.minimum((probabilities * N_BINS).astype(np.int64), N_BINS - 1)
    counts, sums, hits = (
        np.bincount(numbers, weights, N_BINS) for weights in (None, probabilities, came_true)
    )
    return [
        Bin(int(count), float(total / count), float(hit / count))
        for count, total, hit in zip(counts, sums, hits, strict=True) if count
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy."""
    total = sum(each.size for each in bins)
    return sum(each.size * abs(each.confidence - each.accuracy) for each in bins) / total


def judge_classes(probabilities: Float64, targets: npt.NDArray[np.integer]) -> dict[str, float]:
    """Return expected calibration error and Brier score of the probabilities of classes.

    The Brier score is that of scikit-learn: the mean squared error of the probability of the
    second class if there are two, and otherwise the sum of the squared errors of all classes.
    """
    chosen = probabilities.argmax(axis=1)
    bins = bin_predictions(probabilities.max(axis=1), chosen == targets)
    squared = (probabilities - np.eye(probabilities.shape[1])[targets]) ** 2
    halves = 2.0 if probabilities.shape[1] == 2 else 1.0
    brier = float(squared.sum(axis=1).mean()) / halves
    return {"ece": calibration_error(bins), "brier": brier}


def judge_labels(probabilities: Float64, has: Array) -> dict[str, float]:
    """Return expected calibration error and Brier score of each label, the means over labels."""
    errors = [
        calibration_error(bin_predictions(*label))
        for label in zip(probabilities.T, has.T, strict=True)
    ]
    return {"ece": float(np.mean(errors)), "brier": float(((probabilities - has) ** 2).mean())}


def calibration_table(report: Mapping[str, Any]) -> ReportTable:
    """Return what a report says about the calibration as a table."""
    temperature, judged = report["temperature"], {"as trained": report["uncalibrated"]}
    if report["calibrated"] is not None:
        several = isinstance(temperature, list)
        name = "one temperature a label" if several else f"temperature {temperature:.4g}"
        judged[f"calibrated, {name}"] = report["calibrated"]
    return ReportTable("", ["probabilities", "calibration error", "Brier score"], [
        [name, *(f"{values[key]:.4f}" for key in ("ece", "brier"))]
        for name, values in judged.items()
    ])


def require_temperature(calibration: object) -> None:
    """Raise a ValueError if no temperature was learned."""
    if calibration is None:
        raise ValueError(
            f"{spell('calibrated', True)} needs a temperature, which is learned on held-out texts "
            f"at the end of training, but this model has none; train it with "
            f"{spell('validation_fraction', 0.1)}"
        )
