"""Read damaged files, each kind by the function that reads it alone.

    python tests/fuzz/readers.py --inputs 100000 --seed 1 [KIND ...]

Files of models and runs are those of `model_files`, data files those of `data_files`. Every input
is read with little more memory than is justified by its size, and in at most 5 seconds of the
processor. It must be loaded right, as an independent reader says, or be refused by an error that
names it. Everything else is a finding, which is printed with its number: `--only NUMBER` with the
same seed and kind does it again. The exit code is 0 if there is none.
"""

import argparse
import collections
import gc
import os
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

if __name__ == "__main__":
    # One process does one thing at a time, and asks nobody.
    for _variable in ("BERTSENT_NUM_THREADS", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"):
        os.environ[_variable] = "1"
    # Others reserve more addresses than a child may have.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import data_files  # noqa: E402
import model_files  # noqa: E402
import processes  # noqa: E402

KINDS = model_files.KINDS | data_files.KINDS
# Address space beyond that of the process, for files of some kB.
MEMORY = 300 << 20
SECONDS = 5.0
# Inputs that one process reads.
BATCH = 2000


def task(kind, name, seed):
    """Return a function that reads an input by its number."""

    def read(number):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcome = kind.outcome(random.Random(f"{seed}-{name}-{number}"))
            if "too much memory" in outcome[1]:
                # What earlier inputs took is no fault of this one.
                gc.collect()
                outcome = kind.outcome(random.Random(f"{seed}-{name}-{number}"))
        for warning in caught:
            if not issubclass(warning.category, UserWarning):
                return "finding", f"{warning.category.__name__}: {warning.message}"
        return outcome

    return read


def fuzz(kind, name, numbers, seed, stream=None):
    """Read inputs of a kind, print a line about them and one for each finding.

    Returns
    -------
    int
        Number of findings.
    """
    counts, findings = collections.Counter(), collections.defaultdict(list)
    start = time.monotonic()
    outcomes = processes.run(
        task(kind, name, seed), numbers, memory=MEMORY, seconds=20 * SECONDS, batch=BATCH,
        after=kind.remove, of_processor=SECONDS,
    )
    for number, outcome, text in outcomes:
        counts[outcome] += 1
        if outcome == "finding":
            findings[text[:60]].append((number, text))
    for cases in sorted(findings.values(), key=len, reverse=True):
        number, text = cases[0]
        print(f"{len(cases):6d}  {name}: {text}  [--only {number}]", file=stream)
    total, seconds = sum(counts.values()), time.monotonic() - start
    print(
        f"{name:22s}{total:8d} inputs {counts['loaded']:8d} loaded right "
        f"{counts['refused']:8d} refused {counts['finding']:6d} findings {seconds:6.0f} s",
        file=stream, flush=True,
    )
    return counts["finding"]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--inputs", type=int, default=100_000, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="read one input here, and show what it raises")
    options = parser.parse_args(arguments)
    names = options.kinds or list(KINDS)
    if not KINDS.keys() >= set(names):
        parser.error(f"the kinds are {', '.join(KINDS)}")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bertsent-fuzz-", dir=memory) as root:
        seeds = model_files.Seeds(Path(root))
        if options.only is not None:
            return show(KINDS[names[0]](seeds), names[0], options)
        found = 0
        for name in names:
            numbers = range(options.inputs)
            found += fuzz(KINDS[name](seeds), name, numbers, options.seed)
    print(f"{len(names) * options.inputs} inputs of {len(names)} kinds, {found} findings")
    return found > 0


def show(kind, name, options):
    """Print what was changed in an input, and read it."""
    draw = random.Random(f"{options.seed}-{name}-{options.only}")
    print(*kind.mutant(draw), sep="\n")
    processes.limit_memory(MEMORY)
    outcome = task(kind, name, options.seed)(options.only)
    print(*outcome)
    return outcome[0] == "finding"


if __name__ == "__main__":
    sys.exit(main())
