"""Errors of ours are the whole story: no second traceback stands above them in a notebook."""

import ast
from pathlib import Path

import pytest

import bertsent

PACKAGE = Path(bertsent.__file__).parent
# A line with this comment raises an error whose cause says more than the error itself.
EXCEPTION = "# keeps the cause"


def raises_with_a_cause(source):
    """Return the lines of a program that raise a new error and show the one before."""
    found = []

    def visit(node, handling):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            handling = False
        if isinstance(node, ast.Raise) and node.exc is not None:
            hidden = isinstance(node.cause, ast.Constant) and node.cause.value is None
            if not hidden and (handling or node.cause is not None):
                found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            visit(child, handling or isinstance(node, ast.ExceptHandler))

    visit(ast.parse(source), False)
    lines = source.splitlines()
    return [number for number in found if EXCEPTION not in lines[number - 1]]


@pytest.mark.parametrize(
    "source, lines",
    [
        ("try: f()\nexcept E as e:\n    raise X(e) from e", [3]),
        ("try: f()\nexcept E:\n    if a:\n        raise X('a')", [4]),
        ("try: f()\nexcept E:\n    raise X('a') from None", []),
        ("try: f()\nexcept E:\n    raise", []),
        ("try: f()\nexcept E as e:\n    raise X(e) from e  # keeps the cause", []),
        ("try: f()\nexcept E:\n    def g():\n        raise X('a')", []),
        ("e = g()\nraise X('a') from e", [2]),
        ("raise X('a')", []),
    ],
)
def test_what_is_found(source, lines):
    assert raises_with_a_cause(source) == lines


def test_errors_stand_alone():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in raises_with_a_cause(path.read_text(encoding="utf-8"))
    ]
    assert not found, "raise ... from None, or say why not"
