"""Options for weights, targets and learning rates, in `fit` and on the command line."""

import json
import math

import numpy as np
import pytest
from conftest import maker, write_tiny_model
from test_classifier import flat, make_texts
from test_cli import SMALL, write_csv
from test_training import FakeModel, make_examples, run

import bertsent
from bertsent.classifier import resolve
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.training.schedule import rate_factor

TEXTS, LABELS = make_texts(30)


@pytest.fixture
def make(base):
    return maker(base, epochs=2, precision="float32", inference_precision="float32")


@pytest.fixture
def plain(make):
    return flat(make().fit(TEXTS, LABELS))


def test_all_of_it_reaches_the_engine():
    model = FakeModel()
    rates = np.ones(4, dtype=np.float32)
    run(model, make_examples(), schedule="cosine", label_smoothing=0.25, rates=rates)
    calls = model._core.calls
    assert [call["lr"] for call in calls] == [
        1e-3 * rate_factor("cosine", step, 6, 0.1) for step in range(6)
    ]
    assert {call["label_smoothing"] for call in calls} == {0.25}
    assert all(call["rates"] is rates for call in calls)


def test_accumulated_batches_are_one_large_batch(make):
    # 30 texts: the last step of an epoch has fewer batches, the last batch fewer texts.
    large = make(batch_size=8).fit(TEXTS, LABELS, np.linspace(0.1, 1, 30))
    small = make(batch_size=2, accumulate_steps=4).fit(TEXTS, LABELS, np.linspace(0.1, 1, 30))
    assert np.array_equal(flat(large), flat(small))
    assert [row["loss"] for row in large.history_] == [row["loss"] for row in small.history_]


@pytest.mark.parametrize("name", ["cosine", "constant"])
def test_schedules_train_differently(make, plain, name):
    assert not np.array_equal(flat(make(schedule=name).fit(TEXTS, LABELS)), plain)


def test_label_smoothing_keeps_it_from_being_sure(make):
    options = {"epochs": 20, "validation_fraction": 0.2}
    sure = make(**options).fit(TEXTS, LABELS)
    doubtful = make(label_smoothing=0.6, **options).fit(TEXTS, LABELS)
    assert sure.predict_proba(TEXTS).max() > 0.8 > doubtful.predict_proba(TEXTS).max()
    # The training loss uses smoothed targets, the validation loss the labels.
    assert doubtful.history_[-1]["loss"] > 0.6 > sure.history_[-1]["loss"]
    rows = doubtful.validation_rows_
    own = doubtful.predict_proba([TEXTS[row] for row in rows])
    own = own[np.arange(len(rows)), (LABELS[rows] == "positive").astype(int)]
    assert doubtful.history_[-1]["validation_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-5)


def test_class_weights_are_sample_weights(make, plain):
    weights = np.where(LABELS == "positive", 3.0, 1.0)
    expected = flat(make().fit(TEXTS, LABELS, weights))
    found = flat(make(class_weight={"positive": 3}).fit(TEXTS, LABELS))
    assert np.array_equal(found, expected) and not np.array_equal(found, plain)
    own = np.where(np.arange(30) % 3, 0.5, 4.0)
    both = make(class_weight={"negative": 1, "positive": 3}).fit(TEXTS, LABELS, own)
    assert np.array_equal(flat(both), flat(make().fit(TEXTS, LABELS, weights * own)))


def test_balanced_classes_have_equal_shares(make):
    counts = {name: (LABELS == name).sum() for name in ("negative", "positive")}
    weights = np.array([30 / (2 * counts[label]) for label in LABELS])
    assert counts["negative"] != counts["positive"]
    balanced = make(class_weight="balanced").fit(TEXTS, LABELS)
    assert np.array_equal(flat(balanced), flat(make().fit(TEXTS, LABELS, weights)))


def test_classes_that_are_numbers_may_be_named_by_strings(make, tmp_path):
    numbers = (LABELS == "positive").astype(int)
    clf = make(class_weight={1: 3.0}).fit(TEXTS, numbers)
    named = make(class_weight={"1": 3.0}).fit(TEXTS, numbers)
    assert np.array_equal(flat(clf), flat(named))
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.class_weight == {1: 3.0}
    assert again.predict(TEXTS).tolist() == clf.predict(TEXTS).tolist()


def moved(clf, start):
    """Names of the parameters that have changed."""
    return {
        name for name, values in clf.model_.parameters.items()
        if not np.array_equal(values, start.parameters[name])
    }


def test_rates_of_layers_and_head(make):
    start = make(epochs=1, learning_rate=1e-30, weight_decay=0.0).fit(TEXTS, LABELS).model_
    every = set(start.parameters) - {"bert.embeddings.token_type_embeddings.weight"}
    top = moved(make(layer_decay=1e-30).fit(TEXTS, LABELS), start)
    assert {name for name in top if "embeddings" in name or "layer.0." in name} == set()
    above = {name for name in every if "layer.1." in name or "pooler" in name
             or "classifier" in name}
    assert above - top <= {name for name in above if "key.bias" in name}
    head = moved(make(learning_rate=1e-30, head_learning_rate=1e-3).fit(TEXTS, LABELS), start)
    assert head == {name for name in every if "pooler" in name or "classifier" in name}


def test_rates_that_are_those_of_all_change_no_bit(make, plain):
    clf = make(layer_decay=1.0, head_learning_rate=2e-3).fit(TEXTS, LABELS)
    assert np.array_equal(flat(clf), plain)


def head_change(clf, start):
    """How far the output layer moved in the first step, relative to its learning rate."""
    name = "classifier.weight"
    return float(np.abs(clf.model_.parameters[name] - start.parameters[name]).max())


def test_a_new_head_of_a_large_model_has_a_rate_of_its_own(make, tmp_path, monkeypatch):
    monkeypatch.setattr(resolve, "HEAD_RATES_BY_HIDDEN_SIZE", ((31, 0.0), (math.inf, 1e-3)))
    start = make(epochs=1, learning_rate=1e-30, weight_decay=0.0).fit(TEXTS, LABELS).model_
    # The first step of AdamW moves each weight by the learning rate.
    one = {"epochs": 1, "batch_size": 30, "warmup_ratio": 0.0, "weight_decay": 0.0}
    auto = {**one, "learning_rate": "auto"}
    assert head_change(make(**auto).fit(TEXTS, LABELS), start) == pytest.approx(1e-3, rel=0.01)
    plain = make(**auto, head_learning_rate=None).fit(TEXTS, LABELS)
    assert head_change(plain, start) == pytest.approx(1e-4, rel=0.01)
    assert head_change(make(**one).fit(TEXTS, LABELS), start) == pytest.approx(2e-3, rel=0.01)
    # A head that is trained further keeps the rate of the others.
    plain.save_pretrained(tmp_path / "model")
    further = make(**auto, model=tmp_path / "model").fit(TEXTS, LABELS)
    assert head_change(further, plain.model_) == pytest.approx(1e-4, rel=0.01)
    first = flat(plain)
    warm = plain.set_params(head_learning_rate="auto", warm_start=True).fit(TEXTS, LABELS)
    assert np.abs(flat(warm) - first).max() == pytest.approx(1e-4, rel=0.01)


def test_a_new_head_of_a_small_model_has_the_rate_of_the_others(make):
    auto = make(learning_rate="auto").fit(TEXTS, LABELS)
    plain = make(learning_rate="auto", head_learning_rate=None).fit(TEXTS, LABELS)
    assert np.array_equal(flat(auto), flat(plain))


def test_the_rate_of_a_new_head_is_never_below_that_of_the_others(make, monkeypatch):
    monkeypatch.setattr(resolve, "HEAD_RATES_BY_HIDDEN_SIZE", ((math.inf, 1e-3),))
    frozen = make(learning_rate="auto", freeze_layers="all").fit(TEXTS, LABELS)
    plain = make(
        learning_rate="auto", freeze_layers="all", head_learning_rate=None
    ).fit(TEXTS, LABELS)
    assert np.array_equal(flat(frozen), flat(plain))


def test_dropout_may_be_left_out_in_what_is_frozen(make):
    first = make(freeze_layers=1).fit(TEXTS, LABELS)
    calm = make(freeze_layers=1, freeze_dropout=True).fit(TEXTS, LABELS)
    assert not np.array_equal(flat(first), flat(calm))
    for options in ({}, {"freeze_dropout": True}):
        whole = make(**options).fit(TEXTS, LABELS)
        assert np.array_equal(flat(whole), flat(make().fit(TEXTS, LABELS)))


def test_mean_pooling_is_trained_saved_and_gone_on_with(make, tmp_path):
    clf = make(pooling="mean", epochs=12).fit(TEXTS, LABELS)
    assert clf.score(TEXTS, LABELS) > 0.8
    clf.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.pooling == "mean"
    assert np.array_equal(again.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    bare = bertsent.BertForSequenceClassification.from_pretrained(tmp_path / "model")
    bare.inference_precision = "float32"
    assert bare.config["classifier_pooling"] == "mean"
    tokens = clf.tokenizer_(TEXTS, max_length=16)
    # Padding is not included in the mean.
    logits = bare(tokens["input_ids"], tokens["attention_mask"])
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], clf.decision_function(TEXTS), atol=1e-5)
    # As it was saved, unless a parameter says otherwise.
    options = {"model": tmp_path / "model", "learning_rate": 1e-30, "weight_decay": 0.0}
    onward = make(**options).fit(TEXTS, LABELS)
    np.testing.assert_allclose(onward.predict_proba(TEXTS), clf.predict_proba(TEXTS), atol=1e-5)
    other = make(pooling="cls", **options).fit(TEXTS, LABELS)
    assert np.abs(other.predict_proba(TEXTS) - clf.predict_proba(TEXTS)).max() > 1e-3
    with pytest.raises(ValueError, match="continues with pooling='mean', not 'cls'"):
        clf.set_params(warm_start=True, pooling="cls").fit(TEXTS, LABELS)


def test_pooling_of_another_name(make, tmp_path):
    directory = write_tiny_model(tmp_path / "odd", classifier_pooling="max")
    with pytest.raises(CheckpointError, match="classifier_pooling 'max' is not supported"):
        make(model=directory).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"schedule": "step"}, ValueError, 'schedule=.step.*"linear", "cosine" or "constant"'),
        ({"layer_decay": 0}, ValueError, "layer_decay=0.*above 0 and up to 1"),
        ({"head_learning_rate": 0}, ValueError, "head_learning_rate=0.*above 0"),
        ({"pooling": "max"}, ValueError, 'pooling=.max.*None, "cls" or "mean"'),
        ({"freeze_dropout": 1}, ValueError, "freeze_dropout=1.*True or False"),
        ({"accumulate_steps": 0}, ValueError, "accumulate_steps=0.*at least 1"),
        ({"label_smoothing": 1.0}, ValueError, "label_smoothing=1.0.*below 1"),
        ({"class_weight": "even"}, ValueError, 'class_weight=.even.*"balanced"'),
        ({"class_weight": {"positive": -1}}, TypeError, "class_weight.*at least 0"),
        ({"class_weight": {"good": 1}}, ValueError, "'good', which is not a class.*'negative', 'p"),
        ({"class_weight": {"negative": 0, "positive": 0}}, ValueError, "leaves no text any weight"),
    ],
)
def test_what_is_not_allowed(make, options, error, message):
    with pytest.raises(error, match=message):
        make(**options).fit(TEXTS, LABELS)


def test_they_belong_to_a_run(make, tmp_path):
    options = {"checkpoint_dir": tmp_path / "run", "resume": True, "epochs": 1}
    make(class_weight={"positive": 3}, **options).fit(TEXTS, LABELS)
    make(class_weight={"positive": 3}, **options).fit(TEXTS, LABELS)
    message = (
        "differs: class_weight .saved: {'positive': 3}, now: {'positive': 4}., "
        "label_smoothing .saved: 0.0, now: 0.1."
    )
    with pytest.raises(CheckpointError, match=message):
        make(class_weight={"positive": 4}, label_smoothing=0.1, **options).fit(TEXTS, LABELS)


def test_on_the_command_line(base, tmp_path, capsys):
    data = write_csv(tmp_path / "a.csv", 40)
    command = ["train", str(data), "--model", str(base), "--epochs", "1", *SMALL]
    flags = ["--class-weight", "negative=1,positive=2.5", "--schedule", "cosine",
             "--layer-decay", "0.9", "--head-learning-rate", "3e-3", "--label-smoothing", "0.1",
             "--accumulate-steps", "2", "--pooling", "mean", "--freeze-dropout",
             "--freeze-layers", "1"]
    assert main([*command, *flags, "--output", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "--schedule cosine" in shown and "--layer-decay 0.9" in shown
    record = json.loads((tmp_path / "out" / "run.json").read_text())["parameters"]
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "out")
    assert clf.class_weight == {"negative": 1.0, "positive": 2.5}
    assert record["head_learning_rate"] == clf.head_learning_rate == 3e-3
    assert clf.pooling == "mean" and clf.freeze_dropout is True
    assert record["accumulate_steps"] == 2 and record["label_smoothing"] == 0.1
    assert main([*command, "--output", str(tmp_path / "plain")]) == 0
    assert "schedule" not in capsys.readouterr().out
    for wrong in ("positive", "=2", "positive=much", "positive=-1"):
        assert main([*command, "--class-weight", wrong]) == 2
        assert "--class-weight: expected \"balanced\" or classes" in capsys.readouterr().err
