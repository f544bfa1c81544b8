"""The engine with a real model, MiniLM, against transformers."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from bertsent.model.bert import BertForSequenceClassification
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

GOLDEN = Path(__file__).resolve().parent / "golden" / "minilm.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def model(minilm_dir, golden):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the classifier is random, and replaced below
        made = BertForSequenceClassification.from_pretrained(minilm_dir, num_labels=3)
    with made.edit_parameters() as parameters:
        parameters["classifier.weight"][...] = golden["weight"]
        parameters["classifier.bias"][...] = golden["bias"]
    return made


def _padded(encoded):
    lengths = np.diff(encoded.offsets)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.zeros(mask.shape, np.int64)
    ids[mask == 1] = encoded.ids
    return ids, mask


def test_logits_of_minilm_equal_those_of_transformers(minilm_dir, golden, model):
    tokenizer = WordPieceTokenizer.from_pretrained(minilm_dir)
    texts = json.loads(str(golden["texts"]))
    encoded = tokenizer.encode_batch(texts, max_length=int(golden["max_length"]))
    np.testing.assert_array_equal(encoded.ids, golden["ids"])
    np.testing.assert_array_equal(encoded.offsets, golden["offsets"])
    logits = model(*_padded(encoded))
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-4)


def test_logits_on_64_reviews_equal_those_of_transformers(minilm_dir, golden, model, imdb):
    tokenizer = WordPieceTokenizer.from_pretrained(minilm_dir)
    reviews = imdb["review"].iloc[:64]
    encoded = tokenizer.encode_batch(reviews, max_length=int(golden["max_length"]))
    logits = model(*_padded(encoded))
    np.testing.assert_allclose(logits, golden["imdb_logits"], rtol=0, atol=1e-4)


def _by_transformers(directory, ids, mask):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        return theirs(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
        ).logits.numpy()


def test_saved_minilm_gives_the_same_logits_in_transformers(model, imdb, tmp_path, minilm_dir):
    pytest.importorskip("transformers")
    tokenizer = WordPieceTokenizer.from_pretrained(minilm_dir)
    ids, mask = _padded(tokenizer.encode_batch(imdb["review"].iloc[64:128], max_length=128))
    model.save_pretrained(tmp_path / "saved")
    theirs = _by_transformers(tmp_path / "saved", ids, mask)
    np.testing.assert_allclose(model(ids, mask), theirs, rtol=0, atol=1e-4)


def test_saved_tiny_model_gives_the_same_logits_in_transformers(tiny_model_dir, tmp_path):
    pytest.importorskip("transformers")
    ours = BertForSequenceClassification.from_pretrained(
        tiny_model_dir(classifier=3, prefix="bert.", hidden_act="gelu_new")
    )
    ids = np.random.default_rng(0).integers(5, 90, (6, 20))
    mask = (np.arange(20) < np.array([[20], [3], [11], [1], [19], [8]])).astype(np.int64)
    ours.save_pretrained(tmp_path / "saved")
    theirs = _by_transformers(tmp_path / "saved", ids, mask)
    np.testing.assert_allclose(ours(ids, mask), theirs, rtol=0, atol=1e-5)
