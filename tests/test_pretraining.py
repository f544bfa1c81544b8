"""Further pretraining: what it learns and saves, and how it resumes."""

import inspect
import json
import re
import signal
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import tiny_weights, write_tiny_model
from test_cli import start
from test_runs import at_step

import bertsent
from bertsent import _core
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.pretraining import masked_lm
from bertsent.pretraining.parameters import PRETRAINING
from bertsent.system.interrupts import Terminated
from bertsent.training.checkpoints import RunStore

PHRASES = [
    "the film was great and the actor was fine", "a slow story with a boring end",
    "never watch this movie it is so dull", "i love the plot of this one very much",
]
TEXTS = [f"{PHRASES[i % 4]} {PHRASES[(i // 4 + i) % 4]} {i % 7}" for i in range(60)]


@pytest.fixture
def run(base, tmp_path):
    """A function that pretrains a tiny model, 8 steps per epoch, saved as tmp_path/NAME."""

    def call(name="out", texts=TEXTS, **options):
        settings = {
            "model": base, "max_length": 16, "epochs": 2, "batch_size": 16, "learning_rate": 3e-3,
            "random_state": 0, "verbose": 0, "n_threads": 1,
        }
        return bertsent.pretrain(texts, tmp_path / name, **(settings | options))

    return call


def tensors(directory):
    from safetensors.numpy import load_file

    return load_file(Path(directory) / "model.safetensors")


def weights(directory):
    return (Path(directory) / "model.safetensors").read_bytes()


def assert_same(one, other):
    assert weights(one.directory) == weights(other.directory)
    assert one.evaluations == other.evaluations
    for row, twin in zip(one.history, other.history, strict=True):
        assert row | {"seconds": 0} == twin | {"seconds": 0}


# --- what comes out ------------------------------------------------------------------------


def test_hidden_words_are_learned(run):
    found = run(epochs=12, validation_fraction=0.2)
    first, last = found.history[0], found.history[-1]
    assert last["loss"] < 0.75 * first["loss"]
    assert last["validation_loss"] < 0.75 * first["validation_loss"]
    assert last["validation_accuracy"] > first["validation_accuracy"]
    assert found.evaluations[-1]["validation_loss"] == last["validation_loss"]
    assert set(first) == {
        "epoch", "loss", "accuracy", "tokens", "seconds", "validation_loss", "validation_accuracy"
    }
    assert first["tokens"] == found.tokens


def test_a_classifier_starts_from_what_was_saved(run, base, tmp_path, capsys):
    found = run()
    saved, before = tensors(found.directory), tensors(base)
    clf = bertsent.BertClassifier(
        found.directory, epochs=1, learning_rate=1e-12, max_length=16, random_state=0
    )
    clf.fit(TEXTS[:8], [0, 1] * 4)
    # The pooler was kept, so only the classifier is new.
    assert "gets a new classification layer for 2 classes (0, 1)\n" in capsys.readouterr().err
    for name, value in clf.model_.parameters.items():
        if name.startswith("bert."):
            np.testing.assert_allclose(value, saved[name], atol=1e-6, err_msg=name)
            changed = not np.array_equal(saved[name], before[name.removeprefix("bert.")])
            assert changed == (".pooler." not in name), name
    assert clf.tokenizer_.get_vocab() == bertsent.WordPieceTokenizer.from_files(base).get_vocab()
    config = json.loads((found.directory / "config.json").read_text())
    assert config["architectures"] == ["BertForMaskedLM"]
    assert {path.name for path in found.directory.iterdir()} - {"vocab.txt"} == {
        "config.json", "model.safetensors", "run.json", "special_tokens_map.json",
        "tokenizer.json", "tokenizer_config.json",
    }


def test_a_head_that_is_there_is_used_and_one_that_is_not_is_said(run, base, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = run("first", verbose=1)
        assert f"{base} gets a new head for masked tokens\n" in capsys.readouterr().err
        second = run("second", model=first.directory, learning_rate=1e-12, verbose=1)
        assert "gets a new" not in capsys.readouterr().err
    assert (first.fresh, second.fresh) == (("head for masked tokens",), ())
    one, other = tensors(first.directory), tensors(second.directory)
    assert set(one) == set(other)
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], atol=1e-6, err_msg=name)
    assert second.history[0]["loss"] < first.history[0]["loss"]


def test_transformers_opens_it(run, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    found = run(validation_fraction=0.2)
    theirs, info = transformers.BertForMaskedLM.from_pretrained(
        found.directory, output_loading_info=True
    )
    assert not info["missing_keys"]
    theirs.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(found.directory)
    ours = masked_lm.MaskedLanguageModel.load(found.directory, 0)
    coded = tokenizer(["the film was [MASK] and the actor was fine"], return_tensors="pt")
    ids = coded["input_ids"][0].numpy().astype(np.int32)
    place = np.flatnonzero(ids == tokenizer.mask_token_id)
    label = np.array(tokenizer.convert_tokens_to_ids(["great"]), np.int32)
    loss, _ = ours._core.mlm_loss(
        ids, None, None, np.array([0, len(ids)]), np.zeros(1, np.uint64), place, label
    )
    with torch.no_grad():
        logits = theirs(**coded).logits[0, place[0]]
    assert loss == pytest.approx(-torch.log_softmax(logits, 0)[label[0]].item(), abs=1e-5)


def write_masked(directory, base, **changes):
    """A model with a head for masked tokens, as other programs save it."""
    from safetensors.numpy import save_file

    write_tiny_model(directory, prefix="bert.")
    config = json.loads((directory / "config.json").read_text()) | changes.pop("config", {})
    (directory / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(3)
    hidden, rows = config["hidden_size"], config["vocab_size"]
    stem = "cls.predictions."
    values = tiny_weights(config) | {
        stem + "transform.dense.weight": rng.normal(0, 0.1, (hidden, hidden)),
        stem + "transform.dense.bias": rng.normal(0, 0.1, hidden),
        stem + "transform.LayerNorm.gamma": rng.normal(1, 0.1, hidden),
        stem + "transform.LayerNorm.beta": rng.normal(0, 0.1, hidden),
        stem + "decoder.bias": rng.normal(0, 0.1, rows),
        stem + "decoder.weight": rng.normal(0, 0.1, (rows, hidden)),
        "cls.seq_relationship.weight": rng.normal(0, 0.1, (2, hidden)),
    }
    for name in changes.pop("without", []):
        del values[stem + name]
    save_file({n: v.astype(np.float32) for n, v in values.items()},
              directory / "model.safetensors")
    return values


def test_heads_of_other_programs_are_read(run, base, tmp_path):
    values = write_masked(tmp_path / "theirs", base)
    found = run(model=tmp_path / "theirs", learning_rate=1e-12, epochs=1)
    assert found.fresh == ()
    saved = tensors(found.directory)
    stem = "cls.predictions."
    for ours, theirs in [
        ("bias", "decoder.bias"), ("transform.LayerNorm.weight", "transform.LayerNorm.gamma"),
        ("transform.dense.weight", "transform.dense.weight"),
    ]:
        np.testing.assert_allclose(saved[stem + ours], values[stem + theirs], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"tie_word_embeddings": False}}, "decoder .* has its own weights"),
        ({"without": ["decoder.bias"]}, "lack the tensor cls.predictions.bias"),
        ({"without": ["transform.dense.bias"]}, "lack the tensor cls.predictions.transform.dense"),
    ],
)
def test_heads_that_cannot_be_used(run, base, tmp_path, changes, message):
    write_masked(tmp_path / "theirs", base, **changes)
    with pytest.raises(CheckpointError, match=message):
        run(model=tmp_path / "theirs")


def test_texts_are_cut_and_held_out_as_told(run, tmp_path):
    long = [" ".join(TEXTS[:6]), "", "the film"]
    found = run(texts=long, max_length=12, epochs=1)
    tokenizer = bertsent.WordPieceTokenizer.from_files(found.directory)
    inner = np.diff(tokenizer.encode_batch(long).offsets) - 2
    assert found.pieces == sum(-(-inner // 10))
    assert found.tokens == inner.sum() + 2 * found.pieces
    html = run("html", ["<p>the film</p>", "<br />"], strip_html=True, epochs=1)
    assert (html.pieces, html.tokens) == (1, 4)
    # Equal texts stay together, so half of eight is one of the two kinds.
    half = run("half", [PHRASES[0], PHRASES[1]] * 4, validation_fraction=0.5, epochs=1)
    assert half.pieces == 4


def test_held_out_texts_have_the_same_words_hidden_every_time(run):
    found = run(validation_fraction=0.3, learning_rate=1e-12, eval_every=2, epochs=3)
    losses = [row["validation_loss"] for row in found.evaluations]
    assert len(losses) > 6 and np.ptp(losses) < 1e-5
    # Training masks other words in every epoch, and has dropout.
    assert np.ptp([row["loss"] for row in found.history]) > 1e-3


# --- the same bits -------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [p for p in _core.precisions() if p != "int8"])
def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(run, precision):
    options = {"validation_fraction": 0.2, "precision": precision}
    one = run("one", **options)
    assert one.precision == precision
    assert_same(run("two", n_threads=2, **options), one)
    assert_same(run("three", n_threads=3, **options), one)
    assert weights(run("other", random_state=1, **options).directory) != weights(one.directory)


def interrupt(run, step, number=signal.SIGINT, **options):
    with at_step(step, lambda: signal.raise_signal(number)), pytest.raises(KeyboardInterrupt) as e:
        run(**options)
    return e


@pytest.mark.parametrize("step", [1, 4, 5, 11])
def test_interrupted_anywhere_and_resumed(run, tmp_path, step):
    options = {"validation_fraction": 0.2, "eval_every": 3, "epochs": 3}
    saving = {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 2} | options
    whole = run("whole", **options)
    caught = interrupt(run, step, name="part", **saving)
    assert "the same call with resume=True continues" in str(caught.value)
    assert not (tmp_path / "part").exists()
    assert (tmp_path / "run" / f"step-{step:08d}.safetensors").exists()
    assert_same(run("part", resume=True, n_threads=2, **saving), whole)
    # It is finished, and not trained again.
    assert_same(run("again", resume=True, **saving), whole)


def test_without_a_seed_the_run_goes_on_with_its_own(run, tmp_path):
    saving = {"checkpoint_dir": tmp_path / "run", "validation_fraction": 0.2, "eval_every": 1,
              "random_state": None}
    seen = []
    interrupt(run, 4, callbacks=seen.append, **saving)
    found = run(resume=True, **saving)
    told = [e["validation_loss"] for e in seen if e["event"] == "evaluation"]
    assert [row["validation_loss"] for row in found.evaluations][: len(told)] == told
    assert len(told) >= 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask_probability": 0.2}, r"mask_probability \(saved: 0.15, now: 0.2\)"),
        ({"max_length": 14}, r"max_length \(saved: 16, now: 14\)"),
        ({"texts": TEXTS[:-1]}, "the texts"),
        ({"random_state": 1}, "random_state"),
    ],
)
def test_of_another_run(run, tmp_path, change, message):
    saving = {"checkpoint_dir": tmp_path / "run"}
    interrupt(run, 2, **saving)
    with pytest.raises(CheckpointError, match="another run; what differs: .*" + message):
        run(resume=True, **(saving | change))


def test_a_classifier_does_not_go_on_with_it(run, base, tmp_path):
    interrupt(run, 2, checkpoint_dir=tmp_path / "run")
    clf = bertsent.BertClassifier(
        base, checkpoint_dir=tmp_path / "run", resume=True, max_length=16, verbose=0,
        random_state=0,
    )
    with pytest.raises(CheckpointError, match="another run"):
        clf.fit(TEXTS[:4], [0, 1, 0, 1])


def test_interrupted_without_checkpoints_the_model_is_saved(run, tmp_path):
    caught = interrupt(run, 3, signal.SIGTERM)
    assert caught.type is Terminated and "trained so far is saved in" in str(caught.value)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["interrupted"] is True
    masked_lm.MaskedLanguageModel.load(tmp_path / "out", 0)


# --- what is checked before ------------------------------------------------------------------


def test_nothing_is_overwritten_unasked(run, tmp_path):
    run(epochs=1)
    before = weights(tmp_path / "out")
    with at_step(1, lambda: pytest.fail("trained before the check")), pytest.raises(
        FileExistsError, match="overwrite=True"
    ):
        run()
    assert weights(tmp_path / "out") == before
    run(overwrite=True)
    assert weights(tmp_path / "out") != before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"texts": []}, ValueError, "no word"),
        ({"texts": ["", " "]}, ValueError, "no word in any of them"),
        ({"texts": ["a", None]}, TypeError, r"texts\[1\] is None"),
        ({"max_length": 65}, ValueError, "65 is larger than the 64 positions"),
        ({"mask_probability": 0}, ValueError, "mask_probability=0 .*above 0 and below 1"),
        ({"mask_probability": None}, ValueError, "mask_probability=None"),
        ({"learning_rate": "auto"}, ValueError, "learning_rate='auto' .*a number above 0"),
        ({"epochs": 0}, ValueError, "epochs=0"),
        ({"resume": True}, ValueError, "resume=True needs"),
        ({"precision": "int8"}, ValueError, "precision='int8'"),
    ],
)
def test_what_is_not_allowed(run, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        run(**options)
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_without_mask_token(run, tmp_path):
    config = write_tiny_model(tmp_path / "unmasked") / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"mask_token": None}))
    with pytest.raises(ValueError, match="no mask token"):
        run(model=tmp_path / "unmasked")


def test_one_run_at_a_time(run, tmp_path):
    with RunStore(tmp_path / "run", 2, False), pytest.raises(BlockingIOError):
        run(checkpoint_dir=tmp_path / "run")


def test_parameters_are_those_of_the_signature():
    signature = inspect.signature(bertsent.pretrain).parameters
    assert {p.name for p in PRETRAINING} | {"texts", "output", "overwrite"} == set(signature)
    for parameter in PRETRAINING:
        assert parameter.default == signature[parameter.name].default, parameter.name
        parameter.check(parameter.default)


# --- callbacks, log and command --------------------------------------------------------------


def test_callbacks_and_log(run, tmp_path):
    seen = []

    def watch(event):
        seen.append(event)
        return event["event"] == "step" and event["step"] == 5

    found = run(callbacks=watch, log_file=tmp_path / "log.jsonl", epochs=9)
    events = [event["event"] for event in seen]
    assert (events[0], events.count("step"), events[-1]) == ("start", 5, "end")
    assert seen[-1]["outcome"] == "stopped" and len(found.history) == events.count("epoch")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == events


@pytest.fixture
def table(tmp_path):
    pd.DataFrame({"id": range(60), "body": TEXTS}).to_csv(tmp_path / "texts.csv", index=False)
    return tmp_path / "texts.csv"


SMALL = ["--text-column", "body", "--max-length", "16", "--batch-size", "16",
         "--learning-rate", "3e-3"]


def test_command(table, base, tmp_path, run, capsys):
    args = ["pretrain", table, "--model", base, *SMALL, "--epochs", "2", "--output",
            tmp_path / "reviews", "--validation-fraction", "0.2"]
    assert main([str(arg) for arg in args]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"held-out loss of masked tokens: \d\.\d+ after the first epoch, \d", out)
    assert "bertsent train --model" in out and "60 texts" in out
    assert "masked language modelling on" in err and "tokens/s" in err
    record = json.loads((tmp_path / "reviews" / "run.json").read_text())
    assert record["data"]["rows"] == 60 and record["parameters"]["mask_probability"] == 0.15
    assert len(record["history"]) == 2 and record["interrupted"] is False
    # The same as the function, since the seed of a command is 0.
    assert weights(run(validation_fraction=0.2).directory) == weights(tmp_path / "reviews")
    assert main([str(arg) for arg in args]) == 1
    assert "--force" in capsys.readouterr().err
    assert main([str(arg) for arg in (*args, "--force")]) == 0
    labels = pd.read_csv(table).assign(review=TEXTS, sentiment=["a", "b"] * 30)
    labels.to_csv(tmp_path / "labelled.csv", index=False)
    assert main([
        "train", str(tmp_path / "labelled.csv"), "--model", str(tmp_path / "reviews"),
        "--max-length", "16", "--epochs", "1", "--output", str(tmp_path / "classifier"),
    ]) == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["pretrain"], "DATA and --output/-o are missing"),
        (["pretrain", "a.csv"], "--output"),
        (["pretrain", "a.csv", "-o", "x", "--resume"], "--resume needs --checkpoint-dir"),
        (["pretrain", "a.csv", "-o", "x", "--mask-probability", "1"], "above 0 and below 1"),
        (["pretrain", "a.csv", "-o", "x", "--learning-rate", "auto"], "a number above 0"),
    ],
)
def test_wrong_calls(args, said, capsys):
    assert main(args) == 2
    assert said in capsys.readouterr().err


def test_bad_data_is_an_error_in_one_line(table, base, tmp_path, capsys):
    more = ["--model", str(base), "-o", str(tmp_path / "out")]
    assert main(["pretrain", str(table), "--text-column", "review", *more]) == 1
    assert "no column 'review'" in capsys.readouterr().err
    frame = pd.read_csv(table)
    frame.loc[3, "body"] = None
    frame.to_csv(table, index=False)
    assert main(["pretrain", str(table), *SMALL, *more]) == 1
    assert "row 3" in capsys.readouterr().err
    assert main(["pretrain", str(table), *SMALL, *more, "--missing", "skip"]) == 0
    assert "1 empty cells left out" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_command_interrupted_and_resumed(table, base, tmp_path, number):
    command = ["pretrain", table, "--model", base, *SMALL, "--epochs", "40",
               "--checkpoint-every", "5", "--checkpoint-dir", tmp_path / "run"]
    process = start(*command, "--output", tmp_path / "one")
    for line in process.stderr:
        if "epoch 2/40 done" in line:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, err
    assert "the same command with --resume continues" in err and "Traceback" not in err
    process = start(*command, "--resume", "--output", tmp_path / "one")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "epoch 1/40" not in err and "epoch 40/40 done" in err
    process = start(*command[:-2], "--checkpoint-dir", tmp_path / "whole", "--output",
                    tmp_path / "other")
    process.communicate(timeout=120)
    assert weights(tmp_path / "one") == weights(tmp_path / "other")
