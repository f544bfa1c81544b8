"""Byte-level BPE in the engine, compared with the tokenizers library."""

import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers

from bertsent import _core
from bertsent.texts import arrow_texts

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
PIECES = [
    " ", "  ", "\n", "\t", "'", "'s", "'ll", "'re", "s", "ll", "a", "B", "é", "\u3000", "\xa0",
    "\x85", "1", "²", "١", "!", "?", "<mask>", "<s>", "</s>", "中", "😀", "\u0301", "\u200b",
    "<br />", " the", "ing", "\x00", "\x1c",
]


def sample():
    path = Path(__file__).parents[1] / "bertsent" / "sample" / "reviews.csv"
    return path.read_text(encoding="utf-8").splitlines()


def train(prefix_space=False, trim=True, size=2000, more=()):
    """Return a tokenizer of RoBERTa's kind that learned its merges from the sample and more."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = level
    library.train_from_iterator([*sample(), *more], trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    library.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    library.add_tokens([AddedToken("whole", single_word=True, normalized=True)])
    library.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=prefix_space
    )
    return library


def engine(library, **changes):
    """Return the engine's tokenizer for one of the library."""
    content = json.loads(library.to_str())
    post = content["post_processor"]
    vocab = library.get_vocab(with_added_tokens=True)
    slots = [None] * len(vocab)
    for token, id_ in content["model"]["vocab"].items():
        slots[id_] = token
    flags = ("single_word", "normalized", "special", "lstrip", "rstrip")
    added = [
        (token["content"], token["id"], *(token[flag] for flag in flags))
        for token in content["added_tokens"]
    ]
    merges = [" ".join(pair) for pair in content["model"]["merges"]]
    settings = {
        "cls_id": 0, "sep_id": 2, "added": added, "pair_separators": 2,
        "add_prefix_space": post["add_prefix_space"], "trim_offsets": post["trim_offsets"],
    }
    return _core.ByteLevelTokenizer(slots, merges, **(settings | changes))


@pytest.fixture(scope="module")
def library():
    return train()


@pytest.fixture(scope="module")
def tokenizer(library):
    return engine(library)


def compare(library, tokenizer, texts, pairs=None, **options):
    """Assert that ids and places of all tokens are those of the library."""
    ids, offsets, _, _, spans, _ = tokenizer.encode_batch(
        texts, seconds=pairs, spans=True, n_threads=2, **options
    )
    inputs = texts if pairs is None else list(zip(texts, pairs, strict=True))
    for i, expected in enumerate(library.encode_batch(inputs)):
        part = slice(offsets[i], offsets[i + 1])
        assert ids[part].tolist() == expected.ids, repr(inputs[i])
        assert list(map(tuple, spans[part])) == expected.offsets, repr(inputs[i])


def mixtures(count, longest, seed):
    draw = random.Random(seed)
    return [
        "".join(draw.choice(PIECES) for _ in range(draw.randrange(longest))) for _ in range(count)
    ]


def test_wide_white_space_is_cut_between_characters():
    """Where bytes of white space are merged, a cut at another one would change the ids."""
    library = train(size=1000, more=["a\u3000\u3000\u3000b\xa0\xa0c"] * 100)
    assert len(library.encode("\u3000", add_special_tokens=False).ids) == 1
    texts = ["a\u3000b", "a\u3000\u3000b", "a \xa0\xa0b", "\u3000\xa0\u3000", "\xa0a\u3000 b"]
    compare(library, engine(library), texts)


@pytest.mark.parametrize("prefix_space", [False, True])
@pytest.mark.parametrize("trim", [False, True])
def test_mixtures_of_all_kinds_of_characters(prefix_space, trim):
    library = train(prefix_space, trim, size=600)
    compare(library, engine(library), mixtures(4000, 14, 0))


def test_texts_of_several_stretches(library, tokenizer):
    compare(library, tokenizer, mixtures(40, 9000, 1))


def test_white_space_before_a_mask_lies_in_another_stretch(library, tokenizer):
    texts = ["a" * n + " " * 20 + "<mask>b" for n in range(4070, 4100)]
    compare(library, tokenizer, [*texts, "\t" * 5000 + "<mask>"])


def test_white_space_alone_before_a_mask_adds_no_space():
    library = train(prefix_space=True, size=600)
    compare(library, engine(library), ["\t" * n + "<mask>x" for n in (1, 2, 5000)])


def test_every_character(library, tokenizer):
    """In the company of letters, numbers, other characters and white space."""
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    step = 1 if "BERTSENT_ALL_CHARACTERS" in os.environ else 97
    texts = [
        "a{0}1{0}!{0}  {0} b".format(chr(code)) for code in [*codes[:0x3100], *codes[0x3100::step]]
    ]
    for first in range(0, len(texts), 20000):
        compare(library, tokenizer, texts[first : first + 20000])


def test_pairs_have_two_separators(library, tokenizer):
    firsts, seconds = mixtures(300, 10, 2), mixtures(300, 10, 3)
    compare(library, tokenizer, firsts, seconds)


@pytest.mark.parametrize("stride", [0, 3])
@pytest.mark.parametrize("prefix_space", [False, True])
def test_windows(stride, prefix_space):
    library = train(prefix_space, size=600)
    tokenizer = engine(library)
    texts = [" ".join(mixtures(30, 9, seed)) for seed in range(20)]
    if prefix_space:
        texts = [text.replace("<mask>", "a") for text in texts]
    library.enable_truncation(16, stride=stride)
    ids, offsets, _, _, spans, windows = tokenizer.encode_batch(
        texts, max_length=16, form=3, stride=stride, spans=True
    )
    for i, first in enumerate(library.encode_batch(texts)):
        for k, expected in enumerate([first, *first.overflowing]):
            at = windows[i] + k
            part = slice(offsets[at], offsets[at + 1])
            assert ids[part].tolist() == expected.ids
            assert list(map(tuple, spans[part])) == expected.offsets
        assert windows[i + 1] - windows[i] == 1 + len(first.overflowing)


@pytest.mark.parametrize("length", [2, 3, 7, 40])
def test_the_start_of_a_text_is_enough(tokenizer, length):
    texts = mixtures(60, 3000, 4)
    whole, starts = tokenizer.encode_batch(texts)[:2]
    ids, offsets, cut = tokenizer.encode_batch(texts, max_length=length)[:3]
    for i in range(len(texts)):
        expected = whole[starts[i] : starts[i + 1]].tolist()
        if cut[i]:
            expected = [*expected[: length - 1], 2]
        assert ids[offsets[i] : offsets[i + 1]].tolist() == expected
        assert cut[i] == (starts[i + 1] - starts[i] > length)


@pytest.mark.parametrize("text", [
    "a" * 300_000, "ab" * 150_000, "é" * 100_000, " " * 300_000, "<mask>" * 20_000, "'s" * 90_000,
    "".join(random.Random(5).choices("abcdef", k=300_000)),
    "".join(random.Random(6).choices(["the", "ing", "ded", "fe", "x"], k=60_000)),
])  # fmt: skip
def test_long_words(library, tokenizer, text):
    compare(library, tokenizer, [text])


def test_storage_and_threads_make_no_difference(tokenizer):
    texts = mixtures(200, 400, 6)
    arrow = arrow_texts(pytest.importorskip("pyarrow").array(texts))
    expected = tokenizer.encode_batch(texts)[0]
    for found in (
        tokenizer.encode_batch(arrow)[0],
        tokenizer.encode_batch(texts, n_threads=4)[0],
        np.concatenate([tokenizer.encode_batch([text])[0] for text in texts]),
    ):
        assert np.array_equal(found, expected)


def test_all_reviews(library, tokenizer):
    path = os.environ.get("BERTSENT_IMDB")
    found = Path(path or Path(__file__).parents[2] / "shared" / "imdb" / "train.csv.gz")
    if not found.exists():
        pytest.skip("the reviews are not there")
    with gzip.open(found, "rt", encoding="utf-8") as file:
        compare(library, tokenizer, file.read().split("\n")[:3000])


def test_a_surrogate_is_named(tokenizer):
    with pytest.raises(ValueError, match=r"texts\[1\]: lone surrogate U\+D800 at character 5001"):
        tokenizer.encode_batch(["a", "b" * 5001 + "\ud800"])


@pytest.mark.parametrize("vocab, merges, message", [
    (lambda tokens: [t for t in tokens if t != "a"], [], "no token for the byte 0x61"),
    (lambda tokens: tokens, ["a"], "merge 0 is not two tokens"),
    (lambda tokens: tokens, ["a b", "a zz"], "merge [01] is a .*not in the vocabulary"),
    (lambda tokens: tokens, [" a"], "merge 0 is  a, of which"),
])  # fmt: skip
def test_broken_vocabularies(vocab, merges, message):
    tokens = [*SPECIAL, *pre_tokenizers.ByteLevel.alphabet()]
    with pytest.raises(ValueError, match=message):
        _core.ByteLevelTokenizer(vocab(tokens), merges, cls_id=0, sep_id=2)


@pytest.mark.parametrize("count", [0, 3])
def test_there_are_one_or_two_separators(library, count):
    with pytest.raises(ValueError, match=f"pair_separators is {count}, expected 1 or 2"):
        engine(library, pair_separators=count)


def draw_merges(draw, proper):
    """Return tokens and merges over few letters; if not `proper`, in any order, some of them twice.
    """
    pieces, merges = list("abc"), {}
    for _ in range(draw.randrange(4, 40)):
        pair = tuple(draw.choices(pieces, k=2))
        if len("".join(pair)) <= 18 and ("".join(pair) not in pieces or not proper):
            merges[pair] = None
            pieces.append("".join(pair))
    merges = list(merges)
    if not proper:
        draw.shuffle(merges)
        merges += draw.choices(merges, k=2)
    return sorted({left + right for left, right in merges}), merges


@pytest.mark.parametrize("proper", [True, False])
def test_words_that_are_tokens_as_a_whole(proper):
    """Which tokens a word can become is found out without splitting each of them."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    draw, wholes = random.Random(8), set()
    for _ in range(100):
        longer, merges = draw_merges(draw, proper)
        vocab = {token: i for i, token in enumerate([*SPECIAL, *alphabet, *longer])}
        library = Tokenizer(models.BPE(vocab, merges))
        library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer = _core.ByteLevelTokenizer(
            list(vocab), [" ".join(pair) for pair in merges], cls_id=0, sep_id=2
        )
        texts = [*longer, *("".join(draw.choices("abc", k=draw.randrange(1, 20)))
                            for _ in range(40))]
        ids, offsets = tokenizer.encode_batch(texts, add_special=False)[:2]
        for i, expected in enumerate(library.encode_batch(texts)):
            assert ids[offsets[i] : offsets[i + 1]].tolist() == expected.ids, (texts[i], merges)
            if i < len(longer):
                wholes.add(len(expected.ids) == 1)
    assert wholes == {True, False}
