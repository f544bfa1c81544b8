"""The lists of mutants in tests/mutation are of lines that are still there.

If such a line changes, change its entry too, and run `tests/mutation/run.py --known`.
"""

import sys

import pytest
from conftest import ROOT

HERE = ROOT / "tests" / "mutation"
sys.path.append(str(HERE))

from mutant import read_list  # noqa: E402

KNOWN, SURVIVORS = (list(read_list(HERE / name)) for name in ("known.txt", "survivors.txt"))


@pytest.mark.parametrize("mutant", [mutant for mutant, _ in KNOWN + SURVIVORS],
                         ids=lambda mutant: mutant.path)
def test_a_listed_mutant_changes_a_line(mutant):
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    assert mutant.apply(text) != text


@pytest.mark.parametrize("tests", [tests for _, tests in KNOWN])
def test_the_tests_of_a_known_mutant_exist(tests):
    for test in tests.split():
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("note", [note for _, note in SURVIVORS])
def test_a_survivor_has_a_reason(note):
    assert note.startswith(("equivalent: ", "not tested: "))
