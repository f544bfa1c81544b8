"""Convert parameters to values that JSON can represent, and back."""

import os
from typing import Any

import numpy as np

from bertsent.files.fields import Field


def to_plain(value: Any) -> Any:
    """Return a parameter as a JSON value; random generators and functions become null."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        items = [to_plain(item) for item in value]
        return None if None in items else items
    if isinstance(value, dict):
        # Keys are labels, which are not always strings.
        return {"items": [[to_plain(key), to_plain(item)] for key, item in value.items()]}
    return None


def from_plain(field: Field) -> Any:
    """Invert `to_plain`, as far as possible; raise a CheckpointError for what it never wrote."""
    value = field.value
    if isinstance(value, list):
        return [from_plain(item) for item in field.items()]
    if not isinstance(value, dict):
        return value
    found: dict[Any, Any] = {}
    for pair in field["items"].items():
        key, item = pair.items(2, 2)
        if isinstance(key.value, (list, dict)) or key.value in found:
            raise key.error("a label that is there once")
        found[key.value] = from_plain(item)
    return found
