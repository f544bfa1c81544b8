"""The state of a fitted classifier: one object that predicts, is saved and is opened again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from numbers import Integral
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bertsent.classifier.declaration import PROBABILITY
from bertsent.classifier.members import member_parameters
from bertsent.classifier.opening import (
    describe_lack,
    foreign_settings,
    load_member,
    load_model,
    load_tokenizer,
    train_instead,
    warn_of_unused,
)
from bertsent.classifier.parameters import DEFAULTS, check_parameters
from bertsent.classifier.settings import (
    SETTINGS_FILE,
    check_parts,
    flag,
    of_members,
    optional,
    read_history,
    read_names,
    read_settings,
    row,
    saved,
    table,
    write_names,
    write_settings,
)
from bertsent.classifier.words import WordModel
from bertsent.errors import CheckpointError
from bertsent.files import Field
from bertsent.hub import identify_parameters, save_member, save_model_directory
from bertsent.model import (
    BertForSequenceClassification,
    encode_texts,
    pool_pieces,
    resolve_precision,
    score_pieces,
)
from bertsent.objectives import OBJECTIVES, Objective, objective_from_json, objective_to_json
from bertsent.system import check_interrupts, checking_interrupts, interruptible, resolve_n_threads
from bertsent.texts import (
    Reader,
    Windows,
    are_pairs,
    check_feature_names,
    check_texts,
    count_tokens,
    describe_sort,
    feature_names,
    hash_texts,
    in_memory,
    name_texts,
    row_labels,
    sum_pairs,
)
from bertsent.tokenizer import Tokenizer
from bertsent.training import ExampleHistory, Seeds
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import pandas as pd

    from bertsent._core import ArrowTexts
    from bertsent.texts import Labels, Text, Texts

Parameters = dict[str, Any]
Report = Callable[[float], None]

_interruptible = interruptible("prediction was interrupted")


@dataclass
class Moments:
    """The state from which `partial_fit` continues.

    Parameters
    ----------
    exp_avg, exp_avg_sq : float32 ndarray
        The moments of AdamW.
    seeds : Seeds
        Seeds of all calls.
    reached : tuple of two int, default=(0, 0)
        Number of steps since they were zero, at the end of the last call, and the number that the
        engine had counted by then, which it does for each object anew.
    """

    exp_avg: npt.NDArray[np.float32]
    exp_avg_sq: npt.NDArray[np.float32]
    seeds: Seeds
    reached: tuple[int, int] = (0, 0)

    @property
    def step(self) -> int:
        """Number of steps since they were zero, at the end of the last call."""
        return self.reached[0]

    def copy_with(
        self, model: BertForSequenceClassification
    ) -> tuple[BertForSequenceClassification, Moments]:
        """Copy them and their model, as they are between two steps of another thread."""
        exp_avg, exp_avg_sq = np.empty_like(self.exp_avg), np.empty_like(self.exp_avg_sq)
        step, counted = self.reached
        copied, now = model._copy((self.exp_avg, self.exp_avg_sq), (exp_avg, exp_avg_sq))
        return copied, Moments(exp_avg, exp_avg_sq, self.seeds, (step + now - counted, 0))


def _length(field: Field) -> int:
    return field.whole(3)


def _no_hashes() -> npt.NDArray[np.uint64]:
    return np.empty(0, dtype=np.uint64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """The state of a fitted classifier.

    Most fields are attributes of `BertClassifier`, with an underscore at the end of the name; its
    docstring describes them. The parameters are not part of the state, because those of
    prediction may change after `fit`: see `under`.

    Parameters
    ----------
    models, tokenizer, learning_rate, precision, history, evaluations, best_step, max_length, \
    plan, teachers, training_rows, validation_rows
        Attributes of `BertClassifier`.
    objective : Objective
        What the models learned, with the labels.
    frozen_layers : int, list of int or None
        Number of layers that were not trained, of each member if members have parameters of their
        own; None if a file of an earlier version does not say it.
    feature_names : list of str or None
        Names of the one or two columns of texts if X was a table.
    pairs : bool or None
        Whether the texts are pairs; None if that is unknown, in a model of another program.
    n_held_out : int or None
        Number of texts that were held out in training, on which `evaluations` were measured; None
        if there were none, or if it is not known.
    text_hashes : uint64 ndarray
        Hashes of the training texts, sorted.
    examples : ExampleHistory or None
        History of each text.
    moments : Moments or None
        State from which `partial_fit` continues; None after `fit`. It is pickled, but not saved.
    words : WordModel or None
        The linear model of words that votes with the others.
    name : str or None
        Name or directory of the models in errors, if they were opened and not trained here.
    """

    models: list[BertForSequenceClassification]
    tokenizer: Tokenizer
    objective: Objective = field(
        metadata=saved(objective_from_json, "labels", objective_to_json)
    )
    learning_rate: float | list[float] | None = field(
        metadata=saved(optional(of_members(Field.number)))
    )
    precision: str | None = field(default=None, metadata=saved(optional(Field.text)))
    history: list[dict[str, Any]] = field(metadata=saved(read_history()))
    evaluations: list[dict[str, Any]] = field(
        default_factory=list, metadata=saved(read_history("step"))
    )
    best_step: int | list[int | None] | None = field(
        default=None, metadata=saved(of_members(optional(Field.whole)))
    )
    max_length: int | list[int] = field(metadata=saved(of_members(_length)))
    frozen_layers: int | list[int] | None = field(
        default=None, metadata=saved(optional(of_members(Field.whole)), if_set=True)
    )
    plan: dict[str, Any] | None = field(default=None, metadata=saved(optional(row)))
    teachers: list[dict[str, Any]] | None = field(
        default=None, metadata=saved(optional(table), if_set=True)
    )
    feature_names: list[str] | None = field(
        default=None, metadata=saved(optional(read_names), "feature_name", write_names)
    )
    pairs: bool | None = field(default=False, metadata=saved(optional(flag)))
    n_held_out: int | None = field(
        default=None, metadata=saved(optional(Field.whole), "held_out_texts", if_set=True)
    )
    training_rows: npt.NDArray[np.int64] | None = None
    validation_rows: npt.NDArray[np.int64] | None = None
    text_hashes: npt.NDArray[np.uint64] = field(default_factory=_no_hashes)
    examples: ExampleHistory | None = None
    moments: Moments | None = None
    words: WordModel | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.moments is None:  # otherwise partial_fit may go on with the model
            for model in self.models:
                model._finish()

    @property
    def n_features_in(self) -> int:
        """Number of columns of X."""
        return 2 if self.pairs else 1

    @property
    def model(self) -> BertForSequenceClassification:
        """The first model."""
        return self.models[0]

    @property
    def word_weight(self) -> float | None:
        """The weight of the words in the vote; None if they do not vote."""
        return None if self.words is None else self.words.weight

    @property
    def classes(self) -> npt.NDArray[Any] | None:
        """The classes of y, sorted; None if y has no classes."""
        return self.objective.classes

    @property
    def thresholds(self) -> npt.NDArray[np.float64] | None:
        """The probability from which each label is predicted; None without labels."""
        found: npt.NDArray[np.float64] | None = getattr(self.objective, "used_thresholds", None)
        return found

    @property
    def calibration(self) -> float | npt.NDArray[np.float64] | None:
        """The temperature that was learned on held-out texts, or that of each label."""
        found: float | npt.NDArray[np.float64] | None
        found = getattr(self.objective, "calibration", None)
        return found

    @cached_property
    def example_history(self) -> pd.DataFrame | None:
        """The history of each text as a table."""
        return None if self.examples is None else self.examples.table()

    @cached_property
    def feature_names_in(self) -> npt.NDArray[Any]:
        """The names of the columns of texts; not defined if there were none."""
        if self.feature_names is None:
            raise AttributeError("feature_names_in_ is not defined: X in fit was not a table")
        return np.array(self.feature_names, dtype=object)

    def check_pairs(self, texts: Sequence[Text] | ArrowTexts) -> None:
        """Raise if texts are pairs and those in training were not, or the other way round."""
        if self.pairs is None or not len(texts) or are_pairs(texts) == self.pairs:
            return
        names = self.feature_names
        if self.pairs:
            columns = f"X[{names!r}]" if names else "two columns of texts or a list of pairs"
            python, command = f"pass {columns}", f"add {spell('text_pair_column')}"
        else:
            columns = f"X[{names[0]!r}]" if names else "one column of texts"
            python, command = f"pass {columns}", f"leave out {spell('text_pair_column')}"
        raise ValueError(
            f"X has {describe_sort(not self.pairs)}, but the model was trained on "
            f"{describe_sort(self.pairs)}; {phrase(python=python, command=command)}"
        )

    def check_columns(self, X: Texts, texts: Sequence[Text] | ArrowTexts) -> None:
        """Raise unless X has the columns that it had in training.

        Parameters
        ----------
        X : object
            Whatever a user passed. If it is a table, names of columns must match, as in
            scikit-learn.
        texts : list of str, list of pairs, or ArrowTexts
            The texts in it.
        """
        self.check_pairs(texts)
        check_feature_names(feature_names(X), self.feature_names)

    @classmethod
    def open(
        cls,
        directory: str | PathLike[str],
        name: object,
        problem_types: Sequence[str],
        *,
        tell: bool = True,
    ) -> tuple[Fitted, Parameters]:
        """Open a classifier that `save_files` wrote, or that another program saved.

        Parameters
        ----------
        directory : str or path-like
        name : object
            Name of the classifier in error messages.
        problem_types : sequence of str
            The problem types that are expected, keys of `OBJECTIVES`.
        tell : bool, default=True
            Whether to tell the user how many tokens of a text a classifier of another program
            reads.

        Returns
        -------
        fitted : Fitted
        parameters : dict
            The saved parameters of the classifier.

        Raises
        ------
        CheckpointError
            The files are damaged, or contain no fitted classifier.
        """
        settings = read_settings(directory, cls)
        if settings is not None:
            found = settings.fields["objective"].problem_type
            if found not in problem_types:
                raise CheckpointError(
                    f"{name} was trained for the problem type {found!r}, not "
                    f"{' or '.join(map(repr, problem_types))}"
                )
            problem_types = (found,)
        heads = tuple(dict.fromkeys(OBJECTIVES[each].head_type for each in problem_types))
        model, loaded = load_model(
            directory, name, problem_type=heads, instead=train_instead(name)
        )
        if loaded.fresh:
            raise CheckpointError(
                f"{name} is not a fitted classifier: {describe_lack(loaded)}; "
                + train_instead(name)
            )
        tokenizer = load_tokenizer(directory, model)
        if settings is None:
            settings = foreign_settings(name, model, tokenizer, tell=tell)
        warn_of_unused(name, loaded, settings.parameters.get("verbose", True))
        names = settings.fields["objective"].label_names
        known = [model.id2label[code] for code in range(model.num_labels)]
        if len(known) != len(names):
            raise CheckpointError(
                f"{directory}: the model has {len(known)} classes, "
                f"but {SETTINGS_FILE} names {len(names)}"
            )
        # Other names may be what somebody likes better, but another order is a mistake.
        if known != names and sorted(known) == sorted(names):
            raise CheckpointError(
                f"{directory}: config.json and {SETTINGS_FILE} name the classes in different "
                "orders; these files do not belong together"
            )
        further = range(2, settings.members + 1)
        models = [model, *(load_member(directory, number, model) for number in further)]
        check_parts(directory, settings, tokenizer)
        words = None
        if settings.words is not None:
            words = WordModel.open(directory, settings.words, len(names))
        fitted = cls(
            models=models, tokenizer=tokenizer, words=words, name=str(name), **settings.fields
        )
        fitted.check_lengths(settings.parameters, directory)
        return fitted, settings.parameters

    def check_lengths(self, parameters: Parameters, directory: str | PathLike[str]) -> None:
        """Raise a CheckpointError if files ask for more positions than the models have."""
        # The length that was used in training, and that of the parameters.
        used = self.under(DEFAULTS | parameters | {"max_length": "auto", "members": 1})
        now = self.under(DEFAULTS | parameters)
        try:
            for number in range(len(self.models)):
                used.reader(number)
                now.reader(number)
        except ValueError as error:
            raise CheckpointError(f"{directory}: {error}") from None

    def save_files(
        self, directory: str | PathLike[str], parameters: Parameters, *, int8: bool = False
    ) -> None:
        """Write all files into an existing directory, one by one.

        Parameters
        ----------
        directory : str or path-like
        parameters : dict
            Parameters of the classifier.
        int8 : bool, default=False
            As in `BertClassifier.save_pretrained`.
        """
        model, flat = self.model, self.model._settled()
        save_model_directory(
            directory, model._config, model._engine, flat, tokenizer=self.tokenizer, int8=int8
        )
        identities = [identify_parameters(flat)]
        for number, member in enumerate(self.models[1:], 2):
            flat = member._settled()
            save_member(directory, number, member._config, member._engine, flat, int8=int8)
            identities.append(identify_parameters(flat))
        write_settings(directory, self, parameters, identities)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))  # another thread may add a cached property
        if self.moments is not None:
            model, state["moments"] = self.moments.copy_with(self.model)
            state["models"] = [model]
        return state

    def under(self, parameters: Parameters, abstain: float | None = None) -> Predictor:
        """Return an object that predicts with the given parameters of a classifier."""
        return Predictor(self, parameters, abstain)


@dataclass(frozen=True, eq=False)
class Predictor:
    """A `Fitted` with the parameters for prediction.

    Parameters
    ----------
    fitted : Fitted
    parameters : dict
        All parameters of `BertClassifier`.
    abstain : float or None, default=None
        Confidence below which nothing is predicted.
    """

    fitted: Fitted
    parameters: Parameters
    abstain: float | None = None

    @cached_property
    def objective(self) -> Objective:
        """What the models learned, with the parameters for prediction."""
        objective = self.fitted.objective.under(self.parameters)
        if self.abstain is None:
            return objective
        if not PROBABILITY.accepts(self.abstain):
            raise ValueError(
                f"{spell('abstain', self.abstain)} is not allowed; expected {PROBABILITY.allowed}"
            )
        return objective.abstaining(self.abstain)

    def check(self) -> str:
        """Check the parameters for prediction, and return its precision."""
        check_parameters(self.parameters)
        self.objective  # noqa: B018  # refuses parameters that it does not have
        for number in range(len(self.fitted.models)):
            self.reader(number)
        return resolve_precision(self.parameters["inference_precision"], "inference_precision")

    def reader(
        self, number: int = 0, *, inference: bool = True, pairs: bool | None = None
    ) -> Reader:
        """Return the reader of a model; raise if the model has too few positions.

        `pairs` says whether the texts are pairs. None means as in training.
        """
        all_parameters = member_parameters(self.parameters)
        # There are fewer than models if `members` was changed after `fit`.
        parameters = all_parameters[min(number, len(all_parameters) - 1)]
        if isinstance(parameters["max_length"], str):
            length = self.fitted.max_length
            if isinstance(length, list):
                length = length[number]
            parameters = parameters | {"max_length": length}
        positions = self.fitted.models[number]._engine["max_position_embeddings"]
        special = self.fitted.tokenizer.num_special_tokens_to_add(
            bool(self.fitted.pairs if pairs is None else pairs)
        )
        return Reader.of(parameters, positions, inference=inference, special=special)

    def texts(self, X: Texts, *, arrow: bool = True) -> list[Text] | ArrowTexts:
        """Return the texts to score, after checking X; `arrow` is as for `check_texts`."""
        X = in_memory(X)  # a stream can be read only once
        texts = check_texts(X, "X", arrow=arrow, strip=self.parameters["strip_html"])
        self.fitted.check_columns(X, texts)
        return texts

    @_interruptible
    def logits(self, X: Texts, report: Report | None = None) -> npt.NDArray[np.float32]:
        """Compute the logits of texts; those of several models are combined.

        Parameters
        ----------
        X : list, Series or array of str
            The texts.
        report : callable or None, default=None
            Called with the fraction of the work that is done.

        Returns
        -------
        float32 ndarray of shape (n_texts, n_outputs)
        """
        return self._score(X, report, pool=False)[0]

    @_interruptible
    def logits_and_vectors(
        self, X: Texts, report: Report | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Compute `logits` and, in the same pass, the pooled vectors of the first model.

        Returns
        -------
        logits : float32 ndarray of shape (n_texts, n_outputs)
        vectors : float32 ndarray of shape (n_texts, hidden_size)
            What the head reads (`BertForSequenceClassification.pool_packed`), not normalized. Of
            a text in windows, the mean that its logits are of those of the windows.
        """
        logits, vectors = self._score(X, report, pool=True)
        assert vectors is not None
        return logits, vectors

    @_interruptible
    def vectors(
        self, X: Texts, member: int = 0, report: Report | None = None
    ) -> npt.NDArray[np.float32]:
        """Compute the pooled vectors of one model, as `logits_and_vectors` does; see `encode`."""
        precision, count = self.check(), len(self.fitted.models)
        if isinstance(member, bool) or not isinstance(member, Integral) or not 0 <= member < count:
            one = "is 1 model" if count == 1 else f"are {count} models"
            raise ValueError(
                f"{spell('member', member)} is not allowed; expected a whole number from 0 to "
                f"{count - 1}, because there {one}"
            )
        texts, number = self.texts(X), int(member)
        with name_texts(_name_in_x):
            return encode_texts(
                self.fitted.models[number], self.fitted.tokenizer, texts,
                self.reader(number, pairs=are_pairs(texts)),
                resolve_n_threads(self.parameters["n_threads"]),
                partial(_report_member, report, 0, 1), precision=precision,
                memory_limit=self.parameters["memory_limit"],
            )

    def _score(
        self, X: Texts, report: Report | None, *, pool: bool
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
        precision = self.check()
        n_threads = resolve_n_threads(self.parameters["n_threads"])
        X = in_memory(X)
        texts = self.texts(X)
        models, opinions = self.fitted.models, []
        last = vectors = None
        for number, model in enumerate(models):
            reader = self.reader(number, pairs=are_pairs(texts))
            if reader != last:
                check_interrupts()
                with name_texts(_name_in_x):
                    tokens = reader.encode(self.fitted.tokenizer, texts, n_threads)
                windows, last = Windows.of(tokens), reader
            given = (
                model, tokens.ids, tokens.offsets, n_threads,
                partial(_report_member, report, number, len(models)),
            )
            how = {
                "types": tokens.token_type_ids, "precision": precision,
                "memory_limit": self.parameters["memory_limit"],
            }
            try:
                if pool and number == 0:
                    logits, vectors = pool_pieces(*given, **how)
                else:
                    logits = score_pieces(*given, **how)
            except FloatingPointError as error:
                where = "" if self.fitted.name is None else f"{self.fitted.name}: "
                raise FloatingPointError(f"{where}{error}") from None
            opinions.append(logits if windows is None else windows.mean(logits))
            if number == 0 and vectors is not None and windows is not None:
                vectors = windows.mean(vectors)
        if self.fitted.words is not None and not isinstance(texts, list):
            texts = check_texts(X, "X", strip=self.parameters["strip_html"])
        return self.vote(opinions, texts), vectors

    def vote(
        self, opinions: list[npt.NDArray[np.float32]], texts: Sequence[Text] | ArrowTexts
    ) -> npt.NDArray[np.float32]:
        """Combine the logits of all models, and those of the words.

        Parameters
        ----------
        opinions : list of float32 ndarray of shape (n_texts, n_outputs)
        texts : list of str, list of pairs, or ArrowTexts
            The words need a list.
        """
        objective, words = self.objective, self.fitted.words
        logits = opinions[0] if len(opinions) == 1 else objective.combine(opinions)
        if words is None:
            return logits
        assert isinstance(texts, list)
        return words.vote(objective, logits, texts)

    @_interruptible
    def predict(self, X: Texts) -> Any:
        """Return the prediction for each text, in the type of y; a table has the index of X."""
        found: Any = self.objective.predict(self.logits(X))
        index = row_labels(X)
        if index is not None and hasattr(found, "set_axis"):
            found = found.set_axis(index, axis=0)
        return found

    @_interruptible
    def predict_proba(self, X: Texts) -> npt.NDArray[np.float64]:
        """Return the probability of each class, as float64."""
        return self.objective.predict_proba(self.logits(X))

    @_interruptible
    def decision_function(self, X: Texts) -> npt.NDArray[np.float32]:
        """See `BertClassifier.decision_function`."""
        return self.objective.decision_function(self.logits(X))

    @_interruptible
    def score(
        self, X: Texts, y: Labels, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """See `BertClassifier.score`."""
        logits, y = self.logits(X), in_memory(y, "y")
        if not len(logits):
            raise ValueError("X is empty; there is nothing to score")
        return self.objective.score(logits, y, sample_weight)

    @_interruptible
    def table(
        self, X: Texts, report: Report | None = None, decimals: int | None = None
    ) -> dict[str, Any]:
        """Return the columns of `Objective.prediction_table`. Parameters are as for `logits`."""
        return self.objective.prediction_table(self.logits(X, report), decimals)

    @_interruptible
    def count_tokens(self, X: Texts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the number of tokens of each text, and of those that are read."""
        totals, reader = self.lengths(X)
        return sum_pairs(totals), reader.tokens_read(totals)

    def lengths(self, X: Texts, number: int = 0) -> tuple[npt.NDArray[np.int64], Reader]:
        """Return what `bertsent.texts.count_tokens` does, and the reader of a model."""
        self.check()
        texts = self.texts(X)
        n_threads = resolve_n_threads(self.parameters["n_threads"])
        with name_texts(_name_in_x):
            totals = count_tokens(self.fitted.tokenizer, texts, n_threads)
        return totals, self.reader(number, pairs=are_pairs(texts))

    @_interruptible
    def seen_in_training(self, X: Texts) -> npt.NDArray[np.bool_]:
        """Return which texts the models were trained on."""
        texts = self.texts(X, arrow=False)
        assert isinstance(texts, list)
        return np.isin(hash_texts(checking_interrupts(texts)), self.fitted.text_hashes)


def _name_in_x(number: int) -> str:
    return f"X[{number}]"


def _report_member(report: Report | None, number: int, members: int, part: float) -> None:
    """Report the fraction of all work, given that of one member."""
    if report is not None:
        report((number + part) / members)
    check_interrupts()
