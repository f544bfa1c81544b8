"""The audit of ``bertsent train --track-examples``, with the row numbers of the files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier import BertClassifier, BertEstimator
    from bertsent.cli.corpus import Corpus


def example_table(classifier: BertEstimator, corpus: Corpus) -> pd.DataFrame:
    """Return `example_history_` with the row numbers in split.csv."""
    rows = _rows(corpus, "train")
    table = classifier.example_history_
    assert table is not None
    return table.assign(row=rows[table["row"].to_numpy()])


def audit_table(classifier: BertClassifier, corpus: Corpus) -> pd.DataFrame:
    """Return the result of `BertClassifier.audit`, with the row numbers in split.csv."""
    return classifier.audit(
        pd.Series(corpus.train_texts, index=_rows(corpus, "train"), dtype=object),
        X_test=pd.Series(corpus.test_texts, index=_rows(corpus, "test"), dtype=object),
        y_test=corpus.test_labels,
    )


def describe_audit(table: pd.DataFrame) -> str:
    """Return a summary of the table as text."""
    groups = table["group"][table["kind"] == "duplicate"].nunique()
    leaks = int((table["kind"] == "leak").sum())
    return (
        "audit.csv ranks the labels by how likely they are wrong, and lists\n"
        f"{groups:,} groups of near-duplicates in the training texts and\n"
        f"{leaks:,} held-out texts that have a near-duplicate in the training texts"
    )


def _rows(corpus: Corpus, part: str) -> npt.NDArray[Any]:
    split = corpus.split
    return split.loc[split["part"] == part, "row"].to_numpy()
