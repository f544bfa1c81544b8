"""Find the words of texts, which people read, in the tokens, which a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.tokenizer import Tokenizer

_APOSTROPHES = "'\u2019"


class Words(NamedTuple):
    """Where the words of a text are.

    Attributes
    ----------
    starts, ends : ndarray of int64, shape (n_words,)
        Their first characters, and those after their last.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def of(self, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the number of the word of each token, given its first character."""
        found = np.searchsorted(self.starts, starts, side="right") - 1
        return np.maximum(found, 0)


def find_words(tokenizer: Tokenizer, texts: Sequence[str], n_threads: int) -> list[Words]:
    """Return the words of whole texts.

    A word is a token with all tokens that continue it, as in whole-word masking. Contractions such
    as "don't" and runs of the same sign such as "..." are one word; tokenizers may divide them.

    Parameters
    ----------
    tokenizer : Tokenizer
    texts : sequence of str
    n_threads : int

    Returns
    -------
    list of Words
    """
    before, after = tokenizer._joints()
    encoding = tokenizer.encode_batch(
        list(texts), return_offsets_mapping=True, n_threads=n_threads
    )
    assert encoding.offset_mapping is not None
    found = []
    for text, begin, end in zip(texts, encoding.offsets, encoding.offsets[1:], strict=False):
        inside = slice(begin + 1, end - 1)
        ids = encoding.ids[inside]
        # Whether a token continues the one before it, in the tokenizer's own view.
        joined = np.zeros(len(ids), dtype=bool)
        joined[1:] = (before[ids[1:]] & after[ids[:-1]]) != 0
        found.append(_words_of(text, encoding.offset_mapping[inside].tolist(), joined.tolist()))
    return found


def _words_of(text: str, spans: list[list[int]], joined: list[bool]) -> Words:
    starts: list[int] = []
    ends: list[int] = []
    for (start, end), continues in zip(spans, joined, strict=True):
        # Vocabularies of bytes have tokens of spaces and line breaks.
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        if start >= end:
            continue
        if ends and (
            start < ends[-1] or (start == ends[-1] and (continues or _belongs(text, start)))
        ):
            ends[-1] = max(end, ends[-1])
        else:
            starts.append(start)
            ends.append(end)
    return Words(np.array(starts, np.int64), np.array(ends, np.int64))


def _belongs(text: str, at: int) -> bool:
    """Whether what begins at a character belongs to the word before it, which ends there."""
    last, own, following = text[at - 1], text[at], text[at + 1 : at + 2]
    if own in _APOSTROPHES:
        return last.isalnum() and following.isalnum()
    if last in _APOSTROPHES:
        return own.isalnum() and at > 1 and text[at - 2].isalnum()
    return own == last and not own.isalnum()
