"""Two builds of bertsent in turn: how fast each trains and scores.

    python benchmarks/paired.py --data reviews.csv --before OLD/bin/python --after NEW/bin/python \
        --model minilm --output benchmarks/results/paired_minilm.json

Each side is a process of its own, with its own interpreter, that stays alive and works only when
asked. In every round both sides do the same work, one after the other, and the order alternates.
What counts is the ratio of a round, so a machine whose speed drifts does not matter. Only public
names of bertsent are used, so that builds with other modules can be compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import common
import pandas as pd

PRECISIONS = ("float32", "bfloat16")


def parse_arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", help="CSV with the columns review and sentiment")
    p.add_argument("--before", help="interpreter in whose environment the earlier build is")
    p.add_argument("--after", help="interpreter in whose environment the later build is")
    p.add_argument("--model", default="minilm", help="name, directory, or 'base' for BERT-base "
                   "with random weights (speed is unaffected)")
    p.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    p.add_argument("--rounds", type=int, default=9)
    p.add_argument("--steps", type=int, default=6, help="training steps in a round")
    p.add_argument("--texts", type=int, default=96, help="texts scored in a round")
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--output")
    p.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
    return p.parse_args()


# --- one side ---------------------------------------------------------------------------------


class Rate:
    """A callback that keeps tokens and seconds of each step but the first of a call."""

    def __init__(self):
        self.tokens = self.seconds = 0

    def on_step(self, facts):
        if facts["step"] > 1:
            self.tokens += facts["tokens"]
            self.seconds += facts["seconds"]


def serve(args):
    """Do what is asked for, a line of JSON each, until the input ends."""
    import warnings

    import bertsent

    warnings.simplefilter("ignore")
    frame = pd.read_csv(args.data, keep_default_na=False, nrows=4000)
    texts, labels = frame["review"].tolist(), frame["sentiment"].tolist()
    classifiers = {}
    for line in sys.stdin:
        job = json.loads(line)
        precision, first = job["precision"], job["first"]
        if job["what"] == "train":
            # Both classes are among any sixteen reviews of a shuffled file, or a few more.
            part = slice(first, first + 16 * (args.steps + 1))
            rate = Rate()
            clf = bertsent.BertClassifier(
                args.model, max_length=args.max_length, epochs=1, precision=precision,
                inference_precision=precision, n_threads=args.threads, random_state=0,
                verbose=0, callbacks=rate,
            ).fit(texts[part], labels[part])
            classifiers[precision] = clf
            answer = {"tokens": rate.tokens, "seconds": rate.seconds}
        else:
            part = texts[first : first + args.texts]
            clf = classifiers[precision]
            tokens = int(clf.tokens_read(part)["tokens_read"].sum())
            began = time.perf_counter()
            clf.predict_proba(part)
            answer = {"tokens": tokens, "seconds": time.perf_counter() - began}
        print(json.dumps(answer), flush=True)


# --- the comparison ---------------------------------------------------------------------------


class Side:
    """A build in a process of its own."""

    def __init__(self, python, args, model):
        program = [
            python, str(Path(__file__).resolve()), "--side", "--data", args.data, "--model", model,
            "--steps", str(args.steps), "--texts", str(args.texts), "--threads", str(args.threads),
            "--max-length", str(args.max_length),
        ]
        self.process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=common.quiet_environment(foreign=True), cwd=Path(python).parent,
        )

    def rate(self, what, precision, first):
        """Tokens per second."""
        job = {"what": what, "precision": precision, "first": first}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["tokens"] / answer["seconds"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def write_base(python, folder):
    """Write BERT-base with random weights and MiniLM's tokenizer, which is BERT's."""
    program = (
        "import sys, bertsent; m = bertsent.BertForSequenceClassification; "
        "sizes = dict(vocab_size=30522, hidden_size=768, num_hidden_layers=12, "
        "num_attention_heads=12, intermediate_size=3072, max_position_embeddings=512, "
        "type_vocab_size=2, model_type='bert', hidden_act='gelu', id2label={0: 'a', 1: 'b'}); "
        "m.from_config(sizes, random_state=0).save_pretrained(sys.argv[1], overwrite=True, "
        "tokenizer=bertsent.WordPieceTokenizer.from_pretrained('minilm'))"
    )
    subprocess.run([python, "-c", program, folder], check=True, cwd=Path(python).parent)


def compare(args, sides):
    """Rates of both sides in each round, by what they do and in which precision."""
    found = {}
    for precision in args.precisions:
        for what in ("train", "score"):
            rates = {name: [] for name in sides}
            for number in range(-1, args.rounds):  # the first is a warm-up
                order = list(sides) if number % 2 else list(reversed(sides))
                for name in order:
                    # Every round has other texts, the same for both.
                    rate = sides[name].rate(what, precision, 128 * (number % 24 + 1))
                    if number >= 0:
                        rates[name].append(round(rate, 1))
            ratios = [a / b for a, b in zip(rates["after"], rates["before"], strict=True)]
            found[f"{what} {precision}"] = {
                "tokens_per_second": rates, "ratio": common.spread(ratios),
                "ratios": [round(r, 4) for r in ratios],
            }
            print(f"{what} {precision}: after/before {common.spread(ratios)}", flush=True)
    return found


def main():
    args = parse_arguments()
    if args.side:
        return serve(args)
    model = args.model
    if model == "base":
        model = str(Path(args.output).resolve().with_suffix(".model"))
        write_base(args.before, model)
    sides = {"before": Side(args.before, args, model), "after": Side(args.after, args, model)}
    try:
        found = compare(args, sides)
    finally:
        for side in sides.values():
            side.close()
    common.write_json(args.output, {
        "machine": common.machine(), "model": args.model, "rounds": args.rounds,
        "steps": args.steps, "texts": args.texts, "max_length": args.max_length,
        "threads": args.threads, "results": found,
    })


if __name__ == "__main__":
    main()
