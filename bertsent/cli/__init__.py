"""The commands ``bertsent train``, ``evaluate``, ``predict``, ``pretrain``, ``inspect`` and others.

Results are printed to stdout, progress and warnings to stderr. The exit code is 0 after success,
1 after an error (which is printed in one line), 2 for wrong arguments, 130 after Ctrl-C, 143
after SIGTERM, 129 after SIGHUP, and 141 if the program that reads stdout has ended. If a command
has written its files and only its report cannot be printed, a warning says so, and the exit code
is 0.
"""

import errno
import shlex
import sys
import traceback
import warnings
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from typing import TextIO

from bertsent.cli.flags import spell_given
from bertsent.cli.output import Stdout, guarded_output
from bertsent.cli.parser import make_parser
from bertsent.cli.usage import name_with_spaces, parse
from bertsent.system import Interrupts, Terminated, require_room, uninterrupted, write_line
from bertsent.wording import on_command_line

# After other signals than Ctrl-C, the exit code is also 128 plus the number of the signal.
INTERRUPTED, BROKEN_PIPE = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : list of str or None, default=None
        Arguments. None means those of the process.

    Returns
    -------
    int
    """
    given = sys.argv[1:] if argv is None else list(argv)
    args = Namespace(debug="--debug" in given)
    with guarded_output() as out, on_command_line(partial(spell_given, args)), \
            warnings.catch_warnings():
        warnings.showwarning = _show_warning
        code = _run(args, given, out)
        out.finish()
        return _judge_output(code, args, out)


def _run(args: Namespace, given: Sequence[str], out: Stdout) -> int:
    try:
        parse(*make_parser(), given, args)
        out.is_result = not _writes_files(args)
        out.require_open()
        with Interrupts():
            require_room()
            args.run(args)
        return 0
    except SystemExit as stop:  # argparse has printed help (0) or a usage error (2)
        return int(stop.code or 0)
    except KeyboardInterrupt as stop:
        # The terminal may be gone.
        line = f"\nbertsent: {str(stop) or 'interrupted'}"
        uninterrupted(lambda: write_line(line, sys.stderr))
        return 128 + stop.number if isinstance(stop, Terminated) else INTERRUPTED
    except Exception as error:
        if out.is_result and out.error is not None:
            return 0  # what cannot be printed is judged at the end
        if args.debug:
            traceback.print_exc()
        else:
            write_line(f"bertsent: error: {_one_line(error, given)}", sys.stderr)
        return 1


def _writes_files(args: Namespace) -> bool:
    """Return whether the result of a command is files, so that stdout is only a report."""
    return getattr(args, "output", None) is not None and not getattr(args, "dry_run", False)


def _judge_output(code: int, args: Namespace, out: Stdout) -> int:
    """Return the exit code, given how writing to stdout went."""
    if out.has_escapes:
        print(
            f"bertsent: warning: stdout is in {out.encoding}, which lacks some characters; they "
            "were printed as escapes. Set PYTHONIOENCODING=utf-8 in the environment to see them",
            file=sys.stderr,
        )
    if out.error is None or code != 0:
        return code
    problem = "closed" if out.error.errno == errno.EBADF else str(out.error.strerror or out.error)
    if not out.is_result:
        print(
            f"bertsent: warning: the report could not be printed (stdout: {problem}); everything "
            f"is saved in {args.output}",
            file=sys.stderr,
        )
        return 0
    if isinstance(out.error, BrokenPipeError):
        return BROKEN_PIPE
    print(f"bertsent: error: cannot write to stdout: {problem}", file=sys.stderr)
    return 1


def _one_line(error: Exception, given: Sequence[str]) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        named = error.filename is not None
        text = f"{error.filename}: {error.strerror}" if named else str(error.strerror)
    if isinstance(error, FileNotFoundError) and (name := name_with_spaces(given)) is not None:
        text += f". A name with spaces needs quotes: {shlex.quote(name)}"
    if isinstance(error, MemoryError):
        return text if "memory" in text else f"there is not enough memory. {text}".rstrip(". ")
    if isinstance(error, ValueError | TypeError | OSError | ArithmeticError | ImportError) and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows the traceback)"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    write_line(f"bertsent: warning: {message}", sys.stderr)
