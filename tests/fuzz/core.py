"""Call the engine with arguments that are wrong in one way or another.

    python tests/fuzz/core.py --calls 1000000 --seed 1

Each call has valid arguments, of which up to three are damaged: numbers that are too large,
negative or of another type, arrays of another type, size, shape, byte order or alignment, with
holes, read-only, or with values that are out of range. The outcome must be an exception for bad
arguments, or the result of the same call with plain copies of the arrays. A crash, a call that
takes minutes, lack of memory, another exception, or an exception for arguments that are fine are
findings. The result of a call depends only on the seed and its number.

The calls run in a child process, so that a crash ends only the child. With a build under
AddressSanitizer, start the program as the tests are started (``.ci/run``).
"""

import argparse
import faulthandler
import mmap
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np

from bertsent import _core

REFUSALS = (ValueError, TypeError, LookupError, OverflowError, FloatingPointError)
SECONDS = 300  # for twenty calls, on a machine that does other things
FOUND = 3  # exit code of a child with findings

BASE = {
    "vocab_size": 24, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 12, "max_position_embeddings": 10, "type_vocab_size": 2, "num_labels": 3,
    "pad_token_id": 0, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1, "classifier_dropout": 0.1, "hidden_act": "gelu",
}  # fmt: skip
CONFIGS = [
    BASE,
    BASE | {"hidden_size": 20, "num_attention_heads": 1, "pooling": "mean", "head": "plain",
            "type_vocab_size": 0, "pad_token_id": -1, "num_hidden_layers": 1},
    BASE | {"position_offset": 2, "head": "dropout_dense_tanh", "num_labels": 2,
            "hidden_act": "relu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
    BASE | {"head": "masked_lm"},
]  # fmt: skip

INTS = [-1, -2, 0, 1, 2, 7, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40,
        2**62, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, 10**30]  # fmt: skip
SCALARS = [*INTS, 0.5, -0.0, float("nan"), float("inf"), 1e300, None, "", "x", "\udc80", "a\0b",
           b"float32", True, [], (), object()]  # fmt: skip
VALUES = [-1, 1, 23, 24, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63)]
FLOATS = [float("nan"), float("inf"), -float("inf"), -1.0, 1e38, 1e-45, -0.0]
DTYPES = ["int8", "int32", "int64", "uint32", "uint64", "float16", "float32", "float64", "bool",
          "complex64", "uint16", "S3", "U2", "object", "M8[s]", "i4,i4"]  # fmt: skip
TEXTS = ["a b ab", "", "the [SEP] é", "\udc80", "x" * 40, "中 \U0001f602 ab", "a\0b", "[MASK]##a"]
VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "a", "b", "ab", "##a", "##b", "the", "e", "x", "##x", "中"]


class Other(np.ndarray):
    """An array of another class."""


def misaligned(array):
    """Return a copy at an odd address."""
    bytes_ = np.zeros(array.nbytes + array.itemsize + 1, np.uint8)
    view = bytes_[1 : 1 + array.nbytes].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def with_holes(array):
    """Return a copy with other values between those of the array."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def plain(value):
    """Return a value with plain copies of its arrays."""
    if isinstance(value, np.ndarray):
        return np.array(value, dtype=value.dtype.newbyteorder("="), order="C", subok=False)
    if isinstance(value, tuple):
        return tuple(map(plain, value))
    return value


def same(a, b):
    """Whether two results are equal, bit by bit."""
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray):
        return (isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
                and a.tobytes() == b.tobytes())  # fmt: skip
    return type(a) is type(b) and (a == b or a != a)


class Maker:
    """Makes valid arguments, and damages them."""

    def __init__(self, draw):
        self.draw = draw
        self.harmless = True  # whether nothing was done that may be refused

    def floats(self, *shape):
        return np.random.default_rng(self.draw.getrandbits(32)).standard_normal(
            shape, dtype=np.float32
        )

    def ints(self, n, limit, dtype):
        return np.array([self.draw.randrange(limit) for _ in range(n)], dtype)

    def batch(self, config):
        lengths = [self.draw.randint(1, config["max_position_embeddings"])
                   for _ in range(self.draw.randint(1, 5))]  # fmt: skip
        n = sum(lengths)
        arrays = {
            "ids": self.ints(n, config["vocab_size"], np.int32),
            "types": self.ints(n, max(config["type_vocab_size"], 1), np.int32),
            "positions": self.ints(n, config["max_position_embeddings"], np.int32),
            "cu_seqlens": np.cumsum([0, *lengths], dtype=np.int64),
        }
        for name in ("types", "positions"):
            if self.draw.random() < 0.5:
                arrays[name] = None
        return arrays, len(lengths)

    def keys(self, n):
        keys = np.array([self.draw.getrandbits(64) for _ in range(n)], np.uint64)
        return keys if self.draw.random() < 0.5 else None

    def options(self, **more):
        """Return some of the options of a pass."""
        every = {
            "freeze": self.draw.randint(0, 1), "seed": self.draw.getrandbits(64),
            "training": self.draw.random() < 0.5, "step": self.draw.randrange(2**32),
            "n_threads": self.draw.randint(1, 2), "precision": self.draw.choice(PRECISIONS),
            "micro_batch_tokens": self.draw.randint(0, 12),
        } | more  # fmt: skip
        return {name: value for name, value in every.items() if self.draw.random() < 0.5}

    def damage(self, value):
        """Return a value that may be refused."""
        if isinstance(value, tuple) and value and self.draw.random() < 0.8:
            at = self.draw.randrange(len(value))
            return (*value[:at], self.damage(value[at]), *value[at + 1 :])
        if not isinstance(value, np.ndarray) or self.draw.random() < 0.05:
            self.harmless = False
            return self.draw.choice(SCALARS)
        try:
            return self.damage_array(value)
        except (TypeError, ValueError, IndexError):
            return value  # it was damaged before in a way that does not go with this one

    def damage_array(self, array):
        how = self.draw.randrange(14)
        if how == 0:
            return array.view(Other)
        self.harmless = False
        if how == 1:
            copy = array.copy()
            copy.flags.writeable = False
            return copy
        if how == 2:
            return misaligned(array)
        if how == 3:
            return with_holes(array)
        if how == 4:
            return array.astype(array.dtype.newbyteorder(">"))
        if how == 5:
            dtype = np.dtype(self.draw.choice(DTYPES))
            with np.errstate(all="ignore"):
                return array.astype(dtype) if dtype.names is None else np.zeros(array.shape, dtype)
        if how == 6:
            return self.draw.choice([array[:0], array[:-1], np.append(array, array[-1:], axis=0)])
        if how == 7:
            flat = array.reshape(-1)
            firsts = [flat[0], np.array(flat[0])] if flat.size else []
            return self.draw.choice([flat.reshape(-1, 1), array[None], flat[:1], *firsts])
        if how == 8:
            return self.draw.choice([array.tolist(), memoryview(array), array.tobytes()])
        if how == 9:
            return array[::-1]
        return self.with_value(array)

    def with_value(self, array):
        copy = array.copy()
        if copy.size:
            values = FLOATS if copy.dtype.kind == "f" else VALUES
            value = np.array(self.draw.choice(values)).astype(copy.dtype)
            copy.reshape(-1)[self.draw.randrange(copy.size)] = value
        return copy


class Engine:
    """Models with the same parameters before every call."""

    def __init__(self):
        self.models = []
        for config in CONFIGS:
            total = _core.parameter_table(config)[0]
            start = np.random.default_rng(1).standard_normal(total, dtype=np.float32) * 0.3
            self.models.append((config, start, _core.Model(config, start.copy())))

    def take(self, which):
        config, start, model = self.models[which]
        model.params[:] = start
        model.touch()
        return config, model




def scoring(make, engine):
    which = make.draw.randrange(3)
    batch, n = make.batch(CONFIGS[which])
    more = {"n_threads": 2, "chunk_tokens": 5, "precision": make.draw.choice(PRECISIONS_TO_SCORE),
            "pooled": make.floats(n * CONFIGS[which]["hidden_size"])}  # fmt: skip
    options = {name: more[name] for name in more if make.draw.random() < 0.5}
    return lambda **a: engine.take(which)[1].score(**a), batch | options


def attributing(make, engine):
    which = make.draw.randrange(3)
    config = CONFIGS[which]
    batch, n = make.batch(config)
    T = batch["ids"].size
    more = {"n_threads": 2, "chunk_tokens": 5, "precision": make.draw.choice(PRECISIONS),
            "gradients": make.floats(T * config["hidden_size"])}  # fmt: skip
    options = {name: more[name] for name in more if make.draw.random() < 0.5}
    given = {"baseline": make.ints(T, config["vocab_size"], np.int32),
             "along": np.full(n, 0.5, np.float32),
             "weights": make.floats(n, config["num_labels"])}  # fmt: skip
    return lambda **a: engine.take(which)[1].attribute(**a), batch | given | options


def sizes(make, engine):
    which = make.draw.randrange(4)
    batch, _ = make.batch(CONFIGS[which])
    options = {"freeze": 1, "keep": False, "n_threads": 2, "stored": True,
               "precision": make.draw.choice(PRECISIONS_TO_SCORE)}  # fmt: skip
    options = {name: options[name] for name in options if make.draw.random() < 0.5}
    return (lambda **a: engine.take(which)[1].pass_size(**a),
            {"cu_seqlens": batch["cu_seqlens"]} | options)  # fmt: skip


def step_arguments(make, config):
    """Return the arguments that forward_backward and train_step share."""
    batch, n = make.batch(config)
    H, L, C = config["hidden_size"], config["num_hidden_layers"], config["num_labels"]
    total = _core.parameter_table(config)[0]
    batch["keys"] = make.keys(n)
    options = make.options(freeze_dropout=True)
    windowed = n > 1 and make.draw.random() < 0.3
    n_texts = n
    if windowed:
        n_texts = make.draw.randint(1, n)
        cuts = sorted(make.draw.sample(range(1, n), n_texts - 1))
        options["windows"] = (np.array([0, *cuts, n], np.int64), np.full(n, 0.5, np.float32))
    if make.draw.random() < 0.3:
        freeze = options["freeze"] = make.draw.randint(1, L)
        options["freeze_dropout"] = True
        rows = make.floats(60 * H)
        if make.draw.random() < 0.5:
            rows = (rows.view(np.uint32) >> 16).astype(np.uint16)
        options["stored"] = (rows, make.ints(n, 60 - 10 if freeze < L else 60, np.int64))
    loss = make.draw.random()
    if loss < 0.3:
        options["loss"] = "mean_squared_error"
        targets = make.floats(n_texts, C)
    elif loss < 0.6:
        options["loss"] = make.draw.choice(["distillation_kl", "distillation_mse"])
        options["teacher"] = (make.floats(n_texts, C), 2.0, 0.5)
        targets = make.ints(n_texts, C, np.int32) - np.int32(make.draw.random() < 0.5)
    else:
        options["label_smoothing"] = 0.1
        if make.draw.random() < 0.5:
            options["loss"] = "cumulative_cross_entropy"
        targets = make.ints(n_texts, C, np.int32)
    weights = np.abs(make.floats(n_texts)) if make.draw.random() < 0.5 else None
    return batch | options | {"targets": targets, "weights": weights,
                              "grads": np.zeros(total, np.float32)}  # fmt: skip


def moments(make, total, layers):
    options = {"lr": 0.01, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6, "weight_decay": 0.1,
               "max_grad_norm": 1.0, "rates": np.ones(layers + 2, np.float32)}  # fmt: skip
    options = {name: options[name] for name in options if make.draw.random() < 0.5}
    return options | {"exp_avg": np.zeros(total, np.float32),
                      "exp_avg_sq": np.zeros(total, np.float32)}  # fmt: skip


def gradients(make, engine):
    which = make.draw.randrange(3)
    return (lambda **a: engine.take(which)[1].forward_backward(**a),
            step_arguments(make, CONFIGS[which]))  # fmt: skip


def training(make, engine):
    which = make.draw.randrange(3)
    arguments = step_arguments(make, CONFIGS[which])
    arguments |= moments(make, arguments["grads"].size, CONFIGS[which]["num_hidden_layers"])

    def train(**a):
        model = engine.take(which)[1]
        return model.train_step(**a), model.params.copy()

    return train, arguments


def applying(make, engine):
    which = make.draw.randrange(4)
    total = engine.models[which][1].size
    arguments = moments(make, total, CONFIGS[which]["num_hidden_layers"])
    options = {name: value for name, value in make.options().items()
               if name in ("freeze", "step", "n_threads")}  # fmt: skip

    def apply(**a):
        model = engine.take(which)[1]
        return model.apply(**a), model.params.copy()

    return apply, arguments | options | {"grads": make.floats(total)}


def frozen(make, engine):
    which = make.draw.randrange(3)
    config = CONFIGS[which]
    batch, n = make.batch(config)
    layer = make.draw.randint(1, config["num_hidden_layers"])
    count = batch["ids"].size if layer < config["num_hidden_layers"] else n
    options = {name: value for name, value in make.options().items()
               if name in ("precision", "n_threads", "micro_batch_tokens")}  # fmt: skip
    rows = np.zeros(count * config["hidden_size"], np.float32)
    return (lambda **a: engine.take(which)[1].frozen_rows(**a),
            batch | options | {"layer": layer, "rows": rows})  # fmt: skip


def masked(make, engine):
    config = CONFIGS[3]
    batch, n = make.batch(config)
    T = batch["ids"].size
    tokens = np.array(sorted(make.draw.sample(range(T), make.draw.randint(0, min(T, 6)))), np.int64)
    total = engine.models[3][1].size
    arguments = batch | make.options() | {
        "keys": make.keys(n), "tokens": tokens, "grads": np.zeros(total, np.float32),
        "labels": make.ints(tokens.size, config["vocab_size"], np.int32),
    }  # fmt: skip
    if make.draw.random() < 0.5:
        return lambda **a: engine.take(3)[1].mlm_loss(**a), arguments

    def train(**a):
        model = engine.take(3)[1]
        return model.mlm_train_step(**a), model.params.copy()

    return train, arguments | moments(make, total, config["num_hidden_layers"])


def session(make, engine):
    which = make.draw.randrange(3)
    config = CONFIGS[which]
    batch, n = make.batch(config)
    options = make.options()
    options.pop("micro_batch_tokens", None)
    arguments = batch | {"keys": make.keys(n)} | options | {
        "d_logits": make.floats(n, config["num_labels"]),
        "grads": np.zeros(engine.models[which][1].size, np.float32),
    }  # fmt: skip

    def run(n_threads=1, d_logits=None, grads=None, **a):
        one = _core.Session(engine.take(which)[1], n_threads)
        logits = one.forward(**a)
        one.backward(d_logits, grads)
        return logits

    return run, arguments


def configuration(make, engine):
    config = dict(make.draw.choice(CONFIGS))

    def run(freeze=0, **config):
        table = _core.parameter_table(config)
        params = np.zeros(table[0] if table[0] < 10**6 else 1, np.float32)
        if params.size == table[0]:
            _core.Model(config, params).pass_size(np.array([0, 1]))
        return _core.trained_from(config, freeze), table[0]

    return run, config | {"freeze": make.draw.randint(0, 1)}


def tokenizer(make, engine):
    vocabulary = tuple(VOCABULARY)
    added = (
        ("[SEP]", 2, False, False, True, False, False), ("ab", 5, True, True, False, True, True),
    )  # fmt: skip
    arguments = {
        "vocab": vocabulary, "unk_id": 0, "cls_id": 1, "sep_id": 2, "clean_text": True,
        "lowercase": False, "max_word_chars": 20, "prefix": "##", "added": added,
    }  # fmt: skip

    def run(**a):
        made = _core.Tokenizer(**a)
        texts = [text for text in TEXTS if text.isprintable()]
        return made.encode_batch(texts), tuple(map(made.normalize, texts))

    return run, arguments


def encoding(make, engine):
    texts = [text for text in make.draw.choices(TEXTS, k=4) if text != "\udc80"]
    arguments = {"texts": tuple(texts)}
    options = {"max_length": make.draw.randint(3, 9), "n_threads": 2, "add_special": True,
               "plain_specials": True, "seconds": tuple(texts[::-1]), "which": 0,
               "form": make.draw.randint(0, 2), "spans": True, "stride": 0}  # fmt: skip
    arguments |= {name: options[name] for name in options if make.draw.random() < 0.5}
    return TOKENIZER.encode_batch, arguments


PRECISIONS_TO_SCORE = _core.precisions()
PRECISIONS = [name for name in PRECISIONS_TO_SCORE if name != "int8"]
TOKENIZER = _core.Tokenizer(VOCABULARY, unk_id=0, cls_id=1, sep_id=2)
CALLS = [scoring, attributing, sizes, gradients, training, applying, frozen, masked, session,
         configuration, tokenizer, encoding]  # fmt: skip


def run_call(engine, seed, number):
    """Run one call; return its kind, its outcome, and what is wrong with it, or None."""
    make = Maker(random.Random(f"{seed} {number}"))
    kind = make.draw.choice(CALLS)
    function, arguments = kind(make, engine)
    for _ in range(make.draw.choice([0, 1, 1, 1, 2, 3])):
        name = make.draw.choice(list(arguments))
        if make.draw.random() < 0.03:
            make.harmless = False
            del arguments[name]
            break
        arguments[name] = make.damage(arguments[name])
    copies = {name: plain(value) for name, value in arguments.items()}
    try:
        result = function(**arguments)
    except REFUSALS as error:
        wrong = "an exception for good arguments" if make.harmless else None
        if not str(error):
            wrong = "a mute exception"
        return kind.__name__, type(error).__name__, wrong and f"{wrong}: {error!r}"
    except Exception:
        return kind.__name__, "other exception", traceback.format_exc()
    expected = function(**copies)
    if not same(result, expected):
        return kind.__name__, "result", f"{result!r}, not {expected!r}"
    changed = [name for name in arguments if isinstance(arguments[name], np.ndarray)
               and not same(plain(arguments[name]), copies[name])]  # fmt: skip
    return kind.__name__, "result", f"{changed} differ afterwards" if changed else None


def run(seed, numbers, report=print, begin=lambda number: None):
    """Run calls; return how many had which outcome, and the number of findings."""
    engine, outcomes, findings = Engine(), Counter(), 0
    for number in numbers:
        begin(number)
        kind, outcome, wrong = run_call(engine, seed, number)
        outcomes[kind, outcome] += 1
        if wrong is not None:
            findings += 1
            report(f"call {number} ({kind}): {wrong}")
    return outcomes, findings


def child(seed, first, end, place):
    """Run calls; the number of the current one is kept in a file, for the case of a crash."""
    with open(place, "r+b") as file, mmap.mmap(file.fileno(), 8) as current:
        def begin(number):
            current[:] = number.to_bytes(8, "little")
            if number % 20 == 0:
                faulthandler.dump_traceback_later(SECONDS, exit=True)

        outcomes, findings = run(seed, range(first, end), begin=begin)
        for (kind, outcome), count in sorted(outcomes.items()):
            print(f"{kind:14} {outcome:20} {count}")
        return FOUND if findings else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--place", help=argparse.SUPPRESS)
    options = parser.parse_args()
    end = options.first + options.calls
    if options.place is not None:
        sys.exit(child(options.seed, options.first, end, options.place))
    failed, first, began = 0, options.first, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "current")
        while first < end:
            place.write_bytes(bytes(8))
            status = subprocess.run([
                sys.executable, __file__, "--seed", str(options.seed), "--first", str(first),
                "--calls", str(end - first), "--place", str(place),
            ], check=False).returncode  # fmt: skip
            failed |= status
            if status in (0, FOUND, -signal.SIGINT):
                break
            first = int.from_bytes(place.read_bytes(), "little") + 1
            print(f"call {first - 1}: the process ended with {status}", flush=True)
    verdict = "FAILED" if failed else "ok"
    print(f"{verdict}: {options.calls} calls in {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
