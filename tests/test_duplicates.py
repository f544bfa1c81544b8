"""Near-duplicates: exactly those of the definition, however the work is divided."""

import numpy as np
import pytest

from bertsent.audit import duplicates
from bertsent.audit.duplicates import find_similar, similar_pairs

LONG = "the quick brown fox jumps over the lazy dog and then sleeps in the warm sun all day"


def shingles(text):
    words = ["<", *text.split(), ">"]
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def plain_pairs(texts, threshold):
    """All pairs, by the definition."""
    sets = [shingles(text) for text in texts]
    found = {}
    for i in range(len(texts)):
        for j in range(i + 1, len(texts)):
            both, either = len(sets[i] & sets[j]), len(sets[i] | sets[j])
            if either and both / either >= threshold:
                found[i, j] = both / either
    return found


def make_copies(n=120, seed=0):
    """Texts of common words, most of them retouched copies of earlier ones."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(30)]
    texts = []
    for _ in range(n):
        if texts and rng.random() < 0.7:
            copy = texts[rng.integers(len(texts))].split()
            for _ in range(rng.integers(0, 4)):
                copy.insert(rng.integers(len(copy) + 1), rng.choice(words))
        else:
            copy = rng.choice(words, rng.integers(0, 25)).tolist()
        texts.append(" ".join(copy))
    return texts


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("rows_at_once", [256, 7])
def test_pairs_are_those_of_the_definition(monkeypatch, threshold, rows_at_once):
    monkeypatch.setattr(duplicates, "_ROWS", rows_at_once)
    monkeypatch.setattr(duplicates, "_SHINGLES", 20 * rows_at_once)
    texts = make_copies()
    expected = plain_pairs(texts, threshold)
    assert len(expected) > 20 or threshold == 1.0
    found = {
        (i, j): similarity
        for part in similar_pairs(texts, threshold)
        for i, j, similarity in zip(*(array.tolist() for array in part), strict=True)
    }
    assert found == pytest.approx(expected)


def test_each_has_the_most_similar_known_one_and_the_group_of_all():
    texts = make_copies()
    known = np.arange(len(texts)) % 3 > 0
    found = find_similar(texts, known, 0.5)
    pairs = plain_pairs(texts, 0.5)
    pairs |= {(j, i): similarity for (i, j), similarity in pairs.items()}
    pairs |= {
        (i, j): 1.0 for i, one in enumerate(texts) for j, other in enumerate(texts)
        if i != j and one == other
    }
    group = {i: {i} for i in np.flatnonzero(known)}
    for i in range(len(texts)):
        near = {j: s for (one, j), s in pairs.items() if one == i and known[j]}
        assert found.similarity[i] == pytest.approx(max(near.values(), default=0.0))
        assert near.get(found.match[i], 0.0) == found.similarity[i]
        assert known[found.match[i]] or found.match[i] == -1
        for j in near:
            if known[i]:
                group[i] |= group[j]
                for member in group[i]:
                    group[member] = group[i]
    for i in np.flatnonzero(known):
        members = {j for j in np.flatnonzero(known) if found.group[j] == found.group[i]}
        assert (found.group[i] == -1) if len(group[i]) == 1 else (members == group[i])
    assert (found.group[~known] == -1).all()


def test_html_case_and_white_space_make_no_difference():
    texts = [LONG, f"  {LONG.upper()}\n", "<p>" + LONG.replace(" ", "<br />") + "</p>",
             LONG.replace("and", "&amp; and"), LONG.replace("fox", "fox,"), "something else"]
    found = find_similar(texts)
    assert found.match.tolist() == [1, 0, 0, 0, 0, -1]
    assert found.equal.tolist() == [True, True, True, False, False, False]
    # Punctuation is not a word, but such texts do not count as equal.
    np.testing.assert_allclose(found.similarity, [1, 1, 1, 1, 1, 0])
    assert found.group.tolist() == [0, 0, 0, 0, 0, -1]


def test_a_changed_word_and_an_added_sentence():
    words = LONG.split()
    one, two = " ".join([*words[:5], "cat", *words[6:]]), LONG + " until it is time to go home"
    found = find_similar([LONG, one, two, " ".join(words[:4])])
    assert found.match[1:].tolist() == [0, 0, -1]
    assert 0.5 <= found.similarity[1] < 1 and 0.5 <= found.similarity[2] < 1
    assert find_similar([LONG, one], threshold=0.9).match.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        ([], []),
        ([""], [-1]),
        (["", "<br>", "good"], [1, 0, -1]),
        (["good", "Good", "bad", "good film"], [1, 0, -1, -1]),
        (["!?", "...", "good!"], [-1, -1, -1]),
    ],
)
def test_hardly_any_words(texts, match):
    assert find_similar(texts).match.tolist() == match


def test_many_equal_texts_are_one_group():
    found = find_similar([f"{LONG} {i // 50}" for i in range(200)])
    assert (found.group == 0).all() and found.equal.all()
    assert found.match.tolist() == [i // 50 * 50 + (i % 50 == 0) for i in range(200)]
