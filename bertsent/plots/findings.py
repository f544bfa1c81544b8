"""`AuditDisplay`: what an audit of training data found, and a map of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertsent.classifier import predictor
from bertsent.system import BLUE, GREEN, VERMILION, make_axes, whole_numbers
from bertsent.texts import check_texts

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from bertsent.classifier import BertClassifier
    from bertsent.texts import Labels, Texts

# Bars; the rarest kinds of findings are left out if there are more.
_MOST_BARS = 15
# Texts of the map; more would hide each other.
_MOST_DOTS = 5000
# From this score on, the label is probably wrong (docs/audit.md).
_DOUBTED = 0.5


class AuditDisplay:
    """What `BertClassifier.audit` found, and a map of the training texts.

    Create it with `from_estimator` or `from_audit`, which also plot it. The first plot counts the
    findings: labels that are probably wrong, by label and suggested label, near-duplicates with
    different labels, and leaks. The second one is a data map [1]_: each training text by the mean
    probability of its label over the epochs, and by the standard deviation of that. Texts at the
    bottom left were always predicted otherwise, and many of them have a wrong label. Labels that
    the audit doubts are marked.

    Parameters
    ----------
    findings : DataFrame
        As `BertClassifier.audit` returns it. `from_estimator` counts rows from 0, whatever the
        index of the texts is.
    example_history : DataFrame or None, default=None
        As ``example_history_``. With several epochs, there is a data map.

    Attributes
    ----------
    counts : Series of int
        Number of findings of each kind, the most frequent first.
    data_map : DataFrame or None
        ``confidence``, ``variability`` and ``doubted`` of each training text. None without a
        history of several epochs.
    ax_ : matplotlib Axes
        The plot of the counts.
    axes_ : ndarray of matplotlib Axes
        All plots.
    figure_ : matplotlib Figure
        The figure with the plots.

    References
    ----------
    .. [1] Swayamdipta et al. (2020), Dataset Cartography: Mapping and Diagnosing Datasets with
       Training Dynamics.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import AuditDisplay, BertClassifier
    >>> train = pd.read_csv("tickets.csv")
    >>> clf = BertClassifier("bert-base-uncased", track_examples=True, epochs=2, verbose=0)
    >>> clf = clf.fit(train["text"], train["team"])
    >>> display = AuditDisplay.from_estimator(clf, train["text"])
    >>> display.data_map.columns.tolist()
    ['confidence', 'variability', 'doubted']
    """

    ax_: Axes
    axes_: npt.NDArray[Any]
    figure_: Figure

    def __init__(
        self, findings: pd.DataFrame, example_history: pd.DataFrame | None = None
    ) -> None:
        self.findings = findings
        self.example_history = example_history
        self.counts = _count(findings)
        self.data_map = None
        if example_history is not None and example_history["epoch"].nunique() > 1:
            self.data_map = _map(findings, example_history)

    @classmethod
    def from_estimator(
        cls,
        estimator: BertClassifier,
        X: Texts | None = None,
        X_test: Texts | None = None,
        y_test: Labels | None = None,
        *,
        threshold: float = 0.5,
        ax: Any = None,
    ) -> Self:
        """Audit the training data of a fitted classifier, and plot the findings.

        Parameters
        ----------
        estimator : BertClassifier
            Fitted with ``track_examples=True``.
        X, X_test, y_test, threshold
            As in `BertClassifier.audit`.
        ax
            As in `plot`.

        Returns
        -------
        display : AuditDisplay

        Raises
        ------
        ValueError
            As in `BertClassifier.audit`.
        """
        predictor(estimator)  # also for an estimator without an audit
        if not hasattr(estimator, "audit"):
            raise TypeError("the audit judges class labels, but this model predicts numbers")
        # By number, as in the history of the texts, whatever index X has.
        texts = None if X is None else check_texts(X, "X")
        found = estimator.audit(texts, X_test=X_test, y_test=y_test, threshold=threshold)
        return cls(found, estimator.example_history_).plot(ax)

    @classmethod
    def from_audit(
        cls, findings: pd.DataFrame, example_history: pd.DataFrame | None = None, *, ax: Any = None
    ) -> Self:
        """Plot findings that are there already.

        Parameters
        ----------
        findings, example_history
            As in the class.
        ax
            As in `plot`.

        Returns
        -------
        display : AuditDisplay

        Raises
        ------
        ValueError
            The findings have the rows of other texts than the history.
        """
        return cls(findings, example_history).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Plot the number of findings, and the data map if there is one.

        Parameters
        ----------
        ax : matplotlib Axes, array of two of them or None, default=None
            Where to plot; a single one is for the number of findings. None makes a new figure.

        Returns
        -------
        self : AuditDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        n = 1 if self.data_map is None or (ax is not None and np.size(ax) == 1) else 2
        axes = make_axes(ax, n)
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        self._plot_counts(axes[0])
        if n == 2:
            self._plot_map(axes[1])
        return self

    def _plot_counts(self, ax: Axes) -> None:
        shown = self.counts[:_MOST_BARS][::-1]
        places = np.arange(len(shown))
        bars = ax.barh(places, shown.to_numpy(), color=BLUE, height=0.7)
        ax.bar_label(bars, padding=3)
        # A label is no formula, even if it has dollar signs.
        ax.set_yticks(places, [str(name) for name in shown.index], parse_math=False)
        ax.set(xlabel="training texts" if len(shown) else "nothing was found")
        ax.margins(x=0.15)
        ax.set_ylim(-0.6, max(len(shown), 4) - 0.4)
        whole_numbers(ax)

    def _plot_map(self, ax: Axes) -> None:
        assert self.data_map is not None
        every = max(1, -(-len(self.data_map) // _MOST_DOTS))
        calm = self.data_map[~self.data_map["doubted"]][::every]
        doubted = self.data_map[self.data_map["doubted"]]
        ax.plot(calm["variability"], calm["confidence"], ".", color=GREEN, markersize=4, alpha=0.5,
                label="label is plausible")
        ax.plot(doubted["variability"], doubted["confidence"], "x", color=VERMILION, markersize=5,
                label="label is doubted")
        ax.set(xlabel="standard deviation over epochs", ylabel="mean probability of the label",
               ylim=(-0.02, 1.02))
        ax.legend(frameon=False)


def _count(findings: pd.DataFrame) -> pd.Series[int]:
    """Return the number of findings by what they are, the most frequent first."""
    doubts = findings[(findings["kind"] == "label") & (findings["score"] > _DOUBTED)]
    pairs = [
        f"{label} → {other}" if label != other else f"{label} ?"
        for label, other in zip(doubts["label"], doubts["suggested"], strict=True)
    ]
    duplicates = findings["kind"].eq("duplicate") & findings["disagree"].astype(bool)
    leaks = findings["kind"].eq("leak")
    names = pairs + ["duplicates that disagree"] * int(duplicates.sum())
    names += ["leaks into held-out texts"] * int(leaks.sum())
    return pd.Series(names, dtype=object).value_counts(sort=True)


def _map(findings: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return confidence and variability of each training text, and whether its label is doubted."""
    by = history.groupby("row")["probability"]
    found = pd.DataFrame({"confidence": by.mean(), "variability": by.std(ddof=0)})
    labels = findings[findings["kind"] == "label"]
    if not labels["row"].isin(found.index).all():
        raise ValueError(
            "findings has rows that are not in example_history, which counts texts from 0; audit "
            "a list of the texts, without the index of a Series or table"
        )
    doubted = labels.loc[labels["score"] > _DOUBTED]
    found["doubted"] = found.index.isin(doubted["row"])
    return found
