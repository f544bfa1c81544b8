"""Tiled products over packed operands, of every instruction set, against their twins."""

import numpy as np
import pytest
import reference_kernels as twins
from guarded import call
from test_kernels_packed import columns_of, each_bf16_isa, each_fp32_isa, each_isa, int8_types

from bertsent import _core

# Less than one tile, several tiles in both directions, more than one part of k, and wide tiles of
# decreasing height.
SHAPES = [(1, 1, 1), (2, 33, 5), (31, 65, 33), (70, 40, 312), (1, 900, 24), (700, 3, 17),
          (300, 500, 40), (129, 513, 63), (65, 100, 1030), (33, 64, 2100), (901, 801, 801)]


def _int8_gemm(isa, a, w, n_threads=1, transient=False):
    q, scale, total = twins.int8_weight(w)
    panels = twins.right_operand(np.ascontiguousarray(q.T, int8_types(isa)[2]),
                                 columns=columns_of(isa))
    c = np.full((len(a), len(w)), np.nan, np.float32)
    rest = a.astype(np.float32), panels, scale, total, n_threads, transient
    (found,) = call("gemm_int8", isa, [c], *rest)
    return found


@each_isa
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_int8_does_not_hide_what_is_not_finite(isa, value):
    rng = np.random.default_rng(7)
    for n in (1, 5, 16, 19, 40, 64, 77):
        for at in {0, n // 2, n - 1, max(0, n - 17)}:
            x = rng.normal(size=(3, n))
            x[1, at] = value
            found = _int8_gemm(isa, x, rng.normal(size=(5, n)))
            np.testing.assert_array_equal(np.isfinite(found).all(axis=1), [True, False, True])
            assert not np.isfinite(found[1]).any(), (n, at)


@each_bf16_isa
def test_gemm_bf16_equals_its_twin(isa):
    rng = np.random.default_rng(9)
    for m, n, k in SHAPES:
        for trans_a, trans_b, beta, pack in (
            (False, True, 0.0, True), (False, False, 1.0, True), (True, False, 1.0, False),
            (False, True, 1.0, False), (True, True, 0.0, False),
        ):
            a = rng.normal(size=(k, m) if trans_a else (m, k)).astype(np.float32)
            b = rng.normal(size=(n, k) if trans_b else (k, n)).astype(np.float32)
            c = (rng.normal(size=(m, n)) if beta else np.full((m, n), np.nan)).astype(np.float32)
            expected = c.astype(np.float64)
            panels = twins.right_operand(twins.bf16_bits(b.T if trans_b else b)) if pack else None
            rest = a, b, trans_a, trans_b, beta
            twins.gemm_bf16(expected, *rest, 1, panels, False)
            (found,) = call("gemm_bf16", isa, [c], *rest, 1, panels, False, offset=1)
            size = np.zeros((m, n))
            twins.gemm_bf16(size, np.abs(a), np.abs(b), trans_a, trans_b, 0.0, 1, None, False)
            size += np.abs(c) if beta else 0
            error = np.abs(found - expected)
            assert (error <= 4e-6 * size).all(), (m, n, k, trans_a, trans_b)
            for n_threads, transient in ((2, False), (3, beta == 0), (5, False)):
                (other,) = call("gemm_bf16", isa, [c], *rest, n_threads, panels, transient)
                np.testing.assert_array_equal(other, found)


@each_fp32_isa
def test_gemm_fp32_equals_its_twin(isa):
    rng = np.random.default_rng(16)
    for m, n, k in SHAPES:
        a = rng.normal(size=(m, k)).astype(np.float32)
        b = rng.normal(size=(k, n)).astype(np.float32)
        layout = columns_of(isa), _core.operand_layout(isa)["fp32_parts"]
        panels = (twins.parts_operand(b) if layout[1] > 1
                  else twins.right_operand(b, 4, layout[0]))
        for beta in (0.0, 1.0):
            c = (rng.normal(size=(m, n)) if beta else np.full((m, n), np.nan)).astype(np.float32)
            expected = c.astype(np.float64)
            twins.gemm_fp32(expected, a, panels, beta, 1, False, *layout)
            (found,) = call("gemm_fp32", isa, [c], a, panels, beta, 1, False, offset=1)
            size = np.abs(a).astype(np.float64) @ np.abs(b) + (np.abs(c) if beta else 0)
            # As for one product: if k is cut, c holds the partial sum.
            assert (np.abs(found - expected) <= k * 2.0**-24 * size).all(), (m, n, k)
            for n_threads, transient in ((2, False), (3, beta == 0), (5, False)):
                (other,) = call("gemm_fp32", isa, [c], a, panels, beta, n_threads, transient)
                np.testing.assert_array_equal(other, found)


@pytest.mark.parametrize("isa", _core.isa_list())
def test_product_that_the_hardware_lacks_is_refused_by_name(isa):
    for name in ("gemm_fp32", "gemm_bf16"):
        if not _core.kernel_entries(isa)[name.replace("gemm_", "") + "_product"]:
            with pytest.raises(ValueError, match=f"'{isa}' has no kernel '{name}'"):
                _core.kernel_call(name, isa)


@each_isa
def test_gemm_int8_equals_its_twin(isa):
    rng = np.random.default_rng(10)
    for m, n, k in SHAPES:
        a, w = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(n, k))
        found = _int8_gemm(isa, a, w)
        # From exactly the bytes that the kernel makes of the rows.
        q, scale, total = twins.int8_weight(w)
        elements, left_type, _ = int8_types(isa)
        size = twins.round_up(k * 4 // elements, 64)
        rows = [np.zeros((m, size), np.uint8), *np.zeros((2, m), np.float32)]
        left, row_scale, row_offset = call("int8_rows", isa, rows, a, k)
        exact = left.view(left_type)[:, :k].astype(np.float64) @ q.T.astype(np.float64)
        size = scale * (row_scale[:, None] * np.abs(exact) + np.abs(row_offset[:, None] * total))
        twins.int8_restore(exact, row_scale, row_offset, scale, total)
        assert (np.abs(found - exact) <= 6e-7 * size).all(), (m, n, k)
        # And close to the exact product: no error is larger than the rounding steps allow.
        allowed = (row_scale[:, None] / 2 * np.abs(w).sum(axis=1)
                   + np.abs(a).sum(axis=1)[:, None] * scale / 2) * 1.01
        allowed += k / 4 * row_scale[:, None] * scale
        assert (np.abs(found - a.astype(np.float64) @ w.T) <= allowed).all(), (m, n, k)
        for n_threads, transient in ((2, False), (3, True), (5, False)):
            np.testing.assert_array_equal(_int8_gemm(isa, a, w, n_threads, transient), found)


@each_isa
def test_all_instruction_sets_give_the_same_int8_products(isa):
    rng = np.random.default_rng(11)
    a, w = rng.normal(size=(40, 90)), rng.normal(size=(50, 90))
    np.testing.assert_allclose(_int8_gemm(isa, a, w), _int8_gemm("portable", a, w), atol=1e-4)
