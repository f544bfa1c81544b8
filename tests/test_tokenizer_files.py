"""Tokenizer files that contradict each other mean what they mean in transformers 5."""

import gzip
import json
from pathlib import Path

import pytest
import tokenizer_cases as cases

from bertsent import WordPieceTokenizer
from bertsent.errors import CheckpointError

GOLDEN = json.loads(
    gzip.decompress((Path(__file__).parent / "golden" / "tokenizers.json.gz").read_bytes())
)


def ids_of(tokenizer, texts=cases.TEXTS):
    return [tokenizer.encode(text) for text in texts]


def opened(files, directory):
    cases.write(files, directory)
    return WordPieceTokenizer.from_files(directory)


@pytest.mark.parametrize("number", range(len(GOLDEN["cases"])))
def test_ids_are_those_of_transformers(tmp_path, number):
    """Also after the tokenizer was saved and read back."""
    case = GOLDEN["cases"][number]
    tokenizer = opened(case["files"], tmp_path)
    got = ids_of(tokenizer, GOLDEN["texts"])
    assert got == case["ids"], (case["name"], case["files"])
    tokenizer.save_pretrained(tmp_path / "saved")
    again = WordPieceTokenizer.from_files(tmp_path / "saved")
    assert again._settings == tokenizer._settings


def test_the_stored_cases_are_those_of_the_list():
    """Otherwise make_tokenizers.py has to be run again."""
    assert GOLDEN["vocab"] == cases.VOCAB and GOLDEN["texts"] == cases.TEXTS
    stored = {case["name"]: case["files"] for case in GOLDEN["cases"]}
    for name, files in cases.contradictions():
        assert stored[name] == json.loads(json.dumps(files)), name
    drawn = [int(name.split()[1]) for name in stored if name.startswith("drawn ")]
    assert len(drawn) > 200
    for seed in drawn:
        assert stored[f"drawn {seed}"] == json.loads(json.dumps(cases.drawn(seed)))


def test_the_cases_tell_rules_apart():
    """Following the wrong file is seen: each kind of case has ids that its opposite has not."""
    ids = {case["name"]: case["ids"] for case in GOLDEN["cases"]}
    for kind in ("cased file, class {}", "strip_accents True in the file, False in the config, "
                 "class {}", "handle_chinese_chars False in the file, True in the config, class {}",
                 "clean_text False in the file, absent in the config, class {}",
                 "short words, class {}"):  # fmt: skip
        assert ids[kind.format("BertTokenizer")] != ids[kind.format("PreTrainedTokenizerFast")]
    plain = ids["do_basic_tokenize False, class BertTokenizer"]
    for name in ("extra_special_tokens in the vocabulary, class BertTokenizer, map",
                 "added_tokens.json, large ids, class BertTokenizer", "equal lines"):  # fmt: skip
        assert ids[name] != plain


@pytest.mark.parametrize(("files", "said"), list(cases.refused()))
def test_files_without_a_rule_are_refused(tmp_path, files, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        opened(files, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_pairs_are_refused_if_the_file_makes_them_in_another_way(tmp_path):
    files = dict(cases.contradictions())
    tokenizer = opened(
        files["post-processor with no pairs, class PreTrainedTokenizerFast"], tmp_path
    )
    assert tokenizer.encode("the") == [2, 5, 3]
    tokenizer.save_pretrained(tmp_path / "saved")
    for each in (tokenizer, WordPieceTokenizer.from_files(tmp_path / "saved")):
        with pytest.raises(ValueError, match="only single texts can be encoded"):
            each.encode("the", "the")
    by_class = "post-processor with no pairs, class BertTokenizer"
    (tmp_path / "class").mkdir()
    assert opened(files[by_class], tmp_path / "class").encode("the", "the") == [2, 5, 3, 5, 3]


def test_a_tokenizer_that_files_cannot_describe_is_not_saved(tmp_path):
    """Rather than with other ids."""
    tokenizer = WordPieceTokenizer(
        cases.VOCAB, added_tokens=[cases.added("<new2>") | {"id": len(cases.VOCAB) + 3}]
    )
    with pytest.raises(ValueError, match=f"cannot be saved: .* the ids from {len(cases.VOCAB)} on"):
        tokenizer.save_pretrained(tmp_path / "saved")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("saved", "length"),
    [(512, 512), (128.0, 128), (1e30, None), (int(1e30), None), (None, None), (0, None),
     (-1, None), (float("inf"), None)],
)  # fmt: skip
def test_lengths(tmp_path, saved, length):
    tokenizer = opened(cases.case(None, {"model_max_length": saved}), tmp_path)
    assert tokenizer._settings["model_max_length"] == length


def test_the_old_name_of_the_length(tmp_path):
    assert opened(cases.case(None, {"max_len": 64}), tmp_path)._settings["model_max_length"] == 64


@pytest.mark.parametrize("tokens", [["a ", "b"], ["a\nb"], ["a\u3000"], ["a\r"], ["\x1f", "a\x1c"]])
def test_vocab_txt_is_left_out_if_it_cannot_represent_the_tokens(tmp_path, tokens):
    tokenizer = WordPieceTokenizer([*cases.VOCAB, *tokens])
    tokenizer.save_pretrained(tmp_path / "saved")
    lost = any(token.rstrip("\t\n\r \u3000") != token or "\n" in token for token in tokens)
    assert (tmp_path / "saved" / "vocab.txt").exists() != lost
    assert WordPieceTokenizer.from_files(tmp_path / "saved")._settings == tokenizer._settings
    if not lost:
        (tmp_path / "saved" / "tokenizer.json").unlink()
        alone = WordPieceTokenizer.from_files(tmp_path / "saved")
        assert alone._settings == tokenizer._settings


def test_files_that_do_not_count_may_be_damaged(tmp_path):
    files = cases.case(cases.full(), {"added_tokens_decoder": {}})
    files |= {"special_tokens_map.json": "{", "added_tokens.json": "[", "vocab.txt": "the\n"}
    assert ids_of(opened(files, tmp_path))
    del files["tokenizer_config.json"]["added_tokens_decoder"]
    with pytest.raises(CheckpointError, match="special_tokens_map.json is not valid JSON"):
        opened(files, tmp_path)


@pytest.mark.parametrize("key", ["foo", "-1", "1.5", "12345678901"])
def test_keys_of_the_decoder_are_ids(tmp_path, key):
    files = cases.case(cases.full(), {"added_tokens_decoder": {key: {"content": "foo"}}})
    with pytest.raises(CheckpointError, match=f"added_tokens_decoder must be ids, got '{key}'"):
        opened(files, tmp_path)


@pytest.mark.parametrize(("described", "said"), [
    (7, "must be a text or a JSON object"),
    ({"content": 7}, "content must be a text"),
    ({"content": "foo", "lstrip": "yes"}, "lstrip must be true or false"),
])
def test_added_tokens_that_are_described_wrongly_are_refused(tmp_path, described, said):
    files = cases.case(cases.full(), {"added_tokens_decoder": {"5": described}})
    with pytest.raises(CheckpointError, match=f"added_tokens_decoder.5.*{said}"):
        opened(files, tmp_path)


def test_ids_of_added_tokens_fit_into_32_bits(tmp_path):
    files = cases.case(None, {}) | {"added_tokens.json": json.dumps({"foo": 2**32 - 1})}
    assert ids_of(opened(files, tmp_path))
    files["added_tokens.json"] = json.dumps({"foo": 2**32})
    with pytest.raises(CheckpointError, match="foo must be a whole number from 0 to 4294967295"):
        opened(files, tmp_path)


def test_a_file_of_empty_lines_is_no_vocabulary(tmp_path):
    """Its ids would need as much memory as a large vocabulary."""
    with pytest.raises(CheckpointError, match="vocab.txt is no vocabulary: among its first"):
        opened(cases.case(None, vocab="\n".join([*cases.VOCAB, "\n" * 500_000])), tmp_path)
    with pytest.raises(CheckpointError, match=r"model.vocab.foo must be an id from 0 to 100\d\d\d"):
        opened(cases.case(cases.full({"vocab": {**cases.ids(), "foo": 10**9}})), tmp_path)
