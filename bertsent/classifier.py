"""`BertClassifier`: a fine-tuned BERT as a scikit-learn classifier."""

from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from bertsent import checkpoint, saved
from bertsent.errors import CheckpointError
from bertsent.files import atomic_directory
from bertsent.fitting import fit
from bertsent.hub import resolve
from bertsent.long_text import Reader, Windows, count_tokens
from bertsent.members import is_list, member_parameters
from bertsent.parameters import check_parameters
from bertsent.precision import resolve_precision
from bertsent.pretrained import foreign_settings, load_member, load_model, load_tokenizer
from bertsent.scoring import score_pieces
from bertsent.texts import check_texts, hash_texts, strip_html
from bertsent.threads import resolve_n_threads
from bertsent.validation import log_softmax, vote


class BertClassifier(ClassifierMixin, BaseEstimator):
    """Classify texts with a BERT that is fine-tuned on them.

    Parameters
    ----------
    model : str or path-like, default="minilm"
        Where training starts from: a directory in Hugging Face's layout, a hub id such as
        ``"bert-base-uncased"``, or ``"minilm"`` for all-MiniLM-L6-v2.
    max_length : int or "auto", default="auto"
        Tokens that the model reads at once, ``[CLS]`` and ``[SEP]`` included. "auto" is 256, or
        fewer where the model has no more positions, unless there is a `time_budget`.
    long_text : {"head", "tail", "head+tail", "windows"}, default="tail"
        What training reads of a text that is longer: its beginning, its end, a quarter of
        `max_length` from the beginning and the rest from the end, or all of it, in windows of
        `max_length` whose mean logits, weighted by their tokens, are the text's. The end is
        the default because film reviews end with what they have come to: it taught far more
        than their beginning (docs/recipes.md). News, say, begin with it.
    stride : int, default=0
        Tokens that a window has in common with the one before. With 0 every token is read once,
        so that a text costs no more than its tokens.
    epochs : int or "auto", default="auto"
        Passes over the training texts. "auto" is 3, unless there is a `time_budget`.
    batch_size : int, default=16
        Texts in one step. The last, partial batch of an epoch is used as it is.
    learning_rate : float or "auto", default="auto"
        Peak learning rate. "auto" chooses by the hidden size of the model and by what is
        frozen; the chosen one is in ``learning_rate_``.
    weight_decay : float, default=0.01
        Decoupled weight decay of AdamW. Biases and LayerNorm have none.
    warmup_ratio : float, default=0.1
        Part of the steps in which the learning rate rises from 0.
    schedule : {"linear", "cosine", "constant"}, default="linear"
        What it does over the rest: fall back to 0, in a line or half a wave, or stay.
    layer_decay : float, default=1.0
        Each layer learns at this many times the rate of the one above, the embeddings last.
    head_learning_rate : float or None, default=None
        Peak learning rate of pooler and classifier; None for that of all others.
    accumulate_steps : int, default=1
        Batches whose gradients are added up for one step. The same, bit by bit, as a
        `batch_size` so many times as large: memory does not grow with that either.
    label_smoothing : float, default=0.0
        Part of each target that is spread evenly over all classes.
    class_weight : None, "balanced" or dict, default=None
        What a text counts in the loss by its class, beside its `sample_weight`. "balanced":
        every class as much as any other; labels that a dictionary lacks count 1.
    max_grad_norm : float, default=1.0
        Gradients are scaled down to this norm over all parameters; 0 clips nothing.
    freeze_layers : int, "all" or "auto", default="auto"
        ``k`` leaves the embeddings and the first k layers as they are, "all" trains
        pooler and classifier only. "auto" is 0, unless there is a `time_budget`.
    freeze_dropout : bool, default=False
        Leave dropout out in what `freeze_layers` keeps as it is.
    frozen_cache : {"auto", "float32", "bfloat16", "off"}, default="auto"
        Compute the layers that `freeze_layers` keeps as they are once for each text, if they have
        no dropout, and keep their output for all epochs: in float32, or rounded to bfloat16 in
        half the room. It lies in memory if it takes no more than a quarter of what is free, or
        fits into `memory_limit`, and else in a file of the user's cache folder that is gone when
        `fit` ends. "auto" keeps float32 if there is more than one epoch and it takes no more than
        20 GB, which do for 40,000 texts of 256 tokens with MiniLM; see docs/training.md.
    pooling : None, "cls" or "mean", default=None
        What pooler and classifier read of the last layer: its output for ``[CLS]``, or the
        mean for all tokens of a text. None does as the model was saved, and else "cls". Other
        programs do not know "mean" and read ``[CLS]``.
    members : int or list of dict, default=1
        Models to train on the same texts one after the other, each with its own new weights,
        order and dropout. The mean of their probabilities counts, which errs less than one of
        them does (docs/recipes.md); training and prediction take so many times as long. The
        first is the model of ``members=1``. Those that are unlike err less together: a list has,
        for each, what it has otherwise than the classifier, of `max_length`, `long_text`, `stride`
        and what says how to train, as in ``[{"freeze_layers": 2}, {"max_length": 512}]``. Does
        not go with `time_budget`.
    validation_fraction : float or None, default=None
        Part of the texts given to `fit` that is not trained on but scored after every epoch:
        shuffled, every class alike, equal texts on one side. None holds out nothing.
    eval_every : int or None, default=None
        Score the held-out texts every so many steps as well.
    early_stopping : False, "loss", "accuracy" or True, default=False
        Stop when this no longer improves on the held-out texts, and take the weights that
        were best. True stands for "loss".
    patience : int, default=3
        Evaluations in a row without improvement after which early stopping stops.
    checkpoint_dir : str, path-like or None, default=None
        Save the run there now and then; see docs/training.md. A directory holds one run.
    checkpoint_every : int or None, default=None
        Steps between two checkpoints; None for one after every epoch.
    checkpoint_keep : int, default=2
        How many of the newest checkpoints stay.
    resume : bool, default=False
        Go on from the newest checkpoint in `checkpoint_dir`, to the same bits as without a
        pause. Where none was saved yet, training starts.
    warm_start : bool, default=False
        Let `fit` go on from the model that is there instead of `model`. The classes must be
        the same; moments, learning rate and history begin anew.
    callbacks : callback, list of callbacks or None, default=None
        Functions or objects that are told of every step, evaluation and epoch, and may end
        training; see docs/training.md. They are not saved.
    log_file : str, path-like or None, default=None
        Append a line of JSON for every step, evaluation and epoch to this file.
    track_examples : bool, default=False
        Keep the loss of each training text and the probability of its label in each epoch, in
        ``example_history_``, and for `audit`. Takes 16 bytes a text and epoch, and hardly any time.
    strip_html : bool, default=False
        Take HTML tags out of the texts, in training and at prediction.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the encoder's products are computed in during training. "auto" is bfloat16 where
        the processor is faster in it, else float32; ``precision_`` has what was used. With
        bfloat16 weights, their gradients and both moments of AdamW are still float32, and
        sums are float32: only factors are rounded (docs/precision.md). "bfloat16" on a
        machine without it is an error in `fit`.
    inference_precision : {"auto", "float32", "bfloat16", "int8"}, default="auto"
        The same for prediction and for validation texts; may be set at any time. "auto"
        is never int8, which costs accuracy.
    inference_long_text : None or as `long_text`, default="windows"
        What prediction reads of a text that is longer, and what is read of held-out texts; may
        be set at any time. All of it is the default because that told one to three percent more
        of film reviews rightly (docs/recipes.md), after training on a part of each. It costs
        all their tokens; None reads no more than training does.
    n_threads : int or None, default=None
        Threads. None takes ``BERTSENT_NUM_THREADS``, else ``OMP_NUM_THREADS``, else as
        many as CPU affinity and cgroup quota allow. The number does not change results.
    memory_limit : int, str or None, default=None
        Bytes, or a size such as "2GB", that parameters, gradients, moments and activations
        may take. Where a whole batch would take more, smaller parts of it go through the model
        at once: the gradient is that of the batch up to the last bits, and dropout draws the
        same. A limit that is too little is an error that names the least. Texts, their tokens
        and Python itself come on top, and so does a file of `frozen_cache`. None takes parts of
        about 2,048 tokens.
    time_budget : float, str or None, default=None
        Seconds, or a time such as "30min" or "1h30min", that `fit` may take from its first to its
        last moment. It measures this machine, chooses `max_length`, `epochs` and `freeze_layers`
        where they are "auto", says the plan, and ends in time, with the best weights if texts
        are held out. What comes of it depends on the machine; see docs/training.md.
    random_state : int, RandomState or None, default=None
        Seed of new weights, of the order of the texts and of dropout. The same integer
        gives the same model, bit by bit.
    verbose : int, default=1
        0 for silence, 1 for progress on stderr.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    learning_rate_ : float or list of float
        The peak learning rate used; a list if `members` is one.
    max_length_ : int or list of int
        Tokens that training read at once, and that prediction does if `max_length` is "auto";
        a list if `members` is one.
    plan_ : dict or None
        What a `time_budget` was planned to: the chosen ``epochs``, ``max_length`` and
        ``freeze_layers``, ``texts`` to train on of ``all_texts``, ``steps``, ``evaluations``, and
        in seconds ``budget``, ``used`` before training, ``training`` and ``evaluation``.
    precision_ : str or None
        What training was computed in; None for a model that another program has saved.
    history_ : list of dict
        One row an epoch: ``epoch``, ``loss``, ``accuracy``, ``tokens``, ``seconds``, and with
        validation texts ``validation_loss`` and ``validation_accuracy``. Of several members
        all, and ``member``, from 1.
    evaluations_ : list of dict
        One row an evaluation of validation texts: ``step``, ``epoch``, ``validation_loss``,
        ``validation_accuracy``; of several members all, and ``member``.
    best_step_ : int, None or list of these
        Steps before the evaluation whose weights were taken, by early stopping or at the end of
        a time budget; a list of several members.
    training_rows_ : ndarray of int or None
        Which of the texts were trained on; None after `from_pretrained` and `partial_fit`.
    validation_rows_ : ndarray of int or None
        Which of the texts `validation_fraction` held out; None after `from_pretrained`.
    example_history_ : DataFrame or None
        One row for each training text and epoch: ``row`` (which of the texts given to `fit`),
        ``epoch``, ``loss``, ``probability`` of the label, ``margin`` (its logit minus the largest
        of the others) and ``other`` (the class that has that). None without `track_examples`.
        Of several members it is the first.
    n_features_in_ : int
        1: the column of texts.
    model_ : BertForSequenceClassification
        The fine-tuned model, the first of several.
    models_ : list of BertForSequenceClassification
        All of them. After an interrupt those that were complete.
    tokenizer_ : WordPieceTokenizer
        Its tokenizer.

    Examples
    --------
    >>> from bertsent import BertClassifier
    >>> clf = BertClassifier("minilm", epochs=2, random_state=0)
    >>> clf.fit(train["review"], train["sentiment"])            # doctest: +SKIP
    >>> clf.score(test["review"], test["sentiment"])            # doctest: +SKIP
    """

    def __init__(
        self,
        model="minilm",
        *,
        max_length="auto",
        long_text="tail",
        stride=0,
        epochs="auto",
        batch_size=16,
        learning_rate="auto",
        weight_decay=0.01,
        warmup_ratio=0.1,
        schedule="linear",
        layer_decay=1.0,
        head_learning_rate=None,
        accumulate_steps=1,
        label_smoothing=0.0,
        class_weight=None,
        max_grad_norm=1.0,
        freeze_layers="auto",
        freeze_dropout=False,
        frozen_cache="auto",
        pooling=None,
        members=1,
        validation_fraction=None,
        eval_every=None,
        early_stopping=False,
        patience=3,
        checkpoint_dir=None,
        checkpoint_every=None,
        checkpoint_keep=2,
        resume=False,
        warm_start=False,
        callbacks=None,
        log_file=None,
        track_examples=False,
        strip_html=False,
        precision="auto",
        inference_precision="auto",
        inference_long_text="windows",
        n_threads=None,
        memory_limit=None,
        time_budget=None,
        random_state=None,
        verbose=1,
    ):
        self.model = model
        self.max_length = max_length
        self.long_text = long_text
        self.stride = stride
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_ratio = warmup_ratio
        self.schedule = schedule
        self.layer_decay = layer_decay
        self.head_learning_rate = head_learning_rate
        self.accumulate_steps = accumulate_steps
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.max_grad_norm = max_grad_norm
        self.freeze_layers = freeze_layers
        self.freeze_dropout = freeze_dropout
        self.frozen_cache = frozen_cache
        self.pooling = pooling
        self.members = members
        self.validation_fraction = validation_fraction
        self.eval_every = eval_every
        self.early_stopping = early_stopping
        self.patience = patience
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_every = checkpoint_every
        self.checkpoint_keep = checkpoint_keep
        self.resume = resume
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.log_file = log_file
        self.track_examples = track_examples
        self.strip_html = strip_html
        self.precision = precision
        self.inference_precision = inference_precision
        self.inference_long_text = inference_long_text
        self.n_threads = n_threads
        self.memory_limit = memory_limit
        self.time_budget = time_budget
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fine-tune the model on texts and their labels.

        Parameters
        ----------
        X : list, Series or array of str
            The texts.
        y : list, Series or array
            One label a text: strings, booleans, whole numbers or a pandas categorical.
        sample_weight : array of float, optional
            What each text counts in the loss.
        X_val, y_val : as X and y, optional
            Texts that are scored after every epoch, for ``history_`` and early stopping, instead
            of a `validation_fraction` of X.

        Returns
        -------
        self

        Notes
        -----
        A classifier that the model brings is trained further if its classes bear the names of
        the labels; otherwise a new one takes its place.

        Ctrl-C or SIGTERM ends training between two steps: a checkpoint is written if there is a
        `checkpoint_dir`, the classifier is fitted with the model so far, and KeyboardInterrupt
        goes on to the caller. Any other error, such as a loss that is
        not finite, leaves the classifier as it was before the call.
        """
        return fit(self, X, y, sample_weight, X_val, y_val)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Go on training with some more texts: one pass over them.

        For data that comes bit by bit. AdamW's moments and the number of steps go on from call
        to call (after `fit` or `from_pretrained` they begin at zero). The learning rate is
        `learning_rate` throughout: how many calls will come is not known, so there is neither
        warm-up nor decay. `epochs`, `schedule`, held-out texts and checkpoints have no part.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`. The texts of one call are shuffled; they need not be of all classes.
        classes : list or array, optional
            All labels that will ever come; needed by the first call of a classifier that is
            not fitted.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            `classes` is missing or others than before, or y holds an unknown one.

        Notes
        -----
        The model is trained where it is. After an error in a later call, such as a loss that is
        not finite, it has what was learned before that step. Pickle keeps the moments,
        `save_pretrained` does not.
        """
        from bertsent.partial import partial_fit

        return partial_fit(self, X, y, classes, sample_weight)

    def predict(self, X):
        """Label of each text.

        Returns
        -------
        ndarray or pandas Categorical
            A Categorical if the training labels were one.
        """
        codes = self._logits(X).argmax(axis=1)
        return self._label_type.decode(codes)

    def predict_proba(self, X):
        """Probability of each class, in the order of ``classes_``.

        Returns
        -------
        ndarray of float64, shape (n_texts, n_classes)
        """
        return self._probabilities(X)

    def decision_function(self, X):
        """Logits, in the order of ``classes_``; of several members those of their vote.

        Returns
        -------
        ndarray of float32
            With two classes one number a text, the second logit minus the first; with
            more, shape (n_texts, n_classes).
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def tokens_read(self, X):
        """How many tokens each text has, and how many of them are read of it.

        Parameters
        ----------
        X : list, Series or array of str
            The texts.

        Returns
        -------
        DataFrame
            ``tokens`` and ``tokens_read``, int64, ``[CLS]`` and ``[SEP]`` not counted; with the
            index of X if that is a Series.
        """
        import pandas as pd

        self._check_ready()
        texts = self._texts(X, "X", arrow=True)
        totals = count_tokens(self.tokenizer_, texts, resolve_n_threads(self.n_threads))
        read = self._reader(self.model_).tokens_read(totals)
        index = X.index if isinstance(X, pd.Series) else None
        return pd.DataFrame({"tokens": totals, "tokens_read": read}, index=index)

    def audit(self, X=None, *, X_test=None, y_test=None, threshold=0.5):
        """Rank likely label errors, near-duplicates and leaks of the data of `fit`.

        Needs `track_examples`. Labels are judged by how training went and, if there is X, by a
        linear model of words (docs/audit.md). Near-duplicates need X, and leaks X_test too, since a
        classifier keeps no texts. 25,000 reviews take about a minute.

        Parameters
        ----------
        X : list, Series or array of str, optional
            The texts that `fit` was given, in their order.
        X_test, y_test : as X, and labels, optional
            Texts that should not be known from training. Those that `validation_fraction` held
            out are compared with training without being named here.
        threshold : float, default=0.5
            How much two texts must have in common to be near-duplicates: part of their runs of
            three words that both have, of all that either has. Chosen on film reviews, of which
            pairs above it are copies, and most below it are not.

        Returns
        -------
        DataFrame
            First one row for each training text, the likeliest label errors first (`kind`
            "label"); then near-duplicates, group by group, those with different labels first
            ("duplicate"); then texts held out of training that have a near-duplicate in it
            ("leak"). Columns: ``kind``; ``part`` ("train", "validation" or "test") and ``row``
            (its index if a Series was given) of the text; its ``label``; the ``suggested`` one
            (of "label" only); ``score``, from 0 to 1, by which labels are ranked, the similarity
            for the others; ``match``, ``match_label``: the most similar training text;
            ``disagree``, whether near-duplicates have different labels; ``group`` of
            near-duplicates; ``why``, in words.

        Raises
        ------
        ValueError
            Nothing was tracked; X is not what `fit` was given; `threshold` is out of range.
        """
        from bertsent.audit import audit

        return audit(self, X, X_test, y_test, threshold)

    def predict_batches(self, batches, text_column=None):
        """Label one batch of texts after the other, each when it is asked for.

        For what does not fit into memory at once, such as the chunks of a file:

        >>> chunks = pd.read_csv("reviews.csv.gz", chunksize=4096)     # doctest: +SKIP
        >>> for labelled in clf.predict_batches(chunks, "review"):     # doctest: +SKIP
        ...     labelled.to_sql("reviews", engine, if_exists="append")

        Parameters
        ----------
        batches : iterable of DataFrame, Series, list or array of str
            Some thousand texts each are best: texts of similar length are scored together,
            and a small batch has few of them.
        text_column : str, optional
            The column of texts, if the batches are DataFrames.

        Yields
        ------
        DataFrame
            ``predicted_label`` and ``confidence``, the probability of that label, with the
            index of the batch; for a DataFrame beside all of its columns.

        Raises
        ------
        TypeError
            An item is not a text. It is named by its batch and row.
        ValueError
            A DataFrame has no such column, or has one of those that are to be added.
        """
        from bertsent.stream import label_batches

        self._check_ready()
        return label_batches(self, batches, text_column)

    def predict_file(
        self, input, output, *, text_column="review", chunk_rows=4096, missing="error",
        overwrite=False,
    ):
        """Label a file of any size, in as much memory as a piece of it takes.

        Looks through the file first, so that an empty cell or a damaged end is found before
        the work and not after it. Then reads, scores and writes ``chunk_rows`` rows at a time.
        Ctrl-C or an error leaves ``output`` as it was.

        Parameters
        ----------
        input : str or path-like
            CSV, TSV or JSON Lines (each also .gz), Parquet, or an aclImdb folder.
        output : str or path-like
            The file to write, of one of these formats by its name; complete or not at all.
            All columns are kept, from Parquet to Parquet with their types, and two are
            added: ``predicted_label`` and ``confidence``, the probability of that label to
            six places.
        text_column : str, default="review"
            The column of texts.
        chunk_rows : int, default=4096
            Rows held at a time: enough to score texts of equal length together. More is
            hardly faster.
        missing : {"error", "skip"}, default="error"
            Rows with an empty text: stop before anything is scored, or leave them out.
        overwrite : bool, default=False
            Replace ``output`` if it exists.

        Returns
        -------
        ScoredFile
            A named tuple: ``rows`` written, and ``rows_left_out``.

        Raises
        ------
        FileExistsError
            ``output`` exists and ``overwrite`` is false.
        TypeError
            A cell is not a text. Its row, counted from 0 over the whole file, is named.
        ValueError
            The file cannot be read, is empty, has no such column, has an empty text
            (named by its row), or a column whose name is taken.
        """
        from bertsent.stream import label_file

        self._check_ready()
        return label_file(
            self, input, output, text_column=text_column, chunk_rows=chunk_rows,
            missing=missing, overwrite=overwrite, verbose=self.verbose,
        )

    def save_pretrained(self, directory, overwrite=False, *, int8=False):
        """Save model, tokenizer, parameters and labels.

        Parameters
        ----------
        directory : str or path-like
            Created if it does not exist. transformers opens it as well, unless `int8`; of
            several members it opens the first.
        overwrite : bool, default=False
            Replace files that bertsent wrote there before. Others are never touched.
        int8 : bool, default=False
            Keep the encoder's linear layers as int8, in a quarter of their room. With
            ``inference_precision="int8"`` predictions stay the same, bit by bit; in others
            they are those of the rounded weights. Only bertsent opens such a directory.
        """
        check_is_fitted(self)
        with atomic_directory(directory, overwrite) as scratch:
            self.save_files(scratch, int8=int8)

    def save_files(self, directory, *, int8=False):
        """Write the files of `save_pretrained` into an existing directory, one by one."""
        model = self.model_
        checkpoint.save_checkpoint(
            directory, model._config, model._engine, model._flat, tokenizer=self.tokenizer_,
            int8=int8,
        )
        for number, member in enumerate(self.models_[1:], 2):
            checkpoint.save_member(directory, number, member._engine, member._flat, int8=int8)
        saved.write_settings(
            directory,
            parameters=self.get_params(deep=False),
            label_type=self._label_type,
            learning_rate=self.learning_rate_,
            precision=self.precision_,
            history=self.history_,
            evaluations=self.evaluations_,
            best_step=self.best_step_,
            max_length=self.max_length_,
            plan=self.plan_,
            members=len(self.models_),
            text_hashes=self._text_hashes,
            examples=self._examples,
        )

    @classmethod
    def from_pretrained(cls, name_or_dir, *, revision=None):
        """Open a fitted classifier.

        Parameters
        ----------
        name_or_dir : str or path-like
            What `save_pretrained` has written. A classifier that transformers has saved opens
            too, with default parameters and the labels of its ``id2label``.
        revision : str, optional
            Branch, tag or commit, if it comes from the hub.

        Returns
        -------
        BertClassifier
        """
        directory = resolve(name_or_dir, revision=revision)
        settings = saved.read_settings(directory)
        model, fresh = load_model(directory, name_or_dir)
        if fresh:
            raise CheckpointError(
                f"{name_or_dir} is no fitted classifier, it has no {' and no '.join(fresh)}; "
                f"train one with BertClassifier({str(name_or_dir)!r}).fit(texts, labels)"
            )
        tokenizer = load_tokenizer(directory, model)
        if settings is None:
            settings = foreign_settings(name_or_dir, model)
        known = cls._get_param_names()
        parameters = settings.pop("parameters")
        classifier = cls(**{name: parameters[name] for name in known if name in parameters})
        n_labels = len(settings["label_type"].classes)
        if model.num_labels != n_labels:
            raise CheckpointError(
                f"{directory}: the model has {model.num_labels} classes, "
                f"{saved.SETTINGS_FILE} names {n_labels}"
            )
        further = range(2, settings.pop("members") + 1)
        models = [model, *(load_member(directory, number, model) for number in further)]
        return classifier._keep(models, tokenizer, **settings)

    def seen_in_training(self, X):
        """Which of the texts this classifier was trained on.

        Returns
        -------
        ndarray of bool
        """
        check_is_fitted(self)
        return np.isin(hash_texts(self._texts(X, "X")), self._text_hashes)

    def _keep(
        self, models, tokenizer, *, label_type, learning_rate, precision, history, evaluations,
        best_step, text_hashes, max_length, plan=None, training_rows=None, validation_rows=None,
        examples=None,
    ):
        """Become fitted, all at once."""
        self.classes_ = label_type.classes
        self.learning_rate_ = learning_rate
        self.precision_ = precision
        self.max_length_ = max_length
        self.plan_ = plan
        self.history_ = history
        self.evaluations_ = evaluations
        self.best_step_ = best_step
        self.training_rows_ = training_rows
        self.validation_rows_ = validation_rows
        self.example_history_ = None if examples is None else examples.table(label_type)
        self._examples = examples
        self.n_features_in_ = 1
        self.model_ = models[0]
        self.models_ = models
        self.tokenizer_ = tokenizer
        self._label_type = label_type
        self._text_hashes = text_hashes
        self._moments = None
        return self

    def _texts(self, X, name, arrow=False):
        texts = check_texts(X, name, arrow=arrow and not self.strip_html)
        return [strip_html(text) for text in texts] if self.strip_html else texts

    def _check_ready(self):
        """Raise if predicting cannot work; return what it computes in."""
        check_is_fitted(self)
        check_parameters(self.get_params(deep=False))
        return resolve_precision(self.inference_precision, "inference_precision")

    def _probabilities(self, X, report=None):
        return np.exp(log_softmax(self._logits(X, report)))

    def _label(self, X, report=None):
        """Label of each text, and its probability."""
        probabilities = self._probabilities(X, report)
        labels = self._label_type.decode(probabilities.argmax(axis=1))
        return labels, probabilities.max(axis=1, initial=0.0)

    def _logits(self, X, report=None):
        precision = self._check_ready()
        n_threads = resolve_n_threads(self.n_threads)
        texts = self._texts(X, "X", arrow=True)
        reader, opinions = None, []
        for number, model in enumerate(self.models_):
            before, reader = reader, self._reader(model, number)
            if reader != before:
                tokens = reader.encode(self.tokenizer_, texts, n_threads)
                windows = Windows.of(tokens)
            logits = score_pieces(
                model, tokens.ids, tokens.offsets, n_threads,
                report and partial(_report_member, report, number, len(self.models_)),
                precision=precision, memory_limit=self.memory_limit,
            )
            opinions.append(logits if windows is None else windows.mean(logits))
        return opinions[0] if len(opinions) == 1 else vote(opinions)

    def _reader(self, model, number=0, *, inference=True):
        """How a member reads texts; an error if its model has too few positions."""
        all_parameters = member_parameters(self.get_params(deep=False))
        # One that is short of parameters has been given a number of members since.
        parameters = all_parameters[min(number, len(all_parameters) - 1)]
        if isinstance(parameters["max_length"], str) and hasattr(self, "max_length_"):
            lengths = self.max_length_
            parameters = parameters | {
                "max_length": lengths[number] if is_list(lengths) else lengths
            }
        positions = model.config["max_position_embeddings"]
        return Reader.of(parameters, positions, inference=inference)


def _report_member(report, number, members, part):
    """Tell which part of all is done by that of one member."""
    report((number + part) / members)
