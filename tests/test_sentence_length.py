"""The length of a sentence encoder: a bound of max_length="auto"."""

import json
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_tiny_model
from family_models import write_family_model
from test_classifier import make_texts

from bertsent import BertClassifier, BertForSequenceClassification
from bertsent.classifier.plan import describe_limit, list_rungs
from bertsent.cli import main
from bertsent.hub import length_limit, read_config, read_model_shape, resolve_directory

TEXTS, LABELS = make_texts(24)


def write_encoder(directory, length=12, **options):
    """Write a tiny sentence encoder; `length` is the content of sentence_bert_config.json."""
    write_tiny_model(directory, **options)
    (directory / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    return directory


def limit_of(directory):
    return length_limit(*read_model_shape(directory))


@pytest.mark.parametrize("saved, limit", [
    (12, 12), (3, 3), (64, 64), (100, 64), (2, 64), (None, 64), (True, 64), ("12", 64), (12.0, 64),
])
def test_smaller_of_length_and_positions(tmp_path, saved, limit):
    assert limit_of(write_encoder(tmp_path, saved)) == limit


@pytest.mark.parametrize("content", ["", "{", "[12]", '{"max_seq_length": NaN}'])
def test_damaged_file_is_ignored(tmp_path, content):
    (write_encoder(tmp_path) / "sentence_bert_config.json").write_text(content)
    assert limit_of(tmp_path) == 64


def test_reading_stays_the_same_when_saved(make, tmp_path):
    encoder = write_encoder(tmp_path / "encoder")
    clf = make(model=encoder, max_length="auto", inference_long_text="head").fit(TEXTS, LABELS)
    assert clf.max_length_ == 12
    assert make(model=encoder, max_length=30).fit(TEXTS, LABELS).max_length_ == 30
    saved = tmp_path / "saved"
    clf.save_pretrained(saved)
    opened = BertClassifier.from_pretrained(saved)
    assert opened.max_length_ == 12
    assert (opened.predict_proba(TEXTS) == clf.predict_proba(TEXTS)).all()
    # Training that starts from it reads as much, also if only the bare model was saved.
    BertForSequenceClassification.from_pretrained(saved).save_pretrained(tmp_path / "bare")
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        if (saved / name).exists():
            (tmp_path / "bare" / name).write_bytes((saved / name).read_bytes())
    for start in (saved, tmp_path / "bare"):
        assert not (start / "sentence_bert_config.json").exists()
        assert make(model=start, max_length="auto").fit(TEXTS, LABELS).max_length_ == 12


def test_partial_fit(make, tmp_path):
    clf = make(model=write_encoder(tmp_path), max_length="auto")
    assert clf.partial_fit(TEXTS, LABELS, classes=sorted(set(LABELS))).max_length_ == 12
    assert clf.partial_fit(TEXTS, LABELS).max_length_ == 12


def test_time_budget_does_not_exceed_it():
    free = {"epochs": "auto", "max_length": "auto", "freeze_layers": "auto", "time_budget": 60,
            "stride": 0}
    assert {rung.max_length for rung in list_rungs(free, 384, 12)} == {384, 256, 128}
    said = describe_limit(free, {"max_seq_length": 384}, 384)
    assert said.startswith("max_length=384 is the most that is chosen for this model")
    assert describe_limit(free, {"max_seq_length": 384}, 128) is None  # it limits nothing
    assert describe_limit(free | {"max_length": 384}, {"max_seq_length": 384}, 384) is None
    assert describe_limit(free | {"time_budget": None}, {"max_seq_length": 384}, 256) is None
    assert describe_limit(free, {"max_seq_length": 512}, 512) is None


def test_it_is_told(make, tmp_path, capsys):
    encoder = write_encoder(tmp_path / "encoder")
    make(model=encoder, max_length="auto", verbose=1).fit(TEXTS, LABELS)
    assert "max_length=12 is the most that is chosen" in capsys.readouterr().err
    make(model=encoder, max_length=20, verbose=1).fit(TEXTS, LABELS)
    assert "is the most that is chosen" not in capsys.readouterr().err


def test_command_line(tmp_path, capsys):
    encoder = write_encoder(tmp_path / "encoder")
    rows = [f"{text} {number}" for number, text in enumerate(TEXTS)]
    pd.DataFrame({"review": rows, "sentiment": LABELS}).to_csv(tmp_path / "data.csv", index=False)
    code = main([
        "train", str(tmp_path / "data.csv"), "--model", str(encoder), "--dry-run",
        "--output", str(tmp_path / "out"),
    ])
    said, errors = capsys.readouterr()
    assert code == 0, errors
    assert "--max-length 12 (auto)" in said
    assert "--max-length 12 is the most that is chosen" in said


def test_encoder_in_a_folder(tmp_path):
    inner = write_family_model(tmp_path / "st" / "0_Transformer", "mpnet")
    (inner / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    pooling = tmp_path / "st" / "1_Pooling"
    pooling.mkdir()
    (pooling / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]
    (tmp_path / "st" / "modules.json").write_text(json.dumps(modules))
    assert resolve_directory(tmp_path / "st") == inner
    for given in (tmp_path / "st", inner):
        raw, engine = read_model_shape(resolve_directory(given))
        assert (engine["pooling"], length_limit(raw, engine)) == ("mean", 9)


def test_folder_of_an_encoder_may_not_be_a_link(tmp_path):
    write_tiny_model(tmp_path / "elsewhere")
    (tmp_path / "st").mkdir()
    Path(tmp_path / "st" / "0_Transformer").symlink_to(tmp_path / "elsewhere")
    modules = [{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]
    (tmp_path / "st" / "modules.json").write_text(json.dumps(modules))
    assert resolve_directory(tmp_path / "st") == tmp_path / "st"


def test_minilm_and_its_own_entry(minilm_dir):
    assert read_config(minilm_dir)["max_seq_length"] == 256
