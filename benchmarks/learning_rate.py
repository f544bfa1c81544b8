"""The best learning rate for each number of frozen layers, for ``learning_rate="auto"``.

    python benchmarks/learning_rate.py --data FILE

Trains on a small part of the reviews and scores others, once for each learning rate, number of
frozen layers and seed. Each result is added to ``benchmarks/results/learning_rate.json`` at once.
"""

import argparse
import json
from pathlib import Path

import common

import bertsent

GRID = {
    "all": (1e-3, 3e-3, 1e-2),
    0: (5e-5, 1e-4, 2e-4, 2e-5),
}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", default="minilm")
    p.add_argument("--train-rows", type=int, nargs=2, default=(0, 1000))
    p.add_argument("--test-rows", type=int, nargs=2, default=(4000, 5000))
    p.add_argument("--max-length", type=int, default=128)
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--seeds", type=int, nargs="+", default=(0,))
    p.add_argument("--threads", type=int)
    p.add_argument("--output", type=Path,
                   default=Path(__file__).resolve().parent / "results" / "learning_rate.json")
    a = p.parse_args()
    train, test = common.load_rows(a.data, a.train_rows, a.test_rows)
    arguments = {k: v for k, v in vars(a).items() if k not in ("data", "model", "output")}
    record = {"machine": common.machine(), "bertsent": bertsent.__version__,
              "arguments": arguments, "runs": []}
    for seed in a.seeds:
        for frozen, rates in GRID.items():
            for rate in rates:
                classifier = bertsent.BertClassifier(
                    a.model, max_length=a.max_length, epochs=a.epochs, learning_rate=rate,
                    freeze_layers=frozen, n_threads=a.threads, random_state=seed, verbose=0,
                    precision="float32", inference_precision="float32",
                )
                classifier.fit(train["review"], train["label"])
                run = {
                    "freeze_layers": frozen, "learning_rate": rate, "seed": seed,
                    "accuracy": classifier.score(test["review"], test["label"]),
                    "training_loss": classifier.history_[-1]["loss"],
                    "seconds": sum(row["seconds"] for row in classifier.history_),
                }
                record["runs"].append(run)
                print(json.dumps(run), flush=True)
                common.write_json(a.output, record)


if __name__ == "__main__":
    main()
