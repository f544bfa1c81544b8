"""A BERT model that predicts masked tokens, loaded from a directory and saved to one."""

from __future__ import annotations

import copy
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsent.hub import (
    load_masked_lm_directory,
    masked_lm_config,
    parameter_table,
    save_model_directory,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bertsent.tokenizer import Tokenizer


class MaskedLanguageModel:
    """A model like BertForMaskedLM in transformers, whose decoder shares the word embeddings.

    Parameters
    ----------
    config : dict
        Unchanged content of ``config.json``.
    engine : dict
        The engine's configuration.
    flat : ndarray of float32
        All parameters.
    fresh : tuple of str
        Parts that started from random weights.
    kept : dict of str to ndarray of float32
        Tensors that are not trained, but saved unchanged.
    """

    def __init__(
        self,
        config: dict[str, Any],
        engine: dict[str, Any],
        flat: npt.NDArray[np.float32],
        fresh: tuple[str, ...],
        kept: dict[str, npt.NDArray[np.float32]],
    ) -> None:
        from bertsent import _core

        self._config, self._engine, self._flat = config, engine, flat
        self.kept, self.fresh = kept, fresh
        self._core = _core.Model(engine, flat)

    @classmethod
    def load(cls, directory: Path, random_state: int) -> MaskedLanguageModel:
        """Load a model directory.

        Parameters
        ----------
        directory : pathlib.Path
        random_state : int
            Seed for the weights of a head that the model lacks.

        Returns
        -------
        MaskedLanguageModel

        Raises
        ------
        CheckpointError
            The files are damaged, or the decoder does not share the word embeddings.
        """
        return cls(*load_masked_lm_directory(directory, random_state=random_state))

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the configuration, with the keys of Hugging Face's ``config.json``."""
        return copy.deepcopy(self._config)

    @property
    def parameters(self) -> dict[str, npt.NDArray[np.float32]]:
        """Parameters by their Hugging Face names, as views into the model."""
        _, table = parameter_table(self._config, self._engine)
        return {parameter.name: parameter.view(self._flat) for parameter in table}

    def _trained(self, freeze: int) -> npt.NDArray[np.float32]:
        assert freeze == 0
        return self._flat

    def save_files(self, directory: str | PathLike[str], tokenizer: Tokenizer) -> None:
        """Write the files of model and tokenizer into an existing directory."""
        save_model_directory(
            directory, masked_lm_config(self._config), self._engine, self._flat,
            tokenizer=tokenizer, extra_tensors=self.kept,
        )
