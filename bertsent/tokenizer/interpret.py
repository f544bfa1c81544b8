"""What the files of a tokenizer mean, also where they contradict each other.

transformers has a rule for every contradiction, although it states none of them. The rules here are
those of transformers 5, found by comparing ids; ``docs/tokenizer.md`` describes them. Files that
fit no BERT model, or whose meaning is a matter of chance in transformers, are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bertsent.errors import CheckpointError
from bertsent.tokenizer.added import AddedToken, AddedTokens
from bertsent.tokenizer.contents import Contents, refuse, short
from bertsent.tokenizer.special_tokens import add_all, find_tokens, tokens_in
from bertsent.tokenizer.tokenizer_json import padding_token, pair_separators_in

if TYPE_CHECKING:
    from bertsent.files import Field
    from bertsent.hub import Family
    from bertsent.tokenizer.kind import Kind

__all__ = ["ROLES", "settings_from"]

# Classes that take everything from tokenizer.json.
_GENERAL_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})
# The supported model that comes nearest to those with other classes, if `model_type` does not tell.
_NEAREST = {"BertweetTokenizer": "roberta-base"}
ROLES = ("unk", "cls", "sep", "pad", "mask")


def settings_from(contents: Contents, family: Family, kind: Kind) -> dict[str, Any]:
    """Return the settings of the tokenizer that files describe.

    Parameters
    ----------
    contents : Contents
        With ``tokenizer.json`` or a vocabulary.
    family : Family
        The family of the model in the directory.
    kind : Kind

    Returns
    -------
    dict
        Keyword arguments of the class for this kind of tokenizer.

    Raises
    ------
    CheckpointError
        An entry is invalid, or the files describe another kind of tokenizer.
    """
    config = contents.config
    if config.get("split_special_tokens", False).flag():
        refuse(config, "split_special_tokens is true, which bertsent only knows as an argument")
    for name in config.get("fast_tokenizer_files", []).items():
        if re.search(r"tokenizer\..*\.json", name.text()):
            refuse(config, f"in transformers, {short(name.value)} may replace tokenizer.json")
    decides = _class_decides(contents, family, kind)
    by = _by_file if decides is False else _by_class
    settings = by(contents, family, kind)
    if decides is None:
        other = _by_file(contents, family, kind)
        differs = sorted(key for key in settings.keys() & other if settings[key] != other[key])
        if differs:
            raise CheckpointError(
                f"{contents.directory}: tokenizer_config.json and tokenizer.json disagree about "
                f"{' and '.join(differs)}, and neither tokenizer_config.json nor config.json says "
                'what kind of tokenizer this is; add "tokenizer_class" to tokenizer_config.json: '
                f'"{kind.tokenizer_class}" follows tokenizer_config.json, '
                '"PreTrainedTokenizerFast" follows tokenizer.json'
            )
    settings["model_max_length"] = _length(config)
    return settings


def _class_decides(contents: Contents, family: Family, kind: Kind) -> bool | None:
    """Return whether texts are normalized as the class and ``tokenizer_config.json`` say.

    False means that they are normalized as ``tokenizer.json`` says, and None that this is unknown.
    """
    classes, types = kind.classes, kind.types
    if family.tokenizer_kind == kind.name:
        classes, types = classes | {family.tokenizer_class}, types | {family.model_type}
    for file in (contents.config, contents.model):
        if file is None or not file.get("tokenizer_class").value:
            continue
        name = file["tokenizer_class"].text()
        stem = name.removesuffix("Fast")
        if stem in classes:
            return True
        if stem in _NEAREST:
            near = _NEAREST[stem]
            refuse(file, f"its class is {short(name)}; the nearest supported model is {near}")
        if stem not in _GENERAL_CLASSES:
            refuse(
                file,
                f"its class is {short(name)}, which bertsent does not know as a {kind.name} one; "
                "if tokenizer.json describes all of it, write "
                '"tokenizer_class": "PreTrainedTokenizerFast" instead',
            )
        if contents.tokenizer is None:
            refuse(file, f"its class is {short(name)}, which needs a tokenizer.json")
        return False
    if contents.model is not None:
        model = contents.model.get("model_type")
        if model.value is not None and model.text() not in types:
            refuse(
                contents.config,
                f"it names no class, and that of models of type {short(model.value)} is another "
                "one",
            )
    if contents.tokenizer is None:
        return True
    return False if contents.model is None else True if model.value is not None else None


def _by_class(contents: Contents, family: Family, kind: Kind) -> dict[str, Any]:
    """Return the settings that the class in transformers would have."""
    config, file = contents.config, contents.tokenizer
    name = config.get("tokenizer_class").value or family.tokenizer_class
    own = name.removesuffix("Fast") == family.tokenizer_class
    usual = family if own and family.tokenizer_kind == kind.name else kind
    separators = usual.pair_separators
    if file is not None:
        settings = kind.vocabulary_in(file)
        kind.check_parts(file, separators)
    else:
        assert contents.vocab is not None
        settings = dict(contents.vocab)
    vocab = settings["vocab"]
    found, added = find_tokens(contents), AddedTokens(vocab)
    for role, token in usual.special_tokens.items():
        found.named.setdefault(f"{role}_token", AddedToken(token, special=True))
    add_all(added, found)
    tokens = {f"{role}_token": found.named[f"{role}_token"] for role in ROLES}
    settings |= kind.settings_of_class(config)
    settings |= {key: token and token.content for key, token in tokens.items()}
    settings["added_tokens"] = added.settings()
    if separators != 1:
        settings["pair_separators"] = separators
        settings.setdefault("trim_offsets", True)
    _check_ids(contents, vocab, added)
    listed = {token.content for token in found.listed.values()}
    _check_roles(contents, settings, listed, kind)
    return settings


def _by_file(contents: Contents, family: Family, kind: Kind) -> dict[str, Any]:
    """Return the settings in ``tokenizer.json``, with the special tokens of all files."""
    file = contents.tokenizer
    assert file is not None
    settings = kind.vocabulary_in(file) | kind.settings_in(file)
    vocab = settings["vocab"]
    found, added = find_tokens(contents), AddedTokens(vocab)
    padding = padding_token(file)
    if padding is not None:
        found.named.setdefault("pad_token", AddedToken(padding, special=True))
    added.add(token for _, token in tokens_in(file))
    listed = set(added.ids) | {token.content for token in found.listed.values()}
    _check_roles(contents, settings, listed, kind)
    add_all(added, found)
    _check_ids(contents, vocab, added)
    ids = vocab | added.ids
    names = (family if family.tokenizer_kind == kind.name else kind).special_tokens
    for role in ROLES:
        # If it has no name, transformers does without. A model needs it to pretrain, for example.
        if f"{role}_token" not in settings:
            usual = names[role]
            token = found.named.get(f"{role}_token", AddedToken(usual) if usual in ids else None)
            settings[f"{role}_token"] = token and token.content
    separators = pair_separators_in(file, ids)
    if separators == 0:
        settings["pairs"] = False
    if separators == 2 or kind.pair_separators == 2:
        settings["pair_separators"] = separators or 2
    return settings | {"added_tokens": added.settings()}


def _check_ids(contents: Contents, vocab: Mapping[str, int], added: AddedTokens) -> None:
    """Raise if an added token has got the id of another token."""
    new = {id_: token for token, id_ in added.ids.items() if token not in vocab}
    if not new.keys().isdisjoint(vocab.values()):
        token, id_ = next(item for item in vocab.items() if item[1] in new)
        raise CheckpointError(
            f"{contents.directory}: the added token {short(new[id_])!r} has the id {id_}, as in "
            f"transformers, because there are {len(vocab)} different tokens in the vocabulary; "
            f"but {short(token)!r} has that id. Tokens are missing or repeated in the vocabulary"
        )


def _check_roles(
    contents: Contents, settings: Mapping[str, Any], listed: set[str], kind: Kind
) -> None:
    """Raise if a token that every text needs is not in the files."""
    for role in kind.needed:
        name = settings[f"{role}_token"]
        if name is None:
            raise CheckpointError(f"{contents.directory}: the {role} token is null")
        if name not in settings["vocab"] and (role == "unk" or name not in listed):
            raise CheckpointError(
                f"{contents.directory}: the vocabulary has no {short(name)}, which is the {role} "
                "token"
            )


def _length(config: Field) -> int | None:
    """Return the largest number of tokens that the model reads, or None if it is not known."""
    key = "model_max_length" if "model_max_length" in config else "max_len"
    field = config.get(key)
    # transformers writes 1e30 if there is no limit.
    if field.value is None or field.value == math.inf:
        return None
    length = field.number()
    return int(length) if 1 <= length < 1e9 else None
