"""`HistoryDisplay`: loss and metrics during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bertsent.classifier import check_fitted
from bertsent.system import BLUE, QUIET, VERMILION, make_axes, whole_numbers
from bertsent.training import read_history

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Self

    from bertsent.classifier import BertEstimator

# Columns of a history that are no loss or metric.
_COUNTS = {"member", "epoch", "step", "part", "tokens", "seconds"}
_HELD_OUT = "validation_"
Row = Mapping[str, Any]


class HistoryDisplay:
    """Loss and metrics of training and held-out texts, by epoch or by step.

    Create it with `from_estimator` or `from_log`, which also plot it. There is one plot for each
    name in `metrics`. Members of a vote are lines of the same colour. A dotted line marks the
    weights that were kept by early stopping or a time budget.

    Parameters
    ----------
    history : list of dict
        As ``history_`` of `BertClassifier`: one row for each epoch. Rows may have the ``step``
        after which the epoch ended.
    evaluations : list of dict, default=()
        As ``evaluations_``: one row for each evaluation of held-out texts. With them, evaluations
        within an epoch are shown too.
    best_step : int, None or list of these, default=None
        As ``best_step_``.
    steps : list of dict, default=()
        Rows with ``step``, ``epoch`` and what was measured at each step, such as ``loss``,
        ``learning_rate`` and ``grad_norm``. They are plotted as thin lines.
    planned : list of dict, default=()
        The ``step`` and ``epoch`` after which training is to end. They say how long an epoch is
        that is under way.
    estimator_name : str or None, default=None
        Title of the figure.

    Attributes
    ----------
    metrics_ : list of str
        Names that can be plotted, "loss" first.
    ax_ : matplotlib Axes
        The first plot.
    axes_ : ndarray of matplotlib Axes
        All plots.
    figure_ : matplotlib Figure
        The figure with the plots.

    Examples
    --------
    >>> from bertsent import BertClassifier, HistoryDisplay
    >>> clf = BertClassifier.from_pretrained("tickets-model")
    >>> display = HistoryDisplay.from_estimator(clf)
    >>> display.metrics_
    ['loss', 'accuracy']
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    ax_: Axes
    axes_: npt.NDArray[Any]
    figure_: Figure
    # Plots that version 0.1.0 pickled have none.
    steps: Sequence[Row] = ()
    planned: Sequence[Row] = ()

    def __init__(
        self,
        history: Sequence[Row],
        evaluations: Sequence[Row] = (),
        *,
        best_step: int | Sequence[int | None] | None = None,
        steps: Sequence[Row] = (),
        planned: Sequence[Row] = (),
        estimator_name: str | None = None,
    ) -> None:
        self.history = list(history)
        self.evaluations = list(evaluations)
        self.steps = list(steps)
        self.planned = list(planned)
        self.best_step = best_step
        self.estimator_name = estimator_name
        rows = (*self.history, *self.evaluations, *self.steps)
        names = [name for row in rows for name in row]
        found = dict.fromkeys(
            name.removeprefix(_HELD_OUT) for name in names if name not in _COUNTS
        )
        self.metrics_ = sorted(found, key=lambda name: name != "loss")

    @classmethod
    def from_estimator(
        cls,
        estimator: BertEstimator,
        *,
        metrics: str | Sequence[str] | None = None,
        x: Literal["epoch", "step"] = "epoch",
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : BertClassifier or BertRegressor
            Fitted.
        metrics, x, ax
            As in `plot`.
        name : str or None, default=None
            Title of the figure. None shows none.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        TypeError
            `estimator` is something else, such as a pipeline.
        ValueError
            The history is empty, as that of a model of another program, or see `plot`.
        """
        check_fitted(estimator)
        display = cls(
            estimator.history_, estimator.evaluations_, best_step=estimator.best_step_,
            estimator_name=name,
        )
        return display.plot(ax, metrics=metrics, x=x)

    @classmethod
    def from_log(
        cls,
        path: str | PathLike[str],
        *,
        metrics: str | Sequence[str] | None = None,
        x: Literal["epoch", "step"] = "step",
        name: str | None = None,
        ax: Any = None,
    ) -> Self:
        """Plot the last run in a log, with every step; the run may be under way.

        Parameters
        ----------
        path : str or path-like
            The `log_file` of a classifier or of `pretrain`.
        metrics : str, list of str or None, default=None
            As in `plot`; also "learning_rate" and "grad_norm", which a log has for each step.
        x, ax
            As in `plot`.
        name : str or None, default=None
            Title of the figure. None shows none.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        CheckpointError
            The file is no log, or has no steps.
        FileNotFoundError
            There is no such file.
        ValueError
            See `plot`.
        """
        found = read_history(path)
        display = cls(
            found.history, found.evaluations, best_step=found.best_step, steps=found.steps,
            planned=found.planned, estimator_name=name,
        )
        return display.plot(ax, metrics=metrics, x=x)

    def plot(
        self,
        ax: Any = None,
        *,
        metrics: str | Sequence[str] | None = None,
        x: Literal["epoch", "step"] = "epoch",
    ) -> Self:
        """Plot loss and metrics.

        Parameters
        ----------
        ax : matplotlib Axes, array of them or None, default=None
            Where to plot: one for each of `metrics`. None makes a new figure.
        metrics : str, list of str or None, default=None
            Names in ``metrics_``. None is the loss and, unless a single `ax` is given, the first
            metric.
        x : {"epoch", "step"}, default="epoch"
            What is on the horizontal axis. Steps are known from a log, or if texts were held out.

        Returns
        -------
        self : HistoryDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            There is no history, or a name or `x` does not occur in it.
        """
        if not self.history and not self.evaluations and not self.steps:
            raise ValueError("the history is empty: this model was not trained by fit")
        if x not in ("epoch", "step"):
            raise ValueError(f"x={x!r} is not allowed; expected 'epoch' or 'step'")
        if x == "step" and not self.evaluations and not self.steps:
            raise ValueError(
                "x='step' needs held-out texts, whose evaluations say after which step they were; "
                "use x='epoch', fit with validation_fraction or X_val, or plot a log_file by "
                "HistoryDisplay.from_log"
            )
        chosen = self._choose(metrics, ax)
        axes = make_axes(ax, len(chosen))
        for own, name in zip(axes, chosen, strict=True):
            self._plot_one(own, name, x)
        self.axes_, self.ax_ = axes, axes[0]
        self.figure_ = axes[0].figure
        if self.estimator_name is not None:
            self.figure_.suptitle(self.estimator_name, parse_math=False)
        return self

    def _choose(self, metrics: str | Sequence[str] | None, ax: Any) -> list[str]:
        if metrics is None:
            return self.metrics_[: 2 if ax is None else np.size(ax)]
        chosen = [metrics] if isinstance(metrics, str) else list(metrics)
        unknown = next((name for name in chosen if name not in self.metrics_), None)
        if unknown is not None or not chosen:
            raise ValueError(
                f"metrics={metrics!r} is not in the history; expected names among "
                f"{', '.join(map(repr, self.metrics_))}"
            )
        return chosen

    def _plot_one(self, ax: Axes, name: str, x: str) -> None:
        held_out = _HELD_OUT + name
        every = (*self.history, *self.evaluations, *self.steps)
        members = sorted({row.get("member", 1) for row in every})
        alpha = 1.0 if len(members) == 1 else 0.55
        for member in members:
            history, tested, done, planned = (
                [row for row in rows if row.get("member", 1) == member]
                for rows in (self.history, self.evaluations, self.steps, self.planned)
            )
            known = _steps_and_epochs(history, tested, done, planned)
            epochs = [row["epoch"] - 1 + row.get("part", 1.0) for row in history]
            ends: Sequence[float] = epochs
            if x == "step" and known is not None:
                ends = [
                    row.get("step", np.interp(epoch, *known[::-1]))
                    for row, epoch in zip(history, epochs, strict=True)
                ]
            place = partial(_place, x=x, known=known)
            lines = [("training", BLUE, "o-", ends, history, name)]
            points = [(place(row["step"]), row[name]) for row in done if name in row]
            if points:
                ax.plot(
                    *zip(*points, strict=True), "-", color=BLUE, alpha=0.4 * alpha, linewidth=1,
                    label="each step" if member == members[0] else None, zorder=1,
                )
            if tested:
                places = [place(row["step"]) for row in tested]
                lines.append(("held out", VERMILION, "s--", places, tested, held_out))
            else:
                lines.append(("held out", VERMILION, "s--", ends, history, held_out))
            for label, colour, style, at, rows, key in lines:
                points = [
                    (place, row[key]) for place, row in zip(at, rows, strict=True) if key in row
                ]
                if points:
                    ax.plot(
                        *zip(*points, strict=True), style, color=colour, alpha=alpha, markersize=4,
                        label=label if member == members[0] else None,
                    )
            best = self._best(member - 1)
            if best is not None and known is not None:
                ax.axvline(
                    place(best), color=QUIET, linestyle=":", linewidth=1,
                    label="kept" if member == members[0] else None,
                )
        ax.set_xlabel(x)
        # A name is no formula, even if it has dollar signs.
        ax.set_ylabel(name.replace("_", " "), parse_math=False)
        whole_numbers(ax)
        ax.legend(frameon=False)

    def _best(self, number: int) -> int | None:
        if isinstance(self.best_step, Sequence):
            return self.best_step[number] if number < len(self.best_step) else None
        return self.best_step


def _place(step: int, x: str, known: tuple[list[float], list[float]] | None) -> float:
    """Return where a step is on the horizontal axis."""
    return float(step if x == "step" or known is None else np.interp(step, *known))


def _steps_and_epochs(
    history: Sequence[Row], tested: Sequence[Row], done: Sequence[Row], planned: Sequence[Row]
) -> tuple[list[float], list[float]] | None:
    """Return steps, and how many epochs were done after each; None if nothing says it.

    Between them, an epoch advances evenly. Epochs can have different lengths: each call of
    `partial_fit` is one.
    """
    rows = (*tested, *done)  # held-out texts are scored at the end of every epoch
    last: dict[int, int] = {}
    for row in rows:
        last[row["epoch"]] = max(last.get(row["epoch"], 0), row["step"])
    ends = [
        (row.get("step", last.get(row["epoch"])), row["epoch"] - 1 + row.get("part", 1.0))
        for row in history
    ]
    ends += [(row["step"], row["epoch"]) for row in planned]
    if not any(step is not None for step, _ in ends) and last:
        ends = [(last[min(last)], min(last))]
    steps, epochs = [0.0], [0.0]
    for step, epoch in ends:
        if step is not None and step > steps[-1] and epoch > epochs[-1]:
            steps.append(float(step))
            epochs.append(float(epoch))
    if len(steps) == 1:
        return None
    # Beyond the last of them, epochs are as long as before.
    slope = (epochs[-1] - epochs[-2]) / (steps[-1] - steps[-2])
    most = max((row["epoch"] for row in history), default=0)
    further = max(last.values(), default=0) + (most + 1) / slope
    return [*steps, steps[-1] + further], [*epochs, epochs[-1] + further * slope]
