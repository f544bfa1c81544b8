"""A program of a user, for mypy: tests/test_typing.py expects errors on marked lines only."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from typing_extensions import assert_type

import bertsent
from bertsent import (
    RECIPES,
    BertClassifier,
    BertEncoder,
    BertForSequenceClassification,
    Evaluation,
    HistoryDisplay,
    ThresholdDisplay,
    Tokenizer,
    WordPieceTokenizer,
    pretrain,
)
from bertsent.errors import CheckpointError

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

texts = ["good", "bad"]
labels = ["pos", "neg"]
frame = pd.DataFrame({"review": texts, "sentiment": labels})

# --- the classifier -----------------------------------------------------------------------


class Mine(BertClassifier):
    pass


clf = BertClassifier("minilm", epochs=2, max_length="auto", random_state=0)
assert_type(clf.fit(texts, labels), BertClassifier)
assert_type(Mine().fit(texts, labels).partial_fit(texts, labels), Mine)
assert_type(Mine.from_pretrained("somewhere", revision="main"), Mine)
assert_type(clf.predict_proba(texts), Float64)
assert_type(clf.predict_proba(frame["review"]), Float64)
assert_type(clf.decision_function(np.array(texts)), Float32)
assert_type(clf.seen_in_training(tuple(texts)), npt.NDArray[np.bool_])
assert_type(clf.tokens_read(frame["review"]), pd.DataFrame)
assert_type(clf.predict_batches([texts]), Iterator[pd.DataFrame])
assert_type(clf.predict_batches([frame], "review"), Iterator[pd.DataFrame])
assert_type(clf.predict_batches(pd.read_csv("a.csv", chunksize=9)), Iterator[pd.DataFrame])
assert_type(clf.predict_frame(frame, text="review"), pd.DataFrame)
assert_type(clf.encode(texts), Float32)
assert_type(clf.predict_file("in.csv", "out.csv").rows, int)
assert_type(clf.predict_file("a.csv", "b.csv", text_column=0, header=None, quoting=3).rows, int)
assert_type(clf.audit(texts), pd.DataFrame)
assert_type(clf.evaluate(texts, labels), Evaluation)
assert_type(clf.evaluate(frame["review"], frame["sentiment"]).accuracy, float)
assert_type(clf.evaluate(texts, labels).note, str | None)
assert_type(Mine.from_recipe("quick", max_length=64), Mine)
clf.evaluate(texts)  # E: call-arg
assert_type(HistoryDisplay.from_estimator(clf, metrics=["loss"]), HistoryDisplay)
assert_type(ThresholdDisplay.from_estimator(clf, texts, labels).best_threshold, float)
HistoryDisplay.from_estimator(clf, x="hour")  # E: arg-type
assert_type(clf.learning_rate_, float | list[float] | None)
assert_type(clf.history_, list[dict[str, Any]])
assert_type(clf.training_rows_, Int64 | None)
assert_type(clf.example_history_, pd.DataFrame | None)
assert_type(clf.model_, BertForSequenceClassification)
assert_type(clf.tokenizer_, Tokenizer)
assert_type(clf.n_features_in_, int)
clf.fit(frame["review"], frame["sentiment"], np.ones(2), X_val=texts, y_val=np.array([0, 1]))
clf.fit(np.array(texts), pd.Categorical(labels))
clf.fit(frame[["review"]], frame[["sentiment"]]).predict(frame[["review"]])
assert_type(clf.score(frame[["review"]], labels, sample_weight=np.ones(2)), float)
assert_type(clf.feature_names_in_, npt.NDArray[Any])
clf.predict(texts)
clf.save_pretrained("somewhere", overwrite=True, int8=True)
clf.export_onnx("somewhere.onnx", overwrite=True, int8=True)
assert_type(clf.push_to_hub("me/model", private=True), str)
BertClassifier(**RECIPES["quick"])
BertClassifier(members=[{"max_length": 256}, {}], class_weight={"pos": 2.0}, time_budget="10min")

BertClassifier(epochz=2)  # E: call-arg
BertClassifier(epochs="many")  # E: arg-type
BertClassifier(long_text="middle")  # E: arg-type
BertClassifier(precision="int8")  # E: arg-type
BertClassifier(random_state=datetime.date.today())  # E: arg-type
clf.fit([1, 2], labels)  # E: list-item list-item
clf.fit(texts)  # E: call-arg
clf.predict(3)  # E: arg-type
clf.score(texts)  # E: call-arg
clf.save_pretrained(3)  # E: arg-type
clf.export_onnx("somewhere.onnx", opset=17)  # E: call-arg
clf.predict_file("a.csv", "b.csv", sep=";")  # E: call-arg
clf.predict_file("a.csv", "b.csv", errors="ignore")  # E: arg-type
wrong: Float32 = clf.predict_proba(texts)  # E: assignment
clf.history_ = 3  # E: assignment
Classifier = bertsent.BertClasifier  # E: attr-defined

# --- vectors ------------------------------------------------------------------------------

encoder = BertEncoder("minilm", pooling="cls", cache="vectors.db")
assert_type(encoder.fit(texts), BertEncoder)
assert_type(encoder.transform(frame["review"]), Float32)
assert_type(encoder.encode_file("in.csv", "out.parquet", text_column="review").rows, int)
assert_type(encoder.pooling_, str)

BertEncoder(pooling="max")  # E: arg-type
encoder.transform(3)  # E: arg-type

# --- the tokenizer ------------------------------------------------------------------------

tokenizer = WordPieceTokenizer.from_pretrained("minilm")
assert_type(tokenizer, WordPieceTokenizer)
assert_type(tokenizer.encode("good", max_length=8), list[int])
assert_type(tokenizer.tokenize("good"), list[str])
assert_type(tokenizer.encode_batch(frame["review"], truncation="tail").offsets, Int64)
assert_type(tokenizer(texts), dict[str, Int64])
assert_type(tokenizer(texts, padding="max_length", max_length=8), dict[str, Int64])
assert_type(tokenizer(texts, padding=False), dict[str, Any])
assert_type(tokenizer.convert_ids_to_tokens([1, 2]), list[str])
assert_type(tokenizer.convert_ids_to_tokens(1), str)
assert_type(tokenizer.convert_tokens_to_ids("good"), int)
assert_type(tokenizer.convert_tokens_to_ids(["good"]), list[int])
assert_type(tokenizer.decode(np.array([1, 2])), str)
assert_type(tokenizer.cls_token_id, int)
assert_type(tokenizer.pad_token_id, int | None)
assert_type(len(tokenizer), int)

tokenizer.encode(texts)  # E: arg-type
tokenizer.encode_batch([1, 2])  # E: list-item list-item
tokenizer.pad_token = "[PAD]"  # E: misc

# --- the model ----------------------------------------------------------------------------

model = BertForSequenceClassification.from_pretrained("minilm", num_labels=3)
assert_type(model, BertForSequenceClassification)
assert_type(model(**tokenizer(texts)), Float32)
assert_type(model([[1, 2], [3, 4]]), Float32)
assert_type(model.loss_and_gradients([[1, 2]], None, [0]), tuple[float, dict[str, Float32]])
assert_type(model.parameters, Mapping[str, Float32])
assert_type(model.num_labels, int)
assert_type(model.id2label, dict[int, str])
with model.edit_parameters() as parameters:
    parameters["classifier.bias"][:] = 0.0

model.num_labels = 4  # E: misc
model.save_pretrained("somewhere", tokenizer="minilm")  # E: arg-type

# --- pretraining --------------------------------------------------------------------------

try:
    found = pretrain(texts, "somewhere", mask_probability=0.2, precision="bfloat16")
except CheckpointError:
    raise
assert_type(found.history, list[dict[str, Any]])
assert_type(found.fresh, tuple[str, ...])

pretrain(texts)  # E: call-arg
pretrain(texts, "somewhere", precision="int8")  # E: arg-type
