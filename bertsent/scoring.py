"""Scoring many texts in calls short enough for Ctrl-C and a bar to come through."""

import numpy as np

from bertsent.batch import gather
from bertsent.memory import plan_scoring

# Tokens of a call for each thread. The engine carries up to 1,024 at a time through the model, and
# below float32 half as many; with eight such chunks or more a thread, hardly any thread waits for
# the last ones.
PIECE_TOKENS = 8192


def score_pieces(
    model, ids, offsets, n_threads, report=None, *, precision="float32", memory_limit=None
):
    """Logits of texts laid end to end.

    The longest come first, so that texts which are scored together are of a length.

    Parameters
    ----------
    model : BertForSequenceClassification
    ids : ndarray of int32, shape (T,)
        Token ids of all texts.
    offsets : ndarray of int64, shape (B + 1,)
        Where each text begins, and T.
    n_threads : int
    report : callable, optional
        Is told after each piece which part of the tokens is done, up to 1.
    precision : str
        What to compute in; not "auto".
    memory_limit : int, str or None
        As `BertClassifier` has it.

    Returns
    -------
    ndarray of float32, shape (B, num_labels)
    """
    lengths = np.diff(offsets)
    logits = np.empty((len(lengths), model.num_labels), dtype=np.float32)
    if not len(lengths):
        return logits
    chunk_tokens = plan_scoring(
        model, memory_limit, lengths, n_threads=n_threads, precision=precision
    ).scoring
    order = np.argsort(-lengths, kind="stable")
    ends = np.cumsum(lengths[order])
    # A text belongs to the piece in which its first token lies.
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
