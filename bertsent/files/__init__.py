"""Data files, checked reading of model files, and atomic writing.

Data files are read and written in chunks, in every supported format. Files and directories are
written atomically: after a crash, either the old content or the new one is there.

Files of models and runs are read through `fields`, which checks what they say before it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
