"""The model by itself, which computes logits and gradients from token ids."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.export import Part, write_onnx
from bertsent.files import MODEL_FILES, TOKENIZER_FILES, atomic_directory, hold_directory
from bertsent.hub import (
    aligned_zeros,
    check_config,
    engine_config,
    label_names,
    load_model_directory,
    output_names,
    parameter_table,
    random_parameters,
    resolve_directory,
    save_model_directory,
    with_labels,
    with_pooling as pooling_config,
)
from bertsent.model import batch
from bertsent.model.mapped import map_or_copy
from bertsent.model.precision import check_inference, resolve_precision

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self

    from bertsent.hub import RandomState
    from bertsent.tokenizer import Tokenizer

__all__ = ["BertForSequenceClassification"]

# Guards the edits of all models, for moments only. A child process gets a new one, because another
# thread may have held it during the fork.
_edit_lock = threading.Lock()


def _renew_edit_lock() -> None:
    global _edit_lock
    _edit_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_edit_lock)


class BertForSequenceClassification:
    """A BERT model for text classification that works on token ids.

    It computes logits and gradients in the C engine, and corresponds to the class of the same
    name in transformers. Create it with `from_pretrained` or `from_config`. To train and predict
    on texts, use `bertsent.BertClassifier`.

    Attributes
    ----------
    num_labels : int
        Number of classes.
    id2label : dict of int to str
        Names of the classes.
    config : dict
        Configuration, with the keys of Hugging Face's ``config.json`` (a copy).
    parameters : Mapping of str to ndarray of float32
        Parameters by their Hugging Face names. They are read-only views; `edit_parameters` makes
        them writable.
    n_threads : int or None
        Number of threads. None means ``BERTSENT_NUM_THREADS``, else ``OMP_NUM_THREADS``, else all
        CPUs available to the process.
    inference_precision : {"float32", "auto", "bfloat16", "int8"}
        Precision of `forward` and `score_packed`, which may be set at any time. It is "float32" by
        default, so that logits match those of transformers. "auto" is bfloat16 where the processor
        is faster in it, and float32 elsewhere. If the machine does not support the precision, the
        next computation raises an error. Gradients are always computed in float32.

    See Also
    --------
    bertsent.BertClassifier : A scikit-learn classifier, which trains such a model on texts.
    bertsent.Tokenizer : Computes token ids from texts.

    Examples
    --------
    >>> from bertsent import BertForSequenceClassification, Tokenizer
    >>> tokenizer = Tokenizer.from_pretrained("tickets-model")
    >>> model = BertForSequenceClassification.from_pretrained("tickets-model")
    >>> logits = model(**tokenizer(["The invoice is wrong.", "I cannot log in."]))
    >>> [model.id2label[number] for number in logits.argmax(axis=1)]
    ['billing', 'access']
    """

    n_threads: int | None
    _config: dict[str, Any]
    _engine: dict[str, Any]
    _flat: npt.NDArray[np.float32]
    # Whether nothing trains the model any more; whether something trains it in place; and what
    # pickles of a finished model have as its parameters: always the same object, by which joblib
    # knows that a file with its contents is there already.
    _finished = _trains_in_place = False
    _pickled: npt.NDArray[np.float32] | None = None

    def __init__(self) -> None:
        raise TypeError(
            "use BertForSequenceClassification.from_pretrained(name_or_dir) or .from_config(config)"
        )

    @classmethod
    def from_pretrained(
        cls,
        name_or_dir: str | PathLike[str],
        *,
        num_labels: int | None = None,
        id2label: Mapping[int, str] | Sequence[str] | None = None,
        revision: str | None = None,
        random_state: RandomState = None,
        n_threads: int | None = None,
        new_classifier: bool = False,
        inference_precision: str = "float32",
    ) -> Self:
        """Load a model from a directory or from the Hugging Face hub.

        Parameters
        ----------
        name_or_dir : str or path-like
            A directory in the Hugging Face layout, ``"minilm"``, or an id on the Hugging
            Face hub such as ``"bert-base-uncased"``.
        num_labels : int or None, default=None
            Number of classes. None means that of the saved model, or 2 if it has no classifier.
        id2label : dict of int to str, list of str or None, default=None
            Names of the classes; sets their number as well. None means those of the saved model.
        revision : str or None, default=None
            Branch, tag or commit on the hub.
        random_state : int, Generator, RandomState or None, default=None
            Seed or NumPy generator for a pooler or classifier that the saved model lacks.
        n_threads : int or None, default=None
            Number of threads; see the attribute.
        new_classifier : bool, default=False
            Whether to start with a new classifier even if the saved model has one.
        inference_precision : str, default="float32"
            Precision of `forward` and `score_packed`; see the attribute.

        Returns
        -------
        BertForSequenceClassification

        Raises
        ------
        CheckpointError
            The files are damaged, contradict each other, or contain a model that is not
            supported.
        ModelNotFoundError
            There is no such model, or it cannot be downloaded; the message says what to do.

        Warns
        -----
        FreshWeightsWarning
            The saved model lacks a pooler or classifier, so initial weights are random; or it
            has weights that are not used.
        """
        directory = resolve_directory(name_or_dir, revision)
        with hold_directory(directory):
            loaded = load_model_directory(
                directory,
                num_labels=num_labels,
                id2label=id2label,
                random_state=random_state,
                new_classifier=new_classifier,
                source=str(name_or_dir),
            )
        return cls._assemble(
            loaded.config, loaded.engine, loaded.flat, n_threads, inference_precision
        )

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        *,
        random_state: RandomState = None,
        n_threads: int | None = None,
        inference_precision: str = "float32",
    ) -> Self:
        """Create a model with random weights.

        Parameters
        ----------
        config : dict
            The keys of a Hugging Face ``config.json``. The number of classes is that of
            ``id2label`` or ``num_labels``, or 2 if there is neither.
        random_state : int, Generator, RandomState or None, default=None
            Seed or NumPy generator for the weights.
        n_threads : int or None, default=None
            Number of threads; see the attribute.
        inference_precision : str, default="float32"
            Precision of `forward` and `score_packed`; see the attribute.

        Returns
        -------
        BertForSequenceClassification

        Raises
        ------
        CheckpointError
            A key is missing or invalid, or describes a model that is not supported.
        ValueError
            There are fewer than 2 classes.
        """
        raw = check_config(config)
        names = label_names(raw, "config") or ["LABEL_0", "LABEL_1"]
        if len(names) < 2:
            raise ValueError("a classifier needs at least 2 classes; set num_labels or id2label")
        engine = engine_config(raw, len(names), "config")
        flat = random_parameters(raw, engine, random_state)
        return cls._assemble(with_labels(raw, names), engine, flat, n_threads, inference_precision)

    @classmethod
    def _assemble(
        cls,
        config: dict[str, Any],
        engine: dict[str, Any],
        flat: npt.NDArray[np.float32],
        n_threads: int | None = None,
        inference_precision: str = "float32",
    ) -> Self:
        model = cls.__new__(cls)
        model._set(config, engine, flat, n_threads, inference_precision)
        return model

    def _set(
        self,
        config: dict[str, Any],
        engine: dict[str, Any],
        flat: npt.NDArray[np.float32],
        n_threads: int | None,
        inference_precision: str,
    ) -> None:
        from bertsent import _core

        self.inference_precision = inference_precision
        self._config = config
        self._engine = engine
        self._flat = flat
        self._core = _core.Model(engine, flat)
        _, table = parameter_table(config, engine)
        self._table = {parameter.name: parameter for parameter in table}
        self._edits: list[dict[str, npt.NDArray[np.float32]]] = []
        self.n_threads = n_threads

    def save_pretrained(
        self,
        directory: str | PathLike[str],
        overwrite: bool = False,
        *,
        tokenizer: Tokenizer | None = None,
        extra_files: Mapping[str, str | bytes] | None = None,
        int8: bool = False,
    ) -> None:
        """Save the model as ``config.json`` and ``model.safetensors``.

        transformers can open the directory with ``AutoModelForSequenceClassification``, unless
        `int8` is true. If saving fails, the directory is as it was before.

        Parameters
        ----------
        directory : str or path-like
            Directory, which is created if it does not exist. Files that bertsent did not write
            are never changed.
        overwrite : bool, default=False
            Whether to replace a model in the directory.
        tokenizer : Tokenizer or None, default=None
            Tokenizer to save with the model. It can also be saved into the directory later.
        extra_files : dict of str to str or bytes, or None, default=None
            Further files by name.
        int8 : bool, default=False
            Whether to store the linear layers of the encoder as int8, in a quarter of the space.
            The file is then ``model.int8.safetensors``, which only bertsent can open. Scoring in
            int8 gives exactly the same logits as before, other precisions use the rounded
            weights.

        Raises
        ------
        FileExistsError
            The directory contains a model and `overwrite` is false, or files of other programs.
        OSError
            The directory cannot be written.
        ValueError
            `int8` is true, and weights are not finite.
        """
        ours = MODEL_FILES | frozenset(extra_files or ())
        if tokenizer is not None:
            ours |= TOKENIZER_FILES
        with atomic_directory(directory, overwrite, ours) as staging:
            save_model_directory(
                staging, self._config, self._engine, self._settled(),
                tokenizer=tokenizer, extra_files=extra_files, int8=int8,
            )

    def export_onnx(
        self,
        path: str | PathLike[str],
        overwrite: bool = False,
        *,
        tokenizer: Tokenizer | None = None,
        int8: bool = False,
    ) -> None:
        """Write the model as an ONNX graph with the output ``logits``.

        `bertsent.BertClassifier.export_onnx` describes the graph. That of a bare model has no
        probabilities.

        Parameters
        ----------
        path : str or path-like
            A directory, which gets ``model.onnx`` and ``config.json``, or a file that ends in
            ``.onnx``.
        overwrite : bool, default=False
            Whether to replace what an export wrote before.
        tokenizer : Tokenizer or None, default=None
            Tokenizer to write into the directory.
        int8 : bool, default=False
            Whether to store and compute the linear layers of the encoder in int8.

        Raises
        ------
        FileExistsError
            The file exists, or the directory contains files, and `overwrite` is false; or the
            directory contains a saved model, configuration or tokenizer that is no export.
        ImportError
            The package onnx is not installed.
        ValueError
            The weights take more than 2 GB.
        """
        labels = list(self.id2label.values())
        write_onnx(
            path, [Part(self._config, self._engine, self._settled())], overwrite=overwrite,
            tokenizer=tokenizer, max_length=self._engine["max_position_embeddings"], int8=int8,
            metadata={"task": self._config.get("problem_type") or "unknown", "labels": labels},
        )

    # --- computing --------------------------------------------------------------------------

    def forward(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
    ) -> npt.NDArray[np.float32]:
        """Compute logits, without dropout.

        Padding takes no time and does not affect the result. Each token has the position of its
        column.

        Parameters
        ----------
        input_ids : array-like of int, shape (batch, length)
            Token ids. The first column should be ``[CLS]``, which the classifier reads.
        attention_mask : array-like of 0 and 1, shape (batch, length), or None, default=None
            1 for tokens and 0 for padding. None means that there is no padding.
        token_type_ids : array-like of int, shape (batch, length), or None, default=None
            Segment of each token. None means segment 0.

        Returns
        -------
        logits : ndarray of float32, shape (batch, num_labels)

        Raises
        ------
        TypeError
            An array does not contain integers.
        ValueError
            Shapes differ; an id or token type is out of range; the mask contains other values
            than 0 and 1; a row has no token, or its first column is masked; or there are more
            columns with tokens than ``max_position_embeddings``.
        """
        packed = batch.pack(input_ids, attention_mask, token_type_ids, self._engine)
        return self._score(packed, self._threads(None), None)

    __call__ = forward

    def score_packed(
        self,
        ids: npt.ArrayLike,
        offsets: npt.ArrayLike,
        n_threads: int | None = None,
        precision: str | None = None,
        *,
        token_type_ids: npt.ArrayLike | None = None,
        chunk_tokens: int = 0,
    ) -> npt.NDArray[np.float32]:
        """Compute the logits of sequences that are laid end to end.

        `Tokenizer.encode_batch` returns sequences in this form.

        Parameters
        ----------
        ids : ndarray of int32, shape (T,)
            Token ids of all sequences.
        offsets : ndarray of int64, shape (B + 1,)
            Where each sequence begins, and T.
        n_threads : int or None, default=None
            Number of threads. None means `n_threads` of the model.
        precision : {"auto", "float32", "bfloat16", "int8"} or None, default=None
            Precision. None means `inference_precision` of the model.
        token_type_ids : ndarray of int32, shape (T,), or None, default=None
            Segment of each token. None means segment 0.
        chunk_tokens : int, default=0
            Tokens, in whole sequences, that a thread passes through the model at once. 0 chooses
            a number that suits the caches of the processor. Fewer tokens take less memory and
            more time.

        Returns
        -------
        logits : ndarray of float32, shape (B, num_labels)

        Raises
        ------
        TypeError
            An array does not contain integers.
        IndexError, ValueError
            An id is out of range; a sequence is empty or too long; or the machine does not
            support the precision.
        """
        packed = batch.pack_flat(ids, offsets, token_type_ids)
        return self._score(packed, self._threads(n_threads), precision, chunk_tokens)

    def pool_packed(
        self,
        ids: npt.ArrayLike,
        offsets: npt.ArrayLike,
        n_threads: int | None = None,
        precision: str | None = None,
        *,
        token_type_ids: npt.ArrayLike | None = None,
        chunk_tokens: int = 0,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Compute the logits of sequences, and the vectors from which the head computes them.

        Parameters
        ----------
        ids, offsets, n_threads, precision, token_type_ids, chunk_tokens
            As in `score_packed`.

        Returns
        -------
        logits : ndarray of float32, shape (B, num_labels)
            Those of `score_packed`, with the same bits.
        vectors : ndarray of float32, shape (B, hidden_size)
            The last layer's output for ``[CLS]`` or, in a model with mean pooling, its mean over
            all tokens of the sequence, ``[CLS]`` and ``[SEP]`` included. The pooler is not
            applied. Vectors are not normalized; `normalize` does that. They do not depend on the
            number of threads, but on the precision.

        Raises
        ------
        FloatingPointError, IndexError, TypeError, ValueError
            As in `score_packed`.

        See Also
        --------
        with_pooling : A model that computes vectors of the other kind.

        Examples
        --------
        >>> from bertsent import BertForSequenceClassification, Tokenizer
        >>> tokenizer = Tokenizer.from_pretrained("tickets-model")
        >>> model = BertForSequenceClassification.from_pretrained("tickets-model")
        >>> texts = tokenizer.encode_batch(["The invoice is wrong.", "I cannot log in."])
        >>> logits, vectors = model.with_pooling("mean").pool_packed(texts.ids, texts.offsets)
        >>> vectors.shape
        (2, 384)
        """
        packed = batch.pack_flat(ids, offsets, token_type_ids)
        # A wrong shape of offsets is found below.
        shape = max(len(packed.cu_seqlens) - 1, 0), self._engine["hidden_size"]
        vectors = np.empty(shape, np.float32)
        logits = self._score(
            packed, self._threads(n_threads), precision, chunk_tokens, vectors.reshape(-1)
        )
        return logits, vectors

    def with_pooling(self, pooling: str) -> Self:
        """Return this model if it has this pooling, and otherwise a copy that has it.

        The copy has the same weights, but its logits are other ones: head and encoder were not
        trained together with this pooling. Its purpose is `pool_packed`.

        Parameters
        ----------
        pooling : {"cls", "mean"}
            What the head reads of the last layer: the output for ``[CLS]``, or the mean over all
            tokens.

        Returns
        -------
        BertForSequenceClassification

        Raises
        ------
        ValueError
            `pooling` has another value.
        """
        if pooling not in ("cls", "mean"):
            raise ValueError(f"pooling must be 'cls' or 'mean', got {pooling!r}")
        if pooling == self._engine["pooling"]:
            return self
        config, engine = copy.deepcopy((self._config, self._engine))
        return self._assemble(
            pooling_config(config, pooling), engine | {"pooling": pooling}, self._settled(),
            self.n_threads, self.inference_precision,
        )

    def _encoder(self) -> Self:
        """Return a model of the same parameters that returns vectors in place of logits.

        It has no head. Call ``touch`` of this model's engine after training it.
        """
        from bertsent import _core

        engine = self._engine | {"head": "vectors", "num_labels": self._engine["hidden_size"]}
        size, _ = _core.parameter_table(engine)
        return self._assemble(
            self._config, engine, self._flat[:size], self.n_threads, self.inference_precision
        )

    def loss_and_gradients(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None,
        labels: npt.ArrayLike,
        token_type_ids: npt.ArrayLike | None = None,
    ) -> tuple[float, dict[str, npt.NDArray[np.float32]]]:
        """Compute the mean cross-entropy of a batch and its gradients, without dropout.

        This is always computed in float32, regardless of `inference_precision`.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids
            As in `forward`.
        labels : array-like of int, shape (batch,)
            Class of each row, in ``[0, num_labels)``.

        Returns
        -------
        loss : float
            Mean over the rows.
        gradients : dict of str to ndarray of float32
            Gradient of each of the `parameters`, with the same name and shape. In the word
            embeddings, the row of the padding token is 0, as in PyTorch.

        Raises
        ------
        TypeError, ValueError
            As in `forward`; also if `labels` are not classes of the model, or if the batch is
            empty.
        """
        packed = batch.pack(input_ids, attention_mask, token_type_ids, self._engine)
        count = len(packed.cu_seqlens) - 1
        if not count:
            raise ValueError("the batch is empty; a loss needs at least one row")
        classes = batch.check_labels(labels, count, self.num_labels)
        gradients = aligned_zeros(len(self._flat))
        loss, _ = self._core.forward_backward(
            packed.ids, packed.types, packed.positions, packed.cu_seqlens,
            np.arange(count, dtype=np.uint64), classes, None, gradients,
            freeze=0, training=False, seed=0, step=0, n_threads=self._threads(None),
        )
        return float(loss), {name: p.view(gradients) for name, p in self._table.items()}

    def _score(
        self,
        packed: batch.Packed,
        n_threads: int,
        precision: str | None,
        chunk_tokens: int = 0,
        pooled: npt.NDArray[np.float32] | None = None,
    ) -> npt.NDArray[np.float32]:
        precision = self._inference_precision if precision is None else check_inference(precision)
        precision = resolve_precision(precision, "inference_precision")
        if len(packed.cu_seqlens) == 1 and not packed.ids.size:
            return np.empty((0, self.num_labels), dtype=np.float32)
        return self._core.score(
            packed.ids, packed.types, packed.positions, packed.cu_seqlens,
            n_threads=n_threads, chunk_tokens=chunk_tokens, precision=precision, pooled=pooled,
        )

    def _threads(self, n_threads: int | None) -> int:
        from bertsent.system import resolve_n_threads

        return resolve_n_threads(self.n_threads if n_threads is None else n_threads)

    # --- parameters and settings ------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """A copy of the configuration, with the keys of Hugging Face's ``config.json``."""
        return copy.deepcopy(self._config)

    @property
    def inference_precision(self) -> str:
        return self._inference_precision

    @inference_precision.setter
    def inference_precision(self, value: str) -> None:
        self._inference_precision = check_inference(value)

    @property
    def num_labels(self) -> int:
        count: int = self._engine["num_labels"]
        return count

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the classes by their numbers."""
        return {int(number): name for number, name in self._config["id2label"].items()}

    @property
    def parameters(self) -> Mapping[str, npt.NDArray[np.float32]]:
        """Parameters by their Hugging Face names, as views into the model.

        They are read-only, because the engine keeps packed copies of some. Use `edit_parameters`
        to change them. A view belongs to the model until it is trained or edited the next time,
        which may give it new memory; get the view again then.
        """
        return _Parameters(self)

    @contextlib.contextmanager
    def edit_parameters(self) -> Iterator[Mapping[str, npt.NDArray[np.float32]]]:
        """Make `parameters` writable in a ``with`` block.

        Changes take effect when the block ends, even if it ends with an exception. Do not use
        the model in other threads during the block: they would compute with weights that are
        partly changed. The arrays become read-only when the block ends; do not keep slices of
        them.

        Yields
        ------
        Mapping of str to ndarray
            `parameters`, writable.

        Examples
        --------
        >>> from bertsent import BertForSequenceClassification
        >>> model = BertForSequenceClassification.from_pretrained("tickets-model")
        >>> with model.edit_parameters() as parameters:
        ...     parameters["classifier.bias"][:] = 0.0
        >>> model.parameters["classifier.bias"]
        array([0., 0.], dtype=float32)
        """
        given: dict[str, npt.NDArray[np.float32]] = {}
        with _edit_lock:
            self._edits.append(given)
        try:
            self._leave_pickled()
            yield _Parameters(self)
        finally:
            with _edit_lock:
                self._edits[:] = [other for other in self._edits if other is not given]
                for view in given.values():
                    view.flags.writeable = False
            self._core.touch()

    def _parameter(self, name: str) -> npt.NDArray[np.float32]:
        with _edit_lock:
            if not self._edits:
                # A view of a read-only buffer, which no flag can make writable.
                read_only = self._flat.data.toreadonly()
                return self._table[name].view(np.frombuffer(read_only, np.float32))
            given = self._edits[-1]
            if name not in given:
                given[name] = self._table[name].view(self._flat)
            return given[name]

    def _sort_classes(self, order: npt.NDArray[np.int64], names: Sequence[str]) -> None:
        """Reorder the classes. `names` are in the new order."""
        with self.edit_parameters() as parameters:
            for name in output_names(self._config):
                parameters[name][...] = parameters[name][order]
        self._config = with_labels(self._config, names, self._config["problem_type"])

    def _scale_outputs(
        self, scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]
    ) -> None:
        """Change the output layer, so that each logit is multiplied and then shifted."""
        weight, bias = output_names(self._config)
        with self.edit_parameters() as parameters:
            parameters[weight][...] = parameters[weight] * scale[:, None]
            parameters[bias][...] = parameters[bias] * scale + shift

    def _trained(self, freeze: int) -> npt.NDArray[np.float32]:
        """Return the trained part of the flat parameters, a single range up to the end."""
        from bertsent import _core

        return self._flat[_core.trained_from(self._engine, freeze) :]

    def __repr__(self) -> str:
        engine = self._engine
        return (
            f"<BertForSequenceClassification: {engine['num_hidden_layers']} layers, "
            f"hidden size {engine['hidden_size']}, vocabulary {engine['vocab_size']}, "
            f"{self.num_labels} classes>"
        )

    def _settled(self) -> npt.NDArray[np.float32]:
        """Return a copy of the flat parameters as they are between two training steps."""
        flat = aligned_zeros(len(self._flat))
        self._core.copy_settled((self._flat,), (flat,))
        return flat

    def _copy(
        self,
        sources: tuple[npt.NDArray[np.float32], ...] = (),
        targets: tuple[npt.NDArray[np.float32], ...] = (),
    ) -> tuple[Self, int]:
        """Return a copy, and the number of training steps that this object had done.

        Further arrays, such as moments, are copied at the same moment.
        """
        flat = aligned_zeros(len(self._flat))
        steps = self._core.copy_settled((self._flat, *sources), (flat, *targets))
        config, engine = copy.deepcopy((self._config, self._engine))
        return (
            self._assemble(config, engine, flat, self.n_threads, self.inference_precision), steps
        )

    def _finish(self) -> None:
        """Let pickles have the parameters themselves and no copy, unless training goes on."""
        with _edit_lock:
            self._finished = not self._trains_in_place

    def _train_in_place(self) -> None:
        """Get ready to be trained in place; pickles copy the parameters from now on."""
        with _edit_lock:
            self._finished, self._trains_in_place = False, True
        self._leave_pickled()

    def _leave_pickled(self) -> None:
        """Go on with a copy of the parameters if pickles have them, which others may be reading."""
        with _edit_lock:
            pickled, self._pickled = self._pickled, None
        if pickled is not None:
            from bertsent import _core

            self._flat = self._settled()
            self._core = _core.Model(self._engine, self._flat)

    def _parameters_to_pickle(self) -> npt.NDArray[np.float32]:
        with _edit_lock:
            if self._finished and not self._edits:
                if self._pickled is None:
                    self._pickled = self._flat.view()
                    self._pickled.flags.writeable = False  # also for who gets it out of band
                return self._pickled
        return np.asarray(self._settled())

    def __getstate__(self) -> dict[str, Any]:
        return {
            "config": self._config,
            "engine": self._engine,
            "parameters": self._parameters_to_pickle(),
            "finished": self._finished,
            "n_threads": self.n_threads,
            "inference_precision": self.inference_precision,
        }

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self._copy()[0]

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._set(
            state["config"], state["engine"], map_or_copy(state["parameters"]),
            state["n_threads"], state["inference_precision"],
        )
        self._finished = state.get("finished", False)  # older pickles do not say it


class _Parameters(Mapping[str, "npt.NDArray[np.float32]"]):
    """Views by name. Whether a view is writable is decided when it is accessed."""

    def __init__(self, model: BertForSequenceClassification) -> None:
        self._model = model

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        if name not in self._model._table:
            raise KeyError(name)
        return self._model._parameter(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._model._table)

    def __len__(self) -> int:
        return len(self._model._table)

    def __repr__(self) -> str:
        return f"<{len(self)} parameters of {self._model!r}>"
