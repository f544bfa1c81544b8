"""Measure line and branch coverage of the package and the engine.

    python .ci/coverage.py              # build, run the suite, report
    python .ci/coverage.py tests/test_x.py ...  # the same with some tests
    python .ci/coverage.py --keep DIR   # keep the tree and all data in DIR
    python .ci/coverage.py --report DIR # report again what DIR keeps
    python .ci/coverage.py --report DIR --missing  # and name all lines that were not reached

Needs gcc, what the build and the tests need, and the packages coverage and gcovr. Works on a copy
of the tree. The table has a line for each room of the package and each folder of the engine. If the
suite reaches less of the engine or the package than `FLOORS`, that is a failure, and the
files below the floor are listed with the lines that no test reaches, by function.
"""

import argparse
import dataclasses
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "mutation"))

from tree_copy import copy_tree  # noqa: E402

# Not counted: tables written by a program, a program that runs before the build, and what only a
# processor with AMX executes.
NOT_COUNTED = (
    "csrc/tokenizer/unicode_tables", "csrc/tokenizer/generate_tables.py", "csrc/kernels/amx.h",
    "csrc/kernels/parts.h", "csrc/kernels/kernels_amx.c",
)
# Per cent of lines and of branches that the suite must reach: a little less than it does, because
# threads count branches inexactly (`measure_c`).
FLOORS = {"csrc": (96.5, 84.5), "bertsent": (97.0, 94.0)}
# On other processors the tests reach less of the engine.
FULL_ISA = "avx512_bf16"

SETTINGS = """\
[run]
branch = true
parallel = true
patch = subprocess
source_dirs = {tree}/bertsent
data_file = {data}/python
disable_warnings = no-data-collected, module-not-measured

[report]
exclude_also =
    if TYPE_CHECKING:
    \\.\\.\\.$
"""

# A plugin of pytest. Where the machine is busy, pytest-xdist would kill its processes before they
# have written what they counted.
PLUGIN = """\
from xdist.workermanage import NodeManager

NodeManager.EXIT_TIMEOUT = 600
"""
# What reaches nothing that the other tests do not, and takes minutes in this build: the examples of
# the pages, processes that are killed, programs that watch a process for long, and large models.
LEFT_OUT = (
    "tests/test_crash.py", "tests/test_docs.py", "tests/test_parity.py", "tests/test_sample.py",
    "tests/test_soak.py", "tests/test_typing.py",
)
TOO_LONG = (
    "tests/test_audit.py::test_flipped_labels_of_the_bundled_sample",
    "tests/test_runs.py::test_killed_at_random_points",
    "tests/test_shared_model.py::test_a_call_that_waits_for_the_model_can_be_interrupted",
    "tests/test_shared_model.py::test_training_gets_its_turn_beside_many_scorers",
    "tests/test_stream.py::test_memory_does_not_grow_with_the_file",
)
# What is not so in this build: gcc's functions are exported, and Python's counts are written to the
# disk that is full.
NOT_HERE = (
    "tests/test_build.py::test_extension_exports_only_its_initialiser",
    "tests/test_cli_streams.py::test_a_full_disk_names_the_file",
)


def run_suite(folder, tests):
    """Build the tree with counters and run the tests in it. Return pytest's exit code."""
    tree, data = folder / "tree", folder / "data"
    data.mkdir(parents=True)
    copy_tree(tree)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tree, check=True,
        env=os.environ | {"BERTSENT_COVERAGE": "1"},
    )
    settings = data / "coverage.ini"
    settings.write_text(SETTINGS.format(tree=tree, data=data), encoding="utf-8")
    imdb = os.environ.get("BERTSENT_IMDB") or ROOT.parent / "shared" / "imdb" / "train.csv.gz"
    (data / "unhurried.py").write_text(PLUGIN, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "coverage", "run", "--rcfile", settings, "-m", "pytest", "-q",
         "-n", "2", "-p", "no:cacheprovider", "-p", "unhurried",
         *(f"--ignore={file}" for file in LEFT_OUT),
         *(f"--deselect={test}" for test in (*TOO_LONG, *NOT_HERE)), *tests],
        cwd=tree, env=os.environ | {
            "PYTHONPATH": f"{tree}{os.pathsep}{data}", "BERTSENT_IMDB": str(imdb),
        },
    )
    return run.returncode


@dataclasses.dataclass
class Counts:
    """What the tests reach of some files."""

    lines: int = 0
    reached: int = 0
    branches: int = 0
    taken: int = 0

    def __iadd__(self, other):
        for field in dataclasses.fields(Counts):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    def shares(self):
        """Return lines and branches that are reached, in per cent."""
        return _per_cent(self.reached, self.lines), _per_cent(self.taken, self.branches)


@dataclasses.dataclass
class File(Counts):
    """The same of one file, and by function the lines that they do not reach."""

    path: str = ""
    missing: dict = dataclasses.field(default_factory=dict)

    def __str__(self):
        functions = [f"{name or 'outside of functions'} {_ranges(lines)}"
                     for name, lines in self.missing.items()]
        lines, branches = self.shares()
        return "; ".join([f"{self.path} ({lines:.1f} % of lines, {branches:.1f} % of branches)",
                          *functions])


def _per_cent(part, whole):
    return 100.0 if whole == 0 else 100.0 * part / whole


def _ranges(numbers):
    """Return numbers as text: ``3-5, 9``."""
    runs = itertools.groupby(enumerate(sorted(set(numbers))), lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in run] for _, run in runs]
    return ", ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in runs)


def measure_python(folder):
    """Yield a `File` for each module."""
    tree, data = folder / "tree", folder / "data"
    coverage = [sys.executable, "-m", "coverage"]
    settings = ["--rcfile", data / "coverage.ini"]
    if not (data / "python").exists():
        subprocess.run([*coverage, "combine", "-q", *settings], cwd=tree, check=True)
    subprocess.run(
        [*coverage, "json", "-q", *settings, "-o", data / "modules.json"], cwd=tree, check=True,
    )
    files = json.loads((data / "modules.json").read_text())["files"]
    for path, found in files.items():
        counts = found["summary"]
        missing = {name: part["missing_lines"] for name, part in found["functions"].items()
                   if part["missing_lines"]}
        yield File(
            counts["num_statements"], counts["covered_lines"], counts["num_branches"],
            counts["covered_branches"], Path(tree, path).relative_to(tree).as_posix(), missing,
        )


def measure_c(folder):
    """Yield a `File` for each source of the engine.

    Threads add to gcc's counters without locks, so a branch count, which may be a difference of
    two counters, can come out wrong where threads run the same lines.
    """
    tree, data = folder / "tree", folder / "data"
    subprocess.run(
        [sys.executable, "-m", "gcovr", "--root", tree, "--filter", f"{tree}/csrc/",
         "--gcov-ignore-parse-errors=negative_hits.warn_once_per_file",
         "--gcov-ignore-parse-errors=suspicious_hits.warn_once_per_file",
         "--merge-mode-functions=merge-use-line-min", "--exclude-throw-branches",
         "--json", data / "c.json", "--json-summary", data / "c_summary.json", tree / "build"],
        cwd=tree, check=True,
    )
    missing = {}
    for found in json.loads((data / "c.json").read_text())["files"]:
        functions = missing[found["file"]] = defaultdict(list)
        for line in found["lines"]:
            if line["count"] == 0:
                functions[line.get("function_name", "")].append(line["line_number"])
    for found in json.loads((data / "c_summary.json").read_text())["files"]:
        path = found["filename"]
        yield File(found["line_total"], found["line_covered"], found["branch_total"],
                   found["branch_covered"], path, dict(missing[path]))


def instruction_sets(folder):
    """Return the instruction sets that this machine executes."""
    done = subprocess.run(
        [sys.executable, "-c", "from bertsent import _core; print(*_core.isa_list())"],
        cwd=folder / "tree", check=True, capture_output=True, text=True,
    )
    return done.stdout.split()


def room_of(path):
    """Return the room of the package or the folder of the engine that a file belongs to."""
    parts = Path(path).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def measure(folder):
    """Return a `File` for all that counts."""
    files = [*measure_python(folder), *measure_c(folder)]
    return [file for file in files if not file.path.startswith(NOT_COUNTED)]


def sum_up(files, name_of):
    """Return the counts of groups of files, whose names are those of `name_of`."""
    sums = defaultdict(Counts)
    for file in files:
        sums[name_of(file.path)] += file
    return dict(sorted(sums.items()))


def report(files):
    """Print the table of all rooms."""
    parts = {f"{name}, all": counts for name, counts in sum_up(files, _part_of).items()}
    print(f"{'room':<28}{'lines':>8}{'%':>8}{'branches':>10}{'%':>8}")
    for room, counts in {**sum_up(files, room_of), **parts}.items():
        lines, branches = counts.shares()
        print(f"{room:<28}{counts.lines:>8}{lines:>8.1f}{counts.branches:>10}{branches:>8.1f}")


def _part_of(path):
    return Path(path).parts[0]


def list_missing(files):
    """Print the lines that no test reaches, those of the files with most of them first."""
    for file in sorted(files, key=lambda file: file.reached - file.lines):
        if file.missing:
            print(f"not reached: {file}")


def check_floors(files, isas):
    """Compare with the floors, and print the result in one line. Return an exit code.

    Parameters
    ----------
    files : list of File
    isas : list of str
        The instruction sets of this machine.
    """
    said, failed = [], False
    for part, counts in sum_up(files, _part_of).items():
        shares, floors = counts.shares(), FLOORS[part]
        said.append(f"{part} {shares[0]:.1f} % of lines (at least {floors[0]:g}), "
                    f"{shares[1]:.1f} % of branches ({floors[1]:g})")
        low = [share < floor for share, floor in zip(shares, floors, strict=True)]
        if not any(low) or part == "csrc" and FULL_ISA not in isas:
            continue
        failed = True
        below = [file for file in files if _part_of(file.path) == part and any(
            wrong and share < floor
            for wrong, share, floor in zip(low, file.shares(), floors, strict=True)
        )]
        list_missing(below)
    if FULL_ISA not in isas:
        said.append(f"csrc is not compared, because this machine has no {FULL_ISA}")
    print(f"coverage: {'; '.join(said)}")
    return int(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("tests", nargs="*", help="pytest's arguments instead of the whole suite")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to keep tree and data")
    parser.add_argument("--report", type=Path, metavar="DIR", help="only report what DIR keeps")
    parser.add_argument("--missing", action="store_true", help="list all lines not reached")
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="bertsent-coverage-") as scratch:
        folder = (asked.report or asked.keep or Path(scratch)).resolve()
        code = 0 if asked.report else run_suite(folder, asked.tests)
        files = measure(folder)
        report(files)
        if asked.missing:
            list_missing(files)
        if code != 0:
            print(f"coverage: the tests ended with exit code {code}")
        elif not asked.tests:
            code = check_floors(files, instruction_sets(folder))
    return code


if __name__ == "__main__":
    sys.exit(main())
