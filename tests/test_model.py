"""The bare model: batches, gradients, parameters, pickles, directories."""

import copy
import json
import os
import pickle
import threading
import warnings

import numpy as np
import pytest
from cases import role_of
from conftest import tiny_config
from reference import Bert
from safetensors.numpy import load_file

from bertsent import _core
from bertsent.errors import CheckpointError, FreshWeightsWarning, ModelNotFoundError
from bertsent.files import atomic
from bertsent.hub.config import engine_config
from bertsent.model import batch
from bertsent.model.bert import BertForSequenceClassification

CONFIG = engine_config(tiny_config(), 3)


@pytest.fixture
def model(tiny_model_dir):
    return BertForSequenceClassification.from_pretrained(tiny_model_dir(classifier=3), n_threads=1)


def random_batch(seed=0, rows=5, columns=12):
    """Return ids, a mask of rows of several lengths, and token types."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, CONFIG["vocab_size"], (rows, columns))
    mask = (np.arange(columns) < rng.integers(1, columns + 1, rows)[:, None]).astype(np.int64)
    mask[0] = 1
    return ids, mask, rng.integers(0, 2, (rows, columns))


def twin(model):
    return Bert(model._engine, {role_of(name): v for name, v in model.parameters.items()})


def packed(ids, mask, types):
    return batch.pack(ids, mask, types, CONFIG)._asdict()


# --- packing --------------------------------------------------------------------------------


def test_padding_is_left_out():
    ids = [[2, 7, 8, 3], [2, 9, 3, 0], [2, 0, 0, 0]]
    mask = [[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]
    result = batch.pack(ids, mask, None, CONFIG)
    assert result.ids.tolist() == [2, 7, 8, 3, 2, 9, 3, 2]
    assert result.positions.tolist() == [0, 1, 2, 3, 0, 1, 2, 0]
    assert result.cu_seqlens.tolist() == [0, 4, 7, 8]
    assert result.types is None
    assert result.ids.dtype == result.positions.dtype == np.int32
    assert result.cu_seqlens.dtype == np.int64


def test_holes_keep_the_positions_of_their_columns():
    ids = [[2, 5, 6, 7, 8], [2, 0, 0, 6, 7]]
    mask = np.array([[1, 0, 1, 0, 1], [1, 0, 0, 1, 1]], dtype=bool)
    types = [[0, 1, 1, 0, 1], [1, 1, 0, 0, 1]]
    result = batch.pack(ids, mask, types, CONFIG)
    assert result.ids.tolist() == [2, 6, 8, 2, 6, 7]
    assert result.positions.tolist() == [0, 2, 4, 0, 3, 4]
    assert result.types.tolist() == [0, 1, 1, 1, 0, 1]
    assert result.cu_seqlens.tolist() == [0, 3, 6]


def test_without_a_mask_all_columns_count():
    result = batch.pack([[2, 0, 3]], None, None, CONFIG)
    assert result.ids.tolist() == [2, 0, 3]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.uint64, np.float32, bool, list])
def test_kinds_of_mask(kind):
    mask = [[1, 1, 0]] if kind is list else np.array([[1, 1, 0]], dtype=kind)
    assert batch.pack(np.array([[2, 3, 0]], np.uint16), mask, None, CONFIG).ids.tolist() == [2, 3]


@pytest.mark.parametrize(
    "ids, mask, types, error, message",
    [
        ([[2, 3], [2, 3]], [[1, 1], [0, 0]], None, ValueError, "row 1 has no token"),
        ([[2, 3], [0, 2]], [[1, 1], [0, 1]], None, ValueError, "row 1 masks its first column"),
        ([[2, 3]], [[1, 2]], None, ValueError, r"attention_mask\[0, 1\] is 2; it must be 1"),
        ([[2, 3]], [[1, -1]], None, ValueError, r"attention_mask\[0, 1\] is -1"),
        ([[2, 3]], [[1, 0.5]], None, ValueError, r"attention_mask\[0, 1\] is 0.5"),
        ([[2, 3]], [[1, np.nan]], None, ValueError, r"attention_mask\[0, 1\] is nan"),
        ([[2, 3]], [["1", "1"]], None, TypeError, "attention_mask must be numbers"),
        ([[2, 3]], [[1, 1, 1]], None, ValueError, r"attention_mask must have the shape .*\(1, 2\)"),
        ([[2, 3]], [1, 1], None, ValueError, "attention_mask must have the shape"),
        ([[2, 3]], [[1, 1], [1]], None, ValueError, "attention_mask must have the shape"),
        ([[2, 170]], None, None, ValueError, r"input_ids\[0, 1\] is 170.*170 entries, 0 to 169"),
        ([[2, -100]], None, None, ValueError, r"input_ids\[0, 1\] is -100"),
        ([[2, 2**40]], None, None, ValueError, r"input_ids\[0, 1\] is 1099511627776"),
        ([[2.0, 3.0]], None, None, TypeError, "input_ids must be integers, got float64"),
        ([[True, False]], None, None, TypeError, "input_ids must be integers, got bool"),
        ([2, 3], None, None, ValueError, r"shape \(batch, length\).*input_ids\[None, :\]"),
        ([[[2, 3]]], None, None, ValueError, r"shape \(batch, length\)"),
        ([[2, 3], [2]], None, None, ValueError, "rows differ in length"),
        ([["a", "b"]], None, None, TypeError, "input_ids must be integers"),
        ("a text", None, None, ValueError, "input_ids"),
        (np.zeros((2, 0), int), None, None, ValueError, "no columns"),
        (np.zeros((2, 0), int), np.zeros((2, 0)), None, ValueError, "row 0 has no token"),
        ([[2, 3]], None, [[0, 2]], ValueError, r"token_type_ids\[0, 1\] is 2.*2 token types"),
        ([[2, 3]], None, [[0]], ValueError, "token_type_ids must have the shape"),
        ([[2, 3]], None, [[0.0, 0.0]], TypeError, "token_type_ids must be integers"),
        ([[2] * 65], None, None, ValueError, "row 0 .* column 64, .* 64 positions; .*length=64"),
    ],
)
def test_batches_that_are_refused(ids, mask, types, error, message):
    with pytest.raises(error, match=message):
        batch.pack(ids, mask, types, CONFIG)


def test_a_mask_with_holes_is_refused_where_distances_matter():
    """The attention of MPNet depends on the distance of two tokens in the text."""
    ids, mask = [[2, 3, 4], [2, 3, 4]], [[1, 1, 0], [1, 0, 1]]
    assert batch.pack(ids, mask, None, CONFIG).ids.tolist() == [2, 3, 2, 4]
    with pytest.raises(ValueError, match="attention_mask: row 1 has 0 between tokens; mask padd"):
        batch.pack(ids, mask, None, CONFIG | {"relative_bias": True})


def test_a_model_without_token_types_takes_only_zeros():
    config = CONFIG | {"type_vocab_size": 0}
    assert batch.pack([[2, 3]], None, [[0, 0]], config).types is None
    with pytest.raises(ValueError, match="token_type_ids: the model has no token types; leave"):
        batch.pack([[2, 3]], None, [[0, 1]], config)


@pytest.mark.parametrize(("changes", "said"), [
    ({"num_attention_heads": 3}, "hidden_size 32 is not a multiple of num_attention_heads 3"),
    ({"layer_norm_eps": -1.0}, "layer_norm_eps is -1, expected >= 0"),
    ({"layer_norm_eps": float("inf")}, "layer_norm_eps is inf, expected >= 0"),
    ({"positions_skip_padding": True}, "positions_skip_padding needs a position_offset of at"),
])
def test_sizes_that_contradict_each_other_are_refused_by_the_engine(changes, said):
    """Also those that Python would not let through."""
    with pytest.raises(ValueError, match=f"config: {said}"):
        _core.parameter_table(CONFIG | changes)


def test_what_is_masked_may_be_anything():
    ids = [[2, 3] + [-100] * 98]
    mask = [[1, 1] + [0] * 98]
    assert batch.pack(ids, mask, [[0, 1] + [9] * 98], CONFIG).ids.tolist() == [2, 3]


@pytest.mark.parametrize(
    "labels, error, message",
    [
        ([0, 3], ValueError, r"labels\[1\] is 3; the model has 3 classes, 0 to 2"),
        ([-1, 0], ValueError, r"labels\[0\] is -1"),
        ([0], ValueError, r"shape \(2,\)"),
        ([[0], [1]], ValueError, r"shape \(2,\)"),
        ([0.0, 1.0], TypeError, "integers"),
        (["0", "1"], TypeError, "integers"),
    ],
)
def test_labels_that_are_refused(model, labels, error, message):
    with pytest.raises(error, match=message):
        model.loss_and_gradients([[2, 3], [2, 4]], None, labels)


# --- logits and gradients -------------------------------------------------------------------


def test_logits_of_the_twin(model):
    ids, mask, types = random_batch()
    logits = model.forward(ids, mask, types)
    assert logits.shape == (5, 3) and logits.dtype == np.float32
    np.testing.assert_allclose(logits, twin(model).forward(packed(ids, mask, types)), atol=1e-5)
    np.testing.assert_array_equal(logits, model(ids, attention_mask=mask, token_type_ids=types))


def test_padding_changes_nothing(model):
    ids, mask, _ = random_batch()
    logits = model(ids, mask)
    garbage = np.where(mask == 1, ids, 77)
    wide = np.pad(garbage, ((0, 0), (0, 9)))
    np.testing.assert_array_equal(model(wide, np.pad(mask, ((0, 0), (0, 9)))), logits)
    for row, length in enumerate(mask.sum(axis=1)):
        alone = model(ids[row : row + 1, :length])
        np.testing.assert_allclose(alone, logits[row : row + 1], atol=1e-6)


def test_hole_is_not_the_same_as_a_shorter_text(model):
    ids = np.array([[2, 30, 31, 32, 3]])
    mask = np.array([[1, 0, 1, 1, 1]])
    with_hole = model(ids, mask)
    np.testing.assert_allclose(
        with_hole, twin(model).forward(packed(ids, mask, np.zeros_like(ids))), atol=1e-5
    )
    assert np.abs(with_hole - model(ids[:, [0, 2, 3, 4]])).max() > 1e-4


def test_no_rows(model):
    assert model(np.zeros((0, 7), dtype=int)).shape == (0, 3)
    assert model.score_packed(np.zeros(0, np.int32), np.zeros(1, np.int64)).shape == (0, 3)
    with pytest.raises(ValueError, match="empty"):
        model.loss_and_gradients(np.zeros((0, 7), dtype=int), None, np.zeros(0, int))


def test_packed_texts_score_as_rectangular_ones(model):
    ids, mask, _ = random_batch()
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
    logits = model.score_packed(ids[mask == 1], offsets, n_threads=2)
    np.testing.assert_array_equal(logits, model(ids, mask))


@pytest.mark.parametrize(
    "ids, offsets, error",
    [
        ([2, 170], [0, 2], IndexError),
        ([2, -1], [0, 2], IndexError),
        ([2, 2**32 + 3], [0, 2], ValueError),
        ([2.0, 3.0], [0, 2], TypeError),
        ([[2, 3]], [0, 2], TypeError),
        ([2, 3], [0, 1], ValueError),
        ([2, 3], [0, 0, 2], ValueError),
        ([2, 3], [0, 2, 1], ValueError),
        ([2, 3], [1, 2], ValueError),
        ([2, 3], [], (TypeError, ValueError)),
        ([2] * 65, [0, 65], ValueError),
    ],
)
def test_packed_texts_that_are_refused(model, ids, offsets, error):
    with pytest.raises(error):
        model.score_packed(ids, offsets)


def test_inputs_are_left_alone(model):
    ids, mask, types = random_batch()
    copies = ids.copy(), mask.copy(), types.copy()
    model.loss_and_gradients(ids, mask, np.zeros(5, int), types)
    for array, before in zip((ids, mask, types), copies, strict=True):
        np.testing.assert_array_equal(array, before)


def test_loss_and_gradients_of_the_twin(model):
    ids, mask, types = random_batch()
    labels = np.array([0, 1, 2, 1, 0])
    loss, gradients = model.loss_and_gradients(ids, mask, labels, types)
    expected_loss, _, expected = twin(model).loss_and_gradients(
        packed(ids, mask, types) | {"labels": labels}
    )
    assert isinstance(loss, float) and abs(loss - expected_loss) < 1e-5
    assert gradients.keys() == model.parameters.keys()
    gradients = {role_of(name): values for name, values in gradients.items()}
    assert gradients.keys() == expected.keys()
    whole = np.sqrt(sum((values**2).sum() for values in expected.values()))
    for name, values in expected.items():
        assert gradients[name].shape == values.shape
        difference = np.linalg.norm(gradients[name] - values)
        assert difference <= 1e-4 * np.linalg.norm(values) + 1e-6 * whole, name


def test_padding_row_gets_no_gradient(model):
    ids = np.array([[2, 0, 5, 3]])
    _, gradients = model.loss_and_gradients(ids, None, [1])
    words = gradients["bert.embeddings.word_embeddings.weight"]
    assert not words[0].any() and words[5].any()


def test_gradients_outlive_the_model(model):
    _, first = model.loss_and_gradients([[2, 5, 3]], None, [1])
    kept = {name: values.copy() for name, values in first.items()}
    model.loss_and_gradients([[2, 6, 7, 3]], None, [2])
    for name, values in kept.items():
        np.testing.assert_array_equal(first[name], values)


# --- parameters -----------------------------------------------------------------------------


def test_parameters_are_views_under_their_hugging_face_names(tiny_model_dir):
    directory = tiny_model_dir(classifier=3, prefix="bert.")
    model = BertForSequenceClassification.from_pretrained(directory)
    stored = load_file(directory / "model.safetensors")
    assert set(model.parameters) == set(stored) and len(model.parameters) == len(stored)
    for name, values in model.parameters.items():
        np.testing.assert_array_equal(values, stored[name])
        assert np.shares_memory(values, model._flat)
    with pytest.raises(KeyError, match="classifier.wait"):
        model.parameters["classifier.wait"]
    assert "classifier.wait" not in model.parameters


def test_parameters_cannot_be_written_by_accident(model):
    bias = model.parameters["classifier.bias"]
    with pytest.raises(ValueError, match="read-only"):
        bias[0] = 1.0
    with pytest.raises(ValueError):
        bias.flags.writeable = True
    with pytest.raises(TypeError):
        model.parameters["classifier.bias"] = bias


def test_edits_count_and_end_with_the_block(model):
    ids, mask, _ = random_batch()
    before = model(ids, mask)
    with model.edit_parameters() as parameters:
        bias = parameters["classifier.bias"]
        bias += np.float32(1.0)
        model.parameters["classifier.weight"][0] = 0.0
        query = parameters["bert.encoder.layer.0.attention.self.query.weight"]
        query *= np.float32(0.5)
    after = model(ids, mask)
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(after[:, 0], bias[0], rtol=1e-6)
    np.testing.assert_allclose(
        after, twin(model).forward(packed(ids, mask, np.zeros_like(ids))), atol=1e-5
    )
    for array in (bias, query, parameters["classifier.weight"]):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0


def test_edits_count_also_after_an_exception(model):
    ids, mask, _ = random_batch()
    model(ids, mask)
    with pytest.raises(RuntimeError), model.edit_parameters() as parameters:
        bias = parameters["classifier.bias"]
        parameters["classifier.weight"][:] = 0.0
        bias[:] = [1, 2, 3]
        raise RuntimeError
    np.testing.assert_array_equal(model(ids, mask), np.tile(np.float32([1, 2, 3]), (5, 1)))
    assert not bias.flags.writeable


def test_nested_edits(model):
    with model.edit_parameters() as outer:
        with model.edit_parameters() as inner:
            inner["classifier.bias"][:] = 1.0
        outer["classifier.bias"][1] = 2.0
    assert model.parameters["classifier.bias"].tolist() == [1.0, 2.0, 1.0]


def test_many_threads_share_a_model(model):
    ids, mask, _ = random_batch()
    expected = model(ids, mask)
    results = [None] * 6

    def work(number):
        results[number] = [model(ids, mask) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in results:
        for logits in one:
            np.testing.assert_array_equal(logits, expected)


# --- making, saving, loading ----------------------------------------------------------------


def test_the_class_is_not_called():
    with pytest.raises(TypeError, match="from_pretrained"):
        BertForSequenceClassification()


def test_random_model():
    config = tiny_config(id2label={"0": "a", "1": "b", "2": "c", "3": "d"})
    model = BertForSequenceClassification.from_config(config, random_state=3)
    same = BertForSequenceClassification.from_config(config, random_state=3)
    assert model.num_labels == 4 and model.id2label == {0: "a", 1: "b", 2: "c", 3: "d"}
    logits = model([[2, 5, 3]])
    assert logits.shape == (1, 4) and np.isfinite(logits).all()
    np.testing.assert_array_equal(logits, same([[2, 5, 3]]))
    assert BertForSequenceClassification.from_config(tiny_config()).num_labels == 2
    with pytest.raises(TypeError, match="dict"):
        BertForSequenceClassification.from_config("config.json")
    with pytest.raises(CheckpointError, match="gpt2"):
        BertForSequenceClassification.from_config(tiny_config(model_type="gpt2"))
    with pytest.raises(ValueError, match="at least 2 classes"):
        BertForSequenceClassification.from_config(tiny_config(num_labels=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "relu"},
        {"hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
        {"num_hidden_layers": 1, "num_attention_heads": 1},
        {"type_vocab_size": 1, "pad_token_id": None},
        {"hidden_size": 24, "num_attention_heads": 8, "intermediate_size": 50},
    ],
)
def test_every_bert(changes):
    config = tiny_config(initializer_range=0.3, num_labels=3, **changes)
    model = BertForSequenceClassification.from_config(config, random_state=0)
    ids, mask, _ = random_batch()
    types = np.zeros_like(ids)
    expected = twin(model).forward(packed(ids, mask, types))
    np.testing.assert_allclose(model(ids, mask, types), expected, atol=1e-4, rtol=1e-4)


def test_config_is_a_copy(model):
    model.config["hidden_size"] = 1
    model.config["id2label"]["0"] = "x"
    assert model.config["hidden_size"] == 32 and model.config["id2label"]["0"] == "LABEL_0"
    assert "2 layers" in repr(model) and "3 classes" in repr(model)


def test_fresh_classifier_is_said_once_where_the_user_asked(tiny_model_dir):
    directory = tiny_model_dir()
    with pytest.warns(FreshWeightsWarning, match="no classifier") as said:
        BertForSequenceClassification.from_pretrained(directory)
    assert len(said) == 1 and said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BertForSequenceClassification.from_pretrained(directory)


def test_saved_model_is_the_same_model(model, tmp_path):
    ids, mask, types = random_batch()
    model.save_pretrained(tmp_path / "saved")
    assert sorted(os.listdir(tmp_path / "saved")) == ["config.json", "model.safetensors"]
    loaded = BertForSequenceClassification.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(loaded(ids, mask, types), model(ids, mask, types))
    assert loaded.config == model.config


def test_saving_over_a_model(model, tmp_path):
    target = tmp_path / "saved"
    model.save_pretrained(target)
    (target / "vocab.txt").write_text("a tokenizer's")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_pretrained(target)
    with model.edit_parameters() as parameters:
        parameters["classifier.bias"][:] = 5.0
    model.save_pretrained(target, overwrite=True)
    again = BertForSequenceClassification.from_pretrained(target)
    assert again.parameters["classifier.bias"].tolist() == [5.0, 5.0, 5.0]
    assert (target / "vocab.txt").read_text() == "a tokenizer's"


def test_tokenizer_and_further_files_are_saved_with_the_model(model, tmp_path):
    class Tokenizer:
        def save_files(self, directory):
            (directory / "vocab.txt").write_text("[PAD]\n")

    extra = {"bertsent.json": json.dumps({"a": 1})}
    model.save_pretrained(tmp_path / "saved", tokenizer=Tokenizer(), extra_files=extra)
    assert set(os.listdir(tmp_path / "saved")) == {
        "config.json", "model.safetensors", "vocab.txt", "bertsent.json"
    }
    extra["bertsent.json"] = "2"
    model.save_pretrained(
        tmp_path / "saved", overwrite=True, tokenizer=Tokenizer(), extra_files=extra
    )
    assert (tmp_path / "saved" / "bertsent.json").read_text() == "2"


def test_full_disk_leaves_the_old_model(model, tmp_path, monkeypatch):
    """A disk that is full when the library writes the weights."""
    import safetensors.numpy

    target = tmp_path / "saved"
    model.save_pretrained(target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}

    def full(values, path, metadata):
        path.write_bytes(b"the part that went on the disk")
        raise safetensors.SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with model.edit_parameters() as parameters:
        parameters["classifier.bias"][:] = 5.0
    with pytest.raises(OSError, match="No space left on device; nothing there was") as caught:
        model.save_pretrained(target, overwrite=True)
    assert caught.value.errno == 28
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert not list(tmp_path.glob(".*"))


def test_weights_that_cannot_be_written_whole(model, tmp_path):
    """A limit on file size imitates a full disk."""
    resource = pytest.importorskip("resource")
    target = tmp_path / "saved"
    model.save_pretrained(target)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before["model.safetensors"]) - 1, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large; nothing there was changed"):
            model.save_pretrained(target, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert os.listdir(tmp_path / "saved") and not list(tmp_path.glob(".*"))


def test_saving_what_must_not_be_replaced(model, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"thesis\.tex"):
            model.save_pretrained(tmp_path, overwrite=overwrite)
    assert "config.json" not in os.listdir(tmp_path)
    assert atomic.MODEL_FILES == {"config.json", "model.safetensors", "model.int8.safetensors"}


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickle(model, protocol):
    ids, mask, types = random_batch()
    restored = pickle.loads(pickle.dumps(model, protocol))
    np.testing.assert_array_equal(restored(ids, mask, types), model(ids, mask, types))
    assert restored.config == model.config and restored.n_threads == 1
    assert restored._flat.ctypes.data % 64 == 0


def test_pickle_is_no_larger_than_the_weights():
    config = tiny_config(vocab_size=4000, hidden_size=64, intermediate_size=256)
    model = BertForSequenceClassification.from_config(config, random_state=0)
    weights = sum(values.nbytes for values in model.parameters.values())
    model.loss_and_gradients([[2, 5, 3]], None, [1])
    assert len(pickle.dumps(model)) < 1.05 * weights


def test_copies_are_independent(model):
    other = copy.deepcopy(model)
    with other.edit_parameters() as parameters:
        parameters["classifier.bias"][:] = 9.0
    assert model.parameters["classifier.bias"][0] != 9.0
    assert not np.array_equal(model([[2, 3]]), other([[2, 3]]))


def test_loaded_model_needs_its_directory_no_more(tiny_model_dir):
    import shutil

    directory = tiny_model_dir(classifier=2)
    model = BertForSequenceClassification.from_pretrained(directory)
    shutil.rmtree(directory)
    assert model([[2, 5, 3]]).shape == (1, 2)
    with pytest.raises(ModelNotFoundError):
        BertForSequenceClassification.from_pretrained(directory)


def test_minilm(minilm_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FreshWeightsWarning)
        model = BertForSequenceClassification.from_pretrained("minilm", random_state=0)
    ids = np.array([[101, 2023, 2003, 1037, 2307, 3185, 102]])
    logits = model(ids)
    np.testing.assert_allclose(
        logits, twin(model).forward(batch.pack(ids, None, None, model._engine)._asdict()), atol=1e-4
    )
