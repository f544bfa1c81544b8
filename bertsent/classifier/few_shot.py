"""Training from few labels: the encoder learns by contrast, and then the head from its vectors.

This is the method of SetFit (Tunstall et al. 2022), but each step compares all pairs of its texts
(Khosla et al. 2020), for the time of one pass over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import ndtr

from bertsent.classifier.words import spread
from bertsent.model import FEW_SHOT_TOKENS, PassTokens, score_in_pieces
from bertsent.objectives import (
    Contrast,
    SingleLabelClassification,
    cumulative_losses,
    cumulative_slopes,
)
from bertsent.texts import Windows
from bertsent.training import Examples
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

    from bertsent.classifier.fitted import Parameters
    from bertsent.model import BertForSequenceClassification
    from bertsent.objectives import Objective
    from bertsent.texts import Labelled
    from bertsent.tokenizer import Encoding
    from bertsent.training import TrainingOptions

# With epochs="auto", texts are read about that many times in all; that many epochs at most, and at
# least.
_READ, _MOST_EPOCHS, _LEAST_EPOCHS = 640, 10, 3
# A step has room for that many texts of each class, at least.
_TEXTS_A_CLASS = 4
# Inverse strength of the regularization, for vectors whose mean square length is 1.
_C = 10.0


class _Activation(NamedTuple):
    """The activation of a head, and where it is nearly linear."""

    function: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
    centre: float


def _gelu(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = x * ndtr(x)
    return found


# By the kind of head in the engine (csrc/model/head_kinds.h).
_ACTIVATIONS: Mapping[str, _Activation] = {
    "pooled": _Activation(np.tanh, 0.0),
    "dropout_dense_tanh": _Activation(np.tanh, 0.0),
    "dense_relu": _Activation(lambda x: np.maximum(x, 0.0), 3.0),
    "dropout_dense_gelu": _Activation(_gelu, 3.0),
}


def settle_few_shot(
    parameters: Parameters, objective: Objective, n_texts: int, *, continued: bool = False
) -> Parameters:
    """Return the parameters of a training from few labels, with values for "auto".

    Without `few_shot`, they stay as they are.

    Parameters
    ----------
    parameters : dict
        Parameters of a member.
    objective : Objective
    n_texts : int
        Number of labelled texts.
    continued : bool, default=False
        Whether the model is that of an earlier training, so that its pooling stays as it is.

    Raises
    ------
    ValueError
        A text can have several labels.
    """
    if not parameters.get("few_shot"):
        return parameters
    if not isinstance(objective, SingleLabelClassification):
        raise ValueError(
            f"{spell('few_shot', True)} needs one class for each text, but these texts can have "
            f"several labels; use {spell('few_shot', False)}"
        )
    epochs = parameters["epochs"]
    if isinstance(epochs, str):
        epochs = min(max(math.ceil(_READ / n_texts), _LEAST_EPOCHS), _MOST_EPOCHS)
    together = min(n_texts, _TEXTS_A_CLASS * len(objective.label_names))
    return parameters | {
        "epochs": epochs,
        "batch_size": max(parameters["batch_size"], together),
        "pooling": parameters["pooling"] or (None if continued else "mean"),
    }


def usual_passes(parameters: Mapping[str, Any]) -> PassTokens:
    """Return how many tokens a training processes at once without a limit of memory."""
    return PassTokens(FEW_SHOT_TOKENS) if parameters.get("few_shot") else PassTokens()


def contrast(objective: Objective) -> Contrast:
    """Return what the encoder learns, given the objective of the classifier."""
    assert isinstance(objective, SingleLabelClassification)  # as settle_few_shot checks
    return Contrast(objective.labels)


def check_layers(freeze: int, n_layers: int) -> None:
    """Raise unless there is a layer to train."""
    if freeze == n_layers:
        raise ValueError(
            f"{spell('few_shot', True)} needs layers to train, but "
            f"{spell('freeze_layers', freeze)} freezes all of them; use a smaller number"
        )


def check_classes(labelled: Labelled) -> str | None:
    """Return what is doubtful about the classes of the training texts that have a weight, or None.

    Raises
    ------
    ValueError
        They are of one class.
    """
    targets = labelled.targets
    if labelled.weights is not None:
        targets = targets[labelled.weights > 0]
    counts = np.unique(targets, return_counts=True)[1]
    if len(counts) < 2:
        raise ValueError(
            f"{spell('few_shot', True)} needs training texts of two classes; add some, or hold out "
            "fewer texts"
        )
    if counts.max() > 1:
        return None
    return (
        f"{spell('few_shot', True)} compares texts of one class, but no class has two training "
        "texts: the encoder learns nothing from them, and only the head is fitted; label some more"
    )


@dataclass(frozen=True)
class HeadFit:
    """What the head learns from, once the encoder is trained.

    Parameters
    ----------
    model : BertForSequenceClassification
        The classifier. It shares the parameters of its encoder with `encoder`.
    encoder : BertForSequenceClassification
        The model that returns vectors.
    labelled : Labelled
        The training texts.
    tokens : Encoding
        Their tokens.
    n_threads : int
    ordered : bool
        Whether the classes have an order, which the head learns.
    """

    model: BertForSequenceClassification
    encoder: BertForSequenceClassification
    labelled: Labelled
    tokens: Encoding
    n_threads: int
    ordered: bool

    def __call__(self, options: TrainingOptions) -> BertForSequenceClassification:
        """Fit the head of the model to the vectors that the encoder returns now.

        A logistic regression gets what the activation of the head makes of the vectors, so the
        logits of the model are those of the regression. The dense layer of the head only centres
        and scales them.

        Returns
        -------
        BertForSequenceClassification
            The model.
        """
        vectors = score_in_pieces(
            self.encoder, self.tokens.ids, self.tokens.offsets, self.n_threads,
            types=self.tokens.token_type_ids, precision=options.precision,
            chunk_tokens=options.passes.scoring,
        )
        windows = Windows.of(self.tokens)
        if windows is not None:
            vectors = windows.mean(vectors)
        fit_head(
            self.model, vectors, self.labelled.targets, self.labelled.weights, ordered=self.ordered
        )
        return self.model


def fit_head(
    model: BertForSequenceClassification,
    vectors: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32] | None,
    *,
    ordered: bool = False,
) -> None:
    """Set the head of a model by a logistic regression on vectors.

    If the classes are ordered, the regression minimises the cumulative cross-entropy.

    Parameters
    ----------
    model : BertForSequenceClassification
    vectors : ndarray of float32, shape (n_texts, hidden_size)
    targets : ndarray of int32, shape (n_texts,)
        Two classes at least have a weight, as `check_classes` makes sure.
    weights : ndarray of float32, shape (n_texts,), or None
    ordered : bool, default=False
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    kept = slice(None) if weights is None else np.flatnonzero(weights)
    present = np.unique(targets[kept])
    exact = vectors[kept].astype(np.float64)
    centre = exact.mean(axis=0)
    size = math.sqrt(((exact - centre) ** 2).sum(axis=1).mean())
    scale = np.float32(1.0 / size if size > 0 else 1.0)
    head = _ACTIVATIONS[model._engine["head"]]
    shift = (head.centre - centre * float(scale)).astype(np.float32)
    features = head.function(exact * float(scale) + shift)
    mean = features.mean(axis=0)
    regression = LogisticRegression(C=_C, max_iter=1000)
    relative = None if weights is None else weights[kept] / weights[kept].mean()
    with threadpool_limits(limits=1):
        regression.fit(features - mean, targets[kept], sample_weight=relative)
        found = regression.coef_, regression.intercept_
        # Of two classes, the loss is the same.
        if ordered and len(present) > 2:
            ranks = np.searchsorted(present, targets[kept]).astype(np.int32)
            found = _fit_ordered(*found, features - mean, ranks, relative)
    coef, intercept = spread(found[0], found[1] - found[0] @ mean, present, model.num_labels)
    names = {parameter.role: name for name, parameter in model._table.items()}
    with model.edit_parameters() as parameters:
        parameters[names["head.dense.weight"]][...] = scale * np.eye(len(shift))
        parameters[names["head.dense.bias"]][...] = shift
        parameters[names["head.output.weight"]][...] = coef
        parameters[names["head.output.bias"]][...] = intercept


def _fit_ordered(
    coef: npt.NDArray[np.float64],
    intercept: npt.NDArray[np.float64],
    features: npt.NDArray[np.float64],
    ranks: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32] | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return coefficients and intercepts with the least cumulative cross-entropy.

    The search begins with those of a logistic regression. The regularization is that of one
    regression for each threshold, so the loss is the sum over the thresholds.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    share = np.full(len(ranks), _C * (len(coef) - 1))
    if weights is not None:
        share *= weights

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        w, b = flat[: coef.size].reshape(coef.shape), flat[coef.size :]
        logs = log_softmax(features @ w.T + b, axis=1)
        slopes = cumulative_slopes(logs, ranks) * share[:, None]
        value = cumulative_losses(logs, ranks, 0.0) @ share + 0.5 * (w**2).sum()
        return float(value), np.concatenate([
            (slopes.T @ features + w).ravel(), slopes.sum(axis=0)
        ])

    best = minimize(
        loss, np.concatenate([coef.ravel(), intercept]), jac=True, method="L-BFGS-B",
        options={"maxiter": 1000},
    ).x
    return best[: coef.size].reshape(coef.shape), best[coef.size :]


@dataclass(frozen=True)
class FewShotHeldOut(Examples):
    """Held-out texts of a training from few labels: the head is fitted before they are scored.

    Parameters
    ----------
    fit : HeadFit
    """

    fit: HeadFit | None = None

    def evaluate(
        self,
        model: BertForSequenceClassification,
        options: TrainingOptions,
        n_threads: int,
        *,
        report: Callable[[float], None] | None = None,
    ) -> dict[str, float]:
        """Return loss and metric on these texts, of the classifier with its newest head."""
        assert self.fit is not None
        return super().evaluate(self.fit(options), options, n_threads, report=report)
