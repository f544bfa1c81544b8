"""The public behaviour of WordPieceTokenizer."""

import json
import pickle
import random
import shutil
import threading
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from bertsent.errors import CheckpointError
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "good", "##ness", "un", "##afford", "##able", "cafe", ".", ",", "!", "'", "s"]
PAD, UNK, CLS, SEP, MASK, THE, GOOD, NESS = range(8)


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(SPECIALS + WORDS, model_max_length=64)


def rows(encoding):
    return [encoding.ids[a:b].tolist() for a, b in pairwise(encoding.offsets)]


def test_texts_become_ids_without_padding(tokenizer):
    encoding = tokenizer.encode_batch(["The goodness", "", "unaffordable!"])
    assert rows(encoding) == [[CLS, THE, GOOD, NESS, SEP], [CLS, SEP], [CLS, 8, 9, 10, 14, SEP]]
    assert encoding.ids.dtype == np.int32
    assert encoding.offsets.tolist() == [0, 5, 7, 13]
    assert encoding.truncated.tolist() == [False] * 3


def test_max_length_counts_special_tokens_and_tells_who_was_cut(tokenizer):
    encoding = tokenizer.encode_batch(["the the the", "the the  \n", "the", ""], max_length=4)
    assert rows(encoding) == [
        [CLS, THE, THE, SEP], [CLS, THE, THE, SEP], [CLS, THE, SEP], [CLS, SEP]
    ]  # fmt: skip
    assert encoding.truncated.tolist() == [True, False, False, False]
    assert rows(tokenizer.encode_batch(["the"], max_length=2)) == [[CLS, SEP]]


def test_a_word_can_be_cut_between_its_pieces(tokenizer):
    encoding = tokenizer.encode_batch(["unaffordable"], max_length=4)
    assert rows(encoding) == [[CLS, 8, 9, SEP]]
    assert encoding.truncated.all()


def test_what_follows_the_cut_is_not_read(tokenizer):
    assert rows(tokenizer.encode_batch(["the " * 9000 + "\ud800"], max_length=8))
    with pytest.raises(ValueError, match="lone surrogate U.D800 at character 36000"):
        tokenizer.encode_batch(["the " * 9000 + "\ud800"])


@pytest.mark.parametrize("bad", [1, 0, -5])
def test_a_max_length_without_room_is_refused(tokenizer, bad):
    with pytest.raises(ValueError, match="max_length"):
        tokenizer.encode_batch(["the"], max_length=bad)


def test_the_huggingface_manner_pads(tokenizer):
    out = tokenizer(["the good", "the"])
    assert out["input_ids"].tolist() == [[CLS, THE, GOOD, SEP], [CLS, THE, SEP, PAD]]
    assert out["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert out["input_ids"].dtype == np.int64
    out = tokenizer(["the good"], max_length=6, padding="max_length")
    assert out["input_ids"].shape == (1, 6)
    out = tokenizer(["the good", "the"], padding=False)
    assert [row.tolist() for row in out["input_ids"]] == [[CLS, THE, GOOD, SEP], [CLS, THE, SEP]]
    assert tokenizer(["the good"], max_length=3)["input_ids"].shape == (1, 3)
    assert tokenizer(["the good"], max_length=3, truncation=False)["input_ids"].shape == (1, 4)
    assert tokenizer([])["input_ids"].shape == (0, 0)
    with pytest.raises(ValueError, match="padding"):
        tokenizer(["the"], padding="left")


def test_tokenize_and_decode(tokenizer):
    assert tokenizer.tokenize("Unaffordable Café, xyz [MASK]") == [
        "un", "##afford", "##able", "cafe", ",", "[UNK]", "[MASK]"
    ]  # fmt: skip
    ids = tokenizer.encode_batch(["The goodness, the café's!"]).ids
    assert tokenizer.decode(ids) == "[CLS] the goodness, the cafe ' s! [SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the goodness, the cafe ' s!"
    assert tokenizer.decode([]) == ""
    with pytest.raises(IndexError, match="17"):
        tokenizer.decode([17])
    with pytest.raises(TypeError):
        tokenizer.tokenize(["the"])


def test_ids_and_tokens_are_looked_up(tokenizer):
    assert tokenizer.convert_ids_to_tokens([GOOD, NESS]) == ["good", "##ness"]
    assert tokenizer.convert_tokens_to_ids(["good", "nothing"]) == [GOOD, UNK]
    assert (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id) == (2, 3, 0)
    assert (tokenizer.unk_token, tokenizer.mask_token_id) == ("[UNK]", 4)
    assert tokenizer.vocab_size == len(tokenizer) == 17
    assert tokenizer.get_vocab()["the"] == THE


@pytest.mark.parametrize(
    "texts",
    [
        ("the good", "the"),
        pd.Series(["the good", "the"], index=[7, 8]),
        pd.Series(["the good", "the"], dtype=object),
        pd.Series(["the good", "the"], dtype="category"),
        pd.Index(["the good", "the"]),
        np.array(["the good", "the"]),
        np.array(["the good", "the"], dtype=object),
        iter(["the good", "the"]),
        dict.fromkeys(["the good", "the"]).keys(),
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_texts_come_in_many_containers(tokenizer, texts):
    assert rows(tokenizer.encode_batch(texts)) == [[CLS, THE, GOOD, SEP], [CLS, THE, SEP]]


def test_arrow_strings(tokenizer):
    pa = pytest.importorskip("pyarrow")
    expected = [[CLS, THE, GOOD, SEP], [CLS, THE, SEP]]
    values = ["the good", "the"]
    for texts in (
        pa.array(values),
        pa.array(values, pa.large_string()),
        pa.array(["x", *values])[1:],
        pa.chunked_array([values[:1], values[1:]]),
        pd.Series(values, dtype="string[pyarrow]"),
        pd.Series(values, dtype=pd.ArrowDtype(pa.string())),
    ):
        assert rows(tokenizer.encode_batch(texts)) == expected


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (None, "None"), (float("nan"), r"float \(nan\)"), (3, r"int \(3\)"), (b"the", "bytes"),
        (pd.NA, "NAType"), (["the"], "list"),
    ],
)  # fmt: skip
def test_what_is_not_a_text_is_named(tokenizer, item, said):
    with pytest.raises(TypeError, match=rf"texts\[1\]: expected str, got {said}"):
        tokenizer.encode_batch(["the", item])


@pytest.mark.parametrize("dtype", [object, "string[pyarrow]"])
def test_a_missing_value_of_a_series_is_named_by_its_row(tokenizer, dtype):
    if isinstance(dtype, str):
        pytest.importorskip("pyarrow")
    series = pd.Series(["the", "good", None], index=["x", "y", "row 3"], dtype=dtype)
    with pytest.raises(TypeError, match=r"texts\[2\], row 'row 3': expected str"):
        tokenizer.encode_batch(series)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ("the", r"pass a list, \[text\]"),
        (b"the", r"pass a list, \[text\]"),
        (pd.DataFrame({"review": ["the"]}), "pass one column"),
        (np.array([["the"]]), "pass one column"),
        ({"the": 1}, "dict"),
        (5, "int"),
        (None, "NoneType"),
    ],
)
def test_what_holds_no_texts_is_refused(tokenizer, texts, said):
    with pytest.raises(TypeError, match=said):
        tokenizer.encode_batch(texts)


@pytest.mark.parametrize("text", ["a\ud800", "\udfff", "\U0001f600\udc00b"])
def test_lone_surrogates_are_named(tokenizer, text):
    with pytest.raises(ValueError, match=r"texts\[2\]: lone surrogate U\+D[89A-F]"):
        tokenizer.encode_batch(["the", "good", text, "the", text], n_threads=2)


def test_special_tokens_can_be_taken_as_plain_text(tokenizer):
    found = tokenizer._core.encode_batch(["[SEP]the"], add_special=False)[0]
    plain = tokenizer._core.encode_batch(["[SEP]the"], add_special=False, plain_specials=True)[0]
    assert found.tolist() == [SEP, THE]
    assert plain.tolist() == [UNK, UNK, UNK, THE]


@pytest.mark.parametrize("before", range(4091, 4097))
def test_a_special_token_as_plain_text_can_lie_across_two_stretches(tokenizer, before):
    """Under the sanitizers, this also finds reads beyond the text."""
    texts = ["." * before + "[SEP]", "." * before + "[SEP]" + "the" * 900 + "[MASK]"]
    encoding = tokenizer.encode_batch(texts, split_special_tokens=True)
    assert rows(encoding) == [
        [CLS] + [12] * before + [UNK] * 3 + [SEP],
        [CLS] + [12] * before + [UNK] * 7 + [SEP],
    ]


MEGA = 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x" * MEGA, [UNK]),
        ("é" * MEGA + " the", [UNK, THE]),
        ("\u0301" * MEGA + "the" + "\u0301" * MEGA, [THE]),
        ("a" + "\u302e\U0001d165" * (MEGA // 4) + " the", [UNK, THE]),
        (" " * MEGA + "the" + "\n" * MEGA, [THE]),
        ("[" * MEGA, [UNK] * MEGA),
        ("[SEP" * (MEGA // 4), [UNK] * (MEGA // 2)),
        ("[SEP]" * (MEGA // 5), [SEP] * (MEGA // 5)),
        (("x" * 99 + " ") * (MEGA // 100), [UNK] * (MEGA // 100)),
        ("the" * 33 + " good" * (MEGA // 5), [UNK] + [GOOD] * (MEGA // 5)),
        ("中" * MEGA, [UNK] * MEGA),
    ],
    ids=lambda value: ascii(value[:9]) if isinstance(value, str) else "",
)
def test_megabytes(tokenizer, text, expected):
    """These would take forever if time grew with the square of the length."""
    ids = tokenizer._core.encode_batch([text], add_special=False)[0]
    assert ids.tolist() == expected
    short = tokenizer.encode_batch([text], max_length=4)
    assert rows(short) == [[CLS, *expected[:2], SEP]]
    assert short.truncated[0] == (len(expected) > 2)


def test_a_vocabulary_made_to_be_slow():
    pieces = ["a" * n for n in range(1, 100)] + ["##" + "a" * n for n in range(2, 100, 2)]
    tokenizer = WordPieceTokenizer(SPECIALS + pieces + ["##" + "a" * 60 + "b"])
    text = ("a" * 99 + "b ") * 20_000
    assert tokenizer.encode_batch([text]).ids.tolist() == [CLS] + [UNK] * 20_000 + [SEP]


def test_threads_give_the_same_ids(tokenizer):
    texts = [f"the good {'the ' * (i % 50)}{i}" for i in range(5000)] + [""] * 100
    one, two = (tokenizer.encode_batch(texts, max_length=20, n_threads=n) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a, b)


def test_one_tokenizer_serves_many_threads(tokenizer):
    texts = ["the goodness of the café, unaffordable!"] * 2000
    expected = tokenizer.encode_batch(texts).ids
    wrong = []

    def work():
        for _ in range(5):
            if not np.array_equal(tokenizer.encode_batch(texts, n_threads=2).ids, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pickle(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert rows(copy.encode_batch(["The goodness"])) == [[CLS, THE, GOOD, NESS, SEP]]
    assert copy.model_max_length == 64


@pytest.mark.parametrize("name", ["unk_token", "cls_token", "sep_token"])
def test_a_vocabulary_without_the_needed_tokens_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} is '.nothing.'"):
        WordPieceTokenizer(SPECIALS, **{name: "[nothing]"})


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"vocab": "abc"}, TypeError, "got str"),
        ({"vocab": [*SPECIALS, 5]}, TypeError, "got int"),
        ({"vocab": {"[UNK]": -1}}, ValueError, "must be 0 or more"),
        ({"vocab": {"[UNK]": 1 << 40}}, ValueError, "far too large for 1 token"),
        ({"vocab": map(str, range(2**20 + 1))}, ValueError, "1,048,577 tokens are too many"),
        ({"vocab": [*SPECIALS, "a\ud800"]}, ValueError, "surrogate"),
        ({"vocab": SPECIALS, "max_word_chars": 0}, ValueError, "max_word_chars"),
    ],
)
def test_bad_vocabularies(options, error, said):
    with pytest.raises(error, match=said):
        WordPieceTokenizer(**options)


def test_a_vocabulary_may_have_holes_and_doubles():
    tokenizer = WordPieceTokenizer({**{t: i for i, t in enumerate(SPECIALS)}, "the": 9})
    assert rows(tokenizer.encode_batch(["the"])) == [[CLS, 9, SEP]]
    assert tokenizer.vocab_size == 10
    with pytest.raises(IndexError):
        tokenizer.decode([7])


def test_short_words_only():
    tokenizer = WordPieceTokenizer([*SPECIALS, "the", "goodness", "good"], max_word_chars=4)
    assert rows(tokenizer.encode_batch(["the goodness good"])) == [[CLS, 5, UNK, 7, SEP]]


def longest_pieces(word, vocabulary):
    """Return the ids of a word's pieces, the longest first, or [UNK]."""
    ids, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in vocabulary), None)
        if end is None:
            return [UNK]
        ids.append(vocabulary[prefix + word[start:end]])
        start = end
    return ids


def test_pieces_are_the_longest_that_there_are():
    """Words of up to 16 bytes and longer ones are split by different code."""
    draw, seen = random.Random(0), set()
    for _ in range(30):
        letters = draw.choice(["ab", "abcdefghij", "aж", "a中b"])

        def word(most, letters=letters):
            return "".join(draw.choices(letters, k=draw.randint(1, most)))

        pieces = {word(draw.choice((3, 20))) for _ in range(60)} | set(letters[1:])
        pieces |= {"##" + word(draw.choice((2, 20))) for _ in range(60)} | {"##" + letters[0]}
        vocabulary = {piece: i for i, piece in enumerate(SPECIALS + sorted(pieces))}
        tokenizer = WordPieceTokenizer(vocabulary, tokenize_chinese_chars=False)
        words = [word(24) for _ in range(300)]
        expected = [longest_pieces(w, vocabulary) for w in words]
        seen |= {0 if ids == [UNK] else len(ids) for ids in expected}
        assert [row[1:-1] for row in rows(tokenizer.encode_batch(words))] == expected
        assert rows(tokenizer.encode_batch([" ".join(words)])) == [
            [CLS, *(i for ids in expected for i in ids), SEP]
        ]
    assert seen >= {0, 1, 2, 3, 4, 5}


def test_words_that_begin_alike_are_not_mistaken_for_each_other():
    """Split words are cached by a hash; these are enough for collisions."""
    digits = [f"##{i}" for i in range(10)]
    tokenizer = WordPieceTokenizer([*SPECIALS, "abcdefgh", *digits])
    numbers = [f"{i:04}" for i in range(2000)] * 2
    text = " ".join("abcdefgh" + number for number in numbers)
    expected = [i for number in numbers for i in (5, *(6 + int(digit) for digit in number))]
    assert rows(tokenizer.encode_batch([text])) == [[CLS, *expected, SEP]]


def test_a_word_of_the_vocabulary_can_be_too_long():
    words = ["loud", "louder", "##er", "été", "étés"]
    tokenizer = WordPieceTokenizer([*SPECIALS, *words], max_word_chars=5, strip_accents=False)
    texts = ["loud", "louder", "été", "étés", "étéser"]
    assert [row[1:-1] for row in rows(tokenizer.encode_batch(texts))] == [
        [5], [UNK], [8], [9], [UNK]
    ]  # fmt: skip


@pytest.mark.parametrize("normalized", [False, True])
def test_white_space_is_no_token_where_the_token_before_has_taken_it(normalized):
    """As in the library; found by the fuzzer."""
    added = [
        {"content": "<x>", "id": 4, "rstrip": True},
        {"content": "\u3000", "id": 5, "lstrip": True},
        {"content": "never", "id": 6, "normalized": normalized},
    ]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    tokenizer = WordPieceTokenizer(
        ["[UNK]", "[CLS]", "[SEP]", "the", "<x>", "\u3000", "never"],
        added_tokens=[{**flags, **token} for token in added],
    )
    taken = tokenizer.encode_batch(["<x> \u3000the"], return_offsets_mapping=True)
    assert taken.ids.tolist() == [1, 4, 3, 2]
    assert taken.offset_mapping.tolist() == [[0, 0], [0, 5], [5, 8], [0, 0]]
    left = tokenizer.encode_batch(["the \u3000the"], return_offsets_mapping=True)
    assert left.ids.tolist() == [1, 3, 5, 3, 2]
    assert left.offset_mapping.tolist() == [[0, 0], [0, 3], [3, 5], [5, 8], [0, 0]]


@pytest.mark.parametrize("normalized", [False, True])
def test_tokens_of_white_space_that_take_white_space(normalized):
    """Each takes all that follows; its end must not be searched for again."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    tokenizer = WordPieceTokenizer(
        ["[UNK]", "[CLS]", "[SEP]", "the", "\u3000", "never"],
        added_tokens=[
            {**flags, "content": "\u3000", "id": 4, "rstrip": True},
            {**flags, "content": "never", "id": 5, "normalized": normalized},
        ],
    )
    text = "\u3000 \u3000the\u3000\u3000 the"
    taken = tokenizer.encode_batch([text], return_offsets_mapping=True)
    assert taken.ids.tolist() == [1, 4, 4, 3, 4, 4, 3, 2]
    spans = [(0, 0), (0, 3), (2, 3), (3, 6), (6, 9), (7, 9), (9, 12), (0, 0)]
    assert [tuple(span) for span in taken.offset_mapping.tolist()] == spans
    last = tokenizer.encode_batch(["the\u3000 \u3000"], return_offsets_mapping=True)
    assert last.ids.tolist() == [1, 3, 4, 4, 2]
    spans = [(0, 0), (0, 3), (3, 6), (5, 6), (0, 0)]
    assert [tuple(span) for span in last.offset_mapping.tolist()] == spans
    many = tokenizer.encode_batch(["\u3000" * 200_000 + "the"], max_length=300_000)
    assert many.ids.tolist() == [1, *[4] * 200_000, 3, 2]


@pytest.fixture
def saved(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def change(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        content[key] = value
    path.write_text(json.dumps(content))


def test_saved_files_are_read_back(tokenizer, saved):
    assert sorted(p.name for p in saved.iterdir()) == [
        "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"
    ]  # fmt: skip
    assert WordPieceTokenizer.from_pretrained(saved)._settings == tokenizer._settings
    (saved / "tokenizer.json").unlink()
    assert WordPieceTokenizer.from_files(saved)._settings == tokenizer._settings


def test_vocab_txt_alone_will_do(tokenizer, saved, tmp_path):
    (tmp_path / "alone").mkdir()
    shutil.copy(saved / "vocab.txt", tmp_path / "alone")
    alone = WordPieceTokenizer.from_files(tmp_path / "alone")
    assert rows(alone.encode_batch(["Café [SEP]"])) == [[CLS, 11, SEP, SEP]]


def test_switches_survive_saving(tmp_path):
    tokenizer = WordPieceTokenizer(
        [*SPECIALS, "Café", "中文"],
        lowercase=False,
        tokenize_chinese_chars=False,
        max_word_chars=50,
    )
    tokenizer.save_pretrained(tmp_path / "cased")
    again = WordPieceTokenizer.from_files(tmp_path / "cased")
    assert rows(again.encode_batch(["Café 中文 café"])) == [[CLS, 5, 6, UNK, SEP]]
    assert again._settings == tokenizer._settings


def test_truncation_and_padding_in_the_file_do_not_bind(tokenizer, saved):
    change(
        saved / "tokenizer.json",
        truncation={"max_length": 3, "strategy": "LongestFirst", "stride": 0},
        padding={"strategy": {"Fixed": 128}},
    )
    again = WordPieceTokenizer.from_files(saved)
    assert rows(again.encode_batch(["the the the"])) == [[CLS, THE, THE, THE, SEP]]


def test_a_tokenizer_that_is_there_is_not_overwritten_unasked(tokenizer, saved):
    with pytest.raises(FileExistsError):
        tokenizer.save_pretrained(saved)
    tokenizer.save_pretrained(saved, overwrite=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "as a byte-level BPE one"),
        ({"model": {"type": "Unigram", "vocab": []}}, "its model is Unigram"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer is Lowercase"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 2}}, "NFC and NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer is Whitespace"),
        ({"post_processor": {"type": "ByteLevel"}}, "post-processor is ByteLevel"),
        ({"post_processor": {"type": "TemplateProcessing", "single": []}}, "one special token"),
    ],
)
def test_other_tokenizers_are_refused(saved, changes, said):
    change(saved / "tokenizer.json", **changes)
    with pytest.raises(CheckpointError, match=f"is not a tokenizer like that of BERT or .*{said}"):
        WordPieceTokenizer.from_files(saved)


def test_other_files_are_refused(saved, tmp_path):
    (saved / "tokenizer.json").unlink()
    change(saved / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer")
    with pytest.raises(CheckpointError, match="its class is BertJapaneseTokenizer"):
        WordPieceTokenizer.from_files(saved)
    (saved / "tokenizer_config.json").unlink()
    (saved / "vocab.txt").write_text("[PAD]\n[UNK]\nthe\n")
    with pytest.raises(CheckpointError, match=r"has no \[CLS\]"):
        WordPieceTokenizer.from_files(saved)
    (saved / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    with pytest.raises(CheckpointError, match="not UTF-8"):
        WordPieceTokenizer.from_files(saved)
    (saved / "vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match="neither tokenizer.json nor vocab.txt"):
        WordPieceTokenizer.from_files(saved)
    (saved / "merges.txt").write_text("")
    with pytest.raises(CheckpointError, match="contains merges.txt, but not vocab.json"):
        WordPieceTokenizer.from_files(saved)
    (saved / "merges.txt").rename(saved / "bpe.codes")
    with pytest.raises(CheckpointError, match="a BERTweet tokenizer .* roberta-base is the near"):
        WordPieceTokenizer.from_files(saved)
    with pytest.raises(FileNotFoundError, match="not a directory"):
        WordPieceTokenizer.from_files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"added_tokens": [{"content": "x", "id": -1}]}, "the id of 'x' is -1; must be 0 or more"),
        ({"added_tokens": [{"content": "x", "id": "1"}]}, "the id of 'x' is '1'"),
        ({"added_tokens": [{"content": "", "id": 1}]}, "content must be a text, got ''"),
        ({"added_tokens": [{"id": 1}]}, "content must be a text, got None"),
        ({"added_tokens": [{"content": "x", "id": 5}] * 2}, "two of them have the same content"),
        (
            {"added_tokens": [{"content": c, "id": 5, "normalized": True} for c in ("Ö", "o")]},
            "'Ö' and 'o' are the same after normalization, 'o'",
        ),
    ],
)
def test_added_tokens_are_checked(options, said):
    with pytest.raises(ValueError, match=f"added_tokens: .*{said}"):
        WordPieceTokenizer(SPECIALS + WORDS, **options)
    with pytest.raises(ValueError, match="vocab: two tokens have the same id"):
        WordPieceTokenizer({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 2})


@pytest.mark.parametrize("content", ["", "[]", "{", '{"model": {"vocab": {}}', "{}"])
def test_broken_files_are_refused(saved, content):
    (saved / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match="tokenizer.json"):
        WordPieceTokenizer.from_files(saved)
