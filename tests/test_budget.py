"""Time budgets: how they are written, and that training keeps to them, with a fake clock."""

import numpy as np
import pytest
from test_training import make_examples
from test_validation import Scripted

from bertsent.classifier.parameters import PARAMETERS
from bertsent.system.progress import Silent
from bertsent.system.units import format_time, parse_time
from bertsent.training import budget as budgets
from bertsent.training.budget import Budget
from bertsent.training.evaluation import Best
from bertsent.training.examples import Examples
from bertsent.training.loop import train
from bertsent.training.options import TrainingOptions
from bertsent.training.schedule import rate_factor
from bertsent.training.state import State


class Clock:
    """A clock that only moves when it is set."""

    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(budgets, "now", clock)
    return clock


class TimedTexts(Examples):
    """Examples whose steps and evaluations move a clock."""

    def moving(self, clock, seconds):
        object.__setattr__(self, "clock", clock)
        object.__setattr__(self, "seconds", list(seconds))
        return self

    def move(self):
        self.clock.time += self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]

    def train_step(self, *args, **options):
        self.move()
        return super().train_step(*args, **options)

    def evaluate(self, *args, **options):
        self.move()
        return super().evaluate(*args, **options)


def timed_texts(n, clock, seconds, label=None):
    made = make_examples(n)
    labels = made.targets if label is None else np.full(n, label, dtype=np.int32)
    return TimedTexts(made.ids, made.offsets, labels, made.objective).moving(clock, seconds)


class Told(Silent):
    """Records when the time is over."""

    ends = None

    def out_of_time(self, step, steps):
        self.ends = step, steps


def run(clock, seconds, steps, evaluations=(), *, planned=(1.0, 0.0), epochs=2, best=None, **more):
    """Train on 40 texts, 10 steps per epoch, with a time limit in seconds.

    ``steps`` and ``evaluations`` are their durations in seconds; the last one repeats.
    """
    budget = Budget(seconds)
    budget.begin(0.0, step=planned[0], evaluation=planned[1], checkpoint=0.0)
    model = Scripted(range(99))
    held_out = timed_texts(4, clock, evaluations, label=1) if evaluations else None
    state, told = State.fresh(model, best), Told()
    train(
        model, timed_texts(40, clock, steps),
        TrainingOptions(epochs=epochs, batch_size=4, learning_rate=1.0, **more), n_threads=1,
        validation=held_out, state=state, budget=budget, progress=told,
    )
    rates = [call["lr"] for call in model._core.calls]
    return rates, state, budget, told, model


# --- how a time is written ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30min", 1800), ("1h30min", 5400), ("2h", 7200), ("1.5 H", 5400),
     (" 2 min 5 s ", 125), ("1h1min1s", 3661), (45, 45.0), (np.float32(2.5), 2.5)],
)
def test_times_are_read(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "30", "30m", "min", "0s", "-5s", "5s 2min", "1d", "soon", 0, -1, True, float("inf"),
     float("nan")],
)
def test_what_is_no_time_is_refused(value):
    parameter = next(p for p in PARAMETERS if p.name == "time_budget")
    with pytest.raises(ValueError, match="time_budget=.*expected None, a number of seconds"):
        parameter.check(value)


def test_flags_take_both_forms():
    parameter = next(p for p in PARAMETERS if p.name == "time_budget")
    assert parameter.kind.parse("1h30min") == "1h30min" and parameter.kind.parse("90") == 90.0
    with pytest.raises(ValueError, match="got 'soon'"):
        parameter.kind.parse("soon")


@pytest.mark.parametrize("seconds", [0.2, 1, 59.5, 61, 599.9, 601, 5000, 86400])
def test_written_times_are_enough_and_hardly_more(seconds):
    assert seconds <= parse_time(format_time(seconds)) <= 1.1 * seconds + 1


# --- training by it -----------------------------------------------------------------------


def test_without_a_budget_time_is_of_no_consequence(clock):
    rates, state, budget, told, _ = run(clock, float("inf"), [1e6])
    assert rates == [rate_factor("linear", step, 20, 0.1) for step in range(20)]
    assert state.step == 20 and not state.stopped and told.ends is None
    assert budget.progress == 0.0 and budget.has_room()


def test_as_fast_as_planned_the_rate_follows_the_steps_alone(clock):
    for seconds in ([1.0], [0.1]):
        rates, state, _, told, _ = run(clock, 25.0, seconds)
        assert rates == [rate_factor("linear", step, 20, 0.1) for step in range(20)]
        assert state.finished and not state.stopped and told.ends is None


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize(
    "steps", [[2.0], [1.0] * 5 + [3.0], [1.0, 1.0, 6.0, 1.0, 1.0, 2.0, 2.0]]
)
def test_slower_than_planned_it_ends_in_time_with_the_rate_come_down(clock, schedule, steps):
    rates, state, budget, told, _ = run(clock, 25.0, steps, schedule=schedule)
    assert budget.used <= 25.0
    assert state.step < 20 and told.ends == (state.step, 20)
    assert state.stopped and state.finished
    top = rates.index(max(rates))
    assert rates[top:] == sorted(rates[top:], reverse=True) and rates[-1] < 0.3 * max(rates)
    # Every text of the completed steps is in the history.
    assert sum(row["tokens"] for row in state.history) == state.tokens > 0


def test_a_slow_beginning_may_be_made_up_for(clock):
    rates, state, budget, told, _ = run(clock, 25.0, [4.0] * 3 + [0.5])
    assert state.step == 20 and budget.used <= 25.0 and told.ends is None
    # At first, time ran ahead of the steps.
    assert rates[3] < rate_factor("linear", 3, 20, 0.1)
    assert rates[-1] == rate_factor("linear", 19, 20, 0.1)


def test_evaluations_are_part_of_the_time(clock):
    rates, state, budget, _, _ = run(
        clock, 40.0, [1.5], [4.0], planned=(1.0, 4.0), best=Best("loss", float("inf"))
    )
    assert budget.used <= 40.0 and state.stopped
    # The weights that training ended with were scored.
    assert state.evaluations[-1]["step"] == state.step == len(rates)
    assert {row["step"] for row in state.evaluations} == {10, state.step}


def test_an_evaluation_that_took_long_is_expected_to_again(clock):
    _, state, budget, _, _ = run(clock, 30.0, [1.0], [8.0], planned=(1.0, 1.0))
    assert budget.used <= 30.0 and 10 < state.step < 20 and len(state.evaluations) == 2


def test_what_has_not_been_done_yet_is_thought_as_slow_as_steps_have_become(clock):
    _, state, budget, _, _ = run(clock, 60.0, [3.0], [24.0], planned=(1.0, 8.0), epochs=1)
    assert budget.used <= 60.0 and 0 < state.step < 10 and len(state.evaluations) == 1


def test_the_best_weights_are_taken_in_the_end(clock):
    _, state, _, _, model = run(
        clock, 30.0, [1.5], [1.0], planned=(1.0, 1.0), eval_every=4,
        best=Best("loss", float("inf")),
    )
    # Each evaluation is better than the one before; the model counts its steps.
    assert state.stopped and state.best.step == state.step and (model._flat == state.step).all()
    worse = Scripted([5.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    budget = Budget(1000.0)
    budget.begin(0.0, step=1.0, evaluation=1.0, checkpoint=0.0)
    state = State.fresh(worse, Best("loss", float("inf")))
    train(
        worse, timed_texts(40, clock, [1.0]),
        TrainingOptions(epochs=2, batch_size=4, learning_rate=1.0, eval_every=4), n_threads=1,
        validation=timed_texts(4, clock, [1.0], label=1), state=state, budget=budget,
    )
    assert state.step == 20 and state.best.step == 4 and (worse._flat == 4).all()


def test_the_first_step_is_always_made(clock):
    rates, state, _, told, _ = run(clock, 0.5, [1.0])
    assert len(rates) == 1 and state.finished and told.ends == (1, 20)
    assert [row["epoch"] for row in state.history] == [1]


def test_between_two_epochs_no_empty_one_is_begun(clock):
    _, state, _, told, _ = run(clock, 11.0, [1.0])
    assert told.ends == (state.step, 20) and len(state.history) == 1
    assert np.isfinite(state.history[0]["loss"])


def test_a_checkpoint_keeps_the_time_used_and_what_saving_takes(clock):
    budget = Budget(20.0)
    budget.begin(0.0, step=1.0, evaluation=0.0, checkpoint=0.0)
    used = []

    def save(state, weights):
        used.append(state.used)
        clock.time += 3.0

    train(
        Scripted([]), timed_texts(40, clock, [1.0]),
        TrainingOptions(epochs=2, batch_size=4, learning_rate=1.0), n_threads=1, budget=budget,
        save=save, save_every=2,
    )
    assert used[:2] == [2.0, 7.0] and budget.used <= 20.0
