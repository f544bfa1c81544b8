"""Arguments of the tokenizer: texts in various containers, and the checks of its options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.texts import arrow_texts

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent._core import ArrowTexts

# Which text of a pair is cut (0: the longer, 1: the first, 2: the second), and what is kept of a
# text (0: its head, 1: its tail, 2: both, 3: windows of all of it). None: nothing is cut.
TRUNCATIONS: dict[bool | str, tuple[int, int] | None] = {
    True: (0, 0), "longest_first": (0, 0), "head": (0, 0), "tail": (0, 1), "head+tail": (0, 2),
    "windows": (0, 3),
    "only_first": (1, 0), "only_second": (2, 0), False: None, "do_not_truncate": None,
}  # fmt: skip
_AT_FAULT = re.compile(r"(texts|text_pairs)\[(\d+)\]")


def as_items(texts: Any, name: str = "texts") -> list[str] | tuple[str, ...] | ArrowTexts:
    """Return the texts in a container that the engine can read.

    Parameters
    ----------
    texts : object
    name : str, default="texts"
        Name of the argument in error messages.

    Returns
    -------
    list, tuple or bertsent._core.ArrowTexts
    """
    from bertsent._core import ArrowTexts

    if isinstance(texts, (list, tuple, ArrowTexts)):
        return texts
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name}: got one string; pass a list, [text]")
    arrow = arrow_texts(texts)
    if arrow is not None:
        return arrow
    if isinstance(texts, np.ndarray) or hasattr(texts, "__array__"):
        if getattr(texts, "ndim", 1) != 1:
            what = type(texts).__name__
            raise TypeError(f"{name}: got a {what} of {texts.ndim} dimensions; pass one column")
        items: list[str] = (
            texts.to_pylist()
            if hasattr(texts, "to_pylist")
            else np.asarray(texts, dtype=object).tolist()
        )
        return items
    if isinstance(texts, Iterable) and not isinstance(texts, (Mapping, set, frozenset)):
        return list(texts)
    hint = "; max_length is a keyword" if name == "text_pairs" and isinstance(texts, int) else ""
    kind = type(texts).__name__
    raise TypeError(f"{name}: expected a list or a Series of str, got {kind}{hint}")


def named_row(error: Exception, columns: Mapping[str, Any]) -> Exception | None:
    """Add the index label of the item at fault to an error, if the argument is a Series.

    Parameters
    ----------
    error : Exception
        Its message starts with the name of the argument and the position in it.
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


def name_second(error: ValueError, rows: Sequence[int] | npt.NDArray[np.int64]) -> ValueError:
    """Return an error about some second texts, tokenized alone, as one about pairs.

    Parameters
    ----------
    error : ValueError
        Its message starts with ``texts`` and the position.
    rows : sequence of int
        The numbers of the pairs.
    """
    found = _AT_FAULT.match(str(error))
    if found is None:
        return error
    return type(error)(f"text_pairs[{rows[int(found[2])]}]{str(error)[found.end():]}")


def check_max_length(max_length: int | None, special: int) -> int:
    """Return the length as an int, 0 for None; raise if the special tokens do not fit."""
    if max_length is None:
        return 0
    if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)):
        raise TypeError(f"max_length: expected int, got {type(max_length).__name__}")
    if max_length < max(special, 1):
        tokens = "[CLS]" + ", [SEP]" * (special - 2) + " and [SEP]"
        why = f"{tokens} alone take {special}" if special else "it must be at least 1"
        raise ValueError(f"max_length is {max_length}; {why}")
    return int(max_length)


def check_truncation(truncation: bool | str, pairs: bool) -> tuple[int, int] | None:
    """Return the engine's two numbers for a kind of truncation, or None for no truncation."""
    if not isinstance(truncation, (bool, str)) or truncation not in TRUNCATIONS:
        raise ValueError(f"truncation is {truncation!r}; must be one of {tuple(TRUNCATIONS)}")
    if truncation == "only_second" and not pairs:
        raise ValueError("truncation='only_second' needs text_pairs")
    return TRUNCATIONS[truncation]


def check_stride(
    stride: int, truncation: bool | str, max_length: int, special: int, pairs: bool = False
) -> None:
    """Raise unless windows can overlap by `stride` tokens. A `max_length` of 0 means no limit.

    `special` is the number of special tokens of a sequence.
    """
    if isinstance(stride, bool) or not isinstance(stride, (int, np.integer)):
        raise TypeError(f"stride: expected int, got {type(stride).__name__}")
    if truncation != "windows":
        if stride != 0:
            raise ValueError(f"stride is {stride}, which needs truncation='windows'")
        return
    room = max_length - special
    if pairs:  # the first text takes up to half of it
        room //= 2
    if max_length and room < 1:
        raise ValueError(f"max_length is {max_length}; [CLS] and [SEP] leave no room for windows")
    if stride < 0 or (max_length and stride >= room):
        raise ValueError(
            f"stride is {stride}; windows of {room} tokens can overlap by 0 to {room - 1}"
            if max_length
            else f"stride is {stride}; it must be at least 0"
        )
