"""Arrays between guard values, which show writes outside of them."""

import numpy as np

from bertsent import _core

GUARD = 160  # bytes
POISON = np.uint32(0x7FC0DEAD)  # a NaN that no arithmetic produces


class Guarded:
    """A copy of an array, ``offset`` items past a 64-byte boundary, between guard values."""

    def __init__(self, values, offset):
        values = np.asarray(values)
        self.raw = np.full((values.nbytes + 2 * GUARD + 192) // 4, POISON).view(np.uint8)
        start = GUARD + -(self.raw.ctypes.data + GUARD) % 64 + offset * values.itemsize
        self.span = slice(start, start + values.nbytes)
        self.array = self.raw[self.span].view(values.dtype).reshape(values.shape)
        self.array[...] = values
        self.before = self.raw.copy()

    def assert_surroundings_whole(self):
        """Check that nothing outside has changed."""
        now = self.raw.copy()
        now[self.span] = self.before[self.span]
        assert (now == self.before).all(), "written outside the array"

    def assert_unchanged(self):
        """Check that nothing inside has changed."""
        assert (self.raw[self.span] == self.before[self.span]).all(), "an input was changed"


def poisoned(shape, dtype=np.float32):
    """An array of NaN, or of other values that a kernel would not write."""
    count = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.full(count // 4 + 1, POISON).view(np.uint8)[:count].view(dtype).reshape(shape)


def with_gap(values, gap, rows=0):
    """The values, with ``gap`` guard values after each row, and guard rows at the end."""
    out = poisoned((len(values) + rows, values.shape[1] + gap), values.dtype)
    out[: len(values), : values.shape[1]] = values
    return out


def call(name, isa, written, *rest, offset=0, returns=False):
    """Call a kernel on guarded copies, and check that it changes nothing but its outputs.

    Returns the arrays that it writes and, with ``returns``, its result after them.
    """
    outs = [Guarded(a, (offset * (i + 1)) % 16) for i, a in enumerate(written)]
    ins = [Guarded(a, (offset * (i + 3)) % 16) if isinstance(a, np.ndarray) else a for i, a in
           enumerate(rest)]
    passed = [a.array if isinstance(a, Guarded) else a for a in ins]
    result = _core.kernel_call(name, isa, *(out.array for out in outs), *passed)
    assert (result is not None) == returns
    for guard in outs:
        guard.assert_surroundings_whole()
    for guard in ins:
        if isinstance(guard, Guarded):
            guard.assert_surroundings_whole()
            guard.assert_unchanged()
    arrays = [out.array for out in outs]
    return (*arrays, result) if returns else arrays
