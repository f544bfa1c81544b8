"""What training saw of each text, epoch by epoch: its loss and the probability of its label."""

import zipfile

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.texts import hash_texts
from bertsent.validation import log_softmax


class ExampleHistory:
    """Loss, confidence and margin of each training text in each epoch.

    They are taken from the forward pass of the step in which the text came by, before that step
    changed the weights, so they cost no pass of their own. In the first epoch the model has not
    met the label of the text yet. With dropout they are noisy, as training is.

    Parameters
    ----------
    texts : list of str
        The n texts that were given to `fit`. Not kept; by their hashes they are known again.
    labels : int32 ndarray of shape (n,)
        Their class numbers.
    trained : int64 ndarray or None
        Which of them are trained on, in the order in which `add` counts them; None for all.
    epochs : int
        How many there are going to be.

    Attributes
    ----------
    hashes : uint64 ndarray of shape (n,)
    loss : float32 ndarray of shape (n, epochs)
        Cross-entropy in nats, label smoothing included, sample and class weights not. NaN, as in
        the others, where the text has not come by or is held out.
    probability : float32 ndarray of shape (n, epochs)
        That of the label.
    margin : float32 ndarray of shape (n, epochs)
        Logit of the label minus the largest of the others (Pleiss et al. 2020).
    other : int32 ndarray of shape (n, epochs)
        The class with that largest other logit; -1 where the text has not come by.
    """

    RECORDED = ("loss", "probability", "margin", "other")
    _KEPT = ("hashes", "labels", "trained", *RECORDED)

    def __init__(self, texts, labels, trained, epochs):
        self.hashes, self.labels = hash_texts(texts), labels
        self.trained = np.arange(len(labels)) if trained is None else trained
        shape = (len(labels), epochs)
        self.loss, self.probability, self.margin = (
            np.full(shape, np.nan, dtype=np.float32) for _ in range(3)
        )
        self.other = np.full(shape, -1, dtype=np.int32)

    def add(self, epoch, texts, logits, smoothing):
        """Take up a step.

        Parameters
        ----------
        epoch : int
            From 0.
        texts : int64 ndarray of shape (b,)
            Which of those that are trained on.
        logits : float32 ndarray of shape (b, classes)
        smoothing : float
            Part of each target that is spread evenly over all classes.
        """
        rows = self.trained[texts]
        each, labels = np.arange(len(rows)), self.labels[rows]
        logs = log_softmax(logits)
        own = logs[each, labels]
        self.loss[rows, epoch] = -((1 - smoothing) * own + smoothing * logs.mean(axis=1))
        self.probability[rows, epoch] = np.exp(own)
        logs[each, labels] = -np.inf
        other = logs.argmax(axis=1)
        self.margin[rows, epoch] = own - logs[each, other]
        self.other[rows, epoch] = other

    def arrays(self):
        """What was recorded, by the names under which a checkpoint has it."""
        return {f"examples.{name}": getattr(self, name) for name in self.RECORDED}

    def restore(self, arrays):
        """Take up what a checkpoint has."""
        for name, own in self.arrays().items():
            own[...] = arrays[name].reshape(own.shape)

    def save(self, path):
        """Write all of it into a file."""
        np.savez(path, **{name: getattr(self, name) for name in self._KEPT})

    @classmethod
    def load(cls, path):
        """What `save` has written; None where there is no such file."""
        history = cls.__new__(cls)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                for name in cls._KEPT:
                    setattr(history, name, arrays[name])
        except FileNotFoundError:
            return None
        except (ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
        return history

    def table(self, label_type):
        """One row for each text and epoch in which it came by.

        Parameters
        ----------
        label_type : LabelType
            Says how the labels looked.

        Returns
        -------
        DataFrame
            ``row``, ``epoch`` (from 1), ``loss``, ``probability``, ``margin``, ``other``.
        """
        import pandas as pd

        rows, epochs = np.nonzero(self.other >= 0)
        return pd.DataFrame({
            "row": rows,
            "epoch": epochs + 1,
            **{name: getattr(self, name)[rows, epochs] for name in self.RECORDED[:-1]},
            "other": label_type.decode(self.other[rows, epochs]),
        })
