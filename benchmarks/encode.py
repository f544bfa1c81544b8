"""Encode the same texts with bertsent and with sentence-transformers, in turns.

    python benchmarks/encode.py --data FILE --model DIR --peer-python VENV/bin/python

The environment of the peer needs torch and sentence-transformers; with --onnx, the name of a
quantised file in the model's folder onnx, such as model_quint8_avx2.onnx, also
sentence-transformers[onnx]. All sides read the beginning of each review, up to --max-length tokens,
take the mean over its tokens and normalize it. In a round, each side is a new process, which
encodes a few texts before its time counts. A side that fails, such as bfloat16 on a processor that
lacks it, is listed with the reason.

Vectors are compared with those of sentence-transformers in float32: the lowest and the mean cosine.
Writes ``results/encode_NAME.json``, where NAME is that of the model.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import common
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
REFERENCE = "sentence-transformers float32"
SIDES = (
    "bertsent float32", "bertsent bfloat16", "bertsent int8", REFERENCE,
    "sentence-transformers bfloat16", "sentence-transformers onnx int8",
)
COMPARED = 200


def run(side, job, python):
    """Return what a side prints, or why it failed."""
    foreign = not side.startswith("bertsent")
    done = subprocess.run(
        [python if foreign else sys.executable, str(HERE / "peers" / "encode_side.py")],
        input=json.dumps(job | {"side": side}), capture_output=True, text=True,
        env=common.quiet_environment(foreign=foreign) | {"HF_HUB_OFFLINE": "1"},
    )
    if done.returncode:
        return {"unavailable": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--data", required=True, help="CSV with the column review")
    p.add_argument("--model", required=True, type=Path, help="directory of a sentence encoder")
    p.add_argument("--peer-python", required=True, help="interpreter with sentence-transformers")
    p.add_argument("--onnx", help="quantised file of the model for ONNX Runtime")
    p.add_argument("--rows", type=int, nargs=2, default=(0, 1000))
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--batch", type=int, default=32, help="of sentence-transformers")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES)
    a = p.parse_args()
    begin, end = a.rows
    texts = pd.read_csv(a.data, keep_default_na=False, nrows=end)["review"][begin:end].tolist()
    job = {
        "model": str(a.model), "texts": texts, "max_length": a.max_length, "batch": a.batch,
        "threads": a.threads, "onnx": a.onnx, "compared": COMPARED,
    }
    sides = [side for side in a.sides if a.onnx or "onnx" not in side]
    seconds, vectors, unavailable = {side: [] for side in sides}, {}, {}
    for number in range(a.rounds):
        for side in sides[number % len(sides):] + sides[: number % len(sides)]:
            if side in unavailable:
                continue
            found = run(side, job, a.peer_python)
            if "unavailable" in found:
                unavailable[side] = found["unavailable"]
                continue
            seconds[side].append(found["seconds"])
            vectors[side] = np.array(found["vectors"])
            print(f"{side}: {len(texts) / found['seconds']:.1f} texts/s", flush=True)
    record = {
        "machine": common.machine(), "rows": [begin, end], "max_length": a.max_length,
        "batch": a.batch, "threads": a.threads, "sides": {}, "unavailable": unavailable,
    }
    for side, times in seconds.items():
        if not times:
            continue
        record["sides"][side] = {
            "texts_per_second": common.spread([len(texts) / each for each in times])
        }
        if REFERENCE in vectors:
            cosines = (vectors[side] * vectors[REFERENCE]).sum(axis=1)
            record["sides"][side] |= {
                "lowest_cosine": cosines.min(), "mean_cosine": cosines.mean(),
                "largest_difference": np.abs(vectors[side] - vectors[REFERENCE]).max(),
            }
    print(json.dumps(record["sides"], indent=1))
    common.write_json(HERE / "results" / f"encode_{a.model.name}.json", record)


if __name__ == "__main__":
    main()
