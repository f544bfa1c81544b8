"""The model card: what a model is, for people who find it in a directory or on the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import bertsent
from bertsent.classifier.evaluation import Evaluation
from bertsent.classifier.settings import EXAMPLES_FILE, HASHES_FILE
from bertsent.classifier.words import TERMS_FILE
from bertsent.files import CARD_MARKER
from bertsent.hub import family_of, hub_id

if TYPE_CHECKING:
    from bertsent.classifier.fitted import Fitted, Predictor
    from bertsent.objectives import Objective

__all__ = ["check_evaluation", "write_card"]

# Names of outputs that are listed.
_MOST_NAMES = 50
_CUT = {
    "head": "the rest of a longer text is not read",
    "tail": "of a longer text, only the end is read",
    "head+tail": "of a longer text, beginning and end are read",
    "windows": "a longer text is read in windows, whose logits are averaged",
}


def check_evaluation(ready: Predictor, evaluation: Evaluation | None) -> None:
    """Check that an evaluation is one of a model with the same task and labels.

    Parameters
    ----------
    ready : Predictor
    evaluation : Evaluation or None

    Raises
    ------
    TypeError
        It is not a result of `evaluate`.
    ValueError
        It is that of a model with another task or other labels.
    """
    if evaluation is None:
        return
    if not isinstance(evaluation, Evaluation):
        raise TypeError(
            f"evaluation is of type {type(evaluation).__name__}, but a result of evaluate is "
            "expected; pass what evaluate returns"
        )
    own, other = ready.objective, evaluation._objective
    if (own.problem_type, own.label_names) != (other.problem_type, other.label_names):
        raise ValueError(
            "evaluation is that of another model: "
            f"{_outputs(other)}, but this model has {_outputs(own)}; evaluate this model"
        )


def _outputs(objective: Objective) -> str:
    listed = ", ".join(map(repr, objective.label_names[:5]))
    more = ", ..." if len(objective.label_names) > 5 else ""
    return f"{objective.problem_type} of {listed}{more}"


def write_card(
    ready: Predictor,
    model_id: str | None = None,
    evaluation: Evaluation | None = None,
    *,
    int8: bool = False,
) -> str:
    """Return the model card of a classifier: YAML metadata and text in Markdown.

    It has numbers of texts and names of classes, and nothing of the content of the texts. It names
    the files that say something about them.

    Parameters
    ----------
    ready : Predictor
        The classifier, with the parameters for prediction.
    model_id : str or None, default=None
        Its id on the hub; None for a directory.
    evaluation : Evaluation or None, default=None
        The test whose metrics are shown. None means the held-out texts of training, if there were
        any.
    int8 : bool, default=False
        Whether the model is saved as int8, so that transformers cannot open it.
    """
    base = hub_id(ready.parameters["model"])
    metrics, tested = _metrics(ready, evaluation)
    title = model_id or _title(ready)
    name = title.rpartition("/")[2]
    parts = [
        "\n".join(["---", *_metadata(ready, base, name, metrics, tested), "---"]), CARD_MARKER,
        f"# {title}", _describe(ready, base), _describe_data(ready),
    ]
    if metrics:
        parts.append(_describe_metrics(metrics, tested, _rows(ready, evaluation), evaluation))
    parts += [_describe_limits(ready), _describe_use(ready, model_id, int8)]
    return "\n\n".join(parts) + "\n"


def _metadata(
    ready: Predictor, base: str | None, name: str, metrics: Mapping[str, float], tested: str
) -> list[str]:
    """Return the metadata as lines of YAML, in which a string of JSON is one of YAML."""
    lines = [] if base is None else [f"base_model: {json.dumps(base)}"]
    lines += [
        "library_name: bertsent", "pipeline_tag: text-classification", "tags:", "- bertsent",
        f"- {ready.objective.problem_type.replace('_', '-')}",
    ]
    if not metrics:
        return lines
    lines += [
        "model-index:", f"- name: {json.dumps(name)}", "  results:", "  - task:",
        "      type: text-classification", "    dataset:", f"      name: {json.dumps(tested)}",
        "      type: held-out", "    metrics:",
    ]
    for metric, value in metrics.items():
        # Some readers of YAML take 5e-05 for a string.
        lines += [f"    - type: {metric}", f"      value: {value:.6f}"]
    return lines


def _title(ready: Predictor) -> str:
    """Return what the model is, where it has no name."""
    return "Text regressor" if ready.objective.link == "identity" else "Text classifier"


def _rows(ready: Predictor, evaluation: Evaluation | None) -> int | None:
    """Return the number of texts on which the metrics were measured, if it is known."""
    return ready.fitted.n_held_out if evaluation is None else evaluation["rows"]


def _describe(ready: Predictor, base: str | None) -> str:
    fitted, objective = ready.fitted, ready.objective
    what = "pairs of texts" if fitted.pairs else "texts"
    origin = "" if base is None else f", fine-tuned from [{base}](https://huggingface.co/{base})"
    several = "" if len(fitted.models) == 1 else f" {len(fitted.models)} models vote."
    words = "" if fitted.words is None else " A linear model of words votes with it."
    family = family_of(fitted.model.config).name
    return (
        f"A {family} model that {objective.purpose} for {what}{origin}.{several}{words} Saved with "
        f"bertsent {bertsent.__version__}."
    )


def _describe_data(ready: Predictor) -> str:
    fitted, objective = ready.fitted, ready.objective
    names = objective.label_names
    listed = ", ".join(f"`{_plain(name)}`" for name in names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    lines = [f"- {len(names):,} {objective.outputs}: {listed}{more}"]
    if len(fitted.text_hashes):
        lines.insert(0, f"- {len(fitted.text_hashes):,} different training texts")
        lines.append(f"- `{HASHES_FILE}` has their hashes, which tell whether a text was used.")
    if fitted.examples is not None:
        lines.append(
            f"- `{EXAMPLES_FILE}` has the hash of each training text, and what training recorded "
            "of it."
        )
    if fitted.words is not None:
        lines.append(
            f"- `{TERMS_FILE}` has words of the training texts, and pairs of neighbouring words."
        )
    return "\n".join(["## Data", "", *lines])


def _metrics(
    ready: Predictor, evaluation: Evaluation | None
) -> tuple[dict[str, float], str]:
    """Return the metrics that are known, and on which texts they were measured."""
    objective, fitted = ready.objective, ready.fitted
    names = (objective.metric, *objective.further_metrics, "loss")
    if evaluation is not None:
        found: Mapping[str, Any] = evaluation
        tested = f"{evaluation['rows']:,} test texts"
    else:
        found = {
            name.removeprefix("validation_"): value for name, value in _validation(fitted).items()
            if name.startswith("validation_")
        }
        count = "" if fitted.n_held_out is None else f"{fitted.n_held_out:,} "
        tested = f"{count}texts that were held out in training"
    return {
        name: round(float(found[name]), 6) for name in dict.fromkeys(names)
        if isinstance(found.get(name), int | float) and np.isfinite(found[name])
    }, tested


def _validation(fitted: Fitted) -> dict[str, Any]:
    """Return the row with the metrics of the weights on held-out texts; empty if there is none."""
    # Rows are of single models, and say nothing about a vote.
    if len(fitted.models) > 1 or fitted.words is not None:
        return {}
    if fitted.best_step is None:
        # Weights after the last epoch. In its row, nothing is held out after `partial_fit`.
        return fitted.history[-1] if fitted.history else {}
    rows = [row for row in fitted.evaluations if row.get("step") == fitted.best_step]
    return rows[-1] if rows else {}


def _describe_metrics(
    metrics: Mapping[str, float], tested: str, count: int | None, evaluation: Evaluation | None
) -> str:
    rows = []
    for name, value in metrics.items():
        interval = ""
        if name == "accuracy" and count:
            low, high = _interval(value, count)
            interval = f"{low:.4f} to {high:.4f}"
        rows.append(f"| {name.replace('_', ' ')} | {value:.4f} | {interval} |")
    note = ""
    if evaluation is None:
        note = (
            "\n\nIf they were also used to choose when training ends, these values are too "
            "optimistic."
        )
    elif evaluation.note is not None:
        note = f"\n\nNote: {evaluation.note}."
    table = ["| metric | value | 95 % interval |", "| --- | --- | --- |", *rows]
    return "\n".join(["## Results", "", f"On {tested}:", "", *table]) + note


def _interval(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of `count` texts."""
    from scipy.stats import binomtest

    low, high = binomtest(round(share * count), count).proportion_ci(method="wilson")
    return float(low), float(high)


def _describe_limits(ready: Predictor) -> str:
    reader = ready.reader()
    html = [
        "- HTML is removed from the texts before they are read; other programs must do so "
        "themselves."
    ]
    return "\n".join([
        "## Limits", "",
        f"- It reads up to {reader.max_length:,} tokens at once, including special tokens; "
        f"{_CUT[reader.long_text]}.",
        *(html if ready.parameters["strip_html"] else []),
        "- It was only trained to tell the outputs above apart, on texts like those of training.",
    ])


def _describe_use(ready: Predictor, model_id: str | None, int8: bool) -> str:
    model_id = model_id or "path/to/this/directory"
    kind = "BertRegressor" if ready.objective.link == "identity" else "BertClassifier"
    text = '("A text.", "Another text.")' if ready.fitted.pairs else '"A text."'
    parts = [
        "## Use", "", "```python", f"from bertsent import {kind}", "",
        f'model = {kind}.from_pretrained("{model_id}")', f"model.predict([{text}])", "```",
    ]
    if int8:
        return "\n".join([*parts, "", "Its weights are int8, which only bertsent opens."])
    vote = len(ready.fitted.models) > 1 or ready.fitted.words is not None
    parts += [
        "", "With transformers" + (", which opens the first model alone" if vote else "") + ":",
        "", "```python",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer", "",
        f'model = AutoModelForSequenceClassification.from_pretrained("{model_id}")',
        f'tokenizer = AutoTokenizer.from_pretrained("{model_id}")', "```",
    ]
    if ready.fitted.model._engine["pooling"] == "mean":
        parts += ["", "transformers does not know the pooling of this model (the mean over all "
                  "tokens), so its logits differ."]
    return "\n".join(parts)


def _plain(name: str) -> str:
    """Return a name that cannot be taken for Markdown or HTML."""
    shown = " ".join(name.split()).replace("`", "'") or "(empty)"
    return shown if len(shown) <= 60 else shown[:57] + "..."
