"""Linear layers in an ONNX graph, in float32 and in int8.

In int8, weights have a scale for each output, as in the engine. Each token has a scale of its own,
which is computed when the graph runs. ONNX's DynamicQuantizeLinear has one scale for a whole batch:
the logits of a text would then depend on the texts beside it, and on padding, and be less exact.

Weights are stored as uint8, with 128 in place of 0. Products of two uint8 are summed exactly on all
processors. Those of uint8 and int8 saturate in ONNX Runtime on x86 without VNNI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bertsent.export.graph import FLOAT, UINT8
from bertsent.hub import quantize

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.export.graph import Graph

__all__ = ["linear", "linear_int8"]

_ZERO = 128  # of both factors
_LARGEST = np.float32(127)
# Rows without a larger number become zeros. Its inverse is finite.
_LEAST_RANGE = 1e-30


def linear(
    graph: Graph, x: str, name: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> str:
    """Add x W^T + b in float32, and return its name.

    Parameters
    ----------
    graph : Graph
    x : str
        Name of the input, of shape (..., k).
    name : str
        Name of the layer, for its arrays.
    weight : ndarray of float32, shape (n, k)
    bias : ndarray of float32, shape (n,)
    """
    product = graph.op("MatMul", x, graph.initializer(f"{name}.weight", weight.T))
    return graph.op("Add", product, graph.initializer(f"{name}.bias", bias))


def linear_int8(
    graph: Graph, x: str, name: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> str:
    """Add the same with a product of bytes. Parameters are those of `linear`."""
    rows, row_range = quantize(weight, name)
    stored = graph.initializer(f"{name}.weight", (rows.T + np.int16(_ZERO)).astype(np.uint8))
    # The bytes of x, with a range for each token.
    x_range = graph.op("ReduceMax", graph.op("Abs", x), axes=[-1], keepdims=1)
    x_range = graph.op("Max", x_range, graph.constant(_LEAST_RANGE))
    steps = graph.op("Mul", x, graph.op("Div", graph.constant(_LARGEST), x_range))
    steps = graph.op("Add", graph.op("Round", steps), graph.constant(_ZERO))
    zero = graph.constant(_ZERO, np.uint8)
    product = graph.op("MatMulInteger", graph.op("Cast", steps, to=UINT8), stored, zero, zero)
    product = graph.op("Cast", product, to=FLOAT)
    scale = graph.initializer(f"{name}.weight_scale", row_range / _LARGEST**2)
    product = graph.op("Mul", graph.op("Mul", product, scale), x_range)
    return graph.op("Add", product, graph.initializer(f"{name}.bias", bias))
