"""Tiny random models of the families that are not BERT, as transformers saves them."""

import json
import shutil
from pathlib import Path

import numpy as np
from conftest import SPECIAL_TOKENS, tiny_vocabulary
from safetensors.numpy import save_file

from bertsent.hub import engine_config, parameter_table
from bertsent.hub.families import FAMILIES

# vocab.json and merges.txt
BYTE_LEVEL = Path(__file__).parent / "data" / "byte_level"

# A family's configuration, the special tokens of its vocabulary (None: it is the one of bytes), and
# the class of its tokenizer.
MODELS = {
    "distilbert": (
        {
            "activation": "gelu", "attention_dropout": 0.1, "dim": 32, "dropout": 0.1,
            "hidden_dim": 64, "max_position_embeddings": 64, "n_heads": 4, "n_layers": 2,
            "initializer_range": 0.2, "pad_token_id": 0, "seq_classif_dropout": 0.2,
            "sinusoidal_pos_embds": False,
        },
        SPECIAL_TOKENS, "DistilBertTokenizer",
    ),
    "electra": (
        {
            "attention_probs_dropout_prob": 0.1, "embedding_size": 20, "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1, "hidden_size": 32, "initializer_range": 0.2,
            "intermediate_size": 64, "layer_norm_eps": 1e-12, "max_position_embeddings": 64,
            "num_attention_heads": 4, "num_hidden_layers": 2, "pad_token_id": 0,
            "type_vocab_size": 2,
        },
        SPECIAL_TOKENS, "ElectraTokenizer",
    ),
    "mpnet": (
        {
            "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
            "hidden_size": 32, "initializer_range": 0.2, "intermediate_size": 64,
            "layer_norm_eps": 1e-5, "max_position_embeddings": 66, "num_attention_heads": 4,
            "num_hidden_layers": 2, "pad_token_id": 1, "relative_attention_num_buckets": 32,
        },
        ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], "MPNetTokenizer",
    ),
    "roberta": (
        {
            "attention_probs_dropout_prob": 0.1, "bos_token_id": 0, "eos_token_id": 2,
            "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 32,
            "initializer_range": 0.2, "intermediate_size": 64, "layer_norm_eps": 1e-5,
            "max_position_embeddings": 66, "num_attention_heads": 4, "num_hidden_layers": 2,
            "pad_token_id": 1, "type_vocab_size": 1,
        },
        None, "RobertaTokenizer",
    ),
}


def vocabulary(name):
    """Return the tokens of a family in order."""
    special = MODELS[name][1]
    if special is None:
        return list(json.loads((BYTE_LEVEL / "vocab.json").read_text(encoding="utf-8")))
    return special + tiny_vocabulary()[len(SPECIAL_TOKENS):]


def make_config(name, **changes):
    """Return the ``config.json`` of a tiny model; keywords replace single entries."""
    config = MODELS[name][0]
    size = len(vocabulary(name))
    stem = FAMILIES[name].class_stem
    return {
        "model_type": name, "architectures": [stem + "Model"], "vocab_size": size,
    } | config | changes


def draw_tensors(config, n_classes, seed=0, masked_lm=False):
    """Draw all tensors of a model with a head, by their names in files."""
    rng = np.random.default_rng(seed)
    engine = engine_config(config, n_classes, masked_lm=masked_lm)
    return {
        p.name: rng.normal(p.role.endswith("norm.weight"), 0.1, p.shape).astype(np.float32)
        for p in parameter_table(config, engine)[1]
    }


def write_family_model(directory, name, n_classes=None, seed=0, **changes):
    """Write a model directory with a classifier or, without `n_classes`, an encoder alone."""
    directory, family = Path(directory), FAMILIES[name]
    directory.mkdir(parents=True, exist_ok=True)
    config = make_config(name, **changes)
    tensors = draw_tensors(config, n_classes or 2, seed)
    if n_classes is None:
        tensors = {
            key.removeprefix(family.prefix): value for key, value in tensors.items()
            if family.is_encoder(key)
        }
    else:
        config["architectures"] = [family.class_stem + "ForSequenceClassification"]
    _, special, tokenizer_class = MODELS[name]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(config))
    if special is None:
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(BYTE_LEVEL / file, directory)
    else:
        (directory / "vocab.txt").write_text("\n".join(vocabulary(name)) + "\n")
    (directory / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": tokenizer_class, "do_lower_case": True,
        "model_max_length": config["max_position_embeddings"] - family.position_offset,
    }))
    return directory
