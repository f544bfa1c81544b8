"""The linear model of words that votes with the models of a classifier (`words=True`)."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from test_classifier import make_texts

import bertsent
from bertsent import BertClassifier
from bertsent.classifier import words as module
from bertsent.classifier.words import choose_weight, learn_words
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.objectives import OBJECTIVES
from bertsent.texts import Labelled
from bertsent.training import Budget

TEXTS, LABELS = make_texts(80)
TEXTS = [f"{text} {'qu' + str(number % 7)}" for number, text in enumerate(TEXTS)]
VAL_TEXTS, VAL_LABELS = make_texts(120, seed=1)
TEST_TEXTS, TEST_LABELS = make_texts(30, seed=2)
CLASSES = OBJECTIVES["single_label_classification"]
FIELDS = ("terms", "idf", "coef", "intercept", "weight")


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def labelled(texts, y, weights=None):
    objective, targets = CLASSES.learn(y, len(texts))
    rows = np.arange(len(texts))
    if weights is not None:
        weights = np.asarray(weights, np.float32)
    return objective, Labelled(list(texts), targets, targets, weights, rows)


def learn(texts, y, weights=None, budget=None):
    objective, given = labelled(texts, y, weights)
    return learn_words(given, objective, budget or Budget(), 0)


def assert_same_words(one, other):
    for name in FIELDS:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.fixture
def clf(make):
    return make(words=True).fit(TEXTS, LABELS, X_val=VAL_TEXTS, y_val=VAL_LABELS)


# --- what is learned ------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_scikit_learns_model(n_classes):
    y = [number % n_classes for number in range(len(TEXTS))]
    found = learn(TEXTS, y)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=10, max_iter=1000).fit(vectorizer.fit_transform(TEXTS), y)
    expected = model.predict_proba(vectorizer.transform(TEST_TEXTS))
    assert found.terms == vectorizer.get_feature_names_out().tolist()
    assert np.allclose(softmax(found.logits(TEST_TEXTS)), expected, atol=1e-5)


def test_weights_count_like_copies_and_zero_like_leaving_out():
    weights = np.array([number % 3 for number in range(len(TEXTS))], np.float32)
    kept = np.flatnonzero(weights)
    texts, y = [TEXTS[row] for row in kept], [LABELS[row] for row in kept]
    one, other = learn(TEXTS, LABELS, weights), learn(texts, y, 10 * weights[kept])
    assert_same_words(one, other)
    assert not np.allclose(one.coef, learn(texts, y).coef, atol=0.01)


def test_a_class_without_training_texts_is_never_predicted():
    objective, targets = CLASSES.learn(["a", "b", "c"] * 30, 90)
    for kept in (targets != 1, targets == 2, targets >= 0):
        rows = np.flatnonzero(kept)
        given = Labelled([TEXTS[row % 80] + f" w{targets[row]}" for row in rows], targets[rows],
                         targets[rows], None, rows)
        if len(set(targets[rows])) < 2:
            with pytest.raises(ValueError, match="words=True needs training texts of two classes"):
                learn_words(given, objective, Budget(), 0)
            continue
        found = softmax(learn_words(given, objective, Budget(), 0).logits(given.texts))
        assert np.array_equal(found.argmax(axis=1), targets[rows])
        assert found.shape == (len(rows), 3)
        absent = sorted({0, 1, 2} - set(targets[rows]))
        assert (found[:, absent] < 1e-6).all()


def test_no_word_in_two_texts():
    with pytest.raises(ValueError, match="words=True found no word that occurs in 2 training"):
        learn(["good", "bad", "fine", "poor"], [1, 0, 1, 0])


def test_a_budget_limits_the_texts(monkeypatch):
    monkeypatch.setattr(module, "_RATE", 1.0)
    least = learn(TEXTS, LABELS, budget=Budget(2 * sum(map(len, TEXTS))))
    whole = learn(TEXTS, LABELS, budget=Budget(4 * sum(map(len, TEXTS))))
    assert len(least.terms) < len(whole.terms)
    assert_same_words(whole, learn(TEXTS, LABELS))


# --- the vote -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_weight_has_the_least_loss(n_classes):
    rng = np.random.default_rng(0)
    targets = rng.integers(n_classes, size=300)
    objective, _ = CLASSES.learn(list(range(n_classes)) * 2, 2 * n_classes)
    own, theirs = (
        (rng.normal(size=(300, n_classes)) + good * np.eye(n_classes)[targets]).astype(np.float32)
        for good in (1.0, 1.1)
    )

    def loss(weight):
        mixed = (1 - weight) * softmax(own.astype(float)) + weight * softmax(theirs.astype(float))
        return -np.log(mixed[np.arange(300), targets]).mean()

    weight = choose_weight(objective, own, theirs, targets)
    assert 0.1 < weight < 0.9
    assert loss(weight) < min(loss(weight - 0.01), loss(weight + 0.01))
    assert choose_weight(objective, own, own, targets) == 0.5
    assert choose_weight(objective, own[:99], theirs[:99], targets[:99]) == 0.5
    right = (40 * np.eye(n_classes)[targets]).astype(np.float32)
    assert choose_weight(objective, right, -right, targets) == 0
    assert choose_weight(objective, -right, right, targets) == 1


def test_probabilities_are_mixed_with_the_weight(clf, make):
    weight = clf.word_weight_
    assert 0 <= weight <= 1 and weight != 0.5
    alone = make().fit(TEXTS, LABELS, X_val=VAL_TEXTS, y_val=VAL_LABELS)
    assert np.array_equal(alone.model_._flat, clf.model_._flat)
    assert alone.word_weight_ is None
    words = clf._fitted.words
    expected = (1 - weight) * alone.predict_proba(TEST_TEXTS)
    expected += weight * softmax(words.logits(TEST_TEXTS).astype(float))
    assert np.allclose(clf.predict_proba(TEST_TEXTS), expected, atol=1e-6)
    assert_same_words(words, replace(learn(TEXTS, LABELS), weight=weight))
    losses = [
        clf.evaluate(VAL_TEXTS, VAL_LABELS)["loss"], alone.evaluate(VAL_TEXTS, VAL_LABELS)["loss"],
    ]
    assert losses[0] < losses[1]


def test_tags_of_held_out_texts_are_removed_once(make, monkeypatch):
    """What an escaped tag becomes is text."""
    seen = []
    monkeypatch.setattr(
        "bertsent.classifier.fitting.choose_weight",
        lambda objective, logits, own, targets: seen.append(logits) or 0.5,
    )
    marked = [f"&lt;{text}&gt; and so on" for text in VAL_TEXTS]
    plain = [f"<{text}> and so on" for text in VAL_TEXTS]
    for strip, X in ((True, marked), (False, plain)):
        make(words=True, strip_html=strip).fit(TEXTS, LABELS, X_val=X, y_val=VAL_LABELS)
    assert np.array_equal(*seen)


def test_without_held_out_texts_weights_are_equal(make):
    clf = make(words=True, class_weight="balanced").fit(TEXTS, LABELS)
    assert clf.word_weight_ == 0.5
    few = make(words=True, validation_fraction=0.25).fit(TEXTS, LABELS)
    assert few.word_weight_ == 0.5
    rows = few.training_rows_
    assert_same_words(
        few._fitted.words, learn([TEXTS[row] for row in rows], [LABELS[row] for row in rows])
    )


def test_members_and_words_vote(make):
    clf = make(words=True, members=2, max_length=8).fit(TEXTS, LABELS)
    alone = make(members=2, max_length=8).fit(TEXTS, LABELS)
    expected = 0.5 * alone.predict_proba(TEST_TEXTS)
    expected += 0.5 * softmax(clf._fitted.words.logits(TEST_TEXTS).astype(float))
    assert np.allclose(clf.predict_proba(TEST_TEXTS), expected, atol=1e-6)


def test_three_classes_and_kinds_of_columns(make):
    y = pd.Series(pd.Categorical(["x", "y", "z", "y"] * 20))
    clf = make(words=True, strip_html=True).fit(pd.Series(TEXTS), y)
    found = clf.predict_proba(TEST_TEXTS)
    assert found.shape == (30, 3) and np.allclose(found.sum(axis=1), 1)
    pa = pytest.importorskip("pyarrow")
    assert np.array_equal(clf.predict_proba(pa.array(TEST_TEXTS)), found)
    marked = [f"<p>{text}</p>" for text in TEST_TEXTS]
    assert np.array_equal(clf.predict_proba(marked), clf.predict_proba([t.strip() for t in marked]))
    assert clf.predict_proba([]).shape == (0, 3)


# --- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("int8", [False, True])
def test_saved_and_opened_it_predicts_the_same_bits(clf, tmp_path, int8):
    clf.set_params(inference_precision="int8" if int8 else "float32")
    expected = clf.decision_function(TEST_TEXTS)
    clf.save_pretrained(tmp_path / "model", int8=int8)
    assert json.loads((tmp_path / "model" / "bertsent.json").read_text())["format"] == 2
    opened = BertClassifier.from_pretrained(tmp_path / "model")
    assert opened.words and opened.word_weight_ == clf.word_weight_
    assert_same_words(opened._fitted.words, clf._fitted.words)
    assert np.array_equal(opened.decision_function(TEST_TEXTS), expected)
    for each in (pickle.loads(pickle.dumps(clf)), pickle.loads(pickle.dumps(opened))):
        assert np.array_equal(each.decision_function(TEST_TEXTS), expected)
    for number, text in enumerate(TEST_TEXTS[:5]):
        assert np.array_equal(opened.decision_function([text]), expected[number : number + 1])
    opened.save_pretrained(tmp_path / "again", int8=int8)
    for name in ("words.txt", "words.safetensors"):
        one, other = tmp_path / "model" / name, tmp_path / "again" / name
        assert one.read_bytes() == other.read_bytes()


def test_a_model_without_words_has_the_files_that_it_always_had(make, clf, tmp_path):
    clf.save_pretrained(tmp_path / "model")
    make().fit(TEXTS, LABELS).save_pretrained(tmp_path / "model", overwrite=True)
    settings = json.loads((tmp_path / "model" / "bertsent.json").read_text())
    assert settings["format"] == 1 and "words" not in settings
    assert not [path for path in (tmp_path / "model").iterdir() if path.name.startswith("words")]
    assert BertClassifier.from_pretrained(tmp_path / "model").word_weight_ is None


def replace_entry(directory, **changes):
    path = directory / "bertsent.json"
    settings = json.loads(path.read_text())
    settings["words"] |= changes
    path.write_text(json.dumps(settings))


def rewrite_arrays(directory, change):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(directory / "words.safetensors")
    change(arrays)
    save_file(arrays, directory / "words.safetensors")


def write_terms(directory, change):
    path = directory / "words.txt"
    lines = path.read_text().split("\n")
    path.write_text("\n".join(change(lines)))


DAMAGES = {
    "words.txt is missing": lambda d: (d / "words.txt").unlink(),
    "words.safetensors is missing": lambda d: (d / "words.safetensors").unlink(),
    "bertsent.json has no words, but .* has words.txt": lambda d: (d / "bertsent.json").write_text(
        json.dumps({k: v for k, v in json.loads((d / "bertsent.json").read_text()).items()
                    if k != "words"})
    ),
    "words.weight must be a number of at least 0 and at most 1": (
        lambda d: replace_entry(d, weight=1.5)
    ),
    "words.terms .*a whole number from 1": lambda d: replace_entry(d, terms=2**40),
    r"words.txt has [\d,]+ lines, expected 5": lambda d: replace_entry(d, terms=5),
    "the same line twice": lambda d: write_terms(d, lambda lines: [lines[1], *lines[1:]]),
    "an empty line": lambda d: write_terms(d, lambda lines: ["", *lines[1:]]),
    "words.txt is not UTF-8": lambda d: (d / "words.txt").write_bytes(b"\xff\n"),
    "words.txt is larger than": lambda d: (d / "words.txt").write_bytes(b"x" * (1 << 21)),
    "are damaged or from different models": lambda d: write_terms(
        d, lambda lines: [lines[0] + "x", *lines[1:]]
    ),
    "words.safetensors: coef is F32 of the shape": lambda d: rewrite_arrays(
        d, lambda a: a.update(coef=a["coef"].T.copy())
    ),
    "words.safetensors: idf is nothing": lambda d: rewrite_arrays(d, lambda a: a.pop("idf")),
    "words.safetensors has 4 arrays": lambda d: rewrite_arrays(
        d, lambda a: a.update(more=a["idf"])
    ),
    "intercept is F64": lambda d: rewrite_arrays(
        d, lambda a: a.update(intercept=a["intercept"].astype(np.float64))
    ),
    "idf contains NaN or infinite": lambda d: rewrite_arrays(
        d, lambda a: a.update(idf=a["idf"] * np.float32(np.inf))
    ),
    "coef has numbers beyond": lambda d: rewrite_arrays(
        d, lambda a: a.update(coef=a["coef"] + np.float32(1e20))
    ),
    "are damaged or from different": lambda d: rewrite_arrays(
        d, lambda a: a.update(coef=a["coef"] + np.float32(0.001))
    ),
}


@pytest.fixture(scope="module")
def saved(base, tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved") / "model"
    clf = BertClassifier(base, max_length=8, epochs=1, words=True, random_state=0, verbose=0)
    clf.fit(TEXTS, LABELS).save_pretrained(directory)
    return directory


@pytest.mark.parametrize("message", DAMAGES)
def test_damaged_files(saved, tmp_path, message):
    directory = shutil.copytree(saved, tmp_path / "model")
    DAMAGES[message](directory)
    with pytest.raises(CheckpointError, match=message):
        BertClassifier.from_pretrained(directory)


def test_inspect(saved, capsys):
    assert main(["inspect", str(saved)]) == 0
    said = capsys.readouterr().out
    assert "words and word pairs, weight 0.5" in said
    assert "is no file of bertsent" not in said


# --- training -------------------------------------------------------------------------------


def test_streamed_prediction_is_the_same(clf, tmp_path):
    pd.DataFrame({"review": TEST_TEXTS}).to_csv(tmp_path / "in.csv", index=False)
    clf.predict_file(tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=7)
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["predicted_label"].tolist() == clf.predict(TEST_TEXTS).tolist()
    expected = clf.predict_proba(TEST_TEXTS).max(axis=1)
    assert np.allclose(found["confidence"], expected, atol=1e-6)


def test_threads_do_not_matter(make):
    one, two = (make(words=True, n_threads=n).fit(TEXTS, LABELS) for n in (1, 2))
    assert_same_words(one._fitted.words, two._fitted.words)
    assert np.array_equal(one.decision_function(TEST_TEXTS), two.decision_function(TEST_TEXTS))


def test_a_resumed_run_ends_the_same(make, tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    options = {"words": True, "epochs": 2, "checkpoint_dir": tmp_path / "run",
               "checkpoint_every": 3}
    held_out = {"X_val": VAL_TEXTS, "y_val": VAL_LABELS}
    whole = make(words=True, epochs=2).fit(TEXTS, LABELS, **held_out)
    clf = make(**options, callbacks=lambda event: event["step"] == 5 and stop(event))
    with pytest.raises(KeyboardInterrupt):
        clf.fit(TEXTS, LABELS, **held_out)
    assert clf.word_weight_ == 0.5 and len(clf.predict(TEST_TEXTS)) == 30
    resumed = make(**options, resume=True).fit(TEXTS, LABELS, **held_out)
    assert_same_words(resumed._fitted.words, whole._fitted.words)
    assert np.array_equal(
        resumed.decision_function(TEST_TEXTS), whole.decision_function(TEST_TEXTS)
    )


def test_partial_fit_and_warm_start(make):
    with pytest.raises(ValueError, match="words=True needs all texts at once"):
        make(words=True).partial_fit(TEXTS, LABELS, classes=sorted(set(LABELS)))
    clf = make(words=True).fit(TEXTS[:40], LABELS[:40])
    words, before = clf._fitted.words, clf.predict_proba(TEST_TEXTS)
    clf.partial_fit(TEXTS[40:], LABELS[40:])
    assert clf._fitted.words is words
    assert not np.array_equal(clf.predict_proba(TEST_TEXTS), before)
    clf.set_params(warm_start=True).fit(TEXTS, LABELS)
    assert_same_words(clf._fitted.words, learn(TEXTS, LABELS))
    clf.set_params(words=False).fit(TEXTS, LABELS)
    assert clf.word_weight_ is None


def test_words_learn_from_texts_that_a_plan_leaves_out(make, monkeypatch):
    def plan(*args, **kwargs):
        return real(*args, **kwargs) | {"texts": 40, "steps": 5}

    from bertsent.classifier import fitting

    monkeypatch.setattr("bertsent.classifier.plan.MOST_MEASURED", 0.1)
    real = fitting.plan_time
    monkeypatch.setattr(fitting, "plan_time", plan)
    clf = make(words=True, time_budget=600, epochs="auto").fit(TEXTS, LABELS)
    assert len(clf.training_rows_) < len(TEXTS)
    assert_same_words(clf._fitted.words, learn(TEXTS, LABELS))


def test_verify_repeats_the_other_models(make, tmp_path):
    make(words=True, log_file=tmp_path / "log", hash_every=2).fit(TEXTS, LABELS)
    assert bertsent.verify(tmp_path / "log", TEXTS, LABELS, verbose=0)


def test_several_labels_for_a_text_are_refused(make):
    y = [["good"], ["bad", "long"]] * 10
    with pytest.raises(ValueError, match="words=True needs labels with exactly one class"):
        make(words=True).fit(TEXTS[:20], y)


@pytest.fixture
def data(tmp_path):
    pd.DataFrame({"review": TEXTS, "sentiment": LABELS}).drop_duplicates("review").to_csv(
        tmp_path / "data.csv", index=False
    )
    return tmp_path / "data.csv"


def test_command_line(base, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bertsent.classifier.estimate.MOST_MEASURED", 0.1)
    common = ["train", str(data), "--model", str(base), "--words", "--max-length", "8", "--epochs",
              "1", "--output", str(tmp_path / "out")]
    assert main([*common, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "--words" in said and " words, " in said
    assert main(common) == 0
    said = capsys.readouterr().out
    assert "words and word pairs vote with weight 0.5; at least 100 held-out texts" in said
    assert json.loads((tmp_path / "out" / "run.json").read_text())["word_weight"] == 0.5
    assert main(["evaluate", str(tmp_path / "out"), str(data)]) == 0
    assert main(["predict", str(tmp_path / "out"), str(data), "--output",
                 str(tmp_path / "labelled.csv")]) == 0


