"""Find the training texts that a model sees as most similar: `BertClassifier.similar`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bertsent.classifier.declaration import whole
from bertsent.model import encode_texts, normalize
from bertsent.system import check_interrupts, interruptible, resolve_n_threads, row_progress
from bertsent.texts import are_pairs, check_alike, check_texts, name_texts, row_labels, text_columns
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Predictor
    from bertsent.texts import Text, Texts

# Products of vectors that are held at once: 64 MB.
_AT_ONCE = 1 << 24


@interruptible("the search for similar texts was interrupted")
def find_neighbours(
    predictor: Predictor, X: Texts, X_train: Texts, n: int, verbose: bool | int = True
) -> pd.DataFrame:
    """Find similar texts; see `BertClassifier.similar`.

    Parameters
    ----------
    predictor : Predictor
    X, X_train, n
        As in `BertClassifier.similar`.
    verbose : bool or int, default=True
        Whether to display the progress.
    """
    precision = predictor.check()
    kind = whole(1)
    if not kind.accepts(n):
        raise ValueError(f"{spell('n', n)} is not allowed; expected {kind.allowed}")
    strip = predictor.parameters["strip_html"]
    both: list[list[Text]] = []
    for name, given in (("X", X), ("X_train", X_train)):
        texts = check_texts(given, name, strip=strip)
        predictor.fitted.check_columns(given, texts)
        if not len(texts):
            raise ValueError(f"{name} is empty")
        both.append(texts)
    texts, known = both
    check_alike(known, "X_train", are_pairs(texts))
    vectors = _encode(predictor, both, precision, verbose)
    rows, places = row_labels(X), row_labels(X_train)
    count = min(n, len(known))
    nearest, similarities = _nearest(vectors[0], vectors[1], count)
    at = np.repeat(np.arange(len(texts)), count)
    found = nearest.ravel()
    given = text_columns([known[row] for row in found])
    return pd.DataFrame({
        "row": at if rows is None else rows[at],
        "similar_row": found if places is None else places[found],
        "similarity": similarities.ravel(),
        **given,
    })


def _encode(
    predictor: Predictor, both: list[list[Text]], precision: str, verbose: bool | int
) -> list[npt.NDArray[np.float32]]:
    """Return the vectors of both lists of texts, of length 1."""
    found = []
    n_threads = resolve_n_threads(predictor.parameters["n_threads"])
    with row_progress(verbose) as progress:
        progress.start(sum(map(len, both)))
        for name, texts in zip(("X", "X_train"), both, strict=True):
            progress.begin(len(texts))
            with name_texts(lambda number, name=name: f"{name}[{number}]"):  # type: ignore[misc]
                vectors = encode_texts(
                    predictor.fitted.model, predictor.fitted.tokenizer, texts,
                    predictor.reader(0, pairs=are_pairs(texts)), n_threads, progress.part,
                    precision=precision, memory_limit=predictor.parameters["memory_limit"],
                )
            found.append(normalize(vectors))
            check_interrupts()
    return found


def _nearest(
    vectors: npt.NDArray[np.float32], known: npt.NDArray[np.float32], n: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Return the `n` nearest rows of `known` for each row of `vectors`, and the cosines."""
    rows, cosines = [], []
    step = max(1, _AT_ONCE // len(known))
    for begin in range(0, len(vectors), step):
        check_interrupts()
        products = vectors[begin : begin + step] @ known.T
        least = np.partition(products, -n, axis=1)[:, -n]
        for own, lowest in zip(products, least, strict=True):
            # Ties are in the order of the texts, also those at the last place.
            near = np.flatnonzero(own >= lowest)
            near = near[np.argsort(-own[near], kind="stable")[:n]]
            rows.append(near)
            cosines.append(own[near].astype(np.float64))
    return np.stack(rows), np.stack(cosines)
