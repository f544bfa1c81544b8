"""The bare model on top of the C engine: token ids in, logits and gradients out.

This subpackage also determines how the model is run: the precision, how much of a batch is
processed at once under a memory limit, and how fast this machine is.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
