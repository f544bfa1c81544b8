"""``bertsent doctor``: what the machine offers, how fast it is, how long a job would take."""

import json
import sys

import numpy as np

from bertsent.cli.arguments import chosen_parameters
from bertsent.config import engine_config, read_config
from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.hub import resolve
from bertsent.long_text import Reader, count_tokens
from bertsent.machine import FEATURES, describe_machine
from bertsent.parameters import check_parameters, resolve_freeze
from bertsent.plan import settle
from bertsent.progress import format_seconds, row_progress
from bertsent.speed import MINILM, MOST_TOKENS, estimate, measure

SECONDS = 10.0
CHUNK_ROWS = 4096
# Of English reviews by the vocabulary of uncased BERT; [CLS] and [SEP] come on top.
CHARACTERS_A_TOKEN = 4.2


def run(args):
    """Carry out the command."""
    parameters = chosen_parameters(args)
    found = describe_machine(parameters["n_threads"])
    if not args.json:
        print(format_machine(found), flush=True)
    if not found["problems"]:
        examine(args, parameters, found)
    if args.json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        print()
    if found["problems"]:
        raise SystemExit(1)


def examine(args, parameters, found):
    """Look at the job and measure, as far as is wanted; print, unless that is done at the end."""
    check_parameters(parameters)
    shape, tokenizer, note = read_model(parameters["model"], wants_tokenizer=args.data is not None)
    parameters = settle(parameters, None, shape["max_position_embeddings"])
    readers = [
        Reader.of(parameters, shape["max_position_embeddings"], inference=inference)
        for inference in (False, True)
    ]
    freeze = resolve_freeze(parameters["freeze_layers"], shape["num_hidden_layers"])
    lengths, sequences_a_text = np.array([readers[0].max_length]), 1
    if args.data is not None:
        found["job"], lengths = read_job(args, parameters["strip_html"], readers, tokenizer)
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
            found["job"]["estimates"] = {
                row["precision"]: estimate(
                    row, found["job"], parameters["epochs"], parameters["batch_size"]
                )
                for row in found["speed"]["rates"]
            }
        if not args.json:
            print(format_job(found["job"], parameters))


def read_model(name, wants_tokenizer):
    """Shape and tokenizer of a model.

    Returns
    -------
    shape : dict
        Of its ``config.json``; that of MiniLM if it cannot be had.
    tokenizer : WordPieceTokenizer or None
    note : str or None
        Why there is another shape or no tokenizer.
    """
    if name == "minilm" and not wants_tokenizer:
        return MINILM, None, None
    try:
        directory = resolve(name, weights=False)
        shape = read_config(directory)
        engine_config(shape, 2, directory / "config.json")
        if not wants_tokenizer:
            return shape, None, None
        from bertsent.tokenizer import WordPieceTokenizer

        return shape, WordPieceTokenizer.from_files(directory), None
    except (CheckpointError, ModelNotFoundError) as error:
        return MINILM, None, str(error)


def read_job(args, strip, readers, tokenizer):
    """Count texts and tokens of a collection, as training and prediction read them.

    Returns
    -------
    job : dict
    lengths : ndarray of int
        Tokens of each text, or each window, as training gives them to the model.
    """
    from bertsent.data import (
        column_texts,
        drop_missing,
        is_split_folder,
        parquet_schema,
        read_chunks,
        require_columns,
    )
    from bertsent.texts import strip_html

    split = is_split_folder(args.data)
    wanted = None
    schema = parquet_schema(args.data)
    option = {"--text-column": args.text_column}
    if schema is not None:
        require_columns(schema.names, option, args.data)
        wanted = [args.text_column]
    lengths, tokens, cut, is_test, left_out = [], ([], []), 0, [], 0
    with row_progress(not args.json) as progress:
        progress.look(args.data)
        for frame in read_chunks(args.data, CHUNK_ROWS, columns=wanted):
            require_columns(frame.columns, option, args.data)
            frame, n_missing = drop_missing(frame, [args.text_column], "skip", args.data)
            left_out += n_missing
            texts = column_texts(frame, args.text_column, args.data)
            if strip:
                texts = [strip_html(text) for text in texts]
            counts = whole_lengths(texts, tokenizer)
            cut += int(np.count_nonzero(counts > readers[0].max_length - 2))
            sequences = [reader.sequence_lengths(counts) for reader in readers]
            lengths.append(sequences[0][0])
            for kept, (found, first) in zip(tokens, sequences, strict=True):
                kept.append(np.diff(np.concatenate([[0], np.cumsum(found)])[first]))
            is_test.append((frame["part"] == "test").to_numpy() if split else [])
            progress.looked(len(frame))
    lengths = np.concatenate(lengths)
    of_texts, scored = map(np.concatenate, tokens)
    if not len(lengths):
        raise ValueError(f"{args.data}: every row has an empty cell")
    tokens, n_texts = int(lengths.sum()), len(of_texts)
    if split:
        is_test = np.concatenate(is_test)
        test_texts, test_tokens = int(is_test.sum()), int(scored[is_test].sum())
        train_tokens = int(of_texts[~is_test].sum())
    else:
        test_texts = round(args.test_size * n_texts)
        test_tokens = round(int(scored.sum()) * test_texts / n_texts)
        train_tokens = tokens - round(tokens * test_texts / n_texts)
    return {
        "data": str(args.data),
        "texts": n_texts,
        "rows_left_out": left_out,
        "tokens": tokens,
        "predicted_tokens": int(scored.sum()),
        "texts_cut": cut,
        "tokens_estimated": tokenizer is None,
        "train_texts": n_texts - test_texts,
        "train_tokens": train_tokens,
        "train_tokens_twice": round(twice(of_texts) * train_tokens / tokens),
        "test_tokens": test_tokens,
    }, lengths


def whole_lengths(texts, tokenizer):
    """Tokens of each text, uncut; by the number of characters if there is no tokenizer."""
    if tokenizer is None:
        return np.array([round(len(text) / CHARACTERS_A_TOKEN) for text in texts], dtype=int)
    return count_tokens(tokenizer, texts)


def twice(tokens):
    """Tokens that training reads twice, of texts too long for one go; about."""
    return int(tokens[tokens > MOST_TOKENS].sum())


def format_machine(found):
    """What is known of the machine, as lines."""
    processor, memory = found["processor"], found["memory"]
    lines = [
        "versions    "
        + ", ".join(f"{name} {number or '-'}" for name, number in found["versions"].items()),
        f"processor   {processor['model']}, {found['platform']}",
    ]
    if processor["features"] is not None:
        lacks = [name for name in FEATURES.values() if name not in processor["features"]]
        lines.append("            has " + (" ".join(processor["features"]) or "none that matter"))
        if lacks:
            lines.append("            lacks " + " ".join(lacks))
    if found["engine"] is not None:
        engine = found["engine"]
        forced = engine["BERTSENT_ISA"]
        lines += [
            f"kernels     {engine['kernels']}, of {', '.join(engine['kernels_available'])}"
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


def format_speed(speed):
    """The rates as a table."""
    lines = [
        "",
        f"tokens/s of a {speed['model']}, random weights, texts of "
        f"{speed['tokens_a_text']:.0f} tokens, {speed['n_threads']} threads:",
        f"{'precision':<12}{'training':>10}{'scoring':>10}",
    ]
    for row in speed["rates"]:
        training = "-" if row["training"] is None else f"{row['training']:,.0f}"
        lines.append(f"{row['precision']:<12}{training:>10}{row['scoring']:>10,.0f}")
    return "\n".join(lines)


def format_job(job, parameters):
    """What a job holds, and how long it would take."""
    about = "about " if job["tokens_estimated"] else ""
    lines = [
        "",
        f"{job['data']}: {job['texts']:,} texts, {about}{job['tokens']:,} tokens at "
        f"max_length={parameters['max_length']}, which cuts {job['texts_cut'] / job['texts']:.0%} "
        "of the texts" + (" into windows" if parameters["long_text"] == "windows" else ""),
    ]
    if job["rows_left_out"]:
        lines.append(f"{job['rows_left_out']:,} rows with an empty cell are not counted")
    if job["note"] is not None:
        lines.append(
            f"tokens are estimated at {CHARACTERS_A_TOKEN} characters each, and the time is that "
            f"of minilm: {job['note']}"
        )
    for precision, seconds in job.get("estimates", {}).items():
        parts = []
        if seconds["train"] is not None:
            parts.append(
                f"training on {job['train_texts']:,} texts, epochs={parameters['epochs']}, and "
                f"testing: {format_seconds(seconds['train'])}"
            )
        parts.append(f"predicting all: {format_seconds(seconds['predict'])}")
        lines.append(f"{precision}: " + "; ".join(parts))
    return "\n".join(lines)


def _gigabytes(size):
    return "an unknown amount" if size is None else f"{size / 1e9:.1f} GB"
