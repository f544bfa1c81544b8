"""Flags that are generated from a table of parameters, and flags that several commands share."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from bertsent.classifier import (
    FLAG,
    PARAMETERS,
    RECIPES,
    Kind,
    Parameter,
    is_list,
    one_of,
    real,
    with_recipe,
)
from bertsent.cli.layout import Section
from bertsent.cli.usage import closest
from bertsent.files import Dialect
from bertsent.system import expand_path

if TYPE_CHECKING:
    from bertsent.files import Source

DEFAULT_SEED = 0
TASKS = ("classification", "regression")
DEFAULT_TEST_SIZE = 0.2
# Parameters of Python whose flag has another name, or that have a short alias.
_FLAGS = {"overwrite": "--force"} | {
    parameter.name: parameter.flags[0] for parameter in PARAMETERS
}


def add_parameters(
    section: Section, table: Iterable[Parameter] = PARAMETERS, names: Collection[str] | None = None
) -> None:
    """Add the flags of a table of parameters, or of some of them."""
    for parameter in table:
        if parameter.on_command_line and (names is None or parameter.name in names):
            default = default_value(parameter)
            unsaid = default is None or default is False
            _add_parameter(section, parameter, "" if unsaid else f" (default: {default})")


def add_prediction_parameters(section: Section, names: Collection[str] | None = None) -> None:
    """Add the flags of the parameters that may be changed for a trained model, or of some."""
    for parameter in PARAMETERS:
        if parameter.at_prediction is not None and (names is None or parameter.name in names):
            # The number of threads in training may have been for another machine.
            note = " (default: as in training)" if parameter.name != "n_threads" else ""
            _add_parameter(section, replace(parameter, **parameter.at_prediction), note)
            if parameter.kind is FLAG:
                section.add(
                    f"--no-{parameter.name.replace('_', '-')}", dest=parameter.name,
                    action="store_false", default=argparse.SUPPRESS,
                    help=f"turn off {flag_name(parameter.name)}, even if the model was saved with "
                    "it",
                )


def add_abstain(section: Section, what: str) -> None:
    """Add ``--abstain``."""
    section.add("--abstain", metavar="CONFIDENCE", type=Typed(real(0, 1)), help=what)


def _add_parameter(section: Section, parameter: Parameter, note: str) -> None:
    options: dict[str, Any] = {"dest": parameter.name, "default": argparse.SUPPRESS}
    if parameter.kind is FLAG:
        options["action"] = "store_true"
    else:
        options["metavar"] = parameter.metavar or parameter.kind.metavar
        options["type"] = Typed(parameter.kind)
    names = parameter.flags
    if not section.everything:
        # Further names of a flag would take the space of what it does.
        for alias in names[1:]:
            section.add(alias, help="", **options)
        names = names[:1]
    brief = parameter.brief and (_with_flags(parameter.brief) + note)
    section.add(
        *names, help=(_with_flags(parameter.help) + note).replace("%", "%%"), brief=brief,
        **options,
    )


def _with_flags(text: str) -> str:
    """Return a parameter's help with other parameters called by their flags."""
    names = [p.name for p in PARAMETERS if p.on_command_line and "_" in p.name]
    return re.sub(rf"\b({'|'.join(names)})\b(?!\")", lambda m: flag_name(m[0]), text)


def flag_name(name: str) -> str:
    """Return the flag that belongs to the name of a parameter."""
    return _FLAGS.get(name) or "--" + name.replace("_", "-")


def spell_given(args: argparse.Namespace, name: str, *value: object) -> str:
    """Do what `spell_flag` does, and say if nobody typed the flag because a recipe sets it."""
    typed, recipe = spell_flag(name, *value), vars(args).get("recipe")
    own = {} if recipe is None or name in vars(args) else RECIPES.get(recipe, {})
    if name in own and (not value or value[0] == own[name]):
        typed += f" (of --recipe {recipe})"
    return typed


def spell_flag(name: str, *value: object) -> str:
    """Return a parameter and its value as they are typed; messages are written with this."""
    flag = flag_name(name)
    if not value or value[0] is True:
        return flag
    if value[0] is None or value[0] is False:
        return f"no {flag}"
    return f"{flag} {shlex.quote(_as_typed(value[0]))}"


def _as_typed(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{label}={weight}" for label, weight in value.items())
    if isinstance(value, str) and len(value) == 1 and value < " ":
        return "tab" if value == "\t" else f"\\x{ord(value):02x}"
    return json.dumps(value) if is_list(value) else str(value)


def default_value(parameter: Parameter) -> object:
    """Return the default of a parameter on the command line, where the seed has one too."""
    return DEFAULT_SEED if parameter.name == "random_state" else parameter.default


def chosen_parameters(
    args: argparse.Namespace, table: Iterable[Parameter] = PARAMETERS
) -> dict[str, Any]:
    """Return all parameters of a table. Flags override the recipe, which overrides defaults."""
    flags = vars(args)
    given = with_recipe(flags["recipe"], flags) if flags.get("recipe") else flags
    return {p.name: given.get(p.name, default_value(p)) for p in table}


def prediction_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Return the parameters to change in a saved classifier."""
    given = vars(args)
    names = [p.name for p in PARAMETERS if p.at_prediction is not None]
    return {"n_threads": None} | {name: given[name] for name in names if name in given}


def check_checkpoint_flags(args: argparse.Namespace, parameters: dict[str, Any]) -> None:
    """Exit with a usage error if a flag for checkpoints or the log needs another one."""
    if parameters["checkpoint_dir"] is None:
        for name in ("resume", "checkpoint_every"):
            if parameters[name]:
                args.usage_error(f"{flag_name(name)} needs --checkpoint-dir")
    if parameters.get("hash_every") and parameters["log_file"] is None:
        args.usage_error("--hash-every needs --log-file")


def add_columns(section: Section, *, labels: bool, pairs: bool = True) -> None:
    """Add the flags for the columns of a file and for missing cells."""
    add_text_column(section, pairs=pairs)
    if labels:
        help = "column of labels (default: sentiment, label or another usual name)"
        section.add("--label-column", metavar="NAME", help=help,
                    brief="column of labels (default: by its name)")
        add_label_sets(section)
    section.add(
        "--missing",
        type=Typed(one_of("error", "skip")),
        metavar="{error,skip}",
        default="error",
        help="what to do with rows that have an empty cell: stop, or leave them out and print "
        "their number (default: %(default)s)",
    )


def add_label_sets(section: Section) -> None:
    """Add the flags for texts that have several labels."""
    section.add(
        "--label-separator", metavar="TEXT", type=_character,
        help="what separates the labels of a text in its cell, if a text can have several, such as "
        "; in \"billing;urgent\". An empty cell means that it has none",
    )
    section.add(
        "--label-columns", metavar="NAMES", type=_names,
        help="columns of labels, if a text can have several: 1 where a text has the label, 0 where "
        "it does not, as in billing,urgent. Names with commas are given as a JSON list",
    )


def add_task(section: Section) -> None:
    """Add ``--task``."""
    section.add(
        "--task", type=Typed(one_of(*TASKS)), metavar=one_of(*TASKS).metavar, default=TASKS[0],
        help="what is learned: classes, or numbers (default: %(default)s)",
    )


def check_task(args: argparse.Namespace, parameters: dict[str, Any]) -> None:
    """Exit with a usage error if a flag is for the other task."""
    for parameter in PARAMETERS:
        foreign = parameter.task is not None and parameter.task != args.task
        if foreign and parameters[parameter.name] != default_value(parameter):
            args.usage_error(
                f"{flag_name(parameter.name)} is for --task {parameter.task}; leave it out"
            )


def check_label_sets(args: argparse.Namespace, task: str = "classification") -> None:
    """Exit with a usage error if the labels are to be read in two ways."""
    if args.label_separator is not None and task == "regression":
        args.usage_error("--label-separator is for labels; numbers are in --label-columns")
    if args.label_columns is None:
        return
    if args.label_separator is not None:
        args.usage_error("--label-separator is for one column; leave it out with --label-columns")
    if task == "classification" and len(args.label_columns) == 1:
        args.usage_error("--label-columns names one column; use --label-column for its classes")


def _names(text: str) -> list[str]:
    """Return names from a list with commas, or from a JSON list."""
    try:
        names = json.loads(text) if text.startswith("[") else text.split(",")
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise argparse.ArgumentTypeError(f"expected names, such as billing,urgent, got {text!r}")
    return names


def add_text_column(section: Section, *, pairs: bool = True) -> None:
    """Add ``--text-column`` and, unless `pairs` is false, ``--text-pair-column``."""
    help = "column of texts (default: review, text or another usual name)"
    section.add("--text-column", metavar="NAME", help=help,
                brief="column of texts (default: by its name)")
    if pairs:
        section.add(
            "--text-pair-column", metavar="NAME",
            help="column of second texts, if a model reads pairs of texts, such as a question and "
            "an answer",
        )


def add_reading(section: Section) -> None:
    """Add the flags that say how a file is written, where its name and content do not."""
    section.add(
        "--format", metavar="EXTENSION",
        help="format of a file whose name does not tell it, such as csv, tsv.gz, jsonl or txt",
    )
    section.add(
        "--delimiter", type=_character, metavar="CHAR",
        help="what separates the cells of a line: a character, tab, or a code such as "
        r"\x01 (default: comma in .csv, tab in .tsv)",
    )
    section.add(
        "--quoting", type=Typed(one_of("minimal", "none")), metavar="{minimal,none}",
        help="minimal: double quotes may enclose cells. none: quotes are characters of the text "
        "(default: minimal, and none where a tab separates cells)",
    )
    section.add(
        "--escapechar", metavar="CHAR",
        help="character that makes the next one literal, such as a backslash where quotes "
        'in a cell are written as \\"',
    )
    section.add(
        "--encoding", metavar="NAME",
        help="encoding of text, such as cp1252 (default: UTF-8; UTF-16 if the file says so)",
    )
    section.add(
        "--errors", type=Typed(one_of("strict", "replace")), metavar="{strict,replace}",
        default="strict",
        help="what to do with bytes that are invalid in the encoding: stop, or put U+FFFD in their "
        "place (default: %(default)s)",
    )
    section.add(
        "--no-header", dest="header", action="store_false",
        help="the first row is data; columns are then called by their numbers, from 0, as in "
        "--text-column 0",
    )


def _character(text: str) -> str:
    """Return a character, also from its name or, for one that keyboards lack, from its code."""
    code = re.fullmatch(r"\\x([0-9a-fA-F]{2})", text)
    return chr(int(code[1], 16)) if code else {"tab": "\t", "\\t": "\t"}.get(text, text)


def check_order(args: argparse.Namespace) -> None:
    """Exit with a usage error if DIR and FILE are swapped."""
    if args.file is None:
        return
    model, data = expand_path(args.directory), expand_path(args.file)
    if model.is_file() and (data / "config.json").is_file():
        given = shlex.join([str(args.file), str(args.directory)])
        args.usage_error(f"DIR comes before FILE: {given}")


def settle_columns(
    args: argparse.Namespace, source: Source, *, labels: bool = False, pairs: bool | None = None
) -> None:
    """Find the columns for which no flags were given, set the flags, and say so.

    Parameters
    ----------
    args : Namespace
    source : Source
    labels : bool, default=False
        Whether labels are read, too.
    pairs : bool or None, default=None
        As for `bertsent.files.find_columns`.
    """
    from bertsent.files import find_columns
    from bertsent.system import notice

    names = ["text_column", "text_pair_column"]
    if labels and args.label_columns is None:
        names.append("label_column")
    given = {name: vars(args).get(name) for name in names}
    columns, line = find_columns(source, given, pairs=pairs)
    for name, column in columns.items():
        setattr(args, name, column)
    if line is not None:
        notice(line, verbose=vars(args).get("verbose", True))


def columns_of_texts(args: argparse.Namespace) -> dict[str, str]:
    """Return the columns of texts that the flags name."""
    names = {name: vars(args).get(name) for name in ("text_column", "text_pair_column")}
    return {name: column for name, column in names.items() if column is not None}


def check_files_of(args: argparse.Namespace, source: Source) -> None:
    """Check the columns of texts that the flags name, and that the output may be written."""
    from bertsent.files import check_files, text_columns_of

    columns = text_columns_of(source, **columns_of_texts(args))
    check_files(source, args.output, columns, args.force)


def read_source(args: argparse.Namespace, path: str | PathLike[str]) -> Source:
    """Find the data that an argument names, written as the flags say; - is standard input."""
    from bertsent.files import find_source, find_stdin

    dialect = Dialect(**{field.name: getattr(args, field.name) for field in fields(Dialect)})
    if os.fspath(path) == "-":
        return find_stdin(dialect, args.text_column)
    return find_source(path, dialect)


def add_label_map(section: Section) -> None:
    """Add ``--label-map``."""
    section.add(
        "--label-map", action="append", type=Typed(LABEL_MAP), metavar=LABEL_MAP.metavar,
        help="classes of the model that labels of FILE mean, such as neg=LABEL_0,pos=LABEL_1: the "
        "label of FILE comes first. Labels that are not listed must be classes. May be repeated; "
        "names with commas are given as a JSON object",
        brief="what labels mean, as in pos=LABEL_1",
    )


def merge_label_maps(args: argparse.Namespace) -> dict[str, str] | None:
    """Return what ``--label-map`` says, or None; exit with a usage error if it says two things."""
    if args.label_map is None:
        return None
    merged: dict[str, str] = {}
    for label_map in args.label_map:
        for label, name in label_map.items():
            if merged.setdefault(label, name) != name:
                args.usage_error(f"--label-map gives the label {label!r} two classes")
    return merged


def _parse_label_map(text: str) -> dict[str, str]:
    found: dict[str, str]
    if text.startswith("{"):  # names with commas
        found = json.loads(text)
        pairs = list(found.items())
    else:
        pairs = [(label, name) for label, _, name in (p.rpartition("=") for p in text.split(","))]
        found = {label.strip(): name.strip() for label, name in pairs}
    if len(found) < len(pairs) or not all(
        isinstance(name, str) and name for pair in found.items() for name in pair
    ):
        raise ValueError(text)
    return found


LABEL_MAP = Kind(
    ("a dictionary of labels and classes",),
    lambda value: isinstance(value, dict) and len(value) > 0,
    _parse_label_map,
    "MAP",
    ("labels and classes, such as neg=LABEL_0,pos=LABEL_1",),
)


def add_test_size(section: Section, help: str, **options: Any) -> None:
    """Add ``--test-size``."""
    section.add(
        "--test-size", type=Typed(real(0, 1, closed="neither")), metavar="FRACTION", help=help,
        **options,
    )


def add_json(section: Section) -> None:
    """Add ``--json``."""
    help = "print only JSON to stdout"
    section.add("--json", action="store_true", help=help, brief=help)


def add_output(section: Section, **options: Any) -> None:
    """Add ``--output``, for commands that write a directory."""
    default = " (default: %(default)s)" if "default" in options else ""
    section.add(
        "--output", "-o", metavar="DIR", type=typed_path,
        help="directory for the model; checked before training" + default,
        brief="directory for the model" + default, **options,
    )


def add_force(section: Section) -> None:
    """Add ``--force``, for commands that write a directory."""
    section.add(
        "--force",
        action="store_true",
        help="replace files that bertsent saved there before; other files are never changed",
        brief="replace a model that was saved there before",
    )


def typed_path(text: str) -> str:
    """Return a path as it was typed, with ``~`` replaced where the shell did not do it."""
    return str(expand_path(text)) if text.startswith("~") else text


def typed_output(text: str) -> str | None:
    """Return the path of a file to write, or None for stdout."""
    return None if text == "-" else typed_path(text)


@dataclass(frozen=True)
class Typed:
    """A kind of values as a type for argparse, which only shows an ArgumentTypeError."""

    kind: Kind

    @property
    def choices(self) -> tuple[str, ...]:
        """Words that may be typed."""
        return self.kind.choices

    def __call__(self, text: str) -> object:
        """Return the value for a text."""
        try:
            return self.kind.parse(text)
        except ValueError as error:
            meant = closest(text, self.choices)
            hint = f"; did you mean {meant}?" if meant else ""
            raise argparse.ArgumentTypeError(f"{error}{hint}") from None
