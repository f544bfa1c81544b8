"""Estimates for `fit` without training: values of "auto", time, memory and disk space."""

from __future__ import annotations

import math
import os
import shutil
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier.candidates import choose_model, find_candidates, named_model
from bertsent.classifier.few_shot import settle_few_shot, usual_passes
from bertsent.classifier.members import is_list, member_parameters
from bertsent.classifier.opening import open_shape
from bertsent.classifier.options import make_options
from bertsent.classifier.parameters import AUTO_MODEL
from bertsent.classifier.plan import (
    CHOSEN,
    MOST_MEASURED,
    Rung,
    choose,
    describe_limit,
    list_rungs,
    settle,
)
from bertsent.classifier.resolve import resolve_freeze, resolve_learning_rate
from bertsent.classifier.survey import memory_options, survey_work
from bertsent.classifier.teacher import Lesson
from bertsent.classifier.words import check_words, limited_seconds
from bertsent.files import hold_directory
from bertsent.hub import length_limit, read_model_shape, resolve_directory
from bertsent.model import BertForSequenceClassification, limit_training, training_memory
from bertsent.objectives import Objective
from bertsent.system import expand_path, read_memory, read_peak, resolve_n_threads
from bertsent.texts import (
    are_pairs,
    check_texts,
    check_training_texts,
    hold_out,
    resolve_max_length,
)
from bertsent.tokenizer import Tokenizer
from bertsent.training import Budget, draw_seeds

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text

# Approximate bytes on disk for each entry of the vocabulary, in the tokenizer's files.
ENTRY = 32


def resolve_auto(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the values that `fit` will use for "auto"; raise if others do not fit the model.

    Those that depend on a model which is still to be chosen stay "auto".
    """
    if parameters["model"] == AUTO_MODEL:
        if parameters["time_budget"] is None:
            return resolve_auto(parameters | {"model": named_model(parameters)})
        values, problems = [], []
        for name in find_candidates():
            try:
                values.append(resolve_auto(parameters | {"model": name}))
            except ValueError as problem:
                problems.append(problem)
        if not values:
            raise problems[0]
        return {
            name: value if all(other[name] == value for other in values) else parameters[name]
            for name, value in values[0].items()
        }
    directory = resolve_directory(parameters["model"], weights=False)
    with hold_directory(directory):
        raw, config = read_model_shape(directory)
    positions, n_layers = config["max_position_embeddings"], config["num_hidden_layers"]
    for own in member_parameters(parameters):
        resolve_max_length(own["max_length"], positions)
        resolve_freeze(own["freeze_layers"], n_layers)
    freeze = resolve_freeze(parameters["freeze_layers"], n_layers)
    rate = resolve_learning_rate(
        parameters["learning_rate"], config["hidden_size"], n_layers, freeze
    )
    epochs = parameters["epochs"]
    if parameters["time_budget"] is None:
        parameters = settle(parameters, None, length_limit(raw, config))
    found = {"learning_rate": rate} | {name: parameters[name] for name in CHOSEN}
    # From few labels, it depends on how many there are.
    return found | {"epochs": epochs} if parameters.get("few_shot") else found


def estimate_fit(
    parameters: Mapping[str, Any], objective_class: type[Objective], X: Any, y: Any, X_test: Any,
    output: str, unlabelled: Any = None,
) -> dict[str, Any]:
    """Estimate what training of all members would take. Nothing is written.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier.
    objective_class : type
        One of `OBJECTIVES`.
    X, y
        Training texts and labels, as for `BertClassifier.fit`.
    X_test : as X
        Test texts.
    output : str
        Directory in which the model would be saved.
    unlabelled : as X, or None, default=None
        Texts without labels.

    Returns
    -------
    dict
        As returned by `estimate_member` for the first member, but with the ``plans`` of members
        that differ, the number of ``members``, the total of ``seconds``, and the maximum of
        ``memory`` and ``disk``.
    """
    all_parameters = member_parameters(parameters)
    alike = not is_list(parameters["members"])
    found = [
        estimate_member(own, objective_class, X, y, X_test, output, unlabelled)
        for own in all_parameters[: 1 if alike else None]
    ]
    times = len(all_parameters) if alike else 1
    memory = max((one["memory"] for one in found), key=lambda memory: memory["model"])
    others = 4 * (len(all_parameters) - 1) * found[0]["weights"]
    seconds = {name: times * sum(one["seconds"][name] for one in found)
               for name in found[0]["seconds"]}
    for name in ("words", "teacher"):  # there is one for all members
        seconds[name] = found[0]["seconds"][name]
    return found[0] | {
        "plans": [one["plan"] for one in found],
        "members": len(all_parameters),
        "tokens": found[0]["tokens"] | {"train": [one["tokens"]["train"] for one in found]},
        "seconds": seconds,
        "memory": memory | {"model": memory["model"] + others},
        "disk": max((one["disk"] for one in found), key=lambda disk: disk["total"]),
    }


def estimate_member(
    parameters: dict[str, Any], objective_class: type[Objective], X: Any, y: Any, X_test: Any,
    output: str, unlabelled: Any = None,
) -> dict[str, Any]:
    """Estimate what one member would take. Parameters are as for `estimate_fit`.

    The machine is measured on a model with random weights, because speed does not depend on them.

    Returns
    -------
    dict
        ``plan``, as returned by `bertsent.classifier.plan.choose`; ``limited``, whether there is a
        time budget; ``limit``, the line of `bertsent.classifier.plan.describe_limit` or None;
        ``precision``; numbers of ``texts`` and ``tokens``; ``seconds``, with those of scoring by a
        teacher if there is one, which all members share; bytes of
        ``memory``, and of ``disk`` for all members; number of ``weights``.
    """
    budget = Budget.of(parameters["time_budget"])
    n_threads = resolve_n_threads(parameters["n_threads"])
    seeds = draw_seeds(parameters["random_state"])
    texts = check_training_texts(X, y, strip=parameters["strip_html"])
    objective, targets = objective_class.learn(y, len(texts), order=parameters.get("class_order"))
    for doubt in objective.describe_doubts(targets):
        warnings.warn(doubt, UserWarning, stacklevel=2)
    objective = objective.configure(parameters, targets)
    parameters = settle_few_shot(parameters, objective, len(texts))
    objective.weigh(targets, None, parameters["class_weight"])  # names unknown classes
    lesson = Lesson.of(parameters, objective, X, y, texts, unlabelled, n_threads)
    held_out, kept = _split(
        texts, objective.strata(targets), parameters["validation_fraction"], seeds.split
    )
    train, validation = ([texts[row] for row in rows] for rows in (kept, held_out))
    scoring = 0.0
    if lesson is not None:
        fresh = lesson.fresh([*train, *validation])
        train += [lesson.unlabelled[row] for row in fresh]
        rows = np.append(kept, len(texts) + np.array(fresh, np.int64))
        scoring = lesson.estimate(rows, MOST_MEASURED / 2)
    words = 0.0
    if parameters["words"]:
        check_words(objective)
        words = limited_seconds([texts[row] for row in kept], len(objective.label_names), budget)
    process = read_peak()
    chosen, n_outputs = None, len(objective.label_names)
    if parameters["model"] == AUTO_MODEL:
        chosen = choose_model(
            parameters, n_outputs, train, validation, budget, seeds, n_threads,
            learns_held_out=objective.learns_held_out, scoring=words + scoring,
        )
        parameters = parameters | {"model": chosen}
    model, tokenizer = open_shape(parameters["model"], parameters["pooling"], n_outputs)
    options = make_options(parameters, model._engine, seeds, {}, validated=True)
    rungs = list_rungs(
        parameters, length_limit(model._config, model._engine), model._engine["num_hidden_layers"],
        tokenizer.num_special_tokens_to_add(are_pairs(texts)),
    )
    test = check_texts(X_test, "X_test", strip=parameters["strip_html"])
    rungs, work, rates = survey_work(
        rungs, model, tokenizer, options, parameters, train, validation, test,
        n_threads=n_threads, seconds=MOST_MEASURED, learns_held_out=objective.learns_held_out,
    )
    plan = choose(rungs, work, rates, budget=budget.seconds, used=budget.used + words + scoring)
    if chosen is not None:
        plan["model"] = chosen
    rung = Rung(*(plan[name] for name in CHOSEN))
    seconds, job = work.seconds(rung, rates)
    part = plan["texts"] / plan["all_texts"]
    lengths, how = memory_options(rung, work, options, n_threads)
    passes = limit_training(
        model, parameters["memory_limit"], lengths, unlimited=usual_passes(parameters), **how
    )
    return {
        "plan": plan,
        "limited": budget.is_limited,
        "limit": describe_limit(parameters, model._config, rung.max_length),
        "precision": options.precision,
        "weights": model._flat.size,
        # With fewer texts, fewer are held out.
        "texts": {"train": plan["texts"], "validation": round(part * len(validation)),
                  "test": len(test)},
        "tokens": {"train": round(part * job["train_tokens"]),
                   "validation": round(part * job["validation_tokens"]),
                   "test": job["test_tokens"]},
        "seconds": {"training": plan["training"], "evaluation": plan["evaluation"],
                    "test": seconds["test"], "words": words, "teacher": scoring},
        "memory": {"process": process,
                   # The teacher is released before training.
                   "model": max(
                       training_memory(model, passes, lengths, **how),
                       lesson.size + model._flat.nbytes if lesson else 0,
                   ),
                   "available": read_memory()["available"]},
        "disk": _count_disk(model, tokenizer, parameters, plan, output, how["keeps_best"]),
    }


def _split(
    texts: list[Text], strata: npt.NDArray[Any], fraction: float | None, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of held-out texts and of training texts, as `fit` chooses them."""
    if fraction is None:
        return np.empty(0, np.int64), np.arange(len(texts))
    return hold_out(texts, strata, fraction, seed)


def _count_disk(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    parameters: Mapping[str, Any],
    plan: Mapping[str, Any],
    output: str,
    keeps_best: bool,
) -> dict[str, int]:
    """Return the bytes of output and checkpoints, the number of the latter, and free space."""
    members = parameters["members"]
    output_size = 4 * members * model._flat.size + ENTRY * tokenizer.vocab_size + 8 * plan["texts"]
    found = {"output": output_size, "checkpoint": 0, "checkpoints": 0}
    if parameters["checkpoint_dir"] is not None:
        every = parameters["checkpoint_every"]
        written = plan["epochs"] if every is None else math.ceil(plan["steps"] / every)
        kept = min(written, parameters["checkpoint_keep"])
        # The oldest is removed when the newest is complete.
        found["checkpoints"] = members * kept + (written > kept)
        trained = model._trained(plan["freeze_layers"]).size
        found["checkpoint"] = 4 * (3 + keeps_best) * trained
    where = os.path.realpath(expand_path(output))
    while not os.path.exists(where):
        where = os.path.dirname(where)
    return found | {"total": output_size + found["checkpoints"] * found["checkpoint"],
                    "free": shutil.disk_usage(where).free}
