"""How often the intervals of a learning curve contain the truth, on the vectors of reviews.

    python benchmarks/learning_curve.py --data FILE

From a few hundred reviews, a curve is measured as `bertsent.learning_curve(frozen=True)` does, and
extrapolated to twice and four times as many. The truth is the mean accuracy on all held-out
reviews of classifiers that were trained on that many. Writes ``results/learning_curve.json``.
"""

import argparse
import json
from pathlib import Path

import common
import numpy as np
import pandas as pd
import suggest_labels
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import bertsent
from bertsent.curves import LearningCurve
from bertsent.curves.measure import nested_order

TESTED, REPEATS, TIMES = 1000, 200, (2, 4)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", default="minilm")
    p.add_argument("--pool", type=int, default=10000)
    p.add_argument("--test", type=int, default=2000)
    p.add_argument("--max-length", type=int, default=128)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--sizes", type=int, nargs="+", default=(400, 800, 1600))
    p.add_argument("--curves", type=int, default=10, help="curves from each number of reviews")
    p.add_argument("--vectors", type=Path, help="file that keeps the vectors for further runs")
    a = p.parse_args()
    pool, test = suggest_labels.sample(a)
    vectors = suggest_labels.pooled(a, pd.concat([pool, test])).astype(np.float64)
    known, unknown = (vectors[: len(pool)], pool["label"].to_numpy()), (
        vectors[len(pool):], test["label"].to_numpy())
    with threadpool_limits(1):
        found = [
            {"texts": size, **row} for size in a.sizes for row in intervals(a, size, known, unknown)
        ]
    kept = {k: v for k, v in vars(a).items() if k not in ("data", "vectors")}
    result = {"machine": common.machine(), "bertsent": bertsent.__version__, "arguments": kept}
    for name in ("gain", "score"):
        inside = [row["low"] <= row["truth"] <= row["high"] for row in found if row["what"] == name]
        result[f"{name}s_inside"] = f"{sum(inside)} of {len(inside)}"
        print(name, result[f"{name}s_inside"])
    common.write_json(Path(__file__).resolve().parent / "results" / "learning_curve.json",
                      result | {"intervals": found})


def fit(rows, known):
    x, y = known
    return LogisticRegression(C=suggest_labels.C, max_iter=1000).fit(x[rows], y[rows])


def intervals(a, size, known, unknown):
    """Yield the intervals of each curve, and what is true."""
    draws = [np.random.default_rng(seed).permutation(len(known[0])) for seed in range(10)]
    truth = {times: np.mean([fit(draw[: times * size], known).score(*unknown) for draw in draws])
             for times in (1, *TIMES)}
    rng = np.random.default_rng(size)
    for number in range(a.curves):
        curve = measure(rng, rng.permutation(len(known[0]))[:size], known, unknown)
        for times in TIMES:
            score = curve.predict([times * size]).iloc[0]
            _, low, high = curve.gain((times - 1) * size)
            yield {"curve": number, "times": times, "what": "score", "low": score["low"],
                   "high": score["high"], "truth": truth[times]}
            yield {"curve": number, "times": times, "what": "gain", "low": low, "high": high,
                   "truth": truth[times] - truth[1]}
        print(json.dumps({"texts": size, "curve": number}), flush=True)


def measure(rng, rows, known, unknown):
    tested = rng.choice(len(unknown[0]), TESTED, replace=False)
    x, y = unknown[0][tested], unknown[1][tested]
    runs, right = [], []
    for seed in range(3):
        order = rows[nested_order(known[1][rows], seed)]
        size = 50 if len(rows) < 800 else 100
        while size <= len(rows):
            right.append(fit(order[:size], known).predict(x) == y)
            runs.append((size, seed, right[-1].mean(), 0.0))
            size *= 2
    drawn = rng.integers(0, TESTED, (REPEATS, TESTED))
    resampled = np.array([[each[draw].mean() for each in right] for draw in drawn])
    table = pd.DataFrame(runs, columns=["train_size", "seed", "score", "seconds"])
    return LearningCurve(table, "accuracy", TESTED, True, len(rows), resampled)


if __name__ == "__main__":
    main()
