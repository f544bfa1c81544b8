"""Row-wise kernels that write bfloat16 for the next product, against their twins."""

import numpy as np
import pytest
import reference_kernels as twins
from guarded import call, poisoned, with_gap
from test_kernels_packed import SIZES, each_bf16_isa

# Attention has longer rows than the tests of products need.
LENGTHS = [*SIZES, 127, 128, 129, 300, 512]
LINES = twins.DEEP  # a left operand's row is a multiple of so many bytes


def _assert_rounds(found, exact, error):
    """Bytes of bfloat16 that ``exact``, itself within ``error``, may round to: one or two."""
    found = twins.bf16_values(found.view(np.uint16))
    # bf16_bits wants float32; half a step of those is far below any error that is given.
    low, high = twins.to_bf16(exact - error), twins.to_bf16(exact + error)
    wrong = ~((low <= found) & (found <= high))
    assert not wrong.any(), (np.flatnonzero(wrong)[:8], found[wrong][:8], exact[wrong][:8])


# ---- bias and activation ----


@each_bf16_isa
def test_bias_rows_equal_their_twin_byte_for_byte(isa):
    rng = np.random.default_rng(1)
    for n in LENGTHS:
        for rows, gap in ((1, 0), (3, 5)):
            c = with_gap(rng.normal(0, 3, (rows, n)).astype(np.float32), gap)
            c[0, n // 2] = np.inf
            bias = rng.normal(size=n).astype(np.float32)
            # No zeros are requested after a row, so nothing there may change.
            out = poisoned((rows + 1, 2 * n + 2 * gap), np.uint8)
            expected = out.copy()
            twins.bf16_bias_rows(expected, c, bias)
            (found,) = call("bf16_bias_rows", isa, [out], c, bias, offset=gap)
            np.testing.assert_array_equal(found, expected, err_msg=f"{rows} {n} {gap}")


@each_bf16_isa
@pytest.mark.parametrize("act", range(len(twins.ACTIVATIONS)))
def test_bias_activation_equals_its_twin(isa, act):
    rng = np.random.default_rng(2)
    for n in LENGTHS:
        for rows, gap in ((1, 0), (3, 5)):
            c = with_gap(rng.normal(0, 2, (rows, n)).astype(np.float32), gap)
            bias = rng.normal(size=n).astype(np.float32)
            out, u = poisoned((rows + 1, 2 * n + 2 * gap), np.uint8), poisoned((rows + 1, n + gap))
            expected, sums = out.copy(), u.copy()
            twins.bf16_bias_activation(expected, sums, c, bias, act)
            found, kept = call("bf16_bias_activation", isa, [out, u], c, bias, act, offset=gap)
            np.testing.assert_array_equal(kept.view(np.uint32), sums.view(np.uint32))
            np.testing.assert_array_equal(found[rows], out[rows])
            np.testing.assert_array_equal(found[:, 2 * n :], out[:, 2 * n :])
            exact = twins.ACTIVATIONS[act][0](sums[:rows, :n].astype(np.float64))
            # The error bound of the fp32 activation, see test_kernels.py.
            error = 3e-7 * max(1, np.abs(exact).max())
            _assert_rounds(np.ascontiguousarray(found[:rows, : 2 * n]), exact, error)
            # Without u: the same bytes.
            (alone,) = call("bf16_bias_activation", isa, [out], None, c, bias, act, offset=gap)
            np.testing.assert_array_equal(alone, found)


@each_bf16_isa
@pytest.mark.parametrize("act", range(len(twins.ACTIVATIONS)))
def test_bias_activation_hides_neither_nan_nor_infinity(isa, act):
    for n in (1, 16, 17, 33, 64):
        for at in {0, n // 2, n - 1}:
            for value in (np.nan, np.inf):
                c = np.ones((1, n), np.float32)
                c[0, at] = value
                (found,) = call("bf16_bias_activation", isa, [np.zeros((1, 2 * n), np.uint8)],
                                None, c, np.zeros(n, np.float32), act)
                values = twins.bf16_values(found.view(np.uint16))[0]
                assert not np.isfinite(values[at])
                assert np.isfinite(np.delete(values, at)).all()


# ---- softmax ----


def _masks(rng, n):
    yield None
    yield np.where(rng.random(n) < 0.3, 0.0, 1.25).astype(np.float32)
    yield np.zeros(n, np.float32)


def _scores(rng, n):
    yield rng.normal(0, 3, n), 1.0
    yield rng.normal(0, 20, n), 0.125
    yield rng.normal(-500, 60, n), 0.25  # most of it vanishes
    x = rng.normal(0, 3, n)
    x[rng.random(n) < 0.5] = -np.inf
    x[n // 2] = 1.0
    yield x, 0.125


def _relative_error(s, scale, lse=0.0):
    """Of e^(scale s - shift): 2e-7 of the polynomial, and what the exponent is off by.

    That is a product and its shift, each rounded to 2^-24, as are scale log2 e and log2 e before.
    """
    largest = np.abs(scale * s[np.isfinite(s)]).max(initial=0) + abs(lse)
    return 4e-7 + 4 * largest * 2.0**-24


def _assert_row(found, out, exact, error):
    """Check a row of a left operand: its values, its zeros, and that nothing else was written."""
    n, deep = len(exact), twins.round_up(2 * len(exact), LINES)
    _assert_rounds(found[: 2 * n], exact, error)
    assert not twins.bf16_values(found[2 * n : deep].view(np.uint16)).any(), "zeros"
    np.testing.assert_array_equal(found[deep:], out[deep:])


@each_bf16_isa
def test_softmax_row_equals_its_twin(isa):
    rng = np.random.default_rng(3)
    for n in LENGTHS:
        out = poisoned(twins.round_up(2 * n, LINES) + LINES, np.uint8)
        for offset in (0, 1):
            for x, scale in _scores(rng, n):
                s = x.astype(np.float32)
                for mask in _masks(rng, n):
                    found, (reciprocal, lse) = call(
                        "bf16_softmax_row", isa, [out], s, mask, scale, offset=offset, returns=True
                    )
                    exact = s.astype(np.float64)
                    weights = np.exp(scale * (exact - exact.max()))
                    one_by, log_sum = twins.bf16_softmax_row(out.copy(), exact, mask, scale)
                    rel = _relative_error(exact, scale)
                    masked = weights * (1.0 if mask is None else mask)
                    _assert_row(found, out, masked, rel * masked + 1e-38)
                    # Sums of positive numbers are as exact, except for the 32 partial sums.
                    rel += (n // 32 + 8) * 2.0**-24
                    assert abs(reciprocal - one_by) <= rel * one_by
                    assert abs(lse - log_sum) <= rel + 3e-7 * abs(log_sum) + 2.0**-23 * abs(
                        scale * exact.max()
                    )


@each_bf16_isa
def test_softmax_backward_row_equals_its_twin(isa):
    rng = np.random.default_rng(4)
    for n in LENGTHS:
        out = poisoned(twins.round_up(2 * n, LINES) + LINES, np.uint8)
        for offset in (0, 1):
            for x, scale in _scores(rng, n):
                s, d = x.astype(np.float32), rng.normal(size=n).astype(np.float32)
                exact = s.astype(np.float64)
                lse = np.float32(scale * exact.max() + np.log(
                    np.exp(scale * (exact - exact.max())).sum()))
                for mask in _masks(rng, n):
                    found_p, found_d, _, _ = call(
                        "bf16_softmax_backward_row", isa, [out, out, s, d], mask, float(lse), scale,
                        offset=offset,
                    )
                    factor = 1.0 if mask is None else mask.astype(np.float64)
                    p, g = np.exp(scale * exact - np.float64(lse)), d.astype(np.float64) * factor
                    rel = _relative_error(exact, scale, float(lse))
                    _assert_row(found_p, out, p * factor, rel * p * factor + 1e-38)
                    dot, size = (p * g).sum(), (p * np.abs(g)).sum()
                    # Check the twin itself against the formula.
                    values = exact * scale, d.astype(np.float64)
                    twins.softmax_backward_row(*values, mask, np.float64(lse), scale)
                    np.testing.assert_allclose(values[1], scale * p * (g - dot), atol=1e-12)
                    error = rel * (np.abs(g) + abs(dot)) + (rel + (n // 16 + 8) * 2.0**-24) * size
                    _assert_row(found_d, out, values[1], scale * p * error + 1e-38)


@each_bf16_isa
def test_softmax_of_extreme_scores(isa):
    for s, wanted in (
        ([1e6, -1e6, 1e6], [0.5, 0, 0.5]), ([-1e6], [1]), ([88, -np.inf, 88], [0.5, 0, 0.5]),
    ):
        s = np.array(s, np.float32)
        found, (reciprocal, lse) = call(
            "bf16_softmax_row", isa, [np.zeros(64, np.uint8)], s, None, 0.125, returns=True
        )
        # Their largest need not be 1, as the exponent is rounded; the sum follows.
        values = reciprocal * twins.bf16_values(found.view(np.uint16))[: len(s)]
        np.testing.assert_allclose(values, wanted, rtol=2.0**-8)
        exact = 0.125 * s.astype(np.float64).max() - np.log(max(wanted))
        assert lse == pytest.approx(exact, rel=1e-6)


@each_bf16_isa
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_softmax_hides_neither_nan_nor_infinity(isa, value):
    rng = np.random.default_rng(5)
    for n in (1, 2, 16, 17, 32, 33, 49, 64, 100):
        out = np.zeros(twins.round_up(2 * n, LINES), np.uint8)
        for at in {0, n // 2, n - 1, max(0, n - 17)}:
            s, d = rng.normal(size=(2, n)).astype(np.float32)
            broken = s.copy()
            broken[at] = value
            # Whatever the weights are, the other factor is NaN.
            _, (reciprocal, lse) = call(
                "bf16_softmax_row", isa, [out], broken, None, 0.5, returns=True
            )
            assert np.isnan(reciprocal), (n, at)
            assert np.isnan(lse), (n, at)
            lse = float(np.log(np.exp(0.5 * s.astype(np.float64)).sum()))
            found_p, found_d, _, _ = call(
                "bf16_softmax_backward_row", isa, [out, out, broken, d], None, lse, 0.5
            )
            assert not np.isfinite(twins.bf16_values(found_p.view(np.uint16))[at])
            assert not np.isfinite(twins.bf16_values(found_d.view(np.uint16))[:n]).any()
            broken = d.copy()
            broken[at] = value
            found_p, found_d, _, _ = call(
                "bf16_softmax_backward_row", isa, [out, out, s, broken], None, lse, 0.5
            )
            assert np.isfinite(twins.bf16_values(found_p.view(np.uint16))).all()
            assert not np.isfinite(twins.bf16_values(found_d.view(np.uint16))[:n]).any()
