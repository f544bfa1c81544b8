"""Labels that are allowed, but probably mistakes."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.texts.columns import abbreviate

if TYPE_CHECKING:
    import numpy.typing as npt

# What remains of strings that mean that there is no label, as `astype(str)` makes them of NaN.
# Databases write \\N.
_NO_LABEL = {"", "nan", "<na>", "nat", "\\n"}
# Longer strings are no names of classes, and comparing very many of them would take seconds.
_LONGEST_NAME = 100
# With fewer texts, an example may well have a class for each.
_FEW_TEXTS = 20


def describe_doubts(classes: npt.NDArray[Any], n_texts: int) -> list[str]:
    """Return a line about each thing that is probably a mistake in training labels.

    Parameters
    ----------
    classes : ndarray
        The different labels.
    n_texts : int

    Returns
    -------
    list of str
    """
    lines = []
    labels = classes.tolist()
    alike: dict[str, list[str]] = {}
    for label in labels:
        if isinstance(label, str) and len(label) <= _LONGEST_NAME:
            alike.setdefault(normalize_label(label), []).append(label)
    for name, group in alike.items():
        if name in _NO_LABEL:
            lines.append(
                f"the class {group[0]!r} looks like a missing label; if it is one, leave out the "
                "texts that have it"
            )
        if len(group) > 1:
            lines.append(
                f"the classes {' and '.join(map(repr, group))} differ only in white space or case; "
                "if they are one class, spell it in one way"
            )
    if n_texts > _FEW_TEXTS and len(labels) > n_texts / 2:
        kind = "numbers of single texts, or quantities"
        if isinstance(labels[0], str) and not all(map(_is_number, labels)):
            is_long = np.mean([len(label) for label in labels]) > _LONGEST_NAME / 2
            kind = "texts" if is_long else "names of single texts"
        lines.append(
            f"there are {len(labels):,} classes for {n_texts:,} texts, such as "
            f"{abbreviate(labels[0])} and {abbreviate(labels[1])}; they look like {kind}, but a "
            "classifier learns from several texts of each class"
        )
    return lines


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def normalize_label(label: str) -> str:
    """Return what remains of a label without case, invisible characters and surplus white space."""
    if not label.isascii():
        label = "".join(
            character for character in unicodedata.normalize("NFKC", label)
            if unicodedata.category(character) != "Cf"
        )
    return " ".join(label.split()).casefold()
