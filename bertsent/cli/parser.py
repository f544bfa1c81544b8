"""The parser of the command line. A command is only imported to run it, so ``--help`` is fast."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

import bertsent
from bertsent.classifier import RECIPES, TIME, one_of, real, whole
from bertsent.cli.flags import (
    DEFAULT_TEST_SIZE,
    Typed,
    add_abstain,
    add_columns,
    add_force,
    add_json,
    add_label_map,
    add_label_sets,
    add_output,
    add_parameters,
    add_prediction_parameters,
    add_reading,
    add_task,
    add_test_size,
    add_text_column,
    typed_output,
    typed_path,
)
from bertsent.cli.layout import Formatter, Section, wrap_usage
from bertsent.cli.usage import Parser
from bertsent.curves import SCORINGS
from bertsent.explanation import DEFAULT_TOLERANCE, METHODS
from bertsent.features import ENCODING
from bertsent.files import FORMATS, OUTPUT_FORMATS
from bertsent.pretraining import PRETRAINING

DEFAULT_OUTPUT = "sentiment-model"
DEFAULT_CHUNK_ROWS = 4096
DEFAULT_EXPLAINED = 20
SHELLS = ("bash", "zsh")
# Parameters of training that affect the estimate.
JOB_PARAMETERS = (
    "model", "max_length", "long_text", "stride", "epochs", "batch_size", "freeze_layers",
    "words", "inference_long_text", "strip_html", "n_threads",
)
# Parameters that change what an exported graph contains or says.
EXPORT_PARAMETERS = (
    "max_length", "label_threshold", "calibrated", "decision_threshold", "cost_matrix",
)
# Parameters that change what a server answers.
SERVING_PARAMETERS = (
    "max_length", "inference_long_text", "inference_precision", "calibrated", "n_threads",
)
DEFAULT_PORT = 8080
# What a server accepts: name in `bertsent.serving.Limits`, default and help.
SERVING_LIMITS = (
    ("max_client_batch_size", 32, "texts of a request"),
    ("max_request_tokens", 65_536, "tokens that the model reads for one request"),
    ("max_queue_tokens", 262_144, "tokens that may wait; further requests get the status 429"),
    ("max_concurrent_requests", 512, "requests at a time; further ones get the status 429"),
    ("max_batch_tokens", 4096, "tokens that are computed at once"),
    ("payload_limit", 2_000_000, "bytes of the body of a request"),
)
# Parameters of a training that a learning curve repeats.
CURVE_PARAMETERS = (
    "model", "max_length", "long_text", "stride", "epochs", "batch_size", "learning_rate",
    "weight_decay", "warmup_ratio", "schedule", "layer_decay", "head_learning_rate",
    "label_smoothing", "class_weight", "max_grad_norm", "freeze_layers", "freeze_dropout",
    "frozen_cache", "pooling", "few_shot", "members", "words", "inference_long_text", "strip_html",
    "precision", "inference_precision", "n_threads", "memory_limit", "random_state",
)


def make_parser(everything: bool = False) -> tuple[Parser, dict[str, Parser]]:
    """Return the parser, which sets ``run`` to the function of the command.

    Parameters
    ----------
    everything : bool, default=False
        Whether help lists all flags, or those that most people need.

    Returns
    -------
    parser : Parser
    commands : dict of str to Parser
        The parsers of the commands, which are parts of `parser`.
    """
    parser = Parser(
        prog="bertsent",
        usage="bertsent COMMAND [options]",
        description="Text classification with BERT on CPUs: fine-tune a model and use it.",
        epilog="examples:\n"
        "  bertsent train --sample --output demo\n"
        "  bertsent predict demo --text \"Loved every minute.\"\n\n"
        "\"bertsent COMMAND --help\" describes a command. docs/usage.md explains the terms.",
        formatter_class=Formatter,
        add_help=False,
    )
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", prog="bertsent", parser_class=Parser
    )
    options = parser.add_argument_group("options")
    options.add_argument("-h", "--help", action="help", help="show this and exit")
    options.add_argument(
        "--version", action="version", version=f"bertsent {bertsent.__version__}",
        help="show the version and exit",
    )
    options.add_argument(
        "--print-completion", action=_PrintCompletion, metavar="SHELL",
        type=Typed(one_of(*SHELLS)),
        help=f"print a script that completes commands and flags in {' or '.join(SHELLS)}",
    )
    makers = {
        "train": _add_train, "evaluate": _add_evaluate, "predict": _add_predict,
        "explain": _add_explain, "encode": _add_encode, "suggest-labels": _add_suggest_labels,
        "learning-curve": _add_learning_curve, "pretrain": _add_pretrain, "export": _add_export,
        "serve": _add_serve, "verify": _add_verify, "inspect": _add_inspect, "doctor": _add_doctor,
    }
    return parser, {
        name: make(_Commands(commands, name, everything)) for name, make in makers.items()
    }


class _HelpAll(argparse.Action):
    """Print help with all flags."""

    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> None:
        _, commands = make_parser(everything=True)
        commands[parser.prog.split()[-1]].print_help()
        parser.exit()


class _PrintCompletion(argparse.Action):
    """Print a script for a shell."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        from bertsent.cli.completion import make_script

        try:
            print(make_script(*make_parser(everything=True), str(values)))
        except ImportError as error:
            parser.exit(1, f"bertsent: error: {error}\n")
        parser.exit()


class _Commands:
    """Makes the parser of one command."""

    def __init__(self, commands: Any, name: str, everything: bool) -> None:
        self.commands, self.name, self.everything = commands, name, everything

    def make(
        self, usage: Sequence[str], summary: str, description: str, examples: Sequence[str]
    ) -> Parser:
        """Return a parser with nothing but a description and examples."""
        shown = examples if self.everything else examples[:3]
        command: Parser = self.commands.add_parser(
            self.name,
            help=summary,
            usage=wrap_usage(" ".join(["bertsent", self.name, *usage, "[options]"])),
            description=description,
            epilog="\n  ".join(["examples:", *(f"bertsent {example}" for example in shown)]),
            formatter_class=Formatter,
            allow_abbrev=False,
            add_help=False,
        )

        def run(args: argparse.Namespace) -> None:
            module = self.name.replace("-", "_")
            importlib.import_module(f"bertsent.cli.{module}").run(args)

        command.set_defaults(run=run, usage_error=command.error)
        return command

    def section(self, command: Parser, title: str, description: str | None = None) -> Section:
        """Return a new group of arguments."""
        return Section(command.add_argument_group(title, description), self.everything)

    def finish(self, command: Parser) -> Parser:
        """Add the flags for help."""
        last = self.section(command, "help")
        last.add("-h", "--help", action="help", help="show the most important flags and exit",
                 brief="show this and exit")
        last.add("--help-all", action=_HelpAll, nargs=0, default=argparse.SUPPRESS,
                 help="show this and exit", brief="show all flags and exit")
        last.add("--debug", action="store_true", help="show the full traceback of an error")
        return command


def _add_train(commands: _Commands) -> Parser:
    command = commands.make(
        ["DATA"],
        "fine-tune a model on labelled texts and test it",
        "Fine-tune a model on labelled texts, test it once at the end, and save it together with "
        f"its metrics, history and split.\n\nDATA is one of {FORMATS}.",
        [
            "train --sample --output demo",
            "train tickets.csv --text-column text --label-column team --output tickets-model",
            "train reviews.csv --time-budget 30min --dry-run",
            "train reviews.csv --recipe quick --output quick",
            "train reviews.csv --model bert-base-uncased --epochs 2 --seed 1",
            "train reviews.csv --test-data held-out.csv --validation-fraction 0.1",
            "train reviews.csv --epochs 4 --checkpoint-dir run --resume",
            "train reviews.csv --teacher big-model --unlabelled more.csv --output small-model",
        ],
    )
    data = commands.section(command, "data")
    data.add("data", nargs="?", metavar="DATA", type=typed_path, help="labelled texts",
             brief="labelled texts")
    data.add(
        "--sample",
        action="store_true",
        help="use the small bundled data set instead: short reviews written for this package",
        brief="use the small bundled data set instead",
    )
    add_task(data)
    add_columns(data, labels=True)
    add_reading(commands.section(command, "format of the data"))
    held_out = data.alternatives()
    add_test_size(
        held_out,
        "fraction of the rows to test on; shuffled, stratified by class, equal texts kept together "
        f"(default: {DEFAULT_TEST_SIZE}; an aclImdb folder has its own split)",
    )
    held_out.add(
        "--test-data", metavar="FILE", type=typed_path,
        help="train on all rows of DATA and test on this file",
        brief="test on this file, not on a part of DATA",
    )
    data.add(
        "--unlabelled", metavar="FILE", type=typed_path,
        help="further texts to train on, for which only the model of --teacher says what they are; "
        "in the format and column of DATA. Texts of the test are left out",
    )
    training = commands.section(command, "model and training")
    training.add(
        "--recipe",
        type=Typed(one_of(*RECIPES)),
        metavar=one_of(*RECIPES).metavar,
        help="tuned values for all flags below that you leave out: for accuracy (best), or for "
        "about ten minutes of training (quick); tuned on IMDB reviews",
        brief="values tuned for accuracy, or ten minutes",
    )
    add_parameters(training)
    output = commands.section(command, "output")
    add_output(output, default=DEFAULT_OUTPUT)
    add_force(output)
    output.add(
        "--dry-run",
        action="store_true",
        help="only measure this machine and estimate time, memory and disk space; nothing is "
        "trained or written",
        brief="only estimate time, memory and disk space",
    )
    return commands.finish(command)


def _add_evaluate(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR", "FILE"],
        "test a saved model on labelled texts",
        "Test a saved model on labelled texts. Prints accuracy, the precision, recall and F1 of "
        "each class, and the confusion matrix. Warns if the model was trained on some of the "
        f"texts.\n\nFILE is one of {FORMATS}. The test part of an aclImdb folder is used.",
        [
            "evaluate tickets-model held-out.csv --text-column text --label-column team",
            "evaluate sentiment-model held-out.csv --json > metrics.json",
            "evaluate tickets-model held-out.csv --text-column text --label-column team "
            "--report report.html",
            "evaluate hub/model held-out.csv --label-map 0=LABEL_0,1=LABEL_1",
        ],
    )
    data = commands.section(command, "model and data")
    _add_model(data)
    data.add("file", metavar="FILE", type=typed_path, help="labelled texts",
             brief="labelled texts")
    add_columns(data, labels=True)
    add_label_map(data)
    add_reading(commands.section(command, "format of the data"))
    output = commands.section(command, "output")
    output.add("--report", metavar="FILE", type=typed_path,
               help="file of HTML to write, for people: metrics with confidence intervals, charts, "
               "and the worst and most uncertain texts",
               brief="HTML with charts and examples to write")
    output.add("--explain", metavar="N", type=Typed(whole(0, 15)), default=0,
               help="mark the words of the N worst and N most uncertain texts of --report by "
               "what they add to the prediction, up to 15 each (default: %(default)s)",
               brief="mark what decided in N examples of --report")
    add_json(output)
    output.add("--force", action="store_true", help="replace the file of --report if it exists")
    prediction = commands.section(command, "prediction")
    add_abstain(prediction, "also print the share of the texts that are predicted with at least "
                "this confidence, from 0 to 1, and the accuracy among them")
    add_prediction_parameters(prediction)
    return commands.finish(command)


def _add_predict(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR", "FILE"],
        "label texts with a saved model",
        "Label texts with a saved model. All columns of FILE are kept, and two are added: "
        "predicted_label and confidence, the probability of that label. A file may have any size: "
        "it is first checked for empty cells and damage, and then read, scored and written in "
        f"chunks.\n\nFILE is one of {FORMATS}. OUT is one of {OUTPUT_FORMATS}.",
        [
            "predict tickets-model new.csv --text-column text --output labelled.csv",
            "predict tickets-model --text \"The invoice is wrong.\"",
            "predict tickets-model new.csv --text-column text --json | head",
        ],
    )
    data = commands.section(command, "model and data")
    _add_model(data)
    data.add("file", nargs="?", metavar="FILE", type=typed_path, help="texts; - is standard input",
             brief="texts; - is standard input")
    data.add(
        "--text",
        action="append",
        metavar="TEXT",
        help="label this text instead of FILE, and print label and confidence; may be repeated",
        brief="label this text instead; may be repeated",
    )
    data.add(
        "--text-pair",
        action="append",
        metavar="TEXT",
        help="second text for --text, if the model reads pairs; one for each --text",
    )
    add_columns(data, labels=False)
    add_reading(commands.section(command, "format of the data"))
    output = commands.section(command, "output")
    output.add(
        "--output",
        "-o",
        metavar="OUT",
        type=typed_output,
        help="file to write; an interrupted command leaves no partial file (default: print CSV "
        "to stdout, as - does)",
        brief="file to write (default: print CSV)",
    )
    output.add("--json", action="store_true", help="print JSON to stdout, a line for each text",
               brief="print JSON, a line for each text")
    output.add("--force", action="store_true", help="replace OUT if it exists",
               brief="replace OUT if it exists")
    output.add(
        "--chunk-rows",
        type=Typed(whole(1)),
        default=DEFAULT_CHUNK_ROWS,
        metavar="N",
        help="rows to read, score and write at a time (default: %(default)s)",
    )
    prediction = commands.section(command, "prediction")
    add_abstain(prediction, "leave the predicted label empty below this confidence, from 0 to 1")
    add_prediction_parameters(prediction)
    return commands.finish(command)


def _add_encode(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR", "FILE"],
        "write the vectors of texts, as features for other models",
        "Write a vector for each text, which other models take as features, or by which texts are "
        "searched and clustered. All columns of FILE are kept, and one is added: vector, a list of "
        f"numbers. OUT is a Parquet file.\n\nFILE is one of {FORMATS}, and may have any size.",
        [
            "encode minilm new.csv --text-column text --output vectors.parquet",
            "encode tickets-model new.csv --text-column text --output vectors.parquet",
        ],
    )
    data = commands.section(command, "model and data")
    data.add("directory", metavar="DIR", type=typed_path,
             help="model that computes the vectors: minilm, mpnet, a hub id, or a directory, also "
             "that of a saved model",
             brief="minilm, a hub id, or a directory")
    data.add("file", metavar="FILE", type=typed_path, help="texts; - is standard input",
             brief="texts; - is standard input")
    add_columns(data, labels=False)
    add_reading(commands.section(command, "format of the data"))
    output = commands.section(command, "output")
    output.add("--output", "-o", metavar="OUT", type=typed_path, required=True,
               help="Parquet file to write; an interrupted command leaves no partial file",
               brief="Parquet file to write")
    output.add("--force", action="store_true", help="replace OUT if it exists",
               brief="replace OUT if it exists")
    output.add(
        "--chunk-rows", type=Typed(whole(1)), default=DEFAULT_CHUNK_ROWS, metavar="N",
        help="rows to read, encode and write at a time (default: %(default)s)",
    )
    vectors = commands.section(command, "vectors")
    names = [p.name for p in ENCODING if p.name not in ("model", "verbose")]
    add_parameters(vectors, ENCODING, names)
    vectors.add("--no-normalize", dest="normalize", action="store_false",
                default=argparse.SUPPRESS, help="do not scale vectors to length 1")
    return commands.finish(command)


def _add_explain(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR", "FILE"],
        "show what each word of a text adds to its prediction",
        "Compute a score for each word of a text: what it adds to the prediction of a saved model. "
        "Prints the strongest words of each text, and the text with marks: [+word] supports the "
        "target, [-word] speaks against it, and [++word] or [--word] strongly.\n\n"
        f"FILE is one of {FORMATS}. OUT is a page, .html, or a table of words: one of "
        f"{OUTPUT_FORMATS}.",
        [
            "explain tickets-model --text \"The invoice is wrong.\"",
            "explain tickets-model new.csv --text-column text --rows 5 --output why.html",
            "explain tickets-model --text \"I cannot log in.\" --target billing",
            "explain tickets-model new.csv --text-column text --method occlusion -o words.csv",
        ],
    )
    data = commands.section(command, "model and data")
    _add_model(data)
    data.add("file", nargs="?", metavar="FILE", type=typed_path, help="texts; - is standard input",
             brief="texts; - is standard input")
    data.add("--text", action="append", metavar="TEXT",
             help="explain this text instead of FILE; may be repeated",
             brief="explain this text instead; may be repeated")
    data.add("--text-pair", action="append", metavar="TEXT",
             help="second text for --text, if the model reads pairs; one for each --text")
    data.add("--rows", type=Typed(whole(1)), default=DEFAULT_EXPLAINED, metavar="N",
             help="number of rows of FILE to explain, from its beginning (default: %(default)s)",
             brief="explain the first N rows (default: %(default)s)")
    add_columns(data, labels=False)
    add_reading(commands.section(command, "format of the data"))
    scores = commands.section(command, "scores")
    scores.add("--method", type=Typed(one_of(*METHODS)), metavar="METHOD", default=METHODS[0],
               help="integrated_gradients: scores add up to the prediction. occlusion: what "
               "changes if a word is masked (default: %(default)s)",
               brief=f"{' or '.join(METHODS)}")
    scores.add("--target", metavar="LABEL",
               help="class, label or number to explain (default: what is predicted)",
               brief="what to explain (default: the prediction)")
    scores.add("--tolerance", type=Typed(real(0, 1, closed="right")), metavar="SHARE",
               default=DEFAULT_TOLERANCE,
               help="how far the sum of the scores of integrated gradients may be from what it "
               "should be, as a share of the scores of all tokens (default: %(default)s)")
    scores.add("--n-words", type=Typed(whole(1)), metavar="N",
               help="with --method occlusion, mask only the N words of each text that have the "
               "largest scores by integrated gradients (default: all words)")
    output = commands.section(command, "output")
    output.add("--output", "-o", metavar="OUT", type=typed_output,
               help="file to write, a page or a table (default: print)",
               brief="page (.html) or table (.csv) to write")
    output.add("--json", action="store_true", help="print JSON to stdout, a line for each word",
               brief="print JSON, a line for each word")
    output.add("--force", action="store_true", help="replace OUT if it exists",
               brief="replace OUT if it exists")
    add_prediction_parameters(commands.section(command, "prediction"))
    return commands.finish(command)


def _add_suggest_labels(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR", "FILE"],
        "choose which texts to label next",
        "Choose the texts of FILE whose labels will improve a saved model most: texts of which it "
        "is uncertain, and that differ from each other. Texts that it was trained on are left out, "
        "and so are near-duplicates. All columns of FILE are kept, and these are added: row "
        "(counted from 0), predicted_label, confidence, uncertainty and represents, the number of "
        "similar uncertain texts.\n\nBefore there are any labels, --first chooses texts that "
        f"differ as much as possible.\n\nFILE is one of {FORMATS}. OUT is one of "
        f"{OUTPUT_FORMATS}.",
        [
            "suggest-labels tickets-model new.csv --text-column text --n 10 --output next.csv",
            "suggest-labels minilm new.csv --text-column text --first --n 10 --output first.csv",
            "suggest-labels tickets-model new.csv --text-column text --n 5 --json",
        ],
    )
    data = commands.section(command, "model and data")
    data.add("directory", metavar="DIR", type=typed_path,
             help="a saved model, or a hub id; with --first, a pretrained model such as minilm",
             brief="a saved model, or a hub id")
    data.add("file", metavar="FILE", type=typed_path,
             help="texts without labels; - is standard input",
             brief="texts without labels; - is standard input")
    add_columns(data, labels=False)
    add_reading(commands.section(command, "format of the data"))
    choice = commands.section(command, "choice")
    choice.add("--n", type=Typed(whole(1)), default=50, metavar="N",
               help="number of texts to choose (default: %(default)s)",
               brief="number of texts to choose (default: %(default)s)")
    choice.add("--first", action="store_true",
               help="choose the first texts, before there are any labels: those that differ most. "
               "DIR is then any pretrained model",
               brief="choose the first texts, without a classifier")
    choice.add("--candidates", type=Typed(whole(1)), default=10, metavar="N",
               help="uncertain texts among which each one is chosen; more favour diversity over "
               "uncertainty (default: %(default)s)")
    choice.add("--threshold", type=Typed(real(0, 1, closed="right")), default=0.5,
               metavar="SIMILARITY",
               help="share of runs of three words from which two texts are near-duplicates, of "
               "which one is chosen at most (default: %(default)s)")
    output = commands.section(command, "output")
    output.add("--output", "-o", metavar="OUT", type=typed_output,
               help="file to write (default: print CSV to stdout, as - does)",
               brief="file to write (default: print CSV)")
    output.add("--json", action="store_true", help="print JSON to stdout, a line for each text",
               brief="print JSON, a line for each text")
    output.add("--force", action="store_true", help="replace OUT if it exists",
               brief="replace OUT if it exists")
    add_prediction_parameters(commands.section(command, "prediction"))
    return commands.finish(command)


def _add_learning_curve(commands: _Commands) -> Parser:
    command = commands.make(
        ["DATA"],
        "measure accuracy with fewer labels, and estimate it with more",
        "Hold out a part of labelled texts, train on a few of the others, on more, and on all. "
        "Prints the accuracy of each, and what to expect of up to eight times as many labels. No "
        f"model is saved.\n\nDATA is one of {FORMATS}.",
        [
            "learning-curve tickets.csv --text-column text --label-column team --frozen",
            "learning-curve reviews.csv --time-budget 30min --plot curve.png",
            "learning-curve reviews.csv --train-sizes 250,500,1000,2000 --seeds 5 --json",
        ],
    )
    data = commands.section(command, "data")
    data.add("data", nargs="?", metavar="DATA", type=typed_path, help="labelled texts",
             brief="labelled texts")
    data.add("--sample", action="store_true", help="use the small bundled data set instead",
             brief="use the small bundled data set instead")
    add_columns(data, labels=True)
    add_reading(commands.section(command, "format of the data"))
    curve = commands.section(command, "curve")
    curve.add("--train-sizes", type=_numbers, metavar="N,N,...",
              help="numbers of texts to train on, or fractions of those that are not held out "
              "(default: 100,200,400 and so on up to all, or five sizes of few texts)")
    curve.add("--seeds", dest="n_seeds", type=Typed(whole(1)), default=3, metavar="N",
              help="trainings with each number of texts (default: %(default)s)",
              brief="trainings with each number (default: %(default)s)")
    add_test_size(curve, "fraction of the texts to hold out (default: %(default)s)",
                  default=DEFAULT_TEST_SIZE)
    curve.add("--scoring", type=Typed(one_of(*SCORINGS)), default=SCORINGS[0],
              metavar="METRIC",  # the names in braces do not fit into a narrow terminal
              help=f"what to measure, one of {', '.join(SCORINGS)} (default: %(default)s)")
    curve.add("--frozen", action="store_true",
              help="measure a linear classifier of the vectors of the pretrained model, which are "
              "computed once, instead of fine-tuning: much faster, with other, mostly lower "
              "values. Flags of training then have no effect",
              brief="a linear model of frozen vectors: fast")
    curve.add("--time-budget", type=Typed(TIME), metavar="TIME",
              help="time for the whole curve, such as 30min; trainings that would not end in time "
              "are left out, those on most texts first",
              brief="time for the whole curve, such as 30min")
    add_parameters(commands.section(command, "model and training"), names=CURVE_PARAMETERS)
    output = commands.section(command, "output")
    output.add("--plot", metavar="FILE", type=typed_path,
               help="picture of the curve to write, .png, .pdf or .svg; needs matplotlib",
               brief="picture of the curve to write, such as .png")
    output.add("--output", "-o", metavar="OUT", type=typed_output,
               help="file for a table of all trainings, such as curve.csv")
    add_json(output)
    output.add("--force", action="store_true", help="replace files that exist",
               brief="replace files that exist")
    return commands.finish(command)


def _numbers(text: str) -> list[float]:
    """Return the numbers of a list such as 100,200 or 0.1,0.5."""
    try:
        return [float(part) if "." in part else int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected numbers with commas between them, got {text!r}"
        ) from None


def _add_pretrain(commands: _Commands) -> Parser:
    command = commands.make(
        ["DATA", "-o DIR"],
        "adapt a model to your texts without labels, before fine-tuning it",
        "Continue the pretraining of a model on texts without labels: words are masked, and the "
        "model learns to predict them. \"bertsent train --model DIR\" then starts from the "
        f"result.\n\nDATA is one of {FORMATS}.",
        [
            "pretrain unlabelled.csv --text-column text --model bert-base-uncased -o my-bert",
            "pretrain all.parquet --epochs 3 --validation-fraction 0.05 --checkpoint-dir run "
            "--checkpoint-every 500 --output my-bert",
            "train labelled.csv --model my-bert --output my-model",
        ],
    )
    data = commands.section(command, "data")
    data.add("data", metavar="DATA", type=typed_path, help="texts; other columns are ignored",
             brief="texts; other columns are ignored")
    add_columns(data, labels=False, pairs=False)
    add_reading(commands.section(command, "format of the data"))
    add_parameters(commands.section(command, "model and training"), PRETRAINING)
    output = commands.section(command, "output")
    add_output(output, required=True)
    add_force(output)
    return commands.finish(command)


def _add_export(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR", "-o OUT"],
        "write a saved model as an ONNX graph, for production",
        "Write a saved model as an ONNX graph, which ONNX Runtime, OpenVINO and other programs run "
        "without bertsent. OUT is a directory, which also gets the files of the tokenizer, or a "
        "file that ends in .onnx, for the graph alone. docs/export.md says what the graph computes "
        "and how to run it. Needs the package onnx.",
        [
            "export tickets-model --output tickets-onnx",
            "export tickets-model --int8 --output tickets-int8",
            "export tickets-model --output tickets.onnx",
        ],
    )
    _add_model(commands.section(command, "model"))
    output = commands.section(command, "output")
    output.add("--output", "-o", metavar="OUT", type=typed_path, required=True,
               help="directory for the graph and the tokenizer, or a file that ends in .onnx for "
               "the graph alone",
               brief="directory, or a file that ends in .onnx")
    output.add("--int8", action="store_true",
               help="store and compute the linear layers of the encoder in int8, which takes less "
               "space and time; logits are rounded",
               brief="store and compute linear layers in int8")
    output.add("--force", action="store_true", help="replace what an export wrote before",
               brief="replace what an export wrote before")
    add_prediction_parameters(commands.section(command, "prediction"), EXPORT_PARAMETERS)
    return commands.finish(command)


def _add_serve(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR"],
        "answer HTTP requests with a saved model",
        "Answer HTTP requests with a saved model, in the forms of text-embeddings-inference: "
        "/predict, /embed, /v1/embeddings, /info, /health, /ready and /metrics. Requests that come "
        "at the same time are computed together. SIGTERM and Ctrl-C end the server when all "
        "requests that it has are answered. docs/serving.md describes it. Needs further packages: "
        "pip install 'bertsent[serve]'.",
        [
            "serve tickets-model",
            "serve tickets-model --inference-precision int8 --port 8000",
            "serve minilm --host 0.0.0.0 --threads 4",
        ],
    )
    model = commands.section(command, "model")
    model.add("directory", metavar="DIR", type=typed_path,
              help="a saved model, or a hub id; of a model that is no classifier, vectors are "
              "served: minilm, mpnet, a hub id or a directory",
              brief="a saved model, or a hub id")
    address = commands.section(command, "address")
    address.add("--host", default="127.0.0.1", metavar="ADDRESS",
                help="address to listen on; 0.0.0.0 is all of this machine, so that others reach "
                "it (default: %(default)s, this machine alone)",
                brief="address to listen on (default: %(default)s)")
    address.add("--port", type=Typed(whole(0, 65535)), default=DEFAULT_PORT, metavar="N",
                help="port to listen on; 0 is any that is free (default: %(default)s)",
                brief="port to listen on (default: %(default)s)")
    limits = commands.section(command, "limits")
    for name, default, what in SERVING_LIMITS:
        limits.add(f"--{name.replace('_', '-')}", type=Typed(whole(1)), default=default,
                   metavar="N", help=f"{what} (default: %(default)s)")
    add_prediction_parameters(commands.section(command, "prediction"), SERVING_PARAMETERS)
    return commands.finish(command)


def _add_verify(commands: _Commands) -> Parser:
    command = commands.make(
        ["RUN [DATA]"],
        "train a run again, and find the first step that differs",
        "Train a run again, as its log says, and compare the parameters with the hashes in the "
        "log. Prints that all bits agree, or the first step that differs, and the instruction set "
        "and build of both machines. Nothing is written. The exit code is 1 if something "
        "differs.\n\nRUN is the file of --log-file, of a run with --hash-every. DATA and the "
        "model are those that the log names, unless you name them.",
        [
            "train reviews.csv --log-file run.jsonl --hash-every 10",
            "verify run.jsonl",
            "verify run.jsonl copy/reviews.csv --model copy/model --json",
            "verify pretraining.jsonl",
        ],
    )
    run = commands.section(command, "run")
    run.add("log", metavar="RUN", type=typed_path, help="log of the run", brief="log of the run")
    run.add(
        "data", nargs="?", metavar="DATA", type=typed_path,
        help="the data of the run (default: the one that the log names)",
        brief="data of the run, if it is elsewhere now",
    )
    run.add("--text-pair-column", metavar="NAME",
            help="column of second texts in DATA (default: as in the run)")
    for name, what in (("text", "texts"), ("label", "labels")):
        run.add(
            f"--{name}-column", metavar="NAME",
            help=f"column of {what} in DATA (default: as in the run)",
            brief=f"column of {what} (default: as in the run)",
        )
    add_label_sets(run)
    run.add(
        "--model", metavar="NAME_OR_DIR", type=typed_path,
        help="the model that the run started from (default: the one that the log names)",
        brief="model of the run, if it is elsewhere now",
    )
    run.add(
        "--unlabelled", metavar="FILE", type=typed_path,
        help="texts without labels of the run (default: those that the log names)",
    )
    add_parameters(run, names=("teacher", "n_threads"))
    add_json(commands.section(command, "output"))
    return commands.finish(command)


def _add_inspect(commands: _Commands) -> Parser:
    command = commands.make(
        ["DIR"],
        "show what a model directory contains, without loading it",
        "Show what a directory of a model or of checkpoints contains: family, size, classes, "
        "tokenizer, members, who wrote it, and size and hash of each file. Names what is missing "
        "or unusual, such as pickles and links. Weights are not loaded, and no code is run. The "
        "exit code is 1 if the model cannot be opened.",
        [
            "inspect tickets-model",
            "inspect downloads/model --json",
        ],
    )
    _add_model(commands.section(command, "model"))
    add_json(commands.section(command, "output"))
    return commands.finish(command)


def _add_doctor(commands: _Commands) -> Parser:
    command = commands.make(
        [],
        "describe this machine, measure its speed, and estimate how long a job takes",
        "Print what bertsent uses on this machine: versions, processor, kernels, precisions, "
        "BLAS, threads and memory. Then measure for about ten seconds how fast a model trains and "
        "predicts. With --data, also estimate how long a job would take.\n\n"
        f"FILE is one of {FORMATS}.",
        [
            "doctor",
            "doctor --data tickets.csv --text-column text --epochs 2 --max-length 256",
            "doctor --no-speed --json",
        ],
    )
    machine = commands.section(command, "machine")
    machine.add("--no-speed", action="store_true", help="do not measure the speed",
                brief="do not measure the speed")
    add_json(machine)
    job = commands.section(command, "job", "data and flags of train, for the estimate")
    job.add("--data", metavar="FILE", type=typed_path, help="estimate the time for these texts",
            brief="estimate the time for these texts")
    add_text_column(job)
    add_reading(job)
    add_test_size(
        job, "fraction of the rows to test on (default: %(default)s)", default=DEFAULT_TEST_SIZE
    )
    add_parameters(job, names=JOB_PARAMETERS)
    return commands.finish(command)


def _add_model(section: Section) -> None:
    section.add("directory", metavar="DIR", type=typed_path, help="a saved model, or a hub id",
                brief="a saved model, or a hub id")
