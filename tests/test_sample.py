"""The reviews that are bundled with the package, and what a model learns from them."""

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bertsent
from bertsent.texts import split_rows

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = Path(bertsent.__file__).resolve().parent / "sample"
PROBES = pd.read_csv(ROOT / "tests" / "data" / "probes.csv")
SHAPE = {  # what can be seen of a text without reading it
    "words": lambda text: len(text.split()),
    "characters": len,
    "sentences": lambda text: len(re.findall(r"[.!?]", text)),
    "exclamations": lambda text: text.count("!"),
    "questions": lambda text: text.count("?"),
    "commas": lambda text: text.count(","),
    "capital": lambda text: text[0].isupper(),
    "digits": lambda text: any(map(str.isdigit, text)),
}
# Words of texts of either kind; "film" and "book" are what most texts are about.
NEUTRAL = (
    "a all and as at book but by can film for from had have he her his how i if in is it its like "
    "me my of on one or our out she so than that the their them then there they this to up was we "
    "were what when which who will with would you your"
).split()


@pytest.fixture(scope="module")
def rows():
    with open(SAMPLE / "reviews.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def reviews(rows):
    return pd.DataFrame(rows[1:], columns=rows[0])


def plain(text):
    return re.sub(r"\W+", " ", text).strip().lower()


def words_of(text):
    return frozenset(re.findall(r"\w+", text.lower()))


def alike(a, b):
    """Whether two sets of words have more than 70 % of all their words in common."""
    if min(len(a), len(b)) <= 0.7 * max(len(a), len(b)):
        return False
    union = len(a | b)
    return union > 3 and len(a & b) > 0.7 * union


def share_positive(rows):
    return sum(label == "positive" for _, label in rows) / len(rows)


def test_columns_are_those_that_the_command_line_expects(rows):
    assert rows[0] == ["review", "sentiment"]
    assert {len(row) for row in rows} == {2}


def test_large_enough_and_exactly_balanced(rows):
    counts = Counter(label for _, label in rows[1:])
    assert set(counts) == {"positive", "negative"}
    assert counts["positive"] == counts["negative"] >= 500


def test_texts_are_written_neatly(rows):
    for text, _ in rows[1:]:
        assert text == text.strip() and text.isprintable() and "  " not in text, text
        assert re.fullmatch(r"[A-Za-z0-9é '\",.!?;:/-]+", text), text
        assert len(text.split()) <= 160, text


def test_no_review_stands_there_twice(rows):
    assert [text for text, n in Counter(plain(text) for text, _ in rows[1:]).items() if n > 1] == []


def test_no_two_reviews_share_most_of_their_words(rows):
    words = [words_of(text) for text, _ in rows[1:]]
    assert [
        (rows[1 + i][0], rows[1 + j][0])
        for i in range(len(words)) for j in range(i) if alike(words[i], words[j])
    ] == []


def test_labels_are_not_sorted(rows):
    labels = [label for _, label in rows[1:]]
    changes = sum(a != b for a, b in zip(labels, labels[1:], strict=False))
    assert changes > len(labels) / 4


def test_vocabulary_is_varied(rows):
    words = re.findall(r"[a-z']+", " ".join(text for text, _ in rows[1:]).lower())
    assert len(set(words)) > 2500


@pytest.mark.parametrize(
    ("least", "most", "texts"),
    [(1, 3, 100), (4, 6, 150), (7, 10, 300), (11, 15, 400), (16, 45, 300), (46, 160, 50)],
)
def test_both_classes_at_every_length(rows, least, most, texts):
    found = [row for row in rows[1:] if least <= len(row[0].split()) <= most]
    assert len(found) >= texts
    assert 0.4 < share_positive(found) < 0.6


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("not", 150), ("never", 80), ("but|yet|however", 200),
        ("although|though|despite|while", 15),
        ("don't|doesn't|didn't|isn't|wasn't", 100), ("can't|couldn't|won't|wouldn't", 60),
        ("no|nobody|nothing|none", 150), ("film", 100), ("book|novel|chapter|author", 30),
        ("food|soup|hotel|room|waiter", 30),
    ],
)
def test_both_classes_with_these_words(rows, words, texts):
    found = [row for row in rows[1:] if re.search(rf"\b(?:{words})\b", row[0].lower())]
    assert len(found) >= texts
    assert 0.36 < share_positive(found) < 0.64


def test_the_class_is_not_given_away_by_the_shape_of_a_text(reviews):
    shapes = np.array([[f(text) for f in SHAPE.values()] for text in reviews["review"]], float)
    model = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(model, shapes, reviews["sentiment"], cv=5).mean() < 0.56


def test_the_class_is_not_given_away_by_words_without_an_opinion(reviews):
    words = TfidfVectorizer(vocabulary=NEUTRAL, token_pattern=r"\w+")
    model = make_pipeline(words, LogisticRegression())
    assert cross_val_score(model, reviews["review"], reviews["sentiment"], cv=5).mean() < 0.6


def test_note_says_where_the_reviews_come_from(rows):
    note = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "written for this project" in " ".join(note.split())
    assert f"{len(rows) - 1:,}" in note


def test_numbers_in_the_readme(rows):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    texts, labels = zip(*rows[1:], strict=True)
    classes = np.array([label == "positive" for label in labels], int)
    is_test, _ = split_rows(list(texts), classes, 0.2, 0)
    n, train = len(texts), int((~is_test).sum())
    assert f"{train:,} of the {n:,}" in text and f"other {n - train:,}" in text
    assert f"data[:{train}], data[{train}:]" in text


# Probes are held out: texts that any reader would label alike. tests/test_docs.py uses them.


def test_probes_are_none_of_the_reviews(rows):
    words = [(text, plain(text), words_of(text)) for text, _ in rows[1:]]
    assert [
        (probe, text) for probe in PROBES["review"] for text, bare, found in words
        if bare == plain(probe) or alike(words_of(probe), found)
    ] == []


def test_probes_are_many_and_balanced():
    counts = PROBES.groupby(["form", "sentiment"]).size().unstack()
    assert (counts["positive"] == counts["negative"]).all() and counts.to_numpy().sum() >= 200
    assert set(counts.index) == {
        "short", "negation", "contrast", "concession", "plain", "other subject", "long"
    }
