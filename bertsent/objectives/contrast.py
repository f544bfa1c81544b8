"""What an encoder learns from few labels: vectors that are alike within a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.objectives.classification import SingleLabelClassification

if TYPE_CHECKING:
    import numpy.typing as npt

# That of Khosla et al. (2020).
_TEMPERATURE = 0.1


@dataclass(frozen=True, eq=False)
class Contrast(SingleLabelClassification):
    """The supervised contrastive loss of the vectors of texts (Khosla et al. 2020).

    It takes the place of `SingleLabelClassification` in training only, with a model that returns
    vectors in place of logits.
    """

    def for_engine(
        self, targets: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.int32], dict[str, Any]]:
        """Return the classes and the temperature."""
        return np.ascontiguousarray(targets, np.int32), {
            "loss": "contrastive", "temperature": _TEMPERATURE,
        }

    def pointwise_metric(
        self, vectors: npt.NDArray[np.float32], targets: npt.NDArray[Any]
    ) -> npt.NDArray[np.bool_]:
        """Return where the most similar of the other texts has the same class."""
        if len(vectors) < 2:
            return np.zeros(len(vectors), bool)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = unit @ unit.T
        np.fill_diagonal(cosines, -np.inf)
        same: npt.NDArray[np.bool_] = targets[cosines.argmax(axis=1)] == targets
        return same
