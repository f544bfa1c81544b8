"""Make the tables and plots of ``docs/recipes_search.md`` from the files of `recipes.py`.

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

WORDS, SMALL, LARGE = "#767676", "#4c72b0", "#b5500c"
# What the picture shows: results on the final rows, each with its label, colour and where that is.
SHOWN = {
    "words-final": ("TF-IDF and logistic regression", WORDS, "right"),
    "final-quick-128": ("MiniLM, 128 tokens (AVX2)", SMALL, "right"),
    "final-thrice-128": ("MiniLM, three epochs (AVX2)", SMALL, "left"),
    "final-twice-256": ("MiniLM, two epochs (AVX2)", SMALL, "left"),
    "final-two-models": ("two MiniLM (AMX)", SMALL, "left"),
    "quick-minilm": ("quick with MiniLM (Zen 4)", SMALL, "right"),
    "quick": ("quick with all-mpnet-base-v2 (Zen 4)", LARGE, "left"),
    "quick-30min": ("in 30 minutes", LARGE, "right"),
    "best": ("best", LARGE, "right"),
}


def load():
    """Return all records, in the order of the tables."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    order = ["screen", "screen-2400", "screen-8000", "screen-12000", "large-500", "large-1000",
             "large-2000", "large-4000", "choose", "final"]
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
    """Plot the accuracy on the final rows over the minutes of training on two cores."""
    figure, axis = plt.subplots(figsize=(8, 4.6), layout="constrained")
    for record in records:
        if record["run"] not in SHOWN:
            continue
        label, colour, side = SHOWN[record["run"]]
        accuracy = record["accuracy"]
        error = math.sqrt(accuracy * (1 - accuracy) / record["test_rows"])
        minutes = training_minutes(record)
        axis.errorbar(minutes, 100 * accuracy, 100 * error, marker="o", color=colour, capsize=3)
        axis.annotate(label, (minutes, 100 * accuracy), xytext=(7 if side == "right" else -7, 4),
                      textcoords="offset points", ha="left" if side == "right" else "right",
                      fontsize=9, color=colour)
    axis.set(xscale="log", xlim=(0.2, 250), xlabel="minutes of training on two cores",
             ylabel="accuracy, %")
    axis.set_xticks([0.5, 1, 2, 5, 10, 30, 60], ["½", "1", "2", "5", "10", "30", "60"])
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def training_minutes(record):
    """Return the minutes on two cores: half of the CPU time if the machine was shared."""
    seconds = record["seconds"]
    if "cpu_seconds" in record and not (record.get("plan") or {}).get("budget"):
        seconds = min(seconds, record["cpu_seconds"] / record["threads"])
    return seconds / 60


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
