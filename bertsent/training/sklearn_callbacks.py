"""The callbacks of scikit-learn, which are set by ``set_callbacks`` from version 1.9 on.

An estimator tells them when its fit and each epoch begins and ends, so that scikit-learn's progress
bars show epochs, also in a pipeline or a search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport, with_callbacks
except ImportError:  # an earlier version

    class CallbackSupport:  # type: ignore[no-redef]
        """Nothing: scikit-learn has no callbacks."""

    with_callbacks = None

__all__ = ["CallbackSupport", "tell_callbacks"]

Hear = Callable[[dict[str, Any]], bool]


def tell_callbacks(
    estimator: Any,
    learn: Callable[[Hear | None], object],
    *,
    X: Any,
    y: Any = None,
    metadata: Mapping[str, Any] | None = None,
    epochs: int | None = 0,
    fitted: Callable[[], dict[str, Any]],
) -> None:
    """Train, and tell scikit-learn's callbacks about it.

    Parameters
    ----------
    estimator : object
        A `CallbackSupport`.
    learn : callable
        What trains. It is passed a callback for the events of training, which returns True if
        training should end; or None if nobody listens.
    X, y, metadata
        Data of `fit`, which are passed to the callbacks.
    epochs : int or None, default=0
        Number of epochs at most; None if it is unknown.
    fitted : callable
        Returns the attributes that make a copy of the estimator a fitted one, after `learn`.
    """
    if with_callbacks is None or not getattr(estimator, "_skl_callbacks", None):
        learn(None)
        return
    data = {"X": X, "y": y, "metadata": dict(metadata or {})}

    def run(estimator: Any) -> None:
        task = _FitTask(estimator, data, epochs)
        learn(task)
        task.context.call_on_fit_task_end(
            estimator=estimator, reconstruction_attributes=fitted, **data
        )

    with_callbacks(run)(estimator)


class _FitTask:
    """Turns events of training into tasks of scikit-learn's callbacks."""

    def __init__(self, estimator: Any, data: dict[str, Any], epochs: int | None) -> None:
        self.estimator, self.data = estimator, data
        self.context = estimator._init_callback_context(max_subtasks=epochs)
        self.context.call_on_fit_task_begin(estimator=estimator, **data)
        self._epoch: Any = None

    def __call__(self, event: dict[str, Any]) -> bool:
        # Not before the first step of an epoch, because training may end before it.
        if self._epoch is None and event["event"] in ("step", "epoch"):
            self._epoch = self.context.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        if event["event"] != "epoch":
            return False
        ended, self._epoch = self._epoch, None
        return bool(ended.call_on_fit_task_end(estimator=self.estimator, **self.data))
