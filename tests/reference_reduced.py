"""The float64 twin with the roundings of products below float32.

Factors are rounded as the engine rounds them; sums stay float64. So this twin is far closer to the
engine than the plain one: what remains is the rounding of float32, and a few elements so close to a
tie that they are rounded the other way.
"""

import numpy as np
import reference
from reference_kernels import int8_weight, to_bf16

from bertsent import _core

AS_THEY_ARE = _core.kernel_entries(_core.isa())["bf16_product_into"]


def _in_encoder(name):
    return name.startswith("layer.")


class BFloat16Bert(reference.Bert):
    """Products of the encoder in bfloat16, except attention that is computed for [CLS] only.

    There, scoring reads the layer's input and rounds neither keys nor values.
    """

    def __init__(self, config, params, scoring=False):
        super().__init__(config, params)
        self.scoring = scoring

    def _product(self, a, b, name):
        if not _in_encoder(name) or (self.scoring and self._is_narrow_key_or_value(name)):
            return a @ b
        return to_bf16(a) @ to_bf16(b)

    def _is_narrow_key_or_value(self, name):
        return name.endswith((".key", ".value")) and self._is_narrow(int(name.split(".")[1]))

    def _heads_product(self, a, b, layer):
        return a @ b if self._is_narrow(layer) else to_bf16(a) @ to_bf16(b)

    def _rounded(self, x, layer):
        return x if self._is_narrow(layer) else to_bf16(x)

    def _mix(self, scores, probs, drop, v, layer):
        if self._is_narrow(layer):
            return (probs * drop) @ v
        # Rounded before they are divided by their sum: the largest is then 1, or, if nothing is
        # dropped, scores have no bias and kernels take exponentials of a product in registers,
        # e^score.
        drops = self._drops(layer) and self.config["attention_probs_dropout_prob"] > 0
        as_they_are = AS_THEY_ARE and not drops and not self.config.get("relative_bias", False)
        shift = 0.0 if as_they_are else scores.max(axis=1, keepdims=True)
        weights = np.exp(scores - shift)
        total = weights.sum(axis=1, keepdims=True)
        return self._heads_product(weights * drop, v, layer) / total


class Int8Bert(reference.Bert):
    """Dense layers of the encoder in int8; attention in bfloat16 if the hardware has it."""

    def __init__(self, config, params, bf16_attention):
        super().__init__(config, params)
        self.bf16_attention = bf16_attention

    def _product(self, a, b, name):
        if not _in_encoder(name):
            return a @ b
        low = a.min(axis=1, keepdims=True)
        scale = (a.max(axis=1, keepdims=True) - low) / 255
        rows = np.rint((a - low) / np.where(scale > 0, scale, 1)) * scale + low
        q, scales, _ = int8_weight(b.T)
        return rows @ (q * scales[:, None].astype(np.float64)).T

    def _heads_product(self, a, b, layer):
        if self.bf16_attention:
            return BFloat16Bert._heads_product(self, a, b, layer)
        return a @ b

    def _mix(self, scores, probs, drop, v, layer):
        if self.bf16_attention:
            return BFloat16Bert._mix(self, scores, probs, drop, v, layer)
        return super()._mix(scores, probs, drop, v, layer)
