"""Tensors in the safetensors files of a model directory.

The safetensors library judges a file before any of it is used: its header, that the
tensors lie side by side without gaps or overlaps, and that nothing is missing at the
end. The values are then read straight to where they belong, in pieces, so that loading
needs little more memory than the model itself.
"""

import itertools
import json
import math
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .config import read_json
from .errors import CheckpointError
from .int8 import quantize, restore

__all__ = ["Stored", "check_type", "conversion_line", "find", "find_member", "read", "write"]

_WEIGHTS = "model.safetensors"
_INT8 = "model.int8.safetensors"
_INDEX = "model.safetensors.index.json"
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_PIECE = 1 << 20
# What follows a tensor's name in the name of its ranges.
_RANGE = "_range"


class Stored(NamedTuple):
    """Where a tensor lies: its file, its name there, type, shape, first byte, and of int8 range."""

    path: Path
    name: str
    dtype: str
    shape: tuple
    offset: int
    range: "Stored | None" = None


def find(directory, raw):
    """Return every tensor of a model directory.

    Parameters
    ----------
    directory : pathlib.Path
        Holds ``model.safetensors``, or shards and ``model.safetensors.index.json``, or
        ``model.int8.safetensors``.
    raw : dict
        Its ``config.json``.

    Returns
    -------
    dict of str to Stored

    Raises
    ------
    CheckpointError
        There are no weights, or a file is damaged or missing.
    """
    if (directory / _WEIGHTS).is_file():
        return _open(directory / _WEIGHTS)
    index = directory / _INDEX
    if not index.is_file():
        if (directory / _INT8).is_file():
            return _open_int8(directory / _INT8)
        raise CheckpointError(_no_weights(directory, raw))
    owners = read_json(index).get("weight_map")
    if not isinstance(owners, dict) or not all(isinstance(name, str) for name in owners.values()):
        raise CheckpointError(f"{index} has no weight_map from tensor names to file names")
    stored = {}
    for shard in sorted(set(owners.values())):
        # Only a bare name is sure to stay inside the directory.
        if not re.fullmatch(r"[^/\\]+\.safetensors", shard):
            raise CheckpointError(
                f"{index} names {shard!r}, which is not a safetensors file in the same directory"
            )
        if not (directory / shard).is_file():
            raise CheckpointError(f"{directory / shard} is missing; {_INDEX} names it")
        opened = _open(directory / shard)
        for name, owner in owners.items():
            if owner == shard:
                if name not in opened:
                    raise CheckpointError(
                        f"{directory / shard} lacks {name}; {_INDEX} puts it there"
                    )
                stored[name] = opened[name]
    return stored


def find_member(directory, number):
    """Return every tensor of one of a classifier's further models, which have no shards."""
    whole, int8 = (directory / name for name in _file_names(number))
    if whole.is_file():
        return _open(whole)
    if int8.is_file():
        return _open_int8(int8)
    raise CheckpointError(f"{whole} is missing: a classifier of several models lacks one")


def _file_names(member):
    """Of a model's weights, as they are and in int8."""
    name = "model" if member == 1 else f"member-{member}"
    return f"{name}.safetensors", f"{name}.int8.safetensors"


def check_type(tensor):
    """Raise a `CheckpointError` for a number format that `read` does not know."""
    if tensor.dtype not in _ITEM_BYTES and tensor.range is None:
        raise CheckpointError(
            f"{tensor.path}: {tensor.name} is stored as {tensor.dtype}; "
            f"bertsent reads {', '.join(_ITEM_BYTES)}"
        )


def read(wanted):
    """Read tensors, each into a flat float32 array of its size.

    Parameters
    ----------
    wanted : list of (Stored, ndarray of float32)
        What to read and where to; of a type that `check_type` lets pass.

    Raises
    ------
    CheckpointError
        A file ends early, or a value is not finite.
    """
    half_buffer = np.empty(_PIECE, dtype=np.uint16)
    in_file_order = sorted(wanted, key=lambda item: (item[0].path, item[0].offset))
    for path, items in itertools.groupby(in_file_order, key=lambda item: item[0].path):
        with open(path, "rb", buffering=0) as file:
            for tensor, values in items:
                if tensor.range is not None:
                    _read_int8(file, values, tensor)
                    continue
                file.seek(tensor.offset)
                for start in range(0, values.size, _PIECE):
                    piece = values[start : start + _PIECE]
                    _read_piece(file, piece, half_buffer[: piece.size], tensor)


def write(directory, values, int8=False, member=1):
    """Write ``model.safetensors``, or ``model.int8.safetensors``, into a directory.

    Parameters
    ----------
    directory : pathlib.Path
        Where to.
    values : dict of str to ndarray
        C-contiguous arrays by name.
    int8 : bool
        Cut the encoder's linear layers to int8. The file has a name and a format of its own,
        so that no other program takes the numbers for weights.
    member : int
        Which of a classifier's models it is; further ones have files of their own.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        A weight that is to be cut to int8 is not finite.
    """
    import safetensors
    from safetensors.numpy import save_file

    path = directory / _file_names(member)[int8]
    if int8:
        values = _cut(values)
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(values, path, metadata={"format": "bertsent-int8" if int8 else "pt"})
        # The library may leave a file that nobody but its owner can read.
        path.chmod(mode)
    except safetensors.SafetensorError as error:
        # The library wraps the system's error in one of its own; callers look for an OSError.
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error), path.name) from error


def conversion_line(source, raw):
    """Return the shell command that rewrites a pickled checkpoint as safetensors."""
    auto = "AutoModel"
    if "BertForSequenceClassification" in (raw.get("architectures") or []):
        auto = "AutoModelForSequenceClassification"
    program = (
        f"import sys, transformers; name, target = sys.argv[1:]; "
        f"transformers.{auto}.from_pretrained(name).save_pretrained(target); "
        "transformers.AutoTokenizer.from_pretrained(name).save_pretrained(target)"
    )
    target = Path(source).name + "-safetensors"
    return f'python -c "{program}" {shlex.quote(source)} {shlex.quote(target)}'


def _open(path):
    """Let the library check one file, then return its tensors."""
    import safetensors

    with open(path, "rb") as file:
        beginning = file.read(8)
        if beginning == b"version ":
            raise CheckpointError(
                f"{path} is a Git LFS pointer, not the weights; run 'git lfs pull' there"
            )
        try:
            with safetensors.safe_open(path, framework="numpy") as checked:
                names = list(checked.keys())
        except safetensors.SafetensorError as error:
            raise CheckpointError(
                f"{path} is damaged or incomplete ({error}); download or copy it again"
            ) from error
        length = int.from_bytes(beginning, "little")
        header = json.loads(file.read(length))
    found = {}
    for name in names:
        entry = header[name]
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        if dtype in _ITEM_BYTES and end - begin != _ITEM_BYTES[dtype] * math.prod(shape):
            raise CheckpointError(f"{path} is damaged: {name} has a size other than its shape's")
        found[name] = Stored(path, name, dtype, shape, 8 + length + begin)
    return found


def _cut(values):
    cut = {}
    for name, array in values.items():
        if name.startswith("bert.encoder.") and array.ndim == 2:
            rows, cut[name + _RANGE] = quantize(array, name)
            # Of another shape than the weight, so that nobody takes it for one.
            cut[name] = rows.reshape(-1)
        else:
            cut[name] = array
    return cut


def _open_int8(path):
    """The tensors of a file that `write` has cut to int8, each with its range."""
    found = _open(path)
    for name in [name for name, tensor in found.items() if tensor.dtype == "I8"]:
        tensor, row_range = found[name], found.pop(name + _RANGE, None)
        if row_range is None:
            raise CheckpointError(f"{path} is damaged: {name} is int8 without {name + _RANGE}")
        count, n = math.prod(tensor.shape), math.prod(row_range.shape)
        if row_range.dtype != "F32" or len(row_range.shape) != 1 or not n or count % n:
            raise CheckpointError(
                f"{path} is damaged: {name} has {count} numbers, and {name + _RANGE} is of type "
                f"{row_range.dtype} and shape {row_range.shape}"
            )
        found[name] = tensor._replace(shape=(n, count // n), range=row_range)
    return found


def _no_weights(directory, raw):
    if not list(directory.glob("pytorch_model*.bin")):
        return f"{directory} has a config.json but no {_WEIGHTS}"
    return (
        f"{directory} holds its weights as a pickle (pytorch_model.bin), which could run any "
        "program when read, and is not opened here. If you trust it, convert it where torch and "
        f"transformers are installed:\n  {conversion_line(str(directory), raw)}"
    )


def _read_piece(file, piece, half, tensor):
    if tensor.dtype == "F32":
        _fill(file, piece, tensor)
    else:
        _fill(file, half, tensor)
        if tensor.dtype == "F16":
            piece[:] = half.view(np.float16)
        else:
            # bfloat16 is the upper half of a float32.
            bits = piece.view(np.uint32)
            bits[:] = half
            bits <<= 16
    if not np.isfinite(piece).all():
        raise CheckpointError(
            f"{tensor.path}: {tensor.name} holds NaN or infinite values; the file is damaged "
            "or the training that wrote it diverged"
        )


def _read_int8(file, values, tensor):
    rows = np.empty(tensor.shape, dtype=np.int8)
    row_range = np.empty(tensor.shape[:1], dtype=np.float32)
    for part, array in ((tensor, rows), (tensor.range, row_range)):
        file.seek(part.offset)
        _fill(file, array, part)
    if not (np.isfinite(row_range) & (row_range >= 0)).all() or (rows == -128).any():
        raise CheckpointError(
            f"{tensor.path}: {tensor.name} is damaged: a range that is negative or not finite, or "
            "-128 among the numbers; save the model again"
        )
    values[:] = restore(rows, row_range).reshape(-1)


def _fill(file, array, tensor):
    """Fill an array from a file, which may have been cut since it was checked."""
    view = memoryview(array).cast("B")
    while view:
        count = file.readinto(view)
        if not count:
            raise CheckpointError(f"{tensor.path} ends within {tensor.name}")
        view = view[count:]
