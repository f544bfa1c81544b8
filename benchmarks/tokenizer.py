"""Tokenizing speed beside the `tokenizers` library, on the same texts, ids compared.

    python benchmarks/tokenizer.py --model DIR --data reviews.csv --output result.json

Bytes are those of the texts' UTF-8, as far as the texts are read: all of them without truncation.
Each figure is the median of several runs after one that warms up, with the range beside it; the
first run on texts and memory never touched is reported apart. Times are CPU times of the process
divided by the number of threads asked for where `--cpu-time` is given, which suits a busy machine.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tokenizers
from tokenizers import Tokenizer

from bertsent import WordPieceTokenizer

# Sentences of our own, repeated: what counts is the mix of scripts.
LANGUAGES = {
    "Chinese": "这部电影非常好看,演员的表演也很到位。我推荐给大家,值得一看!故事讲得慢了一点。",
    "Russian": "Этот фильм меня удивил: прекрасная игра актёров, сильный сценарий, музыка. ",
    "Hindi": "यह फ़िल्म बहुत अच्छी थी, लेकिन अंत थोड़ा कमज़ोर लगा। संगीत सुंदर है और कहानी भी। ",
    "emoji tweets": "lol 😂😂 best movie EVER!!! ❤️ #mustsee @someone 👩‍👩‍👧 who's in? 🍿🎬 10/10 ",
}


def adversarial(size):
    """Return texts that are slow where time is not linear."""
    return {
        "one word without end": ["x" * size],
        "words of 99 letters": [("ab" * 49 + "x ") * (size // 100)],
        "combining marks": ["a" + "\u0301\u302e" * (size // 5)],
        "opening brackets": ["[" * size],
    }


class Timer:
    """Measures runs by wall clock, or by CPU time where other work disturbs the clock."""

    def __init__(self, cpu, runs):
        self.now = time.process_time if cpu else time.perf_counter
        self.cpu, self.runs = cpu, runs

    def rates(self, call, size, threads):
        """Return the first rate and median, least and best of the others, in MB/s."""
        times = []
        for _ in range(self.runs + 1):
            start = self.now()
            call()
            times.append((self.now() - start) / (threads if self.cpu else 1))
        mb = [size / 1e6 / t for t in times]
        rest = mb[1:]
        return {
            "first": mb[0], "median": statistics.median(rest), "least": min(rest), "best": max(rest)
        }  # fmt: skip


def compare(name, texts, ours, theirs, timer, threads, max_length=None, peer_texts=None):
    """Measure both on the same texts and count the texts with equal ids."""
    size = sum(len(text.encode()) for text in texts)
    sample = texts[: peer_texts or len(texts)]
    sample_size = sum(len(text.encode()) for text in sample)
    if max_length:
        theirs.enable_truncation(max_length)
    else:
        theirs.no_truncation()
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    mine = timer.rates(
        lambda: ours.encode_batch(texts, max_length, n_threads=threads), size, threads
    )
    peer = timer.rates(lambda: theirs.encode_batch_fast(sample), sample_size, threads)
    encoding = ours.encode_batch(sample, max_length)
    rows = np.split(encoding.ids, encoding.offsets[1:-1])
    equal = sum(
        row.tolist() == other.ids
        for row, other in zip(rows, theirs.encode_batch_fast(sample), strict=True)
    )
    result = {
        "texts": name, "count": len(texts), "megabytes": size / 1e6, "max_length": max_length,
        "threads": threads, "bertsent": mine, "tokenizers": peer,
        "ratio": mine["median"] / peer["median"], "equal": equal / len(sample),
    }  # fmt: skip
    print(
        f"{name:24} {threads} thread(s) max_length {max_length or '-':>4}  "
        f"bertsent {mine['median']:7.1f} MB/s ({mine['least']:.1f}-{mine['best']:.1f}, "
        f"first {mine['first']:.1f})  tokenizers {peer['median']:6.2f}  "
        f"x{result['ratio']:6.1f}  equal {result['equal']:.2%}",
        flush=True,
    )
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", required=True, help="directory of a BERT, uncased")
    parser.add_argument("--data", required=True, help="CSV with a column review")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--peer-rows", type=int, default=2_000, help="texts that the peer is given")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--output", help="JSON file")
    args = parser.parse_args()
    timer = Timer(args.cpu_time, args.runs)
    reviews = pd.read_csv(args.data, keep_default_na=False).review.tolist()[: args.rows]

    builds = []
    for _ in range(args.runs):
        ours = WordPieceTokenizer.from_files(args.model)
        start = timer.now()
        ours._core.__class__(
            ours.convert_ids_to_tokens(range(len(ours))), unk_id=ours.unk_token_id,
            cls_id=ours.cls_token_id, sep_id=ours.sep_token_id,
        )  # fmt: skip
        builds.append(timer.now() - start)
    print(f"building from {len(ours)} entries: {statistics.median(builds) * 1e3:.1f} ms")

    theirs = Tokenizer.from_file(str(Path(args.model, "tokenizer.json")))
    theirs.no_padding()
    results = []
    for threads in (1, 2):
        for length in (None, 256):
            results.append(
                compare("IMDB", reviews, ours, theirs, timer, threads, length, args.peer_rows)
            )
    for name, sentence in LANGUAGES.items():
        texts = [sentence * (1 + i % 20) for i in range(2_000)]
        results.append(compare(name, texts, ours, theirs, timer, 1, None, 200))
    for name, texts in adversarial(1_000_000).items():
        results.append(compare(name, texts, ours, theirs, timer, 1))
    if args.output:
        report = {
            "machine": platform.processor() or platform.machine(),
            "python": platform.python_version(), "tokenizers": tokenizers.__version__,
            "clock": "cpu" if args.cpu_time else "wall", "runs": args.runs,
            "build_ms": statistics.median(builds) * 1e3, "results": results,
        }  # fmt: skip
        Path(args.output).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
