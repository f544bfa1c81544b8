"""Fine-tune with PyTorch and transformers: one side of ``finetune.py``.

Runs in an environment with torch and transformers. Batches are grouped by length and padded to
their longest text (with ``--padded``, neither). AdamW, clipping and schedule are the usual ones.
The last line of stdout is a JSON object.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common


def main():
    a = common.finetune_arguments(__doc__).parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    train, test = common.load_rows(a.data, a.train_rows, a.test_rows)
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    rates = {}
    if a.dropout is not None:
        rates = {"hidden_dropout_prob": a.dropout, "attention_probs_dropout_prob": a.dropout}
    model = AutoModelForSequenceClassification.from_pretrained(a.model, num_labels=2, **rates)
    output = getattr(model.classifier, "out_proj", model.classifier)
    weight, bias = common.initial_classifier(output.in_features, 2, a.seed)
    with torch.no_grad():
        output.weight.copy_(torch.from_numpy(weight))
        output.bias.copy_(torch.from_numpy(bias))

    def encode(texts):
        return tokenizer(list(texts), truncation=True, max_length=a.max_length)["input_ids"]

    def batch_of(ids, rows):
        longest = a.max_length if a.padded else max(len(ids[i]) for i in rows)
        out = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for k, i in enumerate(rows):
            out[k, : len(ids[i])] = torch.tensor(ids[i])
            mask[k, : len(ids[i])] = 1
        return out, mask

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.precision == "bfloat16")

    ids = encode(train["review"])
    labels = torch.tensor(train["label"].to_numpy())
    lengths = [len(i) for i in ids]
    steps = common.grouped_batches(lengths, a.batch_size, a.epochs, a.seed)
    total = len(steps)
    if a.measure:
        steps = common.spread_batches(steps, lengths, a.measure)
        if a.padded:
            steps = common.random_batches(len(ids), a.batch_size, len(steps), a.seed)
    decay, plain = [], []
    for name, p in model.named_parameters():
        (plain if name.endswith("bias") or "LayerNorm" in name else decay).append(p)
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}],
        lr=a.learning_rate, eps=1e-8,
    )
    model.train()
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    meter = common.Meter("pytorch", versions, a, len(steps))
    for step, rows in enumerate(steps[: a.max_steps]):
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
        meter.step(loss.item(), int(mask.sum()))
    record = meter.record()
    if a.max_steps is None and a.measure is None:
        model.eval()
        test_ids = encode(test["review"])
        order = np.argsort([-len(i) for i in test_ids], kind="stable")
        predicted = np.zeros(len(test), int)
        began = time.perf_counter()
        with torch.inference_mode(), autocast():
            for start in range(0, len(order), 32):
                rows = order[start : start + 32]
                x, mask = batch_of(test_ids, rows)
                predicted[rows] = model(input_ids=x, attention_mask=mask).logits.argmax(1).numpy()
        record |= common.test_record(predicted, test, time.perf_counter() - began)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
