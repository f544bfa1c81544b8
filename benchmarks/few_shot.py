"""Learn from a few labels with bertsent and with SetFit, from the same texts, seeds and base model.

    python benchmarks/few_shot.py bertsent --data FILE --model minilm
    python benchmarks/few_shot.py setfit --data FILE --model DIR --python VENV/bin/python
    python benchmarks/few_shot.py table

The environment of SetFit needs torch==2.13.0 and then setfit==1.2.0. Each run draws labels from
rows 0-19,999 of the reviews and scores others. Both sides have their own defaults: bertsent reads
the end of a review in training and all of it in prediction, SetFit its beginning. The machine may
be shared, so times are seconds of the processor, on one thread: training alone, without loading the
model. Results are added to ``benchmarks/results/few_shot/``; seeds that are there are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import common

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "few_shot"


def main():
    p = common.few_shot_arguments(__doc__)
    p.formatter_class = argparse.RawTextHelpFormatter
    p.add_argument("side", choices=("bertsent", "setfit", "table"))
    p.add_argument("--python", help="interpreter of the environment with SetFit")
    p.add_argument("--name", help="name of the model in the results (default: that of the model)")
    p.add_argument("--options", type=json.loads, default={}, help="of bertsent, as JSON")
    if "table" in sys.argv[1:]:
        table()
        return
    a = p.parse_args()
    name = a.name or Path(a.model).name
    target = RESULTS / f"{a.side}_{name}_{a.per_class}.json"
    record = {"machine": common.machine(), "arguments": {
        "test_rows": a.test_rows, "train_rows": a.train_rows, "max_length": a.max_length,
        "threads": a.threads, "options": a.options,
    }, "runs": []}
    if target.exists():
        record = extend(target, record["arguments"])
    a.seeds = sorted(set(a.seeds) - {run["seed"] for run in record["runs"]})
    for run in with_bertsent(a) if a.side == "bertsent" else with_setfit(a):
        print(json.dumps(run), flush=True)
        record["runs"].append(run)
        target.parent.mkdir(exist_ok=True)
        common.write_json(target, record)


def extend(target, arguments):
    """Return the record of a result file, to which runs with these arguments can be added."""
    record = json.loads(target.read_text())
    arguments = json.loads(json.dumps(arguments))
    if record["arguments"] != arguments:
        sys.exit(
            f"{target} has runs with {json.dumps(record['arguments'])}, and not "
            f"{json.dumps(arguments)}; use another --name, or remove the file"
        )
    return record


def with_bertsent(a):
    import bertsent
    from bertsent import _core

    began = []

    def note(event):
        if event["event"] == "start":
            began[:] = time.perf_counter(), time.process_time()

    for seed in a.seeds:
        few, test = common.draw_few(a.data, a.per_class, seed, a.train_rows, a.test_rows)
        options = {} if a.max_length is None else {"max_length": a.max_length}
        clf = bertsent.BertClassifier(
            a.model, few_shot=True, random_state=seed, n_threads=a.threads, verbose=0,
            callbacks=note, **(options | a.options),
        )
        clf.fit(few["review"], few["label"])
        seconds, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
        before = time.process_time()
        predicted = clf.predict(test["review"])
        yield {
            "side": "bertsent", "seed": seed, "per_class": a.per_class,
            "versions": {"bertsent": bertsent.__version__, "isa": _core.isa()},
            "precision": clf.precision_, "epochs": len(clf.history_), "max_length": clf.max_length_,
            "seconds": seconds, "cpu_seconds": cpu,
            **common.test_record(predicted, test, time.process_time() - before),
            "peak_rss_mb": common.peak_rss_mb(),
        }


def with_setfit(a):
    if not a.seeds:
        return
    command = [
        a.python, HERE / "peers" / "few_shot_setfit.py", "--data", a.data, "--model", a.model,
        "--per-class", a.per_class, "--threads", a.threads, "--seeds", *a.seeds,
        "--train-rows", *a.train_rows, "--test-rows", *a.test_rows,
        *(["--max-length", a.max_length] if a.max_length is not None else []),
    ]
    # Threads that wait must not count as work.
    environment = {**common.quiet_environment(foreign=True), "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, text=True, env=environment,
        stderr=subprocess.DEVNULL,
    ) as process:
        for line in process.stdout:
            if line.startswith('{"side"'):
                yield json.loads(line)
    if process.returncode:
        sys.exit(f"SetFit ended with {process.returncode}; run {os.fspath(command[1])} to see why")


def split_name(path):
    """Return labels a class, model and side of a result file; a model may have underscores."""
    side, rest = path.stem.split("_", 1)
    name, count = rest.rsplit("_", 1)
    return int(count), name, side


def table():
    """Print what was measured as a table in Markdown."""
    print("| model | labels a class | | seeds | accuracy | deviation | CPU seconds | peak memory |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for path in sorted(RESULTS.glob("*.json"), key=split_name):
        count, name, side = split_name(path)
        runs = json.loads(path.read_text())["runs"]
        scores = [100 * run["test_accuracy"] for run in runs]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        cpu = statistics.mean(run["cpu_seconds"] for run in runs)
        peak = max(run["peak_rss_mb"] for run in runs)
        print(f"| {name} | {count} | {side} | {len(runs)} | {statistics.mean(scores):.1f} | "
              f"{spread:.1f} | {cpu:.0f} | {peak / 1000:.1f} GB |")


if __name__ == "__main__":
    main()
