"""Run the code blocks of Markdown pages. docs/architecture.md says how to write them."""

import ast
import contextlib
import importlib.util
import io
import os
import re
import subprocess
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path

RUN = ("python", "sh")
MINUTES = 10  # for a block, before it is ended

_FENCE = re.compile(r" *(?P<mark>`{3,}|~{3,}) *(?P<language>[\w+-]*)[^`]*")
_SKIP = re.compile(r"skip\b:?(?P<reason>.*)", re.DOTALL | re.IGNORECASE)
_NEEDS = re.compile(r"needs:? +(?P<modules>[\w.]+(, [\w.]+)*)")
_SETUP = re.compile(r"setup *\n(?P<code>.*)", re.DOTALL)
_NUMBER = r"-?\d+\.\d+"


class BlockError(AssertionError):
    """A block failed, or the page breaks a rule."""


@dataclass
class Block:
    """A fenced block that runs, or the code of a setup comment.

    ``line`` is the first line of its code, ``skip`` the reason not to run it, and ``shown`` the
    output that the page shows for it.
    """

    page: str
    line: int
    language: str
    code: str
    skip: str | None = None
    shown: str | None = None

    def __str__(self):
        return f"{self.page}:{self.line}"


def read_blocks(text, page):
    """Return the blocks of a page, in order."""
    blocks, comments = [], []
    before = None  # the block whose output may be next
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        place = f"{page}:{number}"
        fence = _FENCE.fullmatch(line)
        if fence:
            ends = re.compile(f" *{fence['mark']} *").fullmatch
            *code, _ = _lines_until(ends, lines, f"{place}: a block without end")
            code = textwrap.dedent("".join(f"{line}\n" for line in code))
            language, skip = fence["language"], _reason_to_skip(comments, place)
            if language in RUN:
                before = Block(page, number + 1, language, code, skip)
                blocks.append(before)
            else:
                if language == "text" and before is not None and skip is None:
                    before.shown = code
                before = None
            comments = []
        elif line.lstrip().startswith("<!--"):
            comment = line.lstrip()[len("<!--"):]
            if "-->" not in comment:
                ends = re.compile(r".*-->.*").fullmatch
                rest = _lines_until(ends, lines, f"{place}: a comment without end")
                comment = "\n".join([comment, *rest])
            comment = comment.partition("-->")[0].strip(" ")
            setup = _SETUP.fullmatch(comment)
            if setup:
                skip = _missing(comments)
                blocks.append(Block(page, number + 1, "python", setup["code"], skip))
            comments.append(comment)
        elif line.strip():
            before, comments = None, []
    return blocks


def _lines_until(ends, lines, error):
    found = []
    for _, line in lines:
        found.append(line)
        if ends(line):
            return found
    raise BlockError(error)


def _reason_to_skip(comments, place):
    for comment in comments:
        skip = _SKIP.fullmatch(comment)
        if skip:
            if not skip["reason"].strip():
                raise BlockError(f"{place}: say why it is skipped: <!-- skip: REASON -->")
            return skip["reason"].strip()
    return _missing(comments)


def _missing(comments):
    for comment in comments:
        needs = _NEEDS.fullmatch(comment)
        for name in needs["modules"].split(", ") if needs else ():
            if not _is_installed(name):
                return f"{name} is not installed"
    return None


def _is_installed(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what contains the module
        return False


class Page:
    """The blocks of one page, which share a namespace and run in the current directory.

    ``environment`` is that of the shell blocks.
    """

    def __init__(self, blocks, environment):
        self.blocks = blocks
        self._environment = environment
        self.namespace = {"__name__": "__main__"}
        self._next = 0
        self.failed = None  # the block that ended the page

    def run(self, index):
        """Run the block with this index, after all earlier ones that have not run yet."""
        while self._next <= index:
            block = self.blocks[self._next]
            self._next += 1
            if block.skip is not None:
                continue
            try:
                self._run(block)
            except BaseException:
                self.failed = block
                raise

    def _run(self, block):
        if block.language == "python":
            printed = run_python(block, self.namespace)
        else:
            printed = run_shell(block, self._environment)
        if block.shown is not None and not alike(block.shown, printed):
            raise BlockError(
                f"{block} shows another output\n--- shown:\n{block.shown}--- printed:\n{printed}"
            )


def run_python(block, namespace):
    """Execute the block and return what it prints.

    If the comment behind an expression is a Python literal, the value must be equal to it.
    """
    path = str(Path(__file__).resolve().parents[1] / block.page)  # for tracebacks
    tree = ast.parse(block.code, path)
    ast.increment_lineno(tree, block.line - 1)
    tokens = tokenize.generate_tokens(io.StringIO(block.code).readline)
    comments = {
        token.start[0] + block.line - 1: token.string.lstrip("# ")
        for token in tokens if token.type == tokenize.COMMENT
    }
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for statement in tree.body:
            if not isinstance(statement, ast.Expr):
                exec(compile(ast.Module([statement], []), path, "exec"), namespace)
                continue
            value = eval(compile(ast.Expression(statement.value), path, "eval"), namespace)
            try:
                wanted = ast.literal_eval(comments.get(statement.end_lineno, ""))
            except (SyntaxError, ValueError):
                continue
            value = value.tolist() if hasattr(value, "tolist") else value
            if value != wanted:
                raise BlockError(f"{block.page}:{statement.end_lineno}: the value is {value!r}")
    return printed.getvalue()


def run_shell(block, environment):
    """Pass the block to bash, which stops at the first error, and return its stdout."""
    done = subprocess.run(
        ["bash", "-e", "-u", "-o", "pipefail", "-c", block.code], env=environment,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60 * MINUTES, check=False,
    )
    if done.returncode != 0:
        raise BlockError(
            f"{block} ends with exit code {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done.stdout


def alike(shown, printed):
    """Whether an output is the one that a page shows.

    White space does not count, and ``...`` stands for anything. Numbers with a decimal point may
    differ by 0.05, because processors round differently.
    """
    tokens = re.split(rf"({_NUMBER}|\.\.\.|\s+)", shown.strip())
    numbers = [token for token in tokens if re.fullmatch(_NUMBER, token)]
    pattern = "".join(
        f"({_NUMBER})" if re.fullmatch(_NUMBER, token)
        else ".*?" if token == "..."
        else r"\s+" if token.isspace()
        else re.escape(token)
        for token in tokens
    )
    match = re.fullmatch(pattern, printed.strip(), re.DOTALL)
    return match is not None and all(
        abs(float(a) - float(b)) <= 0.05 for a, b in zip(numbers, match.groups(), strict=True)
    )


def environment(folder, commands, **variables):
    """Return an environment whose PATH begins with ``folder``, which gets these commands.

    ``commands`` maps the name of each to the body of a shell script.
    """
    folder.mkdir()
    for name, body in commands.items():
        script = folder / name
        script.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
        script.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, **variables}
