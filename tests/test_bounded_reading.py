"""What a small file may take in memory, and how files are refused that stand for much more."""

import bz2
import gzip
import io
import json
import re
import tracemalloc
import zipfile

import pandas as pd
import pytest

from bertsent.files import Dialect, excel, find_source, json_rows, label_file, read_chunks
from bertsent.files.limits import CHUNK_CHARACTERS, MOST_CHARACTERS, MOST_COLUMNS


def read(path, rows=1000, **options):
    return list(read_chunks(find_source(path, Dialect(**options)), rows))


def rows_of(chunks):
    return [row for chunk in chunks for row in chunk.to_dict("records")]


# --- rows that are too large ----------------------------------------------------------------

LONG = b"a" * (MOST_CHARACTERS + 1)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.csv", b"text,label\nx,y\n" + LONG, "line 3: a row of more than 8,388,608 characters"),
    ("a.csv", LONG, "line 1: a line of more than"),
    ("a.csv", b'text\n"' + b"line\n" * (MOST_CHARACTERS // 5 + 1), "line 2: a row of more than"),
    ("a.tsv", b"text\tlabel\n" + LONG, "line 2: a row of more than"),
    ("a.txt", b"text\n\n" + LONG, "line 3: a line of more than"),
    ("a.jsonl", b'{"text": "x"}\n{"text": "' + LONG, "line 2: a line of more than"),
    ("a.json", b'[{"text": "x"},\n{"text": "' + LONG * 3, "line 2: an object of more than"),
])
def test_a_row_of_any_size_is_refused_by_its_line(tmp_path, name, content, said):
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(content, 1))
    assert path.stat().st_size < 200_000
    options = {"quoting": "minimal"} if name.endswith("sv") else {}
    with pytest.raises(ValueError, match=f"{name}.gz, {said}"):
        read(path, **options)


def test_a_row_of_the_largest_size_is_read(tmp_path):
    path = tmp_path / "a.csv"
    text = "a" * (MOST_CHARACTERS - 1)
    path.write_text(f"text\n{text}\n")
    assert rows_of(read(path)) == [{"text": text}]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt", "a.parquet"])
def test_chunks_of_large_rows_are_shorter(tmp_path, name):
    texts = [letter * (1 << 20) for letter in "abcdefghijklmnopqrstuvwxyz"]
    path, frame = tmp_path / name, pd.DataFrame({"text": texts})
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case ".json":
            frame.to_json(path, orient="records")
        case ".txt":
            path.write_text("\n".join(texts))
        case ".parquet":
            pytest.importorskip("pyarrow")
            frame.to_parquet(path)
    chunks = read(path, 40)
    # A chunk ends with the row that makes it full; Parquet is read by 64 rows.
    if name != "a.parquet":
        assert max(map(len, chunks)) <= (CHUNK_CHARACTERS >> 20) + 1 and len(chunks) > 1
    assert [row["text"] for row in rows_of(chunks)] == texts


def test_parquet_is_read_by_few_rows_if_they_are_large(tmp_path):
    """A text in a dictionary can stand in any number of rows."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 500), pa.array(["a" * (1 << 19)]))
    pq.write_table(pa.table({"text": text}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 10_000
    chunk = next(read_chunks(path, 500))
    assert len(chunk) == 64 and set(chunk["text"]) == {"a" * (1 << 19)}


def test_tables_that_are_too_wide_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("," * MOST_COLUMNS + "\n")
    with pytest.raises(ValueError, match=r"a.csv, line 1: 16,385 columns are too many"):
        read(path)


@pytest.mark.parametrize("as_array", [False, True])
def test_rows_whose_keys_all_differ_are_refused(tmp_path, as_array):
    """Each key would be a column with a cell in each row: 2,000 rows have 4 million cells."""
    items = [{f"key {number}": "text"} for number in range(2000)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(items) if as_array else "\n".join(map(json.dumps, items)))
    place = r": item 1,024 \(counted from 0\)" if as_array else ", line 1,025"
    with pytest.raises(ValueError, match=f"a.json{place}: there are more than 1,024 different"):
        read(path)


@pytest.mark.parametrize(("begin", "header"), [("text\n", True), ("", False)])
def test_empty_lines_are_only_counted(tmp_path, begin, header):
    path, count = tmp_path / "a.csv", 300_000
    path.write_text(begin + "\n" * count + "last\n")
    tracemalloc.start()
    try:
        chunks = [len(chunk) for chunk in read_chunks(
            find_source(path, Dialect(header=header)), 1000
        )]
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert sum(chunks) == count + 1


def test_zstandard_is_unpacked_piece_by_piece(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "a.csv.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"a\n" + bytes(200 << 20)))
    assert path.stat().st_size < 50_000
    tracemalloc.start()
    try:
        with find_source(path).files[0].opened() as content:
            assert content.read(3) == b"a\n\0"
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


# --- workbooks ------------------------------------------------------------------------------


def write_book(path, change):
    """Write a workbook of three rows, with changed parts."""
    openpyxl = pytest.importorskip("openpyxl")
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in (["text"], ["one"], ["two"]):
        book.active.append(row)
    book.save(file)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_workbook_that_stands_for_much_more_is_refused(tmp_path):
    def change(parts):
        parts["xl/styles.xml"] += b" " * (20 << 20)

    write_book(tmp_path / "a.xlsx", change)
    with pytest.raises(ValueError, match=r"a.xlsx is damaged or hostile: its .* bytes stand for"):
        read(tmp_path / "a.xlsx")


def test_a_row_beyond_the_last_one_of_excel_is_refused(tmp_path, monkeypatch):
    """openpyxl makes all the rows before it, a billion of them. They are not held in memory."""
    assert excel._LAST_ROW == 1_048_576
    monkeypatch.setattr(excel, "_LAST_ROW", 20_000)

    def change(parts):
        name = "xl/worksheets/sheet1.xml"
        assert b'r="3"' in parts[name]
        parts[name] = parts[name].replace(b'r="3"', b'r="1000000000"')

    write_book(tmp_path / "a.xlsx", change)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"a.xlsx: row 20,001 of the sheet is beyond the last"):
            read(tmp_path / "a.xlsx")
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_rows_that_a_sheet_leaves_out_are_empty(tmp_path):
    def change(parts):
        name = "xl/worksheets/sheet1.xml"
        for row in (3, 2, 1):
            parts[name] = parts[name].replace(b'"%d"' % row, b'"%d"' % (row * 3))

    write_book(tmp_path / "a.xlsx", change)
    texts = [row["text"] for row in rows_of(read(tmp_path / "a.xlsx"))]
    assert texts[2] is not None and texts[5] is not None
    assert texts[:2] + texts[3:5] == [None] * 4 and len(texts) == 6


# --- arrays of JSON -------------------------------------------------------------------------

ARRAYS = [
    '[{"a": "é\\u0041\\"", "b": [1, {"c": null}]}, {"a": 12345.5e3},\n{"a": true, "b": ""} ]\n',
    '\n  [ {"a":1}\n,\n{"a":-22}, {} ]', "[]", " [ \n ] ", '[{"a": "x"}]  \n\n',
]
NO_ARRAYS = [
    '[{"a": 1} {"a": 2}]', '[{"a": 1},]', '[{"a": 1}', "[", '[{"a": 1}, {"a": tru}]',
    '[{"a": 1}]\n[{"a": 2}]', '[\n{"a": 1},\n\n{"a" 2}]', '[{"a": "\x01"}]', '[{"a": 1}\n, ,]',
    '[{"a": 1}, {"a": "unfinished}]\n', '[{"a": 01}]', "[{'a': 1}]", '[{"a": 1}]x', '[{"a": nul',
]


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 16])
@pytest.mark.parametrize("text", ARRAYS)
def test_an_array_is_read_item_by_item(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr(json_rows, "_BLOCK", block)
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    items = json.loads(text)
    if not items:
        with pytest.raises(ValueError, match="has no rows"):
            read(path)
        return
    keys = dict.fromkeys(key for item in items for key in item)
    found = rows_of(read(path))
    pairs = zip(items, found, strict=True)
    assert [{key: row[key] for key in item} for item, row in pairs] == items
    assert list(found[0]) == list(keys)


@pytest.mark.parametrize("block", [1, 5, 1 << 16])
@pytest.mark.parametrize("text", NO_ARRAYS)
def test_what_is_no_array_is_refused_where_python_refuses_it(tmp_path, monkeypatch, text, block):
    monkeypatch.setattr(json_rows, "_BLOCK", block)
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    error = expected.value
    with pytest.raises(ValueError, match="not JSON") as found:
        read(path)
    assert f"a.json, line {error.lineno}: not JSON" in str(found.value)
    assert f"at column {error.colno}" in str(found.value)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_a_table_by_columns_is_refused_in_chunks_of_any_size(tmp_path, name, rows):
    path = tmp_path / name
    path.write_text('{"text": ["one", "two"], "label": [1, 2]}')
    with pytest.raises(ValueError, match="a.jsonl? has an array for each column"):
        read(path, rows)
    path.write_text('{"text": ["one", "two"]}\n{"text": ["three"]}')
    assert rows_of(read(path, rows)) == [{"text": ["one", "two"]}, {"text": ["three"]}]


@pytest.mark.parametrize("content", ["[" + "[]," * 200_000 + "[]]", "[1]\n" * 2])
def test_values_that_are_no_objects_are_not_all_read(tmp_path, monkeypatch, content):
    """A compressed file of some kilobytes can have hundreds of millions of them."""
    read_items = json_rows._Array._item
    count = 0

    def item(array):
        nonlocal count
        count += 1
        return read_items(array)

    monkeypatch.setattr(json_rows._Array, "_item", item)
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    said = "line 2: not JSON" if "\n" in content else "item 0 .* expected an object"
    with pytest.raises(ValueError, match=f"a.jsonl.*{said}"):
        read(path)
    assert count <= MOST_COLUMNS + 1


# --- what Parquet cannot store --------------------------------------------------------------


@pytest.mark.parametrize("values", [[2**63], [-(2**63) - 1], [1, 10**30], [{}], [[1], {"a": 1}]])
@pytest.mark.parametrize("chunk_rows", [1, 10])
def test_values_that_parquet_cannot_store_are_an_error_before_any_work(
    tmp_path, values, chunk_rows
):
    pytest.importorskip("pyarrow")
    path, target = tmp_path / "a.jsonl", tmp_path / "out.parquet"
    rows = [{"text": "x", "id": value} for value in values]
    path.write_text("\n".join(map(json.dumps, rows)))

    def predict(texts, report=None, decimals=None):
        raise AssertionError("nothing is to be predicted")

    line = len(values)
    with pytest.raises(ValueError, match=(
        r"out.parquet: column 'id' cannot be written as Parquet because of the value in .*a.jsonl, "
        rf"line {line}: row {line - 1} .*JSON"
    )):
        label_file(
            predict, ("label",), path, target, text_column="text", possible=(), verbose=0,
            chunk_rows=chunk_rows,
        )
    assert not target.exists()


def test_a_column_that_parquet_cannot_store_is_named(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "number": 9223372036854775808}\n')
    with pytest.raises(ValueError, match=r"out.parquet: column 'number' cannot be written"):
        label_file(
            lambda texts, report, decimals: {"label": texts}, ("label",), path,
            tmp_path / "out.parquet", text_column="text", possible=(), verbose=0,
        )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "csv.gz"])
def test_a_date_that_text_cannot_store_is_an_error_before_any_work(tmp_path, suffix):
    """Python knows the years 1 to 9999."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    dates = pa.array([0, 7 * 10**17], pa.int64()).cast(pa.timestamp("us"))
    path, target = tmp_path / "a.parquet", tmp_path / f"out.{suffix}"
    pq.write_table(pa.table({"text": ["x", "y"], "date": dates}), path)

    def predict(texts, report=None, decimals=None):
        assert target.suffix == ".parquet", "nothing is to be predicted"
        return {"label": texts}

    with pytest.raises(ValueError, match=(
        r"a.parquet: row 1 \(counted from 0\) has a value in column 'date' that no text format"
    )):
        label_file(predict, ("label",), path, target, text_column="text", possible=(), verbose=0)
    target = tmp_path / "out.parquet"
    label_file(predict, ("label",), path, target, text_column="text", possible=(), verbose=0)
    assert pq.read_table(target)["date"].combine_chunks().equals(dates)


def test_rows_that_a_parquet_file_lacks_are_missed(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x", "y", "z"]}), path)
    data = path.read_bytes()
    # The number of rows is a field of the description at the end: its type, and twice the number.
    for place in re.finditer(b"\x16\x06", data):
        path.write_bytes(data[:place.start()] + b"\x16\x08" + data[place.end():])
        if pq.ParquetFile(path).metadata.num_rows == 4:
            break
    with pytest.raises(ValueError, match=r"a.parquet .* should have 4 rows, but 3 can be read"):
        read(path)


def test_a_damaged_dictionary_in_parquet_is_refused(tmp_path, monkeypatch):
    """As pyarrow reads some damaged files. It cannot write such a file."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 4]), pa.array(["x"]), safe=False)
    batch = pa.RecordBatch.from_arrays([texts], names=["text"])
    pq.write_table(pa.table({"text": ["x", "y"]}), tmp_path / "a.parquet")
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda *_, **options: iter([batch]))
    with pytest.raises(ValueError, match=r"a.parquet cannot be read as Parquet: .*out.of.bounds"):
        read(tmp_path / "a.parquet")


def test_bzip2_of_one_line_is_refused(tmp_path):
    path = tmp_path / "a.txt.bz2"
    path.write_bytes(bz2.compress(LONG))
    with pytest.raises(ValueError, match=r"a.txt.bz2, line 1: a line of more than"):
        read(path)
