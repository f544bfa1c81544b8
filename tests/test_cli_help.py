"""Help: it fits the terminal, is short unless all of it is asked for, and its examples run."""

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios

import pytest
from conftest import launch
from test_cli import surroundings

from bertsent.classifier import PARAMETERS
from bertsent.cli import main
from bertsent.cli.layout import WIDEST, print_fitted
from bertsent.cli.parser import make_parser
from bertsent.cli.usage import parse
from bertsent.pretraining import PRETRAINING

COMMANDS = [
    "train", "evaluate", "predict", "explain", "encode", "suggest-labels", "learning-curve",
    "pretrain", "export", "verify", "inspect", "doctor",
]
WIDTHS = [40, 60, 80, 120]


@pytest.fixture
def helped(monkeypatch, capsys):
    """Return a function that prints help at a width and returns its lines."""

    def run(*args, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(list(args)) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out.splitlines()

    return run


def flags_in(lines):
    """Return the flags that begin a line of help, in their order."""
    return [found[1] for line in lines if (found := re.match(r"  (--[a-z-]+)", line))]


def words_of(command):
    _, commands = make_parser(everything=True)
    return {word for action in commands[command]._actions for word in (action.help or "").split()}


# --- width --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [*WIDTHS, 200])
@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_no_line_is_longer_than_the_terminal_is_wide(helped, command, width):
    for asked in ("--help", "--help-all") if command else ("--help",):
        lines = helped(*command, asked, width=width)
        assert max(map(len, lines)) <= min(width, WIDEST)
        # It is not narrower than need be, either: descriptions and texts fill their lines.
        assert max(map(len, lines)) >= min(width, WIDEST) - 14


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", COMMANDS)
def test_lines_break_between_words(helped, command, width):
    words = {word for line in helped(command, "--help-all", width=width) for word in line.split()}
    for word in words_of(command):
        # Every word of the help is there as a whole: none is cut, not even at a hyphen.
        assert "%" in word or word in words, word


@pytest.mark.parametrize("command", COMMANDS)
def test_the_terminal_says_how_wide_it_is(command):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 64, 0, 0))
    options = surroundings()
    options["env"] = {k: v for k, v in options["env"].items() if k not in ("COLUMNS", "LINES")}
    process = launch(
        [sys.executable, "-m", "bertsent", command, "--help"], stdout=theirs, stderr=theirs,
        stdin=theirs, **options,
    )
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 1 << 16):
            shown += piece
    except OSError:  # the end of a pseudoterminal
        pass
    os.close(ours)
    assert process.wait(timeout=120) == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    lines = plain.replace("\r\n", "\n").splitlines()
    assert 50 <= max(map(len, lines)) <= 64 and lines[0].startswith(f"usage: bertsent {command}")


def test_usage_of_a_narrow_terminal_is_wrapped(helped):
    assert helped("pretrain", "--help", width=40)[:2] == [
        "usage: bertsent pretrain DATA -o DIR", "         [options]",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [50, 80])
def test_reports_are_wrapped_in_a_terminal_only(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    report = (
        "\ntime     " + "one two-three " * 12 + "\n       " + "--max-length 4, " * 8
        + "\nno name at all, " + "--and-flags, " * 12 + "\nsaved in out"
    )
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stdout", stream)
        print_fitted(report)
        shown = stream.getvalue()
        assert shown.split() == report.split() and shown.startswith("\ntime     one two-three")
        if not stream.isatty():
            assert shown == report + "\n"
            continue
        lines = shown.splitlines()
        assert max(map(len, lines)) <= width and lines[-1] == "saved in out"
        assert lines[2].startswith("         one") or lines[2].startswith("         two-three")
        assert lines[lines.index(next(line for line in lines if "no name" in line)) + 1][0] != " "


# --- short and long -----------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_short_help_is_short(helped, command):
    lines = helped(command, "--help")
    assert len(lines) <= 45 and 2 <= len(flags_in(lines)) <= 16
    # At this width, a line describes a flag.
    start, stop = lines.index(next(line for line in lines if line.endswith(":"))), len(lines)
    section = [line for line in lines[start:stop] if line.startswith("  ")]
    assert all(re.match(r"  ([-A-Z]|bertsent| {4}--)", line) for line in section)


@pytest.mark.parametrize("command", COMMANDS)
def test_all_flags_are_in_the_long_help(helped, command):
    short, long = flags_in(helped(command, "--help")), helped(command, "--help-all")
    known = make_parser()[1][command].flags
    shown = " ".join(long)
    assert all(re.search(rf"{re.escape(name)}\b", shown) for name in known)
    assert set(short) < set(flags_in(long))


@pytest.mark.parametrize("table", [PARAMETERS, PRETRAINING], ids=["train", "pretrain"])
def test_each_description_is_complete_in_the_long_help(helped, table):
    command = "train" if table is PARAMETERS else "pretrain"
    shown = " ".join(" ".join(helped(command, "--help-all")).split())
    for parameter in table:
        if parameter.on_command_line:
            assert "--" + parameter.name.replace("_", "-") in shown
            # Other parameters are called by their flags.
            parts = re.split(r"[a-z]+(?:_[a-z]+)+", parameter.help)
            assert all(" ".join(part.split()) in shown for part in parts)


@pytest.mark.parametrize("asked", ["--help", "--help-all"])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_speaks_of_flags(helped, command, asked):
    shown = " ".join(helped(command, asked)).replace('[{"freeze_layers": 2}', "")
    names = [p.name for p in (*PARAMETERS, *PRETRAINING) if "_" in p.name]
    assert not re.search(rf"\b({'|'.join(names)})\b", shown)


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
@pytest.mark.parametrize("width", [40, 80])
def test_examples_are_commands_that_are_understood(helped, command, width):
    lines = helped(*command, "--help-all" if command else "--help", width=width)
    text = "\n".join(lines).split("examples:\n")[1].split("\n\n")[0]
    examples = text.replace("\\\n", " ").splitlines()
    assert examples
    for example in examples:
        words = shlex.split(example.partition(" > ")[0].partition(" | ")[0])
        assert words[0] == "bertsent"
        assert parse(*make_parser(), words[1:]).run is not None


# --- speed and completion -----------------------------------------------------------------


@pytest.mark.parametrize(
    "args",
    [[], ["--help"], ["train", "--help"], ["train", "--help-all"], ["trian"],
     ["train", "a.csv", "--epohcs", "3"], ["train", "a.csv", "--epochs", "x"]],
    ids=" ".join,
)
def test_no_other_package_is_needed_to_help(args):
    code = (
        "import sys; from bertsent.cli import main; main(sys.argv[1:]);"
        "sys.exit(sorted({n.partition('.')[0] for n in sys.modules}"
        " & {'numpy', 'pandas', 'sklearn', 'scipy', 'pyarrow', 'tqdm'}) or None)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, *args], **surroundings(), capture_output=True, text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr


def complete(script, words):
    """Return what bash offers for the last of some words, with the script that was printed."""
    program = (
        f"{script}\nCOMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}\n"
        "function compopt { :; }\n"
        "$(complete -p bertsent | sed -E 's/.*-F ([^ ]+).*/\\1/') bertsent\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60)
    return set(found.stdout.split())


def test_completion_in_bash(capsys, tmp_path, monkeypatch):
    pytest.importorskip("shtab")
    assert main(["--print-completion", "bash"]) == 0
    script, err = capsys.readouterr()
    assert err == ""
    assert complete(script, ["bertsent", "p"]) == {"predict", "pretrain"}
    found = complete(script, ["bertsent", "train", "a.csv", "--freeze"])
    assert found == {"--freeze-layers", "--freeze-dropout"}
    assert complete(script, ["bertsent", "train", "--schedule", "c"]) == {"cosine", "constant"}
    assert complete(script, ["bertsent", "predict", "m", "--missing", ""]) == {"error", "skip"}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.csv").touch()
    assert complete(script, ["bertsent", "train", "rev"]) == {"reviews.csv"}
    assert complete(script, ["bertsent", "predict", "m", "--output", "rev"]) == {"reviews.csv"}


def test_completion_in_zsh_is_printed(capsys):
    pytest.importorskip("shtab")
    assert main(["--print-completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef bertsent") and "--early-stopping" in script


def test_completion_without_shtab_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 1
    out, err = capsys.readouterr()
    expected = "bertsent: error: completion needs shtab: pip install 'bertsent[completion]'\n"
    assert (out, err) == ("", expected)
