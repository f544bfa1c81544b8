"""Make the golden files of this directory with PyTorch and transformers.

    python tests/golden/make_golden.py [--minilm DIR [--imdb CSV]] [--family NAME] [--losses]

Needs torch, transformers and safetensors, which neither the package nor its tests require; their
versions are written to versions.json. The tiny models run in float64 from weights that float32
represents exactly, so that a comparison shows only the rounding of the engine. With --minilm, the
script also writes the logits of all-MiniLM-L6-v2 with a fixed classifier, for the texts below and
for the first 64 reviews of the CSV. With --family, it makes only the files of that family, and with
--losses only those of distillation and of ordered classes.

activations.npz has all activations of transformers, also those that bertsent does not know yet. So
a new one needs no golden file of its own.
"""

import argparse
import json
import math
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import transformers
from torch.nn.functional import (
    binary_cross_entropy,
    cross_entropy,
    kl_div,
    log_softmax,
    mse_loss,
    one_hot,
    softmax,
)
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    MPNetConfig,
    MPNetForMaskedLM,
    MPNetForSequenceClassification,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaForSequenceClassification,
)
from transformers.activations import ACT2FN

HERE = Path(__file__).resolve().parent
STEPS = 20
OPTIMIZER = {"lr": 5e-3, "weight_decay": 0.01, "max_grad_norm": 1.0, "warmup_ratio": 0.1}

MODELS = {
    "gelu": {
        "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 48, "type_vocab_size": 2,
        "hidden_act": "gelu", "layer_norm_eps": 1e-12, "num_labels": 2, "pad_token_id": 0,
    },
    "gelu_new": {
        "vocab_size": 80, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 36, "max_position_embeddings": 40, "type_vocab_size": 3,
        "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "num_labels": 5, "pad_token_id": 3,
    },
    "relu": {
        "vocab_size": 50, "hidden_size": 20, "num_hidden_layers": 2, "num_attention_heads": 5,
        "intermediate_size": 52, "max_position_embeddings": 33, "type_vocab_size": 1,
        "hidden_act": "relu", "layer_norm_eps": 1e-3, "num_labels": 3, "pad_token_id": 0,
    },
}
# Families that are not BERT: the classes of configuration, classifier and masked language model,
# the configuration, and the rates of dropout that are set to 0.
FAMILIES = {
    "distilbert": (
        DistilBertConfig, DistilBertForSequenceClassification, DistilBertForMaskedLM,
        {
            "vocab_size": 90, "dim": 24, "n_layers": 2, "n_heads": 3, "hidden_dim": 44,
            "max_position_embeddings": 40, "activation": "gelu", "num_labels": 3,
            "pad_token_id": 0,
        },
        ("dropout", "attention_dropout", "seq_classif_dropout"),
    ),
    "electra": (
        ElectraConfig, ElectraForSequenceClassification, None,
        {
            "vocab_size": 80, "embedding_size": 14, "hidden_size": 24, "num_hidden_layers": 2,
            "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 40,
            "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "num_labels": 3,
            "pad_token_id": 0,
        },
        ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    ),
    # Long enough for all buckets of distances.
    "mpnet": (
        MPNetConfig, MPNetForSequenceClassification, MPNetForMaskedLM,
        {
            "vocab_size": 70, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 28, "max_position_embeddings": 112, "hidden_act": "gelu",
            "layer_norm_eps": 1e-5, "num_labels": 3, "pad_token_id": 1,
        },
        ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    ),
    "roberta": (
        RobertaConfig, RobertaForSequenceClassification, RobertaForMaskedLM,
        {
            "vocab_size": 90, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
            "intermediate_size": 40, "max_position_embeddings": 42, "type_vocab_size": 1,
            "hidden_act": "gelu", "layer_norm_eps": 1e-5, "num_labels": 3, "pad_token_id": 1,
        },
        ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    ),
}

TEXTS = [
    "I laughed, I cried, and I would gladly pay for a second ticket.",
    "Two hours of my life that nobody is going to give back.",
    "",
    "It's neither good nor bad; the lead actress, however, is a find.",
    "Café Müller -- naïve, übercool, and (frankly) over-directed!!!",
    "10/10. No notes.",
    "The plot has holes you could drive a 1950's Buick through.<br /><br />Still: what a ride.",
    "Unwatchable",
    "My grandmother fell asleep after ten minutes, my son after twenty, and I envied them both. "
    "The script repeats itself, the music repeats the script, and the camera, as if ashamed, "
    "looks at the floor.",
    "静かな映画 with subtitles that explain nothing, which is exactly how it should be.",
    "If you liked the first part you will hate this one, and if you hated the first part you "
    "will hate this one for better reasons; the only thing that improved is the poster, and even "
    "the poster seems to know. " * 8,
    "Wonderful. " * 40,
]


def make_inputs(config, rng, n_rows, longest, holes):
    """Return ids, mask, types and labels of a padded batch; some rows have holes in the mask."""
    lengths = rng.integers(2, longest + 1, n_rows)
    lengths[0], lengths[-1] = longest, 1
    mask = (np.arange(longest) < lengths[:, None]).astype(np.int64)
    if holes:
        mask[0, 3:5] = 0
        mask[1, 1] = 0
    ids = rng.integers(4, config["vocab_size"], (n_rows, longest))
    # A padding id that is not masked: its gradient must not reach the embedding table.
    ids[0, 1] = config["pad_token_id"]
    ids = np.where(mask == 1, ids, config["pad_token_id"])
    types = rng.integers(0, config.get("type_vocab_size", 1), (n_rows, longest))
    labels = rng.integers(0, config["num_labels"], n_rows)
    return {"ids": ids, "mask": mask, "types": types, "labels": labels}


def make_masks(config, rng, batch):
    """Return the batch with labels for a fifth of its tokens, -100 for the others."""
    ids, attended = batch["ids"], batch["mask"] == 1
    chosen = attended & (rng.random(ids.shape) < 0.2)
    chosen[0, 0] = True
    masked = np.where(chosen, rng.integers(0, config["vocab_size"], ids.shape), ids)
    return batch | {"ids": masked, "labels": np.where(chosen, ids, -100)}


def make_model(config, rng, kind):
    """Return a float64 model whose random weights are exact in float32."""
    model = kind(config).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = rng.normal(0.0, 0.15, tuple(parameter.shape))
            if is_norm(name) and name.endswith(".weight"):
                values += 1.0
            parameter.copy_(torch.from_numpy(values.astype(np.float32).astype(np.float64)))
    return model


def is_norm(name):
    """Return whether a tensor is one of a LayerNorm."""
    return name.rsplit(".", 1)[0].lower().endswith(("layernorm", "layer_norm"))


def takes_decay(name):
    """Return whether AdamW decays a tensor: no bias, also not by distance, and no LayerNorm."""
    return not (name.endswith((".bias", "_bias.weight")) or is_norm(name))


def run(model, batch):
    """Return logits and mean cross-entropy."""
    has_types = getattr(model.config, "type_vocab_size", 0)
    types = {"token_type_ids": torch.from_numpy(batch["types"])} if has_types else {}
    logits = model(
        input_ids=torch.from_numpy(batch["ids"]), attention_mask=torch.from_numpy(batch["mask"]),
        **types,
    ).logits
    labels = torch.from_numpy(batch["labels"]).reshape(-1)
    return logits, cross_entropy(logits.reshape(len(labels), -1), labels)


def summarise(values):
    """Return mean, norm and a dot product that depends on the order of the elements."""
    flat = values.detach().numpy().reshape(-1)
    return np.array([flat.mean(), np.linalg.norm(flat), flat @ np.cos(np.arange(flat.size))])


def train(model, batches):
    """Train STEPS steps and return losses, gradient norms and the sums of the final weights."""
    named = list(model.named_parameters())
    plain = [p for n, p in named if not takes_decay(n)]
    decayed = [p for n, p in named if takes_decay(n)]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": OPTIMIZER["weight_decay"]},
            {"params": plain, "weight_decay": 0.0},
        ],
        lr=OPTIMIZER["lr"], betas=(0.9, 0.999), eps=1e-8,
    )
    warmup = math.ceil(OPTIMIZER["warmup_ratio"] * STEPS)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warmup, STEPS)
    losses, norms = [], []
    for step in range(STEPS):
        _, loss = run(model, batches[step % len(batches)])
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER["max_grad_norm"])
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        norms.append(norm.item())
    return losses, norms, {name: summarise(value) for name, value in named}


def make_tiny(name, config, seed, full, kind, masked=False):
    """Write the golden file of one tiny model, for classification or masked tokens.

    `full` is the configuration for transformers, `config` what the file says of it.
    """
    rng = np.random.default_rng(seed)
    model = make_model(full, rng, kind)
    # Positions of MPNet and RoBERTa begin at 2, and distances of MPNet are those of columns.
    longest = config["max_position_embeddings"] - 2 * (full.model_type in ("mpnet", "roberta"))
    batches = [
        make_inputs(config, rng, 6, longest - 9 * i, holes=i == 0 and full.model_type != "mpnet")
        for i in range(3)
    ]
    if masked:
        batches = [make_masks(config, rng, batch) for batch in batches]
    out = {"config": json.dumps(config), "optimizer": json.dumps(OPTIMIZER)}
    for i, batch in enumerate(batches):
        for part, values in batch.items():
            out[f"batch{i}/{part}"] = values.astype(np.int16)
    for tensor, value in model.named_parameters():
        out["weight/" + tensor] = value.detach().numpy().astype(np.float32)
    logits, loss = run(model, batches[0])
    loss.backward()
    if masked:
        logits = logits[torch.from_numpy(batches[0]["labels"] >= 0)]
    out["logits"], out["loss"] = logits.detach().numpy(), loss.item()
    for tensor, value in model.named_parameters():
        out["grad/" + tensor] = value.grad.numpy().astype(np.float32)
    model.zero_grad()
    losses, norms, sums = train(model, batches)
    out["losses"], out["norms"] = losses, norms
    for tensor, value in sums.items():
        out["final/" + tensor] = value
    np.savez_compressed(HERE / f"{'masked' if masked else 'tiny'}_{name}.npz", **out)
    print(name, "masked" * masked, "losses", np.round(losses, 4), "norms", np.round(norms, 3))


def make_family(name):
    """Write the golden files of a family that is not BERT."""
    kind, classifier, masked_lm, config, rates = FAMILIES[name]
    full = kind(**config, **dict.fromkeys(rates, 0.0), attn_implementation="eager")
    config = config | {"model_type": name}
    make_tiny(name, config, len(name), full, classifier)
    if masked_lm is not None:
        make_tiny(name, config, len(name), full, masked_lm, masked=True)


def make_activations():
    """Write value and derivative of every activation of transformers that has no parameters."""
    x = 0.29 * torch.arange(-20, 21, dtype=torch.float64)
    out = {"x": x.numpy()}
    for name in sorted(ACT2FN):
        function = ACT2FN[name]
        if not list(function.parameters()):
            at = x.clone().requires_grad_()
            value = function(at)
            (slope,) = torch.autograd.grad(value.sum(), at)
            out["value/" + name], out["slope/" + name] = value.detach().numpy(), slope.numpy()
    np.savez_compressed(HERE / "activations.npz", **out)


def make_distillation():
    """Write losses of distillation and their gradients, of logits with and without a label."""
    rng = np.random.default_rng(11)
    rows, classes, temperature, weight, smoothing = 7, 4, 2.5, 0.7, 0.1
    labels = np.array([0, 3, -1, 2, 2, -1, 1], np.int32)
    student, teacher = rng.normal(0, 3, (2, rows, classes)).astype(np.float32)
    out = {
        "labels": labels, "logits": student, "teacher": teacher, "temperature": temperature,
        "weight": weight, "smoothing": smoothing,
    }
    wanted = torch.from_numpy(teacher).double()
    for name in ("kl", "mse"):
        z = torch.from_numpy(student).double().requires_grad_()
        hard = cross_entropy(
            z, torch.from_numpy(labels).long(), ignore_index=-1, label_smoothing=smoothing,
            reduction="sum",
        ) / rows
        if name == "kl":
            soft = temperature**2 * kl_div(
                log_softmax(z / temperature, dim=1), softmax(wanted / temperature, dim=1),
                reduction="batchmean",
            )
        else:
            soft = mse_loss(z, wanted)
        loss = (1 - weight) * hard + weight * soft
        (slope,) = torch.autograd.grad(loss, z)
        out[f"{name}/loss"], out[f"{name}/slope"] = loss.item(), slope.numpy()
    np.savez_compressed(HERE / "distillation.npz", **out)


def make_ordinal():
    """Write the losses of ordered classes and their gradients, and those of each row alone."""
    rng = np.random.default_rng(12)
    rows, classes, smoothing = 8, 5, 0.15
    labels = np.array([0, 4, 2, 1, 3, 2, 0, 4], np.int32)
    logits = rng.normal(0, 3, (rows, classes)).astype(np.float32)
    weights = rng.uniform(0.2, 3.0, rows).astype(np.float32)
    out = {"labels": labels, "logits": logits, "weights": weights, "smoothing": smoothing}
    for name, spread in (("plain", 0.0), ("smooth", smoothing)):
        z = torch.from_numpy(logits).double().requires_grad_()
        wanted = one_hot(torch.from_numpy(labels).long(), classes).double()
        wanted = wanted * (1 - spread) + spread / classes
        # The share above each class but the highest.
        above, truly_above = (
            p.flip(1).cumsum(dim=1).flip(1)[:, 1:] for p in (softmax(z, dim=1), wanted)
        )
        each = binary_cross_entropy(above, truly_above, reduction="none").mean(dim=1)
        share = torch.from_numpy(weights).double()
        share = share / share.sum()
        (slopes,) = torch.autograd.grad(each.sum(), z, retain_graph=True)
        loss = each @ share
        (slope,) = torch.autograd.grad(loss, z)
        out |= {
            f"{name}/losses": each.detach().numpy(), f"{name}/slopes": slopes.numpy(),
            f"{name}/loss": loss.item(), f"{name}/slope": slope.numpy(),
        }
    np.savez_compressed(HERE / "ordinal.npz", **out)


def minilm_classifier(hidden):
    """Return the weight and bias of a fixed classifier."""
    rng = np.random.default_rng(5)
    return (
        rng.normal(0.0, 0.5, (3, hidden)).astype(np.float32),
        rng.normal(0.0, 0.5, 3).astype(np.float32),
    )


def make_minilm(directory, imdb):
    """Write ids and logits of the texts above under all-MiniLM-L6-v2."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = BertForSequenceClassification.from_pretrained(
        directory, num_labels=3, attn_implementation="eager"
    ).eval()
    weight, bias = minilm_classifier(model.config.hidden_size)

    def score(texts):
        coded = tokenizer(
            texts, max_length=256, truncation=True, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            return coded, model(**coded).logits.numpy()

    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(weight))
        model.classifier.bias.copy_(torch.from_numpy(bias))
    coded, logits = score(TEXTS)
    mask = coded["attention_mask"].numpy().astype(bool)
    out = {
        "texts": json.dumps(TEXTS), "max_length": 256, "weight": weight, "bias": bias,
        "ids": coded["input_ids"].numpy()[mask].astype(np.int32),
        "offsets": np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int64),
        "logits": logits,
    }
    if imdb is not None:
        reviews = pd.read_csv(imdb, nrows=64, keep_default_na=False)["review"].tolist()
        out["imdb_logits"] = np.concatenate(
            [score(reviews[i : i + 8])[1] for i in range(0, 64, 8)]
        )
    np.savez_compressed(HERE / "minilm.npz", **out)


def main():
    """Make all files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minilm", type=Path, help="directory of all-MiniLM-L6-v2")
    parser.add_argument("--imdb", type=Path, help="CSV of reviews in a column named review")
    parser.add_argument("--family", choices=FAMILIES, help="make the files of this family only")
    parser.add_argument("--losses", action="store_true", help="make the files of losses only")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if arguments.losses:
        make_distillation()
        make_ordinal()
        return
    for name in FAMILIES if arguments.family is None else [arguments.family]:
        make_family(name)
    if arguments.family is not None:
        return
    for seed, (name, config) in enumerate(MODELS.items()):
        full = BertConfig(
            **config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
            attn_implementation="eager",
        )
        make_tiny(name, config, seed, full, BertForSequenceClassification)
        make_tiny(name, config, seed, full, BertForMaskedLM, masked=True)
    make_activations()
    make_distillation()
    make_ordinal()
    if arguments.minilm is not None:
        make_minilm(arguments.minilm, arguments.imdb)
    versions = {
        "python": platform.python_version(), "torch": torch.__version__,
        "transformers": transformers.__version__, "numpy": np.__version__,
    }
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
