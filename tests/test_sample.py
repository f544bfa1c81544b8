"""The reviews that come with the package."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

import bertsent

SAMPLE = Path(bertsent.__file__).resolve().parent / "sample"


@pytest.fixture(scope="module")
def rows():
    with open(SAMPLE / "reviews.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_columns_are_those_that_the_command_line_expects(rows):
    assert rows[0] == ["review", "sentiment"]
    assert {len(row) for row in rows} == {2}


def test_large_enough_and_exactly_balanced(rows):
    counts = Counter(label for _, label in rows[1:])
    assert set(counts) == {"positive", "negative"}
    assert counts["positive"] == counts["negative"]
    assert sum(counts.values()) >= 300


def test_no_review_stands_there_twice(rows):
    bare = [re.sub(r"\W+", " ", text).strip().lower() for text, _ in rows[1:]]
    assert [text for text, n in Counter(bare).items() if n > 1] == []


def test_no_two_reviews_share_most_of_their_words(rows):
    words = [frozenset(re.findall(r"\w+", text.lower())) for text, _ in rows[1:]]
    alike = [
        (rows[1 + i][0], rows[1 + j][0])
        for i in range(len(words))
        for j in range(i)
        if 0.7 < len(words[i]) / len(words[j]) < 1.5
        and len(words[i] & words[j]) > 0.7 * len(words[i] | words[j])
    ]
    assert alike == []


def test_reviews_are_short_whole_sentences(rows):
    for text, _ in rows[1:]:
        assert 8 <= len(text.split()) <= 45, text
        assert text == text.strip() and "\n" not in text, text
        assert text[0].isupper() or text[0].isdigit(), text
        assert text[-1] in ".!?", text


def test_labels_are_not_sorted(rows):
    labels = [label for _, label in rows[1:]]
    changes = sum(a != b for a, b in zip(labels, labels[1:], strict=False))
    assert changes > len(labels) / 4


def test_vocabulary_is_varied(rows):
    words = re.findall(r"[a-z']+", " ".join(text for text, _ in rows[1:]).lower())
    assert len(set(words)) > 1500


def test_note_says_where_the_reviews_come_from(rows):
    note = (SAMPLE / "README.md").read_text(encoding="utf-8")
    assert "written for this project" in " ".join(note.split())
    assert str(len(rows) - 1) in note
