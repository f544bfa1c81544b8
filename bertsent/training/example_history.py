"""The history of each training text: its loss in each epoch, and what the objective records."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.errors import CheckpointError
from bertsent.files import open_regular, read_array
from bertsent.system import checking_interrupts
from bertsent.texts import hash_texts

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.objectives import Objective
    from bertsent.texts import Text


class ExampleHistory:
    """The values of `Objective.record` for each training text in each epoch.

    The values come from the forward pass of the training step that read the text, before that step
    changed the weights, so they need no pass of their own. In the first epoch the model has not
    seen the text's label yet. With dropout the values are noisy, as training is.

    Parameters
    ----------
    objective : Objective
    texts : list of str, or of pairs
        The n texts that were given to `fit`. Only their hashes are kept.
    targets : ndarray of n rows
        Their targets.
    trained : int64 ndarray or None
        Row numbers of the texts that are trained on, in the order in which `add` counts them. None
        means all. Texts without labels come after them, and are not recorded.
    epochs : int
        Number of epochs.

    Attributes
    ----------
    hashes : uint64 ndarray of shape (n,)
    values : dict of str to ndarray of shape (n, epochs)
        One array for each of `Objective.recorded`. Floats are NaN and integers -1 where a text was
        not trained on. Sample weights and class weights have no effect.
    """

    def __init__(
        self,
        objective: Objective,
        texts: list[Text],
        targets: npt.NDArray[Any],
        trained: npt.NDArray[np.int64] | None,
        epochs: int,
    ) -> None:
        self.objective, self.targets = objective, targets
        self.hashes = hash_texts(checking_interrupts(texts))
        self.trained = np.arange(len(targets)) if trained is None else trained
        self.values: dict[str, npt.NDArray[Any]] = {
            name: np.full((len(targets), epochs), _missing(dtype), dtype)
            for name, dtype in objective.recorded.items()
        }

    def add(
        self,
        epoch: int,
        texts: npt.NDArray[np.int64],
        logits: npt.NDArray[np.float32],
        label_smoothing: float,
    ) -> None:
        """Record a training step.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        texts : int64 ndarray of shape (b,)
            The texts of the step, as indices into `trained`; larger ones are of texts without
            labels.
        logits : float32 ndarray of shape (b, n_outputs)
        label_smoothing : float
            Fraction of each target that is spread evenly over all classes.
        """
        labelled = texts < len(self.trained)
        rows, logits = self.trained[texts[labelled]], logits[labelled]
        found = self.objective.record(logits, self.targets[rows], label_smoothing)
        for name, values in self.values.items():
            values[rows, epoch] = found[name]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the values by their names in a checkpoint."""
        return {f"examples.{name}": values for name, values in self.values.items()}

    def restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Restore the values of a checkpoint; raise a ValueError if none of ours has such."""
        for name, own in self.arrays().items():
            own[...] = arrays[name].reshape(own.shape)
        self._check()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the history to a file."""
        arrays: dict[str, Any] = {
            "hashes": self.hashes, "labels": self.targets, "trained": self.trained, **self.values,
        }
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: str | PathLike[str], objective: Objective) -> ExampleHistory | None:
        """Read what `save` wrote; None if there is no such file.

        Raises
        ------
        CheckpointError
            The file is damaged, or does not belong to the objective.
        """
        history = cls.__new__(cls)
        history.objective = objective
        try:
            file = open_regular(path)
        except FileNotFoundError:
            return None
        targets = (np.float32, 2) if objective.takes_matrix else (np.int32, 1)
        with file, _naming(path), _Archive(path, file) as archive:
            history.hashes = archive.read_array("hashes", np.uint64, 1)
            history.targets = archive.read_array("labels", *targets)
            history.trained = archive.read_array("trained", np.int64, 1)
            history.values = {
                name: archive.read_array(name, dtype, 2)
                for name, dtype in objective.recorded.items()
            }
            history._check()
        return history

    def _check(self) -> None:
        """Raise a ValueError unless the arrays are consistent."""
        n_texts, shape = len(self.hashes), self.values["loss"].shape
        if len(self.targets) != n_texts or shape[0] != n_texts or any(
            values.shape != shape for values in self.values.values()
        ):
            raise ValueError("the numbers of its texts differ")
        if len(np.unique(self.trained)) < len(self.trained) or len(self.trained) and not (
            0 <= self.trained.min() <= self.trained.max() < n_texts
        ):
            raise ValueError("trained has a number twice, or one that no text has")
        self.objective.check_record(self.targets, self.values)

    def table(self) -> pd.DataFrame:
        """Return a table with one row for each text and epoch in which it was trained on.

        Returns
        -------
        DataFrame
            ``row``, ``epoch`` (from 1), and a column for each of `Objective.recorded`.
        """
        import pandas as pd

        rows, epochs = np.nonzero(~np.isnan(self.values["loss"]))
        record = {name: values[rows, epochs] for name, values in self.values.items()}
        return pd.DataFrame(
            {"row": rows, "epoch": epochs + 1} | self.objective.decode_record(record)
        )


@contextlib.contextmanager
def _naming(path: str | PathLike[str]) -> Iterator[None]:
    """Turn what reading a damaged archive can raise into a CheckpointError."""
    try:
        yield
    except CheckpointError:
        raise
    except (
        ValueError, KeyError, EOFError, OSError, RuntimeError, OverflowError, struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(f"{os.fspath(path)} cannot be read: {str(error):.200}") from None


class _Archive(zipfile.ZipFile):
    """What `numpy.savez` wrote."""

    def __init__(self, path: str | PathLike[str], file: BufferedReader) -> None:
        self.where, self.size = os.fspath(path), os.fstat(file.fileno()).st_size
        super().__init__(file)

    def read_array(self, name: str, dtype: type, ndim: int) -> npt.NDArray[Any]:
        """Return an array, after comparing its checksum."""
        entry = self.getinfo(name + ".npy")
        # NumPy compresses nothing here, so no array is larger than the file.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > self.size:
            raise ValueError(f"{name} is compressed, or larger than the file")
        with self.open(entry) as file:
            return read_array(
                file, entry.file_size, f"{self.where}: {name}", (np.dtype(dtype).str,), ndim
            )


def _missing(dtype: type) -> float:
    return np.nan if np.issubdtype(dtype, np.floating) else -1
