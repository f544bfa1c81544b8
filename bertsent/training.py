"""The training loop: batches cut from the token stream, one row of history an epoch."""

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bertsent.batch import gather
from bertsent.budget import Budget
from bertsent.callbacks import Listeners
from bertsent.example_history import ExampleHistory
from bertsent.frozen import FrozenCache
from bertsent.interrupts import Interrupts
from bertsent.long_text import Windows
from bertsent.memory import Plan
from bertsent.progress import Silent
from bertsent.schedule import epoch_order, rate_factor
from bertsent.state import State
from bertsent.validation import evaluate


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run, besides the texts and the initial weights.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the texts; texts a step.
    learning_rate, weight_decay, max_grad_norm : float
        Peak rate and decay of AdamW; norm that gradients are clipped to (0: not at all).
    warmup_ratio : float
        Part of the steps in which the rate rises.
    schedule : {"linear", "cosine", "constant"}
        What it does after that.
    rates : float32 ndarray of shape (layers + 2,) or None
        Factors of the rate for embeddings, each layer, and the head.
    label_smoothing : float
        Part of each target that is spread evenly over all classes.
    accumulate_steps : int
        Batches whose gradient makes one step.
    freeze : int
        0 trains everything; k leaves the embeddings and the first k layers as they are.
    freeze_dropout : bool
        Whether dropout is left out in what is frozen.
    order_seed, dropout_seed : int
        Seeds of the order of the texts and of dropout.
    eval_every : int or None
        Steps between two evaluations, beside those at the end of every epoch; None for no others.
    precision : str
        What steps compute in.
    inference_precision : str or None
        What evaluations compute in; None for the model's own.
    plan : Plan
        Tokens that go through the model at once. Others change the last bits of the result.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    schedule: str = "linear"
    rates: np.ndarray | None = None
    label_smoothing: float = 0.0
    accumulate_steps: int = 1
    max_grad_norm: float = 1.0
    freeze: int = 0
    freeze_dropout: bool = False
    order_seed: int = 0
    dropout_seed: int = 0
    eval_every: int | None = None
    precision: str = "float32"
    inference_precision: str | None = None
    plan: Plan = Plan()

    @property
    def step_size(self):
        """Texts a step. The engine cuts them into micro-batches whatever their number is."""
        return self.batch_size * self.accumulate_steps


class Learned(NamedTuple):
    """What came of one step.

    Attributes
    ----------
    tokens : int
        Tokens read.
    loss, norm : float or None
        Mean loss, and norm of the gradient before clipping; None if nothing counted.
    weight, hits : float
        What counted, and how much of it was predicted rightly.
    """

    tokens: int
    loss: float | None = None
    norm: float | None = None
    weight: float = 0.0
    hits: float = 0.0


@dataclass(frozen=True)
class Examples:
    """Tokenized texts with what is to be learned from them.

    `train` takes anything that can do what this can.

    Parameters
    ----------
    ids : int32 ndarray
        The tokens of all texts, end to end.
    offsets : int64 ndarray
        Where each text, or each window, begins, and where the last one ends.
    labels : int32 ndarray
        Class numbers.
    weights : float32 ndarray or None
        What each text counts; None if all count alike.
    windows : Windows or None
        Which sequences make one text; None if each is one.
    frozen : FrozenCache
        Keeps the output of the frozen layers, or nothing.
    history : ExampleHistory or None
        Takes up what each step sees of its texts.
    """

    ids: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None
    windows: Windows | None = None
    frozen: FrozenCache = field(default_factory=FrozenCache)
    history: ExampleHistory | None = None

    def __len__(self):
        return len(self.labels)

    def prepare(self, model, recipe, n_threads, **how):
        """Do what comes before an epoch: see `FrozenCache.fill`."""
        self.frozen.fill(model, self, recipe, n_threads, **how)

    def gather(self, rows):
        """Tokens of some texts, laid end to end in the order of ``rows``.

        Returns
        -------
        ids : int32 ndarray
        cu_seqlens : int64 ndarray
        keys : uint64 ndarray
            What dropout knows each sequence by.
        windows : tuple or None
            Which sequences make one text, as the engine takes it.
        """
        if self.windows is None:
            return *gather(self.ids, self.offsets, rows), rows.astype(np.uint64), None
        sequences, windows = self.windows.take(rows)
        keys = self.windows.keys(rows)
        return *gather(self.ids, self.offsets, sequences), keys, tuple(windows)

    def stored(self, rows):
        """What the engine takes for some texts in the place of the frozen layers, or None."""
        if self.frozen.storage is None:
            return None
        sequences = rows if self.windows is None else self.windows.take(rows)[0]
        return self.frozen.stored(sequences)

    def train_step(self, model, rows, recipe, buffers, *, epoch, **options):
        """Train on some of the texts: one step.

        Parameters
        ----------
        model : BertForSequenceClassification
        rows : int64 ndarray
            Which texts.
        recipe : Recipe
        buffers : tuple of float32 ndarray
            Gradients and both moments.
        epoch : int
            Passes over all texts done before.
        **options
            Of the engine's step.

        Returns
        -------
        Learned
        """
        ids, cu_seqlens, keys, windows = self.gather(rows)
        labels = self.labels[rows]
        weights = None if self.weights is None else self.weights[rows]
        # A batch whose texts all count nothing has no loss; its step passes without update.
        if weights is not None and not weights.any():
            return Learned(len(ids))
        loss, logits, norm = model._core.train_step(
            ids, None, None, cu_seqlens, keys, labels, weights, *buffers, windows=windows,
            stored=self.stored(rows), label_smoothing=recipe.label_smoothing,
            freeze_dropout=recipe.freeze_dropout, **options,
        )
        if self.history is not None:
            self.history.add(epoch, rows, logits, recipe.label_smoothing)
        hits = logits.argmax(axis=1) == labels
        if weights is None:
            return Learned(len(ids), loss, norm, float(len(labels)), float(hits.sum()))
        weight, right = (float(w.sum(dtype=np.float64)) for w in (weights, weights[hits]))
        return Learned(len(ids), loss, norm, weight, right)

    def evaluate(self, model, recipe, n_threads):
        """Loss and accuracy on these texts, as a row of the evaluations has them."""
        return evaluate(model, self, n_threads, recipe.inference_precision, recipe.plan.scoring)


def train(
    model, examples, recipe, *, n_threads, validation=None, progress=None, state=None, save=None,
    save_every=None, listeners=None, budget=None,
):
    """Train a model in place.

    Parameters
    ----------
    model : BertForSequenceClassification
        Its parameters are overwritten.
    examples : Examples
        What to learn from.
    recipe : Recipe
        How.
    n_threads : int
        Threads of the engine; they do not change the result.
    validation : Examples or None
        Scored after every epoch and every ``recipe.eval_every`` steps, without dropout.
    progress : Silent or a class with its methods, or None
        Is told of every step, evaluation and epoch.
    state : State or None
        Where to go on from, changed in place, so that a caller still has history and
        evaluations when training is interrupted. By default training begins.
    save : callable or None
        Is called with state and the trained part of the parameters at the end, when training is
        interrupted between two steps, and regularly.
    save_every : int or None
        Steps between two such calls; None for one after every epoch.
    listeners : Listeners or None
        Are told of every event, and may end training.
    budget : Budget or None
        Ends training in time: the learning rate follows the time if that is ahead of the steps,
        and no step is begun that might not end in it, evaluation and checkpoint included.

    Returns
    -------
    State
        Its ``history`` has one row an epoch: epoch, loss, accuracy, tokens, seconds, and
        validation_loss and validation_accuracy if there is a validation set.

    Raises
    ------
    FloatingPointError
        Loss or gradient is not finite. The step at which that was seen has changed nothing.
    KeyboardInterrupt
        Ctrl-C, or SIGTERM; between two steps.
    """
    state = State.fresh(model) if state is None else state
    loop = _Loop(model, examples, recipe, n_threads, validation, progress or Silent(), state)
    loop.save, loop.save_every = save, save_every
    loop.listeners, loop.budget = listeners or Listeners(), budget or Budget()
    loop.run()
    return state


class _Loop:
    """One call of `train`: what its parts have in common."""

    def __init__(self, model, examples, recipe, n_threads, validation, progress, state):
        self.model, self.examples, self.recipe, self.state = model, examples, recipe, state
        self.n_threads, self.validation, self.progress = n_threads, validation, progress
        self.gradients = np.zeros(model._flat.size, dtype=np.float32)
        self.steps_an_epoch = math.ceil(len(examples) / recipe.step_size)
        under_way = 0 if state.order is None else math.ceil(state.position / recipe.step_size)
        to_come = (recipe.epochs - state.epoch) * self.steps_an_epoch - under_way
        self.total = state.step + to_come

    def run(self):
        state = self.state
        self.progress.start(
            self.recipe.epochs, self.steps_an_epoch, int(self.examples.offsets[-1]),
            state.step, state.tokens,
        )
        self.listeners.tell("start", {
            "step": state.step, "steps": self.total, "epochs": self.recipe.epochs,
            "texts": len(self.examples), "learning_rate": self.recipe.learning_rate,
        })
        outcome = "failed"
        try:
            with Interrupts() as interrupts:
                state.finished = state.finished or self.out_of_time()
                while not state.finished:
                    self.epoch(interrupts)
                    if self.save_every is None or state.finished:
                        self.keep()
            outcome = "stopped" if state.stopped else "finished"
        except KeyboardInterrupt:
            outcome = "interrupted"
            if state.settled:
                self.keep()
            raise
        finally:
            self.restore_best()
            self.listeners.tell("end", {
                "step": state.step, "outcome": outcome, "best_step": state.best.step
            })

    def tell(self, event, facts):
        """Let callbacks know; one of them may want no further step."""
        self.state.stopped |= self.listeners.tell(event, facts)

    def epoch(self, interrupts):
        """Go through the texts once, or through those that are left."""
        state = self.state
        started = time.perf_counter()
        self.examples.prepare(
            self.model, self.recipe, self.n_threads, report=self.progress.prepared,
            check=interrupts.check,
        )
        prepared = time.perf_counter() - started
        if state.order is None:
            state.begin_epoch(
                epoch_order(len(self.examples), self.recipe.order_seed, state.epoch)
            )
        state.sums.seconds += prepared
        while state.position < len(state.order) and self.goes_on():
            state.settled = False
            with self.budget.timed("step"):
                done = self.step()
            every = self.recipe.eval_every
            row = None
            if self.validation is not None and every and state.step % every == 0:
                row = self.evaluate()
            state.settled = True
            self.tell("step", done)
            if row is not None:
                self.progress.evaluation(row)
                self.tell("evaluation", row)
            if self.save_every and state.step % self.save_every == 0:
                self.keep()
            interrupts.check()
        self.end_epoch()

    def goes_on(self):
        """Whether a further step is wanted and there is time for it."""
        self.state.stopped = self.state.stopped or self.out_of_time()
        return not self.state.stopped

    def out_of_time(self):
        """Whether the budget has no room for another step; the first is always made."""
        over = self.state.step > 0 and not self.budget.has_room()
        if over:
            self.progress.out_of_time(self.state.step, self.total)
        return over

    def keep(self):
        """Save the run, if it is to be saved."""
        if self.save is not None:
            self.state.used = self.budget.used
            with self.budget.timed("checkpoint"):
                self.save(self.state, self.trained())

    def step(self):
        state, recipe = self.state, self.recipe
        started = time.perf_counter()
        rows = state.order[state.position : state.position + recipe.step_size]
        ahead = max(state.step, self.budget.progress * self.total)
        rate = recipe.learning_rate * rate_factor(
            recipe.schedule, ahead, self.total, recipe.warmup_ratio
        )
        try:
            done = self.examples.train_step(
                self.model, rows, recipe, (self.gradients, state.exp_avg, state.exp_avg_sq),
                epoch=state.epoch,
                freeze=recipe.freeze,
                seed=recipe.dropout_seed,
                step=state.step,
                lr=rate,
                weight_decay=recipe.weight_decay,
                max_grad_norm=recipe.max_grad_norm,
                precision=recipe.precision,
                rates=recipe.rates,
                n_threads=self.n_threads,
                micro_batch_tokens=recipe.plan.training,
            )
        except FloatingPointError as error:
            raise self.diverged(error) from error
        state.sums.add(done)
        state.position += len(rows)
        state.step += 1
        seconds = time.perf_counter() - started
        state.sums.seconds += seconds
        self.progress.step(state.epoch, done.tokens, state.sums.loss, state.sums.accuracy)
        return {
            "step": state.step, "epoch": state.epoch + 1, "loss": done.loss,
            "learning_rate": rate, "grad_norm": done.norm, "tokens": done.tokens,
            "seconds": seconds,
        }

    def evaluate(self):
        """Score what is held out."""
        state = self.state
        row = {"step": state.step, "epoch": state.epoch + 1}
        with self.budget.timed("evaluation"):
            row |= self.validation.evaluate(self.model, self.recipe, self.n_threads)
        state.evaluations.append(row)
        state.stopped |= state.best.see(row, self.trained())
        return row

    def end_epoch(self):
        state = self.state
        state.settled = False
        sums = state.sums
        row = {"epoch": state.epoch + 1, "loss": sums.loss, "accuracy": sums.accuracy}
        row |= {"tokens": sums.tokens, "seconds": sums.seconds}
        if self.validation is not None:
            if not state.evaluations or state.evaluations[-1]["step"] != state.step:
                self.tell("evaluation", self.evaluate())
            found = state.evaluations[-1]
            row |= {name: found[name] for name in ("validation_loss", "validation_accuracy")}
        state.history.append(row)
        self.tell("epoch", row | {"step": state.step})
        state.epoch, state.order = state.epoch + 1, None
        state.finished = state.epoch == self.recipe.epochs or not self.goes_on()
        state.settled = True
        self.progress.epoch(row)
        if state.stopped and state.best.is_over():
            self.progress.stopped(state.best)

    def trained(self):
        """The part of the parameters that is trained."""
        return self.model._trained(self.recipe.freeze)

    def restore_best(self):
        best = self.state.best
        if best.weights is not None:
            self.trained()[:] = best.weights
            self.model._core.touch()

    def diverged(self, error):
        recipe = self.recipe
        return FloatingPointError(
            f"training stopped at step {self.state.step + 1} of {self.total} "
            f"(epoch {self.state.epoch + 1}): {error}. "
            f"Try a lower learning_rate (it was {recipe.learning_rate:g}), a smaller "
            f"max_grad_norm (it was {recipe.max_grad_norm:g}) or a larger warmup_ratio "
            f"(it was {recipe.warmup_ratio:g})"
        )
