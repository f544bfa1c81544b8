"""``bertsent evaluate``: test a saved model."""

import argparse
import sys
import warnings

from bertsent.classifier import evaluate, open_predictor
from bertsent.cli.flags import check_order, merge_label_maps, prediction_parameters, read_source
from bertsent.cli.output import print_json
from bertsent.files import is_split_folder, read_rows, row_namer
from bertsent.texts import name_texts


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    label_map = merge_label_maps(args)
    check_order(args)
    source = read_source(args, args.file)
    ready = open_predictor(args.directory, prediction_parameters(args))
    objective = ready.fitted.objective
    ready.check()
    columns = {"text_column": args.text_column, "label_column": args.label_column}
    frame, n_missing = read_rows(source, columns, args.missing)
    if is_split_folder(source):
        frame = frame[frame["part"] == "test"]
        print(f"{args.file}: testing on its test part", file=sys.stderr)
    if n_missing:
        print(f"{n_missing} rows with an empty cell left out", file=sys.stderr)
    if len(frame) == 0:
        raise ValueError(f"{args.file}: there are no rows to test on")
    texts = frame[args.text_column]
    try:
        y = objective.match_column(frame[args.label_column], args.file, label_map)
    except ValueError as error:
        hint = "" if label_map else ". --label-map LABEL=CLASS says which of these a label means"
        raise ValueError(f"{error}{hint}") from None
    with name_texts(row_namer(source, frame.index)):
        result = evaluate(ready, texts, y)
    if not args.json:
        print(result)
        return
    print_json(result)
    if result.note is not None:
        warnings.warn(result.note, UserWarning, stacklevel=2)
