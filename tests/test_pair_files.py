"""Pairs of texts in files and batches, and on the command line."""

import json
import re
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from test_cli import run
from test_pairs import FRAME, LABELS, make, make_pairs

import bertsent

COLUMNS = ["--text-column", "first", "--text-pair-column", "second"]
LABEL = ["--label-column", "alike"]
SMALL = ["--max-length", "16", "--batch-size", "8", "--epochs", "1", "--threads", "1"]
FURTHER = make_pairs(10, seed=3)[0].assign(id=range(10))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    place = tmp_path_factory.mktemp("workshop")
    write_tiny_model(place / "tiny", prefix="bert.", scale=0.25)
    frame, labels = make_pairs(40)
    frame.assign(alike=labels).to_csv(place / "train.csv", index=False)
    FURTHER.to_csv(place / "new.csv", index=False)
    FURTHER.drop(columns="second").to_csv(place / "single.csv", index=False)
    assert run(
        "train", place / "train.csv", *COLUMNS, *LABEL, "--model", place / "tiny", *SMALL,
        "--output", place / "model", "--track-examples", "--seed", 1,
    ) == 0
    return place


@pytest.fixture(scope="module")
def clf(workshop):
    return bertsent.BertClassifier.from_pretrained(workshop / "model")


@pytest.fixture(scope="module")
def single(workshop):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bertsent.errors.FreshWeightsWarning)
        return make(workshop / "tiny").fit(FRAME["first"], LABELS)


# --- batches and files --------------------------------------------------------------------------


def test_batches_of_every_library(clf):
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    expected = clf.predict(FURTHER[["first", "second"]]).tolist()
    for batch in (FURTHER, pl.DataFrame(FURTHER), pa.table(FURTHER)):
        (found,) = clf.predict_batches([batch], "first", "second")
        names = list(found.column_names if isinstance(found, pa.Table) else found.columns)
        assert names == ["first", "second", "id", "predicted_label", "confidence"]
        labels = found["predicted_label"]
        labels = labels.to_pylist() if hasattr(labels, "to_pylist") else list(labels)
        assert labels == expected
        two = batch.select(["first", "second"]) if hasattr(batch, "select") else batch.drop(
            columns="id"
        )
        assert len(next(clf.predict_batches([two]))) == 10  # needs no names
    rows = list(FURTHER[["first", "second"]].itertuples(index=False, name=None))
    (found,) = clf.predict_batches([rows])
    assert found["predicted_label"].tolist() == expected


def test_batches_without_their_columns_are_refused(clf, single):
    with pytest.raises(ValueError, match="text_column and text_pair_column, two of first, second"):
        list(clf.predict_batches([FURTHER]))
    with pytest.raises(ValueError, match="no column 'third'.*text_pair_column"):
        list(clf.predict_batches([FURTHER], "first", "third"))
    with pytest.raises(ValueError, match="text_pair_column needs text_column"):
        clf.predict_batches([FURTHER], text_pair_column="second")
    with pytest.raises(ValueError, match="single texts, but the model was trained on pairs"):
        list(clf.predict_batches([FURTHER], "first"))
    with pytest.raises(ValueError, match="pairs of texts, but the model was trained on single"):
        list(single.predict_batches([FURTHER], "first", "second"))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_is_labelled_in_chunks(clf, tmp_path, kind):
    write = {
        "csv": lambda frame, path: frame.to_csv(path, index=False),
        "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda frame, path: frame.to_parquet(path),
    }[kind]
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    frame = FURTHER.copy()
    if kind == "parquet":
        frame["second"] = [text.encode() for text in frame["second"]]
    write(frame, tmp_path / f"new.{kind}")
    result = clf.predict_file(
        tmp_path / f"new.{kind}", tmp_path / "out.csv", text_column="first",
        text_pair_column="second", chunk_rows=3,
    )
    assert result.rows == 10
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["predicted_label"].tolist() == clf.predict(FURTHER[["first", "second"]]).tolist()
    assert found["second"].tolist() == FURTHER["second"].tolist()


def test_a_missing_second_text_is_named_by_file_row_and_column(clf, tmp_path):
    frame = FURTHER.astype(object)
    frame.loc[[4, 7], "second"] = None
    frame.to_csv(tmp_path / "new.csv", index=False)
    how = {"text_column": "first", "text_pair_column": "second"}
    with pytest.raises(ValueError, match=(
        r"new.csv, line 6: row 4 .*empty cell in column 'second', and 1 more rows"
    )):
        clf.predict_file(tmp_path / "new.csv", tmp_path / "out.csv", **how)
    assert not (tmp_path / "out.csv").exists()
    result = clf.predict_file(tmp_path / "new.csv", tmp_path / "out.csv", missing="skip", **how)
    assert result == (8, 2)


def test_a_file_without_the_columns_is_refused(clf, tmp_path, workshop):
    new, out = workshop / "new.csv", tmp_path / "out.csv"
    with pytest.raises(ValueError, match="no column 'other'.*Choose one with text_pair_column"):
        clf.predict_file(new, out, text_column="first", text_pair_column="other")
    with pytest.raises(ValueError, match="text_column and text_pair_column are both 'first'"):
        clf.predict_file(new, out, text_column="first", text_pair_column="first")
    with pytest.raises(ValueError, match="single texts, but the model was trained on pairs"):
        clf.predict_file(new, out, text_column="first")
    (tmp_path / "new.txt").write_text("a text\n")
    with pytest.raises(ValueError, match="one text a line.*pairs need a file with columns"):
        clf.predict_file(tmp_path / "new.txt", out, text_pair_column="second")


# --- the command line -----------------------------------------------------------------------------


def test_train_saves_what_python_trains(workshop, clf, capsys):
    assert clf.n_features_in_ == 2 and clf._fitted.pairs is True
    record = json.loads((workshop / "model" / "run.json").read_text())
    assert record["data"]["rows"] == 40
    audited = pd.read_csv(workshop / "model" / "audit.csv")
    assert (audited["kind"] == "label").sum() == 32
    metrics = json.loads((workshop / "model" / "metrics.json").read_text())
    split = pd.read_csv(workshop / "model" / "split.csv")
    tested = pd.read_csv(workshop / "train.csv").iloc[split.loc[split["part"] == "test", "row"]]
    assert metrics["accuracy"] == clf.score(tested[["first", "second"]], tested["alike"])


def test_predict_and_evaluate(workshop, clf, tmp_path, capsys):
    assert run("predict", workshop / "model", workshop / "new.csv", *COLUMNS,
               "-o", tmp_path / "out.csv") == 0
    expected = clf.predict(FURTHER[["first", "second"]]).tolist()
    assert pd.read_csv(tmp_path / "out.csv")["predicted_label"].tolist() == expected
    capsys.readouterr()
    first, second = FURTHER.iloc[0][["first", "second"]]
    assert run("predict", workshop / "model", "--text", first, "--text-pair", second, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found)[:2] == ["text", "text_pair"] and found["predicted_label"] == expected[0]
    assert run("evaluate", workshop / "model", workshop / "train.csv", *COLUMNS, *LABEL,
               "--json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 40


@pytest.mark.parametrize(("args", "code", "message"), [
    (["predict", "model", "new.csv", "--text-column", "first"], 1,
     "single texts, but the model was trained on pairs of texts; add --text-pair-column"),
    (["predict", "model", "new.csv", "--text-column", "first", "--text-pair-column", "secnd"], 1,
     "has no column 'secnd'.*Choose one with --text-pair-column; is it 'second'?"),
    (["predict", "model", "new.csv", "--text-column", "first", "--text-pair-column", "first"], 1,
     "--text-column and --text-pair-column are both 'first'"),
    (["predict", "model", "--text", "a", "--text", "b", "--text-pair", "c"], 2,
     "--text-pair needs a --text; pass one for each"),
    (["predict", "model", "--text", "a"], 1, "add --text-pair-column"),
    (["train", "train.csv", "--text-column", "first", "--text-pair-column", "alike",
      "--label-column", "alike", "--model", "tiny"], 1,
     "--text-pair-column and --label-column are both 'alike'"),
    (["pretrain", "new.csv", "-o", "out", "--text-pair-column", "second"], 2,
     "--text-pair-column"),
])
def test_what_is_wrong_is_said_with_flags(workshop, monkeypatch, capsys, args, code, message):
    monkeypatch.chdir(workshop)
    assert run(*args) == code
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error), error


def test_a_model_of_single_texts_refuses_pairs(workshop, single, tmp_path, capsys):
    single.save_pretrained(tmp_path / "single")
    assert run("predict", tmp_path / "single", workshop / "new.csv", *COLUMNS) == 1
    assert "leave out --text-pair-column" in capsys.readouterr().err


def test_held_out_and_unlabelled_files_are_read_as_pairs(workshop, tmp_path):
    frame, labels = make_pairs(12, seed=9)
    frame.assign(alike=labels).to_csv(tmp_path / "test.csv", index=False)
    assert run(
        "train", workshop / "train.csv", *COLUMNS, *LABEL, "--model", workshop / "tiny", *SMALL,
        "--test-data", tmp_path / "test.csv", "--unlabelled", workshop / "new.csv",
        "--teacher", workshop / "model", "--output", tmp_path / "out",
    ) == 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"] == 12


def test_a_run_is_verified_from_its_log(workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(workshop / "train.csv", tmp_path)
    assert run("train", "train.csv", *COLUMNS, *LABEL, "--model", workshop / "tiny", *SMALL,
               "--log-file", "run.jsonl", "--hash-every", "1", "--output", "out") == 0
    capsys.readouterr()
    assert run("verify", "run.jsonl", "--json") == 0
    assert run("verify", "run.jsonl", "train.csv", "--text-pair-column", "first") == 1


def test_dry_run_doctor_suggestions_and_curve(workshop, tmp_path, capsys):
    train = [workshop / "train.csv", *COLUMNS, *LABEL, "--model", workshop / "tiny"]
    assert run("train", *train, *SMALL, "--dry-run") == 0
    assert "40 pairs of texts" in capsys.readouterr().out
    assert run("doctor", "--data", workshop / "new.csv", *COLUMNS, "--no-speed", "--json",
               "--model", workshop / "tiny", "--max-length", 16) == 0
    job = json.loads(capsys.readouterr().out)["job"]
    tokenizer = bertsent.Tokenizer.from_pretrained(workshop / "tiny")
    encoded = tokenizer.encode_batch(FURTHER["first"], FURTHER["second"], max_length=16)
    assert (job["texts"], job["tokens"]) == (10, len(encoded.ids)) and not job["tokens_estimated"]
    assert run("doctor", "--data", workshop / "new.csv", *COLUMNS, "--no-speed", "--json",
               "--model", "none/such", "--max-length", 16) == 0
    assert json.loads(capsys.readouterr().out)["job"]["tokens_estimated"]
    for more in ([workshop / "model"], [workshop / "tiny", "--first"]):
        assert run("suggest-labels", *more, workshop / "new.csv", *COLUMNS, "--n", 2,
                   "-o", tmp_path / "next.csv", "--force") == 0
        assert list(pd.read_csv(tmp_path / "next.csv"))[:3] == ["first", "second", "id"]
    assert run("learning-curve", *train, "--frozen", "--train-sizes", "8,16", "--seeds", 1,
               "--json") == 0
    assert json.loads(capsys.readouterr().out)


def test_html_is_removed_from_both_columns(workshop, tmp_path):
    frame = pd.read_csv(workshop / "train.csv")
    frame["second"] = "<b>" + frame["second"] + "</b>"
    frame.to_csv(tmp_path / "tagged.csv", index=False)
    assert run("train", tmp_path / "tagged.csv", *COLUMNS, *LABEL, "--model", workshop / "tiny",
               *SMALL, "--strip-html", "--output", tmp_path / "out", "--seed", 1) == 0
    one, two = (
        bertsent.BertClassifier.from_pretrained(place / name)
        for place, name in ((workshop, "model"), (tmp_path, "out"))
    )
    pairs = FURTHER[["first", "second"]]
    assert np.array_equal(one.predict_proba(pairs), two.predict_proba(pairs))
    assert run("doctor", "--data", tmp_path / "tagged.csv", *COLUMNS, "--no-speed",
               "--strip-html", "--model", workshop / "tiny", "--max-length", 16) == 0
