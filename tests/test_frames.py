"""Tables of every library go in, and tables of the same library come out."""

import builtins
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from test_classifier import make_texts

from bertsent import BertRegressor
from bertsent.texts import check_texts, check_weights, in_memory

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")

TEXTS, LABELS = make_texts(16)
INDEX = [f"row {n}" for n in range(16)][::-1]
FRAME = pd.DataFrame({"review": TEXTS, "n": range(16), "label": LABELS}, index=INDEX)


class Stream:
    """A table or column of another library, of which only Arrow's PyCapsule interface is known."""

    def __init__(self, data):
        self.data = data

    def __arrow_c_stream__(self, requested_schema=None):
        return self.data.__arrow_c_stream__(requested_schema)


def relation(query):
    """A relation over FRAME, which is called `data` there."""
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register("data", pa.table(FRAME.reset_index(drop=True)))
    return connection.sql(query)


@pytest.fixture(scope="module")
def clf(base):
    return maker(base)().fit(TEXTS, LABELS)


# --- what goes in ---------------------------------------------------------------------------

COLUMNS = {
    "object": lambda v: pd.Series(v, dtype=object),
    "string[python]": lambda v: pd.Series(v, dtype="string[python]"),
    "string[pyarrow]": lambda v: pd.Series(v, dtype="string[pyarrow]"),
    "category": lambda v: pd.Series(v, dtype="category"),
    "ArrowDtype": lambda v: pd.Series(v, dtype=pd.ArrowDtype(pa.large_string())),
    "polars": pl.Series,
    "polars categorical": lambda v: pl.Series(v).cast(pl.Categorical),
    "polars frame": lambda v: pl.DataFrame({"a": v}),
    "array": pa.array,
    "dictionary": lambda v: pa.array(v).dictionary_encode(),
    "chunked": lambda v: pa.chunked_array([v[:5], v[5:]]),
    "table": lambda v: pa.table({"a": v}),
    "batch": lambda v: pa.record_batch({"a": v}),
    "stream of a table": lambda v: Stream(pa.table({"a": v})),
    "stream of a column": lambda v: Stream(pa.chunked_array([v])),
    "reader": lambda v: pa.table({"a": v}).to_reader(),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_every_kind_are_texts_and_labels(kind, clf):
    make = COLUMNS[kind]
    assert check_texts(make(TEXTS)) == TEXTS
    assert np.array_equal(clf.predict_proba(make(TEXTS)), clf.predict_proba(TEXTS))
    assert clf.score(make(TEXTS), make(LABELS)) == clf.score(TEXTS, LABELS)
    found = clf.evaluate(make(TEXTS), make(LABELS))
    assert found == clf.evaluate(TEXTS, LABELS)


@pytest.mark.parametrize("kind", ["category", "stream of a table", "reader", "dictionary"])
def test_a_fit_from_other_kinds_is_the_same(kind, clf, base):
    make = COLUMNS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = maker(base)().fit(make(TEXTS), make(LABELS))
    assert np.array_equal(other.predict_proba(TEXTS), clf.predict_proba(TEXTS))


WEIGHTS = np.linspace(0.25, 4.0, 16)
WEIGHT_COLUMNS = {
    "pandas": pd.Series, "polars": pl.Series, "array": pa.array,
    "ArrowDtype": lambda v: pd.Series(v, dtype=pd.ArrowDtype(pa.float64())),
    "chunked": lambda v: pa.chunked_array([v[:5], v[5:]]),
    "stream of a column": lambda v: Stream(pa.chunked_array([v])),
    "stream of a table": lambda v: Stream(pa.table({"weight": v})),
    "relation": lambda v: relation("SELECT CAST((n + 1) * 0.25 AS DECIMAL(6, 2)) FROM data"),
}


@pytest.mark.parametrize("kind", WEIGHT_COLUMNS)
def test_columns_of_every_kind_are_weights(kind, clf):
    make = WEIGHT_COLUMNS[kind]
    found = check_weights(make(WEIGHTS), 16)
    assert found.dtype == np.float32 and np.array_equal(found, WEIGHTS.astype(np.float32))
    assert clf.score(TEXTS, LABELS, make(WEIGHTS)) == clf.score(TEXTS, LABELS, WEIGHTS)


def test_weights_that_are_none_are_named():
    for weights, message in (
        (relation("SELECT review FROM data"), "does not consist of numbers"),
        (relation("SELECT n, n AS m FROM data"), "pass one (number|weight) for each text"),
        (relation("SELECT nullif(n, 3) FROM data"), r"sample_weight\[3\] is nan"),
        (relation("SELECT n FROM data LIMIT 3"), "3 values of sample_weight"),
    ):
        with pytest.raises(ValueError, match=message):
            check_weights(weights, 16)


def test_relations_of_duckdb_are_read(clf, base):
    texts, labels = relation("select review from data"), relation("select label from data")
    assert check_texts(texts) == TEXTS
    assert np.array_equal(clf.predict_proba(texts), clf.predict_proba(TEXTS))
    other = maker(base)().fit(texts, labels)
    assert np.array_equal(other.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    both = relation("select review, label from data")
    assert check_texts(both) == list(zip(TEXTS, LABELS, strict=True))
    settings = {"max_length": 8, "epochs": 1, "random_state": 0, "verbose": 0, "n_threads": 1}
    reg = BertRegressor(base, **settings).fit(texts, relation("select n from data"))
    assert reg.predict(texts).shape == (16,)
    indicators = relation("select (n % 2)::int as a, (n % 3 = 0)::int as b from data")
    many = maker(base)().fit(texts, indicators)
    assert many.predict_proba(texts).shape == (16, 2)


def test_data_in_memory_are_not_touched(monkeypatch):
    for data in (TEXTS, None, FRAME, FRAME["review"], pl.DataFrame(FRAME), pa.table(FRAME)):
        assert in_memory(data) is data
    lazy = pl.DataFrame(FRAME).lazy()
    with pytest.raises(TypeError, match=r"load it into a DataFrame with X\.collect\(\) first"):
        check_texts(lazy)
    real = builtins.__import__
    stream = Stream(pa.array(TEXTS))

    def without(name, *others):
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"y is a Stream.*pip install 'bertsent\[parquet\]'"):
        in_memory(stream, "y")


# --- what comes out -------------------------------------------------------------------------

NAMES = [
    "predicted_label", "confidence", "probability_negative", "probability_positive", "tokens",
    "tokens_read", "cut",
]


def expected(clf):
    """The columns, from other methods."""
    probabilities = clf.predict_proba(TEXTS)
    counts = clf.tokens_read(TEXTS)
    return pd.DataFrame({
        "predicted_label": clf.predict(TEXTS), "confidence": probabilities.max(axis=1),
        "probability_negative": probabilities[:, 0], "probability_positive": probabilities[:, 1],
        "tokens": counts["tokens"], "tokens_read": counts["tokens_read"],
        "cut": counts["tokens_read"] < counts["tokens"],
    })


def test_every_method_checks_the_names_of_the_columns_of_a_stream(base):
    clf = maker(base)().fit(FRAME[["review"]], LABELS)
    for method in (clf.encode, clf.predict, clf.seen_in_training, clf.tokens_read):
        with pytest.raises(ValueError, match="feature names"):
            method(Stream(pa.table({"other": TEXTS})))
    assert clf.encode(Stream(pa.table({"review": TEXTS}))).shape == (16, 32)


def test_a_frame_of_pandas_keeps_index_and_order(clf):
    found = clf.predict_frame(FRAME, text="review")
    assert list(found.columns) == NAMES and list(found.index) == INDEX
    wanted = expected(clf).set_axis(INDEX)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    assert found["tokens"].dtype == np.int64 and found["cut"].dtype == bool
    twice = pd.concat([FRAME, FRAME]).assign(tokens=-1)  # its index labels are not unique
    found_twice = clf.predict_frame(twice, "review")
    assert list(found_twice.index) == INDEX * 2
    both = twice.assign(**found_twice)  # as the documentation says
    assert set(both.columns) == {*FRAME.columns, *NAMES} and list(both.index) == INDEX * 2
    for name in NAMES:
        assert both[name].tolist() == found[name].tolist() * 2
    pd.testing.assert_frame_equal(clf.predict_frame(FRAME[["review"]]), found)
    of_series = clf.predict_frame(FRAME["review"])
    pd.testing.assert_frame_equal(of_series, found)
    pd.testing.assert_frame_equal(
        clf.predict_frame(TEXTS), found.reset_index(drop=True), check_dtype=False
    )


def test_tables_of_other_libraries(clf):
    wanted = expected(clf).to_dict("list")
    tables = {
        pl.DataFrame: [pl.DataFrame(FRAME), pl.Series(TEXTS)],
        pa.Table: [
            pa.table(FRAME), pa.record_batch(FRAME), Stream(pa.table(FRAME)), pa.array(TEXTS),
        ],
    }
    for kind, given in tables.items():
        for data in given:
            text = "review" if hasattr(data, "schema") or hasattr(data, "data") else None
            found = clf.predict_frame(data, text)
            assert type(found) is kind
            columns = found.to_dict(as_series=False) if kind is pl.DataFrame else found.to_pydict()
            assert columns == wanted


def test_relations_and_frames_of_narwhals(clf):
    found = clf.predict_frame(relation("select review, n from data"), text="review")
    assert type(found) is pa.Table and found.to_pydict() == expected(clf).to_dict("list")
    for name in ("narwhals", "narwhals.stable.v1"):
        nw = pytest.importorskip(name)
        found = clf.predict_frame(nw.from_native(pl.DataFrame(FRAME)), text="review")
        assert type(found) is nw.DataFrame and found.to_native().columns == NAMES


def test_what_was_cut_is_told(clf):
    long = ["a film " * 20, "a film"]
    found = clf.set_params(inference_long_text="tail").predict_frame(long)
    assert found["tokens"].tolist() == [40, 2]
    assert found["tokens_read"].tolist() == [14, 2] and found["cut"].tolist() == [True, False]
    found = clf.set_params(inference_long_text="windows").predict_frame(long)
    assert found["tokens_read"].tolist() == [40, 2] and not found["cut"].any()


def test_labels_can_be_missing(clf):
    for data, missing in ((FRAME, pd.isna), (pl.DataFrame(FRAME), lambda label: label is None)):
        found = clf.predict_frame(data, text="review", abstain=1.0)
        assert all(missing(label) for label in found["predicted_label"])
    assert pa.table(clf.predict_frame(pa.table(FRAME), "review", abstain=1.0)).num_rows == 16


@pytest.mark.parametrize(("labels", "kind"), [
    (LABELS, pl.String), ([n % 2 for n in range(16)], pl.Int64),
    ([n % 2 == 0 for n in range(16)], pl.Boolean),
    (pd.Series(LABELS, dtype="category"), pl.String),
], ids=["str", "int", "bool", "category"])
def test_labels_have_a_type_even_if_all_are_missing(base, labels, kind):
    clf, frame = maker(base)().fit(TEXTS, labels), pl.DataFrame(FRAME)
    whole = clf.predict_frame(frame, "review")
    assert whole["predicted_label"].dtype == kind
    arrow = clf.predict_frame(pa.table(FRAME), "review").schema.field("predicted_label").type
    for rows, abstain in ((frame, 1.0), (frame[:0], None), (frame[:0], 0.5)):
        found = clf.predict_frame(rows, "review", abstain=abstain)
        assert pl.concat([whole, found]).height == 16 + rows.height
        found = clf.predict_frame(pa.table(FRAME)[:rows.height], "review", abstain=abstain)
        assert found.schema.field("predicted_label").type == arrow
        (batch,) = clf.predict_batches([rows], "review", abstain=abstain)
        assert batch["predicted_label"].dtype == kind
        (batch,) = clf.predict_batches(
            [pa.table(FRAME)[:rows.height]], "review", abstain=abstain
        )
        assert batch.schema.field("predicted_label").type == arrow


def test_columns_may_have_other_names_than_strings(clf):
    wanted = clf.predict_proba(TEXTS)[:, 0]
    numbered = pd.DataFrame({0: TEXTS, 1: range(16)})
    assert np.array_equal(clf.predict_frame(numbered, 0)["probability_negative"], wanted)
    nested = pd.DataFrame({("a", "t"): TEXTS, ("a", "n"): range(16)})
    for text in (("a", "t"), [("a", "t")]):
        found = clf.predict_frame(nested, text)
        assert np.array_equal(found["probability_negative"], wanted)


def test_categories_stay_categories_in_pandas(base):
    clf = maker(base)().fit(TEXTS, pd.Series(LABELS, dtype="category"))
    assert clf.predict_frame(FRAME, "review")["predicted_label"].dtype == "category"
    assert clf.predict_frame(pl.DataFrame(FRAME), "review")["predicted_label"].dtype == pl.String


def test_several_labels_numbers_and_pairs(base):
    sets = [["a"] if n % 2 else ["b"] * (n % 3) for n in range(16)]
    found = maker(base)().fit(TEXTS, sets).predict_frame(pl.DataFrame(FRAME), "review")
    assert found.columns == [
        "predicted_labels", "probability_a", "probability_b", "tokens", "tokens_read", "cut"
    ]
    settings = {"max_length": 8, "epochs": 1, "random_state": 0, "verbose": 0, "n_threads": 1}
    reg = BertRegressor(base, **settings).fit(TEXTS, FRAME["n"])
    found = reg.predict_frame(FRAME, text="review")
    assert list(found.columns) == ["prediction", "tokens", "tokens_read", "cut"]
    assert np.array_equal(found["prediction"], reg.predict(TEXTS))
    two = pd.DataFrame({"low": range(16), "high": range(16)})
    found = BertRegressor(base, **settings).fit(TEXTS, two).predict_frame(pa.table(FRAME), "review")
    assert found.column_names[:2] == ["prediction_low", "prediction_high"]
    pairs = FRAME.assign(answer=TEXTS[::-1])
    clf = maker(base)().fit(pairs[["review", "answer"]], LABELS)
    found = clf.predict_frame(pairs, text=["review", "answer"])
    wanted = clf.predict_proba(pairs[["review", "answer"]])[:, 0]
    assert np.array_equal(found["probability_negative"], wanted) and list(found.index) == INDEX
    for table in (pl.DataFrame(pairs), pa.table(pairs)):
        other = clf.predict_frame(table, text=("review", "answer"))
        assert np.array_equal(np.asarray(other["probability_negative"]), wanted)
    with pytest.raises(ValueError, match="text='review' names 1 column; the model expects two"):
        clf.predict_frame(pairs, text="review")
    with pytest.raises(ValueError, match=r"name the two columns of texts, such as text=\['review'"):
        clf.predict_frame(pairs)


@pytest.mark.parametrize(("frame", "text", "error", "message"), [
    (FRAME, None, ValueError, "frame has 3 columns; name the column of texts, .*text='review'"),
    (FRAME, "reviews", ValueError, "frame has no column 'reviews'.*is it 'review'"),
    (FRAME, ["review", "n"], ValueError, "names 2 columns; the model expects one column"),
    (FRAME, [], ValueError, "names 0 columns"),
    (FRAME, 0, ValueError, "frame has no column 0; its columns are: review"),
    (pa.table(FRAME), 0, ValueError, "frame has no column 0"),
    (FRAME, "n", TypeError, r"row 0 of column 'n' \(index 'row 15'\) is not a text"),
    (TEXTS, "review", TypeError, "is the name of a column, but frame is a list"),
    (FRAME["review"], "review", TypeError, "frame is a Series, which has none"),
    (3, None, TypeError, "X is an int"),
])
def test_mistakes_are_explained(clf, frame, text, error, message):
    with pytest.raises(error, match=message):
        clf.predict_frame(frame, text)
