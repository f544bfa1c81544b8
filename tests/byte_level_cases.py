"""Directories of byte-level tokenizers whose files contradict each other, as in tokenizer_cases.

In ``tokenizer.json``, "VOCAB" and "MERGES" stand for the vocabulary in tests/data/byte_level, and
so do "VOCAB" as ``vocab.json`` and "MERGES" as ``merges.txt``. `write` makes the directory.
"""

import copy
import json
import random
from pathlib import Path

from tokenizer_cases import added, special

DATA = Path(__file__).parent / "data" / "byte_level"
VOCAB = json.loads((DATA / "vocab.json").read_text(encoding="utf-8"))
LINES = (DATA / "merges.txt").read_text(encoding="utf-8")
MERGES = LINES.splitlines()[1:]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
# Words with and without a space before them, white space of all kinds, characters of several bytes,
# special and added tokens within text.
TEXTS = [
    "The film's great, it was bad",
    " the film \n\n acting\t 1234 abc'll !!",
    "Café 中文 😀\u3000naïve",
    "a <mask> b<mask>  <mask>",
    "<s>x</s> <pad><unk> <s> film",
    "foo the foo  foo-bar q-r Q-R <new> the<new> <x>",
    "  \u00a0<br /><br />The",
    "<mask>",
    " ",
]
ROBERTA = {"model_type": "roberta"}


def splitter(**changes):
    usual = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"type": "ByteLevel", **usual, **changes}


def around(cls="<s>", sep="</s>", **changes):
    """Return RoBERTa's post-processor."""
    return {
        "type": "RobertaProcessing", "sep": [sep, VOCAB[sep]], "cls": [cls, VOCAB[cls]],
        "trim_offsets": True, "add_prefix_space": False, **changes,
    }


def template(separators=2, **changes):
    """Return a post-processor that does not trim offsets."""
    def put(name, type_id=0):
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    single = [put("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, put("</s>")]
    kind = 2 - separators
    second = [{"Sequence": {"id": "B", "type_id": kind}}, put("</s>", kind)]
    tokens = {
        name: {"id": name, "ids": [VOCAB[name]], "tokens": [name]} for name in ("<s>", "</s>")
    }
    pair = [*single, *[put("</s>")] * (separators - 1), *second]
    content = {"single": single, "pair": pair, "special_tokens": tokens}
    return {"type": "TemplateProcessing", **content, **changes}


def listed(*tokens):
    """Return tokens with ids, as tokenizer.json lists them; those of the vocabulary have its."""
    free, numbered = len(VOCAB), []
    for token in tokens:
        id_ = VOCAB.get(token["content"], free)
        free += id_ == free
        numbered.append({"id": id_, **token})
    return numbered


def full(model=(), **changes):
    """Return a tokenizer.json, as RoBERTa's is."""
    usual = [special(name, lstrip=name == "<mask>") for name in SPECIALS]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": listed(*usual),
        "normalizer": None,
        "pre_tokenizer": splitter(),
        "post_processor": around(),
        "decoder": splitter(add_prefix_space=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": "VOCAB",
            "merges": "MERGES",
            **dict(model),
        },
    }
    return {**content, **changes}


def case(tokenizer=None, config=None, *, named="RobertaTokenizer", model=ROBERTA, **files):
    """Return a case. `model` is its config.json, and `named` the class of the tokenizer."""
    made = {"config.json": model}
    if tokenizer is None:
        made |= {"vocab.json": "VOCAB", "merges.txt": "MERGES"}
    else:
        made["tokenizer.json"] = tokenizer
    config = dict(config or {})
    if named is not None:
        config["tokenizer_class"] = named
    made["tokenizer_config.json"] = config
    for name, content in files.items():
        made[name + (".txt" if name == "merges" else ".json")] = content
    return {name: content for name, content in made.items() if content is not None}


def write(files, directory):
    """Write a case into an existing directory."""
    for name, content in files.items():
        if name == "tokenizer.json":
            content = copy.deepcopy(content)
            for key, value in (("vocab", VOCAB), ("merges", MERGES)):
                if content["model"].get(key) == key.upper():
                    content["model"][key] = value
        if content in ("VOCAB", "MERGES"):
            content = VOCAB if content == "VOCAB" else LINES
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (directory / name).write_bytes(text.encode("utf-8"))


BY_CLASS = ["RobertaTokenizer", "RobertaTokenizerFast"]
BY_FILE = ["PreTrainedTokenizerFast", "TokenizersBackend"]
MASK = {"__type": "AddedToken", **special("<mask>", lstrip=True)}


def contradictions():
    """Yield names and files of cases, one for each way in which files can contradict each other."""
    spaced = full(
        pre_tokenizer=splitter(add_prefix_space=True),
        post_processor=around(add_prefix_space=True),
    )
    for named in (None, *BY_CLASS, *BY_FILE):
        for here in (True, False, None):
            config = {} if here is None else {"add_prefix_space": here}
            for what, file in (("spaced file", spaced), ("file", full())):
                yield f"{what}, prefix {here}, class {named}", case(file, config, named=named)
            if named not in BY_FILE:
                yield f"no file, prefix {here}, class {named}", case(None, config, named=named)
    for named in ("RobertaTokenizer", "PreTrainedTokenizerFast"):
        for trim in (True, False):
            kept = full(post_processor=around(trim_offsets=not trim))
            yield f"trim_offsets {trim}, class {named}", case(
                kept, {"trim_offsets": trim}, named=named
            )
        for what, processor in (
            ("two separators", template(2)),
            ("one separator", template(1)),
            ("trimming and one separator", {
                "type": "Sequence", "processors": [splitter(), template(1)],
            }),
            ("a sequence", {"type": "Sequence", "processors": [around()]}),
            ("BertProcessing", {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}),
            ("other tokens", around("<pad>", "<unk>")),
            ("contradictory spaces, not trimming",
             around(add_prefix_space=True, trim_offsets=False)),
        ):
            file = full(post_processor=processor)
            yield f"post-processor with {what}, class {named}", case(file, named=named)
        for what, model in (
            ("pairs", {"merges": [merge.split(" ") for merge in MERGES]}),
            ("an unknown token", {"unk_token": "<unk>"}),
            ("null prefixes", dict.fromkeys(("continuing_subword_prefix", "end_of_word_suffix"))),
            ("dropout 0", {"dropout": 0.0}),
            ("few merges", {"merges": MERGES[:50]}),
            ("a merge twice", {"merges": [*MERGES, MERGES[3]]}),
            ("gaps", {"vocab": {token: i + 40 * (i > 300) for token, i in VOCAB.items()}}),
        ):
            file = full(model)
            if what == "gaps":
                file["added_tokens"] = []
            yield f"model with {what}, class {named}", case(file, named=named)
        sequence = {"type": "Sequence", "pretokenizers": [splitter()]}
        yield f"sequence of one, class {named}", case(full(pre_tokenizer=sequence), named=named)
        yield f"no added tokens, class {named}", case(full(added_tokens=[]), named=named)
        tokens = [
            added("<new>"), special("<x>", rstrip=True), added("q-r", single_word=True),
            added("the", normalized=False), added("foo", lstrip=True, single_word=True),
        ]
        file = full(added_tokens=listed(*map(special, SPECIALS), *tokens))
        yield f"all kinds of added tokens, class {named}", case(file, named=named)
        decoder = {str(token["id"]): token for token in listed(*map(special, SPECIALS), *tokens)}
        for token in decoder.values():
            token.pop("id")
        yield f"the same in a decoder, class {named}", case(
            full(), {"added_tokens_decoder": decoder}, named=named
        )
        if named == "RobertaTokenizer":
            yield "added tokens in a decoder, no file", case(
                None, {"added_tokens_decoder": decoder}
            )
            yield "added_tokens.json, no file", case(
                None, added_tokens={"<new>": 701, "q-r": 700}
            )
            yield "a mask that takes spaces, no file", case(None, {"mask_token": MASK})
            yield "a mask in the older file, no file", case(
                None, special_tokens_map={"mask_token": special("<mask>", lstrip=True)}
            )
        for role, token in (
            ("cls", "<pad>"), ("sep", "<unk>"), ("unk", "film"), ("pad", "</s>"), ("mask", "<new>"),
            ("bos", "<pad>"), ("eos", "<new>"), ("mask", None), ("mask", MASK),
        ):  # fmt: skip
            what = token["content"] if isinstance(token, dict) else token
            yield f"{role} is {what}, class {named}", case(
                full(), {f"{role}_token": token}, named=named
            )
        yield f"extra_special_tokens, class {named}", case(
            full(), {"extra_special_tokens": ["<new>", "film"]}, named=named
        )
    old = "\n".join(["#version: 0.1", *MERGES[:90]])
    yield "merges without a last line break", case(None, merges=old)
    yield "merges with carriage returns", case(None, merges=LINES.replace("\n", "\r\n"))
    yield "merges without a version", case(None, merges="\n".join(MERGES))
    del (file := full())["model"]["type"]
    yield "no entry for the type of model", case(file)
    yield "another tokenizer.json", case(full({"merges": MERGES[:9]}), merges="MERGES")
    for kind in ("longformer", "bart"):
        model = {"model_type": kind}
        yield f"no class, model of type {kind}", case(full(), named=None, model=model)
    yield "no config.json", case(full(), model=None)
    yield "tokenizer.json alone", {"tokenizer.json": spaced}


def refused():
    """Yield files that are refused, and what is said."""
    for model, said in (
        ({"dropout": 0.1}, "its model.dropout is '0.1'"),
        ({"continuing_subword_prefix": "##"}, "its model.continuing_subword_prefix is '##'"),
        ({"end_of_word_suffix": "</w>"}, "its model.end_of_word_suffix is '</w>'"),
        ({"fuse_unk": True}, "its model.fuse_unk is 'True'"),
        ({"byte_fallback": True}, "its model.byte_fallback is 'True'"),
        ({"ignore_merges": True}, "its model.ignore_merges is 'True'"),
        ({"type": "Unigram"}, "its model is Unigram"),
        ({"merges": {}}, "model.merges must be a list"),
        ({"merges": ["a b", 3]}, r"model.merges\[0\] must be a list of two texts, got 'a b'"),
        ({"merges": [["t", "h"], ["t", "h", "e"]]}, r"model.merges\[1\] must be a list of two"),
        ({"merges": [["t", "h"], ["t", 3]]}, r"model.merges\[1\] must be a list of two"),
        ({"merges": [["t", "h"], "he"]}, r"merges\[1\] must be a list of two texts, got 'he'"),
        ({"merges": ["t qqq"]}, "merge 0 is t qqq, of which a part .* is not in the vocabulary"),
        ({"merges": ["t h e"]}, "merge 0 is t h e, of which a part"),
        ({"merges": ["th"]}, "merge 0 is not two tokens"),
        ({"merges": ["\u4e2d " + "\u4e2d" * 60]}, "merge 0 is \u4e2d .* of which a part"),
        ({"vocab": {t: i for t, i in VOCAB.items() if t != "q"}}, "no token for the byte 0x71"),
        ({"vocab": VOCAB | {"zoo": 5}}, "'\"' and 'zoo' have the same id, 5"),
        ({"vocab": VOCAB | {"zoo": 10**9}}, "model.vocab.zoo must be an id from 0 to 10"),
        ({"vocab": VOCAB | {"zoo": -1}}, "model.vocab.zoo must be an id from 0 to 10"),
        ({"vocab": VOCAB | {"zoo": "5"}}, "model.vocab.zoo must be an id from 0 to 10"),
        ({"vocab": [*VOCAB]}, "model.vocab must be a JSON object"),
    ):  # fmt: skip
        for named in ("RobertaTokenizer", "PreTrainedTokenizerFast"):
            yield case(full(model), named=named), said
    del (file := full())["model"]["merges"]
    yield case(file), "is incomplete: it has no model.merges"
    for changes, said in (
        ({"normalizer": {"type": "NFC"}}, "its normalizer is NFC, not none"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "its pre-tokenizer is Whitespace, not ByteL"),
        ({"pre_tokenizer": splitter(use_regex=False)}, "its pre_tokenizer.use_regex is 'False'"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, splitter()]}},
         "its pre-tokenizer is a sequence of Digits and ByteLevel"),
        ({"post_processor": splitter()}, "its post-processor is ByteLevel"),
        ({"post_processor": {key: around()[key] for key in ("type", "cls", "sep")}},
         "is incomplete: it has no post_processor.trim_offsets"),
        ({"post_processor": {"type": "Sequence", "processors": [splitter(), around()]}},
         "a sequence of ByteLevel and RobertaProcessing"),
    ):
        for named in ("RobertaTokenizer", "PreTrainedTokenizerFast"):
            yield case(full(**changes), named=named), said
    general = {"named": "PreTrainedTokenizerFast"}
    yield case(full(pre_tokenizer=None), **general), "it has no pre-tokenizer"
    yield case(full(post_processor=None), **general), "it adds no <s> and no </s> to a text"
    yield (
        case(full(post_processor=around(add_prefix_space=True)), **general),
        "its pre-tokenizer and its post-processor disagree about add_prefix_space",
    )
    yield (
        case(full(post_processor=around() | {"cls": ["<s>", 7]}), **general),
        "it adds <s> with the id 7 to a text, but that token has the id 0",
    )
    yield (
        case(full(), named="BertweetTokenizer"),
        "its class is BertweetTokenizer; the nearest supported model is roberta-base",
    )
    for named in ("GPT2Tokenizer", "XLMRobertaTokenizerFast", "BertTokenizer"):
        yield case(full(), named=named), f"its class is {named}, which bertsent does not know"
    for kind in ("xlm-roberta", "gpt2", "bert"):
        yield (
            case(full(), named=None, model={"model_type": kind}),
            f"it names no class, and that of models of type {kind} is another one",
        )
    yield case(None, **general), "its class is PreTrainedTokenizerFast, which needs a tokenizer"
    yield case(None, {"add_prefix_space": "yes"}), "add_prefix_space must be true or false"
    yield case(full(), {"trim_offsets": 1}), "trim_offsets must be true or false"
    yield case(full(), {"cls_token": "<new>"}), "has no <new>, which is the cls token"
    yield case(full(), {"sep_token": None}), "the sep token is null"
    yield case(None, merges="#version: 0.2\nt h\n\nh e\n"), "merges.txt: merge 1 is not two tokens"
    yield case(None, merges="t h\n" * (1 << 20) + "\n"), "merges.txt has more than 1,048,576 lines"
    without = case(None)
    del without["merges.txt"]
    yield without, "contains vocab.json, but not merges.txt"
    without = case(None)
    del without["vocab.json"]
    yield without, "contains merges.txt, but not vocab.json"
    yield (
        {"config.json": ROBERTA, "vocab.txt": "<s>\n<pad>\n</s>\n<unk>\n", "bpe.codes": "t h 5\n"},
        "contains a BERTweet tokenizer .bpe.codes.; .* of which roberta-base is the nearest",
    )
    yield (
        {"config.json": ROBERTA, "vocab.txt": "[UNK]\n[CLS]\n[SEP]\n"},
        "it names no class, and that of models of type roberta is another one",
    )


def drawn(seed):
    """Return files with a random mixture of contradictions."""
    draw = random.Random(seed)

    def chance(share):
        return draw.random() < share

    def token(content):
        flags = {key: chance(0.3) for key in ("single_word", "lstrip", "rstrip")}
        return {"content": content, **flags, "normalized": chance(0.5), "special": chance(0.5)}

    names = ["<new>", "<x>", "film", "the", "foo", "q-r", "<mask>", "<pad>", "Ġthe", " a"]
    config = {}
    for key in ("add_prefix_space", "trim_offsets"):
        if chance(0.5):
            config[key] = chance(0.5)
    for role in ("bos", "eos", "unk", "pad", "mask"):
        if chance(0.2):
            content = draw.choice(names)
            config[f"{role}_token"] = (
                content if chance(0.5) else {"__type": "AddedToken", **token(content)}
            )
    if chance(0.4):
        picked = [*map(special, SPECIALS), *map(token, draw.sample(names[:6], 3))]
        config["added_tokens_decoder"] = {
            str(each.pop("id")): each for each in listed(*picked)
        }
    file, named = None, draw.choice(BY_CLASS)
    if chance(0.7):
        named = draw.choice([None, *BY_CLASS, *BY_FILE])
        prefix = chance(0.5)
        flags = {"add_prefix_space": prefix, "trim_offsets": chance(0.7)}
        processor = draw.choice([
            around(**flags), template(draw.choice((1, 2))),
            {"type": "Sequence", "processors": [splitter(**flags), template(1)]},
        ])
        usual = [special(name, lstrip=name == "<mask>") for name in SPECIALS]
        file = full(
            pre_tokenizer=splitter(add_prefix_space=prefix), post_processor=processor,
            added_tokens=listed(*usual, *map(token, draw.sample(names[:6], draw.randint(0, 3)))),
        )
    return case(file, config, named=named)
