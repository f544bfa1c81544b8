"""Serve an exported classifier with FastAPI and ONNX Runtime, as `bertsent serve` does its model.

    python serving_side.py DIR --port 8081 --threads 2 --batch-tokens 4096

Needs fastapi, uvicorn, httptools, onnxruntime and transformers, and no bertsent. Requests of
/predict are tokenized as they come, with the fast tokenizer of transformers. One thread computes
what waits, without waiting for more: texts are taken in the order in which they came, up to so many
tokens with padding, and the session runs on --threads threads. The GIL is free meanwhile.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoTokenizer


class Request(BaseModel):
    """One text, or a list of lists of one text."""

    inputs: str | list[list[str]]


class Model:
    """A session, and the thread that runs it."""

    def __init__(self, directory, threads, batch_tokens):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            Path(directory) / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        about = self.session.get_modelmeta().custom_metadata_map
        self.labels, self.length = json.loads(about["labels"]), int(about["max_length"])
        self.names = [each.name for each in self.session.get_inputs()]
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.batch_tokens = batch_tokens
        self.waiting, self.changed = collections.deque(), threading.Condition()

    def start(self):
        self.loop = asyncio.get_running_loop()
        threading.Thread(target=self.run, daemon=True).start()

    async def scores(self, texts):
        encoded = self.tokenizer(texts, truncation=True, max_length=self.length)
        futures = []
        with self.changed:
            for number in range(len(texts)):
                futures.append(self.loop.create_future())
                row = {name: encoded[name][number] for name in self.names}
                self.waiting.append((row, futures[-1]))
            self.changed.notify()
        return await asyncio.gather(*futures)

    def run(self):
        while True:
            with self.changed:
                while not self.waiting:
                    self.changed.wait()
                batch, longest = [], 0
                while self.waiting:
                    longest = max(longest, len(self.waiting[0][0]["input_ids"]))
                    if batch and longest * (len(batch) + 1) > self.batch_tokens:
                        break
                    batch.append(self.waiting.popleft())
            width = max(len(row["input_ids"]) for row, _ in batch)
            feed = {name: np.zeros((len(batch), width), np.int64) for name in self.names}
            for number, (row, _) in enumerate(batch):
                for name in self.names:
                    feed[name][number, : len(row[name])] = row[name]
            found = self.session.run(["probabilities"], feed)[0].tolist()
            self.loop.call_soon_threadsafe(self.deliver, [each for _, each in batch], found)

    @staticmethod
    def deliver(futures, found):
        for future, row in zip(futures, found, strict=True):
            if not future.done():
                future.set_result(row)


def make_app(model):
    @contextlib.asynccontextmanager
    async def lifespan(app):
        model.start()
        yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health():
        return {}

    @app.post("/predict")
    async def predict(request: Request):
        single = isinstance(request.inputs, str)
        texts = [request.inputs] if single else [text for (text,) in request.inputs]
        rows = [
            sorted(({"score": score, "label": label}
                    for label, score in zip(model.labels, row, strict=True)),
                   key=lambda output: -output["score"])
            for row in await model.scores(texts)
        ]
        return rows[0] if single else rows

    return app


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("directory")
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--batch-tokens", type=int, default=4096)
    a = p.parse_args()
    app = make_app(Model(a.directory, a.threads, a.batch_tokens))
    uvicorn.run(app, port=a.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
