"""Count the texts and tokens of a file, as training and prediction would read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.errors import CheckpointError, ModelNotFoundError
from bertsent.files import (
    Source,
    drop_missing,
    find_source,
    frame_texts,
    hold_directory,
    is_split_folder,
    parquet_schema,
    read_chunks,
    require_columns,
    row_namer,
)
from bertsent.hub import read_model_shape, resolve_directory
from bertsent.model import MINILM, MOST_TOKENS
from bertsent.system import row_progress
from bertsent.texts import (
    Reader,
    are_pairs,
    as_single,
    count_tokens,
    name_texts,
    strip_texts,
    sum_pairs,
    take_apart,
)
from bertsent.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text

Ints: TypeAlias = "npt.NDArray[np.int64]"

CHUNK_ROWS = 4096
# For English reviews with the vocabulary of uncased BERT, without [CLS] and [SEP].
CHARACTERS_A_TOKEN = 4.2


def read_shape(
    name: str | PathLike[str], *, wants_tokenizer: bool
) -> tuple[dict[str, Any], Tokenizer | None, str | None]:
    """Return the configuration and the tokenizer of a model.

    Returns
    -------
    shape : dict
        Content of its ``config.json``, or that of MiniLM if the model is not available.
    tokenizer : Tokenizer or None
    note : str or None
        Why the model is not available.
    """
    if name == "minilm" and not wants_tokenizer:
        return MINILM, None, None
    try:
        directory = resolve_directory(name, weights=False)
        with hold_directory(directory):
            shape, _ = read_model_shape(directory)
            if not wants_tokenizer:
                return shape, None, None
            return shape, Tokenizer.from_files(directory), None
    except (CheckpointError, ModelNotFoundError) as error:
        return MINILM, None, str(error)


def count_job(
    data: str | PathLike[str] | Source,
    columns: Mapping[str, str],
    readers: Sequence[Reader],
    tokenizer: Tokenizer | None,
    *,
    test_size: float,
    strip: bool,
    show_bar: bool,
) -> tuple[dict[str, Any], Ints]:
    """Count texts and tokens of a collection.

    Parameters
    ----------
    data : str, path-like or Source
        As `bertsent.files.find_source` takes it.
    columns : dict
        The columns of texts; see `bertsent.files.text_columns_of`.
    readers : two of Reader
        The readers of training and prediction.
    tokenizer : Tokenizer or None
        Without one, tokens are estimated from characters.
    test_size : float
        Fraction of the texts to test on, unless the folder has its own split.
    strip : bool
        Whether HTML tags are removed.
    show_bar : bool

    Returns
    -------
    job : dict
        In the form that `bertsent.model.speed.estimate` takes, with further facts about the data.
    lengths : ndarray of int
        Number of tokens in each text or window, as training reads them.
    """
    data = find_source(data)
    brings_split, schema = is_split_folder(data), parquet_schema(data)
    wanted, names = None, list(columns.values())
    if schema is not None:
        require_columns(schema.names, columns, data)
        wanted = names
    texts_cut = left_out = characters = 0
    pieces, trained, scored, tested = [], [], [], []
    with row_progress(show_bar) as progress:
        progress.look(str(data))
        for frame in read_chunks(data, CHUNK_ROWS, columns=wanted):
            require_columns(frame.columns, columns, data)
            frame, n_missing = drop_missing(frame, names, "skip", data)
            left_out += n_missing
            texts = frame_texts(frame, columns, data)
            if strip:
                texts = strip_texts(texts)
            with name_texts(row_namer(data, frame.index)):
                totals = _count_tokens(texts, tokenizer)
            characters += sum(map(len, as_single(texts)))
            texts_cut += int(np.count_nonzero(sum_pairs(totals) > readers[0].room))
            training, scoring = (reader.sequence_lengths(totals) for reader in readers)
            pieces.append(training[0])
            trained.append(_per_text(*training))
            scored.append(_per_text(*scoring))
            if brings_split:
                tested.append((frame["part"] == "test").to_numpy())
            progress.looked(len(frame))
    lengths, of_texts, of_scored = map(np.concatenate, (pieces, trained, scored))
    if not len(lengths):
        raise ValueError(f"{data}: every row has an empty cell")
    tokens, scored_tokens, n_texts = int(lengths.sum()), int(of_scored.sum()), len(of_texts)
    if brings_split:
        is_test = np.concatenate(tested)
        test_texts, test_tokens = int(is_test.sum()), int(of_scored[is_test].sum())
        train_tokens = int(of_texts[~is_test].sum())
    else:
        test_texts = round(test_size * n_texts)
        test_tokens = round(scored_tokens * test_texts / n_texts)
        train_tokens = tokens - round(tokens * test_texts / n_texts)
    # Approximate number of tokens in texts that are too long for one pass and run forward twice.
    twice = int(of_texts[of_texts > MOST_TOKENS].sum())
    return {
        "data": str(data),
        "texts": n_texts,
        "rows_left_out": left_out,
        "tokens": tokens,
        "predicted_tokens": scored_tokens,
        "characters": characters,
        "texts_cut": texts_cut,
        "tokens_estimated": tokenizer is None,
        "train_texts": n_texts - test_texts,
        "train_tokens": train_tokens,
        "train_tokens_twice": round(twice * train_tokens / tokens),
        "test_tokens": test_tokens,
    }, lengths


def _count_tokens(texts: list[Text], tokenizer: Tokenizer | None) -> Ints:
    """Return the tokens of each whole text; without a tokenizer, estimated from characters."""
    if tokenizer is None:
        sides = take_apart(texts) if are_pairs(texts) else [as_single(texts)]
        counts = [[round(len(text) / CHARACTERS_A_TOKEN) for text in side] for side in sides]
        return np.array(counts if len(counts) > 1 else counts[0], dtype=int).T
    return count_tokens(tokenizer, texts)


def _per_text(lengths: Ints, first: Ints) -> Ints:
    """Return the tokens of each text, given those of its sequences."""
    return np.diff(np.concatenate([[0], np.cumsum(lengths)])[first])
