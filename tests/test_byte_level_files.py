"""Files of byte-level tokenizers mean what they mean in transformers 5, and are saved as they mean.
"""

import gzip
import itertools
import json
import os
import pickle
import tracemalloc
from pathlib import Path

import byte_level_cases as cases
import pytest

from bertsent import ByteLevelBPETokenizer, Tokenizer, WordPieceTokenizer
from bertsent.errors import CheckpointError

GOLDEN = json.loads(
    gzip.decompress((Path(__file__).parent / "golden" / "byte_level.json.gz").read_bytes())
)


def opened(files, directory):
    cases.write(files, directory)
    return Tokenizer.from_files(directory)


def settings_of(tokenizer, exactly=True):
    """Return the settings; if not `exactly`, without saying which added tokens are special."""
    settings = tokenizer._settings
    if exactly:
        return settings
    added = [token | {"special": None} for token in settings["added_tokens"]]
    return settings | {"added_tokens": added}


def found_in(tokenizer):
    """Return ids and places of the tokens of each text, and the ids of pairs."""
    rows = tokenizer(cases.TEXTS, padding=False, return_offsets_mapping=True)
    pairs = itertools.pairwise(cases.TEXTS)
    return {
        "texts": [row.tolist() for row in rows["input_ids"]],
        "places": [row.tolist() for row in rows["offset_mapping"]],
        "pairs": [tokenizer.encode(*pair) for pair in pairs],
    }


@pytest.mark.parametrize("number", range(len(GOLDEN["cases"])))
def test_ids_and_places_are_those_of_transformers(tmp_path, number):
    """Also after the tokenizer was saved and read back, from all files or from the older ones."""
    case = GOLDEN["cases"][number]
    tokenizer = opened(case["files"], tmp_path)
    assert isinstance(tokenizer, ByteLevelBPETokenizer)
    assert found_in(tokenizer) == case["found"], (case["name"], case["files"])
    (tmp_path / "saved").mkdir()
    tokenizer.save_files(tmp_path / "saved")
    again = Tokenizer.from_files(tmp_path / "saved")
    exactly = not case["name"].startswith("drawn")  # those may name tokens that are not special
    assert settings_of(again, exactly) == settings_of(tokenizer, exactly)
    config = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    if config["tokenizer_class"] == "RobertaTokenizer":
        (tmp_path / "saved" / "tokenizer.json").unlink()
        assert settings_of(Tokenizer.from_files(tmp_path / "saved")) == settings_of(again)


def test_the_stored_cases_are_those_of_the_list():
    """Otherwise make_tokenizers.py has to be run again."""
    assert GOLDEN["texts"] == cases.TEXTS
    stored = {case["name"]: case["files"] for case in GOLDEN["cases"]}
    for name, files in cases.contradictions():
        assert stored[name] == json.loads(json.dumps(files)), name
    drawn = [int(name.split()[1]) for name in stored if name.startswith("drawn ")]
    assert len(drawn) > 60
    for seed in drawn:
        assert stored[f"drawn {seed}"] == json.loads(json.dumps(cases.drawn(seed)))


def test_the_cases_tell_rules_apart():
    found = {case["name"]: case["found"] for case in GOLDEN["cases"]}
    for one, other, what in (
        ("file, prefix True, class RobertaTokenizer", "no file, prefix None, class None", "texts"),
        ("spaced file, prefix False, class RobertaTokenizer",
         "spaced file, prefix False, class PreTrainedTokenizerFast", "texts"),
        ("trim_offsets True, class RobertaTokenizer", "trim_offsets False, class RobertaTokenizer",
         "places"),
        ("trim_offsets True, class PreTrainedTokenizerFast",
         "trim_offsets False, class PreTrainedTokenizerFast", "places"),
        ("post-processor with one separator, class RobertaTokenizer",
         "post-processor with one separator, class PreTrainedTokenizerFast", "pairs"),
        ("a mask that takes spaces, no file", "no file, prefix None, class None", "texts"),
        ("model with few merges, class RobertaTokenizer", "no file, prefix None, class None",
         "texts"),
    ):
        assert found[one][what] != found[other][what], one


@pytest.mark.parametrize(("files", "said"), list(cases.refused()))
def test_files_without_a_rule_are_refused(tmp_path, files, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        opened(files, tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_where_transformers_is_installed_both_go_both_ways(tmp_path):
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers", minversion="5.0")
    transformers.utils.logging.set_verbosity_error()

    def theirs(directory):
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(directory))
        rows = [tokenizer(text, return_offsets_mapping=True) for text in cases.TEXTS]
        pairs = itertools.pairwise(cases.TEXTS)
        return tokenizer, {
            "texts": [row["input_ids"] for row in rows],
            "places": [[list(place) for place in row["offset_mapping"]] for row in rows],
            "pairs": [tokenizer(*pair)["input_ids"] for pair in pairs],
        }

    for number, (_, files) in enumerate(cases.contradictions()):
        directory = tmp_path / str(number)
        directory.mkdir()
        tokenizer = opened(files, directory)
        expected, found = theirs(directory)
        assert found_in(tokenizer) == found
        ids = tokenizer.encode("".join(cases.TEXTS))
        assert tokenizer.decode(ids) == expected.decode(ids)
        assert tokenizer.decode(ids, True) == expected.decode(ids, skip_special_tokens=True)
        tokenizer.save_pretrained(directory / "ours")
        assert theirs(directory / "ours")[1] == found
        expected.save_pretrained(directory / "theirs")
        again = Tokenizer.from_files(directory / "theirs")
        assert found_in(again) == theirs(directory / "theirs")[1]


# --- saving ---------------------------------------------------------------------------------


def test_the_library_reads_what_was_saved(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = opened(cases.case(cases.full()), tmp_path)
    tokenizer.save_pretrained(tmp_path / "saved")
    for text in cases.TEXTS:
        library = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
        assert library.encode(text).ids == tokenizer.encode(text)
    assert json.loads((tmp_path / "saved" / "vocab.json").read_text("utf-8")) == cases.VOCAB
    assert (tmp_path / "saved" / "merges.txt").read_text("utf-8") == cases.LINES


def test_merges_that_look_like_a_version_are_saved_as_pairs(tmp_path):
    letters = "#version"
    chain = [letters[: i + 1] for i in range(1, len(letters))]
    merges = [f"{letters[:i]} {letters[i]}" for i in range(1, len(letters))] + ["#version :"]
    tokens = [*cases.SPECIALS, *ByteLevelBPETokenizer.alphabet(), *chain, "#version:"]
    tokenizer = ByteLevelBPETokenizer(tokens, merges)
    tokenizer.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved" / "merges.txt").exists()
    again = Tokenizer.from_files(tmp_path / "saved")
    assert again._settings == tokenizer._settings
    tokenizers = pytest.importorskip("tokenizers")
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    assert library.encode("#version:").ids == tokenizer.encode("#version:")


def test_a_wordpiece_tokenizer_is_opened_by_its_own_class(tmp_path):
    tokenizer = opened(cases.case(), tmp_path)
    with pytest.raises(CheckpointError, match="a byte-level BPE .* with ByteLevelBPETokenizer, "):
        WordPieceTokenizer.from_files(tmp_path)
    assert isinstance(ByteLevelBPETokenizer.from_files(tmp_path), ByteLevelBPETokenizer)

    class Own(ByteLevelBPETokenizer):
        pass

    assert type(Own.from_files(tmp_path)) is Own
    tokenizer.limit_ids(650)
    again = pickle.loads(pickle.dumps(tokenizer))
    assert again._settings == tokenizer._settings and again.n_usable == 650


# --- bounds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_files_are_regular_and_of_bounded_size(tmp_path, name):
    cases.write(cases.case(), tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=f"{name} is a pipe or a device"):
        Tokenizer.from_files(tmp_path)
    (tmp_path / name).unlink()
    with open(tmp_path / name, "wb") as file:
        file.truncate(33 << 20)
    with pytest.raises(CheckpointError, match=f"{name} is larger than 32 MiB"):
        Tokenizer.from_files(tmp_path)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("merges.txt", b"\n" * (30 << 20), "merges.txt has more than 1,048,576 lines"),
    ("merges.txt", b"t h\xff\n", "merges.txt is not UTF-8"),
    ("vocab.json", b'{"a": 1, "a": 2}', "has the key 'a' twice"),
    ("vocab.json", b'{"zoo": 999999999}', "zoo must be an id from 0 to 100010"),
    ("vocab.json", b"[]", "vocab.json does not contain a JSON object"),
])
def test_damaged_files_take_no_memory(tmp_path, name, content, said):
    cases.write(cases.case(), tmp_path)
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=said):
            Tokenizer.from_files(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


# --- tokens ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return ByteLevelBPETokenizer(cases.VOCAB, cases.MERGES)


def test_tokens_and_ids(tokenizer):
    assert tokenizer.tokenize("The film's bad") == ["The", "Ġfilm", "'s", "Ġbad"]
    assert tokenizer.special_tokens_map == {
        "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    assert tokenizer.convert_tokens_to_ids(["<s>", "zoo"]) == [0, 3]
    assert tokenizer.num_special_tokens_to_add(pair=True) == 4
    assert tokenizer(["a"], ["b"])["token_type_ids"].tolist() == [[0] * 6]
    assert repr(tokenizer) == "ByteLevelBPETokenizer(700 tokens)"


@pytest.mark.parametrize("text", ["Café 中文 😀", " a\n\tb ", "\x00\x7f\xad\u0120", "", "a  b"])
def test_decoding_gives_the_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) == text


def test_half_a_character_is_decoded_as_a_replacement(tokenizer):
    ids = tokenizer.encode("😀", add_special_tokens=False)
    assert tokenizer.decode(ids[:2]) == "\ufffd"


def test_there_need_not_be_an_unknown_token():
    tokens = ["<s>", "</s>", *ByteLevelBPETokenizer.alphabet()]
    tokenizer = ByteLevelBPETokenizer(tokens, [])
    assert tokenizer.unk_token is None and tokenizer.pad_token is None
    with pytest.raises(KeyError, match="'zoo' is not in the vocabulary, which has no unknown"):
        tokenizer.convert_tokens_to_ids("zoo")
    tokenizer.limit_ids(2)
    with pytest.raises(ValueError, match="sep_token: .* only has embeddings for the ids 0 to 0"):
        tokenizer.limit_ids(1)


@pytest.mark.parametrize(("options", "error", "said"), [
    ({"cls_token": "<x>"}, ValueError, "cls_token is '<x>', which is not in the vocabulary"),
    ({"pair_separators": 3}, ValueError, "pair_separators must be 1 or 2, got 3"),
    ({"merges": "a b"}, TypeError, "merges: expected a list of merges, got str"),
    ({"vocab": [*cases.VOCAB, "a\ud800"]}, ValueError, "the token 700 contains a lone surrogate"),
    ({"merges": ["t \ud800"]}, ValueError, "merge 0 is t \ufffd, of which a part"),
    ({"merges": [("t", "h")]}, TypeError, r"merges\[0\]: expected str, got tuple"),
    ({"merges": range(1_100_000)}, ValueError, "merges: 1,100,000 are too many"),
    ({"vocab": ["<s>", "</s>"]}, ValueError, "the vocabulary has no token for the byte 0x00"),
])
def test_arguments_are_checked(options, error, said):
    with pytest.raises(error, match=said):
        ByteLevelBPETokenizer(**{"vocab": cases.VOCAB, "merges": cases.MERGES} | options)
