"""Models whose values are hard on floating point, and how far the engine is from float64 on them.

``python tests/hostile_values.py`` prints JSON. For each instruction set of this machine, precision
and case, it has two numbers: the largest error of a logit against the twin that rounds as the
precision does, and that against float64. Both are relative to the largest logit (at least 1).
"""

import json
import os
import subprocess
import sys
from unittest import mock

import numpy as np
import reference
import reference_reduced
from cases import Engine, engine_config, random_batch, random_params
from reference_reduced import BFloat16Bert, Int8Bert

from bertsent import _core

LENGTHS = [1, 9, 30, 2]


def constant_rows(params):
    """Every embedding is one number, so LayerNorm sees rows without variance."""
    for name, value in params.items():
        if name.startswith("embeddings.") and ".norm." not in name:
            value[...] = 0.5


def nearly_constant_rows(params):
    """Rows around 1,000 whose variance is a few roundings of float32."""
    for name, value in params.items():
        if name.startswith("embeddings.") and ".norm." not in name:
            value[...] = 1000 + 1e-3 * np.sign(value)


def large_logits(params):
    params["head.output.weight"] *= 1e4


def subnormal_weights(params):
    """Products of these are subnormal, which the engine takes for zero."""
    for name, value in params.items():
        if ".norm." not in name and not name.startswith("head."):
            value *= 1e-22


def sharp_attention(params):
    """Scores of some hundreds: a softmax of ones and zeros, and exponentials that overflow."""
    for name, value in params.items():
        if name.endswith(("attention.query.weight", "attention.key.weight")):
            value *= 8


def uniform_attention(params):
    for name, value in params.items():
        if name.endswith(("attention.query.weight", "attention.key.weight")):
            value *= 1e-6


def saturated_activations(params):
    for name, value in params.items():
        if name.endswith("feed_forward.up.weight"):
            value *= 30


def cancelling_sums(params):
    """Large terms of both signs, whose sum is small."""
    for name, value in params.items():
        if name.endswith("feed_forward.down.weight"):
            half = value.shape[1] // 2
            value[:, half : 2 * half] = -value[:, :half] * (1 + 1e-4)


def nothing(params):
    del params


# Change of the parameters, lengths of the sequences, and changes of the configuration.
CASES = {
    "ordinary": (nothing, LENGTHS, {}),
    "one token": (nothing, [1], {}),
    "512 tokens": (nothing, [512, 511], {"max_position_embeddings": 512}),
    "rows without variance": (constant_rows, LENGTHS, {"layer_norm_eps": 1e-12}),
    "rows of almost no variance": (nearly_constant_rows, LENGTHS, {"layer_norm_eps": 1e-5}),
    "logits of 10,000": (large_logits, LENGTHS, {}),
    "subnormal products": (subnormal_weights, LENGTHS, {"layer_norm_eps": 1e-5}),
    "scores that overflow": (sharp_attention, LENGTHS, {}),
    "scores of zero": (uniform_attention, LENGTHS, {}),
    "saturated activations": (saturated_activations, LENGTHS, {}),
    "sums that cancel": (cancelling_sums, LENGTHS, {}),
}

# Relative to the largest logit, against the twin that rounds what the precision rounds. Mostly,
# they agree to 1e-6; but an element that is close to a tie may be rounded the other way.
BOUNDS = {"float32": 5e-6, "bfloat16": 2e-3, "int8": 2e-3}
# LayerNorm enlarges the roundings of its input where there is almost no variance. Where
# exponentials overflow, the engine computes blocks in another way than the twin, which rounds
# differently.
LOOSE = {
    ("rows of almost no variance", "float32"): 0.1,
    ("rows of almost no variance", "bfloat16"): 0.1,
    ("rows of almost no variance", "int8"): 0.1,
    ("scores that overflow", "bfloat16"): 2e-2,
    ("scores that overflow", "int8"): 2e-2,
}


def make(name):
    """Return configuration, parameters and batch of a case."""
    change, lengths, config = CASES[name]
    config = engine_config(**config)
    rng = np.random.default_rng(7)
    params = random_params(config, rng)
    change(params)
    return config, params, random_batch(config, rng, lengths)


def twin_of(precision, config, params):
    if precision == "bfloat16":
        return BFloat16Bert(config, params, scoring=True)
    if precision == "int8":
        return Int8Bert(config, params, "bfloat16" in _core.precisions())
    return reference.Bert(config, params)


def error_of(name, precision):
    """Return the engine's largest error, and that of the precision itself against float64."""
    config, params, batch = make(name)
    exact = reference.Bert(config, params).forward(batch)
    # Exponentials of the twin overflow as well, and it does not try again.
    with mock.patch.object(
        reference_reduced, "AS_THEY_ARE",
        reference_reduced.AS_THEY_ARE and name != "scores that overflow",
    ):
        twin = twin_of(precision, config, params).forward(batch)
    scale = max(1.0, np.abs(exact).max())
    found = Engine(config, params, precision=precision).score(batch)
    return float(np.abs(found - twin).max() / scale), float(np.abs(found - exact).max() / scale)


def measure():
    return {
        precision: {name: error_of(name, precision) for name in CASES}
        for precision in _core.precisions()
    }


def main():
    if "--one" in sys.argv:
        print(json.dumps(measure()))
        return
    results = {}
    for isa in _core.isa_list():
        done = subprocess.run(
            [sys.executable, __file__, "--one"], env={**os.environ, "BERTSENT_ISA": isa},
            capture_output=True, text=True, check=True,
        )
        results[isa] = json.loads(done.stdout)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
