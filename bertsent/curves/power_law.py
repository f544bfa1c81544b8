"""The power law of a learning curve, and its fit.

The error of a classifier that was trained on n texts is close to a + b n^-c (Cortes et al. 1993,
*Learning curves: asymptotic values and rate of convergence*; Hestness et al. 2017, *Deep learning
scaling is predictable, empirically*): a is what no number of labels removes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar, nnls

if TYPE_CHECKING:
    import numpy.typing as npt

# Exponents that Hestness et al. found begin at 0.07. At most 1 is possible in theory where the
# error falls to a > 0, and more would only fit noise.
EXPONENTS = (0.05, 1.0)
# An asymptote needs curvature, so at least this many sizes.
FEWEST_SIZES = 3


class PowerLaw(NamedTuple):
    """The error a + b n^-c after training on n texts.

    Attributes
    ----------
    a : float
        Error with any number of texts, at least 0.
    b : float
        At least 0.
    c : float
        Exponent, within `EXPONENTS`.
    """

    a: float
    b: float
    c: float

    def error(self, sizes: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the error for numbers of texts."""
        found: npt.NDArray[np.float64] = (
            self.a + self.b * np.asarray(sizes, np.float64) ** -self.c
        )
        return found


def fit_power_law(
    sizes: npt.ArrayLike, errors: npt.ArrayLike, deviations: npt.ArrayLike | None = None
) -> PowerLaw:
    """Fit a power law by weighted least squares, under the bounds of `PowerLaw`.

    For a given exponent, a and b are a problem of non-negative least squares, so only the exponent
    is searched.

    Parameters
    ----------
    sizes : array of int, shape (n_sizes,)
        Different numbers of texts.
    errors : array of float, shape (n_sizes,)
    deviations : array of float, shape (n_sizes,), optional
        Standard deviation of each error. None means that they are equal.

    Returns
    -------
    PowerLaw
    """
    n, y = np.asarray(sizes, np.float64), np.asarray(errors, np.float64)
    weights = np.ones(len(n)) if deviations is None else 1.0 / np.asarray(deviations, np.float64)
    smallest = n.min()  # sizes relative to it keep the two columns comparable

    def solve(c: float) -> tuple[npt.NDArray[np.float64], float]:
        columns = np.stack([np.ones(len(n)), (n / smallest) ** -c], axis=1)
        solution, residual = nnls(columns * weights[:, None], y * weights)
        return solution, float(residual)

    best = minimize_scalar(
        lambda c: solve(c)[1], bounds=EXPONENTS, method="bounded", options={"xatol": 3e-3}
    )
    # The search stays inside of the bounds, where the best exponent may be.
    c = min([float(best.x), *EXPONENTS], key=lambda c: solve(c)[1])
    a, b = solve(c)[0]
    return PowerLaw(float(a), float(b * smallest**c), c)
