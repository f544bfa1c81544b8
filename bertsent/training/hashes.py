"""Hash the texts and arrays that determine a run."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.system import checking_interrupts
from bertsent.texts import hash_texts

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text


def hash_parts(*parts: list[str] | list[Text] | npt.ArrayLike | None) -> str:
    """Return a hash of lists of texts and arrays, including their types and lengths."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if part is None:
            digest.update(b"-")
            continue
        if isinstance(part, list):
            array: npt.NDArray[Any] = hash_texts(checking_interrupts(part))
        else:
            array = np.ascontiguousarray(part)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.view(np.uint8).data)
    return digest.hexdigest()
