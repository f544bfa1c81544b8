"""Vectors of texts as features for other models: `BertEncoder`, its parameters and its cache."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
