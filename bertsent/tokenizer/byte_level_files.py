"""The files of a byte-level BPE tokenizer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

from bertsent.errors import CheckpointError
from bertsent.files import Field, read_json, read_text
from bertsent.tokenizer.contents import refuse
from bertsent.tokenizer.kind import Kind
from bertsent.tokenizer.tokenizer_json import (
    check_processor,
    ids_in,
    model_of,
    only_part,
    processor_in,
    switched_off,
)
from bertsent.tokenizer.vocabulary import MOST_TOKENS

__all__ = ["BYTE_LEVEL", "read_vocab_json"]

# The line with which merges.txt begins. Others that begin like it do not count either.
_VERSION = "#version"


class _ByteLevel(Kind):
    name = "byte-level BPE"
    tokenizer_class = "RobertaTokenizer"
    classes = frozenset({"RobertaTokenizer"})
    types = frozenset({
        "bart", "bridgetower", "clap", "data2vec-text", "ibert", "lilt", "longformer", "mega",
        "mra", "roberta", "roberta-prelayernorm",
    })  # fmt: skip
    special_tokens = {
        "bos": "<s>", "eos": "</s>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "pad": "<pad>",
        "mask": "<mask>",
    }  # fmt: skip
    pair_separators = 2
    needed = ("cls", "sep")

    def vocabulary_in(self, file: Field) -> dict[str, Any]:
        model = model_of(file)
        return {"vocab": ids_in(model["vocab"]), "merges": _merges_in(model["merges"])}

    def check_parts(self, file: Field, separators: int) -> None:
        _check_model(file)
        _pre_tokenizer(file)
        check_processor(file, separators)

    def settings_of_class(self, config: Field) -> dict[str, Any]:
        return {
            "add_prefix_space": config.get("add_prefix_space", False).flag(),
            "trim_offsets": config.get("trim_offsets", True).flag(),
        }

    def settings_in(self, file: Field) -> dict[str, Any]:
        _check_model(file)
        splitter = _pre_tokenizer(file)
        if splitter is None:
            refuse(file, "it has no pre-tokenizer")
        processor = processor_in(file)
        if processor is None:
            refuse(file, "it has no post-processor, so that it adds no <s> and no </s> to a text")
        prefix = splitter["add_prefix_space"].flag()
        if processor.trim_offsets and processor.add_prefix_space != prefix:
            refuse(file, "its pre-tokenizer and its post-processor disagree about add_prefix_space")
        return {
            "add_prefix_space": prefix,
            "trim_offsets": processor.trim_offsets,
            "cls_token": processor.cls,
            "sep_token": processor.sep,
        }

    def parts(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        usual = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
        merges: list[str] = settings["merges"]
        return {
            "normalizer": None,
            "pre_tokenizer": usual | {"add_prefix_space": settings["add_prefix_space"]},
            "decoder": usual | {"add_prefix_space": True},
            "model": {
                "type": "BPE",
                **dict.fromkeys(("dropout", "unk_token")),
                **dict.fromkeys(("continuing_subword_prefix", "end_of_word_suffix"), ""),
                **dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False),
                "vocab": _sorted(settings["vocab"]),
                # As texts, which older programs read too, if none is taken for the version.
                "merges": merges if _as_lines(merges) else [pair.split(" ") for pair in merges],
            },
        }

    def entries(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: settings[name] for name in ("add_prefix_space", "trim_offsets")}

    def write_vocabulary(self, directory: Path, settings: Mapping[str, Any]) -> None:
        """Write ``vocab.json`` and ``merges.txt``, unless a merge looks like the version."""
        merges: list[str] = settings["merges"]
        if _as_lines(merges):
            vocab = json.dumps(_sorted(settings["vocab"]), ensure_ascii=False)
            lines = "\n".join([f"{_VERSION}: 0.2", *merges, ""])
            (directory / "vocab.json").write_bytes(vocab.encode("utf-8"))
            (directory / "merges.txt").write_bytes(lines.encode("utf-8"))


BYTE_LEVEL = _ByteLevel()


def read_vocab_json(directory: Path) -> dict[str, Any]:
    """Return vocabulary and merges in ``vocab.json`` and ``merges.txt``."""
    vocab = read_json(directory / "vocab.json")
    text = read_text(directory / "merges.txt")
    if text.count("\n") > MOST_TOKENS:
        raise CheckpointError(f"{directory / 'merges.txt'} has more than {MOST_TOKENS:,} lines")
    lines = text.removesuffix("\n").split("\n") if text else []
    merges = [line.removesuffix("\r") for line in lines if not line.startswith(_VERSION)]
    return {"vocab": ids_in(vocab), "merges": merges}


def _merges_in(field: Field) -> list[str]:
    """Return merges as texts; files contain texts or pairs."""
    merges = field.value
    if not isinstance(merges, list):
        raise field.error("a list")
    # There may be many, so fields are only made for those that are wrong.
    kinds = set(map(type, merges))
    if kinds <= {str}:
        if _as_lines(merges):
            return merges
        return [merge for merge in merges if not merge.startswith(_VERSION)]
    if kinds == {list} and set(map(len, merges)) == {2}:
        with contextlib.suppress(TypeError):
            return list(map(" ".join, merges))
    wrong = next(
        item for item in field.items()
        if not isinstance(item.value, list) or list(map(type, item.value)) != [str, str]
    )
    raise wrong.error("a list of two texts")


def _as_lines(merges: list[str]) -> bool:
    """Return whether a line for each merge means these merges."""
    # Looking for it anywhere is much faster, and it is hardly ever found.
    return _VERSION not in " ".join(merges) or not any(
        map(str.startswith, merges, repeat(_VERSION))
    )


def _sorted(vocab: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(vocab.items(), key=lambda item: item[1]))


def _check_model(file: Field) -> None:
    """Refuse what changes the pieces of a word, or the text before it is split."""
    switched_off(
        file["model"], dropout=0, continuing_subword_prefix="", end_of_word_suffix="",
        fuse_unk=False, byte_fallback=False, ignore_merges=False,
    )
    only_part(file.get("normalizer"), "normalizers")


def _pre_tokenizer(file: Field) -> Field | None:
    part = only_part(file.get("pre_tokenizer"), "pretokenizers", "ByteLevel")
    if part is not None:
        switched_off(part, use_regex=True)
    return part
