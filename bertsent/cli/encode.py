"""``bertsent encode``: write the vectors of the texts of a file."""

from __future__ import annotations

import argparse
import sys

from bertsent.cli.flags import (
    check_files_of,
    check_order,
    chosen_parameters,
    columns_of_texts,
    read_source,
    settle_columns,
)
from bertsent.features import ENCODING, BertEncoder, encode_source


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    check_order(args)
    parameters = chosen_parameters(args, ENCODING) | {"model": args.directory, "verbose": 1}
    encoder = BertEncoder(**parameters)
    source = read_source(args, args.file)
    settle_columns(args, source)
    check_files_of(args, source)
    written = encode_source(
        encoder, source, args.output, columns_of_texts(args), chunk_rows=args.chunk_rows,
        missing=args.missing, overwrite=args.force,
    )
    if written.rows_left_out:
        print(f"{written.rows_left_out:,} rows with an empty cell left out", file=sys.stderr)
    print(f"vectors of {written.rows:,} texts written to {args.output}", file=sys.stderr)
