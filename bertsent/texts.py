"""Texts as they come from a user: checked, stripped of HTML, hashed."""

import hashlib
import html
import re

import numpy as np

from bertsent.arrow_texts import arrow_texts

# "<" followed by a letter, "/" or "!" opens a tag; "I <3 this" and "a < b" stay.
_TAG = re.compile(r"<[A-Za-z/!][^<>]*>")


def check_texts(X, name="X", arrow=False):
    """Return the texts as a list of str, or raise an error that names what is wrong.

    Parameters
    ----------
    X : list, tuple, Series, one-dimensional array, Arrow array
        The texts.
    name : str
        What the argument is called in errors.
    arrow : bool
        Whether Arrow's strings may stay where they are, for the tokenizer to read.

    Returns
    -------
    list of str or ArrowTexts
    """
    if isinstance(X, str | bytes):
        raise TypeError(
            f"{name} is a single {type(X).__name__}; pass a list of texts, such as [text]"
        )
    if hasattr(X, "columns"):
        columns = list(X.columns)
        raise TypeError(
            f"{name} is a DataFrame with the columns {columns}; pass one column of texts, "
            f"such as {name}[{columns[0] if columns else 'review'!r}]"
        )
    if getattr(X, "ndim", 1) != 1:
        raise TypeError(
            f"{name} has shape {X.shape}; pass a one-dimensional list, Series or array of texts"
        )
    if isinstance(X, dict | set | frozenset) or not hasattr(X, "__len__"):
        raise TypeError(
            f"{name} is a {type(X).__name__}; pass a list, Series or array of texts"
        )
    if arrow and (in_place := arrow_texts(X)) is not None:
        missing = in_place.first_missing()
        if missing is not None:
            value = None if hasattr(X, "to_pylist") else np.nan  # as pandas shows it
            raise TypeError(_not_a_text(X, name, missing, value))
        return in_place
    texts = X.to_pylist() if hasattr(X, "to_pylist") else list(X)
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(_not_a_text(X, name, position, text))
    return texts


def _not_a_text(X, name, position, value):
    """Say which item of ``X`` is no text, in the words of its own index and column."""
    where = f"{name}[{position}]"
    index = getattr(X, "index", None)
    if index is not None and not callable(index):
        column = "" if X.name is None else f" of column {X.name!r}"
        where = f"row {position}{column}"
        label = index[position]
        if label != position:
            where += f" (index {label.item() if isinstance(label, np.generic) else label!r})"
    return f"{where} {describe_no_text(value)}"


def describe_no_text(value):
    """What a value is that should be a text, and what to do about it."""
    if is_missing(value):
        shown = "None" if value is None else "NaN"
        return f"is {shown}; drop it, or pass an empty text '' in its place"
    kind = type(value).__name__
    shown = repr(value)
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    remedy = "decode it first" if isinstance(value, bytes | bytearray) else "pass a str"
    return f"is not a text: expected str, got {kind} ({shown}); {remedy}"


def is_missing(value):
    """Whether a single cell is None, NaN or pandas' NA."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA has no truth value; arrays have many
        return type(value).__name__ == "NAType"


def strip_html(text):
    """Replace tags by a space and character references by their characters."""
    return html.unescape(_TAG.sub(" ", text))


def hash_texts(texts):
    """64-bit hash of each text (uint64), the same on every machine."""
    digests = b"".join(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for text in texts
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
