"""Fine-tune with bertsent: one side of ``finetune.py``.

Rows, batches, initial classifier, optimizer and schedule are the same as on the other side. The
last line of stdout is a JSON object.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

import bertsent
from bertsent import BertForSequenceClassification, WordPieceTokenizer, _core
from bertsent.objectives import SingleLabelClassification
from bertsent.training.examples import Examples

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import common


def main():
    a = common.finetune_arguments(__doc__).parse_args()
    train, test = common.load_rows(a.data, a.train_rows, a.test_rows)
    tokenizer = WordPieceTokenizer.from_pretrained(a.model)
    model = BertForSequenceClassification.from_pretrained(a.model, num_labels=2)
    if a.dropout is not None:
        rates = {"hidden_dropout_prob": a.dropout, "attention_probs_dropout_prob": a.dropout}
        model = with_config(model, rates)
    with model.edit_parameters() as parameters:
        output = "classifier.out_proj" if "classifier.out_proj.bias" in parameters else "classifier"
        shape = parameters[f"{output}.weight"].shape
        weight, bias = common.initial_classifier(shape[1], 2, a.seed)
        parameters[f"{output}.weight"][...] = weight
        parameters[f"{output}.bias"][...] = bias

    tokens = tokenizer.encode_batch(train["review"], max_length=a.max_length, n_threads=a.threads)
    objective, labels = SingleLabelClassification.learn(train["label"], len(train))
    examples = Examples(tokens.ids, tokens.offsets, labels, objective)
    lengths = np.diff(tokens.offsets)
    steps = common.grouped_batches(lengths, a.batch_size, a.epochs, a.seed)
    total = len(steps)
    if a.measure:
        steps = common.spread_batches(steps, lengths, a.measure)
    grads, exp_avg, exp_avg_sq = (np.zeros(model._flat.size, np.float32) for _ in range(3))
    versions = {"bertsent": bertsent.__version__, "numpy": np.__version__,
                "blas": _core.blas_info(), "isa": _core.isa()}
    # A build without this parameter raises, and the comparison continues without this side.
    precision = {} if a.precision == "float32" else {"precision": a.precision}
    meter = common.Meter("bertsent", versions, a, len(steps))
    for step, rows in enumerate(steps[: a.max_steps]):
        ids, cu_seqlens, _, keys, _ = examples.gather(rows)
        loss, _, _ = model._core.train_step(
            ids, None, None, cu_seqlens, keys, labels[rows], None,
            grads, exp_avg, exp_avg_sq, seed=a.seed, step=step,
            lr=a.learning_rate * common.linear_schedule(step, total, 0.1),
            weight_decay=0.01, max_grad_norm=1.0, n_threads=a.threads, **precision,
        )
        meter.step(loss, len(ids))
    record = meter.record()
    if a.max_steps is None and a.measure is None:
        tokens = tokenizer.encode_batch(
            test["review"], max_length=a.max_length, n_threads=a.threads
        )
        record["tests"] = {}
        for precision in _core.precisions():
            began = time.perf_counter()
            logits = model.score_packed(tokens.ids, tokens.offsets, a.threads, precision)
            record["tests"][precision] = common.test_record(
                logits.argmax(1), test, time.perf_counter() - began
            )
        record |= record["tests"][a.precision]
    print(json.dumps(record))


def with_config(model, changes):
    """Return a model with the same parameters and a changed config."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(Path(folder, "model"))
        path = Path(folder, "model", "config.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return BertForSequenceClassification.from_pretrained(Path(folder, "model"))


if __name__ == "__main__":
    main()
