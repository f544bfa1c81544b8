"""A classifier from strangers: it chooses nothing that is written, and says no more than it may.

Whatever its files contain, the error is a CheckpointError that names the file.
"""

import json
import os
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
from test_classifier import make, make_texts  # noqa: F401  # a fixture

import bertsent
from bertsent.classifier.parameters import DEFAULTS, MACHINE, PARAMETERS
from bertsent.errors import CheckpointError

pytestmark = [
    pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning"),
    pytest.mark.filterwarnings("ignore:.*longer than max_length"),
]

TEXTS, LABELS = make_texts(24)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def original(tmp_path_factory, base):
    """A directory with all files that a classifier can have."""
    directory = tmp_path_factory.mktemp("original") / "model"
    clf = bertsent.BertClassifier(
        base, members=2, epochs=1, max_length=16, batch_size=8, random_state=0, verbose=0,
        n_threads=1, track_examples=True, validation_fraction=0.25,
    )
    clf.fit(TEXTS, LABELS).save_pretrained(directory)
    return directory


@pytest.fixture
def directory(original, tmp_path):
    return shutil.copytree(original, tmp_path / "model")


def change(directory, *path, to):
    """Replace an entry of bertsent.json; `to` may be a function of the old value."""
    file = directory / "bertsent.json"
    settings = json.loads(file.read_text())
    inner = settings
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to(inner[path[-1]]) if callable(to) else to
    file.write_text(json.dumps(settings))


def open_it(directory):
    return bertsent.BertClassifier.from_pretrained(directory)


def test_the_original_opens(original):
    clf = open_it(original)
    assert len(clf.models_) == 2 and clf.example_history_ is not None
    assert len(clf.predict(TEXTS)) == 24


# --- what concerns the machine ----------------------------------------------------------------

OF_THE_MACHINE = {
    "checkpoint_dir": "run", "checkpoint_every": 1, "checkpoint_keep": 1, "resume": True,
    "log_file": "log.jsonl", "callbacks": ["os:system"], "n_threads": 64, "memory_limit": "1MB",
    "frozen_cache": "bfloat16", "hash_every": 1, "teacher": "elsewhere",
}


def test_which_parameters_concern_the_machine():
    assert MACHINE == OF_THE_MACHINE.keys()
    # Whatever else takes the name of a file or a directory is only read.
    assert {p.name for p in PARAMETERS if p.kind.metavar in ("DIR", "FILE")} <= MACHINE


def test_a_model_does_not_choose_what_is_written(directory, tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "step-00000001.safetensors").write_bytes(b"the user's own")
    before = sorted(os.walk(tmp_path))
    for name, value in OF_THE_MACHINE.items():
        change(directory, "parameters", name, to=lambda old, value=value: value) if name in (
            json.loads((directory / "bertsent.json").read_text())["parameters"]
        ) else _add(directory, name, value)
    change(directory, "parameters", "members", to=[
        {"items": [["frozen_cache", "float32"], ["epochs", 1]]}, {"items": []},
    ])
    clf = open_it(directory)
    for name in MACHINE:
        assert getattr(clf, name) == DEFAULTS[name], name
    assert clf.members == [{"epochs": 1}, {}]
    clf.set_params(model=base, members=1).fit(TEXTS, LABELS)
    assert sorted(os.walk(tmp_path)) == before


def _add(directory, name, value):
    change(directory, "parameters", to=lambda old: old | {name: value})


def test_what_concerns_the_machine_is_not_saved(make, base, tmp_path):  # noqa: F811
    clf = make(
        checkpoint_dir=tmp_path / "run", checkpoint_every=2, log_file=tmp_path / "log.jsonl",
        n_threads=2, memory_limit="3GB", callbacks=print, epochs=1,
        members=[{"frozen_cache": "off"}, {"freeze_layers": 1}],
    ).fit(TEXTS, LABELS)
    clf.save_pretrained(tmp_path / "model")
    saved = json.loads((tmp_path / "model" / "bertsent.json").read_text())["parameters"]
    assert not MACHINE & saved.keys()
    assert saved["members"] == [{"items": []}, {"items": [["freeze_layers", 1]]}]
    assert clf.n_threads == 2 and clf.members[0] == {"frozen_cache": "off"}


# --- what the settings claim ------------------------------------------------------------------

WRONG = [
    (("format",), "1"), (("format",), 0), (("format",), None), (("format",), 1.0),
    (("parameters",), []), (("parameters",), None),
    (("parameters", "epochs"), "many"), (("parameters", "epochs"), -1),
    (("parameters", "learning_rate"), float("nan")), (("parameters", "learning_rate"), 10**400),
    (("parameters", "weight_decay"), float("inf")), (("parameters", "max_length"), 10**30),
    (("parameters", "max_length"), [16]), (("parameters", "stride"), 10**18),
    (("parameters", "long_text"), "middle"), (("parameters", "long_text"), ["tail"]),
    (("parameters", "class_weight"), {"items": [["a"]]}),
    (("parameters", "class_weight"), {"items": [[["a"], 1.0]]}),
    (("parameters", "class_weight"), {"items": [["a", 1.0], ["a", 2.0]]}),
    (("parameters", "class_weight"), {"positive": 2.0}),
    (("parameters", "class_weight"), {"items": 3}),
    (("parameters", "members"), 10**9), (("parameters", "members"), ["a"]),
    (("parameters", "members"), [{"items": [["epochs", "x"]]}]),
    (("parameters", "members"), [{"items": [["log_files", "x"]]}]),
    (("parameters", "inference_precision"), "float16"), (("parameters", "strip_html"), 1),
    (("parameters", "random_state"), -1), (("parameters", "model"), None),
    (("labels",), None), (("labels",), []), (("labels", "classes"), ["a", "b"]),
    (("labels", "ordered"), "no"), (("labels", "categories"), ["positive"]),
    (("learning_rate",), "fast"), (("learning_rate",), [0.1]), (("learning_rate",), [0.1, None]),
    (("learning_rate",), {"a": 1}), (("precision",), 32), (("history",), None),
    (("history",), [1]), (("history",), [{"epoch": [1]}]), (("history",), {"epoch": 1}),
    (("history",), [{"epoch": "<img>", "loss": 1.0}]), (("history",), [{"epoch": 0, "loss": 1.0}]),
    (("history",), [{"epoch": True, "loss": 1.0}]), (("history",), [{"epoch": 1.0}]),
    (("history",), [{"epoch": 1, "loss": "<b>"}]), (("history",), [{"epoch": 1, "loss": None}]),
    (("history",), [{"epoch": 1, "loss": True}]), (("history",), [{"epoch": 1, "loss": 10**400}]),
    (("history",), [{"epoch": 1, "part": 0}]), (("history",), [{"epoch": 1, "member": 1.5}]),
    (("history",), [{"loss": 0.5}]), (("evaluations",), [{"epoch": 1, "validation_loss": 0.5}]),
    (("evaluations",), [{"epoch": 1, "step": 0}]), (("evaluations",), [{"step": 1}]),
    (("evaluations",), "none"), (("best_step",), -1), (("best_step",), 1.5),
    (("best_step",), [1, 2, 3]), (("max_length",), 2), (("max_length",), 2**31),
    (("max_length",), [16]), (("max_length",), []), (("max_length",), "16"),
    (("plan",), [1]), (("plan",), {"epochs": {}}), (("members",), 0), (("members",), 17),
    (("members",), 10**9), (("members",), 3), (("members",), True), (("members",), "2"),
]


@pytest.mark.parametrize("path, value", WRONG, ids=lambda part: str(part)[:40])
def test_a_wrong_setting_is_named(directory, path, value):
    change(directory, *path, to=value)
    with pytest.raises(CheckpointError) as caught:
        open_it(directory)
    said = str(caught.value)
    assert str(directory) in said and len(said) < 600
    assert path[-1] in said or path[0] in said or path == ("members",)


def test_losses_that_became_too_large_are_read(directory):
    rows = [{"epoch": 1, "loss": float("inf"), "validation_loss": float("nan"), "tokens": 5}]
    change(directory, "history", to=rows)
    (read,) = open_it(directory).history_
    assert read["loss"] == float("inf") and read["validation_loss"] != read["validation_loss"]


@pytest.mark.parametrize("key", ["format", "parameters", "labels", "learning_rate", "history"])
def test_a_missing_setting_is_named(directory, key):
    settings = json.loads((directory / "bertsent.json").read_text())
    del settings[key]
    (directory / "bertsent.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=f"bertsent.json is incomplete: it has no {key}"):
        open_it(directory)


@pytest.mark.parametrize("classes", [
    {"dtype": "<U8", "values": ["positive", "positive"]},
    {"dtype": "<U8", "values": ["positive", "negative"]},
    {"dtype": "<U3", "values": ["negative", "positive"]},
    {"dtype": "|S8", "values": ["negative", "positive"]},
    {"dtype": "S5", "values": ["negative", "positive"]},
    {"dtype": "bool", "values": ["negative", "positive"]},
    {"dtype": "|b1", "values": ["negative", "positive"]},
    {"dtype": "|b1", "values": [0, 1]},
    {"dtype": "<i8", "values": ["0", "1"]},
    {"dtype": "<i8", "values": [False, True]},
    {"dtype": "<i8", "values": [0.0, 1.5]},
    {"dtype": "|i1", "values": [0, 300]},
    {"dtype": "<u8", "values": [-1, 1]},
    {"dtype": "<i8", "values": [0, 2**63]},
    {"dtype": "<f4", "values": [0.0, 16777217.0]},
    {"dtype": "<f8", "values": [0.0, float("nan")]},
    {"dtype": "object", "values": [0, "a"]},
    {"dtype": "object", "values": [None, "a"]},
    {"dtype": "object", "values": [["a"], ["b"]]},
    {"dtype": "<M8[s]", "values": [0, 1]},
    {"dtype": "<U999999", "values": ["negative", "positive"]},
    {"dtype": "<U99999999", "values": ["negative", "positive"]},
    {"dtype": "U8,U8", "values": ["negative", "positive"]},
    {"dtype": "O", "values": ["negative", "positive"]},
    {"dtype": ["<U8"], "values": ["negative", "positive"]},
    {"dtype": "<U8", "values": "negative"},
    {"dtype": "<U8", "values": []},
    {"dtype": "<U8"},
    {"values": ["negative", "positive"]},
])
def test_wrong_classes_are_named(directory, classes):
    change(directory, "labels", "classes", to=classes)
    with pytest.raises(CheckpointError, match="labels.classes|model has 2 classes") as caught:
        open_it(directory)
    assert str(directory) in str(caught.value)


@pytest.mark.parametrize("categories", [
    {"dtype": "object", "values": ["negative"]},
    {"dtype": "object", "values": ["negative", "positive", "positive"]},
    {"dtype": "object", "values": ["Negative", "positive"]},
    {"dtype": "<i8", "values": [0, 1]},
])
def test_categories_without_the_classes_are_named(directory, categories):
    change(directory, "labels", "categories", to=categories)
    with pytest.raises(CheckpointError, match="bertsent.json: labels.categories.values"):
        open_it(directory)


@pytest.mark.parametrize("y", [
    np.array([3, -7] * 12, np.int8), np.array([2**63, 1] * 12, np.uint64), np.array([True, False]
    * 12), np.array([2.0, 1.0] * 12, np.float32), np.array(["b", "a"] * 12, "<U40"),
    np.array([3, 1] * 12, ">i4"), ["ünï", "😀"] * 12, np.array(["b", "a"] * 12, object),
    pd.Series(["b", "a"] * 12, dtype=pd.CategoricalDtype(["c", "b", "a"], ordered=True)),
], ids=repr)
def test_the_classes_of_every_type_come_back(make, tmp_path, y):  # noqa: F811
    clf = make(epochs=1).fit(TEXTS, y)
    clf.save_pretrained(tmp_path / "model")
    again = open_it(tmp_path / "model")
    assert again.classes_.dtype == clf.classes_.dtype
    assert again.classes_.tolist() == clf.classes_.tolist()
    found, expected = again.predict(TEXTS), clf.predict(TEXTS)
    assert found.dtype == expected.dtype and found.tolist() == expected.tolist()


def test_a_long_label_does_not_widen_thousands(directory):
    """100,000 labels of 50,000 characters would take 20 GB."""
    values = sorted([*map(str, range(100_000)), "x" * 50_000])
    change(directory, "labels", "classes", to={"dtype": "<U50000", "values": values})
    with pytest.raises(CheckpointError, match="labels.classes.dtype must be no wider"):
        open_it(directory)


def test_classes_in_another_order_than_those_of_the_model_are_refused(directory):
    config = json.loads((directory / "config.json").read_text())
    config["id2label"] = {"0": "positive", "1": "negative"}
    config["label2id"] = {"positive": 0, "negative": 1}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="different orders"):
        open_it(directory)
    # Names for readers, which somebody wrote into config.json.
    config["id2label"] = {"0": "I do not like it", "1": "I like it"}
    (directory / "config.json").write_text(json.dumps(config))
    assert open_it(directory).classes_.tolist() == ["negative", "positive"]


# --- files in place of which there is something else ------------------------------------------


@pytest.mark.parametrize("name", ["bertsent.json", "training_texts.npy", "example_history.npz"])
@pytest.mark.parametrize("make_it", [
    os.mkfifo, os.mkdir, lambda path: os.symlink(path, path),
], ids=["pipe", "directory", "loop"])
def test_what_is_no_file_is_named(directory, name, make_it):
    (directory / name).unlink()
    make_it(directory / name)
    with pytest.raises(CheckpointError, match=name):
        open_it(directory)


@pytest.mark.parametrize("name", ["training_texts.npy", "example_history.npz"])
def test_these_files_need_not_be_there(directory, name):
    (directory / name).unlink()
    assert len(open_it(directory).predict(TEXTS)) == 24


def test_hashes_that_are_claimed_are_not_allocated(directory):
    path = directory / "training_texts.npy"
    data = path.read_bytes()
    old = b"(18,), }" + b" " * 20
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, (b"(%d,), }" % 10**12).ljust(len(old))))
    with pytest.raises(CheckpointError, match="training_texts.npy.* claims 1000000000000 values"):
        open_it(directory)
    with open(path, "r+b") as file:
        file.truncate(len(data) - 18 * 8 + 8 * 10**12)
    with pytest.raises(MemoryError, match="training_texts.npy.* memory"):
        open_it(directory)


@pytest.mark.parametrize("kept", [
    "training_texts.npy", "example_history.npz", "member-2.safetensors",
])
def test_a_classifier_whose_settings_were_lost_is_not_read_as_another(directory, kept):
    for name in {"training_texts.npy", "example_history.npz", "member-2.safetensors"} - {kept}:
        (directory / name).unlink()
    (directory / "bertsent.json").unlink()
    with pytest.raises(CheckpointError, match=f"has {kept} but no bertsent.json"):
        open_it(directory)
    (directory / kept).unlink()
    assert open_it(directory).example_history_ is None


def test_a_member_that_is_not_counted_is_named(directory):
    settings = json.loads((directory / "bertsent.json").read_text())
    del settings["members"]
    settings["learning_rate"], settings["best_step"], settings["max_length"] = 0.1, None, 16
    (directory / "bertsent.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="number of members is 1, but .* member-2.safet"):
        open_it(directory)


# --- the history of each text -----------------------------------------------------------------


def history(directory):
    with np.load(directory / "example_history.npz") as arrays:
        return dict(arrays)


CHANGES = {
    "hashes": [lambda a: a[:-1], lambda a: a.astype(np.int64), lambda a: a[:, None]],
    "labels": [
        lambda a: a[1:], lambda a: a + 2, lambda a: a - 1, lambda a: a.astype(np.int64),
        lambda a: a.astype(np.float32), lambda a: a[:, None],
    ],
    "trained": [lambda a: a + 24, lambda a: a - 1, lambda a: a * 0, lambda a: a.astype(np.int32)],
    "loss": [lambda a: a[:-1], lambda a: a.astype(np.float64), lambda a: a[:, 0],
             lambda a: np.repeat(a, 2, axis=1)],
    "margin": [lambda a: a.T, lambda a: a.astype(np.float64)],
    "other": [lambda a: a + 2, lambda a: a - 1, lambda a: a.astype(np.float32)],
}


@pytest.mark.parametrize("name, number", [
    (name, number) for name, changes in CHANGES.items() for number in range(len(changes))
])
def test_a_history_that_is_not_consistent_is_named(directory, name, number):
    arrays = history(directory)
    arrays[name] = np.ascontiguousarray(CHANGES[name][number](arrays[name]))
    np.savez(directory / "example_history.npz", **arrays)
    with pytest.raises(CheckpointError, match="example_history.npz"):
        open_it(directory)


def test_a_history_with_a_missing_array_is_named(directory):
    arrays = history(directory)
    del arrays["margin"]
    np.savez(directory / "example_history.npz", **arrays)
    with pytest.raises(CheckpointError, match="example_history.npz.*margin"):
        open_it(directory)


def test_a_compressed_history_is_not_unpacked(directory):
    """An archive of a few kilobytes can unpack to gigabytes."""
    np.savez_compressed(directory / "example_history.npz", **history(directory))
    with pytest.raises(CheckpointError, match="example_history.npz.*compressed"):
        open_it(directory)


@pytest.mark.parametrize("patch", [
    (8, b"\x01\x00"),  # encrypted, in the local header and in the directory
    (10, b"\x63\x00"),  # a way of compressing that nobody knows
    (24, b"\xff\xff\xff\x7f"),  # the size
], ids=["encrypted", "compression", "size"])
def test_an_odd_archive_is_named(directory, patch):
    path = directory / "example_history.npz"
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    offset, new = patch
    data[entry + offset:entry + offset + len(new)] = new
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="example_history.npz"):
        open_it(directory)


def test_every_byte_of_the_history_is_checked(directory):
    """Contents have checksums, and what has none is compared."""
    path = directory / "example_history.npz"
    data, whole = path.read_bytes(), history(directory)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("loss.npy").header_offset
    for place in range(start, start + 400, 3):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        try:
            found = open_it(directory)._fitted.examples
        except CheckpointError as error:
            assert "example_history.npz" in str(error)
        else:
            assert np.array_equal(found.values["loss"], whole["loss"], equal_nan=True)


@pytest.mark.parametrize("shape", [[2**63, 0], [0, 2**64 - 1, 2**64 - 1], [0] * 65])
def test_a_tensor_without_values_is_bounded(base, tmp_path, shape):
    # NumPy has no array of this shape, although it would have no values.
    directory = shutil.copytree(base, tmp_path / "model")
    header = json.dumps({"extra": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}})
    path = directory / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(CheckpointError, match=f"{path} is damaged.*extra"):
        bertsent.BertForSequenceClassification.from_pretrained(directory)
