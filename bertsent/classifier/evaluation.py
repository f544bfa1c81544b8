"""Test a classifier, and show the result as text or HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsent.classifier.declaration import whole
from bertsent.files import atomic_write, check_output
from bertsent.system import expand_path, html_table, interruptible, row_progress, text_table
from bertsent.texts import check_texts, in_memory_all, row_labels
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.classifier.fitted import Predictor
    from bertsent.explanation import Explanation
    from bertsent.objectives import Objective, ReportTable
    from bertsent.texts import Labels, Texts


class Evaluation(dict[str, Any]):
    """The result of `BertClassifier.evaluate`: a dictionary that prints as a report.

    Its items are also attributes, and values that ``json.dump`` can write. ``print`` shows the
    report that ``bertsent evaluate`` prints, and a notebook shows it as HTML.

    Parameters
    ----------
    metrics : dict
    objective : Objective
        What the model learned.

    Attributes
    ----------
    accuracy, loss, macro_f1 : float
        Share of correct predictions, mean cross-entropy of the probabilities in nats (calibrated
        if `calibrated` is set), and mean F1 of the classes.
    rows : int
        Number of texts.
    classes : dict
        ``precision``, ``recall``, ``f1`` and ``rows`` of each class, by its name.
    confusion_matrix : dict
        ``labels``, the names of the classes, and ``rows_true_columns_predicted``, a list of rows.
    inference_precision : str
        Precision in which the predictions were computed.
    rows_seen_in_training : int
        Number of texts that the classifier was trained on.
    accuracy_unseen : float or None
        Accuracy on all others; None if there are none.
    calibration : dict
        ``temperature`` (None if none was learned; a list for several labels), and ``uncalibrated``
        and ``calibrated``, which have the expected calibration error ``ece`` and the Brier score
        ``brier``; ``calibrated`` is None without a temperature.
    top_k_accuracy : dict
        With six classes or more: the share of the texts whose true class is among the "2", "3" and
        "5" likeliest.
    cost : float
        With `cost_matrix`: mean cost of a text.
    abstention : dict
        With `abstain`: ``confidence``, the least; ``coverage`` and ``rows``, the share and number
        of texts that are decided; ``accuracy`` among these, and ``accuracy_left_out`` among the
        others, None where there are none.
    mae, quadratic_kappa : float
        With `ordinal`: mean absolute error in ranks, and Cohen's kappa with quadratic weights.
    f1, micro_f1, macro_f1, subset_accuracy : float
        If a text can have several labels, instead of the accuracy: the F1 as the mean over texts,
        over all decisions and over labels, and the share of the texts all of whose labels are
        right.
    averages, labels : dict
        In that case, ``precision``, ``recall`` and ``f1`` by average ("micro", "macro", "samples"),
        and by label, with ``rows``, ``predicted`` (numbers of texts) and ``threshold``.
    """

    accuracy: float
    loss: float
    macro_f1: float
    rows: int
    classes: dict[str, dict[str, Any]]
    confusion_matrix: dict[str, Any]
    inference_precision: str
    rows_seen_in_training: int
    accuracy_unseen: float | None

    def __init__(self, metrics: dict[str, Any], objective: Objective) -> None:
        super().__init__(metrics)
        self._objective = objective

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"an evaluation has no item {name!r}") from None

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self]

    @property
    def note(self) -> str | None:
        """A sentence about texts that were used in training; None if there are none."""
        seen = self["rows_seen_in_training"]
        if not seen:
            return None
        text = f"{seen:,} of the {self['rows']:,} test texts were used in training"
        unseen = self[f"{self._objective.metric}_unseen"]
        if unseen is None:
            return f"{text}, so the result says nothing about new texts"
        return f"{text}; {self._metric} on the others is {self._objective.format_metric(unseen)}"

    @property
    def headline(self) -> str:
        """The metric in one line."""
        texts = "text" if self["rows"] == 1 else "texts"
        return (
            f"{self._metric} {self._objective.format_metric(self[self._objective.metric])} on "
            f"{self['rows']:,} {texts}, computed in {self['inference_precision']}"
        )

    def __str__(self) -> str:
        parts = [self.headline, *map(_text, self._objective.report_tables(self))]
        if self.note is not None:
            parts.append(f"note: {self.note}")
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        tables = "".join(map(_html, self._objective.report_tables(self)))
        note = "" if self.note is None else f"<p><b>Note:</b> {escape(self.note)}</p>"
        return f"<div><p><b>{escape(self.headline)}</b></p>{tables}{note}</div>"

    @property
    def _metric(self) -> str:
        return self._objective.metric.replace("_", " ")


@interruptible("the evaluation was interrupted")
def evaluate(
    predictor: Predictor,
    X: Texts,
    y: Labels,
    verbose: bool | int = True,
    label_map: Mapping[Any, Any] | None = None,
    *,
    report: str | PathLike[str] | None = None,
    explain: int = 0,
    overwrite: bool = False,
) -> Evaluation:
    """Test a classifier; see `BertClassifier.evaluate`.

    Parameters
    ----------
    predictor : Predictor
    X, y, label_map
        As in `BertClassifier.evaluate`.
    verbose : bool or int, default=True
        Whether to display the progress.
    report, explain, overwrite
        As in `BertClassifier.evaluate`.

    Returns
    -------
    Evaluation
    """
    precision, objective = predictor.check(), predictor.objective
    X, y = in_memory_all(X=X, y=y)
    _check_report(report, explain, overwrite)
    n_texts = len(check_texts(X, "X", arrow=True))
    if not n_texts:
        raise ValueError("X is empty; there is nothing to evaluate")
    if label_map is not None and not isinstance(label_map, Mapping):
        example = {"neg": objective.label_names[0]}
        raise TypeError(
            f"label_map is of type {type(label_map).__name__}, but a dict is expected, such as "
            f"{example}, which gives the class that a label means"
        )
    if label_map is not None:
        y = objective.translate(y, label_map)
    targets = objective.encode(y, n_texts, "y")
    if explain:
        from bertsent.classifier.explaining import check_explanations

        given = check_texts(X, "X", strip=predictor.parameters["strip_html"])
        check_explanations(predictor, given, precision)
    with row_progress(verbose) as progress:
        progress.start(n_texts)
        progress.begin(n_texts)
        logits = predictor.logits(X, progress.part)
    seen = predictor.seen_in_training(X)
    found = objective.report(logits, targets)
    unseen = None
    if not seen.all():
        unseen = objective.evaluate(logits[~seen], targets[~seen])[objective.metric]
    means = {name: found.pop(name) for name in (objective.metric, "loss")}
    metrics = {
        **means,
        "rows": n_texts,
        "inference_precision": precision,
        **found,
        "rows_seen_in_training": int(seen.sum()),
        f"{objective.metric}_unseen": unseen,
    }
    result = Evaluation(metrics, objective)
    if report is not None:
        from bertsent.classifier.explaining import explain_some
        from bertsent.classifier.html_report import choose_examples, render

        index, read = row_labels(X), check_texts(X, "X")
        rows = range(n_texts) if index is None else index
        name = Path(predictor.fitted.name or "the model").name
        chosen = {
            row for order in choose_examples(objective, logits, targets)
            for row in order[:explain].tolist()
        }
        some = sorted(chosen)
        explained: dict[int, Explanation | None] = {}
        if some:
            outputs = objective.outputs_of_examples(logits[some], targets[some])
            found_of = explain_some(predictor, [read[row] for row in some], outputs, verbose)
            explained = dict(zip(some, found_of, strict=True))
        page = render(result, objective, name, read, logits, targets, rows, explained)
        atomic_write(expand_path(report), page.encode("utf-8", "backslashreplace"))
    return result


def _check_report(report: str | PathLike[str] | None, explain: int, overwrite: bool) -> None:
    """Raise before anything is computed if the report cannot be written."""
    from bertsent.classifier.html_report import MOST_EXAMPLES

    allowed = whole(0, MOST_EXAMPLES)
    if not allowed.accepts(explain):
        raise ValueError(f"{spell('explain', explain)} is not allowed; expected {allowed.allowed}")
    if report is not None:
        check_output(report, overwrite, is_table=False)
    elif explain:
        raise ValueError(
            f"{spell('explain', explain)} is about the examples of a report; also pass "
            f"{spell('report')}"
        )

def _text(table: ReportTable) -> str:
    title = f"{table.title}\n" if table.title else ""
    return title + text_table(table.columns, table.rows)


def _html(table: ReportTable) -> str:
    title = f"<p>{escape(table.title)}</p>" if table.title else ""
    return title + html_table(table.columns, table.rows, table.shades)
