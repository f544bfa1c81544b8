"""Words: a linear model of words that votes with the models of a classifier (`words=True`).

A logistic regression on TF-IDF of words and word pairs makes other mistakes than BERT: it reads all
of a text, knows no word order, and is not pretrained. Their mixed probabilities are therefore
better than those of either alone (docs/recipes.md). Training takes about a millisecond a text.

Its files are ``words.txt``, a word or word pair in each line, and ``words.safetensors``. Its weight
in the vote and its number of terms are in ``bertsent.json``, with a hash of both files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import read_text
from bertsent.hub import read_arrays, write_arrays
from bertsent.objectives import SingleLabelClassification
from bertsent.system import check_interrupts, checking_interrupts, interrupt_at_once
from bertsent.texts import as_single, thin_out
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.files import Field
    from bertsent.objectives import Objective
    from bertsent.texts import Labelled, Text
    from bertsent.training import Budget

TERMS_FILE, ARRAYS_FILE = "words.txt", "words.safetensors"
# Of more terms, the most frequent are used. 20,000 film reviews have a third as many.
MOST_TERMS = 1 << 20
# Longer words are left out. Two of them and a space have at most so many bytes in UTF-8.
_LONGEST = 40
_MOST_BYTES = 4 * (2 * _LONGEST + 1)
# The settings that docs/recipes.md measured. scikit-learn's other defaults apply.
_VECTORS: dict[str, Any] = {
    "ngram_range": (1, 2), "sublinear_tf": True,
    "token_pattern": rf"(?u)\b\w{{2,{_LONGEST}}}\b",
}
_LEAST_TEXTS = 2  # in which a word must occur
_C = 10.0
_STEPS = 1000
# The weight in the vote if it cannot be learned: equal weights, as docs/recipes.md measured.
EQUAL = 0.5
# With fewer held-out texts, the best weight for them is mostly chance.
LEAST_HELD_OUT = 100
# Logit of a class that no training text of the word model has.
_NEVER = -30.0
# No number of a trained model comes near; larger ones could overflow.
_LARGEST = 1e9
# Estimated seconds per character of the training texts with two classes, of which the largest part
# of a time budget is used.
_RATE = 1e-6
_PART = 0.25


@dataclass(frozen=True, eq=False)
class WordModel:
    """A logistic regression on TF-IDF of words and word pairs, and its weight in the vote.

    Predictions are computed from the float32 numbers that are saved, so a model that is opened
    again predicts the same bits.

    Parameters
    ----------
    terms : list of str
        The words and word pairs.
    idf : ndarray of float32, shape (n_terms,)
        Inverse document frequencies.
    coef : ndarray of float32, shape (n_outputs, n_terms)
        Coefficients. With two classes, there is one output, for the second class.
    intercept : ndarray of float32, shape (n_outputs,)
    weight : float, default=0.5
        Weight of its probabilities in the vote, from 0 to 1. The other models have the rest.
    """

    terms: list[str]
    idf: npt.NDArray[np.float32]
    coef: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]
    weight: float = EQUAL

    def logits(self, texts: Sequence[Text]) -> npt.NDArray[np.float32]:
        """Return the logits of texts, of shape (n_texts, n_classes); a pair is read as one text."""
        n_classes = max(2, len(self.intercept))
        if not len(texts):
            return np.empty((0, n_classes), dtype=np.float32)
        vectorizer, coef = self._ready
        found = vectorizer.transform(checking_interrupts(as_single(texts))) @ coef
        found += self.intercept.astype(np.float64)
        if found.shape[1] < n_classes:
            found = np.hstack([np.zeros_like(found), found])
        logits: npt.NDArray[np.float32] = found.astype(np.float32)
        return logits

    def contributions(
        self, text: Text, weights: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], float, float]:
        """Return what each word adds to an output, which is a sum of logits times weights.

        What a term adds is divided equally among the places where it occurs, and that of a word
        pair between its words.

        Parameters
        ----------
        text : str, or a pair, which is read as one text with a space between
        weights : ndarray of float32, shape (n_classes,)

        Returns
        -------
        starts : ndarray of int64, shape (n_words,)
            First character of each word.
        values : ndarray of float64, shape (n_words,)
            They add up to `output` - `empty`.
        output, empty : float
            The output of the text, and that of a text without words.
        """
        vectorizer, coef = self._ready
        (joined,) = as_single([text])
        of_terms = weights.astype(np.float64)
        if len(self.intercept) == 1:
            of_terms = of_terms[1:]
        empty = float(self.intercept.astype(np.float64) @ of_terms)
        vector = vectorizer.transform([joined])
        amounts = dict(zip(
            vector.indices.tolist(), (vector.data * (coef @ of_terms)[vector.indices]).tolist(),
            strict=True,
        ))
        # Lower case can have more characters, as that of \u0130 has.
        lengths = [len(character.lower()) for character in joined]
        origins = np.repeat(np.arange(len(joined)), lengths)
        matches = list(re.finditer(_VECTORS["token_pattern"], joined.lower()))
        words = [match.group() for match in matches]
        places: dict[int, list[tuple[int, ...]]] = {}
        for size in (1, 2):
            for at in range(len(words) - size + 1):
                term = vectorizer.vocabulary.get(" ".join(words[at : at + size]))
                if term in amounts:
                    places.setdefault(term, []).append(tuple(range(at, at + size)))
        values = np.zeros(len(words))
        for term, where in places.items():
            for numbers in where:
                values[list(numbers)] += amounts[term] / len(where) / len(numbers)
        starts = origins[[match.start() for match in matches]] if matches else np.zeros(0, np.int64)
        return starts, values, empty + sum(amounts.values()), empty

    def vote(
        self, objective: Objective, logits: npt.NDArray[np.float32], texts: Sequence[Text]
    ) -> npt.NDArray[np.float32]:
        """Return logits whose softmax is the mixture of the other models' and its own."""
        return self.mix(objective, logits, self.logits(texts))

    def mix(
        self,
        objective: Objective,
        logits: npt.NDArray[np.float32],
        own: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """Return the same, given its own logits."""
        assert isinstance(objective, SingleLabelClassification)  # see check_words
        return objective.mix([logits, own], [1 - self.weight, self.weight])

    @cached_property
    def _ready(self) -> tuple[Any, npt.NDArray[np.float64]]:
        """The vectorizer, and the coefficients as they are multiplied."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        vocabulary = {term: number for number, term in enumerate(self.terms)}
        vectorizer = TfidfVectorizer(vocabulary=vocabulary, **_VECTORS)
        vectorizer.idf_ = self.idf.astype(np.float64)
        return vectorizer, np.ascontiguousarray(self.coef.T, dtype=np.float64)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_ready"}

    def identify(self) -> str:
        """Return a hash of everything but the weight."""
        state = hashlib.blake2b("\n".join(self.terms).encode(), digest_size=16)
        for array in (self.idf, self.coef, self.intercept):
            state.update(np.ascontiguousarray(array).data.cast("B"))
        return state.hexdigest()

    def save(self, directory: str | PathLike[str]) -> dict[str, Any]:
        """Write the files into an existing directory; return the entry of ``bertsent.json``."""
        directory = Path(directory)
        text = "\n".join([*self.terms, ""])
        (directory / TERMS_FILE).write_bytes(text.encode("utf-8"))
        arrays = {"idf": self.idf, "coef": self.coef, "intercept": self.intercept}
        write_arrays(directory / ARRAYS_FILE, arrays)
        return {"weight": self.weight, "terms": len(self.terms), "hash": self.identify()}

    @classmethod
    def open(
        cls, directory: str | PathLike[str], entry: Field, n_classes: int
    ) -> WordModel:
        """Read the files that `save` wrote.

        Parameters
        ----------
        directory : path-like
        entry : Field
            The entry of ``bertsent.json``.
        n_classes : int

        Raises
        ------
        CheckpointError
            A file is missing or damaged, or they do not belong together.
        """
        directory = Path(directory)
        weight, count = entry["weight"].number(0, 1), entry["terms"].whole(1, MOST_TERMS)
        terms = _read_terms(directory / TERMS_FILE, count)
        n_outputs = 1 if n_classes == 2 else n_classes
        path = directory / ARRAYS_FILE
        arrays = read_arrays(path, {
            "idf": (count,), "coef": (n_outputs, count), "intercept": (n_outputs,),
        })
        for name, array in arrays.items():
            if np.abs(array).max() > _LARGEST:
                raise CheckpointError(f"{path}: {name} has numbers beyond {_LARGEST:g}")
        model = cls(terms, **arrays, weight=weight)
        if model.identify() != entry["hash"].text():
            raise CheckpointError(
                f"{directory}: {TERMS_FILE}, {ARRAYS_FILE} and bertsent.json are damaged or "
                "from different models; copy all files of one model"
            )
        return model


def _read_terms(path: Path, count: int) -> list[str]:
    try:
        text = read_text(path, _MOST_BYTES * count)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; copy all files of the model") from None
    terms = text.removesuffix("\n").split("\n")
    if len(terms) != count:
        raise CheckpointError(f"{path} has {len(terms):,} lines, expected {count:,}")
    if len(set(terms)) < count or "" in terms:
        raise CheckpointError(f"{path} has an empty line, or the same line twice")
    return terms


def outline_words(entry: Field) -> dict[str, Any]:
    """Return weight and number of terms in the entry of ``bertsent.json``, without the files."""
    return {
        "weight": entry["weight"].number(0, 1), "terms": entry["terms"].whole(1, MOST_TERMS),
    }


def check_words(objective: type[Objective] | Objective) -> None:
    """Raise a ValueError unless each text has exactly one class."""
    if objective.head_type != SingleLabelClassification.head_type:
        raise ValueError(
            f"{spell('words', True)} needs labels with exactly one class for each text; use "
            f"{spell('words', False)}"
        )


def learn_words(
    labelled: Labelled, objective: Objective, budget: Budget, seed: int
) -> WordModel:
    """Train a word model, with equal weight in the vote.

    It is trained on one thread, so that the result does not depend on the number of threads.

    Parameters
    ----------
    labelled : Labelled
        The training texts. A weight of 0 is the same as leaving out the text; the mean of the
        weights does not matter.
    objective : Objective
    budget : Budget
        If training would probably take more than a quarter of it, a part of the texts is used.
    seed : int
        For the choice of these texts.

    Returns
    -------
    WordModel

    Raises
    ------
    ValueError
        No word occurs in two texts, or all texts are of one class.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    n_classes = len(objective.label_names)
    if labelled.weights is not None:
        labelled = labelled.take(np.flatnonzero(labelled.weights))
    seconds = estimate_words(labelled.texts, n_classes)
    if seconds > _PART * budget.seconds:
        labelled = thin_out(labelled, _PART * budget.seconds / seconds, seed)
    weights = labelled.weights
    if weights is not None:
        weights = weights / weights.mean(dtype=np.float64)
    present = np.unique(labelled.targets)
    if len(present) < 2:
        raise ValueError(
            f"{spell('words', True)} needs training texts of two classes; use "
            f"{spell('words', False)}, or hold out fewer texts"
        )
    vectorizer = TfidfVectorizer(min_df=_LEAST_TEXTS, max_features=MOST_TERMS, **_VECTORS)
    try:
        matrix = vectorizer.fit_transform(checking_interrupts(as_single(labelled.texts)))
    except ValueError:
        raise ValueError(
            f"{spell('words', True)} found no word that occurs in {_LEAST_TEXTS} training texts; "
            f"use more texts, or {spell('words', False)}"
        ) from None
    model = LogisticRegression(C=_C, max_iter=_STEPS)
    with threadpool_limits(limits=1), interrupt_at_once():
        model.fit(matrix, labelled.targets, sample_weight=weights)
    check_interrupts()
    coef, intercept = model.coef_, model.intercept_
    if n_classes > 2:
        coef, intercept = spread(coef, intercept, present, n_classes)
    return WordModel(
        vectorizer.get_feature_names_out().tolist(),
        vectorizer.idf_.astype(np.float32), coef.astype(np.float32), intercept.astype(np.float32),
    )


def spread(
    coef: npt.NDArray[np.float64], intercept: npt.NDArray[np.float64],
    present: npt.NDArray[np.integer], n_classes: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return coefficients and intercepts of all classes, given those of the classes in training."""
    if len(present) == 2:
        coef, intercept = np.vstack([0 * coef, coef]), np.concatenate([0 * intercept, intercept])
    all_coef = np.zeros((n_classes, coef.shape[1]))
    all_intercepts = np.full(n_classes, _NEVER)
    all_coef[present], all_intercepts[present] = coef, intercept
    return all_coef, all_intercepts


def estimate_words(texts: Sequence[Text], n_classes: int) -> float:
    """Return about how many seconds the training of a word model takes on one core."""
    return words_seconds(sum(map(len, as_single(texts))), n_classes)


def words_seconds(characters: int, n_classes: int = 2) -> float:
    """Return what `estimate_words` does, given the number of characters of all texts."""
    return _RATE * characters * max(1.0, n_classes / 4)


def limited_seconds(texts: Sequence[Text], n_classes: int, budget: Budget) -> float:
    """Return the estimated seconds that `learn_words` takes under a budget."""
    return min(estimate_words(texts, n_classes), _PART * budget.seconds)


def choose_weight(
    objective: Objective,
    logits: npt.NDArray[np.float32],
    word_logits: npt.NDArray[np.float32],
    targets: npt.NDArray[Any],
) -> float:
    """Return the weight of the word model with which the mixed probabilities have the least loss.

    The mean log loss is a convex function of the weight, so its slope is followed to 0.

    Parameters
    ----------
    objective : Objective
    logits, word_logits : ndarray of float32, shape (n_texts, n_classes)
        Of the other models together, and of the word model, for held-out texts.
    targets : ndarray

    Returns
    -------
    float
        From 0 to 1, rounded to four decimal places; 0.5 for fewer than 100 texts, or if both
        always agree.
    """
    if len(targets) < LEAST_HELD_OUT:
        return EQUAL
    assert isinstance(objective, SingleLabelClassification)  # see check_words
    own, theirs = (objective.log_likelihoods(each, targets) for each in (logits, word_logits))
    largest = np.maximum(own, theirs)
    own, theirs = np.exp(own - largest), np.exp(theirs - largest)
    difference = theirs - own

    def slope(weight: float) -> float:
        """The slope of the mean log probability, which falls."""
        return float(np.mean(difference / np.maximum(own + weight * difference, 1e-300)))

    if not difference.any():
        return EQUAL
    low, high = 0.0, 1.0
    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return round(low, 4)


def describe_words(words: WordModel, held_out: int) -> str:
    """Return a line about a word model; `held_out` is the number of held-out texts."""
    line = f"words: {len(words.terms):,} words and word pairs vote with weight {words.weight:g}"
    if held_out >= LEAST_HELD_OUT:
        return f"{line}, learned on {held_out:,} held-out texts"
    return (
        f"{line}; at least {LEAST_HELD_OUT} held-out texts are needed to learn another "
        f"({spell('validation_fraction')})"
    )
