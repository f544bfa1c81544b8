"""Arrow's PyCapsule interface without Arrow: valid and invalid structures, made by hand."""

import ctypes
import errno

import numpy as np

_LAYOUTS = {"u": np.int32, "U": np.int64}
# Chunks that a consumer holds or has released: their callbacks must stay alive.
_given, _released = {}, []


class Schema(ctypes.Structure):
    pass


class Array(ctypes.Structure):
    pass


class Stream(ctypes.Structure):
    pass


ReleaseSchema = ctypes.CFUNCTYPE(None, ctypes.POINTER(Schema))
ReleaseArray = ctypes.CFUNCTYPE(None, ctypes.POINTER(Array))
GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.POINTER(Schema))
GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Stream), ctypes.POINTER(Array))
GetLastError = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(Stream))
ReleaseStream = ctypes.CFUNCTYPE(None, ctypes.POINTER(Stream))

Schema._fields_ = [
    ("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64), ("n_children", ctypes.c_int64), ("children", ctypes.c_void_p),
    ("dictionary", ctypes.POINTER(Schema)), ("release", ReleaseSchema),
    ("private_data", ctypes.c_void_p),
]
Array._fields_ = [
    ("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64), ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)), ("children", ctypes.c_void_p),
    ("dictionary", ctypes.POINTER(Array)), ("release", ReleaseArray),
    ("private_data", ctypes.c_void_p),
]
Stream._fields_ = [
    ("get_schema", GetSchema), ("get_next", GetNext), ("get_last_error", GetLastError),
    ("release", ReleaseStream), ("private_data", ctypes.c_void_p),
]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


class Chunk:
    """An array of the interface.

    Parameters
    ----------
    buffers : list of bytes-like or None
    length, offset, null_count : int
    dictionary : Chunk or None

    Attributes
    ----------
    released : int
        Number of times that it was released.
    """

    def __init__(self, buffers, length, offset=0, null_count=0, dictionary=None):
        self.kept = [None if b is None else np.frombuffer(bytes(b) + b"\0", np.uint8)
                     for b in buffers]
        pointers = [None if b is None else b.ctypes.data for b in self.kept]
        self.pointers = (ctypes.c_void_p * len(buffers))(*pointers)
        self.dictionary, self.released = dictionary, 0
        self.callback = ReleaseArray(self.release)
        self.struct = Array(
            length, null_count, offset, len(buffers), 0, self.pointers, None, None, self.callback
        )
        if dictionary is not None:
            self.struct.dictionary = ctypes.pointer(dictionary.struct)

    def give(self):
        """The structure, with its memory kept until it is released."""
        _released.clear()
        _given[id(self)] = self
        return self.struct

    def release(self, array):
        self.released += 1
        array.contents.release = ReleaseArray()
        _released.append(_given.pop(id(self)))

    @classmethod
    def of(cls, texts, layout="u", before=0):
        """Texts, or None, in the layout of a format; the first `before` ones precede the offset."""
        coded = [b"" if text is None else text.encode() for text in texts]
        offsets = np.cumsum([0, *map(len, coded)], dtype=_LAYOUTS[layout])
        there = np.packbits(np.array([text is not None for text in texts], bool), bitorder="little")
        nulls = sum(text is None for text in texts[before:])
        buffers = [there if nulls else None, offsets.tobytes(), b"".join(coded)]
        return cls(buffers, len(texts) - before, before, nulls)


class Producer:
    """An object with ``__arrow_c_stream__``.

    Parameters
    ----------
    format : str
        Type, as the interface writes it.
    chunks : list of Chunk
    dictionary : str or None
        The format of the items of a dictionary.
    fails : bool
        Whether the stream ends with an error.
    """

    def __init__(self, format, chunks, dictionary=None, fails=False):
        self.format, self.chunks, self.fails = format.encode(), chunks, fails
        self.left = list(chunks)
        self.schemas = self.streams = 0
        self.message = ctypes.create_string_buffer(b"no more")
        self.schema_callback = ReleaseSchema(self.release_schema)
        self.dictionary = None
        if dictionary is not None:
            self.dictionary = Schema(dictionary.encode(), release=self.schema_callback)
        self.stream = Stream(
            GetSchema(self.get_schema), GetNext(self.get_next),
            GetLastError(lambda stream: ctypes.addressof(self.message)),
            ReleaseStream(self.release_stream),
        )

    def make_schema(self):
        schema = Schema(self.format, release=self.schema_callback)
        if self.dictionary is not None:
            schema.dictionary = ctypes.pointer(self.dictionary)
        return schema

    def get_schema(self, stream, out):
        out[0] = self.make_schema()
        return 0

    def get_next(self, stream, out):
        if not self.left:
            out[0] = Array()
            return errno.EIO if self.fails else 0
        out[0] = self.left.pop(0).give()
        return 0

    def release_schema(self, schema):
        self.schemas += 1
        schema.contents.release = ReleaseSchema()

    def release_stream(self, stream):
        self.streams += 1
        stream.contents.release = ReleaseStream()

    def __arrow_c_stream__(self, requested_schema=None):
        return _new_capsule(ctypes.addressof(self.stream), b"arrow_array_stream", None)


class OneArray(Producer):
    """An object with ``__arrow_c_array__``."""

    __arrow_c_stream__ = property()

    def __arrow_c_array__(self, requested_schema=None):
        self.schema = self.make_schema()
        return (
            _new_capsule(ctypes.addressof(self.schema), b"arrow_schema", None),
            _new_capsule(ctypes.addressof(self.chunks[0].give()), b"arrow_array", None),
        )


def as_arrow(texts, layout="U"):
    """A producer of texts."""
    return Producer(layout, [Chunk.of(texts, layout)])
