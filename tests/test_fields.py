"""JSON files and arrays of models: whatever they contain, the error names file and key."""

import contextlib
import io
import json
import math
import os
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st
from safetensors.numpy import save_file

from bertsent.errors import CheckpointError
from bertsent.files import (
    Field,
    hold_directory,
    largest_id,
    mapping_error,
    open_regular,
    parse_json,
    read_array,
    read_bytes,
    read_json,
    read_text,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "settings.json"


@pytest.mark.parametrize("content, said", {
    "nothing": (b"", "not valid JSON"),
    "not JSON": (b"{epochs: 3}", "not valid JSON"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "is a web page"),
    "a bare web page": (b"<HTML><body>log in</body></HTML>", "is a web page"),
    "two objects": (b"{}{}", "not valid JSON"),
    "a list": (b"[1]", "does not contain a JSON object"),
    "a number": (b"7", "does not contain a JSON object"),
    "null": (b"null", "does not contain a JSON object"),
    "Latin-1": ('{"a": "é"}'.encode("latin1"), "not UTF-8: .* at byte 7"),
    "UTF-16": ('{"a": "é"}'.encode("utf-16"), "not UTF-8"),
    "an encoded surrogate": (b'{"a": "\xed\xa0\xbd"}', "not UTF-8"),
    "a byte order mark": (b'\xef\xbb\xbf{"a": 1}', "BOM"),
    "a lone surrogate": (rb'{"a": [1, {"b": "x\ud83d"}]}', "half of a surrogate pair"),
    "a lone surrogate as key": (rb'{"a": {"\uDE00": 1}}', "half of a surrogate pair"),
    "surrogates in the wrong order": (rb'{"a": "\ude00\ud83d"}', "half of a surrogate pair"),
    "a key twice": (b'{"a": {"b": 1, "c": 2, "b": 3}}', "has the key 'b' twice"),
    "a number of many digits": (b'{"a": ' + b"9" * 5000 + b"}", "a number has 5,000 digits"),
    "a deep list": (b'{"a": ' + b"[" * 90 + b"]" * 90 + b"}", "nested too deeply"),
    "a deep object": (b'{"a":' * 90 + b"1" + b"}" * 90, "nested too deeply"),
    "a list too deep for Python": (b'{"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", "too deeply"),
    "millions of lists": (b'{"a": [' + b"[]," * 10**6 + b"0]}", "more than 1,000,000 lists"),
    "millions of objects": (b'{"a": [' + b"{}," * 10**6 + b"0]}", "more than 1,000,000 lists"),
    "an open list too deep for Python": (b'{"a": ' + b"[" * 10**5, "too deeply|not valid JSON"),
}.values())
def test_content_that_cannot_be_used_is_named(path, content, said):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=said) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400
    str(caught.value).encode("utf-8")


def test_content_that_can_be_used_is_as_it_was(path):
    content = {"text": "naïve 😀", "deep": [[[[{"a": [None, True, 0.5, -3, 10**30]}]]]], "": {}}
    for escape in (True, False):
        path.write_text(json.dumps(content, ensure_ascii=escape), encoding="utf-8")
        assert read_json(path).value == content
    path.write_text('{"loss": NaN}')
    assert math.isnan(read_json(path)["loss"].value)


def make_pipe(path):
    os.mkfifo(path)


def link_to(target):
    return lambda path: path.symlink_to(target)


@pytest.mark.parametrize("make, said", {
    "a pipe": (make_pipe, "a pipe or a device"),
    "a directory": (lambda path: path.mkdir(), "a directory"),
    "a link to itself": (link_to("settings.json"), "cannot be opened"),
    "a link below a file": (link_to(f"{__file__}/x"), "cannot be opened"),
    "a name that is too long": (link_to("x" * 256), "cannot be opened"),
}.values())
@pytest.mark.parametrize("read", [read_json, read_bytes, read_text, open_regular])
def test_what_is_no_file_is_not_opened(path, make, said, read):
    make(path)
    with pytest.raises(CheckpointError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_device_is_not_opened(path):
    """Reading from a terminal waits for ever; others have no end."""
    ours, theirs = os.openpty()
    try:
        path.symlink_to(os.ttyname(theirs))
        with pytest.raises(CheckpointError, match="settings.json is a pipe or a device"):
            read_json(path)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_name_that_no_file_can_have_is_named():
    with pytest.raises(CheckpointError, match="cannot be opened"):
        read_bytes("a\0b")


def test_a_missing_file_is_missing(path):
    with pytest.raises(FileNotFoundError, match="settings.json"):
        read_json(path)
    path.symlink_to("nothing.json")
    with pytest.raises(FileNotFoundError, match="settings.json"):
        read_json(path)


def test_links_as_in_the_cache_of_the_hub_are_followed(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0ff1ce").write_text('{"a": 1}')
    (tmp_path / "snapshots" / "1a2b").mkdir(parents=True)
    link = tmp_path / "snapshots" / "1a2b" / "config.json"
    link.symlink_to("../../blobs/0ff1ce")
    assert read_json(link).value == {"a": 1}
    (link.parent / "same.json").symlink_to("config.json")
    assert read_json(link.parent / "same.json").value == {"a": 1}


@pytest.mark.parametrize("target", ["../secret", "{absolute}", "../model-2/secret", "up/secret"])
@pytest.mark.parametrize("held", [True, False])
def test_links_that_lead_out_are_refused(tmp_path, target, held):
    """Otherwise, a model could contain a file of the user, who passes it on with the model."""
    for folder in (tmp_path, tmp_path / "model-2"):
        folder.mkdir(exist_ok=True)
        (folder / "secret").write_text('{"a": 1}')
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "up").symlink_to("..")
    link = tmp_path / "model" / "config.json"
    link.symlink_to(target.format(absolute=tmp_path / "secret"))
    hold = hold_directory(link.parent) if held else contextlib.nullcontext()
    with hold, pytest.raises(CheckpointError, match="config.json is a link that leads out"):
        read_json(link)
    # The directory itself may be a link.
    (tmp_path / "model" / "plain.json").write_text('{"b": 2}')
    (tmp_path / "alias").symlink_to("model")
    assert read_json(tmp_path / "alias" / "plain.json").value == {"b": 2}


def test_a_large_file_is_not_read(path):
    with open(path, "wb") as file:
        file.truncate(10**13)
    with pytest.raises(CheckpointError, match="settings.json is larger than 32 MiB"):
        read_json(path)
    path.write_bytes(b"12345")
    assert read_bytes(path, most=5) == b"12345"
    with pytest.raises(CheckpointError, match="is larger than"):
        read_bytes(path, most=4)


def test_a_file_that_says_it_is_empty_is_read_up_to_the_limit():
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(CheckpointError, match="is larger than"):
        read_bytes("/proc/self/status", most=10)


# --- fields -----------------------------------------------------------------------------------

CONTENT = Field({
    "text": "a", "whole": 7, "real": 0.5, "flag": True, "null": None, "list": [1, "b"],
    "table": {"inner": [{"x": 1}]}, "inf": math.inf, "nan": math.nan, "huge": 10**400,
    "negative": -1, "odd key": {"": 1}, "many": list(range(1000)),
}, "dir/settings.json")


@pytest.mark.parametrize("take, said", [
    (lambda: CONTENT["whole"].text(), "whole must be a text, got 7"),
    (lambda: CONTENT["text"].text("b", "c"), "text must be 'b' or 'c', got 'a'"),
    (lambda: CONTENT["flag"].whole(), "flag must be a whole number of at least 0, got True"),
    (lambda: CONTENT["real"].whole(), "real must be a whole number"),
    (lambda: CONTENT["negative"].whole(), "negative must be a whole number of at least 0"),
    (lambda: CONTENT["whole"].whole(1, 6), "whole must be a whole number from 1 to 6, got 7"),
    (lambda: CONTENT["huge"].whole(), "huge must be a whole number of at least 0, got 1000"),
    (lambda: CONTENT["huge"].number(), "huge must be a number, got 1000"),
    (lambda: CONTENT["inf"].number(), "inf must be a number, got inf"),
    (lambda: CONTENT["nan"].number(0, 1), "nan must be a number of at least 0 and at most 1"),
    (lambda: CONTENT["flag"].number(), "flag must be a number, got True"),
    (lambda: CONTENT["text"].number(), "text must be a number, got 'a'"),
    (lambda: CONTENT["whole"].number(0, 1), "whole must be a number of at least 0 and at most 1"),
    (lambda: CONTENT["whole"].flag(), "whole must be true or false, got 7"),
    (lambda: CONTENT["null"].flag(), "null must be true or false, got None"),
    (lambda: CONTENT["text"].items(), "text must be a list, got 'a'"),
    (lambda: CONTENT["list"].items(3), "list must be a list of 3\\+ items"),
    (lambda: CONTENT["many"].items(0, 16), "many must be a list of 0 to 16 items"),
    (lambda: CONTENT["list"].items(3, 3), "list must be a list of 3 items"),
    (lambda: CONTENT["list"].items()[1].whole(), r"list\[1\] must be a whole number"),
    (lambda: CONTENT["list"].entries(), "list must be a JSON object"),
    (lambda: CONTENT["list"]["a"], "list must be a JSON object"),
    (lambda: CONTENT["null"].get("a"), "null must be a JSON object, got None"),
    (lambda: "a" in CONTENT["null"], "null must be a JSON object, got None"),
    (lambda: CONTENT["other"], "settings.json is incomplete: it has no other"),
    (lambda: CONTENT["table"]["other"], "it has no table.other"),
    (lambda: CONTENT["table"]["inner"].items()[0]["x"].text(), r"table.inner\[0\].x must be"),
    (lambda: CONTENT["odd key"][""].text(), r"\['odd key'\]\[''\] must be a text"),
    (lambda: CONTENT.get("absent").whole(), "absent must be a whole number"),
])
def test_a_wrong_value_is_named(take, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        take()
    assert str(caught.value).startswith("dir/settings.json")
    assert len(str(caught.value)) < 300


def test_right_values_are_returned():
    assert CONTENT["text"].text("a", "b") == "a"
    assert CONTENT["whole"].whole(7, 7) == 7
    assert CONTENT["negative"].whole(-1) == -1
    assert CONTENT["whole"].number() == 7.0 and type(CONTENT["whole"].number()) is float
    assert CONTENT["real"].number(0.5, 0.5) == 0.5
    assert CONTENT["flag"].flag() is True
    assert [item.value for item in CONTENT["list"].items(2, 2)] == [1, "b"]
    assert list(CONTENT["table"].entries()) == ["inner"]
    assert CONTENT.get("absent", 3).whole() == 3
    assert "absent" not in CONTENT and "null" in CONTENT
    assert CONTENT["null"].value is None


def test_a_large_value_is_shortened():
    value = [{"x" * 50 + str(i): "y" * 100 for i in range(9)} for _ in range(9)]
    with pytest.raises(CheckpointError, match="^a.json: key must be a text, got ") as caught:
        Field({"key": value}, "a.json")["key"].text()
    assert len(str(caught.value)) < 250


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_every_value_is_taken_or_named(value):
    """No method raises anything but our error, whatever the value."""
    field = Field({"key": value}, "file.json")["key"]
    for take in (
        field.text, field.whole, field.number, field.flag, field.items, field.entries,
        lambda: field["a"], lambda: field.get("a"),
    ):
        try:
            take()
        except CheckpointError as error:
            assert "file.json" in str(error) and "key" in str(error)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_every_content_is_parsed_or_named(content):
    try:
        assert isinstance(parse_json(content, "file.json").value, dict)
    except CheckpointError as error:
        assert "file.json" in str(error)


def test_the_largest_id_grows_with_the_tokens():
    assert largest_id(0) < 10**6 and largest_id(30_000) >= 300_000


# --- arrays -----------------------------------------------------------------------------------


def saved(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def read(content, dtypes=("<u8",), ndim=1, size=None):
    size = len(content) if size is None else size
    return read_array(io.BytesIO(content), size, "dir/a.npy", dtypes, ndim)


@pytest.mark.parametrize("array", [
    np.arange(5, dtype=np.uint64), np.empty(0, np.uint64), np.eye(3, 2, dtype=np.float32),
    np.empty((0, 4), np.float32), np.array(3.0, np.float32),
])
def test_arrays_that_numpy_saved_are_read(array):
    found = read(saved(array), (array.dtype.str,), array.ndim)
    assert found.dtype == array.dtype and found.shape == array.shape
    assert np.array_equal(found, array)
    found[...] = 1  # not read-only


WHOLE = saved(np.arange(5, dtype=np.uint64))


def claiming(shape):
    """The file with another shape in its header, whose length stays the same."""
    before, after = WHOLE.split(b"(5,), }")
    new = shape + b", }"
    return before + new + after[len(new) - len(b"(5,), }"):]


@pytest.mark.parametrize("content, said", {
    "nothing": (b"", "not a NumPy array"),
    "text": (b"hashes: 1, 2, 3", "not a NumPy array"),
    "another version": (WHOLE.replace(b"Y\x01", b"Y\x03"), "not a NumPy array"),
    "a cut header": (WHOLE[:40], "header"),
    "an open bracket": (claiming(b"(5, "), "header"),
    "an open string": (WHOLE.replace(b"'fortran", b"'''ortra"), "header"),
    "a call": (claiming(b"f(5)"), "header"),
    "a negative size": (claiming(b"(-5,)"), "header"),
    "no sizes": (claiming(b"(,)"), "header"),
    "cut values": (WHOLE[:-1], "claims 5 values of 8 bytes, but has 39 bytes"),
    "more values": (WHOLE + b"12345678", "claims 5 values"),
    "a claim": (claiming(b"(%d,)" % 10**12), "claims 1000000000000 values of 8 bytes, but has 40"),
    "a claim beyond 64 bits": (claiming(b"(%d,)" % (10**18 - 1)), "claims 99999"),
    "a claim of thousands of digits": (claiming(b"(" + b"9" * 40 + b",)"), "header"),
    "another type": (saved(np.arange(5)), "values of type <i8"),
    "another order of bytes": (saved(np.arange(5, dtype=">u8")), "values of type >u8"),
    "objects": (saved(np.array([{}]), allow_pickle=True), r"values of type \|O|header"),
    "fields": (saved(np.zeros(2, [("a", "<u8")])), "header"),
    "two dimensions": (saved(np.zeros((2, 2), np.uint64)), "expected <u8 and 1 dimension"),
}.values())
def test_damaged_arrays_are_named(content, said):
    with pytest.raises(CheckpointError, match=said) as caught:
        read(content)
    assert "dir/a.npy" in str(caught.value)


def test_a_size_that_there_is_no_memory_for_is_named():
    with pytest.raises(MemoryError, match="more than there is memory for"):
        read(claiming(b"(%d,)" % 10**16), size=128 + 8 * 10**16)


@given(st.data())
def test_every_array_is_read_or_named(data):
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read(bytes(content)).shape == (5,)
    except CheckpointError as error:
        assert "dir/a.npy" in str(error)


# --- weights for which there is not enough memory ------------------------------------------


@pytest.mark.parametrize("more, kind, message", [
    (0, MemoryError, "there is not enough memory to read .*weights.safetensors"),
    (1 << 40, CheckpointError, r"weights.safetensors is damaged \(it has 109951\d+ bytes, but"),
    (-1, MemoryError, "there is not enough memory"),
])  # fmt: skip
def test_a_file_that_is_longer_than_it_says_is_damaged(tmp_path, more, kind, message):
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.zeros(5, np.float32), "b": np.zeros(3, np.float32)}, path)
    os.truncate(path, path.stat().st_size + more)
    error = mapping_error(path)
    assert type(error) is kind and re.search(message, str(error))


@pytest.mark.parametrize("content", [
    b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\1\0\0\0\0\0\0\0x",
])  # fmt: skip
def test_without_a_header_memory_was_short(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    assert type(mapping_error(path)) is MemoryError


@pytest.mark.parametrize("shift", [0, 1, 250, 499, 500, 501])
def test_a_long_number_is_found_anywhere(shift):
    for digits, fits in ((1000, True), (1001, False)):
        number, gap = b"9" * digits, b" " * shift
        content = b'{"a": ' + gap + b"[1, " + number + b'], "b": "' + b"1" * 99 + b'"}'
        if fits:
            assert parse_json(content, "x").value["b"] == "1" * 99
        else:
            with pytest.raises(CheckpointError, match="a number has 1,001 digits"):
                parse_json(content, "x")
