"""The flags of every command."""

import argparse
import textwrap

import bertsent
from bertsent.formats import FORMATS
from bertsent.members import is_list
from bertsent.parameters import PARAMETERS
from bertsent.pretraining_parameters import PRETRAINING
from bertsent.recipes import RECIPES

DEFAULT_SEED = 0
DEFAULT_TEST_SIZE = 0.2
DEFAULT_OUTPUT = "sentiment-model"
DEFAULT_CHUNK_ROWS = 4096
# Parameters that `evaluate` and `predict` may change, beside the number of threads.
CHANGEABLE = ("inference_precision", "inference_long_text")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog):
        super().__init__(prog, max_help_position=32, width=96)


def make_parser():
    """The parser; each command sets ``run`` to the function that does it."""
    parser = argparse.ArgumentParser(
        prog="bertsent",
        description="Fine-tune BERT classifiers of reviews on a CPU, and use them.",
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action="version", version=f"bertsent {bertsent.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_pretrain(commands)
    _add_doctor(commands)
    return parser


def chosen_parameters(args, table=PARAMETERS):
    """Parameters of BertClassifier: the flags given, then the recipe, then the defaults."""
    flags, recipe = vars(args), dict(RECIPES.get(getattr(args, "recipe", None), {}))
    if is_list(recipe.get("members")):
        recipe["members"] = [
            {name: value for name, value in own.items() if name not in flags}
            for own in recipe["members"]
        ]
    given = recipe | flags
    return {name: given.get(name, value) for name, value in default_parameters(table).items()}


def default_parameters(table=PARAMETERS):
    """Defaults of BertClassifier by name, but for the seed, which a command always has."""
    defaults = {parameter.name: parameter.default for parameter in table}
    return defaults | {"random_state": DEFAULT_SEED}


def _command(commands, name, summary, description):
    command = commands.add_parser(
        name,
        help=summary,
        description=textwrap.dedent(description),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    command.add_argument(
        "--debug", action="store_true", help="show the whole traceback after an error"
    )
    return command


def _add_train(commands):
    command = _command(
        commands,
        "train",
        "fine-tune a model on labelled reviews and test it",
        f"""\
        Fine-tune a model on labelled reviews, test it once at the end, and save it together
        with its metrics, history and split.

        DATA is one of {FORMATS}.

        examples:
          bertsent train --sample --output demo
          bertsent train "IMDB Dataset.csv" --recipe quick --output quick
          bertsent train "IMDB Dataset.csv" --epochs 2 --seed 0 --output sentiment-model
          bertsent train aclImdb --model bert-base-uncased --strip-html --output imdb-base
          bertsent train mine.tsv --text-column body --label-column stars --test-data held-out.tsv
          bertsent train "IMDB Dataset.csv" --validation-fraction 0.1 --time-budget 30min
          bertsent train "IMDB Dataset.csv" --epochs 4 --checkpoint-dir run --dry-run
        """,
    )
    command.set_defaults(run=_run_train, usage_error=command.error)
    data = command.add_argument_group("data")
    data.add_argument("data", nargs="?", metavar="DATA", help="labelled reviews")
    data.add_argument(
        "--sample",
        action="store_true",
        help="use the small bundled set instead: short reviews written for this package",
    )
    _add_columns(data, labels=True)
    held_out = data.add_mutually_exclusive_group()
    held_out.add_argument(
        "--test-size",
        type=_fraction,
        metavar="PART",
        help="part of the rows to test on; shuffled, every class alike, equal texts on one side "
        f"(default: {DEFAULT_TEST_SIZE}; an aclImdb folder brings its own split)",
    )
    held_out.add_argument(
        "--test-data", metavar="FILE", help="train on all rows of DATA and test on this file"
    )
    training = command.add_argument_group("model and training")
    training.add_argument(
        "--recipe",
        choices=tuple(RECIPES),
        help="what is not given below as a search on IMDB chose it: for accuracy (best), or for "
        "most of it in little time (quick)",
    )
    _add_parameters(training)
    output = command.add_argument_group("output")
    output.add_argument(
        "--output",
        "-o",
        default=DEFAULT_OUTPUT,
        metavar="DIR",
        help="directory to save to; checked before training (default: %(default)s)",
    )
    output.add_argument(
        "--force",
        action="store_true",
        help="replace what bertsent saved there before; other files are never touched",
    )
    output.add_argument(
        "--dry-run",
        action="store_true",
        help="train nothing and write nothing: measure this machine, and estimate time, memory "
        "and disk",
    )


def _add_evaluate(commands):
    command = _command(
        commands,
        "evaluate",
        "test a saved model on labelled reviews",
        f"""\
        Test a saved model on labelled reviews: accuracy, precision, recall and F1 of each
        class, and the confusion matrix. Warns of reviews that the model was trained on.

        FILE is one of {FORMATS};
        of an aclImdb folder the test part is taken.

        examples:
          bertsent evaluate sentiment-model held-out.csv
          bertsent evaluate sentiment-model held-out.csv --json > metrics.json
        """,
    )
    command.set_defaults(run=_run_evaluate)
    command.add_argument("directory", metavar="DIR", help="a saved model, or a hub id")
    command.add_argument("file", metavar="FILE", help="labelled reviews")
    command.add_argument(
        "--json", action="store_true", help="print JSON and nothing else to stdout"
    )
    _add_columns(command, labels=True)
    _add_shared(command)


def _add_predict(commands):
    command = _command(
        commands,
        "predict",
        "label reviews with a saved model",
        f"""\
        Label reviews with a saved model. All columns of FILE are kept, and two are added:
        predicted_label and confidence, the probability of that label. A file may be of any
        size: it is looked through once for empty cells and damage, and then read, scored and
        written piece by piece.

        FILE is one of {FORMATS}.
        OUT is one of these files.

        examples:
          bertsent predict sentiment-model new.csv -o labelled.csv
          bertsent predict sentiment-model --text "A film to fall asleep to."
        """,
    )
    command.set_defaults(run=_run_predict, usage_error=command.error)
    command.add_argument("directory", metavar="DIR", help="a saved model, or a hub id")
    command.add_argument("file", nargs="?", metavar="FILE", help="reviews")
    command.add_argument(
        "--text",
        action="append",
        metavar="TEXT",
        help="a review itself instead of FILE; prints label and confidence; may be repeated",
    )
    command.add_argument(
        "--output",
        "-o",
        metavar="OUT",
        help="file to write, complete or not at all (default: CSV to stdout)",
    )
    command.add_argument("--force", action="store_true", help="replace OUT if it exists")
    command.add_argument(
        "--chunk-rows",
        type=_whole,
        default=DEFAULT_CHUNK_ROWS,
        metavar="N",
        help="rows read, scored and written at a time (default: %(default)s)",
    )
    _add_columns(command, labels=False)
    _add_shared(command)


def _add_pretrain(commands):
    command = _command(
        commands,
        "pretrain",
        "pretrain a model further on texts without labels, to fine-tune from",
        f"""\
        Pretrain a model further on texts without labels: words are hidden, and the model learns
        to tell what stood there. "bertsent train --model DIR" then starts from what was saved.

        DATA is one of {FORMATS}.

        examples:
          bertsent pretrain unlabelled.csv --model minilm --output reviews-bert
          bertsent pretrain all.parquet --epochs 3 --validation-fraction 0.05 \\
              --checkpoint-dir run --checkpoint-every 500 --output reviews-bert
          bertsent train labelled.csv --model reviews-bert --output sentiment-model
        """,
    )
    command.set_defaults(run=_run_pretrain, usage_error=command.error)
    data = command.add_argument_group("data")
    data.add_argument("data", metavar="DATA", help="texts; other columns are not looked at")
    _add_columns(data, labels=False)
    _add_parameters(command.add_argument_group("model and training"), table=PRETRAINING)
    output = command.add_argument_group("output")
    output.add_argument(
        "--output",
        "-o",
        required=True,
        metavar="DIR",
        help="directory to save to; checked before training",
    )
    output.add_argument(
        "--force",
        action="store_true",
        help="replace what bertsent saved there before; other files are never touched",
    )


def _add_doctor(commands):
    command = _command(
        commands,
        "doctor",
        "tell what this machine offers, how fast it is, and how long a job would take",
        f"""\
        Tell what bertsent found on this machine: processor, kernels in use, threads, BLAS,
        precisions, memory, versions. Then measure for about ten seconds how fast a model with
        random weights is trained and scores; with --data, how long a job would take.

        FILE is one of {FORMATS}.

        examples:
          bertsent doctor
          bertsent doctor --data "IMDB Dataset.csv" --epochs 2 --max-length 256
          bertsent doctor --no-speed --json
        """,
    )
    command.set_defaults(run=_run_doctor, usage_error=command.error)
    command.add_argument("--no-speed", action="store_true", help="measure nothing")
    command.add_argument(
        "--json", action="store_true", help="print JSON and nothing else to stdout"
    )
    job = command.add_argument_group("the job", "flags of train, for the estimate")
    job.add_argument("--data", metavar="FILE", help="estimate the time for these reviews")
    job.add_argument(
        "--text-column", default="review", metavar="NAME", help="column of texts (default: review)"
    )
    job.add_argument(
        "--test-size",
        type=_fraction,
        default=DEFAULT_TEST_SIZE,
        metavar="PART",
        help="part of the rows that is tested on (default: %(default)s)",
    )
    _add_parameters(
        job, ("model", "max_length", "long_text", "stride", "epochs", "batch_size",
              "freeze_layers", "inference_long_text", "strip_html", "n_threads"),
    )


def _add_columns(group, labels):
    group.add_argument(
        "--text-column", default="review", metavar="NAME", help="column of texts (default: review)"
    )
    if labels:
        group.add_argument(
            "--label-column",
            default="sentiment",
            metavar="NAME",
            help="column of labels (default: sentiment)",
        )
    group.add_argument(
        "--missing",
        choices=("error", "skip"),
        default="error",
        help="rows with an empty cell: stop, or leave them out and count them (default: error)",
    )


def _add_parameters(group, names=None, table=PARAMETERS):
    defaults = default_parameters(table)
    for parameter in table:
        if not parameter.on_command_line:
            continue
        if names is not None and parameter.name not in names:
            continue
        flags = (*parameter.flags, "--" + parameter.name.replace("_", "-"))
        options = {"dest": parameter.name, "default": argparse.SUPPRESS, "help": parameter.help}
        if parameter.parse is None:
            group.add_argument(*flags, action="store_true", **options)
            continue
        default = defaults[parameter.name]
        if default is not None and default is not False:
            options["help"] += f" (default: {default})"
        group.add_argument(
            *flags, type=_checked(parameter), metavar=parameter.metavar, **options
        )


def _add_shared(command):
    """Parameters that can be changed for a model that is trained."""
    parameters = {parameter.name: parameter for parameter in PARAMETERS}
    threads = parameters["n_threads"]
    command.add_argument(
        *threads.flags, "--n-threads", dest="n_threads", type=_checked(threads), metavar="N",
        help=threads.help,
    )
    for name in CHANGEABLE:
        command.add_argument(
            "--" + name.replace("_", "-"), type=_checked(parameters[name]),
            metavar=parameters[name].metavar,
            help=parameters[name].help.partition(" (default")[0]
            + " (default: what was chosen in training)",
        )


def shared_parameters(args):
    """Those of them that are to be changed."""
    given = {name: getattr(args, name) for name in CHANGEABLE}
    changed = {name: value for name, value in given.items() if value is not None}
    return {"n_threads": args.n_threads} | changed


def _checked(parameter):
    def parse(text):
        try:
            return parameter.parse_flag(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _whole(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _fraction(text):
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


# The commands are imported when they run, so that --help stays quick.


def _run_train(args):
    from bertsent.cli.train import run

    run(args)


def _run_evaluate(args):
    from bertsent.cli.evaluate import run

    run(args)


def _run_predict(args):
    from bertsent.cli.predict import run

    run(args)


def _run_pretrain(args):
    from bertsent.cli.pretrain import run

    run(args)


def _run_doctor(args):
    from bertsent.cli.doctor import run

    run(args)
