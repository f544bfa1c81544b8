"""``bertsent train``: fine-tune, test, save."""

import json
import platform
import textwrap
import time
from importlib import metadata

import numpy as np
import pandas as pd

import bertsent
from bertsent.cli.arguments import chosen_parameters, default_parameters
from bertsent.cli.audit import audit_table, describe_audit, example_table
from bertsent.cli.corpus import load_corpus
from bertsent.cli.report import compute_metrics, describe_seen, format_metrics, score_texts
from bertsent.config import engine_config, read_config
from bertsent.files import atomic_directory, check_target
from bertsent.hub import resolve
from bertsent.members import count_members, is_list, member_parameters
from bertsent.parameters import (
    check_parameters,
    resolve_freeze,
    resolve_learning_rate,
    resolve_max_length,
)
from bertsent.plan import CHOSEN, settle
from bertsent.precision import PRECISIONS, resolve_precision
from bertsent.progress import format_seconds
from bertsent.runs import has_checkpoints
from bertsent.saved import plain
from bertsent.threads import resolve_n_threads

HISTORY_COLUMNS = ["epoch", "loss", "accuracy", "tokens", "seconds"]
SHOWN_ELSEWHERE = {"model", "n_threads", "random_state", "verbose"}
# Said only where they are not what they always are.
DETAILS = {
    "checkpoint_keep", "patience", "schedule", "layer_decay", "accumulate_steps",
    "label_smoothing", "long_text", "stride", "frozen_cache", "inference_long_text", "members",
}
VALIDATION_COLUMNS = ["validation_loss", "validation_accuracy"]


def run(args):
    """Carry out the command."""
    if (args.data is None) != args.sample:
        args.usage_error("pass either DATA or --sample")
    if args.sample and args.test_data is not None:
        args.usage_error("--test-data goes with DATA, not with --sample")
    parameters = chosen_parameters(args)
    if parameters["checkpoint_dir"] is None:
        for name in ("resume", "checkpoint_every"):
            if parameters[name]:
                args.usage_error(f"--{name.replace('_', '-')} needs --checkpoint-dir")
    check_parameters(parameters)
    if parameters["early_stopping"] and parameters["validation_fraction"] is None:
        args.usage_error("--early-stopping needs --validation-fraction")
    check_target(args.output, args.force)
    precisions = {name: resolve_precision(parameters[name], name) for name in PRECISIONS}
    resolved = resolve_auto(parameters) | precisions
    corpus = load_corpus(args, parameters)
    print(corpus.summary)
    print(describe_run(parameters, resolved), flush=True)
    if args.dry_run:
        from bertsent.cli.dry_run import run as estimate

        estimate(args, parameters, corpus)
        return

    classifier = bertsent.BertClassifier(**parameters)
    started = time.time()
    metrics = audited = None
    try:
        classifier.fit(corpus.train_texts, corpus.train_labels)
        trained = time.time()
        metrics = test(
            classifier, corpus, precisions["inference_precision"], parameters["verbose"]
        )
        if parameters["track_examples"]:
            audited = audit_table(classifier, corpus)
    except KeyboardInterrupt as stop:
        directory = parameters["checkpoint_dir"]
        if directory is not None and has_checkpoints(directory):
            raise type(stop)(
                "interrupted; the same command with --resume goes on from here"
            ) from None
        if not hasattr(classifier, "classes_"):
            raise type(stop)("interrupted before training; nothing is saved") from None
        save(args, classifier, corpus, started, metrics=None)
        raise type(stop)(
            f"interrupted; the model as trained so far is saved in {args.output}"
        ) from None
    save(args, classifier, corpus, started, metrics, audited)
    print(
        f"\ntrained in {format_seconds(trained - started)} in {classifier.precision_} at a peak "
        f"learning rate of {format_rates(classifier.learning_rate_)}, tested once at the end:"
    )
    print(format_metrics(metrics))
    seen = describe_seen(metrics)
    if seen is not None:
        print(f"\nnote: {seen}")
    if audited is not None:
        print(f"\n{describe_audit(audited)}")
    print(f"\nsaved in {args.output}")


def resolve_auto(parameters):
    """What `fit` will take for "auto"; what does not go with the model is an error already."""
    directory = resolve(parameters["model"], weights=False)
    config = engine_config(read_config(directory), 2, directory / "config.json")
    positions, n_layers = config["max_position_embeddings"], config["num_hidden_layers"]
    for own in member_parameters(parameters):
        resolve_max_length(own["max_length"], positions)
        resolve_freeze(own["freeze_layers"], n_layers)
    freeze = resolve_freeze(parameters["freeze_layers"], n_layers)
    rate = resolve_learning_rate(
        parameters["learning_rate"], config["hidden_size"], n_layers, freeze
    )
    if parameters["time_budget"] is None:
        parameters = settle(parameters, None, positions)
    return {"learning_rate": f"{rate:g}"} | {name: parameters[name] for name in CHOSEN}


def format_rates(rates):
    """The peak learning rate, or those of members in their order."""
    return ", ".join(f"{rate:g}" for rate in (rates if is_list(rates) else [rates]))


def describe_run(parameters, resolved):
    """The parameters in a few lines; `resolved` is what "auto" has come to."""
    resolved = {
        name: f"{value} (auto)" if parameters[name] == "auto" != value else value
        for name, value in resolved.items()
    }
    defaults = default_parameters()
    shown = ", ".join(
        f"{name}={value}"
        for name, value in (parameters | resolved).items()
        if name not in SHOWN_ELSEWHERE
        and value is not None and value is not False
        and not (name in DETAILS and value == defaults[name])
    )
    threads = resolve_n_threads(parameters["n_threads"])
    lines = [
        f"model: {parameters['model']}, on {threads} thread{'s' if threads > 1 else ''}, "
        f"seed {parameters['random_state']}",
        *textwrap.wrap(shown, 88, initial_indent=" " * 7, subsequent_indent=" " * 7),
    ]
    return "\n".join(lines)


def test(classifier, corpus, precision, show_bar):
    """Metrics on the test rows."""
    return compute_metrics(
        corpus.test_labels,
        score_texts(classifier, corpus.test_texts, show_bar),
        classifier.classes_,
        classifier.seen_in_training(corpus.test_texts),
        precision,
    )


def save(args, classifier, corpus, started, metrics, audited=None):
    """Save the model and all that tells how it came about; without metrics it was interrupted."""
    record = {
        "parameters": {
            name: plain(value) for name, value in classifier.get_params(deep=False).items()
        },
        "learning_rate": classifier.learning_rate_,
        "precision": classifier.precision_,
        "interrupted": metrics is None,
        "evaluations": classifier.evaluations_,
        "best_step": classifier.best_step_,
        "plan": classifier.plan_,
        "data": corpus.origin,
        "versions": _versions(),
        "machine": {
            "platform": platform.platform(),
            "threads": resolve_n_threads(classifier.n_threads),
        },
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 3),
    }
    columns = ["member"] if count_members(classifier.members) > 1 else []
    columns += HISTORY_COLUMNS
    if classifier.validation_rows_ is not None:
        columns += VALIDATION_COLUMNS
    history = pd.DataFrame(classifier.history_, columns=columns)
    split = mark_parts(corpus.split, classifier)
    with atomic_directory(args.output, args.force) as scratch:
        classifier.save_files(scratch)
        _write_json(scratch / "run.json", record)
        if metrics is not None:
            _write_json(scratch / "metrics.json", metrics)
        history.to_csv(scratch / "history.csv", index=False)
        split.to_csv(scratch / "split.csv", index=False)
        if classifier.example_history_ is not None:
            examples = example_table(classifier, corpus)
            examples.to_csv(scratch / "examples.csv", index=False)
        if audited is not None:
            audited.to_csv(scratch / "audit.csv", index=False)


def mark_parts(split, classifier):
    """The split with the rows that `fit` held out, and those that there was no time for."""
    split = split.copy()
    given, part = np.flatnonzero(split["part"] == "train"), split.columns.get_loc("part")
    split.iloc[given, part] = "unused"
    split.iloc[given[classifier.training_rows_], part] = "train"
    if classifier.validation_rows_ is not None:
        split.iloc[given[classifier.validation_rows_], part] = "validation"
    return split


def _write_json(path, value):
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _versions():
    versions = {"bertsent": bertsent.__version__, "python": platform.python_version()}
    for name in ("numpy", "pandas", "scikit-learn", "safetensors", "huggingface_hub"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
