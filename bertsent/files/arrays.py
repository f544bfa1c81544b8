"""Read arrays from files that may come from strangers."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection
from os import PathLike
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files.fields import open_regular

if TYPE_CHECKING:
    import numpy.typing as npt

_MAGIC = b"\x93NUMPY\x01\x00"
_MOST_HEADER = 4096
_MOST_SAFETENSORS_HEADER = 1 << 24
# NumPy writes every header like this; its own reader evaluates it as Python.
_HEADER = re.compile(
    rb"\{'descr': '([<>|=]\w{1,8})', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,18}(?:, \d{1,18})+|\d{1,18},)?)\), \} *\n"
)


def read_array(
    file: IO[bytes], size: int, where: str | PathLike[str], dtypes: Collection[str], ndim: int
) -> npt.NDArray[Any]:
    """Read an array in the format of `numpy.save`.

    Parameters
    ----------
    file : binary file
        At its beginning.
    size : int
        Number of bytes in the file. The array must take all of them, so that a file which claims
        more values than it has is refused before anything is allocated.
    where : str or path-like
        Name of the file in errors.
    dtypes : collection of str
        The types that are allowed, such as ``<u8``.
    ndim : int
        Number of dimensions.

    Returns
    -------
    ndarray

    Raises
    ------
    CheckpointError
        The file is damaged, or holds another kind of array.
    """
    where = os.fspath(where)
    beginning = file.read(len(_MAGIC) + 2)
    length = int.from_bytes(beginning[-2:], "little")
    if beginning[:-2] != _MAGIC or length > _MOST_HEADER:
        raise CheckpointError(f"{where} is damaged: it is not a NumPy array")
    header = _HEADER.fullmatch(file.read(length))
    if header is None:
        raise CheckpointError(f"{where} is damaged: its header is not that of a NumPy array")
    descr, order, digits = (group or b"" for group in header.groups())
    shape = tuple(int(part) for part in digits.decode().split(",") if part.strip())
    if descr.decode() not in dtypes or len(shape) != ndim or order == b"True":
        raise CheckpointError(
            f"{where} contains values of type {descr.decode()} and shape {shape}; expected "
            f"{' or '.join(dtypes)} and {ndim} dimension{'s' * (ndim > 1)}"
        )
    dtype = np.dtype(descr.decode())
    there = size - len(beginning) - length
    if math.prod(shape) * dtype.itemsize != there:
        raise CheckpointError(
            f"{where} is damaged: it claims {math.prod(shape)} values of {dtype.itemsize} bytes, "
            f"but has {there} bytes"
        )
    try:
        content = bytearray(there)
        count = file.readinto(content)  # type: ignore[attr-defined]  # what open returns has it
    except MemoryError:
        raise MemoryError(
            f"{where} contains {there >> 20} MiB, more than there is memory for"
        ) from None
    if count != there:
        raise CheckpointError(f"{where} is damaged: it ends within its values")
    return np.frombuffer(content, dtype).reshape(shape)


def mapping_error(path: str | PathLike[str]) -> Exception:
    """Return the error for a safetensors file for which there was not enough memory.

    A file that is longer than its header says is damaged, however much memory there is.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    MemoryError or CheckpointError
    """
    try:
        with open_regular(path) as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MOST_SAFETENSORS_HEADER)))
            ends = [entry["data_offsets"][1] for entry in header.values() if "dtype" in entry]
            size, expected = os.fstat(file.fileno()).st_size, 8 + length + max(ends, default=0)
            if size > expected:
                return CheckpointError(
                    f"{os.fspath(path)} is damaged (it has {size} bytes, but its header describes "
                    f"{expected})"
                )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass  # whatever is wrong with the file, memory was short
    return MemoryError(f"there is not enough memory to read {os.fspath(path)}")
