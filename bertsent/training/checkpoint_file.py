"""The file format of checkpoints: safetensors, with a checksum over every byte.

The safetensors library reads the file. It first checks the header: types and shapes must match
the offsets, and the arrays must lie side by side and end where the file ends. So nothing larger
than the file is ever allocated.

The file is written here, without copies. The library's writer copies all arrays before version
0.8; version 0.8 writes to a temporary file of its own, which remains if the process is killed.
"""

from __future__ import annotations

import contextlib
import json
import reprlib
import zlib
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import atomic_file, mapping_error, open_regular, parse_json, path_of

if TYPE_CHECKING:
    import numpy.typing as npt

# In format 1 the checksum is part of the record and covers the arrays only.
FORMATS = (1, 2)
_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"), "I64": np.dtype("<i8"), "I32": np.dtype("<i4"),
}
_BLANK = "0" * 8
# Bytes, or array items, to read at a time.
_PIECE = 1 << 20


def write_checkpoint(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], record: dict[str, Any]
) -> None:
    """Write a checkpoint without copying its arrays.

    Parameters
    ----------
    path : path-like
    arrays : dict of str to ndarray
        Contiguous arrays of float32, int64 or int32.
    record : dict
        Everything else; must be serializable as JSON.
    """
    names = {dtype: name for name, dtype in _DTYPES.items()}
    text = json.dumps(record | {"format": FORMATS[-1]})
    header: dict[str, Any] = {"__metadata__": {"bertsent": text, "crc32": _BLANK}}
    offset = 0
    # Arrays with larger items first, so that each one is aligned.
    arrays = dict(sorted(arrays.items(), key=lambda item: -item[1].itemsize))
    for name, array in arrays.items():
        header[name] = {
            "dtype": names[array.dtype], "shape": [array.size],
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    head = len(head).to_bytes(8, "little") + head
    crc = zlib.crc32(head)
    for array in arrays.values():
        crc = zlib.crc32(array.data, crc)
    with atomic_file(path, follow_link=False) as file:
        file.write(_with_checksum(head, _BLANK, f"{crc:08x}"))
        for array in arrays.values():
            file.write(array.data)


@contextlib.contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn errors from reading a damaged checkpoint into a CheckpointError that names the file."""
    import safetensors

    try:
        yield
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from None
    except MemoryError:
        raise mapping_error(path) from None
    except KeyError as error:
        raise CheckpointError(f"{path} is damaged ({str(error):.200} is missing)") from None
    except (
        ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError,
        safetensors.SafetensorError,
    ) as error:
        raise CheckpointError(f"{path} is damaged ({str(error):.200})") from None


class CheckpointFile:
    """A checkpoint on disk whose checksum is correct.

    Parameters
    ----------
    path : pathlib.Path

    Attributes
    ----------
    format : int
    record : dict
        Everything but the arrays.
    arrays : dict of str to tuple
        Type and size of each array. All have one dimension.

    Raises
    ------
    CheckpointError
        The file is damaged, cannot be read, or was written by a later version of bertsent.
    """

    def __init__(self, path: Path) -> None:
        import safetensors

        self.path = path
        if not path.is_file():
            raise CheckpointError(f"{path} is damaged (it is not a file)")
        with naming_damage(path), open_regular(path) as file:
            self._tensors = safetensors.safe_open(path_of(file), framework="numpy")
            metadata = self._tensors.metadata() or {}
            record = parse_json(metadata["bertsent"], f"{path} is damaged: its record")
            self.record: dict[str, Any] = record.value
            self.format = self.record["format"]
            if self.format not in FORMATS:
                raise CheckpointError(
                    f"{path} is of format {self.format!r:.20}; this bertsent reads "
                    f"{' and '.join(map(str, FORMATS))}"
                )
            self._check_sum(file, metadata)
            self.arrays = {name: self._describe(name) for name in self._tensors.keys()}

    def read(self, name: str) -> npt.NDArray[Any]:
        """Return an array."""
        dtype, size = self.arrays[name]
        array = np.empty(size, dtype)
        self.read_into(name, array)
        return array

    def read_into(self, name: str, target: npt.NDArray[Any]) -> None:
        """Copy an array into another one of the same size."""
        for start, piece in self.pieces(name):
            target[start : start + len(piece)] = piece

    def pieces(self, name: str) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Iterate over an array in pieces; yields the index of the first item and the piece."""
        values, size = self._tensors.get_slice(name), self.arrays[name][1]
        for start in range(0, size, _PIECE):
            yield start, values[start : min(start + _PIECE, size)]

    def _check_sum(self, file: BufferedReader, metadata: Mapping[str, str]) -> None:
        head = file.read(8)
        head += file.read(int.from_bytes(head, "little"))
        if self.format == 1:
            saved, crc = f"{self.record['crc32']:08x}", 0
        else:
            saved = metadata["crc32"]
            crc = zlib.crc32(_with_checksum(head, saved, _BLANK))
        while piece := file.read(_PIECE):
            crc = zlib.crc32(piece, crc)
        if saved != f"{crc:08x}":
            raise ValueError("its checksum is wrong")

    def _describe(self, name: str) -> tuple[np.dtype[Any], int]:
        values = self._tensors.get_slice(name)
        dtype, shape = values.get_dtype(), values.get_shape()
        if dtype not in _DTYPES or len(shape) != 1:
            raise ValueError(f"{name!r:.40} is of type {dtype} and shape {reprlib.repr(shape)}")
        return _DTYPES[dtype], shape[0]


def _with_checksum(head: bytes, old: str, new: str) -> bytes:
    """Replace the digits of the checksum in the header of a file."""
    entry = '"crc32": "{}"'
    parts = head.split(entry.format(old).encode())
    if len(parts) != 2:
        raise ValueError("its checksum is not in its place")
    return parts[0] + entry.format(new).encode() + parts[1]
