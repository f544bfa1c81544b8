"""The audit of the data: flipped labels rank high; copies and leaks are found and reported."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import maker
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from test_classifier import make_texts
from test_cli import SMALL, run, write_csv

import bertsent
from bertsent.audit.label_errors import Evidence, suspect
from bertsent.audit.word_model import cross_validate
from bertsent.objectives import SingleLabelClassification
from bertsent.texts import LabelType
from bertsent.training.example_history import ExampleHistory

TEXTS, LABELS = make_texts(400)
TEXTS = [f"{text} {i}" for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def make(base):
    return maker(base, epochs=2, track_examples=True)


def flip(labels, part=0.03, seed=0):
    """The labels with some of them flipped, and which ones."""
    labels = np.array(labels, dtype=object)
    classes = sorted(set(labels))
    flipped = np.zeros(len(labels), dtype=bool)
    flipped[np.random.default_rng(seed).permutation(len(labels))[: round(part * len(labels))]] = 1
    labels[flipped] = np.where(labels[flipped] == classes[0], classes[1], classes[0])
    return labels, flipped


def found(table, flipped, part=0.05):
    """Fraction of the flipped labels that is in the first rows of the ranking."""
    rows = table["row"][: int(part * len(flipped))].to_numpy()
    return flipped[rows].sum() / flipped.sum()


def evidence_of(labels, logits):
    """The history of examples with such logits, of shape (texts, epochs, classes)."""
    logits = np.asarray(logits, dtype=np.float32)
    objective = SingleLabelClassification(LabelType(np.arange(logits.shape[2])))
    history = ExampleHistory(
        objective, [str(i) for i in range(len(labels))], np.asarray(labels, dtype=np.int32), None,
        logits.shape[1],
    )
    for epoch in range(logits.shape[1]):
        history.add(epoch, np.arange(len(labels)), logits[:, epoch], 0.0)
    return Evidence.of_training(history, history.trained)


# --- labels ---------------------------------------------------------------------------------


def test_flipped_labels_rank_first(make):
    labels, flipped = flip(LABELS)
    table = make(epochs=3).fit(TEXTS, labels).audit()
    assert found(table, flipped) >= 0.9
    assert sorted(table["row"]) == list(range(400))
    assert table["score"].is_monotonic_decreasing and table["score"].between(0, 1).all()
    assert (table["label"] == labels[table["row"]]).all()
    top = table[: flipped.sum() // 2]
    assert (top["suggested"] == LABELS[top["row"]]).all()
    assert (table["suggested"].iloc[-200:] == table["label"].iloc[-200:]).all()


def test_labels_that_were_learned_by_heart_still_do():
    # A clean text becomes more certain; a wrong label is contradicted in 3 of 12 epochs and then
    # learned by heart, even better than the rest.
    rng = np.random.default_rng(0)
    labels = np.arange(1000) % 2
    given, flipped = flip(labels)
    given = given.astype(int)
    margins = np.linspace(2, 6, 12) + rng.normal(0, 1, (1000, 12))
    margins[flipped] *= np.where(np.arange(12) < 3, -1, 2)
    logits = np.zeros((1000, 12, 2))
    logits[np.arange(1000), :, given] = margins
    score = suspect(evidence_of(given, logits)).score
    assert flipped[np.argsort(-score)[:50]].sum() >= 0.8 * flipped.sum()
    # The end of training does not tell them apart.
    assert not flipped[np.argsort(margins[:, -1])[:50]].any()


def test_epochs_in_which_nothing_was_known_do_not_count():
    rng = np.random.default_rng(0)
    labels = np.arange(1000) % 2
    given, flipped = flip(labels)
    given = given.astype(int)
    logits = rng.normal(0, 3, (1000, 4, 2))
    logits[np.arange(1000), 3, labels] += 9
    score = suspect(evidence_of(given, logits)).score
    assert flipped[np.argsort(-score)[:50]].sum() >= 0.9 * flipped.sum()


def test_a_class_that_is_rare_is_not_taken_for_wrong():
    rng = np.random.default_rng(0)
    labels = (rng.random(1000) < 0.06).astype(int)
    # The model has hardly learned the rare class: the other one is more likely everywhere.
    logits = np.zeros((1000, 2, 2))
    logits[..., 1] = -3 + 2.0 * labels[:, None] + rng.normal(0, 0.3, (1000, 2))
    given = labels.copy()
    common, rare = np.flatnonzero(labels == 0)[:15], np.flatnonzero(labels == 1)[:15]
    given[common], given[rare] = 1, 0
    flipped = given != labels
    score = suspect(evidence_of(given, logits)).score
    top = np.argsort(-score)[:50]
    assert flipped[top].sum() >= 0.8 * flipped.sum()
    # By its bare probability, every text of the rare class would come before all others.
    assert (given[np.argsort(-logits[np.arange(1000), 0, 1 - given])[:40]] == 1).all()


@pytest.mark.parametrize("weights", ["balanced", {"positive": 8.0}])
def test_class_weights_do_no_harm(make, weights):
    kept = np.flatnonzero((LABELS == "negative") | (np.arange(400) % 5 == 0))
    labels, flipped = flip(LABELS[kept], 0.04)
    texts = [TEXTS[row] for row in kept]
    table = make(epochs=6, class_weight=weights).fit(texts, labels).audit()
    assert found(table, flipped, 0.06) >= 0.75


def test_early_epochs_count_most():
    first, last = [[4.0, -4.0], [-4.0, 4.0]], [[-4.0, 4.0], [4.0, -4.0]]
    calm = [[0.0, 2.0], [0.0, 2.0]]
    rows = [[each[::-1] for each in row] for row in (first, last, calm, calm)]
    score = suspect(evidence_of([1] * 4 + [0] * 4, [first, last, calm, calm, *rows])).score
    assert score[0] > score[1] > score[2] == score[3]
    np.testing.assert_allclose(score[:4], score[4:])


def test_the_suggestion_is_the_class_that_was_held_likeliest():
    logits = [[[0, 0, 5], [0, 1, 0]], [[9, 0, 0], [9, 0, 0]], [[0, 9, 0], [0, 9, 0]]]
    suspicion = suspect(evidence_of([0, 0, 1], logits))
    assert suspicion.other[0] == 2 and suspicion.score[0] > 0.5 > suspicion.score[1]


def test_flipped_labels_of_real_reviews(make, imdb):
    # A network of random weights that reads 16 tokens; the model of words makes up for it.
    data = imdb.sample(6000, random_state=0)
    labels, flipped = flip(data["sentiment"])
    clf = make(epochs=1).fit(data["review"], labels)
    table = clf.audit(data["review"]).query("kind == 'label'")
    first = table["row"][: len(data) // 20]
    assert pd.Series(flipped, index=data.index)[first].sum() >= 0.6 * flipped.sum()


def test_flipped_labels_of_the_bundled_sample(minilm_dir):
    data = pd.read_csv(Path(bertsent.__file__).parent / "sample" / "reviews.csv")[:300]
    labels, flipped = flip(data["sentiment"])
    clf = bertsent.BertClassifier(
        minilm_dir, max_length=32, epochs=4, freeze_layers=3, track_examples=True, random_state=0,
        verbose=0, n_threads=1,
    )
    table = clf.fit(data["review"], labels).audit()
    # So few texts are too little to find 60 % of the flipped labels in 5 % of the ranking.
    assert roc_auc_score(flipped, table.set_index("row")["score"].sort_index()) > 0.75


def test_words_judge_a_label_that_they_were_not_trained_on():
    texts = [f"good film {i % 7}" if i % 2 else f"bad story {i % 7}" for i in range(60)]
    labels = np.arange(60) % 2
    labels[10] = 1
    found = cross_validate(texts, labels)
    assert found.shape == (60, 2) and found[10, 1] < 0.2
    np.testing.assert_allclose(found.sum(axis=1), 1)
    sure = np.delete(found[np.arange(60), labels], 10)
    assert (sure > 0.7).all()
    # Labels that are unrelated to the texts cannot be learned.
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 300, 20)) for _ in range(200)]
    labels = np.arange(200) % 2
    assert (cross_validate(texts, labels).argmax(axis=1) == labels).mean() < 0.65


@pytest.mark.parametrize(
    ("texts", "labels"),
    [(["a b", "a c", "a d"], [0, 0, 1]), (["one", "two", "three", "four"], [0, 0, 1, 1]),
     (["", "", "", ""], [0, 1, 0, 1]), (["good film"] * 4, [0, 0, 0, 0])],
)
def test_where_words_can_say_nothing(texts, labels):
    assert cross_validate(texts, np.array(labels)) is None


def test_classes_that_no_text_has_are_impossible_by_words():
    labels = np.array([0, 3] * 10)
    found = cross_validate(["good film", "bad story"] * 10, labels)
    assert found.shape == (20, 4) and (found[:, 1:3] == 0).all()


# --- near-duplicates and leaks --------------------------------------------------------------

STORY = "the plot is slow and the end is poor but this actor is the best i ever see in a film"
OTHER = "i love the story of this movie and never was a scene too slow or too dull to watch"
WORDS = STORY.split()
RETOUCHED = " ".join([*WORDS[:9], "very", *WORDS[9:]])


@pytest.fixture(scope="module")
def audited(make):
    """An audit of 30 texts with copies, and of 4 test texts of which 2 are known."""
    texts = [*TEXTS[:26], STORY, OTHER, RETOUCHED, f"<b>{OTHER.upper()}</b>"]
    labels = [*LABELS[:26], "negative", "positive", "positive", "positive"]
    X = pd.Series(texts, index=[f"t{i}" for i in range(30)])
    test = pd.Series([TEXTS[3].upper(), "a fine film i was never to see", OTHER, STORY + " end"],
                     index=[100, 101, 102, 103])
    clf = make(epochs=2).fit(X, labels)
    return clf, X, test, clf.audit(X, X_test=test, y_test=[LABELS[3], "negative", "negative",
                                                           "negative"])


def test_near_duplicates_are_told_by_group(audited):
    _, _, _, table = audited
    copies = table[(table["kind"] == "duplicate") & table["row"].isin(["t26", "t27", "t28", "t29"])]
    assert copies["row"].tolist()[:2] == ["t26", "t28"]  # the labels of these differ
    assert copies["disagree"].tolist() == [True, True, False, False]
    assert copies["match"].tolist() == ["t28", "t26", "t29", "t27"]
    assert copies["match_label"].tolist() == ["positive", "negative", "positive", "positive"]
    assert copies["group"].nunique() == 2
    assert copies["score"].iloc[0] == copies["score"].iloc[1] < 1 == copies["score"].iloc[2]
    assert copies["why"].iloc[2] == (
        "equal to training text t29 but for HTML, case and white space"
    )
    assert "of all runs of three words with training text t28" in copies["why"].iloc[0]
    assert copies["suggested"].isna().all() and (copies["part"] == "train").all()


def test_labels_that_contradict_each_other_are_suspect(audited):
    clf, X, _, table = audited
    labels = table[table["kind"] == "label"].set_index("row")
    for row in ["t26", "t28"]:
        share = 0.5 * table[(table["kind"] == "duplicate") & (table["row"] == row)]["score"].item()
        assert labels.loc[row, "score"] >= share
        assert labels.loc[row, "disagree"] and "near-duplicates have another" in labels.loc[
            row, "why"
        ]
    assert labels.index[labels["disagree"]].isin(["t26", "t28"]).all()


def test_the_majority_of_copies_is_suggested(make, monkeypatch):
    monkeypatch.setattr("bertsent.audit.table.cross_validate", lambda texts, labels: None)
    texts = [*TEXTS[:20], STORY, STORY, STORY, STORY]
    labels = [*LABELS[:20], "positive", "positive", "positive", "negative"]
    table = make(learning_rate=1e-9).fit(texts, labels).audit(texts)
    first = table.iloc[0]
    assert (first["row"], first["suggested"], first["kind"]) == (23, "positive", "label")
    assert first["score"] == 0.75 and first["disagree"]
    # Texts that nothing was learned from are about even, which is more than a quarter.
    labels = table.query("kind == 'label'").set_index("row")
    assert labels.loc[[20, 21, 22], "score"].between(0.3, 0.7).all()


def test_leaks_are_found(audited):
    _, _, _, table = audited
    leaks = table[table["kind"] == "leak"]
    assert leaks["row"].tolist() == [100, 102, 103] and (leaks["part"] == "test").all()
    assert leaks["match"].tolist() == ["t3", "t27", "t26"]
    assert leaks["disagree"].tolist() == [False, True, False]
    assert leaks["score"].tolist()[:2] == [1, 1] and 0.5 < leaks["score"].iloc[2] < 1
    assert leaks["group"].isna().all()


def test_what_fit_held_out_is_compared_too(make):
    texts = [*TEXTS[:40], *(text.upper() + " <br>" for text in TEXTS[:40])]
    clf = make(validation_fraction=0.2, epochs=1).fit(texts, [*LABELS[:40], *LABELS[:40]])
    table = clf.audit(texts)
    leaks = table[table["kind"] == "leak"]
    held_out = set(clf.validation_rows_)
    expected = [row for row in held_out if (row + 40) % 80 not in held_out]
    assert set(expected) <= set(leaks["row"]) <= held_out
    equal = leaks[leaks["score"] == 1].set_index("row")["match"]
    assert (equal[expected] == [(row + 40) % 80 for row in expected]).all()
    assert (leaks["part"] == "validation").all()
    assert set(table[table["kind"] == "label"]["row"]) == set(range(80)) - held_out


def test_the_table_is_one_that_pandas_users_know(audited, tmp_path):
    clf, X, test, table = audited
    assert list(table.columns) == [
        "kind", "part", "row", "label", "suggested", "score", "match", "match_label", "disagree",
        "group", "why",
    ]
    assert table.index.equals(pd.RangeIndex(len(table)))
    assert table["kind"].unique().tolist() == ["label", "duplicate", "leak"]
    table.to_csv(tmp_path / "audit.csv", index=False)
    assert len(pd.read_csv(tmp_path / "audit.csv")) == len(table)
    assert X[table.query("kind == 'label'")["row"]].notna().all()
    plain = clf.audit(X.tolist(), X_test=test.tolist())
    leaks = plain[plain["kind"] == "leak"]
    assert leaks["row"].tolist() == [0, 2, 3] and leaks["match"].tolist() == [3, 27, 26]
    assert leaks["label"].isna().all() and not leaks["disagree"].any()
    many = X.set_axis(pd.MultiIndex.from_product([["a", "b", "c"], range(10)]))
    assert clf.audit(many)["row"].isin(many.index.tolist()).all()
    strict = clf.audit(X, X_test=test, threshold=1.0)
    assert strict[strict["kind"] == "leak"]["row"].tolist() == [100, 102]


def test_labels_look_as_they_did(make):
    table = make(epochs=1).fit(TEXTS[:20], np.arange(20) % 3 * 10).audit(TEXTS[:20])
    assert table["label"].dtype.kind == "i" and set(table["suggested"].dropna()) <= {0, 10, 20}
    labels = np.where(LABELS[:20] == "positive", "{good}", "{0}")
    table = make(epochs=1).fit(TEXTS[:20], labels).audit(TEXTS[:20])
    assert set(table["label"]) == {"{good}", "{0}"}


# --- errors ---------------------------------------------------------------------------------


def test_before_fit_and_without_tracking(make):
    with pytest.raises(NotFittedError):
        make().audit(TEXTS)
    clf = make(track_examples=False, epochs=1).fit(TEXTS[:20], LABELS[:20])
    with pytest.raises(ValueError, match="no history .* fit with track_examples=True first"):
        clf.audit(TEXTS[:20])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": TEXTS[:19]}, "X has 19 texts, but fit was given 20; pass the same texts"),
        ({"X": pd.Series(TEXTS[:19])}, "X has 19 texts, but fit was given 20; pass the same texts"),
        ({"X": [*TEXTS[:18], TEXTS[19], TEXTS[18]]}, r"row 18 differs \(2 of 20 in all\)"),
        ({"X_test": TEXTS[:2]}, "pass them too, as X"),
        ({"X": TEXTS[:20], "y_test": LABELS[:2]}, "y_test needs X_test"),
        ({"X": TEXTS[:20], "X_test": TEXTS[:2], "y_test": LABELS[:3]}, "2 texts and 3 .* y_test"),
        ({"X": TEXTS[:20], "X_test": TEXTS[:1], "y_test": ["bad"]}, r"y_test\[0\] is 'bad'"),
        *(({"X": TEXTS[:20], "threshold": value}, "threshold=.*above 0 and up to 1")
          for value in (0, 1.5, "0.5", None, True, float("nan"))),
    ],
)
def test_wrong_arguments(make, arguments, message):
    clf = make(epochs=1).fit(TEXTS[:20], LABELS[:20])
    with pytest.raises(ValueError, match=message):
        clf.audit(**arguments)


def test_a_missing_text_is_named(make):
    clf = make(epochs=1).fit(TEXTS[:20], LABELS[:20])
    with pytest.raises(TypeError, match=r"X_test\[1\] is None"):
        clf.audit(TEXTS[:20], X_test=["good", None])


# --- on the command line --------------------------------------------------------------------


def test_train_writes_both_tables_by_the_rows_of_the_file(base, tmp_path, capsys):
    data = write_csv(tmp_path / "data.csv", 60)
    code = run("train", data, "--model", base, "--epochs", 2, *SMALL, "--track-examples",
               "--validation-fraction", 0.2, "--output", tmp_path / "model")
    assert code == 0 and "audit.csv ranks the labels" in capsys.readouterr().out
    split = pd.read_csv(tmp_path / "model" / "split.csv").set_index("row")["part"]
    reviews = pd.read_csv(data)
    examples = pd.read_csv(tmp_path / "model" / "examples.csv")
    assert sorted(examples.query("epoch == 2")["row"]) == sorted(split.index[split == "train"])
    assert (examples["other"] != reviews["sentiment"][examples["row"]].to_numpy()).all()
    table = pd.read_csv(tmp_path / "model" / "audit.csv")
    assert (table["part"] == split[table["row"]].to_numpy()).all()
    assert (table["label"] == reviews["sentiment"][table["row"]].to_numpy()).all()
    # The reviews of this file repeat a few.
    matched = table.dropna(subset="match").query("score == 1")
    assert set(matched["kind"]) >= {"duplicate"}
    assert (reviews["review"][matched.query("kind == 'duplicate'")["row"]].to_numpy()
            == reviews["review"][matched.query("kind == 'duplicate'")["match"]].to_numpy()).all()

    assert run("train", data, "--model", base, "--epochs", 1, *SMALL, "--force",
               "--output", tmp_path / "model") == 0
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert not names & {"examples.csv", "audit.csv", "example_history.npz"}


def test_row_numbers_of_test_data_are_those_of_its_own_file(base, tmp_path):
    data, test = tmp_path / "data.csv", tmp_path / "test.csv"
    pd.DataFrame({"review": [*TEXTS[:20], STORY], "sentiment": [*LABELS[:20], "negative"]}).to_csv(
        data, index=False
    )
    pd.DataFrame({"review": ["good", RETOUCHED], "sentiment": "positive"}).to_csv(test, index=False)
    assert run("train", data, "--model", base, "--epochs", 1, *SMALL, "--track-examples",
               "--test-data", test, "--output", tmp_path / "model") == 0
    table = pd.read_csv(tmp_path / "model" / "audit.csv")
    leak = table[table["kind"] == "leak"].iloc[0]
    assert (leak["row"], leak["match"], leak["disagree"]) == (1, 20, True)
