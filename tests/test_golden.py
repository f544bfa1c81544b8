"""The twin and the engine against golden files made with PyTorch and transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
from cases import Engine, assert_gradients_agree

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("tiny_*.npz"))


class Golden:
    """One golden file, its padded batches packed."""

    def __init__(self, name):
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            self.data = {key: file[key] for key in file.files}
        self.optimizer = json.loads(str(self.data["optimizer"]))
        rates = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        self.config = json.loads(str(self.data["config"])) | dict.fromkeys(rates, 0.0)
        self.batches = [self._pack(i) for i in range(3)]

    def __getitem__(self, key):
        return self.data[key]

    def group(self, kind):
        """Return name -> array of what was stored under ``kind/name``."""
        stem = kind + "/"
        return {k[len(stem) :]: v for k, v in self.data.items() if k.startswith(stem)}

    def _pack(self, i):
        raw = self.group(f"batch{i}")
        attended = raw["mask"] == 1
        columns = np.broadcast_to(np.arange(attended.shape[1]), attended.shape)
        return {
            "ids": raw["ids"][attended].astype(np.int32),
            "types": raw["types"][attended].astype(np.int32),
            "positions": columns[attended].astype(np.int32),
            "cu_seqlens": np.concatenate([[0], np.cumsum(attended.sum(axis=1))]),
            "keys": np.arange(len(attended), dtype=np.uint64),
            "labels": raw["labels"].astype(np.int32),
            "weights": None,
        }


@pytest.fixture(scope="module", params=NAMES)
def golden(request):
    return Golden(request.param)


def _summary(values):
    flat = np.asarray(values, np.float64).reshape(-1)
    return np.array([flat.mean(), np.linalg.norm(flat), flat @ np.cos(np.arange(flat.size))])


def _assert_final_weights_agree(params, golden, tolerance):
    for name, expected in golden.group("final").items():
        # No logit depends on a key bias: its gradient is rounding noise, which AdamW scales up.
        if not name.endswith("attention.self.key.bias"):
            scale = expected[1]
            found = _summary(params[name])
            assert np.abs(found - expected).max() <= tolerance * scale, name


def test_there_are_golden_files_for_every_activation():
    activations = {json.loads(str(Golden(name)["config"]))["hidden_act"] for name in NAMES}
    assert activations == set(reference.ACTIVATIONS)
    assert "torch" in json.loads((GOLDEN / "versions.json").read_text("utf-8"))


def test_twin_has_the_logits_loss_and_gradients_of_pytorch(golden):
    model = reference.Bert(golden.config, golden.group("weight"))
    loss, logits, grads = model.loss_and_gradients(golden.batches[0])
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-10)
    assert loss == pytest.approx(float(golden["loss"]), abs=1e-11)
    assert_gradients_agree(grads, golden.group("grad"), rel=1e-6, of_all=1e-9)


def test_twin_trains_along_the_loss_curve_of_pytorch(golden):
    model = reference.Bert(golden.config, golden.group("weight"))
    setting = golden.optimizer
    adam = reference.AdamW(model.params, weight_decay=setting["weight_decay"])
    total = len(golden["losses"])
    losses, norms = [], []
    for step in range(total):
        loss, _, grads = model.loss_and_gradients(golden.batches[step % 3])
        lr = reference.learning_rate(step, total, setting["lr"], setting["warmup_ratio"])
        losses.append(loss)
        norms.append(adam.apply(grads, lr, max_norm=setting["max_grad_norm"]))
    np.testing.assert_allclose(losses, golden["losses"], rtol=1e-8)
    np.testing.assert_allclose(norms, golden["norms"], rtol=1e-7)
    _assert_final_weights_agree(model.params, golden, 1e-8)


def test_engine_has_the_logits_of_pytorch(golden):
    engine = Engine(golden.config, golden.group("weight"))
    logits = engine.score(golden.batches[0])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5)


def test_engine_has_the_gradients_of_pytorch(golden):
    engine = Engine(golden.config, golden.group("weight"))
    loss, logits, grads = engine.loss_and_gradients(golden.batches[0], training=True)
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5)
    assert loss == pytest.approx(float(golden["loss"]), abs=1e-5)
    assert_gradients_agree(grads, golden.group("grad"))


def test_engine_trains_along_the_loss_curve_of_pytorch(golden):
    engine = Engine(golden.config, golden.group("weight"))
    setting = golden.optimizer
    grads, mean, square = (np.zeros_like(engine.flat) for _ in range(3))
    total = len(golden["losses"])
    losses, norms = [], []
    for step in range(total):
        batch = golden.batches[step % 3]
        loss, _, norm = engine.model.train_step(
            batch["ids"], batch["types"], batch["positions"], batch["cu_seqlens"], batch["keys"],
            batch["labels"], None, grads, mean, square, freeze=0, seed=0, step=step,
            lr=reference.learning_rate(step, total, setting["lr"], setting["warmup_ratio"]),
            weight_decay=setting["weight_decay"], max_grad_norm=setting["max_grad_norm"],
            n_threads=1,
        )
        losses.append(loss)
        norms.append(norm)
    np.testing.assert_allclose(losses, golden["losses"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(norms, golden["norms"], rtol=1e-4)
    _assert_final_weights_agree(engine.params, golden, 1e-5)
