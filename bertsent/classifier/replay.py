"""Train a run again, and compare it step by step with the hashes in its log: `verify`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

from bertsent.classifier.fitting import fit
from bertsent.classifier.parameters import DEFAULTS
from bertsent.classifier.settings import read_parameters
from bertsent.errors import CheckpointError
from bertsent.model import PRECISIONS, require_precision
from bertsent.objectives import OBJECTIVES
from bertsent.system import Interrupts, expand_path, identify_build, interrupted
from bertsent.training import MEASURES, PRETRAINING_TASK, read_log
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.objectives import Objective
    from bertsent.texts import Labels, Texts
    from bertsent.training import RecordedRun

# What may change how results are rounded, and its name for people.
CAUSES = {
    "instruction_set": "instruction set",
    "build": "build of the engine",
    "bertsent": "version of bertsent",
    "numpy": "version of NumPy",
    "python": "version of Python",
    "blas": "BLAS",
    "processor": "processor",
    "platform": "platform",
}


@dataclass(frozen=True)
class Verification:
    """The result of `verify`. It is true if all bits agree.

    Attributes
    ----------
    agrees : bool
        Whether all hashes in the log agree.
    compared : int
        Number of hashes that agree.
    agreed_step : int
        The last step whose hash agrees, or 0.
    step : int or None
        The first step whose loss, gradient (its norm) or parameters (their hash) differ. None if
        all agree, or if only the final parameters differ.
    epoch : int or None
        The epoch of that step, from 1.
    member : int
        The member of that step, from 1; the last member if all agree.
    problem : str or None
        What differs, in words.
    recorded, here : dict of str to str
        Instruction set, build, versions, processor and platform of the run at that step, and of
        this process.
    callbacks : list of str
        The names of the run's callbacks, which are not called.
    outcome : str or None
        How the run ended: "finished", "stopped", "interrupted", "failed", or None if the log does
        not say it.
    """

    agrees: bool
    compared: int
    agreed_step: int
    step: int | None = None
    epoch: int | None = None
    member: int = 1
    problem: str | None = None
    recorded: dict[str, str] = field(default_factory=dict)
    here: dict[str, str] = field(default_factory=dict)
    callbacks: list[str] = field(default_factory=list)
    outcome: str | None = None

    def __bool__(self) -> bool:
        return self.agrees

    @property
    def changed(self) -> list[str]:
        """What differs between both machines, as keys of `recorded` and `here`."""
        return [
            name for name in CAUSES
            if name in self.recorded and self.recorded[name] != self.here.get(name)
        ]

    def __str__(self) -> str:
        return "\n".join([self._verdict(), *self._machines(), *self._reasons()])

    def _verdict(self) -> str:
        if self.agrees:
            hashes = "the hash" if self.compared == 1 else f"all {self.compared:,} hashes"
            text = f"all bits agree: {hashes} up to step {self.agreed_step:,}"
            if self.outcome in ("interrupted", "failed"):
                text += f" (the run was {self.outcome})".replace("was failed", "failed")
            return text
        before = f"; the hash after step {self.agreed_step:,} agrees" if self.agreed_step else ""
        return f"{self.problem}{before}"

    def _machines(self) -> list[str]:
        shown = dict.fromkeys(["instruction_set", "build", *self.changed])
        rows = [
            (CAUSES[name], self.recorded.get(name, "unknown"), self.here.get(name, "unknown"))
            for name in shown
        ]
        return [
            f"{name}: {here}, as in the run" if here == then
            else f"{name}: {then} in the run, {here} here"
            for name, then, here in rows
        ]

    def _reasons(self) -> list[str]:
        if self.agrees:
            return []
        changed = [name for name in self.changed if name != "platform"]
        if changed:
            first = CAUSES[changed[0]]
            return [f"the likely reason: another {first} may round differently"]
        if self.callbacks:
            return [
                f"the run had callbacks ({', '.join(self.callbacks)}), which are not called here; "
                "they may have changed the model"
            ]
        return [
            "nothing that is recorded of the machines explains this: the log was changed, a "
            "program changed the model during the run, or memory is faulty"
        ]


# What differs in a step, in words.
_NAMES = {"loss": "loss", "grad_norm": "gradient", "hash": "parameters"}


def _plain(value: float | None) -> float | None:
    """Return a number as a log has it."""
    return None if value is None or not math.isfinite(value) else value


class _Over(Exception):
    """Ends a training run that needs no further step. It carries the result."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("compared")
        self.result = result


class Comparison:
    """A callback that compares the hashes of one member, and ends training by an exception."""

    def __init__(self, past: RecordedRun) -> None:
        self.past, self.compared, self.step = past, 0, 0

    def on_step(self, event: Mapping[str, Any]) -> bool:
        """Compare the hash of a step; return True where the run was stopped."""
        past, step = self.past, event["step"]
        measures = zip(MEASURES, past.measures.get(step, ()), strict=False)
        differing = [_NAMES[name] for name, before in measures if _plain(event[name]) != before]
        if "hash" in event and event["hash"] != past.hashes[step]:
            differing.append(_NAMES["hash"])
        if differing:
            raise _Over({"step": step, "epoch": event["epoch"], "problem": (
                f"step {step:,} (epoch {event['epoch']}) is the first that differs, in its "
                + " and ".join([", ".join(differing[:-1])] * (len(differing) > 1) + differing[-1:])
            )})
        if "hash" in event:
            self.compared, self.step = self.compared + 1, step
        # What came after the last hash cannot be compared.
        if past.final is None:
            return bool(step >= past.last_hashed)
        return past.outcome == "stopped" and bool(step >= past.last_step)

    def on_end(self, event: Mapping[str, Any]) -> None:
        """Compare the final parameters."""
        past = self.past
        if event["outcome"] in ("failed", "interrupted"):
            return
        if past.final is None and event["step"] >= past.last_hashed:
            raise _Over({})
        if event["step"] != past.last_step:
            raise _Over({"problem": (
                f"training ends after step {event['step']:,}, but the run went on to step "
                f"{past.last_step:,}"
            )})
        if event["hash"] != past.final:
            raise _Over({"problem": (
                "the final parameters differ: the weights that were kept are those of another "
                "step"
            )})
        self.compared, self.step = self.compared + 1, event["step"]
        raise _Over({})


def verify(
    run: str | PathLike[str],
    X: Texts,
    y: Labels,
    sample_weight: npt.ArrayLike | None = None,
    *,
    X_val: Texts | None = None,
    y_val: Labels | None = None,
    unlabelled: Texts | None = None,
    model: str | PathLike[str] | None = None,
    teacher: Any = None,
    early_stopping: Any = None,
    n_threads: int | None = None,
    verbose: int = 1,
) -> Verification:
    """Train a run again, and say whether all bits agree or which step is the first that differs.

    The run must have been trained with `hash_every`. Its log says everything else: parameters,
    seeds, and what "auto" meant. Nothing is written, and the callbacks of the run are not called.
    Data and initial weights are compared by their hashes before the first step. The number of
    threads may be another, because it does not change the result; another instruction set or build
    of the engine usually does.

    Parameters
    ----------
    run : str or path-like
        The `log_file` of the run. If it contains several runs, the last one is verified.
    X, y, sample_weight, X_val, y_val, unlabelled
        The data that was passed to `fit`, in the same order.
    model : str, path-like or None, default=None
        The model that the run started from. None means the name in the log. Needed if that name
        does not lead to it any more, and for a run with ``warm_start=True``: there it is the
        directory in which the earlier model was saved.
    teacher : as in `BertClassifier`, default=None
        The teacher of the run. The log only has its hash.
    early_stopping : callable or None, default=None
        The function that early stopping watched, if it was one. The log only has its name.
    n_threads : int or None, default=None
        Number of threads, as for `BertClassifier`.
    verbose : int, default=1
        0 for silence, 1 for progress.

    Returns
    -------
    result : Verification
        True if all bits agree. Its string says it in words.

    Raises
    ------
    CheckpointError
        The log is damaged or has no hashes, or data or initial weights are not those of the run, or
        early stopping watched a function that is not given. The message names the line or what
        differs.
    FileNotFoundError
        There is no such log or model.
    KeyboardInterrupt
        Ctrl-C was pressed, or SIGTERM or SIGHUP received.
    TypeError
        `early_stopping` is not a function.
    ValueError
        The run was trained in a precision that this machine does not have, or `early_stopping` is
        given for a run that watched no function.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertClassifier, verify
    >>> data = pd.read_csv("tickets.csv")
    >>> clf = BertClassifier(
    ...     "bert-base-uncased", random_state=0, log_file="run.jsonl", hash_every=2
    ... )
    >>> clf = clf.fit(data["text"], data["team"])
    >>> result = verify("run.jsonl", data["text"], data["team"])
    >>> result.agrees, result.agreed_step
    (True, 9)
    """
    return verify_runs(
        read_log(expand_path(run)), X, y, sample_weight, X_val=X_val, y_val=y_val,
        unlabelled=unlabelled, model=model, teacher=teacher, early_stopping=early_stopping,
        n_threads=n_threads, verbose=verbose,
    )


def verify_runs(
    runs: list[RecordedRun], X: Texts, y: Labels, sample_weight: npt.ArrayLike | None = None,
    **options: Any,
) -> Verification:
    """Verify what `read_log` returned. Parameters are as for `verify`."""
    _check_watched(runs, options.get("early_stopping"))
    return repeat_runs(
        runs,
        lambda past, comparison: _fit_again(past, comparison, X, y, sample_weight, **options),
    )


def _check_watched(runs: list[RecordedRun], early_stopping: Any) -> None:
    """Raise if a function is given that no run can have watched."""
    if early_stopping is None:
        return
    if not callable(early_stopping):
        raise TypeError(
            f"{spell('early_stopping', early_stopping)} is not a function; only one that was "
            "watched is needed, because all others are in the log"
        )
    if not any("scorer" in past.run for past in runs):
        raise ValueError(
            f"{runs[0].line.file}: early stopping watched no function in this run; leave out "
            f"{spell('early_stopping')}"
        )


def repeat_runs(
    runs: list[RecordedRun], repeat: Callable[[RecordedRun, Comparison], None]
) -> Verification:
    """Train runs again, and compare them with their logs.

    Parameters
    ----------
    runs : list of RecordedRun
        From `read_log`.
    repeat : callable
        Trains a run again as it is recorded, with the callback that is its second argument.
    """
    compared, here = 0, identify_build()
    result: dict[str, Any] = {}
    for past in runs:
        comparison = Comparison(past)
        try:
            with Interrupts():
                result = _compare(past, comparison, repeat)
        except KeyboardInterrupt as stop:
            done = compared + comparison.compared
            raise interrupted(
                stop, f"interrupted after {done:,} hashes, all of which agree"
            ) from None
        compared += comparison.compared
        if result:
            break
    step = result.get("step") or comparison.step
    return Verification(
        agrees=not result, compared=compared, agreed_step=comparison.step, member=past.member,
        recorded=past.machine(max(1, step)), here=here,
        callbacks=[name.text() for name in past.line["callbacks"].items()], outcome=past.outcome,
        **result,
    )


def _compare(
    past: RecordedRun,
    comparison: Comparison,
    repeat: Callable[[RecordedRun, Comparison], None],
) -> dict[str, Any]:
    """Return what differs in a run that is repeated, or an empty dictionary."""
    for name in PRECISIONS:
        precision = past.run.get(name)
        require_precision(
            precision, f"{past.line.file}: this run computed in {precision}, and repeating it",
            "verify the run on such a processor",
        )
    try:
        repeat(past, comparison)
    except _Over as over:
        return over.result
    raise AssertionError("training ended without a comparison")


def recorded_parameters(past: RecordedRun) -> dict[str, Any]:
    """Return the parameters of a run, without those of the machine, which a log must not choose."""
    return DEFAULTS | read_parameters(past.line["parameters"])


def recorded_objective(past: RecordedRun) -> type[Objective]:
    """Return what a run learned."""
    if past.line["task"].value == PRETRAINING_TASK:
        raise CheckpointError(
            f"{past.line.file}: this is a run of pretrain; use bertsent.verify_pretraining"
        )
    return OBJECTIVES[past.line["task"].text(*OBJECTIVES)]


def _fit_again(
    past: RecordedRun,
    comparison: Comparison,
    X: Texts,
    y: Labels,
    sample_weight: npt.ArrayLike | None,
    X_val: Texts | None = None,
    y_val: Labels | None = None,
    unlabelled: Texts | None = None,
    model: str | PathLike[str] | None = None,
    teacher: Any = None,
    early_stopping: Any = None,
    n_threads: int | None = None,
    verbose: int = 1,
) -> None:
    """Train a member again."""
    parameters = recorded_parameters(past)
    if parameters["warm_start"] and model is None:
        raise CheckpointError(
            f"{past.line.file}: the run continued from a fitted model (warm_start), which the log "
            f"does not have; pass the directory in which it was saved as {spell('model')}"
        )
    if "teacher" in past.run and teacher is None:
        raise CheckpointError(
            f"{past.line.file}: the run learned from a teacher, which the log does not have; pass "
            f"it as {spell('teacher')}"
        )
    if "scorer" in past.run:
        if early_stopping is None:
            name = past.line["run"]["scorer"].text()
            how = phrase(
                python="pass it as early_stopping",
                command="verify the run in Python, with bertsent.verify(..., early_stopping=)",
            )
            raise CheckpointError(
                f"{past.line.file}: early stopping watched the function {name}, which the log does "
                f"not have; {how}"
            )
        parameters["early_stopping"] = early_stopping
    parameters |= {
        "teacher": teacher, "callbacks": comparison, "n_threads": n_threads, "verbose": verbose,
        "model": parameters["model"] if model is None else model,
    }
    _, interrupt = fit(
        parameters, recorded_objective(past), X, y, sample_weight, X_val, y_val,
        unlabelled=unlabelled, recorded={past.member: past},
    )
    if interrupt is not None:
        raise interrupt
