"""Take the one column of texts or labels out of whatever contains it.

Lists, Series and arrays are columns already. Tables of pandas, Polars and pyarrow, structured
arrays and arrays of shape (n, 1) contain a column. Everything else is described in an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

# What is shown of a long list of names.
_MOST_NAMES = 10


def single_column(data: Any, name: str, items: Literal["texts", "labels"]) -> Any:
    """Return the only column of a table or of an array, and other sequences as they are.

    Parameters
    ----------
    data : object
        Whatever a user passed.
    name : str
        Name of the argument in error messages.
    items : {"texts", "labels"}
        What the column contains.

    Returns
    -------
    sequence
        It has one dimension.

    Raises
    ------
    TypeError
        `data` is no sequence, or a table of several columns.
    ValueError
        `data` is an array of several columns.
    """
    if hasattr(data, "__array__") and not hasattr(data, "__len__") and column_names(data) is None:
        data = np.asarray(data)
    kind, shape = type(data).__name__, shape_of(data)
    article = "an" if kind[0] in "aeiouAEIOU" else "a"
    if isinstance(data, str | bytes | bytearray | memoryview) or shape == ():
        raise TypeError(
            f"{name} is a single {kind}; pass a list of {items}, such as [{items.rstrip('s')}]"
        )
    if hasattr(data, "tocsr"):
        raise TypeError(
            f"{name} is a sparse matrix of shape {shape}; " + (
                "pass the texts themselves, not the output of a vectorizer"
                if items == "texts" else "pass one label for each text"
            )
        )
    if isinstance(data, Mapping):
        keys = list(data)
        shown = f" with the keys {_listed(keys)}" if keys else ""
        example = f", such as {name}[{keys[0]!r}]" if keys else ""
        raise TypeError(
            f"{name} is {article} {kind}{shown}; pass a list, Series or array of {items}{example}"
        )
    names = column_names(data)
    if names is not None:
        return _only_column(data, names, name, items)
    if isinstance(data, set | frozenset | type) or not hasattr(data, "__len__"):
        example = f", such as list({name})" if hasattr(data, "__iter__") else ""
        shown = "None" if data is None else f"{article} {kind}"
        raise TypeError(f"{name} is {shown}; pass a list, Series or array of {items}{example}")
    if shape is None or len(shape) == 1:
        return data
    if len(shape) == 2 and shape[1] == 1:
        column = data[:, 0]
        return column if len(column.shape) == 1 else np.asarray(column)[:, 0]  # numpy.matrix
    if items == "texts":
        pairs = f", or two for pairs, such as {name}[:, :2]" if shape[1:] > (2,) else ""
        raise TypeError(
            f"{name} has shape {shape}; pass one column of texts, such as a list or {name}[:, 0]"
            + pairs
        )
    raise ValueError(
        f"{name} should be a 1d array, got an array of shape {shape} instead; "
        f"pass one label for each text{_one_hot_advice(data, name)}"
    )


def is_two_dimensional(data: Any) -> bool:
    """Return whether data are a table or an array of two dimensions, as a column vector is."""
    return column_names(data) is not None or len(shape_of(data) or ()) == 2


def column_names(data: Any) -> list[Any] | None:
    """Return the names of the columns of a table of any library, or None for anything else."""
    if isinstance(data, type):
        return None
    if isinstance(data, np.ndarray):
        return None if data.dtype.names is None else list(data.dtype.names)
    if hasattr(data, "collect_schema"):  # in Polars, `columns` of a LazyFrame warns
        return list(data.collect_schema())
    # In pyarrow, `columns` are the columns themselves.
    for attribute in ("column_names", "columns"):
        names = getattr(data, attribute, None)
        if names is not None and not callable(names):
            return list(names)
    return None


def feature_names(X: Any) -> list[str] | None:
    """Return the names of the one or two columns of a table, which scikit-learn calls features.

    None means that `X` is no such table, or that the name of a column is no text.
    """
    names = column_names(X)
    if names is None or len(names) not in (1, 2):
        return None
    return names if all(isinstance(n, str) and is_text_of_files(n) for n in names) else None


def check_feature_names(given: list[str] | None, own: list[str] | None) -> None:
    """Raise unless two results of `feature_names` agree, where both are of tables.

    Parameters
    ----------
    given : list of str or None
        Those of X.
    own : list of str or None
        Those of the X of `fit`.
    """
    if given is None or own is None or len(given) != len(own) or given == own:
        return
    if len(own) == 1:
        raise ValueError(
            "The feature names should match those that were passed during fit: X has the "
            f"column {given[0]!r}, but fit was given {own[0]!r}; rename it, or pass "
            f"X[{given[0]!r}]"
        )
    raise ValueError(
        "The feature names should match those that were passed during fit: X has the columns "
        f"{given!r}, but fit was given {own!r}, in this order; rename or reorder them, or pass "
        "X.to_numpy()"
    )


def is_text_of_files(text: str) -> bool:
    """Return whether files can contain a str: it has no lone surrogate, half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def row_labels(data: Any) -> Any:
    """Return the index of pandas data, or None."""
    index = getattr(data, "index", None)
    return None if callable(index) else index  # lists have a method of that name


def index_label(column: Any, position: int) -> Any:
    """Return the index label of an item, or None if that is its position."""
    index = row_labels(column)
    if index is None:
        return None
    label = index[position]
    label = label.item() if isinstance(label, np.generic) else label
    return None if isinstance(label, int) and label == position else label


def column_values(column: Any) -> list[Any]:
    """Return the items of a column as Python objects.

    Missing items are what the column calls missing: None, NaN, NaT or pandas.NA. Masked items are
    None.
    """
    # In nanoseconds, `tolist` makes whole numbers of times.
    if getattr(getattr(column, "dtype", None), "kind", None) not in ("m", "M"):
        for method in ("to_pylist", "tolist", "to_list"):
            if hasattr(column, method):
                items: list[Any] = getattr(column, method)()
                return items
        if hasattr(column, "__array__") and not isinstance(column, np.ndarray):
            return column_values(np.asarray(column))
    items = list(column)
    if items and hasattr(items[0], "as_py"):  # what iterating an array of pyarrow returns
        return [item.as_py() if hasattr(item, "as_py") else item for item in items]
    return items


def is_missing(value: object) -> bool:
    """Return whether a single cell is None, NaN, NaT, pandas.NA or masked."""
    if value is None:
        return True
    if value is np.ma.masked:
        return True
    try:
        return bool(value != value)
    except Exception:
        # The truth value of pandas.NA and of arrays is ambiguous; other classes may do anything.
        return type(value).__name__ == "NAType"


def describe_row(column: Any, name: str, position: int) -> str:
    """Return an expression for an item, with its index label if that is not its position.

    If `name` is no expression but describes a column of a file, the item is named by its row.
    """
    label = index_label(column, position)
    if ":" in name or " " in name:
        return f"{name}, row {position if label is None else label}"
    return f"{name}[{position}]" if label is None else (
        f"{name}.iloc[{position}] (index {label!r})"
    )


def abbreviate(value: object, width: int = 40) -> str:
    """Return the repr of a value, cut to a width and to one line."""
    try:
        shown = repr(value)
    except Exception:  # of other classes, and of int with thousands of digits
        shown = f"<{type(value).__name__}>"
    shown = shown if isinstance(value, str) else " ".join(shown.split())
    return shown if len(shown) <= width else shown[: width - 3] + "..."


def shape_of(data: Any) -> tuple[int, ...] | None:
    """Return the shape of an array, or None for what has none."""
    shape = getattr(data, "shape", None)
    return tuple(shape) if isinstance(shape, tuple) else None


def _only_column(table: Any, names: list[Any], name: str, items: str) -> Any:
    kind = "structured array" if isinstance(table, np.ndarray) else type(table).__name__
    if not hasattr(table, "__len__"):
        method = next((m for m in ("collect", "toPandas", "df") if hasattr(table, m)), None)
        how = "" if method is None else f" with {name}.{method}()"
        raise TypeError(f"{name} is a {type(table).__name__}; load it into a DataFrame{how} first")
    if len(names) == 1:
        # By number, because pandas has names that select something else, such as those of a level.
        return table.iloc[:, 0] if hasattr(table, "iloc") else table[names[0]]
    if not names:
        raise TypeError(f"{name} is a {kind} without columns; pass a column of {items}")
    example = f"{name}[{names[-1]!r}]"
    if items == "texts":
        likely = [each for each in dict.fromkeys(names) if _begins_with_text(table, each)]
        example = f"{name}[{(likely or names)[0]!r}]"
        if len(likely) > 1:
            example += f", or two for pairs, such as {name}[[{likely[0]!r}, {likely[1]!r}]]"
    elif hasattr(table, "idxmax") and _one_hot_advice(table, name):
        example = f"{name}.idxmax(axis=1)"
    raise TypeError(
        f"{name} is a {kind} with the columns {_listed(names)}; pass one column of {items}, "
        f"such as {example}"
    )


def _begins_with_text(table: Any, name: Any) -> bool:
    return any(isinstance(item, str) for item in column_values(table[name][:1]))


def _listed(names: list[Any]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"[{', '.join(abbreviate(name) for name in names[:_MOST_NAMES])}]{more}"


def _one_hot_advice(labels: Any, name: str) -> str:
    """Return what to do with a matrix that has a single 1 in every row, or an empty string."""
    matrix = np.asarray(labels)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        return ""
    is_one_hot = np.isin(matrix, (0, 1)).all() and (matrix.sum(axis=1) == 1).all()
    return f", such as {name}.argmax(axis=1)" if is_one_hot else ""
