"""The BERT tokenizer: exact, parallel, and without padding."""

import numpy as np

from bertsent import _core
from bertsent.encoding import Encoding, as_rows, padded_width, token_types
from bertsent.tokenizer_files import read_tokenizer, write_tokenizer
from bertsent.tokenizer_inputs import (
    as_items,
    check_max_length,
    check_stride,
    check_truncation,
    named_row,
)
from bertsent.vocabulary import Vocabulary, as_mapping

__all__ = ["Encoding", "WordPieceTokenizer"]


class WordPieceTokenizer(Vocabulary):
    """Turn texts into the token ids of a BERT.

    The ids equal those of Hugging Face's ``BertTokenizerFast`` for every text.

    Parameters
    ----------
    vocab : sequence of str or mapping from str to int
        The vocabulary; in a sequence the place of a token is its id.
    lowercase : bool
        Whether the model is uncased.
    strip_accents : bool, optional
        Whether accents are removed. None means as `lowercase` says.
    tokenize_chinese_chars : bool
        Whether each CJK ideograph is a word.
    clean_text : bool
        Whether control characters are removed and white space becomes spaces.
    max_word_chars : int
        A word of more characters is unknown.
    prefix : str
        What marks a piece that continues a word.
    unk_token, cls_token, sep_token : str
        Unknown word, first token and last token of a text.
    pad_token, mask_token : str, optional
        Tokens that pad and that mask, where the vocabulary has them.
    added_tokens : sequence of dict, optional
        Tokens found in the text before it is split, as ``tokenizer.json`` lists them: content,
        id, single_word, lstrip, rstrip, normalized and special. By default the five tokens
        above that are in the vocabulary.
    model_max_length : int, optional
        The most tokens that the model takes; kept, but not applied.

    See Also
    --------
    from_pretrained : Make one from a model's directory or its name.

    Examples
    --------
    >>> from bertsent import WordPieceTokenizer
    >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "##ness"])
    >>> tokenizer.tokenize("Goodness!")
    ['good', '##ness', '[UNK]']
    >>> tokenizer.encode_batch(["good", "Goodness"]).ids
    array([2, 4, 3, 2, 4, 5, 3], dtype=int32)
    """

    def __init__(
        self, vocab, *, lowercase=True, strip_accents=None, tokenize_chinese_chars=True,
        clean_text=True, max_word_chars=100, prefix="##", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]", added_tokens=None,
        model_max_length=None,
    ):  # fmt: skip
        vocab = as_mapping(vocab)
        names = {
            "unk_token": unk_token, "cls_token": cls_token, "sep_token": sep_token,
            "pad_token": pad_token, "mask_token": mask_token,
        }  # fmt: skip
        if added_tokens is None:
            added_tokens = [
                {
                    "content": name, "id": vocab[name], "single_word": False, "lstrip": False,
                    "rstrip": False, "normalized": False, "special": True,
                }
                for name in names.values() if name in vocab
            ]  # fmt: skip
        added_tokens = sorted((dict(token) for token in added_tokens), key=lambda t: t["id"])
        added = {token["content"]: token["id"] for token in added_tokens}
        size = max([*vocab.values(), *added.values()], default=-1) + 1
        self._ids = {**vocab, **added}
        for key in ("pad_token", "mask_token"):
            if names[key] not in self._ids:
                names[key] = None
        for key in ("unk_token", "cls_token", "sep_token"):
            if names[key] not in self._ids:
                raise ValueError(f"{key} is {names[key]!r}, which is not in the vocabulary")
        self._settings = {
            "vocab": vocab,
            "lowercase": bool(lowercase),
            "strip_accents": None if strip_accents is None else bool(strip_accents),
            "tokenize_chinese_chars": bool(tokenize_chinese_chars),
            "clean_text": bool(clean_text),
            "max_word_chars": int(max_word_chars),
            "prefix": prefix,
            **names,
            "added_tokens": added_tokens,
            "model_max_length": model_max_length,
        }
        slots = [None] * size
        for token, id_ in vocab.items():
            slots[id_] = token
        self._tokens = list(slots)
        for token, id_ in added.items():
            self._tokens[id_] = token
        self._special_ids = {token["id"] for token in added_tokens if token["special"]}
        flags = ("single_word", "normalized", "special", "lstrip", "rstrip")
        self._core = _core.Tokenizer(
            slots,
            unk_id=self.unk_token_id,
            cls_id=self.cls_token_id,
            sep_id=self.sep_token_id,
            clean_text=self._settings["clean_text"],
            lowercase=self._settings["lowercase"],
            strip_accents=bool(lowercase if strip_accents is None else strip_accents),
            tokenize_chinese_chars=self._settings["tokenize_chinese_chars"],
            max_word_chars=self._settings["max_word_chars"],
            prefix=prefix,
            added=[
                (token["content"], token["id"], *(token.get(flag, False) for flag in flags))
                for token in added_tokens
            ],
        )

    @classmethod
    def from_files(cls, directory):
        """Read a tokenizer from a local directory.

        Parameters
        ----------
        directory : path-like
            Directory with ``tokenizer.json``, or with ``vocab.txt`` and perhaps
            ``tokenizer_config.json``. Truncation and padding settings in them are ignored.

        Returns
        -------
        WordPieceTokenizer

        Raises
        ------
        FileNotFoundError
            There is no tokenizer.
        CheckpointError
            It is broken, or is not a BERT WordPiece tokenizer.
        """
        return cls(**read_tokenizer(directory))

    @classmethod
    def from_pretrained(cls, name_or_dir, *, revision=None):
        """Read the tokenizer of a model.

        Parameters
        ----------
        name_or_dir : str or path-like
            A directory, ``"minilm"``, or an id on the Hugging Face hub.
        revision : str, optional
            Branch, tag or commit on the hub.

        Returns
        -------
        WordPieceTokenizer
        """
        from bertsent.hub import resolve

        return cls.from_files(resolve(name_or_dir, revision, weights=False))

    def save_pretrained(self, directory, overwrite=False):
        """Write the tokenizer in Hugging Face's form.

        Parameters
        ----------
        directory : path-like
            Where to; made if need be. transformers' ``AutoTokenizer`` opens it.
        overwrite : bool
            Whether tokenizer files that are there may be replaced.
        """
        from bertsent.files import TOKENIZER_FILES, atomic_directory

        with atomic_directory(directory, overwrite=overwrite, ours=TOKENIZER_FILES) as scratch:
            self.save_files(scratch)

    def save_files(self, directory):
        """Write ``vocab.txt``, ``tokenizer.json``, ``tokenizer_config.json`` and
        ``special_tokens_map.json`` into an existing directory.

        Parameters
        ----------
        directory : path-like
        """
        write_tokenizer(directory, self._settings)

    def encode_batch(
        self, texts, text_pairs=None, *, max_length=None, truncation=True, stride=0,
        split_special_tokens=False, return_offsets_mapping=False, n_threads=None,
    ):  # fmt: skip
        """Turn texts, or pairs of texts, into ids, special tokens included, without padding.

        Parameters
        ----------
        texts : list, tuple, Series or array of str
            Arrow's strings, also those inside a Series, are read where they lie.
        text_pairs : list, tuple, Series or array of str, optional
            As many second texts: ``[CLS] text [SEP] text_pair [SEP]``.
        max_length : int, optional
            Most tokens of a text or a pair, special tokens included.
        truncation : bool or str
            What is left out where there are more; all of it means nothing without `max_length`.

            - True, "longest_first", "head": the end. The rest of a text is not read. Of a pair
              the longer text is cut to the length of the other, then both.
            - "tail": the beginning.
            - "head+tail": the middle, so that a quarter (rounded up) of the pieces comes from the
              beginning and the rest from the end: 128 and 382 of 510, as Sun et al. (2019) found
              best for classification.
            - "only_first", "only_second": the end of that text of a pair. An error where
              nothing of it would be left.
            - "windows": nothing. A text becomes as many windows as it takes, each a
              ``[CLS] ... [SEP]`` of its own; not for pairs.
            - False, "do_not_truncate": nothing.
        stride : int
            Tokens at the end of a window with which the next one begins again; fewer than a
            window has room for. Only for windows. They are those of Hugging Face's
            ``return_overflowing_tokens`` with that `stride`.
        split_special_tokens : bool
            Whether a literal special token in a text, such as ``[SEP]``, is plain text. By
            default it becomes that token, as in Hugging Face's tokenizers. True for texts of
            strangers who must not be able to forge the ends of a text.
        return_offsets_mapping : bool
            Whether the characters of each token are told.
        n_threads : int, optional
            Number of threads; None chooses by environment and processor.

        Returns
        -------
        Encoding
            ``ids``, ``offsets`` and ``truncated``; of pairs also ``token_type_ids``, of windows
            also ``windows``, and ``offset_mapping`` if asked for.

        Raises
        ------
        TypeError
            An item is not a text; the message names it, and its row in a Series.
        ValueError
            A text has a lone surrogate or, in Arrow's buffers, invalid UTF-8 in what is read of
            it; `max_length` has no room, or none beside `stride`; a pair cannot be cut in the
            way asked for.
        """
        return self._encode(
            texts, text_pairs, max_length=max_length, truncation=truncation, stride=stride,
            split_special_tokens=split_special_tokens, spans=return_offsets_mapping,
            n_threads=n_threads,
        )  # fmt: skip

    def __call__(
        self, texts, text_pairs=None, *, max_length=None, padding="longest", truncation=True,
        stride=0, pad_to_multiple_of=None, add_special_tokens=True, split_special_tokens=False,
        return_token_type_ids=None, return_offsets_mapping=False, n_threads=None,
    ):  # fmt: skip
        """Turn texts, or pairs of texts, into a rectangle of ids, in the Hugging Face manner.

        Parameters
        ----------
        texts, text_pairs : list, tuple, Series or array of str
            As in `encode_batch`.
        max_length : int, optional
            Most tokens of a text or a pair, special tokens included.
        padding : {"longest", "max_length", "do_not_pad", True, False}
            How far rows are padded; True means "longest", so that a batch is a rectangle unless
            told otherwise. False, or "do_not_pad", gives lists of unequal arrays.
        truncation : bool or str
            As in `encode_batch`. If False, `max_length` is only what is padded to; with "windows"
            each row is a window.
        stride : int
            As in `encode_batch`.
        pad_to_multiple_of : int, optional
            Rows are padded further, to a multiple of this.
        add_special_tokens : bool
            Whether [CLS] and [SEP] are put around the texts.
        split_special_tokens : bool
            As in `encode_batch`.
        return_token_type_ids : bool, optional
            Whether to tell first texts from second ones. None means for pairs, since for single
            texts all types are 0, which is what a model takes them for.
        return_offsets_mapping : bool
            Whether the characters of each token are told.
        n_threads : int, optional
            As in `encode_batch`.

        Returns
        -------
        dict
            ``input_ids`` and ``attention_mask``, perhaps ``token_type_ids``, int64, of shape
            (texts, tokens); perhaps ``offset_mapping``, int64, of shape (texts, tokens, 2), with
            (0, 0) for special tokens and padding. With windows there is a row for each, and
            ``overflow_to_sample_mapping``, int64, the text that each row is of.
        """
        encoding = self._encode(
            texts, text_pairs, max_length=max_length, truncation=truncation, stride=stride,
            add_special_tokens=add_special_tokens, split_special_tokens=split_special_tokens,
            spans=return_offsets_mapping, n_threads=n_threads,
        )  # fmt: skip
        ids, offsets = encoding.ids, encoding.offsets
        width = padded_width(np.diff(offsets), padding, max_length, pad_to_multiple_of)
        if width is not None and self.pad_token_id is None:
            raise ValueError("the vocabulary has no padding token; pass padding=False")
        columns = {"input_ids": (ids, self.pad_token_id)}
        if return_token_type_ids or (return_token_type_ids is None and text_pairs is not None):
            types = encoding.token_type_ids
            columns["token_type_ids"] = (np.zeros_like(ids) if types is None else types, 0)
        columns["attention_mask"] = (np.ones_like(ids), 0)
        if return_offsets_mapping:
            columns["offset_mapping"] = (encoding.offset_mapping, 0)
        rows = {
            name: as_rows(values, offsets, width, fill) for name, (values, fill) in columns.items()
        }
        if encoding.windows is not None:
            counts = np.diff(encoding.windows)
            rows["overflow_to_sample_mapping"] = np.repeat(np.arange(len(counts)), counts)
        return rows

    def encode(
        self, text, text_pair=None, *, max_length=None, truncation=True, add_special_tokens=True,
        split_special_tokens=False,
    ):  # fmt: skip
        """Turn one text, or one pair, into a list of ids.

        Parameters
        ----------
        text, text_pair : str
        max_length, truncation, add_special_tokens, split_special_tokens
            As in a call; there are no windows.

        Returns
        -------
        list of int
        """
        for name, value in (("text", text), ("text_pair", text_pair)):
            if not isinstance(value, str) and (name == "text" or value is not None):
                raise TypeError(f"{name}: expected str, got {type(value).__name__}")
        if truncation == "windows":
            raise ValueError("encode makes one list; call encode_batch for truncation='windows'")
        encoding = self._encode(
            (text,), None if text_pair is None else (text_pair,), max_length=max_length,
            truncation=truncation, add_special_tokens=add_special_tokens,
            split_special_tokens=split_special_tokens, n_threads=1,
        )  # fmt: skip
        return encoding.ids.tolist()

    def tokenize(self, text, text_pair=None, *, add_special_tokens=False):
        """Split one text, or one pair, into its tokens.

        Parameters
        ----------
        text, text_pair : str
        add_special_tokens : bool
            Whether [CLS] and [SEP] are put around them.

        Returns
        -------
        list of str
        """
        ids = self.encode(text, text_pair, add_special_tokens=add_special_tokens)
        return self.convert_ids_to_tokens(ids)

    @property
    def model_max_length(self):
        """The most tokens that the model takes, or None if the files do not say."""
        return self._settings["model_max_length"]

    def __repr__(self):
        case = "uncased" if self._settings["lowercase"] else "cased"
        return f"WordPieceTokenizer({self.vocab_size} tokens, {case})"

    def __reduce__(self):
        return _rebuild, (self._settings,)

    def _encode(
        self, texts, text_pairs, *, max_length, truncation, stride=0, add_special_tokens=True,
        split_special_tokens=False, spans=False, n_threads=None,
    ):  # fmt: skip
        pairs = text_pairs is not None
        columns = {"texts": texts, "text_pairs": text_pairs}
        cut = check_truncation(truncation, pairs)
        length = check_max_length(max_length, pairs, add_special_tokens) if cut else 0
        which, form = cut or (0, 0)
        check_stride(stride, truncation, length, add_special_tokens)
        try:
            ids, offsets, truncated, n_first, spans, windows = self._core.encode_batch(
                as_items(texts),
                seconds=as_items(text_pairs, "text_pairs") if pairs else None,
                max_length=length,
                which=which,
                form=form,
                stride=int(stride),
                add_special=add_special_tokens,
                plain_specials=split_special_tokens,
                spans=spans,
                n_threads=_threads(n_threads),
            )
        except (TypeError, ValueError) as error:
            named = named_row(error, columns)
            if named is None:
                raise
            raise named from None
        types = token_types(offsets, n_first) if pairs else None
        return Encoding(ids, offsets, truncated, types, spans, windows)


def _rebuild(settings):
    return WordPieceTokenizer(**settings)


def _threads(n_threads):
    from bertsent.threads import resolve_n_threads

    return resolve_n_threads(n_threads)
