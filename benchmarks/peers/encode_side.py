"""Encode texts with one library, and time it; ``encode.py`` runs this file.

Reads an object of JSON from stdin, and prints one: the seconds of encoding alone, after a warm-up,
and the vectors of the first texts. With ``side`` "bertsent ..." it needs bertsent, otherwise
sentence-transformers.
"""

import json
import sys
import time


def bertsent_encoder(job, precision):
    from bertsent import BertEncoder

    encoder = BertEncoder(
        job["model"], max_length=job["max_length"], long_text="head", precision=precision,
        n_threads=job["threads"],
    ).fit(job["texts"][:1])
    return encoder.transform


def sentence_encoder(job, precision):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(job["threads"])
    how = {}
    if precision == "onnx int8":
        from onnxruntime import SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = job["threads"]
        how = {"backend": "onnx", "model_kwargs": {
            "file_name": job["onnx"], "session_options": options,
            "provider": "CPUExecutionProvider",
        }}
    model = SentenceTransformer(job["model"], device="cpu", **how)
    if precision == "bfloat16":
        model = model.bfloat16()
    model.max_seq_length = job["max_length"]

    def encode(texts):
        return model.encode(
            texts, batch_size=job["batch"], normalize_embeddings=True, show_progress_bar=False
        )

    return encode


def main():
    job = json.load(sys.stdin)
    library, _, precision = job["side"].partition(" ")
    make = bertsent_encoder if library == "bertsent" else sentence_encoder
    encode = make(job, precision)
    encode(job["texts"][:64])
    begin = time.perf_counter()
    vectors = encode(job["texts"])
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "vectors": vectors[: job["compared"]].tolist()}))


if __name__ == "__main__":
    main()
