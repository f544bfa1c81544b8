"""``bertsent train``: fine-tune a model, test it and save it."""

from __future__ import annotations

import argparse
import json
import platform
import textwrap
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

import bertsent
from bertsent.classifier import (
    PARAMETERS,
    check_parameters,
    count_members,
    describe_words,
    evaluate,
    is_list,
    predictor,
    resolve_auto,
)
from bertsent.cli.audit import audit_table, describe_audit, example_table
from bertsent.cli.corpus import load_corpus, reading_flags
from bertsent.cli.flags import (
    check_checkpoint_flags,
    check_label_sets,
    check_task,
    chosen_parameters,
    default_value,
    flag_name,
)
from bertsent.cli.layout import print_fitted, screen_width
from bertsent.files import atomic_directory, check_target, to_plain
from bertsent.model import PRECISIONS, resolve_precision
from bertsent.system import format_seconds, interrupted, resolve_n_threads, uninterrupted
from bertsent.texts import name_texts
from bertsent.training import callback_name, has_checkpoints, is_callback

if TYPE_CHECKING:
    from bertsent.classifier import BertClassifier, BertEstimator, Evaluation
    from bertsent.cli.corpus import Corpus

def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if (args.data is None) != args.sample:
        args.usage_error("pass either DATA or --sample")
    if args.sample and args.test_data is not None:
        args.usage_error("--test-data cannot be used with --sample")
    parameters = chosen_parameters(args)
    check_checkpoint_flags(args, parameters)
    check_task(args, parameters)
    if args.unlabelled is not None and parameters["teacher"] is None:
        args.usage_error("--unlabelled needs --teacher")
    check_parameters(parameters)
    if parameters["early_stopping"] and parameters["validation_fraction"] is None:
        args.usage_error("--early-stopping needs --validation-fraction")
    precisions = {name: resolve_precision(parameters[name], name) for name in PRECISIONS}
    resolved = resolve_auto(parameters) | precisions
    resolved["learning_rate"] = format_rates(resolved["learning_rate"])
    check_label_sets(args, args.task)
    corpus = load_corpus(args, parameters)
    # After the data, so that this does not hide what is wrong there.
    if not args.dry_run:
        check_target(args.output, args.force)
    print_fitted(corpus.summary)
    print(describe_run(parameters, resolved), flush=True)
    if args.dry_run:
        from bertsent.cli.dry_run import run as dry_run

        dry_run(args, parameters, corpus)
        return

    classifier = make_estimator(args.task, parameters)
    classifier._origin = {**corpus.origin, "flags": reading_flags(args)}
    started = time.time()
    metrics: Evaluation | None = None
    audited: pd.DataFrame | None = None
    try:
        with name_texts(corpus.name_train):
            more = {} if args.task == "regression" else {"unlabelled": corpus.unlabelled}
            classifier.fit(corpus.train_texts, corpus.train_labels, **more)
        trained = time.time()
        with name_texts(corpus.name_test):
            metrics = evaluate(
                predictor(classifier), corpus.test_texts, corpus.test_labels, parameters["verbose"]
            )
        if parameters["track_examples"] and "margin" in corpus.objective_class.recorded:
            audited = audit_table(cast("BertClassifier", classifier), corpus)
    except KeyboardInterrupt as stop:
        directory = parameters["checkpoint_dir"]
        if directory is not None and has_checkpoints(directory):
            kept = "the same command with --resume continues from here"
        elif classifier.__sklearn_is_fitted__() and uninterrupted(
            lambda: save(args, classifier, corpus, started, metrics=None)
        ):
            kept = f"the model trained so far is saved in {args.output}"
        else:
            kept = "nothing was saved"
        raise interrupted(stop, f"{str(stop) or 'interrupted'}; {kept}") from None
    save(args, classifier, corpus, started, metrics, audited)
    print(
        f"\ntrained in {format_seconds(trained - started)} in {classifier.precision_} at a peak "
        f"learning rate of {format_rates(classifier.learning_rate_)}; tested once:"
    )
    print(metrics)
    words, held_out = predictor(classifier).fitted.words, classifier.validation_rows_
    if words is not None:
        print(f"\n{describe_words(words, 0 if held_out is None else len(held_out))}")
    if audited is not None:
        print(f"\n{describe_audit(audited)}")
    elif parameters["track_examples"]:
        print("\nthere is no audit.csv, because the audit needs one class for each text")
    print(f"\nsaved in {args.output}")


def make_estimator(task: str, parameters: Mapping[str, Any]) -> BertEstimator:
    """Return an estimator for a task, with those of the parameters that it has."""
    kind: Any = bertsent.BertRegressor if task == "regression" else bertsent.BertClassifier
    estimator: BertEstimator = kind(**{
        name: value for name, value in parameters.items() if name in kind._own_parameters
    })
    return estimator


def format_rates(rates: Any) -> str:
    """Return the peak learning rate, or those of all members, as text."""
    return ", ".join(
        rate if isinstance(rate, str) else f"{rate:g}"  # "auto", if the model is not yet chosen
        for rate in (rates if is_list(rates) else [rates])
    )


def describe_run(parameters: dict[str, Any], resolved: Mapping[str, Any]) -> str:
    """Return the parameters as a few lines of text; `resolved` has the values of "auto"."""
    resolved = {
        name: f"{value} (auto)" if parameters[name] == "auto" != value else value
        for name, value in resolved.items()
    }
    shown = []
    for parameter in PARAMETERS:
        if parameter.name not in parameters:  # of another task
            continue
        value = (parameters | resolved)[parameter.name]
        is_default = value == default_value(parameter)
        hidden = parameter.summary == "never" or (parameter.summary == "changed" and is_default)
        if not hidden and value is not None and value is not False:
            flag = flag_name(parameter.name)
            # A flag and its value stay on one line.
            shown.append(flag if value is True else f"{flag} {_shown(value)}".replace(" ", "\0"))
    threads = resolve_n_threads(parameters["n_threads"])
    listed = textwrap.wrap(
        ", ".join(shown), min(80, screen_width()), initial_indent=" " * 7,
        subsequent_indent=" " * 7, break_on_hyphens=False,
    )
    lines = [
        f"model: {parameters['model']}, on {threads} thread{'s' if threads > 1 else ''}, "
        f"seed {parameters['random_state']}",
        *(line.replace("\0", " ") for line in listed),
    ]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    """Return the value of a parameter as text; names and callbacks as the flag takes them."""
    if isinstance(value, list | tuple) and value:
        if all(map(is_callback, value)):
            return ",".join(map(callback_name, value))
        if all(isinstance(name, str) for name in value):
            return ",".join(value)
    return str(value)


def save(
    args: argparse.Namespace,
    classifier: BertEstimator,
    corpus: Corpus,
    started: float,
    metrics: Evaluation | None,
    audited: pd.DataFrame | None = None,
) -> None:
    """Save the model and the record of its training, which has no metrics if interrupted."""
    record = {
        "parameters": {
            name: to_plain(value) for name, value in classifier.get_params(deep=False).items()
        },
        "learning_rate": classifier.learning_rate_,
        "precision": classifier.precision_,
        "interrupted": metrics is None,
        "evaluations": classifier.evaluations_,
        "best_step": classifier.best_step_,
        "teachers": classifier.teachers_,
        "plan": classifier.plan_,
        "word_weight": classifier.word_weight_,
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
    objective = corpus.objective_class
    columns += ["epoch", "loss", objective.metric, "tokens", "seconds"]
    if classifier.validation_rows_ is not None:
        watched = [f"validation_{name}" for name in objective.watchable()]
        columns += dict.fromkeys([*watched, *_validated(classifier.history_)])
    if any("part" in row for row in classifier.history_):
        columns.append("part")
    history = pd.DataFrame(classifier.history_, columns=columns)
    split = mark_parts(corpus.split, classifier)
    with atomic_directory(args.output, args.force) as staging:
        classifier.save_files(staging, evaluation=metrics)
        _write_json(staging / "run.json", record)
        if metrics is not None:
            _write_json(staging / "metrics.json", metrics)
        history.to_csv(staging / "history.csv", index=False)
        split.to_csv(staging / "split.csv", index=False)
        if classifier.example_history_ is not None:
            examples = example_table(classifier, corpus)
            examples.to_csv(staging / "examples.csv", index=False)
        if audited is not None:
            audited.to_csv(staging / "audit.csv", index=False)


def _validated(history: list[dict[str, Any]]) -> list[str]:
    """Return the columns of metrics on held-out texts."""
    return [name for name in (history[0] if history else {}) if name.startswith("validation_")]


def mark_parts(split: pd.DataFrame, classifier: BertEstimator) -> pd.DataFrame:
    """Mark the rows that `fit` held out, and those for which there was no time, in the split."""
    split = split.copy()
    given, part = np.flatnonzero(split["part"] == "train"), split.columns.get_loc("part")
    cells: Any = split.iloc  # the stubs of pandas know no arrays of rows here
    cells[given, part] = "unused"
    cells[given[classifier.training_rows_], part] = "train"
    if classifier.validation_rows_ is not None:
        cells[given[classifier.validation_rows_], part] = "validation"
    return split


def _write_json(path: Path, value: object) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {
        "bertsent": bertsent.__version__, "python": platform.python_version(),
    }
    for name in ("numpy", "pandas", "scikit-learn", "safetensors", "huggingface_hub"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions
