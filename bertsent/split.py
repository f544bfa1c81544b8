"""Splitting a collection so that no text stands on both sides."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from bertsent.labels import check_weights


class Labelled(NamedTuple):
    """Some of the texts that were given.

    Attributes
    ----------
    texts : list of str
    codes : ndarray of int32
        Class numbers.
    weights : ndarray of float32 or None
    rows : ndarray of int or None
        Which ones; None for texts of another origin.
    """

    texts: list
    codes: np.ndarray
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None

    def take(self, rows):
        """Some of these; an error if none of them has any weight."""
        return Labelled(
            [self.texts[row] for row in rows], self.codes[rows],
            None if self.weights is None else check_weights(self.weights[rows], len(rows)),
            self.rows[rows],
        )


def split_rows(texts, labels, test_size, seed):
    """Choose test rows: shuffled, stratified, seeded, equal texts together.

    Parameters
    ----------
    texts : sequence of str
    labels : sequence
        One label a text. Each class gives the same part of its rows, to the nearest row.
    test_size : float
        Part of the rows that are tested on, between 0 and 1.
    seed : int or None
        The same seed gives the same rows.

    Returns
    -------
    is_test : ndarray of bool
    n_repeats : int
        Rows that repeat the text of an earlier row.
    """
    _, classes = np.unique(np.asarray(labels), return_inverse=True)
    groups, _ = pd.factorize(pd.Series(list(texts), dtype=object))
    _, first_rows, sizes = np.unique(groups, return_index=True, return_counts=True)
    # A text that stands there with several labels counts with that of its first row.
    group_classes = classes[first_rows]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sizes))
    in_test = np.zeros(len(sizes), dtype=bool)
    for code, target in enumerate(_class_targets(np.bincount(classes), test_size)):
        members = order[group_classes[order] == code]
        # Always leave one text to train on, and test on one wherever there are two.
        room = min(max(target, 1), int(sizes[members].sum()) - 1)
        taken = 0
        for group in members:
            if taken + sizes[group] <= room:
                in_test[group] = True
                taken += sizes[group]
            if taken == room:
                break
    return in_test[groups], int(len(groups) - len(sizes))


def hold_out(texts, codes, fraction, seed):
    """Choose validation rows as `split_rows` chooses test rows.

    Returns
    -------
    held_out, kept : ndarray of int
        Their row numbers and those of all others, ascending.
    """
    chosen, _ = split_rows(texts, codes, fraction, seed)
    if not chosen.any():
        raise ValueError(
            f"validation_fraction={fraction} of {len(texts)} texts holds out none; "
            "pass more texts, or X_val and y_val"
        )
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def thin_out(labelled, part, seed):
    """Choose about such a part of `Labelled` texts, as `split_rows` chooses test rows.

    All stay where there is nothing to choose from.
    """
    chosen, _ = split_rows(labelled.texts, labelled.codes, part, seed)
    return labelled.take(np.flatnonzero(chosen)) if chosen.any() else labelled


def _class_targets(counts, test_size):
    """Test rows of each class; they add up to the nearest whole part of all rows."""
    exact = counts * test_size
    targets = np.floor(exact).astype(int)
    short = int(round(counts.sum() * test_size)) - targets.sum()
    largest_rest = np.argsort(-(exact - targets), kind="stable")
    targets[largest_rest[:short]] += 1
    return targets.tolist()
