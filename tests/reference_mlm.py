"""Masked language modelling in float64, with the encoder of the twin."""

import numpy as np
import reference
from reference_kernels import to_bf16
from reference_reduced import BFloat16Bert

DENSE, NORM, OUTPUT = "masked_lm.dense", "masked_lm.norm", "masked_lm.output.bias"
WORDS = "embeddings.word.weight"


class MaskedBert(reference.Bert):
    """BertForMaskedLM; its decoder is the table of word embeddings."""

    def loss_and_gradients(self, batch, *, freeze=0, training=False, seed=0, step=0):
        """Return mean loss, logits and gradients; ``batch`` also holds tokens and labels.

        tokens are the positions of the tokens to predict, labels their ids.
        """
        cfg, p, tokens = self.config, self.params, batch["tokens"]
        encoded = self.encode(batch, training=training, seed=seed, step=step)
        act, act_derivative = reference.ACTIVATIONS[cfg["hidden_act"]]
        x = encoded[tokens]
        u = x @ p[DENSE + ".weight"].T + p[DENSE + ".bias"]
        y, saved = self._norm(act(u), NORM)
        logits = self._vocabulary_product(y, p[WORDS].T) + p[OUTPUT]
        loss, d_logits = reference.cross_entropy(logits, batch["labels"])

        self.grads = {name: np.zeros_like(value) for name, value in p.items()}
        self.grads[OUTPUT] += d_logits.sum(axis=0)
        self.grads[WORDS] += self._vocabulary_product(d_logits.T, y)
        d_y = self._vocabulary_product(d_logits, p[WORDS])
        d_u = self._norm_backward(d_y, saved, NORM) * act_derivative(u)
        self.grads[DENSE + ".weight"] += d_u.T @ x
        self.grads[DENSE + ".bias"] += d_u.sum(axis=0)
        d_x = np.zeros_like(encoded)
        d_x[tokens] = d_u @ p[DENSE + ".weight"]
        return loss, logits, self.encode_backward(d_x, freeze=freeze)

    def _vocabulary_product(self, a, b):
        return a @ b


class BFloat16MaskedBert(BFloat16Bert, MaskedBert):
    """The same with the products of encoder and vocabulary in bfloat16."""

    def _is_narrow(self, layer):
        return False

    def _vocabulary_product(self, a, b):
        return to_bf16(a) @ to_bf16(b)


def hits(logits, labels):
    """Number of labels whose logit no other exceeds."""
    own = np.take_along_axis(logits, np.asarray(labels)[:, None].astype(np.int64), axis=1)
    return int((logits <= own).all(axis=1).sum())
