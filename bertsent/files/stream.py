"""Label a file of any size: read, score and write it in chunks."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bertsent.files.readers import (
    column_texts,
    drop_missing,
    frame_texts,
    missing_cells,
    read_chunks,
    require_columns,
    row_namer,
    text_columns_of,
)
from bertsent.files.sources import Source, find_source
from bertsent.files.writers import check_output, open_output
from bertsent.system import Interrupts, check_interrupts, row_progress
from bertsent.texts import name_texts
from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.writers import Table
    from bertsent.system import SilentRows

# Enough texts that many have similar lengths, and few enough for memory: 4,096 reviews are 6 MB.
CHUNK_ROWS = 4096
# Decimal places of probabilities in a file.
DECIMALS = 6


class ScoredFile(NamedTuple):
    """The result of labelling a file.

    Attributes
    ----------
    rows : int
        Number of rows that were labelled and written.
    rows_left_out : int
        Number of rows without a text that were left out, with ``missing="skip"``.
    """

    rows: int
    rows_left_out: int


def refuse_taken(
    columns: Collection[Any], added: Iterable[str], where: str | PathLike[str]
) -> None:
    """Raise if a column has the name of one that is to be added."""
    taken = [name for name in added if name in columns]
    if taken:
        raise ValueError(f"{where} has a column {taken[0]!r} already; rename it first")


def check_files(
    source: Source,
    target: str | PathLike[str] | None,
    columns: Mapping[str, str],
    overwrite: bool = False,
) -> None:
    """Check that a file has its columns of texts, and then that the output may be written."""
    # Objects of JSON may lack a key, and the first one may be the only one that does.
    for frame in read_chunks(source, CHUNK_ROWS if source.kind == "json" else 1, as_stored=True):
        require_columns(frame.columns, columns, source)
        break
    if target is not None:
        check_output(target, overwrite)


def label_file(
    predict: Callable[..., dict[str, Any]],
    added: tuple[str, ...],
    source: str | PathLike[str] | Source,
    target: str | PathLike[str] | None,
    *,
    text_column: str | int,
    text_pair_column: str | int | None = None,
    possible: Sequence[Any],
    chunk_rows: int = CHUNK_ROWS,
    missing: str = "error",
    overwrite: bool = False,
    verbose: int = 1,
    printed: str = "csv",
) -> ScoredFile:
    """Label the texts of a file; see `BertClassifier.predict_file`.

    Parameters
    ----------
    predict : callable
        Takes texts, a function to call with the fraction of them that is done, and the
        ``decimals`` of probabilities; returns columns by name.
    added : tuple of str
        Names of these columns.
    source : str, path-like or Source
        As `find_source` takes it.
    target : str, path-like or None
        The file to write; None for stdout.
    text_column, text_pair_column
        As in `BertClassifier.predict_file`.
    possible : sequence
        The values that the first of the added columns can have; empty if they are not known.
    chunk_rows, missing, overwrite, verbose
        As in `BertClassifier.predict_file`.
    printed : {"csv", "json"}, default="csv"
        What is printed to stdout: CSV, or lines of JSON.

    Returns
    -------
    ScoredFile
    """
    if isinstance(chunk_rows, bool) or not isinstance(chunk_rows, Integral) or chunk_rows < 1:
        raise ValueError(
            f"{spell('chunk_rows', chunk_rows)}: expected a whole number of at least 1"
        )
    if missing not in ("error", "skip"):
        raise ValueError(f"{spell('missing', missing)}: expected 'error' or 'skip'")
    with contextlib.ExitStack() as stack:
        stack.enter_context(Interrupts())
        source = find_source(source)
        texts_in = text_columns_of(source, text_column, text_pair_column)
        chunks = read_chunks(source, chunk_rows, as_stored=True)
        first = next(chunks)
        # In JSON, an object may lack a key that others have.
        if source.kind != "json" or len(first) >= CHUNK_ROWS:
            require_columns(first.columns, texts_in, source)
        if target is not None:
            check_output(target, overwrite)
        chunks = itertools.chain([first], chunks)
        del first  # or it stays in memory
        progress = stack.enter_context(row_progress(verbose))
        output = stack.enter_context(open_output(target, source, printed))
        if len(possible):
            output.learn(pd.DataFrame({added[0]: possible}))
        columns, rows, left_out = _look_through(
            source, chunks, texts_in, added, missing, output, progress
        )
        progress.start(rows)
        written = 0

        def report(part: float) -> None:
            progress.part(part)
            check_interrupts()

        for frame in read_chunks(source, chunk_rows, as_stored=True):
            frame = _complete(frame, columns)
            frame, _ = drop_missing(frame, list(texts_in.values()), missing, source)
            if not len(frame):
                continue
            texts = frame_texts(frame, texts_in, source)
            for column in texts_in.values():
                if any(isinstance(value, bytes) for value in frame[column]):
                    frame = frame.assign(**{column: column_texts(frame, column, source)})
            progress.begin(len(texts))
            with name_texts(row_namer(source, frame.index)):
                found = predict(texts, report, decimals=DECIMALS)
            output.write(frame.assign(**found))
            written += len(frame)
        if written != rows:
            raise ValueError(
                f"{source} changed while it was read: it had {rows:,} rows to label, and then "
                f"{written:,}; nothing was written"
            )
    return ScoredFile(rows, left_out)


def _look_through(
    source: Source,
    chunks: Iterator[pd.DataFrame],
    texts_in: Mapping[str, str],
    added: tuple[str, ...],
    missing: str,
    output: Table,
    progress: SilentRows,
) -> tuple[list[Any], int, int]:
    """Read a file once, so that errors in it are found before hours of work and not after.

    Parameters
    ----------
    source : Source
    chunks : iterator of DataFrame
        All columns of all its rows: these will be written, so none may hold what cannot be.
    texts_in : dict
        From `text_columns_of`.
    added, missing
        As for `label_file`.
    output : Table
        Learns the types of the columns.
    progress : object
        Told how many rows were seen.

    Returns
    -------
    columns : list of str
        Columns of all rows; each line of JSON may have different ones.
    rows : int
        Number of rows to label.
    left_out : int
        Number of rows without a text.
    """
    progress.look(str(source))
    columns: dict[Any, None] = {}
    rows = left_out = 0
    first_missing, names = None, list(texts_in.values())
    for frame in chunks:
        check_interrupts()
        columns |= dict.fromkeys(frame.columns)
        refuse_taken(columns, added, str(source))
        output.learn(frame)
        frame = _complete(frame, names)
        kept, n_missing = drop_missing(frame, names, "skip", source)
        if n_missing and first_missing is None:
            row = int(np.flatnonzero(frame[names].isna().any(axis=1))[0])
            column = next(name for name in names if pd.isna(frame[name].iloc[row]))
            first_missing = frame.index[row], column
        frame_texts(kept, texts_in, source)
        rows += len(kept)
        left_out += n_missing
        progress.looked(len(frame))
    require_columns(columns, texts_in, source)
    if first_missing is not None and missing == "error":
        raise missing_cells(source, *first_missing, left_out)
    if rows == 0:
        raise ValueError(f"{source}: no row is left to label")
    return list(columns), rows, left_out


def _complete(frame: pd.DataFrame, columns: list[Any]) -> pd.DataFrame:
    """The frame with all of the columns, in their order; those that it lacks are empty."""
    return frame if list(frame.columns) == columns else frame.reindex(columns=columns)
