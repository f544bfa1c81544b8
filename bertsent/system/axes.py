"""Where charts are drawn: matplotlib, imported when it is used, and colours for everyone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

# Blue, vermilion and green of Okabe & Ito (2008), Color Universal Design. People with any kind of
# colour vision tell them apart, and each has a contrast of at least 3:1 with white and with black.
BLUE, VERMILION, GREEN = COLOURS = ("#0072B2", "#D55E00", "#009E73")
# Lines that only mark a place.
QUIET = "#808080"


def make_axes(ax: Any = None, n: int = 1, *, rows: bool = False) -> npt.NDArray[Any]:
    """Return the axes of a chart, and make a figure if there are none.

    Parameters
    ----------
    ax : matplotlib Axes, array of them or None, default=None
        What a user passed to ``plot``.
    n : int, default=1
        Number of axes that the chart needs.
    rows : bool, default=False
        Whether new axes are below each other and share x. Otherwise they are in a row.

    Returns
    -------
    ndarray of object, shape (n,)
        The axes.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        `ax` has another number of axes.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(
            "a plot needs matplotlib; install it with: pip install 'bertsent[plot]'"
        ) from None
    if ax is not None:
        given: npt.NDArray[Any] = np.array(ax, dtype=object).reshape(-1)
        if len(given) != n:
            raise ValueError(f"ax has {len(given)} axes, but this plot needs {n}")
        return given
    import matplotlib.pyplot as plt

    if rows:
        _, made = plt.subplots(
            n, 1, sharex=True, squeeze=False, layout="constrained",
            figsize=(6.4, 4.8 if n == 1 else 2.7 * n),
        )
    else:
        width = 6.4 if n == 1 else 4.4 * n
        _, made = plt.subplots(
            1, n, squeeze=False, layout="constrained", figsize=(width, 4.8 if n == 1 else 3.6)
        )
    return np.array(made, dtype=object).reshape(-1)


def whole_numbers(ax: Axes) -> None:
    """Write only whole numbers at the horizontal axis."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
