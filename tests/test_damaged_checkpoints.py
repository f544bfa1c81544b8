"""A damaged checkpoint raises an error that names the file, and is never resumed from."""

import copy
import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from bertsent.errors import CheckpointError
from bertsent.training import checkpoints
from bertsent.training.checkpoint_file import write_checkpoint
from bertsent.training.saved_state import state_arrays, state_record
from bertsent.training.schedule import Seeds
from bertsent.training.state import State

SAVED_0_1 = Path(__file__).resolve().parent / "data" / "saved_0_1" / "run"
SIZE, TEXTS = 24, 20
RUN = {
    "texts": "00ff", "epochs": 4, "batch_size": 3, "accumulate_steps": 2, "precision": "float32",
    "inference_precision": "float32", "frozen_cache": "off", "time_plan": None,
    "random_state": [1, 2, 3, 4],
}


def fresh_state(size=SIZE):
    return State.fresh(type("Model", (), {"_flat": np.zeros(size, np.float32)}))


def make_state(rng):
    """The second epoch on 20 texts, 6 per step: 4 steps per epoch, of which 2 are done."""
    state = fresh_state()
    state.exp_avg[:] = rng.normal(size=SIZE)
    state.exp_avg_sq[:] = rng.uniform(size=SIZE)
    state.step, state.epoch, state.position, state.order = 6, 1, 12, rng.permutation(TEXTS)
    state.sums.weight, state.sums.loss_sum, state.sums.hits = 12.0, 7.5, 6.0
    state.sums.tokens = 80
    state.history = [{"epoch": 1, "loss": 0.7, "accuracy": 0.5, "tokens": 130, "seconds": 0.1}]
    state.evaluations = [
        {"step": step, "epoch": 1, "validation_loss": loss, "validation_accuracy": 0.5}
        for step, loss in ((2, 0.6), (4, 0.8))
    ]
    best = state.best
    best.value, best.step, best.since = 0.6, 2, 1
    best.weights = rng.normal(size=SIZE).astype(np.float32)
    return state


@pytest.fixture
def run(tmp_path):
    """Path of a directory with a checkpoint."""
    rng = np.random.default_rng(0)
    with checkpoints.RunStore(tmp_path / "run", 2, False) as store:
        store.seeds, store.run = Seeds(1, 2, 3, 4), RUN
        store.save(make_state(rng), rng.normal(size=SIZE).astype(np.float32))
    return tmp_path / "run"


def read(directory):
    with checkpoints.RunStore(directory, 2, True) as store:
        return store.newest()


def content(path, size=SIZE, n_texts=TEXTS):
    """The state that a run continues from, as plain values."""
    saved = checkpoints.Saved(path)
    state, weights = fresh_state(size), np.zeros(size, np.float32)
    saved.restore(state, weights, n_texts)
    arrays = (weights, state.exp_avg, state.exp_avg_sq, state.best.weights, state.order)
    return [
        saved.seeds, saved.run, saved.machine, state_record(state),
        [array.tobytes() for array in arrays],
    ]


def only_file(directory):
    (path,) = directory.glob("step-*.safetensors")
    return path


def header_size(data):
    return 8 + int.from_bytes(data[:8], "little")


EDITS = {
    "step": (rb'"step\": 6', rb'"step\": 7'),
    "epoch": (rb'"epoch\": 1, \"position', rb'"epoch\": 2, \"position'),
    "position": (rb'"position\": 12', rb'"position\": 15'),
    "tokens": (rb'"tokens\": 130', rb'"tokens\": 131'),
    "loss of the history": (rb'"loss\": 0.7', rb'"loss\": 0.1'),
    "what early stopping has seen": (rb'"since\": 1', rb'"since\": 0'),
    "seeds": (rb'"seeds\": [1,', rb'"seeds\": [7,'),
    "a name of the state": (rb'"position', rb'"positiom'),
    "a name of the record": (rb'"machine', rb'"machime'),
    "a name of an array": (b'"order"', b'"ordes"'),
    "another name": (b'"best"', b'"rest"'),
    "a type": (b'"dtype":"F32"', b'"dtype":"I32"'),
    "a shape": (b'"shape":[24]', b'"shape":[25]'),
    "offsets": (b'"data_offsets":[0', b'"data_offsets":[4'),
}


def edit(path, pattern, replacement):
    """Replace the first occurrence in the header, ignoring white space between JSON tokens."""
    data = path.read_bytes()
    end = header_size(data)
    head = data[:end]
    if pattern not in head:
        pattern, replacement = (text.replace(b'":', b'": ', 1) for text in (pattern, replacement))
    assert pattern in head, pattern
    path.write_bytes(head.replace(pattern, replacement, 1) + data[end:])


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_the_header_is_found(run, name):
    edit(only_file(run), *EDITS[name])
    with pytest.warns(UserWarning, match=r"step-00000006\.safetensors is damaged"):
        with pytest.raises(CheckpointError, match="remove them to start"):
            read(run)


def swap(path, one, other):
    """Exchange the names of two arrays."""
    data = path.read_bytes()
    end = header_size(data)
    head = data[:end].replace(b'"%s"' % one, b'"@"').replace(b'"%s"' % other, b'"%s"' % one)
    path.write_bytes(head.replace(b'"@"', b'"%s"' % other) + data[end:])


def test_swapped_arrays_are_found(run):
    swap(only_file(run), b"exp_avg", b"best")
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoints.Saved(only_file(run))


def test_every_flipped_byte_is_found(run):
    path = only_file(run)
    data, whole = path.read_bytes(), content(path)
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 8
        path.write_bytes(spoilt)
        with pytest.raises(CheckpointError, match=f"{path.name} is "):
            checkpoints.Saved(path)
    path.write_bytes(data)
    assert content(path) == whole


def test_every_other_length_is_found(run):
    path = only_file(run)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoints.Saved(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CheckpointError, match="is damaged"):
        checkpoints.Saved(path)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    begin=st.floats(0, 1), length=st.integers(0, 40), instead=st.binary(max_size=40),
    in_header=st.booleans(),
)
@example(begin=0.0, length=8, instead=b"\xff" * 7 + b"\x7f", in_header=True)
def test_any_other_bytes_are_found(run, begin, length, instead, in_header):
    path = only_file(run)
    data, whole = path.read_bytes(), content(path)
    first = int(begin * (header_size(data) if in_header else len(data)))
    spoilt = data[:first] + instead + data[first + length :]
    try:
        path.write_bytes(spoilt)
        if spoilt == data:
            assert content(path) == whole
        else:
            with pytest.raises(CheckpointError):
                checkpoints.Saved(path)
    finally:
        path.write_bytes(data)


# --- values are checked even if the checksum is correct ------------------------------------


def set_record(*keys):
    """A function that sets an entry of the record."""
    *within, value = keys

    def change(record, arrays):
        for key in within[:-1]:
            record = record[key]
        if value is KeyError:
            del record[within[-1]]
        else:
            record[within[-1]] = value

    return change


def set_array(name, function):
    """A function that replaces an array."""

    def change(record, arrays):
        arrays[name] = function(arrays[name])

    return change


def with_value(value):
    def change(array):
        array = array.copy()
        array[3] = value
        return array

    return change


WRONG = {
    "no state": (set_record("state", KeyError), "'state' is missing"),
    "a state that is a list": (set_record("state", [1]), "damaged"),
    "a run that is none": (set_record("run", None), "damaged"),
    "a later format": (set_record("format", 3), "of format 3; this bertsent reads 1 and 2"),
    "no machine": (set_record("machine", KeyError), "'machine' is missing"),
    "seeds that are few": (set_record("seeds", [1, 2, 3]), "seeds"),
    "other seeds": (set_record("seeds", [1, 2, 3, 5]), "seeds"),
    "too many epochs": (set_record("state", "epoch", 5), "epoch is 5"),
    "an epoch of a half": (set_record("state", "epoch", 1.5), "epoch is 1.5"),
    "an epoch that is true": (set_record("state", "epoch", True), "epoch is True"),
    "no step": (set_record("state", "step", KeyError), "'step' is missing"),
    "a step less": (set_record("state", "step", 5), "step 5 is not consistent with epoch 1"),
    "a negative step": (set_record("state", "step", -6), "step is -6"),
    "thousands of digits": (set_record("state", "step", 10**4000), "a number has 4,001 digits"),
    "an endless step": (set_record("state", "step", 10**900), r"step is 1000.*\.\.\."),
    "a position behind the end": (set_record("state", "position", 21), "position is 21 of 20"),
    "a position within a step": (set_record("state", "position", 13), "position is 13 of 20"),
    "an end that is none": (set_record("state", "finished", True), "finished is True"),
    "stopped by a number": (set_record("state", "stopped", 1), "stopped is 1"),
    "time that runs back": (set_record("state", "used", -1.0), "used is -1"),
    "time without end": (set_record("state", "used", float("inf")), "used is inf"),
    "no history": (set_record("state", "history", []), "history does not hold each epoch"),
    "history of text": (set_record("state", "history", 0, "loss", "low"), "not a number"),
    "history without tokens": (set_record("state", "history", 0, "tokens", KeyError), "columns"),
    "evaluations that go back": (set_record("state", "evaluations", 1, "step", 1), "step is 1"),
    "evaluations to come": (set_record("state", "evaluations", 1, "step", 9), "step is 9"),
    "evaluations of all kinds": (
        set_record("state", "evaluations", 1, "validation_loss", KeyError), "columns"
    ),
    "sums of another name": (set_record("state", "sums", {"hits": 1.0}), "sums has the names"),
    "a sum that is none": (set_record("state", "sums", "loss_sum", float("nan")), "loss_sum"),
    "a best that never was": (set_record("state", "best", "value", 0.55), "best is not one of"),
    "a best at no time": (set_record("state", "best", "step", 3), "best is not one of"),
    "patience that is off": (set_record("state", "best", "since", 2), "best is not one of"),
    "a best without weights": (set_array("best", lambda array: None), "best is incomplete"),
    "no epochs": (set_record("run", "epochs", "auto"), "epochs is 'auto'"),
    "no batches": (set_record("run", "batch_size", 0), "batch_size is 0"),
    "another precision": (set_record("run", "precision", "float16"), "precision is 'float16'"),
    "a plan that is short": (set_record("run", "time_plan", {"epochs": 1}), "is missing"),
    "an order too long": (
        set_array("order", lambda a: np.append(a, np.arange(20, 25))),
        "is not consistent with epoch 1",
    ),
    "a text twice": (set_array("order", with_value(0)), "order does not hold each text once"),
    "a text that is none": (set_array("order", with_value(-1)), "order does not hold each"),
    "an order in 32 bits": (
        set_array("order", lambda a: a.astype(np.int32)), "unknown array 'order'"
    ),
    "no weights": (set_array("weights", lambda array: None), "'weights' is missing"),
    "no moments": (set_array("exp_avg_sq", lambda array: None), "'exp_avg_sq' is missing"),
    "weights that are few": (set_array("weights", lambda a: a[1:].copy()), "weights has 23"),
    "whole weights": (set_array("weights", lambda a: a.view(np.int32)), "weights has 24 values"),
    "weights not finite": (set_array("weights", with_value(np.nan)), "weights has values"),
    "moments not finite": (set_array("exp_avg", with_value(np.inf)), "exp_avg has values"),
    "a negative square": (set_array("exp_avg_sq", with_value(-1e-9)), "exp_avg_sq has values"),
    "a further array": (
        lambda record, arrays: arrays.update(more=arrays["best"]), "unknown array 'more'"
    ),
}


def write_changed(path, change):
    """Write a checkpoint with changed contents and a correct checksum."""
    rng = np.random.default_rng(0)
    state = make_state(rng)
    record = copy.deepcopy({
        "seeds": [1, 2, 3, 4], "run": RUN, "machine": "m", "state": state_record(state)
    })
    arrays = state_arrays(state, rng.normal(size=SIZE).astype(np.float32))
    change(record, arrays)
    write_checkpoint(path, {n: a for n, a in arrays.items() if a is not None}, record)


@pytest.mark.parametrize("name", WRONG)
def test_what_no_run_writes(tmp_path, name, monkeypatch):
    change, message = WRONG[name]
    path = tmp_path / "step-00000006.safetensors"
    if "format" in name:
        monkeypatch.setattr("bertsent.training.checkpoint_file.FORMATS", (1, 3))
        write_changed(path, lambda record, arrays: None)
        monkeypatch.undo()
    else:
        write_changed(path, change)
    with pytest.raises(CheckpointError, match=f"(?s)step-00000006.safetensors is .*{message}"):
        checkpoints.Saved(path)


def test_what_a_run_writes(tmp_path):
    path = tmp_path / "step-00000006.safetensors"
    write_changed(path, lambda record, arrays: None)
    assert content(path)[3]["step"] == 6


@pytest.mark.parametrize(("size", "n_texts", "message"), [
    (SIZE - 1, TEXTS, "weights has 24 values of float32, and not 23"),
    (SIZE, TEXTS + 1, "20 training texts, and not 21"),
])  # fmt: skip
def test_what_does_not_fit(run, size, n_texts, message):
    with pytest.raises(CheckpointError, match=message):
        content(only_file(run), size, n_texts)


def no_file(path):
    path.mkdir()


def deep(path):
    text = json.dumps({"__metadata__": {"bertsent": "[" * 10**5, "crc32": "0" * 8}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    "spoil",
    [
        no_file, deep, os.mkfifo,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}"),
        lambda path: path.write_bytes((2).to_bytes(8, "little") + b"{}"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: write_changed(path, set_record("state", "position", 13)),
    ],
    ids=["directory", "nested", "pipe", "empty", "huge", "nothing", "link", "wrong"],
)
def test_the_one_before_is_taken(run, spoil):
    newest = run / "step-00000009.safetensors"
    spoil(newest)
    with pytest.warns(UserWarning, match=f"{newest.name} is .*; trying the one before"):
        assert read(run).state["step"] == 6


def test_one_that_cannot_be_removed_is_named(run):
    (run / "step-00000002.safetensors").mkdir()
    rng = np.random.default_rng(0)
    with checkpoints.RunStore(run, 1, True) as store:
        store.seeds, store.run = Seeds(1, 2, 3, 4), RUN
        with pytest.warns(UserWarning, match="00000002.safetensors could not be removed"):
            store.save(make_state(rng), rng.normal(size=SIZE).astype(np.float32))
    assert read(run).state["step"] == 6


# --- format 1, whose checksum covers the arrays alone ---------------------------------------

SIZE_0_1, TEXTS_0_1 = 7936, 36
# Numbers on which nothing else in the file depends.
UNPROVEN = ("loss", "accuracy", "seconds", "used", "weight", "hits", "tokens", "validation")
EDITS_0_1 = {
    "step": (rb'"step\": 7', rb'"step\": 6'),
    "epoch": (rb'"epoch\": 1, \"position', rb'"epoch\": 0, \"position'),
    "position": (rb'"position\": 16', rb'"position\": 24'),
    "since": (rb'"since\": 0', rb'"since\": 1'),
    "seeds": (rb'"seeds\": [2', rb'"seeds\": [3'),
    "epochs": (rb'"epochs\": 2', rb'"epochs\": 1'),
    "stopped": (rb'"finished\": false', rb'"finished\": true '),
    "a column": (rb'"accuracy', rb'"accuraci'),
    "machine": (rb'"machine', rb'"machime'),
    **{name: edit for name, edit in EDITS.items() if name.startswith(("a name of an", "a type"))},
    "shape": (b'"shape":[7936]', b'"shape":[7937]'),
    "offsets": (b'"data_offsets":[0', b'"data_offsets":[4'),
}


@pytest.fixture
def old(tmp_path):
    """The path of a checkpoint of format 1."""
    return Path(shutil.copy(SAVED_0_1 / "step-00000007.safetensors", tmp_path))


@pytest.mark.parametrize("name", EDITS_0_1)
def test_an_edit_of_format_1_is_found(old, name):
    edit(old, *EDITS_0_1[name])
    with pytest.raises(CheckpointError, match=f"{old.name} is damaged"):
        checkpoints.Saved(old)


def test_swapped_moments_of_format_1_are_found(old):
    swap(old, b"exp_avg", b"exp_avg_sq")
    with pytest.raises(CheckpointError, match="exp_avg_sq has values that training cannot produce"):
        checkpoints.Saved(old)


def leaves(value, name=""):
    """All values inside another one, by name."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, part in pairs for k, v in leaves(part, f"{name}.{key}").items()}
    return {name: value}


def test_every_flipped_byte_of_format_1(old):
    """Damage is found, unless it changed a number on which nothing else in the file depends."""
    data = old.read_bytes()
    whole = content(old, SIZE_0_1, TEXTS_0_1)
    found = passed = 0
    for place in range(header_size(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 5
        old.write_bytes(spoilt)
        try:
            got = content(old, SIZE_0_1, TEXTS_0_1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                checkpoints.Saved(old).check(whole[1])
        except CheckpointError as error:
            assert old.name in str(error)
            found += 1
            continue
        passed += 1
        assert (got[0], got[4]) == (whole[0], whole[4])
        before, after = leaves(whole[3]), leaves(got[3])
        assert before.keys() == after.keys()
        changed = [name for name in before if before[name] != after[name]]
        assert all(any(word in name for word in UNPROVEN) for name in changed), changed
    assert found > 10 * passed


def test_every_length_of_format_1_is_found(old):
    data = old.read_bytes()
    for length in [*range(header_size(data)), *range(header_size(data), len(data), 999)]:
        os.truncate(old, 0)
        old.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            checkpoints.Saved(old)


@pytest.mark.parametrize("content", [None, b"the user's own"], ids=["nothing", "a file"])
def test_a_link_does_not_choose_what_is_written(run, tmp_path, content):
    """A run may come from strangers, and a link in it from them."""
    outside = tmp_path / "outside"
    if content is not None:
        outside.write_bytes(content)
    path = only_file(run)
    path.unlink()
    path.symlink_to(outside)
    rng = np.random.default_rng(0)
    with checkpoints.RunStore(run, 1, True) as store:
        store.seeds, store.run = Seeds(1, 2, 3, 4), RUN
        store.save(make_state(rng), rng.normal(size=SIZE).astype(np.float32))
    assert not path.is_symlink() and read(run).state["step"] == 6
    assert (outside.read_bytes() if content else outside.exists()) == (content or False)
