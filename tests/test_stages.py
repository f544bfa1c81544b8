"""The engine's clock: how long each stage of a call takes."""

import time

import numpy as np
from cases import Engine, arrays, engine_config, random_batch, random_params

FORWARD = {"embeddings", "qkv", "attention", "attention_output", "norm1", "up", "down", "norm2",
           "head"}
BACKWARD = {f"{stage}_backward" for stage in FORWARD}


def _case():
    config = engine_config()
    batch = random_batch(config, np.random.default_rng(3), [30, 12, 5])
    return Engine(config, random_params(config, np.random.default_rng(4))), batch


def _timed(engine, call):
    engine.model.time_stages(True)
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    stages = engine.model.time_stages(False)
    return stages, took


def test_scoring_counts_to_the_stages_of_forward():
    engine, batch = _case()
    stages, took = _timed(engine, lambda: engine.score(batch))
    assert {name for name, seconds in stages.items() if seconds > 0} - {"other"} == FORWARD
    assert sum(stages.values()) <= took


def test_a_step_counts_to_all_stages():
    engine, batch = _case()
    state = [np.zeros_like(engine.flat) for _ in range(3)]
    stages, took = _timed(engine, lambda: engine.model.train_step(
        *arrays(batch), batch["keys"], batch["labels"], None, *state, lr=0.01,
    ))
    counted = {name for name, seconds in stages.items() if seconds > 0}
    assert counted - {"other", "pack"} == FORWARD | BACKWARD | {"optimizer"}
    assert sum(stages.values()) <= took


def test_the_clock_changes_no_bits_and_counts_only_while_it_is_on():
    engine, batch = _case()
    plain = engine.score(batch)
    assert engine.model.time_stages(True) is None
    np.testing.assert_array_equal(engine.score(batch, n_threads=3), plain)
    first = engine.model.time_stages(True)
    between = engine.model.time_stages(False)
    assert sum(first.values()) > 0 == sum(between.values())
    engine.score(batch)
    assert engine.model.time_stages(False) is None
