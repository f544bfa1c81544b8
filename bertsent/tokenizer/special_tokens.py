"""The special and added tokens that the files of a tokenizer list."""

from __future__ import annotations

from typing import NamedTuple

from bertsent.errors import CheckpointError
from bertsent.files import Field
from bertsent.tokenizer.added import AddedToken, AddedTokens
from bertsent.tokenizer.contents import Contents, added_token

__all__ = ["SpecialTokens", "add_all", "find_tokens", "tokens_in"]

# The special tokens that have names, in the order in which transformers adds them.
_NAMES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
# The list of those without names, as transformers 5 and older versions call it.
_EXTRA, _ADDITIONAL = "extra_special_tokens", "additional_special_tokens"
# Ids are stored in 32 bits. Those in files only say in which order tokens are added.
_LARGEST = 2**32 - 1


class SpecialTokens(NamedTuple):
    """The tokens that files list besides those of the vocabulary.

    Attributes
    ----------
    named : dict
        By names such as ``cls_token``; None for tokens that the tokenizer is said not to have.
    extra : list
        Special tokens without names.
    listed : dict
        All other added tokens, by numbers that say in which order they are added.
    """

    named: dict[str, AddedToken | None]
    extra: list[AddedToken]
    listed: dict[int, AddedToken]


def find_tokens(contents: Contents) -> SpecialTokens:
    """Return the tokens in ``tokenizer_config.json`` and the older files beside it.

    The older files are ``special_tokens_map.json``, which overrides ``tokenizer_config.json``, and
    ``added_tokens.json``. Neither counts if ``tokenizer_config.json`` has an entry
    ``added_tokens_decoder``.
    """
    found = _Found()
    found.take(contents.config)
    pairs: list[tuple[int, AddedToken]] = []
    if "added_tokens_decoder" in contents.config:
        for key, field in contents.config["added_tokens_decoder"].entries().items():
            if not key.isdecimal() or len(key) > 10:
                raise CheckpointError(
                    f"{field.file}: the keys of added_tokens_decoder must be ids, got {key[:60]!r}"
                )
            pairs.append((int(key), _described(field)))
    else:
        if contents.special is not None:
            found.take(contents.special, special=True)
        if contents.added is not None:
            special = found.known()
            for content, number in contents.added.entries().items():
                known = content in special
                token = AddedToken(content, normalized=not known, special=known)
                pairs.append((number.whole(0, _LARGEST), token))
        if contents.tokenizer is not None:
            pairs += tokens_in(contents.tokenizer)
    described = {token.content: token for _, token in pairs}
    named = found.named()
    for name in _NAMES:
        if (given := named.get(name)) is not None:
            named[name] = described.get(given.content, given)
    return SpecialTokens(named, found.extra(), dict(pairs))


def tokens_in(tokenizer: Field) -> list[tuple[int, AddedToken]]:
    """Return the added tokens in ``tokenizer.json``, with the ids there."""
    field = tokenizer.get("added_tokens")
    return [] if field.value is None else [
        (item["id"].whole(0, _LARGEST), _described(item)) for item in field.items()
    ]


def add_all(added: AddedTokens, found: SpecialTokens) -> None:
    """Add the tokens in the order in which transformers does."""
    order = [*_NAMES, *(name for name in found.named if name not in _NAMES)]
    named = [token for name in order if (token := found.named.get(name)) is not None]
    names = {token.content for token in named}
    listed = [found.listed[number] for number in sorted(found.listed)]
    known = {token.content for token in listed} | set(added.ids)
    others = (token for token in [*named, *found.extra] if token.content not in known)
    added.add(
        token._replace(special=True) if token.content in names else token
        for token in [*listed, *dict.fromkeys(others)]
    )


def _described(field: Field) -> AddedToken:
    if isinstance(field.value, str):
        raise field.error("a JSON object")
    return added_token(field)


class _Found:
    """Collects the special tokens of two files, of which the second was written by old versions."""

    def __init__(self) -> None:
        self._named: dict[str, AddedToken | None] = {}
        self._known: dict[str, bool] = {}  # which of them are special in added_tokens.json
        self._plain: set[str] = set()  # and which without names are
        self._own: dict[str, AddedToken] = {}  # by names that are not in _NAMES
        self._more: dict[str, AddedToken] = {}  # likewise, from the second file
        self._extra: list[AddedToken] | None = None  # None: there is no such entry
        self._additional: Field | None = None

    def take(self, file: Field, *, special: bool = False) -> None:
        """Take the entries of a file. `special` is true for the second one."""
        changes = {"special": True} if special else {}
        entries = file.entries()
        for key, field in entries.items():
            text = isinstance(field.value, str)
            if key in _NAMES:
                token = None if field.value is None else added_token(field, **changes)
                self._named[key], self._known[key] = token, special or text
            elif key.endswith("_token") and (text or special and isinstance(field.value, dict)):
                names = self._more if special else self._own
                names[key] = added_token(field, **changes)
        extra, additional = entries.get(_EXTRA), entries.get(_ADDITIONAL)
        if additional is not None and not special and not (extra and extra.value):
            extra, additional = additional, None
        if extra is not None:
            self._take_extra(extra, changes)
        self._additional = additional or self._additional

    def _take_extra(self, field: Field, changes: dict[str, bool]) -> None:
        if isinstance(field.value, dict):
            self._own |= {key: added_token(item) for key, item in field.entries().items()}
            self._extra, self._plain = None, set()
        elif field.value is None:
            self._extra, self._plain = [], set()
        else:
            items = field.items()
            new = [added_token(item, **changes) for item in items]
            self._extra = list(dict.fromkeys([*(self._extra or []), *new]))
            self._plain |= {item.value for item in items if isinstance(item.value, str)}

    def known(self) -> set[str]:
        """Return the tokens that are special where ``added_tokens.json`` lists them.

        Objects in ``tokenizer_config.json`` are not, as in transformers.
        """
        named = {key: token for key, token in self._named.items() if self._known[key]}
        return self._plain | {token.content for token in named.values() if token is not None}

    def named(self) -> dict[str, AddedToken | None]:
        """Return all tokens that have names."""
        return self._named | self._more | self._own

    def extra(self) -> list[AddedToken]:
        """Return all special tokens without names."""
        if self._extra is None and self._additional is not None:
            self._take_extra(self._additional, {})
        return self._extra or []
