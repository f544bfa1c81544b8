"""Pieces of texts, and which of their tokens are masked."""

import numpy as np
import pytest
from conftest import tiny_vocabulary
from family_models import BYTE_LEVEL

from bertsent import Tokenizer
from bertsent.pretraining.masking import FIXED, Masker, cut_pieces
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

TEXTS = [
    "the actor was enjoying the slow film", "", "a zebra", "watch it", "   ",
    "[SEP] never say [MASK] xyz " * 9,
]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer(tiny_vocabulary())


def split(pieces):
    return np.split(pieces.ids, pieces.offsets[1:-1])


@pytest.mark.parametrize("max_length", [3, 4, 7, 16, 1000])
def test_pieces_hold_every_token_once_and_in_order(tokenizer, max_length):
    encoded = tokenizer.encode_batch(TEXTS)
    pieces = cut_pieces(encoded.ids, encoded.offsets, max_length)
    texts = np.split(encoded.ids, encoded.offsets[1:-1])
    inner = [piece[1:-1].tolist() for piece in split(pieces)]
    for piece in split(pieces):
        assert 3 <= len(piece) <= max_length
        assert (piece[0], piece[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    for text in texts:
        wanted, found = text[1:-1].tolist(), []
        sizes = []
        while len(found) < len(wanted):
            sizes.append(len(inner[0]))
            found += inner.pop(0)
        assert found == wanted
        if sizes:
            assert len(sizes) == -(-len(wanted) // (max_length - 2))
            assert max(sizes) - min(sizes) <= 1
    assert not inner


def test_no_text_no_piece(tokenizer):
    encoded = tokenizer.encode_batch(["", " "])
    pieces = cut_pieces(encoded.ids, encoded.offsets, 8)
    assert pieces.ids.size == 0 and pieces.offsets.tolist() == [0]


def make_pieces(tokenizer, n=400):
    rng = np.random.default_rng(0)
    words = ["the", "film", "zebra", "actors", "boringly", "!", "watching", "qq", "[SEP]"]
    texts = [" ".join(rng.choice(words, rng.integers(1, 40))) for _ in range(n)]
    encoded = tokenizer.encode_batch(texts)
    return cut_pieces(encoded.ids, encoded.offsets, 64)


def hide(masker, pieces, rows, epoch=0):
    parts = [pieces.ids[pieces.offsets[row] : pieces.offsets[row + 1]] for row in rows]
    ids = np.concatenate(parts)
    cu = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    before = ids.copy()
    tokens, labels = masker.hide(ids, cu, rows, epoch)
    np.testing.assert_array_equal(labels, before[tokens])
    others = np.setdiff1d(np.arange(len(ids)), tokens)
    np.testing.assert_array_equal(ids[others], before[others])
    assert (np.diff(tokens) > 0).all()
    assert tokens.dtype == np.int64 and labels.dtype == np.int32
    return ids, before, tokens, cu


def word_sizes(names):
    sizes, inside = [], False
    for name in names:
        if name.startswith("##") and inside:
            sizes[-1] += 1
        elif not name.startswith("["):
            sizes.append(1)
        inside = not name.startswith("[")
    return sizes


def test_whole_words_are_chosen_and_special_tokens_never(tokenizer):
    pieces = make_pieces(tokenizer)
    ids, before, tokens, cu = hide(Masker(tokenizer, 0.15, 5), pieces, range(400))
    chosen = np.zeros(len(ids), dtype=bool)
    chosen[tokens] = True
    names = tokenizer.convert_ids_to_tokens(before)
    special = np.array([name.startswith("[") for name in names])
    assert special.any() and not chosen[special].any()
    for i in range(1, len(ids)):
        if names[i].startswith("##") and not special[i - 1] and i not in cu:
            assert chosen[i] == chosen[i - 1]
    # In each piece the requested number of tokens, or fewer by less than a word.
    for begin, end in zip(cu[:-1], cu[1:], strict=True):
        plain = int((~special[begin:end]).sum())
        wanted, found = max(1, round(0.15 * plain)), int(chosen[begin:end].sum())
        if found > wanted:  # only if every word is longer
            assert min(word_sizes(names[begin:end])) > wanted
        assert (found > 0) == (plain > 0)
    assert 0.13 < chosen.sum() / (~special).sum() < 0.17


def test_a_word_cut_in_two_is_a_word_on_either_side(tokenizer):
    ids = np.array(
        tokenizer.convert_tokens_to_ids(["[CLS]", "##ing", "##s", "the", "[SEP]", "##ly", "[SEP]"]),
        dtype=np.int32,
    )
    masker = Masker(tokenizer, 0.15, 0)
    seen = set()
    for epoch in range(60):
        tokens, _ = masker.hide(ids.copy(), np.array([0, 7]), [0], epoch)
        seen.add(tuple(tokens))
    # One token is requested: a word of two is too long.
    assert seen == {(3,), (5,)}


def test_a_single_long_word_is_chosen_all_the_same(tokenizer):
    ids = np.array(
        tokenizer.convert_tokens_to_ids(["[CLS]", "z", "##e", "##b", "##r", "[SEP]"]), np.int32
    )
    tokens, _ = Masker(tokenizer, 0.15, 0).hide(ids.copy(), np.array([0, 6]), [0], 0)
    assert tokens.tolist() == [1, 2, 3, 4]


def test_only_special_tokens_leave_nothing_to_hide(tokenizer):
    ids = np.array(tokenizer.convert_tokens_to_ids(["[CLS]", "[MASK]", "[SEP]"]), np.int32)
    tokens, labels = Masker(tokenizer, 0.15, 0).hide(ids, np.array([0, 3]), [0], 0)
    assert tokens.size == 0 and labels.size == 0


def test_four_fifths_are_hidden_and_a_tenth_is_replaced(tokenizer):
    pieces = make_pieces(tokenizer, 3000)
    ids, before, tokens, _ = hide(Masker(tokenizer, 0.3, 1), pieces, range(3000))
    after, was = ids[tokens], before[tokens]
    hidden = after == tokenizer.mask_token_id
    same = after == was
    assert len(tokens) > 10_000
    assert abs(hidden.mean() - 0.8) < 0.02
    assert abs(same.mean() - 0.1) < 0.02
    drawn = after[~hidden & ~same]
    assert not np.isin(drawn, tokenizer.all_special_ids).any()
    # From the whole vocabulary, not only from the tokens in the texts.
    assert len(np.unique(drawn)) > 0.9 * (tokenizer.vocab_size - 5)


def test_what_is_drawn_depends_on_seed_epoch_and_piece_alone(tokenizer):
    pieces = make_pieces(tokenizer, 50)
    masker = Masker(tokenizer, 0.15, 7)

    def drawn(masker, rows, epoch=0):
        ids, _, _, cu = hide(masker, pieces, rows, epoch)
        return dict(zip(rows, map(bytes, np.split(ids, cu[1:-1])), strict=True))

    whole = drawn(masker, range(50))
    part = drawn(Masker(tokenizer, 0.15, 7), [31, 2, 17])
    assert all(part[row] == whole[row] for row in part)
    for other in (drawn(masker, range(50), 1), drawn(Masker(tokenizer, 0.15, 8), range(50)),
                  drawn(masker, range(50), FIXED)):
        assert sum(other[row] != whole[row] for row in whole) > 40
    # The same text at another place is another piece.
    same = np.tile(pieces.ids[: pieces.offsets[1]], 2)
    masker.hide(same, np.array([0, len(same) // 2, len(same)]), [0, 1], 0)
    assert bytes(same[: len(same) // 2]) == whole[0]
    twins = [np.repeat(pieces.ids[None, : pieces.offsets[1]], 20, 0).reshape(-1)]
    masker.hide(twins[0], np.arange(21) * pieces.offsets[1], range(20), 0)
    assert len({bytes(row) for row in twins[0].reshape(20, -1)}) > 1


def test_a_word_of_bytes_is_letters_or_digits_or_other_characters():
    """Each word alone is chosen if all of its tokens fit, and no part of it is."""
    tokenizer = Tokenizer.from_files(BYTE_LEVEL)
    ids = np.array(tokenizer.encode("unaffably 1234, naïve film's!! 😀<mask>ing"), np.int32)
    names = tokenizer.convert_ids_to_tokens(ids)
    before, after = tokenizer._joints()
    joined = (before[ids[1:]] & after[ids[:-1]] > 0).tolist()
    words, special = [[names[0]]], {"<s>", "</s>", "<mask>"}
    for last, name, same in zip(names, names[1:], joined, strict=False):
        if same and not {last, name} & special:
            words[-1].append(name)
        else:
            words.append([name])
    assert [tokenizer.decode(tokenizer.convert_tokens_to_ids(word)) for word in words] == [
        "<s>", "unaffably", " 1234", ",", " naïve", " film", "'s", "!!", " 😀", "<mask>", "ing",
        "</s>",
    ]
    masker = Masker(tokenizer, 1.0, 0)
    tokens, _ = masker.hide(ids.copy(), np.array([0, len(ids)]), [0], 0)
    chosen = [name in special for name in names]
    assert tokens.tolist() == [i for i, skipped in enumerate(chosen) if not skipped]
