"""A second opinion on labels: a linear model of words that has not seen the labels it judges.

It differs from the network in every respect (whole texts, no word order, no pretraining). If both
contradict a label, that is stronger evidence than either alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from bertsent.system import check_interrupts, checking_interrupts, interrupt_at_once

if TYPE_CHECKING:
    import numpy.typing as npt

FOLDS = 5
# Largest number of words and word pairs, which bounds the memory. The most frequent are used.
_FEATURES = 200_000
# Weaker regularisation than scikit-learn's default, because the vector of each text has length 1.
# On 3,000 IMDB reviews, 3, 10 and 30 are equally good, to half a point of accuracy.
_C = 10.0


def cross_validate(
    texts: list[str], labels: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64] | None:
    """Return class probabilities of each text, from a model trained on other texts.

    The model is a logistic regression on binary TF-IDF of words and word pairs, with stratified
    cross-validation in `FOLDS` parts (Northcutt et al. 2021 require such probabilities). It runs
    on one thread, so that the result does not depend on the number of threads.

    Parameters
    ----------
    texts : list of str
    labels : ndarray of int, shape (n_texts,)
        Class numbers.

    Returns
    -------
    ndarray of float64, shape (n_texts, n_classes), or None
        None if a class has only one text, or if no word occurs in two texts.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    folds = min(FOLDS, int(np.bincount(codes).min())) if len(classes) > 1 else 0
    if folds < 2:
        return None
    try:
        words = TfidfVectorizer(
            binary=True, ngram_range=(1, 2), min_df=2, max_features=_FEATURES, dtype=np.float64
        ).fit_transform(checking_interrupts(texts))
    except ValueError:  # no such word
        return None
    model = LogisticRegression(C=_C, class_weight="balanced", max_iter=1000)
    parts = StratifiedKFold(folds, shuffle=True, random_state=0)
    with threadpool_limits(limits=1), interrupt_at_once():
        found = cross_val_predict(model, words, codes, cv=parts, method="predict_proba")
    check_interrupts()
    probabilities = np.zeros((len(texts), labels.max() + 1))
    probabilities[:, classes] = found
    return probabilities
