"""`bertsent inspect` shows what a directory contains, and loads nothing."""

import hashlib
import json
import os
import pickle
import shutil

import pytest
from conftest import write_tiny_model
from safetensors.numpy import load_file
from test_classifier import make_texts

import bertsent
from bertsent.classifier import inspect_directory
from bertsent.cli import main
from bertsent.hub import tensors

TEXTS, LABELS = make_texts(24)


@pytest.fixture(scope="module")
def saved(base, tmp_path_factory):
    """A classifier with two members, and the directory of its run."""
    folder = tmp_path_factory.mktemp("saved")
    clf = bertsent.BertClassifier(
        base, members=2, epochs=1, max_length=16, batch_size=8, random_state=0, verbose=0,
        n_threads=1, checkpoint_dir=folder / "run", checkpoint_every=2,
    )
    clf.fit(TEXTS, LABELS).save_pretrained(folder / "model")
    clf.save_pretrained(folder / "small", int8=True)
    return folder


@pytest.fixture
def directory(saved, tmp_path):
    return shutil.copytree(saved / "model", tmp_path / "model")


def shown(directory, capsys, code=0):
    assert main(["inspect", str(directory)]) == code
    text, errors = capsys.readouterr()
    assert errors == "" and max(map(len, text.splitlines())) <= 80
    return Shown(text)


class Shown(str):
    """Text in which a part is found also if it is wrapped, in or between words."""

    def __contains__(self, part):
        return str.__contains__("".join(self.split()), "".join(part.split()))


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_a_classifier(saved, capsys, monkeypatch):
    monkeypatch.setattr(tensors, "read", None)  # no weights are read
    text = shown(saved / "model", capsys)
    clf_classes = sorted(set(LABELS))
    for part in (
        f"bertsent {bertsent.__version__}", "BERT, 2 layers, 32 wide, 4 heads, 64 positions",
        f"single_label_classification, 2 classes: {', '.join(clf_classes)}", "members: 2",
        "max_length: 16", "member-2.safetensors",
    ):
        assert part in text
    assert "note:" not in text and "problem:" not in text
    assert "int8" in shown(saved / "small", capsys)


def test_a_length_of_early_versions(directory, capsys):
    """They did not write the length beside the parameter."""
    path = directory / "bertsent.json"
    settings = json.loads(path.read_text())
    del settings["max_length"]
    settings["parameters"]["max_length"] = 14
    path.write_text(json.dumps(settings))
    assert main(["inspect", str(directory), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classifier"]["max_length"] == 14
    assert "max_length: 14" in shown(directory, capsys)


def test_json_has_sizes_and_hashes(saved, capsys):
    assert main(["inspect", str(saved / "model"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    files = {file["name"]: file for file in found["files"]}
    assert files.keys() == set(os.listdir(saved / "model"))
    for name, file in files.items():
        content = (saved / "model" / name).read_bytes()
        assert file["size"] == len(content)
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert found["classifier"]["members"] == 2 and found["model"]["fresh"] == []
    weights = load_file(saved / "model" / "model.safetensors")
    assert found["model"]["parameters"] == sum(values.size for values in weights.values())


def test_checkpoints(saved, capsys):
    text = shown(saved / "run", capsys)
    assert "checkpoints of the steps 2, 3; epochs completed: 1" in text
    assert "checkpoints in member-2, of the steps 2, 3" in text


def test_a_damaged_checkpoint(saved, tmp_path, capsys):
    run = shutil.copytree(saved / "run", tmp_path / "run")
    path = run / "step-00000003.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert "step-00000003.safetensors is damaged" in shown(run, capsys)


def test_an_encoder_lacks_a_head(tmp_path, capsys):
    write_tiny_model(tmp_path / "model", pooler=False)
    text = shown(tmp_path / "model", capsys)
    assert "missing pooler and classifier: fine-tuning starts it at random" in text
    assert "task" not in text


class Opened:
    def __reduce__(self):
        return os.mkdir, ("opened",)


def test_what_is_unusual_is_named(directory, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (directory / "extra.bin").write_bytes(pickle.dumps(Opened()))
    (directory / "modeling.py").write_text("import os; os.mkdir('opened')")
    (directory / ".model.tmp-0123abcd").write_text("")
    (directory / "poem.txt").write_text("roses")
    (tmp_path / "secret").write_text("42")
    (directory / "notes.json").symlink_to(tmp_path / "secret")
    (directory / "gone.json").symlink_to(tmp_path / "nothing")
    os.mkfifo(directory / "pipe.json")
    (directory / "plots").mkdir()
    text = shown(directory, capsys)
    for part in (
        "extra.bin may contain a pickle, which can run code; it is never opened",
        "modeling.py is program code, which is never run",
        ".model.tmp-0123abcd was left by a program that was killed",
        "poem.txt is no file of bertsent", "notes.json is a link that leads out of the directory",
        f"gone.json is a link to {tmp_path / 'nothing'}, which is missing",
        "pipe.json is a pipe or a device", "folders, which are not read: plots",
    ):
        assert part in text, part
    assert not (tmp_path / "opened").exists()
    # What the link leads to is not read, not even for a hash.
    files = {file["name"]: file["sha256"] for file in inspect_directory(directory)["files"]}
    assert files["notes.json"] is None and files["pipe.json"] is None
    assert files["poem.txt"] is not None


def test_what_settings_must_not_choose_is_named(directory, capsys):
    path = directory / "bertsent.json"
    settings = json.loads(path.read_text())
    settings["parameters"]["log_file"] = "/etc/passwd"
    path.write_text(json.dumps(settings))
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling.Model"}
    (directory / "config.json").write_text(json.dumps(config))
    text = shown(directory, capsys)
    assert "bertsent.json sets log_file to '/etc/passwd', which is ignored" in text
    assert "config.json names program code (auto_map), which is never run" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "config.json is not valid JSON"),
        ("model.safetensors", b"", "model.safetensors is damaged"),
        ("bertsent.json", b"[]", "bertsent.json does not contain a JSON object"),
        ("tokenizer.json", b"\xff", "tokenizer.json is not UTF-8"),
        ("member-2.safetensors", None, "member-2.safetensors is missing"),
        ("config.json", None, "has no config.json"),
    ],
)
def test_problems_do_not_hide_the_rest(directory, capsys, name, content, message):
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_bytes(content)
    text = shown(directory, capsys, code=1)
    assert "problem:" in text and message in text
    assert "special_tokens_map.json" in text and "training_texts.npy" in text


def test_names_cannot_write_to_the_terminal(directory, capsys):
    (directory / "\x1b[2Jx.json").write_text("{}")
    config = json.loads((directory / "config.json").read_text())
    config["id2label"] = {"0": "a\x1b[31m", "1": "b\nproblem: none"}
    (directory / "config.json").write_text(json.dumps(config))
    main(["inspect", str(directory)])
    text = capsys.readouterr().out
    assert "\x1b" not in text and "\nproblem: none" not in text


def test_a_large_file_is_not_read(directory, capsys):
    with open(directory / "huge.json", "wb") as file:
        file.truncate(1 << 40)
    text = shown(directory, capsys)
    assert "huge.json is too large to be hashed here" in text


def test_no_directory(tmp_path, capsys):
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        inspect_directory(tmp_path / "no")
    assert main(["inspect", str(tmp_path / "no")]) == 1
    assert "there is no directory" in capsys.readouterr().err
