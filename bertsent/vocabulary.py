"""Ids and tokens: looking them up, and putting text together from them."""

from collections.abc import Mapping

_ROLES = {
    "unk": "an unknown word", "sep": "the end of a text", "pad": "padding",
    "cls": "the first token", "mask": "a masked word",
}  # fmt: skip
# What decoding puts right, in this order, as Hugging Face does.
_CLEANUP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip


class Vocabulary:
    """The part of a tokenizer that knows tokens, but no texts.

    Needs ``_settings``, ``_ids`` (by token), ``_tokens`` (by id, None for none) and
    ``_special_ids``.
    """

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """Look tokens up by their ids.

        Parameters
        ----------
        ids : int or iterable of int
        skip_special_tokens : bool
            Whether tokens such as [CLS] are left out.

        Returns
        -------
        str or list of str
            One token for one id.
        """
        if not hasattr(ids, "__iter__"):
            return self._token(ids)
        skipped = self._special_ids if skip_special_tokens else ()
        return [self._token(id_) for id_ in ids if int(id_) not in skipped]

    def convert_tokens_to_ids(self, tokens):
        """Look ids up by their tokens; one that is not there is unknown.

        Parameters
        ----------
        tokens : str or iterable of str

        Returns
        -------
        int or list of int
            One id for one token.
        """
        if isinstance(tokens, str):
            return self._ids.get(tokens, self.unk_token_id)
        return [self._ids.get(token, self.unk_token_id) for token in tokens]

    def decode(self, ids, skip_special_tokens=False):
        """Put text together from ids. Case, accents and spacing are not restored.

        Parameters
        ----------
        ids : int or iterable of int
        skip_special_tokens : bool
            Whether tokens such as [CLS] are left out.

        Returns
        -------
        str
        """
        if not hasattr(ids, "__iter__"):
            ids = [ids]
        prefix, words = self._settings["prefix"], []
        for token in self.convert_ids_to_tokens(ids, skip_special_tokens):
            if words:
                tail = token.startswith(prefix)
                token = token.replace(prefix, "", 1) if tail else " " + token
            for wrong, right in _CLEANUP:
                token = token.replace(wrong, right)
            words.append(token)
        return "".join(words)

    def batch_decode(self, sequences, skip_special_tokens=False):
        """Put several texts together from their ids.

        Parameters
        ----------
        sequences : iterable of iterables of int
            Such as the ``input_ids`` of a call; padding is decoded too unless skipped.
        skip_special_tokens : bool

        Returns
        -------
        list of str
        """
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def num_special_tokens_to_add(self, pair=False):
        """How many special tokens are put around a text, or a pair of them."""
        return 3 if pair else 2

    def get_vocab(self):
        """Return the vocabulary with the added tokens.

        Returns
        -------
        dict
            Ids by token.
        """
        return dict(self._ids)

    def get_added_vocab(self):
        """Return the tokens that are found in a text before it is split.

        Returns
        -------
        dict
            Ids by token.
        """
        return {token["content"]: token["id"] for token in self._settings["added_tokens"]}

    @property
    def vocab_size(self):
        """Number of ids, added tokens included: one more than the largest."""
        return len(self._tokens)

    @property
    def special_tokens_map(self):
        """The special tokens by role, such as ``cls_token``."""
        names = {f"{role}_token": self._settings[f"{role}_token"] for role in _ROLES}
        return {role: name for role, name in names.items() if name is not None}

    @property
    def all_special_tokens(self):
        """The special tokens, each once."""
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self):
        """The ids of the special tokens, in the same order."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def __len__(self):
        return len(self._tokens)

    def _token(self, id_):
        id_ = int(id_)
        token = self._tokens[id_] if 0 <= id_ < len(self._tokens) else None
        if token is None:
            raise IndexError(f"there is no token with id {id_}; ids are 0 to {self.vocab_size - 1}")
        return token


def _add_token_properties():
    """Give the class its ten properties: each special token and its id."""
    for role, what in _ROLES.items():
        key = f"{role}_token"

        def token(self, key=key):
            return self._settings[key]

        def token_id(self, key=key):
            return self._ids.get(self._settings[key])

        token.__doc__ = f"The token of {what}, or None."
        token_id.__doc__ = f"The id of the token of {what}, or None."
        setattr(Vocabulary, key, property(token))
        setattr(Vocabulary, key + "_id", property(token_id))


_add_token_properties()


def as_mapping(vocab):
    """Return a vocabulary given as tokens in order, or as ids by token, as the latter."""
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
