"""Read and run the notebooks of the documentation."""

import ast
import json
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTEBOOKS = sorted([*DOCS.glob("*.ipynb"), *DOCS.glob("gallery/*.ipynb")])


def read_cells(notebook):
    """Return the cells of a notebook, or skip where there is no documentation."""
    if not notebook.is_file():
        pytest.skip("the documentation is not here")
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def code_of(cell):
    """Return the lines of a cell that are Python and not for the notebook."""
    lines = "".join(cell["source"]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("%"))


def was_run(notebook, cells):
    """Check that a notebook was run from top to bottom, and return the kinds of its outputs."""
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = [output["output_type"] for cell in code for output in cell["outputs"]]
    assert not {"error", "stream"} & set(kinds)
    text = notebook.read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert "/root" not in text and "/home" not in text and "/tmp" not in text
    return kinds


def run_cells(cells, monkeypatch):
    """Run the cells without a kernel, and return their namespace."""
    pytest.importorskip("matplotlib").use("Agg")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    namespace = {"__name__": "__main__"}  # whose functions go to workers by value
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            tree = ast.parse(code_of(cell))
            exec(compile(tree, f"cell {number}", "exec"), namespace)
    return namespace
