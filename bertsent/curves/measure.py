"""Measure a learning curve: train on more and more of the same texts, and score held-out ones."""

from __future__ import annotations

import math
import numbers
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from bertsent.classifier import BertClassifier, named_model, predictor
from bertsent.curves.curve import REPEATS, LearningCurve
from bertsent.curves.scorings import SCORINGS
from bertsent.model import encode_texts, normalize, open_encoder, resolve_precision
from bertsent.objectives import SingleLabelClassification, choose_objective, quadratic_kappa
from bertsent.system import (
    check_interrupts,
    display_kind,
    format_seconds,
    interrupt_at_once,
    interruptible,
    parse_time,
    resolve_n_threads,
    row_progress,
    write_line,
)
from bertsent.texts import Reader, are_pairs, check_training_texts, split_rows
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Labels, Text, Texts

Ints: TypeAlias = "npt.NDArray[np.int64]"
# Trains on these rows with a seed; returns the predicted class of each held-out text.
Train: TypeAlias = "Callable[[Ints, int], npt.NDArray[np.int64]]"

# The first size by default, unless there are too few texts for three sizes from there.
_FIRST = 100
# Weaker regularization than scikit-learn's default, because vectors have length 1.
_C = 10.0


class _Data(NamedTuple):
    """The two parts of the data. Classes are numbers; `labels` has what they stand for.

    If the classes are ordered, `order` has their names from the lowest to the highest.
    """

    texts: list[Text]
    labels: npt.NDArray[Any]
    classes: Ints
    test_texts: list[Text]
    test_classes: Ints
    order: list[str] | None


@interruptible("the learning curve was interrupted")
def learning_curve(
    estimator: BertClassifier,
    X: Texts,
    y: Labels,
    *,
    train_sizes: Sequence[float] | None = None,
    n_seeds: int = 3,
    test_size: float = 0.2,
    scoring: str = "accuracy",
    frozen: bool = False,
    time_budget: float | str | None = None,
    random_state: int = 0,
    verbose: int = 1,
) -> LearningCurve:
    """Measure how good a classifier is with fewer labels, and estimate how good with more.

    A part of the texts is held out. The classifier is trained on a small part of the others, on a
    larger part that contains the smaller one, and so on, and scores the held-out texts each time.
    The power law of Cortes et al. (1993) and Hestness et al. (2017), error = a + b n^-c, is fitted
    to the scores. It says how much better the classifier would be with more labels.

    Parameters
    ----------
    estimator : BertClassifier
        The classifier, which is not changed. Of its parameters, those that concern a single run are
        not used: `checkpoint_dir`, `resume`, `warm_start`, `log_file`, `hash_every`, `time_budget`,
        `random_state` and `verbose`.
    X : list, Series, array or table of one column of str, or two for pairs
        The texts.
    y : list, Series, array or table of one column
        Their labels.
    train_sizes : list of int or of float, or None, default=None
        Numbers of texts to train on, or fractions of those that are not held out, above 0 and up to
        1. None means 100, 200, 400 and so on up to all, or five sizes if there are fewer than 400.
    n_seeds : int, default=3
        Number of trainings with each size. Each seed has its own order of texts, new weights and
        dropout. The texts of every size are stratified by class.
    test_size : float, default=0.2
        Fraction of the texts to hold out; shuffled, stratified, equal texts kept together.
    scoring : {"accuracy", "macro_f1", "quadratic_kappa"}, default="accuracy"
        What is measured: the share of correct predictions, the mean F1 of the classes, or, with
        `ordinal`, Cohen's kappa with quadratic weights. `decision_threshold` and `cost_matrix`
        decide what is predicted.
    frozen : bool, default=False
        Measure a linear classifier instead of fine-tuning. The pretrained model computes one
        vector for each text, once, and a logistic regression is fitted to those of each size. This
        takes no longer than one prediction for all texts. Its scores are others than those of
        fine-tuning, mostly lower ones, and where they stay the same with more labels, those of
        fine-tuning may still rise. Only `model`, `max_length`, `strip_html`,
        `inference_precision`, `inference_long_text`, `stride`, `n_threads`, `memory_limit`,
        `ordinal` and `class_order` of the classifier are used, so the likeliest class is predicted;
        with `ordinal`, the median.
    time_budget : float, str or None, default=None
        Time for the whole curve, in seconds or as a time such as "10min". Small sizes are measured
        first, with the first seed; a training that would not end in time is left out. The first
        training always runs.
    random_state : int, default=0
        Seed of the held-out part, and the first seed of the trainings.
    verbose : int, default=1
        0 for silence, 1 for a line after each training.

    Returns
    -------
    LearningCurve
        Its `runs` are a DataFrame of all trainings, ``predict`` and ``gain`` extrapolate, ``plot``
        plots. It prints as a report.

    Raises
    ------
    TypeError, ValueError
        `X` or `y` is not valid, a class has fewer than two texts, `train_sizes` do not fit the
        number of texts and classes, or a parameter has an invalid value.

    Notes
    -----
    The curve describes labels of the same kind: texts drawn at random, labelled with the same
    care. Texts from `suggest_labels` gain more. Intervals come from random draws of the held-out
    texts and from the spread over seeds. They cannot know whether the power law holds further on,
    so do not trust them beyond some four times the data.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertClassifier, learning_curve
    >>> data = pd.read_csv("tickets.csv")
    >>> clf = BertClassifier("minilm", max_length=32)
    >>> curve = learning_curve(clf, data["text"], data["team"], frozen=True, verbose=0)
    >>> print(curve)
    accuracy of a linear classifier of frozen vectors on ... held-out texts
    texts  runs  accuracy ...
    """
    _check_parameters(estimator, n_seeds, test_size, scoring, random_state)
    budget = None if time_budget is None else parse_time(time_budget)
    started = time.monotonic()
    data = _split(estimator, X, y, test_size, random_state)
    sizes = _choose_sizes(train_sizes, data.classes)
    show = _line if verbose and display_kind() != "none" else _nothing
    train = _frozen(estimator, data, verbose) if frozen else _fine_tuned(estimator, data)
    rows, predicted = [], []
    runs = _run(train, data, sizes, range(random_state, random_state + n_seeds), budget, started)
    for size, seed, classes, seconds in runs:
        score = _score(scoring, data.test_classes, classes)
        rows.append((size, seed, score, seconds))
        predicted.append(classes)
        show(
            f"{size:,} texts, seed {seed}: {scoring.replace('_', ' ')} {score:.2%} after "
            f"{format_seconds(seconds)}"
        )
    rng, resampled = np.random.default_rng(0), []
    for _ in range(REPEATS):
        check_interrupts()
        drawn = rng.integers(0, len(data.test_texts), len(data.test_texts))
        truth = data.test_classes[drawn]
        resampled.append([_score(scoring, truth, classes[drawn]) for classes in predicted])
    return LearningCurve(
        pd.DataFrame(rows, columns=["train_size", "seed", "score", "seconds"]), scoring,
        len(data.test_texts), frozen, len(data.texts), np.array(resampled),
    )


def _line(line: str) -> None:
    write_line(line)


def _nothing(line: str) -> None:
    pass


def _check_parameters(
    estimator: object, n_seeds: object, test_size: object, scoring: str, random_state: object
) -> None:
    if not isinstance(estimator, BertClassifier):
        raise TypeError(
            f"estimator is of type {type(estimator).__name__}, but a BertClassifier is expected"
        )
    for name, value, least in (("n_seeds", n_seeds, 1), ("random_state", random_state, 0)):
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not whole or value < least:  # type: ignore[operator]
            raise ValueError(
                f"{spell(name, value)}: expected a whole number of at least {least}"
            )
    real = isinstance(test_size, numbers.Real) and not isinstance(test_size, bool)
    if not real or not 0 < test_size < 1:  # type: ignore[operator]
        raise ValueError(f"{spell('test_size', test_size)}: expected a number between 0 and 1")
    if scoring not in SCORINGS:
        raise ValueError(
            f"{spell('scoring', scoring)}: expected {' or '.join(map(repr, SCORINGS))}"
        )
    if scoring == "quadratic_kappa" and not estimator.ordinal:
        raise ValueError(
            f"{spell('scoring', scoring)} compares the ranks of ordered classes, but "
            f"{spell('ordinal', False)}; use {spell('ordinal', True)}, or another scoring"
        )


def _split(
    estimator: BertClassifier, X: Texts, y: Labels, test_size: float, seed: int
) -> _Data:
    texts = check_training_texts(X, y, strip=estimator.strip_html)
    kind = choose_objective(BertClassifier._problem_types, y, ordinal=estimator.ordinal)
    if not issubclass(kind, SingleLabelClassification):
        raise ValueError(
            "a learning curve needs one label for each text, but these texts can have several"
        )
    order = estimator.class_order
    objective, classes = kind.learn(y, len(texts), order=None if order is None else list(order))
    # Of an order, some classes may have no text.
    alone = np.flatnonzero(np.bincount(classes) == 1)
    if len(alone):
        rare = objective.label_names[int(alone[0])]
        raise ValueError(
            f"class {rare!r} has 1 text; a learning curve needs at least 2 of each class, one to "
            "train on and one to test"
        )
    is_test, _ = split_rows(texts, classes, test_size, seed)
    if not is_test.any():
        raise ValueError(
            f"{spell('test_size', test_size)} of {len(texts)} texts holds out none; use more texts"
        )
    codes = classes.astype(np.int64)
    return _Data(
        _select(texts, np.flatnonzero(~is_test)),
        np.asarray(objective.labels.decode(codes[~is_test])),
        codes[~is_test], _select(texts, np.flatnonzero(is_test)), codes[is_test],
        objective.label_names if estimator.ordinal else None,
    )


def _select(texts: Sequence[Text], rows: Ints) -> list[Text]:
    return [texts[row] for row in rows]


def _choose_sizes(given: Sequence[float] | None, classes: Ints) -> list[int]:
    """Return the numbers of texts to train on, in ascending order."""
    n_texts, least = len(classes), len(np.unique(classes))
    if given is None:
        if n_texts >= 4 * max(_FIRST, least):
            first = max(_FIRST, least)
            sizes = [first * 2**k for k in range(int(math.log2(n_texts / first)) + 1)]
            # A last step of less than a third would hardly show a difference.
            return [size for size in sizes if size <= n_texts / 1.33] + [n_texts]
        found = np.geomspace(min(max(2 * least, n_texts / 8), n_texts), n_texts, 5)
        return sorted({int(round(size)) for size in found})
    shown = phrase(python="train_sizes", command="--train-sizes")
    sizes = []
    for size in given:
        is_number = isinstance(size, numbers.Real) and not isinstance(size, bool)
        if not is_number or not size > 0:
            raise ValueError(f"{shown}: expected numbers above 0, got {size!r}")
        whole = isinstance(size, numbers.Integral)
        if not whole and size > 1:
            raise ValueError(
                f"{shown}: expected whole numbers of texts or fractions up to 1, got {size!r}"
            )
        count = int(size) if whole else int(round(float(size) * n_texts))
        if count > n_texts:
            raise ValueError(
                f"{shown}: {count:,} is more than the {n_texts:,} texts that are not held out"
            )
        if count < least:
            raise ValueError(
                f"{shown}: {count} texts are too few for {least} classes; expected at least one "
                "of each"
            )
        sizes.append(count)
    if not sizes:
        raise ValueError(f"{shown}: expected at least one number of texts")
    return sorted(set(sizes))


def nested_order(classes: Ints, seed: int) -> Ints:
    """Return an order of all texts whose beginnings are stratified, with all classes.

    The first texts are one of each class. After any number of texts, each class has its share, to
    the nearest text or two.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(classes))
    for code in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == code))
        place[members] = (np.arange(len(members)) + rng.random(len(members))) / len(members)
        place[members[0]] -= 1.0
    return np.argsort(place, kind="stable")


def _run(
    train: Train,
    data: _Data,
    sizes: list[int],
    seeds: Sequence[int],
    budget: float | None,
    started: float,
) -> Iterator[tuple[int, int, npt.NDArray[np.int64], float]]:
    """Yield size, seed, predicted classes and seconds of each training for which there is time."""
    longest: dict[int, float] = {}
    for seed in seeds:
        order = nested_order(data.classes, seed)
        for size in sizes:
            check_interrupts()
            if budget is not None and longest:
                left = budget - (time.monotonic() - started)
                if _expect(longest, size) > left:
                    break
            began = time.monotonic()
            # `fit` shuffles, so that one of each class in front does not matter.
            classes = train(order[:size], seed)
            seconds = time.monotonic() - began
            longest[size] = max(seconds, longest.get(size, 0.0))
            yield size, seed, classes, seconds


def _expect(longest: dict[int, float], size: int) -> float:
    """Return how long a training may take, given how long others took."""
    if size in longest:
        return longest[size]
    # At most in proportion to the size, because scoring takes the same time for each.
    nearest = max((known for known in longest if known <= size), default=min(longest))
    return longest[nearest] * max(1.0, size / nearest)


def _fine_tuned(estimator: BertClassifier, data: _Data) -> Train:
    def train(rows: Ints, seed: int) -> npt.NDArray[np.int64]:
        classifier = clone(estimator).set_params(
            random_state=seed, verbose=0, checkpoint_dir=None, checkpoint_every=None,
            resume=False, warm_start=False, log_file=None, hash_every=None, time_budget=None,
            strip_html=False, model=named_model(estimator.get_params(deep=False)),
            class_order=data.order,
        )
        classifier.fit(_select(data.texts, rows), data.labels[rows])
        # The rows contain all classes, or their order is given, so they have the same numbers here.
        ready = predictor(classifier)
        return ready.objective.answer(ready.logits(data.test_texts))

    return train


def _frozen(estimator: BertClassifier, data: _Data, verbose: int) -> Train:
    model, tokenizer = open_encoder(named_model(estimator.get_params(deep=False)))
    positions = model._engine["max_position_embeddings"]
    reader = Reader.of(
        estimator.get_params(deep=False), positions, inference=True,
        special=tokenizer.num_special_tokens_to_add(are_pairs(data.texts)),
    )
    texts = data.texts + data.test_texts
    with row_progress(verbose) as progress:
        progress.start(len(texts))
        progress.begin(len(texts))

        def report(part: float) -> None:
            progress.part(part)
            check_interrupts()

        vectors = normalize(encode_texts(
            model, tokenizer, texts, reader, resolve_n_threads(estimator.n_threads), report,
            precision=resolve_precision(estimator.inference_precision, "inference_precision"),
            memory_limit=estimator.memory_limit,
        )).astype(np.float64)
    known, unknown = vectors[: len(data.texts)], vectors[len(data.texts) :]

    def train(rows: Ints, seed: int) -> npt.NDArray[np.int64]:
        del seed  # only chose the rows
        with threadpool_limits(limits=1), interrupt_at_once():
            head = LogisticRegression(C=_C, max_iter=1000).fit(known[rows], data.classes[rows])
        found: npt.NDArray[np.int64] = head.predict(unknown)
        if data.order is not None:
            sums = head.predict_proba(unknown).cumsum(axis=1)[:, :-1]
            found = head.classes_[(sums < 0.5).sum(axis=1)]  # the median
        return found

    return train


def _score(
    scoring: str, truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64]
) -> float:
    if scoring == "accuracy":
        return float((truth == predicted).mean())
    if scoring == "quadratic_kappa":
        return quadratic_kappa(truth, predicted)
    return float(f1_score(truth, predicted, average="macro", zero_division=0))
