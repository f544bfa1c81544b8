"""Resolve "auto" and other shorthand values of parameters."""

import math
from typing import Any

from bertsent.wording import spell

# Peak learning rates for learning_rate="auto": the largest hidden size, and the rate if at least
# the upper layers are trained. If only the head is trained, a much higher rate is
# needed. Those for MiniLM were chosen with benchmarks/learning_rate.py on 1,000 reviews; 2e-5 for
# larger models is one of those in Devlin et al. 2019, and was not measured here.
RATES_BY_HIDDEN_SIZE = ((512, 1e-4), (math.inf, 2e-5))
RATE_ALL_FROZEN = 3e-3
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
