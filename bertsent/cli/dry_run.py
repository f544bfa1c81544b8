"""``bertsent train --dry-run``: estimate the time, memory and disk space that training takes."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bertsent.classifier import describe_plan, estimate_fit
from bertsent.cli.layout import screen_width
from bertsent.system import format_seconds, format_size

if TYPE_CHECKING:
    from bertsent.cli.corpus import Corpus

# The time relative to the estimate, if other programs use the processor less or more than now.
RANGE = (0.8, 1.5)


def run(
    args: argparse.Namespace,
    parameters: Mapping[str, Any],
    corpus: Corpus,
) -> None:
    """Measure the machine, and print the estimates."""
    found = estimate_fit(
        parameters, corpus.objective_class, corpus.train_texts, corpus.train_labels,
        corpus.test_texts, args.output, corpus.unlabelled,
    )
    print(format_estimate(found))


def _rows_of(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the rows for tokens and steps, for each member if they differ."""
    tokens, plans = found["tokens"], found["plans"]
    for number, (plan, train) in enumerate(zip(plans, tokens["train"], strict=True), 1):
        mine = f"member {number}: " if len(plans) > 1 else ""
        yield "tokens", (f"{mine}{train:,} per epoch, {tokens['validation']:,} held out, "
                         f"{tokens['test']:,} to test, with --max-length {plan['max_length']}")
        each = found["members"] > 1 and len(plans) == 1
        of_each = f", for each of {found['members']} members" if each else ""
        yield "steps", (f"{mine}{plan['steps']:,} (--epochs {plan['epochs']}) in "
                        f"{found['precision']}{of_each}; evaluations: {plan['evaluations']}")


def format_estimate(found: Mapping[str, Any]) -> str:
    """Return the estimates as a table."""
    plan, texts = found["plan"], found["texts"]
    seconds, memory, disk = found["seconds"], found["memory"], found["disk"]
    total = sum(seconds.values())
    low, high = (factor * total for factor in RANGE)
    # A budget limits the time of training, but not that of the test after it.
    outside = seconds["test"] + seconds["teacher"]
    high = min(high, plan["budget"] - plan["used"] + RANGE[1] * outside)
    available = memory["available"]
    rows = [
        ("texts", f"{texts['train']:,} to train on, {texts['validation']:,} held out, "
                  f"{texts['test']:,} to test"),
        *_rows_of(found),
        ("time", f"{format_seconds(total)} ({format_seconds(low)} to {format_seconds(high)}): "
                 f"{format_seconds(seconds['training'])} training, "
                 + (f"{format_seconds(seconds['words'])} words, " if seconds["words"] else "")
                 + f"{format_seconds(seconds['evaluation'])} evaluation, "
                 f"{format_seconds(seconds['test'])} testing"
                 + (f", {format_seconds(seconds['teacher'])} scoring by the teacher"
                    if seconds["teacher"] else "")),
        ("memory", f"{format_size(memory['process'] + memory['model'])}: "
                   f"{format_size(memory['process'])} Python and the texts, "
                   f"{format_size(memory['model'])} model and training"
                   + (f"; {format_size(available)} available" if available else "")),
        ("disk", f"{format_size(disk['total'])}: {format_size(disk['output'])} output"
                 + (f", checkpoints up to {disk['checkpoints']} x "
                    f"{format_size(disk['checkpoint'])}" if disk["checkpoints"] else "")
                 + f"; {format_size(disk['free'])} free"),
    ]
    lines = ["", "dry run: nothing is trained or written. Training would take about:", ""]
    for name, text in rows:
        lines += textwrap.wrap(
            f"{name:<9}{text}", screen_width(), subsequent_indent=" " * 9, break_on_hyphens=False
        )
    if found["limited"]:
        lines += ["", describe_plan(plan)]
    if found["limit"] is not None:
        lines += ["", found["limit"]]
    return "\n".join(lines)
