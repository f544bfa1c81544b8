"""Padding, look-ups and decoding, as in Hugging Face's tokenizers."""

import os
import subprocess
import sys

import numpy as np
import pytest

import bertsent
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "good", "##ness", ".", "'", "s"]
PAD, UNK, CLS, SEP, MASK, THE, GOOD, NESS = range(8)


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(SPECIALS + WORDS, model_max_length=64)


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 5),
        ({"padding": True}, 5),
        ({"padding": "longest", "pad_to_multiple_of": 8}, 8),
        ({"pad_to_multiple_of": 5}, 5),
        ({"pad_to_multiple_of": np.int64(3)}, 6),
        ({"padding": "max_length", "max_length": 7}, 7),
        ({"padding": "max_length", "max_length": 7, "pad_to_multiple_of": 4}, 8),
        ({"padding": "max_length", "max_length": 4}, 4),
        ({"padding": "max_length", "max_length": 4, "truncation": False}, 5),
        ({"max_length": 4}, 4),
        ({"max_length": 4, "pad_to_multiple_of": 8}, 8),
    ],
)
def test_rows_are_padded(tokenizer, options, width):
    out = tokenizer(["the good the", "the"], **options)
    assert out["input_ids"].shape == out["attention_mask"].shape == (2, width)
    assert out["input_ids"][1].tolist() == [CLS, THE, SEP] + [PAD] * (width - 3)
    assert out["attention_mask"][1].tolist() == [1, 1, 1] + [0] * (width - 3)


@pytest.mark.parametrize("padding", [False, "do_not_pad"])
def test_rows_are_left_as_they_are(tokenizer, padding):
    out = tokenizer(["the good", "the"], padding=padding, pad_to_multiple_of=8)
    assert [row.tolist() for row in out["input_ids"]] == [[CLS, THE, GOOD, SEP], [CLS, THE, SEP]]
    assert [row.tolist() for row in out["attention_mask"]] == [[1] * 4, [1] * 3]
    assert tokenizer([], padding=padding)["input_ids"] == []


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"padding": "left"}, ValueError, "padding is 'left'; must be one of"),
        ({"padding": "max_length"}, ValueError, "needs a max_length"),
        ({"pad_to_multiple_of": 0}, ValueError, "pad_to_multiple_of is 0; must be at least 1"),
        ({"pad_to_multiple_of": 8.0}, TypeError, "pad_to_multiple_of: expected int, got float"),
        ({"pad_to_multiple_of": True}, TypeError, "pad_to_multiple_of: expected int, got bool"),
    ],
)
def test_padding_that_makes_no_sense_is_refused(tokenizer, options, error, said):
    with pytest.raises(error, match=said):
        tokenizer(["the"], **options)


def test_a_vocabulary_without_padding_cannot_pad():
    tokenizer = WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "the"])
    assert tokenizer.pad_token is None and tokenizer.pad_token_id is None
    with pytest.raises(ValueError, match="no padding token; pass padding=False"):
        tokenizer(["the", "the the"])
    assert tokenizer(["the"], padding=False)["input_ids"][0].tolist() == [1, 3, 2]


def test_special_tokens_are_counted_and_left_out(tokenizer):
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    for pair in (None, "the"):
        added = len(tokenizer.encode("the good", pair)) - len(
            tokenizer.encode("the good", pair, add_special_tokens=False)
        )
        assert added == tokenizer.num_special_tokens_to_add(pair=pair is not None)
    assert tokenizer(["the"], add_special_tokens=False)["input_ids"].tolist() == [[THE]]
    assert tokenizer.encode("the", add_special_tokens=False, max_length=1) == [THE]


def test_one_text_or_pair(tokenizer):
    assert tokenizer.encode("the good", "the") == [CLS, THE, GOOD, SEP, THE, SEP]
    assert tokenizer.encode("the good", max_length=3) == [CLS, THE, SEP]
    assert tokenizer.encode("the good", max_length=3, truncation="tail") == [CLS, GOOD, SEP]
    assert tokenizer.tokenize("goodness", "the") == ["good", "##ness", "the"]
    assert tokenizer.tokenize("the", add_special_tokens=True) == ["[CLS]", "the", "[SEP]"]
    with pytest.raises(TypeError, match="text_pair: expected str, got list"):
        tokenizer.encode("the", ["the"])
    with pytest.raises(TypeError, match="text: expected str, got NoneType"):
        tokenizer.encode(None)


def test_one_id_or_many(tokenizer):
    assert tokenizer.convert_ids_to_tokens(GOOD) == "good"
    assert tokenizer.convert_ids_to_tokens(np.int64(GOOD)) == "good"
    assert tokenizer.convert_ids_to_tokens(np.array([GOOD, SEP])) == ["good", "[SEP]"]
    assert tokenizer.convert_ids_to_tokens([GOOD, SEP], skip_special_tokens=True) == ["good"]
    assert tokenizer.convert_tokens_to_ids("good") == GOOD
    assert tokenizer.convert_tokens_to_ids(["good", "bad"]) == [GOOD, UNK]
    for wrong in (-1, 11):
        with pytest.raises(IndexError, match=f"no token with id {wrong}; ids are 0 to 10"):
            tokenizer.convert_ids_to_tokens([wrong])


def test_batches_are_decoded(tokenizer):
    out = tokenizer(["The goodness's.", "the"])["input_ids"]
    assert tokenizer.batch_decode(out, skip_special_tokens=True) == ["the goodness ' s.", "the"]
    assert tokenizer.batch_decode(out)[1] == "[CLS] the [SEP]" + " [PAD]" * (out.shape[1] - 3)
    assert tokenizer.batch_decode([]) == []
    assert tokenizer.decode(GOOD) == "good"
    assert tokenizer.decode([NESS, NESS]) == "##nessness"


def test_special_tokens_are_known_by_their_roles(tokenizer):
    assert tokenizer.special_tokens_map == {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }  # fmt: skip
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tokenizer.all_special_ids == [UNK, SEP, PAD, CLS, MASK]
    assert tokenizer.get_added_vocab() == {token: i for i, token in enumerate(SPECIALS)}
    assert WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]"]).all_special_ids == [0, 2, 1]


def run_program(program):
    """Run a program that imports bertsent; return what it prints."""
    above = os.path.dirname(os.path.dirname(os.path.abspath(bertsent.__file__)))
    return subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": above}, check=True,
        capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip


MAKE = """
import resource, sys
from bertsent import _core

def make(vocab=(), added=()):
    vocab = ["[UNK]", "[CLS]", "[SEP]", *vocab]
    return _core.Tokenizer(
        vocab, unk_id=0, cls_id=1, sep_id=2, max_word_chars=10**6, lowercase=False, added=added
    )

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )
"""


def test_a_long_token_takes_memory_in_proportion_to_its_length():
    """Where its pieces are tokens, too, one of 30,000 characters took 1.8 GB."""
    grown = run_program(MAKE + """
before = peak()
token = "a" * 30_000
ids = make(["a", "##a", token]).encode_batch([token, token[1:]])[0]
assert ids.tolist() == [1, 5, 2, 1, 3, *[4] * 29_998, 2]
print(peak() - before)
""")
    assert int(grown) < 400


def test_many_added_tokens_with_different_first_characters_are_found():
    """Each of them was compared with all that came before it."""
    run_program(MAKE + """
n, flags = 400_000, (False, False, False, False, False)
added = [(chr(0x20000 + i), 3 + i % 2, *flags) for i in range(n)]
ids = make(["a", "b"], added).encode_batch([chr(0x20000) + chr(0x20000 + n - 1)])[0]
assert ids.tolist() == [1, 3, 4, 2]
""")
