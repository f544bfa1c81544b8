"""An estimator as HTML, for notebooks: what it is made of, and how its training went.

It has no style sheet, no script and nothing from elsewhere. Text has the colour of its page, and
the two colours of the drawings stand out on light and dark ones. What comes from users or files is
escaped.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from html import escape
from inspect import Parameter, signature
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertsent.classifier.parameters import DEFAULTS
from bertsent.classifier.resolve import resolve_freeze
from bertsent.hub import engine_config, family_of, parameter_table, read_model_shape
from bertsent.model import MINILM
from bertsent.system import BLUE, VERMILION, expand_path, format_means

if TYPE_CHECKING:
    from bertsent.classifier.base import BertEstimator
    from bertsent.classifier.fitted import Fitted

_FAINT = "color-mix(in srgb, currentColor 25%, transparent)"
_LONGEST = 60  # characters of a value
_short = reprlib.Repr()
_short.maxstring = _short.maxother = _LONGEST


class _Shape(NamedTuple):
    """What is known of a model."""

    family: str
    layers: int
    hidden_size: int
    size: int
    frozen_layers: int
    frozen: int


def render(estimator: BertEstimator) -> str:
    """Return an estimator as HTML.

    Nothing is downloaded: of an unfitted estimator, the layers are known if its model is MiniLM or
    a directory.
    """
    fitted = estimator._fitted
    shape = _shape_of(estimator, fitted)
    facts = _facts(estimator, fitted, shape)
    rows = "".join(
        f'<div style="opacity: 0.75">{escape(name)}</div>'
        f'<div style="overflow-wrap: anywhere">{escape(text)}</div>' for name, text in facts
    )
    parts = [
        '<div style="display: grid; grid-template-columns: max-content minmax(0, 1fr); '
        'gap: 0.1em 1em; flex: 1 1 16em; min-width: 0">' + rows + "</div>"
    ]
    if shape is not None:
        parts.insert(0, _draw_layers(shape))
    if fitted is not None and fitted.history:
        parts.append(_draw_history(fitted.history))
    changed = ", ".join(_changed(estimator))
    parameters = (
        '<div style="margin-top: 0.6em; font-family: monospace; overflow-wrap: anywhere">'
        f"{escape(changed)}</div>" if changed else ""
    )
    state = "not fitted" if fitted is None else "fitted"
    return (
        f'<div style="border: 1px solid {_FAINT}; border-radius: 6px; padding: 0.7em 1em; '
        'max-width: 50em; box-sizing: border-box; line-height: 1.45; text-align: left">'
        f'<div style="margin-bottom: 0.6em"><b>{escape(type(estimator).__name__)}</b> '
        f'<span style="border: 1px solid {_FAINT}; border-radius: 1em; padding: 0 0.6em; '
        f'font-size: 0.85em; white-space: nowrap">{state}</span></div>'
        '<div style="display: flex; flex-wrap: wrap; gap: 0.8em 1.6em; align-items: flex-start">'
        f"{''.join(parts)}</div>{parameters}</div>"
    )


def _shape_of(estimator: BertEstimator, fitted: Fitted | None) -> _Shape | None:
    """Return the shape of the model; None if it is unknown or `freeze_layers` does not suit it."""
    try:
        freeze = estimator.freeze_layers
        if fitted is not None:
            config, engine = fitted.model._config, fitted.model._engine
            own = fitted.frozen_layers
            if own is not None:  # files of earlier versions do not say it
                freeze = own if isinstance(own, int) else own[0]
            else:
                freeze = (fitted.plan or {}).get("freeze_layers", freeze)
        else:
            found = _look_up(estimator.model)
            if found is None:
                return None
            config, engine = found
        from bertsent import _core

        layers = engine["num_hidden_layers"]
        frozen_layers = resolve_freeze(freeze, layers)
        begin = _core.trained_from(engine, frozen_layers)
        _, table = parameter_table(config, engine)
        sizes = [math.prod(each.shape) for each in table]
        size = sum(sizes)
        frozen = sum(
            own for own, each in zip(sizes, table, strict=True) if each.offset < begin
        )
        return _Shape(
            family_of(config).name, layers, engine["hidden_size"], size, frozen_layers, frozen
        )
    except Exception:
        # Parameters are checked by fit; until then, an estimator must show them, not raise.
        return None


def _look_up(model: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the configuration of a model that is not loaded, unless that takes a download."""
    if model == "minilm":
        return MINILM, engine_config(MINILM, 2)
    if not isinstance(model, str | PathLike):
        return None
    directory = expand_path(model)
    return read_model_shape(directory) if (directory / "config.json").is_file() else None


def _facts(
    estimator: BertEstimator, fitted: Fitted | None, shape: _Shape | None
) -> list[tuple[str, str]]:
    facts = [("model", _name(estimator.model))]
    if shape is not None:
        facts.append((
            "family", f"{shape.family}, {shape.layers} layers, hidden size {shape.hidden_size}"
        ))
        size = f"{_count(shape.size)}, all trained"
        if shape.frozen:
            size = (
                f"{_count(shape.size)}: {_count(shape.size - shape.frozen)} trained, "
                f"{_count(shape.frozen)} frozen"
            )
        facts.append(("parameters", size))
    if fitted is None:
        return facts
    voters = f"{len(fitted.models)} members" if len(fitted.models) > 1 else ""
    words = f"a linear model of words (weight {fitted.word_weight:.2f})" if fitted.words else ""
    if voters or words:
        facts.append(("vote", " and ".join(filter(None, (voters or "1 member", words)))))
    names = fitted.objective.label_names
    if names:
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        named = fitted.classes is not None or len(names) > 1
        facts.append((fitted.objective.outputs, f"{len(names)}: {shown}" if named else "1"))
    if fitted.training_rows is not None:
        texts = f"{len(fitted.training_rows):,} texts"
        if fitted.validation_rows is not None:
            texts += f", {len(fitted.validation_rows):,} held out"
        facts.append(("trained on", texts))
    if fitted.history:
        last = fitted.history[-1]
        means = {name: value for name, value in last.items() if name != "member"}
        shown = ", ".join(f"{name} {value}" for name, value in format_means(means).items())
        facts.append((f"epoch {last['epoch']}", shown))
    return facts


def _name(model: Any) -> str:
    if isinstance(model, PathLike) or (isinstance(model, str) and Path(model).is_absolute()):
        return Path(model).name or str(model)
    return model if isinstance(model, str) else _short.repr(model)


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def _changed(estimator: BertEstimator) -> list[str]:
    """Return the parameters that differ from their defaults, as in a call."""
    defaults = {
        name: parameter.default
        for name, parameter in signature(type(estimator).__init__).parameters.items()
    }
    shown = []
    for name, value in estimator.get_params(deep=False).items():
        default = defaults.get(name, DEFAULTS.get(name, Parameter.empty))
        if name != "model" and _show(value) != _show(default):
            shown.append(f"{name}={_show(value)}")
    return shown


def _show(value: Any) -> str:
    # An estimator, such as a teacher, would show all of itself.
    text = f"{type(value).__name__}(…)" if hasattr(value, "get_params") else _short.repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _draw_layers(shape: _Shape) -> str:
    """Return a drawing of embeddings, layers and head, from bottom to top."""
    step = min(13.0, 120.0 / shape.layers)
    begins = shape.frozen_layers > 0
    blocks = [
        ("embeddings", begins, 13.0),
        *((f"layer {number + 1}", number < shape.frozen_layers, step)
          for number in range(shape.layers)),
        ("head", False, 13.0),
    ]
    height = sum(size for _, _, size in blocks) + 4
    y, parts, place = height - 2, [], {}
    for name, frozen, size in blocks:
        y -= size
        look = (
            'fill="none" stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="2 2"'
            if frozen else f'fill="{BLUE}" stroke="none"'
        )
        state = "frozen" if frozen else "trained"
        parts.append(
            f'<rect x="1" y="{y + 1:.1f}" width="44" height="{max(size - 2, 1):.1f}" rx="1" {look}>'
            f"<title>{name}, {state}</title></rect>"
        )
        place[name] = y + size / 2
    layers = shape.layers - shape.frozen_layers
    labels = [(place["head"], "head")]
    if layers:
        middle = (place[f"layer {shape.frozen_layers + 1}"] + place[f"layer {shape.layers}"]) / 2
        labels.append((middle, f"{layers} layer{'s' if layers > 1 else ''} trained"))
    if shape.frozen_layers:
        middle = (place["layer 1"] + place[f"layer {shape.frozen_layers}"]) / 2
        number = shape.frozen_layers
        labels.append((middle, f"{number} layer{'s' if number > 1 else ''} frozen"))
    labels.append((place["embeddings"], "embeddings"))
    return _svg(160, height, "layers of the model", parts + [
        f'<text x="52" y="{at + 4:.1f}" fill="currentColor" font-size="11">{text}</text>'
        for at, text in labels
    ])


def _draw_history(history: Sequence[Mapping[str, Any]]) -> str:
    """Return the loss by epoch as a small chart."""
    width, height, left, top, bottom = 190.0, 104.0, 36.0, 8.0, 30.0
    last = max(row["epoch"] for row in history)
    # A loss that became too large has no place.
    values = [
        row[key] for row in history for key in ("loss", "validation_loss") if _is_drawn(row, key)
    ]
    if not values:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0

    def place(row: Mapping[str, Any], key: str) -> tuple[float, float]:
        across = (row["epoch"] - 1) / max(1, last - 1)
        return (
            left + 4 + across * (width - left - 12),
            height - bottom - (row[key] - low) / span * (height - top - bottom),
        )

    parts = [
        f'<path d="M{left},{top}V{height - bottom + 4}H{width - 4}" fill="none" '
        'stroke="currentColor" stroke-opacity="0.4"/>',
        f'<text x="{left - 4}" y="{top + 6}" {_RIGHT}>{high:.3g}</text>',
        f'<text x="{width - 4}" y="{height - bottom + 16}" {_RIGHT}>epoch {last}</text>',
    ]
    if high > low:
        parts.append(f'<text x="{left - 4}" y="{height - bottom + 2}" {_RIGHT}>{low:.3g}</text>')
    legend = left
    for key, name, colour, dash in (
        ("loss", "loss", BLUE, ""), ("validation_loss", "held out", VERMILION, "4 2"),
    ):
        if not any(_is_drawn(row, key) for row in history):
            continue
        for member in sorted({row.get("member", 1) for row in history}):
            points = [
                place(row, key) for row in history
                if _is_drawn(row, key) and row.get("member", 1) == member
            ]
            if not points:
                continue
            path = "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(
                f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.5" '
                f'stroke-dasharray="{dash or "none"}"/>'
            )
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{colour}"/>'
                      for x, y in points]
        parts.append(
            f'<path d="M{legend},{height - 5}h14" stroke="{colour}" stroke-width="1.5" '
            f'stroke-dasharray="{dash or "none"}"/><text x="{legend + 18}" y="{height - 1}" '
            f'fill="currentColor" font-size="11">{name}</text>'
        )
        legend += 60
    return _svg(width, height, "loss by epoch", parts)


def _is_drawn(row: Mapping[str, Any], key: str) -> bool:
    return key in row and math.isfinite(row[key])


_RIGHT = 'fill="currentColor" font-size="11" text-anchor="end"'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{title}" style="flex: none">{"".join(parts)}</svg>'
    )
