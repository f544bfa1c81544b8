"""``bertsent explain``: show what each word of a text adds to its prediction."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

import pandas as pd

from bertsent.classifier import explain, open_predictor
from bertsent.cli.flags import (
    check_order,
    columns_of_texts,
    prediction_parameters,
    read_source,
    settle_columns,
)
from bertsent.cli.predict import require_text
from bertsent.explanation import lay_out
from bertsent.files import (
    DECIMALS,
    check_files,
    check_output,
    drop_missing,
    frame_texts,
    open_output,
    read_chunks,
    require_columns,
    row_namer,
    text_columns_of,
)
from bertsent.texts import name_texts

if TYPE_CHECKING:
    from bertsent.explanation import Explanations

_PAGES = (".html", ".htm")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if (args.file is None) == (args.text is None):
        args.usage_error("pass either FILE or --text" + ", not both" * (args.file is not None))
    if args.json and args.output is not None:
        args.usage_error("--json prints to stdout; the name of OUT says in which format it is")
    if args.text_pair is not None and len(args.text_pair) != len(args.text or []):
        args.usage_error("--text-pair needs a --text; pass one for each")
    for text in [*(args.text or []), *(args.text_pair or [])]:
        require_text(text)
    check_order(args)
    is_page = args.output is not None and args.output.lower().endswith(_PAGES)
    if args.output is not None:
        check_output(args.output, args.force, is_table=not is_page)
    found = _explain_texts(args) if args.file is None else _explain_file(args)
    if is_page:
        found.save_html(args.output, f"Predictions of {args.directory}", overwrite=True)
    elif args.output is None and not args.json:
        print(lay_out(found))
    else:
        frame = found.to_frame()
        if found[0].explained != "prediction":  # which may have a small unit
            frame["score"] = frame["score"].round(DECIMALS)
        with open_output(args.output, None, "json" if args.json else "csv") as output:
            output.learn(frame)
            output.write(frame)
    if args.output is not None:
        print(f"{len(found):,} explained texts written to {args.output}", file=sys.stderr)


def _explain_texts(args: argparse.Namespace) -> Explanations:
    ready = open_predictor(args.directory, prediction_parameters(args))
    texts = args.text
    if args.text_pair is not None:
        texts = list(zip(args.text, args.text_pair, strict=True))
    with name_texts(lambda number: f"--text {shlex.quote(args.text[number])}"):
        return explain(
            ready, texts, args.method, args.target, args.tolerance, n_words=args.n_words
        )


def _explain_file(args: argparse.Namespace) -> Explanations:
    """Explain the first rows of the file."""
    source = read_source(args, args.file)
    ready = open_predictor(args.directory, prediction_parameters(args))
    settle_columns(args, source, pairs=ready.fitted.pairs)
    columns = text_columns_of(source, **columns_of_texts(args))
    check_files(source, None, columns)
    taken, count = [], 0
    for chunk in read_chunks(source, as_stored=True):
        require_columns(chunk.columns, columns, source)
        chunk, n_missing = drop_missing(chunk, list(columns.values()), args.missing, source)
        taken.append(chunk.iloc[: args.rows - count])
        count += len(taken[-1])
        if count == args.rows:
            break
    frame = pd.concat(taken)
    texts = pd.Series(frame_texts(frame, columns, source), index=frame.index, dtype=object)
    with name_texts(row_namer(source, frame.index)):
        return explain(
            ready, texts, args.method, args.target, args.tolerance, n_words=args.n_words
        )
