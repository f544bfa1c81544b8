"""The outputs of an ONNX graph: logits, of one model or of a vote, and probabilities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.export.graph import LARGEST, Graph
from bertsent.export.network import Inputs, Network
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Part", "encode_onnx"]


class Part(NamedTuple):
    """A model that takes part in a vote: its configurations and its parameters."""

    config: dict[str, Any]
    engine: dict[str, Any]
    flat: npt.NDArray[np.float32]


def encode_onnx(
    parts: Sequence[Part],
    *,
    link: str | None = None,
    temperature: Sequence[float] | None = None,
    int8: bool = False,
    metadata: Mapping[str, str],
) -> bytes:
    """Return one or several models as the content of an ONNX file.

    Parameters
    ----------
    parts : sequence of Part
        The models. Several vote: their probabilities are averaged, or their numbers.
    link : {"softmax", "sigmoid"} or None, default=None
        What turns logits into probabilities. None means that there are none, as in a regression.
    temperature : sequence of float or None, default=None
        By which logits are divided before they become probabilities: one number, or one for each
        output.
    int8 : bool, default=False
        Whether the linear layers of the encoder are computed in int8.
    metadata : dict of str to str
        Properties of the model.

    Raises
    ------
    ImportError
        onnx is not installed.
    ValueError
        The file would be too large.
    """
    _check_size(parts, int8)
    graph, first = Graph(), parts[0].engine
    inputs = Inputs(
        "input_ids", "attention_mask", "token_type_ids" if first["type_vocab_size"] > 1 else None
    )
    opinions = [
        Network(
            graph, *part, prefix=f"member-{number}." if len(parts) > 1 else "", int8=int8
        ).logits(inputs)
        for number, part in enumerate(parts, 1)
    ]
    logits = graph.op("Identity", _vote(graph, opinions, link), name="logits")
    outputs = {"logits": first["num_labels"]}
    if link is not None:
        outputs["probabilities"] = first["num_labels"]
        if temperature is not None:
            logits = graph.op("Div", logits, graph.constant(temperature))
        how: dict[str, Any] = {"axis": -1} if link == "softmax" else {}
        graph.op(link.capitalize(), logits, name="probabilities", **how)
    return graph.encode([name for name in inputs if name is not None], outputs, metadata)


def _vote(graph: Graph, opinions: Sequence[str], link: str | None) -> str:
    """Return the logits of a vote, as `Objective.combine` does."""
    if len(opinions) == 1:
        return opinions[0]
    if link is None:
        return graph.op("Mean", *opinions)

    def together(logs: Sequence[str]) -> str:
        """Return the logarithm of the sum of numbers, given their logarithms."""
        stacked = graph.op("Concat", *(graph.op("Unsqueeze", each, graph.integers(0))
                                       for each in logs), axis=0)
        return graph.op("ReduceLogSumExp", stacked, axes=[0], keepdims=0)

    if link == "softmax":
        total = together([graph.op("LogSoftmax", each, axis=-1) for each in opinions])
        return graph.op("Sub", total, graph.constant(math.log(len(opinions))))
    # log(mean p) - log(mean (1 - p)); the number of models cancels out.
    no = together([graph.op("Neg", graph.op("Softplus", each)) for each in opinions])
    yes = together([
        graph.op("Neg", graph.op("Softplus", graph.op("Neg", each))) for each in opinions
    ])
    return graph.op("Sub", yes, no)


def _check_size(parts: Sequence[Part], int8: bool) -> None:
    """Raise a ValueError if the weights would not fit into a file of Protocol Buffers."""
    size = sum(part.flat.nbytes for part in parts)
    if int8:
        size = 0
        for part in parts:
            hidden, inner = part.engine["hidden_size"], part.engine["intermediate_size"]
            layers = part.engine["num_hidden_layers"] * hidden * (4 * hidden + 2 * inner)
            size += part.flat.nbytes - 3 * layers
    if size > LARGEST:
        advice = "export fewer members" if int8 else f"use {spell('int8', True)}, or fewer members"
        raise ValueError(
            f"the weights take {size / 1e9:.1f} GB, and an ONNX file can hold 2.1 GB; {advice}"
        )
