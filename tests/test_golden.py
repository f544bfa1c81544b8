"""The twin and the engine against golden files made with PyTorch and transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import reference
from cases import Engine, assert_gradients_agree, role_of
from conftest import tiny_config

from bertsent.errors import CheckpointError
from bertsent.hub import engine_config, parameter_table

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("tiny_*.npz"))


class Golden:
    """One golden file, with its padded batches packed."""

    masked_lm = False  # the model predicts masked tokens

    def __init__(self, name):
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
            self.data = {key: file[key] for key in file.files}
        self.optimizer = json.loads(str(self.data["optimizer"]))
        rates = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
        self.config = json.loads(str(self.data["config"]))
        self.role_of = role_of
        if "model_type" in self.config:
            self.config = self._as_the_engine_says(self.config)
        self.config |= dict.fromkeys(rates, 0.0)
        self.batches = [self._pack(i) for i in range(3)]

    def __getitem__(self, key):
        return self.data[key]

    def group(self, kind):
        """Return name -> array of what was stored under ``kind/name``, parameters by role."""
        stem = kind + "/"
        found = {k[len(stem) :]: v for k, v in self.data.items() if k.startswith(stem)}
        return found if kind.startswith("batch") else {self.role_of(k): v for k, v in found.items()}

    def _as_the_engine_says(self, raw):
        """Return the engine's configuration of a family that is not BERT; set ``role_of``."""
        engine = engine_config(raw, raw["num_labels"], masked_lm=self.masked_lm)
        _, table = parameter_table(raw, engine)
        self.role_of = {parameter.name: parameter.role for parameter in table}.__getitem__
        return engine | {"attention_output_dropout_prob": 0.0}

    def _pack(self, i):
        raw = self.group(f"batch{i}")
        attended = raw["mask"] == 1
        skips = self.config.get("positions_skip_padding", False)
        columns = np.broadcast_to(np.arange(attended.shape[1]), attended.shape)
        return {
            "ids": raw["ids"][attended].astype(np.int32),
            "types": raw["types"][attended].astype(np.int32),
            "positions": None if skips else columns[attended].astype(np.int32),
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
        if not name.endswith("attention.key.bias"):
            scale = expected[1]
            found = _summary(params[name])
            assert np.abs(found - expected).max() <= tolerance * scale, name


def test_golden_files_are_all_there():
    activations = {Golden(name).config["hidden_act"] for name in NAMES}
    assert activations == {"gelu", "gelu_new", "relu"}
    assert "torch" in json.loads((GOLDEN / "versions.json").read_text("utf-8"))


def test_every_activation_is_that_of_transformers():
    with np.load(GOLDEN / "activations.npz", allow_pickle=False) as file:
        data = dict(file)
    compared = set()
    for name in (key.removeprefix("value/") for key in data if key.startswith("value/")):
        try:
            found = engine_config(tiny_config(hidden_act=name), 2)["hidden_act"]
        except CheckpointError:
            continue
        compared.add(found)
        value, derivative = reference.ACTIVATIONS[found]
        np.testing.assert_allclose(value(data["x"]), data["value/" + name], rtol=0, atol=1e-10)
        np.testing.assert_allclose(derivative(data["x"]), data["slope/" + name], rtol=0, atol=1e-10)
    assert compared == set(reference.ACTIVATIONS)


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
