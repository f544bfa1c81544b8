"""Fine-tuning against PyTorch: speed, memory, loss curve and accuracy.

    python benchmarks/finetune.py curve  --data FILE --peer-python VENV/bin/python
    python benchmarks/finetune.py speed  --data FILE --peer-python VENV/bin/python
    python benchmarks/finetune.py recipe --data FILE --peer-python VENV/bin/python

``curve``   50 steps without dropout on both sides, and PyTorch on one thread and on two: our
            difference to PyTorch beside PyTorch's to itself.
``speed``   some steps at a time, the sides in turn: bertsent on two threads and on one,
            PyTorch in fp32 and with autocast to bf16.
``recipe``  4,000 reviews, two epochs, tested on up to 5,000 others: bertsent with seeds 0, 1
            and 2, PyTorch with seed 0.

Both sides follow the same rows, batches (grouped by length, which is PyTorch's best) and
initial classifier. ``--peer-python`` is an interpreter with torch and transformers. Every run is
a process of its own; its JSON goes into ``benchmarks/results/``.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent


def run(side, options, flags=()):
    """One run in a process of its own; what it prints last."""
    script = HERE / "peers" / f"{side}_finetune.py"
    python = options.peer_python if side == "pytorch" else sys.executable
    # Either would make a BLAS or OpenMP choose other than by the machine.
    hidden = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_NUM_THREADS", "BERTSENT_NUM_THREADS")
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    command = [python, str(script), "--data", options.data, "--model", options.model]
    done = subprocess.run([*command, *map(str, flags)], check=True, stdout=subprocess.PIPE,
                          text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


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


def speed(options):
    flags = ["--max-steps", options.steps]
    sides = {
        "bertsent": ("bertsent", []),
        "pytorch": ("pytorch", []),
        "pytorch, bf16 autocast": ("pytorch", ["--bf16"]),
        "bertsent, one thread": ("bertsent", ["--threads", 1]),
    }
    runs = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, (side, more) in sides.items():
            runs[name].append(run(side, options, [*flags, *more]))
    table = {}
    for name, records in runs.items():
        rates = [r["tokens_per_second"] for r in records]
        peak = max(r["peak_rss_mb"] for r in records)
        table[name] = {"median": statistics.median(rates), "lowest": min(rates),
                       "highest": max(rates), "peak_rss_mb": peak}
        print(f"{name:22} {table[name]['median']:7.0f} tokens/s "
              f"({min(rates):.0f}-{max(rates):.0f}), peak {peak:.0f} MB")
    median = {name: row["median"] for name, row in table.items()}
    ratio = median["bertsent"] / median["pytorch"]
    threads = median["bertsent"] / median["bertsent, one thread"]
    print(f"bertsent to PyTorch {ratio:.2f}, two threads to one {threads:.2f}")
    return {"table": table, "ratio": ratio, "two_threads": threads,
            "runs": [r for records in runs.values() for r in records]}


def recipe(options):
    records = [run("bertsent", options, ["--seed", seed]) for seed in (0, 1, 2)]
    records.append(run("pytorch", options, ["--seed", 0]))
    for r in records:
        print(f"{r['side']:9} seed {r['arguments']['seed']}: accuracy {r['test_accuracy']:.4f} on "
              f"{r['test_rows']} reviews, training {r['train_seconds']:.0f} s, "
              f"test {r['test_seconds']:.0f} s, peak {r['peak_rss_mb']:.0f} MB")
    ours = [r["test_accuracy"] for r in records[:3]]
    print(f"mean of bertsent {statistics.mean(ours):.4f}")
    return {"mean_accuracy": statistics.mean(ours), "runs": records}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("what", choices=("curve", "speed", "recipe"))
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--peer-python", required=True, help="interpreter with torch and transformers")
    p.add_argument("--model", default="minilm", help="directory of the pretrained model, or minilm")
    p.add_argument("--rounds", type=int, default=3, help="of speed")
    p.add_argument("--steps", type=int, default=15, help="of a round of speed")
    options = p.parse_args()
    if options.model == "minilm":
        from bertsent.hub import resolve

        options.model = str(resolve("minilm"))
    result = {"curve": curve, "speed": speed, "recipe": recipe}[options.what](options)
    common.write_json(HERE / "results" / f"finetune_{options.what}.json", result)


if __name__ == "__main__":
    main()
