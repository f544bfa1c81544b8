"""Parse arguments. A usage error takes two lines, and says what was probably meant."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import NoReturn

from bertsent.system import expand_path

# Messages of argparse, and what is printed instead.
_REWORDED = (
    (r"argument (\S+): not allowed with argument (\S+)", r"\1 cannot be used with \2"),
    (r"argument (\S+): expected one argument", r"\1 needs a value"),
    (r"argument (\S+): ignored explicit argument .*", r"\1 takes no value"),
    (r"the following arguments are required: ([^,]*)", r"\1 is missing"),
    (r"the following arguments are required: (.*), (.*)", r"\1 and \2 are missing"),
    (r"argument (.*)", r"\1"),
)
# What word processors and web pages make of the dashes of a flag, and dashes themselves.
_DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_SIMILAR = 0.65
# Most words that a name with spaces is put together from.
_MOST_WORDS = 12


class Parser(argparse.ArgumentParser):
    """A parser of the whole command line, or of the arguments of one command."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 after a line that says what is wrong, and one that names the help."""
        for pattern, wording in _REWORDED:
            if re.fullmatch(pattern, message):
                message = re.sub(pattern, wording, message)
                break
        self.exit(2, f"{self.prog}: error: {message}\ntry '{self.prog} --help'\n")

    @property
    def flags(self) -> dict[str, argparse.Action]:
        """The arguments that begin with a dash, by each of their names."""
        return {name: action for action in self._actions for name in action.option_strings}

    @property
    def places(self) -> list[str]:
        """The names of the arguments that have no flag."""
        return [str(action.metavar) for action in self._actions if not action.option_strings]


def parse(
    parser: Parser,
    commands: dict[str, Parser],
    given: Sequence[str],
    namespace: argparse.Namespace | None = None,
) -> argparse.Namespace:
    """Return the parsed arguments, or exit with a usage error.

    Parameters
    ----------
    parser : Parser
    commands : dict of str to Parser
        The parsers of the commands, which are parts of `parser`.
    given : sequence of str
        The arguments. If there are none, help is printed.
    namespace : Namespace or None, default=None
        Where to store them; what it has already is kept unless an argument says otherwise.
    """
    if not given:
        parser.print_help()
        parser.exit()
    first, rest = given[0], list(given[1:])
    if first in commands:
        command = commands[first]
        rest = _check_flags(command, rest, commands)
        args, unexpected = command.parse_known_args(rest, namespace)
        if unexpected:  # such as a FILE, which can be left out, behind the flags
            args, unexpected = command.parse_known_intermixed_args(rest, namespace)
        if unexpected:
            command.error(_describe_unexpected(unexpected, command, rest))
        return args
    if _looks_like_flag(first):
        _check_flags(parser, [first], commands)
        return parser.parse_args(given, namespace)
    meant = closest(first, [*commands, *parser.flags])
    hint = f"did you mean {meant}?" if meant else f"choose from {', '.join(commands)}"
    parser.error(f"there is no command {first!r}; {hint}")


def closest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, or None if none is similar.

    It may have other dashes or underscores, be a beginning (``--learn``) or the initials (``--lr``)
    of a name, or have a mistake.

    Examples
    --------
    >>> closest("--ephocs", ["--epochs", "--learning-rate"])
    '--epochs'
    >>> closest("--lr", ["--epochs", "--learning-rate"])
    '--learning-rate'
    """
    plain = {_plain(other): other for other in names}
    word = _plain(name)
    same = [other for other in plain if other == word]
    initials = [other for other in plain if word == "".join(w[:1] for w in other.split("-"))]
    begun = [other for other in plain if word and other.startswith(word)]
    similar = difflib.get_close_matches(word, plain, 1, _SIMILAR)
    for found in (same, initials if len(word) > 1 else [], begun, similar):
        if len(found) == 1:
            return plain[found[0]]
    return None


def name_with_spaces(words: Sequence[str]) -> str | None:
    """Return the name of an existing file that several arguments make up, or None.

    ``IMDB Dataset.csv`` without quotes is two arguments.
    """
    for first in range(len(words)):
        for last in range(first + 2, min(len(words), first + _MOST_WORDS) + 1):
            name = " ".join(words[first:last])
            if os.path.exists(expand_path(name)):
                return name
    return None


def _plain(name: str) -> str:
    return name.lower().strip(_DASHES + "_").replace("_", "-")


def _listed(names: Sequence[str], word: str) -> str:
    return f" {word} ".join([*([", ".join(names[:-1])] if names[1:] else []), names[-1]])


def _looks_like_flag(word: str) -> bool:
    if len(word) < 2 or word[0] not in _DASHES or " " in word.partition("=")[0]:
        return False
    try:
        float("-" + word[1:])
    except ValueError:
        return True
    return False


def _check_flags(scope: Parser, words: list[str], commands: dict[str, Parser]) -> list[str]:
    """Return the arguments, or exit with a usage error if one of them is an unknown flag.

    argparse looks for these only after everything else, and then says less. It also takes a value
    that begins with a dash for a flag, so such a value is joined to its flag.
    """
    flags = scope.flags
    end = words.index("--") if "--" in words else len(words)
    if not {"-h", "--help", "--help-all"}.isdisjoint(words[:end]):
        return words
    checked: list[str] = []
    for position, word in enumerate(words[:end]):
        name, has_value, value = word.partition("=")
        is_short = word[:1] == "-" != word[1:2] and word[:2] in flags
        before = flags.get(words[position - 1]) if position else None
        if name in flags or is_short or not word.startswith("-") and not _looks_like_flag(word):
            checked.append(word)
            continue
        meant = closest(name, flags)
        if before is not None and before.nargs is None and meant is None:
            checked[-1] += f"={word}"
            continue
        if not _looks_like_flag(word):
            checked.append(word)
            continue
        problem = f"there is no flag {name}"
        others = [other for other, command in commands.items() if name in command.flags]
        if _plain(name) in map(str.lower, scope.places):
            problem += f"; {_plain(name).upper()} is given without a flag"
        elif others and scope.prog == "bertsent":
            problem += f" before the command; write it after {_listed(others, 'or')}"
        elif others:
            problem += f" here; {_listed(others, 'and')} {'have' if others[1:] else 'has'} it"
        elif meant is not None:
            problem += f"; did you mean {meant}" + (has_value and f"={shlex.quote(value)}") + "?"
        scope.error(problem)
    return checked + words[end:]


def _describe_unexpected(words: Sequence[str], command: Parser, given: Sequence[str]) -> str:
    """Return what is wrong if there are more arguments than the command takes."""
    name = name_with_spaces(given)
    if name is not None:
        return f"a name with spaces needs quotes: {shlex.quote(name)}"
    for word in words:
        flag, has_value, value = word.partition("=")
        if has_value and (meant := closest(flag, command.flags)):
            return f"unexpected argument: {word}; did you mean {meant}={shlex.quote(value)}?"
    listed = ", ".join(map(shlex.quote, words))
    if command.places and all(os.path.exists(expand_path(word)) for word in words):
        pattern = f"*{os.path.splitext(words[0])[1]}"
        return (
            f"{command.places[-1]} is one file, and there is also {listed}; several files are read "
            f"from a folder, or by a pattern in quotes, such as '{pattern}'"
        )
    return f"unexpected argument: {listed}; a name or a text with spaces needs quotes"
