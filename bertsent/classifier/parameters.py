"""The parameters of `BertClassifier`, each declared once.

This table is the source of the checks and their error messages, the flags of the command line,
what a resumed run compares, what members may differ in, the parameters of `bertsent.pretrain`, and
``docs/parameters.md``. A new parameter needs an entry here, and one in signature and docstring.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bertsent.classifier.declaration import (
    CALLBACKS,
    CLASS_ORDER,
    CLASS_WEIGHTS,
    COSTS,
    FLAG,
    MEMBER_LIST,
    METRIC,
    OTHER_COSTS,
    PROBABILITY,
    RANDOM_STATE,
    SCORER,
    SIZE,
    TEACHER,
    TIME,
    Parameter,
    either,
    one_of,
    path,
    real,
    whole,
)
from bertsent.classifier.members import count_members, is_list, member_parameters
from bertsent.files import MOST_MEMBERS
from bertsent.model import INFERENCE, TRAINING
from bertsent.wording import spell

# The rate of Sun et al. (2019) for further pretraining, with batches of 32 pieces of 128 tokens.
PRETRAINING_RATE = 5e-5
# The value of `model` that stands for one of several.
AUTO_MODEL = "auto"
PARTS = ("head", "tail", "head+tail", "windows")

PARAMETERS = (
    Parameter(
        "model", path("the name of a model or a directory that holds one", "NAME_OR_DIR"), "minilm",
        'model to start from: "minilm", "mpnet", a Hugging Face hub id such as bert-base-uncased, '
        'or a directory; "auto" is mpnet if that is installed and time_budget is not too short for '
        "it, otherwise minilm", brief="model to start from",
        resume="resolved", summary="never", pretraining={}),
    Parameter(
        "max_length", either("auto", whole(3)), "auto",
        "tokens that the model reads at once, including [CLS] and [SEP]; long_text says what "
        'happens to longer texts; "auto" is 256, or chosen by time_budget', "TOKENS",
        "tokens to read of each text", per_member=True, at_prediction={
            "kind": whole(3), "help": "tokens that the model reads at once, including [CLS] and "
            "[SEP]; inference_long_text says what happens to longer texts",
        }, pretraining={
            "kind": whole(3), "default": 128, "help": "tokens of a piece, including [CLS] and "
            "[SEP]; longer texts are cut into several pieces", "brief": "tokens of a piece of text"
        }),
    Parameter(
        "long_text", one_of(*PARTS), "tail",
        "what training reads of a text longer than max_length: its beginning (head), its end "
        "(tail), a quarter from the beginning and the rest from the end (head+tail), or all of it, "
        "in windows", "PART",
        per_member=True, summary="changed"),
    Parameter(
        "stride", whole(0), 0, "tokens that consecutive windows share", "TOKENS",
        per_member=True, summary="changed"),
    Parameter(
        "epochs", either("auto", whole(1)), "auto",
        'passes over the training texts; "auto" is 3, or chosen by time_budget',
        brief="passes over the training texts", per_member=True, pretraining={
            "kind": whole(1), "default": 1, "help": "passes over the texts; each masks other words",
            "brief": "passes over the texts"}),
    Parameter(
        "batch_size", whole(1), 16, "texts per step",
        per_member=True, pretraining={"default": 32, "help": "pieces per step"}),
    Parameter(
        "learning_rate", either("auto", real(0, closed="right")), "auto",
        'peak learning rate; "auto" depends on the size of the model and on freeze_layers', "RATE",
        resume="resolved", per_member=True, pretraining={
            "kind": real(0, closed="right"), "default": PRETRAINING_RATE,
            "help": "peak learning rate"}),
    Parameter(
        "weight_decay", real(0), 0.01,
        "decoupled weight decay of AdamW; does not apply to biases and LayerNorm",
        per_member=True, pretraining={}),
    Parameter(
        "warmup_ratio", real(0, 1), 0.1,
        "fraction of the steps in which the learning rate rises to its peak",
        per_member=True, pretraining={}),
    Parameter(
        "schedule", one_of("linear", "cosine", "constant"), "linear",
        "learning rate after the warm-up: linear or cosine decay to 0, or constant",
        per_member=True, summary="changed", pretraining={}),
    Parameter(
        "layer_decay", real(0, 1, closed="right"), 1.0,
        "learning rate of each layer relative to that of the layer above; the embeddings come last",
        per_member=True, summary="changed"),
    Parameter(
        "head_learning_rate", either("auto", None, real(0, closed="right")), "auto",
        "peak learning rate of the pooler and the classification layer (None in Python: "
        'learning_rate); "auto" is 0.001 for a new classification layer of a model with a hidden '
        'size above 512 if learning_rate is "auto" too, and otherwise learning_rate',
        "RATE", resume="resolved", per_member=True, summary="changed"),
    Parameter(
        "accumulate_steps", whole(1), 1, "batches whose gradients are added up for one step",
        per_member=True, summary="changed", pretraining={}),
    Parameter(
        "label_smoothing", real(0, 1, closed="left"), 0.0,
        "fraction of each target that is spread evenly over all classes",
        per_member=True, summary="changed", task="classification"),
    Parameter(
        "class_weight", either(None, "balanced", CLASS_WEIGHTS), None,
        'weight of each class in the loss: "balanced", or for example negative=1,positive=2.5',
        task="classification"),
    Parameter(
        "ordinal", FLAG, False,
        "learn that the classes have an order, such as one to five stars: a prediction that is "
        "further from the truth costs more; numbers have an order, and class_order is that of "
        "others",
        # What a run learned says it, also for the next entry; version 0.1 does not know them.
        resume="resolved", summary="changed", task="classification"),
    Parameter(
        "class_order", either(None, CLASS_ORDER), None,
        "all classes from the lowest to the highest, such as bad,fair,good, for ordinal (default: "
        "the order of the numbers)", resume="resolved", summary="changed", task="classification"),
    Parameter(
        "loss", one_of("squared_error", "huber"), "squared_error",
        "loss of a regression: the squared error, or Huber's, in which outliers count less",
        # What a run learned says it too.
        resume="any", summary="changed", task="regression"),
    Parameter(
        "label_threshold", either("f1", real(0, 1, closed="neither")), 0.5,
        "probability from which a label is predicted, if a text can have several; \"f1\" chooses "
        "the one with the highest F1 on the held-out texts for each label", "PROBABILITY",
        resume="any", summary="changed", at_prediction={
            "kind": real(0, 1, closed="neither"),
            "help": "probability from which a label is predicted, if a text can have several",
        }, task="classification"),
    Parameter(
        "calibrated", FLAG, False,
        "divide logits by the temperature that was learned on the held-out texts, so that 90 % of "
        "the predictions with a confidence of 0.9 are right",
        resume="any", summary="changed", at_prediction={}, task="classification"),
    Parameter(
        "decision_threshold", PROBABILITY, 0.5,
        "probability from which the second of two classes is predicted", "PROBABILITY",
        resume="any", summary="changed", at_prediction={}, task="classification"),
    Parameter(
        "cost_matrix", either(None, COSTS), None,
        "what each decision costs: a row for each true class and a column for each decision, both "
        "in the order of the classes, which are sorted unless ordinal is given; the class with the "
        "lowest expected cost is predicted (default: the likeliest one, or the median)",
        "MATRIX", resume="any", summary="changed", at_prediction={
            "kind": OTHER_COSTS, "help": "what each decision costs: a row for each true class and "
            "a column for each decision, both in the order of the classes, which are sorted unless "
            "trained with ordinal; the class with the lowest expected cost is predicted. With "
            "none, it is the likeliest one, or the median",
        }, task="classification"),
    Parameter(
        "max_grad_norm", real(0), 1.0, "norm that gradients are clipped to; 0 turns clipping off",
        per_member=True, pretraining={}),
    Parameter(
        "freeze_layers", either("auto", "all", whole(0)), "auto",
        'K freezes the embeddings and the first K layers, "all" everything but the '
        'pooler and the classification layer; "auto" is 0, or chosen by time_budget', "K",
        per_member=True),
    Parameter("freeze_dropout", FLAG, False, "use no dropout in frozen layers", per_member=True),
    Parameter(
        "frozen_cache", one_of("auto", "float32", "bfloat16", "off"), "auto",
        "how to store the output of frozen layers without dropout, which is computed once for all "
        'epochs: float32, bfloat16 (half the space) or off; "auto" is float32 if there are several '
        "epochs and the output is no larger than BERTSENT_CACHE_LIMIT", "TYPE", machine=True,
        resume="resolved", per_member=True, summary="changed"),
    Parameter(
        "pooling", either(None, one_of("cls", "mean")), None,
        "what the pooler and the classification layer read from the last layer: the output for "
        '[CLS] ("cls") or the mean over all tokens ("mean") (default: as saved with the model, '
        "otherwise cls)"),
    Parameter(
        "few_shot", FLAG, False,
        "for a few labels of each class: first train the vectors of the texts to be alike within a "
        "class and unlike others, then only the classification layer; pools by mean unless pooling "
        "says otherwise", resume="resolved", task="classification"),
    Parameter(
        "members", either(whole(1, MOST_MEMBERS), MEMBER_LIST), 1,
        "number of models to train, whose probabilities are averaged; or a JSON list with the "
        'parameters in which each differs, such as [{"freeze_layers": 2}, {}]', summary="changed"),
    Parameter(
        "words", FLAG, False,
        "let a linear model of words (TF-IDF with logistic regression) vote with the model; it is "
        "trained in seconds, and its weight is learned on held-out texts if there are 100 or more",
        brief="let TF-IDF with logistic regression vote as well", resume="any",
        task="classification"),
    Parameter(
        "teacher", either(None, TEACHER), None,
        "a saved model to learn from, besides the labels; of several, the mean of their "
        "probabilities (distillation)",
        machine=True, resume="resolved", summary="changed", task="classification"),
    Parameter(
        "distillation_loss", one_of("kl", "mse"), "kl",
        "how the student is compared with the teacher: divergence of the probabilities at the "
        "temperature (kl), or squared error of the logits (mse)", "LOSS",
        resume="resolved", per_member=True, summary="changed", task="classification"),
    Parameter(
        "temperature", real(0.1, 100), 2.0,
        "temperature of the probabilities of teacher and student; higher ones make them more even",
        "T", resume="resolved", per_member=True, summary="changed", task="classification"),
    Parameter(
        "teacher_weight", real(0, 1), 0.5,
        "weight of the teacher's part of the loss; the part of the label has the rest",
        resume="resolved", per_member=True, summary="changed", task="classification"),
    Parameter(
        "validation_fraction", either(None, real(0, 1, closed="neither")), None,
        "fraction of the training texts to hold out and score after every epoch; shuffled, "
        "stratified by class, equal texts kept together", "FRACTION",
        pretraining={"help": "fraction of the texts to hold out and score after every epoch, "
                             "always with the same words masked"}),
    Parameter(
        "eval_every", either(None, whole(1)), None,
        "score the held-out texts also after every so many steps (default: only after every "
        "epoch)", "STEPS",
        pretraining={}),
    Parameter(
        "early_stopping", either(None, "loss", METRIC, SCORER, FLAG), False,
        "stop when the loss or a metric on the held-out texts no longer improves, and restore the "
        "best weights: accuracy; f1, micro_f1 or macro_f1 if a text can have several labels; mae "
        "or quadratic_kappa with ordinal; mae, rmse, r2 or spearman for numbers; or any scorer of "
        "scikit-learn, such as f1_macro or roc_auc; needs validation_fraction", "METRIC"),
    Parameter(
        "patience", whole(1), 3,
        "stop after this many evaluations in a row without improvement",
        summary="changed"),
    Parameter(
        "checkpoint_dir", either(None, path("the name of a directory", "DIR")), None,
        "directory in which to save checkpoints of the run, so that it can be resumed",
        machine=True, resume="any", pretraining={}),
    Parameter(
        "checkpoint_every", either(None, whole(1)), None,
        "steps between two checkpoints (default: one after every epoch)", "STEPS",
        machine=True, resume="any", pretraining={}),
    Parameter(
        "checkpoint_keep", whole(1), 2, "number of checkpoints to keep, the newest ones",
        machine=True, resume="any", summary="changed", pretraining={}),
    Parameter(
        "resume", FLAG, False,
        "continue from the newest checkpoint in checkpoint_dir, with exactly the same result as "
        "without the interruption; if there is none yet, start from the beginning",
        machine=True, resume="any", pretraining={}),
    Parameter(
        "warm_start", FLAG, False, "let fit continue from the fitted model instead of model",
        # A command has no fitted model; --model DIR continues from a saved one.
        on_command_line=False, resume="resolved"),
    Parameter(
        "callbacks", either(None, CALLBACKS), None,
        "functions or classes to call on every step, evaluation and epoch",
        machine=True, resume="any", pretraining={}),
    Parameter(
        "log_file", either(None, path("the name of a file", "FILE")), None,
        "append a line of JSON for every step, evaluation and epoch to this file",
        machine=True, resume="any", pretraining={}),
    Parameter(
        "hash_every", either(None, whole(1)), None,
        "add a hash of the parameters to the log after every so many steps, with all that is "
        "needed to repeat the run and compare it; needs log_file", "STEPS",
        machine=True, resume="any", summary="changed", pretraining={}),
    Parameter(
        "track_examples", FLAG, False,
        "record how each training text is learned, and audit the data for wrong labels, "
        "near-duplicates and leaks; the command writes examples.csv and audit.csv"),
    Parameter(
        "strip_html", FLAG, False, "remove HTML tags from the texts, in training and prediction",
        pretraining={"help": "remove HTML tags from the texts"}),
    Parameter(
        "precision", one_of(*TRAINING), "auto",
        'precision of training, float32 or bfloat16; weights stay float32; "auto" is bfloat16 '
        "where the processor is faster in it, otherwise float32", "PRECISION", resume="resolved",
        pretraining={}),
    Parameter(
        "inference_precision", one_of(*INFERENCE), "auto",
        'precision of prediction, float32, bfloat16 or int8; "auto" is bfloat16 where the '
        "processor is faster in it, otherwise float32", "PRECISION",
        resume="resolved", at_prediction={}),
    Parameter(
        "inference_long_text", either(None, one_of(*PARTS)), "windows",
        "which part of a long text is read for prediction, and of held-out texts: all of it "
        "(windows), its beginning (head), its end (tail), or both (head+tail)", "PART",
        summary="changed",
        at_prediction={}),
    Parameter(
        "n_threads", either(None, whole(1)), None,
        "number of threads (default: BERTSENT_NUM_THREADS, OMP_NUM_THREADS, or all available "
        "CPUs)", brief="threads to use (default: all CPUs)", aliases=("--threads",),
        machine=True, resume="any", summary="never", at_prediction={}, pretraining={}),
    Parameter(
        "memory_limit", either(None, SIZE), None,
        "most memory for weights, gradients, moments and activations, such as 2GB; batches are "
        "then processed in smaller parts", machine=True, resume="resolved"),
    Parameter(
        "time_budget", either(None, TIME), None,
        "time that training may take, such as 30min; chooses max_length, freeze_layers and the "
        "number of epochs if they are auto", brief="time that training may take, such as 30min",
        resume="resolved"),
    Parameter(
        "random_state", either(None, RANDOM_STATE, whole(0, 2**32 - 1)), None,
        "seed of the split, the new weights, the order of the texts and dropout",
        brief="seed of all random choices", aliases=("--seed",), resume="resolved",
        summary="never",
        pretraining={"help": "seed of the new weights, the held-out texts, the order of the "
                             "texts, the masked words and dropout"}),
    Parameter(
        "verbose", either(FLAG, whole(0)), 1,
        "0: print nothing, 1: print progress, or one line for each fit in a search of "
        "scikit-learn, 2: print all progress there too",
        resume="any", summary="never", pretraining={}),
)
DEFAULTS = {p.name: p.default for p in PARAMETERS}
CLASSIFICATION = tuple(p for p in PARAMETERS if p.task != "regression")
REGRESSION = tuple(p for p in PARAMETERS if p.task != "classification")
MACHINE = frozenset(p.name for p in PARAMETERS if p.machine)
MEMBER_PARAMETERS = tuple(p.name for p in PARAMETERS if p.per_member)


def without_machine(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that do not concern the machine, also of each member."""
    kept = {name: value for name, value in values.items() if name not in MACHINE}
    if is_list(kept.get("members")):
        kept["members"] = [
            without_machine(own) if isinstance(own, Mapping) else own for own in kept["members"]
        ]
    return kept


def compared_on_resume(
    values: Mapping[str, Any], table: Iterable[Parameter] = PARAMETERS
) -> dict[str, Any]:
    """Return the values that must be the same when a run is resumed."""
    same = {p.name for p in table if p.resume == "same"}
    return {name: value for name, value in values.items() if name in same}


def check_each(values: Mapping[str, Any], table: Iterable[Parameter] = PARAMETERS) -> None:
    """Check each value of a table, and that those for checkpoints are consistent."""
    for parameter in table:
        # An estimator for one task need not have the parameters for the other.
        if parameter.task is None or parameter.name in values:
            parameter.check(values[parameter.name])
    if values["checkpoint_dir"] is None:
        if values["resume"]:
            raise ValueError(
                f"{spell('resume', True)} needs {spell('checkpoint_dir')}, the directory of that "
                "run"
            )
        if values["checkpoint_every"] is not None:
            raise ValueError(
                f"{spell('checkpoint_every', values['checkpoint_every'])} needs "
                f"{spell('checkpoint_dir')}, the directory for the checkpoints"
            )
    if values.get("hash_every") is not None and values["log_file"] is None:
        raise ValueError(
            f"{spell('hash_every', values['hash_every'])} needs {spell('log_file')}, the file for "
            "the hashes"
        )


def check_parameters(values: Mapping[str, Any]) -> None:
    """Check all parameters of a classifier; errors name the allowed values."""
    check_each(values)
    if values["stride"]:
        _check_stride(values)
    members = values["members"]
    if count_members(members) > 1 and values["time_budget"] is not None:
        raise ValueError(
            f"{spell('time_budget', values['time_budget'])} can only plan one model, not "
            f"{spell('members', members)}; use {spell('members', 1)}, or leave out "
            f"{spell('time_budget')}"
        )
    if values.get("few_shot"):
        _check_few_shot(values)
    if values.get("ordinal"):
        _check_ordinal(values)
    elif values.get("class_order") is not None:
        raise ValueError(
            f"{spell('class_order')} needs {spell('ordinal', True)}, which learns the order; pass "
            "both, or neither"
        )
    if is_list(members):
        _check_members(values)


# What has no meaning in a training from few labels: name, what it may be, and why.
_NOT_WITH_FEW = (
    ("teacher", None, "texts are compared with each other, and not with what a teacher says"),
    ("track_examples", False, "the record of each text needs probabilities at every step"),
    ("time_budget", None, "the number of steps follows from that of the labels"),
    ("label_smoothing", 0.0, "texts are compared by their classes, which cannot be smoothed"),
)


def _check_few_shot(values: Mapping[str, Any]) -> None:
    for name, allowed, reason in _NOT_WITH_FEW:
        if values[name] != allowed:
            raise ValueError(
                f"{spell('few_shot', True)} cannot be combined with {spell(name, values[name])}, "
                f"because {reason}; leave out one of them"
            )
    if values["freeze_layers"] == "all":
        raise ValueError(
            f"{spell('few_shot', True)} needs layers to train, but "
            f"{spell('freeze_layers', 'all')} freezes all of them; use a smaller number, or leave "
            "out one of them"
        )


def _check_ordinal(values: Mapping[str, Any]) -> None:
    if values["teacher"] is not None:
        raise ValueError(
            f"{spell('ordinal', True)} cannot be combined with "
            f"{spell('teacher', values['teacher'])}, because the loss of a student compares "
            "classes without their order; leave out one of them"
        )


def _check_members(values: Mapping[str, Any]) -> None:
    for number, own in enumerate(values["members"]):
        unknown = [str(name) for name in own if name not in MEMBER_PARAMETERS]
        if unknown:
            raise ValueError(
                f"{spell('members')}[{number}] has {', '.join(unknown)}, in which members cannot "
                f"differ; they can differ in {', '.join(MEMBER_PARAMETERS)}"
            )
    for number, own in enumerate(member_parameters(values)):
        try:
            check_parameters(own)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{spell('members')}[{number}]: {error}") from None


def _check_stride(values: Mapping[str, Any]) -> None:
    from bertsent.texts import AUTO_LENGTH  # late, because it loads NumPy

    stride, max_length = values["stride"], values["max_length"]
    if "windows" not in (values["long_text"], values["inference_long_text"]):
        raise ValueError(
            f"{spell('stride', stride)} needs {spell('long_text', 'windows')} or "
            f"{spell('inference_long_text', 'windows')}, but {spell('long_text')} is "
            f"{str(values['long_text'])!r}"
        )
    if isinstance(max_length, str):
        max_length = AUTO_LENGTH
    if stride > max_length - 3:
        raise ValueError(
            f"{spell('stride', stride)} leaves no room for new tokens in windows of "
            f"{spell('max_length', max_length)}; expected at most {max_length - 3}"
        )
