"""A BERT that predicts masked tokens: opened from a directory, and saved to one."""

import copy
import math

import numpy as np

from bertsent import checkpoint, tensors
from bertsent.config import engine_config, read_config
from bertsent.errors import CheckpointError

_STEM = "cls.predictions."
_HEAD = (
    _STEM + "transform.dense.weight", _STEM + "transform.dense.bias",
    _STEM + "transform.LayerNorm.weight", _STEM + "transform.LayerNorm.bias", _STEM + "bias",
)
# Not trained with masked tokens, and kept for the classifier that comes after.
_POOLER = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")


class MaskedLanguageModel:
    """BertForMaskedLM over one flat buffer; its decoder is the table of word embeddings.

    Parameters
    ----------
    config : dict
        As it was found.
    engine : dict
        The engine's.
    flat : float32 ndarray
        The parameters.
    kept : dict of str to float32 ndarray
        What is not trained, and saved as it was.
    fresh : tuple of str
        Parts that were drawn anew.
    """

    def __init__(self, config, engine, flat, kept, fresh):
        from bertsent import _core

        self._config, self._engine, self._flat = config, engine, flat
        self.kept, self.fresh = kept, fresh
        self._core = _core.Model(engine, flat)

    @classmethod
    def load(cls, directory, name, random_state):
        """Open a model directory.

        Parameters
        ----------
        directory : pathlib.Path
        name : str or path-like
            What to call it in messages.
        random_state : int
            Draws the head if the model brings none.

        Returns
        -------
        MaskedLanguageModel

        Raises
        ------
        CheckpointError
            The files are damaged, or the decoder has weights of its own.

        Warns
        -----
        FreshWeightsWarning
            The model brings no head; once in a process for each model.
        """
        raw = read_config(directory)
        stored = checkpoint.canonical(tensors.find(directory, raw))
        if _STEM + "decoder.weight" in stored and raw.get("tie_word_embeddings") is False:
            raise CheckpointError(
                f"{directory}: the decoder of masked tokens has weights of its own "
                "(tie_word_embeddings is false), which bertsent does not do"
            )
        if _STEM + "decoder.bias" in stored:
            stored.setdefault(_HEAD[-1], stored[_STEM + "decoder.bias"])
        engine = engine_config(raw, 1, directory / "config.json") | {"head": "masked_lm"}
        heads = {"head for masked tokens": _HEAD}
        flat, fresh, _ = checkpoint.fill(stored, engine, raw, directory, heads, random_state)
        checkpoint.tell(str(name), fresh, [], raw)
        kept = {}
        for part in _POOLER if all(part in stored for part in _POOLER) else ():
            tensors.check_type(stored[part])
            kept[part] = np.empty(stored[part].shape, dtype=np.float32)
            tensors.read([(stored[part], kept[part].reshape(-1))])
        return cls(raw, engine, flat, kept, tuple(fresh))

    @property
    def config(self):
        """Configuration in the words of Hugging Face's ``config.json`` (a copy)."""
        return copy.deepcopy(self._config)

    @property
    def parameters(self):
        """Parameters by their Hugging Face names, as views."""
        from bertsent import _core

        return {
            name: self._flat[offset : offset + math.prod(shape)].reshape(shape)
            for name, shape, offset, *_ in _core.parameter_table(self._engine)[1]
        }

    def _trained(self, freeze):
        assert freeze == 0
        return self._flat

    def save_files(self, directory, tokenizer):
        """Write model and tokenizer into an existing directory."""
        checkpoint.save_checkpoint(
            directory, _masked_config(self._config), self._engine, self._flat,
            tokenizer=tokenizer, extra_tensors=self.kept,
        )


def _masked_config(raw):
    """A configuration without what belongs to a classifier."""
    changed = copy.deepcopy(raw)
    for key in (
        "num_labels", "_num_labels", "_name_or_path", "id2label", "label2id", "problem_type",
    ):
        changed.pop(key, None)
    changed |= {"model_type": "bert", "architectures": ["BertForMaskedLM"], "dtype": "float32"}
    changed["tie_word_embeddings"] = True
    if "torch_dtype" in changed:
        changed["torch_dtype"] = "float32"
    return changed
