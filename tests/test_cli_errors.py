"""Errors speak of flags on the command line, and of parameters in Python."""

import inspect
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from test_cli import SMALL, run

import bertsent
from bertsent.classifier import PARAMETERS
from bertsent.cli.flags import spell_flag
from bertsent.cli.parser import make_parser
from bertsent.pretraining import PRETRAINING
from bertsent.wording import on_command_line, phrase, spell

# Everything that has a name in Python and would not be understood on the command line.
NAMES = {p.name for p in (*PARAMETERS, *PRETRAINING)} | {
    name
    for call in (
        bertsent.BertClassifier.fit, bertsent.BertClassifier.predict_file, bertsent.pretrain,
        bertsent.BertClassifier.evaluate, bertsent.BertClassifier.audit,
        bertsent.BertClassifier.save_pretrained, bertsent.BertClassifier.from_pretrained,
        bertsent.BertForSequenceClassification.from_pretrained,
    )
    for name in inspect.signature(call).parameters
} - {"self"}
SPELLED = re.compile(
    rf"\b(?:{'|'.join(sorted(NAMES))})=|\b(?:{'|'.join(sorted(n for n in NAMES if '_' in n))})\b"
    r"|\b(?:True|False|None|dict|dictionary|Series|DataFrame|X|y|BertClassifier|fit|\w+\(\))\b"
)
FLAGS = re.compile(r"(?<![\w-])(?:--[a-z]|-[a-z]\b)")


@pytest.fixture(scope="module")
def shop(workshop, tmp_path_factory):
    """Return a folder of files that cannot be used, beside those of the workshop."""
    root = tmp_path_factory.mktemp("shop")
    for name in ("tiny", "model"):
        shutil.copytree(workshop / name, root / name)
    shutil.copy(workshop / "train.csv", root / "train.csv")
    frame = pd.read_csv(workshop / "new.csv")
    frame.to_csv(root / "new.csv", index=False)
    frame.assign(review=[None, *frame["review"][1:]]).to_csv(root / "gap.csv", index=False)
    frame.assign(predicted_label="x").to_csv(root / "taken.csv", index=False)
    frame.assign(sentiment="positive").to_csv(root / "one.csv", index=False)
    frame.assign(sentiment=np.linspace(0, 1, len(frame))).to_csv(root / "real.csv", index=False)
    frame.assign(sentiment="mixed").to_csv(root / "mixed.csv", index=False)
    frame[:1].to_csv(root / "few.csv", index=False)
    frame.assign(review="...").assign(review="").to_csv(root / "blank.csv", index=False)
    (root / "empty.csv").touch()
    (root / "header.csv").write_text("review,sentiment\n")
    (root / "words.xyz").write_text("a")
    (root / "ragged.csv").write_text("review,sentiment\na,b\nc,d,e\n")
    (root / "latin.csv").write_bytes(b"review,sentiment\ncaf\xe9,a\n")
    (root / "semicolon.csv").write_text("review;sentiment\na;b\n")
    (root / "lines.jsonl").write_text('{"review": 1}\n[2]\n')
    (root / "once.csv").write_text("review\n" + "great\n" * 9)
    (root / "same.csv").write_text("review,sentiment\n" + "great,a\ndull,b\n" * 20)
    (root / "foreign").mkdir()
    (root / "foreign" / "thesis.txt").write_text("precious")
    no_words = write_tiny_model(root / "no-words")
    (no_words / "vocab.txt").unlink()
    write_tiny_model(root / "lone-weights")
    (root / "lone-weights" / "config.json").unlink()
    assert run("train", root / "train.csv", "--model", root / "tiny", *SMALL, "--epochs", 1,
               "--output", root / "made", "--checkpoint-dir", root / "run") == 0
    return root


def train(*flags, data="train.csv", output="out"):
    return ["train", data, "--model", "tiny", "--epochs", 1, *SMALL, "--output", output, *flags]


def pretrain(*flags, model="tiny", data="new.csv", output="out"):
    return ["pretrain", data, "--model", model, "--max-length", 16, "--output", output, *flags]


ERRORS = [
    (train(data="no.csv"), "no.csv: no such file or folder"),
    (train(data="words.xyz"), "words.xyz"),
    (train(data="empty.csv"), "empty.csv is empty"),
    (train(data="header.csv"), "header.csv"),
    (train(data="ragged.csv"), "ragged.csv"),
    (train(data="latin.csv"), "--encoding"),
    (train("--delimiter", "|", data="semicolon.csv"), "semicolon.csv"),
    (train(data="lines.jsonl"), "lines.jsonl"),
    (train(data="gap.csv"), "--missing skip"),
    (train(data="one.csv"), "one class only"),
    (train(data="real.csv"), "real.csv"),
    (train(data="few.csv"), "few.csv"),
    (train("--test-data", "mixed.csv"), "'mixed' in column 'sentiment'"),
    (train("--text-column", "body"), "no column 'body'.*--text-column"),
    (train("--label-column", "max_len"), "no column 'max_len'.*--label-column"),
    (train(output="made"), "with --force, or .* such as --output made-2$"),
    (train(output="foreign"), "thesis.txt.* such as --output foreign-2$"),
    (train(output="train.csv"), "train.csv is a file, not a directory"),
    (train("--model", "nowhere"), "nowhere"),
    (train("--model", "lone-weights"), "config.json"),
    (train("--model", "no-words"), "no-words"),
    (train("--max-length", 100), "--max-length 100 is larger than the 64 positions"),
    (train("--freeze-layers", 3), "--freeze-layers 3 is more than the 2 layers"),
    (train("--stride", 2, "--inference-long-text", "tail"),
     "--stride 2 needs --long-text windows or --inference-long-text windows, but --long-text is"),
    (train("--stride", 14), "--stride 14 leaves no room .* of --max-length 16; .* at most 13"),
    (train("--time-budget", "1h", "--members", 2),
     "--time-budget 1h can only plan one model, not --members 2; use --members 1, or leave out "
     "--time-budget$"),
    (train("--members", '[{"random_state": 1}, {}]'), r"--members\[0\] .*differ"),
    (train("--members", '[{}, {"epochs": 0}]'),
     r'--members\[1\]: --epochs 0 is not allowed; expected "auto" or a whole number .* least 1$'),
    (train("--members", '[{}, {"freeze_dropout": 3}]'),
     "--freeze-dropout 3 is not allowed; expected true or false$"),
    (train("--memory-limit", "10kB"),
     "--memory-limit 10kB is too small.* --memory-limit [0-9.]+MB. Raise the limit, or lower "
     "--max-length or --threads$"),
    (train("--class-weight", "positve=2"), "--class-weight names 'positve'.* class of the data"),
    (train("--class-weight", "positive=0,negative=0"),
     "--class-weight [a-z]+=0.0,[a-z]+=0.0 leaves no text any weight"),
    (train("--validation-fraction", 0.1, "--test-data", "same.csv", data="same.csv"),
     "--validation-fraction 0.1 of 40 texts holds out none; use more texts$"),
    (train("--frozen-cache", "float32"),
     "--frozen-cache float32 is not possible: no layer is frozen; pass --freeze-layers, or "
     "--frozen-cache auto$"),
    (train("--frozen-cache", "float32", "--freeze-layers", "1"), "pass --freeze-dropout, or"),
    (train("--checkpoint-dir", "run"), "continue it with --resume, or .* another --checkpoint-dir"),
    (train("--checkpoint-dir", "run", "--resume", "--seed", 1),
     "what differs: .*Use the options and data that the run began with, or another --checkpoint-"),
    (train("--checkpoint-dir", "run", "--resume", "--weight-decay", 0.5),
     r"what differs: --weight-decay \(saved: 0.01, now: 0.5\)"),
    (train("--checkpoint-dir", "run", "--resume", data="mixed2.csv"), "mixed2.csv"),
    (train("--learning-rate", 1e30),
     "Try a lower --learning-rate .*, a smaller --max-grad-norm .* a larger --warmup-ratio"),
    (train("--callbacks", "no_such_module:Name"), "no_such_module"),
    (["predict", "model", "no.csv"], "no.csv"),
    (["predict", "model", "new.csv", "-o", "p.xyz"], "p.xyz"),
    (["predict", "model", "new.csv", "-o", "gap.csv"], "with --force, or .* such as gap-2.csv$"),
    (["predict", "model", "new.csv", "-o", "none/p.csv"], "none: no such folder"),
    (["predict", "model", "new.csv", "--text-column", "body"], "--text-column"),
    (["predict", "model", "gap.csv"], "--missing skip"),
    (["predict", "model", "taken.csv"], "'predicted_label' already"),
    (["predict", "model", "blank.csv", "--missing", "skip"], "blank.csv"),
    (["predict", "tiny", "--text", "a"], "bertsent train"),
    (["predict", "nowhere", "--text", "a"], "nowhere"),
    (["predict", "foreign", "--text", "a"], "foreign"),
    (["evaluate", "model", "mixed.csv"], "--label-map LABEL=CLASS"),
    (["evaluate", "model", "new.csv", "--label-map", "a=b"], "--label-map gives 'b'"),
    (["evaluate", "model", "new.csv", "--label-column", "stars"], "--label-column"),
    (["evaluate", "tiny", "new.csv"], "bertsent train"),
    (pretrain(output="made"), "--force"),
    (pretrain("--text-column", "body"), "--text-column"),
    (pretrain("--max-length", 100), "--max-length 100 is larger"),
    (pretrain("--validation-fraction", 0.1, data="once.csv"),
     "--validation-fraction 0.1 of 9 texts holds out none; use more texts$"),
    (pretrain("--checkpoint-dir", "run", "--resume"),
     "what differs: what is trained, a classifier or a masked language model. Use the options"),
    (["doctor", "--no-speed", "--data", "no.csv"], "no.csv"),
    (["doctor", "--no-speed", "--stride", 3, "--inference-long-text", "tail"], "--stride 3 needs"),
]


@pytest.mark.parametrize(
    ("args", "said"), ERRORS, ids=[" ".join(map(str, args))[:90] for args, _ in ERRORS]
)
def test_errors_of_commands_speak_of_flags(shop, monkeypatch, capsys, args, said):
    monkeypatch.chdir(shop)
    assert run(*args) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("bertsent: error: ")
    # Members are given as JSON, in which parameters have their names.
    plain = re.sub("has random_state|can differ in [a-z_, ]*", "", last)
    assert not SPELLED.search(plain), last
    assert re.search(said, last), last
    # Whatever is recommended can be typed.
    _, commands = make_parser()
    known = {name for command in commands.values() for name in command.flags}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", last)) <= known


def test_there_are_enough_of_them():
    assert len(ERRORS) >= 60


def test_data_is_not_taken_for_parameters(shop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "max_length=100.csv").write_text("text_column,overwrite=True\na,b\n")
    args = ["train", "max_length=100.csv", "--model", shop / "tiny", "--text-column", "batch_size"]
    assert run(*args) == 1
    err = capsys.readouterr().err
    assert "max_length=100.csv" in err and "'batch_size'" in err
    assert "text_column, overwrite=True" in err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-length", 4], "are longer than --max-length 4 tokens"),
        (["--checkpoint-dir", "other", "--freeze-layers", 1, "--freeze-dropout"], ""),
    ],
)
def test_warnings_and_reports_speak_of_flags(shop, monkeypatch, capsys, flags, said):
    monkeypatch.chdir(shop)
    assert run(*train("--force", *flags)) == 0
    out, err = capsys.readouterr()
    assert said in err
    # The report has a table of labels and numbers; parameters are listed before.
    for shown in (err, out.partition("confusion matrix")[0]):
        assert not re.search(rf"\b(?:{'|'.join(sorted(NAMES))})=", shown)
        assert not re.search(rf"\b(?:{'|'.join(n for n in NAMES if '_' in n)})\b", shown)


def test_an_estimate_speaks_of_flags(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    assert run(*train("--dry-run", "--time-budget", "1h")) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--max-length 16" in shown and "--epochs 1" in shown and "plan for" in shown
    assert not re.search(rf"\b(?:{'|'.join(sorted(NAMES))})=", shown)


# --- the order of checks ------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("data", "more", "said"),
    [("no.csv", [], "no.csv: no such file"), ("train.csv", ["--text-column", "body"], "'body'"),
     ("train.csv", ["--label-column", "stars"], "'stars'"), ("gap.csv", [], "empty cell"),
     ("one.csv", [], "one class only")],
)
def test_what_is_wrong_with_the_data_is_said_first(
    shop, monkeypatch, capsys, flags, data, more, said
):
    monkeypatch.chdir(shop)
    for output in ("made", "foreign", "train.csv"):
        assert run(*train(*more, *flags, data=data, output=output)) == 1
        assert said in capsys.readouterr().err


def test_a_file_without_its_column_is_said_first_in_other_commands(shop, monkeypatch, capsys):
    monkeypatch.chdir(shop)
    for args in (
        ["predict", "model", "new.csv", "--text-column", "body", "--output", "gap.csv"],
        ["predict", "nowhere", "new.csv", "--text-column", "body"],
        pretrain("--text-column", "body", output="made"),
    ):
        assert run(*args) == 1
        assert "no column 'body'" in capsys.readouterr().err
    assert run("predict", "model", "no.csv", "--output", "gap.csv") == 1
    assert "no.csv: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["made", "foreign", "train.csv"])
def test_a_dry_run_needs_no_output(shop, monkeypatch, capsys, output):
    monkeypatch.chdir(shop)
    before = sorted(shop.rglob("*"))
    assert run(*train("--dry-run", output=output)) == 0
    assert "nothing is trained or written" in capsys.readouterr().out
    assert sorted(shop.rglob("*")) == before


def test_the_name_that_is_proposed_works(shop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    common = ["train", shop / "train.csv", *train()[2:-1]]
    common[common.index("tiny")] = shop / "tiny"
    assert run(*common, "my model.v1") == 0
    output = "my model.v1"
    for expected in ("my model-2.v1", "my model-3.v1"):
        capsys.readouterr()
        assert run(*common, output) == 1
        (proposed,) = re.findall("such as --output '(.*)'$", capsys.readouterr().err.strip())
        assert proposed == expected
        assert run(*common, proposed) == 0
        output = proposed
    assert run(*common, "my model.v1", "--force") == 0
    predict = ["predict", "my model.v1", shop / "new.csv", "--output"]
    assert run(*predict, "p.csv.gz") == 0
    capsys.readouterr()
    assert run(*predict, "p.csv.gz") == 1
    assert "with --force, or choose another name, such as p-2.csv.gz" in capsys.readouterr().err
    assert run(*predict, "p-2.csv.gz") == run(*predict, "p.csv.gz", "--force") == 0


# --- in Python ----------------------------------------------------------------------------


def make(shop, **parameters):
    parameters = {"epochs": 1, "max_length": 16, "batch_size": 8, "verbose": 0} | parameters
    return bertsent.BertClassifier(str(shop / "tiny"), **parameters)


def fit(**parameters):
    return lambda shop, X, y: make(shop, **parameters).fit(X, y)


PYTHON = {
    "max_length=100": fit(max_length=100),
    "freeze_layers=3": fit(freeze_layers=3),
    "stride=2 needs long_text='windows'": fit(stride=2, inference_long_text="tail"),
    "stride=14": fit(stride=14, long_text="windows"),
    "epochs=0": fit(epochs=0),
    "strip_html='yes'": fit(strip_html="yes"),
    "callbacks=": fit(callbacks="no"),
    "class_weight='even'": fit(class_weight="even"),
    "class_weight names": fit(class_weight={"x": 1}),
    "time_budget='1h'": fit(time_budget="1h", members=2),
    r"members\[0\]: epochs=0": fit(members=[{"epochs": 0}, {}]),
    "memory_limit='10kB'": fit(memory_limit="10kB"),
    "validation_fraction=0.1 of.*X_val and y_val": lambda shop, X, y: (
        make(shop, validation_fraction=0.1).fit(["great", "dull"] * 9, ["a", "b"] * 9)),
    "early_stopping='loss'.*X_val and y_val, or validation_fraction=0.1":
        fit(early_stopping="loss"),
    "frozen_cache='float32'.*frozen_cache='auto'": fit(frozen_cache="float32"),
    "freeze_dropout=True": fit(frozen_cache="float32", freeze_layers=1),
    "resume=True needs checkpoint_dir": fit(resume=True),
    "checkpoint_every=2 needs checkpoint_dir": fit(checkpoint_every=2),
    "n_threads=0": fit(n_threads=0),
    "lower learning_rate": fit(learning_rate=1e30),
    "there is no .*nowhere": lambda shop, X, y: (
        bertsent.BertClassifier(str(shop / "nowhere")).fit(X, y)),
    r"BertClassifier\(": lambda shop, X, y: bertsent.BertClassifier.from_pretrained(shop / "tiny"),
    "overwrite=True.* 'made-2'|overwrite=True": lambda shop, X, y: (
        make(shop).fit(X, y).save_pretrained(shop / "made")),
    "missing='skip'": lambda shop, X, y: made(shop).predict_file(
        shop / "gap.csv", shop / "q.csv", text_column="review"),
    "text_column": lambda shop, X, y: made(shop).predict_file(
        shop / "new.csv", shop / "q.csv", text_column="body"),
    "overwrite=True, or": lambda shop, X, y: made(shop).predict_file(
        shop / "new.csv", shop / "gap.csv", text_column="review"),
    "chunk_rows=0": lambda shop, X, y: made(shop).predict_file(
        shop / "new.csv", shop / "q.csv", text_column="review", chunk_rows=0),
    "label_map gives": lambda shop, X, y: made(shop).evaluate(X, y, label_map={"a": "b"}),
    "resume=True, or choose another checkpoint_dir": fit(checkpoint_dir="RUN"),
    "overwrite=True, ": lambda shop, X, y: bertsent.pretrain(
        X, shop / "made", model=str(shop / "tiny"), max_length=16, verbose=0),
}


def made(shop):
    return bertsent.BertClassifier.from_pretrained(shop / "made").set_params(verbose=0)


@pytest.mark.parametrize("said", PYTHON, ids=str)
def test_errors_in_python_speak_of_parameters(shop, said, monkeypatch):
    frame = pd.read_csv(shop / "train.csv")
    monkeypatch.chdir(shop)
    if "RUN" in inspect.getclosurevars(PYTHON[said]).nonlocals.get("parameters", {}).values():
        call = fit(checkpoint_dir=str(shop / "run"))
    else:
        call = PYTHON[said]
    with pytest.raises((ValueError, TypeError, OSError, FloatingPointError)) as caught:
        call(shop, frame["review"].tolist(), frame["sentiment"].tolist())
    message = str(caught.value)
    assert re.search(said, message), message
    assert not FLAGS.search(message.replace(str(shop), "")), message
    assert "command" not in message


# --- the means ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "python", "command"),
    [
        ("max_length", 100, "max_length=100", "--max-length 100"),
        ("resume", True, "resume=True", "--resume"),
        ("resume", False, "resume=False", "no --resume"),
        ("overwrite", True, "overwrite=True", "--force"),
        ("missing", "skip", "missing='skip'", "--missing skip"),
        ("random_state", 3, "random_state=3", "--seed 3"),
        ("n_threads", None, "n_threads=None", "no --threads"),
        ("checkpoint_dir", "my run", "checkpoint_dir='my run'", "--checkpoint-dir 'my run'"),
        ("class_weight", {"a b": 1}, "class_weight={'a b': 1}", "--class-weight 'a b=1'"),
        ("members", [{"epochs": 2}], "members=[{'epochs': 2}]",
         "--members '[{\"epochs\": 2}]'"),
    ],
)
def test_parameters_are_spelled_as_they_are_typed(name, value, python, command):
    assert spell(name, value) == python and spell(name) == name
    assert phrase(python="a", command="b") == "a"
    with on_command_line(spell_flag):
        assert spell(name, value) == command
        assert spell(name) == command.removeprefix("no ").split()[0]
        assert phrase(python="a", command="b") == "b"
    assert spell(name, value) == python


def test_a_command_in_one_thread_leaves_others_to_python():
    import threading

    found = []
    with on_command_line(spell_flag):
        thread = threading.Thread(target=lambda: found.append(spell("max_length", 3)))
        thread.start()
        thread.join()
    assert found == ["max_length=3"]
