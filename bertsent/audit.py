"""What may be wrong with the data of a classifier: `BertClassifier.audit`.

One table for labels, near-duplicates and leaks, so that it is sorted, filtered, joined and
written like any other; the column ``kind`` tells the three apart.
"""

import numbers

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from bertsent.duplicates import THRESHOLD, find_similar
from bertsent.label_errors import Evidence, suspect
from bertsent.labels import encode_labels
from bertsent.texts import hash_texts, strip_html
from bertsent.word_model import cross_validate

COLUMNS = [
    "kind", "part", "row", "label", "suggested", "score", "match", "match_label", "disagree",
    "group", "why",
]


def audit(classifier, X=None, X_test=None, y_test=None, threshold=THRESHOLD):
    """See `BertClassifier.audit`."""
    check_is_fitted(classifier)
    history = classifier._examples
    if history is None:
        raise ValueError(
            "nothing was kept of the training texts; fit with track_examples=True and audit then"
        )
    _check_threshold(threshold)
    if X is None and X_test is not None:
        raise ValueError("X_test is compared with the texts of training; pass them too, as X")
    if X_test is None and y_test is not None:
        raise ValueError("y_test needs X_test, the texts of these labels")
    side = _Sides(classifier, history, X, X_test, y_test)
    similar = None
    if X is not None:
        similar = find_similar(side.texts, side.part == "train", threshold)
    frames = [_labels(side, history, similar)]
    if similar is not None:
        frames += [_duplicates(side, similar), _leaks(side, similar)]
    return side.finish(pd.concat(frames, ignore_index=True))


def _check_threshold(threshold):
    real = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool | np.bool_)
    if not real or not 0 < threshold <= 1:
        raise ValueError(
            f"threshold={threshold!r} is not allowed; expected a number above 0 and up to 1, the "
            "share of runs of three words that near-duplicates have in common"
        )


class _Sides:
    """All texts in one row: those given to `fit`, then those of the test.

    Attributes
    ----------
    texts : list of str
        Empty if there is no X.
    names : ndarray of object
        What a user calls the rows.
    part : ndarray of str
        "train", "validation" (held out by `fit`) or "test".
    codes : ndarray of int64
        Class numbers; -1 where there is no label.
    """

    def __init__(self, classifier, history, X, X_test, y_test):
        n = len(history.labels)
        self.classifier = classifier
        self.part = np.full(n, "validation", dtype=object)
        self.part[history.trained] = "train"
        self.codes = history.labels.astype(np.int64)
        self.texts, self.names = [], _names(X, n)
        if X is not None:
            self.texts = classifier._texts(X, "X")
            _check_same(self.texts, history)
        if X_test is not None:
            self._add_test(X_test, y_test)

    def _add_test(self, X_test, y_test):
        texts = self.classifier._texts(X_test, "X_test")
        codes = np.full(len(texts), -1)
        if y_test is not None:
            codes = encode_labels(y_test, self.classifier._label_type, len(texts), "y_test")
        self.texts = self.texts + texts
        self.part = np.append(self.part, np.full(len(texts), "test", dtype=object))
        self.codes = np.append(self.codes, codes)
        self.names = np.append(self.names, _names(X_test, len(texts)))

    def labels(self, codes):
        """Labels of class numbers; None for -1."""
        return np.append(self.classifier.classes_.astype(object), [None])[codes]

    def finish(self, frame):
        """The table as a user sees it: labels for class numbers, index labels for rows."""
        row, match = frame["row"].to_numpy(), frame["match"].to_numpy()
        names = np.append(self.names, [None])
        frame["part"] = self.part[row]
        frame["label"] = self.labels(self.codes[row])
        frame["suggested"] = self.labels(frame["suggested"].to_numpy())
        frame["match_label"] = self.labels(np.append(self.codes, -1)[match])
        frame["row"], frame["match"] = names[row], names[match]
        frame["match"] = frame["match"].convert_dtypes()
        frame["group"] = frame["group"].astype("Int64").where(frame["group"] >= 0)
        return frame[COLUMNS].infer_objects()


def _names(X, n):
    """What the rows are called: by the index of a Series, else by their number."""
    return np.fromiter(X.index if isinstance(X, pd.Series) else range(n), dtype=object, count=n)


def _check_same(texts, history):
    """Raise unless these are the texts that `fit` was given."""
    if len(texts) != len(history.labels):
        raise ValueError(
            f"X has {len(texts)} texts, but fit was given {len(history.labels)}; pass the same "
            "texts in the same order"
        )
    differs = np.flatnonzero(hash_texts(texts) != history.hashes)
    if len(differs):
        raise ValueError(
            f"X is not what fit was given: row {differs[0]} differs ({len(differs)} of "
            f"{len(texts)} in all); pass the same texts in the same order"
        )


def _frame(kind, rows, score, match, disagree, group, why, suggested=-1):
    return pd.DataFrame({
        "kind": kind, "row": rows, "suggested": suggested, "score": score, "match": match,
        "disagree": disagree, "group": group, "why": why,
    })


def _labels(side, history, similar):
    """All labels that were trained on, the likeliest wrong ones first."""
    rows = np.sort(history.trained)
    evidence = Evidence.of_training(history, rows)
    why = _describe_dynamics(evidence, side.labels(evidence.labels))
    if similar is not None:
        texts = [strip_html(side.texts[row]) for row in rows]
        by_words = cross_validate(texts, evidence.labels)
        if by_words is not None:
            evidence = evidence.beside(by_words)
            why = [
                f"{text}, and by words alone {own:.2f}"
                for text, own in zip(why, evidence.probability[:, -1], strict=True)
            ]
    score, other = suspect(evidence)
    match = group = np.full(len(rows), -1)
    disagree = np.zeros(len(rows), dtype=bool)
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


def _describe_dynamics(evidence, names):
    """In words what training saw of texts with labels of these names."""
    seen = evidence.other >= 0
    against = (seen & (evidence.margin < 0)).sum(axis=1)
    total = np.where(seen, evidence.probability, 0.0).sum(axis=1)
    return [
        f"another label was likelier in {wrong} of {n} epochs, that of {name} "
        f"was {mass / n:.2f} likely" if n else "was not trained on: its weight is 0"
        for wrong, n, name, mass in zip(against, seen.sum(axis=1), names, total, strict=True)
    ]


def _contradiction(codes, group):
    """What part of each text's group has another label, and which of these is most frequent.

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
    found, own = counts.index.get_indexer(group[inside]), counts.columns.get_indexer(codes[inside])
    each = counts.to_numpy()[found]
    total = each.sum(axis=1)
    each[np.arange(len(inside)), own] = 0
    share[inside] = each.sum(axis=1) / total
    classes = counts.columns.to_numpy()[each.argmax(axis=1)]
    likeliest[inside] = np.where(each.any(axis=1), classes, -1)
    return share, likeliest


def _duplicates(side, similar):
    """Training texts that have near-duplicates, group by group; contradictions first."""
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


def _leaks(side, similar):
    """Held-out texts that have a near-duplicate among those of training."""
    rows = np.flatnonzero((side.part != "train") & (similar.match >= 0))
    match = similar.match[rows]
    codes, others = side.codes[rows], side.codes[match]
    frame = _frame(
        "leak", rows, similar.similarity[rows], match, (codes >= 0) & (codes != others), -1,
        _describe_similarity(side, similar, rows),
    )
    return frame.sort_values("score", ascending=False, kind="stable")


def _describe_similarity(side, similar, rows):
    """In words how near these rows come to their matches."""
    found = zip(
        similar.equal[rows], similar.similarity[rows], side.names[similar.match[rows]], strict=True
    )
    return [
        f"equal to training text {name} but for HTML, case and white space" if equal
        else f"shares {similarity:.0%} of all runs of three words with training text {name}"
        for equal, similarity, name in found
    ]
