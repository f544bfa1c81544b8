"""Exceptions and warnings that bertsent defines.

For everything else it uses Python's: ``TypeError`` and ``ValueError`` for invalid arguments, and
``OSError`` for files and networks.
"""

__all__ = [
    "CheckpointError", "FreshWeightsWarning", "ModelNotFoundError", "ReadingWarning",
]


class CheckpointError(ValueError):
    """A model directory or a checkpoint of a run cannot be used; the message names the file."""


class ModelNotFoundError(FileNotFoundError):
    """There is no model with the given name, or it cannot be downloaded."""


class FreshWeightsWarning(UserWarning):
    """A model lacks weights, which start at random values, or has weights that are not used."""


class ReadingWarning(UserWarning):
    """A file is read in a way that its name does not tell; the message says in which."""
