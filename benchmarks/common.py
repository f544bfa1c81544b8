"""Code that both sides of a comparison share, so that they do the same work.

It only needs NumPy and pandas, because the peers run in an environment of their own, without
bertsent.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd


def finetune_arguments(description):
    """Return the parser of the arguments of both sides of the fine-tuning comparison."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", required=True, help="directory of the pretrained model")
    p.add_argument("--train-rows", type=int, nargs=2, default=(0, 4000))
    p.add_argument("--test-rows", type=int, nargs=2, default=(20000, 25000))
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--epochs", type=int, default=2)
    p.add_argument("--batch-size", type=int, default=16)
    p.add_argument("--learning-rate", type=float, default=5e-5)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--max-steps", type=int, help="stop after this many steps, without a test")
    p.add_argument("--measure", type=int,
                   help="warm up on two batches, then measure this many of all lengths; no test")
    p.add_argument("--padded", action="store_true",
                   help="PyTorch: random batches padded to the maximum, as in the usual script")
    p.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    p.add_argument("--dropout", type=float, help="dropout rate instead of those of the model")
    return p


def few_shot_arguments(description):
    """Return the parser of the arguments of all sides of the comparison with few labels."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", required=True, help="directory of the pretrained model")
    p.add_argument("--per-class", type=int, default=8)
    p.add_argument("--seeds", type=int, nargs="+", default=(0,))
    p.add_argument("--train-rows", type=int, nargs=2, default=(0, 20000))
    p.add_argument("--test-rows", type=int, nargs=2, default=(20000, 21000))
    p.add_argument("--max-length", type=int, help="tokens that are read (default: as usual)")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--scratch", help="directory for what a side writes")
    return p


def load_rows(path, train_rows, test_rows):
    """Read the reviews and split them by row number.

    Parameters
    ----------
    path : path
        A CSV with the columns ``review`` and ``sentiment``.
    train_rows, test_rows : tuple of (int, int)
        Half-open ranges of row numbers.

    Returns
    -------
    train, test : DataFrame
        With a column ``label`` of 0 and 1. Test rows whose text is also among the training rows
        are left out.
    """
    frame = pd.read_csv(path, keep_default_na=False)
    frame["label"] = (frame["sentiment"] == "positive").astype(int)
    train = frame.iloc[slice(*train_rows)].reset_index(drop=True)
    test = frame.iloc[slice(*test_rows)]
    test = test[~test["review"].isin(set(train["review"]))].reset_index(drop=True)
    return train, test


def draw_few(path, per_class, seed, train_rows, test_rows):
    """Draw so many labelled reviews of each class, the same on every side.

    Parameters
    ----------
    path, train_rows, test_rows
        As in `load_rows`. Labels are drawn from the training rows.
    per_class : int
    seed : int

    Returns
    -------
    few, test : DataFrame
    """
    train, test = load_rows(path, train_rows, test_rows)
    rng = np.random.default_rng([seed, per_class])
    classes = [np.flatnonzero(train["label"] == label) for label in (0, 1)]
    rows = np.concatenate([rng.choice(rows, per_class, replace=False) for rows in classes])
    few = train.iloc[rng.permutation(rows)]
    return few.reset_index(drop=True), test


def grouped_batches(lengths, batch_size, epochs, seed):
    """Return batches of texts of similar length, in an order that both sides use.

    Rows are shuffled, cut into stretches of 50 batches, and sorted by length within a stretch;
    then the batches are shuffled. This is how padded implementations usually avoid padding, at
    the cost of some randomness.

    Returns
    -------
    list of ndarray of int
        Row numbers of each step, for all epochs in order.
    """
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths)
    steps = []
    for _ in range(epochs):
        order = rng.permutation(len(lengths))
        batches = []
        stretch = 50 * batch_size
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            part = part[np.argsort(-lengths[part], kind="stable")]
            batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        steps += [batches[i] for i in rng.permutation(len(batches))]
    return steps


def spread_batches(batches, lengths, count):
    """Return a few representative batches for a short measurement.

    The first two are for warming up: one of medium length, and the one with the most tokens, which
    also brings memory to its peak. Then follow `count` batches, evenly spaced by length.
    """
    lengths = np.asarray(lengths)
    full = max(map(len, batches))
    batches = sorted((b for b in batches if len(b) == full), key=lambda b: lengths[b].sum())
    at = [int((k + 0.5) / count * len(batches)) for k in range(count)]
    return [batches[len(batches) // 2], batches[-1]] + [batches[i] for i in at]


def random_batches(rows, batch_size, count, seed):
    """Return batches as a shuffling data loader yields them."""
    order = np.random.default_rng(seed).permutation(rows)[: count * batch_size]
    return list(order.reshape(count, batch_size))


def initial_classifier(hidden_size, num_labels, seed):
    """Return the same new head for both sides: N(0, 0.02) weights, zero bias."""
    rng = np.random.default_rng([seed, 7])
    weight = rng.normal(0.0, 0.02, (num_labels, hidden_size)).astype(np.float32)
    return weight, np.zeros(num_labels, np.float32)


def linear_schedule(step, total, warmup_ratio):
    """Return the factor of the learning rate at ``step`` (from 0), as in transformers."""
    warmup = int(np.ceil(warmup_ratio * total))
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


# Not measured, while allocators and caches warm up.
WARM_UP_STEPS = 2


class Meter:
    """Records losses, tokens and seconds of a training run and prints progress to stderr."""

    def __init__(self, side, versions, arguments, total):
        self.head = {"side": side, "versions": versions, "machine": machine(),
                     "arguments": {k: v for k, v in vars(arguments).items()
                                   if k not in ("data", "model")}}
        self.total = total
        self.losses, self.seconds, self.tokens, self.cpu = [], [], [], []
        self.began = self.last = time.perf_counter()

    def step(self, loss, tokens):
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        self.cpu.append(time.process_time())
        self.losses.append(loss)
        self.tokens.append(tokens)
        if len(self.losses) % 25 == 1:
            rate = sum(self.tokens) / (now - self.began)
            print(f"{self.head['side']}: step {len(self.losses)}/{self.total} loss {loss:.4f} "
                  f"{rate:.0f} tokens/s", file=sys.stderr, flush=True)

    def record(self):
        warm = slice(WARM_UP_STEPS, None)
        return self.head | {
            "train_seconds": self.last - self.began, "train_tokens": sum(self.tokens),
            "tokens_per_second": sum(self.tokens[warm]) / (sum(self.seconds[warm]) or 1.0),
            # Less than the number of threads if another program used the processor.
            "cpu_share": (self.cpu[-1] - self.cpu[WARM_UP_STEPS - 1]) / sum(self.seconds[warm])
            if len(self.cpu) > WARM_UP_STEPS else None,
            "peak_rss_mb": peak_rss_mb(), "loss": self.losses,
            "step_seconds": [round(s, 4) for s in self.seconds], "step_tokens": self.tokens,
        }


def test_record(predicted, test, seconds):
    """Return the accuracy on the test rows, for a result file."""
    right = int((predicted == test["label"].to_numpy()).sum())
    return {"test_rows": len(test), "test_accuracy": right / len(test), "test_seconds": seconds}


def peak_rss_mb():
    """Return the peak resident set of this process so far, in MB (10**6 bytes)."""
    try:
        # getrusage includes the parent's memory before exec; VmHWM does not.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1024 if sys.platform != "darwin" else 1) / 1e6


# CPU flags that determine which matrix kernels a library can choose.
VECTOR_FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
                "amx_tile", "amx_bf16", "amx_int8")


def quiet_environment(foreign=False):
    """Return the environment without variables that influence BLAS or OpenMP.

    The interpreter of a peer does not get our PYTHONPATH either.
    """
    hidden = ("OPENBLAS_", "OMP_", "MKL_", "KMP_", "GOMP_", "ONEDNN_", "DNNL_",
              "BERTSENT_", "ATEN_", *(("PYTHONPATH", "PYTHONHOME") if foreign else ()))
    return {k: v for k, v in os.environ.items() if not k.startswith(hidden)}


def spread(values):
    """Return median, minimum and maximum of a list, for a result file."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


def onednn_kernels(lines):
    """Count the primitives and implementations in the output of ONEDNN_VERBOSE=1."""
    count = {}
    for line in lines:
        found = re.match(r"onednn_verbose,.*?exec,cpu,(\w+),([^,]+),", line)
        if found:
            key = f"{found[1]}: {found[2]}"
            count[key] = count.get(key, 0) + 1
    return count or "nothing through oneDNN"


def machine():
    """Return processor, cores and interpreter, for the head of a result file."""
    model, flags = platform.processor(), set()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
            elif line.startswith("flags"):
                flags = set(line.split(":", 1)[1].split())
                break
    except OSError:
        pass
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": model,
        "vector_flags": [name for name in VECTOR_FLAGS if name in flags],
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write_json(path, record):
    """Write a result file atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    beside.replace(path)
