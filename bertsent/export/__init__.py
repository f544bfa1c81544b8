"""Trained models as ONNX graphs, which other programs run without bertsent.

`graph.py` collects the parts of a graph, `network.py` and `linear.py` add those of a model, and
`outputs.py` those behind the head: the vote of several models and probabilities. `writing.py`
writes files. The package onnx is imported when a graph is built."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
