"""The tokenizer against the `tokenizers` library, if that is installed."""

import functools
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from bertsent.tokenizer.wordpiece import WordPieceTokenizer

tokenizers = pytest.importorskip("tokenizers")
sys.path.insert(0, str(Path(__file__).parent / "data" / "tokenizer"))
import material  # noqa: E402

SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = ["a", "b", "ab", "aba", "bb", "é", "中", "the", "un", "##a", "##b", "##ab", "##bab", "##é"]
PIECES += ["##aaa", "##bbb", "##the", "!", "[", "]", "##e", "e", "##中", "ᄀ", "##ᅡ", "##ᆨ", "ß"]


def both(pieces, lowercase=True, strip=None, chinese=True, added=()):
    """Make a tokenizer and its counterpart in the library."""
    names = material.SPECIALS + [p for p in pieces if p not in material.SPECIALS]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(names))}
    theirs = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    theirs.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lowercase
    )
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    theirs.add_special_tokens(material.SPECIALS)
    theirs.add_tokens([tokenizers.AddedToken(**token) for token in added])
    ours = WordPieceTokenizer(
        vocab, lowercase=lowercase, strip_accents=strip, tokenize_chinese_chars=chinese,
        added_tokens=[
            {
                "content": token.content, "id": id_, "single_word": token.single_word,
                "normalized": token.normalized, "special": token.special,
                "lstrip": token.lstrip, "rstrip": token.rstrip,
            }
            for id_, token in theirs.get_added_tokens_decoder().items()
        ],
    )  # fmt: skip
    return ours, theirs


def texts(pieces):
    """Draw random texts that are likely to find errors."""
    piece = st.one_of(
        st.text(max_size=20),
        st.sampled_from(pieces + material.SPECIALS + material.CASES + [" ", "\n", "A", "É"]),
        st.sampled_from(material.MARKS),
    )
    return st.lists(piece, max_size=12).map("".join)


def ids_of(ours, text):
    return ours._core.encode_batch([text], add_special=False)[0].tolist()


def theirs_of(theirs, text):
    return theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("mode", material.MODES)
def test_any_text(mode):
    ours, theirs = both(PIECES + list(".,'-?"), *material.MODES[mode])
    @SETTINGS
    @given(texts(PIECES))
    def check(text):
        assert ids_of(ours, text) == theirs_of(theirs, text)

    check()


def assert_same(ours, theirs, **options):
    """Compare ids, types and characters of one encoding with the library's."""
    got = ours(return_token_type_ids=True, return_offsets_mapping=True, padding=False, **options)
    assert got["input_ids"][0].tolist() == theirs.ids
    assert got["token_type_ids"][0].tolist() == theirs.type_ids
    assert [tuple(span) for span in got["offset_mapping"][0].tolist()] == theirs.offsets


@pytest.mark.parametrize("mode", material.MODES)
def test_the_characters_of_any_text(mode):
    ours, theirs = both(PIECES + list(".,'-?"), *material.MODES[mode])

    @SETTINGS
    @given(texts(PIECES))
    def check(text):
        expected = theirs.encode(text, add_special_tokens=False)
        assert_same(ours, expected, texts=[text], add_special_tokens=False)

    check()


@pytest.mark.parametrize("kind", ["added", "spaced"])
def test_the_characters_of_any_text_with_added_tokens(kind):
    added = getattr(material, f"{kind}_tokens")()
    ours, theirs = both(["foo", "##foo", "x", "bar", ".", "e", "##x", "中"], added=added)
    contents = [token["content"] for token in added]

    @SETTINGS
    @given(texts([*contents, *(c.upper() for c in contents), "foo", "\u3000"]), st.booleans())
    def check(text, plain):
        theirs.encode_special_tokens = plain
        expected = theirs.encode(text, add_special_tokens=False)
        assert_same(
            ours, expected, texts=[text], add_special_tokens=False, split_special_tokens=plain
        )

    check()


CUTS = {"longest_first": "right", "only_first": "right", "only_second": "right", "tail": "left"}


@SETTINGS
@given(
    first=texts(PIECES), second=st.none() | texts(PIECES), length=st.integers(0, 40),
    cut=st.sampled_from(list(CUTS)), special=st.booleans(),
)  # fmt: skip
def test_any_pair(first, second, length, cut, special):
    ours, theirs = peers_for_pairs()
    length += (3 if second is not None else 2) if special else 1
    if second is None and cut == "only_second":
        cut = "longest_first"
    strategy = "longest_first" if cut == "tail" else cut
    theirs.enable_truncation(length, strategy=strategy, direction=CUTS[cut])
    options = {
        "texts": [first], "text_pairs": None if second is None else [second],
        "max_length": length, "truncation": cut, "add_special_tokens": special,
    }  # fmt: skip
    try:
        expected = theirs.encode(first, second, add_special_tokens=special)
    except Exception as error:  # the library's error has no specific class
        assert "Truncation error" in str(error), error
        with pytest.raises(ValueError, match="cannot be cut"):
            ours(**options)
        return
    assert_same(ours, expected, **options)


@functools.cache
def peers_for_pairs():
    """Make a tokenizer and its peer that puts special tokens around texts."""
    ours, theirs = both(PIECES + list(".,'-?"))
    theirs.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, theirs.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )  # fmt: skip
    return ours, theirs


@SETTINGS
@given(
    vocab=st.lists(st.text("ab", min_size=1, max_size=6), max_size=12),
    tails=st.lists(st.text("ab", min_size=1, max_size=6), max_size=12),
    words=st.lists(st.text("abc", max_size=14), max_size=6),
)
def test_any_vocabulary(vocab, tails, words):
    """The trie with failure links finds the same as trying the longest piece first."""
    ours, theirs = both(vocab + ["##" + tail for tail in tails])
    text = " ".join(words)
    assert ids_of(ours, text) == theirs_of(theirs, text)


def test_words_over_a_real_alphabet():
    draw = random.Random(8)
    syllables = ["ka", "to", "ri", "nø", "шма", "ля", "字", "xyz", "e", "i"]
    vocab = ["".join(draw.choices(syllables, k=draw.choice((1, 2, 3, 5)))) for _ in range(300)]
    ours, theirs = both(vocab + ["##" + piece for piece in vocab[:200] + syllables])
    for _ in range(500):
        text = " ".join(
            "".join(draw.choices(syllables, k=draw.choice((1, 3, 8, 50)))) for _ in range(8)
        )
        assert ids_of(ours, text) == theirs_of(theirs, text)


def test_added_tokens_of_every_kind():
    added = material.added_tokens()
    ours, theirs = both(["foo", "##foo", "x", "bar", ".", "e", "##x", "中"], added=added)
    for text in material.added_texts():
        assert ids_of(ours, text) == theirs_of(theirs, text), ascii(text)


def test_tables_agree_with_the_installed_library():
    """Names characters that differ in a newer library: then generate the tables again."""
    ours, theirs = both(["a"])
    mine, normalize = ours._core.normalize, theirs.normalizer.normalize_str
    differ = [
        hex(ord(char))
        for char in material.SCALARS
        if mine(f"A{char}b") != normalize(f"A{char}b")
    ]
    version = tokenizers.__version__
    assert not differ, f"{len(differ)} differ from tokenizers {version}: {differ[:9]}"
