"""What ``bertsent train`` trains and tests on, read and split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import bertsent
from bertsent.cli.arguments import DEFAULT_TEST_SIZE
from bertsent.data import (
    column_labels,
    drop_missing,
    hash_data,
    is_split_folder,
    match_labels,
    read_table,
    require_columns,
)
from bertsent.labels import check_labels
from bertsent.split import split_rows
from bertsent.texts import check_texts, strip_html

SAMPLE = Path(bertsent.__file__).resolve().parent / "sample" / "reviews.csv"


@dataclass(frozen=True)
class Corpus:
    """Texts and labels of both sides.

    Parameters
    ----------
    train_texts, test_texts : list of str
    train_labels, test_labels : ndarray
    split : DataFrame
        One row of ``source``, ``row``, ``part`` for each row used.
    origin : dict
        Where the rows come from, with their hash, for ``run.json``.
    summary : str
        The same for people.
    """

    train_texts: list
    train_labels: np.ndarray
    test_texts: list
    test_labels: np.ndarray
    split: pd.DataFrame
    origin: dict
    summary: str


def load_corpus(args, parameters):
    """Read and split what the command line names."""
    if args.sample:
        source, name = SAMPLE, "the bundled sample"
        columns = {"--text-column": "review", "--label-column": "sentiment"}
    else:
        source = name = args.data
        columns = {"--text-column": args.text_column, "--label-column": args.label_column}
    frame, n_missing = _read(source, columns, args.missing)
    text_column, label_column = columns.values()
    labels, _, _ = check_labels(
        column_labels(frame[label_column]), f"column {label_column!r}"
    )
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(
            f"{name}: column {label_column!r} holds one class only ({classes.tolist()}); "
            "a classifier needs at least two"
        )
    texts = check_texts(frame[text_column])
    seed = parameters["random_state"]
    origin = {"source": str(name), "sha256": hash_data(source), "rows": len(frame),
              "rows_left_out": n_missing, "seed": seed}
    lines = [f"data:  {name}, {len(frame):,} texts: " + _class_counts(classes, counts)]
    if args.sample:
        lines.append("       short reviews written for this package, for trying it out only")
    if n_missing:
        lines.append(f"       {n_missing:,} rows with an empty cell left out")

    if args.test_data is not None:
        is_test = np.zeros(len(frame), dtype=bool)
        lines.append("split: all rows are trained on")
    elif not args.sample and is_split_folder(source):
        if args.test_size is not None:
            args.usage_error("an aclImdb folder brings its own split; leave --test-size out")
        is_test = (frame["part"] == "test").to_numpy()
        lines.append("split: by the folders train and test")
    else:
        test_size = DEFAULT_TEST_SIZE if args.test_size is None else args.test_size
        as_read = [strip_html(text) for text in texts] if parameters["strip_html"] else texts
        is_test, n_repeats = split_rows(as_read, labels, test_size, seed)
        origin |= {"test_size": test_size, "repeated_texts": n_repeats}
        lines.append(
            f"split: shuffled, every class alike, seed {seed}\n"
            f"       {n_repeats:,} rows repeat the text of another; equal texts stay on one side"
        )
        if not is_test.any():
            raise ValueError(f"{name}: {len(frame)} rows are too few to split")
    split = pd.DataFrame(
        {"source": str(name), "row": frame.index, "part": np.where(is_test, "test", "train")}
    )
    sides = np.array(texts, dtype=object)
    test_texts, test_labels = sides[is_test].tolist(), labels[is_test]
    if args.test_data is not None:
        held_out, n_missing = _read(args.test_data, columns, args.missing)
        test_texts = check_texts(held_out[text_column])
        test_labels = match_labels(held_out[label_column], classes, args.test_data)
        origin["test"] = {"source": args.test_data, "sha256": hash_data(args.test_data),
                          "rows": len(held_out), "rows_left_out": n_missing}
        tested = {"source": args.test_data, "row": held_out.index, "part": "test"}
        split = pd.concat([split, pd.DataFrame(tested)])
    lines.append(f"       {int((~is_test).sum()):,} texts to train on, {len(test_texts):,} to test")
    return Corpus(
        train_texts=sides[~is_test].tolist(),
        train_labels=labels[~is_test],
        test_texts=test_texts,
        test_labels=test_labels,
        split=split,
        origin=origin,
        summary="\n".join(lines),
    )


def _read(source, columns, missing):
    frame = read_table(source)
    require_columns(frame.columns, columns, source)
    frame, n_missing = drop_missing(frame, list(columns.values()), missing, source)
    if len(frame) == 0:
        raise ValueError(f"{source}: every row has an empty cell")
    return frame, n_missing


def _class_counts(classes, counts):
    shown = [f"{count:,} {label}" for label, count in zip(classes.tolist(), counts, strict=True)]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more classes" if shown[10:] else "")
