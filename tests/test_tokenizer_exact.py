"""The tokenizer's ids against those of the reference library: checksums made once from it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bertsent.tokenizer import WordPieceTokenizer

DATA = Path(__file__).parent / "data" / "tokenizer"
sys.path.insert(0, str(DATA))
import material  # noqa: E402

GOLDEN = json.loads((DATA / "golden.json").read_text(encoding="utf-8"))
ISAS = ["portable", "avx2", "avx512"]


@pytest.fixture(scope="module")
def vocabulary():
    return material.made_vocabulary()


@pytest.fixture(scope="module")
def tokenizers_by_mode(vocabulary):
    made = {}
    for name, (lowercase, strip, chinese) in material.MODES.items():
        made[name] = WordPieceTokenizer(
            vocabulary, lowercase=lowercase, strip_accents=strip, tokenize_chinese_chars=chinese
        )
    return made


@pytest.fixture(scope="module")
def sweeps():
    return dict(material.sweeps())


def encode(tokenizer, texts, **options):
    ids, offsets, *_ = tokenizer._core.encode_batch(texts, add_special=False, **options)
    return ids, offsets


def assert_equal(checksums, golden, texts, block):
    wrong = [i for i, pair in enumerate(zip(checksums, golden, strict=True)) if pair[0] != pair[1]]
    where = [ascii(texts[i * block]) for i in wrong[:5]]
    assert not wrong, f"{len(wrong)} blocks of {block} differ, from {where} on"


def test_the_made_vocabulary_is_that_of_a_large_multilingual_model(vocabulary):
    assert len(vocabulary) == 119_739
    assert len(set(vocabulary)) == len(vocabulary)


@pytest.mark.parametrize("mode", material.MODES)
def test_every_scalar_value(mode, tokenizers_by_mode, sweeps):
    for context, texts in sweeps.items():
        ids, offsets = encode(tokenizers_by_mode[mode], texts, n_threads=2)
        sums = material.block_checksums(ids, offsets, material.BLOCK)
        assert_equal(sums, GOLDEN["sweeps"][mode][context], texts, material.BLOCK)


@pytest.mark.parametrize("mode", material.MODES)
def test_marks_are_put_in_canonical_order(mode, tokenizers_by_mode):
    texts = material.mark_runs()
    sums = material.block_checksums(*encode(tokenizers_by_mode[mode], texts), 100)
    assert_equal(sums, GOLDEN["runs"][mode], texts, 100)


@pytest.mark.parametrize("mode", material.MODES)
@pytest.mark.parametrize("isa", ISAS)
def test_mixed_texts_of_all_widths(mode, isa, vocabulary, monkeypatch):
    monkeypatch.setenv("BERTSENT_ISA", isa)
    lowercase, strip, chinese = material.MODES[mode]
    tokenizer = WordPieceTokenizer(
        vocabulary, lowercase=lowercase, strip_accents=strip, tokenize_chinese_chars=chinese
    )
    texts = material.mixtures()
    sums = material.block_checksums(*encode(tokenizer, texts), 100)
    assert_equal(sums, GOLDEN["mixtures"][mode], texts, 100)


@pytest.mark.parametrize("mode", material.MODES)
def test_texts_one_by_one(mode, tokenizers_by_mode):
    tokenizer = tokenizers_by_mode[mode]
    wrong = []
    for text, golden in zip(material.CASES + material.PROSE, GOLDEN["texts"][mode], strict=True):
        ids, offsets = encode(tokenizer, [text])
        if material.checksum(ids, offsets) != golden:
            wrong.append(text)
    assert not wrong


def test_added_tokens(vocabulary):
    specials = [
        {"content": token, "id": i, "single_word": False, "normalized": False, "special": True}
        for i, token in enumerate(material.SPECIALS)
    ]
    added = [
        {"single_word": False, "special": False, **token, "id": id_}
        for token, id_ in zip(material.added_tokens(), GOLDEN["added"]["ids"], strict=True)
    ]
    tokenizer = WordPieceTokenizer(vocabulary, added_tokens=specials + added)
    texts = material.added_texts()
    sums = material.block_checksums(*encode(tokenizer, texts), 100)
    assert_equal(sums, GOLDEN["added"]["checksums"], texts, 100)


@pytest.mark.parametrize("max_length", [None, 256])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_all_reviews(max_length, n_threads, minilm_dir, imdb):
    texts = imdb.review.tolist()
    tokenizer = WordPieceTokenizer.from_files(minilm_dir)
    encoding = tokenizer.encode_batch(texts, max_length, n_threads=n_threads)
    sums = material.block_checksums(encoding.ids, encoding.offsets, 1000)
    assert_equal(sums, GOLDEN["imdb"][str(max_length)], texts, 1000)
    if max_length:
        lengths = np.diff(encoding.offsets)
        assert (lengths[encoding.truncated] == max_length).all()
        assert encoding.truncated.mean() == pytest.approx(0.44252)


def test_decoding_cleans_up_as_the_library_does():
    tokens = GOLDEN["decoded"]["tokens"]
    tokenizer = WordPieceTokenizer([*tokens, "[UNK]", "[SEP]"])
    assert tokenizer.decode(range(len(tokens))) == GOLDEN["decoded"]["text"]
