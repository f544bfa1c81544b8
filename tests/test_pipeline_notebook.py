"""The notebook about text and numbers: it is as it was run, and it runs."""

import pytest
from notebooks import DOCS, read_cells, run_cells, was_run

NOTEBOOK = DOCS / "pipeline.ipynb"


@pytest.fixture(scope="module")
def cells():
    return read_cells(NOTEBOOK)


def test_it_was_run_without_errors_and_is_small(cells):
    kinds = was_run(NOTEBOOK, cells)
    assert kinds.count("execute_result") >= 6 and "display_data" in kinds
    shown = ["".join(o["data"].get("text/html", "")) for c in cells for o in c.get("outputs", ())]
    assert any(" solid " in html and " dashed " in html for html in shown)  # an explanation
    assert any("shape: (" in html and "predicted_label" in html for html in shown)  # of Polars


@pytest.mark.slow
def test_it_runs(cells, minilm_dir, monkeypatch):
    polars = pytest.importorskip("polars")
    namespace = run_cells(cells, monkeypatch)
    X, y = namespace["X_test"], namespace["y_test"]
    assert namespace["both"].score(X, y) > 0.6 and namespace["search"].score(X, y) > 0.5
    assert type(namespace["predicted"]) is polars.DataFrame and len(namespace["predicted"]) == 100
