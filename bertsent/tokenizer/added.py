"""Added tokens: those that are found in a text before it is split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["AddedToken", "AddedTokens"]


class AddedToken(NamedTuple):
    """A token as a file describes it, without its id.

    Attributes
    ----------
    content : str
    single_word : bool, default=False
        Whether it is found only as a whole word.
    lstrip, rstrip : bool, default=False
        Whether white space before or after it is part of it.
    normalized : bool or None, default=None
        Whether it is normalized, and then found in the normalized text. None means the opposite of
        `special`.
    special : bool, default=False
        Whether it has a role such as the end of a text.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool | None = None
    special: bool = False


class AddedTokens:
    """The added tokens of a tokenizer, with the ids that the `tokenizers` library gives them.

    The ids that files contain do not count. A token of the vocabulary keeps the id that it has
    there. All others get the next free ids, in the order in which they are added. Adding a token
    again replaces its description, but a token that was special once remains special.

    Parameters
    ----------
    vocab : mapping of str to int
        The vocabulary.

    Attributes
    ----------
    ids : dict
        Ids by token.
    """

    def __init__(self, vocab: Mapping[str, int]) -> None:
        self._vocab = vocab
        self._tokens: dict[int, AddedToken] = {}
        self._special: set[str] = set()
        self.ids: dict[str, int] = {}

    def add(self, tokens: Iterable[AddedToken]) -> None:
        """Add tokens, or replace their descriptions."""
        # The number of tokens in the vocabulary, not its largest id. So if ids of the vocabulary
        # have gaps, a token may get an id that is in use.
        free = max(max(self._tokens, default=-1) + 1, len(self._vocab))
        for token in tokens:
            if not token.content:
                continue
            id_ = self.ids.get(token.content, self._vocab.get(token.content))
            if id_ is None:
                id_, free = free, free + 1
            self.ids[token.content] = id_
            self._tokens[id_] = token
            if token.special:
                self._special.add(token.content)

    def settings(self) -> list[dict[str, Any]]:
        """Return the tokens by ascending id, as `WordPieceTokenizer` takes them."""
        return [
            {
                "content": token.content,
                "id": id_,
                "single_word": token.single_word,
                "lstrip": token.lstrip,
                "rstrip": token.rstrip,
                "normalized": not token.special if token.normalized is None else token.normalized,
                "special": token.content in self._special,
            }
            for id_, token in sorted(self._tokens.items())
        ]
