"""Declaration of parameters: the kind of their values, and everything else in their entry."""

import contextlib
import json
import math
import numbers
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bertsent.classifier.members import is_list
from bertsent.files import MOST_MEMBERS
from bertsent.system import expand_path, parse_size, parse_time
from bertsent.training import import_callbacks, is_callback
from bertsent.wording import phrase, spell


@dataclass(frozen=True)
class Kind:
    """A kind of values that a parameter may have.

    Parameters
    ----------
    phrases : tuple of str
        The allowed values in words, for errors and documentation.
    accepts : callable
        Returns whether a value is allowed.
    convert : callable, default=str
        Converts the text of a flag to a value, or raises a ValueError.
    metavar : str, default="VALUE"
        Placeholder for the value in ``--help``.
    typed : tuple of str or None, default=None
        What the text of a flag may be, in words, such as for values that only Python has. None
        means `phrases`.
    choices : tuple of str, default=()
        Words that may be typed, for suggestions and for completion in a shell.
    """

    phrases: tuple[str, ...]
    accepts: Callable[[Any], bool]
    convert: Callable[[str], object] = str
    metavar: str = "VALUE"
    typed: tuple[str, ...] | None = None
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The allowed values as one phrase."""
        return _alternatives(self.phrases)

    @property
    def allowed_text(self) -> str:
        """What may be typed after the flag, as one phrase."""
        return _alternatives(self.typed or self.phrases)

    def parse(self, text: str) -> object:
        """Return the value for the text of a flag; raise a ValueError if it is not allowed."""
        with contextlib.suppress(ValueError):
            value = self.convert(text)
            if self.accepts(value):
                return value
        raise ValueError(f"expected {self.allowed_text}, got {text!r}")


def _alternatives(phrases: tuple[str, ...]) -> str:
    *others, last = phrases
    return f"{', '.join(others)} or {last}" if others else last


def whole(low: int, high: float = math.inf) -> Kind:
    """Return the kind of whole numbers from `low` to `high`."""
    words = f"of at least {low}" if math.isinf(high) else f"from {low} to {high}"

    def accepts(value: Any) -> bool:
        is_number = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return is_number and low <= value <= high

    return Kind((f"a whole number {words}",), accepts, int, "N")


def real(low: float, high: float = math.inf, closed: str = "both") -> Kind:
    """Return the kind of numbers from `low` to `high`.

    `closed` says which of the two are included: "both", "left", "right" or "neither".
    """
    has_low, has_high = closed in ("both", "left"), closed in ("both", "right")
    if math.isinf(high):
        words = f"of at least {low}" if has_low else f"above {low}"
    else:
        words = (f"from {low}" if has_low else f"above {low}") + (
            f" {'' if has_low else 'and up '}to {high}" if has_high
            else f" {'to' if has_low else 'and'} below {high}"
        )

    def accepts(value: Any) -> bool:
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            return False
        inside = math.isfinite(number) and low <= number <= high
        return inside and (has_low or number != low) and (has_high or number != high)

    return Kind((f"a number {words}",), accepts, float, "X")


def one_of(*choices: str) -> Kind:
    """Return the kind of a few strings."""
    phrases = tuple(f'"{choice}"' for choice in choices)
    return Kind(
        phrases, lambda value: isinstance(value, str) and value in choices,
        metavar="{" + ",".join(choices) + "}", choices=choices,
    )


def path(phrase: str, metavar: str) -> Kind:
    """Return the kind of names in the file system and path-like objects."""
    return Kind(
        (phrase,),
        lambda value: isinstance(value, str) and value.strip() != ""
        or isinstance(value, os.PathLike),
        metavar=metavar,
    )


def either(*kinds: Kind | str | None) -> Kind:
    """Return the union of several kinds, which has the metavar of the last one.

    Strings and None stand for themselves.
    """
    parts = tuple(
        NULL if kind is None else one_of(kind) if isinstance(kind, str) else kind for kind in kinds
    )

    def convert(text: str) -> object:
        for part in parts:
            with contextlib.suppress(ValueError):
                return part.parse(text)
        raise ValueError(text)

    return Kind(
        tuple(phrase for part in parts for phrase in part.phrases),
        lambda value: any(part.accepts(value) for part in parts),
        convert, parts[-1].metavar,
        tuple(
            phrase for part in parts
            for phrase in (part.phrases if part.typed is None else part.typed)
        ),
        tuple(choice for part in parts for choice in part.choices),
    )


def _is_flag(value: object) -> bool:
    import numpy as np  # late, because --help does not need it

    return isinstance(value, bool | np.bool_)


def _is_metric(value: object) -> bool:
    from bertsent.objectives import OBJECTIVES  # likewise

    return isinstance(value, str) and any(
        value in kind.watchable() for kind in OBJECTIVES.values()
    )


def _is_scorer(value: object) -> bool:
    if not isinstance(value, str):
        return callable(value) and not isinstance(value, type)
    from sklearn.metrics import get_scorer_names

    return value in get_scorer_names()


def _is_square(value: object) -> bool:
    import numpy as np

    rows = value.tolist() if isinstance(value, np.ndarray) else value
    return is_list(rows) and len(rows) >= 2 and all(
        is_list(row) and len(row) == len(rows) and all(map(real(-math.inf).accepts, row))
        for row in rows
    )


def _is_random_state(value: object) -> bool:
    import numpy as np

    return value is np.random or isinstance(value, np.random.RandomState)


def _are_teachers(value: object) -> bool:
    if is_list(value):
        return 1 <= len(value) <= MOST_MEMBERS and all(
            not is_list(one) and _are_teachers(one) for one in value
        )
    # BertClassifier itself would load scikit-learn; FrozenEstimator passes its attributes on.
    is_classifier = hasattr(value, "_fitted") and not isinstance(value, type)
    return is_classifier or path("", "").accepts(value)


def _parse_teachers(text: str) -> object:
    if expand_path(text).is_dir():  # its name may have a comma or begin with a bracket
        return text
    if text.startswith("["):
        return json.loads(text)
    names = [name.strip() for name in text.split(",")]
    return names if len(names) > 1 else text


def _parses(parse: Callable[[str], float], value: object) -> bool:
    try:
        return isinstance(value, str) and parse(value) > 0
    except ValueError:
        return False


def _parse_class_weights(text: str) -> dict[str, float]:
    pairs = [part.rpartition("=") for part in text.split(",")]
    if not all(label for label, _, _ in pairs):
        raise ValueError(text)
    return {label.strip(): float(weight) for label, _, weight in pairs}


def _is_order(value: object) -> bool:
    import numpy as np

    labels = value.tolist() if isinstance(value, np.ndarray) else value
    if not is_list(labels) or len(labels) < 2:
        return False
    kinds = (str, bool, numbers.Integral, np.bool_)
    return all(isinstance(label, kinds) for label in labels) and len(set(labels)) == len(labels)


def _parse_order(text: str) -> object:
    # JSON for classes with commas.
    return json.loads(text) if text.startswith("[") else [name.strip() for name in text.split(",")]


NULL = Kind(("None",), lambda value: value is None, typed=())
# A parameter of this kind alone is a flag without a value.
FLAG = Kind(("True", "False"), _is_flag, typed=())
# The metrics of any objective.
_METRICS = (
    "accuracy", "f1", "micro_f1", "macro_f1", "mae", "quadratic_kappa", "rmse", "r2", "spearman",
)
METRIC = Kind(tuple(f'"{name}"' for name in _METRICS), _is_metric, choices=_METRICS)
SCORER = Kind(
    ('a scorer of scikit-learn or its name, such as "roc_auc"',), _is_scorer, metavar="METRIC",
    typed=("the name of a scorer of scikit-learn, such as roc_auc",),
)
PROBABILITY = real(0, 1)
COSTS = Kind(
    ("a square matrix of numbers, a row for each true class and a column for each decision",),
    _is_square,
    json.loads,
    "MATRIX",
    ("a JSON list with a row for each true class, such as [[0,1],[5,0]]",),
)
# For a model that is saved with costs.
OTHER_COSTS = Kind(
    ("None", *COSTS.phrases),
    lambda value: value is None or _is_square(value),
    lambda text: None if text == "none" else json.loads(text),
    "MATRIX",
    (*(COSTS.typed or ()), "none, for the likeliest class"),
)
SIZE = Kind(
    ("a number of bytes", 'a size such as "2GB" or "500MiB"'),
    lambda value: whole(1).accepts(value) or _parses(parse_size, value),
    lambda text: int(text) if text.isdecimal() else text,
    "SIZE",
)
TIME = Kind(
    ("a number of seconds above 0", 'a time such as "90s", "30min" or "1h30min"'),
    lambda value: real(0, closed="right").accepts(value) or _parses(parse_time, value),
    lambda text: text if _parses(parse_time, text) else float(text),
    "TIME",
)
CLASS_WEIGHTS = Kind(
    ("a dictionary of labels and numbers of at least 0",),
    lambda value: isinstance(value, dict) and len(value) > 0
    and all(map(real(0).accepts, value.values())),
    _parse_class_weights,
    "WEIGHTS",
    ("classes and numbers of at least 0, such as negative=1,positive=2.5",),
)
CLASS_ORDER = Kind(
    ("a list of two or more different classes, from the lowest to the highest",),
    _is_order,
    _parse_order,
    "CLASSES",
    ("two or more different classes from the lowest to the highest, such as bad,fair,good",),
)
MEMBER_LIST = Kind(
    (f"a list of 1 to {MOST_MEMBERS} dictionaries",),
    lambda value: is_list(value) and 1 <= len(value) <= MOST_MEMBERS
    and all(isinstance(own, dict) for own in value),
    json.loads,
    "N",
    (f"a JSON list of 1 to {MOST_MEMBERS} objects, such as '[{{\"freeze_layers\": 2}}, {{}}]'",),
)
CALLBACKS = Kind(
    ("a function", "an object with a method such as on_step", "a list of these"),
    lambda value: all(map(is_callback, value if isinstance(value, list | tuple) else [value])),
    import_callbacks,
    "MODULE:NAME[,...]",
    ("MODULE:NAME, or several of these separated by commas",),
)
TEACHER = Kind(
    ("a fitted BertClassifier", "the name of a directory with one", "a list of these"),
    _are_teachers,
    _parse_teachers,
    "DIR[,...]",
    (
        "the name of a directory with a saved model, several separated by commas, or a JSON list "
        "of them",
    ),
)
RANDOM_STATE = Kind(("a numpy RandomState",), _is_random_state, typed=())


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Parameters
    ----------
    name : str
        Name in the signature.
    kind : Kind
        The allowed values.
    default : object
        Default in the signature. It is repeated here so that ``--help`` does not import
        scikit-learn.
    help : str
        Description for ``--help`` and the documentation.
    metavar : str or None, default=None
        Placeholder for the value in ``--help``. None means that of the kind.
    brief : str or None, default=None
        One line for the short help of the command line. None leaves the flag to ``--help-all``.
    aliases : tuple of str, default=()
        Further flags.
    on_command_line : bool, default=True
        Whether the parameter has a flag.
    resume : {"same", "resolved", "any"}, default="same"
        Whether a resumed run requires the same value, a value with the same effect (such as
        another name of the same model), or allows any value.
    per_member : bool, default=False
        Whether members may have their own value.
    summary : {"always", "changed", "never"}, default="always"
        When ``bertsent train`` lists the parameter before training; "changed" means only if it
        is not the default.
    at_prediction : dict or None, default=None
        The fields that differ in ``bertsent evaluate`` and ``predict``. None means that they do
        not have the flag.
    machine : bool, default=False
        Whether the parameter concerns the machine or the run: paths, threads, memory and so on.
        It is not saved with a model, because a model that is opened must not choose what is
        written, and the machine may be another one.
    pretraining : dict or None, default=None
        The fields that differ in `bertsent.pretrain`. None means that `pretrain` does not have
        the parameter.
    task : {"classification", "regression"} or None, default=None
        Whether only `BertClassifier` or only `BertRegressor` has the parameter. None means both.
    """

    name: str
    kind: Kind
    default: object
    help: str
    metavar: str | None = None
    brief: str | None = None
    aliases: tuple[str, ...] = ()
    on_command_line: bool = True
    resume: Literal["same", "resolved", "any"] = "same"
    per_member: bool = False
    summary: Literal["always", "changed", "never"] = "always"
    at_prediction: Mapping[str, Any] | None = None
    machine: bool = False
    pretraining: Mapping[str, Any] | None = None
    task: Literal["classification", "regression"] | None = None

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return self.kind.allowed

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags on the command line."""
        return (*self.aliases, "--" + self.name.replace("_", "-"))

    def check(self, value: object) -> None:
        """Raise if the value is not allowed."""
        if not self.kind.accepts(value):
            error = TypeError if isinstance(value, bytes | list | dict | tuple) else ValueError
            # Where a command has a value that is no flag, it was written as JSON.
            typed = "true or false" if self.kind is FLAG else self.kind.allowed_text
            allowed = phrase(python=self.allowed, command=typed)
            raise error(f"{spell(self.name, value)} is not allowed; expected {allowed}")
