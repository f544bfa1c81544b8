"""How much of a batch is processed at once, so that memory stays below a limit.

The limit covers the memory of the engine: parameters, gradients, both moments, packed copies of
the weights, the best weights of early stopping, and activations. It does not cover texts and
their tokens, Python and its libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bertsent.system import format_size, parse_size
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.model.bert import BertForSequenceClassification

Ints: TypeAlias = "npt.NDArray[np.int64]"


# Tokens of a micro-batch in a training from few labels, without a limit of memory: those of a usual
# step, because texts that do not fit into one micro-batch go forward twice.
FEW_SHOT_TOKENS = 8192


# The engine's own choice of a chunk in csrc/model/attribution.c.
_ATTRIBUTION_TOKENS = 512


class PassTokens(NamedTuple):
    """The number of tokens that are processed at once; 0 means the engine's own choice.

    Attributes
    ----------
    training, scoring : int
    """

    training: int = 0
    scoring: int = 0


# The engine chooses both.
_OWN = PassTokens()


def limit_training(
    model: BertForSequenceClassification, limit: int | str | None, lengths: Ints,
    *, unlimited: PassTokens = _OWN, **how: Any,
) -> PassTokens:
    """Return how many tokens a training run may process at once.

    Parameters
    ----------
    model : BertForSequenceClassification
    limit : int, str or None
        Bytes; None means no limit.
    lengths : ndarray of int
        Tokens of each text.
    unlimited : PassTokens, default=(0, 0)
        What is returned without a limit.
    **how
        As in `training_memory`.

    Returns
    -------
    PassTokens

    Raises
    ------
    ValueError
        Not even one text fits. The message names the smallest possible limit.
    """
    if limit is None:
        return unlimited
    own, fixed, size = _training_sizes(model, lengths, **how)
    what = "train this model: parameters, gradients and moments"
    return _fit(limit, own, fixed, size, lengths, what)


def training_memory(
    model: BertForSequenceClassification, passes: PassTokens, lengths: Ints, **how: Any
) -> int:
    """Return the number of bytes that a training run takes.

    Parameters
    ----------
    model : BertForSequenceClassification
    passes : PassTokens
        From `limit_training`.
    lengths : ndarray of int
        Tokens of each text.
    batch_size, freeze, n_threads : int
        As passed to the engine.
    validation : ndarray of int or None, default=None
        Tokens of each held-out text. These are scored while training keeps its memory.
    keeps_best : bool, default=False
        Whether a copy of the best weights is kept.
    precision, inference_precision : str, default="float32"
        Precision of training steps and of scoring; not "auto".
    cached : int or None, default=None
        Bytes of memory for the output of the frozen layers, 0 if it is in a file, None if it is
        not cached.

    Returns
    -------
    int
    """
    own, fixed, size = _training_sizes(model, lengths, **how)
    tokens = (given or usual for given, usual in zip(passes, own, strict=True))
    return fixed + size(PassTokens(*tokens))


def _training_sizes(
    model: BertForSequenceClassification,
    lengths: Ints,
    *,
    batch_size: int,
    freeze: int,
    n_threads: int,
    validation: Ints | None = None,
    keeps_best: bool = False,
    precision: str = "float32",
    inference_precision: str = "float32",
    cached: int | None = None,
) -> tuple[PassTokens, int, Callable[[PassTokens], int]]:
    """Return the engine's own `PassTokens`, the fixed bytes, and a function for the others."""
    # Parameters, gradients and both moments; an old and a new copy of the best weights.
    fixed = 16 * model._flat.size + 8 * keeps_best * model._trained(freeze).size
    packed = {precision: model._core.packed_size(precision, backward=True)}
    if validation is not None:
        forward = model._core.packed_size(inference_precision)
        packed[inference_precision] = max(forward, packed.get(inference_precision, 0))
    fixed += sum(packed.values()) + (cached or 0)

    def size(passes: PassTokens) -> int:
        offsets = _largest(lengths, passes.training, batch_size)
        how: dict[str, Any] = {"n_threads": n_threads, "precision": precision}
        needed = model._core.pass_size(offsets, freeze=freeze, stored=cached is not None, **how)
        if cached is not None:
            # The cache is filled before the first step, without memory for a backward pass.
            offsets = _largest(lengths, passes.training, len(lengths))
            layers = model._engine["num_hidden_layers"]
            needed = max(needed, model._core.pass_size(offsets, freeze=layers, **how))
        if validation is not None:
            needed += _scoring_size(
                model, validation, passes.scoring, n_threads, inference_precision
            )
        return needed

    own = PassTokens(
        model._core.part_tokens(precision)[0], model._core.part_tokens(inference_precision)[1]
    )
    return own, fixed, size


def limit_scoring(
    model: BertForSequenceClassification,
    limit: int | str | None,
    lengths: Ints,
    *,
    n_threads: int,
    precision: str = "float32",
) -> PassTokens:
    """Return how many tokens scoring may process at once; see `limit_training`."""
    if limit is None or not len(lengths):
        return PassTokens()
    fixed = 4 * model._flat.size + model._core.packed_size(precision)

    def size(passes: PassTokens) -> int:
        return _scoring_size(model, lengths, passes.scoring, n_threads, precision)

    own = PassTokens(*model._core.part_tokens(precision))
    return _fit(limit, own, fixed, size, lengths, "score with this model: its parameters")


def limit_attribution(
    model: BertForSequenceClassification,
    limit: int | str | None,
    lengths: Ints,
    *,
    n_threads: int,
    precision: str = "float32",
    kept: str | None = None,
) -> int:
    """Return how many tokens attribution may process at once; 0 means the engine's own choice.

    `kept` is another precision in which weights are packed already.
    """
    if limit is None or not len(lengths):
        return 0
    fixed = 4 * model._flat.size + model._core.packed_size(precision, backward=True)
    if kept is not None and kept != precision:
        fixed += model._core.packed_size(kept)

    def size(passes: PassTokens) -> int:
        return _scoring_size(model, lengths, passes.scoring, n_threads, precision, keep=True)

    own = PassTokens(0, _ATTRIBUTION_TOKENS)
    return _fit(limit, own, fixed, size, lengths, "explain with this model: its parameters").scoring


def _fit(
    limit: int | str,
    own: PassTokens,
    fixed: int,
    size: Callable[[PassTokens], int],
    lengths: Ints,
    what: str,
) -> PassTokens:
    """Return the largest `PassTokens` that fit. `own` is the engine's own choice."""
    most = parse_size(limit)
    # The engine's choice is halved until it fits; with one token, texts are processed singly.
    for halvings in range(max(own).bit_length()):
        passes = PassTokens(*(max(1, tokens >> halvings) for tokens in own))
        needed = fixed + size(passes)
        if needed <= most:
            return passes if halvings else PassTokens()
    raise ValueError(
        f"{spell('memory_limit', limit)} is too small to {what} take {format_size(fixed)}, and "
        f"one text of {lengths.max()} tokens takes {format_size(needed - fixed)}; the smallest "
        f"possible is {spell('memory_limit', format_size(needed))}. Raise the limit, or lower "
        f"{spell('max_length')} or {spell('n_threads')}"
    )


def _scoring_size(
    model: BertForSequenceClassification, lengths: Ints, tokens: int, n_threads: int,
    precision: str, *, keep: bool = False,
) -> int:
    offsets = _largest(lengths, tokens, len(lengths))
    how: dict[str, Any] = {"keep": keep, "precision": precision}
    together = model._core.pass_size(offsets, n_threads=n_threads, **how)
    if len(lengths) < 2 * n_threads:
        return together
    return max(together, n_threads * model._core.pass_size(offsets, n_threads=1, **how))


def _largest(lengths: Ints, tokens: int, texts: int) -> Ints:
    """Return the offsets of a batch that takes as much as any of that many tokens and texts."""
    longest = int(lengths.max())
    tokens = max(tokens, longest)
    texts = max(1, min(texts, len(lengths), tokens // int(lengths.min())))
    offsets = np.linspace(longest, min(tokens, texts * longest), texts)
    return np.concatenate([[0], offsets]).astype(np.int64)
