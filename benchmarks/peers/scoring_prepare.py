"""Write the files for all sides of ``scoring.py``: a model, token ids, and the peers' formats.

Runs in the environment of the peers, once for each model. It writes a directory with:

``model``      The encoder and a head with random weights, as saved by transformers. The last
               layer is scaled so that the difference of the two logits has mean 0
               and standard deviation 1 over some reviews, which makes errors comparable.
``ids.npz``    Token ids of the reviews, and the start of each.
``fp32.onnx``  With fused attention; and ``int8.onnx``, quantised dynamically, weights per channel.
``fp32.xml``   OpenVINO, converted from PyTorch; and ``int8.xml``, with weights and activations
               quantised by NNCF (8-bit post-training quantisation, calibrated on reviews that are
               not scored).
``ct2``        CTranslate2. The head is applied outside, in NumPy.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

CALIBRATION = 128


class Logits:
    """Builds the module to export. Inside a class, so that torch is imported late."""

    @staticmethod
    def of(model):
        import torch

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.model = model

            def forward(self, input_ids, attention_mask):
                return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

        return Module().eval()


def save_model_directory(source, target, ids):
    """Give an encoder a head, and save both."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2).eval()
    output = getattr(model.classifier, "out_proj", model.classifier)
    rng = np.random.default_rng(7)
    read = []
    hook = output.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0]))
    with torch.no_grad():
        for row in ids:
            model(input_ids=torch.from_numpy(row)[None].long())
        hook.remove()
        hidden = torch.cat(read)
        weight = torch.from_numpy(rng.normal(size=(2, hidden.shape[1]))).float()
        logits = hidden @ weight.T
        weight /= (logits[:, 1] - logits[:, 0]).std()
        output.weight.copy_(weight)
        output.bias.copy_(-(hidden @ weight.T).mean(0))
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source).save_pretrained(target)


def export_onnx(folder):
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from transformers import AutoModelForSequenceClassification

    # ONNX Runtime's fusion recognises the pattern of eager attention.
    model = AutoModelForSequenceClassification.from_pretrained(
        folder / "model", attn_implementation="eager"
    )
    ids = torch.randint(1000, 2000, (2, 16))
    plain = folder / "plain.onnx"
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        Logits.of(model), (ids, torch.ones_like(ids)), str(plain), dynamo=False, opset_version=17,
        input_names=["input_ids", "attention_mask"], output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
    )
    config = model.config
    fused = optimizer.optimize_model(str(plain), model_type="bert", opt_level=0,
                                     num_heads=config.num_attention_heads,
                                     hidden_size=config.hidden_size)
    print("ONNX fused:", {k: v for k, v in fused.get_fused_operator_statistics().items() if v})
    fused.save_model_to_file(str(folder / "fp32.onnx"))
    quantize_dynamic(str(folder / "fp32.onnx"), str(folder / "int8.onnx"), per_channel=True,
                     weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
    plain.unlink()


def export_openvino(folder, calibration):
    import nncf
    import openvino
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    ids = torch.randint(1000, 2000, (2, 16))
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    converted = openvino.convert_model(Logits.of(model), example_input=example)
    converted.reshape({port.get_any_name(): [-1, -1] for port in converted.inputs})
    openvino.save_model(converted, folder / "fp32.xml", compress_to_fp16=False)
    rows = [{"input_ids": row[None].astype(np.int64),
             "attention_mask": np.ones((1, len(row)), np.int64)} for row in calibration]
    quantised = nncf.quantize(openvino.Core().read_model(folder / "fp32.xml"), nncf.Dataset(rows),
                              subset_size=len(rows), model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(quantised, folder / "int8.xml", compress_to_fp16=False)


def export_ctranslate2(folder):
    import ctranslate2

    converter = ctranslate2.converters.TransformersConverter(str(folder / "model"))
    converter.convert(str(folder / "ct2"), force=True)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--model", required=True, help="directory of an encoder and its tokenizer")
    p.add_argument("--data", required=True)
    p.add_argument("--rows", type=int, required=True)
    p.add_argument("--max-length", type=int, required=True)
    p.add_argument("--output", type=Path, required=True)
    a = p.parse_args()
    warnings.simplefilter("ignore")
    from transformers import AutoTokenizer

    a.output.mkdir(parents=True, exist_ok=True)
    texts = pd.read_csv(a.data, keep_default_na=False, nrows=a.rows + CALIBRATION)["review"]
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    encoded = tokenizer(list(texts), truncation=True, max_length=a.max_length)["input_ids"]
    encoded = [np.array(row, np.int32) for row in encoded]
    rows, calibration = encoded[: a.rows], encoded[a.rows :]
    offsets = np.cumsum([0] + [len(row) for row in rows])
    np.savez(a.output / "ids.npz", ids=np.concatenate(rows), offsets=offsets)
    save_model_directory(a.model, a.output / "model", calibration[:64])
    for name, export in (("onnxruntime", lambda: export_onnx(a.output)),
                         ("openvino", lambda: export_openvino(a.output, calibration)),
                         ("ctranslate2", lambda: export_ctranslate2(a.output))):
        try:
            export()
        except Exception as error:  # The other peers can still be measured.
            print(f"{name}: {error!r}", file=sys.stderr)
    (a.output / "complete").write_text(json.dumps({"rows": a.rows, "max_length": a.max_length}))


if __name__ == "__main__":
    main()
