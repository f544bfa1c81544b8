"""Check texts that a user passes, remove HTML, and compute hashes."""

from __future__ import annotations

import contextlib
import hashlib
import html
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from bertsent.texts.arrow import arrow_texts
from bertsent.texts.columns import (
    abbreviate,
    column_values,
    index_label,
    is_missing,
    row_labels,
    single_column,
)
from bertsent.texts.frames import in_memory
from bertsent.texts.pairs import are_pairs, take_apart, two_columns
from bertsent.wording import phrase

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent._core import ArrowTexts
    from bertsent.texts.types import Text, Texts

# "<" followed by a letter, "/" or "!" opens a tag; "I <3 this" and "a < b" stay.
_TAG = re.compile(r"<[A-Za-z/!][^<>]*>")


@overload
def check_texts(
    X: Texts, name: str = "X", *, strip: bool = False, pairs: Literal[False]
) -> list[str]: ...


@overload
def check_texts(
    X: Texts, name: str = "X", *, arrow: Literal[False] = False, strip: bool = False,
    pairs: bool = True,
) -> list[Text]: ...


@overload
def check_texts(
    X: Texts, name: str = "X", *, arrow: bool, strip: bool = False, pairs: bool = True
) -> list[Text] | ArrowTexts: ...


def check_texts(
    X: Any, name: str = "X", *, arrow: bool = False, strip: bool = False, pairs: bool = True
) -> Any:
    """Return the texts as a list of str or of pairs, or raise an error that names what is wrong.

    Parameters
    ----------
    X : list, tuple, Series, array, Arrow array or table
        The texts. A table has one column, and an array one dimension or the shape (n, 1). For
        pairs of texts, a table of two columns, an array of shape (n, 2) or a list of pairs.
    name : str, default="X"
        Name of the argument in error messages.
    arrow : bool, default=False
        Whether to return Arrow strings as `ArrowTexts`, which the tokenizer reads without copying.
    strip : bool, default=False
        Whether to remove HTML, as `strip_html` does. The result is then always a list.
    pairs : bool, default=True
        Whether pairs are accepted.

    Returns
    -------
    list of str, list of tuple of two str, or ArrowTexts

    Raises
    ------
    TypeError
        `X` is not a column, or an item is not a text. The message names the first one.
    ValueError
        A row of pairs does not have two texts.
    """
    X = in_memory(X, name)
    found = two_columns(X, name) if pairs else None
    if found is not None:
        first, second = (
            _listed(column, name, strip, around)
            for column, around in zip(found.columns, found.around, strict=True)
        )
        return list(zip(first, second, strict=True))
    column = single_column(X, name, "texts")
    if arrow and not strip and (in_place := arrow_texts(column)) is not None:
        missing = in_place.first_missing()
        if missing is not None:
            value = np.nan if hasattr(column, "isna") else None  # as pandas shows it
            raise TypeError(_not_a_text(column, name, missing, value))
        return in_place
    return _listed(column, name, strip)


def _listed(
    column: Any, name: str, strip: bool, around: tuple[str, str] | None = None
) -> list[str]:
    """Return the items of a column; raise if one is not a text.

    `around` is what messages write before and after its position, if the column is one of pairs.
    """
    texts: list[str] = column_values(column)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(_not_a_text(column, name, position, text, around))
    return [strip_html(text) for text in texts] if strip else texts


def check_training_texts(X: Texts, y: Any, *, strip: bool = False) -> list[Text]:
    """Check texts as `check_texts` does, and explain arguments that were swapped.

    Raises
    ------
    TypeError
        As in `check_texts`.
    ValueError
        `y` contains texts, and `X` their labels, or pairs have the labels as their second text.
    """
    advice = phrase(
        python="y contains texts, so X and y seem to be swapped; pass the texts first, then the "
        "labels",
        command="the column of labels contains texts; the two seem to be swapped",
    )
    try:
        texts = check_texts(X, "X", strip=strip)
    except TypeError as error:
        if _count_words(y) >= 3:
            raise TypeError(f"{error}; {advice}") from None
        raise
    if are_pairs(texts):
        _refuse_labels(texts, y)
        return list(texts)
    words = _count_words(y)
    if words >= 3 and _count_words(texts) < words and len(set(texts)) < len(texts):
        labels = ", ".join(abbreviate(text) for text in sorted(map(str, set(texts)))[:3])
        texts_are = phrase(python="X contains", command="the column of texts contains")
        raise ValueError(f"{texts_are} labels such as {labels}, and {advice}")
    return texts


def _refuse_labels(pairs: Sequence[tuple[str, str]], y: Any) -> None:
    """Raise if the labels are among the texts of pairs, so that nothing else would be learned."""
    try:
        labels = column_values(single_column(y, "y", "labels"))
    except (TypeError, ValueError):
        return
    # The comparison with other objects, such as pandas.NA and arrays, may fail.
    if len(labels) < 2 or not all(isinstance(label, str) for label in labels):
        return
    for number, column in enumerate(take_apart(pairs)):
        if column == labels:
            raise ValueError(
                f"column {number} of X, counted from 0, contains the labels y; leave it out, so "
                "that X has one column of texts or, for pairs, two"
            )


def _count_words(y: Any) -> float:
    """Return the number of words of a label; 0 if most labels occur again, or some are no texts."""
    try:
        items = column_values(single_column(y, "y", "labels"))
    except (TypeError, ValueError):
        return 0
    if not all(isinstance(item, str) for item in items):
        return 0
    different = set(items)
    if len(different) <= len(items) / 2:
        return 0
    words: int = sum(item.count(" ") + 1 for item in different)
    return words / len(different)


def _not_a_text(
    column: Any, name: str, position: int, value: object, around: tuple[str, str] | None = None
) -> str:
    """Return a message that names an item by its position, index label and column."""
    before, after = around or (f"{name}[", "]")
    where = f"{before}{position}{after}"
    if row_labels(column) is not None:
        title, label = getattr(column, "name", None), index_label(column, position)
        where = f"row {position}" if title is None else f"row {position} of column {title!r}"
        where += "" if label is None else f" (index {label!r})"
    return f"{where} {describe_no_text(value, name)}"


def describe_no_text(value: object, name: str | None = None) -> str:
    """Return what is wrong with a value that should be a text, and what to do about it.

    `name` is the argument that contains the value; None if that is a file.
    """
    if is_missing(value):
        shown = "None" if value is None else "NaN"
        return f"is {shown}; drop it, or pass an empty text '' instead"
    remedy = "pass a str"
    if isinstance(value, bytes | bytearray):
        remedy = "decode it first"
    elif isinstance(value, os.PathLike):
        remedy = "read the file first"
    elif name is not None and isinstance(value, list | tuple | np.ndarray):
        remedy = f"pass one str for each text, such as [row[0] for row in {name}]"
        if len(value) > 1:
            remedy += ", or two for pairs, such as list(zip(first, second))"
    elif name is not None and isinstance(value, Mapping):
        remedy = f"pass one str for each text, such as [row['text'] for row in {name}]"
    kind = type(value).__name__
    return f"is not a text: expected str, got {kind} ({abbreviate(value)}); {remedy}"


def strip_texts(texts: Iterable[Text]) -> list[Text]:
    """Remove HTML from texts and pairs, as `strip_html` does."""
    return [
        strip_html(text) if isinstance(text, str) else (strip_html(text[0]), strip_html(text[1]))
        for text in texts
    ]


def strip_html(text: str) -> str:
    """Replace HTML tags by a space, and character references by their characters."""
    return html.unescape(_TAG.sub(" ", text))


def hash_texts(texts: Iterable[Text]) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each text or pair (uint64), the same on every machine."""
    digests = b"".join(
        hashlib.blake2b(_as_bytes(text), digest_size=8).digest() for text in texts
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def digest_texts(texts: Iterable[Text], key: bytes) -> list[bytes]:
    """Return a keyed hash of 16 bytes of each text or pair; texts cannot be guessed without it."""
    return [
        hashlib.blake2b(_as_bytes(text), digest_size=16, key=key).digest() for text in texts
    ]


def _as_bytes(text: Text) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    return b"\xff".join(map(_as_bytes, text))  # a byte that UTF-8 does not use


# How errors begin that are about one of several texts.
_AT_FAULT = re.compile(r"(texts|X|text_pairs)\[(\d+)\]")


@contextlib.contextmanager
def name_texts(describe: Callable[[int], str]) -> Iterator[None]:
    """Name a text that cannot be read as the caller knows it.

    Parameters
    ----------
    describe : callable
        Takes the number of a text, and returns what takes the place of ``texts[3]`` or ``X[3]`` at
        the beginning of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        at = _AT_FAULT.match(str(error))
        if at is None:
            raise
        which = ", second text" if at[1] == "text_pairs" else ""
        raise type(error)(describe(int(at[2])) + which + str(error)[at.end() :]) from None
