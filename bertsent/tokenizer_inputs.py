"""What goes into the tokenizer: texts in their many containers, and the words for its options."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from bertsent.arrow_texts import ArrowTexts, arrow_texts

# What is cut of a pair (the longer one, the first, the second), and what is kept of a text (its
# head, its tail, both, windows of all of it). None: nothing is cut.
TRUNCATIONS = {
    True: (0, 0), "longest_first": (0, 0), "head": (0, 0), "tail": (0, 1), "head+tail": (0, 2),
    "windows": (0, 3),
    "only_first": (1, 0), "only_second": (2, 0), False: None, "do_not_truncate": None,
}  # fmt: skip
_AT_FAULT = re.compile(r"(texts|text_pairs)\[(\d+)\]")


def as_items(texts, name="texts"):
    """Return what holds the texts in a form that the engine reads.

    Parameters
    ----------
    texts : object
    name : str
        What the argument is called in errors.

    Returns
    -------
    list, tuple or ArrowTexts
    """
    if isinstance(texts, (list, tuple, ArrowTexts)):
        return texts
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name}: got one string; pass a list, [text]")
    arrow = arrow_texts(texts)
    if arrow is not None:
        missing = arrow.first_missing()
        if missing is not None:
            raise TypeError(f"{name}[{missing}]: expected str, got None")
        return arrow
    if isinstance(texts, np.ndarray) or hasattr(texts, "__array__"):
        if getattr(texts, "ndim", 1) != 1:
            what = type(texts).__name__
            raise TypeError(f"{name}: got a {what} of {texts.ndim} dimensions; pass one column")
        if hasattr(texts, "to_pylist"):
            return texts.to_pylist()
        return np.asarray(texts, dtype=object).tolist()
    if isinstance(texts, Iterable) and not isinstance(texts, (Mapping, set, frozenset)):
        return list(texts)
    hint = "; max_length is a keyword" if name == "text_pairs" and isinstance(texts, int) else ""
    kind = type(texts).__name__
    raise TypeError(f"{name}: expected a list or a Series of str, got {kind}{hint}")


def named_row(error, columns):
    """The same error with the row label of the item at fault, where a Series has one.

    Parameters
    ----------
    error : Exception
        Its message begins with the name of the argument and the position in it.
    columns : dict
        The arguments by name.

    Returns
    -------
    Exception or None
        None if there is nothing to add.
    """
    found = _AT_FAULT.match(str(error))
    if found is None:
        return None
    index = getattr(columns[found[1]], "index", None)
    if index is None or callable(index):
        return None
    label = index[int(found[2])]
    label = label.item() if isinstance(label, np.generic) else label
    return type(error)(f"{found[0]}, row {label!r}{str(error)[found.end():]}")


def check_max_length(max_length, pairs, special):
    """The length as an int, 0 for None; an error if not even the special tokens have room."""
    if max_length is None:
        return 0
    if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)):
        raise TypeError(f"max_length: expected int, got {type(max_length).__name__}")
    least = 1 if not special else 3 if pairs else 2
    if max_length < least:
        tokens = "[CLS], [SEP] and [SEP]" if pairs else "[CLS] and [SEP]"
        why = f"{tokens} alone take {least}" if special else "it must be at least 1"
        raise ValueError(f"max_length is {max_length}; {why}")
    return int(max_length)


def check_truncation(truncation, pairs):
    """The two numbers by which the engine knows a way to cut, or None for none."""
    if not isinstance(truncation, (bool, str)) or truncation not in TRUNCATIONS:
        raise ValueError(f"truncation is {truncation!r}; must be one of {tuple(TRUNCATIONS)}")
    if truncation == "only_second" and not pairs:
        raise ValueError("truncation='only_second' needs text_pairs")
    if truncation == "windows" and pairs:
        raise ValueError("truncation='windows' is for single texts, not for text_pairs")
    return TRUNCATIONS[truncation]


def check_stride(stride, truncation, max_length, special):
    """An error unless windows can overlap by so many tokens; a `max_length` of 0 is none."""
    if isinstance(stride, bool) or not isinstance(stride, (int, np.integer)):
        raise TypeError(f"stride: expected int, got {type(stride).__name__}")
    if truncation != "windows":
        if stride != 0:
            raise ValueError(f"stride is {stride}, which needs truncation='windows'")
        return
    room = max_length - 2 * bool(special)
    if max_length and room < 1:
        raise ValueError(f"max_length is {max_length}; [CLS] and [SEP] leave windows no room")
    if stride < 0 or (max_length and stride >= room):
        raise ValueError(
            f"stride is {stride}; windows with room for {room} tokens overlap by 0 to {room - 1}"
            if max_length
            else f"stride is {stride}; it must be at least 0"
        )
