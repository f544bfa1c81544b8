"""Training from few labels: the encoder by contrast, then the head from its vectors."""

import json
import math
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import maker, whole_and_resumed, write_tiny_model
from family_models import MODELS, write_family_model
from sklearn.linear_model import LogisticRegression
from test_classifier import flat, make_texts
from test_cli import run as run_command, write_csv

import bertsent
from bertsent.classifier import estimate, survey
from bertsent.classifier.estimator import predictor
from bertsent.classifier.few_shot import check_classes, settle_few_shot
from bertsent.model import PassTokens, normalize
from bertsent.objectives import Contrast, SingleLabelClassification
from bertsent.system import parse_size
from bertsent.texts import Labelled
from bertsent.training.schedule import balanced_order, epoch_order, step_ends

TEXTS, LABELS = make_texts(32)
TEXTS = [f"{text} {number}" for number, text in enumerate(TEXTS)]
THREE = np.array(["bad", "good", "dull"])[np.arange(32) % 3]
PAIRS = [["bad", "good"][: 1 + number % 2] for number in range(32)]


@pytest.fixture
def make(base):
    return maker(base, few_shot=True, epochs=2, learning_rate=1e-3, precision="float32",
                 inference_precision="float32")


def vectors_of(clf, texts):
    """Return the vectors that the head of a classifier reads."""
    tokens = predictor(clf).fitted.tokenizer.encode_batch(texts, max_length=16)
    return clf.model_.pool_packed(tokens.ids, tokens.offsets, 1, "float32")[1]


# --- what is learned ---------------------------------------------------------------------------


def test_texts_of_a_class_become_alike_and_a_head_tells_them_apart(make):
    clf = make(epochs=10, learning_rate=5e-3).fit(TEXTS, LABELS)
    assert clf.score(TEXTS, LABELS) == 1.0
    first, *_, last = clf.history_
    assert last["loss"] < first["loss"] and last["accuracy"] > first["accuracy"]
    unit = normalize(vectors_of(clf, TEXTS))
    same = LABELS == LABELS[:, None]
    assert (unit @ unit.T)[same].mean() > (unit @ unit.T)[~same].mean() + 0.5


def assert_like_regression(clf, texts, y, atol):
    """Compare probabilities with those of a logistic regression on the vectors."""
    vectors = vectors_of(clf, texts).astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=1).mean())
    regression = LogisticRegression(C=10.0, max_iter=1000).fit(centred, y)
    np.testing.assert_allclose(
        clf.predict_proba(texts), regression.predict_proba(centred), atol=atol
    )


@pytest.mark.parametrize("family", ["bert", *MODELS])
@pytest.mark.parametrize("y", [LABELS, THREE], ids=["two classes", "three"])
def test_every_family_learns_and_is_saved_like_any_other(family, y, tmp_path):
    model = tmp_path / "base"
    write_tiny_model(model) if family == "bert" else write_family_model(model, family)
    make = maker(model, few_shot=True, epochs=4, learning_rate=5e-3, precision="float32",
                 inference_precision="float32")
    texts = [f"{word} {number}" for number, word in enumerate(y)]
    clf = make().fit(texts, y)
    assert clf.score(texts, y) >= 0.9
    # An activation changes little of vectors that are this small.
    assert_like_regression(clf, texts, y, atol=0.05)
    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert again.few_shot is True
    np.testing.assert_array_equal(again.predict_proba(texts), clf.predict_proba(texts))
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert "mean" in config.values()


def test_weights_of_texts_and_classes_count(make):
    weights = np.where(np.arange(32) < 4, 0.0, 1.0)
    with_zeros = make(epochs=1, batch_size=32).fit(TEXTS, LABELS, sample_weight=weights)
    plain = make(epochs=1, batch_size=32).fit(TEXTS, LABELS)
    assert not np.array_equal(flat(with_zeros), flat(plain))
    heavy = make(class_weight={"positive": 20.0}).fit(TEXTS, LABELS)
    assert heavy.predict_proba(TEXTS)[:, 1].mean() > plain.predict_proba(TEXTS)[:, 1].mean()


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(make):
    one, two = (make(n_threads=n).fit(TEXTS, LABELS) for n in (1, 2))
    assert np.array_equal(flat(one), flat(two))
    assert not np.array_equal(flat(one), flat(make(random_state=1).fit(TEXTS, LABELS)))


# --- values for "auto" -------------------------------------------------------------------------


@pytest.mark.parametrize(("n_texts", "epochs", "batch_size"), [
    (4, 10, 8), (16, 10, 8), (100, 7, 8), (1000, 3, 8),
])
def test_few_texts_are_read_more_often(n_texts, epochs, batch_size):
    objective, _ = SingleLabelClassification.learn(["a", "b"], 2)
    given = {"few_shot": True, "epochs": "auto", "batch_size": batch_size, "pooling": None}
    found = settle_few_shot(given, objective, n_texts)
    assert found["epochs"] == epochs and found["pooling"] == "mean"
    assert settle_few_shot(given | {"few_shot": False}, objective, 4)["epochs"] == "auto"
    kept = settle_few_shot(given | {"epochs": 5, "pooling": "cls"}, objective, n_texts)
    assert kept["epochs"] == 5 and kept["pooling"] == "cls"


def test_a_step_has_texts_of_all_classes():
    objective, _ = SingleLabelClassification.learn(list("abcdefgh"), 8)
    given = {"few_shot": True, "epochs": 1, "batch_size": 8, "pooling": None}
    assert settle_few_shot(given, objective, 100)["batch_size"] == 32
    assert settle_few_shot(given, objective, 10)["batch_size"] == 10
    classes = np.repeat([0, 1, 2], [24, 12, 4])
    order = balanced_order(classes, 3, 1)
    assert sorted(order) == list(range(40))
    for first in range(0, 40, 10):
        assert np.bincount(classes[order[first : first + 10]]).tolist() == [6, 3, 1]
    assert order.tolist() != balanced_order(classes, 3, 2).tolist()
    assert epoch_order(40, 3, 1).tolist() != order.tolist()


def test_members_have_their_own_values(make):
    clf = make(members=[{"epochs": "auto"}, {"batch_size": 2}]).fit(TEXTS, LABELS)
    by_member = [[row for row in clf.history_ if row["member"] == n] for n in (1, 2)]
    assert [len(rows) for rows in by_member] == [10, 2]
    seen = []
    make(members=[{}, {"batch_size": 2}], callbacks=seen.append, epochs=1).fit(TEXTS, LABELS)
    steps = [event["member"] for event in seen if event["event"] == "step"]
    assert steps == [1] * 4 + [2] * 4


@pytest.mark.parametrize(("n_texts", "step_size"), [(33, 8), (9, 8), (65, 8), (8, 8), (40, 11)])
def test_the_texts_of_an_epoch_are_shared_out_evenly(n_texts, step_size):
    sizes = np.diff(step_ends(n_texts, step_size, even=True), prepend=0)
    assert sizes.sum() == n_texts and len(sizes) == math.ceil(n_texts / step_size)
    assert max(sizes) <= step_size and max(sizes) - min(sizes) <= 1
    usual = step_ends(n_texts, step_size, even=False)
    assert usual.tolist() == [*range(step_size, n_texts, step_size), n_texts]


def test_no_step_has_a_single_text(make):
    seen = []
    few = [0, 2, 4, 6, 8, 10, 1, 3, 5]
    make(callbacks=seen.append).fit([TEXTS[row] for row in few], LABELS[few])
    steps = [event for event in seen if event["event"] == "step"]
    assert len(steps) == 4 and all(event["loss"] > 0 for event in steps)


def test_accuracy_in_training_is_that_of_the_nearest_other_text():
    objective, targets = SingleLabelClassification.learn(["a", "a", "b", "b"], 4)
    learned = Contrast(objective.labels)
    vectors = np.array([[1, 0], [3, 1], [0, 2], [6, 5]], np.float32)
    assert learned.pointwise_metric(vectors, targets).tolist() == [True, True, True, False]
    assert learned.pointwise_metric(vectors[:1], targets[:1]).tolist() == [False]


# --- together with other options ---------------------------------------------------------------

RUNS = {
    "plain": {"epochs": 4},
    "windows": {"max_length": 5, "long_text": "windows", "stride": 1, "epochs": 4},
    "frozen": {"freeze_layers": 1, "freeze_dropout": True, "frozen_cache": "float32", "epochs": 4},
    "members": {"members": [{}, {"freeze_layers": 1}], "epochs": 4},
    "early stopping": {"validation_fraction": 0.25, "early_stopping": True, "eval_every": 3,
                       "epochs": 4},
    # The size of micro-batches depends on the number of threads.
    "memory": {"memory_limit": "3MB", "n_threads": 2, "class_weight": "balanced", "epochs": 4},
    "uneven": {"batch_size": 10, "epochs": 4},
    "cls": {"pooling": "cls", "strip_html": True, "epochs": 4, "words": True},
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_is_resumed_to_the_same_bits_on_two_threads(make, tmp_path, kind):
    whole, resumed = whole_and_resumed(make, TEXTS, LABELS, tmp_path / "run", **RUNS[kind])
    if kind != "memory":
        assert np.array_equal(whole.predict_proba(TEXTS), resumed.predict_proba(TEXTS))


def test_a_run_is_verified(make, tmp_path):
    log = tmp_path / "log.jsonl"
    make(log_file=log, hash_every=3).fit(TEXTS, LABELS)
    assert bertsent.verify(log, TEXTS, LABELS, verbose=0)


@pytest.mark.parametrize("options", [
    {"memory_limit": "1GB"}, {"memory_limit": "3MB"},
    {"members": [{}, {"epochs": 1, "batch_size": 2}]},
])
def test_a_run_with_a_limit_or_members_is_verified(make, tmp_path, options):
    log = tmp_path / "log.jsonl"
    make(log_file=log, hash_every=3, **options).fit(TEXTS, LABELS)
    assert bertsent.verify(log, TEXTS, LABELS, verbose=0)


def test_texts_that_the_head_is_fitted_to_count_as_memory(make):
    long = [" ".join([text] * 8) for text in TEXTS]

    def least(**held_out):
        with pytest.raises(ValueError, match="the smallest possible is") as raised:
            make(memory_limit=1, max_length=48).fit(long, LABELS, **held_out)
        return parse_size(re.search(r"possible is memory_limit='([^']+)'", str(raised.value))[1])

    # They are scored as held-out texts are, also if these are shorter.
    scored = pytest.approx(least(X_val=long, y_val=LABELS), rel=0.02)
    assert least() == scored
    assert least(X_val=["good"], y_val=LABELS[1:2]) == scored


def test_a_dry_run_counts_the_memory_of_large_micro_batches(make, monkeypatch):
    monkeypatch.setattr(estimate, "MOST_MEASURED", 0.5)
    # More texts than the engine takes at once by itself.
    many, labels = (list(values) * 40 for values in (TEXTS, LABELS))
    clf = make(batch_size=1000, max_length=16)
    found = [
        estimate.estimate_fit(
            clf.set_params(memory_limit=limit).get_params(), SingleLabelClassification, many,
            labels, [], "out",
        )["memory"]["model"]
        for limit in (None, "1GB")
    ]
    assert found[0] > 1.5 * found[1]


@pytest.mark.parametrize(("limited", "most"), [(False, 8192), (True, 512)])
def test_texts_that_go_forward_twice_are_those_beyond_a_micro_batch(
    make, monkeypatch, limited, most
):
    """All texts of a step go forward before the first goes backward."""
    if limited:  # by memory
        monkeypatch.setattr(survey, "limit_training", lambda *args, **how: PassTokens(512))
    monkeypatch.setattr(survey, "measure_rates", lambda *args, **options: None)
    works = []
    monkeypatch.setattr(estimate, "choose", lambda rungs, work, *args, **options: works.append(
        (rungs[0], work)
    ) or 1 / 0)
    many, labels = (list(values) * 400 for values in (TEXTS, LABELS))
    clf = make(batch_size=5000, max_length=16)
    with pytest.raises(ZeroDivisionError):
        estimate.estimate_fit(
            clf.get_params(), SingleLabelClassification, many, labels, [], "out"
        )
    (rung, work), = works
    job = work.job(rung)
    steps = -(-len(many) // 5000)
    of_step = job["train_tokens"] / steps
    assert work.most_tokens == most < of_step
    # All but the last micro-batch, which is kept.
    assert 0 < of_step - job["train_tokens_twice"] / steps <= most
    few = replace(work, train=work.train[:100]).job(rung)
    assert (few["train_tokens"] > most) == (few["train_tokens_twice"] > 0)


def test_a_stopped_run_with_steps_of_unequal_size_is_resumed(make, tmp_path):
    def stop(event):
        return event["event"] == "step" and event["step"] == 6

    folder = {"batch_size": 10, "checkpoint_dir": tmp_path / "run"}
    first = make(callbacks=stop, **folder).fit(TEXTS, LABELS)
    again = make(resume=True, **folder).fit(TEXTS, LABELS)
    assert np.array_equal(flat(first), flat(again))


def test_held_out_texts_are_scored_with_the_newest_head(make):
    seen = []
    clf = make(callbacks=seen.append, epochs=3).fit(TEXTS, LABELS, X_val=TEXTS[:9],
                                                    y_val=LABELS[:9])
    last = clf.evaluations_[-1]
    found = clf.evaluate(TEXTS[:9], LABELS[:9])
    assert last["validation_loss"] == pytest.approx(found["loss"], rel=1e-4)
    assert last["validation_accuracy"] == found["accuracy"]
    assert [event["event"] for event in seen].count("step") == len(TEXTS) // 8 * 3


def test_an_interrupted_training_keeps_a_head_of_what_was_learned(make):
    def stop(event):
        if event["event"] == "step" and event["step"] == 5:
            raise KeyboardInterrupt

    clf = make(callbacks=stop)
    with pytest.raises(KeyboardInterrupt, match="keeps the model trained so far"):
        clf.fit(TEXTS, LABELS)
    assert clf.score(TEXTS, LABELS) > 0.8


def test_pairs_of_texts(make):
    pairs = [(text, f"scene {number % 3}") for number, text in enumerate(TEXTS)]
    clf = make(epochs=8, learning_rate=5e-3).fit(pairs, LABELS)
    assert clf.score(pairs, LABELS) >= 0.9


def test_a_warm_start_continues_with_the_vectors(make):
    clf = make(warm_start=True).fit(TEXTS, LABELS)
    first = clf.history_[-1]["loss"]
    assert clf.fit(TEXTS, LABELS).history_[-1]["loss"] < first


def test_a_warm_start_keeps_the_pooling_of_the_model(make, tmp_path):
    clf = make(few_shot=False, warm_start=True, epochs=1).fit(TEXTS, LABELS)
    clf.save_pretrained(tmp_path / "first")
    log = tmp_path / "log.jsonl"
    clf.set_params(few_shot=True, log_file=log, hash_every=3).fit(TEXTS, LABELS)
    assert clf.model_._engine["pooling"] == "cls"
    assert bertsent.verify(log, TEXTS, LABELS, model=tmp_path / "first", verbose=0)


@pytest.mark.parametrize(("options", "message"), [
    ({"teacher": "x"}, "few_shot=True cannot be combined with teacher='x', because texts are comp"),
    ({"track_examples": True}, "cannot be combined with track_examples=True, because the record"),
    ({"time_budget": "1min"}, "cannot be combined with time_budget='1min', because the number of"),
    ({"label_smoothing": 0.1}, "cannot be combined with label_smoothing=0.1, because texts are"),
    ({"freeze_layers": "all"}, "needs layers to train, but freeze_layers='all' freezes all of th"),
    ({"freeze_layers": 2}, "needs layers to train, but freeze_layers=2 freezes all of them; use"),
    ({"members": [{"label_smoothing": 0.1}]}, r"members\[0\]: few_shot=True cannot be combined"),
    ({"few_shot": 1}, "few_shot"),
])
def test_what_does_not_go_together_is_refused(make, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make(**options).fit(TEXTS, LABELS)


def test_other_tasks_are_refused(make):
    with pytest.raises(ValueError, match="few_shot=True needs one class for each text, but these"):
        make().fit(TEXTS, PAIRS)
    with pytest.raises(ValueError, match="partial_fit only sees those of one call; use fit, or"):
        make().partial_fit(TEXTS, LABELS, classes=["negative", "positive"])
    with pytest.raises(TypeError, match="few_shot"):
        bertsent.BertRegressor(few_shot=True)


def test_one_class_that_is_left_is_an_error_before_training(make):
    weights, seen = (LABELS == "positive").astype(float), []
    with pytest.raises(ValueError, match="weight of zero but those of the class 'positive'"):
        make(callbacks=seen.append).fit(TEXTS, LABELS, sample_weight=weights)
    assert not seen
    # As if the texts of the others were held out.
    one = np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="few_shot=True needs training texts of two classes"):
        check_classes(Labelled(TEXTS[:3], one, one, None, np.arange(3)))


def test_single_texts_of_all_classes_are_doubted(make):
    weights = np.zeros(32)
    weights[[0, 1]] = 1.0
    assert LABELS[0] != LABELS[1]
    with pytest.warns(UserWarning, match="few_shot=True compares texts of one class, but no cla"):
        make(epochs=1).fit(TEXTS, LABELS, sample_weight=weights)
    weights[2] = 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(epochs=1).fit(TEXTS, LABELS, sample_weight=weights)


def test_on_the_command_line(base, tmp_path, capsys):
    data = write_csv(tmp_path / "few.csv", n=40)
    flags = ["--model", base, "--max-length", 16, "--few-shot", "--output", tmp_path / "out"]
    assert run_command("train", data, *flags, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "epochs 10" in shown and "--epochs auto" in shown
    assert run_command("train", data, *flags, "--label-smoothing", "0.1") != 0
    assert "--few-shot cannot be combined with --label-smoothing 0.1" in capsys.readouterr().err
    assert run_command("train", data, *flags) == 0
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "out")
    assert clf.few_shot and len(clf.history_) == 10
