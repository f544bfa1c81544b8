"""Directories are written atomically, and only bertsent's own files are replaced."""

import errno
import os
import subprocess
import sys

import pytest

from bertsent.errors import CheckpointError
from bertsent.files import atomic, hold_directory
from bertsent.files.atomic import MODEL_FILES, TOKENIZER_FILES, atomic_directory, atomic_write


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
    """Other programs have a config.json too, which --force must not replace."""
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
    with pytest.raises(OSError, match="No space left on device; nothing there was") as caught:
        save(target, "new", overwrite=True)
    assert caught.value.errno == errno.ENOSPC
    assert set(content(target).values()) == {"old"}
    assert os.listdir(tmp_path) == ["model"] and len(os.listdir(target)) == 2


def test_file_that_cannot_grow(tmp_path):
    """Here the system rejects the write; a limit on file size imitates a full disk."""
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
        [sys.executable, "-c", program, str(target)], check=False,
        capture_output=True, text=True,
    )
    assert resource and "File too large; nothing there was changed" in done.stdout, done.stderr
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
        atomic.check_target(tmp_path / "locked" / "model")


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


# --- processes that are killed ----------------------------------------------------------------

STEPS = ("mkdir", "open", "fsync", "rename", "replace", "link", "unlink", "rmdir")


def die_at(n, action):
    """Run a function in a process that ends without cleaning up before its n-th step.

    Returns whether the step was reached.
    """
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    left = n

    def step(function):
        def call(*args, **options):
            nonlocal left
            left -= 1
            if left == 0:
                os._exit(9)
            return function(*args, **options)
        return call

    try:
        for name in STEPS:
            setattr(os, name, step(getattr(os, name)))
        exchange = atomic._exchange
        atomic._exchange = step(exchange)
        action()
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("ours", [atomic.OWN_FILES, TOKENIZER_FILES])
def test_killed_at_each_step(tmp_path, way, ours):
    """The old directory or the new one is there, with all files of others; the next one cleans."""
    names = ("config.json", "model.safetensors") if ours is atomic.OWN_FILES else ("vocab.txt",)
    n, killed, seen = 0, True, set()
    while killed:
        n += 1
        target = tmp_path / f"{n}" / "model"
        save(target, "old", names=(*names, "bertsent.json")[: 3 - (len(names) == 1)],
             ours=atomic.OWN_FILES)
        save_other = {"config.json": "kept", "model.safetensors": "kept"} if len(names) == 1 else {}
        for name, text in {**save_other, "notes.txt": "mine"}.items():
            (target / name).write_text(text)
        (target / "plots").mkdir()
        (target / "plots" / "loss.svg").write_text("mine too")
        killed = die_at(n, lambda t=target: save(t, "new", names=names, ours=ours, overwrite=True))
        found = {
            path.name: path.read_text() for path in target.iterdir()
            if path.is_file() and path.name in names
        }
        versions = set(found.values())
        if way != "exchanged":
            # Files that are moved one by one are not taken for a model.
            moving = [path for path in target.glob(".model.move-*") if os.listdir(path)]
            if moving:
                with pytest.raises(CheckpointError, match="was killed"), hold_directory(target):
                    pass
            else:
                assert len(versions) == 1 and len(found) == len(names)
        else:
            assert len(versions) == 1 and len(found) == len(names)
        seen |= versions
        save(target, "newest", names=names, ours=ours, overwrite=True)
        assert {(target / name).read_text() for name in names} == {"newest"}
        assert (target / "notes.txt").read_text() == "mine"
        assert (target / "plots" / "loss.svg").read_text() == "mine too"
        for name in save_other:
            assert (target / name).read_text() == "kept"
        assert os.listdir(target.parent) == ["model"]
        assert not list(target.glob(".*"))
    assert seen == {"old", "new"} and n > 8


def test_killed_at_each_step_of_a_file(tmp_path):
    n, killed, seen = 0, True, set()
    while killed:
        n += 1
        path = tmp_path / f"{n}" / "table.csv"
        path.parent.mkdir()
        path.write_text("old")
        killed = die_at(n, lambda p=path: atomic_write(p, "new"))
        seen.add(path.read_text())
        atomic_write(path, "newest")
        assert path.read_text() == "newest" and os.listdir(path.parent) == ["table.csv"]
    assert seen == {"old", "new"}


def test_what_a_living_process_writes_is_not_swept(tmp_path):
    target = tmp_path / "model"
    with atomic_directory(target) as first:
        (first / "config.json").write_text("first")
        with atomic_directory(target) as second:
            (second / "config.json").write_text("second")
        assert content(target) == {"config.json": "second"}
        assert (first / "config.json").read_text() == "first"
        with pytest.raises(FileExistsError, match="config.json"):
            save(target, "third")
    # `first` was begun when nothing was there, and must not replace what came in the meantime.


def test_another_saver_sweeps_what_this_one_leaves_behind(tmp_path, monkeypatch):
    """The old directory is not locked after the exchange, so two processes may remove it."""
    target = tmp_path / "model"
    save(target, "old")
    (target / "notes.txt").write_text("mine")
    exchange = atomic._exchange

    def swept(first, second):
        done = exchange(first, second)
        atomic._sweep(tmp_path, target)
        return done

    monkeypatch.setattr(atomic, "_exchange", swept)
    save(target, "new", overwrite=True)
    assert content(target) == {
        "config.json": "new", "model.safetensors": "new", "notes.txt": "mine"
    }
    assert os.listdir(tmp_path) == ["model"]


def test_only_names_of_temporary_files_are_swept(tmp_path):
    for name in (".model.tmp-1234567", ".model.tmp-12345678x", ".other.tmp-12345678", ".model.tmp"):
        (tmp_path / name).write_text("mine")
    (tmp_path / ".model.tmp-12345678").write_text("left behind")
    save(tmp_path / "model", "new")
    assert sorted(os.listdir(tmp_path)) == [
        ".model.tmp", ".model.tmp-1234567", ".model.tmp-12345678x", ".other.tmp-12345678",
        "model",
    ]


def test_order_of_writing(tmp_path, way, monkeypatch):
    """Each file is flushed, then renamed, and then the folder with its name is flushed."""
    events = []
    plain = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}

    def trace_fsync(descriptor):
        events.append(("fsync", os.readlink(f"/proc/self/fd/{descriptor}")))
        return plain["fsync"](descriptor)

    def trace_move(kind):
        def move(source, target, **options):
            events.append((kind, os.fspath(source), os.fspath(target)))
            return plain[kind](source, target, **options)
        return move

    target = tmp_path / "model"
    save(target, "old")
    monkeypatch.setattr(os, "fsync", trace_fsync)
    monkeypatch.setattr(os, "rename", trace_move("rename"))
    monkeypatch.setattr(os, "replace", trace_move("replace"))
    exchange = atomic._exchange

    def trace_exchange(first, second):
        done = exchange(first, second)
        if done:
            events.append(("exchange", str(first), str(second)))
        return done

    monkeypatch.setattr(atomic, "_exchange", trace_exchange)
    save(target, "new", overwrite=True)
    flushed = [event[1] for event in events if event[0] == "fsync"]
    moves = [i for i, event in enumerate(events) if event[0] != "fsync"]
    first_move, last_move = moves[0], moves[-1]
    files = [path for path in flushed if path.endswith((".json", ".safetensors"))]
    assert {os.path.basename(path) for path in files} == {"config.json", "model.safetensors"}
    assert all(events.index(("fsync", path)) < first_move for path in files)
    after = {event[1] for event in events[last_move + 1 :]}
    assert str(target if way != "exchanged" else tmp_path) in after
    if way != "exchanged":
        # The name of config.json must not reach the disk before those of the others.
        last = [event for event in events if event[0] == "replace"][-1]
        assert last[2].endswith("config.json")
        assert events[events.index(last) - 1] == ("fsync", str(target))

    events.clear()
    atomic_write(tmp_path / "table.csv", "new")
    kinds = [event[0] for event in events]
    assert kinds == ["fsync", "replace", "fsync"]
    assert events[0][1] == events[1][1] and events[2][1] == str(tmp_path)
