"""`BertEstimator`: what `BertClassifier` and `BertRegressor` have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from inspect import Parameter, signature
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from bertsent.classifier.fitted import Fitted, Predictor
from bertsent.classifier.members import is_list, member_parameters
from bertsent.classifier.parameters import DEFAULTS, check_parameters
from bertsent.files import CARD_FILE, atomic_directory, hold_directory
from bertsent.hub import resolve_directory
from bertsent.model import BertForSequenceClassification, normalize as unit_vectors, own_arrays
from bertsent.objectives import OBJECTIVES
from bertsent.system import Interrupts, expand_path, interrupted, notice
from bertsent.texts import in_memory, row_labels
from bertsent.tokenizer import Tokenizer
from bertsent.training import CallbackSupport, tell_callbacks
from bertsent.wording import spell

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self, Unpack

    from bertsent.classifier.evaluation import Evaluation
    from bertsent.explanation import Explanations
    from bertsent.files import DialectOptions, ScoredFile
    from bertsent.objectives import Objective
    from bertsent.texts import PairColumn, Table, TextColumn, Texts

# What an interrupt says if nothing was learned; the estimator is then as it was.
_BEFORE_THE_FIRST = "training was interrupted before the first step"
_AFTER_THE_LAST = "interrupted after the last step of training; the classifier is fitted"

T = TypeVar("T")
AnyTable = TypeVar("AnyTable", bound="Table")


class FittedAttribute(Generic[T]):
    """An attribute of a fitted estimator: that of its `Fitted`, without the underscore.

    Setting it replaces the `Fitted`. Only attributes that are fields can be set.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_")

    @overload
    def __get__(self, estimator: None, owner: type) -> FittedAttribute[T]: ...

    @overload
    def __get__(self, estimator: BertEstimator, owner: type) -> T: ...

    def __get__(self, estimator: BertEstimator | None, owner: type) -> FittedAttribute[T] | T:
        if estimator is None:
            return self
        if estimator._fitted is None:
            raise AttributeError(
                f"{type(estimator).__name__!r} object has no attribute '{self.name}_' "
                "before it is fitted"
            )
        value: T = getattr(estimator._fitted, self.name)
        return value

    def __set__(self, estimator: BertEstimator, value: T) -> None:
        if estimator._fitted is None or self.name not in (f.name for f in fields(Fitted)):
            raise AttributeError(f"attribute '{self.name}_' cannot be set")
        changed: dict[str, Any] = {self.name: value}
        estimator._fitted = replace(estimator._fitted, **changed)


# scikit-learn has no type hints.
class BertEstimator(CallbackSupport, BaseEstimator):  # type: ignore[misc]
    """What `BertClassifier` and `BertRegressor` have in common.

    A subclass has the parameters in its ``__init__``, and `fit`, `predict`, `score` and `evaluate`.
    """

    _fitted: Fitted | None = None  # __init__ may only set parameters
    _origin: Mapping[str, Any] | None = None  # where a command read the texts, for the log
    # Keys of OBJECTIVES; y decides between them.
    _problem_types: ClassVar[tuple[str, ...]]
    _own_parameters: ClassVar[tuple[str, ...]]  # of the table

    learning_rate_ = FittedAttribute[float | list[float] | None]()
    max_length_ = FittedAttribute[int | list[int]]()
    word_weight_ = FittedAttribute[float | None]()
    plan_ = FittedAttribute[dict[str, Any] | None]()
    precision_ = FittedAttribute[str | None]()
    history_ = FittedAttribute[list[dict[str, Any]]]()
    evaluations_ = FittedAttribute[list[dict[str, Any]]]()
    teachers_ = FittedAttribute[list[dict[str, Any]] | None]()
    best_step_ = FittedAttribute[int | list[int | None] | None]()
    training_rows_ = FittedAttribute[npt.NDArray[np.int64] | None]()
    validation_rows_ = FittedAttribute[npt.NDArray[np.int64] | None]()
    example_history_: FittedAttribute[pd.DataFrame | None] = FittedAttribute()
    n_features_in_ = FittedAttribute[int]()
    feature_names_in_ = FittedAttribute[npt.NDArray[Any]]()
    model_ = FittedAttribute[BertForSequenceClassification]()
    models_ = FittedAttribute[list[BertForSequenceClassification]]()
    tokenizer_ = FittedAttribute[Tokenizer]()

    def __getstate__(self) -> dict[str, Any]:
        return dict(super().__getstate__())  # `fit` in another thread may add an attribute

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(own_arrays(state))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def _repr_html_inner(self) -> str:
        """Return what notebooks show, unless scikit-learn's display is "text"."""
        from bertsent.classifier.html_repr import render

        return render(self)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return what notebooks show; of the base class, it would be a diagram of one box."""
        bundle = {"text/plain": repr(self)}
        if get_config()["display"] == "diagram":
            bundle["text/html"] = self._repr_html_inner()
        return bundle

    def _learn(self, train: Callable[[], tuple[Fitted, KeyboardInterrupt | None]]) -> Self:
        """Keep what was trained, also if it was interrupted, and say so."""
        before, told = self._fitted, None
        try:
            with Interrupts():
                self._fitted, told = train()
        except KeyboardInterrupt as stop:
            after = _AFTER_THE_LAST if told is None else str(told)
            told = interrupted(stop, _BEFORE_THE_FIRST if self._fitted is before else after)
        if told is not None:
            raise told
        return self

    def _fit(
        self, objective: Callable[[], type[Objective]], X: Any, y: Any, sample_weight: Any,
        X_val: Any, y_val: Any, **how: Any,
    ) -> Self:
        """Train by `fit` of the module fitting, and tell callbacks of scikit-learn about it."""
        from bertsent.classifier.fitting import fit

        parameters, before = self._checked_parameters(), self._fitted if self.warm_start else None

        def learn(listener: Callable[[dict[str, Any]], bool] | None) -> object:
            return self._learn(lambda: fit(
                parameters, objective(), X, y, sample_weight, X_val, y_val, before,
                origin=self._origin, listener=listener, **how,
            ))

        tell_callbacks(
            self, learn, X=X, y=y, epochs=_most_epochs(parameters),
            metadata=None if sample_weight is None else {"sample_weight": sample_weight},
            fitted=lambda: {"_fitted": self._fitted},
        )
        return self

    def tokens_read(self, X: Texts) -> pd.DataFrame:
        """Count the tokens of each text, and those that prediction reads.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.

        Returns
        -------
        DataFrame
            Columns ``tokens`` and ``tokens_read``, int64, without ``[CLS]`` and ``[SEP]``. The
            index is that of `X` if it is from pandas.
        """
        import pandas as pd

        X = in_memory(X)
        totals, read = predictor(self).count_tokens(X)
        return pd.DataFrame({"tokens": totals, "tokens_read": read}, index=row_labels(X))

    def encode(
        self, X: Texts, *, normalize: bool = True, member: int = 0
    ) -> npt.NDArray[np.float32]:
        """Compute the vector of each text: what the classification layer reads.

        Texts that the classifier holds to be alike have similar vectors, for searching, clustering
        or plotting.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        normalize : bool, default=True
            Whether to scale each vector to length 1, so that the dot product of two is the cosine
            of their angle.
        member : int, default=0
            Which of several `members` computes the vectors, counted from 0. Vectors of different
            members cannot be compared or averaged, because each learns directions of its own.

        Returns
        -------
        vectors : ndarray of float32, shape (n_texts, hidden_size)
            The last layer's output for ``[CLS]`` or its mean over all tokens, depending on the
            `pooling` of the model. The pooler is not applied. Of a text in windows, the mean of
            those of its windows, weighted by their number of tokens. `words` do not count.

        Raises
        ------
        TypeError, ValueError
            An item of `X` is not a text, or there is no such member.

        See Also
        --------
        bertsent.BertEncoder : Vectors of a model that was not trained on labels.

        Examples
        --------
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> vectors = clf.encode(["The invoice is wrong.", "I cannot log in."])
        >>> vectors.shape
        (2, 384)
        """
        vectors = predictor(self).vectors(X, member)
        return unit_vectors(vectors) if normalize else vectors

    @overload
    def predict_frame(
        self, frame: AnyTable, text: Hashable | Sequence[Hashable] = None, *,
        abstain: float | None = None,
    ) -> AnyTable: ...

    @overload
    def predict_frame(
        self, frame: TextColumn | PairColumn, text: None = None, *, abstain: float | None = None
    ) -> Any: ...

    def predict_frame(
        self, frame: Any, text: Hashable | Sequence[Hashable] = None, *,
        abstain: float | None = None,
    ) -> Any:
        """Predict for a table, and return all that is known of each text as a table of its kind.

        Parameters
        ----------
        frame : DataFrame, Table or column of str
            From pandas, Polars, pyarrow or narwhals; or a relation of DuckDB or other data with
            Arrow's PyCapsule interface, which give a Table of pyarrow. Strings in Arrow's memory
            are read in place. A column or list may take the place of a table.
        text : str, sequence of two str, or None, default=None
            The name of the column of texts or, for pairs, of the two columns; in pandas, it can
            also be a number or a tuple. None means that `frame` has no other columns.
        abstain : float or None, default=None
            As in `BertClassifier.predict`: below this confidence, the predicted label is missing.

        Returns
        -------
        DataFrame or Table
            A row for each row of `frame`, in its order and with the index of pandas, and only new
            columns. In pandas, ``frame.assign(**found)`` puts both side by side, whatever the
            index is; columns of `frame` with the same names are replaced:

            - ``predicted_label`` and ``confidence``, the probability of that label;
            - ``probability_NAME`` for each class;
            - ``tokens`` of the text and ``tokens_read`` (int64, without ``[CLS]`` and ``[SEP]``),
              as `tokens_read` counts them, and ``cut``, whether some were not read.

            If a text can have several labels, ``predicted_labels``, joined by semicolons, take the
            place of the first two. A regression has ``prediction``, or ``prediction_NAME`` for each
            number.

        Raises
        ------
        ImportError
            `frame` is a relation or a stream, and pyarrow is not installed.
        TypeError, ValueError
            An item is not a text, `frame` has no such column, or `text` is needed.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> found = clf.predict_frame(pd.read_csv("new.csv"), text="text")
        >>> list(found.columns)[:4]
        ['predicted_label', 'confidence', 'probability_access', 'probability_billing']
        >>> bool(found["cut"].any())
        False
        """
        from bertsent.classifier.frames import predict_frame

        return predict_frame(predictor(self, abstain), frame, text, self.verbose)

    @overload
    def predict_batches(
        self, batches: Iterable[AnyTable], text_column: str | None = None,
        text_pair_column: str | None = None, *, abstain: float | None = None,
    ) -> Iterator[AnyTable]: ...

    @overload
    def predict_batches(
        self, batches: Iterable[TextColumn | PairColumn], text_column: str | None = None,
        text_pair_column: str | None = None, *, abstain: float | None = None,
    ) -> Iterator[pd.DataFrame]: ...

    def predict_batches(
        self, batches: Iterable[Any], text_column: str | None = None,
        text_pair_column: str | None = None, *, abstain: float | None = None,
    ) -> Iterator[Any]:
        """Label batches of texts one after the other, for data that does not fit into memory.

        Each batch is read and labelled when the next item is requested.

        Parameters
        ----------
        batches : iterable of tables, Series, lists or arrays of str
            Tables may be from pandas, Polars or pyarrow. Batches of some thousand texts are
            fastest, because texts of similar length are scored together.
        text_column : str or None, default=None
            The column of texts, if the batches are tables of several columns.
        text_pair_column : str or None, default=None
            The column of the second texts, if the model was trained on pairs.
        abstain : float or None, default=None
            As in `BertClassifier.predict`: below this confidence, the predicted label is missing.

        Yields
        ------
        DataFrame
            Columns ``predicted_label`` and ``confidence``, the probability of that label, with the
            index of the batch. They are added to a table, which is of the same library. If a text
            can have several labels: ``predicted_labels``, joined by semicolons, and
            ``probability_NAME`` for each label.

        Raises
        ------
        TypeError
            `batches` is a single batch, or an item is not a text. The message names its batch and
            row.
        ValueError
            A DataFrame does not have the column of texts, or already has one of the new columns.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> chunks = pd.read_csv("new.csv", chunksize=10)
        >>> for labelled in clf.predict_batches(chunks, "text"):
        ...     print(labelled["predicted_label"].value_counts().to_dict())
        {'billing': 5, 'access': 5}
        {'billing': 3, 'access': 3}
        """
        from bertsent.files import label_batches

        ready = predictor(self, abstain)
        ready.check()
        return label_batches(
            ready.table, ready.objective.prediction_columns, batches, text_column,
            text_pair_column, pairs=ready.fitted.pairs,
        )

    def predict_file(
        self,
        input: str | PathLike[str],
        output: str | PathLike[str],
        *,
        text_column: str | int | None = None,
        text_pair_column: str | int | None = None,
        chunk_rows: int = 4096,
        missing: Literal["error", "skip"] = "error",
        overwrite: bool = False,
        abstain: float | None = None,
        **dialect: Unpack[DialectOptions],
    ) -> ScoredFile:
        """Label a file of any size, in the memory of one chunk.

        The file is read once to check it, so that empty cells and damage are found before scoring
        starts. Then `chunk_rows` rows at a time are read, scored and written. After an error,
        Ctrl-C, SIGTERM or SIGHUP, `output` is as it was before, or complete if the signal came
        after the last row.

        Parameters
        ----------
        input : str or path-like
            A CSV, TSV, JSON or .txt file (one text a line), each also compressed; a Parquet or
            Excel file; a folder of such files, or a pattern such as ``"parts/*.csv"``; or an
            aclImdb folder (docs/files.md).
        output : str or path-like
            File to write, in the format of its extension. It has all columns of `input`, with
            their types from Parquet to Parquet, and new ones: ``predicted_label`` and
            ``confidence``, the probability of that label, rounded to six decimal places. If a text
            can have several labels, the new columns are those of `predict_batches`.
        text_column : str, int or None, default=None
            The column of texts: its name, or its number, counted from 0, if the file has no header.
            By default it is found by its name, such as review or text, and a line says so
            (docs/files.md). Not needed for .txt.
        text_pair_column : str, int or None, default=None
            The column of the second texts, if the model was trained on pairs.
        chunk_rows : int, default=4096
            Number of rows in a chunk. Larger chunks are hardly faster.
        missing : {"error", "skip"}, default="error"
            What to do with rows that have no text: raise an error before anything is scored, or
            leave them out.
        overwrite : bool, default=False
            Whether to replace `output` if it exists.
        abstain : float or None, default=None
            Confidence from 0 to 1 below which the predicted label stays empty.
        **dialect
            How `input` is written, as far as its name and content do not tell: ``delimiter``,
            ``quoting`` ("minimal", or "none" if quotes are part of the texts), ``escapechar``,
            ``encoding``, ``errors`` ("strict", or "replace" to read invalid bytes as U+FFFD),
            ``header`` (False if the first row is data) and ``format`` (an extension such as
            "csv"). docs/files.md explains them.

        Returns
        -------
        result : ScoredFile
            A named tuple of the numbers of ``rows`` that were written and ``rows_left_out``.

        Raises
        ------
        FileExistsError
            `output` exists, and `overwrite` is false.
        KeyboardInterrupt
            Ctrl-C was pressed, or SIGTERM or SIGHUP received.
        TypeError
            A cell is not a text. The message names its row, counted from 0.
        ValueError
            The file cannot be read, is empty, has no column `text_column`, has a row without text
            (the message names it), or already has one of the new columns.
        """
        from bertsent.files import Dialect, find_columns, find_source, label_file

        ready = predictor(self, abstain)
        ready.check()
        dialect_of_input = Dialect.of(dialect, "predict_file")
        with Interrupts(), contextlib.closing(find_source(input, dialect_of_input)) as source:
            given = {"text_column": text_column, "text_pair_column": text_pair_column}
            columns, line = find_columns(source, given, pairs=ready.fitted.pairs)
            if line is not None:
                notice(line, verbose=self.verbose)
            return label_file(
                ready.table, ready.objective.prediction_columns, source, output,
                text_column=columns["text_column"],
                text_pair_column=columns.get("text_pair_column"),
                possible=ready.objective.possible_predictions,
                chunk_rows=chunk_rows, missing=missing, overwrite=overwrite, verbose=self.verbose,
            )

    def save_pretrained(
        self, directory: str | PathLike[str], overwrite: bool = False, *, int8: bool = False
    ) -> None:
        """Save model, tokenizer, parameters, labels, history, and a model card.

        The card (``README.md``) says what the model is, on how many texts it was trained, its
        metrics on held-out texts and its limits, and how to use it. It contains the names of
        classes, but no texts or paths. A card that a person wrote or changed is kept.

        Parameters that concern this machine are not saved: `checkpoint_dir`, `checkpoint_every`,
        `checkpoint_keep`, `resume`, `log_file`, `hash_every`, `callbacks`, `n_threads`,
        `memory_limit`, `frozen_cache` and `teacher`.

        transformers can open the directory too, unless `int8` is true; of several members, it opens
        the first. If saving fails, the directory is as it was before.

        Parameters
        ----------
        directory : str or path-like
            Directory, which is created if it does not exist.
        overwrite : bool, default=False
            Whether to replace a model in the directory. Files that bertsent did not write are never
            changed.
        int8 : bool, default=False
            Whether to store the linear layers of the encoder as int8, in a quarter of the space.
            Predictions with ``inference_precision="int8"`` stay exactly the same, other precisions
            use the rounded weights. Only bertsent can open such a directory.

        Raises
        ------
        FileExistsError
            The directory contains a model and `overwrite` is false, or files of other programs.
        """
        check_is_fitted(self)
        with atomic_directory(directory, overwrite) as staging:
            self.save_files(staging, int8=int8)

    def save_files(
        self,
        directory: str | PathLike[str],
        *,
        int8: bool = False,
        evaluation: Evaluation | None = None,
    ) -> None:
        """Write the files of `save_pretrained` into an existing directory, not atomically.

        The model card has the metrics of `evaluation`, or else those of held-out texts.
        """
        from bertsent.classifier.model_card import write_card

        ready = predictor(self)
        # A subclass may have more parameters, and fewer.
        parameters = self.get_params(deep=False) | ready.parameters
        target = expand_path(directory)
        ready.fitted.save_files(target, parameters, int8=int8)
        card = write_card(ready, evaluation=evaluation, int8=int8)
        (target / CARD_FILE).write_text(card, encoding="utf-8", errors="backslashreplace")

    def export_onnx(
        self, path: str | PathLike[str], overwrite: bool = False, *, int8: bool = False
    ) -> None:
        """Write the model as an ONNX graph, for programs without bertsent.

        The graph has the inputs ``input_ids``, ``attention_mask`` and, for models with several
        token types, ``token_type_ids``, int64 of any batch size and length. Its outputs are
        ``logits``, as in transformers, and, unless the model predicts numbers, ``probabilities``
        as `predict_proba` returns them, with the temperature of ``calibrated=True``. Several
        members are one graph, which returns their vote. It reads one sequence of at most
        ``max_length_`` tokens: the program that runs it cuts long texts. docs/export.md says how to
        run it.

        Parameters
        ----------
        path : str or path-like
            A directory, which gets ``model.onnx``, ``config.json`` and the files of the tokenizer,
            as optimum and transformers expect them. Or a file that ends in ``.onnx``, for the graph
            alone.
        overwrite : bool, default=False
            Whether to replace what an export wrote before. Other files are never changed.
        int8 : bool, default=False
            Whether to store and compute the linear layers of the encoder in int8. By default, all
            is float32, and logits are those of bertsent apart from rounding.

        Raises
        ------
        FileExistsError
            The file exists, or the directory contains files, and `overwrite` is false; or the
            directory contains a saved model, configuration or tokenizer that is no export.
        ImportError
            The package onnx is not installed.
        ValueError
            The model was trained with ``words=True``, its members read different parts of a text,
            or its weights take more than 2 GB.

        Examples
        --------
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> clf.export_onnx("tickets-onnx")
        """
        from bertsent.classifier.exporting import export_onnx

        with Interrupts():
            export_onnx(predictor(self), path, overwrite, int8=int8)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        evaluation: Evaluation | None = None,
        int8: bool = False,
        commit_message: str | None = None,
        token: str | bool | None = None,
    ) -> str:
        """Upload the files of `save_pretrained` and a model card to the Hugging Face hub.

        The card says what the model is, on how many texts it was trained, its metrics and its
        limits, and how to use it. It contains the names of classes, but no texts. A card that a
        person wrote or changed is kept (docs/export.md).

        Some files say something about the training texts. ``training_texts.npy`` has their hashes
        (`seen_in_training`), so that whoever has a text can find out whether it was used. With
        ``words=True``, ``words.txt`` has words and pairs of neighbouring words that occur in two or
        more of them, which can be names or addresses. With ``track_examples=True``,
        ``example_history.npz`` has the hash of each text and what training recorded of it.
        ``bertsent.json`` has the parameters, such as the path in `model`.

        Parameters
        ----------
        repo_id : str
            Name of the model on the hub, such as ``"user/tickets"``. It is created if it does not
            exist.
        private : bool or None, default=None
            Whether a new model is private. None means what your account or organization prefers.
        evaluation : Evaluation or None, default=None
            Result of `evaluate` on a test, for the card. By default, the card has the metrics of
            the held-out texts of training, if there were any.
        int8 : bool, default=False
            As in `save_pretrained`.
        commit_message : str or None, default=None
            Message of the commit on the hub.
        token : str, bool or None, default=None
            Token of the hub. None means the one with which you logged in (``hf auth login``).

        Returns
        -------
        url : str
            Address of the model.

        Raises
        ------
        huggingface_hub.errors.HfHubHTTPError
            The hub refuses the upload, for example because you may not write there.
        TypeError
            `evaluation` is not a result of `evaluate`.
        ValueError
            `private` is true, and the model exists and is public; or `evaluation` is that of a
            model with another task or other labels. Nothing is uploaded.
        """
        from bertsent.classifier.publishing import push_to_hub

        return push_to_hub(
            self, repo_id, private=private, evaluation=evaluation, int8=int8,
            commit_message=commit_message, token=token,
        )

    @classmethod
    def from_pretrained(
        cls, name_or_dir: str | PathLike[str], *, revision: str | None = None
    ) -> Self:
        """Load a fitted estimator.

        Parameters
        ----------
        name_or_dir : str or path-like
            A directory that `save_pretrained` wrote, or the id of a model on the Hugging Face hub.
            A model that was saved by transformers can be loaded too. Its labels are the names in
            ``id2label``, and it reads the beginning of long texts, as transformers does: as many
            tokens as ``model_max_length`` of its tokenizer says, but not more than it has
            positions.
        revision : str or None, default=None
            Branch, tag or commit on the hub.

        Returns
        -------
        estimator : BertClassifier or BertRegressor
            Of the class whose method this is.

        Raises
        ------
        CheckpointError
            The files are damaged, or contain no such estimator.
        ModelNotFoundError
            There is no such model, or it cannot be downloaded.
        """
        return cls._open(name_or_dir, revision)

    @classmethod
    def _open(
        cls, name_or_dir: str | PathLike[str], revision: str | None = None, *, tell: bool = True
    ) -> Self:
        """See `from_pretrained`. `tell` is as for `Fitted.open`."""
        fitted, parameters = _open_fitted(name_or_dir, cls._problem_types, revision, tell=tell)
        known = cls._get_param_names()
        classifier = cls(**{name: parameters[name] for name in known if name in parameters})
        for name in DEFAULTS.keys() & parameters.keys() - set(known):
            setattr(classifier, name, parameters[name])  # a subclass with fewer parameters
        classifier._fitted = fitted
        return classifier

    def explain(
        self,
        X: Texts,
        *,
        method: Literal["integrated_gradients", "occlusion"] = "integrated_gradients",
        target: Any = None,
        tolerance: float = 0.05,
        n_words: int | None = None,
    ) -> Explanations:
        """Compute what each word of a text adds to its prediction.

        What is explained is a sum of logits, so the scores of words add up: the log-odds of the
        target (with several classes, its log-probability minus the mean of those of the others; of
        a label, the log-odds of having it), or the predicted number. A word with a positive score
        supports the target. Members, and the model of words, count as in the vote, but their
        log-odds are averaged, not their probabilities. Temperatures of a calibration, which divide
        all scores of a text alike, are left out.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        method : {"integrated_gradients", "occlusion"}, default="integrated_gradients"
            "integrated_gradients" follows the gradient from a text of which all words are
            ``[MASK]`` to the text (Sundararajan, Taly and Yan 2017). It takes the time of some
            dozen predictions, and the scores of a text add up to the difference of both outputs.
            "occlusion" masks one word at a time, with as many predictions as there are words. It
            misses what several words say alike. In int8, gradients are computed in float32.
        target : object, default=None
            The class, label or name of a number to explain in all texts. None means what is
            predicted for each: the class, or the most probable of several labels.
        tolerance : float, default=0.05
            Above 0, up to 1. Gradients are computed at more places until the sum of the scores of a
            text is so near to what it should be, as a share of the sum of all scores without their
            signs; at most at 257 places. ``error`` of an explanation is what was reached. The
            default ranks words as much smaller ones do (docs/explain.md).
        n_words : int or None, default=None
            Occlusion: number of words of each text to mask, those with the largest scores by
            integrated gradients. The scores of these are exactly those of occlusion, and there are
            no others. None masks all words, one by one, which takes long.

        Returns
        -------
        Explanations
            A sequence with an `Explanation` of each text. It shows coloured texts in a notebook,
            prints texts with marks, and becomes a table by ``to_frame()``.

        Raises
        ------
        TypeError
            An item is not a text.
        ValueError
            `X` is empty, a text has no words, `target` is not known, a parameter is not allowed,
            or the model has no mask token.

        See Also
        --------
        similar : Training texts that the model sees as similar.

        Examples
        --------
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> found = clf.explain(["The invoice is wrong."])
        >>> list(found.to_frame().columns)
        ['row', 'target', 'word', 'start', 'end', 'score']
        >>> found[0].words, found[0].target
        (['The', 'invoice', 'is', 'wrong', '.'], 'billing')
        """
        from bertsent.classifier.explaining import explain

        return explain(predictor(self), X, method, target, tolerance, self.verbose, n_words)

    def similar(self, X: Texts, X_train: Texts, n: int = 5) -> pd.DataFrame:
        """Find the training texts that the model sees as most similar to each text.

        Texts are compared by the cosine of their vectors, which the classification layer reads
        (those of the first member).

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        X_train : list, Series, array or table
            Texts of the same kind to choose from.
        n : int, default=5
            Number of texts to find for each, at most all.

        Returns
        -------
        DataFrame
            For each text, the most similar first: ``row`` and ``similar_row`` (their numbers in `X`
            and `X_train`, or their index labels), ``similarity`` (a cosine, -1 to 1) and ``text``,
            the similar text. For pairs also ``text_pair``.

        Raises
        ------
        TypeError, ValueError
            An item is not a text, there are no texts, or `n` is not a whole number from 1.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> train = pd.read_csv("tickets.csv")
        >>> found = clf.similar(["The invoice is wrong."], train["text"], n=3)
        >>> list(found.columns), len(found)
        (['row', 'similar_row', 'similarity', 'text'], 3)
        """
        from bertsent.classifier.neighbours import find_neighbours

        return find_neighbours(predictor(self), X, X_train, n, self.verbose)

    def seen_in_training(self, X: Texts) -> npt.NDArray[np.bool_]:
        """Return which texts the classifier was trained on.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.

        Returns
        -------
        seen : ndarray of bool, shape (n_texts,)
        """
        return predictor(self).seen_in_training(X)

    def __getattr__(self, name: str) -> Any:
        """Return the default of a parameter that a subclass neither has nor passes on."""
        if name in DEFAULTS:
            return DEFAULTS[name]
        return self.__getattribute__(name)  # raises the error that led here

    @classmethod
    def _get_param_names(cls) -> list[str]:
        names = super()._get_param_names()
        kinds = [each.kind for each in signature(cls.__init__).parameters.values()]
        if Parameter.VAR_KEYWORD in kinds:
            # scikit-learn would take a subclass that passes on keywords for one without parameters,
            # and lose them in clone.
            names = sorted({*names, *cls._own_parameters})
        return list(names)

    def _checked_parameters(self) -> dict[str, Any]:
        parameters = all_parameters(self)
        check_parameters(parameters)
        return parameters


def _most_epochs(parameters: Mapping[str, Any]) -> int | None:
    """Return the number of epochs of all members at most; None if training decides it."""
    members = member_parameters(dict(parameters))
    decided = [own["time_budget"] is not None or own["few_shot"] for own in members]
    if any(decided) or not all(isinstance(own["epochs"], int) for own in members):
        return None
    return sum(int(own["epochs"]) for own in members)


def check_fitted(estimator: object) -> Fitted:
    """Return what a fitted estimator learned.

    Raises
    ------
    TypeError
        It is something else, such as a pipeline with an estimator.
    NotFittedError
        It is not fitted.
    """
    if not isinstance(estimator, BertEstimator):
        advice = ""
        if hasattr(estimator, "steps"):
            advice = "; pass pipeline[-1] and the texts that this step gets"
        elif hasattr(estimator, "best_estimator_"):
            advice = "; pass its best_estimator_"
        raise TypeError(
            f"expected a fitted BertClassifier or BertRegressor, not {type(estimator).__name__}"
            f"{advice}"
        )
    check_is_fitted(estimator)
    return cast(Fitted, estimator._fitted)


def predictor(estimator: BertEstimator, abstain: float | None = None) -> Predictor:
    """Return the `Predictor` of a fitted estimator, with its current parameters.

    Errors are as for `check_fitted`.
    """
    return check_fitted(estimator).under(all_parameters(estimator), abstain)


def _open_fitted(
    name_or_dir: str | PathLike[str], problem_types: Sequence[str], revision: str | None = None,
    *, tell: bool = True,
) -> tuple[Fitted, dict[str, Any]]:
    """Return what `Fitted.open` does, given the name of a model."""
    directory = resolve_directory(name_or_dir, revision=revision)
    with hold_directory(directory):
        return Fitted.open(directory, name_or_dir, problem_types, tell=tell)


def open_predictor(
    name_or_dir: str | PathLike[str], changed: Mapping[str, Any], abstain: float | None = None
) -> Predictor:
    """Return the `Predictor` of a saved estimator, with other values of some parameters.

    Parameters
    ----------
    name_or_dir : str or path-like
    changed : dict
        The new values, also for members that have their own.
    abstain : float or None, default=None
        As in `BertClassifier.predict`.
    """
    fitted, saved = _open_fitted(
        name_or_dir, tuple(OBJECTIVES), tell="max_length" not in changed
    )
    if changed.get("inference_long_text") not in (None, "windows"):
        changed = {**changed, "stride": 0}  # what windows share does not matter
    parameters: dict[str, Any] = {**DEFAULTS, **saved, **changed}
    # What decides is replaced, not only if it is of the same kind as what was saved.
    if "decision_threshold" in changed and "cost_matrix" not in changed:
        parameters["cost_matrix"] = DEFAULTS["cost_matrix"]
    if changed.get("cost_matrix") is not None and "decision_threshold" not in changed:
        parameters["decision_threshold"] = DEFAULTS["decision_threshold"]
    if is_list(parameters["members"]):
        parameters["members"] = [
            {name: value for name, value in own.items() if name not in changed}
            for own in parameters["members"]
        ]
    shared = max(own["stride"] for own in member_parameters(parameters))
    if "max_length" in changed and shared > changed["max_length"] - 3:
        raise ValueError(
            f"{spell('max_length', changed['max_length'])} is too small: this model reads long "
            f"texts in windows that share {shared} tokens; expected at least {shared + 3}"
        )
    return fitted.under(parameters, abstain)


def all_parameters(estimator: BertEstimator) -> dict[str, Any]:
    """Return the value of each parameter, also if the estimator has fewer."""
    return {name: getattr(estimator, name) for name in sorted(DEFAULTS)}  # as get_params does
