"""Values that are hard on floating point: right within a bound, or an error."""

import numpy as np
import pytest
from cases import Engine, arrays, engine_config, random_batch, random_params
from conftest import write_tiny_model
from hostile_values import BOUNDS, CASES, LOOSE, error_of

import bertsent
from bertsent import _core

PRECISIONS = _core.precisions()
CONFIG = engine_config()
NAMES = sorted(random_params(CONFIG, np.random.default_rng(0)))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CASES)
def test_the_engine_keeps_to_float64(name, precision):
    against_twin, _ = error_of(name, precision)
    assert against_twin <= LOOSE.get((name, precision), BOUNDS[precision])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e30])
def test_what_is_not_finite_is_an_error(value, precision):
    """Whatever weight it begins with. Finite weights may overflow, but only to an error."""
    rng = np.random.default_rng(5)
    batch = random_batch(CONFIG, rng, [1, 9, 30, 2])
    batch["ids"][::3] = 7
    refused = 0
    for name in NAMES:
        params = random_params(CONFIG, rng)
        flat = params[name].reshape(-1)
        flat[7 * params[name].shape[-1] % flat.size] = value
        engine = Engine(CONFIG, params, precision=precision)
        try:
            logits = engine.score(batch)
        except FloatingPointError as error:
            assert "are not finite: the weights of the model are damaged" in str(error)
            refused += 1
        else:
            assert np.isfinite(logits).all(), name
    assert refused >= (len(NAMES) - 8 if not np.isfinite(value) else 1)


def test_a_sequence_that_overflows_is_named_among_others():
    params = random_params(CONFIG, np.random.default_rng(5))
    params["embeddings.word.weight"][9] = np.inf
    batch = random_batch(CONFIG, np.random.default_rng(6), [4] * 40)
    batch["ids"][:] = 3
    batch["ids"][4 * 17 + 2] = 9
    with pytest.raises(FloatingPointError, match="logits of sequence 17 "):
        Engine(CONFIG, params).model.score(*arrays(batch), n_threads=2)


def test_predictions_are_not_made_of_nan(tmp_path):
    clf = bertsent.BertClassifier(
        write_tiny_model(tmp_path / "tiny"), max_length=16, epochs=1, random_state=0, verbose=0
    ).fit(["good", "bad"] * 4, ["p", "n"] * 4)
    model = clf.model_
    with model.edit_parameters() as parameters:
        parameters["classifier.weight"][0, 0] = np.inf
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        with pytest.raises(FloatingPointError, match="^the logits of sequence 0 are not finite"):
            method(["good"])


def test_a_model_that_was_opened_is_named(tmp_path):
    """Its weights are finite, so it opens; but their products overflow."""
    directory = write_tiny_model(tmp_path / "large", classifier=2, prefix="bert.", scale=1e37)
    clf = bertsent.BertClassifier.from_pretrained(directory)
    with pytest.raises(FloatingPointError, match=f"^{directory}: the logits of sequence 0 are not"):
        clf.predict(["good"])
