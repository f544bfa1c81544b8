"""Usage errors: two lines, which say what was probably meant."""

import argparse
import re

import pytest

from bertsent.cli import main
from bertsent.cli.parser import make_parser
from bertsent.cli.usage import closest, name_with_spaces, parse


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Return a function that runs a command in an empty folder and returns its usage error."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        assert main(list(args)) == 2
        out, err = capsys.readouterr()
        problem, hint = err.splitlines()
        assert out == ""
        scope = f"bertsent {args[0]}" if args[0] in make_parser()[1] else "bertsent"
        assert hint == f"try '{scope} --help'"
        assert problem.startswith(f"{scope}: error: ")
        return problem.removeprefix(f"{scope}: error: ")

    return run


# --- flags and commands -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--epoch", "--epochs"), ("--ephocs", "--epochs"), ("--EPOCHS", "--epochs"),
        ("--max_length", "--max-length"), ("--maxlength", "--max-length"),
        ("--max-len", "--max-length"), ("-epochs", "--epochs"), ("---epochs", "--epochs"),
        ("--lr", "--learning-rate"), ("--wd", "--weight-decay"), ("--bs", "--batch-size"),
        ("--out", "--output"), ("--dryrun", "--dry-run"), ("--ouput=x", "--output=x"),
        ("\u2013epochs", "--epochs"), ("\u2014seed", "--seed"), ("\u2212\u2212seed", "--seed"),
        ("--output-dir", "--output"), ("--num-epochs", "--epochs"), ("--treads", "--threads"),
        ("--memory", "--memory-limit"),
        ("--time_budget=1 h", "--time-budget='1 h'"),
    ],
)
def test_a_mistyped_flag_gets_a_suggestion(refused, given, meant):
    name = given.partition("=")[0]
    for args in (["a.csv", given, "3"], [given, "3", "a.csv"], ["--sample", given]):
        assert refused("train", *args) == f"there is no flag {name}; did you mean {meant}?"


@pytest.mark.parametrize("given", ["--gpu", "--device", "-x", "--zzz=1", "--", "-é"])
def test_an_unknown_flag_gets_no_far_fetched_suggestion(refused, given):
    if given == "--":
        found = refused("train", "a.csv", "--", "--epochs")
        assert found.startswith("unexpected argument: --epochs;")
        return
    assert refused("train", "a.csv", given) == f"there is no flag {given.partition('=')[0]}"


def test_a_flag_of_another_command_is_said_to_be_one(refused):
    found = refused("evaluate", "model", "a.csv", "--epochs", "3")
    owners = "train, learning-curve, pretrain and doctor"
    assert found == f"there is no flag --epochs here; {owners} have it"
    found = refused("train", "a.csv", "--no-speed")
    assert found == "there is no flag --no-speed here; doctor has it"
    found = refused("--epochs", "3", "train", "a.csv")
    assert found == (
        "there is no flag --epochs before the command; write it after train, learning-curve, "
        "pretrain or doctor"
    )


def test_what_has_no_flag_is_said_to_have_none(refused):
    assert refused("train", "--data", "a.csv").endswith("DATA is given without a flag")
    assert refused("predict", "m", "--file", "a.csv").endswith("FILE is given without a flag")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("trian", "train"), ("Train", "train"), ("eval", "evaluate"), ("predcit", "predict"),
     ("doc", "doctor"), ("help", "--help"), ("version", "--version"), ("-v", "--version"),
     ("--hlep", "--help")],
)
def test_a_mistyped_command_gets_a_suggestion(refused, given, meant):
    kind = "flag " + given if given.startswith("-") else f"command {given!r}"
    assert refused(given) == f"there is no {kind}; did you mean {meant}?"
    assert refused(given, "a.csv", "--epochs", "3").endswith(f"did you mean {meant}?")


def test_another_command_is_told_which_there_are(refused):
    assert refused("fly").endswith(
        "choose from train, evaluate, predict, explain, encode, suggest-labels, learning-curve, "
        "pretrain, export, serve, verify, inspect, doctor"
    )
    assert refused("reviews.csv", "--epochs", "3").startswith("there is no command 'reviews.csv'")


def test_help_comes_before_errors(capsys):
    for args in (["train", "--no-such", "--help"], ["train", "x", "y", "--help-all"]):
        assert main(args) == 0
        out, err = capsys.readouterr()
        assert out.startswith("usage: bertsent train DATA") and err == ""


def test_bertsent_alone_prints_help(capsys):
    assert main([]) == 0
    alone = capsys.readouterr()
    assert main(["--help"]) == 0
    assert alone == capsys.readouterr() and "commands:" in alone.out and alone.err == ""


# --- arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["IMDB Dataset.csv", "my new data.csv", "data/a b c.tsv"])
def test_a_name_with_spaces_gets_a_hint(refused, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    hint = f"a name with spaces needs quotes: '{name}'"
    words = name.split()
    assert refused("train", *words) == hint
    assert refused("train", "--epochs", "3", *words, "--seed", "1") == hint
    assert refused("predict", "model", *words) == hint
    assert refused("doctor", "--data", *words) == hint
    assert refused("train", "a.csv", "--test-data", *words) == hint
    assert refused("evaluate", "model", *words) == hint


def test_a_name_with_spaces_is_also_found_where_the_words_are_enough(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "held out.csv").touch()
    assert main(["evaluate", "held", "out.csv"]) == 1
    err = capsys.readouterr().err
    assert "out.csv: no such file" in err
    assert err.endswith("A name with spaces needs quotes: 'held out.csv'\n")


def test_home_is_expanded_in_a_name_with_spaces(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a b.csv").touch()
    assert name_with_spaces(["train", "~/a", "b.csv"]) == "~/a b.csv"
    assert name_with_spaces(["train", "~/a", "c.csv"]) is None


def test_one_argument_too_many(refused, tmp_path):
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    assert refused("train", "a.csv", "b.csv") == (
        "DATA is one file, and there is also b.csv; several files are read from a folder, or by a "
        "pattern in quotes, such as '*.csv'"
    )
    found = refused("predict", "m", "--text", "hello", "a", "b c")
    assert found == "unexpected argument: 'b c'; a name or a text with spaces needs quotes"
    assert refused("train", "a.csv", "epochs=3").endswith("did you mean --epochs=3?")
    assert refused("doctor", "a.csv").startswith("unexpected argument: a.csv;")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["evaluate"], "DIR and FILE are missing"),
        (["evaluate", "model"], "FILE is missing"),
        (["pretrain", "a.csv"], "--output/-o is missing"),
        (["train"], "pass either DATA or --sample"),
        (["train", "a.csv", "--sample"], "pass either DATA or --sample"),
        (["predict", "model"], "pass either FILE or --text"),
        (["train", "a.csv", "--epochs"], "--epochs needs a value"),
        (["train", "a.csv", "--epochs", "--force"], "--epochs needs a value"),
        (["train", "a.csv", "--force=yes"], "--force takes no value"),
        (["train", "a.csv", "--test-data", "b", "--test-size", ".5"],
         "--test-size cannot be used with --test-data"),
        (["train", "a.csv", "--epochs", "-1"],
         "--epochs: expected \"auto\" or a whole number of at least 1, got '-1'"),
        (["train", "a.csv", "--learning-rate", "-1e-5"],
         "--learning-rate: expected \"auto\" or a number above 0, got '-1e-5'"),
        (["train", "a.csv", "--pooling", "None"],
         "--pooling: expected \"cls\" or \"mean\", got 'None'"),
        (["train", "a.csv", "--schedule", "linaer"],
         "--schedule: expected \"linear\", \"cosine\" or \"constant\", got 'linaer'; "
         "did you mean linear?"),
        (["train", "a.csv", "--early-stopping", "acc"],
         "--early-stopping: expected \"loss\", \"accuracy\", \"f1\", \"micro_f1\", \"macro_f1\", "
         "\"mae\", \"quadratic_kappa\", \"rmse\", \"r2\", \"spearman\" or the name of a scorer of "
         "scikit-learn, such as roc_auc, got 'acc'; did you mean accuracy?"),
        (["predict", "m", "a.csv", "--missing", "Skip"],
         "--missing: expected \"error\" or \"skip\", got 'Skip'; did you mean skip?"),
        (["evaluate", "m", "a.csv", "--inference-precision", "bf16"],
         "--inference-precision: expected \"auto\", \"float32\", \"bfloat16\" or \"int8\", "
         "got 'bf16'; did you mean bfloat16?"),
        (["--print-completion", "basch"],
         "--print-completion: expected \"bash\" or \"zsh\", got 'basch'; did you mean bash?"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_is_wrong_is_said_in_words_of_the_command_line(refused, args, said):
    assert refused(*args) == said


@pytest.mark.parametrize(
    ("command", "args", "values"),
    [
        ("predict", ["m", "--text-column", "text", "new.csv"], {"file": "new.csv"}),
        ("predict", ["--text-column", "text", "m", "--chunk-rows", "5", "new.csv"],
         {"directory": "m", "file": "new.csv", "chunk_rows": 5}),
        ("predict", ["m", "--text", "-5 of 10", "--text", "-meh", "--text=-x"],
         {"text": ["-5 of 10", "-meh", "-x"], "file": None}),
        ("predict", ["m", "-"], {"file": "-"}),
        ("predict", ["m", "--", "-odd.csv"], {"file": "-odd.csv"}),
        ("predict", ["m", "x", "-oout.csv"], {"output": "out.csv"}),
        ("predict", ["m", "x", "-o", "-", "--json"], {"output": None, "json": True}),
        ("train", ["--epochs", "3", "a.csv", "--seed=4"],
         {"data": "a.csv", "epochs": 3, "random_state": 4}),
        ("train", ["--n-threads", "2", "--random-state", "7", "--sample"],
         {"n_threads": 2, "random_state": 7}),
        ("evaluate", ["m", "--json", "a.csv"], {"directory": "m", "file": "a.csv", "json": True}),
    ],
)
def test_arguments_come_in_any_order(command, args, values):
    found = vars(parse(*make_parser(), [command, *args]))
    assert {name: found[name] for name in values} == values


def test_home_is_expanded_in_every_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    for command, args in (
        ("train", ["~/a.csv", "--output=~/o", "--test-data=~/t.csv"]),
        ("evaluate", ["~/m", "~/a.csv"]), ("predict", ["~/m", "~/a.csv", "--output=~/p.csv"]),
        ("pretrain", ["~/a.csv", "-o", "~/o"]), ("doctor", ["--data=~/a.csv"]),
    ):
        found = vars(parse(*make_parser(), [command, *args])).values()
        assert sum(str(value).startswith("/home/ann/") for value in found) == len(
            [arg for arg in args if "~" in arg]
        )
        assert not any(str(value).startswith("~") for value in found)


# --- the parts ----------------------------------------------------------------------------


def test_every_flag_is_closest_to_itself_in_other_spellings():
    _, commands = make_parser()
    for command in commands.values():
        for name in command.flags:
            if name.startswith("--"):
                for other in (name.upper(), name[1:], name.replace("-", "_"), name[2:]):
                    assert closest(other, command.flags) == name


def test_one_letter_of_every_flag_may_be_missing():
    flags = make_parser()[1]["train"].flags
    for name in flags:
        if len(name) > 7:
            for at in range(3, len(name)):
                typed = name[:at] + name[at + 1 :]  # may be another flag, as --label-column is
                assert closest(typed, flags) in (name, None, *({typed} & flags.keys()))
            assert closest(name[:-1], flags) == name or name in ("--n-threads", "--label-columns")


def test_messages_of_argparse_are_the_ones_that_are_reworded(capsys):
    """If Python words them in another way, they show as Python words them."""
    for args in (["evaluate"], ["train", "x", "--epochs"], ["train", "x", "--force=1"]):
        main(args)
        assert not re.search("argument|required", capsys.readouterr().err)
    assert issubclass(type(make_parser()[0]), argparse.ArgumentParser)


# --- data and models ----------------------------------------------------------------------


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_model_and_data_that_are_swapped_are_told_apart(refused, tmp_path, command):
    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "config.json").touch()
    (tmp_path / "a.csv").touch()
    assert refused(command, "a.csv", "my model") == "DIR comes before FILE: 'my model' a.csv"


def test_the_directory_of_a_model_is_no_data(workshop, capsys):
    for args in (["train", "model"], ["predict", "model", "model"], ["doctor", "--data", "tiny"]):
        places = [str(workshop / arg) if arg in ("model", "tiny") else arg for arg in args]
        assert main(places) == 1
        assert f"{places[-1]} contains a model, not data\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "nearby"),
    [("tickts.csv", "tickets.csv"), ("Tickets.CSV", "tickets.csv"), ("tickets", "tickets.csv"),
     ("dta/new.csv", "data"), ("data/nwe.csv", "data/new.csv")],
)
def test_a_mistyped_file_gets_a_suggestion(tmp_path, monkeypatch, capsys, given, nearby):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("tickets.csv", "data/new.csv"):
        (tmp_path / name).touch()
    assert main(["train", given]) == 1
    said = f"{given}: no such file or folder; nearby: {nearby}\n"
    assert capsys.readouterr().err == f"bertsent: error: {said}"


def test_a_file_unlike_all_others_gets_no_suggestion(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tickets.csv").touch()
    (tmp_path / "uni.csv").touch()
    assert main(["train", "reviews.parquet"]) == 1
    assert capsys.readouterr().err.endswith("reviews.parquet: no such file or folder\n")


@pytest.mark.parametrize("name", ["results", "results.csv"])
def test_a_folder_is_no_output(workshop, tmp_path, capsys, name):
    (tmp_path / name).mkdir()
    data, output = str(workshop / "new.csv"), str(tmp_path / name)
    assert main(["predict", str(workshop / "model"), data, "--output", output, "--force"]) == 1
    assert f"{output} is a folder; pass the name of a file\n" in capsys.readouterr().err
