"""Quantize weights to whole numbers from -127 to 127, as the engine does (csrc/model/weights.c).

Each row is stored with its range, the largest magnitude in it, and not with the step, range / 127.
So the largest weight is restored exactly. Quantizing a restored weight gives the same numbers, and
therefore exactly the same int8 logits.
"""

import numpy as np
import numpy.typing as npt

# Rows with a smaller range become zeros, because 127 / range would be infinite.
_LEAST_RANGE = np.float32(1e-36)


def quantize(
    weight: npt.NDArray[np.float32], name: str
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantize a weight.

    Parameters
    ----------
    weight : ndarray of float32, shape (n, k)
    name : str
        Name of the weight in error messages.

    Returns
    -------
    rows : ndarray of int8, shape (n, k)
    row_range : ndarray of float32, shape (n,)

    Raises
    ------
    ValueError
        The weight contains NaN or infinite values.
    """
    row_range = np.abs(weight).max(axis=1)
    if not np.isfinite(row_range).all():
        raise ValueError(
            f"{name} contains NaN or infinite values, which int8 cannot represent; "
            "train the model again"
        )
    inverse = np.zeros_like(row_range)
    np.divide(np.float32(127), row_range, out=inverse, where=row_range > _LEAST_RANGE)
    return np.rint(weight * inverse[:, None]).astype(np.int8), row_range


def restore(
    rows: npt.NDArray[np.int8], row_range: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the float32 weight, shape (n, k), that `quantize` maps to these numbers."""
    weight = rows.astype(np.float32)
    weight /= np.float32(127)
    weight *= row_range[:, None]
    return weight
