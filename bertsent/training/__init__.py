"""The training loop and everything it needs: options, schedule, state, checkpoints.

The loop trains on any examples that implement a training step, optionally within a time budget,
and a resumed run produces exactly the same model as an uninterrupted one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
