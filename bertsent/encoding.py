"""What comes out of the tokenizer: ids laid end to end, or a padded rectangle."""

from typing import NamedTuple

import numpy as np

PADDINGS = ("longest", "max_length", "do_not_pad", True, False)


class Encoding(NamedTuple):
    """Token ids of several texts, laid end to end.

    Attributes
    ----------
    ids : ndarray of int32
        The ids of all texts; those of text `i` are ``ids[offsets[i]:offsets[i + 1]]``.
    offsets : ndarray of int64
        Where each text, or each window, begins; one more than there are of them.
    truncated : ndarray of bool
        Which texts were cut at `max_length`, or into windows.
    token_type_ids : ndarray of int32 or None
        Of pairs: 0 for [CLS], the first text and its [SEP], 1 for the second and its [SEP].
    offset_mapping : ndarray of int64, shape (tokens, 2), or None
        Where asked for: the characters that each token stands for, as the first and the one behind
        the last of its text; (0, 0) for [CLS] and [SEP].
    windows : ndarray of int64, shape (texts + 1,), or None
        With ``truncation="windows"``: the first window of each text, and how many there are of all;
        those of text `i` are ``windows[i]`` to ``windows[i + 1] - 1``.
    """

    ids: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray
    token_type_ids: np.ndarray | None = None
    offset_mapping: np.ndarray | None = None
    windows: np.ndarray | None = None


def token_types(offsets, n_first):
    """Type of each token, given how many of each sequence belong to its first text."""
    counts = np.stack([n_first, np.diff(offsets) - n_first], axis=1)
    return np.repeat(np.tile(np.array([0, 1], dtype=np.int32), len(n_first)), counts.ravel())


def padded_width(lengths, padding, max_length, multiple_of):
    """Tokens that each row is padded to, or None if rows stay as they are."""
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; must be one of {PADDINGS}")
    if padding == "max_length" and max_length is None:
        raise ValueError("padding='max_length' needs a max_length")
    if padding is False or padding == "do_not_pad":
        return None
    width = int(lengths.max(initial=0))
    if padding == "max_length":
        width = max(width, max_length)
    if multiple_of is not None:
        if isinstance(multiple_of, bool) or not isinstance(multiple_of, (int, np.integer)):
            kind = type(multiple_of).__name__
            raise TypeError(f"pad_to_multiple_of: expected int, got {kind}")
        if multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of is {multiple_of}; must be at least 1")
        width = -(-width // int(multiple_of)) * int(multiple_of)
    return width


def as_rows(values, offsets, width, fill):
    """Lay one array of all tokens out as a rectangle, or as a list of rows if `width` is None.

    Parameters
    ----------
    values : ndarray, shape (tokens, ...)
    offsets : ndarray of int64
        Where each row begins, and the end.
    width : int or None
    fill : int
        What stands behind the end of a row.

    Returns
    -------
    ndarray of int64, shape (rows, width, ...), or list of ndarray
    """
    values = values.astype(np.int64, copy=False)
    if width is None:
        return np.split(values, offsets[1:-1]) if len(offsets) > 1 else []
    lengths = np.diff(offsets)
    inside = np.arange(width) < lengths[:, None]
    rows = np.full((*inside.shape, *values.shape[1:]), fill, dtype=np.int64)
    rows[inside] = values
    return rows
