"""Make the tables and plots of ``docs/recipes.md`` from the files of `recipes.py`.

    python benchmarks/recipes_report.py

Needs matplotlib. The tables are printed in Markdown.
"""

import json
import math

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from recipes import RESULTS
from table import line

WORDS, OURS, CHOSEN = "#8c8c8c", "#4c72b0", "#2f7d4f"
# Runs that are not plotted, because they would overlap with the name of another run.
CROWDED = {"half-batch-8", "half-batch-32", "half-cosine", "half-head-rate", "half-layer-decay",
           "half-smoothing", "half-pretrained", "rate-2e-4", "rate-4e-4", "no-dropout",
           "windows-128", "thrice-128", "twice-256-all", "twice-512", "final-twice-512"}


def load():
    """Return all records, in the order of the tables."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    order = ["screen", "screen-2400", "screen-8000", "screen-12000", "choose", "final"]
    return sorted(records, key=lambda r: (order.index(r["part"]), r["accuracy"], r["seed"]))


def percent(accuracy, rows):
    """Format an accuracy with its standard error, in percent."""
    error = math.sqrt(accuracy * (1 - accuracy) / rows)
    return f"{100 * accuracy:.1f} ± {100 * error:.1f}"


def processor_minutes(record):
    """Return the minutes of one core; TF-IDF uses one thread."""
    return record.get("cpu_seconds", record["seconds"]) / 60


def trained_on(record):
    """Return the number of reviews trained on: those of a time budget, or all of the part."""
    return (record.get("plan") or {}).get("texts", record["train_rows"])


def describe(record):
    given = record.get("parameters")
    if given is None:
        return "TF-IDF and logistic regression"
    names = {"learning_rate": "rate", "max_length": "length"}
    return ", ".join(f"{names.get(key, key)} {value}" for key, value in given.items()
                     if value is not None)


def table(records):
    print(line("run", "texts", "what", "accuracy, %", "log loss", "minutes of one core"))
    print(line("---", "---:", "---", "---:", "---:", "---:"))
    for record in records:
        print(line(record["run"], f"{trained_on(record):,}", describe(record),
                   percent(record["accuracy"], record["test_rows"]), f"{record['log_loss']:.3f}",
                   f"{processor_minutes(record):.1f}"))


def readings(records):
    """Print the results of the same classifiers with other readings."""
    print(line("run", "read in training", "read", "accuracy, %", "log loss"))
    print(line("---", "---", "---", "---:", "---:"))
    for record in records:
        given = record.get("parameters", {})
        own = f"{given.get('long_text')} {given.get('max_length')}"
        rows = {"the same": record} | record.get("readings", {})
        for name, found in rows.items() if len(rows) > 1 else ():
            print(line(record["run"], own, name, percent(found["accuracy"], record["test_rows"]),
                       f"{found['log_loss']:.3f}"))


def draw_accuracy(records, path):
    """Plot the accuracy of each run over its minutes of one core."""
    figure, axis = plt.subplots(figsize=(9, 5), layout="constrained")
    for record in records:
        if record["run"] in CROWDED or record["seed"] != 0:
            continue
        words, final = "parameters" not in record, record["part"] == "final"
        best = max([record["accuracy"]]
                   + [found["accuracy"] for found in record.get("readings", {}).values()])
        at = processor_minutes(record)
        colour = WORDS if words else CHOSEN if final else OURS
        shape = "s" if words else "^" if record.get("precision") == "bfloat16" else "o"
        axis.plot([at, at], [100 * record["accuracy"], 100 * best], color=colour, linewidth=1)
        axis.plot(at, 100 * record["accuracy"], shape, color=colour,
                  fillstyle="full" if final or words else "none")
        axis.annotate(f"{record['run']} ({trained_on(record):,})", (at, 100 * best), fontsize=7,
                      xytext=(4, -9 if words and final else 3), textcoords="offset points")
    axis.set(xscale="log", xlabel="minutes of one core, training",
             ylabel="accuracy, %; the line leads to the best other reading",
             title="triangles: bfloat16 on a newer processor")
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_curves(records, path):
    """Plot the training losses of the long runs."""
    figure, axis = plt.subplots(figsize=(9, 4), layout="constrained")
    for record in records:
        if record["part"] in ("choose", "final") and "curve" in record:
            last = record["curve"][-1][0]
            axis.plot([step / last for step, _ in record["curve"]],
                      [loss for _, loss in record["curve"]], linewidth=1,
                      label=f"{record['run']}, {last:,} steps")
    axis.set(xlabel="part of the run", ylabel="training loss, mean of 25 steps")
    axis.legend(fontsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    records = load()
    for part in dict.fromkeys(record["part"] for record in records):
        print(f"\n{part}\n")
        table([record for record in records if record["part"] == part])
    print("\nreadings\n")
    readings(records)
    draw_accuracy(records, RESULTS / "accuracy.png")
    draw_curves(records, RESULTS / "curves.png")


if __name__ == "__main__":
    main()
