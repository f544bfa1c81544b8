"""Class labels: check them, and convert them to class numbers and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.texts.columns import abbreviate, describe_row
from bertsent.texts.frames import in_memory_all
from bertsent.texts.label_check import (
    check_labels,
    fits_64_bits,
    integer_type,
    plain_label,
)
from bertsent.texts.label_doubts import normalize_label
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.files import Field

# The types of the arrays that `check_labels` returns. NumPy's strings have their width.
_LABEL_DTYPE = re.compile(r"object|[<>|](?:([biuf])[1248]|U([0-9]{1,6}))")
# Strings that are wider than any of the labels take memory for nothing.
_WIDEST = 1000
# One long label makes an array of all labels as wide.
_MOST_BYTES = 64 << 20
# The types of categories that pandas adds to those of NumPy.
_CATEGORY_DTYPE = re.compile(
    r"object|str|string(\[\w+\])?|boolean|U?Int\d+|Float\d+|\w+\[pyarrow\]"
)
# Python reads no numbers of more digits.
_WHOLE_NUMBER = re.compile(r"(0|-?[1-9][0-9]{0,4000})(\.0{1,100})?")
# Classes that are listed in errors.
_MOST_CLASSES = 20


@dataclass(frozen=True)
class LabelType:
    """The classes of y and its type, so that predictions have the same type.

    Parameters
    ----------
    classes : ndarray
        The labels, sorted, or from the lowest to the highest if their order is learned.
    categories : ndarray or None
        All categories, in order, if y was a pandas categorical; None otherwise.
    ordered : bool
        Whether the categories are ordered.
    category_dtype : str or None
        Type of the categories if pandas does not infer it from their values, such as "Int64".
    """

    classes: npt.NDArray[Any]
    categories: npt.NDArray[Any] | None = None
    ordered: bool = False
    category_dtype: str | None = None

    @cached_property
    def numbers(self) -> dict[Any, int]:
        """The class number of each label. Labels that are equal in Python are the same."""
        return {label: code for code, label in enumerate(self.classes.tolist())}

    @cached_property
    def _spelled(self) -> dict[int, int]:
        """The class number of each whole number or truth value that only one class means."""
        found: dict[int, int] = {}
        for label, code in self.numbers.items():
            number = read_number(label)
            if number is not None:
                found[number] = -1 if number in found else code
        return found

    @property
    def has_strings(self) -> bool:
        """Whether the labels are strings."""
        return self.classes.dtype.kind in "OU"

    def find(self, label: Any) -> int:
        """Return the class number of a label that may have another type, or -1.

        For example, "1.0" is the class 1 if no other class means the same number.
        """
        if not isinstance(label, str | bool | int | float):
            return -1
        same = label if isinstance(label, str) == self.has_strings else str(label)
        if type(same) is str and same in self.numbers:
            return self.numbers[same]
        number = read_number(label)
        if number is None or _is_truth(label) and not self._spelled.keys() <= {0, 1}:
            return -1
        return self._spelled.get(number, -1)

    def listed(self, show: Callable[[Any], str]) -> list[str]:
        """Return the classes as strings; of very many, the first."""
        labels = [show(label) for label in self.classes[:_MOST_CLASSES].tolist()]
        more = len(self.classes) - len(labels)
        return [label if len(label) <= 80 else label[:77] + "..." for label in labels] + (
            [f"and {more} more"] if more else []
        )

    def describe_similar(self, label: object) -> str:
        """Return a remark about a class that differs from a label only in white space or case."""
        if isinstance(label, str) and self.has_strings:
            for known in self.numbers:
                if normalize_label(known) == normalize_label(label):
                    return f"; it differs from the class {known!r} only in white space or case"
        return ""

    def decode(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[Any] | pd.Categorical:
        """Return the labels of class numbers, as an array or a pandas Categorical."""
        labels: npt.NDArray[Any] = self.classes[codes]
        if self.categories is None:
            return labels
        import pandas as pd

        categories = pd.Index(self.categories)
        if self.category_dtype is not None:
            categories = categories.astype(self.category_dtype)
        return pd.Categorical(labels, dtype=pd.CategoricalDtype(categories, self.ordered))

    def to_json(self) -> dict[str, Any]:
        """Return plain values from which `from_json` makes an equal object."""

        categories = self.categories
        content: dict[str, Any] = {
            "classes": labels_to_json(self.classes),
            "categories": None if categories is None else labels_to_json(categories),
            "ordered": self.ordered,
        }
        if self.category_dtype is not None:
            content["category_dtype"] = self.category_dtype
        return content

    @classmethod
    def from_json(cls, data: Field, *, is_sorted: bool = True) -> LabelType:
        """Undo `to_json`; raise a CheckpointError for what it never wrote.

        Parameters
        ----------
        data : Field
        is_sorted : bool, default=True
            Whether the classes must be sorted, because their order means nothing.
        """
        classes, categories = read_labels(data["classes"]), None
        distinct = np.unique(classes)
        if len(classes) < 2 or len(distinct) < len(classes) or (
            is_sorted and not np.array_equal(distinct, classes)
        ):
            raise data["classes"]["values"].error(
                f"two or more labels, {'sorted and ' if is_sorted else ''}different"
            )
        if data["categories"].value is not None:
            categories = read_labels(data["categories"])
            known = set(categories.tolist())
            if len(known) < len(categories) or not known.issuperset(classes.tolist()):
                raise data["categories"]["values"].error("different labels, all classes among them")
        dtype = data.get("category_dtype")
        if dtype.value is not None:
            if categories is None or not _CATEGORY_DTYPE.fullmatch(dtype.text()):
                raise dtype.error("a type of categories, such as Int64")
            _check_category_dtype(categories, dtype)
        return cls(classes, categories, data["ordered"].flag(), dtype.value)


def _check_category_dtype(categories: npt.NDArray[Any], dtype: Field) -> None:
    import pandas as pd

    try:
        if pd.Index(categories).astype(dtype.value).tolist() == categories.tolist():
            return
    except (TypeError, ValueError, OverflowError, ImportError):
        pass
    raise dtype.error("a type of pandas that can represent the categories")


def labels_to_json(labels: npt.NDArray[Any]) -> dict[str, Any]:
    """Return labels and their type as plain values."""
    dtype = "object" if labels.dtype == object else labels.dtype.str
    return {"dtype": dtype, "values": labels.tolist()}


def read_labels(data: Field) -> npt.NDArray[Any]:
    """Return saved labels as an array of their type, if it represents them exactly."""
    dtype, items = data["dtype"], data["values"].items()
    found = _LABEL_DTYPE.fullmatch(dtype.text())
    if found is None:
        raise dtype.error("a type of labels, such as <U8, <i8 or object")
    expected = {"b": bool, "i": int, "u": int, "f": float}.get(found[1], str)
    for item in items:
        if type(item.value) is not expected:
            raise item.error(f"a label of type {expected.__name__}")
    values = [item.value for item in items]
    width = int(found[2] or 0)
    if width and (
        width > max([_WIDEST, *map(len, values)]) or 4 * width * len(values) > _MOST_BYTES
    ):
        raise dtype.error("no wider than the labels")
    try:
        labels: npt.NDArray[Any] = np.array(values, dtype=dtype.value)
        if labels.tolist() == values:
            return labels
    except (OverflowError, ValueError):
        pass
    raise dtype.error("a type that can represent all labels")


def read_number(label: Any) -> int | None:
    """Return the whole number that a label is or spells; True is 1."""
    if _is_truth(label):
        return int(str(label).lower() == "true")
    if isinstance(label, str):
        found = _WHOLE_NUMBER.fullmatch(label)
        return None if found is None else int(found[1])
    return None if isinstance(label, float) and not label.is_integer() else int(label)


def _is_truth(label: Any) -> bool:
    """Return whether a label is a boolean or spells one."""
    return isinstance(label, str | bool) and str(label).lower() in ("true", "false")


def column_labels(column: pd.Series[Any]) -> npt.NDArray[Any]:
    """Return the labels of a column of a file as an array.

    A CSV file has strings only. They become whole numbers or booleans if all of them look like it.
    """
    values = [_read_label(value) for value in column.tolist()]
    if all(isinstance(value, str) for value in values):
        if set(values) <= {"True", "False"}:
            return np.array([value == "True" for value in values])
        if all(_WHOLE_NUMBER.fullmatch(value) for value in values):
            numbers = [int(value.partition(".")[0]) for value in values]
            if fits_64_bits(numbers):
                return np.array(numbers, integer_type(numbers))
    labels = np.empty(len(values), dtype=object)
    labels[:] = values
    return labels


def _read_label(value: Any) -> Any:
    """Return a label of a file as a Python value, with 1 instead of 1.0."""
    value = plain_label(value)
    if isinstance(value, Decimal):
        # The digits of larger ones may not fit into memory.
        small = value.is_finite() and value.copy_abs() < 2**64
        whole = small and value == value.to_integral_value()
        return int(value) if whole else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def match_labels(
    column: pd.Series[Any],
    classes: npt.ArrayLike,
    path: str | PathLike[str],
    label_map: Mapping[Any, Any] | None = None,
) -> npt.NDArray[Any]:
    """Return the labels of a column as members of ``classes``, whatever their type in the file.

    The class 1 matches 1, 1.0, "1", "1.0", True and "True", so that a model trained on a CSV file
    can be tested on a Parquet file. A label in `label_map` means the class that it gives.
    """
    known = LabelType(np.asarray(classes))
    values = column.tolist()
    codes = find_classes(values, known, label_map)
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        value = values[unknown[0]]
        raise ValueError(
            f"{path}: {abbreviate(value)} in column {column.name!r} "
            f"(row {column.index[unknown[0]]}, {len(unknown)} rows in all) is not a class of the "
            f"model; its classes are: {', '.join(known.listed(str))}{known.describe_similar(value)}"
        )
    labels: npt.NDArray[Any] = known.classes[codes]
    return labels


def translate_labels(
    y: Any, label_type: LabelType, label_map: Mapping[Any, Any], name: str
) -> npt.NDArray[Any]:
    """Return the classes that labels mean: those of `label_map`, or of the same name.

    Errors call the labels `name`.
    """
    items = check_labels(y, name).items
    codes = find_classes(items, label_type, label_map)
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        position = int(unknown[0])
        raise ValueError(
            f"{describe_row(y, name, position)} is {abbreviate(items[position])}, which is neither "
            f"in {spell('label_map')} nor a class of the model; its classes are "
            f"{', '.join(label_type.listed(repr))}"
        )
    labels: npt.NDArray[Any] = label_type.classes[codes]
    return labels


def find_classes(
    values: Iterable[Any], known: LabelType, label_map: Mapping[Any, Any] | None = None
) -> npt.NDArray[np.int64]:
    """Return the class number of each label, or -1, whatever the type of the labels is.

    Parameters
    ----------
    values : iterable
        The labels.
    known : LabelType
        The classes.
    label_map : dict or None, default=None
        The classes that labels with other names mean.

    Raises
    ------
    ValueError
        `label_map` gives something that is not a class, or none of its labels occurs.
    """
    labels = list(map(_read_label, values))
    if label_map is None:
        return np.array(list(map(known.find, labels)), np.int64)
    meant = {label: known.find(name) for label, name in label_map.items()}
    wrong = next((label for label, code in meant.items() if code < 0), None)
    named = LabelType(np.array(list(map(str, label_map)), dtype=object))
    found = [named.find(label) for label in labels]
    if wrong is not None:
        hint = ""
        if all(known.find(label) >= 0 for label in label_map):
            hint = (
                ". The label of the data comes first: "
                + spell("label_map", {name: label for label, name in label_map.items()})
            )
        raise ValueError(
            f"{spell('label_map')} gives {abbreviate(label_map[wrong])} for the label "
            f"{abbreviate(wrong)}, which is not a class of the model; its classes are: "
            f"{', '.join(known.listed(str))}{hint}"
        )
    if max(found, default=-1) < 0:
        raise ValueError(
            f"{spell('label_map')} names {', '.join(map(abbreviate, label_map))}, but no label of "
            f"the data is called so; there are, for example, {_some_labels(labels)}"
        )
    codes = list(meant.values())
    return np.array(
        [
            codes[number] if number >= 0 else known.find(label)
            for number, label in zip(found, labels, strict=True)
        ],
        np.int64,
    )


def _some_labels(labels: list[Any]) -> str:
    return ", ".join(map(abbreviate, list(dict.fromkeys(labels))[:5]))


def learn_labels(y: Any, n_texts: int, name: str = "y") -> tuple[LabelType, npt.NDArray[np.int32]]:
    """Return the classes of training labels and the class number of each text.

    Errors call the labels `name`.

    Returns
    -------
    label_type : LabelType
    codes : int32 ndarray
    """
    checked = check_labels(y, name)
    items, dtype = checked.items, checked.dtype
    check_length(items, n_texts, name)
    classes = sorted(set(items))
    if len(classes) < 2:
        only = f" ({abbreviate(classes[0])})" if classes else ""
        raise ValueError(
            f"{name} contains {'one class only' if classes else 'no class'}{only}; "
            "a classifier needs at least two"
        )
    numbers = {label: code for code, label in enumerate(classes)}
    codes = np.fromiter(map(numbers.__getitem__, items), np.int32, len(items))
    if dtype.kind == "f":
        classes = [label + 0.0 for label in classes]  # so that there is no -0.0
    label_type = LabelType(
        np.array(classes, dtype), checked.categories, checked.ordered, checked.category_dtype
    )
    return label_type, codes


def encode_labels(
    y: Any, label_type: LabelType, n_texts: int, name: str = "y_val", *, strict: bool = True
) -> npt.NDArray[np.int32]:
    """Return the class numbers of further labels.

    Parameters
    ----------
    y, n_texts, name
        As for `learn_labels`.
    label_type : LabelType
        The classes of the training labels.
    strict : bool, default=True
        Whether a label that is not among them is an error; otherwise, its number is -1.
    """
    items = check_labels(y, name).items
    check_length(items, n_texts, name)
    if items and isinstance(items[0], str) != label_type.has_strings:
        raise ValueError(
            f"{name} contains labels of type {type(items[0]).__name__} such as "
            f"{abbreviate(items[0])}, but the classes are {', '.join(label_type.listed(repr))}; "
            "convert one of them to the type of the other"
        )
    numbers = label_type.numbers
    codes = np.fromiter((numbers.get(item, -1) for item in items), np.int32, len(items))
    unknown = np.flatnonzero(codes < 0)
    if strict and len(unknown):
        value = items[unknown[0]]
        raise ValueError(
            f"{describe_row(y, name, int(unknown[0]))} is {abbreviate(value)}, a class that was "
            f"not in the training labels; these were {', '.join(label_type.listed(repr))}"
            f"{label_type.describe_similar(value)}"
        )
    return codes


def check_length(values: Sized, n_texts: int, name: str) -> None:
    """Raise unless there is one value for each text."""
    if len(values) != n_texts:
        raise ValueError(f"there are {n_texts} texts and {len(values)} values of {name}")


def class_factors(
    class_weight: str | Mapping[Any, float] | None,
    label_type: LabelType,
    codes: npt.NDArray[np.int32],
) -> npt.NDArray[np.float64] | None:
    """Return the weight of each class.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        "balanced" gives every class the same total weight: n / (classes * count), where classes
        that no text has do not count. The keys of a
        dictionary are labels or their strings; the weight of other classes is 1.
    label_type : LabelType
    codes : int32 ndarray
        Class numbers of the texts.

    Returns
    -------
    float64 ndarray of shape (n_classes,), or None for equal weights
    """
    n_classes = len(label_type.classes)
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        counts = np.bincount(codes, minlength=n_classes)
        return len(codes) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    factors = np.full(n_classes, np.nan)
    for label, weight in class_weight.items():
        code = label_type.find(plain_label(label))
        if code < 0:
            raise ValueError(
                f"{spell('class_weight')} names {abbreviate(label)}, which is not a class of "
                + phrase(python="y", command="the data") + "; "
                f"the classes are {', '.join(label_type.listed(repr))}"
                f"{label_type.describe_similar(label)}"
            )
        if not np.isnan(factors[code]):
            raise ValueError(
                f"{spell('class_weight')} names the class "
                f"{label_type.classes.tolist()[code]!r} twice"
            )
        factors[code] = weight
    return np.where(np.isnan(factors), 1.0, factors)


def check_weights(
    sample_weight: npt.ArrayLike | None, n_texts: int
) -> npt.NDArray[np.float32] | None:
    """Return sample weights as float32, or None for equal weights."""
    if sample_weight is None:
        return None
    (given,) = in_memory_all(sample_weight=sample_weight)
    try:
        # Masked weights would count if the mask were lost.
        weights = np.ma.filled(np.ma.asarray(given, dtype=np.float64), np.nan)
    except Exception:  # each library has its own
        raise ValueError(
            f"sample_weight is a {type(sample_weight).__name__} that does not consist of numbers; "
            "pass one number for each text"
        ) from None
    if weights.ndim != 1:
        raise ValueError(f"sample_weight has shape {weights.shape}; pass one weight for each text")
    check_length(weights, n_texts, "sample_weight")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"sample_weight[{bad[0]}] is {weights[bad[0]]}; weights must be finite and not negative"
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for every text, so nothing can be learned")
    return weights.astype(np.float32)
