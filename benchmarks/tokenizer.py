"""Tokenizing beside `tokenizers`, `flash-tokenizer` and `blingfire`, on the same texts.

    python benchmarks/tokenizer.py --data FILE --peers-venv DIR

The peers are installed into DIR, if they are not there; one that cannot be is reported with the
reason. Each side on one and on two threads is a process of its own that stays (warm), and is used
in the quickest way it has; see ``peers/tokenizer_side.py``. Sides take turns, in another order
each round, so that noise hits all alike. What is measured:

rates        MB of UTF-8 a second, median of the rounds with least and best; the ratio to
             `tokenizers` is the median of the rounds' ratios; "equal" is the share of texts whose
             ids are those of `tokenizers`. With a max_length the rate is that of the whole texts
             given, though not all of them need be read: no rate to compare with the others.
first touch  the first run of a fresh process, beside its second; memory that it takes.
building     from the model's files, and from a vocabulary that is in memory.
linearity    time of hard texts of n, 2n and 4n characters; 2 and 4 times that of n is linear.

Results go into ``benchmarks/results/tokenizer.json`` and ``.png``, or where ``--output`` says.
``--cpu-time`` takes the processes' CPU time, divided by their threads, in place of the clock: it
suits a busy machine, but two-thread scaling then means nothing and is left out.
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

from bertsent.hub import resolve

HERE = Path(__file__).resolve().parent
# Threads that wait actively after a run would take time from the next side.
PAUSE = 0.01
LEAST = 0.05  # seconds that a sample lasts: short texts are encoded several times
SLOW = 8.0  # seconds; a side that takes longer has one sample only


def write_sets(folder, options):
    """Write all texts to files; what is known of each set."""
    rng = np.random.default_rng(0)
    many, size, marks = (300, 100_000, 10_000) if options.quick else (2_000, 1_000_000, 10_000)
    found = [("IMDB", "reviews", [texts_of.read_reviews(options.data, options.rows)])]
    found += [(name, "scripts", [t]) for name, t in texts_of.scripts(many).items()]
    # Two texts each, so that two threads have something to do.
    variants = [[texts_of.adversarial(size, marks, rng) for _ in range(2)] for _ in range(8)]
    for name in variants[0][0]:
        # Only new words need be new in each run.
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
    """Give the sides their texts; those that took them, and what went wrong with the others."""
    there, lost = {}, {}
    for name, side in sides.items():
        try:
            side.load(file)
            there[name] = side
        except Failed as failure:
            lost[name] = str(failure)
    return there, lost


def rounds(sides, call, runs, warm=True):
    """Ask the sides in turn; samples of each, and what went wrong.

    With `warm` every side is asked once beforehand, which is not counted.
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
    """Share of texts with the ids of `tokenizers`, and whether a side returns any."""
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
    """Every set on one and two threads, the reviews also cut."""
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
    """First and second run of fresh processes on one thread, and their memory."""

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
    """Least times of n, 2n and 4n characters, one text each, on one thread."""
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
            # The least CPU time: nothing runs beside one thread of one side.
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
    p.add_argument("--peers-venv", required=True, help="where the peers are, or will be, installed")
    p.add_argument("--model", default="minilm", help="directory of an uncased BERT, or minilm")
    p.add_argument("--rows", type=int, help="reviews; default 10,000, with --quick 1,000")
    p.add_argument("--runs", type=int, help="rounds; default 5, with --quick 2")
    p.add_argument("--quick", action="store_true", help="small texts: to see that all works")
    p.add_argument("--cpu-time", action="store_true", help="CPU time in place of the clock")
    p.add_argument("--output", default=HERE / "results" / "tokenizer.json", help="JSON file")
    options = p.parse_args()
    options.rows = options.rows or (1_000 if options.quick else 10_000)
    options.runs = options.runs or (2 if options.quick else 5)
    options.clock = "cpu" if options.cpu_time else "wall"
    began = time.perf_counter()
    model = resolve(options.model)
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
