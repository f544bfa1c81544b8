"""BertClassifier on a tiny random model: fitting, predicting, saving, and bad input."""

import json
import pickle
import shutil
import signal
import threading
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import maker, write_tiny_model

import bertsent
from bertsent.errors import CheckpointError, FreshWeightsWarning

GOOD = ["a great film", "i love this movie", "the best story ever", "fine actor and good plot"]
BAD = ["a bad film", "i hate this movie", "the worst story ever", "poor actor and dull plot"]


def make_texts(n=64, seed=0):
    """Short reviews in which one word decides, and their labels."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.5
    positive[:2] = True, False
    texts = [
        f"{rng.choice(GOOD if up else BAD)} {rng.choice(['too', 'end', 'time', 'watch', 'scene'])}"
        for up in positive
    ]
    return texts, np.where(positive, "positive", "negative")


@pytest.fixture
def make(base):
    """A factory of small, silent classifiers that learn within a second."""
    return maker(base, epochs=2)


@pytest.fixture(scope="module")
def fitted(base):
    """A classifier that has learned the task; tests do not change it."""
    texts, labels = make_texts(128)
    clf = bertsent.BertClassifier(
        base, max_length=16, epochs=8, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FreshWeightsWarning)
        return clf.fit(texts, labels)


def flat(clf):
    return np.asarray(clf.model_._flat)


# --- learning and predicting --------------------------------------------------------------


def test_it_learns(fitted):
    texts, labels = make_texts(64, seed=1)
    assert fitted.score(texts, labels) > 0.9
    assert fitted.history_[-1]["loss"] < fitted.history_[0]["loss"]
    assert fitted.history_[-1]["accuracy"] > 0.9


def test_predictions_agree_with_each_other(fitted):
    texts, _ = make_texts(20, seed=2)
    logits = fitted.decision_function(texts)
    probabilities = fitted.predict_proba(texts)
    labels = fitted.predict(texts)
    assert logits.shape == (20,) and logits.dtype == np.float32
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(
        np.log(probabilities[:, 1] / probabilities[:, 0]), logits, rtol=1e-5, atol=1e-5
    )
    assert labels.tolist() == fitted.classes_[(logits > 0).astype(int)].tolist()
    assert labels.tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()


def test_more_than_two_classes(make):
    texts, _ = make_texts(30)
    clf = make(epochs=1).fit(texts, np.arange(30) % 3)
    assert clf.classes_.tolist() == [0, 1, 2]
    logits = clf.decision_function(texts)
    assert logits.shape == (30, 3)
    assert clf.predict(texts).tolist() == logits.argmax(axis=1).tolist()


@pytest.mark.parametrize(
    "labels",
    [
        np.array([True, False] * 8),
        np.array([3, -1] * 8),
        ["pos", "neg"] * 8,
        pd.Series(["pos", "neg"] * 8),
        pd.Series([1, 0] * 8, dtype="Int64"),
    ],
    ids=["bool", "int", "list", "series", "nullable"],
)
def test_labels_come_back_as_they_were(make, labels):
    texts, _ = make_texts(16)
    clf = make(epochs=1).fit(texts, labels)
    expected = sorted(set(np.asarray(labels).tolist()))
    assert clf.classes_.tolist() == expected
    predicted = clf.predict(texts)
    assert isinstance(predicted, np.ndarray)
    assert set(map(type, predicted.tolist())) == {type(expected[0])}


def test_categorical_labels(make, tmp_path):
    texts, _ = make_texts(16)
    y = pd.Series(["low", "high"] * 8, dtype=pd.CategoricalDtype(["low", "mid", "high"], True))
    clf = make(epochs=1).fit(texts, y)
    assert clf.classes_.tolist() == ["high", "low"]
    assert clf.predict(texts).dtype == y.dtype
    assert 0 <= clf.score(texts, y) <= 1
    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert again.predict(texts).dtype == y.dtype


def test_kinds_of_input_give_the_same(fitted):
    texts, _ = make_texts(6, seed=3)
    expected = fitted.predict_proba(texts)
    for same in (tuple(texts), pd.Series(texts, index=range(6, 0, -1)), np.array(texts),
                 np.array(texts, dtype=object)):
        assert np.array_equal(fitted.predict_proba(same), expected)


def test_no_texts_no_predictions(fitted):
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba([]).shape == (0, 2)
    assert fitted.decision_function([]).shape == (0,)


def test_empty_text_scores_as_an_empty_review(fitted):
    probabilities = fitted.predict_proba(["", "   ", "\t\n"])
    assert np.isfinite(probabilities).all()
    assert np.array_equal(probabilities[0], probabilities[1])
    assert np.array_equal(probabilities[0], probabilities[2])


def test_a_text_scores_the_same_in_any_company(fitted):
    texts, _ = make_texts(9, seed=4)
    together = fitted.predict_proba(texts)
    alone = np.concatenate([fitted.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_strip_html_in_training_and_prediction(make):
    texts, labels = make_texts(24)
    plain = make(epochs=1).fit(texts, labels)
    tagged = [text.replace(" ", "<br /> ") for text in texts]
    clf = make(epochs=1, strip_html=True).fit(tagged, labels)
    assert np.array_equal(flat(plain), flat(clf))
    assert np.array_equal(plain.predict_proba(texts), clf.predict_proba(tagged))


# --- reproducibility ----------------------------------------------------------------------


def test_same_seed_same_bits_on_any_number_of_threads(make):
    texts, labels = make_texts(40)
    first = make(n_threads=1).fit(texts, labels)
    bits = flat(first).copy()
    for n_threads in (1, 2, 3):
        other = make(n_threads=n_threads).fit(texts, labels)
        assert np.array_equal(flat(other), bits)
    assert np.array_equal(flat(first.fit(texts, labels)), bits)
    assert not np.array_equal(flat(make(random_state=1).fit(texts, labels)), bits)


def test_random_state_of_every_kind(make):
    texts, labels = make_texts(16)
    by_state = [
        flat(make(epochs=1, random_state=np.random.RandomState(7)).fit(texts, labels))
        for _ in range(2)
    ]
    assert np.array_equal(*by_state)
    unseeded = [
        flat(make(epochs=1, random_state=None).fit(texts, labels)) for _ in range(2)
    ]
    assert not np.array_equal(*unseeded)


def test_labels_and_global_random_state_are_left_alone(make):
    texts, labels = make_texts(16)
    X, y = list(texts), labels.copy()
    np.random.seed(3)
    make(epochs=1).fit(X, y)
    after = np.random.random()
    np.random.seed(3)
    assert after == np.random.random()
    assert X == texts and (y == labels).all()


# --- options ------------------------------------------------------------------------------


def test_frozen_layers_stay_and_the_rest_moves(make, base):
    texts, labels = make_texts(16)
    start = make(epochs=1, learning_rate=1e-30, weight_decay=0.0).fit(texts, labels).model_
    for freeze, still in [(1, ("embeddings", "layer.0.")), ("all", ("embeddings", "encoder"))]:
        clf = make(epochs=1, freeze_layers=freeze).fit(texts, labels)
        for name, values in clf.model_.parameters.items():
            same = np.array_equal(values, start.parameters[name])
            if any(part in name for part in still):
                assert same, name
            elif name.endswith("weight") and "LayerNorm" not in name:
                assert not same, name


def test_auto_learning_rate_is_told(make):
    texts, labels = make_texts(16)
    clf = make(epochs=1, learning_rate="auto").fit(texts, labels)
    frozen = make(epochs=1, learning_rate="auto", freeze_layers="all").fit(texts, labels)
    assert 0 < clf.learning_rate_ < frozen.learning_rate_
    assert clf.learning_rate == "auto"
    assert make(epochs=1, learning_rate=3e-4).fit(texts, labels).learning_rate_ == 3e-4


def test_validation_texts_show_in_the_history_and_change_nothing(make):
    texts, labels = make_texts(24)
    held_out, held_out_labels = make_texts(12, seed=9)
    plain = make().fit(texts, labels)
    clf = make().fit(texts, labels, X_val=held_out, y_val=held_out_labels)
    assert np.array_equal(flat(plain), flat(clf))
    last = clf.history_[-1]
    assert last["validation_accuracy"] == pytest.approx(clf.score(held_out, held_out_labels))
    own = clf.predict_proba(held_out)[np.arange(12), (held_out_labels == "positive").astype(int)]
    assert last["validation_loss"] == pytest.approx(-np.log(own).mean(), rel=1e-5)
    assert set(clf.history_[0]) == {
        "epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "tokens", "seconds",
    }


def test_weight_zero_is_as_good_as_absent(make):
    texts, labels = make_texts(24)
    wrong = np.where(labels == "positive", "negative", "positive")
    weights = np.ones(48)
    weights[24:] = 0
    right = make().fit(texts + texts, np.concatenate([labels, labels]), weights)
    clf = make().fit(texts + texts, np.concatenate([labels, wrong]), weights)
    assert np.array_equal(flat(clf), flat(right))
    assert not np.array_equal(flat(clf), flat(make().fit(texts + texts, [*labels, *wrong])))


def test_batches_without_any_weight_are_harmless(make):
    texts, labels = make_texts(12)
    weights = np.zeros(12)
    weights[:2] = 1
    clf = make(batch_size=2, epochs=2).fit(texts, labels, sample_weight=weights)
    assert np.isfinite(flat(clf)).all()
    assert np.isfinite(clf.history_[0]["loss"])


def test_scaling_all_weights_changes_nothing(make):
    texts, labels = make_texts(16)
    ones = make(epochs=1).fit(texts, labels, np.full(16, 1.0))
    twos = make(epochs=1).fit(texts, labels, np.full(16, 2.0))
    assert np.array_equal(flat(ones), flat(twos))


def test_share_of_cut_texts_is_said_once(make, capsys):
    texts, labels = make_texts(8)
    texts[0] = texts[1] = "good " * 40
    clf = make(epochs=2, verbose=1).fit(texts, labels)
    clf.predict(texts)
    cuts = [line for line in capsys.readouterr().err.splitlines() if "max_length" in line]
    assert len(cuts) == 1
    assert "25.0%" in cuts[0] and "2 of 8" in cuts[0] and "max_length=16" in cuts[0]


# --- saving -------------------------------------------------------------------------------


def test_saved_and_opened_again(fitted, tmp_path):
    texts, _ = make_texts(12, seed=5)
    fitted.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    assert again.get_params() == {
        **fitted.get_params(), "model": str(fitted.model), "n_threads": None,
    }
    assert again.classes_.dtype == fitted.classes_.dtype
    assert again.history_ == fitted.history_
    assert again.learning_rate_ == fitted.learning_rate_
    assert np.array_equal(again.predict_proba(texts), fitted.predict_proba(texts))
    assert again.predict(texts).tolist() == fitted.predict(texts).tolist()


def test_saving_keeps_what_is_there_unless_told(fitted, tmp_path):
    target = tmp_path / "model"
    fitted.save_pretrained(target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(FileExistsError, match="overwrite"):
        fitted.save_pretrained(target)
    assert before == {path.name: path.read_bytes() for path in target.iterdir()}
    fitted.save_pretrained(target, overwrite=True)
    assert before == {path.name: path.read_bytes() for path in target.iterdir()}


def test_saved_files_may_be_read_by_whom_the_umask_allows(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    (tmp_path / "other").touch()
    modes = {path.name: path.stat().st_mode for path in (tmp_path / "model").iterdir()}
    assert set(modes.values()) == {(tmp_path / "other").stat().st_mode}, modes


def test_no_texts_in_the_saved_files(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "bertsent.json").read_text())
    assert settings["parameters"]["epochs"] == 8
    assert settings["labels"]["classes"]["values"] == ["negative", "positive"]
    texts, _ = make_texts(128)
    for path in (tmp_path / "model").iterdir():
        assert texts[0].encode() not in path.read_bytes()


def test_it_knows_what_it_was_trained_on(fitted, tmp_path):
    texts, _ = make_texts(128)
    fitted.save_pretrained(tmp_path / "model")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    for clf in (fitted, again):
        assert clf.seen_in_training([texts[5], "never seen", texts[9]]).tolist() == [
            True, False, True,
        ]


def test_pickle_is_compact_and_needs_no_directory(tmp_path, make):
    source = write_tiny_model(
        tmp_path / "source", hidden_size=128, intermediate_size=512, max_position_embeddings=512
    )
    texts, labels = make_texts(16)
    clf = make(model=source, epochs=1).fit(texts, labels)
    expected = clf.predict_proba(texts)
    pickled = pickle.dumps(clf)
    assert len(pickled) <= 1.05 * flat(clf).nbytes
    shutil.rmtree(source)
    again = pickle.loads(pickled)
    assert np.array_equal(again.predict_proba(texts), expected)
    again.save_pretrained(tmp_path / "saved")


def test_fine_tuning_goes_on_from_a_saved_classifier(fitted, make, tmp_path):
    fitted.save_pretrained(tmp_path / "model")
    texts, labels = make_texts(32, seed=6)
    options = {"epochs": 1, "learning_rate": 1e-30, "weight_decay": 0.0}
    onward = make(model=tmp_path / "model", **options).fit(texts, labels)
    np.testing.assert_allclose(onward.predict_proba(texts), fitted.predict_proba(texts), atol=1e-6)
    # Other classes always need a new classifier.
    other = make(model=tmp_path / "model", epochs=1).fit(texts, np.arange(32) % 3)
    assert other.predict_proba(texts).shape == (32, 3)


def test_a_classifier_of_another_program_opens(tmp_path):
    labels = {"0": "positive", "1": "negative"}
    source = write_tiny_model(
        tmp_path / "foreign", classifier=2, prefix="bert.", id2label=labels,
        label2id={name: int(code) for code, name in labels.items()},
    )
    clf = bertsent.BertClassifier.from_pretrained(source)
    clf.set_params(inference_precision="float32")
    bare = bertsent.BertForSequenceClassification.from_pretrained(source)
    texts, _ = make_texts(5)
    batch = bertsent.WordPieceTokenizer.from_pretrained(source)(texts, max_length=64)
    logits = bare(batch["input_ids"], batch["attention_mask"])
    assert clf.classes_.tolist() == ["negative", "positive"]
    np.testing.assert_allclose(
        clf.decision_function(texts), logits[:, 0] - logits[:, 1], atol=1e-5
    )
    assert clf.max_length == 64
    clf.save_pretrained(tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}


def test_a_model_without_classifier_is_not_a_classifier(base):
    with pytest.raises(CheckpointError, match="not a fitted classifier.*fit"):
        bertsent.BertClassifier.from_pretrained(base)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda settings: settings.update(format=99), "newer"),
        (lambda settings: settings.pop("labels"), "incomplete"),
        (lambda settings: settings["labels"]["classes"]["values"].append("x"), "2 classes"),
    ],
)
def test_damaged_settings_are_refused(fitted, tmp_path, change, message):
    fitted.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "bertsent.json"
    settings = json.loads(path.read_text())
    change(settings)
    path.write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        bertsent.BertClassifier.from_pretrained(tmp_path / "model")
    path.write_text("{ not json")
    with pytest.raises(CheckpointError, match="bertsent.json"):
        bertsent.BertClassifier.from_pretrained(tmp_path / "model")


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a bare string", r"\[text\]"),
        (pd.DataFrame({"id": [1, 2], "review": ["a", "b"]}), "DataFrame.*X.'review'."),
        (["a", None], r"X\[1\] is None"),
        (["a", float("nan")], r"X\[1\] is NaN"),
        ([b"a", "b"], r"X\[0\].*bytes"),
        (["a", 5], r"X\[1\].*int"),
        (pd.Series(["a", None], name="review"), "row 1 of column 'review'"),
    ],
)
def test_bad_texts_everywhere(make, fitted, texts, message):
    for call in (fitted.predict, fitted.predict_proba, fitted.decision_function):
        with pytest.raises(TypeError, match=message):
            call(texts)
    with pytest.raises(TypeError, match=message):
        make().fit(texts, ["p", "n"])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["p", "p"], "one class only"),
        (["p", None], r"y\[1\] is None"),
        (["p", float("nan")], r"y\[1\] is NaN"),
        (["p", "n", "p"], "2 texts and 3"),
    ],
)
def test_bad_labels(make, labels, message):
    with pytest.raises(ValueError, match=message):
        make().fit(["good", "bad"], labels)


def test_empty_training_set(make):
    with pytest.raises(ValueError, match="X is empty"):
        make().fit([], [])


def test_bad_validation(make):
    texts, labels = make_texts(8)
    with pytest.raises(ValueError, match="go together"):
        make().fit(texts, labels, X_val=texts)
    with pytest.raises(ValueError, match=r"y_val\[0\] is 'odd'"):
        make().fit(texts, labels, X_val=["a"], y_val=["odd"])
    with pytest.raises(TypeError, match=r"X_val\[0\] is None"):
        make().fit(texts, labels, X_val=[None], y_val=["positive"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0.*at least 1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"batch_size": True}, "batch_size=True"),
        ({"learning_rate": "fast"}, 'learning_rate=.fast.*"auto"'),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"warmup_ratio": 2}, "warmup_ratio=2.*0 to 1"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm"),
        ({"freeze_layers": "some"}, 'freeze_layers.*"all"'),
        ({"freeze_layers": 3}, "freeze_layers=3.*2 layers"),
        ({"strip_html": "yes"}, "strip_html"),
        ({"n_threads": 0}, "n_threads=0"),
        ({"random_state": "seed"}, "random_state"),
        ({"max_length": 2}, "max_length=2.*at least 3"),
        ({"max_length": 65}, "max_length=65.*64 positions"),
        ({"model": ""}, "model=''"),
    ],
)
def test_bad_parameters_are_found_in_fit(make, options, message):
    texts, labels = make_texts(4)
    clf = make(**options)
    with pytest.raises(ValueError, match=message):
        clf.fit(texts, labels)
    assert not hasattr(clf, "classes_")


def test_unfitted_says_so(make):
    from sklearn.exceptions import NotFittedError

    for call in (make().predict, make().predict_proba, make().decision_function):
        with pytest.raises(NotFittedError):
            call(["a"])
    with pytest.raises(NotFittedError):
        make().save_pretrained("nowhere")


def test_divergence_stops_and_leaves_the_classifier_as_it_was(make):
    texts, labels = make_texts(16)
    clf = make(learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0, epochs=3)
    with pytest.raises(FloatingPointError, match=r"step \d+ of 6.*lower learning_rate"):
        clf.fit(texts, labels)
    assert not hasattr(clf, "classes_")
    clf.set_params(learning_rate=1e-3, max_grad_norm=1.0).fit(texts, labels)
    before = flat(clf).copy()
    clf.set_params(learning_rate=1e30, max_grad_norm=0.0)
    with pytest.raises(FloatingPointError):
        clf.fit(texts, labels)
    assert np.array_equal(flat(clf), before)


def test_ctrl_c_ends_between_steps_with_the_model_so_far(make):
    texts, labels = make_texts(400)
    clf = make(epochs=10_000)

    def press():
        time.sleep(1.0)
        signal.raise_signal(signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        clf.fit(texts, labels)
    presser.join()
    assert clf.predict(texts[:3]).shape == (3,)
    assert np.isfinite(flat(clf)).all()
    assert len(clf.history_) < 10_000


def test_tokenizer_of_another_model(tiny_model_dir):
    directory = tiny_model_dir()
    words = (directory / "vocab.txt").read_text(encoding="utf-8")
    (directory / "vocab.txt").write_text("another\n" * 170 + words, encoding="utf-8")
    with pytest.raises(ValueError, match=r"tokenizer \(with 340 tokens\) is not that of the model"):
        bertsent.BertClassifier(directory, max_length=16, verbose=0).fit(["good", "bad"], [1, 0])


def test_arrow_texts_score_as_others_do(fitted):
    pytest.importorskip("pyarrow")
    texts = [*make_texts(40, seed=3)[0], ""]
    series = pd.Series(texts, dtype="string[pyarrow]")
    assert np.array_equal(fitted.predict_proba(series), fitted.predict_proba(texts))
    assert fitted.predict_proba(series[:0]).shape == (0, 2)
    with pytest.raises(TypeError, match="row 1 .*drop it"):
        fitted.predict(pd.Series(["a", None], dtype="string[pyarrow]"))
