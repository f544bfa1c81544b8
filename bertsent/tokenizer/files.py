"""Read and write tokenizer files in the formats of Hugging Face.

A tokenizer is read from ``tokenizer.json``, ``vocab.txt``, or ``vocab.json`` and ``merges.txt``,
and the files that go with them. Other kinds of tokenizers than those of BERT and RoBERTa are
rejected, because they would give other ids than those that the model was trained with.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsent.errors import CheckpointError
from bertsent.files import Field, has_entry, read_json
from bertsent.hub import cache_gap, family_in
from bertsent.tokenizer.byte_level_files import BYTE_LEVEL, read_vocab_json
from bertsent.tokenizer.contents import Contents, kind_of, refuse
from bertsent.tokenizer.interpret import ROLES, settings_from
from bertsent.tokenizer.tokenizer_json import compose
from bertsent.tokenizer.wordpiece_files import WORDPIECE, read_vocab_txt

if TYPE_CHECKING:
    from bertsent.hub import Family
    from bertsent.tokenizer.kind import Kind

__all__ = ["read_tokenizer", "write_tokenizer"]

_NAMES = tuple(f"{role}_token" for role in ROLES)
_LENGTH = "model_max_length"
_MODEL_MAX = int(1e30)  # what Hugging Face writes if no limit is known
_KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (WORDPIECE, BYTE_LEVEL)}
# Files of other kinds of tokenizers, which error messages name.
_OTHERS = {
    "bpe.codes": "BERTweet",
    "sentencepiece.bpe.model": "SentencePiece",
    "spiece.model": "SentencePiece",
    "tokenizer.model": "SentencePiece",
}


def read_tokenizer(directory: str | PathLike[str]) -> tuple[str, dict[str, Any]]:
    """Read the settings of a tokenizer from a directory.

    Parameters
    ----------
    directory : path-like
        Contains ``tokenizer.json``, ``vocab.txt``, or ``vocab.json`` and ``merges.txt``, and
        optionally ``tokenizer_config.json``, ``special_tokens_map.json``, ``added_tokens.json`` and
        the ``config.json`` of a model. What they mean together is described in
        ``docs/tokenizer.md``.

    Returns
    -------
    kind : str
        ``"WordPiece"`` or ``"byte-level BPE"``.
    settings : dict
        Keyword arguments of the class for this kind.

    Raises
    ------
    FileNotFoundError
        There are no such files.
    CheckpointError
        The files are damaged, or belong to another kind of tokenizer.
    """
    directory = Path(directory)

    def content(name: str) -> Field | None:
        try:
            return read_json(directory / name)
        except FileNotFoundError:
            return None

    family = family_in(directory)
    tokenizer, vocab = content("tokenizer.json"), None
    if tokenizer is not None:
        kind = _kind_of(tokenizer)
    else:
        kind, vocab = _read_vocabulary(directory, family)
    config = content("tokenizer_config.json") or Field({}, directory / "tokenizer_config.json")
    old = "added_tokens_decoder" not in config  # otherwise the older files do not count
    contents = Contents(
        directory=str(directory),
        config=config,
        tokenizer=tokenizer,
        special=content("special_tokens_map.json") if old else None,
        added=content("added_tokens.json") if old else None,
        model=content("config.json"),
        vocab=vocab,
    )
    return kind.name, settings_from(contents, family, kind)


def _kind_of(tokenizer: Field) -> Kind:
    """Return the kind of tokenizer that ``tokenizer.json`` describes."""
    model = tokenizer.get("model")
    named = kind_of(model)
    if named == "BPE" or named is None and isinstance(model.value, dict) and "merges" in model:
        return BYTE_LEVEL
    if named not in ("WordPiece", None):
        refuse(tokenizer, f"its model is {named}")
    return WORDPIECE


def _read_vocabulary(directory: Path, family: Family) -> tuple[Kind, dict[str, Any]]:
    """Return what a directory without ``tokenizer.json`` contains."""
    there = {
        name for name in ("vocab.txt", "bpe.codes", "vocab.json", "merges.txt")
        if has_entry(directory / name)
    }
    try:
        if "vocab.txt" not in there or family.tokenizer_kind == BYTE_LEVEL.name:
            if there & {"vocab.json", "merges.txt"}:
                return BYTE_LEVEL, read_vocab_json(directory)
        if "bpe.codes" not in there:
            return WORDPIECE, read_vocab_txt(directory / "vocab.txt")
    except FileNotFoundError:
        pass
    raise _no_tokenizer(directory)


def _no_tokenizer(directory: Path) -> Exception:
    if not directory.is_dir():
        return FileNotFoundError(f"{directory} is not a directory")
    for name, kind in _OTHERS.items():
        if (directory / name).exists():
            return CheckpointError(
                f"{directory} contains a {kind} tokenizer ({name}); bertsent only reads tokenizers "
                "like those of BERT (tokenizer.json or vocab.txt) and RoBERTa (tokenizer.json, or "
                "vocab.json and merges.txt)"
                + (", of which roberta-base is the nearest" if name == "bpe.codes" else "")
            )
    for name, other in (("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")):
        if has_entry(directory / name):
            return CheckpointError(f"{directory} contains {name}, but not {other}")
    gap = cache_gap(directory, "tokenizer.json")
    return FileNotFoundError(
        f"{directory} contains no tokenizer, neither tokenizer.json nor vocab.txt nor vocab.json"
        + (f"; {gap}" if gap else "")
    )


def write_tokenizer(
    directory: str | PathLike[str], kind_name: str, settings: Mapping[str, Any]
) -> None:
    """Write the tokenizer files of Hugging Face into an existing directory.

    The vocabulary is also written as older programs read it, unless such a file cannot represent
    it.

    Parameters
    ----------
    directory : path-like
        Existing directory. If it contains the ``config.json`` of a model, the tokenizer's class
        is that of the model's family, and the tokenizer's length is limited to the positions of
        the model.
    kind_name : str
    settings : dict
        As returned by `read_tokenizer`, with all keys, and ``vocab`` as a mapping.

    Raises
    ------
    ValueError
        No files can describe this tokenizer: its added tokens have other ids than those that
        transformers would give them.
    """
    directory, kind = Path(directory), _KINDS[kind_name]
    family = family_in(directory)
    length = settings[_LENGTH]
    positions = _positions(directory, family)
    if positions is not None:
        length = positions if length is None else min(length, positions)
    tokenizer = compose(settings, kind.parts(settings))
    config = _config(directory, settings, tokenizer, family, kind)
    config[_LENGTH] = _MODEL_MAX if length is None else length
    names = {key: config[key] for key in _NAMES if config.get(key) is not None}
    _write_json(directory / "tokenizer.json", tokenizer)
    _write_json(directory / "tokenizer_config.json", config)
    _write_json(directory / "special_tokens_map.json", names)
    kind.write_vocabulary(directory, settings)


def _positions(directory: Path, family: Family) -> int | None:
    """Return the largest number of tokens of the model in a directory, if there is one."""
    try:
        model = read_json(directory / "config.json").value
    except (FileNotFoundError, CheckpointError):
        return None
    positions = family.value(model, "max_position_embeddings")
    return positions - family.position_offset if isinstance(positions, int) else None


def _config(
    directory: Path, settings: Mapping[str, Any], tokenizer: dict[str, Any], family: Family,
    kind: Kind,
) -> dict[str, Any]:
    """Return a ``tokenizer_config.json`` with which the files mean exactly these settings."""
    names = {key: settings[key] for key in _NAMES}
    added: set[str | None] = {None, *(token["content"] for token in settings["added_tokens"])}
    config = {
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in settings["added_tokens"]
        },
        **kind.entries(settings),
    }
    if not family.has_token_types:
        config["model_input_names"] = ["input_ids", "attention_mask"]
    own = family.tokenizer_kind == kind.name
    # The family's class follows the entries above, the general class follows tokenizer.json. A
    # token that is named becomes an added token and special, if it is not.
    attempts = [
        config | {"tokenizer_class": class_name} | named
        for class_name, named in (
            (family.tokenizer_class if own else kind.tokenizer_class, names),
            ("PreTrainedTokenizerFast", names),
            ("PreTrainedTokenizerFast", {k: name for k, name in names.items() if name in added}),
        )
    ]
    for same in (_exactly, _with_other_special_tokens):
        for attempt in attempts:
            contents = Contents(
                str(directory),
                config=Field(attempt, "tokenizer_config.json"),
                tokenizer=Field(tokenizer, "tokenizer.json"),
            )
            with contextlib.suppress(CheckpointError):
                if same(settings_from(contents, family, kind)) == same(settings):
                    return attempt
    raise ValueError(
        "this tokenizer cannot be saved: files give added tokens that are not in the vocabulary "
        f"the ids from {len(settings['vocab'])} on, in their order, and the unknown token must be "
        "in the vocabulary"
    )


def _exactly(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != _LENGTH}


def _with_other_special_tokens(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide ids, unless special tokens are split."""
    added = [token | {"special": None} for token in settings["added_tokens"]]
    return _exactly(settings) | {"added_tokens": added}


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=2)
    path.write_bytes(text.encode("utf-8") + b"\n")
