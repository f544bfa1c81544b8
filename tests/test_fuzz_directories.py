"""Damaged directories, in short; the program ``tests/fuzz/directories.py`` is the long form."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertsent.errors import CheckpointError

FUZZ = Path(__file__).resolve().parent / "fuzz"


def test_damaged_directories_open_as_they_were_or_are_refused():
    """Any finding is printed with its number, which ``--only`` takes."""
    done = subprocess.run(
        [sys.executable, FUZZ / "directories.py", "--mutants", "600", "--seed", "21"],
        capture_output=True, text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "600 mutants" in done.stdout


# --- the program can fail -------------------------------------------------------------------


@pytest.fixture(scope="module")
def directories():
    """The program as a module."""
    sys.path.insert(0, str(FUZZ))
    try:
        import directories
    finally:
        sys.path.remove(str(FUZZ))
    return directories


def write(directory, base):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"size": [1, 2, {"more": "text"}]}))


def read(directory):
    return (directory / "config.json").read_bytes()


def raise_key_error(directory):
    raise KeyError("size")


def raise_without_name(directory):
    raise CheckpointError("the file is damaged")


def raise_what_cannot_be_printed(directory):
    raise CheckpointError(f"{directory}: \ud83d is damaged")


def raise_a_novel(directory):
    raise CheckpointError(f"{directory}: {'x' * 5000} is damaged")


def fill_memory(directory):
    return len(bytearray(2 << 30))


def hang(directory):
    time.sleep(60)


def end(directory):
    os._exit(3)


def warn(directory):
    import warnings

    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def give_another_result(directory):
    return len(read(directory))


@pytest.mark.parametrize(("misbehave", "said"), [
    (raise_key_error, "KeyError"),
    (raise_without_name, "does not name the directory"),
    (raise_what_cannot_be_printed, "cannot be printed"),
    (raise_a_novel, "a message of 5"),
    (fill_memory, "MemoryError"),
    (hang, "took more than 0.5 s"),
    (end, "ended with 3"),
    (warn, "RuntimeWarning: overflow"),
    (give_another_result, "another result because of"),
])
def test_what_is_wrong_is_found(directories, tmp_path, monkeypatch, misbehave, said):
    monkeypatch.setattr(directories, "SECONDS", 0.5)

    def open_it(directory, base):
        if read(directory) == read(tmp_path / "target"):
            return None
        return misbehave(directory)

    fuzzer = directories.Fuzzer(tmp_path, 1, {"target": (write, open_it, 1)})
    numbers = [n for n in range(30) if fuzzer.mutant(n)[1].place == ""][:4]
    found = list(directories.run(fuzzer, numbers))
    assert [number for number, _, _ in found] == numbers
    assert "finding" in [outcome for _, outcome, _ in found]
    assert all(said in text for _, outcome, text in found if outcome == "finding"), found
    stream = io.StringIO()
    count = directories.report(fuzzer, found, stream)
    assert count == sum(outcome == "finding" for _, outcome, _ in found) and said in (
        stream.getvalue()
    )


def test_what_is_right_is_not_found(directories, tmp_path):
    def open_it(directory, base):
        if read(directory) == read(tmp_path / "target"):
            return "as it was"
        raise CheckpointError(f"{directory} is damaged")

    fuzzer = directories.Fuzzer(tmp_path, 1, {"target": (write, open_it, 1)})
    numbers = [n for n in range(40) if fuzzer.mutant(n)[1].place == ""]
    outcomes = {outcome for _, outcome, _ in directories.run(fuzzer, numbers)}
    assert "refused" in outcomes and outcomes <= {"refused", "same"}
    assert directories.report(fuzzer, directories.run(fuzzer, numbers), io.StringIO()) == 0


def test_a_number_is_always_the_same_mutant(directories, tmp_path):
    """Findings can be looked at again, also on another machine."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (
        directories.Fuzzer(tmp_path / name, 1, {"target": (write, lambda *_: None, 1)})
        for name in "ab"
    )
    for number in range(50):
        assert one.mutant(number) == other.mutant(number)


def test_a_changed_place_is_found_by_name():
    sys.path.insert(0, str(FUZZ))
    try:
        from differences import differences, is_expected
    finally:
        sys.path.pop(0)
    old = {"parameters": {"max_length": 12, "epochs": 3}, "history": [{"loss": 0.5}]}
    new = {"parameters": {"max_length": 12, "epoch": 3}, "history": [{"loss": 0.25}]}
    found = differences("bertsent.json", json.dumps(old).encode(), json.dumps(new).encode())
    assert found == {
        "parameters.epochs (there or not)", "parameters.epoch (there or not)", "history[].loss",
    }
    assert not any(is_expected("classifier", "bertsent.json", place) for place in found)
    assert is_expected("classifier", "bertsent.json", "parameters.max_length")
