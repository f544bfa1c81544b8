"""Arrow strings are read in place."""

import ctypes
import os
import struct
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from arrow_capsules import Chunk, OneArray, Producer, Schema

from bertsent import _core
from bertsent.texts.arrow import arrow_texts
from bertsent.texts.check import check_texts
from bertsent.tokenizer.wordpiece import WordPieceTokenizer

pa = pytest.importorskip("pyarrow")

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VALUES = ["the good", "", "é the", "中\U0001f602", "the [SEP] é", "good"]


@pytest.fixture(scope="module")
def tokenizer():
    return WordPieceTokenizer([*SPECIALS, "the", "good", "e", "中", "##s"])


def filtered(values):
    """Values in chunks, whose buffers contain more than the values."""
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
    """Peak memory of Python and NumPy in bytes while a function runs."""
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
    """One of these strings would take more than all that Python allocates here."""
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
    """Make Arrow strings of any bytes, without checks."""
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
    # A text that ends inside a character is not continued in the next one.
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


@pytest.mark.parametrize("offsets", [[0, 3, 2], [0, 3, 1000], [-5, 1, 3], [0, 4, 3]])
def test_broken_offsets_in_a_file_are_refused(tokenizer, offsets):
    """pyarrow reads such a file."""
    file = pa.BufferOutputStream()
    with pa.ipc.new_stream(file, pa.schema([("text", pa.string())])) as stream:
        stream.write_batch(pa.record_batch({"text": pa.array(["the", ""])}))
    data, good = file.getvalue().to_pybytes(), np.array([0, 3, 3], np.int32).tobytes()
    assert data.count(good) == 1
    data = data.replace(good, np.array(offsets, np.int32).tobytes())
    column = pa.ipc.open_stream(data).read_all()["text"]
    for texts in (column, column.chunk(0), pa.chunked_array([["a"], column.chunk(0)])):
        with pytest.raises(ValueError, match="(?i)offset|invalid"):
            tokenizer.encode_batch(texts)


# --- any producer, by the structures themselves ---------------------------------------------


def encode(tokenizer, producer, **options):
    return tokenizer.encode_batch(producer, return_offsets_mapping=True, **options)


def views(texts):
    """String views, each long one in its own buffer."""
    coded, parts, buffers = [text.encode() for text in texts], [], []
    for text in coded:
        if len(text) <= 12:
            parts.append(struct.pack("<i12s", len(text), text))
        else:
            parts.append(struct.pack("<i4sii", len(text), text[:4], len(buffers), 1))
            buffers.append(b"#" + text)
    sizes = np.array([len(buffer) for buffer in buffers], np.int64).tobytes()
    return [None, b"".join(parts), *buffers, sizes]


@pytest.mark.parametrize("kind", [Producer, OneArray])
@pytest.mark.parametrize("layout", ["u", "U", "vu"])
@pytest.mark.parametrize("index", [None, *"cCsSiIlL"])
def test_every_layout_is_read(tokenizer, kind, layout, index):
    values = [*VALUES, "the " * 20, "中" * 30]
    if layout == "vu":
        chunk = Chunk(views(["no", *values, "no"]), len(values), 1)
    else:
        chunk = Chunk.of(["no", *values], layout, 1)
    producer = kind(layout, [chunk])
    if index is not None:
        dtype = {"c": "i1", "C": "u1", "s": "i2", "S": "u2", "i": "i4", "I": "u4", "l": "i8",
                 "L": "u8"}[index]
        values = [values[i] for i in (3, 3, 0, 7)]
        chunk = Chunk([None, np.array([9, 3, 3, 0, 7], dtype).tobytes()], 4, 1, 0, chunk)
        producer = kind(index, [chunk], layout)
    got, expected = encode(tokenizer, producer), encode(tokenizer, values)
    for a, b in zip(got, expected, strict=True):
        assert np.array_equal(a, b)
    assert chunk.released == 1


def test_structures_are_released_once_and_not_before(tokenizer):
    chunks = [Chunk.of(["the", "é"]), Chunk.of([]), Chunk.of(["x", "good"], before=1)]
    producer = Producer("u", chunks)
    texts = arrow_texts(producer)
    assert (len(texts), texts.first_missing(), producer.schemas) == (3, None, 1)
    assert [chunk.released for chunk in chunks] == [0, 0, 0]
    assert tokenizer.encode_batch(texts).ids.tolist() == [2, 5, 3, 2, 7, 3, 2, 6, 3]
    assert tokenizer.encode_batch(texts).ids.tolist() == [2, 5, 3, 2, 7, 3, 2, 6, 3]
    del texts
    assert [chunk.released for chunk in chunks] == [1, 1, 1]


@pytest.mark.parametrize("kind", [Producer, OneArray])
@pytest.mark.parametrize("format", ["l", "z", "+s", "vz", "tdD", "n"])
def test_other_types_are_left_alone(kind, format):
    chunk = Chunk([None, b"\0" * 8], 1)
    producer = kind(format, [chunk])
    assert arrow_texts(producer) is None
    assert arrow_texts(kind("i", [chunk], format)) is None
    assert arrow_texts(kind("g", [chunk], "u")) is None
    assert chunk.released == 0 and producer.left == [chunk]


BROKEN_CHUNKS = {
    "offsets that fall": ("u", [None, struct.pack("<4i", 0, 3, 2, 3), b"the"], {}),
    "an offset below zero": ("u", [None, struct.pack("<4i", -1, 0, 0, 0), b"the"], {}),
    "wide offsets that fall": ("U", [None, struct.pack("<4q", 0, 2**40, 2, 3), b"the"], {}),
    "no bytes": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), None], {}),
    "no offsets": ("u", [None, None, b"the"], {}),
    "few buffers": ("u", [None, struct.pack("<4i", 0, 1, 2, 3)], {}),
    "a length below zero": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), b"the"], {"length": -1}),
    "an endless length": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), b"the"],
                          {"length": 2**62}),
    "an offset of the array": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), b"the"],
                               {"offset": -1}),
    "a view that is short": ("vu", [None, struct.pack("<12i", *[-1] * 12), b"\0" * 8], {}),
    "a view of no buffer": ("vu", [None, struct.pack("<12i", *[13, 0, 1, 0] * 3), b"x" * 13,
                                   struct.pack("<q", 13)], {}),
    "a view behind a buffer": ("vu", [None, struct.pack("<12i", *[13, 0, 0, 1] * 3), b"x" * 13,
                                      struct.pack("<q", 13)], {}),
    "a view without buffers": ("vu", [None, struct.pack("<12i", *[13, 0, 0, 0] * 3), None], {}),
    "a view of a missing buffer": ("vu", [None, struct.pack("<12i", *[13, 0, 0, 0] * 3), None,
                                          struct.pack("<q", 13)], {}),
    "a view of a buffer without size": ("vu", [None, struct.pack("<12i", *[13, 0, 0, 0] * 3),
                                               b"x" * 13, None], {}),
    "a buffer with a size below zero": ("vu", [None, struct.pack("<12i", *[13, 0, 0, 2] * 3),
                                               b"x" * 13, struct.pack("<q", -(2**63))], {}),
    "an offset that overflows": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), b"the"],
                                 {"offset": 2**63 - 1}),
    "an offset beyond all memory": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), b"the"],
                                    {"offset": 2**60}),
    "missing values without a bitmap": ("u", [None, struct.pack("<4i", 0, 1, 2, 3), b"the"],
                                        {"null_count": 1}),
}


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
def test_broken_structures_are_refused(tokenizer, name):
    format, buffers, changes = BROKEN_CHUNKS[name]
    chunks = [Chunk.of(["a"]), Chunk(buffers, **({"length": 3} | changes))]
    if format != "u":
        chunks = chunks[1:]
    with pytest.raises(ValueError, match=r"the Arrow array is invalid"):
        encode(tokenizer, Producer(format, chunks))
    assert [chunk.released for chunk in chunks] == [1] * len(chunks)


def test_a_broken_dictionary_is_refused(tokenizer):
    """Of its offsets only those of the items in use are read; none may lie behind the last one."""
    beyond = Chunk([None, struct.pack("<4i", 0, 100, 2, 3), b"the"], 3)
    overflowing = Chunk.of([*"abc"])
    overflowing.struct.offset = 2**63 - 1
    uncounted = Chunk.of([*"abc"])
    uncounted.struct.null_count = 1
    bare = Chunk.of([*"abc"])
    bare.struct.buffers = None
    for dictionary in (beyond, overflowing, uncounted, bare):
        chunk = Chunk([None, b"\0\0"], 2, dictionary=dictionary)
        with pytest.raises(ValueError, match=r"the Arrow array is invalid: "):
            encode(tokenizer, Producer("c", [chunk], "u"))
        assert chunk.released == 1


def test_a_broken_schema_is_left_alone():
    nameless, unreleased = (Producer("u", [Chunk.of(["a"])]) for _ in range(2))
    nameless.format = None
    nested = Producer("c", [Chunk.of(["a"])], "u")
    nested.dictionary.dictionary = ctypes.pointer(Schema(b"u"))
    unreleased.schema_callback = type(unreleased.schema_callback)()
    for producer in (nameless, nested, unreleased):
        assert arrow_texts(producer) is None


@pytest.mark.parametrize(("index", "number"), [("c", -1), ("C", 255), ("i", 3), ("l", -(2**63)),
                                               ("L", 2**64 - 1), ("I", 2**32 - 1)])  # fmt: skip
def test_an_index_outside_of_its_dictionary_is_refused(tokenizer, index, number):
    kind = {"c": "b", "C": "B", "i": "i", "I": "I", "l": "q", "L": "Q"}[index]
    chunk = Chunk([None, struct.pack(f"<2{kind}", 0, number)], 2, dictionary=Chunk.of([*"abc"]))
    with pytest.raises(ValueError, match=r"texts\[1\]: the Arrow array is invalid"):
        encode(tokenizer, Producer(index, [chunk], "u"))


def test_missing_values_are_found_wherever_they_are_noted(tokenizer):
    indices = np.array([1, 0, 2, 0], np.int8).tobytes()
    own = Chunk([bytes([0b1101]), indices], 4, 0, 1, Chunk.of(["the", "good", "é"]))
    of_dictionary = Chunk([None, indices], 4, 0, 0, Chunk.of([None, "good", "é"]))
    uncounted = Chunk.of(["x", "the", None], before=1)
    uncounted.struct.null_count = -1
    for producer, first in [
        (Producer("c", [own], "u"), 1), (Producer("c", [of_dictionary], "u"), 1),
        (Producer("u", [Chunk.of(["a"] * 9), uncounted]), 10),
    ]:
        texts = arrow_texts(producer)
        assert texts.first_missing() == first
        with pytest.raises(TypeError, match=rf"text_pairs\[{first}\]: expected str, got None"):
            tokenizer.encode_batch(["the"] * len(texts), texts)


def test_what_cannot_be_exported_is_left_alone():
    chunk = Chunk.of(["the"])
    assert arrow_texts(Producer("u", [chunk], fails=True)) is None
    assert chunk.released == 1

    class Objects(Producer):
        dtype = "Object"

        def get_schema(self, stream, out):
            os.abort()

    assert arrow_texts(Objects("u", [])) is None


def test_what_was_read_before_is_refused(tokenizer):
    producer = OneArray("u", [Chunk.of(["the"])])
    capsules = producer.__arrow_c_array__()
    assert len(_core.arrow_texts(*capsules)) == 1
    with pytest.raises(ValueError, match="was read before"):
        _core.arrow_texts(*capsules)
    stream = Producer("u", [])
    stream.stream.release = type(stream.stream.release)()
    with pytest.raises(ValueError, match="was read before"):
        encode(tokenizer, stream)
    for wrong in ((5,), capsules[::-1], (capsules[0],)):
        with pytest.raises(ValueError, match="PyCapsule"):
            _core.arrow_texts(*wrong)
    with pytest.raises(TypeError, match="cannot create"):
        _core.ArrowTexts()


def test_a_series_of_polars_is_read_in_place(tokenizer):
    pl = pytest.importorskip("polars")
    values = [*VALUES, "the " * 20, "中" * 30]
    long = "the " * (1 << 18)
    kinds = [
        pl.Series(values), pl.Series(["x", *values]).slice(1), pl.DataFrame({"r": values})["r"],
        pl.concat([pl.Series(values[:3]), pl.Series(values[3:])], rechunk=False),
        pl.Series(values, dtype=pl.Enum(values)), pl.Series(values, dtype=pl.Categorical),
    ]
    for texts in kinds:
        # Not all releases can export the last two.
        assert arrow_texts(texts) is not None or texts.dtype != pl.String
        for a, b in zip(encode(tokenizer, texts), encode(tokenizer, values), strict=True):
            assert np.array_equal(a, b)
    series = pl.Series([long] * 6)
    tokenizer.encode_batch(series, max_length=8)
    assert peak_of(lambda: tokenizer.encode_batch(series, max_length=8, n_threads=1)) < 1 << 18
    assert check_texts(series.head(1)) == [long]
    missing = pl.Series("review", ["a", None])
    for arrow in (False, True):
        with pytest.raises(TypeError, match=r"X\[1\] is None; drop it"):
            check_texts(missing, arrow=arrow)
    with pytest.raises(TypeError, match=r"texts\[1\]: expected str, got None"):
        tokenizer.encode_batch(missing)
    assert arrow_texts(pl.Series([object()], dtype=pl.Object)) is None
    for other in (pl.Series([1]), pl.Series([b"a"]), pl.Series([["a"]]), missing.to_frame()):
        assert arrow_texts(other) is None


def test_tables_are_not_converted():
    class Table:
        columns = property(lambda self: pytest.fail("asked for the columns"))
        array = pd.array(["a"], dtype="string[pyarrow]")

        def __arrow_c_stream__(self, requested_schema=None):
            pytest.fail("made a stream")

    assert arrow_texts(Table()) is None
    assert arrow_texts(pd.DataFrame({"array": pd.Series(["a"], dtype="string[pyarrow]")})) is None


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
