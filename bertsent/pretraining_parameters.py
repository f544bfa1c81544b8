"""The parameters of `bertsent.pretrain`: most are those of `BertClassifier`."""

from dataclasses import replace

from bertsent.parameters import PARAMETERS, Parameter, check_parameters

# Where they differ from BertClassifier's. 5e-5 is the rate that Sun et al. (2019) pretrained
# further at, with batches of 32 pieces of 128 tokens.
_DEFAULTS = {"max_length": 128, "epochs": 1, "batch_size": 32, "learning_rate": 5e-5}
_HELP = {
    "max_length": "tokens of a piece, [CLS] and [SEP] included; longer texts are cut into several",
    "batch_size": "pieces in one step",
    "learning_rate": "peak learning rate",
    "epochs": "passes over the texts; every one hides other words",
    "validation_fraction": "part of the texts that is held out and scored after every epoch, "
    "always with the same words hidden",
    "strip_html": "take HTML tags out of the texts",
    "random_state": "seed of new weights, of what is held out, of the order of the texts, of "
    "the hidden words and of dropout",
}
# Nothing is chosen here.
_NUMBERS = {"learning_rate": float, "max_length": int, "epochs": int}
_SHARED = (
    "model", "max_length", "epochs", "batch_size", "learning_rate", "weight_decay",
    "warmup_ratio", "schedule", "accumulate_steps", "max_grad_norm", "validation_fraction",
    "eval_every", "checkpoint_dir", "checkpoint_every", "checkpoint_keep", "resume", "callbacks",
    "log_file", "strip_html", "precision", "n_threads", "random_state", "verbose",
)


def _adapted(parameter):
    name = parameter.name
    changes = {"default": _DEFAULTS.get(name, parameter.default)}
    changes["help"] = _HELP.get(name, parameter.help)
    if name in _NUMBERS:
        changes |= {
            "allowed": parameter.allowed.removeprefix('"auto" or '), "parse": _NUMBERS[name],
            "accepts": lambda v: not isinstance(v, str) and parameter.accepts(v),
        }
    return replace(parameter, **changes)


_fraction = next(p.accepts for p in PARAMETERS if p.name == "validation_fraction")

PRETRAINING = (
    *(_adapted(parameter) for parameter in PARAMETERS if parameter.name in _SHARED),
    Parameter(
        "mask_probability",
        "a number above 0 and below 1",
        lambda v: v is not None and _fraction(v),
        float,
        "part of the tokens that is predicted; whole words, 80 %% of them hidden, 10 %% "
        "replaced, 10 %% shown",
        "PART",
        default=0.15,
    ),
)


def check_pretraining(values):
    """Check a dictionary of all parameters; errors name the allowed values."""
    check_parameters(values, PRETRAINING)
