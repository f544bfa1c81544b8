"""Masked language modelling on texts without labels: `pretrain`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

import bertsent
from bertsent.classifier import compared_on_resume, load_tokenizer, without_machine
from bertsent.errors import CheckpointError
from bertsent.files import atomic_directory, check_target, hold_directory, to_plain
from bertsent.hub import resolve_directory
from bertsent.model import gather, go_on_in, resolve_precision
from bertsent.pretraining.masked_lm import MaskedLanguageModel
from bertsent.pretraining.masking import FIXED, Masker, cut_pieces
from bertsent.pretraining.parameters import PRETRAINING, check_pretraining
from bertsent.system import (
    Interrupts,
    check_interrupts,
    expand_path,
    interrupted,
    make_progress,
    resolve_n_threads,
    uninterrupted,
)
from bertsent.texts import check_texts, hold_out, name_texts, resolve_max_length, strip_html
from bertsent.training import (
    PRETRAINING_TASK,
    Learned,
    Listeners,
    RunStore,
    State,
    TrainingOptions,
    callback_name,
    describe_record,
    describe_run,
    draw_seeds,
    epoch_order,
    hashed_steps,
    open_log,
    train,
)
from bertsent.wording import phrase, spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.texts import Texts
    from bertsent.training import RecordedRun, Seeds

Int32: TypeAlias = "npt.NDArray[np.int32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"

# Number of pieces that one call of the engine evaluates.
_EVALUATED = 256


@dataclass(frozen=True)
class Pretraining:
    """The result of `pretrain`.

    Attributes
    ----------
    directory : pathlib.Path
        Directory that contains the saved model.
    history : list of dict
        One row per epoch: ``epoch``, ``loss`` (mean cross-entropy of the selected tokens),
        ``accuracy`` (fraction of them that was predicted correctly), ``tokens`` and ``seconds``.
        With held-out texts, also ``validation_loss`` and ``validation_accuracy``.
    evaluations : list of dict
        One row per evaluation of the held-out texts.
    pieces, tokens : int
        Number of pieces and tokens in the training texts, without the held-out texts.
    precision : str
        Precision of training.
    fresh : tuple of str
        Parts of the model that started from random weights.
    """

    directory: Path
    history: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    pieces: int
    tokens: int
    precision: str
    fresh: tuple[str, ...]


def pretrain(
    texts: Texts,
    output: str | PathLike[str],
    *,
    model: str | PathLike[str] = "minilm",
    max_length: int = 128,
    epochs: int = 1,
    batch_size: int = 32,
    learning_rate: float = 5e-5,
    weight_decay: float = 0.01,
    warmup_ratio: float = 0.1,
    schedule: Literal["linear", "cosine", "constant"] = "linear",
    accumulate_steps: int = 1,
    max_grad_norm: float = 1.0,
    mask_probability: float = 0.15,
    validation_fraction: float | None = None,
    eval_every: int | None = None,
    checkpoint_dir: str | PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    checkpoint_keep: int = 2,
    resume: bool = False,
    callbacks: Any = None,
    log_file: str | PathLike[str] | None = None,
    hash_every: int | None = None,
    strip_html: bool = False,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    n_threads: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    verbose: int = 1,
    overwrite: bool = False,
) -> Pretraining:
    """Continue the pretraining of a BERT model on texts without labels, and save the result.

    This is masked language modelling [1]_ with whole-word masking. In each piece of text, random
    words are selected until they contain 15 % of the tokens. Of the selected tokens, 80 % are
    replaced by ``[MASK]`` and 10 % by a random token, and 10 % stay as they are. The model learns
    to predict all of them. If the texts resemble those to be classified, fine-tuning the result
    may give a more accurate classifier [2]_.

    Parameters
    ----------
    texts : list, Series or array of str
        The texts. Empty texts are ignored.
    output : str or path-like
        Directory for the model, created if it does not exist. ``BertClassifier(output)`` starts
        from it, and transformers opens it as ``BertForMaskedLM``.
    model : str or path-like, default="minilm"
        Model to start from: "minilm", a Hugging Face hub id or a directory. A model without a
        head for masked tokens, such as "minilm", gets a random one.
        A short run then mostly trains the head.
    max_length : int, default=128
        Largest number of tokens in a piece, including ``[CLS]`` and ``[SEP]``. A longer text is
        cut into several pieces of about equal length. The default is small because the time for
        a token grows with the length of its piece.
    epochs : int, default=1
        Passes over the texts. Each masks other words.
    batch_size : int, default=32
        Pieces per step. The default is that of [2]_.
    learning_rate : float, default=5e-5
        Peak learning rate. The default is that of [2]_.
    weight_decay, warmup_ratio, schedule, accumulate_steps, max_grad_norm
        As for `BertClassifier`.
    mask_probability : float, default=0.15
        Fraction of the tokens in a piece that are selected, but at least one token. The default
        is that of [1]_.
    validation_fraction : float or None, default=None
        Fraction of the texts to hold out and score after every epoch, without dropout and always
        with the same words masked. None holds out nothing.
    eval_every, checkpoint_dir, checkpoint_every, checkpoint_keep, resume
        As for `BertClassifier`. A run that is interrupted and resumed produces exactly the same
        model as without the interruption.
    callbacks, log_file, hash_every
        As for `BertClassifier`. `verify_pretraining` repeats a run with `hash_every`.
    strip_html : bool, default=False
        Whether to remove HTML tags from the texts.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the matrix products, including those with the vocabulary; as for
        `BertClassifier`.
    n_threads : int or None, default=None
        Number of threads, as for `BertClassifier`. It does not affect the result.
    random_state : int, RandomState or None, default=None
        Seed of new weights, the held-out texts, the order of the pieces, the masked words and
        dropout. On one machine, the same integer gives exactly the same model.
    verbose : int, default=1
        0 for silence, 1 for progress.
    overwrite : bool, default=False
        Whether to replace a model in `output`. Files that bertsent did not write are never
        changed.

    Returns
    -------
    result : Pretraining
        The history of training, and the directory of the model.

    Raises
    ------
    CheckpointError
        The model cannot be used, or the checkpoint belongs to another run.
    FileExistsError
        `output` contains a model and `overwrite` is false, or it contains files of other
        programs; or `checkpoint_dir` contains checkpoints and `resume` is false.
    FloatingPointError
        The loss or the gradient is not finite. A lower `learning_rate` usually helps.
    KeyboardInterrupt
        Ctrl-C was pressed, or SIGTERM or SIGHUP received. Training stops after the current step.
        With `checkpoint_dir` a checkpoint is written, otherwise the model trained so far is saved
        in `output`, if a step was done.
    TypeError, ValueError
        A parameter has an invalid value, an item is not a text, or no text contains a word.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova: BERT: Pre-training of Deep Bidirectional
       Transformers for Language Understanding. NAACL 2019.
    .. [2] C. Sun, X. Qiu, Y. Xu, X. Huang: How to Fine-Tune BERT for Text Classification? CCL
       2019.

    Examples
    --------
    >>> import bertsent
    >>> import pandas as pd
    >>> data = pd.read_csv("tickets.csv")
    >>> result = bertsent.pretrain(
    ...     data["text"], "my-bert", model="bert-base-uncased", epochs=2, random_state=0
    ... )
    >>> result.history[-1]["epoch"]
    2
    >>> clf = bertsent.BertClassifier("my-bert").fit(data["text"], data["team"])
    """
    parameters = dict(locals())
    for key in ("texts", "output", "overwrite"):
        del parameters[key]
    return run_pretraining(texts, output, parameters, overwrite=overwrite)


def run_pretraining(
    texts: Texts,
    output: str | PathLike[str],
    parameters: dict[str, Any],
    *,
    overwrite: bool = False,
    origin: Mapping[str, Any] | None = None,
) -> Pretraining:
    """Call `pretrain` with parameters in a dictionary.

    Parameters
    ----------
    texts, output, overwrite
        As in `pretrain`.
    parameters : dict
        All other parameters of `pretrain`.
    origin : dict or None, default=None
        Description of the data, which is saved in ``run.json`` and in the log.
    """
    with Interrupts():
        return _pretrain(texts, output, parameters, overwrite, origin)


def _pretrain(
    texts: Texts,
    output: str | PathLike[str],
    parameters: dict[str, Any],
    overwrite: bool,
    origin: Mapping[str, Any] | None,
) -> Pretraining:
    check_pretraining(parameters)
    resolve_precision(parameters["precision"], "precision")
    given = check_texts(texts, "texts", pairs=False)
    check_target(output, overwrite)
    with _open_store(parameters) as store:
        run = _Run(given, parameters, store, origin=origin)
        try:
            run.train()
        except KeyboardInterrupt as stop:
            if store is not None:
                same = phrase(python="call", command="command")
                kept = f"the same {same} with {spell('resume', True)} continues from here"
            elif run.state.step > 0 and uninterrupted(
                lambda: run.save(output, overwrite, interrupted=True)
            ):
                kept = f"the model trained so far is saved in {output}"
            else:
                kept = "nothing was saved"
            raise interrupted(stop, f"{str(stop) or 'interrupted'}; {kept}") from None
        run.save(output, overwrite, interrupted=False)
    return run.result(output)


def pretrain_again(texts: Texts, parameters: dict[str, Any], past: RecordedRun) -> None:
    """Train a run as it is recorded, and write nothing.

    Parameters
    ----------
    texts : list, Series or array of str
    parameters : dict
        All parameters of `pretrain` but texts and output.
    past : RecordedRun
    """
    check_pretraining(parameters)
    _Run(check_texts(texts, "texts", pairs=False), parameters, None, past=past).train()


def _open_store(
    parameters: Mapping[str, Any],
) -> contextlib.AbstractContextManager[RunStore | None]:
    if parameters["checkpoint_dir"] is None:
        return contextlib.nullcontext()
    return RunStore(
        parameters["checkpoint_dir"], parameters["checkpoint_keep"], bool(parameters["resume"])
    )


@dataclass(frozen=True)
class MaskedPieces:
    """Pieces of texts with masked words, as examples for `bertsent.training.train`.

    Parameters
    ----------
    ids, offsets : ndarray
        As in `bertsent.pretraining.masking.Pieces`.
    masker : Masker
        Selects and masks the words of each piece.
    """

    ids: Int32
    offsets: Int64
    masker: Masker

    metric = "accuracy"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def hidden(self, rows: Int64, epoch: int) -> tuple[Int32, Int64, Int64, Int32]:
        """Mask words in some pieces.

        Returns
        -------
        ids : ndarray of int32
            Tokens of the pieces, laid end to end, with masks.
        cu_seqlens : ndarray of int64, shape (len(rows) + 1,)
            Where each piece begins, and the number of tokens.
        tokens, labels : ndarray
            Positions of the tokens to predict, and their ids.
        """
        ids, cu_seqlens, _ = gather(self.ids, self.offsets, rows)
        return ids, cu_seqlens, *self.masker.hide(ids, cu_seqlens, rows, epoch)

    def order(self, seed: int, epoch: int) -> Int64:
        """Return the order of the pieces in an epoch."""
        return epoch_order(len(self), seed, epoch)

    def prepare(self, *args: Any, **how: Any) -> None:
        """Do nothing: there is no work before an epoch."""

    def train_step(
        self,
        model: MaskedLanguageModel,
        rows: Int64,
        options: TrainingOptions,
        buffers: tuple[npt.NDArray[np.float32], ...],
        *,
        epoch: int,
        **engine_options: Any,
    ) -> Learned:
        """Train on some pieces, in one step."""
        del options
        ids, cu_seqlens, tokens, labels = self.hidden(rows, epoch)
        loss, hits, norm = model._core.mlm_train_step(
            ids, None, None, cu_seqlens, rows.astype(np.uint64), tokens, labels, *buffers,
            **engine_options,
        )
        if not len(labels):
            return Learned(len(ids))
        return Learned(len(ids), loss, norm, float(len(labels)), float(hits))

    def evaluate(
        self,
        model: MaskedLanguageModel,
        options: TrainingOptions,
        n_threads: int,
        *,
        report: Callable[[float], None] | None = None,
    ) -> dict[str, float]:
        """Return loss and accuracy on all pieces, always with the same words masked."""
        total = right = 0.0
        count = 0
        for first in range(0, len(self), _EVALUATED):
            rows = np.arange(first, min(first + _EVALUATED, len(self)))
            ids, cu_seqlens, tokens, labels = self.hidden(rows, FIXED)
            loss, hits = model._core.mlm_loss(
                ids, None, None, cu_seqlens, rows.astype(np.uint64), tokens, labels,
                n_threads=n_threads, precision=options.precision,
            )
            total, right = total + loss * len(labels), right + hits
            count += len(labels)
            if report is not None:
                report((rows[-1] + 1) / len(self))
        mean, part = (total / count, right / count) if count else (np.nan, np.nan)
        return {"validation_loss": float(mean), "validation_accuracy": float(part)}


class _Run:
    """The state of one call of `pretrain`.

    Parameters
    ----------
    texts : list of str
    parameters : dict
    store : RunStore or None
    origin : dict or None, default=None
        Description of the data.
    past : RecordedRun or None, default=None
        A run to repeat: seeds, precision and passes are those of its log.
    """

    def __init__(
        self,
        texts: list[str],
        parameters: dict[str, Any],
        store: RunStore | None,
        *,
        origin: Mapping[str, Any] | None = None,
        past: RecordedRun | None = None,
    ) -> None:
        self.parameters, self.store, self.origin, self.past = parameters, store, origin, past
        self.n_threads = resolve_n_threads(parameters["n_threads"])
        check_interrupts()
        saved = None if store is None else store.newest()
        seeds = past.seeds if past else draw_seeds(parameters["random_state"])
        if saved and parameters["random_state"] is None:
            seeds = saved.seeds
        begun: Mapping[str, Any] = saved.run if saved else past.run if past else {}
        directory = resolve_directory(parameters["model"])
        with hold_directory(directory):
            self.model = MaskedLanguageModel.load(directory, seeds.new_weights)
            self.tokenizer = load_tokenizer(directory, self.model)
        if self.tokenizer.mask_token_id is None:
            raise CheckpointError(
                f"the tokenizer of {parameters['model']} has no mask token, which pretraining "
                "needs; choose another model"
            )
        if self.tokenizer.mask_token_id >= self.tokenizer.n_usable:
            raise CheckpointError(
                f"the mask token of {parameters['model']}, {self.tokenizer.mask_token!r}, has the "
                f"id {self.tokenizer.mask_token_id}, for which the model has no embedding; choose "
                "another model"
            )
        masker = Masker(self.tokenizer, float(parameters["mask_probability"]), seeds.order)
        given = texts
        if parameters["strip_html"]:
            texts = [strip_html(text) for text in texts]
        rows, kept = np.empty(0, np.int64), np.arange(len(texts))
        if parameters["validation_fraction"] is not None:
            rows, kept = hold_out(
                texts, np.zeros(len(texts)), parameters["validation_fraction"], seeds.split
            )
        self.pieces = self._cut(texts, kept, masker, "texts")
        self.held_out = None
        if len(rows):
            self.held_out = self._cut(texts, rows, masker, "the held-out texts")
        self.options = self._recipe(seeds, begun)
        if past is not None:
            self.options = replace(self.options, passes=past.passes)
        self.state = State.fresh(self.model)
        self.description: dict[str, Any] = {}
        if store is not None or past is not None or parameters["hash_every"]:
            self.description = describe_run(
                parameters={"task": PRETRAINING_TASK} | compared_on_resume(parameters, PRETRAINING),
                resolved=self._resolved(begun), passes=self.options.passes, seeds=seeds,
                model=self.model, tokenizer=self.tokenizer, data={"texts": (given,)},
            )
        if store is not None:
            store.seeds, store.run = seeds, self.description
        if past is not None:
            past.check(self.description)
        if saved:
            saved.check(self.description)
            saved.restore(self.state, self.model._trained(0), len(self.pieces))

    def _cut(
        self, texts: list[str], rows: npt.NDArray[np.int64], masker: Masker, name: str
    ) -> MaskedPieces:
        """Cut some of the texts into pieces."""
        max_length = resolve_max_length(
            self.parameters["max_length"], self.model._engine["max_position_embeddings"]
        )
        check_interrupts()
        with name_texts(lambda number: f"texts[{rows[number]}]"):
            tokens = self.tokenizer.encode_batch(
                [texts[row] for row in rows], n_threads=self.n_threads
            )
        check_interrupts()
        pieces = cut_pieces(tokens.ids, tokens.offsets, max_length)
        if len(pieces.offsets) == 1:
            raise ValueError(f"{name}: there is no word in any of them, so nothing can be learned")
        return MaskedPieces(*pieces, masker)

    def _recipe(self, seeds: Seeds, begun: Mapping[str, Any]) -> TrainingOptions:
        p = self.parameters
        return TrainingOptions(
            epochs=int(p["epochs"]),
            batch_size=int(p["batch_size"]),
            accumulate_steps=int(p["accumulate_steps"]),
            learning_rate=float(p["learning_rate"]),
            weight_decay=float(p["weight_decay"]),
            warmup_ratio=float(p["warmup_ratio"]),
            schedule=str(p["schedule"]),
            max_grad_norm=float(p["max_grad_norm"]),
            order_seed=seeds.order,
            dropout_seed=seeds.dropout,
            eval_every=None if p["eval_every"] is None else int(p["eval_every"]),
            precision=go_on_in(p["precision"], "precision", begun.get("precision")),
        )

    def _resolved(self, begun: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that were used for "auto" when the run began."""
        before = begun.get("precision") if self.parameters["precision"] == "auto" else None
        return {
            "learning_rate": self.options.learning_rate,
            "precision": before or self.options.precision,
        }

    def _record(self, callbacks: list[Any]) -> dict[str, Any]:
        """Return the line of the log that says what the run is."""
        parameters = without_machine(self.parameters)
        return describe_record(
            task=PRETRAINING_TASK,
            parameters={name: to_plain(value) for name, value in parameters.items()},
            run=self.description, callbacks=map(callback_name, callbacks), origin=self.origin,
            step=self.state.step, n_threads=self.n_threads,
        )

    def train(self) -> None:
        p = self.parameters
        callbacks = p["callbacks"] or []
        callbacks = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
        with open_log(p["log_file"], self.state.step) as log, make_progress(
            p["verbose"]
        ) as progress:
            if self.model.fresh and self.state.step == 0:
                parts = " and ".join(f"a new {part}" for part in self.model.fresh)
                progress.notice(f"{p['model']} gets {parts}")
            chosen = " (auto)" if p["precision"] == "auto" else ""
            progress.announce(
                f"masked language modelling on {len(self.pieces):,} pieces of text, "
                f"{len(self.pieces.ids):,} tokens, in {self.options.precision}{chosen}"
            )
            if log is not None and p["hash_every"]:
                log(self._record(callbacks))
            train(
                self.model,
                self.pieces,
                self.options,
                n_threads=self.n_threads,
                validation=self.held_out,
                progress=progress,
                state=self.state,
                save=self.store.save if self.store else None,
                save_every=p["checkpoint_every"],
                listeners=Listeners([*callbacks, *([log] if log else [])]),
                hash_steps=hashed_steps(p["hash_every"], self.past),
            )

    def save(self, output: str | PathLike[str], overwrite: bool, interrupted: bool) -> None:
        record = {
            "task": PRETRAINING_TASK,
            "bertsent": bertsent.__version__,
            "parameters": {name: to_plain(value) for name, value in self.parameters.items()},
            "precision": self.options.precision,
            "fresh": list(self.model.fresh),
            "interrupted": interrupted,
            "data": self.origin,
            "pieces": len(self.pieces),
            "tokens": len(self.pieces.ids),
            "history": self.state.rows(self.pieces.metric),
            "evaluations": self.state.evaluations,
        }
        with atomic_directory(output, overwrite) as staging:
            self.model.save_files(staging, self.tokenizer)
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            (staging / "run.json").write_text(text, encoding="utf-8")

    def result(self, output: str | PathLike[str]) -> Pretraining:
        return Pretraining(
            directory=expand_path(output),
            history=self.state.history,
            evaluations=self.state.evaluations,
            pieces=len(self.pieces),
            tokens=len(self.pieces.ids),
            precision=self.options.precision,
            fresh=self.model.fresh,
        )
