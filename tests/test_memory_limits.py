"""Work with little address space: MemoryError or the right result. See tests/crash/memory.py."""

import os
import resource
import subprocess
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "crash"))

import memory

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS"),
    pytest.mark.skipif(
        "asan" in os.environ.get("LD_PRELOAD", ""), reason="AddressSanitizer reserves terabytes"
    ),
]


def sweep(tmp_path, do, **options):
    """Return the outcomes of a sweep over work that is made up."""
    import random

    (tmp_path / "before").mkdir()
    work = memory.Work(do, **options)
    return {what for _, what in memory.sweep("it", work, tmp_path, 2.0, random.Random(0), False, 4)}


def is_limited():
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


def under_limit(act):
    def do(place, subject):
        if is_limited():
            act(place, subject)
        return 1

    return do


def fail(place, subject):
    raise KeyError("another kind of error")


def end(place, subject):
    os._exit(1)


def change(place, subject):
    (place / "work" / "half.csv").write_text("half")
    raise MemoryError


@pytest.mark.parametrize(("act", "said"), [
    (fail, "KeyError"), (end, "the process ended with 1"), (change, "something has changed"),
])
def test_what_is_wrong_is_found(tmp_path, act, said):
    assert all(said in outcome for outcome in sweep(tmp_path, under_limit(act)))


def test_other_bits_and_hanging_are_found(tmp_path, monkeypatch):
    assert sweep(tmp_path, lambda place, subject: is_limited()) == {"other bits (success)"}


def test_an_allocation_that_is_too_large_is_no_finding(tmp_path):
    # More than malloc may keep of what the tests before have freed.
    assert sweep(tmp_path, lambda place, subject: len(bytearray(1 << 30))) == {"MemoryError"}


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )


LIMIT = """
import resource
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
def limit(more):
    resource.setrlimit(resource.RLIMIT_AS, (now + (more << 20), resource.RLIM_INFINITY))
"""


def test_libraries_are_not_loaded_without_room_for_them():
    done = run(LIMIT + """
import bertsent
for more in (20, 60, 120, 300):
    limit(more)
    try:
        bertsent.BertClassifier
    except MemoryError as error:
        assert "MB of address space" in str(error)
    else:
        raise AssertionError(f"{more} MB were enough")
import sys
assert "numpy" not in sys.modules
""")
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_command_says_in_one_line_that_there_is_no_room(tmp_path):
    done = run(LIMIT + f"""
from bertsent.cli import main
limit(100)
raise SystemExit(main(["inspect", {str(tmp_path)!r}]))
""")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "not enough memory: loading NumPy" in done.stderr


def test_openblas_never_ends_the_process():
    """Without AVX2: one buffer must be there, and more are only taken if there is room."""
    code = """
import ctypes, threading
import numpy as np
from cases import arrays, engine_config, flatten, random_batch, random_params
from bertsent import _core
config = engine_config(hidden_size=96, intermediate_size=192)
flat = flatten(_core.parameter_table(config), random_params(config, np.random.default_rng(0)))
batch = random_batch(config, np.random.default_rng(1), [30] * 100)
ctypes.CDLL(None).malloc_trim(0)
""" + LIMIT + """
limit(20)
try:
    _core.Model(config, flat)
    raise AssertionError("there was a buffer")
except MemoryError as error:
    assert "OpenBLAS" in str(error)
limit(60)
model = _core.Model(config, flat)
results = []
def score():
    try:
        results.append(model.score(*arrays(batch), n_threads=2).tobytes())
    except MemoryError as error:  # for its own buffers, beside those of the other threads
        assert "working memory" in str(error) or "order of" in str(error)
threads = [threading.Thread(target=score) for _ in range(3)]
for thread in threads:
    try:
        thread.start()
    except RuntimeError:  # no room for its stack
        score()
for thread in threads:
    if thread.ident:
        thread.join()
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
score()
assert results and len(set(results)) == 1
assert results[-1] == model.score(*arrays(batch), n_threads=1).tobytes()
"""
    done = run(code, BERTSENT_ISA="portable")
    assert done.returncode == 0, done.stderr[-2000:]
