"""Resolve "auto" and other shorthand values of parameters."""

import math
from collections.abc import Mapping
from typing import Any

from bertsent.wording import spell

# Peak learning rates for learning_rate="auto": the largest hidden size, and the rate if at least
# the upper layers are trained. If only the head is trained, a much higher rate is
# needed. Those for MiniLM were chosen with benchmarks/learning_rate.py on 1,000 reviews. Larger
# models: all-mpnet-base-v2 learns as well with 5e-5, and worse with 1e-4 (docs/recipes.md); for
# BERT, 3e-5 is one of those in Devlin et al. 2019, and was not measured here.
RATES_BY_HIDDEN_SIZE = ((512, 1e-4), (math.inf, 3e-5))
RATE_ALL_FROZEN = 3e-3
# The same for a new head of a large model (docs/recipes.md): it begins with random weights, and the
# rate of pretrained layers moves it too little. With the rate of small models, it learns anyway.
HEAD_RATES_BY_HIDDEN_SIZE = ((512, 0.0), (math.inf, 1e-3))
# Values of "auto" without a time budget.
AUTO_EPOCHS = 3
AUTO_FREEZE = 0


def resolve_watched(early_stopping: Any) -> Any:
    """Return what early stopping watches: "loss", the name of a metric, a scorer, or None."""
    if isinstance(early_stopping, str):
        return str(early_stopping)
    if callable(early_stopping):
        return early_stopping
    return "loss" if early_stopping else None


def resolve_epochs(epochs: int | str) -> int:
    """Return the number of epochs without a time budget."""
    return AUTO_EPOCHS if isinstance(epochs, str) else int(epochs)


def resolve_freeze(freeze_layers: int | str, n_layers: int) -> int:
    """Return the number of frozen layers; 0 trains the whole model, including the embeddings."""
    if isinstance(freeze_layers, str) and freeze_layers == "auto":
        return AUTO_FREEZE
    if isinstance(freeze_layers, str):
        return n_layers
    if freeze_layers > n_layers:
        raise ValueError(
            f"{spell('freeze_layers', freeze_layers)} is more than the {n_layers} layers of the "
            f'model; expected "all" or at most {n_layers}'
        )
    return int(freeze_layers)


def resolve_learning_rate(
    learning_rate: float | str, hidden_size: int, n_layers: int, freeze: int
) -> float:
    """Return the peak learning rate."""
    if not isinstance(learning_rate, str):
        return float(learning_rate)
    if freeze == n_layers:
        return RATE_ALL_FROZEN
    return next(rate for size, rate in RATES_BY_HIDDEN_SIZE if hidden_size <= size)


def resolve_head_rate(
    parameters: Mapping[str, Any],
    rate: float,
    hidden_size: int,
    begun: Mapping[str, Any],
    *,
    is_new: bool,
) -> float:
    """Return the peak learning rate of the head.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier. Who passes a `learning_rate` gets it everywhere.
    rate : float
        That of the upper layers.
    hidden_size : int
    begun : dict
        Description of the run to resume, or empty for a new run. Version 0.1 had no "auto".
    is_new : bool
        Whether training begins with a new head.
    """
    given = parameters["head_learning_rate"]
    if begun:
        is_new = begun.get("head_learning_rate") is not None
    if given is None:
        return rate
    if not isinstance(given, str):
        return float(given)
    if not is_new or parameters["learning_rate"] != "auto":
        return rate
    own = next(own for size, own in HEAD_RATES_BY_HIDDEN_SIZE if hidden_size <= size)
    return max(rate, own)
