"""What an error about a model recommends works where it is recommended.

Each test provokes an error in Python or on the command line, takes the advice out of its message
as a person would copy it, and follows it.
"""

import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_config, write_tiny_model

import bertsent
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.model import BertForSequenceClassification
from bertsent.tokenizer import WordPieceTokenizer

TEXTS, LABELS = ["a good film", "a bad film"] * 4, ["pos", "neg"] * 4


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with data and a base model, in which commands are run."""
    monkeypatch.chdir(tmp_path)
    texts = [f"{text} {number}" for number in range(9) for text in TEXTS]
    frame = pd.DataFrame({"review": texts, "sentiment": LABELS * 9})
    frame.to_csv("reviews.csv", index=False)
    return tmp_path


def with_config(directory, **changes):
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not KeyError}))
    return directory


# Models whose classifier cannot be used for prediction: number of outputs, entries, and what the
# message says.
UNUSABLE = {
    "too few names": (3, {"num_labels": 3, "id2label": ["no", "yes"]}, "id2label names 2"),
    "names from 1": (2, {"id2label": {"1": "no", "2": "yes"}}, "the keys 1, 2"),
    "names twice": (2, {"id2label": ["yes", "yes"]}, "names 2 classes 'yes'"),
    "classifier of tokens": (2, {"architectures": ["BertForTokenClassification"]}, "single tokens"),
    "no classifier": (None, {}, "it has no classifier"),
    "no classifier but its names": (None, {"id2label": {"1": "no"}}, "the keys 1"),
}


@pytest.fixture(params=UNUSABLE)
def unusable(request, here):
    outputs, changes, said = UNUSABLE[request.param]
    directory = write_tiny_model(here / "it's mine", classifier=outputs, prefix="bert.")
    return with_config(directory, **changes), said


def test_classifier_that_cannot_be_used_in_python(unusable):
    directory, said = unusable
    with pytest.raises(CheckpointError) as caught:
        bertsent.BertClassifier.from_pretrained(str(directory))
    message = str(caught.value)
    assert said in message and "new_classifier" not in message and "\n" not in message
    advice = re.search(r"BertClassifier\(.*\)\.fit\(X, y\)", message)
    names = {"BertClassifier": bertsent.BertClassifier, "X": TEXTS, "y": LABELS}
    clf = eval(advice[0].replace("BertClassifier(", "BertClassifier(epochs=1, model="), names)
    assert clf.classes_.tolist() == ["neg", "pos"] and len(clf.predict(TEXTS)) == 8


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_classifier_that_cannot_be_used_on_the_command_line(unusable, command, capsys):
    directory, said = unusable
    assert main([command, str(directory), "reviews.csv"]) == 1
    message = capsys.readouterr().err.strip()
    assert said in message and "\n" not in message
    assert "new_classifier" not in message and "BertClassifier" not in message
    line = re.search(r"bertsent (train .*)", message)[1]
    line = line.replace("FILE", "reviews.csv").replace("DIR", "trained")
    assert main([*shlex.split(line), "--epochs", "1"]) == 0
    assert main([command, "trained", "reviews.csv"]) == 0


def test_model_of_numbers_in_a_classifier(here, capsys):
    directory = write_tiny_model(here / "m", classifier=1, prefix="bert.")
    for changes, said in (({}, "which BertRegressor opens"),
                          ({"problem_type": "regression"}, "BertRegressor opens it")):
        with_config(directory, **changes)
        with pytest.raises(CheckpointError, match=said):
            bertsent.BertClassifier.from_pretrained(directory)
        assert len(bertsent.BertRegressor.from_pretrained(directory).predict(TEXTS)) == 8
    assert main(["evaluate", str(directory), "reviews.csv"]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "reviews.csv: column 'sentiment', row 0 is 'pos' of type str" in message
    assert "Bert" not in message and "label-map" not in message


def test_classifier_that_cannot_be_used_in_the_bare_model(unusable):
    directory, _ = unusable
    try:
        BertForSequenceClassification.from_pretrained(directory)
    except CheckpointError as error:
        message = str(error)
    else:
        return  # it does not need what a classifier needs
    assert "pass new_classifier=True and num_labels" in message
    model = BertForSequenceClassification.from_pretrained(
        directory, new_classifier=True, num_labels=4
    )
    assert model.num_labels == 4


def test_names_that_can_be_corrected(here):
    for changes, remedy in (
        ({"id2label": ["yes", "yes"]}, "give each class a name of its own there"),
        ({"id2label": {"1": "no", "2": "yes"}}, "correct the file"),
        ({"id2label": {"0": "no", "1": None}}, "correct the file"),
        ({"id2label": KeyError, "num_labels": 3}, "correct the file"),
    ):
        directory = with_config(write_tiny_model(here / "m", classifier=2), **changes)
        with pytest.raises(CheckpointError, match=r"config\.json.*" + remedy):
            bertsent.BertClassifier.from_pretrained(directory)
        with_config(directory, id2label=["no", "yes"])
        clf = bertsent.BertClassifier.from_pretrained(directory)
        assert clf.classes_.tolist() == ["no", "yes"]


def test_number_of_classes_that_is_not_that_of_the_classifier(here):
    directory = write_tiny_model(here / "m", classifier=3)
    with pytest.raises(CheckpointError, match="leave out num_labels .* or pass new_classifier=Tr"):
        BertForSequenceClassification.from_pretrained(directory, num_labels=2)
    assert BertForSequenceClassification.from_pretrained(directory).num_labels == 3
    model = BertForSequenceClassification.from_pretrained(
        directory, num_labels=2, new_classifier=True
    )
    assert model.num_labels == 2


def test_one_class_in_a_configuration(here):
    with pytest.raises(ValueError, match="set num_labels or id2label"):
        BertForSequenceClassification.from_config(tiny_config(num_labels=1))
    for changes in ({"num_labels": 2}, {"id2label": ["a", "b"]}):
        assert BertForSequenceClassification.from_config(tiny_config(**changes)).num_labels == 2


def test_revision_of_a_directory(here):
    write_tiny_model(here / "m", classifier=2)
    with pytest.raises(ValueError, match="leave out revision"):
        bertsent.BertClassifier.from_pretrained("m", revision="main")
    assert bertsent.BertClassifier.from_pretrained("m").classes_.tolist() == ["LABEL_0", "LABEL_1"]


def test_classifier_itself_in_place_of_the_model(here):
    with pytest.raises(TypeError, match=r"use BertForSequenceClassification\.from_pretrained"):
        BertForSequenceClassification()


@pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning")
def test_checkpoints_in_place_of_a_model(here):
    write_tiny_model(here / "m")
    options = {"epochs": 1, "max_length": 8, "verbose": 0, "random_state": 0}
    bertsent.BertClassifier("m", checkpoint_dir="run", **options).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="continue the run with") as caught:
        bertsent.BertClassifier.from_pretrained("run")
    advice = re.search(r"checkpoint_dir='run' and resume=True", str(caught.value))[0]
    more = eval(f"dict({advice.replace(' and ', ', ')})")
    clf = bertsent.BertClassifier("m", **options, **more).fit(TEXTS, LABELS)
    assert clf.classes_.tolist() == ["neg", "pos"]


def test_tokens_beyond_the_last_position(here):
    directory = write_tiny_model(here / "m", classifier=2)
    model = BertForSequenceClassification.from_pretrained(directory)
    tokenizer = WordPieceTokenizer.from_pretrained(directory)
    long = [["good"] * 100]
    ids = np.array([[5] * 100])
    with pytest.raises(ValueError, match="truncate texts to max_length=64") as caught:
        model.forward(ids)
    limit = int(re.search(r"max_length=(\d+)", str(caught.value))[1])
    encoded = tokenizer([" ".join(words) for words in long], max_length=limit)
    assert model.forward(**encoded).shape == (1, 2)
    with pytest.raises(ValueError, match=r"for one sequence pass input_ids\[None, :\]"):
        model.forward(ids[0, :5])
    assert model.forward(ids[0, :5][None, :]).shape == (1, 2)


