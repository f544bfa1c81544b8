"""``bertsent suggest-labels``: choose which texts to label next."""

from __future__ import annotations

import argparse
import sys

import pandas as pd

from bertsent.active_learning import suggest_labels as suggest_first
from bertsent.classifier import open_predictor, suggest_labels
from bertsent.cli.flags import (
    check_files_of,
    check_order,
    columns_of_texts,
    prediction_parameters,
    read_source,
    settle_columns,
)
from bertsent.files import (
    DECIMALS,
    drop_missing,
    frame_texts,
    open_output,
    read_chunks,
    refuse_taken,
    require_columns,
    row_namer,
    text_columns_of,
)
from bertsent.texts import name_texts

# Parameters of prediction that the choice of the first texts has, too.
_OF_FIRST = ("max_length", "n_threads", "memory_limit")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if args.json and args.output is not None:
        args.usage_error("--json prints to stdout; the name of OUT says in which format it is")
    check_order(args)
    changed = prediction_parameters(args)
    if args.first:
        for name in changed.keys() - {*_OF_FIRST, "inference_precision"}:
            args.usage_error(f"--{name.replace('_', '-')} cannot be used with --first")
    source = read_source(args, args.file)
    is_named = args.text_column is not None
    if is_named:
        check_files_of(args, source)
    ready = None if args.first else open_predictor(args.directory, changed)
    if not is_named:
        settle_columns(args, source, pairs=ready.fitted.pairs if ready else None)
        check_files_of(args, source)
    columns = text_columns_of(source, **columns_of_texts(args))
    frame = pd.concat(list(read_chunks(source, as_stored=True)))
    require_columns(frame.columns, columns, source)
    frame, n_missing = drop_missing(frame, list(columns.values()), args.missing, source)
    if n_missing:
        print(f"{n_missing:,} rows with an empty cell left out", file=sys.stderr)
    texts = pd.Series(frame_texts(frame, columns, source), index=frame.index, dtype=object)
    added = ["row", "represents"]
    if ready is not None:
        added[1:1] = [*ready.objective.prediction_columns, "uncertainty"]
    refuse_taken(frame.columns, added, str(source))
    with name_texts(row_namer(source, frame.index)):
        if ready is None:
            how = {name: changed[name] for name in _OF_FIRST if name in changed}
            if "inference_precision" in changed:
                how["precision"] = changed["inference_precision"]
            found = suggest_first(
                texts, args.n, model=args.directory, threshold=args.threshold, **how
            )
        else:
            found = suggest_labels(ready, texts, args.n, args.candidates, args.threshold)
    for name in found.columns[found.dtypes == "float64"]:
        found[name] = found[name].round(DECIMALS)
    kept = frame.loc[found["row"]]
    result = kept.assign(**{name: found[name].to_numpy() for name in added})
    with open_output(args.output, source, "json" if args.json else "csv") as output:
        output.learn(result)
        output.write(result)
    if args.output is not None:
        print(f"{len(result):,} texts to label written to {args.output}", file=sys.stderr)
