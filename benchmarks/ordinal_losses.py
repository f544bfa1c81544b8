"""The losses of ordered classes with a linear model of words, which is trained in seconds.

    python benchmarks/ordinal_losses.py --data FILE

The task is that of ``ordinal.py``. Each loss has the same features (TF-IDF of words and word pairs)
and is minimised by L-BFGS in float64, with the L2 penalty that has the lowest mean absolute error
on a fifth of the training texts. Besides the losses that bertsent has, there is CORAL (Cao,
Mirjalili & Raschka 2020): one weight vector for all thresholds. ``contradictory`` is the share of
the texts for which a higher class is likelier to be exceeded than a lower one. The result is
written to ``benchmarks/results/ordinal_losses.json``, or to ``--output``.
"""

import argparse
from pathlib import Path

import common
import numpy as np
import pandas as pd
from ordinal import REVIEWS, judge, make_texts, median
from scipy.optimize import minimize
from scipy.special import expit, softmax
from sklearn.feature_extraction.text import TfidfVectorizer

COUNT = REVIEWS + 1
ABOVE = np.triu(np.ones((COUNT, COUNT)), 1)[:-1]  # which classes are above each but the highest
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)


def cross_entropy(z, y):
    """Return the mean loss, and its slope at z."""
    p, truth = softmax(z, axis=1), np.eye(COUNT)[y]
    return -np.log(p[truth > 0]).mean(), (p - truth) / len(y)


def cumulative(z, y):
    """Return the cumulative cross-entropy, the sum over thresholds."""
    p, is_above = softmax(z, axis=1), y[:, None] > np.arange(REVIEWS)
    above, up_to = p @ ABOVE.T, p @ (1 - ABOVE).T
    value = -np.log(np.where(is_above, above, up_to)).sum(axis=1).mean()
    slope = -((is_above / above) @ ABOVE + (~is_above / up_to) @ (1 - ABOVE)) / len(y)
    return value, p * (slope - (p * slope).sum(axis=1, keepdims=True))


def binary(z, y):
    """Return the binary cross-entropies of all thresholds, their sum."""
    is_above = y[:, None] > np.arange(REVIEWS)
    value = (np.logaddexp(0, z) - is_above * z).sum(axis=1).mean()
    return value, (expit(z) - is_above) / len(y)


def squared_error(z, y):
    """Return the squared error."""
    error = z[:, 0] - y
    return (error**2).mean(), 2 * error[:, None] / len(y)


def of_thresholds(z):
    """Return probabilities of the classes, and how many texts have contradictory ones."""
    above = np.hstack([np.ones((len(z), 1)), expit(z), np.zeros((len(z), 1))])
    parts = -np.diff(above, axis=1)
    return (expit(z) > 0.5).sum(axis=1), {"contradictory": float((parts < 0).any(axis=1).mean())}


def fit(loss, X, y, outputs, penalty, *, shared=False):
    """Return a function from features to outputs; with `shared`, only biases differ."""
    columns = 1 if shared else outputs
    n_weights = X.shape[1] * columns

    def value(at):
        W, b = at[:n_weights].reshape(-1, columns), at[n_weights:]
        found, slope = loss(X @ W + b, y)
        inner = slope.sum(axis=1, keepdims=True) if shared else slope
        scale = penalty / len(y)
        return found + 0.5 * scale * (W**2).sum(), np.concatenate(
            [(X.T @ inner + scale * W).ravel(), slope.sum(axis=0)]
        )

    start = np.zeros(n_weights + outputs)
    if loss is binary:
        start[n_weights:] = np.linspace(1, -1, outputs)
    at = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    return lambda features: features @ at[:n_weights].reshape(-1, columns) + at[n_weights:]


def decide(name, z):
    """Return ranks, probabilities or None, and further results."""
    if name == "regression":
        return np.clip(np.rint(z[:, 0]), 0, REVIEWS).astype(int), None, {}
    if name in ("binary", "coral"):
        ranks, more = of_thresholds(z)
        parts = -np.diff(np.hstack([np.ones((len(z), 1)), expit(z), np.zeros((len(z), 1))]), axis=1)
        return ranks, parts if name == "coral" else None, more
    p = softmax(z, axis=1)
    return p.argmax(axis=1) if name == "classes" else median(p), p, {}


WAYS = {
    "classes": (cross_entropy, COUNT, False), "classes, median": (cross_entropy, COUNT, False),
    "ordinal": (cumulative, COUNT, False), "coral": (binary, REVIEWS, True),
    "binary": (binary, REVIEWS, False), "regression": (squared_error, 1, False),
}


def run(train, test):
    """Return the metrics of each way, by its name."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    X, y, truth = vectorizer.fit_transform(train[0]), train[1], test[1]
    unseen, kept = vectorizer.transform(test[0]), np.arange(len(y)) % 5 > 0
    found = {}
    for name, (loss, outputs, shared) in WAYS.items():
        def error(penalty, name=name, loss=loss, outputs=outputs, shared=shared):
            model = fit(loss, X[kept], y[kept], outputs, penalty, shared=shared)
            return np.abs(decide(name, model(X[~kept]))[0] - y[~kept]).mean()

        penalty = min(PENALTIES, key=error)
        model = fit(loss, X, y, outputs, penalty, shared=shared)
        ranks, p, more = decide(name, model(unseen))
        found[name] = judge(truth, ranks, p) | more | {"penalty": penalty}
    return found


def main():
    """Make texts, train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    parser.add_argument("--texts", type=int, default=2500, help="training texts")
    parser.add_argument("--test-texts", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    default = Path(__file__).resolve().parent / "results" / "ordinal_losses.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    data = pd.read_csv(options.data, keep_default_na=False).iloc[:22_500]
    data = data[~data["review"].duplicated()]
    reviews, positive = data["review"].to_numpy(), (data["sentiment"] == "positive").to_numpy()
    row, runs = data.index.to_numpy(), []
    parts = [np.flatnonzero(row < 15_000), np.flatnonzero(row >= 15_000)]
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        train, test = (
            make_texts(reviews[part], positive[part].astype(int), count, rng)
            for part, count in zip(parts, (options.texts, options.test_texts), strict=True)
        )
        runs.append(run(train, test))
        print(seed, pd.DataFrame(runs[-1]).T.round(4), sep="\n", flush=True)
        common.write_json(options.output, {
            "machine": common.machine(), "train_texts": options.texts,
            "test_texts": options.test_texts, "seeds": len(runs), "runs": runs,
            "means": {
                name: {
                    metric: float(np.mean([each[name][metric] for each in runs]))
                    for metric in runs[0][name]
                }
                for name in runs[0]
            },
        })


if __name__ == "__main__":
    main()
