"""Tables of many libraries: those that are read before use, and new ones of the same kind."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertsent.texts.columns import column_values, is_missing, row_labels

# Of the items of a column; objects are strings.
_KINDS = {"i": int, "u": int, "b": bool, "f": float}


def in_memory(data: Any, name: str = "X") -> Any:
    """Return a table or column that another library would compute or stream as one in memory.

    This concerns relations of DuckDB, and objects of which only Arrow's PyCapsule interface is
    known. All other data are returned as they are. Do it once: a stream can be read only once, and
    a query may return its rows in another order each time.

    Parameters
    ----------
    data : object
        Whatever a user passed.
    name : str, default="X"
        Name of the argument in error messages.

    Returns
    -------
    object
        A Table or ChunkedArray of pyarrow, or `data`.

    Raises
    ------
    ImportError
        pyarrow is not installed.
    """
    # Cursors and relations have `fetchall`. Polars' LazyFrame is left to its user to collect.
    is_stream = hasattr(data, "__arrow_c_stream__") and not hasattr(data, "collect_schema")
    if not is_stream or (hasattr(data, "__len__") and not hasattr(data, "fetchall")):
        return data
    try:
        import pyarrow as pa
    except ImportError:
        raise ImportError(
            f"{name} is a {type(data).__name__}, which is read with pyarrow; install it with: "
            "pip install 'bertsent[parquet]'"
        ) from None
    rows = pa.chunked_array(data)  # of a table, they are structs
    return pa.Table.from_struct_array(rows) if pa.types.is_struct(rows.type) else rows


def in_memory_all(**data: Any) -> list[Any]:
    """Return what `in_memory` does of each keyword, in their order.

    A relation is always a table. Labels or weights in its only column, which no user could have
    passed otherwise, become that column.
    """
    found = {name: in_memory(value, name) for name, value in data.items()}
    return [
        value[value.column_names[0]]
        if not name.startswith("X") and value is not data[name] and len(_names(value)) == 1
        else value
        for name, value in found.items()
    ]


def _names(data: Any) -> list[str]:
    return getattr(data, "column_names", [])


def table_like(data: Any, columns: Mapping[str, Any]) -> Any:
    """Return a new table of the library that some data are of.

    Parameters
    ----------
    data : object
        A table or column of pandas, Polars, pyarrow or narwhals; for anything else, such as a list,
        the table is of pandas.
    columns : dict of str to array or list
        The columns.

    Returns
    -------
    DataFrame or Table
        With the index of `data`, if that is of pandas.
    """
    modules = type(data).__module__.split(".")
    if modules[0] == "narwhals":
        # Its stable interfaces are modules with a `from_native` of their own.
        at = ".".join(modules[:3]) if modules[1:2] == ["stable"] else "narwhals"
        native = table_like(data.to_native(), columns)
        return importlib.import_module(at).from_native(native)
    if modules[0] == "polars":
        import polars

        return polars.DataFrame({name: polars_column(part) for name, part in columns.items()})
    if modules[0] == "pyarrow":
        import pyarrow

        return pyarrow.table({name: arrow_column(part) for name, part in columns.items()})
    import pandas as pd

    return pd.DataFrame(dict(columns), index=row_labels(data))


def polars_column(values: Any) -> Any:
    """Return a column as a Series of Polars."""
    import polars

    types = {
        str: polars.String, int: polars.Int64, bool: polars.Boolean, float: polars.Float64
    }
    plain, kind = _plain_column(values)
    return polars.Series(plain, dtype=None if kind is None else types[kind])


def arrow_column(values: Any) -> Any:
    """Return a column as an Array of pyarrow."""
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), float: pa.float64()}
    plain, kind = _plain_column(values)
    return pa.array(plain, None if kind is None else types[kind])


def _plain_column(values: Any) -> tuple[Any, type | None]:
    """Return a column as an array of numbers, or as a list in which None is what is missing.

    If all values are missing, their type comes with them, so that the column has the type that it
    has in other tables.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return values, None
    plain = [None if is_missing(value) else value for value in column_values(values)]
    if any(value is not None for value in plain):
        return plain, None
    # That of a Categorical is the one of its categories.
    dtype = getattr(getattr(values, "categories", values), "dtype", None)
    return plain, _KINDS.get(getattr(dtype, "kind", "O"), str)
