"""Check labels: items of one type that a class can have, in a column of any kind."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.texts.columns import (
    abbreviate,
    column_names,
    column_values,
    describe_row,
    is_missing,
    is_text_of_files,
    is_two_dimensional,
    single_column,
)
from bertsent.wording import phrase

if TYPE_CHECKING:
    import numpy.typing as npt

_PLAIN = {str, bool, int, float}
# The kinds of NumPy types that represent them.
_NUMPY_KINDS = {bool: "b", int: "iu", float: "f"}

# Characters of a label in an array of NumPy's own strings.
_WIDEST = 100


class CheckedLabels(NamedTuple):
    """Labels that were checked.

    Attributes
    ----------
    items : list of str, bool, int or float
        The labels, all of one type.
    dtype : dtype
        Type of an array of them.
    categories : ndarray or None
        All categories, in order, of a pandas categorical; None for anything else.
    ordered : bool
        Whether the categories are ordered.
    category_dtype : str or None
        Type of the categories if pandas does not infer it from their values, such as "Int64".
    """

    items: list[Any]
    dtype: np.dtype[Any]
    categories: npt.NDArray[Any] | None = None
    ordered: bool = False
    category_dtype: str | None = None


def check_labels(y: Any, name: str = "y") -> CheckedLabels:
    """Check labels of any accepted type.

    Parameters
    ----------
    y : list, Series, array, pandas categorical, Arrow array, or table of one column
        One label for each text: strings, booleans or whole numbers.
    name : str, default="y"
        Name of the argument in error messages.

    Returns
    -------
    CheckedLabels

    Raises
    ------
    TypeError
        `y` is not a column.
    ValueError
        `y` is None or has several columns, or an item is no label. The message names the first.
    """
    if y is None:
        # scikit-learn expects these words.
        raise ValueError(
            f"a classifier requires {name} to be passed, but the target {name} is None; "
            "pass one label for each text"
        )
    column = single_column(y, name, "labels")
    items = _check_items(column, column_values(column), name)
    dtype = _array_type(column, items)
    categorical: Any = getattr(column, "dtype", None)
    if not hasattr(categorical, "ordered"):  # only pandas has it
        return CheckedLabels(items, dtype)
    import pandas as pd

    index: Any = categorical.categories
    known = _check_items(index, index.tolist(), f"{name}.dtype.categories")
    categories = np.array(known, _array_type(index, known))
    is_inferred = pd.Index(categories).dtype == index.dtype
    return CheckedLabels(
        items, dtype, categories, bool(categorical.ordered),
        None if is_inferred else str(index.dtype),
    )


def warn_of_column_vector(y: Any, *, stacklevel: int = 2) -> None:
    """Warn of a y of two dimensions with one column, as classifiers of scikit-learn do."""
    if not is_two_dimensional(y):
        return
    from sklearn.exceptions import DataConversionWarning

    names = column_names(y)
    advice = "y.ravel()" if names is None else f"y[{names[0]!r}]"
    warnings.warn(
        "A column-vector y was passed when a 1d array was expected. It is taken as the labels; "
        f"{advice} has one dimension.",
        DataConversionWarning, stacklevel=stacklevel,
    )


def plain_label(item: Any) -> Any:
    """Return a label as a str, bool, int or float if it is one, whatever its class."""
    if isinstance(item, str):
        return str.__str__(item)  # of an Enum, its value
    if isinstance(item, bool | np.bool_):
        return bool(item)
    if isinstance(item, Integral) and not isinstance(item, np.timedelta64):
        return int(item)
    if isinstance(item, np.floating):
        return float(item) if float(item) == item else item
    if isinstance(item, np.generic) or item is np.ma.masked:
        return item
    if getattr(item, "shape", None) == () and callable(getattr(item, "item", None)):
        return plain_label(item[()] if isinstance(item, np.ndarray) else item.item())
    return item


def fits_64_bits(numbers: list[int]) -> bool:
    """Return whether int64 or uint64 represents all of these numbers."""
    low, high = min(numbers), max(numbers)
    return -(2**63) <= low and high < (2**63 if low < 0 else 2**64)


def integer_type(numbers: list[int]) -> np.dtype[Any]:
    """Return the type that represents these numbers, int64 if possible."""
    return np.dtype(np.int64 if max(numbers) < 2**63 else np.uint64)


def _check_items(column: Any, items: list[Any], name: str) -> list[Any]:
    """Return labels as plain values of one type; `column` is what contains them."""
    kinds = set(map(type, items))
    if kinds not in ({str}, {bool}, {int}):
        items = [plain_label(item) for item in items]
        for position, item in enumerate(items):
            if is_missing(item):
                shown = "None" if item is None else "NaN"
                count = sum(map(is_missing, items))
                more = f" ({count:,} of {len(items):,} labels are missing)" if count > 1 else ""
                raise ValueError(
                    f"{describe_row(column, name, position)} is {shown}{more}; "
                    "drop the rows that have no label"
                )
            if type(item) not in _PLAIN:
                raise ValueError(
                    f"{describe_row(column, name, position)} is {abbreviate(item)} of type "
                    f"{_name_type(type(item))}, but labels are strings, booleans or whole "
                    f"numbers; {_choose_remedy(item)}"
                )
        kinds = set(map(type, items))
        if len(kinds) > 1 and kinds != {int, float}:
            first = [next(i for i in enumerate(items) if type(i[1]) is kind) for kind in kinds]
            shown = " and ".join(
                f"{describe_row(column, name, position)} is {abbreviate(item)}"
                for position, item in sorted(first, key=lambda one: one[0])
            )
            raise ValueError(
                f"{name} contains labels of the types {', '.join(sorted(map(_name_type, kinds)))}: "
                f"{shown}; {_advise_strings()}"
            )
    for label in dict.fromkeys(items):
        problem = _describe_problem(label)
        if problem is not None:
            where = describe_row(column, name, items.index(label))
            raise ValueError(problem.format(where=where, label=abbreviate(label)))
    if float in kinds and int in kinds:  # as numbers, 1 and 1.0 are one class
        items, kinds = [int(item) for item in items], {int}
    if int in kinds and not fits_64_bits(items):
        worst = max(items, key=abs)
        raise ValueError(
            f"{describe_row(column, name, items.index(worst))} is {abbreviate(worst)}, so that no "
            f"integer type of 64 bits represents all labels; {_advise_strings()}"
        )
    return items


def _advise_strings() -> str:
    return phrase(
        python="make strings of them, for example with str(label) for each",
        command="write them into the file as strings",
    )


def _choose_remedy(item: Any) -> str:
    """Return what to do about labels of a type that labels do not have."""
    if isinstance(item, bytes | bytearray):
        return "decode them first"
    if isinstance(item, list | tuple | set | frozenset | Mapping | np.ndarray):
        return "pass one label for each text, not sequences"
    if isinstance(item, Enum):
        return "pass their names or values"
    if isinstance(item, Decimal):
        return phrase(
            python="make whole numbers of them, for example with int(label) for each",
            command="write them into the file as whole numbers",
        )
    return _advise_strings()


def _describe_problem(label: Any) -> str | None:
    """Return what is wrong with a label of an accepted type, with its place left open, or None."""
    if isinstance(label, str) and not is_text_of_files(label):
        return (
            "{where} is {label}, which contains half a character (a lone surrogate) and could not "
            "be saved; read it again in the right encoding"
        )
    if isinstance(label, float) and math.isinf(label):
        return "{where} is {label}, but labels are finite; drop it, or give it a number"
    if isinstance(label, float) and not label.is_integer():
        # scikit-learn begins like this.
        return (
            "Unknown label type: continuous. There are fractions such as {label} ({where}), but a "
            "classifier expects classes: strings, booleans or whole numbers; sort the values into "
            "classes" + phrase(python=", for example with pandas.cut", command="")
            + f", or, if they are names, {_advise_strings()}"
        )
    return None


def _name_type(kind: type) -> str:
    return kind.__name__


def _array_type(column: Any, items: list[Any]) -> np.dtype[Any]:
    """Return the type of an array of labels: that of the column if NumPy has it."""
    kind = type(items[0]) if items else str
    has_type = hasattr(column, "dtype")
    if kind is str:
        # NumPy's own strings lose zeros at the end, and all are as wide as the longest.
        unfit = any(item.endswith("\0") or len(item) > _WIDEST for item in items)
        is_numpy = not has_type or isinstance(column, np.ndarray) and column.dtype.kind == "U"
        return np.dtype(str if is_numpy and not unfit else object)
    if has_type:
        # Each library has its own errors for what does not become an array, such as int128.
        with contextlib.suppress(Exception):
            given: np.dtype[Any] = np.asarray(column).dtype
            if given.kind in _NUMPY_KINDS[kind] and given.itemsize <= 8:
                return given
    return integer_type(items) if kind is int else np.dtype(kind)
