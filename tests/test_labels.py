"""Labels of every type: taken by all methods as what they are, or refused in one line."""

import contextlib
import datetime
import decimal
import enum
import io
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings, strategies as st
from sklearn.exceptions import DataConversionWarning
from test_classifier import make_texts

import bertsent
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.files import Field
from bertsent.texts import (
    LabelType,
    check_texts,
    check_training_texts,
    check_weights,
    class_factors,
    column_labels,
    describe_doubts,
    encode_labels,
    learn_labels,
    match_labels,
)

pa = pytest.importorskip("pyarrow")
pl = pytest.importorskip("polars")

pytestmark = pytest.mark.filterwarnings("ignore::bertsent.errors.FreshWeightsWarning")

TEXTS, _ = make_texts(16)
REVIEWS = [f"{text} and this is number {i}" for i, text in enumerate(TEXTS)]
# Which of two classes each text has.
CODES = [0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1]


class Mood(str, enum.Enum):
    BAD, GOOD = "bad", "good"


class Star(enum.IntEnum):
    ONE, FIVE = 1, 5


class Plain(enum.Enum):
    A, B = 1, 2


def column(values):
    return [values[code] for code in CODES]


def objects(values):
    array = np.empty(len(CODES), dtype=object)
    array[:] = column(values)
    return array


def series(values, dtype, **options):
    return pd.Series(column(values), dtype=dtype, index=range(100, 116), **options)


def categorical(categories, used, ordered=False):
    dtype = pd.CategoricalDtype(categories, ordered)
    return pd.Series(pd.Categorical(column(used), dtype=dtype))


BA, TF, BIG = ("b", "a"), (True, False), (2**63 + 1, 2**63)

# What a user may pass, and the two labels in it as Python has them.
ACCEPTED = {
    "list of str": (column(BA), BA),
    "tuple of str": (tuple(column(BA)), BA),
    "values of a dict": (dict(enumerate(column(BA))).values(), BA),
    "U array": (np.array(column(BA)), BA),
    "objects of numpy.str_": (objects([np.str_("b"), np.str_("a")]), BA),
    "StringDType": (np.array(column(BA), np.dtypes.StringDType()), BA),
    "StringDType with a missing value": (
        np.array(column(BA), np.dtypes.StringDType(na_object=None)), BA,
    ),
    "string[python]": (series(BA, "string[python]"), BA),
    "string[pyarrow]": (series(BA, "string[pyarrow]"), BA),
    "str of pandas": (series(BA, "str"), BA),
    "ArrowDtype": (series(BA, pd.ArrowDtype(pa.string())), BA),
    "index": (pd.Index(column(BA)), BA),
    "Polars String": (pl.Series(column(BA)), BA),
    "Polars Categorical": (pl.Series(column(BA), dtype=pl.Categorical), BA),
    "Polars Enum": (pl.Series(column(BA), dtype=pl.Enum(["c", "b", "a"])), BA),
    "Arrow array": (pa.array(column(BA)), BA),
    "Arrow dictionary": (pa.array(column(BA)).dictionary_encode(), BA),
    "Arrow chunks": (pa.chunked_array([column(BA)[:5], column(BA)[5:]]), BA),
    "Arrow large strings": (pa.array(column(BA), pa.large_string()), BA),
    "Arrow scalars": (list(pa.array(column(BA))), BA),
    "members of a str enum": (column(list(Mood)), ("bad", "good")),
    "zeros at the end": (column(["a\0", "a"]), ("a\0", "a")),
    "quotes and lines": (column(['"x"', "x\ny"]), ('"x"', "x\ny")),
    "empty string": (column(["", "x"]), ("", "x")),
    "list of bool": (column(TF), TF),
    "list of numpy.bool_": (column([np.True_, np.False_]), TF),
    "bool array": (np.array(column(TF)), TF),
    "objects of bool": (objects(TF), TF),
    "series of objects of bool": (pd.Series(objects(TF)), TF),
    "objects of numpy.bool_": (objects([np.True_, False]), TF),
    "boolean": (series(TF, "boolean"), TF),
    "bool of Arrow": (series(TF, pd.ArrowDtype(pa.bool_())), TF),
    "Polars Boolean": (pl.Series(column(TF)), TF),
    "Arrow booleans": (pa.array(column(TF)), TF),
    "list of int": (column([3, -1]), (3, -1)),
    "int8": (np.array(column([3, -1]), np.int8), (3, -1)),
    "big-endian": (np.array(column([3, -1]), ">i4"), (3, -1)),
    "uint64": (np.array(column([2**64 - 1, 2**63]), np.uint64), (2**64 - 1, 2**63)),
    "neighbours beyond float64": (column([2**53 + 1, 2**53]), (2**53 + 1, 2**53)),
    "large int": (column(BIG), BIG),
    "objects of large int": (objects(BIG), BIG),
    "objects of numpy.uint64": (objects([np.uint64(2**64 - 1), 1]), (2**64 - 1, 1)),
    "Int64": (series([1, 0], "Int64"), (1, 0)),
    "UInt64": (series(BIG, "UInt64"), BIG),
    "uint64 of Arrow": (series(BIG, pd.ArrowDtype(pa.uint64())), BIG),
    "Polars Int8": (pl.Series(column([1, 0]), dtype=pl.Int8), (1, 0)),
    "Polars UInt64": (pl.Series(column(BIG), dtype=pl.UInt64), BIG),
    "Arrow uint64": (pa.array(column(BIG), pa.uint64()), BIG),
    "members of an int enum": (column(list(Star)), (1, 5)),
    "arrays of no dimension": (column([np.array(1), np.array(0)]), (1, 0)),
    "list of whole float": (column([1.0, 0.0]), (1.0, 0.0)),
    "float32": (np.array(column([1, 0]), np.float32), (1.0, 0.0)),
    "longdouble": (np.array(column([1, 0]), np.longdouble), (1.0, 0.0)),
    "negative zero": (column([-0.0, 1.0]), (0.0, 1.0)),
    "int and whole float": (column([1, 0.0]), (1, 0)),
    "sparse": (pd.Series(pd.arrays.SparseArray(column([1, 0]))), (1, 0)),
    "mask without masked labels": (np.ma.array(column([1, 0])), (1, 0)),
    "structured array": (np.array([(x,) for x in column(BA)], dtype=[("y", "U1")]), BA),
    "column vector": (np.array(column(BA))[:, None], BA),
    "matrix": (np.asmatrix(column([1, 0])).T, (1, 0)),
    "frame": (pd.DataFrame({"y": column(BA)}, index=range(50, 66)), BA),
    "frame of booleans": (pd.DataFrame({"y": column(TF)}), TF),
    "Polars frame": (pl.DataFrame({"y": column([1, 0])}), (1, 0)),
    "Arrow table": (pa.table({"y": column(TF)}), TF),
    "record batch": (pa.record_batch({"y": column(BA)}), BA),
    "categorical": (categorical(["c", "b", "a"], BA), BA),
    "ordered categorical": (categorical(["b", "c", "a"], BA, ordered=True), BA),
    "categorical without a series": (pd.Categorical(column(BA)), BA),
    "categorical of int": (categorical([7, 1, 0], [1, 0]), (1, 0)),
    "categorical of bool": (categorical(TF, TF), TF),
    "categorical of Int64": (categorical(pd.array([7, 1, 0], dtype="Int64"), [1, 0]), (1, 0)),
    "categorical of string": (
        categorical(pd.array(["c", "b", "a"], dtype="string"), BA), BA,
    ),
}


@pytest.mark.parametrize("kind", ACCEPTED)
@pytest.mark.filterwarnings("ignore:A column-vector", "ignore:the class '' looks")
def test_what_fit_takes_all_others_take(make, tmp_path, kind):
    y, values = ACCEPTED[kind]
    labels, classes = column(values), sorted(values)
    clf = make(class_weight={classes[0]: 2.0}, track_examples=True)
    clf.fit(TEXTS, y, X_val=TEXTS, y_val=y)
    assert clf.classes_.tolist() == classes
    assert list(map(type, clf.classes_.tolist())) == list(map(type, classes))
    predicted = clf.predict(TEXTS)
    assert isinstance(predicted, pd.Categorical if "categorical" in kind else np.ndarray)
    assert set(predicted.tolist()) <= set(classes)
    right = [one == label for one, label in zip(predicted.tolist(), labels, strict=True)]
    assert clf.score(TEXTS, y) == clf.history_[-1]["validation_accuracy"] == np.mean(right)
    weights = np.arange(1.0, 17.0)
    assert clf.score(TEXTS, y, weights) == pytest.approx(np.average(right, weights=weights))
    assert clf.evaluate(TEXTS, y).accuracy == np.mean(right)
    audited = clf.audit(TEXTS, X_test=TEXTS, y_test=y)
    assert set(audited["label"]) == set(classes)
    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert again.classes_.dtype == clf.classes_.dtype and again.classes_.tolist() == classes
    assert again.predict(TEXTS).dtype == predicted.dtype
    assert again.score(TEXTS, y) == clf.score(TEXTS, y)
    again.partial_fit(TEXTS, y, y)
    anew = make().partial_fit(TEXTS, y, classes).partial_fit(TEXTS, y, classes)
    assert anew.classes_.tolist() == classes


@pytest.mark.parametrize("kind", ["categorical of Int64", "categorical of string", "categorical"])
def test_categories_keep_their_type(kind):
    y, _ = ACCEPTED[kind]
    label_type, codes = learn_labels(y, 16)
    saved = json.loads(json.dumps(label_type.to_json()))
    for each in (label_type, LabelType.from_json(Field(saved, "labels.json"))):
        assert each.decode(codes).dtype == y.dtype
        assert each.decode(codes).tolist() == y.tolist()


@pytest.mark.parametrize("dtype", ["Int65", "category", "os.system", "datetime64[ns]", "string[x]"])
def test_types_of_categories_that_were_never_written(dtype):
    y, _ = ACCEPTED["categorical of string"]
    saved = learn_labels(y, 16)[0].to_json() | {"category_dtype": dtype}
    with pytest.raises(CheckpointError, match="category_dtype must be a type"):
        LabelType.from_json(Field(saved, "labels.json"))


DAY = datetime.date(2020, 1, 1)
REFUSED = {
    "None": (["a", None, "b"], r"y\[1\] is None; drop"),
    "NaN": ([1.0, 0.0, float("nan")], r"y\[2\] is NaN; drop"),
    "NaN among strings": (["a", "b", float("nan")], r"y\[2\] is NaN"),
    "NaN among booleans": (np.array([True, np.nan, False], object), r"y\[1\] is NaN"),
    "NA": (pd.Series([1, pd.NA, 0], dtype="Int64"), r"y\[1\] is NaN"),
    "NA of Arrow": (pd.Series([1, None, 0], dtype=pd.ArrowDtype(pa.int64())), r"y\[1\] is NaN"),
    "NA of boolean": (pd.Series([True, pd.NA, False], dtype="boolean"), r"y\[1\] is NaN"),
    "NaT": (pd.Series([pd.NaT, pd.NaT, pd.NaT]), r"y\[0\] is NaN .3 of 3 labels are missing"),
    "missing category": (pd.Categorical(["a", None, "b"]), r"y\[1\] is NaN"),
    "null of Polars": (pl.Series([2**63, None, 1], dtype=pl.UInt64), r"y\[1\] is None"),
    "null of Arrow": (pa.array(["a", None, "b"]), r"y\[1\] is None"),
    "masked": (np.ma.array([1, 0, 1], mask=[0, 0, 1]), r"y\[2\] is None"),
    "masked column": (np.ma.array([[1], [0], [1]], mask=[[0], [1], [0]]), r"y\[1\] is None"),
    "missing in StringDType": (
        np.array(["a", np.nan, "b"], np.dtypes.StringDType(na_object=np.nan)), r"y\[1\] is NaN",
    ),
    "NaN of Decimal": ([decimal.Decimal("NaN"), "a", "b"], r"y\[0\] is NaN"),
    "index": (pd.Series(["a", None, "b"], index=[7, 203, 5]), r"y.iloc\[1\] .index 203. is N"),
    "frame": (pd.DataFrame({"s": ["a", None, "b"]}, index=[*"xyz"]), r"y.iloc\[1\] .index 'y'. is"),
    "infinity": ([0.0, 1.0, float("inf")], r"y\[2\] is inf, but labels are finite"),
    "infinity of float32": (np.array([0, -np.inf, 1], np.float32), r"y\[1\] is -inf"),
    "fractions": ([1.0, 0.5, 0.0], r"Unknown label type: continuous. .*0.5 \(y\[1\]\).*pandas.cut"),
    "a fraction beside int": ([0, 0.5, 1], r"Unknown label type: continuous.*0.5 \(y\[1\]\)"),
    "fractions of Polars": (pl.Series([0.25, 1.0, 0.0]), "Unknown label type: continuous.*0.25"),
    "fractions of float32": (np.array([0, 1, 2.5], np.float32), "continuous.*2.5"),
    "fractional categories": (pd.Categorical([0.5, 1.5, 0.5]), "continuous.*0.5"),
    "beyond 64 bits": ([2**64, 1, 2], r"y\[0\] is 18446744073709551616, .* 64 bits.*strings"),
    "beyond with negative": ([-1, 2**63, 1], r"y\[1\] is 9223372036854775808.*64 bits"),
    "str and int": (["a", 1, "b"], r"types int, str: y\[0\] is 'a' and y\[1\] is 1; make strings"),
    "bool and int": ([True, 1, 0], r"types bool, int: y\[0\] is True and y\[1\] is 1"),
    "bool and float": ([True, 1.0, 0.0], "types bool, float"),
    "Decimal": ([decimal.Decimal(1), decimal.Decimal(0)] * 2, "Decimal.*whole numbers of them"),
    "Decimal of Polars": (pl.Series([decimal.Decimal(1)] * 3), "y.0. .*Decimal"),
    "Decimal of Arrow": (pa.array([decimal.Decimal(1)] * 3), "y.0. .*Decimal"),
    "dates": ([DAY] * 3, "of type date, but labels are strings.*strings of them"),
    "dates of Polars": (pl.Series([DAY] * 3), "of type date"),
    "datetime64": (np.array(["2020"] * 3, "M8[ns]"), "of type datetime64"),
    "timestamps": (pd.date_range("2020", periods=3), "of type Timestamp"),
    "timedelta64": (np.array([1, 2, 3], "m8[ns]"), "of type timedelta64"),
    "periods": (pd.period_range("2020", periods=3), "of type Period"),
    "intervals": (pd.cut([1, 2, 3], 2), "of type Interval"),
    "bytes": ([b"a", b"b", b"a"], r"y\[0\] is b'a' of type bytes, .*decode"),
    "S array": (np.array([b"a", b"b", b"a"]), "of type bytes.*decode"),
    "binary of Arrow": (pa.array([b"a", b"b", b"a"]), "of type bytes.*decode"),
    "complex": ([1j, 0, 1], "of type complex"),
    "enum": (list(Plain) + [Plain.A], "type Plain.*names or values"),
    "lists": ([["a"], ["b"], ["a"]], r"y\[0\] is \['a'\] of type list.*one label for each text"),
    "tuples": ([("a",), ("b",), ("a",)], "of type tuple"),
    "lists of Polars": (pl.Series([["a"], ["b"], ["a"]]), "of type list"),
    "dictionary": ([{"a": 1}] * 3, r"y\[0\] is {'a': 1} of type dict"),
    "surrogate": (["a", "b\ud83d", "a"], r"y\[1\] is 'b\\ud83d', .*lone surrogate"),
    "unused category": (
        pd.Categorical(["a", "b", "a"], categories=["a", "b", DAY]), r"y.dtype.categories\[2\]",
    ),
    "two dimensions": (np.zeros((3, 2)), r"y should be a 1d array, got .* \(3, 2\) instead"),
    "one row": (np.array([["a", "b", "a"]]), r"1d array, got an array of shape \(1, 3\)"),
    "one-hot": (np.eye(3), r"1d array.*y.argmax\(axis=1\)"),
    "many dimensions": (np.zeros((3, 1, 1)), "y should be a 1d array"),
    "one class": (["a", "a", "a"], "y contains one class only .'a'"),
    "too few": (["a", "b"], "there are 3 texts and 2 values of y"),
    "empty": ([], "there are 3 texts and 0 values of y"),
    "None for all": (None, "requires y to be passed, but the target y is None"),
}
NO_COLUMN = {
    "str": ("aba", "y is a single str"),
    "bytes": (b"aba", "y is a single bytes"),
    "number": (3, "y is an int"),
    "no dimension": (np.array(1), "y is a single ndarray"),
    "dict": ({"stars": [1, 0, 1]}, r"y is a dict with the keys \['stars'\].*y\['stars'\]"),
    "set": ({"a", "b"}, r"y is a set; .*list\(y\)"),
    "generator": ((c for c in "aba"), r"y is a generator; .*list\(y\)"),
    "frame": (pd.DataFrame({"x": "aba", "y": [1, 0, 1]}), r"y is a DataFrame .*'x', 'y'.*y\['y'\]"),
    "Polars frame": (pl.DataFrame({"x": [*"aba"], "y": [1, 0, 1]}), r"DataFrame .*y\['y'\]"),
    "Arrow table": (pa.table({"x": [*"aba"], "y": [1, 0, 1]}), r"Table .*y\['y'\]"),
    "one-hot frame": (pd.get_dummies(pd.Series([*"aba"])), r"such as y.idxmax\(axis=1\)"),
    "lazy frame": (pl.LazyFrame({"y": [1, 0, 1]}), r"y is a LazyFrame; .*y.collect\(\)"),
    "frame without columns": (pd.DataFrame(index=range(3)), "y is a DataFrame without columns"),
    "records": (np.array([("a", 1)] * 3, "U1,i4"), r"structured array .*'f0', 'f1'.*y\['f1'\]"),
    "sparse": (scipy.sparse.csr_array(np.eye(3)), r"y is a sparse matrix of shape \(3, 3\)"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("entry", ["learn", "encode"])
def test_what_is_no_label_is_named_with_its_row(kind, entry):
    y, message = REFUSED[kind]
    if entry == "encode" and kind == "one class":
        pytest.skip("further labels may all be equal")
    with pytest.raises(ValueError, match=message) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        if entry == "learn":
            learn_labels(y, 3)
        else:
            encode_labels(y, LabelType(np.array(["a", "b"])), 3, "y")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("kind", NO_COLUMN)
def test_what_is_no_column_of_labels_is_described(kind):
    y, message = NO_COLUMN[kind]
    with pytest.raises(TypeError, match=message) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        learn_labels(y, 3)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["infinity", "NaN", "many dimensions", "surrogate", "dictionary"])
def test_labels_are_checked_before_anything_is_done(make, kind):
    y, message = REFUSED[kind]
    texts, clf = TEXTS[:3], make(model="no-such-model")
    with pytest.raises(ValueError, match=message):
        clf.fit(texts, y)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(texts, y, [0, 1])
    with pytest.raises(ValueError, match=message.replace("y", "y_val", 1)):
        clf.fit(TEXTS, column(BA), X_val=texts, y_val=y)
    fitted = make(track_examples=True).fit(TEXTS, column(BA))
    for method in (fitted.score, fitted.evaluate):
        with pytest.raises(ValueError, match=message):
            method(texts, y)
    with pytest.raises(ValueError, match=message.replace("y", "y_test", 1)):
        fitted.audit(TEXTS, X_test=texts, y_test=y)


class Hostile:
    """A value that fails at everything."""

    shape = ()

    def __eq__(self, other):
        raise RuntimeError("never compare")

    def __repr__(self):
        raise RuntimeError("never show")

    __hash__ = None


ODD = [
    "a", "", "a\0", "\ud800", "x" * 500, "two\nlines", 0, -1, 2**63, 2**64, 10**5000, True, 0.0,
    1.5, float("inf"), float("nan"), None, pd.NA, pd.NaT, np.int8(3), np.uint64(2**64 - 1),
    np.float16(1), np.longdouble(1), np.bool_(True), np.str_("a"), np.bytes_(b"a"), b"a",
    decimal.Decimal(1), decimal.Decimal("1e9999"), decimal.Decimal("sNaN"), DAY, pd.Timestamp(0),
    np.datetime64("NaT"), np.datetime64(1, "ns"), np.timedelta64(1, "ns"), Mood.BAD, Plain.A, (),
    ["a"], {"a": 1}, {1}, np.array(1), np.array([1, 2]), np.array([["a"]]), 1j, object(), Hostile(),
    pd.Interval(0, 1), len, int, pd.Series([1]), pd.DataFrame({"a": [1]}), pa.scalar(1),
    pa.scalar(None), pl.Series([1]), range(3), ..., np.ma.masked, np.void(b"a"),
]


def object_array(items):
    array = np.empty(len(items), dtype=object)
    for number, item in enumerate(items):
        array[number] = item
    return array


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from(ODD), min_size=1, max_size=3).flatmap(
        lambda some: st.lists(st.sampled_from(some), min_size=2, max_size=4)
    ),
    st.sampled_from([
        list, tuple, object_array, lambda items: object_array(items)[:, None],
        lambda items: object_array(items).reshape(1, -1),
        lambda items: pd.Series(object_array(items), index=[pd.NA] * len(items), dtype=object),
        lambda items: pd.DataFrame({"y": pd.Series(object_array(items), dtype=object)}),
        lambda items: np.ma.array(object_array(items), mask=[1] + [0] * (len(items) - 1)),
    ]),
)
def test_anything_is_taken_or_refused_in_one_line(items, container):
    data = container(items)
    calls = [
        lambda: learn_labels(data, len(items)),
        lambda: encode_labels(data, LabelType(np.array([0, 1])), len(items)),
        lambda: check_texts(data), lambda: check_texts(data, arrow=True),
        lambda: check_training_texts(data, data), lambda: check_weights(data, len(items)),
    ]
    for call in calls:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                call()
        except (TypeError, ValueError) as error:
            assert type(error) in (TypeError, ValueError)
            assert "\n" not in str(error) and len(str(error)) < 700
    for column in (pd.Series(object_array(items), dtype=object),):
        column_labels(column)
        with contextlib.suppress(ValueError):
            match_labels(column, np.array([0, 1]), "a.csv")


# --- comparison ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "y", "codes"),
    [
        ([0, 1], [1.0, 0.0], [1, 0]),
        ([0, 1], [True, False], [1, 0]),
        ([0, 1], np.array([1, 0], np.uint8), [1, 0]),
        ([0.0, 1.0], [1, 0], [1, 0]),
        ([False, True], np.array([1, 0]), [1, 0]),
        ([2**53, 2**53 + 1], [2**53 + 1, 2**53], [1, 0]),
        ([2**63, 2**63 + 1], np.array([2**63 + 1, 2**63], np.uint64), [1, 0]),
        (["a", "b"], np.array(["b", "a"], object), [1, 0]),
    ],
)
def test_equal_labels_of_another_type_are_taken(classes, y, codes):
    label_type, _ = learn_labels(classes, 2)
    assert encode_labels(y, label_type, 2).tolist() == codes


@pytest.mark.parametrize(
    ("classes", "y", "message"),
    [
        ([0, 1], ["1", "0"], "of type str such as '1', but the classes are 0, 1; convert"),
        (["0", "1"], [1, 0], "of type int such as 1, but the classes are '0', '1'; convert"),
        (["True", "False"], [True, False], "of type bool such as True, but the classes are 'Fa"),
        ([False, True], ["True", "False"], "of type str such as 'True', but the classes are False"),
    ],
)
def test_labels_of_a_type_that_never_equals_are_refused_by_all(classes, y, message):
    label_type, _ = learn_labels(classes, 2)
    for strict in (True, False):
        with pytest.raises(ValueError, match=message):
            encode_labels(y, label_type, 2, strict=strict)


def test_unknown_labels_are_named_and_likely_ones_proposed():
    label_type, _ = learn_labels(["pos", "neg"], 2)
    with pytest.raises(ValueError, match=r"y_val\[1\] is 'Pos '.*the class 'pos' only in white"):
        encode_labels(["neg", "Pos "], label_type, 2)
    many, _ = learn_labels(range(1000), 1000)
    with pytest.raises(ValueError, match=r"y_val\[0\] is 1000.*0, 1, .*, and 980 more$"):
        encode_labels([1000], many, 1)


def test_score_counts_unknown_labels_as_errors(make):
    clf = make(epochs=3).fit(TEXTS, column(BA))
    labels = clf.predict(TEXTS).tolist()
    assert clf.score(TEXTS, labels) == 1.0
    assert clf.score(TEXTS, ["c", "d", *labels[2:]]) == 14 / 16
    with pytest.raises(ValueError, match="X is empty"):
        clf.score([], [])
    with pytest.raises(ValueError, match="there are 16 texts and 2 values of y"):
        clf.score(TEXTS, ["a", "b"])


@settings(deadline=None, max_examples=200)
@given(
    st.one_of(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), min_size=2),
        st.lists(st.integers(0, 2**64 - 1), min_size=2),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2),
        st.lists(st.floats(-1e300, 1e300).map(lambda x: float(np.floor(x))), min_size=2),
        st.lists(st.booleans(), min_size=2),
    ),
    st.sampled_from([list, pd.Series, lambda y: np.array([*y, None], object)[:-1]]),
    st.randoms(),
)
def test_labels_are_the_same_after_saving(labels, container, random):
    if len(set(labels)) < 2:
        labels = [*labels, *({str: ["a", "b"], bool: [True, False]}.get(type(labels[0]), [0, 1]))]
        labels = [type(labels[0])(label) for label in labels]
    y = container(labels)
    label_type, codes = learn_labels(y, len(labels))
    assert label_type.classes.tolist() == sorted(set(labels))
    saved = json.dumps(label_type.to_json(), ensure_ascii=False).encode()
    again = LabelType.from_json(Field(json.loads(saved), "labels.json"))
    for each in (label_type, again):
        found = each.decode(codes).tolist()
        assert found == labels and list(map(type, found)) == list(map(type, labels))
    shuffled = [*labels]
    random.shuffle(shuffled)
    found = again.decode(encode_labels(container(shuffled), again, len(labels)))
    assert found.tolist() == shuffled


def test_a_long_label_does_not_widen_all_others(make, tmp_path):
    labels = ["x" * 10**6, *map(str, range(3000))]
    label_type, codes = learn_labels(labels, len(labels))
    assert label_type.classes.dtype == object and label_type.classes.nbytes < 10**5
    assert label_type.decode(codes).tolist() == labels
    make().fit(TEXTS, column(["x" * 10**5, "y"])).save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert again.classes_.tolist() == ["x" * 10**5, "y"]


# --- files --------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [[0, 1], [False, True], ["0", "1"], ["0.0", "1.0"], [0.0, 1.0]])
@pytest.mark.parametrize(
    "column",
    [
        ["0", "1"], ["0.0", "1.0"], ["0.000", "1.000"], [0, 1], [0.0, 1.0], [False, True],
        ["False", "True"], ["false", "true"], ["FALSE", "TRUE"],
        [decimal.Decimal("0.0"), decimal.Decimal("1.0")], [np.float32(0), np.float32(1)],
    ],
    ids=repr,
)
def test_a_file_spells_two_classes_in_any_way(classes, column):
    matched = match_labels(pd.Series(column, dtype=object), np.array(classes), "a.csv")
    assert matched.tolist() == classes
    assert list(map(type, matched.tolist())) == list(map(type, classes))


@pytest.mark.parametrize(
    ("column", "classes"),
    [
        (["01", "1"], [1, 2]), (["1.5"], [1, 2]), (["2.50"], [2, 50]), (["1e0"], [0, 1]),
        ([True], [0, 1, 2]), (["true"], [1, 2]), (["yes"], [0, 1]), (["１"], [0, 1]),
        (["1"], ["1.0", "1.00", "2"]), ([float("inf")], [0, 1]), ([None], ["a", "None"]),
        ([2**64 + 1], [1, 2**64 - 1]), (["pos "], ["neg", "pos"]), ([["a"]], ["a", "b"]),
        ([decimal.Decimal("1e999999999")], [0, 1]), ([decimal.Decimal("sNaN")], [0, 1]),
        (["9" * 5000], [0, 1]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_with_other_labels_is_refused(column, classes):
    column = pd.Series(column, dtype=object, name="stars", index=range(5, 5 + len(column)))
    with pytest.raises(ValueError, match=r"a.csv: .* in column 'stars' \(row 5, .*not a class"):
        match_labels(column, np.array(classes), "a.csv")


def test_a_file_has_the_class_that_is_spelled_the_same_first():
    classes = np.array(["1", "1.0", "True"])
    column = pd.Series(["True", "1.0", "1", 1, True])
    assert match_labels(column, classes, "a").tolist() == ["True", "1.0", "1", "1", "True"]


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        (["1.0", "0.0", "3.0"], [1, 0, 3]),
        (["1", "0.0"], [1, 0]),
        (["True", "False"], [True, False]),
        (["true", "false"], ["true", "false"]),
        (["True", "False", "Maybe"], ["True", "False", "Maybe"]),
        ([str(2**63), "0"], [2**63, 0]),
        ([str(2**63), "-1"], [str(2**63), "-1"]),
        (["9" * 30, "1"], ["9" * 30, "1"]),
        (["9" * 6000, "1"], ["9" * 6000, "1"]),
        (["1.5", "2"], ["1.5", "2"]),
        (["+1", "2"], ["+1", "2"]),
        ([decimal.Decimal("1.00"), decimal.Decimal(2)], [1, 2]),
        ([2**63, 1.0], [2**63, 1]),
        ([True, False], [True, False]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_labels_of_a_file_are_what_all_of_them_look_like(column, labels):
    found = column_labels(pd.Series(column, dtype=object)).tolist()
    assert found == labels and list(map(type, found)) == list(map(type, labels))


def test_a_label_of_a_file_is_named_by_its_row(tmp_path, base, capsys):
    rows = [{"review": text, "sentiment": label} for text, label in
            zip(TEXTS, [*column([0, 1])[:-1], "x"], strict=True)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["train", str(tmp_path / "a.jsonl"), "--model", str(base), "--dry-run"]
    assert main(command) == 1
    message = capsys.readouterr().err
    assert "a.jsonl: column 'sentiment', row 15 is 'x'" in message and "types int, str" in message


def test_a_model_of_python_is_tested_on_files(make, tmp_path):
    make().fit(TEXTS, np.array(column(TF), object)).save_pretrained(tmp_path / "model")
    labels = pd.Series(column(TF))
    spellings = {
        "a": labels.map({True: "true", False: "false"}), "b": labels.astype(int),
        "c": labels.astype(float), "d": labels,
    }
    for name, spelled in spellings.items():
        frame = pd.DataFrame({"review": TEXTS, "sentiment": spelled})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            assert main(["evaluate", str(tmp_path / "model"), str(tmp_path / f"{name}.csv")]) == 0
        assert "16 texts" in stdout.getvalue()


@pytest.fixture
def train(base, tmp_path, capsys):
    """Return a function that trains on a file, and returns the exit code and what was printed."""
    frame = pd.DataFrame({
        "review": REVIEWS, "sentiment": column(["neg", "pos"]), "id": range(16),
        "dirty": [*column(["pos", "neg"])[:-4], *["Pos "] * 4],
    })
    pd.concat([frame] * 3, ignore_index=True).assign(
        id=range(48), review=[f"{text}, copy {i}" for i, text in enumerate(REVIEWS * 3)],
    ).to_csv(tmp_path / "a.csv", index=False)

    def run(*options):
        code = main(["train", str(tmp_path / "a.csv"), "--model", str(base), "--max-length", "16",
                     "--epochs", "1", "--output", str(tmp_path / "out"), *options])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--text-column", "sentiment", "--label-column", "review"],
         "column of texts contains labels such as 'neg', 'pos'.*seem to be swapped"),
        (["--label-column", "review", "--text-column", "review"],
         "--text-column and --label-column are both 'review'"),
        (["--label-column", "review"], "which column contains.*Choose one with --text-column"),
        (["--label-column", "id"], "48 rows are too few to split; there are 48 classes.*quant"),
        (["--class-weight", "Pos=2,neg=1"], "--class-weight names 'Pos'.*the class 'pos' only"),
    ],
)
def test_the_command_line_says_what_columns_look_like(train, options, message, dry_run):
    code, _, err = train(*options, *dry_run)
    assert code == 1 and re.search(message, err) and err.count("\n") == 1


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_the_command_line_warns_of_doubts_once(train, dry_run):
    code, out, err = train("--label-column", "dirty", *dry_run)
    assert code == 0 and ", ".join(["12 'Pos '"]) in out
    assert err.count("'Pos ' and 'pos' differ only in white space or case") == 1


def test_errors_of_files_do_not_speak_of_python(base, tmp_path, capsys):
    frame = pd.DataFrame({"review": TEXTS, "sentiment": np.linspace(0, 1, 16)})
    frame.to_parquet(tmp_path / "a.parquet")
    command = ["train", str(tmp_path / "a.parquet"), "--model", str(base), "--dry-run"]
    for value in (0.5, decimal.Decimal("0.5"), datetime.date(2020, 1, 1)):
        frame.assign(sentiment=[value] * 16).to_parquet(tmp_path / "a.parquet")
        assert main(command) == 1
        err = capsys.readouterr().err
        assert "a.parquet: column 'sentiment', row 0" in err and "into the file" in err
        assert "pandas" not in err and "str(" not in err


# --- weights of classes -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "keys"),
    [
        ([0, 1], [1, 1.0, np.int8(1), np.float64(1.0), True, "1", "1.0", Star.ONE]),
        ([False, True], [True, np.True_, 1, "True", "true"]),
        (["a", "bad"], ["bad", np.str_("bad"), Mood.BAD]),
        (["0", "1"], ["1", 1, 1.0]),
        ([1, 2**63], [2**63, np.uint64(2**63), str(2**63)]),
    ],
)
def test_a_weight_names_its_class_in_any_type(classes, keys):
    label_type, codes = learn_labels(classes, 2)
    for key in keys:
        assert class_factors({key: 3.0}, label_type, codes).tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"Bad": 1.0}, "'Bad', which is not a class of y.*differs from the class 'bad' only"),
        ({None: 1.0}, "None, which is not a class"),
        ({("a",): 1.0}, "not a class"),
        ({"a": 1.0, np.str_("a"): 2.0, "bad": 1.0}, None),
    ],
)
def test_weights_of_other_classes_are_refused(weights, message):
    label_type, codes = learn_labels(["a", "bad"], 2)
    if message is None:  # one key of the dictionary
        assert class_factors(weights, label_type, codes).tolist() == [2.0, 1.0]
        return
    with pytest.raises(ValueError, match=message):
        class_factors(weights, label_type, codes)


def test_a_class_has_one_weight():
    with pytest.raises(ValueError, match="class_weight names the class 1 twice"):
        class_factors({1: 2.0, "1": 3.0}, *learn_labels([0, 1], 2))


# --- doubts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["pos", "neg", "pos "], "'pos' and 'pos ' differ only in white space or case"),
        (["Pos", "neg", "pos", "POS"], "'POS' and 'Pos' and 'pos' differ only"),
        (["a b", "a  b", "c"], "'a  b' and 'a b' differ only"),
        (["pos", "pos\xa0", "c"], "differ only"),
        (["pos", "\ufeffpos", "c"], "differ only"),
        (["caf\xe9", "cafe\u0301", "c"], "differ only"),
        (["", "pos", "neg"], "'' looks like a missing label"),
        ([" ", "pos", "neg"], "' ' looks like a missing label"),
        (["nan", "pos", "neg"], "'nan' looks like a missing label"),
        (["<NA>", "pos", "neg"], "'<NA>' looks like a missing label"),
        ([r"\N", "pos", "neg"], r"'\\\\N' looks like a missing label"),
        ([f"id-{i}" for i in range(400)], "400 classes for 400 texts.*names of single texts"),
        ([str(i / 7) for i in range(400)], "400 classes for 400 texts.*quantities"),
        (list(range(400)), "400 classes for 400 texts, such as 0 and 1; .*numbers of single"),
        ([float(i // 2) for i in range(39)], "20 classes for 39 texts.*quantities"),
        ([f"{i} a long text " * 9 for i in range(30)], "30 classes for 30 texts.*look like texts"),
    ],
)
def test_labels_that_are_probably_mistakes_are_named(labels, message):
    label_type, codes = learn_labels(labels, len(labels))
    (line,) = describe_doubts(label_type.classes, len(codes))
    assert re.search(message, line) and "\n" not in line


@pytest.mark.parametrize(
    "labels",
    [["pos", "neg"], ["none", "some"], ["a", "á"], ["a b", "ab"], [0, 1], [True, False],
     list(range(20)), [i // 2 for i in range(100)], ["+", "-"], ["A", "B", "C"]],
    ids=lambda labels: str(labels)[:20],
)
def test_good_labels_are_not_doubted(labels):
    assert describe_doubts(learn_labels(labels, len(labels))[0].classes, len(labels)) == []


def test_fit_warns_of_doubts(make):
    with pytest.warns(UserWarning, match="'a' and 'a ' differ only"):
        make().fit(TEXTS, column(["a", "a "]))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", bertsent.errors.FreshWeightsWarning)
        make().fit(TEXTS, column(BA))
        make().partial_fit(TEXTS, column(range(2)), classes=range(100))


def test_many_long_classes_are_looked_at_quickly():
    labels = [f"{i} " + "längerer Text " * 100 for i in range(20_000)]
    lines = describe_doubts(np.array(labels, dtype=object), len(labels))
    assert len(lines) == 1 and len(lines[0]) < 300


# --- swapped arguments --------------------------------------------------------------------

@pytest.mark.parametrize(
    ("X", "error"),
    [
        (column(["neg", "pos"]), ValueError),
        (pd.Series(column(["neg", "pos"])), ValueError),
        (pd.DataFrame({"sentiment": column(["neg", "pos"])}), ValueError),
        (column([0, 1]), TypeError),
        (np.array(column(TF)), TypeError),
        (pd.Series(column([0.0, 1.0]), name="stars"), TypeError),
    ],
    ids=["list", "series", "frame", "int", "bool", "float"],
)
def test_swapped_arguments_are_noticed(make, X, error):
    for y in (REVIEWS, pd.Series(REVIEWS), pd.DataFrame({"review": REVIEWS})):
        for call in (make().fit, make().partial_fit):
            with pytest.raises(error, match="X and y seem to be swapped; pass the texts first"):
                call(X, y)


def test_what_is_not_swapped_is_not_said_to_be(make):
    make().fit(TEXTS, [f"a class of several words {code}" for code in CODES])
    make().fit([*TEXTS[:2]] * 8, column(["a very good film", "a very bad film"]))
    with pytest.raises(TypeError) as caught:
        make().fit([1, 2, 3], ["a", "b", "a"])
    assert "swapped" not in str(caught.value)


# --- y of two dimensions ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["column vector", "frame", "Polars frame", "Arrow table"])
def test_a_column_vector_is_taken_with_the_warning_of_scikit_learn(make, kind):
    y, values = ACCEPTED[kind]
    clf = make()
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed when a 1d array"):
        clf.fit(TEXTS, y)
    with pytest.warns(DataConversionWarning, match="A column-vector y"):
        clf.partial_fit(TEXTS, y)
    assert np.array_equal(
        clf.predict_proba(TEXTS),
        make().fit(TEXTS, column(values)).partial_fit(TEXTS, column(values)).predict_proba(TEXTS),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.score(TEXTS, y)
