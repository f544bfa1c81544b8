"""Read and write ``tokenizer.json``, which describes a whole tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertsent.files import Field, largest_id
from bertsent.tokenizer.contents import kind_of, optional_flag, refuse, short

__all__ = [
    "check_parts",
    "compose",
    "padding_token",
    "pair_separators_in",
    "settings_in",
    "vocabulary_in",
]

# The limit of the engine.
_MOST_CHARS = 1_000_000


def vocabulary_in(file: Field) -> dict[str, int]:
    """Return the vocabulary of a WordPiece model; refuse other models."""
    model = file.get("model")
    kind = kind_of(model)
    if kind not in ("WordPiece", None):
        refuse(file, f"its model is {kind}")
    if not isinstance(model.value, dict) or "vocab" not in model:
        refuse(file, "it has no vocabulary")
    vocab = model["vocab"]
    if not isinstance(vocab.value, dict):
        raise vocab.error("a JSON object")
    ids: dict[str, int] = vocab.value
    most = largest_id(len(ids))
    used = set(ids.values()) if set(map(type, ids.values())) <= {int} else {-1}
    if used and not 0 <= min(used) <= max(used) <= most:
        for token, id_ in ids.items():
            if type(id_) is not int or not 0 <= id_ <= most:
                raise vocab[token].error(f"an id from 0 to {most}")
    if len(used) < len(ids):
        tokens: dict[int, str] = {}
        for token, id_ in ids.items():
            if id_ in tokens:
                refuse(file, f"{short(tokens[id_])!r} and {short(token)!r} have the same id, {id_}")
            tokens[id_] = token
    return ids


def check_parts(file: Field, separators: int) -> None:
    """Refuse a file whose parts are not those of a BERT tokenizer; parts may be missing.

    This is for classes of tokenizers that only take the vocabulary from the file. Other parts than
    BERT's would be lost there, although the model was probably trained with them. A class that puts
    two separators between the texts of a pair may have the post-processor that does so.
    """
    _normalizer(file)
    _pre_tokenizer(file)
    processor = _post_processor(file)
    if processor is not None:
        _ends(processor)
        if kind_of(processor) == "RobertaProcessing" and separators == 1:
            refuse(file, "its post-processor is RobertaProcessing, not TemplateProcessing")
    prefix = _prefix(file)
    if prefix != "##":
        refuse(file, f"its pieces begin with {short(prefix)!r}, but those of its class with '##'")


def settings_in(file: Field) -> dict[str, Any]:
    """Return all settings in a file but the vocabulary and the added tokens."""
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
    processor = _post_processor(file)
    if processor is None:
        refuse(file, "it has no post-processor, so that it adds no [CLS] and no [SEP] to a text")
    cls, sep = _ends(processor)
    model = file["model"]
    return {
        **switches,
        "max_word_chars": model.get("max_input_chars_per_word", 100).whole(1, _MOST_CHARS),
        "prefix": _prefix(file),
        "unk_token": model.get("unk_token", "[UNK]").text(),
        "cls_token": cls,
        "sep_token": sep,
    }


def padding_token(file: Field) -> str | None:
    """Return the padding token in the settings for padding, if the file has any."""
    padding = file.get("padding")
    token = padding.get("pad_token") if padding.value is not None else padding
    return None if token.value is None else token.text()


def pair_separators_in(file: Field, ids: Mapping[str, int]) -> int:
    """Return how many separators the file puts between the texts of a pair; 0: it makes no pairs.

    One is as in BERT, and two, with the type 0 everywhere, as in RoBERTa and MPNet. Refuse a file
    that puts other ids around a text than those of its tokens, or other types than 0.
    """
    processor = _post_processor(file)
    assert processor is not None  # settings_in refuses a file without one
    cls, sep = _ends(processor)
    for name, id_ in _ids(processor):
        if name in (cls, sep) and id_ != ids.get(name):
            refuse(
                file,
                f"it adds {short(name)} with the id {id_} to a text, but that token has the id "
                f"{ids.get(name)}",
            )
    if kind_of(processor) == "BertProcessing":
        return 1
    if kind_of(processor) == "RobertaProcessing":
        return 2
    single = _steps(processor["single"])
    if any(type_id for _, _, type_id in single):
        refuse(file, "the types of the tokens of a text are not 0")
    if processor.get("pair").value is None:
        return 0
    pair = _steps(processor["pair"])
    if pair == [*single, ("Sequence", "B", 1), ("SpecialToken", sep, 1)]:
        return 1
    two = [("SpecialToken", sep, 0), ("Sequence", "B", 0), ("SpecialToken", sep, 0)]
    return 2 if pair == single + two else 0


def _prefix(file: Field) -> str:
    return file["model"].get("continuing_subword_prefix", "##").text()


def _normalizer(file: Field) -> Field | None:
    return _only(file.get("normalizer"), "normalizers", "BertNormalizer")


def _pre_tokenizer(file: Field) -> Field | None:
    return _only(file.get("pre_tokenizer"), "pretokenizers", "BertPreTokenizer")


def _post_processor(file: Field) -> Field | None:
    kinds = ("TemplateProcessing", "BertProcessing", "RobertaProcessing")
    return _only(file.get("post_processor"), "processors", *kinds)


def _only(part: Field, inner: str, *kinds: str) -> Field | None:
    """Return a part of one of the kinds, also if it is the only one in a sequence.

    None means that there is no part. Other kinds are refused.
    """
    name = part.place.replace("_", "-")
    while kind_of(part) == "Sequence":
        items = part.get(inner, []).items()
        if len(items) > 1:
            others = " and ".join(str(kind_of(item)) for item in items)
            refuse(part, f"its {name} is a sequence of {others}, not {kinds[0]}")
        part = items[0] if items else Field(None, part.file)
    if part.value is None:
        return None
    if kind_of(part) not in kinds:
        refuse(part, f"its {name} is {kind_of(part)}, not {kinds[0]}")
    return part


def _ends(processor: Field) -> tuple[str, str]:
    """Return the tokens that a post-processor puts before and after a text."""
    if kind_of(processor) != "TemplateProcessing":
        return processor["cls"].items(2, 2)[0].text(), processor["sep"].items(2, 2)[0].text()
    steps = _steps(processor["single"])
    if [kind for kind, _, _ in steps] != ["SpecialToken", "Sequence", "SpecialToken"]:
        refuse(processor, "it does not put one special token before a text and one after it")
    return steps[0][1], steps[2][1]


def _steps(template: Field) -> list[tuple[str, str, int]]:
    """Return the steps of a template: kind, name of the token or of the text, and type."""
    steps = []
    for step in template.items():
        for kind, what in list(step.entries().items())[:1]:
            steps.append((kind, what["id"].text(), what.get("type_id", 0).whole()))
    return steps


def _ids(processor: Field) -> list[tuple[str, int | None]]:
    """Return the special tokens that a post-processor adds, with their ids."""
    if kind_of(processor) != "TemplateProcessing":
        pairs = [processor[end].items(2, 2) for end in ("cls", "sep")]
        return [(name.text(), id_.whole()) for name, id_ in pairs]
    ids = []
    for name, token in processor.get("special_tokens", {}).entries().items():
        # A token can stand for several others.
        several = token["ids"].items()
        ids.append((name, several[0].whole() if len(several) == 1 else None))
    return ids


def compose(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``tokenizer.json`` for the settings of a tokenizer."""
    ids = settings["vocab"] | {token["content"]: token["id"] for token in settings["added_tokens"]}
    ends = (settings["cls_token"], settings["sep_token"])

    def special(role: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": settings[f"{role}_token"], "type_id": type_id}}

    def sequence(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [special("cls", 0), sequence("A", 0), special("sep", 0)]
    second = [sequence("B", 1), special("sep", 1)]
    if settings.get("pair_separators", 1) == 2:
        second = [special("sep", 0), sequence("B", 0), special("sep", 0)]
    if not settings.get("pairs", True):
        second = [sequence("B", 1)]  # all that tokenizers of pairs need
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": settings["added_tokens"],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": settings["clean_text"],
            "handle_chinese_chars": settings["tokenize_chinese_chars"],
            "strip_accents": settings["strip_accents"],
            "lowercase": settings["lowercase"],
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, *second],
            "special_tokens": {
                name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ends
            },
        },
        "decoder": {"type": "WordPiece", "prefix": settings["prefix"], "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": settings["unk_token"],
            "continuing_subword_prefix": settings["prefix"],
            "max_input_chars_per_word": settings["max_word_chars"],
            "vocab": dict(sorted(settings["vocab"].items(), key=lambda item: item[1])),
        },
    }
