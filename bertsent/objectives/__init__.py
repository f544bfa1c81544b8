"""Objectives: what a model learns from y, and what its outputs mean.

An objective encodes y as targets, names the loss of the engine, decodes outputs as predictions,
computes metrics, and writes itself into ``bertsent.json``. The rest of the package knows nothing
of this. `OBJECTIVES` lists all objectives by problem type.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
