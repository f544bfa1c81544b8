"""The model as an ONNX graph, from token ids to logits, without dropout."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.export.graph import FLOAT, INT64
from bertsent.export.linear import linear, linear_int8
from bertsent.hub import parameter_table

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.export.graph import Graph

__all__ = ["Inputs", "Network", "relative_buckets"]

# Added to the scores of tokens that are not read. Their exponentials are 0.
_MASKED = -1e9
# Which activation a head's dense layer has; None if there is no such layer
# (csrc/model/head_kinds.h).
_HEADS = {
    "pooled": "tanh", "plain": None, "dense_relu": "relu", "dropout_dense_gelu": "gelu",
    "dropout_dense_tanh": "tanh",
}


class Inputs(NamedTuple):
    """Names of the inputs of a graph."""

    ids: str
    mask: str
    types: str | None


class Network:
    """A model as a part of a graph.

    Parameters
    ----------
    graph : Graph
    config : dict
        Content of ``config.json``.
    engine : dict
        The engine's configuration.
    flat : ndarray of float32
        All parameters.
    prefix : str, default=""
        Beginning of the names of initializers.
    int8 : bool, default=False
        Whether the linear layers of the encoder are computed in int8.
    """

    def __init__(
        self, graph: Graph, config: dict[str, Any], engine: dict[str, Any],
        flat: npt.NDArray[np.float32], *, prefix: str = "", int8: bool = False,
    ) -> None:
        self.graph, self.engine, self.flat = graph, engine, flat
        self.prefix, self.int8 = prefix, int8
        self._table = {each.role: each for each in parameter_table(config, engine)[1]}

    def logits(self, inputs: Inputs) -> str:
        """Add the nodes of the model; return the name of its logits."""
        self._mask = self.graph.op("Cast", inputs.mask, to=FLOAT)
        self._length = self.graph.op(
            "Gather", self.graph.op("Shape", inputs.ids), self.graph.constant(1, np.int64)
        )
        x = self._embed(inputs)
        count = self.engine["num_hidden_layers"]
        for number in range(count):
            x = self._layer(x, number, last=number == count - 1)
        return self._head(self._pool(x))

    # --- embeddings -------------------------------------------------------------------------

    def _embed(self, inputs: Inputs) -> str:
        graph, word = self.graph, self._parameter("embeddings.word.weight")
        x = graph.op("Gather", word, inputs.ids)
        places = graph.op("Gather", self._parameter("embeddings.position.weight"),
                          self._positions(inputs))
        x = graph.op("Add", x, places)
        if inputs.types is not None:
            kinds = graph.op("Gather", self._parameter("embeddings.token_type.weight"),
                             inputs.types)
            x = graph.op("Add", x, kinds)
        elif self.engine["type_vocab_size"]:
            # Every token has the first type.
            kind = graph.initializer(
                self._name("embeddings.token_type.weight"),
                self._values("embeddings.token_type.weight")[0],
            )
            x = graph.op("Add", x, kind)
        x = self._norm(x, "embeddings.norm")
        if "embeddings.projection.weight" in self._table:
            x = self._dense(x, "embeddings.projection")
        return x

    def _positions(self, inputs: Inputs) -> str:
        """Return the row of each token in the table of positions."""
        graph, whole = self.graph, np.int64
        if not self.engine.get("positions_skip_padding", False):
            return graph.op(
                "Range", graph.constant(0, whole), self._length, graph.constant(1, whole)
            )
        # As in transformers: padding has the row before the first, and is not counted.
        padding = graph.op("Equal", inputs.ids,
                           graph.constant(self.engine["pad_token_id"], whole))
        real = graph.op("Mul", graph.op("Cast", graph.op("Not", padding), to=INT64), inputs.mask)
        counted = graph.op("CumSum", real, graph.constant(1, whole))
        offset = graph.constant(self.engine["position_offset"] - 1, whole)
        return graph.op("Add", graph.op("Mul", counted, real), offset)

    # --- layers -----------------------------------------------------------------------------

    def _layer(self, x: str, number: int, *, last: bool) -> str:
        graph, role = self.graph, f"layer.{number}."
        narrow = last and self.engine["pooling"] == "cls"  # only the first token is wanted
        asked = x
        if narrow:
            asked = graph.op("Slice", x, graph.integers(0), graph.integers(1), graph.integers(1))
        heads, size = self.engine["num_attention_heads"], self.engine["hidden_size"]
        parted = graph.integers(0, 0, heads, size // heads)

        def part(given: str, name: str, order: list[int]) -> str:
            rows = self._dense(given, f"{role}attention.{name}")
            return graph.op("Transpose", graph.op("Reshape", rows, parted), perm=order)

        query = part(asked, "query", [0, 2, 1, 3])
        query = graph.op("Mul", query, graph.constant(1.0 / math.sqrt(size // heads)))
        key, value = part(x, "key", [0, 2, 3, 1]), part(x, "value", [0, 2, 1, 3])
        scores = graph.op("MatMul", query, key)
        if self.engine.get("relative_bias", False):
            scores = graph.op("Add", scores, self._bias_of_first if narrow else self._bias)
        scores = graph.op("Add", scores, self._hidden)
        mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
        mixed = graph.op("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = graph.op("Reshape", mixed, graph.integers(0, 0, size))
        out = self._dense(mixed, f"{role}attention.output")
        x = self._norm(graph.op("Add", out, asked), f"{role}attention.norm")
        inner = self._activation(self._dense(x, f"{role}feed_forward.up"),
                                 self.engine["hidden_act"])
        out = self._dense(inner, f"{role}feed_forward.down")
        return self._norm(graph.op("Add", out, x), f"{role}feed_forward.norm")

    @cached_property
    def _hidden(self) -> str:
        """What is added to all scores, of shape (batch, 1, 1, length)."""
        graph = self.graph
        away = graph.op("Mul", graph.op("Sub", self._mask, graph.constant(1.0)),
                        graph.constant(-_MASKED))
        return graph.op("Unsqueeze", away, graph.integers(1, 2))

    @cached_property
    def _bias(self) -> str:
        """The bias by distance, of shape (heads, length, length)."""
        # A table of all distances, from -(most - 1) to most - 1.
        graph, most = self.graph, self.engine["max_position_embeddings"]
        role = "embeddings.relative_bias.weight"
        by_distance = self._values(role)[relative_buckets(np.arange(1 - most, most))]
        table = graph.initializer(self._name(role), by_distance.T)
        numbers = graph.op("Range", graph.constant(0, np.int64), self._length,
                           graph.constant(1, np.int64))
        keys = graph.op("Add", numbers, graph.constant(most - 1, np.int64))
        queries = graph.op("Unsqueeze", numbers, graph.integers(1))
        return graph.op("Gather", table, graph.op("Sub", keys, queries), axis=1)

    @cached_property
    def _bias_of_first(self) -> str:
        """The bias by distance from the first token, of shape (heads, 1, length)."""
        one = self.graph.integers(1)
        return self.graph.op("Slice", self._bias, self.graph.integers(0), one, one)

    # --- head -------------------------------------------------------------------------------

    def _pool(self, x: str) -> str:
        """Return what the head reads of each text."""
        graph = self.graph
        if self.engine["pooling"] == "cls":
            return graph.op("Squeeze", x, graph.integers(1))
        weights = graph.op("Unsqueeze", self._mask, graph.integers(2))
        total = graph.op("ReduceSum", graph.op("Mul", x, weights), graph.integers(1), keepdims=0)
        count = graph.op("ReduceSum", self._mask, graph.integers(1), keepdims=1)
        return graph.op("Div", total, graph.op("Max", count, graph.constant(1.0)))

    def _head(self, x: str) -> str:
        kind = _HEADS[self.engine["head"]]
        if kind is not None:
            x = self._activation(self._dense(x, "head.dense"), kind)
        return self._dense(x, "head.output")

    # --- pieces -----------------------------------------------------------------------------

    def _activation(self, x: str, kind: str) -> str:
        """Return an activation, in the form that ONNX Runtime recognises and fuses."""
        graph = self.graph
        if kind == "tanh":
            return graph.op("Tanh", x)
        if kind == "relu":
            return graph.op("Relu", x)
        one, half = graph.constant(1.0), graph.constant(0.5)
        if kind == "gelu":
            shape = graph.op("Erf", graph.op("Div", x, graph.constant(math.sqrt(2.0))))
            return graph.op("Mul", graph.op("Mul", x, graph.op("Add", shape, one)), half)
        assert kind == "gelu_new", kind
        cube = graph.op("Pow", x, graph.constant(3.0))
        inner = graph.op("Add", x, graph.op("Mul", cube, graph.constant(0.044715)))
        inner = graph.op("Mul", inner, graph.constant(math.sqrt(2.0 / math.pi)))
        shape = graph.op("Add", graph.op("Tanh", inner), one)
        return graph.op("Mul", graph.op("Mul", x, half), shape)

    def _dense(self, x: str, role: str) -> str:
        weight, bias = (self._values(f"{role}.{kind}") for kind in ("weight", "bias"))
        name = self._name(f"{role}.weight").removesuffix(".weight")
        if self.int8 and role.startswith("layer."):
            return linear_int8(self.graph, x, name, weight, bias)
        return linear(self.graph, x, name, weight, bias)

    def _norm(self, x: str, role: str) -> str:
        return self.graph.op(
            "LayerNormalization", x, self._parameter(f"{role}.weight"),
            self._parameter(f"{role}.bias"), axis=-1, epsilon=self.engine["layer_norm_eps"],
        )

    def _parameter(self, role: str) -> str:
        return self.graph.initializer(self._name(role), self._values(role))

    def _name(self, role: str) -> str:
        return self.prefix + self._table[role].name

    def _values(self, role: str) -> npt.NDArray[np.float32]:
        return self._table[role].view(self.flat)


def relative_buckets(distance: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the buckets of distances from queries to keys (Raffel et al. 2020, as in MPNet).

    The first 8 distances on each side have buckets of their own; up to 128, the others share 8
    buckets on a logarithmic scale.
    """
    apart = np.abs(distance)
    # Bucket 8 + s begins at 8 * 2^(s / 2); squares are compared, which is exact.
    later = (apart[..., None] ** 2 >= 64 << np.arange(1, 8)).sum(axis=-1)
    found: npt.NDArray[np.int64] = np.where(apart < 8, apart, 8 + later) + 16 * (distance > 0)
    return found
