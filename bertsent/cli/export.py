"""``bertsent export``: write a saved model as an ONNX graph."""

from __future__ import annotations

import argparse

from bertsent.classifier import export_onnx, open_predictor
from bertsent.cli.flags import prediction_parameters


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    ready = open_predictor(args.directory, prediction_parameters(args))
    export_onnx(ready, args.output, args.force, int8=args.int8)
    print(f"the model is in {args.output}")
