"""Explanations in a terminal, without colours: marks in the text, and bars of strong words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bertsent.explanation.digits import write_score
from bertsent.explanation.excerpts import cut_marks
from bertsent.system import printable, text_width

if TYPE_CHECKING:
    from bertsent.explanation.result import Explanation

WIDTH = 79
# Characters of a text that are shown, and columns of the longest bar and of a word beside it.
_MOST_CHARACTERS = 1200
_BAR, _WORD = 40, 24
_STRONG = 0.5


def lay_out(explanations: Sequence[Explanation], *notes: str) -> str:
    """Return explanations as lines of at most 79 columns.

    Parameters
    ----------
    explanations : sequence of Explanation
        Of more than one, the headlines begin with the rows.
    *notes : str
        What is said below them.
    """
    several = len(explanations) > 1
    return "\n\n".join([*(_lay_out_one(each, several) for each in explanations), *notes])


def _lay_out_one(explanation: Explanation, several: bool) -> str:
    headline = f"row {explanation.row}: " * several + explanation.headline
    lines = [*wrap(printable(headline)), *wrap(explanation.footnote), ""]
    lines += _bars(explanation)
    for part in range(len(explanation.texts)):
        lines += ["", *wrap(_marked(explanation, part))]
    return "\n".join(lines)


def _bars(explanation: Explanation) -> list[str]:
    """Return a line for each of the strongest words."""
    words, strengths = explanation.words, explanation.strengths
    top = [number for number in explanation.top().tolist() if strengths[number]]
    shown = [_shorten(printable(words[number])) for number in top]
    width = max(map(text_width, shown), default=0)
    scores = [write_score(explanation.scores[number], explanation.explained) for number in top]
    digits = max([8, *map(len, scores)])
    return [
        f"  {word}{' ' * (width - text_width(word))} {score:>{digits}}  "
        + ("+" if strengths[number] > 0 else "-") * max(1, round(abs(strengths[number]) * _BAR))
        for number, word, score in zip(top, shown, scores, strict=True)
    ]


def _shorten(word: str) -> str:
    """Return a word that fits beside its bar."""
    if text_width(word) <= _WORD:
        return word
    while text_width(word) > _WORD - 3:
        word = word[:-1]
    return word + "..."


def _marked(explanation: Explanation, part: int) -> str:
    """Return a text with marks before its strong words: [+word] supports, [-word] is against."""
    strengths = np.where(np.abs(explanation.strengths) >= 0.25, explanation.strengths, 0.0)
    text = ""
    for piece, word in cut_marks(explanation, part, _MOST_CHARACTERS, "..."):
        strength = 0.0 if word is None else float(strengths[word])
        sign = ("+" if strength > 0 else "-") * (2 if abs(strength) >= _STRONG else 1)
        text += f"[{sign}{piece}]" if strength else piece
    return text


def wrap(text: str, width: int = WIDTH) -> list[str]:
    """Return a text in lines of so many columns; words that are wider are divided.

    Parameters
    ----------
    text : str
    width : int, default=79
    """
    lines, line, used = [], "", 0
    for word in text.split():
        word = printable(word)
        columns = text_width(word)
        if line and used + 1 + columns > width:
            lines.append(line)
            line, used = "", 0
        while columns > width:
            cut, taken = 0, 0
            while taken + text_width(word[cut]) <= width:
                taken += text_width(word[cut])
                cut += 1
            lines.append(word[:cut])
            word = word[cut:]
            columns = text_width(word)
        line = f"{line} {word}" if line else word
        used = text_width(line)
    return [*lines, line] if line else lines
