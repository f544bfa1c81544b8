"""Count the work of a training run and measure the speed of the machine, as the basis of plans."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bertsent.classifier.few_shot import usual_passes
from bertsent.model import attended, estimate, limit_training, measure_rates
from bertsent.texts import Reader, are_pairs
from bertsent.training import expects_cache

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.plan import Rung
    from bertsent.model import BertForSequenceClassification, PassTokens, Rates
    from bertsent.texts import Text
    from bertsent.tokenizer import Tokenizer
    from bertsent.training import TrainingOptions


@dataclass(frozen=True)
class Work:
    """The texts of a training run, whatever settings are chosen.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier.
    positions, hidden_size : int
        Number of positions and hidden size of the model.
    step_size : int
        Number of texts per step.
    train, validation : ndarray of int
        Number of tokens in each text, without special tokens, as `Reader.count` returns them.
    test : ndarray of int
        The same for the test texts.
    most_tokens : int
        Number of tokens of a micro-batch in training.
    caches : callable
        Called with a rung and the numbers of sequences and tokens of an epoch; returns whether
        frozen layers will be computed only once.
    special : int, default=2
        Number of special tokens of a sequence.
    learns_held_out : bool, default=False
        Whether the held-out texts, if there are any, are scored once more after training.
    """

    parameters: dict[str, Any]
    positions: int
    hidden_size: int
    step_size: int
    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    most_tokens: int
    caches: Callable[[Rung, int, int], bool]
    special: int = 2
    learns_held_out: bool = False

    def sequences(
        self, totals: npt.NDArray[np.int64], max_length: int, *, inference: bool = False
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the tokens of each sequence of such texts, and the first sequence of each text."""
        return self._reader(max_length, inference=inference).sequence_lengths(totals)

    def read(self, max_length: int) -> npt.NDArray[np.int64]:
        """Return how many tokens of each training text are read."""
        return self._reader(max_length).tokens_read(self.train)

    def _reader(self, max_length: int, *, inference: bool = False) -> Reader:
        return Reader.of(
            self.parameters | {"max_length": max_length}, self.positions, inference=inference,
            special=self.special,
        )

    def job(self, rung: Rung) -> dict[str, Any]:
        """Return the work with the settings of a rung, in the form that `estimate` takes."""
        lengths, first = self.sequences(self.train, rung.max_length)
        of_texts = np.add.reduceat(lengths, first[:-1])
        validation, test = (
            int(self.sequences(totals, rung.max_length, inference=True)[0].sum())
            if len(totals) else 0
            for totals in (self.validation, self.test)
        )
        steps = rung.epochs * math.ceil(len(self.train) / self.step_size)
        every = self.parameters["eval_every"]
        evaluations = rung.epochs + (steps // every if every else 0)
        evaluations += self.learns_held_out
        return {
            "cached": self.caches(rung, len(lengths), int(lengths.sum())),
            "train_texts": len(self.train),
            "train_tokens": int(lengths.sum()),
            "train_tokens_twice": self._tokens_twice(of_texts),
            "attended": attended(lengths),
            "validation_tokens": validation,
            "evaluations": evaluations * bool(validation),
            "test_tokens": test,
            "predicted_tokens": int(lengths.sum()) + validation + test,
        }

    def _tokens_twice(self, of_texts: npt.NDArray[np.int64]) -> int:
        """Return how many tokens of an epoch go forward twice: what is more than a micro-batch.

        This is true of a text or, from few labels, of the texts of a step.
        """
        if not self.parameters.get("few_shot"):
            return int(of_texts[of_texts > self.most_tokens].sum())
        steps = math.ceil(len(of_texts) / self.step_size)
        parts = math.ceil(int(of_texts.sum()) / steps / self.most_tokens)
        return steps * (parts - 1) * self.most_tokens

    def seconds(self, rung: Rung, rates: Rates) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the times from `estimate` for a rung, and the job."""
        job = self.job(rung)
        row = rates.at(job["attended"], rung.freeze)
        found = estimate(row, job, rung.epochs, self.step_size, cached=job["cached"])
        return found, job


def survey_work(
    rungs: list[Rung],
    model: BertForSequenceClassification,
    tokenizer: Tokenizer,
    options: TrainingOptions,
    parameters: dict[str, Any],
    texts: Sequence[Text],
    validation: Sequence[Text],
    test: Sequence[Text] = (),
    *,
    n_threads: int,
    seconds: float,
    learns_held_out: bool,
) -> tuple[list[Rung], Work, Rates]:
    """Count the texts, and measure the model on this machine.

    Parameters
    ----------
    rungs : list of Rung
        The settings that can be chosen.
    model : BertForSequenceClassification
        It is not changed.
    tokenizer : Tokenizer
    options : TrainingOptions
        Only precisions and step size are used.
    parameters : dict
        Parameters of the classifier.
    texts, validation, test : list of str, or of pairs
        Training texts, held-out texts and test texts.
    n_threads : int
    seconds : float
        Approximate time for the measurements.
    learns_held_out : bool
        As for `Work`.

    Returns
    -------
    rungs : list of Rung
        Those for which there is enough memory.
    work : Work
    rates : Rates
    """
    positions = model._engine["max_position_embeddings"]
    special = tokenizer.num_special_tokens_to_add(are_pairs(texts))
    longest = max(rung.max_length for rung in rungs)
    reader, inference_reader = (
        Reader.of(
            parameters | {"max_length": longest}, positions, inference=inference, special=special
        )
        for inference in (False, True)
    )
    trained, scored, tested = (
        how.count(tokenizer, list(some), n_threads)
        for how, some in (
            (reader, texts), (inference_reader, validation), (inference_reader, test)
        )
    )
    most_tokens = model._core.part_tokens(options.precision)[0]

    def caches(rung: Rung, sequences: int, tokens: int) -> bool:
        mine = replace(options, epochs=rung.epochs, freeze=rung.freeze)
        return expects_cache(
            parameters["frozen_cache"], mine, model._engine, sequences, tokens
        )

    work = Work(
        parameters, positions, model._engine["hidden_size"], options.step_size, trained, scored,
        tested, most_tokens, caches, special, learns_held_out,
    )
    rungs, passes = _within_memory(rungs, work, model, options, n_threads)
    work = replace(work, most_tokens=passes.training or most_tokens)
    freezes = sorted({rung.freeze for rung in rungs})
    lengths = sorted({rung.max_length for rung in rungs})
    jobs = dict.fromkeys(
        [(lengths[-1], freezes[0]), (lengths[0], freezes[0]), (lengths[-1], freezes[-1])]
    )
    rates = measure_rates(
        model,
        [(work.sequences(work.train, length)[0], freeze) for length, freeze in jobs],
        precision=options.precision,
        inference_precision=options.inference_precision or options.precision,
        n_threads=n_threads, passes=passes, seconds=seconds,
    )
    return rungs, work, rates


def memory_options(
    rung: Rung, work: Work, options: TrainingOptions, n_threads: int
) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """Return the lengths and options of `training_memory` for a rung."""
    lengths, first = work.sequences(work.train, rung.max_length)
    inference = options.inference_precision
    scored = []
    if len(work.validation):
        scored.append(work.sequences(work.validation, rung.max_length, inference=True)[0])
    if work.parameters.get("few_shot"):  # the head is fitted to vectors of the training texts
        scored.append(lengths)
        inference = inference or options.precision
    best = work.parameters["early_stopping"] or work.parameters["time_budget"] is not None
    return lengths, {
        "batch_size": int(np.sort(np.diff(first))[-work.step_size :].sum()),
        "freeze": rung.freeze,
        "n_threads": n_threads,
        "validation": np.concatenate(scored) if scored else None,
        "keeps_best": bool(best) and len(work.validation) > 0,
        "precision": options.precision,
        "inference_precision": inference or "float32",
    }


def _within_memory(
    rungs: list[Rung],
    work: Work,
    model: BertForSequenceClassification,
    options: TrainingOptions,
    n_threads: int,
) -> tuple[list[Rung], PassTokens]:
    """Return the rungs that fit into memory_limit, and the tokens per pass of the first one."""
    kept, passes = [], []
    problem: ValueError | None = None
    for rung in rungs:
        lengths, how = memory_options(rung, work, options, n_threads)
        try:
            passes.append(limit_training(
                model, work.parameters["memory_limit"], lengths,
                unlimited=usual_passes(work.parameters), **how,
            ))
            kept.append(rung)
        except ValueError as error:
            problem = error
    if problem is not None and not kept:
        raise problem
    return kept, passes[0]
