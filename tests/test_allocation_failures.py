"""Every allocation of the engine fails once: MemoryError, nothing leaked, nothing changed."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bertsent

TESTS = Path(__file__).resolve().parent
PRELOAD = TESTS / "preload"


@pytest.fixture(scope="module")
def allocator(tmp_path_factory):
    """The library that lets allocations fail."""
    compiler = shutil.which(os.environ.get("CC", "cc").split()[0])
    if compiler is None:
        pytest.skip("no C compiler")
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the allocator is for glibc")
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer has an allocator of its own")
    library = tmp_path_factory.mktemp("preload") / "failing_allocator.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-fno-builtin", "-Wall", "-Wextra", "-Werror",
         str(PRELOAD / "failing_allocator.c"), "-o", str(library)],
        check=True,
    )
    return library


def test_every_allocation_of_the_engine_may_fail(allocator):
    paths = [str(Path(bertsent.__file__).resolve().parent.parent), str(TESTS)]
    done = subprocess.run(
        [sys.executable, str(PRELOAD / "allocation_failures.py"), str(allocator)],
        env={**os.environ, "LD_PRELOAD": str(allocator), "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False, timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    cases = done.stdout.splitlines()
    assert len(cases) >= 10
    for case in cases:
        _, _, failures = case.partition(" allocations, ")
        assert int(failures.split()[0]) > 0, case
