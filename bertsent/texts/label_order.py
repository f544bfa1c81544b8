"""The order of classes, from the lowest to the highest: natural, of categories, or given."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.texts.columns import abbreviate, describe_row
from bertsent.texts.label_check import check_labels, plain_label
from bertsent.texts.labels import LabelType, check_length, read_number
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts.label_check import CheckedLabels


def learn_ordered_labels(
    y: Any, n_texts: int, name: str = "y", order: Sequence[Any] | None = None
) -> tuple[LabelType, npt.NDArray[np.int32]]:
    """Return the classes of training labels in their order, and the rank of each text.

    Parameters
    ----------
    y, n_texts, name
        As for `learn_labels`.
    order : sequence or None, default=None
        All classes, from the lowest to the highest. None means the order of the categories of an
        ordered categorical, or that of the numbers or truth values that occur.

    Returns
    -------
    label_type : LabelType
        Its classes are in order. All of `order`, or all categories, are classes, also if no text
        has them.
    codes : int32 ndarray

    Raises
    ------
    TypeError, ValueError
        `y` is not valid or has only one class, strings have no order, or `order` does not fit.
    """
    checked = check_labels(y, name)
    items = checked.items
    check_length(items, n_texts, name)
    classes = _ordered_classes(checked, name, order)
    numbers = {label: code for code, label in enumerate(classes)}
    for position, item in enumerate(items):
        if item not in numbers:
            raise ValueError(
                f"{describe_row(y, name, position)} is {abbreviate(item)}, which is not in "
                f"{spell('class_order')}; add it there, or leave out the text"
            )
    present = set(items)
    if len(present) < 2:
        only = f" ({abbreviate(items[0])})" if items else ""
        raise ValueError(
            f"{name} contains {'one class only' if items else 'no class'}{only}; a classifier "
            "needs at least two"
        )
    codes = np.fromiter(map(numbers.__getitem__, items), np.int32, len(items))
    return LabelType(
        _as_array(classes, checked.dtype), checked.categories, checked.ordered,
        checked.category_dtype,
    ), codes


def _as_array(classes: list[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the classes as an array, if possible in the type of the labels."""
    with contextlib.suppress(OverflowError):
        labels = np.array(classes, dtype)
        if labels.tolist() == classes:
            return labels
    # A class that does not occur is wider.
    return np.array(classes, object if isinstance(classes[0], str) else None)


def _ordered_classes(
    checked: CheckedLabels, name: str, order: Sequence[Any] | None
) -> list[Any]:
    """Return all classes in order."""
    known = None if checked.categories is None else checked.categories.tolist()
    categories = known if checked.ordered else None
    if order is not None:
        given = _as_labels(order, checked)
        for label in given:
            if known is not None and label not in known:
                # Predictions have the type of y, which could not represent it.
                raise ValueError(
                    f"{spell('class_order')} has {abbreviate(label)}, which is not a category of "
                    f"{name} ({_listed(known)}); add it there (add_categories), or leave it out"
                )
        common = None if categories is None else [label for label in categories if label in given]
        if common is not None and common != [label for label in given if label in common]:
            raise ValueError(
                f"{spell('class_order')} is {_listed(given)}, but the categories of {name} are "
                f"ordered otherwise: {_listed(categories or [])}; leave out one of them"
            )
        return given
    if categories is not None:
        return list(categories)
    classes = sorted(set(checked.items))
    if classes and isinstance(classes[0], float):
        return [label + 0.0 for label in classes]  # so that there is no -0.0
    if classes and isinstance(classes[0], str):
        raise ValueError(
            f"{spell('ordinal', True)} needs the order of the classes, but the labels of {name} "
            f"are strings ({_listed(classes)}); pass {_example(classes)}"
            + phrase(python=", or an ordered pandas Categorical", command="")
            + ", from the lowest to the highest"
        )
    return classes


def _as_labels(order: Sequence[Any], checked: CheckedLabels) -> list[Any]:
    """Return the given order in the type of the labels."""
    kind = type(checked.items[0]) if checked.items else str
    found = []
    for entry in order:
        label = _convert(plain_label(entry), kind)
        if label is None:
            raise ValueError(
                f"{spell('class_order')} has {abbreviate(entry)}, but the labels are of type "
                f"{kind.__name__}, such as {abbreviate(checked.items[0])}; give the classes as "
                "they are in the data"
            )
        if label in found:
            raise ValueError(f"{spell('class_order')} has the class {abbreviate(label)} twice")
        found.append(label)
    return found


def _convert(entry: Any, kind: type) -> Any:
    """Return a class as a label of a type, or None if it is none."""
    if kind is str:
        return entry if isinstance(entry, str) else str(entry)
    if kind is bool and str(entry).lower() not in ("true", "false"):
        return None
    number = read_number(entry) if isinstance(entry, str | bool | int | float) else None
    return None if number is None else kind(number)


def _listed(labels: Sequence[Any]) -> str:
    shown = ", ".join(map(abbreviate, labels[:5]))
    return f"{shown} and {len(labels) - 5} more" if len(labels) > 5 else shown


def _example(classes: list[str]) -> str:
    shown = classes[:3]
    more = len(classes) > 3
    listed = phrase(
        python=f"class_order={[*shown, '...'] if more else shown!r}",
        command=f"--class-order {','.join([*shown, '...'] if more else shown)}",
    )
    return f"it as {listed}"
