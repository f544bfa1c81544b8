"""Parameters in files that joblib maps into the memory of several processes."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsent.hub import aligned_zeros


def map_or_copy(parameters: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return parameters of a pickle as an array that may be written to.

    joblib passes large arrays to its worker processes as files that are mapped into memory. Such
    a file is mapped once more, privately: processes share its pages, and one that writes to a
    page gets a copy of it.

    Parameters
    ----------
    parameters : ndarray of float32, shape (n,)
        Not changed.

    Returns
    -------
    ndarray of float32, shape (n,)
        A private mapping if `parameters` are mapped read-only, otherwise a copy.
    """
    if isinstance(parameters, np.memmap):
        mapped = _map_privately(parameters)
        if mapped is not None:
            return mapped
    flat = aligned_zeros(len(parameters))
    flat[:] = parameters
    return flat


def _map_privately(parameters: np.memmap[Any, Any]) -> npt.NDArray[np.float32] | None:
    """Return None if the file cannot be mapped, or is not what was mapped before."""
    # Whoever maps a file in another mode may write to it, so what is in it may change.
    if parameters.mode != "r" or parameters.dtype != np.float32 or not parameters.filename:
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
