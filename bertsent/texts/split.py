"""Splitting a collection so that equal texts are on the same side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bertsent.texts.labels import check_weights
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts.types import Text


class Labelled(NamedTuple):
    """Some of the texts that `fit` was given, with what is learned from them.

    Attributes
    ----------
    texts : list of str, or of pairs
    targets : ndarray
        One row for each text.
    strata : ndarray
        Class of each text, for stratified choices.
    weights : ndarray of float32 or None
        None for equal weights.
    rows : ndarray of int or None
        Row of each text in X; None if the texts are not from X.
    """

    texts: list[Text]
    targets: npt.NDArray[Any]
    strata: npt.NDArray[Any]
    weights: npt.NDArray[np.float32] | None = None
    rows: npt.NDArray[np.int64] | None = None

    def take(self, rows: npt.NDArray[np.int64]) -> Labelled:
        """Return some of the rows; raise if none of them has any weight."""
        return Labelled(
            [self.texts[row] for row in rows], self.targets[rows], self.strata[rows],
            None if self.weights is None else check_weights(self.weights[rows], len(rows)),
            None if self.rows is None else self.rows[rows],
        )


def split_rows(
    texts: Iterable[Text], strata: npt.ArrayLike, test_size: float, seed: int | None
) -> tuple[npt.NDArray[np.bool_], int]:
    """Choose test rows: shuffled and stratified, with equal texts on the same side.

    Parameters
    ----------
    texts : sequence of str, or of pairs
    strata : sequence or ndarray of shape (n_texts, n_labels)
        Class of each text. The same fraction of each class is chosen, to the nearest row. A matrix
        has a value above 0 where a text has a label; about the same fraction of the texts with
        each label is chosen, by iterative stratification (Sechidis et al. 2011).
    test_size : float
        Fraction of the rows to choose, between 0 and 1.
    seed : int or None
        The same seed gives the same rows.

    Returns
    -------
    is_test : ndarray of bool
    n_repeats : int
        Number of rows whose text is that of an earlier row.
    """
    strata = np.asarray(strata)
    groups, _ = pd.factorize(pd.Series(list(texts), dtype=object))
    _, first_rows, sizes = np.unique(groups, return_index=True, return_counts=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sizes))
    # A text in several classes counts as one of the class of its first row.
    if strata.ndim == 2:
        in_test = np.zeros(len(sizes), dtype=bool)
        in_test[order] = _stratify_labels(strata[first_rows[order]] > 0, sizes[order], test_size)
    else:
        _, classes = np.unique(strata, return_inverse=True)
        in_test = _stratify_classes(classes, classes[first_rows], sizes, order, test_size)
    return in_test[groups], int(len(groups) - len(sizes))


def _stratify_classes(
    classes: npt.NDArray[np.int64],
    group_classes: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    test_size: float,
) -> npt.NDArray[np.bool_]:
    """Return which groups of equal texts are for testing.

    Parameters
    ----------
    classes : ndarray
        Number of the class of each row.
    group_classes, sizes : ndarray
        That of each group, and its number of rows.
    order : ndarray
        The groups in the order in which they are taken.
    test_size : float
    """
    in_test = np.zeros(len(sizes), dtype=bool)
    for code, target in enumerate(_class_targets(np.bincount(classes), test_size)):
        members = order[group_classes[order] == code]
        # Leave at least one text to train on; if there are two, test on at least one.
        room = min(max(target, 1), int(sizes[members].sum()) - 1)
        taken = 0
        for group in members:
            if taken + sizes[group] <= room:
                in_test[group] = True
                taken += sizes[group]
            if taken == room:
                break
    return in_test


def _stratify_labels(
    has: npt.NDArray[np.bool_], sizes: npt.NDArray[np.int64], test_size: float
) -> npt.NDArray[np.bool_]:
    """Return which groups of equal texts are for testing, by iterative stratification.

    The label that the fewest remaining groups have is shared out first: each of its groups goes to
    the part that lacks most texts of this label, or most texts at all (Sechidis et al. 2011, "On
    the stratification of multi-label data").

    Parameters
    ----------
    has : bool ndarray of shape (n_groups, n_labels)
        Which labels each group has, in the order in which groups are taken.
    sizes : ndarray of shape (n_groups,)
        Number of rows of each group.
    test_size : float
    """
    shares = np.array([1.0 - test_size, test_size])
    total = int(sizes.sum())
    # How many rows each part still lacks; at least one for testing, if there are two.
    wanted = shares * total
    wanted[1] = min(max(wanted[1], 1.0), total - 1.0)
    wanted[0] = total - wanted[1]
    of_label = np.outer(sizes @ has, shares)
    in_test = np.zeros(len(sizes), dtype=bool)
    is_left = np.ones(len(sizes), dtype=bool)
    remaining = has.sum(axis=0)

    def place(group: int, lacking: npt.NDArray[np.float64]) -> None:
        test = bool(lacking[1] > lacking[0] or lacking[1] == lacking[0] and wanted[1] > wanted[0])
        # Never all of them.
        in_test[group] = test and sizes[group] <= total - 1 - int(sizes[in_test].sum())
        part = int(in_test[group])
        wanted[part] -= sizes[group]
        of_label[has[group], part] -= sizes[group]
        is_left[group] = False
        remaining[has[group]] -= 1

    while remaining.any():
        label = int(np.where(remaining > 0, remaining, len(sizes) + 1).argmin())
        for group in np.flatnonzero(has[:, label] & is_left).tolist():
            place(group, of_label[label])
    for group in np.flatnonzero(is_left).tolist():
        place(group, wanted)
    if not in_test.any() and len(sizes) > 1:
        in_test[int(np.argmin(sizes))] = True
    return in_test


def hold_out(
    texts: Sequence[Text], strata: npt.ArrayLike, fraction: float, seed: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Choose validation rows as `split_rows` chooses test rows.

    Returns
    -------
    held_out, kept : ndarray of int
        Row numbers of the chosen texts and of the others, ascending.
    """
    chosen, _ = split_rows(texts, strata, fraction, seed)
    if not chosen.any():
        raise ValueError(
            f"{spell('validation_fraction', fraction)} of {len(texts)} texts holds out none; "
            + phrase(python="pass more texts, or X_val and y_val", command="use more texts")
        )
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def thin_out(labelled: Labelled, part: float, seed: int | None) -> Labelled:
    """Return about a fraction `part` of `Labelled` texts, chosen as `split_rows` chooses test rows.

    If this would leave none, all texts are returned.
    """
    chosen, _ = split_rows(labelled.texts, labelled.strata, part, seed)
    return labelled.take(np.flatnonzero(chosen)) if chosen.any() else labelled


def _class_targets(counts: npt.NDArray[np.int64], test_size: float) -> list[int]:
    """Return the number of test rows of each class; their sum is rounded to the nearest row."""
    exact = counts * test_size
    targets = np.floor(exact).astype(int)
    short = int(round(counts.sum() * test_size)) - targets.sum()
    largest_rest = np.argsort(-(exact - targets), kind="stable")
    targets[largest_rest[:short]] += 1
    found: list[int] = targets.tolist()
    return found
