"""What data can be read from: compressed files, folders, patterns, streams, and all formats."""

import bz2
import contextlib
import datetime
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import threading
import zipfile

import numpy as np
import pandas as pd
import pytest

from bertsent.cli import main
from bertsent.errors import ReadingWarning
from bertsent.files import Dialect, find_source, hash_data, label_file, parquet_schema, readers

CSV = b"review,n\ngood,1\nbad,2\n"
ROWS = [["good", "1"], ["bad", "2"]]


def read(source, **dialect):
    frame = readers.read_table(find_source(source, Dialect(**dialect)))
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(*members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return packed.getvalue()


def packed(data, kind):
    if kind == "zip":
        return zipped(("data.csv", data))
    if kind == "zst":
        return pytest.importorskip("zstandard").compress(data)
    if kind == "gz":  # without the time, which would be part of tests' names
        return gzip.compress(data, mtime=0)
    return {"bz2": bz2.compress, "xz": lzma.compress}[kind](data)


PACKED = ["gz", "bz2", "xz", "zst", "zip"]


def label(texts, *args, **options):
    """Stand in for a model."""
    return {"label": list(map(len, texts))}


def label_rows(source, target, predict=label, **options):
    """Label the column "review" of a file."""
    options = {"text_column": "review", "possible": (), "verbose": 0} | options
    return label_file(predict, ("label",), source, target, **options)


# --- compressed files ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", PACKED)
def test_compressed_files_are_read(tmp_path, kind):
    path = write(tmp_path / f"a.csv.{kind}", packed(CSV, kind))
    assert read(path) == ROWS
    label_rows(path, tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv")["label"].tolist() == [4, 3]
    assert hash_data(path) != hash_data(write(tmp_path / "a.csv", CSV))
    if kind != "zip":
        parts = [packed(CSV[:11], kind), packed(CSV[11:], kind)]  # as programs in parallel write
        assert read(write(path, b"".join(parts))) == ROWS


def random_csv():
    rng = np.random.default_rng(0)
    rows = [f"film {number},{number % 2}" for number in rng.integers(0, 2**60, 20_000)]
    return "review,n\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize("kind", PACKED)
def test_damaged_archives_are_named(tmp_path, kind):
    whole = packed(random_csv().encode(), kind)
    # Flips of single bytes in Zstandard are only noticed if the file has a checksum.
    broken = [whole[:-9], whole[: len(whole) // 2], b"\0 no archive", packed(b"", kind)]
    if kind != "zst":
        flipped = bytearray(whole)
        flipped[len(whole) // 3] ^= 255
        broken.append(bytes(flipped))
    for content in broken:
        path = write(tmp_path / f"a.csv.{kind}", content)
        with pytest.raises(ValueError, match=f"a.csv.{kind} is (damaged or cut short|empty)"):
            read(path)
    write(path, b"")
    with pytest.raises(ValueError, match="is empty"):
        read(path)


@pytest.mark.parametrize(("header", "places"), [
    (b"PK\x01\x02", {6: 99}),  # a version of the format that Python does not know
    (b"PK\x01\x02", {9: 8, 46: 0xAF}),  # names in UTF-8, which this one is not
    (b"PK\x03\x04", {7: 8, 30: 0xAF}),
])
def test_a_damaged_zip_archive_is_named(tmp_path, header, places):
    content = bytearray(zipped(("data.csv", CSV)))
    start = content.index(header)
    for place, byte in places.items():
        content[start + place] = byte
    path = write(tmp_path / "a.csv.zip", bytes(content))
    with pytest.raises(ValueError, match="a.csv.zip is damaged or cut short"):
        read(path)


def test_the_file_in_a_zip_archive_is_found(tmp_path):
    write(tmp_path / "archive.zip", zipped(("IMDB Dataset.csv", CSV)))
    assert read(tmp_path / "archive.zip") == ROWS
    members = [("data/", b""), ("data/a.csv", CSV), ("__MACOSX/data/._a.csv", b"\0"),
               ("data/.DS_Store", b"\0")]
    assert read(write(tmp_path / "b.csv.zip", zipped(*members))) == ROWS
    tabs = zipped(("a.tsv", CSV.replace(b",", b"\t")))
    assert read(write(tmp_path / "c.zip", tabs)) == ROWS
    assert read(write(tmp_path / "d.csv.zip", zipped(("data", CSV)))) == ROWS


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("a.zip", [], "contains no file"),
        ("a.zip", [("a.csv", CSV), ("b.csv", CSV)], r"2 files \(a.csv, b.csv\); unpack it"),
        ("a.zip", [("a.parquet", b"PAR1")], "contains a.parquet; unpack it first"),
        ("a.csv.zip", [("a.csv.gz", gzip.compress(CSV))], "contains a.csv.gz; unpack it"),
        ("a.zip", [("data", CSV)], "contains data; unpack it"),
        ("a.csv.zip", [("a.csv", b"")], "is empty"),
    ],
)
def test_zip_archives_without_one_data_file_are_refused(tmp_path, name, members, message):
    path = write(tmp_path / name, zipped(*members))
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.xls", "save this table as .xlsx or .csv"),
        ("a.parquet.gz", "unpack this file; a.parquet can be read"),
        ("a.csv.tar.gz", "is an archive; unpack it"),
        ("a.tgz", "is an archive; unpack it"),
        ("a.7z", "is an archive; unpack it"),
        ("a.csv.lz4", "is compressed in a way that is not read; unpack it"),
        ("a.arrow", r"to_parquet"),
        ("a.feather", r"to_parquet"),
        ("a.pkl", r"to_parquet"),
        ("a.dta", r"to_parquet"),
        ("a.sqlite", r"read_sql"),
        ("a", "for instance with format='csv'"),
    ],
)
def test_unknown_formats_are_refused_with_what_to_do(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        find_source(write(tmp_path / name, b"x"))


@pytest.mark.parametrize("library", ["zstandard", "openpyxl"])
def test_missing_libraries_are_named(tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    name, extra = {"zstandard": ("a.csv.zst", "zstd"), "openpyxl": ("a.xlsx", "excel")}[library]
    with pytest.raises(ImportError, match=rf"need {library}: pip install 'bertsent\[{extra}\]'"):
        read(write(tmp_path / name, b"PK" if library == "openpyxl" else b"\x28\xb5\x2f\xfd"))


# --- several files ------------------------------------------------------------------------


@pytest.fixture
def parts(tmp_path):
    """A folder of parts, as Spark writes one."""
    folder = tmp_path / "parts"
    write(folder / "part-1.csv", "review,n\na,1\nb,2\n")
    write(folder / "part-2.csv.gz", gzip.compress(b"n,review\n3,c\n,d\n"))
    write(folder / "part-3.csv", "review,n\n")
    write(folder / "_SUCCESS", "")
    write(folder / ".part-1.csv.crc", "x")
    return folder


def test_a_folder_is_read_as_one_table(parts, tmp_path):
    assert read(parts) == [["a", "1"], ["b", "2"], ["c", "3"], ["d", None]]
    assert read(parts / "*.csv") == [["a", "1"], ["b", "2"]]
    assert read(tmp_path / "**" / "*.gz") == [["3", "c"], [None, "d"]]
    chunks = list(readers.read_chunks(parts, 3))
    assert [chunk.index.tolist() for chunk in chunks] == [[0, 1], [2, 3]]
    label_rows(parts, tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv")["label"].tolist() == [1] * 4


def test_rows_are_named_by_their_file(parts):
    source = find_source(parts)
    with pytest.raises(ValueError, match=r"part-2.csv.gz, line 3: row 1 .* has an empty"):
        readers.read_rows(source, {"text_column": "review", "label_column": "n"}, "error")
    write(parts / "part-4.csv", "review,n\na\n")
    with pytest.raises(ValueError, match="part-4.csv, line 2: 1 cell"):
        read(parts)


def test_the_hash_of_several_files_follows_names_and_contents(parts):
    first = hash_data(parts)
    assert first == hash_data(f"{parts}/p*")
    (parts / "part-1.csv").rename(parts / "part-0.csv")
    second = hash_data(parts)
    write(parts / "part-0.csv", "review,n\nA,1\nb,2\n")
    assert len({first, second, hash_data(parts)}) == 3


def test_files_that_do_not_go_together_are_named(parts, tmp_path):
    write(parts / "notes.md", "x")
    with pytest.warns(ReadingWarning, match="read from 3 files; notes.md is left out"):
        assert len(read(parts)) == 4
    other = write(parts / "part-5.csv", "review,score\na,1\n")
    with pytest.raises(ValueError, match="part-5.csv has no column 'n', unlike .*part-1.csv"):
        read(f"{parts}/*.csv")
    other.unlink()
    write(parts / "rows.jsonl", "{}")
    with pytest.raises(ValueError, match=r"several formats.*part-1.csv and .*rows.jsonl.*\*.csv'"):
        read(parts)
    write(tmp_path / "texts" / "1.txt", "one")
    write(tmp_path / "texts" / "2.txt", "two")
    with pytest.raises(ValueError, match="2 .txt files. A .txt file is read as one text a line"):
        read(tmp_path / "texts")


def test_folders_and_patterns_without_data(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file matches this pattern"):
        find_source(tmp_path / "*.csv")
    write(tmp_path / "data" / "train-0.parquet", "x")
    with pytest.raises(ValueError, match=r"no data files. For those in .*data/\*.parquet'"):
        find_source(tmp_path)
    with pytest.raises(ValueError, match="the name of the data is empty"):
        find_source("")
    with pytest.raises(FileNotFoundError, match="not downloaded"):
        find_source("https://example.com/a.csv")


def test_a_name_with_signs_of_a_pattern_is_a_name_if_it_exists(tmp_path):
    assert read(write(tmp_path / "a[1].csv", CSV)) == ROWS


def test_names_that_are_not_utf8_are_shown_by_their_bytes(tmp_path, model):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")
    rows = [f"good {i},positive\nbad {i},negative\n" for i in range(20)]
    with open(path, "w") as file:
        file.write("review,sentiment\n" + "".join(rows))
    assert str(find_source(path)) == f"{tmp_path}/caf\\xe9.csv"
    assert hash_data(path) == hash_data(f"{tmp_path}/caf*.csv")
    code = main(["train", path, "--model", str(model), "--epochs", "1", "--max-length", "16",
                 "--output", str(tmp_path / "out")])
    assert code == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["data"]["source"].endswith(
        "caf\\xe9.csv"
    )


def test_a_folder_of_texts_that_cannot_be_read_is_an_error(tmp_path):
    """In the layout of the IMDB reviews."""
    (tmp_path / "pos").mkdir()
    with pytest.raises(ValueError, match="not an aclImdb folder: .*/neg is missing"):
        read(tmp_path)
    (tmp_path / "neg").mkdir()
    with pytest.raises(ValueError, match=r"contains no texts \(pos/\*.txt, neg/\*.txt\)"):
        read(tmp_path)
    (tmp_path / "neg" / "1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"/neg/1.txt is not UTF-8 \(.*\); pass encoding, or "):
        read(tmp_path)
    assert read(tmp_path, encoding="latin-1") == [["café", "negative", "", "neg/1.txt"]]


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "a.csv", CSV)
    assert read("~/a.csv") == read("~/*.csv") == ROWS


# --- streams ------------------------------------------------------------------------------


def test_a_pipe_is_read_twice(tmp_path):
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    thread = threading.Thread(target=write, args=(pipe, CSV))
    thread.start()
    with contextlib.closing(find_source(pipe)) as source:
        thread.join()
        label_rows(source, tmp_path / "b.csv")
    assert pd.read_csv(tmp_path / "b.csv")["label"].tolist() == [4, 3]
    with pytest.raises(ValueError, match="not a regular file"):
        find_source("/dev/null", Dialect(format="csv"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from conftest import write_tiny_model
    from test_classifier import make_texts

    import bertsent

    folder = tmp_path_factory.mktemp("model")
    classifier = bertsent.BertClassifier(
        write_tiny_model(folder / "tiny"), max_length=16, epochs=1, random_state=0
    )
    classifier.fit(*make_texts(32)).save_pretrained(folder / "model")
    return folder / "model"


@pytest.fixture
def predict(model, monkeypatch, capsys):
    """Return a function that runs the command with data on its standard input."""

    def run(data, *flags):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = main(["predict", str(model), "-", *flags])
        found = capsys.readouterr()
        return code, found.out.splitlines(), found.err

    return run


def test_a_pipe_of_a_shell(model):
    found = subprocess.run(
        [sys.executable, "-m", "bertsent", "predict", model, "-", "--format", "txt"],
        input=b"a film\nbad\n", capture_output=True, timeout=120,
    )
    assert found.returncode == 0 and not found.stderr
    assert len(found.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("data", "flags", "columns", "told"),
    [
        (b"a film\nbad\n", [], "text", "read as one text a line"),
        (b"id,review\n1,a film\n2,bad\n", [], "id,review", "read as CSV"),
        (b"id\tbody\n1\ta film\n2\tbad\n", ["--text-column", "body"], "id,body", "read as TSV"),
        (b'{"review": "a film"}\n{"review": "bad"}\n', [], "review", "read as JSON"),
        (packed(b"body\na film\nbad\n", "gz"), ["--format", "csv.gz", "--text-column", "body"],
         "body", ""),
        ("a film\nbad\n".encode("utf-16"), ["--format", "txt"], "text", "read as UTF-16"),
    ],
)
def test_standard_input(predict, data, flags, columns, told):
    code, lines, errors = predict(data, *flags)
    assert code == 0, errors
    assert lines[0] == f"{columns},predicted_label,confidence"
    assert len(lines) == 3 and "a film" in lines[1] and "bad" in lines[2]
    assert told in errors and len(errors.splitlines()) == bool(told)


def test_standard_input_that_is_not_as_told(predict):
    code, lines, errors = predict(b"id,text\n1,a\n", "--text-column", "body")
    assert (code, lines) == (1, [])
    assert "standard input has no column 'body'; its columns are: id, text" in errors
    code, lines, errors = predict(b"")
    assert (code, lines) == (1, []) and "standard input is empty" in errors
    code, lines, errors = predict(b"a\n\nb\n", "--missing", "skip")
    assert code == 0 and len(lines) == 3 and "1 rows with an empty cell left out" in errors


# --- formats ------------------------------------------------------------------------------


def test_a_text_a_line(tmp_path, model):
    path = write(tmp_path / "a.txt", 'one, "two"\r\n\r\n  three\t\n\n')
    assert read(path) == [['one, "two"'], [None], ["  three\t"]]
    scored = label_rows(path, tmp_path / "b.csv", missing="skip")
    assert scored == (2, 1)
    assert pd.read_csv(tmp_path / "b.csv")["text"].tolist() == ['one, "two"', "  three\t"]
    with pytest.raises(ValueError, match="no column 'sentiment'.*A .txt file has one text a line"):
        readers.read_rows(path, {"text_column": "review", "label_column": "sentiment"}, "skip")
    out = tmp_path / "out"
    assert main(["pretrain", str(path), "--missing", "skip", "--model", str(model), "--epochs",
                 "1", "--max-length", "16", "--output", str(out)]) == 0


@pytest.mark.parametrize("indent", [None, 2])
def test_json_arrays(tmp_path, indent):
    items = [{"review": "a", "n": 1}, {"review": "b", "more": {"x": [1]}}]
    path = write(tmp_path / "a.json", "\n" + json.dumps(items, indent=indent))
    frame = readers.read_table(path)
    assert list(frame) == ["review", "n", "more"]
    assert frame["more"][1] == {"x": [1]} and frame["n"].isna().tolist() == [False, True]
    path.write_text("\n".join(map(json.dumps, items)))
    assert readers.read_table(path)["review"].tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "has no rows"),
        ('[{"a": 1}, 3]', r"item 1 \(counted from 0\): expected an object .*got 3"),
        ('[{"a": 1},\n{"b": }]', "line 2: not JSON"),
        ('[{"a": 1}', "line 1: not JSON"),
        ("[" * 200_000, "line 1: not JSON .*nested too deeply"),
        ('{"a": "x"}\n' + '{"a":' * 200_000 + "1" + "}" * 200_000, "line 2.*nested too deeply"),
        ('{"a": 1, "a": 2}', "line 1: .*the key 'a' appears twice"),
        ('{"a": 1}\n"x"', 'line 2: expected an object .*got "x"'),
        ('{"a": 1}\n\nnull', "line 3: expected an object .*got null"),
        ('{\n"a": 1}', "line 1: not JSON .*an object a line is expected, or one array"),
        ('{"n": ' + "9" * 5000 + "}", "line 1: not JSON"),
        ('{"review": {"0": "x"}, "n": {"0": 1}}', "orient='records'"),
        ('{"review": ["x", "y"], "n": [1, 2]}', "orient='records'"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "line 1: not JSON .*nested too deeply"),
        ('["a", 1]\n["b", 2]', "line 2: not JSON .*an object a line is expected"),
        ('{"a": "x\ty"}', "Invalid control character at column"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_json_that_is_no_table_is_named(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        read(write(tmp_path / name, content))


def test_numbers_that_json_does_not_know(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"review": NaN}\n{"review": "x", "n": -Infinity}\n')
    assert readers.read_table(path)["review"].isna().tolist() == [True, False]


# --- Excel --------------------------------------------------------------------------------


def write_excel(path, **sheets):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_cells_of_excel_keep_their_types(tmp_path):
    day = datetime.datetime(2020, 1, 2)
    rows = [["good", 1, day], ["bad", 2.5, None], [None, None, None], ["None", True, "x"]]
    path = write_excel(tmp_path / "a.xlsx", S=[["review", "n", "when"], *rows, [None], ["", ""]])
    assert read(path) == rows
    with pytest.raises(ValueError, match=r"row 2 \(counted from 0\) has an empty cell"):
        readers.read_rows(path, {"text_column": "review"}, "error")
    label_rows(path, tmp_path / "b.csv", missing="skip", chunk_rows=2)
    assert pd.read_csv(tmp_path / "b.csv")["label"].tolist() == [4, 3, 4]
    write_excel(path, S=[["review"], ["good"], [10]])
    with pytest.raises(TypeError, match=r"row 1 \(.*'review' is not a text.*int \(10\)"):
        label_rows(path, tmp_path / "c.csv")


def test_control_characters_of_excel(tmp_path):
    path = write_excel(tmp_path / "a.xlsx", S=[["review"], ["one_x000D_\ntwo _x005F_x000D_ _x12"]])
    assert read(path) == [["one\r\ntwo _x000D_ _x12"]]


def test_protected_workbooks_are_named(tmp_path):
    with pytest.raises(ValueError, match="a.xlsx is protected by a password, or is an old Excel"):
        read(write(tmp_path / "a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600))


def test_sheets_and_headers_of_excel(tmp_path):
    path = write_excel(tmp_path / "a.xlsx", First=[[], ["review", None, 5], ["a", 1, 2]],
                       Second=[["x"]])
    with pytest.warns(ReadingWarning, match="from its sheet 'First'; it also has Second"):
        frame = readers.read_table(path)
    assert list(frame) == ["review", "Unnamed: 1", "5"]
    path = write_excel(tmp_path / "b.xlsx", S=[["good", 1], ["bad", 2]])
    assert read(path, header=False) == [["good", 1], ["bad", 2]]


def test_workbooks_that_cannot_be_read_are_named(tmp_path):
    whole = write_excel(tmp_path / "a.xlsx", S=[["review"], ["a"]]).read_bytes()
    for content in (b"", b"PK\x03\x04", b"review\na\n", whole[:-30]):
        with pytest.raises(ValueError, match="a.xlsx (is empty|cannot be read as an Excel)"):
            read(write(tmp_path / "a.xlsx", content))
    for rows, message in (([], "is empty"), ([["review"]], "has no rows"),
                          ([["review"], ["a", "b"]], "row 2 of the sheet has 2 cells")):
        with pytest.raises(ValueError, match=message):
            read(write_excel(tmp_path / "a.xlsx", S=rows))


# --- Parquet ------------------------------------------------------------------------------


@pytest.fixture
def pa():
    return pytest.importorskip("pyarrow")


def write_parquet(path, **columns):
    import pyarrow.parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


TYPES = ["string", "large_string", "string_view", "binary", "large_binary", "binary_view"]


@pytest.mark.parametrize("kind", [*TYPES, "dictionary", "fixed"])
def test_text_of_every_type_is_read(tmp_path, pa, kind):
    texts = ["naïve 😀", "a", None]
    if kind == "dictionary":
        column = pa.array(texts).dictionary_encode()
    elif kind == "fixed":
        texts = ["ab", "cd", None]
        column = pa.array([text and text.encode() for text in texts], pa.binary(2))
    else:
        try:
            column = pa.array(texts).cast(getattr(pa, kind)())
        except (AttributeError, pa.ArrowNotImplementedError):
            pytest.skip("this version of pyarrow cannot make such a column")
    path = write_parquet(tmp_path / "a.parquet", review=column, kind=column)
    frame, n_missing = readers.read_rows(
        path, {"text_column": "review", "label_column": "kind"}, "skip"
    )
    assert n_missing == 1
    assert frame["review"].tolist() == frame["kind"].tolist() == texts[:2]
    for name in ("b.csv", "b.parquet"):
        label_rows(path, tmp_path / name, missing="skip", overwrite=True)
    assert pd.read_csv(tmp_path / "b.csv")["review"].tolist() == texts[:2]
    schema = parquet_schema(tmp_path / "b.parquet")
    assert schema.field("review").type == schema.field("kind").type == column.type


@pytest.mark.parametrize("kind", ["string", "binary", "list"])
@pytest.mark.parametrize("column", ["review", "note"])
def test_bytes_that_are_no_text_are_found_by_row(tmp_path, pa, kind, column):
    broken = pa.array([b"good"] * 30 + [b"caf\xe9"], pa.binary())
    if kind != "binary":
        broken = pa.Array.from_buffers(pa.string(), 31, broken.buffers())
    if kind == "list":
        if column == "review":
            pytest.skip("a list is no text")
        broken = pa.ListArray.from_arrays(pa.array(range(32), pa.int32()), broken)
    columns = {"review": pa.array(["fine"] * 31)} | {column: broken}
    path = write_parquet(tmp_path / "a.parquet", **columns)

    def forbidden(*args, **options):
        raise AssertionError("scored before the whole file was looked through")

    def run(predict, source):
        label_rows(source, tmp_path / "b.csv", predict, chunk_rows=8)

    if kind == "binary" and column == "note":
        run(label, path)  # bytes that are not used as text
        return
    with pytest.raises(ValueError, match=rf"a.parquet: row 30 \(counted from 0\).*{column!r}"):
        run(forbidden, path)
    if kind != "list":
        run(label, find_source(path, Dialect(errors="replace")))
        assert pd.read_csv(tmp_path / "b.csv")[column][30] == "caf\ufffd"


def test_columns_of_one_name_are_named(tmp_path, pa):
    import pyarrow.parquet

    table = pa.Table.from_arrays([pa.array(["x"]), pa.array([1])], names=["review", "review"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    for run in (read, parquet_schema):
        with pytest.raises(ValueError, match="a.parquet has two columns called 'review'"):
            run(tmp_path / "a.parquet")


def test_parquet_files_are_read_together(tmp_path, pa):
    write_parquet(tmp_path / "parts" / "1.parquet", review=["a"], n=pa.array([1], pa.int32()))
    write_parquet(tmp_path / "parts" / "2.parquet", n=[2.5], review=pa.array(["b"]))
    source = find_source(tmp_path / "parts")
    label_rows(source, tmp_path / "b.parquet")
    found = pd.read_parquet(tmp_path / "b.parquet")
    assert found.to_numpy().tolist() == [["a", 1.0, 1], ["b", 2.5, 1]]
    write_parquet(tmp_path / "parts" / "3.parquet", review=["c"], n=["many"])
    with pytest.raises(ValueError, match="parts has files with columns of different types.*n"):
        read(tmp_path / "parts")
    write_parquet(tmp_path / "parts" / "3.parquet", review=["c"])
    with pytest.raises(ValueError, match="3.parquet has no column 'n', unlike .*1.parquet"):
        read(tmp_path / "parts")


def test_damaged_parquet_is_always_named(tmp_path, pa):
    whole = write_parquet(tmp_path / "a.parquet", review=["a b c"] * 50, n=list(range(50)))
    whole = whole.read_bytes()
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            content[place] = rng.integers(256)
        path = write(tmp_path / "a.parquet", bytes(content[: rng.integers(8, 2 * len(whole))]))
        try:
            list(readers.read_chunks(path, as_stored=True))
        except ValueError as error:  # nothing else
            assert str(path) in str(error)
            failed += 1
    assert failed > 100


def test_other_columns_do_not_stop_training(tmp_path, pa):
    # pandas cannot convert this date to nanoseconds.
    when = pa.array([datetime.datetime(9999, 1, 1)], pa.timestamp("us"))
    path = write_parquet(tmp_path / "a.parquet", review=["a"], when=when)
    frame, _ = readers.read_rows(path, {"text_column": "review"}, "error")
    assert list(frame) == ["review"]


# --- files that are not what their names say ------------------------------------------------


@pytest.mark.parametrize("kind", PACKED)
def test_a_file_that_is_not_compressed_says_so(tmp_path, kind):
    path = write(tmp_path / f"a.csv.{kind}", CSV)
    with pytest.raises(ValueError, match=rf"is not compressed .*\.{kind}.*a\.csv"):
        read(path)


def test_an_archive_within_the_compression_is_named(tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("a.csv")
        member.size = len(CSV)
        tar.addfile(member, io.BytesIO(CSV))
    for name in ("a.csv", "a.csv.gz"):
        data = archive.getvalue() if name == "a.csv" else gzip.compress(archive.getvalue())
        with pytest.raises(ValueError, match="is a tar archive, not the file itself; unpack it"):
            read(write(tmp_path / name, data))


def test_binary_data_is_not_taken_for_utf16(tmp_path):
    data = b"\x00\x01\x00\x00\x02\x00\x00\x00" * 100 + bytes(range(200, 256))
    with pytest.raises(ValueError, match="is not text"):
        read(write(tmp_path / "a.csv", data))


def test_a_text_file_that_is_told_to_be_a_table_is_one(tmp_path):
    path = write(tmp_path / "a.txt", "review,n\ngood,1\n")
    assert read(path, delimiter=",") == read(path, quoting="minimal") == [["good", "1"]]
    assert read(path, header=False) == [["review", "n"], ["good", "1"]]
    assert read(path) == [["review,n"], ["good,1"]]


def test_a_row_of_json_may_lack_the_text(tmp_path):
    path = write(tmp_path / "a.jsonl", '{}\n{"n": 1}\n{"review": "x"}\n')
    options = {"text_column": "review", "possible": ()}
    with pytest.raises(ValueError, match="line 1: row 0 .*empty cell in column 'review'"):
        label_file(label, ("label",), path, tmp_path / "out.jsonl", **options)
    for rows in (1, 4096):
        found = label_file(
            label, ("label",), path, tmp_path / "out.jsonl", missing="skip", overwrite=True,
            chunk_rows=rows, **options,
        )
        assert found == (1, 2)
    with pytest.raises(ValueError, match="has no columns"):
        read_column = {"text_column": "review"}
        readers.read_rows(write(tmp_path / "b.jsonl", "{}\n{}\n"), read_column, "error")


def test_nested_keys_get_a_hint(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"review": {"text": "x"}, "n": 1}\n')
    with pytest.raises(ValueError, match="json_normalize"):
        readers.read_rows(path, {"text_column": "review.text"}, "error")


def test_a_folder_of_other_files_says_what_they_are(tmp_path):
    write(tmp_path / "set" / "data-00000-of-00001.arrow", b"x")
    write(tmp_path / "set" / "state.json", b"{}")
    with pytest.raises(ValueError, match="to_parquet"):
        find_source(tmp_path / "set")


@pytest.mark.parametrize("data", [pd.DataFrame({"review": ["a"]}), ["a.csv"], b"a.csv", None, 1])
def test_what_is_no_name_of_a_file_is_described(data):
    with pytest.raises(TypeError, match=f"{type(data).__name__}, but the name of a file"):
        find_source(data)
