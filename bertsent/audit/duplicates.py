"""Exact search for near-duplicates: it finds every pair above the threshold.

Texts that are equal after HTML, case and white space are normalised count as one text. For all
others, similarity is the Jaccard index of their shingles (runs of three words): the number that
occur in both texts divided by the number that occur in either (Broder 1997, *On the resemblance and
containment of documents*). Only the rarest shingles of each text are used to find pairs, because
two sufficiently similar texts must share one of these (Chaudhuri et al. 2006, *A primitive operator
for similarity joins*). Common phrases therefore cost nothing.

Pairs of texts are as similar as the less similar of their two texts. Many pairs share a long first
text, and this says nothing about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

import numpy as np
import pandas as pd
from scipy import sparse

from bertsent.system import check_interrupts, checking_interrupts
from bertsent.texts import are_pairs, strip_html, take_apart

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text

Ints: TypeAlias = "npt.NDArray[np.int64]"
Floats: TypeAlias = "npt.NDArray[np.float64]"
Bools: TypeAlias = "npt.NDArray[np.bool_]"

# Half of the shingles are shared. Among 25,000 IMDB reviews, most pairs above this are one review,
# edited or extended, and most pairs below it are reviews of different films (docs/audit.md).
THRESHOLD = 0.5
_WORD = re.compile(r"\w+")
# Rows searched at once, and shingles compared at once; they take some ten megabytes.
_ROWS = 256
_SHINGLES = 1 << 21


class Similar(NamedTuple):
    """The most similar text and the group of each text; all arrays have shape (n_texts,).

    Attributes
    ----------
    match : ndarray of int64
        The most similar other `known` text, the first one if several tie; -1 if there is none.
    similarity : ndarray of float64
        Similarity to that text, from the threshold to 1; 0 if there is none.
    equal : ndarray of bool
        Whether the two are equal apart from HTML, case and white space.
    group : ndarray of int64
        Number of the group, from 0. Known texts that are similar, directly or through others,
        are in the same group. -1 for texts without a group.
    """

    match: Ints
    similarity: Floats
    equal: Bools
    group: Ints


def find_similar(
    texts: Sequence[Text], known: Bools | None = None, threshold: float = THRESHOLD
) -> Similar:
    """Find near-duplicates of all texts among the known texts.

    Memory grows with the number of texts, not with the number of pairs.

    Parameters
    ----------
    texts : list of str, or of pairs
    known : ndarray of bool, shape (n_texts,), optional
        The texts with which all texts are compared, for example the training texts. By default
        all texts.
    threshold : float, default=THRESHOLD
        Smallest similarity of near-duplicates, greater than 0 and at most 1.

    Returns
    -------
    Similar
    """
    known = np.ones(len(texts), dtype=bool) if known is None else known
    bare = [even_out(text) for text in texts]
    codes, distinct = pd.factorize(pd.Series(bare, dtype=object))
    first, second = _first_known(codes, known, len(distinct))
    best = _Best(len(distinct))
    group: Ints = np.arange(len(distinct))
    for one, other, similarity in similar_pairs(list(distinct), threshold):
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


def similar_pairs(
    texts: Sequence[Text], threshold: float
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Yield all pairs of different texts with at least this similarity, in batches.

    Parameters
    ----------
    texts : list of str, or of pairs
    threshold : float

    Yields
    ------
    first, second : ndarray of int64
        Numbers of the two texts; ``first`` is the smaller one.
    similarity : ndarray of float64
    """
    # Pairs are first compared by the shingles of both texts together. This finds more than is
    # wanted: what they have in common of all is at least the smaller one of the two shares.
    parts = [_shingle(side) for side in (take_apart(texts) if are_pairs(texts) else [texts])]
    shingles = parts[0] if len(parts) == 1 else _side_by_side(*parts)
    sizes = np.diff(shingles.indptr)
    rare = _rarest(shingles, sizes, threshold)
    columns = rare.T.tocsr()
    for begin in range(0, len(texts), _ROWS):
        check_interrupts()
        found = (rare[begin : begin + _ROWS] @ columns).tocoo()
        first, second = found.row.astype(np.int64) + begin, found.col.astype(np.int64)
        small, large = np.sort([sizes[first], sizes[second]], axis=0)
        apart = (first < second) & (small >= threshold * large)
        first, second = first[apart], second[apart]
        for part in _parts(sizes[first]):
            one, other = first[part], second[part]
            similarity = np.min([_jaccard(side, one, other) for side in parts], axis=0)
            enough = similarity >= threshold
            yield one[enough], other[enough], similarity[enough]


def _jaccard(shingles: Any, one: Ints, other: Ints) -> Floats:
    """Return the similarity of each of some texts to another one; two without words are equal."""
    sizes = np.diff(shingles.indptr)
    shared = np.asarray(shingles[one].multiply(shingles[other]).sum(axis=1)).ravel()
    either = sizes[one] + sizes[other] - shared
    return np.where(either > 0, shared / np.maximum(either, 1), 1.0)


def _side_by_side(first: Any, second: Any) -> Any:
    """Return the shingles of both texts of pairs as different ones, rarest columns first."""
    both = sparse.hstack([first, second], format="csr")
    counts = np.bincount(both.indices, minlength=both.shape[1])
    by_rarity = np.empty(len(counts), dtype=both.indices.dtype)
    by_rarity[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    both.indices = by_rarity[both.indices]
    both.has_sorted_indices = False
    both.sort_indices()
    return both


@overload
def even_out(text: str) -> str: ...


@overload
def even_out(text: Text) -> Text: ...


def even_out(text: Text) -> Text:
    """Return a text, or both texts of a pair, without HTML, in lower case, with single spaces."""
    if not isinstance(text, str):
        return even_out(text[0]), even_out(text[1])
    return " ".join(strip_html(text).casefold().split())


def _shingle(texts: Sequence[Any]) -> Any:
    """Return the shingles of each text as a sparse matrix of ones, rarest columns first.

    The beginning and the end of a text count as words, so that a text of one word has a shingle.
    """
    numbers: dict[str, int] = {}
    parts, lengths = [], []
    for text in checking_interrupts(texts):
        words = [numbers.setdefault(word, len(numbers) + 1) for word in _WORD.findall(text)]
        parts.append(np.array([0, *words, 0], dtype=np.int64))
        lengths.append(len(words))
    flat = np.concatenate(parts) if parts else np.zeros(2, dtype=np.int64)
    ends = np.cumsum(np.array(lengths, dtype=np.int64) + 2)
    begins_here = np.ones(len(flat) - 2, dtype=bool)
    for before_end in (2, 1):  # a shingle does not reach into the next text
        begins_here[ends[:-1] - before_end] = False
    # Different runs have different numbers as long as there are fewer than 2 million words.
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


def _rarest(shingles: Any, sizes: Ints, threshold: float) -> Any:
    """Keep the rarest shingles of each text, one of which any similar text must contain."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(rows)) - np.repeat(shingles.indptr[:-1], sizes)
    # Slightly less than the product, so that rounding cannot leave out too many shingles.
    wanted = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    shared = np.bincount(shingles.indices, minlength=shingles.shape[1]) > 1
    taken = (place < wanted[rows]) & shared[shingles.indices]
    ones = np.ones(int(taken.sum()), dtype=np.int32)
    return sparse.csr_matrix((ones, (rows[taken], shingles.indices[taken])), shape=shingles.shape)


def _parts(sizes: Ints) -> Iterator[slice]:
    """Yield slices of pairs whose first texts have a bounded number of shingles."""
    totals = np.cumsum(sizes, dtype=np.int64)
    begin = 0
    while begin < len(sizes):
        before = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, before + _SHINGLES, side="right")))
        yield slice(begin, end)
        begin = end


def _first_known(codes: Ints, known: Bools, n_bare: int) -> tuple[Ints, Ints]:
    """Return the first and the second known row of each distinct text, -1 if there is none."""
    rows = np.flatnonzero(known)
    rank = pd.Series(codes[rows]).groupby(codes[rows]).cumcount().to_numpy()
    found = []
    for number in (0, 1):
        of = np.full(n_bare, -1, dtype=np.int64)
        of[codes[rows[rank == number]]] = rows[rank == number]
        found.append(of)
    first, second = found
    return first, second


class _Best:
    """The most similar text of each text so far; ties go to the smallest number."""

    def __init__(self, n: int) -> None:
        self.similarity = np.zeros(n)
        self.match = np.full(n, -1, dtype=np.int64)

    def see(self, texts: Ints, others: Ints, similarity: Floats, allowed: Bools) -> None:
        texts, others, similarity = texts[allowed], others[allowed], similarity[allowed]
        order = np.lexsort((others, -similarity, texts))
        texts, at = np.unique(texts[order], return_index=True)
        others, similarity = others[order][at], similarity[order][at]
        own = self.similarity[texts]
        better = (similarity > own) | ((similarity == own) & (others < self.match[texts]))
        self.similarity[texts[better]] = similarity[better]
        self.match[texts[better]] = others[better]


def _join(group: Ints, one: Ints, other: Ints) -> Ints:
    """Merge the groups of each pair. The numbers of groups are arbitrary."""
    if not len(one):
        return group
    edges = sparse.coo_matrix(
        (np.ones(len(one), dtype=bool), (group[one], group[other])), shape=(len(group),) * 2
    )
    joined: Ints = sparse.csgraph.connected_components(edges, directed=False)[1][group]
    return joined


def _number(group: Ints, known: Bools) -> Ints:
    """Number the groups with at least two known texts by their first text; -1 for others."""
    sizes = np.bincount(group[known], minlength=len(group))
    inside = known & (sizes[group] > 1)
    found = np.full(len(group), -1, dtype=np.int64)
    found[inside] = pd.factorize(group[inside])[0]
    return found
