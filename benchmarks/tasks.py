"""Three tasks with known answers, made of film reviews: bertsent against TF-IDF.

    python benchmarks/tasks.py --data FILE [--task labels|length|pairs]

``labels``
    Three labels for each review: it is positive, it has more than 150 words, and it contains HTML
    (``<br``, which stays in the text). `BertClassifier`, which reads the last 512 tokens, against
    one logistic regression per label, which reads everything.
``length``
    The logarithm of the number of words. `BertRegressor`, which reads the first 512 tokens, against
    ridge regression, which reads everything.
``pairs``
    Do two reviews have the same sentiment? Half of the pairs do. BERT reads the last 62 tokens or
    so of each review, the linear model everything: for it, a pair is the TF-IDF of both texts, the
    absolute difference and the product. It can tell a pair by words that both texts share or do not
    share, but not that "superb" and "dreadful" make a difference. Therefore, both sides also know
    the sentiment of the training reviews: BERT begins with a model that was trained on it, and a
    second linear model has three numbers, the log-odds of the sentiment of both texts and their
    product, and learns from pairs of rows 20,000-22,499. ``--direct`` also trains BERT on pairs
    alone.

Everything is trained on reviews of rows 0-19,999. Rows 20,000-22,499 choose the number of epochs of
BERT (``--choose-rows`` of them) and all options of the linear model. Rows 22,500-24,999 are
predicted once. Of a review that occurs twice, only the first is used. Both sides train on the same
rows. Intervals have a level of 95 %, from 2,000 resamples of the tested texts; those of the
difference resample the same texts for both. The result is written to
``benchmarks/results/tasks.json``, or to ``--output``; other tasks in that file are kept.
"""

import argparse
import json
import platform
import tempfile
import time
import warnings
from itertools import product
from pathlib import Path

import common
import numpy as np
import pandas as pd
import scipy.sparse as sp
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score
from sklearn.multiclass import OneVsRestClassifier

import bertsent
from bertsent import BertClassifier, BertRegressor

LONG = 150  # words
STRENGTHS = (0.1, 1.0, 10.0)  # C of a logistic regression
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # alpha of Ridge
# How texts become numbers. Without a norm, a long text has large numbers.
VECTORS = tuple(
    {"ngram_range": (1, n), "sublinear_tf": norm is not None, "norm": norm}
    for n, norm in product((1, 2), ("l2", None))
)


def read_parts(path, rows, choose_rows, seed):
    """Return the reviews to train on, to choose by and to report, as three tables."""
    data = pd.read_csv(path, keep_default_na=False).iloc[:25_000]
    data = data[~data["review"].duplicated()]
    row = data.index.to_numpy()
    train, choose, report = (
        data[(row >= low) & (row < high)] for low, high in ((0, 20_000), (20_000, 22_500),
                                                            (22_500, 25_000))
    )
    return train.sample(rows, random_state=seed), choose.iloc[:choose_rows], choose, report


def count_words(reviews):
    """Return the number of words of each review, without HTML."""
    return reviews.str.replace(r"<[^>]*>", " ", regex=True).str.split().str.len().to_numpy()


def interval(metric, truth, predicted, other=None, resamples=2000):
    """Return the metric with its 95 % interval; with `other`, the difference from that of it."""
    def value(rows):
        found = metric(truth[rows], predicted[rows])
        return found if other is None else found - metric(truth[rows], other[rows])

    rng, everything = np.random.default_rng(0), np.arange(len(truth))
    drawn = [value(rng.choice(everything, len(everything))) for _ in range(resamples)]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return {"value": float(value(everything)), "low": float(low), "high": float(high)}


def compare(metrics, truth, ways):
    """Return each metric of each way, and of the difference of the first two."""
    first, second, *_ = ways
    return {
        "results": {
            way: {name: interval(metric, truth, found) for name, metric in metrics.items()}
            for way, found in ways.items()
        },
        "difference": {
            name: interval(metric, truth, ways[first], ways[second])
            for name, metric in metrics.items()
        },
    }


def choose_best(make, train, y, unseen, truth, metric, strengths):
    """Return the linear model with the best metric, and what was chosen.

    Parameters
    ----------
    make : callable
        Makes the model from its strength.
    train, unseen : callable
        Make features from a vectorizer.
    """
    best = None
    for options in VECTORS:
        vectorizer = TfidfVectorizer(min_df=2, **options)
        X, X_unseen = train(vectorizer), unseen(vectorizer)
        for strength in strengths:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                model = make(strength).fit(X, y)
            value = float(metric(truth, model.predict(X_unseen)))
            if best is None or value > best[0]:
                best = value, model, vectorizer, options | {
                    "strength": strength, "features": X.shape[1],
                    "converged": not any(w.category is ConvergenceWarning for w in caught),
                }
    value, model, vectorizer, chosen = best
    return model, vectorizer, chosen | {"value_where_chosen": value}


def logistic(strength):
    return LogisticRegression(C=strength, max_iter=200)


def macro_f1(truth, predicted):
    """Return the mean F1 of the labels, by counts, which is quicker than scikit-learn's."""
    both, either = (truth & predicted).sum(axis=0), truth.sum(axis=0) + predicted.sum(axis=0)
    return (2 * both / np.maximum(either, 1)).mean()


def run_labels(parts, settings):
    """Return the results of three labels for each review."""
    def labels(part):
        return pd.DataFrame({
            "positive": part["sentiment"] == "positive", "long": count_words(part["review"]) > LONG,
            "html": part["review"].str.contains("<br", regex=False),
        }).astype(int)

    train, few, choose, report = parts
    texts, truth = report["review"], labels(report).to_numpy()
    began = time.perf_counter()
    clf = BertClassifier(
        **settings, max_length=512, inference_long_text="tail", early_stopping="macro_f1",
    ).fit(train["review"], labels(train), X_val=few["review"], y_val=labels(few))
    fitted = time.perf_counter()
    print(f"trained for {fitted - began:.0f} s", epochs(clf), flush=True)
    bert = clf.predict(texts).to_numpy()
    seconds = {"bert fit": fitted - began, "bert predict": time.perf_counter() - fitted}
    began = time.perf_counter()
    model, vectorizer, chosen = choose_best(
        lambda strength: OneVsRestClassifier(logistic(strength)),
        lambda v: v.fit_transform(train["review"]), labels(train).to_numpy(),
        lambda v: v.transform(choose["review"]), labels(choose).to_numpy(),
        lambda truth, found: f1_score(truth, found, average="macro"), STRENGTHS,
    )
    words = model.predict(vectorizer.transform(texts))
    seconds["tf-idf, all options"] = time.perf_counter() - began
    metrics = {"macro F1": macro_f1, "all labels right": lambda t, p: (t == p).all(axis=1).mean()}
    for column, name in enumerate(labels(report)):
        metrics[f"F1 of {name}"] = lambda t, p, c=column: macro_f1(t[:, c : c + 1], p[:, c : c + 1])
    return compare(metrics, truth, {"bertsent": bert, "TF-IDF": words}) | {
        "share of texts with the label": labels(report).mean().round(4).to_dict(),
        "chosen": {"bertsent": epochs(clf), "TF-IDF": chosen}, "seconds": seconds,
    }


def run_length(parts, settings):
    """Return the results of the number of words."""
    train, few, choose, report = parts
    y, y_few, y_choose, truth = (np.log(count_words(part["review"])) for part in parts)
    texts = report["review"]
    began = time.perf_counter()
    reg = BertRegressor(
        **settings, max_length=512, long_text="head", inference_long_text="head",
        early_stopping="r2",
    ).fit(train["review"], y, X_val=few["review"], y_val=y_few)
    fitted = time.perf_counter()
    print(f"trained for {fitted - began:.0f} s", epochs(reg), flush=True)
    bert = reg.predict(texts)
    seconds = {"bert fit": fitted - began, "bert predict": time.perf_counter() - fitted}
    began = time.perf_counter()
    model, vectorizer, chosen = choose_best(
        lambda strength: Ridge(strength), lambda v: v.fit_transform(train["review"]), y,
        lambda v: v.transform(choose["review"]), y_choose, r2_score, PENALTIES,
    )
    words = model.predict(vectorizer.transform(texts))
    seconds["tf-idf, all options"] = time.perf_counter() - began
    metrics = {
        "R2": r2_score, "mean absolute error": mean_absolute_error,
        "share within 10 %": lambda t, p: (np.abs(t - p) < np.log(1.1)).mean(),
    }
    return compare(metrics, truth, {"bertsent": bert, "TF-IDF": words}) | {
        "chosen": {"bertsent": epochs(reg), "TF-IDF": chosen}, "seconds": seconds,
    }


def make_pairs(part, rounds, seed):
    """Return pairs of reviews and whether their sentiments are equal, each half of the pairs.

    In each round, a review is in one pair at most.
    """
    rng = np.random.default_rng(seed)
    texts, positive = part["review"].to_numpy(), (part["sentiment"] == "positive").to_numpy()
    made = []
    for _ in range(rounds):
        order = rng.permutation(len(texts))
        made.append(order[: len(order) // 2 * 2].reshape(-1, 2))
    rows = np.concatenate(made)
    same = positive[rows[:, 0]] == positive[rows[:, 1]]
    count = min(same.sum(), (~same).sum())
    kept = np.sort(np.concatenate([np.flatnonzero(same)[:count], np.flatnonzero(~same)[:count]]))
    rows, same = rows[kept], same[kept]
    frame = pd.DataFrame({"first": texts[rows[:, 0]], "second": texts[rows[:, 1]]})
    return frame, np.where(same, "same", "different")


def of_both(vectorizer, pairs):
    """Return the features of pairs for a linear model."""
    a, b = (vectorizer.transform(pairs[column]) for column in pairs)
    return sp.hstack([a, b, abs(a - b), a.multiply(b)], format="csr")


def run_pairs(parts, settings, *, rounds, direct):
    """Return the results of pairs of reviews."""
    train, few, choose, report = parts
    pairs, y = make_pairs(train, rounds, 0)
    pairs_few, y_few = make_pairs(few, 1, 1)
    pairs_choose, y_choose = make_pairs(choose, 2, 1)
    tested, truth = make_pairs(report, 1, 2)
    seconds, ways, chosen = {}, {}, {}

    def timed(name, began):
        seconds[name] = time.perf_counter() - began
        print(f"{name}: {seconds[name]:.0f} s", flush=True)

    def of_pairs(model):
        clf = BertClassifier(
            **settings | {"model": model}, max_length=128, inference_long_text="tail",
            early_stopping="accuracy",
        ).fit(pairs, y, X_val=pairs_few, y_val=y_few)
        return clf, clf.predict(tested)

    began = time.perf_counter()
    clf = BertClassifier(
        **settings, max_length=128, inference_long_text="tail", early_stopping="accuracy",
    ).fit(train["review"], train["sentiment"], X_val=few["review"], y_val=few["sentiment"])
    timed("bert fit, sentiment", began)
    chosen["sentiment for bertsent"] = epochs(clf)
    with tempfile.TemporaryDirectory() as folder:
        clf.save_pretrained(Path(folder) / "sentiment")
        began = time.perf_counter()
        clf, ways["bertsent, from sentiment"] = of_pairs(str(Path(folder) / "sentiment"))
        timed("bert fit and predict, from sentiment", began)
    chosen["bertsent, from sentiment"] = epochs(clf)

    began = time.perf_counter()
    model, vectorizer, chosen["sentiment for TF-IDF"] = choose_best(
        logistic, lambda v: v.fit_transform(train["review"]), train["sentiment"],
        lambda v: v.transform(choose["review"]), choose["sentiment"], accuracy_score, STRENGTHS,
    )

    def log_odds(pairs):
        a, b = (model.decision_function(vectorizer.transform(pairs[c])) for c in pairs)
        return np.column_stack([a, b, a * b])

    # The log-odds of texts that the model was trained on are too sure: learn from others.
    second = LogisticRegression().fit(log_odds(pairs_choose), y_choose)
    ways["TF-IDF, from sentiment"] = second.predict(log_odds(tested))
    timed("tf-idf from sentiment, all options", began)

    began = time.perf_counter()

    def features(vectorizer):
        return of_both(vectorizer.fit(train["review"]), pairs)

    model, vectorizer, chosen["TF-IDF"] = choose_best(
        logistic, features, y, lambda v: of_both(v, pairs_choose), y_choose, accuracy_score,
        STRENGTHS,
    )
    ways["TF-IDF"] = model.predict(of_both(vectorizer, tested))
    timed("tf-idf, all options", began)
    if direct:
        began = time.perf_counter()
        clf, ways["bertsent"] = of_pairs(settings["model"])
        timed("bert fit and predict", began)
        chosen["bertsent"] = epochs(clf)
    return compare({"accuracy": accuracy_score}, truth, ways) | {
        "training pairs": len(pairs), "tested pairs": len(tested), "chosen": chosen,
        "seconds": seconds,
    }


def epochs(estimator):
    """Return the epoch that was kept, and the value of each one on the held-out texts."""
    watched = estimator.early_stopping
    values = [row[f"validation_{watched}"] for row in estimator.history_]
    best = int(np.argmax(values))
    return {"epoch": best + 1, "values_where_chosen": values, "precision": estimator.precision_}


TASKS = {"labels": run_labels, "length": run_length, "pairs": run_pairs}


def main():
    """Make the tasks, train, test and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--task", choices=TASKS, help="run this one only")
    parser.add_argument("--rows", type=int, default=2000, help="reviews to train on")
    parser.add_argument("--choose-rows", type=int, default=500,
                        help="reviews that choose the number of epochs")
    parser.add_argument("--epochs", type=int, default=2, help="of these, the best one is kept")
    parser.add_argument("--rounds", type=int, default=3, help="pairs that a training review is in")
    parser.add_argument("--direct", action="store_true", help="also train BERT on pairs alone")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--freeze-layers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    default = Path(__file__).resolve().parent / "results" / "tasks.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    parts = read_parts(options.data, options.rows, options.choose_rows, options.seed)
    settings = {
        "model": options.model, "epochs": options.epochs, "patience": options.epochs,
        "pooling": "mean", "learning_rate": options.learning_rate,
        "freeze_layers": options.freeze_layers, "freeze_dropout": True,
        "random_state": options.seed, "n_threads": options.threads, "verbose": 0,
    }
    for name in [options.task] if options.task else TASKS:
        more = {"rounds": options.rounds, "direct": options.direct}
        found = TASKS[name](parts, settings, **more if name == "pairs" else {})
        head = {
            "machine": common.machine(),
            "versions": {
                "bertsent": bertsent.__version__, "scikit-learn": sklearn.__version__,
                "numpy": np.__version__, "python": platform.python_version(),
            },
            "arguments": {k: v for k, v in vars(options).items() if k not in ("data", "output")},
            "training_reviews": len(parts[0]), "tested_reviews": len(parts[3]),
        }
        known = json.loads(options.output.read_text()) if options.output.exists() else {}
        common.write_json(options.output, known | {name: head | found})
        print(name, json.dumps(found, indent=1), sep="\n", flush=True)


if __name__ == "__main__":
    main()
