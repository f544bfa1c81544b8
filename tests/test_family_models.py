"""Every family that is not BERT does what BERT does, and what transformers does."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from family_models import MODELS, draw_tensors, make_config, write_family_model
from safetensors.numpy import load_file, save_file
from test_classifier import make_texts

import bertsent
from bertsent import _core
from bertsent.cli import doctor, main
from bertsent.errors import CheckpointError, FreshWeightsWarning
from bertsent.hub.families import FAMILIES

TEXTS, LABELS = make_texts(24)
PRECISIONS = [p for p in _core.precisions() if p != "int8"]


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def encoder(name, tmp_path_factory):
    return write_family_model(tmp_path_factory.mktemp("encoder") / name, name)


def classifier(directory, **parameters):
    return bertsent.BertClassifier(directory, **{
        "epochs": 1, "max_length": 16, "batch_size": 8, "random_state": 0, "verbose": 0,
        "n_threads": 1, "learning_rate": 5e-3, "precision": "float32",
    } | parameters)


def test_every_family_is_here():
    assert {"bert", *MODELS} == set(FAMILIES)


# --- from a pretrained encoder to a saved classifier ----------------------------------------


@pytest.mark.parametrize("options", [
    {"precision": PRECISIONS[-1], "inference_precision": "int8", "layer_decay": 0.8},
    {"members": 2, "freeze_layers": 1, "freeze_dropout": True, "pooling": "mean"},
    {"long_text": "windows", "max_length": 8, "pooling": "cls"},
], ids=["reduced precision", "members, frozen layers, means", "windows"])
def test_fit_save_and_predict(encoder, tmp_path, options):
    fitted = classifier(encoder, **options).fit(TEXTS, LABELS)
    expected = fitted.predict_proba(TEXTS)
    assert expected.std(axis=0).max() > 1e-3
    fitted.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), expected)
    fitted.save_pretrained(tmp_path / "int8", int8=True)
    small = bertsent.BertClassifier.from_pretrained(tmp_path / "int8")
    np.testing.assert_allclose(small.predict_proba(TEXTS), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_does_not_depend_on_threads_and_learns(encoder, precision):
    runs = [
        classifier(
            encoder, epochs=15, n_threads=n, precision=precision, inference_precision="float32",
        ).fit(TEXTS, LABELS)
        for n in (1, 2)
    ]
    assert runs[0].score(TEXTS, LABELS) >= 0.9
    first, second = (run.model_.parameters for run in runs)
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)


def test_a_frozen_cache_changes_no_bit(encoder):
    options = {"freeze_layers": 1, "freeze_dropout": True, "epochs": 2}
    cached = classifier(encoder, frozen_cache="float32", **options).fit(TEXTS, LABELS)
    plain = classifier(encoder, frozen_cache="off", **options).fit(TEXTS, LABELS)
    before = load_file(encoder / "model.safetensors")
    for key, value in plain.model_.parameters.items():
        np.testing.assert_array_equal(value, cached.model_.parameters[key], err_msg=key)
        family = FAMILIES[plain.model_.config["model_type"]]
        if family.is_encoder(key):
            own = before[key.removeprefix(family.prefix)]
            assert np.array_equal(value, own) == (".1." not in key), key


class Stop(Exception):
    pass


def stop_at_the_third_step(event):
    if event.get("step") == 3:
        raise Stop


def test_an_interrupted_run_resumes_exactly(encoder, tmp_path):
    options = {"epochs": 2}
    whole = classifier(encoder, **options).fit(TEXTS, LABELS)
    options |= {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 2}
    with pytest.raises(Stop):
        classifier(encoder, callbacks=[stop_at_the_third_step], **options).fit(TEXTS, LABELS)
    resumed = classifier(encoder, resume=True, **options).fit(TEXTS, LABELS)
    for key, value in whole.model_.parameters.items():
        np.testing.assert_array_equal(value, resumed.model_.parameters[key], err_msg=key)


def test_a_classifier_of_another_program_keeps_its_classes(name, tmp_path):
    labels = {"0": "sad", "1": "angry", "2": "glad"}
    directory = write_family_model(tmp_path / name, name, 3, id2label=labels)
    plain = bertsent.BertForSequenceClassification.from_pretrained(directory)
    assert plain.id2label == {0: "sad", 1: "angry", 2: "glad"}
    tokenizer = bertsent.Tokenizer.from_files(directory)
    loaded = bertsent.BertClassifier.from_pretrained(directory)
    loaded.set_params(inference_precision="float32")
    assert list(loaded.classes_) == ["angry", "glad", "sad"]
    logits = plain(**tokenizer(TEXTS, padding=True))[:, [1, 2, 0]]
    np.testing.assert_allclose(loaded.decision_function(TEXTS), logits, rtol=1e-5, atol=1e-5)


def test_a_generator_is_told_from_a_discriminator(tmp_path):
    directory = write_family_model(tmp_path / "electra", "electra", 2)
    tensors = load_file(directory / "model.safetensors")
    zeros = np.zeros((4, 4), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_file(
            tensors | {"discriminator_predictions.dense.weight": zeros},
            directory / "model.safetensors",
        )
        bertsent.BertForSequenceClassification.from_pretrained(directory)
    save_file(tensors | {"generator_predictions.dense.weight": zeros},
              directory / "model.safetensors")
    with pytest.warns(FreshWeightsWarning, match="generator_predictions.*ELECTRA classifier does"):
        bertsent.BertForSequenceClassification.from_pretrained(directory)


def test_pretrain(name, encoder, tmp_path):
    if FAMILIES[name].masked_lm is None:
        with pytest.raises(CheckpointError, match="ELECTRA models cannot be pretrained"):
            bertsent.pretrain(TEXTS, tmp_path / "out", model=encoder, epochs=1, verbose=0)
        return
    bertsent.pretrain(TEXTS, tmp_path / "out", model=encoder, epochs=1, max_length=16, verbose=0)
    saved = load_file(tmp_path / "out" / "model.safetensors")
    expected = draw_tensors(make_config(name), 1, masked_lm=True)
    assert {key: value.shape for key, value in saved.items()} == {
        key: value.shape for key, value in expected.items()
    }
    again = classifier(tmp_path / "out").fit(TEXTS, LABELS)
    assert np.isfinite(again.predict_proba(TEXTS)).all()


def test_commands(name, encoder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "SECONDS", 0.002)
    data = tmp_path / "texts.csv"
    pd.DataFrame({"review": TEXTS, "sentiment": LABELS}).to_csv(data, index=False)
    called = FAMILIES[name].name
    assert main(["inspect", str(encoder)]) == 0
    assert f"{called}, 2 layers" in capsys.readouterr().out
    model = ["--model", str(encoder)]
    assert main(["doctor", "--data", str(data), *model]) == 0
    assert "not available" not in capsys.readouterr().out
    train = ["train", str(data), *model, "--max-length", "16", "--epochs", "1"]
    assert main([*train, "--dry-run"]) == 0
    assert main([*train, "--output", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == name
    assert main(["predict", str(tmp_path / "out"), "--text", "a good film"]) == 0


# --- against transformers -------------------------------------------------------------------

# Sizes of the base models on the hub.
BASE = {
    "distilbert": {
        "vocab_size": 30522, "dim": 768, "n_heads": 12, "n_layers": 6, "hidden_dim": 3072,
        "max_position_embeddings": 512,
    },
    "electra": {
        "vocab_size": 30522, "embedding_size": 768, "hidden_size": 768, "num_attention_heads": 12,
        "num_hidden_layers": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
    },
    "mpnet": {
        "vocab_size": 30527, "hidden_size": 768, "num_attention_heads": 12,
        "num_hidden_layers": 12, "intermediate_size": 3072, "max_position_embeddings": 514,
    },
    "roberta": {
        "vocab_size": 50265, "hidden_size": 768, "num_attention_heads": 12,
        "num_hidden_layers": 12, "intermediate_size": 3072, "max_position_embeddings": 514,
    },
}


def _random_batch(config, rng, longest=70):
    lengths = np.array([longest, 3, 41, 1, 66, 17])
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    ids = rng.integers(5, config["vocab_size"], mask.shape)
    return np.where(mask == 1, ids, config["pad_token_id"]), mask


def _by_transformers(directory, ids, mask, **changes):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        logits = theirs(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)
        ).logits.numpy()
    return logits, theirs


def test_logits_at_base_size_equal_those_of_transformers(name, tmp_path):
    pytest.importorskip("transformers")
    directory = write_family_model(tmp_path / name, name, 3)
    config = make_config(name, **BASE[name], num_labels=3)
    tensors = draw_tensors(config, 3)
    scale = {key: 0.02 / 0.1 if value.ndim == 2 else 1.0 for key, value in tensors.items()}
    save_file(
        {key: value * np.float32(scale[key]) for key, value in tensors.items()},
        directory / "model.safetensors",
    )
    (directory / "config.json").write_text(json.dumps(config))
    ours = bertsent.BertForSequenceClassification.from_pretrained(directory)
    ids, mask = _random_batch(config, np.random.default_rng(0))
    expected, _ = _by_transformers(directory, ids, mask)
    assert np.ptp(expected, axis=0).min() > 0.01
    np.testing.assert_allclose(ours(ids, mask), expected, rtol=0, atol=1e-4)


def test_transformers_opens_what_was_saved(name, encoder, tmp_path):
    pytest.importorskip("transformers")
    fitted = classifier(encoder, epochs=2).fit(TEXTS, LABELS)
    fitted.save_pretrained(tmp_path / "saved")
    ids, mask = _random_batch(fitted.model_.config, np.random.default_rng(0), 40)
    expected, theirs = _by_transformers(tmp_path / "saved", ids, mask)
    np.testing.assert_allclose(fitted.model_(ids, mask), expected, rtol=0, atol=1e-5)
    assert theirs.config.id2label == fitted.model_.id2label
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    ours = bertsent.Tokenizer.from_files(tmp_path / "saved")
    for text in [*TEXTS[:4], "Crème BRÛLÉE, 20% off!!", "a [SEP] b </s> c"]:
        assert tokenizer(text)["input_ids"] == ours.encode(text)
        assert tokenizer(text, "so it was")["input_ids"] == ours.encode(text, "so it was")
