"""What callers may pass as texts and as labels, for type checkers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias


class Table(Protocol):
    """A table of pandas, Polars or pyarrow. It must have one column."""

    @property
    def columns(self) -> Any: ...
    def __len__(self) -> int: ...


class TextColumn(Protocol):
    """A list, tuple, Series, array or Arrow array of str."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...


class LabelColumn(Protocol):
    """A list, tuple, Series, array or pandas categorical of str, bool or int."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


Texts: TypeAlias = "TextColumn | Table"
Labels: TypeAlias = "LabelColumn | Table"
