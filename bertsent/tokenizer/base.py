"""What the tokenizers have in common: everything but how a text is split."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import hold_directory
from bertsent.system import expand_path, pause_collector
from bertsent.tokenizer.encoding import (
    Encoding,
    as_rows,
    padded_width,
    token_types,
    windows_of_pairs,
)
from bertsent.tokenizer.files import read_tokenizer, write_tokenizer
from bertsent.tokenizer.inputs import (
    as_items,
    check_max_length,
    check_stride,
    check_truncation,
    name_second,
    named_row,
)
from bertsent.tokenizer.vocabulary import Vocabulary, are_in_order, as_added_token

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    from bertsent import _core
    from bertsent._core import ArrowTexts
    from bertsent.texts import Texts

__all__ = ["Tokenizer"]

# The entries of an added token, in the order in which the engine takes them after content and id.
_FLAGS = ("single_word", "normalized", "special", "lstrip", "rstrip")


class Tokenizer(Vocabulary):
    """Turn texts into the token ids of a model.

    This is the base class of `WordPieceTokenizer` and `ByteLevelBPETokenizer`. The token before a
    text is called [CLS] here, and the one after it [SEP], whatever their names are.

    See Also
    --------
    from_pretrained : Load the tokenizer of a model by directory or name.

    Examples
    --------
    >>> from bertsent import Tokenizer
    >>> Tokenizer.from_pretrained("minilm").tokenize("Unaffable!")
    ['una', '##ffa', '##ble', '!']
    """

    #: Name of the kind of tokenizer.
    kind: ClassVar[str]
    # The special tokens that texts can contain whatever they say.
    _needed: ClassVar[tuple[str, ...]]
    _core: _core.Tokenizer | _core.ByteLevelTokenizer
    _n_ids: int | None = None
    _n_types: int = 2
    # Where the files are that it was read from, for errors.
    _directory: str | None = None

    @abstractmethod
    def _joints(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Return which tokens can belong to the same word.

        Returns
        -------
        before, after : ndarray of uint8, shape (n_tokens,)
            Sets of bits, by id. A token belongs to the word of the previous token if
            ``before[id] & after[previous]`` is not 0.
        """

    def _set_tokens(
        self,
        vocab: Mapping[str, int],
        names: dict[str, str | None],
        added_tokens: Iterable[Mapping[str, Any]] | None,
    ) -> tuple[list[str | None], list[dict[str, Any]]]:
        """Set what `Vocabulary` needs, except for the settings.

        Parameters
        ----------
        vocab : mapping of str to int
        names : dict
            The special tokens by names such as ``cls_token``. Those that there need not be become
            None if they are not in the vocabulary.
        added_tokens : iterable of dict or None

        Returns
        -------
        slots : list of str or None
            The tokens of the vocabulary by id.
        added_tokens : list of dict
            By ascending id, with all entries.
        """
        if added_tokens is None:
            added_tokens = [
                {
                    "content": name, "id": vocab[name], "single_word": False, "lstrip": False,
                    "rstrip": False, "normalized": False, "special": True,
                }
                for name in dict.fromkeys(names.values()) if name is not None and name in vocab
            ]  # fmt: skip
        listed = sorted(map(as_added_token, added_tokens), key=lambda token: token["id"])
        added = {token["content"]: token["id"] for token in listed}
        if len(added) < len(listed):
            raise ValueError("added_tokens: two of them have the same content")
        in_order = are_in_order(vocab)
        most = len(vocab) - 1 if in_order else max(vocab.values(), default=-1)
        size = max(most, *added.values(), -1) + 1
        self._ids = {**vocab, **added}
        needed = {f"{role}_token" for role in self._needed}
        for key, name in names.items():
            if name not in self._ids:
                if key in needed:
                    raise ValueError(f"{key} is {name!r}, which is not in the vocabulary")
                names[key] = None
        slots: list[str | None] = [*vocab] if in_order else []
        slots += [None] * (size - len(slots))
        if not in_order:
            for token, id_ in vocab.items():
                slots[id_] = token
        self._tokens = list(slots)
        for token, id_ in added.items():
            self._tokens[id_] = token
        self._special_ids = {token["id"] for token in listed if token["special"]}
        return slots, listed

    @classmethod
    def from_files(cls, directory: str | PathLike[str]) -> Self:
        """Read a tokenizer from a local directory.

        Parameters
        ----------
        directory : path-like
            Directory with ``tokenizer.json``, with ``vocab.txt``, or with ``vocab.json`` and
            ``merges.txt``, and optionally with ``tokenizer_config.json``. Their settings for
            truncation and padding are ignored.

        Returns
        -------
        Tokenizer
            A `WordPieceTokenizer` or a `ByteLevelBPETokenizer`.

        Raises
        ------
        FileNotFoundError
            The directory contains no tokenizer.
        CheckpointError
            The tokenizer is damaged, or of another kind than the class.
        """
        directory = expand_path(directory)
        with pause_collector():
            with hold_directory(directory):
                name, settings = read_tokenizer(directory)
            return cls._made(name, settings, directory)

    @classmethod
    def _made(cls, name: str, settings: dict[str, Any], directory: Path) -> Self:
        """Return the tokenizer of a kind that was read from a directory."""
        found = _class_of(name)
        if not issubclass(cls, found):
            if not issubclass(found, cls):
                raise CheckpointError(
                    f"{directory} contains a {name} tokenizer; open it with {found.__name__}, not "
                    f"with {cls.__name__}"
                )
            cls = found
        try:
            tokenizer = cls(**settings)
        except (TypeError, ValueError) as error:
            where = cls._at_fault(directory, str(error))
            raise CheckpointError(f"{where}: {error!s:.400}") from None
        tokenizer._directory = str(directory)
        return tokenizer

    @classmethod
    def _at_fault(cls, directory: Path, message: str) -> Path:
        """Return the file, or the directory, that an error of the constructor is about."""
        del message
        return directory

    @classmethod
    def from_pretrained(
        cls, name_or_dir: str | PathLike[str], *, revision: str | None = None
    ) -> Self:
        """Load the tokenizer of a model.

        Parameters
        ----------
        name_or_dir : str or path-like
            A directory, ``"minilm"``, or an id on the Hugging Face hub.
        revision : str, optional
            Branch, tag or commit on the hub.

        Returns
        -------
        Tokenizer
            A `WordPieceTokenizer` or a `ByteLevelBPETokenizer`.
        """
        from bertsent.hub import resolve_directory

        return cls.from_files(resolve_directory(name_or_dir, revision, weights=False))

    def save_pretrained(self, directory: str | PathLike[str], overwrite: bool = False) -> None:
        """Save the tokenizer in Hugging Face's layout, atomically.

        Parameters
        ----------
        directory : path-like
            Created if it does not exist. transformers' ``AutoTokenizer`` opens it.
        overwrite : bool, default=False
            Whether existing tokenizer files may be replaced.
        """
        from bertsent.files import TOKENIZER_FILES, atomic_directory

        with atomic_directory(directory, overwrite=overwrite, ours=TOKENIZER_FILES) as staging:
            self.save_files(staging)

    def save_files(self, directory: str | PathLike[str]) -> None:
        """Write the files of the tokenizer into an existing directory.

        These are ``tokenizer.json``, ``tokenizer_config.json``, ``special_tokens_map.json``, and
        either ``vocab.txt`` or ``vocab.json`` and ``merges.txt``.

        Parameters
        ----------
        directory : path-like
        """
        write_tokenizer(expand_path(directory), self.kind, self._settings)

    def encode_batch(
        self,
        texts: Texts | ArrowTexts,
        text_pairs: Texts | ArrowTexts | None = None,
        *,
        max_length: int | None = None,
        truncation: bool | str = True,
        stride: int = 0,
        split_special_tokens: bool = False,
        return_offsets_mapping: bool = False,
        n_threads: int | None = None,
    ) -> Encoding:
        """Turn texts, or pairs of texts, into ids with special tokens, without padding.

        Parameters
        ----------
        texts : list, tuple, Series or array of str
            Arrow strings, also inside a Series, are read without copying them.
        text_pairs : list, tuple, Series or array of str, optional
            The second text of each pair: ``[CLS] text [SEP] text_pair [SEP]``.
        max_length : int, optional
            Largest number of tokens of a text or a pair, including special tokens. By default
            nothing is truncated.
        truncation : bool or str, default=True
            What to leave out of longer texts and pairs. It has no effect without `max_length`.

            - True, "longest_first", "head": the end, which is then not read. In a pair, the
              longer text is first cut to the length of the other, then both are cut.
            - "tail": the beginning.
            - "head+tail": the middle. A quarter (rounded up) of the tokens comes from the
              beginning and the rest from the end: 128 and 382 of 510, which Sun et al. (2019)
              found best for classification.
            - "only_first", "only_second": the end of that text of a pair. It is an error if
              nothing of it would remain.
            - "windows": nothing. A text becomes several windows, each a sequence
              ``[CLS] ... [SEP]``. Of a pair, the first window is that of "longest_first"; the
              others go on over the second text, each after the same part of the first.
            - False, "do_not_truncate": nothing.
        stride : int, default=0
            Number of tokens that each window shares with the previous one, smaller than the
            window. Only for windows, which are those of Hugging Face's
            ``return_overflowing_tokens`` with the same `stride`.
        split_special_tokens : bool, default=False
            Whether to treat a literal special token in a text, such as ``[SEP]``, as plain text.
            By default it becomes that token, as in Hugging Face's tokenizers. Use True for
            untrusted texts, which could otherwise fake the end of a text.
        return_offsets_mapping : bool, default=False
            Whether to return the characters of each token.
        n_threads : int, optional
            Number of threads. By default it depends on the environment and the processor.

        Returns
        -------
        Encoding
            ``ids``, ``offsets`` and ``truncated``; for pairs also ``token_type_ids`` and
            ``n_first``, for windows also ``windows``, and ``offset_mapping`` on request.

        Raises
        ------
        TypeError
            An item is not a text. The message names it, and its row in a Series.
        ValueError
            The part of a text that is read has a lone surrogate or, in Arrow buffers, invalid
            UTF-8; `max_length` is too small, alone or for `stride`; or a pair cannot be
            truncated as requested.
        """
        return self._encode(
            texts, text_pairs, max_length=max_length, truncation=truncation, stride=stride,
            split_special_tokens=split_special_tokens, spans=return_offsets_mapping,
            n_threads=n_threads,
        )  # fmt: skip

    @overload
    def __call__(
        self,
        texts: Texts,
        text_pairs: Texts | None = None,
        *,
        max_length: int | None = None,
        padding: Literal[True, "longest", "max_length"] = "longest",
        truncation: bool | str = True,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        return_token_type_ids: bool | None = None,
        return_offsets_mapping: bool = False,
        n_threads: int | None = None,
    ) -> dict[str, npt.NDArray[np.int64]]: ...

    @overload
    def __call__(
        self,
        texts: Texts,
        text_pairs: Texts | None = None,
        *,
        max_length: int | None = None,
        padding: bool | str,
        truncation: bool | str = True,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        return_token_type_ids: bool | None = None,
        return_offsets_mapping: bool = False,
        n_threads: int | None = None,
    ) -> dict[str, Any]: ...

    def __call__(
        self,
        texts: Texts,
        text_pairs: Texts | None = None,
        *,
        max_length: int | None = None,
        padding: bool | str = "longest",
        truncation: bool | str = True,
        stride: int = 0,
        pad_to_multiple_of: int | None = None,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        return_token_type_ids: bool | None = None,
        return_offsets_mapping: bool = False,
        n_threads: int | None = None,
    ) -> dict[str, Any]:
        """Turn texts, or pairs of texts, into padded arrays of ids, as in transformers.

        Parameters
        ----------
        texts, text_pairs : list, tuple, Series or array of str
            As in `encode_batch`.
        max_length : int, optional
            Largest number of tokens of a text or a pair, including special tokens.
        padding : {"longest", "max_length", "do_not_pad", True, False}, default="longest"
            Length to which rows are padded. True means "longest". False and "do_not_pad" return
            lists of arrays of different lengths.
        truncation : bool or str, default=True
            As in `encode_batch`. With False, `max_length` is only used for padding. With
            "windows", each row is a window.
        stride : int, default=0
            As in `encode_batch`.
        pad_to_multiple_of : int, optional
            Pad rows further, to a multiple of this.
        add_special_tokens : bool, default=True
            Whether to add [CLS] and [SEP].
        split_special_tokens : bool, default=False
            As in `encode_batch`.
        return_token_type_ids : bool, optional
            Whether to return token types. The default is to return them for pairs only: for
            single texts, all types are 0, which models assume anyway.
        return_offsets_mapping : bool, default=False
            Whether to return the characters of each token.
        n_threads : int, optional
            As in `encode_batch`.

        Returns
        -------
        dict
            ``input_ids``, ``attention_mask`` and, if requested, ``token_type_ids`` are int64
            arrays of shape (n_rows, n_tokens). If requested, ``offset_mapping`` is an int64 array
            of shape (n_rows, n_tokens, 2), with (0, 0) for special tokens and padding. There is a
            row for each text or, with windows, for each window; for windows,
            ``overflow_to_sample_mapping`` (int64) contains the text of each row.
        """
        encoding = self._encode(
            texts, text_pairs, max_length=max_length, truncation=truncation, stride=stride,
            add_special_tokens=add_special_tokens, split_special_tokens=split_special_tokens,
            spans=return_offsets_mapping, n_threads=n_threads,
        )  # fmt: skip
        ids, offsets = encoding.ids, encoding.offsets
        width = padded_width(np.diff(offsets), padding, max_length, pad_to_multiple_of)
        padding_id = self.pad_token_id
        if width is not None and padding_id is None:
            raise ValueError("the vocabulary has no padding token; pass padding=False")
        columns: dict[str, tuple[npt.NDArray[np.integer], int]] = {
            "input_ids": (ids, padding_id or 0)
        }
        if return_token_type_ids or (return_token_type_ids is None and text_pairs is not None):
            types = encoding.token_type_ids
            columns["token_type_ids"] = (np.zeros_like(ids) if types is None else types, 0)
        columns["attention_mask"] = (np.ones_like(ids), 0)
        if encoding.offset_mapping is not None:
            columns["offset_mapping"] = (encoding.offset_mapping, 0)
        rows: dict[str, Any] = {
            name: as_rows(values, offsets, width, fill) for name, (values, fill) in columns.items()
        }
        if encoding.windows is not None:
            counts = np.diff(encoding.windows)
            rows["overflow_to_sample_mapping"] = np.repeat(np.arange(len(counts)), counts)
        return rows

    def encode(
        self,
        text: str,
        text_pair: str | None = None,
        *,
        max_length: int | None = None,
        truncation: bool | str = True,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
    ) -> list[int]:
        """Turn one text, or one pair, into a list of ids.

        Parameters
        ----------
        text, text_pair : str
        max_length, truncation, add_special_tokens, split_special_tokens
            As in `encode_batch` and in a call. Windows are not supported.

        Returns
        -------
        list of int
        """
        for name, value in (("text", text), ("text_pair", text_pair)):
            if not isinstance(value, str) and (name == "text" or value is not None):
                raise TypeError(f"{name}: expected str, got {type(value).__name__}")
        if truncation == "windows":
            raise ValueError("encode returns one list; use encode_batch for truncation='windows'")
        encoding = self._encode(
            (text,), None if text_pair is None else (text_pair,), max_length=max_length,
            truncation=truncation, add_special_tokens=add_special_tokens,
            split_special_tokens=split_special_tokens, n_threads=1,
        )  # fmt: skip
        ids: list[int] = encoding.ids.tolist()
        return ids

    def tokenize(
        self, text: str, text_pair: str | None = None, *, add_special_tokens: bool = False
    ) -> list[str]:
        """Split one text, or one pair, into its tokens.

        Parameters
        ----------
        text, text_pair : str
        add_special_tokens : bool, default=False
            Whether to add [CLS] and [SEP].

        Returns
        -------
        list of str
        """
        ids = self.encode(text, text_pair, add_special_tokens=add_special_tokens)
        return self.convert_ids_to_tokens(ids)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens of a text or, if `pair` is true, of a pair."""
        return 2 + self._settings.get("pair_separators", 1) if pair else 2

    @property
    def model_max_length(self) -> int | None:
        """Largest number of tokens that the model can read, or None if it is unknown."""
        limit: int | None = self._settings["model_max_length"]
        return limit

    @property
    def n_usable(self) -> int:
        """Number of ids that a text can have: `vocab_size`, or the limit of `limit_ids`."""
        return self.vocab_size if self._n_ids is None else min(self.vocab_size, self._n_ids)

    def limit_ids(self, n_ids: int, n_types: int = 2) -> None:
        """Refuse texts with ids that a model has no embeddings for.

        The vocabulary of a tokenizer may be larger than that of its model, if a token was added and
        the embeddings were not resized. Only texts with such a token are an error then.

        Parameters
        ----------
        n_ids : int
            Number of embeddings: the model knows ids from 0 to `n_ids` - 1.
        n_types : int, default=2
            Number of token types of the model. With less than 2, all types of pairs are 0.

        Raises
        ------
        ValueError
            The model does not know a token that is in every text.
        """
        for role in self._needed:
            id_ = self._ids[self._settings[f"{role}_token"]]
            if id_ >= n_ids:
                raise ValueError(f"{role}_token: {self._beyond(id_, n_ids)}")
        self._n_ids, self._n_types = n_ids, n_types

    def _beyond(self, id_: int, n_ids: int, where: str = "") -> str:
        """Return what is wrong with an id that the model does not know."""
        return (
            f"{self._tokens[id_]!r:.60} has the id {id_}, but the model only has embeddings for "
            f"the ids 0 to {n_ids - 1}. Either the tokenizer{where} (with {self.vocab_size} "
            "tokens) is not that of the model, or a token was added to it without an embedding"
        )

    def _check_ids(self, encoding: Encoding) -> None:
        """Raise if the model does not know an id."""
        if self.n_usable == self.vocab_size:
            return
        beyond = np.flatnonzero(encoding.ids >= self.n_usable)
        if len(beyond):
            place = np.searchsorted(encoding.offsets, beyond[0], side="right") - 1
            if encoding.windows is not None:
                place = np.searchsorted(encoding.windows, place, side="right") - 1
            where = "" if self._directory is None else f" in {self._directory}"
            what = self._beyond(int(encoding.ids[beyond[0]]), self.n_usable, where)
            raise CheckpointError(f"texts[{place}]: {what}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._settings, self._n_ids, self._directory, self._n_types)

    def _encode(
        self,
        texts: Texts | ArrowTexts,
        text_pairs: Texts | ArrowTexts | None,
        *,
        max_length: int | None,
        truncation: bool | str,
        stride: int = 0,
        add_special_tokens: bool = True,
        split_special_tokens: bool = False,
        spans: bool = False,
        n_threads: int | None = None,
    ) -> Encoding:
        pairs = text_pairs is not None
        if pairs and not self._settings.get("pairs", True):
            raise ValueError(
                "text_pairs: the tokenizer.json of this tokenizer does not put two texts together "
                "as [CLS] text [SEP] text_pair [SEP]; only single texts can be encoded"
            )
        special = self.num_special_tokens_to_add(pairs) if add_special_tokens else 0
        cut = check_truncation(truncation, pairs)
        length = check_max_length(max_length, special) if cut else 0
        check_stride(stride, truncation, length, special, pairs)
        how: dict[str, Any] = {
            "add_special": add_special_tokens, "plain_specials": split_special_tokens,
            "spans": spans, "n_threads": _threads(n_threads),
        }
        try:
            given = as_items(texts), as_items(text_pairs, "text_pairs") if pairs else None
            if pairs and truncation == "windows":
                encoding = self._encode_windows(*given, length, stride, how)
            else:
                which, form = cut or (0, 0)
                encoding = self._run(
                    *given, max_length=length, which=which, form=form, stride=int(stride), **how
                )
            if pairs:
                encoding = encoding._replace(token_type_ids=self._types_of(encoding))
            self._check_ids(encoding)
        except (TypeError, ValueError) as error:
            named = named_row(error, {"texts": texts, "text_pairs": text_pairs})
            if named is None:
                raise
            raise named from None
        return encoding

    def _run(self, texts: Any, text_pairs: Any, **how: Any) -> Encoding:
        """Let the engine tokenize texts; all types are None."""
        ids, offsets, truncated, n_first, characters, windows = self._core.encode_batch(
            texts, seconds=text_pairs, **how
        )
        return Encoding(ids, offsets, truncated, None, characters, windows, n_first)

    def _encode_windows(
        self, texts: Any, text_pairs: Any, max_length: int, stride: int, how: dict[str, Any]
    ) -> Encoding:
        """Return windows over the second texts of pairs."""
        pairs = self._run(
            texts, text_pairs, max_length=max_length, which=0, form=0, stride=0, **how
        )
        rows = np.flatnonzero(pairs.truncated)
        if isinstance(text_pairs, (list, tuple)):
            some = [text_pairs[row] for row in rows]
        else:
            rows, some = np.arange(len(pairs.truncated)), text_pairs
        try:
            seconds = self._run(
                some, None, max_length=0, which=0, form=0, stride=0, **how | {"add_special": False}
            )
        except ValueError as error:
            raise name_second(error, rows) from None
        return windows_of_pairs(pairs, seconds, rows, int(stride), how["add_special"])

    def _types_of(self, encoding: Encoding) -> npt.NDArray[np.int32] | None:
        """Return the token types of pairs; None if all are 0."""
        if self._settings.get("pair_separators", 1) != 1 or self._n_types < 2:
            return None
        assert encoding.n_first is not None
        return token_types(encoding.offsets, encoding.n_first)


def added_tuples(tokens: Iterable[Mapping[str, Any]]) -> list[_core._AddedToken]:
    """Return added tokens as the engine takes them."""
    return [(token["content"], token["id"], *(token[flag] for flag in _FLAGS)) for token in tokens]


def check_separators(count: int) -> None:
    """Raise unless there can be so many separators between two texts."""
    if count not in (1, 2):
        raise ValueError(f"pair_separators must be 1 or 2, got {count!r}")


def _class_of(kind: str) -> type[Tokenizer]:
    """Return the class of tokenizers of a kind."""
    from bertsent.tokenizer.byte_level import ByteLevelBPETokenizer
    from bertsent.tokenizer.wordpiece import WordPieceTokenizer

    classes: tuple[type[Tokenizer], ...] = (WordPieceTokenizer, ByteLevelBPETokenizer)
    return next(each for each in classes if each.kind == kind)


def _rebuild(
    kind: type[Tokenizer], settings: dict[str, Any], n_ids: int | None, directory: str | None,
    n_types: int = 2,
) -> Tokenizer:
    tokenizer = kind(**settings)
    tokenizer._directory = directory
    if n_ids is not None:
        tokenizer.limit_ids(n_ids, n_types)
    return tokenizer


def _threads(n_threads: int | None) -> int:
    from bertsent.system import resolve_n_threads

    return resolve_n_threads(n_threads)
