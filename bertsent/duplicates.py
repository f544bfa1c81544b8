"""Texts that are nearly the same, found exactly: no pair above the threshold is missed.

Texts that are equal once HTML, case and white space are evened out are one text here. Of the
others, the similarity of two is the share of their shingles (runs of three words) that both have,
in those that either has (Broder 1997, *On the resemblance and containment of documents*). Pairs are
looked for by the rarest shingles of each text alone, of which two texts that are similar enough
must share one (Chaudhuri et al. 2006, *A primitive operator for similarity joins*), so that the
phrases that everybody uses cost nothing.
"""

import re
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from bertsent.texts import strip_html

# Half of the shingles shared. Among 25,000 film reviews most pairs above that are copies of one
# review, retouched or added to, and most below it are reviews of different films (docs/audit.md).
THRESHOLD = 0.5
_WORD = re.compile(r"\w+")
# Rows whose candidates are looked for at once, and shingles compared at once: some ten megabytes.
_ROWS = 256
_SHINGLES = 1 << 21


class Similar(NamedTuple):
    """What was found for each text.

    Attributes
    ----------
    match : ndarray of int64
        The most similar other text of those that are `known`, the first of equals; -1 for none.
    similarity : ndarray of float64
        To that text, from the threshold to 1; 0 for none.
    equal : ndarray of bool
        Whether the two are equal but for HTML, case and white space.
    group : ndarray of int64
        Known texts that are similar, directly or through others, have the same number, counted
        from 0; -1 for none.
    """

    match: np.ndarray
    similarity: np.ndarray
    equal: np.ndarray
    group: np.ndarray


def find_similar(texts, known=None, threshold=THRESHOLD):
    """Look for near-duplicates of texts among those that are known.

    Memory grows with the texts, not with the number of pairs.

    Parameters
    ----------
    texts : list of str
    known : ndarray of bool, optional
        Which of the texts others are compared with, such as those of training; by default all.
    threshold : float
        Least similarity, above 0 and up to 1.

    Returns
    -------
    Similar
    """
    known = np.ones(len(texts), dtype=bool) if known is None else known
    bare = [_even_out(text) for text in texts]
    codes, bare = pd.factorize(pd.Series(bare, dtype=object))
    first, second = _first_known(codes, known, len(bare))
    best = _Best(len(bare))
    group = np.arange(len(bare))
    for one, other, similarity in similar_pairs(list(bare), threshold):
        best.see(one, other, similarity, first[other] >= 0)
        best.see(other, one, similarity, first[one] >= 0)
        both = (first[one] >= 0) & (first[other] >= 0)
        group = _join(group, one[both], other[both])

    rows = np.arange(len(texts))
    twin = np.where(first[codes] == rows, second[codes], first[codes])
    near = best.match[codes]
    match = np.where(twin >= 0, twin, np.where(near >= 0, first[near], -1))
    similarity = np.where(twin >= 0, 1.0, best.similarity[codes])
    return Similar(match, similarity, twin >= 0, _number(group[codes], known))


def similar_pairs(texts, threshold):
    """All pairs of different texts that are similar enough, some at a time.

    Parameters
    ----------
    texts : list of str
    threshold : float

    Yields
    ------
    first, second : ndarray of int64
        Which texts; ``first`` is the smaller number.
    similarity : ndarray of float64
        Shared shingles over all of the two.
    """
    shingles = _shingle(texts)
    sizes = np.diff(shingles.indptr)
    rare = _rarest(shingles, sizes, threshold)
    columns = rare.T.tocsr()
    for begin in range(0, len(texts), _ROWS):
        found = (rare[begin : begin + _ROWS] @ columns).tocoo()
        first, second = found.row.astype(np.int64) + begin, found.col.astype(np.int64)
        small, large = np.sort([sizes[first], sizes[second]], axis=0)
        apart = (first < second) & (small >= threshold * large)
        first, second = first[apart], second[apart]
        for part in _parts(sizes[first]):
            one, other = first[part], second[part]
            shared = np.asarray(shingles[one].multiply(shingles[other]).sum(axis=1)).ravel()
            similarity = shared / (sizes[one] + sizes[other] - shared)
            enough = similarity >= threshold
            yield one[enough], other[enough], similarity[enough]


def _even_out(text):
    return " ".join(strip_html(text).casefold().split())


def _shingle(texts):
    """The shingles of each text, a sparse matrix of ones; its first columns are the rarest.

    Beginning and end of a text count as a word, so that a text of one word has a shingle.
    """
    numbers, flat, lengths = {}, [], []
    for text in texts:
        words = [numbers.setdefault(word, len(numbers) + 1) for word in _WORD.findall(text)]
        flat.append(np.array([0, *words, 0], dtype=np.int64))
        lengths.append(len(words))
    flat = np.concatenate(flat) if flat else np.zeros(2, dtype=np.int64)
    ends = np.cumsum(np.array(lengths, dtype=np.int64) + 2)
    begins_here = np.ones(len(flat) - 2, dtype=bool)
    for before_end in (2, 1):  # a shingle does not reach into the next text
        begins_here[ends[:-1] - before_end] = False
    # Different runs have different numbers as long as there are less than 2 million words.
    base = np.int64(len(numbers) + 1)
    runs = ((flat[:-2] * base + flat[1:-1]) * base + flat[2:])[begins_here]
    _, runs, counts = np.unique(runs, return_inverse=True, return_counts=True)
    by_rarity = np.empty(len(counts), dtype=np.int64)
    by_rarity[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    matrix = sparse.csr_matrix(
        (np.ones(len(runs), dtype=np.int32), by_rarity[runs], np.append(0, np.cumsum(lengths))),
        shape=(len(texts), len(counts)),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _rarest(shingles, sizes, threshold):
    """Of each text as many of the rarest as cannot all be missing in a text similar enough."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(rows)) - np.repeat(shingles.indptr[:-1], sizes)
    # A little less than the product, lest rounding make the number of those left out too large.
    wanted = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    shared = np.bincount(shingles.indices, minlength=shingles.shape[1]) > 1
    taken = (place < wanted[rows]) & shared[shingles.indices]
    ones = np.ones(int(taken.sum()), dtype=np.int32)
    return sparse.csr_matrix((ones, (rows[taken], shingles.indices[taken])), shape=shingles.shape)


def _parts(sizes):
    """Slices of pairs whose first texts have a bounded number of shingles."""
    totals = np.cumsum(sizes, dtype=np.int64)
    begin = 0
    while begin < len(sizes):
        before = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, before + _SHINGLES, side="right")))
        yield slice(begin, end)
        begin = end


def _first_known(codes, known, n_bare):
    """The first and the second known row of each text, -1 where there is none."""
    rows = np.flatnonzero(known)
    rank = pd.Series(codes[rows]).groupby(codes[rows]).cumcount().to_numpy()
    found = []
    for number in (0, 1):
        of = np.full(n_bare, -1, dtype=np.int64)
        of[codes[rows[rank == number]]] = rows[rank == number]
        found.append(of)
    return found


class _Best:
    """The most similar text of each so far; of equals that with the smallest number."""

    def __init__(self, n):
        self.similarity = np.zeros(n)
        self.match = np.full(n, -1, dtype=np.int64)

    def see(self, texts, others, similarity, allowed):
        texts, others, similarity = texts[allowed], others[allowed], similarity[allowed]
        order = np.lexsort((others, -similarity, texts))
        texts, at = np.unique(texts[order], return_index=True)
        others, similarity = others[order][at], similarity[order][at]
        own = self.similarity[texts]
        better = (similarity > own) | ((similarity == own) & (others < self.match[texts]))
        self.similarity[texts[better]] = similarity[better]
        self.match[texts[better]] = others[better]


def _join(group, one, other):
    """Groups with some more pairs in them; each is known by any number."""
    if not len(one):
        return group
    edges = sparse.coo_matrix(
        (np.ones(len(one), dtype=bool), (group[one], group[other])), shape=(len(group),) * 2
    )
    return sparse.csgraph.connected_components(edges, directed=False)[1][group]


def _number(group, known):
    """Number the groups that have two known texts, by their first ones; -1 for all others."""
    sizes = np.bincount(group[known], minlength=len(group))
    inside = known & (sizes[group] > 1)
    found = np.full(len(group), -1, dtype=np.int64)
    found[inside] = pd.factorize(group[inside])[0]
    return found
