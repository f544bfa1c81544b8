"""``bertsent learning-curve``: how good a classifier is with fewer labels, and with more."""

from __future__ import annotations

import argparse
import os
import sys

from bertsent.classifier import CLASSIFICATION, BertClassifier, check_parameters
from bertsent.cli.corpus import load_labelled
from bertsent.cli.flags import chosen_parameters
from bertsent.cli.layout import print_fitted
from bertsent.cli.output import print_json
from bertsent.curves import learning_curve
from bertsent.files import check_output, open_output
from bertsent.system import expand_path
from bertsent.texts import name_texts

# Formats that matplotlib writes everywhere.
_PICTURES = (".png", ".pdf", ".svg")


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if (args.data is None) != args.sample:
        args.usage_error("pass either DATA or --sample")
    parameters = chosen_parameters(args)
    check_parameters(parameters)
    texts, labels, name_text, summary = load_labelled(args, parameters)
    if args.output is not None:
        check_output(args.output, args.force)
    if args.plot is not None:
        _check_plot(args.plot, args.force)
    if not args.json:
        print_fitted(summary)
    with name_texts(name_text):
        curve = learning_curve(
            BertClassifier(**{p.name: parameters[p.name] for p in CLASSIFICATION}), texts, labels,
            train_sizes=args.train_sizes,
            n_seeds=args.n_seeds, test_size=args.test_size, scoring=args.scoring,
            frozen=args.frozen, time_budget=args.time_budget,
            random_state=parameters["random_state"], verbose=0 if args.json else 1,
        )
    if args.output is not None:
        with open_output(args.output) as output:
            output.learn(curve.runs)
            output.write(curve.runs)
    if args.plot is not None:
        from matplotlib.figure import Figure

        figure = curve.plot().figure
        assert isinstance(figure, Figure)  # the axes are not part of a larger plot
        figure.savefig(expand_path(args.plot), dpi=130)
    if args.json:
        print_json(curve.to_dict())
    else:
        print(f"\n{curve}")
    for path in (args.output, args.plot):
        if path is not None:
            print(f"written to {path}", file=sys.stderr)


def _check_plot(path: str, overwrite: bool) -> None:
    """Check that a plot can be made and written, before anything is trained."""
    if os.path.splitext(path)[1].lower() not in _PICTURES:
        raise ValueError(f"--plot {path}: expected a name that ends with {', '.join(_PICTURES)}")
    folder = os.path.dirname(os.path.realpath(expand_path(path)))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder")
    try:
        import matplotlib
    except ImportError:
        raise ImportError(
            "--plot needs matplotlib; install it with: pip install 'bertsent[plot]'"
        ) from None
    matplotlib.use("Agg")  # needs no screen
    if os.path.lexists(expand_path(path)) and not overwrite:
        raise FileExistsError(
            f"{path} already exists; replace it with --force, or choose another name"
        )
