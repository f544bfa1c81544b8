"""What callers may pass as texts and as labels, for type checkers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

# A text as the package passes it on; the second is a pair of texts, which are read together.
Text: TypeAlias = "str | tuple[str, str]"


class Table(Protocol):
    """A table of pandas, Polars or pyarrow, with one column or, for pairs, two."""

    @property
    def columns(self) -> Any: ...
    def __len__(self) -> int: ...


class TextColumn(Protocol):
    """A list, tuple, Series, array or Arrow array of str."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...


class PairColumn(Protocol):
    """A list or array of pairs of str, each a tuple, a list or a row of an array."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Sequence[str]]: ...


class LabelColumn(Protocol):
    """A list, tuple, Series, array or pandas categorical of str, bool or int."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


Texts: TypeAlias = "TextColumn | PairColumn | Table"
Labels: TypeAlias = "LabelColumn | Table"
