"""Texts longer than max_length: which part is read in training, and which in prediction."""

import json
import re
import signal

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from test_classifier import flat
from test_cli import SMALL
from test_memory import least_of
from test_runs import at_step

import bertsent
from bertsent import _core
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.system.units import parse_size

FILLERS = "the a film movie story plot scene time it was".split()
ROOM = 14  # of max_length=16
TRAINING = [name for name in _core.precisions() if name != "int8"]


def make_long(n=40, seed=0):
    """Texts of one-token words, mostly too long; two words anywhere in them decide."""
    rng = np.random.default_rng(seed)
    up = rng.random(n) < 0.5
    up[:2] = True, False
    texts = []
    for good in up:
        words = rng.choice(FILLERS, rng.integers(5, 60)).tolist()
        for _ in range(2):
            words.insert(rng.integers(0, len(words) + 1), "good" if good else "bad")
        texts.append(" ".join(words))
    return texts, np.where(up, "positive", "negative")


TEXTS, LABELS = make_long()
CUT = {
    "head": lambda words: words[:ROOM],
    "tail": lambda words: words[-ROOM:],
    "head+tail": lambda words: words if len(words) <= ROOM else words[:4] + words[-10:],
}


def cut(texts, how):
    return [" ".join(CUT[how](text.split())) for text in texts]


@pytest.fixture
def make(base):
    return maker(
        base, epochs=2, precision="float32", inference_precision="float32", long_text="head",
        inference_long_text=None
    )


@pytest.mark.parametrize("how", ["head", "tail", "head+tail"])
def test_a_text_counts_as_what_is_read_of_it(make, how, tmp_path):
    short = make().fit(cut(TEXTS, how), LABELS, X_val=cut(TEXTS[:9], how), y_val=LABELS[:9])
    clf = make(long_text=how).fit(TEXTS, LABELS, X_val=TEXTS[:9], y_val=LABELS[:9])
    assert np.array_equal(flat(clf), flat(short))
    assert clf.history_[-1]["validation_loss"] == short.history_[-1]["validation_loss"]
    expected = short.predict_proba(cut(TEXTS, how))
    assert np.array_equal(clf.predict_proba(TEXTS), expected)
    assert np.array_equal(clf.predict_proba(pd.Series(TEXTS)), expected)

    batches = clf.predict_batches([TEXTS[:25], TEXTS[25:]])
    found = pd.concat(list(batches))["confidence"]
    np.testing.assert_allclose(found, expected.max(axis=1), rtol=1e-5)
    pd.DataFrame({"review": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    clf.predict_file(tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=7)
    found = pd.read_csv(tmp_path / "out.csv")["confidence"]
    np.testing.assert_allclose(found, expected.max(axis=1), atol=1e-5)

    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert again.long_text == how
    assert np.array_equal(again.predict_proba(TEXTS), expected)


def test_the_ways_differ(make):
    models = [flat(make(long_text=how).fit(TEXTS, LABELS)) for how in CUT]
    assert not np.array_equal(models[0], models[1])
    assert not np.array_equal(models[0], models[2])
    assert not np.array_equal(models[1], models[2])
    assert np.array_equal(flat(make().fit(TEXTS, LABELS)), models[0])


def test_partial_fit_reads_alike(make):
    options = {"classes": ["negative", "positive"]}
    short = make().partial_fit(cut(TEXTS, "tail"), LABELS, **options)
    clf = make(long_text="tail").partial_fit(TEXTS, LABELS, **options)
    assert np.array_equal(flat(clf), flat(short))


def test_it_belongs_to_a_run(make, tmp_path):
    options = {"checkpoint_dir": tmp_path / "run", "resume": True, "epochs": 1}
    make(long_text="tail", **options).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="long_text .saved: 'tail', now: 'head'"):
        make(**options).fit(TEXTS, LABELS)


def test_tokens_read_are_told(make):
    texts = pd.Series(["", "good film", "good " * 14, "bad " * 30], index=list("abcd"))
    clf = make().fit(TEXTS, LABELS)
    for how in CUT:
        found = clf.set_params(long_text=how).tokens_read(texts)
        expected = pd.DataFrame({"tokens": [0, 2, 14, 30], "tokens_read": [0, 2, 14, 14]},
                                index=list("abcd"))
        pd.testing.assert_frame_equal(found, expected)
    assert clf.tokens_read(texts.tolist()).index.tolist() == [0, 1, 2, 3]
    assert len(clf.tokens_read([])) == 0


@pytest.mark.parametrize(
    ("how", "part"), [("head", "end"), ("tail", "beginning"), ("head+tail", "middle")]
)
def test_how_much_is_not_read_is_said(make, capsys, how, part):
    texts = ["good film"] * 3 + ["bad " * 34]
    message = (rf"25.0% of the texts \(1 of 4\) .*; the {part} of them is not read in training, "
               "50.0% of all")
    make(long_text=how, epochs=1, verbose=1).fit(texts, [1, 1, 1, 0])
    assert re.search(message, capsys.readouterr().err)


def test_damage_in_what_is_not_read_is_no_error(make, capsys):
    texts = ["good film", "bad " * 5000 + "\ud800"]
    make(epochs=1, verbose=1).fit(texts, [1, 0])
    assert "the end of them is not read in training\n" in capsys.readouterr().err


def test_nothing_is_said_where_all_is_read(make, capsys):
    make(epochs=1, verbose=1).fit(["good film", "bad film"], [1, 0])
    assert "not read" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(
            ({"long_text": value}, 'long_text=.*expected "head", "tail", "head.tail" or "windows"')
            for value in ["middle", "", None, True, 1]
        ),
        ({"stride": -1, "long_text": "windows"}, "stride=-1.*at least 0"),
        (
            {"stride": 3, "inference_long_text": None},
            "stride=3 needs long_text='windows' or .*, but long_text is .head",
        ),
        ({"stride": 14, "long_text": "windows"}, "stride=14 leaves no room .*16; .*at most 13"),
        ({"inference_long_text": "all"}, 'inference_long_text=.all.*expected None, "head"'),
    ],
)
def test_what_is_not_allowed(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).fit(TEXTS, LABELS)
    clf = make(epochs=1).fit(TEXTS, LABELS).set_params(**options)
    with pytest.raises(ValueError, match=message):
        clf.predict(TEXTS)


# --- windows --------------------------------------------------------------------------------


def windows_of(text, stride=0):
    """The windows of texts as texts, and the weight of each."""
    words, found, start = text.split(), [], 0
    while True:
        found.append(words[start : start + ROOM])
        if start + ROOM >= len(words):
            break
        start += ROOM - stride
    sizes = np.array([max(1, len(part)) for part in found])
    return [" ".join(part) for part in found], sizes / sizes.sum()


@pytest.mark.parametrize("stride", [0, 5])
@pytest.mark.parametrize("precision", _core.precisions())
def test_a_text_is_the_mean_of_its_windows(make, stride, precision, tmp_path):
    clf = make(inference_precision=precision).fit(TEXTS, LABELS)
    texts = [*TEXTS, ""]
    rows = [windows_of(text, stride) for text in texts]
    assert max(len(shares) for _, shares in rows) > 4
    expected = [clf.decision_function(windows) @ shares for windows, shares in rows]
    clf.set_params(long_text="windows", stride=stride)
    found = clf.decision_function(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5 if precision == "float32" else 0.05)
    assert np.array_equal(clf.set_params(n_threads=2).decision_function(texts), found)

    confidence = clf.predict_proba(TEXTS).max(axis=1)
    batches = pd.concat(list(clf.predict_batches([TEXTS[:25], TEXTS[25:]])))
    np.testing.assert_allclose(batches["confidence"], confidence, atol=1e-5)
    pd.DataFrame({"review": TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    clf.predict_file(tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=7)
    labelled = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(labelled["confidence"], confidence, atol=1e-5)
    assert labelled["predicted_label"].tolist() == clf.predict(TEXTS).tolist()

    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert (again.long_text, again.stride) == ("windows", stride)
    assert np.array_equal(again.decision_function(texts), found)


def test_all_is_read_in_windows(make, capsys):
    clf = make(long_text="windows", epochs=1, verbose=1).fit(TEXTS, LABELS)
    assert "not read" not in capsys.readouterr().err
    found = clf.tokens_read(["", "good " * 14, "bad " * 300])
    assert found["tokens"].tolist() == found["tokens_read"].tolist() == [0, 14, 300]


def test_where_nothing_is_long_nothing_changes(make):
    texts = cut(TEXTS, "head")
    assert np.array_equal(
        flat(make(long_text="windows").fit(texts, LABELS)), flat(make().fit(texts, LABELS))
    )


@pytest.fixture
def reading(make):
    """A factory of classifiers that read windows."""
    return lambda **options: make(**({"long_text": "windows", "stride": 3} | options))


def test_they_learn_from_what_comes_late(reading, make):
    texts = ["the film " * 20 + word for word in ("good", "bad")] * 20
    labels = ["positive", "negative"] * 20
    assert reading(epochs=20).fit(texts, labels).score(texts, labels) == 1.0
    assert make(epochs=20).fit(texts, labels).score(texts, labels) == 0.5


@pytest.mark.parametrize("limit", [None, "least"])
def test_the_same_bits(reading, limit, tmp_path):
    """On any number of threads, from accumulated batches, and after a pause."""
    weights = np.linspace(0.1, 2.0, len(TEXTS))
    options = {
        "batch_size": 6, "label_smoothing": 0.1, "class_weight": {"positive": 2.0}, "epochs": 3,
        "validation_fraction": 0.2, "eval_every": 2,
    }
    if limit:
        options["memory_limit"] = least_of(
            lambda: reading(memory_limit=1, **options).fit(TEXTS, LABELS)
        )
    plain = reading(**options).fit(TEXTS, LABELS, weights)
    if limit is None:  # scratch memory, and so the smallest possible limit, depends on the threads
        assert np.array_equal(
            flat(reading(n_threads=2, **options).fit(TEXTS, LABELS, weights)), flat(plain)
        )
    others = options | {"batch_size": 2, "accumulate_steps": 3}
    assert np.array_equal(flat(reading(**others).fit(TEXTS, LABELS, weights)), flat(plain))
    kept = options | {"checkpoint_dir": tmp_path / "run", "checkpoint_every": 1}
    interrupted = reading(**kept)
    with at_step(8, lambda: signal.raise_signal(signal.SIGINT)), pytest.raises(KeyboardInterrupt):
        interrupted.fit(TEXTS, LABELS, weights)
    assert not np.array_equal(flat(interrupted), flat(plain))
    resumed = reading(resume=True, **kept).fit(TEXTS, LABELS, weights)
    assert np.array_equal(flat(resumed), flat(plain))
    assert resumed.evaluations_ == plain.evaluations_
    with pytest.raises(CheckpointError, match="stride .saved: 3, now: 4"):
        reading(resume=True, **(kept | {"stride": 4})).fit(TEXTS, LABELS, weights)


@pytest.mark.parametrize("precision", TRAINING)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_steps_count_texts(reading, precision, pooling):
    events = []
    clf = reading(callbacks=events.append, precision=precision, pooling=pooling)
    clf.fit(TEXTS, LABELS)
    steps = [event for event in events if event["event"] == "step"]
    assert len(steps) == 2 * 5
    tokens = sum(len(w.split()) + 2 for text in TEXTS for w in windows_of(text, 3)[0])
    assert [row["tokens"] for row in clf.history_] == [tokens] * 2
    assert sum(step["tokens"] for step in steps) == 2 * tokens
    assert all(np.isfinite(step["loss"]) for step in steps)


def test_validation_reads_windows(reading):
    clf = reading(epochs=1).fit(TEXTS, LABELS, X_val=TEXTS[:11], y_val=LABELS[:11])
    own = clf.predict_proba(TEXTS[:11])[np.arange(11), (LABELS[:11] == "positive").astype(int)]
    assert clf.history_[0]["validation_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-5)


def test_prediction_may_read_more_than_training(make, tmp_path):
    held_out = {"X_val": TEXTS[:11], "y_val": LABELS[:11]}
    tail = make(long_text="tail").fit(TEXTS, LABELS, **held_out)
    wide = {"long_text": "tail", "inference_long_text": "windows"}
    default = bertsent.BertClassifier()
    assert {name: getattr(default, name) for name in wide} == wide
    clf = make(**wide).fit(TEXTS, LABELS, **held_out)
    assert np.array_equal(flat(clf), flat(tail))
    read = clf.tokens_read(TEXTS)
    assert (read["tokens_read"] == read["tokens"]).all()
    found = clf.predict_proba(TEXTS)
    assert not np.array_equal(found, tail.predict_proba(TEXTS))
    own = found[np.arange(11), (LABELS[:11] == "positive").astype(int)]
    assert clf.history_[-1]["validation_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-5)
    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.predict_proba(TEXTS), found)
    assert np.array_equal(tail.set_params(long_text="windows").predict_proba(TEXTS), found)
    tail.set_params(long_text="tail", stride=4, inference_long_text="windows")
    assert not np.array_equal(tail.predict_proba(TEXTS), found)

    classes = {"classes": ["negative", "positive"]}
    tail = make(long_text="tail").partial_fit(TEXTS, LABELS, **classes)
    clf = make(**wide)
    assert np.array_equal(flat(clf.partial_fit(TEXTS, LABELS, **classes)), flat(tail))


def test_partial_fit_reads_windows(reading):
    classes = {"classes": ["negative", "positive"]}
    own = {"schedule": "constant", "warmup_ratio": 0.0, "epochs": 1}
    clf = reading().partial_fit(TEXTS, LABELS, **classes)
    assert np.array_equal(flat(clf), flat(reading(**own).fit(TEXTS, LABELS)))
    limited = reading(memory_limit="50MB").partial_fit(TEXTS, LABELS, **classes)
    assert np.array_equal(flat(limited), flat(clf))


@pytest.mark.parametrize("precision", TRAINING)
def test_a_very_long_text_is_trained_on_in_little_memory(make, base, precision):
    rng = np.random.default_rng(0)
    words = " ".join(rng.choice(FILLERS, 50_000))
    options = {"max_length": 64, "long_text": "windows", "epochs": 1, "precision": precision}
    texts, labels = [words + " good", "bad", "good film", words + " bad"], [1, 0, 1, 0]
    short = ["the " * 62, "bad", "good film", "a " * 62]
    least = least_of(lambda: make(memory_limit=1, **options).fit(short, labels))
    limit = least_of(lambda: make(memory_limit=1, **options).fit(texts, labels))
    assert parse_size(limit) < 1.1 * parse_size(least)
    clf = make(memory_limit=limit, **options).fit(texts, labels)
    core, size = clf.model_._core, clf.model_._flat.size
    fixed = 16 * size + core.packed_size(precision, backward=True)
    assert fixed + core.reserved <= parse_size(limit)
    assert clf.history_[0]["tokens"] > 100_000 + 2 * 807 * 2
    free = make(**options).fit(texts, labels)
    assert core.reserved < free.model_._core.reserved < 20_000_000
    assert free.history_[0]["loss"] == pytest.approx(clf.history_[0]["loss"], rel=1e-4)
    assert np.isfinite(clf.decision_function(texts)).all()


def test_limits_hold_for_many_windows(reading):
    """More windows than texts in a part: the plan must count as the engine does."""
    texts = ["good " * n for n in range(15, 200, 5)]
    labels = np.arange(len(texts)) % 2
    limit = parse_size(least_of(lambda: reading(memory_limit=1).fit(texts, labels)))
    for more in (1.0, 1.1, 1.3, 1.6, 2.0):
        clf = reading(memory_limit=int(limit * more), batch_size=2, epochs=1).fit(texts, labels)
        core = clf.model_._core
        assert 16 * clf.model_._flat.size + core.reserved <= limit * more


def test_on_the_command_line(base, tmp_path, capsys):
    data = tmp_path / "a.csv"
    pd.DataFrame({"review": TEXTS, "sentiment": LABELS}).to_csv(data, index=False)
    command = ["train", str(data), "--model", str(base), "--epochs", "1", *SMALL]
    out = tmp_path / "out"
    assert main([*command, "--long-text", "head+tail", "--output", str(out)]) == 0
    assert "--long-text head+tail" in capsys.readouterr().out
    assert json.loads((out / "run.json").read_text())["parameters"]["long_text"] == "head+tail"
    clf = bertsent.BertClassifier.from_pretrained(out)
    assert main(["predict", str(out), "--text", TEXTS[3]]) == 0
    label, confidence = capsys.readouterr().out.split()
    assert label == clf.predict([TEXTS[3]])[0]
    assert float(confidence) == pytest.approx(clf.predict_proba([TEXTS[3]]).max(), abs=1e-4)
    assert main([*command, "--output", str(tmp_path / "plain")]) == 0
    assert "long_text" not in capsys.readouterr().out
    flags = ["--long-text", "windows", "--stride", "4", "--output", str(tmp_path / "windows")]
    assert main([*command, *flags]) == 0
    assert "--long-text windows, --stride 4" in " ".join(capsys.readouterr().out.split())
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "windows")
    assert (clf.long_text, clf.stride) == ("windows", 4)
    assert main(["evaluate", str(tmp_path / "windows"), str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == clf.score(TEXTS, LABELS)
    wider = ["--long-text", "windows", "--stride", "4", "--inference-long-text", "tail"]
    assert main(["train", str(data), *wider, *command[2:], "--output", str(tmp_path / "w")]) == 0
    capsys.readouterr()
    for how in ("tail", "head"):
        flags = ["--json", "--inference-long-text", how]
        assert main(["evaluate", str(tmp_path / "windows"), str(data), *flags]) == 0
        accuracy = json.loads(capsys.readouterr().out)["accuracy"]
        assert accuracy == clf.set_params(inference_long_text=how).score(TEXTS, LABELS)
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "w")
    clf.set_params(inference_long_text="tail")
    assert np.array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert main([*command, "--stride", "4", "--inference-long-text", "tail"]) == 1
    assert "--stride 4 needs --long-text windows or " in capsys.readouterr().err
    assert main([*command, "--long-text", "middle"]) == 2
    assert '--long-text: expected "head"' in capsys.readouterr().err
