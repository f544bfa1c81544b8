"""Encodings of the streams that text is printed to."""

from typing import TextIO


def is_utf_8(stream: TextIO) -> bool:
    """Return whether a stream can represent all characters, as those in memory do."""
    encoding = getattr(stream, "encoding", None)
    return encoding is None or encoding.lower().replace("-", "").replace("_", "") == "utf8"
