"""The interface of an objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from bertsent.texts import abbreviate, check_weights
from bertsent.wording import spell

if TYPE_CHECKING:
    import pandas as pd

    from bertsent.files import Field
    from bertsent.model import BertForSequenceClassification
    from bertsent.objectives.charts import ReportChart

Array: TypeAlias = "npt.NDArray[Any]"
# Arrays, or anything else that pandas accepts as columns, by name.
Columns = dict[str, Any]
DEFAULT_THRESHOLD = 0.5


class ReportTable(NamedTuple):
    """A table of a report.

    Attributes
    ----------
    title : str
        May be empty.
    columns : list of str
        Names of the columns; that of the first column may be empty.
    rows : list of list of str
        The cells. The first one of each row is its name.
    shades : list of list of float or None, default=None
        How strongly each cell but the first of its row is to be marked, from 0 to 1.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    shades: list[list[float]] | None = None


# Outputs whose counts are listed.
_MOST_COUNTED = 10


def list_outputs(names: Sequence[str], outputs: str) -> str:
    """Return the number of outputs, and the names of the first ones."""
    more = ", ..." if len(names) > 5 else ""
    return f"{len(names)} {outputs} ({', '.join(names[:5])}{more})"


def sort_names(names: Sequence[str]) -> tuple[Array, npt.NDArray[np.int64]]:
    """Return the names of outputs, sorted, and the number of the output that has each."""
    labels = np.array(names, dtype=object)
    order = np.argsort(labels, kind="stable")
    return labels[order], order


def resampled_mean(
    values: Array, drawn: npt.NDArray[np.bool_], tested: npt.NDArray[np.bool_]
) -> float:
    """Return the mean of a value of each class in a resample of a test.

    What the test does not have counts as 0, as in the whole test. What only the resample does not
    have is left out, because its value is unknown and not 0.

    Parameters
    ----------
    values : ndarray of shape (n_classes,)
    drawn, tested : ndarray of bool, shape (n_classes,)
        Whether each class is there, in the resample and in the whole test.

    Returns
    -------
    float
        NaN if nothing is left.
    """
    if not tested.any():
        return 0.0
    return float(values[drawn].mean() * tested.mean()) if drawn.any() else float("nan")


class Objective(ABC):
    """What a model learns, and what its logits mean.

    An instance belongs to one fitted model. It remembers the type of y in training, so that
    predictions have the same type. *Targets* are y in numbers, one row for each text. *Logits* are
    the output of the head, a float32 array of shape (n_texts, n_outputs).

    Attributes
    ----------
    problem_type : str
        Name in ``bertsent.json``, and key in `bertsent.objectives.OBJECTIVES`.
    head_type : str
        The problem type in ``config.json``, one that other programs know.
    purpose : str
        What a model does, for errors: the end of a sentence.
    loss : str
        Loss in the engine, a row of the table in ``csrc/model/loss.c``. It determines whether
        targets are class numbers (int32, of shape (n_texts,)) or a float32 matrix of shape
        (n_texts, n_outputs).
    outputs : str
        What the outputs of the head stand for, in the plural.
    least_outputs : int
        Smallest number of outputs of a head.
    takes_matrix : bool
        Whether targets are a matrix, as the loss says.
    metric : str
        Name of the metric that is reported besides the loss, a mean over texts.
    greater_is_better : bool
        Whether a larger value of the metric is better.
    further_metrics : mapping of str to bool
        What else `evaluate` returns, by name, and whether larger values are better.
    link : {"softmax", "sigmoid", "identity"} or None
        What turns logits into predictions in other programs: into the probabilities of classes, of
        labels, or into the numbers themselves. None if nothing that they know does.
    takes_threshold : bool
        Whether the parameter `label_threshold` decides what is predicted.
    takes_costs : bool
        Whether `decision_threshold`, `cost_matrix` and `abstain` do.
    learns_held_out : bool
        Whether `finish` is to be called after training, if there are held-out texts.
    chooses_thresholds : bool
        Whether there must be some.
    explained : str
        What `output_weights` compute of the logits, in words.
    recorded : mapping of str to dtype
        Names and types of the values that `record` returns for each text.
    prediction_columns : tuple of str
        The keys of `prediction_table`.
    classes : ndarray or None
        The classes of y, sorted; None if y has no classes.
    """

    problem_type: ClassVar[str]
    head_type: ClassVar[str]
    purpose: ClassVar[str] = "predicts something else"
    loss: ClassVar[str]
    least_outputs: ClassVar[int] = 1
    outputs: ClassVar[str] = "classes"
    takes_matrix: ClassVar[bool] = True
    metric: ClassVar[str]
    greater_is_better: ClassVar[bool]
    further_metrics: ClassVar[Mapping[str, bool]] = {}
    link: ClassVar[str | None] = None
    takes_threshold: ClassVar[bool] = False
    takes_costs: ClassVar[bool] = False
    learns_held_out: ClassVar[bool] = False
    chooses_thresholds: bool = False
    explained: ClassVar[str] = "log-odds"
    recorded: ClassVar[Mapping[str, type]] = {"loss": np.float32}
    prediction_columns: ClassVar[tuple[str, ...]] = ("prediction",)
    classes: Array | None = None

    # --- y and targets ----------------------------------------------------------------------

    @classmethod
    def takes(cls, y: Any) -> bool:
        """Return whether y has a form that only this objective takes, of those of an estimator."""
        del y
        return False

    @classmethod
    @abstractmethod
    def learn(
        cls, y: Any, n_texts: int, name: str = "y", order: Sequence[Any] | None = None
    ) -> tuple[Objective, Array]:
        """Return the objective for the y of training, and the targets.

        Parameters
        ----------
        y : list, Series or array
            The argument of `fit`.
        n_texts : int
        name : str, default="y"
            Name of y in error messages.
        order : sequence or None, default=None
            The parameter `class_order`: all classes from the lowest to the highest, for an
            objective that learns their order.

        Returns
        -------
        objective : Objective
        targets : ndarray
        """

    @classmethod
    def from_classes(
        cls, classes: Any, y: Any, order: Sequence[Any] | None = None
    ) -> Objective:
        """Return the objective for all classes that may ever occur.

        Parameters
        ----------
        classes : list, Series or array
            The argument of `partial_fit`.
        y : object
            The first y, which need not contain all of them.
        order : sequence or None, default=None
            As in `learn`.
        """
        del y
        try:
            n_classes = len(classes)
        except TypeError:  # `learn` says what is wrong
            n_classes = 0
        return cls.learn(classes, n_classes, "classes", order)[0]

    @abstractmethod
    def encode(self, y: Any, n_texts: int, name: str) -> Array:
        """Return the targets of further texts; `name` is that of y in error messages."""

    @classmethod
    def read_column(cls, column: pd.Series[Any]) -> Array:
        """Convert a column of a file to y for `learn`."""
        return column.to_numpy()

    def match_column(
        self, column: pd.Series[Any], path: Any, label_map: Mapping[Any, Any] | None = None
    ) -> Array:
        """Convert a column of a further file to y for `encode`.

        Parameters
        ----------
        column : Series
        path : str or path-like
            Name of the file for errors.
        label_map : dict or None, default=None
            The classes that labels with other names mean.
        """
        del path
        return self.read_column(column) if label_map is None else self.translate(column, label_map)

    def translate(self, y: Any, label_map: Mapping[Any, Any]) -> Array:
        """Return the classes that labels with other names mean, for `encode`."""
        del y
        raise ValueError(f"{spell('label_map', label_map)} needs classes, but the model has none")

    def describe_doubts(self, targets: Array) -> list[str]:
        """Return a line about each thing that is probably a mistake in the y of training."""
        del targets
        return []

    def describe_targets(self, targets: Array) -> str:
        """Return the distribution of the targets in a few words, or an empty string."""
        del targets
        return ""

    @property
    @abstractmethod
    def label_names(self) -> list[str]:
        """Names of the outputs, as in ``id2label`` of ``config.json``."""

    def _list_counts(self, counts: npt.NDArray[np.int64]) -> str:
        """Return how often each output is right, and the names of the first ones."""
        names = [
            # Surplus white space is made visible, and long names are cut.
            name if name == " ".join(name.split()) and 0 < len(name) <= 40 else abbreviate(name)
            for name in self.label_names
        ]
        shown = [f"{count:,} {name}" for count, name in zip(counts, names, strict=True)]
        further = len(shown) - _MOST_COUNTED
        more = f" and {further} more {self.outputs}" if further > 0 else ""
        return ", ".join(shown[:_MOST_COUNTED]) + more

    def describe_outputs(self) -> str:
        """Return the number of outputs and their names, such as "2 classes (no, yes)"."""
        return list_outputs(self.label_names, self.outputs)

    @classmethod
    @abstractmethod
    def from_label_names(cls, names: list[str]) -> tuple[Objective, Array]:
        """Return the objective of a model that another program saved.

        Parameters
        ----------
        names : list of str
            Names of the outputs in its ``id2label``.

        Returns
        -------
        objective : Objective
        order : ndarray of int
            Numbers of the model's outputs in the order of the objective.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return a dict of plain values from which `from_json` makes an equal object."""

    @classmethod
    @abstractmethod
    def from_json(cls, content: Field) -> Objective:
        """Undo `to_json`.

        Parameters
        ----------
        content : Field
            The entry in ``bertsent.json``, which may be from strangers: its methods check the type
            of each value, and raise a CheckpointError that names it.
        """

    def check_record(self, targets: Array, record: Columns) -> None:
        """Raise a ValueError unless these are targets and records of this objective.

        They have been read from a file. Their types, and the shape of `record`, are right.

        Parameters
        ----------
        targets : ndarray
        record : dict of str to ndarray
            Several values of `record`, by name.
        """
        del targets, record

    def check_same_labels(self, known: Objective) -> None:
        """Raise a ValueError unless a head of the objective `known` can be trained further."""
        if self.label_names != known.label_names:
            raise ValueError(
                f"warm_start=True continues with the outputs {known.label_names}, but y has "
                f"{self.label_names}; use warm_start=False to start anew"
            )

    def strata(self, targets: Array) -> Array:
        """Return the class of each text for stratified splits; by default, all are the same."""
        return np.zeros(len(targets), dtype=np.int32)

    def configure(self, parameters: Mapping[str, Any], targets: Array) -> Objective:
        """Return the objective as parameters of the estimator change it for training.

        Parameters
        ----------
        parameters : dict
        targets : ndarray
            Those of all texts.
        """
        del targets
        self.check_parameters(parameters)
        return self

    def under(self, parameters: Mapping[str, Any]) -> Objective:
        """Return the objective as parameters of the estimator change it for prediction."""
        self.check_parameters(parameters)
        return self

    def abstaining(self, abstain: float) -> Objective:
        """Return the objective that predicts nothing below a confidence."""
        raise ValueError(
            f"{spell('abstain', abstain)} needs one class for each text, but this model "
            f"{self.purpose}"
        )

    def check_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Raise a ValueError if parameters are for another objective."""
        threshold, costs = (parameters[name] for name in ("decision_threshold", "cost_matrix"))
        if not self.takes_costs and (threshold != DEFAULT_THRESHOLD or costs is not None):
            name = "decision_threshold" if costs is None else "cost_matrix"
            raise ValueError(
                f"{spell(name, parameters[name])} needs one class for each text, but this model "
                f"{self.purpose}"
            )
        if not self.takes_threshold and parameters["label_threshold"] != DEFAULT_THRESHOLD:
            raise ValueError(
                f"{spell('label_threshold', parameters['label_threshold'])} decides which labels "
                "are predicted if a text can have several, but this model predicts "
                + ("one class for each text" if self.classes is not None else "no labels")
            )

    @property
    def loss_options(self) -> dict[str, Any]:
        """Further arguments of the loss, as the engine takes them."""
        return {}

    @property
    def identity(self) -> list[str]:
        """What a resumed run compares, besides the targets."""
        return self.label_names

    def begin(self, model: BertForSequenceClassification) -> None:
        """Prepare a model whose head was trained before for further training."""
        del model

    def trained(self, model: BertForSequenceClassification) -> Objective:
        """Finish the model when its training is over, and return its objective."""
        del model
        return self

    def finish(self, logits: Array, targets: Array) -> Objective:
        """Return the objective after training, given held-out texts; see `learns_held_out`."""
        del logits, targets
        return self

    def uncalibrated(self) -> Objective:
        """Return the objective with a temperature of 1, if training ended before `finish`."""
        return self

    def weigh(
        self, targets: Array, weights: Array | None, class_weight: Any
    ) -> Array | None:
        """Return the weight of each text in the loss.

        Parameters
        ----------
        targets : ndarray
        weights : float32 ndarray or None
            Sample weights.
        class_weight : None, "balanced" or dict

        Returns
        -------
        float32 ndarray or None
            None for equal weights.
        """
        if class_weight is not None:
            raise ValueError(
                f"{spell('class_weight', class_weight)} needs classes, but y has none"
            )
        return weights

    # --- explanations -----------------------------------------------------------------------

    def find_output(self, target: Any) -> int:
        """Return the number of the output that a label names; raise a ValueError without one."""
        names = self.label_names
        if str(target) in names:
            return names.index(str(target))
        raise ValueError(
            f"{spell('target', target)} is not known; expected one of the "
            + list_outputs(names, self.outputs)
        )

    def outputs_to_explain(self, logits: Array) -> npt.NDArray[np.int64]:
        """Return the number of the output to explain for each text, if none was named."""
        return np.zeros(len(logits), np.int64)

    def outputs_of_examples(self, logits: Array, targets: Array) -> npt.NDArray[np.int64]:
        """Return the number of the output to explain for each example of a report."""
        return self.outputs_to_explain(logits)

    def output_weights(self, outputs: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the weights of the logits whose sum is explained, given the number of the output.

        Parameters
        ----------
        outputs : ndarray of int64, shape (n_texts,)

        Returns
        -------
        ndarray of float32, shape (n_texts, n_outputs)
        """
        return np.eye(len(self.label_names), dtype=np.float32)[outputs]

    # --- logits against targets -------------------------------------------------------------

    def for_engine(self, targets: Array) -> tuple[Array, dict[str, Any]]:
        """Return the targets of some texts as the engine takes them, and arguments for the loss."""
        return targets, {"loss": self.loss, **self.loss_options}

    @abstractmethod
    def pointwise_loss(self, logits: Array, targets: Array) -> Array:
        """Return the loss of each text, that of the probabilities if there are any."""

    @abstractmethod
    def pointwise_metric(self, logits: Array, targets: Array) -> Array:
        """Return the metric of each text, as bool or float32. Its weighted mean is reported."""

    @classmethod
    def watchable(cls) -> dict[str, bool]:
        """Return what early stopping can watch, and whether larger values are better."""
        return {"loss": False, cls.metric: cls.greater_is_better, **cls.further_metrics}

    def evaluate(self, logits: Array, targets: Array) -> dict[str, float]:
        """Return the mean loss and metric as a dict, with `further_metrics`."""
        return {
            "loss": float(self.pointwise_loss(logits, targets).mean(dtype=np.float64)),
            self.metric: float(self.pointwise_metric(logits, targets).mean(dtype=np.float64)),
        }

    def score(
        self, logits: Array, y: Any, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the metric as `score` of scikit-learn does: larger is better."""
        targets = self.encode(y, len(logits), "y")
        mean = self._mean_metric(logits, targets, sample_weight)
        return mean if self.greater_is_better else -mean

    def _mean_metric(
        self, logits: Array, targets: Array, sample_weight: npt.ArrayLike | None
    ) -> float:
        weights = check_weights(sample_weight, len(logits))
        return float(np.average(self.pointwise_metric(logits, targets), weights=weights))

    # --- as metrics of scikit-learn take it -------------------------------------------------

    def truth(self, targets: Array) -> Array:
        """Return targets as metrics take them: class numbers, indicators or numbers."""
        return targets

    def answer(self, logits: Array) -> Array:
        """Return predictions in the form of `truth`."""
        found: Array = np.asarray(self.predict(logits))
        return found

    def imagine(self, targets: Array) -> Array:
        """Return logits of a model that is nearly always right, to try a metric with."""
        nearly: npt.NDArray[np.float32] = targets.reshape(len(targets), -1) + np.float32(0.25)
        return nearly.astype(np.float32)

    def record(
        self, logits: Array, targets: Array, label_smoothing: float
    ) -> Columns:
        """Return the values that `ExampleHistory` keeps for each text of a step, arrays by name.

        By default, that is only the loss. `audit` needs everything that
        `SingleLabelClassification.record` returns.
        """
        del label_smoothing
        return {"loss": self.pointwise_loss(logits, targets)}

    def decode_record(self, record: Columns) -> Columns:
        """Return recorded values in the form that users see."""
        return record

    def report(self, logits: Array, targets: Array) -> dict[str, Any]:
        """Return the results of a test, with loss and metric, as values for JSON."""
        return self.evaluate(logits, targets)

    def measure(
        self, logits: Array, targets: Array, whole: Array | None = None
    ) -> dict[str, float]:
        """Return the metrics of a report that have a confidence interval.

        Parameters
        ----------
        logits, targets : ndarray
            Of all texts of a test, or of a resample of it.
        whole : ndarray or None, default=None
            The targets of the whole test, if this is a resample. Classes that it did not draw are
            then left out of the macro F1, which is NaN if there is nothing left.
        """
        del whole
        return self.evaluate(logits, targets)

    def report_charts(self, logits: Array, targets: Array) -> list[ReportChart]:
        """Return the charts of a report."""
        del logits, targets
        return []

    def describe_cases(self, logits: Array, targets: Array) -> list[dict[str, Any]]:
        """Return what is true and predicted of each text, by what it is called for people."""
        losses = self.pointwise_loss(logits, targets)
        return [{"loss": f"{loss:.4f}"} for loss in losses.tolist()]

    def report_tables(self, report: Mapping[str, Any]) -> list[ReportTable]:
        """Return a report as tables for people, without the metric."""
        return [ReportTable("", ["", "all texts"], [["loss", f"{report['loss']:.4f}"]])]

    def format_metric(self, value: float) -> str:
        """Return a value of the metric as text."""
        return f"{value:.4f}"

    # --- predictions ------------------------------------------------------------------------

    @abstractmethod
    def predict(self, logits: Array) -> Any:
        """Return predictions in the type of y."""

    def predict_proba(self, logits: Array) -> npt.NDArray[np.float64]:
        """Return the probability of each class."""
        raise TypeError(f"a model for {self.problem_type} does not predict probabilities")

    def decision_function(self, logits: Array) -> npt.NDArray[np.float32]:
        """Return the confidence in each class, as `decision_function` of scikit-learn does."""
        raise TypeError(f"a model for {self.problem_type} has no classes")

    def prediction_table(self, logits: Array, decimals: int | None = None) -> Columns:
        """Return the columns of predictions that are added to a table of texts.

        Parameters
        ----------
        logits : ndarray
        decimals : int or None, default=None
            Decimal places to which probabilities are rounded. None does not round.

        Returns
        -------
        dict of str to array
            One for each of `prediction_columns`, the prediction first.
        """
        del decimals
        return dict(zip(self.prediction_columns, [self.predict(logits)], strict=True))

    def prediction_frame(self, logits: Array) -> Columns:
        """Return the columns of `prediction_table`, and the probabilities of all classes."""
        return self.prediction_table(logits)

    def uncertainty(self, logits: Array) -> npt.NDArray[np.float64]:
        """Return how uncertain each prediction is, from 0 to 1, to choose texts to label."""
        raise TypeError(f"a model for {self.problem_type} does not know how uncertain it is")

    @property
    def possible_predictions(self) -> Sequence[Any]:
        """All values that the first of `prediction_columns` can have, if they are known."""
        return ()

    def combine(self, opinions: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Combine the logits of several models; by default, return their mean."""
        means: npt.NDArray[np.float64] = np.stack(opinions).mean(axis=0, dtype=np.float64)
        return means.astype(np.float32)

    # --- other programs ---------------------------------------------------------------------

    @property
    def temperatures(self) -> list[float] | None:
        """What divides logits before they become probabilities: one number, or one a label."""
        return None

    @property
    def decision(self) -> dict[str, Any]:
        """How probabilities become predictions, as JSON; empty if the most probable class wins."""
        return {}
