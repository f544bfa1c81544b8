"""How much of a batch goes through the model at once, so that memory stays below a limit.

Counted is what the engine works on: parameters, gradients, both moments, packed copies of
the weights, what early stopping keeps, and the activations. Texts and their tokens, Python
and its libraries come on top.
"""

import math
import re
from typing import NamedTuple

import numpy as np

_UNITS = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)", re.IGNORECASE)


class Plan(NamedTuple):
    """Tokens that go through the model at once; 0 leaves that to the engine.

    Attributes
    ----------
    training, scoring : int
    """

    training: int = 0
    scoring: int = 0


def parse_size(value):
    """Bytes of a number, or of a text such as ``"2GB"`` or ``"1.5 GiB"``."""
    if not isinstance(value, str):
        return int(value)
    found = _SIZE.fullmatch(value.strip())
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is no size")
    size = round(float(found[1]) * _UNITS[found[2].lower()])
    if size < 1:
        raise ValueError(f"{value!r} is no size")
    return size


def format_size(size):
    """A size that `parse_size` reads as at least as many bytes."""
    unit = next(unit for unit in ("GB", "MB", "kB", "B") if size >= _UNITS[unit.lower()])
    number = size / _UNITS[unit.lower()]
    number = math.ceil(number) if number >= 100 else math.ceil(100 * number) / 100
    return f"{number:g}{unit}"


def plan_training(model, limit, lengths, **how):
    """Cut the batches of a training run.

    Parameters
    ----------
    model : BertForSequenceClassification
    limit : int, str or None
        Bytes; None for none.
    lengths : ndarray of int
        Tokens of each text.
    **how
        As for `count_training`.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        Not even one text fits; the least limit is named.
    """
    if limit is None:
        return Plan()
    own, fixed, size = _training_sizes(model, lengths, **how)
    what = "train this model: parameters, gradients and moments"
    return _fit(limit, own, fixed, size, lengths, what)


def count_training(model, plan, lengths, **how):
    """Bytes that a training run takes.

    Parameters
    ----------
    model : BertForSequenceClassification
    plan : Plan
        Of `plan_training`.
    lengths : ndarray of int
        Tokens of each text.
    batch_size, freeze, n_threads : int
        As the engine takes them.
    validation : ndarray of int or None
        Tokens of each text that is scored in between, while training keeps its memory.
    keeps_best : bool
        Whether a copy of the best weights is kept.
    precision, inference_precision : str
        What steps and the scoring in between compute in; not "auto".
    cached : int or None
        Bytes of memory that keep the output of the frozen layers, 0 if a file does, None if they
        are computed anew in every step.

    Returns
    -------
    int
    """
    own, fixed, size = _training_sizes(model, lengths, **how)
    return fixed + size(Plan(*(given or usual for given, usual in zip(plan, own, strict=True))))


def _training_sizes(
    model, lengths, *, batch_size, freeze, n_threads, validation=None, keeps_best=False,
    precision="float32", inference_precision="float32", cached=None,
):
    """The engine's own plan, the bytes that any takes, and a function of a plan for the rest."""
    # Parameters, gradients and both moments; of the best weights the old and a new copy.
    fixed = 16 * model._flat.size + 8 * keeps_best * model._trained(freeze).size
    packed = {precision: model._core.packed_size(precision, backward=True)}
    if validation is not None:
        forward = model._core.packed_size(inference_precision)
        packed[inference_precision] = max(forward, packed.get(inference_precision, 0))
    fixed += sum(packed.values()) + (cached or 0)

    def size(plan):
        offsets = _largest(lengths, plan.training, batch_size)
        how = {"n_threads": n_threads, "precision": precision}
        needed = model._core.pass_size(offsets, freeze=freeze, stored=cached is not None, **how)
        if cached is not None:
            # Once, before the first step, nothing is kept for the way back.
            offsets = _largest(lengths, plan.training, len(lengths))
            layers = model._engine["num_hidden_layers"]
            needed = max(needed, model._core.pass_size(offsets, freeze=layers, **how))
        if validation is not None:
            needed += _scoring_size(
                model, validation, plan.scoring, n_threads, inference_precision
            )
        return needed

    own = Plan(
        model._core.part_tokens(precision)[0], model._core.part_tokens(inference_precision)[1]
    )
    return own, fixed, size


def plan_scoring(model, limit, lengths, *, n_threads, precision="float32"):
    """Cut texts that are scored; as `plan_training`."""
    if limit is None or not len(lengths):
        return Plan()
    fixed = 4 * model._flat.size + model._core.packed_size(precision)

    def size(plan):
        return _scoring_size(model, lengths, plan.scoring, n_threads, precision)

    own = Plan(*model._core.part_tokens(precision))
    return _fit(limit, own, fixed, size, lengths, "score with this model: its parameters")


def _fit(limit, own, fixed, size, lengths, what):
    """The largest plan that fits; `own` is what the engine takes by itself."""
    most = parse_size(limit)
    # That is halved until it fits; in the end, texts go one by one.
    for halvings in range(max(own).bit_length()):
        plan = Plan(*(max(1, tokens >> halvings) for tokens in own))
        needed = fixed + size(plan)
        if needed <= most:
            return plan if halvings else Plan()
    raise ValueError(
        f"memory_limit={limit!r} is too little to {what} take {format_size(fixed)}, and one text "
        f"of {lengths.max()} tokens {format_size(needed - fixed)}; the least is memory_limit="
        f"{format_size(needed)!r}. Raise it, or lower max_length or n_threads"
    )


def _scoring_size(model, lengths, tokens, n_threads, precision):
    offsets = _largest(lengths, tokens, len(lengths))
    how = {"keep": False, "precision": precision}
    together = model._core.pass_size(offsets, n_threads=n_threads, **how)
    if len(lengths) < 2 * n_threads:
        return together
    return max(together, n_threads * model._core.pass_size(offsets, n_threads=1, **how))


def _largest(lengths, tokens, texts):
    """Offsets of what takes at least as much as any part of up to so many tokens and texts."""
    longest = int(lengths.max())
    tokens = max(tokens, longest)
    texts = max(1, min(texts, len(lengths), tokens // int(lengths.min())))
    offsets = np.linspace(longest, min(tokens, texts * longest), texts)
    return np.concatenate([[0], offsets]).astype(np.int64)
