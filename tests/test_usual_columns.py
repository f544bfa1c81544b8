"""The columns of texts and labels of files, where nobody names them."""

import json

import pandas as pd
import pytest
from conftest import write_tiny_model
from test_classifier import make_texts
from test_cli import run
from test_pairs import make_pairs

import bertsent
from bertsent.files import find_columns, find_source

TEXTS, LABELS = make_texts(24)
SMALL = ["--max-length", "16", "--batch-size", "8", "--epochs", "1", "--threads", "1"]
ALL = dict.fromkeys(["text_column", "text_pair_column", "label_column"])


def find(path, names, given=ALL, pairs=None, rows=(("a text", "b", "c", "d", "e"),)):
    """Write a file with these columns, and return the columns that are found and the line."""
    pd.DataFrame([row[: len(names)] for row in rows], columns=names).to_csv(path, index=False)
    return find_columns(find_source(path), given, pairs=pairs)


@pytest.mark.parametrize(("names", "expected"), [
    (["review", "sentiment"], ["review", "sentiment"]),
    (["text", "label"], ["text", "label"]),
    (["sentence", "label", "idx"], ["sentence", "label"]),
    (["content", "rating"], ["content", "rating"]),
    (["id", "Review Text", "Stars"], ["Review Text", "Stars"]),
    (["TEXT", "Category"], ["TEXT", "Category"]),
    # The first ones are meant whatever else is there.
    (["content", "review", "text", "label", "sentiment"], ["review", "sentiment"]),
    (["body", "text", "score", "label"], ["text", "label"]),
    (["sentence1", "sentence2", "label"], ["sentence1", "sentence2", "label"]),
    (["premise", "hypothesis", "label"], ["premise", "hypothesis", "label"]),
    (["question", "sentence", "label"], ["question", "sentence", "label"]),
    (["question", "answer", "review", "sentiment"], ["review", "sentiment"]),
    (["question", "answer", "text", "label"], ["text", "label"]),
    # A name that is exactly the usual one comes before those that differ in case.
    (["Review", "review", "Sentiment", "sentiment"], ["review", "sentiment"]),
    (["text", "Text", "Label", "label"], ["text", "label"]),
    (["BODY", "body", "stars", "Stars"], ["body", "stars"]),
    (["premise", "Premise", "hypothesis", "label"], ["premise", "hypothesis", "label"]),
])
def test_usual_names_are_found_and_said(tmp_path, names, expected):
    found, line = find(tmp_path / "a.csv", names)
    assert list(found.values()) == expected
    assert list(found) == [name for name in ALL if len(expected) == 3 or name != "text_pair_column"]
    if expected == ["review", "sentiment"]:
        assert line is None
    else:
        assert all(repr(name) in line for name in expected) and "\n" not in line
        assert line.startswith(str(tmp_path / "a.csv")) and "label_column choose others" in line


def test_what_was_given_is_kept_and_not_said(tmp_path):
    path = tmp_path / "a.csv"
    given = ALL | {"text_column": "body"}
    assert find(path, ["body", "text", "label"], given) == (
        {"text_column": "body", "label_column": "label"},
        f"{path}: labels in column 'label' (label_column chooses another)",
    )
    given = ALL | {"label_column": "text"}
    assert find(path, ["body", "text"], given)[0] == {
        "label_column": "text", "text_column": "body"
    }
    given = ALL | {"text_column": "a", "label_column": "b"}
    assert find(path, ["c"], given) == ({"text_column": "a", "label_column": "b"}, None)
    # A column that only serves as texts is no label.
    assert find(path, ["text", "label"], {"text_column": None})[0] == {"text_column": "text"}


def test_pairs_are_found_if_they_are_wanted(tmp_path):
    path, names = tmp_path / "a.csv", ["question", "answer", "text", "label"]
    assert list(find(path, names, pairs=True)[0].values()) == ["question", "answer", "label"]
    assert list(find(path, names, pairs=False)[0].values()) == ["text", "label"]
    with pytest.raises(ValueError, match="text_pair_column needs text_column"):
        find(path, names, ALL | {"text_pair_column": "answer"})
    with pytest.raises(ValueError, match=r"contains the texts\? .*text_column \(and text_pair_"):
        find(path, ["text", "label"], pairs=True)


@pytest.mark.parametrize(("names", "message"), [
    (["id", "ticket", "label"], (
        r"a.csv: which column contains the texts\? Its columns are: id \(numbers: 1, 2\), "
        r"ticket \(texts: 'I cannot log in', 'The invoice .*\.\.\.\), label \(texts: 'x', 'y'\). "
        "Choose one with text_column"
    )),
    (["content", "comment", "label"],
     "which column contains the texts, 'content' or 'comment'.*Choose one with text_column"),
    (["question", "answer", "comment"], (
        r"'question' and 'answer' or 'comment'\? .*Choose one with text_column \(and text_pair_"
    )),
    (["text", "rating", "stars"],
     "which column contains the labels, 'rating' or 'stars'.*Choose one with label_column"),
    (["Text", "TEXT", "label"], r"which column contains the texts\?"),
    (["text", "x", "y"], "which column contains the labels.*Choose one with label_column"),
    (["review:sentiment"], "separated the cells; if it does, pass delimiter=':'"),
    (["reviews", "sentiment"], r"is it 'reviews'\?"),
])
def test_what_is_not_certain_is_asked(tmp_path, names, message):
    rows = [
        ("1", "I cannot log in", "x"), ("2", "The invoice is wrong, as I wrote before", "y"),
        ("2", "I cannot log in", "y"),
    ]
    with pytest.raises(ValueError, match=message) as caught:
        find(tmp_path / "a.csv", names, rows=rows)
    assert "\n" not in str(caught.value)


def test_columns_are_shown_with_what_they_contain(tmp_path):
    rows = [{"n": 1.5, "t": "a", "l": ["x"], "e": None}, {"n": 2, "l": {"k": 1}, "m": "b"}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match=(
        r"n \(numbers: 1.5, 2\), t \(texts: 'a'\), l \(objects: \['x'\], {'k': 1}\), "
        r"e \(empty\), m \(texts: 'b'\)"
    )):
        find_columns(find_source(path), ALL)
    wide = tmp_path / "wide.csv"
    pd.DataFrame([range(40)], columns=[f"c{i}" for i in range(40)]).to_csv(wide, index=False)
    with pytest.raises(ValueError, match=r"c29 \(numbers: 29\), and 10 more\. Choose"):
        find_columns(find_source(wide), ALL)


# --- commands ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    place = tmp_path_factory.mktemp("workshop")
    write_tiny_model(place / "tiny", prefix="bert.", scale=0.25)
    frame = pd.DataFrame({"id": range(24), "Text": TEXTS, "label": LABELS})
    frame.to_csv(place / "train.csv", index=False)
    pairs, labels = make_pairs(30)
    pairs.columns = ["premise", "hypothesis"]
    pairs.assign(label=labels).to_csv(place / "pairs.csv", index=False)
    for name in ("train", "pairs"):
        assert run("train", place / f"{name}.csv", "--model", place / "tiny", *SMALL,
                   "--output", place / f"{name}-model") == 0
    return place


def test_commands_find_the_columns_and_say_so(workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(workshop)
    said = "train.csv: texts in column 'Text'"
    assert run("evaluate", "train-model", "train.csv", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"] == 24
    assert captured.err.count(f"{said} and labels in column 'label'") == 1
    assert "(--text-column and --label-column choose others)" in captured.err
    for args in (
        ["predict", "train-model", "train.csv", "-o", tmp_path / "out.csv"],
        ["suggest-labels", "tiny", "train.csv", "--first", "--n", "2", "--json"],
        ["doctor", "--data", "train.csv", "--no-speed", "--model", "tiny", "--max-length", "16"],
        ["pretrain", "train.csv", "--model", "tiny", "--max-length", "16", "-o",
         tmp_path / "pretrained", "--epochs", "1"],
    ):
        from bertsent.system import notices

        notices._told.clear()
        assert run(*args) == 0
        assert f"{said} (--text-column chooses another)" in capsys.readouterr().err
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found)[-2:] == ["predicted_label", "confidence"]


def test_verbose_0_says_nothing(workshop, tmp_path, capsys):
    capsys.readouterr()
    assert run("train", workshop / "train.csv", "--model", workshop / "tiny", *SMALL,
               "--output", tmp_path / "out", "--verbose", "0") == 0
    assert "column" not in capsys.readouterr().err


def test_pairs_of_a_file_are_found(workshop, tmp_path, capsys):
    settings = json.loads((workshop / "pairs-model" / "bertsent.json").read_text())
    assert settings["pairs"] is True
    assert run("predict", workshop / "pairs-model", workshop / "pairs.csv", "--json") == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 30
    assert "texts in column 'premise' and second texts in column 'hypothesis'" in captured.err
    # A model of single texts does not look for pairs.
    assert run("predict", workshop / "train-model", workshop / "pairs.csv") == 1
    assert "which column contains the texts?" in " ".join(capsys.readouterr().err.split())


def test_a_stream_with_a_usual_header_is_a_table(workshop, tmp_path, capsys, monkeypatch):
    with open(workshop / "train.csv", "rb") as file:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": file})())
        assert run("predict", workshop / "train-model", "-", "--text-column", "Text") == 0
    assert len(capsys.readouterr().out.splitlines()) == 25
    (tmp_path / "a.csv").write_text("text,id\na film,1\n")
    with open(tmp_path / "a.csv", "rb") as file:
        monkeypatch.setattr("sys.stdin", type("In", (), {"buffer": file})())
        assert run("predict", workshop / "train-model", "-") == 0
    assert capsys.readouterr().out.splitlines()[0] == "text,id,predicted_label,confidence"


def test_python_finds_them_too(workshop, tmp_path, capsys):
    clf = bertsent.BertClassifier.from_pretrained(workshop / "train-model")
    assert clf.predict_file(workshop / "train.csv", tmp_path / "out.csv").rows == 24
    assert "texts in column 'Text' (text_column chooses another)" in capsys.readouterr().err
    clf.set_params(verbose=0)
    clf.predict_file(workshop / "train.csv", tmp_path / "out.csv", overwrite=True)
    assert "column" not in capsys.readouterr().err
    pairs = bertsent.BertClassifier.from_pretrained(workshop / "pairs-model")
    assert pairs.predict_file(workshop / "pairs.csv", tmp_path / "pairs.csv").rows == 30


def test_a_log_names_the_columns_that_were_found(workshop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(workshop)
    log = tmp_path / "run.jsonl"
    assert run("train", "pairs.csv", "--model", "tiny", *SMALL, "--log-file", log,
               "--hash-every", "1", "--output", tmp_path / "out") == 0
    flags = json.loads(log.read_text().splitlines()[0])["data"]["flags"]
    assert (flags["text_column"], flags["text_pair_column"]) == ("premise", "hypothesis")
    assert flags["label_column"] == "label"
    assert run("verify", log, "--json") == 0
