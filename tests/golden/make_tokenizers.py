"""Make tokenizers.json.gz and byte_level.json.gz: what transformers makes of contradictory files.

    python tests/golden/make_tokenizers.py

Needs transformers, which neither the package nor its tests require. The files contain the cases of
tests/tokenizer_cases.py and tests/byte_level_cases.py, written out and drawn at random, with their
files and the ids that transformers gives. Of byte-level tokenizers, they also contain the places of
the tokens and the ids of pairs.
"""

import gzip
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ["HF_HUB_OFFLINE"] = "1"

import byte_level_cases  # noqa: E402
import tokenizer_cases  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402


def opened(cases, files, look):
    """Return what `look` finds in a tokenizer, or None if AutoTokenizer does not open the files."""
    with tempfile.TemporaryDirectory(prefix="case") as directory:
        cases.write(files, Path(directory))
        try:
            return look(transformers.AutoTokenizer.from_pretrained(directory))
        except Exception as error:  # the libraries raise many kinds
            print(f"    {type(error).__name__}: {str(error)[:100]}")
            return None


def ids_of(tokenizer):
    return [tokenizer(text)["input_ids"] for text in tokenizer_cases.TEXTS]


def all_of(tokenizer):
    """Return ids and places of the tokens of each text, and the ids of pairs."""
    texts = byte_level_cases.TEXTS
    rows = [tokenizer(text, return_offsets_mapping=True) for text in texts]
    return {
        "texts": [row["input_ids"] for row in rows],
        "places": [row["offset_mapping"] for row in rows],
        "pairs": [tokenizer(*pair)["input_ids"] for pair in itertools.pairwise(texts)],
    }


def make(name, cases, look, key, drawn, **more):
    """Write one file. `key` is the entry of a case for what `look` finds."""
    found = []
    for case, files in cases.contradictions():
        result = opened(cases, files, look)
        if result is None:
            raise SystemExit(f"transformers cannot read the case: {case}")
        found.append({"name": case, "files": files, key: result})
    for seed in range(drawn):
        files = cases.drawn(seed)
        result = opened(cases, files, look)
        if result is not None:
            found.append({"name": f"drawn {seed}", "files": files, key: result})
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    content = {"versions": versions, "texts": cases.TEXTS, **more, "cases": found}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    with open(HERE / f"{name}.json.gz", "wb") as file:
        file.write(gzip.compress(text.encode("utf-8"), mtime=0))
    print(f"{name}: {len(found)} cases, {len(text):,} characters")


def main():
    transformers.utils.logging.set_verbosity_error()
    make("tokenizers", tokenizer_cases, ids_of, "ids", 300, vocab=tokenizer_cases.VOCAB)
    make("byte_level", byte_level_cases, all_of, "found", 90)


if __name__ == "__main__":
    main()
