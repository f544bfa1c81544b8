"""The files of a WordPiece tokenizer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsent.errors import CheckpointError
from bertsent.files import Field, largest_id, read_text
from bertsent.tokenizer.contents import optional_flag, refuse, short
from bertsent.tokenizer.kind import Kind
from bertsent.tokenizer.tokenizer_json import (
    check_processor,
    ids_in,
    model_of,
    only_part,
    processor_in,
)

__all__ = ["WORDPIECE", "read_vocab_txt"]

# White space in Unicode. Python's strip() also removes four control characters.
_WHITE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008"
    "\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# The limit of the engine.
_MOST_CHARS = 1_000_000


class _WordPiece(Kind):
    name = "WordPiece"
    tokenizer_class = "BertTokenizer"
    classes = frozenset({
        "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "LayoutLMTokenizer",
        "LxmertTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer",
    })  # fmt: skip
    types = frozenset({
        "bert", "convbert", "distilbert", "electra", "ernie", "layoutlm", "lxmert", "megatron-bert",
        "mobilebert", "nomic_bert", "squeezebert", "visual_bert",
    })  # fmt: skip
    special_tokens = {
        "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]",
    }  # fmt: skip
    pair_separators = 1
    needed = ("unk", "cls", "sep")

    def vocabulary_in(self, file: Field) -> dict[str, Any]:
        return {"vocab": ids_in(model_of(file)["vocab"])}

    def check_parts(self, file: Field, separators: int) -> None:
        _normalizer(file)
        _pre_tokenizer(file)
        check_processor(file, separators)
        prefix = _prefix(file)
        if prefix != "##":
            what = f"its pieces begin with {short(prefix)!r}, but those of its class with '##'"
            refuse(file, what)

    def settings_of_class(self, config: Field) -> dict[str, Any]:
        return {
            "lowercase": config.get("do_lower_case", True).flag(),
            "strip_accents": optional_flag(config.get("strip_accents")),
            "tokenize_chinese_chars": config.get("tokenize_chinese_chars", True).flag(),
            "clean_text": True,
            "max_word_chars": 100,
            "prefix": "##",
        }

    def settings_in(self, file: Field) -> dict[str, Any]:
        normalizer = _normalizer(file)
        switches: dict[str, bool | None]
        if normalizer is None:
            switches = dict.fromkeys(
                ("clean_text", "lowercase", "strip_accents", "tokenize_chinese_chars"), False
            )
        else:
            switches = {
                "clean_text": normalizer.get("clean_text", True).flag(),
                "lowercase": normalizer.get("lowercase", True).flag(),
                "strip_accents": optional_flag(normalizer.get("strip_accents")),
                "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True).flag(),
            }
        if _pre_tokenizer(file) is None:
            refuse(file, "it has no pre-tokenizer")
        processor = processor_in(file)
        if processor is None:
            what = "it has no post-processor, so that it adds no [CLS] and no [SEP] to a text"
            refuse(file, what)
        model = file["model"]
        trims = {"trim_offsets": True} if processor.trim_offsets else {}
        return {
            **switches,
            **trims,
            "max_word_chars": model.get("max_input_chars_per_word", 100).whole(1, _MOST_CHARS),
            "prefix": _prefix(file),
            "unk_token": model.get("unk_token", "[UNK]").text(),
            "cls_token": processor.cls,
            "sep_token": processor.sep,
        }

    def parts(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": settings["clean_text"],
                "handle_chinese_chars": settings["tokenize_chinese_chars"],
                "strip_accents": settings["strip_accents"],
                "lowercase": settings["lowercase"],
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "decoder": {"type": "WordPiece", "prefix": settings["prefix"], "cleanup": True},
            "model": {
                "type": "WordPiece",
                "unk_token": settings["unk_token"],
                "continuing_subword_prefix": settings["prefix"],
                "max_input_chars_per_word": settings["max_word_chars"],
                "vocab": dict(sorted(settings["vocab"].items(), key=lambda item: item[1])),
            },
        }

    def entries(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "do_lower_case": settings["lowercase"],
            "strip_accents": settings["strip_accents"],
            "tokenize_chinese_chars": settings["tokenize_chinese_chars"],
        }

    def write_vocabulary(self, directory: Path, settings: Mapping[str, Any]) -> None:
        """Write ``vocab.txt``, unless ids have gaps, or tokens cannot be a line of it."""
        vocab = settings["vocab"]
        plain = all("\n" not in token and token == token.rstrip(_WHITE) for token in vocab)
        if plain and sorted(vocab.values()) == list(range(len(vocab))):
            text = "".join(token + "\n" for token in sorted(vocab, key=vocab.get))
            (directory / "vocab.txt").write_bytes(text.encode("utf-8"))


WORDPIECE = _WordPiece()


def read_vocab_txt(path: Path) -> dict[str, Any]:
    """Return the vocabulary in ``vocab.txt``.

    The id of a token is the number of its line. White space at the end of a line does not count,
    and of equal lines the last one counts.
    """
    numbers: dict[str, int] = {}
    for number, line in enumerate(io.StringIO(read_text(path), newline="\n")):
        numbers[line.rstrip(_WHITE)] = number
        if number % 65_536 == 0 and number > largest_id(len(numbers)):
            raise CheckpointError(
                f"{path} is no vocabulary: among its first {number} lines, only {len(numbers)} "
                "are different"
            )
    return {"vocab": numbers}


def _prefix(file: Field) -> str:
    return file["model"].get("continuing_subword_prefix", "##").text()


def _normalizer(file: Field) -> Field | None:
    return only_part(file.get("normalizer"), "normalizers", "BertNormalizer")


def _pre_tokenizer(file: Field) -> Field | None:
    return only_part(file.get("pre_tokenizer"), "pretokenizers", "BertPreTokenizer")
