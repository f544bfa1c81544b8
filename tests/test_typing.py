"""The types of the public classes, as mypy sees them in a user's program."""

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bertsent

PACKAGE = Path(bertsent.__file__).resolve().parent
PROGRAM = Path(__file__).resolve().parent / "data" / "typed_program.py"

INSTALLED = {distribution.name for distribution in importlib.metadata.distributions()}

pytestmark = pytest.mark.skipif(
    not {"mypy", "pandas-stubs"} <= INSTALLED, reason="mypy or pandas-stubs is not installed"
)


def run_mypy(*arguments, cwd):
    """Output of mypy, which finds the package under test, installed or as source."""
    environment = dict(os.environ)
    if PACKAGE.parent.name not in ("site-packages", "dist-packages"):
        environment["MYPYPATH"] = str(PACKAGE.parent)
    return subprocess.run(
        [sys.executable, "-m", "mypy", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True,
    ).stdout


def test_a_program_has_the_types_and_the_errors_that_it_expects(tmp_path):
    lines = PROGRAM.read_text(encoding="utf-8").splitlines()
    expected = {
        (number, code)
        for number, line in enumerate(lines, 1) for code in line.partition("  # E: ")[2].split()
    }
    assert len(expected) > 10
    output = run_mypy(
        "--strict", "--follow-imports=silent", "--no-pretty", f"--config-file={os.devnull}",
        f"--cache-dir={tmp_path}", str(PROGRAM), cwd=tmp_path,
    )
    found = {
        (int(number), code)
        for number, code in re.findall(r"typed_program\.py:(\d+): error: .*\[([a-z-]+)\]", output)
    }
    assert found == expected, output
