"""Why a text got its prediction: a score for each word.

Integrated gradients and occlusion compute the scores; an `Explanation` shows them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
