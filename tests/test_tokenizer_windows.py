"""Windows over long texts: against their definition and the `tokenizers` library."""

import random

import numpy as np
import pytest

from bertsent.tokenizer.wordpiece import WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
WORDS = [f"w{i}" for i in range(50)] + [f"##w{i}" for i in range(50)]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer([*SPECIALS, *WORDS])


def windows_of(n, room, stride):
    """Where the windows of n tokens begin and end."""
    found, start = [], 0
    while True:
        found.append((start, min(start + room, n)))
        if found[-1][1] == n:
            return found
        start += room - stride


def make_text(rng, n):
    return " ".join(f"w{rng.randrange(50)}" for _ in range(n))


@pytest.mark.parametrize(
    ("max_length", "stride"), [(3, 0), (5, 0), (5, 1), (5, 2), (9, 6), (40, 9)]
)
def test_all_of_a_text_is_in_its_windows(tokenizer, max_length, stride):
    rng = random.Random(0)
    room = max_length - 2
    counts = [0, 1, room - 1, room, room + 1, 2 * room, 2 * room + 1, 3 * room - stride, 100]
    texts = [make_text(rng, n) for n in counts]
    whole = tokenizer(texts, padding=False, add_special_tokens=False, return_offsets_mapping=True)
    found = tokenizer.encode_batch(
        texts, max_length=max_length, truncation="windows", stride=stride,
        return_offsets_mapping=True,
    )
    assert found.windows.dtype == np.int64 and len(found.windows) == len(texts) + 1
    assert found.windows[0] == 0 and found.windows[-1] == len(found.offsets) - 1
    assert found.truncated.tolist() == [n > room for n in counts]
    for i, n in enumerate(counts):
        expected = windows_of(n, room, stride)
        rows = range(found.windows[i], found.windows[i + 1])
        assert len(rows) == len(expected)
        for w, (start, stop) in zip(rows, expected, strict=True):
            part = slice(found.offsets[w], found.offsets[w + 1])
            ids, spans = found.ids[part].tolist(), found.offset_mapping[part].tolist()
            assert ids == [CLS, *whole["input_ids"][i][start:stop], SEP]
            assert spans == [[0, 0], *whole["offset_mapping"][i][start:stop].tolist(), [0, 0]]


def test_a_call_tells_which_row_is_of_which_text(tokenizer):
    out = tokenizer(["w1 w2 w3 w4 w5", "", "w6 w7"], max_length=4, truncation="windows", stride=1)
    w = {name: 5 + i for i, name in enumerate(WORDS)}
    assert out["input_ids"].tolist() == [
        [CLS, w["w1"], w["w2"], SEP], [CLS, w["w2"], w["w3"], SEP], [CLS, w["w3"], w["w4"], SEP],
        [CLS, w["w4"], w["w5"], SEP], [CLS, SEP, PAD, PAD], [CLS, w["w6"], w["w7"], SEP],
    ]
    assert out["overflow_to_sample_mapping"].tolist() == [0, 0, 0, 0, 1, 2]
    assert "overflow_to_sample_mapping" not in tokenizer(["w1"], max_length=4)
    bare = tokenizer(["w1 w2 w3"], max_length=2, truncation="windows", add_special_tokens=False)
    assert bare["input_ids"].tolist() == [[w["w1"], w["w2"]], [w["w3"], PAD]]


def test_without_a_length_there_is_one_window(tokenizer):
    found = tokenizer.encode_batch(["w1 " * 1000, "w2"], truncation="windows", stride=7)
    assert found.windows.tolist() == [0, 1, 2] and found.offsets.tolist() == [0, 1002, 1005]
    assert not found.truncated.any()
    assert tokenizer.encode_batch([], truncation="windows", max_length=9).windows.tolist() == [0]
    assert tokenizer.encode_batch(["w1"], max_length=9).windows is None


def test_threads_give_the_same_windows(tokenizer):
    rng = random.Random(1)
    texts = [make_text(rng, rng.randrange(400)) for _ in range(900)]
    one, two = (
        tokenizer.encode_batch(texts, max_length=30, truncation="windows", stride=5, n_threads=n,
                               return_offsets_mapping=True)
        for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        assert a is b is None or np.array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stride": -1}, ValueError, "stride is -1; windows of 6 tokens .* 0 to 5"),
        ({"stride": 6}, ValueError, "stride is 6; windows of 6 tokens"),
        ({"stride": "2"}, TypeError, "stride: expected int, got str"),
        ({"stride": True}, TypeError, "stride: expected int, got bool"),
        ({"max_length": 2}, ValueError, r"\[CLS\] and \[SEP\] leave no room for windows"),
        ({"max_length": None, "stride": -1}, ValueError, "at least 0"),
        ({"truncation": "head", "stride": 2}, ValueError, "needs truncation='windows'"),
        ({"text_pairs": ["w2"], "stride": 2}, ValueError, "windows of 2 tokens .* 0 to 1"),
        ({"text_pairs": ["w2"], "max_length": 4}, ValueError, "leave no room for windows"),
    ],
)
def test_what_is_wrong_is_said(tokenizer, options, error, message):
    with pytest.raises(error, match=message):
        tokenizer.encode_batch(["w1"], **({"max_length": 8, "truncation": "windows"} | options))


def test_the_engine_refuses_the_same(tokenizer):
    for options in ({"stride": 6}, {"stride": -1}, {"max_length": 2}, {"seconds": ["w1"]}):
        with pytest.raises(ValueError, match="stride is|no such way"):
            tokenizer._core.encode_batch(["w1"], **({"max_length": 8, "form": 3} | options))


def test_one_list_has_no_windows(tokenizer):
    with pytest.raises(ValueError, match="encode_batch"):
        tokenizer.encode("w1 w2", max_length=3, truncation="windows")


def test_a_fault_anywhere_is_named(tokenizer):
    with pytest.raises(ValueError, match=r"texts\[1\]: lone surrogate U\+D800 at character 3000"):
        tokenizer.encode_batch(["w1", "w1 " * 1000 + "\ud800"], max_length=8, truncation="windows")


@pytest.mark.parametrize("special", [True, False])
def test_windows_are_those_of_the_library(special):
    tokenizers = pytest.importorskip("tokenizers")
    vocab = {token: i for i, token in enumerate([*SPECIALS, *WORDS])}
    theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    theirs.normalizer = tokenizers.normalizers.BertNormalizer()
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    if special:
        ends = ("[SEP]", SEP), ("[CLS]", CLS)
        theirs.post_processor = tokenizers.processors.BertProcessing(*ends)
    theirs.add_special_tokens(SPECIALS)
    ours = WordPieceTokenizer(vocab)
    rng = random.Random(2)
    for _ in range(300):
        room = rng.randrange(1, 30)
        stride = rng.randrange(room)
        texts = [make_text(rng, rng.randrange(120)) for _ in range(3)] + ["é w1 [SEP] w2w3w4 !"]
        length = room + 2 * special
        theirs.enable_truncation(length, stride=stride)
        expected = []
        for i, encoding in enumerate(theirs.encode_batch(texts, add_special_tokens=special)):
            expected += [(i, part.ids, part.offsets) for part in [encoding, *encoding.overflowing]]
        found = ours(
            texts, max_length=length, stride=stride, truncation="windows", padding=False,
            add_special_tokens=special, return_offsets_mapping=True,
        )
        columns = ("overflow_to_sample_mapping", "input_ids", "offset_mapping")
        rows = zip(*(found[name] for name in columns), strict=True)
        assert [
            (int(i), ids.tolist(), [tuple(span) for span in spans.tolist()])
            for i, ids, spans in rows
        ] == expected
