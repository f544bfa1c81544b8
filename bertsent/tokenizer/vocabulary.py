"""Look up ids and tokens, and decode ids to text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from operator import countOf
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from bertsent.files import largest_id

if TYPE_CHECKING:
    import numpy as np

Id: TypeAlias = "int | np.integer[Any]"
Ids: TypeAlias = Iterable[Id]

_ROLES = {
    "unk": "an unknown word", "sep": "the end of a text", "pad": "padding",
    "cls": "the first token", "mask": "a masked word",
}  # fmt: skip
# Twice as many as any BERT model has. A token takes some 400 bytes of memory.
MOST_TOKENS = 1 << 20


class Vocabulary(ABC):
    """The part of a tokenizer that deals with tokens, not texts.

    Subclasses provide ``_settings``, ``_ids`` (by token), ``_tokens`` (by id, with None for
    unused ids) and ``_special_ids``.
    """

    _settings: dict[str, Any]
    _ids: dict[str, int]
    _tokens: list[str | None]
    _special_ids: set[int]

    if TYPE_CHECKING:  # `_add_token_properties` makes them
        @property
        def unk_token(self) -> str | None: ...
        @property
        def unk_token_id(self) -> int | None: ...
        @property
        def cls_token(self) -> str: ...
        @property
        def cls_token_id(self) -> int: ...
        @property
        def sep_token(self) -> str: ...
        @property
        def sep_token_id(self) -> int: ...
        @property
        def pad_token(self) -> str | None: ...
        @property
        def pad_token_id(self) -> int | None: ...
        @property
        def mask_token(self) -> str | None: ...
        @property
        def mask_token_id(self) -> int | None: ...

    @overload
    def convert_ids_to_tokens(self, ids: Ids, skip_special_tokens: bool = False) -> list[str]: ...

    @overload
    def convert_ids_to_tokens(self, ids: Id, skip_special_tokens: bool = False) -> str: ...

    def convert_ids_to_tokens(
        self, ids: Ids | Id, skip_special_tokens: bool = False
    ) -> list[str] | str:
        """Return the tokens with the given ids.

        Parameters
        ----------
        ids : int or iterable of int
        skip_special_tokens : bool, default=False
            Whether to leave out tokens such as [CLS].

        Returns
        -------
        str or list of str
            A str for a single id.
        """
        if not hasattr(ids, "__iter__"):
            return self._token(ids)
        skipped = self._special_ids if skip_special_tokens else ()
        return [self._token(id_) for id_ in ids if int(id_) not in skipped]

    @overload
    # A str is also an iterable of str.
    def convert_tokens_to_ids(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]

    @overload
    def convert_tokens_to_ids(self, tokens: Iterable[str]) -> list[int]: ...

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """Return the ids of the given tokens.

        Parameters
        ----------
        tokens : str or iterable of str

        Returns
        -------
        int or list of int
            An int for a single token. Tokens that are not in the vocabulary have the id of the
            unknown token.

        Raises
        ------
        KeyError
            A token is not in the vocabulary, and there is no unknown token.
        """
        if isinstance(tokens, str):
            return self._id(tokens)
        return [self._id(token) for token in tokens]

    @abstractmethod
    def decode(self, ids: Ids | Id, skip_special_tokens: bool = False) -> str:
        """Turn ids into text.

        Parameters
        ----------
        ids : int or iterable of int
        skip_special_tokens : bool, default=False
            Whether to leave out tokens such as [CLS].

        Returns
        -------
        str
        """

    def batch_decode(
        self, sequences: Iterable[Ids | Id], skip_special_tokens: bool = False
    ) -> list[str]:
        """Turn the ids of several texts into texts.

        Parameters
        ----------
        sequences : iterable of iterables of int
            For example the ``input_ids`` of a call.
        skip_special_tokens : bool, default=False
            Whether to leave out tokens such as [CLS] and padding.

        Returns
        -------
        list of str
        """
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens that are added to a text or a pair."""
        return 2 + pair * int(self._settings.get("pair_separators", 1))

    def get_vocab(self) -> dict[str, int]:
        """Return the vocabulary, including added tokens.

        Returns
        -------
        dict
            Ids by token.
        """
        return dict(self._ids)

    def get_added_vocab(self) -> dict[str, int]:
        """Return the added tokens, which are found in a text before it is split.

        Returns
        -------
        dict
            Ids by token.
        """
        return {token["content"]: token["id"] for token in self._settings["added_tokens"]}

    @property
    def vocab_size(self) -> int:
        """Number of ids, including added tokens: one more than the largest id."""
        return len(self._tokens)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by role, such as ``cls_token``."""
        names = {f"{role}_token": self._settings[f"{role}_token"] for role in _ROLES}
        return {role: name for role, name in names.items() if name is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, each once."""
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the special tokens, in the order of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def _id(self, token: str) -> int:
        id_ = self._ids.get(token, self.unk_token_id)
        if id_ is None:
            raise KeyError(f"{token!r} is not in the vocabulary, which has no unknown token")
        return id_

    def _token(self, id_: Id) -> str:
        id_ = int(id_)
        token = self._tokens[id_] if 0 <= id_ < len(self._tokens) else None
        if token is None:
            raise IndexError(f"there is no token with id {id_}; ids are 0 to {self.vocab_size - 1}")
        return token


def _add_token_properties() -> None:
    """Add the ten properties of the class: each special token and its id."""
    for role, what in _ROLES.items():
        key = f"{role}_token"

        def token(self: Vocabulary, key: str = key) -> Any:
            return self._settings[key]

        def token_id(self: Vocabulary, key: str = key) -> int | None:
            return self._ids.get(self._settings[key])

        token.__doc__ = f"The token for {what}, or None."
        token_id.__doc__ = f"The id of the token for {what}, or None."
        setattr(Vocabulary, key, property(token))
        setattr(Vocabulary, key + "_id", property(token_id))


_add_token_properties()


def as_mapping(vocab: Mapping[str, int] | Iterable[str]) -> dict[str, int]:
    """Return the ids of a vocabulary by token, given either those or the tokens in order."""
    if isinstance(vocab, Mapping):
        vocab = dict(vocab)
        if not are_in_order(vocab):
            _check_ids(vocab)
    elif isinstance(vocab, str):
        raise TypeError("vocab: expected a list or a mapping of tokens, got str")
    else:
        vocab = {token: i for i, token in enumerate(vocab)}
    if len(vocab) > MOST_TOKENS:
        raise ValueError(f"vocab: {len(vocab):,} tokens are too many; at most {MOST_TOKENS:,}")
    if countOf(map(type, vocab), str) < len(vocab):
        for kind in set(map(type, vocab)):
            if not issubclass(kind, str):
                raise TypeError(f"vocab: expected str, got {kind.__name__}")
    return vocab


def are_in_order(ids: Mapping[str, int]) -> bool:
    """Return whether the ids of tokens are 0, 1, 2 and so on, which is usual and soon found."""
    values = list(ids.values())
    return values == list(range(len(values))) and countOf(map(type, values), int) == len(values)


def _check_ids(vocab: Mapping[str, int]) -> None:
    ids = vocab.values()
    if not set(map(type, ids)) <= {int} or min(ids, default=0) < 0:
        for token, id_ in vocab.items():
            if isinstance(id_, bool) or not isinstance(id_, int) or id_ < 0:
                raise ValueError(f"vocab: the id of {token!r} is {id_!r}; must be 0 or more")
    if max(ids, default=0) > largest_id(len(vocab)):
        raise ValueError(f"vocab: the id {max(ids)} is far too large for {len(vocab)} tokens")
    if len(set(ids)) < len(vocab):
        raise ValueError("vocab: two tokens have the same id")


def as_added_token(token: Mapping[str, Any]) -> dict[str, Any]:
    """Return an added token with all its entries, after checking them."""
    content, id_ = token.get("content"), token.get("id")
    if not isinstance(content, str) or not content:
        raise ValueError(f"added_tokens: content must be a text, got {content!r}")
    if isinstance(id_, bool) or not isinstance(id_, int) or id_ < 0:
        raise ValueError(f"added_tokens: the id of {content!r} is {id_!r}; must be 0 or more")
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return {
        "content": content, "id": id_, **{flag: bool(token.get(flag, False)) for flag in flags}
    }
