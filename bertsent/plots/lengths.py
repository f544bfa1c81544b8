"""`LengthDisplay`: how long texts are, what is read of them, and how well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier import predictor
from bertsent.system import BLUE, QUIET, VERMILION, make_axes

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from bertsent.classifier import BertEstimator
    from bertsent.texts import Texts

# Fewer texts than this say nothing about a length, so that bins are joined.
_FEWEST = 20
_MOST_POINTS = 12


class LengthDisplay:
    """Lengths of texts in tokens, what is read of them, and the metric by length.

    Create it with `from_estimator`, which also plots it. The upper plot is a histogram: bars of
    texts that are read as a whole, and of those that are read in part. The lower one, if there are
    labels, has the metric of texts of similar length, with intervals of 95 %.

    Parameters
    ----------
    tokens : array of int, shape (n_texts,)
        Number of tokens of each text.
    tokens_read : array of int, shape (n_texts,)
        Number of those that are read.
    values : array of float, shape (n_texts,), or None, default=None
        The metric of each text, such as 1 for a correct prediction and 0 for a wrong one.
    metric : str, default="accuracy"
        Name of the metric.
    max_length : int or None, default=None
        Number of tokens that the model reads at once, which is marked.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The histogram.
    axes_ : ndarray of matplotlib Axes
        All plots.
    figure_ : matplotlib Figure
        The figure with the plots.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertClassifier, LengthDisplay
    >>> test = pd.read_csv("held-out.csv")
    >>> clf = BertClassifier.from_pretrained("tickets-model")
    >>> display = LengthDisplay.from_estimator(clf, test["text"], test["team"])
    >>> len(display.tokens), len(display.axes_)
    (16, 2)
    """

    ax_: Axes
    axes_: npt.NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        tokens: npt.ArrayLike,
        tokens_read: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        *,
        metric: str = "accuracy",
        max_length: int | None = None,
    ) -> None:
        self.tokens = np.asarray(tokens)
        self.tokens_read = np.asarray(tokens_read)
        self.values = None if values is None else np.asarray(values, dtype=np.float64)
        self.metric = metric
        self.max_length = max_length

    @classmethod
    def from_estimator(
        cls, estimator: BertEstimator, X: Texts, y: Any = None, *, ax: Any = None
    ) -> Self:
        """Plot the lengths of texts, as a fitted estimator reads them.

        Parameters
        ----------
        estimator : BertClassifier or BertRegressor
            Fitted.
        X : list, Series, array or table of one column of str, or two for pairs
            The texts. The length of a pair is that of both texts together.
        y : as in `fit`, or None, default=None
            Labels or numbers. With them, the texts are also scored. The metric is that of
            ``history_``: the accuracy, the F1 of the labels of a text, or the absolute error.
        ax
            As in `plot`.

        Returns
        -------
        display : LengthDisplay

        Raises
        ------
        TypeError, ValueError
            An item of `X` is not a text, there are none, or `y` is not valid.
        """
        ready = predictor(estimator)
        tokens, read = ready.count_tokens(X)
        if not len(tokens):
            raise ValueError("X is empty; there is nothing to plot")
        values, objective = None, ready.objective
        if y is not None:
            targets = objective.encode(y, len(tokens), "y")
            values = objective.pointwise_metric(ready.logits(X), targets)
        lengths = estimator.max_length_
        length = lengths[0] if isinstance(lengths, list) else lengths
        display = cls(tokens, read, values, metric=objective.metric, max_length=length)
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Plot the lengths, and the metric by length if it is known.

        Parameters
        ----------
        ax : matplotlib Axes, array of two of them or None, default=None
            Where to plot; a single one is for the histogram. None makes a new figure.

        Returns
        -------
        self : LengthDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        n = 1 if self.values is None or (ax is not None and np.size(ax) == 1) else 2
        axes = make_axes(ax, n, rows=True)
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        self._plot_lengths(axes[0])
        if n == 2:
            self._plot_metric(axes[1])
        for own in axes:
            own.set_xscale("log")
            low, high = own.get_xlim()
            own.xaxis.set_major_formatter("{x:.0f}")
            # Between powers of ten, only where these are too few.
            own.xaxis.set_minor_formatter("{x:.0f}" if high < 20 * low else "")
            if self.max_length is not None:
                own.axvline(self.max_length, color=QUIET, linestyle=":", linewidth=1)
        axes[-1].set_xlabel("tokens")
        return self

    def _plot_lengths(self, ax: Axes) -> None:
        lengths = np.maximum(self.tokens, 1)
        # Whole numbers are between the edges, so that no bin is empty for being too narrow.
        edges = np.unique(np.rint(np.geomspace(lengths.min(), lengths.max() + 1, 31))) - 0.5
        whole = self.tokens_read >= self.tokens
        ax.hist(
            [lengths[whole], lengths[~whole]], edges.tolist(), stacked=True,
            color=[BLUE, VERMILION],
            label=[
                f"read as a whole ({whole.mean():.0%})", f"read in part ({1 - whole.mean():.0%})",
            ],
        )
        share = self.tokens_read.sum() / max(1, self.tokens.sum())
        ax.set(ylabel="texts", title=f"{share:.0%} of all tokens are read")
        ax.title.set_fontsize(10)
        ax.legend(frameon=False)

    def _plot_metric(self, ax: Axes) -> None:
        assert self.values is not None
        order = np.argsort(self.tokens, kind="stable")
        count = int(np.clip(len(order) // _FEWEST, 1, _MOST_POINTS))
        found = []
        for rows in np.array_split(order, count):
            low, high = _interval(self.values[rows])
            found.append((np.median(np.maximum(self.tokens[rows], 1)),
                          self.values[rows].mean(), low, high))
        x, mean, low, high = np.array(found).T
        ax.errorbar(
            x, mean, [np.maximum(mean - low, 0), np.maximum(high - mean, 0)], fmt="o-", color=BLUE,
            markersize=4, elinewidth=1, capsize=2,
        )
        ax.axhline(self.values.mean(), color=QUIET, linestyle=":", linewidth=1)
        ax.set_ylabel(self.metric, parse_math=False)


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return a 95 % interval of the mean: Wilson's for values of 0 and 1, a normal one else."""
    z, n, mean = 1.96, len(values), values.mean()
    if np.isin(values, (0.0, 1.0)).all():
        middle = (mean + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
        return float(middle - half), float(middle + half)
    half = z * values.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
    return float(mean - half), float(mean + half)
