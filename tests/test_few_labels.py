"""The notebook about few labels: it is as it was run, and it runs."""

import pytest
from notebooks import DOCS, read_cells, run_cells, was_run

NOTEBOOK = DOCS / "few_labels.ipynb"


@pytest.fixture(scope="module")
def cells():
    return read_cells(NOTEBOOK)


def test_it_was_run_without_errors_and_is_small(cells):
    kinds = was_run(NOTEBOOK, cells)
    assert kinds.count("execute_result") >= 5 and "display_data" in kinds


@pytest.mark.slow
def test_it_runs(cells, minilm_dir, monkeypatch):
    namespace = run_cells(cells, monkeypatch)
    assert namespace["suggested"] > 0.5
    assert namespace["curve"].law is not None and len(namespace["first"]) == 50
    assert set(namespace["first"]["row"]).isdisjoint(namespace["more"]["row"])
