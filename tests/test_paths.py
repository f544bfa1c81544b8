"""``~`` means the home directory wherever a person can give a path."""

import os
import shutil

import pandas as pd
import pytest
from conftest import write_tiny_model

import bertsent
from bertsent.cli import main
from bertsent.model import BertForSequenceClassification
from bertsent.system import expand_path
from bertsent.tokenizer import WordPieceTokenizer

TEXTS = [f"a {word} film {number}" for number in range(20) for word in ("good", "bad")]
LABELS = ["pos", "neg"] * 20
FAST = {"epochs": 1, "max_length": 8, "batch_size": 8, "verbose": 0}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A home directory with a base model, a classifier and data."""
    home = tmp_path_factory.mktemp("home")
    write_tiny_model(home / "base")
    write_tiny_model(home / "saved", classifier=2, prefix="bert.")
    frame = pd.DataFrame({"review": TEXTS, "sentiment": LABELS})
    frame.to_csv(home / "reviews.csv", index=False)
    (home / "corpus.csv").write_text("review\n" + "\n".join(TEXTS) + "\n")
    return home


@pytest.fixture
def home(prepared, tmp_path, monkeypatch):
    """The home directory, and an empty working directory in which nothing may appear."""
    monkeypatch.setenv("HOME", str(prepared))
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir(prepared))
    yield prepared
    assert os.listdir(tmp_path) == []
    for name in set(os.listdir(prepared)) - before:
        path = prepared / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def tuned(**options):
    return bertsent.BertClassifier("~/base", **FAST, **options).fit(TEXTS, LABELS)


def saved():
    return bertsent.BertClassifier.from_pretrained("~/saved")


def test_helper(home, tmp_path):
    assert expand_path("~") == home and expand_path("~/a/b") == home / "a" / "b"
    assert expand_path("a/~/b") == expand_path("a") / "~" / "b"
    assert str(expand_path("~no-such-user/a")) == "~no-such-user/a"
    assert expand_path(tmp_path) == tmp_path
    with pytest.raises(TypeError):
        expand_path(None)


# What is called, and the file or directory that it makes in the home directory.
IN_PYTHON = {
    "model": (tuned, None),
    "checkpoint_dir": (lambda: tuned(checkpoint_dir="~/run"), "run"),
    "checkpoint_dir of members": (
        lambda: tuned(checkpoint_dir="~/run", members=2), "run/member-2"
    ),
    "log_file": (lambda: tuned(log_file="~/log.jsonl"), "log.jsonl"),
    "classifier": (saved, None),
    "save_pretrained": (lambda: saved().save_pretrained("~/copy"), "copy/bertsent.json"),
    "save_files": (
        lambda: (os.mkdir(expand_path("~/copy")), saved().save_files("~/copy")),
        "copy/bertsent.json",
    ),
    "predict_file": (
        lambda: saved().predict_file("~/reviews.csv", "~/labelled.csv"), "labelled.csv"
    ),
    "bare model": (lambda: BertForSequenceClassification.from_pretrained("~/saved"), None),
    "save_pretrained of a bare model": (
        lambda: BertForSequenceClassification.from_pretrained("~/saved").save_pretrained("~/c"),
        "c/model.safetensors",
    ),
    "tokenizer": (lambda: WordPieceTokenizer.from_pretrained("~/base"), None),
    "from_files of a tokenizer": (lambda: WordPieceTokenizer.from_files("~/base"), None),
    "save_pretrained of a tokenizer": (
        lambda: WordPieceTokenizer.from_files("~/base").save_pretrained("~/t"), "t/tokenizer.json"
    ),
    "save_files of a tokenizer": (
        lambda: (os.mkdir(expand_path("~/t")),
                 WordPieceTokenizer.from_files("~/base").save_files("~/t")),
        "t/tokenizer.json",
    ),
    "pretrain": (
        lambda: bertsent.pretrain(
            TEXTS, "~/more", model="~/base", epochs=1, max_length=8, batch_size=8, verbose=0,
            checkpoint_dir="~/run", log_file="~/log.jsonl",
        ),
        "more/model.safetensors",
    ),
}


@pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning")
@pytest.mark.parametrize("call, made", IN_PYTHON.values(), ids=IN_PYTHON.keys())
def test_in_python(home, call, made):
    call()
    assert made is None or (home / made).exists()


def test_directory_that_pretrain_returns(home):
    done = bertsent.pretrain(
        TEXTS, "~/more", model="~/base", epochs=1, max_length=8, batch_size=8, verbose=0
    )
    assert done.directory == home / "more"


SMALL = ["--epochs", "1", "--max-length", "8", "--batch-size", "8"]
ON_THE_COMMAND_LINE = {
    "train": (
        ["train", "~/reviews.csv", "--model=~/base", *SMALL, "--output=~/out",
         "--checkpoint-dir=~/run", "--log-file=~/log.jsonl"],
        ["out/bertsent.json", "run", "log.jsonl"],
    ),
    "test data": (
        ["train", "~/reviews.csv", "--model=~/base", *SMALL, "--output=~/out",
         "--test-data=~/reviews.csv"],
        ["out/metrics.json"],
    ),
    "dry run": (["train", "~/reviews.csv", "--model=~/base", *SMALL, "--dry-run"], []),
    "evaluate": (["evaluate", "~/saved", "~/renamed.csv"], []),
    "predict": (["predict", "~/saved", "~/reviews.csv", "--output=~/labelled.csv"],
                ["labelled.csv"]),
    "pretrain": (["pretrain", "~/corpus.csv", "--model=~/base", "--epochs", "1", "--max-length",
                  "8", "--output=~/more"], ["more/model.safetensors"]),
    "doctor": (["doctor", "--data=~/reviews.csv", "--model=~/base", "--max-length", "8",
                "--no-speed"], []),
}


@pytest.mark.parametrize(
    "arguments, made", ON_THE_COMMAND_LINE.values(), ids=ON_THE_COMMAND_LINE.keys()
)
def test_on_the_command_line(home, arguments, made, capsys):
    frame = pd.DataFrame({"review": TEXTS, "sentiment": ["LABEL_0", "LABEL_1"] * 20})
    frame.to_csv(home / "renamed.csv", index=False)
    assert main(arguments) == 0, capsys.readouterr().err
    assert [name for name in made if not (home / name).exists()] == []
