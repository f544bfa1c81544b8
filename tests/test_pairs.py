"""Pairs of texts: against transformers, and in everything that a classifier does."""

import gzip
import json
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from family_models import MODELS, write_family_model

import bertsent
from bertsent.classifier.base import predictor

GOLDEN = Path(__file__).parent / "golden" / "pairs.json.gz"


def write_models(directory):
    """Write a tiny classifier of each family, whose logits the golden file contains."""
    for name in MODELS:
        write_family_model(Path(directory) / name, name, n_classes=2)
    write_tiny_model(Path(directory) / "bert", classifier=2, prefix="bert.", scale=0.25)


@pytest.fixture(scope="module")
def golden():
    return json.loads(gzip.decompress(GOLDEN.read_bytes()))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    write_models(directory)
    return directory


# --- against transformers -------------------------------------------------------------------


@pytest.fixture(params=["bert", *MODELS])
def family(request, golden):
    return request.param, golden["families"][request.param]


def test_ids_and_logits_are_those_of_transformers(family, models, golden):
    name, expected = family
    pairs = [tuple(pair) for pair in golden["pairs"]]
    clf = bertsent.BertClassifier.from_pretrained(models / name)
    for length, of_length in expected["lengths"].items():
        found = clf.tokenizer_.encode_batch(
            [a for a, _ in pairs], [b for _, b in pairs], max_length=int(length),
        )
        ids = [found.ids[a:b].tolist() for a, b in pairwise(found.offsets)]
        assert ids == of_length["ids"]
        clf.set_params(max_length=int(length), inference_precision="float32")
        np.testing.assert_allclose(
            clf.decision_function(pairs),
            np.diff(np.array(of_length["logits"]), axis=1)[:, 0], rtol=0, atol=2e-5,
        )
        logits = predictor(clf).logits(pairs)
        np.testing.assert_allclose(logits, of_length["logits"], rtol=0, atol=2e-5)


def test_windows_are_those_of_transformers(family, models, golden):
    name, expected = family
    how = golden["windows"]
    some = [golden["pairs"][number] for number in how["pairs"]]
    tokenizer = bertsent.Tokenizer.from_pretrained(models / name)
    found = tokenizer(
        [a for a, _ in some], [b for _, b in some], padding=False, truncation="windows",
        max_length=how["max_length"], stride=how["stride"],
    )
    assert [row.tolist() for row in found["input_ids"]] == expected["windows"]
    assert found["overflow_to_sample_mapping"].tolist() == expected["of_pair"]


def test_where_transformers_is_installed_a_trained_model_does_the_same(models, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    clf = make(models / "bert").fit(FRAME, LABELS)
    clf.save_pretrained(tmp_path / "saved")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    batch = tokenizer(
        FRAME["first"].tolist(), FRAME["second"].tolist(), truncation="longest_first",
        max_length=16, padding=True, return_tensors="pt",
    )
    with torch.no_grad():
        logits = theirs.eval()(**batch).logits.numpy()
    np.testing.assert_allclose(predictor(clf).logits(FRAME), logits, rtol=0, atol=1e-5)


# --- training and prediction ----------------------------------------------------------------

WORDS = "film movie story actor plot scene end time".split()


def make_pairs(n, seed=0):
    """Pairs that are alike or not; only both texts together tell the label."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        word, other = rng.choice(WORDS, 2, replace=False)
        alike = bool(rng.integers(2))
        rows.append((f"the {word} was great", f"a {word if alike else other} it is", alike))
    frame = pd.DataFrame(rows, columns=["first", "second", "alike"])
    return frame[["first", "second"]], np.where(frame["alike"], "alike", "not").tolist()


FRAME, LABELS = make_pairs(24)
ROWS = list(FRAME.itertuples(index=False, name=None))
FIRST = FRAME["first"].tolist()


@pytest.fixture(scope="module")
def base(models):
    return models / "bert"


def make(directory, **parameters):
    return bertsent.BertClassifier(directory, **{
        "epochs": 1, "max_length": 16, "batch_size": 8, "random_state": 0, "verbose": 0,
        "n_threads": 1, "learning_rate": 2e-3, "precision": "float32",
        "inference_precision": "float32",
    } | parameters)


def fit(directory, X=FRAME, y=LABELS, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bertsent.errors.FreshWeightsWarning)
        return make(directory, **parameters).fit(X, y)


@pytest.fixture(scope="module")
def fitted(base):
    return fit(base, track_examples=True)


@pytest.fixture(scope="module")
def single(base):
    return fit(base, FIRST)


def containers():
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    return {
        "list of tuples": ROWS, "list of lists": [list(row) for row in ROWS], "tuple": tuple(ROWS),
        "objects": FRAME.to_numpy(), "U": FRAME.to_numpy().astype(str),
        "matrix": np.asmatrix(FRAME.to_numpy()), "series": pd.Series(ROWS),
        "frame of Arrow": FRAME.astype("string[pyarrow]"), "polars": pl.DataFrame(FRAME),
        "table": pa.table(FRAME), "records": FRAME.to_records(index=False),
        "rows of arrays": list(FRAME.to_numpy()),
    }


def test_every_container_of_pairs_is_read(fitted, base, tmp_path):
    expected = fitted.decision_function(FRAME)
    for kind, X in containers().items():
        clf = fit(base, X)
        assert np.array_equal(clf.decision_function(X), expected), kind
        assert clf.n_features_in_ == 2
    assert fitted.feature_names_in_.tolist() == ["first", "second"]
    assert not hasattr(fit(base, ROWS), "feature_names_in_")


def test_both_texts_and_their_types_matter(fitted):
    swapped = FRAME[["second", "first"]].to_numpy()
    assert not np.allclose(fitted.decision_function(swapped), fitted.decision_function(FRAME))
    tokens = fitted.tokenizer_.encode_batch(FIRST, FRAME["second"], max_length=16)
    score = fitted.model_.score_packed
    with_types = score(tokens.ids, tokens.offsets, token_type_ids=tokens.token_type_ids)
    assert np.array_equal(with_types, predictor(fitted).logits(FRAME))
    assert not np.allclose(with_types, score(tokens.ids, tokens.offsets))


def test_what_single_texts_cannot_tell_is_learned(base):
    frame, labels = make_pairs(240, seed=1)
    clf = fit(base, frame, labels, epochs=40, learning_rate=3e-3, batch_size=16)
    assert clf.score(frame, labels) > 0.9


@pytest.mark.parametrize("family", ["bert", *MODELS])
def test_every_family_is_trained_on_pairs_and_saved(models, tmp_path, family):
    clf = fit(models / family, learning_rate=5e-3)
    clf.save_pretrained(tmp_path / "saved")
    settings = json.loads((tmp_path / "saved" / "bertsent.json").read_text())
    assert settings["pairs"] is True and settings["format"] == 3
    assert settings["feature_name"] == ["first", "second"]
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.predict_proba(FRAME), clf.predict_proba(FRAME))
    assert again.feature_names_in_.tolist() == ["first", "second"]
    clf.save_pretrained(tmp_path / "int8", int8=True)
    small = bertsent.BertClassifier.from_pretrained(tmp_path / "int8")
    np.testing.assert_allclose(
        small.predict_proba(FRAME), clf.predict_proba(FRAME), rtol=0, atol=0.02
    )


def test_threads_and_precision_change_little(fitted, base):
    one, two = (fit(base, n_threads=n).model_.parameters for n in (1, 2))
    assert all(np.array_equal(value, two[name]) for name, value in one.items())
    expected = fitted.predict_proba(FRAME)
    fitted.set_params(inference_precision="int8")
    try:
        np.testing.assert_allclose(fitted.predict_proba(FRAME), expected, rtol=0, atol=0.02)
    finally:
        fitted.set_params(inference_precision="float32")


@pytest.mark.parametrize("options", [
    {"freeze_layers": 1, "freeze_dropout": True, "epochs": 2},
    {"freeze_layers": 2, "freeze_dropout": True, "epochs": 2, "long_text": "windows",
     "max_length": 10, "stride": 1},
], ids=["one layer", "all layers, windows"])
def test_a_frozen_cache_changes_no_bit(base, options):
    cached = fit(base, frozen_cache="float32", **options)
    again = fit(base, frozen_cache="off", **options)
    for name, value in cached.model_.parameters.items():
        np.testing.assert_array_equal(value, again.model_.parameters[name], err_msg=name)


def test_the_cache_depends_on_token_types(base):
    from bertsent.training.examples import Examples
    from bertsent.training.frozen import cache_key

    clf = fit(base, freeze_layers=1, freeze_dropout=True)
    tokens = clf.tokenizer_.encode_batch(FIRST, FRAME["second"])
    from bertsent.classifier.fitting import make_options
    from bertsent.training import draw_seeds

    options = make_options(clf.get_params(), clf.model_._engine, draw_seeds(0), {}, validated=False)
    keys = [
        cache_key(clf.model_, Examples(
            tokens.ids, tokens.offsets, np.zeros(24), None, types=types
        ), options, "float32")
        for types in (None, tokens.token_type_ids, 1 - tokens.token_type_ids)
    ]
    assert len(set(keys)) == 3


# --- long pairs -------------------------------------------------------------------------------

LONG = [
    ("the film was good", "the story " * 30), ("the actor " * 20, "a plot"),
    ("the scene " * 20, "the end of it " * 15), ("a film", "a movie"), ("", "time " * 40),
]


def test_windows_are_weighted_by_their_new_tokens(models):
    clf = bertsent.BertClassifier.from_pretrained(models / "bert")
    clf.set_params(
        max_length=16, long_text="windows", stride=3, inference_precision="float32", n_threads=1
    )
    found = predictor(clf).logits(LONG)
    windows = clf.tokenizer_(
        [a for a, _ in LONG], [b for _, b in LONG], truncation="windows", max_length=16, stride=3
    )
    of = windows.pop("overflow_to_sample_mapping")
    assert np.bincount(of).max() > 3
    logits = clf.model_(**windows).astype(np.float64)
    # Tokens of the second text in each window, without [SEP].
    new = np.maximum((windows["token_type_ids"] == 1).sum(axis=1) - 1, 1)
    for number in range(len(LONG)):
        mine = of == number
        expected = (logits[mine] * new[mine, None]).sum(axis=0) / new[mine].sum()
        np.testing.assert_allclose(found[number], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("long_text", ["head", "tail", "head+tail", "windows"])
@pytest.mark.parametrize("name", ["bert", "roberta"])
@pytest.mark.parametrize("max_length", [12, 13, 17, 40])
def test_lengths_are_counted_as_they_are_read(models, name, long_text, max_length):
    from bertsent.texts import Reader, count_tokens

    tokenizer = bertsent.Tokenizer.from_pretrained(models / name)
    special = tokenizer.num_special_tokens_to_add(pair=True)
    assert special == (3 if name == "bert" else 4)
    reader = Reader(max_length, long_text, 2 if long_text == "windows" else 0, special)
    encoding = reader.encode(tokenizer, LONG, 1)
    totals = count_tokens(tokenizer, LONG, 1)
    assert totals.shape == (5, 2)
    lengths, first = reader.sequence_lengths(totals)
    assert lengths.tolist() == np.diff(encoding.offsets).tolist()
    assert (encoding.windows if long_text == "windows" else np.arange(6)).tolist() == first.tolist()
    counted, _ = reader.sequence_lengths(reader.count(tokenizer, LONG, 1))
    assert counted.tolist() == lengths.tolist()
    whole = totals.sum(axis=1)
    assert (reader.tokens_read(totals) <= whole).all()
    if long_text != "windows":
        assert (reader.tokens_read(totals) == np.minimum(whole, max_length - special)).all()


def test_tokens_read_counts_both_texts(fitted):
    found = fitted.tokens_read(pd.DataFrame(LONG, columns=["first", "second"], index=list("abcde")))
    assert found["tokens"].tolist() == [64, 42, 100, 4, 40]
    # Windows over the second text read all of it.
    assert found["tokens_read"].tolist() == [64, 13, 66, 4, 40]
    assert found.index.tolist() == list("abcde")


def test_what_is_cut_is_said(base, capsys):
    fit(base, LONG, list("abaab"), verbose=1)
    said = " ".join(capsys.readouterr().err.split())
    assert "80.0% of the pairs (4 of 5) are longer than max_length=16 tokens" in said


@pytest.mark.parametrize(("parameters", "message"), [
    ({"max_length": 3}, "max_length=3 is too small for pairs of texts; expected at least 4"),
    ({"long_text": "windows", "stride": 9, "max_length": 16},
     "stride=9 is too large for windows over the second text of a pair.*at most 5"),
])
def test_lengths_that_pairs_do_not_fit_are_refused(base, parameters, message):
    with pytest.raises(ValueError, match=message):
        fit(base, **parameters)


# --- bad input --------------------------------------------------------------------------------


def changed(value, column="second"):
    items = pd.Series([*FRAME[column][:3], value, *FRAME[column][4:]], dtype=object)
    return FRAME.assign(**{column: items})


def test_a_missing_second_text_is_named_by_row_and_column(fitted):
    cases = {
        r"row 3 of column 'second' is (None|NaN); drop it": changed(None),
        r"row 3 of column 'first' \(index 'd'\) is (None|NaN)": changed(None, "first").set_axis(
            list("abcdefghijklmnopqrstuvwx")
        ),
        r"X\[3, 1\] is None": changed(None).to_numpy().copy(),
        r"X\[3\]\[1\] is None": [(a, None if i == 3 else b) for i, (a, b) in enumerate(ROWS)],
    }
    pl = pytest.importorskip("polars")
    cases[r"X\['second'\]\[3\] is None"] = pl.DataFrame(changed(None))
    for message, X in cases.items():
        if isinstance(X, np.ndarray):
            X[3, 1] = None
        with pytest.raises(TypeError, match=message):
            fitted.predict(X)
    with pytest.raises(TypeError, match="row 3 of column 'second' is not a text: .*int"):
        fitted.predict(changed(3))


def test_rows_of_wrong_width_are_named(base, fitted):
    for row, what in ((("a",), "has 1 item"), (("a", "b", "c"), "has 3 items"),
                      ("a", "is 'a'"), (None, "is None")):
        with pytest.raises(ValueError, match=rf"X\[4\] {what}, but X\[0\] is a pair"):
            fitted.predict([*ROWS[:4], row])
    with pytest.raises(TypeError, match=r"X\[0\] is not a text.*two for pairs"):
        fit(base, [("a", "b", "c")] * 24)


def test_three_columns_are_refused(base):
    frame = FRAME.assign(third="a text")
    with pytest.raises(TypeError, match=r"\['first', 'second', 'third'\].*X\[\['first', 'second'"):
        fit(base, frame)
    with pytest.raises(TypeError, match=r"shape \(24, 3\).*X\[:, :2\]"):
        fit(base, frame.to_numpy())


def test_two_columns_of_which_one_has_no_texts_are_refused(base):
    with pytest.raises(TypeError, match=r"\['first', 'number'\]; pass one column.*X\['first'\]"):
        fit(base, FRAME[["first"]].assign(number=1))


def test_labels_among_the_texts_are_refused(base):
    with pytest.raises(ValueError, match="column 1 of X, counted from 0, contains the labels"):
        fit(base, FRAME[["first"]].assign(label=LABELS))


@pytest.mark.parametrize("position", [0, 3])
def test_a_missing_label_of_pairs_is_named(base, position):
    labels = pd.Series(LABELS, dtype="string")
    labels[position] = pd.NA
    with pytest.raises(ValueError, match=rf"y\[{position}\] is"):
        fit(base, FRAME, labels)


def test_the_columns_of_pairs_are_said_once(base, capsys):
    for table in (FRAME, FRAME, FRAME.set_axis([0, 1], axis=1), FRAME.to_numpy()):
        fit(base, table, verbose=1)
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if "pairs of texts" in line]
    assert said == [
        "X is read as pairs of texts: the columns 'first' and 'second'",
        "X is read as pairs of texts: the columns 0 and 1",
        f"X is read as pairs of texts: it is an array of shape {FRAME.shape}",
    ]


def test_pairs_that_cannot_be_meant_otherwise_are_not_said(base, capsys):
    fit(base, FRAME.set_axis(["id", "text"], axis=1))  # with verbose=0
    fit(base, ROWS, verbose=1)
    fit(base, FRAME[["first"]], verbose=1)
    fit(base, FRAME[["first"]].to_numpy(), verbose=1)
    assert "pairs of texts" not in capsys.readouterr().err


def test_other_texts_than_in_training_are_refused(fitted, single, tmp_path):
    fitted.save_pretrained(tmp_path / "pairs")
    single.save_pretrained(tmp_path / "single")
    assert json.loads((tmp_path / "single" / "bertsent.json").read_text())["pairs"] is False
    of_pairs, of_single = (
        bertsent.BertClassifier.from_pretrained(tmp_path / name) for name in ("pairs", "single")
    )
    advice = r"X has single texts, but the model was trained on pairs.*X\[\['first', 'second'\]\]"
    for clf in (fitted, of_pairs):
        for call in (clf.predict, clf.seen_in_training, clf.tokens_read):
            with pytest.raises(ValueError, match=advice):
                call(FIRST)
    for clf in (single, of_single):
        for X in (FRAME, ROWS, FRAME.to_numpy()):
            with pytest.raises(ValueError, match="X has pairs.*trained on single.*one column of t"):
                clf.predict(X)
        assert clf.predict([]).tolist() == []
    with pytest.raises(ValueError, match="feature names.*second.*in this order"):
        fitted.predict(FRAME[["second", "first"]])
    assert fitted.predict([]).tolist() == []


def test_held_out_and_further_texts_must_be_of_the_same_kind(base, fitted):
    with pytest.raises(ValueError, match="X_val has single texts, but X has pairs"):
        make(base).fit(FRAME, LABELS, X_val=FIRST, y_val=LABELS)
    with pytest.raises(ValueError, match="unlabelled has single texts, but X has pairs"):
        make(base, teacher=fitted).fit(FRAME, LABELS, unlabelled=FIRST)
    with pytest.raises(ValueError, match="was trained on pairs of texts, but X has single texts"):
        make(base, teacher=fitted).fit(FIRST, LABELS)
    with pytest.raises(ValueError, match="X_test has single texts, but X has pairs"):
        fitted.audit(FRAME, X_test=FIRST)
    with pytest.raises(ValueError, match="X has single texts, but the model was trained on pairs"):
        fit(base, warm_start=True).fit(FIRST, LABELS)
    with pytest.raises(ValueError, match="X has single texts, but the model was trained on pairs"):
        fit(base).partial_fit(FIRST, LABELS)


def test_pretraining_reads_single_texts(base, tmp_path):
    with pytest.raises(TypeError, match="pass one column of texts"):
        bertsent.pretrain(FRAME, tmp_path / "out", model=base, verbose=0)


def test_a_lone_surrogate_is_named(fitted):
    with pytest.raises(ValueError, match=r"X\[3\], second text: lone surrogate"):
        fitted.predict(changed("a \ud800"))
    with pytest.raises(ValueError, match=r"X\[3\]: lone surrogate"):
        fitted.predict(changed("a \ud800", "first"))
    with pytest.raises(ValueError, match=r"X\[3\], second text: lone surrogate"):
        fitted.tokens_read(changed("a \ud800"))


def test_damaged_settings_are_refused(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / "bertsent.json"
    settings = json.loads(path.read_text())
    for key, value in (("pairs", 1), ("feature_name", ["a", "b", "c"])):
        path.write_text(json.dumps(settings | {key: value}))
        with pytest.raises(bertsent.errors.CheckpointError, match=key):
            bertsent.BertClassifier.from_pretrained(tmp_path / "saved")


def test_a_model_of_another_program_reads_both(models):
    clf = bertsent.BertClassifier.from_pretrained(models / "bert")
    assert clf.predict(FIRST).shape == clf.predict(FRAME).shape == (24,)
    assert clf._fitted.pairs is None


# --- everything else --------------------------------------------------------------------------


def test_html_is_removed_from_both(base, fitted):
    tagged = FRAME.map(lambda text: f"<b>{text}</b>")
    found = fit(base, tagged, strip_html=True).decision_function(tagged)
    assert np.array_equal(found, fitted.decision_function(FRAME))


def test_equal_pairs_stay_together(base):
    rows, labels = ROWS[:12] * 2, LABELS[:12] * 2
    clf = fit(base, rows, labels, validation_fraction=0.25, epochs=1)
    trained = {rows[row] for row in clf.training_rows_}
    held_out = {rows[row] for row in clf.validation_rows_}
    assert held_out and not trained & held_out
    assert clf.seen_in_training(rows).tolist() == [row in trained for row in rows]
    # The same first text alone is not seen.
    assert not clf.seen_in_training([(a, "another") for a, _ in rows]).any()


def test_a_resumed_run_ends_with_the_same_bits(base, tmp_path):
    how = {"epochs": 3, "checkpoint_every": 2, "long_text": "windows", "max_length": 10}
    whole = fit(base, checkpoint_dir=tmp_path / "whole", **how)

    def stop(event):
        if event.get("step") == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(base, checkpoint_dir=tmp_path / "run", callbacks=stop, **how)
    again = fit(base, checkpoint_dir=tmp_path / "run", resume=True, **how)
    for name, value in whole.model_.parameters.items():
        np.testing.assert_array_equal(value, again.model_.parameters[name], err_msg=name)
    other = FRAME.assign(second=FRAME["second"][::-1].tolist())
    with pytest.raises(bertsent.errors.CheckpointError, match="texts"):
        fit(base, other, checkpoint_dir=tmp_path / "run", resume=True, **how)


def test_members_words_and_held_out_pairs(base, tmp_path):
    clf = fit(
        base, members=[{"max_length": 16}, {"max_length": 12}], words=True,
        validation_fraction=0.25, early_stopping="loss",
    )
    assert len(clf.models_) == 2
    report = clf.evaluate(FRAME, LABELS)
    assert report.accuracy == clf.score(FRAME, LABELS)
    clf.save_pretrained(tmp_path / "saved")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "saved")
    assert np.array_equal(again.predict_proba(FRAME), clf.predict_proba(FRAME))


def test_a_time_budget_plans_with_pairs(base):
    for long_text in ("head", "windows"):
        clf = fit(base, time_budget=30, epochs="auto", max_length="auto", long_text=long_text)
        assert clf.plan_["texts"] == 24 and clf.predict(FRAME).shape == (24,)


def test_partial_fit_goes_on_with_pairs(base):
    clf = make(base)
    for part in (slice(0, 12), slice(12, 24)):
        clf.partial_fit(FRAME[part], LABELS[part], classes=["alike", "not"])
    assert clf.n_features_in_ == 2 and clf.seen_in_training(FRAME).all()


def test_a_teacher_scores_pairs(base, fitted):
    further, _ = make_pairs(12, seed=5)
    clf = make(base, teacher=fitted).fit(FRAME, LABELS, unlabelled=further)
    assert clf.predict(FRAME).shape == (24,)


def test_numbers_and_sets_of_labels_are_learned_from_pairs(base):
    regressor = bertsent.BertRegressor(base, epochs=1, max_length=16, random_state=0, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bertsent.errors.FreshWeightsWarning)
        regressor.fit(FRAME, np.linspace(0, 1, 24))
    assert regressor.predict(FRAME).shape == (24,)
    several = [["a"] if i % 2 else ["a", "b"] for i in range(24)]
    assert len(fit(base, FRAME, several).predict(FRAME)) == 24


def test_the_audit_compares_both_texts(fitted):
    first, second = ROWS[0]
    rows = [*ROWS[:-2], (first.upper(), f"<b>{second}</b>"), (first, "something else")]
    clf = fit(fitted.model, rows, track_examples=True)
    found = clf.audit(rows)
    duplicates = found[found["kind"] == "duplicate"].set_index("row")
    assert duplicates.loc[22, "match"] == 0 and 23 not in duplicates.index
    assert (found["kind"] == "label").sum() == 24


def test_pairs_to_label_are_suggested(fitted, base):
    further, _ = make_pairs(40, seed=7)
    found = fitted.suggest_labels(further, 3)
    assert found.columns[:3].tolist() == ["row", "text", "text_pair"]
    row = found.iloc[0]
    assert (row["text"], row["text_pair"]) == tuple(further.iloc[row["row"]])
    fresh = bertsent.suggest_labels(further, 3, model=base, verbose=0)
    assert fresh.columns.tolist() == ["row", "text", "text_pair", "represents"]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_learning_curve_of_pairs(base, frozen):
    curve = bertsent.learning_curve(
        make(base), FRAME, LABELS, train_sizes=[8, 16], n_seeds=1, frozen=frozen,
    )
    assert curve is not None
