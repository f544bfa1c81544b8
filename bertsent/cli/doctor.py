"""``bertsent doctor``: describe the machine, measure its speed, and estimate the time of a job."""

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertsent.classifier import (
    CHARACTERS_A_TOKEN,
    check_parameters,
    count_job,
    named_model,
    read_shape,
    resolve_freeze,
    settle,
    words_seconds,
)
from bertsent.cli.flags import (
    chosen_parameters,
    columns_of_texts,
    read_source,
    settle_columns,
)
from bertsent.cli.layout import print_fitted
from bertsent.cli.output import print_json
from bertsent.files import text_columns_of
from bertsent.hub import engine_config, length_limit
from bertsent.model import estimate, measure
from bertsent.system import describe_machine, feature_names, format_seconds
from bertsent.texts import Reader

SECONDS = 10.0


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    parameters = chosen_parameters(args)
    found = describe_machine(parameters["n_threads"])
    if not args.json:
        print_fitted(format_machine(found))
    if not found["problems"]:
        examine(args, parameters, found)
    if args.json:
        print_json(found)
    if found["problems"]:
        raise SystemExit(1)


def examine(
    args: argparse.Namespace, parameters: dict[str, Any], found: dict[str, Any]
) -> None:
    """Count the job and measure the machine, as requested; print the results, or keep them."""
    check_parameters(parameters)
    parameters["model"] = named_model(parameters)
    shape, tokenizer, note = read_shape(parameters["model"], wants_tokenizer=args.data is not None)
    engine = engine_config(shape, 2)
    positions = engine["max_position_embeddings"]
    parameters = settle(parameters, None, length_limit(shape, engine))
    source = None
    if args.data is not None:
        source = read_source(args, args.data)
        settle_columns(args, source)
    # One separator between the texts of a pair, as in BERT, unless the tokenizer is there.
    special = 2 if args.text_pair_column is None else 3
    if tokenizer is not None:
        special = tokenizer.num_special_tokens_to_add(args.text_pair_column is not None)
    readers = [
        Reader.of(parameters, positions, inference=inference, special=special)
        for inference in (False, True)
    ]
    freeze = resolve_freeze(parameters["freeze_layers"], engine["num_hidden_layers"])
    lengths, sequences_a_text = np.array([readers[0].max_length]), 1.0
    if source is not None:
        found["job"], lengths = count_job(
            source, text_columns_of(source, **columns_of_texts(args)), readers, tokenizer,
            test_size=args.test_size, strip=parameters["strip_html"], show_bar=not args.json,
        )
        found["job"]["note"] = note
        sequences_a_text = len(lengths) / found["job"]["texts"]
    if not args.no_speed:
        n_threads = found["threads"]["number"]
        found["speed"] = {
            "model": parameters["model"] if note is None else "minilm",
            "n_threads": n_threads,
            "tokens_a_text": float(lengths.mean()),
            "rates": measure(
                shape, lengths, precisions=found["engine"]["precisions"], n_threads=n_threads,
                freeze=freeze, batch_size=parameters["batch_size"] * sequences_a_text,
                seconds=SECONDS,
            ),
        }
        if not args.json:
            print(format_speed(found["speed"]), flush=True)
    if args.data is not None:
        if not args.no_speed:
            job = found["job"]
            words = 0.0
            if parameters["words"]:
                words = words_seconds(job["characters"]) * job["train_texts"] / job["texts"]
            job["words"] = words
            job["estimates"] = {
                row["precision"]: estimate(
                    row, job, parameters["epochs"], parameters["batch_size"], words=words
                )
                for row in found["speed"]["rates"]
            }
        if not args.json:
            print_fitted(format_job(found["job"], parameters))


def format_machine(found: Mapping[str, Any]) -> str:
    """Return the description of the machine as text."""
    processor, memory = found["processor"], found["memory"]
    lines = [
        "versions    "
        + ", ".join(f"{name} {number or '-'}" for name, number in found["versions"].items()),
        f"processor   {processor['model']}, {found['platform']}",
    ]
    if processor["features"] is not None:
        lacks = [name for name in feature_names().values() if name not in processor["features"]]
        lines.append("            has " + (" ".join(processor["features"]) or "none that matter"))
        if lacks:
            lines.append("            lacks " + " ".join(lacks))
    if found["engine"] is not None:
        engine = found["engine"]
        forced = engine["BERTSENT_ISA"]
        lines += [
            f"kernels     {engine['kernels']}; available: {', '.join(engine['kernels_available'])}"
            + (f" (BERTSENT_ISA={forced})" if forced else ""),
            f"precisions  {', '.join(engine['precisions'])}; faster in training: "
            f"{engine['preferred_precision']}",
            f"BLAS        {engine['blas']}, {engine['blas_from']}",
        ]
    if found["threads"] is not None:
        lines.append(f"threads     {found['threads']['number']} ({found['threads']['from']})")
    limit = memory["cgroup_limit"]
    lines.append(
        f"memory      {_gigabytes(memory['available'])} available of "
        f"{_gigabytes(memory['total'])}" + (f", cgroup limit {_gigabytes(limit)}" if limit else "")
    )
    lines += [f"problem:    {problem}" for problem in found["problems"]]
    return "\n".join(lines)


def format_speed(speed: Mapping[str, Any]) -> str:
    """Return the measured rates as a table."""
    lines = [
        "",
        f"tokens/s of {speed['model']} with random weights, texts of "
        f"{speed['tokens_a_text']:.0f} tokens, {speed['n_threads']} threads:",
        f"{'precision':<12}{'training':>10}{'scoring':>10}",
    ]
    for row in speed["rates"]:
        training = "-" if row["training"] is None else f"{row['training']:,.0f}"
        lines.append(f"{row['precision']:<12}{training:>10}{row['scoring']:>10,.0f}")
    return "\n".join(lines)


def format_job(job: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Return the size of a job and the estimated times as text."""
    about = "about " if job["tokens_estimated"] else ""
    into = " into windows" if parameters["long_text"] == "windows" else ""
    lines = [
        "",
        f"{job['data']}: {job['texts']:,} texts, {about}{job['tokens']:,} tokens at "
        f"--max-length {parameters['max_length']}, which cuts "
        f"{job['texts_cut'] / job['texts']:.0%} of the texts{into}",
    ]
    if job["rows_left_out"]:
        lines.append(f"{job['rows_left_out']:,} rows with an empty cell are not counted")
    if job["note"] is not None:
        lines.append(
            f"tokens are estimated at {CHARACTERS_A_TOKEN} characters each, and the time is that "
            f"of minilm, because the model is not available: {job['note']}"
        )
    for precision, seconds in job.get("estimates", {}).items():
        parts = []
        if seconds["train"] is not None:
            parts.append(
                f"training on {job['train_texts']:,} texts, --epochs {parameters['epochs']}, and "
                f"testing: {format_seconds(seconds['train'])}"
                + (f", of which the words take {format_seconds(job['words'])} with up to four "
                   "classes" if job["words"] else "")
            )
        parts.append(f"predicting all: {format_seconds(seconds['predict'])}")
        lines.append(f"{precision}: " + "; ".join(parts))
    return "\n".join(lines)


def _gigabytes(size: float | None) -> str:
    return "an unknown amount" if size is None else f"{size / 1e9:.1f} GB"
