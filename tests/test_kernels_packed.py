"""Kernels of packed operands, of every instruction set of this machine, against their twins."""

import numpy as np
import pytest
import reference_kernels as twins
from guarded import call, poisoned, with_gap

from bertsent import _core

ISAS = _core.isa_list()
BF16_ISAS = [isa for isa in ISAS if isa in ("avx512_bf16", "amx")]
FP32_ISAS = [isa for isa in ISAS if isa != "portable"]
CONVERSIONS = ["bf16_rows", "bf16_rows_transposed", "bf16_panel", "bf16_panel_transposed"]
FROM_BF16 = [f"{name}_from_bf16" for name in CONVERSIONS[1:]]
FP32_PANELS = ["fp32_panel", "fp32_panel_transposed"]
PARTS_PANELS = ["parts_panel", "parts_panel_transposed"]

# Around 12 rows in registers, 16 in a tile, 32 in two tiles and columns of a panel, 64 in a task.
SIZES = [1, 2, 3, 4, 11, 12, 13, 15, 16, 17, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 100]

each_isa = pytest.mark.parametrize("isa", ISAS)
each_bf16_isa = pytest.mark.parametrize("isa", BF16_ISAS)


each_fp32_isa = pytest.mark.parametrize("isa", FP32_ISAS)
PARTS_ISAS = [isa for isa in ISAS if _core.operand_layout(isa)["fp32_parts"] > 1]
each_parts_isa = pytest.mark.parametrize("isa", PARTS_ISAS)
FP32_PRODUCTS = [(name + end, isa)
                 for name, isas in (("fp32_product", FP32_ISAS), ("parts_product", PARTS_ISAS))
                 for end in ("", "_transposed") for isa in isas]


@each_isa
def test_kernel_that_the_hardware_lacks_is_refused_by_name(isa):
    for name, there in _core.kernel_entries(isa).items():
        error, match = ValueError, f"'{isa}' has no kernel '{name}'"
        if there:
            error, match = TypeError, "argument"
        with pytest.raises(error, match=match):
            _core.kernel_call(name, isa)


# ---- conversion to bfloat16 ----


def columns_of(isa):
    """Number of columns in a panel."""
    return _core.operand_layout(isa)["columns"]


def _columns(name, rows, n):
    """Number of columns that (rows, n) fills in a panel, or 0 if it is not a panel."""
    if "panel" not in name:
        return 0
    return rows if "transposed" in name else n


def _operand(name, isa, rows, n):
    """The output array for converting (rows, n), with space that must not change."""
    if name == "bf16_rows":
        return poisoned((rows + 1, twins.round_up(2 * n, 64) + 64), np.uint8)
    if name.startswith("bf16_rows_transposed"):
        return poisoned((n + 1, twins.round_up(2 * rows, 64) + 64), np.uint8)
    deep = n if "transposed" in name else rows
    size = 4 * deep if name.startswith("fp32_") else twins.round_up(2 * deep, 64)
    size *= 3 if name.startswith("parts_") else 1
    return poisoned((size * columns_of(isa),), np.uint8)


def _check(name, isa, x, gap=0):
    rows, n = x.shape
    given, out = with_gap(x, gap), _operand(name, isa, rows, n)
    expected = out.copy()
    twins.TWINS[name](expected, given, n)
    (found,) = call(name, isa, [out], given, n, offset=gap)
    np.testing.assert_array_equal(found, expected, err_msg=f"{rows} {n} {gap}")


def _check_sizes(name, isa, draw):
    """Operands of all sizes; `draw` makes one."""
    for rows in SIZES:
        for n in SIZES:
            if _columns(name, rows, n) <= columns_of(isa):
                for gap in (0, 5):
                    _check(name, isa, draw((rows, n)), gap)


@each_bf16_isa
@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversion_equals_its_twin_byte_for_byte(name, isa):
    rng = np.random.default_rng(1)
    _check_sizes(name, isa, lambda size: rng.normal(0, 3, size).astype(np.float32))


def _special_floats():
    """Ties in both directions, rounding up to the next power and to infinity, extremes, NaN."""
    bits = [0x3F808000, 0x3F818000, 0x3F808001, 0x3F817FFF, 0x3F807FFF, 0x3FFFFFFF, 0x3F7F8000,
            0x7F7FFFFF, 0x7F7F7FFF, 0x7F7F8000, 0x7F800000, 0x7FC00000, 0x7F800001, 0x7FFFFFFF,
            0, 1, 0x7FFFFF, 0x7F8000, 0x800000, 0x808000, 0x807FFF, 0x818000]
    bits = np.array(bits, np.uint32)
    return np.concatenate([bits, bits | np.uint32(0x80000000)]).view(np.float32)


@each_bf16_isa
@pytest.mark.parametrize("name", CONVERSIONS)
def test_rounding_is_to_nearest_even_and_spares_nan(name, isa):
    special = _special_floats()
    rng = np.random.default_rng(2)
    any_bits = rng.integers(0, 2**32, 32 * 3000, dtype=np.uint64).astype(np.uint32)
    for x in (special[:, None], special[None], any_bits.view(np.float32).reshape(-1, 32)):
        if "transposed" in name:
            x = np.ascontiguousarray(x.T)
        rows, n = x.shape
        if _columns(name, rows, n) > columns_of(isa):
            continue
        out = _operand(name, isa, rows, n)
        expected = out.copy()
        twins.TWINS[name](expected, x, n)
        (found,) = call(name, isa, [out], x, n)
        np.testing.assert_array_equal(found, expected)
    # Check the twin itself.
    for given, wanted in (
        (0x3F808000, 0x3F80), (0x3F818000, 0x3F82), (0x3F808001, 0x3F81), (0x3FFFFFFF, 0x4000),
        (0x7F7FFFFF, 0x7F80), (0x7F800001, 0x7FC0), (0x807FFFFF, 0x8000), (0x7FFFFF, 0),
    ):
        assert twins.bf16_bits(np.array([given], np.uint32).view(np.float32))[0] == wanted


@each_bf16_isa
@pytest.mark.parametrize("name", FROM_BF16)
def test_conversion_of_halves_moves_them_as_they_are(name, isa):
    rng = np.random.default_rng(12)
    for rows in SIZES:
        for n in SIZES:
            if _columns(name, rows, n) > columns_of(isa):
                continue
            for gap in (0, 5):  # halves: x and its rows begin at any even address
                # Any bits at all: subnormals, NaN of every payload.
                x = with_gap(rng.integers(0, 2**16, (rows, n)).astype(np.uint16), gap)
                x, out = x.view(np.uint8), _operand(name, isa, rows, n)
                expected = out.copy()
                twins.TWINS[name](expected, x, n)
                (found,) = call(name, isa, [out], x, n, offset=2 * gap)
                np.testing.assert_array_equal(found, expected, err_msg=f"{rows} {n} {gap}")


@each_fp32_isa
@pytest.mark.parametrize("name", FP32_PANELS)
def test_fp32_panel_moves_floats_as_they_are(name, isa):
    rng = np.random.default_rng(13)
    _check_sizes(name, isa,
                 lambda size: rng.integers(0, 2**32, size).astype(np.uint32).view(np.float32))


@each_parts_isa
@pytest.mark.parametrize("name", PARTS_PANELS)
def test_panel_in_parts_equals_its_twin_byte_for_byte(name, isa):
    rng = np.random.default_rng(17)
    _check_sizes(name, isa, lambda size: rng.normal(0, 3, size).astype(np.float32))
    bits = rng.integers(0, 2**32, (32, 3000), dtype=np.uint64).astype(np.uint32)
    x = np.where(np.isfinite(bits.view(np.float32)), bits, 0).astype(np.uint32).view(np.float32)
    _check(name, isa, x if "transposed" in name else np.ascontiguousarray(x.T))


def test_three_parts_are_all_of_a_float():
    rng = np.random.default_rng(18)
    bits = rng.integers(0, 2**32, 100_000, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([bits.view(np.float32), _special_floats()])
    # A part may round up into infinity; below 2^-126 none has 8 bits.
    x = x[np.isfinite(x) & (np.abs(x) < 3.3e38) & (np.abs(x) > 1e-30)]
    parts = twins.parts_of(x)
    for part in parts:
        assert (part.view(np.uint32) & 0xFFFF == 0).all()
    np.testing.assert_array_equal(sum(part.astype(np.float64) for part in parts), x)
    # The remainder is small: the products that are left out amount to 2^-24 of one.
    assert (np.abs(parts[1]) <= np.abs(x) * 2.0**-8).all()
    assert (np.abs(parts[2]) <= np.abs(x) * 2.0**-16).all()


# ---- products of packed operands ----


def int8_types(isa):
    """How many elements of int8 operands 4 bytes hold, and the types of both operands."""
    elements = _core.operand_layout(isa)["int8_elements"]
    return elements, *twins.INT8_TYPES[elements]


@each_isa
def test_int8_is_kept_in_bytes_where_bytes_are_multiplied(isa):
    bytes_are = isa in ("avx512_vnni", "avx512_bf16", "amx")
    assert _core.operand_layout(isa)["int8_elements"] == (4 if bytes_are else 2)


def _operands(isa, left, right, gap):
    """Packed operands with guard values after rows and panels, and in rows past the end."""
    more = twins.round_up(len(left), 32) - len(left)
    return (with_gap(twins.left_operand(left), gap, more),
            with_gap(twins.right_operand(right, columns=columns_of(isa)), gap))


@each_bf16_isa
@pytest.mark.parametrize("add", [False, True])
def test_bf16_product_equals_its_twin(isa, add):
    rng = np.random.default_rng(3)
    for m in SIZES:
        for n in SIZES:
            k = int(rng.choice([1, 2, 31, 32, 33, 63, 64, 65, 131]))
            whole = (m + n) % 2 == 0  # small whole numbers: every sum is exact
            draw = (lambda s: rng.integers(-9, 10, s)) if whole else (lambda s: rng.normal(0, 1, s))
            left, right = draw((m, k)), draw((k, n))
            before = draw((m, n)) if add else np.full((m, n), np.nan)
            a, b = _operands(isa, twins.bf16_bits(left), twins.bf16_bits(right), 64 * (m % 2))
            c = with_gap(before.astype(np.float32), n % 3)
            groups = twins.round_up(2 * k, 64) // 4
            (found,) = call("bf16_product", isa, [c], a, b, n, groups, add, offset=m % 2)
            expected = c[:, :n].astype(np.float64)
            twins.bf16_product(expected, a, b, n, groups, add)
            np.testing.assert_array_equal(
                found[:, n:].view(np.uint32), c[:, n:].view(np.uint32), "between the rows"
            )
            size = np.abs(twins.to_bf16(left)) @ np.abs(twins.to_bf16(right))
            size += np.abs(before) if add else 0
            error = np.abs(found[:, :n] - expected)
            assert (error <= (0 if whole else 2e-6) * size).all(), (m, n, k, error.max())


def _fp32_operand(name, isa, right):
    return (twins.parts_operand(right) if name.startswith("parts_")
            else twins.right_operand(right, 4, columns_of(isa)))


def _fp32_twin(name, isa, *arguments):
    twins.TWINS[name](*arguments, *([] if name.startswith("parts_") else [columns_of(isa)]))


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(("name", "isa"), FP32_PRODUCTS)
def test_fp32_product_equals_its_twin(name, isa, add):
    rng = np.random.default_rng(14)
    for m in SIZES:
        for n in SIZES:
            k = int(rng.choice([1, 2, 15, 16, 17, 33, 64, 131, 192, 193, 420]))
            whole = (m + n) % 2 == 0  # small whole numbers: every sum is exact
            draw = (lambda s: rng.integers(-9, 10, s)) if whole else (lambda s: rng.normal(0, 1, s))
            left, right = draw((m, k)).astype(np.float32), draw((k, n)).astype(np.float32)
            before = (draw((m, n)) if add else np.full((m, n), np.nan)).astype(np.float32)
            # NaN right after the last row and, with a gap, after each: neither may be read.
            lies = np.ascontiguousarray(left.T) if "transposed" in name else left
            packed = _fp32_operand(name, isa, right)
            a, b = with_gap(lies, m % 3), with_gap(packed, 64 * (m % 2))
            c = with_gap(before, n % 3)
            (found,) = call(name, isa, [c], a, b, n, k, add, offset=m % 4)
            expected = c.astype(np.float64)
            _fp32_twin(name, isa, expected, a, b, n, k, add)
            np.testing.assert_array_equal(
                found[:, n:].view(np.uint32), c[:, n:].view(np.uint32), "between the rows"
            )
            # Each of k sums rounds what is at most the sum of the sizes, by half of 2^-23; of
            # parts each six of a pair, and three products are left out.
            sums = 3 * k + 4 if name.startswith("parts_") else k
            size = np.abs(left).astype(np.float64) @ np.abs(right) + (np.abs(before) if add else 0)
            error = np.abs(found[:, :n] - expected[:, :n])
            assert (error <= (0 if whole else sums * 2.0**-24) * size).all(), (m, n, k)


@each_parts_isa
def test_product_in_parts_is_as_exact_as_one_of_floats(isa):
    """The mean error, which would be many times larger if a part or product were missing."""
    rng = np.random.default_rng(19)
    m, n, k = 64, 64, 768
    left = rng.normal(0, 1, (m, k)).astype(np.float32)
    right = rng.normal(0, 1, (k, n)).astype(np.float32)
    exact = left.astype(np.float64) @ right
    errors = {}
    for name in ("fp32_product", "parts_product"):
        c, b = np.zeros((m, n), np.float32), _fp32_operand(name, isa, right)
        (found,) = call(name, isa, [c], left, b, n, k, False)
        errors[name] = np.abs(found - exact).mean()
    assert errors["parts_product"] < 1.2 * errors["fp32_product"]


@pytest.mark.parametrize(("name", "isa"), FP32_PRODUCTS)
def test_fp32_product_hides_neither_nan_nor_infinity(name, isa):
    rng = np.random.default_rng(15)
    m, n, k = 37, 45, 70
    for value in (np.nan, np.inf):
        for i, j, at in ((0, 0, 0), (36, 44, 69), (17, 33, 31), (12, 16, 64)):
            for where in ("left", "right"):
                left, right = rng.uniform(1, 2, (m, k)), rng.uniform(1, 2, (k, n))
                struck = np.zeros((m, n), bool)
                if where == "left":
                    left[i, at], struck[i] = value, True
                else:
                    right[at, j], struck[:, j] = value, True
                b = _fp32_operand(name, isa, right.astype(np.float32))
                a = np.ascontiguousarray(left.T if "transposed" in name else left, np.float32)
                (found,) = call(name, isa, [np.zeros((m, n), np.float32)], a, b, n, k, False)
                np.testing.assert_array_equal(np.isfinite(found), ~struck)
                if name.startswith("fp32_"):  # the parts of infinity make NaN
                    np.testing.assert_array_equal(found[struck], np.float32(value))


@each_isa
@pytest.mark.parametrize("add", [False, True])
def test_int8_product_is_exact(isa, add):
    rng = np.random.default_rng(4)
    elements, left_type, right_type = int8_types(isa)
    for m in SIZES:
        for n in SIZES:
            k = int(rng.choice([1, 2, 3, 4, 63, 64, 65, 127, 129]))
            left = rng.integers(0, 256, (m, k)).astype(left_type)
            right = rng.integers(-128, 128, (k, n)).astype(right_type)
            a, b = _operands(isa, left, right, 64 * (m % 2))
            c = with_gap(rng.integers(-(2**30), 2**30, (m, n)).astype(np.int32), n % 3)
            expected = c.astype(np.int64)
            groups = twins.round_up(k * 4 // elements, 64) // 4
            twins.int8_product(expected, a, b, n, groups, add, elements, columns_of(isa))
            (found,) = call("int8_product", isa, [c], a, b, n, groups, add, offset=m % 2)
            np.testing.assert_array_equal(found, expected, f"{m} {n} {k}")


@each_isa
@pytest.mark.parametrize("high", [-128, -127, 127])
@pytest.mark.parametrize("k", [2, 64, 65, 4096])
def test_int8_product_of_extreme_bytes_does_not_saturate(isa, high, k):
    elements, left_type, right_type = int8_types(isa)
    groups = twins.round_up(k * 4 // elements, 64) // 4
    for m, n in ((1, 1), (5, 33), (33, 40)):
        left, right = np.full((m, k), 255, left_type), np.full((k, n), high, right_type)
        a, b = _operands(isa, left, right, 0)
        c = np.full((m, n), -1, np.int32)
        (found,) = call("int8_product", isa, [c], a, b, n, groups, False)
        assert (found == 255 * high * k).all()


@each_bf16_isa
def test_bf16_product_hides_neither_nan_nor_infinity(isa):
    rng = np.random.default_rng(5)
    m, n, k = 37, 45, 70
    for value in (np.nan, np.inf):
        for i, j, at in ((0, 0, 0), (36, 44, 69), (17, 33, 31), (12, 16, 64)):
            for where in ("left", "right"):
                left, right = rng.uniform(1, 2, (m, k)), rng.uniform(1, 2, (k, n))
                struck = np.zeros((m, n), bool)
                if where == "left":
                    left[i, at], struck[i] = value, True
                else:
                    right[at, j], struck[:, j] = value, True
                a, b = _operands(isa, twins.bf16_bits(left), twins.bf16_bits(right), 0)
                c = np.zeros((m, n), np.float32)
                (found,) = call("bf16_product", isa, [c], a, b, n, 48, False)
                np.testing.assert_array_equal(np.isfinite(found), ~struck)
                np.testing.assert_array_equal(found[struck], np.float32(value))


# ---- int8: rows and what the product stands for ----


@each_isa
def test_int8_rows_lie_within_half_a_step(isa):
    rng = np.random.default_rng(6)
    elements, left_type, _ = int8_types(isa)
    for n in [*SIZES, 127, 128, 129, 300]:
        for mean, spread in ((0, 1), (50, 0.5), (-3, 1e-3), (1e-20, 1e-18), (0, 1e30)):
            x = rng.normal(mean, spread, (3, n))
            x[1] = np.where(np.arange(n) % 3, -1, 1) * spread  # only the two extremes
            x = with_gap(x.astype(np.float32), 2)
            size = twins.round_up(n * 4 // elements, 64)
            out = poisoned((4, size + 64), np.uint8)
            made, scale, offset = call(
                "int8_rows", isa, [out, poisoned(3), poisoned(3)], x, n, offset=n % 2
            )
            expected = out.copy(), np.zeros(3), np.zeros(3)
            twins.int8_rows(*expected, x, n, elements)
            q = made.view(left_type)
            np.testing.assert_array_equal(offset, expected[2])
            np.testing.assert_allclose(scale, expected[1], rtol=3e-7)
            exact = x[:, :n].astype(np.float64)
            back = scale[:, None].astype(np.float64) * q[:3, :n] + offset[:, None]
            limit = scale[:, None] * 0.5001 + 3e-7 * np.abs(exact).max()
            assert (np.abs(exact - back) <= limit).all(), n
            # Zeros after the row, and nothing changed after these.
            assert not q[:3, n : size * elements // 4].any()
            np.testing.assert_array_equal(made[3], out[3])
            np.testing.assert_array_equal(made[:, -64:], out[:, -64:])
            # The lowest and the highest value are used.
            if n > 1:
                assert (q[:3, :n].min(axis=1) == 0).all()
                assert (q[:3, :n].max(axis=1) == 255).all()


@each_isa
def test_int8_row_of_one_value_is_exact(isa):
    for value in (0.0, -2.5, 1e30):
        x = np.full((2, 33), value, np.float32)
        made = np.zeros((2, 128), np.uint8)
        arrays = [made, np.zeros(2, np.float32), np.zeros(2, np.float32)]
        q, scale, offset = call("int8_rows", isa, arrays, x, 33)
        q = q.view(int8_types(isa)[1])
        np.testing.assert_array_equal(scale[:, None] * q[:, :33] + offset[:, None], x)


@each_isa
def test_int8_restore_equals_its_twin(isa):
    rng = np.random.default_rng(8)
    for n in SIZES:
        for rows in (1, 3):
            c = with_gap(rng.integers(-(2**24), 2**24, (rows, n)).astype(np.int32), n % 3)
            vectors = [rng.normal(1, 0.2, size).astype(np.float32) for size in (rows, rows, n)]
            vectors.append(rng.integers(-9999, 9999, n).astype(np.float32))
            (found,) = call("int8_restore", isa, [c], *vectors, offset=n % 2)
            np.testing.assert_array_equal(found[:, n:], c[:, n:], "between the rows")
            exact = [v.astype(np.float64) for v in vectors]
            expected, size = c.astype(np.float64), np.abs(c.astype(np.float64))
            twins.int8_restore(expected, *exact)
            twins.int8_restore(size, *map(np.abs, exact))
            error = np.abs(found[:, :n].view(np.float32) - expected[:, :n])
            assert (error <= 4e-7 * size[:, :n]).all()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("int8_product", np.zeros((2, 3), np.int32), np.zeros((2, 64), np.uint8),
          np.zeros((1, 2048), np.uint8), 3, 16, False), ValueError),  # rows past the end are read
        (("int8_product", np.zeros((2, 3), np.int32), np.zeros((32, 64), np.uint8),
          np.zeros((1, 2048), np.uint8), 3, 15, False), ValueError),
        (("int8_product", np.zeros((2, 3), np.float32), np.zeros((32, 64), np.uint8),
          np.zeros((1, 2048), np.uint8), 3, 16, False), TypeError),
    ],
)
def test_calls_that_do_not_fit_are_refused(arguments, error):
    name, *rest = arguments
    with pytest.raises(error):
        _core.kernel_call(name, "portable", *rest)
