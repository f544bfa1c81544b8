"""The BERT tokenizer: exact, parallel, and without padding."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from bertsent import _core
from bertsent.tokenizer_files import ROLES, read_tokenizer, write_tokenizer

__all__ = ["Encoding", "WordPieceTokenizer"]

_PADDINGS = ("longest", "max_length", True, False)
# What decoding puts right, in this order, as Hugging Face does.
_CLEANUP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class Encoding(NamedTuple):
    """Token ids of several texts, laid end to end.

    Attributes
    ----------
    ids : ndarray of int32
        The ids of all texts; those of text `i` are ``ids[offsets[i]:offsets[i + 1]]``.
    offsets : ndarray of int64
        Where each text begins; one more than there are texts.
    truncated : ndarray of bool
        Which texts were cut at `max_length`.
    """

    ids: np.ndarray
    offsets: np.ndarray
    truncated: np.ndarray


class WordPieceTokenizer:
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
        vocab = _as_mapping(vocab)
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

    def encode_batch(self, texts, max_length=None, n_threads=None):
        """Turn texts into ids, special tokens included, without padding.

        Parameters
        ----------
        texts : list, tuple, Series or array of str
            A literal special token in a text, such as ``[SEP]``, becomes that token.
        max_length : int, optional
            Most tokens of a text, [CLS] and [SEP] included. The rest of a longer text is not
            read.
        n_threads : int, optional
            Number of threads; None chooses by environment and processor.

        Returns
        -------
        Encoding
            ``ids``, ``offsets`` and ``truncated``.
        """
        return self._encode(texts, max_length, n_threads)

    def __call__(
        self, texts, max_length=None, padding="longest", truncation=True, n_threads=None
    ):  # fmt: skip
        """Turn texts into a rectangle of ids, in the Hugging Face manner.

        Parameters
        ----------
        texts : list, tuple, Series or array of str
        max_length : int, optional
            Most tokens of a text, special tokens included.
        padding : {"longest", "max_length", True, False}
            How far rows are padded; True means "longest". False gives lists of unequal arrays.
        truncation : bool
            Whether texts are cut at `max_length`; if not, that is only what is padded to.
        n_threads : int, optional
            As in `encode_batch`.

        Returns
        -------
        dict
            ``input_ids`` and ``attention_mask``, int64, of shape (texts, tokens).
        """
        if padding not in _PADDINGS:
            raise ValueError(f"padding is {padding!r}; must be one of {_PADDINGS}")
        if padding == "max_length" and max_length is None:
            raise ValueError("padding='max_length' needs a max_length")
        ids, offsets, _ = self._encode(texts, max_length if truncation else None, n_threads)
        lengths = np.diff(offsets)
        if padding is False:
            rows = np.split(ids.astype(np.int64), offsets[1:-1]) if len(lengths) else []
            return {"input_ids": rows, "attention_mask": [np.ones_like(row) for row in rows]}
        if self.pad_token_id is None:
            raise ValueError("the vocabulary has no padding token; pass padding=False")
        width = int(lengths.max(initial=0))
        if padding == "max_length":
            width = max(width, max_length)
        mask = np.arange(width) < lengths[:, None]
        input_ids = np.full(mask.shape, self.pad_token_id, dtype=np.int64)
        input_ids[mask] = ids
        return {"input_ids": input_ids, "attention_mask": mask.astype(np.int64)}

    def tokenize(self, text, *, special_tokens=False):
        """Split one text into its tokens.

        Parameters
        ----------
        text : str
        special_tokens : bool
            Whether [CLS] and [SEP] are put around them.

        Returns
        -------
        list of str
        """
        if not isinstance(text, str):
            raise TypeError(f"text: expected str, got {type(text).__name__}")
        ids, *_ = self._core.encode_batch((text,), add_special=special_tokens)
        return self.convert_ids_to_tokens(ids)

    def convert_ids_to_tokens(self, ids):
        """Look tokens up by their ids.

        Parameters
        ----------
        ids : iterable of int

        Returns
        -------
        list of str
        """
        return [self._token(id_) for id_ in ids]

    def convert_tokens_to_ids(self, tokens):
        """Look ids up by their tokens; one that is not there is unknown.

        Parameters
        ----------
        tokens : iterable of str

        Returns
        -------
        list of int
        """
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    def decode(self, ids, skip_special_tokens=False):
        """Put text together from ids. Case, accents and spacing are not restored.

        Parameters
        ----------
        ids : iterable of int
        skip_special_tokens : bool
            Whether tokens such as [CLS] are left out.

        Returns
        -------
        str
        """
        prefix, words = self._settings["prefix"], []
        for id_ in ids:
            if skip_special_tokens and int(id_) in self._special_ids:
                continue
            token = self._token(id_)
            if words:
                tail = token.startswith(prefix)
                token = token.replace(prefix, "", 1) if tail else " " + token
            for wrong, right in _CLEANUP:
                token = token.replace(wrong, right)
            words.append(token)
        return "".join(words)

    def get_vocab(self):
        """Return the vocabulary with the added tokens.

        Returns
        -------
        dict
            Ids by token.
        """
        return dict(self._ids)

    @property
    def vocab_size(self):
        """Number of ids, added tokens included: one more than the largest."""
        return len(self._tokens)

    @property
    def model_max_length(self):
        """The most tokens that the model takes, or None if the files do not say."""
        return self._settings["model_max_length"]

    def __len__(self):
        return len(self._tokens)

    def __repr__(self):
        case = "uncased" if self._settings["lowercase"] else "cased"
        return f"WordPieceTokenizer({self.vocab_size} tokens, {case})"

    def __reduce__(self):
        return _rebuild, (self._settings,)

    def _token(self, id_):
        id_ = int(id_)
        token = self._tokens[id_] if 0 <= id_ < len(self._tokens) else None
        if token is None:
            raise IndexError(f"there is no token with id {id_}; ids are 0 to {self.vocab_size - 1}")
        return token

    def _encode(self, texts, max_length, n_threads):
        if max_length is not None:
            if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)):
                raise TypeError(f"max_length: expected int, got {type(max_length).__name__}")
            if max_length < 2:
                raise ValueError(f"max_length is {max_length}; [CLS] and [SEP] alone take 2")
        items = _as_items(texts)
        threads = _threads(n_threads)
        try:
            return Encoding(*self._core.encode_batch(items, int(max_length or 0), threads)[:3])
        except TypeError:
            _name_row(texts, items)
            raise


def _add_token_properties():
    """Give the class its ten properties: each special token and its id."""
    what = {
        "unk": "an unknown word", "cls": "the first token", "sep": "the last token",
        "pad": "padding", "mask": "a masked word",
    }  # fmt: skip
    for role in ROLES:
        key = f"{role}_token"

        def token(self, key=key):
            return self._settings[key]

        def token_id(self, key=key):
            return self._ids.get(self._settings[key])

        token.__doc__ = f"The token of {what[role]}, or None."
        token_id.__doc__ = f"The id of the token of {what[role]}, or None."
        setattr(WordPieceTokenizer, key, property(token))
        setattr(WordPieceTokenizer, key + "_id", property(token_id))


_add_token_properties()


def _rebuild(settings):
    return WordPieceTokenizer(**settings)


def _as_mapping(vocab):
    if isinstance(vocab, Mapping):
        vocab = dict(vocab)
        for token, id_ in vocab.items():
            if isinstance(id_, bool) or not isinstance(id_, int) or id_ < 0:
                raise ValueError(f"vocab: the id of {token!r} is {id_!r}; must be 0 or more")
        if vocab and max(vocab.values()) > 10 * len(vocab) + 100_000:
            raise ValueError(f"vocab: the id {max(vocab.values())} is out of all proportion")
    elif isinstance(vocab, str):
        raise TypeError("vocab: expected a list or a mapping of tokens, got str")
    else:
        vocab = {token: i for i, token in enumerate(vocab)}
    for token in vocab:
        if not isinstance(token, str):
            raise TypeError(f"vocab: expected str, got {type(token).__name__}")
    return vocab


def _as_items(texts):
    """Return what holds the texts as a sequence of Python objects."""
    if isinstance(texts, (list, tuple)):
        return texts
    if isinstance(texts, (str, bytes)):
        raise TypeError("texts: got one string; pass a list, [text]")
    if isinstance(texts, np.ndarray) or hasattr(texts, "__array__"):
        if getattr(texts, "ndim", 1) != 1:
            what = type(texts).__name__
            raise TypeError(f"texts: got a {what} of {texts.ndim} dimensions; pass one column")
        if hasattr(texts, "to_pylist"):
            return texts.to_pylist()
        return np.asarray(texts, dtype=object).tolist()
    if isinstance(texts, Iterable) and not isinstance(texts, (Mapping, set, frozenset)):
        return list(texts)
    raise TypeError(f"texts: expected a list or a Series of str, got {type(texts).__name__}")


def _name_row(texts, items):
    """Raise the error of a Series' item with its row label, if that is what went wrong."""
    index = getattr(texts, "index", None)
    if index is None or callable(index):
        return
    for i, item in enumerate(items):
        if not isinstance(item, str):
            what = type(item).__name__
            shown = f"{what} ({item})" if isinstance(item, (int, float)) else what
            raise TypeError(
                f"texts[{i}], row {index[i]!r}: expected str, got {shown}"
            ) from None


def _threads(n_threads):
    from bertsent.threads import resolve_n_threads

    return resolve_n_threads(n_threads)
