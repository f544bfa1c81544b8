"""``bertsent predict``: label reviews with a saved model."""

import sys

import bertsent
from bertsent.cli.arguments import shared_parameters
from bertsent.formats import require_source
from bertsent.output import check_output
from bertsent.stream import label_file


def run(args):
    """Carry out the command."""
    if (args.file is None) == (args.text is None):
        args.usage_error("pass either FILE or --text")
    if args.text is not None and args.output is not None:
        args.usage_error("--output goes with FILE; --text prints to stdout")
    if args.file is not None:
        require_source(args.file)
    if args.output is not None:
        check_output(args.output, args.force)
    classifier = bertsent.BertClassifier.from_pretrained(args.directory)
    classifier.set_params(**shared_parameters(args))
    precision = classifier._check_ready()
    if args.text is not None:
        for label, confidence in zip(*classifier._label(args.text), strict=True):
            print(f"{label}\t{confidence:.4f}")
        return
    scored = label_file(
        classifier, args.file, args.output, text_column=args.text_column,
        chunk_rows=args.chunk_rows, missing=args.missing, overwrite=args.force,
    )
    if scored.rows_left_out:
        print(f"{scored.rows_left_out:,} rows with an empty cell left out", file=sys.stderr)
    if args.output is not None:
        print(
            f"{scored.rows:,} rows labelled in {args.output}, computed in {precision}",
            file=sys.stderr,
        )
