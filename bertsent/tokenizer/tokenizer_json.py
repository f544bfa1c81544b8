"""Read and write the parts of ``tokenizer.json`` that all kinds of tokenizers have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bertsent.files import Field, largest_id
from bertsent.tokenizer.contents import kind_of, refuse, short
from bertsent.tokenizer.vocabulary import are_in_order

__all__ = [
    "Processor",
    "check_processor",
    "compose",
    "ids_in",
    "model_of",
    "only_part",
    "padding_token",
    "pair_separators_in",
    "processor_in",
    "switched_off",
]


class Processor(NamedTuple):
    """The post-processor of a file.

    Attributes
    ----------
    part : Field
        What puts special tokens around a text.
    cls, sep : str
        The tokens that it puts before and after a text.
    trim_offsets : bool
        Whether the white space around a token is left out of its offsets.
    add_prefix_space : bool
        Whether the first space of a text stays nevertheless.
    """

    part: Field
    cls: str
    sep: str
    trim_offsets: bool
    add_prefix_space: bool


def model_of(file: Field) -> Field:
    """Return the model of a file, which must have a vocabulary."""
    model = file.get("model")
    if not isinstance(model.value, dict) or "vocab" not in model:
        refuse(file, "it has no vocabulary")
    return model


def ids_in(vocab: Field) -> dict[str, int]:
    """Return the ids of a vocabulary by token, after checking them."""
    if not isinstance(vocab.value, dict):
        raise vocab.error("a JSON object")
    ids: dict[str, int] = vocab.value
    if are_in_order(ids):
        return ids
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
                both = f"{short(tokens[id_])!r} and {short(token)!r}"
                refuse(vocab, f"{both} have the same id, {id_}")
            tokens[id_] = token
    return ids


def only_part(part: Field, inner: str, *kinds: str) -> Field | None:
    """Return a part of one of the kinds, also if it is the only one in a sequence.

    None means that there is no part. Other kinds are refused; if there are none, every part is.
    """
    name, usual = part.place.replace("_", "-"), kinds[0] if kinds else "none"
    while kind_of(part) == "Sequence":
        items = part.get(inner, []).items()
        if len(items) > 1:
            others = " and ".join(str(kind_of(item)) for item in items)
            refuse(part, f"its {name} is a sequence of {others}, not {usual}")
        part = items[0] if items else Field(None, part.file)
    if part.value is None:
        return None
    if kind_of(part) not in kinds:
        refuse(part, f"its {name} is {kind_of(part)}, not {usual}")
    return part


def switched_off(part: Field, **settings: object) -> None:
    """Refuse a part in which one of the settings has another value than the one given, or null."""
    for name, value in settings.items():
        given = part.get(name)
        if given.value is not None and given.value != value:
            refuse(given, f"its {given.place} is {short(given.value)!r}, which is not supported")


def processor_in(file: Field) -> Processor | None:
    """Return the post-processor of a file; None if there is none."""
    part, trims = file.get("post_processor"), Field(None, file.file)
    if kind_of(part) == "Sequence":
        items = part.get("processors", []).items()
        if len(items) == 2 and kind_of(items[0]) == "ByteLevel":
            trims, part = items
    found = only_part(
        part, "processors", "TemplateProcessing", "BertProcessing", "RobertaProcessing"
    )
    if found is None:
        return None
    if kind_of(found) == "RobertaProcessing":
        if trims.value is not None:
            refuse(file, "its post-processor is a sequence of ByteLevel and RobertaProcessing")
        trims = found
    cls, sep = _ends(found)
    if trims.value is None:
        return Processor(found, cls, sep, False, False)
    # Without one of them, the tokenizers library takes RobertaProcessing for BertProcessing.
    flags = (trims[name].flag() for name in ("trim_offsets", "add_prefix_space"))
    return Processor(found, cls, sep, *flags)


def check_processor(file: Field, separators: int) -> None:
    """Refuse a post-processor that puts other tokens around a text than the class does.

    There may be none. A class that puts two separators between the texts of a pair may have the
    post-processor that does so.
    """
    processor = processor_in(file)
    if processor and kind_of(processor.part) == "RobertaProcessing" and separators == 1:
        refuse(file, "its post-processor is RobertaProcessing, not TemplateProcessing")


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
    found = processor_in(file)
    assert found is not None  # such a file has been refused
    processor, cls, sep = found.part, found.cls, found.sep
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


def compose(settings: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``tokenizer.json`` for a tokenizer.

    Parameters
    ----------
    settings : mapping
    parts : mapping
        Normalizer, pre-tokenizer, decoder and model.

    Returns
    -------
    dict
    """
    ids = settings["vocab"] | {token["content"]: token["id"] for token in settings["added_tokens"]}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": settings["added_tokens"],
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": _compose_processor(settings, ids),
        "decoder": parts["decoder"],
        "model": parts["model"],
    }


def _compose_processor(settings: Mapping[str, Any], ids: Mapping[str, int]) -> dict[str, Any]:
    ends = (settings["cls_token"], settings["sep_token"])
    pairs, separators = settings.get("pairs", True), settings.get("pair_separators", 1)
    trims = {
        "trim_offsets": settings.get("trim_offsets", False),
        "add_prefix_space": settings.get("add_prefix_space", False),
    }
    if pairs and separators == 2 and trims["trim_offsets"]:
        cls, sep = ([name, ids[name]] for name in ends)
        return {"type": "RobertaProcessing", "sep": sep, "cls": cls, **trims}

    def special(role: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": settings[f"{role}_token"], "type_id": type_id}}

    def sequence(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [special("cls", 0), sequence("A", 0), special("sep", 0)]
    second = [sequence("B", 1), special("sep", 1)]
    if separators == 2:
        second = [special("sep", 0), sequence("B", 0), special("sep", 0)]
    if not pairs:
        second = [sequence("B", 1)]  # all that tokenizers of pairs need
    template = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, *second],
        "special_tokens": {
            name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in ends
        },
    }
    if not trims["trim_offsets"]:
        return template
    return {
        "type": "Sequence", "processors": [{"type": "ByteLevel", **trims}, template],
    }
