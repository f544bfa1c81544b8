"""Rooms of the package: what one uses of another is what that one hands on."""

import ast
from pathlib import Path

import pytest

import bertsent

PACKAGE = Path(bertsent.__file__).parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def _imports(path):
    """Yield (module, name) of each ``from bertsent.… import name`` in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.suffix == ".pyi", f"{path} imports relatively"
            if node.module and node.module.partition(".")[0] == "bertsent":
                yield from ((node.module, alias.name) for alias in node.names)


def _handed_on(room):
    tree = ast.parse((PACKAGE / room / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.asname for node in tree.body if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_there_are_rooms():
    assert {"classifier", "cli", "hub", "texts", "training"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_other_rooms_are_imported_by_what_they_hand_on(room):
    for path in (PACKAGE / room).rglob("*.py"):
        for module, name in _imports(path):
            parts = module.split(".")
            if len(parts) == 1 or parts[1] in (room, "errors", "wording", "_core"):
                continue
            where = f"{path.relative_to(PACKAGE)}: from {module} import {name}"
            assert len(parts) == 2 and not name.startswith("_"), where
            assert parts[1] == "cli" or name in _handed_on(parts[1]), where


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "cli"])
def test_a_room_hands_on_what_is_there(room):
    module = __import__(f"bertsent.{room}", fromlist=["*"])
    names = _handed_on(room)
    assert names and set(module.__all__) == names
    for name in names:
        assert getattr(module, name) is not None
    # A module of the same name would take the place of what is handed on.
    assert not names & {path.stem for path in (PACKAGE / room).iterdir()}
