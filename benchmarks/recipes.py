"""Search for recipes: the highest accuracy in the least time on the IMDB reviews.

    python benchmarks/recipes.py --data FILE [--threads N] RUN [RUN ...]

Each run trains with the parameters in `RUNS`, scores the test rows of its part, and writes one file
into ``benchmarks/results/recipes/``. Recipes are chosen on rows 20,000-22,499, after training on
rows before 20,000. The chosen ones are trained on rows 0-22,499 and score rows 22,500-24,999 once.
``--vote`` scores saved classifiers of one part together with TF-IDF, by the mean probabilities of
each subset of them.
"""

import argparse
import itertools
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import common
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import bertsent
from bertsent.hub import resolve_directory

RESULTS = Path(__file__).resolve().parent / "results" / "recipes"

# Rows to train on and rows to score.
PARTS = {
    "screen": ((0, 4000), (20000, 22500)),
    "screen-2400": ((0, 2400), (20000, 22500)),
    "screen-8000": ((0, 8000), (20000, 22500)),
    "screen-12000": ((0, 12000), (20000, 22500)),
    # Fewer texts, for a model that takes eight times as long.
    "large-500": ((0, 500), (20000, 21000)),
    "large-1000": ((0, 1000), (20000, 21000)),
    "large-2000": ((0, 2000), (20000, 21000)),
    "large-4000": ((0, 4000), (20000, 21000)),
    "choose": ((0, 20000), (20000, 22500)),
    "final": ((0, 22500), (22500, 25000)),
}
BASE = {"max_length": 128, "long_text": "head+tail", "epochs": 1, "pooling": "mean",
        "learning_rate": 1e-4}
# Other ways in which a trained classifier reads the test texts.
READINGS = {
    "256": {"max_length": 256, "long_text": "head+tail"},
    "512": {"max_length": 512, "long_text": "head+tail"},
    "windows-64": {"max_length": 64, "long_text": "windows"},
    "windows-128": {"max_length": 128, "long_text": "windows"},
    "windows-256": {"max_length": 256, "long_text": "windows"},
    "windows-512": {"max_length": 512, "long_text": "windows"},
}
# The last tokens, half of MiniLM's layers frozen.
HALF = {"long_text": "tail", "freeze_layers": 3}
THRICE = HALF | {"epochs": 3, "freeze_dropout": True}
# Most of each review, a third of the layers frozen.
MOST = {"long_text": "tail", "max_length": 256, "epochs": 2, "freeze_layers": 2,
        "freeze_dropout": True}
# Nearly all of most reviews, a third of the layers frozen.
WHOLE = MOST | {"max_length": 512}
# One epoch over as many tokens.
AGAIN = HALF | {"max_length": 256, "freeze_dropout": True, "inference_long_text": "windows"}
# Recipes score as users do.
READ = {"inference_precision": "auto"}
# Further pretraining of the model, on rows of the reviews without their labels.
PRETRAINING = {"rows": (0, 9000), "learning_rate": 2e-4}
# MPNet, of base size: the last 256 tokens, half of its layers frozen. It scores in bfloat16, which
# takes half of the time.
LARGE = {"model": "mpnet", "long_text": "tail", "inference_long_text": "windows",
         "max_length": 256, "freeze_layers": 6, "freeze_dropout": True, "learning_rate": 3e-5,
         "head_learning_rate": 1e-3, "inference_precision": "bfloat16"}
FASTER = LARGE | {"learning_rate": 5e-5}
# Part and parameters of each run; they override those of BASE.
RUNS = {
    "base": ("screen", {}),
    "head": ("screen", {"long_text": "head"}),
    "tail": ("screen", {"long_text": "tail"}),
    "cls": ("screen", {"pooling": "cls"}),
    "rate-2e-4": ("screen", {"learning_rate": 2e-4}),
    "rate-4e-4": ("screen", {"learning_rate": 4e-4}),
    "no-dropout": ("screen", {"dropout": 0.0}),
    "batch-32": ("screen", {"batch_size": 32}),
    "layer-decay": ("screen", {"layer_decay": 0.9}),
    "freeze-2": ("screen", {"freeze_layers": 2}),
    "freeze-3": ("screen", {"freeze_layers": 3}),
    # About as many tokens as the other runs.
    "tail-64": ("screen-8000", {"long_text": "tail", "max_length": 64}),
    "tail-256": ("screen-2400", {"long_text": "tail", "max_length": 256}),
    "tail-cls": ("screen", {"long_text": "tail", "pooling": "cls"}),
    # Two ways to use ten minutes on two cores.
    "tail-8000": ("screen-8000", {"long_text": "tail"}),
    "tail-12000-freeze-3": ("screen-12000", HALF),
    # Single options, starting from the result of these two.
    "half": ("screen", HALF),
    "half-cls": ("screen", HALF | {"pooling": "cls"}),
    "half-layer-decay": ("screen", HALF | {"layer_decay": 0.8}),
    "half-head-rate": ("screen", HALF | {"head_learning_rate": 1e-3}),
    "half-smoothing": ("screen", HALF | {"label_smoothing": 0.1}),
    "half-cosine": ("screen", HALF | {"schedule": "cosine"}),
    "half-constant": ("screen", HALF | {"schedule": "constant"}),
    "half-batch-8": ("screen", HALF | {"batch_size": 8}),
    "half-batch-32": ("screen", HALF | {"batch_size": 32}),
    "half-epochs-2": ("screen", HALF | {"epochs": 2}),
    "half-epochs-4": ("screen", HALF | {"epochs": 4}),
    "half-windows": ("screen", HALF | {"long_text": "windows"}),
    "half-pretrained": ("screen", HALF | {"pretraining": PRETRAINING}),
    # All labels: three epochs over the ends of the reviews, or one over everything, in equal time.
    "thrice-128": ("choose", THRICE),
    "windows-128": ("choose", HALF | {"long_text": "windows"}),
    "twice-512": ("choose", WHOLE),
    "twice-256": ("choose", MOST),
    "twice-256-head": ("choose", MOST | {"long_text": "head"}),
    # Two models; the first is also scored alone.
    "twice-256-members": ("choose", MOST | {"members": 2}),
    "twice-256-all": ("choose", {"long_text": "tail", "max_length": 256, "epochs": 2}),
    # A rate of its own for a new head, with more steps.
    "tail-256-now": ("screen-8000", AGAIN),
    "tail-256-head-rate": ("screen-8000", AGAIN | {"head_learning_rate": 1e-3}),
    # How a model of base size is trained best on few texts.
    "large": ("large-1000", LARGE),
    "large-plain-head": ("large-1000", LARGE | {"head_learning_rate": None}),
    "large-5e-5": ("large-1000", FASTER),
    "large-1e-4": ("large-1000", LARGE | {"learning_rate": 1e-4}),
    "large-5e-5-head-3e-3": ("large-1000", FASTER | {"head_learning_rate": 3e-3}),
    "large-5e-5-batch-8": ("large-1000", FASTER | {"batch_size": 8}),
    "large-5e-5-freeze-9": ("large-1000", FASTER | {"freeze_layers": 9}),
    "large-500": ("large-500", LARGE),
    "large-500-epochs-2": ("large-500", LARGE | {"epochs": 2}),
    "large-2000-128": ("large-2000", LARGE | {"max_length": 128}),
    "large-4000": ("large-4000", LARGE),
    "final-two-models": ("final", {
        "long_text": "tail", "inference_long_text": "windows", "epochs": 2, "pooling": "mean",
        "members": [{"max_length": 512, "freeze_layers": 2, "freeze_dropout": True},
                    {"max_length": 256}]}),
    "final-quick-128": ("final", {
        "max_length": 128, "long_text": "tail", "inference_long_text": "windows",
        "pooling": "mean", "time_budget": "10min"}),
    "final-thrice-128": ("final", BASE | THRICE),
    "final-twice-256": ("final", BASE | MOST),
    "final-twice-512": ("final", BASE | WHOLE),
    **{name: ("final", dict(recipe) | READ) for name, recipe in bertsent.RECIPES.items()},
    "quick-30min": ("final", bertsent.RECIPES["quick"] | READ | {"time_budget": "30min"}),
    "quick-minilm": ("final", bertsent.RECIPES["quick"] | READ | {"model": "minilm"}),
}


def words(train, test):
    """Train and score a logistic regression on TF-IDF of words and word pairs, on the same rows."""
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    features = vectorizer.fit_transform(train["review"])
    model = LogisticRegression(C=10.0, max_iter=1000).fit(features, train["label"])
    return model.predict_proba(vectorizer.transform(test["review"]))


def without_dropout(model, rate, folder):
    """Return a copy of a model directory with another dropout rate."""
    source = resolve_directory(model)
    copy = Path(folder) / "model"
    shutil.copytree(source, copy)
    config = json.loads((copy / "config.json").read_text())
    config |= {"hidden_dropout_prob": rate, "attention_probs_dropout_prob": rate}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def pretrained(model, data, options, threads, seed, folder):
    """Return the further pretrained model; it is not trained again if the folder has it."""
    output = Path(folder) / f"pretrained_{seed}"
    if not output.exists():
        options = dict(options)
        texts, _ = common.load_rows(data, options.pop("rows"), (0, 0))
        began, cpu = time.perf_counter(), time.process_time()
        bertsent.pretrain(
            texts["review"], output, model=model, n_threads=threads, random_state=seed,
            precision="float32", log_file=output.with_suffix(".jsonl"), **options,
        )
        seconds = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
        output.with_suffix(".json").write_text(json.dumps(seconds))
    return output, json.loads(output.with_suffix(".json").read_text())


def measure(probabilities, labels):
    return {"accuracy": float((probabilities.argmax(1) == labels).mean()),
            "log_loss": float(log_loss(labels, probabilities.astype(np.float64)))}


def run(name, path, data, model, threads, precision, seed, keep_in=None):
    """Train and score a run, and write its record to a file."""
    part, given = RUNS.get(name) or (name.split("-", 1)[1], None)
    train, test = common.load_rows(data, *PARTS[part])
    labels = test["label"].to_numpy()
    record = {"run": name, "part": part, "train_rows": len(train), "test_rows": len(test),
              "seed": seed, "threads": threads, "machine": common.machine(),
              "bertsent": bertsent.__version__, "load": os.getloadavg()[0]}
    if given is None:
        began = time.perf_counter()
        record |= measure(words(train, test), labels)
        record["seconds"] = time.perf_counter() - began
        common.write_json(path, record)
        return record
    parameters = given if part == "final" else BASE | given
    record |= {"parameters": parameters, "precision": precision}
    tokens, losses = [], []

    def keep(event):
        if event["event"] == "step":
            tokens.append(event["tokens"])
            if event.get("member", 1) == 1:
                losses.append(event["loss"])

    with tempfile.TemporaryDirectory() as folder:
        options = dict(parameters)
        if "dropout" in options:
            model = without_dropout(model, options.pop("dropout"), folder)
        if "pretraining" in options:
            model, record["pretraining"] = pretrained(
                model, data, options.pop("pretraining"), threads, seed, keep_in or folder)
        options = {"model": model, "inference_precision": "float32"} | options
        classifier = bertsent.BertClassifier(
            n_threads=threads, random_state=seed, verbose=1, precision=precision,
            callbacks=[keep], **options,
        )
        began, cpu = time.perf_counter(), time.process_time()
        classifier.fit(train["review"], train["label"])
        record["seconds"] = time.perf_counter() - began
        record["cpu_seconds"] = time.process_time() - cpu
        record["tokens"] = int(sum(tokens))
        record["curve"] = [[min(i + 25, len(losses)), round(float(np.mean(losses[i : i + 25])), 4)]
                           for i in range(0, len(losses), 25)]
        began = time.perf_counter()
        record |= measure(classifier.predict_proba(test["review"]), labels)
        record["scoring_seconds"] = time.perf_counter() - began
        models = classifier.models_
        if len(models) > 1:
            record["first_members"] = []
            for count in range(1, len(models)):
                classifier.models_ = models[:count]
                record["first_members"].append(
                    measure(classifier.predict_proba(test["review"]), labels)
                )
            classifier.models_ = models
        record["plan"] = classifier.plan_
        record["peak_rss_mb"] = common.peak_rss_mb()
        common.write_json(path, record)  # before anything can fail
        if keep_in is not None:
            classifier.save_pretrained(keep_in / path.stem)
    return record


def read_otherwise(record, kept, data, threads, names):
    """Score the test texts of a run with other readings, and add the results to its record."""
    _, test = common.load_rows(data, *PARTS[record["part"]])
    classifier = bertsent.BertClassifier.from_pretrained(kept)
    classifier.set_params(n_threads=threads, verbose=0)
    readings = record.setdefault("readings", {})
    for name in names:
        classifier.set_params(**READINGS[name])
        began = time.perf_counter()
        probabilities = classifier.predict_proba(test["review"])
        readings[name] = measure(probabilities, test["label"].to_numpy()) | {
            "seconds": time.perf_counter() - began, "threads": threads}
        print(record["run"], name, readings[name], flush=True)


def vote(runs, data, kept, threads, seed):
    """Score the test texts of one part with every subset of its runs and TF-IDF."""
    part = RUNS[runs[0]][0]
    train, test = common.load_rows(data, *PARTS[part])
    told = {"words": words(train, test)}
    for name in runs:
        classifier = bertsent.BertClassifier.from_pretrained(kept / f"{name}_{seed}")
        classifier.set_params(n_threads=threads, verbose=0)
        told[name] = classifier.predict_proba(test["review"])
    subsets = [subset for size in range(1, len(told) + 1)
               for subset in itertools.combinations(told, size)]
    together = [{"who": subset} | measure(np.mean([told[name] for name in subset], axis=0),
                                          test["label"].to_numpy()) for subset in subsets]
    return {"part": part, "train_rows": len(train), "test_rows": len(test), "seed": seed,
            "machine": common.machine(), "bertsent": bertsent.__version__, "together": together}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", default="minilm")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--precision", choices=["float32", "bfloat16"], default="float32",
                   help="precision of training; scoring is in float32")
    p.add_argument("--seeds", type=int, nargs="+", default=(0,))
    p.add_argument("--keep", type=Path, help="save the trained classifiers in this folder")
    p.add_argument("--readings", nargs="+", choices=READINGS,
                   help="do not train; score other readings with the classifiers of this folder")
    p.add_argument("--vote", action="store_true",
                   help="do not train; score votes of the classifiers of this folder")
    p.add_argument("runs", nargs="+", choices=[*RUNS, *(f"words-{part}" for part in PARTS)])
    a = p.parse_args()
    if (a.vote or a.readings) and a.keep is None:
        p.error("--vote and --readings need the folder of the classifiers: --keep")
    if a.vote:
        if not set(a.runs) <= set(RUNS) or len({RUNS[name][0] for name in a.runs}) > 1:
            p.error("--vote takes runs of one part: others have trained on what it scores")
        for seed in a.seeds:
            record = vote(a.runs, a.data, a.keep, a.threads, seed)
            common.write_json(RESULTS.parent / f"vote_{record['part']}_{seed}.json", record)
            print(*record["together"], sep="\n")
        return
    for name in a.runs if a.keep and not a.readings else ():
        for seed in a.seeds:
            if (a.keep / f"{name}_{seed}").exists():
                p.error(f"{a.keep} has a classifier of {name}, seed {seed}: move it away first")
    for name in a.runs:
        for seed in a.seeds:
            path = RESULTS / f"{name}_{seed}.json"
            if a.readings:
                record = json.loads(path.read_text())
                read_otherwise(record, a.keep / path.stem, a.data, a.threads, a.readings)
                common.write_json(path, record)
                continue
            record = run(name, path, a.data, a.model, a.threads, a.precision, seed, a.keep)
            print(json.dumps({k: v for k, v in record.items()
                              if k not in ("machine", "curve")}), flush=True)


if __name__ == "__main__":
    main()
