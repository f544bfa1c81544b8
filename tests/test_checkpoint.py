"""Model directories: what is read, rejected and written."""

import json
import os
import struct
import warnings

import numpy as np
import pytest
from conftest import tiny_config, tiny_weights
from safetensors.numpy import load_file, save_file

from bertsent.errors import CheckpointError, FreshWeightsWarning
from bertsent.hub import parameter_table, random_parameters, tensors, weights
from bertsent.hub.config import engine_config, label_names, read_config
from bertsent.hub.weights import load_model_directory, read_model_shape, save_model_directory
from bertsent.model import BertForSequenceClassification

WEIGHTS = "model.safetensors"
QUERY = "encoder.layer.1.attention.self.query.weight"


def load(directory, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FreshWeightsWarning)
        return load_model_directory(directory, **options)


def named(loaded):
    """Return the parameters of a loaded model by name."""
    total, table = parameter_table(loaded.config, loaded.engine)
    assert loaded.flat.shape == (total,) and loaded.flat.dtype == np.float32
    return {parameter.name: parameter.view(loaded.flat) for parameter in table}


def expected(directory):
    """Return a directory's tensors as BertForSequenceClassification names them."""
    return {
        name if name.startswith(("bert.", "classifier.")) else "bert." + name: values
        for name, values in load_file(directory / WEIGHTS).items()
    }


def rewrite(directory, change):
    """Pass the tensors of a directory through a function and store what it returns."""
    save_file(change(load_file(directory / WEIGHTS)), directory / WEIGHTS)
    return directory


def reconfigure(directory, **changes):
    config = json.loads((directory / "config.json").read_text())
    config.update(changes)
    config = {key: value for key, value in config.items() if value is not KeyError}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def write_raw(path, header, data):
    """Write a safetensors file by hand, so that it can be invalid."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_names_with_and_without_prefix(tiny_model_dir, prefix):
    directory = tiny_model_dir(classifier=3, prefix=prefix)
    loaded = load_model_directory(directory)
    values = named(loaded)
    stored = expected(directory)
    assert values.keys() == stored.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(values[name], array, err_msg=name)
    assert loaded.engine["num_labels"] == 3 and loaded.fresh == ()
    assert loaded.flat.ctypes.data % 64 == 0


def test_old_names_and_buffers(tiny_model_dir):
    directory = tiny_model_dir(classifier=2)
    stored = expected(directory)

    def age(weights):
        old = {}
        for name, values in weights.items():
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            old[name.replace("LayerNorm.bias", "LayerNorm.beta")] = values
        old["embeddings.position_ids"] = np.arange(64)[None]
        old["cls.predictions.bias"] = np.zeros(9, np.float32)
        old["cls.seq_relationship.weight"] = np.zeros((2, 32), np.float32)
        return old

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = named(load_model_directory(rewrite(directory, age)))
    for name, array in stored.items():
        np.testing.assert_array_equal(values[name], array, err_msg=name)


def test_half_precision(tiny_model_dir):
    directory = tiny_model_dir(classifier=2, dtype=np.float16)
    assert {values.dtype for values in load_file(directory / WEIGHTS).values()} == {np.dtype("f2")}
    values = named(load_model_directory(directory))
    for name, array in expected(directory).items():
        np.testing.assert_array_equal(values[name], array.astype(np.float32), err_msg=name)


def test_bfloat16(tiny_model_dir, monkeypatch):
    directory = tiny_model_dir(classifier=2)
    header, data = {}, b""
    for name, values in load_file(directory / WEIGHTS).items():
        bits = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        header[name] = {
            "dtype": "BF16", "shape": values.shape, "data_offsets": [len(data), len(data + bits)]
        }
        data += bits
    stored = expected(directory)
    write_raw(directory / WEIGHTS, header, data)
    monkeypatch.setattr(tensors, "_PIECE", 100)  # several pieces per tensor
    values = named(load_model_directory(directory))
    for name, array in stored.items():
        cut = (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
        np.testing.assert_array_equal(values[name], cut, err_msg=name)


def shard(directory, index_changes=None):
    weights = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    names = sorted(weights)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05d}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, directory / file)
        index.update(dict.fromkeys(part, file))
    index.update(index_changes or {})
    content = {"metadata": {}, "weight_map": index}
    (directory / "model.safetensors.index.json").write_text(json.dumps(content))
    return directory


def test_shards(tiny_model_dir):
    directory = tiny_model_dir(classifier=2)
    stored = expected(directory)
    values = named(load_model_directory(shard(directory)))
    for name, array in stored.items():
        np.testing.assert_array_equal(values[name], array, err_msg=name)


@pytest.mark.parametrize(
    "place",
    [
        "../other.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..", "x.bin", "a\\b", 3,
        "x" * 5000 + ".safetensors", "a\0b.safetensors",
    ],
)
def test_shards_elsewhere_are_refused(tiny_model_dir, place):
    directory = shard(tiny_model_dir(classifier=2), {QUERY: place})
    with pytest.raises(CheckpointError, match=r"index\.json") as caught:
        load(directory)
    assert len(str(caught.value)) < 500


def test_incomplete_shards(tiny_model_dir):
    extra = {"pooler.dense.extra": "model-00001-of-00002.safetensors"}
    directory = shard(tiny_model_dir(classifier=2), extra)
    with pytest.raises(CheckpointError, match=r"lacks pooler\.dense\.extra"):
        load(directory)
    (directory / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"00001-of-00002\.safetensors is missing"):
        load(directory)
    (directory / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="no weight_map"):
        load(directory)
    for content in ({"weight_map": ["a"]}, {"weight_map": {"a": ["b"]}}, {"weight_map": {"a": 1}}):
        (directory / "model.safetensors.index.json").write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=r"index\.json: weight_map"):
            load(directory)


# --- heads ----------------------------------------------------------------------------------


def test_missing_heads_are_drawn_and_said_once(tiny_model_dir):
    directory = tiny_model_dir(pooler=False, initializer_range=0.5)
    with pytest.warns(FreshWeightsWarning, match="no pooler and no classifier") as said:
        first = load_model_directory(directory, random_state=1, num_labels=4)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_model_directory(directory, random_state=1, num_labels=4)
        other = load_model_directory(directory, random_state=2, num_labels=4)
    assert first.fresh == ("pooler", "classifier")
    values = named(first)
    assert values["classifier.weight"].shape == (4, 32)
    assert 0.45 < values["bert.pooler.dense.weight"].std() < 0.55
    assert abs(values["bert.pooler.dense.weight"].mean()) < 0.05
    assert not values["bert.pooler.dense.bias"].any() and not values["classifier.bias"].any()
    np.testing.assert_array_equal(first.flat, again.flat)
    assert (named(other)["classifier.weight"] != values["classifier.weight"]).all()
    name = "bert." + QUERY
    np.testing.assert_array_equal(values[name], expected(directory)[name])


@pytest.mark.parametrize(
    "random_state", [7, np.random.default_rng(7), np.random.RandomState(7), None]
)
def test_kinds_of_random_state(tiny_model_dir, random_state):
    loaded = load(tiny_model_dir(), random_state=random_state)
    assert named(loaded)["classifier.weight"].any()


def test_classifier_of_another_number_of_classes(tiny_model_dir):
    directory = tiny_model_dir(classifier=3)
    with pytest.raises(CheckpointError, match=r"3 classes, but .* is 2; .*new_classifier=True"):
        load_model_directory(directory, num_labels=2)
    loaded = load(directory, num_labels=2, new_classifier=True)
    assert loaded.fresh == ("classifier",) and loaded.engine["num_labels"] == 2
    assert loaded.config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}
    same = load(directory, new_classifier=True)
    assert same.engine["num_labels"] == 3 and same.fresh == ("classifier",)
    stored = expected(directory)["classifier.weight"]
    assert not np.array_equal(named(same)["classifier.weight"], stored)


def test_names_of_classes(tiny_model_dir):
    directory = tiny_model_dir(classifier=2)
    config = reconfigure(directory, id2label={"1": "good", "0": "bad"}, label2id=KeyError)
    assert load(config).config["id2label"] == {"0": "bad", "1": "good"}
    loaded = load(config, id2label={0: "negative", 1: "positive"})
    assert loaded.config["id2label"] == {"0": "negative", "1": "positive"}
    assert loaded.config["label2id"] == {"negative": 0, "positive": 1}
    with pytest.raises(ValueError, match="num_labels is 3, but id2label names 2"):
        load(config, id2label=["a", "b"], num_labels=3)
    with pytest.raises(CheckpointError, match="0, 1, 2"):
        load(config, id2label={0: "a", 2: "b"})
    with pytest.raises(TypeError, match="num_labels"):
        load(config, num_labels="2")


def test_number_of_classes_from_the_configuration(tiny_model_dir):
    assert load(tiny_model_dir()).engine["num_labels"] == 2
    assert load(tiny_model_dir(num_labels=5)).engine["num_labels"] == 5
    assert load(tiny_model_dir(id2label={"0": "a", "1": "b", "2": "c"})).engine["num_labels"] == 3
    both = tiny_model_dir(num_labels=2, id2label={"0": "a", "1": "b", "2": "c"})
    with pytest.raises(CheckpointError, match="inconsistent: num_labels is 2, but .* 3"):
        load(both)
    assert load(both, id2label=["no", "yes"]).engine["num_labels"] == 2
    stored = tiny_model_dir(classifier=3)
    reconfigure(stored, id2label=["a", "b"])
    with pytest.raises(CheckpointError, match="2 classes, but the classifier in .* has 3"):
        load(stored)


@pytest.mark.parametrize("task", ["regression", "multi_label_classification"])
def test_other_tasks_are_refused(tiny_model_dir, task):
    directory = tiny_model_dir(classifier=2, problem_type=task)
    with pytest.raises(CheckpointError, match=f"{task}.*new_classifier=True"):
        load(directory)
    loaded = load(directory, new_classifier=True)
    assert loaded.config["problem_type"] == "single_label_classification"


def test_one_output_is_refused(tiny_model_dir):
    directory = tiny_model_dir(classifier=1)
    with pytest.raises(CheckpointError, match="at least 2 classes.*one output is regression"):
        load(directory)
    with pytest.raises(ValueError, match="at least 2 classes, got 1"):
        load(directory, num_labels=1)
    assert load(directory, num_labels=3, new_classifier=True).fresh == ("classifier",)


def names_of(directory, **options):
    return list(load(directory, **options).config["id2label"].values())


@pytest.mark.parametrize("key", ["num_labels", "_num_labels"])
@pytest.mark.parametrize(
    "stored, changes, names",
    [
        # transformers 2 wrote the two default names, whatever the number of classes.
        (3, {"count": 3, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, "LABEL_0 LABEL_1 LABEL_2"),
        (2, {"count": 2, "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}},
         "LABEL_0 LABEL_1"),
        # Names that agree with the weights count, whatever the number says.
        (2, {"count": 5, "id2label": {"0": "no", "1": "yes"}}, "no yes"),
        (2, {"count": "two", "id2label": {"0": "no", "1": "yes"}}, "no yes"),
        (3, {"count": 3, "id2label": None}, "LABEL_0 LABEL_1 LABEL_2"),
        (3, {"id2label": None}, "LABEL_0 LABEL_1 LABEL_2"),
        (2, {"id2label": {"0": 0, "1": 1}}, "0 1"),
        (2, {"id2label": {"0": "same", "1": "same"}}, "same same"),
        (2, {"id2label": ["a", "b"]}, "a b"),
        (2, {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}, "a b"),
        (2, {"id2label": {"0": "a", "1": "b"}, "label2id": ["nonsense"]}, "a b"),
    ],
)
def test_names_that_contradict_a_number(tiny_model_dir, key, stored, changes, names):
    changes = {key if name == "count" else name: value for name, value in changes.items()}
    directory = reconfigure(tiny_model_dir(classifier=stored), **changes)
    assert names_of(directory) == names.split()


@pytest.mark.parametrize(
    "stored, changes, said",
    [
        (3, {"num_labels": 3, "id2label": {"0": "no", "1": "yes"}}, "id2label names 2.* has 3"),
        (3, {"num_labels": 2, "id2label": None}, "num_labels is 2.* has 3"),
        (2, {"num_labels": 2**31 - 1, "id2label": None}, "num_labels is 2147483647.* has 2"),
        (2, {"id2label": {"1": "a", "2": "b"}}, "has the keys 1, 2"),
        (2, {"id2label": {"0": "a", "2": "b"}}, "has the keys 0, 2"),
        (2, {"id2label": {"0": "a", "00": "b"}}, "has the keys 0, 00"),
        (2, {"id2label": {"0": "a", "one": "b"}}, "has the keys 0, one"),
        (2, {"id2label": {"-1": "a", "0": "b"}}, "has the keys -1, 0"),
        (2, {"id2label": {"0": "a", "9" * 5000: "b"}}, "has the keys 0, 9999"),
        (2, {"id2label": {"0": "a", "1": None}}, "a name for class 1, got None"),
        (2, {"id2label": {"0": "a", "1": {"en": "b"}}}, "a name for class 1, got {"),
        (2, {"id2label": {}}, "must name the classes"),
        (2, {"id2label": "ab"}, "must name the classes"),
        (2, {"problem_type": "regression"}, "'regression' is not supported"),
        (2, {"problem_type": ["x"] * 1000}, r"\['x', .*, \.\.\.\] is not supported"),
        (1, {}, "one output is regression"),
        (1, {"num_labels": 2, "id2label": None}, "one output is regression"),
    ],
)
def test_unusable_classifiers_are_no_hindrance_to_new_ones(tiny_model_dir, stored, changes, said):
    """The message names what works: a new classifier, for which nothing of the old one is used."""
    directory = reconfigure(tiny_model_dir(classifier=stored), **changes)
    with pytest.raises(CheckpointError, match=f"{said}.*; .*pass new_classifier=True and num_lab"):
        load(directory)
    loaded = load(directory, new_classifier=True, num_labels=4)
    assert loaded.fresh == ("classifier",) and loaded.engine["num_labels"] == 4
    trained = load(directory, new_classifier=None, id2label=["bad", "good"])
    assert trained.fresh == ("classifier",) and trained.discarded[0] == "classifier.weight"
    assert list(trained.config["id2label"].values()) == ["bad", "good"]


def test_saved_classifier_is_kept_if_it_is_for_the_same_classes(tiny_model_dir):
    directory = reconfigure(tiny_model_dir(classifier=2), id2label=["bad", "good"])
    kept = load(directory, new_classifier=None, id2label=["bad", "good"])
    assert kept.fresh == () and kept.discarded == () and kept.known == ()
    for names in (["good", "bad"], ["a", "b", "c"]):
        other = load(directory, new_classifier=None, id2label=names)
        assert other.fresh == ("classifier",) and other.known == ("bad", "good")


@pytest.mark.parametrize(
    "changes",
    [
        {}, {"num_labels": 1, "id2label": None}, {"_num_labels": 7}, {"id2label": {"1": "a"}},
        {"problem_type": "regression"}, {"num_labels": 2**31 - 1, "id2label": None},
    ],
)
def test_shape_of_a_model_has_nothing_of_its_classifier(tiny_model_dir, changes):
    directory = reconfigure(tiny_model_dir(classifier=1), **changes)
    config, engine = read_model_shape(directory, 3, "mean")
    assert engine["num_labels"] == 3 and engine["pooling"] == "mean"
    model = BertForSequenceClassification.from_config(config)
    assert model.num_labels == 3 and model._engine == engine


def test_shape_of_a_model_is_that_of_its_weights(tiny_model_dir, tmp_path):
    directory = reconfigure(tiny_model_dir(), vocab_size=2**24)
    with pytest.raises(CheckpointError, match=r"asks for \(16777216, 32\)"):
        read_model_shape(directory)
    (directory / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        read_model_shape(directory)
    # A download of the tokenizer alone, which is all that some commands need.
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123abc"
    snapshot.parent.mkdir(parents=True)
    directory.rename(snapshot)
    assert read_model_shape(snapshot)[1]["vocab_size"] == 2**24


@pytest.mark.parametrize("count", [2**16 + 1, 2**31 - 1])
def test_no_names_are_made_for_a_number_without_evidence(tiny_model_dir, count):
    with pytest.raises(CheckpointError, match=f"num_labels is {count}, but neither weights nor"):
        load(tiny_model_dir(num_labels=count))
    with pytest.raises(CheckpointError, match=f"num_labels is {count}"):
        BertForSequenceClassification.from_config(tiny_config(num_labels=count))


def test_classifier_of_tokens_is_not_taken_for_one_of_texts(tiny_model_dir):
    directory = tiny_model_dir(classifier=2)
    reconfigure(directory, architectures=["BertForTokenClassification"])
    assert load(directory).fresh == ("classifier",)


def test_tensors_of_other_heads_are_mentioned(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(classifier=2),
        lambda weights: weights | {"qa_outputs.weight": np.zeros((2, 32), np.float32)},
    )
    with pytest.warns(FreshWeightsWarning, match=r"also contains qa_outputs\.weight"):
        load_model_directory(directory)


# --- disagreements --------------------------------------------------------------------------


def test_missing_tensor(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(), lambda weights: {k: v for k, v in weights.items() if k != QUERY}
    )
    with pytest.raises(CheckpointError, match=rf"lack the tensor bert\.{QUERY}$"):
        load(directory)


def test_half_of_a_head(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(classifier=2),
        lambda weights: {k: v for k, v in weights.items() if k != "classifier.bias"},
    )
    with pytest.raises(CheckpointError, match=r"lack the tensor classifier\.bias"):
        load(directory)


def test_wrong_shape(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(), lambda weights: weights | {QUERY: np.zeros((32, 31), np.float32)}
    )
    with pytest.raises(CheckpointError, match=r"query\.weight has shape \(32, 31\).*\(32, 32\)"):
        load(directory)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden_size": 64}, r"has shape \(32,\), but config.json asks for \(64,\)"),
        ({"vocab_size": 2**24}, r"word_embeddings.weight has shape .* asks for \(16777216, 32\)"),
        ({"num_hidden_layers": 3}, r"lack the tensor bert\.encoder\.layer\.2\..* and 15 more"),
        ({"num_hidden_layers": 1}, r"config.json describes has no tensor bert\..*layer\.1\."),
        ({"intermediate_size": 65}, r"intermediate\.dense\.bias has shape"),
        ({"max_position_embeddings": 65}, r"position_embeddings\.weight has shape"),
        ({"type_vocab_size": 1}, r"token_type_embeddings\.weight has shape"),
        # Beyond the limits of the engine, whose errors name the file as well.
        ({"hidden_size": 2**17}, r"config\.json: hidden_size is 131072, expected 1 to 65536"),
        ({"num_hidden_layers": 2**31 - 1}, r"config\.json: num_hidden_layers is 2147483647"),
        ({"vocab_size": 2**31 - 1}, r"config\.json: vocab_size is 2147483647"),
    ],
)
def test_config_that_disagrees_with_the_weights(tiny_model_dir, changes, message):
    with pytest.raises(CheckpointError, match=message):
        load(reconfigure(tiny_model_dir(), **changes))


def test_same_tensor_under_two_names(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(), lambda weights: weights | {"bert." + QUERY: weights[QUERY].copy()}
    )
    with pytest.raises(CheckpointError, match="twice"):
        load(directory)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(tiny_model_dir, value):
    def spoil(weights):
        weights[QUERY][3, 4] = value
        return weights

    with pytest.raises(CheckpointError, match=rf"{QUERY} contains NaN or infinite"):
        load(rewrite(tiny_model_dir(), spoil))


@pytest.mark.parametrize("dtype, name", [(np.int64, "I64"), (np.int8, "I8"), (np.bool_, "BOOL")])
def test_number_formats_that_are_not_read(tiny_model_dir, dtype, name):
    directory = rewrite(
        tiny_model_dir(), lambda weights: weights | {QUERY: weights[QUERY].astype(dtype)}
    )
    with pytest.raises(CheckpointError, match=f"stored as {name}; bertsent reads F32, F16, BF16"):
        load(directory)


def test_eight_bit_floats_are_not_read(tiny_model_dir):
    """NumPy has no such type, so the header is changed by hand."""
    directory = rewrite(
        tiny_model_dir(), lambda weights: weights | {QUERY: weights[QUERY].astype(np.uint8)}
    )
    content = (directory / WEIGHTS).read_bytes()
    changed = content.replace(b'"U8"', b'"F8_E4M3"')
    length = int.from_bytes(content[:8], "little") + len(changed) - len(content)
    (directory / WEIGHTS).write_bytes(length.to_bytes(8, "little") + changed[8:])
    with pytest.raises(CheckpointError, match=f"{QUERY} is stored as F8_E4M3; bertsent reads"):
        load(directory)


def test_double_precision_is_rounded(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(classifier=2),
        lambda weights: {
            name: values.astype(np.float64) * (1 + 1e-10) for name, values in weights.items()
        },
    )
    stored = expected(directory)
    for name, values in named(load(directory)).items():
        np.testing.assert_array_equal(values, stored[name].astype(np.float32), err_msg=name)


def test_double_precision_beyond_single_precision(tiny_model_dir):
    def spoil(weights):
        weights[QUERY] = weights[QUERY].astype(np.float64)
        weights[QUERY][3, 4] = -1e39
        return weights

    with pytest.raises(CheckpointError, match=rf"{QUERY} contains values that float32.*1e\+39"):
        load(rewrite(tiny_model_dir(), spoil))


# --- prefixes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: "_orig_mod." + name,
        lambda name: "module." + name,
        lambda name: "module._orig_mod." + name,
        lambda name: "_orig_mod.module.model." + name,
        lambda name: "model." + name,
        lambda name: "encoder." + name,
        lambda name: "0.auto_model." + name,
        # Only a part was compiled, or wrapped.
        lambda name: name.replace("bert.", "bert._orig_mod.", 1),
        lambda name: name.replace("bert.", "bert.module.", 1),
        lambda name: name.replace("layer.1.", "layer.1._checkpoint_wrapped_module."),
        lambda name: name.replace("attention.self.", "attention.self._orig_mod."),
    ],
)
@pytest.mark.parametrize("prefix", ["", "bert."])
def test_names_of_wrappers_are_left_out(tiny_model_dir, rename, prefix):
    directory = tiny_model_dir(classifier=2, prefix="bert.")
    stored = expected(directory)
    rewrite(directory, lambda weights: {
        rename(name if name.startswith("classifier") else prefix + name.removeprefix("bert.")): v
        for name, v in weights.items()
    })
    values = named(load(directory))
    assert values.keys() == stored.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(values[name], array, err_msg=name)


@pytest.mark.parametrize("prefix", ["encoder.", "model.", "bert_model.", "model.bert."])
def test_encoder_in_another_model_is_named(tiny_model_dir, prefix):
    directory = rewrite(tiny_model_dir(classifier=2, prefix="bert."), lambda weights: {
        name.replace("bert.", prefix, 1): values for name, values in weights.items()
    })
    said = rf"begin with '{prefix.removesuffix('bert.')}'.* but not that of classifier"
    with pytest.raises(CheckpointError, match=said):
        load(directory)


def test_two_encoders(tiny_model_dir):
    directory = rewrite(tiny_model_dir(), lambda weights: {
        f"{part}.{name}": values.copy()
        for part in ("query", "document") for name, values in weights.items()
    })
    with pytest.raises(CheckpointError, match="more than one encoder"):
        load(directory)


def test_tensors_of_another_kind_of_model(tiny_model_dir):
    directory = rewrite(tiny_model_dir(), lambda weights: {
        f"transformer.h.{number}.weight": values
        for number, values in enumerate(list(weights.values())[:5])
    })
    with pytest.raises(CheckpointError, match=r"other tensors, transformer\.h\.0\.weight, "):
        load(directory)
    save_file({}, directory / WEIGHTS)
    with pytest.raises(CheckpointError, match="there are no tensors at all"):
        load(directory)


# --- damaged files --------------------------------------------------------------------------


def entry(begin, end, shape, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "header, data",
    [
        pytest.param({"a": entry(0, 8, [2])}, b"1234", id="truncated"),
        pytest.param({"a": entry(0, 4, [1])}, b"12345678", id="oversized"),
        pytest.param({"a": entry(0, 4, [1]), "b": entry(2, 6, [1])}, b"123456", id="overlapping"),
        pytest.param({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, b"1234", id="same place"),
        pytest.param({"a": entry(4, 8, [1])}, b"12345678", id="gap"),
        pytest.param({"a": entry(0, 8, [3])}, b"12345678", id="other size than its shape"),
        pytest.param({"a": entry(0, 8, [2**40, 2**40])}, b"12345678", id="overflow"),
        pytest.param({"a": entry(0, 8, [1], "F99")}, b"12345678", id="unknown type"),
        pytest.param({"a": entry(8, 0, [1])}, b"12345678", id="ends before it begins"),
        pytest.param({"a": 5}, b"", id="no entry"),
        pytest.param({"a" * 5000: entry(0, 8, [3])}, b"12345678", id="long name, wrong size"),
        pytest.param([], b"", id="no object"),
    ],
)
def test_damaged_safetensors(tiny_model_dir, header, data):
    directory = tiny_model_dir()
    write_raw(directory / WEIGHTS, header, data)
    with pytest.raises(CheckpointError, match=r"safetensors is damaged or incomplete") as caught:
        load(directory)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [["F32", [1], [0, 4]], entry(0, 4, [1], {"F32": None})])
def test_what_only_the_library_reads(tiny_model_dir, value):
    directory = tiny_model_dir()
    write_raw(directory / WEIGHTS, {"a": value}, b"1234")
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        load(directory)


def test_names_that_would_fill_a_page(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(), lambda weights: weights | {"a" * 301: np.zeros(1, np.float32)}
    )
    with pytest.raises(CheckpointError, match="damaged: a tensor has a name of 301 characters"):
        load(directory)


def test_model_larger_than_memory(tiny_model_dir, monkeypatch):
    def no_memory(count):
        raise MemoryError

    monkeypatch.setattr(weights, "aligned_zeros", no_memory)
    with pytest.raises(MemoryError, match=r"has \d+,\d+ parameters, which do not fit"):
        load(tiny_model_dir(num_hidden_layers=1, vocab_size=170))


@pytest.mark.parametrize(
    "content", [b"", b"1234567", struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{"]
)
def test_no_safetensors_at_all(tiny_model_dir, content):
    directory = tiny_model_dir()
    (directory / WEIGHTS).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or incomplete"):
        load(directory)


def test_cut_at_any_length(tiny_model_dir):
    directory = tiny_model_dir(num_hidden_layers=1)
    whole = (directory / WEIGHTS).read_bytes()
    for length in np.linspace(0, len(whole) - 1, 60).astype(int):
        (directory / WEIGHTS).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            load(directory)


def test_file_cut_after_it_was_checked(tiny_model_dir):
    directory = tiny_model_dir(classifier=2)
    stored = tensors.find(directory, {})
    os.truncate(directory / WEIGHTS, os.path.getsize(directory / WEIGHTS) - 4)
    last = max(stored.values(), key=lambda tensor: tensor.offset)
    with pytest.raises(CheckpointError, match=f"ends within {last.name}"):
        tensors.read([(last, np.zeros(int(np.prod(last.shape)), np.float32))])


def test_git_lfs_pointer(tiny_model_dir):
    directory = tiny_model_dir()
    (directory / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        load(directory)


def test_pickle_is_refused_with_the_line_that_converts_it(tiny_model_dir):
    directory = tiny_model_dir()
    (directory / WEIGHTS).rename(directory / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        load(directory)
    message = str(caught.value)
    assert "pytorch_model.bin" in message and 'python -c "' in message
    line = message.splitlines()[-1].strip()
    assert str(directory) in line and "AutoModel.from_pretrained" in line
    reconfigure(directory, architectures=["BertForSequenceClassification"])
    with pytest.raises(CheckpointError, match=r"AutoModelForSequenceClassification\.from_pre"):
        load(directory)


def test_no_weights(tiny_model_dir):
    directory = tiny_model_dir()
    (directory / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        load(directory)


# --- config.json ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "gpt2"}, "'gpt2'; bertsent runs BERT"),
        ({"model_type": "t5"}, "'t5'"),
        ({"model_type": KeyError, "architectures": ["AlbertModel"]}, "'AlbertModel'"),
        ({"model_type": KeyError, "hidden_size": KeyError}, "'unknown'"),
        ({"architectures": [{}]}, "architectures must be a list"),
        ({"architectures": "BertModel"}, "architectures must be a list"),
        ({"position_embedding_type": "relative_key"}, "'relative_key' is not supported"),
        ({"is_decoder": True}, "is_decoder"),
        ({"add_cross_attention": True}, "cross-attention"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"position_embedding_type": ["absolute"] * 99}, r"type \['absolute', .*\] is not supp"),
        ({"initializer_range": 10**400}, "initializer_range must be a number"),
        ({"initializer_range": float("inf")}, "initializer_range must be a number"),
        ({"model_type": "x" * 10_000}, r"of type 'xxxxx[x.]{10,50}'"),
        ({"model_type": {"a": 1}}, "of type {'a': 1}"),
        ({"hidden_act": "g" * 10_000}, r"hidden_act 'ggg[g.]{10,50}' is not supported"),
        ({"hidden_size": "h" * 10_000}, r"hidden_size must be an integer.* 'hhh[h.]{10,50}'$"),
        ({"hidden_act": "no_such"}, "hidden_act 'no_such' is not supported; supported are gelu"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"num_attention_heads": 5}, "32 is not a multiple of num_attention_heads 5"),
        ({"num_attention_heads": 0}, "num_attention_heads must be an integer of at least 1"),
        ({"hidden_size": "32"}, "hidden_size must be an integer"),
        ({"hidden_size": True}, "hidden_size must be an integer"),
        ({"vocab_size": KeyError}, "has no vocab_size"),
        ({"vocab_size": 2**31}, "vocab_size"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be a number"),
        ({"layer_norm_eps": "1e-12"}, "layer_norm_eps must be a number"),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob"),
        ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob"),
        ({"classifier_dropout": 1}, "classifier_dropout"),
        ({"initializer_range": -1}, "initializer_range"),
        ({"pad_token_id": 10**6}, "pad_token_id 1000000 is outside the vocabulary"),
        ({"id2label": {"a": "b"}}, "id2label"),
        ({"id2label": 2}, "id2label"),
        ({"num_labels": "two"}, "num_labels"),
    ],
)
def test_configurations_that_are_refused(tiny_model_dir, changes, message):
    directory = reconfigure(tiny_model_dir(), **changes)
    with pytest.raises(CheckpointError, match=message):
        load(directory)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"a": 1', "\x00", "[" * 100_000])
def test_damaged_configuration(tiny_model_dir, content):
    directory = tiny_model_dir()
    (directory / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_config(directory)


def test_configuration_that_is_not_text(tiny_model_dir):
    directory = tiny_model_dir()
    (directory / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_config(directory)


def test_no_configuration(tmp_path):
    with pytest.raises(CheckpointError, match=r"not a model directory: it has no config\.json"):
        load(tmp_path)


def test_defaults_are_those_of_transformers():
    """The first models on the hub lack the settings that were added later."""
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99,
        "intermediate_size": 64, "max_position_embeddings": 64,
    }
    assert engine_config(sizes, 2) == sizes | {
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "classifier_dropout": 0.1,
        "num_labels": 2, "pooling": "cls", "head": "pooled", "position_offset": 0,
    }


def test_entries_reach_the_engine():
    raw = tiny_config(
        hidden_act="gelu_pytorch_tanh", classifier_dropout=0.3, hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0, layer_norm_eps=1e-5, pad_token_id=None,
    )
    engine = engine_config(raw, 7)
    assert engine["hidden_act"] == "gelu_new" and engine["classifier_dropout"] == 0.3
    assert engine["hidden_dropout_prob"] == 0.2 and engine["attention_probs_dropout_prob"] == 0.0
    assert engine["layer_norm_eps"] == 1e-5 and engine["pad_token_id"] == -1
    assert engine["num_labels"] == 7
    raw["classifier_dropout"] = None
    assert engine_config(raw, 7)["classifier_dropout"] == 0.2


def test_label_names():
    assert label_names({}) is None
    assert label_names({"num_labels": 2}) == ["LABEL_0", "LABEL_1"]
    assert label_names({"id2label": ["a", "b"]}) == ["a", "b"]
    assert label_names({"id2label": {"1": "b", "0": "a"}, "num_labels": 2}) == ["a", "b"]


def test_model_without_a_type_is_bert_if_nothing_says_otherwise(tiny_model_dir):
    assert load(reconfigure(tiny_model_dir(), model_type=KeyError)).engine["hidden_size"] == 32


# --- writing --------------------------------------------------------------------------------


def test_round_trip(tiny_model_dir, tmp_path):
    directory = tiny_model_dir(
        classifier=3, prefix="", dtype=np.float16, torch_dtype="float16", use_cache=True,
        _name_or_path="somewhere/else",
    )
    loaded = load_model_directory(directory, id2label=["bad", "so so", "good"])
    target = tmp_path / "saved"
    target.mkdir()
    save_model_directory(
        target, loaded.config, loaded.engine, loaded.flat,
        extra_files={"bertsent.json": "{}", "raw.bin": b"\x00"},
    )
    assert sorted(os.listdir(target)) == ["bertsent.json", "config.json", WEIGHTS, "raw.bin"]
    config = json.loads((target / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "bad", "1": "so so", "2": "good"}
    assert config["label2id"] == {"bad": 0, "so so": 1, "good": 2}
    assert config["problem_type"] == "single_label_classification"
    assert config["dtype"] == config["torch_dtype"] == "float32"
    assert config["use_cache"] is True and "_name_or_path" not in config
    weights = load_file(target / WEIGHTS)
    assert weights.keys() == tiny_weights(tiny_config(), classifier=3).keys()
    assert {values.dtype for values in weights.values()} == {np.dtype(np.float32)}
    text = (target / WEIGHTS).read_bytes()
    header = json.loads(text[8 : 8 + int.from_bytes(text[:8], "little")])
    assert header["__metadata__"]["format"] == "pt"
    again = load_model_directory(target)
    np.testing.assert_array_equal(again.flat, loaded.flat)
    assert again.config == loaded.config and again.engine == loaded.engine


def test_failed_write_is_an_oserror(tiny_model_dir, tmp_path):
    loaded = load(tiny_model_dir())
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(OSError, match="directory"):
        save_model_directory(tmp_path, loaded.config, loaded.engine, loaded.flat)


# --- random models --------------------------------------------------------------------------


def test_random_parameters_follow_the_rule():
    raw = tiny_config(initializer_range=0.3, pad_token_id=2)
    engine = engine_config(raw, 2)
    flat = random_parameters(raw, engine, 5)
    np.testing.assert_array_equal(flat, random_parameters(raw, engine, 5))
    for parameter in parameter_table(raw, engine)[1]:
        name, values = parameter.name, parameter.view(flat)
        if name.endswith("LayerNorm.weight"):
            assert (values == 1).all()
        elif name.endswith("bias"):
            assert (values == 0).all()
        elif "word_embeddings" in name:
            assert not values[2].any() and values[3].all()
        elif values.size > 500:
            assert 0.25 < values.std() < 0.35 and abs(values.mean()) < 0.05, name


def test_reading_minilm(minilm_dir):
    loaded = load(minilm_dir)
    assert loaded.fresh == ("classifier",) and loaded.engine["num_hidden_layers"] == 6
    values = named(loaded)
    for name, array in expected(minilm_dir).items():
        if not name.endswith("position_ids"):
            np.testing.assert_array_equal(values[name], array, err_msg=name)
