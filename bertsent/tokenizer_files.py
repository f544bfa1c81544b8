"""Tokenizer files in Hugging Face's form, read and written.

Two forms are read: ``tokenizer.json``, which says everything, and ``vocab.txt`` with
``tokenizer_config.json``. What is not a BERT WordPiece tokenizer is refused, since it would
give other ids than the model was trained with.
"""

import json
from pathlib import Path

from bertsent.config import read_json
from bertsent.errors import CheckpointError

__all__ = ["read_tokenizer", "write_tokenizer"]

ROLES = ("unk", "cls", "sep", "pad", "mask")
_DEFAULTS = {role: f"[{role.upper()}]" for role in ROLES}
_MODEL_MAX = int(1e30)  # what Hugging Face writes where no limit is known

# Classes whose tokenizer is BERT's, whatever the model does with the ids.
_BERT_CLASSES = frozenset(
    name + ending
    for name in ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "PreTrainedTokenizer")
    for ending in ("", "Fast")
) | {"TokenizersBackend"}
# Files that tell another kind of tokenizer where neither of ours is there.
_OTHERS = {
    "merges.txt": "byte-pair encoding",
    "vocab.json": "byte-pair encoding",
    "sentencepiece.bpe.model": "SentencePiece",
    "spiece.model": "SentencePiece",
    "tokenizer.model": "SentencePiece",
}


def read_tokenizer(directory):
    """Read a tokenizer's settings from a local directory.

    Parameters
    ----------
    directory : path-like
        Directory with ``tokenizer.json``, or with ``vocab.txt`` and perhaps
        ``tokenizer_config.json``. The former comes first. Truncation and padding inside it
        are ignored.

    Returns
    -------
    dict
        Keyword arguments of `bertsent.WordPieceTokenizer`.

    Raises
    ------
    FileNotFoundError
        Neither form is there.
    CheckpointError
        The files are broken, or not those of a BERT WordPiece tokenizer.
    """
    directory = Path(directory)
    config = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (directory / name).is_file():
            config.update(read_json(directory / name))
    if (directory / "tokenizer.json").is_file():
        settings = _from_tokenizer_json(directory / "tokenizer.json", config)
    elif (directory / "vocab.txt").is_file():
        settings = _from_vocab_txt(directory, config)
    else:
        if not directory.is_dir():
            raise FileNotFoundError(f"{directory} is not a directory")
        for name, kind in _OTHERS.items():
            if (directory / name).exists():
                raise CheckpointError(
                    f"{directory} holds a {kind} tokenizer ({name}); bertsent reads BERT's "
                    "WordPiece only (tokenizer.json or vocab.txt)"
                )
        raise FileNotFoundError(
            f"{directory} holds no tokenizer: neither tokenizer.json nor vocab.txt"
        )
    limit = config.get("model_max_length")
    if isinstance(limit, (int, float)) and not isinstance(limit, bool) and 0 < limit < 1e9:
        settings["model_max_length"] = int(limit)
    return settings


def _refuse(path, what):
    raise CheckpointError(f"{path} is not a BERT WordPiece tokenizer: {what}")


def _content(token):
    """Return the text of a token given as a string or as an object with ``content``."""
    return token.get("content") if isinstance(token, dict) else token


def _kind(part):
    return part.get("type") if isinstance(part, dict) else None


def _from_tokenizer_json(path, config):
    file = read_json(path)
    model = file.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        kind = _kind(model)
        _refuse(path, f"its model is {kind}" if kind else "it has no vocabulary")
    if model.get("type", "WordPiece") != "WordPiece":
        _refuse(path, f"its model is {model['type']}")
    normalizer = file.get("normalizer")
    if _kind(normalizer) != "BertNormalizer":
        _refuse(path, f"its normalizer is {_kind(normalizer)}, not BertNormalizer")
    if _kind(file.get("pre_tokenizer")) != "BertPreTokenizer":
        kind = _kind(file.get("pre_tokenizer"))
        _refuse(path, f"its pre-tokenizer is {kind}, not BertPreTokenizer")
    added = []
    for token in file.get("added_tokens") or []:
        added.append(_added_token(path, token, token.get("id")))
    cls, sep = _ends(path, file.get("post_processor"))
    settings = {
        "vocab": model["vocab"],
        "lowercase": normalizer.get("lowercase", True),
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
        "clean_text": normalizer.get("clean_text", True),
        "max_word_chars": model.get("max_input_chars_per_word", 100),
        "prefix": model.get("continuing_subword_prefix", "##"),
        "unk_token": model.get("unk_token", "[UNK]"),
        "cls_token": cls,
        "sep_token": sep,
        "added_tokens": added,
    }
    known = set(model["vocab"]) | {token["content"] for token in added}
    for role in ("pad", "mask"):
        name = _content(config.get(f"{role}_token")) or _DEFAULTS[role]
        settings[f"{role}_token"] = name if name in known else None
    return settings


def _added_token(path, token, id_):
    content = _content(token)
    if not isinstance(content, str) or isinstance(id_, bool) or not isinstance(id_, int):
        raise CheckpointError(f"{path}: an added token has no content or no id: {token!r}")
    flags = token if isinstance(token, dict) else {}
    return {
        "content": content,
        "id": id_,
        "single_word": bool(flags.get("single_word", False)),
        "lstrip": bool(flags.get("lstrip", False)),
        "rstrip": bool(flags.get("rstrip", False)),
        "normalized": bool(flags.get("normalized", not flags.get("special", False))),
        "special": bool(flags.get("special", False)),
    }


def _ends(path, processor):
    """Return the tokens that a post-processor puts before and after a text."""
    kind = _kind(processor)
    if kind == "BertProcessing":
        return processor["cls"][0], processor["sep"][0]
    if kind != "TemplateProcessing":
        _refuse(path, f"its post-processor is {kind}, not TemplateProcessing")
    single = processor.get("single")
    shape = [next(iter(step), None) for step in single] if isinstance(single, list) else []
    if shape != ["SpecialToken", "Sequence", "SpecialToken"]:
        _refuse(path, "it does not put one special token before a text and one after it")
    return single[0]["SpecialToken"]["id"], single[2]["SpecialToken"]["id"]


def _from_vocab_txt(directory, config):
    path = directory / "vocab.txt"
    kind = config.get("tokenizer_class")
    if kind is not None and kind not in _BERT_CLASSES:
        _refuse(directory / "tokenizer_config.json", f"its class is {kind}")
    if config.get("do_basic_tokenize") is False:
        _refuse(directory / "tokenizer_config.json", "it does not split at punctuation")
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8: {error}") from error
    if lines[-1] == "":
        lines.pop()
    vocab = {line.rstrip("\r"): i for i, line in enumerate(lines)}
    settings = {
        "vocab": vocab,
        "lowercase": config.get("do_lower_case", True),
        "strip_accents": config.get("strip_accents"),
        "tokenize_chinese_chars": config.get("tokenize_chinese_chars", True),
    }
    added = {}
    extra = directory / "added_tokens.json"
    if extra.is_file():
        for content, id_ in read_json(extra).items():
            added[content] = _added_token(extra, {"content": content}, id_)
    for id_, token in (config.get("added_tokens_decoder") or {}).items():
        token = _added_token(directory / "tokenizer_config.json", token, int(id_))
        added[token["content"]] = token
    for role in ROLES:
        name = _content(config.get(f"{role}_token", _DEFAULTS[role]))
        if name not in vocab and name not in added:
            if role in ("unk", "cls", "sep"):
                raise CheckpointError(f"{path} has no {name}, which is the {role} token")
            name = None
        elif name not in added:
            token = {"content": name, "special": True, "normalized": False}
            added[name] = _added_token(path, token, vocab[name])
        settings[f"{role}_token"] = name
    settings["added_tokens"] = sorted(added.values(), key=lambda token: token["id"])
    return settings


def write_tokenizer(directory, settings):
    """Write the four tokenizer files of Hugging Face into an existing directory.

    Parameters
    ----------
    directory : path-like
    settings : dict
        As `read_tokenizer` returns it, with all keys, ``vocab`` as a mapping.
    """
    directory = Path(directory)
    vocab = settings["vocab"]
    ids = sorted(vocab.values())
    plain = all("\n" not in token and not token.endswith("\r") for token in vocab)
    if ids == list(range(len(ids))) and plain:
        lines = sorted(vocab, key=vocab.get)
        text = "".join(line + "\n" for line in lines)
        (directory / "vocab.txt").write_bytes(text.encode("utf-8"))
    _write_json(directory / "tokenizer.json", _tokenizer_json(settings))
    usual = (
        settings["clean_text"] and settings["max_word_chars"] == 100 and settings["prefix"] == "##"
    )
    names = {f"{role}_token": settings[f"{role}_token"] for role in ROLES}
    config = {
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"}
            for token in settings["added_tokens"]
        },
        "do_lower_case": settings["lowercase"],
        "strip_accents": settings["strip_accents"],
        "tokenize_chinese_chars": settings["tokenize_chinese_chars"],
        "model_max_length": settings["model_max_length"] or _MODEL_MAX,
        # The class makes its own rules from the entries above; the other takes tokenizer.json.
        "tokenizer_class": "BertTokenizer" if usual else "PreTrainedTokenizerFast",
        **names,
    }
    _write_json(directory / "tokenizer_config.json", config)
    _write_json(
        directory / "special_tokens_map.json",
        {key: name for key, name in names.items() if name is not None},
    )


def _write_json(path, content):
    text = json.dumps(content, ensure_ascii=False, indent=2)
    path.write_bytes(text.encode("utf-8") + b"\n")


def _tokenizer_json(settings):
    ids = {token["content"]: token["id"] for token in settings["added_tokens"]}
    ends = {
        name: {"id": name, "ids": [ids.get(name, settings["vocab"].get(name))], "tokens": [name]}
        for name in (settings["cls_token"], settings["sep_token"])
    }

    def special(role, type_id):
        return {"SpecialToken": {"id": settings[f"{role}_token"], "type_id": type_id}}

    def sequence(name, type_id):
        return {"Sequence": {"id": name, "type_id": type_id}}

    first = [special("cls", 0), sequence("A", 0), special("sep", 0)]
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
            "single": first,
            "pair": [*first, sequence("B", 1), special("sep", 1)],
            "special_tokens": ends,
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
