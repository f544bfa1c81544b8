"""How likely labels of training texts are wrong, judged by what training saw of them.

A wrong label is learned late: at first the model predicts what it has learned from other texts
(Arpit et al. 2017, *A Closer Look at Memorization in Deep Networks*). So the evidence is a mean
over the epochs, not the state after training. It is the mean of the probability of the label
(Swayamdipta et al. 2020, *Dataset Cartography*) or of the margin of its logit (Pleiss et al. 2020,
*Identifying Mislabeled Data using the Area Under the Margin Ranking*).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.training import ExampleHistory

Ints: TypeAlias = "npt.NDArray[np.integer]"
Floats: TypeAlias = "npt.NDArray[np.floating]"


class Evidence(NamedTuple):
    """What k judges, such as epochs of training, found about n labels.

    Attributes
    ----------
    labels : int ndarray of shape (n,)
        Class numbers.
    probability : float ndarray of shape (n, k)
        Probability of the label.
    margin : float ndarray of shape (n, k)
        Logit of the label minus the largest of the others.
    other : int ndarray of shape (n, k)
        The class with that largest other logit; -1 if the judge has not seen the text.
    trust : float ndarray of shape (k,)
        Weight of each judge, apart from its accuracy.
    """

    labels: Ints
    probability: Floats
    margin: Floats
    other: Ints
    trust: Floats

    @classmethod
    def of_training(cls, history: ExampleHistory, rows: Ints) -> Evidence:
        """Return the evidence of the epochs of an `ExampleHistory`, for some of its rows.

        The trust in epoch e is 1 / e, because labels are not yet memorized in the first epochs.
        """
        seen = {name: values[rows] for name, values in history.values.items()}
        trust = 1 / np.arange(1, seen["margin"].shape[1] + 1)
        return cls(
            history.targets[rows], seen["probability"], seen["margin"], seen["other"], trust
        )

    def beside(self, probabilities: npt.NDArray[np.float64]) -> Evidence:
        """Return this evidence and that of another judge, with probabilities (n, n_classes)."""
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
    """How suspicious each label is.

    Attributes
    ----------
    score : ndarray of float64, shape (n,)
        From 0 to 1; NaN for texts that no judge has seen.
    other : ndarray of int64, shape (n,)
        The most probable other class, according to the judge that contradicts the label most;
        -1 for texts that no judge has seen.
    """

    score: npt.NDArray[np.float64]
    other: npt.NDArray[np.int64]


def suspect(evidence: Evidence) -> Suspicion:
    """Score labels.

    The score is a weighted mean over the judges of 1 / (1 + exp(m)), where m is the margin of the
    label. With two classes, that is 1 minus the mean probability of the label. The margin is
    relative to what is usual for the two classes. Confidence in a class is lower on average if the
    class is rare, and depends on its weight. So the log of the average confidence (the mean
    probability of the label, over the texts with that label) is subtracted, as confident learning
    compares each probability with the average of its class (Northcutt et al. 2021, *Confident
    Learning*).

    The weight of a judge is its trust times the square of its balanced accuracy above chance. A
    judge that knows nothing yet, as in the first steps of training, has almost no weight.

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


def _usual(evidence: Evidence, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return the log of the mean probability of the label, by class and judge, or 0."""
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


def _knowledge(
    labels: Ints, seen: npt.NDArray[np.bool_], margin: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the balanced accuracy of each judge, scaled from 0 for chance to 1; at least 0.01."""
    found = np.zeros(seen.shape[1])
    for judge in range(seen.shape[1]):
        rows = seen[:, judge]
        classes, codes = np.unique(labels[rows, judge], return_inverse=True)
        if len(classes):
            right = np.bincount(codes, margin[rows, judge] > 0) / np.bincount(codes)
            chance = 1 / max(2, len(classes))
            found[judge] = (right.mean() - chance) / (1 - chance)
    return np.clip(found, 0.01, 1.0)
