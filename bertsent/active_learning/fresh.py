"""The first texts to label, before there are any labels: by diversity alone."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bertsent.active_learning.choice import (
    MOST_TEXTS,
    check_request,
    choose,
    describe_shortage,
    distinct_rows,
)
from bertsent.model import encode_texts, open_encoder, resolve_precision
from bertsent.system import check_interrupts, interruptible, resolve_n_threads, row_progress, warn
from bertsent.texts import (
    Reader,
    are_pairs,
    check_texts,
    name_texts,
    resolve_max_length,
    row_labels,
    text_columns,
)

if TYPE_CHECKING:
    from bertsent.texts import Texts


@interruptible("the choice of texts was interrupted")
def suggest_labels(
    X: Texts,
    n: int = 50,
    *,
    model: str | PathLike[str] = "minilm",
    max_length: int | str = "auto",
    threshold: float = 0.5,
    precision: str = "auto",
    n_threads: int | None = None,
    memory_limit: int | str | None = None,
    random_state: int = 0,
    verbose: int = 1,
) -> pd.DataFrame:
    """Choose the first texts to label, before there are any labels.

    The texts differ as much as possible: k-means divides all texts into `n` clusters, and the text
    next to each centre is chosen. With labels for these, fit a `BertClassifier`; its method
    `suggest_labels` then knows which texts it is uncertain about.

    Parameters
    ----------
    X : list, Series, array or table of one column of str, or two for pairs
        Texts without labels. Of more than 20,000, a random sample of 20,000 is used.
    n : int, default=50
        Number of texts to choose.
    model : str or path-like, default="minilm"
        Model that computes a vector for each text, the mean of its last layer over all tokens: a
        name or directory as in `BertClassifier`. Sentence encoders such as the default do this
        best.
    max_length : int or "auto", default="auto"
        Number of tokens that the model reads at once. "auto" is 256, or the number of positions of
        the model if that is smaller. Longer texts are read in windows.
    threshold : float, default=0.5
        Similarity, above 0 and up to 1, from which two texts are near-duplicates, as in
        `BertClassifier.audit`. Of these, at most one is chosen.
    precision : {"auto", "float32", "bfloat16", "int8"}, default="auto"
        As `inference_precision` of `BertClassifier`.
    n_threads : int or None, default=None
        As in `BertClassifier`. It does not affect the result.
    memory_limit : int, str or None, default=None
        As in `BertClassifier`.
    random_state : int, default=0
        Seed of the first centres of k-means and of the sample.
    verbose : int, default=1
        0 for silence, 1 for progress.

    Returns
    -------
    DataFrame
        One row for each chosen text, those of large clusters first: ``row`` (the number of the
        text, or its index label if `X` has an index), ``text``, and ``represents``, the number of
        texts in its cluster.

    Raises
    ------
    CheckpointError, ModelNotFoundError
        The model cannot be used.
    TypeError, ValueError
        An item of `X` is not a text, there are fewer than `n`, or a parameter has an invalid
        value.

    Warns
    -----
    UserWarning
        Fewer than `n` texts are different.

    See Also
    --------
    bertsent.BertClassifier.suggest_labels : The choice once there are some labels.

    Notes
    -----
    On 4,500 film reviews with MiniLM, a linear classifier of vectors was more accurate with the
    first 100 labels chosen like this than with 100 at random, by two points (docs/labels.md).

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import suggest_labels
    >>> texts = pd.read_csv("new.csv")["text"]
    >>> suggest_labels(texts, 3)[["row", "represents"]].shape
    (3, 2)
    """
    texts = check_texts(X, "X")
    check_request(len(texts), n, 1, threshold)
    precision = resolve_precision(precision, "precision")
    threads = resolve_n_threads(n_threads)
    rows = distinct_rows(texts)
    if len(rows) > MOST_TEXTS:
        sample = np.random.default_rng(random_state).permutation(len(rows))[: max(MOST_TEXTS, n)]
        rows = rows[np.sort(sample)]
    encoder, tokenizer = open_encoder(model)
    positions = encoder._engine["max_position_embeddings"]
    special = tokenizer.num_special_tokens_to_add(are_pairs(texts))
    reader = Reader(resolve_max_length(max_length, positions), "windows", special=special)
    left = [texts[row] for row in rows]
    with row_progress(verbose) as progress:
        progress.start(len(left))
        progress.begin(len(left))

        def report(part: float) -> None:
            progress.part(part)
            check_interrupts()

        with name_texts(lambda number: f"X[{rows[number]}]"):
            vectors = encode_texts(
                encoder, tokenizer, left, reader, threads, report, precision=precision,
                memory_limit=memory_limit,
            )
    found = choose(left, vectors, n, threshold=threshold, seed=random_state)
    if len(found.rows) < n:
        warn(describe_shortage(n, len(found.rows), len(texts), 0), once=False, verbose=verbose)
    at, labels = rows[found.rows], row_labels(X)
    return pd.DataFrame({
        "row": at if labels is None else labels[at],
        **text_columns([texts[row] for row in at]),
        "represents": found.represents,
    })
