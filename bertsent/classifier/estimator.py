"""`BertClassifier`, a scikit-learn classifier that fine-tunes a BERT model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, clone

from bertsent.classifier.base import BertEstimator, FittedAttribute, predictor
from bertsent.classifier.evaluation import Evaluation, evaluate
from bertsent.classifier.parameters import CLASSIFICATION
from bertsent.classifier.recipes import with_recipe
from bertsent.objectives import choose_objective
from bertsent.system import interruptible
from bertsent.texts import in_memory_all

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self

    from bertsent.objectives import Objective
    from bertsent.texts import Labels, Texts

Part: TypeAlias = Literal["head", "tail", "head+tail", "windows"]


# scikit-learn has no type hints.
class BertClassifier(ClassifierMixin, BertEstimator):  # type: ignore[misc]
    """A scikit-learn classifier that fine-tunes a BERT model on labelled texts.

    `fit` takes a list or column of texts and one label for each, or any number of labels for each
    (docs/tasks.md); pairs of texts are two columns. It starts from a pretrained
    model, adds a new classification layer, and trains with AdamW. Tokenizer, model and optimizer
    run in C on the CPU. All parameters have defaults that work: MiniLM, which is small and fast,
    is trained for three epochs on up to 256 tokens of each text.

    docs/training.md explains how the parameters work together, and docs/recipes.md measures what
    they contribute. `bertsent.RECIPES` has two sets of tuned parameters.

    Parameters
    ----------
    model : str or path-like, default="minilm"
        Model to start from: ``"minilm"`` for all-MiniLM-L6-v2, the id of a BERT model on the
        Hugging Face hub such as ``"bert-base-uncased"``, or a directory in Hugging Face's layout.
        ``"auto"`` is all-mpnet-base-v2 if that is installed and expected to be more accurate within
        the `time_budget`, otherwise MiniLM. ``plan_["model"]`` is the one that was chosen.
    max_length : int or "auto", default="auto"
        Number of tokens that the model reads at once, including ``[CLS]`` and ``[SEP]``. "auto"
        is 256, or the number of positions of the model if that is smaller. With a `time_budget`,
        "auto" is chosen to fit. For a sentence encoder it is at most ``max_seq_length`` in its
        ``sentence_bert_config.json``, the length of the texts that it was trained with.
    long_text : {"head", "tail", "head+tail", "windows"}, default="tail"
        What training reads of a text that is longer than `max_length`: its beginning; its end; a
        quarter of `max_length` from the beginning and the rest from the end; or all of it, in
        windows of `max_length`. The logits of a text in windows are the mean of those of its
        windows, weighted by their number of tokens. The default is the end because film reviews
        end with their verdict, and models that read the end were much more accurate
        (docs/recipes.md). News articles, for example, begin with what matters.
    stride : int, default=0
        Number of tokens that consecutive windows share. With the default, every token is read
        once, which takes the least time.
    epochs : int or "auto", default="auto"
        Number of passes over the training texts. "auto" is 3. With a `time_budget`, "auto" is
        chosen to fit.
    batch_size : int, default=16
        Number of texts per step. The last batch of an epoch may be smaller.
    learning_rate : float or "auto", default="auto"
        Peak learning rate. "auto" depends on the model: 1e-4 for hidden sizes up to 512, such as
        that of MiniLM, 3e-5 for larger models, and 3e-3 if only pooler and classification layer
        are trained. ``learning_rate_`` is the one that was used.
    weight_decay : float, default=0.01
        Decoupled weight decay of AdamW. It does not apply to biases and LayerNorm.
    warmup_ratio : float, default=0.1
        Fraction of the steps in which the learning rate rises from 0 to its peak.
    schedule : {"linear", "cosine", "constant"}, default="linear"
        Learning rate after the warm-up: it falls to 0, linearly or along half a cosine wave, or
        stays constant.
    layer_decay : float, default=1.0
        Learning rate of each layer relative to that of the layer above it; the embeddings come
        last. With the default, all layers have the same learning rate.
    head_learning_rate : float, "auto" or None, default="auto"
        Peak learning rate of pooler and classification layer. "auto" is 1e-3 if `learning_rate` is
        "auto" too, the classification layer is new, and the hidden size is above 512: the rate of
        a large model is too low for random weights. Otherwise, and in `partial_fit`, it is
        `learning_rate`. None always means `learning_rate`.
    accumulate_steps : int, default=1
        Number of batches whose gradients are added up for one step. The result is exactly that of
        a `batch_size` that many times as large. Memory grows with neither of them.
    label_smoothing : float, default=0.0
        Fraction of each target that is spread evenly over all classes.
    class_weight : None, "balanced" or dict, default=None
        Weight of each class in the loss, which is multiplied by `sample_weight`. "balanced" gives
        every class the same total weight. In a dictionary, labels that are left out have weight 1.
        If a text can have several labels, it is the weight of a label in the loss of the texts that
        have it, relative to those that do not; "balanced" is the number of the latter divided by
        that of the former.
    ordinal : bool, default=False
        Whether the classes have an order that is to be learned, such as one to five stars. A
        prediction then costs more the further it is from the truth: the loss is the mean of the
        binary cross-entropies of "above the first class", "above the second" and so on
        (docs/tasks.md). The median of the probabilities is predicted, which has the least expected
        error in ranks, unless `decision_threshold` or `cost_matrix` decides. Needs one class for
        each text; cannot be combined with `teacher`.
    class_order : list, array or None, default=None
        All classes from the lowest to the highest, for `ordinal`. None means the order of the
        numbers that occur, or of the categories of an ordered pandas Categorical; for other labels,
        that is an error. A class that no text has keeps its rank.
    label_threshold : float or "f1", default=0.5
        Probability from which a label is predicted, if a text can have several. It may be changed
        at any time. "f1" chooses it for each label after training, so that the F1 on the held-out
        texts is highest; these are ``thresholds_``. After an interruption, "f1" is 0.5.
    calibrated : bool, default=False
        Whether logits are divided by a temperature before they become probabilities (Guo et al.
        2017 [3]_), so that a confidence of 0.9 means that nine of ten such predictions are right.
        The temperature is learned at the end of `fit` on the held-out texts, if there are any, and
        saved; for several labels, one for each. After an interruption, it is 1 if this is True.
        The likeliest class stays the same; what is predicted by `decision_threshold`,
        `cost_matrix` or a number for `label_threshold` other than 0.5 can change. It may be changed
        at any time (docs/decisions.md). The default leaves the probabilities as the model was
        trained to give them, which other programs compute too.
    decision_threshold : float, default=0.5
        Probability from which the second of two classes (of ``classes_``) is predicted, from 0 to
        1. It may be changed at any time; training does not use it.
    cost_matrix : list, array of shape (n_classes, n_classes) or None, default=None
        What each decision costs: a row for each true class and a column for each decision, in the
        order of ``classes_``. The class with the lowest expected cost is predicted. None predicts
        the likeliest class, or the median with `ordinal`. It may be changed at any time; training
        does not use it.
    max_grad_norm : float, default=1.0
        Largest norm of the gradient over all parameters; larger gradients are scaled down. 0
        turns clipping off.
    freeze_layers : int, "all" or "auto", default="auto"
        Number of lower layers that are not trained, together with the embeddings; "all" trains
        only pooler and classification layer. "auto" is 0, which trains everything. With a
        `time_budget`, "auto" is chosen to fit.
    freeze_dropout : bool, default=False
        Whether frozen layers have no dropout. They then give the same output in every epoch, so
        that `frozen_cache` can store it.
    frozen_cache : {"auto", "float32", "bfloat16", "off"}, default="auto"
        How the output of frozen layers without dropout is stored, so that it is computed only
        once for each text and not in every epoch: in float32, in bfloat16, which rounds it and
        takes half the space, or not at all ("off"). It is stored in memory if it takes at most a
        quarter of the free memory, or fits into `memory_limit`. Otherwise it is stored in a
        file in the user's cache folder, which is removed when `fit` ends. "auto" is "float32" if
        there is more than one epoch and the output takes at most 20 GB, which is enough for
        50,000 texts of 256 tokens with MiniLM, and "off" otherwise.
    pooling : None, "cls" or "mean", default=None
        What pooler and classification layer read from the last layer: the output for ``[CLS]``,
        or the mean over all tokens of a text. None means as saved with the model, or "cls" if
        nothing was saved. Other programs ignore "mean" and use ``[CLS]``.
    few_shot : bool, default=False
        Whether to learn from a few labels of each class, up to about 100 (docs/labels.md). The
        encoder is trained so that the vectors of texts, the means over their tokens, are alike
        within a class and unlike others (supervised contrastive loss; Khosla et al. 2020). Then a
        logistic regression on these vectors becomes the pooler and the classification layer; with
        `ordinal`, its loss is that of ordered classes.
        ``epochs="auto"`` reads each text 3 to 10 times, the more often the fewer there are. A step
        has room for at least 4 texts of each class, even if `batch_size` is smaller; the steps of
        an epoch are of nearly equal size, and have the classes in about the shares of the data.
        ``pooling=None`` means "mean", unless a warm start continues with another. Needs one class
        for each text; cannot be combined with `teacher`, `time_budget`, `track_examples`,
        `label_smoothing` or ``freeze_layers="all"``.
    members : int or list of dict, default=1
        Number of models to train on the same texts, one after the other, each with its own new
        weights, order of texts and dropout. Predictions use the mean of their probabilities,
        which is more accurate than a single model (docs/recipes.md). Training and prediction take
        as many times as long. The first model is that of ``members=1``. Models that differ help
        more: a list of dictionaries overrides, for each member, `max_length`, `long_text`,
        `stride` or parameters of training, as in ``[{"freeze_layers": 2}, {"max_length": 512}]``.
        Cannot be combined with `time_budget`.
    words : bool, default=False
        Whether a linear model of words also votes: a logistic regression on TF-IDF of words and
        word pairs. It reads whole texts, is trained before the other models, in about a millisecond
        a text, and makes other mistakes than they do (docs/recipes.md). Probabilities are
        mixed with the weight that has the least log loss on the held-out texts; if these are fewer
        than 100, the weight is 0.5. Labels and weights are those of the other models. With
        `warm_start`, it is trained anew; `partial_fit` keeps the one of `fit`. Its memory is not
        part of `memory_limit`.
    teacher : BertClassifier, str, path-like, list of these or None, default=None
        A fitted classifier that this one, the student, also learns from (distillation), or the
        directory in which one was saved. It scores the training texts once, as it was saved to
        read them, and the texts without labels that `fit` is given. A larger model can make a small
        one more accurate, which stays as fast as before. Of several teachers, the probabilities are
        averaged. They must have the same classes. The student is saved without its teacher.
    distillation_loss : {"kl", "mse"}, default="kl"
        How the student is compared with its teacher. "kl" is the Kullback-Leibler divergence of
        the student's probabilities from the teacher's, both at `temperature`, multiplied by the
        square of the temperature [1]_. "mse" is the mean squared error of the logits [2]_.
    temperature : float, default=2.0
        Number by which logits are divided before the probabilities are compared. Higher
        temperatures make these more even, so that classes with low probabilities count more. It
        has no effect on "mse".
    teacher_weight : float, default=0.5
        Weight of the teacher's part of the loss, from 0 to 1. The part of the labels has the rest.
        Texts without labels only have the teacher's part.
    validation_fraction : float or None, default=None
        Fraction of the texts given to `fit` to hold out from training and to score after every
        epoch. The split is shuffled and stratified, and equal texts are kept together. None holds
        out nothing.
    eval_every : int or None, default=None
        Number of steps after which the held-out texts are also scored. None scores them only after
        every epoch.
    early_stopping : bool, str, callable or None, default=False
        Whether to stop when the loss ("loss" or True) or a metric on the held-out texts no longer
        improves, and to restore the best weights. "accuracy" is for one label per text, and for
        several there are "f1" (the mean over texts), "micro_f1" (over all decisions) and "macro_f1"
        (over labels). Other names are those of ``sklearn.metrics.get_scorer_names()``, such as
        "f1", "f1_macro", "roc_auc" and "average_precision"; with two classes, the second of
        ``classes_`` is the positive one. A scorer, such as ``make_scorer`` makes, gets an
        estimator, the numbers of the held-out texts and their labels, or an indicator matrix if a
        text can have several. With `ordinal`, there are also "mae" (the mean absolute error in
        ranks) and "quadratic_kappa" (Cohen's kappa with quadratic weights); a scorer gets ranks
        from 0 if it is named. A scorer itself is not saved with the model, only its name is. None
        is False.
    patience : int, default=3
        Number of evaluations in a row without improvement after which early stopping stops.
    checkpoint_dir : str, path-like or None, default=None
        Directory for checkpoints of the run, so that it can be resumed after an interruption. Every
        run needs its own directory.
    checkpoint_every : int or None, default=None
        Number of steps between two checkpoints. None writes one after every epoch.
    checkpoint_keep : int, default=2
        Number of checkpoints to keep, the newest ones.
    resume : bool, default=False
        Whether to continue from the newest checkpoint in `checkpoint_dir`. The resulting model is
        exactly the same as without the interruption. If there is no checkpoint yet, training
        starts from the beginning.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted model instead of `model`. The classes must be the
        same. Optimizer, learning rate and history start anew.
    callbacks : callback, list of callbacks or None, default=None
        Functions, or objects with methods such as ``on_step``, that are called on every step,
        evaluation and epoch and may end training. They are not saved with the classifier.
    log_file : str, path-like or None, default=None
        File to which a line of JSON is appended for every step, evaluation and epoch.
    hash_every : int or None, default=None
        Number of steps between two hashes of the parameters in `log_file`. The log then also holds
        all that is needed to repeat the run, so that `bertsent.verify` can train again and name the
        first step that differs. A hash takes about 0.15 seconds for MiniLM. None adds no hashes.
    track_examples : bool, default=False
        Whether to record the loss of each training text and the probability of its label in each
        epoch, for ``example_history_`` and `audit`. This takes 16 bytes per text and epoch, and
        hardly any time.
    strip_html : bool, default=False
        Whether to remove HTML tags from the texts, in training and in prediction.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the encoder's matrix products in training. "auto" is bfloat16 where the
        processor is faster in it, and float32 elsewhere; ``precision_`` is the one that was used.
        bfloat16 only rounds the factors of products: sums, weights, gradients and the moments of
        AdamW are always float32 (docs/precision.md). On a machine without bfloat16, "bfloat16" is
        an error.
    inference_precision : {"auto", "float32", "bfloat16", "int8"}, default="auto"
        The same for prediction and for held-out texts; it may be changed at any time. "auto" is
        never int8, because int8 is less accurate.
    inference_long_text : None or as `long_text`, default="windows"
        What prediction reads of a text that is longer than `max_length`, including held-out
        texts; it may be changed at any time. The default is to read all of it, because this raised
        the accuracy on film reviews by 1 to 3 points, whatever training read (docs/recipes.md).
        The time for prediction then grows with the full length of the texts. None reads the same
        as training.
    n_threads : int or None, default=None
        Number of threads, which does not affect the result. None means ``BERTSENT_NUM_THREADS``,
        else ``OMP_NUM_THREADS``, else all CPUs available to the process.
    memory_limit : int, str or None, default=None
        Limit for weights, gradients, moments and activations together, in bytes or as a size such
        as "2GB". If a batch would take more, smaller parts of it go through the model at a time;
        the gradient is the same apart from rounding. If the limit is too small, the error names
        the smallest possible one. The limit does not include texts, tokens, Python itself, and
        the file of a `frozen_cache`. None processes about 2,048 tokens at a time.
    time_budget : float, str or None, default=None
        Time that `fit` may take in total, in seconds or as a time such as "30min" or "1h30min".
        `fit` then measures the machine, chooses `max_length`, `epochs` and `freeze_layers` where
        they are "auto", prints the plan, and finishes on time, with the best weights if texts are
        held out. The result depends on the speed of the machine (docs/training.md).
    random_state : int, RandomState or None, default=None
        Seed of new weights, the held-out texts, the order of the texts and dropout. On one machine,
        the same integer gives exactly the same model, on any number of threads.
    verbose : int, default=1
        0 for silence, 1 for progress. If scikit-learn fits the classifier many times, as in a grid
        search, 1 shows one line for each fit, and 2 shows all progress there as well.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted, or in their order with `ordinal`. If `y` is a table, the names of its
        columns, and if it is an indicator matrix, their numbers.
    thresholds_ : ndarray of shape (n_classes,) or None
        Probability from which each label is predicted with ``label_threshold="f1"``, 0.5 if none
        was chosen; None if each text has one label. `evaluate` reports what is used with another
        `label_threshold` or a temperature.
    calibration_ : float, ndarray of shape (n_classes,) or None
        Temperature that was learned on the held-out texts; one for each label if a text can have
        several. None without held-out texts.
    learning_rate_ : float, None or list of float
        Peak learning rate that was used; None for a model that another program saved. A list if
        `members` is a list.
    max_length_ : int or list of int
        Number of tokens that the model read at once in training. Prediction uses it if
        `max_length` is "auto". A list if `members` is a list.
    word_weight_ : float or None
        Weight of the linear model of words in the vote, from 0 to 1; None without `words`.
    plan_ : dict or None
        The plan for a `time_budget`: the chosen ``epochs``, ``max_length`` and ``freeze_layers``;
        the number of ``texts`` that were trained on, of ``all_texts``, of ``steps`` and of
        ``evaluations``; and in seconds the ``budget``, the time ``used`` before training, and the
        expected times of ``training`` and ``evaluation``. ``frozen`` is the part of the former in
        which frozen layers are computed once. With a teacher, also the expected time of its
        scoring, ``teacher``, which is part of ``used``. None without a budget.
    precision_ : str or None
        Precision that was used in training; None for a model that another program saved.
    history_ : list of dict
        One row per epoch: ``epoch``, ``loss``, ``accuracy``, ``tokens`` and ``seconds``. With
        held-out texts, also ``validation_loss`` and ``validation_accuracy``. If a text can have
        several labels, there is ``f1`` instead of the accuracy, the mean over texts, and on
        held-out texts also ``validation_micro_f1`` and ``validation_macro_f1``. With `ordinal`,
        also ``validation_mae`` and ``validation_quadratic_kappa``. If training ended
        within an epoch, its row has a ``part``, the fraction of the texts that were trained on.
        With several members, the rows of all of them, with ``member`` from 1.
    evaluations_ : list of dict
        One row per evaluation of held-out texts: ``step``, ``epoch``, ``validation_loss`` and the
        metrics, as in ``history_``, and what `early_stopping` watches: ``validation_f1_macro`` for
        "f1_macro", and ``validation_score`` for a scorer that is not named. With several members,
        also ``member``.
    teachers_ : list of dict or None
        The ``name`` of each teacher, and the ``hash`` of its weights, its tokenizer and how it
        reads texts. None without a teacher.
    best_step_ : int, None or list of these
        Number of steps before the evaluation whose weights were kept, by early stopping or with a
        time budget. A list if there are several members.
    training_rows_ : ndarray of int or None
        Row numbers of the texts that were trained on; None after `from_pretrained` and
        `partial_fit`.
    validation_rows_ : ndarray of int or None
        Row numbers of the texts that `validation_fraction` held out; None if there are none, and
        after `from_pretrained`.
    example_history_ : DataFrame or None
        One row for each training text and epoch: ``row`` (in the texts given to `fit`), ``epoch``,
        ``loss``, ``probability`` of the label, ``margin`` (logit of the label minus the largest
        other logit) and ``other`` (the class of that logit). With several members, it is that of
        the first. None without `track_examples`.
    n_features_in_ : int
        Number of columns of texts: 1, or 2 for pairs.
    feature_names_in_ : ndarray of shape (``n_features_in_``,)
        Names of the columns of texts. Defined only if `X` was a table in `fit`.
    model_ : BertForSequenceClassification
        The fine-tuned model, the first one if there are several members.
    models_ : list of BertForSequenceClassification
        The models of all members. After an interruption, those that were finished.
    tokenizer_ : Tokenizer
        The tokenizer.

    See Also
    --------
    bertsent.pretrain : Adapts a model to unlabelled texts, before `fit`.
    bertsent.BertForSequenceClassification : The model without texts, labels and training.

    References
    ----------
    .. [1] Hinton, Vinyals & Dean (2015), Distilling the Knowledge in a Neural Network.
    .. [2] Turc, Chang, Lee & Toutanova (2019), Well-Read Students Learn Better.
    .. [3] Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks.

    Examples
    --------
    >>> import pandas as pd
    >>> from bertsent import BertClassifier
    >>> train, test = pd.read_csv("tickets.csv"), pd.read_csv("held-out.csv")
    >>> clf = BertClassifier("minilm", epochs=5, batch_size=8, random_state=0)
    >>> clf = clf.fit(train["text"], train["team"])
    >>> clf.score(test["text"], test["team"])
    1.0
    >>> clf.predict(["The invoice is wrong.", "I cannot log in."])
    array(['billing', 'access'], dtype=object)
    >>> clf.save_pretrained("my-model")
    """

    _problem_types = (
        "single_label_classification", "multi_label_classification", "ordinal_classification",
    )
    _own_parameters = tuple(p.name for p in CLASSIFICATION)

    classes_ = FittedAttribute[npt.NDArray[Any]]()
    thresholds_: FittedAttribute[npt.NDArray[np.float64] | None] = FittedAttribute()
    calibration_ = FittedAttribute[float | npt.NDArray[np.float64] | None]()

    def __init__(
        self,
        model: str | PathLike[str] = "minilm",
        *,
        max_length: int | Literal["auto"] = "auto",
        long_text: Part = "tail",
        stride: int = 0,
        epochs: int | Literal["auto"] = "auto",
        batch_size: int = 16,
        learning_rate: float | Literal["auto"] = "auto",
        weight_decay: float = 0.01,
        warmup_ratio: float = 0.1,
        schedule: Literal["linear", "cosine", "constant"] = "linear",
        layer_decay: float = 1.0,
        head_learning_rate: float | Literal["auto"] | None = "auto",
        accumulate_steps: int = 1,
        label_smoothing: float = 0.0,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        ordinal: bool = False,
        class_order: Sequence[Any] | npt.NDArray[Any] | None = None,
        label_threshold: float | Literal["f1"] = 0.5,
        calibrated: bool = False,
        decision_threshold: float = 0.5,
        cost_matrix: npt.ArrayLike | None = None,
        max_grad_norm: float = 1.0,
        freeze_layers: int | Literal["all", "auto"] = "auto",
        freeze_dropout: bool = False,
        frozen_cache: Literal["auto", "float32", "bfloat16", "off"] = "auto",
        pooling: Literal["cls", "mean"] | None = None,
        few_shot: bool = False,
        members: int | Sequence[Mapping[str, Any]] = 1,
        words: bool = False,
        teacher: BertClassifier | str | PathLike[str] | Sequence[Any] | None = None,
        distillation_loss: Literal["kl", "mse"] = "kl",
        temperature: float = 2.0,
        teacher_weight: float = 0.5,
        validation_fraction: float | None = None,
        eval_every: int | None = None,
        early_stopping: bool | str | Callable[..., float] | None = False,
        patience: int = 3,
        checkpoint_dir: str | PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        checkpoint_keep: int = 2,
        resume: bool = False,
        warm_start: bool = False,
        callbacks: Any = None,
        log_file: str | PathLike[str] | None = None,
        hash_every: int | None = None,
        track_examples: bool = False,
        strip_html: bool = False,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        inference_precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto",
        inference_long_text: Part | None = "windows",
        n_threads: int | None = None,
        memory_limit: int | str | None = None,
        time_budget: float | str | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 1,
    ) -> None:
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
        self.ordinal = ordinal
        self.class_order = class_order
        self.label_threshold = label_threshold
        self.calibrated = calibrated
        self.decision_threshold = decision_threshold
        self.cost_matrix = cost_matrix
        self.max_grad_norm = max_grad_norm
        self.freeze_layers = freeze_layers
        self.freeze_dropout = freeze_dropout
        self.frozen_cache = frozen_cache
        self.pooling = pooling
        self.few_shot = few_shot
        self.members = members
        self.words = words
        self.teacher = teacher
        self.distillation_loss = distillation_loss
        self.temperature = temperature
        self.teacher_weight = teacher_weight
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
        self.hash_every = hash_every
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = not self.ordinal
        return tags

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted classifier with the same parameters, and with the same teacher."""
        # clone would replace the teacher by one that is not fitted.
        parameters = {
            name: value if name == "teacher" else clone(value, safe=False)
            for name, value in self.get_params(deep=False).items()
        }
        copied = type(self)(**parameters)
        # What set_fit_request and set_output recorded, which clone copies too.
        for name in ("_metadata_request", "_sklearn_output_config"):
            if name in vars(self):
                setattr(copied, name, copy.deepcopy(vars(self)[name]))
        if "_skl_callbacks" in vars(self):  # those of scikit-learn, which clones share
            copied._skl_callbacks = self._skl_callbacks
        return copied

    def _choose_objective(self, y: Labels) -> type[Objective]:
        return choose_objective(self._problem_types, y, ordinal=bool(self.ordinal))

    def fit(
        self,
        X: Texts,
        y: Labels,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: Texts | None = None,
        y_val: Labels | None = None,
        unlabelled: Texts | None = None,
    ) -> Self:
        """Fine-tune the model on texts and their labels.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts. Columns may be from pandas, Polars or pyarrow; an array may have the shape
            (n_texts, 1).
        y : list, Series, array or table of one column
            The labels, one for each text: strings, booleans or whole numbers. Predictions have
            their type, and are a pandas Categorical if `y` was one.

            If a text can have any number of labels: a column whose items are lists, tuples or sets
            of labels, or an indicator matrix of 0 and 1 with a column for each label, as an array,
            sparse matrix or table. Predictions have the same form.
        sample_weight : array of float, shape (n_texts,), or None, default=None
            Weight of each text in the loss. None means equal weights.
        X_val, y_val : as X and y, or None, default=None
            Held-out texts and labels, which are scored after every epoch for ``history_`` and
            early stopping. They replace `validation_fraction`.
        unlabelled : as X, or None, default=None
            Further texts for which only the `teacher` says what they are. Texts that are also
            among the labelled or the held-out texts are left out. Each has the mean weight of the
            labelled texts. In ``history_``, the accuracy on them is the agreement with the teacher.

        Returns
        -------
        self : BertClassifier

        Raises
        ------
        CheckpointError
            The model cannot be used, or the checkpoint belongs to another run.
        FileExistsError
            `checkpoint_dir` contains checkpoints, and `resume` is false.
        FloatingPointError
            The loss or the gradient is not finite. A lower `learning_rate` usually helps.
        KeyboardInterrupt
            Ctrl-C was pressed, or SIGTERM or SIGHUP received. Training stops after the current
            step, and the classifier is fitted with the model trained so far. The message says at
            which step that was. With `checkpoint_dir`, a checkpoint is written. Before the first
            step, the classifier is as it was.
        ModelNotFoundError
            There is no such model, or it cannot be downloaded.
        TypeError, ValueError
            A parameter has an invalid value, an item of `X` is not a text, or `y` is not valid.

        Notes
        -----
        If the model already has a classification layer whose classes have the same names as the
        labels, that layer is trained further. Otherwise a new one is added.

        After any error but KeyboardInterrupt, the classifier is as it was before the call.
        """
        X, y, X_val, y_val = in_memory_all(X=X, y=y, X_val=X_val, y_val=y_val)
        return self._fit(
            lambda: self._choose_objective(y), X, y, sample_weight, X_val, y_val,
            unlabelled=unlabelled,
        )

    def partial_fit(
        self,
        X: Texts,
        y: Labels,
        classes: Labels | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Train on more texts, in one pass over them.

        This is for data that arrives in batches. The moments of AdamW and the number of steps
        continue from call to call; after `fit` and `from_pretrained` they start at 0. The learning
        rate is constant, without warm-up and decay, because the number of calls is unknown.
        `epochs`, `schedule`, held-out texts and checkpoints are not used. A `teacher` is an error.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`. The texts of a call are shuffled. They need not include all classes.
        classes : list, array or None, default=None
            All labels that may ever occur. Required in the first call, unless the classifier is
            fitted.

        Returns
        -------
        self : BertClassifier

        Raises
        ------
        ValueError
            `classes` is missing or differs from earlier calls, or `y` contains an unknown class.

        Notes
        -----
        The model is trained in place. If a later call fails, for example because the loss is not
        finite, it keeps what was learned in the steps before. Pickle preserves the moments of
        AdamW, `save_pretrained` does not.
        """
        from bertsent.classifier.partial import partial_fit

        X, y = in_memory_all(X=X, y=y)
        return self._learn(lambda: partial_fit(
            self._checked_parameters(), self._choose_objective(y), X, y, classes, sample_weight,
            self._fitted,
        ))

    def predict(self, X: Texts, *, abstain: float | None = None) -> Any:
        """Predict the label of each text, or its labels.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        abstain : float or None, default=None
            Confidence from 0 to 1, the probability of the predicted label, below which nothing is
            predicted. It needs one label for each text.

        Returns
        -------
        labels : ndarray or pandas Categorical, shape (n_texts,)
            A Categorical if the training labels were one. With `abstain`, an array of objects with
            None, or a Categorical with missing values, where nothing is predicted. If a text can
            have several labels, they have the form of `y` in `fit`: an indicator matrix of shape
            (n_texts, n_classes), dense, sparse or as a DataFrame with the index of `X`, or a list
            with a list, tuple or set for each text.
        """
        return predictor(self, abstain).predict(X)

    def score(
        self, X: Texts, y: Labels, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Return the accuracy on texts and their labels.

        Parameters
        ----------
        X : as in `predict`
            The texts.
        y : as in `fit`
            Their labels. A label that is not in ``classes_`` counts as an error of the classifier.
        sample_weight : array of float, shape (n_texts,), or None, default=None
            Weight of each text. None means equal weights.

        Returns
        -------
        float
            The share of the texts whose label is predicted, or all of whose labels are.

        Raises
        ------
        TypeError, ValueError
            An item of `X` is not a text, or `y` is not valid or of another type than the classes.
        """
        return predictor(self).score(X, y, sample_weight)

    def predict_proba(self, X: Texts) -> npt.NDArray[np.float64]:
        """Predict the probability of each class.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.

        Returns
        -------
        probabilities : ndarray of float64, shape (n_texts, n_classes)
            In the order of ``classes_``. If a text can have several labels, they do not add up to
            1; this is the form of scikit-learn's MLPClassifier and OneVsRestClassifier.
        """
        return predictor(self).predict_proba(X)

    def decision_function(self, X: Texts) -> npt.NDArray[np.float32]:
        """Compute the logit of each class.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.

        Returns
        -------
        logits : ndarray of float32, shape (n_texts, n_classes) or (n_texts,)
            In the order of ``classes_``. With two classes, the second logit minus the first, unless
            a text can have several labels. With several members or `words`, logits whose
            probabilities are the mean of theirs.
        """
        return predictor(self).decision_function(X)

    def evaluate(
        self, X: Texts, y: Labels, *, label_map: Mapping[Any, Any] | None = None,
        abstain: float | None = None, report: str | PathLike[str] | None = None,
        explain: int = 0, overwrite: bool = False,
    ) -> Evaluation:
        """Test the classifier: accuracy, precision, recall and F1 by class, and confusions.

        `bertsent evaluate` prints the same report.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            The texts.
        y : list, Series, array or table of one column
            Their labels, in the type of the training labels.
        label_map : dict or None, default=None
            The classes that labels with other names mean, such as
            ``{"neg": "LABEL_0", "pos": "LABEL_1"}``: the label of `y` comes first. Labels that
            are not in it must be classes.
        abstain : float or None, default=None
            As in `predict`. ``abstention`` in the result then has the ``coverage``, which is the
            share of the texts that are decided, and the ``accuracy`` among them.
        report : str, path-like or None, default=None
            File of HTML to write, for people: metrics with confidence intervals, confusions,
            reliability, precision and recall, errors by length, and the worst and most uncertain
            texts. It contains these texts (docs/decisions.md).
        explain : int, default=0
            Number of the worst and of the most uncertain texts, up to 15 each, whose words are
            marked in `report` by what they add to the prediction, as `explain` does. None are by
            default, because an explanation takes about as long as 40 predictions.
        overwrite : bool, default=False
            Whether to replace `report` if it exists.

        Returns
        -------
        result : Evaluation
            A dictionary of metrics, which are also attributes. It prints as a report, and a
            notebook shows it as HTML. It says how many of the texts were used in training, and
            how accurate predictions for the others are.

        Raises
        ------
        TypeError, ValueError
            An item of `X` is not a text; a label of `y`, or what `label_map` gives for it, is not
            a class; or `explain` is set without `report`, or for a model without a mask token.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertsent import BertClassifier
        >>> clf, test = BertClassifier.from_pretrained("tickets-model"), pd.read_csv("held-out.csv")
        >>> result = clf.evaluate(test["text"], test["team"])
        >>> print(result)
        accuracy ...% on 16 texts, computed in ...
        class    precision  recall      F1  texts
        access   ...
        billing  ...
        confusion matrix (rows: true class, columns: predicted)
        ...
        >>> result.accuracy == result["accuracy"] > 0.7
        True
        """
        return evaluate(
            predictor(self, abstain), X, y, self.verbose, label_map, report=report,
            explain=explain, overwrite=overwrite,
        )

    @interruptible("the audit was interrupted")
    def audit(
        self,
        X: Texts | None = None,
        *,
        X_test: Texts | None = None,
        y_test: Labels | None = None,
        threshold: float = 0.5,
    ) -> pd.DataFrame:
        """Find likely label errors, near-duplicates and leaks in the data that `fit` was given.

        The classifier must have been fitted with ``track_examples=True``. Labels are judged by the
        course of training and, if `X` is given, by a linear model of words (docs/audit.md). The
        classifier does not keep texts: `X` is needed to find near-duplicates, and `X_test` to
        find leaks into a test set. 25,000 film reviews take about a minute.

        Parameters
        ----------
        X : as in `fit`, or None, default=None
            The texts that `fit` was given, in the same order.
        X_test : list, Series or array of str, or None, default=None
            Test texts, which should have no copies in the training texts. Texts that
            `validation_fraction` held out are always compared with the training texts.
        y_test : list, Series, array or None, default=None
            Labels of `X_test`.
        threshold : float, default=0.5
            Smallest similarity of near-duplicates, above 0 and up to 1: the number of runs of
            three words that occur in both texts, divided by the number that occur in either. In
            film reviews, most pairs above the default are copies, and most pairs below it are not.

        Returns
        -------
        DataFrame
            First, one row for each training text, the most likely label errors first (kind
            "label"). Then training texts with near-duplicates, by group, groups with different
            labels first ("duplicate"). Then held-out texts with a near-duplicate in the training
            texts ("leak"). The columns are:

            - ``kind``: "label", "duplicate" or "leak";
            - ``part`` and ``row``: "train", "validation" or "test", and the number of the text,
              or its index label if a Series was given;
            - ``label``: the label of the text;
            - ``suggested``: the label that it should perhaps have (for kind "label");
            - ``score``: how likely the label is wrong, from 0 to 1; for other kinds, the
              similarity to the match;
            - ``match`` and ``match_label``: the most similar training text, and its label;
            - ``disagree``: whether near-duplicates have different labels;
            - ``group``: number of the group of near-duplicates;
            - ``why``: the reasons in words.

        Raises
        ------
        ValueError
            Nothing was tracked, `X` are not the texts that `fit` was given, or `threshold` is out
            of range.
        """
        from bertsent.audit import audit

        examples = predictor(self).fitted.examples
        return audit(examples, X, X_test, y_test, threshold, strip=self.strip_html)

    def suggest_labels(
        self, X: Texts, n: int = 50, *, candidates: int = 10, threshold: float = 0.5
    ) -> pd.DataFrame:
        """Choose which texts to label next: uncertain ones that differ from each other.

        The `n` times `candidates` texts with the smallest margins between the two most likely
        classes are candidates. k-means divides their pooled vectors into `n` clusters, in which
        texts count by their uncertainty, and the text next to each centre is chosen (Zhdanov 2019,
        *Diverse mini-batch active learning*). Texts that the classifier was trained on are left
        out, and so are all but one of near-duplicates.

        Add the labels to the training data, and `fit` again. docs/labels.md measures what this
        gains over labelling texts at random.

        Parameters
        ----------
        X : list, Series, array or table of one column of str, or two for pairs
            Texts without labels.
        n : int, default=50
            Number of texts to choose.
        candidates : int, default=10
            Number of candidates for each chosen text. 1 chooses the most uncertain texts, also if
            these are much alike; larger numbers favour diversity.
        threshold : float, default=0.5
            Similarity, above 0 and up to 1, from which two texts are near-duplicates, as in
            `audit`.

        Returns
        -------
        DataFrame
            One row for each chosen text, the most uncertain first: ``row`` (the number of the
            text, or its index label if `X` has an index), ``text``, ``predicted_label``,
            ``confidence`` (the probability of that label), ``uncertainty`` (1 minus the difference
            between the two largest probabilities or, with `ordinal`, `decision_threshold` or
            `cost_matrix`, how near the other decision is) and ``represents``, the number of
            candidates in its cluster. If a text can have several labels, ``predicted_labels`` and
            the probability of each label take the place of the prediction, and the uncertainty is
            that of the label whose probability is nearest to its threshold.

        Raises
        ------
        TypeError, ValueError
            An item of `X` is not a text, there are fewer than `n`, all of them were used in
            training, or a parameter is out of range.

        Warns
        -----
        UserWarning
            After leaving out training texts and duplicates, fewer than `n` are left.

        See Also
        --------
        bertsent.suggest_labels : Chooses the first texts, before there are any labels.

        Examples
        --------
        >>> import pandas as pd
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_pretrained("tickets-model")
        >>> found = clf.suggest_labels(pd.read_csv("new.csv")["text"], 3)
        >>> list(found.columns)
        ['row', 'text', 'predicted_label', 'confidence', 'uncertainty', 'represents']
        >>> len(found), bool(found["uncertainty"].is_monotonic_decreasing)
        (3, True)
        """
        from bertsent.classifier.suggestion import suggest_labels

        return suggest_labels(predictor(self), X, n, candidates, threshold, self.verbose)

    @classmethod
    def from_recipe(cls, recipe: str, /, **parameters: Any) -> Self:
        """Create an unfitted classifier with parameters that were tuned together.

        Parameters
        ----------
        recipe : {"best", "quick"}
            A key of `bertsent.RECIPES`: for accuracy, or for ten minutes of training.
        **parameters
            Parameters of `BertClassifier`, which override those of the recipe.

        Returns
        -------
        classifier : BertClassifier

        Raises
        ------
        TypeError
            A parameter does not exist.
        ValueError
            There is no such recipe.

        Examples
        --------
        >>> from bertsent import BertClassifier
        >>> clf = BertClassifier.from_recipe("quick", max_length=64)
        >>> clf.max_length, clf.time_budget
        (64, '10min')
        """
        return cls(**with_recipe(recipe, parameters))
