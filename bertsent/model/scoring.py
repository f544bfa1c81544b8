"""Score many texts, or compute their vectors, in short calls, so that Ctrl-C and bars work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    types: npt.NDArray[np.int32] | None = None,
    precision: str = "float32",
    memory_limit: int | str | None = None,
) -> npt.NDArray[np.float32]:
    """Return the logits of concatenated texts, within a memory limit.

    Parameters
    ----------
    model, ids, offsets, n_threads, report, types
        As in `score_in_pieces`.
    precision : str, default="float32"
        Precision to compute in; not "auto".
    memory_limit : int, str or None, default=None
        As in `BertClassifier`.

    Returns
    -------
    ndarray of float32, shape (B, num_labels)
    """
    return score_in_pieces(
        model, ids, offsets, n_threads, report, types=types, precision=precision,
        chunk_tokens=_limited(model, offsets, n_threads, precision, memory_limit),
    )


def pool_pieces(
    model: BertForSequenceClassification,
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    n_threads: int,
    report: Callable[[float], None] | None = None,
    *,
    types: npt.NDArray[np.int32] | None = None,
    precision: str = "float32",
    memory_limit: int | str | None = None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the logits and the pooled vectors of concatenated texts, within a memory limit.

    Parameters
    ----------
    model, ids, offsets, n_threads, report, types, precision, memory_limit
        As in `score_pieces`. The vectors are those of the model's pooling; see `with_pooling` of
        the model for others.

    Returns
    -------
    logits : ndarray of float32, shape (B, num_labels)
    vectors : ndarray of float32, shape (B, hidden_size)
        Not normalized. Of a text that is read in windows, the vector is the mean of those of its
        windows, weighted as its logits are: `bertsent.texts.Windows.mean` computes both.
    """
    vectors = np.empty((max(len(offsets) - 1, 0), model._engine["hidden_size"]), np.float32)
    logits = score_in_pieces(
        model, ids, offsets, n_threads, report, types=types, precision=precision,
        chunk_tokens=_limited(model, offsets, n_threads, precision, memory_limit), vectors=vectors,
    )
    return logits, vectors


def normalize(vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
    """Return vectors of length 1 in the same directions; a vector of zeros stays one.

    Parameters
    ----------
    vectors : ndarray of float, shape (n, hidden_size)

    Returns
    -------
    ndarray of float32, shape (n, hidden_size)
        Rounded once, after computing in float64.
    """
    exact = np.asarray(vectors, np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", exact, exact))
    found: npt.NDArray[np.float32] = (
        exact / np.where(lengths > 0, lengths, 1.0)[:, None]
    ).astype(np.float32)
    return found


def _limited(
    model: BertForSequenceClassification,
    offsets: npt.NDArray[np.int64],
    n_threads: int,
    precision: str,
    memory_limit: int | str | None,
) -> int:
    """Return the tokens of a chunk that fit into the limit; 0 for the engine's own choice."""
    return limit_scoring(
        model, memory_limit, np.diff(offsets), n_threads=n_threads, precision=precision
    ).scoring


def score_in_pieces(
    model: BertForSequenceClassification,
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    n_threads: int,
    report: Callable[[float], None] | None = None,
    *,
    types: npt.NDArray[np.int32] | None = None,
    precision: str | None = "float32",
    chunk_tokens: int = 0,
    vectors: npt.NDArray[np.float32] | None = None,
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
    types : ndarray of int32, shape (T,), or None, default=None
        Token types of all texts; None if all are 0.
    precision : str or None, default="float32"
        Precision to compute in; not "auto". None means that of the model.
    chunk_tokens : int, default=0
        As in the engine's ``score``.
    vectors : ndarray of float32, shape (B, hidden_size), optional
        Where to write the pooled vectors.

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
        some, cu_seqlens, of_some = gather(ids, offsets, rows, types)
        how: dict[str, Any] = {"token_type_ids": of_some, "chunk_tokens": chunk_tokens}
        if vectors is None:
            logits[rows] = model.score_packed(some, cu_seqlens, n_threads, precision, **how)
        else:
            logits[rows], vectors[rows] = model.pool_packed(
                some, cu_seqlens, n_threads, precision, **how
            )
        done += len(rows)
        if report is not None:
            report(ends[done - 1] / ends[-1])
    return logits
