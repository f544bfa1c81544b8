"""Encodings: what is read, and errors that say where the file cannot be decoded and what to do."""

import bz2
import gzip
import json
import lzma

import pandas as pd
import pytest

from bertsent.errors import ReadingWarning
from bertsent.files import Dialect, find_source, readers
from bertsent.files.encodings import _BLOCK

TEXTS = ["naïve café", "映画 😀", "plain"]


def read(path, **dialect):
    frame = readers.read_table(find_source(path, Dialect(**dialect)))
    return frame.iloc[:, 0].tolist()


def write(path, encoding, texts=TEXTS, mark=b""):
    kind = path.suffixes[0]
    if kind == ".jsonl":
        lines = [json.dumps({"review": text}, ensure_ascii=False) for text in texts]
    else:
        lines = texts if kind == ".txt" else ["review", *texts]
    data = mark + ("\n".join(lines) + "\n").encode(encoding)
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    path.write_bytes(packed.get(path.suffix, bytes)(data))
    return path


def content(path):
    unpacked = {".gz": gzip.decompress, ".xz": lzma.decompress}
    return unpacked.get(path.suffix, bytes)(path.read_bytes())


def error_of(path, **dialect):
    with pytest.raises(ValueError) as caught:
        read(path, **dialect)
    assert str(caught.value).startswith(str(path))
    return str(caught.value).removeprefix(str(path))


MARKED = {"utf-8-sig": b"", "utf-16": b"", "utf-32": b"", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.csv.gz", "a.txt.xz"])
@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_tells_the_encoding(tmp_path, name, encoding):
    path = write(tmp_path / name, encoding, mark=MARKED[encoding])
    if encoding == "utf-8-sig":
        assert read(path) == TEXTS
    else:
        with pytest.warns(ReadingWarning, match="is read as UTF-.*byte order mark"):
            assert read(path) == TEXTS
    assert read(path, encoding=encoding) == TEXTS


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt", "a.csv.bz2"])
@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "shift_jis", "gb18030", "utf-16-le"])
def test_every_encoding_can_be_told(tmp_path, name, encoding):
    texts = {"cp1251": ["отзыв"], "shift_jis": ["映画"], "gb18030": ["电影 😀"]}
    texts = texts.get(encoding, ["un café"])
    assert read(write(tmp_path / name, encoding, texts), encoding=encoding) == texts


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt", "a.csv.gz", "a.jsonl.xz"])
def test_the_place_is_the_true_one_and_the_advice_works(tmp_path, name):
    # The bad byte is several buffers into the file.
    texts = ["line"] * (3 * _BLOCK // 5) + ["tr\xe8s bien", "caf\xe9"]
    path = write(tmp_path / name, "cp1252", texts)
    data = content(path)
    offset = next(place for place, byte in enumerate(data) if byte > 127)
    line = data[:offset].count(b"\n") + 1
    found = error_of(path)
    assert found.startswith(f", line {line:,}: byte 0xe8 at offset {offset:,}")
    assert ("uncompressed" in found) == (path.suffix in (".gz", ".xz"))
    assert "encoding='cp1252'" in found and "très bien" in found
    assert "errors='replace'" in found and "iconv" not in found
    assert read(path, encoding="cp1252") == texts
    assert read(path, errors="replace")[-2:] == ["tr\ufffds bien", "caf\ufffd"]


def test_a_character_across_buffers_is_no_error(tmp_path):
    texts = ["x" * (_BLOCK - 11) + "é", "\xff"]
    path = write(tmp_path / "a.txt", "utf-8", texts)
    assert read(path) == texts
    path.write_bytes(path.read_bytes().replace(b"\xc3\xbf", b"\xff"))
    assert error_of(path).startswith(f", line 2: byte 0xff at offset {_BLOCK - 8:,} is not UTF-8")


def test_the_encoding_that_is_proposed_reads_the_whole_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"caf\xe9\n" + b"line\n" * 50_000 + b"\x81\n")
    assert "encoding='latin-1'" in error_of(path)
    assert len(read(path, encoding="latin-1")) == 50_002
    assert "line 50,002: byte 0x81" in error_of(path, encoding="cp1252")


@pytest.mark.parametrize(
    ("data", "dialect", "message"),
    [
        ("review\ncafé\n".encode("utf-16-le"), {}, "like UTF-16 .*encoding='utf-16-le'"),
        ("review\ncafé\n".encode("utf-16-be"), {}, "encoding='utf-16-be'"),
        ("review\ncafé\n".encode("utf-16"), {"encoding": "cp1252"}, "mark of UTF-16.*leave out"),
        ("review\ncafé\n".encode("utf-16")[:-1], {"encoding": "utf-16"}, "ends within a char"),
        (b"review\ncaf\xc3", {}, "line 2: the file ends within a character"),
        (b"review\n\x93\xfa\n", {"encoding": "euc-jp"}, "line 2: byte 0x93 at offset 7 is not"),
        (gzip.compress(b"review\nx\n", mtime=0), {}, "is compressed by gzip; end its name in .gz"),
        (b"PAR1\x15\x00", {}, "is a Parquet file"),
        (b"PK\x03\x04....", {}, "is a .zip or .xlsx file"),
    ],
)
def test_files_that_are_not_what_they_seem(tmp_path, data, dialect, message):
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read(path, **dialect)


# --- halves of surrogate pairs ------------------------------------------------------------


@pytest.mark.parametrize("item", [{"review": "a \ud83d b"}, {"review": "a", "x": [{"y": "\udc00"}]},
                                  {"review": "a", "\udbff": 1}])
@pytest.mark.parametrize("array", [True, False])
def test_halves_of_surrogate_pairs_are_found_by_row(tmp_path, item, array):
    items = [{"review": "good \U0001f600"}] * 300 + [item]
    lines = list(map(json.dumps, items))
    path = tmp_path / "a.json"
    path.write_text("[" + ",\n".join(lines) + "]" if array else "\n\n".join(lines))
    found = error_of(path)
    assert "row 300 (counted from 0) has half of a surrogate pair" in found
    assert ("line 601" in found) != array
    assert "errors='replace'" in found
    frame = readers.read_table(find_source(path, Dialect(errors="replace")))
    assert frame["review"].iloc[0] == "good \U0001f600"
    assert "\ufffd" in str(frame.iloc[300].to_dict())
    frame.to_csv(tmp_path / "b.csv")  # so it can be written


def test_predict_finds_them_before_it_scores(tmp_path):
    from test_sources import label_rows

    lines = [json.dumps({"review": f"text {i}", "note": "x"}) for i in range(30)]
    lines[17] = '{"review": "fine", "note": "\\ud83d"}'
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    def predict(texts, *args, **options):
        raise AssertionError("scored before the whole file was looked through")

    with pytest.raises(ValueError, match=r"a.jsonl, line 18: row 17 .*'note'.*errors='replace'"):
        label_rows(tmp_path / "a.jsonl", tmp_path / "b.csv", predict, chunk_rows=4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]

    source = find_source(tmp_path / "a.jsonl", Dialect(errors="replace"))
    label_rows(source, tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv")["note"][17] == "\ufffd"


@pytest.mark.parametrize("start", ["\ufeffreview\n", "review\ncafé\n"])
def test_a_file_of_two_encodings_gets_no_advice_that_would_spoil_it(tmp_path, start):
    path = tmp_path / "a.csv"
    path.write_bytes(start.encode() + "café\n".encode("latin-1"))
    message = error_of(path)
    assert "several encodings" in message and "cp1252" not in message
    assert "errors='replace'" in message


def test_pointers_and_pages_are_no_data(tmp_path):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n"
    page = b"<!DOCTYPE html><html><body>Sign in</body></html>\n"
    for name in ("a.txt", "a.csv", "a.jsonl", "a.parquet", "a.xlsx"):
        for content, what in ((pointer, "Git LFS pointer"), (page, "web page")):
            (tmp_path / name).write_bytes(content)
            if name == "a.txt" and content is page:
                continue  # a text may be a page
            assert f"is a {what}" in error_of(tmp_path / name)
