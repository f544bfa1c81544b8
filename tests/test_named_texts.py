"""A text that cannot be read is named where the user can find it."""

import json
import re

import pandas as pd
import pytest
from conftest import tiny_vocabulary, write_tiny_model

import bertsent
from bertsent import BertClassifier
from bertsent.cli import main

AT = 33
COLUMNS = ["--text-column", "text", "--label-column", "label"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Return a directory whose tokenizer has a token that its weights do not have."""
    directory = write_tiny_model(
        tmp_path_factory.mktemp("base") / "tiny", classifier=2, prefix="bert.",
        vocabulary=dict.fromkeys(tiny_vocabulary()),
    )
    size = json.loads((directory / "config.json").read_text())["vocab_size"]
    (directory / "added_tokens.json").write_text(json.dumps({"foo": size}))
    return directory


@pytest.fixture
def texts():
    texts = [f"good {number}" for number in range(40)]
    texts[AT] = "good foo"
    return texts


def new(model, **parameters):
    return BertClassifier(
        str(model), epochs=1, max_length=16, n_threads=1, verbose=0, **parameters
    )


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_fit_names_the_text_in_x(model, texts, fraction):
    labels = [0, 1] * 20
    for stopping in (False, True) if fraction else (False,):
        with pytest.raises(ValueError, match=rf"^X\[{AT}\]: 'foo' has the id"):
            new(model, validation_fraction=fraction, early_stopping=stopping).fit(texts, labels)
    with pytest.raises(ValueError, match=r"^X\[33\]: lone surrogate"):
        halves = [text.replace("foo", "\ud83d") for text in texts]
        new(model, validation_fraction=fraction).fit(halves, labels)


def test_texts_to_validate_on_are_named(model, texts):
    good = [text.replace("foo", "x") for text in texts]
    with pytest.raises(ValueError, match=rf"^X_val\[{AT}\]: 'foo' has the id"):
        new(model).fit(good, [0, 1] * 20, X_val=texts, y_val=[0, 1] * 20)


def test_other_methods_name_it_too(model, texts):
    clf = BertClassifier.from_pretrained(model).set_params(verbose=0)
    calls = [
        clf.predict, clf.predict_proba, clf.tokens_read,
        lambda X: clf.score(X, ["LABEL_0"] * len(X)),
        lambda X: clf.evaluate(X, ["LABEL_0"] * len(X)),
        lambda X: clf.partial_fit(X, ["LABEL_0"] * len(X)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"^X\[{AT}\]: 'foo' has the id"):
            call(texts)


def test_commands_name_the_line(model, texts, tmp_path, capsys):
    path = tmp_path / "a.csv"
    labels = ["LABEL_0", "LABEL_1"] * 20
    pd.DataFrame({"text": texts, "label": labels}).to_csv(path, index=False)
    line = f"a.csv, line {AT + 2}: row {AT} (counted from 0): 'foo' has the id"
    train = ["train", str(path), *COLUMNS, "--model", str(model), "--epochs", "1"]
    flags = [*train, "--output", str(tmp_path / "out")]
    # It is a text to train on, to validate on or to test on, as the seed decides.
    for seed in range(4):
        for more in ([], ["--validation-fraction", "0.5"]):
            assert main([*flags, "--seed", str(seed), *more]) == 1
            assert line in capsys.readouterr().err
    pretrain = ["pretrain", str(path), "--text-column", "text", "--model", str(model),
                "--max-length", "16"]
    for more in ([], ["--validation-fraction", "0.5"]):
        assert main([*pretrain, "--output", str(tmp_path / "out"), "--epochs", "1", *more]) == 1
        assert line in capsys.readouterr().err
        with pytest.raises(ValueError, match=rf"^texts\[{AT}\]: 'foo' has the id"):
            bertsent.pretrain(
                texts, tmp_path / "out", model=model, max_length=16, random_state=0, verbose=0,
                validation_fraction=0.5 if more else None,
            )
    good = tmp_path / "good.csv"
    frame = pd.DataFrame({"text": [text.replace("foo", "x") for text in texts], "label": labels})
    frame.to_csv(good, index=False)
    train[1] = str(good)
    assert main([*train, "--test-data", str(path), "--output", str(tmp_path / "out")]) == 1
    assert line in capsys.readouterr().err
    assert main(["evaluate", str(model), str(path), *COLUMNS]) == 1
    assert line in capsys.readouterr().err
    output = ["--output", str(tmp_path / "out.csv")]
    assert main(["predict", str(model), str(path), "--text-column", "text", *output]) == 1
    assert line in capsys.readouterr().err
    assert main(["predict", str(model), "--text", "good", "--text", "good foo"]) == 1
    assert re.search(r"--text 'good foo': 'foo' has the id", capsys.readouterr().err)
