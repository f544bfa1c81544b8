"""Learn from few labels with SetFit: one side of ``few_shot.py``.

Everything that is not given here is SetFit's default. Prints a JSON object for each seed.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common

PACKAGES = ("setfit", "sentence-transformers", "transformers", "torch", "scikit-learn", "numpy")


def main():
    a = common.few_shot_arguments(__doc__).parse_args()
    torch.set_num_threads(a.threads)
    for seed in a.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(run(a, seed, scratch)), flush=True)


def run(a, seed, scratch):
    few, test = common.draw_few(a.data, a.per_class, seed, a.train_rows, a.test_rows)
    model = SetFitModel.from_pretrained(a.model)
    if a.max_length is not None:
        model.model_body.max_seq_length = a.max_length
    data = Dataset.from_dict({"text": few["review"].tolist(), "label": few["label"].tolist()})
    options = TrainingArguments(output_dir=scratch, seed=seed, show_progress_bar=False,
                                save_strategy="no", report_to="none")
    trainer = Trainer(model=model, args=options, train_dataset=data)
    began, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    began = time.process_time()
    predicted = np.asarray(model.predict(test["review"].tolist(), show_progress_bar=False))
    return {
        "side": "setfit", "seed": seed, "per_class": a.per_class,
        "versions": {name: version(name) for name in PACKAGES},
        "max_length": model.model_body.max_seq_length, "seconds": seconds, "cpu_seconds": cpu,
        **common.test_record(predicted, test, time.process_time() - began),
        "peak_rss_mb": common.peak_rss_mb(),
    }


if __name__ == "__main__":
    main()
