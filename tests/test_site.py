"""The documentation site: its pages are complete and current, and their links lead somewhere.

.ci/run builds the site and checks the links of the HTML as well.
"""

import importlib.util
import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import bertsent
from bertsent import errors

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted([*DOCS.glob("*.md"), *DOCS.glob("*.ipynb"), *DOCS.glob("gallery/*.ipynb")]),
]
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*([^()\s]+(?:\([^()]*\)[^()\s]*)*)\s*\)")


def text_of(page):
    """Return the Markdown of a page or notebook, without blocks of code."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"^( *)(`{3,}).*?^\1\2`*$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(page):
    """Return the anchors of the headings of a page, as code hosts and Sphinx make them."""
    titles = re.findall(r"^#+ +(.*?) *$", text_of(page), flags=re.MULTILINE)
    titles = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page):
    """Return the links of a page to files and headings that do not exist."""
    broken = []
    for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_file() or anchor and anchor not in anchors_of(target):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_relative_links(page):
    assert not broken_links(page)


def test_links_that_lead_nowhere(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `a`\n[1](#one-a) [2](#two) [3](no.md) [4](page.md#one-a) [5](page.md#x) `[6](no)`\n"
        "[7](https://example.org/no)\n```text\n# Two\n[8](no)\n```\n![9](no.png) [a\nb](no2.md)\n",
        "utf-8",
    )
    assert broken_links(page) == ["#two", "no.md", "page.md#x", "no.png", "no2.md"]


def test_readers_do_not_see_what_tests_need():
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    conf = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conf)
    marked = 0
    for page in DOCS.glob("*.md"):
        source, marks = [page.read_text("utf-8")], re.compile(r"^ *<!-- (\w+)", re.MULTILINE)
        marked += len(marks.findall(source[0]))
        conf.link_to_copies(None, page.stem, source)
        assert set(marks.findall(source[0])) <= {"Made"}, page.name
    assert marked > 20


def test_every_page_is_in_the_table_of_contents():
    listed = re.findall(r"file: (\S+)", (DOCS / "_toc.yml").read_text("utf-8"))
    assert len(listed) == len(set(listed))
    here = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES if DOCS in page.parents}
    copied = {f"generated/{name}" for name in ("changelog", "contributing", "security")}
    assert set(listed) | {"index"} == here | copied


def test_the_reference_lists_every_public_name():
    text = (DOCS / "reference.md").read_text("utf-8")
    listed = set(re.findall(r"^   (\w+)$", text, flags=re.MULTILINE))
    raised = {name for name, value in vars(errors).items()
              if isinstance(value, type) and value.__module__ == errors.__name__}
    assert listed == set(bertsent.__all__) - {"__version__", "RECIPES"} | raised
    assert "`bertsent.RECIPES`" in text and "`bertsent.__version__`" in text


def test_the_page_of_commands_is_current(monkeypatch):
    spec = importlib.util.spec_from_file_location("make_commands", DOCS / "make_commands.py")
    program = importlib.util.module_from_spec(spec)
    monkeypatch.setenv("COLUMNS", "102")
    spec.loader.exec_module(program)
    assert program.TARGET.read_text("utf-8") == program.render()
