"""How likely the labels of training texts are wrong, by what training saw of them.

A wrong label is learned late: at first the model goes by the other texts, and says so (Arpit et al.
2017, *A Closer Look at Memorization in Deep Networks*). So it is the mean over the epochs that
counts, of the probability of the label (Swayamdipta et al. 2020, *Dataset Cartography*) or the
margin of its logit (Pleiss et al. 2020, *Identifying Mislabeled Data using the Area Under the
Margin Ranking*), and not how training ends.
"""

from typing import NamedTuple

import numpy as np


class Evidence(NamedTuple):
    """What k judges, such as epochs of training, say of n labels.

    Attributes
    ----------
    labels : int ndarray of shape (n,)
        Class numbers.
    probability : float ndarray of shape (n, k)
        That of the label.
    margin : float ndarray of shape (n, k)
        Logit of the label minus the largest of the others.
    other : int ndarray of shape (n, k)
        The class that has that; -1 where this judge has not seen the text.
    trust : float ndarray of shape (k,)
        By what each counts, beside what it knows.
    """

    labels: np.ndarray
    probability: np.ndarray
    margin: np.ndarray
    other: np.ndarray
    trust: np.ndarray

    @classmethod
    def of_training(cls, history, rows):
        """The epochs of an `ExampleHistory`, for some of its rows.

        An epoch counts by 1 / its number: the first ones come before labels are learned by heart.
        """
        trust = 1 / np.arange(1, history.margin.shape[1] + 1)
        return cls(
            history.labels[rows], history.probability[rows], history.margin[rows],
            history.other[rows], trust,
        )

    def beside(self, probabilities):
        """This, and a judge that gave these probabilities, of shape (n, classes)."""
        each = np.arange(len(self.labels))
        logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
        own = logs[each, self.labels]
        logs[each, self.labels] = -np.inf
        other = logs.argmax(axis=1)
        return Evidence(
            self.labels,
            np.column_stack([self.probability, np.exp(own)]),
            np.column_stack([self.margin, own - logs[each, other]]),
            np.column_stack([self.other, other]),
            np.append(self.trust, 1.0),
        )


class Suspicion(NamedTuple):
    """What is to be said against each label.

    Attributes
    ----------
    score : ndarray of float64, shape (n,)
        From 0, none, to 1; NaN for texts that no judge has seen.
    other : ndarray of int64, shape (n,)
        The class held likeliest beside the label by the judge that is most against it; -1 for
        texts that none has seen.
    """

    score: np.ndarray
    other: np.ndarray


def suspect(evidence):
    """Score labels.

    The score is a weighted mean over the judges of 1 / (1 + exp(m)), m being the margin of the
    label: with two classes, that is 1 minus the mean probability of the label. The margin is taken
    beside what is usual for the two classes: confidence in a class is on average lower the rarer
    it is, and follows its weight, and so the log of this average (that of the probability of the
    label, over the texts with that label) is subtracted, as confident learning compares each
    probability with its class's average (Northcutt et al. 2021, *Confident Learning*).

    A judge weighs its trust times the square of its accuracy above chance, every class alike: one
    that knows nothing yet, as in the first steps of training, says nothing.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    Suspicion
    """
    seen = evidence.other >= 0
    labels = np.broadcast_to(evidence.labels[:, None], seen.shape)
    judges = np.broadcast_to(np.arange(seen.shape[1]), seen.shape)
    usual = _usual(evidence, seen)
    margin = evidence.margin.astype(np.float64)
    margin = margin - usual[labels, judges] + usual[evidence.other, judges]
    against = np.where(seen, 1 / (1 + np.exp(np.clip(margin, -700, 700))), 0.0)
    weights = seen * evidence.trust * _knowledge(labels, seen, margin) ** 2
    total = weights.sum(axis=1)
    score = np.full(len(seen), np.nan)
    np.divide((against * weights).sum(axis=1), total, out=score, where=total > 0)
    strongest = np.where(seen, against, -1.0).argmax(axis=1)
    return Suspicion(score, evidence.other[np.arange(len(seen)), strongest].astype(np.int64))


def _usual(evidence, seen):
    """Log of the mean probability of the label, by class and judge; 0 where there is none."""
    n_classes = max(evidence.labels.max(), evidence.other.max()) + 1
    usual = np.zeros((n_classes, seen.shape[1]))
    for judge in range(seen.shape[1]):
        rows = seen[:, judge]
        labels = evidence.labels[rows]
        counts = np.bincount(labels, minlength=n_classes)
        sums = np.bincount(labels, evidence.probability[rows, judge], minlength=n_classes)
        there = counts > 0
        mean = np.maximum(sums[there] / counts[there], np.finfo(np.float32).tiny)
        usual[there, judge] = np.log(mean)
    return usual


def _knowledge(labels, seen, margin):
    """Accuracy of each judge, every class alike, from 0 for chance to 1; never quite 0."""
    found = np.zeros(seen.shape[1])
    for judge in range(seen.shape[1]):
        rows = seen[:, judge]
        classes, codes = np.unique(labels[rows, judge], return_inverse=True)
        if len(classes):
            right = np.bincount(codes, margin[rows, judge] > 0) / np.bincount(codes)
            chance = 1 / max(2, len(classes))
            found[judge] = (right.mean() - chance) / (1 - chance)
    return np.clip(found, 0.01, 1.0)
