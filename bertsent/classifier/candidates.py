"""Choose between the models that are installed: `BertClassifier(model="auto")`.

A large model learns more from the same tokens, but reads fewer of them in the same time. So for a
time budget, each model gets its best plan, and the one with the lowest expected loss is trained.
Without a budget, it is the largest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bertsent.classifier.opening import open_shape
from bertsent.classifier.options import make_options
from bertsent.classifier.parameters import AUTO_MODEL, DEFAULTS
from bertsent.classifier.plan import measuring_time, plan_worth, survey_plan
from bertsent.hub import is_at_hand

if TYPE_CHECKING:
    from bertsent.texts import Text
    from bertsent.training import Budget, Seeds


class Curve(NamedTuple):
    """The log loss on film reviews: ``floor + scale * (worth / 1e6) ** -power``."""

    floor: float
    scale: float
    power: float

    def loss(self, worth: float) -> float:
        """Return the log loss after training that is worth so many tokens."""
        if worth <= 0.0:
            return math.inf
        return self.floor + self.scale * math.pow(worth / 1e6, -self.power)


# The models to choose from, each with its curve, as benchmarks/recipes_curve.py fitted it
# (docs/recipes.md). Only the order of the models is used, as other texts have other losses.
CURVES: Mapping[str, Curve] = {
    "minilm": Curve(0.213, 0.046, 0.73),
    "mpnet": Curve(0.145, 0.031, 0.73),
}


def choose_model(
    parameters: Mapping[str, Any],
    n_outputs: int,
    texts: Sequence[Text],
    validation: Sequence[Text],
    budget: Budget,
    seeds: Seeds,
    n_threads: int,
    *,
    learns_held_out: bool,
    scoring: float = 0.0,
) -> str:
    """Return the name of the model that is expected to be best within a budget, or without one.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier.
    n_outputs : int
        Number of outputs of the head.
    texts, validation : list of str, or of pairs
        Training texts, and held-out texts.
    budget : Budget
    seeds : Seeds
    n_threads : int
    learns_held_out : bool
        Whether the held-out texts, if there are any, are scored once more after training.
    scoring : float, default=0.0
        Seconds that are still to pass before training, such as those of a teacher.

    Returns
    -------
    str
        A key of `CURVES`.

    Raises
    ------
    ValueError
        The budget or the memory is too small for all of them.
    """
    names = find_candidates()
    if len(names) == 1 or not budget.is_limited:
        return names[-1]
    expected: dict[str, float] = {}
    problems = []
    for name in names:
        model, tokenizer = open_shape(name, parameters["pooling"], n_outputs)
        try:
            options = make_options(
                parameters, model._engine, seeds, {}, validated=bool(validation)
            )
            plan, work = survey_plan(
                budget, model, tokenizer, options, dict(parameters), texts, validation,
                n_threads=n_threads, learns_held_out=learns_held_out,
                seconds=measuring_time(budget) / len(names), scoring=scoring,
            )
        except ValueError as problem:
            problems.append(problem)
            continue
        expected[name] = CURVES[name].loss(plan_worth(plan, work))
    if not expected:
        raise problems[0]  # that of the smallest model
    return min(expected, key=expected.__getitem__)


def chosen_before(begun: Mapping[str, Any]) -> str | None:
    """Return the model that was chosen for a run which is resumed or repeated."""
    name = (begun.get("time_plan") or {}).get("model")
    return next((known for known in CURVES if known == name), None)


def named_model(parameters: Mapping[str, Any]) -> str:
    """Return the model of parameters that plan no time: for "auto", the largest one."""
    model = parameters["model"]
    return find_candidates()[-1] if model == AUTO_MODEL else model


def find_candidates() -> list[str]:
    """Return the models to choose from, the smallest first: those that need no download.

    If there are none, it is the default model, for which the hub is asked as always.
    """
    return [name for name in CURVES if is_at_hand(name)] or [str(DEFAULTS["model"])]
