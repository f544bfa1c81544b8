"""Model directories: what is read, what is refused and how, what is written."""

import json
import os
import struct
import warnings

import numpy as np
import pytest
from conftest import tiny_config, tiny_weights
from safetensors.numpy import load_file, save_file

from bertsent import checkpoint, tensors
from bertsent.checkpoint import load_checkpoint, random_parameters, save_checkpoint
from bertsent.config import engine_config, label_names, read_config
from bertsent.errors import CheckpointError, FreshWeightsWarning

WEIGHTS = "model.safetensors"
QUERY = "encoder.layer.1.attention.self.query.weight"


def load(directory, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FreshWeightsWarning)
        return load_checkpoint(directory, **options)


def named(loaded):
    """Return the parameters of a checkpoint by name."""
    total, table = checkpoint._table(loaded.engine)
    assert loaded.flat.shape == (total,) and loaded.flat.dtype == np.float32
    return {
        name: loaded.flat[offset : offset + int(np.prod(shape))].reshape(shape)
        for name, shape, offset, *_ in table
    }


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
    """Write a safetensors file by hand, so that it can be wrong."""
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_names_with_and_without_prefix(tiny_model_dir, prefix):
    directory = tiny_model_dir(classifier=3, prefix=prefix)
    loaded = load_checkpoint(directory)
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
        values = named(load_checkpoint(rewrite(directory, age)))
    for name, array in stored.items():
        np.testing.assert_array_equal(values[name], array, err_msg=name)


def test_half_precision(tiny_model_dir):
    directory = tiny_model_dir(classifier=2, dtype=np.float16)
    assert {values.dtype for values in load_file(directory / WEIGHTS).values()} == {np.dtype("f2")}
    values = named(load_checkpoint(directory))
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
    monkeypatch.setattr(tensors, "_PIECE", 100)  # several pieces a tensor
    values = named(load_checkpoint(directory))
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
    values = named(load_checkpoint(shard(directory)))
    for name, array in stored.items():
        np.testing.assert_array_equal(values[name], array, err_msg=name)


@pytest.mark.parametrize(
    "place",
    ["../other.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..", "x.bin", "a\\b", 3],
)
def test_shards_elsewhere_are_refused(tiny_model_dir, place):
    directory = shard(tiny_model_dir(classifier=2), {QUERY: place})
    with pytest.raises(CheckpointError, match=r"index\.json"):
        load(directory)


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


# --- heads ----------------------------------------------------------------------------------


def test_missing_heads_are_drawn_and_said_once(tiny_model_dir):
    directory = tiny_model_dir(pooler=False, initializer_range=0.5)
    with pytest.warns(FreshWeightsWarning, match="no pooler and no classifier") as said:
        first = load_checkpoint(directory, random_state=1, num_labels=4)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_checkpoint(directory, random_state=1, num_labels=4)
        other = load_checkpoint(directory, random_state=2, num_labels=4)
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
    with pytest.raises(CheckpointError, match=r"3 classes, but 2 .* new_classifier=True"):
        load_checkpoint(directory, num_labels=2)
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
    with pytest.raises(ValueError, match="num_labels is 3 but id2label names 2"):
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
    with pytest.raises(CheckpointError, match="disagrees with itself"):
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
    with pytest.raises(CheckpointError, match="at least 2 classes"):
        load(tiny_model_dir(classifier=1))


def test_classifier_of_tokens_is_not_taken_for_one_of_texts(tiny_model_dir):
    directory = tiny_model_dir(classifier=2)
    reconfigure(directory, architectures=["BertForTokenClassification"])
    assert load(directory).fresh == ("classifier",)


def test_tensors_of_other_heads_are_mentioned(tiny_model_dir):
    directory = rewrite(
        tiny_model_dir(classifier=2),
        lambda weights: weights | {"qa_outputs.weight": np.zeros((2, 32), np.float32)},
    )
    with pytest.warns(FreshWeightsWarning, match=r"also holds qa_outputs\.weight"):
        load_checkpoint(directory)


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
        ({"num_hidden_layers": 1}, r"layer\.1\..* has no place"),
        ({"intermediate_size": 65}, r"intermediate\.dense\.bias has shape"),
        ({"max_position_embeddings": 65}, r"position_embeddings\.weight has shape"),
        ({"type_vocab_size": 1}, r"token_type_embeddings\.weight has shape"),
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

    with pytest.raises(CheckpointError, match=rf"{QUERY} holds NaN or infinite"):
        load(rewrite(tiny_model_dir(), spoil))


@pytest.mark.parametrize("dtype, name", [(np.float64, "F64"), (np.int8, "I8")])
def test_number_formats_that_are_not_read(tiny_model_dir, dtype, name):
    directory = rewrite(
        tiny_model_dir(), lambda weights: weights | {QUERY: weights[QUERY].astype(dtype)}
    )
    with pytest.raises(CheckpointError, match=f"stored as {name}; bertsent reads F32, F16, BF16"):
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
        pytest.param([], b"", id="no object"),
    ],
)
def test_damaged_safetensors(tiny_model_dir, header, data):
    directory = tiny_model_dir()
    write_raw(directory / WEIGHTS, header, data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or incomplete"):
        load(directory)


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
        ({"model_type": "roberta"}, "'roberta'; bertsent runs BERT models"),
        ({"model_type": "distilbert"}, "'distilbert'"),
        ({"model_type": KeyError, "architectures": ["RobertaModel"]}, "'RobertaModel'"),
        ({"model_type": KeyError, "hidden_size": KeyError}, "'unknown'"),
        ({"architectures": [{}]}, "architectures must be a list"),
        ({"architectures": "BertModel"}, "architectures must be a list"),
        ({"position_embedding_type": "relative_key"}, "'relative_key' is not supported"),
        ({"is_decoder": True}, "is_decoder"),
        ({"add_cross_attention": True}, "cross-attention"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"hidden_act": "swish"}, "hidden_act 'swish' is not supported; supported are gelu"),
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
    with pytest.raises(CheckpointError, match=r"no model directory: it has no config\.json"):
        load(tmp_path)


def test_defaults_are_those_of_transformers():
    """The first checkpoints on the hub leave out what later became configurable."""
    sizes = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99,
        "intermediate_size": 64, "max_position_embeddings": 64,
    }
    assert engine_config(sizes, 2) == sizes | {
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "classifier_dropout": 0.1,
        "num_labels": 2, "pooling": "cls",
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
    loaded = load_checkpoint(directory, id2label=["bad", "so so", "good"])
    target = tmp_path / "saved"
    target.mkdir()
    save_checkpoint(
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
    assert header["__metadata__"] == {"format": "pt"}
    again = load_checkpoint(target)
    np.testing.assert_array_equal(again.flat, loaded.flat)
    assert again.config == loaded.config and again.engine == loaded.engine


def test_failed_write_is_an_oserror(tiny_model_dir, tmp_path):
    loaded = load(tiny_model_dir())
    (tmp_path / WEIGHTS).mkdir()
    with pytest.raises(OSError, match="directory"):
        save_checkpoint(tmp_path, loaded.config, loaded.engine, loaded.flat)


# --- random models --------------------------------------------------------------------------


def test_random_parameters_follow_the_rule():
    raw = tiny_config(initializer_range=0.3, pad_token_id=2)
    engine = engine_config(raw, 2)
    flat = random_parameters(engine, raw, 5)
    np.testing.assert_array_equal(flat, random_parameters(engine, raw, 5))
    for name, shape, offset, *_ in checkpoint._table(engine)[1]:
        values = flat[offset : offset + int(np.prod(shape))].reshape(shape)
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
