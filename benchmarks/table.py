"""Print the tables of the performance pages from result files, in Markdown.

    python benchmarks/table.py [RESULT.json ...]

By default, prints all results of `scoring.py` and `finetune.py speed` in ``benchmarks/results/``.
Ratios are medians of the ratios within a round, which are less affected by other work on the
machine.
"""

import argparse
import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
PATTERNS = ("scoring_*.json", "finetune_speed*.json")
PEERS = {"pytorch": "PyTorch", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO",
         "ctranslate2": "CTranslate2", "bertsent": "**bertsent**"}
SHORT = {"float32": "fp32", "bfloat16": "bf16", "int8": "int8"}
LIBRARIES = ("torch", "transformers", "onnxruntime", "openvino", "ctranslate2", "bertsent")
PADDED = "pytorch float32 padded"


def line(*cells):
    return "| " + " | ".join(cells) + " |"


def head(result, runs=()):
    machine = result.get("machine") or runs[0]["machine"]
    flags = ", ".join(f for f in machine.get("vector_flags", ())
                      if f in ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile"))
    return f"{machine['processor']}{f' ({flags})' if flags else ''}, {machine['cores']} cores"


def rate(values):
    return f"{values['median']:,.0f} ({values['lowest']:,.0f}-{values['highest']:,.0f})"


def ratio(values):
    return f"{values['median']:.2f} ({values['lowest']:.2f}-{values['highest']:.2f})"


def versions_of(result):
    found = {}
    for side in result["sides"].values():
        for key, value in side.get("versions", {}).items():
            if key in LIBRARIES:
                found[key] = str(value).split("-")[0]
    return ", ".join(f"{k} {v}" for k, v in found.items())


def ratio_lines(ratios):
    out = []
    for ours, found in ratios.items():
        parts = []
        if "best_peer" in found:
            parts.append(f"{ratio(found['best_peer'])} times the best peer, "
                         f"{found['best_peer_is']}")
        if "to_usual_script" in found:
            parts.append(f"{ratio(found['to_usual_script'])} times the usual script")
        out.append(f"{ours}: {'; '.join(parts)}.")
    return out


def by_peer(result, cell, precisions):
    """Return the rows of a table with a column for each precision."""
    sides = result["sides"]
    rows = []
    if PADDED in sides:
        rows.append(line("PyTorch, the usual script", cell(sides[PADDED]),
                         *[""] * (len(precisions) - 1)))
    for peer, title in PEERS.items():
        found = [sides.get(f"{peer} {p}") for p in precisions]
        if any(found):
            rows.append(line(title, *[cell(side) if side else "" for side in found]))
    return rows


def scoring(result):
    given = result["arguments"]
    precisions = [p for p in SHORT
                  if any(s["precision"] == p for s in result["sides"].values())]

    def table(title, cell):
        return [line(title, *(SHORT[p] for p in precisions)),
                line("---", *["---:"] * len(precisions)), *by_peer(result, cell, precisions), ""]

    def measured(format_one):
        return lambda side: format_one(side) if "rounds" in side else "none"

    def difference(side):
        found = side.get("accuracy")
        if not found:
            return ""
        return f"{found['largest_difference']:.1g}, {100 * found['same_prediction']:.1f} %"

    def late(side):
        found = side["latency_ms"].values()
        return " / ".join(f"{v['median']:.1f} ({v['p90']:.1f})" for v in found)

    tokens = max(s.get("tokens", 0) for s in result["sides"].values())
    return [
        f"Scoring, {given['model_name']}: {head(result)}, {given['threads']} threads; {tokens:,} "
        f"tokens (mean length {result['mean_length']:.0f}, at most {given['max_length']}), "
        f"{given['rounds']} rounds; {versions_of(result)}", "",
        *table("tokens/s, median (range)", measured(lambda s: rate(s["tokens_per_second"]))),
        *table("peak memory, MB", measured(lambda s: f"{s['peak_rss_mb']:,.0f}")),
        *table("ms for one review of 64 / 256 / 512 tokens, median (90th percentile)",
               measured(late)),
        *table("largest difference of a logit to PyTorch fp32, same prediction",
               measured(difference)),
        *ratio_lines(result["ratios"]), "",
    ]


def finetune(result, name):
    runs = result["runs"]
    given = runs[0]["arguments"]
    rows = [line(side, rate(values),
                 f"{values['peak_rss_mb'] / 1e3:.2f} GB")
            for side, values in result["table"].items()]
    ratios = result.get("ratios", {})
    return [f"Fine-tuning, {name}: {head(result, runs)}, {given['threads']} threads, batches of "
            f"{given['batch_size']}, at most {given['max_length']} tokens", "",
            line("side", "tokens/s, median (range)", "peak memory"), line("---", "---:", "---:"),
            *rows, "", *ratio_lines(ratios), ""]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("results", nargs="*", type=Path)
    paths = p.parse_args().results
    for path in paths or sorted(f for pattern in PATTERNS for f in RESULTS.glob(pattern)):
        result = json.loads(path.read_text())
        lines = scoring(result) if "sides" in result else finetune(result, path.stem)
        print("\n".join(lines))


if __name__ == "__main__":
    main()
