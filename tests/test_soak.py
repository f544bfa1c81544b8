"""The program that watches memory, files and threads for an hour finds what grows."""

import ctypes
import os
import sys
import tempfile
import threading

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "crash"))

pytest.importorskip("pyarrow")
soak = pytest.importorskip("soak", reason="needs glibc", exc_type=AttributeError)

ROUNDS = 9
CALLS = 400  # a round; an hour has more in each third
KEPT, OVER = [], threading.Event()
LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]


def leak_in_c(_):
    for _ in range(CALLS):
        ctypes.memset(LIBC.malloc(1024), 1, 1024)


def leak_in_python(_):
    KEPT.extend(bytes(400) for _ in range(4 * CALLS))


def leak_objects(_):
    KEPT.extend([] for _ in range(CALLS))


def leak_descriptors(_):
    os.open(os.devnull, os.O_RDONLY)


def leak_threads(_):
    for _ in range(3):
        threading.Thread(target=OVER.wait, args=(60,), daemon=True).start()


def leak_files(_):
    tempfile.mkstemp()


def fail(_):
    raise ValueError("not expected")


@pytest.mark.parametrize(("leak", "said"), [
    (leak_in_c, "allocated grow"),
    (leak_in_python, "blocks grow"),
    (leak_objects, "objects grow"),
    (leak_descriptors, "descriptors grow"),
    (leak_threads, "threads grow"),
    (leak_files, "files grow"),
    (fail, "leak: ValueError: not expected"),
])
def test_what_grows_is_found(tmp_path, leak, said):
    OVER.clear()
    _, findings = soak.run(tmp_path, rounds=ROUNDS, work={"leak": leak}, say=lambda line: None)
    KEPT.clear()
    OVER.set()
    assert any(said in finding for finding in findings), findings


def test_nothing_is_found_without_a_leak(tmp_path):
    work = {name: soak.WORK[name] for name in ("tokenize", "bare_model")}
    result, findings = soak.run(tmp_path, rounds=ROUNDS, work=work)
    assert findings == [] and result["calls"] == ROUNDS * len(work)


def test_samples_do_not_grow_what_they_count():
    samples, sample = soak.Samples(), soak.take_stock([])
    before = sys.getallocatedblocks()
    for number in range(2000):
        samples.add({"seconds": number + 0.5} | {name: n + number for name, n in sample.items()})
    assert sys.getallocatedblocks() - before < 200
    assert samples.rows()[7] == {"seconds": 7.5} | {name: n + 7 for name, n in sample.items()}


def test_growth_is_robust():
    flat = [100.0] * 60
    assert soak.growth(flat) == 0
    assert soak.growth([*flat[:50], 10**9, *flat[51:]]) == 0
    assert soak.growth(list(range(60))) == pytest.approx(20, abs=1)
