"""Write docs/commands.md: all commands of the command line, with all flags and their defaults."""

import argparse
import os
import re
from pathlib import Path

os.environ["COLUMNS"] = "102"  # for the usage lines, wherever this runs

from bertsent.cli.parser import make_parser

TARGET = Path(__file__).with_name("commands.md")
_DEFAULT = re.compile(r",? ?\(default: ((?:[^()]|\([^()]*\))*)\)")


def render():
    """The page."""
    parser, commands = make_parser(everything=True)
    summaries = {
        choice.dest: choice.help
        for action in parser._actions if isinstance(action, argparse._SubParsersAction)
        for choice in action._choices_actions
    }
    parts = [
        "<!-- Made by docs/make_commands.py from the parser; edit that. -->",
        "# Commands",
        "`bertsent COMMAND --help` shows the flags that most people need, and `--help-all` what\n"
        "is on this page. In Python, most flags are [parameters](parameters.md), with underscores\n"
        "for dashes. A dash in the column of defaults: nothing is set, or the option is off.",
        "\n".join(["| command | what it does |", "| --- | --- |"]
                  + [f"| [`{name}`](#{name}) | {_prose(summaries[name])} |" for name in commands]),
    ]
    parts.append(_table(parser, [a for a in parser._actions if a.option_strings]))
    for name, command in commands.items():
        parts += [f"## {name}", *_page(command)]
    return "\n\n".join(parts) + "\n"


def _page(command):
    yield f"```text\n{command.format_usage().strip()}\n```"
    yield from (_prose(text) for text in command.description.split("\n\n"))
    for group in command._action_groups:
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
        if actions:
            yield f"**{group.title.capitalize()}**"
            if group.description:
                yield _prose(group.description)
            yield _table(command, actions)
    examples = (command.epilog or "").partition("\n")[2]
    if examples:
        lines = [line.strip() for line in examples.splitlines()]
        yield "**Examples**"
        yield "```text\n" + "\n".join(lines) + "\n```"


def _table(parser, actions):
    rows = ["| flag | default | meaning |", "| --- | --- | --- |"]
    rows += [_row(parser, action) for action in actions]
    return "\n".join(rows)


def _row(parser, action):
    meaning = parser._get_formatter()._expand_help(action)
    found = _DEFAULT.search(meaning)
    default = found[1] if found else "-"
    if found:
        meaning = meaning[:found.start()] + meaning[found.end():]
    value = "" if action.nargs == 0 else parser._get_formatter()._format_args(
        action, action.metavar or action.dest
    )
    names = [f"`{' '.join([name, value]).strip()}`" for name in action.option_strings]
    return f"| {', '.join(names) or f'`{value}`'} | {_prose(default)} | {_prose(meaning)} |"


def _prose(text):
    """Return text as Markdown, with flags as code."""
    text = re.sub(r"([*_<>|\[\]])", r"\\\1", " ".join(text.split()))
    return re.sub(r"(?<![\w`-])(--[a-z][a-z0-9-]*)", r"`\1`", text)


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
