"""Speed of the byte-level tokenizer, compared with `tokenizers`.

    python benchmarks/byte_level.py --data FILE

A vocabulary of RoBERTa's size, 50,265 entries, is learned from the reviews by `tokenizers`. Both
sides then read all reviews whole, on one thread and in turns; `tokenizers` in its fastest way,
which returns no offsets. The ids must be identical. Loading is measured from a ``tokenizer.json``
with merges as texts, as RoBERTa's is published, and from one with pairs, as `tokenizers` now writes
it. The results are

rates        Tokens and MB of UTF-8 per second: median, minimum and maximum of the rounds. The ratio
             is the median of the rounds' ratios.
loading      Milliseconds to make a tokenizer from its files: likewise, and in a new process.

Times are CPU times of the process, so a busy machine disturbs them less. They are written to
``benchmarks/results/byte_level.json``, or to ``--output``.
"""

import argparse
import csv
import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import common
import numpy as np
import tokenizer_texts
import tokenizers
from tokenizers import AddedToken, models, pre_tokenizers, processors, trainers

import bertsent
from bertsent import _core

HERE = Path(__file__).resolve().parent
SIZE = 50_265
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
NEW_PROCESS = """
import sys, time
import bertsent
bertsent.Tokenizer
start = time.process_time()
bertsent.Tokenizer.from_files(sys.argv[1])
print(time.process_time() - start)
"""


def train(texts, directory):
    """Write a model directory of RoBERTa's kind, without weights."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = level
    library.decoder = tokenizers.decoders.ByteLevel()
    library.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=SIZE - 1, special_tokens=SPECIAL, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    library.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    library.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    library.save(str(directory / "tokenizer.json"))
    (directory / "config.json").write_text('{"model_type": "roberta"}')
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    return library.get_vocab_size()


def as_published(directory, target):
    """Write the same tokenizer with merges as texts and without indentation.

    The tokenizer.json of RoBERTa on the hub is one of this form; newer files have pairs.
    """
    target.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copy(directory / name, target)
    content = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    (target / "tokenizer.json").write_text(text, encoding="utf-8")


def seconds(call):
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def measure_rates(texts, ours, library, rounds):
    """Return samples of both sides in tokens per second, and whether the ids are identical."""
    encoding = ours.encode_batch(texts, n_threads=1)
    expected = [each.ids for each in library.encode_batch_fast(texts)]
    flat = np.concatenate(expected)
    equal = np.array_equal(encoding.ids, flat) and np.array_equal(
        np.diff(encoding.offsets), [len(ids) for ids in expected]
    )
    del expected, encoding
    calls = {
        "bertsent": lambda: ours.encode_batch(texts, n_threads=1),
        "tokenizers": lambda: library.encode_batch_fast(texts),
    }
    samples = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken, _ = seconds(call)
            samples[name].append(len(flat) / taken)
    return samples, len(flat), bool(equal)


def measure_loading(directory, rounds):
    """Return samples in milliseconds, and of new processes."""
    path = str(directory / "tokenizer.json")
    calls = {
        "bertsent": lambda: bertsent.Tokenizer.from_files(directory),
        "tokenizers": lambda: tokenizers.Tokenizer.from_file(path),
    }
    samples = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            samples[name].append(1e3 * seconds(call)[0])
    samples["bertsent, new process"] = [
        1e3 * float(subprocess.check_output([sys.executable, "-c", NEW_PROCESS, str(directory)]))
        for _ in range(rounds)
    ]
    return samples


def main():
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="CSV with a column review")
    parser.add_argument("--rows", type=int, default=25_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", type=Path, help="keep the tokenizer's files here, or reuse them")
    default = HERE / "results" / "byte_level.json"
    parser.add_argument("--output", type=Path, default=default)
    options = parser.parse_args()
    csv.field_size_limit(1 << 24)
    texts = tokenizer_texts.read_reviews(options.data, options.rows)
    with tempfile.TemporaryDirectory() as folder:
        directory = options.model or Path(folder)
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "tokenizer.json").exists():
            train(texts, directory)
        ours = bertsent.Tokenizer.from_files(directory)
        library = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
        load = os.getloadavg()
        rates, n_tokens, equal = measure_rates(texts, ours, library, options.rounds)
        published = Path(folder) / "published"
        as_published(directory, published)
        forms = {"merges as texts": published, "merges as pairs": directory}
        loading = {
            form: measure_loading(place, 3 * options.rounds) for form, place in forms.items()
        }
        sizes = {
            form: (place / "tokenizer.json").stat().st_size for form, place in forms.items()
        }
    n_bytes = sum(len(text.encode("utf-8")) for text in texts)
    ratios = [a / b for a, b in zip(rates["bertsent"], rates["tokenizers"], strict=True)]
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": common.machine(),
        "load": [round(each, 2) for each in load],
        "clock": "CPU time of the process, one thread",
        "versions": {
            "bertsent": f"{bertsent.__version__} ({_core.isa()})",
            "tokenizers": tokenizers.__version__,
        },
        "vocabulary": ours.vocab_size,
        "merges": len(ours._settings["merges"]),
        "file_bytes": sizes,
        "texts": len(texts),
        "tokens": n_tokens,
        "bytes": n_bytes,
        "ids_equal": equal,
        "tokens_per_second": {name: common.spread(each) for name, each in rates.items()},
        "mb_per_second": {
            name: common.spread([n_bytes / n_tokens / 1e6 * rate for rate in each])
            for name, each in rates.items()
        },
        "ratio": common.spread(ratios),
        "loading_ms": {
            form: {name: common.spread(each) for name, each in found.items()}
            for form, found in loading.items()
        },
        "samples": {"tokens_per_second": rates, "loading_ms": loading},
    }
    common.write_json(options.output, record)
    print(json.dumps({key: record[key] for key in record if key != "samples"}, indent=2))


if __name__ == "__main__":
    main()
