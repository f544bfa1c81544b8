"""Fine-tune with PyTorch and transformers: the peer of ``finetune.py``.

Runs in an environment that has torch and transformers. Batches are grouped by
length and padded to their longest text only; AdamW, clipping and schedule are
those of the usual recipe. Prints one JSON object on the last line of stdout.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
import transformers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--data", required=True)
    p.add_argument("--model", required=True, help="directory of the pretrained model")
    p.add_argument("--train-rows", type=int, nargs=2, default=(0, 4000))
    p.add_argument("--test-rows", type=int, nargs=2, default=(20000, 25000))
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--learning-rate", type=float, default=5e-5)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--max-steps", type=int, default=None, help="stop after so many steps; no test then")
    p.add_argument("--dropout", type=float, default=None, help="override both dropout rates")
    p.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    return p.parse_args()


def main():
    a = parse()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    train, test = common.load_rows(a.data, a.train_rows, a.test_rows)
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    extra = {}
    if a.dropout is not None:
        extra = dict(hidden_dropout_prob=a.dropout, attention_probs_dropout_prob=a.dropout)
    model = AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=2, **extra)
    weight, bias = common.initial_classifier(model.config.hidden_size, 2, a.seed)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(weight))
        model.classifier.bias.copy_(torch.from_numpy(bias))

    def encode(texts):
        return tokenizer(list(texts), truncation=True, max_length=a.max_length)["input_ids"]

    def batch_of(ids, rows):
        longest = max(len(ids[i]) for i in rows)
        out = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for k, i in enumerate(rows):
            out[k, : len(ids[i])] = torch.tensor(ids[i])
            mask[k, : len(ids[i])] = 1
        return out, mask

    ids = encode(train["review"])
    labels = torch.tensor(train["label"].to_numpy())
    steps = common.grouped_batches([len(i) for i in ids], a.batch_size, a.epochs, a.seed)
    total = len(steps)

    decay, plain = [], []
    for name, p in model.named_parameters():
        (plain if name.endswith("bias") or "LayerNorm" in name else decay).append(p)
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=a.learning_rate, eps=1e-8,
    )
    autocast = lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.bf16)
    model.train()
    losses, seconds, tokens, correct = [], [], 0, 0
    began = time.perf_counter()
    for step, rows in enumerate(steps[: a.max_steps]):
        t0 = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = a.learning_rate * common.linear_schedule(step, total, 0.1)
        x, mask = batch_of(ids, rows)
        with autocast():
            logits = model(input_ids=x, attention_mask=mask).logits
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[rows])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss))
        correct += int((logits.argmax(1) == labels[rows]).sum())
        tokens += int(mask.sum())
        seconds.append(time.perf_counter() - t0)
        if step % 25 == 0:
            print(f"step {step + 1}/{total} loss {losses[-1]:.4f} "
                  f"{tokens / (time.perf_counter() - began):.0f} tokens/s", file=sys.stderr, flush=True)
    train_seconds = time.perf_counter() - began
    record = {
        "side": "pytorch", "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "machine": common.machine(), "arguments": vars(a), "train_seconds": train_seconds,
        "train_tokens": tokens, "tokens_per_second": tokens / train_seconds,
        "peak_rss_mb": common.peak_rss_mb(), "loss": losses, "step_seconds": seconds,
    }
    if a.max_steps is None:
        model.eval()
        test_ids = encode(test["review"])
        order = np.argsort([-len(i) for i in test_ids], kind="stable")
        predicted = np.zeros(len(test), int)
        t0 = time.perf_counter()
        with torch.inference_mode(), autocast():
            for start in range(0, len(order), 32):
                rows = order[start : start + 32]
                x, mask = batch_of(test_ids, rows)
                predicted[rows] = model(input_ids=x, attention_mask=mask).logits.argmax(1).numpy()
        record |= {"test_seconds": time.perf_counter() - t0, "test_rows": len(test),
                   "test_accuracy": float((predicted == test["label"]).mean())}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
