"""``bertsent pretrain``: masked language modelling on texts without labels."""

import argparse

from bertsent.cli.corpus import load_texts
from bertsent.cli.flags import check_checkpoint_flags, chosen_parameters
from bertsent.files import check_target
from bertsent.model import resolve_precision
from bertsent.pretraining import PRETRAINING, check_pretraining, run_pretraining
from bertsent.system import format_seconds, resolve_n_threads
from bertsent.texts import name_texts


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    parameters = chosen_parameters(args, PRETRAINING)
    check_checkpoint_flags(args, parameters)
    check_pretraining(parameters)
    resolve_precision(parameters["precision"], "precision")
    texts, origin, namer = load_texts(args)
    check_target(args.output, args.force)
    threads = resolve_n_threads(parameters["n_threads"])
    n_missing = origin["rows_left_out"]
    left_out = f", {n_missing:,} empty cells left out" if n_missing else ""
    print(f"data:  {origin['source']}, {len(texts):,} texts{left_out}")
    print(
        f"model: {parameters['model']}, on {threads} thread{'s' if threads > 1 else ''}, "
        f"seed {parameters['random_state']}",
        flush=True,
    )
    with name_texts(namer):
        found = run_pretraining(
            texts, args.output, parameters, overwrite=args.force, origin=origin
        )
    seconds = sum(row["seconds"] for row in found.history)
    first, last = found.history[0], found.history[-1]
    print(
        f"\npretrained on {found.tokens:,} tokens in {found.pieces:,} pieces for "
        f"{format_seconds(seconds)} in {found.precision}"
    )
    what = "held-out " if "validation_loss" in last else ""
    key = "validation_loss" if what else "loss"
    print(f"{what}loss of masked tokens: {first[key]:.4f} after the first epoch", end="")
    print(f", {last[key]:.4f} after the last" if len(found.history) > 1 else "")
    print(f"saved in {args.output}; bertsent train --model {args.output} starts from it")
