"""Tables for people: as aligned text, and as HTML that follows the style of its page."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as text. The first column is aligned to the left, all others to the right.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.
    rows : sequence of sequences of str
        The cells.

    Returns
    -------
    str
    """
    cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *others in cells:
        aligned = [first + " " * (widths[0] - text_width(first))]
        for cell, width in zip(others, widths[1:], strict=True):
            aligned.append(" " * (width - text_width(cell)) + cell)
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def html_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    shades: Sequence[Sequence[float]] | None = None,
) -> str:
    """Return a table as HTML. It has no colours of its own, so that it fits light and dark pages.

    Parameters
    ----------
    columns, rows
        As in `text_table`. The first cell of each row is its header.
    shades : sequence of sequences of float or None, default=None
        How strongly to mark each cell but the first of its row, from 0 to 1.

    Returns
    -------
    str
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = []
    for number, (first, *others) in enumerate(rows):
        marks = shades[number] if shades else [0.0] * len(others)
        cells = "".join(
            f"<td{_shade(mark)}>{escape(cell)}</td>"
            for cell, mark in zip(others, marks, strict=True)
        )
        body.append(f'<tr><th style="white-space: nowrap">{escape(first)}</th>{cells}</tr>')
    # The class is that of pandas' tables, which notebooks know how to display.
    return (
        '<div style="overflow-x: auto"><table class="dataframe" style="text-align: right">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _shade(mark: float) -> str:
    """Return the style of a cell that is marked; its text stays readable."""
    if not mark:
        return ""
    return f' style="background: color-mix(in srgb, currentColor {mark / 4:.0%}, transparent)"'


def printable(text: str) -> str:
    """Return a text in which line breaks and the like are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def text_width(text: str) -> int:
    """Return the number of columns that a text takes in a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)
