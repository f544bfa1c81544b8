"""The parameters of `BertClassifier`: what each may be, and how it is said on a command line.

One table, from which `fit` checks, errors name the allowed values, and the command line has
its flags. A new parameter is one entry here and one default in the signature.
"""

import math
import numbers
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bertsent.budget import parse_time
from bertsent.callbacks import import_callbacks, is_callback
from bertsent.files import MOST_MEMBERS
from bertsent.members import OWN, count_members, is_list, member_parameters, parse_members
from bertsent.memory import parse_size
from bertsent.precision import INFERENCE, TRAINING


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Parameters
    ----------
    name : str
        As in the signature.
    allowed : str
        The allowed values in words, for errors.
    accepts : callable
        Says whether a value is allowed.
    parse : callable or None
        Makes the value of the string given on a command line; None for a flag without value.
    help : str
        One line for ``--help``.
    metavar : str or None
        What stands for the value there.
    flags : tuple of str
        Names on the command line, beside the one made of `name`.
    default : object
        As in the signature; here too, so that ``--help`` need not import scikit-learn.
    on_command_line : bool
        Whether it has a flag.
    """

    name: str
    allowed: str
    accepts: Callable[[object], bool]
    parse: Callable[[str], object] | None
    help: str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    default: object = None
    on_command_line: bool = True

    def check(self, value):
        """Raise if the value is not allowed."""
        if not self.accepts(value):
            kind = TypeError if isinstance(value, bytes | list | dict | tuple) else ValueError
            raise kind(f"{self.name}={value!r} is not allowed; expected {self.allowed}")

    def parse_flag(self, text):
        """Make a checked value of a string from the command line."""
        try:
            value = self.parse(text)
        except ValueError:
            value = text
        if not self.accepts(value):
            raise ValueError(f"expected {self.allowed}, got {text!r}")
        return value


def _is_whole(value, low=-math.inf, high=math.inf):
    return (
        isinstance(value, numbers.Integral)
        and not isinstance(value, bool | np.bool_)
        and low <= value <= high
    )


def _is_real(value, low=-math.inf, high=math.inf):
    return (
        isinstance(value, numbers.Real)
        and not isinstance(value, bool | np.bool_)
        and math.isfinite(value)
        and low <= value <= high
    )


def _is_size(value):
    try:
        return isinstance(value, str) and parse_size(value) > 0
    except ValueError:
        return False


def _is_auto(value):
    return isinstance(value, str) and value == "auto"


def _is_time(value):
    try:
        return isinstance(value, str) and parse_time(value) > 0
    except ValueError:
        return False


def _is_long_text(value):
    return isinstance(value, str) and value in ("head", "tail", "head+tail", "windows")


def _int_or(*words):
    return lambda text: text if text in words else int(text)


def _float_or(word):
    return lambda text: text if text == word else float(text)


def _parse_class_weight(text):
    if text == "balanced":
        return text
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(label for label, _, _ in pairs):
        raise ValueError(text)
    return {label.strip(): float(weight) for label, _, weight in pairs}


PARAMETERS = (
    Parameter(
        "model",
        "the name of a model or a directory that holds one",
        lambda v: isinstance(v, os.PathLike) or (isinstance(v, str) and v.strip() != ""),
        str,
        'where training starts from: "minilm", a Hugging Face hub id such as '
        "bert-base-uncased, or a directory",
        "NAME_OR_DIR",
        default="minilm",
    ),
    Parameter(
        "max_length",
        '"auto" or a whole number of at least 3',
        lambda v: _is_auto(v) or _is_whole(v, 3),
        _int_or("auto"),
        "tokens read at once, [CLS] and [SEP] included; long_text says what of longer texts; "
        '"auto" is 256, or what time_budget allows',
        "TOKENS",
        default="auto",
    ),
    Parameter(
        "long_text",
        '"head", "tail", "head+tail" or "windows"',
        _is_long_text,
        str,
        "what is read of a text that is longer than max_length: its beginning, its end, a "
        "quarter from the beginning and the rest from the end, or all in windows",
        "WHAT",
        default="tail",
    ),
    Parameter(
        "stride",
        "a whole number of at least 0",
        lambda v: _is_whole(v, 0),
        int,
        "tokens that a window has in common with the one before",
        "TOKENS",
        default=0,
    ),
    Parameter(
        "epochs",
        '"auto" or a whole number of at least 1',
        lambda v: _is_auto(v) or _is_whole(v, 1),
        _int_or("auto"),
        'passes over the training texts; "auto" is 3, or what time_budget allows',
        "N",
        default="auto",
    ),
    Parameter(
        "batch_size",
        "a whole number of at least 1",
        lambda v: _is_whole(v, 1),
        int,
        "texts in one step",
        "N",
        default=16,
    ),
    Parameter(
        "learning_rate",
        '"auto" or a number above 0',
        lambda v: _is_auto(v) or (_is_real(v, 0) and v > 0),
        _float_or("auto"),
        'peak learning rate; "auto" chooses by the size of the model and what is frozen',
        "RATE",
        default="auto",
    ),
    Parameter(
        "weight_decay",
        "a number of at least 0",
        lambda v: _is_real(v, 0),
        float,
        "decoupled weight decay of AdamW; biases and LayerNorm have none",
        "X",
        default=0.01,
    ),
    Parameter(
        "warmup_ratio",
        "a number from 0 to 1",
        lambda v: _is_real(v, 0, 1),
        float,
        "part of the steps over which the learning rate rises before it falls",
        "X",
        default=0.1,
    ),
    Parameter(
        "schedule",
        '"linear", "cosine" or "constant"',
        lambda v: isinstance(v, str) and v in ("linear", "cosine", "constant"),
        str,
        "how the learning rate goes on after the warm-up: linear or cosine down to 0, or constant",
        "WHAT",
        default="linear",
    ),
    Parameter(
        "layer_decay",
        "a number above 0 and up to 1",
        lambda v: _is_real(v, 0, 1) and v > 0,
        float,
        "each layer learns at this many times the rate of the one above, the embeddings last",
        "X",
        default=1.0,
    ),
    Parameter(
        "head_learning_rate",
        "None or a number above 0",
        lambda v: v is None or (_is_real(v, 0) and v > 0),
        float,
        "peak learning rate of pooler and classifier (default: as all others)",
        "RATE",
    ),
    Parameter(
        "accumulate_steps",
        "a whole number of at least 1",
        lambda v: _is_whole(v, 1),
        int,
        "batches whose gradients are added up for one step",
        "N",
        default=1,
    ),
    Parameter(
        "label_smoothing",
        "a number from 0 to below 1",
        lambda v: _is_real(v, 0, 1) and v < 1,
        float,
        "part of each target that is spread evenly over all classes",
        "X",
        default=0.0,
    ),
    Parameter(
        "class_weight",
        'None, "balanced" or a dictionary of labels and numbers of at least 0',
        lambda v: v is None
        or (isinstance(v, str) and v == "balanced")
        or (isinstance(v, dict) and len(v) > 0 and all(_is_real(x, 0) for x in v.values())),
        _parse_class_weight,
        'what a text counts by its class: "balanced", or such as negative=1,positive=2.5',
        "WEIGHTS",
    ),
    Parameter(
        "max_grad_norm",
        "a number of at least 0 (0 clips nothing)",
        lambda v: _is_real(v, 0),
        float,
        "gradients are scaled down to this norm; 0 clips nothing",
        "X",
        default=1.0,
    ),
    Parameter(
        "freeze_layers",
        '"auto", "all" or a whole number of at least 0',
        lambda v: _is_auto(v) or (isinstance(v, str) and v == "all") or _is_whole(v, 0),
        _int_or("auto", "all"),
        "k keeps the embeddings and the first k layers as they are; "
        '"all" trains pooler and classifier only; "auto" is 0, or what time_budget asks for',
        "K",
        default="auto",
    ),
    Parameter(
        "freeze_dropout",
        "True or False",
        lambda v: isinstance(v, bool | np.bool_),
        None,
        "no dropout in the layers that freeze_layers keeps as they are",
        default=False,
    ),
    Parameter(
        "frozen_cache",
        '"auto", "float32", "bfloat16" or "off"',
        lambda v: isinstance(v, str) and v in ("auto", "float32", "bfloat16", "off"),
        str,
        "compute frozen layers without dropout once and keep their output for all epochs, in "
        'memory or in the cache folder: in float32, in half the room, or not at all; "auto": in '
        "float32 where it is the same in every epoch and no larger than BERTSENT_CACHE_LIMIT",
        "WHAT",
        default="auto",
    ),
    Parameter(
        "pooling",
        'None, "cls" or "mean"',
        lambda v: v is None or (isinstance(v, str) and v in ("cls", "mean")),
        str,
        'what pooler and classifier read of the last layer: its output for [CLS] ("cls") or the '
        'mean for all tokens ("mean") (default: as the model was saved, else cls)',
        "WHAT",
    ),
    Parameter(
        "members",
        f"a whole number from 1 to {MOST_MEMBERS}, or a list of up to so many dictionaries",
        lambda v: 1 <= len(v) <= MOST_MEMBERS and all(isinstance(own, dict) for own in v)
        if is_list(v) else _is_whole(v, 1, MOST_MEMBERS),
        parse_members,
        "models to train one after the other, each with its own order, dropout and new weights; "
        "the mean of their probabilities counts; or in JSON what each has otherwise: "
        '[{"freeze_layers": 2}, {}]',
        "N",
        default=1,
    ),
    Parameter(
        "validation_fraction",
        "None or a number above 0 and below 1",
        lambda v: v is None or (_is_real(v, 0, 1) and 0 < v < 1),
        float,
        "part of the training texts that is held out and scored after every epoch; shuffled, "
        "every class alike, equal texts on one side",
        "PART",
    ),
    Parameter(
        "eval_every",
        "None or a whole number of at least 1",
        lambda v: v is None or _is_whole(v, 1),
        int,
        "score the held-out texts every so many steps too, not only after every epoch",
        "STEPS",
    ),
    Parameter(
        "early_stopping",
        'False, "loss", "accuracy" or True (the same as "loss")',
        lambda v: isinstance(v, bool | np.bool_)
        or (isinstance(v, str) and v in ("loss", "accuracy")),
        str,
        'stop when "loss" or "accuracy" on the held-out texts no longer improves, and take the '
        "weights that were best",
        "WHAT",
        default=False,
    ),
    Parameter(
        "patience",
        "a whole number of at least 1",
        lambda v: _is_whole(v, 1),
        int,
        "evaluations in a row without improvement after which early stopping stops",
        "N",
        default=3,
    ),
    Parameter(
        "checkpoint_dir",
        "None or the name of a directory",
        lambda v: v is None
        or isinstance(v, os.PathLike)
        or (isinstance(v, str) and v.strip() != ""),
        str,
        "save the run there now and then, so that --resume can go on with it",
        "DIR",
    ),
    Parameter(
        "checkpoint_every",
        "None or a whole number of at least 1",
        lambda v: v is None or _is_whole(v, 1),
        int,
        "steps between two checkpoints (default: one after every epoch)",
        "STEPS",
    ),
    Parameter(
        "checkpoint_keep",
        "a whole number of at least 1",
        lambda v: _is_whole(v, 1),
        int,
        "how many of the newest checkpoints stay",
        "N",
        default=2,
    ),
    Parameter(
        "resume",
        "True or False",
        lambda v: isinstance(v, bool | np.bool_),
        None,
        "go on from the newest checkpoint in checkpoint_dir, to the same bits as without a "
        "pause; where none was saved yet, start",
        default=False,
    ),
    Parameter(
        "warm_start",
        "True or False",
        lambda v: isinstance(v, bool | np.bool_),
        None,
        "fit goes on from the model that is there",
        default=False,
        # There is none when a command begins; --model DIR goes on from a saved one.
        on_command_line=False,
    ),
    Parameter(
        "callbacks",
        "None, a function, an object with a method such as on_step, or a list of these "
        "(MODULE:NAME on the command line)",
        lambda v: v is None
        or (all(map(is_callback, v)) if isinstance(v, list | tuple) else is_callback(v)),
        import_callbacks,
        "functions or classes to be told of every step, evaluation and epoch",
        "MODULE:NAME[,...]",
    ),
    Parameter(
        "log_file",
        "None or the name of a file",
        lambda v: v is None
        or isinstance(v, os.PathLike)
        or (isinstance(v, str) and v.strip() != ""),
        str,
        "append a line of JSON for every step, evaluation and epoch to this file",
        "FILE",
    ),
    Parameter(
        "track_examples",
        "True or False",
        lambda v: isinstance(v, bool | np.bool_),
        None,
        "keep the loss and the probability of the label of each training text in each epoch, and "
        "audit the data by them: wrong labels, near-duplicates, leaks (examples.csv, audit.csv)",
        default=False,
    ),
    Parameter(
        "strip_html",
        "True or False",
        lambda v: isinstance(v, bool | np.bool_),
        None,
        "take HTML tags out of the texts, in training and again at prediction",
        default=False,
    ),
    Parameter(
        "precision",
        '"auto", "float32" or "bfloat16"',
        lambda v: isinstance(v, str) and v in TRAINING,
        str,
        'what training computes in; weights stay float32. "auto": bfloat16 where the processor '
        "is faster in it, else float32",
        "WHAT",
        default="auto",
    ),
    Parameter(
        "inference_precision",
        '"auto", "float32", "bfloat16" or "int8"',
        lambda v: isinstance(v, str) and v in INFERENCE,
        str,
        'what scoring computes in; "auto": as for precision, never int8',
        "WHAT",
        default="auto",
    ),
    Parameter(
        "inference_long_text",
        'None, "head", "tail", "head+tail" or "windows"',
        lambda v: v is None or _is_long_text(v),
        str,
        "what prediction reads of longer texts, held-out ones among them: all of it (windows) or "
        "a part, as long_text has it",
        "WHAT",
        default="windows",
    ),
    Parameter(
        "n_threads",
        "None or a whole number of at least 1",
        lambda v: v is None or _is_whole(v, 1),
        int,
        "threads; by default BERTSENT_NUM_THREADS, else OMP_NUM_THREADS, else all CPUs "
        "that the process may use",
        "N",
        ("--threads",),
    ),
    Parameter(
        "memory_limit",
        'None, a number of bytes or a size such as "2GB" or "500MiB"',
        lambda v: v is None or _is_whole(v, 1) or _is_size(v),
        lambda text: int(text) if text.isdecimal() else text,
        "most memory for weights, gradients, moments and activations, such as 2GB; smaller "
        "parts of a batch go through the model at once",
        "SIZE",
    ),
    Parameter(
        "time_budget",
        'None, a number of seconds above 0 or a time such as "90s", "30min" or "1h30min"',
        lambda v: v is None or (_is_real(v, 0) and v > 0) or _is_time(v),
        lambda text: text if _is_time(text) else float(text),
        "time that training may take, such as 30min: the machine is measured, and max_length, "
        "freeze_layers and epochs are chosen to fit where they are auto",
        "TIME",
    ),
    Parameter(
        "random_state",
        "None, a whole number from 0 to 4294967295, or a numpy RandomState",
        lambda v: v is None
        or _is_whole(v, 0, 2**32 - 1)
        or v is np.random
        or isinstance(v, np.random.RandomState),
        int,
        "seed of the split, the new weights, the order of the texts and dropout",
        "N",
        ("--seed",),
    ),
    Parameter(
        "verbose",
        "0 (silent), 1 (progress), True or False",
        lambda v: isinstance(v, bool | np.bool_) or _is_whole(v, 0),
        int,
        "0 for silence, 1 for progress",
        "N",
        default=1,
    ),
)

# Peak learning rates for learning_rate="auto": up to which hidden size, and the rate when at
# least the upper layers are trained. With everything but pooler and classifier frozen, a far
# higher rate is needed. Both for MiniLM by benchmarks/learning_rate.py, on 1,000 reviews; 2e-5
# for larger models is one of those in Devlin et al. 2019, not measured here.
RATES_BY_HIDDEN_SIZE = ((512, 1e-4), (math.inf, 2e-5))
RATE_ALL_FROZEN = 3e-3

# What "auto" is without a time budget.
AUTO_EPOCHS = 3
AUTO_LENGTH = 256
AUTO_FREEZE = 0


def check_parameters(values, parameters=PARAMETERS):
    """Check a dictionary of all parameters; errors name the allowed values."""
    for parameter in parameters:
        parameter.check(values[parameter.name])
    if values.get("stride"):
        _check_stride(
            values["stride"], values["long_text"], values["inference_long_text"],
            values["max_length"],
        )
    members = values.get("members", 1)
    if count_members(members) > 1 and values["time_budget"] is not None:
        raise ValueError(
            f"time_budget={values['time_budget']!r} plans one model, not members="
            f"{members}; use members=1, or leave the budget out"
        )
    if is_list(members):
        _check_members(values)
    if values["checkpoint_dir"] is None:
        if values["resume"]:
            raise ValueError("resume=True needs the checkpoint_dir of the run to go on with")
        if values["checkpoint_every"] is not None:
            raise ValueError(
                f"checkpoint_every={values['checkpoint_every']} needs a checkpoint_dir to save to"
            )


def _check_members(values):
    for number, own in enumerate(values["members"]):
        unknown = [str(name) for name in own if name not in OWN]
        if unknown:
            raise ValueError(
                f"members[{number}] has {', '.join(unknown)}, which is no parameter that members "
                f"can have of their own; these are {', '.join(OWN)}"
            )
    for number, own in enumerate(member_parameters(values)):
        try:
            check_parameters(own)
        except (TypeError, ValueError) as error:
            raise type(error)(f"members[{number}]: {error}") from error


def _check_stride(stride, long_text, inference_long_text, max_length):
    if "windows" not in (long_text, inference_long_text):
        raise ValueError(
            f'stride={stride} needs long_text="windows", it is {str(long_text)!r}'
        )
    if _is_auto(max_length):
        max_length = AUTO_LENGTH
    if stride > max_length - 3:
        raise ValueError(
            f"stride={stride} leaves windows of max_length={max_length} no room for other tokens; "
            f"expected at most {max_length - 3}"
        )


def resolve_watched(early_stopping):
    """What early stopping watches: "loss", "accuracy" or None."""
    if isinstance(early_stopping, str):
        return str(early_stopping)
    return "loss" if early_stopping else None


def resolve_epochs(epochs):
    """The number of epochs without a time budget."""
    return AUTO_EPOCHS if _is_auto(epochs) else int(epochs)


def resolve_freeze(freeze_layers, n_layers):
    """Number of frozen layers for the engine, of which 0 leaves all of the model to train."""
    if _is_auto(freeze_layers):
        return AUTO_FREEZE
    if isinstance(freeze_layers, str):
        return n_layers
    if freeze_layers > n_layers:
        raise ValueError(
            f"freeze_layers={freeze_layers} is more than the {n_layers} layers of the model; "
            f'expected "all" or at most {n_layers}'
        )
    return int(freeze_layers)


def resolve_learning_rate(learning_rate, hidden_size, n_layers, freeze):
    """The peak learning rate as a float."""
    if not isinstance(learning_rate, str):
        return float(learning_rate)
    if freeze == n_layers:
        return RATE_ALL_FROZEN
    return next(rate for size, rate in RATES_BY_HIDDEN_SIZE if hidden_size <= size)


def resolve_max_length(max_length, positions):
    """The length in tokens, which a model cannot exceed; "auto" is as in a run without budget."""
    if _is_auto(max_length):
        return min(AUTO_LENGTH, positions)
    if max_length > positions:
        raise ValueError(
            f"max_length={max_length} is more than the {positions} positions of the model; "
            f"expected at most {positions}"
        )
    return int(max_length)
