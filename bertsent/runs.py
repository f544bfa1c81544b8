"""Checkpoints of a training run, from which it goes on to the same bits.

A checkpoint is one file in the safetensors format. Its tensors are the trained part of the
weights and of both moments, the best weights of early stopping, the order of the texts in the
epoch under way, and what was seen of each text if that is kept; its metadata is all else that
`State` holds, the seeds, and what the run is made of. It is written beside its place, flushed to
the disk and renamed, so that one that can be seen is complete.
"""

import fcntl
import hashlib
import json
import os
import re
import warnings
import zlib
from pathlib import Path

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import atomic_file
from bertsent.saved import from_plain, plain
from bertsent.schedule import Seeds
from bertsent.texts import hash_texts

FORMAT = 1
_NAME = re.compile(r"step-(\d+)\.safetensors")
_UNFINISHED = re.compile(r"\.step-\d+\.safetensors\.tmp-[0-9a-f]+")
_DTYPES = {"F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4")}

# Parameters that do not change what comes out, or that are compared by what they lead to.
_FREE = frozenset({
    "model", "learning_rate", "precision", "inference_precision", "n_threads", "random_state",
    "verbose", "checkpoint_dir", "checkpoint_every", "checkpoint_keep", "resume", "memory_limit",
    "callbacks", "log_file", "warm_start", "frozen_cache", "time_budget",
})
_SAID = {
    "model": "the weights of the model that training starts from",
    "tokenizer": "the tokenizer",
    "texts": "the texts (X)",
    "labels": "the labels (y)",
    "sample_weight": "sample_weight",
    "random_state": "random_state",
    "plan": "into which parts memory_limit (and n_threads with it) cuts a batch",
    "validation": "the validation texts or labels (X_val, y_val)",
}


def describe_run(*, parameters, resolved, plan, seeds, model, tokenizer, data):
    """What a run is made of: everything that decides its result, large things hashed.

    Parameters
    ----------
    parameters : dict
        Those of the classifier.
    resolved : dict
        ``learning_rate``, ``precision``, ``inference_precision`` and ``frozen_cache``: what "auto"
        has come to; and ``time_budget`` in seconds with what was planned, ``time_plan``.
    plan : Plan
        What the memory limit has come to.
    seeds : Seeds
    model : BertForSequenceClassification
        Before the first step.
    tokenizer : WordPieceTokenizer
    data : dict
        ``texts``, ``labels``, ``sample_weight`` and ``validation``, each a list of lists of
        str, arrays, or None.

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
        "plan": list(plan),
        **{name: plain(value) for name, value in parameters.items() if name not in _FREE},
        "random_state": list(seeds),
    }


def has_checkpoints(directory):
    """Whether a directory holds a checkpoint of a run."""
    try:
        return any(_NAME.fullmatch(name) for name in os.listdir(directory))
    except OSError:
        return False


class RunStore:
    """The checkpoints in a directory, held for one process while the context lasts.

    Parameters
    ----------
    directory : str or path-like
        Made if need be. Files of others in it are left alone.
    keep : int
        How many of the newest checkpoints stay.
    resume : bool
        Whether checkpoints that are there may be gone on from.

    Raises
    ------
    FileExistsError
        There are checkpoints and `resume` is false.
    BlockingIOError
        Another process trains into this directory.
    """

    def __init__(self, directory, keep, resume):
        self.directory = Path(os.path.expanduser(os.fspath(directory)))
        self.keep, self.resume = keep, resume
        self.seeds = self.run = None

    def __enter__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lock = os.open(self.directory, os.O_RDONLY)
        try:
            self._take_lock()
            if has_checkpoints(self.directory) and not self.resume:
                raise FileExistsError(
                    f"{self.directory} holds checkpoints of a run; go on with it by resume=True "
                    "(--resume on the command line), or choose another checkpoint_dir"
                )
            for name in filter(_UNFINISHED.fullmatch, os.listdir(self.directory)):
                (self.directory / name).unlink()
        except BaseException:
            os.close(self.lock)
            raise
        return self

    def __exit__(self, *error):
        os.close(self.lock)

    def _take_lock(self):
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(
                f"another process is training into {self.directory}; "
                "choose another checkpoint_dir"
            ) from None
        except OSError:  # a file system without locks
            pass

    def newest(self):
        """The newest checkpoint that is whole, or None where there is none at all."""
        found = self._files()
        for path in reversed(found):
            try:
                return Saved(path)
            except CheckpointError as error:
                problem = error
                warnings.warn(f"{error}; trying the one before", UserWarning, stacklevel=3)
        if found:
            raise CheckpointError(
                f"no checkpoint in {self.directory} can be used ({problem}); remove them to start "
                "from the beginning"
            )
        return None

    def save(self, state, weights):
        """Write a checkpoint and remove those that are too old.

        A disk that is full, or another error of the system, is a warning: training goes on, and
        what was saved before is still there.
        """
        path = self.directory / f"step-{state.step:08d}.safetensors"
        first = state.exp_avg.size - weights.size
        arrays = {
            "weights": weights,
            "exp_avg": state.exp_avg[first:],
            "exp_avg_sq": state.exp_avg_sq[first:],
            "best": state.best.weights,
            "order": state.order,
        }
        if state.examples is not None:
            arrays |= state.examples.arrays()
        record = {"format": FORMAT, "seeds": self.seeds, "run": self.run, "machine": _machine()}
        try:
            _write(path, arrays, record | {"state": _state_to_json(state)})
            for old in self._files()[: -self.keep]:
                old.unlink()
        except OSError as error:
            warnings.warn(
                f"no checkpoint of step {state.step}, training goes on without: {error}",
                UserWarning, stacklevel=2,
            )

    def _files(self):
        names = filter(_NAME.fullmatch, os.listdir(self.directory))
        return [self.directory / name for name in sorted(names, key=_step_of)]


class Saved:
    """A checkpoint on the disk, found to be whole.

    Attributes
    ----------
    seeds : Seeds
    run : dict
        As `describe_run` gave it.
    """

    def __init__(self, path):
        self.path = path
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(size))
            record = json.loads(header.pop("__metadata__")["bertsent"])
            data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + size)
            whole = zlib.crc32(data) == record["crc32"]
            self.arrays = {
                name: data[slice(*entry["data_offsets"])].view(_DTYPES[entry["dtype"]])
                for name, entry in header.items()
            }
            self.seeds, self.run = Seeds(*record["seeds"]), record["run"]
            self.state, self.machine = record["state"], record["machine"]
            version = record["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged ({error})") from error
        if not whole:
            raise CheckpointError(f"{path} is damaged (its checksum is wrong)")
        if version != FORMAT:
            raise CheckpointError(f"{path} is of format {version}; this bertsent reads {FORMAT}")

    def check(self, run):
        """Raise unless this is a checkpoint of that very run; the error names what differs."""
        names = [
            name for name in dict.fromkeys([*run, *self.run])
            if self.run.get(name) != run.get(name)
        ]
        if "random_state" in names and "model" in names:
            names.remove("model")  # its new weights are drawn by the seed
        if names:
            differences = [
                _SAID.get(name)
                or f"{name} (saved: {from_plain(self.run.get(name))!r}, "
                f"now: {from_plain(run.get(name))!r})"
                for name in names
            ]
            raise CheckpointError(
                f"{self.path} is of another run; what differs: {', '.join(differences)}. "
                "Call with what the run was begun with, or choose another checkpoint_dir"
            )
        if self.machine != _machine():
            warnings.warn(
                f"{self.path} was written with other instructions ({self.machine}, now "
                f"{_machine()}): training goes on, but not to the same bits",
                UserWarning, stacklevel=3,
            )

    def restore(self, state, weights):
        """Put a fresh state, and the trained part of the weights, where the run stood."""
        arrays, saved = self.arrays, self.state
        first = state.exp_avg.size - weights.size
        weights[:] = arrays["weights"]
        state.exp_avg[first:] = arrays["exp_avg"]
        state.exp_avg_sq[first:] = arrays["exp_avg_sq"]
        state.order = np.array(arrays["order"]) if "order" in arrays else None
        state.best.weights = np.array(arrays["best"]) if "best" in arrays else None
        if state.examples is not None:
            state.examples.restore(arrays)
        for name in ("value", "step", "since"):
            setattr(state.best, name, saved["best"][name])
        vars(state.sums).update(saved["sums"])
        for name in _PLAIN_STATE:
            setattr(state, name, saved[name])


_PLAIN_STATE = (
    "step", "epoch", "position", "history", "evaluations", "stopped", "finished", "used",
)


def _state_to_json(state):
    best = state.best
    return {
        **{name: getattr(state, name) for name in _PLAIN_STATE},
        "sums": vars(state.sums),
        "best": {"value": best.value, "step": best.step, "since": best.since},
    }


def _write(path, arrays, record):
    """Write a safetensors file, straight from the arrays that are not None."""
    header, offset, crc = {}, 0, 0
    arrays = {name: array for name, array in arrays.items() if array is not None}
    for name, array in arrays.items():
        dtype = next(key for key, kind in _DTYPES.items() if kind == array.dtype)
        header[name] = {
            "dtype": dtype, "shape": [array.size], "data_offsets": [offset, offset + array.nbytes]
        }
        offset += array.nbytes
        crc = zlib.crc32(array, crc)
    header["__metadata__"] = {"bertsent": json.dumps(record | {"crc32": crc})}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array)


def _step_of(name):
    return int(_NAME.fullmatch(name)[1])


def _machine():
    from bertsent import _core

    return _core.isa()


def hash_parts(*parts):
    """A hash of lists of texts and of arrays, which also tells where one ends."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if part is None:
            digest.update(b"-")
            continue
        array = hash_texts(part) if isinstance(part, list) else np.ascontiguousarray(part)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.view(np.uint8).data)
    return digest.hexdigest()
