"""`BertEncoder`: vectors by their definition, as features, in files, and their cache."""

import json
import os
import pickle
import sqlite3
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import launch, maker, write_tiny_model
from family_models import MODELS
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_classifier import make_texts
from test_pairs import write_models

from bertsent import BertClassifier, BertEncoder, BertRegressor
from bertsent.cli import main
from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.features import encoder as module
from bertsent.model import encode_texts as encode
from bertsent.system import SilentRows

GOLDEN = Path(__file__).parent / "golden" / "vectors.npz"
TEXTS = ["a good film", "i hate it", "", "the plot is slow and the actor is dull", "a good film"]


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("families")
    write_models(directory)
    return directory


def make(model, **parameters):
    how = {"max_length": 16, "n_threads": 1, "precision": "float32"}
    return BertEncoder(model, **how | parameters)


def unit(vectors):
    exact = np.asarray(vectors, np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)


# --- the definition -------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("family", ["bert", *MODELS])
def test_vectors_are_those_of_the_definition(family, pooling, models, golden):
    texts, wanted = json.loads(str(golden["texts"])), golden[f"{family}/{pooling}"]
    how = {"pooling": pooling, "max_length": int(golden["length"]), "long_text": "head"}
    encoder = make(models / family, **how, normalize=False)
    np.testing.assert_allclose(encoder.fit_transform(texts), wanted, rtol=0, atol=1e-4)
    found = make(models / family, **how).fit_transform(texts)
    np.testing.assert_allclose(found, unit(wanted), rtol=0, atol=1e-5)
    assert np.abs(unit(golden[f"{family}/mean"]) - unit(golden[f"{family}/cls"])).max() > 0.1


def test_vectors_are_those_of_sentence_transformers(minilm_dir, golden):
    texts = json.loads(str(golden["texts"]))
    encoder = BertEncoder(minilm_dir, long_text="head", precision="float32")
    found = encoder.fit_transform(texts)
    np.testing.assert_allclose(found, golden["minilm"], rtol=0, atol=1e-4)
    assert (encoder.pooling_, encoder.max_length_) == ("mean", 256)
    close = (encoder.set_params(precision="int8").transform(texts) * found).sum(axis=1)
    assert 0.98 < close.min() < 0.99999


def test_a_text_in_windows_has_the_weighted_mean_of_their_vectors(base):
    words = "good film bad plot actor scene end time best worst poor dull slow love hate like"
    words = words.split()
    encoder = make(base, max_length=10, normalize=False).fit(TEXTS)
    parts = [" ".join(words[:8]), " ".join(words[8:])]
    whole, first, second = encoder.transform([" ".join(words), *parts])
    np.testing.assert_allclose(whole, (first + second) / 2, rtol=1e-5, atol=1e-6)
    assert not np.allclose(whole, encoder.set_params(long_text="head").transform([" ".join(words)]))


def test_neither_threads_nor_other_texts_change_a_bit(base):
    texts, _ = make_texts(60)
    one, two = make(base).fit(texts), make(base, n_threads=2).fit(texts)
    vectors = one.transform(texts)
    assert np.array_equal(vectors, two.transform(texts))
    assert np.array_equal(vectors[7:9], one.transform(texts[7:9]))
    assert np.array_equal(vectors, one.set_params(memory_limit="30MB").transform(texts))


def test_fewer_dimensions_are_the_first_ones_before_normalizing(base):
    plain = make(base, normalize=False).fit_transform(TEXTS)
    found = make(base, truncate_dim=5).fit_transform(TEXTS)
    assert found.shape == (5, 5) and found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, unit(plain[:, :5]), rtol=0, atol=1e-6)


def test_html_is_removed_on_request(base):
    plain = make(base).fit_transform(["a good film"])
    found = make(base, strip_html=True).fit_transform(["a <b>good</b><br/>film"])
    np.testing.assert_allclose(found, plain, atol=1e-6)


# --- which pooling --------------------------------------------------------------------------


def as_sentence_encoder(directory, pooling, *further):
    kinds = ["Transformer", "Pooling", *further]
    (directory / "modules.json").write_text(json.dumps([
        {"type": f"sentence_transformers.models.{kind}", "path": f"{n}_{kind}" if n else ""}
        for n, kind in enumerate(kinds)
    ]))
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return directory


def test_auto_is_the_pooling_that_the_model_was_trained_with(base, models, tiny_model_dir):
    assert make(base).fit(TEXTS).pooling_ == "mean"
    assert make(models / "bert").fit(TEXTS).pooling_ == "cls"  # a classifier that reads [CLS]
    assert make(models / "bert", pooling="mean").fit(TEXTS).pooling_ == "mean"
    sentence = as_sentence_encoder(tiny_model_dir(), {"pooling_mode_cls_token": True}, "Normalize")
    assert make(sentence).fit(TEXTS).pooling_ == "cls"


@pytest.mark.parametrize(("pooling", "further", "message"), [
    *(
        ({f"pooling_mode_{key}": True for key in keys}, [],
         r"pools in another way than by mean or \[CLS\]")
        for keys in (
            ["max_tokens"], ["mean_tokens", "max_tokens"], ["cls_token", "max_tokens"],
            ["mean_tokens", "cls_token"], ["mean_tokens", "lasttoken"], [],
        )
    ),
    ({"pooling_mode": "max"}, [], r"pools in another way than by mean or \[CLS\]"),
    ({"pooling_mode_mean_tokens": True}, ["Dense"], r"has a layer after its pooling \(Dense\)"),
])
def test_what_a_sentence_encoder_does_besides_is_refused(
    tiny_model_dir, pooling, further, message
):
    directory = as_sentence_encoder(tiny_model_dir(), pooling, *further)
    with pytest.raises(CheckpointError, match=message + ".*pooling='mean' or pooling='cls'"):
        make(directory).fit(TEXTS)
    assert make(directory, pooling="mean").fit_transform(TEXTS).shape == (5, 32)


def test_a_prompt_before_each_text_is_refused(tiny_model_dir):
    directory = as_sentence_encoder(tiny_model_dir(), {"pooling_mode_mean_tokens": True})
    for name, prompts, refused in (
        ("query", {"query": "query: "}, True), ("query", {"query": ""}, False),
        ("query", {}, False), (None, {"query": "query: "}, False),
    ):
        (directory / "config_sentence_transformers.json").write_text(
            json.dumps({"prompts": prompts, "default_prompt_name": name})
        )
        if refused:
            message = "puts the prompt 'query: ' before each text, which bertsent does not .*'mean'"
            with pytest.raises(CheckpointError, match=message):
                make(directory).fit(TEXTS)
            assert make(directory, pooling="mean").fit(TEXTS).pooling_ == "mean"
        else:
            assert make(directory).fit(TEXTS).pooling_ == "mean"


# --- parameters and errors ------------------------------------------------------------------


@pytest.mark.parametrize(("parameters", "message"), [
    ({"pooling": "max"}, 'pooling=\'max\' is not allowed; expected "auto", "mean" or "cls"'),
    ({"truncate_dim": 0}, "truncate_dim=0 is not allowed; expected None or a whole number of at"),
    ({"truncate_dim": 33}, "truncate_dim=33 is more than the 32 dimensions of the model"),
    ({"max_length": 65}, "max_length=65 is larger than the 64 positions"),
    ({"long_text": "middle"}, "long_text='middle' is not allowed"),
    ({"stride": 2, "long_text": "head"}, "stride=2 needs long_text='windows', not long_text='he"),
    ({"stride": 14}, "stride=14 leaves no room .* max_length=16; expected at most 13"),
    ({"precision": "half"}, "precision='half' is not allowed"),
    ({"cache": ""}, "cache='' is not allowed; expected None or the name of a file"),
    ({"normalize": 1}, "normalize=1 is not allowed; expected True or False"),
])
def test_parameters_are_checked(base, parameters, message):
    with pytest.raises(ValueError, match=message):
        make(base, **parameters).fit(TEXTS)


def test_parameters_are_checked_when_they_change_after_fit(base):
    encoder = make(base).fit(TEXTS)
    for name, value in (("stride", -1), ("truncate_dim", 33)):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            clone(encoder).fit(TEXTS).set_params(**{name: value}).transform(TEXTS)


def test_strides_fit_into_the_windows_of_the_model(base, data, capsys):
    frame, source, target = data
    pairs = frame.assign(answer="a reply")[["review", "answer"]]
    encoder = make(base, max_length="auto", stride=100)  # the model has 64 positions
    message = "stride=100 leaves no room for new tokens in windows of 64 .*expected at most 61"
    with pytest.raises(ValueError, match=message):
        encoder.fit(TEXTS)
    assert not hasattr(encoder, "model_")
    with pytest.raises(ValueError, match=message):
        make(base, max_length="auto").fit(TEXTS).set_params(stride=100).transform(TEXTS)
    with pytest.raises(ValueError, match="stride=40 is too large for windows over the second text"):
        make(base, max_length="auto", stride=40).fit(pairs)
    assert main(["encode", str(base), str(source), "-o", str(target), "--stride", "100"]) == 1
    assert "--stride 100 leaves no room for new tokens in windows of 64" in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize(("name", "value"), [
    ("pooling", "cls"), ("max_length", 8), ("model", "minilm"),
])
def test_what_fit_opened_cannot_be_changed_without_it(base, data, name, value):
    frame, source, target = data
    encoder = make(base).fit(TEXTS)
    kept, own = encoder.transform(TEXTS), encoder.get_params()[name]
    encoder.set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name}={value!r} was set after fit; call fit again"):
        encoder.transform(TEXTS)
    assert np.array_equal(encoder.set_params(**{name: own}).transform(TEXTS), kept)
    if name != "model":
        encoder.set_params(**{name: value}).encode_file(source, target)  # opens the model itself
        wanted = make(base, **{name: value}).fit_transform(frame["review"])
        assert np.array_equal(np.stack(pd.read_parquet(target)["vector"]), wanted)


def test_errors_name_text_column_and_model(base, tmp_path):
    encoder = make(base)
    with pytest.raises(NotFittedError):
        encoder.transform(TEXTS)
    assert not hasattr(encoder, "model_")
    with pytest.raises(ModelNotFoundError):
        make(tmp_path / "nowhere").fit(TEXTS)
    with pytest.raises(TypeError, match=r"X\[1\] is not a text: expected str, got int"):
        encoder.fit(["a", 1])
    frame = pd.DataFrame({"review": TEXTS})
    encoder.fit(frame)
    assert encoder.n_features_in_ == 1 and list(encoder.feature_names_in_) == ["review"]
    with pytest.raises(ValueError, match="X has the column 'text', but fit was given 'review'"):
        encoder.transform(frame.rename(columns={"review": "text"}))
    with pytest.raises(ValueError, match="X has pairs of texts"):
        encoder.transform(list(zip(TEXTS, TEXTS, strict=True)))
    encoder.fit(TEXTS)
    assert not hasattr(encoder, "feature_names_in_")
    assert encoder.model_._engine["hidden_size"] == 32 and encoder.tokenizer_.cls_token_id == 2
    for cache in (None, tmp_path / "vectors.db"):
        with pytest.raises(ValueError, match=r"^X\[2\]"):
            encoder.set_params(cache=cache).transform(["a", "a", "b\ud800"])


def test_pairs_are_read_together(base):
    pairs = pd.DataFrame({"question": TEXTS, "answer": TEXTS[::-1]})
    encoder = make(base).fit(pairs)
    assert encoder.n_features_in_ == 2
    found = encoder.transform(pairs)
    assert found.shape == (5, 32)
    swapped = encoder.transform(pairs[["answer", "question"]].to_numpy())
    assert not np.allclose(found[1], swapped[1])


# --- scikit-learn ---------------------------------------------------------------------------


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_vectors_beside_numbers_in_a_column_transformer(base, library):
    table = pytest.importorskip(library)
    frame = pd.DataFrame(
        {"review": TEXTS, "stars": np.arange(5.0)}, index=["e", "d", "c", "b", "a"]
    )
    given = frame if library == "pandas" else table.DataFrame(frame)
    both = ColumnTransformer([
        ("text", make(base), "review"), ("number", StandardScaler(), ["stars"]),
    ]).set_output(transform=library)
    found = both.fit_transform(given)
    assert isinstance(found, table.DataFrame) and found.shape == (5, 33)
    assert list(found.columns)[:2] == ["text__bertencoder0", "text__bertencoder1"]
    vectors = np.asarray(found)[:, :32]
    np.testing.assert_array_equal(vectors.astype(np.float32), make(base).fit_transform(TEXTS))
    if library == "pandas":
        assert list(found.index) == list(frame.index)


@pytest.mark.parametrize("library", ["default", "pandas", "polars"])
def test_a_stream_is_read_once(base, library):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("polars")
    encoder = make(base).set_output(transform=library)
    found = encoder.fit_transform(pa.table({"a": TEXTS}).to_reader())
    np.testing.assert_array_equal(np.asarray(found), make(base).fit_transform(TEXTS))
    assert list(encoder.feature_names_in_) == ["a"]


def test_a_pipeline_learns_from_vectors(base):
    texts, labels = make_texts(64)
    pipeline = make_pipeline(make(base), LogisticRegression(C=1e3)).fit(texts, labels)
    assert pipeline.score(texts, labels) > 0.9
    copy = pickle.loads(pickle.dumps(pipeline))
    assert np.array_equal(copy.predict_proba(texts), pipeline.predict_proba(texts))
    assert clone(pipeline)[0].get_params() == pipeline[0].get_params()
    assert not hasattr(clone(pipeline)[0], "pooling_")


def test_an_empty_column_has_no_vectors(base, tmp_path):
    assert make(base).fit(TEXTS).transform([]).shape == (0, 32)
    assert make(base, cache=tmp_path / "c").fit(TEXTS).transform([]).shape == (0, 32)


# --- the cache ------------------------------------------------------------------------------


@pytest.fixture
def computed(monkeypatch):
    """The texts that the model was given, one list for each call."""
    given, real = [], module.encode_texts

    def watch(model, tokenizer, texts, *others, **more):
        given.append(list(texts))
        return real(model, tokenizer, texts, *others, **more)

    monkeypatch.setattr(module, "encode_texts", watch)
    return given


def test_a_text_is_computed_once(base, tmp_path, computed):
    encoder = make(base, cache=tmp_path / "vectors.db").fit(TEXTS)
    plain = make(base).fit_transform(TEXTS)
    computed.clear()
    for _ in range(2):
        assert np.array_equal(encoder.transform(TEXTS), plain)
    assert computed == [TEXTS[:4]]  # the last one is the first
    assert np.array_equal(encoder.transform(["new", *TEXTS[::-1]])[1:], plain[::-1])
    assert computed[1:] == [["new"]]
    again = make(base, cache=tmp_path / "vectors.db", normalize=False, truncate_dim=3, n_threads=2)
    assert again.fit_transform(TEXTS).shape == (5, 3) and len(computed) == 2


@pytest.mark.parametrize("changed", [
    {"max_length": 15}, {"long_text": "head"}, {"stride": 1}, {"pooling": "cls"},
    {"precision": "int8"},
])
def test_what_changes_vectors_is_part_of_the_key(base, tmp_path, computed, changed):
    cache, changed = tmp_path / "vectors.db", {"precision": "float32"} | changed
    make(base, cache=cache, precision="float32").fit_transform(TEXTS)
    other = make(base, cache=cache, **changed).fit_transform(TEXTS)
    assert len(computed) == 2
    assert np.array_equal(other, make(base, **changed).fit_transform(TEXTS))


def test_another_model_has_other_keys(base, tmp_path, computed):
    cache = tmp_path / "vectors.db"
    make(base, cache=cache).fit_transform(TEXTS)
    other = write_tiny_model(tmp_path / "other", seed=1)
    found = make(other, cache=cache).fit_transform(TEXTS)
    assert np.array_equal(found, make(other).fit_transform(TEXTS)) and len(computed) == 3


def test_what_was_computed_before_an_interrupt_is_kept(base, tmp_path, monkeypatch, computed):
    monkeypatch.setattr(module, "_STORED_AT_ONCE", 2)
    encoder = make(base, cache=tmp_path / "vectors.db").fit(TEXTS)
    real = module.encode_texts

    def stop(model, tokenizer, texts, *others, **more):
        if len(computed) == 1:
            raise KeyboardInterrupt
        return real(model, tokenizer, texts, *others, **more)

    monkeypatch.setattr(module, "encode_texts", stop)
    with pytest.raises(KeyboardInterrupt, match="the computation of vectors was interrupted"):
        encoder.transform(TEXTS)
    monkeypatch.setattr(module, "encode_texts", real)
    encoder.transform(TEXTS)
    monkeypatch.undo()
    assert np.array_equal(encoder.transform(TEXTS), make(base).fit_transform(TEXTS))
    with sqlite3.connect(tmp_path / "vectors.db") as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (4,)


def test_the_file_contains_neither_texts_nor_pickles(base, tmp_path):
    make(base, cache=tmp_path / "vectors.db").fit_transform(TEXTS)
    content = (tmp_path / "vectors.db").read_bytes()
    assert b"film" not in content and b"numpy" not in content
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.db"]


def test_files_that_are_no_cache_are_left_alone(base, tmp_path):
    encoder = make(base).fit(TEXTS)
    (tmp_path / "text.txt").write_text("this is no database, but it is longer than a header " * 20)
    foreign = sqlite3.connect(tmp_path / "other.db")
    foreign.execute("CREATE TABLE mine (a)")
    foreign.close()
    for name, message in (
        ("text.txt", "is damaged or no cache of vectors"),
        ("other.db", "is a database of another program"),
    ):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ValueError, match=message):
            encoder.set_params(cache=tmp_path / name).transform(TEXTS)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(FileNotFoundError, match="there is no directory .*no; create it first"):
        encoder.set_params(cache=tmp_path / "no" / "vectors.db").transform(TEXTS)
    with pytest.raises(IsADirectoryError, match="is a directory; choose the name of a file in it"):
        encoder.set_params(cache=tmp_path).transform(TEXTS)


def test_a_cache_may_have_any_name(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = make(base).fit_transform(TEXTS)
    for name in (":memory:", "file:vectors.db?mode=ro", "vectors.db"):
        assert np.array_equal(make(base, cache=name).fit_transform(TEXTS), wanted)
        assert (tmp_path / name).stat().st_size


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_cache_that_may_not_be_written_is_read(base, tmp_path, monkeypatch, what, recwarn):
    folder = tmp_path / "shared"
    folder.mkdir()
    cache = folder / "vectors?.db"
    make(base, cache=cache).fit_transform(TEXTS[:3])
    content, closed = cache.read_bytes(), cache if what == "file" else folder
    closed.chmod(0o555)
    if os.access(closed, os.W_OK):  # root may write anywhere
        asked = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed and asked(
            path, mode
        ))
    encoder, known = make(base, cache=cache).fit(TEXTS), []
    monkeypatch.setattr(
        module, "encode_texts", lambda *args, **how: known.append(args[2]) or encode(*args, **how)
    )
    assert np.array_equal(encoder.transform(TEXTS[:3]), make(base).fit_transform(TEXTS[:3]))
    known.clear()
    assert not recwarn.list  # nothing would have been added
    for _ in range(2):
        assert np.array_equal(encoder.transform(TEXTS), make(base).fit_transform(TEXTS))
    assert known[0] == [TEXTS[3]] and known[2] == [TEXTS[3]]
    (warning,) = recwarn.list
    assert str(warning.message).endswith(
        "may not be written; its vectors are used, but new ones are not added"
    )
    assert cache.read_bytes() == content and list(folder.iterdir()) == [cache]
    closed.chmod(0o755)
    cache.write_bytes(b"")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="has no vectors yet, and may not be written"):
        encoder.transform(TEXTS)


def test_a_vector_of_another_size_is_damage(base, tmp_path):
    encoder = make(base, cache=tmp_path / "vectors.db").fit(TEXTS)
    encoder.transform(TEXTS)
    with sqlite3.connect(tmp_path / "vectors.db") as connection:
        connection.execute("UPDATE vectors SET vector = x'0000'")
    with pytest.raises(ValueError, match="is damaged .*another size.*; delete it"):
        encoder.transform(TEXTS)


def test_threads_and_processes_share_a_file(base, tmp_path):
    cache, texts = tmp_path / "vectors.db", [f"a film {n}" for n in range(40)]
    encoder, found, errors = make(base, cache=cache).fit(texts), {}, []

    def work(number):
        try:
            found[number] = encoder.transform(texts[number * 5 : number * 5 + 20])
        except BaseException as error:
            errors.append(error)

    code = (
        "import sys; from bertsent import BertEncoder; "
        "e = BertEncoder(sys.argv[1], max_length=16, n_threads=1, cache=sys.argv[2]); "
        "e.fit_transform([f'a film {n}' for n in range(40)])"
    )
    child = launch(
        [sys.executable, "-c", code, str(base), str(cache)],
        cwd=Path(module.__file__).parents[2],
    )
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert child.wait() == 0 and not errors
    plain = make(base).fit_transform(texts)
    for number, vectors in found.items():
        assert np.array_equal(vectors, plain[number * 5 : number * 5 + 20])
    assert np.array_equal(encoder.transform(texts), plain)


@pytest.mark.parametrize("cached", [False, True])
def test_progress_is_shown_on_request(base, tmp_path, monkeypatch, cached):
    shown = []

    class Shown(SilentRows):
        def start(self, total):
            super().start(total)
            shown.append(total)

        def part(self, part):
            shown.append(part)

    monkeypatch.setattr(module, "_STORED_AT_ONCE", 2)
    monkeypatch.setattr(
        module, "row_progress", lambda verbose: Shown() if verbose else SilentRows()
    )
    cache = tmp_path / "vectors.db" if cached else None
    encoder = make(base, verbose=1, cache=cache).fit(TEXTS)
    encoder.transform(TEXTS)
    assert shown == ([5, 0.5, 1.0] if cached else [5, 1.0])
    encoder.set_params(verbose=0).transform(TEXTS)
    assert len(shown) == 3 - (not cached)


# --- files ----------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"id": range(5), "review": TEXTS})
    frame["review"] = frame["review"].replace("", "the end")
    frame.to_csv(tmp_path / "new.csv", index=False)
    return frame, tmp_path / "new.csv", tmp_path / "vectors.parquet"


@pytest.mark.parametrize("fitted", [True, False])
def test_a_file_of_vectors_has_all_columns(base, data, fitted):
    import pyarrow.parquet

    frame, source, target = data
    encoder = make(base, truncate_dim=7)
    if fitted:
        encoder.fit(frame["review"])
    written = encoder.encode_file(source, target, chunk_rows=2)
    assert written == (5, 0) and hasattr(encoder, "pooling_") == fitted
    found = pyarrow.parquet.read_table(target)
    assert found.column_names == ["id", "review", "vector"]
    assert str(found.schema.field("vector").type.value_type) == "float"
    vectors = np.array(found["vector"].to_pylist(), np.float32)
    assert np.array_equal(vectors, make(base, truncate_dim=7).fit_transform(frame["review"]))


def test_a_file_of_pairs_and_html(base, data, tmp_path):
    frame, source, target = data
    frame.assign(answer="<b>good</b>").to_csv(source, index=False)
    encoder = make(base, strip_html=True, cache=tmp_path / "vectors.db")
    columns = {"text_column": "review", "text_pair_column": "answer"}
    encoder.encode_file(source, target, **columns)
    vectors = np.stack(pd.read_parquet(target)["vector"])
    pairs = [(text, " good ") for text in frame["review"]]
    assert np.array_equal(vectors, make(base).fit_transform(pairs))


def test_files_that_cannot_be_written(base, data):
    frame, source, target = data
    encoder = make(base)
    with pytest.raises(ValueError, match="is not a Parquet file, .* such as vectors.parquet"):
        encoder.encode_file(source, target.with_suffix(".csv"))
    with pytest.raises(TypeError, match="encode_file.*sep"):
        encoder.encode_file(source, target, sep=";")
    with pytest.raises(ValueError, match="stride=-1"):
        make(base, stride=-1).encode_file(source, target)
    frame.assign(vector=1).to_csv(source, index=False)
    with pytest.raises(ValueError, match="has a column 'vector' already"):
        encoder.encode_file(source, target)
    assert not target.exists()
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        encoder.encode_file(source, target)


def test_the_command_writes_the_same_vectors(base, data, capsys):
    frame, source, target = data
    given = ["encode", str(base), str(source), "-o", str(target), "--max-length", "16",
             "--precision", "float32"]
    assert main(given) == 0
    assert f"vectors of 5 texts written to {target}" in capsys.readouterr().err
    wanted = make(base, normalize=False, truncate_dim=4, pooling="cls")
    assert np.array_equal(
        np.stack(pd.read_parquet(target)["vector"]), make(base).fit_transform(frame["review"])
    )
    assert main(given) == 1 and "already exists; replace it with --force" in capsys.readouterr().err
    more = ["--force", "--no-normalize", "--truncate-dim", "4", "--pooling", "cls"]
    assert main([*given, *more]) == 0
    assert np.array_equal(
        np.stack(pd.read_parquet(target)["vector"]), wanted.fit_transform(frame["review"])
    )
    frame.loc[2, "review"] = None
    frame.to_csv(source, index=False)
    assert main([*given, "--force", "--missing", "skip"]) == 0
    assert "1 rows with an empty cell left out" in capsys.readouterr().err
    assert main([*given, "--force", "--stride", "20"]) == 1
    assert "--stride 20 leaves no room" in capsys.readouterr().err


# --- vectors of a fitted classifier ---------------------------------------------------------


def test_a_classifier_returns_what_its_head_reads(base, tmp_path):
    texts, labels = make_texts(24)
    clf = maker(base, inference_precision="float32")().fit(texts, labels)
    found = clf.encode(texts)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    clf.save_pretrained(tmp_path / "model")
    encoder = make(tmp_path / "model")
    assert np.array_equal(encoder.fit_transform(texts), found) and encoder.pooling_ == "cls"
    raw = clf.encode(texts, normalize=False)
    ids = clf.tokenizer_.encode_batch(texts, max_length=16)
    assert np.array_equal(raw, clf.model_.pool_packed(ids.ids, ids.offsets)[1])


def test_each_member_has_vectors_of_its_own(base):
    texts, labels = make_texts(24)
    clf = maker(base)(members=[{}, {"max_length": 12}], pooling="mean").fit(texts, labels)
    first, second = clf.encode(texts, member=0), clf.encode(texts, member=1)
    assert np.array_equal(first, clf.encode(texts)) and not np.allclose(first, second)
    for member in (2, -1, True, "1"):
        with pytest.raises(ValueError, match="expected a whole number from 0 to 1"):
            clf.encode(texts, member=member)


def test_a_regressor_has_vectors_too(base):
    texts, _ = make_texts(24)
    settings = {"max_length": 8, "epochs": 1, "random_state": 0, "verbose": 0, "n_threads": 1}
    reg = BertRegressor(base, **settings).fit(texts, np.arange(24.0))
    long = ["the film was good and the plot was bad " * 5]
    assert reg.encode(texts).shape == (24, 32)
    assert not np.allclose(
        reg.encode(long), reg.set_params(inference_long_text="head").encode(long)
    )
    with pytest.raises(ValueError, match="from 0 to 0, because there is 1 model"):
        reg.encode(texts, member=1)
    with pytest.raises(NotFittedError):
        BertClassifier().encode(texts)
