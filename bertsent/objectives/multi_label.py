"""Multi-label classification: any number of labels for each text, by binary cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from bertsent.objectives.base import (
    DEFAULT_THRESHOLD,
    Objective,
    ReportTable,
    resampled_mean,
    sort_names,
)
from bertsent.objectives.calibration import (
    LARGEST_TEMPERATURE,
    LEAST_TEMPERATURE,
    best_temperature,
    calibration_table,
    judge_labels,
    require_temperature,
)
from bertsent.objectives.charts import recall_chart, reliability_chart
from bertsent.texts import (
    LabelSets,
    check_weights,
    class_factors,
    column_lists,
    column_values,
    describe_doubts,
    has_label_columns,
    is_multi_label,
    learn_label_sets,
    learn_labels,
)
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.files import Field
    from bertsent.objectives.base import Columns
    from bertsent.objectives.charts import ReportChart

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Bools: TypeAlias = "npt.NDArray[np.bool_]"

# Averages of a report, and what they mean for people.
AVERAGES = {
    "micro": "all decisions", "macro": "mean of labels", "samples": "mean of texts",
}


@dataclass(frozen=True, eq=False)
class MultiLabelClassification(Objective):
    """Any number of labels for each text, by binary cross-entropy for each label.

    Targets are an indicator matrix.

    Parameters
    ----------
    sets : LabelSets
        The labels, and the form of y.
    thresholds : float64 ndarray of shape (n_labels,) or None, default=None
        The probability from which each label is predicted, if it was chosen on held-out texts.
        None means 0.5 for all.
    positive_weights : float32 ndarray of shape (n_labels,) or None, default=None
        Weight of each label in the loss of the texts that have it. It has an effect in training
        only, and is not saved.
    chooses_thresholds : bool, default=False
        Whether `finish` chooses the thresholds.
    calibration : float64 ndarray of shape (n_labels,) or None, default=None
        Temperature of each label that was learned on held-out texts.
    calibrated : bool, default=False
        Whether logits are divided by it before they become probabilities.
    chosen_thresholds : float64 ndarray of shape (n_labels,) or None, default=None
        What `thresholds` were before calibration, if they were chosen for the probabilities of the
        trained model. Those decide: divided by a small temperature, logits have probabilities
        and thresholds that round to 0 or 1.
    """

    sets: LabelSets
    thresholds: Float64 | None = None
    positive_weights: Float32 | None = None
    chooses_thresholds: bool = False
    calibration: Float64 | None = None
    calibrated: bool = False
    chosen_thresholds: Float64 | None = None

    problem_type = "multi_label_classification"
    head_type = problem_type
    outputs = "labels"
    purpose = "chooses any number of labels"
    loss = "binary_cross_entropy"
    metric = "f1"
    greater_is_better = True
    further_metrics = {"micro_f1": True, "macro_f1": True}
    link = "sigmoid"
    takes_threshold = True
    learns_held_out = True

    # --- y and targets ----------------------------------------------------------------------

    @property
    def classes(self) -> npt.NDArray[Any]:  # type: ignore[override]  # read-only here
        return self.sets.labels

    @classmethod
    def takes(cls, y: Any) -> bool:
        return is_multi_label(y)

    @classmethod
    def learn(
        cls, y: Any, n_texts: int, name: str = "y", order: Sequence[Any] | None = None
    ) -> tuple[MultiLabelClassification, Float32]:
        del order
        sets, targets = learn_label_sets(y, n_texts, name)
        return cls(sets), targets

    @classmethod
    def from_classes(
        cls, classes: Any, y: Any, order: Sequence[Any] | None = None
    ) -> MultiLabelClassification:
        del order
        labels, _ = learn_labels(classes, len(classes), "classes")
        return cls(LabelSets(labels.classes).with_form_of(y, "y"))

    def encode(self, y: Any, n_texts: int, name: str) -> Float32:
        return self.sets.encode(y, n_texts, name)

    def match_column(
        self,
        column: pd.Series[Any] | pd.DataFrame,
        path: str | PathLike[str],
        label_map: Mapping[Any, Any] | None = None,
    ) -> Any:
        if column.ndim == 2:  # a column for each label
            return column
        lists: Any = column_lists(cast("pd.Series[Any]", column), self.sets.separator)
        return self._translated(lists, f"{path}: column {column.name!r}", label_map)

    def translate(self, y: Any, label_map: Mapping[Any, Any]) -> Any:
        if has_label_columns(y):
            raise ValueError(
                f"{spell('label_map', label_map)} is for lists of labels, but y has a column for "
                "each label; rename the columns"
            )
        return self._translated(column_values(y), "y", label_map)

    def _translated(
        self, rows: Any, name: str, label_map: Mapping[Any, Any] | None
    ) -> npt.NDArray[Any]:
        lists = np.empty(len(rows), dtype=object)
        for position, row in enumerate(self.sets.translate(list(rows), name, label_map)):
            lists[position] = row
        return lists

    def describe_doubts(self, targets: Float32) -> list[str]:
        names, counts = self.label_names, targets.sum(axis=0)
        lines = describe_doubts(self.classes, max(len(targets), 2 * len(names)))
        never = [name for name, count in zip(names, counts, strict=True) if not count]
        if never:
            lines.append(
                f"no text has the label {', '.join(map(repr, never[:5]))}"
                + (f" or {len(never) - 5} more" if len(never) > 5 else "")
                + ", so that the model learns never to predict it"
            )
        always = [
            name for name, count in zip(names, counts, strict=True) if count == len(targets)
        ]
        if always and len(targets) > 1:
            lines.append(
                f"every text has the label {', '.join(map(repr, always[:5]))}, so that the model "
                "learns to predict it always"
            )
        if len(names) > 1 and len(targets) > 1 and (targets.sum(axis=1) == 1).all():
            lines.append(
                "every text has exactly one label; if that is always so, pass one column of "
                "labels, so that the model chooses one of them"
            )
        return lines

    def describe_targets(self, targets: Float32) -> str:
        without = int((targets.sum(axis=1) == 0).sum())
        rest = f"; {without:,} without a label" if without else ""
        return self._list_counts(targets.sum(axis=0).astype(np.int64)) + rest

    @property
    def label_names(self) -> list[str]:
        return [str(label) for label in self.classes.tolist()]

    @classmethod
    def from_label_names(
        cls, names: list[str]
    ) -> tuple[MultiLabelClassification, npt.NDArray[np.int64]]:
        labels, order = sort_names(names)
        return cls(LabelSets(labels)), order

    def to_json(self) -> dict[str, Any]:
        thresholds = None if self.thresholds is None else self.thresholds.tolist()
        learned = {} if self.calibration is None else {"calibration": self.calibration.tolist()}
        return self.sets.to_json() | {"thresholds": thresholds} | learned

    @classmethod
    def from_json(cls, content: Field) -> MultiLabelClassification:
        sets, thresholds, calibration = LabelSets.from_json(content), None, None
        count = len(sets.labels)
        if content["thresholds"].value is not None:
            items = content["thresholds"].items(count, count)
            thresholds = np.array([item.number(0, 1) for item in items])
        if "calibration" in content:
            items = content["calibration"].items(count, count)
            limits = LEAST_TEMPERATURE, LARGEST_TEMPERATURE
            calibration = np.array([item.number(*limits) for item in items])
        return cls(sets, thresholds, calibration=calibration)

    def check_record(self, targets: Float32, record: Columns) -> None:
        if targets.ndim != 2 or targets.shape[1] != len(self.classes) or not (
            np.isin(targets, (0.0, 1.0)).all()
        ):
            raise ValueError("labels is not an indicator matrix of the labels")

    def check_same_labels(self, known: Objective) -> None:
        ours = self.classes.tolist()
        theirs = [] if known.classes is None else known.classes.tolist()
        if ours != theirs:
            raise ValueError(
                f"warm_start=True continues with the labels {theirs}, but those of y are {ours}; "
                "use warm_start=False to start anew"
            )

    def strata(self, targets: Float32) -> Bools:
        """Return the indicator matrix, by which `split_rows` stratifies label by label."""
        return targets > 0.0

    def configure(
        self, parameters: Mapping[str, Any], targets: Float32
    ) -> MultiLabelClassification:
        self.check_parameters(parameters)
        class_weight = parameters["class_weight"]
        weights: Float64 | None
        if isinstance(class_weight, str):
            having = targets.sum(axis=0, dtype=np.float64)
            weights = np.where(having > 0, (len(targets) - having) / np.maximum(having, 1.0), 1.0)
        else:
            no_codes = np.empty(0, np.int32)
            weights = class_factors(class_weight, self.sets.known, no_codes)
        return replace(
            self, calibration=None, chooses_thresholds=parameters["label_threshold"] == "f1",
            positive_weights=None if weights is None else weights.astype(np.float32),
        )

    def weigh(
        self, targets: Float32, weights: Float32 | None, class_weight: Any
    ) -> Float32 | None:
        """Return the sample weights; `class_weight` has become `positive_weights`."""
        return weights

    @property
    def loss_options(self) -> dict[str, Any]:
        return {"positive_weights": self.positive_weights}

    # --- logits against targets -------------------------------------------------------------

    def _losses(
        self, logits: npt.NDArray[np.floating[Any]], targets: Float32, smoothing: float
    ) -> Float64:
        z, yes = logits.astype(np.float64), (1.0 - smoothing) * targets + 0.5 * smoothing
        losses: Float64 = (np.logaddexp(0.0, z) - yes * z).mean(axis=1)
        return losses

    def pointwise_loss(self, logits: Float32, targets: Float32) -> Float64:
        """Return the binary cross-entropy in nats, the mean over labels."""
        return self._losses(self._divided(logits), targets, 0.0)

    def pointwise_metric(self, logits: Float32, targets: Float32) -> Float32:
        """Return the F1 of the labels of each text; 1 for a text without labels, if none is
        predicted.
        """
        chosen, has = self.choose(logits), targets > 0.0
        both = 2.0 * (chosen & has).sum(axis=1)
        either = chosen.sum(axis=1) + has.sum(axis=1)
        f1: Float32 = np.where(either > 0, both / np.maximum(either, 1), 1.0).astype(np.float32)
        return f1

    def evaluate(self, logits: Float32, targets: Float32) -> dict[str, float]:
        chosen, has = self.choose(logits), targets > 0.0
        counts = [(chosen & has).sum(axis=0), chosen.sum(axis=0), has.sum(axis=0)]
        micro = _rates([np.atleast_1d(count.sum()) for count in counts])["f1"]
        return super().evaluate(logits, targets) | {
            "micro_f1": float(micro[0]), "macro_f1": float(_rates(counts)["f1"].mean()),
        }

    def score(
        self, logits: Float32, y: Any, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the share of the texts all of whose labels are right, as scikit-learn does."""
        targets = self.encode(y, len(logits), "y")
        right = (self.choose(logits) == (targets > 0.0)).all(axis=1)
        return float(np.average(right, weights=check_weights(sample_weight, len(logits))))

    def truth(self, targets: Float32) -> npt.NDArray[np.int64]:
        return (targets > 0.0).astype(np.int64)

    def answer(self, logits: Float32) -> npt.NDArray[np.int64]:
        return self.choose(logits).astype(np.int64)

    def imagine(self, targets: Float32) -> Float32:
        return 2.0 * targets - np.float32(1.0)

    def record(self, logits: Float32, targets: Float32, label_smoothing: float) -> Columns:
        return {"loss": self._losses(logits, targets, label_smoothing)}

    def finish(self, logits: Float32, targets: Float32) -> MultiLabelClassification:
        """Return the objective with what suits held-out texts best.

        These are the temperature of each label and, if they are to be chosen, the thresholds with
        the highest F1.
        """
        # The softmax of 0 and a logit is its sigmoid.
        pairs = np.stack([np.zeros_like(logits), logits], axis=2)
        has = targets > 0.0
        calibration = [
            best_temperature(pairs[:, label], has[:, label].astype(np.int64))
            for label in range(len(self.classes))
        ]
        thresholds = self.thresholds
        if self.chooses_thresholds:
            probabilities = self.predict_proba(logits)
            thresholds = np.array([
                best_threshold(*label) for label in zip(probabilities.T, has.T, strict=True)
            ])
        return replace(self, thresholds=thresholds, calibration=np.array(calibration))

    def uncalibrated(self) -> MultiLabelClassification:
        return replace(self, calibration=np.ones(len(self.classes)))

    def under(self, parameters: Mapping[str, Any]) -> MultiLabelClassification:
        self.check_parameters(parameters)
        threshold, calibrated = parameters["label_threshold"], bool(parameters["calibrated"])
        thresholds, chosen = self.thresholds, None
        if calibrated:
            require_temperature(self.calibration)
        if not isinstance(threshold, str):
            thresholds = np.full(len(self.classes), float(threshold))
        elif calibrated and thresholds is not None:
            # They were chosen for other probabilities; what they predict stays the same.
            from scipy.special import logit

            chosen, thresholds = thresholds, _sigmoid(logit(thresholds) / self.calibration)
        return replace(
            self, thresholds=thresholds, calibrated=calibrated, chosen_thresholds=chosen
        )

    def report(self, logits: Float32, targets: Float32) -> dict[str, Any]:
        """Return F1, loss, averages of precision, recall and F1, and these of each label.

        Averages are those of scikit-learn. In the mean of texts, what is not defined counts as 1:
        a text without labels, of which none is predicted, is right.
        """
        chosen, has = self.choose(logits), targets > 0.0
        parts = chosen & has, chosen, has
        of_all = _rates([np.atleast_1d(part.sum()) for part in parts])
        of_label = _rates([part.sum(axis=0) for part in parts])
        of_text = _rates([part.sum(axis=1) for part in parts], undefined=1.0)
        rates = {"micro": of_all, "macro": of_label, "samples": of_text}
        thresholds = self.used_thresholds
        judged = [
            None if temperatures is None
            else judge_labels(_sigmoid(logits / temperatures), has)
            for temperatures in (np.ones(len(thresholds)), self.calibration)
        ]
        return self.evaluate(logits, targets) | {
            "calibration": {
                "temperature": None if self.calibration is None else self.calibration.tolist(),
                "uncalibrated": judged[0], "calibrated": judged[1],
            },
            "subset_accuracy": float((chosen == has).all(axis=1).mean()),
            "averages": {
                average: {name: float(each.mean()) for name, each in rates[average].items()}
                for average in AVERAGES
            },
            "labels": {
                name: {rate: float(each[code]) for rate, each in of_label.items()} | {
                    "rows": int(has[:, code].sum()),
                    "predicted": int(chosen[:, code].sum()),
                    "threshold": float(thresholds[code]),
                }
                for code, name in enumerate(self.label_names)
            },
        }

    def measure(
        self, logits: Float32, targets: Float32, whole: Float32 | None = None
    ) -> dict[str, float]:
        chosen, has = self.choose(logits), targets > 0.0
        found = self.evaluate(logits, targets)
        if whole is not None:
            counts = [part.sum(axis=0) for part in (chosen & has, chosen, has)]
            tested = (whole > 0.0).sum(axis=0) > 0
            found["macro_f1"] = resampled_mean(_rates(counts)["f1"], counts[2] > 0, tested)
        return found | {"subset_accuracy": float((chosen == has).all(axis=1).mean())}

    def report_charts(self, logits: Float32, targets: Float32) -> list[ReportChart]:
        """Return a reliability diagram of all decisions, and precision-recall curves."""
        has = targets > 0.0
        judged = {"as trained": (_sigmoid(logits).ravel(), has.ravel())}
        if self.calibration is not None:
            judged["calibrated"] = _sigmoid(logits / self.calibration).ravel(), has.ravel()
        return [
            reliability_chart(judged),
            recall_chart(self.label_names, self.predict_proba(logits), has),
        ]

    def describe_cases(self, logits: Float32, targets: Float32) -> list[dict[str, Any]]:
        names = np.array(self.label_names, dtype=object)
        cases = []
        for has, chosen in zip(targets > 0.0, self.choose(logits), strict=True):
            missed, wrong = has & ~chosen, chosen & ~has
            shown = {"labels": has, "predicted": chosen, "missed": missed, "wrong": wrong}
            cases.append({name: ", ".join(names[each]) or "none" for name, each in shown.items()})
        return cases

    def report_tables(self, report: Mapping[str, Any]) -> list[ReportTable]:
        measures = ("precision", "recall", "f1")
        each = [
            [name, *(f"{row[key]:.4f}" for key in measures), str(row["rows"]),
             str(row["predicted"]), f"{row['threshold']:.3f}"]
            for name, row in report["labels"].items()
        ]
        averages = [
            [f"{name} ({AVERAGES[name]})", *(f"{row[key]:.4f}" for key in measures)]
            for name, row in report["averages"].items()
        ]
        right = [["all labels right", f"{report['subset_accuracy']:.4f}"]]
        return [
            ReportTable(
                "", ["label", "precision", "recall", "F1", "texts", "predicted", "threshold"], each
            ),
            ReportTable("", ["average", "precision", "recall", "F1"], averages),
            ReportTable("", ["share of texts", ""], right),
            calibration_table(report["calibration"]),
        ]

    # --- predictions ------------------------------------------------------------------------

    @property
    def used_thresholds(self) -> Float64:
        """The probability from which each label is predicted."""
        if self.thresholds is None:
            return np.full(len(self.classes), DEFAULT_THRESHOLD)
        return self.thresholds

    def choose(self, logits: Float32) -> Bools:
        """Return which labels are predicted for each text."""
        probabilities, thresholds = self._compared(logits)
        chosen: Bools = probabilities >= thresholds
        return chosen

    def _compared(self, logits: Float32) -> tuple[Float64, Float64]:
        """Return the probabilities and the thresholds that decide."""
        if self.chosen_thresholds is not None:
            return _sigmoid(logits), self.chosen_thresholds
        return self.predict_proba(logits), self.used_thresholds

    def predict(self, logits: Float32) -> Any:
        """Return the labels in the form of y: an indicator matrix, a table or a list of lists."""
        return self.sets.decode(self.choose(logits))

    def predict_proba(self, logits: Float32) -> Float64:
        """Return the probability of each label, as float64; they do not add up to 1."""
        return _sigmoid(self._divided(logits))

    def _divided(self, logits: Float32) -> npt.NDArray[np.floating[Any]]:
        """Return the logits that become probabilities: divided by the temperatures, if wanted."""
        if self.calibration is None or not self.calibrated:
            return logits
        return logits / self.calibration

    def decision_function(self, logits: Float32) -> Float32:
        """Return the logits."""
        return logits

    @property
    def prediction_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("predicted_labels", *(f"probability_{name}" for name in self.label_names))

    def prediction_table(self, logits: Float32, decimals: int | None = None) -> Columns:
        """Return the labels, joined in one string, and the probability of each label."""
        probabilities = self.predict_proba(logits)
        chosen = self.choose(logits)
        if decimals is not None:
            probabilities = probabilities.round(decimals)
        labels = np.empty(len(logits), dtype=object)
        labels[:] = [
            self.sets.separator.join(map(str, names)) for names in self.sets.lists(chosen)
        ]
        return dict(zip(self.prediction_columns, [labels, *probabilities.T], strict=True))

    def outputs_to_explain(self, logits: Float32) -> npt.NDArray[np.int64]:
        """Return the most probable label of each text."""
        found: npt.NDArray[np.int64] = self.predict_proba(logits).argmax(axis=1)
        return found

    def uncertainty(self, logits: Float32) -> Float64:
        """Return that of the label whose probability is nearest to its threshold."""
        probabilities, limits = self._compared(logits)
        distance = np.abs(probabilities - limits) / np.maximum(limits, 1.0 - limits)
        found: Float64 = 1.0 - distance.min(axis=1)
        return found

    @property
    def temperatures(self) -> list[float] | None:
        if self.calibration is None or not self.calibrated:
            return None
        found: list[float] = self.calibration.tolist()
        return found

    @property
    def decision(self) -> dict[str, Any]:
        return {"thresholds": self.used_thresholds.tolist()}

    def combine(self, opinions: list[Float32]) -> Float32:
        """Return logits whose probabilities are the mean of those of the models."""
        z = np.stack(opinions).astype(np.float64)
        # log(mean p) - log(mean (1 - p)); the number of models cancels out.
        yes = np.logaddexp.reduce(-np.logaddexp(0.0, -z))
        no = np.logaddexp.reduce(-np.logaddexp(0.0, z))
        logits: Float32 = (yes - no).astype(np.float32)
        return logits


def _sigmoid(logits: npt.NDArray[np.floating[Any]]) -> Float64:
    from scipy.special import expit

    probabilities: Float64 = expit(logits.astype(np.float64))
    return probabilities


def _rates(
    counts: Sequence[npt.NDArray[np.int64]], undefined: float = 0.0
) -> dict[str, Float64]:
    """Return precision, recall and F1; `undefined` is their value for 0/0.

    `counts` are three: of correct predictions, of all predictions, and of labels that are given.
    """
    hits, chosen, having = counts

    def ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Float64:
        return np.where(whole > 0, part / np.maximum(whole, 1), undefined)

    return {
        "precision": ratio(hits, chosen), "recall": ratio(hits, having),
        "f1": ratio(2 * hits, chosen + having),
    }


def best_threshold(probabilities: Float64, has: Bools) -> float:
    """Return the threshold with the highest F1: halfway between two probabilities.

    It is 0.5 if no text has the label. If several are equally good, the one nearest to 0.5 is
    chosen.
    """
    if not has.any():
        return DEFAULT_THRESHOLD
    order = np.argsort(-probabilities, kind="stable")
    sorted_, hits = probabilities[order], np.cumsum(has[order])
    f1 = 2.0 * hits / (np.arange(1, len(order) + 1) + has.sum())
    lower = np.append(sorted_[1:], 0.0)
    # Texts of the same probability are all predicted, or none of them.
    f1[sorted_ == lower] = -1.0
    between = (sorted_ + lower) / 2.0
    # 0.5 itself, if it separates the same texts.
    between[(sorted_ >= DEFAULT_THRESHOLD) & (lower < DEFAULT_THRESHOLD)] = DEFAULT_THRESHOLD
    best = np.flatnonzero(f1 == f1.max())
    return float(between[best[np.abs(between[best] - DEFAULT_THRESHOLD).argmin()]])
