"""Make tokenizers.json.gz: the ids that transformers gives where files contradict each other.

    python tests/golden/make_tokenizers.py

Needs transformers, which neither the package nor its tests require. The file contains the cases of
tests/tokenizer_cases.py, written out and drawn at random, with their files.
"""

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ["HF_HUB_OFFLINE"] = "1"

import tokenizer_cases as cases  # noqa: E402
import tokenizers  # noqa: E402
import transformers  # noqa: E402

DRAWN = 300


def ids_of(files):
    """Return the ids that AutoTokenizer gives the texts, or None if it does not open the files."""
    with tempfile.TemporaryDirectory(prefix="case") as directory:
        cases.write(files, Path(directory))
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
            return [tokenizer(text)["input_ids"] for text in cases.TEXTS]
        except Exception as error:  # the libraries raise many kinds
            print(f"    {type(error).__name__}: {str(error)[:100]}")
            return None


def main():
    transformers.utils.logging.set_verbosity_error()
    found = []
    for name, files in cases.contradictions():
        ids = ids_of(files)
        if ids is None:
            raise SystemExit(f"transformers cannot read the case: {name}")
        found.append({"name": name, "files": files, "ids": ids})
    for seed in range(DRAWN):
        files = cases.drawn(seed)
        ids = ids_of(files)
        if ids is not None:
            found.append({"name": f"drawn {seed}", "files": files, "ids": ids})
    versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
    content = {"versions": versions, "texts": cases.TEXTS, "vocab": cases.VOCAB, "cases": found}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    with open(HERE / "tokenizers.json.gz", "wb") as file:
        file.write(gzip.compress(text.encode("utf-8"), mtime=0))
    print(f"{len(found)} cases, {len(text):,} characters")


if __name__ == "__main__":
    main()
