"""Label batches of texts as they come, for data that do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bertsent.files.readers import require_columns
from bertsent.files.stream import refuse_taken
from bertsent.texts import arrow_column, column_names, polars_column, row_labels
from bertsent.wording import spell


def label_batches(
    predict: Callable[[Any], dict[str, Any]],
    added: tuple[str, ...],
    batches: Iterable[Any],
    text_column: str | None,
    text_pair_column: str | None = None,
    *,
    pairs: bool | None = False,
) -> Iterator[Any]:
    """Label batches one after the other; see `BertClassifier.predict_batches`.

    Parameters
    ----------
    predict : callable
        Takes texts, and returns columns by name.
    added : tuple of str
        Names of these columns.
    batches, text_column, text_pair_column
        As in `BertClassifier.predict_batches`.
    pairs : bool or None, default=False
        Whether pairs of texts are expected, if it is known.
    """
    _refuse_single_batch(batches)
    columns = {"text_column": text_column, "text_pair_column": text_pair_column}
    chosen = {parameter: name for parameter, name in columns.items() if name is not None}
    if "text_pair_column" in chosen and text_column is None:
        raise ValueError(f"{spell('text_pair_column')} needs {spell('text_column')}")
    return _label(predict, added, batches, chosen, 2 if pairs else 1)


def _label(
    predict: Callable[[Any], dict[str, Any]],
    added: tuple[str, ...],
    batches: Iterable[Any],
    chosen: Mapping[str, str],
    n_columns: int,
) -> Iterator[Any]:
    import pandas as pd

    for number, batch in enumerate(batches):
        if isinstance(batch, str):
            raise TypeError(
                f"batches[{number}] is a text, not a batch of texts; pass an iterable of batches, "
                "such as [texts] for one"
            )
        names = column_names(batch)
        texts = batch
        if names is not None:
            texts = _texts_of(batch, names, chosen, n_columns, f"batch {number}")
            refuse_taken(names, added, f"batch {number}")
        try:
            predicted = predict(texts)
        except TypeError as error:
            raise TypeError(f"batch {number}: {error}") from None
        if names is None:
            yield pd.DataFrame(predicted, index=row_labels(batch))
        else:
            yield _add_columns(batch, predicted)


def _refuse_single_batch(batches: Any) -> None:
    """Raise if `batches` is one batch, whose items or columns would be taken for batches."""
    names = column_names(batches)
    kind = type(batches).__name__
    if names is not None:
        chosen = f"batches[{names[0]!r}]" if names else "its column of texts"
        raise TypeError(
            f"batches is a {kind}, but should be an iterable of batches; pass [batches] for a "
            f"single batch, or predict {chosen} at once"
        )
    if isinstance(batches, str | bytes) or hasattr(batches, "dtype") or hasattr(batches, "type"):
        raise TypeError(
            f"batches is a {kind}, but should be an iterable of batches of texts; "
            "pass [batches] for a single batch, or use predict"
        )


def _texts_of(
    table: Any, names: list[Any], chosen: Mapping[str, str], n_columns: int, where: str
) -> Any:
    """Return the column of texts of a table, or the table of the two columns of pairs."""
    if not chosen and len(names) != n_columns:
        columns = "column of texts in text_column, one" if n_columns == 1 else (
            "columns of texts in text_column and text_pair_column, two"
        )
        raise ValueError(
            f"{where} is a DataFrame; name its {columns} of {', '.join(map(str, names))}"
        )
    require_columns(names, chosen, where)
    columns_of_texts = list(chosen.values()) or names
    if len(columns_of_texts) == 1:
        return table[columns_of_texts[0]]
    return table.select(columns_of_texts) if hasattr(table, "select") else table[columns_of_texts]


def _add_columns(frame: Any, columns: dict[str, Any]) -> Any:
    """Return a frame of pandas, Polars or pyarrow with further columns."""
    if hasattr(frame, "assign"):
        return frame.assign(**columns)
    if hasattr(frame, "hstack"):
        added = {name: polars_column(values) for name, values in columns.items()}
        return frame.hstack(type(frame)(added))
    import pyarrow as pa

    table = pa.Table.from_batches([frame]) if isinstance(frame, pa.RecordBatch) else frame
    for name, values in columns.items():
        table = table.append_column(name, arrow_column(values))
    return table
