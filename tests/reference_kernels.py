"""A NumPy twin of each kernel in csrc/kernels/kernels.h, in float64 or whole numbers.

Arrays that a kernel writes come first, as in C, hold what they hold before the call, and are
changed in place. Sizes are those of the arrays; arguments are those of `_core.kernel_call`.
"""

import numpy as np
import reference

from bertsent import _core

ACTIVATIONS = [reference.ACTIVATIONS[name] for name in _core.activations()]


def dropout_mask(mask, key, row, site, head, threshold):
    """One row of dropout factors; ``site`` is (layer + 1) << 8 | site."""
    words = (key & 0xFFFFFFFF, key >> 32)
    layer, site = (site >> 8) - 1, site & 0xFF
    drawn = reference.dropout_words(words, layer, site, head, row, np.arange(len(mask)))
    kept = np.float32(65536) / np.float32(65536 - threshold) if threshold < 65536 else 0.0
    mask[...] = np.where(drawn < threshold, 0.0, kept)


def bias_add(x, bias):
    """x += bias in the first columns of each row."""
    x[:, : len(bias)] += bias


def bias_activation(a, u, bias, act):
    """u += bias, then a = act(u), in the first columns of each row."""
    n = len(bias)
    u[:, :n] += bias
    a[:, :n] = ACTIVATIONS[act][0](u[:, :n])


def bias_activation_to_round(a, u, bias, act):
    """The same, where a will be rounded."""
    bias_activation(a, u, bias, act)


def activation_backward(a, d, u, n, act):
    """a = act(u) and d *= act'(u), in the first n columns of each row."""
    value, derivative = ACTIVATIONS[act]
    a[:, :n] = value(u[:, :n])
    d[:, :n] *= derivative(u[:, :n])


def residual_row(z, y, bias, mask, residual):
    """z = residual + mask (y + bias)."""
    z[...] = residual + (1.0 if mask is None else mask) * (y + bias)


def layernorm_row(y, x, gamma, beta, eps):
    """Normalise one row; returns mean and 1/std."""
    y[...], (_, rstd) = reference.layer_norm(x, gamma, beta, eps)
    return x.mean(), float(rstd[0])


def layernorm_backward_row(d_x, d_gamma, d_beta, d_y, x, gamma, mean, rstd):
    """Gradient of one row; those of gamma and beta are added."""
    xhat = ((x - mean) * rstd)[None]
    new, for_gamma, for_beta = reference.layer_norm_backward(d_y[None], (xhat, rstd), gamma)
    d_x[...] = new[0]
    d_gamma += for_gamma
    d_beta += for_beta


def softmax_row(s, mask):
    """s = softmax(s) mask; returns log sum exp."""
    top = s.max()
    lse = top + np.log(np.exp(s - top).sum())
    s[...] = np.exp(s - lse) * (1.0 if mask is None else mask)
    return lse


def softmax_backward_row(s, d, mask, lse, scale):
    """s: scores to softmax mask; d: gradient there to scale times that at the scores."""
    p = np.exp(s - lse)
    mask = 1.0 if mask is None else mask
    g = d * mask
    d[...] = scale * p * (g - (p * g).sum())
    s[...] = p * mask


def axpy(y, x, a):
    """y += a x."""
    y += a * x


def scale(y, x, a):
    """y = a x."""
    y[...] = a * x


def multiply(y, x, mask):
    """y = x mask."""
    y[...] = x * mask


def column_sum(total, x):
    """Add the sums of the first columns."""
    total += x[:, : len(total)].sum(axis=0)


def sum_squares(x):
    """Sum of squares."""
    return float((x * x).sum())


def adamw(w, m, v, g, clip, lr, beta1, beta2, eps, decay, correct1, correct2):
    """One step of AdamW."""
    m[...] = beta1 * m + (1 - beta1) * clip * g
    v[...] = beta2 * v + (1 - beta2) * (clip * g) ** 2
    w[...] = w * (1 - lr * decay) - lr / correct1 * m / (np.sqrt(v / correct2) + eps)


def gemm(c, a, b, trans_a, trans_b, alpha, beta, n_threads):
    """c = alpha op(a) op(b) + beta c; what is in c is not looked at where beta is 0."""
    del n_threads
    kept = beta * c if beta != 0 else 0.0
    c[...] = alpha * ((a.T if trans_a else a) @ (b.T if trans_b else b)) + kept


def small_product(c, a, b, trans_a, trans_b, n, k, alpha, beta):
    """The same for the first n columns of c; rows of a and b may be longer than needed."""
    left = a[:, : len(c)] if trans_a else a[:, :k]
    right = b[:, :k] if trans_b else b[:, :n]
    gemm(c[:, :n], left, right, trans_a, trans_b, alpha, beta, 1)


# --- packed operands, in groups of 4 bytes along k, and below float32: see kernels.h -----------

DEEP = 64  # bytes that a row's length is a multiple of
COLUMNS = 32  # of a panel, of most instruction sets


def round_up(n, to):
    """The smallest multiple of ``to`` that is not below ``n``."""
    return -(-n // to) * to


def bf16_bits(x):
    """The upper halves of float32, rounded to nearest even; subnormals are taken for zero."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) >> np.uint64(16)
    exponent, fraction = bits & np.uint64(0x7F800000), bits & np.uint64(0x7FFFFF)
    rounded = np.where(exponent == 0, (bits >> np.uint64(16)) & np.uint64(0x8000), rounded)
    quiet = (bits >> np.uint64(16)) | np.uint64(0x40)
    nan = (exponent == 0x7F800000) & (fraction != 0)
    return np.where(nan, quiet, rounded).astype(np.uint16)


def bf16_values(bits):
    """What such halves stand for, in float64; subnormals are taken for zero."""
    bits = np.asarray(bits, np.uint16)
    values = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return np.where(bits & 0x7F80, values, 0.0)


def to_bf16(x):
    """Round to bfloat16; returns float64."""
    return bf16_values(bf16_bits(x))


def left_operand(elements):
    """Bytes of the rows of a left operand, with their zeros."""
    rows, k = elements.shape
    out = np.zeros((rows, round_up(k * elements.itemsize, DEEP)), np.uint8)
    out.view(elements.dtype)[:, :k] = elements
    return out


def right_operand(elements, deep=DEEP, columns=COLUMNS):
    """Bytes of the panels of a right operand (k, n), with their zeros: (panels, bytes)."""
    k, n = elements.shape
    in_group = 4 // elements.itemsize
    padded = np.zeros(
        (round_up(k * elements.itemsize, deep) // elements.itemsize, round_up(n, columns)),
        elements.dtype,
    )
    padded[:k, :n] = elements
    grouped = padded.reshape(len(padded) // in_group, in_group, -1, columns).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(grouped).view(np.uint8).reshape(len(grouped), -1)


def _left_elements(a, rows, groups, dtype):
    return np.ascontiguousarray(a[:rows, : 4 * groups]).view(dtype)


def _right_elements(b, cols, groups, dtype, columns=COLUMNS):
    panels = np.ascontiguousarray(b[: round_up(cols, columns) // columns, : 4 * columns * groups])
    grouped = panels.view(dtype).reshape(len(panels), groups, columns, -1)
    return grouped.transpose(1, 3, 0, 2).reshape(-1, len(panels) * columns)[:, :cols]


def bf16_rows(out, x, n):
    """The first n columns of x as rows of a left operand."""
    made = left_operand(bf16_bits(x[:, :n]))
    out[: len(made), : made.shape[1]] = made


def bf16_rows_transposed(out, x, n):
    """The same of x^T."""
    bf16_rows(out, x[:, :n].T, len(x))


def bf16_panel(out, x, n):
    """The first n columns of x as a panel."""
    out[...] = right_operand(bf16_bits(x[:, :n]))[0]


def bf16_panel_transposed(out, x, k):
    """The first k columns of x, transposed, as a panel."""
    bf16_panel(out, x[:, :k].T, len(x))


def _halves(x, n):
    return np.ascontiguousarray(x[:, : 2 * n]).view(np.uint16)


def bf16_rows_transposed_from_bf16(out, x, n):
    """As bf16_rows_transposed; x is bytes of bfloat16, which are copied whatever they mean."""
    made = left_operand(np.ascontiguousarray(_halves(x, n).T))
    out[: len(made), : made.shape[1]] = made


def bf16_panel_from_bf16(out, x, n):
    """As bf16_panel, of bytes of bfloat16."""
    out[...] = right_operand(_halves(x, n))[0]


def bf16_panel_transposed_from_bf16(out, x, k):
    """As bf16_panel_transposed, of bytes of bfloat16."""
    out[...] = right_operand(np.ascontiguousarray(_halves(x, k).T))[0]


def _put(out, values):
    """Rounded to bfloat16 into the first bytes of each row."""
    out[: len(values), : 2 * values.shape[1]] = bf16_bits(values).view(np.uint8)


def bf16_bias_rows(out, c, bias):
    """The first columns of c + bias, rounded to float32 and then to bfloat16."""
    _put(out, c[:, : len(bias)].astype(np.float32) + bias.astype(np.float32))


def bf16_bias_activation(out, u, c, bias, act):
    """u = c + bias in float32, out = act(u) in bfloat16."""
    n = len(bias)
    x = c[:, :n].astype(np.float32) + bias.astype(np.float32)
    if u is not None:
        u[: len(x), :n] = x
    _put(out, ACTIVATIONS[act][0](x.astype(np.float64)))


def bf16_softmax_row(out, s, mask, scale):
    """A row of e^(scale (s - max)) mask; returns 1 / the sum without the mask, and its log."""
    weights = np.exp(scale * (s - s.max()))
    out[: round_up(2 * len(s), DEEP)] = 0
    _put(out[None], (weights * (1.0 if mask is None else mask))[None])
    return 1 / weights.sum(), scale * s.max() + np.log(weights.sum())


def bf16_softmax_backward_row(out_p, out_d, s, d, mask, lse, scale):
    """Rows of softmax mask and of the gradient at the scores before they are scaled."""
    s, d = scale * s, d.copy()
    softmax_backward_row(s, d, mask, lse, scale)
    for out, values in ((out_p, s), (out_d, d)):
        out[: round_up(2 * len(s), DEEP)] = 0
        _put(out[None], values[None])


def fp32_panel(out, x, n):
    """The first n columns of x as a panel, which has no zeros after the last row."""
    columns = out.size // (4 * len(x))
    out[...] = right_operand(np.ascontiguousarray(x[:, :n]), 4, columns)[0]


def fp32_panel_transposed(out, x, k):
    """The first k columns of x, transposed, as a panel."""
    fp32_panel(out, x[:, :k].T, len(x))


def fp32_product(c, a, b, cols, groups, add, columns=COLUMNS):
    """The first columns of c = A B, or += with add."""
    right = _right_elements(b, cols, groups, np.float32, columns).astype(np.float64)
    c[:, :cols] = (c[:, :cols] if add else 0.0) + a[:, :groups].astype(np.float64) @ right


def fp32_product_transposed(c, a, b, cols, groups, add, columns=COLUMNS):
    """The same with A transposed."""
    fp32_product(c, a[:groups, : len(c)].T, b, cols, groups, add, columns)


def parts_of(x):
    """Three bfloat16 numbers with the sum x, each the nearest to what is left, ties away from 0."""
    left, parts = np.asarray(x, np.float32), []
    for _ in range(2):
        upper = (left.view(np.uint32) + np.uint32(0x8000)) & np.uint32(0xFFFF0000)
        parts.append(upper.view(np.float32))
        with np.errstate(invalid="ignore"):  # of infinity nothing is left, which is NaN
            left = left - parts[-1]
    return [*parts, left]


# Bytes that 32 elements of the columns of a panel take in one part.
CHUNK = 2 * 32 * COLUMNS


def parts_operand(x):
    """A packed right operand: chunk after chunk of 32 rows, each in all three parts."""
    halves = [(part.view(np.uint32) >> 16).astype(np.uint16) for part in parts_of(x)]
    packed = [right_operand(half) for half in halves]
    chunks = [one.reshape(len(one), -1, CHUNK) for one in packed]
    return np.stack(chunks, axis=2).reshape(len(packed[0]), -1)


def parts_panel(out, x, n):
    """The first n columns of x as a panel."""
    out[...] = parts_operand(x[:, :n])[0]


def parts_panel_transposed(out, x, k):
    """The first k columns of x, transposed, as a panel."""
    parts_panel(out, np.ascontiguousarray(x[:, :k].T), len(x))


def parts_product(c, a, b, cols, k, add):
    """The first columns of c = A B, or += with add; of B, all that its parts hold."""
    chunks = round_up(k, 32) // 32
    parts = b[:, : 3 * chunks * CHUNK].reshape(len(b), chunks, 3, CHUNK)
    right = sum(
        bf16_values(_right_elements(parts[:, :, p].reshape(len(b), -1), cols, 16 * chunks,
                                    np.uint16))
        for p in range(3)
    )
    c[:, :cols] = (c[:, :cols] if add else 0.0) + a[:, :k].astype(np.float64) @ right[:k]


def parts_product_transposed(c, a, b, cols, k, add):
    """The same with A transposed."""
    parts_product(c, a[:k, : len(c)].T, b, cols, k, add)


def bf16_product(c, a, b, cols, groups, add):
    """The first columns of c = A B, or += with add."""
    left = bf16_values(_left_elements(a, len(c), groups, np.uint16))
    right = bf16_values(_right_elements(b, cols, groups, np.uint16))
    c[:, :cols] = (c[:, :cols] if add else 0.0) + left @ right


# What a product can become, see bs_result.
OF_NOTHING, OF_BIAS, OF_ACTIVATION, OF_EXP = range(4)


def bf16_product_into(out, u, total, of, act, scale, bias, a, b, cols, groups):
    """A product with its bias, and activation, or its exponential and the sums of that."""
    c = np.zeros((len(out), cols))
    bf16_product(c, a, b, cols, groups, False)
    if of == OF_EXP:
        weights = np.exp(scale * c)
        total[: len(c)] = weights.sum(axis=1)
        out[:, : 2 * round_up(cols, COLUMNS)] = 0
        _put(out, weights)
    elif of == OF_BIAS:
        bf16_bias_rows(out, c, bias)
    else:
        bf16_bias_activation(out, u, c, bias, act)


# Types of int8 operands, left and right, by elements in a group of 4 bytes.
INT8_TYPES = {4: (np.uint8, np.int8), 2: (np.uint16, np.int16)}


def int8_rows(out, scale, offset, x, n, elements=4):
    """255 steps from the lowest to the highest of each row; a row that is not finite is NaN."""
    x = x[:, :n].astype(np.float64)
    offset[...] = x.min(axis=1)
    scale[...] = (x.max(axis=1) - x.min(axis=1)) / 255
    scale[~np.isfinite(x).all(axis=1)] = np.nan
    steps = np.where(scale > 0, scale, 1.0)[:, None]
    q = np.rint(np.nan_to_num((x - offset[:, None]) / steps)).clip(0, 255)
    made = left_operand(q.astype(INT8_TYPES[elements][0]))
    out[: len(made), : made.shape[1]] = made


def int8_product(c, a, b, cols, groups, add, elements=4, columns=COLUMNS):
    """The first columns of c = A B, or += with add, exact."""
    types = INT8_TYPES[elements]
    left = _left_elements(a, len(c), groups, types[0]).astype(np.int64)
    right = _right_elements(b, cols, groups, types[1], columns).astype(np.int64)
    c[:, :cols] = (c[:, :cols] if add else 0) + left @ right


def int8_restore(c, row_scale, row_offset, col_scale, col_sum):
    """What whole numbers c stand for."""
    n = len(col_scale)
    c[:, :n] = col_scale * (row_scale[:, None] * c[:, :n] + row_offset[:, None] * col_sum)


def int8_product_into(
    out, of, act, bias, row_scale, row_offset, col_scale, col_sum, a, b, groups, elements, columns
):
    """What a product stands for, with its bias, and activation, in float64: out (rows, cols)."""
    int8_product(out, a, b, out.shape[1], groups, False, elements, columns)
    int8_restore(out, row_scale, row_offset, col_scale, col_sum)
    if of != OF_NOTHING:
        out += bias
    if of == OF_ACTIVATION:
        out[...] = ACTIVATIONS[act][0](out)


def int8_weight(w):
    """A weight (n, k) in 8 bits: whole numbers (n, k), scales and sums (n,)."""
    w = np.asarray(w, np.float32)
    most = np.abs(w).max(axis=1)
    inverse = np.where(most > 0, np.float32(127) / np.where(most > 0, most, 1), 0)
    q = np.rint(w * inverse.astype(np.float32)[:, None]).astype(np.int8)
    return q, most / np.float32(127), q.sum(axis=1, dtype=np.int64).astype(np.float32)


def gemm_fp32(c, a, panels, beta, n_threads, transient, columns=COLUMNS, parts=1):
    """c = a b + beta c of a packed b."""
    del n_threads, transient
    k = a.shape[1]
    if parts > 1:
        parts_product(c, a, panels, c.shape[1], k, beta != 0)
        return
    panels = panels.reshape(-1, 4 * k * columns)
    fp32_product(c, a, panels, c.shape[1], k, beta != 0, columns)


def gemm_bf16(c, a, b, trans_a, trans_b, beta, n_threads, panels, transient):
    """c = op(a) op(b) + beta c, both operands rounded; ``panels`` hold the same b."""
    del panels, transient
    gemm(c, to_bf16(a), to_bf16(b), trans_a, trans_b, 1.0, beta, n_threads)


def gemm_int8(c, a, panels, scale, total, n_threads, transient, elements=4, columns=COLUMNS):
    """c = a w^T of a weight in 8 bits, the rows of a in 8 bits too."""
    del n_threads, transient
    m, k = a.shape
    left = np.zeros((m, round_up(k * 4 // elements, DEEP)), np.uint8)
    row_scale, row_offset = np.zeros(m), np.zeros(m)
    int8_rows(left, row_scale, row_offset, a, k, elements)
    groups = left.shape[1] // 4
    panels = panels.reshape(-1, 4 * groups * columns)
    int8_product(c, left, panels, c.shape[1], groups, False, elements, columns)
    int8_restore(c, row_scale, row_offset, scale, total)


TWINS = {
    twin.__name__: twin
    for twin in (
        dropout_mask, bias_add, bias_activation, bias_activation_to_round, activation_backward,
        residual_row, layernorm_row, layernorm_backward_row, softmax_row, softmax_backward_row,
        axpy, scale, multiply, column_sum, sum_squares, adamw, gemm, small_product,
        fp32_panel, fp32_panel_transposed, fp32_product, fp32_product_transposed,
        parts_panel, parts_panel_transposed, parts_product, parts_product_transposed,
        bf16_rows, bf16_rows_transposed, bf16_panel, bf16_panel_transposed,
        bf16_rows_transposed_from_bf16, bf16_panel_from_bf16, bf16_panel_transposed_from_bf16,
        bf16_bias_rows,
        bf16_bias_activation, bf16_softmax_row, bf16_softmax_backward_row, bf16_product,
        bf16_product_into, int8_rows, int8_product, int8_restore, int8_product_into, gemm_fp32,
        gemm_bf16, gemm_int8,
    )
}
