"""Classification with one class for each text, by softmax cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.objectives.base import Objective, ReportTable, sort_names
from bertsent.objectives.calibration import (
    LARGEST_TEMPERATURE,
    LEAST_TEMPERATURE,
    best_temperature,
    calibration_table,
    judge_classes,
    require_temperature,
)
from bertsent.texts import (
    LabelType,
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
    from bertsent.texts import Labels

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Targets: TypeAlias = "npt.NDArray[np.int32]"

# With more classes, reports list the most frequent confusions instead of the whole matrix.
MOST_IN_MATRIX = 20
MOST_CONFUSIONS = 15


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
    """

    labels: LabelType
    _: KW_ONLY
    calibration: float | None = None
    calibrated: bool = False

    problem_type = "single_label_classification"
    purpose = "chooses one of several classes"
    loss = "cross_entropy"
    takes_matrix = False
    least_outputs = 2
    metric = "accuracy"
    greater_is_better = True
    learns_held_out = True
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
        cls, y: Labels, n_texts: int, name: str = "y"
    ) -> tuple[SingleLabelClassification, npt.NDArray[np.int32]]:
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
        return describe_doubts(self.classes, len(targets))

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
        calibration = None
        if "calibration" in content:
            calibration = content["calibration"].number(LEAST_TEMPERATURE, LARGEST_TEMPERATURE)
        return cls(LabelType.from_json(content), calibration=calibration)

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
        return replace(self, calibration=None)  # further training makes it invalid

    def under(self, parameters: Mapping[str, Any]) -> SingleLabelClassification:
        self.check_parameters(parameters)
        if parameters["calibrated"]:
            require_temperature(self.calibration)
        return replace(self, calibrated=bool(parameters["calibrated"]))

    def finish(self, logits: Float32, targets: Targets) -> SingleLabelClassification:
        """Return the objective with the temperature that suits held-out texts best."""
        return replace(self, calibration=best_temperature(logits, targets))

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
        losses: Float64 = -log_probabilities(logits)[np.arange(len(targets)), targets]
        return losses

    def pointwise_metric(self, logits: Float32, targets: Targets) -> npt.NDArray[np.bool_]:
        right: npt.NDArray[np.bool_] = logits.argmax(axis=1) == targets
        return right

    def score(
        self, logits: Float32, y: Labels, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the accuracy; a label that no training text had is always wrong."""
        targets = encode_labels(y, self.labels, len(logits), "y", strict=False)
        return self._mean_metric(logits, targets, sample_weight)

    def answer(self, logits: Float32) -> npt.NDArray[np.int64]:
        codes: npt.NDArray[np.int64] = logits.argmax(axis=1)
        return codes

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
        own = np.maximum(probabilities[np.arange(len(targets)), targets], 1e-300)
        names = self.label_names
        return {
            "accuracy": float((predicted == targets).mean()),
            "loss": float(-np.log(own).mean()),
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
        }

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
            calibration_table(report["calibration"]),
        ]

    def format_metric(self, value: float) -> str:
        return f"{value:.2%}"

    def predict(self, logits: Float32) -> npt.NDArray[Any] | pd.Categorical:
        """Return the labels, as an array, or as a Categorical if the training labels were one."""
        return self.labels.decode(logits.argmax(axis=1))

    def predict_proba(self, logits: Float32) -> Float64:
        """Return the probability of each class, as float64."""
        return self._probabilities(logits, (self.calibrated and self.calibration) or 1.0)

    def _probabilities(self, logits: Float32, temperature: float) -> Float64:
        return np.exp(log_probabilities(logits, temperature))

    def decision_function(self, logits: Float32) -> Float32:
        """Return the logits, or with two classes the second minus the first."""
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def prediction_table(self, logits: Float32, decimals: int | None = None) -> Columns:
        probabilities = self.predict_proba(logits)
        confidence = probabilities.max(axis=1, initial=0.0)
        if decimals is not None:
            confidence = confidence.round(decimals)
        labels = self.labels.decode(probabilities.argmax(axis=1))
        return {"predicted_label": labels, "confidence": confidence}

    def uncertainty(self, logits: Float32) -> Float64:
        return margin_uncertainty(self.predict_proba(logits))

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
