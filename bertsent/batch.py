"""From rectangular batches, as users hold them, to the engine's packed ones."""

from typing import NamedTuple

import numpy as np

__all__ = ["Packed", "check_labels", "flat_integers", "gather", "pack"]


class Packed(NamedTuple):
    """Sequences laid end to end, T tokens of B sequences.

    ids, types, positions : ndarray of int32, shape (T,)
        `types` is None where all are 0.
    cu_seqlens : ndarray of int64, shape (B + 1,)
        Where each sequence begins, and T.
    """

    ids: np.ndarray
    types: np.ndarray | None
    positions: np.ndarray
    cu_seqlens: np.ndarray


def pack(input_ids, attention_mask, token_type_ids, config):
    """Leave the masked columns out; each token keeps the position of its column.

    Parameters
    ----------
    input_ids : array-like of int, shape (B, L)
        Token ids.
    attention_mask : array-like of 0 and 1, shape (B, L), or None
        1 for the tokens to attend to. None takes them all.
    token_type_ids : array-like of int, shape (B, L), or None
        Segment of each token; None for segment 0.
    config : dict
        The engine's configuration.

    Returns
    -------
    Packed

    Raises
    ------
    TypeError
        An array is not of integers.
    ValueError
        Shapes differ, an id or type is out of range, the mask is not of 0 and 1, a row
        has no token or its first column masked, or a token lies beyond the last position.
    """
    ids = _matrix("input_ids", input_ids)
    kept = np.ones(ids.shape, dtype=bool)
    if attention_mask is not None:
        kept = _mask(attention_mask, ids.shape)
    elif not ids.shape[1] and len(ids):
        raise ValueError("input_ids has no columns; each row needs at least one token")
    _check_range("input_ids", ids, kept, config["vocab_size"], "the vocabulary has {} entries")
    types = None
    if token_type_ids is not None:
        types = _matrix("token_type_ids", token_type_ids)
        _check_shape("token_type_ids", types, ids.shape)
        _check_range(
            "token_type_ids", types, kept, config["type_vocab_size"], "the model has {} token types"
        )
        types = types[kept].astype(np.int32)
    rows, columns = np.nonzero(kept)
    limit = config["max_position_embeddings"]
    if columns.size and columns.max() >= limit:
        row = rows[columns >= limit][0]
        raise ValueError(
            f"input_ids: row {row} has a token in column {columns[rows == row].max()}, but the "
            f"model has {limit} positions; truncate texts to max_length={limit}"
        )
    cu_seqlens = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum(kept.sum(axis=1), out=cu_seqlens[1:])
    return Packed(ids[kept].astype(np.int32), types, columns.astype(np.int32), cu_seqlens)


def gather(ids, offsets, rows):
    """Tokens of some of many sequences, laid end to end in the order of ``rows``.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
        Token ids of all sequences.
    offsets : ndarray of int64, shape (B + 1,)
        Where each of them begins, and T.
    rows : ndarray of int
        Which are wanted.

    Returns
    -------
    ids : ndarray of int32
    cu_seqlens : ndarray of int64, shape (len(rows) + 1,)
    """
    begins = offsets[rows]
    lengths = offsets[rows + 1] - begins
    cu_seqlens = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=cu_seqlens[1:])
    shifts = np.repeat(begins - cu_seqlens[:-1], lengths)
    return ids[shifts + np.arange(cu_seqlens[-1])], cu_seqlens


def check_labels(labels, count, num_labels):
    """Return class numbers as int32, shape (count,), or say which is none.

    Raises
    ------
    TypeError
        They are not integers.
    ValueError
        There are not as many as sequences, or one is not in ``[0, num_labels)``.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"labels must have shape ({count},), one a row, got {array.shape}")
    wrong = np.flatnonzero((array < 0) | (array >= num_labels))
    if wrong.size:
        raise ValueError(
            f"labels[{wrong[0]}] is {array[wrong[0]]}; the model has {num_labels} classes, "
            f"0 to {num_labels - 1}"
        )
    return array.astype(np.int32)


def flat_integers(name, values, dtype):
    """Return a 1-D array of integers as the engine takes it; none of them wraps around."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"{name} must be a 1-D array of integers, got {array.dtype}, {array.shape}")
    if array.dtype != dtype and array.size:
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(f"{name} holds {array.max()} or {array.min()}, which is out of range")
    return np.ascontiguousarray(array, dtype=dtype)


def _matrix(name, values):
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty((), dtype=object)
    if array.dtype == object:
        raise ValueError(
            f"{name}: the rows differ in length; pad them and mask the padding "
            "(a WordPieceTokenizer does both when called)"
        )
    if array.ndim != 2:
        hint = f"; for one sequence pass {name}[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (batch, length), got {array.shape}{hint}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    return array


def _mask(values, shape):
    try:
        mask = np.asarray(values)
    except ValueError:
        mask = np.empty((), dtype=object)
    _check_shape("attention_mask", mask, shape)
    if mask.dtype.kind not in "biuf":
        raise TypeError(f"attention_mask must be numbers 0 and 1, got {mask.dtype}")
    kept = mask == 1
    wrong = np.argwhere(~kept & (mask != 0))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"attention_mask[{row}, {column}] is {mask[row, column]}; "
            "only 1 (a token) and 0 (padding) have a meaning"
        )
    empty = np.flatnonzero(~kept.any(axis=1))
    if empty.size:
        raise ValueError(f"attention_mask: row {empty[0]} has no token")
    headless = np.flatnonzero(~kept[:, 0]) if shape[1] else empty
    if headless.size:
        raise ValueError(
            f"attention_mask: row {headless[0]} masks its first column, from which BERT "
            "classifies ([CLS]); padding belongs to the right"
        )
    return kept


def _check_shape(name, array, shape):
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape of input_ids, {shape}, got {array.shape}")


def _check_range(name, array, kept, limit, what):
    wrong = np.argwhere(kept & ((array < 0) | (array >= limit)))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}; {what.format(limit)}, "
            f"0 to {limit - 1}"
        )
