"""Arrays that show what was written outside of them."""

import numpy as np

GUARD = 160  # bytes
POISON = np.uint32(0x7FC0DEAD)  # a NaN that no arithmetic makes


class Guarded:
    """A copy of an array ``offset`` items past a 64-byte boundary, with poison on both sides."""

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
