"""Training that goes on with every call: `BertClassifier.partial_fit`."""

from dataclasses import dataclass, replace

import numpy as np

from bertsent.callbacks import Listeners, open_log
from bertsent.fitting import given_callbacks, make_recipe, starting_point, weigh_classes
from bertsent.labels import check_weights, encode_labels, learn_labels
from bertsent.long_text import Windows, most_sequences
from bertsent.members import count_members, is_list
from bertsent.memory import plan_training
from bertsent.parameters import check_parameters
from bertsent.precision import resolve_precision
from bertsent.schedule import Seeds, draw_seeds
from bertsent.state import State
from bertsent.texts import hash_texts
from bertsent.threads import resolve_n_threads
from bertsent.training import Examples, train


@dataclass
class Moments:
    """What AdamW remembers between two calls, and the seeds of all of them.

    Parameters
    ----------
    exp_avg, exp_avg_sq : float32 ndarray
    step : int
        Steps done since they were zero.
    seeds : Seeds
    """

    exp_avg: np.ndarray
    exp_avg_sq: np.ndarray
    step: int
    seeds: Seeds


def partial_fit(classifier, X, y, classes, sample_weight):
    """See `BertClassifier.partial_fit`."""
    check_parameters(classifier.get_params(deep=False))
    resolve_precision(classifier.precision, "precision")
    if classifier.class_weight == "balanced":
        raise ValueError(
            'class_weight="balanced" needs all labels at once, which partial_fit does not see; '
            "pass a dictionary"
        )
    n_threads = resolve_n_threads(classifier.n_threads)
    texts = classifier._texts(X, "X")
    if not texts:
        raise ValueError("X is empty; there is nothing to train on")
    fitted = hasattr(classifier, "classes_")
    label_type = _label_type(classifier, classes, fitted)
    codes = encode_labels(y, label_type, len(texts), "y")
    weights = weigh_classes(
        classifier, check_weights(sample_weight, len(texts)), label_type, codes
    )
    members = max(count_members(classifier.members), len(classifier.models_) if fitted else 1)
    if members > 1 or is_list(classifier.members):
        raise ValueError(
            f"partial_fit trains one model alone, and there are {members} members; use members=1"
        )
    moments = classifier._moments if fitted else None
    seeds = draw_seeds(classifier.random_state) if moments is None else moments.seeds
    if fitted:
        model, tokenizer = classifier.model_, classifier.tokenizer_
    else:
        model, tokenizer = starting_point(classifier, label_type, seeds.new_weights)
    if moments is None:
        state = State.fresh(model)
        moments = Moments(state.exp_avg, state.exp_avg_sq, 0, seeds)

    reader = classifier._reader(model, inference=False)
    tokens = reader.encode(tokenizer, texts, n_threads)
    # How many steps are to come is not known, so there is nothing to warm up to or fall from.
    history = list(classifier.history_) if fitted else []
    recipe = replace(
        make_recipe(classifier.get_params(deep=False), model.config, seeds, {}, validated=False),
        epochs=len(history) + 1, schedule="constant", warmup_ratio=0.0, eval_every=None,
    )
    plan = plan_training(
        model, classifier.memory_limit, np.diff(tokens.offsets),
        batch_size=most_sequences(tokens, recipe.step_size), freeze=recipe.freeze,
        n_threads=n_threads, precision=recipe.precision,
    )
    state = State(
        moments.exp_avg, moments.exp_avg_sq, step=moments.step, epoch=len(history),
        history=history,
    )
    hashes = np.unique(hash_texts(texts))
    try:
        with open_log(classifier.log_file, 0) as log:
            train(
                model,
                Examples(tokens.ids, tokens.offsets, codes, weights, Windows.of(tokens)),
                replace(recipe, plan=plan),
                n_threads=n_threads,
                state=state,
                listeners=Listeners([*given_callbacks(classifier), *([log] if log else [])]),
            )
    finally:
        # What an error leaves is used again only if there was a model before.
        moments.step = state.step
    classifier._keep(
        [model],
        tokenizer,
        label_type=label_type,
        learning_rate=recipe.learning_rate,
        precision=recipe.precision,
        history=state.history,
        evaluations=list(classifier.evaluations_) if fitted else [],
        best_step=None,
        max_length=reader.max_length,
        text_hashes=np.union1d(classifier._text_hashes, hashes) if fitted else hashes,
    )
    classifier._moments = moments
    return classifier


def _label_type(classifier, classes, fitted):
    """The classes of a first call, or those that are known."""
    if not fitted:
        if classes is None:
            raise ValueError(
                "the first call of partial_fit needs classes, all labels that will ever come"
            )
        return learn_labels(classes, len(classes))[0]
    known = classifier._label_type
    if classes is not None:
        given = learn_labels(classes, len(classes))[0].classes.tolist()
        if given != known.classes.tolist():
            raise ValueError(
                f"classes={given} are not those of this classifier, {known.classes.tolist()}"
            )
    return known
