"""`pretrain`: masked language modelling on texts without labels."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bertsent
from bertsent.batch import gather
from bertsent.callbacks import Listeners, open_log
from bertsent.files import atomic_directory, check_target
from bertsent.hub import resolve
from bertsent.masked_lm import MaskedLanguageModel
from bertsent.masking import FIXED, Masker, cut_pieces
from bertsent.parameters import resolve_max_length
from bertsent.precision import go_on_in, resolve_precision
from bertsent.pretrained import load_tokenizer
from bertsent.pretraining_parameters import check_pretraining
from bertsent.progress import make_progress
from bertsent.runs import RunStore, describe_run
from bertsent.saved import plain
from bertsent.schedule import draw_seeds
from bertsent.split import hold_out
from bertsent.state import State
from bertsent.texts import check_texts, strip_html
from bertsent.threads import resolve_n_threads
from bertsent.training import Learned, Recipe, train

# Pieces that are evaluated in one call of the engine.
_EVALUATED = 256


@dataclass(frozen=True)
class Pretraining:
    """What came of `pretrain`.

    Attributes
    ----------
    directory : pathlib.Path
        Where the model was saved.
    history : list of dict
        One row an epoch: ``epoch``, ``loss`` (mean over the hidden tokens), ``accuracy`` (part of
        them that was predicted rightly), ``tokens``, ``seconds``, and with held-out texts
        ``validation_loss`` and ``validation_accuracy``.
    evaluations : list of dict
        One row an evaluation of held-out texts.
    pieces, tokens : int
        What the texts came to, those held out left aside.
    precision : str
        What was computed in.
    fresh : tuple of str
        Parts of the model that were drawn anew.
    """

    directory: Path
    history: list
    evaluations: list
    pieces: int
    tokens: int
    precision: str
    fresh: tuple


def pretrain(
    texts,
    output,
    *,
    model="minilm",
    max_length=128,
    epochs=1,
    batch_size=32,
    learning_rate=5e-5,
    weight_decay=0.01,
    warmup_ratio=0.1,
    schedule="linear",
    accumulate_steps=1,
    max_grad_norm=1.0,
    mask_probability=0.15,
    validation_fraction=None,
    eval_every=None,
    checkpoint_dir=None,
    checkpoint_every=None,
    checkpoint_keep=2,
    resume=False,
    callbacks=None,
    log_file=None,
    strip_html=False,
    precision="auto",
    n_threads=None,
    random_state=None,
    verbose=1,
    overwrite=False,
):
    """Pretrain a BERT further on texts without labels, and save it to be fine-tuned.

    Masked language modelling [1]_ with whole words masked: of the tokens of each piece of text
    15 % are chosen, of which 80 % are hidden, 10 % replaced and 10 % shown, and the model learns
    to tell what stood there. On texts of the kind that is to be classified this may make the
    classifier better [2]_.

    Parameters
    ----------
    texts : list, Series or array of str
        The texts. Empty ones are passed over.
    output : str or path-like
        Directory to save to, created if it does not exist: ``BertClassifier(output)`` starts
        from it, and transformers opens it as ``BertForMaskedLM``.
    model : str or path-like, default="minilm"
        Where training starts from. A model without a head for masked tokens, as "minilm" is,
        gets a new one, with a FreshWeightsWarning; it takes some time to be of use.
    max_length : int, default=128
        Most tokens of a piece, ``[CLS]`` and ``[SEP]`` included. A longer text is cut into
        several, its tokens shared evenly. 128, because time grows faster than this.
    epochs : int, default=1
        Passes over the texts. Every one hides other words.
    batch_size : int, default=32
        Pieces in one step, as in [2]_.
    learning_rate : float, default=5e-5
        Peak learning rate, that of [2]_.
    weight_decay, warmup_ratio, schedule, accumulate_steps, max_grad_norm
        As for `BertClassifier`.
    mask_probability : float, default=0.15
        Part of the tokens of a piece that is predicted, at least one: that of [1]_.
    validation_fraction : float or None, default=None
        Part of the texts that is not trained on but scored after every epoch, without dropout
        and always with the same words hidden. None holds out nothing.
    eval_every, checkpoint_dir, checkpoint_every, checkpoint_keep, resume, callbacks, log_file
        As for `BertClassifier`: a run that was killed goes on to the same bits.
    strip_html : bool, default=False
        Take HTML tags out of the texts.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the products of the encoder and with the vocabulary are computed in, see
        `BertClassifier`.
    n_threads : int or None, default=None
        Threads. The number does not change the result.
    random_state : int, RandomState or None, default=None
        Seed of new weights, of what is held out, of the order of the pieces, of the hidden words
        and of dropout. The same integer gives the same model, bit by bit.
    verbose : int, default=1
        0 for silence, 1 for progress on stderr.
    overwrite : bool, default=False
        Replace files that bertsent wrote to `output` before. Others are never touched.

    Returns
    -------
    Pretraining

    Raises
    ------
    CheckpointError
        The model cannot be used, or the checkpoint is of another run.
    FileExistsError
        `output` holds something already, or `checkpoint_dir` a run and `resume` is false.
    FloatingPointError
        Loss or gradient is not finite.
    KeyboardInterrupt
        Ctrl-C or SIGTERM, between two steps. With a `checkpoint_dir` a checkpoint is written,
        otherwise the model so far is saved in `output`.
    TypeError, ValueError
        A parameter has a value that is not allowed; an item is not a text; there are no texts.

    References
    ----------
    .. [1] J. Devlin, M.-W. Chang, K. Lee, K. Toutanova: BERT: Pre-training of Deep Bidirectional
       Transformers for Language Understanding. NAACL 2019.
    .. [2] C. Sun, X. Qiu, Y. Xu, X. Huang: How to Fine-Tune BERT for Text Classification? CCL
       2019.

    Examples
    --------
    >>> import bertsent
    >>> bertsent.pretrain(data["review"], "reviews-bert", random_state=0)      # doctest: +SKIP
    >>> clf = bertsent.BertClassifier("reviews-bert").fit(X, y)                # doctest: +SKIP
    """
    parameters = dict(locals())
    texts, output, overwrite = (parameters.pop(key) for key in ("texts", "output", "overwrite"))
    return run_pretraining(texts, output, parameters, overwrite=overwrite)


def run_pretraining(texts, output, parameters, *, overwrite=False, origin=None):
    """`pretrain` with its parameters as a dictionary.

    Parameters
    ----------
    texts, output, overwrite
        As there.
    parameters : dict
        All others.
    origin : dict, optional
        Where the texts come from, for ``run.json``.
    """
    check_pretraining(parameters)
    resolve_precision(parameters["precision"], "precision")
    texts = check_texts(texts, "texts")
    check_target(output, overwrite)
    with _open_store(parameters) as store:
        run = _Run(texts, parameters, store)
        try:
            run.train()
        except KeyboardInterrupt as stop:
            if store is not None:
                said = "interrupted; the same call with resume=True (--resume) goes on from here"
            else:
                run.save(output, overwrite, origin, interrupted=True)
                said = f"interrupted; the model as trained so far is saved in {output}"
            raise type(stop)(said) from None
        run.save(output, overwrite, origin, interrupted=False)
    return run.result(output)


def _open_store(parameters):
    if parameters["checkpoint_dir"] is None:
        return contextlib.nullcontext()
    return RunStore(
        parameters["checkpoint_dir"], parameters["checkpoint_keep"], bool(parameters["resume"])
    )


@dataclass(frozen=True)
class MaskedPieces:
    """Pieces of texts and what hides their words: `bertsent.training.Examples` without labels.

    Parameters
    ----------
    ids, offsets : ndarray
        As in `bertsent.masking.Pieces`.
    masker : Masker
    """

    ids: np.ndarray
    offsets: np.ndarray
    masker: Masker

    def __len__(self):
        return len(self.offsets) - 1

    def hidden(self, rows, epoch):
        """Some pieces with words hidden: ids, where each begins, which are predicted, and what."""
        ids, cu_seqlens = gather(self.ids, self.offsets, rows)
        return ids, cu_seqlens, *self.masker.hide(ids, cu_seqlens, rows, epoch)

    def prepare(self, *args, **how):
        """Nothing comes before an epoch."""

    def train_step(self, model, rows, recipe, buffers, *, epoch, **options):
        """Train on some of the pieces: one step."""
        del recipe
        ids, cu_seqlens, tokens, labels = self.hidden(rows, epoch)
        loss, hits, norm = model._core.mlm_train_step(
            ids, None, None, cu_seqlens, rows.astype(np.uint64), tokens, labels, *buffers, **options
        )
        if not len(labels):
            return Learned(len(ids))
        return Learned(len(ids), loss, norm, float(len(labels)), float(hits))

    def evaluate(self, model, recipe, n_threads):
        """Loss and accuracy on these pieces, always with the same words hidden."""
        total = right = count = 0
        for first in range(0, len(self), _EVALUATED):
            rows = np.arange(first, min(first + _EVALUATED, len(self)))
            ids, cu_seqlens, tokens, labels = self.hidden(rows, FIXED)
            loss, hits = model._core.mlm_loss(
                ids, None, None, cu_seqlens, rows.astype(np.uint64), tokens, labels,
                n_threads=n_threads, precision=recipe.precision,
            )
            total, right = total + loss * len(labels), right + hits
            count += len(labels)
        mean, part = (total / count, right / count) if count else (np.nan, np.nan)
        return {"validation_loss": float(mean), "validation_accuracy": float(part)}


class _Run:
    """One call of `pretrain`: what its parts have in common."""

    def __init__(self, texts, parameters, store):
        self.parameters, self.store = parameters, store
        self.n_threads = resolve_n_threads(parameters["n_threads"])
        saved = store and store.newest()
        seeds = draw_seeds(parameters["random_state"])
        if saved and parameters["random_state"] is None:
            seeds = saved.seeds
        directory = resolve(parameters["model"])
        self.model = MaskedLanguageModel.load(directory, parameters["model"], seeds.new_weights)
        self.tokenizer = load_tokenizer(directory, self.model)
        if self.tokenizer.mask_token_id is None:
            raise ValueError(
                f"the tokenizer of {parameters['model']} has no mask token, by which words could "
                "be hidden; choose another model"
            )
        masker = Masker(self.tokenizer, float(parameters["mask_probability"]), seeds.order)
        given = texts
        if parameters["strip_html"]:
            texts = [strip_html(text) for text in texts]
        held_out = []
        if parameters["validation_fraction"] is not None:
            rows, kept = hold_out(
                texts, np.zeros(len(texts)), parameters["validation_fraction"], seeds.split
            )
            held_out, texts = [texts[row] for row in rows], [texts[row] for row in kept]
        self.pieces = self._cut(texts, masker, "texts")
        self.held_out = self._cut(held_out, masker, "the held-out texts") if held_out else None
        self.recipe = self._recipe(seeds, saved.run if saved else {})
        self.state = State.fresh(self.model)
        if store is not None:
            store.seeds = seeds
            store.run = describe_run(
                parameters={"task": "masked language modelling"} | parameters,
                resolved=self._resolved(saved), plan=self.recipe.plan, seeds=seeds,
                model=self.model, tokenizer=self.tokenizer, data={"texts": (given,)},
            )
        if saved:
            saved.check(store.run)
            saved.restore(self.state, self.model._trained(0))

    def _cut(self, texts, masker, name):
        """Texts as pieces."""
        max_length = resolve_max_length(
            self.parameters["max_length"], self.model.config["max_position_embeddings"]
        )
        tokens = self.tokenizer.encode_batch(texts, n_threads=self.n_threads)
        pieces = cut_pieces(tokens.ids, tokens.offsets, max_length)
        if len(pieces.offsets) == 1:
            raise ValueError(f"{name}: there is no word in any of them; nothing can be learned")
        return MaskedPieces(*pieces, masker)

    def _recipe(self, seeds, begun):
        p = self.parameters
        return Recipe(
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

    def _resolved(self, saved):
        """What "auto" came to when the run was begun."""
        begun = saved.run.get("precision") if saved else None
        asked = self.parameters["precision"]
        return {
            "learning_rate": self.recipe.learning_rate,
            "precision": (begun if asked == "auto" else None) or self.recipe.precision,
        }

    def train(self):
        p = self.parameters
        callbacks = p["callbacks"] or []
        callbacks = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
        with open_log(p["log_file"], self.state.step) as log, make_progress(
            p["verbose"]
        ) as progress:
            chosen = " (auto)" if p["precision"] == "auto" else ""
            progress.announce(
                f"masked language modelling of {len(self.pieces):,} pieces, "
                f"{len(self.pieces.ids):,} tokens, in {self.recipe.precision}{chosen}"
            )
            train(
                self.model,
                self.pieces,
                self.recipe,
                n_threads=self.n_threads,
                validation=self.held_out,
                progress=progress,
                state=self.state,
                save=self.store and self.store.save,
                save_every=p["checkpoint_every"],
                listeners=Listeners([*callbacks, *([log] if log else [])]),
            )

    def save(self, output, overwrite, origin, interrupted):
        record = {
            "task": "masked language modelling",
            "bertsent": bertsent.__version__,
            "parameters": {name: plain(value) for name, value in self.parameters.items()},
            "precision": self.recipe.precision,
            "fresh": list(self.model.fresh),
            "interrupted": interrupted,
            "data": origin,
            "pieces": len(self.pieces),
            "tokens": len(self.pieces.ids),
            "history": self.state.history,
            "evaluations": self.state.evaluations,
        }
        with atomic_directory(output, overwrite) as scratch:
            self.model.save_files(scratch, self.tokenizer)
            text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
            (scratch / "run.json").write_text(text, encoding="utf-8")

    def result(self, output):
        return Pretraining(
            directory=Path(output),
            history=self.state.history,
            evaluations=self.state.evaluations,
            pieces=len(self.pieces),
            tokens=len(self.pieces.ids),
            precision=self.recipe.precision,
            fresh=self.model.fresh,
        )
