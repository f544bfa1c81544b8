"""Integrated gradients (Sundararajan, Taly, Yan 2017, *Axiomatic attribution for deep networks*).

The score of a token is the integral of the gradient of the output at its word embedding, along the
straight line from a baseline to the text, times the difference of both embeddings. The scores of a
text add up to the difference of the outputs at both ends; how far a sum computed at a few places is
from it says how exact the scores are.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bertsent.explanation.sequences import sum_by
from bertsent.model import attribute_pieces

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.explanation.sequences import Sequences
    from bertsent.model import BertForSequenceClassification

# Intervals between the places on the line at first, and at most.
LEAST_STEPS, MOST_STEPS = 8, 256


class Integral(NamedTuple):
    """Scores of tokens, and how exact they are.

    Attributes
    ----------
    scores : ndarray of float64, shape (T,)
        Of the output of the token's sequence.
    outputs, baselines : ndarray of float64, shape (n_texts,)
        Outputs of the texts and of their baselines.
    errors : ndarray of float64, shape (n_texts,)
        The difference between the sum of a text's scores and of its outputs at both ends, as a
        share of the sum of the scores of its tokens, in each window, without their signs.
    steps : ndarray of int64, shape (n_texts,)
        Number of places on the line at which gradients were computed.
    """

    scores: npt.NDArray[np.float64]
    outputs: npt.NDArray[np.float64]
    baselines: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]
    steps: npt.NDArray[np.int64]


def integrate(
    model: BertForSequenceClassification,
    sequences: Sequences,
    n_texts: int,
    mask: int,
    weights: npt.NDArray[np.float32],
    tolerance: float,
    n_threads: int,
    *,
    precision: str = "float32",
    memory_limit: int | str | None = None,
    kept: str | None = None,
    report: Callable[[float], None] | None = None,
) -> Integral:
    """Compute the scores of all tokens by Clenshaw-Curtis quadrature.

    Its places are doubled until the error of a text is small enough. Those of a coarser rule are
    among those of a finer one, so none is computed in vain. What is computed at a place is added to
    the sums of all rules at once, so that the memory of a token does not depend on their number.

    Parameters
    ----------
    model : BertForSequenceClassification
    sequences : Sequences
    n_texts : int
    mask : int
        Id of the token that takes the place of every word in the baseline.
    weights : ndarray of float32, shape (n_texts, num_labels)
        The output of a text is the sum of its logits times these.
    tolerance : float
        Largest error, a share as in `Integral`.
    n_threads, precision, memory_limit, kept
        As in `attribute_pieces`.
    report : callable, optional
        Called with the share of texts that are done.

    Returns
    -------
    Integral
    """
    ids, offsets, of_text = sequences.ids, sequences.offsets, sequences.texts
    baseline, of_token = sequences.masked(mask), np.repeat(of_text, np.diff(offsets))
    shares = np.repeat(sequences.shares, np.diff(offsets))
    of_sequences = np.ascontiguousarray(weights[of_text])
    rules = [count for count in (LEAST_STEPS << k for k in range(16)) if count <= MOST_STEPS]
    sums_of = {count: np.zeros(len(ids)) for count in rules}  # of all tokens, by rule
    ends = np.zeros((len(of_text), 2))
    scores, errors = np.zeros(len(ids)), np.zeros(n_texts)
    steps = np.zeros(n_texts, np.int64)
    count, left = LEAST_STEPS, np.arange(n_texts)
    while len(left):
        # Places are numbered as in the finest rule; only the odd ones of this rule are new.
        places = np.arange(0, MOST_STEPS + 1, MOST_STEPS // count)
        if count > LEAST_STEPS:
            places = places[1::2]
        inside = np.flatnonzero(np.isin(of_text, left))
        rows, numbers = np.repeat(inside, len(places)), np.tile(places, len(inside))
        along = (0.5 - 0.5 * np.cos(np.pi * numbers / MOST_STEPS)).astype(np.float32)
        for part in attribute_pieces(
            model, ids, offsets, baseline, rows, along, of_sequences, n_threads,
            types=sequences.types, precision=precision, memory_limit=memory_limit, kept=kept,
        ):
            at = 0
            for row, number, output in zip(
                rows[part.rows].tolist(), numbers[part.rows].tolist(), part.outputs, strict=True
            ):
                begin, end = offsets[row], offsets[row + 1]
                own = part.scores[at : at + end - begin].astype(np.float64)
                at += end - begin
                for rule, sums in sums_of.items():
                    if rule >= count:
                        weight = quadrature(rule)[number * rule // MOST_STEPS]
                        sums[begin:end] += weight * own
                if number in (0, MOST_STEPS):
                    ends[row, number // MOST_STEPS] = output
        mine = np.isin(of_token, left)
        scores[mine] = sums_of[count][mine]
        sums = sum_by(of_token, scores * shares, n_texts)
        sizes = sum_by(of_token, np.abs(scores * shares), n_texts)
        change = sum_by(of_text, sequences.shares * (ends[:, 1] - ends[:, 0]), n_texts)
        errors[left] = (np.abs(sums - change) / np.maximum(sizes, 1e-300))[left]
        steps[left] = count + 1
        left = left[errors[left] > tolerance] if count < MOST_STEPS else left[:0]
        count *= 2
        if report is not None:
            report(1 - len(left) / n_texts)
    outputs, baselines = (
        sum_by(of_text, sequences.shares * ends[:, end], n_texts) for end in (1, 0)
    )
    return Integral(scores, outputs, baselines, errors, steps)


@cache
def quadrature(count: int) -> npt.NDArray[np.float64]:
    """Return the weights of Clenshaw-Curtis quadrature over [0, 1]; `count` is even.

    The places are (1 - cos(pi i / count)) / 2 for i from 0 to `count`.
    """
    angles = np.pi * np.arange(count + 1) / count
    k = np.arange(1, count // 2 + 1)
    factors = np.where(k == count // 2, 1.0, 2.0) / (4.0 * k**2 - 1.0)
    weights: npt.NDArray[np.float64]
    weights = (1.0 - np.cos(2.0 * np.outer(angles, k)) @ factors) / count
    weights[[0, -1]] /= 2.0
    return weights
