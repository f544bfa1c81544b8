"""Parse and print sizes (``"2GB"``) and times (``"30min"``)."""

import math
import re

_UNITS = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


def parse_size(value: int | str) -> int:
    """Return the bytes of a number, or of a string such as ``"2GB"`` or ``"1.5 GiB"``."""
    if not isinstance(value, str):
        return int(value)
    found = _SIZE.fullmatch(value.strip())
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a size")
    size = round(float(found[1]) * _UNITS[found[2].lower()])
    if size < 1:
        raise ValueError(f"{value!r} is not a size")
    return size


def format_size(size: float) -> str:
    """Format a size, rounded up: `parse_size` reads at least as many bytes from it."""
    unit = next(unit for unit in ("GB", "MB", "kB", "B") if size >= _UNITS[unit.lower()])
    number = size / _UNITS[unit.lower()]
    number = math.ceil(number) if number >= 100 else math.ceil(100 * number) / 100
    return f"{number:g}{unit}"
_TIME = re.compile(
    r"(?:(\d+(?:\.\d+)?)\s*h)?\s*(?:(\d+(?:\.\d+)?)\s*min)?\s*(?:(\d+(?:\.\d+)?)\s*s)?",
    re.IGNORECASE,
)
_SECONDS = (3600, 60, 1)


def parse_time(value: float | str) -> float:
    """Return seconds from a number, or from a string such as ``"90s"`` or ``"1h30min"``."""
    if not isinstance(value, str):
        return float(value)
    found = _TIME.fullmatch(value.strip())
    numbers = found.groups(0) if found else (0, 0, 0)
    seconds = sum(float(n) * unit for n, unit in zip(numbers, _SECONDS, strict=True))
    if not seconds:
        raise ValueError(f"{value!r} is not a time")
    return seconds


def format_time(seconds: float) -> str:
    """Format a time, rounded up: `parse_time` reads at least as many seconds from it."""
    if seconds <= 600:
        return f"{math.ceil(seconds)}s"
    return f"{math.ceil(seconds / 60)}min"


def format_seconds(seconds: float) -> str:
    """Format seconds as ``1.4 s``, ``12 s``, ``3:05 min`` or ``2:10 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d} h"
