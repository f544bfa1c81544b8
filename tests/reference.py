"""The engine in float64 NumPy: slow and simple, and checked by finite differences.

It follows the formulas and not the C sources, so that it does not repeat their errors. It works on
packed batches: the tokens of all sequences laid end to end.
"""

import functools
import math

import numpy as np
from scipy.special import erf

# Dropout sites.
(
    EMBEDDINGS, PROBABILITIES, ATTENTION_OUTPUT, FEED_FORWARD_OUTPUT, HEAD_OUTPUT, HEAD_DENSE,
) = range(6)

_KEY_DOMAIN = 0x62657274


# --- random bits -------------------------------------------------------------------------------


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011): four broadcast counter words and two key words.

    Returns four uint32 arrays.
    """
    mask = np.uint64(0xFFFFFFFF)
    x = [np.asarray(word).astype(np.uint64) & mask for word in np.broadcast_arrays(*counter)]
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        even = np.uint64(0xD2511F53) * x[0]
        odd = np.uint64(0xCD9E8D57) * x[2]
        x = [
            (odd >> np.uint64(32)) ^ x[1] ^ np.uint64(k0),
            odd & mask,
            (even >> np.uint64(32)) ^ x[3] ^ np.uint64(k1),
            even & mask,
        ]
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [word.astype(np.uint32) for word in x]


def _halves(value):
    value = int(value) & 0xFFFFFFFFFFFFFFFF
    return value & 0xFFFFFFFF, value >> 32


def sequence_key(seed, step, key):
    """Return the two words that key all the dropout bits of one sequence in one step."""
    low, high = _halves(key)
    words = philox((low, high, step, _KEY_DOMAIN), _halves(seed))
    return int(words[0]), int(words[1])


def dropout_words(words, layer, site, head, rows, cols):
    """Return the 16-bit numbers of elements (rows, cols), which broadcast against each other."""
    rows, cols = np.broadcast_arrays(np.asarray(rows), np.asarray(cols))
    group, lane, sub = cols // 128, cols % 16, (cols % 128) // 16
    four = philox((group * 16 + lane, rows, ((layer + 1) << 8) | site, head), words)
    word = np.choose(sub // 2, four)
    return np.where(sub % 2 == 0, word & np.uint32(0xFFFF), word >> np.uint32(16))


def dropout_threshold(rate):
    """Return the 16-bit number below which an element is dropped."""
    return math.floor(float(np.float32(rate)) * 65536.0 + 0.5)


@functools.lru_cache(maxsize=4096)
def dropout_scale(words, rate, layer, site, head, n_rows, n_cols):
    """Return the factors, 0 or 1/(1 - rate) up to rounding, of an (n_rows, n_cols) block.

    The array is shared between calls; do not write to it.
    """
    threshold = dropout_threshold(rate)
    if threshold == 0:
        return np.ones((n_rows, n_cols))
    if threshold >= 65536:
        return np.zeros((n_rows, n_cols))
    drawn = dropout_words(words, layer, site, head, np.arange(n_rows)[:, None], np.arange(n_cols))
    kept = float(np.float32(65536) / np.float32(65536 - threshold))
    return np.where(drawn < threshold, 0.0, kept)


# --- pieces ------------------------------------------------------------------------------------


def gelu(x):
    """Gaussian error linear unit, exact."""
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def gelu_derivative(x):
    """Derivative of `gelu`."""
    density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return 0.5 * (1.0 + erf(x / math.sqrt(2.0))) + x * density


def gelu_new(x):
    """Gaussian error linear unit, tanh approximation."""
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def gelu_new_derivative(x):
    """Derivative of `gelu_new`."""
    c = math.sqrt(2.0 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3 * 0.044715 * x * x)


def relu(x):
    """Rectified linear unit."""
    return np.maximum(x, 0.0)


def relu_derivative(x):
    """Derivative of `relu`, 0 at 0 as in PyTorch."""
    return (x > 0).astype(np.float64)


ACTIVATIONS = {
    "gelu": (gelu, gelu_derivative),
    "gelu_new": (gelu_new, gelu_new_derivative),
    "relu": (relu, relu_derivative),
}


def tanh_derivative(x):
    """Derivative of the hyperbolic tangent."""
    return 1.0 - np.tanh(x) ** 2


# The heads of a classifier: whether dropout applies to their input, and the activation of their
# dense layer with its derivative.
HEADS = {
    "pooled": (False, (np.tanh, tanh_derivative)),
    "plain": (False, None),
    "dense_relu": (False, (relu, relu_derivative)),
    "dropout_dense_gelu": (True, (gelu, gelu_derivative)),
    "dropout_dense_tanh": (True, (np.tanh, tanh_derivative)),
}


def layer_norm(x, weight, bias, eps):
    """Return the normalised rows, and for the backward (x - mean)/std and 1/std."""
    centred = x - x.mean(axis=-1, keepdims=True)
    rstd = 1.0 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    xhat = centred * rstd
    return xhat * weight + bias, (xhat, rstd)


def layer_norm_backward(d_out, saved, weight):
    """Return gradients of input, weight and bias."""
    xhat, rstd = saved
    d_xhat = d_out * weight
    d_x = rstd * (
        d_xhat
        - d_xhat.mean(axis=-1, keepdims=True)
        - xhat * (d_xhat * xhat).mean(axis=-1, keepdims=True)
    )
    return d_x, (d_out * xhat).sum(axis=0), d_out.sum(axis=0)


def softmax(x):
    """Softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def cross_entropy(logits, labels, weights=None, smoothing=0.0):
    """Return sum(w ce)/sum(w) and its gradient at the logits.

    ``smoothing`` is the fraction of each target that is spread evenly over all classes.
    """
    logits = np.asarray(logits, dtype=np.float64)
    n = len(logits)
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    top = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0]
    targets = np.full(logits.shape, smoothing / logits.shape[1])
    targets[np.arange(n), labels] += 1.0 - smoothing
    each = (targets * (log_sum[:, None] - logits)).sum(axis=1)
    d_logits = softmax(logits) - targets
    share = weights / weights.sum()
    return float(each @ share), d_logits * share[:, None]


def cumulative_cross_entropy(logits, labels, weights=None, smoothing=0.0):
    """Return sum(w c)/sum(w) and its gradient at the logits.

    c is the mean over k of the binary cross-entropies of "the class is above k", whose probability
    is that of all classes above k. ``smoothing`` is as in `cross_entropy`.
    """
    logits = np.asarray(logits, dtype=np.float64)
    n, count = logits.shape
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    wanted = np.full((n, count), smoothing / count)
    wanted[np.arange(n), labels] += 1.0 - smoothing
    p = softmax(logits)
    classes_above = np.triu(np.ones((count, count)), 1)[:-1]  # a row for each k
    classes_up_to = 1.0 - classes_above
    above, up_to = p @ classes_above.T, p @ classes_up_to.T
    truly_above, truly_up_to = wanted @ classes_above.T, wanted @ classes_up_to.T
    each = -(truly_above * np.log(above) + truly_up_to * np.log(up_to)).mean(axis=1)
    # By the probabilities, and through the softmax.
    d_p = -(truly_above / above @ classes_above + truly_up_to / up_to @ classes_up_to)
    d_p /= count - 1
    d_logits = p * (d_p - (p * d_p).sum(axis=1, keepdims=True))
    share = weights / weights.sum()
    return float(each @ share), d_logits * share[:, None]


def mean_squared_error(logits, targets, weights=None, smoothing=0.0):
    """Return sum(w e)/sum(w), e the mean over a row of (logits - targets)^2, and its gradient."""
    assert smoothing == 0.0
    error = np.asarray(logits, np.float64) - np.asarray(targets, np.float64)
    weights = np.ones(len(error)) if weights is None else np.asarray(weights, np.float64)
    share = weights / weights.sum() / error.shape[1]
    return float((error**2).sum(axis=1) @ share), 2.0 * error * share[:, None]


def huber(logits, targets, weights=None, smoothing=0.0):
    """Return sum(w h)/sum(w), h the mean over a row of Huber losses (delta 1), and its gradient."""
    assert smoothing == 0.0
    error = np.asarray(logits, np.float64) - np.asarray(targets, np.float64)
    weights = np.ones(len(error)) if weights is None else np.asarray(weights, np.float64)
    share = weights / weights.sum() / error.shape[1]
    each = np.where(np.abs(error) <= 1.0, error**2 / 2.0, np.abs(error) - 0.5)
    return float(each.sum(axis=1) @ share), np.clip(error, -1.0, 1.0) * share[:, None]


def binary_cross_entropy(logits, targets, weights=None, smoothing=0.0, positive_weights=1.0):
    """Return sum(w b)/sum(w), b the mean over a row of binary cross-entropies, and its gradient.

    ``smoothing`` is the fraction of each target that is spread evenly over yes and no.
    ``positive_weights`` are those of the columns where the target is 1.
    """
    logits, targets = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    weights = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
    share = (weights / weights.sum() / logits.shape[1])[:, None]
    targets = (1.0 - smoothing) * targets + smoothing / 2.0
    positive, negative = np.asarray(positive_weights, np.float64) * targets, 1.0 - targets
    each = positive * np.logaddexp(0.0, -logits) + negative * np.logaddexp(0.0, logits)
    yes = np.exp(-np.logaddexp(0.0, -logits))
    return float((each * share).sum()), (negative * yes - positive * (1.0 - yes)) * share


def _distillation(soft):
    """Return the loss of which `soft` is the teacher's part.

    `soft` takes logits, those of the teacher and the temperature, and returns the value of each row
    and its gradient. Labels of -1 are missing.
    """

    def loss(logits, labels, weights=None, smoothing=0.0, teacher=None):
        wanted, temperature, share = teacher
        logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
        weights = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
        values, slopes = soft(logits, np.asarray(wanted, np.float64), temperature)
        values, slopes = share * values, share * slopes
        for row in np.flatnonzero(labels >= 0):
            value, slope = cross_entropy(logits[row : row + 1], labels[row : row + 1], None,
                                         smoothing)
            values[row] += (1 - share) * value
            slopes[row] += (1 - share) * slope[0]
        weights = weights / weights.sum()
        return float(values @ weights), slopes * weights[:, None]

    return loss


def _divergence(logits, wanted, temperature):
    """T^2 KL(p || q) of softmaxes at a temperature (Hinton et al. 2015)."""
    p, q = softmax(wanted / temperature), softmax(logits / temperature)
    return temperature**2 * (p * np.log(p / q)).sum(axis=1), temperature * (q - p)


def _squared_distance(logits, wanted, temperature):
    error = logits - wanted
    return (error**2).mean(axis=1), 2 * error / logits.shape[1]


def contrastive(vectors, labels, weights=None, smoothing=0.0, temperature=0.1):
    """Supervised contrastive loss (Khosla et al. 2020, L_out) and its gradient at the vectors.

    A text of weight w counts like w equal ones, except that no text is compared with itself.
    """
    assert smoothing == 0.0
    vectors, labels = np.asarray(vectors, np.float64), np.asarray(labels)
    n = len(vectors)
    weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    z = vectors / lengths
    others = np.where(np.eye(n, dtype=bool), 0.0, weights)
    scores = np.exp(z @ z.T / temperature) * others
    share = scores / scores.sum(axis=1, keepdims=True)
    same = others * (labels == labels[:, None])
    paired = same.sum(axis=1, keepdims=True) > 0
    same = np.divide(same, same.sum(axis=1, keepdims=True), where=paired, out=np.zeros_like(same))
    log_share = z @ z.T / temperature - np.log(scores.sum(axis=1, keepdims=True))
    each = -(same * log_share).sum(axis=1)
    d_scores = (paired * share - same) * (weights / weights.sum())[:, None] / temperature
    d_z = (d_scores + d_scores.T) @ z
    return (
        float(each @ weights / weights.sum()),
        (d_z - z * (d_z * z).sum(axis=1, keepdims=True)) / lengths,
    )


# The losses of a step: each takes logits, targets, weights and label smoothing; those of
# distillation also a tuple (logits, temperature, weight) of the teacher. The contrastive loss takes
# vectors in place of logits, and a temperature.
LOSSES = {
    "cross_entropy": cross_entropy,
    "cumulative_cross_entropy": cumulative_cross_entropy,
    "mean_squared_error": mean_squared_error,
    "huber": huber,
    "binary_cross_entropy": binary_cross_entropy,
    "distillation_kl": _distillation(_divergence),
    "distillation_mse": _distillation(_squared_distance),
    "contrastive": contrastive,
}
DISTILLATION = [name for name in LOSSES if name.startswith("distillation_")]


PROJECTION = "embeddings.projection"
RELATIVE = "embeddings.relative_bias.weight"


def relative_buckets(length):
    """Return the bucket of each query and key (Raffel et al. 2020, as in MPNet): 16 a side.

    The first 8 distances have buckets of their own; up to 128, the rest share 8 on a log scale.
    """
    distance = np.arange(length) - np.arange(length)[:, None]
    apart = np.abs(distance)
    # The logarithm is exact where the distance is a power of 2, as are the limits of buckets.
    steps = np.floor(2.0 * np.log2(np.maximum(apart, 8) / 8.0) + 1e-9).astype(int)
    return np.where(apart < 8, apart, np.minimum(8 + steps, 15)) + 16 * (distance > 0)


# --- the model ---------------------------------------------------------------------------------


class Bert:
    """A BERT with a classifier; the forward keeps everything for the backward.

    ``config`` is the engine's; ``params`` maps the names of its parameter table to arrays, held in
    float64.
    """

    def __init__(self, config, params):
        self.config = config
        self.params = {name: np.array(value, np.float64) for name, value in params.items()}

    def encode(self, batch, *, training=False, seed=0, step=0, calm=0):
        """Return the last layer's output for ``batch``: ids, types, positions, cu_seqlens, keys.

        types, positions and keys may be missing or None. With ``baseline`` and ``along``, word
        embeddings are those of csrc/model/attribution.h. There is no dropout in the first ``calm``
        layers nor, if it is not 0, in the embeddings.
        """
        cfg, p = self.config, self.params
        ids, cu = np.asarray(batch["ids"]), np.asarray(batch["cu_seqlens"])
        lengths = np.diff(cu)
        types, positions, keys = (batch.get(name) for name in ("types", "positions", "keys"))
        if types is None:
            types = np.zeros(len(ids), np.int64)
        skips = cfg.get("positions_skip_padding", False)
        if positions is None and skips:
            parts = [part != cfg["pad_token_id"] for part in np.split(ids, cu[1:-1])]
            positions = np.concatenate([np.where(part, np.cumsum(part) - 1, -1) for part in parts])
        elif positions is None:
            positions = np.concatenate([np.arange(n) for n in lengths])
        positions = np.asarray(positions) + cfg.get("position_offset", 0)
        words = None
        if training:
            words = [sequence_key(seed, step, key) for key in keys]
        kept = self.kept = {"ids": ids, "types": types, "positions": positions, "cu": cu}
        kept["words"], kept["calm"] = words, calm

        embedded = p["embeddings.word.weight"][ids]
        if batch.get("baseline") is not None:
            along = np.asarray(batch["along"], np.float64)  # of each sequence, or of each token
            along = (along if len(along) == len(ids) else np.repeat(along, lengths))[:, None]
            other = p["embeddings.word.weight"][batch["baseline"]]
            embedded = (1 - along) * other + along * embedded
        summed = embedded + p["embeddings.position.weight"][positions]
        if cfg["type_vocab_size"]:
            summed = summed + p["embeddings.token_type.weight"][types]
        x, kept["emb_norm"] = self._norm(summed, "embeddings.norm")
        kept["emb_drop"] = self._drop("hidden_dropout_prob", -1, EMBEDDINGS, x.shape[1])
        x = x * kept["emb_drop"]
        if PROJECTION + ".weight" in p:
            kept["emb"], x = x, self._dense(x, PROJECTION)
        kept["layers"] = []
        for layer in range(cfg["num_hidden_layers"]):
            x, saved = self._layer(x, layer)
            kept["layers"].append(saved)
        kept["encoded"] = x
        return x

    def forward(self, batch, *, training=False, seed=0, step=0, calm=0):
        """Return the logits of ``batch``; arguments as for `encode`."""
        x = self.encode(batch, training=training, seed=seed, step=step, calm=calm)
        cu = self.kept["cu"]
        first = x[cu[:-1]]
        if self.config.get("pooling", "cls") == "mean":
            first = np.stack([part.mean(axis=0) for part in np.split(x, cu[1:-1])])
        return self._head(first)

    def _head(self, x):
        """Return the logits for the head's input, one row per sequence."""
        if self.config.get("head") == "vectors":
            return x
        drops_input, act = HEADS[self.config.get("head", "pooled")]
        saved = self.kept["head"] = {}
        saved["drop_in"] = self._head_drop(HEAD_DENSE) if drops_input else np.ones_like(x)
        x = saved["x"] = x * saved["drop_in"]
        if act is not None:
            saved["sum"] = self._dense(x, "head.dense")
            x = act[0](saved["sum"])
        saved["drop_out"] = self._head_drop(HEAD_OUTPUT)
        saved["y"] = x * saved["drop_out"]
        return self._dense(saved["y"], "head.output")

    def _head_backward(self, d_logits):
        if self.config.get("head") == "vectors":
            return d_logits
        _, act = HEADS[self.config.get("head", "pooled")]
        saved = self.kept["head"]
        d = self._dense_backward(d_logits, saved["y"], "head.output") * saved["drop_out"]
        if act is not None:
            d = self._dense_backward(d * act[1](saved["sum"]), saved["x"], "head.dense")
        return d * saved["drop_in"]

    def _head_drop(self, site):
        cfg, words, rows = self.config, self.kept["words"], len(self.kept["cu"]) - 1
        factors = np.ones((rows, cfg["hidden_size"]))
        for b, key_words in enumerate(words or ()):
            factors[b] = dropout_scale(
                key_words, cfg["classifier_dropout"], cfg["num_hidden_layers"], site, 0, 1,
                factors.shape[1],
            )[0]
        return factors

    def backward(self, d_logits, *, freeze=0):
        """Return the gradient of every parameter after `forward`, zero for what is frozen.

        ``freeze`` is 0, or k for embeddings and the first k layers.
        """
        # Frozen parts are computed like the rest, then zeroed: a frozen parameter changes
        # nothing in the gradients of others.
        cfg, p, kept = self.config, self.params, self.kept
        self.grads = {name: np.zeros_like(value) for name, value in p.items()}
        d_first = self._head_backward(np.asarray(d_logits, np.float64))
        d_x = np.zeros_like(kept["encoded"])
        if cfg.get("pooling", "cls") == "mean":
            lengths = np.diff(kept["cu"])
            d_x[:] = np.repeat(d_first / lengths[:, None], lengths, axis=0)
        else:
            d_x[kept["cu"][:-1]] = d_first
        return self.encode_backward(d_x, freeze=freeze)

    def encode_backward(self, d_x, *, freeze=0):
        """Add the gradients that follow from that at the last layer's output to ``grads``."""
        cfg, kept, g = self.config, self.kept, self.grads
        for layer in reversed(range(cfg["num_hidden_layers"])):
            d_x = self._layer_backward(d_x, layer, kept["layers"][layer])
        if "emb" in kept:
            d_x = self._dense_backward(d_x, kept["emb"], PROJECTION)
        d = self._norm_backward(d_x * kept["emb_drop"], kept["emb_norm"], "embeddings.norm")
        kept["d_words"] = d
        looked_up = kept["ids"] != cfg.get("pad_token_id", -1)
        np.add.at(g["embeddings.word.weight"], kept["ids"][looked_up], d[looked_up])
        placed = slice(None)
        if cfg.get("positions_skip_padding", False):
            placed = kept["positions"] >= cfg["position_offset"]
        np.add.at(g["embeddings.position.weight"], kept["positions"][placed], d[placed])
        if cfg["type_vocab_size"]:
            np.add.at(g["embeddings.token_type.weight"], kept["types"], d)
        for name, value in g.items():
            if is_frozen(name, freeze):
                value[...] = 0.0
        return g

    def loss_and_gradients(
        self, batch, *, freeze=0, training=False, seed=0, step=0, label_smoothing=0.0,
        freeze_dropout=False, loss="cross_entropy", **of_loss,
    ):
        """Return loss, logits and gradients; ``batch`` also holds labels and perhaps weights.

        Labels are class ids, or a matrix if the loss takes one. A loss of distillation also needs
        a teacher, as in `LOSSES`.
        """
        calm = freeze if freeze_dropout else 0
        logits = self.forward(batch, training=training, seed=seed, step=step, calm=calm)
        teacher = {"teacher": batch["teacher"]} if loss in DISTILLATION else {}
        value, d_logits = LOSSES[loss](
            logits, batch["labels"], batch.get("weights"), label_smoothing, **teacher, **of_loss
        )
        return value, logits, self.backward(d_logits, freeze=freeze)

    def _layer(self, x, layer):
        p = f"layer.{layer}."
        saved = {"x": x, "attention": []}
        cfg = self.config
        q, k, v = (
            self._dense(x, p + "attention." + part) for part in ("query", "key", "value")
        )
        saved.update(q=q, k=k, v=v)
        context = np.zeros_like(x)
        for b, rows, head, cols in self._heads():
            scale = 1.0 / math.sqrt(cols.stop - cols.start)
            scores = self._heads_product(q[rows, cols], k[rows, cols].T, layer) * scale
            if cfg.get("relative_bias", False):
                table = self.params[RELATIVE][:, head]
                scores = scores + table[relative_buckets(len(scores))]
            probs = softmax(scores)
            drop = np.ones_like(probs)
            if self._drops(layer):
                drop = dropout_scale(
                    self.kept["words"][b], self.config["attention_probs_dropout_prob"], layer,
                    PROBABILITIES, head, *probs.shape,
                )
            context[rows, cols] = self._mix(scores, probs, drop, v[rows, cols], layer)
            saved["attention"].append((probs, drop))
        saved["context"] = context
        width = x.shape[1]
        name = "attention_output_dropout_prob"
        rate_name = name if name in self.config else "hidden_dropout_prob"
        saved["drop1"] = self._drop(rate_name, layer, ATTENTION_OUTPUT, width)
        h = self._dense(context, p + "attention.output") * saved["drop1"] + x
        h, saved["norm1"] = self._norm(h, p + "attention.norm")
        saved["h"] = h
        saved["inner"] = self._dense(h, p + "feed_forward.up")
        saved["acted"] = ACTIVATIONS[self.config["hidden_act"]][0](saved["inner"])
        saved["drop2"] = self._drop("hidden_dropout_prob", layer, FEED_FORWARD_OUTPUT, width)
        y = self._dense(saved["acted"], p + "feed_forward.down") * saved["drop2"] + h
        y, saved["norm2"] = self._norm(y, p + "feed_forward.norm")
        return y, saved

    def _layer_backward(self, d_y, layer, saved):
        p = f"layer.{layer}."
        d_sum = self._norm_backward(d_y, saved["norm2"], p + "feed_forward.norm")
        d_down = d_sum * saved["drop2"]
        d_act = self._dense_backward(d_down, saved["acted"], p + "feed_forward.down")
        d_inner = d_act * ACTIVATIONS[self.config["hidden_act"]][1](saved["inner"])
        d_h = d_sum + self._dense_backward(d_inner, saved["h"], p + "feed_forward.up")
        d_sum = self._norm_backward(d_h, saved["norm1"], p + "attention.norm")
        d_context = self._dense_backward(
            d_sum * saved["drop1"], saved["context"], p + "attention.output"
        )
        q, k, v = saved["q"], saved["k"], saved["v"]
        d_q, d_k, d_v = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
        for (_, rows, head, cols), (probs, drop) in zip(
            self._heads(), saved["attention"], strict=True
        ):
            scale = 1.0 / math.sqrt(cols.stop - cols.start)
            d_out = d_context[rows, cols]
            d_v[rows, cols] = self._heads_product((probs * drop).T, d_out, layer)
            d_probs = self._heads_product(d_out, v[rows, cols].T, layer) * drop
            d_scores = probs * (d_probs - (d_probs * probs).sum(axis=1, keepdims=True)) * scale
            if self.config.get("relative_bias", False):
                by_distance = self._rounded(d_scores, layer) / scale
                buckets = relative_buckets(len(d_scores))
                self.grads[RELATIVE][:, head] += np.bincount(
                    buckets.ravel(), by_distance.ravel(), minlength=32
                )
            d_q[rows, cols] = self._heads_product(d_scores, k[rows, cols], layer)
            d_k[rows, cols] = self._heads_product(d_scores.T, q[rows, cols], layer)
        d_x = d_sum
        for part, d in (("query", d_q), ("key", d_k), ("value", d_v)):
            d_x = d_x + self._dense_backward(d, saved["x"], p + "attention." + part)
        return d_x

    def _heads(self):
        cu, n_heads = self.kept["cu"], self.config["num_attention_heads"]
        size = self.config["hidden_size"] // n_heads
        for b in range(len(cu) - 1):
            for head in range(n_heads):
                yield b, slice(cu[b], cu[b + 1]), head, slice(head * size, (head + 1) * size)

    def _is_narrow(self, layer):
        """Whether a layer is computed for [CLS] only."""
        last = layer == self.config["num_hidden_layers"] - 1
        return last and self.config.get("pooling", "cls") == "cls"

    def _drops(self, layer):
        calm = self.kept["calm"]
        return self.kept["words"] is not None and not (calm > 0 and layer < calm)

    def _drop(self, rate_name, layer, site, width):
        cu, words = self.kept["cu"], self.kept["words"]
        factors = np.ones((cu[-1], width))
        if self._drops(layer):
            for b, key_words in enumerate(words):
                factors[cu[b] : cu[b + 1]] = dropout_scale(
                    key_words, self.config[rate_name], layer, site, 0, cu[b + 1] - cu[b], width
                )
        return factors

    def _dense(self, x, name):
        product = self._product(x, self.params[name + ".weight"].T, name)
        return product + self.params[name + ".bias"]

    def _dense_backward(self, d_out, x, name):
        self.grads[name + ".weight"] += self._product(d_out.T, x, name)
        self.grads[name + ".bias"] += d_out.sum(axis=0)
        return self._product(d_out, self.params[name + ".weight"], name)

    def _product(self, a, b, name):
        # Hooks for the dense layer `name`, for twins that round.
        del name
        return a @ b

    def _mix(self, scores, probs, drop, v, layer):
        del scores
        return self._heads_product(probs * drop, v, layer)

    def _heads_product(self, a, b, layer):
        # The same inside attention.
        del layer
        return a @ b

    def _rounded(self, x, layer):
        # An operand of such a product.
        del layer
        return x

    def _norm(self, x, name):
        p = self.params
        return layer_norm(
            x, p[name + ".weight"], p[name + ".bias"], self.config["layer_norm_eps"]
        )

    def _norm_backward(self, d_out, saved, name):
        weight = self.params[name + ".weight"]
        d_x, d_weight, d_bias = layer_norm_backward(d_out, saved, weight)
        self.grads[name + ".weight"] += d_weight
        self.grads[name + ".bias"] += d_bias
        return d_x


def layer_of(name):
    """Return -1 for embeddings, the index of an encoder layer, or None for the head."""
    if name.startswith("embeddings."):
        return -1
    if name.startswith("layer."):
        return int(name.split(".")[1])
    return None


def is_frozen(name, freeze):
    """Return whether a parameter is frozen."""
    layer = layer_of(name)
    return freeze > 0 and layer is not None and layer < freeze


def takes_decay(name):
    """Return whether AdamW decays a parameter: neither biases nor LayerNorm."""
    return not name.endswith((".bias", ".norm.weight", ".relative_bias.weight"))


# --- the step ----------------------------------------------------------------------------------


def gradient_norm(grads):
    """Euclidean norm over all tensors together."""
    return math.sqrt(sum(float((g * g).sum()) for g in grads.values()))


def learning_rate(step, total, base, warmup_ratio=0.1):
    """Linear warm-up over ceil(ratio x total) steps, then linear decay to zero."""
    warmup = math.ceil(warmup_ratio * total)
    if step < warmup:
        return base * step / warmup
    return base * max(0.0, (total - step) / max(1, total - warmup))


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter), clipped by the global norm."""

    def __init__(self, params, *, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
        self.params = params
        self.settings = beta1, beta2, eps, weight_decay
        self.m = {name: np.zeros_like(value) for name, value in params.items()}
        self.v = {name: np.zeros_like(value) for name, value in params.items()}
        self.count = 0

    def apply(self, grads, lr, *, max_norm=0.0, freeze=0, rates=None):
        """Change the parameters in place and return the norm before clipping.

        ``rates`` are factors of the learning rate: of embeddings, of each layer, of the head.
        """
        beta1, beta2, eps, decay = self.settings
        self.count += 1
        norm = gradient_norm(grads)
        factor = min(1.0, max_norm / (norm + 1e-6)) if max_norm > 0 else 1.0
        for name, value in self.params.items():
            if is_frozen(name, freeze):
                continue
            g = grads[name] * factor
            rate = lr
            if rates is not None:
                layer = layer_of(name)
                rate = lr * (rates[-1] if layer is None else rates[layer + 1])
            self.m[name] = beta1 * self.m[name] + (1 - beta1) * g
            self.v[name] = beta2 * self.v[name] + (1 - beta2) * g * g
            if takes_decay(name):
                value *= 1.0 - rate * decay
            m_hat = self.m[name] / (1 - beta1**self.count)
            v_hat = self.v[name] / (1 - beta2**self.count)
            value -= rate * m_hat / (np.sqrt(v_hat) + eps)
        return norm
