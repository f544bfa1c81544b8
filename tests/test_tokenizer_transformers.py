"""Tokenizers that one library saves are the same in the other, where transformers is installed."""

import itertools
import json
import os

import pytest
import tokenizer_cases as cases
from conftest import write_tiny_model

from bertsent import BertClassifier, WordPieceTokenizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers", minversion="5.0")
transformers.utils.logging.set_verbosity_error()
CASES = dict(cases.contradictions())
DRAWN = 150


def theirs(directory):
    return transformers.AutoTokenizer.from_pretrained(str(directory))


def ids_of(tokenizer):
    """Return the ids of texts, of pairs, and of texts whose special tokens are split."""
    pairs = itertools.pairwise(cases.TEXTS)
    return {
        "texts": [list(tokenizer(text)["input_ids"]) for text in cases.TEXTS],
        "pairs": [list(tokenizer(first, second)["input_ids"]) for first, second in pairs],
        "split": [
            list(tokenizer(text, split_special_tokens=True)["input_ids"]) for text in cases.TEXTS
        ],
    }


def ours(directory):
    """Return a tokenizer and the same ids. A file can have other pairs than those of BERT."""
    tokenizer = WordPieceTokenizer.from_files(directory)
    ids = {"texts": [tokenizer.encode(text) for text in cases.TEXTS]}
    if tokenizer._settings.get("pairs", True):
        ids["pairs"] = [tokenizer.encode(*pair) for pair in itertools.pairwise(cases.TEXTS)]
    ids["split"] = [tokenizer.encode(text, split_special_tokens=True) for text in cases.TEXTS]
    return tokenizer, ids


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a case, and returns its directory."""

    def write(files):
        # transformers looks for the names of models in the path of a directory.
        directory = tmp_path / "case"
        directory.mkdir()
        cases.write(files, directory)
        return directory

    return write


@pytest.mark.parametrize("name", CASES)
def test_files_go_both_ways(folder, tmp_path, name):
    directory = folder(CASES[name])
    original = theirs(directory)
    expected = ids_of(original)
    tokenizer, ids = ours(directory)
    assert ids == {view: expected[view] for view in ids}
    tokenizer.save_pretrained(tmp_path / "ours")
    saved = ids_of(theirs(tmp_path / "ours"))
    assert ids == {view: saved[view] for view in ids}
    original.save_pretrained(tmp_path / "theirs")
    again = ids_of(theirs(tmp_path / "theirs"))  # not always what was saved
    assert ours(tmp_path / "theirs")[1] == {view: again[view] for view in ids}


@pytest.mark.parametrize("part", range(10))
def test_random_files(folder, tmp_path, part):
    """Other files than those that are stored; some of them transformers does not open."""
    compared = 0
    for number in range(DRAWN // 10):
        directory = tmp_path / str(number)
        directory.mkdir()
        cases.write(cases.drawn(100_000 + 100 * part + number), directory)
        try:
            expected = ids_of(theirs(directory))
        except Exception:  # the libraries raise many kinds
            continue
        tokenizer, ids = ours(directory)
        assert ids == expected, number
        tokenizer.save_pretrained(directory / "saved")
        saved = ids_of(theirs(directory / "saved"))
        for view in ("texts", "pairs"):  # a token that has a role becomes special
            assert saved[view] == expected[view], number
        compared += 1
    assert compared > 10


def test_a_pipeline_can_truncate(tmp_path):
    """The tokenizer that training started from knows no length."""
    pytest.importorskip("torch")
    base = write_tiny_model(tmp_path / "base")
    config = base / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": 1e30}))
    texts = ["a great film " * 300, "a dull film"]
    clf = BertClassifier(base, epochs=1, max_length=16, verbose=0, random_state=0)
    clf.fit(texts * 8, ["pos", "neg"] * 8).save_pretrained(tmp_path / "ours")
    pipeline = transformers.pipeline("text-classification", str(tmp_path / "ours"), top_k=None)
    clf.set_params(max_length=64, inference_long_text="head", inference_precision="float32")
    for text, (neg, pos) in zip(texts, clf.predict_proba(texts), strict=True):
        scores = {each["label"]: each["score"] for each in pipeline([text], truncation=True)[0]}
        assert scores == pytest.approx({"neg": neg, "pos": pos}, abs=1e-4)
