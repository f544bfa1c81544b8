"""Help that fits the terminal: flags, descriptions and examples are wrapped to its width."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from typing import Any, Protocol

# Lines longer than this are hard to read, however wide the terminal is.
WIDEST = 100
_INDENT = re.compile(r"(?:\S+ {2,})? *")
# A flag, with its value if it takes one, stays on one line.
_WORDS = re.compile(r"""-[^\s=]+\s+(?:"[^"]*"|[^-\s]\S*)|"[^"]*"|\S+""")


def screen_width() -> int:
    """Return the number of columns that help may take."""
    return max(20, min(WIDEST, shutil.get_terminal_size().columns) - 2)


def wrap_usage(usage: str) -> str:
    """Return a usage line that fits the terminal, for a parser."""
    return "\n         ".join(textwrap.wrap(usage, screen_width() - 9, break_on_hyphens=False))


def print_fitted(text: str) -> None:
    """Print text at once, with lines that a terminal would break within words wrapped.

    Lines that begin with a name and spaces, or with spaces, continue below what follows these.
    """
    if sys.stdout.isatty():
        width = screen_width()
        lines: list[str] = []
        for line in text.split("\n"):
            indent = " " * len("".join(_INDENT.findall(line)[:1]))
            lines += textwrap.wrap(
                line, width, subsequent_indent=indent, break_long_words=False,
                break_on_hyphens=False,
            ) or [""]
        text = "\n".join(lines)
    print(text, flush=True)


class Formatter(argparse.HelpFormatter):
    """Wrap at the width of the terminal, and never within a flag."""

    def __init__(self, prog: str) -> None:
        width = screen_width()
        super().__init__(prog, max_help_position=min(26, width // 3), width=width)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap paragraphs; lines that are indented are commands."""
        del indent
        lines: list[str] = []
        for paragraph in text.strip().split("\n\n"):
            prose = ""
            for line in paragraph.splitlines():
                if line.startswith(" "):
                    lines += self._split_lines(prose, width) + _wrap_command(line, width)
                    prose = ""
                else:
                    prose += f" {line}"
            lines += [*self._split_lines(prose, width), ""]
        return "\n".join(lines).rstrip()


def _wrap_command(line: str, width: int) -> list[str]:
    """Break a command into lines that a shell joins again."""
    lines: list[str] = []
    for word in _WORDS.findall(line):
        if lines and len(lines[-1]) + 1 + len(word) + 2 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(("      " if lines else "  ") + word)
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


class Group(Protocol):
    """What arguments can be added to: a parser, or a group in one."""

    def add_argument(self, *flags: str, **options: Any) -> Any: ...

    def add_mutually_exclusive_group(self) -> Any: ...


class Section:
    """A group of arguments under a title.

    Parameters
    ----------
    group : Group
    everything : bool
        Whether all of the help is shown, or only the brief lines of what most people need.
    """

    def __init__(self, group: Group, everything: bool) -> None:
        self.group, self.everything = group, everything

    def add(self, *flags: str, help: str, brief: str | None = None, **options: Any) -> Any:
        """Add an argument. Without a `brief`, the short help leaves it out."""
        shown = help if self.everything else brief or argparse.SUPPRESS
        return self.group.add_argument(*flags, help=shown, **options)

    def alternatives(self) -> Section:
        """Return a part of this section whose arguments exclude each other."""
        return Section(self.group.add_mutually_exclusive_group(), self.everything)
