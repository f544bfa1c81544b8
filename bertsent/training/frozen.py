"""Cache of the output of frozen layers for all training texts, for the duration of training.

Without dropout, frozen layers compute the same output in every epoch. The cache contains the input
of the first trained layer, one row of the hidden size for every token. If all layers are frozen,
it contains the input of the pooler, one row for every text (or window).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bertsent.system import (
    ScratchFile,
    ScratchMemory,
    cache_limit,
    format_size,
    read_memory,
    warn,
)
from bertsent.training.hashes import hash_parts
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.model import BertForSequenceClassification, PassTokens
    from bertsent.training.examples import Examples
    from bertsent.training.options import TrainingOptions

Rows: TypeAlias = "npt.NDArray[np.float32] | npt.NDArray[np.uint16]"

# Largest share of the available memory that is used if there is no memory_limit. The system keeps
# a file in memory as well, as long as no other program needs that memory.
_PART_OF_MEMORY = 0.25

# Tokens computed between two checks for Ctrl-C: two micro-batches in float32. Another number would
# change the rounding of the result.
_PIECE_TOKENS = 4096

_DTYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32), "bfloat16": np.dtype(np.uint16),
}


class FrozenCache:
    """The output of the frozen layers for the texts of one training run.

    Parameters
    ----------
    storage : {"float32", "bfloat16"} or None, default=None
        Type of the cached values; None for no cache.
    place : ScratchMemory, ScratchFile or None, default=None
        Where the values are stored.
    line : str or None, default=None
        Message to print before training.

    Attributes
    ----------
    key : str or None
        Hash of everything that the values were computed from; None before they are computed.
    """

    def __init__(
        self,
        storage: str | None = None,
        place: ScratchMemory | ScratchFile | None = None,
        line: str | None = None,
    ) -> None:
        self.storage, self.place, self.line = storage, place, line
        self.key: str | None = None
        self.rows: Rows | None = None
        self.first: npt.NDArray[np.int64] | None = None

    @property
    def in_memory(self) -> int | None:
        """Bytes of memory that the cache takes; None if there is no cache."""
        return None if self.place is None else self.place.in_memory

    def fill(
        self,
        model: BertForSequenceClassification,
        examples: Examples,
        options: TrainingOptions,
        n_threads: int,
        *,
        report: Callable[[float], None],
        check: Callable[[], None],
    ) -> None:
        """Compute the values, unless they are there and up to date.

        Parameters
        ----------
        model : BertForSequenceClassification
        examples : Examples
        options : TrainingOptions
        n_threads : int
            It does not change the values.
        report : callable
            Called from time to time with the share that is done, up to 1.
        check : callable
            Called from time to time; may raise to interrupt.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        if self.storage is None or self.place is None:
            return
        key = cache_key(model, examples, options, self.storage)
        if key == self.key:
            return
        self.key = self.rows = None
        at = 0
        for begin, end in _pieces(examples.offsets):
            rows = _compute(model, examples, options, n_threads, begin, end)
            self.place.write(at, to_bfloat16(rows) if self.storage == "bfloat16" else rows)
            at += rows.size
            report(examples.offsets[end] / examples.offsets[-1])
            check()
        all_frozen = _all_frozen(model, options)
        self.first = np.arange(len(examples.offsets) - 1) if all_frozen else examples.offsets[:-1]
        self.rows, self.key = self.place.read(), key

    def stored(self, sequences: npt.NDArray[np.int64]) -> tuple[Rows, npt.NDArray[np.int64]]:
        """Return the cached rows and where those of a batch begin, as the engine takes them.

        Parameters
        ----------
        sequences : ndarray of int
            The sequences of the batch.
        """
        assert self.rows is not None and self.first is not None, "not computed yet"
        return self.rows, self.first[sequences]

    def close(self) -> None:
        """Free the memory or the disk space."""
        self.key = self.rows = None
        if self.place is not None:
            self.place.close()


def _compute(
    model: BertForSequenceClassification,
    examples: Examples,
    options: TrainingOptions,
    n_threads: int,
    begin: int,
    end: int,
) -> npt.NDArray[np.float32]:
    """Compute the output of the frozen layers for sequences `begin` to `end` - 1."""
    tokens = examples.offsets[begin : end + 1]
    count = end - begin if _all_frozen(model, options) else tokens[-1] - tokens[0]
    rows = np.empty(count * model._engine["hidden_size"], np.float32)
    types = None if examples.types is None else examples.types[tokens[0] : tokens[-1]]
    model._core.frozen_rows(
        examples.ids[tokens[0] : tokens[-1]], types, None, tokens - tokens[0], options.freeze, rows,
        n_threads=n_threads, precision=options.precision,
        micro_batch_tokens=options.passes.training,
    )
    return rows


def _all_frozen(model: BertForSequenceClassification, options: TrainingOptions) -> bool:
    return bool(options.freeze == model._engine["num_hidden_layers"])


def _pieces(offsets: npt.NDArray[np.int64]) -> Iterable[tuple[int, int]]:
    """Yield the first and last (excluded) sequence of parts of about `_PIECE_TOKENS` tokens."""
    # A sequence belongs to the piece that contains its first token.
    piece_of = offsets[:-1] // _PIECE_TOKENS
    edges = [0, *(np.flatnonzero(np.diff(piece_of)) + 1).tolist(), len(offsets) - 1]
    return zip(edges[:-1], edges[1:], strict=True)


def to_bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round float32 to bfloat16 (to nearest, ties to even), returned as uint16."""
    bits = values.view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def cache_key(
    model: BertForSequenceClassification, examples: Examples, options: TrainingOptions, storage: str
) -> str:
    """Return a hash of everything that determines the cached values."""
    from bertsent import _core

    frozen = model._flat.size - model._trained(options.freeze).size
    rest = [
        sorted(model._engine.items()), options.freeze, options.precision, options.passes.training,
        storage, _core.isa(),
    ]
    return hash_parts(
        model._flat[:frozen], examples.ids, examples.offsets, examples.types, [repr(rest)]
    )


@contextlib.contextmanager
def open_cache(
    asked: str,
    *,
    begun: str | None,
    options: TrainingOptions,
    model: BertForSequenceClassification,
    offsets: npt.NDArray[np.int64],
    choose_passes: Callable[..., PassTokens],
    memory_limit: int | str | None,
) -> Iterator[FrozenCache]:
    """Decide whether and where the output of frozen layers is cached, and allocate the cache.

    Parameters
    ----------
    asked : {"auto", "float32", "bfloat16", "off"}
        The parameter `frozen_cache`.
    begun : {"float32", "bfloat16", "off"} or None
        What a resumed run cached from its beginning; None for a new run.
    options : TrainingOptions
    model : BertForSequenceClassification
    offsets : ndarray of int64, shape (n_sequences + 1,)
        Start of each sequence among the tokens, and the end of the last.
    choose_passes : callable
        `bertsent.model.memory.limit_training` with all arguments except ``cached``.
    memory_limit : int, str or None

    Yields
    ------
    FrozenCache
        It caches nothing if that is impossible or not worth it.

    Raises
    ------
    OSError
        There is not enough disk space, and `asked` requires a cache.
    ValueError
        `asked` requires a cache, but nothing is frozen, the frozen layers have dropout, or the
        file would be too large.

    Warns
    -----
    UserWarning
        There is not enough disk space, and `asked` is "auto".
    """
    cache = _choose(asked, begun, options, model, offsets, choose_passes, memory_limit)
    try:
        yield cache
    finally:
        cache.close()


def _choose(
    asked: str,
    begun: str | None,
    options: TrainingOptions,
    model: BertForSequenceClassification,
    offsets: npt.NDArray[np.int64],
    choose_passes: Callable[..., PassTokens],
    memory_limit: int | str | None,
) -> FrozenCache:
    # A resumed run keeps the type of values that it began with.
    wanted = begun if asked == "auto" and begun is not None else asked
    obstacle = _obstacle(options, model._engine)
    if not _is_wanted(wanted, obstacle, options):
        return FrozenCache()
    if obstacle:
        raise ValueError(
            f"{spell('frozen_cache', asked)} is not possible: {obstacle}, or "
            f"{spell('frozen_cache', 'auto')}"
        )
    storage = "float32" if wanted == "auto" else str(wanted)
    dtype = _DTYPES[storage]
    size = _count_values(options, model._engine, len(offsets) - 1, int(offsets[-1]))
    nbytes = size * dtype.itemsize
    # Does not depend on the available memory: caching changes the rounding of the result, which
    # must be the same in every run.
    if wanted == "auto" and nbytes > cache_limit():
        return FrozenCache(line=(
            f"frozen layers are computed in every epoch: their output takes {format_size(nbytes)}, "
            f"more than BERTSENT_CACHE_LIMIT; {spell('frozen_cache', 'bfloat16')} takes half"
        ))
    try:
        fits = _fits(nbytes, choose_passes, memory_limit)
        place = (ScratchMemory if fits else ScratchFile)(size, dtype)
    except OSError as error:
        if wanted != "auto":
            raise
        warn(
            f"frozen layers are computed in every epoch, as their output was not cached: {error}",
            once=False,
        )
        return FrozenCache()
    return FrozenCache(storage, place, (
        f"frozen layers are computed once: {format_size(nbytes)} in {storage}, {place.where}"
    ))


def expects_cache(
    asked: str, options: TrainingOptions, engine: Mapping[str, Any], sequences: int, tokens: int
) -> bool:
    """Return whether a new run will cache the output of frozen layers, if the disk has room.

    Parameters
    ----------
    asked : {"auto", "float32", "bfloat16", "off"}
        The parameter `frozen_cache`.
    options : TrainingOptions
    engine : dict
        Configuration of the model.
    sequences, tokens : int
        Their numbers in one epoch.
    """
    obstacle = _obstacle(options, engine)
    if obstacle or not _is_wanted(asked, obstacle, options):
        return False
    nbytes = 4 * _count_values(options, engine, sequences, tokens)
    return asked != "auto" or nbytes <= cache_limit()


def _is_wanted(asked: str | None, obstacle: str | None, options: TrainingOptions) -> bool:
    return asked != "off" and not (asked == "auto" and (obstacle or options.epochs == 1))


def _count_values(
    options: TrainingOptions, engine: Mapping[str, Any], sequences: int, tokens: int
) -> int:
    rows = sequences if options.freeze == engine["num_hidden_layers"] else tokens
    return int(rows * engine["hidden_size"])


def _obstacle(options: TrainingOptions, engine: Mapping[str, Any]) -> str | None:
    """Return why the output cannot be cached and what to do about it, or None."""
    if options.freeze == 0:
        return f"no layer is frozen; pass {spell('freeze_layers')}"
    rates = engine["hidden_dropout_prob"], engine["attention_probs_dropout_prob"]
    if any(rates) and not options.freeze_dropout:
        return (
            "dropout makes the output differ from step to step; pass "
            + spell("freeze_dropout", True)
        )
    return None


def _fits(
    nbytes: int, choose_passes: Callable[..., PassTokens], memory_limit: int | str | None
) -> bool:
    """Return whether the cache fits into memory together with everything else."""
    if memory_limit is None:
        available = read_memory()["available"]
        return available is not None and nbytes <= _PART_OF_MEMORY * available
    try:
        return choose_passes(cached=nbytes) == choose_passes(cached=0)
    except ValueError:
        return False
