"""Arrow's strings are read where they lie."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from bertsent.arrow_texts import arrow_texts
from bertsent.texts import check_texts
from bertsent.tokenizer import WordPieceTokenizer

pa = pytest.importorskip("pyarrow")

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VALUES = ["the good", "", "é the", "中\U0001f602", "the [SEP] é", "good"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer([*SPECIALS, "the", "good", "e", "中", "##s"])


def filtered(values):
    """Values whose buffers hold more than they show, in pieces."""
    array = pa.array(["no", *values, None, "no"], pa.large_string())
    return pa.chunked_array([array[1:3], array[0:0], array[3:-2]])


FORMS = {
    "array": pa.array,
    "large": lambda v: pa.array(v, pa.large_string()),
    "slice": lambda v: pa.array(["x", "yy", *v, "zzz"])[2:-1],
    "large slice": lambda v: pa.array(["x", *v, None], pa.large_string())[1:-1],
    "chunks": lambda v: pa.chunked_array([v[:1], [], v[1:4], v[4:]]),
    "sliced chunks": filtered,
    "chunks sliced": lambda v: pa.chunked_array([["x", v[0]], v[1:], ["y"]])[1:-1],
    "dictionary": lambda v: pa.array(v).dictionary_encode(),
    "dictionary chunks": lambda v: pa.chunked_array([v[:2], v[2:]]).dictionary_encode(),
    "series": lambda v: pd.Series(v, dtype="string[pyarrow]"),
    "sliced series": lambda v: pd.Series(["x", *v, None], dtype="string[pyarrow]").iloc[1:-1],
    "picked series": lambda v: pd.Series(v[::-1], dtype="string[pyarrow]").iloc[::-1],
    "arrow dtype": lambda v: pd.Series(v, dtype=pd.ArrowDtype(pa.string())),
    "large arrow dtype": lambda v: pd.Series(v, dtype=pd.ArrowDtype(pa.large_string())),
    "index": lambda v: pd.Index(v, dtype="string[pyarrow]"),
    "pandas array": lambda v: pd.array(v, dtype="string[pyarrow]"),
}
if getattr(pd.Series(["a"]).dtype, "storage", None) == "pyarrow":  # pandas 3
    FORMS["str"] = pd.Series
    FORMS["column"] = lambda v: pd.DataFrame({"review": ["x", *v]})["review"].iloc[1:]
if hasattr(pa, "string_view"):
    FORMS["view"] = lambda v: pa.array(v, pa.string_view())


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_in_place(tokenizer, form):
    texts = FORMS[form](VALUES)
    assert arrow_texts(texts) is not None
    assert len(arrow_texts(texts)) == len(VALUES)
    expected = tokenizer.encode_batch(VALUES, VALUES[::-1], return_offsets_mapping=True)
    got = tokenizer.encode_batch(texts, FORMS[form](VALUES[::-1]), return_offsets_mapping=True)
    for a, b in zip(got, expected, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_nothing(tokenizer, form):
    if form in ("chunks", "sliced chunks", "chunks sliced", "dictionary chunks"):
        texts = pa.chunked_array([], pa.string())
    elif form == "str":
        texts = pd.Series([], dtype="str")
    else:
        texts = FORMS[form]([]) if form != "array" else pa.array([], pa.string())
    encoding = tokenizer.encode_batch(texts)
    assert encoding.ids.size == 0
    assert encoding.offsets.tolist() == [0]


def peak_of(function):
    """Bytes that Python and NumPy had at most while a function ran."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "form", ["array", "large", "chunks", "sliced chunks", "series", "sliced series", "arrow dtype"]
)
def test_no_python_string_is_made(tokenizer, form):
    """One string of these would take more than all that Python is seen to allocate."""
    length = 1 << 20
    values = ["the " * (length // 4)] * 6
    texts = FORMS[form](values)

    def encode():
        return tokenizer.encode_batch(texts, max_length=8, n_threads=1)

    encode()
    assert peak_of(encode) < length // 4
    assert peak_of(lambda: check_texts(texts, arrow=True)) < length // 4
    assert peak_of(lambda: check_texts(texts)) > length


@pytest.mark.parametrize(
    "texts",
    [
        pd.Series(["a", "b"], dtype=object), ["a"], pa.array([1, 2]), pa.array([b"a"]),
        pd.Series([1, 2], dtype="int64[pyarrow]"), pd.Series(["a"], dtype="category"),
        np.array(["a"]), pa.table({"a": ["b"]}), 5, None, pa.array(["a"])[0],
    ],
    ids=lambda texts: type(texts).__name__,
)  # fmt: skip
def test_what_is_not_arrow_or_no_text_is_left_alone(texts):
    assert arrow_texts(texts) is None


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (pa.array(["the", "good", None, None]), r"texts\[2\]: expected str, got None"),
        (pa.array([None, "the", None])[1:], r"texts\[1\]: expected str, got None"),
        (pa.chunked_array([["a"], ["b", None]]), r"texts\[2\]: expected str, got None"),
        (pa.array(["a", None]).dictionary_encode(), r"texts\[1\]: expected str, got None"),
        (pd.Series(["a", None], index=[3, 4], dtype="string[pyarrow]"), r"texts\[1\], row 4: exp"),
        (pa.array(["a", 5][1:]), r"texts\[0\]: expected str, got int \(5\)"),
        (pa.array([None, None]), r"texts\[0\]: expected str, got None"),
        (pa.array([b"a"]), r"texts\[0\]: expected str, got bytes"),
    ],
)
def test_a_missing_value_is_named(tokenizer, texts, said):
    with pytest.raises(TypeError, match=said):
        tokenizer.encode_batch(texts)


def from_bytes(values, large=False):
    """Make Arrow strings of any bytes, unchecked."""
    kind = pa.large_binary() if large else pa.binary()
    array = pa.array(values, kind)
    return pa.Array.from_buffers(
        pa.large_string() if large else pa.string(), len(values), array.buffers()
    )


BROKEN = [
    b"\xff", b"a\x80", b"\xc3", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xe0\x80\x80",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xc3(",
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("large", [False, True])
def test_invalid_utf8_is_named(tokenizer, broken, large):
    texts = from_bytes([b"the", b"good \xc3\xa9", b"the " + broken, b"\xff"], large)
    with pytest.raises(ValueError, match=r"texts\[2\]: .*UTF-8"):
        tokenizer.encode_batch(texts, n_threads=2)
    with pytest.raises(ValueError, match=r"text_pairs\[2\]: .*UTF-8"):
        tokenizer.encode_batch(["a"] * 4, texts)
    # A text that ends inside a character does not read on in the next one.
    series = pd.Series(texts.slice(2, 1), index=["label"], dtype=pd.ArrowDtype(texts.type))
    with pytest.raises(ValueError, match=r"texts\[0\], row 'label': .*UTF-8"):
        tokenizer.encode_batch(series)


def test_invalid_utf8_is_no_white_space_of_an_added_token():
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    tokenizer = WordPieceTokenizer(
        [*SPECIALS, "the", "<x>", "good"],
        added_tokens=[
            {**flags, "content": "<x>", "id": 6, "lstrip": True, "rstrip": True},
            {**flags, "content": "good", "id": 7, "normalized": True},
        ],
    )
    assert tokenizer.encode_batch(from_bytes([b"the  <x> "])).ids.tolist() == [2, 5, 6, 3]
    for text in (b"the \x80<x>", b"the \x80 <x>", b"<x> \x80", b"<x>\xe3\x80"):
        with pytest.raises(ValueError, match=r"texts\[0\]: .*UTF-8"):
            tokenizer.encode_batch(from_bytes([text]))


def test_invalid_utf8_behind_the_cut_is_not_read(tokenizer):
    texts = from_bytes([b"the " * 9000 + b"\xff"])
    assert tokenizer.encode_batch(texts, max_length=4).ids.tolist() == [2, 5, 5, 3]
    with pytest.raises(ValueError, match="UTF-8"):
        tokenizer.encode_batch(texts, max_length=4, truncation="tail")


@pytest.mark.parametrize(
    ("offsets", "said"),
    [([0, 3, 2], r"texts\[1\]: the Arrow offsets are broken"),
     ([0, 3, 1000], r"texts\[1\]: the Arrow offsets are broken"),
     ([-5, 1, 3], r"texts\[0\]: the Arrow offsets are broken"),
     ([0], "the Arrow buffers are too short")],
)  # fmt: skip
def test_broken_buffers_are_refused(tokenizer, offsets, said):
    class Broken:
        utf8_chunks = [(np.array(offsets, np.int32).tobytes(), b"the", 0, 2, False)]

    with pytest.raises(ValueError, match=said):
        tokenizer._core.encode_batch(Broken())


def test_texts_of_a_classifier_stay_where_they_are():
    series = pd.Series(VALUES, dtype="string[pyarrow]")
    assert isinstance(check_texts(series), list)
    assert not isinstance(check_texts(series, arrow=True), list)
    missing = pd.Series(["a", None], index=["p", "q"], dtype="string[pyarrow]", name="review")
    for arrow in (False, True):
        with pytest.raises(TypeError, match=r"row 1 of column 'review' \(index 'q'\) is"):
            check_texts(missing, arrow=arrow)
    for arrow in (False, True):
        with pytest.raises(TypeError, match=r"X\[1\] is None"):
            check_texts(pa.array(["a", None]), arrow=arrow)
