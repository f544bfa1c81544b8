"""What both sides of a comparison share, so that they do the same work.

NumPy and pandas only: the peers run in an environment of their own, where
bertsent need not be installed.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd


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
        With a column ``label`` of 0 and 1. Test rows whose text also stands
        among the training rows are left out.
    """
    frame = pd.read_csv(path, keep_default_na=False)
    frame["label"] = (frame["sentiment"] == "positive").astype(int)
    train = frame.iloc[slice(*train_rows)].reset_index(drop=True)
    test = frame.iloc[slice(*test_rows)]
    test = test[~test["review"].isin(set(train["review"]))].reset_index(drop=True)
    return train, test


def grouped_batches(lengths, batch_size, epochs, seed):
    """Batches of texts of similar length, in an order that both sides follow.

    Rows are shuffled, cut into stretches of 50 batches, sorted by length
    within a stretch, and the batches shuffled: what a padded implementation
    needs to waste little, at its usual price in randomness.

    Returns
    -------
    list of int arrays
        One array of row numbers a step, all epochs in a row.
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


def initial_classifier(hidden_size, num_labels, seed):
    """The same fresh head for both sides: N(0, 0.02) weights, zero bias."""
    rng = np.random.default_rng([seed, 7])
    weight = rng.normal(0.0, 0.02, (num_labels, hidden_size)).astype(np.float32)
    return weight, np.zeros(num_labels, np.float32)


def linear_schedule(step, total, warmup_ratio):
    """Factor of the learning rate at ``step`` (0-based), as transformers has it."""
    warmup = int(np.ceil(warmup_ratio * total))
    if step < warmup:
        return step / max(1, warmup)
    return max(0.0, (total - step) / max(1, total - warmup))


def peak_rss_mb():
    """Largest resident set of this process so far, in MB (10**6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1024 if sys.platform != "darwin" else 1) / 1e6


def machine():
    """Processor, cores and interpreter, for the head of a result file."""
    model = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write_json(path, record):
    """Write a result file beside its final place, then rename it there."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(record, indent=1) + "\n")
    beside.replace(path)
