"""The parts of an ONNX graph: nodes and initializers, which are collected one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bertsent

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FLOAT", "INT64", "LARGEST", "OPSET", "UINT8", "Graph", "import_onnx"]

# The first opset with LayerNormalization, of 2022. Later ones would only exclude older programs.
OPSET = 17
# The version of the file format that came with this opset.
_IR_VERSION = 8
# Types of values, as onnx.TensorProto numbers them.
FLOAT, UINT8, INT64 = 1, 2, 7
# Bytes of a file of Protocol Buffers, of which some are not weights.
LARGEST = 2**31 - 2**20


def import_onnx() -> Any:
    """Return the package onnx, or raise an error that says how to install it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"the export needs onnx ({error}): pip install 'bertsent[onnx]'"
        ) from None
    return onnx


class Graph:
    """Nodes and initializers. Values are known by their names."""

    def __init__(self) -> None:
        self._onnx = import_onnx()
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def op(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output.

        Parameters
        ----------
        kind : str
            Operator of ONNX.
        *inputs : str
            Names of values.
        name : str, default=""
            Name of node and output. By default, it is made of the operator and a number.
        **attributes
            Of the operator.
        """
        output = name or f"{kind}_{len(self._nodes)}"
        self._nodes.append(
            self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)
        )
        return output

    def initializer(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add an array under a name, and return the name."""
        values = np.asarray(values, order="C")  # keeps scalars
        self._initializers.append(self._onnx.numpy_helper.from_array(values, name))
        return name

    def constant(self, value: Any, dtype: npt.DTypeLike = np.float32) -> str:
        """Return the name of a small array, which is added once."""
        values = np.array(value, dtype)
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer(f"constant_{len(self._constants)}", values)
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Return the name of an array of int64, such as axes."""
        return self.constant(values, np.int64)

    def encode(
        self,
        inputs: Sequence[str],
        outputs: Mapping[str, int],
        metadata: Mapping[str, str],
    ) -> bytes:
        """Check the graph, and return it as the content of a file.

        Parameters
        ----------
        inputs : sequence of str
            Inputs, int64 of shape (batch, length).
        outputs : dict of str to int
            Outputs, float32 of shape (batch, n), and their n.
        metadata : dict of str to str
            Properties of the model.
        """
        onnx = self._onnx
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(
            self._nodes, "bertsent",
            [value(name, INT64, ["batch", "length"]) for name in inputs],
            [value(name, FLOAT, ["batch", size]) for name, size in outputs.items()],
            self._initializers,
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION,
            producer_name="bertsent", producer_version=bertsent.__version__,
        )
        onnx.helper.set_model_props(model, dict(metadata))
        content: bytes = model.SerializeToString(deterministic=True)
        onnx.checker.check_model(content)
        return content
