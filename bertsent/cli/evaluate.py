"""``bertsent evaluate``: test a saved model."""

import json
import sys
import warnings

import bertsent
from bertsent.cli.arguments import shared_parameters
from bertsent.cli.report import compute_metrics, describe_seen, format_metrics, score_texts
from bertsent.data import (
    drop_missing,
    is_split_folder,
    match_labels,
    read_table,
    require_columns,
)
from bertsent.formats import require_source


def run(args):
    """Carry out the command."""
    require_source(args.file)
    classifier = bertsent.BertClassifier.from_pretrained(args.directory)
    classifier.set_params(**shared_parameters(args))
    precision = classifier._check_ready()
    frame = read_table(args.file)
    if is_split_folder(args.file):
        frame = frame[frame["part"] == "test"]
        print(f"{args.file}: testing on its test folder", file=sys.stderr)
    columns = {"--text-column": args.text_column, "--label-column": args.label_column}
    require_columns(frame.columns, columns, args.file)
    frame, n_missing = drop_missing(frame, list(columns.values()), args.missing, args.file)
    if n_missing:
        print(f"{n_missing} rows with an empty cell left out", file=sys.stderr)
    if len(frame) == 0:
        raise ValueError(f"{args.file}: no row is left to test on")
    texts = frame[args.text_column]
    labels = match_labels(frame[args.label_column], classifier.classes_, args.file)
    probabilities = score_texts(classifier, texts)
    metrics = compute_metrics(
        labels, probabilities, classifier.classes_, classifier.seen_in_training(texts), precision
    )
    if args.json:
        json.dump(metrics, sys.stdout, indent=2, ensure_ascii=False)
        print()
    else:
        print(format_metrics(metrics))
    seen = describe_seen(metrics)
    if seen is not None:
        warnings.warn(seen, UserWarning, stacklevel=2)
