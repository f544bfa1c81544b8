"""Products with a fused epilogue."""

import numpy as np
import pytest
import reference_kernels as twins
from guarded import call, poisoned
from test_kernels_packed import SIZES, _operands, columns_of, int8_types

from bertsent import _core

ENTRIES = {isa: _core.kernel_entries(isa) for isa in _core.isa_list()}
each_bf16_isa = pytest.mark.parametrize(
    "isa", [isa for isa, there in ENTRIES.items() if there["bf16_product_into"]])
each_int8_isa = pytest.mark.parametrize(
    "isa", [isa for isa, there in ENTRIES.items() if there["int8_product_into"]])
# Rows for every tile: one, four, eight and twelve rows, and tiles that overlap.
ROWS = sorted({*SIZES, 3, 4, 5, 8, 9, 11, 13, 23, 25, 37})


def _bf16_case(isa, rng, m, n, scale=1.0):
    k = int(rng.choice([1, 31, 32, 64, 65, 131]))
    left, right = rng.normal(0, scale, (m, k)), rng.normal(0, k**-0.5, (k, n))
    a, b = _operands(isa, twins.bf16_bits(left), twins.bf16_bits(right), 64 * (m % 2))
    return a, b, twins.round_up(2 * k, 64) // 4


@each_bf16_isa
@pytest.mark.parametrize("of", [twins.OF_BIAS, twins.OF_ACTIVATION])
def test_bf16_result_has_the_bits_of_product_and_epilogue(isa, of):
    rng = np.random.default_rng(1)
    for m in ROWS:
        for n in SIZES:
            a, b, groups = _bf16_case(isa, rng, m, n)
            bias = rng.normal(size=n).astype(np.float32)
            act = int(rng.integers(len(twins.ACTIVATIONS)))
            (c,) = call("bf16_product", isa, [np.zeros((m, n), np.float32)], a, b, n, groups, False)
            out, u = poisoned((m, 2 * n + 2), np.uint8), poisoned((m, n + 1))
            given = of, act, 1.0, bias, a, b, n, groups
            if of == twins.OF_BIAS:
                (expected,) = call("bf16_bias_rows", isa, [out], c, bias)
                (found,) = call(
                    "bf16_product_into", isa, [out], None, None, *given, offset=m % 2)
            else:
                expected, kept = call("bf16_bias_activation", isa, [out, u], c, bias, act)
                found, before = call(
                    "bf16_product_into", isa, [out, u], None, *given, offset=m % 2)
                np.testing.assert_array_equal(before.view(np.uint32), kept.view(np.uint32))
                (alone,) = call("bf16_product_into", isa, [out], None, None, *given)
                np.testing.assert_array_equal(alone, found)
            np.testing.assert_array_equal(found, expected, f"{m} {n} {groups}")


@each_bf16_isa
def test_exponentials_and_their_sums_equal_their_twin(isa):
    rng = np.random.default_rng(2)
    for m in ROWS:
        for n in [*SIZES, 127, 128, 129, 300]:
            a, b, groups = _bf16_case(isa, rng, m, n, 4.0)
            scale = float(rng.choice([0.125, 0.5, 2.0]))
            wide = 2 * twins.round_up(n, columns_of(isa))
            out = poisoned((m, wide + 64), np.uint8)
            given = twins.OF_EXP, 0, scale, None, a, b, n, groups
            u = poisoned((m, n))
            found, kept, total = call("bf16_product_into", isa, [out, u, poisoned(16 * m)], *given,
                                      offset=m % 2)
            np.testing.assert_array_equal(kept.view(np.uint32), u.view(np.uint32))
            c = np.zeros((m, n))
            twins.bf16_product(c, a, b, n, groups, False)
            # As for a row of softmax: the errors of the polynomial and of the exponent.
            largest = scale * np.abs(c).max() + 1
            rel = 4e-7 + 8 * largest * 2.0**-24 + scale * 2e-6 * largest
            values = np.exp(scale * c)
            exact, sums = np.zeros((m, wide), np.uint8), np.zeros(m)
            twins.bf16_product_into(exact, None, sums, *given)
            np.testing.assert_allclose(total[:m], sums, rtol=rel + 40 * 2.0**-24)
            low, high = twins.to_bf16(values * (1 - rel)), twins.to_bf16(values * (1 + rel))
            got = twins.bf16_values(np.ascontiguousarray(found[:, : 2 * n]).view(np.uint16))
            assert ((low <= got) & (got <= high)).all(), (m, n)
            assert not found[:, 2 * n : wide].any(), "zeros up to a whole panel"
            np.testing.assert_array_equal(found[:, wide:], out[:, wide:])


@each_bf16_isa
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_sum_of_exponentials_tells_what_it_is_not_for(isa, value):
    for at in (0, 17, 39):
        right = np.ones((32, 40))
        right[:, at] = value
        a, b = _operands(isa, twins.bf16_bits(np.ones((13, 32))), twins.bf16_bits(right), 0)
        outs = [np.zeros((13, 128), np.uint8), np.zeros((13, 40), np.float32), poisoned(16 * 13)]
        *_, sums = call("bf16_product_into", isa, outs, twins.OF_EXP, 0, 1.0, None, a, b, 40, 16)
        assert not (sums[:13] < 2.0**64).any()


@each_int8_isa
@pytest.mark.parametrize("of", [twins.OF_NOTHING, twins.OF_BIAS, twins.OF_ACTIVATION])
def test_int8_result_equals_its_twin(isa, of):
    rng = np.random.default_rng(3)
    elements, left_type, right_type = int8_types(isa)
    for m in ROWS:
        for n in SIZES:
            k = int(rng.choice([1, 4, 63, 64, 65, 129]))
            left = rng.integers(0, 256, (m, k)).astype(left_type)
            right = rng.integers(-127, 128, (k, n)).astype(right_type)
            a, b = _operands(isa, left, right, 64 * (m % 2))
            groups = twins.round_up(k * 4 // elements, 64) // 4
            act = int(rng.integers(len(twins.ACTIVATIONS)))
            vectors = [rng.normal(1e-4, 1e-4, m), rng.normal(0, 0.01, m), rng.normal(1, 0.2, n),
                       right.astype(np.int64).sum(axis=0)]
            vectors = [v.astype(np.float32) for v in vectors]
            bias = rng.normal(size=n).astype(np.float32) if of != twins.OF_NOTHING else None
            out = poisoned((m, 4 * n + 8), np.uint8)
            (found,) = call("int8_product_into", isa, [out], of, act, False, bias, *vectors, a, b,
                            groups, offset=m % 2)
            np.testing.assert_array_equal(found[:, 4 * n :], out[:, 4 * n :], "between the rows")
            found = np.ascontiguousarray(found[:, : 4 * n]).view(np.float32)
            exact, size = np.zeros((m, n)), np.zeros((m, n))
            rest = a, b, groups, elements, columns_of(isa)
            doubles = [v.astype(np.float64) for v in vectors]
            twins.int8_product_into(exact, of, act, bias, *doubles, *rest)
            twins.int8_product(size, a, b, n, groups, False, elements, columns_of(isa))
            size = np.abs(size)
            twins.int8_restore(size, *map(np.abs, doubles))
            # Relative to the terms of the sum; the bound of the activation is absolute.
            limit = 1e-6 * (size + (np.abs(bias) if bias is not None else 0)) + 1e-30
            limit = limit * 1.2 + (5e-7 if of == twins.OF_ACTIVATION else 0)
            assert (np.abs(found - exact) <= limit).all(), (m, n, k)


@each_bf16_isa
def test_int8_result_in_bf16_is_the_other_one_rounded(isa):
    rng = np.random.default_rng(4)
    for m in ROWS:
        for n in SIZES:
            a, b = _operands(isa, rng.integers(0, 256, (m, 65)).astype(np.uint8),
                             rng.integers(-127, 128, (65, n)).astype(np.int8), 0)
            vectors = [rng.normal(1e-2, 1e-3, size).astype(np.float32) for size in (m, m, n, n)]
            bias = rng.normal(size=n).astype(np.float32)
            rest = bias, *vectors, a, b, twins.round_up(65, 64) // 4
            (wide,) = call("int8_product_into", isa, [poisoned((m, 4 * n), np.uint8)],
                           twins.OF_BIAS, 0, False, *rest)
            out = poisoned((m, 2 * n + 6), np.uint8)
            (found,) = call("int8_product_into", isa, [out], twins.OF_BIAS, 0, True, *rest,
                            offset=m % 2)
            expected = out.copy()
            twins.bf16_bias_rows(expected, wide.view(np.float32), np.zeros(n, np.float32))
            np.testing.assert_array_equal(found, expected)
