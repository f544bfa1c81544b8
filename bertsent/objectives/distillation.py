"""What a student learns: the labels of texts, and the logits of a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.objectives.classification import SingleLabelClassification

if TYPE_CHECKING:
    import numpy.typing as npt

# The label of a text that has none.
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Distillation(SingleLabelClassification):
    """Classification by labels and by the logits of a teacher (Hinton, Vinyals & Dean 2015).

    It takes the place of `SingleLabelClassification` in training only. Its targets have the fields
    ``label``, a class number or `UNLABELLED`, and ``teacher``, the logits; see `join_targets`.

    Parameters
    ----------
    distillation_loss : {"kl", "mse"}
        What the teacher's part of the loss is: the Kullback-Leibler divergence of the softmaxes at
        a temperature T, times T squared, or the mean squared error of the logits.
    temperature : float
    teacher_weight : float
        Weight of the teacher's part. That of the label is the rest, if there is a label.
    """

    distillation_loss: str
    temperature: float
    teacher_weight: float

    def for_engine(
        self, targets: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.int32], dict[str, Any]]:
        teacher = np.ascontiguousarray(targets["teacher"])
        return np.ascontiguousarray(targets["label"]), {
            "loss": f"distillation_{self.distillation_loss}",
            "teacher": (teacher, self.temperature, self.teacher_weight),
        }

    def pointwise_metric(
        self, logits: npt.NDArray[np.float32], targets: npt.NDArray[Any]
    ) -> npt.NDArray[np.bool_]:
        """Return where the prediction is the label or, without one, that of the teacher."""
        labels, own = targets["label"], targets["teacher"].argmax(axis=1)
        return super().pointwise_metric(logits, np.where(labels == UNLABELLED, own, labels))


def join_targets(
    labels: npt.NDArray[np.int32], logits: npt.NDArray[np.float32]
) -> npt.NDArray[Any]:
    """Return targets for `Distillation`, one row for each text."""
    fields = [("label", np.int32), ("teacher", np.float32, logits.shape[1:])]
    targets = np.empty(len(labels), dtype=fields)
    targets["label"], targets["teacher"] = labels, logits
    return targets
