"""The command line: ``bertsent train``, ``evaluate``, ``predict``, ``pretrain`` and ``doctor``.

Results go to stdout, progress and warnings to stderr. The exit code is 0, 1 after an error
(one line says which), 2 for a wrong call, 130 after Ctrl-C, 143 after SIGTERM.
"""

import os
import sys
import traceback
import warnings

from bertsent.cli.arguments import make_parser
from bertsent.interrupts import Terminated, sigint_interrupts, sigterm_interrupts

INTERRUPTED, TERMINATED = 130, 143


def main(argv=None):
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : list of str, optional
        Arguments, by default those of the process.

    Returns
    -------
    int
    """
    debug = False
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            args = make_parser().parse_args(argv)
            debug = args.debug
            with sigterm_interrupts(), sigint_interrupts():
                args.run(args)
            sys.stdout.flush()
            return 0
        except SystemExit as stop:  # argparse has printed help (0) or what is wrong (2)
            return stop.code
        except KeyboardInterrupt as stop:
            print(f"\nbertsent: {str(stop) or 'interrupted'}", file=sys.stderr)
            return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has had enough; keep the interpreter from complaining.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            if debug:
                traceback.print_exc()
            else:
                print(f"bertsent: error: {_one_line(error)}", file=sys.stderr)
            return 1


def _one_line(error):
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError | TypeError | OSError | ArithmeticError | ImportError) and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows the traceback)"


def _show_warning(message, category, filename, lineno, file=None, line=None):
    print(f"bertsent: warning: {message}", file=sys.stderr)
