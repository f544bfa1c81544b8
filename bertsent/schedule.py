"""What depends on nothing but seeds and the number of a step or an epoch: rates and order."""

import math
from typing import NamedTuple

import numpy as np


class Seeds(NamedTuple):
    """All the seeds of a run: of new weights, the order of the texts, dropout, and the split."""

    new_weights: int
    order: int
    dropout: int
    split: int


def draw_seeds(random_state):
    """Draw them from a `random_state` as scikit-learn has it."""
    from sklearn.utils import check_random_state

    return Seeds(*check_random_state(random_state).randint(2**31 - 1, size=4).tolist())


def member_seeds(seeds, number):
    """Those of another member: all its own, but for the split; the first one keeps all."""
    if number == 0:
        return seeds
    drawn = np.random.default_rng([*seeds, number]).integers(2**31 - 1, size=3)
    return Seeds(*drawn.tolist(), seeds.split)


def _linear(step, total):
    return (total - step) / max(1, total)


def _cosine(step, total):
    return 0.5 * (1.0 + math.cos(math.pi * step / max(1, total)))


def _constant(step, total):
    return 1.0


_AFTER_WARMUP = {"linear": _linear, "cosine": _cosine, "constant": _constant}


def rate_factor(schedule, step, total, warmup_ratio):
    """Factor of the learning rate at a 0-based step: up from zero, then as the schedule says.

    "linear" and "cosine" (half a wave) fall to zero, which the step after the last would
    reach; "constant" stays.
    """
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return step / warmup
    return _AFTER_WARMUP[schedule](step - warmup, total - warmup)


def group_rates(n_layers, layer_decay, head_factor):
    """Factors of the learning rate for embeddings, each layer, and the head.

    The top layer has 1 and each one below ``layer_decay`` times that of the one above, the
    embeddings as if they were a layer (Sun et al. 2019); the head has ``head_factor``.

    Returns
    -------
    float32 ndarray of shape (n_layers + 2,), or None if all are 1
    """
    below_top = np.arange(n_layers, -1, -1)
    rates = np.append(float(layer_decay) ** below_top, head_factor).astype(np.float32)
    return None if (rates == 1).all() else rates


def epoch_order(n_texts, seed, epoch):
    """Order of the texts in an epoch, which depends on nothing but its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(n_texts)
