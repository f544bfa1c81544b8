"""A request as sequences of tokens, each of which is computed in some batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bertsent.texts import Windows

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Text
    from bertsent.tokenizer import Encoding

__all__ = ["Job", "Part", "Place"]


@dataclass(frozen=True, eq=False)
class Part:
    """What one model reads of the texts of a request, and what it computes of them.

    Parameters
    ----------
    model : int
        Number of the model.
    tokens : Encoding
        The sequences that it reads.
    results : ndarray of float32, shape (n_sequences, n_outputs) or (n_sequences, hidden_size)
        Logits or vectors, which are filled in as batches are computed.
    """

    model: int
    tokens: Encoding
    results: npt.NDArray[np.float32]

    def of_texts(self) -> npt.NDArray[np.float32]:
        """Return the results of the texts, given those of all sequences."""
        windows = Windows.of(self.tokens)
        return self.results if windows is None else windows.mean(self.results)


@dataclass(frozen=True, eq=False)
class Place:
    """One sequence: the row of a part of a job, and its number of tokens."""

    job: Job
    part: Part
    row: int
    size: int


@dataclass(eq=False)
class Job:
    """The sequences of one request.

    Parameters
    ----------
    texts : list of str, or of pairs
    parts : sequence of Part
        One for each model.
    vectors : bool
        Whether vectors are wanted, not logits.
    seconds : float, default=0.0
        How long the tokenizer took.

    Attributes
    ----------
    waiting : deque of Place
        The sequences that are in no batch yet.
    unfinished : int
        Number of sequences that are not computed yet.
    tokens : int
        Number of tokens of all sequences.
    abandoned : bool
        Whether nobody waits for the result any more.
    error : Exception or None
        Why there is no result.
    accepted, begun, done : float
        When the job was accepted, when its first batch began, and when it was done, in seconds of
        `time.perf_counter`.
    """

    texts: list[Text]
    parts: Sequence[Part]
    vectors: bool
    seconds: float = 0.0
    waiting: deque[Place] = field(init=False)
    unfinished: int = field(init=False)
    tokens: int = field(init=False)
    abandoned: bool = field(init=False, default=False)
    error: Exception | None = field(init=False, default=None)
    accepted: float = field(init=False, default_factory=time.perf_counter)
    begun: float = field(init=False, default=0.0)
    done: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self.waiting = deque(
            Place(self, part, row, size) for part in self.parts
            for row, size in enumerate(np.diff(part.tokens.offsets).tolist())
        )
        self.unfinished = len(self.waiting)
        self.tokens = sum(place.size for place in self.waiting)
