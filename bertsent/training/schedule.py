"""Learning rates, seeds and the order of texts: functions of seeds and step numbers only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


class Seeds(NamedTuple):
    """The seeds of a run: for new weights, the order of the texts, dropout, and the split."""

    new_weights: int
    order: int
    dropout: int
    split: int


def draw_seeds(random_state: Any) -> Seeds:
    """Draw the seeds of a run from a `random_state` as in scikit-learn."""
    from sklearn.utils import check_random_state

    return Seeds(*check_random_state(random_state).randint(2**31 - 1, size=4).tolist())


def member_seeds(seeds: Seeds, number: int) -> Seeds:
    """Return the seeds of a member. Member 0 keeps `seeds`; others share only the split."""
    if number == 0:
        return seeds
    drawn = np.random.default_rng([*seeds, number]).integers(2**31 - 1, size=3)
    new_weights, order, dropout = drawn.tolist()
    return Seeds(new_weights, order, dropout, seeds.split)


def _linear(step: float, total: int) -> float:
    return (total - step) / max(1, total)


def _cosine(step: float, total: int) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * step / max(1, total)))


def _constant(step: float, total: int) -> float:
    return 1.0


_AFTER_WARMUP = {"linear": _linear, "cosine": _cosine, "constant": _constant}


def rate_factor(schedule: str, step: float, total: int, warmup_ratio: float) -> float:
    """Return the factor of the learning rate at a step, counted from 0.

    The factor rises from 0 to 1 during the warm-up. Then "linear" and "cosine" (half a wave) fall
    to 0, which the step after the last would reach; "constant" stays at 1.
    """
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return step / warmup
    return _AFTER_WARMUP[schedule](step - warmup, total - warmup)


def group_rates(
    n_layers: int, layer_decay: float, head_factor: float
) -> npt.NDArray[np.float32] | None:
    """Return the factors of the learning rate for embeddings, each layer, and the head.

    The factor of the top layer is 1, that of each layer below is ``layer_decay`` times that of
    the layer above, and the embeddings count as a layer (Sun et al. 2019). The factor of the head
    is ``head_factor``.

    Returns
    -------
    ndarray of float32, shape (n_layers + 2,), or None if all factors are 1
    """
    below_top = np.arange(n_layers, -1, -1)
    rates = np.append(float(layer_decay) ** below_top, head_factor).astype(np.float32)
    return None if (rates == 1).all() else rates


def epoch_order(n_texts: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of the texts in an epoch, a permutation of ``range(n_texts)``."""
    return np.random.default_rng([seed, epoch]).permutation(n_texts)


def step_ends(n_texts: int, step_size: int, *, even: bool) -> npt.NDArray[np.int64]:
    """Return where each step of an epoch ends, counted in texts.

    Parameters
    ----------
    n_texts, step_size : int
        Texts in an epoch, and at most in a step.
    even : bool
        Whether the numbers of texts in two steps differ by 1 at most. Otherwise, the last step has
        what is left. The number of steps is the same.

    Returns
    -------
    ndarray of int64, shape (n_steps,)
    """
    n_steps = math.ceil(n_texts / step_size)
    numbers = np.arange(1, n_steps + 1, dtype=np.int64)
    return numbers * n_texts // n_steps if even else np.minimum(numbers * step_size, n_texts)


def balanced_order(
    classes: npt.NDArray[np.integer], seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Return an `epoch_order` in which the texts of each class are spread evenly."""
    order = epoch_order(len(classes), seed, epoch)
    place = np.empty(len(classes))
    for name in np.unique(classes):
        rows = order[classes[order] == name]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return order[np.argsort(place[order], kind="stable")]
