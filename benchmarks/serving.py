"""Load `bertsent serve` and a server of FastAPI and ONNX Runtime with the same requests, in turns.

    python benchmarks/serving.py --data FILE --peer-python VENV/bin/python --output DIR

Needs wrk (https://github.com/wg/wrk; Debian's package wrk). The environment of the peer needs
fastapi, uvicorn, httptools, onnxruntime and transformers (`peers/serving_side.py`).

A classifier is trained on MiniLM, saved, and exported to ONNX, in float32 and in int8. All servers
read the first --max-length tokens of a text and compute up to --batch-tokens tokens at once. wrk
keeps --connections open, each of which sends the next request when it has an answer. A request has
one text: a review, or of "short" requests its first 200 characters. In a round, each server is
started, asked for a few seconds before it counts, loaded with each kind of request and number of
connections, and ended by SIGTERM.

Recorded are requests per second, latencies, all errors of wrk, the answers that `bertsent serve`
counted, its exit code, and how far probabilities of the servers differ. Writes
``serving.json`` into DIR.
"""

import argparse
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import common
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
SIDES = ("bertsent float32", "bertsent int8", "onnxruntime float32", "onnxruntime int8")
KINDS = ("short", "review")
COMPARED = 64
WARM_SECONDS = 2


def prepare(frame, folder, max_length):
    """Train, save and export a classifier."""
    from bertsent import BertClassifier

    some = frame.iloc[:400]
    clf = BertClassifier(
        "minilm", max_length=max_length, inference_long_text="head", epochs=1, random_state=0,
        freeze_layers="all", learning_rate=1e-2,
    ).fit(some["review"], some["sentiment"])
    clf.save_pretrained(folder / "model")
    clf.export_onnx(folder / "onnx-float32")
    clf.export_onnx(folder / "onnx-int8", int8=True)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Server:
    """A server in a process of its own, which has answered /health."""

    def __init__(self, side, folder, arguments):
        self.side, self.port = side, free_port()
        what, precision = side.split()
        settings = ["--port", str(self.port), "--threads", str(arguments.threads)]
        if what == "bertsent":
            command = [
                sys.executable, "-m", "bertsent", "serve", str(folder / "model"), *settings,
                "--inference-precision", precision, "--max-batch-tokens",
                str(arguments.batch_tokens),
            ]
        else:
            command = [
                arguments.peer_python, str(HERE / "peers" / "serving_side.py"),
                str(folder / f"onnx-{precision}"), *settings, "--batch-tokens",
                str(arguments.batch_tokens),
            ]
        env = common.quiet_environment(foreign=what != "bertsent")
        self.process = subprocess.Popen(command, env=env | {"HF_HUB_OFFLINE": "1"})
        while True:
            try:
                self.get("/health")
                return
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"{side} did not start") from None
                time.sleep(0.1)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return answer.read().decode()

    def probabilities(self, texts, label):
        """Return the probability of a label for each text."""
        found = []
        for begin in range(0, len(texts), 32):
            body = json.dumps({"inputs": [[text] for text in texts[begin : begin + 32]]})
            request = urllib.request.Request(
                self.address + "/predict", body.encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                for row in json.loads(answer.read()):
                    found.append(next(e["score"] for e in row if e["label"] == label))
        return np.array(found)

    def answered(self):
        """Return the number of answers with status 200 that bertsent counted; None for others."""
        if not self.side.startswith("bertsent"):
            return None
        line = r'bertsent_requests_total\{endpoint="/predict",status="200"\} (\S+)'
        found = re.search(line, self.get("/metrics"))
        return int(float(found[1])) if found else 0

    def load(self, bodies, connections, seconds):
        """Return what wrk reports."""
        done = subprocess.run(
            ["wrk", "--threads", "1", "--connections", str(connections), "--duration",
             f"{seconds}s", "--timeout", "30s", "--latency", "--script",
             str(HERE / "peers" / "serving_load.lua"), self.address, "--", str(bodies)],
            check=True, capture_output=True, text=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        return found | {"requests_per_second": found["requests"] / found["seconds"]}

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def measure(side, models, arguments, texts, label):
    """Start a server, load it in all ways, and end it."""
    server = Server(side, models, arguments)
    try:
        found = {"probabilities": server.probabilities(texts, label).tolist(), "loads": []}
        for kind in KINDS:
            bodies = arguments.output / f"{kind}.jsonl"
            for connections in arguments.connections:
                server.load(bodies, connections, WARM_SECONDS)
                before = server.answered()
                load = server.load(bodies, connections, arguments.seconds)
                after = server.answered()
                load |= {"kind": kind, "connections": connections,
                         "answered": None if after is None else after - before}
                found["loads"].append(load)
                print(f"{side}, {kind}, {connections} connections: "
                      f"{load['requests_per_second']:.0f}/s, p50 {load['p50_ms']:.1f} ms, "
                      f"p99 {load['p99_ms']:.1f} ms, errors {sum(load['errors'].values())}",
                      flush=True)
        found["exit_code"] = server.end()
        return found
    finally:
        server.process.kill()
        server.process.wait()


def summary(rounds, sides):
    """Return the median and the spread of each kind of load, and the errors of all rounds."""
    rows = []
    for side in sides:
        runs = [each[side]["loads"] for each in rounds]
        for loads in zip(*runs, strict=True):
            rows.append({
                "side": side, "kind": loads[0]["kind"], "connections": loads[0]["connections"],
                "errors": sum(sum(load["errors"].values()) for load in loads),
                **{name: common.spread([load[name] for load in loads])
                   for name in ("requests_per_second", "p50_ms", "p99_ms")},
            })
    return rows


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--data", required=True, help="CSV with the columns review and sentiment")
    p.add_argument("--peer-python", required=True, help="interpreter of the peer")
    p.add_argument("--output", required=True, type=Path, help="folder for models and the result")
    p.add_argument("--max-length", type=int, default=256)
    p.add_argument("--batch-tokens", type=int, default=4096)
    p.add_argument("--connections", type=int, nargs="+", default=(1, 8, 32))
    p.add_argument("--seconds", type=int, default=20)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES)
    a = p.parse_args()
    if shutil.which("wrk") is None:
        p.error("wrk is not installed; on Debian and Ubuntu: apt-get install wrk")
    frame = pd.read_csv(a.data, keep_default_na=False, nrows=2000)
    a.output.mkdir(parents=True, exist_ok=True)
    models = a.output / f"models-{a.max_length}"
    if not models.exists():
        unfinished = models.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was interrupted
        unfinished.mkdir()
        prepare(frame, unfinished, a.max_length)
        unfinished.rename(models)
    texts = frame["review"][1000:2000].tolist()
    for kind in KINDS:
        bodies = [json.dumps({"inputs": text[:200] if kind == "short" else text})
                  for text in texts]
        (a.output / f"{kind}.jsonl").write_text("\n".join(bodies) + "\n")
    label, rounds = sorted(frame["sentiment"].unique())[-1], []
    for number in range(a.rounds):
        turn = [*a.sides[number % len(a.sides):], *a.sides[: number % len(a.sides)]]
        rounds.append({
            side: measure(side, models, a, texts[:COMPARED], label) for side in turn
        })
    probabilities = {side: np.array(rounds[0][side].pop("probabilities")) for side in a.sides}
    for each in rounds[1:]:
        for side in a.sides:
            each[side].pop("probabilities")
    reference = probabilities[a.sides[0]]
    common.write_json(a.output / "serving.json", {
        "machine": common.machine(),
        "arguments": {k: v for k, v in vars(a).items()
                      if k not in ("data", "peer_python", "output")},
        "summary": summary(rounds, a.sides),
        "largest_difference_of_probabilities": {
            side: float(np.abs(found - reference).max()) for side, found in probabilities.items()
        },
        "rounds": rounds,
    })


if __name__ == "__main__":
    main()
