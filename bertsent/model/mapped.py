"""Arrays of pickles that joblib maps from files.

joblib passes large arrays to its worker processes as temporary files, which nobody writes to
again: these may stay mapped. Any other file that ``joblib.load(..., mmap_mode="r")`` maps is the
user's. If it is written again, the arrays would change, and reading beyond its end would kill the
process; so what is in it is copied.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsent.hub import aligned_zeros

# Part of the name of the folder in which joblib puts arrays for its worker processes.
_FOLDER = "joblib_memmapping_folder"


def own_arrays(value: Any) -> Any:
    """Return a value in which no array depends on a file of the user.

    Parameters
    ----------
    value : object
        Part of the state of a pickle. What dicts, lists and objects of this package contain is
        replaced in place.

    Returns
    -------
    object
        `value`, or its copy if it is an array of such a file, or a tuple with one.
    """
    if isinstance(value, np.memmap):
        return value if _is_temporary(value) else np.array(value)
    if isinstance(value, dict):
        for name, each in list(value.items()):
            value[name] = own_arrays(each)
    elif isinstance(value, list):
        value[:] = map(own_arrays, value)
    elif isinstance(value, tuple):
        owned = list(map(own_arrays, value))
        if any(new is not old for new, old in zip(owned, value, strict=True)):
            make = getattr(value, "_make", type(value))  # a named tuple takes no list
            return make(owned)
    elif type(value).__module__.startswith("bertsent.") and hasattr(value, "__dict__"):
        own_arrays(vars(value))
    return value


def map_or_copy(parameters: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return parameters of a pickle as an array that may be written to.

    A temporary file of joblib is mapped once more, privately: processes share its pages, and one
    that writes to a page gets a copy of it.

    Parameters
    ----------
    parameters : ndarray of float32, shape (n,)
        Not changed.

    Returns
    -------
    ndarray of float32, shape (n,)
        A private mapping if `parameters` are mapped from a file of joblib, otherwise a copy.
    """
    if isinstance(parameters, np.memmap) and _is_temporary(parameters):
        mapped = _map_privately(parameters)
        if mapped is not None:
            return mapped
    flat = aligned_zeros(len(parameters))
    flat[:] = parameters
    return flat


def _is_temporary(mapped: np.memmap[Any, Any]) -> bool:
    # Whoever maps a file in another mode may write to it.
    return mapped.mode == "r" and _FOLDER in str(mapped.filename)


def _map_privately(parameters: np.memmap[Any, Any]) -> npt.NDArray[np.float32] | None:
    """Return None if the file cannot be mapped, or is not what was mapped before."""
    if parameters.dtype != np.float32 or parameters.filename is None:
        return None
    begin = parameters.offset - parameters.offset % mmap.ALLOCATIONGRANULARITY
    skipped = parameters.offset - begin
    try:
        with open(parameters.filename, "rb") as file:
            memory = mmap.mmap(
                file.fileno(), skipped + parameters.nbytes, access=mmap.ACCESS_COPY, offset=begin
            )
    except (OSError, ValueError):  # it is gone, or shorter
        return None
    # Not as np.memmap: joblib pickles such an array by the name of its file, without changes.
    flat: npt.NDArray[np.float32]
    flat = np.frombuffer(memory, np.float32, len(parameters), skipped)
    # The file may have been replaced, and what is compared as integers includes NaN.
    if not flat.flags.aligned or not np.array_equal(
        flat.view(np.int32), np.asarray(parameters).view(np.int32)
    ):
        return None
    return flat
