"""``bertsent pretrain``: masked language modelling on texts without labels."""

from bertsent.cli.arguments import chosen_parameters
from bertsent.data import column_texts, drop_missing, hash_data, read_table, require_columns
from bertsent.files import check_target
from bertsent.precision import resolve_precision
from bertsent.pretraining import run_pretraining
from bertsent.pretraining_parameters import PRETRAINING, check_pretraining
from bertsent.progress import format_seconds
from bertsent.threads import resolve_n_threads


def run(args):
    """Carry out the command."""
    parameters = chosen_parameters(args, PRETRAINING)
    if parameters["checkpoint_dir"] is None:
        for name in ("resume", "checkpoint_every"):
            if parameters[name]:
                args.usage_error(f"--{name.replace('_', '-')} needs --checkpoint-dir")
    check_pretraining(parameters)
    check_target(args.output, args.force)
    resolve_precision(parameters["precision"], "precision")
    frame = read_table(args.data)
    require_columns(frame.columns, {"--text-column": args.text_column}, args.data)
    frame, n_missing = drop_missing(frame, [args.text_column], args.missing, args.data)
    texts = column_texts(frame, args.text_column, args.data)
    threads = resolve_n_threads(parameters["n_threads"])
    left_out = f", {n_missing:,} empty cells left out" if n_missing else ""
    print(f"data:  {args.data}, {len(texts):,} texts{left_out}")
    print(
        f"model: {parameters['model']}, on {threads} thread{'s' if threads > 1 else ''}, "
        f"seed {parameters['random_state']}",
        flush=True,
    )
    origin = {
        "source": str(args.data), "sha256": hash_data(args.data), "rows": len(frame),
        "rows_left_out": n_missing,
    }
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
    print(f"{what}loss of hidden tokens: {first[key]:.4f} after the first epoch", end="")
    print(f", {last[key]:.4f} after the last" if len(found.history) > 1 else "")
    print(f"saved in {args.output}; bertsent train --model {args.output} starts from it")
