"""What there is to train on, and how fast that goes on this machine: the ground of every plan."""

import math
from dataclasses import dataclass

import numpy as np

from bertsent.long_text import Reader
from bertsent.memory import plan_training
from bertsent.speed import attended, estimate, measure_rates


@dataclass(frozen=True)
class Work:
    """What is to be trained on, whichever way.

    Parameters
    ----------
    parameters : dict
        Those of the classifier.
    positions : int
        Of the model.
    step_size : int
        Texts a step.
    train, validation : ndarray of int
        Tokens of each text, [CLS] and [SEP] not counted; those behind the largest max_length
        need not be.
    test : ndarray of int
        The same of what is tested on at the end.
    twice : int
        Texts of more tokens than this go forward twice in training.
    """

    parameters: dict
    positions: int
    step_size: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    twice: int

    def sequences(self, totals, max_length, *, inference=False):
        """Tokens of each sequence that such texts are, and the first sequence of each text."""
        reader = Reader.of(
            self.parameters | {"max_length": max_length}, self.positions, inference=inference
        )
        return reader.sequence_lengths(totals)

    def job(self, rung):
        """The work in the way of a rung, as `bertsent.speed.estimate` takes it."""
        lengths, first = self.sequences(self.train, rung.max_length)
        of_texts = np.add.reduceat(lengths, first[:-1])
        validation, test = (
            int(self.sequences(totals, rung.max_length, inference=True)[0].sum())
            if len(totals) else 0
            for totals in (self.validation, self.test)
        )
        steps = rung.epochs * math.ceil(len(self.train) / self.step_size)
        every = self.parameters["eval_every"]
        return {
            "train_texts": len(self.train),
            "train_tokens": int(lengths.sum()),
            "train_tokens_twice": int(of_texts[of_texts > self.twice].sum()),
            "attended": attended(lengths),
            "validation_tokens": validation,
            "evaluations": (rung.epochs + (steps // every if every else 0)) * bool(validation),
            "test_tokens": test,
            "predicted_tokens": int(lengths.sum()) + validation + test,
        }

    def seconds(self, rung, rates):
        """What that takes, as `bertsent.speed.estimate` tells, and the job."""
        job = self.job(rung)
        row = rates.at(job["attended"], rung.freeze)
        return estimate(row, job, rung.epochs, self.step_size), job


def survey(
    rungs, model, tokenizer, recipe, parameters, texts, validation, test=(), *, n_threads, seconds
):
    """Count the texts, and measure the model on this machine.

    Parameters
    ----------
    rungs : list of Rung
        What may be chosen.
    model : BertForSequenceClassification
        Stays as it is.
    tokenizer : WordPieceTokenizer
    recipe : Recipe
        Its precisions and step size count.
    parameters : dict
        Those of the classifier.
    texts, validation, test : list of str
        What is trained on, what is scored in between, and at the end.
    n_threads : int
    seconds : float
        For the measurements, about.

    Returns
    -------
    rungs : list of Rung
        Those that there is memory for.
    work : Work
    rates : Rates
    """
    positions = model.config["max_position_embeddings"]
    longest = max(rung.max_length for rung in rungs)
    reader, inference_reader = (
        Reader.of(parameters | {"max_length": longest}, positions, inference=inference)
        for inference in (False, True)
    )
    counts = (
        how.count(tokenizer, list(some), n_threads)
        for how, some in (
            (reader, texts), (inference_reader, validation), (inference_reader, test)
        )
    )
    twice = model._core.part_tokens(recipe.precision)[0]
    work = Work(parameters, positions, recipe.step_size, *counts, twice)
    rungs, plan = _within_memory(rungs, work, model, recipe, n_threads)
    freezes = sorted({rung.freeze for rung in rungs})
    lengths = sorted({rung.max_length for rung in rungs})
    jobs = dict.fromkeys(
        [(lengths[-1], freezes[0]), (lengths[0], freezes[0]), (lengths[-1], freezes[-1])]
    )
    rates = measure_rates(
        model,
        [(work.sequences(work.train, length)[0], freeze) for length, freeze in jobs],
        precision=recipe.precision,
        inference_precision=recipe.inference_precision or recipe.precision,
        n_threads=n_threads, plan=plan, seconds=seconds,
    )
    return rungs, work, rates


def memory_options(rung, work, recipe, n_threads):
    """Lengths and options of `bertsent.memory.count_training` for a rung."""
    lengths, first = work.sequences(work.train, rung.max_length)
    validation = None
    if len(work.validation):
        validation, _ = work.sequences(work.validation, rung.max_length, inference=True)
    best = work.parameters["early_stopping"] or work.parameters["time_budget"] is not None
    return lengths, {
        "batch_size": int(np.sort(np.diff(first))[-work.step_size :].sum()),
        "freeze": rung.freeze,
        "n_threads": n_threads,
        "validation": validation,
        "keeps_best": bool(best) and validation is not None,
        "precision": recipe.precision,
        "inference_precision": recipe.inference_precision or "float32",
    }


def _within_memory(rungs, work, model, recipe, n_threads):
    """Those of the rungs that memory_limit has room for, and how the first cuts its batches."""
    kept, plans, problem = [], [], None
    for rung in rungs:
        lengths, how = memory_options(rung, work, recipe, n_threads)
        try:
            plans.append(plan_training(model, work.parameters["memory_limit"], lengths, **how))
            kept.append(rung)
        except ValueError as error:
            problem = error
    if not kept:
        raise problem
    return kept, plans[0]
