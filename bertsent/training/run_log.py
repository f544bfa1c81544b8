"""The record of a run in its log, from which the run can be repeated and compared.

With ``hash_every``, the log has a line of the event "run" before that of "start". It says what the
run was: parameters, hashes of the data and of the initial weights (`describe_run`), where the data
was read, and the build and machine. A resumed run adds such a line of its own, because it may run
on another machine. The hashes are in the lines of steps and in the last line.

A log may come from a stranger, so everything that is read from it is checked.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, NamedTuple

from bertsent.errors import CheckpointError
from bertsent.files import MOST_MEMBERS, Field, open_regular, parse_json
from bertsent.model import FEW_SHOT_TOKENS, MOST_TOKENS, PassTokens
from bertsent.system import check_interrupts, identify_build
from bertsent.training.checkpoints import name_differences
from bertsent.training.saved_state import check_choices
from bertsent.training.schedule import Seeds
from bertsent.wording import spell

FORMAT = 1
# The task of `pretrain`, where other runs have the name of an objective.
PRETRAINING_TASK = "masked language modelling"
# What no line of a log comes near.
_MOST_LINE = 1 << 20
_MOST_SEED = 2**63 - 1
# What the line of every step has, and what differs first if something does: in the first step of
# a warm-up, the learning rate is 0 and the parameters stay as they are.
MEASURES = ("loss", "grad_norm")


def describe_record(
    *,
    task: str,
    parameters: Mapping[str, Any],
    run: Mapping[str, Any],
    callbacks: Iterable[str],
    origin: Mapping[str, Any] | None,
    step: int,
    n_threads: int,
) -> dict[str, Any]:
    """Return the line of a log that says what a run is.

    Parameters
    ----------
    task : str
        What is trained.
    parameters : dict
        Parameters as plain values, without those of the machine.
    run : dict
        From `describe_run`.
    callbacks : iterable of str
        Their names.
    origin : dict or None
        Where a command read the data.
    step : int
        Number of steps that were done before a run is resumed, or 0.
    n_threads : int

    Returns
    -------
    dict
    """
    return {
        "event": "run", "step": step, "format": FORMAT, "task": task,
        "parameters": dict(parameters), "run": dict(run), "callbacks": list(callbacks),
        "data": origin, "machine": identify_build() | {"threads": str(n_threads)},
    }


@dataclass
class RecordedRun:
    """What a log says about one run, or one member of it.

    Parameters
    ----------
    line : Field
        The line that says what the run is.
    member : int
        Number of the member, from 1.

    Attributes
    ----------
    parts : list of (int, dict)
        For each part of a run that was resumed, the number of steps before it, and its machine.
    hashes : dict of int to str
        The hash after each step that has one.
    measures : dict of int to tuple
        Loss and norm of the gradient of each step; None if they are not finite.
    rates : dict of int to float
        The learning rate of each step.
    last_step : int
        Number of the last step.
    outcome : str or None
        How it ended; None if the log does not say it, as after a kill.
    final : str or None
        Hash of the final parameters.
    """

    line: Field
    member: int = 1
    parts: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    hashes: dict[int, str] = field(default_factory=dict)
    measures: dict[int, tuple[float | None, ...]] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    last_step: int = 0
    outcome: str | None = None
    final: str | None = None

    @property
    def run(self) -> dict[str, Any]:
        """The description of the run, as `describe_run` returns it."""
        content: dict[str, Any] = self.line["run"].value
        return content

    @property
    def seeds(self) -> Seeds:
        """The seeds of the run."""
        drawn = self.line["run"]["random_state"].items(4, 4)
        return Seeds(*(seed.whole(0, _MOST_SEED) for seed in drawn))

    @property
    def passes(self) -> PassTokens:
        """Number of tokens that went through the model at once."""
        # A limit of memory only makes them smaller, and few labels larger.
        most = max(MOST_TOKENS, FEW_SHOT_TOKENS)
        return PassTokens(*(n.whole(0, most) for n in self.line["run"]["plan"].items(2, 2)))

    @property
    def last_hashed(self) -> int:
        """Number of the last step that has a hash, or 0."""
        return max(self.hashes, default=0)

    def check(self, run: Mapping[str, Any]) -> None:
        """Raise a CheckpointError unless a description is that of this run, naming differences."""
        # A run that is repeated has no budget: it takes the recorded plan and learning rates.
        same = {"time_budget": self.run.get("time_budget")}
        differences = name_differences(self.line["run"], {**run, **same})
        if differences:
            raise CheckpointError(
                f"{self.line.file}: the run cannot be repeated; what differs: "
                f"{', '.join(differences)}. Use the data and the model that the run began with"
            )

    def machine(self, step: int) -> dict[str, str]:
        """Return the machine that did a step; empty if the log does not say it."""
        return next((machine for before, machine in reversed(self.parts) if before < step), {})


def hashed_steps(every: int | None, past: RecordedRun | None) -> Container[int]:
    """Return the numbers of the steps after which the parameters are hashed.

    Parameters
    ----------
    every : int or None
        The parameter `hash_every`.
    past : RecordedRun or None
        The run that is repeated, whose steps are the same.
    """
    if past is not None:
        return past.hashes.keys()
    return range(every, sys.maxsize, every) if every else ()


def read_log(path: str | PathLike[str]) -> list[RecordedRun]:
    """Return the last run in a log, as a list of its members.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    list of RecordedRun
        At least one, each with at least one hash.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        The file is damaged, or its last run has no hashes. The message names the line.
    """
    runs: dict[int, RecordedRun] = {}
    now: RecordedRun | None = None
    announced = False
    for line in _lines(path):
        event = line["event"].text()
        number = line.get("member", 1).whole(1, MOST_MEMBERS)
        if event == "run":
            _check_run_line(line)
            step, before = line["step"].whole(), runs.get(number)
            if step and before is not None and before.run == line["run"].value:
                now = before  # it is resumed
            else:
                if number == 1 or now is None:
                    runs.clear()
                now = runs[number] = RecordedRun(line, number)
            now.parts.append((step, _machine(line)))
        elif event == "start":
            if not announced and line["step"].whole() == 0:
                now = None  # a run without hashes
                if number == 1:
                    runs.clear()
        elif now is not None and now.member == number:
            _read_event(now, event, line)
        announced = event == "run"
    found = [run for run in runs.values() if run.hashes or run.final is not None]
    if not found:
        raise CheckpointError(
            f"{path}: the last run in it has no hashes to compare; train with "
            f"{spell('hash_every', 10)} and {spell('log_file')}"
        )
    return found


class LoggedHistory(NamedTuple):
    """What a log says about how the last run in it went; rows of members have their number.

    Attributes
    ----------
    history, evaluations : list of dict
        As ``history_`` and ``evaluations_`` of `BertClassifier`. Rows of the history also have the
        ``step`` after which the epoch ended.
    steps : list of dict
        A row for each step, with its loss, learning rate and norm of the gradient.
    best_step : int, None or list of these
        As ``best_step_``.
    planned : list of dict
        Where the run, or each member, was to end: the last ``step`` and ``epoch``.
    """

    history: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    best_step: int | None | list[int | None]
    planned: list[dict[str, Any]]


def read_history(path: str | PathLike[str]) -> LoggedHistory:
    """Return how the last run in a log went, which may be under way.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    LoggedHistory

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        The file is damaged, or has no steps. The message names the line.
    """
    rows: dict[str, list[dict[str, Any]]] = {"epoch": [], "evaluation": [], "step": []}
    best: dict[int, int | None] = {}
    planned: dict[int, dict[str, Any]] = {}
    for line in _lines(path):
        event = line["event"].text()
        number = line.get("member", 1).whole(1, MOST_MEMBERS)
        if event == "start":
            if line["step"].whole() == 0:  # a new run, or a member that begins again
                for found in rows.values():
                    found[:] = [
                        row for row in found if number > 1 and row.get("member", 1) != number
                    ]
                if number == 1:
                    best.clear()
                    planned.clear()
            best[number] = None
            if "steps" in line and "epochs" in line:
                planned[number] = {
                    "member": number, "step": line["steps"].whole(),
                    "epoch": line["epochs"].whole(),
                }
        elif event == "end":
            kept = line["best_step"]
            best[number] = None if kept.value is None else kept.whole(1)
        elif event in rows:
            line["epoch"].whole(1)
            # Version 0.1.0 did not write after which step an epoch ended.
            if event != "epoch" or "step" in line:
                line["step"].whole(1)
            rows[event].append(_numbers(line, without={"event", "hash"}))
    if not rows["step"]:
        raise CheckpointError(f"{path} has no steps of a run; train with {spell('log_file')}")
    several = any("member" in row for row in rows["step"])
    kept_steps = [best.get(number) for number in range(1, max(best, default=0) + 1)]
    return LoggedHistory(
        rows["epoch"], rows["evaluation"], rows["step"],
        kept_steps if several else best.get(1), list(planned.values()),
    )


def _numbers(line: Field, without: Container[str]) -> dict[str, Any]:
    """Return the entries of a line that are numbers; what was not finite is null in a log."""
    return {
        name: entry.value if type(entry.value) is int else entry.number()
        for name, entry in line.entries().items()
        if name not in without and entry.value is not None
    }


def _read_event(run: RecordedRun, event: str, line: Field) -> None:
    if event == "step":
        step = line["step"].whole(1)
        if step <= run.last_step:
            raise line["step"].error(f"larger than {run.last_step}, the step before")
        run.last_step, run.outcome = step, None
        if "hash" in line:
            run.hashes[step] = line["hash"].text()
        run.rates[step] = line["learning_rate"].number(0)
        run.measures[step] = tuple(
            None if line[name].value is None else line[name].number() for name in MEASURES
        )
    elif event == "end":
        run.outcome = line["outcome"].text("finished", "stopped", "interrupted", "failed")
        run.final = line["hash"].text() if "hash" in line else None


def _check_run_line(line: Field) -> None:
    """Check what is used of a line that says what a run is."""
    if line["format"].whole(1) > FORMAT:
        raise CheckpointError(
            f"{line.file}: the format is {line['format'].value}, written by a later version of "
            f"bertsent; this version reads up to format {FORMAT}"
        )
    run = line["run"].value
    line["run"].entries()
    line["parameters"].entries()
    try:
        check_choices(run)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"there is no {error}" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{line.file}: run: {problem}") from None
    for name in line["callbacks"].items(0, 100):
        name.shown()
    if line["parameters"].get("model").value is not None:
        line["parameters"]["model"].shown()


def _machine(line: Field) -> dict[str, str]:
    return {name: entry.shown() for name, entry in line["machine"].entries().items()}


def _lines(path: str | PathLike[str]) -> Iterator[Field]:
    """Yield the objects in the lines of a log, without a last line that was not finished."""
    with open_regular(path) as file:
        for number in range(1, sys.maxsize):
            line = file.readline(_MOST_LINE + 1)
            if not line.endswith(b"\n") and len(line) <= _MOST_LINE:
                return
            where = f"{path}, line {number}"
            if len(line) > _MOST_LINE:
                raise CheckpointError(f"{where}, is longer than 1 MiB; this is no log of a run")
            check_interrupts()
            if line.strip():
                yield parse_json(line, where)
