"""Pack rectangular batches, as users pass them, into the engine's form without padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

T = TypeVar("T", bound=np.integer)

__all__ = ["Packed", "check_labels", "flat_integers", "gather", "pack", "pack_flat"]


class Packed(NamedTuple):
    """B sequences with T tokens in all, laid end to end.

    Attributes
    ----------
    ids, types, positions : ndarray of int32, shape (T,)
        Id, token type and position of each token. `types` is None if all are 0, `positions` if
        each sequence begins at 0.
    cu_seqlens : ndarray of int64, shape (B + 1,)
        Where each sequence begins, and T.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32] | None
    positions: npt.NDArray[np.int32] | None
    cu_seqlens: npt.NDArray[np.int64]


def pack(
    input_ids: npt.ArrayLike,
    attention_mask: npt.ArrayLike | None,
    token_type_ids: npt.ArrayLike | None,
    config: Mapping[str, Any],
) -> Packed:
    """Pack a batch without its masked columns. Each token keeps the position of its column.

    In a model whose positions skip padding, positions count the ids that are not padding, whether
    they are masked or not, as in transformers.

    Parameters
    ----------
    input_ids : array-like of int, shape (B, L)
        Token ids.
    attention_mask : array-like of 0 and 1, shape (B, L), or None
        1 for tokens and 0 for padding. None means that there is no padding.
    token_type_ids : array-like of int, shape (B, L), or None
        Segment of each token. None means segment 0.
    config : dict
        The engine's configuration.

    Returns
    -------
    Packed

    Raises
    ------
    TypeError
        An array does not contain integers.
    ValueError
        Shapes differ; an id or token type is out of range; the mask contains other values than 0
        and 1; a row has no token, or its first column is masked; a token is beyond the last
        position; or the mask has holes and the model needs the distances of tokens.
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
        given = _matrix("token_type_ids", token_type_ids)
        _check_shape("token_type_ids", given, ids.shape)
        types = _types(given, kept, config["type_vocab_size"])
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
    if config.get("relative_bias"):
        gaps = np.flatnonzero(np.diff(kept, axis=1).sum(axis=1) > 1)
        if gaps.size:
            raise ValueError(
                f"attention_mask: row {gaps[0]} has 0 between tokens; mask padding at the end only"
            )
    positions = columns
    if config.get("positions_skip_padding"):
        counted = ids != config["pad_token_id"]
        positions = np.where(counted, np.cumsum(counted, axis=1) - 1, -1)[kept]
    return Packed(ids[kept].astype(np.int32), types, positions.astype(np.int32), cu_seqlens)


def pack_flat(
    ids: npt.ArrayLike, offsets: npt.ArrayLike, token_type_ids: npt.ArrayLike | None
) -> Packed:
    """Return sequences that are laid end to end as the engine takes them; raise if it cannot.

    Parameters
    ----------
    ids, token_type_ids : array-like of int, shape (T,)
    offsets : array-like of int, shape (B + 1,)
    """
    types = None
    if token_type_ids is not None:
        types = flat_integers("token_type_ids", token_type_ids, np.int32)
    return Packed(
        flat_integers("ids", ids, np.int32), types, None,
        flat_integers("offsets", offsets, np.int64),
    )


def gather(
    ids: npt.NDArray[np.int32],
    offsets: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    types: npt.NDArray[np.int32] | None = None,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int32] | None]:
    """Return the tokens of selected sequences, laid end to end in the order of `rows`.

    Parameters
    ----------
    ids : ndarray of int32, shape (T,)
        Token ids of all sequences.
    offsets : ndarray of int64, shape (B + 1,)
        Where each sequence begins, and T.
    rows : ndarray of int
        Numbers of the selected sequences.
    types : ndarray of int32, shape (T,), or None
        Token types of all sequences; None if all are 0.

    Returns
    -------
    ids : ndarray of int32
    cu_seqlens : ndarray of int64, shape (len(rows) + 1,)
    types : ndarray of int32, or None
    """
    begins = offsets[rows]
    lengths = offsets[rows + 1] - begins
    cu_seqlens = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(lengths, out=cu_seqlens[1:])
    shifts = np.repeat(begins - cu_seqlens[:-1], lengths)
    taken = shifts + np.arange(cu_seqlens[-1])
    return ids[taken], cu_seqlens, None if types is None else types[taken]


def check_labels(labels: npt.ArrayLike, count: int, num_labels: int) -> npt.NDArray[np.int32]:
    """Check the classes of a batch, and return them as int32, shape (count,).

    Raises
    ------
    TypeError
        The labels are not integers.
    ValueError
        There is not one label per sequence, or one is not in ``[0, num_labels)``.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {array.dtype}")
    if array.shape != (count,):
        raise ValueError(f"labels must have shape ({count},), one per row, got {array.shape}")
    wrong = np.flatnonzero((array < 0) | (array >= num_labels))
    if wrong.size:
        raise ValueError(
            f"labels[{wrong[0]}] is {array[wrong[0]]}; the model has {num_labels} classes, "
            f"0 to {num_labels - 1}"
        )
    return array.astype(np.int32)


def flat_integers(name: str, values: npt.ArrayLike, dtype: type[T]) -> npt.NDArray[T]:
    """Return a 1-D array of integers as contiguous `dtype`; values that do not fit are an error."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"{name} must be a 1-D array of integers, got {array.dtype}, {array.shape}")
    if array.dtype != dtype and array.size:
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise ValueError(f"{name} is out of range: from {array.min()} to {array.max()}")
    return np.ascontiguousarray(array, dtype=dtype)


def _matrix(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty((), dtype=object)
    if array.dtype == object:
        raise ValueError(
            f"{name}: the rows differ in length; pad them and mask the padding "
            "(calling a Tokenizer does both)"
        )
    if array.ndim != 2:
        hint = f"; for one sequence pass {name}[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (batch, length), got {array.shape}{hint}")
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"{name} must be integers, got {array.dtype}")
    return array


def _types(
    types: npt.NDArray[Any], kept: npt.NDArray[np.bool_], count: int
) -> npt.NDArray[np.int32] | None:
    if count:
        _check_range("token_type_ids", types, kept, count, "the model has {} token types")
        return types[kept].astype(np.int32)
    if types[kept].any():
        raise ValueError("token_type_ids: the model has no token types; leave them out")
    # A tokenizer returns zeros for every model.
    return None


def _mask(values: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    try:
        mask = np.asarray(values)
    except ValueError:
        mask = np.empty((), dtype=object)
    _check_shape("attention_mask", mask, shape)
    if mask.dtype.kind not in "biuf":
        raise TypeError(f"attention_mask must be numbers, 0 or 1, got {mask.dtype}")
    kept: npt.NDArray[np.bool_] = mask == 1
    wrong = np.argwhere(~kept & (mask != 0))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"attention_mask[{row}, {column}] is {mask[row, column]}; "
            "it must be 1 (a token) or 0 (padding)"
        )
    empty = np.flatnonzero(~kept.any(axis=1))
    if empty.size:
        raise ValueError(f"attention_mask: row {empty[0]} has no token")
    headless = np.flatnonzero(~kept[:, 0]) if shape[1] else empty
    if headless.size:
        raise ValueError(
            f"attention_mask: row {headless[0]} masks its first column, which the classifier "
            "reads ([CLS]); pad on the right"
        )
    return kept


def _check_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape of input_ids, {shape}, got {array.shape}")


def _check_range(
    name: str, array: npt.NDArray[Any], kept: npt.NDArray[np.bool_], limit: int, what: str
) -> None:
    wrong = np.argwhere(kept & ((array < 0) | (array >= limit)))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(
            f"{name}[{row}, {column}] is {array[row, column]}; {what.format(limit)}, "
            f"0 to {limit - 1}"
        )
