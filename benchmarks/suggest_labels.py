"""Does it help to choose which texts to label? Accuracy by the number of labels, for several ways.

    python benchmarks/suggest_labels.py frozen --data FILE
    python benchmarks/suggest_labels.py finetune --data FILE
    python benchmarks/suggest_labels.py plot

``frozen`` computes the pooled vectors of the reviews once, and fits a logistic regression to those
that are labelled, 100 more in each round. ``finetune`` trains MiniLM on 100 labels, and again after
200 more. Labels are those of the data; a way of choosing does not see them before it has chosen.
Results are written to ``benchmarks/results/suggest_labels_*.json``, and the plot beside them.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import common
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import bertsent
from bertsent import BertForSequenceClassification, Tokenizer
from bertsent.active_learning import choose, distinct_rows
from bertsent.model import normalize, pool_pieces, resolve_precision
from bertsent.objectives import margin_uncertainty
from bertsent.texts import Reader

RESULTS = Path(__file__).resolve().parent / "results"
FIRST, STEP, LAST = 100, 100, 1000
# Name: (how the first labels are chosen, candidates for each further one, or None for random).
WAYS = {
    "random": ("random", None),
    "uncertain": ("random", 1),
    "suggested": ("random", 10),
    "first_suggested": ("diverse", 10),
}
# Weaker regularization than scikit-learn's default, because vectors have length 1.
C = 10.0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("part", choices=("frozen", "finetune", "plot"))
    p.add_argument("--data", help="CSV with the columns review and sentiment")
    p.add_argument("--model", default="minilm")
    p.add_argument("--pool", type=int, default=10000, help="reviews to choose from")
    p.add_argument("--test", type=int, default=2000, help="reviews to score")
    p.add_argument("--max-length", type=int, default=128)
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2, 3, 4))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--vectors", type=Path, help="file that keeps the vectors for further runs")
    a = p.parse_args()
    if a.part == "plot":
        plot()
        return
    pool, test = sample(a)
    kept = {k: v for k, v in vars(a).items() if k not in ("data", "part", "vectors")}
    record = {"machine": common.machine(), "bertsent": bertsent.__version__, "arguments": kept,
              "pool": len(pool), "test": len(test), "runs": []}
    runs = frozen(a, pool, test) if a.part == "frozen" else finetune(a, pool, test)
    for run in runs:
        record["runs"].append(run)
        print(json.dumps(run), flush=True)
        common.write_json(RESULTS / f"suggest_labels_{a.part}.json", record)


def sample(a):
    """Return reviews to choose from (of rows 0-19,999) and to score (of rows 20,000-22,499)."""
    frame = pd.read_csv(a.data, keep_default_na=False, nrows=22500)
    frame["label"] = (frame["sentiment"] == "positive").astype(int)
    rng = np.random.default_rng(0)
    test = 20000 + rng.choice(2500, a.test, replace=False)
    pool = frame.iloc[rng.permutation(20000)[: a.pool]]
    test = frame.iloc[test]
    return pool.reset_index(), test[~test["review"].isin(set(pool["review"]))].reset_index()


def choose_rows(way, n, texts, vectors, labelled, probabilities, seed):
    """Return `n` more rows to label."""
    first, candidates = WAYS[way]
    known = np.zeros(len(texts), bool)
    known[labelled] = True
    left = np.flatnonzero(~known)
    rng = np.random.default_rng((seed, len(labelled)))
    if (candidates if len(labelled) else first == "diverse") in (None, False):
        return rng.choice(left, n, replace=False)
    left = left[distinct_rows([texts[row] for row in left])]
    uncertainty = margin_uncertainty(probabilities[left]) if len(labelled) else None
    found = choose([texts[row] for row in left], vectors[left], n, uncertainty,
                   candidates=candidates, seed=seed)
    return left[found.rows]


def frozen(a, pool, test):
    vectors = pooled(a, pd.concat([pool, test]))
    x, x_test = vectors[: len(pool)], vectors[len(pool) :]
    y, y_test = pool["label"].to_numpy(), test["label"].to_numpy()
    texts = pool["review"].tolist()

    def fit(rows):
        with threadpool_limits(1):
            return LogisticRegression(C=C, max_iter=1000).fit(x[rows], y[rows])

    yield {"way": "all", "labels": len(pool), "accuracy": fit(np.arange(len(pool))).score(
        x_test, y_test)}
    for way in WAYS:
        for seed in a.seeds:
            rows, probabilities = np.empty(0, int), None
            while len(rows) < LAST:
                begun = time.perf_counter()
                n = STEP if len(rows) else FIRST
                more = choose_rows(way, n, texts, x, rows, probabilities, seed)
                seconds = time.perf_counter() - begun
                rows = np.concatenate([rows, more])
                model = fit(rows)
                probabilities = model.predict_proba(x)
                yield {"way": way, "seed": seed, "labels": len(rows),
                       "accuracy": model.score(x_test, y_test),
                       "positive": float(y[more].mean()), "seconds": seconds}


def pooled(a, frame):
    """Return the pooled vector of each review, from the file if it is there."""
    rows = frame["index"].to_numpy()
    if a.vectors is not None and a.vectors.exists():
        kept = np.load(a.vectors)
        place = pd.Index(kept["rows"]).get_indexer(rows)
        if (place >= 0).all():
            return kept["vectors"][place]
    tokenizer = Tokenizer.from_pretrained(a.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bertsent.errors.FreshWeightsWarning)
        model = BertForSequenceClassification.from_pretrained(a.model).with_pooling("mean")
    reader = Reader(a.max_length, "tail")
    tokens = reader.encode(tokenizer, frame["review"].tolist(), a.threads)
    precision = resolve_precision("auto", "precision")
    vectors = normalize(pool_pieces(
        model, tokens.ids, tokens.offsets, a.threads, precision=precision)[1])
    if a.vectors is not None:
        np.savez(a.vectors, rows=rows, vectors=vectors)
    return vectors


def finetune(a, pool, test):
    """MiniLM as users train it: 100 labels at random, then 200 more, at random or suggested."""
    texts, labels = pool["review"].to_numpy(), pool["label"].to_numpy()
    for seed in a.seeds:
        rng = np.random.default_rng(seed)
        first = rng.choice(len(pool), FIRST, replace=False)
        start = classifier(a, seed).fit(texts[first], labels[first])
        yield {"way": "both", "seed": seed, "labels": FIRST,
               "accuracy": start.score(test["review"], test["label"])}
        left = np.setdiff1d(np.arange(len(pool)), first)
        begun = time.perf_counter()
        suggested = left[start.suggest_labels(texts[left], 2 * STEP)["row"]]
        seconds = time.perf_counter() - begun
        chosen = {"random": rng.choice(left, 2 * STEP, replace=False), "suggested": suggested}
        for way, more in chosen.items():
            rows = rng.permutation(np.concatenate([first, more]))
            model = classifier(a, seed).fit(texts[rows], labels[rows])
            yield {"way": way, "seed": seed, "labels": len(rows),
                   "accuracy": model.score(test["review"], test["label"]),
                   "positive": float(labels[more].mean()),
                   "seconds": seconds if way == "suggested" else 0.0}


def classifier(a, seed):
    return bertsent.BertClassifier(
        a.model, max_length=a.max_length, epochs=a.epochs, inference_long_text="tail",
        n_threads=a.threads, random_state=seed, verbose=0,
    )


def plot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    runs = pd.DataFrame(json.loads((RESULTS / "suggest_labels_frozen.json").read_text())["runs"])
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    named = {"random": ("#8c8c8c", "at random"),
             "uncertain": ("#4c72b0", "most uncertain"),
             "suggested": ("#2f7d4f", "suggested, first 100 at random"),
             "first_suggested": ("#c44e52", "suggested, also the first 100")}
    for way, (colour, name) in named.items():
        by = runs[runs["way"] == way].groupby("labels")["accuracy"]
        mean, low, high = (100 * by.agg(f) for f in ("mean", "min", "max"))
        axis.plot(mean.index, mean, marker="o", markersize=3, color=colour, label=name)
        axis.fill_between(mean.index, low, high, color=colour, alpha=0.12, linewidth=0)
    axis.set(xlabel="labels", ylabel="accuracy in %, mean and range of seeds")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False)
    figure.savefig(RESULTS / "suggest_labels.png", dpi=130)


if __name__ == "__main__":
    main()
