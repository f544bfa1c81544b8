"""The output of frozen layers for all training texts, computed once and kept while training lasts.

Where no dropout acts in what is frozen, every epoch would compute the same there. What is kept is
what the first trained layer reads, a row of the hidden size for every token; with all layers
frozen it is what pooler and classifier read, a row for every text (or window).
"""

import contextlib
import warnings

import numpy as np

from bertsent.machine import read_memory
from bertsent.memory import format_size
from bertsent.runs import hash_parts
from bertsent.scratch import ScratchFile, ScratchMemory, cache_limit

# Part of the free memory that is taken at most, where there is no memory_limit. A file is kept in
# memory by the system as well, for as long as nobody else needs that.
_PART_OF_MEMORY = 0.25

# Tokens computed between two looks at Ctrl-C: two micro-batches in float32. Another number would
# change the last bits.
_PIECE_TOKENS = 4096

_DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(np.uint16)}


class FrozenCache:
    """The output of the frozen layers for the texts of one training run.

    Parameters
    ----------
    storage : {"float32", "bfloat16"} or None
        What is kept of it; None for nothing at all.
    place : ScratchMemory, ScratchFile or None
        Where.
    line : str or None
        What is to be said of it before training.

    Attributes
    ----------
    key : str or None
        Of what it was computed from; None as long as it is not.
    """

    def __init__(self, storage=None, place=None, line=None):
        self.storage, self.place, self.line = storage, place, line
        self.key = self.rows = self.first = None

    @property
    def in_memory(self):
        """Bytes of memory that it takes; None if nothing is kept."""
        return None if self.storage is None else self.place.in_memory

    def fill(self, model, examples, recipe, n_threads, *, report, check):
        """Compute it, unless it is there and still that of the model and the texts.

        Parameters
        ----------
        model : BertForSequenceClassification
        examples : Examples
        recipe : Recipe
        n_threads : int
            They do not change the rows.
        report : callable
            Is told now and then which part is done, up to 1.
        check : callable
            May raise in between.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        if self.storage is None:
            return
        key = cache_key(model, examples, recipe, self.storage)
        if key == self.key:
            return
        self.key = self.rows = None
        at = 0
        for begin, end in _pieces(examples.offsets):
            rows = _compute(model, examples, recipe, n_threads, begin, end)
            self.place.write(at, to_bfloat16(rows) if self.storage == "bfloat16" else rows)
            at += rows.size
            report(examples.offsets[end] / examples.offsets[-1])
            check()
        all_frozen = _all_frozen(model, recipe)
        self.first = np.arange(len(examples.offsets) - 1) if all_frozen else examples.offsets[:-1]
        self.rows, self.key = self.place.read(), key

    def stored(self, sequences):
        """What the engine takes in the place of the frozen layers, if that is kept.

        Parameters
        ----------
        sequences : ndarray of int
            Which of all sequences make the batch.
        """
        return self.rows, self.first[sequences]

    def close(self):
        """Give memory or disk back."""
        self.key = self.rows = None
        if self.place is not None:
            self.place.close()


def _compute(model, examples, recipe, n_threads, begin, end):
    """What the first trained layer reads of some sequences, or pooler and classifier do."""
    tokens = examples.offsets[begin : end + 1]
    count = end - begin if _all_frozen(model, recipe) else tokens[-1] - tokens[0]
    rows = np.empty(count * model._engine["hidden_size"], np.float32)
    model._core.frozen_rows(
        examples.ids[tokens[0] : tokens[-1]], None, None, tokens - tokens[0], recipe.freeze, rows,
        n_threads=n_threads, precision=recipe.precision, micro_batch_tokens=recipe.plan.training,
    )
    return rows


def _all_frozen(model, recipe):
    return recipe.freeze == model._engine["num_hidden_layers"]


def _pieces(offsets):
    """First and last sequence, the latter left out, of parts of about so many tokens."""
    # A sequence belongs to the piece in which its first token lies.
    piece_of = offsets[:-1] // _PIECE_TOKENS
    edges = [0, *(np.flatnonzero(np.diff(piece_of)) + 1).tolist(), len(offsets) - 1]
    return zip(edges[:-1], edges[1:], strict=True)


def to_bfloat16(values):
    """Round float32 to bfloat16, to the nearest and of two to the even one, as uint16."""
    bits = values.view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def cache_key(model, examples, recipe, storage):
    """A hash of all that decides the rows: frozen weights, tokens, precision, and the rest."""
    from bertsent import _core

    frozen = model._flat.size - model._trained(recipe.freeze).size
    rest = [
        sorted(model._engine.items()), recipe.freeze, recipe.precision, recipe.plan.training,
        storage, _core.isa(),
    ]
    return hash_parts(model._flat[:frozen], examples.ids, examples.offsets, [repr(rest)])


@contextlib.contextmanager
def open_cache(asked, *, begun, recipe, model, offsets, plan, memory_limit):
    """Decide whether the output of frozen layers is kept, and where, and take the room for it.

    Parameters
    ----------
    asked : {"auto", "float32", "bfloat16", "off"}
        The parameter `frozen_cache`.
    begun : {"float32", "bfloat16", "off"} or None
        What was kept when the run that is gone on with was begun; None for one that begins.
    recipe : Recipe
    model : BertForSequenceClassification
    offsets : ndarray of int64
        Where each sequence begins among the tokens, and where the last one ends.
    plan : callable
        `bertsent.memory.plan_training` with all arguments but ``cached``.
    memory_limit : int, str or None

    Yields
    ------
    FrozenCache
        It keeps nothing where that cannot be or does not pay.

    Raises
    ------
    OSError
        There is no room on the disk, and it was asked for.
    ValueError
        It was asked for and cannot be: nothing is frozen, dropout acts in what is, or a file of
        its size is not allowed.

    Warns
    -----
    UserWarning
        There is no room on the disk, and it was not asked for.
    """
    cache = _choose(asked, begun, recipe, model, offsets, plan, memory_limit)
    try:
        yield cache
    finally:
        cache.close()


def _choose(asked, begun, recipe, model, offsets, plan, memory_limit):
    # A run goes on with the values that it was begun with.
    wanted = begun if asked == "auto" and begun is not None else asked
    obstacle = _obstacle(recipe, model._engine)
    if wanted == "off" or (wanted == "auto" and (obstacle or recipe.epochs == 1)):
        return FrozenCache()
    if obstacle:
        raise ValueError(f"frozen_cache={asked!r} cannot be: {obstacle}, or frozen_cache='auto'")
    storage = "float32" if wanted == "auto" else str(wanted)
    dtype = _DTYPES[storage]
    rows = len(offsets) - 1 if _all_frozen(model, recipe) else int(offsets[-1])
    size = rows * model._engine["hidden_size"]
    nbytes = size * dtype.itemsize
    # Whatever memory is free: whether rows are kept shows in the last bits, and these are to be
    # the same in every run.
    if wanted == "auto" and nbytes > cache_limit():
        return FrozenCache(line=(
            f"frozen layers are computed in every epoch: their output takes {format_size(nbytes)}, "
            'more than BERTSENT_CACHE_LIMIT; frozen_cache="bfloat16" takes half'
        ))
    try:
        place = (ScratchMemory if _fits(nbytes, plan, memory_limit) else ScratchFile)(size, dtype)
    except OSError as error:
        if wanted != "auto":
            raise
        warnings.warn(
            f"frozen layers are computed in every epoch, as their output cannot be kept: {error}",
            UserWarning, stacklevel=7,
        )
        return FrozenCache()
    return FrozenCache(storage, place, (
        f"frozen layers are computed once: {format_size(nbytes)} in {storage}, {place.where}"
    ))


def _obstacle(recipe, engine):
    """Why the output of the frozen layers cannot be kept and what to do, or None."""
    if recipe.freeze == 0:
        return "no layer is frozen; pass freeze_layers"
    rates = engine["hidden_dropout_prob"], engine["attention_probs_dropout_prob"]
    if any(rates) and not recipe.freeze_dropout:
        return "dropout makes the output another in every step; pass freeze_dropout=True"
    return None


def _fits(nbytes, plan, memory_limit):
    """Whether it goes into memory beside all else."""
    if memory_limit is None:
        available = read_memory()["available"]
        return available is not None and nbytes <= _PART_OF_MEMORY * available
    try:
        return plan(cached=nbytes) == plan(cached=0)
    except ValueError:
        return False
