"""Reading collections, checking texts and labels, splitting."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from bertsent.files import Field, readers
from bertsent.texts.check import check_texts, hash_texts, strip_html
from bertsent.texts.labels import (
    check_labels,
    check_weights,
    column_labels,
    encode_labels,
    learn_labels,
    match_labels,
)
from bertsent.texts.split import split_rows

ROWS = [
    ("A film to love.", "positive"),
    ('He said "no", twice,\nand left.', "negative"),
    ("None", "positive"),
    ("NA", "negative"),
    ("naïve — café 映画", "positive"),
]


@pytest.fixture
def frame():
    return pd.DataFrame(ROWS, columns=["review", "sentiment"])


def write(frame, path):
    name = path.name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif ".jsonl" in name:
        lines = [json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records")]
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")
    else:
        frame.to_csv(path, sep="\t" if ".tsv" in name else ",", index=False)
    return path


@pytest.mark.parametrize(
    "name",
    ["a.csv", "a.csv.gz", "a.CSV", "a.tsv", "a.tsv.gz", "a.jsonl", "a.jsonl.gz", "a.parquet"],
)
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_every_format_reads_the_same(tmp_path, frame, name, rows):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    path = write(frame, tmp_path / name)
    chunks = list(readers.read_chunks(path, rows))
    assert max(map(len, chunks)) <= rows
    read = pd.concat(chunks)
    assert read.index.tolist() == list(range(len(ROWS)))
    assert list(zip(read["review"], read["sentiment"], strict=True)) == ROWS
    assert readers.read_table(path).equals(read)


def test_only_empty_cells_are_missing(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("review,sentiment\nNone,pos\nnan,neg\n,pos\nNULL,neg\n")
    assert readers.read_table(path)["review"].isna().tolist() == [False, False, True, False]


def test_cells_of_a_csv_stay_as_written(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,review,score\n007,good,1.50\n8,bad,\n", encoding="utf-8-sig")
    read = readers.read_table(path)
    assert read["id"].tolist() == ["007", "8"]
    assert read["score"].iloc[0] == "1.50"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"review,sentiment\n", "no rows"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.csv", b"review,sentiment\na,b\nc,d,e\n", "line 3: 3 cells, but the header has 2"),
        ("a.csv", b"review,sentiment\na,b,c\nc,d,e\n", "line 2: 3 cells"),
        ("a.csv", b'review,sentiment\n"never closed,b\n', "line 2: .* never closed"),
        ("a.csv", "review,sentiment\ncaf\xe9,b\n".encode("latin1"), "not UTF-8"),
        ("a.csv.gz", b"not gzip at all", "not compressed"),
        ("a.csv.gz", gzip.compress(b"review,label\n" + b"a,b\n" * 999, mtime=0)[:-20], "damaged"),
        ("a.jsonl", b'{"review": "a"}\n{"review": \n', "line 2"),
        ("a.jsonl", b"[1, 2]\n", "item 0"),
        ("a.jsonl", b"\n\n", "no rows"),
        ("a.dat", b"PK", "does not tell a known format"),
    ],
)
def test_unreadable_files_say_why(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        readers.read_table(path)
    assert name in str(caught.value)


def test_unreadable_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and then nothing of use")
    with pytest.raises(ValueError, match="Parquet"):
        readers.read_table(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        readers.read_table(tmp_path / "nowhere.csv")


def make_imdb_folder(root):
    for part in ("train", "test"):
        for folder in ("pos", "neg", "unsup"):
            (root / part / folder).mkdir(parents=True)
            for number in range(3):
                text = f"{part} {folder} review {number}"
                (root / part / folder / f"{number}_9.txt").write_text(text)
    return root


def test_imdb_folder(tmp_path):
    root = make_imdb_folder(tmp_path / "aclImdb")
    read = readers.read_table(root)
    assert readers.is_split_folder(root)
    assert read["part"].tolist() == ["train"] * 6 + ["test"] * 6
    assert not read["review"].str.contains("unsup").any()
    assert (read["review"].str.contains("pos") == (read["sentiment"] == "positive")).all()
    assert len(readers.read_table(root / "train")) == 6
    assert [len(chunk) for chunk in readers.read_chunks(root, rows=5)] == [5, 5, 2]


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="not an aclImdb folder"):
        readers.read_table(tmp_path)


def test_missing_column_names_those_there(frame):
    with pytest.raises(ValueError, match="'body'.*review, sentiment.*text_column"):
        readers.require_columns(frame.columns, {"text_column": "body"}, "a.csv")


def test_missing_cells(frame):
    frame.loc[[1, 3], "review"] = None
    frame.loc[4, "sentiment"] = np.nan
    with pytest.raises(ValueError, match="row 1 .*'review', and 2 more rows"):
        readers.drop_missing(frame, ["review", "sentiment"], "error", "a.csv")
    kept, n_missing = readers.drop_missing(frame, ["review", "sentiment"], "skip", "a.csv")
    assert n_missing == 3
    assert kept.index.tolist() == [0, 2]


def test_labels_of_a_csv_become_numbers_only_if_all_are():
    assert column_labels(pd.Series(["0", "1", "-3"])).tolist() == [0, 1, -3]
    assert column_labels(pd.Series(["0", "1", "many"])).tolist() == ["0", "1", "many"]
    assert column_labels(pd.Series(["01", "1"])).tolist() == ["01", "1"]
    assert column_labels(pd.Series([1.0, 0.0])).tolist() == [1, 0]


@pytest.mark.parametrize("column", [["1", "0"], [1, 0], [1.0, 0.0], np.array([1, 0])])
def test_labels_match_across_file_formats(column):
    matched = match_labels(pd.Series(column), np.array([0, 1]), "a")
    assert matched.tolist() == [1, 0]
    assert match_labels(pd.Series([True]), np.array([False, True]), "a").tolist() == [True]


def test_unknown_class_is_named():
    column = pd.Series(["good", "odd", "odd"], name="sentiment")
    with pytest.raises(ValueError, match="'odd'.*'sentiment'.*row 1, 2 rows.*bad, good"):
        match_labels(column, np.array(["bad", "good"]), "a.csv")


def test_hash_of_data_follows_the_content(tmp_path, frame):
    first = readers.hash_data(write(frame, tmp_path / "a.csv"))
    assert first == readers.hash_data(write(frame, tmp_path / "b.csv"))
    frame.loc[0, "review"] += "!"
    assert first != readers.hash_data(write(frame, tmp_path / "a.csv"))
    root = make_imdb_folder(tmp_path / "aclImdb")
    before = readers.hash_data(root)
    (root / "test" / "neg" / "1_9.txt").write_text("changed")
    assert before != readers.hash_data(root)


# --- texts --------------------------------------------------------------------------------


def accepted_texts():
    texts = ["one", "", "three"]
    kinds = {
        "list": texts,
        "tuple": tuple(texts),
        "object array": np.array(texts, dtype=object),
        "str array": np.array(texts),
        "series": pd.Series(texts),
        "odd index": pd.Series(texts, index=[9, 9, 2]),
        "categorical": pd.Series(texts, dtype="category"),
    }
    try:
        import pyarrow
    except ImportError:
        return kinds
    kinds["arrow series"] = pd.Series(texts, dtype=pd.ArrowDtype(pyarrow.string()))
    kinds["arrow array"] = pyarrow.array(texts)
    kinds["chunked array"] = pyarrow.chunked_array([texts[:1], texts[1:]])
    return kinds


@pytest.mark.parametrize("kind", accepted_texts())
def test_accepted_kinds_of_texts(kind):
    texts = check_texts(accepted_texts()[kind])
    assert texts == ["one", "", "three"]
    assert all(isinstance(text, str) for text in texts)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a bare string", r"single str.*\[text\]"),
        (b"bytes", "single bytes"),
        (pd.DataFrame({"id": [1], "review": ["a"]}), r"DataFrame.*'id', 'review'.*X\['review'\]"),
        (np.array([["a", "b", "c"]]), r"shape \(1, 3\)"),
        ({"a": 1}, "dict"),
        ({"a"}, "set"),
        (iter(["a"]), "list_iterator"),
        (None, "X is None"),
        (["a", None], r"X\[1\] is None"),
        (["a", float("nan")], r"X\[1\] is NaN"),
        (["a", "b", 3], r"X\[2\].*int \(3\)"),
        (["a", b"b"], r"X\[1\].*bytes.*decode"),
        (pd.Series(["a", None], name="review"), "row 1 of column 'review' is"),
        (pd.Series(["a", pd.NA], dtype="string", name="review"), "row 1 of column 'review' is NaN"),
        (pd.Series(["a", 2.5], index=[7, 203], name="t"), "row 1 of column 't' .index 203.*float"),
    ],
)
def test_what_is_no_text_is_named(texts, message):
    with pytest.raises(TypeError, match=message):
        check_texts(texts)


def test_tables_of_others_are_named_by_their_columns():
    pa = pytest.importorskip("pyarrow")
    columns = {"review": ["a"], "stars": [1]}
    for table in (pa.table(columns), pa.record_batch(columns)):
        kind = type(table).__name__
        for check, name in ((check_texts, "X"), (check_labels, "y")):
            with pytest.raises(TypeError, match=rf"{name} is a {kind} with.*'review', 'stars'"):
                check(table)


def test_html_is_stripped_and_signs_stay():
    assert strip_html("Good.<br /><br />Really <b>good</b>") == "Good.  Really  good "
    assert strip_html("a &lt; b &amp; c") == "a < b & c"
    assert strip_html("I <3 this, 2 < 3 > 1") == "I <3 this, 2 < 3 > 1"
    assert strip_html("<a" * 50_000) == "<a" * 50_000


def test_hashes_tell_texts_apart_and_stay():
    hashes = hash_texts(["a", "b", "a", "", "\ud800"])
    assert hashes.dtype == np.uint64
    assert hashes[0] == hashes[2] and len(np.unique(hashes)) == 4
    assert hash_texts(["a"])[0] == 3405396810240292928
    assert len(hash_texts([])) == 0


# --- labels -------------------------------------------------------------------------------


def saved_and_opened(label_type):
    return type(label_type).from_json(Field(json.loads(json.dumps(label_type.to_json())), "a.json"))


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (["pos", "neg", "pos"], ["neg", "pos"]),
        (np.array(["b", "a", "b"], dtype=object), ["a", "b"]),
        ([True, False, True], [False, True]),
        (np.array([2, 0, 2]), [0, 2]),
        (pd.Series([2, 0, 2], dtype="Int64"), [0, 2]),
        (pd.Series([True, False, True], dtype="boolean"), [False, True]),
        (pd.Series(["pos", "neg", "pos"]), ["neg", "pos"]),
        (np.array([[1], [0], [1]]), [0, 1]),
    ],
)
def test_labels_keep_their_type(y, classes):
    label_type, codes = learn_labels(y, 3)
    assert codes.tolist() == [1, 0, 1]
    assert label_type.classes.tolist() == classes
    assert type(label_type.classes.tolist()[0]) is type(classes[0])
    again = saved_and_opened(label_type)
    assert again.classes.dtype == label_type.classes.dtype
    assert again.decode(codes).tolist() == label_type.decode(codes).tolist()


def test_categoricals_come_back_as_they_were():
    y = pd.Categorical(["low", "high", "low"], categories=["low", "mid", "high"], ordered=True)
    label_type, codes = learn_labels(pd.Series(y), 3)
    assert label_type.classes.tolist() == ["high", "low"]
    again = saved_and_opened(label_type)
    for each in (label_type, again):
        decoded = each.decode(codes)
        assert decoded.dtype == y.dtype
        assert decoded.tolist() == y.tolist()


def test_categoricals_of_polars_are_labels():
    pl = pytest.importorskip("polars")
    for dtype in (pl.String, pl.Categorical, pl.Enum(["low", "mid", "high"])):
        label_type, codes = learn_labels(pl.Series(["low", "high", "low"], dtype=dtype), 3)
        assert label_type.classes.tolist() == ["high", "low"]
        assert label_type.decode(codes).tolist() == ["low", "high", "low"]


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["a", None, "b"], ValueError, r"y\[1\] is None"),
        (["a", "b", float("nan")], ValueError, r"y\[2\] is NaN"),
        (np.array([0.0, np.nan, 1.0]), ValueError, r"y\[1\] is NaN"),
        (pd.Series([1, pd.NA, 0], dtype="Int64"), ValueError, r"y\[1\] is NaN"),
        (pd.Categorical(["a", None, "b"]), ValueError, r"y\[1\] is NaN"),
        ([0.5, 1.5, 2.0], ValueError, "fractions such as 0.5"),
        (["a", 1, "b"], ValueError, "int, str"),
        ([True, 1, 0], ValueError, "bool, int"),
        ([["a"], ["b"], ["c"]], ValueError, "sequences"),
        (["a", "a", "a"], ValueError, "one class only .'a'"),
        (["a", "b"], ValueError, "3 texts and 2 values of y"),
        (np.eye(3), ValueError, "shape"),
        ("abc", TypeError, "str"),
        (None, ValueError, "y is None"),
        ({"a": 1}, TypeError, "dict"),
        (pd.DataFrame({"id": [1, 2, 3], "label": list("aba")}), TypeError, "'label'.*one column"),
    ],
)
def test_bad_labels_are_named(y, error, message):
    with pytest.raises(error, match=message):
        learn_labels(y, 3)


def test_further_labels_must_be_known():
    label_type, _ = learn_labels(["a", "b"], 2)
    assert encode_labels(["b", "a", "b"], label_type, 3).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"y_val\[1\] is 'c'.*'a', 'b'"):
        encode_labels(["a", "c"], label_type, 2)


def test_check_labels_names_its_argument():
    with pytest.raises(ValueError, match="a.csv: column 'stars', row 0 is None"):
        check_labels([None], "a.csv: column 'stars'")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0, 1.0], r"sample_weight\[1\] is -1"),
        ([1.0, 1.0, np.nan], r"sample_weight\[2\] is nan"),
        ([1.0, np.inf, 1.0], r"sample_weight\[1\] is inf"),
        ([1.0, 1.0], "2 values of sample_weight"),
        ([[1.0], [1.0], [1.0]], "shape"),
        ([0, 0, 0], "zero for every text"),
        (["one", "two", "three"], "sample_weight is a list that does not consist of numbers"),
        (pd.Series([1, pd.NA, 2], dtype="Int64"), "sample_weight"),
        (pd.Series([1, pd.NA, 2], dtype=object), "Series that does not consist of numbers"),
        ([1.0, None, 2.0], r"sample_weight\[1\] is nan"),
        (np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0]), r"sample_weight\[1\] is nan"),
        (pd.DataFrame({"w": [1, 2, 3]}), r"shape \(3, 1\)"),
        ({"a": 1}, "sample_weight is a dict"),
        (2.0, "shape"),
    ],
)
def test_bad_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        check_weights(weights, 3)


def test_good_weights():
    assert check_weights(None, 3) is None
    for kind in ("Int64", "float32", "boolean"):
        assert check_weights(pd.Series([1, 0, 1], dtype=kind), 3).tolist() == [1, 0, 1]
    weights = check_weights(pd.Series([1, 0, 2]), 3)
    assert weights.dtype == np.float32 and weights.tolist() == [1, 0, 2]


# --- splitting ----------------------------------------------------------------------------


def test_split_is_stratified_seeded_and_shuffled():
    labels = np.array(["a"] * 70 + ["b"] * 30)
    texts = [f"text {i}" for i in range(100)]
    is_test, n_repeats = split_rows(texts, labels, 0.2, seed=5)
    assert n_repeats == 0
    assert (labels[is_test] == "a").sum() == 14 and (labels[is_test] == "b").sum() == 6
    assert not is_test[:14].all()
    again, _ = split_rows(texts, labels, 0.2, seed=5)
    other, _ = split_rows(texts, labels, 0.2, seed=6)
    assert (again == is_test).all() and (other != is_test).any()


def test_equal_texts_stay_on_one_side():
    rng = np.random.default_rng(0)
    texts = [f"text {i}" for i in rng.integers(0, 60, size=300)]
    labels = rng.integers(0, 3, size=300)
    for seed in range(5):
        is_test, n_repeats = split_rows(texts, labels, 0.25, seed)
        sides = pd.DataFrame({"text": texts, "test": is_test})
        assert (sides.groupby("text")["test"].nunique() == 1).all()
        assert n_repeats == 300 - len(set(texts))
        assert 60 <= is_test.sum() <= 90


def test_small_classes_leave_something_on_both_sides():
    labels = np.array(["a"] * 20 + ["b"] * 2 + ["c"])
    is_test, _ = split_rows([str(i) for i in range(23)], labels, 0.1, seed=0)
    assert (labels[is_test] == "b").sum() == 1
    assert (labels[is_test] == "c").sum() == 0


def test_rounded_sizes_add_up():
    labels = np.repeat([0, 1, 2], 33)
    is_test, _ = split_rows([str(i) for i in range(99)], labels, 0.1, seed=0)
    assert is_test.sum() == 10
