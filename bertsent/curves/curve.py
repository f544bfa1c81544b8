"""A measured learning curve: its table, its extrapolation, its report and its plot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertsent.curves.power_law import FEWEST_SIZES, PowerLaw, fit_power_law
from bertsent.system import BLUE, QUIET, VERMILION, html_table, make_axes, text_table

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

REPEATS = 300
# Bounds of the intervals: 90 % of the repetitions are inside.
_INTERVAL = (5.0, 95.0)
# Standard deviation of a score over seeds, times the root of the number of texts, if there is only
# one seed to measure it by. With MiniLM on film reviews, it is 0.2 to 0.3.
_SPREAD = 0.25


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """The result of `bertsent.learning_curve`. It prints as a report.

    Parameters
    ----------
    runs : DataFrame
        One row for each training: ``train_size``, ``seed``, ``score`` and ``seconds``.
    scoring : str
        Name of the score.
    n_test : int
        Number of held-out texts on which each score was computed.
    frozen : bool
        Whether a linear classifier of the vectors of a frozen model was measured, and not
        fine-tuning.
    train_size : int
        Number of texts there were to train on. If there was no time for this size, it is not among
        the `runs`.
    resampled : ndarray of float, shape (n_repeats, n_runs)
        The scores of the runs on random draws of the held-out texts, with replacement.

    Attributes
    ----------
    law : PowerLaw or None
        The fitted power law, error = a + b n^-c, where the error is 1 minus the score. None if
        fewer than three sizes were measured.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertClassifier, learning_curve
    >>> data = pd.read_csv("tickets.csv")
    >>> curve = learning_curve(BertClassifier("minilm"), data["text"], data["team"], frozen=True,
    ...                        train_sizes=[8, 16, 32], verbose=0)
    >>> curve.runs.columns.tolist()
    ['train_size', 'seed', 'score', 'seconds']
    >>> curve.predict([100]).columns.tolist()
    ['train_size', 'score', 'low', 'high']
    """

    runs: pd.DataFrame
    scoring: str
    n_test: int
    frozen: bool
    train_size: int
    resampled: npt.NDArray[np.float64]

    @cached_property
    def means(self) -> pd.DataFrame:
        """One row for each size: ``train_size``, ``runs``, ``score`` (mean), ``low``, ``high``."""
        by = self.runs.groupby("train_size")
        return pd.DataFrame({
            "runs": by.size(), "score": by["score"].mean(), "low": by["score"].min(),
            "high": by["score"].max(), "seconds": by["seconds"].mean(),
        }).reset_index()

    @cached_property
    def law(self) -> PowerLaw | None:
        """See the class."""
        if len(self.means) < FEWEST_SIZES:
            return None
        return self._fit(1.0 - self.means["score"].to_numpy())

    @cached_property
    def laws(self) -> list[PowerLaw]:
        """Laws fitted to other draws of held-out texts and of seeds; empty without `law`."""
        if self.law is None:
            return []
        rng = np.random.default_rng(0)
        noise = np.sqrt(self._variances())
        of_size = pd.get_dummies(self.runs["train_size"]).to_numpy(float)
        errors = 1.0 - self.resampled @ (of_size / of_size.sum(axis=0))
        return [self._fit(row + noise * rng.standard_normal(len(noise))) for row in errors]

    def _fit(self, errors: npt.NDArray[np.float64]) -> PowerLaw:
        rate = np.clip(1.0 - self.means["score"].to_numpy(), 0.01, 0.99)
        # Errors on the same texts vary together, which moves the curve but hardly bends it.
        tested = 0.25 * rate * (1 - rate) / self.n_test
        return fit_power_law(
            self.means["train_size"], errors, np.sqrt(self._variances() + tested)
        )

    def _variances(self) -> npt.NDArray[np.float64]:
        """Return the variance of the mean score of each size over draws of training texts.

        The variance of one training is estimated from all sizes together, as inversely
        proportional to the size. All seeds draw from the same texts: of a share of these, the
        variance over seeds is smaller by the share, and several seeds do not reduce that part.
        """
        sizes, counts = self.means["train_size"].to_numpy(float), self.means["runs"].to_numpy()
        share = sizes / self.train_size
        of_size = self.runs.groupby("train_size")["score"].var().to_numpy()
        # Near all texts, what is left of the variance says little.
        free = np.where(share <= 0.5, np.maximum(counts - 1, 0), 0)
        if free.sum():
            each = of_size * sizes / np.maximum(1 - share, 0.5)
            spread = float(np.nansum(each * free) / free.sum())
        else:
            spread = _SPREAD**2
        found: npt.NDArray[np.float64] = spread / sizes * (share + (1 - share) / counts)
        return found

    def predict(self, sizes: npt.ArrayLike) -> pd.DataFrame:
        """Return the expected score after training on numbers of texts.

        Parameters
        ----------
        sizes : array of int
            Also far beyond those that were measured, where the interval becomes wide.

        Returns
        -------
        DataFrame
            ``train_size``, ``score``, and the bounds of a 90 % interval, ``low`` and ``high``. It
            comes from fits to other draws of the held-out texts and of the seeds.

        Raises
        ------
        ValueError
            Fewer than three sizes were measured.
        """
        law, n = self._require_law(), np.atleast_1d(np.asarray(sizes))
        if not np.issubdtype(n.dtype, np.number) or n.ndim != 1 or not (n >= 1).all():
            raise ValueError("sizes: expected numbers of texts, of at least 1")
        low, high = np.percentile([1.0 - each.error(n) for each in self.laws], _INTERVAL, axis=0)
        return pd.DataFrame({
            "train_size": n, "score": 1.0 - law.error(n), "low": low, "high": high,
        })

    def gain(self, more: int) -> tuple[float, float, float]:
        """Return how much the score rises with more texts than there are now.

        Parameters
        ----------
        more : int
            Number of texts to label in addition to `train_size`.

        Returns
        -------
        expected, low, high : float
            The difference of scores, and a 90 % interval.

        Raises
        ------
        ValueError
            As in `predict`.
        """
        law = self._require_law()
        sizes = [self.train_size, self.train_size + more]

        def rise(each: PowerLaw) -> float:
            before, after = each.error(sizes)
            return float(before - after)

        low, high = np.percentile([rise(each) for each in self.laws], _INTERVAL)
        return rise(law), float(low), float(high)

    def _require_law(self) -> PowerLaw:
        if self.law is None:
            raise ValueError(
                f"{len(self.means)} sizes were measured; a curve needs at least {FEWEST_SIZES}"
            )
        return self.law

    # --- for people -------------------------------------------------------------------------

    def _headline(self) -> str:
        what = "a linear classifier of frozen vectors" if self.frozen else "fine-tuning"
        name = self.scoring.replace("_", " ")
        return f"{name} of {what} on {self.n_test:,} held-out texts"

    def _measured(self) -> tuple[list[str], list[list[str]]]:
        columns = ["texts", "runs", self.scoring.replace("_", " "), "range", "seconds"]
        return columns, [
            [f"{int(row['train_size']):,}", str(int(row["runs"])), f"{row['score']:.2%}",
             f"{row['low']:.2%} to {row['high']:.2%}", f"{row['seconds']:.1f}"]
            for _, row in self.means.iterrows()
        ]

    def _expected(self) -> tuple[list[str], list[list[str]]]:
        columns = ["labels", "expected", "90% interval", "gain in points"]
        rows = []
        for times in (1, 2, 4, 8):
            found = self.predict([times * self.train_size]).iloc[0]
            gain = ""
            if times > 1:
                _, low, high = (100 * part for part in self.gain((times - 1) * self.train_size))
                gain = f"{low:.1f} to {high:.1f}"
            rows.append([
                f"{times * self.train_size:,}", f"{found['score']:.2%}",
                f"{found['low']:.2%} to {found['high']:.2%}", gain,
            ])
        return columns, rows

    def _notes(self) -> list[str]:
        notes = []
        if self.frozen:
            notes.append(
                "Fine-tuning gives other values, mostly better ones, and can gain from more\n"
                "labels where this curve is flat. Measure it without the option frozen."
            )
        if self.law is None:
            notes.append(f"Fewer than {FEWEST_SIZES} sizes were measured: no extrapolation.")
            return notes
        if self.runs["seed"].nunique() == 1:
            notes.append("With one seed, the spread over seeds is a guess.")
        if self.runs["train_size"].max() < self.train_size:
            notes.append(f"There was no time to train on all {self.train_size:,} texts.")
        expected, low, high = (100 * part for part in self.gain(self.train_size))
        law = self.law
        notes.append(
            f"With {self.train_size:,} more labels, expect {low:.1f} to {high:.1f} points more."
        )
        notes.append(f"Fitted: error = {law.a:.3f} + {law.b:.3g} n^-{law.c:.2f}")
        return notes

    def __str__(self) -> str:
        parts = [f"{self._headline()}\n{text_table(*self._measured())}"]
        if self.law is not None:
            parts.append(text_table(*self._expected()))
        return "\n\n".join([*parts, "\n".join(self._notes())])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        tables = html_table(*self._measured())
        if self.law is not None:
            tables += html_table(*self._expected())
        notes = "".join(f"<p>{note}</p>" for note in self._notes())
        return f"<div><p><b>{self._headline()}</b></p>{tables}{notes}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything that the report says as values that ``json.dump`` can write."""
        found: dict[str, Any] = {
            "scoring": self.scoring, "held_out_texts": self.n_test, "frozen": self.frozen,
            "train_size": self.train_size, "runs": self.runs.to_dict("records"), "law": None,
            "expected": [],
        }
        if self.law is not None:
            found["law"] = self.law._asdict()
            for times in (1, 2, 4, 8):
                row = self.predict([times * self.train_size]).iloc[0].to_dict()
                gain = self.gain((times - 1) * self.train_size)
                row |= dict(zip(("gain", "gain_low", "gain_high"), gain, strict=True))
                found["expected"].append(row | {"train_size": int(row["train_size"])})
        return found

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot the runs, and the fitted curve up to four times the number of texts.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to plot. None makes a new figure.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        (ax,) = make_axes(ax)
        assert ax is not None
        ax.plot(self.runs["train_size"], 100 * self.runs["score"], "o", markersize=4,
                color=BLUE, label="measured, one run each")
        if self.law is not None:
            n = np.geomspace(self.means["train_size"].min(), 4 * self.train_size, 100)
            found = self.predict(n)
            ax.plot(n, 100 * found["score"], color=VERMILION, label="fitted")
            ax.fill_between(n, 100 * found["low"], 100 * found["high"], color=VERMILION,
                            alpha=0.15, linewidth=0, label="90 % interval")
            ax.axvline(self.train_size, color=QUIET, linestyle=":", linewidth=1)
        ax.set(xscale="log", xlabel="Number of training texts",
               ylabel=f"{self.scoring.replace('_', ' ')} in %", title=self._headline())
        ax.title.set_fontsize(10)
        ax.legend(frameon=False)
        return ax
