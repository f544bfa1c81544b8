"""Open the model that training starts from, and classifiers that other programs saved."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Sequence
from os import PathLike
from shlex import quote
from typing import TYPE_CHECKING, Any, cast

from bertsent.classifier.settings import Settings
from bertsent.errors import CheckpointError, FreshWeightsWarning
from bertsent.files import hold_directory
from bertsent.hub import (
    ModelDirectory,
    describe_unused,
    load_member_parameters,
    load_model_directory,
    read_model_shape,
    resolve_directory,
)
from bertsent.model import BertForSequenceClassification
from bertsent.objectives import OBJECTIVES, list_outputs
from bertsent.system import notice, warn
from bertsent.tokenizer import Tokenizer
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    from bertsent.objectives import Objective
    from bertsent.training import Trainable


def load_model(
    directory: str | PathLike[str], name: object, **options: Any
) -> tuple[BertForSequenceClassification, ModelDirectory]:
    """Return the model in a directory, and what was read from it."""
    loaded = load_model_directory(directory, source=str(name), tell=False, **options)
    model = BertForSequenceClassification._assemble(
        loaded.config, loaded.engine, loaded.flat
    )
    return model, loaded


def open_shape(
    name: object, pooling: str | None, n_outputs: int
) -> tuple[BertForSequenceClassification, Tokenizer]:
    """Return a model with random weights and the shape of a saved one, and the tokenizer of that.

    Only what a tokenizer needs is downloaded.
    """
    directory = resolve_directory(cast("str", name), weights=False)
    with hold_directory(directory):
        # At least the number that the bare model requires; a further output takes no time.
        config, _ = read_model_shape(directory, max(2, n_outputs), pooling)
        model: BertForSequenceClassification = BertForSequenceClassification.from_config(
            config, random_state=0
        )
        return model, load_tokenizer(directory, model)


def describe_new(name: object, fresh: Sequence[str], objective: Objective) -> str:
    """Return a line about the parts of a model that fine-tuning begins from scratch."""
    parts = " and ".join(f"a new {_CALLED.get(part, part)}" for part in fresh)
    return f"{name} gets {parts} for {objective.describe_outputs()}"


def warn_of_loss(
    name: object, loaded: ModelDirectory, objective: Objective, verbose: bool | int
) -> None:
    """Warn about what a model has learned and training does not keep.

    Parameters
    ----------
    name : object
        Name of the model.
    loaded : ModelDirectory
    objective : Objective
        That of training.
    verbose : bool or int
    """
    if loaded.discarded:
        classes = f" for {list_outputs(loaded.known, 'classes')}" if loaded.known else ""
        warn(
            f"{name} has a classification layer{classes}, which is thrown away: "
            f"a new one for {objective.describe_outputs()} takes its place",
            FreshWeightsWarning, verbose=verbose,
        )
    warn_of_unused(name, loaded, verbose)


def warn_of_unused(name: object, loaded: ModelDirectory, verbose: bool | int) -> None:
    """Warn about tensors of a model that a classifier does not use."""
    if loaded.unused:
        unused = describe_unused(str(name), loaded.unused, loaded.config)
        warn(unused, FreshWeightsWarning, verbose=verbose)


# Parts of a head whose names in a model family are not those of the documentation.
_CALLED = {"classifier": "classification layer"}


def load_member(
    directory: str | PathLike[str], number: int, model: BertForSequenceClassification
) -> BertForSequenceClassification:
    """Return a further member of the classifier whose first is `model`; `number` is from 2."""
    flat = load_member_parameters(directory, number, model._config, model._engine)
    return BertForSequenceClassification._assemble(model._config, model._engine, flat)


def load_tokenizer(directory: str | PathLike[str], model: Trainable) -> Tokenizer:
    """Return the tokenizer in a directory, after checking that it fits the model."""
    tokenizer = Tokenizer.from_files(directory)
    try:
        tokenizer.limit_ids(model._engine["vocab_size"], model._engine["type_vocab_size"])
    except ValueError as error:
        raise CheckpointError(f"{directory}: {error}") from None
    return tokenizer


def describe_lack(loaded: ModelDirectory) -> str:
    """Return what a model lacks that was expected to be a fitted classifier."""
    if loaded.discarded:
        return "its classifier is one for single tokens or multiple choice, not for texts"
    return f"it has no {' and no '.join(loaded.fresh)}"


def train_instead(name: object) -> str:
    """Return the advice to train a new classifier on the encoder of a saved one."""
    return phrase(
        python=f"train a new one on its encoder with BertClassifier({str(name)!r}).fit(X, y)",
        command=f"train a new one on its encoder: bertsent train FILE --model {quote(str(name))} "
        "--output DIR",
    )


def foreign_settings(
    name_or_dir: object,
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    *,
    tell: bool = True,
) -> Settings:
    """Return `Settings` of a classifier without ``bertsent.json``, and sort the model's classes.

    If `tell` is true, a notice says how many tokens of a text the classifier reads.
    """
    names = [model.id2label[code] for code in range(model.num_labels)]
    twice, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise CheckpointError(
            f"{name_or_dir}: id2label in config.json names {times} classes {reprlib.repr(twice)}, "
            "so predictions could not tell them apart; give each class a name of its own there, or "
            + train_instead(name_or_dir)
        )
    objective, order = OBJECTIVES[model._config["problem_type"]].from_label_names(names)
    model._sort_classes(order, objective.label_names)
    positions, saved = model._engine["max_position_embeddings"], tokenizer.model_max_length
    # Less than 3 leaves no room for a word.
    max_length = positions if saved is None or saved < 3 else min(saved, positions)
    if tell:
        why = "as its tokenizer says" if max_length == saved else "for which it has positions"
        notice(
            f"{name_or_dir} reads {max_length} tokens of a text, {why} "
            f"({spell('max_length')} changes this)"
        )
    parameters = {
        "model": name_or_dir, "max_length": max_length, "long_text": "head",
        "inference_long_text": None,
    }
    return Settings(parameters, {
        "objective": objective,
        "learning_rate": None,
        "history": [],
        "max_length": max_length,
        "pairs": None,
    })
