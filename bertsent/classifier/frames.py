"""Predictions for a table of any library, as a new table of the same library."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bertsent.files import require_columns
from bertsent.system import interruptible, row_progress
from bertsent.texts import column_names, in_memory, table_like

if TYPE_CHECKING:
    from bertsent.classifier.fitted import Predictor


@interruptible("prediction was interrupted")
def predict_frame(
    predictor: Predictor, frame: Any, text: Hashable | Sequence[Hashable],
    verbose: bool | int = True,
) -> Any:
    """Predict for the texts of a table; see `BertEstimator.predict_frame`.

    Parameters
    ----------
    predictor : Predictor
    frame, text
        As in `BertEstimator.predict_frame`.
    verbose : bool or int, default=True
        Whether to display the progress.

    Returns
    -------
    DataFrame or Table
    """
    predictor.check()
    frame = in_memory(frame, "frame")
    texts = _texts_of(frame, text, 2 if predictor.fitted.pairs else 1)
    totals, read = predictor.count_tokens(texts)
    with row_progress(verbose) as progress:
        progress.start(len(totals))
        progress.begin(len(totals))
        logits = predictor.logits(texts, progress.part)
    return table_like(frame, {
        **predictor.objective.prediction_frame(logits),
        "tokens": totals, "tokens_read": read, "cut": read < totals,
    })


def _texts_of(frame: Any, text: Hashable | Sequence[Hashable], wanted: int) -> Any:
    """Return the column of texts of a table, or the table of the two columns of pairs."""
    names = column_names(frame)
    if names is None:
        if text is not None:
            raise TypeError(
                f"text={text!r} is the name of a column, but frame is a {type(frame).__name__}, "
                "which has none; leave it out, or pass a DataFrame"
            )
        return frame
    if text is None:
        if len(names) != wanted:
            example = repr(names[0]) if wanted == 1 else repr([str(name) for name in names[:2]])
            what = "column of texts" if wanted == 1 else "two columns of texts"
            raise ValueError(
                f"frame has {len(names)} columns; name the {what}, such as text={example}"
            )
        return frame
    # In pandas, a name can be a number or a tuple.
    is_name = wanted == 1 and isinstance(text, Hashable) and text in names
    several = isinstance(text, Iterable) and not isinstance(text, str) and not is_name
    chosen: list[Any] = list(text) if several else [text]  # type: ignore[call-overload]
    if len(chosen) != wanted:
        expected = "one column of texts" if wanted == 1 else "two columns, because it reads pairs"
        raise ValueError(
            f"text={text!r} names {len(chosen)} column{'s' * (len(chosen) != 1)}; the model "
            f"expects {expected}"
        )
    require_columns(names, {"text": chosen}, "frame")
    if wanted == 1:
        return frame[chosen[0]]
    return frame.select(chosen) if hasattr(frame, "select") else frame[chosen]
