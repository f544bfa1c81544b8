"""Damaged files, in short; the program ``tests/fuzz/readers.py`` is the long form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parent / "fuzz"


def run(*arguments):
    return subprocess.run(
        [sys.executable, FUZZ / "readers.py", *arguments], capture_output=True, text=True,
    )


def test_damaged_files_are_read_right_or_refused():
    """Any finding is printed with its number, which ``--only`` takes."""
    pytest.importorskip("tokenizers")
    pytest.importorskip("pyarrow")
    pytest.importorskip("openpyxl")
    pytest.importorskip("zstandard")
    done = run("--inputs", "25", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 25 inputs") == 27


# --- the program can fail -------------------------------------------------------------------


@pytest.fixture(scope="module")
def readers():
    """The program as a module."""
    sys.path.insert(0, str(FUZZ))
    try:
        import readers
    finally:
        sys.path.remove(str(FUZZ))
    return readers


def fuzz(readers, tmp_path, capsys, name, count):
    """Return the number of findings, and what was printed."""
    kind = readers.KINDS[name](readers.model_files.Seeds(tmp_path))
    return readers.fuzz(kind, name, range(count), 1), capsys.readouterr().out


def test_an_array_that_is_not_checked_is_found(readers, tmp_path, capsys, monkeypatch):
    from bertsent.files import arrays

    def read(file, size, where, dtypes, ndim):
        import numpy as np

        return np.load(file, allow_pickle=False)

    monkeypatch.setattr(readers.model_files, "read_array", read)
    count, printed = fuzz(readers, tmp_path, capsys, "npy", 60)
    assert arrays.read_array is not read and count > 5
    assert "ValueError" in printed and "60 inputs" in printed


def test_a_reader_that_skips_a_row_is_found(readers, tmp_path, capsys, monkeypatch):
    read = readers.data_files.read_chunks

    def skip(source, rows=1000):
        for frame in read(source, rows):
            yield frame.iloc[1:]

    monkeypatch.setattr(readers.data_files, "read_chunks", skip)
    count, printed = fuzz(readers, tmp_path, capsys, "txt", 20)
    assert count > 5 and "rows" in printed


def test_a_key_that_is_there_twice_is_found(readers, tmp_path, capsys, monkeypatch):
    from bertsent.files import json_rows

    monkeypatch.setattr(json_rows, "_unique", dict)
    count, printed = fuzz(readers, tmp_path, capsys, "jsonl", 100)
    assert count and "a key appears twice" in printed


def test_an_error_without_a_place_is_found(readers, tmp_path, capsys, monkeypatch):
    def refuse(source, rows=1000):
        raise ValueError(f"{source}: something is wrong")
        yield

    monkeypatch.setattr(readers.data_files, "read_chunks", refuse)
    count, printed = fuzz(readers, tmp_path, capsys, "txt", 20)
    assert count > 5 and "names no place" in printed


def test_a_process_that_ends_or_takes_too_long_is_found(readers, tmp_path, capsys, monkeypatch):
    def spin(source, rows=1000):
        while len(source.name) > 3:
            pass
        yield

    monkeypatch.setattr(readers, "SECONDS", 0.2)
    monkeypatch.setattr(readers.data_files, "read_chunks", spin)
    count, printed = fuzz(readers, tmp_path, capsys, "txt", 2)
    assert count == 2 and "took more than 0.2 s of the processor" in printed
    monkeypatch.setattr(readers.data_files, "read_chunks", lambda *_: os._exit(3))
    count, printed = fuzz(readers, tmp_path, capsys, "txt", 2)
    assert count == 2 and "ended with 3" in printed


def test_memory_that_a_file_does_not_justify_is_found(readers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(readers.data_files, "read_chunks", lambda *_: [bytearray(400 << 20)])
    count, printed = fuzz(readers, tmp_path, capsys, "txt", 2)
    assert count == 2 and "too much memory" in printed


def test_unknown_kinds_are_an_error():
    done = run("cvs")
    assert done.returncode == 2 and "the kinds are tokenizer.json" in done.stderr
