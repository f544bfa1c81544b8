"""Wrong arguments for the engine, in short; the program ``tests/fuzz/core.py`` is the long form."""

import sys
from pathlib import Path

import numpy as np
import pytest

from bertsent import _core

FUZZ = Path(__file__).resolve().parent / "fuzz"


@pytest.fixture(scope="module")
def core():
    """The program as a module."""
    sys.path.insert(0, str(FUZZ))
    try:
        import core
    finally:
        sys.path.remove(str(FUZZ))
    return core


def test_wrong_arguments_are_refused_or_make_no_difference(core):
    said = []
    outcomes, findings = core.run(5, range(1500), report=said.append)
    assert not said
    assert findings == 0
    results = {kind for kind, outcome in outcomes if outcome == "result"}
    refusals = {kind for kind, outcome in outcomes if outcome != "result"}
    assert results == refusals == {call.__name__ for call in core.CALLS}


NUMBERS = iter(range(10**6))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda a: next(NUMBERS), ", not "),
        (lambda a: 1 / 0, "ZeroDivisionError"),
        (lambda a: int("x"), "an exception for good arguments"),
        (lambda a: a.fill(next(NUMBERS)), "['a'] differ afterwards"),
    ],
    ids=["result", "exception", "refusal", "change"],
)
def test_a_fault_is_found(core, monkeypatch, fault, said):
    def faulty(make, engine):
        return lambda a: fault(a) if isinstance(a, np.ndarray) else 0, {"a": np.zeros(3)}

    found = []
    monkeypatch.setattr(core, "CALLS", [faulty])
    _, findings = core.run(1, range(100), report=found.append)
    assert findings == len(found) > 0
    assert any(said in line for line in found)


# --- what the program found -------------------------------------------------------------------


def wide_model():
    """A model whose layers are so wide that a large batch has no possible size."""
    config = {
        "vocab_size": 4, "hidden_size": 1, "num_hidden_layers": 5, "num_attention_heads": 1,
        "intermediate_size": 2**20, "max_position_embeddings": 2**20, "type_vocab_size": 0,
        "num_labels": 2, "pad_token_id": 0, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0, "hidden_act": "gelu",
    }  # fmt: skip
    return _core.Model(config, np.zeros(_core.parameter_table(config)[0], np.float32))


def test_sizes_do_not_overflow():
    offsets = np.arange(2**20 + 1, dtype=np.int64) * 2**20
    assert wide_model().pass_size(offsets) == 2**64 - 1


def test_the_size_of_sequences_that_are_too_long_is_refused():
    with pytest.raises(ValueError, match="has 1048577 tokens, the model has 1048576 positions"):
        wide_model().pass_size(np.array([0, 2**20 + 1]))


def test_scratch_space_is_not_taken_for_threads_that_there_cannot_be(core):
    _, model = core.Engine().take(0)
    offsets = np.array([0, 5])
    most = model.pass_size(offsets, n_threads=256)
    assert model.pass_size(offsets, n_threads=2**31 - 1) == most


def test_a_size_of_the_smallest_number_is_refused(core):
    for size in (-(2**63), 2**63 - 1):
        with pytest.raises(ValueError, match=f"vocab_size is {size}, expected 1 to 16777216"):
            _core.parameter_table(core.BASE | {"vocab_size": size})
    with pytest.raises(ValueError, match="pad_token_id is 24, expected -1 to 23"):
        _core.parameter_table(core.BASE | {"pad_token_id": 24})
