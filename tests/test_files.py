"""Directories are written whole or not at all, and only files of ours are replaced."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertsent import files
from bertsent.files import MODEL_FILES, TOKENIZER_FILES, atomic_directory, atomic_write

ROOT = Path(__file__).resolve().parent.parent


def save(target, text, *, names=("config.json", "model.safetensors"), **options):
    with atomic_directory(target, **options) as scratch:
        for name in names:
            (scratch / name).write_text(text)


def content(directory):
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_new_directory_and_its_parents_are_made(tmp_path):
    save(tmp_path / "a" / "b", "new")
    assert content(tmp_path / "a" / "b") == {"config.json": "new", "model.safetensors": "new"}
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["b"]


def test_permissions_are_those_of_any_new_directory(tmp_path):
    save(tmp_path / "model", "new")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "model").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_empty_directory_is_used(tmp_path):
    (tmp_path / "model").mkdir(mode=0o750)
    save(tmp_path / "model", "new")
    assert content(tmp_path / "model")["config.json"] == "new"
    assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750


def test_tilde_and_links_lead_to_the_real_place(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save("~/real", "old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    save(tmp_path / "link", "new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real")["config.json"] == "new"


@pytest.mark.parametrize("overwrite", [False, True])
def test_directory_of_someone_else_is_refused(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="thesis.tex"):
        save(tmp_path, "new", overwrite=overwrite)
    assert content(tmp_path) == {"thesis.tex": "years of work"}


def test_files_of_the_same_names_make_no_model(tmp_path):
    """Any program may have a config.json; --force is no reason to replace it."""
    for name in ("config.json", "run.json", "server.py"):
        (tmp_path / name).write_text("a web server's")
    with pytest.raises(FileExistsError, match="server.py"):
        save(tmp_path, "new", overwrite=True)
    assert set(content(tmp_path).values()) == {"a web server's"}


def test_failure_leaves_no_parents(tmp_path):
    with pytest.raises(RuntimeError), atomic_directory(tmp_path / "a" / "b" / "c"):
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_old_model_is_replaced_on_request_only(tmp_path):
    target = tmp_path / "model"
    save(target, "old", names=("config.json", "model.safetensors", "bertsent.json"))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save(target, "new")
    assert set(content(target).values()) == {"old"}
    save(target, "new", overwrite=True)
    assert content(target) == {"config.json": "new", "model.safetensors": "new"}
    assert os.listdir(tmp_path) == ["model"]


@pytest.fixture(params=["exchanged", "renamed", "in place"])
def way(request, monkeypatch):
    """Each of the ways in which a new directory takes the place of an old one."""
    if request.param == "renamed":
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    elif request.param == "in place":
        monkeypatch.setattr(files, "_can_be_moved", lambda path: False)
    return request.param


def test_files_of_others_stay(tmp_path, way):
    target = tmp_path / "model"
    save(target, "old", names=("config.json", "model.safetensors", "bertsent.json"))
    (target / "notes.txt").write_text("mine")
    (target / "plots").mkdir()
    (target / "plots" / "loss.svg").write_text("mine too")
    with pytest.raises(FileExistsError, match="notes.txt"):
        save(target, "new")
    save(target, "new", overwrite=True)
    assert sorted(os.listdir(target)) == ["config.json", "model.safetensors", "notes.txt", "plots"]
    assert (target / "config.json").read_text() == "new"
    assert (target / "notes.txt").read_text() == "mine"
    assert (target / "plots" / "loss.svg").read_text() == "mine too"
    assert os.listdir(tmp_path) == ["model"]


def test_tokenizer_goes_beside_its_model(tmp_path, way):
    target = tmp_path / "model"
    save(target, "model", ours=MODEL_FILES)
    save(target, "tokenizer", names=("vocab.txt",), ours=TOKENIZER_FILES)
    save(target, "model 2", ours=MODEL_FILES, overwrite=True)
    assert content(target) == {
        "config.json": "model 2", "model.safetensors": "model 2", "vocab.txt": "tokenizer"
    }
    with pytest.raises(FileExistsError, match="vocab.txt"):
        save(target, "tokenizer 2", names=("vocab.txt",), ours=TOKENIZER_FILES)


def test_unexpected_file_does_not_replace_one_of_a_user(tmp_path, way):
    target = tmp_path / "model"
    save(target, "old")
    (target / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="notes.txt"):
        save(target, "new", names=("config.json", "notes.txt"), overwrite=True)
    assert (target / "notes.txt").read_text() == "mine"
    assert (target / "config.json").read_text() == "old"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_failure_leaves_the_old_model_and_no_rubbish(tmp_path, way, error):
    target = tmp_path / "model"
    save(target, "old")
    with (
        pytest.raises(type(error)),
        atomic_directory(target, overwrite=True) as scratch,
    ):
        (scratch / "config.json").write_text("new")
        raise error
    assert set(content(target).values()) == {"old"}
    assert os.listdir(tmp_path) == ["model"] and len(os.listdir(target)) == 2


def test_full_disk_noticed_when_flushing(tmp_path, way, monkeypatch):
    target = tmp_path / "model"
    save(target, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device; nothing that was there") as caught:
        save(target, "new", overwrite=True)
    assert caught.value.errno == errno.ENOSPC
    assert set(content(target).values()) == {"old"}
    assert os.listdir(tmp_path) == ["model"] and len(os.listdir(target)) == 2


def test_file_that_cannot_grow(tmp_path):
    """The system itself refuses the write here; a limit on file size stands for the full disk."""
    resource = pytest.importorskip("resource")
    target = tmp_path / "model"
    save(target, "old")
    program = (
        "import resource, sys\n"
        "from bertsent.files import atomic_directory\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    with atomic_directory(sys.argv[1], overwrite=True) as scratch:\n"
        "        (scratch / 'model.safetensors').write_bytes(bytes(100_000))\n"
        "except OSError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(target)], cwd=ROOT, check=False,
        capture_output=True, text=True,
    )
    assert resource and "File too large; nothing that was there" in done.stdout, done.stderr
    assert set(content(target).values()) == {"old"}
    assert os.listdir(tmp_path) == ["model"]


def test_working_directory_is_written_in_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = os.stat(".").st_ino
    save(".", "new")
    save(".", "newer", overwrite=True)
    assert os.stat(".").st_ino == before == tmp_path.stat().st_ino
    assert content(tmp_path) == {"config.json": "newer", "model.safetensors": "newer"}


def test_targets_that_cannot_be_directories(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError, match="is a file"):
        save(tmp_path / "file", "new")
    with pytest.raises(NotADirectoryError, match="is not a directory"):
        save(tmp_path / "file" / "model", "new")
    with pytest.raises(ValueError, match="empty"):
        save("", "new")
    (tmp_path / "model" / "config.json").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="config.json is a directory"):
        save(tmp_path / "model", "new", overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_directory_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(PermissionError):
        files.check_target(tmp_path / "locked" / "model")


def test_single_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    atomic_write(path, "größer")
    assert path.read_text(encoding="utf-8") == "größer"
    atomic_write(path, b"bytes")
    assert path.read_bytes() == b"bytes"

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"never")
    assert path.read_bytes() == b"bytes" and os.listdir(tmp_path) == ["run.json"]
