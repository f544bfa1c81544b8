"""Weights as whole numbers from -127 to 127, as the engine cuts them (csrc/model/weights.c).

Kept of each row is its range, the largest magnitude in it, and not the step, range / 127: so the
largest weight comes back exactly, and cutting what came back gives the same numbers, and with them
the engine's int8 logits, bit by bit.
"""

import numpy as np

# Below it a row counts as zeros: 127 over it would be infinite.
_LEAST_RANGE = np.float32(1e-36)


def quantize(weight, name):
    """Cut a weight.

    Parameters
    ----------
    weight : ndarray of float32, shape (n, k)
    name : str
        What to call it in errors.

    Returns
    -------
    rows : ndarray of int8, shape (n, k)
    row_range : ndarray of float32, shape (n,)

    Raises
    ------
    ValueError
        The weight holds NaN or infinite values.
    """
    row_range = np.abs(weight).max(axis=1)
    if not np.isfinite(row_range).all():
        raise ValueError(f"{name} holds NaN or infinite values, which int8 cannot; train anew")
    inverse = np.zeros_like(row_range)
    np.divide(np.float32(127), row_range, out=inverse, where=row_range > _LEAST_RANGE)
    return np.rint(weight * inverse[:, None]).astype(np.int8), row_range


def restore(rows, row_range):
    """The float32 weight that `quantize` cuts to these, shape (n, k)."""
    weight = rows.astype(np.float32)
    weight /= np.float32(127)
    weight *= row_range[:, None]
    return weight
