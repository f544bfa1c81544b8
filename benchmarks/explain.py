"""Do explanations find the words that matter, and how long do they take?

    python benchmarks/explain.py measure [--data FILE]
    python benchmarks/explain.py time [--data FILE]
    python benchmarks/explain.py plot

A MiniLM is trained on a part of the reviews, the bundled ones by default. ``measure`` masks the
words of other reviews in the order of their scores, and in random order, and records how the
log-odds of the predicted class fall. ``time`` times the explanation of a text of 200 tokens in each
precision, which should be done on a machine that is not busy. Results are written to
``benchmarks/results/explain.json``, and the plot beside it.
"""

import argparse
import json
import time
from pathlib import Path

import common
import numpy as np
import pandas as pd

import bertsent
from bertsent import BertClassifier

RESULTS = Path(__file__).resolve().parent / "results"
SAMPLE = Path(bertsent.__file__).parent / "sample" / "reviews.csv"
WAYS = ("integrated_gradients", "occlusion", "random")
SHARES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
SOME = 20  # words
PRECISIONS = ("float32", "bfloat16", "int8")
TOLERANCES = (0.2, 0.1, 0.05, 0.01)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("part", choices=("measure", "time", "plot"))
    p.add_argument("--data", type=Path, default=SAMPLE, help="CSV: first a text, then its label")
    p.add_argument("--train", type=int, default=480, help="reviews to train on")
    p.add_argument("--test", type=int, default=40, help="reviews to explain")
    p.add_argument("--max-length", type=int, default=64)
    p.add_argument("--model", type=Path, help="a trained model, instead of training one")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    if a.part == "plot":
        plot()
        return
    data = pd.read_csv(a.data).sample(frac=1.0, random_state=0)
    texts, labels = data.iloc[:, 0], data.iloc[:, 1]
    if a.model is None:
        clf = BertClassifier(epochs=3, max_length=a.max_length, random_state=0)
        clf.set_params(n_threads=a.threads).fit(texts[: a.train], labels[: a.train])
    else:
        clf = BertClassifier.from_pretrained(a.model)
    clf.set_params(n_threads=a.threads, verbose=False, inference_precision="float32")
    known = json.loads(RESULTS.joinpath("explain.json").read_text())
    if a.part == "time":
        write(known | {"time": {"machine": common.machine(), "threads": a.threads} | times(
            clf, list(texts)
        )})
        return
    some = list(texts[a.train : a.train + a.test])
    write({
        "machine": common.machine(), "data": a.data.name, "train": a.train, "test": a.test,
        "accuracy": float(clf.score(texts[a.train :][:400], labels[a.train :][:400])),
        "shares": SHARES, "deletion": delete(clf, some), "tolerance": tolerances(clf, some),
        "time": known["time"],
    })


def write(found):
    """Write the results to their file."""
    RESULTS.joinpath("explain.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def delete(clf, texts):
    """Return the mean log-odds of the predicted class, by the share of words that are masked."""
    rng = np.random.default_rng(0)
    means = {}
    for way in WAYS:
        falls = []
        method = WAYS[0] if way == "random" else way
        for each in clf.explain(texts, method=method):
            order = np.argsort(-each.scores, kind="stable")
            if way == "random":
                order = rng.permutation(len(order))
            changed = [mask(each, order[: round(share * len(order))]) for share in SHARES]
            logits = clf.decision_function(changed)
            falls.append(logits * (1 if each.target == clf.classes_[1] else -1))
        means[way] = np.mean(falls, axis=0).round(4).tolist()
    return means


def mask(explanation, words):
    """Return the text with some words masked."""
    text = explanation.text
    for word in sorted(words, reverse=True):
        start, end = explanation.starts[word], explanation.ends[word]
        text = text[:start] + "[MASK]" + text[end:]
    return text


def tolerances(clf, texts):
    """Return steps, error and agreement with the finest tolerance, by tolerance."""
    from scipy.stats import spearmanr

    results = {tolerance: clf.explain(texts, tolerance=tolerance) for tolerance in TOLERANCES}
    finest, rows = results[TOLERANCES[-1]], []
    for tolerance, found in results.items():
        same = [spearmanr(a.scores, b.scores)[0] for a, b in zip(found, finest, strict=True)]
        rows.append({
            "tolerance": tolerance, "steps": float(np.mean([each.steps for each in found])),
            "error": float(np.mean([each.error for each in found])),
            "rank_correlation": float(np.nanmean(same)),
        })
    return rows


def times(clf, texts):
    """Return the seconds that a text of 200 tokens takes on the clock and of processors.

    ``share`` is the rate of tokens, compared with that of predicting as many texts as there are
    words: the largest one that occlusion can reach.
    """
    clf.set_params(max_length=256, inference_long_text="head")
    words = " ".join(texts).split()[:300]
    while len(clf.tokenizer_.encode(" ".join(words))) > 200:
        words.pop()
    text = " ".join(words)
    seconds = {}
    for precision in PRECISIONS:
        clf.set_params(inference_precision=precision)
        try:
            clf.predict([text])
        except ValueError as error:  # the processor cannot do it
            seconds[precision] = str(error)
            continue
        own = seconds[precision] = {"prediction": timed(lambda: clf.predict([text]), 20)}
        for method in WAYS[:2]:
            (found,) = clf.explain([text], method=method)
            own[method] = timed(lambda method=method: clf.explain([text], method=method), 5)
            own[method] |= {"steps": found.steps, "words": len(found.words)}
        some = timed(lambda: clf.explain([text], method="occlusion", n_words=SOME), 5)
        own[f"occlusion of {SOME} words"] = some
        copies = [text] * (len(found.words) + 2)
        same = timed(lambda copies=copies: clf.predict(copies), 3)
        own["occlusion"]["share"] = round(same["clock"] / own["occlusion"]["clock"], 3)
    return seconds


def timed(call, times):
    """Return the least seconds of several calls, on the clock and of processors."""
    took = []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        call()
        took.append([time.perf_counter() - began, time.process_time() - used])
    clock, processor = np.min(took, axis=0).round(4).tolist()
    return {"clock": clock, "processor": processor}


def plot():
    """Draw how the log-odds fall."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = json.loads(RESULTS.joinpath("explain.json").read_text())
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    styles = {"integrated_gradients": "o-", "occlusion": "s--", "random": "^:"}
    for way, values in found["deletion"].items():
        share = 100 * np.array(found["shares"])
        axes.plot(share, values, styles[way], label=way.replace("_", " "))
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set_xlabel("masked words, % of a text")
    axes.set_ylabel("log-odds of the predicted class")
    axes.set_ylim(top=2.6)
    axes.legend(title="order of words", ncols=3, loc="upper center")
    figure.savefig(RESULTS / "explain.png", dpi=120)


if __name__ == "__main__":
    main()
