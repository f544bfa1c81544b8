"""Directories of tokenizers whose files contradict each other, written out or drawn at random.

A case is a dict of files by name: a str for ``vocab.txt``, and content for JSON files. In
``tokenizer.json``, "VOCAB" stands for the vocabulary. `write` makes the directory.
"""

import copy
import json
import random

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCAB = [
    *SPECIALS, "the", "good", "cafe", "café", "Café", "CAFE", "THE", "##s", "##e", "中", "文",
    "中文", "foo", "bar", "[NEW]", "[", "]", "E", "N", "##EW", "new", "<x>", "<", ">", "x", "!",
    "'", "ll", "naive", "é", "e", "##\u0301", "a", "##a", "b", "-", "q", "r", "[START]", "start",
]  # fmt: skip
# Capitals, accents in both forms, Chinese characters, special and added tokens within text,
# control characters.
TEXTS = [
    "The Café THE café",
    "中文 é good",
    "[NEW] <x> [MASK]foo [SEP] bar",
    "naïve\x00the\u200b cafe\u0301\tx\x07a",
    "'ll goods! <X>[new] [CLS] CAFE aa ab",
    "foo FOO Foofoo x x  Q-R q-r É! </s> <s> <NEW2> <new2> [START] [start]",
    "[MASK][PAD] CAF\u00c9\u200d abcd aaaa xyz bar foo  [UNK]",
]


def ids(tokens=VOCAB):
    return {token: i for i, token in enumerate(tokens)}


def added(content, **flags):
    """Describe an added token."""
    usual = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    return {"content": content, **usual, "normalized": True, **flags}


def special(content, **flags):
    return added(content, special=True, normalized=False, **flags)


def listed(*tokens):
    """Return tokens with ids, as tokenizer.json lists them; those of the vocabulary have its."""
    free, numbered = len(VOCAB), []
    for token in tokens:
        if token["content"] in VOCAB:
            numbered.append({"id": VOCAB.index(token["content"]), **token})
        else:
            numbered.append({"id": free, **token})
            free += 1
    return numbered


def normalizer(**changes):
    usual = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None}
    return {"type": "BertNormalizer", **usual, "lowercase": True, **changes}


def template(cls="[CLS]", sep="[SEP]", **changes):
    first, last = ({"SpecialToken": {"id": name, "type_id": 0}} for name in (cls, sep))
    single = [first, {"Sequence": {"id": "A", "type_id": 0}}, last]
    second = [
        {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": sep, "type_id": 1}}
    ]
    tokens = {
        name: {"id": name, "ids": [VOCAB.index(name)], "tokens": [name]} for name in (cls, sep)
    }
    content = {"single": single, "pair": [*single, *second], "special_tokens": tokens}
    return {"type": "TemplateProcessing", **content, **changes}


def full(model=(), **changes):
    """Return a tokenizer.json."""
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": listed(*map(special, SPECIALS)),
        "normalizer": normalizer(),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": template(),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": "VOCAB",
            **dict(model),
        },
    }
    return {**content, **changes}


BERT = {"model_type": "bert"}


def case(tokenizer=None, config=None, *, named="BertTokenizer", model=BERT, **files):
    """Return a case. `model` is its config.json, and `named` the class of the tokenizer."""
    made = {"config.json": model}
    if tokenizer is None:
        made["vocab.txt"] = "".join(token + "\n" for token in VOCAB)
    else:
        made["tokenizer.json"] = tokenizer
    config = dict(config or {})
    if named is not None:
        config["tokenizer_class"] = named
    made["tokenizer_config.json"] = config
    for name, content in files.items():
        name = name + (".txt" if name == "vocab" else ".json")
        made[name] = content
    return {name: content for name, content in made.items() if content is not None}


def write(files, directory):
    """Write a case into an existing directory."""
    for name, content in files.items():
        if name == "tokenizer.json" and content["model"].get("vocab") == "VOCAB":
            content = copy.deepcopy(content)
            content["model"]["vocab"] = ids()
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (directory / name).write_bytes(text.encode("utf-8"))


BY_CLASS = ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizerFast", "ElectraTokenizer"]
BY_FILE = ["PreTrainedTokenizerFast", "TokenizersBackend", "PreTrainedTokenizer"]
ALL = [None, *BY_CLASS, *BY_FILE, "MobileBertTokenizerFast", "SqueezeBertTokenizer",
       "LayoutLMTokenizer", "LxmertTokenizerFast"]  # fmt: skip
NEW = special("<new2>")
TYPED = {"__type": "AddedToken", **special("<x>")}


def contradictions():
    """Yield names and files of cases, one for each way in which files can contradict each other."""
    cased = full(normalizer=normalizer(lowercase=False))
    for named in ALL:
        yield f"cased file, class {named}", case(cased, named=named)
    for named in ("BertTokenizer", "PreTrainedTokenizerFast"):
        for flag, key, values in (
            ("lowercase", "do_lower_case", (True, False)),
            ("strip_accents", "strip_accents", (True, False, None)),
            ("handle_chinese_chars", "tokenize_chinese_chars", (True, False)),
            ("clean_text", "clean_text", (True, False)),
        ):
            for there in values:
                for here in (*values, "absent"):
                    config = {} if here == "absent" else {key: here}
                    file = full(normalizer=normalizer(**{flag: there}))
                    name = f"{flag} {there} in the file, {here} in the config, class {named}"
                    yield name, case(file, config, named=named)
        for key, value in (
            ("do_basic_tokenize", False), ("never_split", ["[NEW]"]), ("model_max_length", 4),
            ("max_input_chars_per_word", 3), ("truncation_side", "left"), ("cls_token_id", 7),
        ):  # fmt: skip
            yield f"{key} {value}, class {named}", case(full(), {key: value}, named=named)
        for what, part in (
            ("one", [normalizer(lowercase=False)]),
            ("none", []),
            ("a sequence", [{"type": "Sequence", "normalizers": [normalizer(lowercase=False)]}]),
        ):
            sequence = {"type": "Sequence", "normalizers": part}
            yield f"sequence of {what}, class {named}", case(full(normalizer=sequence), named=named)
        yield f"no normalizer, class {named}", case(full(normalizer=None), named=named)
        yield f"short words, class {named}", case(
            full({"max_input_chars_per_word": 3}), named=named
        )
        yield f"another unknown token, class {named}", case(
            full({"unk_token": "x"}), named=named
        )
        yield f"truncation and padding in the file, class {named}", case(
            full(
                truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst",
                            "stride": 0},
                padding={"strategy": "BatchLongest", "direction": "Right", "pad_id": 0,
                         "pad_to_multiple_of": None, "pad_type_id": 0, "pad_token": "<pad>"},
            ), named=named,
        )  # fmt: skip
        for what, processor in (
            ("BertProcessing", {"type": "BertProcessing", "sep": ["[SEP]", 3],
                                "cls": ["[CLS]", 2]}),
            ("a sequence", {"type": "Sequence", "processors": [template()]}),
            ("other tokens", template("<x>", "[NEW]")),
            ("no pairs", template(pair=[{"Sequence": {"id": "A", "type_id": 0}},
                                        {"Sequence": {"id": "B", "type_id": 1}}])),
        ):
            file = full(post_processor=processor)
            yield f"post-processor with {what}, class {named}", case(file, named=named)
        for key in ("additional_special_tokens", "extra_special_tokens"):
            for what, tokens in (
                ("in the vocabulary", ["[NEW]", "<x>"]),
                ("not in the vocabulary", ["<new2>", "q-r"]),
                ("described", [TYPED, "[NEW]"]),
            ):
                name = f"{key} {what}, class {named}"
                yield f"{name}, config", case(full(), {key: tokens}, named=named)
                yield f"{name}, config, vocab.txt", case(None, {key: tokens})
                if what != "described":
                    files = {"special_tokens_map": {key: tokens}}
                    yield f"{name}, map", case(full(), named=named, **files)
                    yield f"{name}, map, vocab.txt", case(None, **files)
                    yield f"{name}, map beside a decoder", case(
                        full(), {"added_tokens_decoder": {}}, named=named, **files
                    )
        yield f"extra tokens with names, class {named}", case(
            full(), {"extra_special_tokens": {"image_token": "<x>"}, "y_token": "[NEW]"},
            named=named,
        )  # fmt: skip
        yield f"both lists, class {named}", case(
            full(), {"extra_special_tokens": ["<x>"], "additional_special_tokens": ["[NEW]"]},
            named=named,
        )  # fmt: skip
        yield f"lists in both files, class {named}", case(
            full(), {"extra_special_tokens": ["<x>"]}, named=named,
            special_tokens_map={"extra_special_tokens": ["[NEW]"]},
        )  # fmt: skip
        for what, tokens in (
            ("next ids", {"<new2>": len(VOCAB), "q-r": len(VOCAB) + 1}),
            ("in another order", {"<new2>": len(VOCAB) + 1, "q-r": len(VOCAB)}),
            ("large ids", {"<new2>": 200_000_000, "q-r": 4_000_000_000}),
            ("in the vocabulary", {"[NEW]": 19, "foo": 3}),
        ):
            name = f"added_tokens.json, {what}, class {named}"
            yield name, case(full(), named=named, added_tokens=tokens)
            yield f"{name}, vocab.txt", case(None, added_tokens=tokens)
            yield f"{name} beside a decoder", case(
                full(), {"added_tokens_decoder": {}}, named=named, added_tokens=tokens
            )
        yield f"a special token in added_tokens.json, class {named}", case(
            full(), {"extra_special_tokens": ["q-r"]}, named=named, added_tokens={"q-r": 70}
        )
        for what, decoder in (
            ("with wrong ids", {"7": special("[MASK]"), "2": special("[NEW]")}),
            ("of new tokens", {"90": added("<new2>"), "80": added("q-r", single_word=True)}),
            ("with other flags", {"17": added("foo", rstrip=True, special=True)}),
        ):
            yield f"decoder {what}, class {named}", case(
                full(added_tokens=listed(*map(special, SPECIALS), special("foo", lstrip=True))),
                {"added_tokens_decoder": decoder}, named=named,
            )  # fmt: skip
            yield f"decoder {what}, vocab.txt", case(None, {"added_tokens_decoder": decoder})
        yield f"wrong ids in the file, class {named}", case(
            full(added_tokens=[{"id": 60, **special("[CLS]")}, {"id": 90, **NEW},
                               {"id": 70, **added("q-r")}]), named=named,
        )  # fmt: skip
        yield f"no added tokens, class {named}", case(full(added_tokens=[]), named=named)
        for role, token in (
            ("cls", "<x>"), ("sep", "[NEW]"), ("unk", "x"), ("pad", "[NEW]"), ("mask", "<new2>"),
            ("bos", "[START]"), ("eos", "<new2>"), ("mask", None), ("pad", None),
            ("mask", {**TYPED, "lstrip": True}),
        ):  # fmt: skip
            name = token["content"] if isinstance(token, dict) else token
            what = f"{role} is {name}, class {named}"
            yield f"{what}, config", case(full(), {f"{role}_token": token}, named=named)
            yield f"{what}, config, vocab.txt", case(None, {f"{role}_token": token})
            if token is not None and not isinstance(token, dict):
                entry = {f"{role}_token": special(token, rstrip=True)}
                yield f"{what}, map", case(full(), named=named, special_tokens_map=entry)
    without = [token for token in VOCAB if token not in ("[MASK]", "[PAD]")]
    yield "no mask and no padding", case(None, vocab="\n".join(without))
    yield "no mask in the file", case(
        full({"vocab": ids(without)}, added_tokens=[], post_processor=None)
    )
    yield "equal lines", case(None, vocab="\n".join([*VOCAB, "foo", "the"]))
    yield "lines that end in white space", case(
        None, vocab="".join(t + ("\u3000\u2028 \r\n" if t in "foo bar" else "\n") for t in VOCAB)
    )
    yield "a line that ends in a control character", case(
        None, vocab="".join(token + "\x1f" * (token == "foo") + "\n" for token in VOCAB)
    )
    yield "gaps in the ids", case(full({"vocab": {t: i + 90 * (i > 8) for t, i in ids().items()}}))
    yield "large gaps and a new token", case(
        full({"vocab": {t: i + 90 * (i > 8) for t, i in ids().items()}}),
        {"extra_special_tokens": ["<new2>"]},
    )
    del (file := full())["model"]["type"]
    yield "no entry for the type of model", case(file)
    yield "the class in config.json", case(
        cased, named=None, model={**BERT, "tokenizer_class": BY_FILE[0]}
    )
    yield "another class in config.json", case(
        cased, named=BY_CLASS[0], model={**BERT, "tokenizer_class": BY_FILE[0]}
    )
    for kind in ("distilbert", "electra", "mobilebert", "nomic_bert", "convbert"):
        yield f"no class, model of type {kind}", case(cased, named=None, model={"model_type": kind})
        yield f"general class, model of type {kind}", case(
            cased, named=BY_FILE[0], model={"model_type": kind}
        )
    for named in (None, BY_CLASS[0], BY_FILE[0]):
        yield f"no config.json, class {named}", case(cased, named=named, model=None)
    yield "tokenizer.json alone", {"tokenizer.json": cased}
    yield "vocab.txt and another tokenizer.json", case(full(), vocab="[UNK]\n[CLS]\n[SEP]\nthe\n")


def refused():
    """Yield files that are refused although transformers opens them, and what is said."""
    general = {"named": "PreTrainedTokenizerFast"}
    two = [{"type": "NFC"}, normalizer()]
    yield case(full(normalizer={"type": "Lowercase"})), "its normalizer is Lowercase"
    yield (
        case(full(normalizer={"type": "Sequence", "normalizers": two})),
        "its normalizer is a sequence of NFC and BertNormalizer",
    )
    yield case(full(pre_tokenizer={"type": "Whitespace"})), "its pre-tokenizer is Whitespace"
    yield case(full(pre_tokenizer=None), **general), "it has no pre-tokenizer"
    yield case(full(post_processor=None), **general), r"adds no \[CLS\] and no \[SEP\]"
    yield case(full({"type": "WordLevel"})), "its model is WordLevel"
    yield (
        case(full({"continuing_subword_prefix": "@@"})),
        "its pieces begin with '@@', but those of its class with '##'",
    )
    ends = template(special_tokens={
        "[CLS]": {"id": "[CLS]", "ids": [7], "tokens": ["[CLS]"]},
        "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
    })  # fmt: skip
    yield (
        case(full(post_processor=ends), **general),
        r"it adds \[CLS\] with the id 7 to a text, but that token has the id 2",
    )
    typed = copy.deepcopy(template())
    typed["single"][1]["Sequence"]["type_id"] = 1
    yield case(full(post_processor=typed), **general), "the types of the tokens of a text"
    yield case(full({"vocab": {**ids(), "zoo": 5}})), "'the' and 'zoo' have the same id, 5"
    for named in ("RobertaTokenizer", "MPNetTokenizerFast", "MyTokenizer"):
        yield case(full(), named=named), f"its class is {named}"
    for kind in ("deberta-v2", "xlm-roberta", "modernbert"):
        for file in (full(), None):
            yield (
                case(file, named=None, model={"model_type": kind}),
                f"it names no class, and that of models of type {kind} is another one",
            )
    yield case(None, **general), "its class is PreTrainedTokenizerFast, which needs a tokenizer"
    yield case(full(), {"cls_token": "<new2>"}), "has no <new2>, which is the cls token"
    yield case(full(), {"sep_token": None}), "the sep token is null"
    yield case(full(), {"unk_token": "q-r"}), "has no q-r, which is the unk token"
    yield case(full({"unk_token": "q-r"}), **general), "has no q-r, which is the unk token"
    yield (
        case(None, vocab="\n".join(t for t in VOCAB if t != "[CLS]")),
        r"has no \[CLS\], which is the cls token",
    )
    yield case(full(), {"split_special_tokens": True}), "split_special_tokens is true"
    yield (
        case(full(), {"fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.2.json"]}),
        "tokenizer.4.2.json may replace tokenizer.json",
    )
    twice = "\n".join([*VOCAB, "foo", "the"])
    yield case(None, {"extra_special_tokens": ["<new2>"]}, vocab=twice), (
        f"'<new2>' has the id {len(VOCAB)}, as in transformers, because there are {len(VOCAB)} "
        "different tokens in the vocabulary; but 'foo' has that id"
    )
    twice = "\n".join(["foo", *(t for t in VOCAB if t != "[MASK]")])
    yield case(None, vocab=twice), rf"'\[MASK\]' has the id {len(VOCAB) - 1}, .* but 'start' has"
    gaps = {token: i + 9 * (i > 8) for token, i in ids().items()}
    yield (
        case(full({"vocab": gaps}), {"extra_special_tokens": ["<new2>"]}, **general),
        "'<new2>' has the id .* Tokens are missing or repeated",
    )
    same = listed(added("q-r"), added("Q-R"))
    yield case(full(added_tokens=same)), "'q-r' and 'Q-R' are the same after normalization"
    yield case(full(added_tokens=listed(added("\x07")))), "is empty after normalization"
    yield (
        case(full(normalizer=normalizer(lowercase=False)), named=None, model={"hidden_size": 8}),
        "disagree about lowercase, and neither",
    )


NAMES = ["[NEW]", "<x>", "café", "foo", "中文", "[MASK]", "<new2>", "q-r", "[PAD]", "N", "x ",
         "<s>", "</s>", "[START]", "!"]  # fmt: skip


def drawn(seed):
    """Return files with a random mixture of contradictions."""
    draw = random.Random(seed)

    def chance(share):
        return draw.random() < share

    def token(content):
        flags = {key: chance(0.2) for key in ("single_word", "lstrip", "rstrip")}
        return {"content": content, **flags, "normalized": chance(0.5), "special": chance(0.5)}

    def tokens(most=3):
        return draw.sample(NAMES, draw.randint(0, most))

    def lists(typed):
        made = {}
        for role, usual in (("cls", "[CLS]"), ("sep", "[SEP]"), ("unk", "[UNK]"),
                            ("pad", "[PAD]"), ("mask", "[MASK]"), ("bos", "<s>"),
                            ("eos", "</s>")):  # fmt: skip
            if chance(0.4):
                within = [name for name in (*NAMES, usual) if name in VOCAB]
                needed = role in ("cls", "sep", "unk")
                content = usual if chance(0.6) else draw.choice(within if needed else NAMES)
                kind = {"__type": "AddedToken"} if typed else {}
                made[f"{role}_token"] = content if chance(0.6) else {**token(content), **kind}
        for key in ("additional_special_tokens", "extra_special_tokens"):
            if chance(0.3):
                made[key] = tokens()
        if chance(0.1):
            made["image_token"] = draw.choice(NAMES)
        return made

    config = lists(typed=True) if chance(0.7) else {}
    for key, values in (("do_lower_case", (True, False)), ("strip_accents", (None, True, False)),
                        ("tokenize_chinese_chars", (True, False)),
                        ("model_max_length", (4, 512, 1e30, None))):  # fmt: skip
        if chance(0.4):
            config[key] = draw.choice(values)
    if chance(0.4):
        numbers = draw.sample(range(60), 3)
        config["added_tokens_decoder"] = {
            str(number): token(name) for number, name in zip(numbers, tokens(), strict=False)
        } | ({str(i): special(name) for i, name in enumerate(SPECIALS)} if chance(0.6) else {})
    file = None
    if chance(0.75):
        switches = normalizer(
            clean_text=chance(0.7), handle_chinese_chars=chance(0.7), lowercase=chance(0.5),
            strip_accents=draw.choice((None, True, False)),
        )  # fmt: skip
        if chance(0.2):
            switches = {"type": "Sequence", "normalizers": [switches]}
        usual = [special(name) for name in SPECIALS if chance(0.9)]
        file = full(normalizer=switches, added_tokens=listed(*usual, *map(token, tokens())))
        if chance(0.1):
            draw.shuffle(file["added_tokens"])
    named = draw.choice(ALL) if file else draw.choice(BY_CLASS)
    files = {}
    if chance(0.4):
        files["special_tokens_map"] = lists(typed=False)
    if chance(0.3):
        files["added_tokens"] = {name: draw.randint(0, 80) for name in tokens()}
    return case(file, config, named=named, **files)
