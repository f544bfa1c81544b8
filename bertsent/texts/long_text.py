"""Which part of a text longer than `max_length` is read, in training and in prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.texts.check import name_texts
from bertsent.texts.pairs import are_pairs, take_apart
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent._core import ArrowTexts
    from bertsent.texts.types import Text
    from bertsent.tokenizer import Encoding, Tokenizer

AUTO_LENGTH = 256
# Texts that are tokenized at once if only their lengths are needed.
_COUNTED_AT_ONCE = 4096
_NOT_READ = {"head": "end", "tail": "beginning", "head+tail": "middle"}


@dataclass(frozen=True)
class Reader:
    """How a classifier reads texts, or pairs of texts.

    Parameters
    ----------
    max_length : int
        Largest number of tokens that the model reads at once, including special tokens.
    long_text : str, default="head"
        As in `BertClassifier`.
    stride : int, default=0
        As in `BertClassifier`.
    special : int, default=2
        Number of special tokens of a sequence: 2, or 3 or 4 in a pair
        (`Tokenizer.num_special_tokens_to_add`).
    """

    max_length: int
    long_text: str = "head"
    stride: int = 0
    special: int = 2

    @classmethod
    def of(
        cls, parameters: Mapping[str, Any], positions: int, *, inference: bool = False,
        special: int = 2,
    ) -> Reader:
        """Return the reader for a classifier's parameters and a model's number of positions."""
        how = (inference and parameters["inference_long_text"]) or parameters["long_text"]
        length = resolve_max_length(parameters["max_length"], positions)
        stride = int(parameters["stride"]) if how == "windows" else 0
        if special > 2:
            _check_pairs(length, stride, how == "windows", special)
        elif stride > most_shared(length):
            raise ValueError(
                f"{spell('stride', stride)} leaves no room for new tokens in windows of {length} "
                f"tokens; expected at most {most_shared(length)}"
            )
        return cls(length, str(how), stride, special)

    @property
    def room(self) -> int:
        """Tokens of a sequence that are not special."""
        return self.max_length - self.special

    def encode(
        self, tokenizer: Tokenizer, texts: Sequence[Text] | ArrowTexts, n_threads: int
    ) -> Encoding:
        """Return the tokens that are read of the texts, as an `Encoding`."""
        return _encode(
            tokenizer, texts, max_length=self.max_length, truncation=self.long_text,
            stride=self.stride, n_threads=n_threads,
        )

    def count(
        self, tokenizer: Tokenizer, texts: Sequence[Text] | ArrowTexts, n_threads: int
    ) -> npt.NDArray[np.int64]:
        """Return the tokens of each text, as `count_tokens`; tokens not read may be left out."""
        if self.long_text == "windows":
            return count_tokens(tokenizer, texts, n_threads)
        return np.diff(self.encode(tokenizer, texts, n_threads).offsets) - self.special

    def tokens_read(self, totals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return how many of each text's `totals` are read, without special tokens.

        Parameters
        ----------
        totals : ndarray of int64, shape (n_texts,) or (n_texts, 2)
            As `count_tokens` returns them.

        Returns
        -------
        ndarray of int64, shape (n_texts,)
        """
        if self.long_text == "windows":
            return self._repeated(totals) + totals[:, 1] if totals.ndim == 2 else totals
        return np.minimum(sum_pairs(totals), self.room)

    def _repeated(self, totals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the tokens of the first text of each pair, which all windows of it contain."""
        first, second = totals[:, 0], totals[:, 1]
        # As "longest_first" leaves them: of an odd number, the longer text gets one more.
        half = np.where(first > second, self.room - self.room // 2, self.room // 2)
        found: npt.NDArray[np.int64] = np.minimum(first, np.maximum(self.room - second, half))
        return found

    def sequence_lengths(
        self, totals: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the lengths of the sequences that the model reads for texts of these lengths.

        Parameters
        ----------
        totals : ndarray of int64, shape (n_texts,) or (n_texts, 2)
            As `count_tokens` returns them.

        Returns
        -------
        lengths : ndarray of int64, shape (n_sequences,)
            Tokens of each sequence, with special tokens.
        first : ndarray of int64, shape (n_texts + 1,)
            The first sequence of each text, and the total number of sequences.
        """
        read, repeated = self.tokens_read(totals), np.zeros(len(totals), np.int64)
        if self.long_text == "windows" and totals.ndim == 2:
            repeated = self._repeated(totals)
            read = totals[:, 1]
        room = self.room - repeated
        step = np.maximum(room - self.stride, 1)  # 0 if a short second text fits
        more = -(-np.maximum(read - room, 0) // step)  # windows after the first
        first = np.concatenate([[0], np.cumsum(more + 1)])
        lengths = np.full(first[-1], self.max_length)
        lengths[first[1:] - 1] = repeated + read - more * step + self.special
        return lengths, first

    def describe_cuts(
        self, tokenizer: Tokenizer, texts: list[Text], encoding: Encoding, n_threads: int
    ) -> str | None:
        """Return a sentence about what is left out of long texts, or None if nothing is."""
        cut = np.flatnonzero(encoding.truncated)
        if not len(cut) or self.long_text == "windows":
            return None
        part, what = "", "pairs" if are_pairs(texts) else "texts"
        try:
            totals = count_tokens(tokenizer, [texts[row] for row in cut], n_threads)
        except ValueError:  # the part that is not read may be damaged; that does not matter
            pass
        else:
            left_out = totals.sum() - self.tokens_read(totals).sum()
            read = len(encoding.ids) - self.special * len(texts)
            part = f", {left_out / (left_out + read):.1%} of all tokens"
        return (
            f"{len(cut) / len(texts):.1%} of the {what} ({len(cut)} of {len(texts)}) are longer "
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
        sequences of the text, without special tokens and without the first text of a pair, which
        is the same in all of them.
    """

    first: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float32]

    @classmethod
    def of(cls, encoding: Encoding) -> Windows | None:
        """Return the windows of an `Encoding`; None if every text is one sequence."""
        first = encoding.windows
        if first is None or first[-1] == len(first) - 1:
            return None
        sizes = np.diff(encoding.offsets)
        sizes -= 2 if encoding.n_first is None else encoding.n_first + 1
        sizes = np.maximum(sizes, 1)  # without tokens, there is one window; its weight must be 1
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


def _encode(
    tokenizer: Tokenizer, texts: Sequence[Text] | ArrowTexts, **how: Any
) -> Encoding:
    """Return the tokens of texts or pairs."""
    if are_pairs(texts):
        return tokenizer.encode_batch(*take_apart(texts), **how)
    return tokenizer.encode_batch(texts, **how)


def sum_pairs(totals: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the tokens of whole texts or pairs, given what `count_tokens` returns."""
    return totals if totals.ndim == 1 else totals.sum(axis=1)


def count_tokens(
    tokenizer: Tokenizer, texts: Sequence[Text] | ArrowTexts, n_threads: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the number of tokens of each whole text, without special tokens.

    Parameters
    ----------
    tokenizer : Tokenizer
    texts : list of str, list of pairs, or ArrowTexts
    n_threads : int, optional

    Returns
    -------
    ndarray of int64, shape (n_texts,)
        For pairs (n_texts, 2): the tokens of the first and of the second texts.
    """
    if not isinstance(texts, list):
        return np.diff(tokenizer.encode_batch(texts, n_threads=n_threads).offsets) - 2
    counts: list[npt.NDArray[np.int64]] = []
    for begin in range(0, max(len(texts), 1), _COUNTED_AT_ONCE):
        some = texts[begin : begin + _COUNTED_AT_ONCE]
        with name_texts(partial(_name_counted, begin)):
            encoding = _encode(tokenizer, some, n_threads=n_threads)
        lengths, n_first = np.diff(encoding.offsets), encoding.n_first
        if n_first is None:
            counts.append(lengths - 2)
        else:
            special = tokenizer.num_special_tokens_to_add(pair=True)
            counts.append(np.stack([n_first - special + 1, lengths - n_first - 1], axis=1))
    return np.concatenate(counts)


def _name_counted(begin: int, number: int) -> str:
    return f"texts[{begin + number}]"


def most_shared(max_length: int, special: int = 2) -> int:
    """Return the largest stride of windows: at least one token of each is new.

    In windows over the second text of a pair, the first text takes up to half of the room.
    """
    room = max_length - special
    return (room if special == 2 else room // 2) - 1


def _check_pairs(max_length: int, stride: int, windows: bool, special: int) -> None:
    """Raise unless pairs can be read like this."""
    least = special + 2 if windows else special + 1
    if max_length < least:
        raise ValueError(
            f"{spell('max_length', max_length)} is too small for pairs of texts; expected at "
            f"least {least}"
        )
    most = most_shared(max_length, special)
    if stride > most:
        raise ValueError(
            f"{spell('stride', stride)} is too large for windows over the second text of a pair, "
            f"with {spell('max_length', max_length)}; expected at most {most}"
        )


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
