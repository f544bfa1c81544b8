"""What the files of one kind of tokenizer contain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from bertsent.files import Field

__all__ = ["Kind"]


class Kind(ABC):
    """How the files of one kind of tokenizer are read and written.

    Attributes
    ----------
    name : str
        Its name, also in messages.
    tokenizer_class : str
        Its class in transformers 5.
    classes : frozenset of str
        Classes that tokenize as this one does, without ``Fast``. They only take vocabulary and
        added tokens from ``tokenizer.json``.
    types : frozenset of str
        Types of models for which transformers uses such a class if none is named.
    special_tokens : mapping of str to str
        The special tokens of these classes, by role.
    pair_separators : int
        Number of separators that these classes put between the texts of a pair.
    needed : tuple of str
        Roles of the special tokens that a tokenizer must have.
    """

    name: ClassVar[str]
    tokenizer_class: ClassVar[str]
    classes: ClassVar[frozenset[str]]
    types: ClassVar[frozenset[str]]
    special_tokens: ClassVar[Mapping[str, str]]
    pair_separators: ClassVar[int]
    needed: ClassVar[tuple[str, ...]]

    @abstractmethod
    def vocabulary_in(self, file: Field) -> dict[str, Any]:
        """Return the settings that ``tokenizer.json`` always decides, such as ``vocab``."""

    @abstractmethod
    def check_parts(self, file: Field, separators: int) -> None:
        """Refuse a ``tokenizer.json`` whose parts are not those of its class.

        Parts may be missing. Other parts would be lost in a class that only takes the vocabulary
        from the file, although the model was probably trained with them.
        """

    @abstractmethod
    def settings_of_class(self, config: Field) -> dict[str, Any]:
        """Return the settings that ``tokenizer_config.json`` decides, or the class."""

    @abstractmethod
    def settings_in(self, file: Field) -> dict[str, Any]:
        """Return the same settings, and cls_token and sep_token, from ``tokenizer.json``."""

    @abstractmethod
    def parts(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return normalizer, pre-tokenizer, decoder and model for ``tokenizer.json``."""

    @abstractmethod
    def entries(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return entries for ``tokenizer_config.json``."""

    @abstractmethod
    def write_vocabulary(self, directory: Path, settings: Mapping[str, Any]) -> None:
        """Write the vocabulary as older programs read it, if such a file can represent it."""
