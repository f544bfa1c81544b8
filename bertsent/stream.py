"""Labelling a file of any size: read, scored and written piece by piece."""

from numbers import Integral
from typing import NamedTuple

from bertsent.data import (
    column_texts,
    drop_missing,
    missing_cells,
    parquet_schema,
    read_chunks,
    require_columns,
)
from bertsent.formats import require_source
from bertsent.interrupts import sigint_interrupts
from bertsent.output import check_output, open_output
from bertsent.progress import row_progress

ADDED = ("predicted_label", "confidence")
# Enough texts to find some of equal length, few enough to hold; 4,096 reviews are 6 MB.
CHUNK_ROWS = 4096


class ScoredFile(NamedTuple):
    """What came of a file.

    Attributes
    ----------
    rows : int
        Rows labelled and written.
    rows_left_out : int
        Rows without a text, with ``missing="skip"``.
    """

    rows: int
    rows_left_out: int


def refuse_taken(columns, where):
    """Raise if a column has the name of one that is to be added."""
    taken = [name for name in ADDED if name in columns]
    if taken:
        raise ValueError(f"{where} has a column {taken[0]!r} already; rename it first")


def label_batches(classifier, batches, text_column):
    """Label batches as they come; see `BertClassifier.predict_batches`."""
    import pandas as pd

    for number, batch in enumerate(batches):
        frame, texts = None, batch
        if isinstance(batch, pd.DataFrame):
            frame = batch
            if text_column is None:
                raise ValueError(
                    f"batch {number} is a DataFrame; say in text_column which of its columns holds "
                    f"the texts: {', '.join(map(str, batch.columns))}"
                )
            require_columns(batch.columns, {"text_column": text_column}, f"batch {number}")
            refuse_taken(batch.columns, f"batch {number}")
            texts = batch[text_column]
        try:
            labels, confidence = classifier._label(texts)
        except TypeError as error:
            raise TypeError(f"batch {number}: {error}") from None
        if frame is None:
            frame = pd.DataFrame(index=batch.index if isinstance(batch, pd.Series) else None)
        yield frame.assign(predicted_label=labels, confidence=confidence)


def label_file(
    classifier, source, target, *, text_column, chunk_rows=CHUNK_ROWS, missing="error",
    overwrite=False, verbose=1,
):
    """Label the texts of a file; see `BertClassifier.predict_file`.

    ``target`` may be None here, for CSV on stdout.
    """
    if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, Integral) or chunk_rows < 1:
        raise ValueError(f"chunk_rows={chunk_rows!r}: expected a whole number of at least 1")
    if missing not in ("error", "skip"):
        raise ValueError(f"missing={missing!r}: expected 'error' or 'skip'")
    require_source(source)
    if target is not None:
        check_output(target, overwrite)
    with (
        sigint_interrupts(),
        row_progress(verbose) as progress,
        open_output(target, source) as output,
    ):
        columns, rows, left_out = _look_through(
            source, text_column, chunk_rows, missing, output, progress
        )
        progress.start(rows)
        written = 0
        for frame in read_chunks(source, chunk_rows, as_stored=True):
            frame, _ = drop_missing(_complete(frame, columns), [text_column], missing, source)
            if not len(frame):
                continue
            texts = column_texts(frame, text_column, source)
            progress.begin(len(texts))
            labels, confidence = classifier._label(texts, progress.part)
            output.write(frame.assign(predicted_label=labels, confidence=confidence.round(6)))
            written += len(frame)
        if written != rows:
            raise ValueError(
                f"{source} has changed while it was read: it had {rows:,} rows to label, and then "
                f"{written:,}; nothing is written"
            )
    return ScoredFile(rows, left_out)


def _look_through(source, text_column, chunk_rows, missing, output, progress):
    """Read a file once, so that what is wrong is found before hours of work and not after.

    Returns
    -------
    columns : list of str
        Of all rows; lines of JSON may each have others.
    rows : int
        To be labelled.
    left_out : int
    """
    progress.look(source)
    columns, wanted = {}, None
    schema = parquet_schema(source)
    if schema is not None:
        columns, wanted = dict.fromkeys(schema.names), [text_column]
        _check_columns(columns, text_column, source)
    rows = left_out = 0
    first_missing = None
    for frame in read_chunks(source, chunk_rows, columns=wanted, as_stored=True):
        columns |= dict.fromkeys(frame.columns)
        _check_columns(columns, text_column, source)
        output.learn(frame)
        frame = _complete(frame, [text_column])
        kept, n_missing = drop_missing(frame, [text_column], "skip", source)
        if n_missing and first_missing is None:
            first_missing = frame.index[frame[text_column].isna()][0]
        column_texts(kept, text_column, source)
        rows += len(kept)
        left_out += n_missing
        progress.looked(len(frame))
    if left_out and missing == "error":
        raise missing_cells(source, first_missing, text_column, left_out)
    if rows == 0:
        raise ValueError(f"{source}: no row is left to label")
    return list(columns), rows, left_out


def _check_columns(columns, text_column, source):
    option = "text_column (--text-column on the command line)"
    require_columns(columns, {option: text_column}, source)
    refuse_taken(columns, source)


def _complete(frame, columns):
    """The frame with all of the columns, in their order; those that it lacks are empty."""
    return frame if list(frame.columns) == columns else frame.reindex(columns=columns)
