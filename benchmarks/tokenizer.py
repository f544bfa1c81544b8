"""Tokenization speed, compared with `tokenizers`, `flash-tokenizer` and `blingfire`.

    python benchmarks/tokenizer.py --data FILE --peers-venv DIR

The peers are installed into DIR if they are missing; one that cannot be installed is reported with
the reason. Each side is a persistent process for one and for two threads, and is used in its
fastest way; see ``peers/tokenizer_side.py``. The sides take turns, in a different order in each
round, so that noise affects all of them equally. These are measured:

rates        MB of UTF-8 per second: median, minimum and maximum of the rounds. The ratio to
             `tokenizers` is the median of the rounds' ratios; "equal" is the share of texts with
             ids identical to those of `tokenizers`. With a max_length, the rate counts the whole
             texts, although not all of them is read; it is not comparable with other rates.
first touch  The first and the second run of a new process, and its memory.
building     From the model's files, and from a vocabulary in memory.
linearity    Time of hard texts of n, 2n and 4n characters; linear if it doubles each time.

Results are written to ``benchmarks/results/tokenizer.json`` and ``.png``, or to ``--output``.
``--cpu-time`` measures CPU time divided by the number of threads instead of wall time. That suits a
busy machine, but scaling to two threads cannot be measured.
"""

import argparse
import datetime
import functools
import json
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import tokenizer_report as report
import tokenizer_texts as texts_of
from tokenizer_peers import PEERS, Failed, Side, install

from bertsent.hub.resolve import resolve_directory

HERE = Path(__file__).resolve().parent
# Threads that spin after a run would take time from the next side.
PAUSE = 0.01
LEAST = 0.05  # smallest duration of a sample in seconds: short texts are encoded several times
SLOW = 8.0  # seconds; a side that takes longer has only one sample


def write_sets(folder, options):
    """Write all texts to files; return a description of each set."""
    rng = np.random.default_rng(0)
    many, size, marks = (300, 100_000, 10_000) if options.quick else (2_000, 1_000_000, 10_000)
    found = [("IMDB", "reviews", [texts_of.read_reviews(options.data, options.rows)])]
    found += [(name, "scripts", [t]) for name, t in texts_of.scripts(many).items()]
    # Two texts each, so that two threads have something to do.
    variants = [[texts_of.adversarial(size, marks, rng) for _ in range(2)] for _ in range(8)]
    for name in variants[0][0]:
        # Only the set of new words must differ in each run.
        some = variants if name == "ever new words" else variants[:1]
        found.append((name, "adversarial", [[t[name] for t in pair] for pair in some]))
    sets = []
    for i, (name, group, lists) in enumerate(found):
        file = folder / f"{i}.json"
        file.write_text(json.dumps(lists), encoding="utf-8")
        sets.append({"name": name, "group": group, "file": file, "texts": len(lists[0]),
                     "bytes": sum(len(t.encode()) for t in lists[0])})  # fmt: skip
    return sets


def load(sides, file):
    """Load the texts into the sides; return those that succeeded, and the errors of others."""
    there, lost = {}, {}
    for name, side in sides.items():
        try:
            side.load(file)
            there[name] = side
        except Failed as failure:
            lost[name] = str(failure)
    return there, lost


def rounds(sides, call, runs, warm=True):
    """Run the sides in turns; return the samples of each, and errors.

    With `warm`, every side is run once before, which does not count.
    """
    samples, failures, once = {name: [] for name in sides}, {}, set()
    for r in range(-1 if warm else 0, runs):
        names = list(sides)
        names = names[r % len(names) :] + names[: r % len(names)]
        for name in names:
            if name in failures or (name in once and samples[name]):
                continue
            try:
                sample = call(sides[name])
            except Failed as failure:
                failures[name], samples[name] = str(failure), []
                continue
            if r >= 0:
                samples[name].append(sample)
            elif sample.get("wall", 0) > SLOW:
                once.add(name)
            time.sleep(PAUSE)
    return samples, failures


def equal_share(sides, folder, max_length):
    """Return the share of texts with the ids of `tokenizers`, and whether a side returns ids."""
    rows = {}
    for name, side in sides.items():
        file = folder / "ids.npz"
        try:
            side.ask("ids", file=str(file), max_length=max_length)
        except Failed:
            continue
        with np.load(file) as data:
            rows[name] = data["ids"], data["offsets"]
    if "tokenizers" not in rows:
        return {}
    ids, ends = rows["tokenizers"]
    share = {}
    for name, (other, others) in rows.items():
        same = [
            np.array_equal(ids[a:b], other[c:d])
            for a, b, c, d in zip(ends, ends[1:], others, others[1:], strict=False)
        ]
        share[name] = sum(same) / len(same)
    return share


def rates(sets, sides, folder, options):
    """Measure every set on one and two threads; the reviews also truncated."""
    results = []
    for one in sets:
        loaded = {threads: load(sides[threads], one["file"]) for threads in (1, 2)}
        for max_length in (None, 256, 512) if one["group"] == "reviews" else (None,):
            for threads in (1, 2):
                there, lost = loaded[threads]
                run = functools.partial(Side.ask, what="run", max_length=max_length, least=LEAST)
                samples, failures = rounds(there, run, options.runs)
                if threads == 1:
                    working = {n: s for n, s in there.items() if n not in failures}
                    equal = equal_share(working, folder, max_length)
                results.append({
                    "texts": one["name"], "group": one["group"], "count": one["texts"],
                    "bytes": one["bytes"], "threads": threads, "max_length": max_length,
                    "samples": samples, "failures": {**lost, **failures}, "equal": equal,
                })  # fmt: skip
                report.summarize(results[-1], options.clock)
                report.print_rates(results[-1], options.clock)
    report.print_scaling(results, options.clock)
    return results


def fresh(names, make, reviews, runs):
    """Measure the first and second run of new processes on one thread, and their memory."""

    def call(side):
        started = side.start()
        before = side.load(reviews["file"])["memory"]
        first = side.ask("run")
        peak, after = side.ask("memory"), side.ask("run")
        again = side.ask("memory")
        side.stop()
        return {"start": started, "loaded": before, "first": first, "after_first": peak,
                "second": after, "after_second": again}  # fmt: skip

    return rounds({n: make(n, 1) for n in names}, call, runs, warm=False)


def linearity(sides, folder, quick):
    """Return the shortest times of n, 2n and 4n characters, one text each, on one thread."""
    n, marks, results = (25_000 if quick else 250_000), 10_000, []
    for name in texts_of.adversarial(200, 2, np.random.default_rng(0)):
        row = {"texts": name, "n": marks if "marks" in name else n, "seconds": {}, "failures": {}}
        for factor in (1, 2, 4):
            rng = np.random.default_rng(factor)
            some = [texts_of.adversarial(factor * n, factor * marks, rng)[name] for _ in range(4)]
            file = folder / "linear.json"
            file.write_text(json.dumps([[t] for t in some]), encoding="utf-8")
            there, lost = load(sides, file)
            samples, failures = rounds(there, lambda side: side.ask("run", least=0.02), 3)
            # The shortest CPU time: only one thread of one side runs.
            for side, some in samples.items():
                if some:
                    row["seconds"].setdefault(side, {})[factor] = min(s["cpu"] for s in some)
            row["failures"] |= {**lost, **failures}
        results.append(row)
        report.print_linearity(row)
    return results


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", required=True, help="CSV with a column review")
    p.add_argument("--peers-venv", required=True, help="directory in which the peers are installed")
    p.add_argument("--model", default="minilm", help="directory of an uncased BERT, or minilm")
    p.add_argument("--rows", type=int, help="reviews; default 10,000, with --quick 1,000")
    p.add_argument("--runs", type=int, help="rounds; default 5, with --quick 2")
    p.add_argument("--quick", action="store_true", help="small texts, as a quick check")
    p.add_argument("--cpu-time", action="store_true", help="CPU time instead of wall time")
    p.add_argument("--output", default=HERE / "results" / "tokenizer.json", help="JSON file")
    options = p.parse_args()
    options.rows = options.rows or (1_000 if options.quick else 10_000)
    options.runs = options.runs or (2 if options.quick else 5)
    options.clock = "cpu" if options.cpu_time else "wall"
    began = time.perf_counter()
    model = resolve_directory(options.model)
    peers = Path(options.peers_venv).resolve()
    installed = install(peers, model, PEERS)
    names = ["bertsent", *(n for n in PEERS if installed[n]["works"])]

    def make(name, threads):
        return Side(name, model, threads, peers)

    sides = {threads: {n: make(n, threads) for n in names} for threads in (1, 2)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            sets = write_sets(folder, options)
            for name in set(PEERS) - set(names):
                print(f"NOT MEASURED: {name}: {installed[name]['tried']}")
            versions = {n: s.start()["version"] for n, s in sides[1].items()}
            print(f"versions: {versions}; times by {options.clock} clock", flush=True)
            record = {
                "date": datetime.date.today().isoformat(), "machine": common.machine(),
                "versions": versions, "installed": installed, "clock": options.clock,
                "runs": options.runs, "quick": options.quick,
            }  # fmt: skip
            record["rates"] = rates(sets, sides, folder, options)
            samples, failures = fresh(names, make, sets[0], min(options.runs, 3))
            record["fresh"] = {"bytes": sets[0]["bytes"], "samples": samples, "failures": failures}
            report.print_fresh(record["fresh"], options.clock)
            samples, failures = rounds(sides[1], lambda side: side.ask("builds"), options.runs)
            record["build"] = {"samples": samples, "failures": failures}
            report.print_builds(record["build"], options.clock)
            record["linearity"] = linearity(sides[1], folder, options.quick)
        finally:
            for side in [s for some in sides.values() for s in some.values()]:
                side.stop()
    record["seconds"] = time.perf_counter() - began
    common.write_json(options.output, record)
    report.plot(record, Path(options.output).with_suffix(".png"))
    print(f"{record['seconds']:.0f} s; written to {options.output}")


if __name__ == "__main__":
    main()
