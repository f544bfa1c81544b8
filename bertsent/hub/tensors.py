"""Read and write the tensors in the safetensors files of a model directory.

The safetensors library checks a file before anything in it is used: that the header is valid,
that the tensors lie side by side without gaps or overlaps, and that the file is not truncated.
The values are then read in pieces, directly into their destination, so loading needs little more
memory than the model itself.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import reprlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import (
    BEGINNING,
    describe_impostor,
    has_file,
    mapping_error,
    open_regular,
    path_of,
    read_json,
)
from bertsent.hub.diagnosis import adapter_beside, cache_gap, no_weights
from bertsent.hub.int8 import quantize, restore
from bertsent.system import check_interrupts

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Stored", "are_in", "check_type", "find", "find_member", "read", "read_arrays", "write",
    "write_arrays",
]

Array: TypeAlias = "npt.NDArray[Any]"
Float32: TypeAlias = "npt.NDArray[np.float32]"

_WEIGHTS = "model.safetensors"
_INT8 = "model.int8.safetensors"
_INDEX = "model.safetensors.index.json"
# Types that are read, and how NumPy reads them. A bfloat16 is the upper half of a float32.
_DTYPES = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16, "F64": np.float64}
_PIECE = 1 << 20
# A model with 100 layers needs a hundredth of this.
_MOST_HEADER = 1 << 24
# Those of models have about 60 characters. Errors show names, so they must not fill a page.
_LONGEST_NAME = 300
# NumPy allows twice as many; those of models have one or two.
_MOST_DIMENSIONS = 32
# Key of the metadata in which the hash of the parameters is.
_IDENTITY = "bertsent"
# Suffix of the tensor that holds the ranges of a quantized tensor.
_RANGE = "_range"


class Stored(NamedTuple):
    """Where a tensor is stored: file, name, type, shape, offset in bytes, and ranges if int8."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    range: Stored | None = None


def are_in(directory: Path) -> bool:
    """Return whether a directory contains weights that `find` reads."""
    return any(has_file(directory / name) for name in (_WEIGHTS, _INDEX, _INT8))


def find(directory: Path, raw: dict[str, Any]) -> dict[str, Stored]:
    """Find all tensors of a model directory.

    Parameters
    ----------
    directory : pathlib.Path
        Contains ``model.safetensors``, or shards and ``model.safetensors.index.json``, or
        ``model.int8.safetensors``.
    raw : dict
        Content of its ``config.json``.

    Returns
    -------
    dict of str to Stored
        By the names of the tensors in the files.

    Raises
    ------
    CheckpointError
        There are no weights, or a file is missing or damaged.
    """
    if has_file(directory / _WEIGHTS):
        beside = adapter_beside(directory)
        if beside is not None:
            raise CheckpointError(beside)
        return _open(directory / _WEIGHTS)
    index = directory / _INDEX
    if not has_file(index):
        if has_file(directory / _INT8):
            return _open_int8(directory / _INT8)
        raise CheckpointError(no_weights(directory, raw))
    entries = read_json(index)["weight_map"].entries()
    owners = {name: shard.text() for name, shard in entries.items()}
    stored = {}
    for shard in sorted(set(owners.values())):
        # A name with a separator could lead out of the directory.
        if not re.fullmatch(r"[^/\\\0]{1,200}\.safetensors", shard):
            raise CheckpointError(
                f"{index} names {reprlib.repr(shard)}, which is not a safetensors file in the same "
                "directory"
            )
        if not has_file(directory / shard):
            raise CheckpointError(
                f"{directory / shard} is missing, although {_INDEX} lists it; "
                f"{cache_gap(directory, shard) or 'download or copy the model again'}"
            )
        opened = _open(directory / shard)
        for name, owner in owners.items():
            if owner == shard:
                if name not in opened:
                    raise CheckpointError(
                        f"{directory / shard} lacks {name:.300}, although {_INDEX} lists it there; "
                        "download or copy the model again"
                    )
                stored[name] = opened[name]
    return stored


def find_member(directory: Path, number: int) -> dict[str, Stored]:
    """Find all tensors of a further member of a classifier. Members are never sharded."""
    whole, int8 = (directory / name for name in _file_names(number))
    if has_file(whole):
        return _open(whole)
    if has_file(int8):
        return _open_int8(int8)
    raise CheckpointError(
        f"{whole} is missing, which contains a member of the classifier; "
        f"{cache_gap(directory, whole.name) or 'copy the directory again'}"
    )


def _file_names(member: int) -> tuple[str, str]:
    """Return the names of a member's files with float32 and with int8 weights."""
    name = "model" if member == 1 else f"member-{member}"
    return f"{name}.safetensors", f"{name}.int8.safetensors"


def check_type(tensor: Stored) -> None:
    """Raise a `CheckpointError` if `read` does not support the type of a tensor."""
    if tensor.dtype in _DTYPES or tensor.range is not None:
        return
    raise CheckpointError(
        f"{tensor.path}: {tensor.name} is stored as {tensor.dtype}; bertsent reads "
        f"{', '.join(_DTYPES)}, so use a version of the model with weights of these types"
    )


def read(wanted: list[tuple[Stored, Array]]) -> None:
    """Read tensors into float32 arrays.

    Parameters
    ----------
    wanted : list of (Stored, ndarray of float32, shape (size,))
        Tensors, whose types `check_type` accepts, and for each the array to fill.

    Raises
    ------
    CheckpointError
        A file is truncated, or a value is not finite in float32.
    KeyboardInterrupt
        A signal was deferred.
    """
    buffer = np.empty(_PIECE, dtype=np.float64)
    in_file_order = sorted(wanted, key=lambda item: (item[0].path, item[0].offset))
    for path, items in itertools.groupby(in_file_order, key=lambda item: item[0].path):
        with open_regular(path) as file:
            for tensor, values in items:
                check_interrupts()
                if tensor.range is not None:
                    _read_int8(file, values, tensor)
                    continue
                file.seek(tensor.offset)
                for start in range(0, values.size, _PIECE):
                    check_interrupts()
                    piece = values[start : start + _PIECE]
                    _read_piece(file, piece, buffer, tensor)


def read_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Float32]:
    """Read a file that has exactly these float32 arrays.

    Parameters
    ----------
    path : pathlib.Path
    shapes : mapping of str to tuple of int
        The shape of each array, which the header is compared with before memory is allocated.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or contains other arrays or values that are not finite.
    """
    try:
        stored = _open(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; copy all files of the model") from None
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in stored.items()}
    for name, shape in shapes.items():
        if found.get(name) != ("F32", shape):
            dtype, other = found.get(name, ("nothing", ()))
            raise CheckpointError(
                f"{path}: {name} is {dtype} of the shape {other}, expected F32 of the shape {shape}"
            )
    if len(stored) > len(shapes):
        raise CheckpointError(f"{path} has {len(stored)} arrays, expected {', '.join(shapes)}")
    arrays = {name: np.empty(math.prod(shape), np.float32) for name, shape in shapes.items()}
    read([(stored[name], values) for name, values in arrays.items()])
    return {name: arrays[name].reshape(shape) for name, shape in shapes.items()}


def find_identity(directory: Path, member: int = 1) -> str | None:
    """Return what `write` was told about the values in a file that `find` accepts, or None."""
    for path in (directory / name for name in _file_names(member)):
        if has_file(path):
            with open_regular(path) as file:
                header = _parse_header(file.read(_read_length(file)), path)
            identity = (header.get("__metadata__") or {}).get(_IDENTITY)
            return identity if isinstance(identity, str) else None
    return None


def write(
    directory: Path, values: dict[str, Array], int8: Sequence[str] = (), member: int = 1,
    identity: str | None = None,
) -> None:
    """Write ``model.safetensors``, or ``model.int8.safetensors``, into a directory.

    Parameters
    ----------
    directory : pathlib.Path
        Existing directory.
    values : dict of str to ndarray
        C-contiguous arrays by name.
    int8 : sequence of str, default=()
        Names of the weights to quantize to int8. If there are any, the file has another name and
        format, so that no other program mistakes the numbers for weights.
    member : int, default=1
        Number of the classifier's member. Members from 2 on have files of their own.
    identity : str or None, default=None
        A hash of the values, which `find_identity` returns.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        A weight that is to be quantized is not finite.
    """
    path = directory / _file_names(member)[bool(int8)]
    if int8:
        values = _quantized(values, int8)
    metadata = {"format": "bertsent-int8" if int8 else "pt"}
    write_arrays(path, values, metadata | ({_IDENTITY: identity} if identity else {}))


def write_arrays(
    path: Path, values: dict[str, Array], metadata: dict[str, str] | None = None
) -> None:
    """Write C-contiguous arrays by name into a file. Errors are as for `write`."""
    import safetensors
    from safetensors.numpy import save_file

    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(values, path, metadata)
        if metadata:
            _sort_metadata(path)
        # The library may create a file that only its owner can read.
        path.chmod(mode)
    except safetensors.SafetensorError as error:
        # The library wraps errors of the system; callers expect an OSError.
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error), path.name) from None


def _sort_metadata(path: Path) -> None:
    """Sort the metadata in a file; the library writes them in a random order."""
    with open(path, "r+b") as file:
        content = file.read(int.from_bytes(file.read(8), "little"))
        written = json.loads(content)["__metadata__"]
        old, new = (
            json.dumps(metadata, separators=(",", ":")).encode()
            for metadata in (written, dict(sorted(written.items())))
        )
        file.seek(8)
        file.write(content.replace(old, new, 1))


def _open(path: Path) -> dict[str, Stored]:
    """Check a file with the safetensors library, and return its tensors."""
    import safetensors

    with open_regular(path) as file:
        length = _read_length(file)
        try:
            if length > _MOST_HEADER:
                raise safetensors.SafetensorError(f"its header claims {length} bytes")
            head = file.read(length)
            with safetensors.safe_open(path_of(file), framework="numpy") as checked:
                names = list(checked.keys())
        except safetensors.SafetensorError as error:
            file.seek(0)
            impostor = describe_impostor(path, file.read(BEGINNING))
            raise CheckpointError(
                f"{path} {impostor}" if impostor is not None else
                f"{path} is damaged or incomplete ({error!s:.200}); download or copy it again"
            ) from None
        except MemoryError:
            raise mapping_error(path) from None
    header = _parse_header(head, path)
    found = {}
    for name in names:
        if len(name) > _LONGEST_NAME:
            raise CheckpointError(
                f"{path} is damaged: a tensor has a name of {len(name)} characters"
            )
        entry = header.get(name)
        # The library also reads a list of the values, and an enumeration as an object.
        if not isinstance(entry, dict) or not isinstance(entry["dtype"], str):
            raise CheckpointError(f"{path} is damaged: its header has no type and shape of {name}")
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
        size = np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else None
        if size is not None and end - begin != size * math.prod(shape):
            raise CheckpointError(f"{path} is damaged: the size of {name} does not fit its shape")
        # NumPy bounds the dimensions also of an array that has no values.
        if len(shape) > _MOST_DIMENSIONS or math.prod(n or 1 for n in shape) > sys.maxsize // 8:
            raise CheckpointError(f"{path} is damaged: {name} has an impossible shape")
        found[name] = Stored(path, name, dtype, shape, 8 + length + begin)
    return found


def _read_length(file: io.BufferedReader) -> int:
    return int.from_bytes(file.read(8), "little")


def _parse_header(content: bytes, path: Path) -> dict[str, Any]:
    """Return the header of a file that the library has checked."""
    try:
        header: dict[str, Any] = json.loads(content)
    except ValueError:  # it was written to in the meantime
        raise CheckpointError(f"{path} was changed while it was read; open it again") from None
    return header


def _quantized(values: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    quantized = dict(values)
    for name in names:
        rows, quantized[name + _RANGE] = quantize(values[name], name)
        # With another shape than the weight, so that no program mistakes it for one.
        quantized[name] = rows.reshape(-1)
    return quantized


def _open_int8(path: Path) -> dict[str, Stored]:
    """Return the tensors of a file that `write` quantized, with their ranges."""
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


def _read_piece(
    file: io.BufferedReader, piece: Array, buffer: Array, tensor: Stored
) -> None:
    stored = piece if tensor.dtype == "F32" else buffer.view(_DTYPES[tensor.dtype])[: piece.size]
    _fill(file, stored, tensor)
    if tensor.dtype == "F32":
        pass
    elif tensor.dtype == "BF16":
        bits = piece.view(np.uint32)
        bits[:] = stored
        bits <<= 16
    else:
        with np.errstate(over="ignore"):
            piece[:] = stored
    if np.isfinite(piece).all():
        return
    if tensor.dtype == "F64" and np.isfinite(stored).all():
        raise CheckpointError(
            f"{tensor.path}: {tensor.name} contains values that float32 cannot represent, such as "
            f"{np.abs(stored).max():g}; the file is damaged"
        )
    raise CheckpointError(
        f"{tensor.path}: {tensor.name} contains NaN or infinite values; the file is damaged, "
        "or the training that produced it diverged"
    )


def _read_int8(file: io.BufferedReader, values: Array, tensor: Stored) -> None:
    assert tensor.range is not None
    rows = np.empty(tensor.shape, dtype=np.int8)
    row_range = np.empty(tensor.shape[:1], dtype=np.float32)
    for part, array in ((tensor, rows), (tensor.range, row_range)):
        file.seek(part.offset)
        _fill(file, array, part)
    if not (np.isfinite(row_range) & (row_range >= 0)).all() or (rows == -128).any():
        raise CheckpointError(
            f"{tensor.path}: {tensor.name} is damaged: a range is negative or not finite, or a "
            "number is -128; save the model again"
        )
    values[:] = restore(rows, row_range).reshape(-1)


def _fill(file: io.BufferedReader, array: Array, tensor: Stored) -> None:
    """Fill an array from a file, which may have been truncated since it was checked."""
    view = array.data.cast("B")
    while view:
        count = file.readinto(view)
        if not count:
            raise CheckpointError(
                f"{tensor.path} ends within {tensor.name}; download or copy it again"
            )
        view = view[count:]
