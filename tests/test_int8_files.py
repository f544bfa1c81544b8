"""Weights saved as int8: the same scores in int8, and no file that others can misread."""

import json
import shutil
import struct

import numpy as np
import pytest
from cases import bert_name_of, engine_config, random_params
from conftest import write_tiny_model
from safetensors.numpy import load_file, save_file
from test_classifier import make_texts

import bertsent
from bertsent import _core
from bertsent.errors import CheckpointError
from bertsent.hub.int8 import quantize, restore

WEIGHTS = "model.int8.safetensors"
QUERY = "bert.encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def model():
    """Odd sizes, with rows that are all zeros, of one value, and too small to divide by."""
    config = engine_config(hidden_size=33, intermediate_size=51, num_labels=3, vocab_size=60)
    for name in ("pad_token_id", "classifier_dropout", "num_labels"):
        config.pop(name)
    config |= {"model_type": "bert", "pad_token_id": 0, "num_labels": 3}
    made = bertsent.BertForSequenceClassification.from_config(config, random_state=0)
    params = random_params({**config, "num_labels": 3}, np.random.default_rng(0))
    with made.edit_parameters() as parameters:
        for name, values in params.items():
            parameters[bert_name_of(name)][:] = values
        parameters[QUERY][0] = 0.0
        parameters[QUERY][1] = -0.75
        parameters[QUERY][2] *= 1e-38
        parameters[QUERY][3] *= 1e-30
        parameters[QUERY][5] = 0.25 * np.array([127, 0.5, 1.5, *np.arange(-14.5, 15)])  # ties
        parameters["bert.encoder.layer.1.output.dense.weight"][4, 5] = -1e4
    return made


def score(model, precision):
    rng = np.random.default_rng(1)
    offsets = np.cumsum([0, 9, 30, 1, 17])
    ids = rng.integers(0, 60, offsets[-1]).astype(np.int32)
    return model.score_packed(ids, offsets, precision=precision)


def opened(directory):
    return bertsent.BertForSequenceClassification.from_pretrained(directory)


def test_scoring_in_int8_gives_the_same_bits(model, tmp_path):
    model.save_pretrained(tmp_path / "int8", int8=True)
    again = opened(tmp_path / "int8")
    np.testing.assert_array_equal(score(again, "int8"), score(model, "int8"))
    assert not np.array_equal(score(again, "float32"), score(model, "float32"))
    for name, values in model.parameters.items():
        if "encoder" not in name or values.ndim == 1:
            np.testing.assert_array_equal(again.parameters[name], values, err_msg=name)
    again.save_pretrained(tmp_path / "twice", int8=True)
    first, second = (load_file(tmp_path / name / WEIGHTS) for name in ("int8", "twice"))
    assert first.keys() == second.keys()
    for name, values in first.items():
        if name != QUERY + "_range":  # the row that is too small to divide by has become zeros
            np.testing.assert_array_equal(second[name], values, err_msg=name)


def test_files_hold_int8_and_ranges(model, tmp_path):
    model.save_pretrained(tmp_path / "float32")
    model.save_pretrained(tmp_path / "int8", int8=True)
    assert {path.name for path in (tmp_path / "int8").iterdir()} == {"config.json", WEIGHTS}
    stored = load_file(tmp_path / "int8" / WEIGHTS)
    cut = {name for name, values in stored.items() if values.dtype == np.int8}
    assert len(cut) == 2 * 6 and all(name.startswith("bert.encoder.") for name in cut)
    weight = model.parameters[QUERY]
    rows = stored[QUERY].reshape(weight.shape)
    np.testing.assert_array_equal(stored[QUERY + "_range"], np.abs(weight).max(axis=1))
    assert (rows[1] == -127).all() and not rows[[0, 2]].any()
    assert rows[5, :6].tolist() == [127, 0, 2, -14, -14, -12]
    step = stored[QUERY + "_range"][:, None] / 127
    assert (np.abs(weight - rows * step) <= 0.5001 * step + 1e-37).all()
    sizes = [sum(stored[name].nbytes for name in cut),
             sum(model.parameters[name].nbytes for name in cut)]
    assert sizes[1] == 4 * sizes[0]


def test_what_is_restored_is_cut_alike():
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-35, 37, (400, 1))
    weight = (rng.standard_normal((400, 65)) * scale).astype(np.float32)
    rows, row_range = quantize(weight, "w")
    assert (np.abs(rows).max(axis=1) == 127).all()
    back = restore(rows, row_range)
    assert back.dtype == np.float32
    for found, expected in zip(quantize(back, "w"), (rows, row_range), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_classifier_predicts_the_same(tmp_path):
    texts, labels = make_texts(48)
    clf = bertsent.BertClassifier(
        write_tiny_model(tmp_path / "base"), max_length=16, epochs=2, batch_size=8, verbose=0,
        random_state=0, inference_precision="int8", precision="float32", learning_rate=2e-3,
    ).fit(texts, labels)
    clf.save_pretrained(tmp_path / "model", int8=True)
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.inference_precision == "int8"
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))
    for name in _core.precisions():
        again.set_params(inference_precision=name)
        np.testing.assert_allclose(again.predict_proba(texts), clf.predict_proba(texts), atol=0.05)
    # It can also be trained further.
    clf.set_params(model=tmp_path / "model").fit(texts, labels)


def test_one_kind_takes_the_place_of_the_other(model, tmp_path):
    target = tmp_path / "model"
    model.save_pretrained(target)
    with pytest.raises(FileExistsError):
        model.save_pretrained(target, int8=True)
    exact = score(opened(target), "float32")
    model.save_pretrained(target, overwrite=True, int8=True)
    assert not (target / "model.safetensors").exists()
    with pytest.raises(FileExistsError, match=r"model\.int8\.safetensors"):
        model.save_pretrained(target)
    model.save_pretrained(target, overwrite=True)
    assert not (target / WEIGHTS).exists()
    np.testing.assert_array_equal(score(opened(target), "float32"), exact)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_saved(model, tmp_path, value):
    with model.edit_parameters() as parameters:
        parameters[QUERY][7, 3] = value
    with pytest.raises(ValueError, match="query.weight contains NaN or infinite values"):
        model.save_pretrained(tmp_path / "model", int8=True)
    assert not (tmp_path / "model").exists()


def damaged(key, value):
    def change(stored):
        stored[QUERY + key] = value(stored[QUERY + key])
    return change


def put(array, value):
    array = array.copy()
    array.flat[5] = value
    return array


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda stored: stored.pop(QUERY + "_range"), "int8 without"),
        (damaged("_range", lambda a: a[:-1]), r"has 1089 numbers, and .* F32 and shape \(32,\)"),
        (damaged("_range", lambda a: a[:11]), r"has shape \(11, 99\), but config.json asks for"),
        (damaged("_range", lambda a: a[:, None]), r"type F32 and shape \(33, 1\)"),
        (damaged("_range", lambda a: a[:0]), r"type F32 and shape \(0,\)"),
        (damaged("_range", lambda a: a.astype(np.float16)), "type F16"),
        (damaged("_range", lambda a: put(a, np.nan)), "query.weight is damaged"),
        (damaged("_range", lambda a: put(a, -1.0)), "query.weight is damaged"),
        (damaged("", lambda a: put(a, -128)), "query.weight is damaged"),
        (damaged("", lambda a: a[:-2]), "has 1087 numbers"),
        (damaged("", lambda a: a.reshape(33, 33).astype(np.int16)), "stored as I16"),
        (lambda stored: stored.pop(QUERY), "lack the tensor .*query.weight"),
    ],
)
def test_damage_is_named(model, tmp_path, change, match):
    model.save_pretrained(tmp_path / "model", int8=True)
    stored = load_file(tmp_path / "model" / WEIGHTS)
    change(stored)
    save_file(stored, tmp_path / "model" / WEIGHTS)
    with pytest.raises(CheckpointError, match=match):
        opened(tmp_path / "model")


def test_a_file_that_is_cut_off_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "model", int8=True)
    path = tmp_path / "model" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or incomplete"):
        opened(tmp_path / "model")


def test_under_another_name_it_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path / "model", int8=True)
    path = shutil.move(tmp_path / "model" / WEIGHTS, tmp_path / "model" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"has shape \(1089,\), but config.json asks for"):
        opened(tmp_path / "model")
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    assert header["__metadata__"]["format"] == "bertsent-int8"


def test_transformers_says_that_there_are_no_weights(model, tmp_path):
    transformers = pytest.importorskip("transformers")
    model.save_pretrained(tmp_path / "model", int8=True)
    auto = transformers.AutoModelForSequenceClassification
    with pytest.raises(OSError, match=r"no file named model\.safetensors"):
        auto.from_pretrained(tmp_path / "model")
    shutil.move(tmp_path / "model" / WEIGHTS, tmp_path / "model" / "model.safetensors")
    with pytest.raises(RuntimeError, match="mismatch"):
        auto.from_pretrained(tmp_path / "model")
