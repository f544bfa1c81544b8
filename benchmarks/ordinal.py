"""Four ways to learn ordered classes: `ordinal=True` against what else bertsent has.

    python benchmarks/ordinal.py --data FILE

A text is made of the ends of four film reviews, 16 words of each, and its class is how many of the
four are positive: 0 to 4, each as often. Each review is used once. Training texts are made of
reviews among rows 0-14,999 and test texts of others among rows 15,000-22,499, without those whose
text also occurs before. MiniLM is trained with several seeds, on other texts for each, and with the
same settings for all ways, which were chosen for none of them, by

- ``classes``: softmax cross-entropy, the likeliest class;
- ``ordinal``: the cumulative cross-entropy, the median;
- ``regression``: the squared error of the number, rounded to the nearest class;
- ``binary``: an independent decision for each of "more than 0" to "more than 3", the number of
  those with a probability above 0.5 (Niu et al. 2016). ``contradictory`` is the share of the texts
  for which a higher number is likelier to be exceeded than a lower one.

``classes, median`` and ``ordinal, likeliest`` are the same models with the other decision. ``rps``
is the ranked probability score. ``differences`` compares each way with ``ordinal``: the mean
difference of the error in ranks over all tested texts of all seeds, and its standard error. The
result is written to ``benchmarks/results/ordinal.json``, or to ``--output``, after every seed.
"""

import argparse
import time
from pathlib import Path

import common
import numpy as np
import pandas as pd

import bertsent
from bertsent import BertClassifier, BertRegressor

REVIEWS, WORDS = 4, 16


def make_texts(reviews, positive, count, rng):
    """Return texts of several reviews, and how many of these are positive."""
    ends = [" ".join(review.replace("<br />", " ").split()[-WORDS:]) for review in reviews]
    pools = {kind: list(rng.permutation(np.flatnonzero(positive == kind))) for kind in (0, 1)}
    classes = rng.permutation(np.arange(count) % (REVIEWS + 1))
    texts = []
    for wanted in classes:
        chosen = [pools[int(number < wanted)].pop() for number in range(REVIEWS)]
        texts.append(" / ".join(ends[row] for row in rng.permutation(chosen)))
    return texts, classes


def judge(truth, ranks, probabilities=None):
    """Return the metrics of predicted ranks, and of the probabilities if there are any."""
    error = ranks - truth
    chance = truth.var() + ranks.var() + (truth.mean() - ranks.mean()) ** 2
    found = {
        "accuracy": float((error == 0).mean()), "mae": float(np.abs(error).mean()),
        "quadratic_kappa": float(1 - (error**2).mean() / chance),
    }
    if probabilities is not None:
        above = 1 - np.cumsum(probabilities, axis=1)[:, :-1]
        is_above = truth[:, None] > np.arange(REVIEWS)
        own = probabilities[np.arange(len(truth)), truth]
        found["rps"] = float(((above - is_above) ** 2).sum(axis=1).mean())
        found["log_loss"] = float(-np.log(own).mean())
    return found


def median(probabilities):
    """Return the lowest class that at least half of the probability does not exceed."""
    return (np.cumsum(probabilities, axis=1)[:, :-1] < 0.5).sum(axis=1)


def run(train, test, settings):
    """Return the metrics of each way by its name, seconds, and errors of single texts."""
    (texts, y), (unseen, truth) = train, test
    found, seconds, errors = {}, {}, {}

    def keep(name, ranks, probabilities=None):
        found[name] = judge(truth, ranks, probabilities)
        errors[name] = np.abs(ranks - truth)

    for name, changes in (("classes", {}), ("ordinal", {"ordinal": True})):
        started = time.perf_counter()
        clf = BertClassifier(**settings, **changes).fit(texts, y)
        seconds[name] = time.perf_counter() - started
        p = clf.predict_proba(unseen)
        likeliest, middle = p.argmax(axis=1), median(p)
        other = "median" if name == "classes" else "likeliest"
        keep(name, clf.predict(unseen), p)
        keep(f"{name}, {other}", middle if name == "classes" else likeliest, p)
    started = time.perf_counter()
    reg = BertRegressor(**settings).fit(texts, y)
    seconds["regression"] = time.perf_counter() - started
    keep("regression", np.clip(np.rint(reg.predict(unseen)), 0, REVIEWS).astype(int))
    started = time.perf_counter()
    clf = BertClassifier(**settings).fit(texts, (y[:, None] > np.arange(REVIEWS)).astype(int))
    seconds["binary"] = time.perf_counter() - started
    p = clf.predict_proba(unseen)
    keep("binary", (p > 0.5).sum(axis=1))
    found["binary"]["contradictory"] = float((np.diff(p, axis=1) > 0).any(axis=1).mean())
    return found, seconds, errors


def difference(errors, name):
    """Return how much larger the errors of a way are than those of "ordinal"."""
    each = np.concatenate([run[name] - run["ordinal"] for run in errors])
    return {"mae": float(each.mean()), "standard_error": float(each.std() / np.sqrt(len(each)))}


def main():
    """Make texts, train and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--texts", type=int, default=1500, help="training texts")
    parser.add_argument("--test-texts", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    default = Path(__file__).resolve().parent / "results" / "ordinal.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    data = pd.read_csv(options.data, keep_default_na=False).iloc[:22_500]
    data = data[~data["review"].duplicated()]
    reviews, positive = data["review"].to_numpy(), (data["sentiment"] == "positive").to_numpy()
    row = data.index.to_numpy()
    parts = [np.flatnonzero(row < 15_000), np.flatnonzero(row >= 15_000)]
    runs, times, errors = [], [], []
    for seed in range(options.seeds):
        rng = np.random.default_rng(seed)
        train, test = (
            make_texts(reviews[part], positive[part].astype(int), count, rng)
            for part, count in zip(parts, (options.texts, options.test_texts), strict=True)
        )
        settings = {
            "model": options.model, "max_length": 128, "epochs": options.epochs, "pooling": "mean",
            "random_state": seed, "n_threads": options.threads, "verbose": 0,
        }
        found, seconds, each = run(train, test, settings)
        errors.append(each)
        runs.append(found)
        times.append(seconds)
        print(seed, pd.DataFrame(found).T.round(4), seconds, sep="\n", flush=True)
        common.write_json(options.output, {
            "machine": common.machine(), "bertsent": bertsent.__version__,
            "arguments": {k: v for k, v in vars(options).items() if k not in ("data", "output")},
            "train_texts": options.texts,
            "test_texts": options.test_texts, "seeds": len(runs), "seconds": times, "runs": runs,
            "differences": {name: difference(errors, name) for name in found},
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
