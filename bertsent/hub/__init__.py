"""Find, check, read and write model directories in the Hugging Face layout.

`resolve_directory` finds the directory of a model. Its ``config.json`` is translated into the
engine's configuration, and its safetensors files into one flat buffer of parameters, and back.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
