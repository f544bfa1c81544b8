"""Which part of a text longer than `max_length` is read, in training and in prediction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent._core import ArrowTexts
    from bertsent.texts.types import Texts
    from bertsent.tokenizer import Encoding, Tokenizer

AUTO_LENGTH = 256
# Texts that are tokenized at once if only their lengths are needed.
_COUNTED_AT_ONCE = 4096
_NOT_READ = {"head": "end", "tail": "beginning", "head+tail": "middle"}


@dataclass(frozen=True)
class Reader:
    """How a classifier reads texts.

    Parameters
    ----------
    max_length : int
        Largest number of tokens that the model reads at once, including special tokens.
    long_text : str, default="head"
        As in `BertClassifier`.
    stride : int, default=0
        As in `BertClassifier`.
    """

    max_length: int
    long_text: str = "head"
    stride: int = 0

    @classmethod
    def of(
        cls, parameters: Mapping[str, Any], positions: int, *, inference: bool = False
    ) -> Reader:
        """Return the reader for a classifier's parameters and a model's number of positions."""
        how = (inference and parameters["inference_long_text"]) or parameters["long_text"]
        return cls(
            resolve_max_length(parameters["max_length"], positions),
            str(how),
            int(parameters["stride"]) if how == "windows" else 0,
        )

    def encode(
        self, tokenizer: Tokenizer, texts: Texts | ArrowTexts, n_threads: int
    ) -> Encoding:
        """Return the tokens that are read of the texts, as an `Encoding`."""
        return tokenizer.encode_batch(
            texts, max_length=self.max_length, truncation=self.long_text, stride=self.stride,
            n_threads=n_threads,
        )

    def count(
        self, tokenizer: Tokenizer, texts: Texts | ArrowTexts, n_threads: int
    ) -> npt.NDArray[np.int64]:
        """Return the tokens of each text, as `count_tokens`; tokens not read may be left out."""
        if self.long_text == "windows":
            return count_tokens(tokenizer, texts, n_threads)
        return np.diff(self.encode(tokenizer, texts, n_threads).offsets) - 2

    def tokens_read(self, totals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many of each text's `totals` are read, without [CLS] and [SEP]."""
        if self.long_text == "windows":
            return totals
        return np.minimum(totals, self.max_length - 2)

    def sequence_lengths(
        self, totals: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the lengths of the sequences that the model reads for texts of these lengths.

        Parameters
        ----------
        totals : ndarray of int64, shape (n_texts,)
            Tokens of each text, without [CLS] and [SEP].

        Returns
        -------
        lengths : ndarray of int64, shape (n_sequences,)
            Tokens of each sequence, with [CLS] and [SEP].
        first : ndarray of int64, shape (n_texts + 1,)
            The first sequence of each text, and the total number of sequences.
        """
        read, room = self.tokens_read(totals), self.max_length - 2
        step = room - self.stride
        more = -(-np.maximum(read - room, 0) // step)  # windows after the first
        first = np.concatenate([[0], np.cumsum(more + 1)])
        lengths = np.full(first[-1], self.max_length)
        lengths[first[1:] - 1] = read - more * step + 2
        return lengths, first

    def describe_cuts(
        self, tokenizer: Tokenizer, texts: list[str], encoding: Encoding, n_threads: int
    ) -> str | None:
        """Return a sentence about what is left out of long texts, or None if nothing is."""
        cut = np.flatnonzero(encoding.truncated)
        if not len(cut) or self.long_text == "windows":
            return None
        part = ""
        try:
            totals = count_tokens(tokenizer, [texts[row] for row in cut], n_threads)
        except ValueError:  # the part that is not read may be damaged; that does not matter
            pass
        else:
            left_out = (totals - self.tokens_read(totals)).sum()
            read = len(encoding.ids) - 2 * len(texts)
            part = f", {left_out / (left_out + read):.1%} of all tokens"
        return (
            f"{len(cut) / len(texts):.1%} of the texts ({len(cut)} of {len(texts)}) are longer "
            f"than {spell('max_length', self.max_length)} tokens; the "
            f"{_NOT_READ[self.long_text]} of them is not read in training{part}"
        )


class Windows(NamedTuple):
    """The sequences of each text, and their weights in the logits of the text.

    Attributes
    ----------
    first : ndarray of int64, shape (n_texts + 1,)
        The first sequence of each text, and the total number of sequences.
    shares : ndarray of float32, shape (n_sequences,)
        Weight of each sequence in the logits of its text: its share of the tokens of all
        sequences of the text, without [CLS] and [SEP].
    """

    first: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]

    @classmethod
    def of(cls, encoding: Encoding) -> Windows | None:
        """Return the windows of an `Encoding`; None if every text is one sequence."""
        first = encoding.windows
        if first is None or first[-1] == len(first) - 1:
            return None
        # A text without tokens is one window, which must have weight 1.
        sizes = np.maximum(np.diff(encoding.offsets) - 2, 1)
        totals = np.add.reduceat(sizes, first[:-1])
        shares = sizes / np.repeat(totals, np.diff(first))
        return cls(first, shares.astype(np.float32))

    def take(self, texts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Windows]:
        """Return the sequences of some texts, in their order.

        Returns
        -------
        rows : ndarray of int64
            Numbers of the sequences.
        windows : Windows
            The windows of these texts only.
        """
        counts = self.first[texts + 1] - self.first[texts]
        first = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.first[texts] - first[:-1], counts) + np.arange(first[-1])
        return rows, Windows(first, self.shares[rows])

    def keys(self, texts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """Return the dropout keys of the sequences of `take`; a first window has its text's key."""
        counts = self.first[texts + 1] - self.first[texts]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows, places = np.repeat(texts, counts).astype(np.uint64), place.astype(np.uint64)
        keys: npt.NDArray[np.uint64] = rows | places << np.uint64(32)
        return keys

    def mean(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the logits of the texts (float32), given those of all sequences."""
        weighted = logits.astype(np.float64) * self.shares[:, None]
        return np.add.reduceat(weighted, self.first[:-1], axis=0).astype(np.float32)


def most_sequences(encoding: Encoding, texts: int) -> int:
    """Return the largest number of sequences that any `texts` texts of an encoding have."""
    if encoding.windows is None:
        return texts
    return int(np.sort(np.diff(encoding.windows))[-texts:].sum())


def count_tokens(
    tokenizer: Tokenizer, texts: Texts | ArrowTexts, n_threads: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the number of tokens of each whole text, without [CLS] and [SEP].

    Parameters
    ----------
    tokenizer : Tokenizer
    texts : list of str or ArrowTexts
    n_threads : int, optional

    Returns
    -------
    ndarray of int64, shape (n_texts,)
    """
    if not isinstance(texts, list):
        return np.diff(tokenizer.encode_batch(texts, n_threads=n_threads).offsets) - 2
    counts: list[npt.NDArray[np.int64]] = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(texts), _COUNTED_AT_ONCE):
        some = texts[first : first + _COUNTED_AT_ONCE]
        counts.append(np.diff(tokenizer.encode_batch(some, n_threads=n_threads).offsets) - 2)
    return np.concatenate(counts)


def resolve_max_length(max_length: int | str, positions: int) -> int:
    """Return the length in tokens; raise if the model has fewer positions.

    "auto" means 256 or, if smaller, the number of positions.
    """
    if isinstance(max_length, str):
        return min(AUTO_LENGTH, positions)
    if max_length > positions:
        raise ValueError(
            f"{spell('max_length', max_length)} is larger than the {positions} positions of the "
            f"model; expected at most {positions}"
        )
    return int(max_length)
