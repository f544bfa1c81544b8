"""A float64 NumPy twin of each kernel in csrc/kernels/kernels.h.

Arrays that a kernel writes come first, as in C, hold what they hold before the call, and are
changed in place. Sizes are those of the arrays; arguments are those of `_core.kernel_call`.
"""

import numpy as np
import reference

ACTIVATIONS = [reference.ACTIVATIONS[name] for name in ("gelu", "gelu_new", "relu")]


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


TWINS = {
    twin.__name__: twin
    for twin in (
        dropout_mask, bias_add, bias_activation, activation_backward, residual_row,
        layernorm_row, layernorm_backward_row, softmax_row, softmax_backward_row, axpy,
        multiply, column_sum, sum_squares, adamw, gemm,
    )
}
