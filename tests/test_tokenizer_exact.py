"""The tokenizer's ids against checksums of those of the reference library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arrow_capsules import as_arrow

import bertsent
from bertsent import _core
from bertsent.texts.arrow import arrow_texts
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

DATA = Path(__file__).parent / "data" / "tokenizer"
sys.path.insert(0, str(DATA))
import material  # noqa: E402

GOLDEN = json.loads((DATA / "golden.json").read_text(encoding="utf-8"))


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


def spans(tokenizer, texts, **options):
    _, offsets, _, _, spans, *_ = tokenizer._core.encode_batch(
        texts, add_special=False, spans=True, **options
    )
    return spans, offsets


def as_utf8(*texts):
    """Pass texts to the engine as Arrow buffers, without Arrow."""
    return arrow_texts(as_arrow(texts))


def with_added(vocabulary, added, ids):
    """Make a tokenizer with added tokens besides the special ones."""
    specials = [
        {"content": token, "id": i, "single_word": False, "normalized": False, "special": True}
        for i, token in enumerate(material.SPECIALS)
    ]
    added = [
        {"single_word": False, "special": False, **token, "id": id_}
        for token, id_ in zip(added, ids, strict=True)
    ]
    return WordPieceTokenizer(vocabulary, added_tokens=specials + added)


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
def test_mixed_texts_of_all_widths(mode, tokenizers_by_mode):
    texts = material.mixtures()
    sums = material.block_checksums(*encode(tokenizers_by_mode[mode], texts), 100)
    assert_equal(sums, GOLDEN["mixtures"][mode], texts, 100)


@pytest.mark.parametrize(
    "isa", sorted({row["scanner"] for row in _core.isa_table() if row["available"]}))
def test_mixed_texts_with_every_scanner(isa):
    package = Path(bertsent.__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k",
         "test_mixed_texts_of_all_widths"],
        env={**os.environ, "BERTSENT_ISA": isa, "PYTHONPATH": str(package)}, cwd=package,
        capture_output=True, text=True, timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(material.MODES)} passed" in done.stdout


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
    tokenizer = with_added(vocabulary, material.added_tokens(), GOLDEN["added"]["ids"])
    texts = material.added_texts()
    sums = material.block_checksums(*encode(tokenizer, texts), 100)
    assert_equal(sums, GOLDEN["added"]["checksums"], texts, 100)
    sums = material.block_checksums(*spans(tokenizer, texts), 100)
    assert_equal(sums, GOLDEN["added"]["spans"], texts, 100)


def test_added_tokens_that_take_white_space(vocabulary):
    added = material.spaced_tokens()
    size = len(vocabulary)
    tokenizer = with_added(vocabulary, added, range(size, size + len(added)))
    texts = material.spaced_texts()
    sums = material.block_checksums(*spans(tokenizer, texts), 100)
    assert_equal(sums, GOLDEN["spaced"], texts, 100)


@pytest.mark.parametrize("mode", material.MODES)
def test_the_characters_of_tokens(mode, tokenizers_by_mode, sweeps):
    made = {
        "sweep": (sweeps[ascii(material.CONTEXTS[-1])], material.BLOCK),
        "runs": (material.mark_runs(), 100),
        "accents": (material.accent_runs(), 100),
        "mixtures": (material.mixtures(), 100),
        "texts": (material.CASES + material.PROSE, 1),
    }
    for name, (texts, block) in made.items():
        found = spans(tokenizers_by_mode[mode], texts, n_threads=2)
        sums = material.block_checksums(*found, block)
        assert_equal(sums, GOLDEN["spans"][mode][name], texts, block)


@pytest.mark.parametrize("form", ["str", "utf-8"])
@pytest.mark.parametrize("cut", material.CUTS)
def test_pairs(form, cut, tokenizers_by_mode):
    """Ids, types and characters of pairs, for each truncation; None if it is impossible."""
    tokenizer = tokenizers_by_mode["uncased"]
    pairs, lengths = material.pairs()
    sums = []
    for i, pair in enumerate(pairs):
        pair = [[text] for text in pair] if form == "str" else [as_utf8(text) for text in pair]
        try:
            got = tokenizer.encode_batch(
                *pair, max_length=lengths[i % len(lengths)], truncation=cut,
                return_offsets_mapping=True,
            )  # fmt: skip
        except ValueError as error:
            assert "cannot be cut" in str(error)
            sums.append(None)
            continue
        table = np.column_stack([got.ids, got.token_type_ids, got.offset_mapping])
        sums.append(material.checksum(table, [0, len(got.ids)]))
    assert_equal(sums, GOLDEN["pairs"][cut], [" | ".join(pair) for pair in pairs], 1)


@pytest.mark.parametrize("max_length", [None, 256])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_all_reviews(max_length, n_threads, minilm_dir, imdb):
    texts = imdb.review.tolist()
    tokenizer = WordPieceTokenizer.from_files(minilm_dir)
    encoding = tokenizer.encode_batch(texts, max_length=max_length, n_threads=n_threads)
    assert encoding.offset_mapping is None
    sums = material.block_checksums(encoding.ids, encoding.offsets, 1000)
    assert_equal(sums, GOLDEN["imdb"][str(max_length)], texts, 1000)
    if max_length:
        lengths = np.diff(encoding.offsets)
        assert (lengths[encoding.truncated] == max_length).all()
        assert encoding.truncated.mean() == pytest.approx(0.44252)


def test_the_characters_of_all_reviews(minilm_dir, imdb):
    texts = imdb.review.tolist()
    tokenizer = WordPieceTokenizer.from_files(minilm_dir)
    encoding = tokenizer.encode_batch(texts, return_offsets_mapping=True)
    sums = material.block_checksums(encoding.offset_mapping, encoding.offsets, 1000)
    assert_equal(sums, GOLDEN["imdb"]["spans"], texts, 1000)


def test_decoding_cleans_up_as_the_library_does():
    tokens = GOLDEN["decoded"]["tokens"]
    tokenizer = WordPieceTokenizer([*tokens, "[UNK]", "[SEP]"])
    assert tokenizer.decode(range(len(tokens))) == GOLDEN["decoded"]["text"]
