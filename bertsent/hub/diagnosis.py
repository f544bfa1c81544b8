"""Say what a directory or file is that is no model bertsent can open, and what to do.

Programs save models in many forms, and people give the folder above or a file inside. Each
function here is called only after opening has failed, so none of this costs time otherwise.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bertsent.errors import CheckpointError
from bertsent.files import BEGINNING, describe_impostor, read_json
from bertsent.hub.sentence import inner_model
from bertsent.wording import spell

__all__ = [
    "adapter_beside",
    "cache_gap",
    "cached_id",
    "conversion_line",
    "describe_file",
    "describe_link",
    "folders_in",
    "models_in",
    "no_config",
    "no_weights",
    "offline_variable",
]

# As many names are listed in a message at most.
_MOST_NAMES = 5
# As many files of a pattern are looked at.
_MOST_FILES = 1000
_DATA_SUFFIXES = frozenset({
    ".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".parquet", ".pq", ".xlsx", ".txt",
})
_GIVE = "give the directory that holds config.json and model.safetensors"
_AGAIN = "download or copy the model again"
_NO_PICKLE = "bertsent does not open it, because pickle files can run any code"


class _Form(NamedTuple):
    """Another form of weights: files, what they are, what to do, and how transformers opens them.

    ``{line}`` in what to do stands for the command that converts a model.
    """

    patterns: tuple[str, ...]
    kind: str
    do: str
    option: str = ""


_CONVERT = "convert it where torch and transformers are installed:\n  {line}"
_FORMS = (
    _Form(
        ("pytorch_model*.bin",), "a pickle file",
        f"{_NO_PICKLE}. If you trust it, {_CONVERT}",
    ),
    _Form(
        ("model.safetensors.*", "*.part", "*.crdownload", "*.incomplete", "*.tmp"),
        "what a download left behind that did not finish",
        "download the model again",
    ),
    _Form(
        ("tf_model*.h5",), "a TensorFlow file",
        "convert it with transformers 4, the last version that reads TensorFlow, where torch and "
        "tensorflow are installed:\n  {line}",
        "from_tf=True",
    ),
    _Form(
        ("flax_model*.msgpack",), "a Flax file",
        "convert it with transformers 4, the last version that reads Flax, where torch and flax "
        "are installed:\n  {line}",
        "from_flax=True",
    ),
    _Form(
        ("*.ckpt.index", "*.ckpt.meta"), "a TensorFlow checkpoint",
        "use the model's version on the hub that has model.safetensors, or convert it with "
        "'transformers-cli convert' of transformers 4",
    ),
    _Form(
        ("zero_to_fp32.py",), "a checkpoint of DeepSpeed",
        "run 'python zero_to_fp32.py . . --safe_serialization' in that directory",
    ),
    _Form(
        ("*.distcp", "*/*.distcp"), "a checkpoint of FSDP",
        "make one file of it with 'accelerate merge-weights'",
    ),
    _Form(
        ("*.keras", "*.h5", "*.pdparams"), "weights of another library",
        "use the version of the model that PyTorch reads, with model.safetensors",
    ),
    _Form(
        ("*.onnx", "onnx/*.onnx", "openvino_model.xml", "openvino/*.xml", "*.tflite", "*.gguf",
         "rust_model.ot", "saved_model.pb", "*.mlpackage", "coreml/*"),
        "a model exported for inference",
        "export files cannot be trained or converted back; use the model from which it was made",
    ),
    _Form(
        ("*.pt", "*.pth", "*.ckpt", "*.pkl", "*.joblib", "*.bin"), "a pickle file",
        f"{_NO_PICKLE}. If you trust it, load it with the program that saved it, and save the "
        "model with its save_pretrained",
    ),
    _Form(
        ("*.zip", "*.tar", "*.tar.gz", "*.tgz", "*.tar.bz2", "*.tar.xz", "*.7z"), "an archive",
        "unpack it, and give the directory that comes out",
    ),
)
# Files beside a model that have the endings of weights.
_NO_WEIGHTS = re.compile(
    r"(training_args\.bin|optimizer\.(pt|bin)|scheduler\.pt|scaler\.pt|rng_state.*\.pth"
    r"|adapter_model\.(bin|safetensors)|.*tokenizer.*)"
)
_STEPS = "step-*.safetensors"


def conversion_line(source: str, raw: Mapping[str, Any], option: str = "") -> str:
    """Return a shell command that converts a model to safetensors.

    Parameters
    ----------
    source : str
        Directory, or id on the hub.
    raw : mapping
        Content of its ``config.json``.
    option : str, default=""
        A further argument of ``from_pretrained``, such as ``from_tf=True``.

    Returns
    -------
    str
    """
    task = "ForSequenceClassification"
    architectures = raw.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    auto = "AutoModel" + task * any(str(name).endswith(task) for name in names)
    program = (
        f"import sys, transformers; name, target = sys.argv[1:]; "
        f"transformers.{auto}.from_pretrained(name{option and ', ' + option})"
        ".save_pretrained(target); "
        "transformers.AutoTokenizer.from_pretrained(name).save_pretrained(target)"
    )
    target = (Path(source).name or Path(source).resolve().name or "model") + "-safetensors"
    return f'python -c "{program}" {shlex.quote(source)} {shlex.quote(target)}'


def folders_in(directory: Path) -> list[str]:
    """Return the names of the directories in a directory that are not hidden."""
    return sorted(
        entry.name for entry in _entries(directory)
        if not entry.name.startswith(".") and entry.is_dir()
    )


def models_in(directory: Path) -> list[str]:
    """Return the names of model directories in a directory, or one level further down."""
    for pattern in ("*/config.json", "*/*/config.json"):
        found = [
            path.parent.relative_to(directory).as_posix()
            for path in _glob(directory, pattern) if not path.parent.name.startswith(".")
        ]
        if found:
            return sorted(found, key=_natural)
    return []


def no_config(directory: Path) -> str:
    """Return what a directory without ``config.json`` is, and what to do."""
    link = describe_link(directory / "config.json")
    if link is not None:
        return link
    start = f"{directory} is not a model directory: it has no config.json"
    names = [entry.name for entry in _entries(directory)]
    if not names:
        return f"{start}. It is empty; {_GIVE}"
    special = _adapter(directory) or _inside(directory)
    if special is not None:
        return special
    if _glob(directory, _STEPS):
        return (
            f"{directory} contains the checkpoints of a run; continue the run with "
            f"{spell('checkpoint_dir', str(directory))} and {spell('resume', True)}, or give the "
            "directory in which the finished model is"
        )
    if "bert_config.json" in names and not _glob(directory, "*.ckpt.*"):
        return f"{start}, but bert_config.json, which is its old name; rename it to config.json"
    if any(name.endswith(".safetensors") or re.match(r"pytorch_model.*\.bin", name)
           for name in names):
        return (
            f"{start}, only weights. Copy the config.json of the model from which training "
            "started, and its tokenizer, into the directory"
        )
    found = _form(directory)
    if found is not None:
        form, name = found
        return f"{start}, but {name}, {form.kind}; {_what_to_do(form, name, directory, {})}"
    gap = cache_gap(directory, "config.json")
    if gap is not None:
        return gap
    shown = ", ".join(sorted(names)[:_MOST_NAMES]) + ", ..." * (len(names) > _MOST_NAMES)
    return f"{start}. It contains {shown}; {_GIVE}"


def no_weights(directory: Path, raw: Mapping[str, Any]) -> str:
    """Return what a directory without weights is, and what to do."""
    special = _adapter(directory)
    if special is not None:
        return special
    start = f"{directory} has a config.json but no model.safetensors"
    path = directory / "model.safetensors"
    link = describe_link(path)
    if link is not None:
        return link
    if path.exists():
        return f"{path} is a {'directory' if path.is_dir() else 'device'}, not a file; {_AGAIN}"
    others = sorted(
        path.name for path in _glob(directory, "*.safetensors")
        if not _NO_WEIGHTS.fullmatch(path.name) and not path.name.startswith("member-")
    )
    shards = [name for name in others if re.fullmatch(r".+-\d{5}-of-\d{5}\.safetensors", name)]
    indices = sorted(path.name for path in _glob(directory, "*.safetensors.index.*json"))
    if shards and indices:
        return (
            f"{start}. It has another version of the weights, {shards[0]} and {indices[0]}; "
            f"rename {indices[0]} to model.safetensors.index.json to use that version"
        )
    if shards:
        return (
            f"{start}, only parts of it ({_listed(shards)}) without "
            f"model.safetensors.index.json, which says what is in them; {_AGAIN}"
        )
    if others:
        one = "it" if len(others) == 1 else "one of them"
        return (
            f"{directory} has no model.safetensors, but {_listed(others)}; rename {one} to "
            "model.safetensors if these are the weights of the model"
        )
    found = _form(directory)
    if found is not None:
        form, name = found
        do = _what_to_do(form, name, directory, raw)
        return f"the weights in {directory} are {form.kind} ({name}); {do}"
    return cache_gap(directory, "model.safetensors") or _inside(directory) or f"{start}; {_AGAIN}"


def describe_file(path: Path) -> str:
    """Return what a file is that was given in place of a directory, and what to do."""
    try:
        with open(path, "rb") as file:
            beginning = file.read(BEGINNING) if path.is_file() else b""
    except OSError:
        beginning = b""
    there = f"give the directory in which it is, {path.parent}"
    suffix = path.suffix.lower()
    if suffix in _DATA_SUFFIXES and path.name not in ("vocab.txt", "merges.txt"):
        return f"{path} is a file of data, not a model; {_GIVE}"
    if (path.parent / "config.json").is_file():
        return f"{path} is a file; {there}"
    if suffix in (".pkl", ".pickle", ".joblib"):
        return (
            f"{path} is a pickle file; open it with the program that wrote it, if you trust it, "
            "or give a directory that save_pretrained wrote"
        )
    impostor = describe_impostor(path, beginning) or ""
    for kind, command in (
        ("a zip archive", "unzip {file} -d {target}"),
        ("a tar archive", "tar -xf {file}"),
        ("compressed", "tar -xf {file}"),
    ):
        if kind in impostor:
            target = path.with_name(path.name.split(".")[0] + "-unpacked")
            line = command.format(file=shlex.quote(str(path)), target=shlex.quote(str(target)))
            return f"{path} is an archive; unpack it ({line}), and {_GIVE}"
    if suffix in (".safetensors", ".bin", ".h5", ".msgpack", ".json", ".txt", ".pt", ".pth"):
        return (
            f"{path} is a file; give the directory that holds it together with the other files of "
            "the model, config.json and those of the tokenizer"
        )
    return f"{path} is a file; {_GIVE}"


def cached_id(directory: Path) -> str | None:
    """Return the id on the hub of a directory in the cache of huggingface_hub, or None."""
    if directory.parent.name != "snapshots" or not directory.parents[1].name.startswith("models--"):
        return None
    return directory.parents[1].name.removeprefix("models--").replace("--", "/")


def offline_variable() -> str | None:
    """Return the environment variable that forbids downloads, or None."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    given = [name for name in names if os.environ.get(name)]
    if not given or not _is_true(given[0]):
        return None  # the first one that is not empty decides
    return " and ".join(name for name in given if _is_true(name))


def _is_true(variable: str) -> bool:
    return os.environ[variable].upper() in ("1", "ON", "YES", "TRUE")


def cache_gap(directory: Path, lacks: str, reason: str = "") -> str | None:
    """Return why a directory lacks a file, if it is an incomplete download from the hub.

    Parameters
    ----------
    directory : pathlib.Path
    lacks : str
        The file.
    reason : str, default=""
        Why the hub cannot be reached, if that has been tried.

    Returns
    -------
    str or None
        None if the directory is not in the cache of huggingface_hub.
    """
    repo_id, variable = cached_id(directory), offline_variable()
    if repo_id is None:
        return None
    why = f", and the hub cannot be reached ({reason})" if reason else ""
    if variable is not None:
        why = f", and {variable} forbids downloads"
    do = "connect to the network" if variable is None else f"unset {variable}"
    return (
        f"{repo_id} is not complete in the cache of the hub, there is no {lacks} in {directory}"
        f"{why}; {do} and download the rest with: hf download {repo_id}"
    )


def _adapter(directory: Path) -> str | None:
    """Return what to do with an adapter of peft, or None if there is none."""
    try:
        content = read_json(directory / "adapter_config.json").value
    except FileNotFoundError:
        return None
    except CheckpointError:
        content = {}
    base = content.get("base_model_name_or_path")
    named = f" {base:.200}" if isinstance(base, str) and base else ""
    return (
        f"{directory} contains an adapter (adapter_config.json), which is only the difference to "
        f"its base model{named}. Merge both where peft is installed, with merge_and_unload() and "
        "save_pretrained(DIRECTORY), and give that directory"
    )


def adapter_beside(directory: Path) -> str | None:
    """Return what to do if a directory has an adapter and a whole model, or None."""
    if not (directory / "adapter_config.json").is_file():
        return None
    names = ("adapter_model.safetensors", "adapter_model.bin")
    found = next((name for name in names if (directory / name).is_file()), None)
    if found is None:
        return None
    return (
        f"{directory} contains a model and an adapter ({found}), and it cannot be seen whether the "
        "model already includes it. If it does, remove adapter_config.json; if not, merge both "
        "where peft is installed, with merge_and_unload() and save_pretrained(DIRECTORY)"
    )


def _inside(directory: Path) -> str | None:
    """Return which directories inside could be meant, or None."""
    part = inner_model(directory)
    if part is not None:
        return (
            f"{directory} is a model of sentence-transformers, whose encoder is in the folder "
            f"{part}; give {directory / part}"
        )
    models = models_in(directory)
    if not models:
        adapters = _glob(directory, "*/adapter_config.json")
        return _adapter(adapters[-1].parent) if adapters else None
    if len(models) == 1:
        return f"{directory} is not a model directory, but holds one; give {directory / models[0]}"
    return (
        f"{directory} is not a model directory, but it holds {_listed(models)}; give one of them, "
        f"such as {directory / models[-1]}"
    )


def describe_link(path: Path) -> str | None:
    """Return that a file is a link to one that is missing, or None."""
    if not path.is_symlink() or path.exists():
        return None
    return f"{path} is a link to {os.readlink(path):.200}, which is missing; {_AGAIN}"


def _form(directory: Path) -> tuple[_Form, str] | None:
    for form in _FORMS:
        for pattern in form.patterns:
            for path in _glob(directory, pattern):
                if not _NO_WEIGHTS.fullmatch(path.name) and not path.name.endswith(".json"):
                    return form, path.relative_to(directory).as_posix()
    return None


def _what_to_do(form: _Form, name: str, directory: Path, raw: Mapping[str, Any]) -> str:
    variant = re.fullmatch(r"pytorch_model\.(\w+?)(-\d+-of-\d+)?\.bin", name)
    option = f"variant='{variant[1]}'" if variant else form.option
    return form.do.format(line=conversion_line(str(directory), raw, option))


def _listed(names: Iterable[str]) -> str:
    """Return "a, b, c", or of many names the last ones, where the highest numbers are."""
    names = list(names)
    if len(names) > _MOST_NAMES:
        return f"{', '.join(names[-_MOST_NAMES:])} and {len(names) - _MOST_NAMES} more"
    return ", ".join(names)


def _natural(name: str) -> list[Any]:
    """Return a sorting key by which checkpoint-1000 comes after checkpoint-500."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part)
            for part in re.split(r"(\d+)", name)]


def _glob(directory: Path, pattern: str) -> list[Path]:
    try:
        return sorted(itertools.islice(directory.glob(pattern), _MOST_FILES))
    except OSError:
        return []


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
