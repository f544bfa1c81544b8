"""Includes in csrc/ run one way: between the folders, and between the modules of each folder."""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parent.parent / "csrc"
pytestmark = pytest.mark.skipif(not CSRC.is_dir(), reason="the C sources are not here")

# A folder may include files of its own and of those named here.
BELOW = {
    "core": set(),
    "kernels": {"core"},
    "model": {"core", "kernels"},
    "train": {"core", "kernels", "model"},
    "tokenizer": {"core"},
    "python": {"core", "kernels", "model", "train", "tokenizer"},
}


def includes_of(file):
    """Return what a file includes, as it is written."""
    return re.findall(r'^\s*#\s*include\s+[<"]([^">]+)[">]', file.read_text(), re.MULTILINE)


def sources():
    """Return folder and path of every C file."""
    return [(path.relative_to(CSRC).parts[0], path) for path in sorted(CSRC.rglob("*.[ch]"))]


def module_graph():
    """Return module -> modules that it includes; a/b.c and a/b.h are the module a/b."""
    graph = {}
    for _, path in sources():
        module = path.relative_to(CSRC).with_suffix("").as_posix()
        own = {
            name.rsplit(".", 1)[0]
            for name in includes_of(path)
            if name.split("/", 1)[0] in BELOW
        }
        graph.setdefault(module, set()).update(own - {module})
    return graph


def test_every_folder_has_its_place():
    assert {folder for folder, _ in sources()} == set(BELOW)


def test_no_folder_includes_one_above_it():
    wrong = [
        f"{module} includes {other}"
        for module, others in module_graph().items()
        for other in sorted(others)
        if other.split("/")[0] not in BELOW[module.split("/")[0]] | {module.split("/")[0]}
    ]
    assert not wrong


def test_includes_name_files_that_are_there():
    graph = module_graph()
    assert not {other for others in graph.values() for other in others} - set(graph)


def test_no_modules_include_each_other_in_a_circle():
    try:
        TopologicalSorter(module_graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_only_the_python_folder_knows_of_python():
    others = [
        path.name
        for folder, path in sources()
        if folder != "python"
        for name in includes_of(path)
        if name == "Python.h" or name.startswith(("numpy/", "python/"))
    ]
    assert not others


def test_a_circle_would_be_found(tmp_path, monkeypatch):
    for name, text in {
        "core/status.h": "",
        "model/layer.h": '#include "core/status.h"\n',
        "model/layer.c": '#include "model/layer.h"\n  # include "model/pass.h"\n',
        "model/pass.h": '#include "model/layer.h"\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(f"{__name__}.CSRC", tmp_path)
    with pytest.raises(CycleError):
        TopologicalSorter(module_graph()).prepare()
