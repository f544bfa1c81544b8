"""Fit the log loss of the runs of `recipes.py` by what they read: the basis of time budgets.

    python benchmarks/recipes_curve.py

The log loss of MiniLM is modelled as ``floor + scale * tokens ** -power``, where tokens are those
that training reads, in millions: the first 256 of each text, plus a part of those beyond, times the
worth of the epochs. The runs have the same learning rate, batch size and pooling, and predict from
all of each review. Those on the final rows have an offset of their own, because these reviews are
harder. The result is printed beside the constants of `bertsent.classifier.plan`, and written to
``results/recipes_curve.json``.
"""

import json

import common
import numpy as np
from recipes import RESULTS
from scipy.optimize import least_squares

from bertsent.classifier import plan

# Where a model that was trained with one of these lengths read all of each review.
WINDOWS = {128: "windows-128", 256: "windows-256"}
NAMES = ("floor", "scale", "power", "second epoch", "third epoch", "beyond", "final rows")
START = (0.2, 0.05, 0.6, 1.0, 0.5, 0.05, 0.015)
BOUNDS = ((0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0), (0.22, 1.0, 1.5, 1.5, 1.5, 1.0, 0.05))
ALIKE = {"pooling": "mean", "batch_size": 16, "schedule": "linear", "layer_decay": 1.0,
         "label_smoothing": 0.0, "long_text": "tail"}
# What distinguishes a run from these in other ways.
OTHER = ("head_learning_rate", "dropout", "pretraining", "model")


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


def main():
    tokens_of, rows = load()
    final, texts, length, each, epochs, loss = (np.array(column) for column in
                                                list(zip(*rows, strict=True))[1:])
    full = np.minimum(each, tokens_of[plan.FULL_TOKENS])

    def predict(x):
        floor, scale, power, second, third, beyond, offset = x
        gain = 1 + second * (epochs > 1) + third * (epochs > 2)
        read = texts * (full + beyond * (each - full)) * gain / 1e6
        return floor + scale * read ** -power + offset * final

    found = least_squares(lambda x: predict(x) - loss, START, bounds=BOUNDS)
    for (name, *_, measured), fitted in zip(rows, predict(found.x), strict=True):
        print(f"{name:24} measured {measured:.3f} fitted {fitted:.3f}")
    values = dict(zip(NAMES, found.x.tolist(), strict=True))
    error = float(np.sqrt(np.mean(found.fun**2)))
    print({name: round(value, 3) for name, value in values.items()}, f"error {error:.4f}")
    print("of the package:", plan.EPOCHS_WORTH, plan.WORTH_BEYOND)
    common.write_json(RESULTS.parent / "recipes_curve.json", {
        "values": values, "error": error,
        "runs": [{"run": name, "measured": measured, "fitted": float(fitted)}
                 for (name, *_, measured), fitted in zip(rows, predict(found.x), strict=True)],
    })


if __name__ == "__main__":
    main()
