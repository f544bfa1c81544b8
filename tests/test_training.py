"""The training loop around the engine: batches, learning rates, history, progress."""

import contextlib
import io
import math
import os

import numpy as np
import pytest

from bertsent.classifier.parameters import PARAMETERS
from bertsent.classifier.resolve import RATE_ALL_FROZEN, resolve_freeze, resolve_learning_rate
from bertsent.objectives import SingleLabelClassification
from bertsent.system.bars import Bar
from bertsent.system.lines import Lines
from bertsent.system.progress import Silent, make_progress
from bertsent.system.units import format_seconds
from bertsent.texts import LabelType
from bertsent.texts.long_text import resolve_max_length
from bertsent.training.evaluation import evaluate
from bertsent.training.examples import Examples
from bertsent.training.loop import train
from bertsent.training.options import TrainingOptions
from bertsent.training.schedule import epoch_order, group_rates, rate_factor
from bertsent.training.state import State

BINARY = SingleLabelClassification(LabelType(np.array([0, 1])))


class FakeEngine:
    """Replaces the engine: records its arguments, and returns a decreasing loss."""

    def __init__(self, fail_at=None, error=None):
        self.calls = []
        self.fail_at = fail_at
        self.error = error or FloatingPointError("the loss is not finite")

    def train_step(self, ids, types, positions, cu_seqlens, keys, targets, weights, *state, **how):
        assert types is None and positions is None
        if len(self.calls) == self.fail_at:
            raise self.error
        self.calls.append(
            {"ids": ids, "cu": cu_seqlens, "keys": keys, "targets": targets, "weights": weights}
            | how
        )
        for buffer in state:
            assert buffer.dtype == np.float32 and buffer.shape == (12,)
        logits = np.zeros((len(targets), 2), dtype=np.float32)
        logits[:, 1] = 1.0
        return 1.0 / len(self.calls), logits, 1.0


class FakeModel:
    def __init__(self, **options):
        self._core = FakeEngine(**options)
        self._flat = np.zeros(12, dtype=np.float32)

    def _trained(self, freeze):
        return self._flat

    num_labels = 2

    def score_packed(self, ids, offsets, n_threads, precision, token_type_ids, chunk_tokens):
        return np.tile(np.array([0.0, 2.0], dtype=np.float32), (len(offsets) - 1, 1))


def make_examples(n=10, weights=None, seed=0):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 9, size=n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = rng.integers(5, 1000, size=offsets[-1]).astype(np.int32)
    labels = rng.integers(0, 2, size=n).astype(np.int32)
    return Examples(ids, offsets, labels, BINARY, weights)


def run(model, examples, **options):
    settings = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3} | options
    display = settings.pop("progress", None)
    state = settings.pop("state", None)
    validation = settings.pop("validation", None)
    return train(
        model, examples, TrainingOptions(**settings), n_threads=1, validation=validation,
        progress=display, state=state,
    ).history


def test_batches_hold_the_tokens_of_their_texts():
    examples = make_examples(50)
    rows = np.array([7, 0, 49, 7])
    ids, cu_seqlens, types, keys, windows = examples.gather(rows)
    expected = [examples.ids[examples.offsets[r] : examples.offsets[r + 1]] for r in rows]
    assert ids.tolist() == np.concatenate(expected).tolist()
    assert np.diff(cu_seqlens).tolist() == [len(part) for part in expected]
    assert ids.dtype == np.int32 and cu_seqlens.dtype == np.int64
    assert types is None
    assert keys.tolist() == rows.tolist() and keys.dtype == np.uint64 and windows is None


def test_every_text_once_an_epoch_and_the_partial_batch_is_kept():
    model, examples = FakeModel(), make_examples(10)
    run(model, examples)
    assert [len(call["targets"]) for call in model._core.calls] == [4, 4, 2, 4, 4, 2]
    keys = [call["keys"] for call in model._core.calls]
    for epoch in (keys[:3], keys[3:]):
        assert sorted(np.concatenate(epoch).tolist()) == list(range(10))
    assert np.concatenate(keys[:3]).tolist() != np.concatenate(keys[3:]).tolist()
    for call in model._core.calls:
        assert call["targets"].tolist() == examples.targets[call["keys"].astype(int)].tolist()


def test_order_depends_on_seed_and_epoch_only():
    assert epoch_order(20, 3, 1).tolist() == epoch_order(20, 3, 1).tolist()
    assert epoch_order(20, 3, 1).tolist() != epoch_order(20, 3, 2).tolist()
    assert epoch_order(20, 3, 1).tolist() != epoch_order(20, 4, 1).tolist()


def test_schedule_rises_over_the_warmup_and_falls_to_zero():
    factors = [rate_factor("linear", step, 25, 0.1) for step in range(25)]
    # ceil(0.1 * 25) = 3 steps of warm-up, the first of them at zero, then 22 down.
    assert factors[:4] == [0, 1 / 3, 2 / 3, 1]
    assert factors[4:] == [(25 - step) / 22 for step in range(4, 25)]
    assert rate_factor("linear", 0, 10, 0.0) == 1
    assert rate_factor("linear", 9, 10, 1.0) == 0.9
    assert rate_factor("linear", 0, 1, 0.1) == 0


def test_the_other_schedules_rise_alike_and_then_fall_in_a_wave_or_stay():
    for name in ("cosine", "constant"):
        assert [rate_factor(name, step, 25, 0.1) for step in range(4)] == [0, 1 / 3, 2 / 3, 1]
    cosine = [rate_factor("cosine", step, 22, 0.0) for step in range(23)]
    assert cosine == pytest.approx([(1 + math.cos(math.pi * n / 22)) / 2 for n in range(23)])
    assert cosine[11] == pytest.approx(0.5) and cosine[22] == pytest.approx(0, abs=1e-15)
    assert {rate_factor("constant", step, 25, 0.1) for step in range(3, 25)} == {1.0}


def test_layers_learn_slower_the_lower_they_are():
    rates = group_rates(3, 0.5, 4.0)
    assert rates.tolist() == [0.125, 0.25, 0.5, 1.0, 4.0] and rates.dtype == np.float32
    assert group_rates(3, 1.0, 1.0) is None
    assert group_rates(1, 1.0, 2.0).tolist() == [1.0, 1.0, 2.0]


def test_steps_and_rates_reach_the_engine():
    model = FakeModel()
    run(model, make_examples(), warmup_ratio=0.5, freeze=1, dropout_seed=9, max_grad_norm=0.0)
    calls = model._core.calls
    assert [call["step"] for call in calls] == list(range(6))
    rates = [1e-3 * rate_factor("linear", step, 6, 0.5) for step in range(6)]
    assert [call["lr"] for call in calls] == rates
    assert {call["freeze"] for call in calls} == {1}
    assert {call["seed"] for call in calls} == {9}
    assert {call["max_grad_norm"] for call in calls} == {0.0}


def test_history_has_a_row_an_epoch():
    examples = make_examples(10)
    history = run(FakeModel(), examples)
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[0]["loss"] == pytest.approx((4 * 1 + 4 / 2 + 2 / 3) / 10)
    assert history[0]["accuracy"] == pytest.approx(examples.targets.mean())
    assert all(row["tokens"] == len(examples.ids) and row["seconds"] >= 0 for row in history)
    assert "validation_loss" not in history[0]


def test_validation_is_scored_after_every_epoch():
    held_out = make_examples(6, seed=1)
    history = run(FakeModel(), make_examples(), validation=held_out)
    share = held_out.targets.mean()
    loss = math.log1p(math.exp(2.0)) - 2.0 * share
    for row in history:
        assert row["validation_accuracy"] == pytest.approx(share)
        assert row["validation_loss"] == pytest.approx(loss)
    assert evaluate(FakeModel(), held_out, 1)["validation_loss"] == pytest.approx(loss)


def test_a_batch_without_weight_is_passed_over():
    weights = np.ones(10, dtype=np.float32)
    first_batch = epoch_order(10, 0, 0)[:4]
    weights[first_batch] = 0
    model = FakeModel()
    history = run(model, make_examples(weights=weights), epochs=1)
    # The step counts in the schedule, but has no loss.
    assert [call["step"] for call in model._core.calls] == [1, 2]
    assert history[0]["loss"] == pytest.approx((4 * 1 + 2 / 2) / 6)
    assert math.isfinite(history[0]["accuracy"])


def test_history_counts_texts_by_weight():
    weights = np.arange(1, 11, dtype=np.float32)
    examples = make_examples(weights=weights)
    model = FakeModel()
    history = run(model, examples, epochs=1)
    of_batch = [call["weights"].sum() for call in model._core.calls]
    expected = sum(w / (i + 1) for i, w in enumerate(of_batch)) / weights.sum()
    assert history[0]["loss"] == pytest.approx(expected)
    hits = weights[examples.targets == 1].sum() / weights.sum()
    assert history[0]["accuracy"] == pytest.approx(hits)


def test_a_loss_that_is_not_finite_says_where_and_what_to_try():
    with pytest.raises(FloatingPointError, match="step 5 of 6 .epoch 2.*lower learning_rate.*7"):
        run(FakeModel(fail_at=4), make_examples(), learning_rate=7.0)


def test_finished_epochs_survive_an_interruption():
    model = FakeModel(fail_at=4, error=KeyboardInterrupt())
    state = State.fresh(model)
    with pytest.raises(KeyboardInterrupt):
        run(model, make_examples(), state=state)
    assert [row["epoch"] for row in state.history] == [1]
    assert not state.settled


# --- what "auto" and limits come to -------------------------------------------------------


def test_auto_learning_rate_follows_size_and_freezing():
    small = resolve_learning_rate("auto", 384, 6, 0)
    large = resolve_learning_rate("auto", 768, 12, 0)
    assert small > large > 0
    assert resolve_learning_rate("auto", 384, 6, 6) == RATE_ALL_FROZEN > small
    assert resolve_learning_rate(3e-4, 384, 6, 0) == 3e-4


def test_freeze_layers():
    assert resolve_freeze("all", 6) == 6
    assert resolve_freeze(0, 6) == 0
    with pytest.raises(ValueError, match='freeze_layers=7 .* 6 layers.*"all"'):
        resolve_freeze(7, 6)


def test_max_length_has_the_models_limit():
    assert resolve_max_length(512, 512) == 512
    with pytest.raises(ValueError, match="max_length=513.*512 positions"):
        resolve_max_length(513, 512)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda parameter: parameter.name)
def test_parameters_refuse_nonsense_and_name_what_is_allowed(parameter):
    # An empty list of callbacks is allowed.
    nothing = [object()] if parameter.name == "callbacks" else []
    for value in (nothing, b"x", object(), float("nan"), -3):
        with pytest.raises((ValueError, TypeError)) as caught:
            parameter.check(value)
        assert parameter.name in str(caught.value) and parameter.allowed in str(caught.value)


# --- progress -----------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_where_which_display_is_used():
    assert type(make_progress(0, Terminal())) is Silent
    assert type(make_progress(1, Terminal())) is Bar
    assert type(make_progress(True, io.StringIO())) is Lines


def test_bar_shows_loss_accuracy_speed_and_time_left():
    stream = Terminal()
    with Bar(stream) as bar:
        run(FakeModel(), make_examples(), progress=bar)
        bar.bar.refresh()
    shown = stream.getvalue()
    for part in ("epoch 2/2", "step 6/6", "loss", "accuracy", "tokens/s", "left"):
        assert part in shown
    assert "epoch 1/2 done: loss" in shown


def test_lines_are_plain_and_whole():
    stream = io.StringIO()
    with Lines(stream, every=0.0) as lines:
        run(FakeModel(), make_examples(), progress=lines, validation=make_examples(4))
    text = stream.getvalue()
    assert "\r" not in text and "\x1b" not in text
    rows = text.splitlines()
    assert len(rows) == 6 + 2
    assert rows[0].startswith("epoch 1/2 step 1/6: loss 1.0000, accuracy")
    assert "tokens/s" in rows[0] and rows[0].endswith("left")
    assert "validation accuracy" in rows[-1]
    quiet = io.StringIO()
    with Lines(quiet) as lines:
        run(FakeModel(), make_examples(), progress=lines)
    assert len(quiet.getvalue().splitlines()) == 2


def test_seconds_for_people():
    spelled = [format_seconds(seconds) for seconds in (0.44, 9.96, 59, 185, 7800)]
    assert spelled == ["0.4 s", "10 s", "59 s", "3:05 min", "2:10 h"]


def test_bar_on_a_terminal_without_a_size():
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:
        assert os.get_terminal_size(theirs).columns == 0
        with Bar(terminal) as bar:
            run(FakeModel(), make_examples(), progress=bar)
    shown = b""
    with open(ours, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while part := screen.read(4096):
            shown += part
    for part in (b"step 6/6", b"loss", b"left"):
        assert part in shown
