"""Opening what a classifier starts from, or what another program has saved."""

import numpy as np

from bertsent import checkpoint
from bertsent.config import with_labels
from bertsent.errors import CheckpointError
from bertsent.labels import LabelType
from bertsent.model import BertForSequenceClassification
from bertsent.parameters import resolve_max_length
from bertsent.tokenizer import WordPieceTokenizer


def load_model(directory, name, **options):
    """The model in a directory, and the parts of it that its checkpoint lacks."""
    loaded = checkpoint.load_checkpoint(directory, source=str(name), **options)
    model = BertForSequenceClassification._assemble(
        loaded.config, loaded.engine, loaded.flat
    )
    return model, loaded.fresh


def load_member(directory, number, model):
    """Another member of a classifier, of which `model` is the first; numbers begin at 2."""
    flat = checkpoint.load_member(directory, number, model._config, model._engine)
    return BertForSequenceClassification._assemble(model._config, model._engine, flat)


def load_tokenizer(directory, model):
    """The tokenizer in a directory, checked to belong to the model."""
    tokenizer = WordPieceTokenizer.from_files(directory)
    rows = model.config["vocab_size"]
    if tokenizer.vocab_size > rows:
        raise CheckpointError(
            f"{directory}: the tokenizer has {tokenizer.vocab_size} tokens, but the model only "
            f"knows {rows}; these files do not belong together"
        )
    return tokenizer


def foreign_settings(name_or_dir, model):
    """Settings for a classifier without ``bertsent.json``; its columns are put in order."""
    labels = [model.id2label[code] for code in range(model.num_labels)]
    if len(set(labels)) < len(labels):
        raise CheckpointError(f"{name_or_dir}: id2label gives two classes the same name")
    order = np.argsort(np.array(labels, dtype=object), kind="stable")
    labels.sort()
    with model.edit_parameters() as parameters:
        for name in ("classifier.weight", "classifier.bias"):
            parameters[name][...] = parameters[name][order]
    model._config = with_labels(model._config, labels)
    positions = model.config["max_position_embeddings"]
    max_length = resolve_max_length("auto", positions)
    return {
        "parameters": {
            "model": name_or_dir, "max_length": max_length, "long_text": "head",
            "inference_long_text": None,
        },
        "max_length": max_length,
        "plan": None,
        "members": 1,
        "label_type": LabelType(np.array(labels, dtype=object)),
        "learning_rate": None,
        "precision": None,
        "history": [],
        "evaluations": [],
        "best_step": None,
        "text_hashes": np.empty(0, dtype=np.uint64),
    }
