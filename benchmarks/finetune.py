"""Fine-tuning against PyTorch: speed, memory, loss curve and accuracy.

    python benchmarks/finetune.py curve  --data FILE
    python benchmarks/finetune.py speed  --data FILE [--model random-base]
    python benchmarks/finetune.py speed  --data FILE --model random-distilbert
    python benchmarks/finetune.py threads --data FILE
    python benchmarks/finetune.py recipe --data FILE [--precision bfloat16]
    python benchmarks/finetune.py epoch  --data FILE

``curve``   Losses of 50 steps without dropout: bertsent compared with PyTorch, and PyTorch on one
            thread compared with PyTorch on two.
``speed``   A few steps at a time, in turns: bertsent and PyTorch in fp32 and bf16 (PyTorch with
            autocast), and the usual PyTorch script, with random batches padded to the maximum.
            MiniLM with up to 512 tokens; base sizes with up to 256. ``random-base`` is BERT-base
            with random weights; there are more in ``models.py``.
``threads`` bertsent on two threads compared with one, in pairs.
``recipe``  4,000 reviews, two epochs, tested on up to 5,000 others in each precision: bertsent
            with seeds 0, 1 and 2, and, if it trains in float32, PyTorch with seed 0.
``epoch``   bertsent only, in bfloat16: one epoch over 22,500 reviews of at most 512 tokens,
            tested on the next 2,500.

Both sides use the same rows, batches (grouped by length, which is fastest for PyTorch) and initial
classifier. PyTorch's environment is created if it does not exist. Every run is a separate process
and writes JSON into ``benchmarks/results/``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import common
import models
from peers import environment

from bertsent import _core

HERE = Path(__file__).resolve().parent


def run(side, options, flags=(), more_environment=None, parse=True):
    """Run one side in a separate process; return its last line as JSON, or all output."""
    script = HERE / "peers" / f"{side}_finetune.py"
    python = options.peer_python if side == "pytorch" else sys.executable
    settings = common.quiet_environment(foreign=side == "pytorch") | (more_environment or {})
    command = [python, str(script), "--data", options.data, "--model", options.model]
    done = subprocess.run([*command, *map(str, flags)], check=True, stdout=subprocess.PIPE,
                          text=True, env=settings)
    return json.loads(done.stdout.splitlines()[-1]) if parse else done.stdout


def largest_difference(a, b):
    return max(abs(x - y) for x, y in zip(a["loss"], b["loss"], strict=True))


def curve(options):
    flags = ["--max-steps", 50, "--dropout", 0]
    ours = run("bertsent", options, flags)
    two, one = (run("pytorch", options, [*flags, "--threads", n]) for n in (2, 1))
    between, itself = largest_difference(ours, two), largest_difference(one, two)
    allowed = max(3 * itself, 1e-3)
    print(f"largest difference of the loss over 50 steps: bertsent to PyTorch {between:.2e}, "
          f"PyTorch on one thread to two {itself:.2e}, allowed {allowed:.2e}: "
          f"{'within' if between <= allowed else 'EXCEEDED'}")
    return {"difference": between, "peer_difference": itself, "allowed": allowed,
            "runs": [ours, two, one]}


PADDED = "pytorch, fp32, padded to the maximum"
SPEED_SIDES = {
    "bertsent, fp32": ("bertsent", []),
    "bertsent, bf16": ("bertsent", ["--precision", "bfloat16"]),
    "pytorch, fp32": ("pytorch", []),
    "pytorch, bf16 autocast": ("pytorch", ["--precision", "bfloat16"]),
    PADDED: ("pytorch", ["--padded"]),
}
BEST_PEER = {"bertsent, fp32": "pytorch, fp32", "bertsent, bf16": "pytorch, bf16 autocast"}
# Longest text, measured steps per round, and rounds: a base size is eight times the work.
SPEED_WORK = {"minilm": (512, 4, 3), "base size": (256, 2, 2)}


def speed(options):
    base = options.model_name in models.RANDOM
    length, steps, rounds = SPEED_WORK["base size" if base else "minilm"]
    flags = ["--train-rows", 0, 800, "--test-rows", 0, 0,
             "--max-length", options.max_length or length, "--measure", options.steps or steps,
             "--threads", options.threads]
    sides = {name: SPEED_SIDES[name] for name in options.sides}
    missing = {}
    if "bfloat16" not in _core.precisions():
        # PyTorch would emulate it in float32, far more slowly.
        for name in [name for name in sides if "bf16" in name]:
            del sides[name]
            missing[name] = "this processor has no bfloat16"
    load = os.getloadavg()
    if load[0] > 0.5:
        print(f"other programs are running (load {load[0]:.1f}): do not publish this run",
              file=sys.stderr)
    runs = {name: [] for name in sides}
    for number in range(options.rounds or rounds):
        # The order alternates, in case heat or clock frequency drift within a round.
        for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            side, more = sides[name]
            runs[name].append(run(side, options, [*flags, *more]))
    table = {}
    for name in sides:
        records = runs[name]
        table[name] = common.spread([r["tokens_per_second"] for r in records])
        table[name]["peak_rss_mb"] = max(r["peak_rss_mb"] for r in records)
        table[name]["cpu_share"] = statistics.median(r["cpu_share"] for r in records)
        print(f"{name:38} {table[name]['median']:7.0f} tokens/s ({table[name]['lowest']:.0f}-"
              f"{table[name]['highest']:.0f}), CPUs {table[name]['cpu_share']:.2f}, "
              f"peak {table[name]['peak_rss_mb']:.0f} MB")
    ratios = {}
    for ours, peer in BEST_PEER.items():
        if ours not in sides:
            print(f"{ours}: not available: {missing[ours]}")
            continue
        ratios[ours] = {"best_peer_is": peer}
        for key, other in (("best_peer", peer), ("to_usual_script", PADDED)):
            if other not in sides:
                continue
            pairs = zip(runs[ours], runs[other], strict=True)
            ratios[ours][key] = common.spread(
                [a["tokens_per_second"] / b["tokens_per_second"] for a, b in pairs]
            )
        print(ours, json.dumps(ratios[ours]))
    return {"machine": common.machine() | {"load_average_before": load}, "table": table,
            "not_available": missing, "ratios": ratios, "kernels": kernels(options, flags, missing),
            "runs": [r for name in sides for r in runs[name]]}


def kernels(options, flags, missing):
    """Return the matrix kernels that PyTorch uses from oneDNN, with autocast if possible."""
    precision = "float32" if missing else "bfloat16"
    flags = [*flags, "--precision", precision, "--max-steps", 1]
    done = run("pytorch", options, flags, {"ONEDNN_VERBOSE": "1"}, parse=False)
    return common.onednn_kernels(done.splitlines())


def threads(options):
    flags = ["--max-steps", options.steps or 15]
    pairs = []
    for _ in range(options.rounds or 5):
        pairs.append([run("bertsent", options, [*flags, "--threads", n]) for n in (2, 1)])
    ratios = [two["tokens_per_second"] / one["tokens_per_second"] for two, one in pairs]
    print(f"two threads to one {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f}-{max(ratios):.2f})")
    return {"ratios": ratios, "median": statistics.median(ratios),
            "runs": [r for pair in pairs for r in pair]}


def recipe(options):
    flags = ["--precision", options.precision, "--threads", options.threads]
    records = [run("bertsent", options, [*flags, "--seed", seed]) for seed in (0, 1, 2)]
    if options.precision == "float32":
        records.append(run("pytorch", options, ["--seed", 0]))
    for r in records:
        print(f"{r['side']:9} seed {r['arguments']['seed']}: accuracy {r['test_accuracy']:.4f} on "
              f"{r['test_rows']} reviews, training {r['train_seconds']:.0f} s, "
              f"test {r['test_seconds']:.0f} s, peak {r['peak_rss_mb']:.0f} MB")
    ours = [r["test_accuracy"] for r in records[:3]]
    print(f"mean of bertsent {statistics.mean(ours):.4f}")
    tested = {p: statistics.mean(r["tests"][p]["test_accuracy"] for r in records[:3])
              for p in records[0]["tests"]}
    print("tested in", ", ".join(f"{p} {mean:.4f}" for p, mean in tested.items()))
    return {"mean_accuracy": statistics.mean(ours), "mean_tested_in": tested, "runs": records}


def epoch(options):
    record = run("bertsent", options, [
        "--train-rows", 0, 22500, "--test-rows", 22500, 25000, "--epochs", 1, "--max-length", 512,
        "--precision", "bfloat16", "--threads", options.threads])
    print(f"{len(record['loss'])} steps in {record['train_seconds']:.0f} s, "
          f"{record['tokens_per_second']:.0f} tokens/s; on {record['test_rows']} reviews "
          + ", ".join(f"{p} {t['test_accuracy']:.4f} ({t['test_seconds']:.0f} s)"
                      for p, t in record["tests"].items()))
    return {"machine": record["machine"], "runs": [record]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("curve", "speed", "threads", "recipe", "epoch"))
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", default="minilm",
                   help="directory of the pretrained model, or a name of models.py (%(default)s)")
    p.add_argument("--rounds", type=int, help="rounds of speed (3; base sizes 2) or threads (5)")
    p.add_argument("--steps", type=int, help="steps per round (4, base sizes 2; threads 15)")
    p.add_argument("--max-length", type=int, help="longest text in speed (512; base sizes 256)")
    p.add_argument("--precision", choices=("float32", "bfloat16"), default="float32",
                   help="precision of training in recipe (%(default)s)")
    p.add_argument("--threads", type=int, default=2,
                   help="of all but curve and threads (%(default)s)")
    p.add_argument("--sides", nargs="+", default=list(SPEED_SIDES), choices=list(SPEED_SIDES),
                   help="of speed (all)")
    p.add_argument("--output", type=Path, help="results/finetune_WHAT.json")
    environment.add_arguments(p)
    options = p.parse_args()
    options.peer_python = environment.peer_python(options)
    options.model_name = options.model
    options.model = str(models.directory(options.model, options.cache))
    whats = {"curve": curve, "speed": speed, "threads": threads, "recipe": recipe,
             "epoch": epoch}
    result = whats[options.what](options)
    other = "_" + Path(options.model_name).name.removeprefix("random-")
    of_model = {"minilm": "", "random-base": "_bert_base"}.get(options.model_name, other)
    if options.precision == "bfloat16":
        of_model += "_bf16"
    common.write_json(
        options.output or HERE / "results" / f"finetune_{options.what}{of_model}.json", result
    )


if __name__ == "__main__":
    main()
