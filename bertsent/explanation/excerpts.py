"""Which parts of a long text are shown: those around the words with the largest scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsent.explanation.result import Explanation

# Characters that are shown around a word, and how many fewer to divide no other word.
_AROUND, _NEAR = 100, 30


def choose_excerpts(explanation: Explanation, part: int, most: int) -> list[tuple[int, int]]:
    """Return the beginnings and ends of what is shown of a text, in characters.

    Parameters
    ----------
    explanation : Explanation
    part : int
        0, or 1 for the second text of a pair.
    most : int
        Largest number of characters. A text that is not longer is shown as a whole.
    """
    length = len(explanation.texts[part])
    if length <= most:
        return [(0, length)]
    shown: list[tuple[int, int]] = []
    for word in explanation.top(len(explanation.scores)).tolist():
        if explanation.parts[word] != part:
            continue
        start = max(0, int(explanation.starts[word]) - _AROUND)
        end = min(length, int(explanation.ends[word]) + _AROUND)
        together = _merge([*shown, (start, end)])
        if sum(stop - begin for begin, stop in together) > most:
            break
        shown = together
    text = explanation.texts[part]
    return [_at_spaces(text, *span) for span in shown] or [(0, most)]


def _at_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    """Return an excerpt that begins and ends between words, if there is a space near its ends."""
    if start > 0:
        start = max(start, text.find(" ", start, start + _NEAR) + 1)
    space = text.rfind(" ", end - _NEAR, end)
    return start, space if end < len(text) and space > 0 else end


def _merge(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def cut_marks(
    explanation: Explanation, part: int, most: int, gap: str
) -> list[tuple[str, int | None]]:
    """Return what is shown of a text: pieces, each with the number of its word or None.

    Parameters
    ----------
    explanation, part, most
        As in `choose_excerpts`.
    gap : str
        What takes the place of parts that are not shown.
    """
    text = explanation.texts[part]
    pieces: list[tuple[str, int | None]] = []
    at = 0  # end of the last excerpt
    words = [
        (start, end, number)
        for number, (of, start, end) in enumerate(zip(
            explanation.parts.tolist(), explanation.starts.tolist(), explanation.ends.tolist(),
            strict=True,
        ))
        if of == part
    ]
    for begin, stop in choose_excerpts(explanation, part, most):
        if begin > 0:
            pieces.append((f" {gap} " if pieces else f"{gap} ", None))
        at = begin
        for start, end, number in words:
            if end <= begin or start >= stop:
                continue
            start, end = max(start, begin), min(end, stop)
            pieces += [(text[at:start], None), (text[start:end], number)]
            at = end
        pieces.append((text[at:stop], None))
        at = stop
    if at < len(text):
        pieces.append((f" {gap}", None))
    return [piece for piece in pieces if piece[0]]
