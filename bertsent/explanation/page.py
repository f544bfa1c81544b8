"""Explanations as HTML, for notebooks and as a page, without scripts and without outside files.

What supports the target has a solid line below it, and what speaks against it a dashed one, so that
the colours, blue and orange, are not needed; strong words are bold. All backgrounds are
translucent, so text stays readable in light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from bertsent.explanation.digits import write_score
from bertsent.explanation.excerpts import cut_marks
from bertsent.system import html_table

if TYPE_CHECKING:
    from bertsent.explanation.result import Explanation

# Characters of each text that are shown. Of longer ones, there are excerpts.
MOST_CHARACTERS = 6000
_STRONG = 0.5
_COLOURS = {True: "20, 120, 230", False: "235, 110, 20"}
_QUIET = "opacity: 0.75; font-size: 0.9em"

_CSS = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --line: #d1d9e0; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181d; --text: #e6edf3; --line: #3d444d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem clamp(.8rem, 4vw, 2.5rem) 3rem; max-width: 60rem;
  background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; }
"""


def render(explanations: Sequence[Explanation], title: str) -> str:
    """Return a page of HTML.

    Parameters
    ----------
    explanations : sequence of Explanation
    title : str
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing is loaded and nothing runs, whatever a text contains.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{_shown(title)}</title><style>{_CSS}</style></head><body>"
        f"<h1>{_shown(title)}</h1>{render_cell(explanations)}</body></html>\n"
    )


def render_cell(explanations: Sequence[Explanation], *notes: str) -> str:
    """Return the explanations as a part of a page.

    Parameters
    ----------
    explanations : sequence of Explanation
        Of more than one, the headlines begin with the rows.
    *notes : str
        What is said below them.
    """
    several = len(explanations) > 1
    parts = [render_legend(), *(_render_one(each, several) for each in explanations)]
    return "".join([*parts, *(f'<p style="{_QUIET}">{escape(note)}</p>' for note in notes)])


def render_words(explanation: Explanation, part: int = 0, most: int = MOST_CHARACTERS) -> str:
    """Return one text with its words marked, as the content of a paragraph.

    Parameters
    ----------
    explanation : Explanation
    part : int, default=0
        1 for the second text of a pair.
    most : int
        Largest number of characters to show.
    """
    strengths, scores = explanation.strengths, explanation.scores
    unmasked = set(explanation.unmasked.tolist())
    html = []
    for piece, word in cut_marks(explanation, part, most, "[\u2026]"):
        is_read = word is not None and (not np.isnan(scores[word]) or word in unmasked)
        if word is None or (strengths[word] == 0 and is_read):
            html.append(_shown(piece))
        elif not is_read:
            html.append(f'<span style="opacity: 0.55">{_shown(piece)}</span>')
        else:
            html.append(_mark(piece, float(strengths[word]), f"{scores[word]:+.3g}"))
    return "".join(html)


def _render_one(explanation: Explanation, several: bool) -> str:
    headline = f"row {explanation.row}: " * several + explanation.headline
    texts = "".join(
        '<p dir="auto" style="margin: 0.4em 0; line-height: 1.9; white-space: pre-wrap; '
        f'overflow-wrap: anywhere">{render_words(explanation, part)}</p>'
        for part in range(len(explanation.texts))
    )
    top = explanation.top()
    words = explanation.words
    rows = [
        [words[number], write_score(explanation.scores[number], explanation.explained)]
        for number in top.tolist()
    ]
    table = f"<details><summary>strongest words</summary>{html_table(['word', 'score'], rows)}" \
            "</details>" if rows else ""
    return (
        '<div style="border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 6px; '
        'margin: 0.7em 0; padding: 0.5em 0.9em; max-width: 60em">'
        f'<div style="font-weight: 600; overflow-wrap: anywhere">{_shown(headline)}'
        f"</div>{texts}<div style=\"{_QUIET}\">{_shown(explanation.footnote)}</div>{table}</div>"
    )


def render_legend() -> str:
    """Return what the marks mean, as a paragraph."""
    return (
        f'<p style="{_QUIET}; line-height: 1.9">{_mark("supports", 0.8, "positive")} the target; '
        f'{_mark("speaks against", -0.8, "negative")} it; '
        '<span style="opacity: 0.55">pale</span>: not read</p>'
    )


def _mark(piece: str, strength: float, title: str) -> str:
    """Return a word, marked by the sign and the size of its score."""
    size, supports = abs(strength), strength > 0
    colour = _COLOURS[supports]
    weight = "; font-weight: 700" if size >= _STRONG else ""
    return (
        f'<span title="{title}" style="background: rgba({colour}, {0.08 + 0.37 * size:.2f}); '
        f"border-bottom: {1 + 2 * size:.1f}px {'solid' if supports else 'dashed'} rgb({colour})"
        f'{weight}">{_shown(piece)}</span>'
    )


def _shown(text: str) -> str:
    """Return a text as HTML, which has no null bytes and no lone surrogates."""
    return escape(text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8"))
