"""The output of frozen layers is kept for all epochs: same training, and no files left."""

import errno
import io
import json
import os
import re
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import maker, write_tiny_model
from test_classifier import flat, make_texts
from test_cli import SMALL, write_csv
from test_memory import least_of
from test_runs import assert_same_run, at_step

import bertsent
from bertsent.classifier.estimator import predictor
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.model.memory import PassTokens
from bertsent.system import scratch
from bertsent.system.bars import Bar
from bertsent.system.lines import Lines
from bertsent.system.scratch import ScratchFile, ScratchMemory, cache_folder, cache_limit
from bertsent.system.units import parse_size
from bertsent.texts.long_text import Windows
from bertsent.training import frozen
from bertsent.training.examples import Examples
from bertsent.training.frozen import FrozenCache, cache_key
from bertsent.training.options import TrainingOptions

TEXTS, LABELS = make_texts(30)
TEXTS = [f"{text} " * (1 + i % 3) + str(i) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny", num_hidden_layers=3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The cache folder of all tests here."""
    monkeypatch.setenv("BERTSENT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def make(base):
    return maker(
        base, epochs=3, precision="float32", inference_precision="float32", freeze_layers=2,
        freeze_dropout=True
    )


@pytest.fixture
def on_disk(monkeypatch):
    """Pretend that no memory is free."""
    monkeypatch.setattr(frozen, "read_memory", lambda: {"available": 0})


@pytest.fixture
def computed(monkeypatch):
    """Count how often pieces of the frozen layers' output are computed."""
    calls = []
    plain = frozen._compute

    def compute(model, examples, recipe, n_threads, begin, end):
        calls.append((begin, end))
        return plain(model, examples, recipe, n_threads, begin, end)

    monkeypatch.setattr(frozen, "_compute", compute)
    return calls


def assert_alike(one, other):
    """The same run, except for the order in which some sums were rounded."""
    for name, values in one.model_.parameters.items():
        # Their gradients are only rounding errors, which AdamW turns into steps.
        if not name.endswith("key.bias"):
            expected = other.model_.parameters[name]
            np.testing.assert_allclose(values, expected, rtol=0, atol=2e-5, err_msg=name)
    for row, twin in zip(one.history_, other.history_, strict=True):
        assert row["loss"] == pytest.approx(twin["loss"], rel=1e-5)
        assert row["tokens"] == twin["tokens"]


# --- what is learned ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"freeze_layers": 1},
        {"freeze_layers": "all"},
        {"pooling": "mean"},
        {"pooling": "mean", "freeze_layers": "all"},
        {"long_text": "windows", "stride": 2},
        {"long_text": "windows", "freeze_layers": "all"},
        {"class_weight": "balanced", "accumulate_steps": 2, "layer_decay": 0.9,
         "validation_fraction": 0.2, "eval_every": 3, "early_stopping": "loss"},
    ],
    ids=str,
)
def test_it_changes_no_more_than_the_last_bits(make, computed, options):
    weights = np.linspace(0.1, 2.0, 30)
    without = make(frozen_cache="off", **options).fit(TEXTS, LABELS, weights)
    assert computed == []
    found = make(**options).fit(TEXTS, LABELS, weights)
    assert len(computed) == 1  # all texts are one piece
    assert_alike(found, without)
    assert np.abs(flat(found) - flat(make(epochs=1, **options).fit(TEXTS, LABELS))).max() > 1e-3


def test_dropout_above_is_the_same(make):
    """Another dropout mask would change far more than the last bits."""
    clf = make(frozen_cache="off").fit(TEXTS, LABELS)
    other = make(random_state=1, frozen_cache="off").fit(TEXTS, LABELS)
    assert np.abs(flat(clf) - flat(other)).max() > 1e-3
    assert_alike(make().fit(TEXTS, LABELS), clf)


@pytest.mark.parametrize("freeze", [2, "all"])
@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_disk_and_memory_and_threads_give_the_same_bits(make, monkeypatch, storage, freeze):
    monkeypatch.setattr(frozen, "_PIECE_TOKENS", 64)
    options = {"frozen_cache": storage, "freeze_layers": freeze}
    expected = make(**options).fit(TEXTS, LABELS)
    assert_same_run(make(n_threads=2, **options).fit(TEXTS, LABELS), expected)
    monkeypatch.setattr(frozen, "read_memory", lambda: {"available": None})
    for n_threads in (1, 2):
        assert_same_run(make(n_threads=n_threads, **options).fit(TEXTS, LABELS), expected)


def test_bfloat16_is_rounded_from_the_first_epoch_on(make):
    exact = make(epochs=1, frozen_cache="float32").fit(TEXTS, LABELS)
    rounded = make(epochs=1, frozen_cache="bfloat16").fit(TEXTS, LABELS)
    loss, other = (clf.history_[0]["loss"] for clf in (exact, rounded))
    assert loss != other == pytest.approx(loss, rel=1e-2)


def test_frozen_layers_are_computed_once(make, computed, monkeypatch):
    monkeypatch.setattr(frozen, "_PIECE_TOKENS", 64)
    make(epochs=4, validation_fraction=0.2).fit(TEXTS, LABELS)
    ends = [end for _, end in computed]
    assert [begin for begin, _ in computed] == [0, *ends[:-1]] and len(computed) > 3
    assert ends[-1] == 24


def test_many_epochs_read_no_token_of_it(make):
    """If all layers are frozen, steps use neither embeddings nor layers."""
    stages = []

    class Timed(FrozenCache):
        def fill(self, model, *args, **how):
            super().fill(model, *args, **how)
            stages.append(model._core.time_stages(True))

    cache = Timed("float32", ScratchMemory(30 * 32, np.dtype(np.float32)))
    model, examples, recipe = small_run(make, freeze=3)
    examples = replace(examples, frozen=cache)
    bertsent.training.loop.train(model, examples, recipe, n_threads=1)
    assert stages[0] is None and len(stages) == recipe.epochs == 3
    for found in stages[1:]:
        counted = {name for name, seconds in found.items() if seconds > 0}
        assert "head" in counted and "stored" in counted
        assert not counted & {"embeddings", "qkv", "attention", "up", "down"}


# --- never stale --------------------------------------------------------------------------


def small_run(make, **changes):
    clf = make(freeze_layers=0, frozen_cache="off", epochs=1).fit(TEXTS, LABELS)
    tokens = predictor(clf).reader(inference=False).encode(clf.tokenizer_, TEXTS, 1)
    labels = (LABELS == "positive").astype(np.int32)
    recipe = {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "freeze": 2,
              "freeze_dropout": True} | changes
    examples = Examples(tokens.ids, tokens.offsets, labels, predictor(clf).fitted.objective)
    return clf.model_, examples, TrainingOptions(**recipe)


def edited(model, name):
    with model.edit_parameters() as parameters:
        parameters[name].flat[1] += 0.25


KEYS = {
    "embeddings": lambda m, e, r: edited(m, "bert.embeddings.LayerNorm.weight"),
    "weights": lambda m, e, r: edited(m, "bert.encoder.layer.1.output.LayerNorm.bias"),
    "tokens": lambda m, e, r: e.ids.__setitem__(4, e.ids[4] + 1),
    "lengths": lambda m, e, r: e.offsets.__setitem__(1, e.offsets[1] + 1),
    "layers": lambda m, e, r: {"freeze": 1},
    "all layers": lambda m, e, r: {"freeze": 3},
    "precision": lambda m, e, r: {"precision": "bfloat16"},
    "parts": lambda m, e, r: {"passes": PassTokens(training=512)},
    "pooling": lambda m, e, r: m._engine.update(pooling="mean"),
    "storage": lambda m, e, r: "bfloat16",
}


@pytest.mark.parametrize("name", KEYS)
def test_every_change_changes_the_key(make, name):
    model, examples, recipe = small_run(make)
    before = cache_key(model, examples, recipe, "float32")
    assert cache_key(model, examples, recipe, "float32") == before
    change = KEYS[name](model, examples, recipe)
    changes = {**vars(recipe), **(change if isinstance(change, dict) else {})}
    storage = change if isinstance(change, str) else "float32"
    assert cache_key(model, examples, TrainingOptions(**changes), storage) != before


def test_what_is_trained_is_no_part_of_the_key(make):
    model, examples, recipe = small_run(make)
    before = cache_key(model, examples, recipe, "float32")
    edited(model, "bert.encoder.layer.2.attention.self.query.weight")
    edited(model, "classifier.bias")
    assert cache_key(model, examples, recipe, "float32") == before


@pytest.mark.parametrize("place", [ScratchMemory, ScratchFile])
@pytest.mark.parametrize("name", ["embeddings", "weights", "tokens"])
def test_what_is_stale_is_computed_anew(make, computed, name, place):
    model, examples, recipe = small_run(make)
    how = {"n_threads": 1, "report": lambda part: None, "check": lambda: None}

    def fresh():
        return FrozenCache("float32", place(examples.offsets[-1] * 32, np.dtype(np.float32)))

    cache = fresh()
    for _ in range(3):
        cache.fill(model, examples, recipe, **how)
    assert len(computed) == 1
    before = np.array(cache.rows)
    KEYS[name](model, examples, recipe)
    other = fresh()
    for each in (cache, other):
        each.fill(model, examples, recipe, **how)
    assert np.array_equal(cache.rows, other.rows) and not np.array_equal(cache.rows, before)
    for each in (cache, other):
        each.close()


def test_every_window_has_its_rows(make):
    clf = make(long_text="windows", stride=2).fit(TEXTS, LABELS)
    tokens = predictor(clf).reader(inference=False).encode(clf.tokenizer_, TEXTS, 1)
    examples = Examples(
        tokens.ids, tokens.offsets, np.zeros(30), predictor(clf).fitted.objective,
        windows=Windows.of(tokens),
    )
    recipe = TrainingOptions(epochs=1, batch_size=1, learning_rate=1.0, freeze=2)
    size = int(tokens.offsets[-1]) * 32
    cache = FrozenCache("float32", ScratchMemory(size, np.dtype(np.float32)))
    cache.fill(clf.model_, examples, recipe, 1, report=lambda part: None, check=lambda: None)
    text = int(np.diff(tokens.windows).argmax())
    sequences, _ = examples.windows.take(np.array([text]))
    assert len(sequences) > 1
    rows, first = cache.stored(sequences)
    assert rows.shape == (size,) and first.tolist() == tokens.offsets[sequences].tolist()
    ids, cu_seqlens, *_ = examples.gather(np.array([text]))
    alone = np.empty(len(ids) * 32, np.float32)
    clf.model_._core.frozen_rows(ids, None, None, cu_seqlens, 2, alone)
    np.testing.assert_allclose(
        rows[first[0] * 32 : first[0] * 32 + alone.size], alone, rtol=0, atol=1e-5
    )


# --- what is taken and given back ---------------------------------------------------------


def open_files():
    """Names of this process's open files."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            pass
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of open files here")
def test_a_file_has_no_name_and_is_gone_afterwards(make, on_disk, folder):
    seen = []

    def look(event):
        if event["event"] == "step":
            seen.append(([*folder.iterdir()], [n for n in open_files() if str(folder) in n]))

    make(callbacks=look).fit(TEXTS, LABELS)
    assert len(seen) == 12
    for names, opened in seen:
        assert names == [] and len(set(opened)) == 1 and "(deleted)" in opened[0]
    assert [*folder.iterdir()] == [] and not any(str(folder) in name for name in open_files())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of open files here")
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_it_is_gone_after_an_error(make, on_disk, folder, error):
    def fail(event):
        if event["event"] == "step" and event["step"] == 6:
            raise error

    with pytest.raises(error) as caught:
        make(callbacks=fail).fit(TEXTS, LABELS)
    # Also while a traceback, as in a debugger, keeps everything alive.
    assert caught.tb is not None
    assert [*folder.iterdir()] == [] and not any(str(folder) in name for name in open_files())


def test_two_runs_do_not_meet(make, on_disk):
    expected = make().fit(TEXTS, LABELS)
    inner = []

    def another(event):
        if event["event"] == "epoch" and not inner:
            inner.append(make(random_state=1, freeze_layers=1).fit(TEXTS, LABELS))

    assert_same_run(make(callbacks=another).fit(TEXTS, LABELS), expected)
    assert len(inner) == 1


def test_where_it_lies_is_said(make, folder, monkeypatch, capsys):
    tokens = make().fit(TEXTS, LABELS).history_[0]["tokens"]
    make(verbose=1).fit(TEXTS, LABELS)
    said = capsys.readouterr().err
    size = re.search(r"frozen layers are computed once: (\S+) in float32, in memory\n", said)[1]
    assert parse_size(size) == pytest.approx(tokens * 32 * 4, rel=0.02)
    monkeypatch.setattr(frozen, "read_memory", lambda: {"available": 0})
    make(verbose=1, frozen_cache="bfloat16").fit(TEXTS, LABELS)
    said = capsys.readouterr().err
    assert re.search(rf"once: \S+ in bfloat16, on the disk in {folder}\n", said)
    monkeypatch.setenv("BERTSENT_CACHE_LIMIT", "10kB")
    make(verbose=1).fit(TEXTS, LABELS)
    said = capsys.readouterr().err
    assert f"in every epoch: their output takes {size}, more than BERTSENT_CACHE_LIMIT" in said


def test_how_much_is_computed_is_said():
    stream = io.StringIO()
    lines, quiet, bar = Lines(stream, every=0), Lines(stream), Bar(stream)
    for display in (lines, quiet, bar):
        display.start(3, 4, 100)
    lines.prepared(0.4)
    quiet.prepared(0.5)
    assert "frozen layers 40%\n" in stream.getvalue()
    bar.prepared(0.75)
    bar.close()
    assert "frozen layers 75%" in stream.getvalue() and "50%" not in stream.getvalue()


def homeless():
    raise RuntimeError("Could not determine home directory.")


def test_folder_and_bound(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("BERTSENT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "bertsent"
    monkeypatch.setenv("HOME", str(tmp_path))
    for relative in ("xdg", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", relative)
        assert cache_folder() == tmp_path / ".cache" / "bertsent"
    monkeypatch.setattr(scratch.Path, "home", homeless)
    assert cache_folder() == Path(tempfile.gettempdir())
    assert cache_limit() == 20 * 10**9
    for text, size in (("3MB", 3 * 10**6), ("123", 123), ("0", 0)):
        monkeypatch.setenv("BERTSENT_CACHE_LIMIT", text)
        assert cache_limit() == size


# --- what cannot be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_dropout": False}, "dropout makes .* pass freeze_dropout=True"),
        ({"freeze_layers": 0}, "no layer is frozen; pass freeze_layers"),
    ],
)
def test_what_differs_from_step_to_step_is_not_kept(make, computed, options, message):
    make(**options).fit(TEXTS, LABELS)
    assert computed == []
    for storage in ("float32", "bfloat16"):
        refused = f"frozen_cache='{storage}' is not possible: {message}"
        with pytest.raises(ValueError, match=refused):
            make(frozen_cache=storage, **options).fit(TEXTS, LABELS)


def test_a_model_without_dropout_needs_no_freeze_dropout(make, computed, tmp_path):
    calm = write_tiny_model(
        tmp_path / "calm", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    make(model=calm, freeze_layers=1, freeze_dropout=False).fit(TEXTS, LABELS)
    assert len(computed) == 1


def test_one_epoch_does_without(make, computed):
    make(epochs=1).fit(TEXTS, LABELS)
    assert computed == []


def test_more_than_the_bound(make, on_disk, monkeypatch, computed):
    monkeypatch.setenv("BERTSENT_CACHE_LIMIT", "10kB")
    assert_same_run(make().fit(TEXTS, LABELS), make(frozen_cache="off").fit(TEXTS, LABELS))
    assert computed == []
    with pytest.raises(ValueError, match=r"is larger than the limit of 10kB; raise BERTSENT_CACHE"):
        make(frozen_cache="float32").fit(TEXTS, LABELS)
    monkeypatch.setenv("BERTSENT_CACHE_LIMIT", "lots")
    with pytest.raises(ValueError, match="BERTSENT_CACHE_LIMIT='lots' .* expected a number of byt"):
        make().fit(TEXTS, LABELS)


def no_room(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("full", ["free", "taken"])
def test_a_full_disk(make, on_disk, monkeypatch, folder, full):
    if full == "free":
        monkeypatch.setattr(scratch, "_PART_OF_DISK", 0.0)
    else:
        monkeypatch.setattr(os, "posix_fallocate", no_room, raising=False)
    message = f"cannot write .* to {folder} .*free some space, or set BERTSENT_CACHE to another"
    with pytest.warns(UserWarning, match=f"in every epoch, as .*{message}") as caught:
        found = make().fit(TEXTS, LABELS)
    told = [w for w in caught if "every epoch" in str(w.message)]
    assert [w.filename for w in told] == [__file__]
    assert_same_run(found, make(frozen_cache="off").fit(TEXTS, LABELS))
    with pytest.raises(OSError, match=message):
        make(frozen_cache="float32").fit(TEXTS, LABELS)
    assert [*folder.iterdir()] == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_is_full_when_it_is_written_to(folder):
    place = ScratchFile(100, np.dtype(np.float32))
    place.file.close()
    place.file = open("/dev/full", "wb", buffering=0)
    with pytest.raises(OSError, match=f"cannot write 400B to {folder} .No space left"):
        place.write(0, np.zeros(100, np.float32))
    place.close()


def test_a_folder_that_cannot_be(make, on_disk, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BERTSENT_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="cannot write .*file .*BERTSENT_CACHE"):
        make(frozen_cache="float32").fit(TEXTS, LABELS)


@pytest.mark.parametrize("value", ["disk", None, True, "int8"])
def test_values_that_are_not_allowed(make, value):
    with pytest.raises(ValueError, match='frozen_cache=.*"auto", "float32", "bfloat16" or "off"'):
        make(frozen_cache=value).fit(TEXTS, LABELS)


def test_partial_fit_keeps_nothing(make, computed):
    clf = make(frozen_cache="float32").partial_fit(TEXTS, LABELS, classes=["negative", "positive"])
    assert computed == [] and len(clf.history_) == 1


# --- memory_limit -------------------------------------------------------------------------


@pytest.mark.parametrize("freeze", [2, "all"])
def test_memory_limit_counts_it(make, monkeypatch, freeze):
    places = []
    for kind in (ScratchMemory, ScratchFile):
        monkeypatch.setattr(
            frozen, kind.__name__, lambda *args, kind=kind: places.append(kind) or kind(*args)
        )
    options = {"freeze_layers": freeze, "batch_size": 30}
    free = make(**options).fit(TEXTS, LABELS)
    assert places == [ScratchMemory]
    core, size = free.model_._core, 16 * free.model_._flat.size
    rows = 30 if freeze == "all" else free.history_[0]["tokens"]
    # Computing the frozen layers once takes more memory than training the others.
    most = core.pass_size(np.arange(0, 16 * 31, 16), freeze=3)
    assert most >= core.reserved
    whole = size + core.packed_size("float32", backward=True) + most + rows * 32 * 4
    for limit, kind in ((whole, ScratchMemory), (whole - 1, ScratchFile)):
        places.clear()
        clf = make(memory_limit=limit, **options).fit(TEXTS, LABELS)
        assert places == [kind]
        taken = size + clf.model_._core.reserved
        taken += rows * 32 * 4 if kind is ScratchMemory else 0
        assert taken <= limit
        assert_alike(clf, free)
    least = parse_size(least_of(lambda: make(memory_limit=1, **options).fit(TEXTS, LABELS)))
    clf = make(memory_limit=least, **options).fit(TEXTS, LABELS)
    assert size + clf.model_._core.reserved <= least
    assert_alike(clf, free)


# --- runs that are gone on with -----------------------------------------------------------


@pytest.mark.parametrize("storage", ["auto", "bfloat16"])
@pytest.mark.parametrize("step", [1, 4, 6, 12])
def test_resumed_runs_end_with_the_same_bits(make, tmp_path, monkeypatch, storage, step):
    expected = make(frozen_cache=storage).fit(TEXTS, LABELS)
    options = {"frozen_cache": storage, "checkpoint_dir": tmp_path / "run"}
    with at_step(step, lambda: signal.raise_signal(signal.SIGINT)):
        with pytest.raises(KeyboardInterrupt):
            make(**options).fit(TEXTS, LABELS)
    monkeypatch.setattr(frozen, "read_memory", lambda: {"available": 0})
    again = make(resume=True, n_threads=2, **options).fit(TEXTS, LABELS)
    assert_same_run(again, expected)


def test_interrupted_while_frozen_layers_are_computed(make, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "_PIECE_TOKENS", 64)
    expected = make().fit(TEXTS, LABELS)
    plain, calls = frozen._compute, []

    def compute(*args):
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return plain(*args)

    monkeypatch.setattr(frozen, "_compute", compute)
    options = {"checkpoint_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        make(**options).fit(TEXTS, LABELS)
    assert len(calls) == 2
    assert_same_run(make(resume=True, **options).fit(TEXTS, LABELS), expected)


def test_a_run_keeps_to_what_it_was_begun_with(make, tmp_path, monkeypatch, computed):
    """Whether there is space or not, since that changes the last bits."""
    monkeypatch.setattr(frozen, "read_memory", lambda: {"available": 0})
    interrupt = at_step(5, lambda: signal.raise_signal(signal.SIGINT))
    with interrupt, pytest.raises(KeyboardInterrupt):
        make(checkpoint_dir=tmp_path / "kept").fit(TEXTS, LABELS)
    monkeypatch.setenv("BERTSENT_CACHE_LIMIT", "10kB")
    without = make().fit(TEXTS, LABELS)
    with at_step(5, lambda: signal.raise_signal(signal.SIGINT)):
        with pytest.raises(KeyboardInterrupt):
            make(checkpoint_dir=tmp_path / "anew").fit(TEXTS, LABELS)
    resumed = {"resume": True, "checkpoint_dir": tmp_path / "kept"}
    with pytest.raises(ValueError, match="raise BERTSENT_CACHE_LIMIT"):
        make(**resumed).fit(TEXTS, LABELS)
    monkeypatch.delenv("BERTSENT_CACHE_LIMIT")
    with pytest.raises(CheckpointError, match="frozen_cache .saved: 'float32', now: None"):
        make(frozen_cache="off", **resumed).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="frozen_cache .saved: 'float32', now: 'bfloat16'"):
        make(frozen_cache="bfloat16", **resumed).fit(TEXTS, LABELS)
    computed.clear()
    again = make(resume=True, checkpoint_dir=tmp_path / "anew").fit(TEXTS, LABELS)
    assert computed == []
    assert_same_run(again, without)
    assert_same_run(make(frozen_cache="float32", **resumed).fit(TEXTS, LABELS),
                    make().fit(TEXTS, LABELS))


def test_on_the_command_line(base, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 40)
    command = ["train", str(data), "--model", str(base), "--epochs", "2", *SMALL,
               "--freeze-layers", "1", "--output", str(tmp_path / "out")]
    assert main([*command, "--frozen-cache", "bfloat16"]) == 1
    assert "--frozen-cache bfloat16 is not possible: dropout" in capsys.readouterr().err
    assert main([*command, "--freeze-dropout", "--frozen-cache", "bfloat16"]) == 0
    shown = capsys.readouterr()
    assert "--frozen-cache bfloat16" in shown.out and "in bfloat16, in memory" in shown.err
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["parameters"]["frozen_cache"] == "bfloat16"
    # It concerns the machine that trained, not the model.
    assert bertsent.BertClassifier.from_pretrained(tmp_path / "out").frozen_cache == "auto"
