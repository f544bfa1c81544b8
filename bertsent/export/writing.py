"""Write an ONNX file, or a directory with its tokenizer, as other programs expect them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bertsent
from bertsent.export.graph import import_onnx
from bertsent.export.outputs import Part, encode_onnx
from bertsent.files import (
    TOKENIZER_FILES,
    atomic_directory,
    atomic_write,
    check_output,
    check_target,
)
from bertsent.system import expand_path

if TYPE_CHECKING:
    from bertsent.tokenizer import Tokenizer

__all__ = ["write_onnx"]

# The name that optimum gives it.
_GRAPH = "model.onnx"
_FILES = frozenset({_GRAPH, "config.json"}) | TOKENIZER_FILES
# Files of models of any program that can be trained, whose tokenizer must stay as it is.
_MODELS = ("*.safetensors*", "bertsent.json", "*.bin", "*.h5", "*.msgpack")


def write_onnx(
    path: str | PathLike[str],
    parts: Sequence[Part],
    *,
    overwrite: bool = False,
    tokenizer: Tokenizer | None = None,
    max_length: int,
    truncation_side: str | None = None,
    link: str | None = None,
    temperature: Sequence[float] | None = None,
    int8: bool = False,
    metadata: Mapping[str, Any],
) -> None:
    """Write one or several models as an ONNX graph, atomically.

    Parameters
    ----------
    path : str or path-like
        A file that ends in ``.onnx``, or a directory. A directory also gets ``config.json`` and
        the files of the tokenizer.
    parts, link, temperature, int8
        As in `encode_onnx`.
    overwrite : bool, default=False
        Whether to replace what an export wrote before.
    tokenizer : Tokenizer or None, default=None
        Tokenizer for a directory.
    max_length : int
        Largest number of tokens, which the written tokenizer knows.
    truncation_side : {"left", "right"} or None, default=None
        At which end the written tokenizer cuts longer texts. None leaves it as it is.
    metadata : dict of str to object
        Properties of the graph: strings, or values that are written as JSON.

    Raises
    ------
    FileExistsError
        There is such a file, or the directory contains files, and `overwrite` is false; or the
        directory contains a model, configuration or tokenizer that is no export.
    ImportError
        onnx is not installed.
    ValueError
        The models are too large for one file.
    """
    import_onnx()
    path = expand_path(path)
    is_file = path.suffix.lower() == ".onnx"
    if is_file:
        check_output(path, overwrite, is_table=False)
    else:
        _check_others(path)
        check_target(path, overwrite, _FILES)
    properties = {
        "bertsent_version": bertsent.__version__, "precision": "int8" if int8 else "float32",
        "max_length": max_length, "members": len(parts), **metadata,
    }
    content = encode_onnx(
        parts, link=link, temperature=temperature, int8=int8, metadata={
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in properties.items()
        },
    )
    if is_file:
        atomic_write(path, content)
        return
    with atomic_directory(path, overwrite, _FILES) as staging:
        (staging / _GRAPH).write_bytes(content)
        config = json.dumps(parts[0].config, indent=2, sort_keys=True) + "\n"
        (staging / "config.json").write_text(config, encoding="utf-8")
        if tokenizer is not None:
            tokenizer.save_files(staging)
            _limit(staging / "tokenizer_config.json", max_length, truncation_side)


def _check_others(path: Path) -> None:
    """Raise a FileExistsError if a directory has files that not even `overwrite` may replace."""
    names = sorted(os.listdir(path)) if path.is_dir() else []
    instead = "choose another directory, or a file that ends in .onnx"
    for name in names:
        if any(fnmatch(name, pattern) for pattern in _MODELS):
            raise FileExistsError(f"{path} contains a saved model ({name}); {instead}")
    others = [name for name in names if name in _FILES]
    if others and _GRAPH not in others:
        raise FileExistsError(
            f"{path} contains {others[0]}, but no {_GRAPH}, so it is no export; {instead}"
        )


def _limit(path: Path, max_length: int, truncation_side: str | None) -> None:
    """Let a tokenizer cut texts at the length that the model reads, and at the same end."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model_max_length"] = max_length
    if truncation_side is not None:
        content["truncation_side"] = truncation_side
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
