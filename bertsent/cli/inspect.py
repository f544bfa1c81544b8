"""``bertsent inspect``: show what a directory contains, without loading it."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping
from typing import Any

from bertsent.classifier import inspect_directory
from bertsent.cli.layout import screen_width
from bertsent.cli.output import print_json
from bertsent.hub import resolve_directory
from bertsent.system import format_size

_INDENT = 13
# Digits of a hash in the table; --json prints all 64.
_DIGITS = 16


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    found = inspect_directory(resolve_directory(args.directory))
    if args.json:
        print_json(found)
    else:
        print(format_found(found))
    if found["problems"]:
        raise SystemExit(1)


def format_found(found: Mapping[str, Any]) -> str:
    """Return the description of a directory as text."""
    width = screen_width() + 2
    lines: list[str] = []

    def add(title: str, text: str) -> None:
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        lines.extend(textwrap.wrap(
            text, width, initial_indent=f"{title:<{_INDENT}}", subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        ))

    add("directory", found["directory"])
    if "written_by" in found:
        add("written by", found["written_by"])
    if "model" in found:
        _add_model(add, found["model"])
    if "tokenizer" in found:
        tokenizer = found["tokenizer"]
        case = "lower case" if tokenizer["lowercase"] else "cased"
        add("tokenizer", f"{tokenizer['kind']}, {tokenizer['tokens']:,} tokens, {case}")
    if "classifier" in found:
        classifier = found["classifier"]
        add("classifier", f"members: {classifier['members']}; max_length: "
            f"{classifier['max_length']}; long_text: {classifier['long_text']}; "
            f"trained from: {classifier['model']!s:.200}")
        if "words" in classifier:
            words = classifier["words"]
            add("words", f"{words['terms']:,} words and word pairs, weight {words['weight']:g}")
    for run in found.get("run") or ():
        steps = ", ".join(map(str, run["steps"]))
        where = f"in {run['folder']}, " if run["folder"] else ""
        add("checkpoints", f"{where}of the steps {steps}" + (
            f"; epochs completed: {run['epoch']}" if run["epoch"] is not None else ""
        ))
        if run["problem"]:
            add("", run["problem"])
    if found["files"]:
        widest = min(max(len(file["name"]) for file in found["files"]), 36)
        lines += ["", f"{'file':<{widest}}  {'size':>8}  sha256 ({_DIGITS} of 64 digits)"]
        for file in found["files"]:
            name = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in file["name"])
            size = format_size(file["size"]) if file["size"] else "0B"
            short = name if len(name) <= widest else name[: widest - 3] + "..."
            lines.append(f"{short:<{widest}}  {size:>8}  {(file['sha256'] or '-')[:_DIGITS]}")
    for title, texts in (("note", found["notes"]), ("problem", found["problems"])):
        if texts:
            lines.append("")
        for text in texts:
            add(f"{title}:", text)
    return "\n".join(lines)


def _add_model(add: Any, model: Mapping[str, Any]) -> None:
    engine, classes = model["engine"], model["classes"]
    add("model", f"{model['family']}, {engine['num_hidden_layers']} layers, "
        f"{engine['hidden_size']} wide, {engine['num_attention_heads']} heads, "
        f"{engine['max_position_embeddings']} positions, pooling {engine['pooling']}")
    kinds = ", ".join(f"{count:,} {dtype}" for dtype, count in sorted(model["dtypes"].items()))
    add("weights", f"{model['parameters']:,} parameters; stored values: {kinds}"
        + ("; for prediction in int8" if model["int8"] else ""))
    if classes is not None:
        shown = ", ".join(name if len(name) <= 60 else name[:57] + "..." for name in classes[:20])
        more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
        add("task", f"{model['task']}, {len(classes)} classes: {shown}{more}")
    if model["fresh"]:
        add("missing", f"{' and '.join(model['fresh'])}: fine-tuning starts it at random, and "
            "the model cannot predict before")
    if model["unused"]:
        more = f" and {len(model['unused']) - 5} more" if len(model["unused"]) > 5 else ""
        add("not used", ", ".join(f"{name:.60}" for name in model["unused"][:5]) + more)
