"""Suggest which texts to label next, for a fitted classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bertsent.active_learning import (
    check_request,
    choose,
    describe_shortage,
    distinct_rows,
)
from bertsent.system import interruptible, row_progress, warn
from bertsent.texts import check_texts, name_texts, row_labels, text_columns

if TYPE_CHECKING:
    from bertsent.classifier.fitted import Predictor
    from bertsent.texts import Texts


@interruptible("the choice of texts was interrupted")
def suggest_labels(
    predictor: Predictor,
    X: Texts,
    n: int,
    candidates: int,
    threshold: float,
    verbose: bool | int = True,
) -> pd.DataFrame:
    """Choose texts to label; see `BertClassifier.suggest_labels`.

    Parameters
    ----------
    predictor : Predictor
    X, n, candidates, threshold
        As in `BertClassifier.suggest_labels`.
    verbose : bool or int, default=True
        Whether to display the progress.

    Returns
    -------
    DataFrame
    """
    predictor.check()
    texts = check_texts(X, "X")
    predictor.fitted.check_columns(X, texts)
    check_request(len(texts), n, candidates, threshold)
    known = predictor.seen_in_training(texts)
    rows = distinct_rows(texts, known)
    if not len(rows):
        raise ValueError(
            f"the classifier was trained on all {len(texts):,} texts; there is nothing to choose "
            "from"
        )
    left = [texts[row] for row in rows]
    with row_progress(verbose) as progress:
        progress.start(len(left))
        progress.begin(len(left))
        with name_texts(lambda number: f"X[{rows[number]}]"):
            logits, vectors = predictor.logits_and_vectors(left, progress.part)
    objective = predictor.objective
    uncertainty = objective.uncertainty(logits)
    found = choose(left, vectors, n, uncertainty, candidates=candidates, threshold=threshold)
    if len(found.rows) < n:
        message = describe_shortage(n, len(found.rows), len(texts), int(known.sum()))
        warn(message, once=False, verbose=verbose)
    at, labels = rows[found.rows], row_labels(X)
    return pd.DataFrame({
        "row": at if labels is None else labels[at],
        **text_columns([texts[row] for row in at]),
        **objective.prediction_table(logits[found.rows]),
        "uncertainty": uncertainty[found.rows],
        "represents": found.represents,
    })
