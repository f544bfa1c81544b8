"""The options of the training loop that the parameters of a classifier stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bertsent.classifier.resolve import (
    resolve_epochs,
    resolve_freeze,
    resolve_head_rate,
    resolve_learning_rate,
)
from bertsent.model import PRECISIONS, go_on_in
from bertsent.training import TrainingOptions, group_rates

if TYPE_CHECKING:
    from bertsent.training import Seeds


def make_options(
    parameters: Mapping[str, Any],
    config: Mapping[str, Any],
    seeds: Seeds,
    begun: Mapping[str, Any],
    *,
    validated: bool,
    new_head: bool = False,
) -> TrainingOptions:
    """Return the options of the training loop, with values for "auto" and "all".

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier.
    config : dict
        The engine's configuration of the model.
    seeds : Seeds
    begun : dict
        Description of the run to resume, or empty for a new run.
    validated : bool
        Whether there are held-out texts.
    new_head : bool, default=False
        Whether training begins with a new head.

    Returns
    -------
    TrainingOptions
    """
    given = parameters
    names = PRECISIONS if validated else PRECISIONS[:1]
    n_layers = config["num_hidden_layers"]
    freeze = resolve_freeze(given["freeze_layers"], n_layers)
    rate = resolve_learning_rate(
        given["learning_rate"], config["hidden_size"], n_layers, freeze
    )
    precisions: dict[str, Any] = {
        name: go_on_in(given[name], name, begun.get(name)) for name in names
    }
    head_rate = resolve_head_rate(given, rate, config["hidden_size"], begun, is_new=new_head)
    return TrainingOptions(
        epochs=resolve_epochs(given["epochs"]),
        batch_size=int(given["batch_size"]),
        accumulate_steps=int(given["accumulate_steps"]),
        learning_rate=rate,
        head_learning_rate=None if head_rate == rate else head_rate,
        rates=group_rates(n_layers, given["layer_decay"], head_rate / rate),
        schedule=str(given["schedule"]),
        label_smoothing=float(given["label_smoothing"]),
        weight_decay=float(given["weight_decay"]),
        warmup_ratio=float(given["warmup_ratio"]),
        max_grad_norm=float(given["max_grad_norm"]),
        freeze=freeze,
        freeze_dropout=bool(given["freeze_dropout"]),
        order_seed=seeds.order,
        dropout_seed=seeds.dropout,
        even_steps=bool(given.get("few_shot")),
        eval_every=None if given["eval_every"] is None else int(given["eval_every"]),
        **precisions,
    )
