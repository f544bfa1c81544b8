"""The parameters of `bertsent.pretrain`: most are those of `BertClassifier`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bertsent.classifier import PARAMETERS, Parameter, check_each, real

_MASK_PROBABILITY = Parameter(
    "mask_probability", real(0, 1, closed="neither"), 0.15,
    "fraction of the tokens to predict, in whole words; 80 % of them are masked, 10 % replaced "
    "and 10 % left as they are", "FRACTION",
)


def _make_table() -> tuple[Parameter, ...]:
    shared = [replace(p, **p.pretraining) for p in PARAMETERS if p.pretraining is not None]
    after = [p.name for p in shared].index("max_grad_norm") + 1
    return (*shared[:after], _MASK_PROBABILITY, *shared[after:])


PRETRAINING = _make_table()


def check_pretraining(values: Mapping[str, Any]) -> None:
    """Check a dictionary of all parameters; errors name the allowed values."""
    check_each(values, PRETRAINING)
