"""The C core without Python: small programs in tests/c, built and run here."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "csrc" / "core"


def _compiler():
    found = shutil.which(os.environ.get("CC", "cc").split()[0])
    if found is None:
        pytest.skip("no C compiler")
    if not CORE.is_dir():
        pytest.skip("the C sources are not here")
    return found


def _build(program, *flags):
    command = [_compiler(), "-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", *flags]
    sources = [ROOT / "tests" / "c" / f"{program.name}.c", *sorted(CORE.glob("*.c"))]
    command += [f"-I{ROOT / 'csrc'}", *map(str, sources), "-o", str(program), "-lm", "-pthread"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _run(program, **environment):
    done = subprocess.run(
        [program], capture_output=True, text=True, timeout=180, check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-4000:]


PROGRAMS = ["test_pool", "test_fair_lock"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_passes(name, tmp_path):
    built = _build(tmp_path / name, "-O2")
    assert built.returncode == 0, built.stderr
    _run(tmp_path / name)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_has_no_data_race(name, tmp_path):
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    flags = ["-O1", "-fsanitize=thread", "-DWITHOUT_FORK"]
    built = subprocess.run(
        [_compiler(), *flags, str(probe), "-o", str(tmp_path / "probe")],
        capture_output=True, text=True, check=False,
    )
    if built.returncode != 0:
        pytest.skip("the compiler has no ThreadSanitizer")
    if subprocess.run([tmp_path / "probe"], capture_output=True, check=False).returncode != 0:
        pytest.skip("ThreadSanitizer does not run on this system")
    built = _build(tmp_path / name, *flags)
    assert built.returncode == 0, built.stderr
    _run(tmp_path / name, TSAN_OPTIONS="halt_on_error=0 exitcode=66")
