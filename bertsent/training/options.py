"""Everything that determines a training run, besides the texts and the initial weights."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertsent.model import PassTokens


@dataclass(frozen=True)
class TrainingOptions:
    """Everything that determines a training run, besides the texts and the initial weights.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the texts; texts in a batch.
    learning_rate, weight_decay, max_grad_norm : float
        Peak learning rate and weight decay of AdamW; norm to which gradients are clipped, or 0.
    warmup_ratio : float
        Fraction of the steps in which the learning rate rises.
    schedule : {"linear", "cosine", "constant"}
        How the learning rate changes after that.
    head_learning_rate : float or None
        That of the head, if it is another; `rates` has it as a factor.
    rates : float32 ndarray of shape (layers + 2,) or None
        Factors of the learning rate for embeddings, each layer, and the head.
    label_smoothing : float
        Fraction of each target that is spread evenly over all classes.
    accumulate_steps : int
        Number of batches whose gradients are added up for one step.
    freeze : int
        0 trains everything; k > 0 freezes the embeddings and the first k layers.
    freeze_dropout : bool
        Whether frozen layers have no dropout.
    order_seed, dropout_seed : int
        Seeds of the order of the texts and of dropout.
    eval_every : int or None
        Steps between two evaluations; None to evaluate only at the end of every epoch.
    precision : str
        Precision of training.
    inference_precision : str or None
        Precision of evaluations; None for that of the model.
    passes : PassTokens
        Tokens that go through the model at once. Their number changes how the result rounds.
    even_steps : bool
        Whether all steps of an epoch have about the same number of texts, as in `step_ends`.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    schedule: str = "linear"
    head_learning_rate: float | None = None
    rates: npt.NDArray[np.float32] | None = None
    label_smoothing: float = 0.0
    accumulate_steps: int = 1
    max_grad_norm: float = 1.0
    freeze: int = 0
    freeze_dropout: bool = False
    order_seed: int = 0
    dropout_seed: int = 0
    eval_every: int | None = None
    precision: str = "float32"
    inference_precision: str | None = None
    passes: PassTokens = PassTokens()
    even_steps: bool = False

    @property
    def step_size(self) -> int:
        """Number of texts in a step. The engine divides them into micro-batches."""
        return self.batch_size * self.accumulate_steps
