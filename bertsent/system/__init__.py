"""The machine and the terminal: threads, memory, signals, scratch files and progress bars.

It also parses and prints sizes and times (``"2GB"``, ``"30min"``). Nothing here knows about texts
or models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
