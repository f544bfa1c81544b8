"""Instruction sets: their table, and the choice that kernels and tokenizer share."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import bertsent
from bertsent import _core

PACKAGE = Path(bertsent.__file__).resolve().parent.parent
CORE = Path(__file__).resolve().parent.parent / "csrc" / "core"
ROWS = {row["name"]: row for row in _core.isa_table()}
USES = {
    "kernels": "from bertsent import _core; _core.isa()",
    "tokenizer": "from bertsent import WordPieceTokenizer as T; "
                 "T(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'])",
}


@pytest.fixture(scope="module")
def reader():
    if not CORE.is_dir():
        pytest.skip("runs without the sources")
    return SimpleNamespace(**runpy.run_path(str(CORE / "isa_rows.py")))


def _run(code, isa):
    environment = {**os.environ, "BERTSENT_ISA": isa, "PYTHONPATH": str(PACKAGE)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                          text=True, cwd=os.sep, timeout=120)


# --- the choice ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["quantum", *(name for name, row in ROWS.items() if not row["available"])])
def test_name_that_cannot_be_used_is_the_same_error_for_kernels_and_tokenizer(name):
    errors = set()
    for use, code in USES.items():
        done = _run(code, name)
        assert done.returncode != 0, use
        errors.add(done.stderr.splitlines()[-1])
    (error,) = errors
    assert error.startswith(f"ValueError: BERTSENT_ISA={name} is not one of")
    assert f"({', '.join(_core.isa_list())})" in error


def test_choice_is_made_once():
    code = ("import os; from bertsent import _core; print(_core.isa()); "
            "os.environ['BERTSENT_ISA'] = 'quantum'; print(_core.isa())")
    assert _run(code, "portable").stdout.split() == ["portable", "portable"]


def test_best_instruction_set_is_chosen_where_none_is_named():
    done = _run("from bertsent import _core; print(_core.isa())", "")
    assert done.stdout.split() == [_core.isa_list()[-1]]


def test_tokenizer_scans_with_the_nearest_scanner_below_the_instruction_set():
    own = {"portable", "avx2", "avx512"}
    scanners = {name: row["scanner"] for name, row in ROWS.items() if row["architecture"] != "any"}
    if ROWS["avx2"]["available"]:
        assert scanners["amx"] == scanners["avx512_bf16"] == scanners["avx512"] == "avx512"
        assert scanners["avx2"] == "avx2"
    assert set(scanners.values()) <= own and ROWS["portable"]["scanner"] == "portable"


# --- the rows -----------------------------------------------------------------------------


def test_available_instruction_sets_are_those_listed():
    assert [name for name, row in ROWS.items() if row["available"]] == _core.isa_list()
    assert ROWS["portable"]["available"] and not ROWS["portable"]["features"]


def test_engine_and_build_read_the_same_rows(reader):
    read = reader.read_rows()
    assert {name: row[0] for name, row in read.items()} == {
        name: row["architecture"] for name, row in ROWS.items()}
    built = {name for name, row in ROWS.items() if row["available"]}
    assert all(read[name][0] in ("any", reader.target_architecture()) for name in built)


def test_flags_of_a_source_are_those_of_its_row_and_of_the_rows_below(reader):
    rows = reader.read_rows()
    for name, (architecture, flags) in rows.items():
        source = f"csrc/kernels/kernels_{name}.c"
        assert reader.flags_of(source, rows, architecture) == flags
    bf16 = reader.flags_of("csrc/kernels/kernels_avx512_bf16.c", rows, "x86_64")
    assert [f for f in bf16 if f in ("-mavx2", "-mavx512f", "-mavx512vnni", "-mavx512bf16")] == [
        "-mavx2", "-mavx512f", "-mavx512vnni", "-mavx512bf16"]
    assert "-mavx512vnni" not in reader.flags_of("kernels_avx512.c", rows, "x86_64")
    assert reader.flags_of("csrc/kernels/gemm.c", rows, "x86_64") == []
    assert reader.flags_of("csrc/kernels/kernels_avx2.c", rows, "aarch64") is None
    assert reader.flags_of("csrc/kernels/kernels_portable.c", rows, "aarch64") == []


def test_another_architecture_is_one_row(reader):
    text = (CORE / "isa_rows.h").read_text(encoding="utf-8")
    rows = reader.read_rows(text + 'BS_ISA(neon, aarch64, portable, "-mcpu=native", 0, FP32)\n')
    source = "csrc/kernels/kernels_neon.c"
    assert reader.flags_of(source, rows, "aarch64") == ["-mcpu=native"]
    assert reader.flags_of(source, rows, "x86_64") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('BS_ISA(a, any, a, "-m1" "-m2", 0, 0)', "not a row: BS_ISA"),
        ('BS_ISA(a, any, a, "", 0, 0)\nBS_ISA(b, any, a, "", 0)', "not a row: BS_ISA.b"),
        ('#define X\nBS_ISA(a, any, a, "", 0, 0)', "not a row: #define X"),
        ('BS_ISA(a, any, a, "", 0, 0) BS_ISA(a, any, a, "", 0, 0)', "a has two rows"),
        ('BS_ISA(a, any, b, "", 0, 0)', "b, the base of a, must stand before it"),
    ],
)
def test_what_is_not_a_row_stops_the_build(text, message, reader):
    with pytest.raises(ValueError, match=message):
        reader.read_rows(text)
