"""Fit the log loss of the runs of `recipes.py` by what they read: the basis of time budgets.

    python benchmarks/recipes_curve.py

The log loss of a model is modelled as ``floor + scale * tokens ** -power``, where tokens are those
that training reads, in millions: the first 256 of each text, plus a part of those beyond, times the
worth of the epochs. The runs have the same learning rates, batch size and pooling, and predict from
all of each review. Those of MiniLM on the final rows have an offset of their own, because these
reviews are harder. There are only four runs of MPNet, with one epoch, on harder reviews than those
of MiniLM. Their curve has the power of MiniLM's: a curve with a power of its own fits them better,
but says nothing sensible about fewer texts. The results are printed beside the constants of
`bertsent.classifier`, and written to ``results/recipes_curve.json``.
"""

import json

import common
import numpy as np
from recipes import RESULTS
from scipy.optimize import least_squares

from bertsent.classifier import candidates, plan

# Where a model that was trained with one of these lengths read all of each review.
WINDOWS = {128: "windows-128", 256: "windows-256"}
NAMES = ("floor", "scale", "power", "second epoch", "third epoch", "beyond", "final rows")
START = (0.2, 0.05, 0.6, 1.0, 0.5, 0.05, 0.015)
BOUNDS = ((0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0), (0.22, 1.0, 1.5, 1.5, 1.5, 1.0, 0.05))
ALIKE = {"pooling": "mean", "batch_size": 16, "schedule": "linear", "layer_decay": 1.0,
         "label_smoothing": 0.0, "long_text": "tail"}
# What distinguishes a run of MiniLM from these in other ways.
OTHER = ("head_learning_rate", "dropout", "pretraining", "model")
# The runs of MPNet that have one epoch and the same parameters.
LARGE = ("large-500", "large", "large-2000-128", "large-4000")


def is_alike(parameters):
    """Return whether a run differs from the others only in what the curve knows."""
    return (all(parameters.get(key, value) == value for key, value in ALIKE.items())
            and parameters.get("learning_rate", 1e-4) == 1e-4
            and not any(key in parameters for key in OTHER)
            and (parameters.get("epochs") or 1) <= 3
            and isinstance(parameters.get("members", 1), int))


def load():
    """Return a row for each run: name, texts, tokens read of each up to 256, all, epochs, loss."""
    tokens_of, rows = {}, []
    for path in sorted(RESULTS.glob("*.json")):
        record = json.loads(path.read_text())
        given = record.get("parameters")
        if given is None or not is_alike(given):
            continue
        chosen = given | {k: v for k, v in (record.get("plan") or {}).items()
                          if k in ("epochs", "max_length", "texts")}
        length, epochs = chosen["max_length"], chosen["epochs"]
        texts = chosen.get("texts", record["train_rows"])
        members = given.get("members", 1)
        each = record["tokens"] / (texts * epochs * members)
        tokens_of[length] = each
        if members > 1:
            loss = record["first_members"][0]["log_loss"]
        elif reading := record.get("readings", {}).get(WINDOWS.get(length)):
            loss = reading["log_loss"]
        elif given.get("inference_long_text", "windows") == "windows":
            loss = record["log_loss"]
        else:
            continue
        rows.append((record["run"], record["part"] == "final", texts, length, each, epochs, loss))
    return tokens_of, rows


def fit_small():
    """Fit the curve of MiniLM; return the values, the error, and measured and fitted losses."""
    tokens_of, rows = load()
    names, final, texts, length, each, epochs, loss = (
        np.array(column) for column in list(zip(*rows, strict=True))
    )
    full = np.minimum(each, tokens_of[plan.FULL_TOKENS])

    def predict(x):
        floor, scale, power, second, third, beyond, offset = x
        gain = 1 + second * (epochs > 1) + third * (epochs > 2)
        read = texts * (full + beyond * (each - full)) * gain / 1e6
        return floor + scale * read ** -power + offset * final

    found = least_squares(lambda x: predict(x) - loss, START, bounds=BOUNDS)
    return describe(NAMES, found, names, loss, predict(found.x))


def fit_large(power):
    """Fit the curve of MPNet, given the power; return what `fit_small` does."""
    records = [json.loads((RESULTS / f"{name}_0.json").read_text()) for name in LARGE]
    tokens = np.array([record["tokens"] for record in records]) / 1e6
    loss = np.array([record["log_loss"] for record in records])

    def predict(x):
        floor, scale = x
        return floor + scale * tokens ** -power

    found = least_squares(lambda x: predict(x) - loss, (0.1, 0.05))
    curve = describe(NAMES[:2], found, LARGE, loss, predict(found.x))
    curve["values"]["power"] = power
    return curve


def describe(names, found, runs, measured, fitted):
    """Return a fit as it is written to the file."""
    return {
        "values": dict(zip(names, found.x.tolist(), strict=True)),
        "error": float(np.sqrt(np.mean(found.fun**2))),
        "runs": [{"run": str(run), "measured": float(a), "fitted": float(b)}
                 for run, a, b in zip(runs, measured, fitted, strict=True)],
    }


def main():
    small = fit_small()
    curves = {"minilm": small, "mpnet": fit_large(small["values"]["power"])}
    for name, curve in curves.items():
        for row in curve["runs"]:
            print(f"{row['run']:24} measured {row['measured']:.3f} fitted {row['fitted']:.3f}")
        values = {key: round(value, 3) for key, value in curve["values"].items()}
        print(name, values, f"error {curve['error']:.4f}")
        print("of the package:", candidates.CURVES[name])
    print("of the package:", plan.EPOCHS_WORTH, plan.WORTH_BEYOND)
    common.write_json(RESULTS.parent / "recipes_curve.json", curves)


if __name__ == "__main__":
    main()
