"""Scoring speed, latency, memory and accuracy, compared with other libraries at their best.

    python benchmarks/scoring.py --data FILE                        MiniLM
    python benchmarks/scoring.py --data FILE --model random-base    BERT-base, random weights; more
                                                                    names are in models.py

The first run creates the environment of the peers (about 2 GB), converts the model to their
formats, and searches for the best settings of each: batches of 8, 16 or 32, two threads on one
batch or one thread on each of two, compiled or not (``--tune`` searches again). They are cached.
``--prepare-only`` stops there. A side that does not answer within ``--limit`` seconds is ended and
listed as not available.

Rows are sorted by length and cut into blocks of 32. Every ``--every``-th block is scored once by
every side, spread over the rounds; in a round, the sides take turns. ``pytorch float32 padded`` is
the usual script: batches of 32 in the order of the file, and fewer of them. Padding never counts as
tokens. Every side is a separate process, which is stopped while others run. Then single reviews of
about 64, 256 and 512 tokens are scored, also in turns. Logits are compared with PyTorch's in
float32; the head is scaled so that the difference of the logits has standard deviation 1.

Writes ``results/scoring_MODEL.json``; ``table.py`` and ``plot.py`` make tables and plots.
"""

import argparse
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import models
import numpy as np
from peers import environment

HERE = Path(__file__).resolve().parent
BLOCK = 32
PEERS = ("pytorch", "onnxruntime", "openvino", "ctranslate2", "bertsent")
PRECISIONS = ("float32", "bfloat16", "int8")
VARIANTS = {
    ("pytorch", "float32"): ("eager", "compiled"),
    ("pytorch", "bfloat16"): ("converted", "autocast", "converted, compiled"),
    ("pytorch", "int8"): ("x86", "onednn"),
    ("openvino", "int8"): ("f32", "bf16"),
    ("ctranslate2", "float32"): ("", "AVX512"),
    ("ctranslate2", "int8"): ("", "AVX512"),
}
REFERENCE, PADDED = "pytorch float32", "pytorch float32 padded"
USUAL = {"variant": "eager", "streams": 1, "batch": BLOCK}


class Side:
    """A process that scores, and is stopped while it has nothing to do."""

    def __init__(self, python, folder, peer, precision, limit, more_environment=None, stderr=None):
        script = HERE / "peers" / "scoring_side.py"
        self.limit = limit
        self.process = subprocess.Popen(
            [python, str(script), str(folder), peer, precision], text=True, stderr=stderr,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=common.quiet_environment(foreign=peer != "bertsent")
            | {"PYTHONWARNINGS": "ignore", "TRANSFORMERS_VERBOSITY": "error"}
            | (more_environment or {}),
        )

    def ask(self, do, **arguments):
        if self.process.poll() is not None:
            return {"unavailable": f"ended with status {self.process.returncode}"}
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        answered, _, _ = select.select([self.process.stdout], [], [], self.limit)
        if not answered:
            self.process.kill()
            self.process.wait()
            return {"unavailable": f"did not {do} within {self.limit} s"}
        line = self.process.stdout.readline()
        if not line:
            return {"unavailable": f"ended with status {self.process.wait()}"}
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Plan:
    """The rows to score, with their rounds and batches."""

    def __init__(self, lengths, options):
        self.lengths = np.asarray(lengths)
        order = np.argsort(-self.lengths, kind="stable")
        self.blocks = [order[i : i + BLOCK] for i in range(0, len(order), BLOCK)]
        self.chosen = self.blocks[options.every // 2 :: options.every]
        self.rounds = min(options.rounds, len(self.chosen))
        as_they_stand = np.arange(len(order))
        usual = [as_they_stand[i : i + BLOCK] for i in range(0, len(order), BLOCK)]
        # A third of the work, because it is slow and its rate is stable.
        self.usual = usual[:: max(1, min(3 * options.every, len(usual) // self.rounds))]

    def batches(self, name, number, batch):
        blocks = (self.usual if name == PADDED else self.chosen)[number :: self.rounds]
        return cut(blocks, batch)

    def near(self, length, count=4):
        """Return rows of about this length."""
        return np.argsort(np.abs(self.lengths - length), kind="stable")[:count].tolist()


def cut(blocks, batch):
    return [b[i : i + batch].tolist() for b in blocks for i in range(0, len(b), batch)]


def prepare(options):
    """Write the model in all formats, unless they exist; return their directory."""
    folder = options.cache / f"scoring-{options.model_name}-{options.rows}"
    if (folder / "complete").exists():
        return folder
    print("converting the model for each peer", file=sys.stderr, flush=True)
    subprocess.run(
        [options.python, str(HERE / "peers" / "scoring_prepare.py"),
         "--model", str(models.directory(options.model, options.cache)),
         "--data", options.data, "--rows", str(options.rows),
         "--max-length", str(options.max_length), "--output", str(folder)],
        check=True, stdout=sys.stderr, env=common.quiet_environment(foreign=True),
    )
    return folder


def python_of(peer, options):
    return sys.executable if peer == "bertsent" else options.python


def measure(side, batches, times):
    """Return the tokens per second of the fastest of some runs; 0 if it fails."""
    rates = []
    for _ in range(times + 1):
        answer = side.ask("score", batches=batches)
        if "unavailable" in answer:
            print(f"    {answer['unavailable']}", file=sys.stderr)
            return 0.0
        rates.append(answer["tokens"] / answer["seconds"])
    return max(rates[1:])


def best_settings(folder, peer, precision, blocks, options):
    """Try variants, then batch sizes and streams; return the fastest, and all results."""
    tried = []

    def attempt(variant, streams, batch):
        settings = {"variant": variant, "streams": streams}
        rate = 0.0
        # A process for each: some settings cannot be changed after the first use of a library.
        with Side(python_of(peer, options), folder, peer, precision, options.limit) as side:
            loaded = side.ask("load", threads=options.threads, **settings)
            if "unavailable" not in loaded:
                rate = measure(side, cut(blocks, batch), 1 if options.quick else 2)
        tried.append(settings | {"batch": batch, "tokens_per_second": rate})
        print(f"  {peer} {precision} {tried[-1]}", file=sys.stderr, flush=True)
        return rate, loaded

    variants = VARIANTS.get((peer, precision), ("",))
    first = {v: attempt(v, 1, 16) for v in variants}
    if not any(rate for rate, _ in first.values()):
        reasons = [loaded.get("unavailable", "fails") for _, loaded in first.values()]
        return {"unavailable": "; ".join(dict.fromkeys(reasons))}
    best = max(first, key=lambda v: first[v][0])
    if not options.quick:
        for streams in (1,) if "compiled" in best else sorted({1, options.threads}):
            for batch in (8, 16, 32):
                if (streams, batch) != (1, 16):
                    attempt(best, streams, batch)
    found = max(tried, key=lambda t: t["tokens_per_second"])
    return {k: found[k] for k in ("variant", "streams", "batch")} | {"tried": tried}


def kernels(peer, precision, settings, folder, blocks, options):
    """Return the kernels that a library reports to use, if it reports any."""
    verbose = {"pytorch": {"ONEDNN_VERBOSE": "1"}, "ctranslate2": {"CT2_VERBOSE": "1"}}
    with tempfile.TemporaryFile("w+") as log:
        with Side(python_of(peer, options), folder, peer, precision, options.limit,
                  verbose.get(peer), log) as one:
            one.ask("load", threads=options.threads, variant=settings["variant"],
                    streams=settings["streams"])
            one.ask("score", batches=cut(blocks[:1], settings["batch"])[:1])
            told = one.ask("kernels").get("kernels")
        log.seek(0)
        lines = log.read().splitlines()
    if peer == "pytorch":
        told = common.onednn_kernels(lines)
    elif peer == "ctranslate2":
        wanted = ("ISA", "GEMM backend", "oneDNN", "MKL", "compute type")
        told = [line.split("] ")[-1] for line in lines if any(w in line for w in wanted)]
    return told


def tune(folder, plan, options):
    """Find the best settings of every side and the kernels it then uses; they are cached."""
    path = folder / f"settings-{options.threads}.json"
    here = common.machine()
    sides = {}
    if path.exists():
        stored = json.loads(path.read_text())
        wanted = {f"{p} {q}" for p in options.peers for q in options.precisions if p != "bertsent"}
        if stored["processor"] == here["processor"]:
            sides = stored["sides"]
            if wanted <= set(sides) and not options.tune:
                return sides
    count = len(plan.blocks)
    at = (0.25, 0.75) if options.model_name not in models.RANDOM else (0.5,)
    blocks = [plan.blocks[int(count * q)] for q in at]
    if options.quick:
        blocks = [blocks[0][:4]]
    for peer in options.peers:
        if peer == "bertsent":  # changes from build to build, and has no settings to choose
            continue
        for precision in options.precisions:
            found = best_settings(folder, peer, precision, blocks, options)
            if "unavailable" not in found:
                found["kernels"] = kernels(peer, precision, found, folder, blocks, options)
            sides[f"{peer} {precision}"] = found
    common.write_json(path, {"processor": here["processor"], "sides": sides})
    return sides


def start(folder, settings, plan, options, sides):
    """Start and warm up all available sides, into `sides`; return the head of each record."""
    wanted = [(f"{peer} {precision}", peer, precision)
              for peer in options.peers for precision in options.precisions]
    if "pytorch" in options.peers and "float32" in options.precisions:
        wanted.insert(0, (PADDED, "pytorch", "float32"))
    records = {}
    for name, peer, precision in wanted:
        chosen = settings.get(name, {}) if name != PADDED else USUAL
        if peer == "bertsent":
            chosen = {"variant": "", "streams": 1, "batch": BLOCK}
        record = records[name] = {"peer": peer, "precision": precision, "settings": chosen}
        if "unavailable" in chosen:
            record["unavailable"] = chosen["unavailable"]
            continue
        side = sides[name] = Side(python_of(peer, options), folder, peer, precision,
                                  options.limit)
        began = time.perf_counter()
        answer = side.ask("load", threads=options.threads, variant=chosen["variant"],
                          streams=chosen["streams"])
        record["load_seconds"] = time.perf_counter() - began
        if "unavailable" not in answer:
            record["versions"] = answer["versions"]
            # The longest block, to allocate all memory, and one of medium length.
            count = len(plan.blocks)
            warm = cut([plan.blocks[0], plan.blocks[count // 2]], chosen["batch"])
            answer = side.ask("score", batches=warm[: max(2, len(warm) // 2)])
        if "unavailable" in answer:
            leave_out(name, answer, sides, records)
    return records


def leave_out(name, answer, sides, records):
    sides.pop(name).close()
    record = records[name]
    for key in ("rounds", "cpu_share", "tokens"):
        record.pop(key, None)
    record["unavailable"] = answer["unavailable"]
    print(f"{name}: not available: {answer['unavailable']}", file=sys.stderr, flush=True)


def throughput(sides, records, plan):
    logits = {name: {} for name in sides}
    for name in sides:
        records[name] |= {"rounds": [], "cpu_share": [], "tokens": 0}
    for number in range(plan.rounds):
        # The order alternates, in case heat or clock frequency drift within a round.
        names = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in names:
            batch = records[name]["settings"]["batch"]
            answer = sides[name].ask("score", batches=plan.batches(name, number, batch))
            if "unavailable" in answer:
                leave_out(name, answer, sides, records)
                del logits[name]
                continue
            record = records[name]
            record["rounds"].append(answer["tokens"] / answer["seconds"])
            record["cpu_share"].append(answer["cpu_seconds"] / answer["seconds"])
            record["tokens"] += answer["tokens"]
            logits[name] |= dict(zip(answer["rows"], answer["logits"], strict=True))
            print(f"round {number + 1}/{plan.rounds} {name:24} {record['rounds'][-1]:7.0f} tokens/s"
                  f" on {record['cpu_share'][-1]:.2f} CPUs", file=sys.stderr, flush=True)
    for name, side in sides.items():
        records[name]["tokens_per_second"] = common.spread(records[name]["rounds"])
        records[name] |= side.ask("memory")
    return logits


def latency(sides, records, plan, options):
    lengths = (64, 256, 512)
    for name in sides:
        records[name]["latency_ms"] = {}
    for length in lengths:
        rows = plan.near(length)
        seconds = {name: [] for name in sides}
        for number in range(options.rounds):
            for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
                if name == PADDED:
                    continue  # a single review is not padded
                answer = sides[name].ask("latency", rows=rows, times=options.latency_times)
                seconds[name] += answer.get("seconds", [])
        for name, found in seconds.items():
            if found:
                ms = np.array(found) * 1e3
                records[name]["latency_ms"][str(length)] = {
                    "median": float(np.median(ms)), "p90": float(np.quantile(ms, 0.9)),
                    "count": len(ms), "tokens": float(np.mean(plan.lengths[rows])),
                }


def compare(records, logits):
    """Compare the logits of each side with the reference's, on the rows that both scored."""
    if REFERENCE not in logits:
        return
    reference = logits[REFERENCE]
    margin = np.array([row[1] - row[0] for row in reference.values()])
    for name, found in logits.items():
        rows = [i for i in found if i in reference]
        if not rows:
            continue
        a, b = (np.array([side[i] for i in rows]) for side in (found, reference))
        records[name]["accuracy"] = {
            "rows": len(rows),
            "largest_difference": float(np.abs(a - b).max()),
            "mean_difference": float(np.abs(a - b).mean()),
            "same_prediction": float((a.argmax(1) == b.argmax(1)).mean()),
            "standard_deviation_of_margin": float(margin.std()),
        }


def ratios(records):
    """Return our speedups, by round, over the best peer in that precision and the usual script."""
    measured = {name: r for name, r in records.items() if "rounds" in r}
    out = {}
    for name, ours in measured.items():
        if ours["peer"] != "bertsent":
            continue
        same = {n: r for n, r in measured.items() if n != PADDED and r["peer"] != "bertsent"
                and r["precision"] == ours["precision"]}
        others = {"to_usual_script": measured.get(PADDED)}
        if same:
            best = max(same, key=lambda n: same[n]["tokens_per_second"]["median"])
            others = {"best_peer": same[best], **others}
            out.setdefault(name, {})["best_peer_is"] = best
        for key, other in others.items():
            if other:
                pairs = zip(ours["rounds"], other["rounds"], strict=True)
                out.setdefault(name, {})[key] = common.spread([a / b for a, b in pairs])
    return out


def show(records, found):
    for name, r in records.items():
        if "unavailable" in r:
            print(f"{name:24} not available: {r['unavailable']}")
            continue
        rate, accuracy = r["tokens_per_second"], r.get("accuracy", {})
        late = " ".join(f"{v['median']:.1f}/{v['p90']:.1f}" for v in r["latency_ms"].values())
        print(f"{name:24} {rate['median']:7.0f} ({rate['lowest']:.0f}-{rate['highest']:.0f}) "
              f"tokens/s, CPUs {statistics.median(r['cpu_share']):.2f}, "
              f"peak {r['peak_rss_mb']:.0f} MB, "
              f"logits {accuracy.get('largest_difference', 0):.1e}, "
              f"same {accuracy.get('same_prediction', 1):.4f}, ms {late}")
    for name, ratio in found.items():
        print(name, json.dumps(ratio))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", required=True, help="CSV with the column review")
    p.add_argument("--model", default="minilm", help="a directory, or a name of models.py")
    p.add_argument("--rows", type=int, help="number of rows to read (2000; quick 400)")
    p.add_argument("--every", type=int, help="score each n-th block of rows (2; base sizes 16)")
    p.add_argument("--rounds", type=int, help="rounds (5; base sizes 4, quick 2)")
    p.add_argument("--latency-times", type=int, help="runs of 4 reviews per round (3; quick 1)")
    p.add_argument("--max-length", type=int, default=512)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    p.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    p.add_argument("--limit", type=int, default=300,
                   help="seconds for one answer of a side, including compilation (%(default)s)")
    p.add_argument("--quick", action="store_true", help="fewer rows, as a quick check")
    p.add_argument("--tune", action="store_true", help="search for the peers' best settings again")
    p.add_argument("--output", type=Path, help="results/scoring_MODEL.json")
    p.add_argument("--prepare-only", action="store_true", help="stop before measuring")
    environment.add_arguments(p)
    options = p.parse_args()
    base = options.model in models.RANDOM
    for name, value in {"rows": 400 if options.quick else 2000,
                        "every": 6 if options.quick else 16 if base else 2,
                        "rounds": 2 if options.quick else 4 if base else 5,
                        "latency_times": 1 if options.quick else 3}.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    plain = options.model in ("minilm", "mpnet", *models.RANDOM)
    options.model_name = options.model if plain else Path(options.model).resolve().name
    if options.output is None:
        options.output = HERE / "results" / f"scoring_{options.model_name}.json"
    return options


def main():
    options = arguments()
    # Stopped processes do not notice that we exit, so close them explicitly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.python = environment.peer_python(options)
    folder = prepare(options)
    plan = Plan(np.diff(np.load(folder / "ids.npz")["offsets"]), options)
    settings = tune(folder, plan, options)
    if options.prepare_only:
        return
    load = os.getloadavg()
    if load[0] > 0.5:
        print(f"other programs are running (load {load[0]:.1f}): do not publish this run",
              file=sys.stderr)
    began = time.perf_counter()
    sides = {}
    try:
        records = start(folder, settings, plan, options, sides)
        logits = throughput(sides, records, plan)
        latency(sides, records, plan, options)
    finally:
        for side in sides.values():
            side.close()
    compare(records, logits)
    found = ratios(records)
    show(records, found)
    names = ("model_name", "rows", "every", "rounds", "max_length", "threads", "latency_times")
    common.write_json(options.output, {
        "machine": common.machine() | {"load_average_before": load},
        "arguments": {name: getattr(options, name) for name in names},
        "minutes": (time.perf_counter() - began) / 60,
        "mean_length": float(plan.lengths.mean()), "sides": records, "ratios": found,
    })


if __name__ == "__main__":
    main()
