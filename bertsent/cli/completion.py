"""Completion of commands, flags, words and file names in a shell, with shtab."""

from __future__ import annotations

from typing import Any

from bertsent.cli.usage import Parser

# What stands for the name of a file, and of a directory, in help.
_FILES = ("DATA", "FILE", "OUT", "RUN")
_DIRECTORIES = ("DIR", "NAME_OR_DIR")


def make_script(parser: Parser, commands: dict[str, Parser], shell: str) -> str:
    """Return a script that teaches a shell to complete ``bertsent``.

    Parameters
    ----------
    parser : Parser
    commands : dict of str to Parser
        The parsers of the commands, with help for all of their flags.
    shell : {"bash", "zsh"}

    Raises
    ------
    ImportError
        shtab is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise ImportError(
            "completion needs shtab: pip install 'bertsent[completion]'"
        ) from None
    for command in (parser, *commands.values()):
        for action in command._actions:
            known: Any = action
            if action.metavar in _FILES:
                known.complete = shtab.FILE
            elif action.metavar in _DIRECTORIES:
                known.complete = shtab.DIRECTORY
            elif action.choices is None and (words := getattr(action.type, "choices", ())):
                known.choices = words
    return shtab.complete(parser, shell)
