"""The vectors of texts, from a pretrained model without its head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertsent.files import hold_directory
from bertsent.hub import (
    load_model_directory,
    resolve_directory,
    sentence_pooling,
    with_pooling,
)
from bertsent.model.bert import BertForSequenceClassification
from bertsent.model.scoring import pool_pieces
from bertsent.texts import Reader, Windows
from bertsent.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent._core import ArrowTexts
    from bertsent.texts import Text


def open_encoder(
    name_or_dir: str | PathLike[str], pooling: str = "mean"
) -> tuple[BertForSequenceClassification, Tokenizer]:
    """Return a pretrained model whose vectors are wanted, and its tokenizer.

    Parameters
    ----------
    name_or_dir : str or path-like
        As in `BertClassifier`.
    pooling : {"auto", "cls", "mean"}, default="mean"
        What the vectors are of the last layer; see `BertForSequenceClassification.pool_packed`.
        "auto" is the pooling that a sentence encoder or a classifier was trained with, and "mean"
        for other models.

    Returns
    -------
    model : BertForSequenceClassification
        Its head is a new one for two classes, with fixed random weights.
    tokenizer : Tokenizer

    Raises
    ------
    CheckpointError, ModelNotFoundError
        The model cannot be used.
    """
    directory = resolve_directory(name_or_dir)
    with hold_directory(directory):
        loaded = load_model_directory(
            directory, source=str(name_or_dir), tell=False, random_state=0, new_classifier=True,
        )
        if pooling == "auto":
            own = loaded.engine["pooling"] if loaded.discarded else "mean"
            pooling = sentence_pooling(Path(directory), str(name_or_dir)) or own
        tokenizer = Tokenizer.from_files(directory)
    model = BertForSequenceClassification._assemble(
        with_pooling(loaded.config, pooling), loaded.engine | {"pooling": pooling}, loaded.flat
    )
    tokenizer.limit_ids(model._engine["vocab_size"], model._engine["type_vocab_size"])
    return model, tokenizer


def encode_texts(
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    texts: Sequence[Text] | ArrowTexts,
    reader: Reader,
    n_threads: int,
    report: Callable[[float], None] | None = None,
    *,
    precision: str = "float32",
    memory_limit: int | str | None = None,
) -> npt.NDArray[np.float32]:
    """Return the vector of each text.

    Parameters
    ----------
    model : BertForSequenceClassification
        Its pooling says what the vectors are.
    tokenizer : Tokenizer
    texts : list of str, list of pairs, or ArrowTexts
    reader : Reader
        Which part of a long text is read. The vector of a text in windows is the mean of those of
        its windows, weighted by their numbers of tokens.
    n_threads : int
        It does not affect the vectors.
    report, precision, memory_limit
        As in `pool_pieces`.

    Returns
    -------
    ndarray of float32, shape (n_texts, hidden_size)
        Not normalized; `normalize` does that.
    """
    tokens = reader.encode(tokenizer, texts, n_threads)
    _, vectors = pool_pieces(
        model, tokens.ids, tokens.offsets, n_threads, report, types=tokens.token_type_ids,
        precision=precision, memory_limit=memory_limit,
    )
    windows = Windows.of(tokens)
    return vectors if windows is None else windows.mean(vectors)
