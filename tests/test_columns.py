"""Texts in every container: one column is taken by all methods, the rest is described."""

import io
import pathlib
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from test_classifier import make_texts

import bertsent
from bertsent.texts import check_texts

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning")

TEXTS, LABELS = make_texts(16)
VECTOR = np.array(TEXTS, dtype=object)[:, None]


class ArrayLike:
    """What can become an array and is nothing else, such as the tensors of other libraries."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


class LabelledArray(ArrayLike):
    """An array of another library, whose items are arrays of no dimension."""

    dtype = np.dtype(object)

    @property
    def shape(self):
        return np.shape(self.values)

    def __len__(self):
        return len(self.values)

    def __iter__(self):
        return map(ArrayLike, self.values)

    def __getitem__(self, key):
        return LabelledArray(np.array(self.values)[key])


ACCEPTED = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "values of a dict": dict(enumerate(TEXTS)).values(),
    "series with an odd index": pd.Series(TEXTS, index=[*range(7, 0, -1), *range(7, 16)]),
    "index": pd.Index(TEXTS),
    "categorical": pd.Series(TEXTS, dtype="category"),
    "StringDType": np.array(TEXTS, np.dtypes.StringDType()),
    "Polars series": pl.Series(TEXTS),
    "Arrow chunks": pa.chunked_array([TEXTS[:3], TEXTS[3:]]),
    "Arrow scalars": list(pa.array(TEXTS)),
    "frame": pd.DataFrame({"review": TEXTS}, index=range(50, 66)),
    "frame of string": pd.DataFrame({"review": TEXTS}, dtype="string"),
    "frame of string[pyarrow]": pd.DataFrame({"review": TEXTS}, dtype="string[pyarrow]"),
    "frame with a number as name": pd.DataFrame({0: TEXTS}),
    "frame with levels": pd.DataFrame({("a", "review"): TEXTS}),
    "Polars frame": pl.DataFrame({"review": TEXTS}),
    "Polars frame of a categorical": pl.DataFrame({"r": pl.Series(TEXTS, dtype=pl.Categorical)}),
    "Arrow table": pa.table({"review": TEXTS}),
    "record batch": pa.record_batch({"review": TEXTS}),
    "(n, 1) of objects": VECTOR,
    "(n, 1) of U": VECTOR.astype(str),
    "(n, 1) of StringDType": VECTOR.astype(np.dtypes.StringDType()),
    "(n, 1) that is not contiguous": np.hstack([VECTOR, VECTOR])[:, :1],
    "(n, 1) without masked texts": np.ma.array(VECTOR),
    "matrix": np.asmatrix(VECTOR),
    "structured array": np.array([(text,) for text in TEXTS], dtype=[("review", "U99")]),
    "records": pd.DataFrame({"review": TEXTS}).to_records(index=False),
    "array-like": ArrayLike(TEXTS),
    "array-like of shape (n, 1)": ArrayLike(VECTOR),
    "array of another library": LabelledArray(TEXTS),
    "array of another library, of shape (n, 1)": LabelledArray(VECTOR),
}


@pytest.fixture(scope="module")
def expected(base):
    clf = bertsent.BertClassifier(
        base, max_length=16, epochs=1, batch_size=8, learning_rate=2e-3, random_state=0,
        verbose=0, n_threads=1, track_examples=True,
    )
    return clf.fit(TEXTS, LABELS)


@pytest.mark.parametrize("kind", ACCEPTED)
def test_all_methods_take_a_column(make, expected, kind):
    X = ACCEPTED[kind]
    clf = make(track_examples=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", FutureWarning)
        warnings.simplefilter("ignore", bertsent.errors.FreshWeightsWarning)
        clf.fit(X, LABELS, X_val=X, y_val=LABELS)
        probabilities = clf.predict_proba(X)
        assert np.array_equal(probabilities, expected.predict_proba(TEXTS))
        assert clf.predict(X).tolist() == expected.predict(TEXTS).tolist()
        assert np.array_equal(clf.decision_function(X), expected.decision_function(TEXTS))
        assert clf.score(X, LABELS) == expected.score(TEXTS, LABELS)
        assert clf.evaluate(X, LABELS).accuracy == expected.score(TEXTS, LABELS)
        assert clf.seen_in_training(X).all()
        tokens = clf.tokens_read(X)
        assert tokens["tokens"].tolist() == expected.tokens_read(TEXTS)["tokens"].tolist()
        audited = clf.audit(X, X_test=X, y_test=LABELS)
        if isinstance(X, pd.Series | pd.DataFrame):
            assert tokens.index.equals(X.index)
            assert set(audited["row"]) == set(X.index)
        clf.partial_fit(X, LABELS)
    assert clf.n_features_in_ == 1


def test_the_frame_of_one_column_is_read_in_place_where_its_column_is():
    for frame in (pl.DataFrame({"r": TEXTS}), pa.table({"r": TEXTS}), ACCEPTED["frame of string"]):
        in_place = check_texts(frame, arrow=True)
        if not isinstance(frame, pd.DataFrame):
            assert not isinstance(in_place, list)
        assert len(in_place) == 16


REFUSED = {
    "two columns": (
        pd.DataFrame({"id": [1, 2], "review": ["a", "b"], "stars": [5, 1]}),
        r"X is a DataFrame with the columns \['id', 'review', 'stars'\]; .*X\['review'\]",
    ),
    "many columns": (
        pd.DataFrame(np.zeros((2, 300)), columns=[f"c{i}" for i in range(300)]),
        r"'c9'\] and 290 more; .*X\['c0'\]",
    ),
    "no columns": (pd.DataFrame(index=range(2)), "X is a DataFrame without columns"),
    "repeated names": (pd.DataFrame([["a", "b"]] * 2, columns=["r", "r"]), r"'r', 'r'"),
    "two columns of Polars": (pl.DataFrame({"id": [1], "t": ["a"]}), r"'id', 't'.*X\['t'\]"),
    "two columns of Arrow": (
        pa.table({"id": [1], "t": ["a"]}), r"X is a Table with.*'id', 't'.*X\['t'\]",
    ),
    "two columns of a batch": (
        pa.record_batch({"id": [1], "t": ["a"]}), r"X is a RecordBatch with.*'id', 't'.*X\['t'\]",
    ),
    "lazy frame": (pl.LazyFrame({"t": ["a"]}), r"X is a LazyFrame; .* X.collect\(\) first"),
    "records": (
        pd.DataFrame({"id": [1], "t": ["a"]}).to_records(index=False),
        r"X is a structured array with the columns \['id', 't'\].*X\['t'\]",
    ),
    "frame of numbers": (pd.DataFrame({"stars": [1, 2]}), "row 0 of column 'stars' is not a text"),
    "missing in a frame": (
        pd.DataFrame({"text": ["a", None]}, index=[3, 9]), r"row 1 of column 'text' .index 9. is",
    ),
    "missing in a Polars frame": (pl.DataFrame({"r": ["a", None]}), r"X\[1\] is None"),
    "masked": (np.ma.array(["a", "b"], mask=[0, 1]), r"X\[1\] is None"),
    "masked column": (np.ma.array([["a"], ["b"]], mask=[[0], [1]]), r"X\[1\] is None"),
    "row": (np.array([["a", "b", "c"]]), r"X has shape \(1, 3\); pass one .*X\[:, 0\].*X\[:, :2\]"),
    "numbers": (np.zeros((3, 4)), r"X has shape \(3, 4\)"),
    "one column of numbers": (np.zeros((3, 1)), r"X\[0\] is not a text.*float"),
    "three dimensions": (np.full((2, 1, 1), "a"), r"X has shape \(2, 1, 1\)"),
    "no dimension": (np.array("a"), r"X is a single ndarray; pass a list of texts, such as \[text"),
    "sparse": (scipy.sparse.csr_matrix(np.eye(2)), r"sparse matrix of shape \(2, 2\).*vectorizer"),
    "sparse array": (scipy.sparse.coo_array(np.eye(2)), "sparse matrix"),
    "dict": ({"review": ["a"], "id": [1]}, r"dict with the keys \['review', 'id'\].*X\['review'\]"),
    "set": ({"a", "b"}, r"X is a set; .*list\(X\)"),
    "generator": ((text for text in "ab"), r"X is a generator; .*list\(X\)"),
    "map": (map(str, "ab"), r"X is a map; .*list\(X\)"),
    "file": (io.StringIO("a\nb"), r"X is a StringIO; .*list\(X\)"),
    "str": ("a", r"X is a single str; .*\[text\]"),
    "numpy.str_": (np.str_("a"), "X is a single str_"),
    "bytes": (b"a", "X is a single bytes"),
    "bytearray": (bytearray(b"a"), "X is a single bytearray"),
    "None": (None, "X is None; pass a list, Series or array of texts"),
    "number": (3.5, "X is a float"),
    "class": (pd.DataFrame, "X is a type"),
    "rows": ([["a"], ["b"]], r"X\[0\] .* list \(\['a'\]\); .*\[row\[0\] for row in X\]"),
    "rows of a database": ([("a",)], r"X\[0\] .* tuple .*\[row\[0\] for row in X\]"),
    "dictionaries": ([{"text": "a"}], r"X\[0\] .* dict .*row\['text'\] for row in X"),
    "paths": ([pathlib.Path("a.txt")], r"X\[0\] .*read the file first"),
    "several levels": (pd.MultiIndex.from_tuples([("a", "b", "c")]), r"X\[0\] .* tuple"),
    "binary of Arrow": (pa.array([b"a"]), r"X\[0\] .* bytes .*decode it first"),
    "missing in StringDType": (
        np.array(["a", None], np.dtypes.StringDType(na_object=None)), r"X\[1\] is None",
    ),
    "NA as label of a row": (pd.Series(["a", None], index=[pd.NA, pd.NA]), "row 1 .index <NA>."),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("arrow", [False, True])
def test_what_is_no_column_of_texts_is_described(kind, arrow):
    X, message = REFUSED[kind]
    with pytest.raises(TypeError, match=message) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        check_texts(X, arrow=arrow)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", ["two columns", "row", "sparse", "dict", "masked", "rows"])
def test_all_methods_describe_it(make, expected, kind):
    X, message = REFUSED[kind]
    calls = [
        lambda: make().fit(X, LABELS), lambda: make().partial_fit(X, LABELS, LABELS),
        lambda: make().fit(TEXTS, LABELS, X_val=X, y_val=LABELS),
        lambda: expected.predict(X), lambda: expected.predict_proba(X),
        lambda: expected.decision_function(X), lambda: expected.score(X, LABELS),
        lambda: expected.evaluate(X, LABELS),
        lambda: expected.audit(X), lambda: expected.audit(TEXTS, X_test=X),
        lambda: expected.tokens_read(X), lambda: expected.seen_in_training(X),
        lambda: list(expected.predict_batches([X])) if kind != "two columns" else make().fit(X, X),
    ]
    for number, call in enumerate(calls):
        name = {2: "X_val", 9: "X_test"}.get(number, "X")
        with pytest.raises(TypeError, match=message.replace("X", name)):
            call()


def test_pretraining_takes_columns_too(base, tmp_path):
    for kind in ("frame", "Polars frame", "(n, 1) of objects"):
        found = bertsent.pretrain(
            ACCEPTED[kind], tmp_path / kind, model=base, epochs=1, max_length=16, verbose=0,
        )
        assert len(found.history) == 1


# --- names of columns ---------------------------------------------------------------------


def test_the_name_of_the_column_is_known_as_in_scikit_learn(make, tmp_path):
    for kind in ("frame", "Polars frame", "Arrow table", "structured array"):
        clf = make().fit(ACCEPTED[kind], LABELS)
        assert clf.feature_names_in_.dtype == object
        assert clf.feature_names_in_.tolist() == ["review"]
    clf.save_pretrained(tmp_path / "saved")
    for each in (clf, bertsent.BertClassifier.from_pretrained(tmp_path / "saved")):
        each.predict(ACCEPTED["frame"])
        each.predict(TEXTS)
        each.predict(ACCEPTED["frame with a number as name"])
        for call in (each.predict, each.seen_in_training, each.tokens_read):
            with pytest.raises(ValueError, match="feature names should match.*'title'.*'review'"):
                call(pd.DataFrame({"title": TEXTS}))
    with pytest.raises(ValueError, match="feature names should match"):
        clf.partial_fit(pd.DataFrame({"title": TEXTS}), LABELS)
    assert clf.partial_fit(TEXTS, LABELS).feature_names_in_.tolist() == ["review"]
    clf.fit(TEXTS, LABELS)
    assert not hasattr(clf, "feature_names_in_")
    assert make().partial_fit(ACCEPTED["frame"], LABELS, LABELS).feature_names_in_ == ["review"]


@pytest.mark.parametrize("kind", ["list", "index", "(n, 1) of U", "frame with levels"])
def test_other_texts_have_no_feature_names(make, kind):
    clf = make()
    assert not hasattr(clf, "feature_names_in_")
    clf.fit(ACCEPTED[kind], LABELS)
    with pytest.raises(AttributeError, match="feature_names_in_ is not defined"):
        clf.feature_names_in_  # noqa: B018


def test_a_name_that_files_cannot_contain_is_not_kept(make, tmp_path):
    name = pd.Index(["re\ud83dview"], dtype=object)
    clf = make().fit(pd.DataFrame(VECTOR, columns=name), LABELS)
    clf.save_pretrained(tmp_path / "saved")
    assert not hasattr(clf, "feature_names_in_")


# --- batches ------------------------------------------------------------------------------


def test_batches_of_every_library_come_back_as_what_they_are(expected):
    labels, confidence = expected.predict(TEXTS), expected.predict_proba(TEXTS).max(axis=1)
    frame = pd.DataFrame({"id": range(16), "review": TEXTS}, index=range(40, 56))
    (found,) = expected.predict_batches([frame], "review")
    assert isinstance(found, pd.DataFrame) and found.index.equals(frame.index)
    polars = pl.DataFrame(frame.to_dict("list"))
    found = list(expected.predict_batches(polars.iter_slices(5), "review"))
    assert all(isinstance(one, pl.DataFrame) for one in found)
    found = pl.concat(found)
    assert found.columns == ["id", "review", "predicted_label", "confidence"]
    assert found["predicted_label"].to_list() == labels.tolist()
    np.testing.assert_allclose(found["confidence"].to_numpy(), confidence, rtol=1e-6)
    table = pa.table(frame.to_dict("list"))
    for batches in ([table], table.to_batches(max_chunksize=6)):
        found = pa.concat_tables(expected.predict_batches(batches, "review"))
        assert found.column_names == ["id", "review", "predicted_label", "confidence"]
        assert found["predicted_label"].to_pylist() == labels.tolist()
    for batch in (pl.Series(TEXTS), pa.array(TEXTS), np.array(TEXTS), VECTOR):
        (found,) = expected.predict_batches([batch])
        assert found["predicted_label"].tolist() == labels.tolist()


def test_batches_of_one_column_need_no_name(expected):
    for kind in ("frame", "Polars frame", "Arrow table"):
        (found,) = expected.predict_batches([ACCEPTED[kind]])
        assert list(found.columns if "Arrow" not in kind else found.column_names) == [
            "review", "predicted_label", "confidence",
        ]


def test_categories_and_truth_values_reach_frames_of_other_libraries(make):
    for y, kind in ((pd.Series(LABELS, dtype="category"), pl.String),
                    (LABELS == "positive", pl.Boolean)):
        clf = make().fit(TEXTS, y)
        (found,) = clf.predict_batches([pl.DataFrame({"review": TEXTS})])
        assert found["predicted_label"].dtype == kind
        assert found["predicted_label"].to_list() == clf.predict(TEXTS).tolist()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (pd.DataFrame({"t": TEXTS}), r"batches is a DataFrame, but .*\[batches\].*batches\['t'\]"),
        (pl.DataFrame({"review": TEXTS}), "batches is a DataFrame, but should be an iterable"),
        (pa.table({"review": TEXTS}), "batches is a Table, but should be an iterable"),
        (pd.Series(TEXTS), r"batches is a Series, but .*iterable of batches of texts.*\[batches\]"),
        (pl.Series(TEXTS), "batches is a Series, but"),
        (np.array(TEXTS), "batches is a ndarray, but"),
        (VECTOR, "batches is a ndarray, but"),
        (pa.array(TEXTS), "batches is a StringArray, but"),
        ("a text", "batches is a str, but"),
        (TEXTS, r"batches\[0\] is a text, not a batch of texts; .*\[texts\]"),
        (iter(TEXTS), r"batches\[0\] is a text, not a batch"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_single_batch_in_place_of_batches_is_explained(expected, batches, message):
    with pytest.raises(TypeError, match=message):
        list(expected.predict_batches(batches))


def test_batches_without_their_column_are_refused(expected):
    two = {"id": [1], "review": ["a"]}
    for frame in (pd.DataFrame(two), pl.DataFrame(two), pa.table(two)):
        with pytest.raises(ValueError, match="batch 0 is a DataFrame.*id, review"):
            list(expected.predict_batches([frame]))
        with pytest.raises(ValueError, match="'body'.*id, review"):
            list(expected.predict_batches([frame], "body"))
    taken = pl.DataFrame({"review": ["a"], "confidence": [1.0]})
    with pytest.raises(ValueError, match="batch 0 has a column 'confidence' already"):
        list(expected.predict_batches([taken], "review"))
