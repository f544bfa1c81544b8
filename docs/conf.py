"""Configuration of Sphinx, which builds the documentation site from the pages in this folder.

docs/architecture.md says how.
"""

import os
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
if not any((ROOT / "bertsent").glob("_core.*.so")):
    # "python -m sphinx" looks here first, where nothing is compiled; describe what is installed.
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != ROOT]

import bertsent  # noqa: E402

project = "bertsent"
author = "the bertsent authors"
project_copyright = author
version = release = bertsent.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_external_toc",
    "sphinx_copybutton",
]
templates_path = ["templates"]
exclude_patterns = ["templates", "static"]

# Names in single backticks link to the reference where there is such a name.
default_role = "py:obj"
smartquotes = False  # would make one dash of the two before a flag
autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # docstrings say more
numpydoc_show_class_members = False  # templates/class.rst lists them
# The tests run the notebooks; the site shows the outputs that are stored in them.
nb_execution_mode = "off"
myst_heading_anchors = 4
external_toc_path = "_toc.yml"
suppress_warnings = ["etoc.toctree"]  # autosummary adds a table of contents of its own
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"bertsent {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 1,
    "show_toc_level": 2,
}
html_sidebars = {"index": []}

# Pages that are not in this folder, and what they are called on the site. Their copies are written
# beside those that autosummary generates.
OUTSIDE = {
    f"{name}.md": f"generated/{name.lower()}.md"
    for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")
}


def copy_outside_pages():
    """Copy the pages from outside this folder, with links that fit their new place."""
    for name, copy in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](../")
        text = re.sub(r"\]\(([A-Z]+)\.md", lambda link: f"]({link[1].lower()}.md", text)
        target = DOCS / copy
        target.parent.mkdir(exist_ok=True)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


def link_to_copies(app, docname, source):
    """Let a page of this folder link to the copies."""
    for name, copy in OUTSIDE.items():
        source[0] = source[0].replace(f"](../{name}", f"]({copy}")
    # What a page takes for granted in a test is not for its readers.
    marks = r"^ *<!-- (setup\n.*?|(?:skip|needs): .*?|test-command) ?-->\n"
    source[0] = re.sub(marks, "", source[0], flags=re.DOTALL | re.MULTILINE)


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that a class inherits from scikit-learn or Python."""
    if not name.startswith("_"):
        module = getattr(obj, "__module__", None) or getattr(
            getattr(obj, "fget", None), "__module__", "bertsent"
        )
        if not str(module).startswith("bertsent"):
            return True
    return None


def link_to_pages(app, what, name, obj, options, lines):
    """Link the pages that a docstring names, such as docs/tasks.md."""
    for i, line in enumerate(lines):
        lines[i] = re.sub(r"(?<![`/])\bdocs/(\w+)\.md", r":doc:`docs/\1.md </\1>`", line)


def setup(app):
    """Connect the functions above."""
    copy_outside_pages()
    app.connect("source-read", link_to_copies)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", link_to_pages)
