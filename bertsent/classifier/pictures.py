"""Charts as inline SVG, in the colours of their page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from bertsent.objectives import ReportChart, Series

# Of the picture and of the area between the axes, in units of the SVG.
WIDTH, HEIGHT = 460, 320
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 48
_COLOURS = 6

STYLE = """
svg { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; }
svg text { fill: var(--quiet); }
svg .axis { stroke: var(--line); stroke-width: 1; fill: none; }
svg .even { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 4 4; }
svg .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
svg .dot { fill: var(--c); }
svg .bar { fill: var(--c); fill-opacity: .35; }
svg .c0, .c0 { --c: var(--c-0); } svg .c1, .c1 { --c: var(--c-1); }
svg .c2, .c2 { --c: var(--c-2); } svg .c3, .c3 { --c: var(--c-3); }
svg .c4, .c4 { --c: var(--c-4); } svg .c5, .c5 { --c: var(--c-5); }
.legend { display: flex; flex-wrap: wrap; gap: .2em 1em; margin: .4em 0 0; padding: 0;
          list-style: none; font-size: .85em; overflow-wrap: anywhere; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em;
            border-radius: 2px; background: var(--c); }
"""


def draw(chart: ReportChart) -> str:
    """Return a chart as a figure of HTML."""
    (left, right), (low, high) = chart.x_range, chart.y_range

    def place(x: float, y: float) -> tuple[float, float]:
        """Return the point of a value in the picture."""
        across = LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)
        return across, HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts = [
        f'<path class="axis" d="M{LEFT},{TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 8}" text-anchor="middle">'
        f"{escape(chart.x_label)}</text>",
        f'<text x="14" y="{middle:g}" text-anchor="middle" '
        f'transform="rotate(-90 14 {middle:g})">{escape(chart.y_label)}</text>',
    ]
    named: list[tuple[float, str]] = [(tick, f"{tick:g}") for tick in ticks(left, right)]
    if chart.x_names is not None:
        named = list(enumerate(chart.x_names))
    for tick, name in named:
        x, y = place(tick, low)
        parts.append(
            f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{escape(name)}</text>'
        )
    for tick in ticks(low, high):
        x, y = place(left, tick)
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    if chart.diagonal:
        (x1, y1), (x2, y2) = place(left, left), place(right, right)
        parts.append(f'<path class="even" d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}"/>')
    for number, series in enumerate(chart.series):
        points = [place(float(x), float(y)) for x, y in zip(series.x, series.y, strict=True)]
        width = (WIDTH - LEFT - RIGHT) / (right - left) * series.bar_width
        parts.append(_mark(series, number % _COLOURS, points, place(left, max(low, 0.0))[1], width))
    title = escape(chart.title)
    return (
        f'<figure><figcaption>{title}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{title}">{"".join(parts)}</svg>{_legend(chart.series)}</figure>'
    )


def _mark(
    series: Series, colour: int, points: list[tuple[float, float]], base: float, width: float
) -> str:
    """Return the points of a series; bars begin at `base`."""
    if series.kind == "bars":
        return "".join(
            f'<rect class="bar c{colour}" x="{x - width / 2:.1f}" y="{min(y, base):.1f}" '
            f'width="{width:.1f}" height="{abs(base - y):.1f}"/>' for x, y in points
        )
    radius = 2 if len(points) > 100 else 3.5
    dots = "".join(
        f'<circle class="dot c{colour}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'
        for x, y in points
    )
    if series.kind == "dots":
        return dots
    path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    line = f'<path class="line c{colour}" d="M{path}"/>' if points else ""
    return line + (dots if series.kind == "points" else "")


def _legend(series: Sequence[Series]) -> str:
    names = [
        f'<li class="c{number % _COLOURS}"><i></i>{escape(each.name)}{escape(each.note)}</li>'
        for number, each in enumerate(series) if each.name
    ]
    return f'<ul class="legend">{"".join(names)}</ul>' if names else ""


def ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers from `low` to `high`."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return [float(f"{step * number + 0.0:.6g}") for number in np.arange(first, last + 1)]
