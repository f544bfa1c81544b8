"""The thread that computes: it cuts what waits into batches, so that every request goes on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bertsent.serving.jobs import Job, Place

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.serving.metrics import Metrics

__all__ = ["Batcher", "Overloaded"]

Score = Callable[
    [int, bool, "npt.NDArray[np.int32]", "npt.NDArray[np.int64]", "npt.NDArray[np.int32] | None"],
    "npt.NDArray[np.float32]",
]


class Overloaded(Exception):
    """The queue is full."""


class Batcher:
    """Compute jobs in one thread, in batches of about as many tokens as the engine needs.

    The engine releases the GIL, so that requests are read and answered meanwhile. No batch waits
    for further requests: it is cut from what is there when the one before is done.

    Jobs take turns, and each gives one sequence at its turn. So a job of one sequence waits for at
    most one sequence of each other job, however many these have, and a long job goes on in every
    round.

    Parameters
    ----------
    score : callable
        Computes a batch. It takes the number of the model, whether vectors are wanted, ids, offsets
        and token types, and returns a row for each sequence.
    deliver : callable
        Called from the thread with the jobs that are done.
    metrics : Metrics
    batch_tokens : int
        Most tokens of a batch, unless one sequence has more.
    queue_tokens : int
        Most tokens that may wait. A job that has more is accepted if no other one waits.
    """

    def __init__(
        self,
        score: Score,
        deliver: Callable[[Sequence[Job]], None],
        metrics: Metrics,
        *,
        batch_tokens: int,
        queue_tokens: int,
    ) -> None:
        self._score, self._deliver, self._metrics = score, deliver, metrics
        self._batch_tokens, self._queue_tokens = batch_tokens, queue_tokens
        self._jobs: deque[Job] = deque()
        self._waiting = 0  # tokens of sequences that are in no batch yet
        self._changed = threading.Condition()
        self._closed = False
        # A daemon: a second signal ends the process while it computes.
        self._thread = threading.Thread(target=self._run, name="bertsent-batcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def put(self, job: Job) -> None:
        """Let a job wait for its turn; raise `Overloaded` if too many tokens wait."""
        with self._changed:
            if self._jobs and self._waiting + job.tokens > self._queue_tokens:
                raise Overloaded
            self._jobs.append(job)
            self._waiting += job.tokens
            self._metrics.queue_tokens.set(self._waiting)
            self._changed.notify()

    def close(self) -> None:
        """Wait until everything that was accepted is done, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if not self._jobs:
                    return
                batch = self._take()
                self._metrics.queue_tokens.set(self._waiting)
            if batch:
                self._compute(batch)

    def _take(self) -> list[Place]:
        """Take the sequences of the next batch, one of each job in turn."""
        batch: list[Place] = []
        tokens = 0
        while self._jobs:
            job = self._jobs[0]
            if job.abandoned or job.error is not None:
                self._waiting -= sum(place.size for place in job.waiting)
                job.waiting.clear()
                self._jobs.popleft()
                continue
            size = job.waiting[0].size
            if batch and tokens + size > self._batch_tokens:
                break
            self._jobs.popleft()
            batch.append(job.waiting.popleft())
            if job.waiting:
                self._jobs.append(job)
            tokens += size
        self._waiting -= tokens
        return batch

    def _compute(self, batch: list[Place]) -> None:
        """Compute a batch, and deliver the jobs that are done."""
        begun = time.perf_counter()
        groups: dict[tuple[int, bool], list[Place]] = {}
        for place in batch:
            place.job.begun = place.job.begun or begun
            groups.setdefault((place.part.model, place.job.vectors), []).append(place)
        done: dict[Job, None] = {}  # in order
        for (model, vectors), places in groups.items():
            self._compute_group(model, vectors, places)
            for place in places:
                job = place.job
                job.unfinished -= 1
                if job.unfinished == 0 or job.error is not None:
                    done[job] = None
        now = time.perf_counter()
        for job in done:
            job.done = now
        self._metrics.batch_seconds.observe(now - begun)
        self._metrics.batch_sequences.observe(len(batch))
        self._metrics.batch_tokens.observe(sum(place.size for place in batch))
        if done:
            self._deliver(list(done))

    def _compute_group(self, model: int, vectors: bool, places: list[Place]) -> None:
        """Compute the sequences of one model. If that fails, each job alone, to find whose fault.

        An error must not end the thread, so all of them are those of jobs.
        """
        try:
            found = self._score(model, vectors, *_join(places))
        except Exception as error:
            of_jobs: dict[Job, list[Place]] = {}
            for place in places:
                of_jobs.setdefault(place.job, []).append(place)
            if len(of_jobs) == 1:
                places[0].job.error = error
                return
            for own in of_jobs.values():
                self._compute_group(model, vectors, own)
            return
        for place, row in zip(places, found, strict=True):
            place.part.results[place.row] = row


def _join(
    places: list[Place],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int32] | None]:
    """Return ids, offsets and types of sequences, laid end to end."""
    offsets = np.zeros(len(places) + 1, np.int64)
    np.cumsum([place.size for place in places], out=offsets[1:])
    ids, types = [], []
    some = any(place.part.tokens.token_type_ids is not None for place in places)
    for place in places:
        tokens = place.part.tokens
        begin, end = tokens.offsets[place.row], tokens.offsets[place.row + 1]
        ids.append(tokens.ids[begin:end])
        if some:
            own = tokens.token_type_ids
            types.append(np.zeros(place.size, np.int32) if own is None else own[begin:end])
    return np.concatenate(ids), offsets, np.concatenate(types) if some else None
