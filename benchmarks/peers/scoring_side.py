"""One side of ``scoring.py``: a library in one precision, as a separate process.

Reads commands from stdin, one JSON object per line, and answers each with a JSON object:

``load``     Loads the model with the given settings; returns versions and kernels, or
             ``unavailable``.
``score``    Scores lists of rows, each one batch (bertsent scores them all at once); returns
             seconds, CPU seconds and logits.
``latency``  Scores single rows several times; returns the seconds of each.
``memory``   Returns the peak resident set so far.
"""

import json
import os
import queue
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common


def padded(sequences, dtype=np.int64):
    """Return ids and mask of a batch, padded to its longest sequence."""
    longest = max(map(len, sequences))
    ids = np.zeros((len(sequences), longest), dtype)
    mask = np.zeros((len(sequences), longest), dtype)
    for k, sequence in enumerate(sequences):
        ids[k, : len(sequence)] = sequence
        mask[k, : len(sequence)] = 1
    return ids, mask


class PyTorch:
    """Variants: eager or compiled; bf16 with converted weights or autocast; int8 by engine."""

    def __init__(self, folder, precision, variant, threads, streams):
        import torch
        import transformers
        from transformers import AutoModelForSequenceClassification

        self.torch, self.per_stream = torch, threads // streams
        torch.set_num_threads(self.per_stream)
        model = AutoModelForSequenceClassification.from_pretrained(folder / "model").eval()
        self.autocast = "autocast" in variant
        if precision == "bfloat16" and not self.autocast:
            model = model.to(torch.bfloat16)
        if precision == "int8":
            torch.backends.quantized.engine = variant
            # One scale per output channel is more accurate at the same speed.
            model = torch.ao.quantization.quantize_dynamic(
                model, {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
            )
        # inference_mode and freezing are incompatible.
        self.no_grad = torch.inference_mode
        if "compiled" in variant:
            import torch._inductor.config as inductor

            inductor.freezing = True
            inductor.cpp.threads = self.per_stream
            self.no_grad = torch.no_grad
            model = torch.compile(model, dynamic=True)
        self.model = model
        blas = next((w for w in torch.__config__.show().split(", ") if w.startswith("BLAS_INFO")),
                    "").replace("BLAS_INFO=", "")
        self.versions = {"torch": torch.__version__, "transformers": transformers.__version__,
                         "blas": blas, "isa": torch.backends.cpu.get_cpu_capability()}

    def enter_thread(self):
        # The number of OpenMP threads is per calling thread.
        self.torch.set_num_threads(self.per_stream)

    def logits(self, sequences):
        torch = self.torch
        ids, mask = map(torch.from_numpy, padded(sequences))
        with self.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            return self.model(input_ids=ids, attention_mask=mask).logits.float().numpy()


class OnnxRuntime:
    def __init__(self, folder, precision, variant, threads, streams):
        import onnxruntime

        if precision == "bfloat16":
            raise LookupError("its CPU kernels for BERT have no bf16")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads // streams
        name = {"float32": "fp32.onnx", "int8": "int8.onnx"}[precision]
        self.session = onnxruntime.InferenceSession(str(folder / name), options,
                                                    providers=["CPUExecutionProvider"])
        self.versions = {"onnxruntime": onnxruntime.__version__}

    def logits(self, sequences):
        ids, mask = padded(sequences)
        return self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]


class OpenVINO:
    """Variants of int8: parts that are not quantised run in float32 or in bfloat16."""

    def __init__(self, folder, precision, variant, threads, streams):
        import openvino

        name = "int8.xml" if precision == "int8" else "fp32.xml"
        rest = {"float32": "f32", "bfloat16": "bf16", "int8": variant}[precision]
        self.compiled = openvino.Core().compile_model(folder / name, "CPU", {
            "INFERENCE_PRECISION_HINT": rest, "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
        })
        self.requests = queue.SimpleQueue()
        for _ in range(streams):
            self.requests.put(self.compiled.create_infer_request())
        self.versions = {"openvino": openvino.__version__,
                         "streams": self.compiled.get_property("NUM_STREAMS"),
                         "precision": str(self.compiled.get_property("INFERENCE_PRECISION_HINT"))}

    def logits(self, sequences):
        ids, mask = padded(sequences)
        request = self.requests.get()
        try:
            found = request.infer({"input_ids": ids, "attention_mask": mask})
            return next(iter(found.values())).copy()
        finally:
            self.requests.put(request)

    def kernels(self):
        """Count the implementations that were chosen for matrix products and attention."""
        count = {}
        for op in self.compiled.get_runtime_model().get_ops():
            info = op.get_rt_info()
            if "primitiveType" not in info or "layerType" not in info:
                continue
            kind, how = (info[key].astype(str) for key in ("layerType", "primitiveType"))
            if kind in ("FullyConnected", "MatMul", "ScaledDotProductAttention", "MHA"):
                key = f"{kind}: {how}"
                count[key] = count.get(key, 0) + 1
        return count


class CTranslate2:
    """Variants are instruction sets: by default it uses no AVX-512 outside MKL."""

    def __init__(self, folder, precision, variant, threads, streams):
        if variant:
            os.environ["CT2_FORCE_CPU_ISA"] = variant
        import ctranslate2
        from safetensors.numpy import load_file

        wanted = {"float32": "float32", "bfloat16": "bfloat16", "int8": "int8_float32"}[precision]
        able = ctranslate2.get_supported_compute_types("cpu")
        if wanted not in able:
            raise LookupError(f"computes {', '.join(sorted(able))} on this processor")
        if not (folder / "ct2").exists():
            raise LookupError("does not convert this model")
        if json.loads((folder / "model" / "config.json").read_text())["model_type"] != "bert":
            raise LookupError("leaves out the head, which is computed here for BERT alone")
        self.encoder = ctranslate2.Encoder(str(folder / "ct2"), compute_type=wanted,
                                           inter_threads=streams, intra_threads=threads // streams)
        head = load_file(folder / "model" / "model.safetensors")
        self.weight, self.bias = head["classifier.weight"], head["classifier.bias"]
        self.versions = {"ctranslate2": ctranslate2.__version__,
                         "compute_type": self.encoder.compute_type}

    def logits(self, sequences):
        pooled = self.encoder.forward_batch([row.tolist() for row in sequences]).pooler_output
        return np.asarray(pooled) @ self.weight.T + self.bias


class Bertsent:
    whole = True  # accepts any number of packed sequences and splits them itself

    def __init__(self, folder, precision, variant, threads, streams):
        import bertsent
        from bertsent import BertForSequenceClassification, _core

        self.core = {}
        try:
            self.model = BertForSequenceClassification.from_pretrained(
                folder / "model", n_threads=threads,
                **({} if precision == "float32" else {"inference_precision": precision}),
            )
        except TypeError:
            # Without this parameter, the engine uses its default or raises when it scores.
            self.model = BertForSequenceClassification.from_pretrained(
                folder / "model", n_threads=threads
            )
            self.core = {"precision": precision, "n_threads": threads}
        self.versions = {"bertsent": bertsent.__version__, "numpy": np.__version__,
                         "blas": _core.blas_info(), "isa": _core.isa()}

    def logits(self, sequences):
        offsets = np.cumsum([0] + [len(row) for row in sequences])
        ids = np.concatenate(sequences)
        if self.core:
            return self.model._core.score(ids, None, None, offsets, **self.core)
        return self.model.score_packed(ids, offsets)


SIDES = {"pytorch": PyTorch, "onnxruntime": OnnxRuntime, "openvino": OpenVINO,
         "ctranslate2": CTranslate2, "bertsent": Bertsent}


class Worker:
    def __init__(self, folder, side, precision):
        self.folder, self.side, self.precision = folder, SIDES[side], precision
        stored = np.load(folder / "ids.npz")
        ids, offsets = stored["ids"], stored["offsets"]
        self.rows = [ids[a:b] for a, b in zip(offsets, offsets[1:], strict=False)]
        self.settings = None

    def load(self, variant="", threads=2, streams=1):
        self.settings = {"variant": variant, "threads": threads, "streams": streams}
        self.peer = None
        try:
            self.peer = self.side(self.folder, self.precision, **self.settings)
        except LookupError as error:
            return {"unavailable": str(error)}
        return {"versions": self.peer.versions}

    def score(self, batches):
        if getattr(self.peer, "whole", False):
            batches = [[row for batch in batches for row in batch]]
        out, waiting, failed = {}, queue.SimpleQueue(), []
        for batch in batches:
            waiting.put(batch)

        def drain():
            if hasattr(self.peer, "enter_thread"):
                self.peer.enter_thread()
            while not failed:
                try:
                    batch = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    logits = self.peer.logits([self.rows[i] for i in batch])
                except Exception as error:
                    failed.append(error)
                    return
                out.update(zip(batch, logits.tolist(), strict=True))

        others = [threading.Thread(target=drain) for _ in range(self.settings["streams"] - 1)]
        cpu, began = cpu_seconds(), time.perf_counter()
        for thread in others:
            thread.start()
        drain()
        for thread in others:
            thread.join()
        seconds = time.perf_counter() - began
        if failed:
            raise failed[0]
        return {"seconds": seconds, "cpu_seconds": cpu_seconds() - cpu,
                "tokens": sum(len(self.rows[i]) for i in out),
                "rows": list(out), "logits": list(out.values())}

    def latency(self, rows, times):
        if self.settings["streams"] != 1:
            self.load(self.settings["variant"], self.settings["threads"])
        for i in rows:
            self.peer.logits([self.rows[i]])
        seconds = []
        for _ in range(times):
            for i in rows:
                began = time.perf_counter()
                self.peer.logits([self.rows[i]])
                seconds.append(time.perf_counter() - began)
        return {"seconds": seconds}

    def memory(self):
        return {"peak_rss_mb": common.peak_rss_mb()}

    def kernels(self):
        return {"kernels": self.peer.kernels() if hasattr(self.peer, "kernels") else None}


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    folder, side, precision = sys.argv[1:]
    # Libraries may print; only answers are written to the real stdout.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(Path(folder), side, precision)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except Exception as error:
            answer = {"unavailable": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
