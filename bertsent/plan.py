"""What a training run is made of so that it ends in a given time: `BertClassifier(time_budget=)`.

The machine is measured for a moment, and then the first rung of a ladder is taken that fits.
"""

import math
from typing import NamedTuple

from bertsent.budget import MARGIN, SLACK, format_time
from bertsent.parameters import resolve_epochs, resolve_freeze, resolve_max_length
from bertsent.progress import format_seconds
from bertsent.split import thin_out
from bertsent.survey import survey

# Epochs, max_length and part of the layers that is frozen, best first; what a user has set takes
# the place of a column. The third epoch goes first, as each brings less than the one before; then
# what is longer than 256 tokens, which most reviews hardly are; the second epoch. That half of the
# layers learn goes before texts do: on IMDB half of MiniLM frozen and half as many texts again was
# as good in the same time (docs/recipes.md). So was 128 tokens of more texts beside 256 of fewer.
LADDER = (
    (3, 512, 0.0),
    (2, 512, 0.0),
    (3, 256, 0.0),
    (2, 256, 0.0),
    (1, 256, 0.0),
    (1, 256, 0.5),
    (1, 128, 0.5),
)
# The parameters that have a column.
CHOSEN = ("epochs", "max_length", "freeze_layers")
# The steps are planned for this part of the time that is left for them. If others want the
# processor, too, a run ends in time by not going through all of them, at a learning rate that
# follows the time.
FILLED = 0.95
# Fewer steps teach nothing.
LEAST_STEPS = 10
# Bytes a second at which a checkpoint is thought to be written, before there was one: a slow disk.
WRITTEN = 1e8
# Measuring takes this part of the budget, and no more than so many seconds.
MEASURED_PART = 0.05
MOST_MEASURED = 10.0


class Rung(NamedTuple):
    """One of the choices.

    Attributes
    ----------
    epochs, max_length, freeze : int
    """

    epochs: int
    max_length: int
    freeze: int


def list_rungs(parameters, positions, n_layers):
    """What may be chosen for a model, best first; without a time budget that is one rung.

    Parameters
    ----------
    parameters : dict
        Those of the classifier; what is not "auto" stays.
    positions, n_layers : int
        Of the model.

    Returns
    -------
    list of Rung
    """
    plans = [None]
    if parameters["time_budget"] is not None:
        plans = [
            {
                "epochs": epochs,
                "max_length": min(length, positions),
                "freeze_layers": int(part * n_layers),
            }
            for epochs, length, part in LADDER
        ]
    rungs = []
    for plan in plans:
        chosen = settle(parameters, plan, positions)
        rungs.append(Rung(
            int(chosen["epochs"]), int(chosen["max_length"]),
            resolve_freeze(chosen["freeze_layers"], n_layers),
        ))
    rungs = list(dict.fromkeys(rungs))
    # Windows need room for more than what they have in common.
    return [rung for rung in rungs if rung.max_length - 3 >= parameters["stride"]] or rungs


def settle(parameters, plan, positions):
    """The parameters with numbers in the place of "auto": what a plan has chosen, or no budget."""
    chosen = plan or {
        "epochs": resolve_epochs("auto"),
        "max_length": resolve_max_length("auto", positions),
        "freeze_layers": resolve_freeze("auto", 0),
    }
    return parameters | {name: chosen[name] for name in CHOSEN if parameters[name] == "auto"}


def choose(rungs, work, rates, *, budget=math.inf, used=0.0, saving=0.0):
    """Take the first rung that fits.

    Parameters
    ----------
    rungs : list of Rung
        Best first.
    work : Work
    rates : Rates
    budget : float
        Seconds in all; the first rung always fits infinity.
    used : float
        Seconds that are over.
    saving : float
        Seconds that a checkpoint takes; 0 where there is none.

    Returns
    -------
    dict
        ``epochs``, ``max_length``, ``freeze_layers``; ``texts`` to train on of ``all_texts``;
        ``steps``, ``evaluations``; and in seconds ``budget``, ``used`` before training,
        ``training``, ``evaluation`` for all evaluations, and ``checkpoint`` for the last one.

    Raises
    ------
    ValueError
        Not even the least fits; it is named.
    """
    usable, all_texts = budget, len(work.train)
    if not math.isinf(budget):
        usable = budget - used - MARGIN * saving - 2 * SLACK * budget
    ways = [_Way(rung, work, rates) for rung in rungs]
    way = next((way for way in ways if way.room(all_texts) <= usable), None)
    texts = all_texts
    if way is None:
        way = min(ways, key=lambda way: way.room(all_texts))
        texts = way.most_texts(usable) // work.step_size * work.step_size
        least = min(all_texts, LEAST_STEPS * work.step_size)
        if texts < least:
            shortest = way.training(least) + way.evaluation(least)
            needed = (used + way.room(least) + MARGIN * saving) / (1 - 2 * SLACK)
            raise ValueError(
                f"a time_budget of {budget:g} seconds is too little: {format_seconds(used)} are "
                f"used before training begins, and {least:,} of {all_texts:,} texts at "
                f"epochs={way.rung.epochs}, max_length={way.rung.max_length} and "
                f"freeze_layers={way.rung.freeze}, with evaluations, would take "
                f"{format_seconds(shortest)}; the least is about "
                f"time_budget={format_time(needed)!r}"
            )
    return {
        "epochs": way.rung.epochs,
        "max_length": way.rung.max_length,
        "freeze_layers": way.rung.freeze,
        "texts": texts,
        "all_texts": all_texts,
        "steps": way.rung.epochs * math.ceil(texts / work.step_size),
        "evaluations": way.job["evaluations"],
        "budget": budget,
        "used": round(used, 3),
        "training": round(way.training(texts), 3),
        "evaluation": round(way.evaluation(texts), 3),
        "checkpoint": saving,
    }


class _Way:
    """A rung with what it takes, in seconds, if there are only so many texts to train on.

    Attributes
    ----------
    job : dict
    """

    def __init__(self, rung, work, rates):
        self.rung, self.texts = rung, len(work.train)
        found, self.job = work.seconds(rung, rates)
        self._steps, self._evaluation = found["steps"], found["evaluation"]
        # With fewer texts fewer are held out.
        self.shared = work.parameters["validation_fraction"] is not None

    def training(self, texts):
        """Of all steps."""
        return self._steps * texts / self.texts

    def evaluation(self, texts):
        """Of all evaluations."""
        return self._evaluation * (texts / self.texts if self.shared else 1)

    def room(self, texts):
        """What is set aside for both."""
        return self.training(texts) / FILLED + MARGIN * self.evaluation(texts)

    def most_texts(self, seconds):
        """How many texts there is room for."""
        fixed = self.room(0)
        return int((seconds - fixed) * self.texts / (self.room(self.texts) - fixed))


def begin(budget, plan):
    """Let a budget know when training begins by its plan, and how long things are to take."""
    budget.begin(
        plan["used"], step=plan["training"] / plan["steps"],
        evaluation=plan["evaluation"] / max(1, plan["evaluations"]),
        checkpoint=plan["checkpoint"],
    )


def keep_to(plan, train, validation, seed):
    """As many of the texts as a plan has time for, those held out of them in proportion.

    Parameters
    ----------
    plan : dict
    train, validation : Labelled
        `validation` may be None, or of another origin; then it stays.
    seed : int

    Returns
    -------
    train, validation : Labelled
    """
    part = plan["texts"] / len(train.texts)
    if part < 1:
        train = thin_out(train, part, seed)
        if validation is not None and validation.rows is not None:
            validation = thin_out(validation, part, seed)
    return train, validation


def describe_plan(plan):
    """A plan for a time budget as a line."""
    texts = f"{plan['texts']:,}"
    if plan["texts"] < plan["all_texts"]:
        texts += f" of {plan['all_texts']:,}"
    total = plan["used"] + plan["training"] + plan["evaluation"]
    line = (
        f"plan for {format_seconds(plan['budget'])}: epochs={plan['epochs']} over {texts} texts "
        f"({plan['steps']:,} steps), max_length={plan['max_length']}, "
        f"freeze_layers={plan['freeze_layers']}; about {format_seconds(total)}: "
        f"{format_seconds(plan['used'])} used so far, {format_seconds(plan['training'])} training"
    )
    if plan["evaluations"]:
        line += f", {format_seconds(plan['evaluation'])} evaluation"
    return line


def plan_time(
    budget, model, tokenizer, recipe, parameters, texts, validation, *, n_threads, saves
):
    """Measure the machine and plan a run of `BertClassifier.fit`.

    Parameters
    ----------
    budget : Budget
    model, tokenizer, recipe, parameters, texts, validation, n_threads
        As for `bertsent.survey.survey`.
    saves : bool
        Whether there are checkpoints.

    Returns
    -------
    dict
        As `choose` gives it.
    """
    config = model.config
    rungs = list_rungs(
        parameters, config["max_position_embeddings"], config["num_hidden_layers"]
    )
    found = survey(
        rungs, model, tokenizer, recipe, parameters, texts, validation, n_threads=n_threads,
        seconds=min(MOST_MEASURED, MEASURED_PART * budget.seconds),
    )
    saving = round(12 * model._flat.size / WRITTEN, 3) if saves else 0.0
    return choose(*found, budget=budget.seconds, used=budget.used, saving=saving)
