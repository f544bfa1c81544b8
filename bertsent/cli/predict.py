"""``bertsent predict``: label texts with a saved model."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from bertsent.classifier import open_predictor
from bertsent.cli.flags import (
    check_files_of,
    check_order,
    prediction_parameters,
    read_source,
    settle_columns,
)
from bertsent.cli.output import print_json
from bertsent.files import DECIMALS, label_file, require_printable, to_plain
from bertsent.texts import is_missing, name_texts, text_columns

if TYPE_CHECKING:
    from bertsent.classifier import Predictor
    from bertsent.texts import Text


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if (args.file is None) == (args.text is None):
        args.usage_error("pass either FILE or --text" + ", not both" * (args.file is not None))
    if args.text is not None and args.output is not None:
        args.usage_error("--output requires FILE; the result of --text is printed to stdout")
    if args.json and args.output is not None:
        args.usage_error("--json prints to stdout; the name of OUT says in which format it is")
    pairs = args.text_pair is not None
    if pairs and len(args.text_pair) != len(args.text or []):
        args.usage_error("--text-pair needs a --text; pass one for each")
    for text in [*(args.text or []), *(args.text_pair or [])]:
        require_text(text)
    check_order(args)
    source = None if args.file is None else read_source(args, args.file)
    is_named = args.text_column is not None
    if source is not None and is_named:
        check_files_of(args, source)
    ready = open_predictor(args.directory, prediction_parameters(args), args.abstain)
    if source is not None and not is_named:  # whether pairs are looked for depends on the model
        settle_columns(args, source, pairs=ready.fitted.pairs)
        check_files_of(args, source)
    precision = ready.check()
    if args.output is None and not args.json:
        names = ready.objective.label_names
        require_printable(names, lambda number: f"the name of class {number}")
    if source is None:
        texts = list(zip(args.text, args.text_pair, strict=True)) if pairs else args.text
        print_texts(ready, texts, args.json)
        return
    scored = label_file(
        ready.table, ready.objective.prediction_columns, source, args.output,
        text_column=args.text_column, text_pair_column=args.text_pair_column,
        possible=ready.objective.possible_predictions, chunk_rows=args.chunk_rows,
        missing=args.missing, overwrite=args.force, printed="json" if args.json else "csv",
    )
    if scored.rows_left_out:
        print(f"{scored.rows_left_out:,} rows with an empty cell left out", file=sys.stderr)
    if args.output is not None:
        print(
            f"{scored.rows:,} labelled rows written to {args.output}, computed in {precision}",
            file=sys.stderr,
        )


def require_text(text: str) -> None:
    """Raise a ValueError if the bytes of an argument are not text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        encoding = sys.getfilesystemencoding()
        advice = "" if encoding == "utf-8" else "; set PYTHONUTF8=1 in the environment"
        raise ValueError(
            f"--text {text!a} is not text in {encoding}, the encoding of arguments{advice}"
        ) from None


def print_texts(ready: Predictor, texts: list[Text], as_json: bool) -> None:
    """Print the predictions for texts: a line each, of values or of JSON."""
    given = text_columns(texts)
    with name_texts(lambda number: f"--text {shlex.quote(given['text'][number])}"):
        columns = ready.table(texts, decimals=DECIMALS)
    for number, found in enumerate(zip(*columns.values(), strict=True)):
        # A label is missing if it abstains.
        values = [None if is_missing(value) else to_plain(value) for value in found]
        if as_json:
            named = zip(columns, values, strict=True)
            own = {name: column[number] for name, column in given.items()}
            print_json(own | dict(named), indent=None)
        else:
            label, *probabilities = values
            print(
                "" if label is None else label, *(f"{value:.4f}" for value in probabilities),
                sep="\t",
            )
