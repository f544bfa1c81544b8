"""Choose texts to label: the most uncertain ones, and of these such that differ.

A batch of the most uncertain texts is often many times the same case. So k-means divides a larger
number of uncertain texts into as many clusters as labels are wanted, and the text next to each
centre is chosen (Zhdanov 2019, *Diverse mini-batch active learning*). Texts count in a centre by
their uncertainty. Without a model there is no uncertainty, and the same is done with all texts.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from bertsent.audit import even_out, find_similar
from bertsent.model import normalize
from bertsent.system import check_interrupts, checking_interrupts, interrupt_at_once
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text

Ints: TypeAlias = "npt.NDArray[np.int64]"
Floats: TypeAlias = "npt.NDArray[np.floating]"
Bools: TypeAlias = "npt.NDArray[np.bool_]"

# Texts among which k-means chooses at most. More would take long, and a random sample of this size
# contains every kind of text that is worth one of a few hundred labels.
MOST_TEXTS = 20_000
# On IMDB, centres hardly move after some ten iterations.
_ITERATIONS = 50


class Choice(NamedTuple):
    """Texts to label; both arrays have shape (n_chosen,).

    Attributes
    ----------
    rows : ndarray of int64
        Their numbers, those to label first in front.
    represents : ndarray of int64
        Number of texts in the cluster of each, itself included.
    """

    rows: Ints
    represents: Ints


def check_request(n_texts: int, n: object, candidates: object, threshold: object) -> None:
    """Raise unless so many texts can be chosen.

    Parameters
    ----------
    n_texts : int
        Number of texts to choose from.
    n, candidates, threshold
        As in `BertClassifier.suggest_labels`.
    """
    if not _is_whole(n) or n < 1:  # type: ignore[operator]
        raise ValueError(f"{spell('n', n)}: expected a whole number of at least 1")
    if not _is_whole(candidates) or candidates < 1:  # type: ignore[operator]
        raise ValueError(
            f"{spell('candidates', candidates)}: expected a whole number of at least 1"
        )
    is_number = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool)
    if not is_number or not 0 < threshold <= 1:  # type: ignore[operator]
        raise ValueError(
            f"{spell('threshold', threshold)}: expected a number above 0 and up to 1"
        )
    given = phrase(python="X", command="the file")
    if n_texts == 0:
        raise ValueError(f"{given} has no texts; there is nothing to choose from")
    if n > n_texts:  # type: ignore[operator]
        raise ValueError(
            f"{spell('n', n)} is more than the {n_texts:,} texts of {given}; expected at most "
            "as many"
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def describe_shortage(n: int, found: int, n_texts: int, n_known: int) -> str:
    """Return why fewer texts were chosen than wanted.

    Parameters
    ----------
    n, found : int
        How many were wanted, and are there.
    n_texts : int
        Number of texts to choose from.
    n_known : int
        Number of them that the classifier was trained on.
    """
    trained = f"{n_known:,} were used in training, and " if n_known else ""
    return (
        f"only {found:,} of the {spell('n', n)} texts are suggested: of {n_texts:,} texts, "
        f"{trained}{n_texts - n_known - found:,} repeat others"
    )


def distinct_rows(texts: Sequence[Text], excluded: Bools | None = None) -> Ints:
    """Return the first row of each text, without excluded ones.

    Texts that are equal after HTML, case and white space are normalised count as one.

    Parameters
    ----------
    texts : list of str, or of pairs
    excluded : ndarray of bool, shape (n_texts,), optional
        Texts of which no copy is wanted either.
    """
    excluded = np.zeros(len(texts), dtype=bool) if excluded is None else excluded
    bare = [even_out(text) for text in checking_interrupts(texts)]
    seen = {bare[row] for row in np.flatnonzero(excluded)}
    rows = []
    for row, text in enumerate(bare):
        if text not in seen:
            seen.add(text)
            rows.append(row)
    return np.array(rows, dtype=np.int64)


def choose(
    texts: Sequence[Text],
    vectors: Floats,
    n: int,
    uncertainty: Floats | None = None,
    *,
    candidates: int = 10,
    threshold: float = 0.5,
    seed: int = 0,
) -> Choice:
    """Choose texts that are uncertain and differ from each other.

    Parameters
    ----------
    texts : list of str, or of pairs
        Distinct texts; see `distinct_rows`.
    vectors : ndarray of float, shape (n_texts, hidden_size)
        Their pooled vectors. Only directions count.
    n : int
    uncertainty : ndarray of float, shape (n_texts,), optional
        The larger the number, the more a label is worth, from 0. None chooses by diversity alone.
    candidates : int, default=10
        Texts among which one is chosen, in the mean. Ignored without `uncertainty`.
    threshold : float, default=0.5
        Of texts that are at least as similar as this, one is chosen.
    seed : int, default=0
        Seed of the first centres of k-means, and of the sample of more than `MOST_TEXTS` texts.

    Returns
    -------
    Choice
        Fewer than `n` if not as many texts differ.
    """
    rng = np.random.default_rng(seed)
    if uncertainty is None:
        order, most = rng.permutation(len(texts)), MOST_TEXTS
    else:
        order, most = np.argsort(-uncertainty, kind="stable"), min(n * candidates, MOST_TEXTS)
    most = max(most, n)
    while True:
        check_interrupts()
        pool = _without_duplicates(texts, order[:most], threshold)
        if len(pool) >= n or most >= len(order):
            break
        most *= 2
    weights = None if uncertainty is None else np.asarray(uncertainty, np.float64)[pool]
    at, represents = _spread(normalize(vectors[pool]), min(n, len(pool)), weights, rng)
    rows = pool[at]
    worth = -represents.astype(float) if uncertainty is None else -uncertainty[rows]
    first = np.lexsort((rows, worth))
    return Choice(rows[first], represents[first])


def _without_duplicates(texts: Sequence[Text], rows: Ints, threshold: float) -> Ints:
    """Return the rows without those of near-duplicates of an earlier one."""
    group = find_similar([texts[row] for row in rows], threshold=threshold).group
    _, first = np.unique(group, return_index=True)
    kept = group < 0
    kept[first[group[first] >= 0]] = True
    return rows[kept]


def _spread(
    vectors: npt.NDArray[np.float32],
    n: int,
    weights: npt.NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """Return the numbers of `n` vectors that are next to the centres of clusters, and their sizes.

    It runs on one thread, so that the result does not depend on the number of threads.
    """
    if n == len(vectors):
        return np.arange(n), np.ones(n, dtype=np.int64)
    if weights is not None:
        # A cluster without any weight would have no centre.
        weights = np.maximum(weights, 1e-6 * weights.max()) if weights.max() > 0 else None
    means = KMeans(n, n_init=1, max_iter=_ITERATIONS, random_state=int(rng.integers(2**31)))
    with threadpool_limits(limits=1), interrupt_at_once(), warnings.catch_warnings():
        # Texts that differ only where they are not read have equal vectors.
        warnings.simplefilter("ignore", ConvergenceWarning)
        cluster = means.fit(vectors, sample_weight=weights).labels_
    distance = ((vectors - means.cluster_centers_[cluster]) ** 2).sum(axis=1)
    nearest = np.lexsort((distance, cluster))
    _, first = np.unique(cluster[nearest], return_index=True)
    chosen = nearest[first]
    # If there are fewer clusters than wanted, texts that come first fill the places.
    others = np.setdiff1d(np.arange(len(vectors)), chosen)[: n - len(chosen)]
    sizes = np.bincount(cluster, minlength=n)[cluster[chosen]]
    ones = np.ones(len(others), dtype=np.int64)
    return np.concatenate([chosen, others]), np.concatenate([sizes, ones]).astype(np.int64)
