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


def linear_schedule(step, total, warmup_ratio):
    """Factor of the learning rate at a 0-based step: up from zero, then down to zero."""
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return step / warmup
    return (total - step) / max(1, total - warmup)


def epoch_order(n_texts, seed, epoch):
    """Order of the texts in an epoch, which depends on nothing but its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(n_texts)
