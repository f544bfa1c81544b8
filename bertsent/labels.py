"""Class labels: checked, turned into class numbers, and back into what they were."""

from dataclasses import dataclass

import numpy as np

from bertsent.texts import is_missing


@dataclass(frozen=True)
class LabelType:
    """How the labels looked, so that predictions look the same.

    Parameters
    ----------
    classes : ndarray
        The labels, sorted.
    categories : ndarray or None
        All categories of a pandas categorical, in their order; None for other labels.
    ordered : bool
        Whether that categorical is ordered.
    """

    classes: np.ndarray
    categories: np.ndarray | None = None
    ordered: bool = False

    def decode(self, codes):
        """Labels of class numbers, as an array or as a pandas Categorical."""
        labels = self.classes[codes]
        if self.categories is None:
            return labels
        import pandas as pd

        return pd.Categorical(labels, categories=self.categories, ordered=self.ordered)

    def to_json(self):
        """Plain values from which `from_json` makes the same object."""

        def plain(values):
            if values is None:
                return None
            dtype = "object" if values.dtype == object else values.dtype.str
            return {"dtype": dtype, "values": values.tolist()}

        return {
            "classes": plain(self.classes),
            "categories": plain(self.categories),
            "ordered": self.ordered,
        }

    @classmethod
    def from_json(cls, data):
        """Undo `to_json`."""

        def array(entry):
            return None if entry is None else np.array(entry["values"], dtype=entry["dtype"])

        return cls(array(data["classes"]), array(data["categories"]), bool(data["ordered"]))


def check_labels(y, name="y"):
    """Check labels of any accepted kind.

    Parameters
    ----------
    y : list, Series, array, or pandas categorical
        One label a text: strings, booleans or whole numbers.
    name : str
        What the argument is called in errors.

    Returns
    -------
    values : ndarray
        The labels, of one kind.
    categories : ndarray or None
        The categories, if ``y`` is a pandas categorical.
    ordered : bool
        Whether these are ordered.
    """
    if isinstance(y, str | bytes | dict | set) or not hasattr(y, "__len__"):
        raise TypeError(f"{name} is a {type(y).__name__}; pass a list, Series or array of labels")
    if hasattr(y, "columns"):
        columns = list(y.columns)
        raise TypeError(f"{name} is a DataFrame with the columns {columns}; pass one column")
    categorical = getattr(y, "dtype", None)
    if not hasattr(categorical, "categories"):
        categorical = None
    values = _as_array(y, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; pass one label a text")
    if values.dtype.kind not in "biuU":
        for position, value in enumerate(values.tolist()):
            if is_missing(value):
                shown = "None" if value is None else "NaN"
                raise ValueError(
                    f"{name}[{position}] is {shown}; drop the rows that have no label"
                )
    values = _one_kind(values, name)
    if categorical is None:
        return values, None, False
    categories = _one_kind(np.asarray(categorical.categories), name)
    return values, categories, bool(categorical.ordered)


def _as_array(y, name):
    """Array of the labels, without NumPy turning ``[True, "a"]`` into two strings."""
    if hasattr(y, "dtype"):
        return np.asarray(y)
    items = y.to_pylist() if hasattr(y, "to_pylist") else list(y)
    if any(isinstance(item, list | tuple | np.ndarray) for item in items):
        raise ValueError(f"{name} holds sequences; pass one label a text")
    if all(isinstance(item, str) for item in items):
        return np.array(items, dtype=str)
    if all(isinstance(item, float) for item in items):
        return np.array(items, dtype=np.float64)
    values = np.empty(len(items), dtype=object)
    values[:] = items
    return values


def _one_kind(values, name):
    """Narrow an object array to the one kind that it holds; refuse a mixture."""
    if values.dtype.kind in "biuU":
        return values
    if values.dtype.kind == "f":
        if np.all(values == np.floor(values)):
            return values
        raise ValueError(
            f"{name} holds fractions such as {values[values != np.floor(values)][0]}; "
            "expected classes: strings, booleans or whole numbers"
        )
    items = values.tolist()
    if all(isinstance(item, str) for item in items):
        return values.astype(object)
    if all(isinstance(item, bool | np.bool_) for item in items):
        return values.astype(bool)
    if all(isinstance(item, int | np.integer) and not isinstance(item, bool) for item in items):
        return values.astype(np.int64)
    kinds = sorted({type(item).__name__ for item in items})
    raise ValueError(
        f"{name} holds labels of type {', '.join(kinds)}; "
        "expected strings, booleans or whole numbers, all of one type"
    )


def learn_labels(y, n_texts):
    """Classes of training labels and the class number of each text.

    Returns
    -------
    label_type : LabelType
    codes : int32 ndarray
    """
    values, categories, ordered = check_labels(y)
    check_length(values, n_texts, "y")
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class only ({classes.tolist()[0]!r}); a classifier needs at least two"
        )
    return LabelType(classes, categories, ordered), codes.astype(np.int32)


def encode_labels(y, label_type, n_texts, name="y_val"):
    """Class numbers of further labels; a label unknown in training is an error."""
    values, _, _ = check_labels(y, name)
    check_length(values, n_texts, name)
    known = {label: code for code, label in enumerate(label_type.classes.tolist())}
    codes = np.empty(n_texts, dtype=np.int32)
    for position, value in enumerate(values.tolist()):
        if value not in known:
            raise ValueError(
                f"{name}[{position}] is {value!r}, a class unknown in training; "
                f"known are {', '.join(map(repr, known))}"
            )
        codes[position] = known[value]
    return codes


def check_length(values, n_texts, name):
    """Raise if ``values`` is not one a text."""
    if len(values) != n_texts:
        raise ValueError(f"there are {n_texts} texts and {len(values)} values of {name}")


def class_factors(class_weight, label_type, codes):
    """What a text of each class counts.

    Parameters
    ----------
    class_weight : None, "balanced" or dict
        "balanced" gives every class the same share of the whole: n / (classes * count). In a
        dictionary, classes are named by the label or by its string; others count 1.
    label_type : LabelType
    codes : int32 ndarray
        Class numbers of the texts.

    Returns
    -------
    float64 ndarray of shape (n_classes,), or None if all count alike
    """
    n_classes = len(label_type.classes)
    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        counts = np.bincount(codes, minlength=n_classes)
        return len(codes) / (n_classes * counts)
    labels = label_type.classes.tolist()
    numbers = {str(label): code for code, label in enumerate(labels)}
    numbers |= {label: code for code, label in enumerate(labels)}
    factors = np.ones(n_classes)
    for label, weight in class_weight.items():
        if label not in numbers:
            raise ValueError(
                f"class_weight names {label!r}, which is no class of y; "
                f"these are {', '.join(map(repr, labels))}"
            )
        factors[numbers[label]] = weight
    return factors


def check_weights(sample_weight, n_texts):
    """Sample weights as float32, or None for equal weights."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim != 1:
        raise ValueError(f"sample_weight has shape {weights.shape}; pass one weight a text")
    check_length(weights, n_texts, "sample_weight")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"sample_weight[{bad[0]}] is {weights[bad[0]]}; weights must be finite and not negative"
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for every text; nothing can be learned")
    return weights.astype(np.float32)
