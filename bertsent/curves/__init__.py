"""Learning curves: how good a classifier is with more labels, measured and extrapolated."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
