"""What is read of a text that is longer than `max_length`, in training and at prediction."""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bertsent.parameters import resolve_max_length

# Texts tokenized at once where only their lengths are wanted.
_COUNTED_AT_ONCE = 4096
_NOT_READ = {"head": "end", "tail": "beginning", "head+tail": "middle"}


@dataclass(frozen=True)
class Reader:
    """The rule by which a classifier reads texts.

    Parameters
    ----------
    max_length : int
        Most tokens that the model is given at once, special ones included.
    long_text, stride : str, int
        As `BertClassifier` has them.
    """

    max_length: int
    long_text: str = "head"
    stride: int = 0

    @classmethod
    def of(cls, parameters, positions, *, inference=False):
        """That of a classifier's parameters, for a model with so many positions."""
        how = (inference and parameters["inference_long_text"]) or parameters["long_text"]
        return cls(
            resolve_max_length(parameters["max_length"], positions),
            str(how),
            int(parameters["stride"]) if how == "windows" else 0,
        )

    def encode(self, tokenizer, texts, n_threads):
        """Tokens of the texts, as an `Encoding`."""
        return tokenizer.encode_batch(
            texts, max_length=self.max_length, truncation=self.long_text, stride=self.stride,
            n_threads=n_threads,
        )

    def count(self, tokenizer, texts, n_threads):
        """Tokens of each text, as `count_tokens`, but perhaps without those that are not read."""
        if self.long_text == "windows":
            return count_tokens(tokenizer, texts, n_threads)
        return np.diff(self.encode(tokenizer, texts, n_threads).offsets) - 2

    def tokens_read(self, totals):
        """How many tokens are read of texts that have so many, [CLS] and [SEP] not counted."""
        if self.long_text == "windows":
            return totals
        return np.minimum(totals, self.max_length - 2)

    def sequence_lengths(self, totals):
        """What such texts are to the model.

        Returns
        -------
        lengths : ndarray of int64
            Tokens of each sequence, [CLS] and [SEP] included.
        first : ndarray of int64, shape (texts + 1,)
            The first sequence of each text, and how many there are.
        """
        read, room = self.tokens_read(totals), self.max_length - 2
        step = room - self.stride
        more = -(-np.maximum(read - room, 0) // step)  # windows behind the first
        first = np.concatenate([[0], np.cumsum(more + 1)])
        lengths = np.full(first[-1], self.max_length)
        lengths[first[1:] - 1] = read - more * step + 2
        return lengths, first

    def warn_of_cuts(self, tokenizer, texts, encoding, n_threads):
        """Warn if not all of the texts is read, and say how much."""
        cut = np.flatnonzero(encoding.truncated)
        if not len(cut) or self.long_text == "windows":
            return
        part = ""
        try:
            totals = count_tokens(tokenizer, [texts[row] for row in cut], n_threads)
        except ValueError:  # what is not read may be damaged, and does no harm
            pass
        else:
            left_out = (totals - self.tokens_read(totals)).sum()
            read = len(encoding.ids) - 2 * len(texts)
            part = f", {left_out / (left_out + read):.1%} of all tokens"
        warnings.warn(
            f"{len(cut) / len(texts):.1%} of the texts ({len(cut)} of {len(texts)}) are longer "
            f"than max_length={self.max_length} tokens; the {_NOT_READ[self.long_text]} of them "
            f"is not read in training{part}",
            UserWarning,
            stacklevel=5,
        )


class Windows(NamedTuple):
    """Which sequences make one text, and what each counts for it.

    Attributes
    ----------
    first : ndarray of int64, shape (texts + 1,)
        The first sequence of each text, and how many there are.
    shares : ndarray of float32, shape (sequences,)
        Part of each in the logits of its text: its tokens, [CLS] and [SEP] not counted, in
        those of all sequences of the text.
    """

    first: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, encoding):
        """Those of an encoding; None where every text is one sequence."""
        first = encoding.windows
        if first is None or first[-1] == len(first) - 1:
            return None
        # A text without tokens is one window, which counts all.
        sizes = np.maximum(np.diff(encoding.offsets) - 2, 1)
        totals = np.add.reduceat(sizes, first[:-1])
        shares = sizes / np.repeat(totals, np.diff(first))
        return cls(first, shares.astype(np.float32))

    def take(self, texts):
        """The sequences of some texts, in their order.

        Returns
        -------
        rows : ndarray of int64
            Which sequences those are.
        windows : Windows
            Of these alone.
        """
        counts = self.first[texts + 1] - self.first[texts]
        first = np.concatenate([[0], np.cumsum(counts)])
        rows = np.repeat(self.first[texts] - first[:-1], counts) + np.arange(first[-1])
        return rows, Windows(first, self.shares[rows])

    def keys(self, texts):
        """What dropout knows the sequences of `take` by; the first windows as a text alone."""
        counts = self.first[texts + 1] - self.first[texts]
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.repeat(texts, counts).astype(np.uint64) | place.astype(np.uint64) << np.uint64(32)

    def mean(self, logits):
        """Logits of the texts (float32) from those of all sequences."""
        weighted = logits.astype(np.float64) * self.shares[:, None]
        return np.add.reduceat(weighted, self.first[:-1], axis=0).astype(np.float32)


def most_sequences(encoding, texts):
    """The most sequences that so many texts of an encoding are."""
    if encoding.windows is None:
        return texts
    return int(np.sort(np.diff(encoding.windows))[-texts:].sum())


def count_tokens(tokenizer, texts, n_threads=None):
    """Tokens of each whole text, [CLS] and [SEP] not counted.

    Parameters
    ----------
    tokenizer : WordPieceTokenizer
    texts : list of str or ArrowTexts
    n_threads : int, optional

    Returns
    -------
    ndarray of int64
    """
    if not isinstance(texts, list):
        return np.diff(tokenizer.encode_batch(texts, n_threads=n_threads).offsets) - 2
    counts = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(texts), _COUNTED_AT_ONCE):
        some = texts[first : first + _COUNTED_AT_ONCE]
        counts.append(np.diff(tokenizer.encode_batch(some, n_threads=n_threads).offsets) - 2)
    return np.concatenate(counts)
