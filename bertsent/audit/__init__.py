"""The audit of training data: likely label errors, near-duplicates and leaks.

Labels are judged by what training saw of each text and by a linear model of words; near-duplicates
are found exactly."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
