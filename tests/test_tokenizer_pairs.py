"""Pairs of texts, truncation, and the characters of each token."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bertsent
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
LETTERS = {letter: 5 + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
LETTERS |= {"##" + letter: 31 + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer({**{t: i for i, t in enumerate(SPECIALS)}, **LETTERS})


def shown(tokenizer, text, pair=None, **options):
    """Encode one text or pair, and return its tokens as a line."""
    encoding = tokenizer.encode_batch([text], None if pair is None else [pair], **options)
    return " ".join(tokenizer.convert_ids_to_tokens(encoding.ids))


def test_pairs_have_separators_and_types(tokenizer):
    encoding = tokenizer.encode_batch(["a b", "", "a"], ["c", "c d", ""])
    tokens = tokenizer.convert_ids_to_tokens(encoding.ids)
    types = encoding.token_type_ids
    rows = [
        (" ".join(tokens[a:b]), types[a:b].tolist()) for a, b in pairwise(encoding.offsets)
    ]
    assert rows == [
        ("[CLS] a b [SEP] c [SEP]", [0, 0, 0, 0, 1, 1]),
        ("[CLS] [SEP] c d [SEP]", [0, 0, 1, 1, 1]),
        ("[CLS] a [SEP] [SEP]", [0, 0, 0, 1]),
    ]
    assert types.dtype == np.int32
    assert not encoding.truncated.any()


def test_single_texts_have_no_types_unless_asked(tokenizer):
    assert tokenizer.encode_batch(["a"]).token_type_ids is None
    assert "token_type_ids" not in tokenizer(["a"])
    assert tokenizer(["a"], return_token_type_ids=True)["token_type_ids"].tolist() == [[0, 0, 0]]


def test_a_call_pads_pairs_too(tokenizer):
    out = tokenizer(["a", "a b"], ["c", "d e"])
    assert out["input_ids"][0].tolist() == [CLS, LETTERS["a"], SEP, LETTERS["c"], SEP, PAD, PAD]
    assert out["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1]]
    assert out["attention_mask"].tolist() == [[1] * 5 + [0] * 2, [1] * 7]
    assert "token_type_ids" not in tokenizer(["a"], ["b"], return_token_type_ids=False)
    bare = tokenizer(["a b"], ["c"], add_special_tokens=False)
    assert bare["token_type_ids"].tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("truncation", "max_length", "expected"),
    [
        (True, 8, "[CLS] a b c [SEP] x y [SEP]"),
        ("longest_first", 6, "[CLS] a b [SEP] x [SEP]"),
        ("longest_first", 7, "[CLS] a b [SEP] x y [SEP]"),
        ("only_first", 6, "[CLS] a [SEP] x y [SEP]"),
        ("only_second", 9, "[CLS] a b c d e [SEP] x [SEP]"),
        ("tail", 7, "[CLS] d e [SEP] x y [SEP]"),
        ("head+tail", 8, "[CLS] a d e [SEP] x y [SEP]"),
        (False, 6, "[CLS] a b c d e [SEP] x y [SEP]"),
        ("do_not_truncate", 6, "[CLS] a b c d e [SEP] x y [SEP]"),
    ],
)
def test_pairs_are_cut(tokenizer, truncation, max_length, expected):
    given = {"max_length": max_length, "truncation": truncation}
    assert shown(tokenizer, "a b c d e", "x y", **given) == expected
    cut = tokenizer.encode_batch(["a b c d e"], ["x y"], **given).truncated
    assert cut.tolist() == [truncation not in (False, "do_not_truncate")]


def test_a_pair_that_cannot_be_cut_so_is_named(tokenizer):
    with pytest.raises(ValueError, match=r"texts\[1\]: cannot be cut.*longest_first"):
        tokenizer.encode_batch(["a", "a b"], ["x", "x y z"], max_length=6, truncation="only_first")
    second = pd.Series(["x", "y z"], index=["p", "q"])
    with pytest.raises(ValueError, match=r"text_pairs\[1\], row 'q': cannot be cut"):
        tokenizer.encode_batch(["a", "a b c"], second, max_length=6, truncation="only_second")


@pytest.mark.parametrize(
    ("truncation", "max_length", "expected"),
    [
        (True, 6, "[CLS] a b c d [SEP]"),
        ("head", 6, "[CLS] a b c d [SEP]"),
        ("only_first", 6, "[CLS] a b c d [SEP]"),
        ("tail", 6, "[CLS] f g h i [SEP]"),
        ("tail", 2, "[CLS] [SEP]"),
        ("head+tail", 6, "[CLS] a g h i [SEP]"),
        ("head+tail", 7, "[CLS] a b g h i [SEP]"),
        ("head+tail", 3, "[CLS] a [SEP]"),
        ("head+tail", 11, "[CLS] a b c d e f g h i [SEP]"),
        ("head+tail", 10, "[CLS] a b d e f g h i [SEP]"),
    ],
)
def test_single_texts_are_cut(tokenizer, truncation, max_length, expected):
    given = {"max_length": max_length, "truncation": truncation}
    assert shown(tokenizer, "a b c d e f g h i", **given) == expected
    encoding = tokenizer.encode_batch(["a b c d e f g h i", "a"], **given)
    assert encoding.truncated.tolist() == [max_length < 11, max_length < 3]


def test_head_and_tail_are_as_published(tokenizer):
    ids = tokenizer.encode_batch(
        ["a " * 128 + "b " * 1000 + "c " * 382], max_length=512, truncation="head+tail"
    ).ids
    assert ids.tolist() == [CLS] + [LETTERS["a"]] * 128 + [LETTERS["c"]] * 382 + [SEP]


@pytest.mark.parametrize("truncation", ["head", "tail", "head+tail"])
@pytest.mark.parametrize("text", ["ab cd é xyz " * 40, "a" * 99 + " b", "", "q"])
def test_what_is_kept_is_part_of_the_whole(tokenizer, truncation, text):
    whole = tokenizer(
        [text], add_special_tokens=False, padding=False, return_offsets_mapping=True
    )
    ids, spans = whole["input_ids"][0], whole["offset_mapping"][0]
    for room in (1, 2, 3, 8, 59, 100_000):
        head = {"head": room, "tail": 0, "head+tail": -(-room // 4)}[truncation]
        rows = np.arange(len(ids))
        kept = rows if len(ids) <= room else np.r_[rows[:head], rows[len(ids) - room + head :]]
        part = tokenizer(
            [text], add_special_tokens=False, padding=False, return_offsets_mapping=True,
            max_length=room, truncation=truncation,
        )  # fmt: skip
        assert part["input_ids"][0].tolist() == ids[kept].tolist()
        assert part["offset_mapping"][0].tolist() == spans[kept].tolist()


def test_what_is_wrong_with_an_option_is_said(tokenizer):
    with pytest.raises(ValueError, match="truncation is 'middle'; must be one of"):
        tokenizer.encode_batch(["a"], truncation="middle")
    with pytest.raises(ValueError, match="only_second' needs text_pairs"):
        tokenizer.encode_batch(["a"], max_length=3, truncation="only_second")
    with pytest.raises(ValueError, match=r"max_length is 2; .*\[SEP\] and \[SEP\] alone take 3"):
        tokenizer.encode_batch(["a"], ["b"], max_length=2)
    with pytest.raises(ValueError, match="there are 2 texts, but 1 text_pairs"):
        tokenizer.encode_batch(["a", "b"], ["c"])
    with pytest.raises(TypeError, match="text_pairs: .*got int; max_length is a keyword"):
        tokenizer.encode_batch(["a"], 16)
    with pytest.raises(TypeError, match="max_length: expected int, got str"):
        tokenizer.encode_batch(["a"], max_length="16")
    with pytest.raises(TypeError, match=r"text_pairs\[1\]: expected str, got None"):
        tokenizer.encode_batch(["a", "b"], ["c", None])
    with pytest.raises(ValueError, match=r"text_pairs\[1\]: lone surrogate"):
        tokenizer.encode_batch(["a", "b"], ["c", "\ud800"])
    with pytest.raises(TypeError, match=r"text_pairs: got one string"):
        tokenizer.encode_batch(["a"], "c")


def test_a_row_label_is_shown_as_python_has_it(tokenizer):
    with pytest.raises(TypeError, match=r"texts\[1\], row 8: expected str, got None"):
        tokenizer.encode_batch(pd.Series(["a", None], index=[7, 8], dtype=object))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab c", ["a", "b", "c"]),
        (" \t ab\x00\u200bc ", ["a", "b\x00\u200b", "c"]),
        ("É中b", ["É", "中", "b"]),
        ("e\u0301b", ["e", "b"]),
        ("a [SEP]b", ["a", "[SEP]", "b"]),
        ("😂 a", ["😂", "a"]),
    ],
)
def test_offsets_are_of_the_original_text(tokenizer, text, expected):
    out = tokenizer([text], return_offsets_mapping=True)["offset_mapping"]
    assert out.dtype == np.int64
    assert out[0][0].tolist() == out[0][-1].tolist() == [0, 0]
    got = [text[a:b] for a, b in out[0][1:-1]]
    assert [piece.rstrip("\x00\u200b\u0301") for piece in got] == [
        piece.rstrip("\x00\u200b\u0301") for piece in expected
    ]


def test_offsets_of_a_pair_are_each_of_its_own_text(tokenizer):
    encoding = tokenizer.encode_batch(["ab"], ["x  y"], return_offsets_mapping=True)
    assert encoding.offset_mapping.tolist() == [
        [0, 0], [0, 1], [1, 2], [0, 0], [0, 1], [3, 4], [0, 0]
    ]  # fmt: skip
    assert tokenizer.encode_batch(["ab"], ["x"]).offset_mapping is None
    padded = tokenizer(["ab", "a"], return_offsets_mapping=True)["offset_mapping"]
    assert padded.shape == (2, 4, 2)
    assert padded[1].tolist() == [[0, 0], [0, 1], [0, 0], [0, 0]]
    ragged = tokenizer(["ab", "a"], padding=False, return_offsets_mapping=True)["offset_mapping"]
    assert [rows.shape for rows in ragged] == [(4, 2), (3, 2)]


def test_special_tokens_can_be_plain_text(tokenizer):
    forged = "a [SEP] b [MASK]"
    assert shown(tokenizer, forged) == "[CLS] a [SEP] b [MASK] [SEP]"
    plain = shown(tokenizer, forged, split_special_tokens=True)
    bracketed = "[UNK] s ##e ##p [UNK]"
    assert plain == f"[CLS] a {bracketed} b [UNK] m ##a ##s ##k [UNK] [SEP]"
    assert plain == " ".join(
        tokenizer.convert_ids_to_tokens(tokenizer.encode(forged, split_special_tokens=True))
    )
    out = tokenizer(["a"], ["[SEP]"], split_special_tokens=True)["input_ids"][0]
    assert " ".join(tokenizer.convert_ids_to_tokens(out)) == f"[CLS] a [SEP] {bracketed} [SEP]"


def test_only_special_tokens_become_plain_text():
    added = [
        {"content": "[SEP]", "id": SEP, "special": True},
        {"content": "xyz", "id": 57, "special": False},
    ]
    tokenizer = WordPieceTokenizer(
        {**{t: i for i, t in enumerate(SPECIALS)}, **LETTERS}, added_tokens=added
    )
    assert shown(tokenizer, "[SEP]xyz", split_special_tokens=True).endswith("[UNK] xyz [SEP]")


@pytest.mark.parametrize("normalized", [False, True])
def test_offsets_leave_out_the_spaces_of_an_added_token_on_request(normalized):
    """As in MPNet, whose mask takes the white space before it."""
    tokens = {**{t: i for i, t in enumerate(SPECIALS)}, **LETTERS}
    flags = {"lstrip": True, "rstrip": True, "normalized": normalized, "special": True}
    added = [{"content": "xyz", "id": 57, **flags}]
    spans = {}
    for trims in (False, True):
        tokenizer = WordPieceTokenizer(tokens, added_tokens=added, trim_offsets=trims)
        found = tokenizer([" \txyz  a \u3000xyzxyz "], return_offsets_mapping=True)
        assert tokenizer.convert_ids_to_tokens(found["input_ids"][0])[1:-1] == [
            "xyz", "a", "xyz", "xyz",
        ]
        spans[trims] = found["offset_mapping"][0][1:-1].tolist()
    assert spans[False] == [[0, 7], [7, 8], [8, 13], [13, 17]]
    assert spans[True] == [[2, 5], [7, 8], [10, 13], [13, 16]]


def test_offsets_leave_out_what_stands_for_a_space_on_request():
    """The expected offsets are those of the tokenizers library with RobertaProcessing."""
    tokens = [*SPECIALS, "film", "the", "\u0120the", "\u0120", "\u0120\u0120", "##\u0120",
              "##\u0120s", "\u0120a", "a\u0120"]
    tokenizer = WordPieceTokenizer(
        tokens, lowercase=False, trim_offsets=True,
        added_tokens=[{"content": "\u0120add", "id": len(tokens), "special": True}],
    )
    expected = {
        "\u0120the film": [[1, 4], [5, 9]],
        "the \u0120 film": [[0, 3], [5, 5], [6, 10]],
        "film\u0120 film\u0120s": [[0, 4], [4, 4], [6, 10], [10, 12]],
        "\u0120\u0120": [[2, 2]],
        "\u0120a a\u0120 \u0120": [[1, 2], [3, 4], [7, 7]],
        "the \u0120add": [[0, 3], [5, 8]],
    }
    texts = list(expected)
    how = {"padding": False, "return_offsets_mapping": True}
    found = tokenizer(texts, **how)["offset_mapping"]
    assert [spans[1:-1].tolist() for spans in found] == list(expected.values())
    pairs = tokenizer(texts, texts, **how)["offset_mapping"]
    for spans, each in zip(pairs, expected.values(), strict=True):
        spans = spans.tolist()
        assert spans[1 : 1 + len(each)] == spans[-1 - len(each) : -1] == each


def test_threads_give_the_same_pairs_and_offsets(tokenizer):
    firsts = [f"ab c{'d ' * (i % 50)}é" for i in range(3000)]
    seconds = [f"x{'y z ' * (i % 31)}" for i in range(3000)]
    one, two = (
        tokenizer.encode_batch(
            firsts, seconds, max_length=30, return_offsets_mapping=True, n_threads=n
        )
        for n in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a, b)


MEMORY = """
from bertsent import WordPieceTokenizer

def peak():  # what getrusage says would begin with that of the parent
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])
text = "a " * 8_000_000
tokenizer.encode_batch(["a"], [text[:50_000]], max_length=8, truncation="tail")
before = peak()
for truncation in ("tail", "head+tail", "longest_first"):
    tokenizer.encode_batch([text], [text], max_length=512, truncation=truncation, n_threads=1)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to ask for memory")
def test_a_tail_takes_no_memory_for_what_is_left_out():
    """The pieces of each of these texts would take 31,250 kB."""
    grown = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True,
        cwd=Path(bertsent.__file__).resolve().parent.parent,
    ).stdout  # fmt: skip
    assert int(grown) < 12_000
