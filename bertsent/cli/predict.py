"""``bertsent predict``: label reviews with a saved model."""

import os
import sys

import bertsent
from bertsent.cli.output import open_output
from bertsent.data import drop_missing, read_chunks, require_columns
from bertsent.formats import file_format, require_source
from bertsent.progress import count_bar

ADDED = ("predicted_label", "confidence")


def run(args):
    """Carry out the command."""
    if (args.file is None) == (args.text is None):
        args.usage_error("pass either FILE or --text")
    if args.text is not None and args.output is not None:
        args.usage_error("--output goes with FILE; --text prints to stdout")
    if args.file is not None:
        require_source(args.file)
    if args.output is not None:
        file_format(args.output)
        if os.path.exists(args.output) and not args.force:
            raise FileExistsError(f"{args.output} exists already; --force replaces it")
    classifier = bertsent.BertClassifier.from_pretrained(args.directory)
    classifier.set_params(n_threads=args.n_threads)
    if args.text is not None:
        for label, confidence in zip(*_label(classifier, args.text), strict=True):
            print(f"{label}\t{confidence:.4f}")
        return
    n_rows = n_missing = 0
    with open_output(args.output) as output, count_bar(None, "texts") as bar:
        for chunk in read_chunks(args.file):
            require_columns(chunk, {"--text-column": args.text_column}, args.file)
            taken = [name for name in ADDED if name in chunk.columns]
            if taken:
                raise ValueError(f"{args.file} has a column {taken[0]!r} already; rename it first")
            chunk, missing = drop_missing(chunk, [args.text_column], args.missing, args.file)
            n_missing += missing
            if len(chunk) == 0:
                continue
            labels, confidence = _label(classifier, chunk[args.text_column])
            output.write(chunk.assign(predicted_label=labels, confidence=confidence))
            n_rows += len(chunk)
            bar.update(len(chunk))
        if n_rows == 0:
            raise ValueError(f"{args.file}: no row is left to label")
    if n_missing:
        print(f"{n_missing} rows with an empty cell left out", file=sys.stderr)
    if args.output is not None:
        print(f"{n_rows:,} rows labelled in {args.output}", file=sys.stderr)


def _label(classifier, texts):
    """Labels as plain values, and the probability of each."""
    probabilities = classifier.predict_proba(texts)
    labels = classifier.classes_[probabilities.argmax(axis=1)]
    return labels, probabilities.max(axis=1).round(6)
