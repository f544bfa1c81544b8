"""The state of a run in a checkpoint: how it is saved, checked and restored.

The checksum of format 1 covers the arrays only. So every value is checked for its type and range,
and values that depend on each other must be consistent.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.training.schedule import step_ends
from bertsent.training.state import Sums

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.training.checkpoint_file import CheckpointFile
    from bertsent.training.state import State

Record: TypeAlias = Mapping[str, Any]

_PLAIN = ("step", "epoch", "position", "history", "evaluations", "stopped", "finished", "used")
_HISTORY = {"epoch", "loss", "tokens", "seconds"}
_EVALUATION = {"step", "epoch"}
_FORMAT_1_COLUMNS = _HISTORY | _EVALUATION | {
    "accuracy", "validation_loss", "validation_accuracy",
}
# Settings of the saved run that are used before they are compared with the current ones.
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "precision": (None, "float32", "bfloat16"),
    "inference_precision": (None, "float32", "bfloat16", "int8"),
    "frozen_cache": (None, "off", "float32", "bfloat16"),
}
_PLAN_COUNTS = (
    "epochs", "max_length", "freeze_layers", "texts", "all_texts", "steps", "evaluations",
)
_PLAN_SECONDS = ("budget", "used", "frozen", "training", "evaluation", "checkpoint")


def state_record(state: State) -> dict[str, Any]:
    """Return everything in a state but its arrays, for JSON."""
    best = state.best
    return {
        **{name: getattr(state, name) for name in _PLAIN},
        "sums": state.sums.to_json(),
        "best": {"value": best.value, "step": best.step, "since": best.since},
    }


def state_arrays(state: State, weights: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a state by their names in a checkpoint.

    Parameters
    ----------
    state : State
    weights : float32 ndarray
        The trained part of the parameters. Of the moments, the same part is saved.

    Returns
    -------
    dict of str to ndarray
    """
    first = state.exp_avg.size - weights.size
    arrays: dict[str, npt.NDArray[Any] | None] = {
        "weights": weights,
        "exp_avg": state.exp_avg[first:],
        "exp_avg_sq": state.exp_avg_sq[first:],
        "best": state.best.weights,
        "order": state.order,
    }
    if state.examples is not None:
        arrays |= state.examples.arrays()
    return {name: array for name, array in arrays.items() if array is not None}


def restore_state(
    file: CheckpointFile, state: State, weights: npt.NDArray[np.float32], n_texts: int
) -> None:
    """Restore a state and the trained part of the weights.

    Parameters
    ----------
    file : CheckpointFile
        Checked by `check_state`.
    state : State
        A fresh state, changed in place.
    weights : float32 ndarray
        The trained part of the parameters, overwritten.
    n_texts : int
        Number of training texts.

    Raises
    ------
    ValueError
        The model or the number of texts does not match the checkpoint.
    """
    saved, first = file.record["state"], state.exp_avg.size - weights.size
    examples = {} if state.examples is None else state.examples.arrays()
    for name, array in {"weights": weights, **examples}.items():
        dtype, size = file.arrays.get(name, (None, 0))
        if (dtype, size) != (array.dtype, array.size):
            raise ValueError(f"{name} has {size} values of {dtype}, and not {array.size}")
    order = file.arrays.get("order")
    texts = order[1] if order else saved["position"]
    # Between two epochs, `position` is the number of texts unless the epoch was stopped early.
    if texts != n_texts and (order or saved["epoch"] and not saved["stopped"]):
        raise ValueError(f"it has {texts} training texts, and not {n_texts}")
    file.read_into("weights", weights)
    file.read_into("exp_avg", state.exp_avg[first:])
    file.read_into("exp_avg_sq", state.exp_avg_sq[first:])
    state.order = file.read("order") if order else None
    state.best.weights = file.read("best") if "best" in file.arrays else None
    if state.examples is not None:
        state.examples.restore({name: file.read(name) for name in examples})
    for name in ("value", "step", "since"):
        setattr(state.best, name, saved["best"][name])
    state.sums.restore(saved["sums"])
    for name in _PLAIN:
        setattr(state, name, saved[name])


def check_state(file: CheckpointFile) -> None:
    """Raise an error unless a run can be resumed from a checkpoint.

    Parameters
    ----------
    file : CheckpointFile

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, OverflowError
        Something is missing, has the wrong type, or is not consistent with the rest.
    """
    saved, run = file.record["state"], file.record["run"]
    _check_run(file.record)
    _check_arrays(file)
    for name in ("stopped", "finished"):
        if type(saved[name]) is not bool:
            raise ValueError(f"{name} is {reprlib.repr(saved[name])}")
    if _number(saved, "used") < 0:
        raise ValueError(f"used is {reprlib.repr(saved['used'])}")
    _check_progress(saved, run, file.read("order") if "order" in file.arrays else None)
    _check_rows(saved, run)
    if file.format == 1 and not _FORMAT_1_COLUMNS.issuperset(
        name for row in saved["history"] + saved["evaluations"] for name in row
    ):
        raise ValueError("history or evaluations have an unknown column")
    _check_sums(saved["sums"])
    _check_best(saved, "best" in file.arrays)


def _check_run(record: Mapping[str, Any]) -> None:
    seeds, run = record["seeds"], record["run"]
    if not isinstance(seeds, list) or len(seeds) != 4 or run["random_state"] != seeds:
        raise ValueError("its seeds differ from those of its run")
    for number in range(4):
        _count(seeds, number)
    if not isinstance(record["machine"], str):
        raise ValueError(f"machine is {reprlib.repr(record['machine'])}")
    check_choices(run)


def check_choices(run: Record) -> None:
    """Check the values in the description of a run that are used before it is compared."""
    for name, allowed in _CHOICES.items():
        if run.get(name) not in allowed:
            raise ValueError(f"{name} is {reprlib.repr(run[name])}")
    plan = run.get("time_plan")
    if plan is not None:
        for name in _PLAN_COUNTS:
            _count(plan, name)
        for name in _PLAN_SECONDS:
            _number(plan, name)


def _check_progress(
    saved: Record, run: Record, order: npt.NDArray[np.int64] | None
) -> None:
    """Check that step, epoch, position and order are consistent."""
    epochs = _count(run, "epochs", 1)
    texts_a_step = _count(run, "batch_size", 1) * _count(run, "accumulate_steps", 1)
    even = run.get("few_shot") is True
    step, position = _count(saved, "step"), _count(saved, "position")
    epoch = _count(saved, "epoch", 0, epochs)
    under_way = -(-position // texts_a_step)
    if order is not None:
        n_texts = len(order)
        if not np.array_equal(np.sort(order), np.arange(n_texts)):
            raise ValueError("order does not hold each text once")
        ends = step_ends(n_texts, texts_a_step, even=even)
        if position not in (0, *ends):
            raise ValueError(f"position is {position} of {n_texts} texts")
        under_way = int(np.searchsorted(ends, position, side="right"))
        possible = epoch < epochs and step == epoch * len(ends) + under_way
    elif epoch == 0:
        possible = step == position == 0
    elif even and saved["stopped"]:
        # The size of its steps depends on the number of texts, which is unknown.
        possible = step >= epoch * under_way
    elif epoch == 1 or not saved["stopped"]:
        possible = step == epoch * under_way
    else:
        # The last epoch may have been stopped early, so the number of texts is unknown.
        an_epoch, rest = divmod(step - under_way, epoch - 1)
        possible = rest == 0 and an_epoch >= under_way
    if not possible:
        raise ValueError(
            f"step {step} is not consistent with epoch {epoch} and position {position}"
        )
    if saved["finished"] and order is not None or epoch == epochs and not saved["finished"]:
        raise ValueError(f"finished is {saved['finished']} in epoch {epoch} of {epochs}")


def _check_rows(saved: Record, run: Record) -> None:
    """Check history and evaluations: tables of numbers, in chronological order."""
    history, evaluations = saved["history"], saved["evaluations"]
    _check_table(history, "history", _HISTORY, last={"part"})
    _check_table(evaluations, "evaluations", _EVALUATION)
    if [row["epoch"] for row in history] != list(range(1, saved["epoch"] + 1)):
        raise ValueError("history does not hold each epoch once")
    for row in history:
        _count(row, "tokens")
        if not 0 < row.get("part", 1) <= 1:
            raise ValueError(f"part is {reprlib.repr(row['part'])}")
    before = 0
    for row in evaluations:
        before = _count(row, "step", before + 1, saved["step"])
        _count(row, "epoch", 1, run["epochs"])


def _check_table(rows: Any, name: str, least: set[str], last: Collection[str] = ()) -> None:
    """Check columns and values; the last row may have further columns, `last`."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{name} is not a table")
    columns = [set(row) for row in rows]
    if columns:
        columns[-1].difference_update(last)
    for row, own in zip(rows, columns, strict=True):
        if own != columns[0] or not own >= least:
            raise ValueError(f"{name} has the columns {reprlib.repr(list(row))}")
        if not all(type(value) in (int, float) for value in row.values()):
            raise ValueError(f"{name} holds something that is not a number")


def _check_sums(sums: Record) -> None:
    if sums.keys() != Sums().to_json().keys():
        raise ValueError(f"sums has the names {reprlib.repr(list(sums))}")
    _count(sums, "tokens")
    for name in sums:
        _number(sums, name)


def _check_best(saved: Record, has_weights: bool) -> None:
    """Check that the best evaluation is one of the evaluations."""
    best, evaluations = saved["best"], saved["evaluations"]
    since = _count(best, "since", 0, len(evaluations))
    if has_weights != (best["value"] is not None) or has_weights != (best["step"] is not None):
        raise ValueError("best is incomplete")
    if not has_weights:
        return
    later = [row for row in evaluations if row["step"] > best["step"]]
    rows = [row for row in evaluations if row["step"] == best["step"]]
    if len(rows) != 1 or best["value"] not in rows[0].values() or len(later) != since:
        raise ValueError("best is not one of the evaluations")


def _check_arrays(file: CheckpointFile) -> None:
    n_weights = file.arrays["weights"][1]
    for name in ("exp_avg", "exp_avg_sq"):
        if name not in file.arrays:
            raise KeyError(name)
    for name, (dtype, size) in file.arrays.items():
        if name in ("weights", "exp_avg", "exp_avg_sq", "best"):
            if (dtype, size) != (np.dtype(np.float32), n_weights):
                raise ValueError(
                    f"{name} has {size} values of {dtype}, and weights has {n_weights}"
                )
            for _, piece in file.pieces(name):
                if not np.isfinite(piece).all() or (name == "exp_avg_sq" and (piece < 0).any()):
                    raise ValueError(f"{name} has values that training cannot produce")
        elif not name.startswith("examples.") and (name, dtype) != (
            "order", np.dtype(np.int64)
        ):
            raise ValueError(f"it has an unknown array {name!r:.40} of {dtype}")


def _count(table: Any, name: str | int, low: int = 0, high: int = 2**53) -> int:
    """Return a whole number from a table."""
    value = table[name]
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {reprlib.repr(value)}")
    return value


def _number(table: Record, name: str) -> float:
    """Return a finite number from a table."""
    value: float = table[name]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{name} is {reprlib.repr(value)}")
    return value
