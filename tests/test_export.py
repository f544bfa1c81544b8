"""Models as ONNX graphs: other programs compute the logits and probabilities of bertsent."""

import json
import sys

import numpy as np
import pytest
from conftest import write_tiny_model
from family_models import MODELS, write_family_model
from reference import relative_buckets as reference_buckets
from test_classifier import make_texts

import bertsent
from bertsent import BertClassifier, BertForSequenceClassification, BertRegressor, Tokenizer
from bertsent.cli import main
from bertsent.export import graph as graph_module, outputs
from bertsent.export.graph import Graph, import_onnx
from bertsent.export.network import relative_buckets
from bertsent.objectives import OrdinalClassification, SingleLabelClassification

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FAMILIES = ["bert", *MODELS]
TEXTS = ["a good film , not bad at all", "slow", "it was the worst time of all , and boring",
         "the best story ever made " * 6]


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs_of(path, tokenizer, texts, pairs=None, **how):
    """Run a graph on texts that are padded on the right; return its outputs by name."""
    session = session_of(path)
    given = {"max_length": 32, "truncation": True, "padding": True} | how
    tokens = tokenizer(texts, pairs, **given) if pairs else tokenizer(texts, **given)
    tokens.setdefault("token_type_ids", np.zeros_like(tokens["input_ids"]))
    feed = {
        each.name: np.asarray(tokens[each.name]).astype(np.int64) for each in session.get_inputs()
    }
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, feed),
                    strict=True))


def properties_of(path):
    return {each.key: each.value for each in onnx.load(path).metadata_props}


@pytest.fixture(scope="module", params=FAMILIES)
def family_dir(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("family") / request.param
    if request.param == "bert":
        return write_tiny_model(directory, classifier=3, prefix="bert.", scale=0.3)
    return write_family_model(directory, request.param, 3)


@pytest.fixture(scope="module")
def fitted(base):
    """A classifier; tests must not change it."""
    clf = BertClassifier(
        base, max_length=24, epochs=1, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0,
        n_threads=1, validation_fraction=0.3, inference_precision="float32",
    )
    return clf.fit(*make_texts(60))


# --- the same numbers -----------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_logits_are_those_of_the_engine(family_dir, pooling, tmp_path):
    model = BertForSequenceClassification.from_pretrained(family_dir, n_threads=1)
    tokenizer = Tokenizer.from_pretrained(family_dir)
    key = "classifier_pooling"
    model = with_config(model, **{key: pooling})
    assert model._engine["pooling"] == pooling
    path = tmp_path / "model.onnx"
    model.export_onnx(path)
    expected = model(**tokenizer(TEXTS, max_length=32, truncation=True, padding=True))
    assert np.ptp(expected) > 0.05
    found = outputs_of(path, tokenizer, TEXTS)
    assert list(found) == ["logits"]
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-4)
    for text, row in zip(TEXTS, found["logits"], strict=True):  # without padding
        alone = outputs_of(path, tokenizer, [text])["logits"]
        np.testing.assert_allclose(alone[0], row, rtol=0, atol=1e-4)


def with_config(model, **changes):
    """Return a model with the same parameters and another configuration."""
    changed = BertForSequenceClassification.from_config(
        model.config | changes, n_threads=1, random_state=0
    )
    with changed.edit_parameters() as parameters:
        for name, values in model.parameters.items():
            parameters[name][...] = values
    return changed


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_activations(act, tiny_model_dir, tmp_path):
    directory = tiny_model_dir(classifier=2, prefix="bert.", scale=0.4, hidden_act=act)
    model = BertForSequenceClassification.from_pretrained(directory, n_threads=1)
    tokenizer = Tokenizer.from_pretrained(directory)
    model.export_onnx(tmp_path / "a.onnx")
    expected = model(**tokenizer(TEXTS, max_length=32, truncation=True, padding=True))
    found = outputs_of(tmp_path / "a.onnx", tokenizer, TEXTS)["logits"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_all_lengths_up_to_the_last_position(family_dir, tmp_path):
    model = BertForSequenceClassification.from_pretrained(family_dir, n_threads=1)
    model.export_onnx(tmp_path / "a.onnx")
    session, rng = session_of(tmp_path / "a.onnx"), np.random.default_rng(0)
    for length in (1, 2, 63, 64):
        ids = rng.integers(5, model._engine["vocab_size"], (2, length))
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if "token_type_ids" in [each.name for each in session.get_inputs()]:
            feed["token_type_ids"] = rng.integers(0, 2, ids.shape)
        expected = model(ids, None, feed.get("token_type_ids"))
        np.testing.assert_allclose(session.run(["logits"], feed)[0], expected, rtol=0, atol=1e-4)


def test_padding_on_the_left_keeps_the_positions_of_columns(family_dir, tmp_path):
    # As bertsent and transformers do; a padding token of RoBERTa is not counted.
    model = BertForSequenceClassification.from_pretrained(family_dir, n_threads=1)
    if model._engine["pooling"] == "cls":
        model = with_config(model, classifier_pooling="mean")
    model.export_onnx(tmp_path / "a.onnx")
    session = session_of(tmp_path / "a.onnx")
    ids = np.random.default_rng(0).integers(5, model._engine["vocab_size"], (1, 12))
    padded = np.concatenate([np.full((1, 3), model._engine["pad_token_id"]), ids], axis=1)
    mask = np.repeat([[0, 1]], [3, 12], axis=1)
    feed = {"input_ids": padded, "attention_mask": mask}
    if "token_type_ids" in [each.name for each in session.get_inputs()]:
        feed["token_type_ids"] = np.zeros_like(padded)
    found = session.run(["logits"], feed)[0]
    if model._engine.get("positions_skip_padding"):
        np.testing.assert_allclose(found, model(ids), rtol=0, atol=1e-4)
    else:
        assert abs(found - model(ids)).max() > 1e-4


def test_buckets_of_distances_are_those_of_the_twin():
    distance = np.arange(600) - np.arange(600)[:, None]
    assert np.array_equal(relative_buckets(distance), reference_buckets(600))


def test_openvino_computes_the_same(family_dir, tmp_path):
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    model = BertForSequenceClassification.from_pretrained(family_dir, n_threads=1)
    tokenizer = Tokenizer.from_pretrained(family_dir)
    model.export_onnx(tmp_path / "a.onnx")
    compiled = openvino.Core().compile_model(
        str(tmp_path / "a.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for texts in (TEXTS, TEXTS[:1]):
        tokens = tokenizer(texts, max_length=32, truncation=True, padding=True)
        expected = model(**tokens)
        tokens.setdefault("token_type_ids", np.zeros_like(tokens["input_ids"]))
        names = [each.any_name for each in compiled.inputs]
        found = compiled({name: np.asarray(tokens[name]).astype(np.int64) for name in names})
        np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-4)


# --- int8 -----------------------------------------------------------------------------------


def test_int8_is_near_and_does_not_depend_on_the_batch(family_dir, tmp_path):
    model = BertForSequenceClassification.from_pretrained(family_dir, n_threads=1)
    tokenizer = Tokenizer.from_pretrained(family_dir)
    model.export_onnx(tmp_path / "a.onnx", int8=True)
    exact = model(**tokenizer(TEXTS, max_length=32, truncation=True, padding=True))
    found = outputs_of(tmp_path / "a.onnx", tokenizer, TEXTS)["logits"]
    error = abs(found - exact).max()
    assert 1e-5 < error < 0.1 * np.ptp(exact)
    for text, row in zip(TEXTS, found, strict=True):
        alone = outputs_of(tmp_path / "a.onnx", tokenizer, [text])["logits"]
        # The last bits of float32 can move a number to the next step of int8.
        np.testing.assert_allclose(alone[0], row, rtol=0, atol=0.5 * error)


def test_int8_weights_are_those_of_the_engine(tiny_model_dir, tmp_path):
    from safetensors.numpy import load_file

    model = BertForSequenceClassification.from_pretrained(tiny_model_dir(classifier=2), n_threads=1)
    model.export_onnx(tmp_path / "a.onnx", int8=True)
    model.save_pretrained(tmp_path / "saved", int8=True)
    stored = load_file(tmp_path / "saved" / "model.int8.safetensors")
    arrays = {
        each.name: onnx.numpy_helper.to_array(each)
        for each in onnx.load(tmp_path / "a.onnx").graph.initializer
    }
    name = "bert.encoder.layer.1.intermediate.dense.weight"
    rows = arrays[name].T.astype(np.int16) - 128
    assert np.array_equal(rows.ravel(), stored[name].ravel())
    assert properties_of(tmp_path / "a.onnx")["precision"] == "int8"


# --- classifiers ----------------------------------------------------------------------------


def test_a_classifier_has_logits_and_probabilities(fitted, tmp_path):
    fitted.export_onnx(tmp_path / "out")
    texts = make_texts(12, seed=3)[0]
    tokenizer = Tokenizer.from_pretrained(tmp_path / "out")
    found = outputs_of(tmp_path / "out" / "model.onnx", tokenizer, texts, max_length=24)
    assert list(found) == ["logits", "probabilities"]
    np.testing.assert_allclose(
        found["probabilities"], fitted.predict_proba(texts), rtol=0, atol=1e-4
    )


def test_the_temperature_is_in_the_probabilities(fitted, tmp_path):
    from sklearn.base import clone

    assert fitted.calibration_ != 1.0
    sure = clone(fitted).set_params(calibrated=True)
    sure._fitted = fitted._fitted
    sure.export_onnx(tmp_path / "a.onnx")
    texts = make_texts(12, seed=3)[0]
    found = outputs_of(tmp_path / "a.onnx", fitted.tokenizer_, texts, max_length=24)
    probabilities = sure.predict_proba(texts)
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=0, atol=1e-4)
    assert abs(probabilities - fitted.predict_proba(texts)).max() > 1e-6
    assert json.loads(properties_of(tmp_path / "a.onnx")["temperature"]) == [fitted.calibration_]


def test_several_labels(make, tmp_path):
    texts, labels = make_texts(40)
    y = np.array([[label == labels[0], len(text) % 2] for text, label in zip(
        texts, labels, strict=True)], dtype=int)
    clf = make(
        label_threshold=0.25, validation_fraction=0.3, calibrated=True,
        inference_precision="float32",
    ).fit(texts, y)
    clf.export_onnx(tmp_path / "a.onnx")
    found = outputs_of(tmp_path / "a.onnx", clf.tokenizer_, texts, max_length=16)
    np.testing.assert_allclose(
        found["probabilities"], clf.predict_proba(texts), rtol=0, atol=1e-4
    )
    properties = properties_of(tmp_path / "a.onnx")
    assert properties["task"] == "multi_label_classification"
    decision = json.loads(properties["decision"])
    assert decision["thresholds"] == [0.25, 0.25]
    chosen = found["probabilities"] >= np.array(decision["thresholds"])
    assert np.array_equal(chosen, clf.predict(texts))


@pytest.mark.parametrize("members", [1, 2])
def test_numbers_are_in_their_unit(base, members, tmp_path):
    texts, _ = make_texts(40)
    y = np.array([[1000.0 * len(text), -len(text)] for text in texts])
    reg = BertRegressor(
        base, max_length=16, epochs=1, batch_size=8, learning_rate=2e-3, random_state=0, verbose=0,
        n_threads=1, members=members, inference_precision="float32",
    ).fit(texts, y)
    reg.export_onnx(tmp_path / "a.onnx")
    found = outputs_of(tmp_path / "a.onnx", reg.tokenizer_, texts, max_length=16)
    assert list(found) == ["logits"]
    np.testing.assert_allclose(found["logits"], reg.predict(texts), rtol=1e-5)
    assert properties_of(tmp_path / "a.onnx")["task"] == "regression"


@pytest.mark.parametrize("several", [False, True], ids=["classes", "labels"])
def test_members_vote_in_one_graph(make, several, tmp_path):
    texts, labels = make_texts(40)
    y = np.array([[label == labels[0], len(text) % 2] for text, label in zip(
        texts, labels, strict=True)], dtype=int) if several else labels
    clf = make(members=2).fit(texts, y)
    clf.export_onnx(tmp_path / "a.onnx")
    found = outputs_of(tmp_path / "a.onnx", clf.tokenizer_, texts, max_length=16)
    np.testing.assert_allclose(
        found["probabilities"], clf.predict_proba(texts), rtol=0, atol=1e-4
    )
    if several:
        np.testing.assert_allclose(
            found["logits"], clf.decision_function(texts), rtol=0, atol=1e-4
        )
    assert properties_of(tmp_path / "a.onnx")["members"] == "2"


def test_pairs(make, tmp_path):
    texts, labels = make_texts(40)
    pairs = list(zip(texts, texts[::-1], strict=True))
    clf = make(max_length=32).fit(pairs, labels)
    clf.export_onnx(tmp_path / "a.onnx")
    found = outputs_of(tmp_path / "a.onnx", clf.tokenizer_, texts, texts[::-1])
    np.testing.assert_allclose(
        found["probabilities"], clf.predict_proba(pairs), rtol=0, atol=1e-4
    )
    assert properties_of(tmp_path / "a.onnx")["pairs"] == "true"


# --- files ----------------------------------------------------------------------------------


def test_a_directory_is_what_other_programs_expect(fitted, tmp_path):
    fitted.export_onnx(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "model.onnx", "config.json", "tokenizer.json", "tokenizer_config.json",
        "special_tokens_map.json",
    }
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert set(config["id2label"].values()) == set(fitted.classes_)
    # A tokenizer that truncates reads as much as the model was trained on.
    tokenizer = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert tokenizer["model_max_length"] == 24 == Tokenizer.from_pretrained(
        tmp_path / "out").model_max_length


def test_the_graph_says_what_it_is(fitted, tmp_path):
    fitted.export_onnx(tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    assert (model.producer_name, model.producer_version) == ("bertsent", bertsent.__version__)
    assert model.ir_version == 8
    properties = properties_of(tmp_path / "a.onnx")
    assert json.loads(properties["labels"]) == fitted.classes_.tolist()
    assert properties == {
        "bertsent_version": bertsent.__version__, "task": "single_label_classification",
        "labels": properties["labels"], "max_length": "24", "precision": "float32",
        "members": "1", "temperature": "null", "decision": "{}", "long_text": "windows",
        "stride": "0", "pairs": "false", "strip_html": "false",
    }
    assert [each.name for each in model.graph.input] == [
        "input_ids", "attention_mask", "token_type_ids",
    ]


def test_the_same_model_gives_the_same_bytes(fitted, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        fitted.export_onnx(tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_nothing_is_replaced_unless_told(fitted, tmp_path):
    fitted.export_onnx(tmp_path / "out")
    fitted.export_onnx(tmp_path / "a.onnx")
    for path in ("out", "a.onnx"):
        with pytest.raises(FileExistsError, match="overwrite=True"):
            fitted.export_onnx(tmp_path / path)
        fitted.export_onnx(tmp_path / path, overwrite=True, int8=True)
    assert properties_of(tmp_path / "out" / "model.onnx")["precision"] == "int8"


def test_a_saved_model_is_not_mixed_with_an_export(fitted, tmp_path):
    fitted.save_pretrained(tmp_path / "saved")
    before = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="contains a saved model"):
            fitted.export_onnx(tmp_path / "saved", overwrite=overwrite)
    fitted.export_onnx(tmp_path / "saved" / "model.onnx")  # the graph alone may be there
    (tmp_path / "saved" / "model.onnx").unlink()
    assert {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()} == before


@pytest.mark.parametrize("weights, said", [
    ("pytorch_model.bin", "a saved model"), ("model-00001-of-00002.safetensors", "a saved model"),
    ("tf_model.h5", "a saved model"), ("flax_model.msgpack", "a saved model"),
    (None, "config.json, but no model.onnx"),
])
def test_a_model_of_another_program_is_never_replaced(fitted, tmp_path, weights, said):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("config.json", "tokenizer_config.json", "vocab.txt", weights):
        if name:
            (out / name).write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=f"contains {said}.*choose another directory"):
            fitted.export_onnx(out, overwrite=overwrite)
    assert all(path.read_text() == "{}" for path in out.iterdir())
    assert not (out / "model.onnx").exists()


@pytest.mark.parametrize("part, side", [("head", "right"), ("tail", "left")])
def test_the_tokenizer_cuts_texts_where_the_model_does(make, tmp_path, part, side):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    clf = make(inference_long_text=part, inference_precision="float32").fit(*make_texts(40))
    clf.export_onnx(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["truncation_side"] == side
    tokenizer = tokenizers.Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    tokenizer.enable_truncation(config["model_max_length"], direction=config["truncation_side"])
    tokens = tokenizer.encode_batch(texts := ["good film " + "slow " * 30 + "boring hate"])
    given = {"input_ids": [each.ids for each in tokens],
             "attention_mask": [each.attention_mask for each in tokens],
             "token_type_ids": [each.type_ids for each in tokens]}
    session = session_of(tmp_path / "out" / "model.onnx")
    feed = {each.name: np.array(given[each.name]) for each in session.get_inputs()}
    found = session.run(["probabilities"], feed)[0]
    np.testing.assert_allclose(found, clf.predict_proba(texts), rtol=0, atol=1e-4)


def test_the_metadata_say_that_html_is_removed(make, tmp_path):
    make(strip_html=True).fit(*make_texts(40)).export_onnx(tmp_path / "a.onnx")
    assert properties_of(tmp_path / "a.onnx")["strip_html"] == "true"


@pytest.mark.parametrize("name", ["out", "a.onnx"])
def test_a_failure_leaves_nothing(fitted, name, tmp_path, monkeypatch):
    from bertsent.files import atomic

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_sync_tree", full)
    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="cannot write"):
        fitted.export_onnx(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# --- what is refused ------------------------------------------------------------------------


def test_without_onnx_one_line_says_what_to_install(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'bertsent\[onnx\]'"):
        fitted.export_onnx(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_words_are_refused(make, tmp_path):
    clf = make(words=True).fit(*make_texts(40))
    with pytest.raises(ValueError, match=r"words=True cannot be exported.*token ids"):
        clf.export_onnx(tmp_path / "out")


def test_members_that_read_different_parts_are_refused(make, tmp_path):
    clf = make(members=[{"max_length": 8}, {"max_length": 16}]).fit(*make_texts(40))
    with pytest.raises(ValueError, match="different parts of a text.*max_length"):
        clf.export_onnx(tmp_path / "out")


def test_an_objective_that_no_graph_knows_is_refused(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(SingleLabelClassification, "link", None)
    with pytest.raises(ValueError, match="chooses one of several classes cannot be exported"):
        fitted.export_onnx(tmp_path / "out")


@pytest.mark.parametrize("int8, advice", [(False, "use int8=True"), (True, "fewer members")])
def test_what_is_too_large_for_a_file_is_refused(fitted, int8, advice, tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "LARGEST", 10_000)
    with pytest.raises(ValueError, match=f"an ONNX file can hold 2.1 GB.*{advice}"):
        fitted.export_onnx(tmp_path / "out", int8=int8)
    assert list(tmp_path.iterdir()) == []


def test_the_size_of_an_int8_graph_is_known(fitted, tmp_path, monkeypatch):
    fitted.export_onnx(tmp_path / "a.onnx", int8=True)
    size = (tmp_path / "a.onnx").stat().st_size
    monkeypatch.setattr(outputs, "LARGEST", size)
    fitted.export_onnx(tmp_path / "b.onnx", int8=True)
    assert size < fitted.model_._flat.nbytes


def test_an_unfitted_classifier_is_refused(make, tmp_path):
    with pytest.raises(AttributeError, match="not fitted"):
        make().export_onnx(tmp_path / "out")


def test_constants_are_stored_once():
    graph = Graph()
    assert graph.constant(1.0) == graph.constant(1.0) != graph.constant([1.0])
    assert graph.integers(1) != graph.constant(1, np.int64)
    assert import_onnx() is onnx and graph_module.OPSET == 17


# --- the command ----------------------------------------------------------------------------


def test_the_command_exports(fitted, tmp_path, capsys):
    saved, out = tmp_path / "saved", tmp_path / "out"
    fitted.save_pretrained(saved)
    arguments = ["export", str(saved), "--output", str(out)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"the model is in {out}\n"
    texts = make_texts(8, seed=5)[0]
    found = outputs_of(out / "model.onnx", fitted.tokenizer_, texts, max_length=24)
    np.testing.assert_allclose(
        found["probabilities"], fitted.predict_proba(texts), rtol=0, atol=1e-4
    )
    assert main(arguments) == 1
    assert "replace these files with --force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--int8", "--decision-threshold", "0.8"]) == 0
    properties = properties_of(out / "model.onnx")
    assert properties["precision"] == "int8"
    assert json.loads(properties["decision"]) == {"threshold": 0.8}


def test_the_metadata_say_how_ordered_classes_are_predicted():
    ordered = OrdinalClassification.learn([1, 2, 3], 3)[0]
    assert ordered.link == "softmax"
    # What a program does that reads docs/export.md.
    logits = np.random.default_rng(0).normal(0.0, 2.0, (200, 3)).astype(np.float32)
    costs = np.array(ordered.decision["cost_matrix"])
    predicted = (ordered.predict_proba(logits) @ costs).argmin(axis=1)
    assert np.array_equal(predicted, ordered.answer(logits))
    assert (predicted != logits.argmax(axis=1)).any()


def test_costs_are_in_the_metadata(fitted, tmp_path):
    from sklearn.base import clone

    careful = clone(fitted).set_params(cost_matrix=[[0, 5], [1, 0]])
    careful._fitted = fitted._fitted
    careful.export_onnx(tmp_path / "a.onnx")
    decision = json.loads(properties_of(tmp_path / "a.onnx")["decision"])
    assert decision == {"cost_matrix": [[0.0, 5.0], [1.0, 0.0]]}
