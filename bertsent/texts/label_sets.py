"""Labels of which a text can have any number: indicator matrices, tables, and lists of labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
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
from bertsent.texts.label_check import check_labels, plain_label
from bertsent.texts.labels import (
    LabelType,
    check_length,
    find_classes,
    labels_to_json,
    read_labels,
)
from bertsent.wording import phrase

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.files import Field

# The forms of y. Predictions have the form of the y of training.
FORMS = ("array", "sparse array", "sparse matrix", "table", "list", "tuple", "set")
_COLLECTIONS = (list, tuple, set, frozenset)
# Types of the values of an indicator matrix.
_VALUE_DTYPE = re.compile(r"[<>|](b1|[iuf][1248])")
# What can separate the labels of a text in a cell of a file, the first that no label contains.
SEPARATORS = (";", "|", ",", "/", "\t")


def is_multi_label(y: Any) -> bool:
    """Return whether y has a form in which each text can have several labels.

    These are sparse matrices, arrays and tables of several columns of numbers or booleans, and
    columns whose items are lists, tuples, sets or arrays. Lists of equally many zeros and ones are
    the rows of a matrix.
    """
    if hasattr(y, "tocsr"):
        return True
    names = column_names(y)
    if isinstance(y, np.ndarray) and names is None and y.ndim == 2 and y.shape[1] > 1:
        return y.dtype.kind in "biuf" and len(y) > 0
    if names is not None and len(names) > 1:
        return hasattr(y, "__len__") and not isinstance(y, np.ndarray) and all(
            _is_indicator(column_values(_column_of(y, number))) for number in range(len(names))
        )
    try:
        items = column_values(single_column(y, "y", "labels"))
    except (TypeError, ValueError):
        return False
    first = next((item for item in items if item is not None), None)
    return _is_collection(first)


@dataclass(frozen=True)
class LabelSets:
    """The labels of y and its form, so that predictions have the same form.

    Parameters
    ----------
    labels : ndarray
        The labels: sorted if y has lists of them, the names of the columns of a table, and the
        numbers of the columns of a matrix.
    form : str
        One of `FORMS`.
    dtype : str or None
        Type of the values of a matrix or table; None if y has lists of labels.
    """

    labels: npt.NDArray[Any]
    form: str = "list"
    dtype: str | None = None

    @cached_property
    def known(self) -> LabelType:
        """The labels, to be found by their names."""
        return LabelType(self.labels)

    @cached_property
    def separator(self) -> str:
        """What separates the labels of a text in a cell of a file."""
        names = [str(label) for label in self.labels.tolist()]
        for separator in SEPARATORS:
            if not any(separator in name for name in names):
                return separator
        raise ValueError(
            f"the labels contain all of {', '.join(map(repr, SEPARATORS))}, so that they cannot "
            "be joined in one cell; rename some of them"
        )

    def with_form_of(self, y: Any, name: str) -> LabelSets:
        """Return these labels in the form of y."""
        if not is_multi_label(y):
            return self
        if has_label_columns(y):
            values, _, form = _read_matrix(y, name)
            return replace(self, form=form, dtype=values.dtype.str)
        return replace(self, form=_read_lists(y, name)[1])

    def encode(self, y: Any, n_texts: int, name: str = "y_val") -> npt.NDArray[np.float32]:
        """Return the targets of further texts, as `learn_label_sets` does."""
        if has_label_columns(y):
            values, columns, _ = _read_matrix(y, name)
            check_length(values, n_texts, name)
            return self._match_columns(values, columns, name).astype(np.float32)
        rows, _ = _read_lists(y, name)
        check_length(rows, n_texts, name)
        numbers = self.known.numbers
        targets = np.zeros((n_texts, len(self.labels)), np.float32)
        for position, row in enumerate(rows):
            for label in row:
                # 1, 1.0 and True are equal in Python.
                code = numbers.get(label, -1)
                if code < 0 or isinstance(label, str) != self.known.has_strings:
                    raise ValueError(
                        f"{describe_row(y, name, position)} has the label {abbreviate(label)}, "
                        "which was not in the training labels; these were "
                        f"{', '.join(self.known.listed(repr))}"
                        f"{self.known.describe_similar(label)}"
                    )
                targets[position, code] = 1.0
        return targets

    def _match_columns(
        self, values: npt.NDArray[Any], columns: list[Any] | None, name: str
    ) -> npt.NDArray[Any]:
        """Return a matrix with its columns in the order of the labels."""
        n_labels = len(self.labels)
        if columns is None:
            if values.shape[1] != n_labels:
                raise ValueError(
                    f"{name} has {values.shape[1]} columns, but the model has {n_labels} labels: "
                    f"{', '.join(self.known.listed(repr))}"
                )
            return values
        codes = [self.known.find(column) for column in columns]
        unknown = [column for column, code in zip(columns, codes, strict=True) if code < 0]
        missing = [
            label for code, label in enumerate(self.labels.tolist()) if code not in codes
        ]
        if unknown or missing:
            parts = [f"the unknown label {abbreviate(unknown[0])}"] if unknown else []
            parts += [f"no column for {abbreviate(missing[0])}"] if missing else []
            raise ValueError(
                f"{name} has {' and '.join(parts)}; the labels of the model are "
                f"{', '.join(self.known.listed(repr))}"
            )
        return values[:, np.argsort(codes)]

    def translate(
        self, rows: list[Any], name: str, label_map: Mapping[Any, Any] | None
    ) -> list[list[Any]]:
        """Return labels that may have other types or names as labels of the model.

        Parameters
        ----------
        rows : list
            A list of labels for each text.
        name : str
            Name of the data in errors.
        label_map : dict or None
            The labels of the model that labels with other names mean.
        """
        checked = [_items_of(row) for row in rows]
        different = list(dict.fromkeys(label for row in checked for label in row))
        codes = dict(zip(different, find_classes(different, self.known, label_map), strict=True))
        labels = self.labels.tolist()
        for position, row in enumerate(checked):
            for label in row:
                if codes[label] < 0:
                    raise ValueError(
                        f"{describe_row(rows, name, position)} has the label {abbreviate(label)}, "
                        "which is not a label of the model; its labels are: "
                        f"{', '.join(self.known.listed(str))}{self.known.describe_similar(label)}"
                    )
        return [[labels[codes[label]] for label in row] for row in checked]

    def decode(self, chosen: npt.NDArray[np.bool_]) -> Any:
        """Return predictions in the form of y, given which labels each text has."""
        if self.form == "table":
            import pandas as pd

            return pd.DataFrame(chosen.astype(self.dtype), columns=pd.Index(self.labels))
        if self.form == "array":
            return chosen.astype(self.dtype)
        if self.dtype is not None:
            from scipy.sparse import csr_array, csr_matrix

            kind = csr_array if self.form == "sparse array" else csr_matrix
            return kind(chosen.astype(self.dtype))
        return self.lists(chosen, {"tuple": tuple, "set": set}.get(self.form, list))

    def lists(
        self, chosen: npt.NDArray[np.bool_], kind: Callable[[list[Any]], Any] = list
    ) -> list[Any]:
        """Return a list of labels for each text."""
        labels = self.labels.tolist()
        return [kind([labels[code] for code in np.flatnonzero(row)]) for row in chosen]

    def to_json(self) -> dict[str, Any]:
        """Return plain values from which `from_json` makes an equal object."""
        return {
            "classes": labels_to_json(self.labels), "form": self.form, "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, data: Field) -> LabelSets:
        """Undo `to_json`; raise a CheckpointError for what it never wrote."""
        labels = read_labels(data["classes"])
        if not len(labels) or len(set(labels.tolist())) < len(labels):
            raise data["classes"]["values"].error("labels, all of them different")
        form, dtype = data["form"].text(*FORMS), data["dtype"]
        if form in ("list", "tuple", "set"):
            if dtype.value is not None:
                raise dtype.error("null, because y has lists of labels")
        elif not _VALUE_DTYPE.fullmatch(dtype.text()):
            raise dtype.error("a type of numbers or booleans, such as <i8")
        return cls(labels, form, dtype.value)


def learn_label_sets(
    y: Any, n_texts: int, name: str = "y"
) -> tuple[LabelSets, npt.NDArray[np.float32]]:
    """Return the labels of training texts, and the indicator matrix.

    Parameters
    ----------
    y : array, sparse matrix, table or column of lists
        See `is_multi_label`.
    n_texts : int
    name : str, default="y"
        Name of y in error messages.

    Returns
    -------
    sets : LabelSets
    targets : float32 ndarray of shape (n_texts, n_labels)
        1 where a text has a label, and 0 elsewhere.

    Raises
    ------
    TypeError, ValueError
        A value of a matrix is neither 0 nor 1, an item is no list of labels, no text has any
        label, or the number of texts is another. The message names the row.
    """
    if has_label_columns(y):
        values, columns, form = _read_matrix(y, name)
        check_length(values, n_texts, name)
        labels = np.arange(values.shape[1]) if columns is None else _name_columns(columns, name)
        sets = LabelSets(labels, form, values.dtype.str)
        targets = values.astype(np.float32)
    else:
        rows, form = _read_lists(y, name)
        check_length(rows, n_texts, name)
        # True, 1 and 1.0 are equal, but `_read_lists` has made sure that all have one type.
        found = sorted({label for row in rows for label in row})
        dtype = object if found and isinstance(found[0], str) else None
        sets = LabelSets(np.array(found, dtype=dtype), form)
        targets = np.zeros((n_texts, len(found)), np.float32)
        numbers = {label: code for code, label in enumerate(found)}
        for position, row in enumerate(rows):
            targets[position, [numbers[label] for label in row]] = 1.0
    if not targets.any():
        raise ValueError(f"no text has any label in {name}; at least one is needed to train")
    return sets, targets


def split_labels(cell: Any, separator: str) -> list[str]:
    """Return the labels of a cell; an empty cell has none."""
    if is_missing(cell):
        return []
    labels = (label.strip() for label in str(cell).split(separator))
    return list(dict.fromkeys(label for label in labels if label))


def has_label_columns(y: Any) -> bool:
    """Return whether y has a column for each label."""
    if hasattr(y, "tocsr") or _nested_indicators(y) is not None:
        return True
    names = column_names(y)
    if names is not None:
        return len(names) > 1
    return isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] > 1


def _column_of(table: Any, number: int) -> Any:
    """Return a column of a table of any library by its number."""
    if hasattr(table, "iloc"):
        return table.iloc[:, number]
    names = column_names(table)
    assert names is not None
    return table[names[number]]


def _is_indicator(values: list[Any]) -> bool:
    """Return whether all items are numbers or booleans."""
    kinds = set(map(type, values))
    return bool(kinds) and all(
        issubclass(kind, bool | int | float | np.number | np.bool_) for kind in kinds
    )


def _is_collection(item: Any) -> bool:
    return isinstance(item, _COLLECTIONS) or isinstance(item, np.ndarray) and item.ndim == 1


def _read_matrix(y: Any, name: str) -> tuple[npt.NDArray[Any], list[Any] | None, str]:
    """Return the values of an indicator matrix, the names of its columns, and its form."""
    columns: list[Any] | None = None
    nested = _nested_indicators(y)
    y = y if nested is None else nested
    if hasattr(y, "tocsr"):
        from scipy.sparse import issparse, isspmatrix

        if not issparse(y) or len(y.shape) != 2:
            raise TypeError(f"{name} is a sparse array of one dimension; pass a sparse matrix")
        values, form = y.toarray(), "sparse matrix" if isspmatrix(y) else "sparse array"
    elif isinstance(y, np.ndarray):
        values, form = np.ma.filled(y.astype(float), np.nan) if np.ma.isMA(y) else y, "array"
    else:
        columns, form = column_names(y), "table"
        assert columns is not None
        if not hasattr(y, "__len__"):
            single_column(y, name, "labels")  # raises
        of_each = [column_values(_column_of(y, number)) for number in range(len(columns))]
        kinds = {type(value) for values in of_each for value in values}
        dtype = bool if kinds <= {bool, np.bool_} else object
        if kinds <= {bool, int, np.bool_} and dtype is object:
            dtype = np.int64
        values = np.empty((len(y), len(columns)), dtype)
        for number, items in enumerate(of_each):
            values[:, number] = items
    is_valid = _is_zero_or_one(values)
    if not is_valid.all():
        row, column = np.argwhere(~is_valid)[0].tolist()
        called = (
            f"column {column}" if columns is None else f"column {abbreviate(columns[column])}"
        )
        value = values[row, column]
        value = value.item() if isinstance(value, np.generic) else value
        raise ValueError(
            f"{describe_row(y, name, row)} is {abbreviate(value)} in {called}, but with "
            "several columns, each column is a label: 1 (or True) where a text has it, and 0 (or "
            "False) where it does not" + phrase(
                python="; if each text has one label, pass one column of labels", command=""
            )
        )
    if values.dtype == object:
        values = values.astype(np.float64)
        if (values == values.astype(np.int64)).all():
            values = values.astype(np.int64)
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        values = values.astype(np.float64)
    return values, columns, form


def _is_zero_or_one(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if values.dtype.kind in "biuf":
        return np.asarray((values == 0) | (values == 1))
    flat = [
        not isinstance(value, str) and not is_missing(value) and value in (0, 1)
        for value in values.ravel()
    ]
    return np.array(flat, bool).reshape(values.shape)


def _name_columns(columns: list[Any], name: str) -> npt.NDArray[Any]:
    """Return the names of the columns of a table, which are labels."""
    names = [plain_label(column) for column in columns]
    for column in names:
        if type(column) not in (str, int) or isinstance(column, str) and not (
            is_text_of_files(column)
        ):
            raise ValueError(
                f"{name} has a column that is called {abbreviate(column)}, but the names of its "
                "columns are labels: strings or whole numbers; rename it"
            )
    if len(set(map(type, names))) > 1:
        raise ValueError(
            f"{name} has columns that are called by strings and by numbers; rename them, for "
            "example with y.columns.map(str)"
        )
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"{name} has two columns {abbreviate(twice)}; rename one of them")
    return np.array(names, dtype=object if isinstance(names[0], str) else None)


def _items_of(row: Any) -> list[Any]:
    items = row.tolist() if isinstance(row, np.ndarray) else list(row)
    return list(dict.fromkeys(plain_label(item) for item in items))


def _read_lists(y: Any, name: str) -> tuple[list[list[Any]], str]:
    """Return the labels of each text, checked and each once, and the form of y."""
    if y is None:
        check_labels(y, name)  # raises
    column = single_column(y, name, "labels")
    items = column_values(column)
    for position, item in enumerate(items):
        if not _is_collection(item):
            where = describe_row(column, name, position)
            if is_missing(item):
                raise ValueError(
                    f"{where} is {'None' if item is None else 'NaN'}; pass an empty list [] for a "
                    "text that has no label"
                )
            raise ValueError(
                f"{where} is {abbreviate(item)}, but here each text has a list of labels; pass "
                f"[{abbreviate(item)}]"
            )
    kind = next((type(item) for item in items), list)
    form = "tuple" if kind is tuple else "set" if kind in (set, frozenset) else "list"
    first: dict[tuple[type, Any], int] = {}
    for position, item in enumerate(items):
        for label in item.tolist() if isinstance(item, np.ndarray) else item:
            try:
                first.setdefault((type(label), label), position)
            except TypeError:
                raise ValueError(
                    f"{describe_row(column, name, position)} contains {abbreviate(label)}, but "
                    "labels are strings, booleans or whole numbers"
                ) from None
    labels = _check_different(list(first), list(first.values()), column, name)
    return [
        list(dict.fromkeys(
            labels[type(label), label]
            for label in (item.tolist() if isinstance(item, np.ndarray) else item)
        ))
        for item in items
    ], form


def _check_different(
    keys: list[tuple[type, Any]], rows: list[int], column: Any, name: str
) -> dict[tuple[type, Any], Any]:
    """Return the plain label of each different label; errors name the first row that has it."""
    mark = "\0"
    try:
        checked = check_labels([label for _, label in keys], mark).items
    except (TypeError, ValueError) as error:
        message = re.sub(
            rf"{mark}\[(\d+)\]",
            lambda found: f"a label of {describe_row(column, name, rows[int(found[1])])}",
            str(error),
        )
        raise type(error)(message.replace(mark, name)) from None
    return dict(zip(keys, checked, strict=True))


def _nested_indicators(y: Any) -> npt.NDArray[Any] | None:
    """Return a list of equally long lists or arrays of zeros and ones as a matrix, or None.

    As lists of labels, they would contain labels twice, or every text would have all labels.
    """
    if not isinstance(y, list | tuple) or not y:
        return None
    if all(isinstance(row, np.ndarray) and row.ndim == 1 for row in y):
        y = [row.tolist() for row in y]
    if not all(isinstance(row, list | tuple) for row in y):
        return None
    if len(y[0]) < 2 or len(set(map(len, y))) > 1:
        return None
    if any(type(value) not in (int, bool, float) for row in y for value in row):
        return None
    matrix = np.array(y)
    return matrix if ((matrix == 0) | (matrix == 1)).all() else None


def column_lists(column: pd.Series[Any], separator: str | None) -> npt.NDArray[Any]:
    """Return a column of a file as an array of lists of labels.

    Parameters
    ----------
    column : Series
        Its cells are lists of labels, as Parquet and JSON can store them, or strings.
    separator : str or None
        What separates the labels in a string. None means that there is one label in each.
    """
    lists = np.empty(len(column), dtype=object)
    for position, cell in enumerate(column.tolist()):
        if _is_collection(cell):
            lists[position] = list(cell)
        elif separator is None:
            lists[position] = [] if is_missing(cell) else [cell]
        else:
            lists[position] = split_labels(cell, separator)
    return lists
