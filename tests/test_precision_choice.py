"""The choice of precision: parameters, "auto", saving, the command line."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from sklearn.base import clone
from test_classifier import make_texts

import bertsent
from bertsent import _core
from bertsent.cli import main
from bertsent.errors import CheckpointError

needs_bf16 = pytest.mark.skipif(
    "bfloat16" not in _core.precisions(), reason="this processor has no bfloat16"
)


@pytest.fixture
def make(base):
    return maker(base, epochs=2)


@pytest.fixture(scope="module")
def saved(base, tmp_path_factory):
    """A directory with a classifier that was trained in float32."""
    directory = tmp_path_factory.mktemp("saved") / "model"
    clf = bertsent.BertClassifier(
        base, max_length=16, epochs=4, batch_size=8, learning_rate=2e-3, random_state=0,
        verbose=0, precision="float32", inference_precision="int8",
    )
    clf.fit(*make_texts(96)).save_pretrained(directory)
    return directory


def flat(clf):
    return np.asarray(clf.model_._flat)


def packed(directory, n=12):
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(directory)
    tokens = tokenizer.encode_batch(make_texts(n, seed=5)[0], max_length=16)
    return tokens.ids, tokens.offsets


def without_bf16(program, *arguments, isa):
    """Run Python with an instruction set without bfloat16, and return its output."""
    if isa not in _core.isa_list():
        pytest.skip(f"this machine has no {isa}")
    package = Path(_core.__file__).resolve().parent.parent  # source tree or installation
    tests = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)],
        env={**os.environ, "BERTSENT_ISA": isa, "PYTHONPATH": f"{package}{os.pathsep}{tests}"},
        capture_output=True, text=True, timeout=120, cwd=tests,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the parameters of the classifier -----------------------------------------------------------


@pytest.mark.parametrize("value", ["int8", "fp16", "", None, True, 32])
def test_training_takes_two_precisions_and_auto(make, value):
    with pytest.raises(ValueError, match='precision=.*expected "auto", "float32" or "bfloat16"'):
        make(precision=value).fit(*make_texts(16))


@pytest.mark.parametrize("value", ["int4", "", None, 8])
def test_prediction_takes_three_and_auto(saved, value):
    clf = bertsent.BertClassifier.from_pretrained(saved).set_params(inference_precision=value)
    with pytest.raises(ValueError, match='inference_precision=.*"bfloat16" or "int8"'):
        clf.predict(["a film"])


def test_auto_is_what_the_kernels_prefer(make, monkeypatch):
    texts, labels = make_texts(24)
    clf = make(epochs=1).fit(texts, labels)
    assert clf.precision_ == _core.preferred_precision()
    same = make(epochs=1, precision=clf.precision_).fit(texts, labels)
    np.testing.assert_array_equal(flat(clf), flat(same))
    monkeypatch.setattr(_core, "preferred_precision", lambda: "float32")
    assert make(epochs=1).fit(texts, labels).precision_ == "float32"


@needs_bf16
def test_bfloat16_rounds_factors_and_keeps_float32_weights(make):
    texts, labels = make_texts(48)
    exact = make(precision="float32").fit(texts, labels)
    rounded = make(precision="bfloat16").fit(texts, labels)
    assert (exact.precision_, rounded.precision_) == ("float32", "bfloat16")
    assert not np.array_equal(flat(exact), flat(rounded))
    assert exact.history_[0]["loss"] == pytest.approx(rounded.history_[0]["loss"], abs=0.02)
    # The weights themselves are not rounded: their lower halves are not zero.
    assert np.count_nonzero(flat(rounded).view(np.uint32) & 0xFFFF) > flat(rounded).size // 2


@needs_bf16
def test_bfloat16_gives_the_same_bits_on_any_number_of_threads(make):
    texts, labels = make_texts(48)
    one = make(precision="bfloat16", n_threads=1).fit(texts, labels)
    three = make(precision="bfloat16", n_threads=3).fit(texts, labels)
    np.testing.assert_array_equal(flat(one), flat(three))


def test_fit_says_once_what_it_computes_in(make, capfd):
    make(epochs=2, verbose=1, precision="float32").fit(*make_texts(16))
    assert capfd.readouterr().err.count("float32") == 1
    make(epochs=1, verbose=0).fit(*make_texts(16))
    assert capfd.readouterr().err == ""


def test_validation_texts_are_scored_in_the_inference_precision(make):
    texts, labels = make_texts(48)
    held_out = dict(zip(("X_val", "y_val"), make_texts(24, seed=3), strict=True))
    clf = make(precision="float32", inference_precision="int8", epochs=1)
    clf.fit(texts, labels, **held_out)

    def loss():
        probabilities = clf.predict_proba(held_out["X_val"])
        own = np.searchsorted(clf.classes_, held_out["y_val"])
        return -np.log(probabilities[np.arange(24), own]).mean()

    found = clf.history_[-1]["validation_loss"]
    assert found == pytest.approx(loss(), rel=1e-12)
    clf.set_params(inference_precision="float32")
    assert abs(found / loss() - 1) > 1e-9


def test_prediction_follows_the_parameter_at_once(saved):
    clf = bertsent.BertClassifier.from_pretrained(saved)
    assert clf.inference_precision == "int8" and clf.precision_ == "float32"
    texts, _ = make_texts(20, seed=4)
    found = {}
    for name in ("int8", "float32", "int8", "float32"):
        clf.set_params(inference_precision=name)
        logits = clf.decision_function(texts)
        np.testing.assert_array_equal(logits, found.setdefault(name, logits))
    difference = np.abs(found["int8"] - found["float32"])
    assert 0 < difference.max() < 0.1
    clf.inference_precision = "auto"
    logits = clf.decision_function(texts)
    assert not np.array_equal(logits, found["int8"])
    np.testing.assert_allclose(logits, found["float32"], atol=0.1)


def test_clone_and_pickle_keep_both(saved):
    clf = bertsent.BertClassifier.from_pretrained(saved)
    parameters = clone(clf).get_params()
    assert parameters["precision"] == "float32" and parameters["inference_precision"] == "int8"
    clf.model_.inference_precision = "auto"
    again = pickle.loads(pickle.dumps(clf))
    assert again.precision_ == "float32" and again.inference_precision == "int8"
    assert again.model_.inference_precision == "auto"
    texts, _ = make_texts(8)
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))


def test_a_model_of_another_program_was_computed_in_nobody_knows_what(tiny_model_dir):
    source = tiny_model_dir(classifier=2, prefix="bert.")
    clf = bertsent.BertClassifier.from_pretrained(source)
    assert clf.precision_ is None and clf.inference_precision == "auto"


# --- the bare model ---------------------------------------------------------------------------


def test_the_bare_model_computes_in_float32_unless_told(saved):
    model = bertsent.BertForSequenceClassification.from_pretrained(saved)
    assert model.inference_precision == "float32"
    ids, offsets = packed(saved)
    exact = model.score_packed(ids, offsets)
    np.testing.assert_array_equal(model.score_packed(ids, offsets, precision="float32"), exact)
    rough = model.score_packed(ids, offsets, precision="int8")
    assert not np.array_equal(rough, exact)
    np.testing.assert_array_equal(model.score_packed(ids, offsets), exact)
    model.inference_precision = "int8"
    np.testing.assert_array_equal(model.score_packed(ids, offsets), rough)
    np.testing.assert_array_equal(
        model.score_packed(ids, offsets, precision="float32"), exact
    )
    one = ids[: offsets[1]][None]
    np.testing.assert_array_equal(model(one), model.score_packed(one[0], offsets[:2]))
    assert not np.array_equal(model(one), model.score_packed(one[0], offsets[:2], 1, "float32"))


def test_gradients_are_float32_whatever_is_set(saved):
    model = bertsent.BertForSequenceClassification.from_pretrained(saved)
    ids, offsets = packed(saved)
    one = ids[: offsets[1]][None]
    loss, _ = model.loss_and_gradients(one, None, [1])
    model.inference_precision = "int8"
    assert model.loss_and_gradients(one, None, [1])[0] == loss


def test_a_model_may_be_made_with_a_precision(saved):
    model = bertsent.BertForSequenceClassification.from_pretrained(
        saved, inference_precision="int8"
    )
    made = bertsent.BertForSequenceClassification.from_config(
        model.config, inference_precision="auto"
    )
    assert (model.inference_precision, made.inference_precision) == ("int8", "auto")


@pytest.mark.parametrize("value", ["int4", None, 8])
def test_a_wrong_precision_changes_nothing(saved, value):
    model = bertsent.BertForSequenceClassification.from_pretrained(saved)
    with pytest.raises(ValueError, match="expected one of auto, float32, bfloat16, int8"):
        model.inference_precision = value
    assert model.inference_precision == "float32"
    if value is not None:
        with pytest.raises(ValueError, match="expected one of auto"):
            model.score_packed(*packed(saved), precision=value)


# --- machines without bfloat16 ------------------------------------------------------------------

ELSEWHERE = """
import sys
import numpy as np
import bertsent
from test_classifier import make_texts

base, saved = sys.argv[1:]
texts, labels = make_texts(24)

def make(**options):
    return bertsent.BertClassifier(
        base, max_length=16, epochs=1, batch_size=8, random_state=0, verbose=0, **options
    )

def error(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except ValueError as found:
        return str(found)

auto = make().fit(texts, labels)
assert auto.precision_ == "float32"
exact = make(precision="float32", inference_precision="float32").fit(texts, labels)
assert np.array_equal(auto.predict_proba(texts), exact.predict_proba(texts))
refused = make(precision="bfloat16")
assert "use 'auto'" in error(refused.fit, texts, labels)
assert not hasattr(refused, "classes_")
scored = make(inference_precision="bfloat16")
assert "use 'auto'" in error(scored.fit, texts, labels, X_val=texts, y_val=labels)
scored.fit(texts, labels)
assert "use 'auto'" in error(scored.predict, texts)

opened = bertsent.BertClassifier.from_pretrained(saved)
assert opened.inference_precision == opened.precision == "bfloat16"
message = error(opened.predict, texts)
assert "inference_precision='bfloat16'" in message and "use 'auto'" in message
assert "use 'auto'" in error(opened.predict_file, saved + "/vocab.txt", saved + "/out.csv")
for name in ("auto", "int8", "float32"):
    opened.set_params(inference_precision=name).predict(texts)
opened.model_.inference_precision = "bfloat16"
assert "use 'auto'" in error(opened.model_.forward, np.ones((1, 4), np.int32))
print("all well")
"""


@pytest.mark.parametrize("isa", ["portable", "avx2"])
def test_a_machine_without_bfloat16(base, saved, tmp_path, isa):
    clf = bertsent.BertClassifier.from_pretrained(saved)
    clf.set_params(precision="bfloat16", inference_precision="bfloat16")
    clf.save_pretrained(tmp_path / "model")
    assert without_bf16(ELSEWHERE, base, tmp_path / "model", isa=isa) == "all well\n"


# --- runs that go on ----------------------------------------------------------------------------


def test_auto_goes_on_in_what_the_run_was_begun_in(make, tmp_path, monkeypatch):
    texts, labels = make_texts(32)
    run = {"checkpoint_dir": tmp_path / "run", "resume": True}
    make(precision="float32", **run).fit(texts, labels)
    monkeypatch.setattr(_core, "preferred_precision", lambda: "bfloat16")
    assert make(**run).fit(texts, labels).precision_ == "float32"


def test_a_run_does_not_go_on_in_another_precision(make, tmp_path, monkeypatch):
    texts, labels = make_texts(32)
    run = {"checkpoint_dir": tmp_path / "run", "resume": True}
    make(precision="float32", inference_precision="float32", **run).fit(texts, labels)
    # Without validation texts, the precision of scoring does not matter.
    make(precision="float32", inference_precision="int8", **run).fit(texts, labels)
    monkeypatch.setattr(_core, "precisions", lambda: ["float32", "bfloat16", "int8"])
    with pytest.raises(CheckpointError, match="precision .saved: 'float32', now: 'bfloat16'"):
        make(precision="bfloat16", **run).fit(texts, labels)


def test_auto_goes_on_where_the_begun_one_is_not_to_be_had(make, tmp_path, monkeypatch):
    texts, labels = make_texts(32)
    run = {"checkpoint_dir": tmp_path / "run", "resume": True}
    begun = make(**run).fit(texts, labels)
    other = "bfloat16" if begun.precision_ == "float32" else "float32"
    monkeypatch.setattr(_core, "preferred_precision", lambda: other)
    monkeypatch.setattr(_core, "precisions", lambda: [other, "int8"])
    assert make(**run).fit(texts, labels).precision_ == other


def test_with_validation_texts_a_run_keeps_its_inference_precision(make, tmp_path):
    texts, labels = make_texts(32)
    run = {"checkpoint_dir": tmp_path / "run", "resume": True, "validation_fraction": 0.25}
    make(inference_precision="float32", **run).fit(texts, labels)
    make(inference_precision="auto", **run).fit(texts, labels)
    with pytest.raises(CheckpointError, match="inference_precision .saved: 'float32', now: 'int8'"):
        make(inference_precision="int8", **run).fit(texts, labels)


# --- the command line ---------------------------------------------------------------------------


@pytest.fixture
def reviews(tmp_path):
    texts, labels = make_texts(48, seed=6)
    path = tmp_path / "reviews.csv"
    pd.DataFrame({"review": texts, "sentiment": labels}).to_csv(path, index=False)
    return path


def test_commands_take_and_report_them(base, reviews, tmp_path, capsys):
    model = tmp_path / "model"
    options = ["--model", str(base), "--max-length", "16", "--epochs", "1"]
    options += ["--precision", "float32", "--inference-precision", "int8", "--verbose", "0"]
    assert main(["train", str(reviews), *options, "--output", str(model)]) == 0
    out = capsys.readouterr().out
    assert "--precision float32, --inference-precision int8" in " ".join(out.split())
    assert "in float32 at a peak learning rate" in out and "computed in int8" in out
    record = json.loads((model / "run.json").read_text())
    assert record["precision"] == "float32"
    assert record["parameters"]["inference_precision"] == "int8"
    assert json.loads((model / "metrics.json").read_text())["inference_precision"] == "int8"

    assert main(["evaluate", str(model), str(reviews)]) == 0
    assert "computed in int8" in capsys.readouterr().out
    evaluate = ["evaluate", str(model), str(reviews), "--json", "--inference-precision"]
    found = {}
    for name in ("int8", "float32"):
        assert main([*evaluate, name]) == 0
        found[name] = json.loads(capsys.readouterr().out)
        assert found[name]["inference_precision"] == name
    assert found["int8"]["loss"] != found["float32"]["loss"]

    target = tmp_path / "scored.csv"
    predict = ["predict", str(model), str(reviews), "-o", str(target)]
    assert main([*predict, "--inference-precision", "float32"]) == 0
    assert "computed in float32" in capsys.readouterr().err


def test_train_says_what_auto_has_come_to(base, reviews, tmp_path, capsys):
    options = ["--model", str(base), "--max-length", "16", "--epochs", "1"]
    assert main(["train", str(reviews), *options, "--output", str(tmp_path / "model")]) == 0
    assert f"--precision {_core.preferred_precision()} (auto)" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_commands_refuse_unknown_ones(saved, reviews, command, capsys):
    arguments = [str(reviews)] if command == "train" else [str(saved), str(reviews)]
    assert main([command, *arguments, "--inference-precision", "int4"]) == 2
    assert '"float32", "bfloat16" or "int8"' in capsys.readouterr().err


COMMAND = """
import sys
from bertsent.cli import main
model, reviews = sys.argv[1:]
for command in (["evaluate", model, reviews], ["predict", model, reviews],
                ["train", reviews, "--output", model + "-new"]):
    assert main([*command, "--inference-precision", "bfloat16"]) == 1
assert main(["train", reviews, "--output", model + "-new", "--precision", "bfloat16"]) == 1
print("all well")
"""


def test_commands_say_what_a_machine_cannot_do(saved, reviews):
    assert without_bf16(COMMAND, saved, reviews, isa="portable") == "all well\n"
