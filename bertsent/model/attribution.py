"""What each token contributes to an output, in short calls, so that Ctrl-C and bars work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bertsent.model.batch import gather
from bertsent.model.memory import limit_attribution
from bertsent.model.scoring import PIECE_TOKENS
from bertsent.system import check_interrupts

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.model.bert import BertForSequenceClassification


class Contributions(NamedTuple):
    """What the tokens of some sequences contribute.

    Attributes
    ----------
    rows : slice
        Which of the sequences that were asked for.
    outputs : ndarray of float64, shape (n,)
        Their outputs.
    scores : ndarray of float32, shape (T,)
        For each of their tokens, laid end to end, the gradient of the output at its word embedding,
        times the difference between the word embeddings of the sequence and of the baseline.
    """

    rows: slice
    outputs: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float32]


def attribute_pieces(
    model: BertForSequenceClassification,
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    baseline: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    along: npt.NDArray[np.float32],
    weights: npt.NDArray[np.float32],
    n_threads: int,
    *,
    types: npt.NDArray[np.int32] | None = None,
    precision: str = "float32",
    memory_limit: int | str | None = None,
    kept: str | None = None,
) -> Iterator[Contributions]:
    """Yield outputs of sequences on the line from a baseline, and what each token contributes.

    Parameters
    ----------
    model : BertForSequenceClassification
    ids, types, baseline : ndarray of int32, shape (T,)
        Tokens of all sequences, their types (None if all are 0), and the tokens of the baselines.
    offsets : ndarray of int64, shape (B + 1,)
        Start of each sequence, and T.
    rows : ndarray of int64, shape (n,)
        Numbers of the sequences to compute; one can occur several times.
    along : ndarray of float32, shape (n,)
        Place of each of them on its line, from 0 for the baseline to 1 for the sequence.
    weights : ndarray of float32, shape (B, num_labels)
        The output of a sequence is the sum of its logits times its weights.
    n_threads : int
        It does not affect the result.
    precision : {"float32", "bfloat16"}, default="float32"
    memory_limit : int, str or None, default=None
        As in `BertClassifier`.
    kept : str or None, default=None
        Another precision in which the model has computed before, and has packed weights.

    Yields
    ------
    Contributions
        In the order of `rows`.
    """
    lengths = np.diff(offsets)
    chunk_tokens = limit_attribution(
        model, memory_limit, lengths, n_threads=n_threads, precision=precision, kept=kept
    )
    piece_of = (np.cumsum(lengths[rows]) - lengths[rows]) // (PIECE_TOKENS * n_threads)
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(piece_of)) + 1):
        check_interrupts()
        some, cu_seqlens, of_some = gather(ids, offsets, rows[part], types)
        other, _, _ = gather(baseline, offsets, rows[part])
        own = np.ascontiguousarray(weights[rows[part]])
        logits, found = model._core.attribute(
            some, of_some, None, cu_seqlens, other, along[part], own,
            n_threads=n_threads, chunk_tokens=chunk_tokens, precision=precision,
        )
        outputs = (logits.astype(np.float64) * own).sum(axis=1)
        yield Contributions(slice(int(part[0]), int(part[-1]) + 1), outputs, found)
