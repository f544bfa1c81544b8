"""Numbers as targets: one or several for each text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.texts.columns import (
    abbreviate,
    column_names,
    column_values,
    describe_row,
    is_missing,
    is_text_of_files,
    single_column,
)
from bertsent.texts.labels import check_length
from bertsent.wording import phrase

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.files import Field

FORMS = ("column", "array", "table")
MOST_COLUMNS = 10_000


@dataclass(frozen=True)
class NumberColumns:
    """The columns of y and its form, so that predictions have the same form.

    Parameters
    ----------
    count : int
        Number of columns.
    form : {"column", "array", "table"}
        Whether y had one dimension, two, or was a table of several columns.
    names : tuple of str or None
        Names of the columns of a table.
    """

    count: int
    form: str = "column"
    names: tuple[str, ...] | None = None

    @property
    def output_names(self) -> list[str]:
        """Names of the columns, or those that transformers gives outputs without names."""
        return list(self.names or (f"LABEL_{number}" for number in range(self.count)))

    @classmethod
    def of_outputs(cls, names: list[str]) -> NumberColumns:
        """Return the columns of a model of another program."""
        count = len(names)
        default = names == [f"LABEL_{number}" for number in range(count)]
        return cls(count, "column" if count == 1 else "array", None if default else tuple(names))

    def read(self, y: Any, n_texts: int, name: str) -> npt.NDArray[np.float64]:
        """Return further numbers as an array of shape (n_texts, count)."""
        values, found = _read_numbers(y, name)
        check_length(values, n_texts, name)
        if found.names is not None and self.names is not None:
            missing = [column for column in self.names if column not in found.names]
            if missing:
                raise ValueError(
                    f"{name} has no column {missing[0]!r}; the model predicts "
                    f"{', '.join(map(repr, self.names))}"
                )
            return values[:, [found.names.index(column) for column in self.names]]
        if found.count != self.count:
            raise ValueError(
                f"{name} has {found.count} numbers for each text, but the model predicts "
                f"{self.count}"
            )
        return values

    def decode(self, values: npt.NDArray[np.float64]) -> Any:
        """Return predictions in the form of y."""
        if self.form == "column":
            return values[:, 0]
        if self.form == "array":
            return values
        import pandas as pd

        return pd.DataFrame(values, columns=list(self.names or range(self.count)))

    def to_json(self) -> dict[str, Any]:
        """Return plain values from which `from_json` makes an equal object."""
        names = None if self.names is None else list(self.names)
        return {"count": self.count, "form": self.form, "names": names}

    @classmethod
    def from_json(cls, data: Field) -> NumberColumns:
        """Undo `to_json`; raise a CheckpointError for what it never wrote."""
        count, form, names = data["count"].whole(1, MOST_COLUMNS), data["form"].text(*FORMS), None
        if form == "column" and count != 1:
            raise data["count"].error("1, because y had one dimension")
        if data["names"].value is not None:
            names = tuple(item.text() for item in data["names"].items(count, count))
            if len(set(names)) < count:
                raise data["names"].error("different names")
        return cls(count, form, names)


def learn_numbers(
    y: Any, n_texts: int, name: str = "y"
) -> tuple[NumberColumns, npt.NDArray[np.float64]]:
    """Return the columns of the y of training, and its numbers.

    Parameters
    ----------
    y : list, Series, array or table
        One number for each text, or a column for each of several numbers.
    n_texts : int
    name : str, default="y"
        Name of y in error messages.

    Returns
    -------
    columns : NumberColumns
    values : float64 ndarray of shape (n_texts, n_columns)

    Raises
    ------
    TypeError, ValueError
        An item is no finite number, or the number of texts is another. The message names the row.
    """
    values, columns = _read_numbers(y, name)
    check_length(values, n_texts, name)
    return columns, values


def _read_numbers(y: Any, name: str) -> tuple[npt.NDArray[np.float64], NumberColumns]:
    if y is None:
        # scikit-learn expects these words.
        raise ValueError(
            f"a regressor requires {name} to be passed, but the target {name} is None; "
            "pass one number for each text"
        )
    if hasattr(y, "tocsr"):
        y = y.toarray()
    names = column_names(y)
    if names is not None and len(names) > 1 and hasattr(y, "__len__"):
        columns = [y.iloc[:, number] if hasattr(y, "iloc") else y[names[number]]
                   for number in range(len(names))]
        strings = tuple(str(column) for column in names)
        if len(set(strings)) < len(strings) or not all(map(is_text_of_files, strings)):
            raise ValueError(f"{name} has columns whose names are not different texts")
        found = [
            _floats(column, f"{name}[{title!r}]")
            for column, title in zip(columns, names, strict=True)
        ]
        return np.column_stack(found), NumberColumns(len(names), "table", strings)
    if isinstance(y, list | tuple) and len(y) and all(isinstance(row, list | tuple) for row in y):
        if len(set(map(len, y))) > 1:
            raise ValueError(f"{name} has rows of different lengths; pass as many numbers for each")
        columns = list(zip(*y, strict=True))
        if len(columns) > 1:
            rows = [_floats(list(column), name) for column in columns]
            return np.column_stack(rows), NumberColumns(len(columns), "array")
    if isinstance(y, np.ndarray) and names is None and y.ndim == 2 and y.shape[1] > 1:
        rows = [_floats(column, name) for column in y.T]
        return np.column_stack(rows), NumberColumns(y.shape[1], "array")
    return _floats(single_column(y, name, "labels"), name)[:, None], NumberColumns(1)


def _floats(column: Any, name: str) -> npt.NDArray[np.float64]:
    """Return a column of finite numbers; errors name the first row at fault."""
    items = column_values(column)
    values = np.empty(len(items))
    for position, item in enumerate(items):
        where = describe_row(column, name, position)
        if is_missing(item):
            missing = sum(map(is_missing, items))
            more = f" ({missing:,} of {len(items):,} are missing)" if missing > 1 else ""
            raise ValueError(
                f"{where} is {'None' if item is None else 'NaN'}{more}; drop the rows that have no "
                "number"
            )
        number = _float(item)
        if number is None:
            raise ValueError(
                f"{where} is {abbreviate(item)} of type {type(item).__name__}, but a number is "
                "expected; " + phrase(
                    python="BertClassifier learns classes",
                    command="models for classes are trained without --task regression",
                )
            )
        if not math.isfinite(number):
            raise ValueError(f"{where} is {item}, but numbers must be finite; drop it, or cap it")
        values[position] = number
    return values


def _float(item: Any) -> float | None:
    """Return a number of any type, or a string that spells one, as in a CSV file."""
    if isinstance(item, complex | np.complexfloating | bytes):
        return None
    try:
        return float(item)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return math.inf
