"""Run the notebooks of this folder and store their outputs: run_notebooks.py FILE...

Needs ipykernel and nbclient. What differs from run to run, such as times, is not stored.
"""

import argparse
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def run(path):
    """Run a notebook from top to bottom and write it back."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
        for output in cell.get("outputs", []):
            output.pop("transient", None)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="FILE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    for path in parser.parse_args().notebooks:
        run(path)
