"""The bare model: token ids in, logits and gradients out."""

import contextlib
import copy
import math
import threading
from collections.abc import Mapping

import numpy as np

from . import batch, checkpoint
from .config import bert_config, engine_config, label_names, with_labels
from .files import MODEL_FILES, TOKENIZER_FILES, atomic_directory
from .hub import resolve
from .precision import check_inference, resolve_precision

__all__ = ["BertForSequenceClassification"]


class BertForSequenceClassification:
    """BERT with a pooler and a linear classifier, computed by the C engine.

    Made by `from_pretrained` or `from_config`, not by calling the class. It knows nothing
    of texts; `bertsent.WordPieceTokenizer` makes the ids. To train on a DataFrame use
    `bertsent.BertClassifier`.

    Attributes
    ----------
    num_labels : int
        Number of classes.
    n_threads : int or None
        Threads to compute with; None for ``BERTSENT_NUM_THREADS``, ``OMP_NUM_THREADS``,
        or what the process may use of the machine.
    inference_precision : {"float32", "auto", "bfloat16", "int8"}
        What `forward` and `score_packed` compute in, to be set at any time; see
        docs/precision.md. float32 by default, so that the bare model gives transformers'
        logits; "auto" is bfloat16 where that is faster, else float32. Whether this machine can
        is asked when something is computed. Gradients are always computed in float32.

    Examples
    --------
    >>> tokenizer = WordPieceTokenizer.from_pretrained("sentiment-model")
    >>> model = BertForSequenceClassification.from_pretrained("sentiment-model")
    >>> model(**tokenizer(["A film to love.", "Two hours wasted."])).argmax(axis=1)
    array([1, 0])
    """

    def __init__(self):
        raise TypeError(
            "use BertForSequenceClassification.from_pretrained(name_or_dir) or .from_config(config)"
        )

    @classmethod
    def from_pretrained(
        cls, name_or_dir, *, num_labels=None, id2label=None, revision=None, random_state=None,
        n_threads=None, new_classifier=False, inference_precision="float32",
    ):
        """Load a model.

        Parameters
        ----------
        name_or_dir : str or path-like
            A directory in the Hugging Face layout, ``"minilm"``, or an id on the Hugging
            Face hub such as ``"bert-base-uncased"``.
        num_labels : int, optional
            Number of classes; by default that of the checkpoint, or 2.
        id2label : dict of int to str, or list of str, optional
            Names of the classes.
        revision : str, optional
            Branch, tag or commit on the hub.
        random_state : int, numpy.random.Generator, numpy.random.RandomState, optional
            Draws a pooler or classifier that the checkpoint lacks.
        n_threads : int, optional
            Threads to compute with.
        new_classifier : bool, default False
            Start with a new classifier even if the checkpoint has one.
        inference_precision : str, default "float32"
            What to compute in; see the attribute.

        Returns
        -------
        BertForSequenceClassification

        Raises
        ------
        CheckpointError
            The files are damaged, disagree with each other, or hold another kind of model.
        ModelNotFoundError
            There is no such model, or it cannot be downloaded; the message says what to do.

        Warns
        -----
        FreshWeightsWarning
            Parts start from random values, because the checkpoint lacks them.
        """
        loaded = checkpoint.load_checkpoint(
            resolve(name_or_dir, revision),
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
        cls, config, *, random_state=None, n_threads=None, inference_precision="float32"
    ):
        """Make a model with random weights by BERT's rule.

        Parameters
        ----------
        config : dict
            Keys of a Hugging Face ``config.json``; ``id2label`` or ``num_labels`` give the
            number of classes, 2 otherwise.
        random_state : int, numpy.random.Generator, numpy.random.RandomState, optional
            Draws the weights.
        n_threads : int, optional
            Threads to compute with.
        inference_precision : str, default "float32"
            What to compute in; see the attribute.

        Returns
        -------
        BertForSequenceClassification

        Raises
        ------
        CheckpointError
            A key is missing, or asks for what bertsent does not do.
        """
        raw = bert_config(config)
        names = label_names(raw, "config") or ["LABEL_0", "LABEL_1"]
        if len(names) < 2:
            raise ValueError("a classifier needs at least 2 classes")
        engine = engine_config(raw, len(names), "config")
        flat = checkpoint.random_parameters(engine, raw, random_state)
        return cls._assemble(with_labels(raw, names), engine, flat, n_threads, inference_precision)

    @classmethod
    def _assemble(cls, config, engine, flat, n_threads=None, inference_precision="float32"):
        model = cls.__new__(cls)
        model._set(config, engine, flat, n_threads, inference_precision)
        return model

    def _set(self, config, engine, flat, n_threads, inference_precision):
        from . import _core

        self.inference_precision = inference_precision
        self._config = config
        self._engine = engine
        self._flat = flat
        self._core = _core.Model(engine, flat)
        self._table = {
            name: (tuple(shape), offset)
            for name, shape, offset, *_ in _core.parameter_table(engine)[1]
        }
        self._edits = []
        self._edit_lock = threading.Lock()
        self.n_threads = n_threads

    def save_pretrained(
        self, directory, overwrite=False, *, tokenizer=None, extra_files=None, int8=False
    ):
        """Write ``config.json`` and ``model.safetensors``, all at once.

        transformers' ``AutoModelForSequenceClassification`` opens the directory as it is,
        unless `int8`.

        Parameters
        ----------
        directory : str or path-like
            Made if need be. Files of others in it are never touched.
        overwrite : bool, default False
            Replace a model that is there.
        tokenizer : WordPieceTokenizer, optional
            Saved too, so that the directory is complete. It can also be saved beside the
            model by itself.
        extra_files : dict of str to str or bytes, optional
            Further files by name.
        int8 : bool, default False
            Keep the encoder's linear layers as int8, which takes a quarter of their room, in
            ``model.int8.safetensors`` instead. Only bertsent opens that. What was rounded is
            lost, except for scoring in int8, which gives the same bits.

        Raises
        ------
        FileExistsError
            The directory holds a model and `overwrite` is false, or other people's files.
        OSError
            It cannot be written; what was there is still there.
        ValueError
            Weights to be kept as int8 are not finite.
        """
        ours = MODEL_FILES | frozenset(extra_files or ())
        if tokenizer is not None:
            ours |= TOKENIZER_FILES
        with atomic_directory(directory, overwrite, ours) as scratch:
            checkpoint.save_checkpoint(
                scratch, self._config, self._engine, self._flat,
                tokenizer=tokenizer, extra_files=extra_files, int8=int8,
            )

    # --- computing --------------------------------------------------------------------------

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        """Compute logits, without dropout.

        Columns that the mask leaves out cost nothing and change nothing; every token keeps
        the position of its column.

        Parameters
        ----------
        input_ids : array-like of int, shape (batch, length)
            Token ids; the first column is what the classifier reads ([CLS]).
        attention_mask : array-like of 0 and 1, shape (batch, length), optional
            1 for tokens, 0 for padding; by default all are tokens.
        token_type_ids : array-like of int, shape (batch, length), optional
            Segment of each token; by default 0.

        Returns
        -------
        ndarray of float32, shape (batch, num_labels)

        Raises
        ------
        TypeError
            An array is not of integers.
        ValueError
            Shapes differ; an id or a token type is out of range; the mask holds other
            numbers than 0 and 1; a row has no token or its first column is masked; a token
            lies beyond ``max_position_embeddings``.
        """
        packed = batch.pack(input_ids, attention_mask, token_type_ids, self._engine)
        return self._score(packed, self._threads(None), None)

    __call__ = forward

    def score_packed(self, ids, offsets, n_threads=None, precision=None, *, chunk_tokens=0):
        """Compute logits of sequences laid end to end, as a tokenizer's `encode_batch` does.

        Parameters
        ----------
        ids : ndarray of int32, shape (T,)
            Token ids of all sequences.
        offsets : ndarray of int64, shape (B + 1,)
            Where each sequence begins, and T.
        n_threads : int, optional
            Threads to compute with, instead of the model's.
        precision : {"auto", "float32", "bfloat16", "int8"}, optional
            What to compute in, instead of the model's ``inference_precision``.
        chunk_tokens : int, default 0
            Tokens that a thread carries through the model at once, in whole sequences; 0 for
            what suits the caches. Fewer take less memory and more time.

        Returns
        -------
        ndarray of float32, shape (B, num_labels)

        Raises
        ------
        TypeError
            An array is not of integers.
        IndexError, ValueError
            An id is out of range, a sequence is empty or too long; this machine does not
            compute in that precision.
        """
        ids = batch.flat_integers("ids", ids, np.int32)
        offsets = batch.flat_integers("offsets", offsets, np.int64)
        packed = batch.Packed(ids, None, None, offsets)
        return self._score(packed, self._threads(n_threads), precision, chunk_tokens)

    def loss_and_gradients(self, input_ids, attention_mask, labels, token_type_ids=None):
        """Compute the mean cross-entropy of a batch and its gradient, without dropout.

        In float32, whatever ``inference_precision`` is.

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
            One for each of `parameters`, of the same name and shape. The padding token's
            row of the word embeddings is 0, as in PyTorch.

        Raises
        ------
        TypeError, ValueError
            As in `forward`, and for labels that are no classes of the model.
        """
        packed = batch.pack(input_ids, attention_mask, token_type_ids, self._engine)
        count = len(packed.cu_seqlens) - 1
        if not count:
            raise ValueError("the batch is empty; a loss needs at least one row")
        labels = batch.check_labels(labels, count, self.num_labels)
        gradients = checkpoint.aligned_zeros(len(self._flat))
        loss, _ = self._core.forward_backward(
            packed.ids, packed.types, packed.positions, packed.cu_seqlens,
            np.arange(count, dtype=np.uint64), labels, None, gradients,
            freeze=0, training=False, seed=0, step=0, n_threads=self._threads(None),
        )
        return float(loss), {name: self._view(name, gradients) for name in self._table}

    def _score(self, packed, n_threads, precision, chunk_tokens=0):
        precision = self._inference_precision if precision is None else check_inference(precision)
        precision = resolve_precision(precision, "inference_precision")
        if len(packed.cu_seqlens) == 1 and not packed.ids.size:
            return np.empty((0, self.num_labels), dtype=np.float32)
        return self._core.score(
            packed.ids, packed.types, packed.positions, packed.cu_seqlens,
            n_threads=n_threads, chunk_tokens=chunk_tokens, precision=precision,
        )

    def _threads(self, n_threads):
        from .threads import resolve_n_threads

        return resolve_n_threads(self.n_threads if n_threads is None else n_threads)

    # --- parameters and settings ------------------------------------------------------------

    @property
    def config(self):
        """Configuration in the words of Hugging Face's ``config.json`` (a copy)."""
        return copy.deepcopy(self._config)

    @property
    def inference_precision(self):
        return self._inference_precision

    @inference_precision.setter
    def inference_precision(self, value):
        self._inference_precision = check_inference(value)

    @property
    def num_labels(self):
        return self._engine["num_labels"]

    @property
    def id2label(self):
        """Names of the classes by number."""
        return {int(number): name for number, name in self._config["id2label"].items()}

    @property
    def parameters(self):
        """Parameters by their Hugging Face names, as views into the model.

        They are read-only, since the engine keeps packed copies of some of them; to change
        them see `edit_parameters`.
        """
        return _Parameters(self)

    @contextlib.contextmanager
    def edit_parameters(self):
        """Make `parameters` writable for the length of a ``with`` block.

        What is written counts from the end of the block on, also if it ends by an
        exception. No other thread may use the model meanwhile: it would compute with
        half-changed weights. The arrays turn read-only when the block ends; keep no slices
        of them.

        Yields
        ------
        Mapping of str to ndarray
            `parameters`, writable.

        Examples
        --------
        >>> with model.edit_parameters() as parameters:
        ...     parameters["classifier.bias"][:] = 0.0
        """
        given = {}
        with self._edit_lock:
            self._edits.append(given)
        try:
            yield _Parameters(self)
        finally:
            with self._edit_lock:
                self._edits[:] = [other for other in self._edits if other is not given]
                for view in given.values():
                    view.flags.writeable = False
                self._core.touch()

    def _parameter(self, name):
        with self._edit_lock:
            if not self._edits:
                # Through a read-only buffer, so that no flag can make it writable.
                read_only = memoryview(self._flat).toreadonly()
                return self._view(name, np.frombuffer(read_only, np.float32))
            given = self._edits[-1]
            if name not in given:
                given[name] = self._view(name, self._flat)
            return given[name]

    def _view(self, name, flat):
        shape, offset = self._table[name]
        return flat[offset : offset + math.prod(shape)].reshape(shape)

    def _trained(self, freeze):
        """The part of the flat parameters that is trained: one range up to the end."""
        if freeze == 0:
            return self._flat
        first = "bert.pooler.dense.weight"
        if freeze < self._engine["num_hidden_layers"]:
            first = f"bert.encoder.layer.{freeze}.attention.self.query.weight"
        return self._flat[self._table[first][1] :]

    def __repr__(self):
        engine = self._engine
        return (
            f"<BertForSequenceClassification: {engine['num_hidden_layers']} layers, "
            f"hidden size {engine['hidden_size']}, vocabulary {engine['vocab_size']}, "
            f"{self.num_labels} classes>"
        )

    def __getstate__(self):
        return {
            "config": self._config,
            "engine": self._engine,
            "parameters": np.asarray(self._flat),
            "n_threads": self.n_threads,
            "inference_precision": self.inference_precision,
        }

    def __setstate__(self, state):
        flat = checkpoint.aligned_zeros(len(state["parameters"]))
        flat[:] = state["parameters"]
        self._set(
            state["config"], state["engine"], flat, state["n_threads"],
            state["inference_precision"],
        )


class _Parameters(Mapping):
    """Names to views; whether they are writable is decided when one is taken."""

    def __init__(self, model):
        self._model = model

    def __getitem__(self, name):
        if name not in self._model._table:
            raise KeyError(name)
        return self._model._parameter(name)

    def __iter__(self):
        return iter(self._model._table)

    def __len__(self):
        return len(self._model._table)

    def __repr__(self):
        return f"<{len(self)} parameters of {self._model!r}>"
