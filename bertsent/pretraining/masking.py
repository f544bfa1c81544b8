"""Cut texts into pieces for masked language modelling, and mask their words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.tokenizer import Tokenizer

# Makes the random numbers here independent of others with the same seed.
_DOMAIN = 0x6D61736B
# The "epoch" of masks that never change.
FIXED = 2**63


class Pieces(NamedTuple):
    """Pieces of texts, concatenated.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        Each piece with its [CLS] and [SEP].
    offsets : ndarray of int64, shape (n_pieces + 1,)
        Start of each piece, and the end of the last.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]


def cut_pieces(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], max_length: int
) -> Pieces:
    """Cut each text into consecutive pieces of nearly equal length.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        Concatenated texts, each with its [CLS] and [SEP].
    offsets : ndarray of int64, shape (n_texts + 1,)
        Start of each text, and the end of the last.
    max_length : int
        Largest number of tokens of a piece, including [CLS] and [SEP]; at least 3.

    Returns
    -------
    Pieces
        In the order of the texts. A text without tokens has no pieces.
    """
    inner = np.diff(offsets) - 2
    counts = -(-inner // (max_length - 2))
    text = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(text)) - np.repeat(np.cumsum(counts) - counts, counts)
    begins = inner[text] * nth // counts[text]
    ends = inner[text] * (nth + 1) // counts[text]
    cut = np.zeros(len(text) + 1, dtype=np.int64)
    np.cumsum(ends - begins + 2, out=cut[1:])
    shifts = np.repeat(offsets[text] + begins - cut[:-1], ends - begins + 2)
    # One token before and one after each piece are copied too, and replaced by [CLS] and [SEP].
    pieces = ids[shifts + np.arange(cut[-1])]
    if len(text):
        pieces[cut[:-1]], pieces[cut[1:] - 1] = ids[0], ids[-1]
    return Pieces(pieces, cut)


class Masker:
    """Whole-word masking, as in BERT's pretraining (Devlin et al. 2019).

    In each piece, random words are selected until they contain the given share of its tokens. Of
    the selected tokens, 80 % become [MASK], 10 % a random other token, and 10 % stay as they are.
    A word is a token with all tokens that continue it: those that begin with ``##`` or, in
    byte-level vocabularies, letters after letters, digits after digits and so on. Special tokens
    are never selected.

    The selection depends only on the seed, the epoch, and the number of the piece.

    Parameters
    ----------
    tokenizer : Tokenizer
        It must have a mask token.
    probability : float
        Share of the tokens that is selected; at least one token of every piece that has any.
    seed : int
    """

    def __init__(self, tokenizer: Tokenizer, probability: float, seed: int) -> None:
        self.probability, self.seed = probability, seed
        size, tokens = tokenizer.vocab_size, tokenizer._tokens
        self.special = np.zeros(size, dtype=bool)
        self.special[[*tokenizer._special_ids, *tokenizer.all_special_ids]] = True
        self.before, self.after = tokenizer._joints()
        there = np.array([token is not None for token in tokens])
        known = np.arange(size) < tokenizer.n_usable
        self.others = np.flatnonzero(there & known & ~self.special).astype(np.int32)
        mask = tokenizer.mask_token_id
        assert mask is not None, "the tokenizer has no mask token"
        self.mask = mask

    def hide(
        self,
        ids: npt.NDArray[np.int32],
        cu_seqlens: npt.NDArray[np.int64],
        pieces: Iterable[int],
        epoch: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """Mask tokens of some pieces, in place.

        Parameters
        ----------
        ids : ndarray of int32, shape (n_tokens,)
            The pieces, concatenated.
        cu_seqlens : ndarray of int64, shape (n_pieces + 1,)
            Start of each piece, and the end of the last.
        pieces : sequence of int
            Numbers of the pieces.
        epoch : int
            Each epoch has its own masks; `FIXED` for masks that never change.

        Returns
        -------
        tokens : ndarray of int64
            Positions of the tokens to predict, in ascending order.
        labels : ndarray of int32
            The original ids of these tokens.
        """
        tokens, labels = [], []
        for begin, end, piece in zip(cu_seqlens[:-1], cu_seqlens[1:], pieces, strict=True):
            chosen, hidden = self._hide(ids[begin:end], int(piece), epoch)
            tokens.append(begin + chosen)
            labels.append(hidden)
        return np.concatenate(tokens), np.concatenate(labels)

    def _hide(
        self, ids: npt.NDArray[np.int32], piece: int, epoch: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        n = len(ids)
        # The raw bits of a counter-based generator are the same in every version of NumPy.
        key, counter = (
            np.array(words, np.uint64) for words in ([self.seed, _DOMAIN], [0, piece, epoch, 0])
        )
        bits = np.random.Philox(key=key, counter=counter).random_raw(3 * n)
        chosen = self._choose(ids, bits[:n])
        labels = ids[chosen]
        fate = bits[n + chosen] / 2.0**64
        ids[chosen[fate < 0.8]] = self.mask
        other = chosen[(fate >= 0.8) & (fate < 0.9)]
        ids[other] = self.others[bits[2 * n + other] % np.uint64(len(self.others))]
        return chosen, labels

    def _choose(
        self, ids: npt.NDArray[np.int32], bits: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.int64]:
        """Return the tokens of a piece to predict: whole words, in the order of `bits`."""
        plain = ~self.special[ids]
        after_plain = np.append(False, plain[:-1])
        joined = np.append(False, self.before[ids[1:]] & self.after[ids[:-1]] > 0)
        begins = plain & ~(joined & after_plain)
        word = np.cumsum(begins) - 1
        sizes = np.bincount(word[plain])
        left = max(1, round(self.probability * int(plain.sum())))
        order = np.argsort(bits[: len(sizes)], kind="stable")
        taken = np.zeros(len(sizes), dtype=bool)
        for number, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
            # A word with more tokens than are left to select is skipped, unless it is the only one.
            if size <= left:
                taken[number] = True
                left -= size
            if not left:
                break
        if not taken.any():
            taken[order[:1]] = True
        places = np.flatnonzero(plain)
        return places[taken[word[places]]] if len(places) else places
