"""Strings of Arrow, read where they lie: no Python string is made of them.

pyarrow is imported only for what comes from pyarrow.
"""

import numpy as np


class ArrowTexts:
    """A column of texts in Arrow's buffers.

    Attributes
    ----------
    utf8_chunks : list of tuple
        What the engine reads: offsets, bytes, first row, number of rows, and whether the offsets
        are of 64 bits.
    """

    def __init__(self, array):
        self._chunks = getattr(array, "chunks", [array])
        self.utf8_chunks = [_buffers(chunk) for chunk in self._chunks]

    def __len__(self):
        return sum(len(chunk) for chunk in self._chunks)

    def first_missing(self):
        """Position of the first missing value, or None."""
        before = 0
        for chunk in self._chunks:
            if chunk.null_count:
                missing = chunk.is_null().to_numpy(zero_copy_only=False)
                return before + int(np.flatnonzero(missing)[0])
            before += len(chunk)
        return None


def arrow_texts(texts):
    """Take the strings out of an Arrow array, or out of pandas data that keep theirs in one.

    Parameters
    ----------
    texts : object
        Arrow Array or ChunkedArray; Series, Index or pandas array of ``string[pyarrow]``,
        ``str`` or an ``ArrowDtype``; anything else.

    Returns
    -------
    ArrowTexts or None
        None for what is not Arrow, or does not hold strings.
    """
    array = getattr(texts, "array", texts)
    dtype = getattr(array, "dtype", None)
    if getattr(dtype, "storage", None) == "pyarrow" or hasattr(dtype, "pyarrow_dtype"):
        array = array.__arrow_array__()
    if type(array).__module__.partition(".")[0] != "pyarrow" or not hasattr(array, "null_count"):
        return None
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        if not _is_string(pa, kind):
            return None
        array = array.cast(kind)
    if not _is_string(pa, kind):
        return None
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        array = array.cast(pa.large_string())
    return ArrowTexts(array)


def _is_string(pa, kind):
    view = getattr(pa.types, "is_string_view", None)  # pyarrow 16
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or bool(view and view(kind))


def _buffers(chunk):
    """One chunk as the engine wants it."""
    _, offsets, data = chunk.buffers()
    wide = str(chunk.type).startswith("large")
    empty = b"\0" * 8
    return (offsets or empty, data or b"", chunk.offset if offsets else 0, len(chunk), wide)
