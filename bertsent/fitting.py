"""What `BertClassifier.fit` does: all is read and decided first, then trained, then kept.

Several members are so many runs on the same texts, one after the other.
"""

import contextlib
import copy
import math
import os
from dataclasses import replace
from functools import partial

import numpy as np

from bertsent.budget import Budget
from bertsent.callbacks import Listeners, open_log
from bertsent.config import label_names, read_config
from bertsent.example_history import ExampleHistory
from bertsent.frozen import open_cache
from bertsent.hub import resolve
from bertsent.labels import check_weights, class_factors, encode_labels, learn_labels
from bertsent.long_text import Reader, Windows, most_sequences
from bertsent.members import count_members, is_list, member_parameters
from bertsent.memory import plan_training
from bertsent.parameters import (
    check_parameters,
    resolve_epochs,
    resolve_freeze,
    resolve_learning_rate,
    resolve_watched,
)
from bertsent.plan import begin, describe_plan, keep_to, plan_time, settle
from bertsent.precision import PRECISIONS, go_on_in, resolve_precision
from bertsent.pretrained import load_model, load_tokenizer
from bertsent.progress import make_progress
from bertsent.runs import RunStore, describe_run
from bertsent.schedule import draw_seeds, group_rates, member_seeds
from bertsent.split import Labelled, hold_out
from bertsent.state import State
from bertsent.texts import hash_texts
from bertsent.threads import resolve_n_threads
from bertsent.training import Examples, Recipe, train
from bertsent.validation import Best


def fit(classifier, X, y, sample_weight, X_val, y_val):
    """See `BertClassifier.fit`."""
    check_parameters(classifier.get_params(deep=False))
    budget = Budget.of(classifier.time_budget)
    resolve_precision(classifier.precision, "precision")
    if classifier.validation_fraction is not None or X_val is not None:
        resolve_precision(classifier.inference_precision, "inference_precision")
    n_threads = resolve_n_threads(classifier.n_threads)
    texts = classifier._texts(X, "X")
    if not texts:
        raise ValueError("X is empty; there is nothing to train on")
    label_type, codes = learn_labels(y, len(texts))
    weights = check_weights(sample_weight, len(texts))
    validation = _check_validation(classifier, X_val, y_val, label_type)
    given = {
        "texts": (texts,),
        "labels": (codes, [str(label) for label in label_type.classes.tolist()]),
        "sample_weight": (weights,),
        "validation": validation[:2] if validation else (None,),
    }
    weights = weigh_classes(classifier, weights, label_type, codes)
    labelled = Labelled(texts, codes, weights, np.arange(len(texts)))
    trained, last = [], None
    with contextlib.ExitStack() as stack:
        # All of them now: one that is in use is an error before the first step, not hours later.
        stores = [
            stack.enter_context(_open_store(classifier, number))
            for number in range(count_members(classifier.members))
        ]
        saved = [store and store.newest() for store in stores]
        seeds = draw_seeds(classifier.random_state)
        if saved[0] and classifier.random_state is None:
            seeds = saved[0].seeds
        try:
            for number, store in enumerate(stores):
                run = _Fit(
                    classifier, label_type, given, n_threads, budget, store, saved[number],
                    member_seeds(seeds, number), number,
                )
                run.share_out(labelled, validation)
                run.read()
                try:
                    run.train()
                finally:
                    # Of one that is interrupted, what it has learned, unless others are complete.
                    if run.record is not None and (run.finished or not trained):
                        trained.append((run.model, run.record))
                        last = run
        except KeyboardInterrupt:
            if trained:
                last.keep(*zip(*trained, strict=True))
            raise
    return last.keep(*zip(*trained, strict=True))


class _Fit:
    """One call of `fit` with everything checked.

    Parameters
    ----------
    classifier : BertClassifier
        Only read, until the last moment.
    label_type : LabelType
    given : dict
        The data, as `describe_run` takes it.
    n_threads : int
    budget : Budget
    store : RunStore or None
        Takes checkpoints.
    saved : Saved or None
        The one to go on from.
    seeds : Seeds
    number : int
        Which of several members is trained, from 0.

    Attributes
    ----------
    record : dict or None
        What `State.record` tells of the run; None before its first step.
    finished : bool
        Whether nothing of the run is left to do.
    """

    def __init__(
        self, classifier, label_type, given, n_threads, budget, store, saved, seeds, number
    ):
        self.classifier, self.label_type, self.given = classifier, label_type, given
        self.parameters = member_parameters(classifier.get_params(deep=False))[number]
        self.n_threads, self.budget, self.store = n_threads, budget, store
        self.saved, self.seeds, self.number = saved, seeds, number
        self.record, self.finished = None, False
        self.model, self.tokenizer = starting_point(
            classifier, label_type, seeds.new_weights, number
        )

    @property
    def member(self):
        """Which of several members this is, from 1; None if there is one model alone."""
        return self.number + 1 if self.parameters["members"] > 1 else None

    def share_out(self, labelled, validation):
        """What is trained on and what is held out; a time budget decides how much there is."""
        parameters, begun = self.parameters, self.saved.run if self.saved else {}
        fraction = parameters["validation_fraction"]
        self.recipe = make_recipe(
            parameters, self.model.config, self.seeds, begun,
            validated=validation is not None or fraction is not None,
        )
        if fraction is not None:
            held_out, kept = hold_out(labelled.texts, labelled.codes, fraction, self.seeds.split)
            validation = labelled._replace(weights=None).take(held_out)
            labelled = labelled.take(kept)
        plan = begun.get("time_plan")
        if self.budget.is_limited and not self.saved:
            plan = plan_time(
                self.budget, self.model, self.tokenizer, self.recipe, parameters, labelled.texts,
                validation.texts if validation else [], n_threads=self.n_threads,
                saves=bool(self.store),
            )
        positions = self.model.config["max_position_embeddings"]
        self.settled = settle(parameters, plan, positions)
        if plan is not None:
            self.recipe = replace(
                self.recipe, epochs=plan["epochs"], freeze=plan["freeze_layers"]
            )
            labelled, validation = keep_to(plan, labelled, validation, self.seeds.split)
        self.time_plan, self.labelled, self.validation = plan, labelled, validation
        self.reader = Reader.of(self.settled, positions)

    def read(self):
        """Tokenize all texts."""
        texts = self.labelled.texts
        self.tokens = self.reader.encode(self.tokenizer, texts, self.n_threads)
        self.reader.warn_of_cuts(self.tokenizer, texts, self.tokens, self.n_threads)
        self.held_out = None
        if self.validation is not None:
            positions = self.model.config["max_position_embeddings"]
            encoded = Reader.of(self.settled, positions, inference=True).encode(
                self.tokenizer, self.validation.texts, self.n_threads
            )
            self.held_out = Examples(
                encoded.ids, encoded.offsets, self.validation.codes, windows=Windows.of(encoded)
            )

    def make_plan(self):
        """A function of what the frozen cache takes: how batches are cut."""
        return partial(
            plan_training, self.model, self.parameters["memory_limit"],
            np.diff(self.tokens.offsets),
            batch_size=most_sequences(self.tokens, self.recipe.step_size),
            freeze=self.recipe.freeze, n_threads=self.n_threads,
            validation=None if self.held_out is None else np.diff(self.held_out.offsets),
            keeps_best=self.make_best().watched is not None and self.held_out is not None,
            precision=self.recipe.precision,
            inference_precision=self.recipe.inference_precision or "float32",
        )

    def make_best(self):
        """What keeps the best weights, and says when to stop; a time budget alone never says so."""
        watched = resolve_watched(self.parameters["early_stopping"])
        if watched is None and self.time_plan is not None:
            return Best("loss", math.inf)
        return Best(watched, self.parameters["patience"])

    def make_state(self):
        """The beginning of the run, or where a checkpoint has it."""
        state = State.fresh(self.model, self.make_best())
        if self.parameters["track_examples"] and self.number == 0:
            state.examples = ExampleHistory(
                *self.given["texts"], self.given["labels"][0], self.labelled.rows,
                self.recipe.epochs,
            )
        if self.saved:
            self.saved.check(self.store.run)
            self.saved.restore(state, self.model._trained(self.recipe.freeze))
            self.budget.before = state.used
        if self.time_plan is not None:
            begin(self.budget, self.time_plan)
        return state

    def describe(self, storage):
        """Tell the store what run its checkpoints are of; `storage` is that of the cache."""
        self.store.seeds = self.seeds
        self.store.run = describe_run(
            parameters=self.settled, resolved=self.resolved() | {"frozen_cache": storage},
            plan=self.recipe.plan, seeds=self.seeds, model=self.model, tokenizer=self.tokenizer,
            data=self.given,
        )

    def resolved(self):
        """What "auto" and a time budget came to when the run was begun."""
        resolved = {
            "learning_rate": self.recipe.learning_rate,
            "time_budget": self.budget.seconds if self.budget.is_limited else None,
            "time_plan": self.time_plan,
        }
        for name in PRECISIONS:
            auto = self.saved and self.parameters[name] == "auto"
            resolved[name] = (auto and self.saved.run.get(name)) or getattr(self.recipe, name)
        return resolved

    def train(self):
        """Train."""
        make_plan = self.make_plan()
        with open_cache(
            self.parameters["frozen_cache"],
            begun=self.saved and (self.saved.run.get("frozen_cache") or "off"),
            recipe=self.recipe, model=self.model, offsets=self.tokens.offsets, plan=make_plan,
            memory_limit=self.parameters["memory_limit"],
        ) as frozen:
            self.recipe = replace(self.recipe, plan=make_plan(cached=frozen.in_memory))
            if self.store:
                self.describe(frozen.storage)
            state = self.make_state()
            try:
                self.go(state, frozen)
                self.finished = True
            finally:
                self.record = state.record() | {
                    "learning_rate": self.recipe.learning_rate,
                    "max_length": self.reader.max_length,
                }

    def go(self, state, frozen):
        """The training loop, with its log and bar."""
        precision = self.recipe.precision
        about = {} if self.member is None else {"member": self.member}
        callbacks, log_file = given_callbacks(self.classifier), self.parameters["log_file"]
        if about and state.finished:  # they were told of it before the others were begun
            callbacks, log_file = [], None
        with open_log(log_file, state.step) as log, make_progress(
            self.parameters["verbose"]
        ) as progress:
            if self.member is not None:
                progress.announce(f"member {self.member} of {self.parameters['members']}")
            chosen = " (auto)" if self.parameters["precision"] == "auto" else ""
            progress.announce(f"training in {precision}{chosen}")
            if self.time_plan is not None:
                progress.announce(describe_plan(self.time_plan))
            if frozen.line is not None:
                progress.announce(frozen.line)
            train(
                self.model,
                Examples(
                    self.tokens.ids, self.tokens.offsets, self.labelled.codes,
                    self.labelled.weights, Windows.of(self.tokens), frozen, state.examples,
                ),
                self.recipe,
                n_threads=self.n_threads,
                validation=self.held_out,
                progress=progress,
                state=state,
                save=self.store and self.store.save,
                save_every=self.parameters["checkpoint_every"],
                listeners=Listeners([*callbacks, *([log] if log else [])], about),
                budget=self.budget,
            )

    def keep(self, models, records):
        """Let the classifier become fitted with these members; what they share is this run's."""
        together = dict(records[0])
        if self.member is not None:
            for name in ("history", "evaluations"):
                together[name] = _by_member(record[name] for record in records)
            together["best_step"] = [record["best_step"] for record in records]
        if is_list(self.classifier.members):
            for name in ("learning_rate", "max_length"):
                together[name] = [record[name] for record in records]
        return self.classifier._keep(
            list(models),
            self.tokenizer,
            label_type=self.label_type,
            precision=self.recipe.precision,
            text_hashes=np.unique(hash_texts(self.labelled.texts)),
            validation_rows=None if self.validation is None else self.validation.rows,
            training_rows=self.labelled.rows,
            plan=self.time_plan,
            **together,
        )


def _by_member(tables):
    """The rows of all members, each with its number."""
    return [
        {"member": number} | row for number, rows in enumerate(tables, 1) for row in rows
    ]


def _check_validation(classifier, X_val, y_val, label_type):
    fraction, stopping = classifier.validation_fraction, classifier.early_stopping
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val go together; one of them is missing")
    if X_val is None:
        if stopping and fraction is None:
            raise ValueError(
                f"early_stopping={stopping!r} needs texts to watch; pass X_val and y_val, or hold "
                "some out by validation_fraction=0.1"
            )
        return None
    if fraction is not None:
        raise ValueError(
            f"there are X_val and validation_fraction={fraction}; use one of them"
        )
    texts = classifier._texts(X_val, "X_val")
    if not texts:
        raise ValueError("X_val is empty; leave it out or pass some texts")
    return Labelled(texts, encode_labels(y_val, label_type, len(texts), "y_val"))


def _open_store(classifier, number):
    """The checkpoints of a member, the first in the directory itself, others within it."""
    if classifier.checkpoint_dir is None:
        return contextlib.nullcontext()
    directory = os.path.expanduser(os.fspath(classifier.checkpoint_dir))
    if number > 0:
        directory = os.path.join(directory, f"member-{number + 1}")
    return RunStore(directory, classifier.checkpoint_keep, bool(classifier.resume))


def weigh_classes(classifier, weights, label_type, codes):
    """What each text counts, by itself and by its class; None if all count alike."""
    factors = class_factors(classifier.class_weight, label_type, codes)
    if factors is None:
        return weights
    weights = factors[codes] if weights is None else factors[codes] * weights
    if not weights.any():
        raise ValueError(
            f"class_weight={classifier.class_weight!r} leaves no text any weight; "
            "nothing can be learned"
        )
    return weights.astype(np.float32)


def given_callbacks(classifier):
    """The callbacks as a list."""
    callbacks = classifier.callbacks
    if callbacks is None:
        return []
    return callbacks if isinstance(callbacks, list | tuple) else [callbacks]


def starting_point(classifier, label_type, seed, number=0):
    """The model to train and its tokenizer."""
    if classifier.warm_start and hasattr(classifier, "model_"):
        known, given = classifier.classes_.tolist(), label_type.classes.tolist()
        if known != given:
            raise ValueError(
                f"warm_start=True goes on with the classes {known}, but those of y are "
                f"{given}; use warm_start=False for a new start"
            )
        own = classifier.model_._engine["pooling"]
        if classifier.pooling not in (None, own):
            raise ValueError(
                f"warm_start=True goes on with pooling={own!r}, not {classifier.pooling!r}; "
                "use warm_start=False for a new start"
            )
        members = count_members(classifier.members)
        if len(classifier.models_) != members:
            raise ValueError(
                f"warm_start=True goes on with the {len(classifier.models_)} models that are "
                f"there, not with members={members}; use warm_start=False for a new start"
            )
        # A copy: an error must leave the classifier as it was.
        return copy.deepcopy(classifier.models_[number]), classifier.tokenizer_
    directory = resolve(classifier.model)
    names = [str(label) for label in label_type.classes.tolist()]
    model, _ = load_model(
        directory,
        classifier.model,
        id2label=dict(enumerate(names)),
        random_state=seed,
        pooling=classifier.pooling,
        new_classifier=label_names(read_config(directory), directory) != names,
    )
    return model, load_tokenizer(directory, model)


def make_recipe(parameters, config, seeds, begun, *, validated):
    """The parameters as the training loop wants them, "auto" and "all" resolved.

    Parameters
    ----------
    parameters : dict
        Those of the classifier.
    config : dict
        Of the model.
    seeds : Seeds
    begun : dict
        What the run that goes on was begun with; empty for a new one.
    validated : bool
        Whether texts are scored in between.

    Returns
    -------
    Recipe
    """
    given = parameters
    names = PRECISIONS if validated else PRECISIONS[:1]
    n_layers = config["num_hidden_layers"]
    freeze = resolve_freeze(given["freeze_layers"], n_layers)
    rate = resolve_learning_rate(
        given["learning_rate"], config["hidden_size"], n_layers, freeze
    )
    head_rate = rate if given["head_learning_rate"] is None else given["head_learning_rate"]
    return Recipe(
        epochs=resolve_epochs(given["epochs"]),
        batch_size=int(given["batch_size"]),
        accumulate_steps=int(given["accumulate_steps"]),
        learning_rate=rate,
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
        eval_every=None if given["eval_every"] is None else int(given["eval_every"]),
        **{name: go_on_in(given[name], name, begun.get(name)) for name in names},
    )
