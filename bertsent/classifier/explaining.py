"""Explain the predictions of a fitted estimator: `BertClassifier.explain`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier.declaration import either, one_of, real, whole
from bertsent.explanation import (
    DEFAULT_TOLERANCE,
    METHODS,
    Explanation,
    Explanations,
    Words,
    find_words,
    integrate,
    occlude,
    read_sequences,
)
from bertsent.model import limit_attribution
from bertsent.system import check_interrupts, interruptible, resolve_n_threads, row_progress
from bertsent.texts import are_pairs, as_single, check_texts, name_texts, row_labels, take_apart
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Predictor
    from bertsent.texts import Text, Texts

# Characters of texts that are explained at once: progress is shown, and Ctrl-C works, in between.
_AT_ONCE = 20_000


@interruptible("the explanation was interrupted")
def explain(
    predictor: Predictor, X: Texts, method: str, target: Any, tolerance: float,
    verbose: bool | int = True, n_words: int | None = None,
) -> Explanations:
    """Explain predictions; see `BertClassifier.explain`.

    Parameters
    ----------
    predictor : Predictor
    X, method, target, tolerance
        As in `BertClassifier.explain`.
    verbose : bool or int, default=True
        Whether to display the progress.
    n_words : int or None, default=None
        As in `BertClassifier.explain`.

    Returns
    -------
    Explanations
    """
    precision = predictor.check()
    for name, value, kind in (
        ("method", method, one_of(*METHODS)), ("tolerance", tolerance, real(0, 1, closed="right")),
        ("n_words", n_words, either(None, whole(1))),
    ):
        if not kind.accepts(value):
            raise ValueError(f"{spell(name, value)} is not allowed; expected {kind.allowed}")
    if n_words is not None and method != METHODS[1]:
        raise ValueError(
            f"{spell('n_words', n_words)} says how many words are masked one by one; it needs "
            f"{spell('method', METHODS[1])}"
        )
    texts = check_texts(X, "X", strip=predictor.parameters["strip_html"])
    predictor.fitted.check_columns(X, texts)
    if not len(texts):
        raise ValueError("X is empty; there is nothing to explain")
    objective = predictor.objective
    named = None if target is None else objective.find_output(target)
    mask = _mask_of(predictor)
    logits = predictor.logits(X)
    outputs = objective.outputs_to_explain(logits) if named is None else (
        np.full(len(texts), named, np.int64)
    )
    weights = objective.output_weights(outputs)
    table = objective.prediction_table(logits)
    n_threads = resolve_n_threads(predictor.parameters["n_threads"])
    labels, names = row_labels(X), objective.label_names
    sizes = np.array(list(map(len, as_single(texts))))
    group_of = (np.cumsum(sizes) - sizes) // _AT_ONCE
    found: list[Explanation] = []
    with row_progress(verbose) as progress:
        progress.start(len(texts))
        for rows in np.split(np.arange(len(texts)), np.flatnonzero(np.diff(group_of)) + 1):
            progress.begin(len(rows))
            some = [texts[row] for row in rows]
            with name_texts(partial(_name, rows)):
                words = _find(predictor, some, n_threads)
            for number, own in enumerate(words):
                if not any(len(part.starts) for part in own):
                    raise ValueError(
                        f"{_name(rows, number)} has no words, so there is nothing to explain; "
                        "leave it out"
                    )
            for row, values in zip(rows.tolist(), _scores(
                predictor, some, words, mask, weights[rows], method, tolerance, precision,
                n_threads, progress.part, n_words,
            ), strict=True):
                found.append(Explanation(
                    text=texts[row], row=row if labels is None else labels[row],
                    target=names[outputs[row]], method=method, explained=objective.explained,
                    prediction={name: column[row] for name, column in table.items()}, **values,
                ))
    return Explanations(found)


def check_explanations(predictor: Predictor, texts: Sequence[Text], precision: str) -> None:
    """Raise unless predictions of any of the texts can be explained by integrated gradients.

    Parameters
    ----------
    predictor : Predictor
    texts : sequence of str or of pairs of str
    precision : str
        In which predictions are computed.

    Raises
    ------
    ValueError
        The model has no mask token, or `memory_limit` is too small for its gradients.
    """
    _mask_of(predictor)
    limit = predictor.parameters["memory_limit"]
    if limit is None or not len(texts):
        return
    n_threads = resolve_n_threads(predictor.parameters["n_threads"])
    tokenizer = predictor.fitted.tokenizer
    for number, model in enumerate(predictor.fitted.models):
        reader = predictor.reader(number, pairs=are_pairs(texts))
        lengths = np.diff(reader.encode(tokenizer, texts, n_threads).offsets)
        limit_attribution(
            model, limit, lengths, n_threads=n_threads, precision=_of_gradients(precision),
            kept=precision,
        )


def _of_gradients(precision: str) -> str:
    """Return the precision of gradients where predictions have another: int8 has none."""
    return "float32" if precision == "int8" else precision


def explain_some(
    predictor: Predictor, texts: Sequence[Text], outputs: npt.NDArray[np.int64],
    verbose: bool | int = True,
) -> list[Explanation | None]:
    """Explain predictions of texts by integrated gradients; None stands for texts without words.

    Parameters
    ----------
    predictor : Predictor
    texts : sequence of str or of pairs of str
    outputs : ndarray of int64, shape (n_texts,)
        Number of the output to explain of each.
    verbose : bool or int, default=True
        Whether to display the progress.
    """
    found: list[Explanation | None] = [None] * len(texts)
    given = check_texts(list(texts), "X", strip=predictor.parameters["strip_html"])
    words = _find(predictor, given, resolve_n_threads(predictor.parameters["n_threads"]))
    has_words = np.array([any(len(part.starts) for part in own) for own in words], dtype=bool)
    for output in np.unique(outputs[has_words]).tolist():
        rows = np.flatnonzero(has_words & (outputs == output)).tolist()
        some = [texts[row] for row in rows]  # explain removes tags itself
        target = predictor.objective.label_names[output]
        explained = explain(predictor, some, METHODS[0], target, DEFAULT_TOLERANCE, verbose)
        for row, each in zip(rows, explained, strict=True):
            found[row] = each
    return found


def _name(rows: npt.NDArray[np.int64], number: int) -> str:
    return f"X[{rows[number]}]"


def _mask_of(predictor: Predictor) -> int:
    """Return the id of the token that takes the place of words."""
    tokenizer = predictor.fitted.tokenizer
    mask = tokenizer.mask_token_id
    if mask is None or mask >= tokenizer.n_usable:
        raise ValueError(
            "the model has no mask token, which takes the place of words in an explanation"
        )
    return mask


def _find(
    predictor: Predictor, texts: list[Text], n_threads: int
) -> list[tuple[Words, ...]]:
    """Return the words of each text, or of both texts of each pair."""
    parts = take_apart(texts) if are_pairs(texts) else (as_single(texts),)
    tokenizer = predictor.fitted.tokenizer
    return list(zip(*(find_words(tokenizer, part, n_threads) for part in parts), strict=True))


def _scores(
    predictor: Predictor, texts: list[Text], words: Sequence[tuple[Words, ...]], mask: int,
    weights: npt.NDArray[np.float32], method: str, tolerance: float, precision: str,
    n_threads: int, report: Any, n_words: int | None = None,
) -> list[dict[str, Any]]:
    """Return the fields of each explanation that are computed."""
    only = None  # the words that are masked, of all words
    if n_words is not None:
        rough = _scores(
            predictor, texts, words, mask, weights, METHODS[0], tolerance, precision, n_threads,
            partial(_report_share, report, 0.0),
        )
        only = np.concatenate([_strongest(each["scores"], n_words) for each in rough])
        report = partial(_report_share, report, 0.5)
    fitted, n_texts = predictor.fitted, len(texts)
    sizes = [sum(len(part.starts) for part in own) for own in words]
    first = np.concatenate([[0], np.cumsum(sizes)])
    scores, read = np.zeros(first[-1]), np.zeros(first[-1], dtype=bool)
    outputs, baselines, errors = np.zeros(n_texts), np.zeros(n_texts), np.zeros(n_texts)
    steps = np.zeros(n_texts, np.int64)
    how = {"memory_limit": predictor.parameters["memory_limit"]}
    for number, model in enumerate(fitted.models):
        check_interrupts()
        reader = predictor.reader(number, pairs=are_pairs(texts))
        sequences = read_sequences(reader, fitted.tokenizer, texts, words, n_threads)
        inside = sequences.words >= 0
        read[sequences.words[inside]] = True
        part = partial(_report_member, report, number, len(fitted.models))
        if method == "occlusion":
            own, of_texts = occlude(
                model, sequences, len(scores), mask, weights, n_threads, precision=precision,
                only=only, report=part, **how,
            )
            scores, outputs = scores + own, outputs + of_texts
            continue
        found = integrate(
            model, sequences, n_texts, mask, weights, tolerance, n_threads,
            precision=_of_gradients(precision), kept=precision, report=part, **how,
        )
        shares = np.repeat(sequences.shares, np.diff(sequences.offsets))
        scores += np.bincount(
            sequences.words[inside], (found.scores * shares)[inside], len(scores)
        )
        outputs, baselines = outputs + found.outputs, baselines + found.baselines
        errors, steps = np.maximum(errors, found.errors), np.maximum(steps, found.steps)
    for array in (scores, outputs, baselines):
        array /= len(fitted.models)
    scores[~read] = np.nan
    if fitted.words is not None:
        _add_words(predictor, texts, words, weights, scores, outputs, baselines)
    if method == "occlusion":
        baselines[:], errors[:] = np.nan, np.nan
    left_out = np.zeros(len(scores), dtype=bool)
    if only is not None:  # also words of which only the model of words knows
        left_out = ~np.isnan(scores) & ~only
    scores[left_out] = np.nan
    return [
        {
            "starts": np.concatenate([part.starts for part in own]),
            "ends": np.concatenate([part.ends for part in own]),
            "parts": np.repeat(np.arange(len(own)), [len(part.starts) for part in own]),
            "scores": scores[first[number] : first[number + 1]],
            "output": float(outputs[number]), "baseline": float(baselines[number]),
            "error": float(errors[number]), "steps": int(steps[number]),
            "unmasked": np.flatnonzero(left_out[first[number] : first[number + 1]]),
        }
        for number, own in enumerate(words)
    ]


def _strongest(scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.bool_]:
    """Return which words have the largest scores without their signs; words not read have none."""
    chosen = np.zeros(len(scores), dtype=bool)
    sizes = np.where(np.isnan(scores), -1.0, np.abs(scores))
    chosen[np.argsort(-sizes, kind="stable")[:count]] = True
    return chosen & ~np.isnan(scores)


def _add_words(
    predictor: Predictor, texts: list[Text], words: Sequence[tuple[Words, ...]],
    weights: npt.NDArray[np.float32], scores: npt.NDArray[np.float64],
    outputs: npt.NDArray[np.float64], baselines: npt.NDArray[np.float64],
) -> None:
    """Mix in the model of words, which is linear: what each word adds to it is known exactly."""
    model = predictor.fitted.words
    assert model is not None
    share, at = model.weight, 0
    scores *= 1.0 - share
    for number, (text, parts) in enumerate(zip(texts, words, strict=True)):
        begins, values, whole, alone = model.contributions(text, weights[number])
        outputs[number] = (1.0 - share) * outputs[number] + share * whole
        baselines[number] = (1.0 - share) * baselines[number] + share * alone
        shift = 0
        for part, own in zip(parts, (text,) if isinstance(text, str) else text, strict=True):
            count = len(part.starts)
            mine = (begins >= shift) & (begins < shift + len(own))
            if count and mine.any():
                of = at + part.of(begins[mine] - shift)
                added = np.bincount(of - at, values[mine], count)
                changed = scores[at : at + count]
                there = added != 0
                changed[there] = np.nan_to_num(changed[there]) + share * added[there]
            at, shift = at + count, shift + len(own) + 1


def _report_share(report: Any, before: float, part: float) -> None:
    report(before + 0.5 * part)


def _report_member(report: Any, number: int, members: int, part: float) -> None:
    report((number + part) / members)
    check_interrupts()
