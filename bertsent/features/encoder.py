"""`BertEncoder`, a scikit-learn transformer that turns texts into vectors."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted

from bertsent.features.parameters import ENCODING, check_encoding
from bertsent.hub import identify_parameters, length_limit
from bertsent.model import (
    BertForSequenceClassification,
    encode_texts,
    normalize,
    open_encoder,
    resolve_precision,
)
from bertsent.system import (
    Interrupts,
    check_interrupts,
    interruptible,
    notice,
    resolve_n_threads,
    row_progress,
)
from bertsent.texts import (
    Reader,
    are_pairs,
    check_alike,
    check_feature_names,
    check_texts,
    digest_texts,
    feature_names,
    in_memory,
    name_texts,
    resolve_max_length,
    strip_texts,
)
from bertsent.tokenizer import Tokenizer
from bertsent.training import CallbackSupport, tell_callbacks
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self, Unpack

    from bertsent._core import ArrowTexts
    from bertsent.files import DialectOptions, ScoredFile, Source
    from bertsent.texts import Text, Texts

# With a cache, texts that are computed before their vectors are stored.
_STORED_AT_ONCE = 2048
# The new column of a file.
_VECTOR = "vector"
# The parameters that are used when the model is opened.
_OPENING = ("model", "pooling", "max_length")
_DONE = "the computation of vectors was interrupted"


# scikit-learn has no type hints.
class BertEncoder(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    CallbackSupport,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """A scikit-learn transformer that turns each text into a vector, as features for other models.

    The vector is the mean of the model's last layer over the tokens of the text, or its output for
    ``[CLS]``, scaled to length 1. For a sentence encoder and a text that fits into `max_length`, it
    is the embedding that sentence-transformers computes [1]_, scaled to length 1, up to rounding in
    float32. `fit` opens the model and learns nothing.

    Parameters
    ----------
    model : str or path-like, default="minilm"
        Model that computes the vectors: ``"minilm"`` for all-MiniLM-L6-v2, ``"mpnet"``, the id of a
        model on the Hugging Face hub, or a directory, also that of a saved `BertClassifier`.
    pooling : {"auto", "mean", "cls"}, default="auto"
        What a vector is of the last layer: the mean over all tokens, ``[CLS]`` and ``[SEP]``
        included, or the output for ``[CLS]``. "auto" is what a sentence encoder or a classifier was
        trained with, and "mean" for other models, whose ``[CLS]`` was not trained to stand for a
        text.
    max_length : int or "auto", default="auto"
        Number of tokens that the model reads at once, including ``[CLS]`` and ``[SEP]``. "auto" is
        256, or less if the model was trained with less.
    long_text : {"head", "tail", "head+tail", "windows"}, default="windows"
        What is read of a longer text: its beginning; its end; a quarter of `max_length` from the
        beginning and the rest from the end; or all of it, in windows of `max_length`. The vector of
        a text in windows is the mean of those of its windows, weighted by their number of tokens.
        The default loses nothing; "head" is what sentence-transformers does, and takes less time.
    stride : int, default=0
        Number of tokens that consecutive windows share.
    normalize : bool, default=True
        Whether to scale each vector to length 1, so that the dot product of two is the cosine of
        their angle, and no text counts more because its vector is long.
    truncate_dim : int or None, default=None
        Number of dimensions to keep, the first ones, before normalizing. It makes sense for models
        that were trained for it (Matryoshka representation learning [2]_).
    strip_html : bool, default=False
        Whether to remove HTML tags from the texts.
    precision : {"auto", "float32", "bfloat16", "int8"}, default="auto"
        Precision to compute in. "auto" is bfloat16 where the processor is faster in it, otherwise
        float32. The vectors are float32 in any case.
    cache : str, path-like or None, default=None
        File in which vectors are kept by the hash of their text, so that no text is computed twice
        with the same model and the same parameters. Threads and processes may share it. It is a
        database of SQLite with hashes and numbers, from which no text can be read; it is never
        emptied. If it may not be written, its vectors are used, and a warning says that none are
        added. Do not put it on a network drive.
    n_threads : int or None, default=None
        Number of threads. None means ``BERTSENT_NUM_THREADS``, ``OMP_NUM_THREADS``, or all
        available CPUs. It does not affect the vectors.
    memory_limit : int, str or None, default=None
        Most memory for weights and activations, as in `BertClassifier`.
    verbose : int, default=0
        0 for silence, 1 for progress.

    Attributes
    ----------
    pooling_ : {"mean", "cls"}
        The pooling that "auto" stands for, or `pooling`.
    max_length_ : int
        Number of tokens that the model reads at once.
    n_features_in_ : int
        Number of columns of texts: 1, or 2 for pairs.
    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Names of the columns of texts. Defined only if `X` was a table in `fit`.
    model_ : BertForSequenceClassification
        The model. Its classification layer is a random one, which is not used.
    tokenizer_ : Tokenizer
        The tokenizer.

    See Also
    --------
    bertsent.BertClassifier.encode : The vectors of a fitted classifier.

    References
    ----------
    .. [1] Reimers & Gurevych (2019), Sentence-BERT: Sentence Embeddings using Siamese
       BERT-Networks.
    .. [2] Kusupati et al. (2022), Matryoshka Representation Learning.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertEncoder
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> train, test = pd.read_csv("tickets.csv"), pd.read_csv("held-out.csv")
    >>> pipeline = make_pipeline(BertEncoder("minilm"), LogisticRegression())
    >>> pipeline = pipeline.fit(train["text"], train["team"])
    >>> pipeline.predict(["The invoice is wrong."]).shape
    (1,)
    """

    _opened: tuple[BertForSequenceClassification, Tokenizer] | None = None
    _opened_with: Mapping[str, Any] = MappingProxyType({})
    _columns: list[str] | None = None
    pooling_: str
    max_length_: int
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]
    _identity: bytes | None = None  # of the weights, once it is needed

    def __init__(
        self,
        model: str | PathLike[str] = "minilm",
        *,
        pooling: Literal["auto", "mean", "cls"] = "auto",
        max_length: int | Literal["auto"] = "auto",
        long_text: Literal["head", "tail", "head+tail", "windows"] = "windows",
        stride: int = 0,
        normalize: bool = True,
        truncate_dim: int | None = None,
        strip_html: bool = False,
        precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto",
        cache: str | PathLike[str] | None = None,
        n_threads: int | None = None,
        memory_limit: int | str | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.pooling = pooling
        self.max_length = max_length
        self.long_text = long_text
        self.stride = stride
        self.normalize = normalize
        self.truncate_dim = truncate_dim
        self.strip_html = strip_html
        self.precision = precision
        self.cache = cache
        self.n_threads = n_threads
        self.memory_limit = memory_limit
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return self._opened is not None

    @interruptible(_DONE)
    def fit(self, X: Texts, y: object = None) -> Self:
        """Open the model, and check the texts.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        y : object
            Not used.

        Returns
        -------
        self : BertEncoder

        Raises
        ------
        CheckpointError, ModelNotFoundError
            The model cannot be used.
        TypeError, ValueError
            A parameter has an invalid value, or an item of `X` is not a text.
        """
        self._check()
        X = in_memory(X)
        texts = check_texts(X, "X", arrow=True)
        tell_callbacks(
            self, lambda _: self._learn(X, are_pairs(texts)), X=X, y=y, fitted=lambda: {}
        )
        return self

    def _learn(self, X: Any, pairs: bool) -> None:
        self._open(pairs)
        self._columns = feature_names(X)
        self.n_features_in_ = 2 if pairs else 1
        self.__dict__.pop("feature_names_in_", None)
        if self._columns is not None:
            self.feature_names_in_ = np.array(self._columns, dtype=object)

    def fit_transform(
        self, X: Texts, y: object = None, **fit_params: Any
    ) -> npt.NDArray[np.float32]:
        """Open the model, and compute the vector of each text; see `fit` and `transform`."""
        # A stream can be read only once.
        vectors: npt.NDArray[np.float32] = super().fit_transform(in_memory(X), y, **fit_params)
        return vectors

    @interruptible(_DONE)
    def transform(self, X: Texts) -> npt.NDArray[np.float32]:
        """Compute the vector of each text.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts. The two texts of a pair are read together, and have one vector.

        Returns
        -------
        vectors : ndarray of float32, shape (n_texts, n_dimensions)
            Or a DataFrame with the index of `X`, after ``set_output(transform="pandas")`` or
            "polars". They depend neither on the number of threads nor on the other texts.

        Raises
        ------
        FloatingPointError
            The model computes values that are not finite.
        OSError
            The file `cache` cannot be used.
        TypeError, ValueError
            An item of `X` is not a text, `X` has other columns than in `fit`, a parameter has an
            invalid value, or `model`, `pooling` or `max_length` was changed after `fit`.
        """
        self._ready()
        self._check()
        for name, value in self._changed().items():
            raise ValueError(f"{spell(name, value)} was set after fit; call fit again")
        X = in_memory(X)
        texts = check_texts(X, "X", arrow=self.cache is None, strip=self.strip_html)
        check_alike(texts, "X", self.n_features_in_ == 2)
        check_feature_names(feature_names(X), self._columns)
        with row_progress(self.verbose) as progress:
            progress.start(len(texts))
            progress.begin(len(texts))

            def report(part: float) -> None:
                progress.part(part)
                check_interrupts()

            return self._vectors(texts, report)

    def encode_file(
        self,
        input: str | PathLike[str],
        output: str | PathLike[str],
        *,
        text_column: str | int | None = None,
        text_pair_column: str | int | None = None,
        chunk_rows: int = 4096,
        missing: Literal["error", "skip"] = "error",
        overwrite: bool = False,
        **dialect: Unpack[DialectOptions],
    ) -> ScoredFile:
        """Write a file of any size with the vector of each of its texts, in the memory of a chunk.

        The file is read once to check it, as `BertClassifier.predict_file` does. `fit` is not
        needed. After an error or an interrupt, `output` is as it was before.

        Parameters
        ----------
        input : str or path-like
            A file or folder, as in `BertClassifier.predict_file`.
        output : str or path-like
            Parquet file to write. It has all columns of `input` and a new one, ``vector``, with a
            list of float32 in each row.
        text_column, text_pair_column, chunk_rows, missing, overwrite
            As in `BertClassifier.predict_file`.
        **dialect
            How `input` is written, as in `BertClassifier.predict_file`.

        Returns
        -------
        result : ScoredFile
            A named tuple of the numbers of ``rows`` that were written and ``rows_left_out``.

        Raises
        ------
        CheckpointError, ModelNotFoundError
            The model cannot be used.
        FileExistsError
            `output` exists, and `overwrite` is false.
        ImportError
            pyarrow is not installed.
        KeyboardInterrupt
            Ctrl-C was pressed, or SIGTERM or SIGHUP received.
        TypeError, ValueError
            The file cannot be read, lacks a text or has a column ``vector`` already, `output` is
            no Parquet file, or a parameter has an invalid value.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertsent import BertEncoder
        >>> BertEncoder().encode_file("new.csv", "vectors.parquet", text_column="text").rows
        16
        >>> len(pd.read_parquet("vectors.parquet")["vector"][0])
        384
        """
        from bertsent.files import Dialect, find_columns, find_source

        dialect_of_input = Dialect.of(dialect, "encode_file")
        with Interrupts(), contextlib.closing(find_source(input, dialect_of_input)) as source:
            given = {"text_column": text_column, "text_pair_column": text_pair_column}
            columns, line = find_columns(source, given, pairs=None)
            if line is not None:
                notice(line, verbose=self.verbose)
            return encode_source(
                self, source, output, columns, chunk_rows=chunk_rows, missing=missing,
                overwrite=overwrite,
            )

    def _open(self, pairs: bool) -> None:
        """Open the model, to read texts or pairs of them."""
        model, tokenizer = open_encoder(self.model, self.pooling)
        limit = length_limit(model._config, model._engine)
        if self.max_length != "auto":
            limit = model._engine["max_position_embeddings"]
        length = resolve_max_length(self.max_length, limit)
        self._check_dimensions(model)
        self._reader(tokenizer, length, pairs)  # refuses what does not fit
        model._finish()
        self._opened, self._identity = (model, tokenizer), None
        self._opened_with = {name: getattr(self, name) for name in _OPENING}
        self.pooling_, self.max_length_ = model._engine["pooling"], length

    def _changed(self) -> dict[str, Any]:
        """Return those parameters that are used when the model is opened, and changed after it."""
        return {
            name: getattr(self, name) for name, value in self._opened_with.items()
            if getattr(self, name) != value
        }

    def _vectors(
        self, texts: list[Text] | ArrowTexts, report: Callable[[float], None]
    ) -> npt.NDArray[np.float32]:
        """Return the vectors as the parameters want them."""
        reader = self._reader(self._ready()[1], self.max_length_, are_pairs(texts))
        if self.cache is None:
            vectors = self._encode(texts, reader, report)
        else:
            assert isinstance(texts, list)
            vectors = self._encode_new(texts, reader, report)
        if self.truncate_dim is not None:
            self._check_dimensions(self._ready()[0])
            vectors = vectors[:, : self.truncate_dim]
        return normalize(vectors) if self.normalize else np.ascontiguousarray(vectors)

    def _encode(
        self, texts: Sequence[Text] | ArrowTexts, reader: Reader, report: Callable[[float], None],
        named: Callable[[int], str] = "X[{}]".format,
    ) -> npt.NDArray[np.float32]:
        """Return the vectors as the model computes them."""
        model, tokenizer = self._ready()
        with name_texts(named):
            return encode_texts(
                model, tokenizer, texts, reader, resolve_n_threads(self.n_threads), report,
                precision=resolve_precision(self.precision, "precision"),
                memory_limit=self.memory_limit,
            )

    def _encode_new(
        self, texts: list[Text], reader: Reader, report: Callable[[float], None]
    ) -> npt.NDArray[np.float32]:
        """Return the vectors, those of the cache and others, which are stored there."""
        # Late, because some builds of Python lack SQLite.
        from bertsent.features.cache import VectorCache

        assert self.cache is not None
        size = self._ready()[0]._engine["hidden_size"]
        cache = VectorCache(self.cache, size)
        keys = digest_texts(texts, self._key(reader))
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        known = cache.get(list(first))
        new = sorted(row for key, row in first.items() if key not in known)
        done = len(first) - len(new)
        for begin in range(0, len(new), _STORED_AT_ONCE):
            rows = new[begin : begin + _STORED_AT_ONCE]

            def of_all(part: float, rows: list[int] = rows, done: int = done) -> None:
                report((done + part * len(rows)) / len(first))

            def named(number: int, rows: list[int] = rows) -> str:
                return f"X[{rows[number]}]"

            vectors = self._encode([texts[row] for row in rows], reader, of_all, named)
            some = {keys[row]: vector for row, vector in zip(rows, vectors, strict=True)}
            cache.put(some)
            known |= some
            done += len(rows)
        found = np.empty((len(keys), size), np.float32)
        for row, key in enumerate(keys):
            found[row] = known[key]
        return found

    def _key(self, reader: Reader) -> bytes:
        """Return a hash of all that determines the vector of a text, but for the text."""
        model, tokenizer = self._ready()
        if self._identity is None:
            settings = json.dumps(
                [tokenizer._settings, model._engine], sort_keys=True, default=str
            ).encode("utf-8", "surrogatepass")
            weights = identify_parameters(model._flat).encode()
            self._identity = hashlib.blake2b(weights + settings, digest_size=32).digest()
        how = json.dumps([
            reader.max_length, reader.long_text, reader.stride, self.pooling_,
            resolve_precision(self.precision, "precision"),
        ])
        return hashlib.blake2b(how.encode(), key=self._identity, digest_size=32).digest()

    def _reader(self, tokenizer: Tokenizer, length: int, pairs: bool) -> Reader:
        how = {
            "max_length": length, "long_text": self.long_text, "stride": self.stride,
            "inference_long_text": None,
        }
        special = tokenizer.num_special_tokens_to_add(pairs)
        return Reader.of(how, length, special=special)

    def _ready(self) -> tuple[BertForSequenceClassification, Tokenizer]:
        check_is_fitted(self)
        assert self._opened is not None
        return self._opened

    def _check(self) -> None:
        # A subclass may have fewer parameters.
        check_encoding({p.name: getattr(self, p.name, p.default) for p in ENCODING})

    def _check_dimensions(self, model: BertForSequenceClassification) -> None:
        size = model._engine["hidden_size"]
        if self.truncate_dim is not None and self.truncate_dim > size:
            raise ValueError(
                f"{spell('truncate_dim', self.truncate_dim)} is more than the {size} dimensions of "
                "the model"
            )

    @property
    def model_(self) -> BertForSequenceClassification:
        return self._ready()[0]

    @property
    def tokenizer_(self) -> Tokenizer:
        return self._ready()[1]

    @property
    def _n_features_out(self) -> int:
        size: int = self._ready()[0]._engine["hidden_size"]
        return size if self.truncate_dim is None else min(size, self.truncate_dim)


def encode_source(
    encoder: BertEncoder, source: Source, output: str | PathLike[str], columns: Mapping[str, str],
    **how: Any,
) -> ScoredFile:
    """Write the vectors of the texts of a source; see `BertEncoder.encode_file`.

    Parameters
    ----------
    encoder : BertEncoder
        It stays as it is. If it is not fitted, or was changed after `fit`, the model is opened.
    source : Source
    output
        As in `BertEncoder.encode_file`.
    columns : dict of str to str
        ``text_column`` and, of pairs, ``text_pair_column``.
    **how
        Passed to `label_file`.

    Returns
    -------
    ScoredFile
    """
    from bertsent.files import label_file, output_format

    encoder._check()
    if output_format(output).kind != "parquet":
        raise ValueError(
            f"{output} is not a Parquet file, the only format for vectors; choose another name, "
            "such as vectors.parquet"
        )
    is_ready = encoder._opened is not None and not encoder._changed()
    ready = encoder if is_ready else clone(encoder)

    def predict(
        texts: list[Text], report: Callable[[float], None], decimals: int
    ) -> dict[str, Any]:
        if ready._opened is None:  # after the file was checked, which takes less time
            ready._open("text_pair_column" in columns)
        given = strip_texts(texts) if ready.strip_html else texts
        return {_VECTOR: list(ready._vectors(given, report))}

    return label_file(
        predict, (_VECTOR,), source, output, text_column=columns["text_column"],
        text_pair_column=columns.get("text_pair_column"), possible=(), verbose=encoder.verbose,
        **how,
    )
