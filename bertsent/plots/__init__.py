"""Plots in the manner of scikit-learn's ``Display`` classes.

Each class holds what is plotted, and has `from_estimator` or other constructors that also plot it.
matplotlib is imported when something is plotted.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
