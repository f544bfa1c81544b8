"""What is written reads back: by bertsent, by pandas and by Python's csv, in every format."""

import csv
import errno
import gzip
import io
import json
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from hypothesis import HealthCheck, example, given, settings, strategies as st
from test_classifier import make_texts

import bertsent
from bertsent.files import find_source, readers, writers
from bertsent.texts import is_missing

COMPRESSIONS = ["", ".gz", ".bz2", ".xz", ".zip"]
KINDS = [".csv", ".tsv", ".jsonl", ".parquet"]
FORMATS = [kind + packed for kind in KINDS[:3] for packed in COMPRESSIONS] + [".parquet"]

# What quoting, line breaks, encodings and programs that guess stumble over.
ODD = ['"', '""', ",", "\t", ";", "\r", "\n", "\r\n", " ", "\\", '\\"', "'", "|", "#", "=", "-",
       "\x00", "\x0b", "\x0c", "\x1a", "\x1c", "\x85", "\xa0", "\ufeff", "\u2028", "\u2029", "é",
       "\U0001f600", "NA", "nan", "None", "null", "true", "1", "1.0", "01", "{}", "[", "a", "bc"]


def cells(*, no_nul):
    """Return texts made of odd pieces and of any characters."""
    left_out = "\x00" if no_nul else ""
    pieces = st.sampled_from([piece for piece in ODD if piece not in left_out or not piece])
    characters = st.characters(exclude_categories=("Cs",), exclude_characters=left_out)
    piece = st.one_of(pieces, pieces, st.text(characters, max_size=3))
    return st.lists(piece, min_size=1, max_size=6).map("".join).filter(len)


def tables(*, no_nul=True):
    cell = cells(no_nul=no_nul)
    return st.lists(st.tuples(cell, st.one_of(st.none(), cell)), min_size=1, max_size=6)


def write(path, rows, names=("text", "other"), chunk=2):
    """Write rows as `label_file` does, in several parts."""
    frame = pd.DataFrame(rows, columns=list(names), dtype=object)
    with writers.open_output(path) as output:
        output.learn(frame)
        for first in range(0, len(frame), chunk):
            output.write(frame.iloc[first : first + chunk])


def plain(frame):
    """Return names and rows, with None for missing and empty cells."""
    rows = [
        [None if is_missing(value) or value == "" else value for value in row]
        for row in frame.astype(object).to_numpy().tolist()
    ]
    return [list(frame.columns), *rows]


def by_bertsent(path):
    return plain(readers.read_table(find_source(path)))


def by_pandas(path):
    name = path.name
    if name.endswith(".parquet"):
        return plain(pd.read_parquet(path))
    if ".jsonl" in name:
        return plain(pd.read_json(path, lines=True, dtype=False))
    delimiter = "\t" if ".tsv" in name else ","
    return plain(pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False))


def by_csv(path):
    """The same with Python's csv or json, from the bytes."""
    data = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (member,) = archive.namelist()
            assert member == path.stem
            data = archive.read(member)
    elif path.suffix in (".gz", ".bz2", ".xz"):
        module = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}[path.suffix]
        data = __import__(module).decompress(data)
    text = data.decode("utf-8")
    if ".jsonl" in path.name:
        items = [json.loads(line) for line in text.split("\n")[:-1]]
        return [list(items[0]), *(list(item.values()) for item in items)]
    delimiter = "\t" if ".tsv" in path.name else ","
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    return [rows[0], *([cell or None for cell in row] for row in rows[1:])]


def expected(rows, names=("text", "other")):
    return [list(names), *([cell or None for cell in row] for row in rows)]


@pytest.mark.parametrize("suffix", KINDS)
@settings(max_examples=80, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(rows=[("a\rb", None)])
@example(rows=[("\r", "\n")])
@example(rows=[('"', '""'), ('say "no"', "x")])
@example(rows=[('"quoted"', "x")])
@example(rows=[("plain", "x"), ("a", "two\nlines")])
@given(rows=tables())
def test_every_cell_reads_back(tmp_path, suffix, rows):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"table{suffix}"
    path.unlink(missing_ok=True)
    write(path, rows)
    assert by_bertsent(path) == expected(rows)
    assert by_pandas(path) == expected(rows)
    if suffix != ".parquet":
        assert by_csv(path) == expected(rows)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(names=["\t\n", '"'])
@given(names=st.lists(cells(no_nul=True), min_size=2, max_size=3, unique=True))
def test_every_name_of_a_column_reads_back(tmp_path, suffix, names):
    path = tmp_path / f"table{suffix}"
    path.unlink(missing_ok=True)
    rows = [["x"] * len(names)]
    write(path, rows, names)
    assert by_bertsent(path) == expected(rows, names)
    assert by_csv(path) == expected(rows, names)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_one_column_reads_back_with_its_empty_cells(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    rows = [["a"], [None], ["b\nc"], [None]]
    write(path, rows, ["text"])
    assert by_bertsent(path) == expected(rows, ["text"])
    if suffix != ".jsonl":
        assert by_csv(path) == expected(rows, ["text"])


def test_zstandard(tmp_path):
    pytest.importorskip("zstandard")
    path = tmp_path / "table.csv.zst"
    write(path, [("a\rb", None), ("c", "d")])
    assert by_bertsent(path) == by_pandas(path) == expected([("a\rb", None), ("c", "d")])


def test_a_header_is_only_quoted_where_it_has_to_be(tmp_path):
    def header(name, rows):
        write(tmp_path / name, rows)
        return (tmp_path / name).read_text().split("\n")[0]

    assert header("a.csv", [("a,b", 'say "no"')]) == "text,other"
    assert header("b.csv", [("a", "x"), ("two\nlines", "y")]) == '"text","other"'
    assert header("a.tsv", [("a,b", "x")]) == "text\tother"
    assert header("b.tsv", [("a", "x"), ("b", "x"), ('say "no"', "x")]) == '"text"\t"other"'


def test_values_that_are_no_texts(tmp_path):
    frame = pd.DataFrame({
        "whole": pd.array([1, None], dtype="Int64"), "number": [0.1, np.inf], "flag": [True, False],
        "time": pd.to_datetime(["2026-01-02 03:04", None]), "bytes": [b"caf\xc3\xa9", b"\xff"],
        "nested": [{"a": ["é"]}, ["x", 1]],
    })
    with writers.open_output(tmp_path / "a.csv") as output:
        output.write(frame)
    assert (tmp_path / "a.csv").read_text() == (
        "whole,number,flag,time,bytes,nested\n"
        '1,0.1,True,2026-01-02 03:04:00,café,"{""a"": [""é""]}"\n'
        ",inf,False,,b'\\xff',\"[\"\"x\"\", 1]\"\n"
    )


# --- through predict ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clf(tmp_path_factory):
    base = write_tiny_model(tmp_path_factory.mktemp("base") / "tiny")
    texts, _ = make_texts(16)
    classifier = bertsent.BertClassifier(
        base, max_length=16, epochs=1, batch_size=8, random_state=0, verbose=0
    )
    return classifier.fit(texts, ['a "good" one', "bad\r\nand\tlong"] * 8)


def given_file(draw, folder, rows):
    """Write rows as some other program does; return the path and the dialect to tell."""
    kind = draw(st.sampled_from(["csv", "tsv", "json", "array", "parquet"]))
    packed = draw(st.sampled_from(["", ".gz", ".bz2", ".xz", ".zip"]))
    frame = pd.DataFrame(rows, columns=["text", "other"], dtype=object)
    if kind == "parquet":
        path = folder / "given.parquet"
        frame.to_parquet(path, index=False)
        return path, {}
    dialect = {}
    if kind in ("json", "array"):
        items = [dict(zip(frame.columns, row, strict=True)) for row in rows]
        content = json.dumps(items) if kind == "array" else "\n".join(map(json.dumps, items))
        suffix = ".json"
    else:
        delimiter = draw(st.sampled_from([",", ";", "|", "\t"] if kind == "csv" else ["\t", ","]))
        quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        escaped = draw(st.booleans())
        text = io.StringIO(newline="")
        how = {"doublequote": False, "escapechar": "\\"} if escaped else {}
        writer = csv.writer(text, delimiter=delimiter, quoting=quoting, **how,
                            lineterminator=draw(st.sampled_from(["\n", "\r\n"])))
        header = draw(st.booleans())
        if header:
            writer.writerow(frame.columns)
        for row in rows:
            # Python's csv does not quote a lone carriage return before 3.11.9.
            if any("\r" in (cell or "") for cell in row):
                csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, **how).writerow(row)
            else:
                writer.writerow(row)
        content, suffix = text.getvalue(), f".{kind}"
        dialect = {"delimiter": delimiter, "quoting": "minimal", "header": header}
        if escaped:
            dialect["escapechar"] = "\\"
    # A file that begins with U+FEFF without a byte order mark cannot be told from one with it.
    encodings = ["utf-8-sig", "utf-16", "utf-32"] + ["utf-8"] * (content[0] != "\ufeff")
    encoding = draw(st.sampled_from(encodings))
    data = content.encode(encoding)
    path = folder / f"given{suffix}{packed}"
    if packed == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"given{suffix}", data)
    elif packed:
        module = {".gz": "gzip", ".bz2": "bz2", ".xz": "lzma"}[packed]
        data = __import__(module).compress(data)
    if packed != ".zip":
        path.write_bytes(data)
    return path, dialect


@pytest.mark.filterwarnings("ignore::bertsent.errors.ReadingWarning")
@settings(max_examples=100, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), rows=tables(), suffix=st.sampled_from(FORMATS))
def test_predict_writes_the_rows_that_it_read(clf, tmp_path, data, rows, suffix):
    pytest.importorskip("pyarrow")
    for path in tmp_path.iterdir():
        path.unlink()
    path, dialect = given_file(data.draw, tmp_path, rows)
    text_column = "text" if dialect.get("header", True) else "0"
    names = ["text", "other"] if dialect.get("header", True) else ["0", "1"]
    target = tmp_path / f"labelled{suffix}"
    done = clf.predict_file(path, target, text_column=text_column, chunk_rows=2, **dialect)
    assert done == (len(rows), 0)
    labels = clf.predict([text for text, _ in rows])
    for read in (by_bertsent, by_pandas) if suffix == ".parquet" else (by_bertsent, by_csv):
        header, *found = read(target)
        assert header == [*names, "predicted_label", "confidence"]
        assert [row[:2] for row in found] == expected(rows)[1:]
        assert [row[2] for row in found] == labels.tolist()


@pytest.mark.parametrize("suffix", [".csv", ".tsv.gz", ".jsonl", ".csv.zip"])
def test_a_full_disk_is_named_with_the_file(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"table{suffix}"
    real = open

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(name, mode="r", *args, **kwargs):
        return Full(name, mode) if ".tmp-" in str(name) else real(name, mode, *args, **kwargs)

    monkeypatch.setattr(writers, "open", full, raising=False)
    with pytest.raises(OSError, match=f"table{suffix}.*No space left") as caught:
        write(path, [("a" * 100_000, "b")])
    assert caught.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_gzip_is_the_same_each_time(tmp_path):
    """Neither time nor the temporary name is in the file."""
    for name in ("a.csv.gz", "b.csv.gz"):
        write(tmp_path / name, [("x", "y")])
    header = [(tmp_path / name).read_bytes()[10:] for name in ("a.csv.gz", "b.csv.gz")]
    assert header[0] == header[1]
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == b"text,other\nx,y\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="csv of Python 3.10 cannot read it")
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_nul_reads_back_where_python_can_read_it(tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    write(path, [("a\0b", "x")])
    assert by_bertsent(path) == by_csv(path) == expected([("a\0b", "x")])
