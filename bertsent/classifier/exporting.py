"""The export of a fitted classifier to ONNX: what its graph computes, and what it cannot."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from bertsent.export import Part, write_onnx
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.classifier.fitted import Predictor

__all__ = ["export_onnx"]


def export_onnx(
    ready: Predictor, path: str | PathLike[str], overwrite: bool = False, *, int8: bool = False
) -> None:
    """Write a classifier as an ONNX graph.

    Parameters
    ----------
    ready : Predictor
        The classifier, with the parameters for prediction.
    path, overwrite, int8
        As in `BertClassifier.export_onnx`.

    Raises
    ------
    FileExistsError, ImportError
        As in `BertClassifier.export_onnx`.
    ValueError
        The predictions are not a function of token ids that a graph can compute.
    """
    ready.check()
    fitted, objective = ready.fitted, ready.objective
    if fitted.words is not None:
        raise ValueError(
            f"a model with {spell('words', True)} cannot be exported: its words vote with the "
            "model, and a graph of token ids does not see them; train it with "
            f"{spell('words', False)}"
        )
    if objective.link is None:
        raise ValueError(f"a model that {objective.purpose} cannot be exported")
    readers = [ready.reader(number) for number in range(len(fitted.models))]
    if len(set(readers)) > 1:
        raise ValueError(
            "members that read different parts of a text cannot be exported, because a graph has "
            f"one input; train them with the same {spell('max_length')} and "
            f"{spell('long_text')}"
        )
    reader = readers[0]
    link = None if objective.link == "identity" else objective.link
    write_onnx(
        path,
        [Part(model._config, model._engine, model._settled()) for model in fitted.models],
        overwrite=overwrite, tokenizer=fitted.tokenizer, max_length=reader.max_length, link=link,
        temperature=objective.temperatures, int8=int8,
        truncation_side="left" if reader.long_text == "tail" else "right", metadata={
            "task": objective.problem_type,
            "labels": objective.label_names,
            "temperature": objective.temperatures,
            "decision": objective.decision,
            "long_text": reader.long_text,
            "stride": reader.stride,
            "pairs": bool(fitted.pairs),
            "strip_html": bool(ready.parameters["strip_html"]),
        },
    )
