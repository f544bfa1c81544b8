"""The audit of training data: `BertClassifier.audit`.

One table holds label errors, near-duplicates and leaks, so that it can be sorted, filtered, joined
and written like any other. The column ``kind`` distinguishes the three.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from bertsent.audit.duplicates import THRESHOLD, find_similar
from bertsent.audit.label_errors import Evidence, suspect
from bertsent.audit.word_model import cross_validate
from bertsent.system import checking_interrupts
from bertsent.texts import (
    are_pairs,
    as_single,
    check_alike,
    check_texts,
    hash_texts,
    row_labels,
    strip_texts,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.audit.duplicates import Similar
    from bertsent.texts import Labels, Text, Texts
    from bertsent.training import ExampleHistory

Ints: TypeAlias = "npt.NDArray[np.integer]"
Floats: TypeAlias = "npt.NDArray[np.floating]"

_NONE = np.array([None], dtype=object)

COLUMNS = [
    "kind", "part", "row", "label", "suggested", "score", "match", "match_label", "disagree",
    "group", "why",
]


def audit(
    history: ExampleHistory | None,
    X: Texts | None = None,
    X_test: Texts | None = None,
    y_test: Labels | None = None,
    threshold: float = THRESHOLD,
    *,
    strip: bool = False,
) -> pd.DataFrame:
    """See `BertClassifier.audit`.

    Parameters
    ----------
    history : ExampleHistory or None
        History of the training texts.
    X, X_test, y_test, threshold
        As in `BertClassifier.audit`.
    strip : bool
        Whether the classifier removes HTML from its texts.

    Returns
    -------
    DataFrame
    """
    if history is None:
        raise ValueError(
            "no history of the training texts was recorded; fit with track_examples=True first"
        )
    if "margin" not in history.objective.recorded:
        raise ValueError("the audit judges class labels, but this model has not learned any")
    _check_threshold(threshold)
    if X is None and X_test is not None:
        raise ValueError("X_test is compared with the training texts; pass them too, as X")
    if X_test is None and y_test is not None:
        raise ValueError("y_test needs X_test, the texts with these labels")
    texts = [] if X is None else check_texts(X, "X", strip=strip)
    side = _Sides(history, X, texts)
    if X_test is not None:
        test = check_texts(X_test, "X_test", strip=strip)
        check_alike(test, "X_test", are_pairs(texts))
        side.add_test(X_test, test, y_test)
    similar = None
    if X is not None:
        similar = find_similar(side.texts, side.part == "train", threshold)
    frames = [_labels(side, history, similar)]
    if similar is not None:
        frames += [_duplicates(side, similar), _leaks(side, similar)]
    return side.finish(pd.concat(frames, ignore_index=True))


def _check_threshold(threshold: float) -> None:
    real = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool | np.bool_)
    if not real or not 0 < threshold <= 1:
        raise ValueError(
            f"threshold={threshold!r} is not allowed; expected a number above 0 and up to 1, the "
            "share of runs of three words that near-duplicates have in common"
        )


class _Sides:
    """The texts given to `fit`, followed by the test texts.

    Attributes
    ----------
    texts : list of str, or of pairs
        Empty if there is no X.
    names : ndarray of object
        Index labels of the rows.
    part : ndarray of str
        "train", "validation" (held out by `fit`) or "test".
    codes : ndarray of int64
        Class numbers; -1 without a label.
    """

    def __init__(self, history: ExampleHistory, X: Texts | None, texts: list[Text]) -> None:
        n = len(history.targets)
        self.objective = history.objective
        self.part: npt.NDArray[Any] = np.full(n, "validation", dtype=object)
        self.part[history.trained] = "train"
        self.codes: Ints = history.targets.astype(np.int64)
        self.texts = texts
        if X is not None:
            _check_same(texts, history)
        self.names: npt.NDArray[Any] = _names(X, n)

    def add_test(self, X_test: Texts, texts: list[Text], y_test: Labels | None) -> None:
        """Append the test texts, with or without labels."""
        codes: Ints = np.full(len(texts), -1)
        if y_test is not None:
            codes = self.objective.encode(y_test, len(texts), "y_test")
        self.texts = self.texts + texts
        self.part = np.append(self.part, np.full(len(texts), "test", dtype=object))
        self.codes = np.append(self.codes, codes)
        self.names = np.append(self.names, _names(X_test, len(texts)))

    def labels(self, codes: Ints) -> npt.NDArray[Any]:
        """Return the labels of class numbers; None for -1."""
        assert self.objective.classes is not None
        labels: npt.NDArray[Any] = np.append(self.objective.classes.astype(object), _NONE)[codes]
        return labels

    def finish(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the table with labels instead of class numbers, and index labels of rows."""
        row, match = frame["row"].to_numpy(), frame["match"].to_numpy()
        names = np.append(self.names, _NONE)
        frame["part"] = self.part[row]
        frame["label"] = self.labels(self.codes[row])
        frame["suggested"] = self.labels(frame["suggested"].to_numpy())
        frame["match_label"] = self.labels(np.append(self.codes, -1)[match])
        frame["row"], frame["match"] = names[row], names[match]
        frame["match"] = frame["match"].convert_dtypes()
        frame["group"] = frame["group"].astype("Int64").where(frame["group"] >= 0)
        return frame[COLUMNS].infer_objects()


def _names(X: Texts | None, n: int) -> npt.NDArray[Any]:
    """Return the index of pandas data, or row numbers for other X."""
    index = row_labels(X)
    return np.fromiter(range(n) if index is None else index, dtype=object, count=n)


def _check_same(texts: list[Text], history: ExampleHistory) -> None:
    """Raise unless these are the texts that `fit` was given."""
    if len(texts) != len(history.targets):
        raise ValueError(
            f"X has {len(texts)} texts, but fit was given {len(history.targets)}; pass the same "
            "texts in the same order"
        )
    differs = np.flatnonzero(hash_texts(checking_interrupts(texts)) != history.hashes)
    if len(differs):
        raise ValueError(
            f"X is not what fit was given: row {differs[0]} differs ({len(differs)} of "
            f"{len(texts)} in all); pass the same texts in the same order"
        )


def _frame(
    kind: str,
    rows: Ints,
    score: Floats,
    match: Ints,
    disagree: npt.NDArray[np.bool_],
    group: Ints | int,
    why: list[str],
    suggested: Ints | int = -1,
) -> pd.DataFrame:
    return pd.DataFrame({
        "kind": kind, "row": rows, "suggested": suggested, "score": score, "match": match,
        "disagree": disagree, "group": group, "why": why,
    })


def _labels(
    side: _Sides, history: ExampleHistory, similar: Similar | None
) -> pd.DataFrame:
    """Return one row for each training text, the most suspicious labels first."""
    rows = np.sort(history.trained)
    evidence = Evidence.of_training(history, rows)
    why = _describe_dynamics(evidence, side.labels(evidence.labels))
    if similar is not None:
        texts = as_single(strip_texts(side.texts[row] for row in checking_interrupts(rows)))
        by_words = cross_validate(texts, evidence.labels)
        if by_words is not None:
            evidence = evidence.beside(by_words)
            why = [
                f"{text}, and by words alone {own:.2f}"
                for text, own in zip(why, evidence.probability[:, -1], strict=True)
            ]
    score, other = suspect(evidence)
    match: Ints = np.full(len(rows), -1)
    group = match
    disagree: npt.NDArray[np.bool_] = np.zeros(len(rows), dtype=bool)
    if similar is not None:
        match, group = similar.match[rows], similar.group[rows]
        share, likeliest = _contradiction(side.codes[rows], group)
        disagree = share > 0
        share = share * similar.similarity[rows]
        # Of texts that say the same with different labels, some are wrong whatever was learned.
        worse = (share > 0) & ~(share <= score)
        score, other = np.where(worse, share, score), np.where(worse, likeliest, other)
        why = [
            f"{text}; near-duplicates have another label (group {number})" if contradicted else text
            for text, number, contradicted in zip(why, group, disagree, strict=True)
        ]
    suggested = np.where(score > 0.5, other, side.codes[rows])
    frame = _frame("label", rows, score, match, disagree, group, why, suggested)
    return frame.sort_values("score", ascending=False, kind="stable", na_position="last")


def _describe_dynamics(evidence: Evidence, names: npt.NDArray[Any]) -> list[str]:
    """Describe what training saw of texts whose labels have these names."""
    seen = evidence.other >= 0
    against = (seen & (evidence.margin < 0)).sum(axis=1)
    total = np.where(seen, evidence.probability, 0.0).sum(axis=1)
    return [
        f"another label was likelier in {wrong} of {n} epochs, that of {name} "
        f"was {mass / n:.2f} likely" if n else "was not trained on: its weight is 0"
        for wrong, n, name, mass in zip(against, seen.sum(axis=1), names, total, strict=True)
    ]


def _contradiction(codes: Ints, group: Ints) -> tuple[Floats, Ints]:
    """Return the fraction of each text's group that has another label, and the most frequent one.

    Returns
    -------
    share : ndarray of float64
        0 without a group.
    likeliest : ndarray of int64
        -1 without another label.
    """
    share, likeliest = np.zeros(len(codes)), np.full(len(codes), -1)
    inside = np.flatnonzero(group >= 0)
    if not len(inside):
        return share, likeliest
    counts = pd.crosstab(group[inside], codes[inside])
    found = counts.index.get_indexer(pd.Index(group[inside]))
    own = counts.columns.get_indexer(pd.Index(codes[inside]))
    each = counts.to_numpy()[found]
    total = each.sum(axis=1)
    each[np.arange(len(inside)), own] = 0
    share[inside] = each.sum(axis=1) / total
    classes = counts.columns.to_numpy()[each.argmax(axis=1)]
    likeliest[inside] = np.where(each.any(axis=1), classes, -1)
    return share, likeliest


def _duplicates(side: _Sides, similar: Similar) -> pd.DataFrame:
    """Return the training texts that have near-duplicates, contradicting groups first."""
    rows = np.flatnonzero(similar.group >= 0)
    group, score = similar.group[rows], similar.similarity[rows]
    disagree = _contradiction(side.codes[rows], group)[0] > 0
    frame = _frame(
        "duplicate", rows, score, similar.match[rows], disagree, group,
        _describe_similarity(side, similar, rows),
    )
    frame["best"] = frame.groupby("group")["score"].transform("max")
    frame = frame.sort_values(
        ["disagree", "best", "group", "row"], ascending=[False, False, True, True]
    )
    return frame.drop(columns="best")


def _leaks(side: _Sides, similar: Similar) -> pd.DataFrame:
    """Return the held-out texts that have a near-duplicate among the training texts."""
    rows = np.flatnonzero((side.part != "train") & (similar.match >= 0))
    match = similar.match[rows]
    codes, others = side.codes[rows], side.codes[match]
    frame = _frame(
        "leak", rows, similar.similarity[rows], match, (codes >= 0) & (codes != others), -1,
        _describe_similarity(side, similar, rows),
    )
    return frame.sort_values("score", ascending=False, kind="stable")


def _describe_similarity(side: _Sides, similar: Similar, rows: Ints) -> list[str]:
    """Describe how similar these rows are to their matches."""
    found = zip(
        similar.equal[rows], similar.similarity[rows], side.names[similar.match[rows]], strict=True
    )
    return [
        f"equal to training text {name} but for HTML, case and white space" if equal
        else f"shares {similarity:.0%} of all runs of three words with training text {name}"
        for equal, similarity, name in found
    ]
