"""The charts of reports, as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from bertsent.objectives.calibration import N_BINS, bin_predictions

if TYPE_CHECKING:
    from bertsent.objectives.base import Array

# Classes or labels with a curve of their own, the most frequent ones, and points of a curve.
MOST_CURVES, MOST_POINTS = 6, 200


class Series(NamedTuple):
    """What is drawn in one colour.

    Attributes
    ----------
    name : str
        Empty if there is nothing to tell apart.
    kind : {"line", "points", "dots", "bars"}
        Points are joined by a line, and dots are not.
    x, y : sequence of float
    note : str, default=""
        What follows the name.
    bar_width : float, default=0.0
        Width of bars, in the unit of x.
    """

    name: str
    kind: Literal["line", "points", "dots", "bars"]
    x: Sequence[float]
    y: Sequence[float]
    note: str = ""
    bar_width: float = 0.0


class ReportChart(NamedTuple):
    """A chart.

    Attributes
    ----------
    title, x_label, y_label : str
    series : list of Series
    x_range, y_range : tuple of float
    diagonal : bool, default=False
        Whether to mark where both are equal.
    x_names : list of str or None, default=None
        What is written at 0, 1 and so on, in place of numbers.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    diagonal: bool = False
    x_names: list[str] | None = None


def reliability_chart(judged: dict[str, tuple[Array, Array]]) -> ReportChart:
    """Return a reliability diagram; `judged` has probabilities and what came true, by name."""
    series = []
    for name, (probabilities, came_true) in judged.items():
        # A bin of a few texts says nothing.
        bins = [
            each for each in bin_predictions(probabilities, came_true)
            if each.size >= len(probabilities) / 200
        ]
        series.append(Series(
            name, "points", [each.confidence for each in bins], [each.accuracy for each in bins],
        ))
    probabilities = next(iter(judged.values()))[0]
    shares, edges = np.histogram(probabilities, N_BINS, (0.0, 1.0))
    centers = ((edges[1:] + edges[:-1]) / 2).tolist()
    series.append(Series(
        "share of the predictions", "bars", centers, (shares / len(probabilities)).tolist(),
        bar_width=0.8 / N_BINS,
    ))
    return ReportChart(
        "Reliability: is 90 % sure right nine times out of ten?", "probability", "came true",
        series, (0.0, 1.0), (0.0, 1.0), diagonal=True,
    )


def recall_chart(names: Sequence[str], probabilities: Array, has: Array) -> ReportChart:
    """Return the precision-recall curves of the most frequent classes or labels.

    Parameters
    ----------
    names : sequence of str
    probabilities : ndarray of shape (n_texts, n_names)
    has : ndarray of bool, shape (n_texts, n_names)
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve

    series = []
    counts = has.sum(axis=0)
    for code in np.argsort(-counts, kind="stable")[:MOST_CURVES]:
        if not counts[code]:
            continue
        precision, recall, _ = precision_recall_curve(has[:, code], probabilities[:, code])
        kept = np.unique(np.linspace(0, len(recall) - 1, MOST_POINTS).astype(int))
        average = average_precision_score(has[:, code], probabilities[:, code])
        series.append(Series(
            names[code], "line", recall[kept].tolist(), precision[kept].tolist(),
            f", average precision {average:.3f}",
        ))
    return ReportChart(
        "Precision and recall", "recall", "precision", series, (0.0, 1.0), (0.0, 1.0)
    )


def scatter_chart(name: str, truth: Array, predicted: Array) -> ReportChart:
    """Return predicted against true numbers; of many, some that are evenly spread."""
    kept = np.unique(np.linspace(0, len(truth) - 1, 5 * MOST_POINTS).astype(int))
    low, high = (float(limit(np.concatenate([truth, predicted]))) for limit in (np.min, np.max))
    margin = 0.05 * (high - low) or 0.5
    limits = low - margin, high + margin
    dots = Series("", "dots", truth[kept].tolist(), predicted[kept].tolist())
    return ReportChart(
        f"Predicted and true {name}", "true", "predicted", [dots], limits, limits, diagonal=True
    )
