"""Make vocab.json and merges.txt of this directory: a small byte-level vocabulary for tests.

    python tests/data/byte_level/make.py

Needs the tokenizers library. Tokens are numbered as in RoBERTa: `<s>`, `<pad>`, `</s>` and `<unk>`
come first, and `<mask>` comes last. The merges are learned from the bundled sample of reviews.
"""

import csv
import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
SAMPLE = HERE.parents[2] / "bertsent" / "sample" / "reviews.csv"
SIZE = 700


def train(texts, size):
    """Return vocabulary and merges of RoBERTa's kind, learned from texts."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size - 1, special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    model = json.loads(library.to_str())["model"]
    vocab = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    return vocab | {"<mask>": len(vocab)}, [" ".join(pair) for pair in model["merges"]]


def main():
    with open(SAMPLE, encoding="utf-8", newline="") as file:
        texts = [row["review"] for row in csv.DictReader(file)]
    vocab, merges = train(texts, SIZE)
    text = json.dumps(vocab, ensure_ascii=False, indent=0)
    (HERE / "vocab.json").write_text(text + "\n", encoding="utf-8")
    lines = ["#version: 0.2", *merges]
    (HERE / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(vocab)} tokens, {len(merges)} merges")


if __name__ == "__main__":
    main()
