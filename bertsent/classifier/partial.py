"""The work of `BertClassifier.partial_fit`: training that continues with every call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier.candidates import named_model
from bertsent.classifier.fitted import Fitted, Moments
from bertsent.classifier.fitting import given_callbacks, starting_point
from bertsent.classifier.members import count_members, is_list
from bertsent.classifier.options import make_options
from bertsent.classifier.plan import settle
from bertsent.hub import length_limit
from bertsent.model import limit_training, resolve_precision
from bertsent.system import check_interrupts, interrupted, notice, resolve_n_threads
from bertsent.texts import (
    Reader,
    Windows,
    are_pairs,
    check_training_texts,
    check_weights,
    feature_names,
    hash_texts,
    most_sequences,
    name_texts,
    warn_of_column_vector,
)
from bertsent.training import Examples, Listeners, State, draw_seeds, open_log, train
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Parameters
    from bertsent.objectives import Objective
    from bertsent.texts import Labels, Texts


def partial_fit(
    parameters: Parameters,
    objective_class: type[Objective],
    X: Texts,
    y: Labels,
    classes: Labels | None = None,
    sample_weight: npt.ArrayLike | None = None,
    before: Fitted | None = None,
) -> tuple[Fitted, KeyboardInterrupt | None]:
    """Train on more texts; see `BertClassifier.partial_fit`.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier, already checked.
    objective_class : type
        One of `OBJECTIVES`.
    X, y, classes, sample_weight
        As in `BertClassifier.partial_fit`.
    before : Fitted or None, default=None
        State from which training continues. Its model and moments are changed in place.

    Returns
    -------
    fitted : Fitted
    interrupt : KeyboardInterrupt or None
        The interrupt that ended training early.

    Raises
    ------
    KeyboardInterrupt
        Training was interrupted before the first step.
    """
    resolve_precision(parameters["precision"], "precision")
    if parameters["class_weight"] == "balanced":
        raise ValueError(
            'class_weight="balanced" needs all labels at once, but partial_fit only sees those of '
            "one call; pass a dictionary"
        )
    if parameters["few_shot"]:
        raise ValueError(
            "few_shot=True compares all texts with each other, but partial_fit only sees those of "
            "one call; use fit, or few_shot=False"
        )
    if parameters["teacher"] is not None:
        raise ValueError(
            "partial_fit learns from labels only, but the classifier has a teacher; use fit, or "
            "teacher=None"
        )
    n_threads = resolve_n_threads(parameters["n_threads"])
    texts = check_training_texts(X, y, strip=parameters["strip_html"])
    if not texts:
        raise ValueError("X is empty; there is nothing to train on")
    if before:
        before.check_columns(X, texts)
    if parameters["label_threshold"] == "f1":
        raise ValueError(
            f"{spell('label_threshold', 'f1')} chooses thresholds on held-out texts, but "
            "partial_fit holds out none; pass a number"
        )
    if parameters["calibrated"]:
        raise ValueError(
            f"{spell('calibrated', True)} needs a temperature that is learned on held-out texts, "
            "but partial_fit holds out none; use fit, or calibrated=False"
        )
    objective = _choose_objective(
        objective_class, classes, before, y, parameters["class_order"]
    )
    targets = objective.encode(y, len(texts), "y")
    objective = objective.configure(parameters, targets)
    if not objective_class.takes_matrix:
        warn_of_column_vector(y, stacklevel=4)
    weights = check_weights(sample_weight, len(texts))
    weights = objective.weigh(targets, weights, parameters["class_weight"])
    members = max(count_members(parameters["members"]), len(before.models) if before else 1)
    if members > 1 or is_list(parameters["members"]):
        raise ValueError(
            f"partial_fit can only train one model, but there are {members} members; use members=1"
        )
    words = before.words if before else None
    if parameters["words"] and words is None:
        raise ValueError(
            "words=True needs all texts at once, but partial_fit only sees those of one call; "
            "call fit first, or use words=False"
        )
    moments = before.moments if before else None
    seeds = draw_seeds(parameters["random_state"]) if moments is None else moments.seeds
    if before:
        model, tokenizer = before.model, before.tokenizer
        reader = before.under(parameters).reader(inference=False, pairs=are_pairs(texts))
    else:
        model, tokenizer, _ = starting_point(
            parameters | {"model": named_model(parameters)}, objective, seeds.new_weights,
            tell=partial(notice, verbose=parameters["verbose"]),
        )
        settled = settle(parameters, None, length_limit(model._config, model._engine))
        reader = Reader.of(
            settled, model._engine["max_position_embeddings"],
            special=tokenizer.num_special_tokens_to_add(are_pairs(texts)),
        )
    if moments is None:
        state = State.fresh(model)
        moments = Moments(state.exp_avg, state.exp_avg_sq, seeds)

    check_interrupts()
    with name_texts(lambda number: f"X[{number}]"):
        tokens = reader.encode(tokenizer, texts, n_threads)
    # The number of steps to come is unknown, so there is neither warm-up nor decay.
    history = list(before.history) if before else []
    options = replace(
        make_options(parameters, model._engine, seeds, {}, validated=False),
        epochs=len(history) + 1, schedule="constant", warmup_ratio=0.0, eval_every=None,
    )
    passes = limit_training(
        model, parameters["memory_limit"], np.diff(tokens.offsets),
        batch_size=most_sequences(tokens, options.step_size), freeze=options.freeze,
        n_threads=n_threads, precision=options.precision,
    )
    state = State(
        moments.exp_avg, moments.exp_avg_sq, step=moments.step, epoch=len(history),
        history=history,
    )
    hashes = np.unique(hash_texts(texts))
    interrupt = None
    model._train_in_place()
    try:
        with open_log(parameters["log_file"], 0) as log:
            train(
                model,
                Examples(
                    tokens.ids, tokens.offsets, targets, objective, weights, Windows.of(tokens),
                    types=tokens.token_type_ids,
                ),
                replace(options, passes=passes),
                n_threads=n_threads,
                state=state,
                listeners=Listeners([*given_callbacks(parameters), *([log] if log else [])]),
            )
    except KeyboardInterrupt as stop:
        if state.step == moments.step:
            raise
        kept = phrase(python="; the classifier keeps the model trained so far", command="")
        interrupt = interrupted(stop, f"{stop}{kept}")
    finally:
        # After an error, the moments are only used again if there was a model before.
        moments.reached = state.step, model._core.copy_settled((), ())
    fitted = Fitted(
        models=[model],
        tokenizer=tokenizer,
        objective=objective,
        learning_rate=options.learning_rate,
        precision=options.precision,
        frozen_layers=options.freeze,
        history=state.rows(objective.metric),
        evaluations=list(before.evaluations) if before else [],
        max_length=reader.max_length,
        teachers=before.teachers if before else None,
        feature_names=before.feature_names if before else feature_names(X),
        pairs=are_pairs(texts),
        text_hashes=np.union1d(before.text_hashes, hashes) if before else hashes,
        moments=moments,
        words=words,
    )
    return fitted, interrupt


def _choose_objective(
    objective_class: type[Objective], classes: Labels | None, before: Fitted | None, y: Labels,
    order: Sequence[Any] | None,
) -> Objective:
    """Return an objective for the classes of the first call, or that of earlier calls."""
    if before is None:
        if classes is None:
            raise ValueError(
                "the first call of partial_fit needs classes, all labels that may ever occur"
            )
        return objective_class.from_classes(classes, y, order)
    known = before.objective
    if known.head_type == objective_class.head_type and type(known) is not objective_class:
        raise ValueError(
            f"the classifier has learned to be one that {known.purpose}, and partial_fit cannot "
            f"make it one that {objective_class.purpose}; set ordinal as it was, or use fit"
        )
    if classes is not None:
        given = _listed(objective_class.from_classes(classes, y, order))
        if given != _listed(known):
            raise ValueError(
                f"classes={given} are not those of this classifier, {_listed(known)}"
            )
    return known


def _listed(objective: Objective) -> list[Any]:
    classes: list[Any] = [] if objective.classes is None else objective.classes.tolist()
    return classes
