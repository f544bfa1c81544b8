"""The work of `BertClassifier.fit`: check, learn the labels, split, tokenize, train.

Each member is a separate run on the same texts, one after the other.
"""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier.candidates import choose_model, chosen_before
from bertsent.classifier.few_shot import (
    FewShotHeldOut,
    HeadFit,
    check_classes,
    check_layers,
    contrast,
    settle_few_shot,
    usual_passes,
)
from bertsent.classifier.fitted import Fitted
from bertsent.classifier.members import count_members, is_list, member_parameters
from bertsent.classifier.opening import (
    describe_new,
    load_model,
    load_tokenizer,
    warn_of_loss,
)
from bertsent.classifier.options import make_options
from bertsent.classifier.parameters import AUTO_MODEL, compared_on_resume, without_machine
from bertsent.classifier.plan import (
    begin,
    describe_limit,
    describe_plan,
    keep_to,
    measuring_time,
    plan_time,
    settle,
)
from bertsent.classifier.repeated import is_one_of_many
from bertsent.classifier.resolve import resolve_watched
from bertsent.classifier.teacher import Lesson
from bertsent.classifier.words import check_words, choose_weight, learn_words
from bertsent.files import hold_directory, to_plain
from bertsent.hub import length_limit, resolve_directory
from bertsent.model import PRECISIONS, limit_training, resolve_precision
from bertsent.objectives import OrdinalClassification, Scorer, SingleLabelClassification
from bertsent.system import (
    check_interrupts,
    expand_path,
    interrupted,
    make_progress,
    resolve_n_threads,
    warn,
)
from bertsent.texts import (
    Labelled,
    Reader,
    Windows,
    abbreviate,
    are_pairs,
    check_alike,
    check_texts,
    check_training_texts,
    check_weights,
    describe_columns,
    feature_names,
    hash_texts,
    hold_out,
    most_sequences,
    name_texts,
    warn_of_column_vector,
)
from bertsent.training import (
    Best,
    Budget,
    ExampleHistory,
    Examples,
    Listeners,
    RunStore,
    State,
    TrainingOptions,
    callback_name,
    describe_record,
    describe_run,
    draw_seeds,
    hashed_steps,
    member_seeds,
    open_cache,
    open_log,
    train,
)
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Parameters
    from bertsent.classifier.words import WordModel
    from bertsent.model import BertForSequenceClassification, PassTokens
    from bertsent.objectives import Objective
    from bertsent.system import Silent
    from bertsent.texts import Labels, Text, Texts
    from bertsent.tokenizer import Encoding, Tokenizer
    from bertsent.training import Callback, FrozenCache, RecordedRun, Saved, Seeds


def fit(
    parameters: Parameters,
    objective_class: type[Objective],
    X: Texts,
    y: Labels,
    sample_weight: npt.ArrayLike | None = None,
    X_val: Texts | None = None,
    y_val: Labels | None = None,
    before: Fitted | None = None,
    *,
    unlabelled: Texts | None = None,
    origin: Mapping[str, Any] | None = None,
    recorded: Mapping[int, RecordedRun] | None = None,
    listener: Callback | None = None,
) -> tuple[Fitted, KeyboardInterrupt | None]:
    """Train on texts and their labels; see `BertClassifier.fit`.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier, already checked.
    objective_class : type
        One of `OBJECTIVES`.
    X, y, sample_weight, X_val, y_val
        As in `BertClassifier.fit`.
    before : Fitted or None, default=None
        State from which a warm start continues. It is not changed.
    unlabelled
        As in `BertClassifier.fit`.
    origin : dict or None, default=None
        Where a command read the data, for the log.
    recorded : dict of int to RecordedRun or None, default=None
        A run to repeat, by the number of the member, from 1. Other members are not trained. Its
        seeds, and what was chosen for "auto" and a time budget, are used again. If anything else
        differs from the record, that is a CheckpointError before the first step.
    listener : callable or None, default=None
        A further callback, which is no part of the run's description.

    Returns
    -------
    fitted : Fitted
    interrupt : KeyboardInterrupt or None
        The interrupt that ended training early. `fitted` then has the model trained so far, or
        the members that were finished.

    Raises
    ------
    KeyboardInterrupt
        Training was interrupted before the first step.
    """
    budget = Budget() if recorded else Budget.of(parameters["time_budget"])
    resolve_precision(parameters["precision"], "precision")
    if parameters["validation_fraction"] is not None or X_val is not None:
        resolve_precision(parameters["inference_precision"], "inference_precision")
    n_threads = resolve_n_threads(parameters["n_threads"])
    texts = check_training_texts(X, y, strip=parameters["strip_html"])
    if not texts:
        raise ValueError("X is empty; there is nothing to train on")
    check_interrupts()
    columns, pairs = feature_names(X), are_pairs(texts)
    if before is not None:
        before.check_pairs(texts)
    objective, targets = objective_class.learn(y, len(texts), order=parameters.get("class_order"))
    if not objective_class.takes_matrix:
        warn_of_column_vector(y, stacklevel=4)
    for doubt in objective.describe_doubts(targets):
        warn(doubt)
    objective = objective.configure(parameters, targets)
    members = [
        settle_few_shot(
            # A recorded run has these values already.
            own, objective, len(texts), continued=before is not None or recorded is not None
        )
        for own in member_parameters(parameters)
    ]
    scorer = Scorer.of(resolve_watched(parameters["early_stopping"]), objective)
    weights = check_weights(sample_weight, len(texts))
    lesson = Lesson.of(parameters, objective, X, y, texts, unlabelled, n_threads)
    validation = _check_validation(parameters, X_val, y_val, objective, pairs)
    if objective.chooses_thresholds:
        _require_held_out("label_threshold", parameters, validation)
    if parameters["calibrated"]:
        _require_held_out("calibrated", parameters, validation)
    given: dict[str, Sequence[Any]] = {
        "texts": (texts,),
        "labels": (targets, objective.identity),
        "sample_weight": (weights,),
        "validation": validation[:2] if validation else (None,),
    }
    if parameters["words"]:
        check_words(objective)
    weights = objective.weigh(targets, weights, parameters["class_weight"])
    _require_classes(objective, targets, weights)
    strata = objective.strata(targets)
    labelled = Labelled(texts, targets, strata, weights, np.arange(len(texts)))
    trained: list[Fitted] = []
    opinions: list[npt.NDArray[np.float32]] = []
    words: WordModel | None = None
    with contextlib.ExitStack() as stack:
        # Open all of them now, so that errors occur before the first step and not hours later.
        stores = [
            stack.enter_context(_open_store(parameters, number))
            for number in range(count_members(parameters["members"]))
        ]
        saved = [None if store is None else store.newest() for store in stores]
        seeds = draw_seeds(None if recorded else parameters["random_state"])
        if saved[0] and parameters["random_state"] is None:
            seeds = saved[0].seeds
        brief = parameters["verbose"] == 1 and is_one_of_many()
        run: _Fit | None = None
        try:
            with make_progress(parameters["verbose"], brief=brief) as progress:
                if (read := describe_columns(X, texts)) is not None:
                    progress.notice(read)
                if parameters["words"] and not recorded:
                    progress.announce("training the linear model of words")
                    words = _learn_words(parameters, objective, labelled, seeds, budget)
                for number, own in enumerate(members):
                    run, past = None, recorded.get(number + 1) if recorded else None
                    if recorded and past is None:
                        continue
                    run = _Fit(
                        own, objective, given, n_threads, budget, stores[number], saved[number],
                        past.seeds if past else member_seeds(seeds, number), number, before,
                        progress, origin, past, lesson, scorer, listener,
                    )
                    run.split(labelled, validation)
                    run.open()
                    check_interrupts()
                    run.share_out()
                    check_interrupts()
                    run.ask_teacher(stores[0], quiet=brief)
                    check_interrupts()
                    run.read()
                    check_interrupts()
                    run.train()
                    trained.append(run.fitted())
                    if objective.learns_held_out and run.held_out is not None:
                        opinions.append(run.held_out.logits(run.model, run.options, n_threads))
                fitted = _put_together(parameters, trained)
                if opinions and run is not None and run.validation is not None:
                    # All members hold out the same texts.
                    fitted, words = _finish(fitted, words, opinions, run.validation)
        except KeyboardInterrupt as stop:
            finished = len(trained)
            # An interrupted member is only kept if no other member is finished.
            if not trained and run is not None and run.state is not None and run.state.step:
                trained.append(run.fitted())
            if not trained:
                raise
            fitted = _put_together(parameters, trained)
            if parameters["calibrated"]:
                fitted = replace(fitted, objective=fitted.objective.uncalibrated())
            fitted = replace(fitted, feature_names=columns, words=words)
            said = str(stop) or "training was interrupted"
            kept = phrase(python=_describe_kept(finished, trained), command="")
            return fitted, interrupted(stop, said + kept)
    return replace(fitted, feature_names=columns, words=words), None


def _require_classes(
    objective: Objective, targets: npt.NDArray[Any], weights: npt.NDArray[np.float32] | None
) -> None:
    """Raise if weights of zero leave texts of one class only."""
    if weights is None or not isinstance(objective, SingleLabelClassification):
        return
    left = np.unique(targets[weights > 0])
    if len(left) == 1:
        name = abbreviate(objective.label_names[int(left[0])])
        raise ValueError(
            f"all texts have a weight of zero but those of the class {name}; a classifier needs "
            f"texts of at least two classes with a weight: change "
            f"{phrase(python='sample_weight or class_weight', command='--class-weight')}"
        )


def _learn_words(
    parameters: Parameters, objective: Objective, labelled: Labelled, seeds: Seeds, budget: Budget
) -> WordModel:
    """Train the word model on the texts that are not held out, also those that a plan leaves out.

    It comes first, so that the plan for a time budget knows how much time is left.
    """
    fraction = parameters["validation_fraction"]
    if fraction is not None:
        _, kept = hold_out(labelled.texts, labelled.strata, fraction, seeds.split)
        labelled = labelled.take(kept)
    return learn_words(labelled, objective, budget, seeds.split)


def _finish(
    fitted: Fitted, words: WordModel | None, opinions: list[npt.NDArray[np.float32]],
    held_out: Labelled,
) -> tuple[Fitted, WordModel | None]:
    """Return both with what is learned from the logits of held-out texts, those of each member."""
    objective = fitted.objective
    logits = opinions[0] if len(opinions) == 1 else objective.combine(opinions)
    if words is not None:
        own = words.logits(held_out.texts)
        words = replace(words, weight=choose_weight(objective, logits, own, held_out.targets))
        logits = words.mix(objective, logits, own)
    return replace(fitted, objective=objective.finish(logits, held_out.targets)), words


class _Fit:
    """The training of one member, after all checks.

    Parameters
    ----------
    parameters : dict
        Parameters of the member, where `members` is the number of members.
    objective : Objective
    given : dict
        The data, in the form that `describe_run` takes.
    n_threads : int
    budget : Budget
    store : RunStore or None
        Store for checkpoints.
    saved : Saved or None
        Checkpoint to resume from.
    seeds : Seeds
    number : int
        Number of the member, from 0.
    before : Fitted or None
        State from which a warm start continues.
    progress : Silent
        Where progress is displayed.
    origin : dict or None
        Where a command read the data.
    past : RecordedRun or None
        The run to repeat.
    lesson : Lesson or None
        What teachers say.
    scorer : Scorer or None
        What early stopping watches, if the objective does not compute it.
    listener : callable or None
        A further callback.

    Attributes
    ----------
    state : State or None
        State of training; None before it begins.
    learned : Objective
        What the steps minimise: `objective`, that of the lesson, or that of few labels.
    trainee : BertForSequenceClassification
        What the steps train: `model` or, from few labels, its encoder.
    head : HeadFit or None
        What fits the head from few labels.
    """

    model: BertForSequenceClassification
    tokenizer: Tokenizer
    new_head: bool
    state: State | None
    chosen: str | None  # the name of the model, if it was chosen
    options: TrainingOptions
    settled: Parameters
    time_plan: dict[str, Any] | None
    labelled: Labelled
    validation: Labelled | None
    special: int
    reader: Reader
    tokens: Encoding
    held_out: Examples | None
    head: HeadFit | None

    def __init__(
        self,
        parameters: Parameters,
        objective: Objective,
        given: Mapping[str, Sequence[Any]],
        n_threads: int,
        budget: Budget,
        store: RunStore | None,
        saved: Saved | None,
        seeds: Seeds,
        number: int,
        before: Fitted | None,
        progress: Silent,
        origin: Mapping[str, Any] | None = None,
        past: RecordedRun | None = None,
        lesson: Lesson | None = None,
        scorer: Scorer | None = None,
        listener: Callback | None = None,
    ) -> None:
        self.learned, self.lesson, self.scorer = objective, lesson, scorer
        self.listener = listener
        self.parameters, self.objective, self.given = parameters, objective, given
        self.validation = None
        self.n_threads, self.budget, self.store = n_threads, budget, store
        self.saved, self.seeds, self.number, self.state = saved, seeds, number, None
        self.progress, self.origin, self.past = progress, origin, past
        # The description of the run that is resumed or repeated.
        self.begun: Mapping[str, Any] = saved.run if saved else past.run if past else {}
        self.before, self.chosen = before, None
        if self.member is not None:
            progress.announce(f"member {self.member} of {parameters['members']}")

    @property
    def member(self) -> int | None:
        """Number of the member, from 1; None if there is a single model."""
        return self.number + 1 if self.parameters["members"] > 1 else None

    def split(self, labelled: Labelled, validation: Labelled | None) -> None:
        """Split the texts into training and held-out texts."""
        fraction = self.parameters["validation_fraction"]
        if fraction is not None:
            held_out, kept = hold_out(labelled.texts, labelled.strata, fraction, self.seeds.split)
            validation = labelled._replace(weights=None).take(held_out)
            labelled = labelled.take(kept)
        self.labelled, self.validation = labelled, validation

    def open(self) -> None:
        """Open the model and its tokenizer, after choosing a model if that is wanted."""
        parameters = self.parameters
        if self.lesson is not None:
            self.labelled = self.lesson.join(
                self.labelled, self.held_out_texts, self.progress.notice
            )
        if parameters["model"] == AUTO_MODEL and self.before is None:
            self.chosen = chosen_before(self.begun) or self.choose_model()
            parameters = parameters | {"model": self.chosen}
        self.model, self.tokenizer, self.new_head = starting_point(
            parameters, self.objective, self.seeds.new_weights, self.number, self.before,
            tell=None if self.saved or self.past else self.progress.notice,
        )
        self.trainee, self.head = self.model, None
        if parameters["few_shot"]:
            self.trainee = self.model._encoder()
            self.learned = contrast(self.objective)

    def choose_model(self) -> str:
        """Choose one of the models that are installed, for the time that is left for training."""
        scoring = 0.0
        if self.lesson is not None and self.budget.is_limited:
            assert self.labelled.rows is not None
            scoring = self.lesson.estimate(self.labelled.rows, measuring_time(self.budget) / 2)
        return choose_model(
            self.parameters, len(self.objective.label_names), self.labelled.texts,
            self.held_out_texts, self.budget, self.seeds, self.n_threads,
            learns_held_out=self.objective.learns_held_out, scoring=scoring,
        )

    @property
    def held_out_texts(self) -> Sequence[Text]:
        """The held-out texts; empty if there are none."""
        return self.validation.texts if self.validation else []

    def share_out(self) -> None:
        """Keep as many training and held-out texts as a time budget allows."""
        parameters, begun = self.parameters, self.begun
        labelled, validation = self.labelled, self.validation
        self.options = make_options(
            parameters, self.model._engine, self.seeds, begun, validated=validation is not None,
            new_head=self.new_head,
        )
        if parameters["few_shot"]:
            check_layers(self.options.freeze, self.model._engine["num_hidden_layers"])
        plan = begun.get("time_plan")
        if self.budget.is_limited and not self.saved:
            plan = plan_time(
                self.budget, self.model, self.tokenizer, self.options, parameters, labelled.texts,
                self.held_out_texts, n_threads=self.n_threads,
                learns_held_out=self.objective.learns_held_out, saves=bool(self.store),
                lesson=self.lesson, rows=labelled.rows,
            )
            if self.chosen is not None:
                plan["model"] = self.chosen
        positions = self.model._engine["max_position_embeddings"]
        self.special = self.tokenizer.num_special_tokens_to_add(are_pairs(labelled.texts))
        limit = length_limit(self.model._config, self.model._engine)
        self.settled = settle(parameters, plan, limit)
        if plan is not None:
            self.options = replace(
                self.options, epochs=plan["epochs"], freeze=plan["freeze_layers"]
            )
            labelled, validation = keep_to(plan, labelled, validation, self.seeds.split)
        self.time_plan, self.labelled, self.validation = plan, labelled, validation
        self.reader = Reader.of(self.settled, positions, special=self.special)

    def ask_teacher(self, store: RunStore | None, *, quiet: bool) -> None:
        """Let the teacher score the training texts, if there is one.

        Parameters
        ----------
        store : RunStore or None
            Where the scores are kept, the same for all members.
        quiet : bool
            Whether to show nothing.
        """
        if self.lesson is None:
            return
        begun = self.saved or self.past
        if begun is not None:  # another teacher must be refused before it scores anything
            begun.check({**begun.run, **self.lesson.identity})
        self.learned, self.labelled = self.lesson.teach(
            self.labelled, self.settled, store.directory if store else None,
            resume=bool(self.parameters["resume"]),
            verbose=0 if quiet else self.parameters["verbose"], tell=self.progress.announce,
        )

    def read(self) -> None:
        """Tokenize all texts."""
        texts = self.labelled.texts
        with name_texts(partial(_name_text, self.labelled, self.lesson)):
            self.tokens = self.reader.encode(self.tokenizer, texts, self.n_threads)
        cut = self.reader.describe_cuts(self.tokenizer, texts, self.tokens, self.n_threads)
        if cut is not None:
            self.progress.notice(cut)
        self.held_out = None
        if self.parameters["few_shot"]:
            doubt = check_classes(self.labelled)
            if doubt is not None:
                warn(doubt)
            self.head = HeadFit(
                self.model, self.trainee, self.labelled, self.tokens, self.n_threads,
                ordered=isinstance(self.objective, OrdinalClassification),
            )
        if self.validation is not None:
            if self.scorer is not None:
                self.scorer.check(self.objective, self.validation.targets)
            positions = self.model._engine["max_position_embeddings"]
            with name_texts(partial(_name_text, self.validation, None)):
                encoded = Reader.of(
                    self.settled, positions, inference=True, special=self.special
                ).encode(self.tokenizer, self.validation.texts, self.n_threads)
            kind = Examples if self.head is None else partial(FewShotHeldOut, fit=self.head)
            self.held_out = kind(
                encoded.ids, encoded.offsets, self.validation.targets, self.objective,
                windows=Windows.of(encoded), scorer=self.scorer, types=encoded.token_type_ids,
            )

    def choose_passes(self) -> Callable[..., PassTokens]:
        """Return a function that chooses the tokens per pass, given the memory of the cache."""
        own, inference = np.diff(self.tokens.offsets), self.options.inference_precision
        scored = [] if self.held_out is None else [np.diff(self.held_out.offsets)]
        if self.head is not None:  # it is fitted to vectors of the training texts
            scored.append(own)
            inference = inference or self.options.precision
        return partial(
            limit_training, self.trainee, self.parameters["memory_limit"], own,
            unlimited=usual_passes(self.parameters),
            batch_size=most_sequences(self.tokens, self.options.step_size),
            freeze=self.options.freeze, n_threads=self.n_threads,
            validation=np.concatenate(scored) if scored else None,
            keeps_best=self.make_best().watched is not None and self.held_out is not None,
            precision=self.options.precision,
            inference_precision=inference or "float32",
        )

    def make_best(self) -> Best:
        """Return the state of early stopping; with a time budget alone it never stops training."""
        watched = resolve_watched(self.parameters["early_stopping"])
        if watched is None and self.time_plan is not None:
            return Best("loss", math.inf)
        patience = self.parameters["patience"]
        if self.scorer is not None:
            return Best(self.scorer.name, patience, greater_is_better=True)
        return Best(watched, patience, self.objective.watchable().get(watched, False))

    def make_state(self) -> State:
        """Return the state before the first step, or that of the checkpoint."""
        state = State.fresh(self.trainee, self.make_best())
        if self.parameters["track_examples"] and self.number == 0:
            state.examples = ExampleHistory(
                self.objective, self.given["texts"][0], self.given["labels"][0],
                self.training_rows, self.options.epochs,
            )
        if self.saved:
            assert self.store is not None and self.store.run is not None
            self.saved.check(self.store.run)
            self.saved.restore(
                state, self.trainee._trained(self.options.freeze), len(self.labelled.texts)
            )
            self.budget.before = state.used
        if self.time_plan is not None and self.budget.is_limited:
            # Temperature, thresholds and the weight of the words are learned from one more.
            self.budget.evaluations = 1 + self.objective.learns_held_out
            begin(self.budget, self.time_plan)
        return state

    @property
    def training_rows(self) -> npt.NDArray[np.int64]:
        """Row numbers in X of the labelled texts that are trained on."""
        rows = self.labelled.rows
        assert rows is not None
        kept: npt.NDArray[np.int64] = rows[rows < len(self.given["labels"][0])]
        return kept

    def describe(self, storage: str | None) -> dict[str, Any]:
        """Return the description of the run; `storage` is that of the frozen cache."""
        taught = {} if self.lesson is None else self.lesson.describe(self.settled)
        return describe_run(
            parameters=compared_on_resume(self.settled),
            resolved=self.resolved() | {"frozen_cache": storage} | taught | self.watched_function(),
            passes=self.options.passes, seeds=self.seeds, model=self.model,
            tokenizer=self.tokenizer, data=self.given,
        )

    def watched_function(self) -> dict[str, str]:
        """Return what function early stopping watches, if it is one and no name."""
        scorer = None if self.scorer is None else self.scorer.scorer
        if scorer is None or isinstance(scorer, str):
            return {}
        if type(scorer).__module__.startswith("sklearn."):
            # What make_scorer returns shows its function and options, without their addresses.
            return {"scorer": re.sub(" at 0x[0-9a-fA-F]+", "", repr(scorer))}
        return {"scorer": callback_name(scorer)}

    def resolved(self) -> dict[str, Any]:
        """Return the values that were chosen for "auto" and a time budget when the run began."""
        resolved: dict[str, Any] = {
            "learning_rate": self.options.learning_rate,
            "head_learning_rate": self.options.head_learning_rate,
            "time_budget": self.budget.seconds if self.budget.is_limited else None,
            "time_plan": self.time_plan,
        }
        for name in PRECISIONS:
            begun = None
            if self.saved and self.parameters[name] == "auto":
                begun = self.begun.get(name)
            resolved[name] = begun or getattr(self.options, name)
        if self.parameters["few_shot"]:  # runs of version 0.1 do not know it
            resolved["few_shot"] = True
        return resolved

    def train(self) -> None:
        """Train, with a cache for frozen layers and with checkpoints if they are wanted."""
        choose_passes = self.choose_passes()
        with open_cache(
            self.parameters["frozen_cache"],
            begun=(self.begun.get("frozen_cache") or "off") if self.begun else None,
            options=self.options, model=self.trainee, offsets=self.tokens.offsets,
            choose_passes=choose_passes, memory_limit=self.parameters["memory_limit"],
        ) as frozen:
            passes = self.past.passes if self.past else choose_passes(cached=frozen.in_memory)
            self.options = replace(self.options, passes=passes)
            run: dict[str, Any] = {}
            if self.store or self.past or self.parameters["hash_every"]:
                run = self.describe(frozen.storage)
            if self.store:
                self.store.seeds, self.store.run = self.seeds, run
            if self.past:
                self.past.check(run)
            self.state = self.make_state()
            self.go(self.state, frozen, run)

    def record(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """Return the line of the log that says what the run is."""
        assert self.state is not None
        parameters = without_machine(self.parameters)
        return describe_record(
            task=self.objective.problem_type,
            parameters={name: to_plain(value) for name, value in parameters.items()},
            run=run, callbacks=map(callback_name, given_callbacks(self.parameters)),
            origin=self.origin, step=self.state.step, n_threads=self.n_threads,
        )

    def go(self, state: State, frozen: FrozenCache, run: Mapping[str, Any]) -> None:
        """Run the training loop, with log and progress display."""
        precision, progress = self.options.precision, self.progress
        about = {} if self.member is None else {"member": self.member}
        callbacks, log_file = given_callbacks(self.parameters), self.parameters["log_file"]
        if self.listener is not None:
            callbacks = [*callbacks, self.listener]
        if about and state.finished:  # they saw it before other members began
            callbacks, log_file = [], None
        chosen = " (auto)" if self.parameters["precision"] == "auto" else ""
        progress.announce(f"training in {precision}{chosen}")
        if self.time_plan is not None:
            progress.announce(describe_plan(self.time_plan))
        limit = describe_limit(self.parameters, self.model._config, self.reader.max_length)
        if limit is not None:
            progress.announce(limit)
        if frozen.line is not None:
            progress.announce(frozen.line)
        with open_log(log_file, state.step) as log:
            if log is not None and self.parameters["hash_every"]:
                log({**self.record(run), **about})
            train(
                self.trainee,
                Examples(
                    self.tokens.ids, self.tokens.offsets, self.labelled.targets, self.learned,
                    self.labelled.weights, Windows.of(self.tokens), frozen, state.examples,
                    types=self.tokens.token_type_ids, balanced=self.head is not None,
                ),
                self.options,
                n_threads=self.n_threads,
                validation=self.held_out,
                progress=progress,
                state=state,
                save=self.store.save if self.store else None,
                save_every=self.parameters["checkpoint_every"],
                listeners=Listeners([*callbacks, *([log] if log else [])], about),
                budget=self.budget,
                hash_steps=hashed_steps(self.parameters["hash_every"], self.past),
                rates=self.past.rates if self.past and self.time_plan is not None else None,
            )

    def fitted(self) -> Fitted:
        """Return the fitted state of this member alone."""
        assert self.state is not None
        if self.head is not None:
            self.head(self.options)
        return Fitted(
            models=[self.model],
            tokenizer=self.tokenizer,
            objective=self.objective.trained(self.model),
            learning_rate=self.options.learning_rate,
            precision=self.options.precision,
            frozen_layers=self.options.freeze,
            history=self.state.rows(self.objective.metric),
            evaluations=self.state.evaluations,
            best_step=self.state.best.step,
            max_length=self.reader.max_length,
            pairs=are_pairs(self.labelled.texts),
            n_held_out=None if self.validation is None else len(self.validation.texts),
            plan=self.time_plan,
            training_rows=self.training_rows,
            validation_rows=None if self.validation is None else self.validation.rows,
            text_hashes=np.unique(hash_texts(self.labelled.texts)),
            examples=self.state.examples,
            teachers=None if self.lesson is None else self.lesson.record,
        )


def _describe_kept(finished: int, trained: list[Fitted]) -> str:
    """Return the end of a sentence: what a classifier keeps after an interrupt."""
    if finished:
        models = "model that was" if finished == 1 else f"{finished} models that were"
        return f"; the classifier keeps the {models} finished"
    if trained[0].best_step is not None:
        return f"; the classifier keeps the best model so far, of step {trained[0].best_step:,}"
    return "; the classifier keeps the model trained so far"


def _put_together(parameters: Parameters, members: list[Fitted]) -> Fitted:
    """Combine the states of all members. What they share is taken from the last one."""
    together: dict[str, Any] = {}
    if count_members(parameters["members"]) > 1:
        for name in ("history", "evaluations"):
            together[name] = _by_member(getattr(member, name) for member in members)
        together["best_step"] = [member.best_step for member in members]
        together["examples"] = members[0].examples
    if is_list(parameters["members"]):
        for name in ("learning_rate", "max_length", "frozen_layers"):
            together[name] = [getattr(member, name) for member in members]
    return replace(members[-1], models=[member.model for member in members], **together)


def _by_member(tables: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the rows of all members, each with the number of its member."""
    return [
        {"member": number} | row for number, rows in enumerate(tables, 1) for row in rows
    ]


def _check_validation(
    parameters: Parameters, X_val: Texts | None, y_val: Labels | None, objective: Objective,
    pairs: bool,
) -> Labelled | None:
    fraction, stopping = parameters["validation_fraction"], parameters["early_stopping"]
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val go together; one of them is missing")
    if X_val is None or y_val is None:
        if stopping:
            _require_held_out("early_stopping", parameters, None)
        return None
    if fraction is not None:
        raise ValueError(
            f"X_val and {spell('validation_fraction', fraction)} are both given; use one of them"
        )
    texts = check_texts(X_val, "X_val", strip=parameters["strip_html"])
    if not texts:
        raise ValueError("X_val is empty; leave it out or pass some texts")
    check_alike(texts, "X_val", pairs)
    targets = objective.encode(y_val, len(texts), "y_val")
    return Labelled(texts, targets, objective.strata(targets))


def _require_held_out(name: str, parameters: Parameters, validation: Labelled | None) -> None:
    """Raise if a parameter needs held-out texts, and there are none."""
    if validation is None and parameters["validation_fraction"] is None:
        raise ValueError(
            f"{spell(name, parameters[name])} needs held-out texts; pass "
            + phrase(python="X_val and y_val, or ", command="")
            + spell("validation_fraction", 0.1)
        )


def _name_text(labelled: Labelled, lesson: Lesson | None, number: int) -> str:
    if lesson is not None and labelled.rows is not None:
        return lesson.name_text(int(labelled.rows[number]))
    return f"X_val[{number}]" if labelled.rows is None else f"X[{labelled.rows[number]}]"


def _open_store(
    parameters: Parameters, number: int
) -> contextlib.AbstractContextManager[RunStore | None]:
    """Return the store of a member: the directory itself for the first, a subfolder for others."""
    if parameters["checkpoint_dir"] is None:
        return contextlib.nullcontext()
    directory = expand_path(parameters["checkpoint_dir"])
    if number > 0:
        directory = directory / f"member-{number + 1}"
    return RunStore(directory, parameters["checkpoint_keep"], bool(parameters["resume"]))


def given_callbacks(parameters: Parameters) -> list[Any]:
    """Return the callbacks as a list."""
    callbacks = parameters["callbacks"]
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def starting_point(
    parameters: Parameters,
    objective: Objective,
    seed: int,
    number: int = 0,
    before: Fitted | None = None,
    tell: Callable[[str], None] | None = None,
) -> tuple[BertForSequenceClassification, Tokenizer, bool]:
    """Return the model to train, its tokenizer, and whether its output layer is new.

    Parameters
    ----------
    parameters : dict
        Parameters of a member, where `members` is the number of members.
    objective : Objective
    seed : int
        Seed of new weights.
    number : int, default=0
        Number of the member, from 0.
    before : Fitted or None, default=None
        State from which a warm start continues.
    tell : callable or None, default=None
        Called with a line about parts of the model that are new.

    Returns
    -------
    model : BertForSequenceClassification
    tokenizer : Tokenizer
    new_head : bool
    """
    pooling = parameters["pooling"]
    if before is not None:
        if type(objective) is not type(before.objective):
            raise ValueError(
                f"warm_start=True continues with a model that {before.objective.purpose}, but y is "
                f"for one that {objective.purpose}; use warm_start=False to start anew"
            )
        objective.check_same_labels(before.objective)
        own = before.model._engine["pooling"]
        if pooling not in (None, own):
            raise ValueError(
                f"warm_start=True continues with pooling={own!r}, not {pooling!r}; "
                "use warm_start=False to start anew"
            )
        members = parameters["members"]
        if len(before.models) != members:
            raise ValueError(
                f"warm_start=True continues with the {len(before.models)} fitted models, "
                f"not with members={members}; use warm_start=False to start anew"
            )
        # A copy: an error must leave the classifier as it was.
        model = copy.deepcopy(before.models[number])
        objective.begin(model)
        return model, before.tokenizer, False
    directory = resolve_directory(parameters["model"])
    names = objective.label_names
    with hold_directory(directory):
        model, loaded = load_model(
            directory,
            parameters["model"],
            id2label=dict(enumerate(names)),
            random_state=seed,
            pooling=pooling,
            problem_type=objective.head_type,
            new_classifier=None,
        )
        tokenizer = load_tokenizer(directory, model)
    if not loaded.has_new_outputs:
        objective.begin(model)
    if tell is not None:
        if loaded.fresh and not loaded.discarded:
            tell(describe_new(parameters["model"], loaded.fresh, objective))
        warn_of_loss(parameters["model"], loaded, objective, parameters["verbose"])
    return model, tokenizer, loaded.has_new_outputs
