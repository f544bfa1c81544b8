"""``bertsent evaluate``: test a saved model."""

import argparse
import sys
import warnings

from bertsent.classifier import evaluate, open_predictor
from bertsent.cli.corpus import labelled_columns, match_labels, may_be_empty
from bertsent.cli.flags import (
    check_label_sets,
    check_order,
    columns_of_texts,
    merge_label_maps,
    prediction_parameters,
    read_source,
    settle_columns,
)
from bertsent.cli.output import print_json
from bertsent.files import frame_texts, is_split_folder, read_rows, row_namer
from bertsent.objectives import Regression
from bertsent.texts import name_texts


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    label_map = merge_label_maps(args)
    check_order(args)
    if args.explain and args.report is None:
        args.usage_error("--explain is about the examples of a report; also pass --report")
    source = read_source(args, args.file)
    ready = open_predictor(args.directory, prediction_parameters(args), args.abstain)
    objective = ready.objective
    if not isinstance(objective, Regression):
        check_label_sets(args)
    ready.check()
    settle_columns(args, source, labels=True, pairs=ready.fitted.pairs)
    frame, n_missing = read_rows(
        source, labelled_columns(args), args.missing,
        may_be_empty=may_be_empty(args, objective.takes_threshold),
    )
    if is_split_folder(source):
        frame = frame[frame["part"] == "test"]
        print(f"{args.file}: testing on its test part", file=sys.stderr)
    if n_missing:
        print(f"{n_missing} rows with an empty cell left out", file=sys.stderr)
    if len(frame) == 0:
        raise ValueError(f"{args.file}: there are no rows to test on")
    texts = frame_texts(frame, columns_of_texts(args), source)
    try:
        y = match_labels(args, objective, frame, args.file, label_map)
    except ValueError as error:
        hint = ". --label-map LABEL=CLASS says which of these a label means"
        if label_map or isinstance(objective, Regression):
            hint = ""
        raise ValueError(f"{error}{hint}") from None
    with name_texts(row_namer(source, frame.index)):
        result = evaluate(
            ready, texts, y, report=args.report, explain=args.explain, overwrite=args.force
        )
    if args.report is not None:
        print(f"report written to {args.report}", file=sys.stderr)
    if not args.json:
        print(result)
        return
    print_json(result)
    if result.note is not None:
        warnings.warn(result.note, UserWarning, stacklevel=2)
