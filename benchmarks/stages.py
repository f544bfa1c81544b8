"""The time of each stage of a training step and of scoring, compared with limits.

    python benchmarks/stages.py --data FILE [--model random-base]

One thread, real reviews: for training, batches of 16 of all lengths (MiniLM up to 512 tokens,
BERT-base with random weights up to 256); for scoring, texts sorted by length. The engine's own
clock measures every stage, including packing of operands and epilogues. Products are compared with
the peak of one core (``peak.c``). Other stages are compared with the speed of copying: from memory
for the optimizer and packing, and from a cache of 4 MB for the row-wise stages, whose arrays fit
into it.

A virtual core shares its execution units with another one, so the peak itself varies. It is
measured between all steps, on the same core, and the means of both are compared.

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
import models
import numpy as np
import peaks

import bertsent
from bertsent import BertForSequenceClassification, WordPieceTokenizer, _core
from bertsent.hub.resolve import resolve_directory
from bertsent.objectives import SingleLabelClassification
from bertsent.training.examples import Examples

HERE = Path(__file__).resolve().parent
BATCHES = 6


def operations(config, lengths, training, precision):
    """Return the floating-point operations of each stage for sequences of these lengths."""
    H, F, layers = (config[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    lengths = np.asarray(lengths, float)
    T, B, squares = lengths.sum(), len(lengths), (lengths**2).sum()
    # In the last layer, only the rows of [CLS] are computed.
    wide = layers - 1
    rows = wide * T + B
    qkv = wide * 6 * H * H * T + 4 * H * H * T + 2 * H * H * B
    pairs = wide * squares + T
    attention = 4 * H * pairs
    if not training and precision != "int8":
        # In scoring, it has neither keys nor values: each head reads the layer's input.
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
    """Return whether linear layers (not attention) split fp32 into three bfloat16 parts."""
    return precision == "float32" and _core.operand_layout(_core.isa())["fp32_parts"] > 1


def traffic(config, lengths, training, parameters, encoder, precision):
    """Return the bytes that the other stages read and write, each array once."""
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
        # Weights, and their packed copies for forward and backward.
        packed = 2 if precision == "bfloat16" else 6 if in_parts(precision) else 4
        out["pack"] = (4 + 2 * packed) * encoder
    return out


def table(title, seconds, flops, bytes_, calls, peak, peaks_, precision):
    """Return the rows of one table, in the order of a step; `calls` steps were timed."""
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
    print("| stage | ms | share | rate | share of the limit |\n| --- | ---: | ---: | ---: | ---: |")
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
    """Run the steps, and measure the peak of the core between them.

    Returns
    -------
    seconds : dict
        Total seconds of each stage.
    took : float
    peak : float or None
        Operations per second, from the total time of the samples.
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
        ids, offsets, _, keys, _ = examples.gather(rows)
        model._core.train_step(
            ids, None, None, offsets, keys, examples.targets[rows], None,
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
        ids, offsets, *_ = examples.gather(some)
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
    p.add_argument("--times", type=int, default=3, help="number of repetitions")
    p.add_argument("--output", type=Path)
    options = p.parse_args()
    base = options.model == "random-base"
    load = os.getloadavg()
    if load[0] > 0.5:
        print(f"other programs are running (load {load[0]:.1f}): do not publish this run",
              file=sys.stderr)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    peaks_ = peaks.Peaks()
    model = (BertForSequenceClassification.from_config(models.RANDOM["random-base"], random_state=0)
             if base else BertForSequenceClassification.from_pretrained("minilm", num_labels=2))
    texts, _ = common.load_rows(options.data, (0, 800), (0, 0))
    tokenizer = WordPieceTokenizer.from_pretrained(resolve_directory("minilm"))
    tokens = tokenizer.encode_batch(texts["review"], max_length=256 if base else 512)
    objective, labels = SingleLabelClassification.learn(texts["label"], len(texts))
    examples = Examples(tokens.ids, tokens.offsets, labels, objective)
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
