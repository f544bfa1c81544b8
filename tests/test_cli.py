"""The command line: train, evaluate, predict, exit codes and output."""

import gzip
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import launch
from test_classifier import make_texts
from test_data import make_imdb_folder

import bertsent
from bertsent.classifier.parameters import CLASSIFICATION, PARAMETERS, check_parameters
from bertsent.cli import main
from bertsent.cli.parser import make_parser

SMALL = ["--max-length", "16", "--batch-size", "8", "--learning-rate", "2e-3"]


def write_csv(path, n=80, seed=0, **changes):
    texts, labels = make_texts(n, seed)
    frame = pd.DataFrame({"review": texts, "sentiment": labels})
    for (row, column), value in changes.pop("cells", {}).items():
        frame.loc[row, column] = value
    frame.rename(columns=changes).to_csv(path, index=False)
    return path


def run(*args):
    return main([str(arg) for arg in args])


def small_train(workshop, data, output, *more):
    return run("train", data, "--model", workshop / "tiny", "--epochs", 1, *SMALL,
               "--output", output, *more)


# --- train --------------------------------------------------------------------------------


def test_train_saves_all_that_belongs_to_a_run(workshop):
    model = workshop / "model"
    names = {path.name for path in model.iterdir()}
    assert {"config.json", "model.safetensors", "bertsent.json", "metrics.json", "history.csv",
            "split.csv", "run.json", "training_texts.npy", "tokenizer.json"} <= names
    record = json.loads((model / "run.json").read_text())
    assert record["parameters"]["epochs"] == 5 and record["parameters"]["random_state"] == 0
    assert record["versions"]["bertsent"] == bertsent.__version__
    assert len(record["data"]["sha256"]) == 64
    assert record["interrupted"] is False
    history = pd.read_csv(model / "history.csv")
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert {"loss", "accuracy", "tokens", "seconds"} <= set(history.columns)


def test_split_file_and_metrics_agree_with_the_model(workshop):
    split = pd.read_csv(workshop / "model" / "split.csv")
    assert sorted(split["row"]) == list(range(120))
    assert (split["part"] == "test").sum() == 24
    frame = pd.read_csv(workshop / "train.csv")
    tested = frame.iloc[split.loc[split["part"] == "test", "row"]]
    clf = bertsent.BertClassifier.from_pretrained(workshop / "model")
    metrics = json.loads((workshop / "model" / "metrics.json").read_text())
    assert metrics["accuracy"] == clf.score(tested["review"], tested["sentiment"])
    assert metrics["accuracy"] > 0.8
    matrix = np.array(metrics["confusion_matrix"]["rows_true_columns_predicted"])
    assert matrix.sum() == metrics["rows"] == 24
    assert np.trace(matrix) / 24 == metrics["accuracy"]
    seen = clf.seen_in_training(frame["review"])
    assert (seen == (split.sort_values("row")["part"] == "train")).all()


def test_train_prints_a_summary(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 60)
    assert small_train(workshop, data, tmp_path / "out", "--seed", 3) == 0
    out, err = capsys.readouterr()
    for part in ("60 texts", "repeat the text", "to train on", "seed 3", "accuracy", "precision",
                 "recall", "F1", "confusion matrix", "positive", "negative", str(tmp_path / "out")):
        assert part in out
    assert "epoch 1/1 done: loss" in err and "epoch" not in out.split("tested once")[1]
    assert "\r" not in err


def test_train_prints_the_rate_that_auto_stands_for(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 40)
    common = ["train", data, "--model", workshop / "tiny", "--epochs", 1, "--max-length", 16]
    for flags, shown in (
        ([], "--learning-rate 0.0001 (auto)"),
        (["--freeze-layers", "all"], "--learning-rate 0.003 (auto)"),
        (["--learning-rate", "2e-4"], "--learning-rate 0.0002,"),
    ):
        assert run(*common, "--force", "--output", tmp_path / "out", *flags) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert shown in out and "--learning-rate auto" not in out


def test_what_does_not_go_with_the_model_is_found_before_reading(workshop, tmp_path, capsys):
    data = tmp_path / "a.csv"
    data.write_text("")  # another error, which must not come first
    common = ["train", data, "--model", workshop / "tiny", "--output", tmp_path / "out"]
    for flags, message in (
        (["--max-length", 100], "--max-length 100 is larger than the 64 positions"),
        (["--max-length", 16, "--freeze-layers", 3], "--freeze-layers 3 is more than the 2 layers"),
    ):
        assert run(*common, *flags) == 1
        assert message in capsys.readouterr().err


def test_verbose_0_is_silent_on_stderr(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 60)
    assert small_train(workshop, data, tmp_path / "one", "--verbose", 0) == 0
    assert small_train(workshop, data, tmp_path / "two", "--verbose", 0) == 0
    assert capsys.readouterr().err == ""


def test_same_seed_same_model(workshop, tmp_path):
    data = write_csv(tmp_path / "a.csv")
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        assert small_train(workshop, data, tmp_path / name, "--seed", seed) == 0
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    splits = {name: (tmp_path / name / "split.csv").read_text() for name in "abc"}
    assert weights["a"] == weights["b"] != weights["c"]
    assert splits["a"] == splits["b"] != splits["c"]


def test_test_data_is_tested_on_and_all_rows_are_trained_on(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 40)
    held_out = write_csv(tmp_path / "b.tsv.csv", 12, seed=4)
    assert small_train(workshop, data, tmp_path / "out", "--test-data", held_out) == 0
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    assert split.groupby(["source", "part"]).size().to_dict() == {
        (str(data), "train"): 40, (str(held_out), "test"): 12,
    }
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["rows"] == 12
    # These short texts repeat themselves, and the command says so.
    assert metrics["rows_seen_in_training"] > 0
    assert "were used in training" in capsys.readouterr().out


def test_imdb_folder_brings_its_split(workshop, tmp_path):
    folder = make_imdb_folder(tmp_path / "aclImdb")
    assert small_train(workshop, folder, tmp_path / "out") == 0
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    assert split["part"].tolist() == ["train"] * 6 + ["test"] * 6
    assert small_train(workshop, folder, tmp_path / "other", "--test-size", 0.5) == 2
    assert run("evaluate", tmp_path / "out", folder) == 0
    assert run("predict", tmp_path / "out", folder / "test", "-o", tmp_path / "p.csv") == 0
    assert len(pd.read_csv(tmp_path / "p.csv")) == 6


def test_other_columns_and_numeric_labels(workshop, tmp_path):
    frame = pd.DataFrame(dict(zip(["body", "stars"], make_texts(40), strict=True)))
    frame["stars"] = (frame["stars"] == "positive").astype(int)
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False)
    columns = ["--text-column", "body", "--label-column", "stars"]
    assert small_train(workshop, tmp_path / "a.tsv", tmp_path / "out", *columns) == 0
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "out")
    assert clf.classes_.tolist() == [0, 1]
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    assert run("evaluate", tmp_path / "out", tmp_path / "a.jsonl", *columns) == 0


def test_strip_html_is_stored_and_applied_again(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv")
    assert small_train(workshop, data, tmp_path / "out", "--strip-html") == 0
    assert bertsent.BertClassifier.from_pretrained(tmp_path / "out").strip_html is True
    capsys.readouterr()
    run("predict", tmp_path / "out", "--text", "a great film", "--text", "a<br/>great <b>film")
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_every_parameter_is_a_flag(parameter, capsys):
    assert main(["train", "--help-all"]) == 0
    shown = capsys.readouterr().out
    if not parameter.on_command_line:
        assert parameter.name == "warm_start" and "--warm-start" not in shown
        return
    assert f"--{parameter.name.replace('_', '-')}" in shown
    assert " ".join(parameter.help.split()[:3]) in " ".join(shown.split())


def test_a_recipe_stands_where_no_flag_does(workshop, tmp_path, capsys):
    for name, recipe in bertsent.RECIPES.items():
        clf = bertsent.BertClassifier(**recipe)  # the names are parameters
        check_parameters(clf.get_params(deep=False))
        out = tmp_path / name
        flags = ["--max-length", 8, "--recipe", name, "--batch-size", 4, "--output", out]
        data = workshop / "train.csv"
        assert run("train", data, "--model", workshop / "tiny", "--epochs", 1, *flags) == 0
        saved = json.loads((out / "run.json").read_text())["parameters"]
        given = {"max_length": 8, "batch_size": 4, "epochs": 1}
        expected = dict(recipe) | given
        expected["model"] = str(workshop / "tiny")
        assert {key: saved[key] for key in [*recipe, *given]} == expected
    given = ["train", "--sample", "--output", str(tmp_path / "x"), "--recipe", "quick"]
    recipe = "--time-budget 10min (of --recipe quick)"
    assert main([*given, "--members", "2"]) == 1
    said = capsys.readouterr().err
    assert f"{recipe} can only plan one model, not --members 2; use" in said
    assert "leave out --time-budget (of --recipe quick)\n" in said
    assert main([*given, "--few-shot"]) == 1
    assert f"--few-shot cannot be combined with {recipe}, because" in capsys.readouterr().err
    # What was typed is called as it was typed.
    assert main([*given, "--members", "2", "--time-budget", "10min"]) == 1
    assert "(of --recipe" not in capsys.readouterr().err
    assert main(["train", "--sample", "--recipe", "fast"]) == 2
    assert '--recipe: expected "best" or "quick", got \'fast\'' in capsys.readouterr().err


def test_missing_cells_stop_or_are_skipped(workshop, tmp_path, capsys):
    cells = {(3, "review"): None, (5, "sentiment"): None}
    data = write_csv(tmp_path / "a.csv", 40, cells=cells)
    assert small_train(workshop, data, tmp_path / "out") == 1
    assert "row 3" in capsys.readouterr().err
    assert small_train(workshop, data, tmp_path / "out", "--missing", "skip") == 0
    assert "2 rows with an empty cell" in capsys.readouterr().out
    assert not {3, 5} & set(pd.read_csv(tmp_path / "out" / "split.csv")["row"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("review,sentiment\n", "no rows"),
        ("x,label\na,b\n", "Its columns are: x (texts: 'a'), label (texts: 'b')"),
        ("review,sentiment\na,pos\nb,pos\n", "one class only"),
    ],
)
def test_bad_data_ends_in_one_line(workshop, tmp_path, capsys, content, message):
    (tmp_path / "a.csv").write_text(content)
    assert small_train(workshop, tmp_path / "a.csv", tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1 and "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(workshop, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("")
    assert small_train(workshop, tmp_path / "a.csv", tmp_path / "out", "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_output_is_checked_before_training(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv")
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.txt").write_text("precious")
    for more in ([], ["--force"]):
        assert small_train(workshop, data, target, *more) == 1
        out, err = capsys.readouterr()
        assert "thesis.txt" in err and "epoch" not in err and out == ""
    assert (target / "thesis.txt").read_text() == "precious"


def test_force_replaces_our_own_files_only(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv")
    target = tmp_path / "out"
    assert small_train(workshop, data, target) == 0
    before = (target / "model.safetensors").read_bytes()
    assert small_train(workshop, data, target, "--seed", 1) == 1
    assert "--force" in capsys.readouterr().err
    assert (target / "model.safetensors").read_bytes() == before
    (target / "notes.txt").write_text("mine")
    assert small_train(workshop, data, target, "--seed", 1, "--force") == 0
    assert (target / "model.safetensors").read_bytes() != before
    assert (target / "notes.txt").read_text() == "mine"


def test_sample_needs_no_data(workshop, tmp_path, capsys):
    code = run("train", "--sample", "--model", workshop / "tiny", "--max-length", 32,
               "--epochs", 1, "--output", tmp_path / "demo")
    assert code == 0
    out = capsys.readouterr().out
    assert "written for this package" in out
    assert len(pd.read_csv(tmp_path / "demo" / "split.csv")) >= 300


# --- evaluate -----------------------------------------------------------------------------


def test_evaluate_prints_the_same_as_json(workshop, capsys):
    assert run("evaluate", workshop / "model", workshop / "new.csv") == 0
    text = capsys.readouterr().out
    assert run("evaluate", workshop / "model", workshop / "new.csv", "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    frame = pd.read_csv(workshop / "new.csv")
    clf = bertsent.BertClassifier.from_pretrained(workshop / "model")
    assert metrics["accuracy"] == clf.score(frame["review"], frame["sentiment"])
    assert f"accuracy {metrics['accuracy']:.2%} on 40 texts" in text
    assert set(metrics["classes"]) == {"negative", "positive"}
    assert metrics["rows_seen_in_training"] == 0


def test_evaluate_warns_of_rows_trained_on(workshop, capsys):
    assert run("evaluate", workshop / "model", workshop / "train.csv", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["rows_seen_in_training"] == 96
    assert "warning: 96 of the 120" in err


def test_evaluate_names_an_unknown_class(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 10, cells={(4, "sentiment"): "mixed"})
    assert run("evaluate", workshop / "model", data) == 1
    err = capsys.readouterr().err
    assert "'mixed'" in err and "negative, positive" in err
    assert small_train(workshop, workshop / "train.csv", tmp_path / "o", "--test-data", data) == 1
    assert "'mixed'" in capsys.readouterr().err


# --- predict ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.tsv", "p.jsonl", "p.parquet"])
def test_predict_keeps_all_columns_and_adds_two(workshop, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    from bertsent.files import readers

    assert run("predict", workshop / "model", workshop / "new.csv", "-o", tmp_path / name,
               "--chunk-rows", 7) == 0
    labelled = readers.read_table(tmp_path / name)
    given = readers.read_table(workshop / "new.csv")
    assert list(labelled.columns) == [*given.columns, "predicted_label", "confidence"]
    for column in given.columns:
        assert labelled[column].tolist() == given[column].tolist()
    clf = bertsent.BertClassifier.from_pretrained(workshop / "model")
    assert labelled["predicted_label"].tolist() == clf.predict(given["review"]).tolist()
    np.testing.assert_allclose(
        labelled["confidence"].astype(float), clf.predict_proba(given["review"]).max(axis=1),
        atol=2e-6,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_predict_to_stdout_and_of_texts(workshop, capsys):
    assert run("predict", workshop / "model", workshop / "new.csv") == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "id,review,sentiment,predicted_label,confidence"
    assert len(out) == 41 and out[1].startswith("000,")
    assert run("predict", workshop / "model", "--text", "a great film", "--text", "") == 0
    first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert first[0] == "positive" and 0.5 <= float(first[1]) <= 1
    assert second[0] in ("positive", "negative")


def test_predict_and_missing_texts(workshop, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 10, cells={(4, "review"): None, (6, "review"): "None"})
    output = tmp_path / "p.csv"
    assert run("predict", workshop / "model", data, "-o", output) == 1
    assert "row 4" in capsys.readouterr().err
    assert not output.exists()
    assert run("predict", workshop / "model", data, "-o", output, "--missing", "skip") == 0
    assert "1 rows" in capsys.readouterr().err
    labelled = pd.read_csv(output, keep_default_na=False)
    assert len(labelled) == 9 and "None" in labelled["review"].tolist()


def test_predict_does_not_overwrite_unasked(workshop, tmp_path, capsys):
    output = tmp_path / "p.csv"
    output.write_text("precious")
    assert run("predict", workshop / "model", workshop / "new.csv", "-o", output) == 1
    assert "--force" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert run("predict", workshop / "model", workshop / "new.csv", "-o", output, "--force") == 0
    assert len(pd.read_csv(output)) == 40


def test_predict_leaves_nothing_half_written(workshop, tmp_path, capsys):
    data = tmp_path / "a.csv.gz"
    whole = gzip.compress(b"review\n" + b"a fine film\n" * 5000)
    data.write_bytes(whole[:-9])
    output = tmp_path / "p.csv"
    output.write_text("the old one")
    assert run("predict", workshop / "model", data, "-o", output, "--force") == 1
    assert "a.csv.gz" in capsys.readouterr().err
    assert output.read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.gz", "p.csv"]


def test_predict_twice_does_not_shadow_columns(workshop, tmp_path, capsys):
    assert run("predict", workshop / "model", workshop / "new.csv", "-o", tmp_path / "p.csv") == 0
    assert run("predict", workshop / "model", tmp_path / "p.csv", "-o", tmp_path / "q.csv") == 1
    assert "'predicted_label' already" in capsys.readouterr().err


# --- calls and exit codes -----------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [
        ["fly"],
        ["train"],
        ["train", "a.csv", "--sample"],
        ["train", "--sample", "--test-data", "b.csv"],
        ["train", "a.csv", "--test-data", "b.csv", "--test-size", "0.5"],
        ["train", "a.csv", "--test-size", "1.5"],
        ["train", "a.csv", "--epochs", "0"],
        ["train", "a.csv", "--epochs", "many"],
        ["train", "a.csv", "--learning-rate", "fast"],
        ["train", "a.csv", "--freeze-layers", "some"],
        ["train", "a.csv", "--no-such-flag"],
        ["evaluate", "model"],
        ["predict", "model"],
        ["predict", "model", "a.csv", "--text", "a"],
        ["predict", "model", "--text", "a", "-o", "b.csv"],
        ["predict", "model", "a.csv", "--missing", "maybe"],
        ["predict", "model", "a.csv", "--chunk-rows", "0"],
    ],
    ids=" ".join,
)
def test_wrong_calls_exit_with_2(args, capsys):
    assert main(args) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 2
    assert re.fullmatch(r"try 'bertsent( [a-z]+)? --help'", err.splitlines()[1])


def test_allowed_values_are_named_in_usage_errors(capsys):
    assert main(["train", "a.csv", "--epochs", "0"]) == 2
    expected = "--epochs: expected \"auto\" or a whole number of at least 1, got '0'"
    assert expected in capsys.readouterr().err


def test_errors_exit_with_1_in_one_line(workshop, tmp_path, capsys):
    for args in (
        ["train", "nowhere.csv", "--output", tmp_path / "o"],
        ["train", workshop / "new.csv", "--model", tmp_path / "none", "--output", tmp_path / "o"],
        ["evaluate", tmp_path / "none", workshop / "new.csv"],
        ["predict", workshop / "model", workshop / "new.csv", "-o", tmp_path / "none" / "p.csv"],
        ["predict", workshop / "model", workshop / "new.csv", "-o", tmp_path / "p.xlsx"],
        ["predict", workshop / "tiny", "--text", "a"],
    ):
        assert run(*args) == 1, args
        err = capsys.readouterr().err
        last = err.splitlines()[-1]
        assert last.startswith("bertsent: error: ") and "Traceback" not in err, args


def test_help_and_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bertsent {bertsent.__version__}\n"
    for command in make_parser()[1]:
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "examples:" in shown and max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(
    "args",
    [["--help"], ["--version"], ["train", "--help"], ["pretrain", "--help"], ["doctor", "--help"]],
    ids=" ".join,
)
def test_help_imports_nothing_slow(args):
    code = (
        "import sys; from bertsent.cli import main; code = main(sys.argv[1:]);"
        "print(code, [n for n in ('sklearn', 'pandas', 'scipy', 'pyarrow') if n in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *args], **surroundings(), capture_output=True, text=True,
        timeout=120,
    )
    assert process.stdout.splitlines()[-1:] == ["0 []"], process.stderr


def test_flags_have_the_defaults_of_the_signature():
    signature = dict(inspect.signature(bertsent.BertClassifier).parameters)
    assert [parameter.name for parameter in CLASSIFICATION] == list(signature)
    signature |= inspect.signature(bertsent.BertRegressor).parameters
    for parameter in PARAMETERS:
        assert parameter.default == signature[parameter.name].default, parameter.name


def surroundings():
    # Outside of the source tree, with the package that is tested here.
    package = Path(bertsent.__file__).resolve().parent
    return {"env": {**os.environ, "PYTHONPATH": str(package.parent)}, "cwd": os.sep}


def start(*args, **options):
    return launch(
        [sys.executable, "-m", "bertsent", *map(str, args)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **surroundings(), **options,
    )


def test_as_a_module_with_data_on_stdout_only(workshop):
    process = start("evaluate", workshop / "model", workshop / "new.csv", "--json")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(out)["rows"] == 40


def test_ctrl_c_saves_the_model_so_far(workshop, tmp_path):
    process = start(
        "train", workshop / "train.csv", "--model", workshop / "tiny", *SMALL,
        "--epochs", "100000", "--output", tmp_path / "out",
    )
    for line in process.stderr:
        if "done: loss" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["interrupted"] is True
    assert not (tmp_path / "out" / "metrics.json").exists()
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "out")
    assert len(clf.history_) >= 1
    assert clf.predict(["a great film"]).shape == (1,)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_of_predict_leaves_nothing(workshop, tmp_path, number):
    data = tmp_path / "a.csv"
    data.write_text("review\n" + "a fine film\n" * 400_000)
    process = start("predict", workshop / "model", data, "-o", tmp_path / "p.csv")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".p.csv.tmp-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate(timeout=120)
    # After Ctrl-C during an import, CPython dies by the signal, which a shell reports as 130.
    assert process.returncode in (128 + number, -signal.SIGINT)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_closed_pipe_is_no_traceback(workshop):
    process = start("predict", workshop / "model", workshop / "new.csv")
    process.stdout.close()
    err = process.stderr.read()
    process.wait(timeout=120)
    assert "Traceback" not in err and "BrokenPipe" not in err
