"""Parameters of a model: names, places in the flat buffer, and initial values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from bertsent.hub.config import family_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Float32", "Parameter", "RandomState", "aligned_zeros", "initialise", "output_names",
    "parameter_table", "random_generator", "random_parameters",
]

Float32: TypeAlias = "npt.NDArray[np.float32]"
RandomState: TypeAlias = "int | np.random.Generator | np.random.RandomState | None"


class Parameter(NamedTuple):
    """A tensor of a model: role in the engine, name in files, shape, and offset in the buffer."""

    role: str
    name: str
    shape: tuple[int, ...]
    offset: int

    def view(self, flat: Float32) -> Float32:
        """Return the tensor as a view of a flat buffer."""
        return flat[self.offset : self.offset + math.prod(self.shape)].reshape(self.shape)


def parameter_table(config: dict[str, Any], engine: dict[str, Any]) -> tuple[int, list[Parameter]]:
    """Return the size of a model's flat buffer, and the tensors in it.

    Parameters
    ----------
    config : dict
        Content of ``config.json``. Its family gives the tensors their names.
    engine : dict
        The engine's configuration.

    Returns
    -------
    total : int
        Number of float32 values.
    parameters : list of Parameter
    """
    from bertsent import _core

    family = family_of(config)
    total, entries = _core.parameter_table(engine)
    return total, [
        Parameter(role, family.tensor_name(role), tuple(shape), offset)
        for role, shape, offset, *_ in entries
    ]


def output_names(config: dict[str, Any]) -> list[str]:
    """Return the names of the classifier's tensors that have a row for each class."""
    family = family_of(config)
    return [family.tensor_name(f"head.output.{kind}") for kind in ("weight", "bias")]


def aligned_zeros(count: int) -> Float32:
    """Return `count` float32 zeros, aligned to 64 bytes."""
    memory = np.zeros(4 * count + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * count].view(np.float32)


def random_parameters(
    config: dict[str, Any], engine: dict[str, Any], random_state: RandomState = None
) -> Float32:
    """Return parameters that are initialized at random, as those of BERT.

    Weights are normally distributed with standard deviation ``initializer_range``. Biases and
    the embedding of the padding token are 0, and LayerNorm starts as the identity.

    Parameters
    ----------
    config : dict
        Content of ``config.json``.
    engine : dict
        The engine's configuration, from `bertsent.hub.engine_config`.
    random_state : int, Generator, RandomState or None, default=None
        Seed or generator.

    Returns
    -------
    ndarray of float32, shape (total,)
        In the order of `parameter_table`.
    """
    total, table = parameter_table(config, engine)
    flat = aligned_zeros(total)
    rng = random_generator(random_state)
    for parameter in table:
        initialise(parameter, flat, config, rng)
        if parameter.role == "embeddings.word.weight" and engine["pad_token_id"] >= 0:
            parameter.view(flat)[engine["pad_token_id"]] = 0.0
    return flat


def random_generator(random_state: RandomState) -> np.random.Generator:
    """Return a NumPy generator for a seed, a RandomState or another generator."""
    if isinstance(random_state, np.random.RandomState):
        random_state = int(random_state.randint(2**31 - 1))
    return np.random.default_rng(random_state)


def initialise(
    parameter: Parameter, flat: Float32, config: dict[str, Any], rng: np.random.Generator
) -> None:
    """Initialize a parameter in a flat buffer, as `random_parameters` does."""
    role, values = parameter.role, parameter.view(flat)
    if role.endswith("norm.weight"):
        values[:] = 1.0
    elif role.endswith(".bias"):
        values[:] = 0.0
    else:
        rng.standard_normal(dtype=np.float32, out=values)
        values *= np.float32(family_of(config).value(config, "initializer_range"))
