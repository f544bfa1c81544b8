"""Score many texts in short calls, so that Ctrl-C and progress bars work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bertsent.model.batch import gather
from bertsent.model.memory import limit_scoring

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.model.bert import BertForSequenceClassification

# Tokens per call and thread. The engine processes chunks of up to 1,024 tokens, or half as many in
# lower precision. With at least eight chunks per thread, threads hardly wait for the last one.
PIECE_TOKENS = 8192


def score_pieces(
    model: BertForSequenceClassification,
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    n_threads: int,
    report: Callable[[float], None] | None = None,
    *,
    precision: str = "float32",
    memory_limit: int | str | None = None,
) -> npt.NDArray[np.float32]:
    """Return the logits of concatenated texts, within a memory limit.

    Parameters
    ----------
    model, ids, offsets, n_threads, report
        As in `score_in_pieces`.
    precision : str, default="float32"
        Precision to compute in; not "auto".
    memory_limit : int, str or None, default=None
        As in `BertClassifier`.

    Returns
    -------
    ndarray of float32, shape (B, num_labels)
    """
    lengths, chunk_tokens = np.diff(offsets), 0
    if len(lengths):
        chunk_tokens = limit_scoring(
            model, memory_limit, lengths, n_threads=n_threads, precision=precision
        ).scoring
    return score_in_pieces(
        model, ids, offsets, n_threads, report, precision=precision, chunk_tokens=chunk_tokens
    )


def score_in_pieces(
    model: BertForSequenceClassification,
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    n_threads: int,
    report: Callable[[float], None] | None = None,
    *,
    precision: str | None = "float32",
    chunk_tokens: int = 0,
) -> npt.NDArray[np.float32]:
    """Return the logits of concatenated texts.

    Texts are sorted by length, longest first, so that texts scored together have similar lengths.

    Parameters
    ----------
    model : BertForSequenceClassification
    ids : ndarray of int32, shape (T,)
        Token ids of all texts.
    offsets : ndarray of int64, shape (B + 1,)
        Start of each text, and T.
    n_threads : int
    report : callable, optional
        Called after each piece with the share of tokens that are done, up to 1.
    precision : str or None, default="float32"
        Precision to compute in; not "auto". None means that of the model.
    chunk_tokens : int, default=0
        As in the engine's ``score``.

    Returns
    -------
    ndarray of float32, shape (B, num_labels)
    """
    lengths = np.diff(offsets)
    logits = np.empty((len(lengths), model.num_labels), dtype=np.float32)
    if not len(lengths):
        return logits
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    # A text belongs to the piece that contains its first token.
    piece_of = (ends - lengths[order]) // (PIECE_TOKENS * n_threads)
    done = 0
    for rows in np.split(order, np.flatnonzero(np.diff(piece_of)) + 1):
        logits[rows] = model.score_packed(
            *gather(ids, offsets, rows), n_threads, precision, chunk_tokens=chunk_tokens
        )
        done += len(rows)
        if report is not None:
            report(ends[done - 1] / ends[-1])
    return logits
