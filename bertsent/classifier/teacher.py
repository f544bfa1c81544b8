"""Distillation: what fitted classifiers say about the texts that another one is trained on.

A `Lesson` opens the teachers, scores the training texts once, and turns labels into the targets of
`Distillation`. With checkpoints, the scores are in a file beside them, so that a resumed run does
not score again. The student has no trace of its teachers but their names and hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertsent.classifier.fitted import Fitted
from bertsent.classifier.members import is_list
from bertsent.classifier.parameters import DEFAULTS
from bertsent.classifier.settings import identify_vocabulary
from bertsent.errors import CheckpointError
from bertsent.files import hold_directory
from bertsent.hub import identify_parameters, resolve_directory
from bertsent.model import measure_scoring
from bertsent.objectives import (
    UNLABELLED,
    Distillation,
    SingleLabelClassification,
    join_targets,
)
from bertsent.system import check_interrupts, expand_path, row_progress, warn
from bertsent.texts import (
    Labelled,
    abbreviate,
    are_pairs,
    check_alike,
    check_texts,
    check_training_texts,
    describe_sort,
    name_texts,
)
from bertsent.training import CheckpointFile, hash_parts, naming_damage, write_checkpoint
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Parameters, Predictor
    from bertsent.objectives import Objective
    from bertsent.texts import Labels, Reader, Text, Texts

# The file with the logits, in the directory of a run.
FILE = "teacher.safetensors"
# What a saved teacher may have learned; both have one class for each text.
_TEACHERS = ("single_label_classification", "ordinal_classification")
# The parameters that say how a student learns from a teacher.
HOW = ("distillation_loss", "temperature", "teacher_weight")


class Teacher(NamedTuple):
    """A fitted classifier from which another one learns.

    Attributes
    ----------
    name : str
        For people: the last part of the name of its directory or, if it was not saved, of its
        model.
    identity : str
        Hash of its weights, its tokenizer and how it reads texts.
    order : list of int
        Its outputs in the order of the student's classes.
    """

    name: str
    identity: str
    order: list[int]


class Lesson:
    """What teachers say about the texts of a run.

    Texts are numbered as `fit` was given them: first those with labels, then those without.

    Parameters
    ----------
    teachers : list of Teacher
    predictors : list of Predictor
        One for each teacher. They are released when the texts are scored.
    objective : Objective
        What the student is.
    n_labelled : int
        Number of texts with labels.
    given : list of str, or of pairs
        All texts as they were given, for the teachers.
    unlabelled : list of str, or of pairs
        The texts without labels, as the student reads them.

    Attributes
    ----------
    rows, logits : ndarray or None
        The numbers of the texts that were scored, and their logits.
    """

    def __init__(
        self,
        teachers: list[Teacher],
        predictors: list[Predictor],
        objective: SingleLabelClassification,
        n_labelled: int,
        given: list[Text],
        unlabelled: list[Text],
    ) -> None:
        self.teachers, self.predictors = teachers, predictors
        self.objective, self.n_labelled = objective, n_labelled
        self.given, self.unlabelled = given, unlabelled
        self.rows: npt.NDArray[np.int64] | None = None
        self.logits: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls, parameters: Parameters, objective: Objective, X: Texts, y: Labels, texts: list[Text],
        unlabelled: Texts | None, n_threads: int,
    ) -> Lesson | None:
        """Open the teachers that `parameters` name; None if there are none.

        Parameters
        ----------
        parameters : dict
            Parameters of the student.
        objective : Objective
        X, y
            The arguments of `fit`.
        texts : list of str, or of pairs
            `X`, as the student reads it.
        unlabelled : as X, or None
        n_threads : int

        Raises
        ------
        CheckpointError
            The files of a teacher are damaged, or contain no fitted classifier.
        ValueError
            A teacher is not fitted, or its classes are not those of the student, or only one of
            them reads pairs of texts.
        """
        if parameters["teacher"] is None:
            if unlabelled is not None:
                raise ValueError(
                    f"{spell('unlabelled')} needs {spell('teacher')}, a fitted classifier that "
                    "says what these texts are"
                )
            return None
        if not isinstance(objective, SingleLabelClassification):
            raise ValueError(
                f"{spell('teacher')} needs one label for each text, but y has "
                + ("several" if objective.classes is not None else "no classes")
            )
        # A teacher reads texts as it was told to, and not as the student is.
        strips = parameters["strip_html"]
        given = check_training_texts(X, y) if strips else texts
        more: list[Text] = []
        if unlabelled is not None:
            more = check_texts(unlabelled, "unlabelled", strip=strips)
            check_alike(more, "unlabelled", are_pairs(texts))
            given = [*given, *(check_texts(unlabelled, "unlabelled") if strips else more)]
        check_interrupts()
        of_run = {"n_threads": n_threads, "memory_limit": parameters["memory_limit"]}
        values = parameters["teacher"] if is_list(parameters["teacher"]) else [
            parameters["teacher"]
        ]
        opened = [_open(value, of_run, objective) for value in values]
        for teacher, predictor in opened:
            if predictor.fitted.pairs not in (None, are_pairs(texts)):
                raise ValueError(
                    f"{spell('teacher')}: {teacher.name!r} was trained on "
                    f"{describe_sort(not are_pairs(texts))}, but X has "
                    f"{describe_sort(are_pairs(texts))}"
                )
        return cls(
            [teacher for teacher, _ in opened], [predictor for _, predictor in opened], objective,
            len(texts), given, more,
        )

    @property
    def record(self) -> list[dict[str, str]]:
        """The names and hashes of the teachers, which are saved with the student."""
        return [{"name": teacher.name, "hash": teacher.identity} for teacher in self.teachers]

    @property
    def identity(self) -> dict[str, str]:
        """What must be the same when a run is resumed, apart from the logits."""
        return {
            "teacher": ",".join(teacher.identity for teacher in self.teachers),
            "unlabelled": hash_parts(self.unlabelled),
        }

    def describe(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entries of the lesson in the description of a run."""
        how = {name: parameters[name] for name in HOW}
        return {**self.identity, "teacher_logits": hash_parts(self.logits), **how}

    def name_text(self, row: int) -> str:
        """Return a text in words, given its number."""
        labelled = row < self.n_labelled
        return f"X[{row}]" if labelled else f"unlabelled[{row - self.n_labelled}]"

    def join(
        self, labelled: Labelled, held_out: Sequence[Text], tell: Callable[[str], None]
    ) -> Labelled:
        """Return labelled texts together with the texts without labels.

        Texts without labels that are among the labelled or the held-out texts are left out. Each
        of the others has the mean weight of the labelled texts.

        Parameters
        ----------
        labelled : Labelled
        held_out : sequence of str, or of pairs
        tell : callable
            Called with a line about texts that were left out.
        """
        fresh = self.fresh([*labelled.texts, *held_out])
        if len(fresh) < len(self.unlabelled):
            tell(
                f"{len(self.unlabelled) - len(fresh):,} of {len(self.unlabelled):,} unlabelled "
                "texts are not used: they are among the labelled or the held-out texts"
            )
        weights = labelled.weights
        if weights is not None:
            mean = weights.mean(dtype=np.float64)
            weights = np.append(weights, np.full(len(fresh), mean, np.float32))
        assert labelled.rows is not None
        none = np.full(len(fresh), UNLABELLED, np.int32)
        return Labelled(
            [*labelled.texts, *(self.unlabelled[n] for n in fresh)],
            np.append(labelled.targets, none), np.append(labelled.strata, none), weights,
            np.append(labelled.rows, self.n_labelled + np.array(fresh, np.int64)),
        )

    def fresh(self, known: Sequence[Text]) -> list[int]:
        """Return the numbers of the texts without labels that are not among `known` texts."""
        texts = set(known)
        return [n for n, text in enumerate(self.unlabelled) if text not in texts]

    def teach(
        self, labelled: Labelled, parameters: Mapping[str, Any], directory: Path | None,
        *, resume: bool, verbose: bool | int, tell: Callable[[str], None],
    ) -> tuple[Distillation, Labelled]:
        """Return what the student learns of some texts, and the texts with targets for it.

        Members of a classifier are trained on the same texts, which are scored once.

        Parameters
        ----------
        labelled : Labelled
            From `join`.
        parameters : dict
            Parameters of the student.
        directory : Path or None
            Directory of the run, in which logits are kept.
        resume : bool
            Whether logits may be read from there.
        verbose : bool or int
            Whether to show a bar.
        tell : callable
            Called with a line before texts are scored.
        """
        assert labelled.rows is not None
        if self.rows is None or not np.array_equal(self.rows, labelled.rows):
            path = None if directory is None else directory / FILE
            self.rows = labelled.rows
            record = self._record()
            self.logits = self._read(path, record) if path is not None and resume else None
            if self.logits is None:
                names = ", ".join(teacher.name for teacher in self.teachers)
                tell(f"{names} scores {len(self.rows):,} texts as the teacher")
                self.logits = self._score(verbose)
                if path is not None:
                    self._write(path, record)
            self.predictors.clear()
        assert self.logits is not None
        objective = Distillation(
            self.objective.labels, str(parameters["distillation_loss"]),
            float(parameters["temperature"]), float(parameters["teacher_weight"]),
        )
        return objective, labelled._replace(targets=join_targets(labelled.targets, self.logits))

    def estimate(self, rows: npt.NDArray[np.int64], seconds: float) -> float:
        """Estimate the seconds that scoring takes, measuring for about `seconds` seconds."""
        texts, total = self._texts(rows), 0.0
        for predictor, number in self._models():
            totals, reader = predictor.lengths(texts, number)
            lengths, _ = reader.sequence_lengths(totals)
            rate = measure_scoring(
                predictor.fitted.models[number], lengths, precision=predictor.check(),
                n_threads=predictor.parameters["n_threads"],
                seconds=seconds / sum(1 for _ in self._models()),
            )
            total += int(lengths.sum()) / rate
        return total

    @property
    def size(self) -> int:
        """Bytes of the teachers' weights."""
        return sum(p.fitted.models[number]._flat.nbytes for p, number in self._models())

    def _models(self) -> Iterator[tuple[Predictor, int]]:
        for predictor in self.predictors:
            for number in range(len(predictor.fitted.models)):
                yield predictor, number

    def _texts(self, rows: npt.NDArray[np.int64]) -> list[Text]:
        return [self.given[row] for row in rows]

    def _score(self, verbose: bool | int) -> npt.NDArray[np.float32]:
        """Return the mean opinion of all teachers; the mean over the classes is 0.

        A constant that is added to all logits of a text changes no probability, but it would
        matter to the squared error.
        """
        assert self.rows is not None
        texts, opinions, n_texts = self._texts(self.rows), [], len(self.rows)
        rows = self.rows
        with row_progress(verbose) as progress:
            progress.start(n_texts * len(self.teachers))
            for teacher, predictor in zip(self.teachers, self.predictors, strict=True):
                progress.begin(n_texts)
                with name_texts(lambda number: self.name_text(int(rows[number]))):
                    logits = predictor.logits(texts, progress.part)
                opinions.append(logits[:, teacher.order])
        together = opinions[0] if len(opinions) == 1 else self.objective.combine(opinions)
        exact = together.astype(np.float64)
        centred: npt.NDArray[np.float32] = (exact - exact.mean(axis=1, keepdims=True)).astype(
            np.float32
        )
        return centred

    def _record(self) -> dict[str, Any]:
        """Return what the file of the logits must say to be that of this lesson."""
        assert self.rows is not None
        shape = [len(self.rows), len(self.objective.classes)]
        return {"of": self.identity["teacher"], "texts": hash_parts(self._texts(self.rows)),
                "shape": shape}

    def _read(self, path: Path, record: dict[str, Any]) -> npt.NDArray[np.float32] | None:
        """Return the logits that an earlier part of the run has kept, or None."""
        if not os.path.lexists(path):
            return None
        try:
            file = CheckpointFile(path)
            with naming_damage(path):
                if file.record["lesson"] != record:
                    return None
                dtype, size = file.arrays["logits"]
                rows, columns = record["shape"]
                if dtype != np.float32 or size != rows * columns:
                    raise ValueError("the number of its logits is wrong")
                logits = file.read("logits").reshape(rows, columns)
                if not np.isfinite(logits).all():
                    raise ValueError("it has logits that are not finite")
        except CheckpointError as error:
            warn(f"{error}; the teacher scores the texts again", once=False)
            return None
        return logits

    def _write(self, path: Path, record: dict[str, Any]) -> None:
        assert self.logits is not None
        try:
            write_checkpoint(path, {"logits": self.logits.ravel()}, {"lesson": record})
        except OSError as error:
            warn(
                f"what the teacher says was not written, so a resumed run scores the texts again: "
                f"{error}", once=False,
            )


def _open(
    value: Any, of_run: Mapping[str, Any], objective: SingleLabelClassification
) -> tuple[Teacher, Predictor]:
    """Open a teacher: a fitted classifier, or the name of a saved one."""
    if isinstance(value, str | os.PathLike):
        directory = resolve_directory(value)
        with hold_directory(directory):
            fitted, saved = Fitted.open(directory, value, _TEACHERS, tell=False)
        parameters, named = DEFAULTS | saved, str(value)
    else:
        if value._fitted is None:
            raise ValueError(
                f"the {spell('teacher')} is not fitted; call its fit first, or pass the directory "
                "in which it was saved"
            )
        fitted = value._fitted
        parameters = {name: getattr(value, name) for name in DEFAULTS}
        named = fitted.name or str((fitted.plan or {}).get("model", parameters["model"]))
    name = Path(expand_path(named)).resolve().name
    predictor = fitted.under({**parameters, **of_run})
    ours, theirs = objective.label_names, fitted.objective.label_names
    if sorted(ours) != sorted(theirs):
        raise ValueError(
            f"{spell('teacher')}: {name!r} must have the classes of "
            + phrase(python="y", command="the labels") + _compare(ours, theirs)
        )
    order = [theirs.index(label) for label in ours]
    return Teacher(name, _identify(predictor), order), predictor


def _compare(ours: list[str], theirs: list[str]) -> str:
    """Return which classes only one side has, as the end of a sentence."""
    parts = []
    for who, some, others in (("the teacher lacks", ours, theirs), ("only it has", theirs, ours)):
        only = [abbreviate(label) for label in some if label not in others]
        if only:
            parts.append(f"{who} {', '.join(only[:5])}" + " and more" * (len(only) > 5))
    return f", but {' and '.join(parts)}"


def _describe_reader(reader: Reader) -> dict[str, Any]:
    described = asdict(reader)
    del described["special"]  # it follows from the tokenizer
    return described


def _identify(predictor: Predictor) -> str:
    fitted = predictor.fitted
    content: list[Any] = [
        [identify_parameters(model._settled()) for model in fitted.models],
        identify_vocabulary(fitted.tokenizer),
        [_describe_reader(predictor.reader(number)) for number in range(len(fitted.models))],
        [predictor.parameters[name] for name in ("strip_html", "inference_precision")],
    ]
    if fitted.words is not None:
        words = fitted.words
        content.append([hash_parts(words.terms, words.idf, words.coef, words.intercept),
                        words.weight])
    return hashlib.blake2b(json.dumps(content, default=str).encode(), digest_size=16).hexdigest()
