"""A run with hashes in its log is trained again, and the first step that differs is named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from test_classifier import make_texts

import bertsent
from bertsent import _core
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.training import budget as budgets, loop as training_loop, read_log

TEXTS, LABELS = make_texts(40)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]
LONG = [" ".join([text] * (1 + i % 4)) for i, text in enumerate(TEXTS)]
HELD_OUT = {"validation_fraction": 0.2, "early_stopping": "loss"}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "run.jsonl"


@pytest.fixture
def train(make, log):
    """Train with a hash after every second step; 10 steps in two epochs, by default."""

    def run(X=TEXTS, *data, **options):
        given = {"log_file": log, "hash_every": 2, "epochs": 2} | options
        return make(**given).fit(X, LABELS, *data)

    return run


@pytest.fixture(scope="module")
def plain_log(base, tmp_path_factory):
    log = tmp_path_factory.mktemp("plain") / "run.jsonl"
    bertsent.BertClassifier(
        base, max_length=16, epochs=2, batch_size=8, learning_rate=2e-3, random_state=0,
        verbose=0, precision="float32", log_file=log, hash_every=2,
    ).fit(TEXTS, LABELS)
    return log.read_bytes()


@pytest.fixture
def plain(plain_log, log):
    """The log of `train()`, with precision="float32"."""
    log.write_bytes(plain_log)
    return log


def verify(log, X=TEXTS, *data, **options):
    return bertsent.verify(log, X, LABELS, *data, **({"n_threads": 1, "verbose": 0} | options))


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def rewrite(log, change):
    """Change the events of a log."""
    events = lines(log)
    change(events)
    log.write_text("".join(f"{json.dumps(event)}\n" for event in events))


def flip(log, step):
    """Change the hash after a step, or the final one (None)."""

    def change(events):
        (event,) = [
            e for e in events
            if (e["event"] == "end" if step is None else e["event"] == "step" and e["step"] == step)
        ]
        event["hash"] = event["hash"][:-1] + ("0" if event["hash"][-1] != "0" else "1")

    rewrite(log, change)


# --- agreement ----------------------------------------------------------------------------


def stop_at_4(event):
    return event["event"] == "step" and event["step"] == 4


@pytest.mark.parametrize(
    ("options", "compared"),
    [
        ({}, 6),
        ({**HELD_OUT, "eval_every": 3, "epochs": 3, "patience": 1, "learning_rate": 0.05}, None),
        ({"long_text": "windows", "stride": 3, "hash_every": 5}, 3),
        ({"freeze_layers": 1, "freeze_dropout": True, "frozen_cache": "bfloat16"}, 6),
        ({"members": [{}, {"freeze_layers": 1, "epochs": 1, "frozen_cache": "off"}]}, 9),
        ({"memory_limit": "1.2MB", "accumulate_steps": 2}, 4),
        ({"random_state": None, "class_weight": {"negative": 1.0, "positive": 2.5}}, 6),
        ({"random_state": np.random.RandomState(3), "track_examples": True}, 6),
        ({"callbacks": stop_at_4, **HELD_OUT}, 3),
    ],
    ids=lambda value: ",".join(value) or "plain" if isinstance(value, dict) else "",
)
def test_a_run_that_is_repeated_agrees(train, log, options, compared):
    train(LONG, **options)
    before = log.read_bytes()
    result = verify(log, LONG, n_threads=2)
    assert result and result.agrees and result.problem is None, str(result)
    hashes = [event["hash"] for event in lines(log) if "hash" in event]
    assert result.compared == len(hashes) and compared in (None, len(hashes))
    assert log.read_bytes() == before
    assert str(result).startswith(f"all bits agree: all {len(hashes)} hashes up to step ")


def test_all_data_that_fit_takes_is_compared(train, make, log):
    weights = np.linspace(0.5, 2, len(TEXTS))
    clf = make(log_file=log, hash_every=3, early_stopping=True)
    clf.fit(TEXTS[:30], LABELS[:30], weights[:30], X_val=TEXTS[30:], y_val=LABELS[30:])
    held_out = {"X_val": TEXTS[30:], "y_val": LABELS[30:], "verbose": 0}
    assert bertsent.verify(log, TEXTS[:30], LABELS[:30], weights[:30], **held_out)
    with pytest.raises(CheckpointError, match="what differs: sample_weight. Use"):
        bertsent.verify(log, TEXTS[:30], LABELS[:30], **held_out)
    with pytest.raises(CheckpointError, match="what differs: the validation texts or labels"):
        bertsent.verify(
            log, TEXTS[:30], LABELS[:30], weights[:30], X_val=TEXTS[29:39], y_val=LABELS[29:39],
            verbose=0,
        )


def test_a_run_in_a_time_budget_is_repeated_with_its_learning_rates(train, log, monkeypatch):
    # As if the machine were much slower than planned.
    monkeypatch.setattr(budgets.Budget, "progress", property(lambda self: 0.7))
    train(time_budget=60, max_length=16, freeze_layers=0, epochs=2)
    monkeypatch.undo()
    assert lines(log)[0]["run"]["time_plan"]["steps"] == 10
    assert verify(log)


def test_a_run_that_continued_from_a_fitted_model_needs_that_model(train, log, tmp_path):
    clf = train(epochs=1)
    clf.save_pretrained(tmp_path / "before")
    clf.set_params(warm_start=True).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match=r"saved as model$"):
        verify(log)
    assert verify(log, model=tmp_path / "before")


def interrupt_at(step):
    def callback(event):
        if event["event"] == "step" and event["step"] == step:
            raise KeyboardInterrupt

    return callback


def test_an_interrupted_run_is_compared_up_to_its_last_hash(train, log):
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=interrupt_at(7), **HELD_OUT)
    result = verify(log)
    assert result and (result.compared, result.agreed_step) == (3, 6)
    assert "(the run was interrupted)" in str(result)
    # Killed while it wrote a line.
    log.write_bytes(log.read_bytes()[:-9])
    result = verify(log)
    assert result and result.outcome is None and result.compared == 3


def test_a_resumed_run_is_one_run_on_several_machines(train, log, tmp_path):
    saving = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 3}
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=interrupt_at(5), **saving)
    train(resume=True, hash_every=1, **saving)
    parts = [event for event in lines(log) if event["event"] == "run"]
    assert [part["step"] for part in parts] == [0, 5]
    assert [e["step"] for e in lines(log) if "hash" in e] == [2, 4, *range(6, 11), 10]
    assert verify(log).compared == 8

    def other_machine(events):
        events[[e["event"] for e in events].index("run", 1)]["machine"]["build"] = "elsewhere"

    rewrite(log, other_machine)
    assert verify(log).recorded["build"] == "elsewhere"
    flip(log, 4)
    result = verify(log)
    assert (result.step, result.recorded["build"]) == (4, result.here["build"])


def test_the_last_run_in_a_log_is_compared(train, make, log):
    train(epochs=1, random_state=5, members=2)
    train(epochs=1)
    assert [run.member for run in read_log(log)] == [1]
    assert verify(log)
    make(log_file=log).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="the last run in it has no hashes.*hash_every=10"):
        verify(log)


# --- differences --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "epoch", "said"),
    [
        (2, 1, "step 2 (epoch 1) is the first that differs, in its parameters\n"),
        (6, 2, "step 6 (epoch 2) is the first that differs, in its parameters; the hash after "
               "step 4 agrees\n"),
    ],
)
def test_the_first_step_that_differs_is_named(plain, log, step, epoch, said):
    flip(log, step)
    flip(log, 10)
    result = verify(log)
    assert not result and (result.step, result.epoch, result.member) == (step, epoch, 1)
    assert result.compared == step // 2 - 1
    assert str(result).startswith(said)
    assert str(result).endswith("or memory is faulty")


def test_the_step_is_also_named_between_two_hashes(train, log):
    train(hash_every=3, members=2, epochs=1)
    rewrite(log, lambda events: events[-4].update(grad_norm=1.5))
    result = verify(log)
    assert (result.step, result.member, result.compared, result.agreed_step) == (4, 2, 3, 3)
    assert str(result).startswith("step 4 (epoch 1) is the first that differs, in its gradient; ")


def test_final_parameters_may_differ_alone(train, log):
    train(**HELD_OUT)
    flip(log, None)
    result = verify(log)
    assert not result and (result.step, result.agreed_step) == (None, 8)
    assert str(result).startswith("the final parameters differ")


def test_a_run_that_went_on_for_longer_differs(train, log):
    train(epochs=1)

    def longer(events):
        events[-3:-2] = [events[-3], events[-3] | {"step": 6}]

    rewrite(log, longer)
    result = verify(log)
    assert not result
    assert str(result).startswith("training ends after step 5, but the run went on to step 6")


def test_another_order_of_the_texts_differs_from_the_first_step(plain, log):

    def reseed(events):
        events[0]["run"]["random_state"][1] += 1

    rewrite(log, reseed)
    result = verify(log)
    assert result.step == 1 and result.problem.endswith("differs, in its loss and gradient")


def test_callbacks_are_not_called_but_named(train, log):
    called = []

    def spoil(event):
        if event["event"] == "step":
            called.append(event["step"])
        return False

    train(callbacks=spoil)
    n = len(called)
    flip(log, 4)
    result = verify(log)
    assert len(called) == n and "spoil), which are not called here" in str(result)


@pytest.mark.skipif(len(_core.isa_list()) < 2, reason="there is one instruction set")
def test_both_instruction_sets_are_named(plain, log):
    other = next(name for name in _core.isa_list() if name != _core.isa())
    program = "import sys, json, bertsent; print(bertsent.verify(*json.load(sys.stdin)))"
    package = Path(bertsent.__file__).resolve().parent.parent
    process = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps([str(log), TEXTS, list(LABELS)]),
        env={**os.environ, "BERTSENT_ISA": other, "PYTHONPATH": str(package)},
        capture_output=True, text=True, timeout=300,
    )
    assert process.stdout.splitlines()[0].startswith("step 1 (epoch 1)"), process.stderr
    assert f"instruction set: {_core.isa()} in the run, {other} here" in process.stdout
    assert "build of the engine: " in process.stdout and ", as in the run" in process.stdout
    assert "the likely reason: another instruction set may round differently" in process.stdout


LACKING = (
    r"this run computed in bfloat16, and repeating it needs a processor with AVX512-BF16 or AMX, "
    r"which the instruction set in use \(.*\) does not have; verify the run on such a processor"
)


@pytest.mark.parametrize("name", ["precision", "inference_precision"])
@pytest.mark.parametrize("asked", ["auto", "bfloat16"])
def test_a_precision_that_this_machine_lacks_is_refused(plain, log, monkeypatch, name, asked):
    """Otherwise "auto" would compute in float32, and the first step differs."""
    monkeypatch.setattr(_core, "precisions", lambda: ["float32", "int8"])
    monkeypatch.delattr(training_loop._Loop, "step")

    def change(events):
        events[0]["run"][name], events[0]["parameters"][name] = "bfloat16", asked

    rewrite(log, change)
    with pytest.raises(ValueError, match=rf"^{log}, line 1: {LACKING}$"):
        verify(log)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X, y: (X[1:], y[1:]), r"the texts \(X\), the labels \(y\)"),
        (lambda X, y: (X[::-1], y), r"the texts \(X\)"),
        (lambda X, y: (X, y[::-1]), r"the labels \(y\)"),
    ],
)
def test_other_data_is_refused_before_the_first_step(plain, log, monkeypatch, change, said):
    monkeypatch.delattr(training_loop._Loop, "step")
    with pytest.raises(CheckpointError, match=rf"line 1: .*what differs: {said}. Use the data"):
        bertsent.verify(log, *change(TEXTS, LABELS), verbose=0)


def test_another_model_or_choice_is_refused_before_the_first_step(
    plain, log, monkeypatch, tmp_path
):
    monkeypatch.delattr(training_loop._Loop, "step")
    other = write_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="the weights of the model that training starts from"):
        verify(log, model=other)
    rewrite(log, lambda events: events[0]["parameters"].update(learning_rate=0.5))
    with pytest.raises(CheckpointError, match=r"learning_rate \(saved: 0.002, now: 0.5\)"):
        verify(log)


# --- logs from strangers ------------------------------------------------------------------


def test_a_log_does_not_choose_what_is_written_or_run(plain, log, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("open('ran', 'w')")

    def attack(events):
        events[0]["parameters"] |= {
            "checkpoint_dir": "made", "log_file": "made.log", "callbacks": "evil:x",
            "n_threads": 500, "resume": True, "checkpoint_every": 1,
        }
        events[0]["callbacks"] = ["evil:x"]

    rewrite(log, attack)
    before = sorted(tmp_path.iterdir())
    assert verify(log)
    assert sorted(tmp_path.iterdir()) == before and "evil" not in sys.modules


def put(*keys, value):
    def change(events):
        entry = events[0]
        for key in keys[:-1]:
            entry = entry[key]
        entry[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("format", value=2), "line 1: the format is 2, written by a later version"),
        (put("task", value="x"), "line 1: task must be 'single_label_classification'"),
        (put("parameters", "epochs", value=-1), "line 1: parameters: epochs=-1 is not allowed"),
        (put("parameters", value=[]), "line 1: parameters must be a JSON object"),
        (put("run", value=7), "line 1: run must be a JSON object"),
        (put("run", "plan", value=[10**9, 0]), r"line 1: run.plan\[0\] must be a whole number"),
        (put("run", "random_state", value=[1, 2]), "random_state must be a list of 4 items"),
        (put("run", "precision", value="x"), "line 1: run: precision is 'x'"),
        (put("run", "time_plan", value={"epochs": 1}), "line 1: run: there is no 'max_length'"),
        (put("machine", "build", value=[]), "line 1: machine.build must be a text of up to"),
        (put("machine", "processor", value="\x1b[2J"), "must be a text of up to 4,096 printable"),
        (put("parameters", "model", value="a\nb"), "line 1: parameters.model must be a text of"),
        (put("callbacks", value=["\x1b[2J"]), r"line 1: callbacks\[0\] must be a text of"),
        (put("callbacks", value="x"), "line 1: callbacks must be a list"),
        (lambda e: e[0].pop("machine"), "line 1 is incomplete: it has no machine"),
        (lambda e: e[3].update(step=1), "line 4: step must be larger than 1, the step before"),
        (lambda e: e[4].update(hash=1), "line 5: hash must be a text"),
        (lambda e: e[-1].update(outcome="x"), "line 15: outcome must be 'finished' or"),
        (lambda e: e[2].pop("event"), "line 3 is incomplete: it has no event"),
        (lambda e: e[2].update(member=99), "line 3: member must be a whole number from 1 to 16"),
        (lambda e: e.insert(1, "x"), "line 2 does not contain a JSON object"),
        (lambda e: e.clear(), "the last run in it has no hashes"),
        (lambda e: e.insert(0, "x" * 2**20), "line 1, is longer than 1 MiB"),
    ],
)
def test_a_damaged_log_is_an_error_that_names_the_line(plain, log, change, said):
    rewrite(log, change)
    with pytest.raises(CheckpointError, match=rf"^{log}.*{said}"):
        verify(log)


def test_only_a_regular_file_is_a_log(tmp_path):
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "none")
    with pytest.raises(CheckpointError, match="is a directory, not a file"):
        verify(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is a pipe or a device"):
        verify(tmp_path / "pipe")


# --- training -----------------------------------------------------------------------------


def test_nothing_is_hashed_unless_it_is_asked_for(make, log, monkeypatch):
    monkeypatch.delattr(training_loop._Loop, "hash")
    told = []
    make(log_file=log, callbacks=told.append).fit(TEXTS, LABELS)
    assert not any("hash" in event for event in told)
    assert lines(log)[0]["event"] == "start"


def test_hashes_need_a_log(make):
    with pytest.raises(ValueError, match="hash_every=2 needs log_file, the file for the hashes"):
        make(hash_every=2).fit(TEXTS, LABELS)


# --- the command --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of the command, whose data has a dialect of its own."""
    root = tmp_path_factory.mktemp("trained")
    write_tiny_model(root / "tiny")
    data = pd.DataFrame({"text": [*TEXTS, "", TEXTS[0]], "team": [*LABELS, "pos", LABELS[0]]})
    data.to_csv(root / "data.txt", sep=";", index=False)
    here = os.getcwd()
    os.chdir(root)
    try:
        assert main([
            "train", "data.txt", "--format", "csv", "--delimiter", ";", "--missing", "skip",
            "--text-column", "text", "--label-column", "team", "--test-size", "0.3",
            "--model", "tiny", "--max-length", "16", "--epochs", "1", "--seed", "4",
            "--validation-fraction", "0.2", "--batch-size", "8", "--hash-every", "2",
            "--log-file", "run.jsonl", "--output", "model",
        ]) == 0
    finally:
        os.chdir(here)
    return root


@pytest.fixture
def inside(trained, tmp_path, monkeypatch):
    """The same folder, which a test may change."""
    import shutil

    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_the_command_needs_only_the_log(inside, capsys):
    before = sorted(inside.rglob("*"))
    assert main(["verify", "run.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "run:   run.jsonl, 3 steps\ndata:  data.txt, 29 texts\nmodel: tiny, on " in out
    assert "all bits agree: all 2 hashes up to step 3\ninstruction set: " in out
    assert sorted(inside.rglob("*")) == before


def test_the_command_says_what_differs(inside, capsys):
    flip(inside / "run.jsonl", 2)
    assert main(["verify", "run.jsonl", "--json", "--threads", "1"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["agrees"] is False and found["step"] == 2 and found["problem"]
    assert found["recorded"]["build"] == found["here"]["build"]


def test_data_and_model_that_are_elsewhere_are_named(inside, capsys):
    os.rename("data.txt", "moved.txt")
    os.rename("tiny", "elsewhere")
    assert main(["verify", "run.jsonl"]) == 1
    error = capsys.readouterr().err
    assert "data.txt: no such file or folder" in error
    assert error.endswith("the log names it; if it is elsewhere now, name it as DATA\n")
    assert main(["verify", "run.jsonl", "moved.txt"]) == 1
    assert "tiny" in capsys.readouterr().err
    assert main(["verify", "run.jsonl", "moved.txt", "--model", "elsewhere"]) == 0


def test_data_that_only_the_log_names_is_not_read_if_it_is_another(inside, capsys):
    Path("data.txt").write_text("secret;file\n")
    assert main(["verify", "run.jsonl"]) == 1
    error = capsys.readouterr().err
    assert "data.txt has changed since the run, or is another file" in error
    assert "secret" not in error
    os.unlink("data.txt")
    os.mkfifo("data.txt")
    assert main(["verify", "run.jsonl"]) == 1
    assert "data.txt is a pipe or a device, not a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("text_column", 1, "text_column must be a text"), ("data", "\x1b", "data must be a text"),
        ("sample", 1, "sample must be true"),
        ("missing", "x", "missing must be 'error' or 'skip'"),
        ("test_size", 7, "test_size must be a number"), ("encoding", [], "encoding must be a text"),
        ("data", None, "the run read standard input; name the data as DATA"),
        ("data", "-", "the run read standard input; name the data as DATA"),
    ],
)
def test_what_a_log_says_about_its_data_is_checked(inside, capsys, flag, value, said):
    rewrite(inside / "run.jsonl", put("data", "flags", flag, value=value))
    assert main(["verify", "run.jsonl"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("bertsent: error: run.jsonl, line 1: ") and said in error


def test_a_run_from_python_is_verified_with_a_file(plain, log, tmp_path, capsys):
    data = tmp_path / "all.csv"
    pd.DataFrame({"words": TEXTS, "sentiment": LABELS}).to_csv(data, index=False)
    assert main(["verify", str(log)]) == 2
    assert "DATA is missing: the run was started in Python" in capsys.readouterr().err
    assert main(["verify", str(log), str(data), "--text-column", "words"]) == 0


def test_mistakes_with_the_arguments(inside, capsys):
    assert main(["verify", "model"]) == 2
    assert "RUN is a log, the file of --log-file, and model is a dir" in capsys.readouterr().err
    assert main(["verify", "none.jsonl"]) == 1
    assert "none.jsonl: No such file or directory" in capsys.readouterr().err
    assert main(["verify", "data.txt"]) == 1
    assert "data.txt, line 1 is not valid JSON" in capsys.readouterr().err
    assert main(["verify", "data.txt", "run.jsonl"]) == 2
    assert "RUN comes before DATA: run.jsonl data.txt" in capsys.readouterr().err
    assert main(["train", "data.txt", "--hash-every", "2"]) == 2
    assert "--hash-every needs --log-file" in capsys.readouterr().err


# --- pretraining ----------------------------------------------------------------------------


@pytest.fixture
def pretrain(base, log, tmp_path):
    """Pretrain with a hash after every second step; 10 steps in two epochs, by default."""

    def run(**options):
        given = {
            "model": base, "max_length": 16, "epochs": 2, "batch_size": 8, "learning_rate": 3e-3,
            "random_state": 0, "verbose": 0, "log_file": log, "hash_every": 2,
        }
        return bertsent.pretrain(TEXTS, tmp_path / "out", **(given | options))

    return run


def verify_pretraining(log, texts=TEXTS, **options):
    return bertsent.verify_pretraining(log, texts, **({"n_threads": 2, "verbose": 0} | options))


@pytest.mark.parametrize(
    ("options", "compared"),
    [
        ({"n_threads": 1}, 6),
        ({"validation_fraction": 0.2, "eval_every": 3, "random_state": None, "hash_every": 3}, 3),
        ({"callbacks": stop_at_4, "strip_html": True, "precision": "float32"}, 3),
    ],
)
def test_pretraining_that_is_repeated_agrees(pretrain, log, tmp_path, options, compared):
    pretrain(**options)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = verify_pretraining(log)
    assert result.agrees and result.compared == compared, str(result)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_pretraining_that_was_resumed_is_one_run(pretrain, log, tmp_path):
    def interrupt(event):
        if event["event"] == "step" and event["step"] == 5:
            raise KeyboardInterrupt

    run = {"checkpoint_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        pretrain(**run, callbacks=interrupt)
    pretrain(**run, resume=True)
    assert [event["step"] for event in lines(log) if event["event"] == "run"] == [0, 5]
    result = verify_pretraining(log)
    assert result.agrees and (result.compared, result.agreed_step) == (6, 10), str(result)


def test_the_step_of_pretraining_that_differs_is_named(pretrain, log):
    pretrain()
    flip(log, 6)
    result = verify_pretraining(log)
    assert not result and (result.step, result.agreed_step, result.compared) == (6, 4, 2)
    assert "step 6 (epoch 2) is the first that differs, in its parameters" in str(result)


def test_what_is_not_the_run_of_pretraining_is_refused(pretrain, plain, log, tmp_path):
    with pytest.raises(CheckpointError, match="line 1: task must be 'masked language modelling'"):
        verify_pretraining(log)
    log.unlink()
    pretrain()
    with pytest.raises(CheckpointError, match=r"run of pretrain; use bertsent.verify_pretraining"):
        verify(log)
    with pytest.raises(CheckpointError, match="what differs: the texts"):
        verify_pretraining(log, TEXTS[1:])
    other = write_tiny_model(tmp_path / "other", seed=5)
    with pytest.raises(CheckpointError, match="what differs: .*model"):
        verify_pretraining(log, model=other)
    rewrite(log, put("parameters", "mask_probability", value=2))
    with pytest.raises(CheckpointError, match="parameters: mask_probability"):
        verify_pretraining(log)


def test_pretraining_in_a_precision_that_this_machine_lacks_is_refused(
    pretrain, log, monkeypatch
):
    pretrain(epochs=1)
    rewrite(log, put("run", "precision", value="bfloat16"))
    monkeypatch.setattr(_core, "precisions", lambda: ["float32", "int8"])
    monkeypatch.delattr(training_loop._Loop, "step")
    with pytest.raises(ValueError, match=rf"^{log}, line 1: {LACKING}$"):
        verify_pretraining(log)


def test_the_command_verifies_pretraining(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_tiny_model("tiny")
    pd.DataFrame({"text": [*TEXTS[:20], ""]}).to_csv("data.txt", sep=";", index=False)
    assert main([
        "pretrain", "data.txt", "--format", "csv", "--missing", "skip", "--text-column", "text",
        "--delimiter", ";", "--model", "tiny", "--max-length", "16", "--batch-size", "8",
        "--hash-every", "2", "--log-file", "run.jsonl", "--output", "out",
    ]) == 0
    capsys.readouterr()
    assert main(["verify", "run.jsonl"]) == 0
    out = capsys.readouterr().out
    assert "run:   run.jsonl, 3 steps\ndata:  data.txt, 20 texts\nmodel: tiny, on " in out
    assert "all bits agree: all 2 hashes up to step 3" in out
    os.rename("data.txt", "moved.txt")
    assert main(["verify", "run.jsonl"]) == 1
    assert "the log names it; if it is elsewhere now, name it as DATA" in capsys.readouterr().err
    assert main(["verify", "run.jsonl", "moved.txt"]) == 0
    Path("moved.txt").write_text("text\nanother\n")
    assert main(["verify", "run.jsonl", "moved.txt"]) == 1
    assert "what differs: the texts" in capsys.readouterr().err
    assert main(["pretrain", "moved.txt", "--hash-every", "2", "-o", "new"]) == 2
    assert "--hash-every needs --log-file" in capsys.readouterr().err
