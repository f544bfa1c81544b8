"""What `train` needs of a model and of the data that it is trained on, for type checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bertsent import _core
    from bertsent.training.examples import Learned
    from bertsent.training.options import TrainingOptions


class Trainable(Protocol):
    """A model in one flat buffer, such as `BertForSequenceClassification`."""

    @property
    def _config(self) -> dict[str, Any]: ...
    @property
    def _engine(self) -> dict[str, Any]: ...
    @property
    def _flat(self) -> npt.NDArray[np.float32]: ...
    @property
    def _core(self) -> _core.Model: ...
    def _trained(self, freeze: int) -> npt.NDArray[np.float32]: ...


ModelT = TypeVar("ModelT", bound=Trainable)
ModelT_contra = TypeVar("ModelT_contra", bound=Trainable, contravariant=True)


class TrainingData(Protocol[ModelT_contra]):
    """Data that trains and evaluates a kind of model, such as `Examples`."""

    @property
    def offsets(self) -> npt.NDArray[np.int64]: ...
    @property
    def metric(self) -> str: ...
    def __len__(self) -> int: ...
    def order(self, seed: int, epoch: int, /) -> npt.NDArray[np.int64]: ...

    def prepare(
        self,
        model: ModelT_contra,
        options: TrainingOptions,
        n_threads: int,
        /,
        *,
        report: Callable[[float], None],
        check: Callable[[], None],
    ) -> None: ...

    def train_step(
        self,
        model: ModelT_contra,
        rows: npt.NDArray[np.int64],
        options: TrainingOptions,
        buffers: tuple[npt.NDArray[np.float32], ...],
        *,
        epoch: int,
        **engine_options: Any,
    ) -> Learned: ...

    def evaluate(
        self,
        model: ModelT_contra,
        options: TrainingOptions,
        n_threads: int,
        /,
        *,
        report: Callable[[float], None],
    ) -> dict[str, float]: ...
