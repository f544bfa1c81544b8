"""Find the columns of texts and labels in data whose columns nobody named."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bertsent.files.lines import TEXT_COLUMN
from bertsent.files.names import FIRST, USUAL
from bertsent.files.readers import CHUNK_ROWS, describe_absence, read_chunks, require_columns
from bertsent.texts import abbreviate, is_missing
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.sources import Source

# Columns of pairs of texts in well-known data sets.
_PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "answer"),
    ("question1", "question2"), ("question", "sentence"), ("text1", "text2"),
    ("text_a", "text_b"), ("query", "passage"), ("query", "document"),
)
_WHAT = {"text_column": "texts", "text_pair_column": "second texts", "label_column": "labels"}
# How many rows are looked at, and how many columns are shown.
_ROWS = 256
_MOST_SHOWN = 30


def find_columns(
    source: Source,
    given: Mapping[str, str | int | None],
    *,
    pairs: bool | None = False,
) -> tuple[dict[str, str], str | None]:
    """Return the columns to read, and a line about those that were found by their names.

    Parameters
    ----------
    source : Source
    given : dict
        The columns by the parameter that chooses each, ``text_column``, ``text_pair_column`` and
        ``label_column``: its name, or its number if the file has no header. None means that it is
        to be found; a pair, only if there is no text column either. What is not there is not
        needed.
    pairs : bool or None, default=False
        Whether pairs of texts are wanted; None if both will do.

    Returns
    -------
    columns : dict of str to str
        Those that were given, and those that were found.
    line : str or None
        None if nothing was found but ``review`` and ``sentiment``, or if a .txt file has only one.

    Raises
    ------
    ValueError
        A column has none of the usual names, or several have one. The message lists the columns,
        what they contain and the parameter that chooses one.
    """
    columns = {parameter: str(name) for parameter, name in given.items() if name is not None}
    wanted = [
        parameter for parameter, name in given.items()
        if name is None and parameter != "text_pair_column"
    ]
    if source.kind == "text":
        # It has no labels. Where they are read, this is an error.
        only = {"text_column": TEXT_COLUMN, "label_column": FIRST["label_column"][0]}
        return {name: only[name] for name in wanted} | columns, None
    if "text_pair_column" in columns and "text_column" not in columns:
        raise ValueError(f"{spell('text_pair_column')} needs {spell('text_column')}")
    if not wanted:
        return columns, None
    chunk = next(read_chunks(source, CHUNK_ROWS if source.kind == "json" else _ROWS))
    if source.kind != "json":  # where other rows may have a column that these lack
        require_columns(chunk.columns, columns, source)
    found: dict[str, str] = {}
    for parameter in wanted:
        taken = {**columns, **found}.values()
        names = [str(name) for name in chunk.columns if str(name) not in taken]
        options = _options(names, parameter, pairs if parameter == "text_column" else False)
        if len(options) != 1:
            raise ValueError(_ask(source, chunk, parameter, options, list(taken), pairs))
        found |= zip((parameter, "text_pair_column"), options[0], strict=False)
    line = None
    if set(found.values()) - {"review", "sentiment"}:
        parts = [f"{_WHAT[parameter]} in column {name!r}" for parameter, name in found.items()]
        flags = [spell(parameter) for parameter in found]
        others = "chooses another" if len(flags) == 1 else "choose others"
        line = f"{source}: {_listed(parts)} ({_listed(flags)} {others})"
    return columns | found, line


def _options(
    names: Sequence[str], parameter: str, pairs: bool | None
) -> Sequence[tuple[str, ...]]:
    """Return the columns that may be meant: one name, or two of pairs."""
    known = _by_usual_name(names)
    both = [
        (known[first], known[second]) for first, second in _PAIRS
        if first in known and second in known
    ]
    if pairs:
        return both
    first = [(known[name],) for name in FIRST[parameter] if name in known]
    if first:
        return first[:1]
    others = [(known[name],) for name in USUAL[parameter] if name in known]
    if pairs is None and both:
        of_pairs = set(itertools.chain(*both))
        return [*both, *(other for other in others if other[0] not in of_pairs)]
    return others


def _by_usual_name(names: Sequence[str]) -> dict[str, str]:
    """Return names in lower case with the names as they are.

    Of names that differ in case or spaces only, the usual name itself counts, if it is there.
    """
    lower = ["_".join(name.split()).casefold() for name in names]
    return {
        key: name for key, name in zip(lower, names, strict=True)
        if name == key or lower.count(key) == 1
    }


def _ask(
    source: Source, chunk: pd.DataFrame, parameter: str, options: Sequence[tuple[str, ...]],
    taken: list[str], pairs: bool | None,
) -> str:
    """Return a question about the columns of a file, with all that helps to answer it."""
    names = [" and ".join(map(repr, option)) for option in options]
    which = f", {' or '.join(names)}" if names else ""
    flags = spell(parameter)
    if parameter == "text_column" and (pairs or any(len(option) == 2 for option in options)):
        flags += f" (and {spell('text_pair_column')})"
    shown = [
        f"{name} ({describe_values(chunk.iloc[:_ROWS, number])})"
        for number, name in enumerate(chunk.columns[:_MOST_SHOWN])
    ]
    if len(chunk.columns) > _MOST_SHOWN:
        shown.append(f"and {len(chunk.columns) - _MOST_SHOWN:,} more")
    return (
        f"{source}: which column contains the {_WHAT[parameter]}{which}? Its columns are: "
        f"{', '.join(shown)}. Choose one with {flags}"
    ) + ("" if options else describe_absence(
        FIRST[parameter][0], parameter, list(chunk.columns), source, taken
    ))


def describe_values(column: pd.Series[Any]) -> str:
    """Return what a column contains, with two of its values."""
    values = [value for value in column.tolist() if not is_missing(value)]
    kind = _kind_of(values)
    shown = [str(value) if kind == "numbers" else abbreviate(value, 30) for value in values]
    return f"{kind}: {', '.join(list(dict.fromkeys(shown))[:2])}" if shown else "empty"


def _kind_of(values: list[Any]) -> str:
    """Return what values are, in words; numbers may be written as texts."""
    try:
        for value in values:
            float(value)
    except (TypeError, ValueError):
        return "texts" if all(isinstance(value, str | bytes) for value in values) else "objects"
    return "numbers"


def _listed(items: Sequence[str]) -> str:
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last
