"""Texts and labels as users pass them, before tokenization.

Texts are checked and taken out of their containers (lists, Series, Arrow), labels become class
numbers, data sets are split so that equal texts stay together, and `Reader` determines which part
of a long text is read. Nothing here knows about models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
