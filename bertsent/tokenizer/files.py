"""Read and write tokenizer files in the formats of Hugging Face.

A tokenizer is read from ``tokenizer.json`` or ``vocab.txt``, and the files that go with them. Other
tokenizers than BERT's WordPiece are rejected, because they would give other ids than those that the
model was trained with.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsent.errors import CheckpointError
from bertsent.files import Field, largest_id, read_json, read_text
from bertsent.hub import cache_gap, family_in
from bertsent.tokenizer.contents import Contents
from bertsent.tokenizer.interpret import ROLES, settings_from
from bertsent.tokenizer.tokenizer_json import compose

if TYPE_CHECKING:
    from bertsent.hub import Family

__all__ = ["read_tokenizer", "write_tokenizer"]

_NAMES = tuple(f"{role}_token" for role in ROLES)
_LENGTH = "model_max_length"
_MODEL_MAX = int(1e30)  # what Hugging Face writes if no limit is known
# White space in Unicode. Python's strip() also removes four control characters.
_WHITE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# Files of other kinds of tokenizers, which error messages name.
_OTHERS = {
    "merges.txt": "byte-pair encoding",
    "vocab.json": "byte-pair encoding",
    "sentencepiece.bpe.model": "SentencePiece",
    "spiece.model": "SentencePiece",
    "tokenizer.model": "SentencePiece",
}


def read_tokenizer(directory: str | PathLike[str]) -> dict[str, Any]:
    """Read the settings of a tokenizer from a directory.

    Parameters
    ----------
    directory : path-like
        Contains ``tokenizer.json`` or ``vocab.txt``, and optionally ``tokenizer_config.json``,
        ``special_tokens_map.json``, ``added_tokens.json`` and the ``config.json`` of a model. What
        they mean together is described in ``docs/tokenizer.md``.

    Returns
    -------
    dict
        Keyword arguments of `bertsent.WordPieceTokenizer`.

    Raises
    ------
    FileNotFoundError
        There is neither ``tokenizer.json`` nor ``vocab.txt``.
    CheckpointError
        The files are damaged, or belong to another kind of tokenizer.
    """
    directory = Path(directory)

    def content(name: str) -> Field | None:
        try:
            return read_json(directory / name)
        except FileNotFoundError:
            return None

    tokenizer = content("tokenizer.json")
    vocab = None
    if tokenizer is None:
        try:
            path = directory / "vocab.txt"
            vocab = _numbered(read_text(path), path)
        except FileNotFoundError:
            raise _no_tokenizer(directory) from None
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
    return settings_from(contents, family_in(directory))


def _no_tokenizer(directory: Path) -> Exception:
    if not directory.is_dir():
        return FileNotFoundError(f"{directory} is not a directory")
    for name, kind in _OTHERS.items():
        if (directory / name).exists():
            return CheckpointError(
                f"{directory} contains a {kind} tokenizer ({name}); bertsent only reads BERT's "
                "WordPiece tokenizers (tokenizer.json or vocab.txt)"
            )
    gap = cache_gap(directory, "tokenizer.json")
    return FileNotFoundError(
        f"{directory} contains no tokenizer, neither tokenizer.json nor vocab.txt"
        + (f"; {gap}" if gap else "")
    )


def _numbered(text: str, path: Path) -> dict[str, int]:
    """Return the number of each line without white space at its end; of equal ones, the last."""
    numbers: dict[str, int] = {}
    for number, line in enumerate(io.StringIO(text, newline="\n")):
        numbers[line.rstrip(_WHITE)] = number
        if number % 65_536 == 0 and number > largest_id(len(numbers)):
            raise CheckpointError(
                f"{path} is no vocabulary: among its first {number} lines, only {len(numbers)} "
                "are different"
            )
    return numbers


def write_tokenizer(directory: str | PathLike[str], settings: Mapping[str, Any]) -> None:
    """Write the tokenizer files of Hugging Face into an existing directory.

    ``vocab.txt`` is left out if it cannot represent the vocabulary: if ids have gaps, or tokens
    contain line breaks or end in white space.

    Parameters
    ----------
    directory : path-like
        Existing directory. If it contains the ``config.json`` of a model, the tokenizer's class
        is that of the model's family, and the tokenizer's length is limited to the positions of
        the model.
    settings : dict
        As returned by `read_tokenizer`, with all keys, and ``vocab`` as a mapping.

    Raises
    ------
    ValueError
        No files can describe this tokenizer: its added tokens have other ids than those that
        transformers would give them.
    """
    directory = Path(directory)
    family = family_in(directory)
    length = settings[_LENGTH]
    positions = _positions(directory, family)
    if positions is not None:
        length = positions if length is None else min(length, positions)
    tokenizer = compose(settings)
    config = _config(directory, settings, tokenizer, family)
    config[_LENGTH] = _MODEL_MAX if length is None else length
    names = {key: config[key] for key in _NAMES if config.get(key) is not None}
    _write_json(directory / "tokenizer.json", tokenizer)
    _write_json(directory / "tokenizer_config.json", config)
    _write_json(directory / "special_tokens_map.json", names)
    vocab = settings["vocab"]
    plain = all("\n" not in token and token == token.rstrip(_WHITE) for token in vocab)
    if plain and sorted(vocab.values()) == list(range(len(vocab))):
        text = "".join(token + "\n" for token in sorted(vocab, key=vocab.get))
        (directory / "vocab.txt").write_bytes(text.encode("utf-8"))


def _positions(directory: Path, family: Family) -> int | None:
    """Return the largest number of tokens of the model in a directory, if there is one."""
    try:
        model = read_json(directory / "config.json").value
    except (FileNotFoundError, CheckpointError):
        return None
    positions = family.value(model, "max_position_embeddings")
    return positions - family.position_offset if isinstance(positions, int) else None


def _config(
    directory: Path, settings: Mapping[str, Any], tokenizer: dict[str, Any], family: Family
) -> dict[str, Any]:
    """Return a ``tokenizer_config.json`` with which the files mean exactly these settings."""
    names = {key: settings[key] for key in _NAMES}
    added: set[str | None] = {None, *(token["content"] for token in settings["added_tokens"])}
    config = {
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in settings["added_tokens"]
        },
        "do_lower_case": settings["lowercase"],
        "strip_accents": settings["strip_accents"],
        "tokenize_chinese_chars": settings["tokenize_chinese_chars"],
    }
    if not family.has_token_types:
        config["model_input_names"] = ["input_ids", "attention_mask"]
    # The family's class follows the entries above, the general class follows tokenizer.json. A
    # token that is named becomes an added token and special, if it is not.
    attempts = [
        config | {"tokenizer_class": kind} | named
        for kind, named in (
            (family.tokenizer_class, names),
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
                if same(settings_from(contents, family)) == same(settings):
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
