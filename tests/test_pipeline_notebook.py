"""The notebook about text and numbers: it is as it was run, and it runs."""

from pathlib import Path

import pytest
from notebooks import read_cells, run_cells, was_run

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "pipeline.ipynb"


@pytest.fixture(scope="module")
def cells():
    return read_cells(NOTEBOOK)


def test_it_was_run_without_errors_and_is_small(cells):
    kinds = was_run(NOTEBOOK, cells)
    assert kinds.count("execute_result") >= 4 and "display_data" in kinds


@pytest.mark.slow
def test_it_runs(cells, minilm_dir, monkeypatch):
    namespace = run_cells(cells, monkeypatch)
    X, y = namespace["X_test"], namespace["y_test"]
    assert namespace["both"].score(X, y) > 0.6 and namespace["search"].score(X, y) > 0.5
