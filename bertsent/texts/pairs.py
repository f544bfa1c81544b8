"""Pairs of texts: how they are found in what users pass, and taken apart again.

Inside the package, a text is a str, and a pair of texts a tuple of two str. A list contains either
the one or the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.texts.columns import (
    column_names,
    column_values,
    shape_of,
)

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from bertsent.texts.types import Text


class TwoColumns(NamedTuple):
    """The two columns of pairs.

    Attributes
    ----------
    columns : tuple of two sequences
        The first and the second texts. They have the same length.
    around : tuple of two tuples
        What messages write before and after the position of an item of each.
    """

    columns: tuple[Any, Any]
    around: tuple[tuple[str, str], tuple[str, str]]


def are_pairs(texts: Any) -> TypeIs[Sequence[tuple[str, str]]]:
    """Return whether checked texts are pairs; no texts at all are not."""
    return isinstance(texts, list) and bool(texts) and isinstance(texts[0], tuple)


def describe_sort(pairs: bool) -> str:
    """Return what texts are, in words."""
    return "pairs of texts" if pairs else "single texts"


def describe_columns(X: Any, texts: Any) -> str | None:
    """Return which two columns of a table or an array are read as pairs; None if there are none.

    A list of pairs says itself what it is.
    """
    if not are_pairs(texts):
        return None
    names = column_names(X)
    if names is None:
        shape = shape_of(X)
        if shape is None or len(shape) != 2:
            return None
        return f"X is read as pairs of texts: it is an array of shape {shape}"
    return f"X is read as pairs of texts: the columns {names[0]!r} and {names[1]!r}"


def check_alike(texts: Any, name: str, pairs: bool) -> None:
    """Raise unless checked texts are pairs if X has pairs, and single texts otherwise."""
    if len(texts) and are_pairs(texts) != pairs:
        raise ValueError(
            f"{name} has {describe_sort(not pairs)}, but X has {describe_sort(pairs)}; "
            "both must be of the same kind"
        )


def take_apart(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return the first and the second texts of pairs."""
    return [first for first, _ in pairs], [second for _, second in pairs]


def as_single(texts: Sequence[Text]) -> list[str]:
    """Return texts, and pairs as one text with a space between, for all that counts words."""
    return [text if isinstance(text, str) else " ".join(text) for text in texts]


def text_columns(texts: Sequence[Text]) -> dict[str, list[str]]:
    """Return the columns of texts in a table: ``text`` and, of pairs, ``text_pair``."""
    if are_pairs(texts):
        first, second = take_apart(texts)
        return {"text": first, "text_pair": second}
    return {"text": as_single(texts)}


def two_columns(data: Any, name: str) -> TwoColumns | None:
    """Return the columns of pairs, or None if `data` is no pairs.

    Pairs are a table of two columns of texts, an array of shape (n, 2), and a list, Series or array
    of objects whose first item is a list, tuple or array of two items.

    Parameters
    ----------
    data : object
        Whatever a user passed.
    name : str
        Name of the argument in error messages.

    Raises
    ------
    ValueError
        A later item of a list of pairs does not contain two. The message names the first one.
    """
    titles = column_names(data)
    if titles is not None:
        return _of_table(data, titles, name) if hasattr(data, "__len__") else None
    if hasattr(data, "__array__") and not hasattr(data, "__len__"):
        data = np.asarray(data)
    shape = shape_of(data)
    if shape is not None and len(shape) == 2:
        return _of_array(data, shape, name)
    # Other columns hold no rows, and one item of them may be large.
    kind = str(getattr(data, "dtype", ""))
    is_of_objects = kind == "object" and shape is not None and len(shape) == 1
    is_column = isinstance(data, list | tuple) or is_of_objects
    return _of_rows(data, name) if is_column and len(data) else None


def _of_table(table: Any, titles: list[Any], name: str) -> TwoColumns | None:
    if len(titles) != 2 or titles[0] == titles[1]:
        return None
    if hasattr(table, "iloc"):
        first, second = table.iloc[:, 0], table.iloc[:, 1]
    else:
        first, second = table[titles[0]], table[titles[1]]
    for column in (first, second):
        if not any(isinstance(item, str) for item in column_values(column)):
            return None
    return TwoColumns((first, second), (
        (f"{name}[{titles[0]!r}][", "]"), (f"{name}[{titles[1]!r}][", "]")
    ))


def _of_array(array: Any, shape: tuple[int, ...], name: str) -> TwoColumns | None:
    if shape[1] != 2 or hasattr(array, "tocsr"):
        return None
    array = np.asanyarray(array)
    if array.dtype.kind in "biufcmM":
        return None
    if isinstance(array, np.matrix):
        array = np.asarray(array)
    return TwoColumns((array[:, 0], array[:, 1]), ((f"{name}[", ", 0]"), (f"{name}[", ", 1]")))


def _of_rows(data: Any, name: str) -> TwoColumns | None:
    if _width(data.iloc[0] if hasattr(data, "iloc") else data[0]) != 2:
        return None
    rows = column_values(data)
    for position, row in enumerate(rows):
        width = _width(row)
        if width != 2:
            what = f"is {row!r:.40}" if width is None else (
                f"has {width} item{'s' if width != 1 else ''}"
            )
            raise ValueError(
                f"{name}[{position}] {what}, but {name}[0] is a pair of texts; pass two texts in "
                "every row"
            )
    columns = [row[0] for row in rows], [row[1] for row in rows]
    return TwoColumns(columns, ((f"{name}[", "][0]"), (f"{name}[", "][1]")))


def _width(row: object) -> int | None:
    """Return the number of items of a row; None if it is no row."""
    return len(row) if isinstance(row, list | tuple) or (
        isinstance(row, np.ndarray) and row.ndim == 1
    ) else None
