"""Tokenized texts with their targets: training steps and evaluations on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bertsent.model import gather
from bertsent.objectives import Objective
from bertsent.texts import Windows
from bertsent.training.evaluation import evaluate, held_out_logits
from bertsent.training.example_history import ExampleHistory
from bertsent.training.frozen import FrozenCache
from bertsent.training.schedule import balanced_order, epoch_order

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.model import BertForSequenceClassification
    from bertsent.objectives import Scorer
    from bertsent.training.frozen import Rows
    from bertsent.training.options import TrainingOptions


Parts: TypeAlias = "tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]"


class Learned(NamedTuple):
    """The result of one training step.

    Attributes
    ----------
    tokens : int
        Number of tokens.
    loss, norm : float or None
        Mean loss, and norm of the gradient before clipping; None if all weights were 0.
    weight, metric_sum : float
        Sum of the weights, and weighted sum of the metric.
    """

    tokens: int
    loss: float | None = None
    norm: float | None = None
    weight: float = 0.0
    metric_sum: float = 0.0


@dataclass(frozen=True)
class Examples:
    """Tokenized texts with their targets.

    `train` accepts any object with these methods and `metric`.

    Parameters
    ----------
    ids : int32 ndarray
        Token ids of all texts, concatenated.
    offsets : int64 ndarray
        Start of each text or window, and the end of the last one.
    targets : ndarray
        Targets of the texts, as `objective` encodes them.
    objective : Objective
    weights : float32 ndarray or None
        Weight of each text; None for equal weights.
    windows : Windows or None
        Which sequences belong to one text; None if every text is one sequence.
    frozen : FrozenCache
        Stores the output of the frozen layers, or nothing.
    history : ExampleHistory or None
        Records what each step sees of its texts.
    balanced : bool
        Whether the classes, which `targets` are, are spread evenly over the epoch.
    scorer : Scorer or None
        What `evaluate` returns besides the metrics of the objective.
    types : int32 ndarray or None
        Token types of all texts; None if all are 0.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    targets: npt.NDArray[Any]
    objective: Objective
    weights: npt.NDArray[np.float32] | None = None
    windows: Windows | None = None
    frozen: FrozenCache = field(default_factory=FrozenCache)
    history: ExampleHistory | None = None
    balanced: bool = False
    scorer: Scorer | None = None
    types: npt.NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def metric(self) -> str:
        """Name of the metric that is reported beside the loss."""
        return self.objective.metric

    def order(self, seed: int, epoch: int) -> npt.NDArray[np.int64]:
        """Return the order of the texts in an epoch."""
        if self.balanced:
            return balanced_order(self.targets, seed, epoch)
        return epoch_order(len(self), seed, epoch)

    def prepare(
        self,
        model: BertForSequenceClassification,
        options: TrainingOptions,
        n_threads: int,
        **how: Any,
    ) -> None:
        """Prepare an epoch; see `FrozenCache.fill`."""
        self.frozen.fill(model, self, options, n_threads, **how)

    def gather(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[
        npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int32] | None,
        npt.NDArray[np.uint64], Parts | None,
    ]:
        """Return the tokens of some texts, concatenated in the order of ``rows``.

        Returns
        -------
        ids : int32 ndarray
        cu_seqlens : int64 ndarray
        types : int32 ndarray or None
        keys : uint64 ndarray
            Keys of the sequences for dropout.
        windows : tuple or None
            Which sequences belong to one text, in the engine's form.
        """
        if self.windows is None:
            return *gather(self.ids, self.offsets, rows, self.types), rows.astype(np.uint64), None
        sequences, windows = self.windows.take(rows)
        keys = self.windows.keys(rows)
        parts = (windows.first, windows.shares)
        return *gather(self.ids, self.offsets, sequences, self.types), keys, parts

    def stored(self, rows: npt.NDArray[np.int64]) -> tuple[Rows, npt.NDArray[np.int64]] | None:
        """Return the stored output of the frozen layers for some texts, or None."""
        if self.frozen.storage is None:
            return None
        sequences = rows if self.windows is None else self.windows.take(rows)[0]
        return self.frozen.stored(sequences)

    def train_step(
        self,
        model: BertForSequenceClassification,
        rows: npt.NDArray[np.int64],
        options: TrainingOptions,
        buffers: tuple[npt.NDArray[np.float32], ...],
        *,
        epoch: int,
        **engine_options: Any,
    ) -> Learned:
        """Do one training step on some of the texts.

        Parameters
        ----------
        model : BertForSequenceClassification
        rows : int64 ndarray
            Row numbers of the texts.
        options : TrainingOptions
        buffers : tuple of float32 ndarray
            Gradients and both moments.
        epoch : int
            Number of completed epochs.
        **engine_options
            Further arguments of the engine's ``train_step``.

        Returns
        -------
        Learned
        """
        ids, cu_seqlens, types, keys, windows = self.gather(rows)
        targets = self.targets[rows]
        weights = None if self.weights is None else self.weights[rows]
        # If all weights are 0 there is no loss, and the step updates nothing.
        if weights is not None and not weights.any():
            return Learned(len(ids))
        engine_targets, of_loss = self.objective.for_engine(targets)
        engine_options |= of_loss
        loss, logits, norm = model._core.train_step(
            ids, types, None, cu_seqlens, keys, engine_targets, weights, *buffers,
            windows=windows, stored=self.stored(rows),
            label_smoothing=options.label_smoothing,
            freeze_dropout=options.freeze_dropout, **engine_options,
        )
        if self.history is not None:
            self.history.add(epoch, rows, logits, options.label_smoothing)
        metric = self.objective.pointwise_metric(logits, targets)
        weight = float(len(rows))
        if weights is not None:
            weight = float(weights.sum(dtype=np.float64))
            # Zeros are left out, because they would change how the sum rounds.
            metric = (weights * metric)[metric != 0]
        return Learned(len(ids), loss, norm, weight, float(metric.sum(dtype=np.float64)))

    def evaluate(
        self,
        model: BertForSequenceClassification,
        options: TrainingOptions,
        n_threads: int,
        *,
        report: Callable[[float], None] | None = None,
    ) -> dict[str, float]:
        """Return loss and metric on these texts, as in a row of `State.evaluations`."""
        return evaluate(
            model, self, n_threads, options.inference_precision, options.passes.scoring, report
        )

    def logits(
        self, model: BertForSequenceClassification, options: TrainingOptions, n_threads: int
    ) -> npt.NDArray[np.float32]:
        """Return the logits of these texts, as `evaluate` computes them."""
        return held_out_logits(
            model, self, n_threads, options.inference_precision, options.passes.scoring
        )
