"""``bertsent verify``: train a run again, and find the first step that differs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from bertsent.classifier import recorded_objective, recorded_parameters, verify_runs
from bertsent.cli.corpus import load_texts, load_training_part, restore_flags
from bertsent.cli.flags import check_label_sets
from bertsent.cli.layout import print_fitted
from bertsent.cli.output import print_json
from bertsent.errors import CheckpointError
from bertsent.files import Dialect, find_source, hash_data
from bertsent.objectives import Regression
from bertsent.pretraining import recorded_pretraining, verify_pretraining_run
from bertsent.system import expand_path, resolve_n_threads
from bertsent.texts import name_texts
from bertsent.training import PRETRAINING_TASK, read_log

if TYPE_CHECKING:
    from bertsent.classifier import Verification
    from bertsent.files import Field
    from bertsent.training import RecordedRun


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    if expand_path(args.log).is_dir():
        args.usage_error(
            f"RUN is a log, the file of --log-file, and {args.log} is a directory"
        )
    threads = resolve_n_threads(vars(args).get("n_threads"))
    runs = _read_log(args)
    line = runs[0].line
    reading = _reading(args, line)
    verify: Callable[..., Verification]
    texts: list[Any]
    if line["task"].value == PRETRAINING_TASK:
        parameters = recorded_pretraining(runs[0])
        texts, _, namer = load_texts(reading)
        verify = partial(verify_pretraining_run, runs, texts)
    else:
        is_regression = recorded_objective(runs[0]) is Regression
        reading.task = "regression" if is_regression else "classification"
        parameters = recorded_parameters(runs[0])
        check_label_sets(reading, reading.task)
        texts, labels, unlabelled, namer = load_training_part(reading, parameters)
        verify = partial(
            verify_runs, runs, texts, labels, unlabelled=unlabelled,
            teacher=vars(args).get("teacher"),
        )
    planned = runs[0].run.get("time_plan") or {}  # names the model if it was chosen
    model = args.model or planned.get("model") or parameters["model"]
    if not args.json:
        steps = max(past.last_step for past in runs)
        print_fitted(
            f"run:   {args.log}, {steps:,} steps\n"
            f"data:  {'the bundled sample' if reading.sample else reading.data}, "
            f"{len(texts):,} texts\n"
            f"model: {model}, on {threads} thread{'s' if threads > 1 else ''}\n"
        )
    with name_texts(namer):
        result = verify(model=args.model, n_threads=threads)
    if args.json:
        print_json(asdict(result))
    else:
        print_fitted(f"\n{result}")
    if not result:
        raise SystemExit(1)


def _read_log(args: argparse.Namespace) -> list[RecordedRun]:
    try:
        return read_log(args.log)
    except CheckpointError:
        if args.data is not None and _is_log(args.data):
            given = shlex.join([str(args.data), str(args.log)])
            args.usage_error(f"RUN comes before DATA: {given}")
        raise


def _is_log(path: str) -> bool:
    try:
        return bool(read_log(path))
    except (OSError, CheckpointError):
        return False


def _reading(args: argparse.Namespace, line: Field) -> argparse.Namespace:
    """Return the arguments with which ``bertsent train`` would read the data of a run."""
    if line["data"].value is None:
        if args.data is None:
            args.usage_error(
                "DATA is missing: the run was started in Python, and its log does not name a file"
            )
        # All rows are for training, as in Python.
        reading = argparse.Namespace(
            data=args.data, sample=False, task="", text_column=None,
            text_pair_column=None, label_column=None, label_separator=None,
            label_columns=None, missing="error", test_size=None, test_data="", unlabelled=None,
            **vars(Dialect()),
        )
    else:
        reading = restore_flags(line["data"]["flags"])
        if args.data is not None:
            reading.data, reading.sample = args.data, False
        elif not reading.sample:
            _check_named(reading.data, line["data"])
        saved, flags = line["data"], line["data"]["flags"]
        if reading.unlabelled is not None and args.unlabelled is None:
            _check_named(reading.unlabelled, saved["unlabelled"], flags, "--unlabelled")
        if reading.unlabelled is not None and reading.test_data is not None:
            _check_named(reading.test_data, saved["test"], flags)
    if args.unlabelled is not None:
        reading.unlabelled = args.unlabelled
    for name in (
        "text_column", "text_pair_column", "label_column", "label_separator", "label_columns",
    ):
        if getattr(args, name) is not None:
            setattr(reading, name, getattr(args, name))
    reading.usage_error = args.usage_error
    return reading


def _check_named(
    data: str | None, saved: Field, flags: Field | None = None, argument: str = "DATA"
) -> None:
    """Raise unless data that only the log names is the data of the run; it is not parsed before.

    Parameters
    ----------
    data : str or None
    saved : Field
        What the log says about the data.
    flags : Field or None, default=None
        The flags of the run; None means those in `saved`.
    argument : str, default="DATA"
        The argument by which another place is named.
    """
    advice = f"; if it is elsewhere now, name it as {argument}"
    if data is None or data == "-":
        raise CheckpointError(
            f"{saved.file}: the run read standard input; name the data as {argument}"
        )
    path = expand_path(data)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise CheckpointError(f"{saved.file}: {data} is a pipe or a device, not a file")
    try:
        source = find_source(data, Dialect(**_dialect(saved["flags"] if flags is None else flags)))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; the log names it{advice}") from None
    if hash_data(source) != saved["sha256"].text():
        raise CheckpointError(f"{data} has changed since the run, or is another file{advice}")


def _dialect(flags: Field) -> dict[str, Any]:
    restored = vars(restore_flags(flags))
    return {name: restored[name] for name in vars(Dialect())}
