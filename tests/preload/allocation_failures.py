"""Let every allocation of the engine fail: first one alone, then all from it on.

Run by tests/test_allocation_failures.py with failing_allocator.c loaded first. Prints one line for
each case, with the number of allocations that were made to fail.
"""

import ctypes
import gc
import sys

import numpy as np
from cases import arrays, engine_config, flatten, random_batch, random_params

from bertsent import _core

allocator = ctypes.CDLL(sys.argv[1])
allocator.allocator_watch.restype = ctypes.c_bool
allocator.allocator_made.restype = ctypes.c_long
allocator.allocator_living.restype = ctypes.c_long
allocator.allocator_fail.argtypes = [ctypes.c_long, ctypes.c_long]

NEVER = (0, 0)
FOR_EVER = 2**31
VOCAB = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "##b", "é", "!"] + [
    f"word{i}" for i in range(300)
]
TEXTS = ["ab word7 word1234 " * 40, "É! [SEP] word3", "", "a" * 300, "\u0301\u0323" * 50]


def make_tokenizer():
    added = [("[SEP]", 2, False, False, True, False, False)]
    return _core.Tokenizer(
        VOCAB, unk_id=0, cls_id=1, sep_id=2, added=added, lowercase=True, strip_accents=True
    )


def tokenize(tokenizer):
    """Encode with everything that takes memory of its own."""
    return [
        tokenizer.encode_batch(TEXTS, n_threads=2),
        tokenizer.encode_batch(TEXTS, 8, n_threads=2, spans=True),
        tokenizer.encode_batch(TEXTS, 8, n_threads=2, spans=True, stride=2),
        tokenizer.encode_batch(TEXTS, 9, n_threads=2, seconds=TEXTS[::-1]),
        tokenizer.normalize(TEXTS[1]),
    ]


def make_model(config, seed=1):
    total, _ = table = _core.parameter_table(config)
    flat = flatten(table, random_params(config, np.random.default_rng(seed)))
    assert flat.size == total
    return _core.Model(config, flat)


CONFIG = engine_config()
MASKED = engine_config(head="masked_lm")
BATCH = random_batch(CONFIG, np.random.default_rng(2), [5, 9, 1, 20, 20, 20], holes=True)


def buffers(model):
    return [np.zeros_like(model.params) for _ in range(3)]


def score(precision):
    return lambda model: model.score(*arrays(BATCH), n_threads=2, precision=precision)


def train(precision, **options):
    def step(model):
        loss, logits, norm = model.train_step(
            *arrays(BATCH), BATCH["keys"], BATCH["labels"], None, *buffers(model), seed=3, step=0,
            lr=1e-3, max_grad_norm=1.0, n_threads=2, precision=precision, **options,
        )
        return loss, logits, norm, model.params.copy()

    return step


def train_in_windows(model):
    first = np.array([0, 2, 6], np.int64)
    shares = np.array([0.5, 0.5, 0.25, 0.25, 0.25, 0.25], np.float32)
    loss, logits, norm = model.train_step(
        *arrays(BATCH), BATCH["keys"], BATCH["labels"][:2], None, *buffers(model), n_threads=2,
        micro_batch_tokens=16, windows=(first, shares), lr=1e-3,
    )
    return loss, logits, norm, model.params.copy()


def both_ways(model):
    session = _core.Session(model, 2)
    logits = session.forward(*arrays(BATCH), BATCH["keys"], training=True)
    gradient = np.zeros_like(model.params)
    session.backward(np.ones_like(logits), gradient)
    return logits, gradient


def stored_rows(model):
    rows = np.zeros(75 * CONFIG["hidden_size"], np.float32)
    model.frozen_rows(*arrays(BATCH), 1, rows, n_threads=2, micro_batch_tokens=16)
    return rows


def attribute(model):
    along, weights = np.full(6, 0.5, np.float32), np.ones((6, 3), np.float32)
    baseline = np.full(75, 4, np.int32)
    return model.attribute(
        *arrays(BATCH), baseline, along, weights, n_threads=2, chunk_tokens=8
    )


def masked_step(model):
    tokens = np.array([2, 7, 30], np.int64)
    labels = np.array([5, 6, 7], np.int32)
    loss, hits, norm = model.mlm_train_step(
        *arrays(BATCH), BATCH["keys"], tokens, labels, *buffers(model), lr=1e-3, n_threads=2
    )
    return loss, hits, norm, model.params.copy()


def cases():
    """Yield name, function that makes an object, and function that works on it."""
    yield "make a tokenizer", lambda: None, lambda _: tokenize(make_tokenizer())
    yield "tokenize", make_tokenizer, tokenize
    yield "make a model", lambda: None, lambda _: make_model(CONFIG).score(*arrays(BATCH))
    for precision in _core.precisions():
        yield f"score in {precision}", lambda: make_model(CONFIG), score(precision)
        if precision != "int8":
            yield f"train in {precision}", lambda: make_model(CONFIG), train(precision)
    yield "train with frozen layers", lambda: make_model(CONFIG), train("float32", freeze=2)
    yield "train in windows", lambda: make_model(CONFIG), train_in_windows
    yield "forward and backward", lambda: make_model(CONFIG), both_ways
    yield "stored rows", lambda: make_model(CONFIG), stored_rows
    yield "attribute", lambda: make_model(CONFIG), attribute
    yield "masked tokens", lambda: make_model(MASKED), masked_step


def same(a, b):
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def attempt(make, work, expected, first, last):
    """Work with failing allocations, then again without; return whether the first try failed."""
    subject = make()
    before = subject.params.copy() if isinstance(subject, _core.Model) else None
    allocator.allocator_fail(first, last)
    try:
        found, failed = work(subject), False
    except MemoryError:
        found, failed = None, True
    finally:
        allocator.allocator_fail(*NEVER)
    if failed:
        if before is not None:
            assert np.array_equal(subject.params, before), "a failed call changed the parameters"
        found = work(subject)
    assert same(found, expected), f"another result after allocation {first} failed"
    return failed


def main():
    assert allocator.allocator_watch(b"bertsent/_core"), "the engine was not found"
    for name, make, work in cases():
        expected = work(make())  # the pool has its threads after this
        gc.collect()
        living = allocator.allocator_living()
        allocator.allocator_fail(*NEVER)
        work(make())
        n_allocations = allocator.allocator_made()
        assert n_allocations > 0, name
        failures = 0
        for first in range(1, n_allocations + 1):
            for last in (first, FOR_EVER):
                failures += attempt(make, work, expected, first, last)
        gc.collect()
        leaked = allocator.allocator_living() - living
        assert leaked == 0, f"{name}: {leaked} blocks were not freed"
        print(f"{name}: {n_allocations} allocations, {failures} failures")


if __name__ == "__main__":
    main()
