"""Names of the columns of tables, which people write by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsent.files.sources import DataFile

# If one of these is there, it is meant, whatever else there is; the first one if there are both.
FIRST = {"text_column": ("review", "text"), "label_column": ("sentiment", "label")}
# Of these, exactly one must be there.
USUAL = {
    "text_column": (
        "sentence", "content", "comment", "tweet", "body", "message", "document", "post",
        "review_text", "reviewtext", "review_body", "comment_text",
    ),
    "label_column": (
        "labels", "target", "class", "category", "rating", "stars", "score", "intent", "topic",
        "gold_label", "similarity_score",
    ),
}


def unique_names(file: DataFile, header: list[str]) -> list[str]:
    """Return names as pandas makes them unique, so that both call a column the same."""
    names: dict[str, None] = {}
    for number, name in enumerate(header):
        unique, count = name or f"Unnamed: {number}", 0
        while unique in names or (count and unique in header):
            count += 1
            unique = f"{name or f'Unnamed: {number}'}.{count}"
        if count:
            file.tell(f"has several columns called {name!r}; one is read as {unique!r}")
        names[unique] = None
    return list(names)


def number_names(width: int) -> list[str]:
    """Return the names of columns without a header: their numbers, from 0."""
    return [str(number) for number in range(width)]


def other_columns(
    first: DataFile, expected: list[str], file: DataFile, names: list[str]
) -> ValueError:
    """Return the error for files of one source whose columns differ."""
    lacks = [f"no column {name!r}" for name in expected if name not in names]
    more = [f"a column {name!r}" for name in names if name not in expected]
    return ValueError(
        f"{file} has {(lacks + more)[0]}, unlike {first}; files that are read together must have "
        "the same columns"
    )
