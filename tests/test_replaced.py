"""A model that is replaced while it is read: one version or the other, never a mixture."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import write_tiny_model
from test_classifier import make, make_texts  # noqa: F401  # a fixture

import bertsent
from bertsent.errors import CheckpointError
from bertsent.files import held

pytestmark = [
    pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning"),
    pytest.mark.filterwarnings("ignore:.*longer than max_length"),
]
TEXTS, LABELS = make_texts(24)


def train(base, seed, **options):
    clf = bertsent.BertClassifier(
        base, epochs=1, max_length=16, batch_size=8, random_state=seed, verbose=0, n_threads=1,
        learning_rate=1e-2, **options,
    )
    return clf.fit(TEXTS, LABELS if seed else [f"is {x}" for x in LABELS])


@pytest.fixture(scope="module")
def versions(base, tmp_path_factory):
    """Two versions of a model in directories that have different files, and what each predicts."""
    folder = tmp_path_factory.mktemp("versions")
    first, second = train(base, 0, members=2, track_examples=True), train(base, 1)
    first.save_pretrained(folder / "0")
    second.save_pretrained(folder / "1", int8=True)
    return [folder / "0", folder / "1"], [describe(folder / "0"), describe(folder / "1")]


def describe(directory):
    """Return everything that a version is recognised by."""
    clf = bertsent.BertClassifier.from_pretrained(directory)
    return (
        [model._flat.tobytes() for model in clf.models_], clf.classes_.tolist(),
        clf.tokenizer_.vocab_size, clf.random_state, clf.predict_proba(TEXTS).tobytes(),
        None if clf.example_history_ is None else len(clf.example_history_),
    )


class _Hook:
    """Calls a function when a certain file of a directory is opened for the n-th time."""

    directory, countdown, action = "", 0, None

    def __call__(self, event, arguments):
        if event == "open" and self.action is not None:
            path = arguments[0]
            if isinstance(path, (str, bytes)) and (
                os.path.dirname(os.fsdecode(path)) in (self.directory, "", "/dev/fd")
            ):
                self.countdown -= 1
                if self.countdown == 0:
                    action, self.action = self.action, None
                    action()


HOOK = _Hook()
sys.addaudithook(HOOK)  # it cannot be removed, but does nothing without an action


def read_while(directory, n, action, read=describe):
    """Read, and call a function at the n-th opening; return the result and whether it was met."""
    HOOK.directory, HOOK.countdown, HOOK.action = str(directory), n, action
    try:
        return read(directory), HOOK.action is None
    finally:
        HOOK.action = None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_replaced_at_each_opening(versions, tmp_path, way, order):
    """At whichever file the replacement happens, one whole version is read."""
    directories, known = versions
    saved = [bertsent.BertClassifier.from_pretrained(d) for d in directories]
    old, new = order
    met, n, seen = True, 0, set()
    while met:
        n += 1
        directory = tmp_path / f"model-{n}"
        shutil.copytree(directories[old], directory)
        found, met = read_while(
            directory, n,
            lambda d=directory: saved[new].save_pretrained(d, overwrite=True, int8=new == 1),
        )
        assert found in known, n
        seen.add(known.index(found))
        # The numbers of a version that was saved again are those of the first time.
        assert not met or describe(directory) == known[new]
    assert n > 5 and old in seen


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_model_of_another_program(versions, tmp_path, order):
    """transformers replaces files one by one; sizes and shapes are the same here."""
    directories = [tmp_path / "0", tmp_path / "1"]
    words = "the a an and but or not this that it is was"
    for seed, directory in enumerate(directories):
        vocabulary = [f"[{x}]" for x in ("PAD", "UNK", "CLS", "SEP", "MASK")] + words.split()
        write_tiny_model(directory, classifier=2, seed=seed, vocabulary=(
            vocabulary if seed else vocabulary[:5] + vocabulary[:4:-1]
        ))

    def read(directory):
        clf = bertsent.BertClassifier.from_pretrained(directory)
        return clf.predict_proba(["the this", "is not"]).tobytes()

    known, met, n = [read(directory) for directory in directories], True, 0
    assert known[0] != known[1]
    while met:
        n += 1
        directory = tmp_path / f"model-{n}"
        shutil.copytree(directories[order[0]], directory)

        def replace(directory=directory):
            for name in os.listdir(directory):
                shutil.copy(directories[order[1]] / name, directory / ".new")
                os.replace(directory / ".new", directory / name)

        found, met = read_while(directory, n, replace, read)
        assert found in known


def test_weights_that_are_written_into(versions, tmp_path):
    """Without a rename: the file that is read is being overwritten. Its header is not believed."""
    directories, known = versions
    for n in range(1, 30):
        directory = tmp_path / f"model-{n}"
        shutil.copytree(directories[0], directory)
        weights = directory / "model.safetensors"

        def cut(weights=weights):
            os.truncate(weights, 100)

        try:
            found, met = read_while(directory, n, cut)
        except CheckpointError as error:
            assert str(directory) in str(error)
            continue
        assert found == known[0]
        if not met:
            break


def test_the_bare_model_and_the_tokenizer(versions, tmp_path):
    directories, _ = versions
    saved = [bertsent.BertClassifier.from_pretrained(d) for d in directories]
    open_model = bertsent.BertForSequenceClassification.from_pretrained
    readers = {
        "model": lambda d: open_model(d)._flat.tobytes(),
        "tokenizer": lambda d: bertsent.WordPieceTokenizer.from_pretrained(d).vocab_size,
    }
    for kind, read in readers.items():
        known, met, n = {read(d) for d in directories}, True, 0
        while met:
            n += 1
            directory = tmp_path / f"{kind}-{n}"
            shutil.copytree(directories[0], directory)
            found, met = read_while(
                directory, n,
                lambda d=directory: saved[1].save_pretrained(d, overwrite=True), read,
            )
            assert found in known | {saved[1].model_._flat.tobytes()}


def test_parts_of_different_models_do_not_open(versions, tmp_path, base):
    """Somebody copies weights, a member or a tokenizer of one model over those of another."""
    clf = train(base, 2, members=2)
    clf.save_pretrained(tmp_path / "other")
    for name in ("model.safetensors", "member-2.safetensors", "bertsent.json"):
        directory = tmp_path / f"with-{name}"
        shutil.copytree(versions[0][0], directory)
        shutil.copy(tmp_path / "other" / name, directory / name)
        with pytest.raises(CheckpointError, match="belong together"):
            describe(directory)
    directory = tmp_path / "tokens"
    shutil.copytree(tmp_path / "other", directory)
    path = directory / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["love"], vocabulary["hate"] = vocabulary["hate"], vocabulary["love"]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="belong together"):
        describe(directory)


def test_a_tokenizer_that_another_program_saved_again(versions, tmp_path):
    """Its vocabulary is the same, so it belongs to the model."""
    directory = tmp_path / "model"
    shutil.copytree(versions[0][0], directory)
    content = json.loads((directory / "tokenizer.json").read_text())
    content["truncation"] = {
        "direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0
    }
    (directory / "tokenizer.json").write_text(json.dumps(content))
    assert describe(directory) == versions[1][0]


def test_the_same_model_makes_the_same_files(versions, tmp_path):
    clf = bertsent.BertClassifier.from_pretrained(versions[0][0])
    found = set()
    for n in range(8):  # a random order of two things is the same eight times in 1 % of cases
        clf.save_pretrained(tmp_path / f"{n}")
        found.add((tmp_path / f"{n}" / "model.safetensors").read_bytes())
    assert len(found) == 1


STRESS = """
import sys, bertsent
d, source, int8 = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
clf = bertsent.BertClassifier.from_pretrained(source)
print("ready", flush=True)
while True:
    clf.save_pretrained(d, overwrite=True, int8=int8)
"""


def test_two_savers_and_a_reader(versions, tmp_path):
    directories, known = versions
    target = tmp_path / "model"
    shutil.copytree(directories[0], target)
    (target / "notes.txt").write_text("mine")
    savers = [
        subprocess.Popen(
            [sys.executable, "-c", STRESS, str(target), str(d), str(i)], stdout=subprocess.PIPE,
        )
        for i, d in enumerate(directories)
    ]
    try:
        for saver in savers:
            assert saver.stdout.readline() == b"ready\n"
        seen, refused = set(), []
        for _ in range(60):
            try:
                found = describe(target)
            except CheckpointError as error:
                assert "replaced while it was read" in str(error)
                refused.append(error)
                continue
            assert found in known
            seen.add(known.index(found))
        assert all(saver.poll() is None for saver in savers)
    finally:
        for saver in savers:
            saver.kill()
            saver.wait()
            saver.stdout.close()
    assert seen == {0, 1} and len(refused) < 10
    assert (target / "notes.txt").read_text() == "mine"
    # Both were killed. Their next colleague removes what they left.
    bertsent.BertClassifier.from_pretrained(directories[0]).save_pretrained(target, overwrite=True)
    assert os.listdir(tmp_path) == ["model"] and describe(target) == known[0]


def test_a_directory_that_is_being_removed_is_not_held(tmp_path, monkeypatch):
    directory, newer, older = tmp_path / "model", tmp_path / "newer", tmp_path / "older"
    for folder in (directory, newer):
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).write_text(folder.name)
    listdir = os.listdir

    def replaced(opened):
        """List the directory when another one has its place and its own files are being removed."""
        if newer.exists():
            directory.rename(older)
            newer.rename(directory)
            (older / "config.json").unlink()
        return listdir(opened)

    monkeypatch.setattr(held.os, "listdir", replaced)
    with held.hold_directory(directory):
        for name in ("config.json", "model.safetensors"):
            with open(held.open_file(directory / name)) as file:
                assert file.read() == "newer"
