"""The loss during training as a small chart in a notebook, drawn again with every update."""

from __future__ import annotations

from collections.abc import Sequence

# Points of a line. If there are more, every second one is left out.
MOST_POINTS = 240
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420.0, 150.0, 48.0, 34.0, 10.0


class LiveCurve:
    """The mean loss since the epoch began, by step, and the loss on held-out texts.

    Attributes
    ----------
    training, held_out : list of (int, float)
        Steps and losses.
    """

    def __init__(self) -> None:
        self.training: list[tuple[int, float]] = []
        self.held_out: list[tuple[int, float]] = []
        self._every = 1

    def add(self, step: int, loss: float) -> None:
        """Add the loss of training after a step."""
        if step % self._every == 0:
            self.training.append((step, loss))
        if len(self.training) > MOST_POINTS:
            self._every *= 2
            self.training = [each for each in self.training if each[0] % self._every == 0]

    def evaluate(self, step: int, loss: float) -> None:
        """Add the loss on held-out texts after a step, or replace it."""
        if self.held_out and self.held_out[-1][0] == step:
            self.held_out.pop()
        self.held_out.append((step, loss))
        if len(self.held_out) > MOST_POINTS:
            del self.held_out[:-1:2]

    def draw(self, steps: int) -> str:
        """Return the chart as HTML, in the colour of the page; empty before two points.

        Parameters
        ----------
        steps : int
            Number of all steps, where the horizontal axis ends.
        """
        values = [loss for _, loss in (*self.training, *self.held_out)]
        if len(self.training) < 2:
            return ""
        low, high = min(values), max(values)
        span = (high - low) or 1.0
        right, base = _WIDTH - 8.0, _HEIGHT - _BOTTOM

        def place(step: int, loss: float) -> tuple[str, str]:
            across, up = step / max(1, steps), (loss - low) / span
            return f"{_LEFT + across * (right - _LEFT):.1f}", f"{base - up * (base - _TOP):.1f}"

        def path(points: Sequence[tuple[int, float]], dash: str) -> str:
            places = "L".join(",".join(place(*point)) for point in points)
            return (
                f'<path d="M{places}" fill="none" stroke="currentColor" stroke-width="1.5" '
                f'stroke-dasharray="{dash}" stroke-linecap="round"/>'
            )

        parts = [
            f'<path d="M{_LEFT},{_TOP}V{base}H{right}" fill="none" stroke="currentColor" '
            'stroke-opacity="0.4"/>',
            _label(_LEFT - 6, _TOP + 8, f"{high:.3g}"), _label(_LEFT - 6, base, f"{low:.3g}"),
            _label(right, base + 16, f"step {steps:,}"), path(self.training, "none"),
        ]
        legend = "solid: loss since the epoch began"
        if self.held_out:
            parts.append(path(self.held_out, "5 4"))
            # A path of one point is not visible.
            parts += [
                f'<circle cx="{x}" cy="{y}" r="2" fill="currentColor"/>'
                for x, y in (place(*point) for point in self.held_out)
            ]
            legend += "; dashed: held-out texts"
        parts.append(
            f'<text x="{_LEFT}" y="{_HEIGHT - 4}" font-size="11" fill="currentColor">'
            f"{legend}</text>"
        )
        return (
            f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="loss by step" '
            f'style="width: 100%; max-width: {_WIDTH:g}px; display: block">{"".join(parts)}</svg>'
        )


def _label(x: float, y: float, text: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="11" fill="currentColor" text-anchor="end">'
        f"{text}</text>"
    )
