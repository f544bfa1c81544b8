"""Where the time of a training step and of scoring goes, stage by stage, beside the limits.

    python benchmarks/stages.py --data FILE [--model random-base]

One thread, real reviews: batches of 16 spread over the lengths for training (MiniLM up to 512
tokens, BERT-base with random weights up to 256), texts sorted by length for scoring. The engine's
own clock counts every stage in place, with packing of operands and epilogues. Beside its time stand
the operations it needs and what part of the peak of one core (``peak.c``) they are, or the bytes
it must read and write and what part of copying speed that is: from memory for the optimizer and
packing, and for the row-wise stages from a cache of 4 MB, where their arrays lie.

A virtual core shares its execution units with whoever has its sibling, so the peak itself changes:
it is measured between all steps, on the same core, and what counts is the mean of both.

Writes ``results/stages_MODEL.json`` and prints tables in Markdown.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import common
import numpy as np
import peaks

import bertsent
from bertsent import BertForSequenceClassification, WordPieceTokenizer, _core
from bertsent.hub import resolve
from bertsent.training import Examples

HERE = Path(__file__).resolve().parent
BASE = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072, "max_position_embeddings": 512,
        "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "model_type": "bert"}
BATCHES = 6


def operations(config, lengths, training, precision):
    """Floating-point operations of each stage for sequences of these lengths."""
    H, F, layers = (config[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    lengths = np.asarray(lengths, float)
    T, B, squares = lengths.sum(), len(lengths), (lengths**2).sum()
    # The last layer goes on with the rows of [CLS] alone.
    wide = layers - 1
    rows = wide * T + B
    qkv = wide * 6 * H * H * T + 4 * H * H * T + 2 * H * H * B
    pairs = wide * squares + T
    attention = 4 * H * pairs
    if not training and precision != "int8":
        # There it has neither keys nor values: each head reads the layer's input.
        qkv = wide * 6 * H * H * T + 2 * H * H * B
        attention = 4 * H * (wide * squares + config["num_attention_heads"] * T + H * B)
    out = {
        "qkv": qkv, "attention": attention, "attention_output": 2 * H * H * rows,
        "up": 2 * H * F * rows, "down": 2 * H * F * rows,
    }
    if training:
        out |= {
            "down_backward": 2 * H * F * rows, "up_backward": 6 * H * F * rows,
            "attention_output_backward": 4 * H * H * rows, "attention_backward": 10 * H * pairs,
            "qkv_backward": 2 * qkv,
        }
    return out


def in_parts(precision):
    """Whether linear layers, but not attention, multiply fp32 in three parts of bfloat16."""
    return precision == "float32" and _core.operand_layout(_core.isa())["fp32_parts"] > 1


def traffic(config, lengths, training, parameters, encoder, precision):
    """Bytes that the other stages read and write, each array once."""
    H, layers = config["hidden_size"], config["num_hidden_layers"]
    T, B = float(np.sum(lengths)), len(lengths)
    rows = (layers - 1) * T + B
    # Read: product and residual. Written: the sum, if it is kept, and the output.
    norm = 4 * H * rows * (4 if training else 3)
    out = {"embeddings": 4 * H * T * (3 if training else 2), "norm1": norm, "norm2": norm}
    if training:
        out |= {
            "norm1_backward": 16 * H * rows, "norm2_backward": 16 * H * rows,
            "embeddings_backward": 16 * H * T,
            # The norm reads the gradients; AdamW reads four arrays and writes three.
            "optimizer": 32 * parameters,
        }
        # Weights, and what is packed of them for forward and backward.
        packed = 2 if precision == "bfloat16" else 6 if in_parts(precision) else 4
        out["pack"] = (4 + 2 * packed) * encoder
    return out


def table(title, seconds, flops, bytes_, calls, peak, peaks_, precision):
    """Rows of one table, in the order of the step; `calls` steps were timed."""
    total = sum(seconds.values())
    limits = {}
    if peak and in_parts(precision):
        limits = dict.fromkeys(("attention", "attention_backward"), peaks_["avx512_fp32"] * 1e9)
    rows = []
    for stage, spent in seconds.items():
        if spent < 0.001 * total:
            continue
        row = {"stage": stage, "ms": 1e3 * spent / calls, "share": spent / total}
        if stage in flops:
            row |= {"gflops": flops[stage] / spent / 1e9}
            if peak:
                row["part"] = flops[stage] / spent / limits.get(stage, peak)
        elif stage in bytes_:
            copy = "copy_256_mb" if stage in ("optimizer", "pack") else "copy_4_mb"
            rate = bytes_[stage] / spent
            row |= {"gbytes": rate / 1e9, "part": rate / 1e9 / peaks_[copy]}
        rows.append(row)
    products = [s for s in flops if s in seconds and "attention" not in s.split("_")[0]
                or s.startswith("attention_output")]
    spent = sum(seconds[s] for s in products)
    done = sum(flops[s] for s in products)
    return {"title": title, "rows": rows, "ms": 1e3 * total / calls,
            "peak_gflops": peak / 1e9 if peak else None,
            "products": {"gflops": done / spent / 1e9, "share": spent / total,
                         "part": done / spent / peak if peak else None}}


def show(found):
    print(f"\n{found['title']}: {found['ms']:.0f} ms\n")
    print("| stage | ms | share | rate | part of the limit |\n| --- | ---: | ---: | ---: | ---: |")
    for row in found["rows"]:
        rate = f"{row['gflops']:.0f} GFLOP/s" if "gflops" in row else \
            f"{row['gbytes']:.1f} GB/s" if "gbytes" in row else ""
        part = f"{row['part']:.0%}" if "part" in row else ""
        print(f"| {row['stage'].replace('_', ' ')} | {row['ms']:.1f} | {row['share']:.1%} | "
              f"{rate} | {part} |")
    p = found["products"]
    part = (f", {p['part']:.0%} of the {found['peak_gflops']:.0f} of the core between the steps"
            if p["part"] else "")
    print(f"\nThe linear layers, packing and epilogues included: {p['gflops']:.0f} GFLOP/s{part}, "
          f"{p['share']:.0%} of the time.")


def timed(core, steps, times, sample):
    """Go through the steps, measuring the core's peak between them.

    Returns
    -------
    seconds : dict
        Of each stage, over all times.
    took : float
    peak : float or None
        Operations a second, from the samples' total time.
    """
    for step in steps:
        step()
    core.time_stages(True)
    took, samples = 0.0, []
    for _ in range(times):
        for step in steps:
            if sample is not None:
                samples.append(sample())
            began = time.perf_counter()
            step()
            took += time.perf_counter() - began
    found = core.time_stages(False)
    return found, took, statistics.harmonic_mean(samples) if samples else None


def training(model, examples, batches, precision, peaks_, times):
    grads, exp_avg, exp_avg_sq = (np.zeros(model._flat.size, np.float32) for _ in range(3))
    lengths = np.diff(examples.offsets)

    def train(step):
        rows = batches[step]
        ids, offsets, keys, _ = examples.gather(rows)
        model._core.train_step(
            ids, None, None, offsets, keys, examples.labels[rows], None,
            grads, exp_avg, exp_avg_sq, seed=1, step=step, lr=1e-5, weight_decay=0.01,
            max_grad_norm=1.0, n_threads=1, precision=precision,
        )

    steps = [partial(train, step) for step in range(len(batches))]
    with sampler_of(peaks_, precision) as sample:
        seconds, took, peak = timed(model._core, steps, times, sample)
    flops, bytes_ = {}, {}
    encoder = sum(v.size for k, v in model.parameters.items() if ".layer." in k and v.ndim == 2)
    for rows in batches:
        for to, more in ((flops, operations(model.config, lengths[rows], True, precision)),
                         (bytes_, traffic(model.config, lengths[rows], True, model._flat.size,
                                          encoder, precision))):
            for key, value in more.items():
                to[key] = to.get(key, 0) + times * value
    tokens = int(sum(lengths[rows].sum() for rows in batches))
    title = (f"One training step in {precision}, 16 texts of {tokens / len(batches) / 16:.0f} "
             f"tokens, {times * tokens / took:,.0f} tokens/s")
    return table(title, seconds, flops, bytes_, times * len(batches), peak, peaks_.rates,
                 precision)


def scoring(model, examples, rows, precision, peaks_, times):
    def score(some):
        ids, offsets, _, _ = examples.gather(some)
        model.score_packed(ids, offsets, 1, precision)

    steps = [partial(score, some) for some in np.array_split(rows, 10)]
    with sampler_of(peaks_, precision) as sample:
        seconds, took, peak = timed(model._core, steps, times, sample)
    lengths = np.diff(examples.offsets)[rows]
    title = (f"Scoring {len(rows)} texts in {precision}, {lengths.mean():.0f} tokens each, "
             f"{times * lengths.sum() / took:,.0f} tokens/s")
    flops, bytes_ = ({key: times * value for key, value in found.items()} for found in
                     (operations(model.config, lengths, False, precision),
                      traffic(model.config, lengths, False, 0, 0, precision)))
    return table(title, seconds, flops, bytes_, times, peak, peaks_.rates, precision)


def sampler_of(peaks_, precision):
    if peaks_.limit(_core.isa(), precision) is None:
        return contextlib.nullcontext()
    return peaks_.sampler(_core.isa(), precision)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--model", choices=("minilm", "random-base"), default="minilm")
    p.add_argument("--times", type=int, default=3, help="that all is gone through")
    p.add_argument("--output", type=Path)
    options = p.parse_args()
    base = options.model == "random-base"
    load = os.getloadavg()
    if load[0] > 0.5:
        print(f"other work runs on this machine (load {load[0]:.1f}): not a run to publish",
              file=sys.stderr)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    peaks_ = peaks.Peaks()
    model = (BertForSequenceClassification.from_config(BASE, random_state=0) if base
             else BertForSequenceClassification.from_pretrained("minilm", num_labels=2))
    texts, _ = common.load_rows(options.data, (0, 800), (0, 0))
    tokenizer = WordPieceTokenizer.from_pretrained(resolve("minilm"))
    tokens = tokenizer.encode_batch(texts["review"], max_length=256 if base else 512)
    examples = Examples(tokens.ids, tokens.offsets, texts["label"].to_numpy(np.int32))
    lengths = np.diff(tokens.offsets)
    count = 2 if base else BATCHES
    batches = common.spread_batches(
        common.grouped_batches(lengths, 16, 1, 0), lengths, count)[common.WARM_UP_STEPS:]
    some = np.arange(0, 800, 40 if base else 4)
    found = []
    for precision in ("float32", "bfloat16", "int8"):
        if precision != "float32" and peaks_.limit(_core.isa(), precision) is None:
            continue
        if precision != "int8":
            found.append(training(model, examples, batches, precision, peaks_, options.times))
            show(found[-1])
        found.append(scoring(model, examples, some, precision, peaks_, options.times))
        show(found[-1])
    output = options.output or HERE / "results" / f"stages_{options.model}.json"
    common.write_json(output, {
        "machine": common.machine() | {"load_average_before": load}, "peaks": peaks_.rates,
        "versions": {"bertsent": bertsent.__version__, "isa": _core.isa(),
                     "blas": _core.blas_info()},
        "arguments": {"model": options.model, "times": options.times}, "tables": found,
    })
    print(json.dumps({"written": str(output)}), file=sys.stderr)


if __name__ == "__main__":
    main()
