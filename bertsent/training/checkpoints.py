"""Checkpoints of a training run. A resumed run produces exactly the same model.

A checkpoint is one safetensors file (`checkpoint_file`). Its tensors are the trained part of the
weights and of both moments, the best weights of early stopping, the order of the texts in the
current epoch, and the history of each text if that is tracked. Its metadata holds the rest of
`State` (`saved_state`), the seeds, and a description of the run. A checkpoint is written to a
temporary file, flushed to disk and renamed, so that every visible checkpoint is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import MOST_MEMBERS, Field, from_plain, to_plain
from bertsent.system import expand_path, warn
from bertsent.training.checkpoint_file import CheckpointFile, naming_damage, write_checkpoint
from bertsent.training.hashes import hash_parts
from bertsent.training.saved_state import check_state, restore_state, state_arrays, state_record
from bertsent.training.schedule import Seeds
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    from bertsent.model import PassTokens
    from bertsent.tokenizer import Tokenizer
    from bertsent.training.state import State
    from bertsent.training.types import Trainable

_NAME = re.compile(r"step-(\d+)\.safetensors")
_UNFINISHED = re.compile(r"\.step-\d+\.safetensors\.tmp-[0-9a-f]+")


def describe_run(
    *,
    parameters: Mapping[str, Any],
    resolved: Mapping[str, Any],
    passes: PassTokens,
    seeds: Seeds,
    model: Trainable,
    tokenizer: Tokenizer,
    data: Mapping[str, Sequence[Any]],
) -> dict[str, Any]:
    """Return a description of everything that determines the result of a run.

    Parameters
    ----------
    parameters : dict
        Parameters that must be the same when the run is resumed.
    resolved : dict
        ``learning_rate``, ``precision``, ``inference_precision`` and ``frozen_cache``, with the
        values used for "auto"; ``time_budget`` in seconds, and the plan for it, ``time_plan``.
    passes : PassTokens
        Number of tokens that go through the model at once.
    seeds : Seeds
    model : BertForSequenceClassification
        The model before the first step.
    tokenizer : Tokenizer
    data : dict
        ``texts``, ``labels``, ``sample_weight`` and ``validation``, each a sequence whose items
        are lists of str, arrays, or None. Only their hashes are kept.

    Returns
    -------
    dict of str to str, int, float, list or None
    """
    settings = json.dumps([tokenizer._settings, model._config], sort_keys=True, default=str)
    return {
        **{name: hash_parts(*parts) for name, parts in data.items()},
        "tokenizer": hash_parts([settings]),
        "model": hash_parts(np.asarray(model._flat)),
        **resolved,
        "plan": list(passes),
        **{name: to_plain(value) for name, value in parameters.items()},
        "random_state": list(seeds),
    }


def has_checkpoints(directory: str | PathLike[str]) -> bool:
    """Return whether a directory contains checkpoints of a run."""
    try:
        return any(_NAME.fullmatch(name) for name in os.listdir(directory))
    except OSError:
        return False


def list_checkpoints(directory: str | PathLike[str]) -> list[dict[str, Any]]:
    """Return what checkpoints a directory of a run contains, also those of further members.

    Returns
    -------
    list of dict
        One for each folder with checkpoints: ``folder`` (empty for the directory itself),
        ``steps``, ``epoch`` (number of epochs that were completed at the newest one, or None if it
        is damaged) and ``problem`` (what is wrong with the newest one, or None).
    """
    directory, found = Path(directory), []
    for folder in ("", *(f"member-{number}" for number in range(2, MOST_MEMBERS + 1))):
        if not has_checkpoints(directory / folder):
            continue
        names = sorted(filter(_NAME.fullmatch, os.listdir(directory / folder)), key=_step_of)
        run: dict[str, Any] = {
            "folder": folder, "steps": [_step_of(name) for name in names], "epoch": None,
            "problem": None,
        }
        try:
            run["epoch"] = Saved(directory / folder / names[-1]).state["epoch"]
        except CheckpointError as error:
            run["problem"] = str(error)
        found.append(run)
    return found


class RunStore:
    """The directory with a run's checkpoints, locked for one process inside a ``with`` block.

    Parameters
    ----------
    directory : str or path-like
        Created if it does not exist. Other files in it are left alone.
    keep : int
        Number of checkpoints to keep, the newest ones.
    resume : bool
        Whether existing checkpoints may be continued from.

    Raises
    ------
    FileExistsError
        The directory contains checkpoints, and `resume` is false.
    BlockingIOError
        Another process uses the directory.
    """

    def __init__(self, directory: str | PathLike[str], keep: int, resume: bool) -> None:
        self.directory = expand_path(directory)
        self.keep, self.resume = keep, resume
        self.seeds: Seeds | None = None
        self.run: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock, self.owner = os.open(self.directory, os.O_RDONLY), os.getpid()
        try:
            self._take_lock()
            if has_checkpoints(self.directory) and not self.resume:
                raise FileExistsError(
                    f"{self.directory} contains checkpoints of a run; continue it with "
                    f"{spell('resume', True)}, or choose another {spell('checkpoint_dir')}"
                )
            for name in filter(_UNFINISHED.fullmatch, os.listdir(self.directory)):
                (self.directory / name).unlink()
        except BaseException:
            os.close(self.lock)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        # A forked process shares the lock: it would keep it after the descriptor is closed here,
        # and must not release it itself.
        if os.getpid() == self.owner:
            with contextlib.suppress(OSError):
                fcntl.flock(self.lock, fcntl.LOCK_UN)
        os.close(self.lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"another process is training into {self.directory}; "
                f"choose another {spell('checkpoint_dir')}"
            ) from None
        except OSError:  # a file system without locks
            pass

    def newest(self) -> Saved | None:
        """Return the newest checkpoint that is not damaged, or None if there are none.

        Warns about checkpoints that are damaged, and raises an error if all of them are.
        """
        found, problem = self._files(), None
        for path in reversed(found):
            try:
                return Saved(path)
            except CheckpointError as error:
                problem = error
                warn(f"{error}; trying the one before", once=False)
        if found:
            raise CheckpointError(
                f"no checkpoint in {self.directory} can be used ({problem}); remove them to start "
                "from the beginning"
            )
        return None

    def save(self, state: State, weights: npt.NDArray[np.float32]) -> None:
        """Write a checkpoint, and remove the oldest ones.

        Errors of the system, such as a full disk, are reported as a warning: training continues,
        and earlier checkpoints are kept.
        """
        path = self.directory / f"step-{state.step:08d}.safetensors"
        record = {"seeds": self.seeds, "run": self.run, "machine": _machine()}
        try:
            write_checkpoint(
                path, state_arrays(state, weights), record | {"state": state_record(state)}
            )
        except OSError as error:
            warn(
                f"no checkpoint of step {state.step} was written; training continues: {error}",
                once=False,
            )
            return
        for old in self._files()[: -self.keep]:
            try:
                old.unlink()
            except OSError as error:
                warn(f"{old} could not be removed: {error}", once=False)

    def _files(self) -> list[Path]:
        names = filter(_NAME.fullmatch, os.listdir(self.directory))
        return [self.directory / name for name in sorted(names, key=_step_of)]


class Saved:
    """A checkpoint on disk that a run can be resumed from.

    Parameters
    ----------
    path : pathlib.Path

    Attributes
    ----------
    seeds : Seeds
    run : dict
        Description of the run, from `describe_run`.
    state : dict
        Content of `State`, except arrays.
    machine : str
        Instruction set that the run used.

    Raises
    ------
    CheckpointError
        The file is damaged; the message names it and says what is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = CheckpointFile(path)
        with naming_damage(path):
            check_state(self.file)
        record = self.file.record
        self.seeds, self.run = Seeds(*record["seeds"]), record["run"]
        self.state, self.machine = record["state"], record["machine"]

    def check(self, run: Mapping[str, Any]) -> None:
        """Check that the checkpoint belongs to a run; if not, the error names all differences."""
        differences = name_differences(Field(self.run, self.path), run)
        if differences:
            raise CheckpointError(
                f"{self.path} belongs to another run; what differs: {', '.join(differences)}. "
                f"Use the {phrase(python='parameters', command='options')} and data that the run "
                f"began with, or another {spell('checkpoint_dir')}"
            )
        if self.machine != _machine():
            warn(
                f"{self.path} was written with other processor instructions ({self.machine}; now "
                f"{_machine()}): the result will differ slightly from that of one whole run",
                once=False,
            )

    def restore(self, state: State, weights: npt.NDArray[np.float32], n_texts: int) -> None:
        """Restore a state and the trained part of the weights; see `restore_state`."""
        with naming_damage(self.path):
            restore_state(self.file, state, weights, n_texts)


def name_differences(saved: Field, run: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between a saved description of a run and another one."""
    names = [
        name for name in dict.fromkeys([*run, *saved.value])
        if saved.get(name).value != run.get(name)
    ]
    if "random_state" in names and "model" in names:
        names.remove("model")  # new weights depend on the seed
    if "task" in names:
        names = ["task"]  # little else is the same
    now = Field(run, "this run")
    return [
        _name_difference(name)
        or f"{_SPELT.get(name) or spell(name)} "
        f"(saved: {_show(saved.get(name))}, now: {_show(now.get(name))})"
        for name in names
    ]


# What is no parameter, but has values that say something.
_SPELT = {"scorer": "the function that early_stopping watches"}


def _name_difference(name: str) -> str | None:
    """Return what differs if it is no parameter, or its value says nothing to people."""
    return {
        "task": "what is trained, a classifier or a masked language model",
        "model": "the weights of the model that training starts from",
        "tokenizer": "the tokenizer",
        "texts": phrase(python="the texts (X)", command="the texts"),
        "labels": phrase(python="the labels (y)", command="the labels"),
        "sample_weight": "sample_weight",
        "teacher": f"the {spell('teacher')}",
        "unlabelled": f"the texts without labels ({spell('unlabelled')})",
        "teacher_logits": "what the teacher says about the texts, which it scored on another "
                          "machine",
        "random_state": spell("random_state"),
        "time_plan": f"the plan for {spell('time_budget')}",
        "plan": f"the size of micro-batches, which {spell('memory_limit')} and "
                f"{spell('n_threads')} determine",
        "validation": "the validation texts or labels"
                      + phrase(python=" (X_val, y_val)", command=""),
    }.get(name)


def _show(value: Field) -> str:
    return f"{from_plain(value)!r:.200}"


def _step_of(name: str) -> int:
    return int(name.removeprefix("step-").removesuffix(".safetensors"))


def _machine() -> str:
    from bertsent import _core

    return _core.isa()
