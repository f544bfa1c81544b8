"""The notebooks of the gallery: they are as they were run, and they run."""

import os

import pytest
from notebooks import DOCS, NOTEBOOKS, read_cells, run_cells, was_run

GALLERY = DOCS / "gallery"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_was_run_without_errors_and_is_small(notebook):
    assert "execute_result" in was_run(notebook, read_cells(notebook))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_gallery_lists_it(notebook):
    name = str(notebook.relative_to(DOCS))
    assert f"]({name})" in (DOCS / "gallery.md").read_text("utf-8")


@pytest.fixture
def run(minilm_dir, monkeypatch):
    """Return a function that runs a notebook, in less time if it has any, and returns its names."""
    monkeypatch.delenv("BERTSENT_IMDB", raising=False)

    def run(name):
        cells = read_cells(GALLERY / f"{name}.ipynb")
        for cell in cells:
            cell["source"] = [line.replace('"60s"', '"25s"') for line in cell["source"]]
        return run_cells(cells, monkeypatch)

    return run


@pytest.mark.slow
def test_first_model(run):
    found = run("first_model")
    assert found["result"].accuracy > 0.7 and found["same"]
    assert "config.json" in found["saved"]


@pytest.mark.slow
def test_imdb_on_the_bundled_sample(run):
    found = run("imdb")
    baseline, trained = found["results"]["accuracy"]
    assert len(found["test"]) < 400 and baseline > 0.55 and trained > 0.65
    assert found["sizes"]["model.safetensors"] > 50


@pytest.mark.slow
def test_imdb(imdb, run, monkeypatch, tmp_path):
    path = os.fspath(tmp_path / "imdb.csv")
    imdb[:6000].to_csv(path, index=False)
    monkeypatch.setenv("BERTSENT_IMDB", path)
    found = run("imdb")
    assert len(found["test"]) == 500 and found["results"]["accuracy"].min() > 0.8


@pytest.mark.slow
def test_labels_and_ratings(run):
    found = run("labels_and_ratings")
    assert len(found["clf"].thresholds_) == 3
    assert found["ratings_table"].loc["ordered classes", "quadratic kappa"] > 0.1


@pytest.mark.slow
def test_why(run):
    found = run("why")
    means = found["by_word"]["mean"]
    assert means.head(4).max() < 0 < means.tail(4).min()
    assert len(found["similar"]) == 6


@pytest.mark.slow
def test_long_texts(run):
    accuracy = run("long_texts")["accuracy"]
    assert accuracy["tail"] > accuracy["head"] and accuracy.max() > 0.65


@pytest.mark.slow
def test_wrong_labels(run):
    found = run("wrong_labels")
    assert found["shares"]["the first 10%"] > 0.25
    assert len(found["leaks"]) >= 5 and found["keep"].sum() <= len(found["train"]) - 5
