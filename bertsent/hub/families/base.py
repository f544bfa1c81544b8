"""What differs between model families: names, keys, defaults and heads."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Family", "Head"]


@dataclass(frozen=True)
class Head:
    """The head of a family's models for one task.

    Attributes
    ----------
    kind : str
        Kind of head in the engine; csrc/model/head_kinds.h lists them.
    parts : mapping of str to mapping of str to str
        Parts that a model directory may lack, by their names in messages. Each maps roles of
        tensors in the engine to names in files, both without ``.weight`` and ``.bias``.
    tied : str or None, default=None
        Name of a tensor that repeats the word embeddings, if files may contain one.
    aliases : mapping of str to str, default={}
        Other names that tensors have in some files, and the names used here.
    activation : str or None, default=None
        Activation of a head for masked tokens, if it does not follow that of the encoder.
    """

    kind: str
    parts: Mapping[str, Mapping[str, str]]
    tied: str | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    activation: str | None = None


@dataclass(frozen=True)
class Family:
    """A family of models whose encoder layers are those of BERT.

    Attributes
    ----------
    model_type : str
        Name of the family in ``config.json``.
    name : str
        Name of the family in messages.
    examples : tuple of str
        Models on the Hugging Face hub that messages name as examples.
    class_stem : str
        Beginning of the class names in transformers, such as ``Bert`` in ``BertForMaskedLM``.
    prefix : str
        Beginning of the names of encoder tensors in a model with a head.
    keys : mapping of str to str
        Keys of the engine's configuration, and the matching keys of ``config.json``. A value that
        is the same for all models of the family has a default and no key. ``pooling`` always
        has one, because users choose it: ``classifier_pooling`` where transformers has none.
    defaults : mapping of str to object
        Values for entries that ``config.json`` lacks, by the engine's keys. A key without a
        default is required; only ``classifier_dropout`` and ``attention_output_dropout_prob``
        are then ``hidden_dropout_prob``, and ``embedding_size`` is ``hidden_size``.
    encoder : mapping of str to str
        Roles of the encoder's tensors in the engine, and their names in files with the prefix,
        both without ``.weight`` and ``.bias``. ``{}`` stands for the number of the layer.
    classifier : Head
        The head for text classification.
    masked_lm : Head or None
        The head for masked language modelling; None if the family has none that is like BERT's.
    tokenizer_class : str
        Class of the tokenizer in transformers.
    special_tokens : mapping of str to str
        Special tokens by role, for tokenizers whose files do not name them.
    tokenizer_kind : str, default="WordPiece"
        Kind of this tokenizer: ``"WordPiece"`` or ``"byte-level BPE"``.
    pair_separators : int, default=1
        Number of separators that the tokenizer puts between the two texts of a pair, 1 or 2.
    position_offset : int, default=0
        Number of position embeddings before that of the first token. The number of positions in
        ``config.json`` includes them. If it is not 0, positions count only the tokens that are not
        padding, and a padding token has the position before the first one.
    relative_bias : bool, default=False
        Whether attention scores get a bias by distance, whose table all layers share.
    required : mapping of str to object, default={}
        Keys of ``config.json`` that may be missing, but have no other value in a supported model.
    renamed : tuple of (str, str), default=()
        Regular expressions for names in old files, and their replacements.
    ignored : tuple of str, default=()
        Beginnings of the names of tensors that a classifier ignores without a warning.
    buffers : tuple of str, default=(".position_ids", ".token_type_ids")
        Endings of the names of encoder tensors that are not parameters.
    """

    model_type: str
    name: str
    examples: tuple[str, ...]
    class_stem: str
    prefix: str
    keys: Mapping[str, str]
    defaults: Mapping[str, Any]
    encoder: Mapping[str, str]
    classifier: Head
    masked_lm: Head | None
    tokenizer_class: str
    special_tokens: Mapping[str, str]
    tokenizer_kind: str = "WordPiece"
    pair_separators: int = 1
    position_offset: int = 0
    relative_bias: bool = False
    required: Mapping[str, Any] = field(default_factory=dict)
    renamed: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    buffers: tuple[str, ...] = (".position_ids", ".token_type_ids")

    def value(self, raw: Mapping[str, Any], key: str) -> Any:
        """Return the value in a ``config.json`` for one of the engine's keys, or the default.

        Parameters
        ----------
        raw : mapping
            Content of ``config.json``.
        key : str
            A key of the engine's configuration.

        Returns
        -------
        object
            None if there is neither a value nor a default.
        """
        default = self.defaults.get(key)
        return raw.get(self.keys[key], default) if key in self.keys else default

    @property
    def _parts(self) -> list[Mapping[str, str]]:
        """The names of the parts of all heads."""
        heads = (self.classifier, *([self.masked_lm] if self.masked_lm else []))
        return [part for head in heads for part in head.parts.values()]

    @property
    def has_token_types(self) -> bool:
        """Whether the model has token types, which distinguish a first and a second text."""
        return "embeddings.token_type" in self.encoder

    def tensor_name(self, role: str) -> str:
        """Return the name in files of the tensor with a given role.

        Parameters
        ----------
        role : str
            Role in the engine's parameter table, such as ``layer.3.attention.query.weight``.

        Returns
        -------
        str
        """
        stem, kind = role.rsplit(".", 1)
        layer = re.match(r"layer\.(\d+)\.", stem)
        if layer:
            stem = "layer.{}." + stem[layer.end() :]
        name = next(names[stem] for names in (self.encoder, *self._parts) if stem in names)
        return f"{name.format(layer[1]) if layer else name}.{kind}"

    def canonical_name(self, name: str) -> str:
        """Return the name of a tensor in a model with a head, given its name in any file."""
        within = {stem.split(".", 1)[0] for stem in self._after_prefix()}
        if name.split(".", 1)[0] in within:
            name = self.prefix + name
        for pattern, replacement in self.renamed:
            name = re.sub(pattern, replacement, name)
        return name

    def _after_prefix(self) -> list[str]:
        """Return the names that begin with the prefix, of encoder and heads, without it."""
        names = [name for part in (self.encoder, *self._parts) for name in part.values()]
        return [name.removeprefix(self.prefix) for name in names if name.startswith(self.prefix)]

    def is_encoder(self, name: str) -> bool:
        """Return whether a tensor belongs to the embeddings or the layers."""
        stems = {stem.removeprefix(self.prefix).split(".", 1)[0] for stem in self.encoder.values()}
        return name.startswith(tuple(f"{self.prefix}{stem}." for stem in stems))
