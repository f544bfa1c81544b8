"""The tokenizer side by side with the `tokenizers` library, where that is installed."""

import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertsent.tokenizer import WordPieceTokenizer

tokenizers = pytest.importorskip("tokenizers")
sys.path.insert(0, str(Path(__file__).parent / "data" / "tokenizer"))
import material  # noqa: E402

SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = ["a", "b", "ab", "aba", "bb", "é", "中", "the", "un", "##a", "##b", "##ab", "##bab", "##é"]
PIECES += ["##aaa", "##bbb", "##the", "!", "[", "]", "##e", "e", "##中", "ᄀ", "##ᅡ", "##ᆨ", "ß"]


def both(pieces, lowercase=True, strip=None, chinese=True, added=()):
    """Make the same tokenizer twice."""
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
            }
            for id_, token in theirs.get_added_tokens_decoder().items()
        ],
    )  # fmt: skip
    return ours, theirs


def ids_of(ours, text):
    return ours._core.encode_batch([text], add_special=False)[0].tolist()


def theirs_of(theirs, text):
    return theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("mode", material.MODES)
def test_any_text(mode):
    ours, theirs = both(PIECES + list(".,'-?"), *material.MODES[mode])
    piece = st.one_of(
        st.text(max_size=20),
        st.sampled_from(PIECES + material.SPECIALS + material.CASES + [" ", "\n", "A", "É"]),
        st.sampled_from(material.MARKS),
    )

    @SETTINGS
    @given(st.lists(piece, max_size=12).map("".join))
    def check(text):
        assert ids_of(ours, text) == theirs_of(theirs, text)

    check()


@SETTINGS
@given(
    vocab=st.lists(st.text("ab", min_size=1, max_size=6), max_size=12),
    tails=st.lists(st.text("ab", min_size=1, max_size=6), max_size=12),
    words=st.lists(st.text("abc", max_size=14), max_size=6),
)
def test_any_vocabulary(vocab, tails, words):
    """The trie with failure links finds what trying the longest first finds."""
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
    """Says which characters differ when the library has moved on: generate the tables again."""
    ours, theirs = both(["a"])
    mine, normalize = ours._core.normalize, theirs.normalizer.normalize_str
    differ = [
        hex(ord(char))
        for char in material.SCALARS
        if mine(f"A{char}b") != normalize(f"A{char}b")
    ]
    version = tokenizers.__version__
    assert not differ, f"{len(differ)} differ from tokenizers {version}: {differ[:9]}"
