"""Plots of the results: rates, latency, memory and loss, one PNG per result file.

    python benchmarks/plot.py [RESULT.json ...]

Needs matplotlib. By default, plots all results of `scoring.py`, `finetune.py speed` and
`finetune.py epoch` in ``benchmarks/results/``. Each PNG is written beside its JSON file.
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from table import PADDED, PATTERNS, PEERS, RESULTS, SHORT, head

COLOURS = {"pytorch": "#c44e52", "onnxruntime": "#8c8c8c", "openvino": "#4c72b0",
           "ctranslate2": "#ccb974", "bertsent": "#2f7d4f"}
MEAN_OF = 50  # steps


def bars(axis, rows, unit):
    """Draw horizontal bars: (label, value, lowest, highest, colour), the first on top."""
    rows = rows[::-1]
    values = [row[1] for row in rows]
    errors = [[row[1] - row[2] for row in rows], [row[3] - row[1] for row in rows]]
    axis.barh(range(len(rows)), values, xerr=errors, color=[row[4] for row in rows],
              error_kw={"elinewidth": 1, "capsize": 2})
    axis.set_yticks(range(len(rows)), [row[0] for row in rows])
    for k, row in enumerate(rows):
        axis.text(row[3] + max(values) * 0.01, k, f"{row[1]:,.0f}", va="center", fontsize=8)
    axis.set_xlim(0, max(row[3] for row in rows) * 1.12)
    axis.set_xlabel(unit)
    axis.spines[["top", "right"]].set_visible(False)


def scoring(result, figure):
    sides = {name: s for name, s in result["sides"].items() if "rounds" in s}
    rate, latency, memory = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1.3, 1, 1)})

    def label(name, side):
        title = PEERS[side["peer"]].strip("*")
        return f"{title} {SHORT[side['precision']]}" + (", usual" if name == PADDED else "")

    order = sorted(sides, key=lambda n: (list(SHORT).index(sides[n]["precision"]),
                                         sides[n]["tokens_per_second"]["median"]))
    bars(rate, [(label(n, sides[n]), *(sides[n]["tokens_per_second"][k]
                                       for k in ("median", "lowest", "highest")),
                 COLOURS[sides[n]["peer"]]) for n in order], "tokens/s, median and range")
    styles = {"float32": "-", "bfloat16": "--", "int8": ":"}
    for name in order:
        found = sides[name]["latency_ms"].values()
        if found:
            latency.plot([v["tokens"] for v in found], [v["median"] for v in found],
                         styles[sides[name]["precision"]], marker="o", markersize=3,
                         color=COLOURS[sides[name]["peer"]], label=label(name, sides[name]))
    latency.set(xlabel="tokens of one review", ylabel="ms, median", yscale="log")
    latency.legend(fontsize=6)
    latency.spines[["top", "right"]].set_visible(False)
    peaks = [(label(n, sides[n]), *[sides[n]["peak_rss_mb"]] * 3, COLOURS[sides[n]["peer"]])
             for n in order]
    bars(memory, peaks, "peak memory, MB")
    return f"Scoring, {result['arguments']['model_name']}. {head(result)}"


def finetune(result, figure):
    rate, memory = figure.subplots(1, 2)
    rows = [(name, values, COLOURS[name.split(",")[0]]) for name, values in result["table"].items()]
    bars(rate, [(n, v["median"], v["lowest"], v["highest"], c) for n, v, c in rows],
         "tokens/s, median and range")
    bars(memory, [(n, *[v["peak_rss_mb"]] * 3, c) for n, v, c in rows], "peak memory, MB")
    given = result["runs"][0]["arguments"]
    return f"Fine-tuning, at most {given['max_length']} tokens. {head(result, result['runs'])}"


def epoch(result, figure):
    record = result["runs"][0]
    loss, minutes = np.array(record["loss"]), np.cumsum(record["step_seconds"]) / 60
    axis = figure.subplots()
    axis.plot(minutes, loss, ".", markersize=2, color="#8c8c8c", label="of a step")
    mean = np.convolve(loss, np.full(MEAN_OF, 1 / MEAN_OF), "valid")
    axis.plot(minutes[MEAN_OF - 1 :], mean, color=COLOURS["bertsent"],
              label=f"mean of the last {MEAN_OF}")
    axis.set(xlabel="minutes", ylabel="loss", ylim=(0, None))
    axis.legend(fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    given = record["arguments"]
    rows = given["train_rows"]
    return (f"One epoch over rows {rows[0]:,}-{rows[1] - 1:,}, at most {given['max_length']} "
            f"tokens, {given['precision']}. {head(result, result['runs'])}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("results", nargs="*", type=Path)
    paths = p.parse_args().results
    patterns = (*PATTERNS, "finetune_epoch.json")
    for path in paths or sorted(f for pattern in patterns for f in RESULTS.glob(pattern)):
        result = json.loads(path.read_text())
        wide = "sides" in result
        draw = scoring if wide else finetune if "table" in result else epoch
        figure = plt.figure(figsize=(16 if wide else 11, 5 if wide else 3), layout="constrained")
        figure.suptitle(draw(result, figure), fontsize=10)
        figure.savefig(path.with_suffix(".png"), dpi=110)
        plt.close(figure)
        print(path.with_suffix(".png"))


if __name__ == "__main__":
    main()
