"""Pieces of texts for masked language modelling, and which of their tokens are hidden."""

from typing import NamedTuple

import numpy as np

# Keeps the numbers drawn here apart from others of the same seed.
_DOMAIN = 0x6D61736B
# The "epoch" of masks that stay the same.
FIXED = 2**63


class Pieces(NamedTuple):
    """Texts cut into pieces, laid end to end.

    Attributes
    ----------
    ids : ndarray of int32, shape (tokens,)
        Each piece between [CLS] and [SEP].
    offsets : ndarray of int64, shape (pieces + 1,)
        Where each piece begins, and the end.
    """

    ids: np.ndarray
    offsets: np.ndarray


def cut_pieces(ids, offsets, max_length):
    """Cut texts into consecutive pieces, none of two texts, the tokens of each text shared evenly.

    Parameters
    ----------
    ids : ndarray of int32, shape (tokens,)
        Texts laid end to end, each between [CLS] and [SEP].
    offsets : ndarray of int64, shape (texts + 1,)
        Where each text begins, and the end.
    max_length : int
        Most tokens of a piece, [CLS] and [SEP] included; at least 3.

    Returns
    -------
    Pieces
        In the order of the texts; of a text without tokens there is none.
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
    # One token before each piece and one behind it come along, and are then replaced.
    pieces = ids[shifts + np.arange(cut[-1])]
    if len(text):
        pieces[cut[:-1]], pieces[cut[1:] - 1] = ids[0], ids[-1]
    return Pieces(pieces, cut)


class Masker:
    """Hides words, as BERT was pretrained (Devlin et al. 2019) with whole words masked.

    Of each piece words are drawn until so many of its tokens are chosen; of the chosen tokens
    80 % become [MASK], 10 % another token, and 10 % stay as they are. A word is a token with all
    that continue it (``##``); special tokens are never chosen.

    What is drawn depends on seed, epoch, and the number of the piece, and on nothing else.

    Parameters
    ----------
    tokenizer : WordPieceTokenizer
        With a mask token.
    probability : float
        Part of the tokens that is chosen, at least one of every piece that has any.
    seed : int
    """

    def __init__(self, tokenizer, probability, seed):
        self.probability, self.seed = probability, seed
        size, prefix = tokenizer.vocab_size, tokenizer._settings["prefix"]
        tokens = tokenizer._tokens
        self.special = np.zeros(size, dtype=bool)
        self.special[[*tokenizer._special_ids, *tokenizer.all_special_ids]] = True
        self.continues = np.array(
            [token is not None and token.startswith(prefix) for token in tokens]
        )
        there = np.array([token is not None for token in tokens])
        self.others = np.flatnonzero(there & ~self.special).astype(np.int32)
        self.mask = tokenizer.mask_token_id

    def hide(self, ids, cu_seqlens, pieces, epoch):
        """Hide tokens of some pieces, in place.

        Parameters
        ----------
        ids : ndarray of int32, shape (tokens,)
            The pieces laid end to end.
        cu_seqlens : ndarray of int64, shape (pieces + 1,)
            Where each begins, and the end.
        pieces : sequence of int
            Their numbers.
        epoch : int
            Another one draws others; `FIXED` for what is not to change.

        Returns
        -------
        tokens : ndarray of int64
            Which tokens are to be predicted, rising.
        labels : ndarray of int32
            What they are.
        """
        tokens, labels = [], []
        for begin, end, piece in zip(cu_seqlens[:-1], cu_seqlens[1:], pieces, strict=True):
            chosen, hidden = self._hide(ids[begin:end], int(piece), epoch)
            tokens.append(begin + chosen)
            labels.append(hidden)
        return np.concatenate(tokens), np.concatenate(labels)

    def _hide(self, ids, piece, epoch):
        n = len(ids)
        # Raw bits of a counter-based generator: the same in every version of NumPy.
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

    def _choose(self, ids, bits):
        """Which tokens of a piece are to be predicted: whole words in the order of `bits`."""
        plain = ~self.special[ids]
        after_plain = np.append(False, plain[:-1])
        begins = plain & ~(self.continues[ids] & after_plain)
        word = np.cumsum(begins) - 1
        sizes = np.bincount(word[plain])
        left = max(1, round(self.probability * int(plain.sum())))
        order = np.argsort(bits[: len(sizes)], kind="stable")
        taken = np.zeros(len(sizes), dtype=bool)
        for number, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
            # A word that is too long for what is left is passed over, unless it is all there is.
            if size <= left:
                taken[number] = True
                left -= size
            if not left:
                break
        if not taken.any():
            taken[order[:1]] = True
        places = np.flatnonzero(plain)
        return places[taken[word[places]]] if len(places) else places
