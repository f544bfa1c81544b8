"""Linear layers in an ONNX graph, in float32 and in int8.

In int8, numbers are rounded as in the engine. Weights have a scale for each output. The numbers of
each token are divided into 255 steps between the smallest and the largest, when the graph runs.
ONNX's DynamicQuantizeLinear, which is faster, has one scale for a whole batch: the logits of a text
would then depend on the texts beside it, and on padding.

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

_ZERO = 128  # of weights
_STEPS = np.float32(255)
# Tokens with a smaller range are constant. The inverse of this number is finite.
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
    scale = row_range / np.float32(127)
    # x = least + step * bytes
    least = graph.op("ReduceMin", x, axes=[-1], keepdims=1)
    x_range = graph.op("Sub", graph.op("ReduceMax", x, axes=[-1], keepdims=1), least)
    x_range = graph.op("Max", x_range, graph.constant(_LEAST_RANGE))
    inverse = graph.op("Div", graph.constant(_STEPS), x_range)
    steps = graph.op("Round", graph.op("Mul", graph.op("Sub", x, least), inverse))
    product = graph.op(
        "MatMulInteger", graph.op("Cast", steps, to=UINT8),
        graph.initializer(f"{name}.weight", (rows.T + np.int16(_ZERO)).astype(np.uint8)),
        graph.constant(0, np.uint8), graph.constant(_ZERO, np.uint8),
    )
    product = graph.op("Mul", graph.op("Cast", product, to=FLOAT),
                       graph.initializer(f"{name}.weight_scale", scale / _STEPS))
    # What the smallest number of a token adds is its product with the sums of all weights.
    sums = (rows.sum(axis=1, dtype=np.int64) * scale.astype(np.float64)).astype(np.float32)
    added = graph.op("Mul", least, graph.initializer(f"{name}.weight_sum", sums))
    product = graph.op("Add", graph.op("Mul", product, x_range), added)
    return graph.op("Add", product, graph.initializer(f"{name}.bias", bias))
