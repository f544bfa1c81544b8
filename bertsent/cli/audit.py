"""What ``bertsent train --track-examples`` tells of its data, by the rows of the files."""

import pandas as pd


def example_table(classifier, corpus):
    """`example_history_` with row numbers as split.csv has them."""
    rows = _rows(corpus, "train")
    table = classifier.example_history_
    return table.assign(row=rows[table["row"].to_numpy()])


def audit_table(classifier, corpus):
    """`BertClassifier.audit` of all that was read, with such row numbers."""
    return classifier.audit(
        pd.Series(corpus.train_texts, index=_rows(corpus, "train"), dtype=object),
        X_test=pd.Series(corpus.test_texts, index=_rows(corpus, "test"), dtype=object),
        y_test=corpus.test_labels,
    )


def describe_audit(table):
    """The table in a line."""
    groups = table["group"][table["kind"] == "duplicate"].nunique()
    leaks = int((table["kind"] == "leak").sum())
    return (
        f"audit.csv ranks the labels by how likely they are wrong; {groups:,} groups of "
        f"near-duplicates among the texts trained on, {leaks:,} held-out texts with one in there"
    )


def _rows(corpus, part):
    split = corpus.split
    return split.loc[split["part"] == part, "row"].to_numpy()
