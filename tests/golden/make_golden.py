"""Make the golden files of this directory with PyTorch and transformers.

    python tests/golden/make_golden.py [--minilm DIR [--imdb CSV]]

Needs torch, transformers and safetensors, which neither the package nor its tests do; the
versions used are written to versions.json. The tiny models run in float64 from weights that
float32 holds exactly, so that what is compared is the engine's rounding alone. With --minilm,
the logits of all-MiniLM-L6-v2 under a fixed classifier are made too, for the texts below and
for the first 64 reviews of the CSV.
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
from torch.nn.functional import cross_entropy
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
)

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
    # A padding id that is attended to: its look-up must not reach the embedding table.
    ids[0, 1] = config["pad_token_id"]
    ids = np.where(mask == 1, ids, config["pad_token_id"])
    types = rng.integers(0, config["type_vocab_size"], (n_rows, longest))
    labels = rng.integers(0, config["num_labels"], n_rows)
    return {"ids": ids, "mask": mask, "types": types, "labels": labels}


def make_masks(config, rng, batch):
    """Return the batch with labels for a fifth of its tokens, -100 for the others."""
    ids, attended = batch["ids"], batch["mask"] == 1
    chosen = attended & (rng.random(ids.shape) < 0.2)
    chosen[0, 0] = True
    masked = np.where(chosen, rng.integers(0, config["vocab_size"], ids.shape), ids)
    return batch | {"ids": masked, "labels": np.where(chosen, ids, -100)}


def make_model(config, rng, kind=BertForSequenceClassification):
    """Return a float64 model whose random weights are exact in float32."""
    full = BertConfig(
        **config, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        attn_implementation="eager",
    )
    model = kind(full).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = rng.normal(0.0, 0.15, tuple(parameter.shape))
            if name.endswith("LayerNorm.weight"):
                values += 1.0
            parameter.copy_(torch.from_numpy(values.astype(np.float32).astype(np.float64)))
    return model


def run(model, batch):
    """Return logits and mean cross-entropy."""
    logits = model(
        input_ids=torch.from_numpy(batch["ids"]),
        attention_mask=torch.from_numpy(batch["mask"]),
        token_type_ids=torch.from_numpy(batch["types"]),
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
    plain = [p for n, p in named if n.endswith(".bias") or "LayerNorm" in n]
    decayed = [p for n, p in named if not (n.endswith(".bias") or "LayerNorm" in n)]
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


def make_tiny(name, config, seed, masked=False):
    """Write the golden file of one tiny model, a classifier or one of masked tokens."""
    rng = np.random.default_rng(seed)
    model = make_model(config, rng, *([BertForMaskedLM] if masked else []))
    longest = config["max_position_embeddings"]
    batches = [make_inputs(config, rng, 6, longest - 9 * i, holes=i == 0) for i in range(3)]
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


def minilm_classifier(hidden):
    """Return the weight and bias that stand for a trained classifier."""
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
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for seed, (name, config) in enumerate(MODELS.items()):
        make_tiny(name, config, seed)
        make_tiny(name, config, seed, masked=True)
    if arguments.minilm is not None:
        make_minilm(arguments.minilm, arguments.imdb)
    versions = {
        "python": platform.python_version(), "torch": torch.__version__,
        "transformers": transformers.__version__, "numpy": np.__version__,
    }
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
