"""Arrow strings, which the engine reads in place, without creating Python strings.

Any object with Arrow's PyCapsule interface can be read: arrays of pyarrow and nanoarrow, Series of
Polars, and pandas data whose strings are stored in Arrow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsent._core import ArrowTexts


def arrow_texts(texts: Any) -> ArrowTexts | None:
    """Borrow the strings of a column in Arrow's memory.

    Parameters
    ----------
    texts : object
        Arrow strings: an object with ``__arrow_c_stream__`` or ``__arrow_c_array__``, or a Series,
        Index or array of pandas with dtype ``string[pyarrow]``, ``str`` or an ``ArrowDtype``.
        Strings may be dictionary-encoded. For any other object, None is returned.

    Returns
    -------
    bertsent._core.ArrowTexts or None
        None if `texts` is not stored in Arrow's memory or does not contain strings.

    Raises
    ------
    ValueError
        The array is invalid.
    """
    # Exporting a table may convert all of it. An index with levels has no array.
    if hasattr(type(texts), "columns") or hasattr(type(texts), "levels"):
        return None
    column = getattr(texts, "array", texts)
    dtype = getattr(column, "dtype", None)
    if getattr(dtype, "storage", None) == "pyarrow" or hasattr(dtype, "pyarrow_dtype"):
        column = column.__arrow_array__()
    if str(dtype).lower() == "object":  # exporting these aborts the process in early Polars 1
        return None
    if hasattr(column, "__arrow_c_stream__"):
        capsules = (column.__arrow_c_stream__(None),)
    elif hasattr(column, "__arrow_c_array__"):
        capsules = column.__arrow_c_array__(None)
    else:
        return None
    if hasattr(column, "validate"):
        # The interface does not pass the sizes of buffers. pyarrow knows them and checks quickly.
        column.validate()
    from bertsent import _core

    return _core.arrow_texts(*capsules)
