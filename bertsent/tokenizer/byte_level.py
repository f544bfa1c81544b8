"""The tokenizer of RoBERTa."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent import _core
from bertsent.files import has_entry
from bertsent.tokenizer.base import Tokenizer, added_tuples, check_separators
from bertsent.tokenizer.vocabulary import MOST_TOKENS, as_mapping

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.tokenizer.vocabulary import Id, Ids

__all__ = ["ByteLevelBPETokenizer"]

# The byte that each character of the alphabet stands for: printable characters of Latin-1 are
# themselves, and the other bytes are, in their order, the characters from U+0100 on.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTES = dict(zip(_PRINTABLE, _PRINTABLE, strict=True)) | {
    0x100 + i: byte for i, byte in enumerate(_OTHERS)
}
# What a word consists of: letters, numbers, or other characters.
_LETTER, _NUMBER, _OTHER = 1, 2, 4
_ANY = _LETTER | _NUMBER | _OTHER


class ByteLevelBPETokenizer(Tokenizer):
    """Turn texts into the token ids of a RoBERTa model.

    For every text, the ids are identical to those of Hugging Face's ``RobertaTokenizerFast``.

    Parameters
    ----------
    vocab : sequence of str or mapping from str to int
        The vocabulary, with a token for each byte. In a sequence, the position of a token is its
        id. Tokens are written as in ``vocab.json``, in an alphabet in which each byte is a
        printable character: a space is ``"Ġ"``.
    merges : iterable of str
        Which pieces are joined, the first one first, as in ``merges.txt``: two tokens with a space
        between them.
    add_prefix_space : bool, default=False
        Whether a text gets a space before its first word, so that this word has the same tokens as
        within a text.
    trim_offsets : bool, default=True
        Whether offsets leave out the white space that belongs to a token.
    unk_token : str or None, default="<unk>"
        A token that no text contains, since there is a token for each byte.
    cls_token, sep_token : str, default="<s>", "</s>"
        First and last token of a text.
    pad_token, mask_token : str or None, default="<pad>", "<mask>"
        Tokens for padding and masking. They and the unknown token become None if the vocabulary
        does not have them.
    added_tokens : sequence of dict or None, default=None
        Tokens that are found in the text before it is split, as in ``tokenizer.json``: content,
        id, single_word, lstrip, rstrip, normalized and special. None means those of the five
        tokens above that are in the vocabulary.
    model_max_length : int or None, default=None
        Largest number of tokens that the model can read. It is saved, but has no effect.
    pairs : bool, default=True
        Whether two texts can be encoded as a pair. False is for a ``tokenizer.json`` that does not
        put them together as ``<s> text </s> </s> text_pair </s>``, or with one ``</s>``.
    pair_separators : {1, 2}, default=2
        Number of ``</s>`` between the two texts of a pair. With 2, all token types are 0.

    See Also
    --------
    from_pretrained : Load the tokenizer of a model by directory or name.

    Examples
    --------
    >>> from bertsent import ByteLevelBPETokenizer
    >>> alphabet = ByteLevelBPETokenizer.alphabet()
    >>> tokenizer = ByteLevelBPETokenizer(
    ...     ["<s>", "<pad>", "</s>", *alphabet, "go", "od", "good", "Ġgood"],
    ...     ["g o", "o d", "go od", "Ġ good"],
    ... )
    >>> tokenizer.tokenize("good goods!")
    ['good', 'Ġgood', 's', '!']
    """

    kind = "byte-level BPE"
    _needed = ("cls", "sep")
    _core: _core.ByteLevelTokenizer

    def __init__(
        self,
        vocab: Mapping[str, int] | Iterable[str],
        merges: Iterable[str],
        *,
        add_prefix_space: bool = False,
        trim_offsets: bool = True,
        unk_token: str | None = "<unk>",
        cls_token: str = "<s>",
        sep_token: str = "</s>",
        pad_token: str | None = "<pad>",
        mask_token: str | None = "<mask>",
        added_tokens: Iterable[Mapping[str, Any]] | None = None,
        model_max_length: int | None = None,
        pairs: bool = True,
        pair_separators: int = 2,
    ) -> None:
        vocab = as_mapping(vocab)
        merges = _as_merges(merges)
        names: dict[str, str | None] = {
            "unk_token": unk_token, "cls_token": cls_token, "sep_token": sep_token,
            "pad_token": pad_token, "mask_token": mask_token,
        }  # fmt: skip
        slots, added = self._set_tokens(vocab, names, added_tokens)
        check_separators(pair_separators)
        self._settings = {
            "vocab": vocab,
            "merges": merges,
            "add_prefix_space": bool(add_prefix_space),
            "trim_offsets": bool(trim_offsets),
            **names,
            "added_tokens": added,
            "model_max_length": model_max_length,
            "pair_separators": pair_separators,
        }
        if not pairs:
            self._settings["pairs"] = False
        self._core = _core.ByteLevelTokenizer(
            slots,
            merges,
            cls_id=self.cls_token_id,
            sep_id=self.sep_token_id,
            add_prefix_space=self._settings["add_prefix_space"],
            trim_offsets=self._settings["trim_offsets"],
            added=added_tuples(added),
            pair_separators=pair_separators,
        )

    @classmethod
    def _at_fault(cls, directory: Path, message: str) -> Path:
        older = {"merge": "merges.txt", "the vocabulary": "vocab.json"}
        for begin, name in older.items():
            if message.startswith(begin):
                whole = has_entry(directory / "tokenizer.json")
                return directory / ("tokenizer.json" if whole else name)
        return directory

    @staticmethod
    def alphabet() -> list[str]:
        """Return the characters that stand for the bytes 0 to 255.

        Returns
        -------
        list of str
        """
        characters = {byte: chr(code) for code, byte in _BYTES.items()}
        return [characters[byte] for byte in range(256)]

    def decode(self, ids: Ids | Id, skip_special_tokens: bool = False) -> str:
        """Turn ids into text. Bytes that are no UTF-8 become U+FFFD.

        Parameters
        ----------
        ids : int or iterable of int
        skip_special_tokens : bool, default=False
            Whether to leave out tokens such as ``<s>``.

        Returns
        -------
        str
        """
        if not hasattr(ids, "__iter__"):
            ids = [ids]
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens)
        return b"".join(map(_bytes_of, tokens)).decode("utf-8", errors="replace")

    def __repr__(self) -> str:
        return f"ByteLevelBPETokenizer({self.vocab_size} tokens)"

    def _joints(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        ends = [_kinds_of_ends(_bytes_of(token or "")) for token in self._tokens]
        before, after = np.array(ends, dtype=np.uint8).reshape(-1, 2).T
        return before, after


def _as_merges(merges: Iterable[str]) -> list[str]:
    if isinstance(merges, str):
        raise TypeError("merges: expected a list of merges, got str")
    merges = list(merges)
    if len(merges) > MOST_TOKENS:
        raise ValueError(f"merges: {len(merges):,} are too many; at most {MOST_TOKENS:,}")
    return merges


def _bytes_of(token: str) -> bytes:
    """Return the bytes of a token. Those of an added token need not be in the alphabet."""
    try:
        return bytes([_BYTES[ord(character)] for character in token])
    except KeyError:
        return token.encode("utf-8")


def _kinds_of_ends(token: bytes) -> tuple[int, int]:
    """Return what the word before a token must be for the token to belong to it, and what it is.

    Part of a character belongs to any word, and a space to the word after it.
    """
    if not token:
        return 0, 0
    text = token.decode("utf-8", errors="replace")
    return _kinds_of(text[0]), _ANY if text[-1] == " " else _kinds_of(text[-1])


def _kinds_of(character: str) -> int:
    if character == "\ufffd":
        return _ANY
    if character.isspace():
        return 0
    return {"L": _LETTER, "N": _NUMBER}.get(unicodedata.category(character)[0], _OTHER)
