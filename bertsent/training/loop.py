"""The training loop. It knows neither texts nor labels: examples do their own steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

import numpy as np

from bertsent.system import Interrupts, Silent, hold_interrupts, interrupted, uninterrupted
from bertsent.training.budget import Budget
from bertsent.training.callbacks import Listeners
from bertsent.training.hashes import hash_parts
from bertsent.training.schedule import rate_factor, step_ends
from bertsent.training.state import State
from bertsent.training.types import ModelT
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.training.options import TrainingOptions
    from bertsent.training.types import TrainingData

Save: TypeAlias = "Callable[[State, npt.NDArray[np.float32]], None]"


def train(
    model: ModelT,
    examples: TrainingData[ModelT],
    options: TrainingOptions,
    *,
    n_threads: int,
    validation: TrainingData[ModelT] | None = None,
    progress: Silent | None = None,
    state: State | None = None,
    save: Save | None = None,
    save_every: int | None = None,
    listeners: Listeners | None = None,
    budget: Budget | None = None,
    hash_steps: Container[int] = (),
    rates: Mapping[int, float] | None = None,
) -> State:
    """Train a model in place.

    Parameters
    ----------
    model : BertForSequenceClassification
        Its parameters are overwritten.
    examples : Examples
        The training data.
    options : TrainingOptions
    n_threads : int
        Threads of the engine. Their number does not change the result.
    validation : Examples or None
        Held-out data, evaluated without dropout after every epoch and every
        ``options.eval_every`` steps.
    progress : Silent, an object with the same methods, or None
        Display that is called on every step, evaluation and epoch.
    state : State or None
        The state to resume from; None for a new run. It is changed in place, so that history and
        evaluations are available if training is interrupted.
    save : callable or None
        Called with the state and the trained part of the parameters: regularly, at the end, and if
        training is interrupted between two steps.
    save_every : int or None
        Steps between two calls of `save`; None to call it after every epoch.
    listeners : Listeners or None
        Called on every event; they may end training.
    budget : Budget or None
        Time limit. If time runs ahead of the steps, the learning rate follows the time. A step
        begins only if it can finish in time, together with evaluation and checkpoint.
    hash_steps : container of int, default=()
        Numbers of the steps, from 1, after which the trained parameters are hashed. The events of
        these steps have a ``hash``. If there are any, so has the last event, unless training was
        interrupted or failed.
    rates : dict of int to float or None, default=None
        Learning rates by the number of the step, from 1, which replace those of the schedule.

    Returns
    -------
    State
        Its ``history`` has one row for each epoch: epoch, loss, the metric of the examples,
        tokens, seconds, and if there is a validation set, all that `Examples.evaluate` returns.
        If training ended within an epoch, its row also has the part of it that was done.

    Raises
    ------
    FloatingPointError
        Loss or gradient is not finite. The failed step has changed nothing.
    KeyboardInterrupt
        Ctrl-C, SIGTERM or SIGHUP. It is raised between two steps, and says between which.
    """
    state = State.fresh(model) if state is None else state
    loop = _Loop(model, examples, options, n_threads, validation, progress or Silent(), state)
    loop.save, loop.save_every = save, save_every
    loop.listeners, loop.budget = listeners or Listeners(), budget or Budget()
    loop.hash_steps, loop.rates = hash_steps, rates or {}
    loop.run()
    return state


class _Loop(Generic[ModelT]):
    """One call of `train`."""

    save: Save | None
    save_every: int | None
    listeners: Listeners
    budget: Budget
    hash_steps: Container[int]
    rates: Mapping[int, float]

    def __init__(
        self,
        model: ModelT,
        examples: TrainingData[ModelT],
        options: TrainingOptions,
        n_threads: int,
        validation: TrainingData[ModelT] | None,
        progress: Silent,
        state: State,
    ) -> None:
        self.model, self.examples, self.options, self.state = model, examples, options, state
        self.n_threads, self.validation, self.progress = n_threads, validation, progress
        self.interrupts, self.waiting = Interrupts(), False
        self.gradients = np.zeros(model._flat.size, dtype=np.float32)
        self.ends = step_ends(len(examples), options.step_size, even=options.even_steps)
        self.steps_an_epoch = len(self.ends)
        under_way = 0 if state.order is None else self.steps_done()
        to_come = (options.epochs - state.epoch) * self.steps_an_epoch - under_way
        self.total = state.step + to_come

    def run(self) -> None:
        state = self.state
        self.progress.start(
            self.options.epochs, self.steps_an_epoch, int(self.examples.offsets[-1]),
            state.step, state.tokens,
        )
        self.listeners.tell("start", {
            "step": state.step, "steps": self.total, "epochs": self.options.epochs,
            "texts": len(self.examples), "learning_rate": self.options.learning_rate,
        })
        outcome = "failed"
        try:
            with self.interrupts:
                state.finished = state.finished or self.out_of_time()
                while not state.finished:
                    self.epoch()
                    if self.save_every is None or state.finished:
                        self.keep()
                    self.interrupts.check()
            outcome = "stopped" if state.stopped else "finished"
        except KeyboardInterrupt as stop:
            outcome = "interrupted"
            if state.settled:
                uninterrupted(self.keep)
            epoch = min(state.epoch + 1, self.options.epochs)
            raise interrupted(
                stop,
                f"training was interrupted after step {state.step:,} of {self.total:,}, in epoch "
                f"{epoch} of {self.options.epochs}",
            ) from None
        finally:
            self.restore_best()
            self.progress.end(outcome)
            done = {"step": state.step, "outcome": outcome, "best_step": state.best.step}
            if self.hash_steps and outcome in ("finished", "stopped"):
                done["hash"] = self.hash()
            self.listeners.tell("end", done)

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Call the callbacks; one of them may stop training."""
        with hold_interrupts():
            self.state.stopped |= self.listeners.tell(event, facts)

    def epoch(self) -> None:
        """Train on all texts once, or on the rest of them if the epoch is resumed."""
        state = self.state
        started = time.perf_counter()
        self.examples.prepare(
            self.model, self.options, self.n_threads, report=self.progress.prepared,
            check=self.interrupts.check,
        )
        prepared = time.perf_counter() - started
        if state.order is None:
            state.begin_epoch(self.examples.order(self.options.order_seed, state.epoch))
        order = state.order
        assert order is not None
        state.sums.seconds += prepared
        while state.position < len(order) and self.goes_on():
            state.settled = False
            with self.budget.timed("step"):
                done = self.step()
            every = self.options.eval_every
            row = None
            if self.validation is not None and every and state.step % every == 0:
                row = self.evaluate(self.validation)
            state.settled = True
            self.tell("step", done)
            if row is not None:
                self.progress.evaluation(row)
                self.tell("evaluation", row)
            if self.save_every and state.step % self.save_every == 0:
                self.keep()
            self.interrupts.check()
        self.end_epoch()

    def goes_on(self) -> bool:
        """Return whether another step is wanted and there is time for it."""
        self.state.stopped = self.state.stopped or self.out_of_time()
        return not self.state.stopped

    def out_of_time(self) -> bool:
        """Return whether there is no time for another step. The first step is always done."""
        over = self.state.step > 0 and not self.budget.has_room()
        if over:
            self.progress.out_of_time(self.state.step, self.total)
        return over

    def keep(self) -> None:
        """Save a checkpoint, if there is somewhere to save it."""
        if self.save is not None:
            self.state.used = self.budget.used
            with self.budget.timed("checkpoint"):
                self.save(self.state, self.trained())

    def steps_done(self) -> int:
        """Return the number of steps that are done in this epoch."""
        return int(np.searchsorted(self.ends, self.state.position, side="right"))

    def step(self) -> dict[str, Any]:
        state, options = self.state, self.options
        assert state.order is not None
        started = time.perf_counter()
        rows = state.order[state.position : self.ends[self.steps_done()]]
        ahead = max(state.step, self.budget.progress * self.total)
        rate = options.learning_rate * rate_factor(
            options.schedule, ahead, self.total, options.warmup_ratio
        )
        rate = self.rates.get(state.step + 1, rate)
        try:
            done = self.examples.train_step(
                self.model, rows, options, (self.gradients, state.exp_avg, state.exp_avg_sq),
                epoch=state.epoch,
                freeze=options.freeze,
                seed=options.dropout_seed,
                step=state.step,
                lr=rate,
                weight_decay=options.weight_decay,
                max_grad_norm=options.max_grad_norm,
                precision=options.precision,
                rates=options.rates,
                n_threads=self.n_threads,
                micro_batch_tokens=options.passes.training,
            )
        except FloatingPointError as error:
            raise self.diverged(error) from None
        state.sums.add(done)
        state.position += len(rows)
        state.step += 1
        hashed = {"hash": self.hash()} if state.step in self.hash_steps else {}
        seconds = time.perf_counter() - started
        state.sums.seconds += seconds
        self.progress.step(state.epoch, done.tokens, self.means())
        return {
            "step": state.step, "epoch": state.epoch + 1, "loss": done.loss,
            "learning_rate": rate, "grad_norm": done.norm, "tokens": done.tokens,
            "seconds": seconds, **hashed,
        }

    def evaluate(self, validation: TrainingData[ModelT]) -> dict[str, Any]:
        """Evaluate the held-out data."""
        state = self.state
        row: dict[str, Any] = {"step": state.step, "epoch": state.epoch + 1}
        with self.budget.timed("evaluation"):
            row |= validation.evaluate(
                self.model, self.options, self.n_threads, report=self.evaluating
            )
        state.evaluations.append(row)
        state.stopped |= state.best.see(row, self.trained())
        return row

    def evaluating(self, part: float) -> None:
        """Display the progress of an evaluation, and that an interrupt waits for its end."""
        self.progress.evaluating(part)
        waiting = self.interrupts.pending is not None and part < 1
        if waiting and not self.waiting:
            self.progress.stopping()
        self.waiting = waiting

    def means(self) -> dict[str, float]:
        """Return the mean loss and metric of the current epoch."""
        return self.state.means(self.examples.metric)

    def end_epoch(self) -> None:
        state = self.state
        state.settled = False
        row = state.row(self.examples.metric)
        if self.validation is not None:
            if not state.evaluations or state.evaluations[-1]["step"] != state.step:
                self.tell("evaluation", self.evaluate(self.validation))
            found = state.evaluations[-1]
            row |= {name: found[name] for name in found if name.startswith("validation_")}
        state.history.append(row)
        self.tell("epoch", row | {"step": state.step})
        state.epoch, state.order = state.epoch + 1, None
        state.finished = state.epoch == self.options.epochs or not self.goes_on()
        state.settled = True
        self.progress.epoch(row)
        if state.stopped and state.best.is_over():
            self.progress.stopped(state.best)

    def trained(self) -> npt.NDArray[np.float32]:
        """Return the part of the parameters that is trained."""
        return self.model._trained(self.options.freeze)

    def hash(self) -> str:
        """Return a hash of the trained parameters."""
        return hash_parts(self.trained())

    def restore_best(self) -> None:
        best = self.state.best
        if best.weights is not None:
            self.trained()[:] = best.weights
            self.model._core.touch()

    def diverged(self, error: FloatingPointError) -> FloatingPointError:
        options = self.options
        return FloatingPointError(
            f"training stopped at step {self.state.step + 1} of {self.total} "
            f"(epoch {self.state.epoch + 1}): {error}. "
            f"Try a lower {spell('learning_rate')} (it was {options.learning_rate:g}), a smaller "
            f"{spell('max_grad_norm')} (it was {options.max_grad_norm:g}) or a larger "
            f"{spell('warmup_ratio')} (it was {options.warmup_ratio:g})"
        )
