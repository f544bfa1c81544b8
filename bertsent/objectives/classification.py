"""Classification with one class for each text, by softmax cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

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
    judge_classes,
    require_temperature,
)
from bertsent.objectives.charts import recall_chart, reliability_chart
from bertsent.texts import (
    LabelType,
    abbreviate,
    class_factors,
    column_labels,
    describe_doubts,
    encode_labels,
    learn_labels,
    match_labels,
    translate_labels,
)
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.files import Field
    from bertsent.objectives.base import Columns
    from bertsent.objectives.charts import ReportChart
    from bertsent.texts import Labels

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Targets: TypeAlias = "npt.NDArray[np.int32]"

# With more classes, reports list the most frequent confusions instead of the whole matrix.
MOST_IN_MATRIX = 20
MOST_CONFUSIONS = 15
# From so many classes on, a report says how often the true one is among the likeliest few.
_MANY_CLASSES, _LIKELIEST = 6, (2, 3, 5)
# A class with fewer texts is named.
_ENOUGH_TEXTS = 3
# Types of pandas that have missing values, by the kind of a type of NumPy.
_NULLABLE: dict[str, Any] = {"i": "Int64", "u": "UInt64", "b": "boolean"}


@dataclass(frozen=True, eq=False)
class SingleLabelClassification(Objective):
    """Classification with one class for each text, by softmax cross-entropy.

    Targets are class numbers.

    Parameters
    ----------
    labels : LabelType
        The classes and their type.
    calibration : float or None, default=None
        Temperature that was learned on held-out texts.
    calibrated : bool, default=False
        Whether logits are divided by it before they become probabilities.
    threshold : float or None, default=None
        Probability from which the second of two classes is predicted. None predicts the likelier
        one.
    costs : float64 ndarray of shape (n_classes, n_classes) or None, default=None
        Cost of each decision (columns) for each true class (rows), the mean of which is to be low.
    abstain : float or None, default=None
        Confidence below which nothing is predicted.
    """

    labels: LabelType
    _: KW_ONLY
    calibration: float | None = None
    calibrated: bool = False
    threshold: float | None = None
    costs: Float64 | None = None
    abstain: float | None = None

    problem_type = "single_label_classification"
    head_type = problem_type
    purpose = "chooses one of several classes"
    loss = "cross_entropy"
    takes_matrix = False
    least_outputs = 2
    metric = "accuracy"
    greater_is_better = True
    learns_held_out = True
    link = "softmax"
    takes_costs = True
    recorded = {
        "loss": np.float32, "probability": np.float32, "margin": np.float32, "other": np.int32,
    }
    prediction_columns = ("predicted_label", "confidence")

    @property
    def classes(self) -> npt.NDArray[Any]:  # type: ignore[override]  # read-only here
        return self.labels.classes

    @property
    def possible_predictions(self) -> list[Any]:
        values: list[Any] = self.classes.tolist()
        return values

    @classmethod
    def learn(
        cls, y: Labels, n_texts: int, name: str = "y", order: Sequence[Any] | None = None
    ) -> tuple[SingleLabelClassification, npt.NDArray[np.int32]]:
        del order  # these classes have none
        labels, codes = learn_labels(y, n_texts, name)
        return cls(labels), codes

    def encode(self, y: Labels, n_texts: int, name: str) -> npt.NDArray[np.int32]:
        return encode_labels(y, self.labels, n_texts, name)

    @classmethod
    def read_column(cls, column: pd.Series[Any]) -> npt.NDArray[Any]:
        return column_labels(column)

    def match_column(
        self,
        column: pd.Series[Any],
        path: str | PathLike[str],
        label_map: Mapping[Any, Any] | None = None,
    ) -> npt.NDArray[Any]:
        return match_labels(column, self.classes, path, label_map)

    def translate(self, y: Labels, label_map: Mapping[Any, Any]) -> npt.NDArray[Any]:
        return translate_labels(y, self.labels, label_map, "y")

    def describe_doubts(self, targets: Targets) -> list[str]:
        lines = describe_doubts(self.classes, len(targets))
        counts = np.bincount(targets, minlength=len(self.classes))
        rare = [
            f"{abbreviate(name)} ({count})"
            for name, count in zip(self.label_names, counts.tolist(), strict=True)
            if 0 < count < _ENOUGH_TEXTS
        ]
        # In a small example, and if nearly all classes are rare, that is no news.
        if rare and len(targets) > 10 * _ENOUGH_TEXTS and len(rare) <= len(counts) / 2:
            more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
            lines.append(
                f"there are fewer than {_ENOUGH_TEXTS} texts of {', '.join(rare[:5])}{more}: "
                "hardly enough to learn from, and none or one to test on"
            )
        return lines

    def describe_targets(self, targets: Targets) -> str:
        return self._list_counts(np.bincount(targets, minlength=len(self.classes)))

    @property
    def label_names(self) -> list[str]:
        return [str(label) for label in self.classes.tolist()]

    @classmethod
    def from_label_names(
        cls, names: list[str]
    ) -> tuple[SingleLabelClassification, npt.NDArray[np.int64]]:
        labels, order = sort_names(names)
        return cls(LabelType(labels)), order

    def to_json(self) -> dict[str, Any]:
        learned = {} if self.calibration is None else {"calibration": self.calibration}
        return self.labels.to_json() | learned

    @classmethod
    def from_json(cls, content: Field) -> SingleLabelClassification:
        return cls(LabelType.from_json(content), calibration=cls._read_calibration(content))

    @staticmethod
    def _read_calibration(content: Field) -> float | None:
        if "calibration" not in content:
            return None
        return content["calibration"].number(LEAST_TEMPERATURE, LARGEST_TEMPERATURE)

    def check_record(self, targets: Targets, record: Columns) -> None:
        n_classes = len(self.classes)
        for name, codes, least in (("labels", targets, 0), ("other", record["other"], -1)):
            if codes.size and not least <= codes.min() <= codes.max() < n_classes:
                raise ValueError(f"{name} has numbers that no class has")

    def check_same_labels(self, known: Objective) -> None:
        ours = self.classes.tolist()
        theirs = [] if known.classes is None else known.classes.tolist()
        if ours != theirs:
            raise ValueError(
                f"warm_start=True continues with the classes {theirs}, but those of y are "
                f"{ours}; use warm_start=False to start anew"
            )

    def strata(self, targets: Targets) -> npt.NDArray[Any]:
        return targets

    def configure(
        self, parameters: Mapping[str, Any], targets: Targets
    ) -> SingleLabelClassification:
        self.check_parameters(parameters)
        self._read_costs(parameters)  # raises
        return replace(self, calibration=None)  # further training makes it invalid

    def under(self, parameters: Mapping[str, Any]) -> SingleLabelClassification:
        self.check_parameters(parameters)
        if parameters["calibrated"]:
            require_temperature(self.calibration)
        threshold, costs = self._read_costs(parameters)
        return replace(
            self, calibrated=bool(parameters["calibrated"]), threshold=threshold, costs=costs
        )

    def abstaining(self, abstain: float) -> SingleLabelClassification:
        return replace(self, abstain=float(abstain))

    def _read_costs(self, parameters: Mapping[str, Any]) -> tuple[float | None, Float64 | None]:
        """Return the threshold and the costs of decisions; raise unless they suit the classes."""
        threshold, matrix = (parameters[name] for name in ("decision_threshold", "cost_matrix"))
        count = len(self.classes)
        if threshold != DEFAULT_THRESHOLD and count != 2:
            raise ValueError(
                f"{spell('decision_threshold', threshold)} decides between two classes, but there "
                f"are {count}; use {spell('cost_matrix')}"
            )
        if matrix is None:
            return None if threshold == DEFAULT_THRESHOLD else float(threshold), None
        if threshold != DEFAULT_THRESHOLD:
            raise ValueError(
                f"{spell('decision_threshold', threshold)} and {spell('cost_matrix')} are both "
                "given; use one of them"
            )
        costs = np.array(matrix, dtype=np.float64)
        if len(costs) != count:
            raise ValueError(
                f"{spell('cost_matrix')} has {len(costs)} rows, but there are {count} classes: "
                f"{', '.join(self.label_names[:MOST_IN_MATRIX])}"
            )
        return None, costs

    def finish(self, logits: Float32, targets: Targets) -> SingleLabelClassification:
        """Return the objective with the temperature that suits held-out texts best."""
        return replace(self, calibration=best_temperature(logits, targets))

    def uncalibrated(self) -> SingleLabelClassification:
        return replace(self, calibration=1.0)

    def weigh(
        self,
        targets: Targets,
        weights: Float32 | None,
        class_weight: str | Mapping[Any, float] | None,
    ) -> Float32 | None:
        factors = class_factors(class_weight, self.labels, targets)
        if factors is None:
            return weights
        weighed = factors[targets] if weights is None else factors[targets] * weights
        if not weighed.any():
            raise ValueError(
                f"{spell('class_weight', class_weight)} leaves no text any weight, so nothing is "
                "learned"
            )
        counted: Float32 = weighed.astype(np.float32)
        return counted

    def pointwise_loss(self, logits: Float32, targets: Targets) -> Float64:
        return -self.log_likelihoods(logits, targets)

    def log_likelihoods(self, logits: Float32, targets: Targets) -> Float64:
        """Return the logarithm of the probability of each text's class."""
        logs = log_probabilities(logits, self.used_temperature)
        own: Float64 = logs[np.arange(len(targets)), targets]
        return own

    def pointwise_metric(self, logits: Float32, targets: Targets) -> npt.NDArray[np.bool_]:
        right: npt.NDArray[np.bool_] = self.answer(logits) == targets
        return right

    def score(
        self, logits: Float32, y: Labels, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the accuracy; a label that no training text had is always wrong."""
        targets = encode_labels(y, self.labels, len(logits), "y", strict=False)
        return self._mean_metric(logits, targets, sample_weight)

    def answer(self, logits: Float32) -> npt.NDArray[np.int64]:
        codes: npt.NDArray[np.int64]
        if self.costs is not None:
            codes = (self.predict_proba(logits) @ self.costs).argmin(axis=1)
        elif self.threshold is not None:
            codes = (self.predict_proba(logits)[:, 1] >= self.threshold).astype(np.int64)
        else:
            codes = logits.argmax(axis=1)
        return codes

    def confidence(self, logits: Float32) -> Float64:
        """Return the probability of each predicted class."""
        chosen: Float64 = self.predict_proba(logits)[np.arange(len(logits)), self.answer(logits)]
        return chosen

    def imagine(self, targets: Targets) -> Float32:
        return np.eye(len(self.classes), dtype=np.float32)[targets]

    def record(self, logits: Float32, targets: Targets, label_smoothing: float) -> Columns:
        """Return loss, probability and margin of each text.

        Returns
        -------
        dict of str to ndarray
            ``loss``: cross-entropy in nats with `label_smoothing`. ``probability``: probability of
            the label. ``margin``: logit of the label minus the largest other logit (Pleiss et al.
            2020). ``other``: the class with that other logit.
        """
        each = np.arange(len(targets))
        logs = log_probabilities(logits)
        own = logs[each, targets]
        loss = -((1 - label_smoothing) * own + label_smoothing * logs.mean(axis=1))
        logs[each, targets] = -np.inf
        other = logs.argmax(axis=1)
        margin = own - logs[each, other]
        return {"loss": loss, "probability": np.exp(own), "margin": margin, "other": other}

    def decode_record(self, record: Columns) -> Columns:
        return record | {"other": self.labels.decode(record["other"])}

    def report(self, logits: Float32, targets: Targets) -> dict[str, Any]:
        """Return accuracy, loss, precision, recall and F1 of each class, and confusion matrix."""
        from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

        probabilities = self.predict_proba(logits)
        predicted, codes = self.answer(logits), np.arange(len(self.classes))
        precision, recall, f1, support = precision_recall_fscore_support(
            targets, predicted, labels=codes, zero_division=0
        )
        own = probabilities[np.arange(len(targets)), targets]
        names = self.label_names
        decisions: dict[str, Any] = {}
        if len(names) >= _MANY_CLASSES:
            # How many classes are likelier than the true one.
            likelier = (probabilities > own[:, None]).sum(axis=1)
            decisions["top_k_accuracy"] = {
                str(k): float((likelier < k).mean()) for k in _LIKELIEST
            }
        if self.costs is not None:
            decisions["cost"] = float(self.costs[targets, predicted].mean())
        if self.abstain is not None:
            decisions["abstention"] = self._report_abstention(self.abstain, logits, targets)
        return {
            "accuracy": float((predicted == targets).mean()),
            "loss": float(self.pointwise_loss(logits, targets).mean()),
            "macro_f1": float(np.mean(f1)),
            "calibration": self.report_calibration(logits, targets),
            "classes": {
                name: {
                    "precision": float(precision[code]),
                    "recall": float(recall[code]),
                    "f1": float(f1[code]),
                    "rows": int(support[code]),
                }
                for code, name in enumerate(names)
            },
            "confusion_matrix": {
                "labels": names,
                "rows_true_columns_predicted": confusion_matrix(
                    targets, predicted, labels=codes
                ).tolist(),
            },
            **decisions,
        }

    def _report_abstention(
        self, least: float, logits: Float32, targets: Targets
    ) -> dict[str, Any]:
        """Return how many texts are decided, and the accuracy among them and among the others."""
        decided, right = self.confidence(logits) >= least, self.answer(logits) == targets
        return {
            "confidence": least,
            "coverage": float(decided.mean()),
            "rows": int(decided.sum()),
            "accuracy": float(right[decided].mean()) if decided.any() else None,
            "accuracy_left_out": None if decided.all() else float(right[~decided].mean()),
        }

    def measure(
        self, logits: Float32, targets: Targets, whole: Targets | None = None
    ) -> dict[str, float]:
        predicted, count = self.answer(logits), len(self.classes)
        hits, chosen, having = (
            np.bincount(codes, minlength=count)
            for codes in (targets[predicted == targets], predicted, targets)
        )
        f1 = 2.0 * hits / np.maximum(chosen + having, 1)
        macro = float(f1.mean())
        if whole is not None:
            macro = resampled_mean(f1, having > 0, np.bincount(whole, minlength=count) > 0)
        found = self.evaluate(logits, targets) | {"macro_f1": macro}
        if self.costs is not None:
            found["cost"] = float(self.costs[targets, predicted].mean())
        return found

    def report_charts(self, logits: Float32, targets: Targets) -> list[ReportChart]:
        """Return a reliability diagram and precision-recall curves."""
        right = {}
        for name, temperature in (("as trained", 1.0), ("calibrated", self.calibration)):
            if temperature is not None:
                probabilities = self._probabilities(logits, temperature)
                right[name] = probabilities.max(axis=1), probabilities.argmax(axis=1) == targets
        names, probabilities = self.label_names, self.predict_proba(logits)
        has = np.eye(len(names), dtype=bool)[targets]
        first = 1 if len(names) == 2 else 0  # of two classes, the second is the positive one
        return [
            reliability_chart(right),
            recall_chart(names[first:], probabilities[:, first:], has[:, first:]),
        ]

    def describe_cases(self, logits: Float32, targets: Targets) -> list[dict[str, Any]]:
        names, probabilities = self.label_names, self.predict_proba(logits)
        return [
            {
                "true": names[true], "predicted": names[code], "confidence": f"{each[code]:.3f}",
                "probability of the true class": f"{each[true]:.3f}",
            }
            for true, code, each in zip(targets, self.answer(logits), probabilities, strict=True)
        ]

    def report_calibration(self, logits: Float32, targets: Targets) -> dict[str, Any]:
        """Return calibration error and Brier score, before and after calibration."""
        raw, divided = (self._probabilities(logits, t) for t in (1.0, self.calibration or 1.0))
        return {
            "temperature": self.calibration,
            "uncalibrated": judge_classes(raw, targets),
            "calibrated": None if self.calibration is None else judge_classes(divided, targets),
        }

    def report_tables(self, report: Mapping[str, Any]) -> list[ReportTable]:
        each = [
            [name, *(f"{row[key]:.4f}" for key in ("precision", "recall", "f1")), str(row["rows"])]
            for name, row in report["classes"].items()
        ]
        names = report["confusion_matrix"]["labels"]
        counts = report["confusion_matrix"]["rows_true_columns_predicted"]
        if len(names) <= MOST_IN_MATRIX:
            confusion = _matrix_table(names, counts)
        else:
            confusion = _confusion_table(names, counts)
        return [
            ReportTable("", ["class", "precision", "recall", "F1", "texts"], each), confusion,
            calibration_table(report["calibration"]), *_decision_tables(report),
        ]

    def format_metric(self, value: float) -> str:
        return f"{value:.2%}"

    def predict(self, logits: Float32) -> npt.NDArray[Any] | pd.Categorical:
        """Return the labels, as an array, or as a Categorical if the training labels were one.

        If it abstains, undecided texts have None in an array of objects, or no category.
        """
        labels = self.labels.decode(self.answer(logits))
        if self.abstain is not None:
            if isinstance(labels, np.ndarray):
                labels = labels.astype(object)
            labels[self.confidence(logits) < self.abstain] = None
        return labels

    def predict_proba(self, logits: Float32) -> Float64:
        """Return the probability of each class, as float64."""
        return self._probabilities(logits, self.used_temperature)

    @property
    def used_temperature(self) -> float:
        """The temperature by which logits are divided before they become probabilities."""
        return (self.calibrated and self.calibration) or 1.0

    def _probabilities(self, logits: Float32, temperature: float) -> Float64:
        return np.exp(log_probabilities(logits, temperature))

    def decision_function(self, logits: Float32) -> Float32:
        """Return the logits, or with two classes the second minus the first."""
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def prediction_table(self, logits: Float32, decimals: int | None = None) -> Columns:
        confidence = self.confidence(logits)
        labels: Any = self.predict(logits)
        if decimals is not None:
            confidence = confidence.round(decimals)
        kind = self.classes.dtype.kind
        if self.abstain is not None and isinstance(labels, np.ndarray) and kind in _NULLABLE:
            import pandas as pd

            # With a type that has missing values, a column keeps it in all chunks of a file.
            labels = pd.array(labels, dtype=_NULLABLE[kind])
        return {"predicted_label": labels, "confidence": confidence}

    def prediction_frame(self, logits: Float32) -> Columns:
        names = [f"probability_{name}" for name in self.label_names]
        probabilities = self.predict_proba(logits)
        return self.prediction_table(logits) | dict(zip(names, probabilities.T, strict=True))

    def find_output(self, target: Any) -> int:
        code = self.labels.find(target.item() if isinstance(target, np.generic) else target)
        return super().find_output(target) if code < 0 else code

    def outputs_to_explain(self, logits: Float32) -> npt.NDArray[np.int64]:
        return self.answer(logits)

    def output_weights(self, outputs: npt.NDArray[np.int64]) -> Float32:
        """Return 1 for the class, and -1 divided among the others.

        Softmax ignores what all logits have in common, and so does this sum. It is the logarithm of
        the probability of the class, minus the mean of those of the others.
        """
        count = len(self.classes)
        weights = np.full((len(outputs), count), -1.0 / max(1, count - 1), np.float32)
        weights[np.arange(len(outputs)), outputs] = 1.0
        return weights

    def uncertainty(self, logits: Float32) -> Float64:
        """Return how near each text is to another decision, from 0 to 1.

        With costs, it is how near the two lowest expected costs are, relative to the most that two
        decisions can differ by; without, the same is true of a cost of 1 for each mistake.
        """
        probabilities = self.predict_proba(logits)
        if self.costs is not None:
            lowest = np.partition(probabilities @ self.costs, 1, axis=1)[:, :2]
            widest = float(np.ptp(self.costs, axis=1).max())
            return np.asarray(1.0 - (lowest[:, 1] - lowest[:, 0]) / (widest or 1.0))
        if self.threshold is not None:
            most = max(self.threshold, 1.0 - self.threshold)
            return np.asarray(1.0 - np.abs(probabilities[:, 1] - self.threshold) / most)
        return margin_uncertainty(probabilities)

    @property
    def temperatures(self) -> list[float] | None:
        return [self.used_temperature] if self.calibrated else None

    @property
    def decision(self) -> dict[str, Any]:
        if self.costs is not None:
            return {"cost_matrix": self.costs.tolist()}
        return {} if self.threshold is None else {"threshold": self.threshold}

    def combine(self, opinions: list[Float32]) -> Float32:
        """Return logits whose softmax is the mean of the models' probabilities."""
        # np.logaddexp and scipy.special.logsumexp differ in the last bit.
        together = np.logaddexp.reduce([log_probabilities(logits) for logits in opinions])
        logits: Float32 = (together - math.log(len(opinions))).astype(np.float32)
        return logits

    def mix(self, opinions: list[Float32], shares: Sequence[float]) -> Float32:
        """Return logits whose softmax is the mean of probabilities with weights that add up to 1.

        Parameters
        ----------
        opinions : list of ndarray of float32, shape (n_texts, n_classes)
            Logits.
        shares : sequence of float
            Their weights.
        """
        parts = [
            log_probabilities(logits) + math.log(share)
            for logits, share in zip(opinions, shares, strict=True) if share > 0
        ]
        mixed: Float32 = np.logaddexp.reduce(parts).astype(np.float32)
        return mixed


def _decision_tables(report: Mapping[str, Any]) -> list[ReportTable]:
    """Return tables about costs and about texts that are left out, where a report has them."""
    tables = []
    if "top_k_accuracy" in report:
        rows = [[k, f"{share:.2%}"] for k, share in report["top_k_accuracy"].items()]
        tables.append(ReportTable("", ["true class among the likeliest", "texts"], rows))
    if "cost" in report:
        tables.append(ReportTable("", ["cost of a text", ""], [["mean", f"{report['cost']:.4f}"]]))
    if "abstention" in report:
        found, rows = report["abstention"], []
        left_out = report["rows"] - found["rows"]
        for name, count, accuracy in (
            ("decided", found["rows"], found["accuracy"]),
            ("left out", left_out, found["accuracy_left_out"]),
        ):
            share = f"{count / report['rows']:.2%}"
            rows.append([name, str(count), share, "" if accuracy is None else f"{accuracy:.2%}"])
        title = f"confidence of at least {found['confidence']:g}"
        tables.append(ReportTable("", [title, "texts", "share", "accuracy"], rows))
    return tables


def _matrix_table(names: list[str], counts: list[list[int]]) -> ReportTable:
    """Return a confusion matrix as a table, in which cells are marked by their share of the row."""
    return ReportTable(
        "confusion matrix (rows: true class, columns: predicted)",
        ["", *names],
        [[name, *map(str, row)] for name, row in zip(names, counts, strict=True)],
        [[count / max(1, sum(row)) for count in row] for row in counts],
    )


def _confusion_table(names: list[str], counts: list[list[int]]) -> ReportTable:
    """Return the largest cells of a confusion matrix outside of its diagonal, as a table."""
    matrix = np.array(counts)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:MOST_CONFUSIONS]
    cells = np.transpose(np.unravel_index(order, matrix.shape))
    return ReportTable(
        "most frequent confusions",
        ["true class", "predicted", "texts"],
        [[names[i], names[j], str(matrix[i, j])] for i, j in cells if matrix[i, j]],
    )


def margin_uncertainty(probabilities: Float64) -> Float64:
    """Return 1 minus the difference between the two largest probabilities of each text.

    It is 1 if two classes are equally likely, and 0 for a certain prediction (Scheffer, Decomain
    and Wrobel 2001, *Active hidden Markov models for information extraction*).
    """
    largest = np.sort(probabilities, axis=1)
    found: Float64 = 1.0 - (largest[:, -1] - largest[:, -2])
    return found


def log_probabilities(logits: Float32, temperature: float = 1.0) -> Float64:
    """Return the log-softmax, in float64 so that probabilities add up to 1 more exactly."""
    from scipy.special import log_softmax

    logs: Float64 = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    return logs
