"""Read the data of ``bertsent train`` and ``bertsent pretrain``, and split that of the former."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import bertsent
from bertsent.cli.flags import (
    DEFAULT_TEST_SIZE,
    TASKS,
    check_label_sets,
    columns_of_texts,
    read_source,
    settle_columns,
)
from bertsent.files import (
    Dialect,
    column_texts,
    find_source,
    frame_texts,
    hash_data,
    is_split_folder,
    read_rows,
    row_namer,
)
from bertsent.objectives import (
    MultiLabelClassification,
    Regression,
    choose_objective,
)
from bertsent.texts import (
    check_training_texts,
    column_labels,
    column_lists,
    is_multi_label,
    split_rows,
    strip_texts,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.files import Field, Source
    from bertsent.objectives import Objective
    from bertsent.texts import Text

# The arguments that decide which texts are trained on.
_FLAGS = (
    "data", "sample", "task", "text_column", "text_pair_column", "label_column", "label_separator",
    "label_columns", "missing", "test_size", "test_data", "unlabelled",
    *(field.name for field in fields(Dialect)),
)
# What `bertsent pretrain` has no flags for.
_WITHOUT_LABELS = {
    "sample": False, "text_pair_column": None, "task": TASKS[0], "label_column": "",
    "label_separator": None, "label_columns": None, "test_size": None, "test_data": None,
    "unlabelled": None,
}
# What the logs of earlier versions do not have.
_NEWER = {
    "task": TASKS[0], "text_pair_column": None, "label_separator": None, "label_columns": None,
    "unlabelled": None,
}
SAMPLE = Path(bertsent.__file__).resolve().parent / "sample" / "reviews.csv"


@dataclass(frozen=True)
class Corpus:
    """Texts and labels for training and for testing.

    Parameters
    ----------
    train_texts, test_texts : list of str, or of pairs
    train_labels, test_labels : ndarray or DataFrame
    objective_class : type
        What is learned from the labels.
    split : DataFrame
        One row for each row of the data, with ``source``, ``row`` and ``part``.
    origin : dict
        Description of the data, with its hash, for ``run.json``.
    summary : str
        Description of the data for people.
    name_train, name_test : callable
        Take the number of a text, and return the row of the data in words.
    unlabelled : list of str, or of pairs, or None
        Texts of ``--unlabelled`` that are not among those for testing.
    """

    train_texts: list[Text]
    train_labels: Any
    test_texts: list[Text]
    test_labels: Any
    objective_class: type[Objective]
    split: pd.DataFrame
    origin: dict[str, Any]
    summary: str
    name_train: Callable[[int], str]
    name_test: Callable[[int], str]
    unlabelled: list[Text] | None


@dataclass(frozen=True)
class _Labelled:
    """The rows of a collection, with their labels as the objective takes them."""

    source: Source
    name: str
    columns: dict[str, str | list[str]]
    frame: pd.DataFrame
    n_missing: int
    labels: Any
    objective: Objective
    targets: npt.NDArray[Any]
    texts: list[Text]


def load_corpus(args: argparse.Namespace, parameters: Mapping[str, Any]) -> Corpus:
    """Read and split the data that the command line names."""
    held_out_source = None if args.test_data is None else read_source(args, args.test_data)
    read = _read_labelled(args, parameters)
    source, name, columns, frame = read.source, read.name, read.columns, read.frame
    labels, objective = read.labels, read.objective
    origin: dict[str, Any] = {
        "source": name, "sha256": hash_data(source), "rows": len(frame),
        "rows_left_out": read.n_missing, "seed": parameters["random_state"],
    }
    counts = objective.describe_targets(read.targets)
    kind = "texts" if args.text_pair_column is None else "pairs of texts"
    lines = [f"data:  {name}, {len(frame):,} {kind}" + (counts and f": {counts}")]
    if args.sample:
        lines.append("       short reviews written for this package, only for trying it out")
    if read.n_missing:
        lines.append(f"       {read.n_missing:,} rows with an empty cell left out")
    is_test = _choose_test(args, parameters, read, lines, origin)
    split = pd.DataFrame(
        {"source": name, "row": frame.index, "part": np.where(is_test, "test", "train")}
    )
    test_texts, test_labels = _select(read.texts, is_test), labels[is_test]
    name_train = row_namer(source, frame.index[~is_test])
    name_test = row_namer(source, frame.index[is_test])
    if held_out_source is not None:
        held_out, n_missing = read_rows(
            held_out_source, columns, args.missing,
            may_be_empty=may_be_empty(args, objective.takes_threshold),
        )
        test_texts = frame_texts(held_out, columns_of_texts(args), held_out_source)
        name_test = row_namer(held_out_source, held_out.index)
        test_labels = match_labels(args, objective, held_out, str(held_out_source))
        origin["test"] = {"source": str(held_out_source), "sha256": hash_data(held_out_source),
                          "rows": len(held_out), "rows_left_out": n_missing}
        tested = {"source": str(held_out_source), "row": held_out.index, "part": "test"}
        split = pd.concat([split, pd.DataFrame(tested)])
    unlabelled, without_labels = _read_unlabelled(args, test_texts)
    if unlabelled is not None:
        origin["unlabelled"] = without_labels
        lines.append(f"       {len(unlabelled):,} texts without labels: {without_labels['source']}")
    lines.append(f"       {int((~is_test).sum()):,} texts to train on, {len(test_texts):,} to test")
    return Corpus(
        train_texts=_select(read.texts, ~is_test),
        train_labels=labels[~is_test],
        test_texts=test_texts,
        test_labels=test_labels,
        objective_class=type(objective),
        split=split,
        origin=origin,
        summary="\n".join(lines),
        name_train=name_train,
        name_test=name_test,
        unlabelled=unlabelled,
    )


def load_training_part(
    args: argparse.Namespace, parameters: Mapping[str, Any]
) -> tuple[list[Text], Any, list[Text] | None, Callable[[int], str]]:
    """Return what `load_corpus` would train on, and a function that names rows.

    Returns
    -------
    texts : list of str, or of pairs
    labels : as in `Corpus`
    unlabelled : list of str, or of pairs, or None
    name_text : callable
    """
    read = _read_labelled(args, parameters)
    train = ~_choose_test(args, parameters, read, [], {})
    test_texts = _select(read.texts, ~train)
    if args.unlabelled is not None and args.test_data:
        source = read_source(args, args.test_data)
        empty = may_be_empty(args, read.objective.takes_threshold)
        tested, _ = read_rows(source, read.columns, args.missing, may_be_empty=empty)
        test_texts = frame_texts(tested, columns_of_texts(args), source)
    unlabelled, _ = _read_unlabelled(args, test_texts)
    name_text = row_namer(read.source, read.frame.index[train])
    return _select(read.texts, train), read.labels[train], unlabelled, name_text


def _select(texts: list[Text], chosen: npt.NDArray[np.bool_]) -> list[Text]:
    return [texts[row] for row in np.flatnonzero(chosen)]


def _read_unlabelled(
    args: argparse.Namespace, test_texts: list[Text]
) -> tuple[list[Text] | None, dict[str, Any]]:
    """Return the texts of ``--unlabelled`` without those for testing, and where they are from."""
    if args.unlabelled is None:
        return None, {}
    columns, tested = columns_of_texts(args), set(test_texts)
    source = read_source(args, args.unlabelled)
    frame, n_missing = read_rows(source, columns, args.missing)
    texts = frame_texts(frame, columns, source)
    origin = {"source": str(source), "sha256": hash_data(source), "rows": len(frame),
              "rows_left_out": n_missing}
    return [text for text in texts if text not in tested], origin


def load_labelled(
    args: argparse.Namespace, parameters: Mapping[str, Any],
) -> tuple[list[Text], Any, Callable[[int], str], str]:
    """Read labelled texts that are not split yet.

    Returns
    -------
    texts : list of str, or of pairs
    labels : ndarray
    name_text : callable
        Takes the number of a text, and returns the row of the data in words.
    summary : str
        Description of the data for people.
    """
    read = _read_labelled(args, parameters)
    counts = read.objective.describe_targets(read.targets)
    summary = f"data:  {read.name}, {len(read.texts):,} texts" + (counts and f": {counts}")
    if read.n_missing:
        summary += f"\n       {read.n_missing:,} rows with an empty cell left out"
    return read.texts, read.labels, row_namer(read.source, read.frame.index), summary


def load_texts(
    args: argparse.Namespace,
) -> tuple[list[str], dict[str, Any], Callable[[int], str]]:
    """Read texts without labels.

    Returns
    -------
    texts : list of str
    origin : dict
        Description of the data, with its hash and how it was read.
    name_text : callable
        Takes the number of a text, and returns the row of the data in words.
    """
    source = read_source(args, args.data)
    settle_columns(args, source, pairs=False)
    frame, n_missing = read_rows(source, {"text_column": args.text_column}, args.missing)
    texts = column_texts(frame, args.text_column, source)
    origin = {
        "source": str(source), "sha256": hash_data(source), "rows": len(frame),
        "rows_left_out": n_missing, "flags": reading_flags(args),
    }
    return texts, origin, row_namer(source, frame.index)


def reading_flags(args: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that decide which texts are trained on, as plain values."""
    given = _WITHOUT_LABELS | vars(args)
    return {name: given[name] for name in _FLAGS}


def restore_flags(saved: Field) -> argparse.Namespace:
    """Undo `reading_flags` for arguments from a log, which are checked."""
    flags = {
        name: saved.get(name, _NEWER[name]) if name in _NEWER else saved[name]
        for name in _FLAGS
    }
    for name in ("sample", "header"):
        flags[name].flag()
    for name in ("text_column", "text_pair_column", "label_column"):
        if flags[name].value is not None:
            flags[name].shown()
    flags["missing"].text("error", "skip")
    flags["task"].text(*TASKS)
    if flags["test_size"].value is not None:
        flags["test_size"].number(0, 1)
    if flags["label_columns"].value is not None:
        for item in flags["label_columns"].items(1):
            item.shown()
    # May be a tab, and are never shown.
    for name in ("delimiter", "escapechar", "errors", "label_separator"):
        if flags[name].value is not None:
            flags[name].text()
    for name in ("data", "test_data", "unlabelled", "quoting", "encoding", "format"):
        if flags[name].value is not None:
            flags[name].shown()
    return argparse.Namespace(**{name: flag.value for name, flag in flags.items()})


def _task_of(args: argparse.Namespace) -> str:
    """Return what is learned; some commands only learn classes."""
    task: str = vars(args).get("task", TASKS[0])
    return task


def labelled_columns(args: argparse.Namespace) -> dict[str, str | list[str]]:
    """Return the columns of texts and labels that the flags name, as `read_rows` takes them."""
    if args.label_columns is not None:
        return {**columns_of_texts(args), "label_columns": args.label_columns}
    return {**columns_of_texts(args), "label_column": args.label_column}


def may_be_empty(args: argparse.Namespace, several: bool = False) -> tuple[str, ...]:
    """Return the columns in which an empty cell means that a text has no label.

    `several` says whether a text can have several labels, if it is known without a separator.
    """
    if args.label_columns is not None:
        return ()
    return (args.label_column,) if several or args.label_separator is not None else ()


def read_labels(args: argparse.Namespace, frame: pd.DataFrame) -> Any:
    """Return the labels as `fit` takes them: an array of labels or lists of them, or a table."""
    if _task_of(args) == "regression":
        if args.label_columns is not None:
            return frame[args.label_columns]
        return frame[args.label_column].to_numpy()
    if args.label_columns is not None:
        return pd.DataFrame(
            {name: column_labels(frame[name]) for name in args.label_columns}, index=frame.index
        )
    column = frame[args.label_column]
    if args.label_separator is not None or is_multi_label(column):
        return column_lists(column, args.label_separator)
    return column_labels(column)


def match_labels(
    args: argparse.Namespace, objective: Objective, frame: pd.DataFrame, path: str,
    label_map: Mapping[Any, Any] | None = None,
) -> Any:
    """Return the labels of a further file, as the objective takes them."""
    if isinstance(objective, Regression):
        check_label_sets(args, "regression")
        column = frame[args.label_columns or args.label_column]
        return objective.match_column(column, path, label_map)
    if args.label_columns is not None or args.label_separator is not None:
        flag = "--label-separator" if args.label_columns is None else "--label-columns"
        if not isinstance(objective, MultiLabelClassification):
            args.usage_error(f"{flag} is for models of which a text can have several labels")
        labels = read_labels(args, frame)
        if args.label_columns is not None:
            return labels
        column = pd.Series(labels, index=frame.index, name=args.label_column, dtype=object)
        return objective.match_column(column, path, label_map)
    return objective.match_column(frame[args.label_column], path, label_map)


def _read_labelled(
    args: argparse.Namespace, parameters: Mapping[str, Any]
) -> _Labelled:
    if args.sample:
        source, name = find_source(SAMPLE), "the bundled sample"
        args.text_column, args.label_column = "review", "sentiment"
        args.text_pair_column = None
    else:
        source = read_source(args, args.data)
        name = str(source)
        settle_columns(args, source, labels=True)
    columns = labelled_columns(args)
    frame, n_missing = read_rows(
        source, columns, args.missing, may_be_empty=may_be_empty(args)
    )
    labels = read_labels(args, frame)
    named, where = labels, f"{name}: column {args.label_column!r}"
    if args.label_columns is not None:
        where = f"{name}: label columns"
    else:
        named = pd.Series(labels, index=frame.index, dtype=labels.dtype)
    objective_class: type[Objective] = MultiLabelClassification
    if _task_of(args) == "regression":
        objective_class = Regression
    elif args.label_columns is None or parameters["ordinal"]:
        objective_class = choose_objective(
            bertsent.BertClassifier._problem_types, labels, ordinal=parameters["ordinal"]
        )
    objective, targets = objective_class.learn(
        named, len(frame), where, parameters["class_order"]
    )
    of_texts = columns_of_texts(args)
    texts = check_training_texts(
        frame[args.text_column] if len(of_texts) == 1 else frame_texts(frame, of_texts, source),
        labels,
    )
    return _Labelled(
        source, name, columns, frame, n_missing, labels, objective, targets, texts
    )


def _choose_test(
    args: argparse.Namespace,
    parameters: Mapping[str, Any],
    read: _Labelled,
    lines: list[str],
    origin: dict[str, Any],
) -> npt.NDArray[np.bool_]:
    """Return which rows are for testing, and describe the split in `lines` and `origin`."""
    seed = parameters["random_state"]
    if args.test_data is not None:
        lines.append("split: all rows are for training")
        return np.zeros(len(read.frame), dtype=bool)
    if not args.sample and is_split_folder(read.source):
        if args.test_size is not None:
            args.usage_error("an aclImdb folder has its own split; leave out --test-size")
        lines.append("split: by the folders train and test")
        return (read.frame["part"] == "test").to_numpy()
    test_size = DEFAULT_TEST_SIZE if args.test_size is None else args.test_size
    texts, objective = read.texts, read.objective
    as_read = strip_texts(texts) if parameters["strip_html"] else texts
    is_test, n_repeats = split_rows(as_read, objective.strata(read.targets), test_size, seed)
    origin |= {"test_size": test_size, "repeated_texts": n_repeats}
    by = "" if objective.classes is None else (
        f" and stratified by {'label' if objective.takes_matrix else 'class'}"
    )
    lines.append(f"split: shuffled{by}, seed {seed}")
    if n_repeats:
        rows = "1 row repeats" if n_repeats == 1 else f"{n_repeats:,} rows repeat"
        lines.append(f"       {rows} the text of another row; equal texts stay together")
    if not is_test.any():
        doubts = "".join(f"; {doubt}" for doubt in objective.describe_doubts(read.targets))
        raise ValueError(f"{read.name}: {len(read.frame)} rows are too few to split{doubts}")
    return is_test
