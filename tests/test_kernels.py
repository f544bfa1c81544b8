"""Every kernel of every instruction set of this machine against its float64 twin."""

import numpy as np
import pytest
import reference
from cases import engine_config
from guarded import POISON, Guarded
from reference_kernels import TWINS

from bertsent import _core

ISAS = _core.isa_list()
ACTIVATIONS = _core.activations()
# For packed operands and lower precisions see test_kernels_packed.py, _bf16.py and _gemm.py.
PACKED = "fp32_", "parts_", "bf16_", "int8_", "gemm_"
NAMES = [name for name in _core.kernel_names() if not name.startswith(PACKED)]

# Around the widths of 4, 8 and 16 lanes, four vectors at a time, and dropout's groups of 128.
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 127, 128, 129, 143,
         200, 255, 256, 257, 384, 401]
OFFSETS = [0, 1, 3]  # floats past a 64-byte boundary


def _rows(rng, n, gap, rows=3):
    """Rows of n values that are n + gap apart, with guard values in between."""
    x = np.full((rows, n + gap), np.nan, np.float32)
    x.view(np.uint32)[...] = POISON
    x[:, :n] = rng.normal(0, 2, (rows, n))
    return x


def _mask(rng, n):
    return np.where(rng.random(n) < 0.3, 0.0, 1.25).astype(np.float32)


def _dropout_mask(rng, n):
    for threshold in (0, 1, 6554, 32768, 65535, 65536, None, None):
        key = int(rng.integers(0, 2**64, dtype=np.uint64))
        layer, site = int(rng.integers(-1, 12)), int(rng.integers(0, 5))
        row, head = int(rng.integers(0, 512)), int(rng.integers(0, 16))
        if threshold is None:  # the random number of one of the columns: just kept
            words = key & 0xFFFFFFFF, key >> 32
            column = int(rng.integers(0, n))
            threshold = int(reference.dropout_words(words, layer, site, head, row, column))
        yield (np.ones(n), key, row, (layer + 1) << 8 | site, head, threshold), 1


def _bias_add(rng, n):
    for gap in (0, 1, 21):
        yield (_rows(rng, n, gap), rng.normal(size=n)), 1


def _bias_activation(rng, n):
    for act in range(len(ACTIVATIONS)):
        u = _rows(rng, n, 5)
        yield (np.full_like(u, 7.0), u, rng.normal(size=n), act), 2


def _activation_backward(rng, n):
    for act in range(len(ACTIVATIONS)):
        u, d = _rows(rng, n, 5), _rows(rng, n, 5)
        yield (np.full_like(u, 7.0), d, u, n, act), 2


def _residual_row(rng, n):
    for mask in (None, _mask(rng, n)):
        yield (np.zeros(n), rng.normal(size=n), rng.normal(size=n), mask, rng.normal(size=n)), 1


def _layernorm_row(rng, n):
    # Far from zero, to tell a variance around the mean from E[x^2] - mean^2.
    for mean, spread, eps in ((0, 1, 1e-12), (30, 0.5, 1e-5), (-3, 1e-3, 0.1), (2, 0, 1e-5)):
        x = mean + spread * ((-1.0) ** np.arange(n) + rng.uniform(-0.5, 0.5, n))
        yield (np.zeros(n), x, rng.normal(1, 0.3, n), rng.normal(size=n), eps), 1


def _layernorm_backward_row(rng, n):
    for mean, spread in ((0, 1), (5, 0.5)):
        x = rng.normal(mean, spread, n)
        rstd = 1 / np.sqrt(x.var() + 1e-3)
        yield (np.zeros(n), rng.normal(size=n), rng.normal(size=n), rng.normal(size=n), x,
               rng.normal(1, 0.3, n), float(np.float32(x.mean())), float(np.float32(rstd))), 3


def _softmax_row(rng, n):
    for mask in (None, _mask(rng, n)):
        for spread in (0, 1, 30):
            yield (rng.normal(5, spread, n), mask), 1
    yield (np.full(n, -1e4), None), 1


def _softmax_backward_row(rng, n):
    for mask in (None, _mask(rng, n)):
        s = rng.normal(5, 2, n).astype(np.float32)
        lse = float(np.float32(np.log(np.exp(s.astype(np.float64)).sum())))
        yield (s, rng.normal(size=n), mask, lse, 0.25), 2


def _axpy(rng, n):
    yield (rng.normal(size=n), rng.normal(size=n), -0.75), 1


def _multiply(rng, n):
    yield (np.zeros(n), rng.normal(size=n), _mask(rng, n)), 1


def _column_sum(rng, n):
    for rows, gap in ((1, 0), (7, 0), (64, 3)):
        yield (rng.normal(size=n), _rows(rng, n, gap, rows)), 1


def _sum_squares(rng, n):
    yield (rng.normal(size=n) * 10.0 ** rng.integers(-6, 6, n),), 0


def _adamw(rng, n):
    for step, clip, decay in ((1, 1.0, 0.0), (3, 0.125, 0.5), (1000, 1.0, 0.0625)):
        yield (rng.normal(size=n), rng.normal(size=n) * 0.01, rng.random(n) * 1e-4,
               rng.normal(size=n), clip, 0.0625, 0.9, 0.999, 1e-8, decay, 1 - 0.9**step,
               1 - 0.999**step), 3


def _gemm(rng, n):
    shapes = [(n, 5, 9), (3, n, 17), (33, 2, n)]
    if n == SIZES[-1]:
        shapes += [(530, 790, 8), (1100, 70, 20), (1, 1600, 3), (601, 801, 801)]  # several tiles
    for m, cols, k in shapes:
        for trans_a, trans_b, alpha, beta in (
            (False, True, 1.0, 0.0), (True, False, 1.0, 1.0), (False, False, 0.5, 1.0),
        ):
            a = rng.normal(size=(k, m) if trans_a else (m, k))
            b = rng.normal(size=(cols, k) if trans_b else (k, cols))
            c = rng.normal(size=(m, cols)) if beta else np.full((m, cols), np.nan)
            yield (c, a, b, trans_a, trans_b, alpha, beta, 2), 1


def _small_product(rng, n):
    shapes = [(n, 3, 7), (5, n, 6), (2, 9, n), (1, n, 33), (4, 64, n)]
    for m, cols, k in shapes:
        for trans_a, trans_b, alpha, beta in (
            (False, True, 1.0, 0.0), (True, False, 1.0, 1.0), (False, False, 0.5, 0.5),
        ):
            gap = int(rng.integers(0, 3))
            a = _rows(rng, m if trans_a else k, gap, k if trans_a else m)
            b = _rows(rng, k if trans_b else cols, gap, cols if trans_b else k)
            c = _rows(rng, cols, gap, m)
            if beta == 0:
                c[:, :cols] = np.nan
            yield (c, a, b, trans_a, trans_b, cols, k, alpha, beta), 1


# For each kernel: a function that makes its arguments and gives the number of arrays it writes;
# the tolerance, relative to the largest expected value of an array; and a lower bound for that
# value, as sums of numbers around 1 may cancel (a tuple: one for each array). Tolerances are about
# three times the errors that were measured, a few roundings of float32 (6e-8).
CASES = {
    "dropout_mask": (_dropout_mask, 0, 0),
    "bias_add": (_bias_add, 1.2e-7, 1),
    "bias_activation": (_bias_activation, 3e-7, 1),
    "bias_activation_to_round": (_bias_activation, 3e-7, 1),
    "activation_backward": (_activation_backward, 3e-6, 1),
    "residual_row": (_residual_row, 3e-7, 1),
    "layernorm_row": (_layernorm_row, 1e-5, 1),
    "layernorm_backward_row": (_layernorm_backward_row, 4e-6, 1),
    "softmax_row": (_softmax_row, 2e-6, 0),
    "softmax_backward_row": (_softmax_backward_row, 2e-6, (0, 0.25)),
    "axpy": (_axpy, 2e-7, 1),
    "scale": (_axpy, 1.2e-7, 1),
    "multiply": (_multiply, 1.2e-7, 0),
    "column_sum": (_column_sum, 1e-6, 1),
    "sum_squares": (_sum_squares, 1e-14, 0),
    "adamw": (_adamw, 6e-7, (1, 0.01, 0)),
    "gemm": (_gemm, 2e-6, 1),
    "small_product": (_small_product, 2e-6, 1),
}


def test_every_kernel_has_a_twin_and_every_twin_a_kernel():
    assert sorted(_core.kernel_names()) == sorted(TWINS)
    # From the table itself, to notice kernels that kernel_call lacks; the rest is in gemm.h.
    tiled = {"gemm", "gemm_fp32", "gemm_bf16", "gemm_int8"}
    assert set(_core.kernel_entries("portable")) == set(TWINS) - tiled
    assert set(NAMES) == set(CASES)
    assert ISAS[0] == "portable"
    assert _core.isa() in ISAS


@pytest.mark.parametrize("row", [r for r in _core.isa_table() if r["available"]],
                         ids=lambda row: row["name"])
def test_tables_lack_only_what_the_instruction_set_cannot_do(row):
    for name, there in _core.kernel_entries(row["name"]).items():
        needs = set()
        if name.endswith("_into"):
            needs.add("fused")
        if name.startswith("parts_"):
            needs.add("tiles")
        if name.startswith(("fp32_", "bf16_")):
            needs.add(name[:4])
        if name == "small_product":
            needs.add("fp32")
        assert there == needs.issubset(row["capabilities"]), name


def _close(found, expected, rel, floor):
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    scale = np.nanmax(np.abs(expected), initial=floor)
    error = np.abs(found - expected)
    same = (error <= rel * scale) | (np.isnan(found) & np.isnan(expected))
    wrong = np.flatnonzero(~same)
    assert wrong.size == 0, f"off by {np.nanmax(error):.3g} of {scale:.3g} at {wrong[:8]}"


def _run(name, isa, arguments, n_written, offset):
    _, rel, floor = CASES[name]
    floors = floor if isinstance(floor, tuple) else (floor,) * n_written
    guards = [
        Guarded(np.float32(value), (offset * (i + 1)) % 16)
        if isinstance(value, np.ndarray) else None
        for i, value in enumerate(arguments)
    ]
    twins = [
        guard.array.astype(np.float64) if guard is not None
        else float(np.float32(value)) if isinstance(value, float) else value
        for guard, value in zip(guards, arguments, strict=True)
    ]
    passed = [
        value if guard is None else guard.array
        for guard, value in zip(guards, arguments, strict=True)
    ]
    found = _core.kernel_call(name, isa, *passed)
    expected = TWINS[name](*twins)
    assert (found is None) == (expected is None)
    if expected is not None:
        for one, other in zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True):
            least = 0 if name == "sum_squares" else 1
            assert abs(one - other) <= rel * max(abs(other), least), (one, other)
    for i, guard in enumerate(guards):
        if guard is None:
            continue
        guard.assert_surroundings_whole()
        if i < n_written:
            _close(guard.array, twins[i], rel, floors[i])
        else:
            guard.assert_unchanged()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NAMES)
def test_kernel_equals_its_twin(name, isa):
    if not _core.kernel_entries(isa).get(name, True):
        pytest.skip(f"{isa} has no {name}")
    make = CASES[name][0]
    rng = np.random.default_rng(sum(map(ord, name)))
    for n in SIZES:
        for offset in OFFSETS:
            for arguments, n_written in make(rng, n):
                _run(name, isa, arguments, n_written, offset)


# Outputs that may be the same array as an input, as the engine calls them.
IN_PLACE = [("residual_row", 0, 1), ("layernorm_row", 0, 1), ("layernorm_backward_row", 0, 3),
            ("multiply", 0, 1), ("bias_activation", 0, 1), ("bias_activation_to_round", 0, 1)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(("name", "out", "source"), IN_PLACE)
def test_kernel_in_place_gives_the_same_bits(name, out, source, isa):
    rng = np.random.default_rng(5)
    for n in SIZES:
        for arguments, _ in CASES[name][0](rng, n):
            apart = [np.float32(a) if isinstance(a, np.ndarray) else a for a in arguments]
            together = [a.copy() if isinstance(a, np.ndarray) else a for a in apart]
            if name.startswith("bias_activation"):
                apart[out][...] = apart[source]  # between the rows
            together[out] = together[source]
            assert _core.kernel_call(name, isa, *apart) == _core.kernel_call(
                name, isa, *together
            )
            np.testing.assert_array_equal(together[out], apart[out])


@pytest.mark.parametrize("isa", ISAS)
def test_activations_over_their_whole_range(isa):
    x = np.concatenate([np.linspace(-14, 14, 20001), np.logspace(-30, 9, 601),
                        -np.logspace(-30, 9, 601)]).astype(np.float32)[None]
    for act, name in enumerate(ACTIVATIONS):
        value, derivative = reference.ACTIVATIONS[name]
        exact = x.astype(np.float64)
        expected, slope = value(exact), derivative(exact)
        a, u, d = np.zeros_like(x), x.copy(), np.ones_like(x)
        _core.kernel_call("bias_activation", isa, a, u, np.zeros(x.size, np.float32), act)
        assert (np.abs(a - expected) <= 4e-7 * np.abs(exact)).all(), name
        # Below zero the value falls towards 0: it keeps its relative accuracy.
        below = (exact < 0) & (exact > -5)
        assert (np.abs(a - expected) <= 6e-6 * np.abs(expected))[below].all(), name
        # Not if the result will be rounded to 8 bits; there, a may be the same array as u.
        low = x.copy()
        _core.kernel_call("bias_activation_to_round", isa, low, low, np.zeros(x.size, np.float32),
                          act)
        assert (np.abs(low - expected) <= 3e-7 * np.maximum(1, np.abs(expected))).all(), name
        _core.kernel_call("activation_backward", isa, a, d, u, x.size, act)
        assert (np.abs(a - expected) <= 4e-7 * np.abs(exact)).all(), name
        assert (np.abs(d - slope) <= 4e-6).all(), name


@pytest.mark.parametrize("act", [-1, len(ACTIVATIONS), 2**31])
def test_number_of_no_activation_is_refused(act):
    x = np.ones((1, 4), np.float32)
    for name in ("bias_activation", "bias_activation_to_round"):
        with pytest.raises(ValueError, match=f"no activation has the number {act}"):
            _core.kernel_call(name, "portable", x, x, x[0], act)
    with pytest.raises(ValueError, match=f"no activation has the number {act}"):
        _core.kernel_call("activation_backward", "portable", x, x, x, 4, act)


def test_configuration_accepts_the_names_of_the_activations_only():
    assert set(ACTIVATIONS) == set(reference.ACTIVATIONS)
    for name in ACTIVATIONS:
        assert _core.parameter_table(engine_config(hidden_act=name))[0] > 0
    with pytest.raises(ValueError, match=f"is 'no_such', expected '{ACTIVATIONS[0]}', '"):
        _core.parameter_table(engine_config(hidden_act="no_such"))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("n", [5, 16, 19, 64, 77])
def test_not_a_number_goes_through(isa, n):
    # A weight that is not finite must show in the loss, where training stops.
    for at in {0, n // 2, n - 1}:
        x = np.ones(n, np.float32)
        x[at] = np.nan
        one, zero = np.ones(n, np.float32), np.zeros(n, np.float32)
        assert np.isnan(_core.kernel_call("softmax_row", isa, x.copy(), None))
        assert np.isnan(_core.kernel_call("sum_squares", isa, x))
        y = zero.copy()
        assert np.isnan(_core.kernel_call("layernorm_row", isa, y, x, one, zero, 1e-5)).all()
        assert np.isnan(y).all()
        for act in range(len(ACTIVATIONS)):
            for name in ("bias_activation", "bias_activation_to_round"):
                a = zero[None].copy()
                _core.kernel_call(name, isa, a, x[None].copy(), zero, act)
                assert np.isnan(a[0, at]), act
                assert np.isfinite(np.delete(a[0], at)).all()


@pytest.mark.parametrize("isa", ISAS)
def test_activations_of_very_large_numbers(isa):
    huge = np.array([[1e19, 3e38, np.inf]], np.float32)
    for act in range(len(ACTIVATIONS)):
        for name in ("bias_activation", "bias_activation_to_round"):
            a = np.zeros_like(huge)
            _core.kernel_call(name, isa, a, huge.copy(), np.zeros(3, np.float32), act)
            np.testing.assert_array_equal(a, huge, err_msg=str(act))


@pytest.mark.parametrize("isa", ISAS)
def test_softmax_of_extreme_scores(isa):
    for n in (1, 3, 16, 21, 40):
        s = np.full(n, -3e38, np.float32)
        s[n // 2] = 3e38
        assert _core.kernel_call("softmax_row", isa, s, None) == pytest.approx(3e38)
        assert s[n // 2] == 1
        assert s.sum() == 1


def test_all_instruction_sets_draw_the_same_dropout_bits():
    arguments = 0x123456789ABCDEF0, 17, 3 << 8 | 1, 2, 6554
    rows = []
    for isa in ISAS:
        mask = np.zeros(1000, np.float32)
        _core.kernel_call("dropout_mask", isa, mask, *arguments)
        rows.append(mask)
    for row in rows:
        np.testing.assert_array_equal(row, rows[0])


def test_gemm_gives_the_same_bits_on_any_number_of_threads():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1300, 48)), rng.normal(size=(900, 48))
    a, b = a.astype(np.float32), b.astype(np.float32)
    results = []
    for n_threads in (1, 2, 3, 5):
        c = np.zeros((1300, 900), np.float32)
        _core.kernel_call("gemm", ISAS[0], c, a, b, False, True, 1.0, 0.0, n_threads)
        results.append(c)
    for c in results:
        np.testing.assert_array_equal(c, results[0])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("no such kernel", "portable"), KeyError),
        (("axpy", "no such set"), ValueError),
        (("bf16_rows", "portable"), ValueError),
        (("axpy", "portable", np.zeros(3, np.float32), np.zeros(4, np.float32), 1.0), ValueError),
        (("axpy", "portable", np.zeros(3), np.zeros(3), 1.0), TypeError),
        (("axpy", "portable"), TypeError),
        (("axpy",), TypeError),
    ],
)
def test_calls_that_do_not_fit_are_refused(arguments, error):
    with pytest.raises(error):
        _core.kernel_call(*arguments)
