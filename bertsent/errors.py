"""Exceptions and warnings that are bertsent's own.

Everything else that goes wrong is one of Python's: ``TypeError`` and
``ValueError`` for what was passed in, ``OSError`` for disks and networks.
"""

__all__ = ["CheckpointError", "FreshWeightsWarning", "ModelNotFoundError"]


class CheckpointError(ValueError):
    """A model directory that cannot be used as it is; the message names the file."""


class ModelNotFoundError(FileNotFoundError):
    """No model under the given name; the message says what to do about it."""


class FreshWeightsWarning(UserWarning):
    """Weights that the checkpoint lacks, or has but no model of ours reads."""
