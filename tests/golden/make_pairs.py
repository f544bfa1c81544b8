"""Make pairs.json.gz with PyTorch and transformers: ids and logits of pairs of texts.

    python -c "from test_pairs import write_models; write_models('DIR')"     (in tests)
    python tests/golden/make_pairs.py DIR

The first command writes a tiny classifier of each family, always the same. The second needs torch
and transformers, and tokenizes and scores the pairs below with each of them.
"""

import gzip
import inspect
import json
import sys
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).resolve().parent

PAIRS = [
    ("the film was great", "you love it"),
    ("the film was great , and the actor was very good in every scene of it", "a good movie"),
    ("no", "the story was slow and dull , but the end of this movie made it watchable to all"),
    ("this is the best plot you ever see , and the worst end of one",
     "they made a poor film with too much time from the first scene to the last one"),
    ("", "they watch it"), ("they watch it", ""), ("", ""),
    ("Unaffable! <br /> 42", "it's \u00e9t\u00e9 \u4e2d\u6587 & more"),
]
LENGTHS = [8, 9, 12, 17, 64]
# Windows over the second text, of the pairs whose first text is short.
WINDOWS = {"max_length": 14, "stride": 2, "pairs": [0, 2, 4, 5, 6]}


def main():
    found = {"pairs": PAIRS, "windows": WINDOWS, "families": {}}
    for directory in sorted(Path(sys.argv[1]).iterdir()):
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        model = transformers.AutoModelForSequenceClassification.from_pretrained(directory).eval()
        takes = inspect.signature(model.forward).parameters
        first, second = [a for a, _ in PAIRS], [b for _, b in PAIRS]
        of_length = {}
        for length in LENGTHS:
            how = {"truncation": "longest_first", "max_length": length}
            ids = tokenizer(first, second, **how)["input_ids"]
            batch = tokenizer(first, second, padding=True, return_tensors="pt", **how)
            batch = {name: value for name, value in batch.items() if name in takes}
            with torch.no_grad():
                logits = model.double()(**batch).logits
            of_length[length] = {"ids": ids, "logits": logits.tolist()}
        some = [PAIRS[number] for number in WINDOWS["pairs"]]
        windows = tokenizer(
            [pair[0] for pair in some], [pair[1] for pair in some], truncation="only_second",
            max_length=WINDOWS["max_length"], stride=WINDOWS["stride"],
            return_overflowing_tokens=True,
        )
        found["families"][directory.name] = {
            "lengths": of_length, "windows": windows["input_ids"],
            "of_pair": windows["overflow_to_sample_mapping"],
        }
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    with gzip.GzipFile(HERE / "pairs.json.gz", "wb", mtime=0) as file:
        file.write(text.encode())


if __name__ == "__main__":
    main()
