"""Tokenizers: texts in, token ids out, identical to those of Hugging Face's fast tokenizers.

The tokenization itself is written in C (``csrc/tokenizer``). This subpackage contains the
vocabulary, the tokenizer files, the checks of arguments, and the shapes of results.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
