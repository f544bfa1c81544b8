"""A report of a test that people read: one file of HTML without scripts, in light and dark.

Everything that comes from data is escaped here or where it is drawn, and a policy in the page
forbids scripts and anything from elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.classifier.pictures import STYLE, draw
from bertsent.explanation import Explanation, render_legend, render_words
from bertsent.objectives import ReportChart, Series
from bertsent.system import check_interrupts, html_table

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.evaluation import Evaluation
    from bertsent.objectives import Objective
    from bertsent.texts import Text

Array: TypeAlias = "npt.NDArray[Any]"

# Resamples of the bootstrap: fewer if there are many logits, so that it takes seconds.
MOST_RESAMPLES, LEAST_RESAMPLES, _NUMBERS = 1000, 200, 2e8
# Kinds of examples, in the order of `choose_examples`.
_KINDS = (
    ("Worst examples",
     "The texts with the highest loss. Look whether what is given as true is right."),
    ("Most uncertain examples", "The texts that the model finds hardest to decide."),
)
# Examples of each kind, and characters that are shown of each.
MOST_EXAMPLES, MOST_CHARACTERS = 15, 400
# Characters that are shown of an example whose words are marked.
_MOST_EXPLAINED = 1200
_MOST_LENGTHS = 6

_CSS = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --quiet: #59636e; --line: #d1d9e0;
  --soft: #f6f8fa; --c-0: #0b62c4; --c-1: #c2410c; --c-2: #15803d; --c-3: #9333ea; --c-4: #a16207;
  --c-5: #be185d; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181d; --text: #e6edf3; --quiet: #9da7b3; --line: #3d444d; --soft: #1d232a;
    --c-0: #6cb2ff; --c-1: #ff9d5c; --c-2: #56d37a; --c-3: #cf9bff; --c-4: #e3b341;
    --c-5: #ff8ac0; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem clamp(.8rem, 4vw, 2.5rem) 3rem; max-width: 70rem;
  background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; } .quiet { color: var(--quiet); font-size: .92rem; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums;
  font-size: .92rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child { text-align: left; } thead th { color: var(--quiet); font-weight: 600; }
tbody th { font-weight: 500; }
figure { margin: 0; min-width: 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
.charts { display: grid; gap: 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem),
  1fr)); }
.example { background: var(--soft); border: 1px solid var(--line); border-radius: 6px;
  margin: .7rem 0; padding: .6rem .9rem; }
.example dl { display: flex; flex-wrap: wrap; gap: .1rem 1.4rem; margin: 0 0 .3rem;
  font-size: .9rem; }
.example div { display: flex; gap: .4rem; min-width: 0; } .example dt { color: var(--quiet); }
.example dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.example p { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; max-width: none; }
.example .words { line-height: 1.9; margin-top: .3rem; }
.note { border-left: 4px solid var(--c-1); padding: .3rem .8rem; background: var(--soft); }
@media (max-width: 30rem) { th, td { padding: .25rem .4rem; } }
"""


def render(
    result: Evaluation, objective: Objective, name: str, read: Sequence[Text],
    logits: npt.NDArray[np.float32], targets: Array, rows: Sequence[Any],
    explained: Mapping[int, Explanation | None],
) -> str:
    """Return the report as HTML.

    Parameters
    ----------
    result : Evaluation
    objective : Objective
    name : str
        Name of the model.
    read : sequence of str or of pairs of str
        The texts.
    logits, targets : ndarray
        Of the texts.
    rows : sequence
        What each text is called: its row.
    explained : dict of int to Explanation or None
        Explanations by the number of the text; None if it has no words.
    """
    texts = [text if isinstance(text, str) else "\n\u2014\n".join(text) for text in read]
    note = "" if result.note is None else f'<p class="note">{escape(result.note)}</p>'
    charts = objective.report_charts(logits, targets)
    charts.append(by_length(objective, texts, logits, targets))
    tables = []
    for table in objective.report_tables(result):
        title = f"<p>{escape(table.title)}</p>" if table.title else ""
        tables.append(title + html_table(table.columns, table.rows, table.shades))
    examples = ""
    if any(each is not None for each in explained.values()):
        examples = (
            "<h2>Why the model says so</h2><p>In the first examples of each kind below, words are "
            "marked by what they add to the prediction (integrated gradients). They say what the "
            f"model looks at, not whether it is right.</p>{render_legend()}"
        )
    for (title, about), order in zip(
        _KINDS, choose_examples(objective, logits, targets), strict=False
    ):
        examples += _examples(
            title, about, objective, texts, logits, targets, order, rows, explained
        )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Nothing is loaded and nothing runs, whatever a text contains.
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        f"<title>{escape(name)}: test</title><style>{_CSS}{STYLE}</style></head><body>"
        f"<h1>Test of {escape(name)}</h1><p><b>{escape(result.headline)}</b></p>{note}"
        f"<h2>Metrics</h2>{_intervals(objective, logits, targets)}"
        f'<h2>Details</h2>{"".join(tables)}'
        f'<h2>Charts</h2><div class="charts">{"".join(map(draw, charts))}</div>'
        f"{examples}</body></html>\n"
    )


def choose_examples(
    objective: Objective, logits: npt.NDArray[np.float32], targets: Array
) -> list[npt.NDArray[np.int64]]:
    """Return the numbers of all texts, by falling loss and, for classes, by rising certainty."""
    orders = [np.argsort(-objective.pointwise_loss(logits, targets), kind="stable")]
    if objective.classes is not None:
        orders.append(np.argsort(-objective.uncertainty(logits), kind="stable"))
    return orders


def _intervals(objective: Objective, logits: npt.NDArray[np.float32], targets: Array) -> str:
    """Return the metrics with confidence intervals as a table."""
    found = objective.measure(logits, targets)
    samples = bootstrap(objective, logits, targets)
    limits = {name: np.nanquantile(values, [0.025, 0.975]) for name, values in samples.items()}
    rows = [
        [name.replace("_", " "), f"{value:.4f}", f"{limits[name][0]:.4f} to {limits[name][1]:.4f}"]
        for name, value in found.items()
    ]
    number = len(next(iter(samples.values())))
    return html_table(["", "value", "95 % interval"], rows) + (
        f'<p class="quiet">Intervals from {number:,} bootstrap samples of the {len(targets):,} '
        "texts (percentiles). They say how much the result depends on which texts were tested.</p>"
    )


def bootstrap(
    objective: Objective, logits: npt.NDArray[np.float32], targets: Array
) -> dict[str, npt.NDArray[np.float64]]:
    """Return each metric for texts that are drawn with replacement, always the same ones.

    A metric is NaN for samples in which it is not defined.
    """
    rng, n_texts = np.random.default_rng(0), len(targets)
    resamples = int(np.clip(_NUMBERS / logits.size, LEAST_RESAMPLES, MOST_RESAMPLES))
    found: list[dict[str, float]] = []
    for _ in range(resamples):
        check_interrupts()
        rows = rng.integers(0, n_texts, n_texts)
        found.append(objective.measure(logits[rows], targets[rows], targets))
    return {name: np.array([each[name] for each in found]) for name in found[0]}


def by_length(
    objective: Objective, texts: Sequence[str], logits: npt.NDArray[np.float32], targets: Array
) -> ReportChart:
    """Return the metric of texts of similar length, in groups of about the same size."""
    lengths = np.array([len(text) for text in texts])
    values = np.asarray(objective.pointwise_metric(logits, targets), np.float64)
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _MOST_LENGTHS + 1)).astype(int))
    groups = np.searchsorted(edges[1:-1], lengths, side="right")
    names, means = [], []
    for group in np.unique(groups):
        inside = groups == group
        names.append(str(lengths[inside].max()))
        means.append(float(values[inside].mean()))
    metric = objective.metric.replace("_", " ")
    highest = 1.0 if objective.greater_is_better else max(means) * 1.1 or 1.0
    return ReportChart(
        f"{metric} by length", "characters of a text, at most", metric,
        [Series("", "bars", list(range(len(means))), means, bar_width=0.7)],
        (-0.5, len(means) - 0.5), (0.0, highest), x_names=names,
    )


def _examples(
    title: str, about: str, objective: Objective, texts: Sequence[str],
    logits: npt.NDArray[np.float32], targets: Array, order: npt.NDArray[np.int64],
    names: Sequence[Any], explained: Mapping[int, Explanation | None],
) -> str:
    """Return the first texts of an order, with what is true and what is predicted."""
    rows = order[:MOST_EXAMPLES]
    parts = [f'<h2>{title}</h2><p class="quiet">{about}</p>']
    cases: list[dict[str, Any]] = objective.describe_cases(logits[rows], targets[rows])
    for row, case in zip(rows.tolist(), cases, strict=True):
        facts = "".join(
            f'<div><dt>{escape(name)}</dt><dd dir="auto">{escape(str(value))}</dd></div>'
            for name, value in ({"row": names[row]} | case).items()
        )
        explanation = explained.get(row)
        if explanation is not None:
            parts.append(f'<div class="example"><dl>{facts}</dl>{_why(explanation)}</div>')
            continue
        text, more = texts[row][:MOST_CHARACTERS], len(texts[row]) - MOST_CHARACTERS
        rest = f' <span class="quiet">... and {more:,} characters more</span>' if more > 0 else ""
        # HTML has no null bytes. What turns the direction of writing does so within its text.
        shown = escape(text.replace("\0", "\ufffd"))
        parts.append(
            f'<div class="example"><dl>{facts}</dl><p dir="auto">{shown}{rest}</p></div>'
        )
    return "".join(parts)


def _why(explanation: Explanation) -> str:
    """Return what is explained, and the text with its words marked."""
    said = escape(f"{explanation.headline} ({explanation.footnote})".replace("\0", "\ufffd"))
    return f'<p class="quiet">{said}</p>' + "".join(
        f'<p class="words" dir="auto">{render_words(explanation, part, _MOST_EXPLAINED)}</p>'
        for part in range(len(explanation.texts))
    )
