"""Address space that libraries need to be loaded.

A library whose parts cannot be mapped raises whatever it likes, and OpenBLAS, which NumPy and SciPy
bring along, ends the process or sends it a Ctrl-C. So there is a look beforehand, in processes with
a limit. Nothing here imports NumPy.
"""

import mmap
import os
import resource
import sys

# What loading the libraries takes, in MB, besides threads, and whether a copy of OpenBLAS is among
# them. Measured on Linux (x86-64) with NumPy 2.4, SciPy 1.17, scikit-learn 1.9, pandas 3.1 and
# pyarrow 26, and rounded up by a fifth or more.
_TAKEN = {
    "numpy": (96, True),
    "bertsent._core": (68, True),
    "scipy.linalg": (104, True),
    "sklearn.linear_model": (110, False),
    "pandas": (260, False),
}
# Each thread of a copy of OpenBLAS: its buffer and its stack.
_THREAD = 42
_MOST_THREADS = 64  # of which the copies make use


def require_room() -> None:
    """Check that there is address space for the libraries that are not loaded yet.

    Without a limit (``ulimit -v`` or ``ulimit -d``), this does nothing.

    Raises
    ------
    MemoryError
        There is too little. The message says how much is needed.
    """
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    if all(resource.getrlimit(kind)[0] == resource.RLIM_INFINITY for kind in kinds):
        return
    missing = [taken for name, taken in _TAKEN.items() if name not in sys.modules]
    copies = sum(has_blas for _, has_blas in missing)
    needed = sum(size for size, _ in missing) + copies * _THREAD * (_blas_threads() - 1)
    if not needed:
        return
    try:
        mmap.mmap(-1, needed << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        raise MemoryError(
            f"not enough memory: loading NumPy and other libraries needs {needed} MB of address "
            "space, more than the limit of this process leaves (ulimit -v); raise the limit"
            + (", or set OPENBLAS_NUM_THREADS=1" if _blas_threads() > 1 else "")
        ) from None


def _blas_threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = [
        int(value) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
        if (value := os.environ.get(name, "")).isdecimal() and int(value) > 0
    ]
    return min([*wanted[:1], cores or 1, _MOST_THREADS])
