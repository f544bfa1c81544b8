"""The matrix products of a training step, compared with oneDNN's through PyTorch.

    python benchmarks/products.py

One thread, every linear layer of MiniLM-L6 and of BERT-base with one micro-batch of tokens:
forward product, gradient of the input and gradient of the weight. For bertsent, the time includes
conversion and packing as in a training step: of the left operand in bfloat16, and of both operands
of a weight's gradient (in fp32, of the right one only). Weights are already packed, since a step
packs them once. In bfloat16, PyTorch gets bfloat16 operands and returns bfloat16 results, while
bertsent takes and returns float32. The sides take turns, and the fastest of several runs counts.
Rates are compared with the peak of one core (``peak.c``).

Writes ``results/products.json`` and prints tables in Markdown.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import common
import numpy as np
import peaks
from peers import environment

from bertsent import _core
from bertsent.hub import aligned_zeros

HERE = Path(__file__).resolve().parent
MODELS = {"MiniLM-L6": (384, 1536), "BERT-base": (768, 3072)}
TOKENS = {"float32": 2048, "bfloat16": 1024}
KINDS = ("forward", "input gradient", "weight gradient")


def shapes(hidden, inner, tokens):
    """(layer, kind, m, n, k) of each product; d_x = d_y W, d_W = d_y^T x."""
    layers = {"query, key, value": (3 * hidden, hidden), "attention output": (hidden, hidden),
              "up": (inner, hidden), "down": (hidden, inner)}
    return [(name, kind, *sizes) for name, (n, k) in layers.items() for kind, sizes in
            zip(KINDS, ((tokens, n, k), (tokens, k, n), (n, k, tokens)), strict=True)]


def aligned(values):
    """Return a copy that starts at a multiple of 64 bytes, as all arrays of the engine do."""
    copy = aligned_zeros(values.nbytes // 4).view(values.dtype).reshape(values.shape)
    copy[...] = values
    return copy


def halves(size, rng):
    """Return memory for that many bfloat16 numbers."""
    words = rng.standard_normal(size, np.float32)
    return aligned(words.view(np.uint16)[1::2]).view(np.uint8).reshape(1, -1)


def ours(kind, m, n, k, precision, rng, isa, times):
    """Return the seconds of the fastest of `times` runs."""
    across = kind == "weight gradient"
    c = aligned(np.zeros((m, n), np.float32))
    a = aligned(rng.standard_normal((k, m) if across else (m, k), np.float32))
    b = aligned(rng.standard_normal((n, k) if kind == "forward" else (k, n), np.float32))
    beta = 1.0 if across else 0.0
    if precision == "float32" and across:
        return _core.kernel_call("gemm", isa, c, a, b, True, False, 1.0, beta, 1, times)
    if precision == "float32":
        layout = _core.operand_layout(isa)
        columns, parts = -(-n // layout["columns"]) * layout["columns"], layout["fp32_parts"]
        panels = (aligned(rng.standard_normal((1, k * columns), np.float32)).view(np.uint8)
                  if parts == 1 else halves(parts * -(-k // 32) * 32 * columns, rng))
        return _core.kernel_call("gemm_fp32", isa, c, a, panels, beta, 1, False, times)
    panels = None if across else halves(-(-k // 32) * 32 * -(-n // 32) * 32, rng)
    return _core.kernel_call("gemm_bf16", isa, c, a, b, across, kind == "forward", beta, 1,
                             panels, False, times)


class Peer:
    def __init__(self, python):
        self.process = subprocess.Popen(
            [python, str(HERE / "peers" / "products_side.py")], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=common.quiet_environment(foreign=True))

    def ask(self, **what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def measure(model, precision, peer, isa, options):
    rng = np.random.default_rng(0)
    rows = []
    for layer, kind, m, n, k in shapes(*MODELS[model], TOKENS[precision]):
        best = {"bertsent": np.inf, "oneDNN": np.inf}
        for _ in range(options.rounds):
            best["bertsent"] = min(best["bertsent"],
                                   ours(kind, m, n, k, precision, rng, isa, options.times))
            best["oneDNN"] = min(best["oneDNN"], peer.ask(
                kind=kind, m=m, n=n, k=k, precision=precision, times=options.times)["seconds"])
        rows.append({"layer": layer, "kind": kind, "m": m, "n": n, "k": k,
                     "gflops": {side: 2e-9 * m * n * k / s for side, s in best.items()}})
    return rows


def weighted(rows, side):
    """Return the rate over all products: all operations divided by all time."""
    work = [r["m"] * r["n"] * r["k"] for r in rows]
    spent = [w / r["gflops"][side] for w, r in zip(work, rows, strict=True)]
    return sum(work) / sum(spent)


def show(model, precision, table, rows, peak):
    print(f"\n{model}, {precision}, kernels {table}, {TOKENS[precision]} tokens"
          + (f", peak of the core {peak / 1e9:,.0f} GFLOP/s" if peak else "") + "\n")
    print("| layer | product | m, n, k | bertsent GFLOP/s | share of the peak | oneDNN GFLOP/s |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for r in rows:
        print(f"| {r['layer']} | {r['kind']} | {r['m']}, {r['n']}, {r['k']} | "
              f"{r['gflops']['bertsent']:.0f} | "
              f"{r['gflops']['bertsent'] * 1e9 / peak if peak else 0:.0%} | "
              f"{r['gflops']['oneDNN']:.0f} |")
    both = [weighted(rows, side) for side in ("bertsent", "oneDNN")]
    print(f"| all, weighted by operations | | | {both[0]:.0f} | "
          f"{both[0] * 1e9 / peak if peak else 0:.0%} | {both[1]:.0f} |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--times", type=int, default=7, help="runs of each product in a round")
    p.add_argument("--output", type=Path, default=HERE / "results" / "products.json")
    environment.add_arguments(p)
    options = p.parse_args()
    load = os.getloadavg()
    if load[0] > 0.5:
        print(f"other programs are running (load {load[0]:.1f}): do not publish this run",
              file=sys.stderr)
    peaks_ = peaks.Peaks()
    peer = Peer(environment.peer_python(options))
    tables = []
    for precision in ("float32", "bfloat16"):
        able = [t for t in _core.isa_list() if peaks_.limit(t, precision)]
        if precision == "float32":  # the best table, and the one below if it splits fp32
            in_parts = _core.operand_layout(able[-1])["fp32_parts"] > 1
            able = able[-1 - in_parts :]
        for isa in able:
            for model in MODELS:
                rows = measure(model, precision, peer, isa, options)
                peak = peaks_.limit(isa, precision)
                show(model, precision, isa, rows, peak)
                tables.append({"model": model, "precision": precision, "kernels": isa,
                               "peak_gflops": peak / 1e9, "rows": rows,
                               "all": {s: weighted(rows, s) for s in ("bertsent", "oneDNN")}})
    common.write_json(options.output, {
        "machine": common.machine() | {"load_average_before": load}, "peaks": peaks_.rates,
        "versions": peer.ask() | {"blas": _core.blas_info()}, "tables": tables,
    })


if __name__ == "__main__":
    main()
