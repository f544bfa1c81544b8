"""`pretrain`: masked language modelling on unlabelled texts.

Texts are cut into pieces, random words are masked, and the trained model is saved in a directory
from which `BertClassifier` can start.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
