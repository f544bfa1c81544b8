"""Regression: one or several numbers for each text, by mean squared error or Huber's loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.objectives.base import Objective, ReportTable, list_outputs
from bertsent.objectives.charts import MOST_CURVES, scatter_chart
from bertsent.texts import NumberColumns, check_weights, learn_numbers
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.files import Field
    from bertsent.model import BertForSequenceClassification
    from bertsent.objectives.base import Columns
    from bertsent.objectives.charts import ReportChart

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"

LOSSES = ("mean_squared_error", "huber")


@dataclass(frozen=True, eq=False)
class Regression(Objective):
    """One or several numbers for each text.

    Targets are the numbers with mean 0 and standard deviation 1 over the texts given to `fit`. A
    model is trained to predict these; when training is over, `trained` changes its output layer so
    that its logits are the numbers themselves, as in models of other programs.

    Parameters
    ----------
    numbers : NumberColumns
        The columns of y, and its form.
    mean, scale : float64 ndarray of shape (n_numbers,)
        Mean and standard deviation of each column.
    loss : {"mean_squared_error", "huber"}, default="mean_squared_error"
        Of the standardised numbers.
    in_units : bool, default=False
        Whether logits are the numbers themselves and not standardised, as after training.
    """

    numbers: NumberColumns
    mean: Float64
    scale: Float64
    loss: str = "mean_squared_error"  # type: ignore[misc]  # of each model
    in_units: bool = False

    problem_type = "regression"
    head_type = problem_type
    outputs = "numbers"
    purpose = "predicts numbers"
    metric = "mae"
    greater_is_better = False
    link = "identity"
    further_metrics = {"rmse": False, "r2": True, "spearman": True}
    explained = "prediction"

    # --- y and targets ----------------------------------------------------------------------

    @classmethod
    def learn(
        cls, y: Any, n_texts: int, name: str = "y", order: Sequence[Any] | None = None
    ) -> tuple[Regression, Float32]:
        del order
        numbers, values = learn_numbers(y, n_texts, name)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = values.mean(axis=0), values.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError(f"{name} has numbers that are too large; divide them by a constant")
        objective = cls(numbers, mean, np.where(scale > 0.0, scale, 1.0))
        return objective, objective._standardize(values)

    def encode(self, y: Any, n_texts: int, name: str) -> Float32:
        return self._standardize(self.numbers.read(y, n_texts, name))

    def _standardize(self, values: Float64) -> Float32:
        targets: Float32 = ((values - self.mean) / self.scale).astype(np.float32)
        return targets

    def match_column(
        self,
        column: pd.Series[Any] | pd.DataFrame,
        path: str | PathLike[str],
        label_map: Mapping[Any, Any] | None = None,
    ) -> Any:
        if label_map is not None:
            self.translate(column, label_map)  # raises
        where = "column" if column.ndim == 2 else f"column {column.name!r}"
        values = self.numbers.read(column, len(column), f"{path}: {where}")
        return values[:, 0] if column.ndim == 1 else values

    def describe_doubts(self, targets: Float32) -> list[str]:
        names = [
            name for name, column in zip(self.label_names, targets.T, strict=True)
            if len(column) > 1 and (column == column[0]).all()
        ]
        if not names:
            return []
        which = "" if len(self.label_names) == 1 else f" of {', '.join(map(repr, names[:5]))}"
        return [f"all numbers{which} are equal, so that there is nothing to learn from them"]

    def describe_targets(self, targets: Float32) -> str:
        values = self._in_units(targets)
        return ", ".join(
            f"{'' if len(self.mean) == 1 else name + ' '}{column.min():g} to {column.max():g}, "
            f"mean {column.mean():g}"
            for name, column in zip(self.label_names, values.T, strict=True)
        )

    @property
    def label_names(self) -> list[str]:
        return self.numbers.output_names

    def describe_outputs(self) -> str:
        if self.numbers.names is not None:
            return super().describe_outputs()
        return "one number" if self.numbers.count == 1 else f"{self.numbers.count} numbers"

    @classmethod
    def from_label_names(cls, names: list[str]) -> tuple[Regression, npt.NDArray[np.int64]]:
        count = len(names)
        numbers = NumberColumns.of_outputs(names)
        objective = cls(numbers, np.zeros(count), np.ones(count), in_units=True)
        return objective, np.arange(count)

    def to_json(self) -> dict[str, Any]:
        return self.numbers.to_json() | {
            "mean": self.mean.tolist(), "scale": self.scale.tolist(), "loss": self.loss,
        }

    @classmethod
    def from_json(cls, content: Field) -> Regression:
        numbers = NumberColumns.from_json(content)
        count = numbers.count
        mean, scale = (
            np.array([item.number() for item in content[key].items(count, count)])
            for key in ("mean", "scale")
        )
        if not (scale > 0.0).all():
            raise content["scale"].error("numbers above 0")
        return cls(numbers, mean, scale, content["loss"].text(*LOSSES), in_units=True)

    def check_record(self, targets: Float32, record: Columns) -> None:
        if targets.ndim != 2 or targets.shape[1] != self.numbers.count:
            raise ValueError("labels has another number of columns than y")

    def configure(self, parameters: Mapping[str, Any], targets: Float32) -> Regression:
        super().configure(parameters, targets)
        loss = parameters.get("loss", "mean_squared_error")
        return replace(self, loss="mean_squared_error" if loss == "squared_error" else loss)

    @property
    def identity(self) -> list[str]:
        unit = [*self.mean.tolist(), *self.scale.tolist()]
        return [*self.label_names, self.loss, *map(repr, unit)]

    # --- the output layer -------------------------------------------------------------------

    def begin(self, model: BertForSequenceClassification) -> None:
        """Change the output layer of a model that predicts numbers, so that it is trained on."""
        model._scale_outputs(1.0 / self.scale, -self.mean / self.scale)

    def trained(self, model: BertForSequenceClassification) -> Regression:
        """Change the output layer of a trained model, so that it predicts the numbers."""
        model._scale_outputs(self.scale, self.mean)
        return replace(self, in_units=True)

    # --- logits against targets -------------------------------------------------------------

    def _values(self, logits: Float32) -> Float64:
        """Return logits as numbers in the unit of y."""
        values: Float64 = logits.astype(np.float64)
        return values if self.in_units else values * self.scale + self.mean

    def _errors(self, logits: Float32, targets: Float32) -> Float64:
        """Return the errors in the unit of y."""
        errors: Float64 = self._values(logits) - self._in_units(targets)
        return errors

    def pointwise_loss(self, logits: Float32, targets: Float32) -> Float64:
        """Return the loss of the standardised numbers, the mean over them."""
        errors = np.abs(self._errors(logits, targets) / self.scale)
        if self.loss == "huber":
            each = np.where(errors <= 1.0, 0.5 * errors**2, errors - 0.5)
        else:
            each = errors**2
        losses: Float64 = each.mean(axis=1)
        return losses

    def pointwise_metric(self, logits: Float32, targets: Float32) -> Float32:
        """Return the absolute error in the unit of y, the mean over the numbers of a text."""
        found: Float32 = np.abs(self._errors(logits, targets)).mean(axis=1).astype(np.float32)
        return found

    def evaluate(self, logits: Float32, targets: Float32) -> dict[str, float]:
        each = self._measure(logits, targets)
        return super().evaluate(logits, targets) | {
            name: float(each[name].mean()) for name in self.further_metrics
        }

    def _measure(self, logits: Float32, targets: Float32) -> dict[str, Float64]:
        """Return the metrics of each number."""
        errors, truth = self._errors(logits, targets), self._in_units(targets)
        squared = (errors**2).sum(axis=0)
        spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
        # As in scikit-learn if all numbers are equal.
        r2 = np.where(
            spread > 0.0, 1.0 - squared / np.where(spread > 0.0, spread, 1.0),
            np.where(squared > 0.0, 0.0, 1.0),
        )
        return {
            "mae": np.abs(errors).mean(axis=0),
            "rmse": np.sqrt(squared / max(1, len(errors))),
            "r2": r2,
            "spearman": np.array([
                rank_correlation(*pair)
                for pair in zip(self._values(logits).T, truth.T, strict=True)
            ]),
        }

    def score(
        self, logits: Float32, y: Any, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return R², the mean over the numbers, as regressors of scikit-learn do."""
        from sklearn.metrics import r2_score

        truth = self.numbers.read(y, len(logits), "y")
        weights = check_weights(sample_weight, len(logits))
        return float(r2_score(truth, self._values(logits), sample_weight=weights))

    def truth(self, targets: Float32) -> Float64:
        return self._one_or_more(self._in_units(targets))

    def answer(self, logits: Float32) -> Float64:
        return self._one_or_more(self._values(logits))

    def _in_units(self, targets: Float32) -> Float64:
        """Return standardised numbers in the unit of y."""
        numbers: Float64 = targets * self.scale + self.mean
        return numbers

    def _one_or_more(self, values: Float64) -> Float64:
        return values[:, 0] if self.numbers.count == 1 else values

    def report(self, logits: Float32, targets: Float32) -> dict[str, Any]:
        """Return R², MAE, RMSE and rank correlation, also of each number if there are several."""
        each = self._measure(logits, targets)
        found: dict[str, Any] = self.evaluate(logits, targets)
        if self.numbers.count > 1:
            found["outputs"] = {
                name: {metric: float(values[column]) for metric, values in each.items()}
                for column, name in enumerate(self.label_names)
            }
        return found

    def report_charts(self, logits: Float32, targets: Float32) -> list[ReportChart]:
        """Return predicted against true numbers, for the first few columns."""
        pairs = zip(
            self.label_names, self._in_units(targets).T, self._values(logits).T,
            strict=True,
        )
        single = self.numbers.count == 1
        return [
            scatter_chart("numbers" if single else name, truth, found)
            for name, truth, found in list(pairs)[:MOST_CURVES]
        ]

    def describe_cases(self, logits: Float32, targets: Float32) -> list[dict[str, Any]]:
        truth, found = self._in_units(targets), self._values(logits)
        return [
            {
                what: ", ".join(f"{number:.4g}" for number in numbers)
                for what, numbers in (("true", y), ("predicted", z), ("error", z - y))
            }
            for y, z in zip(truth, found, strict=True)
        ]

    def report_tables(self, report: Mapping[str, Any]) -> list[ReportTable]:
        shown = {"R²": "r2", "MAE": "mae", "RMSE": "rmse", "rank correlation": "spearman"}
        rows = {"all texts": report} if "outputs" not in report else {
            **report["outputs"], "mean": report,
        }
        return [ReportTable("", ["", *shown], [
            [name, *(f"{row[metric]:.4g}" for metric in shown.values())]
            for name, row in rows.items()
        ])]

    def format_metric(self, value: float) -> str:
        return f"{value:.4g}"

    # --- explanations -----------------------------------------------------------------------

    def outputs_to_explain(self, logits: Float32) -> npt.NDArray[np.int64]:
        if len(self.label_names) > 1:
            names = list_outputs(self.label_names, "numbers")
            raise ValueError(
                f"{spell('target')} is needed, because the model predicts {names}; name one of them"
            )
        return super().outputs_to_explain(logits)

    def outputs_of_examples(
        self, logits: Float32, targets: Float32
    ) -> npt.NDArray[np.int64]:
        """Return the number that is predicted worst, measured in standard deviations."""
        found: npt.NDArray[np.int64]
        found = np.abs(self._errors(logits, targets) / self.scale).argmax(axis=1)
        return found

    def output_weights(self, outputs: npt.NDArray[np.int64]) -> Float32:
        """Return weights whose sum of logits is the number, in the unit of y."""
        weights = super().output_weights(outputs)
        return weights if self.in_units else (weights * self.scale).astype(np.float32)

    # --- predictions ------------------------------------------------------------------------

    def predict(self, logits: Float32) -> Any:
        """Return the numbers in the form of y, as float64."""
        return self.numbers.decode(self._values(logits))

    @property
    def prediction_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        if self.numbers.count == 1:
            return ("prediction",)
        return tuple(f"prediction_{name}" for name in self.label_names)

    def prediction_table(self, logits: Float32, decimals: int | None = None) -> Columns:
        values = self._values(logits)
        return dict(zip(self.prediction_columns, values.T, strict=True))


def rank_correlation(first: Float64, second: Float64) -> float:
    """Return Spearman's rank correlation, or 0 if all numbers of one side are equal."""
    from scipy.stats import rankdata

    a, b = (rankdata(side) - (len(side) + 1) / 2 for side in (first, second))
    norm = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / norm) if norm > 0.0 else 0.0
