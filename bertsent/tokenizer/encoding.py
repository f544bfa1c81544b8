"""Results of the tokenizer: concatenated ids, or a padded rectangle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

PADDINGS = ("longest", "max_length", "do_not_pad", True, False)


class Encoding(NamedTuple):
    """Token ids of several texts, concatenated.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all texts. Those of text `i` are ``ids[offsets[i]:offsets[i + 1]]``.
    offsets : ndarray of int64, shape (n_sequences + 1,)
        Start of each text, or of each window, and the total number of tokens.
    truncated : ndarray of bool, shape (n_texts,)
        Whether each text was cut at `max_length`, or into windows.
    token_type_ids : ndarray of int32, shape (n_tokens,), or None
        For pairs: 0 for [CLS], the first text and its [SEP]; 1 for the second text and its [SEP].
        None for single texts and for tokenizers with two separators, whose types are all 0.
    offset_mapping : ndarray of int64, shape (n_tokens, 2), or None
        On request: start and end of the characters of each token in its text; (0, 0) for [CLS]
        and [SEP].
    windows : ndarray of int64, shape (n_texts + 1,), or None
        With ``truncation="windows"``: the first window of each text, and the total number of
        windows. Those of text `i` are ``windows[i]`` to ``windows[i + 1] - 1``.
    n_first : ndarray of int64, shape (n_sequences,), or None
        For pairs: number of tokens before those of the second text: [CLS], the first text and
        what is between the two.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]
    token_type_ids: npt.NDArray[np.int32] | None = None
    offset_mapping: npt.NDArray[np.int64] | None = None
    windows: npt.NDArray[np.int64] | None = None
    n_first: npt.NDArray[np.int64] | None = None


def token_types(
    offsets: npt.NDArray[np.int64], n_first: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Return the type of each token, given the number of tokens of each first text."""
    counts = np.stack([n_first, np.diff(offsets) - n_first], axis=1)
    return np.repeat(np.tile(np.array([0, 1], dtype=np.int32), len(n_first)), counts.ravel())


def windows_of_pairs(
    pairs: Encoding, seconds: Encoding, rows: npt.NDArray[np.int64], stride: int, special: bool
) -> Encoding:
    """Let further windows go on over the second texts of pairs that were cut.

    Parameters
    ----------
    pairs : Encoding
        The pairs, of which the longer text was cut first. They become the first windows.
    seconds : Encoding
        All tokens of the second texts of some of the pairs, without special tokens.
    rows : ndarray of int64
        The numbers of these pairs.
    stride : int
        Number of tokens that each window shares with the previous one.
    special : bool
        Whether the pairs have special tokens, of which one is at the end.

    Returns
    -------
    Encoding
        Without token types.
    """
    assert pairs.n_first is not None
    lengths, ends = np.diff(pairs.offsets), int(special)
    whole = lengths - pairs.n_first - ends  # tokens of each second text
    room = whole.copy()
    whole[rows] = np.diff(seconds.offsets)
    counts = 1 - (room - whole) // np.maximum(room - stride, 1)  # rounded up
    first = np.concatenate([[0], np.cumsum(counts)])
    of = np.repeat(np.arange(len(counts)), counts)  # the pair of each window
    begins = (np.arange(first[-1]) - first[of]) * (room - stride)[of]
    sizes = np.minimum(room[of], whole[of] - begins)
    # Each window is made of three pieces: the first text, a part of the second, and the end.
    begin_of_second = pairs.offsets[:-1] + pairs.n_first
    begin_of_second[rows] = len(pairs.ids) + seconds.offsets[:-1]
    pieces = np.stack([
        pairs.offsets[of], begin_of_second[of] + begins, pairs.offsets[of + 1] - ends,
    ], axis=1).ravel()
    taken = np.stack([
        pairs.n_first[of], sizes, np.full(len(of), ends)
    ], axis=1)
    offsets = np.concatenate([[0], np.cumsum(taken.sum(axis=1))])
    taken = taken.ravel()
    at = np.repeat(pieces - (np.cumsum(taken) - taken), taken) + np.arange(offsets[-1])
    spans = None
    if pairs.offset_mapping is not None and seconds.offset_mapping is not None:
        spans = np.concatenate([pairs.offset_mapping, seconds.offset_mapping])[at]
    return Encoding(
        np.concatenate([pairs.ids, seconds.ids])[at], offsets, pairs.truncated,
        offset_mapping=spans, windows=first, n_first=pairs.n_first[of],
    )


def padded_width(
    lengths: npt.NDArray[np.int64],
    padding: str | bool,
    max_length: int | None,
    multiple_of: int | None,
) -> int | None:
    """Return the number of tokens that each row is padded to; None for no padding."""
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; must be one of {PADDINGS}")
    if padding == "max_length" and max_length is None:
        raise ValueError("padding='max_length' needs a max_length")
    if padding is False or padding == "do_not_pad":
        return None
    width = int(lengths.max(initial=0))
    if padding == "max_length":
        width = max(width, max_length or 0)
    if multiple_of is not None:
        if isinstance(multiple_of, bool) or not isinstance(multiple_of, (int, np.integer)):
            kind = type(multiple_of).__name__
            raise TypeError(f"pad_to_multiple_of: expected int, got {kind}")
        if multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of is {multiple_of}; must be at least 1")
        width = -(-width // int(multiple_of)) * int(multiple_of)
    return width


def as_rows(
    values: npt.NDArray[np.integer], offsets: npt.NDArray[np.int64], width: int | None, fill: int
) -> npt.NDArray[np.int64] | list[npt.NDArray[np.int64]]:
    """Arrange concatenated values as a rectangle, or as a list of rows if `width` is None.

    Parameters
    ----------
    values : ndarray, shape (n_tokens, ...)
    offsets : ndarray of int64, shape (n_rows + 1,)
        Start of each row, and the end of the last.
    width : int or None
    fill : int
        The value after the end of a row.

    Returns
    -------
    ndarray of int64, shape (n_rows, width, ...), or list of ndarray
    """
    values = values.astype(np.int64, copy=False)
    if width is None:
        return np.split(values, offsets[1:-1]) if len(offsets) > 1 else []
    lengths = np.diff(offsets)
    inside = np.arange(width) < lengths[:, None]
    rows = np.full((*inside.shape, *values.shape[1:]), fill, dtype=np.int64)
    rows[inside] = values
    return rows
