"""Occlusion: how the output changes if a word is masked (Zeiler and Fergus 2014, for images)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bertsent.explanation.sequences import sum_by
from bertsent.model import score_pieces

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.explanation.sequences import Sequences
    from bertsent.model import BertForSequenceClassification

# Tokens of the texts without a word that are made at once.
_TOKENS = 1 << 18


def occlude(
    model: BertForSequenceClassification,
    sequences: Sequences,
    n_words: int,
    mask: int,
    weights: npt.NDArray[np.float32],
    n_threads: int,
    *,
    precision: str = "float32",
    memory_limit: int | str | None = None,
    only: npt.NDArray[np.bool_] | None = None,
    report: Callable[[float], None] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the score of each word, and the output of each text.

    Parameters
    ----------
    model : BertForSequenceClassification
    sequences : Sequences
    n_words : int
        Number of words of all texts.
    mask : int
        Id of the token that takes the place of all tokens of a word.
    weights : ndarray of float32, shape (n_texts, num_labels)
        The output of a text is the sum of its logits times these.
    n_threads, precision, memory_limit
        As in `score_pieces`.
    only : ndarray of bool, shape (n_words,), or None, default=None
        The words to mask; None means all of them. The scores of others are 0.
    report : callable, optional
        Called with the share of the work that is done.

    Returns
    -------
    scores : ndarray of float64, shape (n_words,)
        The output of the text, minus its output with the word masked.
    outputs : ndarray of float64, shape (n_texts,)
    """
    ids, offsets, of_text = sequences.ids, sequences.offsets, sequences.texts
    lengths = np.diff(offsets)
    # One sequence for each pair of a sequence and a word in it.
    of_token = np.repeat(np.arange(len(lengths)), lengths)
    inside = sequences.words >= 0
    if only is not None:
        inside[inside] = only[sequences.words[inside]]
    pairs = np.unique(np.stack([of_token[inside], sequences.words[inside]], axis=1), axis=0)

    def outputs_of(
        some: npt.NDArray[np.int32], of: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Return the outputs of changed copies of the sequences `of`."""
        types = None
        if sequences.types is not None:
            types = np.concatenate([sequences.types[offsets[r] : offsets[r + 1]] for r in of])
        starts = np.concatenate([[0], np.cumsum(lengths[of])]).astype(np.int64)
        logits = score_pieces(
            model, some, starts, n_threads, types=types, precision=precision,
            memory_limit=memory_limit,
        )
        found: npt.NDArray[np.float64]
        found = (logits.astype(np.float64) * weights[of_text[of]]).sum(axis=1)
        return found

    whole = outputs_of(ids, np.arange(len(lengths)))
    scores, done = np.zeros(n_words), 0
    piece_of = (np.cumsum(lengths[pairs[:, 0]]) - lengths[pairs[:, 0]]) // _TOKENS
    for part in np.split(pairs, np.flatnonzero(np.diff(piece_of)) + 1) if len(pairs) else []:
        rows, words = part.T
        copies = [
            np.where(sequences.words[place] == word, np.int32(mask), ids[place])
            for word, place in (
                (word, slice(offsets[row], offsets[row + 1]))
                for row, word in part.tolist()
            )
        ]
        change = whole[rows] - outputs_of(np.concatenate(copies).astype(np.int32), rows)
        np.add.at(scores, words, sequences.shares[rows] * change)
        done += len(part)
        if report is not None:
            report(done / len(pairs))
    n_texts = len(weights)
    return scores, sum_by(of_text, sequences.shares * whole, n_texts)
