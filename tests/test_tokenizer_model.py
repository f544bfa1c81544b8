"""A tokenizer and its model: ids without an embedding, and how many tokens are read."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_vocabulary, write_tiny_model

import bertsent
from bertsent import BertClassifier, WordPieceTokenizer
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.pretraining.masking import Masker

ROWS = len(tiny_vocabulary())
UNKNOWN = rf"'\[EXTRA\]' has the id {ROWS}, but the model only has embeddings for the ids 0 to "
pytestmark = pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning")


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def grown(tmp_path):
    """Return a classifier to whose tokenizer a token was added, but no embedding."""
    directory = write_tiny_model(tmp_path / "grown", classifier=2, prefix="bert.")
    with (directory / "vocab.txt").open("a") as file:
        file.write("[EXTRA]\n")
    change(directory / "tokenizer_config.json", extra_special_tokens=["[EXTRA]"])
    return directory


def test_only_texts_with_an_unknown_id_are_refused(grown, tmp_path):
    clf = BertClassifier.from_pretrained(grown)
    assert len(clf.predict(["a good film", "extra"])) == 2
    texts = pd.Series(["good", "bad", "an [EXTRA] film"], index=[7, 8, 9])
    for each in (clf, pickle.loads(pickle.dumps(clf))):
        with pytest.raises(ValueError, match=rf"^X\[2\]: {UNKNOWN}.*the tokenizer in .*grown \("):
            each.predict_proba(texts)
        each.set_params(inference_long_text="windows", max_length=8)
        with pytest.raises(ValueError, match=rf"^X\[1\]: {UNKNOWN}"):
            each.predict(["good " * 50, "good " * 50 + "[EXTRA]"])
        each.set_params(inference_long_text="head")
        each.predict(["good " * 50 + "[EXTRA]"])  # is not read
    texts.to_frame("text").to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(ValueError, match=rf"data.csv, line 4: row 2 \(counted from 0\): {UNKNOWN}"):
        clf.predict_file(
            tmp_path / "data.csv", tmp_path / "out.csv", text_column="text", chunk_rows=2
        )
    assert not (tmp_path / "out.csv").exists()
    tokenizer = WordPieceTokenizer.from_pretrained(grown)
    assert tokenizer.encode("[EXTRA]", add_special_tokens=False) == [ROWS]
    tokenizer.limit_ids(ROWS)
    with pytest.raises(ValueError, match=rf"^texts\[2\], row 9: {UNKNOWN}"):
        tokenizer.encode_batch(texts)


def test_training_refuses_such_a_text(grown):
    data = {"X": ["good film", "bad film"] * 8, "y": ["pos", "neg"] * 8}
    clf = BertClassifier(str(grown), epochs=1, max_length=16, verbose=0).fit(**data)
    assert clf.predict(["good"]).shape == (1,)
    data["X"][5] += " [EXTRA]"
    with pytest.raises(ValueError, match=UNKNOWN):
        clf.fit(**data)


def test_an_unknown_id_in_every_text_is_refused_at_once(tmp_path):
    directory = write_tiny_model(tmp_path / "tiny", classifier=2, prefix="bert.", vocab_size=3)
    with pytest.raises(CheckpointError, match=r"tiny: sep_token: '\[SEP\]' has the id 3, but"):
        BertClassifier.from_pretrained(directory)


def test_pretraining_needs_an_embedding_of_the_mask(tmp_path):
    words = [token for token in dict.fromkeys(tiny_vocabulary()) if token != "[MASK]"]
    directory = write_tiny_model(tmp_path / "tiny", vocabulary=words)
    with pytest.raises(ValueError, match=r"'\[MASK\]', has the id .*no embedding"):
        bertsent.pretrain(["a good film"] * 8, tmp_path / "out", model=directory, max_length=16)


def test_words_are_not_masked_with_unknown_ids(tmp_path):
    tokenizer = WordPieceTokenizer([*tiny_vocabulary(), *(f"word{i}" for i in range(9))])
    tokenizer.limit_ids(ROWS)
    masker = Masker(tokenizer, 0.15, 0)
    assert masker.others.max() == ROWS - 1


# --- how many tokens are read -------------------------------------------------------------

LONG = "a great film " * 40
POSITIONS = 64


def foreign(directory, length):
    """Write a classifier as transformers saves it."""
    write_tiny_model(directory, classifier=2, prefix="bert.", scale=0.5)
    config = directory / "tokenizer_config.json"
    content = json.loads(config.read_text()) | {"model_max_length": length}
    if length == "absent":
        del content["model_max_length"]
    config.write_text(json.dumps(content))
    return directory


def head_of(directory, length):
    """Return the probabilities for the beginning of LONG."""
    tokens = WordPieceTokenizer.from_pretrained(directory)([LONG], max_length=length)
    logits = bertsent.BertForSequenceClassification.from_pretrained(directory)(**tokens)
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()


@pytest.mark.parametrize(
    ("saved", "reads", "why"),
    [
        (40, 40, "as its tokenizer says"),
        (64.0, 64, "as its tokenizer says"),
        (512, POSITIONS, "for which it has positions"),
        (1e30, POSITIONS, "for which it has positions"),
        ("absent", POSITIONS, "for which it has positions"),
        (2, POSITIONS, "for which it has positions"),
    ],
)
def test_a_classifier_of_transformers_reads_what_its_tokenizer_says(
    tmp_path, capsys, saved, reads, why
):
    directory = foreign(tmp_path / "foreign", saved)
    clf = BertClassifier.from_pretrained(directory)
    BertClassifier.from_pretrained(directory)
    line = f"{directory} reads {reads} tokens of a text, {why} (max_length changes this)\n"
    assert capsys.readouterr().err == line  # once
    assert clf.max_length == clf.max_length_ == reads
    clf.set_params(inference_precision="float32")
    assert clf.predict_proba([LONG]) == pytest.approx(head_of(directory, reads), abs=1e-6)
    assert abs(clf.predict_proba([LONG]) - head_of(directory, reads // 2)).max() > 1e-4
    clf.save_pretrained(tmp_path / "ours")
    assert BertClassifier.from_pretrained(tmp_path / "ours").max_length_ == reads
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("saved", "written"), [("absent", 64), (1e30, 64), (512, 64), (32, 32)])
def test_a_saved_tokenizer_knows_the_positions_of_its_model(tmp_path, saved, written):
    """So that transformers can truncate at them."""
    base = foreign(tmp_path / "base", saved)
    clf = BertClassifier(base, epochs=1, max_length=16, verbose=0)
    clf.fit(["good film", "bad film"] * 8, ["pos", "neg"] * 8).save_pretrained(tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == written
    assert BertClassifier.from_pretrained(tmp_path / "ours").max_length_ == 16


def predicted(directory, *flags):
    """Return what ``bertsent predict --text LONG`` prints."""
    return main(["predict", str(directory), "--text", LONG, *flags])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return the directory of a classifier with members that have their own lengths."""
    directory = tmp_path_factory.mktemp("trained")
    base = write_tiny_model(directory / "base", scale=0.5)
    members = [{"max_length": 40}, {"max_length": 24, "stride": 4}, {}]
    clf = BertClassifier(base, epochs=1, max_length=16, members=members, verbose=0, random_state=0)
    clf.fit([LONG + "good", "bad film"] * 8, ["pos", "neg"] * 8)
    clf.save_pretrained(directory / "saved")
    clf.save_pretrained(directory / "int8", int8=True)
    return directory


@pytest.mark.parametrize("kind", ["saved", "int8"])
@pytest.mark.parametrize("part", ["windows", "head", "head+tail"])
def test_prediction_takes_another_length(trained, capsys, kind, part):
    """For all members, also those with their own."""
    flags = ("--inference-long-text", part, "--inference-precision", "float32")
    assert predicted(trained / kind, *flags, "--max-length", "12") == 0
    _, confidence = capsys.readouterr().out.split()
    clf = BertClassifier.from_pretrained(trained / kind)
    clf.set_params(
        max_length=12, inference_long_text=part, inference_precision="float32",
        members=[{}, {"stride": 4} if part == "windows" else {}, {}],
    )
    assert confidence == f"{clf.predict_proba([LONG]).max():.4f}"
    assert predicted(trained / kind, *flags) == 0
    assert capsys.readouterr().out.split()[1] != confidence


def test_evaluation_takes_another_length(trained, tmp_path, capsys):
    data = tmp_path / "data.csv"
    pd.DataFrame({"review": [LONG, "bad"], "sentiment": ["pos", "neg"]}).to_csv(data, index=False)
    seen = []
    for flags in ((), ("--max-length", "8")):
        command = ["evaluate", str(trained / "saved"), str(data), "--json", *flags]
        assert main(command) == 0
        seen.append(json.loads(capsys.readouterr().out)["loss"])
    assert seen[0] != seen[1]


@pytest.mark.parametrize(
    ("length", "code", "said"),
    [
        ("65", 1, "--max-length 65 is larger than the 64 positions of the model"),
        ("6", 1, "--max-length 6 is too small: this model reads long texts in windows that share 4 "
                 "tokens; expected at least 7"),
        ("auto", 2, "expected a whole number of at least 3"),
    ],
)  # fmt: skip
def test_lengths_that_make_no_sense(trained, tmp_path, capsys, length, code, said):
    data = tmp_path / "data.csv"
    data.write_text("review\ngood\n")
    command = ["predict", str(trained / "saved"), str(data), "-o", str(tmp_path / "out.csv")]
    assert main([*command, "--max-length", length]) == code
    told = capsys.readouterr().err
    assert said in told and "rows" not in told  # before the file is read
    assert not (tmp_path / "out.csv").exists()


def test_windows_can_be_left_without_naming_what_they_share(trained, capsys):
    assert predicted(trained / "saved", "--inference-long-text", "head") == 0
    assert capsys.readouterr().err == ""


def test_the_length_on_the_command_line_is_not_contradicted(tmp_path, capsys):
    directory = foreign(tmp_path / "foreign", 40)
    assert predicted(directory, "--max-length", "10") == 0
    assert capsys.readouterr().err == ""
    assert predicted(directory) == 0
    assert capsys.readouterr().err == (
        f"{directory} reads 40 tokens of a text, as its tokenizer says (--max-length changes "
        "this)\n"
    )
