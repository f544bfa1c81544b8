"""Model families: their descriptions, and a family that exists only for these tests."""

import itertools
import json
import warnings

import numpy as np
import pytest
import reference
from cases import Engine, assert_gradients_agree, random_batch, random_params
from conftest import tiny_config, tiny_vocabulary
from safetensors.numpy import load_file, save_file

import bertsent
from bertsent.errors import CheckpointError
from bertsent.hub import engine_config, parameter_table, read_config
from bertsent.hub.config import with_pooling
from bertsent.hub.families import FAMILIES, Family, Head

# Differs from BERT in everything that a family describes.
TOY = Family(
    model_type="toy",
    name="Toy",
    examples=("toy-small",),
    class_stem="Toy",
    prefix="toy.",
    keys={
        "vocab_size": "words",
        "hidden_size": "width",
        "num_hidden_layers": "depth",
        "num_attention_heads": "heads",
        "intermediate_size": "inner_width",
        "max_position_embeddings": "longest",
        "hidden_act": "activation",
        "hidden_dropout_prob": "dropout",
        "attention_probs_dropout_prob": "attention_dropout",
        "pooling": "reads",
        "initializer_range": "spread",
        "pad_token_id": "padding",
    },
    defaults={
        "type_vocab_size": 0,
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-5,
        "hidden_dropout_prob": 0.2,
        "attention_probs_dropout_prob": 0.3,
        "classifier_dropout": 0.4,
        "pooling": "mean",
        "initializer_range": 0.5,
        "pad_token_id": 1,
    },
    encoder={
        "embeddings.word": "toy.input.tokens",
        "embeddings.position": "toy.input.places",
        "embeddings.norm": "toy.input.norm",
        "layer.{}.attention.query": "toy.blocks.{}.q",
        "layer.{}.attention.key": "toy.blocks.{}.k",
        "layer.{}.attention.value": "toy.blocks.{}.v",
        "layer.{}.attention.output": "toy.blocks.{}.mix",
        "layer.{}.attention.norm": "toy.blocks.{}.norm1",
        "layer.{}.feed_forward.up": "toy.blocks.{}.wide",
        "layer.{}.feed_forward.down": "toy.blocks.{}.narrow",
        "layer.{}.feed_forward.norm": "toy.blocks.{}.norm2",
    },
    classifier=Head(
        kind="dense_relu",
        parts={
            "dense layer": {"head.dense": "before"},
            "classifier": {"head.output": "scores"},
        },
    ),
    masked_lm=Head(
        kind="masked_lm",
        parts={
            "word head": {
                "masked_lm.dense": "guess.dense",
                "masked_lm.norm": "guess.norm",
                "masked_lm.output": "guess.words",
            },
        },
        tied="guess.words.weight",
        aliases={"guess.bias": "guess.words.bias"},
    ),
    tokenizer_class="ToyTokenizer",
    special_tokens={"unk": "<u>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "mask": "<mask>"},
    position_offset=2,
    renamed=((r"\.scale$", ".weight"),),
    ignored=("guess.",),
)
VOCABULARY = ["<u>", "<pad>", "<s>", "</s>", "<mask>", *tiny_vocabulary()[5:]]
CONFIG = {
    "model_type": "toy", "architectures": ["ToyModel"], "words": len(VOCABULARY), "width": 24,
    "depth": 2, "heads": 3, "inner_width": 40, "longest": 34, "activation": "relu",
}
TEXTS = ["a good film", "a bad film, dull and slow", "the best movie", "never so boring"] * 4


def toy_shapes(n_classes):
    """Return the shapes of all tensors of a toy, by the names in its files."""
    shapes = {
        "toy.input.tokens.weight": (len(VOCABULARY), 24),
        "toy.input.places.weight": (34, 24),
        "toy.input.norm.weight": (24,),
        "toy.input.norm.bias": (24,),
        "before.weight": (24, 24),
        "before.bias": (24,),
        "scores.weight": (n_classes, 24),
        "scores.bias": (n_classes,),
    }
    parts = {"q": (24, 24), "k": (24, 24), "v": (24, 24), "mix": (24, 24), "norm1": (24,),
             "wide": (40, 24), "narrow": (24, 40), "norm2": (24,)}
    for layer in range(2):
        for part, shape in parts.items():
            shapes[f"toy.blocks.{layer}.{part}.weight"] = shape
            shapes[f"toy.blocks.{layer}.{part}.bias"] = shape[:1]
    return shapes


def toy_values(n_classes=3):
    """Draw random tensors, large enough that every part of the model matters."""
    rng = np.random.default_rng(0)
    return {
        name: (rng.normal(0, 0.25, shape) + ("norm" in name and name.endswith("weight")))
        .astype(np.float32)
        for name, shape in toy_shapes(n_classes).items()
    }


def write_toy(directory, values, **changes):
    """Write a toy's model directory, with a tokenizer that names no special tokens."""
    directory.mkdir()
    save_file(values, directory / "model.safetensors")
    (directory / "config.json").write_text(json.dumps(CONFIG | changes))
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "ToyTokenizerFast"}')
    return directory


def twin(values, **changes):
    """Return the float64 twin of a toy that reads [CLS]."""
    config = {
        "vocab_size": len(VOCABULARY), "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 32,
        "type_vocab_size": 0, "hidden_act": "relu", "layer_norm_eps": 1e-5, "head": "dense_relu",
        "pooling": "mean", "num_labels": 3, "position_offset": 2, "positions_skip_padding": True,
        "pad_token_id": 1,
    }
    params = {
        "embeddings.word.weight": values["toy.input.tokens.weight"],
        "embeddings.position.weight": values["toy.input.places.weight"],
    }
    dense = {"embeddings.norm": "toy.input.norm", "head.dense": "before", "head.output": "scores"}
    roles = {
        "q": "attention.query", "k": "attention.key", "v": "attention.value",
        "mix": "attention.output", "norm1": "attention.norm", "wide": "feed_forward.up",
        "narrow": "feed_forward.down", "norm2": "feed_forward.norm",
    }
    for layer in range(2):
        for part, role in roles.items():
            dense[f"layer.{layer}.{role}"] = f"toy.blocks.{layer}.{part}"
    for role, name in dense.items():
        for kind in ("weight", "bias"):
            params[f"{role}.{kind}"] = values[f"{name}.{kind}"]
    return reference.Bert(config | changes, params)


@pytest.fixture
def toy(monkeypatch):
    """Register the toy family."""
    monkeypatch.setitem(FAMILIES, "toy", TOY)


# --- tables ---------------------------------------------------------------------------------


@pytest.fixture(params=[*FAMILIES.values(), TOY], ids=lambda family: family.model_type)
def family(request, monkeypatch):
    """Each family; bertsent knows it."""
    monkeypatch.setitem(FAMILIES, request.param.model_type, request.param)
    return request.param


def sizes_only(family):
    """Return a ``config.json`` of a family that says sizes only."""
    sizes = {
        "vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 16, "max_position_embeddings": 30,
    }
    return {"model_type": family.model_type} | {family.keys[k]: n for k, n in sizes.items()}


def test_a_table_names_each_tensor_of_the_engine_and_no_other(family):
    raw = sizes_only(family)
    for head in filter(None, (family.classifier, family.masked_lm)):
        engine = engine_config(raw, 3, masked_lm=head is family.masked_lm)
        assert engine["head"] == head.kind
        _, table = parameter_table(raw, engine)
        names = [parameter.name for parameter in table]
        assert len(set(names)) == len(names)
        stems = {parameter.role.rsplit(".", 1)[0] for parameter in table}
        heads = {role for part in head.parts.values() for role in part}
        layers = {role.format(layer) for role in family.encoder for layer in range(2)}
        assert stems == layers | heads
        for parameter in table:
            assert family.is_encoder(parameter.name) == (
                parameter.role.startswith(("embeddings.", "layer."))
            )


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooling_can_be_chosen_in_every_family(family, pooling):
    raw = with_pooling(sizes_only(family), pooling)
    assert engine_config(raw, 3)["pooling"] == pooling


@pytest.mark.parametrize(
    "families, message",
    [
        (
            [FAMILIES["bert"]],
            "BERT models (model_type 'bert') only, for example bert-base-uncased or "
            "all-MiniLM-L6-v2",
        ),
        (
            [FAMILIES["bert"], TOY],
            "BERT and Toy models (model_type 'bert' and 'toy') only, for example "
            "bert-base-uncased or all-MiniLM-L6-v2 or toy-small",
        ),
    ],
)
def test_an_unknown_type_is_told_what_is_supported(tmp_path, monkeypatch, families, message):
    known = {family.model_type: family for family in families}
    monkeypatch.setattr("bertsent.hub.config.FAMILIES", known)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(CheckpointError, match="type 'gpt2'; bertsent runs ") as refused:
        read_config(tmp_path)
    assert str(refused.value).endswith(message)


@pytest.mark.parametrize("kind, near", [
    ("xlm-roberta", "bert-base-multilingual-cased"), ("modernbert", "mpnet"),
    ("deberta-v2", "mpnet"),
])
def test_another_encoder_is_told_the_nearest_model(tmp_path, kind, near):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(CheckpointError) as refused:
        read_config(tmp_path)
    message = str(refused.value)
    assert message.endswith(
        "BERT, DistilBERT, ELECTRA, MPNet and RoBERTa models (model_type 'bert', 'distilbert', "
        f"'electra', 'mpnet' and 'roberta') only, of which {near} is the nearest"
    )
    assert "\n" not in message


# --- a family that is not BERT --------------------------------------------------------------


def test_config_keys_and_defaults(toy):
    engine = engine_config(CONFIG, 3)
    assert engine == {
        "vocab_size": len(VOCABULARY), "hidden_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 32,
        "position_offset": 2, "type_vocab_size": 0, "num_labels": 3, "head": "dense_relu",
        "hidden_act": "relu", "layer_norm_eps": 1e-5, "hidden_dropout_prob": 0.2,
        "attention_probs_dropout_prob": 0.3, "classifier_dropout": 0.4, "pooling": "mean",
        "pad_token_id": 1, "positions_skip_padding": True,
    }
    for changes, message in (
        ({"width": None}, "config.json has no width"),
        ({"heads": 5}, "width 24 is not a multiple of heads 5"),
        ({"longest": 2}, "longest must be an integer of at least 3"),
        ({"reads": "all"}, "reads 'all' is not supported; supported are cls and mean"),
        ({"dropout": 1}, "dropout must be a number"),
        ({"padding": 10**6}, "padding 1000000 is outside the vocabulary"),
    ):
        with pytest.raises(CheckpointError, match=message):
            engine_config(CONFIG | changes, 3)


@pytest.mark.parametrize("prefix", ["", "toy."])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_logits_and_gradients_equal_the_twins(toy, tmp_path, prefix, pooling):
    values = toy_values()
    stored = {prefix + name.removeprefix("toy."): value for name, value in values.items()
              if name.startswith("toy.")}
    stored |= {name: value for name, value in values.items() if not name.startswith("toy.")}
    stored[prefix + "input.norm.scale"] = stored.pop(prefix + "input.norm.weight")
    stored[prefix + "input.position_ids"] = np.arange(32)
    stored["guess.words.bias"] = np.zeros(len(VOCABULARY), np.float32)
    directory = write_toy(tmp_path / "toy", stored, reads=pooling)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = bertsent.BertForSequenceClassification.from_pretrained(directory, n_threads=1)
    rng = np.random.default_rng(1)
    batch = random_batch(model._engine | {"type_vocab_size": 0}, rng, [7, 1, 32])
    loss, logits, grads = twin(values, pooling=pooling).loss_and_gradients(batch)
    found = model.score_packed(batch["ids"], batch["cu_seqlens"])
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5)

    ids, mask = np.zeros((3, 32), int), np.zeros((3, 32), int)
    for row, (begin, end) in enumerate(itertools.pairwise(batch["cu_seqlens"])):
        ids[row, : end - begin], mask[row, : end - begin] = batch["ids"][begin:end], 1
    found_loss, found_grads = model.loss_and_gradients(ids, mask, batch["labels"])
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert set(found_grads) == set(values)
    places = found_grads["toy.input.places.weight"]
    assert not places[:2].any()
    np.testing.assert_allclose(places, grads["embeddings.position.weight"], atol=1e-5)
    np.testing.assert_allclose(
        found_grads["toy.blocks.1.wide.weight"], grads["layer.1.feed_forward.up.weight"], atol=1e-5
    )


def test_token_types_may_be_given_as_zeros_only(toy, tmp_path):
    directory = write_toy(tmp_path / "toy", toy_values())
    tokenizer = bertsent.WordPieceTokenizer.from_files(directory)
    model = bertsent.BertForSequenceClassification.from_pretrained(directory)
    encoded = tokenizer(TEXTS[:2], padding=True)
    np.testing.assert_array_equal(
        model(**encoded), model(encoded["input_ids"], encoded["attention_mask"])
    )
    types = np.ones_like(encoded["input_ids"])
    with pytest.raises(ValueError, match="the model has no token types"):
        model(encoded["input_ids"], encoded["attention_mask"], types)


def test_special_tokens_and_class_of_the_tokenizer(toy, tmp_path):
    directory = write_toy(tmp_path / "toy", toy_values())
    tokenizer = bertsent.WordPieceTokenizer.from_files(directory)
    assert tokenizer.special_tokens_map == {
        "unk_token": "<u>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
        "mask_token": "<mask>",
    }
    model = bertsent.BertForSequenceClassification.from_pretrained(directory)
    model.save_pretrained(tmp_path / "saved", tokenizer=tokenizer)
    saved = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert saved["tokenizer_class"] == "ToyTokenizer"
    assert saved["model_max_length"] == 32  # the positions without the offset
    assert saved["model_input_names"] == ["input_ids", "attention_mask"]
    again = bertsent.WordPieceTokenizer.from_files(tmp_path / "saved")
    assert again(TEXTS[:1])["input_ids"].tolist() == tokenizer(TEXTS[:1])["input_ids"].tolist()


def test_save_and_open_again(toy, tmp_path):
    values = toy_values()
    directory = write_toy(tmp_path / "toy", values, kept="as it is")
    model = bertsent.BertForSequenceClassification.from_pretrained(directory)
    model.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert config == CONFIG | {
        "architectures": ["ToyForSequenceClassification"], "kept": "as it is", "dtype": "float32",
        "problem_type": "single_label_classification",
        "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"},
        "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2},
    }
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(saved) == set(values)
    for name, value in values.items():
        np.testing.assert_array_equal(saved[name], value, err_msg=name)
    model.save_pretrained(tmp_path / "int8", int8=True)
    reduced = load_file(tmp_path / "int8" / "model.int8.safetensors")
    assert {name for name, value in reduced.items() if value.dtype == np.int8} == {
        f"toy.blocks.{layer}.{part}.weight"
        for layer in range(2) for part in ("q", "k", "v", "mix", "wide", "narrow")
    }


def test_pretrain_fit_save_and_predict(toy, tmp_path, capsys):
    values = toy_values()
    start = {name: value for name, value in values.items() if name.startswith("toy.")}
    directory = write_toy(tmp_path / "toy", start)
    bertsent.pretrain(
        TEXTS, tmp_path / "pretrained", model=directory, epochs=3, max_length=16, random_state=0,
    )
    assert "gets a new word head\n" in capsys.readouterr().err
    config = json.loads((tmp_path / "pretrained" / "config.json").read_text())
    assert config["architectures"] == ["ToyForMaskedLM"] and config["model_type"] == "toy"
    saved = load_file(tmp_path / "pretrained" / "model.safetensors")
    assert set(saved) == set(start) | {
        "guess.dense.weight", "guess.dense.bias", "guess.norm.weight", "guess.norm.bias",
        "guess.words.bias",
    }
    assert not np.array_equal(saved["toy.blocks.0.q.weight"], start["toy.blocks.0.q.weight"])
    classifier = bertsent.BertClassifier(
        tmp_path / "pretrained", epochs=2, freeze_layers=1, random_state=0,
        members=2, max_length=16,
    )
    classifier.fit(TEXTS, [1, 0] * 8)
    told = capsys.readouterr().err
    assert told.count("gets a new dense layer and a new classification layer for 2 classes") == 1
    trained = classifier.model_.parameters
    np.testing.assert_array_equal(trained["toy.blocks.0.q.weight"], saved["toy.blocks.0.q.weight"])
    assert not np.array_equal(
        trained["toy.blocks.1.q.weight"], saved["toy.blocks.1.q.weight"]
    )
    classifier.save_pretrained(tmp_path / "fitted")
    again = bertsent.BertClassifier.from_pretrained(tmp_path / "fitted")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


def test_classes_of_another_program_are_sorted(toy, tmp_path):
    values = toy_values()
    names = {"0": "z", "1": "a", "2": "m"}
    directory = write_toy(tmp_path / "toy", values, id2label=names)
    plain = bertsent.BertForSequenceClassification.from_pretrained(directory)
    tokenizer = bertsent.WordPieceTokenizer.from_files(directory)
    classifier = bertsent.BertClassifier.from_pretrained(directory)
    classifier.set_params(inference_precision="float32")
    assert list(classifier.classes_) == ["a", "m", "z"]
    logits = plain(**tokenizer(TEXTS[:4], padding=True))[:, [1, 2, 0]]
    np.testing.assert_allclose(
        classifier.decision_function(TEXTS[:4]), logits, rtol=1e-5, atol=1e-5
    )


# --- the engine's part ----------------------------------------------------------------------


@pytest.mark.parametrize("holes", [False, True])
def test_position_offset_skips_rows(holes):
    config = engine_config(tiny_config(), 3) | {"num_labels": 3}
    rng = np.random.default_rng(0)
    params = random_params(config, rng)
    batch = random_batch(config, rng, [5, 1, config["max_position_embeddings"]], holes=holes)
    plain = Engine(config, params)
    position = params["embeddings.position.weight"]
    moved = params | {
        "embeddings.position.weight": np.concatenate([np.full((3, 32), 7, np.float32), position])
    }
    offset = Engine(config | {"position_offset": 3}, moved)
    np.testing.assert_array_equal(offset.score(batch), plain.score(batch))
    loss, logits, expected = plain.loss_and_gradients(batch)
    found_loss, found_logits, found = offset.loss_and_gradients(batch)
    assert found_loss == loss
    np.testing.assert_array_equal(found_logits, logits)
    assert not found["embeddings.position.weight"][:3].any()
    found["embeddings.position.weight"] = found["embeddings.position.weight"][3:]
    assert_gradients_agree(found, expected, rel=0, of_all=0)
    with pytest.raises(ValueError, match="position_offset is -1, expected 0 to"):
        Engine(config | {"position_offset": -1}, params)
