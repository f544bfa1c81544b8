"""Code blocks of README and docs/ and examples in docstrings run, and print what they show.

docs/architecture.md says how to write them.
"""

import copy
import doctest
import importlib
import io
import os
import pkgutil
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import write_tiny_model
from pages import Block, BlockError, Page, alike, environment, read_blocks, run_python, run_shell

import bertsent
from bertsent import BertClassifier

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

BLOCKS = {
    name: read_blocks(path.read_text("utf-8"), name)
    for path in PAGES for name in [str(path.relative_to(ROOT))]
}


def blocks_of(name, seed):
    """The blocks of a page; with another seed than 0, their models are trained with that one."""
    blocks = copy.deepcopy(BLOCKS[name])
    if seed != 0:
        for block in blocks:
            block.code = block.code.replace("--sample ", f"--sample --seed {seed} ")
            block.code = block.code.replace("random_state=0", f"random_state={seed}")
    return blocks


def _examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for entry in pkgutil.walk_packages(bertsent.__path__, "bertsent."):
        if entry.name == "bertsent.__main__":
            continue
        module = importlib.import_module(entry.name)
        yield from (test for test in finder.find(module) if test.examples)


EXAMPLES = {test.name: test for test in _examples()}


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """Return a directory with the files that pages and docstrings name."""
    folder = tmp_path_factory.mktemp("tickets")
    rows = pd.read_csv(ROOT / "tests" / "data" / "tickets.csv")
    rows[:44].to_csv(folder / "tickets.csv", index=False)
    rows[44:].to_csv(folder / "held-out.csv", index=False)
    rows[44:].drop(columns="team").to_csv(folder / "new.csv", index=False)
    write_tiny_model(folder / "bert-base-uncased", max_position_embeddings=512)
    return folder


@pytest.fixture(scope="module")
def trained(tickets, minilm_dir):
    """Return ``tickets`` with a classifier that was trained on them."""
    data = pd.read_csv(tickets / "tickets.csv")
    clf = BertClassifier("minilm", epochs=5, batch_size=8, random_state=0, verbose=0)
    clf.fit(data["text"], data["team"]).save_pretrained(tickets / "tickets-model")
    return tickets


@pytest.fixture(scope="module")
def page(tickets, tmp_path_factory):
    """Return a function that gives a `Page`, the same each time, and its directory."""
    commands = {
        "bertsent": f'exec "{sys.executable}" -m bertsent "$@"',
        "python": f'exec "{sys.executable}" "$@"',
        "pip": '[ "$1" = install ]',
    }
    surroundings = environment(
        tmp_path_factory.mktemp("path") / "bin", commands, HF_HUB_OFFLINE="1",
        PYTHONPATH=str(Path(bertsent.__file__).parents[1]),
    )
    opened = {}

    def open_page(name, seed=0):
        if (name, seed) not in opened:
            folder = tmp_path_factory.mktemp("page")
            shutil.copytree(tickets, folder, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("tickets-model"))
            opened[name, seed] = Page(blocks_of(name, seed), surroundings), folder
        return opened[name, seed]

    return open_page


# Their blocks take half a minute together, or more.
LONG_PAGES = {
    f"docs/{name}.md"
    for name in ("labels", "recipes", "sklearn", "start", "tasks", "training", "usage")
}


@pytest.mark.parametrize(
    "name, index",
    [pytest.param(name, index, id=str(block),
                  marks=[pytest.mark.slow] if name in LONG_PAGES else [])
     for name, blocks in BLOCKS.items() for index, block in enumerate(blocks)],
)
def test_block(name, index, page, minilm_dir, monkeypatch):
    reason = BLOCKS[name][index].skip
    if reason is not None:
        pytest.skip(reason)
    opened, folder = page(name)
    if opened.failed is not None:
        pytest.skip(f"{opened.failed} failed before")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    opened.run(index)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_the_first_models_of_the_readme(seed, page, minilm_dir, monkeypatch):
    """With this seed too, its first steps print what they show, and their models read probes."""
    opened, folder = page("README.md", seed)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    first = [block.language for block in opened.blocks].index("python")
    opened.run(first)
    probes = pd.read_csv(ROOT / "tests" / "data" / "probes.csv")
    for clf in (BertClassifier.from_pretrained("demo"), opened.namespace["clf"]):
        probabilities = pd.DataFrame(clf.predict_proba(probes["review"]), columns=clf.classes_)
        right = probabilities.idxmax(axis=1) == probes["sentiment"]
        shares = right.groupby(probes["form"]).mean()
        assert right.mean() >= 0.9, probes["review"][~right].tolist()
        assert shares["short"] >= 0.9 and shares.min() >= 0.5, shares


@pytest.mark.parametrize("name", EXAMPLES)
def test_docstring(name, request, tmp_path, monkeypatch):
    example = EXAMPLES[name]
    if ".csv" in example.docstring or "tickets-model" in example.docstring:
        folder = request.getfixturevalue("trained")
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    failed, _ = runner.run(example, out=report.write, clear_globs=False)
    assert not failed, report.getvalue()


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_line_of_a_docstring_runs(name):
    skipped = [e.source for e in EXAMPLES[name].examples if e.options.get(doctest.SKIP)]
    assert not skipped


def test_blocks_and_docstrings_are_found():
    assert "README.md" in BLOCKS and "docs/usage.md" in BLOCKS
    assert sum(map(len, BLOCKS.values())) > 20
    assert "bertsent.classifier.estimator.BertClassifier" in EXAMPLES


def test_reading_a_page():
    blocks = read_blocks(
        "# Title\n<!-- setup\nn = 2\n-->\n```python\nprint(n)\n```\n\n```text\n2\n```\n"
        "- item\n\n  ```sh\n  ls\n  ```\n\n  Words.\n\n  ```text\n  no output of ls\n  ```\n"
        "<!-- skip: needs a printer -->\n<!-- other -->\n\n```sh\nlpr page\n```\n"
        "```sh\ndate\n```\n<!-- skip: another day -->\n```text\nMonday\n```\n```json\n{}\n```\n",
        "a.md",
    )
    assert blocks == [
        Block("a.md", 3, "python", "n = 2\n"),
        Block("a.md", 6, "python", "print(n)\n", shown="2\n"),
        Block("a.md", 15, "sh", "ls\n"),
        Block("a.md", 27, "sh", "lpr page\n", skip="needs a printer"),
        Block("a.md", 30, "sh", "date\n"),
    ]


def test_blocks_that_need_a_package_run_only_with_it():
    text = "<!-- needs: {} -->\n<!-- setup\nm = 1\n-->\n```python\nn = 1\n```\n"
    for needs, missing in (
        ("pytest", None), ("pytest, os.path", None), ("pytest, no_such", "no_such"),
        ("os.no_such", "os.no_such"), ("no_such.module", "no_such.module"),
    ):
        setup, block = read_blocks(text.format(needs), "a.md")
        assert setup.skip == block.skip == (missing and f"{missing} is not installed")


@pytest.mark.parametrize(
    "text", ["<!-- skip -->\n```sh\nls\n```\n", "```sh\nls\n", "<!-- setup\nn = 2\n"]
)
def test_a_page_that_breaks_the_rules(text):
    with pytest.raises(BlockError, match="a.md:"):
        read_blocks(text, "a.md")


def test_a_page_stops_where_it_fails():
    code = "```python\nn = 1\n```\n\n```python\nn += 1\nm\n```\n\n```python\nn += 1\n```\n"
    opened = Page(read_blocks(code, "a.md"), {})
    with pytest.raises(NameError):
        opened.run(2)
    assert str(opened.failed) == "a.md:6"


@pytest.mark.parametrize("code", ["(1 + 1)  # 2", "'a b'.split()  # ['a', 'b']", "1 + 1  # not 3"])
def test_values_in_comments(code):
    assert run_python(Block("a.md", 1, "python", f"print('x')\n{code}"), {}) == "x\n"
    with pytest.raises(BlockError, match="a.md:8: the value is 2"):
        run_python(Block("a.md", 7, "python", "a = 2  # 3\na  # 3"), {})


@pytest.mark.parametrize("code", ["false\ntrue", "ls nowhere | cat", "echo $NOT_SET"])
def test_a_shell_block_that_fails(code):
    with pytest.raises(BlockError, match="a.md:1 ends with exit code"):
        run_shell(Block("a.md", 1, "sh", code), {"PATH": os.environ["PATH"]})


@pytest.mark.parametrize(
    "shown, printed, same",
    [
        ("positive 0.95\n", "positive\t0.9134\n", True),
        ("positive 0.95", "negative 0.95", False),
        ("positive 0.95", "positive 0.89", False),
        ("7 rows", "8 rows", False),
        ("a ... d", "a b\nc d", True),
        ("a ... d", "a b c", False),
        ("0.5 in ...", "0.52 in 3.1 s", True),
        ("1 + (2) [x]", "1 + (2) [x]", True),
        ("one", "one\ntwo", False),
    ],
)
def test_outputs_that_are_alike(shown, printed, same):
    assert alike(shown, printed) is same
    block = Block("a.md", 1, "python", f"print({printed!r})", shown=shown)
    if same:
        Page([block], {}).run(0)
    else:
        with pytest.raises(BlockError, match="shows another output"):
            Page([block], {}).run(0)
