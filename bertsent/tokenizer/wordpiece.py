"""The tokenizer of BERT."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent import _core
from bertsent.tokenizer.base import Tokenizer, added_tuples, check_separators
from bertsent.tokenizer.vocabulary import as_mapping

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.tokenizer.vocabulary import Id, Ids

__all__ = ["WordPieceTokenizer"]

# Replacements in decoding, in the order of Hugging Face.
_CLEANUP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class WordPieceTokenizer(Tokenizer):
    """Turn texts into the token ids of a BERT model.

    For every text, the ids are identical to those of Hugging Face's ``BertTokenizerFast``.

    Parameters
    ----------
    vocab : sequence of str or mapping from str to int
        The vocabulary. In a sequence, the position of a token is its id.
    lowercase : bool, default=True
        Whether to lower-case texts, for uncased models.
    strip_accents : bool or None, default=None
        Whether to remove accents. None means the value of `lowercase`.
    tokenize_chinese_chars : bool, default=True
        Whether each CJK ideograph is a word.
    clean_text : bool, default=True
        Whether to remove control characters and turn white space into spaces.
    max_word_chars : int, default=100
        Words of more characters become the unknown token.
    prefix : str, default="##"
        Marks pieces that continue a word.
    unk_token, cls_token, sep_token : str, default="[UNK]", "[CLS]", "[SEP]"
        Unknown word, first token and last token of a text.
    pad_token, mask_token : str, default="[PAD]", "[MASK]"
        Tokens for padding and masking. They become None if the vocabulary does not have them.
    added_tokens : sequence of dict or None, default=None
        Tokens that are found in the text before it is split, as in ``tokenizer.json``: content,
        id, single_word, lstrip, rstrip, normalized and special. None means those of the five
        tokens above that are in the vocabulary.
    model_max_length : int or None, default=None
        Largest number of tokens that the model can read. It is saved, but has no effect.
    pairs : bool, default=True
        Whether two texts can be encoded as a pair. False is for a ``tokenizer.json`` that does not
        put them together as ``[CLS] text [SEP] text_pair [SEP]``.
    pair_separators : {1, 2}, default=1
        Number of [SEP] between the two texts of a pair. With 2, as in MPNet, all token types are 0.
    trim_offsets : bool, default=False
        Whether offsets leave out the white space that belongs to an added token, as in MPNet.

    See Also
    --------
    from_pretrained : Load the tokenizer of a model by directory or name.

    Examples
    --------
    >>> from bertsent import WordPieceTokenizer
    >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "##ness"])
    >>> tokenizer.tokenize("Goodness!")
    ['good', '##ness', '[UNK]']
    >>> tokenizer.encode_batch(["good", "Goodness"]).ids
    array([2, 4, 3, 2, 4, 5, 3], dtype=int32)
    """

    kind = "WordPiece"
    _needed = ("unk", "cls", "sep")
    _core: _core.Tokenizer

    if TYPE_CHECKING:  # other tokenizers may have none

        @property
        def unk_token(self) -> str: ...
        @property
        def unk_token_id(self) -> int: ...

    def __init__(
        self,
        vocab: Mapping[str, int] | Iterable[str],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        clean_text: bool = True,
        max_word_chars: int = 100,
        prefix: str = "##",
        unk_token: str = "[UNK]",
        cls_token: str = "[CLS]",
        sep_token: str = "[SEP]",
        pad_token: str | None = "[PAD]",
        mask_token: str | None = "[MASK]",
        added_tokens: Iterable[Mapping[str, Any]] | None = None,
        model_max_length: int | None = None,
        pairs: bool = True,
        pair_separators: int = 1,
        trim_offsets: bool = False,
    ) -> None:
        vocab = as_mapping(vocab)
        names: dict[str, str | None] = {
            "unk_token": unk_token, "cls_token": cls_token, "sep_token": sep_token,
            "pad_token": pad_token, "mask_token": mask_token,
        }  # fmt: skip
        slots, added = self._set_tokens(vocab, names, added_tokens)
        check_separators(pair_separators)
        self._settings = {
            "vocab": vocab,
            "lowercase": bool(lowercase),
            "strip_accents": None if strip_accents is None else bool(strip_accents),
            "tokenize_chinese_chars": bool(tokenize_chinese_chars),
            "clean_text": bool(clean_text),
            "max_word_chars": int(max_word_chars),
            "prefix": prefix,
            **names,
            "added_tokens": added,
            "model_max_length": model_max_length,
        }
        if not pairs:  # otherwise left out, as in runs that were started by older versions
            self._settings["pairs"] = False
        if pair_separators == 2:
            self._settings["pair_separators"] = 2
        if trim_offsets:
            self._settings["trim_offsets"] = True
        self._core = _core.Tokenizer(
            slots,
            unk_id=self.unk_token_id,
            cls_id=self.cls_token_id,
            sep_id=self.sep_token_id,
            pair_separators=pair_separators,
            clean_text=self._settings["clean_text"],
            lowercase=self._settings["lowercase"],
            strip_accents=bool(lowercase if strip_accents is None else strip_accents),
            tokenize_chinese_chars=self._settings["tokenize_chinese_chars"],
            max_word_chars=self._settings["max_word_chars"],
            prefix=prefix,
            added=added_tuples(added),
            trim_offsets=bool(trim_offsets),
        )
        self._check_normalized()

    def _check_normalized(self) -> None:
        """Raise if two added tokens are the same in normalized text, or one is empty there."""
        seen: dict[str, str] = {}
        for token in self._settings["added_tokens"]:
            if not token["normalized"]:
                continue
            content = token["content"]
            found = self._core.normalize(content)
            if not found:
                raise ValueError(f"added_tokens: {content!r} is empty after normalization")
            if found in seen:
                raise ValueError(
                    f"added_tokens: {seen[found]!r} and {content!r} are the same after "
                    f"normalization, {found!r}; which one a text contains would be a matter of "
                    "chance. Remove one of them"
                )
            seen[found] = content

    def decode(self, ids: Ids | Id, skip_special_tokens: bool = False) -> str:
        """Turn ids into text. Case, accents and spacing are not restored.

        Parameters
        ----------
        ids : int or iterable of int
        skip_special_tokens : bool, default=False
            Whether to leave out tokens such as [CLS].

        Returns
        -------
        str
        """
        if not hasattr(ids, "__iter__"):
            ids = [ids]
        prefix: str = self._settings["prefix"]
        words: list[str] = []
        for token in self.convert_ids_to_tokens(ids, skip_special_tokens):
            if words:
                tail = token.startswith(prefix)
                token = token.replace(prefix, "", 1) if tail else " " + token
            for wrong, right in _CLEANUP:
                token = token.replace(wrong, right)
            words.append(token)
        return "".join(words)

    def __repr__(self) -> str:
        case = "uncased" if self._settings["lowercase"] else "cased"
        return f"WordPieceTokenizer({self.vocab_size} tokens, {case})"

    def _joints(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        prefix: str = self._settings["prefix"]
        continues = [token is not None and token.startswith(prefix) for token in self._tokens]
        return np.array(continues, dtype=np.uint8), np.ones(len(continues), dtype=np.uint8)
