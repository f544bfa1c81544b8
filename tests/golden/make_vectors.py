"""Make vectors.npz with PyTorch and transformers: vectors of texts, by the definition.

    python -c "from test_pairs import write_models; write_models('DIR')"     (in tests)
    python tests/golden/make_vectors.py DIR MINILM

The first command writes a tiny classifier of each family, always the same. The second needs torch,
transformers and sentence-transformers. Vectors of the tiny models follow from the last hidden
states in float64: their mean over the attention mask, or the first one. Those of all-MiniLM-L6-v2,
in the directory MINILM, are what sentence-transformers returns in float32.
"""

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer

HERE = Path(__file__).resolve().parent

TEXTS = [
    "the film was great", "you love it", "no", "",
    "this is the best plot you ever see , and the worst end of one",
    "the story was slow and dull , but the end of this movie made it watchable to all of us",
    "Unaffable! <br /> 42", "it's \u00e9t\u00e9 \u4e2d\u6587 & more",
    "a good movie with a very good actor in every scene of it . " * 12,
]
LENGTH = 24


def of_definition(directory):
    """Return the mean over the attention mask, and the output for [CLS]."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModel.from_pretrained(directory).eval().double()
    takes = inspect.signature(model.forward).parameters
    batch = tokenizer(
        TEXTS, padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    with torch.no_grad():
        given = {name: value for name, value in batch.items() if name in takes}
        states = model(**given).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1).double()
    return (states * mask).sum(dim=1) / mask.sum(dim=1), states[:, 0]


def main():
    out = {"texts": json.dumps(TEXTS), "length": LENGTH}
    for directory in sorted(Path(sys.argv[1]).iterdir()):
        mean, cls = of_definition(directory)
        out[f"{directory.name}/mean"], out[f"{directory.name}/cls"] = mean.numpy(), cls.numpy()
    out["minilm"] = SentenceTransformer(sys.argv[2], device="cpu").encode(TEXTS)
    np.savez_compressed(HERE / "vectors.npz", **out)


if __name__ == "__main__":
    main()
