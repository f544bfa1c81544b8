"""The sequences that a model reads of texts, with the word of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bertsent.texts import Windows, are_pairs, take_apart

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.explanation.words import Words
    from bertsent.texts import Reader, Text
    from bertsent.tokenizer import Encoding, Tokenizer


class Sequences(NamedTuple):
    """What a model reads of texts: B sequences with T tokens in all, laid end to end.

    Attributes
    ----------
    ids, types : ndarray of int32, shape (T,)
        `types` is None if all are 0.
    offsets : ndarray of int64, shape (B + 1,)
        Where each sequence begins, and T.
    texts : ndarray of int64, shape (B,)
        The text that each sequence is of.
    shares : ndarray of float64, shape (B,)
        Its weight in the logits of the text.
    words : ndarray of int64, shape (T,)
        The word of each token, numbered through all texts; -1 for special tokens around texts.
    """

    ids: npt.NDArray[np.int32]
    types: npt.NDArray[np.int32] | None
    offsets: npt.NDArray[np.int64]
    texts: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    words: npt.NDArray[np.int64]

    def masked(self, mask: int) -> npt.NDArray[np.int32]:
        """Return the ids with `mask` in place of all words."""
        return np.where(self.words >= 0, np.int32(mask), self.ids).astype(np.int32)


def sum_by(
    numbers: npt.NDArray[np.int64], values: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.float64]:
    """Return the sum of the values of each number from 0 to `count` - 1."""
    found: npt.NDArray[np.float64] = np.bincount(numbers, values, count).astype(np.float64)
    return found


def read_sequences(
    reader: Reader, tokenizer: Tokenizer, texts: Sequence[Text], words: Sequence[Sequence[Words]],
    n_threads: int,
) -> Sequences:
    """Return what a model reads of texts.

    Parameters
    ----------
    reader : Reader
    tokenizer : Tokenizer
    texts : sequence of str, or of pairs
    words : sequence of sequences of Words
        Of each text, or of both texts of each pair. Words are numbered in this order.
    n_threads : int
    """
    given = take_apart(texts) if are_pairs(texts) else (texts,)
    encoding = tokenizer.encode_batch(
        *map(list, given), max_length=reader.max_length, truncation=reader.long_text,
        stride=reader.stride, return_offsets_mapping=True, n_threads=n_threads,
    )
    windows = Windows.of(encoding)
    count = len(encoding.offsets) - 1
    of_text, shares = np.arange(count), np.ones(count)
    if windows is not None:
        of_text = np.repeat(np.arange(len(texts)), np.diff(windows.first))
        shares = windows.shares.astype(np.float64)
    numbers = _number(encoding, of_text, words, reader.special)
    return Sequences(
        encoding.ids, encoding.token_type_ids, encoding.offsets, of_text, shares, numbers
    )


def _number(
    encoding: Encoding, texts: npt.NDArray[np.int64], words: Sequence[Sequence[Words]],
    special: int,
) -> npt.NDArray[np.int64]:
    """Return the number of the word of each token."""
    assert encoding.offset_mapping is not None
    sizes = [len(part.starts) for parts in words for part in parts]
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    found = np.full(len(encoding.ids), -1, np.int64)
    each = len(words[0]) if words else 1
    for row, text in enumerate(texts.tolist()):
        begin, end = int(encoding.offsets[row]) + 1, int(encoding.offsets[row + 1]) - 1
        parts = [(begin, end)]
        if encoding.n_first is not None:
            second = begin - 1 + int(encoding.n_first[row])
            parts = [(begin, second - (special - 2)), (second, end)]
        for number, (start, stop) in enumerate(parts):
            own = words[text][number]
            if len(own.starts):
                of = own.of(encoding.offset_mapping[start:stop, 0])
                found[start:stop] = first[text * each + number] + of
    return found
