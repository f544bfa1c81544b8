"""Measure line and branch coverage of the package and the engine.

    python .ci/coverage.py              # build, run the suite, report
    python .ci/coverage.py tests/test_x.py ...  # the same with some tests
    python .ci/coverage.py --keep DIR   # keep the tree and all data in DIR
    python .ci/coverage.py --report DIR # report again what DIR keeps

Needs gcc, what the build and the tests need, and the packages coverage and gcovr. Works on a copy
of the tree. The table has a line for each room of the package and each folder of the engine.
"""

import argparse
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

# Tables written by a program, and a program that runs before the build.
NO_CODE = ("csrc/tokenizer/unicode_tables", "csrc/tokenizer/generate_tables.py")

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
    run = subprocess.run(
        [sys.executable, "-m", "coverage", "run", "--rcfile", settings, "-m", "pytest", "-q",
         "-n", "2", "-p", "no:cacheprovider", *tests],
        cwd=tree, env=os.environ | {"PYTHONPATH": str(tree), "BERTSENT_IMDB": str(imdb)},
    )
    return run.returncode


def measure_python(folder):
    """Yield ``(path, lines, lines reached, branches, branches taken)`` for each module."""
    tree, data = folder / "tree", folder / "data"
    coverage = [sys.executable, "-m", "coverage"]
    settings = ["--rcfile", data / "coverage.ini"]
    if any(data.glob("python.*")):
        subprocess.run([*coverage, "combine", "-q", *settings], cwd=tree, check=True)
    subprocess.run(
        [*coverage, "json", "-q", *settings, "-o", data / "python.json"], cwd=tree, check=True,
    )
    files = json.loads((data / "python.json").read_text())["files"]
    for path, found in files.items():
        path = Path(tree, path).relative_to(tree).as_posix()
        counts = found["summary"]
        yield (path, counts["num_statements"], counts["covered_lines"], counts["num_branches"],
               counts["covered_branches"])


def measure_c(folder):
    """Yield the same for each source of the engine.

    Threads add to gcc's counters without locks, so a branch count, which may be a difference of
    two counters, can come out wrong where threads run the same lines.
    """
    tree, data = folder / "tree", folder / "data"
    subprocess.run(
        [sys.executable, "-m", "gcovr", "--root", tree, "--filter", f"{tree}/csrc/",
         "--gcov-ignore-parse-errors=negative_hits.warn_once_per_file",
         "--merge-mode-functions=merge-use-line-min", "--exclude-throw-branches",
         "--json", data / "c.json", "--json-summary", data / "c_summary.json", tree / "build"],
        cwd=tree, check=True,
    )
    for found in json.loads((data / "c_summary.json").read_text())["files"]:
        yield (found["filename"], found["line_total"], found["line_covered"],
               found["branch_total"], found["branch_covered"])


def room_of(path):
    """Return the room of the package or the folder of the engine that a file belongs to."""
    parts = Path(path).parts
    return "/".join(parts[:2]) if len(parts) > 2 else parts[0]


def per_cent(part, whole):
    return 100.0 if whole == 0 else 100.0 * part / whole


def report(folder):
    """Print the table of all rooms."""
    sums = defaultdict(lambda: [0, 0, 0, 0])
    for path, *counts in [*measure_python(folder), *measure_c(folder)]:
        if not path.startswith(NO_CODE):
            room = sums[room_of(path)]
            room[:] = [old + new for old, new in zip(room, counts, strict=True)]
    print(f"{'room':<28}{'lines':>8}{'%':>8}{'branches':>10}{'%':>8}")
    for room, (lines, reached, branches, taken) in sorted(sums.items()):
        print(f"{room:<28}{lines:>8}{per_cent(reached, lines):>8.1f}{branches:>10}"
              f"{per_cent(taken, branches):>8.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("tests", nargs="*", help="pytest's arguments instead of the whole suite")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to keep tree and data")
    parser.add_argument("--report", type=Path, metavar="DIR", help="only report what DIR keeps")
    asked = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="bertsent-coverage-") as scratch:
        folder = (asked.report or asked.keep or Path(scratch)).resolve()
        code = 0 if asked.report else run_suite(folder, asked.tests)
        report(folder)
    if code != 0:
        print(f"coverage: the tests ended with exit code {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
