"""Plan a training run for a given time: `BertClassifier(time_budget=)`.

The machine is measured briefly. Then, of all settings that can be chosen, those are taken that are
worth the most with as many texts as there is time for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.classifier.resolve import resolve_epochs, resolve_freeze
from bertsent.classifier.survey import survey_work
from bertsent.hub import length_limit
from bertsent.system import format_seconds, format_time
from bertsent.texts import AUTO_LENGTH, are_pairs, most_shared, resolve_max_length, thin_out
from bertsent.training import MARGIN, SLACK
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.survey import Work
    from bertsent.classifier.teacher import Lesson
    from bertsent.model import BertForSequenceClassification, Rates
    from bertsent.texts import Labelled, Text
    from bertsent.tokenizer import Tokenizer
    from bertsent.training import Budget, TrainingOptions

# What can be chosen, in the order of preference among settings that are worth the same: epochs,
# max_length, and fraction of frozen layers.
EPOCHS = (1, 2, 3)
LENGTHS = (512, 256, 128)
FROZEN = (0.0, 0.5)
# What training is worth, measured in tokens that are read once. benchmarks/recipes_curve.py fitted
# these numbers to the log loss of MiniLM on film reviews (docs/recipes.md). It falls with the
# number of tokens, whether there are more texts, longer ones, or a second epoch. A third epoch is
# worth less. Tokens beyond 256 of a text were worth nothing; the small number makes use of time
# that is left. Freezing half of the layers costs nothing. For larger models, the worth of a second
# epoch comes from one comparison with all-mpnet-base-v2, and that of a third is assumed.
EPOCHS_WORTH = ((512, (1.0, 2.0, 2.7)), (math.inf, (1.0, 1.7, 2.1)))  # by hidden size
FULL_TOKENS = 256
WORTH_BEYOND = 0.05
# The parameters that are chosen.
CHOSEN = ("epochs", "max_length", "freeze_layers")
# Steps are planned for this fraction of the time that is left for them. If other programs slow
# down the machine, a run still finishes on time: it skips steps, and its learning rate follows the
# time.
FILLED = 0.95
# With fewer steps, nothing is learned.
LEAST_STEPS = 10
# Assumed speed of writing a checkpoint, before the first one, in bytes per second: a slow disk.
WRITTEN = 1e8
# Measuring takes this fraction of the budget, but at most this number of seconds.
MEASURED_PART = 0.05
MOST_MEASURED = 10.0


class Rung(NamedTuple):
    """One set of values that can be chosen.

    Attributes
    ----------
    epochs, max_length, freeze : int
    """

    epochs: int
    max_length: int
    freeze: int


def list_rungs(
    parameters: Mapping[str, Any], limit: int, n_layers: int, special: int = 2
) -> list[Rung]:
    """List the settings that can be chosen for a model, in the order of preference.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier. Values other than "auto" are kept.
    limit : int
        The largest length that can be chosen (`bertsent.hub.length_limit`).
    n_layers : int
        Number of layers of the model.
    special : int, default=2
        Number of special tokens of a sequence.

    Returns
    -------
    list of Rung
        Without a time budget, there is a single one.
    """
    plans: list[dict[str, Any] | None] = [None]
    if parameters["time_budget"] is not None:
        plans = [
            {
                "epochs": epochs,
                "max_length": min(length, limit),
                "freeze_layers": int(part * n_layers),
            }
            for part, epochs, length in itertools.product(FROZEN, EPOCHS, LENGTHS)
        ]
    rungs = []
    for plan in plans:
        chosen = settle(parameters, plan, limit)
        rungs.append(Rung(
            int(chosen["epochs"]), int(chosen["max_length"]),
            resolve_freeze(chosen["freeze_layers"], n_layers),
        ))
    rungs = list(dict.fromkeys(rungs))
    # Windows need room for more than the tokens that they share.
    return [
        rung for rung in rungs if most_shared(rung.max_length, special) >= parameters["stride"]
    ] or rungs


def settle(
    parameters: Mapping[str, Any], plan: Mapping[str, Any] | None, limit: int
) -> dict[str, Any]:
    """Return the parameters with the values of a plan, or without a budget, in place of "auto".

    Without a plan, the length is not larger than `limit`.
    """
    chosen: Mapping[str, Any] = plan or {
        "epochs": resolve_epochs("auto"),
        "max_length": resolve_max_length("auto", limit),
        "freeze_layers": resolve_freeze("auto", 0),
    }
    return dict(parameters) | {name: chosen[name] for name in CHOSEN if parameters[name] == "auto"}


def choose(
    rungs: list[Rung],
    work: Work,
    rates: Rates,
    *,
    budget: float = math.inf,
    used: float = 0.0,
    saving: float = 0.0,
) -> dict[str, Any]:
    """Choose the settings that are worth the most within a budget, and the number of texts.

    Parameters
    ----------
    rungs : list of Rung
        The first one of several that are worth the same is chosen.
    work : Work
    rates : Rates
    budget : float, default=inf
        Total time in seconds.
    used : float, default=0.0
        Seconds that have passed.
    saving : float, default=0.0
        Seconds that a checkpoint takes; 0 if there are none.

    Returns
    -------
    dict
        ``epochs``, ``max_length``, ``freeze_layers``; the number of ``texts`` to train on, of
        ``all_texts``, of ``steps`` and ``evaluations``; and in seconds ``budget``, ``used`` before
        training, ``frozen`` for computing frozen layers once, ``training`` including that,
        ``evaluation`` for all evaluations, and ``checkpoint`` for the last checkpoint.

    Raises
    ------
    ValueError
        The budget is too short. The message names the shortest possible one.
    """
    usable, all_texts = budget, len(work.train)
    if not math.isinf(budget):
        usable = budget - used - MARGIN * saving - 2 * SLACK * budget
    ways = [_Way(rung, work, rates) for rung in rungs]
    least = min(all_texts, LEAST_STEPS * work.step_size)
    fitting = [way for way in ways if way.texts_within(usable) >= least]
    if not fitting:
        way = min(ways, key=lambda way: way.room(least))
        shortest = way.training(least) + way.evaluation(least)
        needed = (used + way.room(least) + MARGIN * saving) / (1 - 2 * SLACK)
        raise ValueError(
            f"{spell('time_budget')} of {budget:g} seconds is too short: "
            f"{format_seconds(used)} pass before training begins, and {least:,} of "
            f"{all_texts:,} texts with "
            f"{spell('epochs', way.rung.epochs)}, {spell('max_length', way.rung.max_length)} "
            f"and {spell('freeze_layers', way.rung.freeze)}, including evaluations, would take "
            f"{format_seconds(shortest)}; the shortest possible is about "
            f"{spell('time_budget', format_time(needed))}"
        )
    way = max(fitting, key=lambda way: way.worth(way.texts_within(usable)))
    texts = way.texts_within(usable)
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
        "frozen": round(way.frozen(texts), 3),
        "training": round(way.training(texts), 3),
        "evaluation": round(way.evaluation(texts), 3),
        "checkpoint": saving,
    }


class _Way:
    """A rung with the times in seconds that it takes for a given number of training texts.

    Attributes
    ----------
    job : dict
    """

    def __init__(self, rung: Rung, work: Work, rates: Rates) -> None:
        self.rung, self.all_texts, self.step_size = rung, len(work.train), work.step_size
        found, self.job = work.seconds(rung, rates)
        self._frozen: float = found["frozen"]
        self._steps: float = found["steps"]
        self._evaluation: float = found["evaluation"]
        self._worth = worth(rung.epochs, work.read(rung.max_length), work.hidden_size)
        # With fewer texts, fewer are held out.
        self.shared = work.parameters["validation_fraction"] is not None

    def worth(self, texts: int) -> float:
        """Return what training on so many texts is worth."""
        return self._worth * texts / self.all_texts

    def frozen(self, texts: int) -> float:
        """Return the time for computing the frozen layers, if that is done once."""
        return self._frozen * texts / self.all_texts

    def training(self, texts: int) -> float:
        """Return the time for the frozen layers and all steps."""
        return self._steps * texts / self.all_texts + self.frozen(texts)

    def evaluation(self, texts: int) -> float:
        """Return the time for all evaluations."""
        return self._evaluation * (texts / self.all_texts if self.shared else 1)

    def room(self, texts: int) -> float:
        """Return the time that is reserved for all of it."""
        return self.training(texts) / FILLED + MARGIN * self.evaluation(texts)

    def texts_within(self, seconds: float) -> int:
        """Return the number of texts for which there is time; if not all, of whole steps."""
        if self.room(self.all_texts) <= seconds:
            return self.all_texts
        fixed = self.room(0)
        most = (seconds - fixed) * self.all_texts / (self.room(self.all_texts) - fixed)
        return max(0, int(most)) // self.step_size * self.step_size


def worth(epochs: int, read: npt.NDArray[np.int64], hidden_size: int) -> float:
    """Return what training on texts is worth, given the tokens that are read of each."""
    gains = next(gains for size, gains in EPOCHS_WORTH if hidden_size <= size)
    gain = float(np.interp(epochs, EPOCHS, gains))
    full = np.minimum(read, FULL_TOKENS)
    return gain * float((full + WORTH_BEYOND * (read - full)).sum())


def plan_worth(plan: Mapping[str, Any], work: Work) -> float:
    """Return what a plan is worth, in tokens that are read once."""
    whole = worth(plan["epochs"], work.read(plan["max_length"]), work.hidden_size)
    return whole * float(plan["texts"]) / float(plan["all_texts"])


def begin(budget: Budget, plan: Mapping[str, Any]) -> None:
    """Tell a budget when training begins, and the planned times of its parts."""
    budget.begin(
        plan["used"] + plan["frozen"], step=(plan["training"] - plan["frozen"]) / plan["steps"],
        evaluation=plan["evaluation"] / max(1, plan["evaluations"]),
        checkpoint=plan["checkpoint"],
    )


def keep_to(
    plan: Mapping[str, Any], train: Labelled, validation: Labelled | None, seed: int
) -> tuple[Labelled, Labelled | None]:
    """Leave out texts for which a plan has no time, and held-out texts in proportion.

    Parameters
    ----------
    plan : dict
    train, validation : Labelled
        `validation` may be None. If it was not split off from the training texts, it is kept.
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


def describe_plan(plan: Mapping[str, Any]) -> str:
    """Return a plan for a time budget as one line."""
    texts = f"{plan['texts']:,}"
    if plan["texts"] < plan["all_texts"]:
        texts += f" of {plan['all_texts']:,}"
    total = plan["used"] + plan["training"] + plan["evaluation"]
    named = f"{spell('model', plan['model'])}, " if "model" in plan else ""
    line = (
        f"plan for {format_seconds(plan['budget'])}: {named}{spell('epochs', plan['epochs'])} over "
        f"{texts} texts ({plan['steps']:,} steps), {spell('max_length', plan['max_length'])}, "
        f"{spell('freeze_layers', plan['freeze_layers'])}; about {format_seconds(total)}: "
        f"{format_seconds(plan['used'])} used so far, {format_seconds(plan['training'])} training"
    )
    if "teacher" in plan:
        line = line.replace(
            " used so far", f" before it ({format_seconds(plan['teacher'])} scoring by the teacher)"
        )
    if plan["evaluations"]:
        line += f", {format_seconds(plan['evaluation'])} evaluation"
    return line


def describe_limit(
    parameters: Mapping[str, Any], raw: Mapping[str, Any], chosen: int
) -> str | None:
    """Return a line about the length of a sentence encoder if it limits ``max_length="auto"``.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier.
    raw : dict
        The configuration of the model, as in ``config.json``.
    chosen : int
        The length that was chosen.
    """
    if parameters["max_length"] != "auto":
        return None
    most = AUTO_LENGTH if parameters["time_budget"] is None else max(LENGTHS)
    limit = length_limit(raw, {"max_position_embeddings": most})
    if limit == most or chosen < limit:
        return None
    return (
        f"{spell('max_length', limit)} is the most that is chosen for this model, because it was "
        "trained with texts of up to this length (max_seq_length)"
    )


def plan_time(
    budget: Budget,
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    options: TrainingOptions,
    parameters: dict[str, Any],
    texts: Sequence[Text],
    validation: Sequence[Text],
    *,
    n_threads: int,
    learns_held_out: bool,
    saves: bool,
    lesson: Lesson | None = None,
    rows: npt.NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Measure the machine and plan a run of `BertClassifier.fit`.

    Parameters
    ----------
    budget : Budget
    model, tokenizer, options, parameters, texts, validation, n_threads, learns_held_out
        As for `bertsent.classifier.survey.survey_work`.
    saves : bool
        Whether checkpoints are written.
    lesson : Lesson or None, default=None
        Teachers who score the texts before training.
    rows : ndarray of int or None, default=None
        Numbers of the training texts in the lesson.

    Returns
    -------
    dict
        As returned by `choose`. With a lesson, also ``teacher``, the seconds of scoring, which are
        part of ``used``.
    """
    seconds, scoring = measuring_time(budget), 0.0
    if lesson is not None and rows is not None:
        seconds /= 2
        scoring = round(lesson.estimate(rows, seconds), 3)
    plan, _ = survey_plan(
        budget, model, tokenizer, options, parameters, texts, validation, n_threads=n_threads,
        learns_held_out=learns_held_out, seconds=seconds, scoring=scoring,
        saving=round(12 * model._flat.size / WRITTEN, 3) if saves else 0.0,
    )
    return plan if lesson is None else plan | {"teacher": scoring}


def measuring_time(budget: Budget) -> float:
    """Return how many seconds of a budget measuring may take."""
    return min(MOST_MEASURED, MEASURED_PART * budget.seconds)


def survey_plan(
    budget: Budget,
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    options: TrainingOptions,
    parameters: dict[str, Any],
    texts: Sequence[Text],
    validation: Sequence[Text],
    *,
    n_threads: int,
    learns_held_out: bool,
    seconds: float,
    scoring: float = 0.0,
    saving: float = 0.0,
) -> tuple[dict[str, Any], Work]:
    """Measure a model and return its best plan within a budget, and the work.

    Parameters
    ----------
    budget : Budget
    model, tokenizer, options, parameters, texts, validation, n_threads, seconds, learns_held_out
        As for `bertsent.classifier.survey.survey_work`.
    scoring : float, default=0.0
        Seconds that teachers take.
    saving : float, default=0.0
        As for `choose`.
    """
    config = model._engine
    rungs = list_rungs(
        parameters, length_limit(model._config, config), config["num_hidden_layers"],
        tokenizer.num_special_tokens_to_add(are_pairs(texts)),
    )
    rungs, work, rates = survey_work(
        rungs, model, tokenizer, options, parameters, texts, validation, n_threads=n_threads,
        seconds=seconds, learns_held_out=learns_held_out,
    )
    used = budget.used + scoring
    return choose(rungs, work, rates, budget=budget.seconds, used=used, saving=saving), work
