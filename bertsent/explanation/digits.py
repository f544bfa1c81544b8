"""How scores and outputs are written."""


def write_score(value: float, explained: str, decimals: int = 3) -> str:
    """Return a score or an output with its sign.

    Parameters
    ----------
    value : float
    explained : str
        As in `Explanation`. Log-odds have fixed decimals; a prediction has the unit of y, which may
        be large or small, and four significant digits.
    decimals : int, default=3
    """
    if explained != "prediction":
        return f"{value:+.{decimals}f}"
    return f"{value:+.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:+.4g}"
