"""`BertClassifier`, a scikit-learn classifier that fine-tunes a BERT model.

Contains its parameters and their checks, `fit` and `partial_fit`, plans for a time budget, recipes,
and the files of a saved classifier.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
