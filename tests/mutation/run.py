"""Change the code in one place, and see whether a test fails.

    python tests/mutation/run.py --language c --sample 80 --seed 1
    python tests/mutation/run.py --language python --sample 80 --seed 1
    python tests/mutation/run.py --known      # a short list of mutants that tests must catch
    python tests/mutation/run.py --survivors  # is there a test now for what survivors.txt lists?

A sample is drawn from all mutants of the engine or of the Python that reads files: comparisons,
sums, logical and bitwise operators, constants, conditions, checks and statements, each kind as
often as the others. The mutants are built and tested one at a time, in a copy of the tree. The
tests of a file are in `table.py`. A mutant is caught if one of them fails, crashes or does not end.
Mutants that compile to the same code are drawn again, and so are those that
only AMX or another processor would execute.

`survivors.txt` lists mutants that were looked at because no test caught them. Those that it calls
equivalent do not change behaviour, and do not count.
"""

import argparse
import collections
import json
import random
import signal
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import c_mutants  # noqa: E402
import python_mutants  # noqa: E402
from mutant import read_list  # noqa: E402
from table import PYTHON, SKIPPED, C  # noqa: E402
from trees import Tree  # noqa: E402

LANGUAGES = {"c": (C, c_mutants), "python": (PYTHON, python_mutants)}


def tests_of(path):
    """Return the tests that concern a file."""
    for table in (C, PYTHON):
        for pattern, tests in table.items():
            if fnmatch(path, pattern):
                return tests.split()
    raise SystemExit(f"table.py has no tests for {path}")


def all_mutants(folder, language):
    """Return the mutants of a tree by kind."""
    table, module = LANGUAGES[language]
    kinds = collections.defaultdict(list)
    for path in sorted(folder.rglob("*.[chp]*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in (".c", ".h", ".py") or any(fnmatch(name, s) for s in SKIPPED):
            continue
        if any(fnmatch(name, pattern) for pattern in table):
            for mutant in module.mutants(name, path.read_text(encoding="utf-8")):
                kinds[mutant.kind].append(mutant)
    return kinds


def draw(kinds, seed):
    """Yield mutants in random order, each kind as often as the others."""
    rng = random.Random(seed)
    left = {kind: rng.sample(found, len(found)) for kind, found in sorted(kinds.items())}
    while left:
        kind = rng.choice(list(left))
        yield left[kind].pop()
        if not left[kind]:
            del left[kind]


class Laboratory:
    """Tests mutants in copies of the tree, one with the usual build and one with sanitizers."""

    def __init__(self, work, sanitize):
        self.tree = Tree(work / "plain")
        self.sanitized = Tree(work / "sanitized", sanitize=True) if sanitize else None
        self._sound = set()

    def examine(self, mutant, tests=None):
        """Return how the tests of a mutant end, and which one caught it."""
        tests = tests or tests_of(mutant.path)
        end, which = self._examine(self.tree, mutant, tests)
        if end == "passed" and self.sanitized is not None and mutant.path.startswith("csrc/"):
            end, which = self._examine(self.sanitized, mutant, tests)
            which = f"sanitizers: {which}"
        return end, which

    def _examine(self, tree, mutant, tests):
        try:
            if not tree.put(mutant):
                return "same code", ""
            end, which = tree.test(tests)
        except subprocess.CalledProcessError:
            return "not compiled", ""
        finally:
            tree.restore()
        if which.startswith(("FAILED ", "CRASHED ", "TIMEOUT ")):
            self._check(tree, which.split(" ", 1)[1].split(" - ")[0])
        return end, which

    def _check(self, tree, test):
        """Make sure that a test passes where no mutant is."""
        if (tree.sanitize, test) not in self._sound:
            end, which = tree.test([test])
            if end != "passed":
                raise SystemExit(f"this test fails without any mutant: {which}")
            self._sound.add((tree.sanitize, test))


def sample(laboratory, asked):
    """Examine a random sample. Return the number of mutants that no test catches."""
    equivalent = {m for m, note in read_list(HERE / "survivors.txt")
                  if note.startswith("equivalent")}
    counts = collections.Counter()
    before = {}
    if asked.results and asked.results.exists():
        rows = map(json.loads, asked.results.read_text(encoding="utf-8").splitlines())
        before = {row["mutant"]: row["outcome"] for row in rows}
    for mutant in draw(all_mutants(laboratory.tree.folder, asked.language), asked.seed):
        if counts["caught"] + counts["survived"] >= asked.sample:
            break
        if mutant.written() in before:
            counts[before[mutant.written()]] += 1
            continue
        if normal(mutant) in equivalent:
            end, which = "equivalent", ""
        else:
            end, which = laboratory.examine(mutant)
        outcome = {"passed": "survived", "failed": "caught", "crashed": "caught",
                   "timeout": "caught"}.get(end, end)
        counts[outcome] += 1
        print(f"{outcome} {end} {mutant.kind}: {which}\n{mutant.written()}\n", flush=True)
        if asked.results:
            row = {"outcome": outcome, "end": end, "kind": mutant.kind, "which": which,
                   "mutant": mutant.written()}
            with asked.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))
    return counts["survived"]


def normal(mutant):
    """Return a mutant as `read_list` returns it, without the indentation of its line."""
    return type(mutant)(mutant.path, mutant.before.strip(), mutant.after.strip(),
                        mutant.same_before)


def known(laboratory):
    """Return how many of the known mutants are not caught by their test."""
    missed = 0
    for mutant, test in read_list(HERE / "known.txt"):
        end, _ = laboratory.examine(mutant, test.split())
        missed += end not in ("failed", "crashed", "timeout")
        print(f"{end}: {test}\n{mutant.written()}\n", flush=True)
    print(f"{missed} known mutants are not caught")
    return missed


def survivors(laboratory):
    """Tell which of the listed survivors a test catches now, so that they need not be listed."""
    caught = 0
    for mutant, note in read_list(HERE / "survivors.txt"):
        try:
            end, which = laboratory.examine(mutant)
        except LookupError as error:
            print(f"remove this entry: {error}\n")
            continue
        if end in ("failed", "crashed", "timeout"):
            caught += 1
            print(f"{end}: {which}\n{mutant.written()}\n  {note}\n", flush=True)
    print(f"{caught} listed survivors are caught")
    return caught


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--language", choices=LANGUAGES, default="c")
    parser.add_argument("--sample", type=int, default=20, metavar="N",
                        help="mutants that change the code (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--known", action="store_true")
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--sanitize", action="store_true",
                        help="test what survives again under the sanitizers (engine only)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the copies in DIR, and use "
                        "those that are there")
    parser.add_argument("--results", type=Path, metavar="FILE", help="add JSON lines to "
                        "FILE; mutants that are in it are not tested again")
    asked = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the tree is restored
    with tempfile.TemporaryDirectory(prefix="bertsent-mutation-") as scratch:
        laboratory = Laboratory((asked.work or Path(scratch)).resolve(), asked.sanitize)
        if asked.known:
            missed = known(laboratory)
        elif asked.survivors:
            missed = survivors(laboratory)
        else:
            missed = sample(laboratory, asked)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
