"""Labelling files in chunks: the same as at once, in little memory, written atomically."""

import csv
import gzip
import io
import json
import signal
import tracemalloc
import weakref

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from test_classifier import make_texts

import bertsent
from bertsent.classifier.estimator import predictor
from bertsent.files import readers, stream
from bertsent.model import scoring
from bertsent.system.bars import RowBar
from bertsent.system.lines import RowLines
from bertsent.system.progress import SilentRows


@pytest.fixture(scope="module")
def clf(tmp_path_factory):
    base = write_tiny_model(tmp_path_factory.mktemp("base") / "tiny")
    texts, labels = make_texts(64)
    classifier = bertsent.BertClassifier(
        base, max_length=16, epochs=1, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0
    )
    return classifier.fit(texts, labels)


def make_frame(n, seed=0):
    """Different texts of many lengths, with a number."""
    rng = np.random.default_rng(seed)
    texts = make_texts(n + 2, seed)[0][:n]
    texts = [f"{text} " * rng.integers(1, 4) + str(i) for i, text in enumerate(texts)]
    return pd.DataFrame({"id": np.arange(n), "review": texts})


def check(clf, labelled, texts):
    """The labels and probabilities are those of all texts at once."""
    expected = clf.predict_proba(texts)
    assert labelled["predicted_label"].tolist() == clf.predict(texts).tolist()
    found = labelled["confidence"].astype(float).to_numpy()
    np.testing.assert_allclose(found, expected.max(axis=1), atol=2e-6)


# --- results ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 19, 20, 21, 40, 41])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_borders_of_chunks_do_not_show(clf, tmp_path, rows, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    frame = make_frame(rows)
    given = tmp_path / f"a.{kind}"
    if kind == "parquet":
        frame.to_parquet(given, row_group_size=7)
    elif kind == "jsonl":
        frame.to_json(given, orient="records", lines=True)
    else:
        frame.to_csv(given, index=False)
    scored = clf.predict_file(given, tmp_path / "b.csv", chunk_rows=20)
    assert scored == (rows, 0) and scored.rows == rows
    labelled = pd.read_csv(tmp_path / "b.csv")
    assert labelled["id"].tolist() == list(range(rows))
    assert labelled["review"].tolist() == frame["review"].tolist()
    check(clf, labelled, frame["review"])


def test_quoted_lines_and_quotes_come_back_as_they_were(clf, tmp_path):
    texts = ['He said "no",\nand left.', "a,b", "\r\nno Unix\r\nlines", 'end "', "None", "b"] * 5
    with gzip.open(tmp_path / "a.csv.gz", "wt", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "note"])
        writer.writerows([text, f"{i:03d}"] for i, text in enumerate(texts))
    clf.predict_file(tmp_path / "a.csv.gz", tmp_path / "b.csv.gz", chunk_rows=4)
    with gzip.open(tmp_path / "b.csv.gz", "rt", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["review"] for row in rows] == texts
    assert [row["note"] for row in rows] == [f"{i:03d}" for i in range(len(texts))]
    assert [row["predicted_label"] for row in rows] == clf.predict(texts).tolist()


def test_scoring_in_pieces_is_scoring_at_once(clf, monkeypatch):
    texts = make_frame(200)["review"]
    expected = clf.decision_function(texts)
    calls, parts = [], []
    score = clf.model_.score_packed

    def counted(ids, offsets, n_threads, *precision, **options):
        calls.append(np.diff(offsets).tolist())
        return score(ids, offsets, n_threads, *precision, **options)

    monkeypatch.setattr(scoring, "PIECE_TOKENS", 100)
    monkeypatch.setattr(clf.model_, "score_packed", counted)
    logits = predictor(clf.set_params(n_threads=1)).logits
    np.testing.assert_allclose(
        logits(texts, parts.append)[:, 1] - logits(texts)[:, 0], expected, atol=1e-5
    )
    lengths = sum(calls[: len(parts)], [])
    assert len(parts) > 10 and lengths == sorted(lengths, reverse=True)
    assert max(map(sum, calls)) < 100 + 2 * 16
    assert parts == sorted(parts) and parts[-1] == 1


def test_batches_of_every_kind(clf):
    frame = make_frame(50).set_index(np.arange(50) * 3)
    texts = frame["review"]
    chunks = [frame[:20], frame[20:21], frame[21:]]
    labelled = pd.concat(clf.predict_batches(iter(chunks), "review"))
    assert list(labelled.columns) == ["id", "review", "predicted_label", "confidence"]
    assert labelled[["id", "review"]].equals(frame)
    check(clf, labelled, texts)
    labelled = pd.concat(clf.predict_batches([texts[:20], texts[20:]]))
    assert list(labelled.columns) == ["predicted_label", "confidence"]
    assert labelled.index.equals(frame.index)
    check(clf, labelled, texts)
    (labelled,) = clf.predict_batches([texts.tolist()])
    assert labelled.index.tolist() == list(range(50))
    check(clf, labelled, texts)
    assert list(clf.predict_batches([])) == []
    assert [len(one) for one in clf.predict_batches([[], ["a"]])] == [0, 1]


def test_batches_are_taken_one_by_one(clf):
    taken = []

    def batches():
        for i in range(3):
            taken.append(i)
            yield ["a film"]

    labelled = clf.predict_batches(batches())
    assert taken == []
    next(labelled)
    assert taken == [0]


def test_bad_batches_are_named(clf):
    frame = make_frame(4)
    with pytest.raises(ValueError, match="batch 0 .*text_column.*id, review"):
        list(clf.predict_batches([frame]))
    with pytest.raises(ValueError, match="batch 1 has no column 'review'"):
        list(clf.predict_batches([frame, frame[["id"]]], "review"))
    with pytest.raises(ValueError, match="batch 0 has a column 'confidence' already"):
        list(clf.predict_batches([frame.assign(confidence=1)], "review"))
    with pytest.raises(TypeError, match=r"batch 1: X\[0\] is None"):
        list(clf.predict_batches([["a"], [None]]))
    with pytest.raises(Exception, match="not fitted"):
        bertsent.BertClassifier().predict_batches([["a"]])


# --- Parquet ------------------------------------------------------------------------------


def test_parquet_columns_keep_their_types(clf, tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    n = 30
    whole = [None if i in (3, 25) else 2**60 + i for i in range(n)]
    columns = {
        "review": pa.array(make_frame(n)["review"].tolist(), pa.large_string()),
        "whole": pa.array(whole, pa.int64()),
        "flag": pa.array([None, True, False] * 10),
        "when": pa.array([i * 10**9 for i in range(n)], pa.timestamp("us", tz="UTC")),
        "tags": pa.array([["a", "b"], [], None] * 10, pa.list_(pa.string())),
        "shop": pa.array(["x", "y", None] * 10).dictionary_encode(),
        "nothing": pa.nulls(n),
        "price": pa.array([i / 4 for i in range(n)], pa.float32()),
    }
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=11)
    clf.predict_file(tmp_path / "a.parquet", tmp_path / "b.parquet", chunk_rows=8)
    found = pq.read_table(tmp_path / "b.parquet")
    assert found.column_names == [*columns, "predicted_label", "confidence"]
    for name in columns:
        if name != "nothing":
            assert found[name].type == table[name].type, name
        assert found[name].to_pylist() == table[name].to_pylist(), name
    check(clf, found.select(["predicted_label", "confidence"]).to_pandas(),
          columns["review"].to_pylist())


def test_parquet_keeps_the_index_of_pandas(clf, tmp_path):
    pytest.importorskip("pyarrow")
    frame = make_frame(12).set_index(pd.Index([f"r{i}" for i in range(12)], name="key"))
    frame.to_parquet(tmp_path / "a.parquet")
    clf.predict_file(tmp_path / "a.parquet", tmp_path / "b.parquet", chunk_rows=5)
    labelled = pd.read_parquet(tmp_path / "b.parquet")
    assert labelled.index.equals(frame.index)
    assert labelled[["id", "review"]].equals(frame)
    assert labelled["id"].dtype == frame["id"].dtype
    check(clf, labelled, frame["review"])


def test_types_of_json_are_settled_over_all_rows(clf, tmp_path):
    pytest.importorskip("pyarrow")
    rows = [{"review": "a film", "n": 1}, {"review": "b film", "n": 2.5},
            {"more": "x", "review": "c film"}, {"review": "d film", "n": None}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    clf.predict_file(path, tmp_path / "b.parquet", chunk_rows=1)
    labelled = pd.read_parquet(tmp_path / "b.parquet")
    assert list(labelled.columns)[:3] == ["review", "n", "more"]
    np.testing.assert_array_equal(labelled["n"].to_numpy(float), [1, 2.5, np.nan, np.nan])
    assert labelled["more"].isna().tolist() == [True, True, False, True]
    clf.predict_file(path, tmp_path / "b.csv", chunk_rows=1)
    labelled = pd.read_csv(tmp_path / "b.csv")
    assert labelled["more"].isna().tolist() == [True, True, False, True]
    path.write_text('{"review": "a", "n": 1}\n{"review": "b", "n": "one"}\n')
    with pytest.raises(ValueError, match="cannot be written as Parquet.*JSON Lines"):
        clf.predict_file(path, tmp_path / "c.parquet", chunk_rows=1)
    assert not (tmp_path / "c.parquet").exists()


def test_csv_to_parquet_with_an_empty_beginning(clf, tmp_path):
    pytest.importorskip("pyarrow")
    frame = make_frame(9).assign(note=[""] * 8 + ["at last"], never="")
    frame.to_csv(tmp_path / "a.csv", index=False)
    clf.predict_file(tmp_path / "a.csv", tmp_path / "b.parquet", chunk_rows=2)
    labelled = pd.read_parquet(tmp_path / "b.parquet")
    assert labelled["note"].tolist()[-1] == "at last" and labelled["note"].isna().sum() == 8
    assert labelled["never"].isna().all()
    assert labelled["id"].tolist() == [str(i) for i in range(9)]


# --- errors -------------------------------------------------------------------------------


def forbid_scoring(monkeypatch, clf):
    def refuse(*args, **options):
        raise AssertionError("scored before the whole file was looked through")

    monkeypatch.setattr(clf.model_, "score_packed", refuse)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_missing_text_is_named_by_its_row_before_scoring(clf, tmp_path, monkeypatch, kind):
    frame = make_frame(50)
    frame.loc[[33, 41], "review"] = None
    given = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(given)
    elif kind == "jsonl":
        frame.to_json(given, orient="records", lines=True)
    else:
        frame.to_csv(given, index=False)
    with monkeypatch.context() as patch:
        forbid_scoring(patch, clf)
        with pytest.raises(ValueError, match="row 33 .*'review', and 1 more.*missing='skip'"):
            clf.predict_file(given, tmp_path / "b.csv", chunk_rows=10)
    assert [path.name for path in tmp_path.iterdir()] == [given.name]
    scored = clf.predict_file(given, tmp_path / "b.csv", chunk_rows=10, missing="skip")
    assert scored == (48, 2)
    labelled = pd.read_csv(tmp_path / "b.csv")
    kept = frame.dropna()
    assert labelled["id"].tolist() == kept["id"].tolist()
    check(clf, labelled, kept["review"])


def test_what_is_no_text_is_named_by_its_row(clf, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.jsonl"
    lines = [{"review": "a film"}] * 7 + [{"review": 12}]
    path.write_text("\n".join(map(json.dumps, lines)))
    with monkeypatch.context() as patch, pytest.raises(
        TypeError, match=r"a.jsonl, line 8: row 7 \(.*'review' is not a text.*int \(12\)"
    ):
        forbid_scoring(patch, clf)
        clf.predict_file(path, tmp_path / "b.csv", chunk_rows=3)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "review\n", "no rows"),
        ("a.csv", "", "is empty"),
        ("a.csv", 'review,id\n"",1\n', "no row is left|empty cell"),
        ("a.csv", "n,x\n1,a\n", "the texts.*are: n .numbers: 1., x .texts: 'a'.*text_column"),
        ("a.jsonl", '{"x": "a"}\n{"x": "b"}\n', "Its columns are: x .texts: 'a', 'b'"),
        ("a.csv", "review,confidence\na,b\n", "'confidence' already"),
        ("a.jsonl", '{"review": "a"}\n{"review": "b", "predicted_label": 1}\n', "already"),
    ],
)
def test_files_that_cannot_be_labelled(clf, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        clf.predict_file(tmp_path / name, tmp_path / "b.csv", chunk_rows=1)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_empty_parquet_and_its_columns(clf, tmp_path):
    pytest.importorskip("pyarrow")
    frame = make_frame(3)
    frame[:0].to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="no rows"):
        clf.predict_file(tmp_path / "a.parquet", tmp_path / "b.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="no column 'body'; its columns are: id, review"):
        clf.predict_file(tmp_path / "a.parquet", tmp_path / "b.csv", text_column="body")


def test_bad_arguments_are_named(clf, tmp_path):
    make_frame(3).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match="chunk_rows=0"):
        clf.predict_file(tmp_path / "a.csv", tmp_path / "b.csv", chunk_rows=0)
    with pytest.raises(ValueError, match="missing='drop'"):
        clf.predict_file(tmp_path / "a.csv", tmp_path / "b.csv", missing="drop")
    with pytest.raises(IsADirectoryError):
        clf.predict_file(tmp_path / "a.csv", make_folder(tmp_path / "b.csv"), overwrite=True)


def make_folder(path):
    path.mkdir()
    return path


# --- complete or not at all ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.jsonl", "b.parquet"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_breaks_in_the_middle_leaves_nothing(clf, tmp_path, monkeypatch, name, error):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    make_frame(50).to_csv(tmp_path / "a.csv", index=False)
    score, calls = clf.model_.score_packed, []

    def breaking(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise error
        return score(*args, **options)

    monkeypatch.setattr(clf.model_, "score_packed", breaking)
    (tmp_path / name).write_text("the old one")
    with pytest.raises(error):
        clf.predict_file(tmp_path / "a.csv", tmp_path / name, chunk_rows=10, overwrite=True)
    assert len(calls) == 3
    assert (tmp_path / name).read_text() == "the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", name]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        clf.predict_file(tmp_path / "a.csv", tmp_path / name, chunk_rows=10)


def test_ctrl_c_while_a_csv_is_read_is_no_damage_of_the_file(clf, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("review\n" + "a film\n" * 200_000)
    read, calls = io.TextIOWrapper.read, []

    class Interrupted(io.TextIOWrapper):
        def read(self, *args):
            calls.append(args)
            if len(calls) == 2:
                signal.raise_signal(signal.SIGINT)
            return read(self, *args)

    def opened(path, **options):
        with Interrupted(open(path, "rb"), encoding="utf-8") as file:
            yield from pd.read_csv(file, chunksize=1000)

    def chunks(path, *args, **options):
        return opened(str(path))

    monkeypatch.setattr(stream, "read_chunks", chunks)
    with pytest.raises(KeyboardInterrupt):
        clf.predict_file(tmp_path / "a.csv", tmp_path / "b.csv")
    assert len(calls) == 2 and [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_file_may_replace_itself_and_a_link_stays(clf, tmp_path):
    frame = make_frame(30)
    frame.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    clf.predict_file(tmp_path / "a.csv", tmp_path / "link.csv", chunk_rows=7, overwrite=True)
    assert (tmp_path / "link.csv").is_symlink()
    check(clf, pd.read_csv(tmp_path / "a.csv"), frame["review"])


def test_a_file_that_changes_meanwhile_is_noticed(clf, tmp_path, monkeypatch):
    make_frame(30).to_csv(tmp_path / "a.csv", index=False)
    look = stream._look_through

    def look_and_change(*args):
        found = look(*args)
        make_frame(20).to_csv(tmp_path / "a.csv", index=False)
        return found

    monkeypatch.setattr(stream, "_look_through", look_and_change)
    with pytest.raises(ValueError, match="changed while it was read"):
        clf.predict_file(tmp_path / "a.csv", tmp_path / "b.csv")
    assert not (tmp_path / "b.csv").exists()


# --- memory and progress ------------------------------------------------------------------


def test_few_rows_are_alive_at_once(clf, tmp_path, monkeypatch):
    make_frame(600).to_csv(tmp_path / "a.csv", index=False)
    chunks, most = [], []

    def counted(*args, **options):
        for chunk in readers.read_chunks(*args, **options):
            chunks.append(weakref.ref(chunk))
            most.append(sum(len(alive()) for alive in chunks if alive() is not None))
            yield chunk

    monkeypatch.setattr(stream, "read_chunks", counted)
    clf.predict_file(tmp_path / "a.csv", tmp_path / "b.csv", chunk_rows=10)
    assert len(most) == 2 * 60  # all rows checked, then scored
    assert max(most) <= 30


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(clf, tmp_path, kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")

    def peak(rows):
        frame = make_frame(rows)
        frame["review"] += " and more" * 200
        given = tmp_path / f"a.{kind}"
        frame.to_csv(given) if kind == "csv" else frame.to_parquet(given)
        tracemalloc.start()
        clf.predict_file(given, tmp_path / f"b.{kind}", chunk_rows=50, overwrite=True)
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(200)
    assert peak(2000) < 1.3 * peak(500)


def test_bar_counts_rows(tmp_path):
    screen = io.StringIO()
    with RowBar(screen) as progress:
        progress.look("a.csv")
        progress.looked(40)
        assert (progress.bar.total, progress.bar.n) == (None, 40)
        progress.start(40)
        progress.begin(20)
        progress.part(0.5)
        assert (progress.bar.total, progress.bar.n) == (40, 10)
        progress.part(1.0)
        progress.begin(20)
        progress.part(1.0)
        assert progress.bar.n == 40
    assert "checking a.csv" in screen.getvalue() and "rows" in screen.getvalue()


def test_lines_in_a_log_tell_rows_and_time_left(capsys):
    progress = RowLines(every=0.0)
    progress.start(40)
    progress.begin(20)
    progress.part(0.5)
    progress.part(1.0)
    progress.begin(20)
    progress.part(0.25)
    lines = capsys.readouterr().err.splitlines()
    counts = [line.split(" rows scored")[0] for line in lines]
    assert counts == ["10 of 40", "20 of 40", "25 of 40"]
    assert all(line.endswith(" left") for line in lines)


def test_display_counts_the_rows_of_a_file(clf, tmp_path, monkeypatch):
    class Shown(SilentRows):
        counts = []

        def show(self, rows):
            self.counts.append((rows, self.total))

    monkeypatch.setattr(stream, "row_progress", lambda verbose: Shown())
    make_frame(25).to_csv(tmp_path / "a.csv", index=False)
    clf.predict_file(tmp_path / "a.csv", tmp_path / "b.csv", chunk_rows=10)
    assert {(10, 25), (20, 25)} < set(Shown.counts) and Shown.counts[-1] == (25, 25)
