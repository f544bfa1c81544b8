"""Explanations: scores of words, of every family and task, as data, pages and lines."""

import json
import pickle
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from conftest import maker, write_tiny_model
from family_models import MODELS, write_family_model

import bertsent
from bertsent import BertClassifier, BertRegressor
from bertsent.classifier import neighbours
from bertsent.cli import main
from bertsent.explanation import METHODS, Words, find_words
from bertsent.explanation.gradients import quadrature
from bertsent.explanation.terminal import wrap
from bertsent.model.memory import limit_attribution
from bertsent.system import parse_size, text_width

TEXTS = [
    "a good film with a great story", "the film was bad, boring, awful!!",
    "I don't like this movie", "great",
]
LABELS = ["pos", "neg", "neg", "pos"]


def write(directory, name, n_classes=3):
    if name == "bert":
        names = {str(number): f"class {number}" for number in range(n_classes)}
        return write_tiny_model(
            directory, classifier=n_classes, scale=0.3, id2label=names,
            label2id={name: int(number) for number, name in names.items()},
        )
    return write_family_model(directory, name, n_classes, initializer_range=0.3)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return a function that opens the tiny model of a family, once."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def get(name="bert", **parameters):
        if name not in made:
            made[name] = write(root / name, name)
        clf = BertClassifier.from_pretrained(made[name])
        how = {"verbose": 0, "n_threads": 1, "inference_precision": "float32"}
        return clf.set_params(**how | parameters)

    return get


@pytest.fixture(scope="module")
def fitted(base):
    return maker(base, members=2, epochs=2, words=True)().fit(TEXTS * 8, LABELS * 8)


def complete(explanation, within=1e-3):
    """Whether the scores add up."""
    change = explanation.output - explanation.baseline
    total = np.nansum(np.abs(explanation.scores))
    assert abs(np.nansum(explanation.scores) - change) <= within * total
    return total > 1e-6


# --- scores -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bert", *MODELS])
def test_scores_of_every_family_add_up_to_the_logits(opened, name):
    clf = opened(name)
    found = clf.explain(TEXTS, tolerance=1e-3)
    logits = clf.decision_function(TEXTS)
    for text, own, each in zip(TEXTS, logits, found, strict=True):
        code = own.argmax()
        assert each.target == clf.classes_[code]
        margin = own[code] - np.delete(own, code).mean()
        assert each.output == pytest.approx(margin, abs=1e-4)
        assert complete(each) and each.error <= 1e-3 and each.steps in (9, 17, 33, 65, 129, 257)
        assert each.words == [text[a:b] for a, b in zip(each.starts, each.ends, strict=True)]
        masked = re.sub(r"\S+", "x", text)
        assert "".join(each.words) == text.replace(" ", "") and masked


def test_scores_are_integrals_of_the_gradient(opened):
    clf = opened()
    (found,) = clf.explain(TEXTS[:1], tolerance=1e-5, target="class 1")
    tokens = clf.tokenizer_.encode_batch(TEXTS[:1])
    places = (np.arange(500) + 0.5) / 500
    n, mask = len(tokens.ids), clf.tokenizer_.mask_token_id
    baseline = tokens.ids.copy()
    baseline[1:-1] = mask
    weights = np.tile(np.float32([-0.5, 1, -0.5]), (500, 1))
    _, scores = clf.model_._core.attribute(
        np.tile(tokens.ids, 500), None, None, np.arange(501) * n, np.tile(baseline, 500),
        places.astype(np.float32), weights,
    )
    mean = scores.reshape(500, n).mean(axis=0)
    assert n - 2 == len(found.words)
    np.testing.assert_allclose(found.scores, mean[1:-1], rtol=1e-3, atol=1e-5)


def test_the_baseline_has_all_words_masked(opened):
    clf = opened()
    (found,) = clf.explain(["good film"], target="class 0", tolerance=1e-4)
    own = clf.decision_function(["[MASK] [MASK]"])[0]
    assert found.baseline == pytest.approx(own[0] - own[1:].mean(), abs=1e-5)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_occlusion_is_the_change_when_a_word_is_masked(opened, name):
    clf = opened(name)
    tokenizer, model = clf.tokenizer_, clf.model_
    (found,) = clf.explain(TEXTS[:1], method="occlusion")
    code = list(clf.classes_).index(found.target)
    tokens = tokenizer.encode_batch(TEXTS[:1], return_offsets_mapping=True)

    def output(ids):
        logits = model.score_packed(ids, tokens.offsets)[0]
        return logits[code] - np.delete(logits, code).mean()

    for start, end, score in zip(found.starts, found.ends, found.scores, strict=True):
        inside = tokens.offset_mapping[:, 0] >= start
        inside &= (tokens.offset_mapping[:, 1] <= end) & (tokens.offset_mapping[:, 1] > start)
        ids = np.where(inside, tokenizer.mask_token_id, tokens.ids).astype(np.int32)
        assert inside.any()
        assert score == pytest.approx(output(tokens.ids) - output(ids), abs=1e-5)
    assert np.isnan(found.baseline) and np.isnan(found.error) and found.steps == 0


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
@pytest.mark.parametrize("long_text", ["windows", "head", "tail", "head+tail"])
def test_long_texts_are_explained_as_they_are_read(opened, long_text, method):
    clf = opened(max_length=9, inference_long_text=long_text, stride=3 * (long_text == "windows"))
    text = "a good film with great story and the movie was boring bad awful don't like"
    (found,) = clf.explain([text], method=method, tolerance=1e-3)
    own = clf.decision_function([text])[0]
    code = own.argmax()
    assert found.output == pytest.approx(own[code] - np.delete(own, code).mean(), abs=1e-4)
    read = ~np.isnan(found.scores)
    assert read.all() == (long_text == "windows")
    if long_text != "windows":
        assert read.argmax() == (0 if "head" in long_text else read.argmax())
        assert read[-1] == ("tail" in long_text) and 0 < read.sum() < len(read)
        assert "not read" in str(found) and "opacity: 0.55" in found._repr_html_()
    if method == "integrated_gradients":
        assert complete(found)
    else:
        assert np.nanmax(np.abs(found.scores)) > 1e-6


def test_bits_depend_neither_on_threads_nor_on_the_other_texts(opened):
    clf = opened(max_length=9, inference_long_text="windows")
    for method in ("integrated_gradients", "occlusion"):
        alone = clf.explain(TEXTS[1:2], method=method)[0]
        clf.set_params(n_threads=2)
        among = clf.explain(TEXTS * 3, method=method)[5]
        clf.set_params(n_threads=1)
        np.testing.assert_array_equal(alone.scores, among.scores)
        assert (alone.output, alone.steps) == (among.output, among.steps)


def test_a_limit_of_memory_changes_no_bits(opened):
    clf = opened()
    wanted = clf.explain(TEXTS)
    limit = 4 * clf.model_._flat.size + 12_000_000
    clf.set_params(memory_limit=limit)
    for ours, theirs in zip(clf.explain(TEXTS), wanted, strict=True):
        np.testing.assert_array_equal(ours.scores, theirs.scores)
    clf.set_params(memory_limit=100_000)
    with pytest.raises(ValueError, match="too small to"):
        clf.explain(TEXTS)


@pytest.mark.parametrize("how", [{}, {"max_length": 9, "inference_long_text": "windows"}])
def test_occlusion_of_the_strongest_words_is_that_of_all_words(opened, how):
    clf = opened(**how)
    all_words = clf.explain(TEXTS, method="occlusion")
    rough = clf.explain(TEXTS)
    for count in (2, 99):
        for each, whole, guide in zip(
            clf.explain(TEXTS, method="occlusion", n_words=count), all_words, rough, strict=True
        ):
            masked = np.argsort(-np.abs(guide.scores), kind="stable")[:count]
            assert np.array_equal(np.flatnonzero(~np.isnan(each.scores)), np.sort(masked))
            np.testing.assert_array_equal(each.scores[masked], whole.scores[masked])
            assert sorted([*each.unmasked, *masked]) == list(range(len(each.words)))
            assert each.output == whole.output and "not read" not in each.footnote
            assert "opacity: 0.55" not in each._repr_html_().split("</p>", 1)[1]
            strongest = f"occlusion of the {len(masked)} strongest words by integrated gradients"
            assert each.footnote == (strongest if len(each.unmasked) else "occlusion")
    for method, n_words in (("occlusion", 0), ("occlusion", 1.5), ("integrated_gradients", 3)):
        with pytest.raises(ValueError, match="n_words="):
            clf.explain(TEXTS, method=method, n_words=n_words)


def test_occlusion_of_some_words_with_members_and_words(fitted):
    found = fitted.explain(TEXTS[:1], method="occlusion", n_words=3)[0]
    whole = fitted.explain(TEXTS[:1], method="occlusion")[0]
    kept = ~np.isnan(found.scores)
    assert kept.sum() == 3 and np.array_equal(found.scores[kept], whole.scores[kept])
    assert found.to_frame()["score"].isna().sum() == len(found.words) - 3
    assert str(found).count("\n") < str(whole).count("\n")


def test_occlusion_of_some_words_of_a_text_that_is_not_read_whole(base):
    how = {"epochs": 1, "words": True, "max_length": 8, "inference_long_text": "tail"}
    clf = maker(base, **how)().fit(TEXTS * 8, LABELS * 8)
    text = "good bad great " * 20
    rough, whole = (clf.explain([text], method=method)[0] for method in METHODS)
    found = clf.explain([text], method="occlusion", n_words=2)[0]
    # The model reads the last 6 words only, the model of words all.
    assert len(found.words) == 60 and not np.isnan(rough.scores).any()
    masked = np.argsort(-np.abs(rough.scores), kind="stable")[:2]
    assert sorted(masked) == np.flatnonzero(~np.isnan(found.scores)).tolist()
    np.testing.assert_array_equal(found.scores[masked], whole.scores[masked])
    assert sorted([*found.unmasked, *masked]) == list(range(60))
    assert found.footnote == "occlusion of the 2 strongest words by integrated gradients"


def test_explanations_that_were_pickled_before_words_could_be_left_out(fitted):
    each = fitted.explain(TEXTS[:1])[0]
    old = object.__new__(bertsent.Explanation)
    old.__setstate__({name: value for name, value in vars(each).items() if name != "unmasked"})
    assert len(old.unmasked) == 0 and str(old) == str(each)
    assert old._repr_html_() == each._repr_html_()
    again = pickle.loads(pickle.dumps(each))
    assert again.footnote == each.footnote


def test_a_limit_of_memory_counts_the_packed_weights_of_the_prediction(opened):
    model, sizes = opened().model_, {}
    for kept in (None, "float32", "int8"):
        with pytest.raises(ValueError, match="too small to explain") as caught:
            limit_attribution(model, 1, np.array([16]), n_threads=1, kept=kept)
        sizes[kept] = parse_size(re.search(r"parameters take (\w[\w.]*),", str(caught.value))[1])
    assert sizes[None] == sizes["float32"]
    more = sizes["int8"] - sizes[None]
    assert more == pytest.approx(model._core.packed_size("int8"), abs=0.02 * sizes[None])


def test_memory_of_a_token_does_not_depend_on_the_number_of_places(opened):
    clf = opened(max_length=60, inference_long_text="windows", inference_precision="float32")
    text = " ".join(TEXTS * 200)
    peaks = []
    for tolerance in (1.0, 1e-12):
        clf.explain([text], tolerance=tolerance)
        tracemalloc.start()
        (found,) = clf.explain([text], tolerance=tolerance)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert found.steps > 200 and complete(found)
    assert peaks[1] < 2 * peaks[0]


def test_int8_explains_by_gradients_in_float32(opened):
    clf = opened(inference_precision="int8")
    target = clf.predict(TEXTS[:1])[0]
    found = clf.explain(TEXTS[:1], target=target)
    clf.set_params(inference_precision="float32")
    np.testing.assert_array_equal(
        found[0].scores, clf.explain(TEXTS[:1], target=target)[0].scores
    )


@pytest.mark.parametrize("count", [2, 8, 32])
def test_quadrature_is_exact_for_polynomials(count):
    places = 0.5 - 0.5 * np.cos(np.pi * np.arange(count + 1) / count)
    weights = quadrature(count)
    assert (weights > 0).all()
    for degree in range(count + 1):
        assert weights @ places**degree == pytest.approx(1 / (degree + 1), rel=1e-12)


# --- tasks --------------------------------------------------------------------------------


def test_members_and_words_are_averaged(fitted):
    found = fitted.explain(TEXTS, tolerance=1e-3)
    assert all(map(complete, found))
    share, words = fitted.word_weight_, fitted._fitted.words
    for text, each in zip(TEXTS, found, strict=True):
        code = list(fitted.classes_).index(each.target)
        sign = 1 if code else -1
        margins = [
            sign * np.diff(model.score_packed(*fitted.tokenizer_.encode_batch([text])[:2])[0])[0]
            for model in fitted.models_
        ]
        own = sign * np.diff(words.logits([text])[0])[0]
        wanted = (1 - share) * np.mean(margins) + share * own
        assert each.output == pytest.approx(wanted, abs=1e-4)


def test_what_words_add_is_exact(fitted):
    words = fitted._fitted.words
    text = "İ a good film with a great story\u0130 Good film unknown"
    weights = np.array([-1, 1], np.float32)
    starts, values, output, empty = words.contributions(text, weights)
    assert output == pytest.approx(np.diff(words.logits([text])[0])[0], rel=1e-5)
    assert values.sum() == pytest.approx(output - empty) and np.abs(values).max() > 0
    assert [text[at : at + 4].lower() for at in starts[values != 0]][:2] == ["good", "film"]
    assert words.contributions("?", weights)[2:] == (empty, empty)
    pair = words.contributions(("a good film", "with a great story"), weights)
    assert pair[2] == pytest.approx(words.contributions(TEXTS[0], weights)[2])


def test_words_that_only_the_model_of_words_reads_have_scores(base):
    short = {"max_length": 4, "inference_long_text": "head"}
    clf = maker(base, words=True, **short)().fit(TEXTS * 8, LABELS * 8)
    (found,) = clf.explain(TEXTS[:1], tolerance=1e-3)
    assert complete(found)
    of = dict(zip(found.words, found.scores, strict=True))
    assert of["great"] != 0 and not np.isnan(of["great"]) and not np.isnan(of["good"])
    only = maker(base, **short)().fit(TEXTS * 8, LABELS * 8)
    assert np.isnan(only.explain(TEXTS[:1])[0].scores[-1])


def test_pairs(base):
    pairs = [(one, other) for one in TEXTS for other in TEXTS[:2]]
    same = np.array([one == other for one, other in pairs])
    how = {"long_text": "windows", "max_length": 14, "inference_precision": "float32"}
    for more in ({}, {"words": True}):
        clf = maker(base, **how, **more)().fit(pairs * 3, np.tile(same, 3))
        for method in ("integrated_gradients", "occlusion"):
            found = clf.explain(pairs[:3], method=method, tolerance=1e-3)
            frame = found.to_frame()
            assert set(frame["part"]) == {1, 2}
            for row, part, word, start, end in zip(
                *(frame[name] for name in ("row", "part", "word", "start", "end")), strict=True
            ):
                assert pairs[row][part - 1][start:end] == word
            if method == "integrated_gradients":
                assert all(map(complete, found))
    assert str(found[0]).count("film") >= 2 and found[0]._repr_html_().count("<p dir") == 2


def test_several_labels_and_numbers(base):
    labels = [["film"], ["film", "bad"], [], ["film"]]
    make = maker(base, inference_precision="float32")
    clf = make().fit(TEXTS * 6, labels * 6)
    found = clf.explain(TEXTS, tolerance=1e-3)
    best = clf.decision_function(TEXTS).max(axis=1)
    np.testing.assert_allclose([each.output for each in found], best, rtol=1e-4, atol=1e-5)
    assert clf.explain(TEXTS[:1], target="bad")[0].target == "bad"
    with pytest.raises(ValueError, match=r"target='x' is not known; .* 2 labels \(bad, film\)"):
        clf.explain(TEXTS, target="x")
    settings = make().get_params()
    known = {name: settings[name] for name in BertRegressor()._get_param_names()
             if name in settings and name != "loss"}
    clf = BertRegressor(**known).fit(TEXTS * 6, np.arange(24.0))
    found = clf.explain(TEXTS, tolerance=1e-3)
    np.testing.assert_allclose([each.output for each in found], clf.predict(TEXTS), rtol=1e-4)
    assert all(map(complete, found)) and "prediction +" in found[0].headline
    numbers = pd.DataFrame({"stars": np.arange(24.0), "length": np.arange(24.0) % 5})
    clf = BertRegressor(**known).fit(TEXTS * 6, numbers)
    with pytest.raises(ValueError, match=r"target is needed, .* 2 numbers \(stars, length\)"):
        clf.explain(TEXTS)
    own = clf.explain(TEXTS, target="length")[0]
    assert own.output == pytest.approx(np.asarray(clf.predict(TEXTS))[0, 1], rel=1e-4)


def test_labels_that_are_no_strings(base):
    clf = maker(base)().fit(TEXTS * 6, np.tile([3, 1, 1, 3], 6))
    texts = pd.Series(TEXTS, index=list("abcd"))
    found = clf.explain(texts, target=np.int64(3))
    assert [each.row for each in found] == list("abcd") and found[0].target == "3"
    other = clf.explain(texts, target="1")
    np.testing.assert_allclose(found[0].scores, -other[0].scores, rtol=1e-4, atol=1e-7)


# --- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize(("X", "how", "message"), [
    ([], {}, "X is empty; there is nothing to explain"),
    (["good", "  "], {}, r"X\[1\] has no words, so there is nothing to explain"),
    (["good"], {"target": "no"}, r"target='no' is not known; .* 3 classes \(class 0, class 1"),
    (["good"], {"method": "shap"}, "method='shap' is not allowed; expected"),
    (["good"], {"tolerance": 0}, "tolerance=0 is not allowed; expected a number above 0"),
    (["good", "\ud800"], {}, r"X\[1\]"),
])
def test_what_cannot_be_explained_is_refused(opened, X, how, message):
    with pytest.raises(ValueError, match=message):
        opened().explain(X, **how)


def test_further_errors(opened, monkeypatch):
    with pytest.raises(TypeError, match=r"X\[0\]"):
        opened().explain([None])
    with pytest.raises(Exception, match="not fitted"):
        BertClassifier().explain(["good"])
    clf = opened()
    monkeypatch.setattr(type(clf.tokenizer_), "mask_token_id", None)
    with pytest.raises(ValueError, match="the model has no mask token"):
        clf.explain(["good"])


# --- words --------------------------------------------------------------------------------


def words_of(tokenizer, text):
    (found,) = find_words(tokenizer, [text], 1)
    return [text[a:b] for a, b in zip(found.starts, found.ends, strict=True)]


@pytest.mark.parametrize(("text", "words"), [
    ("a good film", ["a", "good", "film"]),
    ("a'b'", ["a'b", "'"]), ("don't, film\u2019s '90", ["don't", ",", "film\u2019s", "'", "90"]),
    ("wow!!! ... no?!", ["wow", "!!!", "...", "no", "?", "!"]),
    ("", []), (" \t", []),
    ("\u96fb\u5f71 good", ["\u96fb", "\u5f71", "good"]),
    ("caf\u00e9 \U0001f600x", ["caf\u00e9", "\U0001f600x"]),
])
def test_words_are_what_people_read(opened, text, words):
    assert words_of(opened().tokenizer_, text) == words


@pytest.mark.parametrize("text", ["don't go, it's bad!!", "  a  caf\u00e9 \U0001f600 x", "good\n"])
def test_words_in_a_vocabulary_of_bytes_cover_the_text(opened, text):
    found = words_of(opened("roberta").tokenizer_, text)
    assert "".join(found) == "".join(text.split()) and not any(map(str.isspace, found))
    if "'" in text:
        assert found[:2] == ["don't", "go"]


def test_tokens_before_the_first_word_count_to_it():
    words = Words(np.array([2, 5]), np.array([4, 7]))
    assert words.of(np.array([0, 2, 3, 4, 5, 9])).tolist() == [0, 0, 0, 0, 1, 1]


# --- how it is shown ----------------------------------------------------------------------


def test_the_table_has_a_row_for_each_word(opened):
    found = opened().explain(TEXTS)
    frame = found.to_frame()
    assert list(frame) == ["row", "target", "word", "start", "end", "score"]
    assert len(frame) == sum(len(each.words) for each in found)
    assert frame["score"].dtype == np.float64 and frame["row"].tolist()[-1] == 3
    assert len(found[1:]) == 3 and found[-1].text == "great" and repr(found[:1]) == (
        "Explanations of 1 text"
    )


def one(text="good film", row=0, scores=(0.5, -0.1), explained="log-odds", **fields):
    """An explanation of a text whose scored words are the first and the last."""
    return bertsent.Explanation(**{
        "text": text, "row": row, "target": "stars", "prediction": {"predicted_label": "pos"},
        "method": "integrated_gradients", "explained": explained,
        "starts": np.array([0, text.rfind(" ") + 1]), "ends": np.array([text.find(" "), len(text)]),
        "parts": np.zeros(2, int), "scores": np.array(scores), "output": 0.5, "baseline": 0.1,
        "error": 0.0, "steps": 9,
    } | fields)


def test_no_texts_are_an_empty_table(opened):
    found = opened().explain(TEXTS[:1])
    assert len(found[:0].to_frame()) == 0
    assert list(found[:0].to_frame()) == list(found.to_frame())


def test_rows_have_their_index_labels(opened):
    texts = pd.Series(TEXTS[:2], index=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]))
    found = opened().explain(texts)
    frame = found.to_frame()
    assert frame["row"].tolist() == [each.row for each in found for _ in each.words]
    assert set(frame["row"]) == {("a", 1), ("b", 2)}
    times = pd.Series(TEXTS[:1], index=pd.date_range("2026-01-01", periods=1, tz="UTC"))
    frame = opened().explain(times).to_frame()
    assert frame["row"].dtype == times.index.dtype and (frame["row"] == times.index[0]).all()


def test_of_several_texts_each_says_its_row():
    both = bertsent.Explanations([one(row="<a>"), one(row=7)])
    assert str(both).startswith("row <a>: stars: log-odds") and "\nrow 7: stars: log" in str(both)
    for html in (both._repr_html_(), both.to_html()):
        assert ">row &lt;a&gt;: stars:" in html and ">row 7: stars:" in html
    for alone in (both[0], both[:1]):
        assert str(alone).startswith("stars: log-odds") and "row" not in alone._repr_html_()


def test_cut_texts_say_so_at_both_ends():
    text = "x " * 2000 + "awful " + "y " * 2000 + "z"
    middle = one(text, starts=np.array([4000, 8007]), ends=np.array([4005, 8008]),
                 scores=(-1.0, 0.0))
    shown = " ".join(str(middle).split("\n\n")[-1].split())
    assert shown.startswith("... x x") and " [--awful] " in shown and shown.endswith("y ...")
    assert "...  ..." not in shown
    html = middle._repr_html_()
    assert ">[\u2026] x" in html and "y [\u2026]</p>" in html
    ends = str(one("good " + "x " * 2000 + "bad")).split("\n\n")[-1]
    assert ends.startswith("[++good] x") and ends.endswith("bad") and " ... " in ends


def test_numbers_in_any_unit_have_their_digits():
    small = one(scores=(1.2345e-5, -2e-7), explained="prediction", output=3.21e-5, baseline=1e-7)
    shown = str(small)
    assert "stars: prediction +3.21e-05, +1e-07 with all words masked" in shown
    assert "  good +1.234e-05  +++" in shown and max(map(len, shown.splitlines())) <= 79
    assert "<td>+1.234e-05</td>" in small._repr_html_()
    large = str(one(scores=(41234.56, -5123.4), explained="prediction", output=250123.4))
    assert "prediction +250123, " in large and "  good   +41235  +++" in large
    assert "   -5123  ---" in large
    assert "  good   +0.500  +++" in str(one()) and "log-odds +0.50, +0.10 with" in str(one())


def test_html_is_escaped_and_needs_no_colours(opened):
    text = '<script>alert("x")</script> good & bad\0 film\u202e'
    found = opened().explain([text])
    for html in (found._repr_html_(), found[0]._repr_html_(), found.to_html("<b>title</b>")):
        assert "<script" not in html and "<b>" not in html and "\0" not in html
        assert "&lt;" in html and "solid" in html and "dashed" in html and 'dir="auto"' in html
    page = found.to_html()
    assert page.startswith("<!DOCTYPE html>") and "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page


def test_pages_are_written(opened, tmp_path):
    found = opened().explain(TEXTS)
    found.save_html(tmp_path / "why.html")
    assert (tmp_path / "why.html").read_text() == found.to_html()
    with pytest.raises(FileExistsError):
        found.save_html(tmp_path / "why.html")
    found.save_html(tmp_path / "why.html", title="other", overwrite=True)
    assert "other" in (tmp_path / "why.html").read_text()


def test_lines_fit_a_terminal(opened):
    long = " ".join(TEXTS[:3] * 40) + " " + "\u96fb" * 300 + " " + "x" * 200
    found = opened(max_length=32, inference_long_text="windows").explain([long, *TEXTS] * 3)
    shown = str(found)
    assert max(map(text_width, shown.splitlines())) <= 79
    assert " ... " in shown and "and 5 more texts" in shown
    assert re.search(r"\[[+-]{1,2}\w+", shown)
    html = found._repr_html_()
    assert "and 5 more texts" in html
    longer = opened(max_length=32, inference_long_text="windows").explain([long * 8])
    assert "[\u2026]" in longer._repr_html_() and len(longer._repr_html_()) < 200_000
    assert "x" * 90 not in str(longer)


def test_long_words_and_long_pairs_are_shortened():
    pair = ("good " + "x" * 60, "y " * 4000 + "bad")
    starts, ends = np.array([0, 5, 8000]), np.array([4, 65, 8003])
    found = bertsent.Explanation(
        text=pair, row=0, target="pos", prediction={"predicted_label": "pos", "confidence": 0.9},
        method="occlusion", explained="log-odds", starts=starts, ends=ends,
        parts=np.array([0, 0, 1]), scores=np.array([0.1, 2.0, -1.0]), output=1.5, baseline=np.nan,
        error=np.nan, steps=0,
    )
    shown = str(found)
    assert max(map(len, shown.splitlines())) <= 79
    assert "  " + "x" * 21 + "...   +2.000  ++++" in shown and "y y [--bad]" in shown
    assert "pos: log-odds +1.50; predicted label: pos (0.90)" in shown
    html = found._repr_html_()
    assert html.count("y y") < 100 and "[\u2026] y" in html


@pytest.mark.parametrize(("text", "lines"), [
    ("", []), ("a b", ["a b"]), ("aaa bbb", ["aaa", "bbb"]), ("abcdefgh", ["abcd", "efgh"]),
    ("a bcdefg", ["a", "bcde", "fg"]), ("\u96fb\u96fb\u96fb", ["\u96fb\u96fb", "\u96fb"]),
    ("a\x1b[1m", ["a\\x1", "b[1m"]),
])
def test_lines_are_wrapped_by_columns(text, lines):
    assert wrap(text, 4) == lines


# --- other explanations -------------------------------------------------------------------


def test_scores_rank_words_as_shap_does(opened):
    shap = pytest.importorskip("shap", reason="shap is not installed")
    from scipy.stats import spearmanr

    clf = opened(inference_precision="float32")
    agreement = []
    for text in TEXTS[:3]:
        (found,) = clf.explain([text], method="occlusion")
        code = list(clf.classes_).index(found.target)

        def output(kept, found=found, text=text, code=code):
            texts = []
            for row in np.asarray(kept, bool):
                parts, at = [], 0
                for start, end, keep in zip(found.starts, found.ends, row, strict=True):
                    parts += [text[at:start], text[start:end] if keep else "[MASK]"]
                    at = end
                texts.append("".join(parts))
            logits = clf.decision_function(texts)
            return logits[:, code] - np.delete(logits, code, axis=1).mean(axis=1)

        n = len(found.words)
        explainer = shap.explainers.Permutation(output, np.zeros((1, n)), seed=0)
        wanted = explainer(np.ones((1, n)), max_evals=1000).values[0]
        scores = clf.explain([text], tolerance=1e-3)[0].scores
        agreement.append([spearmanr(wanted, each)[0] for each in (found.scores, scores)])
    assert (np.mean(agreement, axis=0) > 0.6).all(), agreement


def test_deleting_strong_words_changes_more_than_deleting_others(opened):
    clf, rng = opened(), np.random.default_rng(0)
    texts = [" ".join(rng.permutation(" ".join(TEXTS).replace(",", "").split())[:12])
             for _ in range(12)]
    for method in ("integrated_gradients", "occlusion"):
        strong, random = [], []
        for each in clf.explain(texts, method=method, tolerance=0.01):
            code = list(clf.classes_).index(each.target)
            for rows, found in (
                (np.argsort(-each.scores)[:3], strong),
                (rng.choice(len(each.words), 3, replace=False), random),
            ):
                text = each.text
                for row in sorted(rows, reverse=True):
                    text = text[: each.starts[row]] + "[MASK]" + text[each.ends[row] :]
                own = clf.decision_function([text])[0]
                found.append(each.output - (own[code] - np.delete(own, code).mean()))
        assert np.mean(strong) > np.mean(random) + 1e-3


# --- similar texts ------------------------------------------------------------------------


def test_similar_texts_are_the_nearest_by_cosine(opened):
    clf = opened()
    train = pd.Series([*TEXTS, TEXTS[0] + "!"], index=[10, 20, 30, 40, 50])
    found = clf.similar(TEXTS[:2], train, n=3)
    assert list(found) == ["row", "similar_row", "similarity", "text"] and len(found) == 6
    assert found["similar_row"].tolist()[0] == 10 and found["similarity"][0] == pytest.approx(1)
    assert found["text"].tolist() == [train[row] for row in found["similar_row"]]
    assert (np.diff(found["similarity"][:3]) <= 0).all()
    assert len(clf.similar(TEXTS[:1], TEXTS, n=99)) == 4
    pairs = clf.similar([TEXTS[0]] * 2, [TEXTS[0]] * 3, n=2)
    assert pairs["similar_row"].tolist() == [0, 1, 0, 1]
    for given, message in (
        (([], TEXTS), "X is empty"), ((TEXTS, []), "X_train is empty"),
        ((TEXTS, TEXTS, 0), "n=0 is not allowed"), ((TEXTS, [("a", "b")]), "pairs"),
    ):
        with pytest.raises(ValueError, match=message):
            clf.similar(*given)


def test_of_texts_that_are_equally_near_the_first_are_found(monkeypatch, opened):
    # Their vectors are such that products are exact.
    rng = np.random.default_rng(0)
    known = np.float32([[1, 0], [0, 1], [-1, 0]])[rng.integers(3, size=400)]
    monkeypatch.setattr(neighbours, "_encode", lambda *_: [np.eye(2, dtype=np.float32), known])
    found = opened().similar(["good", "bad"], [f"text {number}" for number in range(400)], n=30)
    for row, own in found.groupby("row"):
        wanted = np.argsort(-known[:, row], kind="stable")[:30]
        assert own["similar_row"].tolist() == wanted.tolist() and (own["similarity"] == 1).all()


# --- the command --------------------------------------------------------------------------


def explain(workshop, *args):
    return main(["explain", str(workshop / "model"), *map(str, args)])


def test_the_command_prints_marked_words(workshop, capsys):
    assert explain(workshop, "--text", "good film", "--text", "bad film") == 0
    out = capsys.readouterr().out
    assert out.count("log-odds") == 2 and "[" in out
    assert out.startswith("row 0: ") and "\nrow 1: " in out
    assert max(map(len, out.splitlines())) <= 79
    assert explain(workshop, "--text", "good film", "--json", "--method", "occlusion",
                   "--target", "positive") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and '"word": "good"' in lines[0] and '"target": "positive"' in lines[0]


def test_the_command_writes_pages_and_tables(workshop, tmp_path, capsys):
    new = workshop / "new.csv"
    assert explain(workshop, new, "--rows", 3, "-o", tmp_path / "why.html") == 0
    assert "3 explained texts written" in capsys.readouterr().err
    assert (tmp_path / "why.html").read_text().count("integrated gradients") == 3
    assert explain(workshop, new, "--text-column", "review", "-o", tmp_path / "w.csv") == 0
    frame = pd.read_csv(tmp_path / "w.csv")
    assert frame["row"].nunique() == 20
    texts = pd.read_csv(new)["review"]
    row, word, start, end = (frame[name][5] for name in ("row", "word", "start", "end"))
    assert texts[row][start:end] == word


def test_the_command_keeps_the_digits_of_numbers(base, tmp_path, capsys):
    clf = BertRegressor(
        base, max_length=16, epochs=1, random_state=0, verbose=0, n_threads=1, precision="float32",
        inference_precision="float32",
    ).fit(TEXTS * 4, np.arange(16) * 1e-8)
    clf.save_pretrained(tmp_path / "model")
    assert main(["explain", str(tmp_path / "model"), "--text", TEXTS[0], "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [json.loads(line)["score"] for line in lines]
    np.testing.assert_allclose(found, clf.explain(TEXTS[:1])[0].scores, rtol=1e-6)
    assert 0 < np.abs(found).max() < 1e-6


@pytest.mark.parametrize(("args", "code", "message"), [
    ([], 2, "pass either FILE or --text"),
    (["--text", "a", "new.csv"], 2, "not both"),
    (["--text", "a", "--json", "-o", "x.csv"], 2, "--json prints to stdout"),
    (["--text", "a", "--text-pair", "b", "--text-pair", "c"], 2, "pass one for each"),
    (["--text", "a", "--text-pair", "b"], 1, "pairs"),
    (["--text", "a", "--target", "no"], 1, "--target no is not known"),
    (["--text", " "], 1, "--text ' ' has no words"),
    (["--text", "a", "--n-words", "2"], 1, "--n-words 2 says how many words are masked"),
    (["--text", "a", "--method", "x"], 2, 'expected "integrated_gradients" or "occlusion"'),
    (["--text", "a", "-o", "x.png"], 1, "x.png"),
    (["--text", "a", "-o", "no/x.html"], 1, "no such folder"),
])
def test_the_command_refuses(workshop, capsys, args, code, message):
    assert explain(workshop, *args) == code
    assert message in capsys.readouterr().err


def test_it_is_public():
    assert {"Explanation", "Explanations"} <= set(bertsent.__all__)
