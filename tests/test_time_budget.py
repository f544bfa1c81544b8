"""time_budget and --dry-run: their plans, on a machine with fake speed and clock."""

import json
import re
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_budget import clock  # noqa: F401
from test_classifier import flat, make_texts
from test_cli import write_csv
from test_runs import at_step

import bertsent
from bertsent import _core
from bertsent.classifier import plan, survey
from bertsent.classifier.plan import Rung, choose, describe_plan, list_rungs, worth
from bertsent.classifier.survey import Work
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.model import speed
from bertsent.model.memory import PassTokens, limit_training
from bertsent.model.speed import Rates, attended
from bertsent.system.units import parse_time
from bertsent.training import Budget, TrainingOptions, expects_cache

TEXTS, LABELS = make_texts(60)
TEXTS = [f"{text} {i} " + "a slow scene " * (i % 5) for i, text in enumerate(TEXTS)]
FREE = {"epochs": "auto", "max_length": "auto", "freeze_layers": "auto", "long_text": "head",
        "inference_long_text": None, "stride": 0, "eval_every": None, "validation_fraction": None,
        "time_budget": 1.0}
# A token takes a millisecond in training; one of a frozen model half as long.
ROWS = [
    {"length": 40.0, "freeze": 0, "gradients": 1000.0, "scoring": 4000.0, "update": 0.0},
    {"length": 40.0, "freeze": 1, "gradients": 2000.0, "scoring": 4000.0, "update": 0.0},
]


@pytest.fixture
def make(base):
    def factory(**options):
        settings = {
            "model": base, "batch_size": 5, "learning_rate": 2e-3, "random_state": 0,
            "verbose": 0, "n_threads": 1,
        }
        return bertsent.BertClassifier(**(settings | options))

    return factory


@pytest.fixture
def machine(monkeypatch, clock):  # noqa: F811
    """A machine with the speeds in `ROWS`, a clock that stands still, and short lengths."""

    def measure(model, jobs, **options):
        machine.jobs = jobs
        return Rates(ROWS)

    machine.jobs = None
    monkeypatch.setattr(survey, "measure_rates", measure)
    monkeypatch.setattr(plan, "LENGTHS", (30, 10))
    return machine


def work(
    n=100, length=298, *, validation=0, twice=2048, step_size=10, caches=None, **changes
):
    totals = np.full(n, length)
    parts = totals, totals[:validation], totals[:0]
    return Work(FREE | changes, 512, 32, step_size, *parts, twice, caches or (lambda *args: False))


# --- speed --------------------------------------------------------------------------------


def test_speed_between_two_lengths_lies_on_a_line_and_freezing_saves_its_part():
    rates = Rates([
        {"length": 500, "freeze": 0, "gradients": 100.0, "scoring": 400.0, "update": 0.3},
        {"length": 100, "freeze": 0, "gradients": 200.0, "scoring": None, "update": 0.3},
        {"length": 500, "freeze": 3, "gradients": 150.0, "scoring": None, "update": 0.1},
    ])
    assert rates.at(500, 0) == {"gradients": 100.0, "scoring": 400.0, "update": 0.3}
    # Seconds a token: 10 and 5 milliseconds, so 7.5 in the middle.
    middle = rates.at(300, 0)
    assert middle["gradients"] == pytest.approx(1000 / 7.5)
    assert middle["scoring"] == pytest.approx(400 * 10 / 7.5)
    frozen = rates.at(100, 3)
    assert frozen["gradients"] == pytest.approx(300.0) and frozen["update"] == 0.1
    assert rates.at(20, 0)["gradients"] == pytest.approx(200.0)


def test_a_token_lies_in_long_sequences_more_often():
    assert attended(np.array([1, 3])) == 2.5


def test_measuring_leaves_the_model_as_it_is(base):
    model = bertsent.BertForSequenceClassification.from_config(
        json.loads((base / "config.json").read_text()), random_state=0
    )
    before = np.array(model._flat)
    rates = speed.measure_rates(
        model, [(np.array([30, 40]), 0), (np.array([10]), 0), (np.array([30, 40]), 1)],
        precision="float32", inference_precision="float32", n_threads=1, passes=PassTokens(32, 32),
        seconds=0.02,
    )
    assert np.array_equal(before.view(np.uint32), np.asarray(model._flat).view(np.uint32))
    assert [row["freeze"] for row in rates.rows] == [0, 0, 1]
    assert [row["length"] for row in rates.rows] == [pytest.approx(2500 / 70), 10, rates.rows[0][
        "length"]]
    assert all(row["gradients"] > 0 and row["scoring"] > 0 and row["update"] > 0
               for row in rates.rows)


# --- the plan -----------------------------------------------------------------------------


def test_what_is_set_stays_and_only_the_rest_is_chosen():
    rungs = list_rungs(FREE, 512, 6)
    assert len(rungs) == len(set(rungs)) == 18
    assert {rung.epochs for rung in rungs} == {1, 2, 3}
    assert {rung.max_length for rung in rungs} == {128, 256, 512}
    assert {rung.freeze for rung in rungs} == {0, 3}
    fixed = FREE | {"epochs": 2, "max_length": 200, "freeze_layers": "all"}
    assert list_rungs(fixed, 512, 6) == [Rung(2, 200, 6)]
    assert {rung.max_length for rung in list_rungs(FREE, 64, 6)} == {64}
    assert {rung.freeze for rung in list_rungs(FREE | {"freeze_layers": 2}, 512, 6)} == {2}
    windows = list_rungs(FREE | {"long_text": "windows", "stride": 200}, 512, 6)
    assert {rung.max_length for rung in windows} == {512, 256}
    # Without a budget, "auto" has a fixed meaning.
    assert list_rungs(FREE | {"time_budget": None}, 512, 6) == [Rung(3, 256, 0)]
    assert list_rungs(FREE | {"time_budget": None}, 64, 6) == [Rung(3, 64, 0)]


HALF = Rates([
    {"length": 300.0, "freeze": 0, "gradients": 1000.0, "scoring": 4000.0, "update": 0.0},
    {"length": 300.0, "freeze": 3, "gradients": 2000.0, "scoring": 4000.0, "update": 0.0,
     "frozen": 4000.0},
])


# An epoch over 1,000 texts of 300 tokens takes 300 s, 256 s at 256 and 128 s at 128, and half of
# that if half of the layers are frozen.
@pytest.mark.parametrize(("seconds", "chosen", "texts"), [
    (900, (3, 512, 0), 1000),
    (899, (3, 512, 3), 1000),
    (440, (3, 256, 3), 1000),
    (300, (3, 256, 3), 780),
    (256, (2, 256, 3), 1000),
    (128, (1, 256, 3), 1000),
    (64, (1, 256, 3), 500),
    (32, (1, 256, 3), 250),
])
def test_what_is_worth_the_most_in_the_time_is_chosen(seconds, chosen, texts):
    budget = 70.0 + (70.0 * 0.02 + seconds / 0.95) / 0.98 + 0.01
    found = choose(list_rungs(FREE, 512, 6), work(1000), HALF, budget=budget, used=70.0)
    assert (found["epochs"], found["max_length"], found["freeze_layers"]) == chosen
    assert (found["texts"], found["all_texts"]) == (texts, 1000)
    assert found["training"] <= seconds + 0.01 and found["frozen"] == 0.0
    assert found["steps"] == found["epochs"] * texts / 10
    assert found["used"] + found["training"] / 0.95 <= found["budget"]


def test_worth_of_tokens_and_epochs():
    read = np.array([100, 256, 356])
    once = 100 + 256 + 256 + 0.05 * 100
    for hidden_size, gains in ((384, (1, 2, 2.7)), (768, (1, 1.7, 2.1))):
        for epochs, gain in enumerate(gains, 1):
            assert worth(epochs, read, hidden_size) == pytest.approx(gain * once)
    assert choose(list_rungs(FREE, 512, 6), work(), HALF)["epochs"] == 3
    # Texts that are shorter than all lengths are read as a whole anyway.
    found = choose(list_rungs(FREE, 512, 6), work(length=98), HALF, budget=11.0)
    assert (found["epochs"], found["max_length"]) == (2, 512) and found["texts"] == 100


def test_frozen_layers_that_are_computed_once_cost_their_time_once():
    rungs = list_rungs(FREE | {"max_length": 512}, 512, 6)
    job = work(caches=lambda rung, sequences, tokens: rung.freeze == 3 and rung.epochs > 1)
    # 7.5 s for the frozen layers, and 7.5 s for the others in each epoch.
    found = choose(rungs, job, HALF, budget=(30.0 / 0.95 + 0.01) / 0.98)
    assert (found["epochs"], found["freeze_layers"], found["texts"]) == (3, 3, 100)
    assert found["frozen"] == pytest.approx(7.5) and found["training"] == pytest.approx(30.0)
    budget = Budget(found["budget"])
    plan.begin(budget, found)
    assert budget.begun == pytest.approx(7.5)
    assert budget.planned_step == pytest.approx(22.5 / 30)
    # Rather three epochs over half of the texts than one over all.
    job = work(1000, caches=job.caches)
    some = choose(rungs, job, HALF, budget=(150.0 / 0.95 + 0.01) / 0.98)
    assert (some["epochs"], some["texts"]) == (3, 500)
    assert some["frozen"] == pytest.approx(0.5 * 75)


def test_caching_is_expected_where_it_will_be(make, monkeypatch):
    engine = make(epochs=1).fit(TEXTS, LABELS).model_._engine
    options = TrainingOptions(
        epochs=2, batch_size=5, learning_rate=1e-3, freeze=1, freeze_dropout=True
    )

    def expected(asked="auto", **changes):
        return expects_cache(asked, replace(options, **changes), engine, 60, 900)

    assert expected() and expected("bfloat16") and expected("float32", epochs=1)
    assert not expected("off") and not expected(epochs=1) and not expected(freeze=0)
    assert not expected(freeze_dropout=False)
    # A row for each token, or if all layers are frozen, for each text.
    row = 4 * engine["hidden_size"]
    monkeypatch.setenv("BERTSENT_CACHE_LIMIT", str(899 * row))
    assert not expected() and expected("float32")
    assert expected(freeze=engine["num_hidden_layers"])


def test_evaluations_and_updates_count():
    rates = Rates([ROWS[0] | {"update": 0.5}])
    rung = [Rung(2, 512, 0)]
    found = choose(rung, work(validation=40, eval_every=5), rates)
    assert (found["steps"], found["evaluations"]) == (20, 6)
    assert found["evaluation"] == pytest.approx(6 * 40 * 300 / 4000)
    assert found["training"] == pytest.approx(2 * (30 + 10 * 0.5))
    # Texts of X_val are all scored, a validation_fraction shrinks with the texts.
    for fraction in (None, 0.3):
        few = choose(rung, work(n=200, validation=40, validation_fraction=fraction), rates,
                     budget=105.0 if fraction is None else 100.0)
        assert few["texts"] < 200
        part = 1 if fraction is None else few["texts"] / 200
        assert few["evaluation"] == pytest.approx(part * 2 * 40 * 300 / 4000, abs=1e-3)
        # All time is used, except for a reserve in case evaluations take longer.
        taken = few["training"] / 0.95 + 1.25 * few["evaluation"]
        assert 0.9 * few["budget"] < taken <= 0.98 * few["budget"]


def test_held_out_texts_are_scored_once_more_to_learn_from_them(make, machine):
    several = np.stack([LABELS == "positive", np.arange(60) % 3 == 0], axis=1).astype(int)
    for y in (LABELS, several):
        clf = make(time_budget="1h", validation_fraction=0.2).fit(TEXTS, y)
        assert clf.plan_["evaluations"] == clf.plan_["epochs"] + 1
    reg = bertsent.BertRegressor(
        clf.model, batch_size=5, verbose=0, time_budget="1h", validation_fraction=0.2
    ).fit(TEXTS, np.arange(60.0))
    assert reg.plan_["evaluations"] == reg.plan_["epochs"]
    again = replace(work(validation=40), learns_held_out=True).job(Rung(2, 512, 0))
    assert again["evaluations"] == 3


def test_windows_that_go_forward_twice_count():
    plain = work(length=2998, long_text="windows").job(Rung(1, 512, 0))
    assert plain["train_tokens_twice"] == plain["train_tokens"] > 100 * 3000
    assert work(length=1000, long_text="windows").job(Rung(1, 512, 0))["train_tokens_twice"] == 0


def test_where_shorter_windows_cost_more_the_cheapest_way_has_fewer_texts():
    options = {"long_text": "windows", "stride": 100}
    rungs = [Rung(1, 512, 0), Rung(1, 128, 0)]
    found = choose(rungs, work(n=1000, length=998, **options), Rates(ROWS), budget=300.0)
    assert found["max_length"] == 512 and found["texts"] < 1000


def test_a_budget_for_nothing_names_the_least():
    rungs, job, rates = list_rungs(FREE, 512, 6), work(n=1000), Rates(ROWS[:1])
    with pytest.raises(ValueError, match="of 5 seconds is too short: 2.0 s pass before") as e:
        choose(rungs, job, rates, budget=5.0, used=2.0)
    assert "100 of 1,000 texts with epochs=1, max_length=128 and freeze_layers=0" in str(e.value)
    least = parse_time(re.search("shortest possible is about time_budget='(.*)'", str(e.value))[1])
    assert choose(rungs, job, rates, budget=least, used=2.0)["texts"] >= 100
    with pytest.raises(ValueError, match="is too short"):
        choose(rungs, job, rates, budget=least - 2, used=2.0)


# --- fit ----------------------------------------------------------------------------------


def test_auto_is_what_it_always_was(make):
    clf = make().fit(TEXTS, LABELS)
    fixed = make(epochs=3, max_length=64, freeze_layers=0).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), flat(fixed))
    assert clf.max_length_ == 64 and clf.plan_ is None and len(clf.history_) == 3
    assert np.array_equal(clf.decision_function(TEXTS), fixed.decision_function(TEXTS))
    with pytest.raises(ValueError, match="epochs='auto' is not allowed; expected a whole number"):
        bertsent.pretrain(TEXTS, "nowhere", epochs="auto")


def test_with_time_enough_it_is_the_run_that_was_planned(make, machine, tmp_path):
    clf = make(time_budget="1h").fit(TEXTS, LABELS)
    fixed = make(epochs=3, max_length=30, freeze_layers=0).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), flat(fixed))
    assert (clf.plan_["epochs"], clf.plan_["max_length"], clf.plan_["freeze_layers"]) == (3, 30, 0)
    assert clf.plan_["steps"] == 36 and clf.plan_["budget"] == 3600.0
    assert clf.training_rows_.tolist() == list(range(60))
    # The longest, the shortest, and half of the layers frozen.
    assert [(lengths.max(), freeze) for lengths, freeze in machine.jobs] == [
        (22, 0), (10, 0), (22, 1)
    ]


def test_what_was_chosen_is_predicted_by_and_saved(make, machine, monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "LENGTHS", (10,))
    clf = make(time_budget=0.8, inference_long_text=None).fit(TEXTS, LABELS)
    assert (clf.plan_["epochs"], clf.max_length_, clf.plan_["freeze_layers"]) == (3, 10, 1)
    assert clf.max_length == "auto" and clf.get_params()["time_budget"] == 0.8
    logits = clf.decision_function(TEXTS)
    assert clf.tokens_read(TEXTS)["tokens_read"].max() == 8
    clf.save_pretrained(tmp_path / "saved")
    opened = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert opened.max_length_ == 10 and opened.plan_ == clf.plan_ and opened.epochs == "auto"
    assert np.array_equal(opened.decision_function(TEXTS), logits)
    assert not np.array_equal(opened.set_params(max_length=30).decision_function(TEXTS), logits)
    opened.set_params(max_length="auto").partial_fit(TEXTS, LABELS)
    assert opened.max_length_ == 10


def test_what_is_set_is_kept_to(make, machine):
    clf = make(time_budget=1.2, epochs=2, max_length=12, freeze_layers=1).fit(TEXTS, LABELS)
    assert (clf.plan_["epochs"], clf.max_length_, clf.plan_["freeze_layers"]) == (2, 12, 1)
    assert len(clf.history_) == 2


def test_fewer_texts_as_the_last_resort(make, machine):
    texts, labels = make_texts(300)
    texts = [f"{text} {i} a slow scene" for i, text in enumerate(texts)]
    weights = np.linspace(0.1, 1.0, 300)
    clf = make(time_budget=1.0, validation_fraction=0.2).fit(texts, labels, weights)
    rows, held_out = clf.training_rows_, clf.validation_rows_
    assert clf.plan_["all_texts"] == 240 and 50 <= clf.plan_["texts"] < 240
    assert abs(len(rows) - clf.plan_["texts"]) <= 1
    assert len(held_out) == pytest.approx(60 * clf.plan_["texts"] / 240, abs=1)
    assert not set(rows) & set(held_out)
    assert clf.seen_in_training(texts).sum() == len(rows)
    assert clf.seen_in_training([texts[row] for row in rows]).all()
    share = np.mean(labels == "positive")
    for some in (rows, held_out):
        assert np.mean(labels[some] == "positive") == pytest.approx(share, abs=0.05)
    again = make(max_length=10, epochs=1, freeze_layers=1, validation_fraction=0.2)
    assert again.fit(texts, labels, weights).validation_rows_.tolist() != held_out.tolist()


def test_held_out_texts_choose_the_weights(make, machine):
    wrong = np.where(LABELS == "positive", "negative", "positive")
    options = {"time_budget": "1h", "learning_rate": 5e-3}
    clf = make(**options).fit(TEXTS, LABELS, X_val=TEXTS, y_val=wrong)
    losses = [row["validation_loss"] for row in clf.evaluations_]
    best = clf.evaluations_[int(np.argmin(losses))]
    assert len(losses) == 3 and clf.best_step_ == best["step"] < clf.plan_["steps"]
    assert clf.score(TEXTS, wrong) == pytest.approx(best["validation_accuracy"])
    plain = make(epochs=3, max_length=30, learning_rate=5e-3)
    plain.fit(TEXTS, LABELS, X_val=TEXTS, y_val=wrong)
    assert plain.best_step_ is None and plain.evaluations_ == clf.evaluations_


def test_it_is_said_before_training(make, machine, capsys):
    clf = make(time_budget="90s", verbose=1).fit(TEXTS, LABELS)
    err = capsys.readouterr().err
    said = "plan for 1:30 min: epochs=3 over 60 texts (36 steps), max_length=30, freeze_layers=0"
    assert said in err.split("epoch 1/3 done")[0]
    assert describe_plan(clf.plan_) in err


def test_slower_than_measured_it_ends_in_time_and_says_so(make, machine, clock, capsys):  # noqa: F811
    def tick():
        clock.time += 0.5

    with at_step(None, tick):
        clf = make(time_budget=5.0, verbose=1).fit(TEXTS, LABELS)
    assert 1 < sum(row["tokens"] for row in clf.history_) and clock.time <= 1005.0
    assert "the time budget ends training after" in capsys.readouterr().err


def test_too_little_is_an_error_and_leaves_all_as_it_was(make, machine):
    clf = make(time_budget=0.01)
    with pytest.raises(ValueError, match="possible is about time_budget='(.*)'") as error:
        clf.fit(TEXTS, LABELS)
    assert not hasattr(clf, "classes_")
    least = re.search("about time_budget='(.*)'", str(error.value))[1]
    make(time_budget=least).fit(TEXTS, LABELS)
    with pytest.raises(ValueError, match="time_budget='soon' is not allowed"):
        make(time_budget="soon").fit(TEXTS, LABELS)


def test_lengths_that_memory_has_no_room_for_are_not_chosen(make, machine, base):
    model = make(epochs=1).fit(TEXTS, LABELS).model_
    how = {"batch_size": 5, "freeze": 0, "n_threads": 1,
           "precision": _core.preferred_precision()}
    with pytest.raises(ValueError, match="smallest possible") as error:
        limit_training(model, 1, np.array([10]), **how)
    least = re.search("memory_limit='(.*)'", str(error.value))[1]
    clf = make(time_budget="1h", memory_limit=least).fit(TEXTS, LABELS)
    assert clf.max_length_ == 10
    with pytest.raises(ValueError, match="memory_limit='1kB' is too small"):
        make(time_budget="1h", memory_limit="1kB").fit(TEXTS, LABELS)


# --- checkpoints --------------------------------------------------------------------------


@pytest.fixture
def interrupt(make, machine, clock, tmp_path):  # noqa: F811
    """A function that interrupts a run of 60 seconds in step 8, and returns its options."""

    def run(seconds):
        options = {"time_budget": 60.0, "validation_fraction": 0.2, "eval_every": 3,
                   "checkpoint_dir": tmp_path / "run"}

        def stop():
            clock.time += seconds
            signal.raise_signal(signal.SIGINT)

        with at_step(8, stop), pytest.raises(KeyboardInterrupt):
            make(**options).fit(TEXTS, LABELS)
        return options | {"resume": True}

    return run


def test_a_run_goes_on_by_its_plan_to_the_same_bits(make, interrupt, monkeypatch):
    options = interrupt(8.0)
    whole = make(time_budget=60.0, validation_fraction=0.2, eval_every=3).fit(TEXTS, LABELS)
    monkeypatch.setattr(survey, "measure_rates", None)
    clf = make(**options).fit(TEXTS, LABELS)
    assert clf.plan_ == whole.plan_ | {"checkpoint": clf.plan_["checkpoint"]}
    assert np.array_equal(flat(clf), flat(whole))
    assert clf.evaluations_ == whole.evaluations_ and clf.best_step_ == whole.best_step_


def test_the_time_used_counts(make, interrupt, clock):  # noqa: F811
    options = interrupt(40.0)
    started, clf = clock.time, make(**options)

    def tick():
        clock.time += 4.0

    with at_step(None, tick):
        clf.fit(TEXTS, LABELS)
    assert 8.0 <= clock.time - started <= 20.0
    assert clf.evaluations_[-1]["step"] == 8 + (clock.time - started) / 4
    # A finished run stays finished.
    resumed = make(**options).fit(TEXTS, LABELS)
    assert np.array_equal(flat(resumed), flat(clf)) and resumed.history_ == clf.history_


def test_where_no_time_is_left_nothing_is_done(make, interrupt):
    options = interrupt(59.9)
    with at_step(None, lambda: pytest.fail("there is no time for a step")):
        clf = make(**options).fit(TEXTS, LABELS)
    assert [row["step"] for row in clf.evaluations_] == [3, 6]
    (row,) = clf.history_
    assert row["epoch"] == 1 and 0 < row["part"] < 1
    assert clf.best_step_ in (3, 6)


def test_another_budget_is_another_run(make, interrupt):
    options = interrupt(8.0)
    with pytest.raises(CheckpointError, match=r"time_budget \(saved: 60.0, now: 90.0\)"):
        make(**options | {"time_budget": "90s"}).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match=r"time_budget \(saved: 60.0, now: None\)"):
        make(**options | {"time_budget": None}).fit(TEXTS, LABELS)
    make(**options | {"time_budget": "1min"}).fit(TEXTS, LABELS)


# --- the command line ---------------------------------------------------------------------


def command(base, data, *flags):
    return main(["train", str(data), "--model", str(base), "--batch-size", "8", "--threads", "1",
                 *map(str, flags)])


def test_a_run_by_the_command_is_recorded(base, machine, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 400, cells={
        (row, "review"): f"{row} is the number of a film" for row in range(400)
    })
    out = tmp_path / "out"
    assert command(base, data, "--time-budget", "1.5", "--validation-fraction", 0.1,
                   "--output", out) == 0
    record = json.loads((out / "run.json").read_text())
    assert record["parameters"]["time_budget"] == 1.5
    assert record["plan"]["texts"] < record["plan"]["all_texts"]
    parts = pd.read_csv(out / "split.csv")["part"].value_counts()
    assert parts["test"] == 80 and parts["train"] == pytest.approx(record["plan"]["texts"], abs=9)
    assert parts["unused"] + parts["train"] + parts["validation"] == 320
    assert "--time-budget 1.5" in capsys.readouterr().out


def test_dry_run_counts_and_writes_nothing(base, machine, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bertsent.BertClassifier, "fit", None)
    data = write_csv(tmp_path / "a.csv", 100)
    before = sorted(tmp_path.rglob("*"))
    flags = ["--output", tmp_path / "out", "--checkpoint-dir", tmp_path / "run", "--epochs", 4,
             "--max-length", 12, "--validation-fraction", 0.25, "--checkpoint-every", 5,
             "--log-file", tmp_path / "log", "--early-stopping", "loss"]
    assert command(base, data, *flags, "--dry-run") == 0
    assert sorted(tmp_path.rglob("*")) == before
    out = capsys.readouterr().out
    monkeypatch.undo()
    assert command(base, data, *flags) == 0
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    counts = split["part"].value_counts()
    assert (f"texts    {counts['train']} to train on, {counts['validation']} held out, "
            f"{counts['test']} to test") in out
    texts = pd.read_csv(data)["review"]
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(base)
    tokens = {
        part: np.diff(
            tokenizer.encode_batch(texts[rows["row"]].tolist(), max_length=12).offsets
        ).sum()
        for part, rows in split.groupby("part")
    }
    assert (f"tokens   {tokens['train']:,} per epoch, {tokens['validation']:,} held out, "
            f"{tokens['test']:,} to test, with --max-length 12") in out
    history = pd.read_csv(tmp_path / "out" / "history.csv")
    assert history["tokens"].iloc[0] == tokens["train"]
    assert "steps    32 (--epochs 4) in " in out and "evaluations: 5" in out
    assert re.search(r"time .*training, .*evaluation, .*testing", " ".join(out.split()))
    # Checkpoints are 4 times the weights, including those of early stopping; 3 at once.
    size = (4 * (tmp_path / "out" / "model.safetensors").stat().st_size)
    said = re.search(r"checkpoints up to (\d) x ([\d.]+)kB", out)
    assert said[1] == "3" and float(said[2]) * 1000 == pytest.approx(size, rel=0.05)


def test_dry_run_counts_what_prediction_reads(base, machine, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 100)
    flags = ["--output", tmp_path / "out", "--max-length", 4, "--validation-fraction", 0.25]

    def tokens(*more):
        assert command(base, data, *flags, *more, "--dry-run") == 0
        line = re.search(r"tokens +([\d,]+) .*, ([\d,]+) held out, ([\d,]+) to test",
                         capsys.readouterr().out)
        return [int(count.replace(",", "")) for count in line.groups()]

    plain, wider = tokens("--inference-long-text", "head"), tokens()
    windows = tokens("--long-text", "windows")
    assert plain[0] == wider[0] < windows[0]
    assert plain[1:] < wider[1:] == windows[1:]


def test_dry_run_with_a_budget_tells_the_plan(base, machine, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 100)
    flags = ["--output", tmp_path / "out", "--dry-run"]
    assert command(base, data, *flags, "--time-budget", "1h") == 0
    assert "plan for 1:00 h: --epochs 3 over 80 texts" in capsys.readouterr().out
    assert command(base, data, *flags, "--time-budget", "0.001s") == 1
    assert "the shortest possible is about --time-budget " in capsys.readouterr().err
    assert command(base, data, *flags) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "plan for" not in out and "--max-length 64 (auto), --epochs 3 (auto)" in out
    assert not (tmp_path / "out").exists()
