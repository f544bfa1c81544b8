"""What the linear model of words adds to MiniLM: `words=True`.

    python benchmarks/words.py --data FILE

MiniLM is trained for one epoch on the last 128 tokens of some of the first 20,000 reviews, of which
a tenth is held out, with 3 of 6 layers frozen. Rows 20,000-22,499 are scored, without reviews that
also occur before. The result has the accuracy and the log loss of MiniLM, of the words, and of
their mixtures with several weights, the learned one among them. It is written to
``benchmarks/results/words.json``, or to ``--output``.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
import pandas as pd

from bertsent import BertClassifier
from bertsent.classifier import predictor

WEIGHTS = (0.2, 0.3, 0.4, 0.5, 0.6)


def main():
    """Train, score and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    parser.add_argument("--rows", type=int, default=4000)
    default = Path(__file__).resolve().parent / "results" / "words.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    data = pd.read_csv(options.data, keep_default_na=False)
    rows = np.sort(np.random.default_rng(0).permutation(20_000)[: options.rows])
    train, test = data.iloc[rows], data.iloc[20_000:22_500]
    test = test[~test["review"].isin(set(data["review"][:20_000]))]
    texts = test["review"].tolist()
    clf = BertClassifier(
        "minilm", max_length=128, long_text="tail", epochs=1, freeze_layers=3, pooling="mean",
        learning_rate=1e-4, batch_size=16, random_state=0, words=True, validation_fraction=0.1,
        n_threads=1,
    )
    started = time.process_time()
    clf.fit(train["review"].tolist(), train["sentiment"].tolist())
    seconds = {"fit": time.process_time() - started}
    ready = predictor(clf)
    fitted, words = ready.fitted, ready.fitted.words
    objective = fitted.objective
    targets = objective.encode(test["sentiment"].to_numpy(), len(texts), "y")
    alone = replace(fitted, words=None).under(ready.parameters).logits(texts)
    started = time.process_time()
    own = words.logits(texts)
    seconds["words_predict"] = time.process_time() - started
    opinions = {"bert": alone, "words": own}
    for weight in sorted({*WEIGHTS, words.weight}):
        opinions[f"mix {weight:g}"] = objective.mix([alone, own], [1 - weight, weight])
    common.write_json(options.output, {
        "machine": common.machine(),
        "train_texts": len(clf.training_rows_),
        "held_out_texts": len(clf.validation_rows_),
        "test_texts": len(texts),
        "terms": len(words.terms),
        "weight": words.weight,
        "cpu_seconds": seconds,
        "results": {name: objective.evaluate(each, targets) for name, each in opinions.items()},
    })


if __name__ == "__main__":
    main()
